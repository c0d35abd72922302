--- What Lua 5.1 to 5.4 and LuaJIT do not share. Everything else is written in what they have in common.

local compat = {}

compat.unpack = table.unpack or unpack -- luacheck: ignore 143 (5.1 has only the second)

--- The number as an integer, nil where it is none. Nil itself where Lua has no integers: before 5.3.
---@type (fun(n: number): integer|nil)|nil
compat.tointeger = rawget(math, "tointeger")

--- The number of characters of UTF-8; nil, and the position of the first byte that is wrong. Nil itself before 5.3.
---@type (fun(s: string): integer|nil, integer|nil)|nil
compat.utf8_len = rawget(_G, "utf8") and rawget(_G, "utf8").len

-- nginx ties what its own functions of these names make to the request that made it, and crashes where another one goes
-- on with it, as requests do that share a loop. It keeps Lua's own with an underscore.
for _, name in ipairs { "create", "resume", "status", "yield" } do
  compat[name] = rawget(coroutine, "_" .. name) or coroutine[name]
end

return compat
