#include "exchange.h"

#include <math.h>
#include <string.h>

#include "poller.h"

#define FILE_BUFFER (512L * 1024)   /* fewer system calls for files */
#define BASE64_BUFFER (256L * 1024) /* the same, and there may be many such requests at once */
#define MEMORY_BUFFER (64L * 1024)  /* stays in the cache for bytes from memory */
#define SLICE ((size_t)96 << 10)    /* read at once in a step that has an end: see within_step */
#define SUPPLY_MAX ((size_t)1 << 20) /* asked of a reader at once */

void gem_exchange_tell(struct gem_exchange *ex)
{
    if (ex->ready == NULL || ex->is_ready)
        return;
    ex->is_ready = true;
    ex->next_ready = NULL;
    if (ex->ready->last != NULL)
        ex->ready->last->next_ready = ex;
    else
        ex->ready->first = ex;
    ex->ready->last = ex;
}

/* The first failure inside a callback is the reason that people see; libcurl's own word for it is "aborted". */
static void remember(struct gem_exchange *ex, const struct gem_err *err)
{
    if (ex->failed)
        return;
    ex->failed = true;
    ex->err = gem_mem_alloc(ex->mem, sizeof *ex->err);
    if (ex->err != NULL)
        *ex->err = *err;
}

/* The loop's next step takes the pause away. */
static void want_resume(struct gem_exchange *ex)
{
    ex->resume = true;
    if (ex->ready != NULL)
        ex->ready->resume = true;
}

/* ---- callbacks: no Lua, no waiting, nothing that can re-enter libcurl ---- */

static int on_connected(void *ud, char *a, char *b, int c, int d)
{
    struct gem_exchange *ex = ((struct gem_handle *)ud)->owner;
    struct gem_err err;
    long connects = 1;
    (void)a, (void)b, (void)c, (void)d;
    if (ex->phase != GEM_PHASE_CONNECTING) { /* libcurl sends a request without a body again by itself */
        gem_err_set(&err, GEM_NETWORK, 0, "the connection broke before an answer came");
        remember(ex, &err);
        return CURL_PREREQFUNC_ABORT;
    }
    if (ex->whole)
        ex->sent = ex->length;
    ex->phase = ex->sent < ex->length ? GEM_PHASE_SENDING : GEM_PHASE_WAITING;
    ex->since = gem_now();
    ex->facts.connect = ex->since - ex->started;
    curl_easy_getinfo(ex->handle->easy, CURLINFO_NUM_CONNECTS, &connects);
    ex->facts.reused = connects == 0;
    return CURL_PREREQFUNC_OK;
}

static size_t take_supplied(struct gem_exchange *ex, char *dst, size_t n)
{
    size_t got = ex->supplied.len < n ? ex->supplied.len : n;
    memcpy(dst, gem_buf_head(&ex->supplied), got);
    gem_buf_consume(&ex->supplied, got);
    return got;
}

/* In a step that has an end the clock is read after each slice, which takes some 0.1 ms with its hash. That costs no
 * more than large pieces: after a pause nothing is in the processor's cache, and all slices use what the first brings in. */
static size_t within_step(const struct gem_exchange *ex, size_t n)
{
    return n <= SLICE || ex->ready == NULL || ex->ready->end == HUGE_VAL ? n : SLICE;
}

static size_t on_read(char *dst, size_t one, size_t n, void *ud)
{
    struct gem_exchange *ex = ud;
    int64_t left = ex->length - ex->sent;
    size_t got = 0;
    struct gem_err err;
    enum gem_body_read result = GEM_BODY_OK;
    n *= one;
    if ((int64_t)n > left)
        n = (size_t)left;
    n = within_step(ex, n);
    if (ex->supplied.len > 0)
        got = take_supplied(ex, dst, n);
    else if (n > 0)
        result = gem_body_read_at(ex->body, &ex->cursor, ex->offset + ex->sent, dst,
                                  gem_body_whole(ex->body, ex->offset + ex->sent, n), &got, &err);
    ex->since = gem_now();
    if (result == GEM_BODY_OK && got == 0 && n > 0) {
        gem_err_set(&err, GEM_CLOSED, 0, "the body was closed while it was sent");
        result = GEM_BODY_FAILED;
    }
    if (result == GEM_BODY_FAILED) {
        remember(ex, &err);
        return CURL_READFUNC_ABORT;
    }
    if (result == GEM_BODY_WAIT) {
        ex->held_out = true;
        gem_exchange_tell(ex);
        return CURL_READFUNC_PAUSE;
    }
    if (ex->hash != NULL)
        gem_sha256_feed(ex->hash, ex->hash_offset + ex->offset + ex->sent, dst, got);
    ex->sent += (int64_t)got;
    if (ex->sent == ex->length && ex->phase == GEM_PHASE_SENDING)
        ex->phase = GEM_PHASE_WAITING;
    return got;
}

/* Request bytes leave libcurl's buffer without a call for more: half a megabyte may take a slow line a minute. */
static int on_progress(void *ud, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t uploaded)
{
    struct gem_exchange *ex = ud;
    (void)a, (void)b, (void)c;
    if (uploaded != ex->uploaded) {
        ex->uploaded = uploaded;
        ex->since = gem_now();
    }
    return 0;
}

/* libcurl would send the body again by itself after a reused connection broke. Only our code repeats. */
static int on_seek(void *ud, curl_off_t offset, int origin)
{
    (void)ud, (void)offset, (void)origin;
    return CURL_SEEKFUNC_FAIL;
}

static bool is_status_line(const char *line, size_t n)
{
    return n >= 5 && memcmp(line, "HTTP/", 5) == 0;
}

static size_t line_length(const char *line, size_t n)
{
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    return n;
}

static int version_of(CURL *easy)
{
    long v = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &v);
    switch (v) {
    case CURL_HTTP_VERSION_1_0: return 10;
    case CURL_HTTP_VERSION_1_1: return 11;
    case CURL_HTTP_VERSION_2_0: return 20;
    case CURL_HTTP_VERSION_3: return 30;
    default: return 0;
    }
}

/* The empty line: an interim answer (1xx) is forgotten, a final one begins. From 300 on libcurl sends no more of the
 * body; but it waits for the end of a pause first. */
static void end_head(struct gem_exchange *ex)
{
    long status = 0;
    curl_easy_getinfo(ex->handle->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        gem_buf_clear(&ex->head);
        return;
    }
    ex->head_done = true;
    ex->status = status;
    ex->phase = GEM_PHASE_RECEIVING;
    ex->since = gem_now();
    ex->facts.first_byte = ex->since - ex->started;
    if (ex->shares && version_of(ex->handle->easy) < 20 && ex->ready != NULL)
        ex->apart = ex->ready->apart = true;
    if (status >= 300 && ex->held_out)
        want_resume(ex);
}

static size_t on_header(char *line, size_t one, size_t n, void *ud)
{
    struct gem_exchange *ex = ((struct gem_handle *)ud)->owner;
    struct gem_err err;
    size_t length = line_length(line, n *= one);
    ex->head_bytes += n;
    if (ex->head_bytes > ex->limits.head) {
        gem_err_set(&err, GEM_LIMIT, 0, "the answer's headers are larger than max_head (%zu bytes)", ex->limits.head);
        remember(ex, &err);
        return 0;
    }
    if (ex->head_done) /* a trailer; counted, not kept */
        return n;
    if (is_status_line(line, length))
        gem_buf_clear(&ex->head);
    if (length == 0)
        end_head(ex);
    else if (gem_buf_add(&ex->head, line, length, &err) < 0 || gem_buf_add(&ex->head, "\n", 1, &err) < 0) {
        remember(ex, &err);
        return 0;
    }
    return n;
}

/* Of n more bytes, as many as may be held: the beginning of a refusal says what is wrong. */
static size_t within_limits(struct gem_exchange *ex, size_t n)
{
    struct gem_err err;
    bool refused = ex->status >= 300 && ex->limits.error < ex->limits.answer;
    size_t most = refused ? ex->limits.error : ex->limits.answer;
    if (n <= most && ex->inbox.len <= most - n)
        return n;
    gem_err_set(&err, GEM_LIMIT, 0, "the answer is larger than %s (%zu bytes)", refused ? "max_error" : "max_answer",
                most);
    remember(ex, &err);
    return refused && ex->inbox.len < most ? most - ex->inbox.len : 0;
}

static size_t on_write(char *bytes, size_t one, size_t n, void *ud)
{
    struct gem_exchange *ex = ((struct gem_handle *)ud)->owner;
    struct gem_err err;
    n *= one;
    bool full = ex->inbox.len > 0 && ex->inbox.len + n > ex->limits.room;
    ex->since = ex->ready != NULL ? ex->ready->now : gem_now();
    if (full && ex->limits.room < ex->limits.answer) { /* all or none: libcurl brings it again */
        ex->held_in = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    n = within_limits(ex, n); /* less than came ends it */
    if (gem_buf_add(&ex->inbox, bytes, n, &err) < 0) {
        remember(ex, &err);
        return 0;
    }
    if (ex->tell_data)
        gem_exchange_tell(ex);
    return n;
}

/* ---- opening ---- */

static long buffer_for(const struct gem_body *body)
{
    long size = MEMORY_BUFFER;
    for (size_t i = 0; i < body->count; i++) {
        const struct gem_segment *s = &body->segments[i];
        if (!s->base64 && (s->source == GEM_SOURCE_FILE || s->source == GEM_SOURCE_HANDLE))
            return FILE_BUFFER;
        size = s->base64 ? BASE64_BUFFER : size;
    }
    return size;
}

/* A small body goes to libcurl at once: it leaves with the head, in one piece, and needs no buffer that lives as long as
 * the exchange. */
static CURLcode set_whole_body(struct gem_exchange *ex)
{
    struct gem_err err;
    size_t n = (size_t)ex->length, got = 0;
    char *bytes = gem_mem_alloc(ex->mem, n + 1);
    CURLcode bad = bytes == NULL ? CURLE_OUT_OF_MEMORY : CURLE_OK;
    if (bad == CURLE_OK && n > 0)
        gem_body_read_at(ex->body, &ex->cursor, ex->offset, bytes, n, &got, &err);
    if (bad == CURLE_OK && got == n)
        bad = curl_easy_setopt(ex->handle->easy, CURLOPT_COPYPOSTFIELDS, bytes);
    gem_mem_free(ex->mem, bytes, n + 1);
    return got == n ? bad : CURLE_READ_ERROR;
}

static CURLcode set_body(struct gem_exchange *ex, const struct gem_request *r)
{
    CURL *e = ex->handle->easy;
    CURLcode bad = 0;
    if (strcmp(r->method, "GET") == 0)
        return curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    if (r->body == NULL && r->text == NULL && strcmp(r->method, "POST") != 0)
        return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    bad |= curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (strcmp(r->method, "POST") != 0)
        bad |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ex->length);
    ex->whole = gem_request_is_small(r);
    if (r->text != NULL)
        return bad | curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, r->text);
    if (ex->whole)
        return bad | set_whole_body(ex);
    bad |= curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    bad |= curl_easy_setopt(e, CURLOPT_READDATA, ex);
    bad |= curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    bad |= curl_easy_setopt(e, CURLOPT_SEEKDATA, ex);
    bad |= curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    bad |= curl_easy_setopt(e, CURLOPT_XFERINFODATA, ex);
    if (ex->length > MEMORY_BUFFER)
        bad |= curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, buffer_for(r->body));
    return bad;
}

/* What these callbacks get is the handle, which knows its owner. */
static CURLcode set_answer(struct gem_handle *handle, const struct gem_request *r)
{
    CURL *e = handle->easy;
    CURLcode bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, handle);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, handle);
    bad |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
    bad |= curl_easy_setopt(e, CURLOPT_PREREQDATA, handle);
    bad |= curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (r->compressed)
        bad |= curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
    return bad;
}

int gem_exchange_prepare(struct gem_err *err)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : gem_err_memory(err);
}

void gem_exchange_trust(const char **ca_path, const char **ca_file)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    bool hashed = info->capath != NULL && gem_file_has_hashed_certificates(info->capath);
    *ca_path = hashed ? info->capath : NULL;
    *ca_file = hashed ? NULL : info->cainfo;
}

static bool take_handle(struct gem_exchange *ex, const struct gem_request *r)
{
    ex->handle = gem_spare_take(ex->spare, r->url);
    if (ex->handle == NULL) {
        ex->handle = gem_handle_open(ex->mem, ex->spare, r);
        if (ex->handle == NULL || set_answer(ex->handle, r) != CURLE_OK)
            return false;
    }
    ex->handle->owner = ex;
    ex->handle->message[0] = '\0';
    return true;
}

int gem_exchange_open(struct gem_exchange *ex, const struct gem_mem *mem, const struct gem_request *r,
                      struct gem_err *err)
{
    ex->mem = mem;
    ex->body = r->body;
    ex->offset = r->offset;
    ex->length = r->length;
    ex->hash = r->hash;
    ex->hash_offset = r->hash_offset;
    ex->limits = r->limits;
    ex->clocks = r->clocks;
    ex->tell_data = r->tell_data;
    ex->is_stream = r->tell_data && !r->http1;
    ex->shares = gem_request_shares(r);
    ex->origin = ex->shares ? gem_request_origin(r) : 0;
    gem_body_cursor_init(&ex->cursor);
    gem_buf_init(&ex->supplied, mem, SUPPLY_MAX);
    gem_buf_init(&ex->inbox, mem, r->limits.answer);
    gem_buf_init(&ex->head, mem, r->limits.head);
    if (strcmp(r->method, "POST") == 0 && gem_request_is_small(r)) /* others set more than set_body resets */
        ex->spare = r->spare;
    ex->phase = GEM_PHASE_QUEUED;
    ex->since = gem_now();
    if (!take_handle(ex, r) || set_body(ex, r) != CURLE_OK) {
        gem_exchange_close(ex);
        return gem_err_set(err, GEM_LIMIT, 0, "not enough memory, or a libcurl without what is needed (7.88, TLS)");
    }
    return 0;
}

static void release(struct gem_exchange *ex)
{
    gem_handle_close(ex->handle);
    ex->handle = NULL;
    gem_body_cursor_free(&ex->cursor);
    gem_buf_free(&ex->supplied);
    ex->body = NULL;
    ex->hash = NULL;
}

void gem_exchange_close(struct gem_exchange *ex)
{
    if (ex->phase == GEM_PHASE_CLOSED)
        return;
    release(ex);
    gem_buf_free(&ex->inbox);
    gem_buf_free(&ex->head);
    gem_mem_free(ex->mem, ex->err, sizeof *ex->err);
    ex->err = NULL;
    ex->phase = GEM_PHASE_CLOSED;
}

/* ---- ending ---- */

static void take_facts(struct gem_exchange *ex)
{
    curl_off_t sent = 0, received = 0;
    curl_easy_getinfo(ex->handle->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(ex->handle->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    ex->facts.http_version = version_of(ex->handle->easy);
    ex->facts.total = ex->started > 0 ? gem_now() - ex->started : 0;
    ex->facts.sent = sent;
    ex->facts.received = received;
}

static void end(struct gem_exchange *ex)
{
    take_facts(ex);
    if (!ex->failed && !ex->reads_little && gem_spare_leave(ex->spare, ex->handle))
        ex->handle = NULL;
    release(ex);
    ex->phase = GEM_PHASE_DONE;
    ex->held_in = ex->held_out = ex->resume = false;
    gem_exchange_tell(ex);
}

void gem_exchange_fail(struct gem_exchange *ex, const struct gem_err *err)
{
    if (ex->phase == GEM_PHASE_CLOSED || ex->phase == GEM_PHASE_DONE)
        return;
    remember(ex, err);
    end(ex);
}

/* libcurl's message then quotes the URL, with the password in it. */
static bool is_bad_proxy(const struct gem_exchange *ex)
{
    static const char words[] = "Unsupported proxy";
    return strncmp(ex->handle->message, words, sizeof words - 1) == 0;
}

/* In TLS 1.3 a server that does not like our certificate says so when we already read. */
static bool is_alert(const struct gem_exchange *ex)
{
    return ex->status == 0 && strstr(ex->handle->message, "SSL routines:") != NULL && strstr(ex->handle->message, " alert ") != NULL;
}

/* libcurl takes header lines of up to 100 KB. It says "out of memory" of a longer one, "too large" since 8.6. */
static bool is_long_line(const struct gem_exchange *ex, CURLcode result)
{
    enum { TOO_LARGE = 100 };
    return (result == CURLE_OUT_OF_MEMORY || (int)result == TOO_LARGE) && ex->phase > GEM_PHASE_CONNECTING &&
           !ex->head_done;
}

/* The connection went away in the middle of the handshake: no certificate is to blame for that. */
static bool is_cut(const struct gem_exchange *ex)
{
    static const char *const words[] = {"SSL_ERROR_SYSCALL", "Recv failure", "Send failure"};
    bool found = false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        found = found || strstr(ex->handle->message, words[i]) != NULL;
    return found;
}

static enum gem_kind kind_of(const struct gem_exchange *ex, CURLcode result)
{
    if (is_bad_proxy(ex))
        return GEM_INVALID;
    if (is_long_line(ex, result))
        return GEM_LIMIT;
    switch (result) {
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return is_alert(ex) ? GEM_TLS : GEM_NETWORK;
    case CURLE_SSL_CLIENTCERT:
        return GEM_TLS;
    case CURLE_URL_MALFORMAT:
        return GEM_INVALID;
    case CURLE_OUT_OF_MEMORY:
        return GEM_LIMIT;
    case CURLE_UNSUPPORTED_PROTOCOL: /* "HTTP/0.9": no status line; or the URL's, which never connects */
        return ex->phase > GEM_PHASE_CONNECTING ? GEM_PROTOCOL : GEM_INVALID;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return GEM_PROTOCOL;
    case CURLE_SSL_CONNECT_ERROR:
        return is_cut(ex) ? GEM_NETWORK : GEM_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_USE_SSL_FAILED:
        return GEM_TLS;
    default:
        return GEM_NETWORK;
    }
}

static const char *words_of(struct gem_exchange *ex, CURLcode result)
{
    if (result == CURLE_SEND_FAIL_REWIND)
        return "the connection broke while the request was sent";
    if (result == CURLE_SSL_CONNECT_ERROR && is_cut(ex))
        return "the connection broke in the TLS handshake";
    if (is_long_line(ex, result))
        return "a line of the answer's headers is longer than libcurl takes, or memory is short";
    if (is_bad_proxy(ex))
        return "the proxy's URL makes no sense, or libcurl has no such proxies: scheme://host:port is needed";
    return ex->handle->message[0] != '\0' ? ex->handle->message : curl_easy_strerror(result);
}

void gem_exchange_finish(struct gem_exchange *ex, CURLcode result)
{
    struct gem_err err;
    enum gem_kind kind = kind_of(ex, result);
    if (result == CURLE_OK && !ex->head_done)
        result = CURLE_GOT_NOTHING; /* closed inside the head, which libcurl forgives */
    /* A server that refuses an upload answers and hangs up: what it said counts, not that it hung up. */
    if (result != CURLE_OK && !ex->failed && !(kind == GEM_NETWORK && ex->status >= 400)) {
        if (kind == GEM_NETWORK && ex->status != 0)
            kind = GEM_INCOMPLETE;
        gem_err_set(&err, kind, (int)result, "%s", words_of(ex, result));
        remember(ex, &err);
    }
    end(ex);
}

void gem_exchange_error(const struct gem_exchange *ex, struct gem_err *err)
{
    if (ex->err != NULL)
        *err = *ex->err;
    else
        gem_err_memory(err);
}

/* ---- clocks ---- */

static double phase_clock(const struct gem_exchange *ex, const char **name)
{
    switch (ex->phase) {
    case GEM_PHASE_CONNECTING:
        *name = "connect";
        return ex->clocks.connect;
    case GEM_PHASE_WAITING:
        *name = "first_byte";
        return ex->clocks.first_byte;
    case GEM_PHASE_SENDING:
    case GEM_PHASE_RECEIVING:
        *name = "idle";
        return ex->held_in || ex->held_out ? 0 : ex->clocks.idle;
    default:
        return 0;
    }
}

double gem_exchange_expiry(const struct gem_exchange *ex, const char **name)
{
    double seconds = phase_clock(ex, name);
    double when = seconds > 0 ? ex->since + seconds : HUGE_VAL;
    if (ex->phase == GEM_PHASE_CLOSED || ex->phase == GEM_PHASE_DONE)
        return HUGE_VAL;
    if (ex->clocks.deadline > 0 && ex->clocks.deadline < when) {
        *name = "total";
        return ex->clocks.deadline;
    }
    return when;
}

static const char *doing(enum gem_phase phase)
{
    switch (phase) {
    case GEM_PHASE_QUEUED: return "waiting for its turn";
    case GEM_PHASE_CONNECTING: return "connecting";
    case GEM_PHASE_SENDING: return "sending";
    case GEM_PHASE_WAITING: return "waiting for the answer";
    default: return "receiving the answer";
    }
}

static double clock_seconds(const struct gem_exchange *ex, const char *name)
{
    const char *current;
    double seconds = phase_clock(ex, &current);
    return strcmp(name, "total") == 0 ? 0 : seconds;
}

void gem_exchange_time_out(struct gem_exchange *ex, const char *name)
{
    struct gem_err err;
    double seconds = clock_seconds(ex, name);
    if (seconds > 0)
        gem_err_set(&err, GEM_TIMEOUT, 0, "%s: %g s passed without progress while %s", name, seconds, doing(ex->phase));
    else
        gem_err_set(&err, GEM_TIMEOUT, 0, "%s: the time for the whole call was used up while %s", name, doing(ex->phase));
    err.clock = name;
    gem_exchange_fail(ex, &err);
}

/* ---- the owner's side ---- */

void gem_exchange_consume(struct gem_exchange *ex, size_t n)
{
    gem_buf_consume(&ex->inbox, n);
    if (ex->held_in && ex->inbox.len <= ex->limits.room / 2)
        want_resume(ex);
}

void gem_exchange_take(struct gem_exchange *ex, struct gem_buf *into)
{
    struct gem_buf full = ex->inbox;
    ex->inbox = *into;
    ex->inbox.max = full.max;
    full.max = into->max;
    *into = full;
    gem_exchange_consume(ex, 0);
}

bool gem_exchange_wants(const struct gem_exchange *ex, int64_t *offset, int64_t *n)
{
    int64_t left = ex->length - ex->sent, readers;
    if (!ex->held_out || ex->resume)
        return false;
    *offset = ex->offset + ex->sent;
    readers = gem_body_reader_left(ex->body, *offset);
    left = readers < left ? readers : left;
    *n = left < (int64_t)SUPPLY_MAX ? left : (int64_t)SUPPLY_MAX;
    return *n > 0;
}

int gem_exchange_supply(struct gem_exchange *ex, const void *bytes, size_t n, struct gem_err *err)
{
    if (gem_buf_add(&ex->supplied, bytes, n, err) < 0)
        return -1;
    want_resume(ex);
    return 0;
}

CURLcode gem_exchange_resume(struct gem_exchange *ex)
{
    ex->resume = ex->held_in = ex->held_out = false;
    ex->since = gem_now();
    return curl_easy_pause(ex->handle->easy, CURLPAUSE_CONT);
}
