#include "check.h"

#include "../../src/core/sse.h"

/* sse.c once more under names of this file's own, with every byte that memchr reads counted. */
static size_t scanned;

static const void *counted_memchr(const void *bytes, int c, size_t n)
{
    const char *at = memchr(bytes, c, n);
    scanned += at != NULL ? (size_t)(at - (const char *)bytes) + 1 : n;
    return at;
}

#define gem_sse_init counted_init
#define gem_sse_free counted_free
#define gem_sse_feed counted_feed
#define gem_sse_finish counted_finish
#undef memchr
#define memchr counted_memchr
void gem_sse_init(struct gem_sse *sse, const struct gem_mem *mem, size_t max_event);
void gem_sse_free(struct gem_sse *sse);
enum gem_sse_result gem_sse_feed(struct gem_sse *sse, const char *bytes, size_t n, size_t *used,
                                 struct gem_err *err);
enum gem_sse_result gem_sse_finish(struct gem_sse *sse, struct gem_err *err);
#include "../../src/core/sse.c"
#undef memchr
#undef gem_sse_init
#undef gem_sse_free
#undef gem_sse_feed
#undef gem_sse_finish

/* ---- transcripts: "E3:abc" for an event, "T.." for the tail, "." for the end, "B" for broken ---- */

enum { ROOM = 8192 };

struct transcript {
    char text[ROOM];
    size_t len;
};

static void note(struct transcript *t, char type, const char *bytes, size_t n)
{
    t->len += (size_t)snprintf(t->text + t->len, ROOM - t->len, "%c%zu:", type, n);
    if (!CHECK(t->len + n + 2 < ROOM))
        abort();
    if (n > 0)
        memcpy(t->text + t->len, bytes, n);
    t->len += n;
}

static void mark(struct transcript *t, char type)
{
    t->text[t->len++] = type;
}

static int same(const struct transcript *got, const struct transcript *wanted)
{
    if (got->len == wanted->len && memcmp(got->text, wanted->text, got->len) == 0)
        return 1;
    if (check_failures < 3)
        printf("# got    %.*s\n# wanted %.*s\n", (int)got->len, got->text, (int)wanted->len, wanted->text);
    return 0;
}

/* ---- the reference: line by line over the whole text ---- */

struct naive {
    struct transcript *out;
    char data[ROOM];
    size_t len, max;
    int has_data, broken;
};

static void naive_data(struct naive *s, const char *payload, size_t n)
{
    if (s->has_data)
        s->data[s->len++] = '\n';
    if (s->len + n > s->max) {
        s->broken = 1;
        return;
    }
    if (n > 0)
        memcpy(s->data + s->len, payload, n);
    s->len += n;
    s->has_data = 1;
}

static void naive_dispatch(struct naive *s)
{
    if (s->has_data)
        note(s->out, 'E', s->data, s->len);
    s->len = 0;
    s->has_data = 0;
}

/* Returns 1 where raw text begins. */
static int naive_line(struct naive *s, const char *line, size_t n)
{
    size_t blanks = 0;

    if (n == 0)
        naive_dispatch(s);
    else if (n == 4 && memcmp(line, "data", 4) == 0)
        naive_data(s, line + 4, 0);
    else if (n >= 5 && memcmp(line, "data:", 5) == 0)
        naive_data(s, line + 5 + (n > 5 && line[5] == ' '), n - 5 - (n > 5 && line[5] == ' '));
    while (blanks < n && (line[blanks] == ' ' || line[blanks] == '\t'))
        blanks++;
    return !s->has_data && blanks < n && (line[blanks] == '{' || line[blanks] == '[');
}

static void naive_raw(struct naive *s, const char *text, size_t n)
{
    while (*text == ' ' || *text == '\t') {
        text++;
        n--;
    }
    if (n > s->max)
        s->broken = 1;
    else
        note(s->out, 'T', text, n);
}

static void naive_parse(struct transcript *out, const char *text, size_t n, size_t max)
{
    static struct naive s;
    size_t i = n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, from;
    int raw = 0;

    memset(&s, 0, sizeof s);
    s.out = out;
    s.max = max;
    out->len = 0;
    while (i < n && !raw && !s.broken) {
        for (from = i; i < n && text[i] != '\r' && text[i] != '\n';)
            i++;
        raw = (i > from || i < n) && naive_line(&s, text + from, i - from);
        if (raw)
            naive_raw(&s, text + from, n - from);
        if (i < n)
            i += text[i] == '\r' && i + 1 < n && text[i + 1] == '\n' ? 2 : 1;
    }
    if (!s.broken)
        naive_dispatch(&s);
    mark(out, s.broken ? 'B' : '.');
}

/* ---- the parser, fed in pieces that are gone after the call ---- */

static int in_pieces; /* of that size, as the parser gives them */

/* What the parser hands out is added to `open`, and noted where it is whole. */
static void take_data(struct transcript *out, struct transcript *open, const struct gem_sse *sse,
                      enum gem_sse_result result)
{
    memcpy(open->text + open->len, sse->event, sse->event_len);
    open->len += sse->event_len;
    if (result == GEM_SSE_PIECE)
        return;
    note(out, result == GEM_SSE_EVENT ? 'E' : 'T', open->text, open->len);
    open->len = 0;
}

static int feed_piece(struct gem_sse *sse, struct transcript *open, struct transcript *out, const char *bytes, size_t n)
{
    char *piece = check_exact(bytes, n);
    size_t at = 0, used;
    enum gem_sse_result result;
    struct gem_err err;

    do {
        result = gem_sse_feed(sse, piece + at, n - at, &used, &err);
        CHECK(used <= n - at && (result > GEM_SSE_MORE || used == n - at));
        CHECK(in_pieces || result != GEM_SSE_PIECE);
        at += used;
        CHECK((sse->event != NULL) == (result > GEM_SSE_MORE));
        if (result > GEM_SSE_MORE)
            take_data(out, open, sse, result);
    } while (result > GEM_SSE_MORE);
    free(piece);
    CHECK(result == GEM_SSE_MORE || (result == GEM_SSE_BROKEN && strstr(err.text, "max_event") != NULL));
    return result == GEM_SSE_BROKEN ? -1 : 0;
}

static void finish(struct gem_sse *sse, struct transcript *open, struct transcript *out)
{
    struct gem_err err;
    enum gem_sse_result result = gem_sse_finish(sse, &err);

    if (result == GEM_SSE_EVENT || result == GEM_SSE_TAIL) {
        CHECK(sse->event != NULL);
        take_data(out, open, sse, result);
        result = gem_sse_finish(sse, &err);
    }
    CHECK(result == GEM_SSE_END || result == GEM_SSE_BROKEN);
    CHECK(gem_sse_finish(sse, &err) == result && sse->event == NULL);
    mark(out, result == GEM_SSE_END ? '.' : 'B');
}

static void parse(struct transcript *out, const char *text, size_t n, const size_t *cuts, size_t n_cuts, size_t max)
{
    struct check_mem m;
    struct gem_sse sse;
    static struct transcript open;
    size_t i, from = 0;

    check_mem_init(&m);
    gem_sse_init(&sse, &m.mem, max);
    sse.pieces = in_pieces;
    out->len = open.len = 0;
    for (i = 0; i <= n_cuts; i++) {
        size_t to = i < n_cuts ? cuts[i] : n;
        if (feed_piece(&sse, &open, out, text + from, to - from) < 0)
            break;
        from = to;
    }
    finish(&sse, &open, out);
    gem_sse_free(&sse);
    CHECK(m.blocks == 0 && m.bytes == 0);
}

static void agree(const struct transcript *wanted, const char *text, size_t n, const size_t *cuts, size_t n_cuts,
                  size_t max)
{
    static struct transcript got;

    for (in_pieces = 0; in_pieces < 9; in_pieces += 4) {
        parse(&got, text, n, cuts, n_cuts, max);
        CHECK(same(&got, wanted));
    }
    in_pieces = 0;
}

/* At once, byte by byte, cut everywhere, and twice everywhere. */
static void split_everywhere(const char *text, size_t n, size_t max, const struct transcript *wanted)
{
    size_t cuts[1024], a, b;

    agree(wanted, text, n, NULL, 0, max);
    for (a = 0; a < n; a++)
        cuts[a] = a;
    agree(wanted, text, n, cuts, n, max);
    for (a = 0; a <= n; a++) {
        for (b = a; b <= n; b++) {
            cuts[0] = a;
            cuts[1] = b;
            agree(wanted, text, n, cuts, 2, max);
        }
    }
}

/* The reference must agree with what is written here by hand, and the parser with both. */
static void expect_bytes(const char *text, size_t n, size_t max, const char *events, size_t n_events)
{
    static struct transcript wanted, reference;

    memcpy(wanted.text, events, n_events);
    wanted.len = n_events;
    naive_parse(&reference, text, n, max);
    CHECK(same(&reference, &wanted));
    split_everywhere(text, n, max, &wanted);
}

static void expect(const char *text, const char *events)
{
    expect_bytes(text, strlen(text), 1000, events, strlen(events));
}

/* ---- what comes out ---- */

static void test_line_ends(void)
{
    expect("data: one\n\ndata: two\n\n", "E3:oneE3:two.");
    expect("data: one\r\n\r\ndata: two\r\n\r\n", "E3:oneE3:two.");
    expect("data: one\r\rdata: two\r\r", "E3:oneE3:two.");
    expect("data: one\r\n\rdata: two\n\r\ndata: three\r\n\n", "E3:oneE3:twoE5:three.");
    expect("data: one\n\r\n\rdata: two\r\r\n\n", "E3:oneE3:two.");
    expect("data: a\n\rdata: b\r\ndata: c\n\n", "E1:aE3:b\nc.");
}

static void test_data_fields(void)
{
    expect("data:one\n\n", "E3:one.");
    expect("data:  one \n\n", "E5: one .");
    expect("data:\tone\n\n", "E4:\tone.");
    expect("data: a:b: c\n\n", "E6:a:b: c.");
    expect("data: one\ndata:two\ndata:  three\n\n", "E14:one\ntwo\n three.");
    expect("data: x\ndata: \ndata\ndata: y\n\n", "E5:x\n\n\ny.");
    expect("data:  \xE2\x80\xA8\xC2\x85\x0B\x0C\n\n", "E8: \xE2\x80\xA8\xC2\x85\x0B\x0C.");
}

static void test_empty_data_is_an_event_and_no_data_is_none(void)
{
    expect("data\n\ndata\ndata\n\ndata:\n\ndata: \n\n", "E0:E1:\nE0:E0:.");
    expect("\n\n\r\n\r\r: x\n\nevent: y\n\n", ".");
    expect("", ".");
}

static void test_other_fields_and_comments_are_read_over(void)
{
    expect(": note\ndata: a\n\n", "E1:a.");
    expect("data: a\n: note\ndata: b\n\n", "E3:a\nb.");
    expect("event: message\nid: 1\nretry: 100\ndata: a\n\ndata: b\nid: 2\n\n", "E1:aE1:b.");
    expect(":\n:data: x\n data: x\nData: x\ndata : x\ndat: x\ndatax: x\ndatax\nd\nfoo\n\ndata: a\n\n", "E1:a.");
    expect("\xEF\xBB: x\ndata: a\n\n", "E1:a.");
}

/* The standard's own stumbling blocks, with a NUL and an indented field inside an event. */
static void test_field_parsing_of_the_standard(void)
{
    static const char text[] = "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\r"
                               "data:\r\n data:32\ndata:4\n\n";
    static const char events[] = "E11:\0\n 2\n1\n3\n\n4.";

    expect_bytes(text, sizeof text - 1, 1000, events, sizeof events - 1);
}

static void test_byte_order_mark(void)
{
    expect("\xEF\xBB\xBF" "data: a\n\n", "E1:a.");
    expect("\xEF\xBB\xBF\xEF\xBB\xBF" "data: a\n\ndata: b\n\n", "E1:b.");
    expect("\xEF\xBB\xBF\n" "\xEF\xBB\xBF" "data: a\n\n", ".");
    expect("\xEF\xBB" "data: a\n\ndata: b\n\n", "E1:b.");
    expect("\n\xEF\xBB\xBF" "data: a\n\n", ".");
    expect("\xEF\xBB\xBF{\"a\":1}", "T7:{\"a\":1}.");
    expect("\xEF\xBB\xBF", ".");
    expect("\xEF\xBB", ".");
}

static void test_last_event_without_blank_line(void)
{
    expect("data: a\n\ndata: b\n", "E1:aE1:b.");
    expect("data: a\n\ndata: b", "E1:aE1:b.");
    expect("data: a\r", "E1:a.");
    expect("data: a\ndata: b\nid: 4", "E3:a\nb.");
    expect("data: a\ndata", "E2:a\n.");
    expect("data: a\ndat", "E1:a.");
    expect("data:", "E0:.");
    expect("data", "E0:.");
    expect("dat", ".");
    expect(": comment", ".");
}

static void test_raw_text(void)
{
    expect("{\"error\":{}}", "T12:{\"error\":{}}.");
    expect("[{\n \"error\": 1\r\n}\n,\n\ndata: x\n\n]\n", "T32:[{\n \"error\": 1\r\n}\n,\n\ndata: x\n\n]\n.");
    expect("data: a\r\n\r\n{\r\n  \"error\": {\r\n}}\r\n", "E1:aT21:{\r\n  \"error\": {\r\n}}\r\n.");
    expect("data: a\n\n \t {\n\n}", "E1:aT4:{\n\n}.");
    expect("event: error\n{1}\n", "T4:{1}\n.");
    expect("{", "T1:{.");
    expect("  \n \t\r\ndata: a\n\n", "E1:a.");
    expect("  x{\ndata: a\n\n", "E1:a.");
}

static void test_a_brace_inside_an_event_is_an_unknown_field(void)
{
    expect("data: a\n{\"error\"\n [\ndata: b\n\n{1}", "E3:a\nbT3:{1}.");
}

static void test_shapes_the_service_sends(void)
{
    expect("data:   {\"a\" : [ \"b  \\u2028\" ] }  \r\n\r\n", "E28:  {\"a\" : [ \"b  \\u2028\" ] }  .");
    expect("data: {}\r\n\r\ndata: [DONE]\r\n\r\n", "E2:{}E6:[DONE].");
    expect("\n\ndata: {}\n\n", "E2:{}.");
    expect("data: {\"t\":\"\xF0\x9F\x98\x80\"}\r\n\r\ndata: {\"c", "E12:{\"t\":\"\xF0\x9F\x98\x80\"}E3:{\"c.");
}

/* ---- ceilings and errors ---- */

static void test_ceiling_is_exact(void)
{
    static const char *const fits[] = {
        "data: 12345678\n\n", "data:12345678", "data: 1234\ndata: 567\n\n", "data:1234567\ndata\n\n", "{2345678",
        "data: 12345678\n\ndata: 12345678\n\n", ": a comment of any length\ndata: 12345678\n\n"
    };
    static const char *const does_not[] = {
        "data: 123456789\n\n", "data:123456789", "data: 1234\ndata: 5678\n\n", "data:12345678\ndata\n\n",
        "{23456789", "data: 1\n\ndata: 123456789\n\n", "data: 1\n\n{23456789\n"
    };
    static struct transcript wanted;
    size_t i;

    for (i = 0; i < sizeof fits / sizeof *fits; i++) {
        naive_parse(&wanted, fits[i], strlen(fits[i]), 8);
        CHECK(wanted.text[wanted.len - 1] == '.');
        split_everywhere(fits[i], strlen(fits[i]), 8, &wanted);
    }
    for (i = 0; i < sizeof does_not / sizeof *does_not; i++) {
        naive_parse(&wanted, does_not[i], strlen(does_not[i]), 8);
        CHECK(wanted.text[wanted.len - 1] == 'B');
        split_everywhere(does_not[i], strlen(does_not[i]), 8, &wanted);
    }
}

static void test_broken_stays_broken(void)
{
    struct gem_sse sse;
    struct gem_err err;
    size_t used;
    int i;

    gem_sse_init(&sse, gem_mem_default(), 5);
    CHECK(gem_sse_feed(&sse, "data: 12345\n\ndata: 123456\n\n", 27, &used, &err) == GEM_SSE_EVENT);
    CHECK(sse.event_len == 5 && used == 13);
    for (i = 0; i < 3; i++) {
        memset(&err, 0, sizeof err);
        if (i < 2)
            CHECK(gem_sse_feed(&sse, "data: 123456\n\n", 14, &used, &err) == GEM_SSE_BROKEN);
        else
            CHECK(gem_sse_finish(&sse, &err) == GEM_SSE_BROKEN);
        CHECK(err.kind == GEM_LIMIT);
        CHECK_STR(err.text, "an event of the stream has more than 5 bytes (max_event)");
    }
    CHECK(gem_sse_feed(&sse, "data: 1\n\n", 9, &used, NULL) == GEM_SSE_BROKEN);
    CHECK(gem_sse_feed(&sse, NULL, 0, &used, NULL) == GEM_SSE_BROKEN);
    gem_sse_free(&sse);
}

/* Fed so that data lines are cut, several make one event, and raw text comes last. Returns 0, or -1 as it broke. */
static int feed_cut_lines(struct gem_sse *sse, struct gem_err *err)
{
    char line[400];
    size_t used;
    int i;

    memset(line, 'x', sizeof line);
    memcpy(line, "data: ", 6);
    for (i = 0; i < 20; i++) {
        if (gem_sse_feed(sse, line, sizeof line, &used, err) == GEM_SSE_BROKEN ||
            gem_sse_feed(sse, "y\ndata: z\n", 10, &used, err) == GEM_SSE_BROKEN)
            return -1;
    }
    if (gem_sse_feed(sse, "\n", 1, &used, err) != GEM_SSE_EVENT)
        return -1;
    CHECK(sse->event_len == 20 * (395 + 1 + 1 + 1) - 1);
    if (gem_sse_feed(sse, "{ raw", 5, &used, err) == GEM_SSE_BROKEN)
        return -1;
    if (gem_sse_finish(sse, err) != GEM_SSE_TAIL)
        return -1;
    CHECK(sse->event_len == 5 && memcmp(sse->event, "{ raw", 5) == 0);
    return 0;
}

static void test_every_allocation_may_fail(void)
{
    struct check_mem m;
    struct gem_sse sse;
    struct gem_err err;
    size_t n, used;
    int result;

    for (n = 1;; n++) {
        check_mem_init(&m);
        m.fail_at = n;
        gem_sse_init(&sse, &m.mem, 1000000);
        gem_err_clear(&err);
        result = feed_cut_lines(&sse, &err);
        if (result < 0) {
            CHECK(err.kind == GEM_LIMIT);
            CHECK_STR(err.text, "not enough memory");
            m.fail_at = 0;
            gem_err_clear(&err);
            CHECK(gem_sse_feed(&sse, "data: 1\n\n", 9, &used, &err) == GEM_SSE_BROKEN);
            CHECK_STR(err.text, "not enough memory");
            CHECK(gem_sse_finish(&sse, NULL) == GEM_SSE_BROKEN);
        }
        gem_sse_free(&sse);
        CHECK(m.blocks == 0 && m.bytes == 0);
        if (result == 0)
            break;
    }
    CHECK(n > 5);
}

/* ---- any input ---- */

static void test_random_streams(void)
{
    static const char *const tokens[] = {
        "data", "data:", "data: ", ":", " ", "\t", "\r", "\n", "\r\n", "\n\n", "\r\n\r\n", "x",
        "{", "[", "id: 1", "d", "\xEF\xBB\xBF", "\xEF", "0123456789"  /* rarely: a brace takes all that follows */
    };
    static struct transcript wanted;
    uint32_t seed = 4711;
    size_t cuts[3], n, max, i;
    char text[600];
    int round;

    for (round = 0; round < 60000; round++) {
        size_t n_tokens = check_random(&seed) % 24;
        for (i = n = 0; i < n_tokens; i++) {
            size_t pick = check_random(&seed) % (check_random(&seed) % 8 == 0 ? 19 : 12);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", tokens[pick]);
        }
        max = check_random(&seed) % 3 == 0 ? check_random(&seed) % 12 : 1000;
        naive_parse(&wanted, text, n, max);
        for (i = 0; i < 3; i++)
            cuts[i] = (i > 0 ? cuts[i - 1] : 0) + check_random(&seed) % (n - (i > 0 ? cuts[i - 1] : 0) + 1);
        agree(&wanted, text, n, cuts, round % 2 == 0 ? 3 : 0, max);
    }
}

static void test_nothing_is_read_past_the_bytes_fed(void)
{
    static const char text[] = "\xEF\xBB\xBF: c\r\ndata: abc\r\ndata: d\r\n\r\ndata: e\n\n  {";
    struct check_edge edge;
    struct gem_sse sse;
    size_t n, used, i;

    check_edge_open(&edge, 1);
    for (n = 0; n < sizeof text; n++) {
        gem_sse_init(&sse, gem_mem_default(), 100);
        memcpy(edge.past - n, text, n);
        for (i = 0; i < n; i += used)
            CHECK(gem_sse_feed(&sse, edge.past - n + i, n - i, &used, NULL) != GEM_SSE_BROKEN);
        gem_sse_free(&sse);
    }
    check_edge_close(&edge);
}

/* ---- cost ---- */

static char *repeat(const char *unit, size_t times)
{
    size_t n = strlen(unit), i;
    char *text = malloc(n * times);
    for (i = 0; i < times; i++)
        memcpy(text + i * n, unit, n);
    return text;
}

/* Feeds text in slices through the counting copy; returns the number of events. */
static size_t count_events(struct gem_sse *sse, const char *text, size_t n, size_t slice)
{
    size_t at = 0, used, events = 0;

    scanned = 0;
    while (at < n) {
        size_t left = n - at < slice ? n - at : slice;
        while (left > 0) {
            enum gem_sse_result result = counted_feed(sse, text + at, left, &used, NULL);
            CHECK(result != GEM_SSE_BROKEN);
            events += result == GEM_SSE_EVENT;
            at += used;
            left -= used;
        }
    }
    return events;
}

static void test_whole_events_are_not_copied(void)
{
    struct check_mem m;
    struct gem_sse sse;
    struct gem_err err;
    const char *text = ": c\r\ndata: abc\r\nid: 5\r\n\r\ndata:de\n\n";
    size_t used;

    check_mem_init(&m);
    gem_sse_init(&sse, &m.mem, 100);
    CHECK(gem_sse_feed(&sse, text, strlen(text), &used, &err) == GEM_SSE_EVENT);
    CHECK(sse.event == text + 11 && sse.event_len == 3);
    text += used;
    CHECK(gem_sse_feed(&sse, text, strlen(text), &used, &err) == GEM_SSE_EVENT);
    CHECK(sse.event_len == 2 && memcmp(sse.event, "de", 2) == 0);
    CHECK(sse.event > text && sse.event < text + strlen(text));
    CHECK(m.requests == 0);
    gem_sse_free(&sse);
}

/* No byte is read more than twice (once for LF, once for CR), but for a constant a line. */
static void scan_is_linear(const char *unit, size_t times, size_t slice, size_t events, size_t per_line)
{
    struct check_mem m;
    struct gem_sse sse;
    size_t n = strlen(unit) * times;
    char *text = repeat(unit, times);

    check_mem_init(&m);
    counted_init(&sse, &m.mem, n);
    CHECK(count_events(&sse, text, n, slice) == events);
    CHECK(scanned <= 2 * n + per_line);
    CHECK(m.copied <= 3 * n);
    CHECK(m.peak <= n + n / 2);
    counted_free(&sse);
    CHECK(m.blocks == 0);
    free(text);
}

static void test_time_is_linear(void)
{
    size_t window = 512;  /* of find_eol */

    scan_is_linear("data: 0123456789\n\n", 50000, SIZE_MAX, 50000, 0);
    scan_is_linear("data: 0123456789\r\n\r\n", 50000, SIZE_MAX, 50000, 50000);
    scan_is_linear("data: 0123456789\r\r", 50000, SIZE_MAX, 50000, 50000 * window);
    scan_is_linear("data: 0123456789\r\r", 50000, 20, 50000, 50000 * 20);
    scan_is_linear("id: 1\r", 50000, SIZE_MAX, 0, 50000 * window);
    scan_is_linear("data: x\r", 50000, SIZE_MAX, 0, 50000 * window);
    scan_is_linear("data: x\n", 50000, 1, 0, 0);
}

/* One event of n bytes, in slices. */
static void test_a_huge_event(void)
{
    static const size_t slices[] = { 1000, 16384, SIZE_MAX };
    struct check_mem m;
    struct gem_sse sse;
    size_t n = 4000000, used, i;
    char *text = malloc(n);

    for (i = 0; i < 3; i++) {
        memset(text, 'x', n);
        memcpy(text, "data: ", 6);
        check_mem_init(&m);
        counted_init(&sse, &m.mem, n);
        CHECK(count_events(&sse, text, n, slices[i]) == 0);
        CHECK(scanned <= 2 * n && m.copied <= 3 * n && m.peak <= 5 * n / 2 && m.requests < 40);
        CHECK(counted_feed(&sse, "\n\n", 2, &used, NULL) == GEM_SSE_EVENT && sse.event_len == n - 6);
        if (i == 0)
            CHECK(counted_finish(&sse, NULL) == GEM_SSE_END && sse.event == NULL);
        else
            CHECK(counted_feed(&sse, "\n", 1, &used, NULL) == GEM_SSE_MORE);
        CHECK(m.bytes == 0);  /* an idle stream does not keep the block */
        counted_free(&sse);

        memset(text, ' ', n);  /* a line of no interest costs no memory */
        counted_init(&sse, &m.mem, n);
        CHECK(count_events(&sse, text, n, slices[i]) == 0 && scanned <= 2 * n);
        CHECK(m.bytes == 0);
        counted_free(&sse);
    }
    free(text);
}

static void test_many_events_do_not_grow(void)
{
    struct check_mem m;
    struct gem_sse sse;
    char *text = repeat("data: 0123456789\ndata: x\r\n\r\n", 100000);

    check_mem_init(&m);
    counted_init(&sse, &m.mem, 1000000);
    CHECK(count_events(&sse, text, 28 * 100000, 13) == 100000);
    CHECK(m.requests == 1 && m.peak <= 256);
    counted_free(&sse);
    CHECK(m.blocks == 0);
    free(text);
}

static void test_a_large_event_in_pieces_is_not_held(void)
{
    enum { FROM = 100, SIZE = 50000, CUT = 30 };
    static const char head[] = "data: ", line[] = "\ndata:";
    struct check_mem m;
    struct gem_sse sse;
    size_t got = 0, used, pieces = 0;

    check_mem_init(&m);
    gem_sse_init(&sse, &m.mem, SIZE);
    sse.pieces = FROM;
    CHECK(gem_sse_feed(&sse, head, sizeof head - 1, &used, NULL) == GEM_SSE_MORE);
    for (size_t at = 0; at < SIZE - 1; at += CUT) {
        char bytes[CUT];
        size_t n = SIZE - 1 - at < CUT ? SIZE - 1 - at : CUT;
        memset(bytes, 'x', n);
        enum gem_sse_result result = gem_sse_feed(&sse, bytes, n, &used, NULL);
        CHECK(result == (at + n < FROM ? GEM_SSE_MORE : GEM_SSE_PIECE) && used == n);
        got += result == GEM_SSE_PIECE ? sse.event_len : 0;
        pieces += result == GEM_SSE_PIECE;
    }
    CHECK(got == SIZE - 1 && pieces > 1000 && m.peak < 512);
    CHECK(gem_sse_feed(&sse, line, sizeof line - 1, &used, NULL) == GEM_SSE_MORE);
    CHECK(gem_sse_feed(&sse, "x", 1, &used, NULL) == GEM_SSE_PIECE && *sse.event == '\n' && used == 0); /* the last byte */
    CHECK(gem_sse_feed(&sse, "x", 1, &used, NULL) == GEM_SSE_BROKEN);
    gem_sse_free(&sse);
}

int main(void)
{
    RUN(test_line_ends);
    RUN(test_data_fields);
    RUN(test_empty_data_is_an_event_and_no_data_is_none);
    RUN(test_other_fields_and_comments_are_read_over);
    RUN(test_field_parsing_of_the_standard);
    RUN(test_byte_order_mark);
    RUN(test_last_event_without_blank_line);
    RUN(test_raw_text);
    RUN(test_a_brace_inside_an_event_is_an_unknown_field);
    RUN(test_shapes_the_service_sends);
    RUN(test_ceiling_is_exact);
    RUN(test_broken_stays_broken);
    RUN(test_every_allocation_may_fail);
    RUN(test_random_streams);
    RUN(test_nothing_is_read_past_the_bytes_fed);
    RUN(test_whole_events_are_not_copied);
    RUN(test_time_is_linear);
    RUN(test_a_huge_event);
    RUN(test_a_large_event_in_pieces_is_not_held);
    RUN(test_many_events_do_not_grow);
    return check_done();
}
