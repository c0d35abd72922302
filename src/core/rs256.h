/* RS256: the signature that a service account puts under a claim, by libcrypto. Nothing is kept. */
#ifndef GEM_CORE_RS256_H
#define GEM_CORE_RS256_H

#include <stddef.h>

#include "err.h"

/* The longest signature: of a key of 16384 bits. */
enum { GEM_RS256_MAX = 2048 };

/* Signs n bytes with an RSA key in PEM (PKCS#8 or PKCS#1, no password). signature: GEM_RS256_MAX bytes; *length says how
 * many count. -1: no RSA key (GEM_INVALID), or libcrypto failed. The key is never part of the message. */
int gem_rs256_sign(const char *pem, size_t pem_length, const void *bytes, size_t n, unsigned char *signature,
    size_t *length, struct gem_err *err);

#endif
