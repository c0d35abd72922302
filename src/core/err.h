/* Errors: what went wrong, as a value of fixed size. It owns nothing, so it is copied with `=` and never freed.
 *
 * A function that can fail takes a struct gem_err * last and says in its result that it failed; only then is
 * the error written. NULL is allowed wherever nobody wants to know. Programs match on the kind; the text is
 * one line for people and may change. Never put a key, a token or an upload URL into a text. */
#ifndef GEM_CORE_ERR_H
#define GEM_CORE_ERR_H

#include <stdint.h>

enum gem_kind {
    GEM_OK,         /* no error */
    GEM_INVALID,    /* refused before anything was done with it */
    GEM_IO,         /* a local file */
    GEM_NETWORK,    /* transport */
    GEM_TLS,        /* certificates and handshakes */
    GEM_TIMEOUT,    /* a clock of ours; clock names it */
    GEM_CANCELLED,  /* by the user */
    GEM_CLOSED,     /* used after close */
    GEM_PROTOCOL,   /* nonsense from the peer */
    GEM_LIMIT,      /* a ceiling, memory included */
    GEM_INTEGRITY,  /* a hash or a journal that does not fit */
    GEM_INCOMPLETE  /* ended before its end */
};

struct gem_err {
    enum gem_kind kind;
    int code;           /* HTTP status, errno or CURLcode, as the function that failed says; else 0 */
    int64_t offset;     /* byte offset in the input where known, else -1 */
    const char *clock;  /* a static string: the clock that fired ("idle", ...); else NULL */
    char text[256];     /* NUL-terminated, whole UTF-8 characters where the arguments were */
};

/* Fills err, with offset -1 and clock NULL, and returns -1, so that `return gem_err_set(...)` reads well.
 * Never allocates, never fails: a text too long is cut between characters. The arguments may point into
 * err itself (to wrap its text). */
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
int gem_err_set(struct gem_err *err, enum gem_kind kind, int code, const char *fmt, ...);

/* GEM_LIMIT, "not enough memory". Returns -1. */
int gem_err_memory(struct gem_err *err);

/* Makes err say that nothing went wrong (GEM_OK). */
void gem_err_clear(struct gem_err *err);

/* The kind as Lua and people spell it ("io", "network", ...), a static string; "unknown" for a number that
 * is none. */
const char *gem_kind_name(enum gem_kind kind);

#endif
