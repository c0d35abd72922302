/* For targets whose subject is Lua: one state with the library in it, and libFuzzer told which lines of Lua ran.
 *
 * The check is a Lua file beside the target that returns a function of the input; what that raises is a finding. Run
 * from the root of the project, and with lua-cjson where Lua finds it. */
#ifndef GEM_SPEC_FUZZ_LUA_H
#define GEM_SPEC_FUZZ_LUA_H

#include "fuzz.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_lgemini_core(lua_State *L);

enum { FUZZ_LINES = 1 << 15, FUZZ_NAMES = 2000 };

/* One counter for each step from line to line, hashed; libFuzzer clears them before each input. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t fuzz_lines[FUZZ_LINES];

/* Modules differ in the length of "@lua/lgemini/<name>.lua" or in the first two letters of the name. */
static inline void fuzz_on_line(lua_State *L, lua_Debug *ar)
{
    static unsigned last;
    lua_getinfo(L, "S", ar);
    unsigned module = (unsigned)ar->srclen * 31;
    if (ar->srclen > 14)
        module += (unsigned)ar->source[13] * 1021 + (unsigned)ar->source[14] * 8191;
    unsigned here = (unsigned)ar->currentline * 40503u + module;
    uint8_t *counter = &fuzz_lines[(here ^ last >> 1) % FUZZ_LINES];
    if (*counter < UINT8_MAX)
        ++*counter;
    last = here;
}

static inline int fuzz_traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* Calls the function below its n arguments. */
static inline void fuzz_call(lua_State *L, int n, int results)
{
    int handler = lua_gettop(L) - n;
    lua_pushcfunction(L, fuzz_traceback);
    lua_insert(L, handler);
    if (lua_pcall(L, n, results, handler) != LUA_OK) {
        fprintf(stderr, "broken: %s\n", lua_tostring(L, -1));
        abort();
    }
    lua_remove(L, handler);
}

/* The check, and what the mutations of JSON may call a member. */
struct fuzz_lua {
    lua_State *L; /* the check is at index 1, its names at 2 */
    const char *names[FUZZ_NAMES];
    size_t count;
};

static inline void fuzz_read_names(struct fuzz_lua *fuzz)
{
    while (lua_istable(fuzz->L, 2) && fuzz->count < FUZZ_NAMES) {
        lua_rawgeti(fuzz->L, 2, (lua_Integer)fuzz->count + 1);
        const char *name = lua_tostring(fuzz->L, -1); /* the table keeps it */
        lua_pop(fuzz->L, 1);
        if (name == NULL)
            break;
        fuzz->names[fuzz->count++] = name;
    }
}

/* Once: loads the file, calls it with a table of the functions, and keeps what it returns: the check and, perhaps, a
 * list of names in quotes. */
static inline void fuzz_open(struct fuzz_lua *fuzz, const char *file, const luaL_Reg *functions)
{
    static const char paths[] = "package.path = 'lua/?.lua;lua/?/init.lua;' .. package.path";
    lua_State *L = fuzz->L;
    if (L != NULL)
        return;
    MUST((L = fuzz->L = luaL_newstate()) != NULL);
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_lgemini_core);
    lua_setfield(L, -2, "lgemini.core");
    lua_pop(L, 1);
    if (luaL_dostring(L, paths) != LUA_OK || luaL_loadfile(L, file) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        exit(2);
    }
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    fuzz_call(L, 1, 2);
    fuzz_read_names(fuzz);
    lua_sethook(L, fuzz_on_line, LUA_MASKLINE, 0);
}

static inline void fuzz_check(struct fuzz_lua *fuzz, const uint8_t *data, size_t size)
{
    lua_pushvalue(fuzz->L, 1);
    lua_pushlstring(fuzz->L, size > 0 ? (const char *)data : "", size);
    fuzz_call(fuzz->L, 1, 0);
}

#endif
