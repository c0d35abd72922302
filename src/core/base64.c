#include "base64.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define HAVE_X86 1
#include <immintrin.h>
#elif defined(__aarch64__)
#define HAVE_NEON 1
#include <arm_neon.h>
#endif

/* The block functions of each level work on whole threes and whole quads in the middle of a stream: they
 * return how many input bytes they took, stop early where a wide load or store would leave the memory, and
 * (decoding) at a block that holds anything but letters. What is left goes to the plain code, which also finds the
 * exact place of a bad character. */

/* ---- plain ---- */

/* Two characters for each 12 bits: half the look-ups of a table of 64. Behind each pair are two zeros, and so are two
 * in front of the first: four bytes from two in front of a pair are the pair at their end, so that two loads and
 * an `or` make four characters. */
#define PAIRS(a) \
    a, 'A', 0, 0, a, 'B', 0, 0, a, 'C', 0, 0, a, 'D', 0, 0, a, 'E', 0, 0, a, 'F', 0, 0, \
    a, 'G', 0, 0, a, 'H', 0, 0, a, 'I', 0, 0, a, 'J', 0, 0, a, 'K', 0, 0, a, 'L', 0, 0, \
    a, 'M', 0, 0, a, 'N', 0, 0, a, 'O', 0, 0, a, 'P', 0, 0, a, 'Q', 0, 0, a, 'R', 0, 0, \
    a, 'S', 0, 0, a, 'T', 0, 0, a, 'U', 0, 0, a, 'V', 0, 0, a, 'W', 0, 0, a, 'X', 0, 0, \
    a, 'Y', 0, 0, a, 'Z', 0, 0, a, 'a', 0, 0, a, 'b', 0, 0, a, 'c', 0, 0, a, 'd', 0, 0, \
    a, 'e', 0, 0, a, 'f', 0, 0, a, 'g', 0, 0, a, 'h', 0, 0, a, 'i', 0, 0, a, 'j', 0, 0, \
    a, 'k', 0, 0, a, 'l', 0, 0, a, 'm', 0, 0, a, 'n', 0, 0, a, 'o', 0, 0, a, 'p', 0, 0, \
    a, 'q', 0, 0, a, 'r', 0, 0, a, 's', 0, 0, a, 't', 0, 0, a, 'u', 0, 0, a, 'v', 0, 0, \
    a, 'w', 0, 0, a, 'x', 0, 0, a, 'y', 0, 0, a, 'z', 0, 0, a, '0', 0, 0, a, '1', 0, 0, \
    a, '2', 0, 0, a, '3', 0, 0, a, '4', 0, 0, a, '5', 0, 0, a, '6', 0, 0, a, '7', 0, 0, \
    a, '8', 0, 0, a, '9', 0, 0, a, '+', 0, 0, a, '/', 0, 0

static const char pairs[2 + 4096 * 4] = {
    0, 0,
    PAIRS('A'), PAIRS('B'), PAIRS('C'), PAIRS('D'), PAIRS('E'), PAIRS('F'), PAIRS('G'), PAIRS('H'),
    PAIRS('I'), PAIRS('J'), PAIRS('K'), PAIRS('L'), PAIRS('M'), PAIRS('N'), PAIRS('O'), PAIRS('P'),
    PAIRS('Q'), PAIRS('R'), PAIRS('S'), PAIRS('T'), PAIRS('U'), PAIRS('V'), PAIRS('W'), PAIRS('X'),
    PAIRS('Y'), PAIRS('Z'), PAIRS('a'), PAIRS('b'), PAIRS('c'), PAIRS('d'), PAIRS('e'), PAIRS('f'),
    PAIRS('g'), PAIRS('h'), PAIRS('i'), PAIRS('j'), PAIRS('k'), PAIRS('l'), PAIRS('m'), PAIRS('n'),
    PAIRS('o'), PAIRS('p'), PAIRS('q'), PAIRS('r'), PAIRS('s'), PAIRS('t'), PAIRS('u'), PAIRS('v'),
    PAIRS('w'), PAIRS('x'), PAIRS('y'), PAIRS('z'), PAIRS('0'), PAIRS('1'), PAIRS('2'), PAIRS('3'),
    PAIRS('4'), PAIRS('5'), PAIRS('6'), PAIRS('7'), PAIRS('8'), PAIRS('9'), PAIRS('+'), PAIRS('/')
};

#if defined(HAVE_X86) || defined(HAVE_NEON)
static const unsigned char letters[64] = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P',
    'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/'
};
#endif

/* The value of a character of either alphabet; XX for all others. */
enum { XX = 0xFF };
static const unsigned char values[256] = {
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, 62, XX, 62, XX, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, XX, XX, XX, XX, XX, XX,
    XX,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, XX, XX, XX, XX, 63,
    XX, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX
};

/* Four characters for two numbers of 12 bits. */
static inline void encode_pairs(char *dst, size_t first, size_t second)
{
    uint32_t text, end;
    memcpy(&text, pairs + 2 + first * 4, sizeof text);
    memcpy(&end, pairs + second * 4, sizeof end);
    text |= end;
    memcpy(dst, &text, sizeof text);
}

static void encode_three(char *dst, const unsigned char *src)
{
    uint32_t bits = (uint32_t)src[0] << 16 | (uint32_t)src[1] << 8 | src[2];
    encode_pairs(dst, bits >> 12, bits & 0xFFF);
}

static uint64_t load_big_endian(const unsigned char *src)
{
    uint64_t bits;
    memcpy(&bits, src, sizeof bits);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bits = __builtin_bswap64(bits);
#endif
    return bits;
}

/* The upper 48 bits. */
static inline void encode_six(char *dst, uint64_t bits)
{
    encode_pairs(dst, bits >> 52, bits >> 40 & 0xFFF);
    encode_pairs(dst + 4, bits >> 28 & 0xFFF, bits >> 16 & 0xFFF);
}

static size_t encode_plain(char *dst, const unsigned char *src, size_t n)
{
    size_t i;
    for (i = 0; n - i >= 26; i += 24, dst += 32) {  /* four at a time; loads 26 to use 24 */
        encode_six(dst, load_big_endian(src + i));
        encode_six(dst + 8, load_big_endian(src + i + 6));
        encode_six(dst + 16, load_big_endian(src + i + 12));
        encode_six(dst + 24, load_big_endian(src + i + 18));
    }
    for (; n - i >= 3; i += 3, dst += 4)
        encode_three(dst, src + i);
    return i;
}

/* Four characters to three bytes; 0 where one of them is no letter. */
static int decode_quad(unsigned char *dst, const unsigned char *src)
{
    unsigned a = values[src[0]], b = values[src[1]], c = values[src[2]], d = values[src[3]];
    uint32_t bits = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
    if ((a | b | c | d) == XX)  /* values have six bits, so no set of them makes it */
        return 0;
    dst[0] = (unsigned char)(bits >> 16);
    dst[1] = (unsigned char)(bits >> 8);
    dst[2] = (unsigned char)bits;
    return 1;
}

static size_t decode_plain(unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t i;
    for (i = 0; n - i >= 4 && decode_quad(dst, src + i); i += 4)
        dst += 3;
    return i;
}

/* ---- x86 ----
 *
 * Encoding: a shuffle brings the bytes a b c of each three into one 32-bit lane as b a c b; two multiplications
 * shift the four 6-bit values, each by its own count, to the bottom of the lane's bytes. A character is its value
 * plus an offset that depends on the value's range only; the saturating subtraction numbers the ranges:
 * 0 for A-Z, 1 for a-z, 2..11 for the digits, 12 for '+', 13 for '/'.
 *
 * Decoding: a character is valid if the class of its high nibble is not among those that its low nibble
 * forbids (one bit each). The offset to its value depends on the high nibble alone, but for + - / and _; adding
 * a bump for the low nibbles B, D and F to the high nibble gives those four places of their own in the
 * table, and the letters that share these low nibbles places that repeat their row. */

#if defined(HAVE_X86)
#define SSSE3 __attribute__((target("ssse3")))
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi")))

#define SPREAD       1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10
#define SPREAD_LATE  5, 4, 6, 5, 8, 7, 9, 8, 11, 10, 12, 11, 14, 13, 15, 14  /* the same, four bytes on */
#define ENC_OFFSETS  'A', 'a' - 26, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, '+' - 62, '/' - 63, 0, 0
#define HIGH_CLASSES 0x20, 0x20, 0x01, 0x02, 0x04, 0x08, 0x04, 0x10, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20
#define LOW_FORBIDS  0x25, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x23, 0x3A, 0x3B, 0x3A, 0x3B, 0x32
#define BUMPS        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 11
#define DEC_OFFSETS  -32, -71, 19, 4, -65, -65, -71, -71, 0, 0, 17, 0, -65, 16, -71, -65
#define GATHER       2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1

SSSE3 static __m128i letters_ssse3(__m128i bytes)
{
    __m128i lanes = _mm_shuffle_epi8(bytes, _mm_setr_epi8(SPREAD));
    __m128i ac = _mm_mulhi_epu16(_mm_and_si128(lanes, _mm_set1_epi32(0x0FC0FC00)), _mm_set1_epi32(0x04000040));
    __m128i bd = _mm_mullo_epi16(_mm_and_si128(lanes, _mm_set1_epi32(0x003F03F0)), _mm_set1_epi32(0x01000010));
    __m128i value = _mm_or_si128(ac, bd);
    __m128i range = _mm_sub_epi8(_mm_subs_epu8(value, _mm_set1_epi8(51)), _mm_cmpgt_epi8(value, _mm_set1_epi8(25)));
    return _mm_add_epi8(value, _mm_shuffle_epi8(_mm_setr_epi8(ENC_OFFSETS), range));
}

/* Twelve bytes; loads 16. */
SSSE3 static inline void encode_twelve(char *dst, const unsigned char *src)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)src);
    _mm_storeu_si128((__m128i *)(void *)dst, letters_ssse3(bytes));
}

/* The vector units are busy all the time, and the rest of the processor is not: it does six bytes of 54. */
SSSE3 static size_t encode_ssse3(char *dst, const unsigned char *src, size_t n)
{
    size_t i;
    for (i = 0; n - i >= 56; i += 54, dst += 72) {  /* loads 56 to use 54 */
        encode_twelve(dst, src + i);
        encode_twelve(dst + 16, src + i + 12);
        encode_twelve(dst + 32, src + i + 24);
        encode_twelve(dst + 48, src + i + 36);
        encode_six(dst + 64, load_big_endian(src + i + 48));
    }
    for (; n - i >= 16; i += 12, dst += 16)
        encode_twelve(dst, src + i);
    return i;
}

SSSE3 static size_t decode_ssse3(unsigned char *dst, const unsigned char *src, size_t n)
{
    const __m128i nibble = _mm_set1_epi8(0x0F);
    size_t i;
    for (i = 0; n - i >= 24; i += 16, dst += 12) {  /* stores 16 for 12, so leave 8 characters that fill the rest */
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(src + i));
        __m128i low = _mm_and_si128(text, nibble);
        __m128i high = _mm_and_si128(_mm_srli_epi32(text, 4), nibble);
        __m128i bad = _mm_and_si128(_mm_shuffle_epi8(_mm_setr_epi8(LOW_FORBIDS), low),
                                    _mm_shuffle_epi8(_mm_setr_epi8(HIGH_CLASSES), high));
        __m128i place = _mm_add_epi8(high, _mm_shuffle_epi8(_mm_setr_epi8(BUMPS), low));
        __m128i value = _mm_add_epi8(text, _mm_shuffle_epi8(_mm_setr_epi8(DEC_OFFSETS), place));
        __m128i twelve = _mm_maddubs_epi16(value, _mm_set1_epi16(0x0140));
        __m128i threes = _mm_madd_epi16(twelve, _mm_set1_epi32(0x00011000));
        if (_mm_movemask_epi8(_mm_cmpgt_epi8(bad, _mm_setzero_si128())) != 0)
            break;
        _mm_storeu_si128((__m128i *)(void *)dst, _mm_shuffle_epi8(threes, _mm_setr_epi8(GATHER)));
    }
    return i;
}

AVX2 static __m256i letters_avx2(__m256i lanes)
{
    __m256i ac = _mm256_mulhi_epu16(_mm256_and_si256(lanes, _mm256_set1_epi32(0x0FC0FC00)),
                                    _mm256_set1_epi32(0x04000040));
    __m256i bd = _mm256_mullo_epi16(_mm256_and_si256(lanes, _mm256_set1_epi32(0x003F03F0)),
                                    _mm256_set1_epi32(0x01000010));
    __m256i value = _mm256_or_si256(ac, bd);
    __m256i range = _mm256_sub_epi8(_mm256_subs_epu8(value, _mm256_set1_epi8(51)),
                                    _mm256_cmpgt_epi8(value, _mm256_set1_epi8(25)));
    return _mm256_add_epi8(value, _mm256_shuffle_epi8(_mm256_setr_epi8(ENC_OFFSETS, ENC_OFFSETS), range));
}

/* 24 bytes, twelve for each half of a register. A load that begins four bytes early has them in the right halves at
 * once. Reads up to four bytes past them. */
AVX2 static inline void encode_24(char *dst, const unsigned char *src)
{
    const __m256i spread = _mm256_setr_epi8(SPREAD_LATE, SPREAD);
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(src - 4));
    _mm256_storeu_si256((__m256i *)(void *)dst, letters_avx2(_mm256_shuffle_epi8(bytes, spread)));
}

AVX2 static inline void encode_96(char *dst, const unsigned char *src)
{
    encode_24(dst, src);
    encode_24(dst + 32, src + 24);
    encode_24(dst + 64, src + 48);
    encode_24(dst + 96, src + 72);
}

/* The first block, which has nothing before it, goes as two halves. */
AVX2 static size_t encode_avx2(char *dst, const unsigned char *src, size_t n)
{
    size_t i;

    if (n < 28)
        return 0;
    encode_twelve(dst, src);
    encode_twelve(dst + 16, src + 12);
    for (i = 24, dst += 32; n - i >= 196; i += 192, dst += 256) {  /* eight at a time: their loop costs what one does */
        encode_96(dst, src + i);
        encode_96(dst + 128, src + i + 96);
    }
    for (; n - i >= 28; i += 24, dst += 32)
        encode_24(dst, src + i);
    return i;
}

AVX2 static size_t decode_avx2(unsigned char *dst, const unsigned char *src, size_t n)
{
    const __m256i nibble = _mm256_set1_epi8(0x0F);
    size_t i;
    for (i = 0; n - i >= 40; i += 32, dst += 24) {  /* stores 28 for 24, so leave 8 characters that fill the rest */
        __m256i text = _mm256_loadu_si256((const __m256i *)(const void *)(src + i));
        __m256i low = _mm256_and_si256(text, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(text, 4), nibble);
        __m256i forbids = _mm256_shuffle_epi8(_mm256_setr_epi8(LOW_FORBIDS, LOW_FORBIDS), low);
        __m256i class = _mm256_shuffle_epi8(_mm256_setr_epi8(HIGH_CLASSES, HIGH_CLASSES), high);
        __m256i place = _mm256_add_epi8(high, _mm256_shuffle_epi8(_mm256_setr_epi8(BUMPS, BUMPS), low));
        __m256i offset = _mm256_shuffle_epi8(_mm256_setr_epi8(DEC_OFFSETS, DEC_OFFSETS), place);
        __m256i value = _mm256_add_epi8(text, offset);
        __m256i twelve = _mm256_maddubs_epi16(value, _mm256_set1_epi16(0x0140));
        __m256i threes = _mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000));
        __m256i bytes = _mm256_shuffle_epi8(threes, _mm256_setr_epi8(GATHER, GATHER));
        if (!_mm256_testz_si256(forbids, class))
            break;
        _mm_storeu_si128((__m128i *)(void *)dst, _mm256_castsi256_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)(dst + 12), _mm256_extracti128_si256(bytes, 1));
    }
    return i;
}

/* With AVX-512 a register is a table of 64 bytes, and two of them one of 128. Encoding: a look-up brings the bytes of each
 * three into a lane as above, a shift of each byte of its own takes the value out, and the next look-up takes a
 * byte's lower six bits alone. Decoding: what is no letter has its top bit set in the table, or itself. */
#define LANE(i) 3 * (i) + 1, 3 * (i), 3 * (i) + 2, 3 * (i) + 1
#define LANES(i) LANE(i), LANE((i) + 1), LANE((i) + 2), LANE((i) + 3)
#define THREE(i) 4 * (i) + 2, 4 * (i) + 1, 4 * (i)
#define THREES(i) THREE(i), THREE((i) + 1), THREE((i) + 2), THREE((i) + 3)

AVX512 static size_t encode_avx512(char *dst, const unsigned char *src, size_t n)
{
    static const unsigned char spread[64] = { LANES(0), LANES(4), LANES(8), LANES(12) };
    const __m512i places = _mm512_loadu_si512(spread), table = _mm512_loadu_si512(letters);
    const __m512i shifts = _mm512_set1_epi64(0x3036242A1016040A);
    size_t i;
    for (i = 0; n - i >= 64; i += 48, dst += 64) {  /* loads 64 to use 48 */
        __m512i lanes = _mm512_permutexvar_epi8(places, _mm512_loadu_si512(src + i));
        __m512i value = _mm512_multishift_epi64_epi8(shifts, lanes);
        _mm512_storeu_si512(dst, _mm512_permutexvar_epi8(value, table));
    }
    return i;
}

AVX512 static size_t decode_avx512(unsigned char *dst, const unsigned char *src, size_t n)
{
    static const unsigned char gather[64] = { THREES(0), THREES(4), THREES(8), THREES(12) };
    const __m512i places = _mm512_loadu_si512(gather);
    const __m512i below = _mm512_loadu_si512(values), above = _mm512_loadu_si512(values + 64);
    size_t i;
    for (i = 0; n - i >= 88; i += 64, dst += 48) {  /* stores 64 for 48, so leave 24 characters that fill the rest */
        __m512i text = _mm512_loadu_si512(src + i);
        __m512i value = _mm512_permutex2var_epi8(below, text, above);
        __m512i twelve = _mm512_maddubs_epi16(value, _mm512_set1_epi16(0x0140));
        __m512i threes = _mm512_madd_epi16(twelve, _mm512_set1_epi32(0x00011000));
        if (_mm512_movepi8_mask(_mm512_or_si512(value, text)) != 0)
            break;
        _mm512_storeu_si512(dst, _mm512_permutexvar_epi8(places, threes));
    }
    return i;
}
#endif

/* ---- 64-bit ARM: loads that part three or four bytes into as many registers, and tables of 64 bytes ---- */

#if defined(HAVE_NEON)
static size_t encode_neon(char *dst, const unsigned char *src, size_t n)
{
    const uint8x16x4_t table = vld1q_u8_x4(letters);
    const uint8x16_t six = vdupq_n_u8(0x3F);
    size_t i;
    for (i = 0; n - i >= 48; i += 48, dst += 64) {
        uint8x16x3_t in = vld3q_u8(src + i);
        uint8x16x4_t out;
        out.val[0] = vqtbl4q_u8(table, vshrq_n_u8(in.val[0], 2));
        out.val[1] = vqtbl4q_u8(table, vandq_u8(vsliq_n_u8(vshrq_n_u8(in.val[1], 4), in.val[0], 4), six));
        out.val[2] = vqtbl4q_u8(table, vandq_u8(vsliq_n_u8(vshrq_n_u8(in.val[2], 6), in.val[1], 2), six));
        out.val[3] = vqtbl4q_u8(table, vandq_u8(in.val[2], six));
        vst4q_u8((unsigned char *)dst, out);
    }
    return i;
}

/* The values of 16 characters; *bad gets a byte with its top bit set where one is no letter. A look-up past a
 * table's end gives 0 (vqtbl) or what was there before (vqtbx), so characters from 128 on count by themselves. */
static uint8x16_t values_neon(uint8x16x4_t below, uint8x16x4_t above, uint8x16_t text, uint8x16_t *bad)
{
    uint8x16_t value = vqtbl4q_u8(below, text);
    value = vqtbx4q_u8(value, above, vsubq_u8(text, vdupq_n_u8(64)));
    *bad = vorrq_u8(*bad, vorrq_u8(value, text));
    return value;
}

static size_t decode_neon(unsigned char *dst, const unsigned char *src, size_t n)
{
    const uint8x16x4_t below = vld1q_u8_x4(values), above = vld1q_u8_x4(values + 64);
    size_t i;
    for (i = 0; n - i >= 64; i += 64, dst += 48) {
        uint8x16x4_t in = vld4q_u8(src + i);
        uint8x16_t bad = vdupq_n_u8(0);
        uint8x16_t a = values_neon(below, above, in.val[0], &bad), b = values_neon(below, above, in.val[1], &bad);
        uint8x16_t c = values_neon(below, above, in.val[2], &bad), d = values_neon(below, above, in.val[3], &bad);
        uint8x16x3_t out;
        if (vmaxvq_u8(bad) >= 0x80)
            break;
        out.val[0] = vsliq_n_u8(vshrq_n_u8(b, 4), a, 2);
        out.val[1] = vsliq_n_u8(vshrq_n_u8(c, 2), b, 4);
        out.val[2] = vsliq_n_u8(d, c, 6);
        vst3q_u8(dst, out);
    }
    return i;
}
#endif

/* ---- levels ---- */

unsigned gem_base64_levels(void)
{
    unsigned levels = 1u << GEM_BASE64_PLAIN;
#if defined(HAVE_X86)
    if (__builtin_cpu_supports("ssse3"))
        levels |= 1u << GEM_BASE64_SSSE3;
    if (__builtin_cpu_supports("avx2"))
        levels |= 1u << GEM_BASE64_AVX2;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi"))
        levels |= 1u << GEM_BASE64_AVX512;
#elif defined(HAVE_NEON)
    levels |= 1u << GEM_BASE64_NEON;
#endif
    return levels;
}

enum gem_base64_level gem_base64_best(void)
{
    unsigned levels = gem_base64_levels();
    if (levels & 1u << GEM_BASE64_NEON)
        return GEM_BASE64_NEON;
    if (levels & 1u << GEM_BASE64_AVX512)
        return GEM_BASE64_AVX512;
    if (levels & 1u << GEM_BASE64_AVX2)
        return GEM_BASE64_AVX2;
    return levels & 1u << GEM_BASE64_SSSE3 ? GEM_BASE64_SSSE3 : GEM_BASE64_PLAIN;
}

/* All whole threes of src; returns the bytes taken. */
static size_t encode_threes(enum gem_base64_level level, char *dst, const unsigned char *src, size_t n)
{
    size_t i = 0;
#if defined(HAVE_X86)
    if (level == GEM_BASE64_AVX512)
        i = encode_avx512(dst, src, n);
    else if (level == GEM_BASE64_AVX2)
        i = encode_avx2(dst, src, n);
    else if (level == GEM_BASE64_SSSE3)
        i = encode_ssse3(dst, src, n);
#elif defined(HAVE_NEON)
    if (level == GEM_BASE64_NEON)
        i = encode_neon(dst, src, n);
#endif
    (void)level;
    return i + encode_plain(dst + i / 3 * 4, src + i, n - i);
}

/* Whole quads of letters up to the end or the first quad that has something else; returns the characters taken. */
static size_t decode_quads(enum gem_base64_level level, unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t i = 0;
#if defined(HAVE_X86)
    if (level == GEM_BASE64_AVX512)
        i = decode_avx512(dst, src, n);
    else if (level == GEM_BASE64_AVX2)
        i = decode_avx2(dst, src, n);
    else if (level == GEM_BASE64_SSSE3)
        i = decode_ssse3(dst, src, n);
#elif defined(HAVE_NEON)
    if (level == GEM_BASE64_NEON)
        i = decode_neon(dst, src, n);
#endif
    (void)level;
    return i + decode_plain(dst + i / 4 * 3, src + i, n - i);
}

/* ---- encoding ---- */

uint64_t gem_base64_encoded_len(uint64_t n)
{
    uint64_t quads = n / 3 + (n % 3 != 0);
    return quads > UINT64_MAX / 4 ? UINT64_MAX : quads * 4;
}

/* The last n bytes, fewer than three. */
static size_t encode_rest(char *dst, const unsigned char *src, size_t n, int pad)
{
    unsigned char last[3] = { 0, 0, 0 };
    char quad[4];
    size_t len;

    if (n == 0)
        return 0;
    memcpy(last, src, n);
    encode_three(quad, last);
    memset(quad + n + 1, '=', 3 - n);
    len = pad ? 4 : n + 1;
    memcpy(dst, quad, len);
    return len;
}

size_t gem_base64_encode(enum gem_base64_level level, char *dst, const void *src, size_t n, int pad)
{
    const unsigned char *bytes = src;
    size_t done, len;

    if (n == 0)
        return 0;
    done = encode_threes(level, dst, bytes, n);
    len = done / 3 * 4;
    return len + encode_rest(dst + len, bytes + done, n - done, pad);
}

void gem_base64_encode_init(struct gem_base64_encoder *enc, enum gem_base64_level level)
{
    enc->level = level;
    enc->n_held = 0;
}

size_t gem_base64_encode_feed(struct gem_base64_encoder *enc, char *dst, const void *src, size_t n)
{
    const unsigned char *bytes = src;
    size_t i = 0, len = 0, done;

    if (enc->n_held > 0) {
        while (enc->n_held < 3 && i < n)
            enc->held[enc->n_held++] = bytes[i++];
        if (enc->n_held < 3)
            return 0;
        encode_three(dst, enc->held);
        len = 4;
        enc->n_held = 0;
    }
    if (i == n)
        return len;
    done = encode_threes(enc->level, dst + len, bytes + i, n - i);
    len += done / 3 * 4;
    for (i += done; i < n; i++)
        enc->held[enc->n_held++] = bytes[i];
    return len;
}

size_t gem_base64_encode_finish(struct gem_base64_encoder *enc, char *dst, int pad)
{
    size_t len = encode_rest(dst, enc->held, enc->n_held, pad);
    enc->n_held = 0;
    return len;
}

/* ---- decoding ---- */

void gem_base64_decode_init(struct gem_base64_decoder *dec, enum gem_base64_level level)
{
    dec->level = level;
    dec->bits = 0;
    dec->n_quad = dec->n_pad = 0;
    dec->offset = 0;
    dec->why = NULL;
}

size_t gem_base64_decoded_room(size_t n)
{
    return n / 4 * 3 + (n % 4 != 0 ? 3 : 0);
}

static int refuse(struct gem_base64_decoder *dec, const char *why, struct gem_err *err)
{
    dec->why = why;
    gem_err_set(err, GEM_INVALID, 0, "not base64: %s at offset %llu", why, (unsigned long long)dec->offset);
    if (err != NULL)
        err->offset = (int64_t)dec->offset;
    return -1;
}

/* The one or two bytes of a quad with two or three characters. */
static size_t decode_rest(struct gem_base64_decoder *dec, unsigned char *dst)
{
    size_t len = dec->n_quad - 1u;
    uint32_t bits = dec->bits << 6 * (4 - dec->n_quad);
    dst[0] = (unsigned char)(bits >> 16);
    if (len == 2)
        dst[1] = (unsigned char)(bits >> 8);
    dec->n_quad = 0;
    return len;
}

/* Takes a '='. The quad's bytes are written with its last one. */
static int take_pad(struct gem_base64_decoder *dec, unsigned char *dst, size_t *written, struct gem_err *err)
{
    if (dec->n_quad < 2)
        return refuse(dec, dec->n_pad > 0 ? "a character after the end" : "misplaced '='", err);
    dec->n_pad++;
    dec->offset++;
    if (dec->n_quad + dec->n_pad == 4)
        *written += decode_rest(dec, dst + *written);
    return 0;
}

/* Takes one character by the rules: the slow way, for what is not in a whole quad of letters. */
static int take(struct gem_base64_decoder *dec, unsigned char c, unsigned char *dst, size_t *written,
                struct gem_err *err)
{
    if (c == '=')
        return take_pad(dec, dst, written, err);
    if (values[c] == XX)
        return refuse(dec, "a character of neither alphabet", err);
    if (dec->n_pad > 0)
        return refuse(dec, dec->n_quad > 0 ? "a character for a second '='" : "a character after the end", err);
    dec->bits = dec->bits << 6 | values[c];
    dec->n_quad++;
    dec->offset++;
    if (dec->n_quad == 4) {
        dst[(*written)++] = (unsigned char)(dec->bits >> 16);
        dst[(*written)++] = (unsigned char)(dec->bits >> 8);
        dst[(*written)++] = (unsigned char)dec->bits;
        dec->n_quad = 0;
    }
    return 0;
}

int gem_base64_decode_feed(struct gem_base64_decoder *dec, void *dst, const char *src, size_t n, size_t *written,
                           struct gem_err *err)
{
    const unsigned char *text = (const unsigned char *)src;
    unsigned char *out = dst;
    size_t i = 0, done;

    *written = 0;
    if (dec->why != NULL)
        return refuse(dec, dec->why, err);
    while (i < n) {
        if (dec->n_quad == 0 && dec->n_pad == 0 && n - i >= 4) {
            done = decode_quads(dec->level, out + *written, text + i, n - i);
            i += done;
            dec->offset += done;
            *written += done / 4 * 3;
        }
        if (i < n && take(dec, text[i++], out, written, err) < 0)
            return -1;
    }
    return 0;
}

int gem_base64_decode_finish(struct gem_base64_decoder *dec, void *dst, size_t *written, struct gem_err *err)
{
    *written = 0;
    if (dec->why != NULL)
        return refuse(dec, dec->why, err);
    if (dec->n_quad == 1)
        return refuse(dec, "one character over", err);
    if (dec->n_quad > 0 && dec->n_pad > 0)
        return refuse(dec, "an '=' missing", err);
    if (dec->n_quad > 0)
        *written = decode_rest(dec, dst);
    return 0;
}

int gem_base64_decode(enum gem_base64_level level, void *dst, const char *src, size_t n, size_t *written,
                      struct gem_err *err)
{
    struct gem_base64_decoder dec;
    size_t rest = 0;

    gem_base64_decode_init(&dec, level);
    if (gem_base64_decode_feed(&dec, dst, src, n, written, err) < 0)
        return -1;
    if (gem_base64_decode_finish(&dec, (char *)dst + *written, &rest, err) < 0)
        return -1;
    *written += rest;
    return 0;
}
