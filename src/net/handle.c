#include "handle.h"

/* ---- header lines ---- */

/* Which several handles may have in common. */
struct gem_lines {
    const struct gem_mem *mem;
    struct curl_slist *first;
    int users;
};

static int add_line(struct gem_lines *lines, const char *line)
{
    struct curl_slist *more = curl_slist_append(lines->first, line);
    if (more == NULL)
        return -1;
    lines->first = more;
    return 0;
}

static void drop_lines(struct gem_lines *lines)
{
    if (lines == NULL || --lines->users > 0)
        return;
    curl_slist_free_all(lines->first);
    gem_mem_free(lines->mem, lines, sizeof *lines);
}

/* The request's header lines, which all of its route have in common. */
static int set_lines(struct gem_handle *handle, struct gem_spare *spare, const struct gem_request *r)
{
    struct gem_lines *lines = spare != NULL ? spare->lines : NULL;
    bool known = lines != NULL;
    if (!known && (lines = gem_mem_alloc(handle->mem, sizeof *lines)) != NULL)
        *lines = (struct gem_lines){.mem = handle->mem};
    if (lines == NULL)
        return -1;
    handle->lines = lines;
    lines->users++;
    for (size_t i = 0; i < r->header_count && !known; i++)
        if (add_line(lines, r->headers[i]) < 0)
            return -1;
    /* An empty one: never wait for 100-continue. */
    if (!known && !gem_request_is_small(r) && add_line(lines, "Expect:") < 0)
        return -1;
    if (!known && spare != NULL && !spare->closed) {
        spare->lines = lines;
        lines->users++;
    }
    return 0;
}

/* ---- setting up ---- */

/* A hashed directory alone loads the one root it needs; a bundle alone is parsed once for each multi handle. libcurl
 * with both parses the bundle for every connection. */
static CURLcode set_trust(CURL *e, const struct gem_request *r)
{
    CURLcode bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (r->ca_file == NULL && r->ca_path == NULL)
        return bad;
    bad |= curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_file);
    bad |= curl_easy_setopt(e, CURLOPT_CAPATH, r->ca_path);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, r->ca_file);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, r->ca_path);
    return bad;
}

/* Ours, for a server that asks who we are; proxies do not get it. */
static CURLcode set_certificate(CURL *e, const struct gem_request *r)
{
    CURLcode bad = 0;
    if (r->cert_file == NULL)
        return bad;
    bad |= curl_easy_setopt(e, CURLOPT_SSLCERT, r->cert_file);
    bad |= curl_easy_setopt(e, CURLOPT_SSLKEY, r->key_file != NULL ? r->key_file : r->cert_file);
    return bad;
}

static CURLcode set_transport(struct gem_handle *handle, const struct gem_request *r)
{
    CURL *e = handle->easy;
    CURLcode bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_URL, r->url);
    bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, handle->lines->first);
    bad |= curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* a proxy sees none of them */
    bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* a stalled name lookup must not stall cancel */
    bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, 0x7fffffffL); /* the clocks are ours */
    bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                            r->http1 ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    /* Waits for a connection that may be shared. Over plain HTTP none is: libcurl would wait for the first answer. */
    bad |= curl_easy_setopt(e, CURLOPT_PIPEWAIT, gem_request_shares(r) ? 1L : 0L);
    if (r->proxy != NULL) { /* the environment's exceptions are for the environment's proxies */
        bad |= curl_easy_setopt(e, CURLOPT_PROXY, r->proxy);
        bad |= curl_easy_setopt(e, CURLOPT_NOPROXY, "");
    }
    return bad;
}

static int set_up(struct gem_handle *handle, struct gem_spare *spare, const struct gem_request *r)
{
    if (handle->easy == NULL || set_lines(handle, spare, r) < 0)
        return -1;
    CURLcode bad = curl_easy_setopt(handle->easy, CURLOPT_PRIVATE, handle);
    bad |= curl_easy_setopt(handle->easy, CURLOPT_ERRORBUFFER, handle->message);
    bad |= set_transport(handle, r);
    bad |= set_trust(handle->easy, r);
    bad |= set_certificate(handle->easy, r);
    /* For HTTP/2, where libcurl takes a buffer even for what it has, and keeps it to the end. */
    if (gem_request_is_small(r))
        bad |= curl_easy_setopt(handle->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)GEM_WHOLE);
    return bad == CURLE_OK ? 0 : -1;
}

struct gem_handle *gem_handle_open(const struct gem_mem *mem, struct gem_spare *spare, const struct gem_request *r)
{
    struct gem_handle *handle = gem_mem_alloc(mem, sizeof *handle);
    if (handle == NULL)
        return NULL;
    *handle = (struct gem_handle){.easy = curl_easy_init(), .mem = mem};
    if (set_up(handle, spare, r) == 0)
        return handle;
    gem_handle_close(handle);
    return NULL;
}

void gem_handle_close(struct gem_handle *handle)
{
    if (handle == NULL)
        return;
    curl_easy_cleanup(handle->easy);
    drop_lines(handle->lines);
    curl_url_cleanup(handle->url);
    gem_mem_free(handle->mem, handle, sizeof *handle);
}

struct gem_exchange *gem_handle_owner(CURL *easy)
{
    struct gem_handle *handle = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&handle);
    return handle != NULL ? handle->owner : NULL;
}

/* ---- what a route keeps ---- */

/* libcurl takes a URL apart for each request, which is a fifth of all that it does: one that has served before is given
 * to it in parts. */
static void keep_url(struct gem_handle *handle, const char *url)
{
    if (handle->url != NULL)
        return;
    handle->url = curl_url();
    if (handle->url != NULL && curl_url_set(handle->url, CURLUPART_URL, url, 0) == CURLUE_OK)
        curl_easy_setopt(handle->easy, CURLOPT_CURLU, handle->url); /* where it fails, there is the text still */
}

struct gem_handle *gem_spare_take(struct gem_spare *spare, const char *url)
{
    if (spare == NULL || spare->handle == NULL)
        return NULL;
    struct gem_handle *handle = spare->handle;
    spare->handle = NULL;
    keep_url(handle, url);
    return handle;
}

bool gem_spare_leave(struct gem_spare *spare, struct gem_handle *handle)
{
    if (spare == NULL || spare->handle != NULL || spare->closed)
        return false;
    curl_easy_setopt(handle->easy, CURLOPT_COPYPOSTFIELDS, NULL);
    handle->owner = NULL;
    spare->handle = handle;
    return true;
}

void gem_spare_close(struct gem_spare *spare)
{
    gem_handle_close(spare->handle);
    drop_lines(spare->lines);
    spare->handle = NULL;
    spare->lines = NULL;
    spare->closed = true;
}
