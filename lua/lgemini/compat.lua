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
for _, name in ipairs { "create", "resume", "running", "status", "yield" } do
  compat[name] = rawget(coroutine, "_" .. name) or coroutine[name]
end

--- Whether that member is all there is. `next` with a key would say it, too, but traces of LuaJIT 2.1, as Debian 12 has
--- it, crashed where it stood.
---@param value table
---@param name any
---@return boolean
function compat.has_only(value, name)
  for key in pairs(value) do
    if key ~= name then return false end
  end
  return value[name] ~= nil
end

return compat
