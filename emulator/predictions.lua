-- Images and videos out of a prompt: {model}:predict, {model}:predictLongRunning and its operations. What is made is
-- plain, but really a PNG or an MP4 of the shape and length that were asked for.

local base64 = require "base64"
local check = require "check"
local errors = require "errors"
local intake = require "intake"
local json = require "json"
local made = require "made"
local media = require "media"
local models = require "models"
local movie = require "movie"
local source = require "source"
local store = require "store"

local predictions = {}
predictions.__index = predictions

local VIDEO_ANSWER = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
local MOST = 4 -- images or videos in one answer

---@param emu table the emulator's parts
---@return table predictions
function predictions.new(emu)
  return setmetatable({ emu = emu, store = store.new("models/", store.not_found) }, predictions)
end

local function read(ex, emu, model, method, version, message)
  models.find(model, method, version)
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  ex.note({ model = model })
  local request = check.message(body.value, message)
  if #(request.instances or {}) ~= 1 then error(errors.new(400, "One instance is needed.")) end
  return body, request.instances[1], request.parameters or {}
end

local function number(parameters, name, least, most, default)
  local n = parameters[name] or default
  if n < least or n > most then
    error(errors.new(400, ("%s is out of range; it must be between %d and %d."):format(name, least, most)))
  end
  return n
end

-- Base64 in these bodies has the standard alphabet only.
local function check_media(body, object, field, kind, place)
  local text = object[field]
  if text == nil then return end
  local src = not text:find("[-_]") and intake.bytes(body, text)
  local facts = src and media.facts(src)
  if src then src:close() end
  if not facts or facts.kind ~= kind then
    error(errors.new(400, ("%s is no %s in standard base64."):format(place, kind)))
  end
end

local function check_instance(body, instance)
  if not (instance.prompt or instance.image or instance.video) then
    error(errors.new(400, "prompt, image or video is needed."))
  end
  for _, field in ipairs({ "image", "lastFrame" }) do
    check_media(body, instance[field] or {}, "bytesBase64Encoded", "image", field)
  end
  for _, reference in ipairs(instance.referenceImages or {}) do
    check_media(body, reference.image or {}, "bytesBase64Encoded", "image", "referenceImages")
  end
  check_media(body, instance.video or {}, "encodedVideo", "video", "video")
end

--- POST {model}:predict
function predictions.images(ex, emu, model, version)
  local _, instance, parameters = read(ex, emu, model, "predict", version, "PredictImagesRequest")
  if (instance.prompt or "") == "" then error(errors.new(400, "prompt is needed.")) end
  local output, aspect = parameters.outputOptions or {}, parameters.aspectRatio or "1:1"
  local width, height = made.shape(aspect)
  if not width then error(errors.new(400, "aspectRatio is not valid: " .. aspect)) end
  if (output.mimeType or "image/png") ~= "image/png" then
    error(errors.new(400, "The emulator makes PNG only."))
  end
  local list = json.array({})
  for i = 1, number(parameters, "sampleCount", 1, MOST, 4) do
    if instance.prompt:find("[filtered]", 1, true) then
      list[i] = { raiFilteredReason = "The prompt asked the emulator to filter what it makes." }
    else
      list[i] = { mimeType = "image/png", bytesBase64Encoded = base64.encode(made.png(width, height)) }
    end
  end
  ex:answer_json({ predictions = list })
end

-- The file of one video.
local function make_file(self, operation)
  local width, height = made.shape(operation.aspect)
  local bytes = movie.mp4(width, height, operation.seconds)
  local path = self.emu.temporary .. "/" .. store.new_id()
  local out = assert(io.open(path, "wb"))
  assert(out:write(bytes))
  out:close()
  return self.emu.files:create({ path = path, size = #bytes, sha256 = source.sha256_of(bytes),
    mime_type = "video/mp4", owner = operation.owner, origin = "GENERATED" })
end

-- What the clock has brought about.
local function settle(self, operation)
  if operation.answer or self.emu.clock:now() < operation.ready then return end
  local response = { ["@type"] = VIDEO_ANSWER, generateVideoResponse = {} }
  operation.answer = { response = response }
  if operation.prompt:find("[filtered]", 1, true) then
    response.generateVideoResponse = { raiMediaFilteredCount = operation.count,
      raiMediaFilteredReasons = { "The prompt asked the emulator to filter what it makes." } }
  elseif operation.prompt:find("[fails]", 1, true) then
    operation.answer = { error = { code = 13, message = "The prompt asked the emulator to fail." } }
  else
    local samples = {}
    for i = 1, operation.count do
      local file = self.emu.files:object(make_file(self, operation))
      samples[i] = { video = { uri = file.downloadUri } }
    end
    response.generateVideoResponse.generatedSamples = samples
  end
end

local function show(self, operation)
  settle(self, operation)
  local answer = operation.answer or {}
  return { name = operation.name, done = operation.answer and true or nil, response = answer.response,
    error = answer.error }
end

--- POST {model}:predictLongRunning
function predictions.videos(ex, emu, model, version)
  local self = emu.predictions
  local body, instance, parameters = read(ex, emu, model, "predictLongRunning", version, "PredictVideosRequest")
  check_instance(body, instance)
  local aspect = parameters.aspectRatio or "16:9"
  if aspect ~= "16:9" and aspect ~= "9:16" then
    error(errors.new(400, ("aspectRatio %s is not supported; use 16:9 or 9:16."):format(aspect)))
  end
  local operation = self.store:add({ name = ("models/%s/operations/%s"):format(model, store.new_id()),
    prompt = intake.text(body, instance.prompt or ""), aspect = aspect,
    seconds = number(parameters, "durationSeconds", 4, 8, 8), count = number(parameters, "sampleCount", 1, MOST, 1),
    ready = emu.clock:now() + emu.settings.video }, ex.owner)
  ex:answer_json(show(self, operation))
end

--- GET models/{model}/operations/{id}
function predictions:get_operation(ex, name)
  ex:answer_json(show(self, self.store:find(name, ex.owner)))
end

return predictions
