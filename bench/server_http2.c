#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many as the service allows. */
enum { STREAMS = 100, WINDOW = 1 << 24 };

/* ---- requests ---- */

static void link_job(struct job *job)
{
    job->after = job->conn->job;
    if (job->after != NULL)
        job->after->before = job;
    job->conn->job = job;
}

static void end_job(struct job *job)
{
    if (job->before != NULL)
        job->before->after = job->after;
    else
        job->conn->job = job->after;
    if (job->after != NULL)
        job->after->before = job->before;
    job_end(job);
    free(job);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ud)
{
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct job *job = bench_alloc(sizeof *job);
    job->conn = ud;
    job->stream = frame->hd.stream_id;
    job->request.secure = true;
    link_job(job);
    nghttp2_session_set_stream_user_data(session, job->stream, job);
    return 0;
}

static bool is(const uint8_t *name, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(name, text, n) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n,
                     const uint8_t *value, size_t length, uint8_t flags, void *ud)
{
    struct job *job = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)length, (void)flags, (void)ud;
    if (job == NULL)
        return 0;
    struct request *r = &job->request;
    const char *text = (const char *)value; /* nghttp2 ends it with NUL */
    if (is(name, n, ":method"))
        snprintf(r->method, sizeof r->method, "%s", text);
    else if (is(name, n, ":path"))
        snprintf(r->path, sizeof r->path, "%s", text);
    else if (is(name, n, ":authority"))
        snprintf(r->host, sizeof r->host, "%s", text);
    else if (is(name, n, "x-goog-upload-command"))
        snprintf(r->command, sizeof r->command, "%s", text);
    else if (is(name, n, "x-goog-upload-offset"))
        r->offset = strtoll(text, NULL, 10);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t n, void *ud)
{
    struct job *job = nghttp2_session_get_stream_user_data(session, stream);
    (void)flags, (void)data;
    if (job == NULL)
        return 0;
    job_body(job, n);
    if (job->at_reset)
        conn_kill(ud);
    return 0;
}

/* ---- answers ---- */

/* As many pieces as fit into a frame. */
static ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *dst, size_t n, uint32_t *flags,
                           nghttp2_data_source *source, void *ud)
{
    struct job *job = source->ptr;
    size_t got = 0, more;
    bool end = false;
    (void)session, (void)stream, (void)ud;
    while (!end && (more = job_read(job, (char *)dst + got, n - got, &end)) > 0)
        got += more;
    if (end)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return got > 0 || end ? (ssize_t)got : NGHTTP2_ERR_DEFERRED;
}

static nghttp2_nv field(const char *name, size_t n, const char *value, size_t length)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, n, length, NGHTTP2_NV_FLAG_NONE};
}

static void lower(char *text)
{
    for (char *p = text; *p != '\0' && *p != ':'; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
}

static void answer(struct conn *conn, struct job *job)
{
    nghttp2_data_provider provider = {.source.ptr = job, .read_callback = read_answer};
    job_answer(job);
    const char *type = job_length(job) < 0 ? "text/event-stream" : "application/json; charset=UTF-8";
    nghttp2_nv fields[8];
    size_t count = 0;
    fields[count++] = field(":status", 7, "200", 3);
    fields[count++] = field("content-type", 12, type, strlen(type));
    for (char *line = job->head; *line != '\0' && count < 8;) {
        size_t n = strcspn(line, "\n"), name = strcspn(line, ":");
        lower(line);
        fields[count++] = field(line, name, line + name + 2, n - name - 2);
        line += n + 1;
    }
    nghttp2_submit_response(conn->h2, job->stream, fields, count, &provider);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ud)
{
    bool request = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    struct job *job = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!request || job == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        job_begin(job);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        answer(ud, job);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ud)
{
    struct job *job = nghttp2_session_get_stream_user_data(session, stream);
    (void)code, (void)ud;
    if (job != NULL) {
        end_job(job);
        nghttp2_session_set_stream_user_data(session, stream, NULL);
    }
    return 0;
}

/* ---- the connection ---- */

void http2_open(struct conn *conn)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        bench_die("out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_server_new(&conn->h2, callbacks, conn) != 0)
        bench_die("out of memory");
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(conn->h2, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(conn->h2, NGHTTP2_FLAG_NONE, 0, WINDOW);
    if (conn->out == NULL)
        conn->out = bench_alloc(OUT_ROOM);
    server.count.http2++;
}

void http2_readable(struct conn *conn)
{
    static char bytes[64 * 1024];
    size_t n;
    while (!conn->dead && (n = conn_receive(conn, bytes, sizeof bytes)) > 0)
        if (nghttp2_session_mem_recv(conn->h2, (const uint8_t *)bytes, n) < 0)
            conn_kill(conn);
    if (!conn->dead)
        http2_write(conn);
}

void http2_due(struct job *job)
{
    nghttp2_session_resume_data(job->conn->h2, job->stream);
}

/* Frames are gathered, so that one record of TLS carries many. */
void http2_write(struct conn *conn)
{
    while (!conn->dead && conn_flush(conn)) {
        const uint8_t *bytes;
        ssize_t n;
        conn->out_length = conn->out_at = 0;
        while (conn->out_length < OUT_ROOM - 20 * 1024 && (n = nghttp2_session_mem_send(conn->h2, &bytes)) > 0) {
            memcpy(conn->out + conn->out_length, bytes, (size_t)n);
            conn->out_length += (size_t)n;
        }
        if (conn->out_length == 0)
            return;
    }
}

void http2_close(struct conn *conn)
{
    nghttp2_session_del(conn->h2);
    conn->h2 = NULL;
    while (conn->job != NULL)
        end_job(conn->job);
}
