/* A tiny test harness: CHECK counts, RUN names, check_done reports. Include it first.
 *
 * One line per test, "ok name" or "not ok name" with the failed checks before it, and at the end
 * "N passed, N failed", counting tests. Beside it: an allocator that counts and fails on demand, and blocks whose
 * edges trap. One thread only. */
#ifndef GEM_SPEC_CHECK_H
#define GEM_SPEC_CHECK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE  /* MAP_ANONYMOUS */
#endif

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/core/mem.h"

#define CHECK(cond) check_that((cond) ? 1 : 0, #cond, __FILE__, __LINE__)
#define CHECK_STR(got, wanted) check_str((got), (wanted), __FILE__, __LINE__)
#define RUN(test) check_run(#test, test)

static int check_failures, check_passed_tests, check_failed_tests;

/* Returns the condition, so that a test can stop where going on makes no sense. */
static inline int check_that(int ok, const char *what, const char *file, int line)
{
    if (!ok && ++check_failures <= 10)  /* a loop that fails fails a thousand times */
        printf("# %s:%d: %s\n", file, line, what);
    return ok;
}

static inline int check_str(const char *got, const char *wanted, const char *file, int line)
{
    int ok = strcmp(got, wanted) == 0;
    if (!ok && ++check_failures <= 10)
        printf("# %s:%d: got \"%s\", wanted \"%s\"\n", file, line, got, wanted);
    return ok;
}

static inline void check_run(const char *name, void (*test)(void))
{
    check_failures = 0;
    test();
    printf("%s %s\n", check_failures == 0 ? "ok" : "not ok", name);
    if (check_failures == 0)
        check_passed_tests++;
    else
        check_failed_tests++;
    fflush(stdout);
}

/* The exit status of main. */
static inline int check_done(void)
{
    printf("%d passed, %d failed\n", check_passed_tests, check_failed_tests);
    return check_failed_tests == 0 && check_passed_tests > 0 ? 0 : 1;
}

/* An allocator that counts, checks that sizes come back right, and fails from the fail_at-th request for memory
 * on (0: never). Shrinking may fail like growing. Every resize moves the block, so that stale pointers show. */
struct check_mem {
    struct gem_mem mem;  /* pass &m.mem */
    size_t blocks, bytes, peak;
    size_t requests, fail_at;
    size_t copied;       /* bytes that resizing moved */
};

static inline void *check_mem_realloc(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    struct check_mem *m = ud;
    size_t *block = NULL, kept = old_size < new_size ? old_size : new_size;

    if (ptr != NULL)
        CHECK(((size_t *)ptr)[-2] == old_size);
    if (new_size > 0) {
        m->requests++;
        if (m->fail_at != 0 && m->requests >= m->fail_at)
            return NULL;
        block = malloc(2 * sizeof *block + new_size);
        if (block == NULL)
            abort();
        block[0] = new_size;
        block += 2;
        m->blocks++;
        m->bytes += new_size;
    }
    if (ptr != NULL) {
        if (block != NULL)
            memcpy(block, ptr, kept);
        m->copied += block != NULL ? kept : 0;
        m->blocks--;
        m->bytes -= old_size;
        free((size_t *)ptr - 2);
    }
    if (m->bytes > m->peak)
        m->peak = m->bytes;
    return block;
}

static inline void check_mem_init(struct check_mem *m)
{
    memset(m, 0, sizeof *m);
    m->mem.realloc = check_mem_realloc;
    m->mem.ud = m;
}

/* A copy of n bytes in a heap block of exactly that size, for ASan to guard. Free it with free. */
static inline char *check_exact(const void *bytes, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);
    if (copy == NULL)
        abort();
    if (n > 0)
        memcpy(copy, bytes, n);
    return copy;
}

/* Memory of which both the byte before and the byte after are unreadable. */
struct check_edge {
    char *map, *first, *past;
    size_t map_size;
};

static inline void check_edge_open(struct check_edge *edge, size_t at_least)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (at_least + page - 1) / page * page;
    edge->map_size = inner + 2 * page;
    edge->map = mmap(NULL, edge->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (edge->map == MAP_FAILED || mprotect(edge->map + page, inner, PROT_READ | PROT_WRITE) != 0)
        abort();
    edge->first = edge->map + page;
    edge->past = edge->first + inner;
}

static inline void check_edge_close(struct check_edge *edge)
{
    munmap(edge->map, edge->map_size);
}

/* Numbers that look random and are the same in every run. */
static inline uint32_t check_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

#endif
