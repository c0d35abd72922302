/* JSON (RFC 8259) as tokens: bytes in, tokens out. It builds nothing and knows no schema; a text may be cut
 * anywhere, within an escape or a number too, and is checked as it goes by.
 *
 *     gem_json_feed(json, bytes, n);
 *     while ((token = gem_json_next(json, err)) > GEM_JSON_MORE)
 *         ...
 *
 * The bytes fed are the caller's: they must stay until gem_json_next said GEM_JSON_MORE, or the caller fed others
 * (then what was not read of them is not read). To stop after any token and go on later is fine.
 *
 * A string lies whole in the bytes of one call without an escape: then it is not copied. Any other is gathered in a
 * buffer up to its ceiling, unless the caller asks for pieces.
 *
 * Taken though the standard forbids it, since services send it: control characters and bytes that are no UTF-8 within
 * strings. Refused, though it allows it: NUL bytes (not the escape), half a surrogate pair, a number too large for
 * a double. */
#ifndef GEM_CORE_JSON_H
#define GEM_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "mem.h"

enum { GEM_JSON_DEPTH_MAX = 1024 }; /* the largest ceiling for the depth */

enum gem_json_token {
    GEM_JSON_BROKEN = -1, /* GEM_PROTOCOL: no JSON, GEM_LIMIT: a ceiling; every later call says the same */
    GEM_JSON_MORE,        /* all bytes are read: feed more, or finish */
    GEM_JSON_DONE,        /* the value is whole; only blanks may follow. Said once */
    GEM_JSON_OBJECT,      /* one begins; then NAMEs, each with its value, up to GEM_JSON_CLOSE */
    GEM_JSON_ARRAY,       /* one begins; then values, up to GEM_JSON_CLOSE */
    GEM_JSON_CLOSE,       /* the innermost object or array ends */
    GEM_JSON_NAME,        /* text, len */
    GEM_JSON_PIECE,       /* text, len: some of a string, and GEM_JSON_STRING with the rest of it will follow */
    GEM_JSON_STRING,      /* text, len: a string's characters, unescaped; not NUL-terminated */
    GEM_JSON_INTEGER,     /* integer: any whole number below 2^53, however it was written */
    GEM_JSON_NUMBER,      /* number: any other */
    GEM_JSON_TRUE,
    GEM_JSON_FALSE,
    GEM_JSON_NULL
};

struct gem_json {
    const char *text;  /* of the last token; holds until the next call */
    size_t len;
    int64_t integer;
    double number;
    bool pieces;       /* to be set before the string comes: it need not be whole at once, and no ceiling holds for it */
    /* private */
    const char *at, *end, *start; /* the bytes being read */
    uint64_t before;              /* bytes of earlier feeds */
    struct gem_buf gathered;      /* of a name, string or number that was cut, or has escapes */
    unsigned max_depth, depth;
    unsigned char expect;         /* enum in json.c: what may come next */
    unsigned char open;           /* enum in json.c: the token that was cut */
    unsigned char broken;         /* enum in json.c: why, or 0 */
    unsigned char escape_len;
    char escape[12];              /* an escape as far as it came: at most two of \uXXXX */
    char small[4];                /* a character that was escaped, as UTF-8 */
    unsigned char arrays[GEM_JSON_DEPTH_MAX / 8]; /* which levels are arrays, a bit each */
    const char *what;             /* is wrong there: a static string */
    uint64_t wrong;               /* the character that is */
};

/* max_depth: levels of objects and arrays, at most GEM_JSON_DEPTH_MAX. max_text: bytes that a string, name or number may
 * have where it must be gathered. mem must outlive the parser. */
void gem_json_init(struct gem_json *json, const struct gem_mem *mem, unsigned max_depth, size_t max_text);
void gem_json_free(struct gem_json *json);

/* Starts with another text, whatever became of the last one. */
void gem_json_reset(struct gem_json *json);

void gem_json_feed(struct gem_json *json, const char *bytes, size_t n);

/* In a string: the first quote, backslash or NUL, or end. */
const char *gem_json_special(const char *p, const char *end);

/* Whether the text is a number as JSON has it, in fewer than 64 bytes, and which. */
bool gem_json_number(const char *text, size_t n, double *number);

/* The next token; err is written where it is GEM_JSON_BROKEN. */
enum gem_json_token gem_json_next(struct gem_json *json, struct gem_err *err);

/* How many of the bytes fed last have been read. */
size_t gem_json_place(const struct gem_json *json);

/* No more bytes will come: GEM_JSON_DONE, a last number (then call again), or GEM_JSON_BROKEN where the text is not whole. */
enum gem_json_token gem_json_finish(struct gem_json *json, struct gem_err *err);

#endif
