/* The sha256 userdata, for the exchange that hashes what it sends. */
#ifndef GEM_BINDING_LUA_SHA256_H
#define GEM_BINDING_LUA_SHA256_H

#include "../core/sha256.h"
#include "lua_core.h"

struct lgem_sha256 {
    struct lgem_state *state; /* NULL: closed */
    struct gem_sha256 hash;
};

#endif
