--- Tasks over the core's loop: the one place that waits.
--
-- Every call of the library is written once, straight down, and waits with `tasks:wait`. Inside a task that
-- yields, and whoever steps the loop goes on with others; outside of tasks it steps the loop itself, which
-- keeps all tasks going meanwhile. An instant is a number of core.now(), in seconds.

local errors = require "lgemini.errors"

local tasks = {}
tasks.__index = tasks
tasks.__name = "lgemini.Tasks"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (5.1 has only the second)

---@class lgemini.Task
---@field done boolean
---@field values table   what its function returned, with `n`
---@field failure any    what it raised
local Task = {}
Task.__index = Task
Task.__name = "lgemini.Task"

-- A waiter is what a wait left behind: the exchange and the instant it waits for, and the task, if it is one's.

---@param core table  lgemini.core
---@return table      tasks with a loop of their own
function tasks.new(core)
  local loop, err = core.loop.new()
  if not loop then
    return nil, errors.new(err)
  end
  return setmetatable({
    loop = loop,
    now = core.now,
    ready = {},      -- tasks to go on with, in order
    waiters = {},    -- exchange -> waiter
    timers = {},     -- waiters with an instant, the earliest last
    running = setmetatable({}, { __mode = "k" }), -- coroutine -> its task
  }, tasks)
end

local function remove_timer(self, waiter)
  local timers = self.timers
  for i = #timers, 1, -1 do
    if timers[i] == waiter then
      table.remove(timers, i)
      return
    end
  end
end

local function wake(self, waiter)
  if waiter.woken then
    return
  end
  waiter.woken = true
  if waiter.instant then
    remove_timer(self, waiter)
  end
  if waiter.exchange then
    self.waiters[waiter.exchange] = nil -- allowed while pairs goes over them
  end
  if waiter.task then
    self.ready[#self.ready + 1] = waiter.task
  end
end

local function add_timer(self, waiter)
  local timers, at = self.timers, #self.timers
  timers[at + 1] = waiter
  while at >= 1 and timers[at].instant < waiter.instant do
    timers[at + 1], timers[at] = timers[at], waiter
    at = at - 1
  end
end

-- Goes on with a task until it waits again or ends.
local function resume(self, task, ...)
  local results = { n = 0 }
  local function keep(...)
    results = { n = select("#", ...), ... }
  end
  keep(coroutine.resume(task.coroutine, ...))
  if coroutine.status(task.coroutine) ~= "dead" then
    return
  end
  task.done = true
  self.running[task.coroutine] = nil
  if results[1] then
    task.values = { n = results.n - 1, unpack(results, 2, results.n) }
  else
    task.failure = results[2]
  end
  if task.waiter then
    wake(self, task.waiter)
  end
end

--- Waits until the exchange wants to be looked at, or until the instant. Without an exchange it is a plain pause.
---@param exchange table|nil
---@param instant number|nil
function tasks:wait(exchange, instant)
  local waiter = { exchange = exchange, instant = instant, task = self.running[coroutine.running()] }
  if exchange then
    self.waiters[exchange] = waiter
  end
  if instant then
    add_timer(self, waiter)
  end
  self:suspend(waiter)
end

-- Until the waiter is woken.
function tasks:suspend(waiter)
  while not waiter.woken do
    if waiter.task then
      coroutine.yield()
    else
      self:step(nil, math.huge)
    end
  end
end

---@param seconds number
function tasks:sleep(seconds)
  self:wait(nil, self.now() + seconds)
end

--- A new task, which starts at the next step.
---@param fn function
---@return lgemini.Task
function tasks:spawn(fn, ...)
  local arguments = { n = select("#", ...), ... }
  local task = setmetatable({ done = false }, Task)
  task.coroutine = coroutine.create(function()
    return fn(unpack(arguments, 1, arguments.n))
  end)
  self.running[task.coroutine] = task
  self.ready[#self.ready + 1] = task
  return task
end

--- Waits until the task has ended. Returns what its function returned; raises what it raised.
---@param task lgemini.Task
function tasks:join(task)
  if not task.done then
    task.waiter = { task = self.running[coroutine.running()] }
    self:suspend(task.waiter)
  end
  if not task.values then
    error(task.failure, 0)
  end
  return unpack(task.values, 1, task.values.n)
end

--- Calls each function in a task of its own, at most `limit` at once, until all have ended. The functions return a
--- value, or nil, err; after the first error no more are started.
---@param functions function[]
---@param limit integer
---@param on_failure function  is told of the first error, so that the others can be ended
---@return table|nil values  in order
---@return lgemini.Error|nil err
function tasks:all(functions, limit, on_failure)
  local values, started, failure = {}, 0, nil
  local function work()
    while started < #functions and not failure do
      started = started + 1
      local mine = started
      local value, err = functions[mine]()
      if err and not failure then
        failure = err
        on_failure(err)
      end
      values[mine] = value
    end
  end
  local workers = {}
  for i = 1, math.min(limit, #functions) do
    workers[i] = self:spawn(work)
  end
  for _, worker in ipairs(workers) do
    self:join(worker)
  end
  if failure then
    return nil, failure
  end
  return values
end

local function run_ready(self)
  local ready = self.ready
  self.ready = {}
  for _, task in ipairs(ready) do
    resume(self, task)
  end
end

local function run_timers(self)
  local timers = self.timers
  local now = #timers > 0 and self.now()
  while #timers > 0 and timers[#timers].instant <= now do
    wake(self, timers[#timers])
  end
end

local function longest_wait(self, max_wait)
  local timers = self.timers
  if #self.ready > 0 then
    return 0
  elseif #timers > 0 then
    return math.max(0, math.min(max_wait, timers[#timers].instant - self.now()))
  end
  return max_wait
end

--- Does what there is to do for about `budget` seconds (nil: all of it), after waiting at most `max_wait` seconds for
--- something to come.
---@param budget number|nil
---@param max_wait number
function tasks:step(budget, max_wait)
  if self.closed and #self.ready == 0 then
    error(errors.new { kind = "closed", message = "the client is closed" }, 0)
  end
  if #self.ready > 0 then
    max_wait = 0 -- what they do may be what somebody outside waits for
  end
  run_ready(self)
  if self.closed then
    return
  end
  local ok, err = self.loop:step(budget, longest_wait(self, max_wait))
  if not ok then
    error(errors.new(err), 0)
  end
  local exchange = self.loop:next()
  while exchange do
    local waiter = self.waiters[exchange]
    if waiter then
      wake(self, waiter)
    end
    exchange = self.loop:next()
  end
  run_timers(self)
end

--- Ends everything: exchanges in flight fail as cancelled.
function tasks:close()
  if self.closed then
    return
  end
  self.closed = true
  self.loop:close()
  for _, waiter in pairs(self.waiters) do
    wake(self, waiter)
  end
  while #self.timers > 0 do
    wake(self, self.timers[#self.timers])
  end
end

return tasks
