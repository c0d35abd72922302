#include "buf.h"

#include <stdint.h>
#include <string.h>

/* The smallest block: a few header lines or one small event without a second allocation. */
enum { MIN_CAP = 256 };

void gem_buf_init(struct gem_buf *buf, const struct gem_mem *mem, size_t max)
{
    buf->mem = mem;
    buf->data = NULL;
    buf->start = buf->len = buf->cap = 0;
    buf->max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2;  /* so that max + max/2 fits */
}

void gem_buf_free(struct gem_buf *buf)
{
    if (buf->data != NULL)
        gem_mem_free(buf->mem, buf->data, buf->cap);
    buf->data = NULL;
    buf->start = buf->len = buf->cap = 0;
}

char *gem_buf_head(const struct gem_buf *buf)
{
    return buf->data == NULL ? NULL : buf->data + buf->start;
}

char *gem_buf_tail(const struct gem_buf *buf)
{
    return buf->data == NULL ? NULL : buf->data + buf->start + buf->len;
}

static void slide(struct gem_buf *buf)
{
    if (buf->start > 0)
        memmove(buf->data, buf->data + buf->start, buf->len);
    buf->start = 0;
}

/* The capacity for `need` bytes: half as much again as now, never under need, never over the ceiling's. */
static size_t next_cap(const struct gem_buf *buf, size_t need)
{
    size_t most = buf->max + buf->max / 2;
    size_t cap = buf->cap < most - buf->cap / 2 ? buf->cap + buf->cap / 2 : most;
    if (cap < MIN_CAP)
        cap = MIN_CAP < most ? MIN_CAP : most;
    return cap < need ? need : cap;
}

static int grow(struct gem_buf *buf, size_t need, struct gem_err *err)
{
    size_t cap = next_cap(buf, need);
    char *data;

    slide(buf);
    data = gem_mem_resize(buf->mem, buf->data, buf->cap, cap);
    if (data == NULL)
        return gem_err_memory(err);
    buf->data = data;
    buf->cap = cap;
    return 0;
}

/* Moving the bytes to the front is paid for by those consumed when there are at least half as many of them.
 * With fewer, start + len + n is under the ceiling's capacity (max + max/2), so growing makes room. */
int gem_buf_reserve(struct gem_buf *buf, size_t n, struct gem_err *err)
{
    if (n > buf->max - buf->len)
        return gem_err_set(err, GEM_LIMIT, 0, "more than %zu bytes to hold", buf->max);
    if (n <= buf->cap - buf->start - buf->len)
        return 0;
    if (n <= buf->cap - buf->len && buf->start >= buf->len / 2) {
        slide(buf);
        return 0;
    }
    return grow(buf, buf->len + n, err);
}

int gem_buf_add(struct gem_buf *buf, const void *bytes, size_t n, struct gem_err *err)
{
    if (gem_buf_reserve(buf, n, err) < 0)
        return -1;
    if (n > 0)
        memcpy(gem_buf_tail(buf), bytes, n);
    buf->len += n;
    return 0;
}

void gem_buf_commit(struct gem_buf *buf, size_t n)
{
    buf->len += n;
}

void gem_buf_consume(struct gem_buf *buf, size_t n)
{
    buf->len -= n;
    buf->start = buf->len == 0 ? 0 : buf->start + n;
}

void gem_buf_clear(struct gem_buf *buf)
{
    buf->start = buf->len = 0;
}

void gem_buf_shrink(struct gem_buf *buf)
{
    char *data;

    if (buf->len == 0) {
        gem_buf_free(buf);
        return;
    }
    slide(buf);
    if (buf->len == buf->cap)
        return;
    data = gem_mem_resize(buf->mem, buf->data, buf->cap, buf->len);
    if (data != NULL) {
        buf->data = data;
        buf->cap = buf->len;
    }
}
