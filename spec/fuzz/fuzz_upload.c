/* The upload's decision table against arbitrary answers. The windows lie in the file and fit the granularity, the last
 * one alone finalizes; nothing counts as acknowledged that was not offered; DONE means that all of it was; and without
 * AGAIN it comes to an end.
 *
 * Input: whether another process began it, size, chunk; then the answers. Numbers are a byte that says how to make one,
 * and what that takes. */
#include "fuzz.h"

#include "../../src/core/upload.h"

#define HELD ((int64_t)64 << 20)   /* of a source without a size, in one request */
#define MOST ((int64_t)1 << 53)    /* what the binding lets through */

/* Steps without AGAIN in which the server gets no further: more than the table has states for. */
enum { IDLE_STEPS = 10 };

struct player {
    struct gem_upload up;
    struct fuzz_input in;
    int64_t granularity, offered, best;
    int starts, idle;
};

static int64_t some_number(struct player *p, const struct gem_upload_request *request)
{
    unsigned how = fuzz_byte(&p->in);
    switch (how % 12) {
    case 0: return -1;
    case 1: return request->offset + request->length;
    case 2: return request->offset;
    case 3: return p->offered;
    case 4: return p->up.acked;
    case 5: return 0;
    case 6: return (int64_t)fuzz_number(&p->in, 1);
    case 7: return (int64_t)fuzz_number(&p->in, 3);
    case 8: return (int64_t)(fuzz_number(&p->in, 7) % (uint64_t)(MOST + 1));
    case 9: return request->offset + how / 12;
    case 10: return request->offset + request->length - how / 12;
    default: return p->up.size;
    }
}

static struct gem_upload_answer some_answer(struct player *p, const struct gem_upload_request *request)
{
    static const int codes[] = {200, 200, 0, 201, 204, 308, 400, 403, 404, 408, 410, 412, 416, 429, 500, 503};
    static const char *const words[] = {"active", "active", "final", "cancelled", NULL, "", "ACTIVE", "other"};
    unsigned code = fuzz_byte(&p->in), word = fuzz_byte(&p->in);
    struct gem_upload_answer answer = {
        .code = code < 240 ? codes[code % 16] : (int)(fuzz_number(&p->in, 2) % 1000),
        .status = words[word % 8],
        .has_url = (word & 8) == 0,
        .api_error = (word & 16) != 0,
        .granularity = -1,
    };
    answer.received = some_number(p, request);
    if (word & 32)
        answer.granularity = some_number(p, request);
    return answer;
}

/* The driver comes to the end of a source whose size it did not know. */
static void meet_end(struct player *p, struct gem_upload_request *request)
{
    unsigned how = fuzz_byte(&p->in);
    if (p->up.size >= 0 || p->up.state != GEM_UPLOAD_SEND || how < 200)
        return;
    p->up.size = request->offset + (how - 200) % (request->length + 1);
    if (p->up.size < p->offered) /* a source has one end */
        p->up.size = p->offered;
    gem_upload_next(&p->up, request);
}

static void check_window(const struct player *p, const struct gem_upload_request *r)
{
    int64_t size = p->up.size, chunk = p->up.chunk;
    int last = strcmp(r->command, "upload, finalize") == 0;
    MUST(r->offset == p->up.acked && r->offset >= 0 && r->length >= 0);
    MUST(size < 0 ? !last && r->length <= HELD : r->length <= size - r->offset);
    MUST(last == (size >= 0 && r->offset + r->length == size));
    MUST(last || (strcmp(r->command, "upload") == 0 && r->length > 0 && r->length % p->granularity == 0));
    MUST(chunk == 0 || r->length <= (chunk > p->granularity ? chunk : p->granularity));
    MUST(chunk > 0 || size < 0 || last);
}

static void check_request(const struct player *p, const struct gem_upload_request *r)
{
    if (p->up.state == GEM_UPLOAD_SEND)
        check_window(p, r);
    else
        MUST(strcmp(r->command, p->up.state == GEM_UPLOAD_START ? "start" : "query") == 0 && r->length == 0);
}

/* Every step that is not waited for brings the server on, but for a few. */
static void check_progress(struct player *p, enum gem_upload_verdict verdict, int64_t acked_before)
{
    if (verdict == GEM_UPLOAD_AGAIN || p->up.acked > p->best)
        p->idle = 0;
    else if (p->up.acked <= acked_before)
        p->idle++;
    if (p->up.acked > p->best)
        p->best = p->up.acked;
    MUST(p->idle <= IDLE_STEPS);
}

static void check_state(struct player *p, enum gem_upload_verdict verdict, const struct gem_err *err)
{
    const struct gem_upload *up = &p->up;
    int over = verdict == GEM_UPLOAD_END || verdict == GEM_UPLOAD_STOP;
    MUST(over == (up->state == GEM_UPLOAD_DONE || up->state == GEM_UPLOAD_FAILED));
    MUST((verdict == GEM_UPLOAD_END) == (up->state == GEM_UPLOAD_DONE));
    MUST(verdict == GEM_UPLOAD_STOP || err->kind == GEM_OK);
    MUST(up->acked >= 0 && up->acked <= p->offered && (up->size < 0 || up->acked <= up->size));
    MUST(verdict != GEM_UPLOAD_END || up->size < 0 || p->offered == up->size);
}

static enum gem_upload_verdict step(struct player *p)
{
    struct gem_upload_request request;
    struct gem_err err;
    enum gem_upload_state state;
    int64_t acked = p->up.acked;
    gem_upload_next(&p->up, &request);
    meet_end(p, &request);
    check_request(p, &request);
    if (request.offset + request.length > p->offered)
        p->offered = request.offset + request.length;
    state = p->up.state;
    struct gem_upload_answer answer = some_answer(p, &request);
    enum gem_upload_verdict verdict = gem_upload_take(&p->up, &answer, &err);
    if (answer.granularity > 0)
        p->granularity = answer.granularity;
    if (state != GEM_UPLOAD_START && p->up.state == GEM_UPLOAD_START) { /* the session was lost */
        p->offered = p->best = acked = 0;
        MUST(++p->starts == 1);
    }
    check_state(p, verdict, &err);
    check_progress(p, verdict, acked);
    return verdict;
}

/* Whatever is said after the end. */
static void check_over(struct player *p)
{
    struct gem_upload_request none = {NULL, 0, 0};
    struct gem_upload_answer answer = some_answer(p, &none);
    struct gem_err err;
    MUST(gem_upload_take(&p->up, &answer, &err) == GEM_UPLOAD_STOP && err.kind == GEM_PROTOCOL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gem_upload_request none = {NULL, 0, 0};
    struct player p = {.in = {data, size}, .granularity = 1};
    enum gem_upload_verdict verdict = GEM_UPLOAD_GO;
    unsigned begun = fuzz_byte(&p.in) & 1;
    int64_t length = some_number(&p, &none), chunk = some_number(&p, &none);
    gem_upload_init(&p.up, length < 0 ? -1 : length, chunk < 0 ? 0 : chunk);
    if (begun && length >= 0) {
        gem_upload_resume(&p.up);
        p.offered = length;
    }
    while (p.in.left > 0 && (verdict == GEM_UPLOAD_GO || verdict == GEM_UPLOAD_AGAIN))
        verdict = step(&p);
    if (verdict == GEM_UPLOAD_END || verdict == GEM_UPLOAD_STOP)
        check_over(&p);
    return 0;
}
