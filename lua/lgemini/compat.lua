--- What Lua 5.1 to 5.4 and LuaJIT do not share. Everything else is written in what they have in common.

local compat = {}

compat.unpack = table.unpack or unpack -- luacheck: ignore 143 (5.1 has only the second)

--- The number as an integer, nil where it is none. Nil itself where Lua has no integers: before 5.3.
---@type (fun(n: number): integer|nil)|nil
compat.tointeger = rawget(math, "tointeger")

--- The number of characters of UTF-8; nil, and the position of the first byte that is wrong. Nil itself before 5.3.
---@type (fun(s: string): integer|nil, integer|nil)|nil
compat.utf8_len = rawget(_G, "utf8") and rawget(_G, "utf8").len

local os_library = rawget(_G, "os") -- a host may leave it out

--- Seconds since 1970; 0 where there is no `os` to ask.
---@type fun(): integer
compat.time = os_library and os_library.time or function() return 0 end

--- `os.date`, or nil.
compat.date = os_library and os_library.date

--- What the environment says.
---@type fun(name: string): string|nil
compat.getenv = os_library and os_library.getenv or function() end

--- Whether there is an `io`: a host that leaves it out does not want files to be opened.
---@type boolean
compat.has_files = rawget(_G, "io") ~= nil

-- nginx ties what its own functions of these names make to the request that made it, and crashes where another one goes
-- on with it, as requests do that share a loop. It keeps Lua's own with an underscore.
for _, name in ipairs { "create", "resume", "running", "status", "yield" } do
  compat[name] = rawget(coroutine, "_" .. name) or coroutine[name]
end

-- LuaJIT 2.1 compiled loops of `pairs`, and `next`, for x64 so that half of a pointer could be lost, until April 2022:
-- beta3, as Debian 12 has it, crashes there, seldom and at any time.
local jit, inspect = rawget(_G, "jit"), rawget(_G, "debug")
compat.crashes = jit and jit.arch == "x64" and jit.version_num < 20199 and inspect and inspect.getinfo ~= nil

--- Every file calls it that goes over tables: where LuaJIT would crash, its interpreter runs the functions of the file.
function compat.goes_over_tables()
  if compat.crashes then
    jit.off(inspect.getinfo(2, "f").func, true)
  end
end

compat.goes_over_tables()

--- Whether that member is all there is.
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
