/* The library's Lua files as data, which scripts/bundle.lua writes. */
#ifndef GEM_EMBEDDED_H
#define GEM_EMBEDDED_H

#include <stddef.h>

struct lgem_file {
    const char *module; /* "lgemini.errors" */
    const char *chunk;  /* what messages call it: "@lgemini/errors.lua" */
    const char *text;
    size_t size;
};

extern const struct lgem_file lgem_files[]; /* ended by one without a name */

#endif
