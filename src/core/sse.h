/* Event-stream parser (WHATWG HTML, "server-sent events"): bytes in, events out. It does no I/O, knows no JSON, and
 * may be fed a stream cut anywhere, CRLF, byte order mark and characters included.
 *
 * Only data matters to the service, so comments and event, id, retry and unknown fields are read over.
 * Differences from the standard, all on purpose:
 *   - gem_sse_finish hands out a last event that no blank line closed, even one cut in its line: the
 *     service's last event may lack the blank line. Whoever takes it must bear that it is not whole.
 *   - A line outside an event whose first non-blank character is '{' or '[' is no field but bare JSON, as the
 *     service sends for an error in mid-stream. From there on all is raw text, which ends with gem_sse_finish.
 * As in the standard, an event whose only data is empty ("data:" alone) comes out, with length 0; blank
 * lines without data before them do not make an event.
 *
 * Time is linear in the bytes fed, however they are cut. Memory: an event that lies whole in the bytes of
 * one call is not copied; any other is gathered in a buffer that grows up to the ceiling, or up to the size
 * from which it is handed out in pieces, for which nothing more is copied. */
#ifndef GEM_CORE_SSE_H
#define GEM_CORE_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"
#include "mem.h"

enum gem_sse_result {
    GEM_SSE_BROKEN = -1,  /* over the ceiling or out of memory; every later call says the same */
    GEM_SSE_MORE,         /* all bytes taken, no event complete: feed more, or finish */
    GEM_SSE_EVENT,        /* event and event_len are an event's data, or what its pieces left of it */
    GEM_SSE_PIECE,        /* they are some of it */
    GEM_SSE_TAIL,         /* from gem_sse_finish: they are the raw text at the end, or what its pieces left of it */
    GEM_SSE_END           /* from gem_sse_finish: nothing is left */
};

struct gem_sse {
    /* After GEM_SSE_EVENT and GEM_SSE_TAIL: not NUL-terminated; valid until the next call, and no longer than the
     * bytes that were fed. After any other result event is NULL. */
    const char *event;
    size_t event_len;
    size_t pieces;          /* to be set between events: data that has so many bytes is handed out as it comes; 0: never */
    /* private */
    struct gem_buf data;    /* the open event's data as far as it was copied, or the raw text */
    unsigned char line;     /* what the line at hand is (enum in sse.c) */
    unsigned char matched;  /* characters of the byte order mark or of "data:" seen in it */
    unsigned char after_cr; /* the last byte was a CR: a LF now belongs to it */
    unsigned char has_data; /* a data line of the open event is complete */
    unsigned char given;    /* what was handed out (enum in sse.c): the next call starts afresh */
    bool due;               /* a piece is to be handed out before any more is read */
    bool line_due;          /* the line feed between two data lines is, too */
    size_t handed;          /* bytes of the open event in its pieces */
    unsigned char broken;   /* why (enum in sse.c), or 0 */
};

/* max_event: the most bytes that one event's data, or the raw text, may have. mem must outlive the parser. */
void gem_sse_init(struct gem_sse *sse, const struct gem_mem *mem, size_t max_event);
void gem_sse_free(struct gem_sse *sse);

/* Takes bytes up to the end of the next event or piece and says in *used how many: all of them, unless the result is
 * GEM_SSE_EVENT or GEM_SSE_PIECE. Then the caller, having used the event, feeds the rest; with a gem_buf for an inbox:
 *
 *     while ((result = gem_sse_feed(sse, gem_buf_head(inbox), inbox->len, &used, err)) == GEM_SSE_EVENT) {
 *         ... sse->event, sse->event_len ...
 *         gem_buf_consume(inbox, used);
 *     }
 *     gem_buf_consume(inbox, used);
 */
enum gem_sse_result gem_sse_feed(struct gem_sse *sse, const char *bytes, size_t n, size_t *used,
                                 struct gem_err *err);

/* The stream is over: GEM_SSE_EVENT, GEM_SSE_TAIL, GEM_SSE_END or GEM_SSE_BROKEN. After the first two a second
 * call gives GEM_SSE_END. Nothing may be fed after it. */
enum gem_sse_result gem_sse_finish(struct gem_sse *sse, struct gem_err *err);

#endif
