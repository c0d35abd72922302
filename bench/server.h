/* The server of the benchmark: answers as the service does, as fast as one core can, and counts what arrives.
 *
 * server.c has the sockets, server_job.c what is asked and answered, server_http1.c and server_http2.c how that looks on
 * the wire. A connection belongs to one protocol; a job is one request and its answer. The model's name in a request
 * says what to send:
 *
 *     small        one small answer
 *     events-N     N events, as fast as they are taken
 *     ticks-N-of-M when M such requests have come: N events for each, one every 20 ms, all at the same instant
 *     text-N       one event with a text of N bytes
 *     media-N      one event with N bytes of base64
 *
 * A file named "last" is the last that its connection carries (HTTP/1.1). */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common.h"

enum { BENCH_TICK = 20 }; /* milliseconds */

struct request {
    char method[8];
    char path[256];
    char command[32]; /* X-Goog-Upload-Command */
    char host[64];
    bool secure;
    int64_t length; /* -1: not said */
    int64_t offset; /* X-Goog-Upload-Offset */
};

enum job_kind { JOB_TEXT, JOB_EVENTS, JOB_TICKS, JOB_BLOB };

struct job {
    enum job_kind kind;
    struct request request;
    char head[256];     /* header lines of the answer beside its type and length, "Name: value\n" each */
    char text[2048];    /* JOB_TEXT */
    size_t text_length;
    bool answered;      /* JOB_TEXT and JOB_BLOB: all is read */
    int64_t left;       /* events, or bytes of a blob's middle */
    int due;            /* JOB_TICKS: events whose time has come */
    int part;           /* JOB_BLOB: 0 before its middle, 1 in it, 2 after it */
    bool at_reset;      /* the connection is to be reset */
    struct conn *conn;
    int32_t stream;     /* HTTP/2 */
    struct job *next, *prev; /* of those that tick */
    struct job *after, *before; /* of its connection, on HTTP/2 */
};

/* Takes the request's head. */
void job_begin(struct job *job);

/* n bytes of its body have come. */
void job_body(struct job *job, size_t n);

/* The whole request is there: makes the answer. */
void job_answer(struct job *job);

/* The length of the answer, or -1: a stream. */
int64_t job_length(const struct job *job);

/* The next piece of the answer, an event as a whole: *end says that it was the last. 0 without *end: none fits into n
 * bytes, or its time has not come. */
size_t job_read(struct job *job, char *dst, size_t n, bool *end);

/* Forgets it; it may be in the middle of anything. */
void job_end(struct job *job);

/* The instant of a tick: all that tick have one event more, and `due` is told of each. It ends none. */
void job_tick(void (*due)(struct job *));

struct conn {
    int fd;
    SSL *ssl;           /* NULL: plain */
    bool shaken;        /* the handshake is done */
    bool watches_write;
    bool dead;          /* is closed before the next wait */
    char *out;          /* OUT_ROOM bytes that are to be sent, once there are any */
    size_t out_length, out_at;

    char in[16384];     /* HTTP/1: a head so far */
    size_t in_length;
    struct job *job;    /* the request at hand; on HTTP/2 the first of them */
    bool in_answer;
    bool last;          /* is closed when what is in out has left */

    nghttp2_session *h2; /* NULL: HTTP/1 */
    struct conn *next_dead;
    bool due;           /* has events whose time has come */
    struct conn *next_due;
};

enum { OUT_ROOM = 128 * 1024 };

/* Not read before the next tick. One connection at a time. */
void conn_hold(struct conn *conn);

/* Bytes received into dst, or dropped where it is NULL and the connection plain; 0: none for now, or dead. */
size_t conn_receive(struct conn *conn, char *dst, size_t n);

/* Sends what is in out; true when all of it has left. */
bool conn_flush(struct conn *conn);

void conn_kill(struct conn *conn);

/* The protocols: what to do when a connection has become readable, and when it may be written to or has more to say. */
void http1_readable(struct conn *conn);
void http1_write(struct conn *conn);
void http1_close(struct conn *conn);
void http2_open(struct conn *conn);
void http2_readable(struct conn *conn);
void http2_write(struct conn *conn);
void http2_due(struct job *job); /* it has an event more */
void http2_close(struct conn *conn);

/* What has happened since the last look. */
struct counters {
    int64_t connections, tls, resumed, http2, requests, body, events, wire;
};

extern struct server {
    struct counters count;
    char *base;         /* where bytes go that are dropped: a megabyte */
    char sha256[96];    /* of the file that is uploaded, as its file object has it */
    int64_t shape;      /* bytes of uploads that are taken in a second, as a slow link would; 0: all */
    int64_t allowance;  /* how many are left of this tick */
    int64_t reset_at;   /* the body byte of an upload at which its connection is reset, once; 0: never */
    bool quit;
} server;

#endif
