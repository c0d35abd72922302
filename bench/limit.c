/* limit start|warm|stream|inline|encode|upload|streams|frames ... : see bench/README.md and `usage` below.
 *
 * What is measured begins after the set-up: the CPU that a program needs to load libcurl counts for `start` alone, which
 * is measured from outside. */
#define _POSIX_C_SOURCE 200809L

#include "limit.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/core/body.h"
#include "../src/core/mem.h"

static const char question[] = "{\"contents\":[{\"parts\":[{\"text\":\"What does this slide promise?\"}]}]}";

static size_t drop(char *bytes, size_t one, size_t n, void *ud)
{
    (void)bytes, (void)ud;
    return one * n;
}

CURL *limit_request(const char *url, const char *ca_path, const char *body)
{
    CURL *e = curl_easy_init();
    if (e == NULL)
        bench_die("libcurl gives no handle");
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (body != NULL) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    }
    if (ca_path != NULL) {
        curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(e, CURLOPT_CAPATH, ca_path);
    }
    return e;
}

static struct curl_slist *headers(void)
{
    static const char *const lines[] = {
        "Content-Type: application/json", "Expect:", "User-Agent: limit/1", "x-goog-api-client: limit/1",
        "x-goog-api-key: bench-bench-bench-bench",
    };
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        list = curl_slist_append(list, lines[i]);
    return list;
}

static void perform(CURL *e)
{
    long code = 0;
    CURLcode result = curl_easy_perform(e);
    curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &code);
    if (result != CURLE_OK || code != 200)
        bench_die("%s, HTTP status %ld", curl_easy_strerror(result), code);
}

static void report(double begin, int64_t times)
{
    bench_print("cpu", (bench_cpu() - begin) / (double)times);
    bench_print("peak", (double)bench_peak());
}

/* ---- small requests ---- */

/* The first call of a process: its cost is that of the whole process. */
static void start(const char *url, const char *ca_path)
{
    CURL *e = limit_request(url, ca_path, question);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers());
    perform(e);
}

/* One call is made before, which opens the connection. */
static void warm(const char *url, int64_t times)
{
    CURL *e = limit_request(url, NULL, question);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers());
    perform(e);
    double begin = bench_cpu();
    for (int64_t i = 0; i < times; i++)
        perform(e);
    report(begin, times);
}

/* ---- large bodies in JSON ---- */

static const char before[] = "{\"contents\":[{\"parts\":[{\"text\":\"Describe it.\"},{\"inlineData\":{\"data\":\"";
static const char after[] = "\",\"mimeType\":\"image/png\"}}],\"role\":\"user\"}]}";

/* The body is there, encoded, before anything is measured. */
static void inline_ready(const char *url, const char *path, int64_t times)
{
    size_t n;
    unsigned char *bytes = bench_read_file(path, &n);
    size_t length = (size_t)gem_base64_encoded_len(n);
    char *body = bench_alloc(sizeof before + length + sizeof after);
    strcpy(body, before);
    gem_base64_encode(gem_base64_best(), body + sizeof before - 1, bytes, n, 1);
    strcpy(body + sizeof before - 1 + length, after);
    CURL *e = limit_request(url, NULL, body);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers());
    perform(e);
    double begin = bench_cpu();
    for (int64_t i = 0; i < times; i++)
        perform(e);
    report(begin, times);
}

/* A body of the library's, which reads the file and encodes it while it is sent. */
struct encoded {
    struct gem_body body;
    struct gem_body_cursor cursor;
    int64_t at;
};

static size_t read_encoded(char *dst, size_t one, size_t n, void *ud)
{
    struct encoded *b = ud;
    struct gem_err err;
    size_t got;
    if (gem_body_read_at(&b->body, &b->cursor, b->at, dst, one * n, &got, &err) != GEM_BODY_OK)
        return CURL_READFUNC_ABORT;
    b->at += (int64_t)got;
    return got;
}

static void inline_encode(const char *url, const char *path, int64_t times)
{
    struct encoded b;
    struct gem_err err;
    gem_body_init(&b.body, gem_mem_default());
    if (gem_body_add_bytes(&b.body, before, sizeof before - 1, false, &err) < 0 ||
        gem_body_add_file(&b.body, path, true, &err) < 0 ||
        gem_body_add_bytes(&b.body, after, sizeof after - 1, false, &err) < 0)
        bench_die("cannot read %s", path);
    gem_body_cursor_init(&b.cursor);
    CURL *e = limit_request(url, NULL, NULL);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers());
    curl_easy_setopt(e, CURLOPT_READFUNCTION, read_encoded);
    curl_easy_setopt(e, CURLOPT_READDATA, &b);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)b.body.length);
    double begin = 0;
    for (int64_t i = -1; i < times; i++) {
        begin = i < 0 ? begin : i == 0 ? bench_cpu() : begin;
        b.at = 0;
        perform(e);
    }
    report(begin, times);
}

/* ---- uploads ---- */

struct file {
    int fd;
    off_t at;
    EVP_MD_CTX *hash; /* or NULL */
};

static size_t read_file(char *dst, size_t one, size_t n, void *ud)
{
    struct file *f = ud;
    ssize_t got = pread(f->fd, dst, one * n, f->at);
    if (got < 0)
        return CURL_READFUNC_ABORT;
    f->at += got;
    if (f->hash != NULL)
        EVP_DigestUpdate(f->hash, dst, (size_t)got);
    return (size_t)got;
}

/* One request with all of the file, through libcurl's largest useful buffer for it. */
static void upload(const char *url, const char *path, const char *ca_path, int hashes)
{
    struct file f = {.fd = open(path, O_RDONLY), .hash = hashes ? EVP_MD_CTX_new() : NULL};
    off_t size = lseek(f.fd, 0, SEEK_END);
    if (f.fd < 0 || size < 0)
        bench_die("cannot read %s", path);
    if (f.hash != NULL)
        EVP_DigestInit_ex(f.hash, EVP_sha256(), NULL);
    CURL *e = limit_request(url, ca_path, NULL);
    struct curl_slist *list = curl_slist_append(headers(), "X-Goog-Upload-Command: upload, finalize");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, curl_slist_append(list, "X-Goog-Upload-Offset: 0"));
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, read_file);
    curl_easy_setopt(e, CURLOPT_READDATA, &f);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    double begin = bench_cpu();
    perform(e);
    if (f.hash != NULL) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        EVP_DigestFinal_ex(f.hash, digest, NULL);
    }
    report(begin, 1);
}

/* ---- the command line ---- */

static _Noreturn void usage(void)
{
    bench_die("usage: limit start URL [CA_PATH] | warm URL TIMES | stream URL TIMES | inline URL FILE TIMES |\n"
              "  encode URL FILE TIMES | upload URL FILE plain|sha256 [CA_PATH] | streams URL N [CA_PATH] |\n"
              "  frames URL FILE MICROSECONDS");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        usage();
    const char *what = argv[1], *url = argv[2];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (strcmp(what, "start") == 0)
        start(url, argv[3]);
    else if (argc < 4)
        usage();
    else if (strcmp(what, "warm") == 0 || strcmp(what, "stream") == 0)
        warm(url, bench_number(argv[3]));
    else if (strcmp(what, "streams") == 0)
        limit_streams(url, (long)bench_number(argv[3]), argv[4]);
    else if (argc < 5)
        usage();
    else if (strcmp(what, "frames") == 0)
        limit_frames(url, argv[3], (double)bench_number(argv[4]) / 1e6);
    else if (strcmp(what, "inline") == 0)
        inline_ready(url, argv[3], bench_number(argv[4]));
    else if (strcmp(what, "encode") == 0)
        inline_encode(url, argv[3], bench_number(argv[4]));
    else if (strcmp(what, "upload") == 0)
        upload(url, argv[3], argv[5], strcmp(argv[4], "sha256") == 0);
    else
        usage();
    return 0;
}
