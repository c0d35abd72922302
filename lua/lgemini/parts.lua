--- What a caller may write as `contents`, made into a list of turns. No I/O happens here.
--
-- The caller's tables are never written to: what has to change is copied. Parts that came from the wire
-- are passed on as they are; `file`, `data` and `via` are read only in tables that a program wrote.

local errors = require "lgemini.errors"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

local parts = {}

-- A part has exactly one of these ...
local DATA = { "text", "inline_data", "file_data", "function_call", "function_response",
  "executable_code", "code_execution_result", "tool_call", "tool_response" }
-- ... or is local media, which has these and what may stand beside inline_data.
local LOCAL = { file = "string", data = "string", mime_type = "string", via = "string" }
local VIA = { auto = true, inline = true, upload = true }

---@class lgemini.parts.Local  media that is on this machine
---@field part table  the part that is sent: give it inline_data or file_data
---@field file string?  a path, or
---@field data string?  the bytes
---@field mime_type string?
---@field via "auto"|"inline"|"upload"
---@field index integer  its place in the list it stands in
---@field path string  its place for messages: contents[1].parts[2]

---@class lgemini.parts.Used  a file object of client.files among the contents
---@field part table  the part that is sent, with its file_data
---@field file table  the file object
---@field path string

---@class lgemini.parts.Found  what the contents need done before they are sent
---@field locals lgemini.parts.Local[]
---@field files lgemini.parts.Used[]

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

local function is_index(key)
  return type(key) == "number" and key >= 1 and key % 1 == 0
end

--- What a table is: "list" (and its length), "object", or "empty", which may be either. Neither list nor
--- object is nil and what is wrong, to be put behind the path of the table.
---@param value table
---@return "list"|"object"|"empty"|nil
---@return integer|string|nil
function parts.shape(value)
  local count, highest, named = 0, 0, nil
  for key in pairs(value) do
    if is_index(key) then
      count = count + 1
      if key > highest then highest = key end
    else
      named = key
    end
  end
  if count == 0 then return named == nil and "empty" or "object" end
  if named ~= nil then
    return nil, (" mixes a list with named keys (%s)"):format(tostring(named))
  end
  if count == highest then return "list", count end
  local hole = 1
  while value[hole] ~= nil do hole = hole + 1 end
  return nil, ("[%d] is missing: a list must have no nil in it"):format(hole)
end

parts.BASE64_HINT = "decode it first: gemini.base64.decode(text)"

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
      local near = options.nearest(key, known)
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
    return invalid(("%s.data is raw bytes; this is base64"):format(path), parts.BASE64_HINT)
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
    local near = options.nearest(key, names)
    if near then errors.misuse(("%s.%s: did you mean %s?"):format(path, key, near)) end
  end
  local shape, problem = parts.shape(value)
  if not shape then return invalid(path .. problem) end
  local message = shape == "list" and "%s is a list where a part is needed"
    or shape == "empty" and "%s is an empty table, not a part"
    or "%s is not a part: it has none of text, file, data, inline_data, file_data, ..."
  return invalid(message:format(path), 'a part is "text", { file = path }, { data = bytes } or a part of the API')
end

local function to_part(found, value, path, index)
  if type(value) == "string" then return { text = value } end
  if type(value) ~= "table" then
    errors.misuse(("%s: a part (string or table) expected, got %s"):format(path, type(value)))
  end
  if schema.is(value, "Part") then return value end
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

local function to_parts(found, list, path)
  local shape, n = parts.shape(list)
  if not shape then return invalid(path .. n) end
  if shape == "object" then
    return invalid(path .. " must be a list of parts", "{ { text = ... } } is a list with one part")
  end
  local out, changed = {}, false
  for i = 1, n or 0 do
    local part, err = to_part(found, list[i], ("%s[%d]"):format(path, i), i)
    if not part then return nil, err end
    out[i], changed = part, changed or part ~= list[i]
  end
  return changed and out or list
end

local function to_turn(found, value, path)
  if value.parts == nil then
    if schema.is(value, "Content") then return value end -- the service sends turns without parts
    return invalid(path .. ".parts is missing", 'a turn is { role = "user", parts = { "text", ... } }')
  end
  if type(value.parts) ~= "table" then
    errors.misuse(("%s.parts: list of parts expected, got %s"):format(path, type(value.parts)))
  end
  local list, err = to_parts(found, value.parts, path .. ".parts")
  if not list then return nil, err end
  if list == value.parts then return value end
  local turn = schema.copy(value)
  turn.parts = list
  return turn
end

local function role_of(part)
  return part.function_call ~= nil and "model" or "user"
end

-- What one item of `contents` is: "turn", "list" or "part"; or nil and what is wrong.
local function kind_of(value)
  if type(value) ~= "table" then return "part" end
  if schema.is(value, "Content") then return "turn" end
  if schema.is(value, "Part") or schema.is(value, "File") then return "part" end
  local shape, problem = parts.shape(value)
  if not shape then return nil, problem end
  if shape == "list" then return "list" end
  return (value.parts ~= nil or value.role ~= nil) and "turn" or "part"
end

-- One turn of its own: of a turn, a list of parts, or a part.
local function single(found, value, path, index)
  local kind, problem = kind_of(value)
  if not kind then return invalid(path .. problem) end
  if kind == "turn" then return to_turn(found, value, path) end
  if kind == "list" then
    local list, err = to_parts(found, value, path)
    if not list then return nil, err end
    return { role = "user", parts = list }
  end
  local part, err = to_part(found, value, path, index)
  if not part then return nil, err end
  return { role = role_of(part), parts = { part } }
end

-- Parts that follow each other are one turn; what is a turn itself, or a list, stands alone.
local function grouped(found, list, n, path)
  local turns, open = {}, nil
  for i = 1, n do
    local turn, err = single(found, list[i], ("%s[%d]"):format(path, i), i)
    if not turn then return nil, err end
    local is_part = kind_of(list[i]) == "part"
    if is_part and open and open.role == turn.role then
      table.insert(open.parts, turn.parts[1])
    else
      table.insert(turns, turn)
      open = is_part and turn or nil
    end
  end
  return turns
end

local function separate(found, list, n, path)
  local turns = {}
  for i = 1, n do
    local turn, err = single(found, list[i], ("%s[%d]"):format(path, i), i)
    if not turn then return nil, err end
    turns[i] = turn
  end
  return turns
end

local function coerce(value, path, of_list)
  local found = { locals = {}, files = {} }
  local kind = kind_of(value)
  if value == nil or value == "" or (type(value) == "table" and next(value) == nil and kind ~= "turn") then
    return invalid(path .. (path == "contents" and " are required" or " is empty"),
      "give a string, a part, a list of parts, or a list of turns")
  end
  local turns, err
  if kind == "list" then
    turns, err = of_list(found, value, #value, path)
  else
    local turn
    turn, err = single(found, value, path, 1)
    turns = turn and { turn }
  end
  if not turns then return nil, err end
  return turns, found
end

--- The caller's `contents` as a list of turns, and what they need done before they are sent. Fails with
--- kind "invalid" and the place of what is wrong; a wrong Lua type or name raises.
---@param value any  a string, a part, a file object, a list of parts, a list of turns
---@param name string?  what messages call it; "contents"
---@return table[]? turns
---@return lgemini.parts.Found|lgemini.Error
function parts.contents(value, name)
  return coerce(value, name or "contents", grouped)
end

--- The same for embeddings: each item of a list is a turn of its own.
---@param value any
---@return table[]? turns
---@return lgemini.parts.Found|lgemini.Error
function parts.each(value)
  return coerce(value, "contents", separate)
end

--- A system instruction as a turn: a string, a part, a list of parts, or a turn; text only.
---@param value any
---@param path string?  what messages call it; "config.system_instruction"
---@return table? turn
---@return lgemini.Error?
function parts.system(value, path)
  path = path or "config.system_instruction"
  local found = { locals = {}, files = {} }
  local turn, err = single(found, value, path, 1)
  if not turn then return nil, err end
  for _, part in ipairs(turn.parts or {}) do
    if part.text == nil then
      return invalid(path .. " takes text only", "put media into contents")
    end
  end
  return turn
end

return parts
