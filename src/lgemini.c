#include "lgemini.h"

#include "binding/lua_core.h"
#include "embedded.h"

/* A loader of package.preload; upvalue 1 is its file. */
static int load_file(lua_State *L)
{
    const struct lgem_file *file = lua_touserdata(L, lua_upvalueindex(1));
    int arguments = lua_gettop(L);
    if (luaL_loadbuffer(L, file->text, file->size, file->chunk) != 0)
        return lua_error(L);
    lua_insert(L, 1);
    lua_call(L, arguments, 1);
    return 1;
}

/* Pushes package.preload, whatever the global `package` is. [-0,+1,v] */
static void push_preload(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "package");
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "preload");
    if (!lua_istable(L, -1))
        luaL_error(L, "lgemini_open: open Lua's package library first");
}

static int open_all(lua_State *L)
{
    static const lgemini_host defaults = {0};
    const lgemini_host *host = lua_touserdata(L, 1);
    if (host == NULL)
        host = &defaults;
    lgem_checkversion(L);
    if (lgem_state(L) != NULL)
        luaL_error(L, "lgemini_open: lgemini is open in this state already");
    push_preload(L);
    for (const struct lgem_file *file = lgem_files; file->module != NULL; file++) {
        lua_pushlightuserdata(L, (void *)file);
        lua_pushcclosure(L, load_file, 1);
        lua_setfield(L, -2, file->module);
    }
    lua_pushcfunction(L, luaopen_lgemini_core);
    lua_setfield(L, -2, "lgemini.core");
    if (host->cjson != NULL) {
        lua_pushcfunction(L, host->cjson);
        lua_setfield(L, -2, "cjson");
    }
    struct gem_mem mem = {host->alloc, host->ud};
    lgem_open_state(L, host->alloc != NULL ? &mem : NULL, host->curl_ready != 0);
    return 0;
}

int lgemini_open(lua_State *L, const lgemini_host *host)
{
    return lgem_pcall(L, open_all, (void *)host);
}
