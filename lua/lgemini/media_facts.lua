--- What the header of a media file says: pixels, seconds, pages. Only what is needed of the file is read, never all of
-- it at once; what cannot be read is an error, never a guess.

local binary = require "lgemini.binary"
local errors = require "lgemini.errors"
local media = require "lgemini.media"

local media_facts = {}

---@class lgemini.MediaFacts
---@field kind "image"|"audio"|"video"|"document"  by the contents: an MP4 without pictures is audio
---@field width integer|nil          pixels
---@field height integer|nil
---@field seconds number|nil         of the pictures
---@field audio_seconds number|nil   of the sound, also of a video's; nil where there is none
---@field pages integer|nil

-- Type -> module and function. Each gets a lgemini.Bytes and returns lgemini.MediaFacts, or gives up with `broken`.
local READERS = {
  ["image/png"] = { "lgemini.media_image", "png" },
  ["image/jpeg"] = { "lgemini.media_image", "jpeg" },
  ["image/gif"] = { "lgemini.media_image", "gif" },
  ["image/webp"] = { "lgemini.media_riff", "webp" },
  ["image/heic"] = { "lgemini.media_boxes", "image" },
  ["image/heif"] = { "lgemini.media_boxes", "image" },
  ["image/avif"] = { "lgemini.media_boxes", "image" },
  ["audio/wav"] = { "lgemini.media_riff", "wav" },
  ["audio/aiff"] = { "lgemini.media_riff", "aiff" },
  ["audio/mpeg"] = { "lgemini.media_sound", "mp3" },
  ["audio/aac"] = { "lgemini.media_sound", "aac" },
  ["audio/flac"] = { "lgemini.media_sound", "flac" },
  ["audio/ogg"] = { "lgemini.media_sound", "ogg" },
  ["audio/m4a"] = { "lgemini.media_boxes", "movie" },
  ["audio/webm"] = { "lgemini.media_matroska", "read" },
  ["video/mp4"] = { "lgemini.media_boxes", "movie" },
  ["video/mov"] = { "lgemini.media_boxes", "movie" },
  ["video/3gpp"] = { "lgemini.media_boxes", "movie" },
  ["video/webm"] = { "lgemini.media_matroska", "read" },
  ["video/x-matroska"] = { "lgemini.media_matroska", "read" },
  ["video/avi"] = { "lgemini.media_riff", "avi" },
  ["application/pdf"] = { "lgemini.media_pdf", "read" },
}

-- Other names of the same types.
local ALIASES = {
  ["image/jpg"] = "image/jpeg",
  ["audio/mp3"] = "audio/mpeg",
  ["audio/x-wav"] = "audio/wav",
  ["audio/x-aiff"] = "audio/aiff",
  ["audio/x-aac"] = "audio/aac",
  ["audio/x-flac"] = "audio/flac",
  ["audio/x-m4a"] = "audio/m4a",
  ["audio/mp4"] = "audio/m4a",
  ["audio/opus"] = "audio/ogg",
  ["video/quicktime"] = "video/mov",
  ["video/x-msvideo"] = "video/avi",
}

-- More than the service takes, and than any header means.
local MAX_PIXELS, MAX_SECONDS, MAX_PAGES = 1000000, 1e7, 1000000

local HINT = "client.models:count_tokens asks the service"

-- What is missing in the facts, or makes no sense.
local function problem(facts)
  local function size(pixels)
    return pixels and pixels >= 1 and pixels <= MAX_PIXELS
  end
  local function time(seconds)
    return seconds and seconds > 0 and seconds <= MAX_SECONDS
  end
  if facts.kind == "image" then
    return not (size(facts.width) and size(facts.height)) and "does not say how large its image is"
  elseif facts.kind == "document" then
    return not (facts.pages >= 1 and facts.pages <= MAX_PAGES) and "does not say how many pages it has"
  elseif facts.kind == "video" and not time(facts.seconds) or facts.audio_seconds and not time(facts.audio_seconds)
    or not (facts.seconds or facts.audio_seconds) then
    return "does not say how long it is"
  end
end

---@param src lgemini.Bytes
---@param mime_type string  as it would be sent; the contents count first
---@return lgemini.MediaFacts|nil
---@return lgemini.Error|nil err  "invalid": not a type that is read here, or not whole; "io". Its message goes behind
---the name of the file: "ends within its moov box"
function media_facts.of(src, mime_type)
  local ok, facts = pcall(function()
    local found = media.sniff(src:read(0, media.HEAD)) or mime_type:lower()
    local reader = READERS[ALIASES[found] or found]
    if not reader then
      src:broken("is %s, which is not read here", found)
    end
    local result = require(reader[1])[reader[2]](src)
    local wrong = problem(result)
    if wrong then
      src:broken(wrong)
    end
    return result
  end)
  if ok then
    return facts
  elseif not binary.is_broken(facts) then
    error(facts, 0)
  end
  return nil, facts.err or errors.new { kind = "invalid", message = facts.message, hint = HINT }
end

return media_facts
