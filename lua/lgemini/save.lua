--- Media of an answer, written to a file: the bytes as they came, and spoken sound, which comes as samples alone, as a
-- WAV where the name of the file says so. Nothing is converted beyond that: a name that promises another kind of file
-- than the bytes are is refused, before anything is written.

local errors = require "lgemini.errors"
local media = require "lgemini.media"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

local save = {}

-- Names of files that hold samples alone.
local SAMPLES = { pcm = true, raw = true }

local BITS = 16
-- What stands in a WAV before its samples, less the 8 bytes that the size of a RIFF leaves out.
local BEFORE_SAMPLES = 36

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

-- `audio/L16;codec=pcm;rate=24000` -> { rate = 24000, channels = 1 }; nil where a type names no samples of 16 bits.
-- A type without a rate gives none.
local function samples_of(mime)
  local name, parameters = mime:lower():match "^%s*([^;%s]+)%s*(.*)$"
  if name ~= "audio/l16" and name ~= "audio/pcm" then
    return nil
  end
  local function number(parameter)
    return tonumber(parameters:match(";%s*" .. parameter .. "%s*=%s*\"?(%d+)"))
  end
  return { rate = number "rate", channels = number "channels" or 1 }
end

local function little_endian(number, bytes)
  local out = {}
  for i = 1, bytes do
    out[i] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(out)
end

-- The 44 bytes before samples in a WAV. The service sends them with the low byte first, as a WAV has them, though
-- audio/L16 would have the high one first.
local function wav_header(size, rate, channels)
  local frame = channels * BITS / 8
  return table.concat {
    "RIFF", little_endian(size + BEFORE_SAMPLES, 4), "WAVE",
    "fmt ", little_endian(16, 4), little_endian(1, 2), little_endian(channels, 2), little_endian(rate, 4),
    little_endian(rate * frame, 4), little_endian(frame, 2), little_endian(BITS, 2),
    "data", little_endian(size, 4),
  }
end

-- What stands before the samples in a file of that name; nil, err where such a file cannot hold them.
local function before_samples(samples, mime, size, path, extension)
  if extension ~= "wav" then
    if media.from_name(path) then
      return invalid(("%s: the bytes are samples (%s), which a .%s file does not hold"):format(path, mime, extension),
        "save it as .wav, or as .pcm for the samples alone")
    end
    return ""
  elseif not (samples.rate and samples.rate > 0 and samples.channels > 0) then
    return invalid(("%s: %s says no rate, without which there is no WAV"):format(path, mime),
      "save it as .pcm: the samples alone")
  elseif size % (samples.channels * BITS / 8) ~= 0 or size + BEFORE_SAMPLES >= 2 ^ 32
    or samples.rate * samples.channels * BITS / 8 >= 2 ^ 32 or samples.channels * BITS / 8 >= 2 ^ 16 then
    return invalid(("%s: %.0f bytes of %s are no whole samples that a WAV can hold"):format(path, size, mime),
      "save it as .pcm: the bytes as they came")
  end
  return wav_header(size, samples.rate, samples.channels)
end

-- Does the name of the file fit what is in it?
local function check_name(head, mime, path, extension)
  local found = media.sniff(head) or mime:lower():match "^%s*([^;%s]+)"
  if not found then
    return true -- nothing is known of the bytes
  elseif SAMPLES[extension] and found:find "^audio/" then
    return invalid(("%s: the bytes are %s, not samples alone"):format(path, found),
      "save it as " .. media.extensions(found))
  elseif media.holds(path, found) == false then
    return invalid(("%s: the bytes are %s, and are saved as they came"):format(path, found),
      "save it as " .. media.extensions(found) .. ", and let another program convert it")
  end
  return true
end

local NOT_THERE = 2 -- ENOENT

-- Whether there is nothing of that name. To give what is there its own name does nothing; to open it might wait.
local function is_free(path)
  local _, _, code = os.rename(path, path)
  return code == NOT_THERE
end

-- In place of what is there, which may be a pipe or a device; what was made here and could not be written goes away.
local function write(path, before, pieces)
  local made = is_free(path)
  local file, problem = io.open(path, "wb")
  local ok = file
  if file then
    ok, problem = file:write(before)
    for i = 1, ok and #pieces or 0 do
      ok, problem = file:write(pieces[i])
      if not ok then break end
    end
    local closed, why = file:close()
    if ok and not closed then ok, problem = nil, why end
    if not ok then
      problem = ("%s: %s"):format(path, tostring(problem))
      if made then os.remove(path) end
    end
  end
  if not ok then return nil, errors.new { kind = "io", message = tostring(problem) } end
  return true
end

--- Writes bytes to a file, whose name says as what: samples (audio/L16) become a WAV in a `.wav`, and stay samples in a
--- `.pcm` or any other name that is not one of a medium; all else is written as it came.
---@param path string
---@param mime string?  the type that came with the bytes
---@param pieces string[]  the bytes, one after the other
---@return true?
---@return lgemini.Error?  "invalid": the name promises what the bytes are not; "io"
function save.bytes(path, mime, pieces)
  local ok, err = options.path(path, "path")
  if not ok then return nil, err end
  local extension = (path:match "%.(%w+)$" or ""):lower()
  mime = mime or ""
  local samples = samples_of(mime)
  if not samples then
    ok, err = check_name((pieces[1] or ""):sub(1, media.HEAD), mime, path, extension)
    if not ok then return nil, err end
    return write(path, "", pieces)
  end
  local size = 0
  for _, piece in ipairs(pieces) do size = size + #piece end
  local before
  before, err = before_samples(samples, mime, size, path, extension)
  if not before then return nil, err end
  return write(path, before, pieces)
end

-- The bytes of a Blob, which may have gone to a file.
local function bytes_of(blob)
  local path = schema.file(blob)
  if not path then return blob.data end
  local file, problem = io.open(path, "rb")
  local bytes = file and file:read "*a"
  if file then file:close() end
  if not bytes then return nil, errors.new { kind = "io", message = tostring(problem or "cannot read " .. path) } end
  return bytes
end

--- Writes the media of an answer to one file. Several parts of samples are one sound, as a stream gives it in pieces.
---@param path string
---@param parts lgemini.Part[]  that carry bytes
---@return true?
---@return lgemini.Error?  "invalid": there are none, or several that are no one sound
function save.parts(path, parts)
  local pieces, mime = {}, parts[1] and parts[1].inline_data.mime_type
  for i, part in ipairs(parts) do
    local err
    pieces[i], err = bytes_of(part.inline_data)
    if not pieces[i] then return nil, err end
    if i > 1 and not (part.inline_data.mime_type == mime and mime and samples_of(mime)) then
      return invalid(("the answer carries %d media, which are not one sound"):format(#parts),
        "save each: for i, part in ipairs(response.media) do part:save(...) end")
    end
  end
  if not parts[1] then return invalid "the answer carries no media" end
  return save.bytes(path, mime, pieces)
end

--- The path that a method was given, which blames the caller where it is none.
---@param path any
---@param method string  for the message
---@return string
function save.path(path, method)
  if type(path) ~= "string" then errors.misuse(method .. "(path): a path is needed") end
  return path
end

return save
