#include "skim.h"

#include <stdint.h>
#include <string.h>

enum {
    EVENT_MAX = 16384, /* larger ones are rare, and not worth the copy */
    DIGITS_MAX = 15    /* of a number that differs: any such number is one that JSON has */
};

void gem_skim_init(struct gem_skim *skim, const struct gem_mem *mem)
{
    memset(skim, 0, sizeof *skim);
    gem_buf_init(&skim->last, mem, EVENT_MAX);
}

void gem_skim_free(struct gem_skim *skim)
{
    gem_buf_free(&skim->last);
    skim->ready = false;
}

void gem_skim_learn(struct gem_skim *skim, const char *event, size_t n, size_t text, size_t after)
{
    gem_buf_clear(&skim->last);
    skim->ready = gem_buf_add(&skim->last, event, n, NULL) == 0;
    skim->text = text;
    skim->after = after;
}

/* The quote that ends the text which begins at p, or NULL: there is none, or a byte that JSON cannot have. */
static const char *text_end(const char *p, const char *end, bool *escaped)
{
    *escaped = false;
    for (; p < end && *p != '"'; p++) {
        if (*p == '\0')
            return NULL;
        if (*p == '\\') {
            *escaped = true;
            if (++p == end)
                return NULL;
        }
    }
    return p < end ? p : NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The end of the digits around p, or NULL: there are none, they are a 0, or they may be more than JSON has a number for.
 * Nothing before `start` is read. */
static const char *number_end(const char *p, const char *start, const char *end)
{
    const char *q = p;
    while (p > start && is_digit(p[-1]))
        p--;
    while (q < end && is_digit(*q))
        q++;
    return p == q || *p == '0' || q - p > DIGITS_MAX ? NULL : q;
}

/* Whether the two differ in the digits of numbers only. */
static bool alike(const char *a, const char *a_end, const char *b, const char *b_end)
{
    const char *a_start = a, *b_start = b;
    for (;;) {
        uint64_t left, right;
        while (a_end - a >= 8 && b_end - b >= 8) {
            memcpy(&left, a, 8);
            memcpy(&right, b, 8);
            if (left != right)
                break;
            a += 8;
            b += 8;
        }
        while (a < a_end && b < b_end && *a == *b)
            a++, b++;
        if (a == a_end && b == b_end)
            return true;
        if (!(a < a_end && is_digit(*a)) && !(b < b_end && is_digit(*b)))
            return false;
        a = number_end(a, a_start, a_end);
        b = number_end(b, b_start, b_end);
        if (a == NULL || b == NULL)
            return false;
    }
}

bool gem_skim_match(struct gem_skim *skim, const char *event, size_t n, bool *escaped)
{
    const char *last = gem_buf_head(&skim->last), *end = event + n, *quote;

    if (!skim->ready || n > EVENT_MAX || n < skim->text || memcmp(last, event, skim->text) != 0)
        return false;
    quote = text_end(event + skim->text, end, escaped);
    if (quote == NULL || !alike(last + skim->after, last + skim->last.len, quote, end))
        return false;
    gem_skim_learn(skim, event, n, skim->text, (size_t)(quote - event));
    return skim->ready;
}
