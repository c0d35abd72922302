/* The head of an answer: see head.lua. libcurl reads it from a socket whose other end is here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#endif
#include "fuzz_lua.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "../../src/binding/lua_exchange.h"

static struct {
    char name[64]; /* of a socket in Linux's own name space: no file, no port */
    int listener, end;
} far = {.listener = -1, .end = -1};

static void listen_once(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (far.listener >= 0)
        return;
    snprintf(far.name, sizeof far.name, "gem_fuzz_%ld", (long)getpid());
    memcpy(address.sun_path + 1, far.name, strlen(far.name));
    far.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    MUST(far.listener >= 0 &&
         bind(far.listener, (struct sockaddr *)&address,
              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(far.name))) == 0 &&
         listen(far.listener, 8) == 0);
}

static int attach(lua_State *L)
{
    CURL *easy = lgem_checkexchange(L, 1)->ex.handle->easy;
    listen_once();
    curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, far.name);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    return 0;
}

/* Whether libcurl has come. */
static int accept_one(lua_State *L)
{
    if (far.end >= 0)
        close(far.end);
    far.end = accept(far.listener, NULL, NULL);
    lua_pushboolean(L, far.end >= 0);
    return 1;
}

/* What libcurl does not want any more is lost. */
static int send_bytes(lua_State *L)
{
    size_t n;
    const char *bytes = luaL_checklstring(L, 1, &n);
    (void)!send(far.end, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return 0;
}

/* Nothing more comes; closing with the request unread would be a reset. */
static int finish(lua_State *L)
{
    (void)L;
    shutdown(far.end, SHUT_WR);
    return 0;
}

/* The lines that are kept, and the bytes of all that came. */
static int head(lua_State *L)
{
    const struct gem_exchange *ex = &lgem_checkexchange(L, 1)->ex;
    lua_pushlstring(L, ex->head.len > 0 ? gem_buf_head(&ex->head) : "", ex->head.len);
    lua_pushinteger(L, (lua_Integer)ex->head_bytes);
    return 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const luaL_Reg functions[] = {
        {"attach", attach}, {"accept", accept_one}, {"send", send_bytes},
        {"finish", finish}, {"head", head},         {NULL, NULL}};
    static struct fuzz_lua fuzz;
    fuzz_open(&fuzz, "spec/fuzz/head.lua", functions);
    fuzz_check(&fuzz, data, size);
    return 0;
}
