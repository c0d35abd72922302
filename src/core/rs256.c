#include "rs256.h"

#include <limits.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

/* libcrypto asks for the password of a key that has one: there is none. */
static int no_password(char *buffer, int size, int writing, void *data)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)data;
    return 0;
}

static EVP_PKEY *read_key(const char *pem, size_t n)
{
    BIO *bio = n > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)n);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (key != NULL && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static int sign(EVP_PKEY *key, const void *bytes, size_t n, unsigned char *signature, size_t *length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    *length = GEM_RS256_MAX;
    int ok = context != NULL && EVP_PKEY_get_size(key) <= GEM_RS256_MAX
        && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1
        && EVP_DigestSign(context, signature, length, bytes, n) == 1;
    EVP_MD_CTX_free(context);
    return ok ? 0 : -1;
}

int gem_rs256_sign(const char *pem, size_t pem_length, const void *bytes, size_t n, unsigned char *signature,
    size_t *length, struct gem_err *err)
{
    EVP_PKEY *key = read_key(pem, pem_length);
    int result = key == NULL ? gem_err_set(err, GEM_INVALID, 0, "this is no RSA key in PEM without a password") : 0;
    if (result == 0 && sign(key, bytes, n, signature, length) < 0)
        result = gem_err_set(err, GEM_LIMIT, 0, "libcrypto could not sign with this key");
    EVP_PKEY_free(key);
    ERR_clear_error(); /* the queue belongs to the thread, and libcurl reads it, too */
    return result;
}
