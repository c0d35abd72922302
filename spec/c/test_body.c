#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "../../src/core/body.h"

#define BLOCK (48 * 1024) /* of a file that is encoded at a time; what is near its multiples is looked at */

/* A directory of this test's own, made by main. */
static char folder[] = "/tmp/gem_test_body_XXXXXX";

static const char *in_folder(char *path, const char *name)
{
    snprintf(path, 200, "%s/%s", folder, name);
    return path;
}

/* The files of a test all get this time, so that a test which wants no change of it has none. */
static const struct timespec noon = {1700000000, 0}, after_noon = {1700000000, 1};

static void set_mtime(const char *path, struct timespec when)
{
    struct timespec times[2] = {when, when};
    if (utimensat(AT_FDCWD, path, times, 0) != 0)
        abort();
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
    set_mtime(path, noon);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static char *random_bytes(size_t n)
{
    uint32_t seed = (uint32_t)n + 1;
    char *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)check_random(&seed);
    return bytes;
}

/* Base64 as RFC 4648 draws it, slowly. */
static size_t plain_base64(char *dst, const char *src, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t made = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)(unsigned char)src[i] << 16;
        bits |= i + 1 < n ? (uint32_t)(unsigned char)src[i + 1] << 8 : 0;
        bits |= i + 2 < n ? (uint32_t)(unsigned char)src[i + 2] : 0;
        dst[made++] = digits[bits >> 18];
        dst[made++] = digits[bits >> 12 & 63];
        dst[made++] = i + 1 < n ? digits[bits >> 6 & 63] : '=';
        dst[made++] = i + 2 < n ? digits[bits & 63] : '=';
    }
    return made;
}

/* What a body should say, gathered beside it. */
struct text {
    char *bytes;
    size_t n;
};

static void expect(struct text *whole, const void *bytes, size_t n)
{
    whole->bytes = realloc(whole->bytes, whole->n + n + 1);
    memcpy(whole->bytes + whole->n, bytes, n);
    whole->n += n;
}

static void expect_base64(struct text *whole, const char *bytes, size_t n)
{
    char *encoded = malloc(4 * (n / 3 + 1));
    expect(whole, encoded, plain_base64(encoded, bytes, n));
    free(encoded);
}

/* One read of exactly sized memory; fewer bytes than asked for only at the end. */
static int read_is(const struct gem_body *body, struct gem_body_cursor *cursor, const struct text *whole, size_t at,
                   size_t n)
{
    char *exact = malloc(n > 0 ? n : 1);
    size_t got = 99, there = whole->n - at < n ? whole->n - at : n;
    struct gem_err err;
    int ok = gem_body_read_at(body, cursor, (int64_t)at, exact, n, &got, &err) == GEM_BODY_OK && got == there &&
             (there == 0 || memcmp(exact, whole->bytes + at, there) == 0);
    free(exact);
    return ok;
}

static void check_windows(const struct gem_body *body, const struct text *whole, size_t from, size_t to, size_t most)
{
    struct gem_body_cursor cursor;
    gem_body_cursor_init(&cursor);
    for (size_t at = from; at <= to && at <= whole->n; at++)
        for (size_t n = 0; n <= most; n++)
            if (!CHECK(read_is(body, &cursor, whole, at, n)))
                printf("# at %zu, %zu bytes\n", at, n);
    gem_body_cursor_free(&cursor);
}

/* The whole in pieces of all sorts of sizes, front to back. */
static void check_pieces(const struct gem_body *body, const struct text *whole, uint32_t seed, size_t most)
{
    struct gem_body_cursor cursor;
    size_t at = 0, n;
    gem_body_cursor_init(&cursor);
    CHECK(body->length == (int64_t)whole->n);
    while (at < whole->n) {
        n = 1 + check_random(&seed) % most;
        if (!CHECK(read_is(body, &cursor, whole, at, n)))
            printf("# at %zu, %zu bytes\n", at, n);
        at += n;
    }
    gem_body_cursor_free(&cursor);
}

static void for_each_level(void (*test)(enum gem_base64_level level))
{
    for (unsigned level = 0; level < 8; level++)
        if (gem_base64_levels() & 1u << level)
            test((enum gem_base64_level)level);
}

/* ---- reading ---- */

static void test_an_empty_body(void)
{
    struct check_mem m;
    struct gem_body body;
    struct gem_body_cursor cursor;
    char dst[4];
    size_t got = 99;
    check_mem_init(&m);
    gem_body_init(&body, &m.mem);
    gem_body_cursor_init(&cursor);
    CHECK(body.length == 0);
    CHECK(gem_body_read_at(&body, &cursor, 0, dst, 4, &got, NULL) == GEM_BODY_OK && got == 0);
    CHECK(gem_body_add_bytes(&body, "", 0, false, NULL) == 0);
    CHECK(gem_body_add_bytes(&body, NULL, 0, true, NULL) == 0);
    CHECK(gem_body_add_reader(&body, 0, NULL) == 0);
    got = 99;
    CHECK(gem_body_read_at(&body, &cursor, 0, dst, 4, &got, NULL) == GEM_BODY_OK && got == 0);
    gem_body_cursor_free(&cursor);
    gem_body_cursor_free(&cursor);
    gem_body_free(&body);
    gem_body_free(&body); /* twice is fine */
    CHECK(m.blocks == 0);
}

/* Bytes and files of every short length, plain and encoded, read at every offset with every short length. */
static void short_sources(enum gem_base64_level level)
{
    static const char letters[] = "\0\xff" "abcdefgh";
    char path[200];
    in_folder(path, "short");
    for (size_t n = 0; n <= 10; n++)
        for (int base64 = 0; base64 <= 1; base64++)
            for (int file = 0; file <= 1; file++) {
                struct gem_body body;
                struct text whole = {0};
                char *exact = check_exact(letters, n);
                gem_body_init(&body, gem_mem_default());
                body.level = level;
                write_file(path, exact, n);
                if (file)
                    CHECK(gem_body_add_file(&body, path, base64, NULL) == 0);
                else
                    CHECK(gem_body_add_bytes(&body, exact, n, base64, NULL) == 0);
                base64 ? expect_base64(&whole, exact, n) : expect(&whole, exact, n);
                CHECK(body.length == (int64_t)whole.n);
                check_windows(&body, &whole, 0, whole.n, whole.n + 2);
                gem_body_free(&body);
                free(whole.bytes);
                free(exact);
            }
}

static void test_every_window_of_short_sources(void)
{
    for_each_level(short_sources);
}

/* Segments of all kinds, empty ones among them, in several orders. */
static void test_every_window_over_many_segments(void)
{
    char path[200], empty[200];
    in_folder(path, "segment");
    in_folder(empty, "empty");
    write_file(path, "FILE-BYTES", 10);
    write_file(empty, "", 0);
    for (uint32_t seed = 1; seed <= 40; seed++) {
        struct gem_body body;
        struct text whole = {0};
        uint32_t random = seed;
        gem_body_init(&body, gem_mem_default());
        for (int i = 0; i < 9; i++)
            switch (check_random(&random) % 7) {
            case 0:
                CHECK(gem_body_add_bytes(&body, "some", 4, false, NULL) == 0);
                expect(&whole, "some", 4);
                break;
            case 1:
                CHECK(gem_body_add_bytes(&body, "encode", 4 + i % 3, true, NULL) == 0);
                expect_base64(&whole, "encode", (size_t)(4 + i % 3));
                break;
            case 2:
                CHECK(gem_body_add_file(&body, path, false, NULL) == 0);
                expect(&whole, "FILE-BYTES", 10);
                break;
            case 3:
                CHECK(gem_body_add_file(&body, path, true, NULL) == 0);
                expect_base64(&whole, "FILE-BYTES", 10);
                break;
            case 4:
                CHECK(gem_body_add_bytes(&body, "", 0, i % 2, NULL) == 0);
                break;
            case 5:
                CHECK(gem_body_add_file(&body, empty, i % 2, NULL) == 0);
                break;
            default:
                CHECK(gem_body_add_reader(&body, 0, NULL) == 0);
            }
        check_windows(&body, &whole, 0, whole.n, 14);
        check_pieces(&body, &whole, seed, 30);
        gem_body_free(&body);
        free(whole.bytes);
    }
}

/* Around the blocks in which a file is read before it is encoded. */
static void long_files(enum gem_base64_level level)
{
    static const size_t reads[] = {1, 2, 3, 4, 5, 65535, 65536, 65537, 100000, 400000};
    char path[200];
    in_folder(path, "long");
    for (int k = 1; k <= 3; k++)
        for (int off = -2; off <= 2; off++) {
            size_t n = (size_t)(k * BLOCK + off);
            char *bytes = random_bytes(n);
            struct text whole = {0};
            struct gem_body body;
            struct gem_body_cursor cursor;
            gem_body_init(&body, gem_mem_default());
            body.level = level;
            write_file(path, bytes, n);
            CHECK(gem_body_add_bytes(&body, "<", 1, false, NULL) == 0); /* groups do not begin at a multiple of 4 */
            CHECK(gem_body_add_file(&body, path, true, NULL) == 0);
            CHECK(gem_body_add_file(&body, path, false, NULL) == 0);
            CHECK(gem_body_add_bytes(&body, bytes, n, true, NULL) == 0);
            expect(&whole, "<", 1);
            expect_base64(&whole, bytes, n);
            expect(&whole, bytes, n);
            expect_base64(&whole, bytes, n);
            check_pieces(&body, &whole, (uint32_t)n, 9000);
            check_pieces(&body, &whole, (uint32_t)n, 300000);
            gem_body_cursor_init(&cursor);
            for (size_t at = 0; at + 6 < whole.n; at += 65536 - 3)
                for (size_t i = 0; i < 6 * sizeof reads / sizeof *reads; i++)
                    CHECK(read_is(&body, &cursor, &whole, at + i % 6, reads[i / 6]));
            gem_body_cursor_free(&cursor);
            gem_body_free(&body);
            free(whole.bytes);
            free(bytes);
        }
}

static void test_files_around_the_size_of_a_block(void)
{
    for_each_level(long_files);
}

static void test_reads_may_end_between_groups(void)
{
    struct gem_body body;
    gem_body_init(&body, gem_mem_default());
    CHECK(gem_body_add_bytes(&body, "123", 3, false, NULL) == 0 && gem_body_add_bytes(&body, "abcdefg", 7, true, NULL) == 0 &&
          gem_body_add_bytes(&body, "45", 2, false, NULL) == 0);
    CHECK(body.length == 3 + 12 + 2);
    CHECK(gem_body_whole(&body, 0, 2) == 2 && gem_body_whole(&body, 0, 3) == 3); /* plain text has no groups */
    CHECK(gem_body_whole(&body, 0, 6) == 3 && gem_body_whole(&body, 0, 7) == 7 && gem_body_whole(&body, 0, 10) == 7);
    CHECK(gem_body_whole(&body, 3, 5) == 4 && gem_body_whole(&body, 7, 9) == 9);
    CHECK(gem_body_whole(&body, 3, 3) == 3 && gem_body_whole(&body, 4, 2) == 2); /* none ends there: all the same */
    CHECK(gem_body_whole(&body, 0, 16) == 16 && gem_body_whole(&body, 0, 17) == 17);
    gem_body_free(&body);
    CHECK(gem_body_whole(&body, 0, 5) == 5);
}

static void test_two_cursors_share_a_body(void)
{
    char path[200], *bytes = random_bytes(100000);
    struct gem_body body;
    struct gem_body_cursor a, b;
    struct text whole = {0};
    in_folder(path, "shared");
    write_file(path, bytes, 100000);
    gem_body_init(&body, gem_mem_default());
    for (int i = 0; i < 3; i++) {
        CHECK(gem_body_add_file(&body, path, i != 1, NULL) == 0);
        i != 1 ? expect_base64(&whole, bytes, 100000) : expect(&whole, bytes, 100000);
    }
    gem_body_cursor_init(&a);
    gem_body_cursor_init(&b);
    for (size_t at = 0; at < whole.n; at += 7777) { /* one forwards, the other backwards */
        CHECK(read_is(&body, &a, &whole, at, 7777));
        CHECK(read_is(&body, &b, &whole, whole.n - at, 7777));
    }
    gem_body_cursor_free(&b);
    CHECK(read_is(&body, &a, &whole, 0, 10));
    CHECK(read_is(&body, &b, &whole, 5, 10)); /* a cursor that was freed may be used again */
    gem_body_cursor_free(&a);
    gem_body_cursor_free(&b);
    gem_body_free(&body);
    free(whole.bytes);
    free(bytes);
}

static void test_a_reader_is_waited_for(void)
{
    struct gem_body body;
    struct gem_body_cursor cursor;
    char dst[20];
    size_t got;
    gem_body_init(&body, gem_mem_default());
    gem_body_cursor_init(&cursor);
    CHECK(gem_body_add_bytes(&body, "ab", 2, false, NULL) == 0 && gem_body_add_reader(&body, 3, NULL) == 0 &&
          gem_body_add_bytes(&body, "xy", 2, false, NULL) == 0 && gem_body_add_reader(&body, 1, NULL) == 0);
    CHECK(body.length == 8);
    for (size_t n = 1; n <= 20; n++) {
        CHECK(gem_body_read_at(&body, &cursor, 0, dst, n, &got, NULL) == GEM_BODY_OK && got == (n < 2 ? n : 2));
        CHECK(gem_body_read_at(&body, &cursor, 5, dst, n, &got, NULL) == GEM_BODY_OK && got == (n < 2 ? n : 2));
        CHECK(memcmp(dst, "xy", got) == 0);
        for (int64_t at = 2; at < 5; at++)
            CHECK(gem_body_read_at(&body, &cursor, at, dst, n, &got, NULL) == GEM_BODY_WAIT && got == 0);
        CHECK(gem_body_read_at(&body, &cursor, 7, dst, n, &got, NULL) == GEM_BODY_WAIT && got == 0);
    }
    CHECK(gem_body_read_at(&body, &cursor, 8, dst, 1, &got, NULL) == GEM_BODY_OK && got == 0);
    CHECK(gem_body_reader_left(&body, 1) == 0 && gem_body_reader_left(&body, 2) == 3 &&
          gem_body_reader_left(&body, 4) == 1 && gem_body_reader_left(&body, 5) == 0 &&
          gem_body_reader_left(&body, 7) == 1 && gem_body_reader_left(&body, 8) == 0);
    gem_body_cursor_free(&cursor);
    gem_body_free(&body);
}

/* ---- files that change ---- */

enum change { SHRINK, GROW, REWRITE, REPLACE, REMOVE, MAKE_FOLDER, MAKE_FIFO, CHANGES };

static void change_file(const char *path, enum change how, char *bytes, size_t n)
{
    char other[210];
    snprintf(other, sizeof other, "%s.new", path);
    switch (how) {
    case SHRINK: write_file(path, bytes, n - 1); break;
    case GROW: write_file(path, bytes, n + 1); break;
    case REWRITE:
        bytes[n - 1]++;
        write_file(path, bytes, n);
        set_mtime(path, after_noon);
        break;
    case REPLACE:
        write_file(other, bytes, n);
        CHECK(rename(other, path) == 0);
        break;
    default:
        unlink(path);
        if (how == MAKE_FOLDER)
            CHECK(mkdir(path, 0700) == 0);
        else if (how == MAKE_FIFO)
            CHECK(mkfifo(path, 0600) == 0);
    }
}

static enum gem_body_read read_rest(const struct gem_body *body, struct gem_body_cursor *cursor, int64_t at,
                                    struct gem_err *err)
{
    char *dst = malloc(70000);
    size_t got = 1;
    enum gem_body_read result = GEM_BODY_OK;
    while (result == GEM_BODY_OK && got > 0) {
        result = gem_body_read_at(body, cursor, at, dst, 70000, &got, err);
        at += (int64_t)got;
    }
    free(dst);
    return result;
}

static void test_a_file_that_changes_before_it_is_read(void)
{
    static const char *const wanted[CHANGES] = {
        "%s changed while it was sent", "%s changed while it was sent", "%s changed while it was sent",
        "%s changed while it was sent", "cannot open %s: No such file or directory", "cannot read %s: Is a directory",
        "%s is not a regular file"};
    size_t n = 200000;
    char path[200], text[300], *bytes = random_bytes(n + 1);
    for (int how = 0; how < CHANGES; how++)
        for (int base64 = 0; base64 <= 1; base64++) {
            struct gem_body body;
            struct gem_body_cursor cursor;
            struct gem_err err;
            char name[40], dst[1];
            size_t got;
            int before = open_descriptors();
            snprintf(name, sizeof name, "before%d%d", how, base64);
            in_folder(path, name);
            write_file(path, bytes, n);
            gem_body_init(&body, gem_mem_default());
            gem_body_cursor_init(&cursor);
            CHECK(gem_body_add_file(&body, path, base64, NULL) == 0);
            change_file(path, (enum change)how, bytes, n);
            alarm(30);
            /* the first byte is refused already, and so is any other */
            for (int64_t at = 0; at < body.length; at += body.length / 3) {
                gem_err_clear(&err);
                CHECK(gem_body_read_at(&body, &cursor, at, dst, 1, &got, &err) == GEM_BODY_FAILED);
                CHECK(err.kind == GEM_IO && got == 0);
                snprintf(text, sizeof text, wanted[how], path);
                CHECK_STR(err.text, text);
            }
            alarm(0);
            gem_body_cursor_free(&cursor);
            gem_body_free(&body);
            CHECK(open_descriptors() == before);
        }
    free(bytes);
}

static void test_a_file_that_changes_while_it_is_read(void)
{
    size_t n = 200000;
    char path[200], *bytes = random_bytes(n + 1), dst[1000];
    for (int how = 0; how < CHANGES; how++)
        for (int base64 = 0; base64 <= 1; base64++) {
            struct gem_body body;
            struct gem_body_cursor cursor, later;
            struct gem_err err;
            char name[40];
            size_t got;
            /* an open file stays what it was, whatever its name is given to */
            enum gem_body_read wanted = how == SHRINK || how == GROW || how == REWRITE ? GEM_BODY_FAILED : GEM_BODY_OK;
            int before = open_descriptors();
            snprintf(name, sizeof name, "while%d%d", how, base64);
            in_folder(path, name);
            write_file(path, bytes, n);
            gem_body_init(&body, gem_mem_default());
            gem_body_cursor_init(&cursor);
            gem_body_cursor_init(&later);
            CHECK(gem_body_add_bytes(&body, "{", 1, false, NULL) == 0);
            CHECK(gem_body_add_file(&body, path, base64, NULL) == 0);
            CHECK(gem_body_add_bytes(&body, "}", 1, false, NULL) == 0);
            CHECK(gem_body_read_at(&body, &cursor, 0, dst, 1000, &got, NULL) == GEM_BODY_OK && got == 1000);
            change_file(path, (enum change)how, bytes, n);
            gem_err_clear(&err);
            CHECK(read_rest(&body, &cursor, 1000, &err) == wanted);
            if (wanted == GEM_BODY_FAILED)
                CHECK(err.kind == GEM_IO && strstr(err.text, "changed while it was sent") != NULL &&
                      strncmp(err.text, path, strlen(path)) == 0);
            CHECK(read_rest(&body, &later, 0, NULL) == GEM_BODY_FAILED); /* another try sees the change at once */
            gem_body_cursor_free(&cursor);
            gem_body_cursor_free(&later);
            gem_body_free(&body);
            CHECK(open_descriptors() == before);
        }
    free(bytes);
}

/* A read that reaches the end looks at the file, however small it is; so the last byte alone is not had from
 * a file that was rewritten in front of it. */
static void test_the_last_byte_is_had_only_from_the_file_that_was_added(void)
{
    char path[200], bytes[] = "0123456789", dst[20];
    in_folder(path, "last");
    for (int base64 = 0; base64 <= 1; base64++) {
        struct gem_body body;
        struct gem_body_cursor cursor;
        struct gem_err err;
        size_t got;
        write_file(path, bytes, 10);
        gem_body_init(&body, gem_mem_default());
        gem_body_cursor_init(&cursor);
        CHECK(gem_body_add_file(&body, path, base64, NULL) == 0);
        CHECK(gem_body_read_at(&body, &cursor, 0, dst, (size_t)body.length - 4, &got, NULL) == GEM_BODY_OK);
        change_file(path, REWRITE, bytes, 10);
        for (int64_t at = body.length - 4; at < body.length; at++)
            if (base64 || at == body.length - 1)
                CHECK(gem_body_read_at(&body, &cursor, at, dst, 1, &got, &err) == GEM_BODY_FAILED);
        CHECK(gem_body_read_at(&body, &cursor, body.length, dst, 1, &got, &err) == GEM_BODY_OK && got == 0);
        gem_body_cursor_free(&cursor);
        gem_body_free(&body);
    }
}

static void test_files_that_cannot_be_added(void)
{
    char path[200];
    struct gem_body body;
    struct gem_err err;
    gem_body_init(&body, gem_mem_default());
    CHECK(gem_body_add_bytes(&body, "x", 1, false, NULL) == 0);
    CHECK(gem_body_add_file(&body, in_folder(path, "none"), false, &err) == -1 && err.code == ENOENT);
    CHECK(gem_body_add_file(&body, folder, true, &err) == -1 && err.code == EISDIR);
    CHECK(gem_body_add_handle(&body, -1, "the handle", &err) == -1 && err.kind == GEM_IO);
    CHECK(body.count == 1 && body.length == 1); /* as it was */
    gem_body_free(&body);
}

/* ---- descriptors ---- */

static void test_a_handle_is_adopted(void)
{
    char path[200], dst[20];
    struct gem_body body;
    struct gem_body_cursor cursor;
    struct gem_err err;
    size_t got;
    int before = open_descriptors();
    FILE *f;
    in_folder(path, "handle");
    write_file(path, "0123456789", 10);
    f = fopen(path, "rb");
    CHECK(fgetc(f) == '0');
    gem_body_init(&body, gem_mem_default());
    gem_body_cursor_init(&cursor);
    CHECK(gem_body_add_handle(&body, fileno(f), "the handle", NULL) == 0 && body.length == 10);
    CHECK(gem_body_read_at(&body, &cursor, 3, dst, 20, &got, NULL) == GEM_BODY_OK && got == 7);
    CHECK(fgetc(f) == '1');
    fclose(f);
    unlink(path); /* not looked up again */
    CHECK(gem_body_read_at(&body, &cursor, 0, dst, 20, &got, NULL) == GEM_BODY_OK && got == 10);
    CHECK(memcmp(dst, "0123456789", 10) == 0);
    gem_body_cursor_free(&cursor); /* the descriptor is the body's, not the cursor's */
    CHECK(gem_body_read_at(&body, &cursor, 9, dst, 20, &got, NULL) == GEM_BODY_OK && got == 1);
    gem_body_cursor_free(&cursor);
    gem_body_free(&body);
    CHECK(open_descriptors() == before);

    write_file(path, "0123456789", 10);
    f = fopen(path, "rb");
    gem_body_init(&body, gem_mem_default());
    CHECK(gem_body_add_handle(&body, fileno(f), "the handle", NULL) == 0);
    fclose(f);
    CHECK(truncate(path, 5) == 0);
    CHECK(gem_body_read_at(&body, &cursor, 0, dst, 20, &got, &err) == GEM_BODY_FAILED);
    CHECK_STR(err.text, "the handle changed while it was sent: it is shorter now");
    gem_body_cursor_free(&cursor);
    gem_body_free(&body);
    CHECK(open_descriptors() == before);
}

static void test_a_thousand_files_need_one_descriptor(void)
{
    char path[200];
    struct gem_body body;
    struct gem_body_cursor cursor;
    struct text whole = {0};
    struct rlimit limit, low;
    int before = open_descriptors();
    gem_body_init(&body, gem_mem_default());
    for (int i = 0; i < 1000; i++) {
        char name[40];
        snprintf(name, sizeof name, "file%d", i);
        write_file(in_folder(path, name), name, strlen(name));
        CHECK(gem_body_add_file(&body, path, i % 2, NULL) == 0);
        i % 2 ? expect_base64(&whole, name, strlen(name)) : expect(&whole, name, strlen(name));
    }
    CHECK(open_descriptors() == before);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = 0;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            low.rlim_cur = (rlim_t)fd + 2; /* one more than are open */
    setrlimit(RLIMIT_NOFILE, &low);
    gem_body_cursor_init(&cursor);
    CHECK(read_is(&body, &cursor, &whole, 0, whole.n));
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK(open_descriptors() == before + 1);
    check_pieces(&body, &whole, 7, 20);
    gem_body_cursor_free(&cursor);
    CHECK(open_descriptors() == before);
    gem_body_free(&body);
    free(whole.bytes);
}

/* ---- limits ---- */

static void test_lengths_that_do_not_fit(void)
{
    static const int64_t half = INT64_C(1) << 61;
    struct gem_body body;
    struct gem_err err;
    gem_body_init(&body, gem_mem_default());
    CHECK(gem_body_add_reader(&body, -1, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(gem_body_add_reader(&body, INT64_MAX, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(gem_body_add_reader(&body, half + 1, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(gem_body_add_bytes(&body, "", SIZE_MAX, false, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(gem_body_add_bytes(&body, "", SIZE_MAX, true, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(body.count == 0 && body.length == 0);
    CHECK(gem_body_add_reader(&body, half, &err) == 0);
    CHECK(gem_body_add_bytes(&body, "", (size_t)half, true, &err) == -1 && err.kind == GEM_LIMIT); /* encoded, it is 4/3 */
    CHECK(gem_body_add_reader(&body, half - 4, &err) == 0);
    CHECK(gem_body_add_bytes(&body, "abcd", 4, true, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(gem_body_add_bytes(&body, "abc", 3, true, &err) == 0 && body.length == half * 2);
    CHECK(gem_body_add_bytes(&body, "a", 1, false, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(gem_body_add_bytes(&body, "", 0, false, &err) == 0);
    gem_body_free(&body);
    gem_body_init(&body, gem_mem_default());
    CHECK(gem_body_add_bytes(&body, "", (size_t)half, true, &err) == 0); /* nothing looks at the bytes before they are read */
    CHECK(body.length == 4 * ((half + 2) / 3));
    gem_body_free(&body);
}

/* Builds and reads a body of all kinds; whether every step was done. A step that fails leaves the body as it was. */
static int build_and_read(const struct gem_mem *mem, const char *path, int fd)
{
    struct gem_body body;
    struct gem_body_cursor cursor;
    struct gem_err err;
    int ok = 1;
    gem_err_clear(&err);
    gem_body_init(&body, mem);
    gem_body_cursor_init(&cursor);
    for (int i = 0; ok && i < 20; i++) {
        size_t count = body.count;
        int64_t length = body.length;
        int kind = (i < 10 ? i : i + 1) % 4; /* the list grows for a file, and for a handle */
        int result = kind == 3   ? gem_body_add_bytes(&body, "bytes", 5, i % 8 == 3, &err)
                     : kind == 0 ? gem_body_add_file(&body, path, false, &err)
                     : kind == 1 ? gem_body_add_handle(&body, fd, "the handle", &err)
                                 : gem_body_add_file(&body, path, true, &err);
        ok = result == 0;
        if (!ok)
            CHECK(err.kind == GEM_LIMIT && body.count == count && body.length == length);
    }
    if (ok && read_rest(&body, &cursor, 0, &err) == GEM_BODY_FAILED) {
        CHECK(err.kind == GEM_LIMIT);
        ok = 0;
    }
    gem_body_cursor_free(&cursor);
    gem_body_free(&body);
    return ok;
}

static void test_every_allocation_may_fail(void)
{
    char path[200], *bytes = random_bytes(100000);
    struct check_mem m;
    int fd, before, done = 0;
    size_t n;
    in_folder(path, "failing");
    write_file(path, bytes, 100000);
    fd = open(path, O_RDONLY);
    before = open_descriptors();
    for (n = 1; !done; n++) {
        check_mem_init(&m);
        m.fail_at = n;
        done = build_and_read(&m.mem, path, fd);
        CHECK(m.blocks == 0 && m.bytes == 0);
        CHECK(open_descriptors() == before);
    }
    CHECK(n > 15);
    close(fd);
    free(bytes);
}

int main(void)
{
    char command[100];
    if (mkdtemp(folder) == NULL)
        abort();
    RUN(test_an_empty_body);
    RUN(test_every_window_of_short_sources);
    RUN(test_every_window_over_many_segments);
    RUN(test_files_around_the_size_of_a_block);
    RUN(test_reads_may_end_between_groups);
    RUN(test_two_cursors_share_a_body);
    RUN(test_a_reader_is_waited_for);
    RUN(test_a_file_that_changes_before_it_is_read);
    RUN(test_a_file_that_changes_while_it_is_read);
    RUN(test_the_last_byte_is_had_only_from_the_file_that_was_added);
    RUN(test_files_that_cannot_be_added);
    RUN(test_a_handle_is_adopted);
    RUN(test_a_thousand_files_need_one_descriptor);
    RUN(test_lengths_that_do_not_fit);
    RUN(test_every_allocation_may_fail);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return check_done() != 0 || system(command) != 0;
}
