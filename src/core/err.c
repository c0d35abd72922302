#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The longest n' <= n that cuts text between two characters. A character has at most three bytes after its
 * first, so text that is no UTF-8 loses no more than that. */
static size_t utf8_floor(const char *text, size_t n)
{
    size_t cut = n;
    while (cut > 0 && n - cut < 4 && ((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    return n - cut < 4 ? cut : n;
}

int gem_err_set(struct gem_err *err, enum gem_kind kind, int code, const char *fmt, ...)
{
    char text[sizeof err->text + 1];  /* one more: the byte after the cut tells whether the cut is clean */
    va_list args;
    int written;
    size_t n;

    if (err == NULL)
        return -1;
    va_start(args, fmt);
    written = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    n = written < 0 ? 0 : (size_t)written;
    if (n >= sizeof err->text)
        n = utf8_floor(text, sizeof err->text - 1);
    err->kind = kind;
    err->code = code;
    err->offset = -1;
    err->clock = NULL;
    memcpy(err->text, text, n);
    err->text[n] = '\0';
    return -1;
}

int gem_err_memory(struct gem_err *err)
{
    return gem_err_set(err, GEM_LIMIT, 0, "not enough memory");
}

void gem_err_clear(struct gem_err *err)
{
    if (err == NULL)
        return;
    err->kind = GEM_OK;
    err->code = 0;
    err->offset = -1;
    err->clock = NULL;
    err->text[0] = '\0';
}

const char *gem_kind_name(enum gem_kind kind)
{
    switch (kind) {
    case GEM_OK: return "ok";
    case GEM_INVALID: return "invalid";
    case GEM_IO: return "io";
    case GEM_NETWORK: return "network";
    case GEM_TLS: return "tls";
    case GEM_TIMEOUT: return "timeout";
    case GEM_CANCELLED: return "cancelled";
    case GEM_CLOSED: return "closed";
    case GEM_PROTOCOL: return "protocol";
    case GEM_LIMIT: return "limit";
    case GEM_INTEGRITY: return "integrity";
    case GEM_INCOMPLETE: return "incomplete";
    }
    return "unknown";
}
