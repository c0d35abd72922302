/* Shapes: the types of schema.lua as the decoder of answers wants them. Names on the wire are found by hash, and the
 * Lua strings that they become lie ready in a table, the pool. A shape is made when the decoder first meets its type. */
#ifndef GEM_BINDING_LUA_SHAPE_H
#define GEM_BINDING_LUA_SHAPE_H

#include "../core/mold.h"
#include "lua_core.h"

enum lgem_value {
    LGEM_ANY, /* user data: what the JSON says */
    LGEM_STRUCT,
    LGEM_TEXT,
    LGEM_NUMBER,
    LGEM_INTEGER,
    LGEM_INT64,
    LGEM_BOOLEAN,
    LGEM_BYTES,
    LGEM_OBJECT
};

struct lgem_field {
    const char *wire;    /* its bytes; the pool keeps them */
    size_t wire_length;
    int wire_key, key;   /* the name on the wire, and in Lua, in the pool */
    enum lgem_value kind; /* of it, or of its items */
    bool list;
    const char *type;    /* of an object: its name; the pool keeps it */
    struct lgem_shape *shape; /* the same, once it was met */
};

/* Of an answer that is made of texts: what tells whether a chunk says nothing but a text. */
enum lgem_role { LGEM_NO_ROLE, LGEM_RESPONSE, LGEM_CANDIDATE, LGEM_CONTENT, LGEM_PART, LGEM_ROLES };

struct lgem_shape {
    struct lgem_shape *next;
    const char *name;
    int name_key, meta_key;   /* in the pool; meta_key 0: none */
    bool media;               /* its bytes may go to a file */
    bool echoed;              /* what it cannot show as it came is noted, here and below */
    enum lgem_role role;
    uint32_t apart;           /* members, a bit each, with which a chunk says more than its text */
    uint32_t ends;            /* the same of those with which it says that the answer is whole */
    int index;                /* the member that must be 0, or -1 */
    int members;              /* of the last object, to size the next table */
    unsigned count, slots;    /* fields; slots of the hash, a power of 2 */
    struct lgem_field *fields;
    unsigned char *hash;      /* field + 1, or 0 */
    size_t size;              /* of the block that all of it is in */
};

/* What the pool begins with. */
enum { LGEM_POOL_NULL = 1, LGEM_POOL_ARRAY, LGEM_POOL_SETTLE, LGEM_POOL_TYPES, LGEM_POOL_FIXED = LGEM_POOL_TYPES };

struct lgem_shapes {
    struct lgem_state *state; /* NULL: closed */
    struct lgem_shape *first;
    int pooled;
    struct gem_mold kept;     /* what a stream of texts has learned last, for the next one: see lua_cast.h */
    bool kept_ends;
    size_t kept_most;
    unsigned kept_depth;
};

/* The open shapes at arg. [-0,+0,v] */
struct lgem_shapes *lgem_checkshapes(lua_State *L, int arg);

/* Pushes their pool. [-0,+1,-] */
void lgem_pushpool(lua_State *L, int arg);

/* The shape of that type, made if need be; the shapes own it. Calls Lua. pool: index of theirs. [-0,+0,v] */
struct lgem_shape *lgem_findshape(lua_State *L, struct lgem_shapes *shapes, int pool, const char *name);

/* The field of that name on the wire, or NULL. */
struct lgem_field *lgem_findfield(const struct lgem_shape *shape, const char *wire, size_t n);

/* shapes{ null =, array =, settle =, types = }, all of them functions: see core.meta.lua. */
int lgem_newshapes(lua_State *L);
void lgem_open_shapes(lua_State *L); /* registers the type, pushes nothing */

#endif
