-- The catalogue: models.get and models.list, and which methods a model has.

local errors = require "errors"
local json = require "json"

local unpack = table.unpack or unpack -- luacheck: ignore 113 143

local models = {}

local CHAT = { "generateContent", "countTokens", "createCachedContent", "batchGenerateContent" }
local SIMPLE = { "generateContent", "countTokens" }
local DRAW, FILM = { "predict" }, { "predictLongRunning" }
local EMBED = { "embedContent", "countTextTokens", "countTokens", "asyncBatchEmbedContent" }

-- name, display name, input limit, output limit, methods, thinks
local rows = {
  { "gemini-3.5-flash", "Gemini 3.5 Flash", 1048576, 65536, CHAT, true },
  { "gemini-3.5-pro", "Gemini 3.5 Pro", 1048576, 65536, CHAT, true },
  { "gemini-3-flash-preview", "Gemini 3 Flash Preview", 1048576, 65536, CHAT, true },
  { "gemini-3-pro-image", "Gemini 3 Pro Image", 65536, 32768, SIMPLE, true },
  { "gemini-2.5-pro", "Gemini 2.5 Pro", 1048576, 65536, CHAT, true },
  { "gemini-2.5-flash", "Gemini 2.5 Flash", 1048576, 65536, CHAT, true },
  { "gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 1048576, 65536, CHAT, true },
  { "gemini-2.5-flash-image", "Gemini 2.5 Flash Image", 32768, 32768, SIMPLE },
  { "gemini-2.5-flash-preview-tts", "Gemini 2.5 Flash Preview TTS", 8192, 16384, SIMPLE },
  { "imagen-4.0-generate-001", "Imagen 4", 480, 8192, DRAW },
  { "veo-3.0-generate-001", "Veo 3", 480, 8192, FILM },
  { "gemini-embedding-001", "Gemini Embedding 001", 2048, 1, EMBED },
  { "gemini-embedding-2", "Gemini Embedding 2", 8192, 1, EMBED },
}

local gone = { ["gemini-2.0-flash"] = true, ["gemini-2.0-flash-lite"] = true, ["gemini-1.5-flash"] = true,
  ["gemini-1.5-pro"] = true, ["gemini-pro"] = true }

local list, by_name = {}, {}
for i, row in ipairs(rows) do
  local name, display, input, output, methods, thinks = unpack(row, 1, 6)
  local model = {
    name = "models/" .. name, version = name:match("^gemini%-([%d%.]+)") or "001", displayName = display,
    description = display .. ", as the lgemini emulator has it",
    inputTokenLimit = input, outputTokenLimit = output, supportedGenerationMethods = methods,
  }
  if methods == CHAT or methods == SIMPLE then
    model.temperature, model.topP, model.topK, model.maxTemperature = 1, 0.95, 64, 2
    model.thinking = thinks
  end
  list[i], by_name[name] = model, model
end

-- The method of the URL -> the one in the catalogue.
local listed_as = { streamGenerateContent = "generateContent", batchEmbedContents = "embedContent" }

--- The model of a call; raises the API's 404 when there is none that has the method.
---@param name string without models/
---@param method string as in the URL
---@param version string such as "v1beta"
---@return table
function models.find(name, method, version)
  local model = by_name[name]
  for _, supported in ipairs(model and model.supportedGenerationMethods or {}) do
    if supported == (listed_as[method] or method) then return model end
  end
  if gone[name] then
    error(errors.new(404, ("This model models/%s is no longer available. Please update your code to use a newer "
      .. "model for the latest features and improvements."):format(name)))
  end
  error(errors.new(404, ("models/%s is not found for API version %s, or is not supported for %s. Call ListModels to "
    .. "see the list of available models and their supported methods."):format(name, version, method)))
end

--- Cuts a page out of a list; raises for a bad token or size.
---@param items table[]
---@param query table of the URL
---@param default integer
---@param most integer
---@return table[] page
---@return string? next_page_token
function models.page(items, query, default, most)
  local size = tonumber(query.pageSize or default)
  if not size or size < 0 or size % 1 ~= 0 then
    error(errors.bad_request(("Invalid value at 'page_size' (TYPE_INT32), \"%s\""):format(query.pageSize), "page_size"))
  end
  size = math.min(size == 0 and default or size, most)
  local token = query.pageToken or ""
  local from = token == "" and 0 or tonumber(token:match("^after%-(%d+)$"))
  if not from then error(errors.new(400, "page_token is not valid.")) end
  local page = {}
  for i = from + 1, math.min(from + size, #items) do page[#page + 1] = items[i] end
  return page, from + size < #items and string.format("after-%d", from + size) or nil
end

---@param ex table exchange
---@param name string
function models.get(ex, name)
  local model = by_name[name]
  if not model then error(errors.new(404, gone[name] and ("This model models/%s is no longer available."):format(name)
    or ("Model is not found: models/%s for api version v1beta"):format(name))) end
  ex:answer_json(model)
end

---@param ex table exchange
function models.list(ex)
  local page, token = models.page(list, ex.query, 50, 1000)
  ex:answer_json({ models = json.array(page), nextPageToken = token })
end

return models
