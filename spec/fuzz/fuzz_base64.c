/* Base64: every level gives what the plain one gives, bytes and place of a refusal, however the input is cut; what is
 * refused is what the header of base64 says; encoding gives the text again, and decoding that the bytes.
 *
 * Input: seed of the cuts; the bytes, taken once as text to decode and once as bytes to encode. */
#include "fuzz.h"

#include "../../src/core/base64.h"

/* ---- what decoding has to give ---- */

static int is_letter(char c)
{
    return c != '\0' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_", c) != NULL;
}

static int is_valid(const char *text, size_t n)
{
    size_t letters = 0, pads = 0;
    while (letters < n && is_letter(text[letters]))
        letters++;
    while (letters + pads < n && text[letters + pads] == '=')
        pads++;
    if (letters + pads < n || letters % 4 == 1)
        return 0;
    return pads == 0 || (letters % 4 != 0 && letters % 4 + pads == 4);
}

/* Whether text is what its bytes are encoded to: but for the alphabet, the padding and left-over bits. */
static int is_encoding(const char *text, size_t n, const char *encoded, size_t length)
{
    while (n > 0 && text[n - 1] == '=')
        n--;
    if (length != (n + 3) / 4 * 4)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
        if (c != encoded[i] && (n % 4 == 0 || i + 1 < n))
            return 0;
    }
    return 1;
}

/* ---- decoding ---- */

struct decoded {
    int result;
    unsigned char *bytes;
    size_t n;
    struct gem_err err;
};

static struct decoded decode(enum gem_base64_level level, const char *text, size_t n)
{
    struct decoded d = {.bytes = fuzz_room(gem_base64_decoded_room(n))};
    char *exact = check_exact(text, n);
    gem_err_clear(&d.err);
    d.result = gem_base64_decode(level, d.bytes, exact, n, &d.n, &d.err);
    free(exact);
    MUST(d.n <= gem_base64_decoded_room(n));
    return d;
}

/* One piece, from and to blocks of its own size. */
static int decode_piece(struct gem_base64_decoder *dec, struct decoded *d, const char *text, size_t n)
{
    size_t written = 0;
    char *exact = check_exact(text, n);
    unsigned char *dst = fuzz_room(gem_base64_decoded_room(n));
    int result = gem_base64_decode_feed(dec, dst, exact, n, &written, &d->err);
    MUST(written <= gem_base64_decoded_room(n));
    memcpy(d->bytes + d->n, dst, written);
    d->n += written;
    free(dst);
    free(exact);
    return result;
}

static struct decoded decode_pieces(enum gem_base64_level level, const char *text, size_t n, uint32_t seed)
{
    struct decoded d = {.bytes = fuzz_room(n + 3)};
    struct gem_base64_decoder dec;
    size_t done = 0, written = 0;
    gem_err_clear(&d.err);
    gem_base64_decode_init(&dec, level);
    while (done < n && d.result == 0) {
        size_t piece = fuzz_piece(&seed, n - done);
        d.result = decode_piece(&dec, &d, text + done, piece);
        done += piece;
    }
    if (d.result == 0)
        d.result = gem_base64_decode_finish(&dec, d.bytes + d.n, &written, &d.err);
    else /* a refusal stays */
        MUST(gem_base64_decode_finish(&dec, d.bytes + d.n, &written, NULL) < 0 && written == 0);
    d.n += written;
    return d;
}

static int same(const struct decoded *a, const struct decoded *b)
{
    return a->result == b->result && a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0 &&
           a->err.kind == b->err.kind && a->err.offset == b->err.offset && strcmp(a->err.text, b->err.text) == 0;
}

/* ---- encoding ---- */

struct encoded {
    char *text;
    size_t n;
};

static struct encoded encode(enum gem_base64_level level, const void *bytes, size_t n, int pad)
{
    struct encoded e = {fuzz_room(gem_base64_encoded_len(n)), 0};
    char *exact = check_exact(bytes, n);
    e.n = gem_base64_encode(level, e.text, exact, n, pad);
    MUST(pad ? e.n == gem_base64_encoded_len(n) : e.n == (n * 4 + 2) / 3);
    free(exact);
    return e;
}

static struct encoded encode_pieces(enum gem_base64_level level, const char *bytes, size_t n, int pad, uint32_t seed)
{
    struct encoded e = {fuzz_room(gem_base64_encoded_len(n) + 4), 0};
    struct gem_base64_encoder enc;
    gem_base64_encode_init(&enc, level);
    for (size_t done = 0, piece; done < n; done += piece) {
        piece = fuzz_piece(&seed, n - done);
        char *exact = check_exact(bytes + done, piece);
        char *dst = fuzz_room(gem_base64_encoded_len(piece));
        size_t written = gem_base64_encode_feed(&enc, dst, exact, piece);
        MUST(written <= gem_base64_encoded_len(piece));
        memcpy(e.text + e.n, dst, written);
        e.n += written;
        free(dst);
        free(exact);
    }
    e.n += gem_base64_encode_finish(&enc, e.text + e.n, pad);
    return e;
}

static void must_equal(struct encoded got, const struct encoded *wanted)
{
    MUST(got.n == wanted->n && memcmp(got.text, wanted->text, got.n) == 0);
    free(got.text);
}

/* ---- one input ---- */

static void check_decode(const char *text, size_t n, uint32_t seed)
{
    struct decoded plain = decode(GEM_BASE64_PLAIN, text, n);
    MUST((plain.result == 0) == is_valid(text, n));
    if (plain.result == 0) {
        struct encoded again = encode(GEM_BASE64_PLAIN, plain.bytes, plain.n, 1);
        MUST(is_encoding(text, n, again.text, again.n));
        free(again.text);
    } else {
        MUST(plain.err.kind == GEM_INVALID && plain.err.offset >= 0 && plain.err.offset <= (int64_t)n);
    }
    for (int level = GEM_BASE64_PLAIN; level <= GEM_BASE64_NEON; level++) {
        if (!(gem_base64_levels() >> level & 1))
            continue;
        struct decoded whole = decode((enum gem_base64_level)level, text, n);
        struct decoded pieces = decode_pieces((enum gem_base64_level)level, text, n, seed);
        MUST(same(&plain, &whole));
        MUST(same(&plain, &pieces));
        free(whole.bytes);
        free(pieces.bytes);
    }
    free(plain.bytes);
}

static void check_encode(const char *bytes, size_t n, int pad, uint32_t seed)
{
    struct encoded plain = encode(GEM_BASE64_PLAIN, bytes, n, pad);
    struct decoded back = decode(GEM_BASE64_PLAIN, plain.text, plain.n);
    MUST(back.result == 0 && back.n == n && (n == 0 || memcmp(back.bytes, bytes, n) == 0));
    for (int level = GEM_BASE64_PLAIN; level <= GEM_BASE64_NEON; level++) {
        if (!(gem_base64_levels() >> level & 1))
            continue;
        must_equal(encode((enum gem_base64_level)level, bytes, n, pad), &plain);
        must_equal(encode_pieces((enum gem_base64_level)level, bytes, n, pad, seed), &plain);
    }
    free(back.bytes);
    free(plain.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint32_t seed = fuzz_byte(&in);
    const char *bytes = (const char *)in.bytes;
    check_decode(bytes, in.left, seed);
    check_encode(bytes, in.left, 1, seed);
    check_encode(bytes, in.left, 0, seed);
    return 0;
}
