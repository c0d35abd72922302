#include "check.h"

#include <curl/curl.h>
#include <lauxlib.h>
#include <lualib.h>

#include "../../src/lgemini.h"

/* The linker puts this one in the place of libcurl's, for our objects. */
static int set_ups;

CURLcode __real_curl_global_init(long flags);
CURLcode __wrap_curl_global_init(long flags);
CURLcode __wrap_curl_global_init(long flags)
{
    set_ups++;
    return __real_curl_global_init(flags);
}

static lua_State *new_state(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    return L;
}

/* Runs Lua that is to end well; what it returns stays on the stack. */
static void run(lua_State *L, const char *text)
{
    if (!CHECK(luaL_dostring(L, text) == 0))
        printf("# %s\n", lua_tostring(L, -1));
}

static const char client[] = "local client = require('lgemini').Client { api_key = 'k' }\n"
                             "client:spawn(function() client:sleep(0) end) client:run()\n"
                             "require('lgemini.core').body.new():add('bytes')";

static void test_no_host_is_all_defaults(void)
{
    lua_State *L = new_state();
    run(L, "package.path, package.cpath = '', package.cpath:gsub('[^;]*lgemini[^;]*', '')");
    CHECK(lgemini_open(L, NULL) == 0);
    CHECK(lua_gettop(L) == 0);
    run(L, "assert(not package.loaded.lgemini)");
    run(L, client);
    run(L, "package.preload['lgemini.cqueues'], package.preload['lgemini.luv'] = nil"); /* they need more than is here */
    run(L, "for name in pairs(package.preload) do assert(require(name), name) end");
    run(L, "return debug.getinfo(require('lgemini').Client, 'S').short_src");
    CHECK_STR(lua_tostring(L, -1), "lgemini/init.lua");
    lua_close(L);
}

static void test_misuse_blames_the_caller(void)
{
    lua_State *L = new_state();
    CHECK(lgemini_open(L, NULL) == 0);
    CHECK(luaL_loadbuffer(L, "require('lgemini').Client { no_such = 1 }", 41, "=game.lua") == 0);
    CHECK(lua_pcall(L, 0, 0, 0) != 0);
    CHECK(strncmp(lua_tostring(L, -1), "game.lua:1: ", 12) == 0);
    lua_close(L);
}

static void test_the_core_takes_its_memory_from_the_host(void)
{
    lua_State *L = new_state();
    struct check_mem m;
    lgemini_host host = {check_mem_realloc, &m, 0, NULL};
    check_mem_init(&m);
    CHECK(lgemini_open(L, &host) == 0);
    memset(&host, 0xff, sizeof host); /* it was copied */
    run(L, client);
    CHECK(m.requests > 0);
    lua_close(L);
    CHECK(m.blocks == 0);
}

static void test_libcurl_is_set_up_once_for_a_state_or_by_the_host(void)
{
    lgemini_host host = {NULL, NULL, 0, NULL};
    for (host.curl_ready = 0; host.curl_ready <= 1; host.curl_ready++) {
        lua_State *L = new_state();
        set_ups = 0;
        CHECK(lgemini_open(L, &host) == 0);
        CHECK(set_ups == 0);
        run(L, client);
        run(L, "local core = require 'lgemini.core' core.loop.new():close() core.loop.new():close()");
        CHECK(set_ups == !host.curl_ready);
        lua_close(L);
    }
}

static int open_cjson(lua_State *L)
{
    lua_pushliteral(L, "the host's own");
    return 1;
}

static void test_a_linked_cjson_is_found(void)
{
    lua_State *L = new_state();
    lgemini_host host = {NULL, NULL, 0, open_cjson};
    CHECK(lgemini_open(L, &host) == 0);
    run(L, "return (require 'cjson')");
    CHECK_STR(lua_tostring(L, -1), "the host's own");
    lua_close(L);
}

static void check_refused(lua_State *L, const lgemini_host *host, const char *why)
{
    int top = lua_gettop(L);
    CHECK(lgemini_open(L, host) == LUA_ERRRUN);
    CHECK(lua_gettop(L) == top + 1);
    CHECK(strstr(lua_tostring(L, -1), why) != NULL);
    lua_settop(L, top);
}

static void test_what_is_refused(void)
{
    struct check_mem m;
    lgemini_host host = {check_mem_realloc, &m, 0, NULL};
    lua_State *L = luaL_newstate();
    check_refused(L, NULL, "open Lua's package library first");
    luaL_openlibs(L);
    CHECK(lgemini_open(L, NULL) == 0);
    check_refused(L, &host, "is open in this state already");
    lua_close(L);

    L = new_state(); /* the core was there without a host: its objects know no other allocator */
    run(L, "package.preload['lgemini.core'] = nil");
    lua_pushcfunction(L, luaopen_lgemini_core);
    lua_call(L, 0, 0);
    check_refused(L, &host, "is open in this state already");
    lua_close(L);
}

static void test_memory_that_is_short_is_an_error_and_it_can_be_tried_again(void)
{
    size_t n;
    int status = LUA_ERRMEM;
    for (n = 1; status != 0 && n < 1000; n++) {
        struct check_mem m;
        check_mem_init(&m);
        lua_State *L = lua_newstate(check_mem_realloc, &m);
        luaL_openlibs(L);
        m.fail_at = m.requests + n;
        status = lgemini_open(L, NULL);
        m.fail_at = 0;
        if (status != 0) {
            CHECK(status == LUA_ERRMEM);
            CHECK_STR(lua_tostring(L, -1), "not enough memory");
            CHECK(lgemini_open(L, NULL) == 0);
        }
        run(L, "assert(require('lgemini')._VERSION == require('lgemini.core')._VERSION)");
        lua_close(L);
        CHECK(m.blocks == 0);
    }
    CHECK(n > 50 && status == 0);
}

int main(void)
{
    RUN(test_no_host_is_all_defaults);
    RUN(test_misuse_blames_the_caller);
    RUN(test_the_core_takes_its_memory_from_the_host);
    RUN(test_libcurl_is_set_up_once_for_a_state_or_by_the_host);
    RUN(test_a_linked_cjson_is_found);
    RUN(test_what_is_refused);
    RUN(test_memory_that_is_short_is_an_error_and_it_can_be_tried_again);
    return check_done();
}
