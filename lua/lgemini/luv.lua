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

-- When to step: as the descriptor says, or after the time where there is none, or where luv watches it already.
local function watch(self)
  if self.poll then
    self.poll:start("r", self.step)
  else
    self.timer:start(math.ceil((self.client:timeout() or 0.01) * 1000), 0, self.step)
  end
end

-- No task is left.
local function idle(self, options)
  if options.on_idle and self.timer then
    options.on_idle(self)
  end
  if self.client.tasks.closed then
    self:close()
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
    idle(self, options)
  end
end

--- Moves the client's tasks while uv.run runs, and keeps it running until the handle is closed, or the client is and no
--- task is left.
---@param client lgemini.Client
---@param options lgemini.luv.Options|nil
---@return lgemini.luv.Handle
function adapter.attach(client, options)
  options = options or {}
  local fd = client:pollfd()
  local self = setmetatable({ client = client, timer = luv.new_timer(), poll = fd and luv.new_poll(fd) or nil }, Handle)
  function self.step()
    step(self, options)
  end
  function self.idle()
    idle(self, options)
  end
  client.loop.handles[self] = true
  watch(self)
  return self
end

local function forget(self)
  if self.poll then
    self.poll:stop()
    self.poll:close()
    self.poll = nil
  end
end

-- The descriptor is about to be closed, since no client and no task is left: luv must not know of it any more. The loop
-- may have another client by the time that luv comes back to this one, which is none of its business.
function Handle:release()
  forget(self)
  self.timer:start(0, 0, self.idle)
end

--- Moves them no longer. Closing twice is fine.
function Handle:close()
  if self.timer then
    forget(self)
    self.timer:close()
    self.timer = nil
    self.client.loop.handles[self] = nil
  end
end

return adapter
