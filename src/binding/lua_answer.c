/* answer: what a service sends, decoded as it comes: a stream's events, or a body. The bytes are an exchange's, taken from
 * its inbox without a copy, or fed by Lua. */
#include <string.h>

#include "../core/sse.h"
#include "lua_alike.h"
#include "lua_build.h"
#include "lua_exchange.h"

enum { SLOT_SHAPES = 1, SLOT_STACK, SLOT_SOURCE, SLOT_SINK, SLOT_VALUES, SLOT_READER, SLOTS = SLOT_READER };

enum {
    AT_POOL = 4,       /* on the stack of a call, behind the answer, an argument and the shapes */
    HEAD_MAX = 512,    /* of an event: what messages say of it */
    PIECES = 4096      /* an event is decoded as it comes from this size on: of a smaller one it is worth more to see it whole */
};

struct lgem_answer {
    struct lgem_state *state; /* NULL: closed */
    struct lgem_builder builder;
    struct gem_sse sse;
    struct lgem_alike alike;
    struct gem_buf bytes;     /* taken from the exchange */
    struct lgem_exchange *exchange; /* or NULL; the slot of the source keeps it */
    const char *at;           /* what is to be read: of bytes, or of the text in the slot of the source */
    size_t left;
    uint64_t most, taken;     /* of a body */
    bool events;
    bool has_sink, has_reader;
    bool busy;                /* in the middle of a call: left so by an error that Lua raised */
    bool telling;             /* in the middle of said() */
    bool closing;
    bool retired;             /* nothing more is read; what said() gives is there still */
    bool began, failed;       /* the event at hand: some of it was handed out in pieces; it is broken */
    enum gem_sse_result found; /* what the parser found last, and in how many bytes */
    size_t used;
    bool peeked;              /* that was not looked at yet */
    struct gem_err *why;      /* the last one was; NULL where there was no memory for it */
    struct gem_buf head;      /* how an event began that came in pieces, or cannot be read */
};

/* One that may be retired. */
static struct lgem_answer *check_kept(lua_State *L)
{
    struct lgem_answer *a = lgem_check(L, 1, LGEM_ANSWER);
    if (a->state == NULL || a->closing)
        lgem_closed(L, LGEM_ANSWER);
    return a;
}

static struct lgem_answer *check_answer(lua_State *L)
{
    struct lgem_answer *a = check_kept(L);
    if (a->retired)
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
    a->sse.pieces = PIECES;
    lgem_initalike(&a->alike, mem, most, a->events && top != NULL && top->role == LGEM_RESPONSE);
    gem_buf_init(&a->bytes, mem, SIZE_MAX / 2);
    gem_buf_init(&a->head, mem, HEAD_MAX);
    return 1;
}

/* What is needed as long as something may come. */
static void free_work(struct lgem_answer *a)
{
    lgem_freebuilder(&a->builder);
    gem_sse_free(&a->sse);
    gem_buf_free(&a->bytes);
    gem_buf_free(&a->head);
    gem_mem_free(a->state->mem, a->why, sizeof *a->why);
    a->why = NULL;
}

static void free_answer(struct lgem_answer *a)
{
    free_work(a);
    lgem_freealike(&a->alike);
    if (!a->retired)
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

/* retire() -> whether said() gives something, which stays: nothing more is read. Else it is closed. */
static int answer_retire(lua_State *L)
{
    struct lgem_answer *a = check_kept(L);
    if (!lgem_hassaid(&a->alike))
        return answer_close(L);
    if (!a->retired)
        a->state->alive[LGEM_ANSWER]--;
    a->retired = true;
    for (int slot = 1; slot <= SLOTS && !a->busy; slot++) {
        lua_pushnil(L);
        lua_setiuservalue(L, 1, slot);
    }
    if (!a->busy)
        free_work(a);
    lua_pushboolean(L, 1);
    return 1;
}

static int answer_gc(lua_State *L)
{
    struct lgem_answer *a = lgem_check(L, 1, LGEM_ANSWER);
    if (a->state != NULL)
        free_answer(a);
    return 0;
}

/* ---- bytes ---- */

/* attach(exchange): its answer is read from now on. Of a table that stands for one, what its read() gives. */
static int answer_attach(lua_State *L)
{
    struct lgem_answer *a = check_answer(L);
    luaL_argcheck(L, a->left == 0, 2, "there are bytes to be read");
    lua_settop(L, 2);
    a->has_reader = lua_istable(L, 2);
    if (a->has_reader) {
        lua_setiuservalue(L, 1, SLOT_READER);
        return 0;
    }
    struct lgem_exchange *x = lgem_checkexchange(L, 2);
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

/* [-0,+0,e] */
static bool read_more(lua_State *L, struct lgem_answer *a, const struct lgem_site *at)
{
    lua_getiuservalue(L, at->owner, SLOT_READER);
    lua_getfield(L, -1, "read");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    luaL_checktype(L, -1, LUA_TSTRING);
    a->at = lua_tolstring(L, -1, &a->left);
    lua_setiuservalue(L, at->owner, SLOT_SOURCE);
    return a->left > 0;
}

/* Whether there are bytes to be read. [-0,+0,e] */
static bool has_bytes(lua_State *L, struct lgem_answer *a, const struct lgem_site *at)
{
    struct lgem_exchange *x = a->exchange;
    if (x != NULL && x->state == NULL) /* nothing more of an exchange that was closed, whatever had come */
        return false;
    if (a->left > 0)
        return true;
    if (x == NULL)
        return a->has_reader && read_more(L, a, at);
    gem_buf_free(&a->bytes);
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

/* The pool comes to its place, where it is not there yet: a text that is like the one before does without. [-0,+0..2,-] */
static void bring_pool(lua_State *L, const struct lgem_site *at)
{
    if (lua_gettop(L) >= at->pool)
        return;
    lua_getiuservalue(L, at->owner, SLOT_SHAPES);
    lgem_pushpool(L, at->pool - 1);
}

/* For messages: where memory is short, they say less. */
static void note_head(struct lgem_answer *a, const char *bytes, size_t n)
{
    size_t room = HEAD_MAX - a->head.len;
    gem_buf_add(&a->head, bytes, n < room ? n : room, NULL);
}

/* The error, with how the text began. */
static int fail(lua_State *L, struct lgem_answer *a, const struct gem_err *err)
{
    int pushed = lgem_fail(L, err);
    lua_pushlstring(L, a->head.len > 0 ? gem_buf_head(&a->head) : "", a->head.len);
    lua_setfield(L, -2, "head");
    return pushed;
}

static void start_afresh(struct lgem_answer *a)
{
    lgem_resetbuilder(&a->builder);
    a->began = a->failed = false;
    gem_buf_clear(&a->head);
}

static void note_why(struct lgem_answer *a, const struct gem_err *err)
{
    a->failed = true;
    if (a->why == NULL)
        a->why = gem_mem_alloc(a->state->mem, sizeof *a->why);
    if (a->why != NULL)
        *a->why = *err;
}

static void say_why(const struct lgem_answer *a, struct gem_err *err)
{
    if (a->why != NULL)
        *err = *a->why;
    else
        gem_err_memory(err);
}

/* Some of an event's data, or of the body. What is wrong with it is said at its end. */
static void take(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, const char *bytes, size_t n)
{
    struct gem_err err;
    bring_pool(L, at);
    if (!a->began)
        start_afresh(a);
    a->began = true;
    if (!a->builder.later)
        note_head(a, bytes, n);
    if (a->failed)
        return;
    lgem_resume(L, &a->builder, at);
    if (lgem_build(L, &a->builder, at, bytes, n, &err) == LGEM_BUILD_BROKEN) {
        lua_settop(L, at->base);
        note_why(a, &err);
    } else {
        lgem_suspend(L, &a->builder, at);
    }
}

/* Of a whole event: it is empty, or what others end their streams with. */
static bool says_nothing(const char *event, size_t n)
{
    return n == 0 || (n == 6 && memcmp(event, "[DONE]", 6) == 0);
}

/* The rest of a text, which may be all of it. Pushes what next returns; 0 where the text says nothing, or some of it is
 * put off. */
static int take_last(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, const char *bytes, size_t n)
{
    struct gem_err err;
    if (a->failed) {
        say_why(a, &err);
    } else if (n > 0 || a->began) {
        lgem_resume(L, &a->builder, at);
        enum lgem_built built = lgem_build(L, &a->builder, at, bytes, n, &err);
        if (built == LGEM_BUILD_LATER) {
            lgem_suspend(L, &a->builder, at);
            return 0;
        }
        if (built != LGEM_BUILD_BROKEN && lgem_buildend(L, &a->builder, at, &err) != LGEM_BUILD_BROKEN)
            return 1;
        note_why(a, &err);
    }
    lua_settop(L, at->base);
    note_head(a, bytes, n);
    if (a->events && !a->began && says_nothing(bytes, n))
        return 0;
    if (!a->failed)
        gem_err_set(&err, GEM_INCOMPLETE, 0, "it is empty");
    return fail(L, a, &err);
}

/* ---- events like the one before ---- */

/* Whether more may come by itself: from an exchange that runs. */
static bool is_running(const struct lgem_answer *a)
{
    return a->exchange != NULL && a->exchange->state != NULL && a->exchange->ex.phase != GEM_PHASE_DONE;
}

/* Keeps its text, and gives that or the whole event: pushes what next returns. */
static int take_alike(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, bool texts)
{
    struct gem_err err;
    const struct gem_mold *mold = &a->alike.cast.mold;
    if (!lgem_keepalike(&a->alike)) {
        gem_err_memory(&err);
        return fail(L, a, &err);
    }
    if (texts) {
        lua_pushlstring(L, mold->text, mold->length);
    } else {
        bring_pool(L, at);
        lua_getiuservalue(L, at->owner, SLOT_VALUES);
        lgem_make(L, &a->alike.cast, at->pool, at->base + 1);
        lua_replace(L, at->base + 1);
    }
    lua_pushboolean(L, 1);
    return 2;
}

/* ---- calls ---- */

/* [-0,+n,e] The event that the parser has found. */
static int take_event(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, bool texts)
{
    const char *event = a->sse.event;
    size_t n = a->sse.event_len;
    bool is_whole = !a->began, is_new = is_whole && !a->builder.later;
    if (is_new && lgem_isalike(&a->alike, &a->builder, event, n, texts))
        return take_alike(L, a, at, texts);
    bring_pool(L, at);
    if (is_new)
        start_afresh(a);
    int pushed = take_last(L, a, at, event, n);
    if (a->builder.later)
        return 0;
    a->began = false;
    if (is_whole && pushed == 1 && lgem_is_text(&a->builder) &&
        lgem_learnalike(L, &a->alike, &a->builder, at, SLOT_VALUES, event, n, texts)) {
        lua_settop(L, at->base);
        return take_alike(L, a, at, true);
    }
    return pushed;
}

/* Nothing is left to be read until the exchange tells of more, but for the rest of a line's end. The block that it was in
 * is given back at once: of many streams the next one takes it out of the processor's cache. */
static bool is_drained(struct lgem_answer *a)
{
    size_t used;
    if (a->left == 1 && *a->at == '\n' && gem_sse_feed(&a->sse, a->at, 1, &used, NULL) == GEM_SSE_MORE)
        advance(a, used);
    if (a->left > 0)
        return false;
    gem_buf_free(&a->bytes);
    return is_running(a) && a->exchange->ex.inbox.len == 0;
}

/* What next returns where a large string was put off. */
static int say_large(lua_State *L)
{
    lua_pushnil(L);
    lua_pushboolean(L, 1);
    lua_pushboolean(L, 1);
    return 3;
}

static int next_event(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, bool texts)
{
    struct gem_err err;
    while (has_bytes(L, a, at)) {
        int pushed = 0;
        if (!a->builder.later && !a->peeked)
            a->found = gem_sse_feed(&a->sse, a->at, a->left, &a->used, &err);
        a->peeked = false;
        if (a->found == GEM_SSE_BROKEN) {
            gem_buf_clear(&a->head);
            return fail(L, a, &err);
        }
        if (a->found == GEM_SSE_PIECE) {
            take(L, a, at, a->sse.event, a->sse.event_len);
        } else if (a->found == GEM_SSE_EVENT) {
            pushed = take_event(L, a, at, texts);
        }
        if (a->builder.later)
            return say_large(L);
        advance(a, a->used);
        if (pushed == 2 && lua_isboolean(L, -1)) {
            lua_pushboolean(L, is_drained(a));
            lua_pushboolean(L, a->alike.cast.ends);
            return 4;
        }
        if (pushed > 0)
            return pushed;
    }
    return 0;
}

/* Of so many bytes at most: pushes nil, true where there are more. [-0,+n,e] */
static int next_of_body(lua_State *L, struct lgem_answer *a, const struct lgem_site *at, size_t most)
{
    struct gem_err err;
    while (has_bytes(L, a, at)) {
        if (!a->builder.later) {
            a->used = a->left < most ? a->left : most;
            a->taken += a->used;
        }
        if (a->used == 0) {
            lua_pushnil(L);
            lua_pushboolean(L, 1);
            return 2;
        }
        if (a->taken > a->most) {
            gem_err_set(&err, GEM_LIMIT, 0, "the answer has more than %llu bytes (max_answer)",
                        (unsigned long long)a->most);
            return fail(L, a, &err);
        }
        take(L, a, at, a->at, a->used);
        if (a->builder.later)
            return say_large(L);
        advance(a, a->used);
        most -= a->used < most ? a->used : most;
    }
    return 0;
}

static struct lgem_answer *enter(lua_State *L, struct lgem_site *at)
{
    struct lgem_answer *a = check_answer(L);
    lua_settop(L, 2);
    if (a->busy)
        luaL_error(L, "the answer is being decoded already, or could not be");
    at->owner = 1;
    at->pool = AT_POOL;
    at->base = AT_POOL;
    at->slot = SLOT_STACK;
    at->sink = a->has_sink ? SLOT_SINK : 0;
    at->apart = NULL;
    a->busy = true;
    return a;
}

static int leave(struct lgem_answer *a, int pushed)
{
    a->busy = false;
    if (a->closing)
        free_answer(a);
    else if (a->retired)
        free_work(a);
    return pushed;
}

/* next(texts, most) -> value; value or text, true, whether that is all there is until the exchange tells of more, and
 * whether the event says that it is the last; nil where more bytes are needed, nil, false where they do not come by
 * themselves; with `most`, nil, true where so many bytes of a body were taken and there are more, and nil, true, true where
 * a large string is made by the next call; nil, err */
static int answer_next(lua_State *L)
{
    struct lgem_site at;
    bool texts = lua_toboolean(L, 2), all = lua_isnoneornil(L, 3);
    size_t most = all ? SIZE_MAX : (size_t)lgem_checkbytes(L, 3);
    struct lgem_answer *a = enter(L, &at);
    at.apart = all ? NULL : a->state;
    int pushed = leave(a, a->events ? next_event(L, a, &at, texts) : next_of_body(L, a, &at, most));
    if (pushed > 0 || a->state == NULL || is_running(a))
        return pushed;
    lua_pushnil(L);
    lua_pushboolean(L, 0);
    return 2;
}

/* Whether texts may be taken from what is at hand, with nothing to look at but that: not after any close. */
static bool is_ahead(const struct lgem_answer *a)
{
    const struct lgem_exchange *x = a->exchange;
    return a->left > 0 && a->alike.has_last && !a->alike.cast.ends && !a->began && !a->builder.later && !a->busy &&
           !a->closing && !a->retired && a->state != NULL && x != NULL && x->state != NULL && x->ex.loop != NULL;
}

/* ahead() -> the text of the next event, where that is here and like the one before, and nothing is to be said of it but its
 * text; else nil, and next goes on */
static int answer_ahead(lua_State *L)
{
    struct lgem_answer *a = lgem_check(L, 1, LGEM_ANSWER);
    struct gem_mold *mold = &a->alike.cast.mold;
    while (is_ahead(a)) {
        if (!a->peeked)
            a->found = gem_sse_feed(&a->sse, a->at, a->left, &a->used, NULL);
        a->peeked = a->found != GEM_SSE_BROKEN; /* which it says again, and why */
        if (a->found != GEM_SSE_EVENT ||
            !gem_mold_match(mold, &a->builder.json, a->sse.event, a->sse.event_len) || !lgem_keepalike(&a->alike))
            break;
        a->peeked = false;
        advance(a, a->used);
        if (mold->length == 0)
            continue;
        a->busy = true;
        lua_pushlstring(L, mold->text, mold->length);
        return leave(a, 1);
    }
    return 0;
}

/* After the last byte: finish() -> value, nil, "event" (one that no blank line closed), "tail" (bare text) or "body";
 * nil where nothing is left; nil, err, the same */
static int answer_finish(lua_State *L)
{
    static const char *const names[] = {"event", "tail", "body"};
    struct lgem_site at;
    struct gem_err err;
    struct lgem_answer *a = enter(L, &at);
    int what = 2, pushed;
    bring_pool(L, &at);
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
    lua_settop(L, at.base + 2);
    lua_pushstring(L, names[what]);
    return leave(a, 3);
}

/* keep(room): so many bytes of text are kept of events that are like the one before, beside what said() has not taken */
static int answer_keep(lua_State *L)
{
    struct lgem_answer *a = check_kept(L);
    int64_t room = lgem_checkbytes(L, 2);
    a->alike.room = (uint64_t)room > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)room;
    return 0;
}

/* said() -> a list with the texts of all events that said nothing else and were not taken yet, in pieces of any size; a
 * list of the last of these events, of each form that they had; whether there was no room for all texts; nil where there
 * was none */
static int answer_said(lua_State *L)
{
    struct lgem_answer *a = check_kept(L);
    bool busy = a->busy; /* where a function that takes media asks for the answer so far */
    if (a->telling || !lgem_hassaid(&a->alike)) /* a finaliser leaves them to whom they are told */
        return 0;
    a->busy = a->telling = true;
    lgem_pushsaid(L, &a->alike);
    a->telling = false;
    return busy ? 3 : leave(a, 3);
}

void lgem_open_answer(lua_State *L)
{
    static const luaL_Reg methods[] = {{"attach", answer_attach}, {"feed", answer_feed}, {"sink", answer_sink}, {"next", answer_next},
                                       {"ahead", answer_ahead}, {"finish", answer_finish}, {"keep", answer_keep},
                                       {"said", answer_said}, {"retire", answer_retire}, {NULL, NULL}};
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
