/* Tokens of JSON -> the Lua value that the caller gets, in one pass and by the shape of its type: names in snake_case,
 * integers as integers, base64 as bytes, nulls left out, user data as it came. It may stop after any byte.
 *
 * On the stack, above `base`: an object is itself and a table of what it cannot show as it came (false while there is
 * none), a list or a value of user data itself; above an object, the key of the member at hand. Between two calls
 * they lie in a user value of the builder's owner. */
#ifndef GEM_BINDING_LUA_BUILD_H
#define GEM_BINDING_LUA_BUILD_H

#include "../core/base64.h"
#include "../core/buf.h"
#include "../core/json.h"
#include "lua_shape.h"

struct lgem_frame;

enum lgem_built {
    LGEM_BUILD_BROKEN = -1,
    LGEM_BUILD_MORE,
    LGEM_BUILD_LATER, /* a large string comes next, in the next call, whose bytes are the same */
    LGEM_BUILD_WHOLE /* the value is at base + 1 */
};

struct lgem_builder {
    struct gem_json json;
    struct lgem_shapes *shapes;
    struct lgem_shape *top;    /* of the whole; NULL: all is user data */
    struct lgem_frame *frames;
    int depth, room;           /* frames in use, and in the block */
    int saved;                 /* stack slots in the user value */
    bool in_bytes;             /* a string of base64 has begun */
    bool sinking;              /* the bytes at hand go to the sink */
    bool later;                /* a large string was put off */
    struct gem_base64_decoder base64;
    struct gem_buf bytes;
    /* Of the answer as far as it came: for lgem_is_text. */
    int objects[LGEM_ROLES];
    bool apart, ends;
    size_t after; /* the end of the text of a part, in the bytes fed last; 0: none came */
};

/* Of one call: where things are on the stack. */
struct lgem_site {
    int owner, pool, base; /* indices; slot: the owner's user value for what is on the stack */
    int slot, sink;        /* the user value with the function that takes the bytes of media, or 0 */
    struct lgem_state *apart; /* where time is short, and large strings are put off to a call of their own: the state */
};

/* max_text: bytes of one string; max_depth: levels. mem must outlive the builder. */
void lgem_initbuilder(struct lgem_builder *b, const struct gem_mem *mem, size_t max_text, unsigned max_depth);
void lgem_freebuilder(struct lgem_builder *b);

/* Forgets what has come of the value at hand, and begins with the next. */
void lgem_resetbuilder(struct lgem_builder *b);

/* Puts back on the stack what lgem_suspend took from it. [-0,+n,m] */
void lgem_resume(lua_State *L, struct lgem_builder *b, const struct lgem_site *at);

/* Clears the stack down to base. [-n,+0,m] */
void lgem_suspend(lua_State *L, struct lgem_builder *b, const struct lgem_site *at);

/* Takes more bytes: all of them, unless it is broken or puts some off. Between resume and suspend. [-0,+n,v] */
enum lgem_built lgem_build(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, const char *bytes, size_t n,
                           struct gem_err *err);

/* No more will come of this value: WHOLE or BROKEN. */
enum lgem_built lgem_buildend(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, struct gem_err *err);

/* Whether a whole answer says nothing but one text, and perhaps (`ends`) that it is the last: it has no other parts, no odd
 * members, no name twice, ... */
bool lgem_is_text(const struct lgem_builder *b);

#endif
