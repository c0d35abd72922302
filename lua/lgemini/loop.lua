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
local tasks = require "lgemini.task"
local timers = require "lgemini.timers"

---@class lgemini.Loop
local loop = { __name = "lgemini.Loop" }
loop.__index = loop

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

-- It waits no longer, whatever for. What that was it keeps until its turn, for who ends it before.
local function forget(self, waiter)
  waiter.waits, waiter.join = false, false
  if waiter.place then
    self.timers:remove(waiter)
  end
  if waiter.exchange then
    self.waiters[waiter.exchange] = nil -- allowed while pairs goes over them
  end
end

loop.forget = forget

--- It goes on in its turn.
function loop:wake(waiter)
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

--- Nobody will look at what the waiter waits for: the exchange is closed now, not when it is garbage, and so on down.
function loop:abandon(waiter)
  local exchange, owned = waiter.exchange, waiter.owned
  self:wake(waiter)
  if exchange then
    exchange:close()
  end
  for _, task in ipairs(owned or {}) do
    tasks.kill(task)
  end
end

-- The task whose coroutine runs; nil outside of tasks. Raises where waiting would hold up a step: inside a task, but
-- not where it could yield. Nobody will look at the exchange then.
local function current(self, hook, exchange)
  local task = tasks.inside()
  if not task or task.loop == self and tasks.can_yield() then
    return task
  elseif not hook then
    if exchange then
      exchange:close()
    end
    errors.misuse "this call would block inside step: use client:spawn or set wait"
  end
end

-- Nothing will ever be woken.
local function is_stuck(self)
  return not (has_ready(self) or self.timers:first() or next(self.waiters))
end

local turn, host_turn

-- Until the waiter is woken. An error that is thrown through it (Ctrl-C, a debug hook) ends what it waits for.
local function suspend(self, waiter, hook)
  if waiter.coroutine then
    return tasks.yield()
  end
  while waiter.waits do
    local stuck = not hook and is_stuck(self)
    local ok, problem = true, "it would wait for ever: for tasks that wait for each other"
    if not stuck then
      ok, problem = pcall(self.turn, self, hook and 0 or math.huge)
    end
    if stuck or not ok then
      self:abandon(waiter)
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
local function waiter_for(self, hook, exchange)
  local waiter = current(self, hook, exchange) or {}
  if waiter.waits then
    forget(self, waiter)
  end
  waiter.waits, waiter.exchange, waiter.owned = true, exchange or false, false
  return waiter
end

--- Waits until the exchange wants to be looked at, or until the instant. The exchange is closed where that is misuse.
---@param exchange table|nil
---@param instant number|nil
---@param user table         whose wait it is
---@param hook function|nil  the client's `wait`
function loop:wait_for(exchange, instant, user, hook)
  local waiters = self.waiters
  local other = exchange and waiters[exchange]
  if other and other ~= tasks.inside() then
    errors.misuse "two tasks read one stream at once"
  end
  local waiter = waiter_for(self, hook, exchange)
  waiter.user = user
  if exchange then
    waiters[exchange] = waiter
  end
  if instant then
    self.timers:add(waiter, instant)
  end
  return suspend(self, waiter, hook)
end

--- Wakes who waits for the exchange.
---@param exchange table
function loop:tell(exchange)
  local waiter = self.waiters[exchange]
  if waiter then
    self:wake(waiter)
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
    self:wake(waiter)
  end
end

--- In a task whose step has used up its time, or with `always`: goes on in the next step. Nothing outside of tasks.
---@param always boolean|nil
function loop:breathe(always)
  local finish = self.finish
  if not finish and not always then
    return
  end
  local task = tasks.inside()
  if task and task.loop == self and (always or (finish and self.now() >= finish)) and tasks.can_yield() then
    self:put_off(task)
    tasks.yield()
  end
end

-- Tasks ----------------------------------------------------------------------------------------

--- A new task, which starts at the next step.
---@param fn function
---@return lgemini.Task
function loop:spawn(fn, ...)
  local task = tasks.new(self, fn, ...)
  self.alive = self.alive + 1
  self:put_off(task)
  alert(self)
  return task
end

--- The task has its turn in the next step.
---@param task lgemini.Task
function loop:put_off(task)
  push(self.later, task)
end

--- An error that nobody took, for who steps.
function loop:report(problem)
  push(self.problems, { problem })
end


-- Waits until all of the tasks have ended, or one has failed.
local function await(self, list, owned, hook)
  local waiter = waiter_for(self, hook)
  local join = { waiter = waiter, left = 0 }
  waiter.join, waiter.owned = join, owned
  for _, task in ipairs(list) do
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
  local inside = tasks.inside()
  while not task.done and not (inside and inside.cancelled) do
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
    self:wake(box.waiter)
  end
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
  local inside = tasks.inside()
  current(self, hook)
  for i = 1, math.min(limit, #functions) do
    owned[i] = self:spawn(work)
    owned[i].taken = true
  end
  await(self, owned, owned, hook)
  for _, task in ipairs(owned) do
    if task.done and not task.values and not failure and not task.cancelled then
      for _, other in ipairs(owned) do
        tasks.kill(other)
      end
      error(task.failure, 0)
    end
  end
  for _, task in ipairs(owned) do
    tasks.kill(task)
  end
  if failure then
    return nil, failure
  elseif inside and inside.cancelled then
    return nil, tasks.cancelled()
  end
  return values
end

-- Steps ----------------------------------------------------------------------------------------

-- Goes on with the tasks that are ready now, until the time is used up.
local function run_ready(self, finish)
  local ready, ran = self.ready, 0
  local count = ready.last - ready.first + 1
  while ran < count and ready.first <= ready.last do -- what a step inside this one took over is gone
    tasks.resume(pop(ready))
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
    self:wake(first)
    first = self.timers:first()
  end
end

-- Moves bytes, after waiting at most `max_wait` seconds for something to come, and wakes who it is for. Returns how
-- much there was.
local function move(self, budget, max_wait, late)
  local count = 0
  if self.driver then
    local done, err = self.driver:step(budget, max_wait, late)
    if not done then
      error(errors.new(err), 0)
    end
    count = done
    local exchange = self.driver:next()
    while exchange do
      self:tell(exchange)
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
function turn(self, finish, max_wait, late)
  local outer, wait, ran = self.finish, longest_wait(self, max_wait), 0
  self.finish = finish
  self.alerted = true
  self.turns = self.turns + 1
  if finish and self.turns % 2 == 0 then
    ran = run_ready(self, finish)
  end
  local moved = move(self, finish and math.max(0, finish - self.now()), wait, late)
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
  if not tasks.inside() then
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
  if tasks.inside() then
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
  local seconds = budget or LONGEST_STEP
  local finish, late = self.now() + seconds, false
  begin_step(self)
  repeat
    local count, now = turn(self, finish, 0, late), self.now()
    late = now > finish - seconds / 2
  until count == 0 or now >= finish
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
