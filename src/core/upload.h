/* A resumable upload as a decision table: given the last answer, it says the next request. It sees no sockets, no
 * files and no time; whoever drives it sends what it says and waits when it says so (reference section 6).
 *
 * Offsets and lengths are bytes of the file. `acked` is what the server said it has: after a break nothing is taken
 * for granted, the server is asked, and no byte is sent twice that it acknowledged.
 *
 * The struct owns nothing. */
#ifndef GEM_CORE_UPLOAD_H
#define GEM_CORE_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum gem_upload_state {
    GEM_UPLOAD_START,   /* next: ask for a session */
    GEM_UPLOAD_SEND,    /* next: send the window, the last one with finalize */
    GEM_UPLOAD_QUERY,   /* next: ask how much the server has */
    GEM_UPLOAD_DONE,    /* final: the answer holds the file, or the file can be looked up */
    GEM_UPLOAD_FAILED   /* final: the reason was in err */
};

struct gem_upload {
    enum gem_upload_state state;
    int64_t size;        /* of the file; -1 while unknown: whoever sees its end sets it */
    int64_t chunk;       /* bytes in a request, 0 for all that is left */
    int64_t granularity; /* the server's: every request but the last is a multiple of it */
    int64_t acked;
    int64_t best;        /* the most ever acked in this session: less is no progress */
    int64_t offered;     /* where the furthest request with bytes ended: the server cannot have more */
    int64_t tried;       /* the offset of the last request with bytes */
    bool restarted;      /* a lost session is begun anew once */
    int doubted;         /* the HTTP status of a word that made no sense and was met with a query; progress clears it */
};

/* What to send now. */
struct gem_upload_request {
    const char *command; /* "start", "upload", "upload, finalize", "query": the X-Goog-Upload-Command */
    int64_t offset, length;
};

/* What came back. Texts are only looked at. */
struct gem_upload_answer {
    int code;            /* HTTP status; 0: the transport broke */
    const char *status;  /* X-Goog-Upload-Status, or NULL */
    int64_t received;    /* X-Goog-Upload-Size-Received, or -1 */
    int64_t granularity; /* X-Goog-Upload-Chunk-Granularity, or -1 */
    bool has_url;        /* X-Goog-Upload-URL is there */
    bool api_error;      /* the body holds an error object */
};

enum gem_upload_verdict {
    GEM_UPLOAD_GO,    /* send gem_upload_next now */
    GEM_UPLOAD_AGAIN, /* a passing fault: wait, then send gem_upload_next, or give up with the fault that was seen */
    GEM_UPLOAD_END,   /* DONE */
    GEM_UPLOAD_STOP   /* FAILED: err, or where that is GEM_OK the last answer that was no success (a query may follow it) */
};

/* size -1: not known yet; a request then has at most 64 MiB, since somebody has to hold it. chunk 0: one request
 * for all, or as little as the server takes where the size is not known. */
void gem_upload_init(struct gem_upload *up, int64_t size, int64_t chunk);

/* Takes up an upload that another process began, whose session is known: what the server has is asked first. */
void gem_upload_resume(struct gem_upload *up);

/* The request to send in state START, SEND or QUERY. */
void gem_upload_next(const struct gem_upload *up, struct gem_upload_request *request);

/* Takes the answer to it. err is GEM_OK where an answer of the server is the reason to stop. */
enum gem_upload_verdict gem_upload_take(struct gem_upload *up, const struct gem_upload_answer *answer,
                                        struct gem_err *err);

#endif
