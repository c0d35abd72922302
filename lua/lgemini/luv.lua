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

--- Moves the client's tasks while uv.run runs, and keeps it running until the handle is closed.
---@param client lgemini.Client
---@param options lgemini.luv.Options|nil
---@return lgemini.luv.Handle
function adapter.attach(client, options)
  options = options or {}
  local self = setmetatable({ timer = luv.new_timer() }, Handle)
  local fd = client:pollfd()
  local step, watch

  function watch()
    if not self.timer then
      return
    elseif self.poll then
      self.poll:start("r", step)
    else
      self.timer:start(math.ceil((client:timeout() or 0.01) * 1000), 0, step)
    end
  end

  function step()
    local ok, left = pcall(client.step, client, options.budget or 0.005)
    watch()
    if not ok then
      if not options.on_error then
        error(left, 0)
      end
      options.on_error(left)
    elseif not left and options.on_idle and self.timer then
      options.on_idle(self)
    end
  end

  self.poll = fd and luv.new_poll(fd) or nil
  watch()
  return self
end

--- Moves them no longer. Closing twice is fine.
function Handle:close()
  if self.timer then
    self.timer:close()
    if self.poll then
      self.poll:stop()
      self.poll:close()
    end
    self.timer, self.poll = nil, nil
  end
end

return adapter
