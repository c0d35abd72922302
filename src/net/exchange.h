/* One HTTP request and its answer, on one libcurl easy handle. It knows nothing of loops, events or JSON: a
 * download and a stream are the same thing here.
 *
 * libcurl's callbacks move bytes between libcurl and this struct and do nothing else. What the world should
 * know is left in the struct and the exchange puts itself on the list `ready` points at, once; whoever owns
 * that list looks after libcurl has returned.
 *
 * Who owns what: the exchange owns its inbox, its head and its handle, which it leaves to the next of its route when it
 * has ended well. The body is the caller's and must outlive the exchange; texts of the request are copied. The struct
 * must not move once opened: libcurl keeps its address. Close it only when no multi handle holds it.
 *
 * Time is in seconds, instants are gem_now()'s. The clocks are ours, since libcurl's do not hold while an
 * exchange is queued or paused; the owner asks gem_exchange_expiry and calls gem_exchange_fail. */
#ifndef GEM_NET_EXCHANGE_H
#define GEM_NET_EXCHANGE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "../core/body.h"
#include "../core/buf.h"
#include "../core/err.h"
#include "../core/mem.h"
#include "../core/sha256.h"
#include "handle.h"
#include "request.h"

struct gem_loop;
struct gem_exchange;

struct gem_ready_list {
    struct gem_exchange *first, *last;
    bool resume; /* one of them may go on: see gem_exchange_resume */
    bool apart;  /* one of them is */
    double end;  /* of the step, HUGE_VAL for none: until then bodies are read in slices */
    double now;  /* when it looked at the clock last: an event is not worth another look */
};

/* Exchanges that share a number of places with libcurl: those past it wait for their turn. */
struct gem_share {
    int active, max;
};

enum gem_phase {
    GEM_PHASE_CLOSED,
    GEM_PHASE_QUEUED,     /* not with libcurl yet */
    GEM_PHASE_CONNECTING, /* awaits a connection, which may be resolving, in handshake, or shared */
    GEM_PHASE_SENDING,    /* awaits that the peer takes the body */
    GEM_PHASE_WAITING,    /* awaits the status line */
    GEM_PHASE_RECEIVING,  /* awaits the rest */
    GEM_PHASE_DONE        /* failed says how it ended */
};

struct gem_facts {
    int http_version; /* 10, 11, 20, 30; 0 when no answer came */
    double connect, first_byte, total; /* seconds since it started; the first byte is the final answer's */
    int64_t sent, received; /* body bytes on the wire */
    bool reused;            /* an open connection was used */
};

/* What each piece of an answer needs comes first: with a thousand streams none of it is in the processor's cache. */
struct gem_exchange {
    struct gem_ready_list *ready; /* the loop's, set with it */
    struct gem_exchange *next_ready;
    bool is_ready;
    bool tell_data;
    bool held_in, held_out;    /* paused by us: the inbox is full; a reader's bytes are missing */
    bool resume;               /* the reason for a pause is gone */
    bool shares;               /* may share its connection with others: HTTP/2 over TLS, where the server has it */
    bool apart;                /* it could have, but got HTTP/1 */
    bool counted;              /* among its host's: see loop.c */
    bool is_stream;            /* its answer comes bit by bit: it is told of, and no bulk */
    bool reads_little;         /* libcurl has a small buffer for it */
    bool whole;                /* libcurl has the body: a small one, which it sends with the head */
    bool head_done;
    bool failed;
    enum gem_phase phase;
    int lane;
    double since;              /* when the phase's clock was last wound */
    struct gem_buf inbox;      /* the answer's body, as far as unread */
    struct gem_limits limits;
    long status;               /* 0 until the head is whole */

    const struct gem_mem *mem;
    struct gem_handle *handle; /* or NULL */
    struct gem_spare *spare;   /* where that goes when it has ended, or NULL */
    struct gem_buf head;       /* the answer's header lines, each ended by '\n' */
    size_t head_bytes;         /* all that ever came, 1xx and trailers included */

    const struct gem_body *body;
    struct gem_body_cursor cursor;
    int64_t offset, length, sent;
    struct gem_sha256 *hash;
    int64_t hash_offset;
    struct gem_buf supplied;   /* what a reader brought for body offset offset + sent */
    int64_t uploaded;          /* request bytes that have left libcurl */

    struct gem_clocks clocks;
    double started;            /* when libcurl got it */
    struct gem_facts facts;

    uint64_t origin;           /* scheme, host and port as a number; only where it shares */
    struct gem_loop *loop;     /* set by the loop that holds it */
    struct gem_share *share;   /* or NULL; outlives the exchange */
    struct gem_exchange *prev, *next;

    struct gem_err *err;       /* why it failed, the first failure; NULL: it has not, or there was no memory for it */
};

/* libcurl's global set-up, for each Lua state before its first loop unless the host has done it. Never undone: libcurl
 * may be the host's too. From any thread, where libcurl says so of itself (CURL_VERSION_THREADSAFE, 7.84). */
int gem_exchange_prepare(struct gem_err *err);

/* Where this libcurl looks for certificates: a hashed directory if it has one (it loads the one root it needs), else
 * a bundle. Static strings; at most one is not NULL. Reads the directory: ask once, not for each exchange. */
void gem_exchange_trust(const char **ca_path, const char **ca_file);

/* ex: zeroed. On failure nothing is owned and the exchange stays closed. */
int gem_exchange_open(struct gem_exchange *ex, const struct gem_mem *mem, const struct gem_request *request,
                      struct gem_err *err);

/* Frees all; may be called at any time after which no multi handle holds ex, and twice. */
void gem_exchange_close(struct gem_exchange *ex);

/* The instant at which the clock that holds now fires; HUGE_VAL for never. *name is that clock. */
double gem_exchange_expiry(const struct gem_exchange *ex, const char **name);

/* Ends the exchange as failed, if it has not ended. The multi handle must have let go of it. */
void gem_exchange_fail(struct gem_exchange *ex, const struct gem_err *err);

/* Ends it with libcurl's result, takes the facts and gives the easy handle back. The same condition. */
void gem_exchange_finish(struct gem_exchange *ex, CURLcode result);

/* Why it failed. */
void gem_exchange_error(const struct gem_exchange *ex, struct gem_err *err);

/* Fails it because the clock `name` fired: the text says what was being waited for. */
void gem_exchange_time_out(struct gem_exchange *ex, const char *name);

/* Lets go of n read bytes of the inbox; the peer goes on when half the room is free. */
void gem_exchange_consume(struct gem_exchange *ex, size_t n);

/* Moves the whole inbox into the buffer, which is empty and of the same allocator, by exchanging their blocks. As
 * gem_exchange_consume otherwise. */
void gem_exchange_take(struct gem_exchange *ex, struct gem_buf *into);

/* Whether a reader's bytes are missing, and where (body offset) and how many at most: no more than its segment has. */
bool gem_exchange_wants(const struct gem_exchange *ex, int64_t *offset, int64_t *n);

/* Brings them: 0 < n <= what is wanted. */
int gem_exchange_supply(struct gem_exchange *ex, const void *bytes, size_t n, struct gem_err *err);

/* Unpauses both ways; whoever has still reason to pauses again. When `resume` says so, and only from the loop's step:
 * callbacks run inside. What they refuse comes back as a result that ends the exchange. */
CURLcode gem_exchange_resume(struct gem_exchange *ex);

/* Puts ex on its ready list, once. */
void gem_exchange_tell(struct gem_exchange *ex);

#endif
