/* alike: events of a stream that say nothing but a text, and have the form of the one before. Such an event is not
 * decoded: its text is found by comparing (lua_cast.h), and kept until the caller takes all texts at once, with the
 * last event of each form. When events are read, and what is returned of them, is not decided here.
 *
 * Who owns what: it owns the texts and the events. It is part of an answer, whose user value has the values for tables.
 * The text of an event holds until the next one is looked at. */
#ifndef GEM_BINDING_LUA_ALIKE_H
#define GEM_BINDING_LUA_ALIKE_H

#include "../core/rope.h"
#include "lua_cast.h"

struct lgem_alike {
    struct lgem_cast cast;
    struct gem_rope said;     /* texts of events that said nothing else that was new */
    size_t room;              /* for them: of one that is longer, and of all that follow, nothing is kept */
    size_t most;              /* a bound that streams which learn from each other have in common */
    bool has_last, over;      /* the mold's last event is one of these; there was one that was not kept */
    struct gem_buf before;    /* the last of these that had the form before; empty while all have one */
    bool is_said;             /* they are chunks of an answer that is made of texts */
    bool asked;               /* the shapes were asked what such events are like */
};

/* k: zeroed. mem must outlive it. */
void lgem_initalike(struct lgem_alike *k, const struct gem_mem *mem, size_t most, bool is_said);
void lgem_freealike(struct lgem_alike *k);

/* Whether the event has the form that is known: that of the events before it, or, of the first text, of another stream.
 * texts: only its text is wanted, and no table. */
bool lgem_isalike(struct lgem_alike *k, struct lgem_builder *b, const char *event, size_t n, bool texts);

/* Keeps the text of the event, which was found to be alike. false: memory is short. */
bool lgem_keepalike(struct lgem_alike *k);

/* The whole event, which b has decoded and whose value is on top, says nothing but a text: the next one may be like it.
 * The last one of those that were like the one before is kept until the caller has taken it. values: the owner's user
 * value for those that do not change. true: it is alike itself, as the first of them or the tail, where texts are
 * wanted. [-0,+0,m] */
bool lgem_learnalike(lua_State *L, struct lgem_alike *k, struct lgem_builder *b, const struct lgem_site *at, int values,
                     const char *event, size_t n, bool texts);

/* Whether there is something to be taken. */
bool lgem_hassaid(const struct lgem_alike *k);

/* Pushes a list of all texts, in pieces of any size; a list of the last event of each form; whether there was no room
 * for all texts. Then nothing is left to be taken. Finalisers may run meanwhile: k must not be freed. [-0,+3,m] */
void lgem_pushsaid(lua_State *L, struct lgem_alike *k);

#endif
