#include "sse.h"

#include <string.h>

/* What the line at hand is, as far as its bytes tell. */
enum line {
    LINE_MARK,    /* the first of the stream: a byte order mark may come */
    LINE_NAME,    /* its first `matched` characters are those of "data:"; more of them, or the space, may come */
    LINE_INDENT,  /* blanks only so far: '{' or '[' would make it raw text */
    LINE_DATA,    /* data: the rest of the line is payload */
    LINE_SKIP,    /* of no interest up to its end */
    LINE_RAW      /* raw text up to the end of the stream */
};

enum given { GIVEN_NOTHING, GIVEN_PIECE, GIVEN_EVENT };

/* A block larger than this is given back when its event is done, so that one picture does not cost an idle
 * stream its megabytes. */
enum { KEEP_CAP = 16384 };

/* The most that find_eol reads in vain for one line end: more than most lines have, little to read. */
enum { WINDOW = 512 };

void gem_sse_init(struct gem_sse *sse, const struct gem_mem *mem, size_t max_event)
{
    memset(sse, 0, sizeof *sse);
    gem_buf_init(&sse->data, mem, max_event);
    sse->line = LINE_MARK;
}

void gem_sse_free(struct gem_sse *sse)
{
    gem_buf_free(&sse->data);
    sse->event = NULL;
    sse->event_len = 0;
}

/* ---- scanning ---- */

static int is_eol(char c)
{
    return c == '\n' || c == '\r';
}

/* The first CR or LF, or end. A search for one must not run far past the other, or a stream of short lines that
 * end in CR would be read to its end once per line: hence the window. */
static const char *find_eol(const char *p, const char *end)
{
    while (p < end) {
        size_t n = (size_t)(end - p) < WINDOW ? (size_t)(end - p) : WINDOW;
        const char *lf = memchr(p, '\n', n);
        const char *cr = memchr(p, '\r', lf != NULL ? (size_t)(lf - p) : n);
        if (cr != NULL)
            return cr;
        if (lf != NULL)
            return lf;
        p += n;
    }
    return end;
}

/* ---- data ----
 *
 * The open event's data is either all in the bytes being fed (event, not NULL) or all in the buffer. */

enum { TOO_LARGE = 1, NO_MEMORY };

static enum gem_sse_result fail(const struct gem_sse *sse, struct gem_err *err)
{
    if (sse->broken == TOO_LARGE)
        gem_err_set(err, GEM_LIMIT, 0, "an event of the stream has more than %zu bytes (max_event)", sse->data.max);
    else
        gem_err_memory(err);
    return GEM_SSE_BROKEN;
}

static int append(struct gem_sse *sse, const char *bytes, size_t n)
{
    if (n > sse->data.max - sse->data.len)
        sse->broken = TOO_LARGE;
    else if (gem_buf_add(&sse->data, bytes, n, NULL) < 0)
        sse->broken = NO_MEMORY;
    return sse->broken ? -1 : 0;
}

/* Copies what lies in the fed bytes to the buffer: they go away, or another line follows. */
static int keep(struct gem_sse *sse)
{
    const char *event = sse->event;
    sse->event = NULL;
    return event == NULL ? 0 : append(sse, event, sse->event_len);
}

/* A data line begins: its payload comes after that of the lines before it. */
static int begin_data(struct gem_sse *sse)
{
    sse->line = LINE_DATA;
    if (!sse->has_data)
        return 0;
    if (sse->handed > 0) {
        sse->due = sse->line_due = true;
        return 0;
    }
    return keep(sse) < 0 ? -1 : append(sse, "\n", 1);
}

/* A data line's payload or raw text, as far as it goes. Not copied while it is all that the event has. */
static const char *take_payload(struct gem_sse *sse, const char *p, const char *end)
{
    size_t n = (size_t)(end - p);
    if (sse->handed > 0) {
        if (n > sse->data.max - sse->handed) {
            sse->broken = TOO_LARGE;
            return NULL;
        }
        sse->handed += n;
    } else if (sse->data.len > 0 || n > sse->data.max)
        return append(sse, p, n) < 0 ? NULL : end;
    sse->event = p;
    sse->event_len = n;
    return end;
}

/* ---- lines ---- */

/* Hands the open event out; the next call clears it. */
static enum gem_sse_result give(struct gem_sse *sse, enum gem_sse_result result)
{
    if (sse->event == NULL) {
        sse->event = sse->data.len > 0 ? gem_buf_head(&sse->data) : "";
        sse->event_len = sse->data.len;
    }
    sse->has_data = 0;
    sse->given = GIVEN_EVENT;
    return result;
}

/* Whether the payload so far is to be handed out, as a piece. */
static bool is_piece_due(const struct gem_sse *sse)
{
    size_t n = sse->event != NULL ? sse->event_len : sse->data.len;
    return sse->pieces > 0 && n > 0 && (sse->handed > 0 || n >= sse->pieces);
}

/* The payload so far; where it was handed out before, the line feed that follows. */
static enum gem_sse_result give_piece(struct gem_sse *sse, struct gem_err *err)
{
    sse->due = false;
    sse->given = GIVEN_PIECE;
    if (sse->handed == 0) {
        if (sse->event == NULL) {
            sse->event = gem_buf_head(&sse->data);
            sse->event_len = sse->data.len;
        }
        sse->handed = sse->event_len;
    }
    if (sse->event != NULL)
        return GEM_SSE_PIECE;
    if (sse->handed++ == sse->data.max) {
        sse->broken = TOO_LARGE;
        return fail(sse, err);
    }
    sse->event = "\n";
    sse->event_len = 1;
    sse->line_due = false;
    return GEM_SSE_PIECE;
}

static void start_afresh(struct gem_sse *sse)
{
    if (sse->given == GIVEN_NOTHING)
        return;
    if (sse->data.cap > KEEP_CAP)
        gem_buf_free(&sse->data);
    gem_buf_clear(&sse->data);
    if (sse->given == GIVEN_EVENT)
        sse->handed = 0;
    sse->event = NULL;
    sse->event_len = 0;
    sse->given = GIVEN_NOTHING;
}

/* The line at hand ends. Returns 1 where that completes the event, -1 where it breaks the ceiling. */
static int end_line(struct gem_sse *sse)
{
    int blank = sse->line == LINE_NAME && sse->matched == 0;

    if (sse->line == LINE_NAME && sse->matched >= 4 && begin_data(sse) < 0)  /* "data" or "data:", no payload */
        return -1;
    if (sse->line == LINE_DATA)
        sse->has_data = 1;
    sse->line = LINE_NAME;
    sse->matched = 0;
    return blank && sse->has_data;
}

/* Bytes of the mark, which only counts whole: a line that begins like it and goes on otherwise is no field. */
static const char *take_mark(struct gem_sse *sse, const char *p)
{
    if (*p == "\xEF\xBB\xBF"[sse->matched]) {
        p++;
        if (++sse->matched < 3)
            return p;
        sse->line = LINE_NAME;
    } else {
        sse->line = sse->matched == 0 ? LINE_NAME : LINE_SKIP;
    }
    sse->matched = 0;
    return p;
}

/* Characters that tell what the line is. Stops before the first that belongs to the payload or the raw text. */
static const char *take_name(struct gem_sse *sse, const char *p, const char *end)
{
    while (p < end && sse->matched < 5 && *p == "data:"[sse->matched]) {
        sse->matched++;
        p++;
    }
    if (p == end || is_eol(*p))
        return p;
    if (sse->matched == 5) {
        if (begin_data(sse) < 0)
            return NULL;
        return *p == ' ' ? p + 1 : p;
    }
    sse->line = sse->matched > 0 || sse->has_data ? LINE_SKIP : LINE_INDENT;
    return p;
}

/* Blanks at the start of a line outside an event, and what comes after them. */
static const char *take_indent(struct gem_sse *sse, const char *p)
{
    if (*p == ' ' || *p == '\t')
        return p + 1;
    sse->line = *p == '{' || *p == '[' ? LINE_RAW : LINE_SKIP;
    return p;
}

/* Takes bytes at p, at least one. The first is no line's end, but in raw text. Returns where it stopped, NULL where
 * a ceiling broke. */
static const char *take(struct gem_sse *sse, const char *p, const char *end)
{
    switch ((enum line)sse->line) {
    case LINE_MARK:
        return take_mark(sse, p);
    case LINE_NAME:
        return take_name(sse, p, end);
    case LINE_INDENT:
        return take_indent(sse, p);
    case LINE_DATA:
        return take_payload(sse, p, find_eol(p, end));
    case LINE_SKIP:
        return find_eol(p, end);
    case LINE_RAW:
        break;
    }
    return take_payload(sse, p, end);
}

/* A CR or LF. The LF of a CRLF belongs to the line that its CR ended, in this call or an earlier one. */
static int take_eol(struct gem_sse *sse, char c)
{
    int second = sse->after_cr && c == '\n';
    sse->after_cr = c == '\r';
    return second ? 0 : end_line(sse);
}

/* Most events are one line of data and an empty one, and lie whole in what is fed: that is seen at once. Where p is at
 * one, it is the open event then; returns where it ends, or NULL. */
static const char *take_whole(struct gem_sse *sse, const char *p, const char *end)
{
    const char *data, *stop;
    if (sse->line != LINE_NAME || sse->matched > 0 || sse->has_data || sse->handed > 0)
        return NULL;
    if (sse->after_cr && p < end && *p == '\n')
        p++;
    if (end - p < 7 || memcmp(p, "data:", 5) != 0)
        return NULL;
    data = p[5] == ' ' ? p + 6 : p + 5;
    stop = find_eol(data, end);
    if (end - stop < 2 || stop == data || (size_t)(stop - data) > sse->data.max)
        return NULL;
    p = stop[0] == '\r' && stop[1] == '\n' ? stop + 2 : stop + 1;
    if (p == end || !is_eol(*p))
        return NULL;
    sse->event = data;
    sse->event_len = (size_t)(stop - data);
    p += end - p > 1 && p[0] == '\r' && p[1] == '\n'; /* of which nothing is left then */
    sse->after_cr = *p == '\r';
    return p + 1;
}

enum gem_sse_result gem_sse_feed(struct gem_sse *sse, const char *bytes, size_t n, size_t *used,
                                 struct gem_err *err)
{
    const char *p = bytes, *end = n > 0 ? bytes + n : bytes, *whole;
    int ended = 0;

    start_afresh(sse);
    whole = sse->broken ? NULL : take_whole(sse, p, end);
    if (whole != NULL) {
        *used = (size_t)(whole - bytes);
        return give(sse, GEM_SSE_EVENT);
    }
    sse->due = sse->line_due;
    while (!sse->broken && ended == 0 && !sse->due && p < end) {
        if (is_eol(*p) && sse->line != LINE_RAW) {
            ended = take_eol(sse, *p++);
        } else {
            sse->after_cr = 0;
            p = take(sse, p, end);
        }
    }
    if (!sse->broken && ended == 0 && is_piece_due(sse))
        sse->due = true;
    if (sse->broken || (ended == 0 && !sse->due && keep(sse) < 0)) {
        *used = n;
        return fail(sse, err);
    }
    *used = n > 0 ? (size_t)(p - bytes) : 0;
    if (sse->due) {
        enum gem_sse_result result = give_piece(sse, err);
        *used = result == GEM_SSE_BROKEN ? n : *used;
        return result;
    }
    return ended ? give(sse, GEM_SSE_EVENT) : GEM_SSE_MORE;
}

enum gem_sse_result gem_sse_finish(struct gem_sse *sse, struct gem_err *err)
{
    start_afresh(sse);
    if (sse->line == LINE_RAW && !sse->broken) {
        sse->line = LINE_NAME;
        return give(sse, GEM_SSE_TAIL);
    }
    if (!sse->broken)
        end_line(sse);
    if (!sse->broken && sse->line_due && give_piece(sse, err) == GEM_SSE_BROKEN)
        return GEM_SSE_BROKEN;
    if (sse->broken)
        return fail(sse, err);
    return sse->has_data ? give(sse, GEM_SSE_EVENT) : GEM_SSE_END;
}
