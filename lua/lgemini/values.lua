--- Values that are neither a text, a list nor an object of the caller's, for the request encoder (wire.lua): numbers,
--- bytes, user data, and objects that came from the wire. It loads with the first of these.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local emit = require "lgemini.emit"
local json = require "lgemini.json"
local ordered = require "lgemini.ordered"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"
local walks = require "lgemini.walk"

local NULL = json.null

--- By the kinds of schema.lua; `encode`, for a value of any of them, is set by wire.lua.
local values = {}

local function digits(walk, number)
  local node, problem = json.number(number)
  if not node then return walks.invalid(walk, ": " .. problem) end
  return node
end

local function any_array(walk, value, n)
  local out = json.array {}
  for i = 1, n do
    local node, err = walks.within(walk, i, values.any, value[i])
    if not node then return nil, err end
    out[i] = node
  end
  return out
end

function values.check_name(walk, name)
  local quoted_name, problem = json.quote(name)
  if not quoted_name then return walks.invalid(walk, " has a name that is " .. problem) end
  return true
end

local function any_object(walk, value)
  local out = {}
  for key, item in pairs(value) do
    if type(key) ~= "string" then
      return walks.invalid(walk, (" has a key that is no name: %s"):format(tostring(key)))
    end
    local node, err = values.check_name(walk, key)
    if node then node, err = walks.within(walk, key, values.any, item) end
    if not node then return nil, err end
    out[walk.renames and schema.camel(key) or key] = node
  end
  return ordered.keep(out, value)
end

-- User data: keys, nulls and [] against {} as the caller has them. An unmarked empty table is an object.
function values.any(walk, value)
  local kind = type(value)
  if kind == "string" then return walks.quoted(walk, value) end
  if kind == "number" then return digits(walk, value) end
  if kind == "boolean" then return tostring(value) end
  if value == NULL then return "null" end
  if kind ~= "table" then walks.wrong_type(walk, "a value of JSON", value) end
  if emit.is_binary(value) then return value end
  local shape, n = shape_of(value)
  if not shape then return walks.invalid(walk, n) end
  if shape == "list" or (shape == "empty" and json.is_array(value)) then
    return any_array(walk, value, n or 0)
  end
  if json.is_array(value) then return walks.invalid(walk, " is marked as an array and has named keys") end
  return any_object(walk, value)
end

-- What the API has and schema.lua does not describe: all of its names are the API's.
function values.open(walk, value)
  walk.renames = true
  local node, err = values.any(walk, value)
  walk.renames = nil
  return node, err
end

local YEAR_10000 = 253402300800 -- seconds since 1970; RFC 3339 has four digits for a year

--- A time as os.time() gives it, as the text that the API has for it.
---@param walk lgemini.Walk
---@param seconds number
---@return string?
---@return lgemini.Error?
function values.timestamp(walk, seconds)
  if not (seconds > 0 and seconds < YEAR_10000) then
    return walks.invalid(walk, ": a time as os.time() gives it expected, got " .. tostring(seconds))
  elseif not compat.date then
    return walks.invalid(walk, ": a time as text expected, since this Lua has no os.date")
  end
  return compat.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds))
end

-- JSON Schema and the API's own notation differ in the case of type names; the service wants its own.
function values.upper(walk, value)
  if type(value) ~= "string" then walks.wrong_type(walk, "string", value) end
  return walks.quoted(walk, walk.wire and value or value:upper())
end

function values.boolean(walk, value)
  if type(value) ~= "boolean" then walks.wrong_type(walk, "boolean", value) end
  return tostring(value)
end

function values.number(walk, value)
  if type(value) ~= "number" then walks.wrong_type(walk, "number", value) end
  return digits(walk, value)
end

function values.integer(walk, value)
  local node, err = values.number(walk, value)
  if node and value % 1 ~= 0 and not walk.wire then
    return walks.invalid(walk, (": a whole number is needed, not %s"):format(node))
  end
  return node, err
end

-- The service takes 64-bit integers as numbers and as text; text is what Lua 5.1 can hold exactly.
function values.int64(walk, value, kind)
  if type(value) == "number" then return values.integer(walk, value, kind) end
  if type(value) ~= "string" then walks.wrong_type(walk, "integer", value) end
  if not value:find("^%-?%d+$") then return walks.invalid(walk, ": a whole number is needed") end
  return walks.quoted(walk, value)
end

function values.bytes(walk, value)
  if emit.is_binary(value) then return value end
  if type(value) ~= "string" then walks.wrong_type(walk, "string of raw bytes", value) end
  if not walk.wire and require("lgemini.media").looks_like_base64(value) then
    return walks.invalid(walk, " is raw bytes; this is base64", require("lgemini.part").BASE64_HINT)
  end
  return emit.bytes(value)
end

function values.struct(walk, value)
  if type(value) ~= "table" then walks.wrong_type(walk, "table", value) end
  local node, err = values.any(walk, value)
  if node and json.is_array(node) then return walks.invalid(walk, " must have named keys: it is an object") end
  return node, err
end

function values.map(walk, value, kind)
  if type(value) ~= "table" then walks.wrong_type(walk, "table", value) end
  local shape, problem = shape_of(value)
  if not shape then return walks.invalid(walk, problem) end
  if shape == "list" then return walks.invalid(walk, " must have named keys: it is an object") end
  local out = {}
  for key, item in pairs(value) do
    local node, err = values.check_name(walk, tostring(key))
    if node then node, err = walks.within(walk, tostring(key), values.encode, item, kind.of) end
    if not node then return nil, err end
    out[tostring(key)] = node
  end
  return ordered.keep(out, value)
end

-- What the object could not show as it came goes back from the notes that answer.lua took. Gives, too,
-- which keys are dealt with, and the wire names of those that have changed since.
local function echoed(walk, value, out)
  local done, spelled = {}, {}
  for name, note in pairs(schema.echo(value) or {}) do
    if note.key == nil or rawequal(value[note.key], note.value) then
      local node, err = walks.within(walk, name, values.any, note.wire)
      if not node then return nil, err end
      out[name] = node
      if note.key ~= nil then done[note.key] = true end
    else
      spelled[note.key] = name
    end
  end
  return done, spelled
end

--- An object that came from the wire.
function values.wire_object(walk, value, type)
  local out = {}
  local done, spelled = echoed(walk, value, out)
  if not done then return nil, spelled end
  local file = schema.file(value)
  if file then
    out.data, done.path = emit.file(file), true
  end
  for key, item in pairs(value) do
    local field = type.fields[key]
    local name = spelled[key] or (field and field.wire) or schema.camel(tostring(key))
    if not done[key] and not (field and item == NULL) then
      local node, err = walks.within(walk, tostring(key), field and values.encode or values.any, item, field)
      if not node then return nil, err end
      out[name] = node
    end
  end
  for name in pairs(out) do
    local ok, err = values.check_name(walk, name)
    if not ok then return nil, err end
  end
  return out
end

return values
