--- What ISO files hold, which are boxes in boxes: MP4, MOV, M4A and 3GP by their tracks, HEIC and AVIF by what their
-- main image is said to be. Boxes are jumped over, so that an index at the end of a large file is as near as one in
-- front.

local binary = require "lgemini.binary"

local be = binary.be

local media_boxes = {}

-- The boxes between two offsets: `for name, from, to in boxes(src, 0, src.size)`, with where the contents are.
local function boxes(src, at, last)
  return function()
    if at + 8 > last then
      return nil
    end
    src:step()
    local head = src:need(at, 8)
    local size, name, from = be(head, 1, 4), head:sub(5, 8), at + 8
    if size == 1 then
      size, from = be(src:need(at + 8, 8), 1, 8), at + 16
    elseif size == 0 then -- up to the end
      size = last - at
    end
    if size < from - at then
      src:broken("is broken at byte %d", at)
    elseif at + size > last then
      src:broken("ends within its %s box", (name:gsub("[^%w ]", "?")))
    end
    at = math.floor(at + size)
    return name, from, at
  end
end

-- The first box of a name.
local function find(src, from, to, wanted)
  for name, at, stop in boxes(src, from, to) do
    if name == wanted then
      return at, stop
    end
  end
end

-- A box with a version and flags: the version, and where the rest begins.
local function full(src, at)
  return src:need(at, 1):byte(), at + 4
end

-- Tracks --------------------------------------------------------------------------------------------------------

local MAX_TRACKS = 100
local UNKNOWN = { [4294967295] = true, [2 ^ 64] = true } -- all bits set; 64 of them as a float

-- A number whose width the version of its box decides.
local function wide(src, version, at)
  local n = version == 1 and 8 or 4
  local value = be(src:need(at, n), 1, n)
  return not UNKNOWN[value] and value or 0
end

local function word(src, at)
  return be(src:need(at, 4), 1, 4)
end

-- Timescale and duration of a movie (mvhd) or a track's media (mdhd): two dates stand in front.
local function clock(src, at)
  local version
  version, at = full(src, at)
  at = at + (version == 1 and 16 or 8)
  return word(src, at), wide(src, version, at + 4)
end

-- Number and duration of a track (tkhd), the latter in the movie's time: two dates stand in front, a gap between.
local function track_header(src, at)
  local version
  version, at = full(src, at)
  at = at + (version == 1 and 16 or 8)
  return word(src, at), wide(src, version, at + 8)
end

---@class lgemini.boxes.Track
---@field id integer
---@field kind string     "vide", "soun", ...
---@field seconds number  0 where it is not said
---@field scale number    units of its own time in a second
---@field each number     units of a sample in a fragment where these say nothing else
---@field last number     its duration in these, with the fragments that were looked at

local function track(src, from, to, scale)
  local one = { seconds = 0, scale = 0, each = 0, last = 0 }
  for name, at, stop in boxes(src, from, to) do
    if name == "tkhd" then
      local duration
      one.id, duration = track_header(src, at)
      one.seconds = scale > 0 and duration / scale or 0
    elseif name == "mdia" then
      for inner, inner_at in boxes(src, at, stop) do
        if inner == "mdhd" then
          one.scale, one.last = clock(src, inner_at)
        elseif inner == "hdlr" then
          one.kind = src:need(inner_at + 8, 4)
        end
      end
    end
  end
  if one.seconds == 0 and one.scale > 0 then
    one.seconds = one.last / one.scale
  end
  return one
end

-- Fragments -----------------------------------------------------------------------------------------------------
-- A file that was written while it was recorded has an index without times, and more of it with each piece.

local function by_id(tracks, id)
  for _, one in ipairs(tracks) do
    if one.id == id then
      return one
    end
  end
end

-- Whether a flag is set.
local function has(flags, bit)
  return math.floor(flags / bit) % 2 == 1
end

-- The units that the samples of a run take: those that are said of each, or as many as `each`.
local function run(src, at, each)
  local flags, count = word(src, at) % 16777216, word(src, at + 4)
  if not has(flags, 256) then
    return count * each
  end
  at = at + 8 + (has(flags, 1) and 4 or 0) + (has(flags, 4) and 4 or 0)
  local size, sum = 4, 0
  for bit = 9, 11 do
    size = size + (has(flags, 2 ^ bit) and 4 or 0)
  end
  for _ = 1, count do
    src:step()
    sum = sum + word(src, at)
    at = at + size
  end
  return sum
end

-- A piece of one track: sets where it ends.
local function fragment(src, from, to, tracks)
  local one, each, start, sum = nil, 0, nil, 0
  for name, at in boxes(src, from, to) do
    if name == "tfhd" then
      local flags = word(src, at) % 16777216
      one = by_id(tracks, word(src, at + 4))
      each = has(flags, 8) and word(src, at + 8 + (has(flags, 1) and 8 or 0) + (has(flags, 2) and 4 or 0))
        or one and one.each or 0
    elseif name == "tfdt" then
      local version
      version, at = full(src, at)
      start = wide(src, version, at)
    elseif name == "trun" then
      sum = sum + run(src, at, each)
    end
  end
  if one then
    one.last = math.max(one.last, (start or one.last) + sum)
  end
end

-- The times of tracks by their fragments, which are looked for in the whole file.
local function add_fragments(src, tracks)
  for name, from, to in boxes(src, 0, src.size) do
    if name == "moof" then
      for inner, at, stop in boxes(src, from, to) do
        if inner == "traf" then
          fragment(src, at, stop, tracks)
        end
      end
    end
  end
  for _, one in ipairs(tracks) do
    if one.scale > 0 then
      one.seconds = math.max(one.seconds, one.last / one.scale)
    end
  end
end

-- What the index says ahead of fragments: how long all of it is, if it does, and how long samples are.
local function announcement(src, from, to, scale, tracks)
  local whole
  for name, at in boxes(src, from, to) do
    if name == "mehd" and scale > 0 then
      local version
      version, at = full(src, at)
      whole = wide(src, version, at) / scale
    elseif name == "trex" then
      local one = by_id(tracks, word(src, at + 4))
      if one then
        one.each = word(src, at + 12)
      end
    end
  end
  return whole
end

-- The longest track of a kind; nil where there is none.
local function longest(tracks, kind)
  local seconds
  for _, one in ipairs(tracks) do
    if one.kind == kind then
      seconds = math.max(seconds or 0, one.seconds)
    end
  end
  return seconds
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_boxes.movie(src)
  local from, to = find(src, 0, src.size, "moov")
  if not from then
    src:broken("has no index (moov box)")
  end
  local header = find(src, from, to, "mvhd")
  if not header then
    src:broken("has an index without a header")
  end
  local scale, tracks = clock(src, header), {}
  for name, at, stop in boxes(src, from, to) do
    if name == "trak" then
      if #tracks == MAX_TRACKS then
        src:broken("has more than %d tracks", MAX_TRACKS)
      end
      tracks[#tracks + 1] = track(src, at, stop, scale)
    end
  end
  local extended, extended_end = find(src, from, to, "mvex")
  local whole = extended and announcement(src, extended, extended_end, scale, tracks)
  if extended and not whole then
    add_fragments(src, tracks)
  end
  local video, sound = longest(tracks, "vide"), longest(tracks, "soun")
  if whole then
    video, sound = video and math.max(video, whole), sound and math.max(sound, whole)
  end
  return { kind = video and "video" or "audio", seconds = video, audio_seconds = sound }
end

-- Images --------------------------------------------------------------------------------------------------------

-- The number of the main image.
local function primary(src, at)
  local version
  version, at = full(src, at)
  local n = version == 0 and 2 or 4
  return be(src:need(at, n), 1, n)
end

-- The numbers of the properties that an image has.
local function properties_of(src, at, image)
  local version, flags = src:need(at, 1):byte(), src:need(at + 3, 1):byte()
  local wide_index, id_size = flags % 2 == 1, version == 0 and 2 or 4
  local count = be(src:need(at + 4, 4), 1, 4)
  at = at + 8
  for _ = 1, count do
    src:step()
    local head = src:need(at, id_size + 1)
    local id, n = be(head, 1, id_size), head:byte(id_size + 1)
    local list = src:need(at + id_size + 1, n * (wide_index and 2 or 1))
    if id == image then
      local found = {}
      for i = 1, n do
        local index = wide_index and be(list, 2 * i - 1, 2) % 32768 or list:byte(i) % 128
        found[index] = true
      end
      return found
    end
    at = at + id_size + 1 + #list
  end
  return {}
end

-- Width and height, which are the property "ispe" of an image.
local function size_of(src, from, to, wanted)
  local index = 0
  for name, at in boxes(src, from, to) do
    index = index + 1
    if name == "ispe" and wanted[index] then
      local size = src:need(at + 4, 8)
      return be(size, 1, 4), be(size, 5, 4)
    end
  end
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_boxes.image(src)
  local from, to = find(src, 0, src.size, "meta")
  if not from then
    src:broken("has no list of its images")
  end
  from = from + 4
  local main = find(src, from, to, "pitm")
  local props, props_end = find(src, from, to, "iprp")
  local list, list_end, owners
  if props then
    list, list_end = find(src, props, props_end, "ipco")
    owners = find(src, props, props_end, "ipma")
  end
  local width, height
  if main and list and owners then
    width, height = size_of(src, list, list_end, properties_of(src, owners, primary(src, main)))
  end
  if not width then
    src:broken("does not say how large its image is")
  end
  return { kind = "image", width = width, height = height }
end

return media_boxes
