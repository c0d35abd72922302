#include "check.h"

static void test_default_allocates_resizes_and_frees(void)
{
    const struct gem_mem *mem = gem_mem_default();
    char *p = gem_mem_alloc(mem, 3);
    char *q;

    if (!CHECK(p != NULL))
        return;
    memcpy(p, "abc", 3);
    q = gem_mem_resize(mem, p, 3, 100000);
    if (!CHECK(q != NULL))
        return;
    CHECK(memcmp(q, "abc", 3) == 0);
    q[99999] = 'z';
    q = gem_mem_resize(mem, q, 100000, 1);
    if (!CHECK(q != NULL))
        return;
    CHECK(q[0] == 'a');
    gem_mem_free(mem, q, 1);
}

static void test_default_is_one_table(void)
{
    CHECK(gem_mem_default() == gem_mem_default());
}

static void test_nothing_asked_is_nothing_given(void)
{
    struct check_mem m;

    check_mem_init(&m);
    CHECK(gem_mem_alloc(&m.mem, 0) == NULL);
    CHECK(gem_mem_array(&m.mem, 0, 8) == NULL);
    CHECK(gem_mem_array(&m.mem, 8, 0) == NULL);
    gem_mem_free(&m.mem, NULL, 0);
    CHECK(m.requests == 0 && m.blocks == 0);
}

static void test_array_refuses_products_that_do_not_fit(void)
{
    struct check_mem m;
    void *p;

    check_mem_init(&m);
    CHECK(gem_mem_array(&m.mem, SIZE_MAX, 2) == NULL);
    CHECK(gem_mem_array(&m.mem, 2, SIZE_MAX) == NULL);
    CHECK(gem_mem_array(&m.mem, SIZE_MAX / 2 + 1, 2) == NULL);
    CHECK(gem_mem_array(&m.mem, (size_t)1 << (sizeof(size_t) * 4), (size_t)1 << (sizeof(size_t) * 4)) == NULL);
    CHECK(m.requests == 0);
    p = gem_mem_array(&m.mem, 3, 5);
    CHECK(p != NULL && m.bytes == 15);
    gem_mem_free(&m.mem, p, 15);
    CHECK(m.blocks == 0 && m.bytes == 0);
}

static void test_sizes_and_user_data_reach_the_host(void)
{
    struct check_mem m;
    void *p, *q;

    check_mem_init(&m);
    p = gem_mem_alloc(&m.mem, 10);
    CHECK(m.bytes == 10);
    q = gem_mem_resize(&m.mem, p, 10, 30);
    CHECK(q != NULL && m.bytes == 30 && m.blocks == 1);
    m.fail_at = 1;
    CHECK(gem_mem_resize(&m.mem, q, 30, 60) == NULL);
    CHECK(gem_mem_alloc(&m.mem, 1) == NULL);
    CHECK(m.bytes == 30);
    gem_mem_free(&m.mem, q, 30);
    CHECK(m.blocks == 0 && m.bytes == 0);
}

/* ASan would end the program at a request that it cannot serve. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void test_the_heaps_refusal_is_null(void)
{
    volatile size_t too_much = SIZE_MAX / 2;  /* volatile: the compiler would not even ask */

    CHECK(gem_mem_alloc(gem_mem_default(), too_much) == NULL);
}

int main(void)
{
    RUN(test_default_allocates_resizes_and_frees);
    RUN(test_default_is_one_table);
    RUN(test_nothing_asked_is_nothing_given);
    RUN(test_array_refuses_products_that_do_not_fit);
    RUN(test_sizes_and_user_data_reach_the_host);
    RUN(test_the_heaps_refusal_is_null);
    return check_done();
}
