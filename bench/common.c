#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double bench_cpu(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static long status_line(const char *name)
{
    char line[256];
    long value = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    if (f != NULL)
        fclose(f);
    return value;
}

long bench_resident(void)
{
    return status_line("VmRSS:");
}

long bench_peak(void)
{
    return status_line("VmHWM:");
}

void bench_print(const char *name, double value)
{
    printf("%s %.9g\n", name, value);
}

void bench_die(const char *form, ...)
{
    va_list more;
    va_start(more, form);
    vfprintf(stderr, form, more);
    va_end(more);
    fputc('\n', stderr);
    exit(1);
}

int64_t bench_number(const char *text)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno != 0 || *text == '\0' || *end != '\0' || n < 0 || n > (1LL << 53))
        bench_die("a number is needed, not %s", text);
    return n;
}

void *bench_alloc(size_t n)
{
    void *p = calloc(1, n);
    if (p == NULL)
        bench_die("out of memory");
    return p;
}

unsigned char *bench_read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) < 0)
        bench_die("cannot read %s", path);
    *n = (size_t)ftell(f);
    unsigned char *bytes = bench_alloc(*n + 1);
    rewind(f);
    if (fread(bytes, 1, *n, f) != *n)
        bench_die("cannot read %s", path);
    fclose(f);
    return bytes;
}

size_t bench_event(char dst[BENCH_EVENT + 1], int64_t instant, int last)
{
    static const char words[] = "The slide promises a price that the caller does not know, and that nobody confirms. ";
    static const char form[] = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%016" PRId64 " %.*s\"}],"
        "\"role\":\"model\"},\"index\":0%s}],\"usageMetadata\":{\"promptTokenCount\":1290,\"candidatesTokenCount\":21,"
        "\"totalTokenCount\":1311},\"modelVersion\":\"gemini-3.5-flash\",\"responseId\":\"b3nchm4rkb3nchm4rk\"}";
    const char *end = last ? ",\"finishReason\":\"STOP\"" : "";
    char text[sizeof words * 2];
    int fixed = snprintf(NULL, 0, form, instant, 0, "", end);
    snprintf(text, sizeof text, "%s%s", words, words);
    int n = snprintf(dst, BENCH_EVENT + 1, form, instant, BENCH_EVENT - fixed, text, end);
    if (n != BENCH_EVENT)
        bench_die("an event of %d bytes", n);
    return (size_t)n;
}
