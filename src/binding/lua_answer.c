/* answer: what a service sends, decoded as it comes: a stream's events, or a body. The bytes are an exchange's, taken from
 * its inbox without a copy, or fed by Lua. */
#include <string.h>

#include "../core/skim.h"
#include "../core/sse.h"
#include "lua_build.h"
#include "lua_exchange.h"

enum { SLOT_SHAPES = 1, SLOT_STACK, SLOT_SOURCE, SLOT_SINK, SLOTS = SLOT_SINK };

enum {
    HEAD_MAX = 512,    /* of an event: what messages say of it */
    KEEP_CAP = 4096    /* a larger block is given back when it is empty */
};

struct lgem_answer {
    struct lgem_state *state; /* NULL: closed */
    struct lgem_builder builder;
    struct gem_sse sse;
    struct gem_skim skim;
    struct gem_buf bytes;     /* taken from the exchange */
    struct lgem_exchange *exchange; /* or NULL; the slot of the source keeps it */
    const char *at;           /* what is to be read: of bytes, or of the text in the slot of the source */
    size_t left;
    uint64_t most, taken;     /* of a body */
    bool events;
    bool has_sink;
    bool busy;                /* in the middle of a call: left so by an error that Lua raised */
    bool closing;
    bool began, failed;       /* the event at hand: some of it was handed out in pieces; it is broken */
    struct gem_err err;       /* why */
    char head[HEAD_MAX];
    size_t head_length;
    bool skimmed;             /* since an event was learned */
};

static struct lgem_answer *check_answer(lua_State *L)
{
    struct lgem_answer *a = lgem_check(L, 1, LGEM_ANSWER);
    if (a->state == NULL || a->closing)
        lgem_closed(L, LGEM_ANSWER);
    return a;
}

/* new(shapes, type or nil, limits, events): limits.max_text, max_depth; events false: one body */
static int answer_new(lua_State *L)
{
    struct lgem_shapes *shapes = lgem_checkshapes(L, 1);
    const char *type = lua_isnil(L, 2) ? NULL : lgem_checktext(L, 2);
    int64_t max_text = lgem_checkbytes(L, 3), max_depth = lgem_checkbytes(L, 4);
    size_t most = (uint64_t)max_text > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)max_text;
    lua_settop(L, 5);
    lgem_pushpool(L, 1);
    struct lgem_shape *top = type != NULL ? lgem_findshape(L, shapes, 6, type) : NULL;
    struct lgem_answer *a = lgem_new(L, sizeof *a, SLOTS, LGEM_ANSWER);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, SLOT_SHAPES);
    a->state = lgem_state(L);
    a->state->alive[LGEM_ANSWER]++;
    const struct gem_mem *mem = a->state->mem;
    lgem_initbuilder(&a->builder, mem, most, max_depth > GEM_JSON_DEPTH_MAX ? GEM_JSON_DEPTH_MAX : (unsigned)max_depth);
    a->builder.shapes = shapes;
    a->builder.top = top;
    a->events = lua_toboolean(L, 5);
    a->most = most;
    gem_sse_init(&a->sse, mem, most);
    a->sse.pieces = true;
    gem_skim_init(&a->skim, mem);
    gem_buf_init(&a->bytes, mem, SIZE_MAX / 2);
    return 1;
}

static void free_answer(struct lgem_answer *a)
{
    lgem_freebuilder(&a->builder);
    gem_sse_free(&a->sse);
    gem_skim_free(&a->skim);
    gem_buf_free(&a->bytes);
    a->state->alive[LGEM_ANSWER]--;
    a->state = NULL;
}

/* A finaliser may close it while it is at work: then that ends first. */
static int answer_close(lua_State *L)
{
    struct lgem_answer *a = lgem_check(L, 1, LGEM_ANSWER);
    a->closing = true;
    if (a->state != NULL && !a->busy)
        free_answer(a);
    return 0;
}

static int answer_gc(lua_State *L)
{
    struct lgem_answer *a = lgem_check(L, 1, LGEM_ANSWER);
    if (a->state != NULL)
        free_answer(a);
    return 0;
}

/* ---- bytes ---- */

/* attach(exchange): its answer is read from now on. */
static int answer_attach(lua_State *L)
{
    struct lgem_answer *a = check_answer(L);
    struct lgem_exchange *x = lgem_checkexchange(L, 2);
    luaL_argcheck(L, a->left == 0, 2, "there are bytes to be read");
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, SLOT_SOURCE);
    a->exchange = x;
    return 0;
}

/* feed(bytes): after the last of them, next says that there are no more. */
static int answer_feed(lua_State *L)
{
    struct lgem_answer *a = check_answer(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    luaL_argcheck(L, a->left == 0, 2, "there are bytes to be read");
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, SLOT_SOURCE);
    a->exchange = NULL;
    a->at = lua_tolstring(L, 2, &a->left);
    return 0;
}

/* sink(function): takes the bytes of media from now on; see core.meta.lua. */
static int answer_sink(lua_State *L)
{
    struct lgem_answer *a = check_answer(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_setiuservalue(L, 1, SLOT_SINK);
    a->has_sink = true;
    return 0;
}

/* Whether there are bytes to be read. */
static bool has_bytes(struct lgem_answer *a)
{
    struct lgem_exchange *x = a->exchange;
    if (x == NULL || x->state == NULL) /* nothing more of an exchange that was closed, whatever had come */
        return x == NULL && a->left > 0;
    if (a->left > 0)
        return true;
    if (a->bytes.cap > KEEP_CAP)
        gem_buf_free(&a->bytes);
    gem_buf_clear(&a->bytes);
    if (x->ex.inbox.len == 0)
        return false;
    gem_exchange_take(&x->ex, &a->bytes);
    a->at = gem_buf_head(&a->bytes);
    a->left = a->bytes.len;
    return true;
}

static void advance(struct lgem_answer *a, size_t n)
{
    a->at += n;
    a->left -= n;
}

/* ---- events and bodies ---- */

static void note_head(struct lgem_answer *a, const char *bytes, size_t n)
{
    size_t room = HEAD_MAX - a->head_length;
    n = n < room ? n : room;
    if (n > 0)
        memcpy(a->head + a->head_length, bytes, n);
    a->head_length += n;
}

/* The error, with how the text began. */
static int fail(lua_State *L, struct lgem_answer *a, const struct gem_err *err)
{
    int pushed = lgem_fail(L, err);
    lua_pushlstring(L, a->head, a->head_length);
    lua_setfield(L, -2, "head");
    return pushed;
}

static void start_afresh(struct lgem_answer *a)
{
    lgem_resetbuilder(&a->builder);
    a->began = a->failed = false;
    a->head_length = 0;
}

/* Some of an event's data, or of the body. What is wrong with it is said at its end. */
static void take(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, const char *bytes, size_t n)
{
    if (!a->began)
        start_afresh(a);
    a->began = true;
    note_head(a, bytes, n);
    if (a->failed)
        return;
    lgem_resume(L, &a->builder, at);
    a->failed = lgem_build(L, &a->builder, at, bytes, n, &a->err) == LGEM_BUILD_BROKEN;
    if (a->failed)
        lua_settop(L, at->base);
    else
        lgem_suspend(L, &a->builder, at);
}

static void push_signature(lua_State *L, const struct lgem_answer *a)
{
    int64_t signature = lgem_signature(&a->builder);
    if (signature < 0)
        lua_pushnil(L);
    else
        lgem_pushbytes(L, signature);
}

/* The rest of a text, which may be all of it. Pushes what next returns; 0 where the text says nothing. */
static int take_last(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, const char *bytes, size_t n)
{
    if (!a->failed && (n > 0 || a->began)) {
        lgem_resume(L, &a->builder, at);
        a->failed = lgem_build(L, &a->builder, at, bytes, n, &a->err) == LGEM_BUILD_BROKEN ||
                    lgem_buildend(L, &a->builder, at, &a->err) == LGEM_BUILD_BROKEN;
        if (!a->failed) {
            push_signature(L, a);
            return 2;
        }
    }
    lua_settop(L, at->base);
    note_head(a, bytes, n);
    if (a->events && (a->head_length == 0 || (a->head_length == 6 && memcmp(a->head, "[DONE]", 6) == 0)))
        return 0;
    if (!a->failed)
        gem_err_set(&a->err, GEM_INCOMPLETE, 0, "it is empty");
    return fail(L, a, &a->err);
}

/* ---- the same, but for the text alone ---- */

/* An event that says nothing new but a text: pushes it. */
static int skim_event(lua_State *L, struct lgem_answer *a, const char *event, size_t n)
{
    bool escaped;
    struct gem_json *json = &a->builder.json;
    if (a->began || !gem_skim_match(&a->skim, event, n, &escaped))
        return 0;
    const char *text = event + a->skim.text;
    size_t length = a->skim.after - a->skim.text;
    if (escaped) {
        gem_json_reset(json);
        gem_json_feed(json, text - 1, length + 2);
        if (gem_json_next(json, NULL) != GEM_JSON_STRING) {
            a->skim.ready = false;
            return 0;
        }
        text = json->text;
        length = json->len;
    }
    a->skimmed = true;
    lua_pushlstring(L, text, length);
    return 1;
}

/* The whole event was understood: the next one may be like it. But the last one that gave its text alone is kept until
 * the caller has seen this one. */
static void learn(struct lgem_answer *a, const char *event, size_t n)
{
    const char *quote;
    if (lgem_signature(&a->builder) < 0 || a->builder.after == 0)
        return;
    a->skim.ready = !a->skimmed;
    a->skimmed = false;
    if (!a->skim.ready)
        return;
    quote = memchr(event + a->builder.text, '"', n - a->builder.text);
    gem_skim_learn(&a->skim, event, n, (size_t)(quote - event) + 1, a->builder.after - 1);
}

/* ---- calls ---- */

/* [-0,+n,e] The event that the parser has found. */
static int take_event(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, bool texts)
{
    const char *event = a->sse.event;
    size_t n = a->sse.event_len;
    bool is_whole = !a->began;
    int pushed = texts && is_whole ? skim_event(L, a, event, n) : 0;
    if (pushed > 0)
        return pushed;
    if (is_whole)
        start_afresh(a);
    pushed = take_last(L, a, at, event, n);
    a->began = false;
    if (texts && is_whole && pushed > 0 && !a->failed)
        learn(a, event, n);
    return pushed;
}

static int next_event(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, bool texts)
{
    struct gem_err err;
    while (has_bytes(a)) {
        size_t used;
        enum gem_sse_result result = gem_sse_feed(&a->sse, a->at, a->left, &used, &err);
        int pushed = 0;
        if (result == GEM_SSE_BROKEN) {
            a->head_length = 0;
            return fail(L, a, &err);
        }
        if (result == GEM_SSE_PIECE) {
            take(L, a, at, a->sse.event, a->sse.event_len);
        } else if (result == GEM_SSE_EVENT) {
            pushed = take_event(L, a, at, texts);
        }
        advance(a, used);
        if (pushed > 0)
            return pushed;
    }
    return 0;
}

static int next_of_body(lua_State *L, struct lgem_answer *a, const struct lgem_site *at)
{
    while (has_bytes(a)) {
        a->taken += a->left;
        if (a->taken > a->most) {
            gem_err_set(&a->err, GEM_LIMIT, 0, "the answer has more than %llu bytes (max_answer)",
                        (unsigned long long)a->most);
            return fail(L, a, &a->err);
        }
        take(L, a, at, a->at, a->left);
        advance(a, a->left);
    }
    return 0;
}

static struct lgem_answer *enter(lua_State *L, struct lgem_site *at)
{
    struct lgem_answer *a = check_answer(L);
    lua_settop(L, 2);
    if (a->busy)
        luaL_error(L, "the answer is being decoded already, or could not be");
    lua_getiuservalue(L, 1, SLOT_SHAPES);
    lgem_pushpool(L, 3);
    at->owner = 1;
    at->pool = 4;
    at->base = 4;
    at->slot = SLOT_STACK;
    at->sink = a->has_sink ? SLOT_SINK : 0;
    a->busy = true;
    return a;
}

static int leave(struct lgem_answer *a, int pushed)
{
    a->busy = false;
    if (a->closing)
        free_answer(a);
    return pushed;
}

/* next(texts) -> value, signature; text; nil where more bytes are needed; nil, err */
static int answer_next(lua_State *L)
{
    struct lgem_site at;
    struct lgem_answer *a = enter(L, &at);
    bool texts = lua_toboolean(L, 2);
    return leave(a, a->events ? next_event(L, a, &at, texts) : next_of_body(L, a, &at));
}

/* After the last byte: finish() -> value, signature, "event" (one that no blank line closed), "tail" (bare text) or "body";
 * nil where nothing is left; nil, err, the same */
static int answer_finish(lua_State *L)
{
    static const char *const names[] = {"event", "tail", "body"};
    struct lgem_site at;
    struct gem_err err;
    struct lgem_answer *a = enter(L, &at);
    int what = 2, pushed;
    if (a->events) {
        enum gem_sse_result result = gem_sse_finish(&a->sse, &err);
        if (result == GEM_SSE_END)
            return leave(a, 0);
        if (result == GEM_SSE_BROKEN)
            return leave(a, fail(L, a, &err));
        what = result == GEM_SSE_TAIL;
        pushed = take_event(L, a, &at, false);
    } else {
        pushed = take_last(L, a, &at, "", 0);
    }
    if (pushed == 0)
        return leave(a, 0);
    lua_pushstring(L, names[what]);
    return leave(a, pushed + 1);
}

/* skimmed() -> the last event whose text alone was given; nil where there was none */
static int answer_skimmed(lua_State *L)
{
    struct lgem_answer *a = check_answer(L);
    if (a->skim.last.len == 0)
        return 0;
    lua_pushlstring(L, gem_buf_head(&a->skim.last), a->skim.last.len);
    return 1;
}

void lgem_open_answer(lua_State *L)
{
    static const luaL_Reg methods[] = {{"attach", answer_attach}, {"feed", answer_feed}, {"sink", answer_sink}, {"next", answer_next},
                                       {"finish", answer_finish}, {"skimmed", answer_skimmed}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"shapes", lgem_newshapes}, {"new", answer_new}, {NULL, NULL}};
    lgem_open_shapes(L);
    lgem_type(L, LGEM_ANSWER, methods, answer_close);
    luaL_getmetatable(L, "lgemini.answer");
    lua_pushcfunction(L, answer_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_newtable(L);
    lgem_setfuncs(L, functions);
}
