-- Media that the emulator makes itself: pictures and tones, small and always the same. `movie` makes the videos.

local bit = require "http.bit"

local made = {}

local crc_table = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do
    local half = (c - c % 2) / 2
    c = c % 2 == 1 and bit.bxor(half, 0xEDB88320) % 2 ^ 32 or half
  end
  crc_table[i] = c
end

local function crc32(s)
  local c = 2 ^ 32 - 1
  for i = 1, #s do
    local low = bit.bxor(c % 256, s:byte(i))
    c = bit.bxor(crc_table[low], (c - c % 256) / 256) % 2 ^ 32
  end
  return 2 ^ 32 - 1 - c
end

local function adler32(s)
  local a, b = 1, 0
  for i = 1, #s do
    a = (a + s:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return b * 65536 + a
end

local function be32(n)
  return string.char(math.floor(n / 2 ^ 24) % 256, math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
end

local function le16(n)
  return string.char(n % 256, math.floor(n / 256) % 256)
end

local function chunk(name, data)
  return be32(#data) .. name .. data .. be32(crc32(name .. data))
end

--- A grey gradient.
---@param width integer
---@param height integer width * height + height at most 65535
---@return string png
function made.png(width, height)
  local rows = {}
  for y = 0, height - 1 do
    local row = { "\0" }
    for x = 0, width - 1 do row[#row + 1] = string.char(math.floor((x / width + y / height) * 127)) end
    rows[#rows + 1] = table.concat(row)
  end
  local pixels = table.concat(rows)
  -- zlib with one stored block
  local data = "\120\1\1" .. le16(#pixels) .. le16(65535 - #pixels) .. pixels .. be32(adler32(pixels))
  return "\137PNG\r\n\26\n" .. chunk("IHDR", be32(width) .. be32(height) .. "\8\0\0\0\0") .. chunk("IDAT", data)
    .. chunk("IEND", "")
end

local LONG_SIDE = 64 -- pixels

--- How large what is made is: its proportions are those asked for.
---@param aspect string such as "16:9"
---@return integer? width even; nil where this is no proportion
---@return integer height even
function made.shape(aspect)
  local across, down = tostring(aspect):match("^(%d+):(%d+)$")
  across, down = tonumber(across), tonumber(down)
  if not across or across * down == 0 or math.max(across, down) > 16 * math.min(across, down) then return nil end
  local scale = LONG_SIDE / math.max(across, down)
  local function even(n) return 2 * math.floor(n * scale / 2 + 0.5) end
  return even(across), even(down)
end

--- A tone: 16-bit little-endian mono PCM at 24 kHz, as the service speaks.
---@param seconds number
---@param hertz number
---@return string pcm
function made.tone(seconds, hertz)
  local samples = {}
  for i = 0, math.floor(seconds * 24000) - 1 do
    local v = math.floor(8000 * math.sin(2 * math.pi * hertz * i / 24000) + 0.5)
    samples[#samples + 1] = le16(v % 65536)
  end
  return table.concat(samples)
end

return made
