/* server [--sha256 TEXT] [--cert FILE --key FILE]: listens on two free ports of this machine, prints them as
 * "plain PORT" and "tls PORT", and serves until GET /quit, or until whoever started it is gone. */
#define _GNU_SOURCE

#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { DROPPED = 1 << 20, BATCH = 256 };

struct server server;

static int epoll = -1, timer = -1;
static int listeners[2]; /* plain, TLS */
static SSL_CTX *tls;
static struct conn *dead;

/* ---- connections ---- */

void conn_kill(struct conn *conn)
{
    if (conn->dead)
        return;
    conn->dead = true;
    conn->next_dead = dead;
    dead = conn;
}

static bool resets(const struct conn *conn)
{
    return conn->h2 == NULL && conn->job != NULL && conn->job->at_reset;
}

/* What the peer has sent, whether it was read or not. */
static int64_t wire_bytes(int fd)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? (int64_t)info.tcpi_bytes_received : 0;
}

static struct conn *held;

void conn_hold(struct conn *conn)
{
    struct epoll_event e = {.data.ptr = conn};
    epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &e);
    held = conn;
}

static void release_held(void)
{
    if (held != NULL) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = held};
        epoll_ctl(epoll, EPOLL_CTL_MOD, held->fd, &e);
    }
    held = NULL;
}

static void bury(struct conn *conn)
{
    held = held == conn ? NULL : held;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (resets(conn))
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    server.count.wire += wire_bytes(conn->fd);
    if (conn->h2 != NULL)
        http2_close(conn);
    else
        http1_close(conn);
    if (conn->shaken) { /* or the client would resume nothing from it */
        SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
    SSL_free(conn->ssl);
    close(conn->fd);
    free(conn->out);
    free(conn);
}

static void bury_dead(void)
{
    while (dead != NULL) {
        struct conn *conn = dead;
        dead = conn->next_dead;
        bury(conn);
    }
}

static void watch(struct conn *conn, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = conn};
    if (conn->watches_write != write)
        epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &e);
    conn->watches_write = write;
}

/* What a call on the connection that moved nothing means: wait, or it is over. */
static void note_failure(struct conn *conn, ssize_t result)
{
    if (conn->ssl == NULL) {
        if (result == 0 || (errno != EAGAIN && errno != EINTR))
            conn_kill(conn);
        return;
    }
    int why = SSL_get_error(conn->ssl, (int)result);
    ERR_clear_error();
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        conn_kill(conn);
}

size_t conn_receive(struct conn *conn, char *dst, size_t n)
{
    ssize_t got;
    if (conn->ssl != NULL)
        got = SSL_read(conn->ssl, dst != NULL ? dst : server.base, (int)n);
    else /* the kernel drops them without a copy */
        got = recv(conn->fd, dst != NULL ? dst : server.base, n, dst != NULL ? 0 : MSG_TRUNC);
    if (got > 0)
        return (size_t)got;
    note_failure(conn, got);
    return 0;
}

bool conn_flush(struct conn *conn)
{
    while (conn->out_at < conn->out_length) {
        size_t n = conn->out_length - conn->out_at;
        ssize_t sent = conn->ssl != NULL ? SSL_write(conn->ssl, conn->out + conn->out_at, (int)n)
                                         : send(conn->fd, conn->out + conn->out_at, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            note_failure(conn, sent < 0 || conn->ssl != NULL ? sent : -1);
            watch(conn, !conn->dead);
            return false;
        }
        conn->out_at += (size_t)sent;
    }
    watch(conn, false);
    return true;
}

static bool shake(struct conn *conn)
{
    if (conn->ssl == NULL || conn->shaken)
        return true;
    int result = SSL_accept(conn->ssl);
    if (result <= 0) {
        note_failure(conn, result);
        return false;
    }
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(conn->ssl, &name, &n);
    conn->shaken = true;
    server.count.tls++;
    server.count.resumed += SSL_session_reused(conn->ssl);
    if (n == 2 && memcmp(name, "h2", 2) == 0)
        http2_open(conn);
    return true;
}

static void serve(struct conn *conn, unsigned events)
{
    if (!shake(conn))
        return;
    if (events & EPOLLOUT)
        (conn->h2 != NULL ? http2_write : http1_write)(conn);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        do { /* what TLS has decrypted already is not reported again */
            if (!conn->dead)
                (conn->h2 != NULL ? http2_readable : http1_readable)(conn);
        } while (!conn->dead && conn->ssl != NULL && SSL_pending(conn->ssl) > 0);
}

static void welcome(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0)
        return;
    struct conn *conn = bench_alloc(sizeof *conn);
    conn->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (listener == listeners[1]) {
        conn->ssl = SSL_new(tls);
        SSL_set_fd(conn->ssl, fd);
        SSL_set_accept_state(conn->ssl);
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = conn};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    server.count.connections++;
}

/* ---- ticks ---- */

static struct conn *first_due;

static void note_due(struct job *job)
{
    struct conn *conn = job->conn;
    if (conn->h2 != NULL)
        http2_due(job);
    if (conn->due)
        return;
    conn->due = true;
    conn->next_due = first_due;
    first_due = conn;
}

static void tick(void)
{
    uint64_t times;
    if (read(timer, &times, sizeof times) < 0)
        return;
    server.allowance = server.shape * BENCH_TICK / 1000 * (int64_t)times;
    release_held();
    first_due = NULL;
    job_tick(note_due);
    for (struct conn *conn = first_due; conn != NULL; conn = conn->next_due) {
        conn->due = false;
        (conn->h2 != NULL ? http2_write : http1_write)(conn);
    }
}

/* ---- set-up ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                           unsigned length, void *ud)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl, (void)ud;
    int found = SSL_select_next_proto((unsigned char **)out, n, ours, sizeof ours - 1, in, length);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void open_tls(const char *cert, const char *key)
{
    tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 || SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        bench_die("cannot use the certificate %s", cert);
}

static int listen_somewhere(const char *name)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) < 0)
        bench_die("cannot listen: %s", strerror(errno));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    e.data.ptr = &listeners[strcmp(name, "tls") == 0];
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    printf("%s %d\n", name, ntohs(address.sin_port));
    return fd;
}

static void open_timer(void)
{
    struct itimerspec each = {.it_interval.tv_nsec = BENCH_TICK * 1000000, .it_value.tv_nsec = BENCH_TICK * 1000000};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &timer};
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    timerfd_settime(timer, 0, &each, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
}

static void run(void)
{
    struct epoll_event events[BATCH];
    while (!server.quit) {
        int n = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &timer)
                tick();
            else if (what == &listeners[0] || what == &listeners[1])
                welcome(*(int *)what);
            else if (!((struct conn *)what)->dead)
                serve(what, events[i].events);
        }
        bury_dead();
    }
}

int main(int argc, char **argv)
{
    const char *cert = NULL, *key = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--sha256") == 0)
            snprintf(server.sha256, sizeof server.sha256, "%s", argv[i + 1]);
        else if (strcmp(argv[i], "--cert") == 0)
            cert = argv[i + 1];
        else if (strcmp(argv[i], "--key") == 0)
            key = argv[i + 1];
        else
            bench_die("no option %s", argv[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    server.base = bench_alloc(DROPPED);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    listeners[0] = listen_somewhere("plain");
    if (cert != NULL && key != NULL) {
        open_tls(cert, key);
        listeners[1] = listen_somewhere("tls");
    }
    open_timer();
    fflush(stdout);
    run();
    return 0;
}
