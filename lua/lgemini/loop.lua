--- The loop: tasks over the core's loop, which drives exchanges. All waiting of the library comes down to this file.
--
-- Every call is written once, straight down, and waits. Inside a task that yields, and whoever steps the loop goes on
-- with others; outside of tasks it steps the loop itself, which keeps all tasks going meanwhile. An instant is a number
-- of core.now(), in seconds. One loop serves all clients of a Lua state, unless one is told to take another.
--
-- A waiter is who waits: a task, or a table in its place outside of tasks. While it waits, it has `waits`, and what it
-- waits for: an exchange, an instant (see timers.lua), the end of other tasks (`join`); `owned` are tasks that are of
-- no use without it. A task stays the waiter of its last exchange while it runs: most go on waiting for the same one.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local inside = require "lgemini.inside"
local timers = require "lgemini.timers"

local resume, running, status, WAIT = compat.resume, compat.running, compat.status, inside.WAIT

-- What a task that waits for an exchange and nothing else has for `waits`.
local PLAIN = "plain"

---@class lgemini.Loop
local loop = { __name = "lgemini.Loop" }
loop.__index = loop

---@param core table  lgemini.core
---@return lgemini.Loop
function loop.new(core)
  return setmetatable({
    core = core,
    now = core.now,
    yield = core.yield,
    users = setmetatable({}, { __mode = "k" }), -- the clients' tasks: without any there is no driver
    driver = nil,    -- of core.loop
    ready = { first = 1, last = 0 }, -- tasks to go on with, in order
    later = { first = 1, last = 0 }, -- those whose turn is in the next step
    waiters = {},    -- exchange -> waiter, whose `exchange` it is
    timers = timers.new(),
    alive = 0,       -- tasks that have not ended
    problems = { first = 1, last = 0 }, -- errors that nobody took, to be raised
    turns = 0,
    finish = false,  -- when the step that is under way is to end, where it has little time
    eager = false,   -- one of `later` has a large string to make, and the step is to begin with that
    owing = false,   -- the collector is to hear of such strings
    woken = setmetatable({}, { __mode = "k" }), -- waiters outside of tasks that have not seen it yet
    lone = false,    -- a waiter outside of tasks whose wait is over and of which nobody else knows: for the next one
    closing = false, -- no client is left, perhaps
    handles = setmetatable({}, { __mode = "k" }), -- who wants to `release` the descriptor before it is closed
    foreign = false, -- somebody waits on the descriptor
    alerted = false, -- the descriptor is readable already
  }, loop)
end

local shared = setmetatable({}, { __mode = "kv" }) -- core -> the loop of this Lua state

---@param core table
---@return lgemini.Loop
function loop.shared(core)
  local self = shared[core]
  if not self or self.driver and not self.driver:is_ours() then -- a fork's child begins anew
    self = loop.new(core)
    shared[core] = self
  end
  return self
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

-- A foreign loop that waits on the descriptor is told that there is work; within a step that is done at its end.
local function alert(self)
  if self.foreign and not self.alerted and self.driver then
    self.alerted = true
    self.driver:alarm(0)
  end
end

-- A fork's child has no part in what its parent made.
local function check_ours(driver, what)
  if not driver:is_ours() then
    errors.misuse(what .. " is of the process that made it: after a fork, make another one")
  end
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
    set_alarm(self)
  else
    check_ours(self.driver, "this loop")
  end
  self.users[user] = true
  return true
end

-- Without clients there is no driver. Who waits on its descriptor is to see the end of what was in flight first.
local function close_driver(self)
  if next(self.users) or (self.foreign and (self.alive > 0 or next(self.woken))) then
    return
  end
  self.closing = false
  for handle in pairs(self.handles) do
    handle:release(self.driver:fd())
  end
  self.driver:close()
  self.driver = nil
end

--- It uses it no longer; its exchanges have ended.
function loop:detach(user)
  self.users[user] = nil
  self.closing = self.driver ~= nil
  if self.closing then
    close_driver(self)
    alert(self)
  end
end

-- Waiting and waking ---------------------------------------------------------------------------

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

-- Its wait is over. What it was for it keeps until its turn, for who ends it before.
local function end_wait(self, waiter)
  waiter.waits, waiter.join = false, false
  if waiter.place then
    self.timers:remove(waiter)
  end
end

-- It has nothing to do with what it waited for, whatever that was.
local function forget(self, waiter)
  local exchange, waiters = waiter.exchange, self.waiters
  end_wait(self, waiter)
  if exchange and waiters[exchange] == waiter then
    waiters[exchange] = nil -- allowed while pairs goes over them
  end
  waiter.exchange, waiter.owned = false, false
end

loop.forget = forget

--- It goes on in its turn.
function loop:wake(waiter)
  if not waiter.waits then
    return
  end
  end_wait(self, waiter)
  if not waiter.coroutine then
    self.waiters[waiter.exchange] = nil
    self.woken[waiter] = true
  elseif waiter ~= inside.active then -- 5.1: a wait that could not yield
    push(self.ready, waiter)
  end
  alert(self)
end

--- Nobody will look at what the waiter waits for: the exchange is closed now, not when it is garbage, and so on down.
function loop:abandon(waiter)
  local exchange, owned = waiter.exchange, waiter.owned
  self:wake(waiter)
  if exchange then
    exchange:close()
  end
  for _, task in ipairs(owned or {}) do
    require("lgemini.task").kill(task)
  end
end

-- The task whose coroutine runs; nil outside of tasks. Raises where waiting would hold up a step: inside a task, but
-- not where it could yield. Nobody will look at the exchange then.
local function current(self, hook, exchange)
  local task = inside.task()
  if not task or task.loop == self and inside.can_yield() then
    return task
  elseif not hook then
    if exchange then
      exchange:close()
    end
    errors.misuse(inside.obstacle(self))
  end
end

-- Nothing will ever be woken.
local function is_stuck(self)
  return not (has_ready(self) or self.timers:first() or next(self.waiters))
end

local turn

-- Until the waiter is woken. An error that is thrown through it (Ctrl-C, a debug hook) ends what it waits for.
local function suspend(self, waiter, hook)
  if waiter.coroutine then
    return inside.yield()
  end
  while waiter.waits do
    local stuck = not (hook or waiter.exchange) and is_stuck(self)
    local ok, problem = true, "it would wait for ever: for tasks that wait for each other"
    if not stuck then
      ok, problem = pcall(self.turn, self, hook and 0 or math.huge)
    end
    if stuck or not ok then
      self:abandon(waiter)
      self.woken[waiter] = nil
      if stuck then
        errors.misuse(problem)
      end
      error(problem, 0)
    elseif hook and waiter.waits then
      self:host_turn(hook)
    end
  end
  self.woken[waiter] = nil
  if self.closing then
    close_driver(self)
  end
end

-- Outside of tasks.
local function new_waiter(self, exchange)
  local waiter = self.lone
  if waiter then
    self.lone = false
    waiter.waits, waiter.exchange, waiter.runner = true, exchange or false, running() or false
    return waiter
  end
  return { waits = true, exchange = exchange or false, owned = false, join = false, place = false, coroutine = false,
    user = nil, runner = running() or false }
end

-- Who is to wait now. A wait that failed before it began (5.1 cannot yield inside pcall) has left its traces.
local function waiter_for(self, hook, exchange)
  local waiter = inside.active and current(self, hook, exchange)
  if not waiter then
    return new_waiter(self, exchange)
  end
  forget(self, waiter)
  waiter.waits, waiter.exchange = true, exchange or false
  return waiter
end

-- Two cannot wait for the same. One that is left of a wait which an error of the host's hook ended, or whose coroutine
-- the host gave up, does not count.
local function check_alone(self, other, what)
  local runner = other.runner
  if not other.waits or other == inside.task() then
    return
  elseif not other.coroutine and (runner == (running() or false) or runner and status(runner) == "dead") then
    forget(self, other)
  else
    errors.misuse(("two tasks read one %s at once"):format(what))
  end
end

-- What the waiter waits for, and for whom.
local function note_wait(self, waiter, exchange, instant, user)
  waiter.user = user
  if exchange then
    self.waiters[exchange] = waiter
  end
  if instant then
    self.timers:add(waiter, instant)
  elseif exchange and waiter.coroutine then
    waiter.waits = PLAIN
  end
end

--- Waits until the exchange wants to be looked at, or until the instant. The exchange is closed where that is misuse.
--- A task waits here and not further down: it has memory for all the calls that it was ever in, one inside the other.
---@param exchange table|nil
---@param instant number|nil
---@param user table         whose wait it is
---@param hook function|nil  the client's `wait`
function loop:wait_for(exchange, instant, user, hook)
  local waiter = exchange and self.waiters[exchange]
  if waiter then
    check_alone(self, waiter, "stream")
  end
  waiter = inside.active
  if waiter and waiter.loop == self then
    forget(self, waiter)
    waiter.waits, waiter.exchange = true, exchange or false
    note_wait(self, waiter, exchange, instant, user)
    if self.yield(waiter.coroutine, WAIT) ~= false then
      return
    end
    forget(self, waiter) -- it cannot yield here
  end
  waiter = waiter_for(self, hook, exchange)
  note_wait(self, waiter, exchange, instant, user)
  suspend(self, waiter, hook)
  waiter.exchange, waiter.user, waiter.runner = false, nil, false
  self.lone = waiter
end

--- Waits for the exchange that the task has waited for last, where nothing was told of it since; false where that is
--- not so, or not all there is to the wait. Nothing was done then.
---@param exchange table
---@return boolean
function loop:wait_again(exchange)
  local task = inside.active
  if not task or self.waiters[exchange] ~= task or task.cancelled then
    return false
  end
  task.waits = PLAIN
  if self.yield(task.coroutine, WAIT) == false then
    task.waits = false
    return false
  end
  return true
end

local function tell(self, exchange)
  local waiter = self.waiters[exchange]
  if not waiter then
    return
  elseif not waiter.waits then
    self.waiters[exchange] = nil -- before it waits again it is to look
  elseif waiter.place or not waiter.coroutine or waiter == inside.active then
    self:wake(waiter)
  else -- the usual case
    waiter.waits = false
    push(self.ready, waiter)
    alert(self)
  end
end

--- Wakes who waits for the exchange.
---@param exchange table
loop.tell = tell

--- In a task whose step has used up its time, or with `always`: goes on in the next step, or with "eager" as the first
--- that it does. Nothing outside of tasks.
---@param always boolean|"eager"|nil
---@param exchange table|nil  closed with the task where that is ended meanwhile
function loop:breathe(always, exchange)
  local finish = self.finish
  if not finish and not always then
    return
  end
  self.owing = self.owing or always == "eager"
  local task = inside.task()
  if task and task.loop == self and (always or (finish and self.now() >= finish)) and inside.can_yield() then
    forget(self, task)
    task.exchange = exchange or false
    self.eager = self.eager or always == "eager"
    push(self.later, task)
    inside.yield()
  end
end

-- Steps ----------------------------------------------------------------------------------------

-- Goes on with the tasks that are ready now, until the time is used up.
local function run_ready(self, finish)
  local ready, ran = self.ready, 0
  local count = ready.last - ready.first + 1
  local go_on = count > 0 and require("lgemini.task").resume
  while ran < count and ready.first <= ready.last do -- what a step inside this one took over is gone
    go_on(pop(ready))
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

-- Wakes who waits for what has come.
local function tell_all(self)
  local driver = self.driver
  local exchange = driver and driver:next()
  while exchange do
    tell(self, exchange)
    exchange = driver:next()
  end
end

-- Goes on with the tasks that wait for what has come, while nobody is in front of them: as if they were woken first,
-- with less between.
local function run_told(self)
  local waiters, ran, driver, active = self.waiters, 0, self.driver, inside.active
  local next_of = driver and driver.next
  local exchange = driver and next_of(driver)
  while exchange do
    local task = waiters[exchange]
    if task and task.waits == PLAIN and task ~= active then
      task.waits, inside.active = false, task
      local ok, what = resume(task.coroutine)
      inside.active = active
      if not ok or what ~= WAIT then
        require("lgemini.task").settle(task, ok, what)
      end
      ran = ran + 1
      driver = self.driver -- it may be another now
    elseif task then
      tell(self, exchange)
    end
    exchange = driver and next_of(driver)
  end
  return ran
end

-- Moves bytes, after waiting at most `max_wait` seconds for something to come. Returns how much there was, and whether
-- somebody is to be told of it. Within a budget it goes on until then where it is `alone` with it.
local function move(self, budget, max_wait, early, alone)
  if not self.driver then
    return 0
  end
  local count, told = self.driver:step(budget, max_wait, early, alone)
  if not count then
    local err = told
    if err.kind == "closed" then -- a fork's child
      errors.misuse(err.message)
    end
    error(errors.new(err), 0)
  end
  return count, told
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

-- The part of a step's time that the collector has for what it is owed.
local COLLECTING = 0.25

-- Those whose turn was to come in the next step, which is this one. Two things that take long never share one.
local function begin_step(self, seconds)
  local later, ready = self.later, self.ready
  if self.driver then
    check_ours(self.driver, "this client")
  end
  if self.eager then
    self.eager, self.turns = false, 1 -- tasks come first in the second turn
  elseif self.owing then
    self.owing = self.driver and self.driver:collect(seconds and seconds * COLLECTING) or false
  end
  while later.first <= later.last do
    push(ready, pop(later))
  end
end

-- The work of one round. Where time is short, bytes and tasks come first in turn, so that neither starves, and who is
-- woken waits behind the others. After the instant `latest` no handshake goes on. Where bytes were `moved` before, it
-- is the rest of the round. Returns how much there was.
local function work(self, finish, wait, latest, moved)
  local ran, ready = 0, self.ready
  if not finish then
    moved = move(self, nil, wait)
    if ready.first > ready.last then
      ran = run_told(self)
    else
      tell_all(self)
    end
    run_timers(self)
    return moved + ran + run_ready(self)
  elseif not moved and self.turns % 2 == 0 then
    ran = run_ready(self, finish)
  end
  if not moved then
    local now = self.now()
    moved = move(self, math.max(0, finish - now), wait, math.max(0, latest - now), not has_ready(self))
  end
  tell_all(self)
  run_timers(self)
  if ran == 0 or self.now() < finish then
    ran = ran + run_ready(self, finish)
  end
  return moved + ran
end

-- One round: waits at most that long, moves bytes, goes on with tasks.
function turn(self, finish, max_wait, latest, moved)
  local outer, wait = self.finish, longest_wait(self, max_wait)
  self.finish = finish
  self.alerted = true
  self.turns = self.turns + 1
  local ok, count = pcall(work, self, finish, wait, latest, moved)
  self.finish = outer
  set_alarm(self)
  if self.closing then
    close_driver(self)
  end
  if not ok then
    error(count, 0)
  end
  return count
end

--- One step that waits at most `max_wait` seconds for something to come. A foreign loop that waits meanwhile is told
--- when no task is left after it.
---@param max_wait number
function loop:turn(max_wait)
  local alive = self.alive
  if alive == 0 and not self.foreign and not self.timers:first() then -- nobody else is there to go on with
    move(self, nil, max_wait)
    return tell_all(self)
  end
  begin_step(self)
  turn(self, nil, max_wait)
  if alive > 0 and self.alive == 0 then
    alert(self)
  end
end

--- Begins with what was added, without waiting and without going on with tasks; whoever steps does it for a task. What
--- comes meanwhile is told in the next step, which does not wait then.
function loop:begin()
  if not inside.task() then
    move(self, nil, 0)
    if self.foreign then
      set_alarm(self)
    end
  end
end

--- Hands an exchange to the driver.
---@param exchange table
---@param lane "calls"|"bulk"
---@param share table|nil  of core.loop
function loop:add(exchange, lane, share)
  local ok, err = self.driver:add(exchange, lane, share)
  if not ok then -- a fork's child
    errors.misuse(err.message)
  end
end

--- The exchanges that were added with that share and are not closed.
---@param share table  of core.loop
---@return table[]
function loop:sharing(share)
  return self.driver:sharing(share)
end

-- What a program asks for beside waiting is in steps.lua, which loads with the first of these.
local LATER = { "spawn", "put_off", "report", "await_end", "await_signal", "signal", "all", "step", "pause", "run",
  "host_turn", "timeout", "pollfd" }

local inner = { alert = alert, begin_step = begin_step, check_alone = check_alone, current = current, forget = forget,
  has_ready = has_ready, is_stuck = is_stuck, move = move, pop = pop, push = push, set_alarm = set_alarm,
  suspend = suspend, turn = turn, waiter_for = waiter_for }

for _, name in ipairs(LATER) do
  loop[name] = function(...)
    for later, method in pairs(require("lgemini.steps").methods(inner)) do
      loop[later] = method
    end
    return loop[name](...)
  end
end

return loop
