/* exchange: one request and its answer. Nothing moves before a loop steps. */
#include "lua_exchange.h"

#include <math.h>
#include <string.h>

#include "../net/loop.h"
#include "lua_body.h"
#include "lua_route.h"
#include "lua_sha256.h"

struct lgem_exchange *lgem_checkexchange(lua_State *L, int arg)
{
    struct lgem_exchange *x = lgem_check(L, arg, LGEM_EXCHANGE);
    if (x->state == NULL)
        lgem_closed(L, LGEM_EXCHANGE);
    return x;
}

/* ---- the request ---- */

/* Where exchange_new has them on the stack: what is of one request alone. */
enum { AT_BODY = 2, AT_DEADLINE, AT_OFFSET, AT_LENGTH, AT_HASH, AT_HASH_OFFSET, AT_LAST = AT_HASH_OFFSET };

/* The same out of a table at index 1, whose strings stay anchored there. [-0,+0,-] */
static void spread(lua_State *L)
{
    static const char *const names[] = {"body", "deadline", "offset", "length", "hash", "hash_offset"};
    lua_settop(L, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        lgem_rawfield(L, 1, names[i]);
}

static void read_text(lua_State *L, struct gem_request *r) /* [-0,+0,v] */
{
    size_t n;
    r->text = lua_tolstring(L, AT_BODY, &n);
    luaL_argcheck(L, n <= GEM_WHOLE, 1, "body: a text that is this long has to be a core.body");
    luaL_argcheck(L, lua_isnil(L, AT_OFFSET) && lua_isnil(L, AT_LENGTH) && lua_isnil(L, AT_HASH), 1,
                  "offset, length, hash: a text is sent whole, and not hashed");
    r->length = (int64_t)n;
}

static void read_body(lua_State *L, struct gem_request *r) /* [-0,+0,v] */
{
    if (lua_isnil(L, AT_BODY))
        return;
    luaL_argcheck(L, strcmp(r->method, "GET") != 0, 1, "body: a GET has none");
    if (lua_type(L, AT_BODY) == LUA_TSTRING) {
        read_text(L, r);
        return;
    }
    struct lgem_body *b = lgem_test(L, AT_BODY, LGEM_BODY);
    if (b == NULL || b->state == NULL)
        lgem_fielderror(L, 1, "body", "an open body, or a text, expected");
    r->body = &b->body;
    r->offset = lgem_bytesvalue(L, AT_OFFSET, 1, "offset", 0);
    r->length = lgem_bytesvalue(L, AT_LENGTH, 1, "length", r->body->length - r->offset);
    luaL_argcheck(L, r->offset <= r->body->length && r->length <= r->body->length - r->offset, 1,
                  "offset, length: the window is not inside the body");
}

static void read_hash(lua_State *L, struct gem_request *r) /* [-0,+0,v] */
{
    if (lua_isnil(L, AT_HASH))
        return;
    struct lgem_sha256 *h = lgem_test(L, AT_HASH, LGEM_SHA256);
    if (h == NULL || h->state == NULL)
        lgem_fielderror(L, 1, "hash", "an open sha256 expected");
    r->hash = &h->hash;
    r->hash_offset = lgem_bytesvalue(L, AT_HASH_OFFSET, 1, "hash_offset", 0);
}

/* Keeps the value as long as the exchange on top. [-0,+0,-] */
static void anchor(lua_State *L, int index, int slot)
{
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, slot);
}

/* new(route, body, deadline, offset, length, hash, hash_offset), all but the route may be nil; or new(request), a table of
 * all in one */
static int exchange_new(lua_State *L)
{
    struct gem_err err;
    struct gem_request request;
    struct lgem_route *route = lgem_testroute(L, 1);
    if (route != NULL) {
        lua_settop(L, AT_LAST);
        request = route->request;
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
        spread(L);
        lgem_readroute(L, &request);
    }
    request.clocks.deadline = lgem_secondsvalue(L, AT_DEADLINE, 1, "deadline");
    read_body(L, &request);
    read_hash(L, &request);
    struct lgem_exchange *x = lgem_new(L, sizeof *x, LGEM_EXCHANGE_SLOTS, LGEM_EXCHANGE);
    if (request.body != NULL)
        anchor(L, AT_BODY, LGEM_SLOT_BODY);
    if (request.hash != NULL)
        anchor(L, AT_HASH, LGEM_SLOT_HASH);
    if (route != NULL)
        anchor(L, 1, LGEM_SLOT_ROUTE);
    struct lgem_state *state = lgem_state(L);
    if (gem_exchange_open(&x->ex, state->mem, &request, &err) < 0)
        return lgem_fail(L, &err);
    x->state = state;
    x->state->alive[LGEM_EXCHANGE]++;
    return 1;
}

/* Lets go of the value there. [-0,+0,-] */
static void forget(lua_State *L, int slot)
{
    lua_pushnil(L);
    lua_setiuservalue(L, 1, slot);
}

/* What is left are the facts. */
static int exchange_close(lua_State *L)
{
    struct lgem_exchange *x = lgem_check(L, 1, LGEM_EXCHANGE);
    if (x->state == NULL)
        return 0;
    gem_loop_remove(&x->ex);
    gem_exchange_close(&x->ex);
    forget(L, LGEM_SLOT_BODY);
    forget(L, LGEM_SLOT_HASH);
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

/* Pushes n bytes of one of its buffers. A finaliser of the program's may close the exchange meanwhile, or read of it: where
 * that comes before the copy, "" or what is left of them. [-0,+1,m] */
static void push_bytes(lua_State *L, const struct lgem_exchange *x, const struct gem_buf *buf, size_t from, size_t n)
{
#if LGEM_COPIES_LATE
    char *box = lua_newuserdata(L, n + 1);
    size_t held = x->state != NULL && buf->len > from ? buf->len - from : 0;
    n = n < held ? n : held;
    if (n > 0)
        memcpy(box, gem_buf_head(buf) + from, n);
    lua_pushlstring(L, box, n);
    lua_remove(L, -2);
#else
    (void)x;
    lua_pushlstring(L, n > 0 ? gem_buf_head(buf) + from : "", n);
#endif
}

/* Pushes the header lines, none until the head is whole, as a string: what is made of them may make Lua collect.
 * Returns its bytes. [-0,+1,m] */
static const char *push_head(lua_State *L, const struct lgem_exchange *x, size_t *n)
{
    push_bytes(L, x, &x->ex.head, 0, x->ex.head_done ? x->ex.head.len : 0);
    return lua_tolstring(L, -1, n);
}

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
    struct gem_err err;
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    if (x->ex.phase != GEM_PHASE_DONE)
        return 0;
    lua_pushboolean(L, !x->ex.failed);
    if (!x->ex.failed)
        return 1;
    gem_exchange_error(&x->ex, &err);
    lgem_pusherror(L, &err);
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

/* Whether the line begins with the name, which is in lower case. */
static bool is_name(const char *line, const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((line[i] >= 'A' && line[i] <= 'Z' ? line[i] + 32 : line[i]) != name[i])
            return false;
    return true;
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

/* The value in the next line of that name, and in *from where the search goes on; NULL: there is none. */
static const char *find_value(const char **from, const char *end, const char *name, size_t length, size_t *size)
{
    for (const char *line = *from, *stop; line < end; line = stop + 1) {
        stop = memchr(line, '\n', (size_t)(end - line));
        if ((size_t)(stop - line) <= length || line[length] != ':' || !is_name(line, name, length))
            continue;
        const char *value = line + length + 1;
        *size = trim(&value, (size_t)(stop - value));
        *from = stop + 1;
        return value;
    }
    *from = end;
    return NULL;
}

/* The values of the name, joined by ", ". [-0,+1,m] */
static void push_joined(lua_State *L, const char *lines, size_t n, const char *name, size_t length)
{
    size_t size;
    const char *value, *end = lines + n;
    int found = 0;
    while ((value = find_value(&lines, end, name, length, &size)) != NULL) {
        if (found++ > 0)
            lua_pushliteral(L, ", ");
        lua_pushlstring(L, value, size);
        if (found > 1)
            lua_concat(L, 3);
    }
}

/* What headers() has under the name; nil where it is not there. Several values are joined out of a copy. [-0,+1,m] */
static void push_value(lua_State *L, const struct lgem_exchange *x, const char *name, size_t length)
{
    size_t n = x->ex.head_done ? x->ex.head.len : 0, size = 0, more;
    const char *lines = n > 0 ? gem_buf_head(&x->ex.head) : "", *from = lines;
    const char *value = find_value(&from, lines + n, name, length, &size);
    if (value == NULL) {
        lua_pushnil(L);
    } else if (find_value(&from, lines + n, name, length, &more) == NULL) {
        push_bytes(L, x, &x->ex.head, (size_t)(value - lines), size);
    } else {
        lines = push_head(L, x, &n);
        if (n == 0)
            return;
        push_joined(L, lines, n, name, length);
        lua_remove(L, -2);
    }
}

/* header(first, second) -> the values of these lower-case names, as headers() has them */
static int exchange_header(lua_State *L)
{
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    size_t length;
    lua_settop(L, 3);
    for (int i = 2; i <= 3; i++) {
        const char *name = luaL_checklstring(L, i, &length);
        push_value(L, x, name, length);
    }
    return 2;
}

/* Header values under their lower-case names; empty until the head is whole. */
static int exchange_headers(lua_State *L)
{
    struct lgem_exchange *x = lgem_checkexchange(L, 1);
    size_t n;
    const char *line = push_head(L, x, &n), *end = line + n;
    lua_newtable(L);
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        push_header(L, line, (size_t)(stop - line));
        line = stop + 1;
    }
    return 1;
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
    push_bytes(L, x, &x->ex.inbox, 0, n);
    n = lua_rawlen(L, -1);
    if (x->state != NULL && n <= x->ex.inbox.len) /* it still is as it was */
        gem_exchange_consume(&x->ex, n);
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

/* How the service calls it, or nil. */
static int exchange_id(lua_State *L)
{
    static const char ours[] = "x-goog-request-id", theirs[] = "x-request-id";
    const struct lgem_exchange *x = lgem_checkexchange(L, 1);
    push_value(L, x, ours, sizeof ours - 1);
    if (lua_isnil(L, -1))
        push_value(L, x, theirs, sizeof theirs - 1);
    return 1;
}

/* How it went on the wire: known when it is done, and when it was closed since. */
static int exchange_facts(lua_State *L)
{
    const struct lgem_exchange *x = lgem_check(L, 1, LGEM_EXCHANGE);
    const struct gem_facts *f = &x->ex.facts;
    lua_createtable(L, 0, 9); /* two are added to it: see answer.lua */
    if (f->http_version > 0)
        set_number(L, "http_version", f->http_version / 10.0);
    set_number(L, "connect", f->connect);
    set_number(L, "first_byte", f->first_byte);
    set_number(L, "total", f->total);
    set_bytes(L, "bytes_sent", f->sent);
    set_bytes(L, "bytes_received", f->received);
    lua_pushboolean(L, f->reused);
    lua_setfield(L, -2, "reused");
    return 1;
}

void lgem_open_exchange(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"phase", exchange_phase},   {"done", exchange_done},       {"code", exchange_code}, {"headers", exchange_headers},
        {"header", exchange_header}, {"read", exchange_read},       {"sent", exchange_sent}, {"wants", exchange_wants},
        {"supply", exchange_supply}, {"facts", exchange_facts},     {"cancel", exchange_cancel}, {"id", exchange_id},
        {NULL, NULL},
    };
    static const luaL_Reg functions[] = {{"new", exchange_new}, {"route", lgem_newroute}, {NULL, NULL}};
    lgem_open_route(L);
    lgem_type(L, LGEM_EXCHANGE, methods, exchange_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
