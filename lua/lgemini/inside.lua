--- Inside which task the program is, and what that means for a call. Light: task.lua loads with the first task.

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"

local running, yield = coroutine.running, compat.yield
local yieldable = rawget(coroutine, "isyieldable") -- 5.3 and later

local inside = {}

local WAIT = {} -- what a task yields when it waits in a call of the library
inside.WAIT = WAIT

--- The task that runs now, whichever loop it is of: nothing may wait inside it but itself. task.lua sets it.
---@type lgemini.Task|nil
inside.active = nil

--- The task inside which the program is, be it in a coroutine of its own there.
---@return lgemini.Task|nil
function inside.task()
  return inside.active
end

--- Whether the program is in the coroutine of the task that runs, with no C function in between.
---@return boolean
function inside.can_yield()
  local active = inside.active
  return active.coroutine == running() and (not yieldable or yieldable())
end

--- What is wrong with a wait for which the task that runs cannot yield.
inside.UNDER_C = "this call cannot wait here: inside a function that C calls (table.sort, string.gsub), or in a "
  .. "<close> of a task that has ended"
local ELSEWHERE = "this call would block inside step: use client:spawn or set wait"

--- Which of them it is: the program may be in another coroutine than the task's, or the task of another loop.
---@param loop lgemini.Loop
---@return string
function inside.obstacle(loop)
  local active = inside.active
  return active.loop == loop and active.coroutine == running() and inside.UNDER_C or ELSEWHERE
end

--- The task that runs waits in a call of the library, until the loop goes on with it.
function inside.yield()
  yield(WAIT)
end

--- task -> its stream, as long as that is in use; of further ones the task has a table. One table for all costs the
--- collector less than one for each.
inside.streams = setmetatable({}, { __mode = "kv" })

--- The stream ends with the task it was opened in.
---@param stream lgemini.Stream
function inside.adopt(stream)
  local active, streams = inside.active, inside.streams
  if active and streams[active] == nil then
    streams[active] = stream
  elseif active then
    active.streams = active.streams or setmetatable({}, { __mode = "k" })
    active.streams[stream] = true
  end
end

-- How often a cancelled task may call again before it is ended: one that tries for ever would hold up the step.
local PATIENCE = 100

--- Why the task inside which the program is gets nothing more: it was cancelled.
---@return lgemini.Error|nil
function inside.refusal()
  local task = inside.active
  if not task or not task.cancelled then
    return nil
  end
  task.refused = (task.refused or 0) + 1
  if task.refused > PATIENCE and inside.can_yield() then
    yield()
  end
  return inside.cancelled()
end

--- What calls in a cancelled task return.
---@return lgemini.Error
function inside.cancelled()
  return errors.new { kind = "cancelled", message = "the task was cancelled" }
end

return inside
