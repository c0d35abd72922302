/* cast: chunks of a stream that are like the one before are made without a look at their JSON. One that says nothing but a
 * text is learned: where its values are (core/mold.h), and, for tables, the steps in which it is made. What was learned
 * for texts goes from one stream to the others: most answers of a service have one form. */
#ifndef GEM_BINDING_LUA_CAST_H
#define GEM_BINDING_LUA_CAST_H

#include "../core/mold.h"
#include "lua_build.h"

struct lgem_cast {
    struct gem_mold mold;
    struct gem_buf steps; /* struct step of lua_cast.c */
    bool tables;          /* it knows these */
    bool ends;            /* the event that it knows says that it is the last */
};

/* mem must outlive it. */
void lgem_initcast(struct lgem_cast *c, const struct gem_mem *mem);
void lgem_freecast(struct lgem_cast *c);

/* Takes what a stream with the same bounds has learned last; leaves to others what this one has. The shapes may be
 * closed. */
void lgem_borrow(struct lgem_cast *c, const struct lgem_builder *b, size_t most);
void lgem_bequeath(const struct lgem_cast *c, const struct lgem_builder *b, size_t most);

/* Learns an event that b has just decoded, all at once, and which says nothing but a text. It may turn out not to be
 * worth it. values: index of a table for those that do not change, to make tables like it; 0: texts only. [-0,+0,m] */
void lgem_learn(lua_State *L, struct lgem_cast *c, struct lgem_builder *b, const char *event, size_t n, int values);

/* The last event, as a table like the one that was learned. [-0,+1,m] */
void lgem_make(lua_State *L, struct lgem_cast *c, int pool, int values);

#endif
