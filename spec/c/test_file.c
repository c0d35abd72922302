#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "../../src/core/file.h"

/* A directory of this test's own, made by main. */
static char folder[] = "/tmp/gem_test_file_XXXXXX";

static char *in_folder(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

static void set_mtime(const char *path, time_t seconds, long nanoseconds)
{
    struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    if (utimensat(AT_FDCWD, path, times, 0) != 0)
        abort();
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* Opens what must be refused: the same from identify and from open. */
static void check_refused(const char *path, int code, const char *why)
{
    struct gem_file_id id;
    struct gem_err err;
    char wanted[300];
    int before = open_descriptors();
    snprintf(wanted, sizeof wanted, why, path);
    gem_err_clear(&err);
    CHECK(gem_file_identify(path, &id, &err) == -1);
    CHECK(err.kind == GEM_IO && err.code == code);
    CHECK_STR(err.text, wanted);
    gem_err_clear(&err);
    CHECK(gem_file_open(path, &id, &err) == -1);
    CHECK(err.kind == GEM_IO && err.code == code);
    CHECK_STR(err.text, wanted);
    CHECK(open_descriptors() == before);
}

static void test_what_is_no_readable_file_is_refused(void)
{
    char *path = in_folder("missing");
    check_refused(path, ENOENT, "cannot open %s: No such file or directory");
    check_refused(folder, EISDIR, "cannot read %s: Is a directory");
    check_refused("/dev/null", 0, "%s is not a regular file");
    path = in_folder("fifo");
    if (mkfifo(path, 0600) != 0)
        abort();
    alarm(30); /* ends the program where opening waits for a writer */
    check_refused(path, 0, "%s is not a regular file");
    alarm(0);
    path = in_folder("dangling");
    if (symlink("nowhere", path) != 0)
        abort();
    check_refused(path, ENOENT, "cannot open %s: No such file or directory");
}

static void test_what_may_not_be_read_is_refused(void)
{
    char *path = in_folder("secret");
    uid_t me = geteuid();
    write_file(path, "x");
    if (chmod(path, 0) != 0 || chmod(folder, 0755) != 0)
        abort();
    if (me == 0 && seteuid(65534) != 0) /* root reads everything */
        abort();
    check_refused(path, EACCES, "cannot open %s: Permission denied");
    if (me == 0 && seteuid(0) != 0)
        abort();
}

static void test_identity(void)
{
    char *path = in_folder("identity");
    struct gem_file_id a, b;
    struct stat st;
    write_file(path, "12345");
    set_mtime(path, 1700000000, 123456789);
    CHECK(gem_file_identify(path, &a, NULL) == 0);
    stat(path, &st);
    CHECK(a.size == 5 && a.mtime == INT64_C(1700000000123456789));
    CHECK(a.inode == (uint64_t)st.st_ino && a.device == (uint64_t)st.st_dev);
    set_mtime(path, -5, 1); /* before 1970 */
    CHECK(gem_file_identify(path, &b, NULL) == 0);
    CHECK(b.mtime == INT64_C(-4999999999));
    set_mtime(path, 15000000000, 0); /* in 2445, as far as ext4 counts; 64 bits of nanoseconds end in 2262 */
    CHECK(gem_file_identify(path, &b, NULL) == 0);
    CHECK(b.mtime != a.mtime);
}

static void test_a_link_is_the_file_behind_it(void)
{
    char target[200], *path;
    struct gem_file_id a, b;
    snprintf(target, sizeof target, "%s", in_folder("target"));
    write_file(target, "abc");
    path = in_folder("link");
    if (symlink(target, path) != 0)
        abort();
    CHECK(gem_file_identify(target, &a, NULL) == 0 && gem_file_identify(path, &b, NULL) == 0);
    CHECK(a.inode == b.inode && b.size == 3);
}

static void test_reading_by_position(void)
{
    char *path = in_folder("positions"), dst[12];
    struct gem_file_id id;
    struct gem_err err;
    size_t got = 99;
    int fd;
    write_file(path, "0123456789");
    fd = gem_file_open(path, &id, &err);
    if (!CHECK(fd >= 0))
        return;
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    for (int64_t at = 0; at <= 12; at++)
        for (size_t n = 0; n <= 12; n++) {
            size_t there = at >= 10 ? 0 : 10 - (size_t)at < n ? 10 - (size_t)at : n;
            char *exact = check_exact("            ", n);
            CHECK(gem_file_read_at(fd, at, exact, n, &got, &err) == 0);
            CHECK(got == there && memcmp(exact, &"0123456789"[at > 10 ? 10 : at], there) == 0);
            free(exact);
        }
    CHECK(lseek(fd, 0, SEEK_CUR) == 0); /* its own position has nothing to do with it */
    gem_file_close(fd);
    CHECK(fcntl(fd, F_GETFD) == -1);
    gem_err_clear(&err);
    CHECK(gem_file_read_at(fd, 0, dst, 1, &got, &err) == -1 && err.kind == GEM_IO && err.code == EBADF);
    gem_file_close(-1);
}

static void test_an_adopted_descriptor(void)
{
    char *path = in_folder("adopted"), dst[4];
    struct gem_file_id id;
    struct gem_err err;
    size_t got;
    int copy, before = open_descriptors();
    FILE *f;
    write_file(path, "abcdef");
    f = fopen(path, "rb");
    CHECK(fgetc(f) == 'a');
    copy = gem_file_adopt(gem_file_number(f), "the handle", &id, &err);
    if (!CHECK(copy > 2 && id.size == 6))
        return;
    CHECK(fcntl(copy, F_GETFD) & FD_CLOEXEC);
    CHECK(gem_file_read_at(copy, 3, dst, 2, &got, &err) == 0 && got == 2 && memcmp(dst, "de", 2) == 0);
    CHECK(fgetc(f) == 'b'); /* its owner reads on where it was */
    fclose(f);
    CHECK(gem_file_read_at(copy, 0, dst, 2, &got, &err) == 0 && got == 2 && memcmp(dst, "ab", 2) == 0);
    gem_file_close(copy);
    CHECK(open_descriptors() == before);
}

static void test_descriptors_that_cannot_be_adopted(void)
{
    char *path = in_folder("written");
    struct gem_file_id id;
    struct gem_err err;
    struct rlimit limit, none;
    int pipes[2], before = open_descriptors(), fd;
    if (pipe(pipes) != 0)
        abort();
    CHECK(gem_file_adopt(pipes[0], "the pipe", &id, &err) == -1 && err.kind == GEM_IO);
    CHECK_STR(err.text, "the pipe is not a regular file");
    close(pipes[0]);
    close(pipes[1]);
    CHECK(gem_file_adopt(pipes[0], "the pipe", &id, &err) == -1 && err.kind == GEM_IO && err.code == EBADF);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(gem_file_adopt(fd, "the handle", &id, &err) == -1 && err.kind == GEM_IO);
    CHECK_STR(err.text, "the handle is not open for reading");
    close(fd);
    fd = open(path, O_RDONLY);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &none);
    CHECK(gem_file_adopt(fd, "the handle", &id, &err) == -1 && err.kind == GEM_IO && err.code != 0);
    setrlimit(RLIMIT_NOFILE, &limit);
    close(fd);
    CHECK(open_descriptors() == before);
}

static void test_a_change_is_seen(void)
{
    static const char wanted[] = "%s changed while it was sent";
    char *path = in_folder("changing"), other[220], text[300];
    struct gem_file_id id;
    struct gem_err err;
    int fd;
    snprintf(text, sizeof text, wanted, path);
    write_file(path, "12345");
    set_mtime(path, 1700000000, 0);
    fd = gem_file_open(path, &id, NULL);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == 0);
    write_file(path, "123456");
    set_mtime(path, 1700000000, 0);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == -1 && err.kind == GEM_IO); /* grown */
    CHECK_STR(err.text, text);
    write_file(path, "1234");
    set_mtime(path, 1700000000, 0);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == -1); /* shrunk */
    write_file(path, "54321");
    set_mtime(path, 1700000000, 1);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == -1); /* rewritten, a nanosecond later */
    set_mtime(path, 1700000000, 0);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == 0);
    snprintf(other, sizeof other, "%s.new", path);
    write_file(other, "abcde");
    set_mtime(other, 1700000000, 0);
    CHECK(rename(other, path) == 0);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == 0); /* the open file is still the old one */
    gem_file_close(fd);
    fd = gem_file_open(path, &(struct gem_file_id){0}, NULL);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == -1);
    gem_file_close(fd);
    CHECK(gem_file_unchanged(fd, &id, path, &err) == -1 && err.kind == GEM_IO && err.code == EBADF);
}

static void test_hashed_certificates(void)
{
    static const char *const not_hashed[] = {"5ad8a5d6", "5ad8a5d6.r0", "5ad8a5d6.pem", "5ad8a5d.0", "5ad8a5d6a.0",
                                             "5AD8A5D6.0", "ca-certificates.crt"};
    char path[300];
    CHECK(!gem_file_has_hashed_certificates(in_folder("no such folder")));
    if (mkdir(in_folder("certificates"), 0700) != 0)
        abort();
    CHECK(!gem_file_has_hashed_certificates(in_folder("certificates")));
    for (size_t i = 0; i < sizeof not_hashed / sizeof *not_hashed; i++) {
        snprintf(path, sizeof path, "%s/certificates/%s", folder, not_hashed[i]);
        write_file(path, "");
        CHECK(!gem_file_has_hashed_certificates(in_folder("certificates")));
    }
    snprintf(path, sizeof path, "%s/certificates/5ad8a5d6.0", folder);
    write_file(path, "");
    CHECK(gem_file_has_hashed_certificates(in_folder("certificates")));
}

static void test_nothing_stays_open(void)
{
    struct gem_file_id id;
    int before = open_descriptors();
    char *path = in_folder("counted");
    write_file(path, "x");
    for (int i = 0; i < 100; i++) {
        CHECK(gem_file_identify(path, &id, NULL) == 0);
        CHECK(gem_file_identify(folder, &id, NULL) == -1);
        gem_file_has_hashed_certificates(folder);
    }
    CHECK(open_descriptors() == before);
}

int main(void)
{
    char command[100];
    if (mkdtemp(folder) == NULL)
        abort();
    RUN(test_what_is_no_readable_file_is_refused);
    RUN(test_what_may_not_be_read_is_refused);
    RUN(test_identity);
    RUN(test_a_link_is_the_file_behind_it);
    RUN(test_reading_by_position);
    RUN(test_an_adopted_descriptor);
    RUN(test_descriptors_that_cannot_be_adopted);
    RUN(test_a_change_is_seen);
    RUN(test_hashed_certificates);
    RUN(test_nothing_stays_open);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return check_done() != 0 || system(command) != 0;
}
