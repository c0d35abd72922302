#define _GNU_SOURCE

#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SLICE = 128 << 10 };

static const double frame = 1.0 / 60;

static int connect_to(const char *url)
{
    const char *colon = strrchr(url, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_port = htons((uint16_t)(colon != NULL ? atoi(colon + 1) : 0));
    if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) < 0)
        bench_die("cannot connect to %s", url);
    return s;
}

struct sender {
    int socket, file;
    off_t at, size;
    size_t have, sent; /* of the slice */
    EVP_MD_CTX *hash;
    char slice[SLICE];
};

static void read_slice(struct sender *s)
{
    ssize_t got = pread(s->file, s->slice, SLICE, s->at);
    if (got <= 0)
        bench_die("cannot read the file");
    s->at += got;
    s->have = (size_t)got;
    s->sent = 0;
    EVP_DigestUpdate(s->hash, s->slice, s->have);
}

/* Until the instant, or until the socket takes no more; with 0 to the end, blocking. Whether there is more to send. */
static int send_until(struct sender *s, double end)
{
    while (s->sent < s->have || s->at < s->size) {
        if (s->sent == s->have)
            read_slice(s);
        ssize_t n = send(s->socket, s->slice + s->sent, s->have - s->sent, MSG_NOSIGNAL | (end > 0 ? MSG_DONTWAIT : 0));
        if (n < 0 && errno != EAGAIN)
            bench_die("cannot send");
        s->sent += n > 0 ? (size_t)n : 0;
        if (n < 0 || (end > 0 && bench_now() >= end))
            return 1;
    }
    return 0;
}

static void sleep_until(double due)
{
    double rest = due - bench_now();
    if (rest > 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)(rest * 1e9)}, NULL);
}

void limit_frames(const char *url, const char *path, double budget)
{
    char head[200], answer[512];
    struct sender *s = bench_alloc(sizeof *s);
    *s = (struct sender){.socket = connect_to(url), .file = open(path, O_RDONLY), .hash = EVP_MD_CTX_new()};
    s->size = lseek(s->file, 0, SEEK_END);
    EVP_DigestInit_ex(s->hash, EVP_sha256(), NULL);
    int n = snprintf(head, sizeof head, "POST /v1beta/models/small:generateContent HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                     "Content-Length: %lld\r\n\r\n", (long long)s->size);
    if (send(s->socket, head, (size_t)n, MSG_NOSIGNAL) != n)
        bench_die("cannot send");
    double due = bench_now(), cpu = 0, begin;
    int more;
    do {
        begin = bench_cpu();
        more = send_until(s, budget > 0 ? bench_now() + budget : 0);
        cpu += bench_cpu() - begin;
        due += frame;
        if (more)
            sleep_until(due);
    } while (more);
    if (recv(s->socket, answer, sizeof answer, 0) <= 0)
        bench_die("no answer");
    bench_print("cpu", cpu);
}
