/* The event-stream parser userdata, for the exchange that feeds it. */
#ifndef GEM_BINDING_LUA_SSE_H
#define GEM_BINDING_LUA_SSE_H

#include "../core/sse.h"
#include "lua_core.h"

struct lgem_sse {
    struct lgem_state *state; /* NULL: closed */
    struct gem_sse sse;
    const char *bytes;        /* fed by Lua and not parsed yet; anchored in a user value */
    size_t length;
};

/* An open parser. [-0,+0,v] */
struct lgem_sse *lgem_checksse(lua_State *L, int arg);

/* Pushes the next event's data, or nothing when more bytes are needed, or nil and an error. Returns how many values. The
 * bytes must stay until it has returned. [-0,+0|1|2,m] */
int lgem_nextevent(lua_State *L, struct lgem_sse *parser, const char *bytes, size_t n, size_t *used);

#endif
