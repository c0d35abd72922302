/* rope: bytes that are only ever added to, in blocks that never move: what is held is what was added and a sixteenth
 * more, and at no time twice that. Taken from its beginning, block by block. */
#ifndef GEM_CORE_ROPE_H
#define GEM_CORE_ROPE_H

#include <stddef.h>

#include "err.h"
#include "mem.h"

struct gem_rope_block;

struct gem_rope {
    const struct gem_mem *mem;
    struct gem_rope_block *first, *last;
    size_t len; /* bytes in all blocks */
};

/* Owns no memory yet. mem must outlive the rope. */
void gem_rope_init(struct gem_rope *rope, const struct gem_mem *mem);

/* Leaves an empty rope, which may be used again. */
void gem_rope_free(struct gem_rope *rope);

/* Adds a copy of n bytes, fewer than 4 GiB. 0; or -1 where memory is short, and the same bytes held as before. */
int gem_rope_add(struct gem_rope *rope, const char *bytes, size_t n, struct gem_err *err);

/* The first bytes held, or NULL: there are none. */
const char *gem_rope_head(const struct gem_rope *rope, size_t *n);

/* Lets go of these. */
void gem_rope_drop(struct gem_rope *rope);

#endif
