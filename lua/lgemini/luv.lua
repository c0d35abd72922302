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

-- libuv watches a descriptor once, and a step is one for all clients of a loop: the handles of a loop share a watch,
-- which steps it with the least of their budgets.
local Watch = {}
Watch.__index = Watch

local watches = {} -- lgemini.Loop -> its watch, while it has handles

-- Without a descriptor, or where luv watches it for somebody else: seconds between two looks, at most.
local LOOK = 0.01

-- When to step: as the descriptor says, or after the time.
local function arm(self)
  if self.released then
    self.timer:start(0, 0, self.idle)
  elseif self.poll then
    self.poll:start("r", self.step)
  else
    self.timer:start(math.ceil(math.min(self.loop:timeout() or LOOK, LOOK) * 1000), 0, self.step)
  end
end

-- Calls f with each handle that is open; it may close some, or attach more.
local function each(self, f)
  local handles = {}
  for i, handle in ipairs(self.handles) do
    handles[i] = handle
  end
  for _, handle in ipairs(handles) do
    if handle.watch then
      f(handle)
    end
  end
end

-- No task is left.
local function idle(self)
  each(self, function(handle)
    if handle.options.on_idle then
      handle.options.on_idle(handle)
    end
    if handle.client.tasks.closed then
      handle:close()
    end
  end)
end

-- Whose task it was cannot be told: the first that takes errors takes it.
local function report(self, err)
  for _, handle in ipairs(self.handles) do
    if handle.options.on_error then
      return handle.options.on_error(err)
    end
  end
  error(err, 0)
end

local function step(self)
  local budget = math.huge
  for _, handle in ipairs(self.handles) do
    budget = math.min(budget, handle.options.budget or 0.005)
  end
  local ok, left = pcall(self.loop.step, self.loop, budget)
  if self.timer then
    arm(self)
  end
  if not ok then
    report(self, left)
  elseif not left then
    idle(self)
  end
end

local function new_watch(client)
  local fd = client:pollfd()
  local self = setmetatable({ loop = client.loop, handles = {}, timer = luv.new_timer(),
    poll = fd and luv.new_poll(fd) or nil }, Watch)
  function self.step()
    step(self)
  end
  function self.idle()
    idle(self)
  end
  self.loop.handles[self] = true
  watches[self.loop] = self
  return self
end

local function forget(self)
  if self.poll then
    self.poll:stop()
    self.poll:close()
    self.poll = nil
  end
end

-- The descriptor is about to be closed, since no client and no task is left: luv must not know of it any more, and the
-- next client of the loop has another. By the time that luv comes back to this one, that is none of its business.
function Watch:release()
  forget(self)
  watches[self.loop], self.loop.handles[self] = nil, nil
  self.released = true
  arm(self)
end

local function close(self)
  forget(self)
  self.timer:close()
  self.timer = nil
  if not self.released then
    watches[self.loop], self.loop.handles[self] = nil, nil
  end
end

--- Moves the client's tasks while uv.run runs, and keeps it running until the handle is closed, or the client is and no
--- task is left. Clients of one loop may each be attached: each has its handle, and no task of the loop is left when
--- they are idle.
---@param client lgemini.Client
---@param options lgemini.luv.Options|nil
---@return lgemini.luv.Handle
function adapter.attach(client, options)
  local watch = watches[client.loop] or new_watch(client)
  local self = setmetatable({ client = client, options = options or {}, watch = watch }, Handle)
  table.insert(watch.handles, self)
  arm(watch)
  return self
end

--- Moves them no longer. Closing twice is fine.
function Handle:close()
  local watch = self.watch
  if not watch then
    return
  end
  self.watch = nil
  for i = #watch.handles, 1, -1 do
    if watch.handles[i] == self then
      table.remove(watch.handles, i)
    end
  end
  if #watch.handles == 0 then
    close(watch)
  end
end

return adapter
