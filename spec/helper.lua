-- Loaded by busted before any spec. A test that leaves more of the core's objects alive than it found fails:
-- hold what outlives a test in a `setup`, and let go of what a `before_each` made in the `after_each`. A client of a
-- `setup` may have kept routes since: one for answers, one for streams.
local busted = require "busted"
local collect = require "spec.support.collect"

local function alive()
  local core = package.loaded["lgemini.core"]
  if not core then return {} end
  collect()
  return core.alive()
end

local before, test

busted.subscribe({ "test", "start" }, function(element) test = element.name end)
busted.before_each(function() before = alive() end)
busted.after_each(function()
  local left = {}
  for kind, count in pairs(alive()) do
    local more = count - (before[kind] or 0)
    if more > (kind == "route" and 2 or 0) then left[#left + 1] = more .. " " .. kind end
  end
  table.sort(left)
  if #left > 0 then error(("'%s' left alive: %s"):format(test, table.concat(left, ", ")), 0) end
end)
