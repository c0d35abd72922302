--- A task, as the program holds it: a function that runs in a coroutine of its own, moved by the loop.

local errors = require "lgemini.errors"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (5.1 has only the second)

local task = {}

---@class lgemini.Task
---@field done boolean       it has ended
---@field cancelled boolean  somebody cancelled it; what it does until its end may still take steps
local Task = { __name = "lgemini.Task" }
Task.__index = Task

---@param loop lgemini.Loop
---@param fn function
---@return lgemini.Task
function task.new(loop, fn, ...)
  return setmetatable({
    done = false,
    cancelled = false,
    loop = loop,
    coroutine = coroutine.create(fn),
    arguments = { n = select("#", ...), ... }, -- until it begins
    idle = true,     -- its turn comes without anything to wait for
    values = nil,    -- what its function returned, with `n`
    failure = nil,   -- what it raised
    taken = nil,     -- somebody looks after what it raises
    waits = false,   -- see loop.lua, and there for the rest
  }, Task)
end

--- What calls in a cancelled task return.
---@return lgemini.Error
function task.cancelled()
  return errors.new { kind = "cancelled", message = "the task was cancelled" }
end

local function check_task(self, name)
  if getmetatable(self) ~= Task then
    errors.misuse(("task.%s: call it with a colon: task:%s"):format(name, name))
  end
end

--- What the task has come to, once it is `done`: what its function returned, or nil and what it raised. A task that was
--- cancelled before it could return has an error of kind "cancelled". Raises before the end.
---@return any ...
function Task:result()
  check_task(self, "result")
  if not self.done then
    errors.misuse "task:result: the task has not ended; task:wait() waits for it"
  elseif self.values then
    return unpack(self.values, 1, self.values.n)
  end
  return nil, self.failure
end

--- Waits until the task has ended: from another task, or from outside, which steps the loop.
---@return any ...  as task:result; nil, err (kind "cancelled") where the waiting task itself is cancelled
function Task:wait()
  check_task(self, "wait")
  if self.loop.inside() == self then
    errors.misuse "task:wait: a task cannot wait for its own end"
  end
  self.loop:await_end(self)
  if not self.done then
    return nil, task.cancelled()
  end
  self.taken = true
  return self:result()
end

--- Ends what the task does: its call returns nil and an error of kind "cancelled", and so do further calls; streams it
--- opened are closed at once. Where it only waits for its next turn (coroutine.yield), or has not begun, it ends there;
--- on Lua 5.4 its `<close>` variables are closed. Nothing where it has ended.
function Task:cancel()
  check_task(self, "cancel")
  if not self.done and not self.cancelled then
    self.loop:cancel(self)
  end
end

return task
