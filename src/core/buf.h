/* Growable bytes with a ceiling: filled at the end, emptied from the front. Not a string: no NUL is kept.
 *
 * The struct is embedded in its owner, who calls gem_buf_init once and gem_buf_free at the end. Read len and
 * max at will; write to no field. Pointers into the buffer (head, tail) hold until the next call that
 * takes the buffer without const: adding and reserving may move the bytes, consuming the last of them resets.
 *
 * The ceiling bounds the bytes held, len. The block behind them grows by half and takes at most max + max/2:
 * the room that makes adding and consuming cost O(1) a byte, however the two are mixed. */
#ifndef GEM_CORE_BUF_H
#define GEM_CORE_BUF_H

#include <stddef.h>

#include "err.h"
#include "mem.h"

struct gem_buf {
    const struct gem_mem *mem;
    char *data;    /* the block; NULL while there is none */
    size_t start;  /* bytes consumed in front of the first one held */
    size_t len;    /* bytes held */
    size_t cap;    /* size of the block */
    size_t max;    /* ceiling for len */
};

/* Owns no memory yet. mem must outlive the buffer. */
void gem_buf_init(struct gem_buf *buf, const struct gem_mem *mem, size_t max);

/* Gives the block back and leaves an empty buffer, which may be used again. Safe to call twice, and on a
 * struct that is all zeroes. */
void gem_buf_free(struct gem_buf *buf);

/* Appends a copy of n bytes, which must not lie in this buffer. Returns 0, or -1 with GEM_LIMIT (over max, or
 * out of memory) and the same bytes held as before. */
int gem_buf_add(struct gem_buf *buf, const void *bytes, size_t n, struct gem_err *err);

/* Makes room for n bytes at gem_buf_tail, for the caller to write and then count with gem_buf_commit.
 * Results as gem_buf_add's. */
int gem_buf_reserve(struct gem_buf *buf, size_t n, struct gem_err *err);

/* Counts n bytes that were written at gem_buf_tail; no more than were reserved. */
void gem_buf_commit(struct gem_buf *buf, size_t n);

/* Drops n bytes, at most len, from the front. Moves nothing. */
void gem_buf_consume(struct gem_buf *buf, size_t n);

/* Drops all bytes and keeps the block. */
void gem_buf_clear(struct gem_buf *buf);

/* Gives back the part of the block that holds nothing; all of it when the buffer is empty. If the allocator
 * will not, the block stays. */
void gem_buf_shrink(struct gem_buf *buf);

/* The first byte held; may be NULL when there is none. */
char *gem_buf_head(const struct gem_buf *buf);

/* Where the next byte goes; may be NULL when nothing was ever reserved. */
char *gem_buf_tail(const struct gem_buf *buf);

#endif
