/* The exchange userdata, for the loop that drives it. */
#ifndef GEM_BINDING_LUA_EXCHANGE_H
#define GEM_BINDING_LUA_EXCHANGE_H

#include "../net/exchange.h"
#include "lua_core.h"

struct lgem_exchange {
    struct lgem_state *state; /* NULL: closed */
    struct gem_exchange ex;   /* libcurl keeps its address: it holds until the finaliser has run */
};

/* User values: libcurl's callbacks, and the loop, use them as long as the exchange lives. */
enum { LGEM_SLOT_BODY = 1, LGEM_SLOT_HASH, LGEM_SLOT_SHARE, LGEM_SLOT_ROUTE, LGEM_EXCHANGE_SLOTS = LGEM_SLOT_ROUTE };

/* An open exchange. [-0,+0,v] */
struct lgem_exchange *lgem_checkexchange(lua_State *L, int arg);

#endif
