#include "limit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 256, MARK = 16, DELAYS = 100000 };

struct stream {
    char head[128]; /* of the event that is being received: the instant at which it was sent is near its beginning */
    size_t got;
};

static int epoll = -1;
static long timeout = -1;
static uint32_t delays[DELAYS]; /* how many events came after so many tenths of a millisecond */
static int64_t delay_count;

/* ---- what is received ---- */

static void note_delay(const struct stream *s)
{
    static const char mark[] = "\"text\":\"";
    const char *at = strstr(s->head, mark);
    if (at == NULL)
        return;
    double tenths = bench_now() * 1e4 - strtod(at + sizeof mark - 1, NULL) / 100;
    delays[tenths < 0 ? 0 : tenths < DELAYS - 1 ? (int)tenths : DELAYS - 1]++;
    delay_count++;
}

/* An event ends with an empty line. Only its beginning is looked at. */
static size_t receive(char *bytes, size_t one, size_t n, void *ud)
{
    struct stream *s = ud;
    for (const char *p = bytes, *end = bytes + one * n; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop != NULL ? stop : end) - p), room = sizeof s->head - 1 - s->got;
        if (length > room)
            length = room;
        memcpy(s->head + s->got, p, length);
        s->got += length;
        s->head[s->got] = '\0';
        if (stop != NULL && s->got > MARK)
            note_delay(s);
        if (stop != NULL)
            s->got = 0;
        p = stop != NULL ? stop + 1 : end;
    }
    return one * n;
}

/* ---- libcurl's sockets ---- */

static int on_socket(CURL *e, curl_socket_t fd, int what, void *ud, void *known)
{
    struct epoll_event event = {.data.fd = fd};
    CURLM *multi = ud;
    (void)e;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    epoll_ctl(epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    curl_multi_assign(multi, fd, multi);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *ud)
{
    (void)multi, (void)ud;
    timeout = ms;
    return 0;
}

static int step(CURLM *multi)
{
    struct epoll_event events[BATCH];
    int running = 0, n = epoll_wait(epoll, events, BATCH, (int)timeout);
    if (n == 0)
        curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    for (int i = 0; i < n; i++) {
        int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(multi, events[i].data.fd, what, &running);
    }
    return running;
}

/* ---- the program ---- */

/* Seconds within which 99 of 100 events came. */
static double percentile_99(void)
{
    int64_t seen = 0;
    int i = 0;
    while (i < DELAYS - 1 && (seen += delays[i]) * 100 < delay_count * 99)
        i++;
    return (i + 1) / 1e4;
}

static CURL *add(CURLM *multi, const char *url, const char *ca_path, struct stream *s)
{
    CURL *e = limit_request(url, ca_path, "{}");
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, ca_path != NULL ? 1L : 0L);
    curl_multi_add_handle(multi, e);
    return e;
}

void limit_streams(const char *url, long n, const char *ca_path)
{
    CURLM *multi = curl_multi_init();
    struct stream *streams = bench_alloc((size_t)n * sizeof *streams);
    CURL **handles = bench_alloc((size_t)n * sizeof *handles);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    if (ca_path != NULL)
        curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 10L); /* of 100 streams each */
    double begin = bench_cpu();
    long resident = bench_resident();
    for (long i = 0; i < n; i++)
        handles[i] = add(multi, url, ca_path, &streams[i]);
    while (step(multi) > 0)
        ;
    bench_print("cpu", bench_cpu() - begin);
    bench_print("each", (double)(bench_peak() - resident) / (double)n);
    bench_print("p99", percentile_99());
    bench_print("events", (double)delay_count);
}
