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

local UNKNOWN = { [4294967295] = true, [2 ^ 64] = true } -- all bits set; 64 of them as a float

-- A number whose width the version of its box decides.
local function wide(src, version, at)
  local n = version == 1 and 8 or 4
  local value = be(src:need(at, n), 1, n)
  return not UNKNOWN[value] and value or 0
end

-- Timescale and duration of a movie (mvhd) or a track's media (mdhd): two dates stand in front.
local function clock(src, at)
  local version
  version, at = full(src, at)
  at = at + (version == 1 and 16 or 8)
  return be(src:need(at, 4), 1, 4), wide(src, version, at + 4)
end

-- The duration of a track in the movie's time: two dates, a number and a gap stand in front.
local function track_duration(src, at)
  local version
  version, at = full(src, at)
  return wide(src, version, at + (version == 1 and 24 or 16))
end

-- The kind of a track ("vide", "soun", ...) and its seconds.
local function track(src, from, to, scale)
  local kind, seconds, own_scale, own = nil, 0, 0, 0
  for name, at, stop in boxes(src, from, to) do
    if name == "tkhd" then
      seconds = scale > 0 and track_duration(src, at) / scale or 0
    elseif name == "mdia" then
      for inner, inner_at in boxes(src, at, stop) do
        if inner == "mdhd" then
          own_scale, own = clock(src, inner_at)
        elseif inner == "hdlr" then
          kind = src:need(inner_at + 8, 4)
        end
      end
    end
  end
  if seconds == 0 and own_scale > 0 then
    seconds = own / own_scale
  end
  return kind, seconds
end

-- What the index of a fragmented file says of its whole length.
local function fragments(src, from, to, scale)
  local at = find(src, from, to, "mehd")
  if at and scale > 0 then
    local version
    version, at = full(src, at)
    return wide(src, version, at) / scale
  end
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
  local scale = clock(src, header)
  local video, sound, whole
  for name, at, stop in boxes(src, from, to) do
    if name == "trak" then
      local kind, seconds = track(src, at, stop, scale)
      if kind == "vide" then
        video = math.max(video or 0, seconds)
      elseif kind == "soun" then
        sound = math.max(sound or 0, seconds)
      end
    elseif name == "mvex" then
      whole = fragments(src, at, stop, scale)
    end
  end
  video, sound = video == 0 and whole or video, sound == 0 and whole or sound
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
