--- The methods of the API as rows: what is sent where, and what the answer becomes.
--
-- A path holds `{argument:rule}`; the rules for names are below, and in names.lua. They let nothing through that could
-- change the path, so a path needs no escaping.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

local endpoints = {}

---@class lgemini.endpoints.Row
---@field verb "GET"|"POST"|"PATCH"|"DELETE"
---@field path string  below base URL and version
---@field upload boolean?  the path stands below /upload/
---@field query table<string, string>?  sent always
---@field config string?  type of `config`; of a GET or DELETE its fields go into the query
---@field body string?  how request.tree builds the body out of config and contents, or an instance
---@field request string?  else: the type of the body
---@field answer string?  type of the answer; none where it is bytes or nothing
---@field items string?  of a list: the field of the answer with the items
---@field starts boolean?  it begins something that costs: it is not repeated where that may have begun
---@field stream boolean?  the answer is a stream of `answer`
---@field vertex boolean|string?  Vertex AI has it, too; a string is its path there
---@field instead string?  what to do at Vertex AI, where it does not have it
---@field vertex_answer string?  type of the answer there, where it is another
---@field vertex_items string?  the same of items
---@field version string?  the only version there is of it, where the options do not say another

---@type table<string, lgemini.endpoints.Row>
endpoints.models = {
  generate_content = { verb = "POST", path = "{model:models}:generateContent", body = "generate",
    config = "GenerateContentConfig", answer = "GenerateContentResponse",
    vertex = true },
  generate_content_stream = { verb = "POST", path = "{model:models}:streamGenerateContent",
    query = { alt = "sse" }, body = "generate", config = "GenerateContentConfig",
    answer = "GenerateContentResponse", stream = true,
    vertex = true },
  count_tokens = { verb = "POST", path = "{model:models}:countTokens", body = "count",
    config = "CountTokensConfig", answer = "CountTokensResponse",
    vertex = true },
  embed_content = { verb = "POST", path = "{model:models}:batchEmbedContents", body = "embed",
    config = "EmbedContentConfig", answer = "EmbedContentResponse", vertex_answer = "PredictedEmbeddings",
    vertex = "{model:models}:predict" },
  -- at Vertex AI, of newer models; here the other one does it, for one content, too
  embed_content_alone = { verb = "POST", path = "{model:models}:embedContent", body = "embed_alone",
    config = "EmbedContentConfig", answer = "SingleEmbedContentResponse",
    vertex = true },
  generate_images = { verb = "POST", path = "{model:models}:predict", body = "images",
    config = "GenerateImagesConfig", answer = "GenerateImagesResponse",
    vertex = true },
  generate_videos = { verb = "POST", path = "{model:models}:predictLongRunning", body = "videos",
    config = "GenerateVideosConfig", answer = "Operation", starts = true,
    vertex = true },
  get = { verb = "GET", path = "{model:models}", answer = "Model",
    vertex = true },
  list = { verb = "GET", path = "models", config = "ListModelsConfig", answer = "ListModelsResponse",
    items = "models",
    vertex = "publishers/google/models", vertex_answer = "PublisherModelsResponse" },
  -- list with config.query_base = false
  list_tuned = { verb = "GET", path = "tunedModels", config = "ListModelsConfig",
    answer = "ListTunedModelsResponse", items = "tuned_models" },
  -- of tuned models
  update = { verb = "PATCH", path = "{model:tunings}", config = "UpdateModelConfig", request = "UpdateModelConfig",
    answer = "Model" },
  delete = { verb = "DELETE", path = "{model:tunings}" },
}

-- The rows of other services load with the first of them.
setmetatable(endpoints, { __index = function(_, service) return require("lgemini.rows")[service] end })

--- The rows of all services, by their names.
---@return table<string, table<string, lgemini.endpoints.Row>>
function endpoints.services()
  local all = { models = endpoints.models }
  for service, rows in pairs(require "lgemini.rows") do all[service] = rows end
  return all
end

-- Names ----------------------------------------------------------------------------------------

local function bad_name(what, name, hint)
  return require("lgemini.names").bad(what, name, hint)
end

-- Segments of letters, digits and a few signs that mean nothing in a URL.
local function is_path(name)
  return not (name:find("[^%w%-_~@:%./]") or name:find("..", 1, true) or name:find("//", 1, true)
    or name:find("^[/:%.]") or name:find("[/:]$"))
end

-- What makes full names; the rules of other things load with the first of them.
local rules = setmetatable({}, { __index = function(_, rule) return require("lgemini.names").rules[rule] end })

function rules.models(name, vertex)
  if not is_path(name) or name == "" or name == "models/" then
    return bad_name("model", name, "names look like gemini-3.5-flash; client.models:list{} shows them")
  end
  if vertex then
    local publisher, short = name:match("^([^/]+)/([^/]+)$")
    if name:find("^projects/") or name:find("^models/") or name:find("^publishers/") then return name end
    return publisher and ("publishers/%s/models/%s"):format(publisher, short) or "publishers/google/models/" .. name
  end
  return name:find("^models/") and name or name:find("^tunedModels/") and name or "models/" .. name
end

-- Whole, as the service gave it: it begins with what the operation works on.
function rules.operations(name)
  if not is_path(name) or name:find("[:@~]") or not name:find("/", 1, true) then
    return bad_name("operation", name, "names look like models/veo-x/operations/abc123")
  end
  return name
end

--- The full name of a thing as it stands in a path: `gemini-x` -> `models/gemini-x`. Objects of the API
--- may stand for their names, videos for the files that hold them.
---@param rule string  "models", "files", ...: see the rules above, and names.lua
---@param value any
---@param argument string  what messages call it
---@param vertex any  true where it is a name of Vertex AI
---@return string?
---@return lgemini.Error?
function endpoints.name(rule, value, argument, vertex)
  if type(value) == "table" then value = value.name or value.uri or value.id end
  if type(value) ~= "string" then
    errors.misuse(("%s: string expected, got %s"):format(argument, type(value)))
  end
  return rules[rule](value, vertex)
end

--- The path of a call, below base URL and version.
---@param row lgemini.endpoints.Row
---@param args table<string, any>
---@param vertex any  true where it goes to Vertex AI: fails for what is not there
---@return string?
---@return lgemini.Error?
function endpoints.path(row, args, vertex)
  local template, problem = row.path, nil
  if vertex and not row.vertex then
    return nil, errors.new { kind = "invalid", hint = row.instead,
      message = ("this call goes to the Gemini API only, not to Vertex AI: %s %s"):format(row.verb, row.path) }
  elseif vertex and row.vertex ~= true then
    template = row.vertex
  end
  local path = template:gsub("{([%w_]+):(%w+)}", function(argument, rule)
    local name, err = endpoints.name(rule, args[argument], argument, vertex)
    problem = problem or err
    return name
  end)
  if problem then return nil, problem end
  return path
end

-- Queries --------------------------------------------------------------------------------------

local LUA_TYPE = { text = "string", integer = "number", boolean = "boolean" }

local function escape(text)
  return (text:gsub("[^%w%-_%.~]", function(char) return ("%%%02X"):format(char:byte()) end))
end

local function unknown(name, type)
  local near = options.nearest(name, type.fields)
  errors.misuse(("config.%s: %s"):format(tostring(name),
    near and ("did you mean config.%s?"):format(near) or "no such field"))
end

-- One field of a config as text for the query; nil where it does not go there.
local function query_value(field, value)
  if type(value) ~= LUA_TYPE[field.kind] then
    errors.misuse(("config.%s: %s expected, got %s"):format(field.field, LUA_TYPE[field.kind], type(value)))
  end
  if field.kind == "text" then return value end
  if field.kind == "boolean" then return tostring(value) end
  if value % 1 ~= 0 or value < 0 then
    return nil, errors.new { kind = "invalid",
      message = ("config.%s: a whole number is needed"):format(field.field) }
  end
  return json.number(value)
end

--- The query of a call, without the question mark: what the row always sends and what the config adds;
--- "" where there is none. Names are sorted.
---@param row lgemini.endpoints.Row
---@param config table?
---@return string?
---@return lgemini.Error?
function endpoints.query(row, config)
  local pairs_of = {}
  for name, value in pairs(row.query or {}) do pairs_of[#pairs_of + 1] = name .. "=" .. escape(value) end
  local added = (row.verb == "GET" or row.verb == "DELETE") and config or nil
  local type = added and schema.type(row.config or "Empty")
  for name, value in pairs(added or {}) do
    local field = type.fields[name]
    if not field and name ~= "http_options" then unknown(name, type) end
    if field and name ~= "query_base" then -- which picks the row
      local text, err = query_value(field, value)
      if not text then return nil, err end
      pairs_of[#pairs_of + 1] = field.wire .. "=" .. escape(text)
    end
  end
  table.sort(pairs_of)
  return table.concat(pairs_of, "&")
end

return endpoints
