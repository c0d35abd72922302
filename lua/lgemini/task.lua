--- The life of a task: a function that runs in a coroutine of its own, moved by the loop (loop.lua, which knows what
--- each one waits for).

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local inside = require "lgemini.inside"

local create, resume, status, unpack = compat.create, compat.resume, compat.status, compat.unpack

local close_coroutine = rawget(coroutine, "close") -- 5.4

local tasks = {}

local WAIT = inside.WAIT

---@class lgemini.Task
---@field done boolean       it has ended
---@field cancelled boolean  somebody cancelled it; what it does until its end may still take steps
local Task = { __name = "lgemini.Task" }
Task.__index = Task

local function pack(...)
  return { n = select("#", ...), ... }
end

-- What its coroutine runs. Nothing is returned to who goes on with it: that is asked after each wait.
local function run(task, fn, ...)
  task.values = pack(fn(...))
end

---@param loop lgemini.Loop
---@param fn function
---@return lgemini.Task
function tasks.new(loop, fn, ...)
  return setmetatable({
    done = false,
    cancelled = false,
    loop = loop,
    coroutine = create(run),
    arguments = { n = select("#", ...) + 1, fn, ... }, -- until it begins
    idle = true,     -- its turn comes without anything to wait for
    values = nil,    -- what its function returned, with `n`
    failure = nil,   -- what it raised
    taken = nil,     -- somebody looks after what it raises
    waits = false,   -- see loop.lua, and there for the rest
    exchange = false,
    owned = false,
    place = false,
    join = false,
  }, Task)
end

-- Its end --------------------------------------------------------------------------------------

-- A string says where it was raised, but not how the task came there.
local function with_trace(task)
  local failure = task.failure
  if type(failure) == "string" and debug and debug.traceback then
    return debug.traceback(task.coroutine, failure)
  end
  return failure
end

-- An error of a task, for who steps the loop, unless somebody takes it.
local function report(task, failure, traced)
  if task.taken or (task.cancelled and errors.is(failure) and failure.kind == "cancelled") then
    return
  elseif not task.on_error then
    task.loop:report(traced)
    return
  end
  local ok, problem = pcall(task.on_error, failure, task)
  if not ok then
    task.loop:report(problem)
  end
end

-- On 5.4 the `<close>` variables of a coroutine that waits or has failed are closed; elsewhere it is never heard of
-- again. Returns what one of them raised.
local function close_variables(task)
  if close_coroutine then
    local before = inside.active
    inside.active = task
    local ok, problem = close_coroutine(task.coroutine)
    inside.active = before
    return ok, problem
  end
  return true
end

-- Those that were opened in it.
local function close_streams(task)
  local first, further = inside.streams[task], task.streams
  inside.streams[task], task.streams = nil, nil
  if first then
    first:close()
  end
  for stream in pairs(further or {}) do
    stream:close()
  end
end

-- Who waits for several has waited long enough when all have ended, or one has raised an error.
local function end_task(task)
  local loop = task.loop
  task.done = true
  loop.alive = loop.alive - 1
  loop:forget(task)
  close_streams(task)
  local taken = task.taken
  for _, join in ipairs(task.joins or {}) do
    join.left = join.left - 1
    if join.waiter.join == join then
      taken = true
      if join.left == 0 or not task.values then
        loop:wake(join.waiter)
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
    report(task, task.failure, traced)
  end
  if task.on_end then
    task.on_end()
  end
end

--- Ends a task where it is, unless it runs: that one ends when it yields.
function tasks.kill(task)
  task.cancelled = true
  if not task.done and status(task.coroutine) == "suspended" then
    task.loop:abandon(task)
    task.failure = inside.cancelled()
    end_task(task)
  end
end

-- What a task raised. 5.1 and 5.2 cannot tell before they try to yield that they cannot, and do not say where that was.
local function told(task, failure)
  if type(failure) == "string" and failure:find "^attempt to yield across .*C%-call boundary$" then
    return errors.place(task.coroutine) .. inside.UNDER_C
  end
  return failure
end

-- Its turns ------------------------------------------------------------------------------------

--- What a task has come to that was gone on with, where it does not wait. One that yielded by itself has its next turn
--- in the next step.
---@param task lgemini.Task
---@param ok boolean  what `resume` returned
---@param failure any
function tasks.settle(task, ok, failure)
  if not ok then
    task.failure = told(task, failure)
    end_task(task)
  elseif status(task.coroutine) == "dead" then
    end_task(task)
  else
    task.idle = true
    task.loop:forget(task)
    if task.cancelled then
      tasks.kill(task)
    else
      task.loop:put_off(task)
    end
  end
end

local function start(task)
  local arguments = task.arguments
  task.arguments = false
  return resume(task.coroutine, task, unpack(arguments, 1, arguments.n))
end

--- Goes on with a task, or begins with it, until it waits or ends; nothing where it has ended.
function tasks.resume(task)
  if task.done then
    return
  end
  local before = inside.active
  inside.active = task
  task.idle = false
  local ok, what
  if task.arguments then
    ok, what = start(task)
  else
    ok, what = resume(task.coroutine)
  end
  inside.active = before
  if not ok or what ~= WAIT then
    tasks.settle(task, ok, what)
  end
end

-- As the program holds it ------------------------------------------------------------------------

local function cancel(task)
  task.cancelled = true
  close_streams(task)
  if status(task.coroutine) ~= "suspended" then
    return -- it runs: its next call says so
  elseif task.idle then
    tasks.kill(task)
  elseif task.waits then
    task.loop:abandon(task)
  end
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
  if inside.active == self then
    errors.misuse "task:wait: a task cannot wait for its own end"
  end
  self.loop:await_end(self)
  if not self.done then
    return nil, inside.cancelled()
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
    cancel(self)
  end
end

return tasks
