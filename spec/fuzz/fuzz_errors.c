#define FUZZ_CHECK "spec/fuzz/errors.lua"
#include "fuzz_lua_json.h"
