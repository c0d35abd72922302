#include "body.h"

#include <string.h>

#define LENGTH_MAX ((int64_t)1 << 62)

void gem_body_init(struct gem_body *body, const struct gem_mem *mem)
{
    memset(body, 0, sizeof *body);
    body->mem = mem;
    body->level = gem_base64_best();
}

void gem_body_free(struct gem_body *body)
{
    for (size_t i = 0; i < body->count; i++) {
        struct gem_segment *s = &body->segments[i];
        gem_file_close(s->fd);
        if (s->path != NULL)
            gem_mem_free(body->mem, s->path, strlen(s->path) + 1);
    }
    gem_mem_free(body->mem, body->segments, body->capacity * sizeof *body->segments);
    gem_body_init(body, body->mem);
}

static int grow(struct gem_body *body, struct gem_err *err)
{
    size_t capacity = body->capacity == 0 ? 1 : body->capacity * 2;
    struct gem_segment *more = gem_mem_array(body->mem, capacity, sizeof *more);
    if (more == NULL)
        return gem_err_memory(err);
    if (body->count > 0)
        memcpy(more, body->segments, body->count * sizeof *more);
    gem_mem_free(body->mem, body->segments, body->capacity * sizeof *more);
    body->segments = more;
    body->capacity = capacity;
    return 0;
}

/* Appends the segment; on failure the caller still owns what it holds. */
static int append(struct gem_body *body, struct gem_segment *s, struct gem_err *err)
{
    if (s->size < 0 || s->size > LENGTH_MAX / 2)
        return gem_err_set(err, GEM_LIMIT, 0, "a request body can not be this long");
    s->length = s->base64 ? (int64_t)gem_base64_encoded_len((uint64_t)s->size) : s->size;
    s->start = body->length;
    if (s->length > LENGTH_MAX - body->length)
        return gem_err_set(err, GEM_LIMIT, 0, "a request body can not be this long");
    if (body->count == body->capacity && grow(body, err) < 0)
        return -1;
    body->segments[body->count++] = *s;
    body->length += s->length;
    return 0;
}

static char *copy_text(const struct gem_mem *mem, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = gem_mem_alloc(mem, n);
    return copy == NULL ? NULL : memcpy(copy, text, n);
}

/* Appends a segment that needs a copy of its name; takes over s->fd only on success. */
static int append_named(struct gem_body *body, struct gem_segment *s, const char *name, struct gem_err *err)
{
    s->size = s->id.size;
    s->path = copy_text(body->mem, name);
    if (s->path == NULL)
        return gem_err_memory(err);
    if (append(body, s, err) == 0)
        return 0;
    gem_mem_free(body->mem, s->path, strlen(name) + 1);
    return -1;
}

int gem_body_add_bytes(struct gem_body *body, const void *bytes, size_t n, bool base64, struct gem_err *err)
{
    struct gem_segment s = {.source = GEM_SOURCE_BYTES, .base64 = base64, .bytes = bytes, .fd = -1};
    if (n > (size_t)(LENGTH_MAX / 2))
        return gem_err_set(err, GEM_LIMIT, 0, "a request body can not be this long");
    s.size = (int64_t)n;
    return append(body, &s, err);
}

int gem_body_add_file(struct gem_body *body, const char *path, bool base64, struct gem_err *err)
{
    struct gem_segment s = {.source = GEM_SOURCE_FILE, .base64 = base64, .fd = -1};
    if (gem_file_identify(path, &s.id, err) < 0)
        return -1;
    return append_named(body, &s, path, err);
}

int gem_body_add_handle(struct gem_body *body, int fd, const char *name, struct gem_err *err)
{
    struct gem_segment s = {.source = GEM_SOURCE_HANDLE};
    s.fd = gem_file_adopt(fd, name, &s.id, err);
    if (s.fd < 0)
        return -1;
    if (append_named(body, &s, name, err) == 0)
        return 0;
    gem_file_close(s.fd);
    return -1;
}

int gem_body_add_reader(struct gem_body *body, int64_t size, struct gem_err *err)
{
    struct gem_segment s = {.source = GEM_SOURCE_READER, .fd = -1, .size = size};
    return append(body, &s, err);
}

void gem_body_cursor_init(struct gem_body_cursor *cursor)
{
    memset(cursor, 0, sizeof *cursor);
    cursor->fd = -1;
}

void gem_body_cursor_free(struct gem_body_cursor *cursor)
{
    gem_file_close(cursor->fd);
    gem_body_cursor_init(cursor);
}

/* The segment that holds offset; empty ones hold nothing. */
static const struct gem_segment *find(const struct gem_body *body, struct gem_body_cursor *cursor, int64_t offset)
{
    size_t i = cursor->segment;
    if (i >= body->count || body->segments[i].start > offset)
        i = 0;
    while (i < body->count && offset >= body->segments[i].start + body->segments[i].length)
        i++;
    cursor->segment = i;
    return i < body->count ? &body->segments[i] : NULL;
}

int64_t gem_body_reader_left(const struct gem_body *body, int64_t offset)
{
    struct gem_body_cursor cursor = {.fd = -1};
    const struct gem_segment *s = find(body, &cursor, offset);
    return s != NULL && s->source == GEM_SOURCE_READER ? s->start + s->length - offset : 0;
}

size_t gem_body_whole(const struct gem_body *body, int64_t offset, size_t n)
{
    struct gem_body_cursor cursor = {.fd = -1};
    int64_t end = offset + (int64_t)n;
    const struct gem_segment *s = find(body, &cursor, end);
    size_t over = s != NULL && s->base64 ? (size_t)((end - s->start) % 4) : 0;
    return over < n ? n - over : n;
}

/* The descriptor to read the segment from, or -1. */
static int descriptor(struct gem_body_cursor *cursor, const struct gem_segment *s, struct gem_err *err)
{
    struct gem_file_id now;
    if (s->source == GEM_SOURCE_HANDLE)
        return s->fd;
    if (cursor->fd >= 0 && cursor->open == cursor->segment)
        return cursor->fd;
    gem_file_close(cursor->fd);
    cursor->fd = gem_file_open(s->path, &now, err);
    cursor->open = cursor->segment;
    if (cursor->fd >= 0 && gem_file_unchanged(cursor->fd, &s->id, s->path, err) < 0) {
        gem_file_close(cursor->fd);
        cursor->fd = -1;
    }
    return cursor->fd;
}

/* Exactly n bytes of a file's segment at its own offset. The last read looks whether the file is still what it was:
 * one that was rewritten meanwhile must not pass for either version. */
static int read_file(struct gem_body_cursor *cursor, const struct gem_segment *s, int64_t at, void *dst, size_t n,
                     struct gem_err *err)
{
    size_t got;
    int fd = descriptor(cursor, s, err);
    if (fd < 0 || gem_file_read_at(fd, at, dst, n, &got, err) < 0)
        return -1;
    if (got < n)
        return gem_err_set(err, GEM_IO, 0, "%s changed while it was sent: it is shorter now", s->path);
    return at + (int64_t)n == s->size ? gem_file_unchanged(fd, &s->id, s->path, err) : 0;
}

static size_t least(int64_t a, size_t b)
{
    return a < (int64_t)b ? (size_t)a : b;
}

/* n bytes of the source at its own offset, where they lie: in memory, or read to `room`. */
static const void *peek(struct gem_body_cursor *cursor, const struct gem_segment *s, int64_t at, void *room, size_t n,
                        struct gem_err *err)
{
    if (s->source == GEM_SOURCE_BYTES)
        return s->bytes + at;
    return read_file(cursor, s, at, room, n, err) < 0 ? NULL : room;
}

/* Of a group of four that begins or ends outside of what is wanted. */
static enum gem_body_read read_part(const struct gem_body *body, struct gem_body_cursor *cursor,
                                    const struct gem_segment *s, int64_t inside, char *dst, size_t n, size_t *got,
                                    struct gem_err *err)
{
    size_t skip = (size_t)(inside % 4), raw = least(s->size - inside / 4 * 3, 3);
    char room[3], group[4];
    const void *bytes = peek(cursor, s, inside / 4 * 3, room, raw, err);
    if (bytes == NULL)
        return GEM_BODY_FAILED;
    gem_base64_encode(body->level, group, bytes, raw, 1);
    *got = n < 4 - skip ? n : 4 - skip;
    memcpy(dst, group + skip, *got);
    return GEM_BODY_OK;
}

/* Encoded text from inside the segment. A file's bytes are read to the end of the place where their text will be. */
static enum gem_body_read read_encoded(const struct gem_body *body, struct gem_body_cursor *cursor,
                                       const struct gem_segment *s, int64_t inside, char *dst, size_t n, size_t *got,
                                       struct gem_err *err)
{
    if (inside % 4 > 0 || n < 4)
        return read_part(body, cursor, s, inside, dst, n, got, err);
    size_t raw = least(s->size - inside / 4 * 3, n / 4 * 3);
    size_t length = (size_t)gem_base64_encoded_len(raw);
    const void *bytes = peek(cursor, s, inside / 4 * 3, dst + length - raw, raw, err);
    if (bytes == NULL)
        return GEM_BODY_FAILED;
    *got = gem_base64_encode(body->level, dst, bytes, raw, 1);
    return GEM_BODY_OK;
}

static enum gem_body_read read_segment(const struct gem_body *body, struct gem_body_cursor *cursor,
                                       const struct gem_segment *s, int64_t inside, char *dst, size_t n, size_t *got,
                                       struct gem_err *err)
{
    if (s->source == GEM_SOURCE_READER)
        return GEM_BODY_WAIT;
    if (s->base64)
        return read_encoded(body, cursor, s, inside, dst, n, got, err);
    *got = least(s->length - inside, n);
    if (s->source == GEM_SOURCE_BYTES)
        memcpy(dst, s->bytes + inside, *got);
    else if (read_file(cursor, s, inside, dst, *got, err) < 0)
        return GEM_BODY_FAILED;
    return GEM_BODY_OK;
}

enum gem_body_read gem_body_read_at(const struct gem_body *body, struct gem_body_cursor *cursor, int64_t offset,
                                    void *dst, size_t n, size_t *got, struct gem_err *err)
{
    *got = 0;
    while (*got < n && offset < body->length) {
        const struct gem_segment *s = find(body, cursor, offset);
        size_t more = 0;
        enum gem_body_read result =
            read_segment(body, cursor, s, offset - s->start, (char *)dst + *got, n - *got, &more, err);
        if (result != GEM_BODY_OK)
            return result == GEM_BODY_WAIT && *got > 0 ? GEM_BODY_OK : result;
        *got += more;
        offset += (int64_t)more;
    }
    return GEM_BODY_OK;
}
