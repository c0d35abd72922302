--- The first step of the request encoder: a table of the caller's, by its type -> a tree in the wire's layout (see
--- emit.lua). All checks happen here, with the place of what is wrong.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local options = require "lgemini.options"
local ordered = require "lgemini.ordered"
local parts = require "lgemini.parts"
local question = require "lgemini.question"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"
local walks = require "lgemini.walk"

local JSON = require("lgemini.headers").JSON

local wire = {}

local NULL = json.null
local quote = json.quote

local new_walk, place, invalid, wrong_type, within, quoted = walks.new, walks.place, walks.invalid, walks.wrong_type,
  walks.within, walks.quoted

local values -- values.lua, once it was needed

-- By the kinds of schema.lua.
local encoders = {}

local function encode(walk, value, kind)
  return encoders[kind.kind](walk, value, kind)
end

local function load_values()
  if not values then
    values = require "lgemini.values"
    values.encode = encode
  end
  return values
end

setmetatable(encoders, { __index = function(_, kind) return load_values()[kind] end })

function encoders.text(walk, value)
  if type(value) ~= "string" then wrong_type(walk, "string", value) end
  return quoted(walk, value)
end

function encoders.list(walk, value, kind)
  if type(value) ~= "table" then wrong_type(walk, "list", value) end
  local shape, n = shape_of(value)
  if not shape then return invalid(walk, n) end
  if shape == "object" then return invalid(walk, " must be a list", "put { } around the one item") end
  local out = json.array { nil } -- room for one
  for i = 1, n or 0 do
    local node, err = within(walk, i, encode, value[i], kind.of)
    if not node then return nil, err end
    out[i] = node
  end
  return out
end

-- Objects --------------------------------------------------------------------------------------

-- What is accepted in place of the field's own type, by the name of the field or of the type.
local coerce = {}

function coerce.system_instruction(walk, value)
  return parts.system(value, place(walk))
end

function coerce.speech_config(_, value)
  if type(value) ~= "string" then return value end
  return { voice_config = { prebuilt_voice_config = { voice_name = value } } }
end

-- Text as it came, or the bytes that it stands for.
function coerce.thought_signature(_, value)
  if type(value) ~= "string" or not value:find("[^\33-\126]") then return value end
  return require("lgemini.core").base64.encode(value)
end

-- A cache may stand for its name. Vertex AI wants that whole.
function coerce.cached_content(walk, value)
  if schema.is(value, "CachedContent") then value = value.name end
  if type(value) ~= "string" then return value end
  local name, vertex = value:find("/", 1, true) and value or "cachedContents/" .. value, walk.vertex
  return vertex and vertex.project and not name:find("^projects/")
    and ("projects/%s/locations/%s/%s"):format(vertex.project, vertex.location, name) or name
end

-- Stores may stand for their names, and one for a list of one.
function coerce.file_search_store_names(_, value)
  local list = (type(value) == "string" or schema.is(value, "FileSearchStore")) and { value } or value
  if type(list) ~= "table" then return value end
  local names = schema.copy(list)
  for i, item in ipairs(list) do names[i] = schema.is(item, "FileSearchStore") and item.name or item end
  return names
end

-- Durations may be numbers of seconds.
local function seconds(_, value)
  return type(value) == "number" and value >= 0 and value < math.huge and json.number(value) .. "s" or value
end
coerce.start_offset, coerce.end_offset, coerce.timeout, coerce.sse_read_timeout = seconds, seconds, seconds, seconds

-- Times may be numbers, as os.time() gives them.
local function timestamp(walk, value)
  if type(value) ~= "number" then return value end
  return load_values().timestamp(walk, value)
end
coerce.start_time, coerce.end_time, coerce.expire_time = timestamp, timestamp, timestamp
coerce.new_session_expire_time = timestamp

function coerce.PartMediaResolution(_, value)
  return type(value) == "string" and { level = value } or value
end

function coerce.tools(walk, value)
  return require("lgemini.tools").declarations(value, place(walk))
end

local function json_schema(walk, value)
  return require("lgemini.structured").json_schema(value, place(walk))
end

-- The same for user data, which is what some fields of these names hold elsewhere.
local coerce_any = { response_json_schema = json_schema, parameters_json_schema = json_schema }

function coerce.Image(walk, value)
  return walk.embed(value, "image_bytes", place(walk))
end

function coerce.Video(walk, value)
  return walk.embed(value, "video_bytes", place(walk))
end

-- field -> what changes its value, or false
local changes = {}

local function change_of(field)
  local change = changes[field]
  if change == nil then
    change = (field.kind == "any" and coerce_any or coerce)[field.field] or coerce[field.name] or false
    changes[field] = change
  end
  return change
end

local function coerced(walk, value, field)
  local change = change_of(field)
  if change then
    local err
    value, err = change(walk, value)
    if value == nil then return nil, err end
  end
  return encode(walk, value, field)
end

-- Where, one level below, is there a field of that name?
local function below(name, fields)
  for _, field in ipairs(fields) do
    local list = field.kind == "list"
    local kind = list and field.of or field
    if kind.kind == "object" and not field.vertex and schema.type(kind.name).fields[name] then
      return ("%s%s.%s"):format(field.field, list and "[1]" or "", name)
    end
  end
end

-- For those who hold it for JSON Schema.
local SCHEMA_HINT = "JSON Schema goes into response_json_schema or parameters_json_schema"

---@param type lgemini.schema.Type
local function unknown_name(walk, name, type)
  local fields = type.order
  local known = {}
  for _, field in ipairs(fields) do known[field.field] = not field.vertex or nil end
  local near = below(name, fields) or options.nearest(name, known)
  local at = place(walk)
  at = at == "" and at or at .. "."
  if near then errors.misuse(("%s%s: did you mean %s%s?"):format(at, tostring(name), at, near)) end
  errors.misuse(("%s%s: no such field (%s)"):format(at, tostring(name), type.name == "Schema" and SCHEMA_HINT
    or "config.http_options.extra_body takes what is newer than this release"))
end

-- One field of an object that a program wrote.
local function put(walk, out, field, value)
  if value == NULL then return true end
  if field.kind == "text" and type(value) == "string" and not (field.vertex or field.gemini or change_of(field)) then
    local node = quote(value) -- the most of all values
    if node then
      out[field.wire] = node
      return true
    end
  end
  if (field.vertex and not walk.vertex) or (field.gemini and walk.vertex) then
    walk.n = walk.n + 1
    walk[walk.n] = field.field
    return invalid(walk, field.gemini and ": only the Gemini API takes this field, Vertex AI does not"
      or ": only Vertex AI takes this field, the Gemini API does not")
  end
  local node, err = within(walk, field.field, coerced, value, field)
  if not node then return nil, err end
  out[field.wire] = node
  return true
end

-- What says that it is JSON Schema goes where JSON Schema goes, as in the JavaScript SDK.
local TWINS = { response_schema = "response_json_schema", parameters = "parameters_json_schema",
  response = "response_json_schema" }

local function by_notation(type_of, field, value)
  if field.name == "Schema" and type(value) == "table" and value["$schema"] ~= nil then
    return type_of.fields[TWINS[field.field]] or field
  end
  return field
end

-- What is to be known of a schema beside its fields.
local function check_schema(walk, value, out)
  local problem = require("lgemini.structured").problem(value)
  if problem then return invalid(walk, problem) end
  local names = type(value.properties) == "table" and ordered.names(value.properties)
  if names and not out.propertyOrdering then
    out.propertyOrdering = json.array {}
    for i, name in ipairs(names) do out.propertyOrdering[i] = quote(name) end
  end
  return out
end

local function own_object(walk, value, type)
  local out = { room = nil, more = nil } -- for two
  local is_schema = type.name == "Schema"
  if is_schema then value = require("lgemini.structured").plain(value) end
  for name, item in pairs(value) do
    local field = type.fields[name]
    if not field then unknown_name(walk, name, type) end
    local ok, err = put(walk, out, by_notation(type, field, item), item)
    if not ok then return nil, err end
  end
  if is_schema then return check_schema(walk, value, out) end
  return out
end

function encoders.object(walk, value, kind)
  if type(value) ~= "table" then wrong_type(walk, "table", value) end
  local was, mark = walk.wire, schema.mark(kind.name)
  if mark then walk.wire = getmetatable(value) == mark end
  local node, err = (walk.wire and load_values().wire_object or own_object)(walk, value, schema.type(kind.name))
  walk.wire = was
  return node, err
end

--- A value of that type as a tree. Fails with kind "invalid" and the place of what is wrong; an unknown name or a
--- wrong Lua type raises.
---@param value table
---@param type_name string
---@param root string?  what messages call the value; nothing
---@param embed function?  where the type has images or videos in it: see lgemini.request.Args
---@param vertex any  true where it goes to Vertex AI
---@return table? tree
---@return lgemini.Error?
function wire.object(value, type_name, root, embed, vertex)
  return encode(new_walk(root or "", embed, vertex), value, { kind = "object", name = type_name })
end

--- User data as a tree.
---@param value any
---@param root string  what messages call it
---@return any tree
---@return lgemini.Error?
function wire.any(value, root)
  return encoders.any(new_walk(root), value)
end

--- The same, where an object is needed.
---@param value any
---@param root string
---@return table? tree
---@return lgemini.Error?
function wire.struct(value, root)
  return encoders.struct(new_walk(root), value)
end

--- A text as a leaf.
---@param text string
---@param root string
---@return string? leaf
---@return lgemini.Error?
function wire.text(text, root)
  return quoted(new_walk(root), text)
end

function encoders.turn(walk, value, kind)
  local leaf = question.turn(value)
  if leaf then return leaf end
  return encoders.object(walk, value, kind)
end

local CONTENTS = { of = { kind = "turn", name = "Content" } }

--- The turns of a request.
---@param args lgemini.request.Args
---@return table? tree
---@return lgemini.Error?
function wire.contents(args)
  return encoders.list(new_walk("contents", nil, args.vertex), args.contents, CONTENTS)
end

--- What a config says to the library, not to the service.
local OURS = { http_options = true, automatic_function_calling = true, media_to = true }

-- Puts the fields of a config into a tree; those that `inner` has go into `nested`.
---@param args lgemini.request.Args
---@param type_name string  of the config
---@param tree table
---@param inner lgemini.schema.Type?
---@param nested table?
---@return true?
---@return lgemini.Error?
function wire.config(args, type_name, tree, inner, nested)
  local config = args.config
  if config == nil then return true end
  local walk, known = new_walk("config", args.embed, args.vertex), schema.type(type_name)
  if type(config) ~= "table" then wrong_type(walk, "table", config) end
  for name, value in pairs(config) do
    local field = known.fields[name]
    if field then
      local into = inner and inner.fields[name] and nested or tree
      local ok, err = put(walk, into, by_notation(known, field, value), value)
      if not ok then return nil, err end
    elseif not OURS[name] then
      unknown_name(walk, name, known)
    end
  end
  return true
end

--- What a generation config says of the form of the answer, made whole: a schema means JSON.
---@param tree table  of a GenerationConfig
---@param root string  what messages call it
---@return true?
---@return lgemini.Error?
function wire.answer_form(tree, root)
  if tree.responseSchema and tree.responseJsonSchema then
    return nil, errors.new { kind = "invalid", hint = "one of them is needed",
      message = root .. ".response_schema: there is response_json_schema, too" }
  elseif not tree.responseMimeType and (tree.responseSchema or tree.responseJsonSchema) then
    tree.responseMimeType = quote(JSON)
  end
  return true
end

return wire
