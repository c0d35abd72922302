/* What Lua 5.4's C API has and the older ones and LuaJIT lack. The binding is written for 5.4; this header is the
 * only place that knows which Lua it is.
 *
 * User values: Lua 5.3 and 5.2 have one per userdata and 5.1 an environment table; there, slot n of an object is field n of a
 * table in that place. Setting one may raise for lack of memory then ([m]), so nothing loose may be held. */
#ifndef GEM_BINDING_COMPAT_H
#define GEM_BINDING_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h> /* LUA_FILEHANDLE, in 5.1 */
#include <stdbool.h>

#if LUA_VERSION_NUM < 504

#if LUA_VERSION_NUM == 501
#define lgem_getslots(L, i) lua_getfenv(L, i)
#define lgem_setslots(L, i) lua_setfenv(L, i)
#define lua_rawlen(L, i) lua_objlen(L, i)
#else
#define lgem_getslots(L, i) lua_getuservalue(L, i)
#define lgem_setslots(L, i) lua_setuservalue(L, i)
#endif

static inline void *lua_newuserdatauv(lua_State *L, size_t size, int slots)
{
    void *p = lua_newuserdata(L, size);
    if (slots > 0) {
        lua_createtable(L, slots, 0);
        lgem_setslots(L, -2);
    }
    return p;
}

static inline int lua_setiuservalue(lua_State *L, int index, int n)
{
    lgem_getslots(L, index);
    lua_insert(L, -2);
    lua_rawseti(L, -2, n);
    lua_pop(L, 1);
    return 1;
}

static inline int lua_getiuservalue(lua_State *L, int index, int n)
{
    lgem_getslots(L, index);
    lua_rawgeti(L, -1, n);
    lua_remove(L, -2);
    return lua_type(L, -1);
}

#endif

#if LUA_VERSION_NUM == 501

/* LuaJIT has these two; whether its header says so depends on the version. */
static inline void lgem_setfuncs(lua_State *L, const luaL_Reg *f)
{
    for (; f->name != NULL; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}

static inline void *lgem_testudata(lua_State *L, int index, const char *name)
{
    void *p = lua_touserdata(L, index);
    if (p == NULL || !lua_getmetatable(L, index))
        return NULL;
    luaL_getmetatable(L, name);
    int same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? p : NULL;
}

/* Runs f with one light userdata, as lua_pcall does: 0, or an error's code and its message. [-0,+(0|1),-] */
#define lgem_pcall(L, f, ud) lua_cpcall(L, f, ud)
#define lgem_checkversion(L) ((void)(L))

#else

#define lgem_setfuncs(L, f) luaL_setfuncs(L, f, 0)
#define lgem_testudata luaL_testudata
#define lgem_checkversion luaL_checkversion
#define lgem_pcall(L, f, ud) (lua_pushcfunction(L, f), lua_pushlightuserdata(L, ud), lua_pcall(L, 1, 0, 0))

#endif

/* Where Lua cannot tell, lua_yield raises. LuaJIT can, 5.1 cannot, and what was built with the headers of either is
 * loaded by both: they share their folders. */
#if LUA_VERSION_NUM == 501
extern int lua_isyieldable(lua_State *L) __attribute__((weak));
#define lgem_isyieldable(L) (lua_isyieldable == NULL || lua_isyieldable(L))
#elif LUA_VERSION_NUM == 502
#define lgem_isyieldable(L) ((void)(L), 1)
#else
#define lgem_isyieldable(L) lua_isyieldable(L)
#endif

/* Whether finalisers may run before what is pushed was copied: not in place of bytes that one of them may free. */
#define LGEM_COPIES_LATE (LUA_VERSION_NUM < 503)

/* As if so many KiB had been allocated, or given back where there are less than none: the collector does what it would
 * do then, or has so much less to do next. Only where it is not stopped. In 5.1 and LuaJIT, which never do more than a
 * little at a time, nothing; false then. [-0,+0,e] */
static inline bool lgem_collect(lua_State *L, int kib)
{
#if LUA_VERSION_NUM > 501
    return lua_gc(L, LUA_GCISRUNNING, 0) == 1 && lua_gc(L, LUA_GCSTEP, kib) >= 0;
#else
    (void)L, (void)kib;
    return false;
#endif
}

#if LUA_VERSION_NUM < 503
#define lgem_isinteger(L, i) 0
#else
#define lgem_isinteger(L, i) lua_isinteger(L, i)
#endif

#endif
