#define _POSIX_C_SOURCE 200809L
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#endif

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__APPLE__)
#define MTIME(st) ((st)->st_mtimespec)
#else
#define MTIME(st) ((st)->st_mtim)
#endif

#define AHEAD ((int64_t)4 << 20) /* bytes asked for at a time, ahead of the reader by as many; at first twice that */

static int fail(const char *doing, const char *name, int number, struct gem_err *err)
{
    char why[128] = "unknown error";
    strerror_r(number, why, sizeof why);  /* POSIX's form: fills why, unlike strerror safe with threads */
    return gem_err_set(err, GEM_IO, number, "cannot %s %s: %s", doing, name, why);
}

/* Wraps around for times beyond the year 2262: any other number tells two versions apart as well. */
static int64_t nanoseconds(const struct timespec *t)
{
    return (int64_t)((uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec);
}

static int identify(const struct stat *st, const char *name, struct gem_file_id *id, struct gem_err *err)
{
    if (S_ISDIR(st->st_mode))
        return fail("read", name, EISDIR, err);
    if (!S_ISREG(st->st_mode))
        return gem_err_set(err, GEM_IO, 0, "%s is not a regular file", name);
    id->size = (int64_t)st->st_size;
    id->mtime = nanoseconds(&MTIME(st));
    id->inode = (uint64_t)st->st_ino;
    id->device = (uint64_t)st->st_dev;
    return 0;
}

static int identify_open(int fd, const char *name, struct gem_file_id *id, struct gem_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail("read", name, errno, err);
    return identify(&st, name, id, err);
}

int gem_file_open(const char *path, struct gem_file_id *id, struct gem_err *err)
{
    /* O_NONBLOCK: a FIFO nobody writes to must not hang the program; it is refused by its type. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail("open", path, errno, err);
    if (identify_open(fd, path, id, err) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int gem_file_identify(const char *path, struct gem_file_id *id, struct gem_err *err)
{
    int fd = gem_file_open(path, id, err);
    gem_file_close(fd);
    return fd < 0 ? -1 : 0;
}

int gem_file_adopt(int fd, const char *name, struct gem_file_id *id, struct gem_err *err)
{
    if (identify_open(fd, name, id, err) < 0)
        return -1;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
        return gem_err_set(err, GEM_IO, 0, "%s is not open for reading", name);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? fail("open", name, errno, err) : copy;
}

int gem_file_number(FILE *stream)
{
    return fileno(stream);
}

/* What comes next is fetched from the disk while this part is sent: a cold file would hold up the program for
 * milliseconds with each block. The system's own read-ahead does not look that far, and not at all after a jump. */
static void read_ahead(int fd, int64_t offset, size_t n)
{
#ifdef POSIX_FADV_WILLNEED
    int64_t end = offset + (int64_t)n;
    if (offset == 0)
        posix_fadvise(fd, (off_t)end, (off_t)(2 * AHEAD), POSIX_FADV_WILLNEED);
    else if (offset / AHEAD != end / AHEAD)
        posix_fadvise(fd, (off_t)(end + AHEAD), (off_t)AHEAD, POSIX_FADV_WILLNEED);
#else
    (void)fd, (void)offset, (void)n;
#endif
}

int gem_file_read_at(int fd, int64_t offset, void *dst, size_t n, size_t *got, struct gem_err *err)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pread(fd, (char *)dst + done, n - done, (off_t)(offset + (int64_t)done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return fail("read", "the file", errno, err);
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *got = done;
    if (done == n)
        read_ahead(fd, offset, n);
    return 0;
}

int gem_file_unchanged(int fd, const struct gem_file_id *id, const char *name, struct gem_err *err)
{
    struct gem_file_id now;
    if (identify_open(fd, name, &now, err) < 0)
        return -1;
    if (now.size == id->size && now.mtime == id->mtime && now.inode == id->inode && now.device == id->device)
        return 0;
    return gem_err_set(err, GEM_IO, 0, "%s changed while it was sent", name);
}

void gem_file_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            bytes += written;
            n -= (size_t)written;
        }
    }
    return 0;
}

/* A rename is on disk when its directory is. Where a directory cannot be opened that is the system's matter. */
static void sync_directory(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        slash[slash == path] = '\0';
    int fd = open(slash != NULL ? path : ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static int replace_through(char *aside, const char *path, const void *bytes, size_t n, struct gem_err *err)
{
    int fd = mkstemp(aside); /* mode 0600 */
    if (fd < 0)
        return fail("write beside", path, errno, err);
    int bad = write_all(fd, bytes, n) < 0 || fsync(fd) < 0 ? errno : 0;
    if (close(fd) < 0 && bad == 0)
        bad = errno;
    if (bad == 0 && rename(aside, path) < 0)
        bad = errno;
    if (bad == 0)
        return 0;
    unlink(aside);
    return fail("write", path, bad, err);
}

int gem_file_replace(const char *path, const void *bytes, size_t n, const struct gem_mem *mem, struct gem_err *err)
{
    static const char suffix[] = ".XXXXXX";
    size_t length = strlen(path), room = length + sizeof suffix;
    char *aside = gem_mem_alloc(mem, room);
    if (aside == NULL)
        return gem_err_memory(err);
    memcpy(aside, path, length);
    memcpy(aside + length, suffix, sizeof suffix);
    int result = replace_through(aside, path, bytes, n, err);
    if (result == 0)
        sync_directory(aside);
    gem_mem_free(mem, aside, room);
    return result;
}

void gem_file_remove_old(const char *directory, const char *prefix, double seconds)
{
    DIR *dir = opendir(directory);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0
            && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
            && difftime(time(NULL), st.st_mtime) > seconds)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}

int gem_file_list(const char *directory, char *names, size_t room, size_t *need, struct gem_err *err)
{
    DIR *dir = opendir(directory);
    *need = 0;
    if (dir == NULL)
        return fail("read", directory, errno, err);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t n = strlen(entry->d_name) + 1;
        if (entry->d_name[0] == '.')
            continue;
        if (*need + n <= room)
            memcpy(names + *need, entry->d_name, n);
        *need += n;
    }
    closedir(dir);
    return 0;
}

int gem_file_make_directory(const char *path, struct gem_err *err)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return 0;
    int why = errno;
    return why == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : fail("make", path, why, err);
}

/* "5ad8a5d6.0": eight hex digits, a dot, a number. */
static bool is_hashed_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] >= '0' && name[9] <= '9';
}

bool gem_file_has_hashed_certificates(const char *directory)
{
    DIR *dir = opendir(directory);
    bool found = false;
    if (dir == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;)
        found = is_hashed_name(entry->d_name);
    closedir(dir);
    return found;
}
