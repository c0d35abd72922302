/* In the place of embedded.c where lgemini.lua is a file of its own, which `require` finds: dist/lgemini.c. */
#include "embedded.h"

const struct lgem_file lgem_files[] = {{NULL, NULL, NULL, 0}};
