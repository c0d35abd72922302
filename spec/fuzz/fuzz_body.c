/* A body of random segments, read at random places: the bytes are those of a model that holds them all in memory, a
 * reader's segment is waited for where it begins, and memory that runs out is an error and changes nothing.
 *
 * Input: level, allocation that fails; a count and the segments; the reads, until the input ends. */
#include "fuzz.h"

#include <fcntl.h>

#include "../../src/core/body.h"

enum { MAX_SEGMENTS = 8, MAX_READS = 32, FILES = 8, LARGE_READ = 140000 };

/* Around the block in which files are encoded. */
static const size_t file_sizes[FILES] = {0, 1, 2, 3, 100, 49151, 49153, 98305};

/* They have no names but those of their descriptors, so that nothing is left behind. */
static struct file {
    char path[32];
    char *bytes, *encoded;
} files[FILES];

static size_t encoded_len(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* Base64 as it is taught. */
static char *encode(const char *bytes, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes;
    char *text = fuzz_room(encoded_len(n)), *out = text;
    for (; n > 0; p += 3, n -= n < 3 ? n : 3) {
        unsigned bits = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        *out++ = letters[bits >> 18];
        *out++ = letters[bits >> 12 & 63];
        *out++ = n > 1 ? letters[bits >> 6 & 63] : '=';
        *out++ = n > 2 ? letters[bits & 63] : '=';
    }
    return text;
}

static void make_files(void)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < FILES; i++) {
        struct file *f = &files[i];
        FILE *stream = tmpfile();
        f->bytes = fuzz_room(file_sizes[i]);
        for (size_t k = 0; k < file_sizes[i]; k++)
            f->bytes[k] = (char)check_random(&seed);
        f->encoded = encode(f->bytes, file_sizes[i]);
        MUST(stream != NULL && fwrite(f->bytes, 1, file_sizes[i], stream) == file_sizes[i] && fflush(stream) == 0);
        snprintf(f->path, sizeof f->path, "/dev/fd/%d", fileno(stream));
    }
}

/* ---- the model ---- */

struct model {
    char *text; /* of the whole body; what readers bring is '?' */
    char *hole; /* for each byte, whether it is a reader's */
    size_t n, room;
    char *held[MAX_SEGMENTS]; /* bytes that the body points at */
    size_t count;
};

static void extend(struct model *m, const char *bytes, size_t n, int hole)
{
    if (m->n + n > m->room) {
        m->room = 2 * (m->n + n);
        m->text = realloc(m->text, m->room);
        m->hole = realloc(m->hole, m->room);
        MUST(m->text != NULL && m->hole != NULL);
    }
    if (n > 0) {
        memcpy(m->text + m->n, bytes, n);
        memset(m->hole + m->n, hole, n);
    }
    m->n += n;
}

static void extend_either(struct model *m, const char *bytes, const char *encoded, size_t n, bool base64)
{
    extend(m, base64 ? encoded : bytes, base64 ? encoded_len(n) : n, 0);
}

static void free_model(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->held[i]);
    free(m->text);
    free(m->hole);
}

/* ---- adding ---- */

static int add_bytes(struct gem_body *body, struct model *m, struct fuzz_input *in, bool base64, struct gem_err *err)
{
    size_t n = fuzz_byte(in);
    char *bytes;
    n = n < in->left ? n : in->left;
    bytes = check_exact(in->bytes, n);
    in->bytes += n;
    in->left -= n;
    m->held[m->count++] = bytes;
    if (gem_body_add_bytes(body, bytes, n, base64, err) < 0)
        return -1;
    char *encoded = encode(bytes, n);
    extend_either(m, bytes, encoded, n, base64);
    free(encoded);
    return 0;
}

static int add_file(struct gem_body *body, struct model *m, size_t i, bool base64, struct gem_err *err)
{
    if (gem_body_add_file(body, files[i].path, base64, err) < 0)
        return -1;
    extend_either(m, files[i].bytes, files[i].encoded, file_sizes[i], base64);
    return 0;
}

/* The descriptor it is made from may go, and its position does not count. */
static int add_handle(struct gem_body *body, struct model *m, size_t i, struct gem_err *err)
{
    int fd = open(files[i].path, O_RDONLY);
    MUST(fd >= 0 && lseek(fd, 1, SEEK_SET) == 1);
    int result = gem_body_add_handle(body, fd, "a handle", err);
    close(fd);
    if (result == 0)
        extend(m, files[i].bytes, file_sizes[i], 0);
    return result;
}

static int add_reader(struct gem_body *body, struct model *m, size_t n, struct gem_err *err)
{
    static char marks[256];
    memset(marks, '?', sizeof marks);
    if (gem_body_add_reader(body, (int64_t)n, err) < 0)
        return -1;
    extend(m, marks, n, 1);
    return 0;
}

static int add(struct gem_body *body, struct model *m, struct fuzz_input *in, struct gem_err *err)
{
    unsigned what = fuzz_byte(in);
    size_t file = what / 8 % FILES;
    switch (what % 8) {
    case 0:
    case 1: return add_bytes(body, m, in, false, err);
    case 2:
    case 3: return add_bytes(body, m, in, true, err);
    case 4: return add_file(body, m, file, false, err);
    case 5: return add_file(body, m, file, true, err);
    case 6: return add_handle(body, m, file, err);
    default: return add_reader(body, m, fuzz_byte(in), err);
    }
}

/* ---- reading ---- */

static size_t run_of(const struct model *m, size_t offset, int hole)
{
    const char *end = offset < m->n ? memchr(m->hole + offset, !hole, m->n - offset) : NULL;
    return end != NULL ? (size_t)(end - (m->hole + offset)) : m->n - offset;
}

static void read_once(const struct gem_body *body, struct gem_body_cursor *cursor, const struct model *m,
                      struct check_mem *mem, size_t offset, size_t n)
{
    struct gem_err err;
    size_t got = 0, there = run_of(m, offset, 0), wanted = n < there ? n : there;
    char *dst = fuzz_room(n);
    enum gem_body_read result = gem_body_read_at(body, cursor, (int64_t)offset, dst, n, &got, &err);
    if (result == GEM_BODY_FAILED)
        MUST(err.kind == GEM_LIMIT && mem->fail_at != 0 && mem->requests >= mem->fail_at);
    else
        MUST(result == (n > 0 && there == 0 && offset < m->n ? GEM_BODY_WAIT : GEM_BODY_OK) && got == wanted);
    MUST(got <= wanted && (got == 0 || memcmp(dst, m->text + offset, got) == 0));
    MUST(gem_body_reader_left(body, (int64_t)offset) <= (int64_t)run_of(m, offset, 1));
    MUST((gem_body_reader_left(body, (int64_t)offset) > 0) == (run_of(m, offset, 1) > 0));
    free(dst);
}

/* Reads that come from two attempts, each with its cursor. */
static void read_much(const struct gem_body *body, const struct model *m, struct check_mem *mem, struct fuzz_input *in)
{
    struct gem_body_cursor cursors[2];
    gem_body_cursor_init(&cursors[0]);
    gem_body_cursor_init(&cursors[1]);
    for (int i = 0; i < MAX_READS && in->left > 0; i++) {
        unsigned how = fuzz_byte(in);
        size_t offset = (size_t)fuzz_number(in, 3) % (m->n + 1);
        size_t n = how & 2 ? fuzz_byte(in) : (size_t)fuzz_number(in, 3) % LARGE_READ;
        read_once(body, &cursors[how & 1], m, mem, offset, n);
    }
    read_once(body, &cursors[0], m, mem, 0, m->n + 1);
    gem_body_cursor_free(&cursors[0]);
    gem_body_cursor_free(&cursors[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    struct check_mem mem;
    struct gem_body body;
    struct model model = {0};
    struct gem_err err;
    unsigned level = fuzz_byte(&in) % 4, fail_at = fuzz_byte(&in), count;
    if (files[0].bytes == NULL)
        make_files();
    check_mem_init(&mem);
    mem.fail_at = fail_at < 12 ? fail_at : 0;
    gem_body_init(&body, &mem.mem);
    if (gem_base64_levels() >> level & 1)
        body.level = (enum gem_base64_level)level;
    count = fuzz_byte(&in) % (MAX_SEGMENTS + 1);
    for (unsigned i = 0; i < count; i++) {
        if (add(&body, &model, &in, &err) < 0)
            MUST(err.kind == GEM_LIMIT && mem.fail_at != 0);
        MUST(body.length == (int64_t)model.n);
    }
    read_much(&body, &model, &mem, &in);
    gem_body_free(&body);
    free_model(&model);
    MUST(mem.blocks == 0 && check_failures == 0);
    return 0;
}
