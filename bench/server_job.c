#define _GNU_SOURCE /* tcp_info's later fields */

#include "server.h"

#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Of the upload that is under way: one at a time is enough here. */
static int64_t upload_received;

static struct job *ticking; /* all that tick, or wait for the others */
static int64_t waiting;     /* how many of them wait */

static int64_t now_us(void)
{
    return (int64_t)(bench_now() * 1e6);
}

/* ---- what is asked ---- */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_upload(const struct request *r)
{
    return starts_with(r->path, "/upload/session");
}

void job_begin(struct job *job)
{
    server.count.requests++;
    if (is_upload(&job->request) && starts_with(job->request.command, "upload"))
        upload_received = job->request.offset;
}

void job_body(struct job *job, size_t n)
{
    server.count.body += (int64_t)n;
    if (!is_upload(&job->request))
        return;
    upload_received += (int64_t)n;
    if (server.reset_at > 0 && upload_received >= server.reset_at) {
        server.reset_at = 0;
        job->at_reset = true;
    }
}

/* ---- answers ---- */

static void say(struct job *job, const char *text)
{
    job->kind = JOB_TEXT;
    job->text_length = (size_t)snprintf(job->text, sizeof job->text, "%s", text);
}

static void say_file(struct job *job)
{
    job->kind = JOB_TEXT;
    snprintf(job->head, sizeof job->head, "X-Goog-Upload-Status: final\n");
    job->text_length = (size_t)snprintf(job->text, sizeof job->text,
        "{\"file\":{\"name\":\"files/bench\",\"mimeType\":\"video/mp4\",\"sizeBytes\":\"%" PRId64 "\",\"createTime\":"
        "\"2026-01-01T00:00:00Z\",\"expirationTime\":\"2036-01-01T00:00:00Z\",\"sha256Hash\":\"%s\","
        "\"uri\":\"https://generativelanguage.googleapis.com/v1beta/files/bench\",\"state\":\"ACTIVE\"}}",
        upload_received, server.sha256);
}

static void answer_upload(struct job *job)
{
    const struct request *r = &job->request;
    if (starts_with(r->command, "start")) {
        upload_received = 0;
        snprintf(job->head, sizeof job->head,
            "X-Goog-Upload-Status: active\nX-Goog-Upload-URL: %s://%s/upload/session\n"
            "X-Goog-Upload-Chunk-Granularity: 262144\n", r->secure ? "https" : "http", r->host);
        say(job, "");
    } else if (strstr(r->command, "finalize") == NULL) { /* query, or an upload in many requests */
        snprintf(job->head, sizeof job->head, "X-Goog-Upload-Status: active\nX-Goog-Upload-Size-Received: %" PRId64 "\n",
            upload_received);
        say(job, "");
    } else
        say_file(job);
}

static void begin_ticks(struct job *job, int64_t together)
{
    job->kind = JOB_TICKS;
    job->prev = NULL;
    job->next = ticking;
    if (ticking != NULL)
        ticking->prev = job;
    ticking = job;
    job->due = -1; /* waits for the others */
    if (++waiting < together)
        return;
    for (struct job *j = ticking; j != NULL; j = j->next)
        j->due = j->due < 0 ? 0 : j->due;
    waiting = 0;
}

static void answer_model(struct job *job, const char *name)
{
    int64_t n = 0, together = 1;
    job->left = 1;
    if (sscanf(name, "events-%" SCNd64, &n) == 1) {
        job->kind = JOB_EVENTS;
        job->left = n;
    } else if (sscanf(name, "ticks-%" SCNd64 "-of-%" SCNd64, &n, &together) == 2) {
        job->left = n;
        begin_ticks(job, together);
    } else if (sscanf(name, "text-%" SCNd64, &n) == 1 || sscanf(name, "media-%" SCNd64, &n) == 1) {
        job->kind = JOB_BLOB;
        job->left = n;
    } else {
        char event[BENCH_EVENT + 1];
        bench_event(event, now_us(), 1);
        say(job, event);
    }
}

static void say_counters(struct job *job)
{
    const struct counters *c = &server.count;
    job->kind = JOB_TEXT;
    job->text_length = (size_t)snprintf(job->text, sizeof job->text,
        "connections %" PRId64 "\ntls %" PRId64 "\nresumed %" PRId64 "\nhttp2 %" PRId64 "\nrequests %" PRId64
        "\nbody %" PRId64 "\nevents %" PRId64 "\nwire %" PRId64 "\n", c->connections, c->tls, c->resumed, c->http2,
        c->requests - 1, c->body, c->events, c->wire);
    memset(&server.count, 0, sizeof server.count);
}

void job_answer(struct job *job)
{
    static const char models[] = "/v1beta/models/";
    const char *path = job->request.path;
    if (starts_with(path, models))
        answer_model(job, path + sizeof models - 1);
    else if (starts_with(path, "/upload/"))
        answer_upload(job);
    else if (strcmp(path, "/counters") == 0)
        say_counters(job);
    else if (sscanf(path, "/reset-at/%" SCNd64, &server.reset_at) == 1 ||
             sscanf(path, "/shape/%" SCNd64, &server.shape) == 1)
        say(job, "");
    else {
        server.quit = strcmp(path, "/quit") == 0;
        say(job, "{}");
    }
}

/* ---- reading them ---- */

static const char sse_start[] = "data: ", sse_end[] = "\r\n\r\n";
enum { SSE_EVENT = sizeof sse_start - 1 + BENCH_EVENT + sizeof sse_end - 1 };

int64_t job_length(const struct job *job)
{
    return job->kind == JOB_TEXT ? (int64_t)job->text_length : -1;
}

static size_t read_event(struct job *job, char *dst, bool *end)
{
    char event[BENCH_EVENT + 1];
    *end = --job->left == 0;
    bench_event(event, job->kind == JOB_TICKS ? now_us() : 0, *end);
    memcpy(dst, sse_start, sizeof sse_start - 1);
    memcpy(dst + sizeof sse_start - 1, event, BENCH_EVENT);
    memcpy(dst + sizeof sse_start - 1 + BENCH_EVENT, sse_end, sizeof sse_end - 1);
    server.count.events++;
    return SSE_EVENT;
}

/* Most events are the same: they are made once. */
static size_t read_same_event(struct job *job, char *dst, bool *end)
{
    static char same[SSE_EVENT];
    bool last;
    if (job->left == 1)
        return read_event(job, dst, end);
    if (same[0] == '\0') {
        struct job other = {.kind = JOB_EVENTS, .left = 2};
        read_event(&other, same, &last);
        server.count.events--;
    }
    job->left--;
    server.count.events++;
    memcpy(dst, same, SSE_EVENT);
    return SSE_EVENT;
}

static size_t read_blob(struct job *job, char *dst, size_t n, bool *end)
{
    bool media = strstr(job->request.path, "/media-") != NULL;
    const char *piece = media
        ? "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\""
        : "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"";
    if (job->part == 1 && job->left > 0) {
        if (n > (size_t)job->left)
            n = (size_t)job->left;
        memset(dst, 'A', n);
        job->left -= (int64_t)n;
        return n;
    }
    if (job->part > 0) {
        piece = media ? "\"}}],\"role\":\"model\"},\"finishReason\":\"STOP\"}]}\r\n\r\n"
                      : "\"}],\"role\":\"model\"},\"finishReason\":\"STOP\"}]}\r\n\r\n";
        if (n < strlen(piece))
            return 0;
        *end = job->answered = true;
        server.count.events++;
    }
    job->part++;
    memcpy(dst, piece, strlen(piece));
    return strlen(piece);
}

static size_t read_text(struct job *job, char *dst, size_t n, bool *end)
{
    if (n < job->text_length)
        return 0;
    memcpy(dst, job->text, job->text_length);
    *end = job->answered = true;
    return job->text_length;
}

size_t job_read(struct job *job, char *dst, size_t n, bool *end)
{
    *end = false;
    if (n < 256)
        return 0;
    switch (job->kind) {
    case JOB_TEXT:
        return read_text(job, dst, n, end);
    case JOB_BLOB:
        return read_blob(job, dst, n, end);
    case JOB_EVENTS:
        return n < SSE_EVENT ? 0 : read_same_event(job, dst, end);
    default:
        if (n < SSE_EVENT || job->due <= 0)
            return 0;
        job->due--;
        return read_event(job, dst, end);
    }
}

void job_end(struct job *job)
{
    if (job->kind != JOB_TICKS)
        return;
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        ticking = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    waiting -= job->due < 0;
}

/* ---- ticks ---- */

void job_tick(void (*due)(struct job *))
{
    for (struct job *j = ticking; j != NULL; j = j->next)
        if (j->due >= 0 && j->due < j->left) {
            j->due++;
            due(j);
        }
}
