--- The first step of the request encoder: a table of the caller's, by its type -> a tree in the wire's layout (see
--- emit.lua). All checks happen here, with the place of what is wrong.

local emit = require "lgemini.emit"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local options = require "lgemini.options"
local ordered = require "lgemini.ordered"
local parts = require "lgemini.parts"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"

local wire = {}

-- What json.decode accepts can be sent back; the service's own limit is about the same.
local MAX_DEPTH = 100

-- Keys of a path that messages show.
local MAX_SHOWN = 16

local NULL = json.null
local quote = json.quote

-- Places ---------------------------------------------------------------------------------------

-- A walk is the list of keys from the root to the value at hand; `n` of them count. `wire` says that the
-- value came from the wire: then whatever is in it is sent back. `embed` is that of lgemini.request.Args.
local function new_walk(root, embed, vertex)
  return { false, false, false, false, root = root, n = 0, wire = false, embed = embed, vertex = vertex }
end

local function place(walk)
  local text = { walk.root }
  for i = 1, walk.n do
    local key = walk[i]
    if i > MAX_SHOWN then return table.concat(text) .. "..." end
    if type(key) == "number" then
      text[#text + 1] = ("[%d]"):format(key)
    elseif key:find("^[%a_][%w_]*$") then
      text[#text + 1] = (text[#text] ~= "" and "." or "") .. key
    else
      text[#text + 1] = ("[%q]"):format(key)
    end
  end
  return table.concat(text)
end

local function invalid(walk, problem, hint)
  return nil, errors.new { kind = "invalid", message = place(walk) .. problem, hint = hint }
end

local function wrong_type(walk, wanted, value)
  local found = value == NULL and "null" or type(value)
  errors.misuse(("%s: %s expected, got %s"):format(place(walk), wanted, found))
end

-- What `encode` makes of a value that stands at that key.
local function within(walk, key, encode, value, kind)
  local n = walk.n + 1
  walk.n, walk[n] = n, key
  if n > MAX_DEPTH then
    return invalid(walk, (" is nested deeper than %d levels (a table within itself?)"):format(MAX_DEPTH))
  end
  local node, err = encode(walk, value, kind)
  walk.n = n - 1
  return node, err
end

-- Values ---------------------------------------------------------------------------------------

local function quoted(walk, text)
  local node, problem = quote(text)
  if not node then return invalid(walk, ": " .. problem, "text is UTF-8; raw bytes go into inline_data") end
  return node
end

local function digits(walk, number)
  local node, problem = json.number(number)
  if not node then return invalid(walk, ": " .. problem) end
  return node
end

local any

local function any_array(walk, value, n)
  local out = json.array {}
  for i = 1, n do
    local node, err = within(walk, i, any, value[i])
    if not node then return nil, err end
    out[i] = node
  end
  return out
end

local function check_name(walk, name)
  local quoted_name, problem = quote(name)
  if not quoted_name then return invalid(walk, " has a name that is " .. problem) end
  return true
end

local function any_object(walk, value)
  local out = {}
  for key, item in pairs(value) do
    if type(key) ~= "string" then
      return invalid(walk, (" has a key that is no name: %s"):format(tostring(key)))
    end
    local node, err = check_name(walk, key)
    if node then node, err = within(walk, key, any, item) end
    if not node then return nil, err end
    out[key] = node
  end
  return ordered.keep(out, value)
end

-- User data: keys, nulls and [] against {} as the caller has them. An unmarked empty table is an object.
function any(walk, value)
  local kind = type(value)
  if kind == "string" then return quoted(walk, value) end
  if kind == "number" then return digits(walk, value) end
  if kind == "boolean" then return tostring(value) end
  if value == NULL then return "null" end
  if kind ~= "table" then wrong_type(walk, "a value of JSON", value) end
  if emit.is_binary(value) then return value end
  local shape, n = shape_of(value)
  if not shape then return invalid(walk, n) end
  if shape == "list" or (shape == "empty" and json.is_array(value)) then
    return any_array(walk, value, n or 0)
  end
  if json.is_array(value) then return invalid(walk, " is marked as an array and has named keys") end
  return any_object(walk, value)
end

local encoders = {}

local function encode(walk, value, kind)
  return encoders[kind.kind](walk, value, kind)
end

encoders.any = any

function encoders.text(walk, value)
  if type(value) ~= "string" then wrong_type(walk, "string", value) end
  return quoted(walk, value)
end

-- JSON Schema and the API's own notation differ in the case of type names; the service wants its own.
function encoders.upper(walk, value)
  if type(value) ~= "string" then wrong_type(walk, "string", value) end
  return quoted(walk, walk.wire and value or value:upper())
end

function encoders.boolean(walk, value)
  if type(value) ~= "boolean" then wrong_type(walk, "boolean", value) end
  return tostring(value)
end

function encoders.number(walk, value)
  if type(value) ~= "number" then wrong_type(walk, "number", value) end
  return digits(walk, value)
end

function encoders.integer(walk, value)
  local node, err = encoders.number(walk, value)
  if node and value % 1 ~= 0 and not walk.wire then
    return invalid(walk, (": a whole number is needed, not %s"):format(node))
  end
  return node, err
end

-- The service takes 64-bit integers as numbers and as text; text is what Lua 5.1 can hold exactly.
function encoders.int64(walk, value, kind)
  if type(value) == "number" then return encoders.integer(walk, value, kind) end
  if type(value) ~= "string" then wrong_type(walk, "integer", value) end
  if not value:find("^%-?%d+$") then return invalid(walk, ": a whole number is needed") end
  return quoted(walk, value)
end

function encoders.bytes(walk, value)
  if emit.is_binary(value) then return value end
  if type(value) ~= "string" then wrong_type(walk, "string of raw bytes", value) end
  if not walk.wire and require("lgemini.media").looks_like_base64(value) then
    return invalid(walk, " is raw bytes; this is base64", require("lgemini.part").BASE64_HINT)
  end
  return emit.bytes(value)
end

function encoders.struct(walk, value)
  if type(value) ~= "table" then wrong_type(walk, "table", value) end
  local node, err = any(walk, value)
  if node and json.is_array(node) then return invalid(walk, " must have named keys: it is an object") end
  return node, err
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

function encoders.map(walk, value, kind)
  if type(value) ~= "table" then wrong_type(walk, "table", value) end
  local shape, problem = shape_of(value)
  if not shape then return invalid(walk, problem) end
  if shape == "list" then return invalid(walk, " must have named keys: it is an object") end
  local out = {}
  for key, item in pairs(value) do
    local node, err = check_name(walk, tostring(key))
    if node then node, err = within(walk, tostring(key), encode, item, kind.of) end
    if not node then return nil, err end
    out[tostring(key)] = node
  end
  return ordered.keep(out, value)
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

function coerce.cached_content(_, value)
  if type(value) ~= "string" or value:find("/", 1, true) then return value end
  return "cachedContents/" .. value
end

-- Durations may be numbers of seconds.
local function seconds(_, value)
  return type(value) == "number" and value >= 0 and value < math.huge and json.number(value) .. "s" or value
end
coerce.start_offset, coerce.end_offset = seconds, seconds

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
    if field.kind == "object" and not field.vertex and schema.type(field.name).fields[name] then
      return field.field .. "." .. name
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
  for name, item in pairs(value) do
    local field = type.fields[name]
    if not field then unknown_name(walk, name, type) end
    local ok, err = put(walk, out, field, item)
    if not ok then return nil, err end
  end
  if type.name == "Schema" then return check_schema(walk, value, out) end
  return out
end

-- What the object could not show as it came goes back from the notes that answer.lua took. Gives, too,
-- which keys are dealt with, and the wire names of those that have changed since.
local function echoed(walk, value, out)
  local done, spelled = {}, {}
  for name, note in pairs(schema.echo(value) or {}) do
    if note.key == nil or rawequal(value[note.key], note.value) then
      local node, err = within(walk, name, any, note.wire)
      if not node then return nil, err end
      out[name] = node
      if note.key ~= nil then done[note.key] = true end
    else
      spelled[note.key] = name
    end
  end
  return done, spelled
end

local function wire_object(walk, value, type)
  local out = {}
  local done, spelled = echoed(walk, value, out)
  if not done then return nil, spelled end
  for key, item in pairs(value) do
    local field = type.fields[key]
    local name = spelled[key] or (field and field.wire) or schema.camel(tostring(key))
    if not done[key] and not (field and item == NULL) then
      local node, err = within(walk, tostring(key), field and encode or any, item, field)
      if not node then return nil, err end
      out[name] = node
    end
  end
  for name in pairs(out) do
    local ok, err = check_name(walk, name)
    if not ok then return nil, err end
  end
  return out
end

function encoders.object(walk, value, kind)
  if type(value) ~= "table" then wrong_type(walk, "table", value) end
  local was, mark = walk.wire, schema.mark(kind.name)
  if mark then walk.wire = getmetatable(value) == mark end
  local node, err = (walk.wire and wire_object or own_object)(walk, value, schema.type(kind.name))
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
  return any(new_walk(root), value)
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

local CONTENTS = { of = { kind = "object", name = "Content" } }

--- The turns of a request.
---@param args lgemini.request.Args
---@return table? tree
---@return lgemini.Error?
function wire.contents(args)
  return encoders.list(new_walk("contents", nil, args.vertex), args.contents, CONTENTS)
end

--- Puts the fields of a config into a tree; those that `inner` has go into `nested`.
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
      local ok, err = put(walk, inner and inner.fields[name] and nested or tree, field, value)
      if not ok then return nil, err end
    elseif name ~= "http_options" and name ~= "automatic_function_calling" then
      unknown_name(walk, name, known)
    end
  end
  return true
end

return wire
