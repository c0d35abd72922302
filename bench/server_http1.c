#define _GNU_SOURCE

#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- requests ---- */

static void copy(char *dst, size_t room, const char *text, size_t n)
{
    snprintf(dst, room, "%.*s", (int)n, text);
}

static void take_header(struct request *r, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (colon == NULL)
        return;
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1 + strspn(colon + 1, " ");
    size_t length = n - (size_t)(value - line);
    if (name == 14 && strncasecmp(line, "content-length", name) == 0)
        r->length = strtoll(value, NULL, 10);
    else if (name == 4 && strncasecmp(line, "host", name) == 0)
        copy(r->host, sizeof r->host, value, length);
    else if (name == 21 && strncasecmp(line, "x-goog-upload-command", name) == 0)
        copy(r->command, sizeof r->command, value, length);
    else if (name == 20 && strncasecmp(line, "x-goog-upload-offset", name) == 0)
        r->offset = strtoll(value, NULL, 10);
}

static bool parse_head(struct conn *conn, struct request *r, size_t n)
{
    const char *line = conn->in, *end = conn->in + n;
    if (sscanf(line, "%7s %255s HTTP/1.1\r\n", r->method, r->path) != 2)
        return false;
    r->secure = conn->ssl != NULL;
    while (line < end) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        take_header(r, line, (size_t)(stop - line));
        line = stop + 2;
    }
    return true;
}

static void end_job(struct conn *conn)
{
    if (conn->job == NULL)
        return;
    job_end(conn->job);
    free(conn->job);
    conn->job = NULL;
    conn->in_answer = false;
}

static void answer(struct conn *conn)
{
    struct job *job = conn->job;
    char fields[512] = "";
    job_answer(job);
    conn->in_answer = true;
    conn->last = strstr(job->request.path, "/files/last:") != NULL;
    if (conn->last)
        snprintf(fields, sizeof fields, "Connection: close\r\n");
    if (conn->out == NULL)
        conn->out = bench_alloc(OUT_ROOM);
    for (const char *line = job->head; *line != '\0'; line = strchr(line, '\n') + 1)
        snprintf(fields + strlen(fields), sizeof fields - strlen(fields), "%.*s\r\n", (int)strcspn(line, "\n"), line);
    if (job_length(job) >= 0)
        snprintf(fields + strlen(fields), sizeof fields - strlen(fields),
            "Content-Type: application/json; charset=UTF-8\r\nContent-Length: %" PRId64 "\r\n\r\n", job_length(job));
    else
        snprintf(fields + strlen(fields), sizeof fields - strlen(fields),
            "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    conn->out_length = (size_t)snprintf(conn->out, OUT_ROOM, "HTTP/1.1 200 OK\r\n%s", fields);
    conn->out_at = 0;
    http1_write(conn);
}

/* Takes n bytes of the body; at its end the answer begins. */
static void take_body(struct conn *conn, size_t n)
{
    struct job *job = conn->job;
    job_body(job, n);
    job->request.length -= (int64_t)n;
    if (job->at_reset)
        conn_kill(conn);
    else if (job->request.length == 0)
        answer(conn);
}

static void begin(struct conn *conn, size_t head)
{
    struct job *job = conn->job = bench_alloc(sizeof *job);
    job->conn = conn;
    if (!parse_head(conn, &job->request, head)) {
        conn_kill(conn);
        return;
    }
    size_t rest = conn->in_length - head;
    if ((int64_t)rest > job->request.length)
        rest = (size_t)job->request.length;
    memmove(conn->in, conn->in + head + rest, conn->in_length - head - rest);
    conn->in_length -= head + rest;
    job_begin(job);
    take_body(conn, rest);
}

/* A connection whose answer is under way is not read: requests are not piped here. */
void http1_readable(struct conn *conn)
{
    if (conn->job != NULL && !conn->in_answer) {
        size_t most = 1 << 20;
        if ((int64_t)most > conn->job->request.length)
            most = (size_t)conn->job->request.length;
        if (server.shape > 0 && (int64_t)most > server.allowance)
            most = (size_t)server.allowance;
        if (most == 0) {
            conn_hold(conn);
            return;
        }
        size_t n = conn_receive(conn, NULL, most);
        server.allowance -= server.shape > 0 ? (int64_t)n : 0;
        if (n > 0)
            take_body(conn, n);
        return;
    }
    size_t n = conn_receive(conn, conn->in + conn->in_length, sizeof conn->in - 1 - conn->in_length);
    conn->in_length += n;
    conn->in[conn->in_length] = '\0';
    char *stop = conn->job == NULL ? memmem(conn->in, conn->in_length, "\r\n\r\n", 4) : NULL;
    if (stop != NULL)
        begin(conn, (size_t)(stop - conn->in) + 4);
    else if (n == 0 || conn->in_length == sizeof conn->in - 1)
        return;
}

/* ---- answers ---- */

/* Fills what is free of the room with pieces of the answer, each a chunk where the length is not known before. */
static void fill(struct conn *conn)
{
    enum { FRAME = 12 }; /* of a chunk: six digits of length, two line ends, and room */
    struct job *job = conn->job;
    bool end = false;
    while (!end && conn->out_length < OUT_ROOM - FRAME - 8) {
        char *to = conn->out + conn->out_length;
        size_t room = OUT_ROOM - conn->out_length - FRAME - 8;
        bool chunked = job_length(job) < 0;
        size_t n = job_read(job, chunked ? to + 8 : to, room, &end);
        if (n == 0)
            break;
        conn->out_length += n;
        if (chunked) {
            char frame[24];
            snprintf(frame, sizeof frame, "%06zx\r\n", n);
            memcpy(to, frame, 8);
            memcpy(to + 8 + n, "\r\n0\r\n\r\n", end ? 7 : 2);
            conn->out_length += 8 + (end ? 7 : 2);
        }
    }
    if (end)
        end_job(conn);
}

void http1_write(struct conn *conn)
{
    while (!conn->dead && conn_flush(conn) && conn->job != NULL && conn->in_answer) {
        conn->out_length = conn->out_at = 0;
        fill(conn);
        if (conn->out_length == 0)
            return; /* until the next tick */
    }
    if (conn->last && conn->job == NULL && conn->out_at == conn->out_length)
        conn_kill(conn);
}

void http1_close(struct conn *conn)
{
    end_job(conn);
}
