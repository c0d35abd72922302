/* Files: opened for reading and read by position, with their identity. POSIX; no other file of the core is.
 *
 * A file that is sent may be written by somebody else meanwhile. Its identity is taken when it is first looked
 * at, and whoever reads it later checks that it is still the same. */
#ifndef GEM_CORE_FILE_H
#define GEM_CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"
#include "mem.h"

struct gem_file_id {
    int64_t size;
    int64_t mtime;        /* nanoseconds since the epoch; wrapped around beyond 2262 */
    uint64_t inode;
    uint64_t device;
};

/* The identity of a readable regular file. -1: missing, a directory or other than a regular file, unreadable
 * (GEM_IO, errno in code; the text holds the path). */
int gem_file_identify(const char *path, struct gem_file_id *id, struct gem_err *err);

/* Opens for reading; the same refusals. The descriptor is the caller's, for gem_file_close; -1 on failure. */
int gem_file_open(const char *path, struct gem_file_id *id, struct gem_err *err);

/* A second descriptor for a regular file that is open for reading, so that its owner may close theirs. name is for
 * messages. */
int gem_file_adopt(int fd, const char *name, struct gem_file_id *id, struct gem_err *err);

/* The descriptor of a C stream; still the stream's. */
int gem_file_number(FILE *stream);

/* Reads n bytes at offset, whatever the descriptor's own position; *got is less only at the end of the file. */
int gem_file_read_at(int fd, int64_t offset, void *dst, size_t n, size_t *got, struct gem_err *err);

/* 0 when fd is still the file that id was taken of; -1 (GEM_IO, "changed while it was sent") when not. */
int gem_file_unchanged(int fd, const struct gem_file_id *id, const char *name, struct gem_err *err);

/* fd may be -1. */
void gem_file_close(int fd);

/* Puts n bytes in place of the file, or makes it: for its owner alone (mode 0600), on disk when this returns, and in
 * one step, so that whoever reads it, now or after a crash, finds the old bytes or the new ones. */
int gem_file_replace(const char *path, const void *bytes, size_t n, const struct gem_mem *mem, struct gem_err *err);

/* Removes the regular files of a directory whose names begin so and that nobody wrote to for that many seconds. What
 * cannot be removed stays. */
void gem_file_remove_old(const char *directory, const char *prefix, double seconds);

/* The names of what is in a directory, in no order, but for those that begin with a dot: each with its NUL, as many as
 * have room. *need is what all of them take. -1: no such directory (GEM_IO). */
int gem_file_list(const char *directory, char *names, size_t room, size_t *need, struct gem_err *err);

/* Makes a directory where there is none yet; its parent must be there. */
int gem_file_make_directory(const char *path, struct gem_err *err);

/* Whether a directory holds certificates under their hashed names, as OpenSSL looks them up. */
bool gem_file_has_hashed_certificates(const char *directory);

#endif
