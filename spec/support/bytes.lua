--- Byte expressions, as the conformance cases write them: a string, or a table
-- with one of $hex, $bytes, $base64, $text, $concat. The scripted server and the
-- specs share them, so that megabytes travel to the server as a few words.
local digest = require "openssl.digest"

local bytes = {}

local PERIOD = 251

local cycle
do
  local t = {}
  for i = 0, PERIOD - 1 do
    t[#t + 1] = string.char((i * 131 + 7) % PERIOD)
  end
  cycle = table.concat(t)
end

--- Byte i of the counter pattern is ((offset + i) * 131 + 7) mod 251.
---@param length integer
---@param offset integer|nil
---@return string
function bytes.counter(length, offset)
  local skip = (offset or 0) % PERIOD
  return cycle:rep(math.floor((skip + length) / PERIOD) + 1):sub(skip + 1, skip + length)
end

-- The two digits of each number of twelve bits.
local digits = {}
do
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for high = 0, 63 do
    for low = 0, 63 do
      digits[high * 64 + low] = alphabet:sub(high + 1, high + 1) .. alphabet:sub(low + 1, low + 1)
    end
  end
end

--- Standard base64 with padding. Plain and slow, and independent of the code under test.
---@param data string
---@return string
function bytes.base64(data)
  local out = {}
  for i = 1, #data, 3 do
    local a, b, c = data:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    local low = n % 4096
    out[#out + 1] = digits[(n - low) / 4096]
    out[#out + 1] = digits[low]
  end
  local padding = -#data % 3
  local text = table.concat(out)
  return text:sub(1, #text - padding) .. ("="):rep(padding)
end

--- The SHA-256 of `data`, as 64 lower-case hex digits.
---@param data string
---@return string
function bytes.sha256(data)
  return (digest.new("sha256"):final(data):gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

local expand

local KINDS = {
  ["$hex"] = function(hex)
    return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
  end,
  ["$bytes"] = function(spec)
    assert(spec.pattern == "counter", "unknown pattern")
    return bytes.counter(spec.length, spec.offset)
  end,
  ["$base64"] = function(inner) return bytes.base64(expand(inner)) end,
  ["$text"] = function(spec) return spec["repeat"]:rep(spec.times) end,
  ["$concat"] = function(list)
    local out = {}
    for i, item in ipairs(list) do out[i] = expand(item) end
    return table.concat(out)
  end,
}

--- Is `value` a table that stands for bytes?
---@param value any
---@return boolean
function bytes.is_expression(value)
  if type(value) ~= "table" then return false end
  for key in pairs(value) do
    if KINDS[key] then return true end
  end
  return false
end

--- The bytes that an expression stands for; a $sha256 beside it must agree.
---@param expression string|table
---@return string
function expand(expression)
  if type(expression) == "string" then return expression end
  for key, make in pairs(KINDS) do
    if expression[key] ~= nil then
      local data = make(expression[key])
      local wanted = expression["$sha256"]
      assert(wanted == nil or wanted == bytes.sha256(data), "the digest beside a byte expression is wrong")
      return data
    end
  end
  error("not a byte expression")
end
bytes.expand = expand

return bytes
