#include "sha256.h"

#include <openssl/evp.h>

int gem_sha256_open(struct gem_sha256 *hash, struct gem_err *err)
{
    hash->position = 0;
    hash->broken = false;
    hash->context = EVP_MD_CTX_new();
    if (hash->context == NULL)
        return gem_err_memory(err);
    if (EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) == 1)
        return 0;
    gem_sha256_close(hash);
    return gem_err_set(err, GEM_LIMIT, 0, "this libcrypto has no SHA-256");
}

void gem_sha256_close(struct gem_sha256 *hash)
{
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
}

void gem_sha256_feed(struct gem_sha256 *hash, int64_t offset, const void *bytes, size_t n)
{
    int64_t known = hash->position - offset; /* of these bytes */
    if (known < 0 || hash->context == NULL) /* a gap, or closed while it was used */
        hash->broken = true;
    if (hash->broken || known >= (int64_t)n)
        return;
    size_t more = n - (size_t)known;
    if (EVP_DigestUpdate(hash->context, (const char *)bytes + known, more) != 1)
        hash->broken = true;
    else
        hash->position += (int64_t)more;
}

static int digest(const struct gem_sha256 *hash, unsigned char raw[EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    int ok = copy != NULL && EVP_MD_CTX_copy_ex(copy, hash->context) == 1 && EVP_DigestFinal_ex(copy, raw, NULL) == 1;
    EVP_MD_CTX_free(copy);
    return ok ? 0 : -1;
}

int gem_sha256_hex(const struct gem_sha256 *hash, char hex[GEM_SHA256_HEX + 1], struct gem_err *err)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    if (hash->broken)
        return gem_err_set(err, GEM_INTEGRITY, 0, "not all bytes were hashed");
    if (digest(hash, raw) < 0)
        return gem_err_memory(err);
    for (int i = 0; i < GEM_SHA256_HEX / 2; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[GEM_SHA256_HEX] = '\0';
    return 0;
}
