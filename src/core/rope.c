#include "rope.h"

#include <stdint.h>
#include <string.h>

enum { LEAST = 488, MOST = 16384 }; /* bytes of a block */

struct gem_rope_block {
    struct gem_rope_block *next;
    uint32_t len, room;
    char bytes[];
};

void gem_rope_init(struct gem_rope *rope, const struct gem_mem *mem)
{
    rope->mem = mem;
    rope->first = rope->last = NULL;
    rope->len = 0;
}

static size_t size_of(size_t room)
{
    return sizeof(struct gem_rope_block) + room;
}

void gem_rope_drop(struct gem_rope *rope)
{
    struct gem_rope_block *block = rope->first;
    if (block == NULL)
        return;
    rope->first = block->next;
    if (rope->first == NULL)
        rope->last = NULL;
    rope->len -= block->len;
    gem_mem_free(rope->mem, block, size_of(block->room));
}

void gem_rope_free(struct gem_rope *rope)
{
    while (rope->first != NULL)
        gem_rope_drop(rope);
}

/* One for n bytes at least, linked behind the others; NULL where memory is short, or a block has not that much. */
static struct gem_rope_block *new_block(struct gem_rope *rope, size_t n)
{
    size_t room = rope->len / 16;
    room = room < LEAST ? LEAST : room < MOST ? room : MOST;
    room = room < n ? n : room;
    struct gem_rope_block *block = room <= UINT32_MAX ? gem_mem_alloc(rope->mem, size_of(room)) : NULL;
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->len = 0;
    block->room = (uint32_t)room;
    if (rope->last != NULL)
        rope->last->next = block;
    else
        rope->first = block;
    rope->last = block;
    return block;
}

static void put(struct gem_rope *rope, struct gem_rope_block *block, const char *bytes, size_t n)
{
    memcpy(block->bytes + block->len, bytes, n);
    block->len += (uint32_t)n;
    rope->len += n;
}

int gem_rope_add(struct gem_rope *rope, const char *bytes, size_t n, struct gem_err *err)
{
    struct gem_rope_block *last = rope->last, *next;
    size_t left = last != NULL ? last->room - last->len : 0, fits = n < left ? n : left;
    if (n > fits) {
        next = new_block(rope, n - fits);
        if (next == NULL)
            return gem_err_memory(err);
        put(rope, next, bytes + fits, n - fits);
    }
    if (fits > 0)
        put(rope, last, bytes, fits);
    return 0;
}

const char *gem_rope_head(const struct gem_rope *rope, size_t *n)
{
    *n = rope->first != NULL ? rope->first->len : 0;
    return rope->first != NULL ? rope->first->bytes : NULL;
}
