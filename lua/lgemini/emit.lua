--- The second step of the request encoder: a tree -> segments of a body (see request.lua for the first).
--
-- A tree is in the wire's layout: objects are plain tables, arrays carry json.array's mark, leaves are finished JSON
-- text or binary: bytes, or the path of a file, that become base64 while they are sent.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local ordered = require "lgemini.ordered"
local schema = require "lgemini.schema"

local emit = {}

-- Texts of this size are handed to the body as they are instead of being joined with their neighbours.
local LARGE = 16384

local Binary = { __name = "lgemini.emit.binary" }

--- What stands for the bytes of a file, which are read while they are sent.
---@param path string
---@return table
function emit.file(path)
  return setmetatable({ path = path }, Binary)
end

--- What stands for raw bytes; base64 when it is sent.
---@param bytes string
---@return table
function emit.bytes(bytes)
  return setmetatable({ bytes = bytes }, Binary)
end

---@param value any
---@return boolean
function emit.is_binary(value)
  return getmetatable(value) == Binary
end

-- The first failure counts; what is written after it does no harm.
local function check(out, _, err)
  out.problem = out.problem or err
end

local function flush(out, n)
  if n > 0 then check(out, out.body:add(table.concat(out, "", 1, n))) end
end

-- Each writer gets how many texts wait in `out` to be joined, and returns how many do then.

local function write_text(out, n, text)
  if #text < LARGE then
    out[n + 1] = text
    return n + 1
  end
  flush(out, n)
  check(out, out.body:add(text))
  return 0
end

local function write_binary(out, n, node)
  out[n + 1] = '"'
  flush(out, n + 1)
  if node.bytes then
    check(out, out.body:add_base64(node.bytes))
  else
    check(out, out.body:add_base64_file(node.path))
  end
  out[1] = '"'
  return 1
end

local write_node

local function write_array(out, n, node)
  local count = #node
  out[n + 1] = "["
  n = n + 1
  for i = 1, count do
    if i > 1 then
      out[n + 1] = ","
      n = n + 1
    end
    n = write_node(out, n, node[i])
  end
  out[n + 1] = "]"
  return n + 1
end

local function sorted_names(node)
  local names, n = {}, 0
  for name in pairs(node) do
    n = n + 1
    names[n] = name
  end
  table.sort(names)
  return names
end

-- Those that have an order of their own come first.
local function names_of(node)
  local first = ordered.names(node)
  if not first then return sorted_names(node) end
  local names, taken = {}, {}
  for _, name in ipairs(first) do
    if node[name] ~= nil then names[#names + 1], taken[name] = name, true end
  end
  for _, name in ipairs(sorted_names(node)) do
    if not taken[name] then names[#names + 1] = name end
  end
  return names
end

-- `start` is what stands in front of the name.
local function write_member(out, n, start, name, value)
  out[n + 1] = start
  out[n + 2] = schema.quoted[name] or json.quote(name) .. ":"
  return write_node(out, n + 2, value)
end

local function write_object(out, n, node)
  local first = next(node)
  if first == nil then
    out[n + 1] = "{}"
    return n + 1
  elseif next(node, first) == nil then -- most have one member
    n = write_member(out, n, "{", first, node[first])
  else
    local names = names_of(node)
    for i = 1, #names do
      n = write_member(out, n, i > 1 and "," or "{", names[i], node[names[i]])
    end
  end
  out[n + 1] = "}"
  return n + 1
end

function write_node(out, n, node)
  if type(node) == "string" then return write_text(out, n, node) end
  local mark = getmetatable(node)
  if mark == nil then return write_object(out, n, node) end
  if mark == Binary then return write_binary(out, n, node) end
  return write_array(out, n, node)
end

--- Writes a tree into a body: names sorted, text joined, bytes and files left to be base64-encoded while
--- they are sent. Fails for a file that cannot be read.
---@param tree table
---@param body table  has :add(text), :add_base64(bytes), :add_base64_file(path); nil, err when they fail
---@return true?
---@return lgemini.Error?
function emit.tree(tree, body)
  local out = { body = body, false, false, false, false, false, false, false, false, false, false, false, false, false,
    false, false, false } -- places for the texts of a small tree
  flush(out, write_node(out, 0, tree))
  if out.problem then return nil, errors.is(out.problem) and out.problem or errors.new(out.problem) end
  return true
end

return emit
