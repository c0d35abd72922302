-- Compares a request with the schema: names in camelCase or snake_case, types, what is unknown. What comes out has
-- camelCase names only and no nulls.

local errors = require "errors"
local json = require "json"
local schema = require "schema"

local check = {}

local function camel(name)
  return (name:gsub("_(%l)", string.upper))
end

local function snake(name)
  return (name:gsub("%u", function(c) return "_" .. c:lower() end))
end

local function is_array(value)
  return value[1] ~= nil or next(value) == nil
end

local function shown(value)
  return type(value) == "string" and '"' .. value:sub(1, 100) .. '"' or type(value) == "table" and "a message"
    or tostring(value)
end

local function is_integer(value, limit)
  local n = tonumber(value)
  return n and n % 1 == 0 and math.abs(n) < limit and n
end

local scalars = {
  string = { "TYPE_STRING", function(v) return type(v) == "string" and v or nil end },
  bytes = { "TYPE_BYTES", function(v) return type(v) == "string" and v or nil end },
  enum = { "TYPE_ENUM", function(v) return (type(v) == "string" or type(v) == "number") and v or nil end },
  bool = { "TYPE_BOOL", function(v) if type(v) == "boolean" then return v end end },
  float = { "TYPE_FLOAT", function(v) return type(v) ~= "table" and tonumber(v) or nil end },
  int32 = { "TYPE_INT32", function(v) return is_integer(v, 2 ^ 31) or nil end },
  int64 = { "TYPE_INT64", function(v) return is_integer(v, 2 ^ 53) or nil end },
  duration = { "type.googleapis.com/google.protobuf.Duration", function(v)
    return type(v) == "string" and tonumber(v:match("^(%-?[%d%.]+)s$")) or nil
  end },
  Struct = { "type.googleapis.com/google.protobuf.Struct", function(v)
    return type(v) == "table" and v[1] == nil and v or nil
  end },
  Value = { "", function(v) return v end },
}

local convert

local function convert_message(value, name, path, found)
  if type(value) ~= "table" or value[1] ~= nil then
    found:add(("Invalid value at '%s' (type.googleapis.com/google.ai.generativelanguage.v1beta.%s), %s")
      :format(path, name, shown(value)), path)
    return nil
  end
  local out = {}
  for key, item in pairs(value) do
    local field = camel(key)
    local kind = schema[name][field]
    local at = path == "" and snake(field) or path .. "." .. snake(field)
    if not kind then
      local where = path ~= "" and (" at '%s'"):format(path) or ""
      found:add(('Invalid JSON payload received. Unknown name "%s"%s: Cannot find field.'):format(key, where), path)
    elseif item ~= json.null then
      out[field] = convert(item, kind, at, found)
    end
  end
  return out
end

function convert(value, kind, path, found)
  local repeated, mapped = kind:match("^%[%](.+)"), kind:match("^{}(.+)")
  if repeated then
    -- The service takes a single item for a list of one.
    local list = type(value) == "table" and is_array(value) and value or { value }
    local out = {}
    for i, item in ipairs(list) do
      out[i] = convert(item, repeated, ("%s[%d]"):format(path, i - 1), found)
    end
    return out
  elseif mapped then
    local out = {}
    for key, item in pairs(type(value) == "table" and value or {}) do
      out[key] = convert(item, mapped, ("%s[%s].value"):format(path, key), found)
    end
    return out
  elseif scalars[kind] then
    local converted = scalars[kind][2](value)
    if converted == nil then
      found:add(("Invalid value at '%s' (%s), %s"):format(path, scalars[kind][1], shown(value)), path)
    end
    return converted
  end
  return convert_message(value, kind, path, found)
end

--- Raises the API's 400 when something does not fit.
---@param value table parsed JSON
---@param name string of a message in the schema
---@return table message
function check.message(value, name)
  local found = { texts = {}, violations = {} }
  function found:add(text, path)
    self.texts[#self.texts + 1] = text
    self.violations[#self.violations + 1] = { description = text, field = path ~= "" and path or nil }
  end
  local out = convert_message(value, name, "", found)
  if #found.texts > 0 then
    table.sort(found.texts)
    error(errors.new(400, table.concat(found.texts, "\n"), nil, {
      { ["@type"] = "type.googleapis.com/google.rpc.BadRequest", fieldViolations = found.violations },
    }))
  end
  return out
end

return check
