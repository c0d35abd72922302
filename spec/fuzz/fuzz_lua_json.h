/* A whole target, for a check in Lua whose input is JSON or holds some: define FUZZ_CHECK as its path, then include
 * this. */
#include "fuzz_json.h"
#include "fuzz_lua.h"

static struct fuzz_lua *open_once(void)
{
    static const luaL_Reg none[] = {{NULL, NULL}};
    static struct fuzz_lua fuzz;
    fuzz_open(&fuzz, FUZZ_CHECK, none);
    return &fuzz;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_check(open_once(), data, size);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct fuzz_lua *fuzz = open_once();
    if (seed % 4 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    return fuzz_mutate_json(data, size, max_size, seed, fuzz->names, fuzz->count);
}
