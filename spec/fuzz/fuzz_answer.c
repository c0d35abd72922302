#define FUZZ_CHECK "spec/fuzz/answer.lua"
#include "fuzz_lua_json.h"
