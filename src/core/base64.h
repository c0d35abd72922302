/* Base64 (RFC 4648), encode and decode, from the caller's memory into the caller's memory. Nothing is
 * allocated, and any way of cutting the input gives the same bytes.
 *
 * Encoding writes the standard alphabet. Decoding takes the standard and the URL-safe one, even mixed;
 * padding may be missing, but not half of it. Left-over bits of the last character need not be zero (there are
 * encoders that leave them set). Everything else is refused with its offset: white space, '=' elsewhere,
 * anything after the padding, and a length that no encoder makes (one character over).
 *
 * The structs hold a few bytes of state and own nothing: no free. The source must not overlap the
 * destination, of which only the bytes counted as written mean anything; gem_base64_encode alone may work in place. */
#ifndef GEM_CORE_BASE64_H
#define GEM_CORE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Which instructions to use. All levels give the same bytes. */
enum gem_base64_level {
    GEM_BASE64_PLAIN,  /* runs everywhere */
    GEM_BASE64_SSSE3,
    GEM_BASE64_AVX2,
    GEM_BASE64_AVX512, /* with VBMI */
    GEM_BASE64_NEON    /* 64-bit ARM */
};

/* The levels this machine can run, as bits 1u << level. */
unsigned gem_base64_levels(void);

/* The fastest of them: what everyone but a test wants. Cheap enough to ask for each body. */
enum gem_base64_level gem_base64_best(void);

/* Characters for n bytes with padding, or UINT64_MAX where that does not fit. */
uint64_t gem_base64_encoded_len(uint64_t n);

/* Encodes n bytes in one go and returns the number of characters. The last one or two bytes left over from
 * threes become a padded quad, or two or three characters when pad is 0. dst has room for
 * gem_base64_encoded_len(n), and src may be the last n bytes of that room: what is written never overtakes what is
 * still to be read. The level must be one that gem_base64_levels names, here and below. */
size_t gem_base64_encode(enum gem_base64_level level, char *dst, const void *src, size_t n, int pad);

struct gem_base64_encoder {
    enum gem_base64_level level;
    unsigned char held[3];  /* bytes of a three that is not complete */
    unsigned char n_held;   /* 0..2 between calls */
};

void gem_base64_encode_init(struct gem_base64_encoder *enc, enum gem_base64_level level);

/* Encodes n more bytes, but for up to two that wait for the next call. Returns the number of characters, at
 * most gem_base64_encoded_len(n); dst has room for that many. */
size_t gem_base64_encode_feed(struct gem_base64_encoder *enc, char *dst, const void *src, size_t n);

/* Writes the up to four characters still due, padded or not, and starts afresh. */
size_t gem_base64_encode_finish(struct gem_base64_encoder *enc, char *dst, int pad);

struct gem_base64_decoder {
    enum gem_base64_level level;
    uint32_t bits;        /* of the n_quad characters of a quad that is not complete */
    unsigned char n_quad; /* 0..3 between calls */
    unsigned char n_pad;  /* '=' seen in this quad; with n_quad 0, 1: the end was seen */
    uint64_t offset;      /* characters taken; after a refusal, the place */
    const char *why;      /* a static string: why the stream was refused; else NULL */
};

void gem_base64_decode_init(struct gem_base64_decoder *dec, enum gem_base64_level level);

/* Room that n characters need, whatever came before them. */
size_t gem_base64_decoded_room(size_t n);

/* Decodes n more characters and counts in *written the bytes made, for which dst has gem_base64_decoded_room(n).
 * Returns 0, or -1 with GEM_INVALID and, in err->offset, the place in the whole stream; *written then counts
 * the whole quads before it. A refusal stays: later calls repeat it. */
int gem_base64_decode_feed(struct gem_base64_decoder *dec, void *dst, const char *src, size_t n, size_t *written,
                           struct gem_err *err);

/* Ends the stream: writes the up to two bytes of a quad without padding. Results as gem_base64_decode_feed's.
 * Nothing may be fed after it. */
int gem_base64_decode_finish(struct gem_base64_decoder *dec, void *dst, size_t *written, struct gem_err *err);

/* All of it in one go; dst has gem_base64_decoded_room(n). */
int gem_base64_decode(enum gem_base64_level level, void *dst, const char *src, size_t n, size_t *written,
                      struct gem_err *err);

#endif
