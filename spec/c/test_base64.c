#include "check.h"

#include "../../src/core/base64.h"

/* ---- the reference: one bit at a time, straight from the definition ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int bit(const unsigned char *bytes, size_t n, size_t i)
{
    return i / 8 < n ? bytes[i / 8] >> (7 - i % 8) & 1 : 0;
}

static size_t naive_encode(char *dst, const unsigned char *src, size_t n, int pad)
{
    size_t i, k, len = (n * 8 + 5) / 6;
    for (i = 0; i < len; i++) {
        int value = 0;
        for (k = 0; k < 6; k++)
            value = value * 2 + bit(src, n, i * 6 + k);
        dst[i] = letters[value];
    }
    while (pad && len % 4 != 0)
        dst[len++] = '=';
    return len;
}

static int naive_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(letters, c);
    if (c == '-' || c == '_')
        return c == '-' ? 62 : 63;
    return at == NULL ? -1 : (int)(at - letters);
}

/* The bytes of n letters. */
static size_t naive_bytes(unsigned char *dst, const char *text, size_t n)
{
    size_t i, k, len = n * 6 / 8;
    memset(dst, 0, len);
    for (i = 0; i < n; i++) {
        int value = naive_value(text[i]);
        for (k = 0; k < 6; k++) {
            size_t at = i * 6 + k;
            if (at / 8 < len && (value >> (5 - k) & 1))
                dst[at / 8] = (unsigned char)(dst[at / 8] | 1 << (7 - at % 8));
        }
    }
    return len;
}

/* Returns -1 where the text is base64, else the offset of what is wrong. *written as the header promises. */
static long naive_decode(unsigned char *dst, const char *text, size_t n, size_t *written)
{
    size_t run = 0, pads = 0;
    while (run < n && naive_value(text[run]) >= 0)
        run++;
    *written = naive_bytes(dst, text, run / 4 * 4);
    if (run == n && run % 4 == 1)
        return (long)n;
    if (run < n && (text[run] != '=' || run % 4 < 2))
        return (long)run;
    if (run < n) {
        while (run + pads < n && pads < 4 - run % 4 && text[run + pads] == '=')
            pads++;
        if (pads < 4 - run % 4)
            return (long)(run + pads);
    }
    *written = naive_bytes(dst, text, run);
    return run + pads < n ? (long)(run + pads) : -1;
}

/* ---- helpers ---- */

static int next_level(int level)
{
    do
        level++;
    while (level <= GEM_BASE64_NEON && !(gem_base64_levels() >> level & 1));
    return level;
}

#define EACH_LEVEL(level) (level = GEM_BASE64_PLAIN; level <= GEM_BASE64_NEON; level = next_level(level))

static void random_bytes(unsigned char *bytes, size_t n, uint32_t seed)
{
    size_t i;
    for (i = 0; i < n; i++)
        bytes[i] = (unsigned char)check_random(&seed);
}

static void make_urlsafe(char *text, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
}

/* Every piece is fed from and to blocks of exactly the promised size. Cuts must be ascending. */
static size_t encode_in_pieces(int level, char *dst, const unsigned char *src, size_t n, const size_t *cuts,
                               size_t n_cuts, int pad)
{
    struct gem_base64_encoder enc;
    char last[4];
    size_t i, from = 0, len = 0, got;

    gem_base64_encode_init(&enc, (enum gem_base64_level)level);
    for (i = 0; i <= n_cuts; i++) {
        size_t to = i < n_cuts ? cuts[i] : n, room = (size_t)gem_base64_encoded_len(to - from);
        char *in = check_exact(src + from, to - from), *out = malloc(room > 0 ? room : 1);
        got = gem_base64_encode_feed(&enc, out, in, to - from);
        CHECK(got <= room);
        memcpy(dst + len, out, got);
        len += got;
        free(in);
        free(out);
        from = to;
    }
    got = gem_base64_encode_finish(&enc, last, pad);
    memcpy(dst + len, last, got);
    return len + got;
}

/* The same for decoding; returns 0 or -1, and goes on after a refusal to see that it stays. */
static int decode_in_pieces(int level, unsigned char *dst, const char *src, size_t n, const size_t *cuts,
                            size_t n_cuts, size_t *written, struct gem_err *err)
{
    struct gem_base64_decoder dec;
    unsigned char last[2];
    size_t i, from = 0, got;
    int result = 0;

    *written = 0;
    gem_base64_decode_init(&dec, (enum gem_base64_level)level);
    for (i = 0; i <= n_cuts; i++) {
        size_t to = i < n_cuts ? cuts[i] : n, room = gem_base64_decoded_room(to - from);
        char *in = check_exact(src + from, to - from);
        unsigned char *out = malloc(room > 0 ? room : 1);
        int now = gem_base64_decode_feed(&dec, out, in, to - from, &got, err);
        CHECK(result == 0 || (now == -1 && got == 0));
        CHECK(got <= room);
        memcpy(dst + *written, out, got);
        *written += got;
        result = now;
        free(in);
        free(out);
        from = to;
    }
    if (gem_base64_decode_finish(&dec, last, &got, err) < 0) {
        CHECK(got == 0);
        return -1;
    }
    CHECK(result == 0);
    memcpy(dst + *written, last, got);
    *written += got;
    return 0;
}

/* ---- encoding ---- */

static void test_levels(void)
{
    unsigned levels = gem_base64_levels();

    printf("# levels 0x%x, best %d\n", levels, (int)gem_base64_best());
    CHECK(levels & 1u << GEM_BASE64_PLAIN);
    CHECK(levels >> gem_base64_best() & 1);
#if defined(__x86_64__)
    if (levels & 1u << GEM_BASE64_AVX512)
        CHECK(gem_base64_best() == GEM_BASE64_AVX512);
    else if (levels & 1u << GEM_BASE64_AVX2)
        CHECK(gem_base64_best() == GEM_BASE64_AVX2);
    CHECK(!(levels & 1u << GEM_BASE64_NEON));
#elif defined(__aarch64__)
    CHECK(gem_base64_best() == GEM_BASE64_NEON);
#endif
}

static void test_known_answers(void)
{
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar", "\x00", "\xFF\xFF\xFE" };
    static const size_t lens[] = { 0, 1, 2, 3, 4, 5, 6, 1, 3 };
    static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy", "AA==",
                                         "///+" };
    char text[16];
    unsigned char bytes[16];
    size_t i, n;
    int level;

    for EACH_LEVEL(level) {
        for (i = 0; i < sizeof lens / sizeof *lens; i++) {
            n = gem_base64_encode((enum gem_base64_level)level, text, plain[i], lens[i], 1);
            CHECK(n == strlen(coded[i]) && memcmp(text, coded[i], n) == 0);
            CHECK(gem_base64_decode((enum gem_base64_level)level, bytes, coded[i], n, &n, NULL) == 0);
            CHECK(n == lens[i] && memcmp(bytes, plain[i], n) == 0);
        }
    }
}

static void test_encoded_len(void)
{
    uint64_t n;
    unsigned char byte = 0;
    char text[4];

    for (n = 0; n < 100; n++)
        CHECK(gem_base64_encoded_len(n) == 4 * ((n + 2) / 3));
    CHECK(gem_base64_encoded_len(UINT64_MAX) == UINT64_MAX);
    CHECK(gem_base64_encoded_len(UINT64_MAX / 4 * 3 + 1) == UINT64_MAX);
    CHECK(gem_base64_encoded_len(UINT64_MAX / 4 * 3) == UINT64_MAX / 4 * 4);
    CHECK(gem_base64_encoded_len((uint64_t)1 << 33) == 11453246124u);
    CHECK(gem_base64_decoded_room(0) == 0 && gem_base64_decoded_room(1) == 3 && gem_base64_decoded_room(4) == 3);
    CHECK(gem_base64_decoded_room(5) == 6 && gem_base64_decoded_room(SIZE_MAX) == SIZE_MAX / 4 * 3 + 3);
    CHECK(gem_base64_encode(GEM_BASE64_PLAIN, text, &byte, 1, 0) == 2);
}

static void test_nothing_from_nowhere(void)
{
    struct gem_base64_encoder enc;
    struct gem_base64_decoder dec;
    size_t n = 99;
    int level;

    for EACH_LEVEL(level) {
        CHECK(gem_base64_encode((enum gem_base64_level)level, NULL, NULL, 0, 1) == 0);
        gem_base64_encode_init(&enc, (enum gem_base64_level)level);
        CHECK(gem_base64_encode_feed(&enc, NULL, NULL, 0) == 0 && gem_base64_encode_finish(&enc, NULL, 1) == 0);
        gem_base64_decode_init(&dec, (enum gem_base64_level)level);
        CHECK(gem_base64_decode_feed(&dec, NULL, NULL, 0, &n, NULL) == 0 && n == 0);
        CHECK(gem_base64_decode_finish(&dec, NULL, &n, NULL) == 0 && n == 0);
    }
}

/* Source and destination end where memory ends, then begin where it begins. */
static void test_encode_every_length_at_the_edges(void)
{
    struct check_edge in, out;
    unsigned char bytes[450];
    char wanted[604], *dst;
    size_t n, len, wanted_len;
    int level, pad, end;

    check_edge_open(&in, 450);
    check_edge_open(&out, 604);
    random_bytes(bytes, sizeof bytes, 7);
    for EACH_LEVEL(level) {
        for (n = 0; n <= 450; n++) {
            for (pad = 0; pad <= 1; pad++) {
                wanted_len = naive_encode(wanted, bytes, n, pad);
                for (end = 0; end <= 1; end++) {
                    char *src = end ? in.past - n : in.first;
                    dst = end ? out.past - wanted_len : out.first;
                    memcpy(src, bytes, n);
                    len = gem_base64_encode((enum gem_base64_level)level, dst, src, n, pad);
                    CHECK(len == wanted_len && memcmp(dst, wanted, len) == 0);
                }
            }
        }
    }
    check_edge_close(&in);
    check_edge_close(&out);
}

/* The bytes lie at the end of the room that their text takes. */
static void test_encode_in_place(void)
{
    unsigned char bytes[1000];
    char wanted[1336];
    size_t n, len, room;
    int level;

    random_bytes(bytes, sizeof bytes, 8);
    for EACH_LEVEL(level) {
        for (n = 0; n <= sizeof bytes; n++) {
            room = (size_t)gem_base64_encoded_len(n);
            char *text = malloc(room > 0 ? room : 1);
            memcpy(text + room - n, bytes, n);
            len = gem_base64_encode((enum gem_base64_level)level, text, text + room - n, n, 1);
            CHECK(len == room && naive_encode(wanted, bytes, n, 1) == len);
            CHECK(memcmp(text, wanted, len) == 0);
            free(text);
        }
    }
}

/* Every value in every place of a block. */
static void test_encode_every_byte_everywhere(void)
{
    unsigned char bytes[230];
    char text[308], wanted[308];
    size_t i, n = sizeof bytes;
    int level, value;

    for EACH_LEVEL(level) {
        for (value = 0; value < 256; value++) {
            for (i = 0; i < n; i++) {
                random_bytes(bytes, n, (uint32_t)value);
                bytes[i] = (unsigned char)value;
                gem_base64_encode((enum gem_base64_level)level, text, bytes, n, 1);
                CHECK(memcmp(text, wanted, naive_encode(wanted, bytes, n, 1)) == 0);
            }
        }
    }
}

static void test_encode_in_any_pieces(void)
{
    unsigned char bytes[131];
    char wanted[180], text[180];
    size_t cuts[131], n = sizeof bytes, wanted_len, a, b;
    int level, pad;

    random_bytes(bytes, n, 3);
    for EACH_LEVEL(level) {
        for (pad = 0; pad <= 1; pad++) {
            wanted_len = naive_encode(wanted, bytes, n, pad);
            for (a = 0; a <= n; a++) {
                for (b = a; b <= n; b++) {
                    cuts[0] = a;
                    cuts[1] = b;
                    CHECK(encode_in_pieces(level, text, bytes, n, cuts, 2, pad) == wanted_len);
                    CHECK(memcmp(text, wanted, wanted_len) == 0);
                }
            }
            for (a = 0; a < n; a++)
                cuts[a] = a;
            CHECK(encode_in_pieces(level, text, bytes, n, cuts, n, pad) == wanted_len);
            CHECK(memcmp(text, wanted, wanted_len) == 0);
        }
    }
}

static void test_an_encoder_starts_afresh_after_its_end(void)
{
    struct gem_base64_encoder enc;
    char text[8];

    gem_base64_encode_init(&enc, gem_base64_best());
    CHECK(gem_base64_encode_feed(&enc, text, "f", 1) == 0);
    CHECK(gem_base64_encode_finish(&enc, text, 1) == 4 && memcmp(text, "Zg==", 4) == 0);
    CHECK(gem_base64_encode_finish(&enc, text, 1) == 0);
    CHECK(gem_base64_encode_feed(&enc, text, "foo", 3) == 4 && memcmp(text, "Zm9v", 4) == 0);
}

/* ---- decoding ---- */

static void test_decode_every_length_at_the_edges(void)
{
    struct check_edge in, out;
    unsigned char bytes[300];
    char text[404], *src, *dst;
    size_t n, len, room, written;
    int level, form, end;

    check_edge_open(&in, 404);
    check_edge_open(&out, 404);
    random_bytes(bytes, sizeof bytes, 9);
    for EACH_LEVEL(level) {
        for (n = 0; n <= 300; n++) {
            for (form = 0; form < 4; form++) {
                len = naive_encode(text, bytes, n, form & 1);
                if (form & 2)
                    make_urlsafe(text, len);
                room = gem_base64_decoded_room(len);
                for (end = 0; end <= 1; end++) {
                    src = end ? in.past - len : in.first;
                    dst = end ? out.past - room : out.first;
                    memcpy(src, text, len);
                    CHECK(gem_base64_decode((enum gem_base64_level)level, dst, src, len, &written, NULL) == 0);
                    CHECK(written == n && memcmp(dst, bytes, n) == 0);
                }
            }
        }
    }
    check_edge_close(&in);
    check_edge_close(&out);
}

/* One text against the reference: result, place, bytes. */
static void agree(int level, const char *text, size_t n, const size_t *cuts, size_t n_cuts)
{
    unsigned char wanted[512], bytes[512];
    struct gem_err err;
    size_t wanted_len, len;
    long place = naive_decode(wanted, text, n, &wanted_len);
    int result;

    gem_err_clear(&err);
    result = decode_in_pieces(level, bytes, text, n, cuts, n_cuts, &len, &err);
    CHECK(result == (place < 0 ? 0 : -1));
    CHECK(len == wanted_len && memcmp(bytes, wanted, len) == 0);
    CHECK(err.kind == (place < 0 ? GEM_OK : GEM_INVALID));
    CHECK(err.offset == place);
}

/* All 256 values in each place of a text that fills the widest block twice and more. */
static void test_decode_every_character_everywhere(void)
{
    unsigned char bytes[113];
    char text[152], changed[152];
    size_t i, n, cut;
    int level, value, pad;

    random_bytes(bytes, sizeof bytes, 11);
    for EACH_LEVEL(level) {
        for (pad = 0; pad <= 1; pad++) {  /* pad is also what cuts the other half of the values */
            n = naive_encode(text, bytes, sizeof bytes, pad);
            for (i = 0; i < n; i++) {
                for (value = 0; value < 256; value++) {
                    memcpy(changed, text, n);
                    changed[i] = (char)value;
                    cut = (size_t)value * 7 % n;
                    agree(level, changed, n, &cut, (size_t)(value + pad) % 2);
                }
            }
        }
    }
}

static void test_decode_in_any_pieces(void)
{
    unsigned char bytes[101];
    char text[140];
    size_t cuts[140], n, a, b;
    int level, pad;

    random_bytes(bytes, sizeof bytes, 5);
    for EACH_LEVEL(level) {
        for (pad = 0; pad <= 1; pad++) {
            n = naive_encode(text, bytes, sizeof bytes - (size_t)pad, pad);
            for (a = 0; a <= n; a++) {
                for (b = a; b <= n; b++) {
                    cuts[0] = a;
                    cuts[1] = b;
                    agree(level, text, n, cuts, 2);
                }
            }
            for (a = 0; a < n; a++)
                cuts[a] = a;
            agree(level, text, n, cuts, n);
        }
    }
}

/* Every arrangement of letters, pads and junk up to eight characters, cut everywhere. */
static void test_ends_of_all_shapes(void)
{
    static const char some[] = "QR=\n";
    char text[8];
    size_t n, cut;
    unsigned shape, i;

    for (n = 0; n <= 8; n++) {
        for (shape = 0; shape < 1u << 2 * n; shape++) {
            for (i = 0; i < n; i++)
                text[i] = some[shape >> 2 * i & 3];
            for (cut = 0; cut <= n; cut += n < 7 ? 1 : 4)
                agree(GEM_BASE64_PLAIN, text, n, &cut, 1);
        }
    }
}

static void test_random_damage(void)
{
    unsigned char bytes[384];
    char text[512];
    size_t cuts[2], n, round;
    uint32_t seed = 77;
    int level;

    for EACH_LEVEL(level) {
        for (round = 0; round < 5000; round++) {
            size_t n_bytes = check_random(&seed) % 380, damages = check_random(&seed) % 3;
            random_bytes(bytes, n_bytes, seed);
            n = naive_encode(text, bytes, n_bytes, (int)(check_random(&seed) % 2));
            if (n > 0 && check_random(&seed) % 4 == 0)
                n -= check_random(&seed) % n;
            while (n > 0 && damages-- > 0)
                text[check_random(&seed) % n] = "=-_+/A \xFF"[check_random(&seed) % 8];
            cuts[0] = n > 0 ? check_random(&seed) % n : 0;
            cuts[1] = n > 0 ? cuts[0] + check_random(&seed) % (n - cuts[0]) : 0;
            agree(level, text, n, cuts, 2);
        }
    }
}

static void test_left_over_bits_may_be_set(void)
{
    unsigned char bytes[8];
    size_t n;

    CHECK(gem_base64_decode(gem_base64_best(), bytes, "Zm9vYn==", 8, &n, NULL) == 0);
    CHECK(n == 4 && memcmp(bytes, "foob", 4) == 0);
    CHECK(gem_base64_decode(gem_base64_best(), bytes, "Zm/", 3, &n, NULL) == 0);
    CHECK(n == 2 && memcmp(bytes, "fo", 2) == 0);
}

/* What a refusal says, and that it says it again. */
static void test_refusals_tell_why_and_where(void)
{
    static const struct {
        const char *text, *says;
        int64_t offset;
    } cases[] = {
        { "Zm9v Zg==", "not base64: a character of neither alphabet at offset 4", 4 },
        { "Zg==\n", "not base64: a character of neither alphabet at offset 4", 4 },
        { "Zm9v=", "not base64: misplaced '=' at offset 4", 4 },
        { "Z===", "not base64: misplaced '=' at offset 1", 1 },
        { "Zg==Zg==", "not base64: a character after the end at offset 4", 4 },
        { "Zm8==", "not base64: a character after the end at offset 4", 4 },
        { "Zg=v", "not base64: a character for a second '=' at offset 3", 3 },
        { "Zg=", "not base64: an '=' missing at offset 3", 3 },
        { "Zm9vZ", "not base64: one character over at offset 5", 5 },
    };
    struct gem_base64_decoder dec;
    struct gem_err err;
    unsigned char bytes[16];
    size_t i, n;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        gem_base64_decode_init(&dec, gem_base64_best());
        if (gem_base64_decode_feed(&dec, bytes, cases[i].text, strlen(cases[i].text), &n, &err) == 0)
            CHECK(gem_base64_decode_finish(&dec, bytes, &n, &err) == -1);
        CHECK_STR(err.text, cases[i].says);
        CHECK(err.kind == GEM_INVALID && err.offset == cases[i].offset);
        gem_err_clear(&err);
        CHECK(gem_base64_decode_feed(&dec, bytes, "Zm9v", 4, &n, &err) == -1 && n == 0);
        CHECK_STR(err.text, cases[i].says);
        gem_err_clear(&err);
        CHECK(gem_base64_decode_finish(&dec, bytes, &n, &err) == -1 && n == 0);
        CHECK(err.offset == cases[i].offset);
    }
}

static void test_large_blocks_agree_at_all_levels(void)
{
    size_t n = 100003, len, written;
    unsigned char *bytes = malloc(n), *back = malloc(gem_base64_decoded_room(n * 4 / 3 + 4));
    char *wanted = malloc(n * 4 / 3 + 4), *text = malloc(n * 4 / 3 + 4);
    int level;

    random_bytes(bytes, n, 1);
    len = naive_encode(wanted, bytes, n, 1);
    for EACH_LEVEL(level) {
        CHECK(gem_base64_encode((enum gem_base64_level)level, text, bytes, n, 1) == len);
        CHECK(memcmp(text, wanted, len) == 0);
        CHECK(gem_base64_decode((enum gem_base64_level)level, back, text, len, &written, NULL) == 0);
        CHECK(written == n && memcmp(back, bytes, n) == 0);
    }
    free(bytes);
    free(back);
    free(wanted);
    free(text);
}

int main(void)
{
    RUN(test_levels);
    RUN(test_known_answers);
    RUN(test_encoded_len);
    RUN(test_nothing_from_nowhere);
    RUN(test_encode_every_length_at_the_edges);
    RUN(test_encode_in_place);
    RUN(test_encode_every_byte_everywhere);
    RUN(test_encode_in_any_pieces);
    RUN(test_an_encoder_starts_afresh_after_its_end);
    RUN(test_decode_every_length_at_the_edges);
    RUN(test_decode_every_character_everywhere);
    RUN(test_decode_in_any_pieces);
    RUN(test_ends_of_all_shapes);
    RUN(test_random_damage);
    RUN(test_left_over_bits_may_be_set);
    RUN(test_refusals_tell_why_and_where);
    RUN(test_large_blocks_agree_at_all_levels);
    return check_done();
}
