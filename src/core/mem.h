/* Memory: the one door to the allocator, and the only place that calls malloc, realloc or free.
 *
 * An allocator has the shape of Lua's: one function, and every block's size comes back with it when it is
 * resized or freed, so that a host can count or cap without keeping sizes of its own.
 *
 * The table belongs to whoever made it and must outlive all that was allocated through it. Its function may
 * be called from any thread that uses an object made with it, and from inside libcurl's callbacks: it must
 * not raise a Lua error, jump, or come back into this library.
 *
 * Callers check every result for NULL. A count of 0 bytes asks for nothing and is answered with NULL too, so
 * a caller that may need none asks first. */
#ifndef GEM_CORE_MEM_H
#define GEM_CORE_MEM_H

#include <stddef.h>

struct gem_mem {
    /* ptr NULL (old_size 0): allocate. new_size 0: free, which cannot fail. Otherwise resize, keeping the
     * bytes both sizes have; on failure NULL, and the old block stays as it was. */
    void *(*realloc)(void *ud, void *ptr, size_t old_size, size_t new_size);
    void *ud;
};

/* The C library's heap. Valid for ever, safe from any thread. */
const struct gem_mem *gem_mem_default(void);

/* Uninitialised bytes, aligned for any type; NULL where there are none left or n is 0. */
void *gem_mem_alloc(const struct gem_mem *mem, size_t n);

/* The same for count * size bytes; NULL also where the product does not fit a size_t. The size to give back
 * to gem_mem_free is that product. */
void *gem_mem_array(const struct gem_mem *mem, size_t count, size_t size);

/* NULL on failure, and then ptr is still the caller's. new_size must not be 0. */
void *gem_mem_resize(const struct gem_mem *mem, void *ptr, size_t old_size, size_t new_size);

/* n: the size the block was last given. ptr may be NULL. */
void gem_mem_free(const struct gem_mem *mem, void *ptr, size_t n);

#endif
