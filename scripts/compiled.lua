-- What a Lua file is compiled to, for compile.lua and bundle.lua: function(text, name) -> bytes. For Lua 5.4 without
-- the names of local variables, which are a third of the strings in it. Lines of errors and stack traces stay, and so
-- do the names of fields and upvalues.

-- As ldump.c of Lua 5.4 writes it.
local function without_locals(code)
  assert(code:sub(1, 6) == "\27LuaT\0" and code:sub(13, 15) == "\4\8\8", "not of Lua 5.4")
  local at, pieces, from = 33, {}, 1
  local function skip(n)
    at = at + n
  end
  local function byte()
    skip(1)
    return assert(code:byte(at - 1))
  end
  local function size()
    local n, digit = 0
    repeat
      digit = byte()
      n = n * 128 + digit % 128
    until digit >= 128
    return n
  end
  local function text()
    skip(math.max(size() - 1, 0))
  end
  local function each(fn, ...)
    for _ = 1, size() do fn(...) end
  end
  local widths = { [3] = 8, [19] = 8 } -- of integers and floats
  local function constant()
    local kind = byte()
    if kind == 4 or kind == 20 then text() else skip(widths[kind] or 0) end
  end
  local function pair()
    size()
    size()
  end
  local function variable()
    text()
    pair()
  end
  local function proto()
    text()             -- its source
    pair()             -- its lines
    skip(3)
    each(skip, 4)      -- instructions
    each(constant)
    each(skip, 3)      -- upvalues
    each(proto)
    each(skip, 1)      -- lines of instructions
    each(pair)
    pieces[#pieces + 1] = code:sub(from, at - 1) .. "\128" -- none
    each(variable)
    from = at
    each(text)         -- names of upvalues
  end
  proto()
  return table.concat(pieces) .. code:sub(from)
end

return function(text, name)
  local load = loadstring or load -- luacheck: ignore 113 (5.1's)
  local code = string.dump(assert(load(text, "=lgemini/" .. name .. ".lua")))
  local ok, less = pcall(without_locals, code)
  if not ok then return code end
  assert(string.dump(assert(load(less))) == less) -- it was understood
  return less
end
