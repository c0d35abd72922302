-- When the next event of a stream may go out: after a pause, or, while the gate is held, when the admin releases it.

local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local pace = {}
pace.__index = pace

---@param settings table
---@return table pace
function pace.new(settings)
  return setmetatable({
    settings = settings, held = false, released = 0, waiting = 0, passed = 0, changed = condition.new(),
  }, pace)
end

--- Holds the gate: from now on no event of any stream goes out until it is released.
function pace:hold()
  self.held, self.released = true, 0
end

--- Lets n more events out, of whichever stream asks first.
---@param n integer
function pace:release(n)
  if self.held then self.released = self.released + n end
  self.changed:signal()
end

function pace:open()
  self.held, self.released = false, 0
  self.changed:signal()
end

--- Waits for the turn of an event.
---@param ex table exchange
---@param first boolean the first of its stream, before which there is no pause
function pace:wait(ex, first)
  if self.held then
    self.waiting = self.waiting + 1
    local ok, err = pcall(function()
      while self.held and self.released == 0 do ex:wait(3600, self.changed) end
    end)
    self.waiting = self.waiting - 1
    if not ok then error(err, 0) end
    if self.held then self.released = self.released - 1 end
  elseif not first and self.settings.pause > 0 then
    ex:wait(self.settings.pause)
  else
    cqueues.poll(0)
    ex:check_alive()
  end
  self.passed = self.passed + 1
end

function pace:state()
  return { held = self.held, released = self.released, waiting = self.waiting, passed = self.passed }
end

return pace
