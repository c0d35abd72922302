#include "request.h"

#include "../core/body.h"

bool gem_request_is_small(const struct gem_request *r)
{
    if (r->text != NULL || r->length > GEM_WHOLE || r->hash != NULL)
        return r->text != NULL;
    for (size_t i = 0; r->body != NULL && i < r->body->count; i++)
        if (r->body->segments[i].source != GEM_SOURCE_BYTES)
            return false;
    return true;
}

static bool is_https(const char *url)
{
    static const char scheme[] = "https:";
    size_t i = 0;
    while (scheme[i] != '\0' && (url[i] | 0x20) == scheme[i])
        i++;
    return scheme[i] == '\0';
}

bool gem_request_shares(const struct gem_request *r)
{
    return !r->http1 && is_https(r->url);
}

/* FNV-1a of what is in front of the path, in lower case. */
uint64_t gem_request_origin(const struct gem_request *r)
{
    uint64_t hash = 14695981039346656037u;
    int slashes = 0;
    for (const char *p = r->url; *p != '\0' && *p != '?' && *p != '#' && (slashes += *p == '/') < 3; p++)
        hash = (hash ^ (unsigned char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p)) * 1099511628211u;
    return hash;
}
