-- JSON as the service writes it: no insignificant space, `<`, `>`, `&` escaped, sorted keys (so that equal answers are
-- equal bytes). Decoding is lua-cjson's; JSON null becomes `json.null`.

local cjson = require "cjson".new()

cjson.decode_invalid_numbers(false)

local json = { null = cjson.null }

local array_mt = { __name = "json.array" }
local raw_mt = { __name = "json.raw" }

--- Marks a table as an array, which matters when it is empty.
---@param t table
---@return table t
function json.array(t)
  return setmetatable(t, array_mt)
end

--- JSON text that is written as it is.
---@param text string
---@return table
function json.raw(text)
  return setmetatable({ text = text }, raw_mt)
end

local escapes = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}
local function escape(c)
  return escapes[c] or string.format("\\u%04x", c:byte())
end

--- The JSON text of a string.
---@param s string UTF-8
---@return string
function json.quote(s)
  return '"' .. s:gsub('[%c"\\<>&\127]', escape) .. '"'
end

local function number(n)
  if n ~= n or n == math.huge or n == -math.huge then
    error("not a JSON number: " .. tostring(n))
  elseif n % 1 == 0 and n > -2 ^ 53 and n < 2 ^ 53 then
    return string.format("%d", n)
  end
  return (string.format("%.14g", n))
end

local write

local function write_array(t, out)
  out[#out + 1] = "["
  for i = 1, #t do
    if i > 1 then out[#out + 1] = "," end
    write(t[i], out)
  end
  out[#out + 1] = "]"
end

local function write_object(t, out)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  out[#out + 1] = "{"
  for i, k in ipairs(keys) do
    if i > 1 then out[#out + 1] = "," end
    out[#out + 1] = json.quote(k)
    out[#out + 1] = ":"
    write(t[k], out)
  end
  out[#out + 1] = "}"
end

function write(v, out)
  local kind = type(v)
  if kind == "string" then
    out[#out + 1] = json.quote(v)
  elseif kind == "number" then
    out[#out + 1] = number(v)
  elseif kind == "boolean" then
    out[#out + 1] = tostring(v)
  elseif v == json.null then
    out[#out + 1] = "null"
  elseif kind ~= "table" then
    error("not JSON: " .. kind)
  elseif getmetatable(v) == raw_mt then
    out[#out + 1] = v.text
  elseif getmetatable(v) == array_mt or v[1] ~= nil then
    write_array(v, out)
  else
    write_object(v, out)
  end
end

--- An unmarked empty table is an object.
---@param value any
---@return string
function json.encode(value)
  local out = {}
  write(value, out)
  return table.concat(out)
end

--- Objects and arrays become plain tables.
---@param text string
---@return any value nil when it is not JSON
---@return string? message
function json.decode(text)
  local ok, value = pcall(cjson.decode, text)
  if not ok then return nil, value end
  return value
end

return json
