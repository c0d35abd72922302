/* upload: the decision table of core/upload.h. */
#include "../core/upload.h"

#include "lua_core.h"

static struct gem_upload *check(lua_State *L)
{
    return lgem_check(L, 1, LGEM_UPLOAD);
}

/* new(size or nil, chunk) */
static int upload_new(lua_State *L)
{
    int64_t size = lua_isnoneornil(L, 1) ? -1 : lgem_checkbytes(L, 1);
    int64_t chunk = lua_isnoneornil(L, 2) ? 0 : lgem_checkbytes(L, 2);
    struct gem_upload *up = lgem_new(L, sizeof *up, 0, LGEM_UPLOAD);
    gem_upload_init(up, size, chunk);
    return 1;
}

static int upload_next(lua_State *L)
{
    struct gem_upload_request request;
    gem_upload_next(check(L), &request);
    lua_pushstring(L, request.command);
    lgem_pushbytes(L, request.offset);
    lgem_pushbytes(L, request.length);
    return 3;
}

/* take{ code =, status =, received =, granularity =, has_url =, api_error = } -> verdict, or nil, err */
static int upload_take(lua_State *L)
{
    static const char *const words[] = {"go", "again", "end", "stop"};
    struct gem_err err;
    struct gem_upload *up = check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    int64_t code = lgem_bytesfield(L, 2, "code", 0);
    struct gem_upload_answer answer = {
        .code = code > 999 ? 0 : (int)code,
        .status = lgem_textfield(L, 2, "status"),
        .received = lgem_bytesfield(L, 2, "received", -1),
        .granularity = lgem_bytesfield(L, 2, "granularity", -1),
        .has_url = lgem_flagfield(L, 2, "has_url"),
        .api_error = lgem_flagfield(L, 2, "api_error"),
    };
    enum gem_upload_verdict verdict = gem_upload_take(up, &answer, &err);
    if (err.kind != GEM_OK)
        return lgem_fail(L, &err);
    lua_pushstring(L, words[verdict]);
    return 1;
}

/* resume(): the session is another process's; the next request asks what the server has */
static int upload_resume(lua_State *L)
{
    gem_upload_resume(check(L));
    return 0;
}

static int upload_acked(lua_State *L)
{
    lgem_pushbytes(L, check(L)->acked);
    return 1;
}

static int nothing_to_close(lua_State *L)
{
    (void)L;
    return 0;
}

void lgem_open_upload(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"next", upload_next}, {"take", upload_take}, {"acked", upload_acked}, {"resume", upload_resume}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", upload_new}, {NULL, NULL}};
    lgem_type(L, LGEM_UPLOAD, methods, nothing_to_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
