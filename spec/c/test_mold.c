#include "check.h"

#include "../../src/core/mold.h"

#define BEFORE "{\"text\": \""
#define MIDDLE "\"}],\"id\": \""
#define COUNTS(count, all) "\",\"index\": 0,\"count\": " count ",\"all\": " all "}"
#define AFTER MIDDLE "r1" COUNTS("17", "9")

enum { TEXT, ID, COUNT, ALL };

static struct gem_mold mold;
static struct gem_json json;

/* Notes the value that ends before `after`, which is found behind *at. */
static void note(const char *event, const char **at, const char *before, const char *after, enum gem_mold_kind kind)
{
    const char *from = strstr(*at, before) + strlen(before), *to = strstr(from, after);
    CHECK(gem_mold_note(&mold, (size_t)(from - event), (size_t)(to - event), kind));
    *at = to;
}

static void learns(const char *text)
{
    char event[512];
    const char *at = event;
    int n = snprintf(event, sizeof event, "%s%s%s", BEFORE, text, AFTER);
    gem_mold_free(&mold);
    gem_mold_init(&mold, gem_mem_default());
    gem_json_init(&json, gem_mem_default(), 10, 1000);
    CHECK(gem_mold_begin(&mold, event, (size_t)n));
    note(event, &at, BEFORE, MIDDLE, GEM_MOLD_TEXT);
    note(event, &at, MIDDLE, "\",", GEM_MOLD_STRING);
    note(event, &at, "\"count\": ", ",", GEM_MOLD_COUNT);
    note(event, &at, "\"all\": ", "}", GEM_MOLD_COUNT);
    mold.ready = true;
}

static void forgets(void)
{
    gem_mold_free(&mold);
    gem_json_free(&json);
}

/* The event is given without anything readable behind it. */
static bool matches(const char *event)
{
    size_t n = strlen(event);
    char *copy = check_exact(event, n);
    bool matched = gem_mold_match(&mold, &json, copy, n);
    free(copy);
    if (matched)
        CHECK(mold.last.len == n && memcmp(gem_buf_head(&mold.last), event, n) == 0);
    return matched;
}

static bool has_text(const char *text)
{
    return mold.length == strlen(text) && memcmp(mold.text, text, mold.length) == 0;
}

static bool has(unsigned place, const char *value)
{
    size_t n;
    const char *at = gem_mold_value(&mold, place, &n);
    return n == strlen(value) && memcmp(at, value, n) == 0;
}

static void test_texts(void)
{
    learns("one");
    CHECK(matches(BEFORE "another" AFTER) && has_text("another"));
    mold.places[TEXT].changed = false;
    CHECK(matches(BEFORE "another" AFTER) && has_text("another") && !mold.places[TEXT].changed);
    CHECK(matches(BEFORE AFTER) && has_text(""));
    CHECK(matches(BEFORE "a\\\"b\\\\" AFTER) && has_text("a\"b\\"));
    CHECK(matches(BEFORE "a\\\"b\\\\" AFTER) && has_text("a\"b\\"));
    CHECK(matches(BEFORE "\\u0041\\ud83d\\ude00" AFTER) && has_text("A\xF0\x9F\x98\x80"));
    CHECK(matches(BEFORE "plain again, and longer than a word" AFTER) && has_text("plain again, and longer than a word"));
    forgets();
    learns("\\n");
    CHECK(matches(BEFORE "\\n" AFTER) && has_text("\n"));
    forgets();
}

static void test_bad_escapes(void)
{
    learns("one");
    CHECK(matches(BEFORE "two" AFTER));
    CHECK(!matches(BEFORE "a\\x" AFTER));
    CHECK(!matches(BEFORE "\\ud83d" AFTER));
    CHECK(!matches(BEFORE "\\u12" AFTER));
    CHECK(has(TEXT, "two")); /* what did not match is not remembered */
    CHECK(matches(BEFORE "two" AFTER));
    forgets();
}

static void test_values(void)
{
    learns("a");
    CHECK(matches(BEFORE "a" MIDDLE "r2" COUNTS("17", "9")) && has(ID, "r2") && mold.places[ID].changed);
    CHECK(matches(BEFORE "a" MIDDLE "r2" COUNTS("17", "9")) && has(ID, "r2") && mold.places[ID].changed);
    mold.places[ID].changed = false; /* who uses it has seen it */
    CHECK(matches(BEFORE "a" MIDDLE "r2" COUNTS("17", "9")) && has(ID, "r2") && !mold.places[ID].changed);
    CHECK(matches(BEFORE "bcd" MIDDLE "" COUNTS("1", "10")) && has(TEXT, "bcd") && has(ID, ""));
    CHECK(has(COUNT, "1") && has(ALL, "10") && mold.places[COUNT].changed && mold.places[ALL].changed);
    mold.places[ALL].changed = false;
    CHECK(matches(BEFORE "" MIDDLE "a longer one" COUNTS("12", "10")) && has(ID, "a longer one") && has(COUNT, "12"));
    CHECK(has(ALL, "10") && !mold.places[ALL].changed);
    CHECK(!matches(BEFORE "" MIDDLE "a\\n" COUNTS("12", "10")));
    CHECK(!matches(BEFORE "" MIDDLE "\\" COUNTS("12", "10")));
    forgets();
}

static void test_counts(void)
{
    learns("a");
    CHECK(matches(BEFORE "a" MIDDLE "r1" COUNTS("123456789012345", "99")) && has(COUNT, "123456789012345"));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("1234567890123456", "99")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("018", "9")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("", "9")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("-18", "9")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("1.8", "9")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("1e8", "9")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("null", "9")));
    CHECK(!matches(BEFORE "a" MIDDLE "r1" COUNTS("\"18\"", "9")));
    CHECK(matches(BEFORE "b" AFTER) && has(COUNT, "17"));
    forgets();
}

static void test_others(void)
{
    char event[512];
    learns("one");
    CHECK(!matches("{\"tex1\": \"one" AFTER));
    CHECK(!matches("{\"te"));
    CHECK(!matches(""));
    CHECK(!matches(BEFORE "one\"}],\"id\": \"r1\",\"index\": 1,\"count\": 17,\"all\": 9}")); /* no place */
    CHECK(!matches(BEFORE "one\"}],\"id\": \"r1\",\"index\": 0,\"more\": 17,\"all\": 9}"));
    CHECK(!matches(BEFORE "one" AFTER "}"));
    CHECK(!matches(BEFORE "one" AFTER " "));
    int n = snprintf(event, sizeof event, "%so%ce%s", BEFORE, 1, AFTER);
    event[strlen(BEFORE) + 1] = '\0'; /* JSON has no zero bytes */
    CHECK(!gem_mold_match(&mold, &json, event, (size_t)n));
    CHECK(matches(BEFORE "two" AFTER));
    forgets();
}

static void test_every_cut(void)
{
    char event[] = BEFORE "some text" AFTER;
    learns("one");
    for (size_t n = 0; n < sizeof event - 1; n++) {
        char cut[sizeof event];
        memcpy(cut, event, n);
        cut[n] = '\0';
        CHECK(!matches(cut));
    }
    CHECK(matches(event));
    forgets();
}

static void test_large(void)
{
    size_t n = 20000;
    char *event = malloc(n);
    learns("one");
    memset(event, 'x', n);
    memcpy(event, BEFORE, strlen(BEFORE));
    memcpy(event + n - strlen(AFTER), AFTER, strlen(AFTER));
    CHECK(!gem_mold_match(&mold, &json, event, n));
    CHECK(matches(BEFORE "one" AFTER));
    CHECK(gem_mold_match(&mold, &json, memmove(event + 5000, BEFORE, strlen(BEFORE)), n - 5000) && mold.length > 10000);
    CHECK(!gem_mold_begin(&mold, event, n));
    CHECK(!matches(BEFORE "one" AFTER));
    free(event);
    forgets();
}

static void test_too_many_places(void)
{
    learns("one");
    for (int i = ALL + 1; i < GEM_MOLD_PLACES; i++)
        CHECK(gem_mold_note(&mold, 0, 0, GEM_MOLD_COUNT));
    CHECK(!gem_mold_note(&mold, 0, 0, GEM_MOLD_COUNT));
    forgets();
}

static void test_no_memory(void)
{
    struct check_mem m;
    check_mem_init(&m);
    m.fail_at = 1;
    gem_mold_init(&mold, &m.mem);
    CHECK(!gem_mold_begin(&mold, BEFORE, strlen(BEFORE)) && !mold.ready);
    CHECK(!matches(BEFORE "one" AFTER));
    gem_mold_free(&mold);
}

/* What is kept of the events before has still to be told with the last of them. */
static void test_the_last_event_stays_where_memory_is_short(void)
{
    static const char event[] = BEFORE "one" AFTER;
    struct check_mem m;
    char large[4096];
    check_mem_init(&m);
    gem_json_init(&json, gem_mem_default(), 10, 1000);
    gem_mold_init(&mold, &m.mem);
    CHECK(gem_mold_begin(&mold, event, strlen(event)));
    CHECK(gem_mold_note(&mold, strlen(BEFORE), strlen(BEFORE) + 3, GEM_MOLD_TEXT));
    mold.ready = true;
    snprintf(large, sizeof large, "%s%03000d%s", BEFORE, 0, AFTER);
    m.fail_at = m.requests + 1;
    CHECK(!matches(large));
    CHECK(mold.last.len == strlen(event) && memcmp(gem_buf_head(&mold.last), event, strlen(event)) == 0);
    CHECK(matches(BEFORE "two" AFTER) && has_text("two"));
    m.fail_at = 0;
    CHECK(matches(large) && mold.length == 3000);
    gem_mold_free(&mold);
    gem_json_free(&json);
}

int main(void)
{
    RUN(test_texts);
    RUN(test_bad_escapes);
    RUN(test_values);
    RUN(test_counts);
    RUN(test_others);
    RUN(test_every_cut);
    RUN(test_large);
    RUN(test_too_many_places);
    RUN(test_no_memory);
    RUN(test_the_last_event_stays_where_memory_is_short);
    return check_done();
}
