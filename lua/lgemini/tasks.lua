--- What one client has of the loop: its exchanges, its waits and its tasks. The client's end is the end of these, and
-- of nobody else's.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local inside = require "lgemini.inside"
local loops = require "lgemini.loop"

---@class lgemini.Tasks
---@field now fun(): number  the clock, in seconds
---@field closed boolean
---@field hurried boolean  answers are replayed: nothing is waited for between them
local tasks = {}
tasks.__index = tasks
tasks.__name = "lgemini.Tasks"

---@param core table              lgemini.core
---@param loop lgemini.Loop|nil   another than that of this Lua state
---@return lgemini.Tasks|nil
---@return lgemini.Error|nil err
function tasks.new(core, loop)
  local self = setmetatable({
    loop = loop or loops.shared(core),
    now = core.now,
    exchanges = setmetatable({}, { __mode = "k" }), -- tables that stand for some of the core's
    hurried = false,
    closed = false,
    share = nil,     -- of core.loop: places for the exchanges that run at a time
  }, tasks)
  local ok, err = self.loop:attach(self)
  if not ok then
    return nil, err
  end
  return self
end

-- An exchange may be a table that stands for one of the core's: where it is recorded, `wire` is the real one, which the
-- loop knows; where it is replayed, `wire` is false. `awaits` says what such a one is waited for.

--- Hands an exchange to the loop.
---@param exchange table
---@param lane "calls"|"bulk"
function tasks:add(exchange, lane)
  local wire = exchange.wire
  if wire ~= nil then
    self.exchanges[exchange] = true
  end
  if wire ~= false then
    self.loop:add(wire or exchange, lane, self.share)
  end
end

--- The stream ends with the task inside which it was opened.
---@param stream lgemini.Stream
function tasks.adopt(_, stream)
  if inside.active then
    inside.adopt(stream)
  end
end

--- Why nothing more is to be begun: the task was cancelled, or the client is closed.
---@return lgemini.Error|nil
function tasks:refusal()
  if not self.closed and not inside.active then
    return nil
  end
  local err = inside.refusal()
  if not err and self.closed then
    self.loop:breathe(true) -- a task that tries for ever would hold up the step
    err = errors.new { kind = "closed", message = "the client is closed" }
  end
  return err
end

--- Where the step has used up its time, a task goes on in the next one; with "eager" always, and as its first.
---@param always "eager"|nil
---@param exchange table|nil  closed with the task where that is ended meanwhile
function tasks:breathe(always, exchange)
  self.loop:breathe(always, exchange)
end

--- Waits until the exchange wants to be looked at, or until the instant, and says nothing of what has become of it.
--- When all is closed it returns at once: what was waited for shows it.
---@param exchange table
---@param instant number|nil
---@return boolean  false where the task was cancelled before
function tasks:rest(exchange, instant)
  if self.closed then
    return true
  end
  local task = inside.active
  if task and task.cancelled then
    exchange:close()
    return false
  end
  local known = exchange
  if type(exchange) == "table" and exchange.awaits then
    known, instant = exchange:awaits(instant)
  end
  self.loop:wait_for(known, instant, self, self.hook)
  return true
end

--- The same, with a look.
---@param exchange table
---@param instant number|nil
---@return boolean  false where somebody closed the exchange meanwhile, or cancelled the task
function tasks:wait(exchange, instant)
  if self.closed then
    return true
  end
  return self:rest(exchange, instant) and exchange:phase() ~= "closed"
end

--- Closes an exchange. Who waits for it is woken.
---@param exchange table
function tasks:drop(exchange)
  exchange:close()
  self.loop:tell(exchange.wire or exchange)
end

--- Waits for so many seconds.
---@param seconds number
---@return true|nil
---@return lgemini.Error|nil err  "cancelled", "closed"
function tasks:sleep(seconds)
  local task = inside.task()
  if not self.closed and not (task and task.cancelled) then
    self.loop:wait_for(nil, self.now() + seconds, self, self.hook)
  end
  local err = self:refusal()
  return not err or nil, err
end

--- Waits until the box is signalled, or until the instant.
---@param box table
---@param what string  what it is, for who waits for it beside another
---@param instant number
---@return true|nil
---@return lgemini.Error|nil err  "cancelled", "closed"
function tasks:await_signal(box, what, instant)
  local task = inside.task()
  if not self.closed and not (task and task.cancelled) then
    self.loop:await_signal(box, what, self.hook, instant, self)
  end
  local err = self:refusal()
  return not err or nil, err
end

---@param box table
function tasks:signal(box)
  self.loop:signal(box)
end

--- The library's own wait between tries and between looks; none where answers are replayed.
---@param seconds number
---@return true|nil
---@return lgemini.Error|nil err
function tasks:pause(seconds)
  return self:sleep(self.hurried and 0 or seconds)
end

--- A new task, which starts at the next step.
---@param fn function
---@return lgemini.Task
function tasks:spawn(fn, ...)
  local task = self.loop:spawn(fn, ...)
  task.hook, task.on_error = self.hook, self.on_error
  return task
end

--- Calls each function in a task of its own, at most `limit` at once, until all have ended. The functions return a
--- value, or nil, err; the first error ends the others where they are.
---@param functions function[]
---@param limit integer
---@return table|nil values  in order
---@return lgemini.Error|nil err
function tasks:all(functions, limit)
  return self.loop:all(functions, limit, self.hook)
end

--- Ends everything of this client: exchanges in flight fail as cancelled. Tasks go on, and see it.
function tasks:close()
  if self.closed then
    return
  end
  self.closed = true
  for exchange in pairs(self.exchanges) do
    exchange:cancel()
    self.loop:tell(exchange.wire or exchange)
  end
  for _, exchange in ipairs(self.loop:sharing(self.share)) do
    exchange:cancel()
    self.loop:tell(exchange)
  end
  for _, waiter in ipairs(self.loop.timers:of(self)) do
    self.loop:wake(waiter)
  end
  self.loop:detach(self)
end

return tasks
