-- embedContent and batchEmbedContents. A vector is made from the SHA-256 of the text: the same text, the same vector.

local check = require "check"
local errors = require "errors"
local intake = require "intake"
local json = require "json"
local models = require "models"
local source = require "source"

local embed = {}

local SIZE = 3072

local function vector(text, size)
  local values, sum, counter = json.array({}), 0, 0
  while #values < size do
    local hash = source.sha256_of(text .. "\0" .. counter)
    counter = counter + 1
    for pair in hash:gmatch("%x%x%x%x") do
      if #values == size then break end
      local v = tonumber(pair, 16) / 32767.5 - 1
      values[#values + 1] = v
      sum = sum + v * v
    end
  end
  local length = math.sqrt(sum)
  for i = 1, size do values[i] = json.raw(string.format("%.7g", values[i] / length)) end
  return { values = values }
end

--- The embedding of one request.
---@param body table from `intake.read`
---@param request table checked
---@param path string for messages
---@return table embedding
function embed.of(body, request, path)
  local texts = {}
  for _, part in ipairs((request.content or {}).parts or {}) do
    texts[#texts + 1] = part.text and intake.text(body, part.text) or source.sha256_of(json.encode(part))
  end
  if #texts == 0 then
    error(errors.bad_request("* " .. path .. ".content: contents is not specified", "content"))
  end
  if request.title and request.title ~= "" and request.taskType and request.taskType ~= "RETRIEVAL_DOCUMENT" then
    error(errors.new(400, "title is only supported for RETRIEVAL_DOCUMENT."))
  end
  local size = request.outputDimensionality or SIZE
  if size < 1 or size > SIZE then
    error(errors.new(400, string.format("output_dimensionality must be between 1 and %d.", SIZE)))
  end
  return vector(table.concat(texts, "\n"), size)
end

--- POST {model}:embedContent
function embed.one(ex, emu, model, version)
  models.find(model, "embedContent", version)
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "EmbedContentRequest")
  ex:answer_json({ embedding = embed.of(body, request, "EmbedContentRequest") })
end

--- POST {model}:batchEmbedContents
function embed.batch(ex, emu, model, version)
  models.find(model, "batchEmbedContents", version)
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "BatchEmbedContentsRequest")
  if not request.requests or #request.requests == 0 then
    error(errors.bad_request("* BatchEmbedContentsRequest.requests: requests is not specified", "requests"))
  end
  local list = {}
  for i, item in ipairs(request.requests) do
    local path = ("BatchEmbedContentsRequest.requests[%d]"):format(i - 1)
    if item.model ~= "models/" .. model then
      error(errors.bad_request(("* %s.model: must be models/%s."):format(path, model), "requests"))
    end
    list[i] = embed.of(body, item, path)
  end
  ex:answer_json({ embeddings = list })
end

return embed
