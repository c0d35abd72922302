/* What the C programs of the benchmark share. They are tools: what goes wrong ends them, with a word on stderr.
 *
 * Each prints its figures as lines "name value" on stdout; bench/run.lua reads them. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stddef.h>
#include <stdint.h>

/* Seconds: of a clock that only goes forward, and of this process on any core, user and system. */
double bench_now(void);
double bench_cpu(void);

/* KiB of memory that are resident: now, and at most so far. */
long bench_resident(void);
long bench_peak(void);

void bench_print(const char *name, double value);
_Noreturn void bench_die(const char *form, ...) __attribute__((format(printf, 1, 2)));

/* A number in 0..2^53 from the command line, or the end. */
int64_t bench_number(const char *text);

/* Memory or the end. */
void *bench_alloc(size_t n);

/* All of a file, in memory that is never freed. */
unsigned char *bench_read_file(const char *path, size_t *n);

/* The JSON of an event as the service writes it, exactly BENCH_EVENT bytes. The text in it begins with the 16 digits of
 * `instant` (microseconds) and has the finish reason of an answer that is over where it is the last. Returns the
 * length, without the NUL. */
enum { BENCH_EVENT = 364 };
size_t bench_event(char dst[BENCH_EVENT + 1], int64_t instant, int last);

#endif
