-- Facts about media: what it is by its own bytes, pixels, seconds, pages, and whether it is whole. Reads only what it
-- needs of a `source`. A function per format takes the source and the facts to fill in; nil facts mean "not known".

local media = {}

local function be(s, at, n) -- big-endian unsigned, at is 1-based
  local v = 0
  for i = at, at + n - 1 do v = v * 256 + (s:byte(i) or 0) end
  return v
end

local function le(s, at, n)
  local v = 0
  for i = at + n - 1, at, -1 do v = v * 256 + (s:byte(i) or 0) end
  return v
end

-- Images

local function png(src, facts)
  local head = src:read(16, 8)
  if #head == 8 then facts.width, facts.height = be(head, 1, 4), be(head, 5, 4) end
  facts.broken = src:read(src.size - 12, 12):sub(5, 8) ~= "IEND" and "the image ends early" or nil
end

local function gif(src, facts)
  local head = src:read(6, 4)
  if #head == 4 then facts.width, facts.height = le(head, 1, 2), le(head, 3, 2) end
end

local function bmp(src, facts)
  local head = src:read(18, 8)
  if #head == 8 then facts.width, facts.height = le(head, 1, 4), le(head, 5, 4) end
end

local function jpeg(src, facts)
  local at = 2
  while at < src.size do
    local head = src:read(at, 9)
    if head:byte(1) ~= 0xFF then break end
    local marker = head:byte(2) or 0
    if marker == 0xFF then
      at = at + 1
    elseif marker >= 0xC0 and marker <= 0xCF and marker ~= 0xC4 and marker ~= 0xC8 and marker ~= 0xCC then
      facts.height, facts.width = be(head, 6, 2), be(head, 8, 2)
      return
    else
      at = at + 2 + be(head, 3, 2)
    end
  end
  facts.broken = "no frame in the image"
end

local function webp(src, facts)
  local head = src:read(12, 18)
  local kind = head:sub(1, 4)
  if kind == "VP8 " then
    facts.width, facts.height = le(head, 15, 2) % 16384, le(head, 17, 2) % 16384
  elseif kind == "VP8L" then
    local bits = le(head, 10, 4)
    facts.width = bits % 16384 + 1
    facts.height = math.floor(bits / 16384) % 16384 + 1
  elseif kind == "VP8X" then
    facts.width, facts.height = le(head, 13, 3) + 1, le(head, 16, 3) + 1
  end
end

-- Sound

local function wav(src, facts)
  local at, rate = 12, nil
  while at + 8 <= src.size do
    local head = src:read(at, 24)
    local name, size = head:sub(1, 4), le(head, 5, 4)
    if name == "fmt " then
      rate = le(head, 17, 4) -- bytes a second
    elseif name == "data" then
      if rate and rate > 0 then facts.seconds = math.min(size, src.size - at - 8) / rate end
      return
    end
    at = at + 8 + size + size % 2
  end
end

local function extended(bytes) -- an 80-bit float, as AIFF has it
  local exponent = be(bytes, 1, 2) % 32768 - 16383
  return be(bytes, 3, 8) * 2 ^ (exponent - 63)
end

local function aiff(src, facts)
  local at = 12
  while at + 8 <= src.size do
    local head = src:read(at, 26)
    local size = be(head, 5, 4)
    if head:sub(1, 4) == "COMM" then
      local rate = extended(head:sub(17, 26))
      if rate > 0 then facts.seconds = be(head, 11, 4) / rate end
      return
    end
    at = at + 8 + size + size % 2
  end
end

local function flac(src, facts)
  local head = src:read(8, 34) -- the STREAMINFO block
  local rate = math.floor(be(head, 11, 3) / 16)
  local samples = be(head, 14, 1) % 16 * 2 ^ 32 + be(head, 15, 4)
  if rate > 0 and samples > 0 then facts.seconds = samples / rate end
end

local mp3_rates = {
  [1] = { 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320 }, -- kbit/s, MPEG 1
  [2] = { 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160 },
}
local mp3_samplings = { [3] = { [0] = 44100, 48000, 32000 }, [2] = { [0] = 22050, 24000, 16000 },
  [0] = { [0] = 11025, 12000, 8000 } }

--- A layer III frame header: rate of samples, samples in a frame, bytes a second; nil when it is none.
local function mp3_frame(head)
  local a, b, c = head:byte(1, 3)
  if not c or a ~= 0xFF or b < 0xE0 then return nil end
  local version, layer = math.floor(b / 8) % 4, math.floor(b / 2) % 4
  local rate_index, sampling_index = math.floor(c / 16), math.floor(c / 4) % 4
  local samplings = mp3_samplings[version]
  local rate = mp3_rates[version == 3 and 1 or 2][rate_index]
  if layer ~= 1 or not samplings or not samplings[sampling_index] or not rate then return nil end
  return samplings[sampling_index], version == 3 and 1152 or 576, rate * 125
end

local function mp3(src, facts)
  local start = 0
  local id3 = src:read(0, 10)
  if id3:sub(1, 3) == "ID3" then
    local a, b, c, d = id3:byte(7, 10)
    start = 10 + ((a * 128 + b) * 128 + c) * 128 + d
  end
  local block = src:read(start, 8192)
  for at = 1, #block - 4 do
    local sampling, samples, rate = mp3_frame(block:sub(at, at + 3))
    if sampling then
      local count
      local mark = block:find("Xing", at, true) or block:find("Info", at, true)
      if mark and mark < at + 64 and be(block, mark + 4, 4) % 2 == 1 then count = be(block, mark + 8, 4) end
      mark = block:find("VBRI", at, true)
      if mark and mark < at + 64 then count = be(block, mark + 14, 4) end
      facts.seconds = count and count * samples / sampling or (src.size - start - at + 1) / rate
      return
    end
  end
  facts.broken = "no frame of sound"
end

local adts_samplings = { [0] = 96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350 }

local function aac(src, facts)
  local sampling, frames, at = nil, 0, 0
  local block, base = "", 0
  while true do
    if at + 7 > base + #block then
      block, base = src:read(at, 262144), at
      if #block < 7 then break end
    end
    local a, b, c, d, e, f = block:byte(at - base + 1, at - base + 6)
    if a ~= 0xFF or b < 0xF0 then break end
    local size = d % 4 * 2048 + e * 8 + math.floor(f / 32)
    if size < 7 then break end
    sampling = sampling or adts_samplings[math.floor(c / 4) % 16]
    frames = frames + 1
    at = at + size
  end
  if sampling and frames > 0 then facts.seconds = frames * 1024 / sampling end
end

local function ogg(src, facts)
  local head = src:read(0, 512)
  local rate, skip = nil, 0
  local mark = head:find("\1vorbis", 1, true)
  if mark then
    rate = le(head, mark + 12, 4)
  else
    mark = head:find("OpusHead", 1, true)
    if mark then rate, skip = 48000, le(head, mark + 10, 2) end
  end
  if head:find("theora", 1, true) then facts.kind, facts.type = "video", "video/ogg" end
  local tail = src:read(math.max(0, src.size - 65536), 65536)
  local last, from = nil, 1
  while true do
    local at = tail:find("OggS\0", from, true)
    if not at then break end
    if at + 26 <= #tail and tail:sub(at + 6, at + 13) ~= ("\255"):rep(8) then last = le(tail, at + 6, 8) end
    from = at + 4
  end
  if rate and rate > 0 and last then facts.seconds = math.max(0, last - skip) / rate end
end

-- Containers

--- Walks the boxes of an ISO file between two offsets; `visit(name, start, size)` gets each payload. Returns the name
--- of a box that reaches beyond the end.
local function boxes(src, from, to, visit)
  local at = from
  while at + 8 <= to do
    local head = src:read(at, 16)
    local size, name, header = be(head, 1, 4), head:sub(5, 8), 8
    if size == 1 then
      size, header = be(head, 9, 8), 16
    elseif size == 0 then
      size = to - at
    end
    if size < header or not name:find("^[%w\169 ][%w ]+$") then return "junk" end
    if at + size > to then return name end
    visit(name, at + header, size - header)
    at = at + size
  end
end

local function mp4_track(src, facts, at, size)
  local width, height, handler
  boxes(src, at, at + size, function(name, start, length)
    if name == "tkhd" then
      local body = src:read(start + length - 8, 8)
      width, height = be(body, 1, 2), be(body, 5, 2)
    elseif name == "mdia" then
      boxes(src, start, start + length, function(inner, inner_start)
        if inner == "hdlr" then handler = src:read(inner_start + 8, 4) end
      end)
    end
  end)
  if handler == "vide" then
    facts.has_video, facts.width, facts.height = true, facts.width or width, facts.height or height
  elseif handler == "soun" then
    facts.has_audio = true
  end
end

local function mp4(src, facts)
  local brand = src:read(8, 4)
  if brand == "heic" or brand == "heix" or brand == "mif1" or brand == "avif" then
    facts.kind, facts.type = "image", brand == "avif" and "image/avif" or "image/heic"
    local head = src:read(0, 16384)
    local mark = head:find("ispe", 1, true)
    if mark then facts.width, facts.height = be(head, mark + 8, 4), be(head, mark + 12, 4) end
    return
  end
  local moov
  local short = boxes(src, 0, src.size, function(name, start, size)
    if name ~= "moov" then return end
    moov = true
    boxes(src, start, start + size, function(inner, at, length)
      if inner == "mvhd" then
        local body = src:read(at, 32)
        local long = body:byte(1) == 1
        local scale = be(body, long and 21 or 13, 4)
        local duration = long and be(body, 25, 8) or be(body, 17, 4)
        if scale > 0 then facts.seconds = duration / scale end
      elseif inner == "trak" then
        mp4_track(src, facts, at, length)
      end
    end)
  end)
  if short then
    facts.broken = "the file ends within its '" .. short .. "' box"
  elseif not moov then
    facts.broken = "the file has no 'moov' box"
  end
  if facts.has_audio and not facts.has_video then
    facts.kind, facts.type = "audio", "audio/m4a"
  elseif brand == "qt  " then
    facts.type = "video/mov"
  elseif brand:sub(1, 3) == "3gp" then
    facts.type = "video/3gpp"
  end
end

--- An EBML number: value, bytes it takes. `keep` keeps the length marker, as ids have it.
local function vint(s, at, keep)
  local first = s:byte(at)
  if not first or first == 0 then return nil end
  local length, mark = 1, 128
  while first < mark do length, mark = length + 1, mark / 2 end
  local v = keep and first or first - mark
  for i = at + 1, at + length - 1 do v = v * 256 + (s:byte(i) or 0) end
  return v, length
end

local function float(bytes)
  local double = #bytes == 8
  local high = be(bytes, 1, double and 2 or 2)
  local exponent, fraction
  if double then
    exponent = math.floor(high / 16) % 2048
    fraction = (high % 16) * 2 ^ 48 + be(bytes, 3, 6)
    return exponent == 0 and 0 or (1 + fraction / 2 ^ 52) * 2 ^ (exponent - 1023)
  end
  exponent = math.floor(high / 128) % 256
  fraction = (high % 128) * 65536 + be(bytes, 3, 2)
  return exponent == 0 and 0 or (1 + fraction / 2 ^ 23) * 2 ^ (exponent - 127)
end

local SEGMENT, INFO, TRACKS, CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675

--- Walks EBML elements, into those for which the visitor returns true. Returns true when one reaches beyond the end.
local function elements(src, from, to, visit)
  local at = from
  while at < to do
    local head = src:read(at, 16)
    local id, id_size = vint(head, 1, true)
    if not id then return false end
    local size, size_size = vint(head, 1 + id_size)
    if not size then return true end
    local start = at + id_size + size_size
    local unknown = size == 2 ^ (7 * size_size) - 1
    local stop = unknown and to or start + size
    if stop > to and id ~= SEGMENT then return true end
    stop = math.min(stop, to)
    if visit(id, start, stop) and elements(src, start, stop, visit) then return true end
    at = stop
  end
  return false
end

local function matroska(src, facts)
  local scale, duration, last, cluster_time = 1000000, nil, nil, 0
  local short = elements(src, 0, src.size, function(id, start, stop)
    local function body() return src:read(start, stop - start) end
    if id == 0x2AD7B1 then scale = be(body(), 1, stop - start)
    elseif id == 0x4489 then duration = float(body())
    elseif id == 0x83 then
      local kind = src:read(start, 1):byte()
      facts.has_video = facts.has_video or kind == 1
      facts.has_audio = facts.has_audio or kind == 2
    elseif id == 0xB0 then facts.width = be(body(), 1, stop - start)
    elseif id == 0xBA then facts.height = be(body(), 1, stop - start)
    elseif id == 0xE7 then cluster_time = be(body(), 1, stop - start)
    elseif id == 0xA3 or id == 0xA1 then last = cluster_time + be(src:read(start, 4), 2, 2)
    elseif id == 0x4282 then facts.type = body():find("^webm") and facts.type or "video/x-matroska"
    end
    -- Into: header, segment, info, tracks and their entries, clusters and block groups.
    return id == 0x1A45DFA3 or id == SEGMENT or id == INFO or id == TRACKS or id == 0xAE or id == 0xE0
      or (id == CLUSTER and not duration) or id == 0xA0
  end)
  if duration then facts.seconds = duration * scale / 1e9
  elseif last then facts.seconds = last * scale / 1e9 end
  if short then facts.broken = "the file ends within an element" end
  if facts.has_audio and not facts.has_video then facts.kind, facts.type = "audio", "audio/webm" end
end

local function avi(src, facts)
  local head = src:read(0, 8192)
  local mark = head:find("avih", 1, true)
  if mark then
    facts.seconds = le(head, mark + 8, 4) * le(head, mark + 24, 4) / 1e6
    facts.width, facts.height = le(head, mark + 40, 4), le(head, mark + 44, 4)
  end
  facts.has_video = head:find("vids", 1, true) ~= nil
  local sound = head:find("strh....auds") -- a stream's header
  facts.has_audio = sound ~= nil
  if sound then
    local rate = le(head, sound + 32, 4)
    facts.sound_seconds = rate > 0 and le(head, sound + 40, 4) * le(head, sound + 28, 4) / rate or nil
  end
  if not mark or le(head, 5, 4) + 8 > src.size then facts.broken = "the file ends early" end
end

local function pdf(src, facts)
  local pages, rest = 0, ""
  for offset = 0, src.size - 1, 262144 do
    local block = rest .. src:read(offset, 262144)
    local from = 1
    while true do -- "/Type /Page", not "/Type /Pages"
      local _, stop = block:find("/Type%s*/Page", from)
      if not stop or stop == #block then break end
      if not block:find("^s", stop + 1) then pages = pages + 1 end
      from = stop + 1
    end
    rest = block:sub(math.max(from, #block - 32))
  end
  facts.pages = math.max(pages, 1)
end

-- By their first bytes: pattern, kind, type, reader

local magics = {
  { "^\137PNG\r\n\26\n", "image", "image/png", png },
  { "^\255\216\255", "image", "image/jpeg", jpeg },
  { "^GIF8[79]a", "image", "image/gif", gif },
  { "^RIFF....WEBP", "image", "image/webp", webp },
  { "^BM....%z%z%z%z", "image", "image/bmp", bmp },
  { "^RIFF....WAVE", "audio", "audio/wav", wav },
  { "^FORM....AIF[FC]", "audio", "audio/aiff", aiff },
  { "^fLaC", "audio", "audio/flac", flac },
  { "^OggS", "audio", "audio/ogg", ogg },
  { "^ID3", "audio", "audio/mpeg", mp3 },
  { "^\255[\240\241\248\249]", "audio", "audio/aac", aac },
  { "^\255[\226\227\242\243\250\251]", "audio", "audio/mpeg", mp3 },
  { "^....ftyp", "video", "video/mp4", mp4 },
  { "^....moov", "video", "video/mov", mp4 },
  { "^....mdat", "video", "video/mov", mp4 },
  { "^\26\69\223\163", "video", "video/webm", matroska },
  { "^RIFF....AVI ", "video", "video/avi", avi },
  { "^FLV\1", "video", "video/x-flv" },
  { "^%z%z\1\186", "video", "video/mpeg" },
  { "^\48\38\178\117\142\102\207\17", "video", "video/wmv" },
  { "^%%PDF%-", "document", "application/pdf", pdf },
}

--- Facts: `kind` ("image", "audio", "video", "document", "text", "unknown"), `type` (nil when unknown), `width`,
--- `height`, `seconds`, `sound_seconds` (where the sound has others), `pages`, `has_audio`, `has_video`, and `broken`,
--- a phrase, when it is not whole.
---@param src table `source`
---@return table facts
function media.facts(src)
  local head = src:read(0, 4096)
  for _, magic in ipairs(magics) do
    if head:find(magic[1]) then
      local facts = { kind = magic[2], type = magic[3] }
      if magic[4] then
        local ok, err = pcall(magic[4], src, facts)
        if not ok then facts.broken = "unreadable: " .. tostring(err) end
      end
      return facts
    end
  end
  if #head > 0 and not head:find("[%z\1-\8\14-\31]") then return { kind = "text" } end
  return { kind = "unknown" }
end

-- Types the service takes; text types are taken as plain text.

local families = {
  image = " png jpeg jpg webp heic heif gif bmp ",
  audio = " wav x-wav wave mp3 mpeg mpga aiff x-aiff aac x-aac ogg flac x-flac m4a x-m4a mp4 opus l16 webm alaw mulaw "
    .. "pcm ",
  video = " mp4 mpeg mov quicktime avi x-msvideo x-flv mpg mpegps webm wmv x-ms-wmv 3gpp ",
  application = " pdf json x-javascript x-python rtf xml jsonl ",
}

--- "image", "audio", "video" or "document" for a type the service takes, nil for others.
---@param mime_type string
---@return string?
function media.family(mime_type)
  local family, rest = mime_type:lower():match("^([%w]+)/([%w%.%+%-]+)")
  if not family then return nil end
  if family == "text" then return "document" end
  local list = families[family]
  if not list or not list:find(" " .. rest .. " ", 1, true) then return nil end
  return family == "application" and "document" or family
end

return media
