#include "check.h"

#include "../../src/core/pack.h"

/* Packs and unpacks, in blocks of exactly the size. Gives in how many bytes. */
static size_t there_and_back(const char *text, size_t n)
{
    char *exact = check_exact(text, n), *room = check_exact(text, n);
    size_t size = gem_pack(room, exact, n);
    CHECK(size < n || size == 0);
    if (size > 0) {
        char *packed = check_exact(room, size), *back = malloc(n);
        gem_unpack(back, n, packed, size);
        CHECK(memcmp(back, text, n) == 0);
        free(packed);
        free(back);
    }
    free(exact);
    free(room);
    return size;
}

static const char PROSE[] = "The slide promises a price that the caller does not know, and that nobody confirms.\n"
                            "- **Price**: \"from 12 EUR\", as of 2026\n- *Source*: none; see `slide.png`, page 3\n";

static void test_prose_takes_two_thirds(void)
{
    size_t n = sizeof PROSE - 1, size = there_and_back(PROSE, n);
    CHECK(size > 0 && size * 3 < n * 2 + n / 10);
}

static void test_texts_of_every_length(void)
{
    for (size_t n = 0; n < sizeof PROSE; n++) {
        size_t size = there_and_back(PROSE, n);
        CHECK(n < 16 || size > 0);
    }
}

static void test_every_byte_comes_back(void)
{
    char text[64];
    for (int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < sizeof text; at += 7) {
            memset(text, 'e', sizeof text);
            text[at] = text[sizeof text - 1 - at] = (char)byte;
            CHECK(there_and_back(text, sizeof text) > 0);
        }
}

static void test_what_has_no_gain_is_not_packed(void)
{
    char bytes[512];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)((x = x * 1664525u + 1013904223u) >> 24);
    for (size_t n = 0; n <= sizeof bytes; n++)
        CHECK(there_and_back(bytes, n) == 0 || n < 8);
}

int main(void)
{
    RUN(test_prose_takes_two_thirds);
    RUN(test_texts_of_every_length);
    RUN(test_every_byte_comes_back);
    RUN(test_what_has_no_gain_is_not_packed);
    return check_done();
}
