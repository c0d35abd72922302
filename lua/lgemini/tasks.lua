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
---@field waiting table  the waiter it yielded for
---@field joiners table  waiters for its end
local Task = {}
Task.__index = Task
Task.__name = "lgemini.Task"

-- A waiter is what a wait left behind: the exchange and the instant it waits for, or how many tasks are `left` until it
-- has them all; the task, if it is one's; and the tasks it owns, which are of no use without it.

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
    ready = {},      -- tasks to go on with, in order, from `first` to `last`
    first = 1,
    last = 0,
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

local function make_ready(self, task)
  self.last = self.last + 1
  self.ready[self.last] = task
end

local function has_ready(self)
  return self.first <= self.last
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
    make_ready(self, waiter.task)
  end
end

-- Of those with the same instant the first one stays first.
local function add_timer(self, waiter)
  local timers, at = self.timers, #self.timers
  timers[at + 1] = waiter
  while at >= 1 and timers[at].instant <= waiter.instant do
    timers[at + 1], timers[at] = timers[at], waiter
    at = at - 1
  end
end

local function current(self)
  return self.running[coroutine.running()]
end

-- A joiner has waited long enough when all its tasks have ended, or one has raised an error.
local function end_task(self, task)
  task.done = true
  self.running[task.coroutine] = nil
  for _, joiner in ipairs(task.joiners) do
    joiner.left = joiner.left - 1
    if joiner.left == 0 or not task.values then
      wake(self, joiner)
    end
  end
end

local cancel

-- Nobody will look at what the waiter waits for: the exchange is closed now, not when it is garbage, and so on down.
local function abandon(self, waiter)
  wake(self, waiter)
  if waiter.exchange then
    waiter.exchange:close()
  end
  for _, task in ipairs(waiter.owned or {}) do
    cancel(self, task)
  end
end

-- Ends a task where it waits.
function cancel(self, task)
  if not task.done then
    task.failure = errors.new { kind = "cancelled", message = "the task was cancelled" }
    end_task(self, task)
    if task.waiting then
      abandon(self, task.waiting)
    end
  end
end

local function pack(...)
  return { n = select("#", ...), ... }
end

-- Goes on with a task until it waits again or ends. One that yields by itself has its next turn in the next step.
local function resume(self, task)
  if task.done then
    return
  end
  task.waiting = nil
  local results = pack(coroutine.resume(task.coroutine))
  if coroutine.status(task.coroutine) ~= "dead" then
    if not task.waiting then
      make_ready(self, task)
    end
    return
  end
  if results[1] then
    task.values = { n = results.n - 1, unpack(results, 2, results.n) }
  else
    task.failure = results[2]
  end
  end_task(self, task)
end

-- Until the waiter is woken. An error that is thrown through it (Ctrl-C, a debug hook) ends what it waits for.
local function suspend(self, waiter)
  while not waiter.woken do
    if waiter.task then
      waiter.task.waiting = waiter
      coroutine.yield()
    else
      local ok, problem = pcall(self.step, self, nil, math.huge)
      if not ok then
        abandon(self, waiter)
        error(problem, 0)
      end
    end
  end
end

--- Hands an exchange to the loop.
---@param exchange table
---@param lane "calls"|"bulk"
function tasks:add(exchange, lane)
  self.loop:add(exchange, lane)
end

--- Begins with what was added, unless a task asks: whoever steps the loop does it then.
function tasks:begin()
  if not current(self) then
    self:step(nil, 0)
  end
end

--- Waits until the exchange wants to be looked at, or until the instant. Without an exchange it is a plain pause.
--- When all is closed it returns at once: what was waited for shows it.
---@param exchange table|nil
---@param instant number|nil
---@return boolean  false where somebody closed the exchange meanwhile
function tasks:wait(exchange, instant)
  if self.closed then
    return true
  elseif exchange and self.waiters[exchange] then
    errors.misuse "two tasks read one stream at once"
  end
  local waiter = { exchange = exchange, instant = instant, task = current(self) }
  if exchange then
    self.waiters[exchange] = waiter
  end
  if instant then
    add_timer(self, waiter)
  end
  suspend(self, waiter)
  return not exchange or exchange:phase() ~= "closed"
end

--- Closes an exchange. Who waits for it is woken.
---@param exchange table
function tasks:drop(exchange)
  exchange:close()
  if self.waiters[exchange] then
    wake(self, self.waiters[exchange])
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
  local task = setmetatable({ done = false, joiners = {} }, Task)
  task.coroutine = coroutine.create(function()
    return fn(unpack(arguments, 1, arguments.n))
  end)
  self.running[task.coroutine] = task
  make_ready(self, task)
  return task
end

--- Waits until the task has ended. Returns what its function returned; raises what it raised.
---@param task lgemini.Task
function tasks:join(task)
  if not task.done then
    local joiner = { task = current(self), left = 1 }
    table.insert(task.joiners, joiner)
    suspend(self, joiner)
  end
  if not task.values then
    error(task.failure, 0)
  end
  return unpack(task.values, 1, task.values.n)
end

--- Calls each function in a task of its own, at most `limit` at once, until all have ended. The functions return a
--- value, or nil, err; the first error ends the others where they are.
---@param functions function[]
---@param limit integer
---@return table|nil values  in order
---@return lgemini.Error|nil err
function tasks:all(functions, limit)
  local values, started, failure = {}, 0, nil
  local count = math.min(limit, #functions)
  local joiner = { task = current(self), left = count, woken = count == 0, owned = {} }
  local function work()
    while started < #functions and not failure do
      started = started + 1
      local mine = started
      local value, err = functions[mine]()
      values[mine] = value
      if err then
        failure = failure or err
        wake(self, joiner)
      end
    end
  end
  for i = 1, count do
    joiner.owned[i] = self:spawn(work)
    table.insert(joiner.owned[i].joiners, joiner)
  end
  suspend(self, joiner)
  local raised
  for _, task in ipairs(joiner.owned) do
    raised = raised or (task.done and not task.values and task)
  end
  abandon(self, joiner)
  if raised then
    error(raised.failure, 0)
  elseif failure then
    return nil, failure
  end
  return values
end

-- Goes on with the tasks that are ready now; what becomes ready by it has its turn in the next step. A step inside it
-- (of a function of the caller's that waits) takes over the rest.
local function run_ready(self)
  local stop = self.last
  while self.first <= stop do
    local task = self.ready[self.first]
    self.ready[self.first] = nil
    self.first = self.first + 1
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
  if #timers > 0 then
    return math.max(0, math.min(max_wait, timers[#timers].instant - self.now()))
  end
  return max_wait
end

--- Does what there is to do for about `budget` seconds (nil: all of it), after waiting at most `max_wait` seconds for
--- something to come.
---@param budget number|nil
---@param max_wait number
function tasks:step(budget, max_wait)
  if self.closed and not has_ready(self) then
    error(errors.new { kind = "closed", message = "the client is closed" }, 0)
  end
  if has_ready(self) then
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
