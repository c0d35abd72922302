-- The contents of a call: checks them as the service does, looks at every part, and counts. What comes out describes
-- what was received, in order: it is what answers tell, what the record shows, and what usage is made of.

local errors = require "errors"
local intake = require "intake"
local media = require "media"
local source = require "source"
local tokens = require "tokens"

local content = {}

local data_fields = { "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
  "codeExecutionResult", "toolCall", "toolResponse" }

local function data_of(part, path)
  local found
  for _, field in ipairs(data_fields) do
    if part[field] ~= nil then
      if found then
        error(errors.bad_request(("Invalid value at '%s' (oneof), oneof field 'data' is already set. Cannot set '%s'")
          :format(path, field), path))
      end
      found = field
    end
  end
  if not found then
    error(errors.bad_request(("* GenerateContentRequest.%s.data: required oneof field 'data' must have one initialized"
      .. " field"):format(path), path))
  end
  return found
end

local function check_type(mime_type)
  if not media.family(mime_type or "") then
    error(errors.new(400, "Unsupported MIME type: " .. tostring(mime_type)))
  end
end

--- Notes the facts of a media part and counts its tokens.
local function look(item, src, call, part)
  local facts = media.facts(src)
  src:close()
  item.bytes = src.size
  item.detected, item.kind = facts.type, facts.kind
  item.width, item.height, item.seconds, item.pages = facts.width, facts.height, facts.seconds, facts.pages
  local family = media.family(item.mime_type)
  if facts.kind == "text" and family == "document" then return { TEXT = math.ceil(src.size / 4) } end
  if facts.kind == "unknown" then facts.kind = family end -- counted as what it claims to be
  return tokens.media(facts, call.model, call.resolution_of(part), part.videoMetadata)
end

local readers = {}

function readers.text(item, part, call)
  item.type = "text"
  item.text = intake.text(call.body, part.text)
  item.sha256 = source.sha256_of(item.text)
  local _, characters = item.text:gsub("[^\128-\191]", "")
  item.characters = characters
  return { TEXT = tokens.text(item.text) }
end

function readers.inlineData(item, part, call, path)
  local blob = part.inlineData
  item.type, item.mime_type = "inline", blob.mimeType
  check_type(blob.mimeType)
  local src, sha256 = intake.bytes(call.body, blob.data or "")
  if not src then
    error(errors.bad_request(("Invalid value at '%s.inline_data.data' (TYPE_BYTES), Base64 decoding failed for \"%s\"")
      :format(path, (blob.data or ""):sub(1, 40)), path .. ".inline_data.data"))
  end
  item.sha256 = sha256
  return look(item, src, call, part)
end

function readers.fileData(item, part, call)
  local uri = part.fileData.fileUri or ""
  item.type, item.uri, item.mime_type = "file", uri, part.fileData.mimeType
  local id = uri:match("/files/([^/?:#]+)") or uri:match("^files/([^/?:#]+)$")
  if not id then
    if not uri:find("^https://") and not uri:find("^gs://") then
      error(errors.new(400, "Unsupported file uri: " .. uri))
    end
    item.type = "address" -- the emulator fetches nothing
    return {}
  end
  local file = call.emu.files:find(id, call.ex.owner)
  if file.state ~= "ACTIVE" then
    error(errors.new(400, "The File " .. id .. " is not in an ACTIVE state and usage is not allowed.",
      "FAILED_PRECONDITION"))
  end
  item.mime_type = item.mime_type or file.mime_type
  check_type(item.mime_type)
  item.file, item.sha256 = "files/" .. id, file.sha256
  return look(item, call.emu.files:source(file), call, part)
end

function readers.functionCall(item, part)
  item.type, item.name, item.id = "function_call", part.functionCall.name, part.functionCall.id
  return { TEXT = 10 }
end

function readers.functionResponse(item, part, call, path)
  item.type, item.name, item.id = "function_response", part.functionResponse.name, part.functionResponse.id
  item.response, item.media = part.functionResponse.response, {}
  local counts = { TEXT = 10 }
  for i, beside in ipairs(part.functionResponse.parts or {}) do
    local medium = {}
    for modality, n in pairs(readers.inlineData(medium, { inlineData = beside.inlineData or {} }, call,
      ("%s.function_response.parts[%d]"):format(path, i - 1))) do
      counts[modality] = (counts[modality] or 0) + n
    end
    item.media[i] = medium
  end
  return counts
end

local function other(item, _, _, _, field)
  item.type = field
  return { TEXT = 10 }
end

-- Function calls and responses must pair up, and Gemini 3 wants its signatures back.

local function count_of(turn, field)
  local n = 0
  for _, part in ipairs(turn.parts) do
    if part[field] then n = n + 1 end
  end
  return n
end

local function check_signatures(contents, emu)
  local from = 1 -- of the current turn: after the last content of the user that is not a function response
  for i, turn in ipairs(contents) do
    if turn.role ~= "model" and count_of(turn, "functionResponse") == 0 then from = i end
  end
  for i = from, #contents do
    local first = true
    for _, part in ipairs(contents[i].role == "model" and contents[i].parts or {}) do
      if part.functionCall then
        if first and not part.thoughtSignature then
          error(errors.new(400, ("Function call is missing a thought_signature in functionCall parts. This is required "
            .. "for tools to work correctly, and missing thought_signature may lead to degraded model performance. "
            .. "Additional data, function call `%s` in the %d. content block lacks a `thought_signature`.")
            :format(part.functionCall.name or "", i)))
        end
        first = false
      end
      if part.thoughtSignature and not emu.signatures.valid(part.thoughtSignature) then
        error(errors.new(400, "Thought signature is not valid."))
      end
    end
  end
end

local function check_turns(contents, call)
  for i, turn in ipairs(contents) do
    local role = turn.role
    if role and role ~= "" and role ~= "user" and role ~= "model" and role ~= "function" then
      error(errors.new(400, "Please use a valid role: user, model."))
    end
    if not turn.parts or #turn.parts == 0 then
      error(errors.bad_request(("* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty.")
        :format(i - 1), ("contents[%d].parts"):format(i - 1)))
    end
    local responses = role ~= "model" and count_of(turn, "functionResponse") or 0
    local calls = i > 1 and count_of(contents[i - 1], "functionCall") or 0
    if responses > 0 and calls == 0 then
      error(errors.new(400, "Please ensure that function response turn comes immediately after a function call turn."))
    elseif responses > 0 and responses ~= calls then
      error(errors.new(400, "Please ensure that the number of function response parts is equal to the number of "
        .. "function call parts of the function call turn."))
    end
  end
  if call.model:find("^gemini%-3") then check_signatures(contents, call.emu) end
end

--- Looks at every part of a call.
---@param call table ex, emu, body (from `intake.read`), model (name without models/), request (checked)
---@return table[] items one for each part, in order, the system instruction first
---@return table counts modality -> prompt tokens
function content.read(call)
  local request = call.request
  if not request.contents or #request.contents == 0 then
    error(errors.bad_request("* GenerateContentRequest.contents: contents is not specified", "contents"))
  end
  check_turns(request.contents, call)
  local common = (request.generationConfig or {}).mediaResolution
  function call.resolution_of(part) return (part.mediaResolution or {}).level or common end
  local items, counts = {}, {}
  local function add(turn, where, index)
    for i, part in ipairs(turn.parts or {}) do
      local path = ("%s.parts[%d]"):format(where, i - 1)
      local field = data_of(part, path)
      local item = { turn = index, role = index and (turn.role or "user") or "system" }
      for modality, n in pairs((readers[field] or other)(item, part, call, path, field)) do
        counts[modality] = (counts[modality] or 0) + n
      end
      items[#items + 1] = item
    end
  end
  if request.systemInstruction then add(request.systemInstruction, "system_instruction", nil) end
  for i, turn in ipairs(request.contents) do add(turn, ("contents[%d]"):format(i - 1), i - 1) end
  return items, counts
end

--- What the record shows of the items: facts, no content.
---@param items table[]
---@return table[] parts
function content.summary(items)
  local parts = {}
  for i, item in ipairs(items) do
    local copy = {}
    for k, v in pairs(item) do
      if k ~= "text" and k ~= "response" then copy[k] = v end
    end
    parts[i] = copy
  end
  return parts
end

return content
