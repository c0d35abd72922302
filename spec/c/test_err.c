#include "check.h"

#include "../../src/core/err.h"

static void test_set_fills_everything(void)
{
    struct gem_err err;

    memset(&err, 0x55, sizeof err);
    CHECK(gem_err_set(&err, GEM_IO, 13, "%s: %d of %zu", "slide.png", -4, (size_t)9) == -1);
    CHECK(err.kind == GEM_IO);
    CHECK(err.code == 13);
    CHECK(err.offset == -1);
    CHECK(err.clock == NULL);
    CHECK_STR(err.text, "slide.png: -4 of 9");
}

static void test_memory(void)
{
    struct gem_err err;

    CHECK(gem_err_memory(&err) == -1);
    CHECK(err.kind == GEM_LIMIT && err.code == 0 && err.offset == -1 && err.clock == NULL);
    CHECK_STR(err.text, "not enough memory");
}

static void test_clear(void)
{
    struct gem_err err;

    gem_err_set(&err, GEM_TLS, 60, "no");
    err.clock = "idle";
    err.offset = 7;
    gem_err_clear(&err);
    CHECK(err.kind == GEM_OK && err.code == 0 && err.offset == -1 && err.clock == NULL);
    CHECK_STR(err.text, "");
}

static void test_null_is_tolerated(void)
{
    CHECK(gem_err_set(NULL, GEM_IO, 1, "%s", "x") == -1);
    CHECK(gem_err_memory(NULL) == -1);
    gem_err_clear(NULL);
}

static void test_arguments_may_lie_in_the_error(void)
{
    struct gem_err err;

    gem_err_set(&err, GEM_NETWORK, 7, "refused");
    gem_err_set(&err, GEM_NETWORK, err.code, "attempt %d: %s", 3, err.text);
    CHECK_STR(err.text, "attempt 3: refused");
    CHECK(err.code == 7);
}

/* Text of n bytes 'x' and then `last`, as an error holds it. */
static size_t cut(int n, const char *last, struct gem_err *err)
{
    char run[300];

    memset(run, 'x', sizeof run);
    memset(err, 0x55, sizeof *err);
    gem_err_set(err, GEM_INVALID, 0, "%.*s%s", n, run, last);
    return strlen(err->text);
}

static void test_long_text_is_cut_to_fit(void)
{
    struct gem_err err;

    CHECK(cut(254, "", &err) == 254);
    CHECK(cut(255, "", &err) == 255);
    CHECK(cut(256, "", &err) == 255);
    CHECK(cut(299, "", &err) == 255);
    CHECK(err.text[254] == 'x');
}

static void test_cuts_fall_between_characters(void)
{
    static const char *const characters[] = { "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80" };
    struct gem_err err;
    int length, before;

    for (length = 2; length <= 4; length++) {
        const char *c = characters[length - 2];
        for (before = 245; before <= 256; before++) {
            size_t wanted = (size_t)(before + length <= 255 ? before + length : before < 255 ? before : 255);
            char more[16];
            snprintf(more, sizeof more, "%s", c);
            CHECK(cut(before, more, &err) == wanted);
            snprintf(more, sizeof more, "%syyyyyyyyyy", c);  /* the same where text follows the character */
            if (before + length >= 255)
                CHECK(cut(before, more, &err) == wanted);
        }
    }
}

static void test_text_that_is_not_utf8_is_cut_all_the_same(void)
{
    struct gem_err err;
    char junk[300];

    memset(junk, 0x80, sizeof junk - 1);
    junk[sizeof junk - 1] = '\0';
    gem_err_set(&err, GEM_INVALID, 0, "%s", junk);
    CHECK(strlen(err.text) == 255);
    memset(junk, 0xFF, sizeof junk - 1);
    gem_err_set(&err, GEM_INVALID, 0, "%s", junk);
    CHECK(strlen(err.text) == 255);
    gem_err_set(&err, GEM_INVALID, 0, "%s", "\x80\x80");
    CHECK_STR(err.text, "\x80\x80");
}

static void test_every_kind_has_a_name_of_its_own(void)
{
    static const char *const names[] = { "ok", "invalid", "io", "network", "tls", "timeout", "cancelled", "closed",
                                         "protocol", "limit", "integrity", "incomplete" };
    int kind;

    for (kind = GEM_OK; kind <= GEM_INCOMPLETE; kind++)
        CHECK_STR(gem_kind_name((enum gem_kind)kind), names[kind]);
    CHECK(sizeof names / sizeof *names == GEM_INCOMPLETE + 1);
    CHECK_STR(gem_kind_name((enum gem_kind)(GEM_INCOMPLETE + 1)), "unknown");
}

int main(void)
{
    RUN(test_set_fills_everything);
    RUN(test_memory);
    RUN(test_clear);
    RUN(test_null_is_tolerated);
    RUN(test_arguments_may_lie_in_the_error);
    RUN(test_long_text_is_cut_to_fit);
    RUN(test_cuts_fall_between_characters);
    RUN(test_text_that_is_not_utf8_is_cut_all_the_same);
    RUN(test_every_kind_has_a_name_of_its_own);
    return check_done();
}
