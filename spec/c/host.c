/* A test interpreter: runs a script as lua5.4 would, with lgemini.core linked in (found by `require`), so that
 * the sanitizers see the whole module without preloading and name functions in what they report.
 *
 *   host [switches] script [args...]             (where the script returns a function, it is called too)
 *     --collect-every   a full collection at every allocation
 *     --collect-core    the same, only while a function of the core is the one running (for scripts with a
 *                       large heap, such as busted)
 *     --fail-each       see below
 *     --fail-nth N      the N-th step of --fail-each alone, to look at what it found
 *
 * --fail-each reruns a script that returns a function. In run n that function meets a refused n-th
 * allocation, Lua's or the core's; first as the only one, then with all that follow. Until n is past the last,
 * it must either succeed or raise an error that says memory is short; and each time, after lua_close, nothing
 * may be left of the core's memory and no finaliser may have raised. The core still gets no memory while the
 * state closes; Lua does, since it could not even call the finalisers without.
 *
 * `require "host"` gives fork() -> the child's number, or nil in the child, and wait(number) -> its exit status.
 *
 * A leak in the core's memory fails every kind of run. Not a model for an embedder: one state, one static. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "binding/lua_core.h"

int luaopen_lgemini_core(lua_State *L);

/* The sanitizers' interface, whose headers not every compiler's package brings. */
void __sanitizer_set_death_callback(void (*callback)(void));
int __lsan_do_recoverable_leak_check(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

enum collect { NEVER, EVERY, CORE };

enum {
    MAX_STEPS = 200000, /* a script that needs more does not end */
    DENSE_STEPS = 250,  /* behind these, --fail-each takes every seventh allocation: a whole call has thousands */
    STRIDE = 7,
    MAX_SITES = 8
};

static struct {
    size_t lua_blocks, core_blocks;
    unsigned long step;           /* allocations since fail_nth was set */
    unsigned long fail_nth;       /* 0: none */
    int fail_on;                  /* also every one after it */
    int closing;                  /* the core alone meets failures */
    int fired;                    /* one was refused */
    int collect;                  /* at every allocation */
    const void *sites[MAX_SITES]; /* where Lua makes its first attempts */
    int site_count, learning;
    int retry;  /* the last of Lua's attempts was refused: it collects and tries once more */
    int raised; /* a finaliser raised */
    char warning[500];
} heap;

static const char *state_text(void)
{
    return heap.fail_on ? "and all that follow" : "alone";
}

static void on_death(void)
{
    if (heap.fail_nth != 0)
        fprintf(stderr, "host: while allocation %lu failed, %s\n", heap.fail_nth, state_text());
}

static int refuse(void)
{
    if (heap.fail_nth == 0)
        return 0;
    heap.step++;
    if (heap.step != heap.fail_nth && !(heap.fail_on && heap.step > heap.fail_nth))
        return 0;
    heap.fired = 1;
    return 1;
}

/* Stock Lua answers a refused first attempt with a full collection and a second attempt, and nothing grows in
 * between. So refusing the first collects, and refusing the second too is a real failure. The buffers of lauxlib
 * try once and raise; who asks shows in the return address. */
static int refuse_lua(const void *site)
{
    int i, first = 0;
    for (i = 0; i < heap.site_count; i++)
        first |= heap.sites[i] == site;
    if (heap.closing)
        return 0;
    if (heap.retry) {
        heap.retry = 0;
        return heap.fail_nth != 0 && (heap.step == heap.fail_nth || (heap.fail_on && heap.fired));
    }
    if (refuse()) {
        heap.retry = first;
        return 1;
    }
    heap.retry = first && heap.collect;
    return heap.retry;
}

static void *resize(size_t *blocks, void *ptr, size_t old_size, size_t new_size)
{
    /* Under ASan the usable size is the size asked for. */
    if (ptr != NULL && malloc_usable_size(ptr) != old_size) {
        fprintf(stderr, "host: a block of %zu bytes was given back as one of %zu\n", malloc_usable_size(ptr), old_size);
        abort();
    }
    if (new_size == 0) {
        *blocks -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    *blocks += ptr == NULL;
    return realloc(ptr, new_size);
}

static void *lua_resize(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    (void)ud;
    if (ptr == NULL)
        old_size = 0; /* Lua says what kind of object it is */
    if (heap.learning && heap.site_count < MAX_SITES)
        heap.sites[heap.site_count++] = __builtin_return_address(0);
    else if (new_size > old_size && refuse_lua(__builtin_return_address(0)))
        return NULL;
    return resize(&heap.lua_blocks, ptr, old_size, new_size);
}

static void *core_resize(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    (void)ud;
    if (new_size > old_size && refuse())
        return NULL;
    return resize(&heap.core_blocks, ptr, old_size, new_size);
}

static const struct gem_mem core_mem = {core_resize, NULL};

/* The functions of the core are those C functions that are in this executable: Lua's own are in its library. */
static void on_call(lua_State *L, lua_Debug *ar)
{
    extern char __executable_start[], etext[];
    uintptr_t function = 0;
    if (ar->event != LUA_HOOKRET && lua_checkstack(L, 1)) {
        lua_getinfo(L, "f", ar);
        function = (uintptr_t)lua_tocfunction(L, -1);
        lua_pop(L, 1);
    }
    heap.collect = function >= (uintptr_t)__executable_start && function < (uintptr_t)etext;
}

/* A warning comes in pieces. Lua needs memory to call a finaliser at all, so failing for the lack of it says
 * nothing about the core. */
static void on_warning(void *ud, const char *text, int more)
{
    size_t used = strlen(heap.warning);
    (void)ud;
    if (used == 0 && !more && text[0] == '@')
        return;
    snprintf(heap.warning + used, sizeof heap.warning - used, "%s", text);
    if (more)
        return;
    if (heap.fail_nth == 0 || strstr(heap.warning, "not enough memory") == NULL) {
        heap.raised = 1;
        fprintf(stderr, "%s\n", heap.warning);
    }
    heap.warning[0] = '\0';
}

/* lua_close unmaps the libraries that scripts loaded, and the leak report could not name their functions. So
 * they stay. */
static void keep_libraries(lua_State *L)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, "_CLIBS") == LUA_TTABLE) {
        lua_pushnil(L);
        lua_setmetatable(L, -2);
    }
    lua_pop(L, 1);
}

/* lua-cjson's buffers are lost when Lua raises for lack of memory. */
const char *__lsan_default_suppressions(void)
{
    return "leak:cjson.so\n";
}

/* An object, and a table with both its parts: the ways into Lua's own allocation. */
static void learn_sites(lua_State *L)
{
    lua_gc(L, LUA_GCSTOP);
    heap.learning = 1;
    lua_newuserdatauv(L, 1, 0);
    lua_createtable(L, 4, 4);
    heap.learning = 0;
    lua_pop(L, 2);
    lua_gc(L, LUA_GCRESTART);
}

static int host_fork(lua_State *L)
{
    fflush(NULL); /* else the child says again what its parent has said */
    pid_t child = fork();
    if (child < 0)
        return luaL_error(L, "no fork");
    if (child == 0)
        return 0;
    lua_pushinteger(L, child);
    return 1;
}

static int host_wait(lua_State *L)
{
    int status;
    if (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
        return luaL_error(L, "no such child");
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 1;
}

static int open_host(lua_State *L)
{
    static const luaL_Reg functions[] = {{"fork", host_fork}, {"wait", host_wait}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

static lua_State *new_state(void)
{
    lua_State *L = lua_newstate(lua_resize, NULL);
    if (L == NULL) {
        fprintf(stderr, "host: no state\n");
        exit(1);
    }
    lua_setwarnf(L, on_warning, NULL);
    learn_sites(L);
    luaL_openlibs(L);
    keep_libraries(L);
    lgem_open_state(L, &core_mem, false);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_lgemini_core);
    lua_setfield(L, -2, "lgemini.core");
    lua_pushcfunction(L, open_host);
    lua_setfield(L, -2, "host");
    lua_pop(L, 1);
    return L;
}

static int traceback(lua_State *L)
{
    const char *text = luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, text, 1);
    return 1;
}

/* Loads argv[0] and calls it with the other arguments, `arg` as lua5.4 sets it. Status; traceback at 1 and a
 * result or, with a trace, the error on top. */
static int call_script(lua_State *L, char **argv)
{
    int i, status;
    lua_pushcfunction(L, traceback);
    status = luaL_loadfile(L, argv[0]);
    lua_newtable(L);
    for (i = 0; argv[i] != NULL; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
    if (status != LUA_OK)
        return status;
    luaL_checkstack(L, i, "too many arguments");
    for (i = 1; argv[i] != NULL; i++)
        lua_pushstring(L, argv[i]);
    return lua_pcall(L, i - 1, 1, 1);
}

/* After lua_close: what is wrong with what was left behind, else NULL. */
static const char *left_behind(void)
{
    if (heap.core_blocks != 0)
        return "the core leaked memory";
    if (heap.raised)
        return "a finaliser raised";
    return NULL;
}

/* Also reached by os.exit, which may leave the state open; then all that it holds is still there by right. */
static void at_exit(void)
{
    const char *bad = heap.lua_blocks == 0 ? left_behind() : NULL;
    if (bad != NULL) {
        fflush(stdout);
        fprintf(stderr, "host: %s (%zu blocks)\n", bad, heap.core_blocks);
        __lsan_do_recoverable_leak_check();
        _exit(1);
    }
}

static int run(char **argv, enum collect collect)
{
    lua_State *L = new_state();
    int status;
    if (collect == CORE)
        lua_sethook(L, on_call, LUA_MASKCALL | LUA_MASKRET, 0);
    heap.collect = collect == EVERY;
    status = call_script(L, argv);
    if (status == LUA_OK && lua_isfunction(L, -1))
        status = lua_pcall(L, 0, 0, 1);
    heap.collect = 0;
    if (status != LUA_OK)
        fprintf(stderr, "host: %s\n", lua_tostring(L, -1));
    lua_close(L);
    return status == LUA_OK ? 0 : 1;
}

/* The message of the error on top: a string's text, else the field of that name. */
static const char *message(lua_State *L)
{
    if (lua_type(L, -1) == LUA_TTABLE)
        lua_getfield(L, -1, "message");
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(no message)";
}

/* One run with the n-th allocation failing. 1: it was reached and met as it should be; 0: there were fewer;
 * -1: something is wrong, and was said. */
static int fail_step(char **argv, unsigned long n, int on)
{
    lua_State *L;
    const char *bad = NULL;
    char text[200] = "";
    int status;
    memset(&heap, 0, sizeof heap);
    L = new_state();
    status = call_script(L, argv);
    if (status != LUA_OK || lua_type(L, -1) != LUA_TFUNCTION) {
        fprintf(stderr, "host: %s\n", status != LUA_OK ? lua_tostring(L, -1) : "the script returned no function");
        exit(1);
    }
    heap.fail_on = on;
    heap.fail_nth = n;
    status = lua_pcall(L, 0, 0, 0);
    heap.fail_nth = 0;
    if (status != LUA_OK) {
        snprintf(text, sizeof text, "%s", message(L));
        if (!heap.fired || strstr(text, "memory") == NULL)
            bad = "the error is another one";
        lua_settop(L, 0);
    }
    heap.fail_nth = on ? n : 0;
    heap.closing = 1;
    lua_close(L);
    heap.fail_nth = 0;
    if (bad == NULL)
        bad = left_behind();
    if (bad != NULL) {
        fprintf(stderr, "host: with allocation %lu failing, %s: %s\n    %s\n", n, state_text(), bad, text);
        return -1;
    }
    return heap.fired;
}

/* nth 0: every one. */
static int fail_each(char **argv, unsigned long nth)
{
    int on, found;
    for (on = 0; on <= 1; on++) {
        unsigned long n = nth != 0 ? nth : 1;
        for (; (found = fail_step(argv, n, on)) > 0 && nth == 0 && n < MAX_STEPS; n += n < DENSE_STEPS ? 1 : STRIDE)
            ;
        if (n >= MAX_STEPS)
            fprintf(stderr, "host: %s does not come to an end\n", argv[0]);
        if (found < 0 || n >= MAX_STEPS)
            return 1;
        printf("%s: up to allocation %lu, failing %s\n", argv[0], n, state_text());
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    enum collect collect = NEVER;
    int each = 0, i = 1;
    unsigned long nth = 0;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--collect-every") == 0) {
            collect = EVERY;
        } else if (strcmp(argv[i], "--collect-core") == 0) {
            collect = CORE;
        } else if (strcmp(argv[i], "--fail-each") == 0) {
            each = 1;
        } else if (strcmp(argv[i], "--fail-nth") == 0 && i + 1 < argc) {
            each = 1;
            nth = strtoul(argv[++i], NULL, 10);
        } else {
            break;
        }
    }
    if (i >= argc || argv[i][0] == '-') {
        fprintf(stderr, "usage: host [--collect-every | --collect-core | --fail-each | --fail-nth N] script [args]\n");
        return 2;
    }
    __sanitizer_set_death_callback(on_death);
    if (each)
        return fail_each(argv + i, nth);
    atexit(at_exit);
    return run(argv + i, collect);
}
