#define _POSIX_C_SOURCE 200809L
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
#undef _POSIX_C_SOURCE /* kqueue hides behind it */
#endif

#include "poller.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(GEM_USE_POLL)
#include <poll.h>
#elif defined(__linux__) && !defined(GEM_USE_KQUEUE)
#include <sys/epoll.h>
#include <sys/timerfd.h>
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(GEM_USE_KQUEUE)
#include <fcntl.h>
#include <sys/types.h>

#include <sys/event.h>
#define GEM_HAVE_KQUEUE
#else
#define GEM_USE_POLL
#include <poll.h>
#endif

enum { BATCH = 256 };/* reports taken from the kernel at once */

#define LONGEST 1e9 /* seconds of an alarm; more is never */

double gem_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

long gem_process(void)
{
    return (long)getpid();
}

static int fail(const char *what, struct gem_err *err)
{
    char why[128] = "unknown error";
    int number = errno;
    strerror_r(number, why, sizeof why);
    return gem_err_set(err, GEM_IO, number, "%s: %s", what, why);
}

#if !defined(GEM_USE_POLL)

void gem_poller_close(struct gem_poller *poller)
{
    if (poller->fd >= 0) {
        close(poller->fd);
        if (poller->alarm >= 0)
            close(poller->alarm);
    }
    poller->fd = poller->alarm = -1;
}

#endif

#if defined(GEM_USE_POLL) || defined(GEM_HAVE_KQUEUE)

void gem_poller_rest(struct gem_poller *poller, int fd)
{
    struct gem_err err;
    gem_poller_set(poller, fd, 0, 0, &err);
}

int gem_poller_end(struct gem_poller *poller, int fd)
{
    (void)poller;
    return close(fd);
}

#endif

#if defined(GEM_USE_POLL)

struct gem_watch {
    int fd, events, tag;
};

int gem_poller_open(struct gem_poller *poller, const struct gem_mem *mem, struct gem_err *err)
{
    (void)err;
    memset(poller, 0, sizeof *poller);
    poller->mem = mem;
    poller->fd = poller->alarm = -1;
    return 0;
}

void gem_poller_close(struct gem_poller *poller)
{
    gem_mem_free(poller->mem, poller->watches, poller->capacity * sizeof *poller->watches);
    gem_mem_free(poller->mem, poller->polled, poller->capacity * sizeof(struct pollfd));
    poller->watches = NULL;
    poller->polled = NULL;
    poller->count = poller->capacity = 0;
}

static int grow(struct gem_poller *poller, struct gem_err *err)
{
    size_t capacity = poller->capacity == 0 ? 16 : poller->capacity * 2;
    struct gem_watch *watches = gem_mem_array(poller->mem, capacity, sizeof *watches);
    struct pollfd *polled = gem_mem_array(poller->mem, capacity, sizeof *polled);
    if (watches == NULL || polled == NULL) {
        gem_mem_free(poller->mem, watches, capacity * sizeof *watches);
        gem_mem_free(poller->mem, polled, capacity * sizeof *polled);
        return gem_err_memory(err);
    }
    size_t count = poller->count;
    if (count > 0)
        memcpy(watches, poller->watches, count * sizeof *watches);
    gem_poller_close(poller);
    poller->watches = watches;
    poller->polled = polled;
    poller->count = count;
    poller->capacity = capacity;
    return 0;
}

int gem_poller_set(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err)
{
    size_t i = 0;
    while (i < poller->count && poller->watches[i].fd != fd)
        i++;
    if (events == 0) {
        if (i < poller->count)
            poller->watches[i] = poller->watches[--poller->count];
        return 0;
    }
    if (i == poller->capacity && grow(poller, err) < 0)
        return -1;
    if (i == poller->count)
        poller->count++;
    poller->watches[i] = (struct gem_watch){fd, events, tag};
    return 0;
}

int gem_poller_alarm(struct gem_poller *poller, double seconds, struct gem_err *err)
{
    (void)poller, (void)seconds, (void)err;
    return 0;
}

int gem_poller_wait(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max,
                    struct gem_err *err)
{
    struct pollfd *polled = poller->polled;
    int n = 0;
    for (size_t i = 0; i < poller->count; i++) {
        const struct gem_watch *w = &poller->watches[i];
        polled[i] = (struct pollfd){w->fd, (short)((w->events & GEM_READABLE ? POLLIN : 0) |
                                                   (w->events & GEM_WRITABLE ? POLLOUT : 0)), 0};
    }
    if (poll(polled, (nfds_t)poller->count, seconds > 86400 ? 86400000 : (int)(seconds * 1000 + 0.999)) < 0)
        return errno == EINTR ? 0 : fail("poll", err);
    for (size_t k = 0, from = poller->turn; k < poller->count && n < max; k++) {
        size_t i = (from + k) % poller->count;
        short r = polled[i].revents;
        int events = (r & POLLIN ? GEM_READABLE : 0) | (r & POLLOUT ? GEM_WRITABLE : 0) |
                     (r & (POLLERR | POLLHUP | POLLNVAL) ? GEM_TROUBLE : 0);
        if (events == 0)
            continue;
        ready[n++] = (struct gem_ready){polled[i].fd, events, poller->watches[i].tag};
        poller->turn = i + 1;
    }
    return n;
}

#elif defined(GEM_HAVE_KQUEUE)

/* One report for a descriptor, though readable and writable come apart: who sends finds a connection reset where who
 * reads first finds the answer in front of it. Returns how many reports there are. */
static int report(struct gem_ready *ready, int count, int fd, int events, int tag)
{
    for (int i = 0; i < count; i++)
        if (ready[i].fd == fd) {
            ready[i].events |= events;
            return count;
        }
    ready[count] = (struct gem_ready){fd, events, tag};
    return count + 1;
}

int gem_poller_open(struct gem_poller *poller, const struct gem_mem *mem, struct gem_err *err)
{
    memset(poller, 0, sizeof *poller);
    poller->mem = mem;
    poller->alarm = -1;
    poller->fd = kqueue();
    if (poller->fd < 0)
        return fail("kqueue", err);
    fcntl(poller->fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

/* Adds a filter (flags EV_ADD and more) in place of the one that is there, or takes it away (flags 0). To add over what
 * is there changes it on some systems, a timer's time only on a few: it is deleted first, and that nothing was is fine. */
static int change(struct gem_poller *poller, int fd, short filter, int flags, int milliseconds, int tag)
{
    struct kevent ev;
    EV_SET(&ev, (uintptr_t)fd, filter, EV_DELETE, 0, 0, NULL);
    kevent(poller->fd, &ev, 1, NULL, 0, NULL);
    if (flags == 0)
        return 0;
    EV_SET(&ev, (uintptr_t)fd, filter, flags, 0, milliseconds, (void *)(intptr_t)tag);
    return kevent(poller->fd, &ev, 1, NULL, 0, NULL);
}

int gem_poller_set(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err)
{
    if (change(poller, fd, EVFILT_READ, events & GEM_READABLE ? EV_ADD : 0, 0, tag) < 0 ||
        change(poller, fd, EVFILT_WRITE, events & GEM_WRITABLE ? EV_ADD : 0, 0, tag) < 0)
        return fail("kevent", err);
    return 0;
}

/* No time at all is refused by some systems and never over on others: a millisecond is the least. One that is over
 * after a day, before it is due, is set again by the step that it brings about. */
int gem_poller_alarm(struct gem_poller *poller, double seconds, struct gem_err *err)
{
    bool on = seconds <= LONGEST;
    if (!on && !poller->armed)
        return 0;
    int ms = seconds > 86400 ? 86400000 : seconds > 0.001 ? (int)(seconds * 1000 + 0.999) : 1;
    if (change(poller, 0, EVFILT_TIMER, on ? EV_ADD | EV_ONESHOT : 0, ms, 0) < 0)
        return fail("kevent", err);
    poller->armed = on;
    return 0;
}

int gem_poller_wait(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max,
                    struct gem_err *err)
{
    struct kevent got[BATCH];
    struct timespec t = {.tv_sec = (time_t)(seconds > 86400 ? 86400 : seconds)};
    t.tv_nsec = seconds > 86400 ? 0 : (long)((seconds - (double)t.tv_sec) * 1e9);
    int n = kevent(poller->fd, NULL, 0, got, max < BATCH ? max : BATCH, &t);
    if (n < 0)
        return errno == EINTR ? 0 : fail("kevent", err);
    int count = 0;
    for (int i = 0; i < n; i++) {
        int events = got[i].filter == EVFILT_WRITE ? GEM_WRITABLE : GEM_READABLE;
        if (got[i].filter == EVFILT_TIMER) {
            poller->armed = false;
            continue;
        }
        if (got[i].flags & EV_ERROR)
            events |= GEM_TROUBLE;
        count = report(ready, count, (int)got[i].ident, events, (int)(intptr_t)got[i].udata);
    }
    return count;
}

#else /* epoll */

int gem_poller_open(struct gem_poller *poller, const struct gem_mem *mem, struct gem_err *err)
{
    memset(poller, 0, sizeof *poller);
    poller->mem = mem;
    poller->alarm = -1;
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    return poller->fd < 0 ? fail("epoll", err) : 0;
}

static void leave(struct gem_poller *poller, int fd)
{
    struct epoll_event ev = {0};
    epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, &ev); /* a descriptor closed before has left by itself */
}

/* Whether it was at rest, which it is no longer. */
static bool rouse(struct gem_poller *poller, int fd)
{
    for (int i = 0; i < poller->rest_count; i++)
        if (poller->resting[i] == fd) {
            poller->resting[i] = poller->resting[--poller->rest_count];
            return true;
        }
    return false;
}

void gem_poller_rest(struct gem_poller *poller, int fd)
{
    rouse(poller, fd);
    if (poller->rest_count < GEM_RESTING)
        poller->resting[poller->rest_count++] = fd;
    else
        leave(poller, fd);
}

int gem_poller_end(struct gem_poller *poller, int fd)
{
    if (rouse(poller, fd))
        leave(poller, fd); /* by closing it does not, where a fork's child has it too */
    return close(fd);
}

int gem_poller_set(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err)
{
    struct epoll_event ev = {0};
    ev.events = (events & GEM_READABLE ? EPOLLIN : 0u) | (events & GEM_WRITABLE ? EPOLLOUT : 0u);
    ev.data.u64 = (uint64_t)(uint32_t)tag << 32 | (uint32_t)fd;
    rouse(poller, fd);
    if (events == 0) {
        leave(poller, fd);
        return 0;
    }
    if (epoll_ctl(poller->fd, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    if (errno != ENOENT || epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return fail("epoll", err);
    return 0;
}

static int open_alarm(struct gem_poller *poller)
{
    struct epoll_event ev = {.events = EPOLLIN};
    poller->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (poller->alarm < 0)
        return -1;
    ev.data.u64 = (uint32_t)poller->alarm;
    if (epoll_ctl(poller->fd, EPOLL_CTL_ADD, poller->alarm, &ev) == 0)
        return 0;
    int why = errno;
    close(poller->alarm);
    poller->alarm = -1; /* the next one tries again */
    errno = why;
    return -1;
}

/* Setting a timer takes back what it has reported. */
int gem_poller_alarm(struct gem_poller *poller, double seconds, struct gem_err *err)
{
    struct itimerspec t = {0};
    bool on = seconds <= LONGEST;
    if (!on && !poller->armed)
        return 0;
    if (poller->alarm < 0 && open_alarm(poller) < 0)
        return fail("timerfd", err);
    if (on) {
        t.it_value.tv_sec = (time_t)seconds;
        t.it_value.tv_nsec = (long)((seconds - (double)t.it_value.tv_sec) * 1e9);
        if (t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0)
            t.it_value.tv_nsec = 1; /* zero would be never */
    }
    if (timerfd_settime(poller->alarm, 0, &t, NULL) < 0)
        return fail("timerfd", err);
    poller->armed = on;
    return 0;
}

int gem_poller_wait(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max,
                    struct gem_err *err)
{
    struct epoll_event got[BATCH];
    int ms = seconds > 86400 ? 86400000 : (int)(seconds * 1000 + 0.999);
    int n = epoll_wait(poller->fd, got, max < BATCH ? max : BATCH, ms);
    if (n < 0)
        return errno == EINTR ? 0 : fail("epoll", err);
    int count = 0;
    for (int i = 0; i < n; i++) {
        uint32_t e = got[i].events;
        int fd = (int)(uint32_t)got[i].data.u64;
        if (fd == poller->alarm) {
            gem_poller_alarm(poller, HUGE_VAL, err);
            continue;
        }
        if (rouse(poller, fd)) { /* the peer closed it, as a rule: it would be reported again and again */
            leave(poller, fd);
            continue;
        }
        ready[count].fd = fd;
        ready[count].tag = (int)(got[i].data.u64 >> 32);
        ready[count].events = (e & EPOLLIN ? GEM_READABLE : 0) | (e & EPOLLOUT ? GEM_WRITABLE : 0) |
                              (e & (EPOLLERR | EPOLLHUP) ? GEM_TROUBLE : 0);
        count++;
    }
    return count;
}

#endif
