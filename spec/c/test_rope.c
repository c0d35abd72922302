#include "check.h"

#include "../../src/core/rope.h"

static char byte_at(size_t i)
{
    return (char)(i * 7 + i / 251);
}

/* Adds pieces of all sizes up to `most`, until there are `total` bytes. */
static void fill(struct gem_rope *rope, size_t total, size_t most)
{
    char *bytes = malloc(most);
    for (size_t at = 0, size = 0; at < total; size = (size + 1) % (most + 1)) {
        size_t n = total - at < size ? total - at : size;
        for (size_t i = 0; i < n; i++)
            bytes[i] = byte_at(at + i);
        char *exact = check_exact(bytes, n);
        CHECK(gem_rope_add(rope, exact, n, NULL) == 0);
        free(exact);
        at += n;
        CHECK(rope->len == at);
    }
    free(bytes);
}

/* Takes all of it. Gives how many blocks there were. */
static size_t take(struct gem_rope *rope, size_t total)
{
    size_t n, at = 0, blocks = 0;
    const char *head;
    while ((head = gem_rope_head(rope, &n)) != NULL) {
        for (size_t i = 0; i < n; i++)
            CHECK(head[i] == byte_at(at + i));
        at += n;
        blocks++;
        gem_rope_drop(rope);
        CHECK(rope->len == total - at);
    }
    CHECK(at == total && n == 0);
    return blocks;
}

static void test_bytes_come_back_in_order(void)
{
    struct check_mem m;
    struct gem_rope rope;
    check_mem_init(&m);
    gem_rope_init(&rope, &m.mem);
    for (size_t total = 0; total < 3000; total += 97) {
        fill(&rope, total, 60);
        take(&rope, total);
        CHECK(m.blocks == 0);
    }
    fill(&rope, 100000, 20000); /* larger than a block */
    take(&rope, 100000);
    fill(&rope, 1000, 10);
    gem_rope_free(&rope);
    gem_rope_free(&rope);
    CHECK(rope.len == 0 && m.blocks == 0 && m.bytes == 0);
    gem_rope_drop(&rope);
}

static void test_it_holds_little_more_than_what_was_added(void)
{
    struct check_mem m;
    struct gem_rope rope;
    check_mem_init(&m);
    gem_rope_init(&rope, &m.mem);
    fill(&rope, 1000000, 200);
    CHECK(m.copied == 0 && m.peak < 1000000 + 1000000 / 14);
    CHECK(take(&rope, 1000000) < 160);
    fill(&rope, 13000, 150);
    CHECK(m.bytes < 13000 + 13000 / 7 + 600);
    gem_rope_free(&rope);
}

#if SIZE_MAX > UINT32_MAX
static void test_more_than_a_block_counts_is_refused(void)
{
    struct check_mem m;
    struct gem_rope rope;
    struct gem_err err = {.kind = GEM_OK};
    check_mem_init(&m);
    gem_rope_init(&rope, &m.mem);
    CHECK(gem_rope_add(&rope, "", (size_t)UINT32_MAX + 1, &err) == -1 && err.kind == GEM_LIMIT);
    CHECK(rope.len == 0 && m.blocks == 0);
    gem_rope_free(&rope);
}
#endif

static void test_every_allocation_may_fail(void)
{
    for (size_t fail_at = 1; fail_at < 20; fail_at++) {
        struct check_mem m;
        struct gem_rope rope;
        struct gem_err err = {.kind = GEM_OK};
        size_t at = 0;
        check_mem_init(&m);
        gem_rope_init(&rope, &m.mem);
        m.fail_at = fail_at;
        for (;;) {
            char bytes[100];
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = byte_at(at + i);
            if (gem_rope_add(&rope, bytes, sizeof bytes, &err) < 0)
                break;
            at += sizeof bytes;
        }
        CHECK(err.kind == GEM_LIMIT && rope.len == at);
        take(&rope, at);
        CHECK(m.blocks == 0);
    }
}

int main(void)
{
    RUN(test_bytes_come_back_in_order);
    RUN(test_it_holds_little_more_than_what_was_added);
#if SIZE_MAX > UINT32_MAX
    RUN(test_more_than_a_block_counts_is_refused);
#endif
    RUN(test_every_allocation_may_fail);
    return check_done();
}
