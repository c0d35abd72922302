/* A host as a game may be: two worlds in two threads, each with a Lua state of its own and frames to keep. It counts the
 * memory of each, Lua's and the core's, and shows that all of it comes back. The script of a world is talk.lua.
 *
 *     embed [script.lua]        (GEMINI_API_KEY in the environment; lua-cjson installed for this Lua) */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <lgemini.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <lauxlib.h>
#include <lualib.h>
#ifdef __cplusplus
}
#endif

enum { WORLDS = 2, FRAMES_A_SECOND = 60 };

struct counter {
    size_t blocks, bytes, peak;
};

struct world {
    const char *name, *script;
    struct counter lua, core;
    int frames;
    double worst; /* seconds that a frame spent in its script */
    int failed;
};

/* Serves Lua and the core: both say the size of what they give back. A world has one thread, so nothing is locked. */
static void *count(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    struct counter *c = (struct counter *)ud;
    void *block = NULL;
    if (ptr == NULL)
        old_size = 0; /* Lua says here what it is for */
    if (new_size == 0) {
        c->blocks -= ptr != NULL;
        free(ptr);
    } else {
        block = realloc(ptr, new_size);
        if (block == NULL)
            return NULL;
        c->blocks += ptr == NULL;
    }
    c->bytes += new_size - old_size;
    c->peak = c->bytes > c->peak ? c->bytes : c->peak;
    return block;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_until(double instant)
{
    double left = instant - now();
    struct timespec t;
    if (left <= 0)
        return;
    t.tv_sec = (time_t)left;
    t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

/* Loads the script, which returns the function of a frame: it is on the stack then. */
static int load(lua_State *L, struct world *w)
{
    lgemini_host host = {count, &w->core, 0, NULL};
    luaL_openlibs(L);
    if (lgemini_open(L, &host) != 0 || luaL_loadfile(L, w->script) != 0)
        return -1;
    lua_pushstring(L, w->name);
    return lua_pcall(L, 1, 1, 0) == 0 ? 0 : -1;
}

/* A frame of the game: the world's script gets its share of it, and says whether there is more to come. */
static int frame(lua_State *L, struct world *w)
{
    double began = now(), spent;
    int more;
    lua_pushvalue(L, -1);
    if (lua_pcall(L, 0, 1, 0) != 0)
        return -1;
    more = lua_toboolean(L, -1);
    lua_pop(L, 1);
    spent = now() - began;
    w->worst = spent > w->worst ? spent : w->worst;
    w->frames++;
    pause_until(began + 1.0 / FRAMES_A_SECOND);
    return more;
}

static void *run(void *ud)
{
    struct world *w = (struct world *)ud;
    lua_State *L = lua_newstate(count, &w->lua);
    int more = L != NULL && load(L, w) == 0 ? 1 : -1;
    while (more > 0)
        more = frame(L, w);
    if (more < 0) {
        w->failed = 1;
        fprintf(stderr, "%s: %s\n", w->name, L == NULL ? "no state" : lua_tostring(L, -1));
    }
    if (L != NULL)
        lua_close(L);
    return NULL;
}

static void report(const struct world *w)
{
    printf("%s: %d frames, %.1f ms in the longest\n", w->name, w->frames, w->worst * 1e3);
    printf("%s: Lua had %zu KB, left are %zu bytes in %zu blocks\n", w->name, w->lua.peak / 1024, w->lua.bytes,
           w->lua.blocks);
    printf("%s: the core had %zu KB, left are %zu bytes in %zu blocks\n", w->name, w->core.peak / 1024, w->core.bytes,
           w->core.blocks);
}

int main(int argc, char **argv)
{
    static const char *const names[WORLDS] = {"harbour", "tower"};
    struct world worlds[WORLDS];
    pthread_t threads[WORLDS];
    int i, bad = 0;
    for (i = 0; i < WORLDS; i++) {
        struct world fresh = {names[i], argc > 1 ? argv[1] : "examples/embed/talk.lua", {0, 0, 0}, {0, 0, 0}, 0, 0, 0};
        worlds[i] = fresh;
        if (pthread_create(&threads[i], NULL, run, &worlds[i]) != 0)
            abort();
    }
    for (i = 0; i < WORLDS; i++) {
        pthread_join(threads[i], NULL);
        report(&worlds[i]);
        bad |= worlds[i].failed || worlds[i].lua.blocks != 0 || worlds[i].core.blocks != 0;
    }
    return bad;
}
