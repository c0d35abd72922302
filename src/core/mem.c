#include "mem.h"

#include <stdint.h>
#include <stdlib.h>

static void *heap_realloc(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    (void)ud;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

const struct gem_mem *gem_mem_default(void)
{
    static const struct gem_mem heap = { heap_realloc, NULL };
    return &heap;
}

void *gem_mem_alloc(const struct gem_mem *mem, size_t n)
{
    return mem->realloc(mem->ud, NULL, 0, n);
}

void *gem_mem_array(const struct gem_mem *mem, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return gem_mem_alloc(mem, count * size);
}

void *gem_mem_resize(const struct gem_mem *mem, void *ptr, size_t old_size, size_t new_size)
{
    return mem->realloc(mem->ud, ptr, old_size, new_size);
}

void gem_mem_free(const struct gem_mem *mem, void *ptr, size_t n)
{
    if (ptr != NULL)
        mem->realloc(mem->ud, ptr, n, 0);
}
