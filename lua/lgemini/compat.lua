--- What Lua 5.1 to 5.4 and LuaJIT do not share. Everything else is written in what they have in common.

local compat = {}

compat.unpack = table.unpack or unpack -- luacheck: ignore 143 (5.1 has only the second)

--- The number as an integer, nil where it is none. Nil itself where Lua has no integers: before 5.3.
---@type (fun(n: number): integer|nil)|nil
compat.tointeger = rawget(math, "tointeger")

--- The number of characters of UTF-8; nil, and the position of the first byte that is wrong. Nil itself before 5.3.
---@type (fun(s: string): integer|nil, integer|nil)|nil
compat.utf8_len = rawget(_G, "utf8") and rawget(_G, "utf8").len

return compat
