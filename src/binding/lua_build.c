#include "lua_build.h"

#include <math.h>
#include <string.h>

enum frame_kind { FRAME_OBJECT, FRAME_LIST, FRAME_RAW_OBJECT, FRAME_RAW_ARRAY };

struct lgem_frame {
    struct lgem_shape *shape;       /* of an object */
    const struct lgem_field *field; /* of an object: the member at hand, NULL: unknown; of a list: what it is */
    int count;                      /* items; members */
    uint32_t seen;                  /* known members, a bit each, as far as there are bits */
    enum frame_kind kind;
    bool echoed;
};

enum {
    SLOTS_PER_LEVEL = 10, /* what a level takes on the stack, and what is pushed above the last one for a while */
    KEEP_CAP = 16384,     /* a block larger than this is given back with the value it was for */
    MEMBERS_MAX = 32,     /* a table is made for no more members than these: they are the peer's promise */
    FRAMES_MIN = 16,
    SINK_BLOCK = 65536,   /* bytes for which it is worth to call Lua */
    LARGE = 262144        /* a string that takes as long to make as many steps have: fresh memory, and a copy */
};

void lgem_initbuilder(struct lgem_builder *b, const struct gem_mem *mem, size_t max_text, unsigned max_depth)
{
    gem_json_init(&b->json, mem, max_depth, max_text);
    gem_buf_init(&b->bytes, mem, max_text);
}

void lgem_freebuilder(struct lgem_builder *b)
{
    if (b->frames != NULL)
        gem_mem_free(b->bytes.mem, b->frames, (size_t)b->room * sizeof *b->frames);
    b->frames = NULL;
    b->room = b->depth = 0;
    gem_json_free(&b->json);
    gem_buf_free(&b->bytes);
}

void lgem_resetbuilder(struct lgem_builder *b)
{
    gem_json_reset(&b->json);
    b->depth = b->saved = 0;
    b->in_bytes = b->apart = b->ends = b->later = false;
    memset(b->objects, 0, sizeof b->objects);
    b->after = 0;
}

void lgem_resume(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    if (b->saved == 0)
        return;
    luaL_checkstack(L, b->saved + SLOTS_PER_LEVEL, "JSON is nested too deeply");
    lua_getiuservalue(L, at->owner, at->slot);
    for (int i = 1; i <= b->saved; i++)
        lua_rawgeti(L, at->base + 1, i);
    lua_remove(L, at->base + 1);
    lua_pushnil(L);
    lua_setiuservalue(L, at->owner, at->slot);
    b->saved = 0;
}

void lgem_suspend(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    int n = lua_gettop(L) - at->base;
    if (n == 0)
        return;
    lua_createtable(L, n, 0);
    lua_insert(L, at->base + 1);
    for (int i = n; i > 0; i--)
        lua_rawseti(L, at->base + 1, i);
    lua_setiuservalue(L, at->owner, at->slot);
    b->saved = n;
}

/* ---- values that are whole ---- */

/* On the stack: object, odd, key, value. Notes the value under the member's name on the wire, and pops it. [-1,+0,m] */
static void note_odd(lua_State *L, const struct lgem_site *at, const struct lgem_field *field)
{
    if (!lua_istable(L, -3)) {
        lua_newtable(L);
        lua_replace(L, -4);
    }
    if (field != NULL)
        lua_rawgeti(L, at->pool, field->wire_key);
    else
        lua_pushvalue(L, -2); /* its own name is the key */
    lua_insert(L, -2);
    lua_rawset(L, -4);
}

/* The bit of the member at hand; 0 where there is none. */
static uint32_t bit_of(const struct lgem_frame *frame)
{
    unsigned i = (unsigned)(frame->field - frame->shape->fields);
    return i < 32 ? UINT32_C(1) << i : 0;
}

/* On the stack: object, odd, key, value. Pops key and value. */
static void store_member(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, struct lgem_frame *frame)
{
    const struct lgem_field *field = frame->field;
    if (lua_istable(L, -3)) { /* the last one of a name counts */
        lua_rawgeti(L, at->pool, field->wire_key);
        lua_pushnil(L);
        lua_rawset(L, -5);
    }
    lua_rawset(L, -4);
    uint32_t bit = bit_of(frame);
    b->apart = b->apart || (frame->seen & bit) != 0;
    frame->seen |= bit;
    frame->count++;
}

/* The value at the top is shown where it belongs: in the object, list or user data below it. [-1..2,+0,m] */
static void show(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    if (b->depth == 0)
        return;
    struct lgem_frame *frame = &b->frames[b->depth - 1];
    switch (frame->kind) {
    case FRAME_OBJECT:
        if (frame->field != NULL) {
            store_member(L, b, at, frame);
            return;
        }
        note_odd(L, at, NULL);
        lua_pop(L, 1);
        return;
    case FRAME_LIST:
    case FRAME_RAW_ARRAY:
        lua_rawseti(L, -2, ++frame->count);
        return;
    case FRAME_RAW_OBJECT:
        lua_rawset(L, -3);
    }
}

/* The value at the top is not what the API gives in its place: it is not shown, and noted where it may be sent back.
 * Only below an object or list. [-1..2,+0,m] */
static void refuse(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    struct lgem_frame *frame = &b->frames[b->depth - 1];
    if (frame->kind == FRAME_LIST) {
        lua_pop(L, 1);
        return;
    }
    b->apart = b->apart || (frame->seen & bit_of(frame)) != 0; /* what came of that name before is gone */
    lua_insert(L, -2); /* object, odd, value, key */
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, -6);
    lua_insert(L, -2);
    if (frame->echoed)
        note_odd(L, at, frame->field);
    else
        lua_pop(L, 1);
    lua_pop(L, 1);
}

/* What the value that comes next should be; NULL: user data. *is_item: of a list, where the list itself is meant else. */
static const struct lgem_field *expected(const struct lgem_builder *b, bool *is_item)
{
    const struct lgem_frame *frame = &b->frames[b->depth - 1];
    *is_item = frame->kind == FRAME_LIST;
    return frame->kind == FRAME_OBJECT || *is_item ? frame->field : NULL;
}

/* ---- numbers in texts ---- */

/* A 64-bit integer in digits: a number where Lua holds it, else the text where that will do. [-0,+1,m] */
static bool push_int64(lua_State *L, const char *text, size_t n, bool or_text)
{
    bool negative = n > 0 && text[0] == '-', fits = true;
    uint64_t value = 0, most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    size_t i = negative;
    if (i == n || (text[i] == '0' && i + 1 < n))
        return false;
    for (; i < n; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        fits = fits && value <= (most - digit) / 10;
        value = fits ? value * 10 + digit : value;
    }
#if LUA_VERSION_NUM < 503
    fits = fits && value < UINT64_C(1) << 53;
#endif
    if (fits)
        lgem_pushbytes(L, negative ? -(int64_t)(value - 1) - 1 : (int64_t)value);
    else if (or_text)
        lua_pushlstring(L, text, n);
    return fits || or_text;
}

/* A number that is text, as JSON of protocol buffers has those that are none. [-0,+1,m] */
static bool push_number(lua_State *L, const char *text, size_t n)
{
    static const char *const names[] = {"NaN", "Infinity", "-Infinity"};
    static const double values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0) {
            lua_pushnumber(L, (lua_Number)values[i]);
            return true;
        }
    double value;
    if (push_int64(L, text, n, false))
        return true;
    if (!gem_json_number(text, n, &value))
        return false;
    lua_pushnumber(L, (lua_Number)value);
    return true;
}

/* A text in the place of a number: pushes what is shown of it. */
static bool push_converted(lua_State *L, enum lgem_value kind, const char *text, size_t n)
{
    switch (kind) {
    case LGEM_NUMBER:
        return push_number(L, text, n);
    case LGEM_INTEGER:
    case LGEM_INT64:
        return push_int64(L, text, n, kind == LGEM_INT64);
    default:
        return false;
    }
}

/* ---- tokens of values ---- */

static bool is_number(enum lgem_value kind)
{
    return kind == LGEM_NUMBER || kind == LGEM_INTEGER || kind == LGEM_INT64;
}

static void string_value(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    bool is_item;
    const char *text = b->json.text;
    size_t n = b->json.len;
    const struct lgem_field *field = b->depth > 0 ? expected(b, &is_item) : NULL;
    bool fits = field == NULL || (field->list && !is_item ? false : field->kind == LGEM_TEXT || field->kind == LGEM_ANY);

    if (fits) {
        lua_pushlstring(L, text, n);
        show(L, b, at);
        if (field != NULL && b->frames[b->depth - 1].shape != NULL && b->frames[b->depth - 1].shape->role == LGEM_PART)
            b->after = gem_json_place(&b->json);
        return;
    }
    if ((field->list && !is_item) || !push_converted(L, field->kind, text, n)) {
        lua_pushlstring(L, text, n);
        refuse(L, b, at);
        return;
    }
    show(L, b, at);
    if (!is_item && b->frames[b->depth - 1].echoed) { /* and sent back as it came */
        lua_pushnil(L); /* where the key was */
        lua_pushlstring(L, text, n);
        note_odd(L, at, field);
        lua_pop(L, 1);
    }
}

/* A number, boolean or null is at the top. */
static void scalar_value(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, enum gem_json_token token)
{
    bool is_item, fits;
    const struct lgem_field *field = b->depth > 0 ? expected(b, &is_item) : NULL;
    if (field == NULL) {
        show(L, b, at);
        return;
    }
    if (field->kind == LGEM_BYTES)
        b->json.pieces = false; /* it was to be a string */
    if (field->list && !is_item)
        fits = false;
    else if (token == GEM_JSON_INTEGER || token == GEM_JSON_NUMBER)
        fits = is_number(field->kind) || field->kind == LGEM_ANY;
    else if (token == GEM_JSON_NULL)
        fits = is_item && field->kind == LGEM_ANY;
    else
        fits = field->kind == LGEM_BOOLEAN || field->kind == LGEM_ANY;
    if (!fits) {
        refuse(L, b, at);
        return;
    }
    struct lgem_frame *frame = &b->frames[b->depth - 1];
    if (frame->kind == FRAME_OBJECT && frame->shape->index == (int)(field - frame->shape->fields) &&
        !(token == GEM_JSON_INTEGER && b->json.integer == 0))
        b->apart = true;
    show(L, b, at);
}

/* ---- bytes ---- */

/* Whether the bytes at hand are those of media, which the caller wants elsewhere. */
static bool is_media(const struct lgem_builder *b, const struct lgem_site *at)
{
    const struct lgem_frame *frame = &b->frames[b->depth - 1];
    return at->sink != 0 && frame->kind == FRAME_OBJECT && frame->shape->media;
}

/* Hands bytes to the sink: sink(object, bytes, is_last) -> true, at last what is shown in their place, a key and a value;
 * nil, err (its message). On the stack: object, odd, key; leaves key and value in the place of the key at last. [-0,+0..1,e] */
static int sink_bytes(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, bool last, struct gem_err *err)
{
    lua_getiuservalue(L, at->owner, at->sink);
    lua_pushvalue(L, -4);
    lua_pushlstring(L, b->bytes.len > 0 ? gem_buf_head(&b->bytes) : "", b->bytes.len);
    gem_buf_clear(&b->bytes);
    lua_pushboolean(L, last);
    lua_call(L, 3, 2);
    if (!lua_toboolean(L, -2)) {
        const char *message = lua_tostring(L, -1);
        gem_err_set(err, GEM_IO, 0, "%s", message != NULL ? message : "the media could not be written");
        return -1;
    }
    if (last)
        lua_remove(L, -3);
    else
        lua_pop(L, 2);
    return 0;
}

static int take_base64(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, struct gem_err *err)
{
    size_t written = 0;
    int result;
    if (!b->in_bytes) {
        b->sinking = is_media(b, at);
        gem_base64_decode_init(&b->base64, gem_base64_best());
        gem_buf_clear(&b->bytes);
        b->in_bytes = true;
    }
    if (gem_buf_reserve(&b->bytes, gem_base64_decoded_room(b->json.len), err) < 0)
        return -1;
    result = gem_base64_decode_feed(&b->base64, gem_buf_tail(&b->bytes), b->json.text, b->json.len, &written, err);
    gem_buf_commit(&b->bytes, written);
    if (result == 0 && b->sinking && b->bytes.len >= SINK_BLOCK)
        result = sink_bytes(L, b, at, false, err);
    return result;
}

/* The rest of a string that is bytes. */
static int bytes_value(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, struct gem_err *err)
{
    size_t written = 0;
    if (take_base64(L, b, at, err) < 0 || gem_buf_reserve(&b->bytes, 3, err) < 0 ||
        gem_base64_decode_finish(&b->base64, gem_buf_tail(&b->bytes), &written, err) < 0)
        return -1;
    gem_buf_commit(&b->bytes, written);
    b->in_bytes = false;
    if (b->sinking) {
        if (sink_bytes(L, b, at, true, err) < 0)
            return -1;
        lua_rawset(L, -4); /* a member of ours, which no name on the wire stands for */
        return 0;
    }
    lua_pushlstring(L, b->bytes.len > 0 ? gem_buf_head(&b->bytes) : "", b->bytes.len);
    if (b->bytes.cap > KEEP_CAP)
        gem_buf_free(&b->bytes);
    show(L, b, at);
    return 0;
}

/* ---- objects and arrays ---- */

static struct lgem_frame *push_frame(lua_State *L, struct lgem_builder *b, struct gem_err *err)
{
    if (b->depth == b->room) {
        int room = b->room > 0 ? 2 * b->room : FRAMES_MIN;
        size_t size = sizeof *b->frames;
        struct lgem_frame *frames =
            gem_mem_resize(b->bytes.mem, b->frames, (size_t)b->room * size, (size_t)room * size);
        if (frames == NULL) {
            gem_err_memory(err);
            return NULL;
        }
        b->frames = frames;
        b->room = room;
    }
    luaL_checkstack(L, SLOTS_PER_LEVEL, "JSON is nested too deeply");
    struct lgem_frame *frame = &b->frames[b->depth];
    memset(frame, 0, sizeof *frame);
    frame->echoed = b->depth > 0 && b->frames[b->depth - 1].echoed;
    return frame;
}

/* The shape of the object that begins, or NULL: it is no object of a type. */
static struct lgem_shape *shape_of(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    bool is_item;
    const struct lgem_field *field;
    if (b->depth == 0)
        return b->top;
    field = expected(b, &is_item);
    if (field == NULL || field->kind != LGEM_OBJECT || field->list != is_item)
        return NULL;
    if (field->shape == NULL)
        ((struct lgem_field *)field)->shape = lgem_findshape(L, b->shapes, at->pool, field->type);
    return field->shape;
}

static int open_value(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, bool array, struct gem_err *err)
{
    bool is_item = false;
    struct lgem_shape *shape = array ? NULL : shape_of(L, b, at);
    const struct lgem_field *field = b->depth > 0 ? expected(b, &is_item) : NULL;
    struct lgem_frame *frame = push_frame(L, b, err);
    if (frame == NULL)
        return -1;
    if (field != NULL && field->kind == LGEM_BYTES)
        b->json.pieces = false;
    if (shape != NULL) {
        frame->kind = FRAME_OBJECT;
        frame->shape = shape;
        frame->echoed = frame->echoed || shape->echoed;
        lua_createtable(L, 0, shape->members);
        lua_pushboolean(L, 0);
    } else if (array && field != NULL && field->list && !is_item) {
        frame->kind = FRAME_LIST;
        frame->field = field;
        lua_createtable(L, 1, 0);
    } else {
        frame->kind = array ? FRAME_RAW_ARRAY : FRAME_RAW_OBJECT;
        lua_newtable(L);
    }
    b->depth++;
    return 0;
}

/* What it could not show as it came, or does not know, is settled in Lua. On the stack: object, odd. [-0,+0,e] */
static void settle(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, const struct lgem_frame *frame)
{
    b->apart = b->apart || frame->shape->role != LGEM_NO_ROLE;
    lua_rawgeti(L, at->pool, LGEM_POOL_SETTLE);
    lua_pushvalue(L, -3);
    lua_rawgeti(L, at->pool, frame->shape->name_key);
    lua_pushvalue(L, -4);
    lua_pushboolean(L, frame->echoed);
    lua_call(L, 4, 0);
}

/* On the stack: object, odd. Leaves the object. [-1,+0,e] */
static void close_object(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    const struct lgem_frame *frame = &b->frames[b->depth];
    struct lgem_shape *shape = frame->shape;
    if (lua_istable(L, -1))
        settle(L, b, at, frame);
    lua_pop(L, 1);
    if (shape->meta_key != 0) {
        lua_rawgeti(L, at->pool, shape->meta_key);
        lua_setmetatable(L, -2);
    }
    shape->members = frame->count < MEMBERS_MAX ? frame->count : MEMBERS_MAX;
    if (shape->role != LGEM_NO_ROLE) {
        b->objects[shape->role]++;
        b->apart = b->apart || (frame->seen & shape->apart) != 0;
        b->ends = b->ends || (frame->seen & shape->ends) != 0;
    }
}

/* Whether user data that came is of the kind that was wanted. */
static bool raw_fits(const struct lgem_builder *b, enum frame_kind kind)
{
    bool is_item;
    const struct lgem_field *field = b->depth > 0 ? expected(b, &is_item) : NULL;
    if (field == NULL)
        return true;
    if (field->list && !is_item)
        return false;
    return field->kind == LGEM_ANY || (field->kind == LGEM_STRUCT && kind == FRAME_RAW_OBJECT);
}

/* Pushes null or the metatable of arrays. They are asked for when the first one comes. [-0,+1,e] */
static void push_mark(lua_State *L, const struct lgem_site *at, int which)
{
    lua_rawgeti(L, at->pool, which);
    if (!lua_isfunction(L, -1))
        return;
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, at->pool, which);
}

static void close_value(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    enum frame_kind kind = b->frames[--b->depth].kind;
    if (kind == FRAME_RAW_ARRAY) {
        push_mark(L, at, LGEM_POOL_ARRAY);
        lua_setmetatable(L, -2);
    } else if (kind == FRAME_OBJECT) {
        close_object(L, b, at);
    }
    if (kind == FRAME_OBJECT || kind == FRAME_LIST || raw_fits(b, kind))
        show(L, b, at);
    else
        refuse(L, b, at);
}

/* ---- members ---- */

static void member(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    struct lgem_frame *frame = &b->frames[b->depth - 1];
    if (frame->kind == FRAME_OBJECT) {
        struct lgem_field *field = lgem_findfield(frame->shape, b->json.text, b->json.len);
        frame->field = field;
        if (field != NULL) {
            b->json.pieces = field->kind == LGEM_BYTES && !field->list;
            lua_rawgeti(L, at->pool, field->key);
            return;
        }
    }
    lua_pushlstring(L, b->json.text, b->json.len);
}

static void push_scalar(lua_State *L, const struct lgem_builder *b, const struct lgem_site *at, enum gem_json_token token)
{
    switch (token) {
    case GEM_JSON_INTEGER:
        lgem_pushbytes(L, b->json.integer);
        return;
    case GEM_JSON_NUMBER:
        lua_pushnumber(L, (lua_Number)b->json.number);
        return;
    case GEM_JSON_NULL:
        push_mark(L, at, LGEM_POOL_NULL);
        return;
    default:
        lua_pushboolean(L, token == GEM_JSON_TRUE);
    }
}

/* Whether the string that comes, or the piece of one, is to be bytes. */
static bool is_bytes(const struct lgem_builder *b)
{
    bool is_item;
    const struct lgem_field *field = b->depth > 0 ? expected(b, &is_item) : NULL;
    return field != NULL && field->kind == LGEM_BYTES && !field->list;
}

/* Whether the string that ends here is so large that it is to be made in a call of its own, the next. */
static bool put_off(lua_State *L, struct lgem_builder *b, const struct lgem_site *at)
{
    bool bytes = is_bytes(b), begun = b->later;
    size_t n = bytes && b->in_bytes ? b->bytes.len : b->json.len;
    b->later = false;
    if (at->apart == NULL || n < LARGE || (bytes && is_media(b, at)))
        return false;
    if (begun)
        lgem_owe(L, at->apart, n);
    else
        b->later = true;
    return b->later;
}

static enum lgem_built build(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, struct gem_err *err)
{
    for (;;) {
        enum gem_json_token token = b->later ? GEM_JSON_STRING : gem_json_next(&b->json, err);
        int result = 0;
        switch (token) {
        case GEM_JSON_BROKEN:
            return LGEM_BUILD_BROKEN;
        case GEM_JSON_MORE:
            return LGEM_BUILD_MORE;
        case GEM_JSON_DONE:
            continue; /* there may be more than blanks behind it */
        case GEM_JSON_NAME:
            member(L, b, at);
            continue;
        case GEM_JSON_OBJECT:
        case GEM_JSON_ARRAY:
            result = open_value(L, b, at, token == GEM_JSON_ARRAY, err);
            break;
        case GEM_JSON_CLOSE:
            close_value(L, b, at);
            continue;
        case GEM_JSON_PIECE:
            result = take_base64(L, b, at, err);
            break;
        case GEM_JSON_STRING:
            if (put_off(L, b, at))
                return LGEM_BUILD_LATER;
            if (is_bytes(b))
                result = bytes_value(L, b, at, err);
            else
                string_value(L, b, at);
            break;
        default:
            push_scalar(L, b, at, token);
            scalar_value(L, b, at, token);
        }
        if (result < 0)
            return LGEM_BUILD_BROKEN;
    }
}

enum lgem_built lgem_build(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, const char *bytes, size_t n,
                           struct gem_err *err)
{
    if (!b->later)
        gem_json_feed(&b->json, bytes, n);
    return build(L, b, at, err);
}

enum lgem_built lgem_buildend(lua_State *L, struct lgem_builder *b, const struct lgem_site *at, struct gem_err *err)
{
    enum gem_json_token token = gem_json_finish(&b->json, err);
    if (token == GEM_JSON_INTEGER || token == GEM_JSON_NUMBER) {
        push_scalar(L, b, at, token);
        show(L, b, at);
        token = gem_json_finish(&b->json, err);
    }
    return token == GEM_JSON_BROKEN ? LGEM_BUILD_BROKEN : LGEM_BUILD_WHOLE;
}

bool lgem_is_text(const struct lgem_builder *b)
{
    const int *n = b->objects;
    return !b->apart && b->after > 0 && n[LGEM_RESPONSE] == 1 && n[LGEM_CANDIDATE] == 1 && n[LGEM_CONTENT] == 1 &&
           n[LGEM_PART] == 1;
}
