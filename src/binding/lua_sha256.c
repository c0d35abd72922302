/* sha256: of a text in one go, and of a file while it is sent. And RS256, the other thing that libcrypto does here. */
#include "lua_sha256.h"

#include "../core/rs256.h"
#include "lua_body.h"

#define BLOCK ((size_t)64 * 1024)

static struct lgem_sha256 *check_open(lua_State *L)
{
    struct lgem_sha256 *h = lgem_check(L, 1, LGEM_SHA256);
    if (h->state == NULL)
        lgem_closed(L, LGEM_SHA256);
    return h;
}

static int sha256_new(lua_State *L)
{
    struct gem_err err;
    struct lgem_sha256 *h = lgem_new(L, sizeof *h, 0, LGEM_SHA256);
    if (gem_sha256_open(&h->hash, &err) < 0)
        return lgem_fail(L, &err);
    h->state = lgem_state(L);
    h->state->alive[LGEM_SHA256]++;
    return 1;
}

static int sha256_close(lua_State *L)
{
    struct lgem_sha256 *h = lgem_check(L, 1, LGEM_SHA256);
    if (h->state == NULL)
        return 0;
    gem_sha256_close(&h->hash);
    h->state->alive[LGEM_SHA256]--;
    h->state = NULL;
    return 0;
}

/* feed(offset, bytes): what was hashed before is passed over */
static int sha256_feed(lua_State *L)
{
    size_t n;
    struct lgem_sha256 *h = check_open(L);
    int64_t offset = lgem_checkbytes(L, 2);
    const char *bytes = luaL_checklstring(L, 3, &n);
    gem_sha256_feed(&h->hash, offset, bytes, n);
    return 0;
}

/* read(body, n) -> bytes hashed so far: takes at most n more of the body, from where it is */
static int sha256_read(lua_State *L)
{
    struct gem_err err;
    struct gem_body_cursor cursor;
    struct lgem_sha256 *h = check_open(L);
    const struct lgem_body *b = lgem_check(L, 2, LGEM_BODY);
    int64_t n = lgem_checkbytes(L, 3), end = h->hash.position + n;
    luaL_argcheck(L, b->state != NULL, 2, "the body is closed");
    const struct gem_body *body = &b->body;
    char *block = lua_newuserdatauv(L, BLOCK, 0);
    enum gem_body_read result = GEM_BODY_OK;
    size_t got = 1;
    end = end < body->length ? end : body->length;
    gem_body_cursor_init(&cursor);
    while (result == GEM_BODY_OK && got > 0 && h->hash.position < end && !h->hash.broken) {
        int64_t left = end - h->hash.position;
        size_t most = left < (int64_t)BLOCK ? (size_t)left : BLOCK;
        result = gem_body_read_at(body, &cursor, h->hash.position, block, most, &got, &err);
        if (result == GEM_BODY_OK)
            gem_sha256_feed(&h->hash, h->hash.position, block, got);
    }
    gem_body_cursor_free(&cursor);
    if (result == GEM_BODY_WAIT)
        gem_err_set(&err, GEM_INVALID, 0, "a reader's bytes can not be read here");
    if (h->hash.broken) { /* who reads on would do so for ever */
        gem_err_set(&err, GEM_INTEGRITY, 0, "not all bytes were hashed");
        result = GEM_BODY_FAILED;
    }
    if (result != GEM_BODY_OK)
        return lgem_fail(L, &err);
    lgem_pushbytes(L, h->hash.position);
    return 1;
}

/* Bytes hashed so far. */
static int sha256_position(lua_State *L)
{
    lgem_pushbytes(L, check_open(L)->hash.position);
    return 1;
}

/* The digest of them in lower-case hex; nil, err where bytes are missing. More may be fed afterwards. */
static int sha256_hex(lua_State *L)
{
    char hex[GEM_SHA256_HEX + 1];
    struct gem_err err;
    if (gem_sha256_hex(&check_open(L)->hash, hex, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushstring(L, hex);
    return 1;
}

/* of(text) -> hex */
static int sha256_of(lua_State *L)
{
    size_t n;
    char hex[GEM_SHA256_HEX + 1];
    struct gem_err err;
    struct gem_sha256 hash = {0};
    const char *text = luaL_checklstring(L, 1, &n);
    if (gem_sha256_open(&hash, &err) < 0)
        return lgem_fail(L, &err);
    gem_sha256_feed(&hash, 0, text, n);
    int result = gem_sha256_hex(&hash, hex, &err);
    gem_sha256_close(&hash); /* before Lua may raise */
    if (result < 0)
        return lgem_fail(L, &err);
    lua_pushstring(L, hex);
    return 1;
}

int lgem_sign_rs256(lua_State *L) /* [-0,+1|2,e]  pem, text -> signature | nil, err */
{
    size_t pem_length, n, length;
    unsigned char signature[GEM_RS256_MAX];
    struct gem_err err;
    const char *pem = luaL_checklstring(L, 1, &pem_length);
    const char *text = luaL_checklstring(L, 2, &n);
    if (gem_rs256_sign(pem, pem_length, text, n, signature, &length, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushlstring(L, (const char *)signature, length);
    return 1;
}

void lgem_open_sha256(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"feed", sha256_feed}, {"read", sha256_read}, {"position", sha256_position}, {"hex", sha256_hex}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", sha256_new}, {"of", sha256_of}, {NULL, NULL}};
    lgem_type(L, LGEM_SHA256, methods, sha256_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
