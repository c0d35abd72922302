--- Telling a program how far something is.

local errors = require "lgemini.errors"

local progress = {}

--- Calls on_progress. An error in it ends the call.
---@param on_progress function
---@return true|nil
---@return lgemini.Error|nil err
function progress.tell(on_progress, ...)
  local ok, problem = pcall(on_progress, ...)
  if ok then
    return true
  end
  return nil, errors.new { kind = "cancelled", cause = problem,
    message = "on_progress, the function, failed: " .. tostring(problem) }
end

--- Calls on_progress at most ten times a second, never with less than before, and once at the end.
---@param tasks table
---@param on_progress function|nil
---@param total integer|nil
---@param what string|nil  is handed on
---@return fun(done: integer, at_end: boolean|nil, total: integer|nil): true|nil, lgemini.Error|nil  a total that is
---  known later takes the place of the first
function progress.reporter(tasks, on_progress, total, what)
  local last, due = -1, 0
  return function(done, at_end, known)
    if not on_progress or done <= last and not (at_end and last < 0) or (not at_end and tasks.now() < due) then
      return true
    end
    last, due = done, tasks.now() + 0.1
    return progress.tell(on_progress, done, known or total, what)
  end
end

return progress
