/* A request body: a list of segments, addressed by offset. It holds no cursor and nothing is rewound: a retry
 * reads from 0, an upload is a window of it, two attempts may share one body.
 *
 * A segment is bytes in memory, a file, or bytes that a reader will bring, and goes out as it is or as base64 made
 * while reading. Its length is known from the start, so the body's is too.
 *
 * Who owns what: the body owns its list, copies of paths, and descriptors adopted from open files. Bytes in
 * memory are the caller's and must stay until gem_body_free. A body only grows; once read from, it is no
 * longer added to.
 *
 * Files are opened when they are read, one at a time for each cursor, so a body of a thousand pictures needs
 * one descriptor. They must then still be what they were when they were added. */
#ifndef GEM_CORE_BODY_H
#define GEM_CORE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base64.h"
#include "err.h"
#include "file.h"
#include "mem.h"

enum gem_source {
    GEM_SOURCE_BYTES,
    GEM_SOURCE_FILE,   /* by path, opened when read */
    GEM_SOURCE_HANDLE, /* by a descriptor of our own */
    GEM_SOURCE_READER  /* brought by the caller when asked for */
};

struct gem_segment {
    enum gem_source source;
    bool base64;
    const char *bytes;      /* GEM_SOURCE_BYTES */
    char *path;             /* file and handle: owned, for messages too */
    int fd;                 /* GEM_SOURCE_HANDLE, else -1 */
    struct gem_file_id id;
    int64_t size;           /* of the source */
    int64_t start;          /* where the segment begins in the body */
    int64_t length;         /* what it takes there */
};

struct gem_body {
    const struct gem_mem *mem;
    enum gem_base64_level level;
    struct gem_segment *segments;
    size_t count, capacity;
    int64_t length;         /* of the whole */
};

/* What a read leaves open for the next. Each exchange that sends a body has one. */
struct gem_body_cursor {
    size_t segment; /* where the last read ended: a hint */
    int fd;         /* the open file of segment `open`, or -1 */
    size_t open;
};

enum gem_body_read {
    GEM_BODY_FAILED = -1,
    GEM_BODY_OK = 0,        /* *got bytes; 0 only at the end */
    GEM_BODY_WAIT = 1       /* a reader's bytes are needed at this offset */
};

void gem_body_init(struct gem_body *body, const struct gem_mem *mem);
void gem_body_free(struct gem_body *body);

/* Each returns 0, or -1 with the body as it was: out of memory, a body of more than 2^62 bytes (GEM_LIMIT), and
 * for files what gem_file_identify says. The size of a file is in the last segment then. */
int gem_body_add_bytes(struct gem_body *body, const void *bytes, size_t n, bool base64, struct gem_err *err);
int gem_body_add_file(struct gem_body *body, const char *path, bool base64, struct gem_err *err);
int gem_body_add_handle(struct gem_body *body, int fd, const char *name, struct gem_err *err);
int gem_body_add_reader(struct gem_body *body, int64_t size, struct gem_err *err);

void gem_body_cursor_init(struct gem_body_cursor *cursor);
void gem_body_cursor_free(struct gem_body_cursor *cursor);

/* How many bytes a reader must bring from offset on, up to the end of its segment; 0 where the next byte is no
 * reader's. */
int64_t gem_body_reader_left(const struct gem_body *body, int64_t offset);

/* As many of n bytes from offset on as end between two groups of base64, if any do: who reads on from there has each
 * byte of a file read once. */
size_t gem_body_whole(const struct gem_body *body, int64_t offset, size_t n);

/* n bytes of the body from offset on (0 <= offset <= length); fewer only at its end or in front of a reader's
 * segment. A file that shrank or changed is an error, never a short body. */
enum gem_body_read gem_body_read_at(const struct gem_body *body, struct gem_body_cursor *cursor, int64_t offset,
                                    void *dst, size_t n, size_t *got, struct gem_err *err);

#endif
