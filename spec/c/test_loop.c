#include "check.h"

#include <arpa/inet.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../../src/net/loop.h"

/* loop.c once more under names of this file's own, with a poller that refuses to watch on demand, and counts how often it
 * is asked. What else the loop does is for spec/core/loop_spec.lua. */
static int refusing;

static int refusing_set(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err)
{
    if (refusing && events != 0)
        return gem_err_set(err, GEM_IO, 12, "no memory in the kernel");
    return gem_poller_set(poller, fd, events, tag, err);
}

/* Takes what a peer takes, before the wait and while it lasts: the kernel may bring bytes late, and nothing moves after
 * that until they are taken. */
static int waits, peer = -1;

static int counting_wait(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max,
                         struct gem_err *err)
{
    char taken[16384];
    double end = gem_now() + seconds, left = seconds;
    int n;
    waits++;
    if (peer < 0)
        return gem_poller_wait(poller, seconds, ready, max, err);
    do {
        if (recv(peer, taken, sizeof taken, MSG_DONTWAIT) == 0)
            abort();
        n = gem_poller_wait(poller, left < 0.001 ? left : 0.001, ready, max, err);
    } while (n == 0 && (left = end - gem_now()) > 0);
    return n;
}

#define gem_poller_set refusing_set
#define gem_poller_wait counting_wait
#define gem_loop_open tested_open
#define gem_loop_close tested_close
#define gem_loop_is_ours tested_is_ours
#define gem_loop_add tested_add
#define gem_loop_remove tested_remove
#define gem_loop_step tested_step
#define gem_loop_next tested_next
#define gem_loop_timeout tested_timeout
#define gem_loop_fd tested_fd
int gem_loop_open(struct gem_loop *loop, const struct gem_mem *mem, struct gem_err *err);
void gem_loop_close(struct gem_loop *loop);
bool gem_loop_is_ours(const struct gem_loop *loop);
void gem_loop_add(struct gem_loop *loop, struct gem_exchange *ex, enum gem_lane_name lane, struct gem_share *share);
void gem_loop_remove(struct gem_exchange *ex);
int gem_loop_step(struct gem_loop *loop, double budget, double max_wait, struct gem_err *err);
struct gem_exchange *gem_loop_next(struct gem_loop *loop);
double gem_loop_timeout(const struct gem_loop *loop);
int gem_loop_fd(const struct gem_loop *loop);
#include "../../src/net/loop.c"

/* A socket that listens, with a small buffer for each connection; its address in url. */
static int listen_on(char *url, size_t n)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 16384;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0 ||
        bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        abort();
    snprintf(url, n, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    return fd;
}

static void open_exchange(struct gem_exchange *ex, const char *url, const struct gem_body *body)
{
    struct gem_err err;
    struct gem_request request = {.method = body == NULL ? "GET" : "POST", .url = url, .proxy = "", .body = body,
                                  .length = body == NULL ? 0 : body->length, .limits = {10000, 10000, 10000, 10000}};
    memset(ex, 0, sizeof *ex);
    if (!CHECK(gem_exchange_open(ex, gem_mem_default(), &request, &err) == 0))
        abort();
}

static void check_failed(const struct gem_exchange *ex)
{
    CHECK(ex->phase == GEM_PHASE_DONE && ex->failed && ex->err->kind == GEM_IO);
    CHECK_STR(ex->err->text, "no memory in the kernel");
}

static void open_loop(struct gem_loop *loop)
{
    struct gem_err err;
    memset(loop, 0, sizeof *loop);
    if (!CHECK(gem_loop_open(loop, gem_mem_default(), &err) == 0))
        abort();
}

/* libcurl gives a multi handle up for good then; so do we, and say why. */
static void test_a_socket_that_cannot_be_watched(void)
{
    char url[100];
    int listener = listen_on(url, sizeof url);
    struct gem_loop loop;
    struct gem_exchange list[4];
    struct gem_err err;
    open_loop(&loop);
    for (int i = 0; i < 4; i++)
        open_exchange(&list[i], url, NULL);
    gem_loop_add(&loop, &list[0], GEM_LANE_CALLS, NULL);
    gem_loop_add(&loop, &list[1], GEM_LANE_BULK, NULL);
    CHECK(gem_loop_step(&loop, HUGE_VAL, 0, &err) >= 0);
    gem_loop_add(&loop, &list[2], GEM_LANE_CALLS, NULL);
    refusing = 1;
    for (int i = 0; i < 100 && loop.trouble.kind == GEM_OK; i++)
        gem_loop_step(&loop, HUGE_VAL, 0.01, &err);
    refusing = 0;
    gem_err_clear(&err);
    CHECK(gem_loop_step(&loop, HUGE_VAL, 0, &err) == -1 && err.kind == GEM_IO);
    CHECK_STR(err.text, "no memory in the kernel");
    for (int i = 0; i < 3; i++)
        check_failed(&list[i]);
    gem_loop_add(&loop, &list[3], GEM_LANE_CALLS, NULL);
    CHECK(gem_loop_step(&loop, HUGE_VAL, 0, &err) == -1 && err.kind == GEM_IO);
    check_failed(&list[3]);
    for (int told = 0; gem_loop_next(&loop) != NULL; told++)
        CHECK(told < 4);
    gem_loop_remove(&list[2]);
    gem_exchange_close(&list[2]);
    gem_loop_close(&loop);
    for (int i = 0; i < 4; i++)
        gem_exchange_close(&list[i]);
    close(listener);
}

static int small_buffer(void *ud, curl_socket_t fd, curlsocktype purpose)
{
    int small = 16384;
    (void)ud, (void)purpose;
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0 ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
}

/* Steps until nothing moves any more. */
static void settle(struct gem_loop *loop, const struct gem_exchange *ex)
{
    int64_t last = -1;
    struct gem_err err;
    while (last != ex->uploaded) {
        last = ex->uploaded;
        for (int i = 0; i < 4; i++)
            CHECK(gem_loop_step(loop, HUGE_VAL, 0.002, &err) >= 0);
    }
}

/* An upload of a file over small buffers to a peer that takes nothing by itself. */
struct upload {
    struct gem_loop loop;
    struct gem_exchange ex;
    struct gem_body body;
    int listener, server, file;
    char path[40];
};

static void begin_upload(struct upload *up)
{
    char url[100];
    struct gem_err err;
    memset(up, 0, sizeof *up);
    strcpy(up->path, "/tmp/gem_test_loop_XXXXXX");
    up->listener = listen_on(url, sizeof url);
    up->file = mkstemp(up->path);
    gem_body_init(&up->body, gem_mem_default());
    if (!CHECK(up->file >= 0 && ftruncate(up->file, 1200000) == 0 &&
               gem_body_add_file(&up->body, up->path, false, &err) == 0))
        abort();
    open_loop(&up->loop);
    open_exchange(&up->ex, url, &up->body);
    curl_easy_setopt(up->ex.handle->easy, CURLOPT_SOCKOPTFUNCTION, small_buffer);
    gem_loop_add(&up->loop, &up->ex, GEM_LANE_BULK, NULL);
    while (up->ex.sent == 0)
        CHECK(gem_loop_step(&up->loop, HUGE_VAL, 0.005, &err) >= 0);
    up->server = accept(up->listener, NULL, NULL);
}

static void end_upload(struct upload *up)
{
    gem_loop_remove(&up->ex);
    gem_exchange_close(&up->ex);
    gem_loop_close(&up->loop);
    gem_body_free(&up->body);
    close(up->server);
    close(up->listener);
    close(up->file);
    unlink(up->path);
}

/* libcurl asks for half a megabyte of a file at once and sends it bit by bit: each bit winds the clock, also when all
 * has been asked for. */
static void test_bytes_that_leave_wind_the_clock(void)
{
    struct upload up;
    struct gem_exchange *ex = &up.ex;
    char taken[20000];
    int quiet = 0, waited = 0;
    begin_upload(&up);
    settle(&up.loop, ex);
    while (ex->uploaded < up.body.length && up.server >= 0) {
        int64_t sent = ex->sent, uploaded = ex->uploaded;
        double since = ex->since;
        CHECK(read(up.server, taken, sizeof taken) > 0);
        settle(&up.loop, ex);
        if (ex->sent != sent || ex->uploaded == uploaded)
            continue;
        if (!CHECK(ex->since > since))
            break;
        quiet++;
        waited += ex->phase == GEM_PHASE_WAITING;
    }
    CHECK(quiet > 10 && waited > 3);
    end_upload(&up);
}

/* Lua has nothing to do between two reports of a socket. How many come within a step's time is for the machine to say. */
static void test_a_step_that_waits_goes_on(void)
{
    struct upload up;
    struct gem_exchange *ex = &up.ex;
    struct gem_err err;
    int steps = 0, early = 0;
    begin_upload(&up);
    peer = up.server;
    for (waits = 0; ex->uploaded < up.body.length && ex->phase != GEM_PHASE_DONE; steps++) {
        double begin = gem_now();
        CHECK(gem_loop_step(&up.loop, HUGE_VAL, 10, &err) >= 0);
        early += gem_now() - begin < TURNS;
    }
    CHECK(ex->uploaded == up.body.length && waits > steps && early <= 2); /* one that a clock ends, and the last */
    for (steps = waits = 0; steps < 8; steps++)
        CHECK(gem_loop_step(&up.loop, HUGE_VAL, 0, &err) >= 0 && gem_loop_step(&up.loop, 0.1, 0.001, &err) >= 0);
    CHECK(waits == 2 * steps);
    peer = -1;
    end_upload(&up);
}

static void test_a_step_alone_uses_its_budget(void)
{
    struct upload up;
    struct gem_err err;
    int steps = 0;
    begin_upload(&up);
    peer = up.server;
    for (waits = 0; steps < 5; steps++)
        CHECK(gem_loop_step(&up.loop, 1, 10, &err) >= 0);
    CHECK(waits == steps && up.ex.uploaded < up.body.length);
    up.loop.alone = true;
    for (steps = waits = 0; up.ex.uploaded < up.body.length && up.ex.phase != GEM_PHASE_DONE; steps++)
        CHECK(gem_loop_step(&up.loop, 1, 10, &err) >= 0);
    CHECK(up.ex.uploaded == up.body.length && waits > steps);
    peer = -1;
    end_upload(&up);
}

/* It keeps nothing of the loop's, or that would leak. */
static void test_an_exchange_let_go_of_outlives_the_loop(void)
{
    char url[100];
    int listener = listen_on(url, sizeof url);
    struct gem_loop loop;
    struct gem_exchange ex;
    struct gem_err err;
    open_loop(&loop);
    open_exchange(&ex, url, NULL);
    gem_loop_add(&loop, &ex, GEM_LANE_CALLS, NULL);
    CHECK(gem_loop_step(&loop, HUGE_VAL, 0, &err) >= 0);
    gem_loop_remove(&ex);
    gem_loop_close(&loop);
    gem_exchange_close(&ex);
    close(listener);
}

/* The child of a fork lets go of all that it has of its parent's loop. */
static void close_in_a_child(struct gem_loop *loop, struct gem_exchange *ex)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        check_failures = 0;
        CHECK(!gem_loop_is_ours(loop));
        gem_loop_remove(ex);
        gem_exchange_close(ex);
        gem_loop_close(loop);
        _exit(check_failures > 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(gem_loop_is_ours(loop));
}

/* Steps until the exchange is done, if it ever is. */
static void finish(struct gem_loop *loop, struct gem_exchange *ex)
{
    struct gem_err err;
    for (int i = 0; i < 500 && ex->phase != GEM_PHASE_DONE; i++)
        CHECK(gem_loop_step(loop, HUGE_VAL, 0.01, &err) >= 0);
    CHECK(ex->phase == GEM_PHASE_DONE && !ex->failed);
}

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* A whole exchange with the peer in *server, which is welcomed where it is -1. */
static void exchange_once(struct gem_loop *loop, const char *url, int listener, int *server)
{
    char taken[1000];
    struct gem_exchange ex;
    struct gem_err err;
    open_exchange(&ex, url, NULL);
    gem_loop_add(loop, &ex, GEM_LANE_CALLS, NULL);
    for (int i = 0; i < 500 && ex.phase != GEM_PHASE_WAITING; i++)
        CHECK(gem_loop_step(loop, HUGE_VAL, 0.01, &err) >= 0);
    if (*server < 0)
        *server = accept(listener, NULL, NULL);
    CHECK(read(*server, taken, sizeof taken) > 0);
    CHECK(write(*server, answer, sizeof answer - 1) == sizeof answer - 1);
    finish(loop, &ex);
    gem_loop_remove(&ex);
    gem_exchange_close(&ex);
}

/* The kernel keeps watching a connection that waits for the next request, until its peer closes it, or libcurl does. */
static void test_a_kept_connection_rests(void)
{
    char url[100];
    int listener = listen_on(url, sizeof url), server = -1;
    struct gem_loop loop;
    struct gem_err err;
    open_loop(&loop);
    exchange_once(&loop, url, listener, &server);
    int resting = loop.poller.rest_count; /* none where the system has no epoll */
    CHECK(resting <= 1);
    exchange_once(&loop, url, listener, &server);
    CHECK(loop.poller.rest_count == resting);
    close(server);
    for (int i = 0; i < 500 && loop.poller.rest_count > 0; i++)
        CHECK(gem_loop_step(&loop, HUGE_VAL, 0.01, &err) >= 0);
    CHECK(loop.poller.rest_count == 0);
    server = -1;
    exchange_once(&loop, url, listener, &server);
    CHECK(loop.poller.rest_count == resting);
    gem_loop_close(&loop);
    CHECK(loop.poller.rest_count == 0);
    close(server);
    close(listener);
}

/* What is in flight comes to its end, and the connection is used again. */
static void test_a_child_leaves_its_parents_connections(void)
{
    char url[100], taken[1000];
    int listener = listen_on(url, sizeof url), server = -1;
    struct gem_loop loop;
    struct gem_exchange ex;
    struct gem_err err;
    open_loop(&loop);
    for (int i = 0; i < 2; i++) {
        open_exchange(&ex, url, NULL);
        gem_loop_add(&loop, &ex, GEM_LANE_CALLS, NULL);
        for (int k = 0; k < 500 && ex.phase != GEM_PHASE_WAITING; k++)
            CHECK(gem_loop_step(&loop, HUGE_VAL, 0.01, &err) >= 0);
        if (server < 0)
            server = accept(listener, NULL, NULL);
        CHECK(read(server, taken, sizeof taken) > 0);
        close_in_a_child(&loop, &ex);
        CHECK(write(server, answer, sizeof answer - 1) == sizeof answer - 1);
        finish(&loop, &ex);
        gem_loop_remove(&ex);
        gem_exchange_close(&ex);
        close_in_a_child(&loop, &ex);
    }
    gem_loop_close(&loop);
    close(server);
    close(listener);
}

/* It leaves its places to others, of its server too. */
static void test_an_exchange_that_libcurl_does_not_take(void)
{
    struct gem_loop loop;
    struct gem_exchange ex;
    struct gem_err err;
    struct gem_share share = {.max = 1};
    CURLM *elsewhere = curl_multi_init();
    open_loop(&loop);
    open_exchange(&ex, "https://127.0.0.1:1/", NULL);
    loop.hosts[0].origin = ex.origin;
    CHECK(curl_multi_add_handle(elsewhere, ex.handle->easy) == CURLM_OK); /* so that another one refuses it */
    gem_loop_add(&loop, &ex, GEM_LANE_CALLS, &share);
    CHECK(gem_loop_step(&loop, HUGE_VAL, 0, &err) >= 0);
    CHECK(ex.phase == GEM_PHASE_DONE && ex.failed && ex.err->kind == GEM_LIMIT);
    CHECK(share.active == 0 && loop.hosts[0].active == 0 && !loop.full);
    gem_loop_remove(&ex);
    gem_exchange_close(&ex);
    gem_loop_close(&loop);
    curl_multi_cleanup(elsewhere);
}

int main(void)
{
    RUN(test_a_step_that_waits_goes_on);
    RUN(test_a_step_alone_uses_its_budget);
    RUN(test_bytes_that_leave_wind_the_clock);
    RUN(test_a_socket_that_cannot_be_watched);
    RUN(test_an_exchange_let_go_of_outlives_the_loop);
    RUN(test_a_kept_connection_rests);
    RUN(test_a_child_leaves_its_parents_connections);
    RUN(test_an_exchange_that_libcurl_does_not_take);
    return check_done();
}
