/* The limits: programs on libcurl alone that do what a request costs at the least, and nothing else.
 *
 * limit.c has those that send one request after another, limit_streams.c the one that holds a thousand answers at once.
 * limit_frames.c has no libcurl either: what a machine makes of work that is done in slices with pauses between. */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include <curl/curl.h>

#include "common.h"

/* An easy handle for a POST of `body` (text that outlives it) to url; what comes back is dropped. */
CURL *limit_request(const char *url, const char *ca_path, const char *body);

/* streams URL N [CA_PATH]: N answers at once over one multi handle and epoll. */
void limit_streams(const char *url, long n, const char *ca_path);

/* frames URL FILE MICROSECONDS: posts the file, each slice read, hashed and sent, for so long in each of 60 frames a
 * second; 0: all at once. */
void limit_frames(const char *url, const char *path, double budget);

#endif
