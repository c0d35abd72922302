--- The loop: tasks over the core's loop, which drives exchanges. All waiting of the library comes down to this file.
--
-- Every call is written once, straight down, and waits. Inside a task that yields, and whoever steps the loop goes on
-- with others; outside of tasks it steps the loop itself, which keeps all tasks going meanwhile. An instant is a number
-- of core.now(), in seconds. One loop serves all clients of a Lua state, unless one is told to take another.
--
-- A waiter is who waits: a task, or a table in its place outside of tasks. While it waits, it has `waits`, and what it
-- waits for: an exchange, an instant (see timers.lua), the end of other tasks (`join`); `owned` are tasks that are of
-- no use without it.

local errors = require "lgemini.errors"
local task_class = require "lgemini.task"
local timers = require "lgemini.timers"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (5.1 has only the second)
local yieldable = rawget(coroutine, "isyieldable") -- 5.3 and later
local close_coroutine = rawget(coroutine, "close") -- 5.4

---@class lgemini.Loop
local loop = { __name = "lgemini.Loop" }
loop.__index = loop

local WAIT = {} -- what a task yields when it waits in a call of the library

-- The task that runs now, whichever loop it is of: nothing may wait inside it but itself.
local active

---@param core table  lgemini.core
---@return lgemini.Loop
function loop.new(core)
  return setmetatable({
    core = core,
    now = core.now,
    users = setmetatable({}, { __mode = "k" }), -- the clients' tasks: without any there is no driver
    driver = nil,    -- of core.loop
    ready = { first = 1, last = 0 }, -- tasks to go on with, in order
    later = { first = 1, last = 0 }, -- those whose turn is in the next step
    waiters = {},    -- exchange -> waiter
    timers = timers.new(),
    alive = 0,       -- tasks that have not ended
    problems = { first = 1, last = 0 }, -- errors that nobody took, to be raised
    turns = 0,
    outside = 0,     -- waiters outside of tasks that were woken and have not seen it yet
    foreign = false, -- somebody waits on the descriptor
    alerted = false, -- the descriptor is readable already
  }, loop)
end

local shared = setmetatable({}, { __mode = "kv" }) -- core -> the loop of this Lua state

---@param core table
---@return lgemini.Loop
function loop.shared(core)
  shared[core] = shared[core] or loop.new(core)
  return shared[core]
end

--- A client begins to use the loop.
---@param user table
---@return true|nil
---@return lgemini.Error|nil err
function loop:attach(user)
  if not self.driver then
    local driver, err = self.core.loop.new()
    if not driver then
      return nil, errors.new(err)
    end
    self.driver = driver
  end
  self.users[user] = true
  return true
end

--- It uses it no longer; its exchanges have ended.
function loop:detach(user)
  self.users[user] = nil
  if not next(self.users) and self.driver then
    self.driver:close()
    self.driver = nil
  end
end

-- Waiting and waking ---------------------------------------------------------------------------

-- A foreign loop that waits on the descriptor is told that there is work; within a step that is done at its end.
local function alert(self)
  if self.foreign and not self.alerted and self.driver then
    self.alerted = true
    self.driver:alarm(0)
  end
end

-- The descriptor is readable when there is something to do again.
local function set_alarm(self)
  self.alerted = false
  if self.foreign and self.driver then
    local seconds = self:timeout()
    self.driver:alarm(seconds)
    self.alerted = seconds == 0
  end
end

local function push(queue, task)
  queue.last = queue.last + 1
  queue[queue.last] = task
end

local function pop(queue)
  local first = queue.first
  local task = queue[first]
  queue[first] = nil
  if first == queue.last then
    queue.first, queue.last = 1, 0
  else
    queue.first = first + 1
  end
  return task
end

local function has_ready(self)
  return self.ready.first <= self.ready.last or self.later.first <= self.later.last
end

local function forget(self, waiter)
  waiter.waits = false
  self.timers:remove(waiter)
  if waiter.exchange then
    self.waiters[waiter.exchange] = nil -- allowed while pairs goes over them
    waiter.exchange = nil
  end
  waiter.join, waiter.owned = nil, nil
end

local function wake(self, waiter)
  if waiter.waits then
    forget(self, waiter)
    if waiter.coroutine then
      push(self.ready, waiter)
    else
      self.outside = self.outside + 1 -- until it has seen it
    end
    alert(self)
  end
end

local kill

-- Nobody will look at what the waiter waits for: the exchange is closed now, not when it is garbage, and so on down.
local function abandon(self, waiter)
  local exchange, owned = waiter.exchange, waiter.owned
  wake(self, waiter)
  if exchange then
    exchange:close()
  end
  for _, task in ipairs(owned or {}) do
    kill(self, task)
  end
end

-- Whether the program is in the coroutine of the task that runs, with no C function in between.
local function can_yield()
  return active.coroutine == coroutine.running() and not active.closing and (not yieldable or yieldable())
end

--- Whether a call that has to wait cannot: inside a task, but not where the task could yield.
---@param hook function|nil  the client's `wait`
---@return boolean
function loop:is_blocked(hook)
  return active ~= nil and not hook and not (active.loop == self and can_yield())
end

-- The task whose coroutine runs; nil outside of tasks. Raises where waiting would hold up a step.
local function current(self, hook)
  if self:is_blocked(hook) then
    errors.misuse "this call would block inside step: use client:spawn or set wait"
  end
  return active and active.loop == self and can_yield() and active or nil
end

--- The task inside which the program is, be it in a coroutine of its own there.
---@return lgemini.Task|nil
function loop.inside()
  return active
end

-- Nothing will ever be woken.
local function is_stuck(self)
  return not (has_ready(self) or self.timers:first() or next(self.waiters))
end

local turn, host_turn

-- Until the waiter is woken. An error that is thrown through it (Ctrl-C, a debug hook) ends what it waits for.
local function suspend(self, waiter, hook)
  if waiter.coroutine then
    coroutine.yield(WAIT)
    return
  end
  while waiter.waits do
    local stuck = not hook and is_stuck(self)
    local ok, problem = true, "it would wait for ever: for tasks that wait for each other"
    if not stuck then
      ok, problem = pcall(self.turn, self, hook and 0 or math.huge)
    end
    if stuck or not ok then
      abandon(self, waiter)
      self.outside = self.outside - 1
      if stuck then
        errors.misuse(problem)
      end
      error(problem, 0)
    elseif hook and waiter.waits then
      host_turn(self, hook)
    end
  end
  self.outside = self.outside - 1
end

-- Who is to wait now. A wait that failed before it began (5.1 cannot yield inside pcall) has left its traces.
local function waiter_for(self, hook)
  local waiter = current(self, hook) or {}
  if waiter.waits then
    forget(self, waiter)
  end
  waiter.waits = true
  return waiter
end

--- Waits until the exchange wants to be looked at, or until the instant.
---@param exchange table|nil
---@param instant number|nil
---@param user table         whose wait it is
---@param hook function|nil  the client's `wait`
function loop:wait_for(exchange, instant, user, hook)
  local other = exchange and self.waiters[exchange]
  if other and other ~= active then
    errors.misuse "two tasks read one stream at once"
  end
  local waiter = waiter_for(self, hook)
  waiter.user = user
  if exchange then
    waiter.exchange = exchange
    self.waiters[exchange] = waiter
  end
  if instant then
    self.timers:add(waiter, instant)
  end
  suspend(self, waiter, hook)
end

--- Wakes who waits for the exchange.
---@param exchange table
function loop:wake(exchange)
  local waiter = self.waiters[exchange]
  if waiter then
    wake(self, waiter)
  end
end

--- Wakes who sleeps for that user.
function loop:wake_sleepers(user)
  local sleepers = {}
  for i = 1, self.timers.count do
    local waiter = self.timers[i]
    if waiter.user == user then
      sleepers[#sleepers + 1] = waiter
    end
  end
  for _, waiter in ipairs(sleepers) do
    wake(self, waiter)
  end
end

--- In a task whose step has used up its time, or with `always`: goes on in the next step. Nothing outside of tasks.
---@param always boolean|nil
function loop:breathe(always)
  local finish = self.finish
  if active and active.loop == self and (always or (finish and self.now() >= finish)) and can_yield() then
    push(self.later, active)
    coroutine.yield(WAIT)
  end
end

-- Tasks ----------------------------------------------------------------------------------------

-- A string says where it was raised, but not how the task came there.
local function with_trace(task)
  local failure = task.failure
  if type(failure) == "string" and debug and debug.traceback then
    return debug.traceback(task.coroutine, failure)
  end
  return failure
end

-- An error of a task, for who steps the loop, unless somebody takes it.
local function report(self, task, failure, traced)
  if task.taken or (task.cancelled and errors.is(failure) and failure.kind == "cancelled") then
    return
  elseif not task.on_error then
    push(self.problems, { traced })
    return
  end
  local ok, problem = pcall(task.on_error, failure, task)
  if not ok then
    push(self.problems, { problem })
  end
end

-- On 5.4 the `<close>` variables of a coroutine that waits or has failed are closed; elsewhere it is never heard of
-- again. Returns what one of them raised.
local function close_variables(task)
  if close_coroutine and coroutine.status(task.coroutine) ~= "normal" and task.coroutine ~= coroutine.running() then
    local before = active
    active, task.closing = task, true
    local ok, problem = close_coroutine(task.coroutine)
    active = before
    return ok, problem
  end
  return true
end

local function close_streams(task)
  local streams = task.streams
  task.streams = nil
  for stream in pairs(streams or {}) do
    stream:close()
  end
end

-- Who waits for several has waited long enough when all have ended, or one has raised an error.
local function end_task(self, task)
  task.done = true
  self.alive = self.alive - 1
  if task.waits then -- 5.1: a wait that could not yield
    forget(self, task)
  end
  close_streams(task)
  local taken = task.taken
  for _, join in ipairs(task.joins or {}) do
    join.left = join.left - 1
    if join.waiter.join == join then
      taken = true
      if join.left == 0 or not task.values then
        wake(self, join.waiter)
      end
    end
  end
  task.joins, task.taken = nil, taken
  if not task.values then
    local traced = with_trace(task)
    local ok, problem = close_variables(task)
    if not ok and problem ~= task.failure then
      task.failure, traced = problem, problem
    end
    report(self, task, task.failure, traced)
  end
  if task.on_end then
    task.on_end()
  end
end

-- Ends a task where it is, unless it runs: that one ends when it yields.
function kill(self, task)
  task.cancelled = true
  if not task.done and coroutine.status(task.coroutine) == "suspended" then
    if task.waits then
      abandon(self, task)
    end
    task.failure = task_class.cancelled()
    end_task(self, task)
  end
end

-- What a resumed coroutine has come to. One that yielded by itself has its next turn in the next step.
local function settle(self, task, before, ok, ...)
  active = before
  if not ok then
    task.failure = (...)
    end_task(self, task)
  elseif coroutine.status(task.coroutine) == "dead" then
    task.values = { n = select("#", ...), ... }
    end_task(self, task)
  elseif (...) ~= WAIT then
    task.idle = true
    if task.cancelled then
      kill(self, task)
    else
      push(self.later, task)
    end
  end
end

local function start(task)
  local arguments = task.arguments
  task.arguments = nil
  return coroutine.resume(task.coroutine, unpack(arguments, 1, arguments.n))
end

-- Goes on with a task until it waits again or ends.
local function resume(self, task)
  if task.done then
    return
  end
  local before = active
  active = task
  task.idle = false
  if task.arguments then
    settle(self, task, before, start(task))
  else
    settle(self, task, before, coroutine.resume(task.coroutine))
  end
end

--- A new task, which starts at the next step.
---@param fn function
---@return lgemini.Task
function loop:spawn(fn, ...)
  local task = task_class.new(self, fn, ...)
  self.alive = self.alive + 1
  push(self.later, task)
  alert(self)
  return task
end

-- Waits until all of the tasks have ended, or one has failed.
local function await(self, tasks, owned, hook)
  local waiter = waiter_for(self, hook)
  local join = { waiter = waiter, left = 0 }
  waiter.join, waiter.owned = join, owned
  for _, task in ipairs(tasks) do
    if not task.done then
      join.left = join.left + 1
      task.joins = task.joins or {}
      table.insert(task.joins, join)
    end
  end
  if join.left == 0 then
    forget(self, waiter)
  else
    suspend(self, waiter, hook)
  end
end

--- Waits until the task has ended, or the one that waits is cancelled.
---@param task lgemini.Task
function loop:await_end(task)
  while not task.done and not (active and active.cancelled) do
    await(self, { task }, nil, task.hook)
  end
end

--- Waits until somebody signals the box.
---@param box table  `waiter` in it is ours
---@param hook function|nil
function loop:await_signal(box, hook)
  local waiter = waiter_for(self, hook)
  box.waiter = waiter
  suspend(self, waiter, hook)
  box.waiter = nil
end

---@param box table
function loop:signal(box)
  if box.waiter then
    wake(self, box.waiter)
  end
end

--- Ends what the task does: see task:cancel.
---@param task lgemini.Task
function loop:cancel(task)
  task.cancelled = true
  close_streams(task)
  if coroutine.status(task.coroutine) ~= "suspended" then
    return -- it runs: its next call says so
  elseif task.idle then
    kill(self, task)
  elseif task.waits then
    abandon(self, task)
  end
end

--- The stream ends with the task it was opened in.
---@param stream lgemini.Stream
function loop.adopt(stream)
  if active then
    active.streams = active.streams or setmetatable({}, { __mode = "k" })
    active.streams[stream] = true
  end
end

-- How often a cancelled task may call again before it is ended: one that tries for ever would hold up the step.
local PATIENCE = 100

--- Why the task inside which the program is gets nothing more: it was cancelled.
---@return lgemini.Error|nil
function loop.refusal()
  local task = active
  if not task or not task.cancelled then
    return nil
  end
  task.refused = (task.refused or 0) + 1
  if task.refused > PATIENCE and can_yield() then
    coroutine.yield()
  end
  return task_class.cancelled()
end

--- Calls each function in a task of its own, at most `limit` at once, until all have ended. The functions return a
--- value, or nil, err; the first error ends the others where they are.
---@param functions function[]
---@param limit integer
---@param hook function|nil
---@return table|nil values  in order
---@return lgemini.Error|nil err
function loop:all(functions, limit, hook)
  local values, started, failure, owned = {}, 0, nil, {}
  local function work()
    while started < #functions and not failure do
      started = started + 1
      local mine = started
      local value, err = functions[mine]()
      values[mine] = value
      if err then
        failure = failure or err
        error(failure, 0) -- wakes who waits for all
      end
    end
  end
  local inside = active
  current(self, hook)
  for i = 1, math.min(limit, #functions) do
    owned[i] = self:spawn(work)
    owned[i].taken = true
  end
  await(self, owned, owned, hook)
  for _, task in ipairs(owned) do
    if task.done and not task.values and not failure and not task.cancelled then
      for _, other in ipairs(owned) do
        kill(self, other)
      end
      error(task.failure, 0)
    end
  end
  for _, task in ipairs(owned) do
    kill(self, task)
  end
  if failure then
    return nil, failure
  elseif inside and inside.cancelled then
    return nil, task_class.cancelled()
  end
  return values
end

-- Steps ----------------------------------------------------------------------------------------

-- Goes on with the tasks that are ready now, until the time is used up.
local function run_ready(self, finish)
  local ready, ran = self.ready, 0
  local stop = ready.last
  while ready.first <= stop and ready.first <= ready.last do
    resume(self, pop(ready))
    ran = ran + 1
    if finish and self.now() >= finish then
      break
    end
  end
  return ran
end

local function run_timers(self)
  local first = self.timers:first()
  local now = first and self.now()
  while first and first.instant <= now do
    wake(self, first)
    first = self.timers:first()
  end
end

-- Moves bytes, after waiting at most `max_wait` seconds for something to come, and wakes who it is for. Returns how
-- much there was.
local function move(self, budget, max_wait)
  local count = 0
  if self.driver then
    local done, err = self.driver:step(budget, max_wait)
    if not done then
      error(errors.new(err), 0)
    end
    count = done
    local exchange = self.driver:next()
    while exchange do
      self:wake(exchange)
      exchange = self.driver and self.driver:next()
    end
  end
  run_timers(self)
  return count
end

local function longest_wait(self, max_wait)
  local first = self.timers:first()
  if has_ready(self) then
    return 0
  elseif first then
    return math.max(0, math.min(max_wait, first.instant - self.now()))
  end
  return max_wait
end

-- Those whose turn was to come in the next step, which is this one.
local function begin_step(self)
  local later, ready = self.later, self.ready
  while later.first <= later.last do
    push(ready, pop(later))
  end
end

-- One round: waits at most that long, moves bytes, goes on with tasks. Where time is short each comes first in turn, so
-- that neither starves. Returns how much there was.
function turn(self, finish, max_wait)
  local outer, wait, ran = self.finish, longest_wait(self, max_wait), 0
  self.finish = finish
  self.alerted = true
  self.turns = self.turns + 1
  if finish and self.turns % 2 == 0 then
    ran = run_ready(self, finish)
  end
  local moved = move(self, finish and math.max(0, finish - self.now()), wait)
  if ran == 0 or self.now() < finish then
    ran = ran + run_ready(self, finish)
  end
  self.finish = outer
  set_alarm(self)
  return moved + ran
end

--- One step that waits at most `max_wait` seconds for something to come.
---@param max_wait number
function loop:turn(max_wait)
  begin_step(self)
  turn(self, nil, max_wait)
end

-- A round in which the host's scheduler does the waiting.
function host_turn(self, hook)
  hook(self:pollfd(), math.min(self:timeout() or math.huge, 60))
end

--- Begins with what was added, without waiting and without going on with tasks; whoever steps does it for a task.
function loop:begin()
  if not active then
    move(self, nil, 0)
    set_alarm(self)
  end
end

--- Hands an exchange to the driver.
---@param exchange table
---@param lane "calls"|"bulk"
---@param share table|nil  of core.loop
function loop:add(exchange, lane, share)
  self.driver:add(exchange, lane, share)
end

-- What the program calls ------------------------------------------------------------------------

-- The first of the errors that no task took.
local function raise_problem(self)
  if self.problems.first <= self.problems.last then
    error(pop(self.problems)[1], 0)
  end
end

local function check_outside(name)
  if active then
    errors.misuse(("client:%s: inside a task nobody can step; client:sleep waits there"):format(name))
  end
end

-- A step without a budget has an end, too, where more and more comes.
local LONGEST_STEP = 1

--- Does what there is to do now for about `budget` seconds.
---@param budget number|nil  1 when left out
---@return boolean  whether tasks are left
function loop:step(budget)
  check_outside "step"
  local finish = self.now() + (budget or LONGEST_STEP)
  begin_step(self)
  repeat
    local count = turn(self, finish, 0)
  until count == 0 or self.now() >= finish
  raise_problem(self)
  return self.alive > 0
end

--- The same after waiting at most that many seconds for something to come.
---@param seconds number
---@return boolean
function loop:pause(seconds)
  check_outside "wait"
  self:turn(seconds)
  raise_problem(self)
  return self.alive > 0
end

--- Steps until no task is left.
---@param hook function|nil  the client's `wait`
function loop:run(hook)
  check_outside "run"
  while self.alive > 0 do
    if not hook and is_stuck(self) then
      errors.misuse "client:run: the tasks wait for each other"
    end
    self:turn(hook and 0 or math.huge)
    raise_problem(self)
    if hook and self.alive > 0 then
      host_turn(self, hook)
    end
  end
  raise_problem(self)
end

-- Seconds between two steps where no descriptor says that there is something.
local LOOK = 0.01

--- Seconds until a step has something to do by itself; nil for never.
---@return number|nil
function loop:timeout()
  local first, wait = self.timers:first(), self.driver and self.driver:timeout()
  if has_ready(self) or self.outside > 0 then
    return 0
  elseif first then
    wait = math.min(wait or math.huge, math.max(0, first.instant - self.now()))
  end
  if self.driver and not self.driver:fd() and next(self.waiters) then
    wait = math.min(wait or math.huge, LOOK)
  end
  return wait
end

--- The descriptor that is readable when there is work, new tasks and instants included; nil where the system has no
--- such thing, and when all clients are closed.
---@return integer|nil
function loop:pollfd()
  if not self.foreign then
    self.foreign = true
    set_alarm(self)
  end
  return self.driver and self.driver:fd()
end

return loop
