--- The one door for JSON, on lua-cjson: Debian's 2.1.0 and the fork that LuaRocks carries behave the same behind it.
-- Here it is settled, once, that null is `json.null`, that arrays are marked (an empty one is told from an empty
-- object), that whole numbers are integers where Lua has them, and what is refused.
--
-- Not promised: a whole number of 2^53 or more that arrives as a JSON number may have lost digits before Lua sees it
-- (cjson 2.1.0 reads every number as a double). The API sends its 64-bit numbers as strings for that reason.

local cjson = require "cjson"

local compat = require "lgemini.compat"

local byte, find, format, gsub, sub = string.byte, string.find, string.format, string.gsub, string.sub
local floor, huge = math.floor, math.huge
local getmetatable, setmetatable, pairs, pcall, type = getmetatable, setmetatable, pairs, pcall, type
local tointeger, utf8_len = compat.tointeger, compat.utf8_len -- nil before 5.3

local MAX_DEPTH = 100 -- where the caller says none
local MAX_EXACT = 2 ^ 53
local QUOTE, BACKSLASH = byte '"', byte "\\"

-- Where cjson has a mark of its own (the fork), it is ours too: what we decode, the user's cjson encodes as arrays.
local array_mt = cjson.array_mt or { __name = "lgemini.array" }

local json = { null = cjson.null }

local decoder, quoter

local function renew()
  decoder = cjson.new()
  decoder.decode_invalid_numbers(false)
  quoter = cjson.new()
  quoter.encode_keep_buffer(false) -- six times the longest string, else
end

renew()

--- Marks a table as an array, so that it is one even when it is empty.
---@param t table|nil  a new table when left out
---@return table t  the same table
function json.array(t)
  return setmetatable(t or {}, array_mt)
end

--- Whether a table carries the mark of `json.array`. (A sequence without the mark is an array too, for an encoder.)
---@param t any
---@return boolean
function json.is_array(t)
  return type(t) == "table" and getmetatable(t) == array_mt
end

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

-- A second try has a new decoder: cjson notes the locale's decimal point when it is made, and the locale may change.
local function parse(text, max_depth)
  decoder.decode_max_depth(max_depth)
  local ok, value = pcall(decoder.decode, text)
  if not ok then
    renew()
    decoder.decode_max_depth(max_depth)
    ok, value = pcall(decoder.decode, text)
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
    setmetatable(t, array_mt)
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
local function overflows(text, max_depth)
  if not find(text, "%d[eE]%+?%d%d%d") and not find(text, LONG) then
    return false
  end
  local ok, value = parse(text, max_depth)
  local state = { filled = 0, infinite = 0 }
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

--- Reads one JSON text. Objects and arrays become new tables, null becomes `json.null`.
---@param text string
---@param max_depth integer|nil  levels of arrays and objects within each other, 100 when left out
---@return any value  nil only together with a message
---@return string|nil message  what is wrong and where, never the text itself
---@return true|nil too_deep   whether that is the reason
function json.decode(text, max_depth)
  local zero = find(text, "\0", 1, true) -- cjson would take it for the end
  if zero then
    return nil, format("not valid JSON: zero byte at character %d", zero)
  end
  local filled, count = fill_empty_arrays(text)
  max_depth = max_depth or MAX_DEPTH
  local ok, value = parse(filled, max_depth)
  if not ok then
    if count > 0 then
      local _
      _, value = parse(text, max_depth) -- for positions in the text that the sender wrote
    end
    return nil, complaint(value)
  end
  local state = { filled = 0, infinite = 0 }
  if type(value) == "table" then
    settle(value, state)
  elseif type(value) == "number" then
    value = number(value, state)
  end
  if state.infinite > 0 or state.filled > count or (count > 0 and overflows(text, max_depth)) then
    return nil, "not valid JSON: a number is out of range"
  end
  return value
end

-- Byte position of the first sequence that is not UTF-8, or nil. For Lua without the utf8 library.
local function first_invalid(s)
  local at = find(s, "[\128-\255]")
  while at do
    local lead, second = byte(s, at, at + 1)
    local more, low, high
    if lead >= 194 and lead <= 223 then
      more, low, high = 1, 128, 191
    elseif lead >= 224 and lead <= 239 then
      more, low, high = 2, lead == 224 and 160 or 128, lead == 237 and 159 or 191
    elseif lead >= 240 and lead <= 244 then
      more, low, high = 3, lead == 240 and 144 or 128, lead == 244 and 143 or 191
    else
      return at
    end
    if not second or second < low or second > high then
      return at
    end
    for i = at + 2, at + more do
      local follow = byte(s, i)
      if not follow or follow < 128 or follow > 191 then
        return at
      end
    end
    at = find(s, "[\128-\255]", at + more + 1)
  end
end

if utf8_len then
  local portable = first_invalid
  first_invalid = function(s)
    local length, at = utf8_len(s)
    if not length then
      return at
    elseif find(s, "\237[\160-\191]") then -- surrogates, which Lua 5.3 lets pass
      return portable(s)
    end
  end
end

--- The JSON text of a string, quotes included.
---@param s string
---@return string|nil text
---@return string|nil message  where `s` is not UTF-8 (bytes counted from 1): the service refuses such a request
function json.quote(s)
  local _, plain = find(s, "^[_-~ 0-[#-.!%]^]*") -- lua-cjson would give these back as they are
  if plain == #s then
    return '"' .. s .. '"'
  end
  local at = first_invalid(s)
  if at then
    return nil, format("not valid UTF-8 at byte %d", at)
  end
  return quoter.encode(s)
end

--- The JSON text of a number: whole numbers below 2^63 as digits, others with as few of 15 to 17 digits as give the
--- same number back. A decimal comma of the locale does not show.
---@param n number
---@return string|nil text
---@return string|nil message  for NaN and the infinities, which JSON has not
function json.number(n)
  if n ~= n or n == huge or n == -huge then
    return nil, "not a finite number"
  elseif n == floor(n) and n >= -2 ^ 63 and n < 2 ^ 63 then
    if n == 0 then
      return "0" -- of -0 too
    elseif tointeger and tointeger(n) then
      return format("%d", n)
    end
    return format("%.0f", n)
  end
  for digits = 15, 17 do
    local text = format("%." .. digits .. "g", n)
    if digits == 17 or tonumber(text) == n then
      return (gsub(text, "[^%d%+%-e]+", "."))
    end
  end
end

return json
