/* What the fuzz targets share: the input as a source of numbers and bytes, and the way to say that a promise is
 * broken. Counting memory, blocks with guarded edges and repeatable random numbers are those of the C tests.
 *
 * A target takes its decisions from the first bytes of the input and its data from the rest, so that an input of
 * zeroes is the plainest case and a longer one only adds to it. */
#ifndef GEM_SPEC_FUZZ_H
#define GEM_SPEC_FUZZ_H

#include "../c/check.h"

#define MUST(cond) ((cond) ? (void)0 : fuzz_broken(#cond, __FILE__, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer keeps the input that led here. */
_Noreturn static inline void fuzz_broken(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
    abort();
}

struct fuzz_input {
    const uint8_t *bytes;
    size_t left;
};

/* 0 where nothing is left. */
static inline unsigned fuzz_byte(struct fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->bytes++;
}

/* A number of `bytes` bytes, the lowest first. */
static inline uint64_t fuzz_number(struct fuzz_input *in, int bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++)
        n |= (uint64_t)fuzz_byte(in) << (8 * i);
    return n;
}

/* A block of exactly n bytes. Free it with free. */
static inline void *fuzz_room(size_t n)
{
    void *block = malloc(n > 0 ? n : 1);
    if (block == NULL)
        abort();
    return block;
}

/* How long the next piece is, of n > 0 bytes that are left: often very short, so that cuts fall everywhere. */
static inline size_t fuzz_piece(uint32_t *seed, size_t n)
{
    uint32_t r = check_random(seed);
    size_t most = r & 1 ? 4 : r & 2 ? 70 : n;
    size_t piece = 1 + check_random(seed) % most;
    return piece < n ? piece : n;
}

#endif
