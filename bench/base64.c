/* base64: the speed of each encoder and decoder on a hot block of 48 KiB, and memcpy's on it, in bytes a second. */
#include <stdio.h>
#include <string.h>

#include "../src/core/base64.h"
#include "common.h"

enum { BLOCK = 48 * 1024, ROOM = BLOCK / 3 * 4 + 64, TIMES = 200, ROUNDS = 25 };

static unsigned char raw[BLOCK], copy[ROOM];
static char text[ROOM];

static enum gem_base64_level level;

static void run_memcpy(void)
{
    memcpy(copy, raw, BLOCK);
    __asm__ volatile("" : : "r"(copy) : "memory"); /* it must happen */
}

static void run_encode(void)
{
    gem_base64_encode(level, text, raw, BLOCK, 1);
}

static void run_decode(void)
{
    struct gem_err err;
    size_t n;
    if (gem_base64_decode(level, copy, text, BLOCK / 3 * 4, &n, &err) < 0 || n != BLOCK)
        bench_die("the decoder refuses what the encoder made");
}

/* Bytes of the raw block a second, at best: whatever else runs here only makes it slower. */
static double speed(void (*run)(void))
{
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double begin = bench_now();
        for (int k = 0; k < TIMES; k++)
            run();
        double now = (double)BLOCK * TIMES / (bench_now() - begin);
        best = now > best ? now : best;
    }
    return best;
}

static void print_speed(const char *what, const char *name, void (*run)(void))
{
    char label[32];
    snprintf(label, sizeof label, "%s_%s", what, name);
    bench_print(label, speed(run));
}

static void compare(enum gem_base64_level of, const char *name)
{
    if ((gem_base64_levels() & 1u << of) == 0)
        return;
    level = of;
    print_speed("memcpy", name, run_memcpy);
    print_speed("encode", name, run_encode);
    print_speed("decode", name, run_decode);
}

int main(void)
{
    for (size_t i = 0; i < BLOCK; i++)
        raw[i] = (unsigned char)(i * 2654435761u >> 13);
    compare(GEM_BASE64_PLAIN, "plain");
    compare(GEM_BASE64_SSSE3, "ssse3");
    compare(GEM_BASE64_AVX2, "avx2");
    compare(GEM_BASE64_AVX512, "avx512");
    return 0;
}
