/* How Lua files that are data come to a Lua state: package.preload has them. For what opens the library: lgemini.c and
 * door.c. */
#ifndef GEM_PRELOAD_H
#define GEM_PRELOAD_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "embedded.h"

/* A loader of package.preload; upvalue 1 is its file. */
static inline int load_file(lua_State *L)
{
    const struct lgem_file *file = lua_touserdata(L, lua_upvalueindex(1));
    int arguments = lua_gettop(L);
    if (luaL_loadbuffer(L, file->text, file->size, file->chunk) != 0)
        return lua_error(L);
    lua_insert(L, 1);
    lua_call(L, arguments, 1);
    return 1;
}

/* Pushes package.preload, whatever the global `package` is, with the files in it, but for modules that it has already.
 * False, and something else is pushed, where there is no such table. [-0,+1,e] */
static inline bool push_preload(lua_State *L)
{
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "package");
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "preload");
    lua_insert(L, top + 1);
    lua_settop(L, top + 1);
    if (!lua_istable(L, -1))
        return false;
    for (const struct lgem_file *file = lgem_files; file->module != NULL; file++) {
        lua_getfield(L, -1, file->module);
        if (lua_isnil(L, -1)) {
            lua_pushlightuserdata(L, (void *)file);
            lua_pushcclosure(L, load_file, 1);
            lua_setfield(L, -3, file->module);
        }
        lua_pop(L, 1);
    }
    return true;
}

#endif
