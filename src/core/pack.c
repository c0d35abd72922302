#include "pack.h"

#include <stdint.h>

enum { LONGEST = 12 }; /* bits of a code */

/* For each byte its code, and in the low 4 bits how many bits that has. Of codes of one length the smaller byte has the
 * smaller one, and what is longer is larger. (Huffman's, of a corpus of prose, manuals and a little code, with some more
 * weight for digits, typographic signs and accents.) */
static const uint16_t codes[256] = {
    0x3bea, 0x79cb, 0x79db, 0x79eb, 0x79fb, 0x7a0b, 0x7a1b, 0x7a2b, 0x7a3b, 0xf86c, 0x0246, 0x7a4b, 0x7a5b, 0xf87c, 0x7a6b, 0x7a7b,
    0x7a8b, 0x7a9b, 0x7aab, 0x7abb, 0x7acb, 0x7adb, 0x7aeb, 0x7afb, 0x7b0b, 0x7b1b, 0x7b2b, 0x7b3b, 0x7b4b, 0x7b5b, 0x7b6b, 0x7b7b,
    0x0003, 0x7b8b, 0x0ca8, 0x1c89, 0x1c99, 0x3bfa, 0x7b9b, 0x0cb8, 0x05c7, 0x05d7, 0x1ca9, 0x1cb9, 0x05e7, 0x0256, 0x0266, 0x0cc8,
    0x05f7, 0x0cd8, 0x0ce8, 0x0cf8, 0x0d08, 0x0d18, 0x0d28, 0x0d38, 0x0d48, 0x0d58, 0x0607, 0x1cc9, 0x0d68, 0x0d78, 0x0d88, 0x3c0a,
    0x3c1a, 0x0d98, 0x1cd9, 0x0da8, 0x1ce9, 0x0db8, 0x1cf9, 0x1d09, 0x3c2a, 0x0dc8, 0x7bab, 0x3c3a, 0x1d19, 0x1d29, 0x1d39, 0x1d49,
    0x1d59, 0x7bbb, 0x1d69, 0x0dd8, 0x0de8, 0x1d79, 0x3c4a, 0x3c5a, 0x3c6a, 0x3c7a, 0x7bcb, 0x1d89, 0x0df8, 0x1d99, 0x7bdb, 0x0e08,
    0x0e18, 0x00c5, 0x0617, 0x00d5, 0x0276, 0x0024, 0x0286, 0x0296, 0x02a6, 0x0034, 0x1da9, 0x0e28, 0x00e5, 0x02b6, 0x00f5, 0x0044,
    0x02c6, 0x1db9, 0x0105, 0x0115, 0x0054, 0x02d6, 0x0627, 0x0637, 0x0e38, 0x0647, 0x3c8a, 0x3c9a, 0x3caa, 0x3cba, 0x7beb, 0x7bfb,
    0x1dc9, 0xf88c, 0xf89c, 0xf8ac, 0xf8bc, 0xf8cc, 0xf8dc, 0xf8ec, 0xf8fc, 0xf90c, 0xf91c, 0xf92c, 0xf93c, 0xf94c, 0xf95c, 0xf96c,
    0xf97c, 0xf98c, 0xf99c, 0xf9ac, 0x7c0b, 0xf9bc, 0xf9cc, 0xf9dc, 0xf9ec, 0x3cca, 0xf9fc, 0xfa0c, 0xfa1c, 0xfa2c, 0xfa3c, 0xfa4c,
    0x7c1b, 0xfa5c, 0xfa6c, 0xfa7c, 0xfa8c, 0xfa9c, 0xfaac, 0xfabc, 0xfacc, 0x3cda, 0xfadc, 0xfaec, 0xfafc, 0xfb0c, 0xfb1c, 0xfb2c,
    0xfb3c, 0xfb4c, 0xfb5c, 0xfb6c, 0xfb7c, 0xfb8c, 0xfb9c, 0xfbac, 0xfbbc, 0xfbcc, 0xfbdc, 0xfbec, 0xfbfc, 0xfc0c, 0xfc1c, 0xfc2c,
    0xfc3c, 0xfc4c, 0x7c2b, 0x1dd9, 0xfc5c, 0xfc6c, 0xfc7c, 0xfc8c, 0xfc9c, 0xfcac, 0xfcbc, 0xfccc, 0xfcdc, 0xfcec, 0xfcfc, 0xfd0c,
    0xfd1c, 0xfd2c, 0xfd3c, 0xfd4c, 0xfd5c, 0xfd6c, 0xfd7c, 0xfd8c, 0xfd9c, 0xfdac, 0xfdbc, 0xfdcc, 0xfddc, 0xfdec, 0xfdfc, 0xfe0c,
    0xfe1c, 0xfe2c, 0x1de9, 0xfe3c, 0xfe4c, 0xfe5c, 0xfe6c, 0xfe7c, 0xfe8c, 0xfe9c, 0xfeac, 0xfebc, 0xfecc, 0xfedc, 0xfeec, 0xfefc,
    0xff0c, 0xff1c, 0xff2c, 0xff3c, 0xff4c, 0xff5c, 0xff6c, 0xff7c, 0xff8c, 0xff9c, 0xffac, 0xffbc, 0xffcc, 0xffdc, 0xffec, 0xfffc,
};

static char *put(char *to, uint64_t bits)
{
    to[0] = (char)(bits >> 24);
    to[1] = (char)(bits >> 16);
    to[2] = (char)(bits >> 8);
    to[3] = (char)bits;
    return to + 4;
}

size_t gem_pack(char *dst, const char *text, size_t n)
{
    const unsigned char *from = (const unsigned char *)text, *end = from + n;
    uint64_t bits = 0;
    unsigned held = 0; /* of bits, fewer than 32 */
    char *to = dst;
    for (; from < end; from++) {
        unsigned code = codes[*from], length = code & 15;
        bits = bits << length | code >> 4;
        held += length;
        if (held < 32)
            continue;
        if ((size_t)(to - dst) + 8 > n) /* with what may be held at the end */
            return 0;
        held -= 32;
        to = put(to, bits >> held);
    }
    if ((size_t)(to - dst) + (held + 7) / 8 >= n)
        return 0;
    for (bits <<= 32 - held; held > 0; held = held > 8 ? held - 8 : 0, bits <<= 8)
        *to++ = (char)(bits >> 24);
    return (size_t)(to - dst);
}

/* ---- back ---- */

struct reader {
    const unsigned char *at, *end;
    uint64_t bits;
    unsigned held;
};

/* The next bits of the longest code; zeroes behind the end. */
static unsigned look(struct reader *r)
{
    while (r->held < LONGEST) {
        r->bits = r->bits << 8 | (r->at < r->end ? *r->at++ : 0u);
        r->held += 8;
    }
    return (unsigned)(r->bits >> (r->held - LONGEST)) & ((1u << LONGEST) - 1);
}

/* All bytes in the order of their codes, and of each length the first code behind its own, as if it had the most bits,
 * and how many bytes have that length or a shorter one. */
struct order {
    unsigned char bytes[256];
    unsigned limit[LONGEST + 1], count[LONGEST + 1];
};

static void put_in_order(struct order *order)
{
    unsigned n = 0, limit = 0;
    for (unsigned length = 0; length <= LONGEST; length++) {
        for (unsigned byte = 0; byte < 256; byte++)
            if ((codes[byte] & 15) == length) {
                order->bytes[n++] = (unsigned char)byte;
                limit += 1u << (LONGEST - length);
            }
        order->limit[length] = limit;
        order->count[length] = n;
    }
}

void gem_unpack(char *text, size_t n, const char *packed, size_t size)
{
    const unsigned char *from = (const unsigned char *)packed;
    struct reader reader = {.at = from, .end = from + size};
    struct order order;
    put_in_order(&order);
    for (size_t i = 0; i < n; i++) {
        unsigned code = look(&reader), length = 1;
        while (code >= order.limit[length])
            length++;
        unsigned back = (order.limit[length] - 1 - code) >> (LONGEST - length);
        text[i] = (char)order.bytes[order.count[length] - 1 - back];
        reader.held -= length;
    }
}
