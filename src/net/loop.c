#include "loop.h"

#include <math.h>
#include <string.h>

#include "handle.h"

#define BATCH 32 /* sockets that are read before the program looks: what came is still in the processor's cache */
#define SHARED 10L /* connections to a host, of some 100 streams each; libcurl would open one for each that waits */
#define MANY 64 /* exchanges at once: that many streams bring little at a time */
#define LITTLE 2048L /* bytes that libcurl reads at once of one of them; it has that much memory for each */
#define PUT_OFF 0.05 /* seconds for which a handshake waits for a step that has time for it */
#define TURNS 0.05   /* seconds after which a step that waits returns, though nobody is to be told: for signals */
#define AWAY 1.0 /* seconds between two steps; longer ones count as this much on the clocks */

/* ---- the list ---- */

static void link_last(struct gem_loop *loop, struct gem_exchange *ex)
{
    ex->prev = loop->last;
    ex->next = NULL;
    if (loop->last != NULL)
        loop->last->next = ex;
    else
        loop->first = ex;
    loop->last = ex;
    if (loop->unstarted == NULL)
        loop->unstarted = ex;
}

static void unlink_exchange(struct gem_loop *loop, struct gem_exchange *ex)
{
    if (loop->unstarted == ex)
        loop->unstarted = ex->next;
    if (ex->prev != NULL)
        ex->prev->next = ex->next;
    else
        loop->first = ex->next;
    if (ex->next != NULL)
        ex->next->prev = ex->prev;
    else
        loop->last = ex->prev;
    ex->prev = ex->next = NULL;
}

struct gem_exchange *gem_loop_next(struct gem_loop *loop)
{
    struct gem_exchange *ex = loop->ready.first;
    if (ex == NULL)
        return NULL;
    loop->ready.first = ex->next_ready;
    if (loop->ready.first == NULL)
        loop->ready.last = NULL;
    ex->next_ready = NULL;
    ex->is_ready = false;
    return ex;
}

static void forget_ready(struct gem_loop *loop, struct gem_exchange *ex)
{
    struct gem_exchange *first = loop->ready.first;
    if (!ex->is_ready)
        return;
    loop->ready.first = loop->ready.last = NULL;
    for (struct gem_exchange *e = first, *next; e != NULL; e = next) {
        next = e->next_ready;
        e->is_ready = false;
        if (e != ex)
            gem_exchange_tell(e);
    }
    ex->next_ready = NULL;
}

/* ---- what libcurl tells ---- */

/* A report's tag: the lane, and whether its socket was in handshake when libcurl last said what it waits for. */
enum { TAG_LANE = 1, TAG_CONNECTING = 2 };

static bool is_connecting(CURL *easy)
{
    const struct gem_exchange *ex = gem_handle_owner(easy);
    return ex != NULL && ex->phase == GEM_PHASE_CONNECTING;
}

static int on_socket(CURL *easy, curl_socket_t s, int what, void *ud, void *socket_ud)
{
    struct gem_lane *lane = ud;
    int events = 0, tag = lane->index;
    bool connecting = is_connecting(easy);
    (void)socket_ud;
    if (what == CURL_POLL_REMOVE && !connecting) { /* a connection that is kept for the next request */
        gem_poller_rest(&lane->loop->poller, (int)s);
        return 0;
    }
    if (what != CURL_POLL_REMOVE)
        events = (what & CURL_POLL_IN ? GEM_READABLE : 0) | (what & CURL_POLL_OUT ? GEM_WRITABLE : 0);
    if (events != 0 && connecting)
        tag |= TAG_CONNECTING;
    return gem_poller_set(&lane->loop->poller, (int)s, events, tag, &lane->loop->trouble);
}

static int on_close(void *ud, curl_socket_t s)
{
    struct gem_loop *loop = ud;
    return gem_poller_end(&loop->poller, (int)s);
}

static int on_timer(CURLM *multi, long ms, void *ud)
{
    struct gem_lane *lane = ud;
    (void)multi;
    lane->timer = ms < 0 ? HUGE_VAL : gem_now() + (double)ms / 1000;
    return 0;
}

/* ---- open and close ---- */

static int open_lane(struct gem_loop *loop, int index, struct gem_err *err)
{
    struct gem_lane *lane = &loop->lanes[index];
    lane->loop = loop;
    lane->index = index;
    lane->timer = HUGE_VAL;
    lane->multi = curl_multi_init();
    if (lane->multi == NULL)
        return gem_err_memory(err);
    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, lane);
    curl_multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(lane->multi, CURLMOPT_TIMERDATA, lane);
    curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING,
                      index == GEM_LANE_CALLS ? (long)CURLPIPE_MULTIPLEX : (long)CURLPIPE_NOTHING);
    if (index == GEM_LANE_CALLS)
        curl_multi_setopt(lane->multi, CURLMOPT_MAX_HOST_CONNECTIONS, SHARED);
    return 0;
}

/* One thread: nothing to lock. */
static int open_sessions(struct gem_loop *loop, struct gem_err *err)
{
    loop->sessions = curl_share_init();
    if (loop->sessions == NULL ||
        curl_share_setopt(loop->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_NOMEM)
        return gem_err_memory(err);
    return 0;
}

int gem_loop_open(struct gem_loop *loop, const struct gem_mem *mem, struct gem_err *err)
{
    loop->mem = mem;
    loop->check = loop->ready.end = loop->early = HUGE_VAL;
    loop->owner = gem_process();
    if (gem_poller_open(&loop->poller, mem, err) < 0)
        return -1;
    loop->open = true;
    int failed = open_sessions(loop, err);
    for (int i = 0; i < GEM_LANES && failed == 0; i++)
        failed = open_lane(loop, i, err);
    if (failed != 0)
        gem_loop_close(loop);
    return failed;
}

static void close_lane(struct gem_lane *lane)
{
    if (lane->multi == NULL)
        return;
    curl_multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(lane->multi); /* closes the connections: the socket callback still forgets them */
    lane->multi = NULL;
}

void gem_loop_close(struct gem_loop *loop)
{
    struct gem_err err;
    if (!loop->open)
        return;
    gem_err_set(&err, GEM_CANCELLED, 0, "the client was closed");
    while (loop->first != NULL) {
        struct gem_exchange *ex = loop->first;
        gem_loop_remove(ex);
        gem_exchange_fail(ex, &err);
    }
    if (gem_loop_is_ours(loop)) {
        for (int i = 0; i < GEM_LANES; i++)
            close_lane(&loop->lanes[i]);
        curl_share_cleanup(loop->sessions); /* NULL is fine */
    }
    loop->sessions = NULL;
    gem_poller_close(&loop->poller);
    loop->open = false;
}

/* ---- in and out ---- */

bool gem_loop_is_ours(const struct gem_loop *loop)
{
    return loop->owner == gem_process();
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* No clock of ex fires before this instant, whatever phases it passes until then. */
static double next_check(const struct gem_exchange *ex, double now)
{
    const char *name;
    const struct gem_clocks *c = &ex->clocks;
    double when = gem_exchange_expiry(ex, &name);
    if (ex->phase == GEM_PHASE_DONE)
        return HUGE_VAL;
    when = c->connect > 0 ? least(when, now + c->connect) : when;
    when = c->first_byte > 0 ? least(when, now + c->first_byte) : when;
    return c->idle > 0 ? least(when, now + c->idle) : when;
}

void gem_loop_add(struct gem_loop *loop, struct gem_exchange *ex, enum gem_lane_name lane, struct gem_share *share)
{
    ex->share = share;
    loop->full = false;
    ex->loop = loop;
    ex->lane = ex->shares ? (int)lane : GEM_LANE_BULK;
    ex->ready = &loop->ready;
    loop->check = least(loop->check, next_check(ex, gem_now()));
    link_last(loop, ex);
}

static bool with_libcurl(const struct gem_exchange *ex)
{
    return ex->phase > GEM_PHASE_QUEUED && ex->phase < GEM_PHASE_DONE;
}

/* A server that is known to have no HTTP/2, or NULL. */
static struct gem_host *find_host(struct gem_loop *loop, uint64_t origin)
{
    for (int i = 0; i < GEM_HOSTS; i++)
        if (loop->hosts[i].origin == origin && origin != 0)
            return &loop->hosts[i];
    return NULL;
}

static void count(struct gem_host *host, struct gem_exchange *ex)
{
    ex->counted = true;
    host->active++;
}

static void discount(struct gem_loop *loop, struct gem_exchange *ex)
{
    if (ex->counted)
        find_host(loop, ex->origin)->active--; /* it is there as long as it has any */
    ex->counted = false;
}

/* It makes room for another. */
static void free_places(struct gem_loop *loop, struct gem_exchange *ex)
{
    discount(loop, ex);
    loop->active--;
    if (ex->share != NULL)
        ex->share->active--;
    loop->full = false;
}

/* Takes it out of libcurl; in a step, or else in the process that opened the loop. */
static void take_out(struct gem_loop *loop, struct gem_exchange *ex)
{
    if (!with_libcurl(ex))
        return;
    curl_multi_remove_handle(loop->lanes[ex->lane].multi, ex->handle->easy);
    curl_easy_setopt(ex->handle->easy, CURLOPT_SHARE, NULL); /* the handle may outlive the loop */
    free_places(loop, ex);
}

void gem_loop_remove(struct gem_exchange *ex)
{
    struct gem_loop *loop = ex->loop;
    if (loop == NULL)
        return;
    if (with_libcurl(ex) && !gem_loop_is_ours(loop)) {
        ex->handle->easy = NULL; /* its parent's */
        free_places(loop, ex);
    } else {
        take_out(loop, ex);
    }
    forget_ready(loop, ex);
    unlink_exchange(loop, ex);
    if (loop->first == NULL)
        loop->check = HUGE_VAL;
    ex->loop = NULL;
    ex->ready = NULL;
}

/* ---- a step ---- */

/* It has been counted, and has a place of its share. */
static void hand_over(struct gem_loop *loop, struct gem_exchange *ex)
{
    curl_easy_setopt(ex->handle->easy, CURLOPT_SHARE, loop->sessions);
    curl_easy_setopt(ex->handle->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close); /* for a connection that it opens */
    curl_easy_setopt(ex->handle->easy, CURLOPT_CLOSESOCKETDATA, loop);
    CURLMcode result = curl_multi_add_handle(loop->lanes[ex->lane].multi, ex->handle->easy);
    if (result != CURLM_OK) {
        struct gem_err err;
        free_places(loop, ex);
        gem_err_set(&err, GEM_LIMIT, (int)result, "%s", curl_multi_strerror(result));
        ex->phase = GEM_PHASE_QUEUED; /* libcurl does not have it */
        gem_exchange_fail(ex, &err);
    }
}

/* The first that waits and has a place, or NULL. */
static struct gem_exchange *next_to_start(struct gem_loop *loop)
{
    if (loop->full)
        return NULL;
    while (loop->unstarted != NULL && loop->unstarted->phase != GEM_PHASE_QUEUED)
        loop->unstarted = loop->unstarted->next; /* started out of order, or its time was up before its turn came */
    for (struct gem_exchange *ex = loop->unstarted; ex != NULL; ex = ex->next)
        if (ex->phase == GEM_PHASE_QUEUED && (ex->share == NULL || ex->share->active < ex->share->max))
            return ex;
    loop->full = loop->unstarted != NULL;
    return NULL;
}

static void start(struct gem_loop *loop, struct gem_exchange *ex)
{
    struct gem_host *host = ex->lane == GEM_LANE_CALLS ? find_host(loop, ex->origin) : NULL;
    if (host != NULL && host->active < SHARED)
        count(host, ex);
    else if (host != NULL)
        ex->lane = GEM_LANE_BULK;
    ex->phase = GEM_PHASE_CONNECTING;
    ex->started = ex->since = gem_now();
    if (++loop->active > MANY && ex->is_stream)
        ex->reads_little = curl_easy_setopt(ex->handle->easy, CURLOPT_BUFFERSIZE, LITTLE) == CURLE_OK;
    if (ex->share != NULL)
        ex->share->active++;
    hand_over(loop, ex);
}

/* One that was not known, and has none of its exchanges counted; NULL where too many have. */
static struct gem_host *add_host(struct gem_loop *loop, uint64_t origin)
{
    for (int i = 0; i < GEM_HOSTS; i++)
        if (loop->hosts[i].active == 0) {
            loop->hosts[i].origin = origin;
            return &loop->hosts[i];
        }
    return NULL;
}

/* A server without HTTP/2 needs a connection for each exchange. Those that libcurl keeps waiting for one begin anew in
 * the other lane. */
static void part(struct gem_loop *loop, uint64_t origin)
{
    struct gem_host *host = find_host(loop, origin) != NULL ? NULL : add_host(loop, origin);
    for (struct gem_exchange *ex = loop->first; ex != NULL && host != NULL; ex = ex->next) {
        if (ex->lane != GEM_LANE_CALLS || ex->origin != origin || !with_libcurl(ex))
            continue;
        if (ex->phase != GEM_PHASE_CONNECTING) {
            count(host, ex);
            continue;
        }
        curl_multi_remove_handle(loop->lanes[ex->lane].multi, ex->handle->easy);
        ex->lane = GEM_LANE_BULK;
        hand_over(loop, ex);
    }
}

static void lift_caps(struct gem_loop *loop)
{
    if (!loop->ready.apart)
        return;
    loop->ready.apart = false;
    for (struct gem_exchange *ex = loop->first; ex != NULL; ex = ex->next)
        if (ex->apart) {
            ex->apart = false;
            part(loop, ex->origin);
        }
}

/* An exchange that ended leaves libcurl but stays in the list until its owner removes it. */
static void collect(struct gem_lane *lane)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(lane->multi, &left)) != NULL) {
        CURL *easy = m->easy_handle;
        CURLcode result = m->data.result; /* m dies with the removal */
        struct gem_exchange *ex = gem_handle_owner(easy);
        if (m->msg != CURLMSG_DONE)
            continue;
        take_out(lane->loop, ex);
        gem_exchange_finish(ex, result);
    }
}

static void act(struct gem_lane *lane, curl_socket_t s, int mask)
{
    int running;
    curl_multi_socket_action(lane->multi, s, mask, &running);
    collect(lane);
}

/* The instant, which its exchanges take for now until it is asked for again. */
static double look(struct gem_loop *loop)
{
    loop->ready.now = gem_now();
    return loop->ready.now;
}

static int run_timers(struct gem_loop *loop)
{
    int n = 0;
    for (int i = 0; i < GEM_LANES; i++)
        if (loop->lanes[i].timer < HUGE_VAL && loop->lanes[i].timer <= look(loop)) {
            loop->lanes[i].timer = HUGE_VAL; /* libcurl sets the next one */
            act(&loop->lanes[i], CURL_SOCKET_TIMEOUT, 0);
            n++;
        }
    return n;
}

static int mask_of(int events)
{
    return (events & GEM_READABLE ? CURL_CSELECT_IN : 0) | (events & GEM_WRITABLE ? CURL_CSELECT_OUT : 0) |
           (events & GEM_TROUBLE ? CURL_CSELECT_ERR : 0);
}

/* Unpausing brings bytes that libcurl held back, so that an exchange may be ready afterwards. */
static void resume_some(struct gem_loop *loop)
{
    if (!loop->ready.resume)
        return;
    loop->ready.resume = false;
    for (struct gem_exchange *ex = loop->first; ex != NULL; ex = ex->next)
        if (ex->resume && with_libcurl(ex)) {
            CURLcode result = gem_exchange_resume(ex);
            if (result != CURLE_OK) {
                take_out(loop, ex);
                gem_exchange_finish(ex, result);
            }
        }
}

/* Looks at every clock, but only when one may have fired. */
static void check_clocks(struct gem_loop *loop, double now)
{
    if (now < loop->check)
        return;
    loop->check = HUGE_VAL;
    for (struct gem_exchange *ex = loop->first; ex != NULL; ex = ex->next) {
        const char *name = NULL;
        if (gem_exchange_expiry(ex, &name) > now) {
            loop->check = least(loop->check, next_check(ex, now));
            continue;
        }
        take_out(loop, ex);
        gem_exchange_time_out(ex, name);
    }
}

/* While the program was elsewhere nobody could see what the peer did, so little of that time counts. Some does: a
 * program that steps only now and then has clocks, too. */
static void forgive(struct gem_loop *loop, double now)
{
    double away = now - loop->left;
    if (loop->left == 0 || away < AWAY)
        return;
    for (struct gem_exchange *ex = loop->first; ex != NULL; ex = ex->next)
        ex->since += away - AWAY;
}

double gem_loop_timeout(const struct gem_loop *loop)
{
    double now, when = loop->check;
    if (loop->ready.first != NULL || loop->ready.resume || (loop->unstarted != NULL && !loop->full))
        return 0;
    for (int i = 0; i < GEM_LANES; i++)
        when = least(when, loop->lanes[i].timer);
    if (when == HUGE_VAL)
        return when;
    now = gem_now();
    return when <= now ? 0 : when - now;
}

int gem_loop_fd(const struct gem_loop *loop)
{
    return loop->poller.fd;
}

/* A handshake goes on in pieces of up to two milliseconds, which is longer than all else takes and cannot be divided: it
 * comes first in a step that has just begun, and ends it. */
static bool has_time_for_handshake(struct gem_loop *loop)
{
    double now = loop->late ? gem_now() : 0;
    if (!loop->late || (loop->owed > 0 && now - loop->owed > PUT_OFF)) {
        loop->owed = 0;
        return true;
    }
    if (loop->owed == 0)
        loop->owed = now;
    return false;
}

static int start_some(struct gem_loop *loop, double end)
{
    int n = 0;
    struct gem_exchange *ex;
    while ((ex = next_to_start(loop)) != NULL && has_time_for_handshake(loop)) {
        start(loop, ex);
        n += 1 + run_timers(loop); /* connects, one at a time: handshakes are the longest work there is */
        if (end < HUGE_VAL && gem_now() >= end)
            break;
    }
    return n;
}

/* Serves those that are in handshake, or the others. */
static int serve(struct gem_loop *loop, const struct gem_ready *ready, int n, bool connecting, double end)
{
    int served = 0;
    for (int k = 0; k < n; k++) {
        int i = (int)(loop->turn++ % (unsigned)n); /* the kernel reports in the same order each time */
        if (((ready[i].tag & TAG_CONNECTING) != 0) != connecting)
            continue;
        if (connecting && !has_time_for_handshake(loop))
            break;
        act(&loop->lanes[ready[i].tag & TAG_LANE], ready[i].fd, mask_of(ready[i].events));
        served++;
        if (look(loop) >= end)
            break;
    }
    return served;
}

static int serve_sockets(struct gem_loop *loop, double wait, double end, struct gem_err *err)
{
    struct gem_ready ready[BATCH];
    int n = gem_poller_wait(&loop->poller, wait, ready, BATCH, err);
    if (n < 0)
        return n;
    look(loop);
    int shaken = serve(loop, ready, n, true, end);
    return shaken > 0 && gem_now() >= end ? shaken : shaken + serve(loop, ready, n, false, end);
}

/* A multi handle whose socket callback failed does nothing more. */
static int give_up(struct gem_loop *loop, struct gem_err *err)
{
    for (struct gem_exchange *ex = loop->first; ex != NULL; ex = ex->next) {
        take_out(loop, ex);
        gem_exchange_fail(ex, &loop->trouble);
    }
    *err = loop->trouble;
    return -1;
}

static int turn(struct gem_loop *loop, double budget, double max_wait, struct gem_err *err)
{
    double now = look(loop), end = now + budget;
    loop->ready.end = end;
    forgive(loop, now);
    int started = start_some(loop, end);
    resume_some(loop);
    double wait = gem_loop_timeout(loop);
    int n = serve_sockets(loop, wait < max_wait ? wait : max_wait, end, err);
    if (n < 0)
        return -1;
    n += started + run_timers(loop);
    lift_caps(loop);
    loop->left = gem_now();
    check_clocks(loop, loop->left);
    return loop->trouble.kind == GEM_OK ? n : give_up(loop, err);
}

int gem_loop_step(struct gem_loop *loop, double budget, double max_wait, struct gem_err *err)
{
    bool limited = budget < HUGE_VAL;
    double begin = gem_now(), end = begin + (limited ? budget : least(max_wait, TURNS)), left;
    loop->late = loop->early <= 0;
    int n = turn(loop, budget, max_wait, err), sum = n;
    while (n > 0 && loop->alone == limited && loop->ready.first == NULL && (left = end - gem_now()) > 0) {
        loop->late = end - left >= begin + loop->early;
        n = turn(loop, limited ? left : budget, limited ? 0 : left, err);
        sum += n;
    }
    return n < 0 ? -1 : sum;
}
