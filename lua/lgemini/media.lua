--- The MIME type of local media: an explicit one, else by the first bytes, else by the file's extension. Contents that
-- are known and do not fit the extension are an error; contents that are not known are taken at their name's word.
-- Whether the service takes a type is the service's business: gif and audio/webm are sent, too.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"

local byte, find, sub = string.byte, string.find, string.sub

local media = {}

--- Bytes of a file that `sniff` wants to see: an MP3 frame, or the list of tracks of a WebM file.
media.HEAD = 8192

--- What the service documents; for hints, not for checks.
media.DOCUMENTED = {
  "image/png", "image/jpeg", "image/webp", "image/heic", "image/heif",
  "audio/wav", "audio/mp3", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac",
  "video/mp4", "video/mpeg", "video/mov", "video/avi", "video/x-flv", "video/mpg", "video/webm", "video/wmv",
  "video/3gpp",
  "application/pdf", "text/plain", "text/html", "text/css", "text/csv", "text/xml", "text/rtf", "text/markdown",
  "text/javascript", "text/x-python", "application/json",
}

-- By kind, for messages: extension = type, or the types that such a file may hold, the likeliest first. Where IANA
-- and the service differ, the service's documentation counts (video/mov, video/avi); `.mp3` is audio/mpeg, as the
-- official SDK sends it.
local EXTENSIONS = {
  { "images", {
    png = "image/png",
    jpg = "image/jpeg",
    jpeg = "image/jpeg",
    webp = "image/webp",
    gif = "image/gif",
    bmp = "image/bmp",
    tif = "image/tiff",
    tiff = "image/tiff",
    avif = "image/avif",
    heic = { "image/heic", "image/heif" },
    heif = { "image/heif", "image/heic" },
  } },
  { "audio", {
    mp3 = "audio/mpeg",
    wav = "audio/wav",
    flac = "audio/flac",
    ogg = { "audio/ogg", "video/ogg" },
    oga = "audio/ogg",
    opus = "audio/ogg",
    aac = { "audio/aac", "audio/mpeg" }, -- an ID3 tag may hide which it is
    m4a = { "audio/m4a", "video/mp4" },
    aif = "audio/aiff",
    aiff = "audio/aiff",
    wma = { "audio/x-ms-wma", "video/wmv" },
  } },
  { "video", {
    mp4 = { "video/mp4", "video/mov", "audio/m4a", "video/3gpp" },
    m4v = { "video/mp4", "video/mov" },
    mov = { "video/mov", "video/mp4" },
    ["3gp"] = { "video/3gpp", "video/mp4" },
    webm = { "video/webm", "audio/webm" },
    mkv = { "video/x-matroska", "video/webm" },
    ogv = "video/ogg",
    avi = "video/avi",
    mpg = { "video/mpg", "video/mpeg" },
    mpeg = "video/mpeg",
    ts = "video/mp2t",
    flv = "video/x-flv",
    wmv = "video/wmv",
  } },
  { "documents and text", {
    pdf = "application/pdf",
    txt = "text/plain",
    text = "text/plain",
    log = "text/plain",
    lua = "text/plain",
    jsonl = "text/plain",
    md = "text/markdown",
    html = "text/html",
    htm = "text/html",
    css = "text/css",
    csv = "text/csv",
    xml = "text/xml",
    rtf = "text/rtf",
    js = "text/javascript",
    py = "text/x-python",
    json = "application/json",
  } },
}

-- extension -> list of types
local TYPES = {}
for _, group in ipairs(EXTENSIONS) do
  for extension, types in pairs(group[2]) do
    TYPES[extension] = type(types) == "table" and types or { types }
  end
end

-- Contents ------------------------------------------------------------------------------------------------------
-- A test gets the head and gives a type, or nil. Its second value is true for a container whose name says better
-- what is in it: then the extension wins, if it is one of those that may hold this type.

-- Boxes of ISO media (MP4 and its kin): the brands of the ftyp box, the main one first.
local BRANDS = {
  ["qt  "] = "video/mov",
  ["M4A "] = "audio/m4a",
  ["M4B "] = "audio/m4a",
  heic = "image/heic",
  heix = "image/heic",
  avif = "image/avif",
  avis = "image/avif",
  mif1 = "image/heif",
  msf1 = "image/heif",
}
-- Brands that name a family: another brand in the list says more.
local VAGUE = { mif1 = true, msf1 = true }

local function iso_media(head)
  local high, low = byte(head, 3, 4)
  local last = math.min(high * 256 + low, #head) -- of the box; one that is longer is none
  local main = sub(head, 9, 12)
  local found = BRANDS[main]
  if not found then
    return find(main, "^3g") and "video/3gpp" or "video/mp4", true
  end
  for at = 17, VAGUE[main] and last - 3 or 0, 4 do
    local brand = sub(head, at, at + 3)
    if BRANDS[brand] and not VAGUE[brand] then
      return BRANDS[brand]
    end
  end
  return found, VAGUE[main]
end

-- WebM and Matroska: the codec ids of the tracks (element 0x86: a size, then "V_..." or "A_...") tell sound from
-- pictures.
local function matroska(head)
  if not find(head, "\66\130\132webm", 1, true) then -- the document's type
    return "video/x-matroska"
  elseif find(head, "\134[\129-\191]V_") then
    return "video/webm"
  elseif find(head, "\134[\129-\191]A_") then
    return "audio/webm"
  end
  return "video/webm", true
end

local function ogg(head)
  return find(head, "\128theora", 1, true) and "video/ogg" or "audio/ogg"
end

-- RIFF files say what they are in bytes 9 to 12.
local RIFF = { WEBP = "image/webp", WAVE = "audio/wav", ["AVI "] = "video/avi" }
local function riff(head)
  return RIFF[sub(head, 9, 12)]
end

local function aiff(head)
  return find(head, "^AIF[FC]", 9) and "audio/aiff"
end

-- Frames of sound begin with 11 or 12 set bits, which is little: the next frame has to begin where this one ends, with
-- the same second byte.
local function followed(head, length)
  local a, b = byte(head, length + 1, length + 2)
  return a == 255 and b == byte(head, 2)
end

local ADTS_HERTZ = { 96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350 }

--- The frame of AAC in ADTS that begins at a byte.
---@param s string
---@param at integer  from 1; seven bytes from there are looked at
---@return integer|nil length   bytes; nil where no frame begins
---@return integer|nil samples
---@return integer|nil hertz
function media.adts_frame(s, at)
  local first, second, third, fourth, fifth, sixth, seventh = byte(s, at, at + 6)
  if first ~= 255 or not seventh or second < 240 or math.floor(second / 2) % 4 ~= 0 then
    return nil
  end
  local length = fourth % 4 * 2048 + fifth * 8 + math.floor(sixth / 32)
  local hertz = ADTS_HERTZ[math.floor(third / 4) % 16 + 1]
  if length > 7 and hertz then
    return length, 1024 * (seventh % 4 + 1), hertz
  end
end

local function adts(head)
  local length = media.adts_frame(head, 1)
  return length and followed(head, length) and "audio/aac"
end

-- MP3 (MPEG 1, 2 and 2.5, layer 3): kilobits and hertz by the numbers in the frame's header.
local KILOBITS = {
  { 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320 },
  { 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160 },
}
local VERSIONS = {
  [3] = { hertz = { 44100, 48000, 32000 }, kilobits = KILOBITS[1], samples = 1152 },
  [2] = { hertz = { 22050, 24000, 16000 }, kilobits = KILOBITS[2], samples = 576 },
  [0] = { hertz = { 11025, 12000, 8000 }, kilobits = KILOBITS[2], samples = 576 },
}

--- The frame of MP3 that begins at a byte.
---@param s string
---@param at integer  from 1; four bytes from there are looked at
---@return integer|nil length   bytes; nil where no frame begins
---@return integer|nil samples
---@return integer|nil hertz
function media.mp3_frame(s, at)
  local first, second, third, fourth = byte(s, at, at + 3)
  if first ~= 255 or not fourth or second < 224 or math.floor(second / 2) % 4 ~= 1 then
    return nil
  end
  local version = VERSIONS[math.floor(second / 8) % 4]
  local kilobits = version and version.kilobits[math.floor(third / 16)]
  local hertz = version and version.hertz[math.floor(third / 4) % 4 + 1]
  if not (kilobits and hertz) then
    return nil
  end
  local padding = math.floor(third / 2) % 2
  return math.floor(version.samples / 8 * kilobits * 1000 / hertz) + padding, version.samples, hertz
end

local function mp3(head)
  local length = media.mp3_frame(head, 1)
  return length and followed(head, length) and "audio/mpeg"
end

-- An ID3 tag usually heads an MP3, but AAC and others carry it, too. Its length has seven bits a byte; where the
-- upper half of it is set, the tag is longer than a head.
local function tagged(head)
  local a, b, high, low = byte(head, 7, 10)
  local rest = low and a + b == 0 and sub(head, high * 128 + low + 11) or ""
  local found = not find(rest, "^ID3") and media.sniff(rest)
  return found or "audio/mpeg", not found
end

local function bmp(head)
  return sub(head, 7, 10) == "\0\0\0\0" and "image/bmp"
end

-- In order: where the bytes stand (from 1), the bytes, and the type or a test.
local MAGIC = {
  { 1, "\137PNG\r\n\26\n", "image/png" },
  { 1, "\255\216\255", "image/jpeg" },
  { 1, "GIF87a", "image/gif" },
  { 1, "GIF89a", "image/gif" },
  { 1, "II*\0", "image/tiff" },
  { 1, "MM\0*", "image/tiff" },
  { 1, "BM", bmp },
  { 1, "RIFF", riff },
  { 1, "RF64", riff },
  { 1, "FORM", aiff },
  { 1, "fLaC", "audio/flac" },
  { 1, "OggS", ogg },
  { 1, "ID3", tagged },
  { 1, "\255", adts },
  { 1, "\255", mp3 },
  { 5, "ftyp", iso_media },
  { 1, "\26\69\223\163", matroska },
  { 1, "FLV\1", "video/x-flv" },
  { 1, "\48\38\178\117\142\102\207\17", function() return "video/wmv", true end },
  { 1, "\0\0\1\186", "video/mpeg" },
  { 1, "%PDF-", "application/pdf" },
  { 1, "{\\rtf", "text/rtf" },
}

--- The type that the first bytes of a file show.
---@param head string            the first `media.HEAD` bytes, or all where there are fewer
---@return string|nil mime       nil where they are not known (all plain text is)
---@return boolean|nil general   whether the extension may say it better, as with the sound of an .m4a
function media.sniff(head)
  for _, row in ipairs(MAGIC) do
    local at, bytes, what = row[1], row[2], row[3]
    if sub(head, at, at + #bytes - 1) == bytes then
      local found, general = what, nil
      if type(what) == "function" then
        found, general = what(head)
      end
      if found then
        return found, general
      end
    end
  end
end

-- Types that a file with this name may hold, or nil.
local function types_of_name(name)
  local extension = name:match "%.([%w]+)$"
  return extension and TYPES[extension:lower()]
end

--- The type that the extension of a file's name says, whatever its case.
---@param name string  a name or a path
---@return string|nil mime
function media.from_name(name)
  local types = types_of_name(name)
  return types and types[1]
end

local function contains(list, item)
  for _, member in ipairs(list) do
    if member == item then
      return true
    end
  end
  return false
end

-- The same types under other names that are in use.
local SAME = { ["image/jpg"] = "image/jpeg", ["audio/mp3"] = "audio/mpeg", ["audio/x-wav"] = "audio/wav",
  ["audio/wave"] = "audio/wav", ["audio/x-flac"] = "audio/flac", ["audio/mp4"] = "audio/m4a",
  ["audio/opus"] = "audio/ogg", ["audio/x-aiff"] = "audio/aiff", ["video/quicktime"] = "video/mov",
  ["video/x-msvideo"] = "video/avi" }

--- May a file with this name hold that type? nil where the extension says nothing.
---@param name string  a name or a path
---@param mime string  in lower case, without parameters
---@return boolean|nil
function media.holds(name, mime)
  local types = types_of_name(name)
  return types and contains(types, SAME[mime] or mime) or types and false
end

--- The extensions of files that hold a type first of all, for a message: ".jpeg, .jpg"; else the type itself.
---@param mime string  in lower case, without parameters
---@return string
function media.extensions(mime)
  local names = {}
  for extension, types in pairs(TYPES) do
    if types[1] == (SAME[mime] or mime) then
      names[#names + 1] = "." .. extension
    end
  end
  table.sort(names)
  return names[1] and table.concat(names, ", ") or mime
end

--- The extensions that are known, by kind, for a message: "images: avif, bmp, ...; audio: aac, ...".
---@return string
function media.known()
  local groups = {}
  for i, group in ipairs(EXTENSIONS) do
    local names = {}
    for extension in pairs(group[2]) do
      names[#names + 1] = extension
    end
    table.sort(names)
    groups[i] = group[1] .. ": " .. table.concat(names, ", ")
  end
  return table.concat(groups, "; ")
end

---@param mime string
---@return boolean
function media.is_video(mime)
  return find(mime, "^[vV][iI][dD][eE][oO]/") ~= nil
end

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

---@class lgemini.Media
---@field name string|nil       name or path of the file
---@field head string|nil       its first bytes, `media.HEAD` of them
---@field mime_type string|nil  an explicit type: it is believed

--- The type to send.
---@param given lgemini.Media
---@return string|nil mime
---@return lgemini.Error|nil err  kind "invalid": no telling, or name and contents differ
function media.type_of(given)
  local explicit = given.mime_type
  if explicit then
    if not find(explicit, "^[\33-\126][\32-\126]*$") then -- it becomes a header
      return invalid("a mime_type is printable ASCII text, such as image/png")
    end
    return explicit
  end
  local named = given.name and types_of_name(given.name)
  local found, general = media.sniff(given.head or "")
  if found and named and not contains(named, found) then
    return invalid(("%s holds %s, but its name says %s"):format(given.name, found, named[1]),
      "rename it, or pass mime_type")
  elseif named and (general or not found) then
    return named[1]
  elseif found then
    return found
  end
  return invalid(("the type of %s cannot be told"):format(given.name or "the data"),
    "pass mime_type, or give it a name with a known extension: " .. media.known())
end

-- What base64 makes of the first bytes of PNG, JPEG, RIFF (WebP, WAV), ID3 (MP3) and GIF.
local BASE64 = { "^iVBORw0K", "^/9j/", "^UklGR", "^SUQz", "^R0lGOD" }

--- Whether bytes that should be media are plainly the base64 text of media.
---@param data string
---@return boolean
function media.looks_like_base64(data)
  for _, prefix in ipairs(BASE64) do
    if find(data, prefix) then
      return not find(sub(data, 1, 128), "[^%w+/=_\r\n-]")
    end
  end
  return false
end

return media
