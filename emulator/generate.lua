-- generateContent, streamGenerateContent and countTokens.

local answer = require "answer"
local beside = require "beside"
local check = require "check"
local content = require "content"
local errors = require "errors"
local events = require "events"
local intake = require "intake"
local json = require "json"
local made = require "made"
local models = require "models"

local generate = {}

local serial = 0

local function details(counts)
  local list = {}
  for _, name in ipairs({ "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT" }) do
    if (counts[name] or 0) > 0 then list[#list + 1] = { modality = name, tokenCount = counts[name] } end
  end
  return list[1] and list
end

--- Running totals; a count of 0 is absent.
local function usage(call, output, thoughts)
  local cached = call.cache and call.cache.tokens
  return {
    promptTokenCount = call.prompt_tokens, promptTokensDetails = details(call.counts),
    cachedContentTokenCount = cached, cacheTokensDetails = cached and details(call.cache.counts),
    candidatesTokenCount = output > 0 and output or nil, thoughtsTokenCount = thoughts > 0 and thoughts or nil,
    totalTokenCount = call.prompt_tokens + output + thoughts,
  }
end

local function response(call, candidates, output, thoughts)
  return { candidates = candidates, usageMetadata = usage(call, output, thoughts), modelVersion = call.model,
    responseId = call.response_id }
end

--- Raises the API's 429 when the key has used up what it may.
local function spend_quota(emu, ex, model)
  local now, settings = emu.clock:now(), emu.settings
  for _, period in ipairs({ { "PerMinute", settings.quota, 60 }, { "PerDay", settings.quota_per_day, 86400 } }) do
    local name, limit, length = period[1], period[2], period[3]
    if limit > 0 then
      local window = math.floor(now / length)
      local key = table.concat({ name, model, ex.owner }, " ")
      local used = emu.used[key]
      if not used or used.window ~= window then used = { window = window, n = 0 } end
      emu.used[key] = used
      if used.n >= limit then error(errors.quota(name, model, limit, (window + 1) * length - now)) end
      used.n = used.n + 1
    end
  end
end

local function check_config(request)
  local config = request.generationConfig or {}
  if config.responseSchema and (config.responseJsonSchema or config._responseJsonSchema) then
    error(errors.new(400, "Only one of response_schema and response_json_schema may be set."))
  end
  local kind = config.responseMimeType or ""
  local has_schema = config.responseSchema or config.responseJsonSchema or config._responseJsonSchema
  if has_schema and kind ~= "application/json" and kind ~= "text/x.enum" then
    error(errors.new(400, "response_mime_type must be application/json or text/x.enum when a response schema is set."))
  end
  if kind ~= "" and kind ~= "text/plain" and kind ~= "application/json" and kind ~= "text/x.enum" then
    error(errors.bad_request("* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are "
      .. "`text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`.",
      "generation_config.response_mime_type"))
  end
  local speech = config.speechConfig or {}
  if speech.voiceConfig and speech.multiSpeakerVoiceConfig then
    error(errors.new(400, "Only one of voice_config and multi_speaker_voice_config may be set."))
  end
  local aspect = (config.imageConfig or {}).aspectRatio
  if aspect and not made.shape(aspect) then
    error(errors.new(400, "aspect_ratio is not valid: " .. aspect))
  end
  local logprobs = config.logprobs or 0
  if logprobs ~= 0 and not config.responseLogprobs then
    error(errors.new(400, "logprobs may be set only where response_logprobs is true."))
  elseif logprobs < 0 or logprobs > 20 then
    error(errors.new(400, "logprobs must be in the range [0, 20]."))
  end
  if #(config.stopSequences or {}) > 5 then
    error(errors.new(400, "The number of stop sequences must be at most 5."))
  end
  if config.temperature and (config.temperature < 0 or config.temperature > 2) then
    error(errors.bad_request("* GenerateContentRequest.generation_config.temperature: temperature must be in the range "
      .. "[0.0, 2.0].", "generation_config.temperature"))
  end
end

--- Looks at a checked request.
local function look(ex, emu, body, model, request)
  serial = serial + 1
  local call = {
    ex = ex, emu = emu, body = body, model = model, is_three = model:find("^gemini%-3") ~= nil, request = request,
    response_id = string.format("emulator-%d-%d", os.time(), serial),
  }
  check_config(request)
  call.cache = emu.caches:of(request, model, ex.owner)
  call.items, call.counts = content.read(call)
  for modality, n in pairs(call.cache and call.cache.counts or {}) do
    call.counts[modality] = (call.counts[modality] or 0) + n
  end
  call.prompt_tokens = 0
  for _, n in pairs(call.counts) do call.prompt_tokens = call.prompt_tokens + n end
  return call
end

--- Reads, checks and looks at a generateContent request.
local function take(ex, emu, model, method, version)
  models.find(model, method, version)
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "GenerateContentRequest")
  spend_quota(emu, ex, model)
  local call = look(ex, emu, body, model, request)
  ex.note({ model = model, parts = json.array(content.summary(call.items)) })
  return call
end

--- The answer that a scripted fault puts in place of the usual one, or nil.
local function faulty(call, fault)
  if not fault then return nil end
  if fault.action == "blocked" then
    local whole = response(call, nil, 0, 0)
    whole.promptFeedback = { blockReason = fault.reason or "PROHIBITED_CONTENT" }
    return whole
  elseif fault.action == "no_candidates" then
    return response(call, nil, 0, 0)
  elseif fault.action == "no_content" then
    return response(call, { { content = { role = "model" }, finishReason = fault.reason or "STOP", index = 0 } }, 0, 0)
  end
end

--- Gives the candidates the finish reason of a fault, and half of their pieces.
local function spoil(candidates, fault)
  if not fault or fault.action ~= "finish" then return end
  for _, candidate in ipairs(candidates) do
    candidate.reason, candidate.message = fault.reason or "SAFETY", fault.message
    for i = #candidate.pieces, math.ceil(#candidate.pieces / 2) + 1, -1 do candidate.pieces[i] = nil end
  end
end

-- A candidate as the wire has it: these parts, and with the last of them (`ends`) what is said at the end.
local function shown(call, candidate, index, parts, ends)
  local text = {}
  for i, part in ipairs(parts or {}) do text[i] = not part.thought and part.text or "" end
  local result, average = beside.logprobs(call.request.generationConfig or {}, table.concat(text))
  return {
    content = { role = "model", parts = parts }, index = index, logprobsResult = result, avgLogprobs = average,
    finishReason = ends and candidate.reason or nil, finishMessage = ends and candidate.message or nil,
    groundingMetadata = ends and candidate.grounding or nil, urlContextMetadata = ends and candidate.addresses or nil,
  }
end

-- The whole answer to a call.
local function respond(call, fault)
  local candidates, output, thoughts = answer.compose(call), 0, 0
  spoil(candidates, fault)
  local list = {}
  for i, candidate in ipairs(candidates) do
    for _, piece in ipairs(candidate.pieces) do output = output + answer.cost(piece) end
    thoughts = thoughts + candidate.thoughts
    local parts = answer.join(candidate.pieces)
    list[i] = shown(call, candidate, i - 1, parts[1] and parts, true)
  end
  return response(call, list, output, thoughts)
end

--- POST {model}:generateContent
function generate.content(ex, emu, model, version)
  local call = take(ex, emu, model, "generateContent", version)
  ex:answer_json(faulty(call, ex.fault) or respond(call, ex.fault))
end

--- The answer to a request that is part of something else: a batch, an interaction.
---@param emu table
---@param body table from `intake.read`
---@param who table owner, model (without models/)
---@param request table checked
---@return table response
function generate.response_to(emu, body, who, request)
  return respond(look({ owner = who.owner }, emu, body, who.model, request))
end

--- The i-th event of a stream.
local function event(call, candidates, i, last, totals)
  local list = {}
  for n, candidate in ipairs(candidates) do
    local piece = candidate.pieces[i]
    if i == 1 then totals.thoughts = totals.thoughts + candidate.thoughts end
    totals.output = totals.output + (piece and answer.cost(piece) or 0)
    if piece or i == last then
      list[#list + 1] = shown(call, candidate, n - 1, piece and { answer.part(piece) }, i == last)
    end
  end
  return response(call, list, totals.output, totals.thoughts)
end

--- POST {model}:streamGenerateContent
function generate.stream(ex, emu, model, version)
  local call = take(ex, emu, model, "streamGenerateContent", version)
  local out = events.new(ex, emu.pace)
  local replaced = faulty(call, ex.fault)
  if replaced then
    out:send(replaced)
    return out:finish()
  end
  local candidates, last = answer.compose(call), 1
  spoil(candidates, ex.fault)
  for _, candidate in ipairs(candidates) do last = math.max(last, #candidate.pieces) end
  local totals = { output = 0, thoughts = 0 }
  for i = 1, last do
    local value = event(call, candidates, i, last, totals)
    if ex.fault and ex.fault.action == "no_finish" then
      for _, candidate in ipairs(value.candidates) do candidate.finishReason = nil end
    end
    if not out:send(value) then return end
  end
  out:finish()
end

--- POST {model}:countTokens, in both of its forms
function generate.count(ex, emu, model, version)
  models.find(model, "countTokens", version)
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "CountTokensRequest")
  if request.contents and request.generateContentRequest then
    error(errors.new(400, "Only one of contents and generate_content_request may be set."))
  end
  if request.generateContentRequest then
    if not (request.generateContentRequest.model or ""):find("^models/.") then
      error(errors.bad_request("* CountTokensRequest.generate_content_request.model: model is required.",
        "generate_content_request.model"))
    end
    request = request.generateContentRequest
  end
  local call = { ex = ex, emu = emu, body = body, model = model, request = request }
  local items, counts = content.read(call)
  local total = 0
  for _, n in pairs(counts) do total = total + n end
  ex.note({ model = model, parts = json.array(content.summary(items)) })
  ex:answer_json({ totalTokens = total, promptTokensDetails = details(counts) })
end

return generate
