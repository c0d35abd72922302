--- The one door for JSON, on lua-cjson: Debian's 2.1.0 and the fork that LuaRocks carries behave the same behind it.
-- Here it is settled, once, that null is `json.null`, that arrays are marked (an empty one is told from an empty
-- object), that whole numbers are integers where Lua has them, and what is refused.
--
-- Not promised: a whole number of 2^53 or more that arrives as a JSON number may have lost digits before Lua sees it
-- (cjson 2.1.0 reads every number as a double). The API sends its 64-bit numbers as strings for that reason.

-- lua-cjson itself loads when it is needed, which for a call of texts it is not. That it is missing shows at once.

local compat = require "lgemini.compat"

local byte, find, format, gsub = string.byte, string.find, string.format, string.gsub
local floor, huge = math.floor, math.huge
local getmetatable, setmetatable, type = getmetatable, setmetatable, type
local tointeger, utf8_len = compat.tointeger, compat.utf8_len -- nil before 5.3

local libraries = rawget(_G, "package") or {}
if not (libraries.searchpath and libraries.searchpath("cjson", libraries.cpath)) then
  require "cjson"
end

---@class lgemini.json
---@field null any  lua-cjson's; loads it
local json = setmetatable({}, { __index = function(self, name)
  if name == "null" then
    self.null = require("cjson").null
    return self.null
  end
end })

local array_mt

--- The metatable that marks arrays. Where cjson has one of its own (the fork), that is ours too: what we decode, the
--- user's cjson encodes as arrays.
---@return table
function json.mark()
  array_mt = array_mt or require("cjson").array_mt or { __name = "lgemini.array" }
  return array_mt
end

--- Marks a table as an array, so that it is one even when it is empty.
---@param t table|nil  a new table when left out
---@return table t  the same table
function json.array(t)
  return setmetatable(t or {}, array_mt or json.mark())
end

-- Whether a table can have the mark before this file has asked for it: the user's cjson may have given it.
local function is_given()
  local loaded = libraries.loaded
  return not loaded or loaded["cjson"] or loaded["cjson.safe"]
end

--- Whether a table carries the mark of `json.array`. (A sequence without the mark is an array too, for an encoder.)
---@param t any
---@return boolean
function json.is_array(t)
  local mark = type(t) == "table" and getmetatable(t)
  return mark and (mark == array_mt or not array_mt and is_given() and mark == json.mark()) or false
end

local read

--- Reads one JSON text. Objects and arrays become new tables, null becomes `json.null`.
---@param text string
---@param max_depth integer|nil  levels of arrays and objects within each other, 100 when left out
---@return any value  nil only together with a message
---@return string|nil message  what is wrong and where, never the text itself
---@return true|nil too_deep   whether that is the reason
function json.decode(text, max_depth)
  read = read or require("lgemini.json_reader").new(require "cjson", json.mark())
  return read(text, max_depth)
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

local quoter

local function new_quoter()
  local instance = require("cjson").new()
  instance.encode_keep_buffer(false) -- six times the longest string, else
  return instance
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
  quoter = quoter or new_quoter()
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
