--- What a caller may write as `contents`, made into a list of turns. No I/O happens here.
--
-- The caller's tables are never written to: what has to change is copied. Parts that came from the wire
-- are passed on as they are; `file`, `data` and `via` are read only in tables that a program wrote.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"

local parts = {}

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

local function to_part(found, value, path, index)
  if type(value) == "string" then return { text = value } end
  if schema.is(value, "Part") then return value end
  return require("lgemini.part").of(found, value, path, index)
end

local function to_parts(found, list, path)
  local shape, n = shape_of(list)
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
  local shape, problem = shape_of(value)
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
