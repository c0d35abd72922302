#include "lua_alike.h"

void lgem_initalike(struct lgem_alike *k, const struct gem_mem *mem, size_t most, bool is_said)
{
    lgem_initcast(&k->cast, mem);
    gem_rope_init(&k->said, mem);
    gem_buf_init(&k->before, mem, most);
    k->most = most;
    k->is_said = is_said;
}

void lgem_freealike(struct lgem_alike *k)
{
    lgem_freecast(&k->cast);
    gem_rope_free(&k->said);
    gem_buf_free(&k->before);
}

bool lgem_isalike(struct lgem_alike *k, struct lgem_builder *b, const char *event, size_t n, bool texts)
{
    if (texts && k->is_said && !k->asked && !k->has_last && !k->cast.mold.ready) {
        k->asked = true;
        lgem_borrow(&k->cast, b, k->most);
    }
    return (texts || k->cast.tables) && gem_mold_match(&k->cast.mold, &b->json, event, n);
}

bool lgem_keepalike(struct lgem_alike *k)
{
    const struct gem_mold *mold = &k->cast.mold;
    k->has_last = true;
    k->over = k->over || mold->length > k->room - k->said.len;
    return k->over || gem_rope_add(&k->said, mold->text, mold->length, NULL) == 0;
}

/* ---- learning ---- */

/* The values of chunks that do not change, for tables like the one at hand. Pushes their table; its index. [-0,+1,m] */
static int push_values(lua_State *L, const struct lgem_site *at, int slot)
{
    lua_getiuservalue(L, at->owner, slot);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_createtable(L, GEM_MOLD_PLACES, 0);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, at->owner, slot);
    }
    return lua_gettop(L);
}

/* Of an event that says that it is the last, and has a form of its own as most do: what was known is what the next
 * stream wants, and the last of the events that had that form is kept. false: where memory is short */
static bool is_tail(struct lgem_alike *k, const struct lgem_builder *b)
{
    const struct gem_buf *last = &k->cast.mold.last;
    if (!b->ends || !k->cast.mold.ready || k->cast.ends || k->before.len > 0)
        return false;
    return !k->has_last || gem_buf_add(&k->before, gem_buf_head(last), last->len, NULL) == 0;
}

bool lgem_learnalike(lua_State *L, struct lgem_alike *k, struct lgem_builder *b, const struct lgem_site *at, int values,
                     const char *event, size_t n, bool texts)
{
    bool tail = texts && is_tail(k, b);
    if (b->ends && !texts)
        return false;
    k->cast.mold.ready = false;
    if (k->has_last && !tail)
        return false;
    k->has_last = false;
    k->cast.ends = b->ends;
    lgem_learn(L, &k->cast, b, event, n, texts ? 0 : push_values(L, at, values));
    lua_settop(L, at->base + 1);
    if (!texts || !gem_mold_match(&k->cast.mold, &b->json, event, n))
        return false;
    if (!tail)
        lgem_bequeath(&k->cast, b, k->most);
    return true;
}

/* ---- what was said ---- */

bool lgem_hassaid(const struct lgem_alike *k)
{
    return k->has_last || k->before.len > 0;
}

/* The event goes to the end of the list at the top. [-0,+0,m] */
static void add_event(lua_State *L, const struct gem_buf *event)
{
    lua_pushlstring(L, gem_buf_head(event), event->len);
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
}

void lgem_pushsaid(lua_State *L, struct lgem_alike *k)
{
    size_t n;
    const char *head;
    lua_newtable(L);
    for (int i = 1; (head = gem_rope_head(&k->said, &n)) != NULL; i++) {
        lua_pushlstring(L, head, n);
        lua_rawseti(L, -2, i);
        gem_rope_drop(&k->said);
    }
    lua_newtable(L);
    if (k->before.len > 0)
        add_event(L, &k->before);
    if (k->has_last)
        add_event(L, &k->cast.mold.last);
    lua_pushboolean(L, k->over);
    k->has_last = false;
    gem_buf_free(&k->before);
}
