--- Numbers in bytes, and bytes by their place: what the readers of media headers (media_*.lua) stand on.
--
-- A reader goes over a `Bytes`, never over a whole file. What it cannot make sense of it gives up with `broken`; the
-- one who called it (media_facts.lua) turns that into an error. Every loop of a reader takes a `step` for each round
-- and moves on by at least a byte, so that no file can hold it for long.

local byte, floor, sub = string.byte, math.floor, string.sub

local binary = {}

-- Bytes that are read at once and kept: most headers stand close together.
local WINDOW = 16384
-- Rounds of all loops over one file together. The longest sound that the service takes, nine and a half hours, has 1.6
-- million frames of AAC at 48 kHz.
local STEPS = 2e6

---@class lgemini.Bytes
---@field size integer
---@field private fetch fun(offset: integer, n: integer): string|nil, lgemini.Error|nil
---@field private from integer  where the window begins
---@field private window string
---@field private steps integer
local Bytes = { __name = "lgemini.Bytes" }
Bytes.__index = Bytes

---@param size integer
---@param fetch function  function(offset, n) -> bytes, fewer than n at the end only; or nil, err
---@return lgemini.Bytes
function binary.bytes(size, fetch)
  return setmetatable({ size = size, fetch = fetch, from = 0, window = "", steps = 0 }, Bytes)
end

--- What `broken` raises: a table of its own, so that a mistake in a reader does not look like one in a file.
---@class lgemini.Broken
---@field message string             what is wrong, to be put behind the name of the file
---@field err lgemini.Error|nil      where the file could not be read at all
local Broken = {}

--- Gives up: raises a lgemini.Broken.
---@param message string
function Bytes:broken(message, ...) -- luacheck: ignore 212 (self: it reads as a method)
  error(setmetatable({ message = message:format(...) }, Broken), 0)
end

---@param value any
---@return boolean
function binary.is_broken(value)
  return type(value) == "table" and getmetatable(value) == Broken
end

--- A round of a loop; gives up after two million.
function Bytes:step()
  self.steps = self.steps + 1
  if self.steps > STEPS then
    self:broken("has more than %d parts", STEPS)
  end
end

--- The bytes from an offset (from 0) on: fewer than `n` at the end, "" behind it.
---@param offset integer
---@param n integer
---@return string
function Bytes:read(offset, n)
  local from, window = self.from, self.window
  if offset >= from and offset + n <= from + #window then
    return sub(window, offset - from + 1, offset - from + n)
  elseif offset >= self.size then
    return ""
  end
  local bytes, err = self.fetch(offset, math.min(math.max(n, WINDOW), self.size - offset))
  if not bytes then
    error(setmetatable({ message = "cannot be read", err = err }, Broken), 0)
  end
  self.from, self.window = offset, bytes
  return sub(bytes, 1, n)
end

--- The same, exactly `n` bytes: gives up where they are not there.
---@param offset integer
---@param n integer
---@return string
function Bytes:need(offset, n)
  local bytes = self:read(offset, n)
  if #bytes < n then
    self:broken("ends early, at byte %d", self.size)
  end
  return bytes
end

--- An unsigned number, the high byte first. Beyond six bytes it is a float on every Lua: no file wraps it around.
---@param s string
---@param at integer  its first byte, from 1; all of it is there
---@param n integer   bytes
---@return number
function binary.be(s, at, n)
  local value = n > 6 and 0.0 or 0
  for i = at, at + n - 1 do
    value = value * 256 + byte(s, i)
  end
  return value
end

--- The same, the low byte first.
---@param s string
---@param at integer
---@param n integer
---@return number
function binary.le(s, at, n)
  local value = n > 6 and 0.0 or 0
  for i = at + n - 1, at, -1 do
    value = value * 256 + byte(s, i)
  end
  return value
end

--- A float of IEEE 754 of four or eight bytes, the high byte first.
---@param s string
---@return number|nil value  nil for infinities, for what is no number, and for other lengths
function binary.float(s)
  local bits, fraction_bytes, split = 8, 2, 128
  if #s == 8 then
    bits, fraction_bytes, split = 11, 6, 16
  elseif #s ~= 4 then
    return nil
  end
  local head = binary.be(s, 1, 2)
  local sign, exponent = head >= 32768 and -1 or 1, floor(head % 32768 / split)
  local width = 256 ^ fraction_bytes
  local fraction = (head % split * width + binary.be(s, 3, fraction_bytes)) / (split * width)
  local bias = 2 ^ (bits - 1) - 1
  if exponent == 2 ^ bits - 1 then
    return nil
  elseif exponent == 0 then
    return sign * fraction * 2 ^ (1 - bias)
  end
  return sign * (1 + fraction) * 2 ^ (exponent - bias)
end

return binary
