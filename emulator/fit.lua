-- Makes up a JSON value that fits a schema (the API's own dialect or JSON Schema), as text, so that the order of
-- properties is the schema's.

local json = require "json"

local fit = {}

local DEPTH = 12 -- of recursive schemas; deeper than this, optional parts are left out

local samples = {
  ["date-time"] = "2026-01-01T00:00:00Z", date = "2026-01-01", time = "00:00:00Z", email = "someone@example.com",
  uri = "https://example.com/", uuid = "00000000-0000-4000-8000-000000000000",
}

local value

local function string_value(schema, hint)
  local text = samples[schema.format] or hint or "text"
  local most = tonumber(schema.maxLength)
  if #text < (tonumber(schema.minLength) or 0) then text = text .. ("x"):rep(tonumber(schema.minLength) - #text) end
  return json.quote(most and text:sub(1, most) or text)
end

local function number_value(schema, whole)
  local n = tonumber(schema.minimum) or math.min(1, tonumber(schema.maximum) or 1)
  if schema.exclusiveMinimum and n <= schema.exclusiveMinimum then n = schema.exclusiveMinimum + 1 end
  if whole then n = math.ceil(n) elseif n == 1 and not schema.maximum then n = 1.5 end
  return json.encode(n)
end

local function property_names(schema)
  local names, seen = {}, {}
  for _, name in ipairs(schema.propertyOrdering or {}) do
    if schema.properties[name] and not seen[name] then
      names[#names + 1], seen[name] = name, true
    end
  end
  local rest = {}
  for name in pairs(schema.properties) do
    if not seen[name] then rest[#rest + 1] = name end
  end
  table.sort(rest)
  for _, name in ipairs(rest) do names[#names + 1] = name end
  return names
end

local function object_value(schema, root, depth)
  local required = {}
  for _, name in ipairs(schema.required or {}) do required[name] = true end
  local out = {}
  for _, name in ipairs(schema.properties and property_names(schema) or {}) do
    if depth < DEPTH / 2 or required[name] then
      out[#out + 1] = json.quote(name) .. ":" .. value(schema.properties[name], root, depth + 1, name)
    end
  end
  if #out == 0 and type(schema.additionalProperties) == "table" then
    out[1] = '"key":' .. value(schema.additionalProperties, root, depth + 1)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

local function array_value(schema, root, depth, hint)
  local out = {}
  for i, item in ipairs(schema.prefixItems or {}) do out[i] = value(item, root, depth + 1, hint) end
  local least = tonumber(schema.minItems) or (depth < DEPTH / 2 and tonumber(schema.maxItems) ~= 0 and 1 or 0)
  for i = #out + 1, least do out[i] = value(schema.items or {}, root, depth + 1, hint) end
  return "[" .. table.concat(out, ",") .. "]"
end

local function resolve(schema, root)
  local at = root
  for step in schema["$ref"]:gsub("^#/?", ""):gmatch("[^/]+") do
    at = type(at) == "table" and at[step] or nil
  end
  return type(at) == "table" and at or {}
end

local function kind_of(schema)
  local kind = schema.type
  if type(kind) == "table" then -- JSON Schema: the first that is not null
    for _, k in ipairs(kind) do
      if k ~= "null" then return k end
    end
  end
  if type(kind) == "string" then return kind:lower() end
  if schema.properties then return "object" end
  if schema.items or schema.prefixItems then return "array" end
  return "string"
end

function value(schema, root, depth, hint)
  if type(schema) ~= "table" or depth > DEPTH then return "null" end
  if schema["$ref"] then return value(resolve(schema, root), root, depth + 1, hint) end
  if schema.const ~= nil then return json.encode(schema.const) end
  if schema.enum and schema.enum[1] ~= nil then return json.encode(schema.enum[1]) end
  local choice = schema.anyOf or schema.oneOf
  if choice and choice[1] then
    local first = choice[1]
    if type(first) == "table" and kind_of(first) == "null" and choice[2] then first = choice[2] end
    return value(first, root, depth + 1, hint)
  end
  local kind = kind_of(schema)
  if kind == "object" then return object_value(schema, root, depth) end
  if kind == "array" then return array_value(schema, root, depth, hint) end
  if kind == "integer" then return number_value(schema, true) end
  if kind == "number" then return number_value(schema, false) end
  if kind == "boolean" then return "true" end
  if kind == "null" then return "null" end
  return string_value(schema, hint)
end

---@param schema table
---@return string json
function fit.json(schema)
  return value(schema, schema, 0)
end

return fit
