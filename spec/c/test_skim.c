#include "check.h"

#include "../../src/core/skim.h"

#define BEFORE "{\"text\": \""
#define AFTER "\"}],\"index\": 0,\"count\": 17,\"all\": 9}"

static struct gem_skim skim;

static void learns(const char *text, const char *after)
{
    char event[512];
    int n = snprintf(event, sizeof event, "%s%s%s", BEFORE, text, after);
    size_t start = strlen(BEFORE);
    gem_skim_free(&skim);
    gem_skim_init(&skim, gem_mem_default());
    gem_skim_learn(&skim, event, (size_t)n, start, start + strlen(text));
    CHECK(skim.ready);
}

static bool escaped;

/* The event is given without anything readable behind it. */
static bool matches(const char *event)
{
    size_t n = strlen(event);
    char *copy = malloc(n);
    memcpy(copy, event, n);
    bool matched = gem_skim_match(&skim, copy, n, &escaped);
    if (matched)
        CHECK(skim.last.len == n && memcmp(gem_buf_head(&skim.last), copy, n) == 0);
    free(copy);
    return matched;
}

static bool has_text(const char *text)
{
    size_t n = skim.after - skim.text;
    return n == strlen(text) && memcmp(gem_buf_head(&skim.last) + skim.text, text, n) == 0;
}

static void test_texts(void)
{
    learns("one", AFTER);
    CHECK(matches(BEFORE "another" AFTER) && has_text("another") && !escaped);
    CHECK(matches(BEFORE AFTER) && has_text(""));
    CHECK(matches(BEFORE "a\\\"b\\\\" AFTER) && has_text("a\\\"b\\\\") && escaped);
    CHECK(matches(BEFORE "plain again" AFTER) && !escaped);
    gem_skim_free(&skim);
}

static void test_numbers(void)
{
    learns("a", AFTER);
    CHECK(matches(BEFORE "a\"}],\"index\": 0,\"count\": 18,\"all\": 9}"));
    CHECK(matches(BEFORE "a\"}],\"index\": 0,\"count\": 1,\"all\": 10}"));
    CHECK(matches(BEFORE "a\"}],\"index\": 0,\"count\": 123456789012345,\"all\": 99}"));
    CHECK(!matches(BEFORE "a\"}],\"index\": 0,\"count\": 1234567890123456,\"all\": 99}"));
    CHECK(!matches(BEFORE "a\"}],\"index\": 1,\"count\": 18,\"all\": 9}")); /* another candidate */
    CHECK(!matches(BEFORE "a\"}],\"index\": 0,\"count\": 018,\"all\": 9}"));
    CHECK(!matches(BEFORE "a\"}],\"index\": 0,\"count\": ,\"all\": 9}"));
    CHECK(!matches(BEFORE "a\"}],\"index\": 0,\"count\": -18,\"all\": 9}"));
    CHECK(!matches(BEFORE "a\"}],\"index\": 0,\"count\": 1.8,\"all\": 9}"));
    CHECK(!matches(BEFORE "a\"}],\"index\": 0,\"count\": 1e8,\"all\": 9}"));
    CHECK(matches(BEFORE "b" AFTER));
    gem_skim_free(&skim);
}

static void test_others(void)
{
    char event[512];
    learns("one", AFTER);
    CHECK(!matches("{\"tex1\": \"one" AFTER));
    CHECK(!matches("{\"te"));
    CHECK(!matches(""));
    CHECK(!matches(BEFORE "one"));
    CHECK(!matches(BEFORE "one\\"));
    CHECK(!matches(BEFORE "one\"}],\"index\": 0,\"count\": 17,\"all\": 9"));
    CHECK(!matches(BEFORE "one" AFTER "}"));
    CHECK(!matches(BEFORE "one\"}],\"index\": 0,\"more\": 17,\"all\": 9}"));
    int n = snprintf(event, sizeof event, "%so%ce%s", BEFORE, 1, AFTER);
    event[strlen(BEFORE) + 1] = '\0'; /* JSON has no zero bytes */
    CHECK(!gem_skim_match(&skim, event, (size_t)n, &escaped));
    CHECK(matches(BEFORE "two" AFTER)); /* what did not match is not remembered */
    gem_skim_free(&skim);
}

static void test_every_cut(void)
{
    char event[] = BEFORE "some text" AFTER;
    learns("one", AFTER);
    for (size_t n = 0; n < sizeof event - 1; n++)
        CHECK(!gem_skim_match(&skim, event, n, &escaped));
    gem_skim_free(&skim);
}

static void test_large(void)
{
    size_t n = 20000;
    char *event = malloc(n);
    learns("one", AFTER);
    memset(event, 'x', n);
    memcpy(event, BEFORE, strlen(BEFORE));
    memcpy(event + n - strlen(AFTER), AFTER, strlen(AFTER));
    CHECK(!gem_skim_match(&skim, event, n, &escaped));
    gem_skim_learn(&skim, event, n, strlen(BEFORE), n - strlen(AFTER));
    CHECK(!skim.ready);
    CHECK(!matches(BEFORE "one" AFTER));
    free(event);
    gem_skim_free(&skim);
}

static void test_nothing_learned(void)
{
    gem_skim_init(&skim, gem_mem_default());
    CHECK(!matches(BEFORE "one" AFTER));
    gem_skim_free(&skim);
}

int main(void)
{
    RUN(test_texts);
    RUN(test_numbers);
    RUN(test_others);
    RUN(test_every_cut);
    RUN(test_large);
    RUN(test_nothing_learned);
    return check_done();
}
