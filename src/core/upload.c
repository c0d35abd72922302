#include "upload.h"

#include <string.h>

#define HELD_MAX ((int64_t)64 << 20) /* of a source without a size, which is read ahead */

void gem_upload_init(struct gem_upload *up, int64_t size, int64_t chunk)
{
    memset(up, 0, sizeof *up);
    up->size = size;
    up->chunk = chunk;
    up->granularity = 1;
}

void gem_upload_resume(struct gem_upload *up)
{
    up->state = GEM_UPLOAD_QUERY;
    up->offered = up->size; /* whoever began it may have sent all */
}

/* A request that is not the last has a multiple of the granularity, and at least one. */
static int64_t window(const struct gem_upload *up)
{
    int64_t left = up->size < 0 ? INT64_MAX : up->size - up->acked;
    int64_t most = up->size < 0 && up->chunk > HELD_MAX ? HELD_MAX : up->chunk;
    if (most == 0 && up->size >= 0)
        return left;
    most -= most % up->granularity;
    if (most == 0)
        most = up->granularity;
    return most < left ? most : left;
}

static bool is_last(const struct gem_upload *up, int64_t length)
{
    return up->size >= 0 && up->acked + length == up->size;
}

void gem_upload_next(const struct gem_upload *up, struct gem_upload_request *request)
{
    request->offset = request->length = 0;
    if (up->state == GEM_UPLOAD_START) {
        request->command = "start";
    } else if (up->state == GEM_UPLOAD_QUERY) {
        request->command = "query";
    } else {
        request->offset = up->acked;
        request->length = window(up);
        request->command = is_last(up, request->length) ? "upload, finalize" : "upload";
    }
}

static bool has_status(const struct gem_upload_answer *a, const char *status)
{
    return a->status != NULL && strcmp(a->status, status) == 0;
}

static bool is_success(const struct gem_upload_answer *a)
{
    return a->code >= 200 && a->code < 300;
}

static bool is_passing(const struct gem_upload_answer *a)
{
    return a->code == 0 || a->code == 408 || a->code == 429 || a->code >= 500;
}

static enum gem_upload_verdict stop(struct gem_upload *up)
{
    up->state = GEM_UPLOAD_FAILED;
    return GEM_UPLOAD_STOP;
}

static enum gem_upload_verdict refuse(struct gem_upload *up, struct gem_err *err, enum gem_kind kind, const char *why)
{
    gem_err_set(err, kind, 0, "%s", why);
    return stop(up);
}

/* The server says that it is final. */
static enum gem_upload_verdict done(struct gem_upload *up, struct gem_err *err)
{
    if (up->offered < up->size)
        return refuse(up, err, GEM_PROTOCOL, "the server finished the upload before all bytes were sent");
    up->state = GEM_UPLOAD_DONE;
    return GEM_UPLOAD_END;
}

static enum gem_upload_verdict unfinished(struct gem_upload *up, struct gem_err *err)
{
    return refuse(up, err, GEM_PROTOCOL, "all bytes were sent and the server does not finish the upload");
}

static enum gem_upload_verdict ask(struct gem_upload *up, enum gem_upload_verdict verdict)
{
    up->state = GEM_UPLOAD_QUERY;
    return verdict;
}

/* The session is gone: from the beginning, once. */
static enum gem_upload_verdict restart(struct gem_upload *up)
{
    if (up->restarted)
        return stop(up);
    up->restarted = true;
    up->state = GEM_UPLOAD_START;
    up->acked = up->best = up->offered = 0;
    up->doubted = 0;
    return GEM_UPLOAD_GO;
}

static bool is_gone(const struct gem_upload_answer *a)
{
    return (a->code == 404 || a->code == 410) && !a->api_error;
}

/* The server has `received` bytes. */
static enum gem_upload_verdict go_on(struct gem_upload *up, int64_t received, struct gem_err *err)
{
    if (received > up->offered)
        return refuse(up, err, GEM_PROTOCOL, "the server says it has more bytes than were sent");
    if (received > up->best) {
        up->best = received;
        up->doubted = 0;
    }
    up->acked = received;
    up->state = GEM_UPLOAD_SEND;
    return GEM_UPLOAD_GO;
}

static enum gem_upload_verdict take_start(struct gem_upload *up, const struct gem_upload_answer *a,
                                          struct gem_err *err)
{
    if (is_passing(a))
        return GEM_UPLOAD_AGAIN;
    if (!is_success(a))
        return stop(up);
    if (!a->has_url)
        return refuse(up, err, GEM_PROTOCOL, "the server did not say where to upload to (no X-Goog-Upload-URL)");
    up->state = GEM_UPLOAD_SEND;
    return GEM_UPLOAD_GO;
}

/* After a request that was taken but did not end the upload. */
static enum gem_upload_verdict take_active(struct gem_upload *up, const struct gem_upload_answer *a,
                                           const struct gem_upload_request *sent, struct gem_err *err)
{
    int64_t received = a->received >= 0 ? a->received : sent->offset + sent->length;
    if (!is_last(up, sent->length))
        return received > sent->offset ? go_on(up, received, err) : ask(up, GEM_UPLOAD_AGAIN);
    if (up->doubted)
        return unfinished(up, err);
    up->doubted = a->code;
    return ask(up, GEM_UPLOAD_GO);
}

static enum gem_upload_verdict take_send(struct gem_upload *up, const struct gem_upload_answer *a,
                                         struct gem_err *err)
{
    struct gem_upload_request sent;
    gem_upload_next(up, &sent);
    up->tried = sent.offset;
    if (sent.offset + sent.length > up->offered)
        up->offered = sent.offset + sent.length;
    if (is_passing(a))
        return ask(up, GEM_UPLOAD_AGAIN);
    if (has_status(a, "cancelled"))
        return is_success(a) ? refuse(up, err, GEM_PROTOCOL, "the server cancelled the upload") : stop(up);
    if (is_success(a)) {
        if (has_status(a, "final"))
            return done(up, err);
        return has_status(a, "active") ? take_active(up, a, &sent, err) : ask(up, GEM_UPLOAD_AGAIN);
    }
    if (is_gone(a))
        return restart(up);
    if (has_status(a, "final") || a->api_error || up->doubted)
        return stop(up);
    if (a->code != 400 && a->code != 412 && a->code != 416)
        return stop(up);
    up->doubted = a->code; /* perhaps we only disagree on the offset */
    return ask(up, GEM_UPLOAD_GO);
}

static enum gem_upload_verdict take_query(struct gem_upload *up, const struct gem_upload_answer *a,
                                          struct gem_err *err)
{
    if (is_passing(a))
        return GEM_UPLOAD_AGAIN;
    if (is_gone(a))
        return restart(up);
    if (!is_success(a))
        return stop(up);
    if (has_status(a, "final"))
        return done(up, err);
    if (has_status(a, "cancelled"))
        return refuse(up, err, GEM_PROTOCOL, "the server cancelled the upload");
    if (!has_status(a, "active"))
        return GEM_UPLOAD_AGAIN;
    if (a->received < 0)
        return refuse(up, err, GEM_PROTOCOL, "the server does not say how many bytes it has");
    if (up->doubted && a->received == up->tried) /* no disagreement: the refusal stands */
        return up->doubted < 300 ? unfinished(up, err) : stop(up);
    return go_on(up, a->received, err);
}

static enum gem_upload_verdict take(struct gem_upload *up, const struct gem_upload_answer *a, struct gem_err *err)
{
    switch (up->state) {
    case GEM_UPLOAD_START: return take_start(up, a, err);
    case GEM_UPLOAD_SEND: return take_send(up, a, err);
    case GEM_UPLOAD_QUERY: return take_query(up, a, err);
    default: return refuse(up, err, GEM_PROTOCOL, "the upload is over");
    }
}

enum gem_upload_verdict gem_upload_take(struct gem_upload *up, const struct gem_upload_answer *a, struct gem_err *err)
{
    gem_err_clear(err);
    enum gem_upload_verdict verdict = take(up, a, err);
    if (a->granularity > 0)
        up->granularity = a->granularity; /* of the next request: what was sent had the old one */
    if (up->size < 0 && up->granularity > HELD_MAX && up->state == GEM_UPLOAD_SEND)
        return refuse(up, err, GEM_LIMIT, "the server wants more bytes in one request than may be held");
    return verdict;
}
