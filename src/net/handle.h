/* A libcurl easy handle, set up with what the requests of one route have in common; and what a route keeps for its
 * next request: a handle, and the header lines. It knows nothing of bodies, answers or loops: an exchange adds these to
 * a handle that it has got.
 *
 * Who owns what: whoever opened a handle, or took it out of a spare, closes it or leaves it there. A handle owns its
 * libcurl handle and its URL in parts, and shares its header lines with others and with the spare: the last one frees
 * them. Texts of the request are copied. `owner` is set by the exchange that has it, for callbacks, which get the
 * handle. */
#ifndef GEM_NET_HANDLE_H
#define GEM_NET_HANDLE_H

#include <curl/curl.h>
#include <stdbool.h>

#include "../core/mem.h"
#include "request.h"

struct gem_exchange;
struct gem_lines;

/* libcurl points into it, so that it stays in one place while exchanges take it over from each other. */
struct gem_handle {
    CURL *easy;
    struct gem_lines *lines;
    CURLU *url;                 /* in parts, or NULL */
    struct gem_exchange *owner; /* or NULL */
    const struct gem_mem *mem;
    char message[CURL_ERROR_SIZE];
};

/* What requests of one route, which differ in their bodies and deadlines only, leave for the next. Zeroed at first; it
 * outlives the exchanges that know it, be it closed. */
struct gem_spare {
    struct gem_handle *handle; /* or NULL */
    struct gem_lines *lines;   /* or NULL */
    bool closed;
};

/* A new one, for requests like this one; NULL where memory is short, or libcurl lacks what is needed. spare: for the
 * header lines, or NULL. */
struct gem_handle *gem_handle_open(const struct gem_mem *mem, struct gem_spare *spare, const struct gem_request *r);

/* NULL is fine. No multi handle holds it. */
void gem_handle_close(struct gem_handle *handle);

/* The exchange that this libcurl handle serves, or NULL. */
struct gem_exchange *gem_handle_owner(CURL *easy);

/* The handle that is there, for a request to the same URL, or NULL; spare may be NULL. */
struct gem_handle *gem_spare_take(struct gem_spare *spare, const char *url);

/* Of an exchange that ended well: its handle stays for the next, since setting one up costs more than the request, with
 * nothing in it of what it was told to say. false: it is still the caller's, as there is no spare, or it has one or is
 * closed. */
bool gem_spare_leave(struct gem_spare *spare, struct gem_handle *handle);

/* Frees what is there, and takes nothing more. */
void gem_spare_close(struct gem_spare *spare);

#endif
