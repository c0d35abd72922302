#include "rope.h"

#include <stdint.h>
#include <string.h>

#include "pack.h"

/* Bytes of a block; of one that is to be packed when it is full; and of texts that are packed on the stack. */
enum { LEAST = 488, MOST = 16384, PACKED = 744, SMALL = 1024 };

struct gem_rope_block {
    struct gem_rope_block *next;
    uint32_t len, room; /* of packed ones there are more bytes than there is room */
    char bytes[];
};

void gem_rope_init(struct gem_rope *rope, const struct gem_mem *mem)
{
    rope->mem = mem;
    rope->first = rope->before = rope->last = NULL;
    rope->len = 0;
    rope->packs = false;
}

static size_t size_of(size_t room)
{
    return sizeof(struct gem_rope_block) + room;
}

/* Not in the list yet; NULL where memory is short. */
static struct gem_rope_block *make(const struct gem_rope *rope, size_t room)
{
    struct gem_rope_block *block = room < UINT32_MAX ? gem_mem_alloc(rope->mem, size_of(room)) : NULL;
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->len = 0;
    block->room = (uint32_t)room;
    return block;
}

static void unmake(const struct gem_rope *rope, struct gem_rope_block *block)
{
    if (block != NULL)
        gem_mem_free(rope->mem, block, size_of(block->room));
}

void gem_rope_drop(struct gem_rope *rope)
{
    struct gem_rope_block *block = rope->first;
    if (block == NULL)
        return;
    rope->first = block->next;
    if (rope->first == NULL)
        rope->last = NULL;
    if (rope->before == block)
        rope->before = NULL;
    rope->len -= block->len;
    unmake(rope, block);
}

void gem_rope_free(struct gem_rope *rope)
{
    while (rope->first != NULL)
        gem_rope_drop(rope);
}

/* Behind the one before the last, in place of the last or in front of it. */
static void put_in(struct gem_rope *rope, struct gem_rope_block *block, struct gem_rope_block *next)
{
    block->next = next;
    if (rope->before != NULL)
        rope->before->next = block;
    else
        rope->first = block;
}

static void put_last(struct gem_rope *rope, struct gem_rope_block *block)
{
    rope->before = rope->last;
    if (rope->last != NULL)
        rope->last->next = block;
    else
        rope->first = block;
    rope->last = block;
}

/* What the block holds, in fewer bytes and not in the list yet; NULL where that is not to be, or memory is short. */
static struct gem_rope_block *packed_of(const struct gem_rope *rope, const struct gem_rope_block *block)
{
    char small[SMALL], *to = small;
    struct gem_rope_block *packed = NULL;
    if (!rope->packs || block == NULL || block->len == 0)
        return NULL;
    if (block->len > SMALL && (to = gem_mem_alloc(rope->mem, block->len)) == NULL)
        return NULL;
    size_t n = gem_pack(to, block->bytes, block->len);
    if (n > 0 && (packed = make(rope, n)) != NULL) {
        memcpy(packed->bytes, to, n);
        packed->len = block->len;
    }
    if (to != small)
        gem_mem_free(rope->mem, to, block->len);
    return packed;
}

static size_t room_for(const struct gem_rope *rope, size_t n)
{
    size_t room = rope->len / 16;
    room = rope->packs ? PACKED : room < LEAST ? LEAST : room < MOST ? room : MOST;
    return room < n ? n : room;
}

/* The last one is full: room for n more behind it. */
static int extend(struct gem_rope *rope, size_t n)
{
    struct gem_rope_block *last = rope->last, *packed = packed_of(rope, last), *block;
    if (packed != NULL && last->room == PACKED && n <= PACKED) { /* it is used again */
        put_in(rope, packed, last);
        rope->before = packed;
        last->len = 0;
        return 0;
    }
    block = make(rope, room_for(rope, n));
    if (block == NULL) {
        unmake(rope, packed);
        return -1;
    }
    if (packed != NULL) {
        put_in(rope, packed, NULL);
        rope->last = packed;
        unmake(rope, last);
    }
    put_last(rope, block);
    return 0;
}

static void put(struct gem_rope *rope, const char *bytes, size_t n)
{
    if (n == 0)
        return;
    memcpy(rope->last->bytes + rope->last->len, bytes, n);
    rope->last->len += (uint32_t)n;
    rope->len += n;
}

int gem_rope_add(struct gem_rope *rope, const char *bytes, size_t n, struct gem_err *err)
{
    struct gem_rope_block *last = rope->last;
    size_t left = last != NULL && last->len < last->room ? last->room - last->len : 0, fits = n < left ? n : left;
    put(rope, bytes, fits);
    if (n > fits && extend(rope, n - fits) < 0) {
        if (fits > 0)
            last->len -= (uint32_t)fits;
        rope->len -= fits;
        return gem_err_memory(err);
    }
    put(rope, bytes + fits, n - fits);
    return 0;
}

size_t gem_rope_next(const struct gem_rope *rope)
{
    return rope->first != NULL ? rope->first->len : 0;
}

static bool is_packed(const struct gem_rope_block *block)
{
    return block->len > block->room;
}

const char *gem_rope_head(const struct gem_rope *rope)
{
    return rope->first != NULL && !is_packed(rope->first) ? rope->first->bytes : NULL;
}

void gem_rope_copy(const struct gem_rope *rope, char *dst)
{
    const struct gem_rope_block *block = rope->first;
    if (block != NULL && is_packed(block))
        gem_unpack(dst, block->len, block->bytes, block->room);
    else if (block != NULL)
        memcpy(dst, block->bytes, block->len);
}
