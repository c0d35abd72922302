/* mold: the form of an event, to read the next one by comparing. Most events of a stream are like the one before but for
 * their text and a few counts. It knows the places of values in an event and nothing else of JSON; what it is told must
 * be true of the event.
 *
 *     gem_mold_begin(mold, event, n);
 *     gem_mold_note(mold, from, to, kind);    ... for each value that may be another, in order
 *     mold->ready = true;
 *     if (gem_mold_match(mold, json, event, n))     ... the next event
 *         ... mold->text, gem_mold_value(mold, i, &length) ...
 *
 * An event that has the form takes the place of the one before, and is valid JSON if that was. */
#ifndef GEM_CORE_MOLD_H
#define GEM_CORE_MOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "mem.h"

enum { GEM_MOLD_PLACES = 32 };

enum gem_mold_kind {
    GEM_MOLD_TEXT,   /* a string's characters, without the quotes; one of an event */
    GEM_MOLD_STRING, /* the same; another one has no escapes */
    GEM_MOLD_COUNT   /* digits of a whole number; another one has at most 15 and is no 0 */
};

struct gem_mold_place {
    uint16_t from, to; /* of the event */
    unsigned char kind;
    bool changed;      /* it has been another one since whoever uses the value has set this to false */
};

struct gem_mold {
    struct gem_buf last; /* the event */
    const char *text;    /* its text without escapes, until the parser that was used is used again */
    size_t length;
    bool ready;          /* to be set when all places are noted; false: nothing matches */
    bool escaped;        /* private: there are escapes in the text */
    unsigned char count;
    struct gem_mold_place places[GEM_MOLD_PLACES];
};

/* mem must outlive the mold. */
void gem_mold_init(struct gem_mold *mold, const struct gem_mem *mem);
void gem_mold_free(struct gem_mold *mold);

/* What the other one knows takes the place of what it knows. Where memory is short it knows nothing. */
void gem_mold_copy(struct gem_mold *mold, const struct gem_mold *other);

/* Forgets what it knows, and copies the event. false: it is too large to be worth it, or memory is short. */
bool gem_mold_begin(struct gem_mold *mold, const char *event, size_t n);

/* false: there are too many. */
bool gem_mold_note(struct gem_mold *mold, size_t from, size_t to, enum gem_mold_kind kind);

/* Whether the event has the form. Then it is the last one, and `text` is its text. json: to read one with escapes; what it
 * was fed before is forgotten. */
bool gem_mold_match(struct gem_mold *mold, struct gem_json *json, const char *event, size_t n);

/* The characters of a value of the last event. */
const char *gem_mold_value(const struct gem_mold *mold, unsigned place, size_t *n);

#endif
