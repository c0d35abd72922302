/* What `make install` leaves as lgemini/core.so, on Linux: it opens the core, which then is lgemini/whole.so beside it.
 *
 * Lua binds every name of what it opens, and with ours the 1,800 by which the libraries behind libcurl call one
 * another, almost all for nothing. Opened from here they are bound as in any program, when they are first called. The
 * core's own names are bound at once all the same (-z now), so that one that is missing is an error of `require`.
 *
 * Others are bound when a library is opened, whatever is asked for. Where GnuTLS is behind libcurl, by roundabout ways,
 * it and what it needs have most of these, and look for each among all of libcurl's thirty libraries. Opened before
 * them they look among the few that they need themselves.
 *
 * It also brings the Lua files that a first call loads, compiled: from here they need no search, are not read, and take
 * no memory beside that of their functions. Those that lie in the folder are the same. */
#if defined(__linux__)
#define _GNU_SOURCE /* dladdr */
#endif

#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "preload.h"

static const char here = 0; /* its address is in this library */

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_lgemini_core(lua_State *L);

int luaopen_lgemini_core(lua_State *L)
{
    Dl_info self;
    push_preload(L);
    lua_pop(L, 1);
    if (dladdr(&here, &self) == 0)
        return luaL_error(L, "lgemini.core: where is it?");
    const char *slash = strrchr(self.dli_fname, '/');
    lua_pushlstring(L, self.dli_fname, slash != NULL ? (size_t)(slash + 1 - self.dli_fname) : 0);
    lua_pushliteral(L, "whole.so");
    lua_concat(L, 2);
#if defined(BEFORE) /* its name here; elsewhere it may be another or none */
    dlopen(BEFORE, RTLD_LAZY | RTLD_LOCAL);
#endif
    void *core = dlopen(lua_tostring(L, -1), RTLD_LAZY | RTLD_LOCAL);
    if (core == NULL)
        return luaL_error(L, "%s", dlerror());
    lua_pop(L, 1);
    lua_CFunction open;
    *(void **)&open = dlsym(core, "luaopen_lgemini_core"); /* as POSIX has it: ISO C knows no such cast */
    return open != NULL ? open(L) : luaL_error(L, "%s", dlerror());
}
