#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "../../src/net/poller.h"

/* poller.c once more, with poll, under names of this file's own: all tests run with both. */
#define GEM_USE_POLL
#define gem_now polled_now
#define gem_process polled_process
#define gem_poller_open polled_open
#define gem_poller_close polled_close
#define gem_poller_set polled_set
#define gem_poller_rest polled_rest
#define gem_poller_end polled_end
#define gem_poller_wait polled_wait
#define gem_poller_alarm polled_alarm
double gem_now(void);
long gem_process(void);
int gem_poller_open(struct gem_poller *poller, const struct gem_mem *mem, struct gem_err *err);
void gem_poller_close(struct gem_poller *poller);
int gem_poller_set(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err);
void gem_poller_rest(struct gem_poller *poller, int fd);
int gem_poller_end(struct gem_poller *poller, int fd);
int gem_poller_wait(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max, struct gem_err *err);
int gem_poller_alarm(struct gem_poller *poller, double seconds, struct gem_err *err);
#include "../../src/net/poller.c"
#undef gem_now
#undef gem_process
#undef gem_poller_alarm
#undef gem_poller_open
#undef gem_poller_close
#undef gem_poller_set
#undef gem_poller_rest
#undef gem_poller_end
#undef gem_poller_wait

static const struct variant {
    const char *name;
    int (*open)(struct gem_poller *poller, const struct gem_mem *mem, struct gem_err *err);
    void (*close)(struct gem_poller *poller);
    int (*set)(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err);
    void (*rest)(struct gem_poller *poller, int fd);
    int (*end)(struct gem_poller *poller, int fd);
    int (*wait)(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max, struct gem_err *err);
} variants[] = {{"the kernel's queue", gem_poller_open, gem_poller_close, gem_poller_set, gem_poller_rest, gem_poller_end,
                 gem_poller_wait},
                {"poll", polled_open, polled_close, polled_set, polled_rest, polled_end, polled_wait}};

/* The variant and the poller under test. */
static const struct variant *v;
static struct gem_poller poller;
static struct gem_err err;

static void with_both(void (*test)(void))
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        int before = check_failures;
        struct check_mem m;
        v = &variants[i];
        check_mem_init(&m);
        gem_err_clear(&err);
        if (!CHECK(v->open(&poller, &m.mem, &err) == 0))
            continue;
        test();
        v->close(&poller);
        v->close(&poller); /* twice is fine */
        CHECK(m.blocks == 0);
        if (check_failures != before)
            printf("# with %s\n", v->name);
    }
}

#define BOTH(test) \
    static void test_##test(void) \
    { \
        with_both(test); \
    }

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static void make_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
}

static void close_pair(const int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static void put(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

static void take(int fd)
{
    char c;
    CHECK(read(fd, &c, 1) == 1);
}

/* The events reported for fd without waiting, or -1 with a wrong tag or two reports. */
static int seen(int fd, int tag)
{
    struct gem_ready ready[8];
    int events = 0, n = v->wait(&poller, 0, ready, 8, &err);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++)
        if (ready[i].fd == fd) {
            if (events != 0 || ready[i].tag != tag)
                return -1;
            events = ready[i].events;
        }
    return events;
}

static void reports_what_is_ready(void)
{
    int pair[2];
    make_pair(pair);
    CHECK(seen(pair[0], 0) == 0);
    CHECK(v->set(&poller, pair[0], GEM_READABLE, 7, &err) == 0);
    CHECK(seen(pair[0], 7) == 0);
    put(pair[1]);
    CHECK(seen(pair[0], 7) == GEM_READABLE);
    CHECK(seen(pair[0], 7) == GEM_READABLE); /* until it is taken */
    take(pair[0]);
    CHECK(seen(pair[0], 7) == 0);
    close_pair(pair);
}
BOTH(reports_what_is_ready)

static void watches_what_it_was_told_last(void)
{
    int pair[2];
    make_pair(pair);
    CHECK(v->set(&poller, pair[0], GEM_WRITABLE, 1, &err) == 0);
    CHECK(seen(pair[0], 1) == GEM_WRITABLE);
    put(pair[1]);
    CHECK(seen(pair[0], 1) == GEM_WRITABLE);
    CHECK(v->set(&poller, pair[0], GEM_READABLE | GEM_WRITABLE, 2, &err) == 0);
    CHECK(seen(pair[0], 2) == (GEM_READABLE | GEM_WRITABLE));
    CHECK(v->set(&poller, pair[0], GEM_READABLE, 3, &err) == 0);
    CHECK(seen(pair[0], 3) == GEM_READABLE);
    CHECK(v->set(&poller, pair[0], 0, 3, &err) == 0);
    CHECK(seen(pair[0], 3) == 0);
    CHECK(v->set(&poller, pair[0], 0, 3, &err) == 0); /* forgetting what is not there is fine */
    CHECK(v->set(&poller, pair[0], GEM_READABLE, 4, &err) == 0);
    CHECK(seen(pair[0], 4) == GEM_READABLE);
    close_pair(pair);
}
BOTH(watches_what_it_was_told_last)

static void several_are_told_apart(void)
{
    int pairs[3][2];
    for (int i = 0; i < 3; i++) {
        make_pair(pairs[i]);
        CHECK(v->set(&poller, pairs[i][0], GEM_READABLE, i % 2, &err) == 0);
    }
    put(pairs[2][1]);
    CHECK(seen(pairs[0][0], 0) == 0 && seen(pairs[1][0], 1) == 0 && seen(pairs[2][0], 0) == GEM_READABLE);
    CHECK(v->set(&poller, pairs[0][0], 0, 0, &err) == 0); /* the first goes: the others stay as they are */
    put(pairs[0][1]);
    put(pairs[1][1]);
    CHECK(seen(pairs[0][0], 0) == 0 && seen(pairs[1][0], 1) == GEM_READABLE && seen(pairs[2][0], 0) == GEM_READABLE);
    for (int i = 0; i < 3; i++)
        close_pair(pairs[i]);
}
BOTH(several_are_told_apart)

static void a_peer_that_went_is_reported(void)
{
    int pair[2];
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            make_pair(pair);
        else
            CHECK(pipe(pair) == 0); /* which some systems call trouble and not readable */
        CHECK(v->set(&poller, pair[0], GEM_READABLE, 1, &err) == 0);
        close(pair[1]);
        CHECK(seen(pair[0], 1) & (GEM_READABLE | GEM_TROUBLE));
        CHECK(v->set(&poller, pair[0], 0, 1, &err) == 0);
        close(pair[0]);
    }
}
BOTH(a_peer_that_went_is_reported)

static void a_number_is_used_again(void)
{
    int a[2], b[2];
    make_pair(a);
    CHECK(v->set(&poller, a[0], GEM_READABLE, 0, &err) == 0);
    CHECK(v->set(&poller, a[0], 0, 0, &err) == 0);
    close_pair(a);
    make_pair(b);
    CHECK(b[0] == a[0]);
    CHECK(seen(b[0], 1) == 0);
    CHECK(v->set(&poller, b[0], GEM_WRITABLE, 1, &err) == 0);
    CHECK(seen(b[0], 1) == GEM_WRITABLE);
    close_pair(b);
    /* closed before it was forgotten */
    CHECK(v->set(&poller, b[0], 0, 1, &err) == 0);
    make_pair(a);
    CHECK(v->set(&poller, a[0], GEM_WRITABLE, 0, &err) == 0);
    CHECK(seen(a[0], 0) == GEM_WRITABLE);
    close_pair(a);
}
BOTH(a_number_is_used_again)

/* Of what rests nothing is reported, not even that the peer went, and neither does the queue's descriptor tell of it. */
static void what_rests_is_not_reported(void)
{
    int pairs[GEM_RESTING + 4][2];
    for (int i = 0; i < GEM_RESTING + 4; i++) {
        make_pair(pairs[i]);
        CHECK(v->set(&poller, pairs[i][0], GEM_READABLE, i, &err) == 0);
        v->rest(&poller, pairs[i][0]);
    }
    v->rest(&poller, pairs[0][0]); /* twice is fine */
    for (int i = 0; i < GEM_RESTING + 4; i++)
        put(pairs[i][1]);
    CHECK(seen(pairs[0][0], 0) == 0 && seen(pairs[GEM_RESTING + 3][0], GEM_RESTING + 3) == 0);
    for (int i = 0; i < GEM_RESTING + 4 && poller.fd >= 0; i++)
        CHECK(seen(pairs[i][0], i) == 0); /* looks as often as all of them need */
    CHECK(poller.fd < 0 || poll(&(struct pollfd){poller.fd, POLLIN, 0}, 1, 0) == 0);
    for (int i = 0; i < GEM_RESTING + 4; i++) {
        CHECK(v->set(&poller, pairs[i][0], GEM_READABLE, i + 1, &err) == 0);
        CHECK(seen(pairs[i][0], i + 1) == GEM_READABLE);
        CHECK(v->set(&poller, pairs[i][0], 0, 0, &err) == 0);
        close_pair(pairs[i]);
    }
}
BOTH(what_rests_is_not_reported)

/* Set again before anybody looked, as connections mostly are. */
static void what_rested_is_watched_again(void)
{
    int pair[2];
    make_pair(pair);
    for (int i = 0; i < 3; i++) {
        CHECK(v->set(&poller, pair[0], GEM_READABLE, i, &err) == 0);
        v->rest(&poller, pair[0]);
        CHECK(v->set(&poller, pair[0], GEM_READABLE, i + 3, &err) == 0);
        put(pair[1]);
        CHECK(seen(pair[0], i + 3) == GEM_READABLE);
        take(pair[0]);
    }
    v->rest(&poller, pair[0]);
    CHECK(v->set(&poller, pair[0], 0, 0, &err) == 0);
    put(pair[1]);
    CHECK(seen(pair[0], 0) == 0);
    close_pair(pair);
}
BOTH(what_rested_is_watched_again)

/* Though another process has the connection, too, and it stays open there. */
static void what_ends_is_forgotten(void)
{
    int pair[2], again[2], elsewhere;
    make_pair(pair);
    elsewhere = dup(pair[0]);
    CHECK(v->set(&poller, pair[0], GEM_READABLE, 1, &err) == 0);
    v->rest(&poller, pair[0]);
    CHECK(v->end(&poller, pair[0]) == 0 && fcntl(pair[0], F_GETFD) == -1);
    put(pair[1]);
    CHECK(seen(pair[0], 1) == 0);
    CHECK(poller.fd < 0 || poll(&(struct pollfd){poller.fd, POLLIN, 0}, 1, 0) == 0);
    make_pair(again);
    CHECK(again[0] == pair[0]);
    CHECK(v->set(&poller, again[0], GEM_WRITABLE, 2, &err) == 0 && seen(again[0], 2) == GEM_WRITABLE);
    CHECK(v->set(&poller, again[0], 0, 0, &err) == 0);
    close_pair(again);
    close(pair[1]);
    close(elsewhere);
}
BOTH(what_ends_is_forgotten)

enum { MANY = 200 };

/* However few reports are taken at a time, each of many descriptors has its turn. */
static void none_starves(void)
{
    int pairs[MANY][2], had[MANY] = {0}, missing = MANY;
    struct gem_ready ready[7];
    for (int i = 0; i < MANY; i++) {
        make_pair(pairs[i]);
        put(pairs[i][1]);
        CHECK(v->set(&poller, pairs[i][0], GEM_READABLE, i, &err) == 0);
    }
    for (int round = 0; round < 2 * MANY / 7 && missing > 0; round++) {
        int n = v->wait(&poller, 10, ready, 7, &err);
        CHECK(n > 0 && n <= 7);
        for (int i = 0; i < n; i++) {
            CHECK(ready[i].fd == pairs[ready[i].tag][0] && ready[i].events == GEM_READABLE);
            missing -= had[ready[i].tag]++ == 0;
        }
    }
    CHECK(missing == 0);
    for (int i = 0; i < MANY; i++) {
        CHECK(v->set(&poller, pairs[i][0], 0, 0, &err) == 0);
        close_pair(pairs[i]);
    }
    CHECK(v->wait(&poller, 0, ready, 7, &err) == 0);
}
BOTH(none_starves)

static volatile sig_atomic_t rang;

static void on_alarm(int signal)
{
    (void)signal;
    rang = 1;
}

static void ring_in(long microseconds)
{
    struct itimerval timer = {{0, 0}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Waiting ends with an event, a signal, or the time, whichever comes first. */
static void waits(void)
{
    static const double times[] = {0, 1e-9, 0.0009, 0.001, 0.0019};
    struct sigaction action = {.sa_handler = on_alarm};
    struct gem_ready ready[2];
    int pair[2];
    make_pair(pair);
    sigaction(SIGALRM, &action, NULL);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        double begin = gem_now();
        CHECK(v->wait(&poller, times[i], ready, 2, &err) == 0);
        CHECK(gem_now() - begin >= times[i]);
    }
    rang = 0;
    ring_in(20000);
    while (!rang)
        CHECK(v->wait(&poller, HUGE_VAL, ready, 2, &err) == 0);
    CHECK(v->set(&poller, pair[0], GEM_READABLE, 0, &err) == 0);
    put(pair[1]);
    CHECK(v->wait(&poller, HUGE_VAL, ready, 2, &err) == 1 && ready[0].fd == pair[0]);
    CHECK(v->wait(&poller, 1e300, ready, 2, &err) == 1);
    close_pair(pair);
}
BOTH(waits)

static void nothing_stays_open(void)
{
    struct gem_poller other;
    int before = open_descriptors();
    CHECK(v->open(&other, gem_mem_default(), &err) == 0);
    CHECK(other.fd == -1 || (fcntl(other.fd, F_GETFD) & FD_CLOEXEC));
    v->close(&other);
    CHECK(open_descriptors() == before && other.fd == -1);
}
BOTH(nothing_stays_open)

static void test_time_goes_on(void)
{
    double last = gem_now();
    for (int i = 0; i < 1000; i++) {
        double now = gem_now();
        CHECK(now >= last);
        last = now;
    }
    CHECK(last > 0);
    while (gem_now() == last) /* it is finer than a second, or this would be long */
        continue;
}

static void test_the_system_may_refuse(void)
{
    struct rlimit limit, none;
    struct gem_poller other;
    if (!CHECK(gem_poller_open(&other, gem_mem_default(), &err) == 0))
        return;
    if (other.fd >= 0) {
        CHECK(gem_poller_set(&other, -1, GEM_READABLE, 0, &err) == -1 && err.kind == GEM_IO && err.code == EBADF);
        CHECK(strlen(err.text) > 8);
    }
    gem_poller_close(&other);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    gem_err_clear(&err);
    CHECK(gem_poller_open(&other, gem_mem_default(), &err) == -1 && err.kind == GEM_IO && err.code == EMFILE);
    setrlimit(RLIMIT_NOFILE, &limit);
    gem_poller_close(&other);
}

/* With poll a descriptor that is none is in trouble, and memory may be short: what was watched stays watched. */
static void test_poll_alone(void)
{
    int pair[2];
    size_t fail_at;
    int refused = 1;
    v = &variants[1];
    make_pair(pair);
    CHECK(v->open(&poller, gem_mem_default(), &err) == 0);
    CHECK(v->set(&poller, 4000, GEM_READABLE, 3, &err) == 0 && seen(4000, 3) == GEM_TROUBLE);
    v->close(&poller);
    for (fail_at = 1; refused; fail_at++) {
        struct check_mem m;
        check_mem_init(&m);
        m.fail_at = fail_at;
        refused = 0;
        CHECK(v->open(&poller, &m.mem, &err) == 0);
        for (int i = 0; i < 40 && !refused; i++) {
            refused = v->set(&poller, i == 0 ? pair[0] : 1000 + i, GEM_WRITABLE, i, &err) != 0;
            if (refused)
                CHECK(err.kind == GEM_LIMIT);
            if (i > 0)
                CHECK(seen(pair[0], 0) == GEM_WRITABLE || i > 7);
        }
        v->close(&poller);
        CHECK(m.blocks == 0);
    }
    CHECK(fail_at > 6);
    close_pair(pair);
}

/* Whether the queue's descriptor is readable within so many milliseconds. */
static bool readable(int ms)
{
    struct pollfd p = {poller.fd, POLLIN, 0};
    return poll(&p, 1, ms) == 1 && p.revents == POLLIN;
}

static void test_an_alarm_makes_the_queue_readable(void)
{
    struct gem_ready ready[4];
    int before = open_descriptors();
    v = &variants[0];
    CHECK(polled_alarm(&poller, 0, &err) == 0);
    CHECK(v->open(&poller, gem_mem_default(), &err) == 0);
    if (poller.fd < 0) {
        v->close(&poller);
        return;
    }
    CHECK(gem_poller_alarm(&poller, HUGE_VAL, &err) == 0 && poller.alarm == -1); /* costs nothing before the first */
    CHECK(gem_poller_alarm(&poller, 0, &err) == 0 && readable(10000));
    CHECK(gem_poller_alarm(&poller, 0, &err) == 0 && readable(10000)); /* it stays until the next wait */
    CHECK(v->wait(&poller, 0, ready, 4, &err) == 0 && !readable(0));   /* which tells of no descriptor */
    CHECK(gem_poller_alarm(&poller, 0.02, &err) == 0 && !readable(0) && readable(10000));
    CHECK(gem_poller_alarm(&poller, 3600, &err) == 0 && !readable(0)); /* in place of the one before */
    CHECK(gem_poller_alarm(&poller, 0, &err) == 0 && gem_poller_alarm(&poller, HUGE_VAL, &err) == 0 && !readable(20));
    CHECK(gem_poller_alarm(&poller, 1e300, &err) == 0 && !readable(0)); /* as good as never */
    v->close(&poller);
    CHECK(open_descriptors() == before);
}

int main(void)
{
    RUN(test_reports_what_is_ready);
    RUN(test_watches_what_it_was_told_last);
    RUN(test_several_are_told_apart);
    RUN(test_a_peer_that_went_is_reported);
    RUN(test_a_number_is_used_again);
    RUN(test_what_rests_is_not_reported);
    RUN(test_what_rested_is_watched_again);
    RUN(test_what_ends_is_forgotten);
    RUN(test_none_starves);
    RUN(test_waits);
    RUN(test_nothing_stays_open);
    RUN(test_time_goes_on);
    RUN(test_the_system_may_refuse);
    RUN(test_poll_alone);
    RUN(test_an_alarm_makes_the_queue_readable);
    return check_done();
}
