--- What RIFF files hold: WAV, AVI and WebP; and AIFF, which is the same with the high byte first.

local binary = require "lgemini.binary"

local be, le = binary.be, binary.le

local media_riff = {}

-- The chunks from an offset on: `for name, at, size in chunks(src, 12, le)`, with where the contents begin. A size may
-- say more than there is.
local function chunks(src, from, number)
  return function()
    if from + 8 > src.size then
      return nil
    end
    src:step()
    local head = src:need(from, 8)
    local at, size = from + 8, number(head, 5, 4)
    from = at + size + size % 2
    return head:sub(1, 4), at, size
  end
end

-- Sound ---------------------------------------------------------------------------------------------------------

-- Codecs whose samples have all the same size: PCM, floats, A-law, mu-law, and what says it elsewhere.
local EVEN = { [1] = true, [3] = true, [6] = true, [7] = true, [65534] = true }

--- The bytes of the sound over those of a second, or where it is packed the samples over those of a second. RF64 has
--- its size in a chunk in front.
---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_riff.wav(src)
  local codec, hertz, rate, samples, long
  for name, at, size in chunks(src, 12, le) do
    if name == "ds64" then
      long = le(src:need(at + 8, 8), 1, 8)
    elseif name == "fmt " then
      local format = src:need(at, 12)
      codec, hertz, rate = le(format, 1, 2), le(format, 5, 4), le(format, 9, 4)
    elseif name == "fact" then
      samples = le(src:need(at, 4), 1, 4)
    elseif name == "data" then
      if codec and not EVEN[codec] then
        return { kind = "audio", audio_seconds = hertz > 0 and (samples or 0) / hertz or 0 }
      elseif not rate or rate == 0 then
        src:broken("does not say how many bytes a second has")
      end
      size = size == 4294967295 and long or size
      return { kind = "audio", audio_seconds = math.min(size, src.size - at) / rate }
    end
  end
  src:broken("has no sound in it")
end

-- A float of ten bytes, as a rate in AIFF is: the first bit of its fraction is written out.
local function extended(s)
  return be(s, 3, 8) * 2 ^ (be(s, 1, 2) % 32768 - 16383 - 63)
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_riff.aiff(src)
  for name, at in chunks(src, 12, be) do
    if name == "COMM" then
      local common = src:need(at, 18)
      local rate = extended(common:sub(9))
      if rate < 1 or rate > 1e6 then
        src:broken("does not say how many samples a second has")
      end
      return { kind = "audio", audio_seconds = be(common, 3, 4) / rate }
    end
  end
  src:broken("has no header of an AIFF")
end

-- AVI -----------------------------------------------------------------------------------------------------------

-- A stream's header: what it is, and how long, in units of scale / rate.
local function stream_header(src, at)
  local head = src:need(at, 36)
  local scale, rate, length = le(head, 21, 4), le(head, 25, 4), le(head, 33, 4)
  if scale == 0 or rate == 0 then
    src:broken("does not say how fast a stream of it is")
  end
  return head:sub(1, 4), length, scale / rate
end

--- The streams of the header, which is a list of lists. A file of more than a gigabyte says in a chunk of its own
--- (dmlh) how many frames there are in all.
---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_riff.avi(src)
  local from, frames, unit = 12, nil, nil
  local facts = { kind = "video" }
  while true do
    local list
    for name, at in chunks(src, from, le) do
      local what = name == "LIST" and src:need(at, 4)
      if what == "hdrl" or what == "strl" or what == "odml" then
        list = at + 4
        break
      elseif what == "movi" then
        break
      elseif name == "strh" then
        local kind, length, each = stream_header(src, at)
        if kind == "vids" then
          frames, unit = frames or length, each
        elseif kind == "auds" then
          facts.audio_seconds = math.max(facts.audio_seconds or 0, length * each)
        end
      elseif name == "dmlh" then
        frames = math.max(frames or 0, le(src:need(at, 4), 1, 4))
      end
    end
    if not list then
      break
    end
    from = list
  end
  if unit then
    facts.seconds = frames * unit
  end
  return facts
end

-- WebP ----------------------------------------------------------------------------------------------------------

-- By the first chunk: lossy, lossless, extended.
local WEBP = {}

WEBP["VP8 "] = function(src, at)
  local head = src:need(at, 10)
  if head:sub(4, 6) ~= "\157\1\42" then
    src:broken("has no frame of a WebP")
  end
  return le(head, 7, 2) % 16384, le(head, 9, 2) % 16384
end

WEBP["VP8L"] = function(src, at)
  local head = src:need(at, 5)
  if head:byte() ~= 47 then
    src:broken("has no frame of a WebP")
  end
  local bits = le(head, 2, 4)
  return bits % 16384 + 1, math.floor(bits / 16384) % 16384 + 1
end

WEBP["VP8X"] = function(src, at)
  local head = src:need(at, 10)
  return le(head, 5, 3) + 1, le(head, 8, 3) + 1
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_riff.webp(src)
  local size = WEBP[src:need(12, 4)]
  if not size then
    src:broken("has no frame of a WebP")
  end
  local width, height = size(src, 20)
  return { kind = "image", width = width, height = height }
end

return media_riff
