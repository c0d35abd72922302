#include "lua_shape.h"

#include <string.h>

enum { SLOT_POOL = 1, SLOTS = 1 };
enum { SLOTS_OF_MAKE = 8 }; /* the type, two of its members, what is read of them, and room */

/* What fits into a byte of the hash; the members of a chunk that must be told, into the bits of a number; the bytes of a
 * name. */
enum { FIELDS_MAX = 200, TOLD_MAX = 32, WIRE_MAX = 64 };

/* The words of schema.lua for kinds; answers do not tell all of them apart. */
static const struct {
    const char *word;
    enum lgem_value kind;
} kinds[] = {{"", LGEM_TEXT}, {"string", LGEM_TEXT}, {"upper", LGEM_TEXT}, {"number", LGEM_NUMBER},
    {"integer", LGEM_INTEGER}, {"int64", LGEM_INT64}, {"boolean", LGEM_BOOLEAN}, {"bytes", LGEM_BYTES},
    {"any", LGEM_ANY}, {"open", LGEM_ANY}, {"struct", LGEM_STRUCT}};
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

static enum lgem_role role_of(lua_State *L) /* of the table at the top. [-0,+0,v] */
{
    lgem_rawfield(L, lua_gettop(L), "role");
    const char *text = luaL_optstring(L, -1, "");
    int i = 0;
    while (roles[i] != NULL && strcmp(roles[i], text) != 0)
        i++;
    if (roles[i] == NULL)
        luaL_error(L, "types: role %s is not known", text);
    lua_pop(L, 1);
    return (enum lgem_role)i;
}

/* A field in the words of schema.lua: name=wire:kind. Parts that are not there have no length. */
struct word {
    const char *name, *wire, *kind;
    size_t name_length, wire_length, kind_length;
};

#define SPACE " \n"

/* The word at *at, which moves behind it; false: there is none. Whether only one of the services takes it does not matter
 * here. */
static bool next_word(const char **at, struct word *word)
{
    const char *s = *at + strspn(*at, SPACE "!^");
    word->name = s;
    word->name_length = strcspn(s, SPACE "=:");
    s += word->name_length;
    word->wire = *s == '=' ? ++s : s;
    word->wire_length = s == word->name + word->name_length ? 0 : strcspn(s, SPACE ":");
    s += word->wire_length;
    word->kind = *s == ':' ? ++s : s;
    word->kind_length = s == word->wire + word->wire_length ? 0 : strcspn(s, SPACE);
    *at = s + word->kind_length;
    return word->name_length > 0;
}

/* The name on the wire: the one that is said, else the name in camelCase or as it is. [-0,+1,v] */
static void push_wire(lua_State *L, const struct word *word, bool as_is)
{
    char camel[WIRE_MAX];
    size_t n = 0;
    if (word->wire_length > 0) {
        lua_pushlstring(L, word->wire, word->wire_length);
        return;
    }
    if (as_is) {
        lua_pushlstring(L, word->name, word->name_length);
        return;
    }
    if (word->name_length > WIRE_MAX)
        luaL_error(L, "types: a long name");
    for (size_t i = 0; i < word->name_length; i++) {
        char c = word->name[i], next = i + 1 < word->name_length ? word->name[i + 1] : '\0';
        if (c == '_' && next >= 'a' && next <= 'z')
            camel[n++] = (char)(next - 'a' + 'A'), i++;
        else if (c != '_' || next < '0' || next > '9')
            camel[n++] = c;
    }
    lua_pushlstring(L, camel, n);
}

static void read_kind(lua_State *L, struct lgem_shapes *shapes, int pool, const char *text, size_t n,
    struct lgem_field *field) /* [-0,+0,v] */
{
    if (*text == '[' && n > 2) {
        field->list = true;
        text++, n -= 2;
    }
    if (n > 0 && *text == '{') {
        field->kind = LGEM_STRUCT;
        return;
    }
    if (n > 0 && *text >= 'A' && *text <= 'Z') {
        lua_pushlstring(L, text, n);
        field->type = lua_tostring(L, -1);
        field->kind = LGEM_OBJECT;
        put(L, shapes, pool);
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].word) == n && memcmp(kinds[i].word, text, n) == 0) {
            field->kind = kinds[i].kind;
            return;
        }
    }
    luaL_error(L, "types: kind %s is not known", text);
}

/* Whether a set of names, or nil, at that index has this one. [-0,+0,e] */
static bool has(lua_State *L, int set, const struct word *word)
{
    if (!lua_istable(L, set))
        return false;
    lua_pushlstring(L, word->name, word->name_length);
    lua_gettable(L, set);
    bool found = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return found;
}

static void enter(struct lgem_shape *shape, unsigned i) /* into the hash */
{
    unsigned at = hash_of(shape->fields[i].wire, shape->fields[i].wire_length);
    while (shape->hash[at & (shape->slots - 1)] != 0)
        at++;
    shape->hash[at & (shape->slots - 1)] = (unsigned char)(i + 1);
}

/* Of the table at the top. [-0,+0,v] */
static void read_fields(lua_State *L, struct lgem_shapes *shapes, int pool, struct lgem_shape *shape, const char *text)
{
    int apart = lua_gettop(L) + 1, ends = apart + 1;
    bool as_is = *text == '~';
    struct word word;
    lgem_rawfield(L, apart - 1, "apart");
    lgem_rawfield(L, apart - 1, "ends");
    shape->index = -1;
    text += as_is;
    for (unsigned i = 0; next_word(&text, &word); i++) {
        struct lgem_field *field = &shape->fields[i];
        push_wire(L, &word, as_is);
        field->wire = lua_tolstring(L, -1, &field->wire_length);
        field->wire_key = put(L, shapes, pool);
        lua_pushlstring(L, word.name, word.name_length);
        field->key = put(L, shapes, pool);
        read_kind(L, shapes, pool, word.kind, word.kind_length, field);
        if (has(L, apart, &word))
            shape->apart |= UINT32_C(1) << i % 32;
        if (has(L, ends, &word))
            shape->ends |= UINT32_C(1) << i % 32;
        if (shape->role == LGEM_CANDIDATE && strcmp(field->wire, "index") == 0)
            shape->index = (int)i;
        enter(shape, i);
    }
    lua_pop(L, 2);
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
    const char *text = lgem_textfield(L, lua_gettop(L), "fields");
    unsigned n = 0;
    if (text == NULL)
        luaL_error(L, "types: fields expected");
    struct word word;
    for (const char *at = text + (*text == '~'); next_word(&at, &word);)
        n++;
    if (n > FIELDS_MAX)
        luaL_error(L, "types: too many fields");
    struct lgem_shape *shape = new_shape(L, shapes, n);
    shape->role = role_of(L);
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
    read_fields(L, shapes, pool, shape, text);
    shape->name = kept; /* last: now it may be found */
    lua_pop(L, 1);
    return shape;
}

struct lgem_shape *lgem_findshape(lua_State *L, struct lgem_shapes *shapes, int pool, const char *name)
{
    for (struct lgem_shape *shape = shapes->first; shape != NULL; shape = shape->next)
        if (shape->name != NULL && strcmp(shape->name, name) == 0)
            return shape;
    luaL_checkstack(L, SLOTS_OF_MAKE, "JSON is nested too deeply");
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
