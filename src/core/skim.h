/* Events of a stream that are alike: a model that writes sends the same JSON again and again, in which one text and a few
 * numbers differ. Once one of them has been understood, the text of the next is found by comparing the two. */
#ifndef GEM_CORE_SKIM_H
#define GEM_CORE_SKIM_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "mem.h"

struct gem_skim {
    struct gem_buf last; /* the event that was understood last */
    size_t text, after;  /* where its text begins and ends: behind the one quote, at the other */
    bool ready;
};

/* Owns no memory yet. mem must outlive it. */
void gem_skim_init(struct gem_skim *skim, const struct gem_mem *mem);
void gem_skim_free(struct gem_skim *skim);

/* An event has been understood whose text is event[text .. after), between quotes. Keeps a copy. An event that is too
 * large, or for which there is no memory, is forgotten. */
void gem_skim_learn(struct gem_skim *skim, const char *event, size_t n, size_t text, size_t after);

/* Whether the event differs from the last one in nothing but its text and the digits of its numbers; one that was 0 (the
 * place of a candidate) may not differ. Then it is the last one now, its text lies at skim->text, and *escaped says whether there are escapes in it: those are not checked. */
bool gem_skim_match(struct gem_skim *skim, const char *event, size_t n, bool *escaped);

#endif
