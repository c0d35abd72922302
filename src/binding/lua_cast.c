#include "lua_cast.h"

#include <string.h>

enum { LEVELS = 12, STEPS_MAX = 120, SLOTS = 3 * LEVELS + 4 };

/* What is done to make a table. */
enum what {
    OBJECT, /* n: its members */
    LIST,   /* n: its items */
    KEY,    /* n: in the pool */
    TEXT,   /* the text */
    STRING, /* n: its place; while it does not change it lies in `values` */
    COUNT,  /* n: its place */
    SAME,   /* n: in `values`; it never changes */
    SET,    /* key and value become a member */
    ITEM,   /* n: where in its list */
    META    /* n: in the pool */
};

struct step {
    uint16_t what, n;
};

void lgem_initcast(struct lgem_cast *c, const struct gem_mem *mem)
{
    gem_mold_init(&c->mold, mem);
    gem_buf_init(&c->steps, mem, STEPS_MAX * sizeof(struct step));
}

void lgem_freecast(struct lgem_cast *c)
{
    gem_mold_free(&c->mold);
    gem_buf_free(&c->steps);
}

void lgem_borrow(struct lgem_cast *c, const struct lgem_builder *b, size_t most)
{
    const struct lgem_shapes *shapes = b->shapes;
    if (shapes->state == NULL || shapes->kept_most != most || shapes->kept_depth != b->json.max_depth)
        return;
    gem_mold_copy(&c->mold, &shapes->kept);
    c->tables = false;
    c->ends = shapes->kept_ends;
}

void lgem_bequeath(const struct lgem_cast *c, const struct lgem_builder *b, size_t most)
{
    struct lgem_shapes *shapes = b->shapes;
    if (shapes->state == NULL)
        return;
    gem_mold_copy(&shapes->kept, &c->mold);
    shapes->kept_ends = c->ends;
    shapes->kept_most = most;
    shapes->kept_depth = b->json.max_depth;
}

/* ---- learning: a walk over the event's tokens, by the shapes ---- */

struct level {
    struct lgem_shape *shape;       /* of an object; NULL: a list */
    const struct lgem_field *field; /* of the member at hand, or of the list */
    unsigned count;
    size_t begin;                   /* its first step */
};

struct walk {
    struct lgem_cast *cast;
    const struct gem_json *json;
    const char *event;
    size_t before;   /* where the token's blanks, colon or comma begin */
    size_t text_end;
    int values, kept; /* the table, and what is in it */
    bool tables, has_text;
    int depth;
    struct level levels[LEVELS];
};

static bool add(struct walk *w, enum what what, unsigned n)
{
    struct step step = {.what = (uint16_t)what, .n = (uint16_t)n};
    return !w->tables || (n <= UINT16_MAX && gem_buf_add(&w->cast->steps, &step, sizeof step, NULL) == 0);
}

static bool begin_value(struct walk *w)
{
    const struct level *level = w->depth > 0 ? &w->levels[w->depth - 1] : NULL;
    return level == NULL || level->shape == NULL || add(w, KEY, (unsigned)level->field->key);
}

static bool end_value(struct walk *w)
{
    if (w->depth == 0)
        return true;
    struct level *level = &w->levels[w->depth - 1];
    level->count++;
    return level->shape != NULL ? add(w, SET, 0) : add(w, ITEM, level->count);
}

static bool open_level(struct walk *w, struct lgem_shape *shape, const struct lgem_field *field)
{
    if (w->depth == LEVELS || !begin_value(w))
        return false;
    w->levels[w->depth++] = (struct level){.shape = shape, .field = field, .begin = w->cast->steps.len};
    return add(w, shape != NULL ? OBJECT : LIST, 0);
}

static bool close_level(struct walk *w)
{
    struct level *level = &w->levels[--w->depth];
    if (w->tables) {
        struct step *step = (struct step *)(void *)(gem_buf_head(&w->cast->steps) + level->begin);
        step->n = (uint16_t)level->count;
    }
    if (level->shape != NULL && level->shape->meta_key != 0 && !add(w, META, (unsigned)level->shape->meta_key))
        return false;
    return end_value(w);
}

/* What the value that comes is to be; NULL: the whole. *list: a list of it. */
static const struct lgem_field *wanted(const struct walk *w, bool *list)
{
    const struct level *level = w->depth > 0 ? &w->levels[w->depth - 1] : NULL;
    *list = level != NULL && level->shape != NULL && level->field != NULL && level->field->list;
    return level != NULL ? level->field : NULL;
}

/* The value at the top, in the table. [-1,+0,m] */
static unsigned keep(lua_State *L, struct walk *w, int n)
{
    lua_rawseti(L, w->values, n);
    return (unsigned)n;
}

/* The value at the top, which no event like this has another of. [-1,+0,m] */
static bool same(lua_State *L, struct walk *w)
{
    if (!w->tables) {
        lua_pop(L, 1);
        return true;
    }
    return begin_value(w) && add(w, SAME, keep(L, w, ++w->kept)) && end_value(w);
}

static bool place(struct walk *w, const char *from, const char *to, enum gem_mold_kind kind)
{
    return gem_mold_note(&w->cast->mold, (size_t)(from - w->event), (size_t)(to - w->event), kind);
}

static bool string(lua_State *L, struct walk *w)
{
    bool list, is_text;
    const struct lgem_field *field = wanted(w, &list);
    const char *end = w->event + gem_json_place(w->json) - 1;
    const char *from = memchr(w->event + w->before, '"', (size_t)(end - w->event) - w->before + 1);
    unsigned n = w->cast->mold.count;
    if (field == NULL || list || (field->kind != LGEM_TEXT && field->kind != LGEM_ANY))
        return false;
    is_text = (size_t)(end - w->event) == w->text_end;
    if (!place(w, from + 1, end, is_text ? GEM_MOLD_TEXT : GEM_MOLD_STRING))
        return false;
    w->has_text = w->has_text || is_text;
    if (w->tables && !is_text) {
        lua_pushlstring(L, w->json->text, w->json->len);
        keep(L, w, (int)n + 1);
    }
    return begin_value(w) && add(w, is_text ? TEXT : STRING, n) && end_value(w);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool integer(lua_State *L, struct walk *w)
{
    bool list;
    const struct lgem_field *field = wanted(w, &list);
    const struct lgem_shape *shape = w->depth > 0 ? w->levels[w->depth - 1].shape : NULL;
    const char *end = w->event + gem_json_place(w->json), *from = end;
    unsigned n = w->cast->mold.count;
    if (field == NULL || list || field->kind == LGEM_TEXT || field->kind == LGEM_BOOLEAN || field->kind >= LGEM_BYTES ||
        field->kind == LGEM_STRUCT)
        return false;
    while (is_digit(from[-1])) /* a colon, a comma or a bracket stands before it */
        from--;
    bool plain = from < end && end - from <= 15 && from[-1] != '-' && from[-1] != '+' && from[-1] != '.' &&
                 from[-1] != 'e' && from[-1] != 'E';
    if (!plain || (shape != NULL && shape->index == (int)(field - shape->fields))) {
        lgem_pushbytes(L, w->json->integer);
        return same(L, w);
    }
    return place(w, from, end, GEM_MOLD_COUNT) && begin_value(w) && add(w, COUNT, n) && end_value(w);
}

/* A number that is no whole one, or true or false. */
static bool constant(lua_State *L, struct walk *w, enum gem_json_token token)
{
    bool list, number = token == GEM_JSON_NUMBER;
    const struct lgem_field *field = wanted(w, &list);
    if (field == NULL || list || (field->kind != LGEM_ANY && field->kind != (number ? LGEM_NUMBER : LGEM_BOOLEAN)))
        return false;
    if (number)
        lua_pushnumber(L, (lua_Number)w->json->number);
    else
        lua_pushboolean(L, token == GEM_JSON_TRUE);
    return same(L, w);
}

static bool object(struct walk *w, struct lgem_builder *b)
{
    bool list;
    const struct lgem_field *field = wanted(w, &list);
    if (w->depth == 0)
        return open_level(w, b->top, NULL);
    return field != NULL && !list && field->kind == LGEM_OBJECT && field->shape != NULL &&
           open_level(w, field->shape, NULL);
}

static bool name(struct walk *w)
{
    struct level *level = &w->levels[w->depth - 1];
    level->field = lgem_findfield(level->shape, w->json->text, w->json->len);
    return level->field != NULL;
}

static bool take(lua_State *L, struct walk *w, struct lgem_builder *b, enum gem_json_token token)
{
    bool list;
    switch (token) {
    case GEM_JSON_OBJECT:
        return object(w, b);
    case GEM_JSON_ARRAY:
        return wanted(w, &list) != NULL && list && open_level(w, NULL, wanted(w, &list));
    case GEM_JSON_CLOSE:
        return close_level(w);
    case GEM_JSON_NAME:
        return name(w);
    case GEM_JSON_STRING:
        return string(L, w);
    case GEM_JSON_INTEGER:
        return integer(L, w);
    case GEM_JSON_NULL: /* a member that is null is not shown */
        return w->depth > 0 && w->levels[w->depth - 1].shape != NULL;
    case GEM_JSON_DONE:
        return true;
    default:
        return constant(L, w, token);
    }
}

void lgem_learn(lua_State *L, struct lgem_cast *c, struct lgem_builder *b, const char *event, size_t n, int values)
{
    enum gem_json_token token;
    struct walk w = {.cast = c, .json = &b->json, .event = event, .text_end = b->after - 1, .values = values,
                     .kept = GEM_MOLD_PLACES, .tables = values != 0};
    c->tables = false;
    gem_buf_clear(&c->steps);
    if (b->after == 0 || b->top == NULL || !gem_mold_begin(&c->mold, event, n))
        return;
    gem_json_reset(&b->json);
    gem_json_feed(&b->json, event, n);
    while ((token = gem_json_next(&b->json, NULL)) > GEM_JSON_MORE) {
        if (!take(L, &w, b, token))
            return;
        w.before = gem_json_place(&b->json);
    }
    c->tables = w.tables;
    c->mold.ready = token == GEM_JSON_MORE && w.has_text;
}

/* ---- events like it ---- */

static void push_count(lua_State *L, const struct gem_mold *mold, unsigned n)
{
    size_t length;
    const char *p = gem_mold_value(mold, n, &length), *end = p + length;
    int64_t value = 0;
    while (p < end)
        value = value * 10 + (*p++ - '0');
    lgem_pushbytes(L, value);
}

/* [-0,+1,m] */
static void push_string(lua_State *L, struct gem_mold *mold, unsigned n, int values)
{
    size_t length;
    if (!mold->places[n].changed) {
        lua_rawgeti(L, values, (int)n + 1);
        return;
    }
    const char *text = gem_mold_value(mold, n, &length);
    lua_pushlstring(L, text, length);
    lua_pushvalue(L, -1);
    lua_rawseti(L, values, (int)n + 1);
    mold->places[n].changed = false;
}

void lgem_make(lua_State *L, struct lgem_cast *c, int pool, int values)
{
    const struct step *step = (const struct step *)(const void *)gem_buf_head(&c->steps);
    const struct step *end = step + c->steps.len / sizeof *step;
    luaL_checkstack(L, SLOTS, "JSON is nested too deeply");
    for (; step < end; step++) {
        switch ((enum what)step->what) {
        case OBJECT:
            lua_createtable(L, 0, step->n);
            break;
        case LIST:
            lua_createtable(L, step->n, 0);
            break;
        case KEY:
            lua_rawgeti(L, pool, step->n);
            break;
        case TEXT:
            lua_pushlstring(L, c->mold.text, c->mold.length);
            break;
        case STRING:
            push_string(L, &c->mold, step->n, values);
            break;
        case COUNT:
            push_count(L, &c->mold, step->n);
            break;
        case SAME:
            lua_rawgeti(L, values, step->n);
            break;
        case SET:
            lua_rawset(L, -3);
            break;
        case ITEM:
            lua_rawseti(L, -2, step->n);
            break;
        case META:
            lua_rawgeti(L, pool, step->n);
            lua_setmetatable(L, -2);
        }
    }
}
