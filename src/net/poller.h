/* Which sockets are ready: epoll, kqueue or poll behind a few calls. POSIX.
 *
 * Level-triggered: what is not taken today is reported again tomorrow, so a step that runs out of time loses
 * nothing. One poller serves one loop, in one thread. */
#ifndef GEM_NET_POLLER_H
#define GEM_NET_POLLER_H

#include <stdbool.h>
#include <stddef.h>

#include "../core/err.h"
#include "../core/mem.h"

enum { GEM_READABLE = 1, GEM_WRITABLE = 2, GEM_TROUBLE = 4 };

enum { GEM_RESTING = 16 };

struct gem_ready {
    int fd;
    int events; /* of the bits above */
    int tag;    /* as given to gem_poller_set */
};

struct gem_watch; /* poll only: one descriptor's interest */

struct gem_poller {
    const struct gem_mem *mem;
    int fd;                    /* of the kernel's queue; -1 with poll */
    int alarm;                 /* epoll only: a timer in the queue; -1 before the first alarm */
    bool armed;
    int resting[GEM_RESTING];  /* epoll only: what is in the queue still though nobody waits for it */
    int rest_count;
    struct gem_watch *watches; /* poll only */
    size_t count, capacity;
    void *polled;              /* poll only: the array that poll takes */
    size_t turn;               /* poll only: where the next reports begin, so that each descriptor has its turn */
};

/* Monotonic seconds; the zero is arbitrary. */
double gem_now(void);

/* The process this is: another one in the child of a fork. */
long gem_process(void);

int gem_poller_open(struct gem_poller *poller, const struct gem_mem *mem, struct gem_err *err);
void gem_poller_close(struct gem_poller *poller);

/* Watches fd for events (readable, writable) from now on; 0 forgets it. tag comes back with each report. */
int gem_poller_set(struct gem_poller *poller, int fd, int events, int tag, struct gem_err *err);

/* Nothing of fd is reported until it is set again, which is expected: that costs a call less to the kernel than forgetting
 * it does, and adding it anew. Whoever closes it forgets it before. */
void gem_poller_rest(struct gem_poller *poller, int fd);

/* Forgets fd, where it may rest, and closes it. 0, or -1 as close() does. */
int gem_poller_end(struct gem_poller *poller, int fd);

/* Makes the queue's descriptor readable in so many seconds (0 now, HUGE_VAL never), for who waits on it from outside;
 * one alarm at a time, which the next wait takes back when it has come. Nothing with poll, which has no descriptor. */
int gem_poller_alarm(struct gem_poller *poller, double seconds, struct gem_err *err);

/* Waits at most `seconds` (0 looks only) and fills at most max reports, one for each descriptor. Returns how many; 0
 * also when a signal came in between. -1 on failure. */
int gem_poller_wait(struct gem_poller *poller, double seconds, struct gem_ready *ready, int max,
                    struct gem_err *err);

#endif
