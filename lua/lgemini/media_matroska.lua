--- What WebM and Matroska files hold: elements in elements (EBML). Recorders that write while they record leave the
--- duration out; then the time of the last block is taken.

local binary = require "lgemini.binary"

local be = binary.be

local media_matroska = {}

-- Elements by their ids, length marker and all.
local HEADER, SEGMENT, INFO, TRACKS, TRACK = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE
local CLUSTER, GROUP = 0x1F43B675, 0xA0
local SCALE, DURATION, TRACK_TYPE, TIME = 0x2AD7B1, 0x4489, 0x83, 0xE7
local BLOCK, SIMPLE_BLOCK = 0xA1, 0xA3

-- Those that are entered. Where they end does not matter, since no leaf is looked for at one place only; so it does not
-- matter either that some do not know their size.
local INTO = { [HEADER] = true, [SEGMENT] = true, [INFO] = true, [TRACKS] = true, [TRACK] = true, [CLUSTER] = true,
  [GROUP] = true }

local VIDEO, SOUND = 1, 2
local MAX_NUMBER = 8 -- bytes of a number

-- How many bytes a number takes: as its first byte says by the zeros it begins with. And its marker.
local function width_of(src, at, first)
  local n, marker = 1, 128
  while first < marker do
    n, marker = n + 1, marker / 2
    if n > 8 then
      src:broken("is broken at byte %d", at)
    end
  end
  return n, marker
end

-- The head of an element: its id, where its contents begin, and their size; nil for one that does not know it.
local function element(src, at)
  local first = src:need(at, 1):byte()
  local n = width_of(src, at, first)
  local id = be(src:need(at, n), 1, n)
  at = at + n
  first = src:need(at, 1):byte()
  local m, marker = width_of(src, at, first)
  local bytes = src:need(at, m)
  if bytes:sub(2) == ("\255"):rep(m - 1) and first == 2 * marker - 1 then
    return id, at + m, nil
  end
  return id, at + m, (first - marker) * 256 ^ (m - 1) + (m > 1 and be(bytes, 2, m - 1) or 0)
end

local function number(src, at, size)
  if size < 1 or size > MAX_NUMBER then
    src:broken("is broken at byte %d", at)
  end
  return be(src:need(at, size), 1, size)
end

-- The time of a block, in the units of its cluster's: behind the number of its track, with a sign.
local function block_time(src, at)
  local n = width_of(src, at, src:need(at, 1):byte())
  local time = be(src:need(at + n, 2), 1, 2)
  return time >= 32768 and time - 65536 or time
end

local leaf = {}

leaf[SCALE] = function(found, src, at, size) found.scale = number(src, at, size) end
leaf[DURATION] = function(found, src, at, size)
  found.duration = (size == 4 or size == 8) and binary.float(src:need(at, size)) or nil
end
leaf[TRACK_TYPE] = function(found, src, at, size)
  local kind = number(src, at, size)
  found.video, found.sound = found.video or kind == VIDEO, found.sound or kind == SOUND
end
leaf[TIME] = function(found, src, at, size) found.time = number(src, at, size) end
leaf[BLOCK] = function(found, src, at)
  found.last = math.max(found.last or 0, (found.time or 0) + block_time(src, at))
end
leaf[SIMPLE_BLOCK] = leaf[BLOCK]

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_matroska.read(src)
  local found = { scale = 1000000 }
  local at = 0
  while at < src.size do
    src:step()
    local id, from, size = element(src, at)
    local known = found.duration and found.duration > 0
    if id == CLUSTER and known and (found.video or found.sound) then
      break
    elseif INTO[id] and not (id == CLUSTER and known and size) then
      at = from
    else
      if not size or from + size > src.size then
        src:broken("ends within an element, at byte %d", src.size)
      elseif leaf[id] then
        leaf[id](found, src, from, size)
      end
      at = math.floor(from + size)
    end
  end
  local units = found.duration and found.duration > 0 and found.duration or found.last or 0
  local seconds = units * found.scale / 1e9
  return { kind = found.video and "video" or "audio", seconds = found.video and seconds or nil,
    audio_seconds = found.sound and seconds or nil }
end

return media_matroska
