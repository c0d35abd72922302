/* Mutations that keep JSON JSON: values and names change places, or give way to others. Without them nearly all that
 * libFuzzer makes of an answer is refused by the JSON reader. What is no JSON in the input is left as it is. */
#ifndef GEM_SPEC_FUZZ_JSON_H
#define GEM_SPEC_FUZZ_JSON_H

#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { FUZZ_SPANS = 400, FUZZ_DEPTH = 200 };

struct fuzz_span {
    size_t start, end;
};

/* Where the values and the names of members are. */
struct fuzz_json {
    struct fuzz_span values[FUZZ_SPANS], names[FUZZ_SPANS];
    size_t value_count, name_count;
};

static inline void fuzz_add_span(struct fuzz_span *spans, size_t *count, size_t start, size_t end)
{
    if (*count < FUZZ_SPANS)
        spans[(*count)++] = (struct fuzz_span){start, end};
}

static inline size_t fuzz_string_end(const uint8_t *text, size_t n, size_t at)
{
    for (at++; at < n && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < n ? at + 1 : n;
}

static inline int fuzz_is_word(uint8_t c)
{
    return c != 0 && strchr("abcdefghijklmnopqrstuvwxyzEN0123456789+-.", c) != NULL;
}

static inline size_t fuzz_word_end(const uint8_t *text, size_t n, size_t at)
{
    while (at < n && fuzz_is_word(text[at]))
        at++;
    return at;
}

static inline void fuzz_find_spans(const uint8_t *text, size_t n, struct fuzz_json *json)
{
    size_t open[FUZZ_DEPTH], depth = 0, start, at = 0;
    json->value_count = json->name_count = 0;
    while (at < n) {
        start = at;
        if (text[at] == '"') {
            at = fuzz_string_end(text, n, at);
            if (at < n && text[at] == ':')
                fuzz_add_span(json->names, &json->name_count, start, at);
            else
                fuzz_add_span(json->values, &json->value_count, start, at);
        } else if (fuzz_is_word(text[at])) {
            at = fuzz_word_end(text, n, at);
            fuzz_add_span(json->values, &json->value_count, start, at);
        } else {
            at++;
            if ((text[start] == '{' || text[start] == '[') && depth < FUZZ_DEPTH)
                open[depth++] = start;
            else if ((text[start] == '}' || text[start] == ']') && depth > 0)
                fuzz_add_span(json->values, &json->value_count, open[--depth], at);
        }
    }
}

/* The text with n bytes in place of a span, where it has room for them. */
static inline size_t fuzz_replace(uint8_t *text, size_t size, size_t max, struct fuzz_span old, const char *bytes,
                                  size_t n)
{
    size_t rest = size - old.end;
    if (old.start + n + rest > max)
        return size;
    memmove(text + old.start + n, text + old.end, rest);
    memcpy(text + old.start, bytes, n);
    return old.start + n + rest;
}

/* With a span of the same text in its place. */
static inline size_t fuzz_replace_span(uint8_t *text, size_t size, size_t max, struct fuzz_span old,
                                       struct fuzz_span by)
{
    char *copy = check_exact(text + by.start, by.end - by.start);
    size = fuzz_replace(text, size, max, old, copy, by.end - by.start);
    free(copy);
    return size;
}

static inline struct fuzz_span fuzz_pick(const struct fuzz_span *spans, size_t count, uint32_t *seed)
{
    return spans[check_random(seed) % count];
}

/* Values that answers hold, and some that they should not. */
static const char *const fuzz_values[] = {
    "null", "true", "false", "0", "1", "-1", "2", "1.5", "-0", "1e300", "1e999", "9007199254740993",
    "[]", "{}", "[null]", "[[]]", "[{}]", "{\"a\":null}", "[1,\"a\",null]",
    "\"\"", "\"text\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\xff\"", "\"{\\\"a\\\":1}\"",
    "\"99999999999999999999\"", "\"7\"", "\"-3\"", "\"1.5\"", "\"NaN\"", "\"Infinity\"",
    "\"AAECAw==\"", "\"AAECAw\"", "\"AB==\"", "\"-_-_\"", "\"*\"",
    "\"STOP\"", "\"MAX_TOKENS\"", "\"SAFETY\"", "\"HIGH\""};

/* A member or an item in front of the others of an object or a list; in place of any other value. */
static inline size_t fuzz_add_member(uint8_t *text, size_t size, size_t max, struct fuzz_span value, const char *name,
                                     const char *other)
{
    struct fuzz_span inside = {value.start + 1, value.start + 1};
    char member[300];
    if (text[value.start] == '[')
        snprintf(member, sizeof member, "%s%s", other, text[value.start + 1] == ']' ? "" : ",");
    else if (text[value.start] == '{')
        snprintf(member, sizeof member, "%s:%s%s", name, other, text[value.start + 1] == '}' ? "" : ",");
    else
        return fuzz_replace(text, size, max, value, other, strlen(other));
    return fuzz_replace(text, size, max, inside, member, strlen(member));
}

/* In a list of its own. */
static inline size_t fuzz_enclose(uint8_t *text, size_t size, size_t max, struct fuzz_span value)
{
    size = fuzz_replace(text, size, max, (struct fuzz_span){value.end, value.end}, "]", 1);
    return fuzz_replace(text, size, max, (struct fuzz_span){value.start, value.start}, "[", 1);
}

/* One change; names is a list of `count` texts in quotes. */
static inline size_t fuzz_mutate_json(uint8_t *text, size_t size, size_t max, uint32_t seed, const char *const *names,
                                      size_t count)
{
    static struct fuzz_json json;
    const char *other = fuzz_values[check_random(&seed) % (sizeof fuzz_values / sizeof *fuzz_values)];
    const char *name = names[check_random(&seed) % count];
    unsigned how = check_random(&seed) % 8;
    fuzz_find_spans(text, size, &json);
    if (json.value_count == 0 || json.name_count == 0)
        return LLVMFuzzerMutate(text, size, max);
    struct fuzz_span value = fuzz_pick(json.values, json.value_count, &seed);
    struct fuzz_span old_name = fuzz_pick(json.names, json.name_count, &seed);
    switch (how) {
    case 0: /* perhaps into itself */
        return fuzz_replace_span(text, size, max, value, fuzz_pick(json.values, json.value_count, &seed));
    case 1:
        return fuzz_replace(text, size, max, value, other, strlen(other));
    case 2:
        return fuzz_replace(text, size, max, old_name, name, strlen(name));
    case 3: /* perhaps one name twice in an object */
        return fuzz_replace_span(text, size, max, old_name, fuzz_pick(json.names, json.name_count, &seed));
    case 4:
        return fuzz_enclose(text, size, max, value);
    default:
        return fuzz_add_member(text, size, max, value, name, other);
    }
}

#endif
