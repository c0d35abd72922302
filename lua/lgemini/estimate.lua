--- gemini.estimate: what a request would count, worked out here. Nothing is sent; of media only the headers are read.
--
-- How large or long the media are says media_facts.lua, what that counts tokens.lua, and what it costs prices.lua. What
-- cannot be told is an error. `client.models:count_tokens` is the truth.

require("lgemini.compat").goes_over_tables()

local binary = require "lgemini.binary"
local compat = require "lgemini.compat"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local media = require "lgemini.media"
local options = require "lgemini.options"
local parts = require "lgemini.parts"
local prices = require "lgemini.prices"
local schema = require "lgemini.schema"
local tokens = require "lgemini.tokens"

local estimate = {}

---@class lgemini.Estimate
---@field total_tokens integer       of the prompt, what is cached included
---@field by table<string, integer>  the same by kind: text, image, audio (a video's sound, too), video (its pictures),
---document, cached; only those that there are
---@field low integer   by the bounds of each rule, see docs/cost.md
---@field high integer
---@field price number|nil     US dollars for the prompt; nil where the table has no price for it
---@field bill lgemini.Bill|nil
---@field unpriced string|nil  why there is no price

local DEFAULT_FPS, MAX_FPS = 1, 24 -- reference section 3.2

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...), hint = tokens.ASK }
end

-- What is asked of a part -----------------------------------------------------------------------------------------

local RESOLUTIONS = { LOW = true, MEDIUM = true, HIGH = true, ULTRA_HIGH = true, UNSPECIFIED = "DEFAULT" }

local function resolution(value, place)
  if type(value) == "table" then
    if value.num_tokens ~= nil then
      return invalid("%s.num_tokens: there is no documented count for it", place)
    end
    value, place = value.level, place .. ".level"
  end
  if value == nil then
    return "DEFAULT"
  end
  options.string(value, place)
  local level = value:match "^MEDIA_RESOLUTION_([%u_]+)$"
  local known = RESOLUTIONS[level]
  if not known then
    return invalid("%s: MEDIA_RESOLUTION_LOW, _MEDIUM, _HIGH or _ULTRA_HIGH, not %q", place, value)
  end
  return known == true and level or known
end

-- An offset in seconds: a number, or text such as "1.5s".
local function seconds(value, place)
  local n = value
  if type(value) == "string" then
    n = tonumber(value:match "^([%d.]+)s$")
  end
  if value ~= nil and not (type(n) == "number" and n >= 0 and n < math.huge) then
    return invalid('%s: seconds, as 1.5 or "1.5s", not %s', place, tostring(value))
  end
  return n
end

-- -> lgemini.tokens.Given | nil, err
local function given_of(part, common, place)
  local clipped = part.video_metadata or {}
  local err
  local given = { resolution = common, fps = clipped.fps or DEFAULT_FPS }
  if part.media_resolution ~= nil then
    given.resolution, err = resolution(part.media_resolution, place .. ".media_resolution")
  end
  place = place .. ".video_metadata"
  if not err then
    given.from, err = seconds(clipped.start_offset, place .. ".start_offset")
  end
  if not err then
    given.to, err = seconds(clipped.end_offset, place .. ".end_offset")
  end
  if err then
    return nil, err
  elseif type(given.fps) ~= "number" or not (given.fps > 0 and given.fps <= MAX_FPS) then
    return invalid("%s.fps: more than 0 and at most %d, not %s", place, MAX_FPS, tostring(given.fps))
  elseif given.to and given.to <= (given.from or 0) then
    return invalid("%s.end_offset is not behind start_offset", place)
  end
  return given
end

-- Parts -----------------------------------------------------------------------------------------------------------

-- The bytes of a local file, or of a string, through the core: it knows what a file is and whether it stays the same.
local function open(entry)
  local core = require "lgemini.core"
  local body = core.body.new()
  local size, err
  if entry.file then
    size, err = body:add_file(entry.file)
  else
    local ok
    ok, err = body:add(entry.data)
    size = ok and #entry.data
  end
  if not size then
    return nil, errors.new(err)
  end
  return binary.bytes(size, function(offset, n)
    local bytes, problem = body:read(offset, n)
    return bytes, problem and errors.new(problem)
  end)
end

local BLOCK = 65536

-- Files of text are taken as text: all of it is read, but never at once.
local function add_text_file(sum, src)
  local characters = 0
  for at = 0, src.size - 1, BLOCK do
    characters = characters + tokens.characters(src:read(at, BLOCK))
  end
  tokens.add_text(sum, characters, src.size)
  return true
end

local TEXT = { ["application/json"] = true, ["application/xml"] = true, ["application/rtf"] = true,
  ["application/x-javascript"] = true, ["application/x-python"] = true }

local function is_text(mime_type)
  mime_type = mime_type:lower():match "^[^;%s]*"
  return mime_type:find "^text/" ~= nil or TEXT[mime_type] == true
end

-- Kind of the facts, but for sound that is sent out of a video: then the type decides.
local function kind_of(facts, mime_type)
  if facts.kind == "video" and mime_type:lower():find "^audio/" then
    return "audio"
  end
  return facts.kind
end

-- A part with bytes: entry (file or data, mime_type), the part, its place.
local function add_media(sum, entry, part, rules, common, place)
  local given, err = given_of(part, common, place)
  local src, facts
  if given then
    src, err = open(entry)
  end
  if not src then
    return nil, err
  end
  local ok
  if is_text(entry.mime_type) then
    ok, err = add_text_file(sum, src)
  else
    facts, err = require("lgemini.media_facts").of(src, entry.mime_type)
    if facts then
      ok, err = tokens.count(sum, kind_of(facts, entry.mime_type), facts, rules, given)
    end
  end
  if not ok then
    err.message = ("%s: %s %s"):format(place, entry.file or "the data", err.message)
    return nil, err
  end
  return true
end

-- Parts, tools and schemas travel as JSON and are counted as text.
local function add_json(sum, value, type_name, place)
  local request = require "lgemini.request"
  local tree, err = request.wire(value, type_name, place)
  if tree == nil then
    return nil, err
  end
  local out, pieces = require("lgemini.lines").collector()
  local ok
  ok, err = request.emit(tree, out)
  if not ok then
    return nil, err
  end
  local whole = table.concat(pieces)
  tokens.add_text(sum, tokens.characters(whole), #whole)
  return true
end

-- Field of a part -> type.
local JSON = { function_call = "FunctionCall", function_response = "FunctionResponse",
  executable_code = "ExecutableCode", code_execution_result = "CodeExecutionResult", tool_call = "ToolCall",
  tool_response = "ToolResponse" }

local function add_part(sum, part, entry, rules, common, place)
  if entry then
    return add_media(sum, entry, part, rules, common, entry.path)
  elseif part.text ~= nil then
    options.string(part.text, place .. ".text")
    tokens.add_text(sum, tokens.characters(part.text), #part.text)
    return true
  elseif part.inline_data ~= nil then
    local blob = part.inline_data
    if type(blob) ~= "table" or type(blob.data) ~= "string" or type(blob.mime_type) ~= "string" then
      return invalid("%s.inline_data: { mime_type = text, data = bytes } is needed", place)
    elseif media.looks_like_base64(blob.data) then
      return nil, errors.new { kind = "invalid", hint = require("lgemini.part").BASE64_HINT,
        message = place .. ".inline_data.data is raw bytes; this is base64" }
    end
    return add_media(sum, blob, part, rules, common, place)
  elseif part.file_data ~= nil then
    return invalid("%s is not on this machine: how much it counts cannot be told offline", place)
  end
  for field, type_name in pairs(JSON) do
    local value = part[field]
    if type(value) == "table" then
      if value.parts ~= nil then
        return invalid("%s.%s.parts: media in it are not counted here", place, field)
      end
      return add_json(sum, value, type_name, ("%s.%s"):format(place, field))
    end
  end
  return true -- one that came without data
end

-- Local media of the contents: part -> entry, with its type.
local function local_media(found, policy)
  local entries = {}
  if not next(found.locals) then
    return entries
  end
  policy = compat.has_files and policy
  local items, err = require("lgemini.attach").look({ core = require "lgemini.core", local_files = policy }, found)
  if not items then
    return nil, err
  end
  for _, item in ipairs(items) do
    local entry = item.entry
    entry.mime_type = item.mime_type
    entries[entry.part] = entry
  end
  return entries
end

local function add_contents(sum, args, rules, common)
  local turns, found = parts.contents(args.contents)
  if not turns then
    return nil, found
  elseif found.files[1] then
    return invalid("%s is not on this machine: how much it counts cannot be told offline", found.files[1].path)
  end
  local entries, err = local_media(found, args.local_files)
  if not entries then
    return nil, err
  end
  for i, turn in ipairs(turns) do
    for k, part in ipairs(turn.parts or {}) do
      local ok
      ok, err = add_part(sum, part, entries[part], rules, common, ("contents, part %d of turn %d"):format(k, i))
      if not ok then
        return nil, err
      end
    end
  end
  return true
end

local function add_tools(sum, given)
  local list, err = require("lgemini.tools").declarations(given, "config.tools")
  if err then
    return nil, err
  end
  for i, tool in ipairs(type(list) == "table" and list or {}) do
    local ok
    ok, err = add_json(sum, tool, "Tool", ("config.tools[%d]"):format(i))
    if not ok then
      return nil, err
    end
  end
  return true
end

local function add_config(sum, config)
  if config.system_instruction ~= nil then
    local turn, err = parts.system(config.system_instruction)
    if not turn then
      return nil, err
    end
    for _, part in ipairs(turn.parts or {}) do
      tokens.add_text(sum, tokens.characters(part.text), #part.text)
    end
  end
  local ok, err = true, nil
  if config.tools ~= nil then
    ok, err = add_tools(sum, config.tools)
  end
  if ok and (config.response_schema ~= nil or config.response_json_schema ~= nil) then
    ok, err = add_json(sum, { response_schema = config.response_schema,
      response_json_schema = config.response_json_schema }, "GenerationConfig", "config")
  end
  return ok, err
end

-- The contents of a cache are on the service; what they count it said when the cache was made.
local function add_cached(sum, args, config)
  local n, err = options.count(args.cached_tokens, "cached_tokens", 0)
  if err then
    return nil, err
  elseif config.cached_content ~= nil and n == nil then
    return nil, errors.new { kind = "invalid", message = "config.cached_content is not on this machine",
      hint = "pass cached_tokens = cache.usage_metadata.total_token_count" }
  elseif n and n > 0 then
    tokens.add(sum, "cached", n)
  end
  return true
end

local known
local function known_arguments()
  if not known then
    known = { model = true, contents = true, cached_tokens = true, local_files = true, prices = true,
      config = schema.known(endpoints.models.generate_content.config) }
    known.config.http_options, known.config.automatic_function_calling, known.config.media_to = true, true, true
  end
  return known
end

local function add_price(sum, model, tier, list)
  local counts = { prompt = sum.total_tokens, audio = sum.by.audio, cached = sum.by.cached }
  local dollars, bill = prices.of(model, counts, { tier = tier, prices = list })
  if dollars then
    sum.price, sum.bill = dollars, bill
  else
    sum.unpriced = bill.message
  end
end

---@param args table  see gemini.estimate
---@param list lgemini.Prices
---@return lgemini.Estimate|nil
---@return lgemini.Error|nil err
function estimate.run(args, list)
  args = options.arguments(args, nil, known_arguments(), "estimate")
  local model, err = endpoints.name("models", args.model, "model")
  if not model then
    return nil, err
  end
  local config, sum = args.config or {}, tokens.sum()
  local rules, common, ok
  rules, err = tokens.rules(model)
  if rules then
    common, err = resolution(config.media_resolution, "config.media_resolution")
  end
  if common then
    ok, err = add_contents(sum, args, rules, common)
  end
  if ok then
    ok, err = add_config(sum, config)
  end
  if ok then
    ok, err = add_cached(sum, args, config)
  end
  if not ok then
    return nil, err
  end
  add_price(sum, model, config.service_tier, args.prices or list)
  return sum
end

return estimate
