/* rope: bytes that are only ever added to, in blocks that never move: what is held is what was added and a sixteenth
 * more, and at no time twice that; where it packs, less than that of a text, and some 700 bytes. Taken from its
 * beginning, block by block. */
#ifndef GEM_CORE_ROPE_H
#define GEM_CORE_ROPE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

struct gem_rope_block;

struct gem_rope {
    const struct gem_mem *mem;
    size_t len; /* bytes that were added */
    bool packs; /* to be set at any time: blocks that get full are packed from then on, see pack.h */
    struct gem_rope_block *first, *before, *last; /* private: before the last; or NULL */
};

/* Owns no memory yet. mem must outlive the rope. */
void gem_rope_init(struct gem_rope *rope, const struct gem_mem *mem);

/* Leaves an empty rope, which may be used again. */
void gem_rope_free(struct gem_rope *rope);

/* Adds a copy of n bytes. 0; or -1 where memory is short, and the same bytes held as before. */
int gem_rope_add(struct gem_rope *rope, const char *bytes, size_t n, struct gem_err *err);

/* How many bytes are the first that are held together; 0: there are none. */
size_t gem_rope_next(const struct gem_rope *rope);

/* Where they are; NULL where they are packed. */
const char *gem_rope_head(const struct gem_rope *rope);

/* Copies them. */
void gem_rope_copy(const struct gem_rope *rope, char *dst);

/* Lets go of them. */
void gem_rope_drop(struct gem_rope *rope);

#endif
