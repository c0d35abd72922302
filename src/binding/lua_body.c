#include "lua_body.h"

enum { SLOT_ANCHORS = 1, SLOTS = 1 }; /* the string that segments point into, or a list of several */

static struct lgem_body *check_open(lua_State *L)
{
    struct lgem_body *b = lgem_check(L, 1, LGEM_BODY);
    if (b->state == NULL)
        lgem_closed(L, LGEM_BODY);
    return b;
}

static int body_new(lua_State *L)
{
    struct lgem_body *b = lgem_new(L, sizeof *b, SLOTS, LGEM_BODY);
    b->state = lgem_state(L);
    b->state->alive[LGEM_BODY]++;
    gem_body_init(&b->body, b->state->mem);
    return 1;
}

static int body_close(lua_State *L)
{
    struct lgem_body *b = lgem_check(L, 1, LGEM_BODY);
    if (b->state == NULL)
        return 0;
    gem_body_free(&b->body);
    b->state->alive[LGEM_BODY]--;
    b->state = NULL;
    return 0;
}

/* Keeps the string at index 2 as long as the body. Most have one and need no list. [-0,+0,m] */
static void anchor(lua_State *L)
{
    lua_getiuservalue(L, 1, SLOT_ANCHORS);
    if (lua_isnil(L, -1)) {
        lua_pushvalue(L, 2);
        lua_setiuservalue(L, 1, SLOT_ANCHORS);
    } else {
        if (lua_isstring(L, -1)) {
            lua_createtable(L, 2, 0);
            lua_pushvalue(L, -2);
            lua_rawseti(L, -2, 1);
            lua_pushvalue(L, -1);
            lua_setiuservalue(L, 1, SLOT_ANCHORS);
            lua_replace(L, -2);
        }
        lua_pushvalue(L, 2);
        lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
    }
    lua_pop(L, 1);
}

static int add_bytes(lua_State *L, bool base64)
{
    struct gem_err err;
    struct lgem_body *b = check_open(L);
    size_t n;
    luaL_checktype(L, 2, LUA_TSTRING); /* a number would be converted, and its string anchored nowhere */
    const char *s = lua_tolstring(L, 2, &n);
    anchor(L);
    if (gem_body_add_bytes(&b->body, s, n, base64, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* of(bytes): a new body with these */
static int body_of(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 1);
    body_new(L);
    lua_insert(L, 1);
    int pushed = add_bytes(L, false);
    if (pushed == 1)
        lua_settop(L, 1);
    return pushed;
}

static int add_file(lua_State *L, bool base64)
{
    struct gem_err err;
    struct lgem_body *b = check_open(L);
    const char *path = lgem_checktext(L, 2);
    if (gem_body_add_file(&b->body, path, base64, &err) < 0)
        return lgem_fail(L, &err);
    lgem_pushbytes(L, b->body.segments[b->body.count - 1].size);
    return 1;
}

static int body_add(lua_State *L)
{
    return add_bytes(L, false);
}

static int body_add_base64(lua_State *L)
{
    return add_bytes(L, true);
}

static int body_add_file(lua_State *L)
{
    return add_file(L, false);
}

static int body_add_base64_file(lua_State *L)
{
    return add_file(L, true);
}

/* An io library handle: its descriptor is duplicated, so the program may close its own. */
static int body_add_handle(lua_State *L)
{
    struct gem_err err;
    struct lgem_body *b = check_open(L);
    int fd = lgem_checkfile(L, 2);
    if (gem_body_add_handle(&b->body, fd, "the file handle", &err) < 0)
        return lgem_fail(L, &err);
    lgem_pushbytes(L, b->body.segments[b->body.count - 1].size);
    return 1;
}

static int body_add_reader(lua_State *L)
{
    struct gem_err err;
    struct lgem_body *b = check_open(L);
    int64_t size = lgem_checkbytes(L, 2);
    if (gem_body_add_reader(&b->body, size, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int body_length(lua_State *L)
{
    lgem_pushbytes(L, check_open(L)->body.length);
    return 1;
}

/* For tests and for hashing: bytes as they would be sent. The block is a userdata, so an error loses nothing. */
static int body_read(lua_State *L)
{
    struct gem_err err;
    struct lgem_body *b = check_open(L);
    int64_t offset = lgem_checkbytes(L, 2), n = lgem_checkbytes(L, 3);
    size_t got = 0;
    luaL_argcheck(L, offset <= b->body.length, 2, "the offset is behind the end");
    if (n > b->body.length - offset)
        n = b->body.length - offset;
    char *block = lua_newuserdatauv(L, n > 0 ? (size_t)n : 1, 0);
    struct gem_body_cursor cursor;
    gem_body_cursor_init(&cursor);
    enum gem_body_read result = gem_body_read_at(&b->body, &cursor, offset, block, (size_t)n, &got, &err);
    gem_body_cursor_free(&cursor);
    if (result == GEM_BODY_WAIT)
        gem_err_set(&err, GEM_INVALID, 0, "a reader's bytes can not be read here");
    if (result != GEM_BODY_OK)
        return lgem_fail(L, &err);
    lua_pushlstring(L, block, got);
    return 1;
}

void lgem_open_body(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"add", body_add},
        {"add_base64", body_add_base64},
        {"add_file", body_add_file},
        {"add_base64_file", body_add_base64_file},
        {"add_handle", body_add_handle},
        {"add_reader", body_add_reader},
        {"length", body_length},
        {"read", body_read},
        {NULL, NULL},
    };
    static const luaL_Reg functions[] = {{"new", body_new}, {"of", body_of}, {NULL, NULL}};
    lgem_type(L, LGEM_BODY, methods, body_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
