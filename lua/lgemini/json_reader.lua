--- Reads JSON for json.lua, with a decoder of lua-cjson's: what cjson leaves open about arrays, numbers and errors is
-- settled here.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"

local byte, find, format, gsub, sub = string.byte, string.find, string.format, string.gsub, string.sub
local huge, pairs, pcall, setmetatable, type = math.huge, pairs, pcall, setmetatable, type
local tointeger = compat.tointeger -- nil before 5.3

local MAX_DEPTH = 100 -- where the caller says none
local MAX_EXACT = 2 ^ 53
local QUOTE, BACKSLASH = byte '"', byte "\\"

local json_reader = {}

-- Position of the quote that ends the string whose text starts at `at`; the end of the text where there is none.
local function string_end(text, at)
  local quote = at - 1
  while true do
    quote = find(text, '"', quote + 1, true)
    if not quote then
      return #text
    end
    local before = quote - 1
    while byte(text, before) == BACKSLASH do
      before = before - 1
    end
    if (quote - before) % 2 == 1 then -- an even number of backslashes: they quote each other
      return quote
    end
  end
end

-- Whether [] or [ ] occurs, be it within a string. Plain finds: an event may be megabytes of base64.
local function may_have_empty_array(text)
  local at = find(text, "[", 1, true)
  while at do
    if find(text, "^[ \t\r\n]*%]", at + 1) then
      return true
    end
    at = find(text, "[", at + 1, true)
  end
  return false
end

-- cjson drops the difference of [] and {}. So each empty array gets a member that no other array can have: a number
-- out of range, which cjson reads as infinity. `settle` takes them out again and counts them: more than were put in
-- came from the sender and are refused. (Fewer is possible: the sender gave one name twice.)
local function fill_empty_arrays(text)
  if not may_have_empty_array(text) then
    return text, 0
  end
  local pieces, count, from, at = {}, 0, 1, 1
  while true do
    at = find(text, '["%[]', at)
    if not at then
      break
    elseif byte(text, at) == QUOTE then
      at = string_end(text, at + 1) + 1
    else
      local _, last = find(text, "^[ \t\r\n]*%]", at + 1)
      if last then
        count = count + 1
        pieces[count] = sub(text, from, at)
        from = last
      end
      at = (last or at) + 1
    end
  end
  pieces[count + 1] = sub(text, from)
  return table.concat(pieces, "1e999"), count
end

local function renew(reader)
  reader.decoder = reader.cjson.new()
  reader.decoder.decode_invalid_numbers(false)
end

-- A second try has a new decoder: cjson notes the locale's decimal point when it is made, and the locale may change.
local function parse(reader, text, max_depth)
  reader.decoder.decode_max_depth(max_depth)
  local ok, value = pcall(reader.decoder.decode, text)
  if not ok then
    renew(reader)
    reader.decoder.decode_max_depth(max_depth)
    ok, value = pcall(reader.decoder.decode, text)
  end
  return ok, value
end

local function number(n, state)
  if n >= huge or n <= -huge then
    state.infinite = state.infinite + 1
  elseif tointeger and n < MAX_EXACT and n > -MAX_EXACT then
    return tointeger(n) or n
  end
  return n
end

-- Marks arrays and makes integers, in place. Recursion is bounded by the depth that was let in.
local function settle(t, state)
  if t[1] ~= nil then -- keys of objects are strings, so this is an array
    setmetatable(t, state.mark)
    if t[1] == huge and t[2] == nil then
      state.filled = state.filled + 1
      t[1] = nil
    end
  end
  for key, value in pairs(t) do
    local kind = type(value)
    if kind == "number" then
      t[key] = number(value, state)
    elseif kind == "table" then
      settle(value, state)
    end
  end
end

local LONG = ("%d"):rep(300)

-- Whether the sender's own numbers are out of range. `settle` could not tell one from ours where another of ours was
-- dropped: of a name that was given twice.
local function overflows(reader, text, max_depth)
  if not find(text, "%d[eE]%+?%d%d%d") and not find(text, LONG) then
    return false
  end
  local ok, value = parse(reader, text, max_depth)
  local state = { mark = reader.mark, filled = 0, infinite = 0 }
  if ok and type(value) == "table" then
    settle(value, state)
  end
  return state.filled + state.infinite > 0
end

-- cjson's names in its messages.
local TOKENS = {
  T_OBJ_BEGIN = "{",
  T_OBJ_END = "}",
  T_ARR_BEGIN = "[",
  T_ARR_END = "]",
  T_STRING = "a string",
  T_NUMBER = "a number",
  T_INTEGER = "a number",
  T_BOOLEAN = "a boolean",
  T_NULL = "null",
  T_COLON = "a colon",
  T_COMMA = "a comma",
  T_END = "the end",
}

local function complaint(text)
  local depth, at = string.match(text, "^Found too many nested data structures %((%d+)%) at character (%d+)")
  if at then
    return format("JSON nested deeper than %d levels at character %s", depth - 1, at), true
  end
  text = gsub(text, "^%u", string.lower)
  return "not valid JSON: " .. gsub(text, "T_[A-Z_]+", TOKENS)
end

local function decode(reader, text, max_depth)
  local zero = find(text, "\0", 1, true) -- cjson would take it for the end
  if zero then
    return nil, format("not valid JSON: zero byte at character %d", zero)
  end
  local filled, count = fill_empty_arrays(text)
  max_depth = max_depth or MAX_DEPTH
  local ok, value = parse(reader, filled, max_depth)
  if not ok then
    if count > 0 then
      local _
      _, value = parse(reader, text, max_depth) -- for positions in the text that the sender wrote
    end
    return nil, complaint(value)
  end
  local state = { mark = reader.mark, filled = 0, infinite = 0 }
  if type(value) == "table" then
    settle(value, state)
  elseif type(value) == "number" then
    value = number(value, state)
  end
  if state.infinite > 0 or state.filled > count or (count > 0 and overflows(reader, text, max_depth)) then
    return nil, "not valid JSON: a number is out of range"
  end
  return value
end

--- json.decode.
---@param cjson table  the module
---@param mark table   of arrays
---@return fun(text: string, max_depth: integer|nil): any, string|nil, true|nil
function json_reader.new(cjson, mark)
  local reader = { cjson = cjson, mark = mark, decoder = nil }
  renew(reader)
  return function(text, max_depth)
    return decode(reader, text, max_depth)
  end
end

return json_reader
