/* base64: encode and decode in one go, and the two streaming objects. Public as gemini.base64. */
#include "../core/base64.h"

#include <string.h>

#include "lua_core.h"

static int base64_encode(lua_State *L)
{
    size_t n;
    const char *bytes = luaL_checklstring(L, 1, &n);
    uint64_t room = gem_base64_encoded_len(n);
    if (room > SIZE_MAX / 2)
        return luaL_error(L, "too long to encode");
    char *text = lua_newuserdatauv(L, room > 0 ? (size_t)room : 1, 0); /* a box: an error loses nothing */
    lua_pushlstring(L, text, gem_base64_encode(gem_base64_best(), text, bytes, n, 1));
    return 1;
}

static int base64_decode(lua_State *L)
{
    struct gem_err err;
    size_t n, written;
    const char *text = luaL_checklstring(L, 1, &n);
    char *bytes = lua_newuserdatauv(L, gem_base64_decoded_room(n) + 1, 0);
    if (gem_base64_decode(gem_base64_best(), bytes, text, n, &written, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushlstring(L, bytes, written);
    return 1;
}

static int nothing_to_close(lua_State *L)
{
    (void)L;
    return 0;
}

/* ---- streaming ---- */

static int encoder_new(lua_State *L)
{
    struct gem_base64_encoder *enc = lgem_new(L, sizeof *enc, 0, LGEM_ENCODER);
    gem_base64_encode_init(enc, gem_base64_best());
    return 1;
}

static int encoder_feed(lua_State *L)
{
    struct gem_base64_encoder *enc = lgem_check(L, 1, LGEM_ENCODER);
    size_t n;
    const char *bytes = luaL_checklstring(L, 2, &n);
    char *text = lua_newuserdatauv(L, (size_t)gem_base64_encoded_len(n) + 1, 0);
    lua_pushlstring(L, text, gem_base64_encode_feed(enc, text, bytes, n));
    return 1;
}

static int encoder_finish(lua_State *L)
{
    char text[4];
    struct gem_base64_encoder *enc = lgem_check(L, 1, LGEM_ENCODER);
    lua_pushlstring(L, text, gem_base64_encode_finish(enc, text, 1));
    return 1;
}

static int decoder_new(lua_State *L)
{
    struct gem_base64_decoder *dec = lgem_new(L, sizeof *dec, 0, LGEM_DECODER);
    gem_base64_decode_init(dec, gem_base64_best());
    return 1;
}

static int decoder_feed(lua_State *L)
{
    struct gem_err err;
    struct gem_base64_decoder *dec = lgem_check(L, 1, LGEM_DECODER);
    size_t n, written;
    const char *text = luaL_checklstring(L, 2, &n);
    char *bytes = lua_newuserdatauv(L, gem_base64_decoded_room(n) + 1, 0);
    if (gem_base64_decode_feed(dec, bytes, text, n, &written, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushlstring(L, bytes, written);
    return 1;
}

static int decoder_finish(lua_State *L)
{
    struct gem_err err;
    char bytes[4];
    size_t written;
    struct gem_base64_decoder *dec = lgem_check(L, 1, LGEM_DECODER);
    if (gem_base64_decode_finish(dec, bytes, &written, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushlstring(L, bytes, written);
    return 1;
}

void lgem_open_base64(lua_State *L)
{
    static const luaL_Reg encoder[] = {{"feed", encoder_feed}, {"finish", encoder_finish}, {NULL, NULL}};
    static const luaL_Reg decoder[] = {{"feed", decoder_feed}, {"finish", decoder_finish}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"encode", base64_encode},
        {"decode", base64_decode},
        {"encoder", encoder_new},
        {"decoder", decoder_new},
        {NULL, NULL},
    };
    lgem_type(L, LGEM_ENCODER, encoder, nothing_to_close);
    lgem_type(L, LGEM_DECODER, decoder, nothing_to_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
