/* The body userdata, for the exchange that sends it. */
#ifndef GEM_BINDING_LUA_BODY_H
#define GEM_BINDING_LUA_BODY_H

#include "../core/body.h"
#include "lua_core.h"

struct lgem_body {
    struct lgem_state *state; /* NULL: closed */
    struct gem_body body;
};

#endif
