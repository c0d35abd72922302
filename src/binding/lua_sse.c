/* sse: the event-stream parser, fed by Lua or, without a copy, by an exchange's inbox. */
#include "lua_sse.h"

enum { SLOT_FED = 1, SLOTS = 1 };

#define NOT_TAKEN "take the events of the bytes fed before"

struct lgem_sse *lgem_checksse(lua_State *L, int arg)
{
    struct lgem_sse *p = lgem_check(L, arg, LGEM_SSE);
    if (p->state == NULL)
        lgem_closed(L, LGEM_SSE);
    return p;
}

/* new(max_event in bytes) */
static int sse_new(lua_State *L)
{
    int64_t max = lgem_checkbytes(L, 1);
    struct lgem_sse *p = lgem_new(L, sizeof *p, SLOTS, LGEM_SSE);
    p->state = lgem_state(L);
    p->state->alive[LGEM_SSE]++;
    gem_sse_init(&p->sse, p->state->mem, (uint64_t)max > SIZE_MAX ? SIZE_MAX : (size_t)max);
    return 1;
}

static int sse_close(lua_State *L)
{
    struct lgem_sse *p = lgem_check(L, 1, LGEM_SSE);
    if (p->state == NULL)
        return 0;
    gem_sse_free(&p->sse);
    p->state->alive[LGEM_SSE]--;
    p->state = NULL;
    return 0;
}

int lgem_nextevent(lua_State *L, struct lgem_sse *p, const char *bytes, size_t n, size_t *used)
{
    struct gem_err err;
    switch (gem_sse_feed(&p->sse, bytes != NULL ? bytes : "", n, used, &err)) {
    case GEM_SSE_EVENT:
        lua_pushlstring(L, p->sse.event, p->sse.event_len);
        return 1;
    case GEM_SSE_BROKEN:
        return lgem_fail(L, &err);
    default:
        return 0;
    }
}

/* feed(bytes) -> true; take the events before feeding more. */
static int sse_feed(lua_State *L)
{
    struct lgem_sse *p = lgem_checksse(L, 1);
    luaL_checktype(L, 2, LUA_TSTRING);
    luaL_argcheck(L, p->length == 0, 2, NOT_TAKEN);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, SLOT_FED);
    p->bytes = lua_tolstring(L, 2, &p->length);
    lua_pushboolean(L, 1);
    return 1;
}

/* -> data; nil when more bytes are needed; nil, err when the stream is broken */
static int sse_next(lua_State *L)
{
    struct lgem_sse *p = lgem_checksse(L, 1);
    size_t used = 0;
    int pushed = lgem_nextevent(L, p, p->bytes, p->length, &used);
    p->length -= used;
    if (p->length > 0)
        p->bytes += used;
    return pushed;
}

/* After the last byte: -> data, "event" of an event without its blank line; text, "tail" of bare text at the end; nothing;
 * nil, err. Until nothing comes. */
static int sse_finish(lua_State *L)
{
    struct gem_err err;
    struct lgem_sse *p = lgem_checksse(L, 1);
    luaL_argcheck(L, p->length == 0, 1, NOT_TAKEN);
    enum gem_sse_result result = gem_sse_finish(&p->sse, &err);
    if (result == GEM_SSE_BROKEN)
        return lgem_fail(L, &err);
    if (result == GEM_SSE_END)
        return 0;
    lua_pushlstring(L, p->sse.event, p->sse.event_len);
    lua_pushstring(L, result == GEM_SSE_EVENT ? "event" : "tail");
    return 2;
}

void lgem_open_sse(lua_State *L)
{
    static const luaL_Reg methods[] = {{"feed", sse_feed}, {"next", sse_next}, {"finish", sse_finish}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", sse_new}, {NULL, NULL}};
    lgem_type(L, LGEM_SSE, methods, sse_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
