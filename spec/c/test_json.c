#include "check.h"

#include <locale.h>

#include "../../src/core/json.h"

/* ---- transcripts: each token as a letter, with its text or number ---- */

enum { ROOM = 1 << 16 };

struct transcript {
    char text[ROOM];
    size_t len;
};

static void note(struct transcript *t, const char *bytes, size_t n)
{
    if (!CHECK(t->len + n + 1 < ROOM))
        abort();
    if (n > 0)
        memcpy(t->text + t->len, bytes, n);
    t->len += n;
    t->text[t->len] = '\0';
}

static void note_token(struct transcript *t, const struct gem_json *json, enum gem_json_token token)
{
    char small[64];
    switch (token) {
    case GEM_JSON_NAME:
        note(t, "N<", 2);
        break;
    case GEM_JSON_STRING:
    case GEM_JSON_PIECE: /* the letter comes at the end, so that pieces read like the whole */
        break;
    case GEM_JSON_INTEGER:
        note(t, small, (size_t)snprintf(small, sizeof small, "i%lld ", (long long)json->integer));
        return;
    case GEM_JSON_NUMBER:
        note(t, small, (size_t)snprintf(small, sizeof small, "n%.17g ", json->number));
        return;
    case GEM_JSON_OBJECT:
        note(t, "{", 1);
        return;
    case GEM_JSON_ARRAY:
        note(t, "[", 1);
        return;
    case GEM_JSON_CLOSE:
        note(t, ")", 1);
        return;
    case GEM_JSON_DONE:
        note(t, ".", 1);
        return;
    case GEM_JSON_TRUE:
    case GEM_JSON_FALSE:
    case GEM_JSON_NULL:
        note(t, token == GEM_JSON_TRUE ? "T" : token == GEM_JSON_FALSE ? "F" : "0", 1);
        return;
    default:
        return;
    }
    note(t, json->text, json->len);
    if (token != GEM_JSON_PIECE)
        note(t, ">", 1);
}

enum { DEPTH = 8, TEXT = 4096 };

static struct gem_err last_err;

/* Feeds bytes[0..n) from a block of exactly that size; 1 while more is welcome. */
static int feed(struct gem_json *json, struct transcript *t, const char *bytes, size_t n, int pieces)
{
    enum gem_json_token token;
    char *exact = check_exact(bytes, n);
    gem_json_feed(json, exact, n);
    json->pieces = pieces || json->pieces;
    while ((token = gem_json_next(json, &last_err)) > GEM_JSON_MORE) {
        note_token(t, json, token);
        json->pieces = pieces;
    }
    free(exact);
    if (token == GEM_JSON_BROKEN)
        note(t, "B", 1);
    return token != GEM_JSON_BROKEN;
}

static void finish(struct gem_json *json, struct transcript *t)
{
    enum gem_json_token token = gem_json_finish(json, &last_err);
    if (token > GEM_JSON_DONE) {
        note_token(t, json, token);
        token = gem_json_finish(json, &last_err);
    }
    if (token == GEM_JSON_BROKEN)
        note(t, "B", 1);
    else if (t->len == 0 || t->text[t->len - 1] != '.')
        note(t, ".", 1);
    CHECK(token == GEM_JSON_BROKEN || token == GEM_JSON_DONE);
}

/* The transcript of a text that is fed in pieces of `step` after a first one of `cut`. */
static void parse(struct transcript *t, const char *text, size_t n, size_t cut, size_t step, int pieces)
{
    struct check_mem mem;
    struct gem_json json;
    size_t at = 0, size = cut;
    int going = 1;
    t->len = 0;
    check_mem_init(&mem);
    gem_json_init(&json, &mem.mem, DEPTH, TEXT);
    gem_json_reset(&json);
    while (going && at < n) {
        size = at == 0 ? cut : step;
        size = size < n - at ? size : n - at;
        going = feed(&json, t, text + at, size, pieces);
        at += size;
    }
    if (going)
        finish(&json, t);
    gem_json_free(&json);
    CHECK(mem.blocks == 0);
}

/* Every way of cutting a text gives this transcript. */
static void reads_n(const char *text, size_t n, const char *wanted)
{
    static struct transcript t;
    for (size_t cut = 1; cut <= n; cut++)
        for (int how = 0; how < 4; how++) {
            parse(&t, text, n, cut, how & 1 ? 1 : n, how & 2);
            if (!CHECK_STR(t.text, wanted))
                return;
        }
}

static void reads(const char *text, const char *wanted)
{
    reads_n(text, strlen(text), wanted);
}

static void breaks_n(const char *text, size_t n)
{
    static struct transcript t;
    for (size_t cut = 1; cut <= n; cut++) {
        parse(&t, text, n, cut, n, 0);
        if (!CHECK(t.text[t.len - 1] == 'B'))
            printf("# read: %s\n", text);
    }
}

static void breaks(const char *text)
{
    breaks_n(text, strlen(text));
}

/* ---- tests ---- */

static void test_values(void)
{
    reads("{}", "{).");
    reads("[]", "[).");
    reads(" \t\r\n{ } \n", "{).");
    reads("\"\"", ">.");
    reads("true", "T.");
    reads("[true,false,null]", "[TF0).");
    reads("{\"a\":1,\"bc\":[{},[]],\"\":\"x\"}", "{N<a>i1 N<bc>[{)[))N<>x>).");
    reads("[[[[[[[[]]]]]]]]", "[[[[[[[[)))))))).");
    reads("[ \"a\" , \"b\" ]", "[a>b>).");
}

static void test_strings(void)
{
    reads("\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\"", "a\"b\\c/d\b\f\n\r\t>.");
    reads("\"\\u0041\\u00e9\\u20AC\\uD83D\\ude00z\"", "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z>.");
    reads("{\"n\\u0061me\":\"f\xC3\xBC" "nf and more than eight\"}", "{N<name>f\xC3\xBC" "nf and more than eight>).");
    reads("\"\x01\n\xFF\"", "\x01\n\xFF>.");
    breaks("\"\\x\"");
    breaks("\"\\u12G4\"");
    breaks("\"\\uD83D\"");
    breaks("\"\\uD83Dx\"");
    breaks("\"\\uD83D\\n\"");
    breaks("\"\\uD83D\\u0041\"");
    breaks("\"\\uDE00\"");
    breaks_n("\"a\0b\"", 5);
    breaks_n("\"abcdefgh\\\0\"", 12);
}

static void test_zero_escaped(void)
{
    static struct transcript t;
    parse(&t, "\"a\\u0000b\"", 10, 10, 10, 0);
    CHECK(t.len == 5 && memcmp(t.text, "a\0b>.", 5) == 0);
}

static void test_numbers(void)
{
    reads("0", "i0 .");
    reads("-0", "i0 .");
    reads("[0,-1,12345678901234567,1.5,-2.25e2,1E3,1e-3]",
          "[i0 i-1 n12345678901234568 n1.5 i-225 i1000 n0.001 ).");
    reads("9007199254740991", "i9007199254740991 .");
    reads("9007199254740992", "n9007199254740992 .");
    reads("-9007199254740991", "i-9007199254740991 .");
    reads("1.0", "i1 .");
    reads("0.1", "n0.10000000000000001 .");
    reads("123456789012345.6", "n123456789012345.59 .");
    reads("2.2250738585072011e-308", "n2.2250738585072009e-308 .");
    reads("1e-999", "i0 .");
    reads("0.000000000000000000000000000000000000000000000000000000000000000000000001e72", "i1 .");
    static const char *const none[] = {"-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e5", "1-2", "1.2.3", "0x10", "1e999",
                                       "-1e999", "NaN", "Infinity", "[1e999]", "--1", "1 2"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        breaks(none[i]);
}

static void test_wrong(void)
{
    static const char *const none[] = {"{", "[", "\"", "}", "]", "{]", "[}", "[1,]", "{\"a\":1,}", "{,}", "[,1]", "{\"a\"}", "{\"a\" 1}",
                                       "{a:1}", "{1:1}", "[1 2]", "[1}", "{\"a\":1]", "tru", "trub", "nul", "fals ", "True", "'a'",
                                       "{} {}", "{}x", "[]]", "[[[[[[[[[]]]]]]]]]", "{\"a\":}", ":", ",", "\xEF\xBB\xBF{}", " "};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        breaks(none[i]);
    breaks_n("{}\0", 3);
}

static void test_words_of_errors(void)
{
    static struct transcript t;
    parse(&t, "{\"a\" 1}", 7, 3, 7, 0);
    CHECK_STR(last_err.text, "not valid JSON at character 6: a colon expected");
    CHECK(last_err.kind == GEM_PROTOCOL && last_err.offset == 5);
    parse(&t, "[[[[[[[[[]", 10, 4, 7, 0);
    CHECK(last_err.kind == GEM_LIMIT);
    parse(&t, "[1,", 3, 1, 7, 0);
    CHECK(last_err.kind == GEM_INCOMPLETE);
}

/* What was said once is said again. */
static void test_broken_is_sticky(void)
{
    struct check_mem mem;
    struct gem_json json;
    struct gem_err err;
    check_mem_init(&mem);
    gem_json_init(&json, &mem.mem, DEPTH, TEXT);
    gem_json_feed(&json, "}", 1);
    CHECK(gem_json_next(&json, &err) == GEM_JSON_BROKEN);
    gem_json_feed(&json, "{}", 2);
    CHECK(gem_json_next(&json, &err) == GEM_JSON_BROKEN && err.kind == GEM_PROTOCOL);
    CHECK(gem_json_finish(&json, NULL) == GEM_JSON_BROKEN);
    gem_json_reset(&json);
    gem_json_feed(&json, "{}", 2);
    CHECK(gem_json_next(&json, &err) == GEM_JSON_OBJECT);
    gem_json_reset(&json);
    gem_json_feed(&json, "\"\\x", 3); /* nothing is left of an escape */
    CHECK(gem_json_next(&json, &err) == GEM_JSON_BROKEN);
    gem_json_reset(&json);
    gem_json_feed(&json, "\"abc", 4);
    CHECK(gem_json_next(&json, &err) == GEM_JSON_MORE);
    gem_json_feed(&json, "\"", 1);
    CHECK(gem_json_next(&json, &err) == GEM_JSON_STRING && json.len == 3);
    gem_json_free(&json);
}

/* The ceiling holds for what is gathered, not for pieces. */
static void test_ceiling(void)
{
    static char long_text[TEXT + 3];
    static struct transcript t;
    memset(long_text, 'x', sizeof long_text);
    long_text[0] = long_text[TEXT + 2] = '"';
    parse(&t, long_text, sizeof long_text, 10, TEXT, 0);
    CHECK(t.text[t.len - 1] == 'B' && last_err.kind == GEM_LIMIT);
    parse(&t, long_text, sizeof long_text, 10, TEXT, 1);
    CHECK(t.len == TEXT + 3 && t.text[t.len - 1] == '.');
    parse(&t, long_text, sizeof long_text, sizeof long_text, 1, 0); /* whole in what was fed */
    CHECK(t.len == TEXT + 3);
}

static void test_no_memory(void)
{
    for (size_t n = 1; n <= 2; n++) {
        struct check_mem mem;
        struct gem_json json;
        struct gem_err err;
        check_mem_init(&mem);
        mem.fail_at = n;
        gem_json_init(&json, &mem.mem, DEPTH, TEXT);
        gem_json_feed(&json, "\"a\\nb", 5);
        enum gem_json_token token = gem_json_next(&json, &err);
        CHECK(n == 1 ? token == GEM_JSON_BROKEN && err.kind == GEM_LIMIT : token == GEM_JSON_MORE);
        gem_json_free(&json);
        CHECK(mem.blocks == 0);
    }
}

/* A comma for the decimal point does not show. */
static void test_locale(void)
{
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL)
        return;
    double number;
    reads("[0.1234567890123456789,1.5]", "[n0,12345678901234568 n1,5 ).");
    CHECK(gem_json_number("1.5", 3, &number) && number == 1.5);
    setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    RUN(test_values);
    RUN(test_strings);
    RUN(test_zero_escaped);
    RUN(test_numbers);
    RUN(test_wrong);
    RUN(test_words_of_errors);
    RUN(test_broken_is_sticky);
    RUN(test_ceiling);
    RUN(test_no_memory);
    RUN(test_locale);
    return check_done();
}
