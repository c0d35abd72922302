--- Where the request encoder is in what the caller gave: for the depth, and for messages about what is wrong there.

local errors = require "lgemini.errors"
local json = require "lgemini.json"

local walks = {}

-- What json.decode accepts can be sent back; the service's own limit is about the same.
local MAX_DEPTH = 100

-- Keys of a path that messages show.
local MAX_SHOWN = 16

local NULL = json.null

---@class lgemini.Walk  the keys from the root to the value at hand; `n` of them count
---@field root string     what messages call the root
---@field n integer
---@field wire boolean    the value came from the wire: then whatever is in it is sent back
---@field embed function|nil  that of lgemini.request.Args
---@field vertex any
---@field renames boolean|nil  names within user data are the API's own

function walks.new(root, embed, vertex)
  return { false, false, false, false, root = root, n = 0, wire = false, embed = embed, vertex = vertex }
end

function walks.place(walk)
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

function walks.invalid(walk, problem, hint)
  return nil, errors.new { kind = "invalid", message = walks.place(walk) .. problem, hint = hint }
end

function walks.wrong_type(walk, wanted, value)
  local found = value == NULL and "null" or type(value)
  errors.misuse(("%s: %s expected, got %s"):format(walks.place(walk), wanted, found))
end

--- What `encode` makes of a value that stands at that key.
function walks.within(walk, key, encode, value, kind)
  local n = walk.n + 1
  walk.n, walk[n] = n, key
  if n > MAX_DEPTH then
    return walks.invalid(walk, (" is nested deeper than %d levels (a table within itself?)"):format(MAX_DEPTH))
  end
  local node, err = encode(walk, value, kind)
  walk.n = n - 1
  return node, err
end

--- A text as a leaf.
function walks.quoted(walk, text)
  local node, problem = json.quote(text)
  if not node then return walks.invalid(walk, ": " .. problem, "text is UTF-8; raw bytes go into inline_data") end
  return node
end

return walks
