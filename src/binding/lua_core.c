#include "lua_core.h"

#include <math.h>
#include <string.h>

#include "../core/file.h"
#include "../net/exchange.h"
#include "../net/poller.h"

#define VERSION "0.1.0"
#define BYTES_MAX 9007199254740992.0 /* 2^53: whole in a double too */
#define WANTS_BYTES "a whole number of bytes expected"
#define WANTS_SECONDS "seconds expected: a number that is not negative"
#define WANTS_TEXT "a text without NUL bytes expected"

static const char *const names[LGEM_KINDS] = {"body", "route", "exchange", "loop", "upload",
                                                "sha256", "encoder", "decoder", "shapes", "answer"};
static const char *const types[LGEM_KINDS] = {
    "lgemini.body", "lgemini.route", "lgemini.exchange", "lgemini.loop", "lgemini.upload", "lgemini.sha256",
    "lgemini.encoder", "lgemini.decoder", "lgemini.shapes", "lgemini.answer"};

static const char state_key = 0; /* its address is the key */

struct lgem_state *lgem_state(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&state_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct lgem_state *state = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return state;
}

void lgem_open_state(lua_State *L, const struct gem_mem *mem, bool curl_ready)
{
    if (lgem_state(L) != NULL) /* loaded again: objects hold the old address */
        return;
    lua_pushlightuserdata(L, (void *)&state_key);
    struct lgem_state *state = lua_newuserdatauv(L, sizeof *state, 0);
    memset(state, 0, sizeof *state);
    state->mem = gem_mem_default();
    if (mem != NULL) {
        state->host_mem = *mem;
        state->mem = &state->host_mem;
    }
    state->curl_ready = curl_ready;
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void *lgem_new(lua_State *L, size_t size, int slots, enum lgem_kind kind)
{
    void *p = lua_newuserdatauv(L, size, slots);
    memset(p, 0, size);
    luaL_getmetatable(L, types[kind]);
    lua_setmetatable(L, -2);
    return p;
}

/* A method has its type's metatable as an upvalue: that of its own object is known by a look at it, without the name.
 * [-0,+0,-] */
static bool is_own(lua_State *L)
{
    if (!lua_getmetatable(L, 1))
        return false;
    bool own = lua_topointer(L, -1) == lua_topointer(L, lua_upvalueindex(1));
    lua_pop(L, 1);
    return own;
}

void *lgem_check(lua_State *L, int arg, enum lgem_kind kind)
{
    void *p = arg == 1 ? lua_touserdata(L, 1) : NULL;
    return p != NULL && is_own(L) ? p : luaL_checkudata(L, arg, types[kind]);
}

void *lgem_test(lua_State *L, int index, enum lgem_kind kind)
{
    return lgem_testudata(L, index, types[kind]);
}

int lgem_closed(lua_State *L, enum lgem_kind kind)
{
    return luaL_error(L, "attempt to use a closed %s", names[kind]);
}

/* Of the metatable on top, with itself as their upvalue. [-0,+0,m] */
static void set_methods(lua_State *L, const luaL_Reg *methods)
{
    for (; methods->name != NULL; methods++) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, methods->func, 1);
        lua_setfield(L, -2, methods->name);
    }
}

void lgem_type(lua_State *L, enum lgem_kind kind, const luaL_Reg *methods, lua_CFunction close)
{
    const luaL_Reg ends[] = {{"close", close}, {"__gc", close}, {"__close", close}, {NULL, NULL}};
    luaL_newmetatable(L, types[kind]);
    set_methods(L, methods);
    set_methods(L, ends);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, types[kind]);
    lua_setfield(L, -2, "__name");
    lua_pop(L, 1);
}

void lgem_pusherror(lua_State *L, const struct gem_err *err)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, gem_kind_name(err->kind));
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, err->text);
    lua_setfield(L, -2, "message");
    if (err->clock != NULL) {
        lua_pushstring(L, err->clock);
        lua_setfield(L, -2, "clock");
    }
    if (err->offset >= 0) {
        lgem_pushbytes(L, err->offset);
        lua_setfield(L, -2, "offset");
    }
}

int lgem_fail(lua_State *L, const struct gem_err *err)
{
    lua_pushnil(L);
    lgem_pusherror(L, err);
    return 2;
}

static bool is_bytes(double n)
{
    return n >= 0 && n <= BYTES_MAX && floor(n) == n; /* NaN is not */
}

int64_t lgem_checkbytes(lua_State *L, int arg)
{
    double n = luaL_checknumber(L, arg);
    luaL_argcheck(L, is_bytes(n), arg, WANTS_BYTES);
    return (int64_t)n;
}

const char *lgem_checktext(lua_State *L, int arg)
{
    size_t n;
    const char *s = luaL_checklstring(L, arg, &n);
    luaL_argcheck(L, strlen(s) == n, arg, WANTS_TEXT);
    return s;
}

double lgem_checkseconds(lua_State *L, int arg)
{
    double seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0, arg, WANTS_SECONDS); /* NaN is not */
    return seconds;
}

int lgem_fielderror(lua_State *L, int arg, const char *name, const char *why)
{
    return luaL_argerror(L, arg, lua_pushfstring(L, "%s: %s", name, why));
}

void lgem_rawfield(lua_State *L, int arg, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, arg);
}

const char *lgem_textfield(lua_State *L, int arg, const char *name)
{
    size_t n = 0;
    const char *text = NULL;
    lgem_rawfield(L, arg, name);
    if (lua_type(L, -1) == LUA_TSTRING)
        text = lua_tolstring(L, -1, &n);
    if (text == NULL ? !lua_isnil(L, -1) : strlen(text) != n)
        lgem_fielderror(L, arg, name, WANTS_TEXT);
    lua_pop(L, 1);
    return text;
}

/* NaN where it is no number. [-0,+0,-] */
static double number_at(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : NAN;
}

int64_t lgem_bytesvalue(lua_State *L, int index, int arg, const char *name, int64_t otherwise)
{
    if (lua_isnil(L, index))
        return otherwise;
    double n = number_at(L, index);
    if (!is_bytes(n))
        lgem_fielderror(L, arg, name, WANTS_BYTES);
    return (int64_t)n;
}

int64_t lgem_bytesfield(lua_State *L, int arg, const char *name, int64_t otherwise)
{
    lgem_rawfield(L, arg, name);
    int64_t n = lgem_bytesvalue(L, -1, arg, name, otherwise);
    lua_pop(L, 1);
    return n;
}

double lgem_secondsvalue(lua_State *L, int index, int arg, const char *name)
{
    if (lua_isnil(L, index))
        return 0;
    double seconds = number_at(L, index);
    if (!(seconds >= 0))
        lgem_fielderror(L, arg, name, WANTS_SECONDS);
    return seconds;
}

double lgem_secondsfield(lua_State *L, int arg, const char *name)
{
    lgem_rawfield(L, arg, name);
    double seconds = lgem_secondsvalue(L, -1, arg, name);
    lua_pop(L, 1);
    return seconds;
}

bool lgem_flagfield(lua_State *L, int arg, const char *name)
{
    lgem_rawfield(L, arg, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

void lgem_pushbytes(lua_State *L, int64_t n)
{
#if LUA_VERSION_NUM >= 503
    lua_pushinteger(L, (lua_Integer)n);
#else
    lua_pushnumber(L, (lua_Number)n);
#endif
}

int lgem_checkfile(lua_State *L, int arg)
{
    FILE **stream = luaL_checkudata(L, arg, LUA_FILEHANDLE); /* what every Lua's handle begins with */
#if LUA_VERSION_NUM >= 502
    luaL_argcheck(L, ((luaL_Stream *)stream)->closef != NULL, arg, "the file is closed");
#endif
    luaL_argcheck(L, *stream != NULL, arg, "the file is closed");
    fflush(*stream);
    return gem_file_number(*stream);
}

/* ---- what the collector is owed ---- */

/* KiB: what Lua 5.4 lets a program allocate between two steps of its collector; the most that is owed at a time */
enum { PIECE = 8, OWED_MAX = 65536 };

void lgem_owe(lua_State *L, struct lgem_state *state, size_t n)
{
    if (n >> 10 >= OWED_MAX)
        return;
    int kib = (int)(n >> 10) + 1;
    if (state->owed + kib <= OWED_MAX && lgem_collect(L, -kib))
        state->owed += kib;
}

void lgem_repay(lua_State *L, struct lgem_state *state, double end)
{
    while (state->owed > 0) {
        int kib = state->owed < PIECE ? state->owed : PIECE;
        state->owed -= kib;
        lgem_collect(L, kib);
        if (gem_now() >= end)
            return;
    }
}

/* ---- the module's own functions ---- */

static int core_now(lua_State *L)
{
    lua_pushnumber(L, gem_now());
    return 1;
}

/* yield(coroutine, value): waits in the coroutine that runs, if it is that one, and there is no C function in between where
 * this Lua can tell; else false */
static int core_yield(lua_State *L)
{
    if (lua_tothread(L, 1) != L || !lgem_isyieldable(L)) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_settop(L, 2);
    return lua_yield(L, 1);
}

static int core_alive(lua_State *L)
{
    const struct lgem_state *state = lgem_state(L);
    lua_createtable(L, 0, LGEM_KINDS);
    for (int i = 0; i < LGEM_KINDS; i++) {
        lua_pushinteger(L, state->alive[i]);
        lua_setfield(L, -2, names[i]);
    }
    return 1;
}

static int core_file_info(lua_State *L)
{
    struct gem_err err;
    struct gem_file_id id;
    if (gem_file_identify(lgem_checktext(L, 1), &id, &err) < 0)
        return lgem_fail(L, &err);
    lua_createtable(L, 0, 4);
    lgem_pushbytes(L, id.size);
    lua_setfield(L, -2, "size");
    lua_pushnumber(L, (double)id.mtime / 1e9);
    lua_setfield(L, -2, "mtime");
    lgem_pushbytes(L, (int64_t)id.inode);
    lua_setfield(L, -2, "inode");
    lgem_pushbytes(L, (int64_t)id.device);
    lua_setfield(L, -2, "device");
    return 1;
}

/* replace_file(path, bytes) -> true: in one step, for its owner alone, on disk */
static int core_replace_file(lua_State *L)
{
    struct gem_err err;
    size_t n;
    const char *path = lgem_checktext(L, 1), *bytes = luaL_checklstring(L, 2, &n);
    if (gem_file_replace(path, bytes, n, lgem_state(L)->mem, &err) < 0)
        return lgem_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* remove_old(directory, prefix, seconds) */
static int core_remove_old(lua_State *L)
{
    const char *directory = lgem_checktext(L, 1), *prefix = lgem_checktext(L, 2);
    gem_file_remove_old(directory, prefix, luaL_checknumber(L, 3));
    return 0;
}

static void push_texts(lua_State *L, const char *text, const char *end) /* each with its NUL. [-0,+1,m] */
{
    lua_newtable(L);
    for (int i = 1; text < end; i++) {
        lua_pushstring(L, text);
        lua_rawseti(L, -2, i);
        text += strlen(text) + 1;
    }
}

/* file_names(directory) -> list of what is in it, in no order */
static int core_file_names(lua_State *L)
{
    struct gem_err err;
    const char *directory = lgem_checktext(L, 1);
    size_t room, need = 0;
    char *found;
    do {
        room = need;
        lua_settop(L, 1);
        found = lua_newuserdatauv(L, room + 1, 0); /* a box: an error loses nothing */
        if (gem_file_list(directory, found, room, &need, &err) < 0)
            return lgem_fail(L, &err);
    } while (need > room); /* the first time, and where somebody added one meanwhile */
    push_texts(L, found, found + need);
    return 1;
}

/* make_directory(path) -> true, also where it is there already */
static int core_make_directory(lua_State *L)
{
    struct gem_err err;
    if (gem_file_make_directory(lgem_checktext(L, 1), &err) < 0)
        return lgem_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* Where certificates are looked up by default: ca_path, or nil and ca_file, or nothing. */
static int core_trust(lua_State *L)
{
    const char *path, *file;
    gem_exchange_trust(&path, &file);
    lua_pushstring(L, path); /* nil for NULL */
    lua_pushstring(L, file);
    return 2;
}

static const luaL_Reg functions[] = {
    {"now", core_now},
    {"yield", core_yield},
    {"alive", core_alive},
    {"file_info", core_file_info},
    {"replace_file", core_replace_file},
    {"remove_old", core_remove_old},
    {"file_names", core_file_names},
    {"make_directory", core_make_directory},
    {"trust", core_trust},
    {"sign_rs256", lgem_sign_rs256},
    {NULL, NULL},
};

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_lgemini_core(lua_State *L); /* the library's one name */

int luaopen_lgemini_core(lua_State *L)
{
    lgem_open_state(L, NULL, false);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
    lua_pushliteral(L, VERSION);
    lua_setfield(L, -2, "_VERSION");
    lgem_open_base64(L);
    lua_setfield(L, -2, "base64");
    lgem_open_body(L);
    lua_setfield(L, -2, "body");
    lgem_open_upload(L);
    lua_setfield(L, -2, "upload");
    lgem_open_sha256(L);
    lua_setfield(L, -2, "sha256");
    lgem_open_exchange(L);
    lua_setfield(L, -2, "exchange");
    lgem_open_loop(L);
    lua_setfield(L, -2, "loop");
    lgem_open_answer(L);
    lua_setfield(L, -2, "answer");
    return 1;
}
