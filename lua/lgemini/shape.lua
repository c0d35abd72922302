--- What a table of the caller's is: a list or an object.

require("lgemini.compat").goes_over_tables()

local function is_index(key)
  return type(key) == "number" and key >= 1 and key % 1 == 0
end

--- What a table is: "list" (and its length), "object", or "empty", which may be either. Neither list nor
--- object is nil and what is wrong, to be put behind the path of the table.
---@param value table
---@return "list"|"object"|"empty"|nil
---@return integer|string|nil
local function shape_of(value)
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

return shape_of
