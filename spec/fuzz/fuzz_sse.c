/* The event-stream parser: the events, end and refusals of a reference that has the whole text before it, however the
 * bytes are cut, and whether data is handed out as it comes; within the ceiling's memory; and without memory an error
 * instead of another event.
 *
 * Input: ceiling and size from which data is handed out, seed of the cuts, allocation that fails; the stream. */
#include "fuzz.h"

#include "../../src/core/sse.h"

static const size_t ceilings[] = {1 << 20, 0, 1, 2, 7, 64, 300, 5000};
static const size_t sizes[] = {0, 1, 3, 50};

/* What came out: for each event a letter, its length and its data. */
struct transcript {
    char *text;
    size_t len;
};

static void note(struct transcript *t, char type, const char *bytes, size_t n)
{
    t->text[t->len++] = type;
    memcpy(t->text + t->len, &n, sizeof n);
    t->len += sizeof n;
    if (n > 0)
        memcpy(t->text + t->len, bytes, n);
    t->len += n;
}

/* An event has at least four bytes in the stream ("data"), and its end one. */
static struct transcript new_transcript(size_t n)
{
    return (struct transcript){fuzz_room(n + (n / 4 + 3) * (1 + sizeof n)), 0};
}

enum cut { WHOLE, BYTES, PIECES };

struct run {
    struct check_mem mem;
    struct gem_sse sse;
    size_t max;
    struct transcript pieces; /* of the event at hand: what was handed out, without a letter */
    struct transcript out;
};

static void take_piece(struct run *run)
{
    MUST(run->sse.event != NULL && run->sse.event_len > 0 && run->pieces.len + run->sse.event_len <= run->max);
    memcpy(run->pieces.text + run->pieces.len, run->sse.event, run->sse.event_len);
    run->pieces.len += run->sse.event_len;
}

/* The event, with what was handed out of it. */
static void take_event(struct run *run, char type)
{
    struct transcript *all = &run->pieces;
    MUST(run->sse.event != NULL && all->len + run->sse.event_len <= run->max);
    if (run->sse.event_len > 0)
        memcpy(all->text + all->len, run->sse.event, run->sse.event_len);
    note(&run->out, type, all->text, all->len + run->sse.event_len);
    all->len = 0;
}

static void check_memory(const struct run *run)
{
    size_t most = run->max + run->max / 2;
    MUST(run->mem.bytes <= most);
    MUST(run->mem.peak <= 2 * most); /* of a resize that moves */
}

static void check_broken(struct run *run, const struct gem_err *err)
{
    size_t used = 9;
    struct gem_err again;
    MUST(err->kind == GEM_LIMIT && (run->mem.fail_at != 0 || strstr(err->text, "max_event") != NULL));
    MUST(gem_sse_feed(&run->sse, "data: x\n\n", 9, &used, &again) == GEM_SSE_BROKEN && used == 9);
    MUST(gem_sse_finish(&run->sse, &again) == GEM_SSE_BROKEN);
    MUST(strcmp(err->text, again.text) == 0);
    note(&run->out, 'B', NULL, 0);
}

/* One piece, in a block that ends where it ends. False when the stream is broken. */
static int feed(struct run *run, const char *bytes, size_t n)
{
    char *piece = check_exact(bytes, n);
    size_t done = 0, used = 0;
    struct gem_err err;
    enum gem_sse_result result;
    while ((result = gem_sse_feed(&run->sse, piece + done, n - done, &used, &err)) >= GEM_SSE_EVENT) {
        MUST(result == GEM_SSE_EVENT || (result == GEM_SSE_PIECE && run->sse.pieces > 0));
        MUST(used <= n - done && (used > 0 || result == GEM_SSE_PIECE));
        if (result == GEM_SSE_PIECE)
            take_piece(run);
        else
            take_event(run, 'E');
        check_memory(run);
        done += used;
    }
    free(piece);
    MUST(run->sse.event == NULL && used == n - done);
    check_memory(run);
    if (result == GEM_SSE_BROKEN)
        check_broken(run, &err);
    return result == GEM_SSE_MORE;
}

static void finish(struct run *run)
{
    struct gem_err err;
    enum gem_sse_result result = gem_sse_finish(&run->sse, &err);
    if (result == GEM_SSE_BROKEN) {
        check_broken(run, &err);
        return;
    }
    if (result != GEM_SSE_END) {
        take_event(run, result == GEM_SSE_TAIL ? 'T' : 'F');
        MUST(gem_sse_finish(&run->sse, &err) == GEM_SSE_END);
    }
    note(&run->out, '.', NULL, 0);
}

static struct transcript parse(const char *bytes, size_t n, size_t max, size_t from, enum cut cut, uint32_t seed,
                               size_t fail_at)
{
    struct run run = {.max = max, .pieces = {fuzz_room(n), 0}, .out = new_transcript(n)};
    size_t done = 0, piece;
    int fine = 1;
    check_mem_init(&run.mem);
    run.mem.fail_at = fail_at;
    gem_sse_init(&run.sse, &run.mem.mem, max);
    run.sse.pieces = from;
    while (fine && done < n) {
        piece = cut == WHOLE ? n : cut == BYTES ? 1 : fuzz_piece(&seed, n - done);
        fine = feed(&run, bytes + done, piece);
        done += piece;
    }
    if (fine)
        finish(&run);
    gem_sse_free(&run.sse);
    free(run.pieces.text);
    MUST(run.mem.blocks == 0 && check_failures == 0);
    return run.out;
}

/* ---- the reference ---- */

struct reference {
    const char *at, *end;
    char *data;
    size_t len, max;
    int has_data, broken;
    struct transcript out;
};

static void take_data(struct reference *r, const char *bytes, size_t n)
{
    if (r->has_data)
        r->data[r->len++] = '\n';
    if (n > 0)
        memcpy(r->data + r->len, bytes, n);
    r->len += n;
    r->has_data = 1;
    r->broken = r->len > r->max;
}

static void give(struct reference *r, char type)
{
    note(&r->out, type, r->data, r->len);
    r->len = 0;
    r->has_data = 0;
}

/* Past blanks, where bare JSON begins there outside an event; else NULL. */
static const char *bare_json(const struct reference *r)
{
    const char *p = r->at;
    while (p < r->end && (*p == ' ' || *p == '\t'))
        p++;
    return !r->has_data && p < r->end && (*p == '{' || *p == '[') ? p : NULL;
}

static void take_line(struct reference *r, size_t n)
{
    const char *line = r->at;
    if (n == 0 && r->has_data)
        give(r, 'E');
    else if (n == 4 && memcmp(line, "data", 4) == 0)
        take_data(r, "", 0);
    else if (n >= 5 && memcmp(line, "data:", 5) == 0)
        take_data(r, line + 5 + (n > 5 && line[5] == ' '), n - 5 - (n > 5 && line[5] == ' '));
}

/* The line at hand, and its end. */
static void next_line(struct reference *r)
{
    size_t n = 0, left = (size_t)(r->end - r->at);
    while (n < left && r->at[n] != '\n' && r->at[n] != '\r')
        n++;
    if (n > 0 || n < left) /* the empty rest behind the last end is no line */
        take_line(r, n);
    r->at += n;
    if (r->end - r->at >= 2 && memcmp(r->at, "\r\n", 2) == 0)
        r->at++;
    if (r->at < r->end)
        r->at++;
}

static struct transcript refer(const char *text, size_t n, size_t max)
{
    struct reference r = {.at = text, .end = text + n, .data = fuzz_room(n), .max = max, .out = new_transcript(n)};
    const char *tail = NULL;
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.at += 3;
    while (r.at < r.end && !r.broken && (tail = bare_json(&r)) == NULL)
        next_line(&r);
    if (tail != NULL)
        take_data(&r, tail, (size_t)(r.end - tail));
    if (!r.broken && r.has_data)
        give(&r, tail != NULL ? 'T' : 'F');
    note(&r.out, r.broken ? 'B' : '.', NULL, 0);
    free(r.data);
    return r.out;
}

/* ---- one input ---- */

static int same(const struct transcript *a, const struct transcript *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* All that came before memory ran out, and the refusal. */
static int is_cut_short(const struct transcript *whole, const struct transcript *cut)
{
    size_t kept = cut->len - 1 - sizeof(size_t);
    return cut->text[kept] == 'B' && kept <= whole->len && memcmp(whole->text, cut->text, kept) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    unsigned bounds = fuzz_byte(&in);
    size_t max = ceilings[bounds % 8], from = sizes[bounds / 64];
    uint32_t seed = fuzz_byte(&in);
    size_t fail_at = 1 + fuzz_byte(&in) % 8;
    const char *bytes = (const char *)in.bytes;
    struct transcript wanted = refer(bytes, in.left, max);
    struct transcript whole = parse(bytes, in.left, max, from, WHOLE, 0, 0);
    struct transcript single = parse(bytes, in.left, max, from, BYTES, 0, 0);
    struct transcript pieces = parse(bytes, in.left, max, from, PIECES, seed, 0);
    struct transcript poor = parse(bytes, in.left, max, from, PIECES, seed, fail_at);
    MUST(same(&wanted, &whole));
    MUST(same(&wanted, &single));
    MUST(same(&wanted, &pieces));
    MUST(same(&wanted, &poor) || is_cut_short(&wanted, &poor));
    free(wanted.text);
    free(whole.text);
    free(single.text);
    free(pieces.text);
    free(poor.text);
    return 0;
}
