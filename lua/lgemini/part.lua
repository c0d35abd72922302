--- What a program may write for one part of a turn, but plain texts: parts of the API, local media, file objects. It
--- loads with the first of these.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local options = require "lgemini.options"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"

local forms = {}

-- A part has exactly one of these ...
local DATA = { "text", "inline_data", "file_data", "function_call", "function_response",
  "executable_code", "code_execution_result", "tool_call", "tool_response" }
-- ... or is local media, which has these and what may stand beside inline_data.
local LOCAL = { file = "string", data = "string", mime_type = "string", via = "string" }
local VIA = { auto = true, inline = true, upload = true }

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

forms.BASE64_HINT = "decode it first: gemini.base64.decode(text)"

local function has_part_field(value)
  for _, field in ipairs(schema.type("Part").order) do
    if value[field.field] ~= nil then return true end
  end
  return false
end

-- Raises at a name that cannot stand here and resembles one that can.
local function check_names(value, known, path)
  for key in pairs(value) do
    if not known[key] then
      local near = options.nearest(key, known) or require("lgemini.suggest").whole(key, known)
      errors.misuse(("%s.%s: %s"):format(path, tostring(key),
        near and ("did you mean %s?"):format(near) or "a part has no such field"))
    end
  end
end

-- The names that may stand beside `file` or `data`: those of a part that are no data themselves.
local local_names
local function names_of_local()
  if not local_names then
    local_names = {}
    for name in pairs(LOCAL) do local_names[name] = true end
    for name in pairs(schema.type("Part").fields) do local_names[name] = true end
  end
  return local_names
end

local function data_fields(value)
  local found = {}
  for _, name in ipairs(DATA) do
    if value[name] ~= nil then found[#found + 1] = name end
  end
  return found
end

local function local_part(found, value, path, index)
  check_names(value, names_of_local(), path)
  local others = data_fields(value)
  if value.file ~= nil and value.data ~= nil then table.insert(others, 1, "data") end
  if others[1] then
    return invalid(("%s has both %s and %s"):format(path, value.file and "file" or "data", others[1]),
      "make two parts of it")
  end
  local entry, part = { index = index, path = path }, {}
  for key, item in pairs(value) do
    if not LOCAL[key] then
      part[key] = item
    elseif type(item) ~= LOCAL[key] then
      errors.misuse(("%s.%s: %s expected, got %s"):format(path, key, LOCAL[key], type(item)))
    else
      entry[key] = item
    end
  end
  if entry.data and require("lgemini.media").looks_like_base64(entry.data) then
    return invalid(("%s.data is raw bytes; this is base64"):format(path), forms.BASE64_HINT)
  end
  entry.via = entry.via or "auto"
  if not VIA[entry.via] then
    errors.misuse(('%s.via: "auto", "inline" or "upload", not %q'):format(path, entry.via))
  end
  entry.part = part
  table.insert(found.locals, entry)
  return part
end

local function file_part(found, file, path)
  if type(file.uri) ~= "string" or type(file.mime_type) ~= "string" then
    return invalid(("%s is a file object without uri or mime_type"):format(path))
  end
  local part = { file_data = { file_uri = file.uri, mime_type = file.mime_type } }
  table.insert(found.files, { part = part, file = file, path = path })
  return part
end

local function unknown_part(value, path)
  local names = names_of_local()
  for key in pairs(value) do
    local near = not names[key] and options.nearest(key, names)
    if near then errors.misuse(("%s.%s: did you mean %s?"):format(path, key, near)) end
  end
  local shape, problem = shape_of(value)
  if not shape then return invalid(path .. problem) end
  local message = shape == "list" and "%s is a list where a part is needed"
    or (value.mime_type ~= nil or value.via ~= nil) and "%s has neither file nor data: is what was to be it nil?"
    or shape == "empty" and "%s is an empty table, not a part"
    or "%s is not a part: it has none of text, file, data, inline_data, file_data, ..."
  return invalid(message:format(path), 'a part is "text", { file = path }, { data = bytes } or a part of the API')
end

--- A part as it is sent.
---@param found lgemini.parts.Found  gets local media and file objects
---@param value any  no string
---@param path string  its place for messages
---@param index integer  and in its list
---@return table|nil
---@return lgemini.Error|nil err
function forms.of(found, value, path, index)
  if type(value) ~= "table" then
    errors.misuse(("%s: a part (string or table) expected, got %s"):format(path, type(value)))
  end
  if schema.is(value, "File") then return file_part(found, value, path) end
  if value.file ~= nil or value.data ~= nil then return local_part(found, value, path, index) end
  if has_part_field(value) then
    check_names(value, schema.type("Part").fields, path)
    local fields = data_fields(value)
    if fields[2] then
      return invalid(("%s has both %s and %s"):format(path, fields[1], fields[2]), "make two parts of it")
    end
    return value
  end
  -- the Python SDK takes these fields for a part, too
  if value.file_uri ~= nil then return { file_data = value } end
  return unknown_part(value, path)
end

return forms
