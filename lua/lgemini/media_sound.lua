--- How long a sound is: MP3, AAC, FLAC and Ogg (Vorbis, Opus, FLAC). FLAC says it in its header and Ogg on its last
-- page. MP3 often says it in its first frame; without that, as with AAC always, each frame is counted, in windows of
-- some kilobytes.

require("lgemini.compat").goes_over_tables()

local binary = require "lgemini.binary"
local media = require "lgemini.media"

local be, le = binary.be, binary.le

local media_sound = {}

local BLOCK = 65536
-- How far the next frame is looked for at first, and then: mostly it is near.
local STRIDES = { 256, 4096, BLOCK }

local function seconds_of(seconds)
  return { kind = "audio", audio_seconds = seconds }
end

-- Frames --------------------------------------------------------------------------------------------------------

-- Where an ID3 tag ends. There may be several, and others between sounds that were put together.
local function behind_tags(src, at)
  while src:read(at, 3) == "ID3" do
    src:step()
    local head = src:need(at, 10)
    local a, b, c, d = head:byte(7, 10)
    local footer = math.floor(head:byte(6) / 16) % 2 * 10
    at = at + 10 + ((a % 128 * 128 + b % 128) * 128 + c % 128) * 128 + d % 128 + footer
  end
  return at
end

local OLD_TAG = 128 -- bytes of an ID3 tag of the first version, which stands behind

-- What else may stand behind the last frame.
local function is_tag(bytes)
  return bytes:find "^APETAGEX" or bytes:find "^LYRICS"
end

-- The offset of the first frame in a block that another follows, or the end.
local function frame_in(src, from, block, frame)
  local at = block:find("\255", 1, true)
  while at do
    src:step()
    local length = frame(block, at)
    local following = length and src:read(from + at - 1 + length, 8)
    if length and (following == "" or frame(following, 1)) then
      return from + at - 1
    end
    at = block:find("\255", at + 1, true)
  end
end

-- The same from an offset on, at most a block away; nil where there is none.
local function next_frame(src, from, frame)
  for _, stride in ipairs(STRIDES) do
    local block = src:read(from, stride)
    local found = frame_in(src, from, block, frame)
    if found or #block < stride then
      return found
    end
  end
end

-- The seconds of all frames from one on.
local function count(src, at, frame)
  local samples_by_hertz = {}
  while at do
    src:step()
    local bytes = src:read(at, 8)
    local length, samples, hertz = frame(bytes, 1)
    if length then
      samples_by_hertz[hertz] = (samples_by_hertz[hertz] or 0) + samples
      at = at + length
    elseif #bytes < 8 then
      break
    elseif bytes:find "^ID3" then
      at = behind_tags(src, at)
    elseif bytes:find "^TAG" then
      at = at + OLD_TAG
    else -- something else stands between two frames, or behind the last
      local lost = at
      at = next_frame(src, at, frame)
      if not at and lost + BLOCK < src.size and not is_tag(bytes) then
        src:broken("is broken at byte %d", lost)
      end
    end
  end
  local seconds = 0
  for hertz, samples in pairs(samples_by_hertz) do
    seconds = seconds + samples / hertz
  end
  return seconds
end

-- The number of frames that the first one tells, and the bytes of all of them, where it does. Behind the header and
-- what MP3 calls side information stands "Xing" (or "Info"), or at a fixed place "VBRI".
local function told(src, at)
  local bytes = src:read(at, 64)
  local version, mode = bytes:byte(2, 4), bytes:byte(4) or 0
  local stereo, mpeg1 = mode < 192, math.floor((version or 0) / 8) % 4 == 3
  local side = mpeg1 and (stereo and 32 or 17) or stereo and 17 or 9
  local mark = bytes:sub(side + 5, side + 8)
  if (mark == "Xing" or mark == "Info") and #bytes >= side + 20 then
    local flags = bytes:byte(side + 12)
    if flags % 2 == 1 then
      local length = math.floor(flags / 2) % 2 == 1 and be(bytes, side + 17, 4) or 0
      return be(bytes, side + 13, 4), length
    end
  elseif bytes:sub(37, 40) == "VBRI" and #bytes >= 54 then
    return be(bytes, 51, 4), be(bytes, 47, 4)
  end
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_sound.mp3(src)
  local at = next_frame(src, behind_tags(src, 0), media.mp3_frame)
  if not at then
    src:broken("has no frame of an MP3")
  end
  local frames, length = told(src, at)
  if not frames or frames == 0 or at + length > src.size then -- not told, or the file was cut since
    return seconds_of(count(src, at, media.mp3_frame))
  end
  local _, samples, hertz = media.mp3_frame(src:read(at, 8), 1)
  return seconds_of(frames * samples / hertz)
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_sound.aac(src)
  local at = next_frame(src, behind_tags(src, 0), media.adts_frame)
  if not at then
    src:broken("has no frame of AAC")
  end
  return seconds_of(count(src, at, media.adts_frame))
end

-- FLAC ----------------------------------------------------------------------------------------------------------

-- Hertz and samples of a STREAMINFO block: 20 bits, 8 for other things, 36.
local function stream_info(src, at)
  local info = src:need(at + 10, 8)
  return math.floor(be(info, 1, 3) / 16), info:byte(4) % 16 * 2 ^ 32 + be(info, 5, 4)
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_sound.flac(src)
  local at = behind_tags(src, 0)
  local head = src:need(at, 5)
  if head:sub(1, 4) ~= "fLaC" or head:byte(5) % 128 ~= 0 then
    src:broken("has no header of a FLAC")
  end
  local hertz, samples = stream_info(src, at + 8)
  return seconds_of(hertz > 0 and samples / hertz or 0)
end

-- Ogg -----------------------------------------------------------------------------------------------------------

local NOWHERE = ("\255"):rep(8) -- the position of a page on which nothing ends
local MAX_TAIL = 4 -- blocks that are searched for the last page; a page has less than one

-- By the beginning of a stream's first packet: the units of its positions in a second, and how many of them are not
-- heard.
local CODECS = {
  { "\1vorbis", function(src, at) return le(src:need(at + 12, 4), 1, 4), 0 end },
  { "OpusHead", function(src, at) return 48000, le(src:need(at + 10, 2), 1, 2) end },
  { "\127FLAC", function(src, at) return (stream_info(src, at + 17)), 0 end },
}

-- Streams are announced on the first pages, one on each: where the packet of a page begins, and the number of its
-- stream.
local function announced(src)
  local at = 0
  return function()
    src:step()
    local head = src:read(at, 27)
    if #head < 27 or head:sub(1, 4) ~= "OggS" or math.floor(head:byte(6) / 2) % 2 == 0 then
      return nil
    end
    local n, size = head:byte(27), 0
    for i = 1, n do
      size = size + src:need(at + 27, n):byte(i)
    end
    local packet = at + 27 + n
    at = packet + size
    return packet, head:sub(15, 18)
  end
end

-- The position on the last page of a stream, looked for from the end.
local function last_position(src, serials, serial)
  for i = 1, MAX_TAIL do
    local from = math.max(0, src.size - i * BLOCK)
    local block = src:read(from, BLOCK + 32)
    local found, at = nil, block:find("OggS\0", 1, true)
    while at do
      src:step()
      local position, owner = block:sub(at + 6, at + 13), block:sub(at + 14, at + 17)
      if #owner == 4 and not serials[owner] then
        src:broken "has several sounds, one behind the other"
      elseif owner == serial and position ~= NOWHERE then
        found = le(position, 1, 8)
      end
      at = block:find("OggS\0", at + 1, true)
    end
    if found or from == 0 then
      return found
    end
  end
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_sound.ogg(src)
  local serials, serial, rate, skip = {}, nil, nil, nil
  for packet, owner in announced(src) do
    serials[owner] = true
    for _, codec in ipairs(CODECS) do
      if not serial and src:read(packet, #codec[1]) == codec[1] then
        serial = owner
        rate, skip = codec[2](src, packet)
      end
    end
  end
  if not rate or rate == 0 then
    src:broken("holds no Vorbis, Opus or FLAC")
  end
  local last = last_position(src, serials, serial)
  return seconds_of(last and (last - skip) / rate or 0)
end

return media_sound
