/* What the binding's files share: the module's tables, argument checks, errors as Lua sees them, counts of what is alive.
 *
 * Each lua_<module>.c is one userdata type with one idempotent close behind :close(), __close and __gc. A
 * constructor makes its closed object first and acquires into it, so that an error never loses a resource.
 * Marks are Lua's own: [-popped, +pushed, raises]. */
#ifndef GEM_BINDING_LUA_CORE_H
#define GEM_BINDING_LUA_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "../core/err.h"
#include "../core/mem.h"
#include "compat.h"

enum lgem_kind { LGEM_BODY, LGEM_ROUTE, LGEM_EXCHANGE, LGEM_LOOP, LGEM_UPLOAD, LGEM_SHA256, LGEM_ENCODER, LGEM_DECODER,
                 LGEM_SHAPES, LGEM_ANSWER, LGEM_KINDS };

/* One for each Lua state, anchored in its registry. Objects keep its address: finalisers all run before Lua frees
 * any memory, so it outlives them. */
struct lgem_state {
    const struct gem_mem *mem;   /* the host's, a copy of which is here, else the C library's */
    struct gem_mem host_mem;
    bool curl_ready;             /* libcurl is set up: by the host, or for this state */
    int alive[LGEM_KINDS];       /* open objects, for leak checks */
    int owed;                    /* KiB that the collector does not know of yet */
};

/* NULL where there is none yet. [-0,+0,m] */
struct lgem_state *lgem_state(lua_State *L);

/* Makes it, where there is none yet. mem: copied; NULL for the C library's heap. curl_ready: whether the host has set
 * libcurl up. [-0,+0,m] */
void lgem_open_state(lua_State *L, const struct gem_mem *mem, bool curl_ready);

/* Makes a zeroed userdata of the kind, with user values 1..slots. Its close must cope with all zeroes. [-0,+1,m] */
void *lgem_new(lua_State *L, size_t size, int slots, enum lgem_kind kind);

/* The userdata at arg, whether open or closed. In a method argument 1 is its own object, of its own kind. [-0,+0,v] */
void *lgem_check(lua_State *L, int arg, enum lgem_kind kind);

/* The userdata at index, or NULL where it is something else. [-0,+0,-] */
void *lgem_test(lua_State *L, int index, enum lgem_kind kind);

/* Raises "attempt to use a closed <kind>". */
int lgem_closed(lua_State *L, enum lgem_kind kind);

/* Registers the kind's metatable: its methods, and close as __gc and __close too. close may run many times, raises
 * for an argument that is no such object and for nothing else, and calls no Lua. [-0,+0,m] */
void lgem_type(lua_State *L, enum lgem_kind kind, const luaL_Reg *methods, lua_CFunction close);

/* Pushes nil and the error as a table: kind, message, and clock, offset where they say something. Returns 2. [-0,+2,m] */
int lgem_fail(lua_State *L, const struct gem_err *err);
void lgem_pusherror(lua_State *L, const struct gem_err *err);

/* A whole number of bytes in 0..2^53. [-0,+0,v] */
int64_t lgem_checkbytes(lua_State *L, int arg);

/* A text without NUL, which C would cut short. [-0,+0,v] */
const char *lgem_checktext(lua_State *L, int arg);

/* Seconds: not NaN, not negative; infinity allowed. [-0,+0,v] */
double lgem_checkseconds(lua_State *L, int arg);

/* Fields of the table at argument arg, read without metamethods: its strings stay anchored in it. What is wrong with
 * one is the argument's error and names the field. Absent: NULL, `otherwise`, 0, false. [-0,+0,v] */
const char *lgem_textfield(lua_State *L, int arg, const char *name);
int64_t lgem_bytesfield(lua_State *L, int arg, const char *name, int64_t otherwise);
double lgem_secondsfield(lua_State *L, int arg, const char *name);
bool lgem_flagfield(lua_State *L, int arg, const char *name);

/* The same of a value at index, which is that field's. [-0,+0,v] */
int64_t lgem_bytesvalue(lua_State *L, int index, int arg, const char *name, int64_t otherwise);
double lgem_secondsvalue(lua_State *L, int index, int arg, const char *name);

/* Pushes the field. [-0,+1,m] */
void lgem_rawfield(lua_State *L, int arg, const char *name);

/* Raises the argument's error, which names the field. */
int lgem_fielderror(lua_State *L, int arg, const char *name, const char *why);

/* A whole number: an integer where this Lua has integers. [-0,+1,-] */
void lgem_pushbytes(lua_State *L, int64_t n);

/* The descriptor of an open io library handle; still the handle's. What the program wrote to it is in the file then.
 * [-0,+0,v] */
int lgem_checkfile(lua_State *L, int arg);

/* Before a string of n bytes is made in a step that has little time: the collector, which would go round at once for it,
 * hears of it piece by piece from lgem_repay. Where very much is owed already it hears of it at once. [-0,+0,e] */
void lgem_owe(lua_State *L, struct lgem_state *state, size_t n);

/* Lets the collector work off a piece of what is owed at least, and more until the instant. [-0,+0,e] */
void lgem_repay(lua_State *L, struct lgem_state *state, double end);

/* One function for each file: pushes what lgemini.core has under the module's name. [-0,+1,m] */
void lgem_open_base64(lua_State *L);
void lgem_open_body(lua_State *L);
void lgem_open_upload(lua_State *L);
void lgem_open_sha256(lua_State *L);
int lgem_sign_rs256(lua_State *L);
void lgem_open_exchange(lua_State *L);
void lgem_open_loop(lua_State *L);
void lgem_open_answer(lua_State *L);

#endif
