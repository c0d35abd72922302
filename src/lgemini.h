/* lgemini for programs in C and C++ that embed Lua: link liblgemini.a, libcurl and libcrypto, call lgemini_open in each
 * Lua state, and its scripts have `require "lgemini"`. The library's Lua files are inside: no LUA_PATH is needed. (Or
 * compile dist/lgemini.c in: then `require` has to find lgemini.lua, which is beside it.)
 *
 *     lua_State *L = luaL_newstate();
 *     luaL_openlibs(L);
 *     if (lgemini_open(L, NULL) != 0)
 *         fprintf(stderr, "%s\n", lua_tostring(L, -1));
 *
 * lua-cjson is not inside. `require "cjson"` must find it when a script requires lgemini: on package.cpath as it is
 * installed, in package.preload, or from `cjson` below.
 *
 * Threads: nothing is shared between states, so each may have a thread of its own; one state is for one thread at a time,
 * as any Lua state. The library starts none, but libcurl resolves names in threads. */
#ifndef LGEMINI_H
#define LGEMINI_H

#ifdef __cplusplus
extern "C" { /* Lua's header, too: it says nothing about C++ */
#endif

#include <lua.h>

/* Zero what you do not set: fields are only added. Copied, but what `ud` points to must live until lua_close ends. */
typedef struct lgemini_host {
    /* The core's memory, in the shape of Lua's own allocator; NULL for malloc's. (Objects that scripts hold are in Lua's
     * memory; libcurl's is its own: curl_global_init_mem.) Called by the thread that runs the state, also from inside
     * libcurl: it must not raise, jump or call Lua. old_size is the block's true size, 0 for a new one; what it
     * allocates is aligned as malloc does. When lua_close has returned, all of it has been given back. */
    lua_Alloc alloc;
    void *ud; /* its first argument */

    /* Not 0: the host has called curl_global_init, and no other call of it is made. Else it is called once for each state.
     * That is safe from several threads where curl_version_info() has CURL_VERSION_THREADSAFE; otherwise call it
     * yourself, before the first thread. Neither calls curl_global_cleanup: a host that does must be sure that no
     * lookup of a name is left in a thread of libcurl's. */
    int curl_ready;

    /* luaopen_cjson of a lua-cjson that is linked in; NULL: `require` finds it, or the host has put it into
     * package.preload. */
    lua_CFunction cjson;
} lgemini_host;

/* Once for each state, after Lua's package library and before anything requires lgemini. host NULL: all defaults.
 * Loads nothing yet: it fills package.preload. Returns 0; or, like lua_pcall, an error's code, with its message on the
 * stack, when memory is short, the package library is missing, or lgemini is open in this state already. Never raises.
 * Needs two free slots of the stack. */
int lgemini_open(lua_State *L, const lgemini_host *host);

/* What is behind `require "lgemini.core"`, for hosts that fill package.preload themselves. */
int luaopen_lgemini_core(lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
