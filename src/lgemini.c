#include "lgemini.h"

#include "binding/lua_core.h"
#include "preload.h"

static int open_all(lua_State *L)
{
    static const lgemini_host defaults = {0};
    const lgemini_host *host = lua_touserdata(L, 1);
    if (host == NULL)
        host = &defaults;
    lgem_checkversion(L);
    if (lgem_state(L) != NULL)
        luaL_error(L, "lgemini_open: lgemini is open in this state already");
    if (!push_preload(L))
        luaL_error(L, "lgemini_open: open Lua's package library first");
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
