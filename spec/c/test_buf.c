#include "check.h"

#include "../../src/core/buf.h"

/* buf.c once more under names of this file's own, with memmove counted: what it moves is what it costs. */
static size_t moved;

static void *counted_memmove(void *dst, const void *src, size_t n)
{
    moved += n;
    return memmove(dst, src, n);
}

#define gem_buf_init counted_init
#define gem_buf_free counted_free
#define gem_buf_add counted_add
#define gem_buf_reserve counted_reserve
#define gem_buf_commit counted_commit
#define gem_buf_consume counted_consume
#define gem_buf_clear counted_clear
#define gem_buf_shrink counted_shrink
#define gem_buf_head counted_head
#define gem_buf_tail counted_tail
#undef memmove
#define memmove counted_memmove
void gem_buf_init(struct gem_buf *buf, const struct gem_mem *mem, size_t max);
void gem_buf_free(struct gem_buf *buf);
int gem_buf_add(struct gem_buf *buf, const void *bytes, size_t n, struct gem_err *err);
int gem_buf_reserve(struct gem_buf *buf, size_t n, struct gem_err *err);
void gem_buf_commit(struct gem_buf *buf, size_t n);
void gem_buf_consume(struct gem_buf *buf, size_t n);
void gem_buf_clear(struct gem_buf *buf);
void gem_buf_shrink(struct gem_buf *buf);
char *gem_buf_head(const struct gem_buf *buf);
char *gem_buf_tail(const struct gem_buf *buf);
#include "../../src/core/buf.c"
#undef memmove
#undef gem_buf_init
#undef gem_buf_free
#undef gem_buf_add
#undef gem_buf_reserve
#undef gem_buf_commit
#undef gem_buf_consume
#undef gem_buf_clear
#undef gem_buf_shrink
#undef gem_buf_head
#undef gem_buf_tail

static int holds(const struct gem_buf *buf, const char *bytes)
{
    return buf->len == strlen(bytes) && (buf->len == 0 || memcmp(gem_buf_head(buf), bytes, buf->len) == 0);
}

static void test_empty_buffer_owns_nothing(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;

    check_mem_init(&m);
    gem_buf_init(&buf, &m.mem, 10);
    CHECK(buf.len == 0 && buf.max == 10 && gem_buf_head(&buf) == NULL && gem_buf_tail(&buf) == NULL);
    CHECK(gem_buf_add(&buf, NULL, 0, &err) == 0);
    gem_buf_consume(&buf, 0);
    gem_buf_clear(&buf);
    gem_buf_shrink(&buf);
    gem_buf_free(&buf);
    gem_buf_free(&buf);
    memset(&buf, 0, sizeof buf);
    gem_buf_free(&buf);
    CHECK(m.requests == 0);
}

static void test_add_and_consume(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;

    check_mem_init(&m);
    gem_buf_init(&buf, &m.mem, 1000);
    CHECK(gem_buf_add(&buf, "hello ", 6, &err) == 0);
    CHECK(gem_buf_add(&buf, "world", 5, &err) == 0);
    CHECK(holds(&buf, "hello world"));
    gem_buf_consume(&buf, 6);
    CHECK(holds(&buf, "world"));
    CHECK(gem_buf_tail(&buf) == gem_buf_head(&buf) + 5);
    CHECK(gem_buf_add(&buf, "!", 1, &err) == 0);
    CHECK(holds(&buf, "world!"));
    gem_buf_consume(&buf, 6);
    CHECK(holds(&buf, "") && buf.start == 0);
    CHECK(gem_buf_add(&buf, "x", 1, &err) == 0);
    gem_buf_clear(&buf);
    CHECK(holds(&buf, "") && m.blocks == 1);
    gem_buf_free(&buf);
    CHECK(m.blocks == 0);
    CHECK(gem_buf_add(&buf, "again", 5, &err) == 0);
    CHECK(holds(&buf, "again"));
    gem_buf_free(&buf);
    CHECK(m.blocks == 0 && m.bytes == 0);
}

static void test_reserve_and_commit(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;

    check_mem_init(&m);
    gem_buf_init(&buf, &m.mem, 1000);
    if (!CHECK(gem_buf_reserve(&buf, 1000, &err) == 0))
        return;
    CHECK(buf.len == 0 && m.bytes >= 1000);
    memset(gem_buf_tail(&buf), 'a', 1000);
    gem_buf_commit(&buf, 3);
    CHECK(holds(&buf, "aaa"));
    CHECK(gem_buf_reserve(&buf, 997, &err) == 0);
    CHECK(gem_buf_reserve(&buf, 998, &err) == -1);
    gem_buf_free(&buf);
    CHECK(m.blocks == 0);
}

static void test_ceiling_is_exact_and_harmless(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;

    check_mem_init(&m);
    gem_buf_init(&buf, &m.mem, 8);
    CHECK(gem_buf_add(&buf, "12345678", 8, &err) == 0);
    gem_err_clear(&err);
    CHECK(gem_buf_add(&buf, "9", 1, &err) == -1);
    CHECK(err.kind == GEM_LIMIT);
    CHECK(strstr(err.text, "8 bytes") != NULL);
    CHECK(gem_buf_add(&buf, "9", SIZE_MAX, &err) == -1);
    CHECK(gem_buf_reserve(&buf, SIZE_MAX, NULL) == -1);
    CHECK(holds(&buf, "12345678"));
    gem_buf_consume(&buf, 1);
    CHECK(gem_buf_add(&buf, "9", 1, &err) == 0);
    CHECK(holds(&buf, "23456789"));
    CHECK(gem_buf_add(&buf, "0", 1, &err) == -1);
    CHECK(m.peak <= 12);
    gem_buf_free(&buf);

    gem_buf_init(&buf, &m.mem, 0);
    CHECK(gem_buf_add(&buf, "", 0, &err) == 0);
    CHECK(gem_buf_add(&buf, "x", 1, &err) == -1 && err.kind == GEM_LIMIT);
    gem_buf_free(&buf);

    gem_buf_init(&buf, &m.mem, SIZE_MAX);
    CHECK(gem_buf_add(&buf, "x", 1, &err) == 0 && buf.max >= SIZE_MAX / 2);
    gem_buf_free(&buf);
    CHECK(m.blocks == 0);
}

/* Against a queue of numbers, whatever the order of adding, reserving, consuming and shrinking. */
static void test_behaves_as_a_queue(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;
    uint32_t seed = 1;
    unsigned char in = 0, out = 0, bytes[700];
    int step, wrong = 0;
    size_t held = 0, i, n;

    check_mem_init(&m);
    gem_buf_init(&buf, &m.mem, 5000);
    for (step = 0; step < 20000; step++) {
        n = check_random(&seed) % (sizeof bytes + 1);
        if (check_random(&seed) % 2 == 0) {
            for (i = 0; i < n; i++)
                bytes[i] = (unsigned char)(in + i);
            if (held + n > 5000) {
                CHECK(gem_buf_add(&buf, bytes, n, &err) == -1);
                continue;
            }
            CHECK(gem_buf_add(&buf, bytes, n, &err) == 0);
            in = (unsigned char)(in + n);
            held += n;
        } else {
            n = n < held ? n : held;
            for (i = 0; i < n; i++)
                wrong += (unsigned char)gem_buf_head(&buf)[i] != out++;
            gem_buf_consume(&buf, n);
            held -= n;
        }
        if (step % 97 == 0)
            gem_buf_shrink(&buf);
        CHECK(buf.len == held && buf.cap <= 7500 && buf.start + buf.len <= buf.cap);
    }
    CHECK(wrong == 0);
    gem_buf_free(&buf);
    CHECK(m.blocks == 0 && m.bytes == 0);
}

/* What growing and sliding move, over all that is added, stays within a constant. */
static void test_growth_is_geometric(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;
    size_t ceilings[] = { 200000, SIZE_MAX / 3 * 2 + 1, SIZE_MAX };  /* the second half as much again is 0 */
    size_t i, k, total = 200000;

    for (k = 0; k < 3; k++) {
        check_mem_init(&m);
        gem_buf_init(&buf, &m.mem, ceilings[k]);
        for (i = 0; i < total; i++)
            CHECK(gem_buf_add(&buf, "x", 1, &err) == 0);
        CHECK(m.requests < 30);
        CHECK(m.copied < 3 * total);
        gem_buf_free(&buf);
    }
}

/* Adds and consumes `step` bytes at a time over a buffer that stays filled with `held`, in a block no larger than
 * need be at the start. */
static size_t moved_by_a_window(size_t held, size_t max, size_t step, size_t rounds)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;
    char bytes[64] = { 0 };
    size_t i;

    check_mem_init(&m);
    counted_init(&buf, &m.mem, max);
    CHECK(counted_reserve(&buf, held, &err) == 0);
    memset(counted_tail(&buf), 'x', held);
    counted_commit(&buf, held);
    moved = 0;
    m.copied = 0;
    for (i = 0; i < rounds; i++) {
        counted_consume(&buf, step);
        CHECK(counted_add(&buf, bytes, step, &err) == 0);
    }
    CHECK(buf.cap <= max + max / 2);
    counted_free(&buf);
    CHECK(m.blocks == 0);
    return moved + m.copied;
}

static void test_consuming_from_the_front_moves_each_byte_a_few_times(void)
{
    CHECK(moved_by_a_window(10000, 20000, 1, 100000) < 3 * 100000);
    CHECK(moved_by_a_window(9999, 10000, 1, 100000) < 4 * 100000);
    CHECK(moved_by_a_window(10000, 10000, 64, 10000) < 4 * 640000);
    CHECK(moved_by_a_window(100, 1000000, 64, 10000) < 3 * 640000);
    CHECK(moved_by_a_window(1, 1, 1, 1000) < 4 * 1000);
}

static void test_shrink_gives_back_what_holds_nothing(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;

    check_mem_init(&m);
    gem_buf_init(&buf, &m.mem, 100000);
    CHECK(gem_buf_reserve(&buf, 100000, &err) == 0);
    CHECK(gem_buf_add(&buf, "abcdef", 6, &err) == 0);
    gem_buf_consume(&buf, 2);
    m.fail_at = m.requests + 1;
    gem_buf_shrink(&buf);
    CHECK(holds(&buf, "cdef") && m.bytes == 100000);
    m.fail_at = 0;
    gem_buf_shrink(&buf);
    CHECK(holds(&buf, "cdef") && m.bytes == 4);
    m.requests = 0;
    gem_buf_shrink(&buf);
    CHECK(m.requests == 0);
    CHECK(gem_buf_add(&buf, "g", 1, &err) == 0);
    CHECK(holds(&buf, "cdefg"));
    gem_buf_clear(&buf);
    gem_buf_shrink(&buf);
    CHECK(m.blocks == 0);
    gem_buf_free(&buf);
}

static int fill(struct gem_buf *buf, struct gem_err *err)
{
    int i;
    for (i = 0; i < 300; i++) {
        if (gem_buf_add(buf, "0123456789", 10, err) < 0)
            return -1;
        gem_buf_consume(buf, 3);
    }
    return 0;
}

static void test_every_allocation_may_fail(void)
{
    struct check_mem m;
    struct gem_buf buf;
    struct gem_err err;
    size_t n, len;
    int result;

    for (n = 1;; n++) {
        check_mem_init(&m);
        m.fail_at = n;
        gem_buf_init(&buf, &m.mem, 10000);
        gem_err_clear(&err);
        result = fill(&buf, &err);
        len = buf.len;
        if (result < 0) {
            CHECK(err.kind == GEM_LIMIT);
            CHECK_STR(err.text, "not enough memory");
            CHECK(len == 0 || memcmp(gem_buf_tail(&buf) - 7, "3456789", 7) == 0);
            m.fail_at = 0;
            CHECK(gem_buf_add(&buf, "0123456789", 10, &err) == 0 && buf.len == len + 10);
        }
        gem_buf_free(&buf);
        CHECK(m.blocks == 0 && m.bytes == 0);
        if (result == 0)
            break;
    }
    CHECK(n > 5);
}

int main(void)
{
    RUN(test_empty_buffer_owns_nothing);
    RUN(test_add_and_consume);
    RUN(test_reserve_and_commit);
    RUN(test_ceiling_is_exact_and_harmless);
    RUN(test_behaves_as_a_queue);
    RUN(test_growth_is_geometric);
    RUN(test_consuming_from_the_front_moves_each_byte_a_few_times);
    RUN(test_shrink_gives_back_what_holds_nothing);
    RUN(test_every_allocation_may_fail);
    return check_done();
}
