/* exchange: one request and its answer. Nothing moves before a loop steps. */
#include "lua_exchange.h"

#include <math.h>
#include <string.h>

#include "../net/loop.h"
#include "lua_body.h"
#include "lua_sha256.h"

struct lgem_exchange *lgem_checkexchange(lua_State *L, int arg)
{
    struct lgem_exchange *x = lgem_check(L, arg, LGEM_EXCHANGE);
    if (x->state == NULL)
        lgem_closed(L, LGEM_EXCHANGE);
    return x;
}

/* ---- the request, from a table at index 1: its strings stay anchored there ---- */

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

static void read_body(lua_State *L, struct gem_request *r) /* [-0,+0,v] */
{
    lgem_rawfield(L, 1, "body");
    if (!lua_isnil(L, -1)) {
        struct lgem_body *b = lgem_test(L, -1, LGEM_BODY);
        if (b == NULL || b->state == NULL)
            lgem_fielderror(L, 1, "body", "an open body expected");
        luaL_argcheck(L, strcmp(r->method, "GET") != 0, 1, "body: a GET has none");
        r->body = &b->body;
        r->offset = lgem_bytesfield(L, 1, "offset", 0);
        r->length = lgem_bytesfield(L, 1, "length", r->body->length - r->offset);
        luaL_argcheck(L, r->offset <= r->body->length && r->length <= r->body->length - r->offset, 1,
                      "offset, length: the window is not inside the body");
    }
    lua_pop(L, 1);
}

static void read_hash(lua_State *L, struct gem_request *r) /* [-0,+0,v] */
{
    lgem_rawfield(L, 1, "hash");
    if (!lua_isnil(L, -1)) {
        struct lgem_sha256 *h = lgem_test(L, -1, LGEM_SHA256);
        if (h == NULL || h->state == NULL)
            lgem_fielderror(L, 1, "hash", "an open sha256 expected");
        r->hash = &h->hash;
        r->hash_offset = lgem_bytesfield(L, 1, "hash_offset", 0);
    }
    lua_pop(L, 1);
}

static void read_request(lua_State *L, struct gem_request *r) /* [-0,+1,v] */
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
    r->clocks.deadline = lgem_secondsfield(L, 1, "deadline");
    r->limits.head = limit_field(L, "max_head", (size_t)256 << 10);
    r->limits.answer = limit_field(L, "max_answer", (size_t)256 << 20);
    r->limits.error = limit_field(L, "max_error", r->limits.answer);
    r->limits.room = limit_field(L, "room", r->limits.answer);
    read_body(L, r);
    read_hash(L, r);
    read_headers(L, r);
}

static int exchange_new(lua_State *L)
{
    struct gem_err err;
    struct gem_request request;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    read_request(L, &request);
    struct lgem_exchange *x = lgem_new(L, sizeof *x, LGEM_EXCHANGE_SLOTS, LGEM_EXCHANGE);
    lgem_rawfield(L, 1, "body");
    lua_setiuservalue(L, -2, LGEM_SLOT_BODY);
    lgem_rawfield(L, 1, "hash");
    lua_setiuservalue(L, -2, LGEM_SLOT_HASH);
    if (gem_exchange_open(&x->ex, lgem_state(L)->mem, &request, &err) < 0)
        return lgem_fail(L, &err);
    x->state = lgem_state(L);
    x->state->alive[LGEM_EXCHANGE]++;
    return 1;
}

static int exchange_close(lua_State *L)
{
    struct lgem_exchange *x = lgem_check(L, 1, LGEM_EXCHANGE);
    if (x->state == NULL)
        return 0;
    gem_loop_remove(&x->ex);
    gem_exchange_close(&x->ex);
    x->state->alive[LGEM_EXCHANGE]--;
    x->state = NULL;
    return 0;
}

/* Ends it as cancelled, wherever it is: done() says so. */
static int exchange_cancel(lua_State *L)
{
    struct gem_err err;
    struct lgem_exchange *x = lgem_check(L, 1, LGEM_EXCHANGE);
    if (x->state == NULL)
        return 0;
    gem_loop_remove(&x->ex);
    gem_err_set(&err, GEM_CANCELLED, 0, "the client was closed");
    gem_exchange_fail(&x->ex, &err);
    return 0;
}

/* ---- the answer ---- */

static const char *const phases[] = {"closed", "queued", "connecting", "sending", "waiting", "receiving", "done"};

static int exchange_phase(lua_State *L)
{
    struct lgem_exchange *x = lgem_check(L, 1, LGEM_EXCHANGE);
    lua_pushstring(L, x->state == NULL ? "closed" : phases[x->ex.phase]);
    return 1;
}

/* nil while it runs; true when it ended well; false, err when not */
static int exchange_done(lua_State *L)
{
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    if (x->ex.phase != GEM_PHASE_DONE)
        return 0;
    lua_pushboolean(L, x->ex.err.kind == GEM_OK);
    if (x->ex.err.kind == GEM_OK)
        return 1;
    lgem_pusherror(L, &x->ex.err);
    return 2;
}

/* The HTTP status, or nil until the head is whole. */
static int exchange_code(lua_State *L)
{
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    if (!x->ex.head_done)
        return 0;
    lua_pushinteger(L, (lua_Integer)x->ex.status);
    return 1;
}

static size_t trim(const char **text, size_t n)
{
    while (n > 0 && (**text == ' ' || **text == '\t'))
        ++*text, n--;
    while (n > 0 && ((*text)[n - 1] == ' ' || (*text)[n - 1] == '\t'))
        n--;
    return n;
}

/* Adds "Name: value" to the table on top under the lower-case name; a second value is joined by ", ". [-0,+0,m] */
static void push_header(lua_State *L, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    luaL_Buffer b;
    if (colon == NULL) /* the status line */
        return;
    luaL_buffinit(L, &b);
    for (const char *p = line; p < colon; p++)
        luaL_addchar(&b, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
    luaL_pushresult(&b);
    const char *value = colon + 1;
    size_t length = trim(&value, n - (size_t)(value - line));
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, value, length);
    } else {
        lua_pushliteral(L, ", ");
        lua_pushlstring(L, value, length);
        lua_concat(L, 3);
    }
    lua_rawset(L, -3);
}

/* Header values under their lower-case names; empty until the head is whole. They are parsed from a copy: the table may
 * make Lua collect, and a finaliser of the program's may close the exchange. */
static int exchange_headers(lua_State *L)
{
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    size_t n = x->ex.head_done ? x->ex.head.len : 0;
    lua_pushlstring(L, n > 0 ? gem_buf_head(&x->ex.head) : "", n);
    const char *line = lua_tostring(L, -1), *end = line + n;
    lua_newtable(L);
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        push_header(L, line, (size_t)(stop - line));
        line = stop + 1;
    }
    return 1;
}

/* Pushing the bytes may have run a finaliser that closed the exchange. */
static void consume(struct lgem_exchange *x, size_t n)
{
    if (x->state != NULL)
        gem_exchange_consume(&x->ex, n);
}

/* At most n bytes of what waits to be read; "" when nothing does. */
static int exchange_read(lua_State *L)
{
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    size_t n = x->ex.inbox.len;
    if (!lua_isnoneornil(L, 2)) {
        int64_t most = lgem_checkbytes(L, 2);
        n = (uint64_t)most < n ? (size_t)most : n;
    }
    lua_pushlstring(L, n > 0 ? gem_buf_head(&x->ex.inbox) : "", n);
    consume(x, n);
    return 1;
}

/* Body bytes that libcurl has taken. */
static int exchange_sent(lua_State *L)
{
    lgem_pushbytes(L, lgem_checkexchange(L, 1)->ex.sent);
    return 1;
}

/* offset and count of the bytes a reader must bring, or nothing */
static int exchange_wants(lua_State *L)
{
    int64_t offset, n;
    if (!gem_exchange_wants(&lgem_checkexchange(L, 1)->ex, &offset, &n))
        return 0;
    lgem_pushbytes(L, offset);
    lgem_pushbytes(L, n);
    return 2;
}

/* Brings what is wanted, or a part of it. */
static int exchange_supply(lua_State *L)
{
    struct gem_err err;
    int64_t at, most;
    size_t n;
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    const char *bytes = luaL_checklstring(L, 2, &n);
    luaL_argcheck(L, n > 0, 2, "no bytes");
    lua_pushboolean(L, 1);
    if (x->ex.phase == GEM_PHASE_DONE) /* it ended while the bytes were made */
        return 1;
    luaL_argcheck(L, gem_exchange_wants(&x->ex, &at, &most) && (int64_t)n <= most, 2, "more bytes than are wanted");
    if (gem_exchange_supply(&x->ex, bytes, n, &err) < 0)
        return lgem_fail(L, &err);
    return 1;
}

static void set_number(lua_State *L, const char *name, double n) /* [-0,+0,m] */
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, name);
}

static void set_bytes(lua_State *L, const char *name, int64_t n) /* [-0,+0,m] */
{
    lgem_pushbytes(L, n);
    lua_setfield(L, -2, name);
}

/* How it went on the wire: known when it is done. */
static int exchange_facts(lua_State *L)
{
    const struct gem_facts *f = &lgem_checkexchange(L, 1)->ex.facts;
    lua_createtable(L, 0, 7);
    if (f->http_version > 0)
        set_number(L, "http_version", f->http_version / 10.0);
    set_number(L, "connect", f->connect);
    set_number(L, "first_byte", f->first_byte);
    set_number(L, "total", f->total);
    set_bytes(L, "sent", f->sent);
    set_bytes(L, "received", f->received);
    lua_pushboolean(L, f->reused);
    lua_setfield(L, -2, "reused");
    return 1;
}

void lgem_open_exchange(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"phase", exchange_phase},     {"done", exchange_done},   {"code", exchange_code},
        {"headers", exchange_headers}, {"read", exchange_read},   {"sent", exchange_sent},
        {"wants", exchange_wants},     {"supply", exchange_supply}, {"facts", exchange_facts},
        {"cancel", exchange_cancel},   {NULL, NULL},
    };
    static const luaL_Reg functions[] = {{"new", exchange_new}, {NULL, NULL}};
    lgem_type(L, LGEM_EXCHANGE, methods, exchange_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
