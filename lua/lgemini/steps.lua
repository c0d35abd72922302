--- What a program asks of a loop beside waiting: tasks, steps, the descriptor. It loads with the first of these.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local inside = require "lgemini.inside"
local tasks = require "lgemini.task"

local steps = {}

---@class lgemini.Loop
local Loop = {}

-- Local functions of loop.lua.
local alert, begin_step, check_alone, current, forget, has_ready, is_stuck, move, pop, push, set_alarm, suspend, turn
local waiter_for

--- The methods, for the class.
---@param inner table  these functions
---@return table
function steps.methods(inner)
  alert, begin_step, check_alone = inner.alert, inner.begin_step, inner.check_alone
  current, forget = inner.current, inner.forget
  has_ready, is_stuck, move, pop, push = inner.has_ready, inner.is_stuck, inner.move, inner.pop, inner.push
  set_alarm, suspend, turn, waiter_for = inner.set_alarm, inner.suspend, inner.turn, inner.waiter_for
  return Loop
end

-- Tasks ----------------------------------------------------------------------------------------

--- A new task, which starts at the next step.
---@param fn function
---@return lgemini.Task
function Loop:spawn(fn, ...)
  local task = tasks.new(self, fn, ...)
  self.alive = self.alive + 1
  self:put_off(task)
  alert(self)
  return task
end

--- The task has its turn in the next step.
---@param task lgemini.Task
function Loop:put_off(task)
  push(self.later, task)
end

--- An error that nobody took, for who steps.
function Loop:report(problem)
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
function Loop:await_end(task)
  local mine = inside.task()
  while not task.done and not (mine and mine.cancelled) do
    await(self, { task }, nil, task.hook)
  end
end

--- Waits until somebody signals the box, or until the instant.
---@param box table  `waiter` in it is ours
---@param what string  what it is, for who waits for it beside another
---@param hook function|nil
---@param instant number|nil
---@param user table|nil  whose wait it is, where there is an instant
function Loop:await_signal(box, what, hook, instant, user)
  if box.waiter and box.waiter.join == box then
    check_alone(self, box.waiter, what)
  end
  local waiter = waiter_for(self, hook)
  waiter.join, box.waiter = box, waiter
  if instant then
    waiter.user = user
    self.timers:add(waiter, instant)
  end
  suspend(self, waiter, hook)
  box.waiter = nil
end

---@param box table
function Loop:signal(box)
  local waiter = box.waiter
  if waiter and waiter.join == box then
    self:wake(waiter)
  end
end

--- Calls each function in a task of its own, at most `limit` at once, until all have ended. The functions return a
--- value, or nil, err; the first error ends the others where they are.
---@param functions function[]
---@param limit integer
---@param hook function|nil
---@return table|nil values  in order
---@return lgemini.Error|nil err
function Loop:all(functions, limit, hook)
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
  local outer = inside.task()
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
  elseif outer and outer.cancelled then
    return nil, inside.cancelled()
  end
  return values
end

--- A round in which the host's scheduler does the waiting.
---@param hook function  the client's `wait`
function Loop:host_turn(hook)
  hook(self:pollfd(), math.min(self:timeout() or math.huge, 60), self)
end

-- What the program calls ------------------------------------------------------------------------

-- The first of the errors that no task took.
local function raise_problem(self)
  if self.problems.first <= self.problems.last then
    error(pop(self.problems)[1], 0)
  end
end

local function check_outside(name)
  if inside.task() then
    errors.misuse(("client:%s: inside a task nobody can step; client:sleep waits there"):format(name))
  end
end

-- A step without a budget has an end, too, where more and more comes.
local LONGEST_STEP = 1
-- A piece of a handshake takes longer than all else and cannot be divided: it goes on in this part of a step only, so
-- that little comes before it.
local EARLY, SHORTEST = 0.1, 0.001

-- Whether a step that ends then is for bytes alone: as long as nothing of note comes, nobody else has a part in it.
local function is_for_bytes(self, finish)
  local ready, later, problems, first = self.ready, self.later, self.problems, self.timers[1]
  return self.driver and ready.first > ready.last and later.first > later.last and problems.first > problems.last
    and not (first and first.instant <= finish) and not (self.owing or self.foreign or self.closing)
end

--- Does what there is to do now for about `budget` seconds.
---@param budget number|nil  1 when left out
---@return boolean  whether tasks are left
function Loop:step(budget)
  if inside.active then
    check_outside "step"
  end
  local seconds = budget or LONGEST_STEP
  local begin, early = self.now(), (seconds < SHORTEST and SHORTEST or seconds) * EARLY
  local finish, moved, told = begin + seconds, nil, true
  if is_for_bytes(self, finish) then -- the usual step of an upload: what is cold after a pause is best left alone
    moved, told = move(self, seconds, 0, early, true)
  else
    begin_step(self, seconds)
  end
  if not told then
    return self.alive > 0
  end
  local count = turn(self, finish, 0, begin + early, moved)
  while count > 0 and self.now() < finish do
    count = turn(self, finish, 0, begin + early)
  end
  raise_problem(self)
  return self.alive > 0
end

--- The same after waiting at most that many seconds for something to come.
---@param seconds number
---@return boolean
function Loop:pause(seconds)
  check_outside "wait"
  self:turn(seconds)
  raise_problem(self)
  return self.alive > 0
end

--- Steps until no task is left.
---@param hook function|nil  the client's `wait`
function Loop:run(hook)
  check_outside "run"
  while self.alive > 0 do
    if not hook and is_stuck(self) then
      errors.misuse "client:run: the tasks wait for each other"
    end
    self:turn(hook and 0 or math.huge)
    raise_problem(self)
    if hook and self.alive > 0 then
      self:host_turn(hook)
    end
  end
  raise_problem(self)
end

-- Seconds between two steps where no descriptor says that there is something.
local LOOK = 0.01

--- Seconds until a step has something to do by itself; nil for never.
---@return number|nil
function Loop:timeout()
  local first, wait = self.timers:first(), self.driver and self.driver:timeout()
  if has_ready(self) or next(self.woken) or self.problems.first <= self.problems.last then
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
function Loop:pollfd()
  if not self.foreign then
    self.foreign = true
    set_alarm(self)
  end
  return self.driver and self.driver:fd()
end

return steps
