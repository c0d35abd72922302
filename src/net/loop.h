/* Exchanges in flight, driven by curl_multi_socket_action over one poller. One thread, one Lua state, no waiting
 * but in gem_loop_step.
 *
 * Two lanes, each a multi handle with connections of its own: small calls and streams share a few HTTP/2 connections;
 * bulk has HTTP/1.1, where a large body costs less and starves nobody, and so has all that is not TLS. Where a server
 * turns out to have no HTTP/2, calls and streams that its few connections have no place for go over to the bulk lane,
 * where each gets one of its own.
 *
 * A step reads the clock between socket actions and stops when its budget is used up; the poller reports again
 * what was not taken. Exchanges that want to be looked at are taken with gem_loop_next.
 *
 * TLS sessions are the loop's, whatever lane they were made in: a further connection to a server resumes one, for which
 * no certificate is looked at. libcurl takes one only for the same host, port, authorities and certificate of ours.
 * Before 8.4 it closes HTTP/2 without TLS's goodbye, after which OpenSSL resumes nothing from that connection.
 *
 * A child that a fork makes shares the sockets and the kernel's queue with its parent. The loop stays the parent's: in the
 * child it takes no exchange and no step, and closing it closes the child's descriptors of the queue and leaves the rest
 * of libcurl's as it is, memory included, since libcurl would say goodbye on the parent's connections.
 *
 * Who owns what: the loop owns its multi handles, the sessions and the poller, not the exchanges. Either may go first:
 * closing the loop detaches its exchanges (they end as cancelled), and an exchange is detached with gem_loop_remove. */
#ifndef GEM_NET_LOOP_H
#define GEM_NET_LOOP_H

#include <stdbool.h>

#include "exchange.h"
#include "poller.h"

enum gem_lane_name { GEM_LANE_CALLS, GEM_LANE_BULK, GEM_LANES };

struct gem_lane {
    struct gem_loop *loop;
    CURLM *multi;
    int index;
    double timer; /* the instant libcurl wants to be called at; HUGE_VAL for none */
};

/* A server without HTTP/2. */
struct gem_host {
    uint64_t origin;
    int active; /* exchanges with it in the lane for calls: one for each of its connections there */
};

enum { GEM_HOSTS = 16 };

struct gem_loop {
    const struct gem_mem *mem;
    struct gem_poller poller;
    struct gem_lane lanes[GEM_LANES];
    CURLSH *sessions; /* an exchange has it while libcurl has the exchange */
    struct gem_exchange *first, *last; /* all that are held, in the order in which they came */
    struct gem_exchange *unstarted;    /* none before it waits to be started */
    int active;                        /* exchanges that libcurl has */
    bool full;                         /* those that do are past their share */
    double early;                      /* for the next step: seconds after which no handshake goes on */
    bool late;                         /* they are over */
    bool alone;                        /* for the next step: nobody else waits for the rest of its budget */
    double owed;                       /* since when a handshake was put off; 0: none is */
    struct gem_ready_list ready;
    double check;                      /* no clock of an exchange fires before this instant */
    double left;                       /* when the last step ended; 0 before the first */
    unsigned turn;                     /* which report comes first: a step may have time for one only */
    struct gem_host hosts[GEM_HOSTS];  /* origin 0: none */
    struct gem_err trouble;            /* of the poller, from inside a callback; it stays */
    long owner;                        /* the process that opened it */
    bool open;
};

/* loop: zeroed. After gem_exchange_prepare. */
int gem_loop_open(struct gem_loop *loop, const struct gem_mem *mem, struct gem_err *err);
void gem_loop_close(struct gem_loop *loop);

/* Whether this is the process that opened it; no other may add or step. */
bool gem_loop_is_ours(const struct gem_loop *loop);

/* Takes an opened exchange; nothing is sent before the next step. share: NULL, or what it takes one place of; while none
 * is free it waits, in order, with its clock for the whole call running. */
void gem_loop_add(struct gem_loop *loop, struct gem_exchange *ex, enum gem_lane_name lane, struct gem_share *share);

/* Lets go of an exchange in whatever state; its connection is closed at once if it was in use. */
void gem_loop_remove(struct gem_exchange *ex);

/* Works for about `budget` seconds (HUGE_VAL: until nothing is left to do now), after waiting at most max_wait for
 * something to happen when nothing is there to do. Alone with its budget it goes on until an exchange wants to be looked
 * at; so it does without a budget, for max_wait but not for more than some 50 ms. Returns how many things it did, so that
 * 0 says that nothing is left to do now. -1: the poller failed; where it was while a socket was to be watched, all
 * exchanges fail with that, now and later: the loop can only be closed. */
int gem_loop_step(struct gem_loop *loop, double budget, double max_wait, struct gem_err *err);

/* The next exchange that wants to be looked at, or NULL. */
struct gem_exchange *gem_loop_next(struct gem_loop *loop);

/* Seconds until a step has something to do by itself; 0 for now, HUGE_VAL for never. */
double gem_loop_timeout(const struct gem_loop *loop);

/* The descriptor that is readable when a socket is ready, or -1 where there is no such thing. */
int gem_loop_fd(const struct gem_loop *loop);

#endif
