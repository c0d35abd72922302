--- Tables with named members that remember an order: for schemas, whose order a model follows.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"

local ordered = {}

-- table -> names in order
local orders = setmetatable({}, { __mode = "k" })

--- A plain table made of pairs, whose order is kept where it is sent: `{ {"name", ...}, {"age", ...} }`.
---@param list table[]
---@return table
function ordered.new(list)
  if type(list) ~= "table" then
    errors.misuse("gemini.ordered: a list of { name, value } is needed, got " .. type(list))
  end
  local out, names = {}, {}
  for i, pair in ipairs(list) do
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or pair[2] == nil then
      errors.misuse(("gemini.ordered: item %d is not { name, value }"):format(i))
    elseif out[pair[1]] ~= nil then
      errors.misuse(("gemini.ordered: %s is there twice"):format(pair[1]))
    end
    out[pair[1]], names[i] = pair[2], pair[1]
  end
  local count = 0
  for _ in pairs(list) do
    count = count + 1
  end
  if count ~= #list then
    errors.misuse "gemini.ordered: a list of { name, value } is needed, without names of its own"
  end
  orders[out] = names
  return out
end

--- The names of a table in its order, or nil. Members that were added later are not among them.
---@param value table
---@return string[]?
function ordered.names(value)
  return orders[value]
end

--- Gives a table the order of another.
---@param value table
---@param from table
---@return table value
function ordered.keep(value, from)
  orders[value] = orders[from]
  return value
end

return ordered
