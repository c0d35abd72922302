/* SHA-256 of a file while it is sent, and of anything else: the one door to libcrypto.
 *
 * Bytes come with their offset, since a broken upload goes back: what was hashed before is passed over, and a
 * gap makes the digest unknown for good. The struct owns libcrypto's context. */
#ifndef GEM_CORE_SHA256_H
#define GEM_CORE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum { GEM_SHA256_HEX = 64 };

struct gem_sha256 {
    void *context;
    int64_t position; /* bytes hashed */
    bool broken;      /* a gap, or libcrypto failed */
};

/* hash: zeroed. -1: out of memory, or a libcrypto without SHA-256. */
int gem_sha256_open(struct gem_sha256 *hash, struct gem_err *err);

/* May be called twice. */
void gem_sha256_close(struct gem_sha256 *hash);

/* Takes n bytes that stand at the offset. */
void gem_sha256_feed(struct gem_sha256 *hash, int64_t offset, const void *bytes, size_t n);

/* The digest of the first `position` bytes in lower-case hex with a NUL; more may be fed afterwards. -1: it is not known. */
int gem_sha256_hex(const struct gem_sha256 *hash, char hex[GEM_SHA256_HEX + 1], struct gem_err *err);

#endif
