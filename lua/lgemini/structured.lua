--- What a schema may look like: the two notations that a model's answer, or the arguments of a function, are described
-- in (reference section 4.4). A mistake is found here, with its place, before anything is sent.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local ordered = require "lgemini.ordered"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"

local structured = {}

local MAX_DEPTH = 100

local TYPES = { STRING = true, NUMBER = true, INTEGER = true, BOOLEAN = true, ARRAY = true, OBJECT = true, NULL = true,
  TYPE_UNSPECIFIED = true }

local TYPE_NAMES = "string, number, integer, boolean, array, object or null"

local function in_words(value)
  return type(value) == "string" and ("%q"):format(value:sub(1, 40)) or tostring(value)
end

-- The first name in a list that no property has, and its place.
local function unknown_property(names, properties)
  for i, name in ipairs(type(names) == "table" and names or {}) do
    if properties[name] == nil then return i, name end
  end
end

-- The API's own notation --------------------------------------------------------------------------

--- What is wrong with one level of a Schema, beside the types of its fields; the levels below are not looked at.
---@param value table
---@return string? problem  to be put behind the place of the schema
function structured.problem(value)
  local kind = type(value.type) == "string" and value.type:upper() or nil
  if kind and not TYPES[kind] then
    return (".type: %s is no type; it is %s"):format(in_words(value.type), TYPE_NAMES)
  elseif kind == "ARRAY" and value.items == nil then
    return ".items is missing: an array needs the schema of its elements"
  elseif type(value.properties) ~= "table" then
    return nil
  end
  for _, field in ipairs { "required", "property_ordering" } do
    local i, name = unknown_property(value[field], value.properties)
    if i then return (".%s[%d]: there is no property %s"):format(field, i, in_words(name)) end
  end
end

local function is_null_type(name) return type(name) == "string" and name:upper() == "NULL" end

-- In upper case it is the API's own type of that name, which stays.
local function is_null_schema(item) return type(item) == "table" and item.type == "null" end

-- What of a list is not null, and whether something was.
local function without_null(list, is_null)
  local kept = {}
  for _, item in ipairs(list) do
    if not is_null(item) then kept[#kept + 1] = item end
  end
  return kept, #kept < #list
end

-- { "string", "null" } as type; several types are a choice.
local function plain_types(value)
  local names, null = without_null(value.type, is_null_type)
  if #names == 0 or (names[2] and value.any_of ~= nil) then return value end -- the encoder refuses it
  local copy = schema.copy(value)
  copy.type, copy.nullable = names[1], null or value.nullable
  if names[2] then
    copy.type, copy.any_of = nil, {}
    for i, name in ipairs(names) do copy.any_of[i] = { type = name } end
  end
  return copy
end

-- any_of = { { type = "null" }, ... }; where one other is left, that is the schema.
local function plain_choices(value)
  local choices, null = without_null(value.any_of, is_null_schema)
  if not null or type(choices[1]) ~= "table" then return value end
  local copy = schema.copy(value)
  copy.any_of, copy.nullable = choices, true
  if not choices[2] then
    copy.any_of = nil
    for name, item in pairs(choices[1]) do copy[name] = item end
  end
  return copy
end

--- One level of a Schema, with what JSON Schema says of null and of several types in the API's words, as the SDKs have
--- it: `nullable` and `any_of`.
---@param value table
---@return table
function structured.plain(value)
  if type(value.type) == "table" then value = plain_types(value) end
  if type(value.any_of) == "table" then value = plain_choices(value) end
  return value
end

--- A Schema of the API in JSON Schema's words, for what takes only these.
---@param value table
---@return table
function structured.as_json_schema(value)
  local out = {}
  for name, item in pairs(value) do
    if type(item) == "table" and name == "items" then
      item = structured.as_json_schema(item)
    elseif type(item) == "table" and (name == "properties" or name == "any_of") then
      local inner = {}
      for key, one in pairs(item) do inner[key] = structured.as_json_schema(one) end
      item = ordered.keep(inner, item)
    end
    if name ~= "nullable" then out[schema.camel(name)] = item end
  end
  out.type = type(value.type) == "string" and value.type:lower() or value.type
  if value.nullable and type(out.type) == "string" then
    out.type = { out.type, "null" }
  elseif value.nullable and out.anyOf then
    table.insert(out.anyOf, { type = "null" })
  end
  return out
end

-- JSON Schema -------------------------------------------------------------------------------------

-- Where schemas stand within a schema.
local ONE = { "items", "additionalProperties", "not", "contains", "propertyNames", "unevaluatedProperties" }
local LIST = { "anyOf", "oneOf", "allOf", "prefixItems" }
local MAP = { "properties", "$defs", "definitions", "patternProperties" }

-- Names of the other notation.
local SNAKE = {}
for _, name in ipairs { "anyOf", "oneOf", "allOf", "prefixItems", "additionalProperties", "propertyOrdering",
  "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties" } do
  SNAKE[schema.snake(name)] = name
end

local function invalid(place, problem, hint)
  return nil, errors.new { kind = "invalid", message = place .. problem, hint = hint }
end

local function member(place, key)
  if type(key) == "number" then return ("%s[%d]"):format(place, key) end
  if key:find("^[%a_][%w_]*$") then return place .. "." .. key end
  return ("%s[%q]"):format(place, key)
end

local function check_type(value, place)
  local list = type(value) == "table" and value or { value }
  for _, name in ipairs(list) do
    if type(name) ~= "string" or not TYPES[name:upper()] then
      return invalid(place, (".type: %s is no type; it is %s"):format(in_words(name), TYPE_NAMES))
    elseif name ~= name:lower() then
      return invalid(place, (".type: JSON Schema writes %s"):format(in_words(name:lower())),
        "types in upper case belong to response_schema and parameters")
    end
  end
  return true
end

-- Does "#/$defs/x" lead anywhere?
local function leads_somewhere(reference, root)
  local at = root
  for step in reference:gsub("^#/?", ""):gmatch "[^/]+" do
    step = step:gsub("~1", "/"):gsub("~0", "~")
    at = type(at) == "table" and (at[step] or at[tonumber(step) and tonumber(step) + 1]) or nil
  end
  return at ~= nil
end

local function check_level(value, place, root)
  for name in pairs(value) do
    if SNAKE[name] then
      return invalid(member(place, name), (": JSON Schema calls it %s"):format(SNAKE[name]))
    end
  end
  if value.type ~= nil then
    local ok, err = check_type(value.type, place)
    if not ok then return nil, err end
  end
  local reference = value["$ref"]
  if type(reference) == "string" and reference:find "^#/" and not leads_somewhere(reference, root) then
    return invalid(member(place, "$ref"), (": %s leads nowhere"):format(in_words(reference)))
  end
  return true
end

local walk

-- The schemas in a list or a map, copied.
local function walk_all(value, place, root, depth)
  if type(value) ~= "table" then
    return invalid(place, (": a table of schemas is needed, not %s"):format(in_words(value)))
  end
  local copy = schema.copy(value)
  for key, item in pairs(value) do
    local done, err = walk(item, member(place, key), root, depth + 1)
    if done == nil then return nil, err end
    copy[key] = done
  end
  return copy
end

function walk(value, place, root, depth)
  if type(value) == "boolean" then return value end
  if type(value) ~= "table" or json.is_array(value) or shape_of(value) == "list" then
    if depth == 1 then return value end -- the encoder knows what to say of it
    return invalid(place, (": a schema is a table with named members, not %s"):format(
      type(value) == "table" and "a list" or in_words(value)))
  elseif depth > MAX_DEPTH then
    return invalid(place, (" is nested deeper than %d levels (a table within itself?)"):format(MAX_DEPTH))
  end
  local ok, err = check_level(value, place, root)
  if not ok then return nil, err end
  local copy = schema.copy(value)
  for _, group in ipairs { { ONE, walk }, { LIST, walk_all }, { MAP, walk_all } } do
    for _, name in ipairs(group[1]) do
      if value[name] ~= nil then
        copy[name], err = group[2](value[name], member(place, name), root, depth + 1)
        if err then return nil, err end
      end
    end
  end
  local names = type(value.properties) == "table" and ordered.names(value.properties)
  if names and value.propertyOrdering == nil then copy.propertyOrdering = names end
  return copy
end

--- A JSON Schema as it is sent: the same, with a propertyOrdering where properties are ordered.
---@param value any
---@param place string  what messages call it
---@return table|boolean|nil
---@return lgemini.Error? err  kind "invalid", with the place of what is wrong
function structured.json_schema(value, place)
  return walk(value, place, value, 1)
end

return structured
