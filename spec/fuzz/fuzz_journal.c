#define FUZZ_CHECK "spec/fuzz/journal.lua"
#include "fuzz_lua_json.h"
