#include "lua_shape.h"

#include <string.h>

enum { SLOT_POOL = 1, SLOTS = 1 };

/* What fits into a byte of the hash; and the members of a chunk that must be told, into the bits of a number. */
enum { FIELDS_MAX = 200, TOLD_MAX = 32 };

static const char *const kinds[] = {"any", "struct", "text", "number", "integer", "int64", "boolean", "bytes", "object", NULL};
static const char *const roles[] = {"", "response", "candidate", "content", "part", NULL};

struct lgem_shapes *lgem_checkshapes(lua_State *L, int arg)
{
    struct lgem_shapes *shapes = lgem_check(L, arg, LGEM_SHAPES);
    if (shapes->state == NULL)
        lgem_closed(L, LGEM_SHAPES);
    return shapes;
}

void lgem_pushpool(lua_State *L, int arg)
{
    lua_getiuservalue(L, arg, SLOT_POOL);
}

static unsigned hash_of(const char *name, size_t n)
{
    const unsigned char *s = (const unsigned char *)name;
    return n == 0 ? 0 : (unsigned)n * 5 + s[0] * 7u + s[n / 2] * 3u + s[n - 1];
}

struct lgem_field *lgem_findfield(const struct lgem_shape *shape, const char *wire, size_t n)
{
    for (unsigned at = hash_of(wire, n);; at++) {
        unsigned i = shape->hash[at & (shape->slots - 1)];
        if (i == 0)
            return NULL;
        struct lgem_field *field = &shape->fields[i - 1];
        if (field->wire_length == n && memcmp(field->wire, wire, n) == 0)
            return field;
    }
}

/* ---- made of what Lua says of a type: a table at the top of the stack ---- */

/* Moves the value at the top into the pool. [-1,+0,m] */
static int put(lua_State *L, struct lgem_shapes *shapes, int pool)
{
    lua_rawseti(L, pool, ++shapes->pooled);
    return shapes->pooled;
}

/* A text of the table at the top, in the pool. *text: its bytes, or NULL: there is none. [-0,+0,v] */
static int text_of(lua_State *L, struct lgem_shapes *shapes, int pool, const char *name, const char **text, size_t *n)
{
    lgem_rawfield(L, lua_gettop(L), name);
    *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, n) : NULL;
    return put(L, shapes, pool);
}

static int option_of(lua_State *L, const char *name, const char *const *list) /* [-0,+0,v] */
{
    lgem_rawfield(L, lua_gettop(L), name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    int i = 0;
    while (list[i] != NULL && strcmp(list[i], text) != 0)
        i++;
    if (list[i] == NULL)
        luaL_error(L, "types: %s %s is not known", name, text);
    lua_pop(L, 1);
    return i;
}

static void read_field(lua_State *L, struct lgem_shapes *shapes, int pool, struct lgem_field *field) /* [-0,+0,v] */
{
    size_t n;
    const char *text;
    memset(field, 0, sizeof *field);
    field->wire_key = text_of(L, shapes, pool, "wire", &field->wire, &field->wire_length);
    field->key = text_of(L, shapes, pool, "field", &text, &n);
    if (field->wire == NULL || text == NULL)
        luaL_error(L, "types: a field without a name");
    text_of(L, shapes, pool, "type", &field->type, &n);
    field->kind = (enum lgem_value)option_of(L, "kind", kinds);
    field->list = lgem_flagfield(L, lua_gettop(L), "list");
}

static void enter(struct lgem_shape *shape, unsigned i) /* into the hash */
{
    unsigned at = hash_of(shape->fields[i].wire, shape->fields[i].wire_length);
    while (shape->hash[at & (shape->slots - 1)] != 0)
        at++;
    shape->hash[at & (shape->slots - 1)] = (unsigned char)(i + 1);
}

static void read_fields(lua_State *L, struct lgem_shapes *shapes, int pool, struct lgem_shape *shape) /* [-0,+0,v] */
{
    shape->index = -1;
    for (unsigned i = 0; i < shape->count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        if (!lua_istable(L, -1))
            luaL_error(L, "types: a list of fields expected");
        read_field(L, shapes, pool, &shape->fields[i]);
        if (lgem_flagfield(L, lua_gettop(L), "apart"))
            shape->apart |= UINT32_C(1) << i % 32;
        if (lgem_flagfield(L, lua_gettop(L), "ends"))
            shape->ends |= UINT32_C(1) << i % 32;
        if (shape->role == LGEM_CANDIDATE && strcmp(shape->fields[i].wire, "index") == 0)
            shape->index = (int)i;
        enter(shape, i);
        lua_pop(L, 1);
    }
}

/* The block is linked before anything is read, so that an error loses nothing. [-0,+0,v] */
static struct lgem_shape *new_shape(lua_State *L, struct lgem_shapes *shapes, unsigned count)
{
    unsigned slots = 4;
    while (slots < 2 * count)
        slots *= 2;
    size_t size = sizeof(struct lgem_shape) + count * sizeof(struct lgem_field) + slots;
    struct lgem_shape *shape = gem_mem_alloc(shapes->state->mem, size);
    if (shape == NULL)
        luaL_error(L, "not enough memory");
    memset(shape, 0, size);
    shape->size = size;
    shape->count = count;
    shape->slots = slots;
    shape->fields = (struct lgem_field *)(shape + 1);
    shape->hash = (unsigned char *)(shape->fields + count);
    shape->next = shapes->first;
    shapes->first = shape;
    return shape;
}

/* [-1,+0,v] */
static struct lgem_shape *make(lua_State *L, struct lgem_shapes *shapes, int pool, const char *name)
{
    size_t n = lua_rawlen(L, -1);
    if (n > FIELDS_MAX)
        luaL_error(L, "types: too many fields");
    struct lgem_shape *shape = new_shape(L, shapes, (unsigned)n);
    shape->role = (enum lgem_role)option_of(L, "role", roles);
    if (shape->role != LGEM_NO_ROLE && n > TOLD_MAX)
        luaL_error(L, "types: too many fields");
    shape->media = lgem_flagfield(L, lua_gettop(L), "media");
    shape->echoed = lgem_flagfield(L, lua_gettop(L), "echoed");
    lgem_rawfield(L, lua_gettop(L), "metatable");
    if (lua_istable(L, -1))
        shape->meta_key = put(L, shapes, pool);
    else
        lua_pop(L, 1);
    lua_pushstring(L, name);
    const char *kept = lua_tostring(L, -1);
    shape->name_key = put(L, shapes, pool);
    read_fields(L, shapes, pool, shape);
    shape->name = kept; /* last: now it may be found */
    lua_pop(L, 1);
    return shape;
}

struct lgem_shape *lgem_findshape(lua_State *L, struct lgem_shapes *shapes, int pool, const char *name)
{
    for (struct lgem_shape *shape = shapes->first; shape != NULL; shape = shape->next)
        if (shape->name != NULL && strcmp(shape->name, name) == 0)
            return shape;
    lua_rawgeti(L, pool, LGEM_POOL_TYPES);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1))
        luaL_error(L, "types: no such type: %s", name);
    return make(L, shapes, pool, name);
}

/* ---- the object ---- */

int lgem_newshapes(lua_State *L)
{
    static const char *const names[] = {NULL, "null", "array", "settle", "types"};
    luaL_checktype(L, 1, LUA_TTABLE);
    struct lgem_shapes *shapes = lgem_new(L, sizeof *shapes, SLOTS, LGEM_SHAPES);
    lua_newtable(L);
    for (int i = 1; i <= LGEM_POOL_FIXED; i++) {
        lgem_rawfield(L, 1, names[i]);
        luaL_argcheck(L, !lua_isnil(L, -1), 1, names[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setiuservalue(L, -2, SLOT_POOL);
    shapes->pooled = LGEM_POOL_FIXED;
    shapes->state = lgem_state(L);
    gem_mold_init(&shapes->kept, shapes->state->mem);
    return 1;
}

static int shapes_close(lua_State *L)
{
    struct lgem_shapes *shapes = lgem_check(L, 1, LGEM_SHAPES);
    if (shapes->state == NULL)
        return 0;
    while (shapes->first != NULL) {
        struct lgem_shape *shape = shapes->first;
        shapes->first = shape->next;
        gem_mem_free(shapes->state->mem, shape, shape->size);
    }
    gem_mold_free(&shapes->kept);
    shapes->state = NULL;
    return 0;
}

void lgem_open_shapes(lua_State *L)
{
    static const luaL_Reg methods[] = {{NULL, NULL}};
    lgem_type(L, LGEM_SHAPES, methods, shapes_close);
}
