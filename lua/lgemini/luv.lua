--- lgemini in programs on luv (libuv): its tasks move while uv.run runs.

local luv = require "luv"

local adapter = {}

---@class lgemini.luv.Handle
local Handle = {}
Handle.__index = Handle

---@class lgemini.luv.Options
---@field budget number|nil     seconds of work at a time; 0.005
---@field on_error function|nil on_error(err) takes what step raises: the error of a task that nobody waits for, say
---@field on_idle function|nil  on_idle(handle) is called when no task is left

-- When to step: as the descriptor says, or after the time where there is none.
local function watch(self)
  local client = self.client
  local fd = not self.poll and client:pollfd()
  if fd then
    self.poll = luv.new_poll(fd)
  end
  if self.poll then
    self.poll:start("r", self.step)
  else
    self.timer:start(math.ceil((client:timeout() or 0.01) * 1000), 0, self.step)
  end
end

local function step(self, options)
  local client = self.client
  local ok, left = pcall(client.step, client, options.budget or 0.005)
  if self.timer then
    watch(self)
  end
  if not ok then
    if not options.on_error then
      error(left, 0)
    end
    options.on_error(left)
  elseif not left then
    if options.on_idle and self.timer then
      options.on_idle(self)
    end
    if client.tasks.closed then
      self:close()
    end
  end
end

--- Moves the client's tasks while uv.run runs, and keeps it running until the handle is closed, or the client is and no
--- task is left.
---@param client lgemini.Client
---@param options lgemini.luv.Options|nil
---@return lgemini.luv.Handle
function adapter.attach(client, options)
  local self = setmetatable({ client = client, timer = luv.new_timer() }, Handle)
  function self.step()
    step(self, options or {})
  end
  client.loop.handles[self] = true
  watch(self)
  return self
end

-- The descriptor is about to be closed: luv must not know of it any more.
function Handle:release()
  if self.poll then
    self.poll:stop()
    self.poll:close()
    self.poll = nil
    self.timer:start(0, 0, self.step)
  end
end

--- Moves them no longer. Closing twice is fine.
function Handle:close()
  if self.timer then
    self:release()
    self.timer:close()
    self.timer = nil
    self.client.loop.handles[self] = nil
  end
end

return adapter
