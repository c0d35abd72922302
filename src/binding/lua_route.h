/* The route userdata: all that requests which differ in their bodies and deadlines only have in common. */
#ifndef GEM_BINDING_LUA_ROUTE_H
#define GEM_BINDING_LUA_ROUTE_H

#include "../net/exchange.h"
#include "lua_core.h"

struct lgem_route {
    struct lgem_state *state;   /* NULL: closed, and as good as ever, but for the handle that it kept */
    struct gem_request request; /* its strings are anchored in a user value */
    struct gem_spare spare;     /* exchanges know its address, and keep the userdata */
};

/* Registers the type. [-0,+0,m] */
void lgem_open_route(lua_State *L);

/* route(request): a route of a request's fields; those of one request alone are not looked at. [-0,+1,v] */
int lgem_newroute(lua_State *L);

/* The route at index, or NULL where it is something else. [-0,+0,-] */
struct lgem_route *lgem_testroute(lua_State *L, int index);

/* Reads those fields out of the table at index 1, where the strings stay; the rest is zeroed. Leaves a box of pointers on
 * the stack, which has to live as long as the request is used. [-0,+1,v] */
void lgem_readroute(lua_State *L, struct gem_request *r);

#endif
