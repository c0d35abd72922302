#include "json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_CLOSE, /* after '[' */
    EXPECT_NAME_OR_CLOSE,  /* after '{' */
    EXPECT_NAME,           /* after ',' in an object */
    EXPECT_COLON,
    EXPECT_COMMA,          /* or the end of the object or array */
    EXPECT_DONE,           /* the value is whole and nobody was told */
    EXPECT_BLANKS          /* nothing else */
};

enum open { OPEN_NONE, OPEN_STRING, OPEN_NAME, OPEN_NUMBER, OPEN_WORD };

static const char *const expected[] = {"a value expected", "a value or ] expected", "a name or } expected",
                                       "a name expected", "a colon expected", "a comma expected", "the end expected",
                                       "the end expected"};

enum {
    KEEP_CAP = 16384, /* a block larger than this is given back with the text it was for */
    SMALL = 64        /* a number of fewer bytes is read without a buffer */
};

#define EXACT (INT64_C(1) << 53) /* whole numbers below it are themselves as doubles */

void gem_json_init(struct gem_json *json, const struct gem_mem *mem, unsigned max_depth, size_t max_text)
{
    memset(json, 0, sizeof *json);
    json->max_depth = max_depth < GEM_JSON_DEPTH_MAX ? max_depth : GEM_JSON_DEPTH_MAX;
    gem_buf_init(&json->gathered, mem, max_text < SIZE_MAX ? max_text + 1 : max_text); /* one for the end of a number */
}

void gem_json_free(struct gem_json *json)
{
    gem_buf_free(&json->gathered);
    json->at = json->end = NULL;
}

void gem_json_reset(struct gem_json *json)
{
    if (json->gathered.cap > KEEP_CAP)
        gem_buf_free(&json->gathered);
    json->at = json->end = json->start = NULL;
    json->before = 0;
    json->depth = 0;
    json->expect = EXPECT_VALUE;
    json->open = OPEN_NONE;
    json->broken = 0;
    json->escape_len = 0;
    json->pieces = false;
}

void gem_json_feed(struct gem_json *json, const char *bytes, size_t n)
{
    json->before += (uint64_t)(json->end - json->start);
    json->at = json->start = bytes;
    json->end = n > 0 ? bytes + n : bytes;
}

size_t gem_json_place(const struct gem_json *json)
{
    return (size_t)(json->at - json->start);
}

/* ---- what is wrong ---- */

enum broken { NO_JSON = 1, CUT, TOO_DEEP, TOO_LARGE, NO_MEMORY };

/* It is kept in few bytes: there may be thousands of parsers. */
static enum gem_json_token repeat(const struct gem_json *json, struct gem_err *err)
{
    unsigned long long place = (unsigned long long)json->wrong + 1;
    switch ((enum broken)json->broken) {
    case NO_JSON:
    case CUT:
        gem_err_set(err, json->broken == CUT ? GEM_INCOMPLETE : GEM_PROTOCOL, 0, "not valid JSON at character %llu: %s",
                    place, json->what);
        if (err != NULL)
            err->offset = (int64_t)json->wrong;
        break;
    case TOO_DEEP:
        gem_err_set(err, GEM_LIMIT, 0, "JSON nested deeper than %u levels at character %llu (max_depth)", json->max_depth,
                    place);
        break;
    case TOO_LARGE:
        gem_err_set(err, GEM_LIMIT, 0, "more than %zu bytes to hold", json->gathered.max - 1);
        break;
    case NO_MEMORY:
        gem_err_memory(err);
    }
    return GEM_JSON_BROKEN;
}

/* at: the character that is wrong. */
static enum gem_json_token break_at(struct gem_json *json, enum broken broken, const char *at, const char *what)
{
    json->broken = (unsigned char)broken;
    json->wrong = json->before + (uint64_t)(at - json->start);
    json->what = what;
    return GEM_JSON_BROKEN;
}

static enum gem_json_token wrong(struct gem_json *json, const char *at, const char *what)
{
    return break_at(json, NO_JSON, at, what);
}

static enum gem_json_token unexpected(struct gem_json *json, const char *at)
{
    return wrong(json, at, expected[json->expect]);
}

static int gather(struct gem_json *json, const char *bytes, size_t n)
{
    if (n > json->gathered.max - 1 - json->gathered.len)
        json->broken = TOO_LARGE;
    else if (gem_buf_add(&json->gathered, bytes, n, NULL) < 0)
        json->broken = NO_MEMORY;
    return json->broken ? -1 : 0;
}

/* ---- nesting ---- */

static bool in_array(const struct gem_json *json)
{
    unsigned level = json->depth - 1;
    return (json->arrays[level / 8] >> level % 8 & 1) != 0;
}

static enum gem_json_token nest(struct gem_json *json, const char *at, bool array)
{
    unsigned level = json->depth;
    if (level == json->max_depth)
        return break_at(json, TOO_DEEP, at, NULL);
    unsigned char bit = (unsigned char)(1u << level % 8);
    if (array)
        json->arrays[level / 8] |= bit;
    else
        json->arrays[level / 8] &= (unsigned char)~bit;
    json->depth++;
    json->expect = array ? EXPECT_VALUE_OR_CLOSE : EXPECT_NAME_OR_CLOSE;
    return array ? GEM_JSON_ARRAY : GEM_JSON_OBJECT;
}

static void value_ends(struct gem_json *json)
{
    json->expect = json->depth == 0 ? EXPECT_DONE : EXPECT_COMMA;
}

static enum gem_json_token close_level(struct gem_json *json)
{
    json->depth--;
    value_ends(json);
    return GEM_JSON_CLOSE;
}

/* ---- strings ---- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Whether a byte of the eight is zero: exact up to the first one. */
static uint64_t has_zero(uint64_t word)
{
    return (word - ONES) & ~word & HIGHS;
}

#if defined(__SSE2__)

/* A bit for each special byte of the next 16. */
static unsigned specials(const char *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    __m128i zeroes = _mm_cmpeq_epi8(bytes, _mm_setzero_si128());
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, escapes), zeroes));
}

#endif

const char *gem_json_special(const char *p, const char *end)
{
    uint64_t word;
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        unsigned found = specials(p);
        if (found != 0)
            return p + __builtin_ctz(found);
    }
#endif
    while ((size_t)(end - p) >= sizeof word) {
        memcpy(&word, p, sizeof word);
        if ((has_zero(word) | has_zero(word ^ ONES * '"') | has_zero(word ^ ONES * '\\')) != 0)
            break;
        p += sizeof word;
    }
    while (p < end && *p != '"' && *p != '\\' && *p != '\0')
        p++;
    return p;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of \uXXXX, whose digits were checked as they came. */
static uint32_t code_unit(const char *escape)
{
    uint32_t unit = 0;
    for (int i = 2; i < 6; i++)
        unit = unit << 4 | (uint32_t)hex_digit(escape[i]);
    return unit;
}

/* Adds c to the escape at hand. 1: it is whole, 0: more is needed, -1: it is none. */
static int extend_escape(struct gem_json *json, char c)
{
    unsigned n = json->escape_len, place = n % 6;
    bool fits = place == 0 ? c == '\\' : place == 1 && n < 6 ? strchr("\"\\/bfnrtu", c) != NULL && c != '\0'
              : place == 1 ? c == 'u' : hex_digit(c) >= 0;
    if (!fits)
        return -1;
    json->escape[n] = c;
    json->escape_len = (unsigned char)(n + 1);
    if (n + 1 == 2)
        return c != 'u';
    if (n + 1 == 6) {
        uint32_t unit = code_unit(json->escape);
        return unit >= 0xDC00 && unit < 0xE000 ? -1 : unit < 0xD800 || unit >= 0xE000;
    }
    if (n + 1 == 12) {
        uint32_t unit = code_unit(json->escape + 6);
        return unit >= 0xDC00 && unit < 0xE000 ? 1 : -1;
    }
    return 0;
}

/* The whole escape as UTF-8 in json->small. */
static size_t unescape(struct gem_json *json)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *escape = json->escape;
    json->escape_len = 0;
    if (escape[1] != 'u') {
        json->small[0] = to[strchr(from, escape[1]) - from];
        return 1;
    }
    uint32_t c = code_unit(escape);
    if (c >= 0xD800 && c < 0xDC00)
        c = 0x10000 + ((c - 0xD800) << 10) + (code_unit(escape + 6) - 0xDC00);
    return put_utf8(json->small, c);
}

static enum gem_json_token give_text(struct gem_json *json, enum gem_json_token token, const char *text, size_t len)
{
    json->text = text;
    json->len = len;
    return token;
}

/* A string or name that was whole in neither way: with escapes, or cut. */
static enum gem_json_token gather_string(struct gem_json *json)
{
    bool pieces = json->pieces && json->open == OPEN_STRING;
    while (json->at < json->end) {
        const char *p = json->at;
        size_t n;
        if (json->escape_len > 0 || *p == '\\') {
            int whole = extend_escape(json, *p);
            if (whole < 0)
                return wrong(json, p, "a bad escape in a string");
            json->at = p + 1;
            if (whole == 0)
                continue;
            n = unescape(json);
            p = json->small;
        } else if (*p == '"') {
            bool name = json->open == OPEN_NAME;
            json->at = p + 1;
            json->open = OPEN_NONE;
            json->pieces = false;
            if (name)
                json->expect = EXPECT_COLON;
            else
                value_ends(json);
            return give_text(json, name ? GEM_JSON_NAME : GEM_JSON_STRING,
                             json->gathered.len > 0 ? gem_buf_head(&json->gathered) : "", json->gathered.len);
        } else if (*p == '\0') {
            return wrong(json, p, "a zero byte");
        } else {
            json->at = gem_json_special(p, json->end);
            n = (size_t)(json->at - p);
        }
        if (pieces)
            return give_text(json, GEM_JSON_PIECE, p, n);
        if (gather(json, p, n) < 0)
            return GEM_JSON_BROKEN;
    }
    return GEM_JSON_MORE;
}

/* p: behind the quote. */
static inline enum gem_json_token read_string(struct gem_json *json, const char *p, bool name)
{
    const char *q = gem_json_special(p, json->end);
    if (q < json->end && *q == '"') {
        json->at = q + 1;
        json->pieces = false;
        if (name)
            json->expect = EXPECT_COLON;
        else
            value_ends(json);
        return give_text(json, name ? GEM_JSON_NAME : GEM_JSON_STRING, p, (size_t)(q - p));
    }
    gem_buf_clear(&json->gathered);
    json->open = name ? OPEN_NAME : OPEN_STRING;
    json->at = p;
    return gather_string(json);
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* Whether the text is a number as JSON has it. */
static bool is_number(const char *p, const char *end)
{
    const char *q;
    if (p < end && *p == '-')
        p++;
    q = skip_digits(p, end);
    if (q == p || (*p == '0' && q > p + 1))
        return false;
    if (q < end && *q == '.') {
        p = q + 1;
        q = skip_digits(p, end);
        if (q == p)
            return false;
    }
    if (q < end && (*q == 'e' || *q == 'E')) {
        p = q + 1;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        q = skip_digits(p, end);
        if (q == p)
            return false;
    }
    return q == end;
}

/* strtod knows the locale's decimal point only. */
static double to_double(char *text)
{
    char *point = strchr(text, '.');
    const char *theirs = localeconv()->decimal_point;
    if (point != NULL && theirs[0] != '.' && theirs[0] != '\0' && theirs[1] == '\0')
        *point = theirs[0];
    return strtod(text, NULL);
}

static enum gem_json_token give_number(struct gem_json *json, double number)
{
    if (floor(number) == number && fabs(number) < (double)EXACT) {
        json->integer = (int64_t)number;
        return GEM_JSON_INTEGER;
    }
    json->number = number;
    return GEM_JSON_NUMBER;
}

/* A mantissa below 2^53 and a power of ten up to 22 are both exact: so is their quotient, rounded once. */
static bool short_decimal(const char *p, const char *end, double *number)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    int64_t mantissa = 0;
    bool negative = *p == '-';
    int decimals = 0, digits = 0, seen_point = 0;
    for (p += negative; p < end; p++) {
        if (*p == '.') {
            seen_point = 1;
        } else if (is_digit(*p) && digits < 15) {
            mantissa = mantissa * 10 + (*p - '0');
            digits++;
            decimals += seen_point;
        } else {
            return false;
        }
    }
    *number = (double)mantissa / powers[decimals];
    if (negative)
        *number = -*number;
    return true;
}

/* Of fewer than SMALL bytes. */
static double small_number(const char *p, size_t n)
{
    char small[SMALL];
    memcpy(small, p, n);
    small[n] = '\0';
    return to_double(small);
}

bool gem_json_number(const char *text, size_t n, double *number)
{
    if (n >= SMALL || !is_number(text, text + n))
        return false;
    *number = small_number(text, n);
    return !isinf(*number);
}

/* The number lies whole at p. */
static enum gem_json_token take_number(struct gem_json *json, const char *p, size_t n)
{
    double number;
    value_ends(json);
    if (!is_number(p, p + n))
        return wrong(json, json->at, "a malformed number before it");
    if (short_decimal(p, p + n, &number))
        return give_number(json, number);
    if (n < SMALL) {
        number = small_number(p, n);
    } else {
        if (p != gem_buf_head(&json->gathered)) {
            gem_buf_clear(&json->gathered);
            if (gather(json, p, n) < 0)
                return GEM_JSON_BROKEN;
        }
        if (gem_buf_add(&json->gathered, "", 1, NULL) < 0) {
            json->broken = NO_MEMORY;
            return GEM_JSON_BROKEN;
        }
        number = to_double(gem_buf_head(&json->gathered));
    }
    if (isinf(number))
        return wrong(json, json->at, "a number out of range before it");
    return give_number(json, number);
}

static const char *number_end(const char *p, const char *end)
{
    while (p < end && (is_digit(*p) || *p == '.' || *p == '-' || *p == '+' || *p == 'e' || *p == 'E'))
        p++;
    return p;
}

/* The rest of a number that was cut. */
static enum gem_json_token gather_number(struct gem_json *json)
{
    const char *p = json->at, *q = number_end(p, json->end);
    if (gather(json, p, (size_t)(q - p)) < 0)
        return GEM_JSON_BROKEN;
    json->at = q;
    if (q == json->end)
        return GEM_JSON_MORE;
    json->open = OPEN_NONE;
    return take_number(json, gem_buf_head(&json->gathered), json->gathered.len);
}

static enum gem_json_token read_number(struct gem_json *json, const char *p)
{
    const char *q = p + (*p == '-'), *first = q;
    int64_t n = 0;
    while (q < json->end && is_digit(*q) && q - first < 15)
        n = n * 10 + (*q++ - '0');
    if (q < json->end && q > first && (*first != '0' || q == first + 1) && !is_digit(*q) && *q != '.' &&
        (*q | 32) != 'e' && *q != '+' && *q != '-') {
        json->at = q;
        value_ends(json);
        json->integer = *p == '-' ? -n : n;
        return GEM_JSON_INTEGER;
    }
    q = number_end(q, json->end);
    json->at = q;
    if (q < json->end)
        return take_number(json, p, (size_t)(q - p));
    json->at = p;
    json->open = OPEN_NUMBER;
    gem_buf_clear(&json->gathered);
    return gather_number(json);
}

/* ---- words ---- */

static const char *const words[] = {"true", "false", "null"};
static const enum gem_json_token word_tokens[] = {GEM_JSON_TRUE, GEM_JSON_FALSE, GEM_JSON_NULL};

/* The letters of a word; small[0] says which, escape_len how many have been seen. */
static enum gem_json_token read_word(struct gem_json *json)
{
    const char *word = words[(unsigned char)json->small[0]];
    while (word[json->escape_len] != '\0') {
        if (json->at == json->end)
            return GEM_JSON_MORE;
        if (*json->at != word[json->escape_len])
            return unexpected(json, json->at);
        json->at++;
        json->escape_len++;
    }
    json->escape_len = 0;
    json->open = OPEN_NONE;
    value_ends(json);
    return word_tokens[(unsigned char)json->small[0]];
}

/* ---- tokens ---- */

static enum gem_json_token read_value(struct gem_json *json, const char *p)
{
    switch (*p) {
    case '"':
        return read_string(json, p + 1, false);
    case '{':
    case '[':
        json->at = p + 1;
        return nest(json, p, *p == '[');
    case 't':
    case 'f':
    case 'n':
        json->at = p;
        json->open = OPEN_WORD;
        json->escape_len = 0;
        json->small[0] = *p == 't' ? 0 : *p == 'f' ? 1 : 2;
        return read_word(json);
    case ']':
        if (json->expect == EXPECT_VALUE_OR_CLOSE) {
            json->at = p + 1;
            return close_level(json);
        }
        break;
    default:
        if (*p == '-' || is_digit(*p))
            return read_number(json, p);
    }
    return unexpected(json, p);
}

static enum gem_json_token go_on(struct gem_json *json)
{
    switch ((enum open)json->open) {
    case OPEN_STRING:
    case OPEN_NAME:
        return gather_string(json);
    case OPEN_NUMBER:
        return gather_number(json);
    case OPEN_WORD:
        return read_word(json);
    case OPEN_NONE:
        break;
    }
    return GEM_JSON_MORE;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static enum gem_json_token next_token(struct gem_json *json)
{
    const char *p = json->at, *end = json->end;

    if (json->open != OPEN_NONE)
        return go_on(json);
    for (;;) {
        if (json->expect == EXPECT_DONE) {
            json->expect = EXPECT_BLANKS;
            json->at = p;
            return GEM_JSON_DONE;
        }
        while (p < end && is_blank(*p))
            p++;
        if (p == end) {
            json->at = p;
            return GEM_JSON_MORE;
        }
        switch ((enum expect)json->expect) {
        case EXPECT_VALUE:
        case EXPECT_VALUE_OR_CLOSE:
            return read_value(json, p);
        case EXPECT_COLON:
            if (*p != ':')
                return unexpected(json, p);
            json->expect = EXPECT_VALUE;
            p++;
            continue;
        case EXPECT_COMMA:
            if (*p == ',') {
                json->expect = in_array(json) ? EXPECT_VALUE : EXPECT_NAME;
                p++;
                continue;
            }
            if (*p != (in_array(json) ? ']' : '}'))
                return unexpected(json, p);
            json->at = p + 1;
            return close_level(json);
        case EXPECT_NAME_OR_CLOSE:
            if (*p == '}') {
                json->at = p + 1;
                return close_level(json);
            }
            /* fall through */
        case EXPECT_NAME:
            if (*p != '"')
                return unexpected(json, p);
            return read_string(json, p + 1, true);
        case EXPECT_DONE:
        case EXPECT_BLANKS:
            break;
        }
        return unexpected(json, p);
    }
}

enum gem_json_token gem_json_next(struct gem_json *json, struct gem_err *err)
{
    enum gem_json_token token = json->broken ? GEM_JSON_BROKEN : next_token(json);
    return token == GEM_JSON_BROKEN ? repeat(json, err) : token;
}

enum gem_json_token gem_json_finish(struct gem_json *json, struct gem_err *err)
{
    if (!json->broken && json->open == OPEN_NUMBER) {
        json->open = OPEN_NONE;
        enum gem_json_token token = take_number(json, gem_buf_head(&json->gathered), json->gathered.len);
        return token == GEM_JSON_BROKEN ? repeat(json, err) : token;
    }
    if (!json->broken && json->expect >= EXPECT_DONE) {
        json->expect = EXPECT_BLANKS;
        return GEM_JSON_DONE;
    }
    if (!json->broken)
        break_at(json, CUT, json->end, expected[json->expect]);
    return repeat(json, err);
}
