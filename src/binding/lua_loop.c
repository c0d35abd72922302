/* loop: drives exchanges. It holds them weakly, so that a forgotten one is cancelled by its finaliser. */
#include <limits.h>
#include <math.h>

#include "../net/loop.h"
#include "lua_exchange.h"

enum { SLOT_EXCHANGES = 1, SLOTS = 1 }; /* address of the struct -> its userdata, values weak */

#define SHARE "lgemini.core.share" /* its type; it owns nothing */

struct lgem_loop {
    struct lgem_state *state; /* NULL: closed */
    struct gem_loop loop;
};

static struct lgem_loop *check_open(lua_State *L)
{
    struct lgem_loop *l = lgem_check(L, 1, LGEM_LOOP);
    if (l->state == NULL)
        lgem_closed(L, LGEM_LOOP);
    return l;
}

/* nil, err in the child of a fork: the loop is its parent's. [-0,+2,m] */
static int refuse(lua_State *L)
{
    struct gem_err err;
    gem_err_set(&err, GEM_CLOSED, 0, "this client is of the process that made it: after a fork, make another one");
    return lgem_fail(L, &err);
}

static void push_weak_table(lua_State *L) /* [-0,+1,m] */
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
}

static int loop_new(lua_State *L)
{
    struct gem_err err;
    struct lgem_loop *l = lgem_new(L, sizeof *l, SLOTS, LGEM_LOOP);
    push_weak_table(L);
    lua_setiuservalue(L, -2, SLOT_EXCHANGES);
    struct lgem_state *state = lgem_state(L);
    if (!state->curl_ready && gem_exchange_prepare(&err) < 0)
        return lgem_fail(L, &err);
    state->curl_ready = true;
    if (gem_loop_open(&l->loop, state->mem, &err) < 0)
        return lgem_fail(L, &err);
    l->state = state;
    l->state->alive[LGEM_LOOP]++;
    return 1;
}

static int loop_close(lua_State *L)
{
    struct lgem_loop *l = lgem_check(L, 1, LGEM_LOOP);
    if (l->state == NULL)
        return 0;
    gem_loop_close(&l->loop);
    l->state->alive[LGEM_LOOP]--;
    l->state = NULL;
    return 0;
}

/* share(max): what exchanges take a place of, so that at most max of them are with libcurl at a time */
static int loop_share(lua_State *L)
{
    int64_t max = lgem_checkbytes(L, 1);
    luaL_argcheck(L, max > 0, 1, "at least 1 expected");
    struct gem_share *share = lua_newuserdatauv(L, sizeof *share, 0);
    share->active = 0;
    share->max = max < INT_MAX ? (int)max : INT_MAX;
    luaL_newmetatable(L, SHARE);
    lua_setmetatable(L, -2);
    return 1;
}

/* add(exchange, "calls" or "bulk", share or nil) -> true, or nil, err in another process */
static int loop_add(lua_State *L)
{
    static const char *const lanes[] = {"calls", "bulk", NULL};
    struct lgem_loop *l = check_open(L);
    struct lgem_exchange *x = lgem_checkexchange(L, 2);
    int lane = luaL_checkoption(L, 3, NULL, lanes);
    luaL_argcheck(L, x->ex.loop == NULL && x->ex.phase == GEM_PHASE_QUEUED, 2, "the exchange was added before");
    struct gem_share *share = lua_isnoneornil(L, 4) ? NULL : luaL_checkudata(L, 4, SHARE);
    if (!gem_loop_is_ours(&l->loop))
        return refuse(L);
    lua_settop(L, 4);
    lua_setiuservalue(L, 2, LGEM_SLOT_SHARE);
    lua_getiuservalue(L, 1, SLOT_EXCHANGES);
    lua_pushlightuserdata(L, &x->ex);
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    gem_loop_add(&l->loop, &x->ex, (enum gem_lane_name)lane, share);
    lua_pushboolean(L, 1);
    return 1;
}

/* sharing(share) -> a list of the exchanges that were added with it. Nothing collects while it is filled: a finaliser may
 * close one. */
static int loop_sharing(lua_State *L)
{
    struct lgem_loop *l = check_open(L);
    const struct gem_share *share = luaL_checkudata(L, 2, SHARE);
    int n = 0, i = 0;
    for (const struct gem_exchange *ex = l->loop.first; ex != NULL; ex = ex->next)
        n += ex->share == share;
    lua_createtable(L, n, 0);
    lua_getiuservalue(L, 1, SLOT_EXCHANGES);
    for (struct gem_exchange *ex = l->loop.first; ex != NULL && i < n; ex = ex->next) {
        if (ex->share != share)
            continue;
        lua_pushlightuserdata(L, ex);
        lua_rawget(L, -2);
        if (lua_isnil(L, -1)) /* garbage that is not finalised yet */
            lua_pop(L, 1);
        else
            lua_rawseti(L, -3, ++i);
    }
    lua_pop(L, 1);
    return 1;
}

/* step(budget, max_wait, early, alone) in seconds -> how much was done, and whether an exchange wants to be looked at; or
 * nil, err when the system's poller failed, and in another process */
static int loop_step(lua_State *L)
{
    struct gem_err err;
    struct lgem_loop *l = check_open(L);
    double budget = lua_isnoneornil(L, 2) ? HUGE_VAL : lgem_checkseconds(L, 2);
    double max_wait = lua_isnoneornil(L, 3) ? 0 : lgem_checkseconds(L, 3);
    double early = lua_isnoneornil(L, 4) ? HUGE_VAL : lgem_checkseconds(L, 4);
    if (!gem_loop_is_ours(&l->loop))
        return refuse(L);
    l->loop.early = early;
    l->loop.alone = budget < HUGE_VAL && lua_toboolean(L, 5);
    int done = gem_loop_step(&l->loop, budget, max_wait, &err);
    if (done < 0)
        return lgem_fail(L, &err);
    lua_pushinteger(L, done);
    lua_pushboolean(L, l->loop.ready.first != NULL);
    return 2;
}

/* collect(seconds or nil) -> whether the collector is owed more: it works off a piece at least, and more for that long */
static int loop_collect(lua_State *L)
{
    struct lgem_state *state = check_open(L)->state;
    double seconds = lua_isnoneornil(L, 2) ? HUGE_VAL : lgem_checkseconds(L, 2);
    lgem_repay(L, state, gem_now() + seconds);
    lua_pushboolean(L, state->owed > 0);
    return 1;
}

/* The next exchange that wants to be looked at, or nil. */
static int loop_next(lua_State *L)
{
    struct lgem_loop *l = check_open(L);
    struct gem_exchange *ex;
    lua_getiuservalue(L, 1, SLOT_EXCHANGES);
    while ((ex = gem_loop_next(&l->loop)) != NULL) {
        lua_pushlightuserdata(L, ex);
        lua_rawget(L, -2);
        if (!lua_isnil(L, -1))
            return 1;
        lua_pop(L, 1); /* garbage that is not finalised yet */
    }
    return 0;
}

static int loop_timeout(lua_State *L)
{
    double seconds = gem_loop_timeout(&check_open(L)->loop);
    if (seconds == HUGE_VAL)
        return 0;
    lua_pushnumber(L, seconds);
    return 1;
}

/* Whether this is the process that made it. */
static int loop_is_ours(lua_State *L)
{
    lua_pushboolean(L, gem_loop_is_ours(&check_open(L)->loop));
    return 1;
}

/* The descriptor to wait on in a foreign loop, or nil. */
static int loop_fd(lua_State *L)
{
    int fd = gem_loop_fd(&check_open(L)->loop);
    if (fd < 0)
        return 0;
    lua_pushinteger(L, fd);
    return 1;
}

/* alarm(seconds or nil): the descriptor is readable then, for a foreign loop; nil takes it back. true, or nil, err */
static int loop_alarm(lua_State *L)
{
    struct gem_err err;
    struct lgem_loop *l = check_open(L);
    double seconds = lua_isnoneornil(L, 2) ? HUGE_VAL : lgem_checkseconds(L, 2);
    if (gem_poller_alarm(&l->loop.poller, seconds, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

void lgem_open_loop(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"add", loop_add},         {"step", loop_step}, {"next", loop_next},
        {"timeout", loop_timeout}, {"fd", loop_fd},     {"alarm", loop_alarm},
        {"collect", loop_collect}, {"is_ours", loop_is_ours}, {"sharing", loop_sharing}, {NULL, NULL},
    };
    static const luaL_Reg functions[] = {{"new", loop_new}, {"share", loop_share}, {NULL, NULL}};
    lgem_type(L, LGEM_LOOP, methods, loop_close);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
