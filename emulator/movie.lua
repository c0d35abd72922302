-- A video that the emulator makes itself: H.264 in an MP4, small and always the same. Each second begins with a picture
-- whose pixels stand in it as they are (I_PCM); the pictures after it say that nothing has changed.

local movie = {}

local RATE = 24 -- pictures a second
local MACROBLOCK = 16 -- pixels

-- Bits, most significant first.
local writer = {}
writer.__index = writer

local function new_writer()
  return setmetatable({ bits = {}, bytes = {} }, writer)
end

--- Adds a number of that many bits.
function writer:u(number, bits)
  for i = bits - 1, 0, -1 do
    self.bits[#self.bits + 1] = math.floor(number / 2 ^ i) % 2
    if #self.bits == 8 then
      local byte = 0
      for _, bit in ipairs(self.bits) do byte = byte * 2 + bit end
      self.bytes[#self.bytes + 1] = string.char(byte)
      self.bits = {}
    end
  end
  return self
end

--- Exponential Golomb codes, each as many zeros as there are bits after the first.
function writer:ue(...)
  for _, number in ipairs({ ... }) do
    local length = 0
    while 2 ^ (length + 1) <= number + 1 do length = length + 1 end
    self:u(0, length):u(number + 1, length + 1)
  end
  return self
end

--- Zeros up to a whole byte.
function writer:align()
  while #self.bits > 0 do self:u(0, 1) end
  return self
end

function writer:raw(bytes)
  self.bytes[#self.bytes + 1] = bytes
  return self
end

-- A unit of the stream, in which two zeros are never followed by a byte below 4.
local function unit(kind, out)
  local payload = table.concat(out:u(1, 1):align().bytes)
  local at = 1
  while true do
    at = payload:find("%z%z[%z\1\2\3]", at)
    if not at then return string.char(kind) .. payload end
    payload = payload:sub(1, at + 1) .. "\3" .. payload:sub(at + 2)
    at = at + 3
  end
end

-- Baseline, order of pictures as they come, one reference; what is no whole macroblock is cut off.
local function sequence(width, height)
  local across, down = math.ceil(width / MACROBLOCK), math.ceil(height / MACROBLOCK)
  local out = new_writer():u(66, 8):u(0xC0, 8):u(10, 8):ue(0, 0, 2, 1):u(0, 1):ue(across - 1, down - 1):u(1, 1):u(1, 1)
  out:u(1, 1):ue(0, (across * MACROBLOCK - width) / 2, 0, (down * MACROBLOCK - height) / 2):u(0, 1)
  return unit(0x67, out), across * down, across
end

local function picture_set()
  return unit(0x68, new_writer():ue(0, 0):u(0, 2):ue(0, 0, 0):u(0, 3):ue(0, 0, 0):u(0, 3))
end

-- A whole picture: a grey that grows from left to right, and from second to second.
local function whole(macroblocks, across, second)
  local out = new_writer():ue(0, 7, 0):u(0, 4):ue(second % 2):u(0, 2):ue(0)
  for i = 0, macroblocks - 1 do
    local grey = 32 + (math.floor(i % across * 160 / across) + second * 12) % 192
    out:ue(25):align():raw(string.char(grey):rep(256)):raw(("\128"):rep(128))
  end
  return unit(0x65, out)
end

-- A picture like the one before.
local function same(macroblocks, number)
  return unit(0x41, new_writer():ue(0, 5, 0):u(number % 16, 4):u(0, 3):ue(0):ue(macroblocks))
end

local function be(number, bytes)
  local out = {}
  for i = bytes, 1, -1 do
    out[i] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(out)
end

local function box(name, ...)
  local content = table.concat({ ... })
  return be(#content + 8, 4) .. name .. content
end

local function full(name, flags, ...)
  return box(name, be(0, 1), be(flags, 3), ...)
end

local MATRIX = be(65536, 4) .. be(0, 12) .. be(65536, 4) .. be(0, 12) .. be(16384 * 65536, 4)

local function sample_table(sps, pps, width, height, sizes, offset)
  local entry = box("avc1", be(0, 6), be(1, 2), be(0, 16), be(width, 2), be(height, 2), be(72 * 65536, 4),
    be(72 * 65536, 4), be(0, 4), be(1, 2), be(0, 32), be(24, 2), "\255\255",
    box("avcC", "\1", sps:sub(2, 4), "\255\225", be(#sps, 2), sps, "\1", be(#pps, 2), pps))
  local listed, keys = {}, {}
  for i, size in ipairs(sizes) do listed[i] = be(size, 4) end
  for i = 1, #sizes, RATE do keys[#keys + 1] = be(i, 4) end
  return box("stbl", full("stsd", 0, be(1, 4), entry), full("stts", 0, be(1, 4), be(#sizes, 4), be(1, 4)),
    full("stss", 0, be(#keys, 4), table.concat(keys)), full("stsc", 0, be(1, 4), be(1, 4), be(#sizes, 4), be(1, 4)),
    full("stsz", 0, be(0, 4), be(#sizes, 4), table.concat(listed)), full("stco", 0, be(1, 4), be(offset, 4)))
end

local function header(samples, length, width, height)
  return box("moov",
    full("mvhd", 0, be(0, 8), be(RATE, 4), be(length, 4), be(65536, 4), be(256, 2), be(0, 10), MATRIX, be(0, 24),
      be(2, 4)),
    box("trak",
      full("tkhd", 3, be(0, 8), be(1, 4), be(0, 4), be(length, 4), be(0, 16), MATRIX, be(width * 65536, 4),
        be(height * 65536, 4)),
      box("mdia", full("mdhd", 0, be(0, 8), be(RATE, 4), be(length, 4), be(0x55C4, 2), be(0, 2)),
        full("hdlr", 0, be(0, 4), "vide", be(0, 12), "video\0"),
        box("minf", full("vmhd", 1, be(0, 8)), box("dinf", full("dref", 0, be(1, 4), full("url ", 1))), samples))))
end

--- A grey gradient that brightens each second.
---@param width integer even
---@param height integer even
---@param seconds integer at least 1
---@return string mp4
function movie.mp4(width, height, seconds)
  local sps, macroblocks, across = sequence(width, height)
  local pps, pictures, sizes = picture_set(), {}, {}
  for i = 0, seconds * RATE - 1 do
    local picture = i % RATE == 0 and whole(macroblocks, across, i / RATE) or same(macroblocks, i % RATE)
    pictures[i + 1], sizes[i + 1] = be(#picture, 4) .. picture, #picture + 4
  end
  local kind = box("ftyp", "isom", be(512, 4), "isomavc1mp41")
  local function head(offset)
    return kind .. header(sample_table(sps, pps, width, height, sizes, offset), #sizes, width, height)
  end
  return head(#head(0) + 8) .. box("mdat", table.concat(pictures))
end

return movie
