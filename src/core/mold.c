#include "mold.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    EVENT_MAX = 16384, /* larger ones are rare, and not worth the copy; what a place can hold */
    DIGITS_MAX = 15    /* of a number: any such one is one that JSON has, and a double holds */
};

void gem_mold_init(struct gem_mold *mold, const struct gem_mem *mem)
{
    memset(mold, 0, sizeof *mold);
    gem_buf_init(&mold->last, mem, EVENT_MAX);
}

void gem_mold_free(struct gem_mold *mold)
{
    gem_buf_free(&mold->last);
    mold->ready = false;
}

bool gem_mold_begin(struct gem_mold *mold, const char *event, size_t n)
{
    mold->ready = mold->escaped = false;
    mold->count = 0;
    gem_buf_clear(&mold->last);
    return gem_buf_add(&mold->last, event, n, NULL) == 0;
}

void gem_mold_copy(struct gem_mold *mold, const struct gem_mold *other)
{
    if (!gem_mold_begin(mold, gem_buf_head(&other->last), other->last.len))
        return;
    memcpy(mold->places, other->places, other->count * sizeof *mold->places);
    mold->count = other->count;
    mold->escaped = other->escaped;
    mold->ready = other->ready;
}

bool gem_mold_note(struct gem_mold *mold, size_t from, size_t to, enum gem_mold_kind kind)
{
    if (mold->count == GEM_MOLD_PLACES)
        return false;
    if (kind == GEM_MOLD_TEXT)
        mold->escaped = memchr(gem_buf_head(&mold->last) + from, '\\', to - from) != NULL;
    mold->places[mold->count++] =
        (struct gem_mold_place){.from = (uint16_t)from, .to = (uint16_t)to, .kind = (unsigned char)kind};
    return true;
}

const char *gem_mold_value(const struct gem_mold *mold, unsigned place, size_t *n)
{
    const struct gem_mold_place *p = &mold->places[place];
    *n = (size_t)(p->to - p->from);
    return gem_buf_head(&mold->last) + p->from;
}

/* ---- the end of another value ---- */

/* The quote that ends the string, or NULL: there is none, or a zero byte, or an escape where none may be. */
static const char *string_end(const char *p, const char *end, bool *escaped)
{
    for (;;) {
        p = gem_json_special(p, end);
        if (p == end || *p == '\0' || (*p == '\\' && (escaped == NULL || end - p < 2)))
            return NULL;
        if (*p == '"')
            return p;
        *escaped = true;
        p += 2;
    }
}

static const char *count_end(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && *q >= '0' && *q <= '9')
        q++;
    return q == p || *p == '0' || q - p > DIGITS_MAX ? NULL : q;
}

static const char *value_end(const struct gem_mold_place *place, const char *p, const char *end, bool *escaped)
{
    switch ((enum gem_mold_kind)place->kind) {
    case GEM_MOLD_TEXT:
        *escaped = false;
        return string_end(p, end, escaped);
    case GEM_MOLD_STRING:
        return string_end(p, end, NULL);
    default:
        return count_end(p, end);
    }
}

/* ---- comparing ---- */

#if defined(__SSE2__)

/* A bit for each of the next 16 bytes in which the two differ. */
static unsigned differing(const char *a, const char *b)
{
    __m128i left = _mm_loadu_si128((const __m128i *)(const void *)a);
    __m128i right = _mm_loadu_si128((const __m128i *)(const void *)b);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(left, right)) ^ 0xFFFF;
}

#endif

/* How far the two are the same. */
static size_t common(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    uint64_t left, right;
#if defined(__SSE2__)
    for (; n - i >= 16; i += 16) {
        unsigned found = differing(a + i, b + i);
        if (found != 0)
            return i + (unsigned)__builtin_ctz(found);
    }
#endif
    for (; n - i >= 8; i += 8) {
        memcpy(&left, a + i, 8);
        memcpy(&right, b + i, 8);
        if (left != right)
            break;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static void move(struct gem_mold_place *place, ptrdiff_t by)
{
    place->from = (uint16_t)(place->from + by);
    place->to = (uint16_t)(place->to + by);
}

/* The same with the value that is at the place in the event, to the end of which *at is moved. */
static bool replace(struct gem_mold_place *place, const char *event, size_t n, size_t *at, bool *escaped)
{
    const char *end = value_end(place, event + *at, event + n, escaped);
    if (end == NULL)
        return false;
    place->from = (uint16_t)*at;
    place->to = (uint16_t)(end - event);
    place->changed = true;
    *at = (size_t)(end - event);
    return true;
}

/* Whether the event differs from the last one in values only, and where they are. */
static bool compare(const struct gem_mold *mold, struct gem_mold_place *places, const char *event, size_t n, bool *escaped)
{
    const char *last = gem_buf_head(&mold->last);
    size_t a = 0, b = 0, a_end = mold->last.len;
    unsigned i = 0, count = mold->count;
    for (;;) {
        ptrdiff_t by = (ptrdiff_t)b - (ptrdiff_t)a;
        size_t same = common(last + a, event + b, a_end - a < n - b ? a_end - a : n - b);
        a += same;
        b += same;
        bool whole = a == a_end && b == n;
        while (i < count && (places[i].to < a || whole))
            move(&places[i++], by);
        if (whole)
            return true;
        if (i == count || places[i].from > a)
            return false;
        /* They differ in this value, or right behind it, where one of them goes on. */
        b -= a - places[i].from;
        a = places[i].to;
        if (!replace(&places[i++], event, n, &b, escaped))
            return false;
    }
}

static const struct gem_mold_place *text_of(const struct gem_mold_place *places, unsigned count)
{
    unsigned i = 0;
    while (i < count && places[i].kind != GEM_MOLD_TEXT)
        i++;
    return i < count ? &places[i] : NULL;
}

/* With the quotes around it. */
static bool unescape(struct gem_json *json, const char *text, size_t n)
{
    gem_json_reset(json);
    gem_json_feed(json, text, n);
    return gem_json_next(json, NULL) == GEM_JSON_STRING;
}

bool gem_mold_match(struct gem_mold *mold, struct gem_json *json, const char *event, size_t n)
{
    struct gem_mold_place places[GEM_MOLD_PLACES];
    const struct gem_mold_place *text;
    bool escaped = mold->escaped;

    if (!mold->ready || n > EVENT_MAX)
        return false;
    memcpy(places, mold->places, mold->count * sizeof *places);
    if (!compare(mold, places, event, n, &escaped))
        return false;
    text = text_of(places, mold->count);
    if (text == NULL || (escaped && !unescape(json, event + text->from - 1, (size_t)(text->to - text->from) + 2)))
        return false;
    if (n > mold->last.len && gem_buf_reserve(&mold->last, n - mold->last.len, NULL) < 0)
        return false; /* and the last one stays */
    gem_buf_clear(&mold->last);
    gem_buf_add(&mold->last, event, n, NULL);
    memcpy(mold->places, places, mold->count * sizeof *places);
    mold->escaped = escaped;
    mold->text = escaped ? json->text : gem_buf_head(&mold->last) + text->from;
    mold->length = escaped ? json->len : (size_t)(text->to - text->from);
    return true;
}
