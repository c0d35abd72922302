/* route: where requests go, with which headers, in which bounds. */
#include "lua_route.h"

#include <string.h>

enum { SLOT_TEXTS = 1, SLOT_LINES, SLOTS = SLOT_LINES }; /* a list of all strings; the box of pointers to header lines */

/* ---- the fields, of a table at index 1 ---- */

/* What becomes a part of the request line: no blank or control character in it. [-0,+0,v] */
static const char *word_field(lua_State *L, const char *name)
{
    const char *text = lgem_textfield(L, 1, name);
    if (text == NULL)
        lgem_fielderror(L, 1, name, "a text expected");
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == 127)
            lgem_fielderror(L, 1, name, "no blanks and control characters expected");
    return text;
}

static size_t limit_field(lua_State *L, const char *name, size_t otherwise) /* [-0,+0,v] */
{
    int64_t n = lgem_bytesfield(L, 1, name, (int64_t)otherwise);
    return (uint64_t)n > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)n;
}

static bool is_line(lua_State *L, int index) /* [-0,+0,-] */
{
    size_t n;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
    return text != NULL && strlen(text) == n && strpbrk(text, "\r\n") == NULL;
}

/* Leaves the box of pointers on the stack. [-0,+1,v] */
static void read_headers(lua_State *L, struct gem_request *r)
{
    lgem_rawfield(L, 1, "headers");
    if (!lua_istable(L, -1))
        lgem_fielderror(L, 1, "headers", "a list expected");
    size_t n = lua_rawlen(L, -1);
    const char **lines = lua_newuserdatauv(L, (n + 1) * sizeof *lines, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (int)i + 1);
        if (!is_line(L, -1))
            lgem_fielderror(L, 1, "headers", "lines without NUL bytes expected");
        lines[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    lua_remove(L, -2);
    r->headers = lines;
    r->header_count = n;
}

void lgem_readroute(lua_State *L, struct gem_request *r)
{
    memset(r, 0, sizeof *r);
    r->method = word_field(L, "method");
    r->url = word_field(L, "url");
    r->proxy = lgem_textfield(L, 1, "proxy");
    r->ca_file = lgem_textfield(L, 1, "ca_file");
    r->ca_path = lgem_textfield(L, 1, "ca_path");
    r->cert_file = lgem_textfield(L, 1, "cert_file");
    r->key_file = lgem_textfield(L, 1, "key_file");
    r->compressed = lgem_flagfield(L, 1, "compressed");
    r->http1 = lgem_flagfield(L, 1, "http1");
    r->tell_data = lgem_flagfield(L, 1, "tell_data");
    r->clocks.connect = lgem_secondsfield(L, 1, "connect");
    r->clocks.first_byte = lgem_secondsfield(L, 1, "first_byte");
    r->clocks.idle = lgem_secondsfield(L, 1, "idle");
    r->limits.head = limit_field(L, "max_head", (size_t)256 << 10);
    r->limits.answer = limit_field(L, "max_answer", (size_t)256 << 20);
    r->limits.error = limit_field(L, "max_error", r->limits.answer);
    r->limits.room = limit_field(L, "room", r->limits.answer);
    read_headers(L, r);
}

/* ---- the userdata ---- */

/* The strings of the list at `from` go to the end of the one on top. [-0,+0,m] */
static void add_texts(lua_State *L, int from)
{
    for (int i = 1, n = (int)lua_rawlen(L, from); i <= n; i++) {
        lua_rawgeti(L, from, i);
        lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
    }
}

/* Pushes a list of all strings that a request of the table at index 1 points to. [-0,+1,m] */
static void push_texts(lua_State *L)
{
    static const char *const names[] = {"method", "url", "proxy", "ca_file", "ca_path", "cert_file", "key_file"};
    lgem_rawfield(L, 1, "headers");
    lua_newtable(L);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lgem_rawfield(L, 1, names[i]);
        if (lua_isnil(L, -1))
            lua_pop(L, 1);
        else
            lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
    }
    add_texts(L, lua_gettop(L) - 1);
    lua_remove(L, -2);
}

int lgem_newroute(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct lgem_route *route = lgem_new(L, sizeof *route, SLOTS, LGEM_ROUTE);
    lgem_readroute(L, &route->request);
    lua_setiuservalue(L, 2, SLOT_LINES);
    push_texts(L);
    lua_setiuservalue(L, 2, SLOT_TEXTS);
    route->request.spare = &route->spare;
    route->state = lgem_state(L);
    route->state->alive[LGEM_ROUTE]++;
    return 1;
}

/* Exchanges under way end as they would; what they leave is freed. */
static int route_close(lua_State *L)
{
    struct lgem_route *route = lgem_check(L, 1, LGEM_ROUTE);
    if (route->state == NULL)
        return 0;
    gem_spare_close(&route->spare);
    route->state->alive[LGEM_ROUTE]--;
    route->state = NULL;
    return 0;
}

struct lgem_route *lgem_testroute(lua_State *L, int index)
{
    return lgem_test(L, index, LGEM_ROUTE);
}

void lgem_open_route(lua_State *L)
{
    static const luaL_Reg methods[] = {{NULL, NULL}};
    lgem_type(L, LGEM_ROUTE, methods, route_close);
}
