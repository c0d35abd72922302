/* What the relay needs of the system and cqueues does not offer: a close that is a reset, a look for a peer that has
 * gone and left bytes unread, a small receive buffer, signals. A module for the Lua that runs relay.lua. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <lauxlib.h>
#include <lua.h>

static int result(lua_State *L, int failed)
{
    if (failed)
        return luaL_error(L, "%s", strerror(errno));
    return 0;
}

/* reset_on_close(fd): closing it drops what was not sent yet and tells the peer so. */
static int reset_on_close(lua_State *L)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    return result(L, setsockopt((int)luaL_checkinteger(L, 1), SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

/* receive_buffer(fd, bytes): set on a listener, it counts for what it accepts. */
static int receive_buffer(lua_State *L)
{
    int bytes = (int)luaL_checkinteger(L, 2);
    return result(L, setsockopt((int)luaL_checkinteger(L, 1), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
}

/* has_left(fd) -> boolean: the peer has closed its side, or all of it. */
static int has_left(lua_State *L)
{
    struct pollfd p = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLRDHUP};
    lua_pushboolean(L, poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
    return 1;
}

/* kill(pid, "KILL" | "INT") -> whether there was such a process */
static int send_signal(lua_State *L)
{
    static const char *const names[] = {"KILL", "INT", NULL};
    static const int numbers[] = {SIGKILL, SIGINT};
    pid_t pid = (pid_t)luaL_checkinteger(L, 1);
    int number = numbers[luaL_checkoption(L, 2, NULL, names)];
    luaL_argcheck(L, pid > 1, 1, "one process expected");
    lua_pushboolean(L, kill(pid, number) == 0);
    return 1;
}

int luaopen_chaos_wire(lua_State *L);

__attribute__((visibility("default"))) int luaopen_chaos_wire(lua_State *L)
{
    static const luaL_Reg functions[] = {{"reset_on_close", reset_on_close},
                                         {"receive_buffer", receive_buffer},
                                         {"has_left", has_left},
                                         {"kill", send_signal},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
