--- Unpacks what zlib packed (RFC 1950 and 1951), for the lists of newer PDFs. It is slow beside zlib, a megabyte a
-- second or two, and meant for what has some kilobytes: what it may do is given in bytes. The checksum at the end is
-- not looked at.

local byte, char, floor = string.byte, string.char, math.floor
local unpack = require("lgemini.compat").unpack

local inflate = {}

local MAX_BITS = 15 -- of a code
local WINDOW = 32768 -- how far back a copy may reach
local PIECE = 4096 -- bytes that become a string at once
-- What the codes in front of a block cost, in bytes that are unpacked: a block may hold none.
local CODES_COST = 256

-- Lengths and distances of copies: the least of each code, and how many bits more follow.
local LENGTHS = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163,
  195, 227, 258 }
local LENGTH_BITS = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 }
local DISTANCES = { 1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
  3073, 4097, 6145, 8193, 12289, 16385, 24577 }
local DISTANCE_BITS = { 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
  13 }

-- The order in which the lengths of the codes for lengths come.
local ORDER = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 }

-- What is wrong is raised as a value of its own, so that a mistake here does not look like one in the data.
local BAD, LONG = {}, {}

-- Input, bit by bit ---------------------------------------------------------------------------------------------

---@class lgemini.inflate.Input
---@field s string
---@field at integer    the next byte
---@field hold integer  bits that were read and not used, the first one lowest
---@field count integer

local function bits(input, n)
  while input.count < n do
    local b = byte(input.s, input.at)
    if not b then
      error(BAD, 0)
    end
    input.hold = input.hold + b * 2 ^ input.count
    input.at, input.count = input.at + 1, input.count + 8
  end
  local value = input.hold % 2 ^ n
  input.hold, input.count = (input.hold - value) / 2 ^ n, input.count - n
  return value
end

-- Codes ---------------------------------------------------------------------------------------------------------

-- A code out of the lengths of its symbols' bits, from symbol 0 on: how many there are of each length, and the symbols
-- in order. A code with too many symbols is refused; one with too few is not, its gaps are found when they are met.
local function code_of(lengths, n)
  local counts, offsets, symbols = {}, {}, {}
  for length = 0, MAX_BITS do
    counts[length] = 0
  end
  for i = 1, n do
    counts[lengths[i]] = counts[lengths[i]] + 1
  end
  local left, offset = 1, 0
  for length = 1, MAX_BITS do
    left = 2 * left - counts[length]
    if left < 0 then
      error(BAD, 0)
    end
    offsets[length], offset = offset, offset + counts[length]
  end
  for i = 1, n do
    local length = lengths[i]
    if length > 0 then
      symbols[offsets[length]] = i - 1
      offsets[length] = offsets[length] + 1
    end
  end
  return { counts = counts, symbols = symbols }
end

-- The next symbol: codes of a length are numbers in a row.
local function symbol(input, code)
  local counts = code.counts
  local value, first, index = 0, 0, 0
  for length = 1, MAX_BITS do
    value = value + bits(input, 1)
    local count = counts[length]
    if value - first < count then
      return code.symbols[index + value - first]
    end
    index, first = index + count, (first + count) * 2
    value = value * 2
  end
  error(BAD, 0)
end

local fixed
local function fixed_codes()
  if not fixed then
    local lengths = {}
    for i = 1, 288 do
      lengths[i] = (i <= 144 and 8) or (i <= 256 and 9) or (i <= 280 and 7) or 8
    end
    local distances = {}
    for i = 1, 30 do
      distances[i] = 5
    end
    fixed = { code_of(lengths, 288), code_of(distances, 30) }
  end
  return fixed[1], fixed[2]
end

-- Codes that stand in front of their block: packed lengths, with a code for these.
local function own_codes(input)
  local n_lengths, n_distances, n_codes = bits(input, 5) + 257, bits(input, 5) + 1, bits(input, 4) + 4
  local lengths = {}
  for i = 1, 19 do
    lengths[ORDER[i] + 1] = i <= n_codes and bits(input, 3) or 0
  end
  local packed, n = code_of(lengths, 19), 0
  lengths = {}
  while n < n_lengths + n_distances do
    local what = symbol(input, packed)
    local value, times = what, 1
    if what == 16 then
      value, times = lengths[n], 3 + bits(input, 2)
    elseif what == 17 then
      value, times = 0, 3 + bits(input, 3)
    elseif what == 18 then
      value, times = 0, 11 + bits(input, 7)
    end
    if not value or n + times > n_lengths + n_distances then
      error(BAD, 0)
    end
    for _ = 1, times do
      n = n + 1
      lengths[n] = value
    end
  end
  local distances = {}
  for i = 1, n_distances do
    distances[i] = lengths[n_lengths + i]
  end
  return code_of(lengths, n_lengths), code_of(distances, n_distances)
end

-- Output --------------------------------------------------------------------------------------------------------

---@class lgemini.inflate.Output
---@field left integer      what may be unpacked yet
---@field n integer         bytes in all
---@field window integer[]  the last of them, by their number modulo WINDOW
---@field piece integer[]   what is no string yet
---@field pieces string[]

local function flush(out)
  out.pieces[#out.pieces + 1] = char(unpack(out.piece))
  out.piece = {}
end

local function spend(out, n)
  out.left = out.left - n
  if out.left < 0 then
    error(LONG, 0)
  end
end

local function put(out, b)
  spend(out, 1)
  out.window[out.n % WINDOW] = b
  out.n = out.n + 1
  out.piece[#out.piece + 1] = b
  if #out.piece == PIECE then
    flush(out)
  end
end

-- Blocks --------------------------------------------------------------------------------------------------------

local function stored(input, out)
  input.hold, input.count = 0, 0 -- the rest of a byte
  local a, b, c, d = byte(input.s, input.at, input.at + 3)
  if not d or a + c ~= 255 or b + d ~= 255 then
    error(BAD, 0)
  end
  local n = a + 256 * b
  input.at = input.at + 4
  for i = input.at, input.at + n - 1 do
    put(out, byte(input.s, i) or error(BAD, 0))
  end
  input.at = input.at + n
end

local function copy(input, out, length_symbol, distances)
  local i = length_symbol - 256
  local length = LENGTHS[i] and LENGTHS[i] + bits(input, LENGTH_BITS[i])
  local k = symbol(input, distances) + 1
  local distance = DISTANCES[k] and DISTANCES[k] + bits(input, DISTANCE_BITS[k])
  if not (length and distance) or distance > out.n then
    error(BAD, 0)
  end
  for _ = 1, length do
    put(out, out.window[(out.n - distance) % WINDOW])
  end
end

local function packed_block(input, out, lengths, distances)
  while true do
    local what = symbol(input, lengths)
    if what < 256 then
      put(out, what)
    elseif what == 256 then
      return
    else
      copy(input, out, what, distances)
    end
  end
end

local function all_blocks(input, out)
  repeat
    local last, kind = bits(input, 1) == 1, bits(input, 2)
    if kind == 0 then
      stored(input, out)
    elseif kind == 1 then
      packed_block(input, out, fixed_codes())
    elseif kind == 2 then
      spend(out, CODES_COST)
      packed_block(input, out, own_codes(input))
    else
      error(BAD, 0)
    end
  until last
end

--- The bytes that a zlib stream holds.
---@param s string
---@param most integer  bytes; more are not unpacked, and codes in front of a block count as 256
---@return string|nil
---@return integer|string left  what of `most` is left; or the problem: "broken" or "too long"
function inflate.zlib(s, most)
  local method, flags = byte(s, 1, 2)
  if not flags or method % 16 ~= 8 or (method * 256 + flags) % 31 ~= 0 or floor(flags / 32) % 2 ~= 0 then
    return nil, "broken"
  end
  local out = { left = most, n = 0, window = {}, piece = {}, pieces = {} }
  local ok, problem = pcall(all_blocks, { s = s, at = 3, hold = 0, count = 0 }, out)
  if ok then
    flush(out)
    return table.concat(out.pieces), out.left
  elseif problem ~= BAD and problem ~= LONG then
    error(problem, 0)
  end
  return nil, problem == BAD and "broken" or "too long"
end

return inflate
