/* What an exchange is asked for. It owns nothing: all that it points to is the caller's. The exchange reads it when it
 * is opened, and needs afterwards the body, the hash and the spare that it names. */
#ifndef GEM_NET_REQUEST_H
#define GEM_NET_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gem_body;
struct gem_sha256;
struct gem_spare;

/* Seconds, 0 for none; deadline is an instant. Which one holds is the phase's matter. */
struct gem_clocks {
    double connect;    /* resolving, connecting, TLS */
    double first_byte; /* from the request's last byte to the answer's status line */
    double idle;       /* between bytes, either way; not while we are the slow side */
    double deadline;   /* of the whole call: "total" */
};

struct gem_limits {
    size_t head;   /* all header lines together */
    size_t answer; /* bytes of the answer held at once */
    size_t error;  /* the same of an answer whose status is no success */
    size_t room;   /* bytes waiting to be read before the peer is made to wait; at most answer */
};

enum { GEM_WHOLE = 16 << 10 }; /* bytes of bodies that libcurl gets at once, and sends with the head */

struct gem_request {
    const char *method; /* "GET", "POST", ... */
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const struct gem_body *body; /* or NULL */
    int64_t offset, length;      /* the window of it that is sent */
    const char *text;            /* or NULL: `length` bytes in place of a body, at most GEM_WHOLE; they are copied */
    struct gem_sha256 *hash;     /* or NULL: of what is sent; the caller's, like the body */
    int64_t hash_offset;         /* where the body begins in what is hashed */
    const char *proxy;           /* NULL: as the environment says; "": none */
    const char *ca_file, *ca_path; /* at most one; both NULL: libcurl's own */
    const char *cert_file, *key_file; /* ours, PEM, or NULL; a key NULL: it is in cert_file */
    bool compressed;             /* let the peer compress the answer */
    bool http1;                  /* bulk: no HTTP/2 */
    bool tell_data;              /* become ready when bytes arrive, not only at the end */
    struct gem_clocks clocks;
    struct gem_limits limits;
    struct gem_spare *spare;     /* of its route, or NULL: see handle.h */
};

/* Whether there are only bytes in memory to be sent, and few of them. */
bool gem_request_is_small(const struct gem_request *r);

/* Whether it may share a connection with others: HTTP/2 over TLS, where the server has it. */
bool gem_request_shares(const struct gem_request *r);

/* Scheme, host and port as a number. Two hosts of one number would be taken for one, which costs connections and
 * nothing else. */
uint64_t gem_request_origin(const struct gem_request *r);

#endif
