--- Waiting until the service is done with something: looking again and again, with growing pauses.

local errors = require "lgemini.errors"

local poll = {}

-- Seconds before the first look; each later pause is twice the one before.
local FIRST_PAUSE = 0.5
-- Seconds that a look may take when the time is up: the last one is at the end.
local LAST_LOOK = 5

---@class lgemini.poll.Watch
---@field pending fun(object: table): boolean  is the service still at it?
---@field look fun(object: table, call: lgemini.Call): table|nil, lgemini.Error|nil  the object as it is now
---@field pause number  seconds between two looks, at most
---@field goal string   what is waited for, for messages: "ACTIVE"
---@field hint string   how to wait on
---@field field "file"|"operation"|"batch"|"interaction"  where an error carries the object

local function timed_out(clock, object, seconds, watch)
  local message = clock == "total" and ("total: the time for the whole call was used up while %s was processed")
    :format(tostring(object.name or object.id))
    or ("processing: %s was not %s after %g s"):format(tostring(object.name or object.id), watch.goal, seconds)
  return nil, errors.new {
    kind = "timeout",
    clock = clock,
    message = message,
    hint = ("wait on: %s, or raise http_options.timeout.%s"):format(watch.hint, clock),
    [watch.field] = object,
  }
end

--- Waits for at most that many seconds, and within the deadline of the call.
---@param call lgemini.Call
---@param object table  as it is known; has a name
---@param seconds number
---@param watch lgemini.poll.Watch
---@return table|nil object     no longer pending
---@return lgemini.Error|nil err  "timeout" (clock "processing" or "total"), or what `look` gives
function poll.wait(call, object, seconds, watch)
  local tasks = call.client.tasks
  local limit, clock, pause = tasks.now() + seconds, "processing", FIRST_PAUSE
  local within = setmetatable({ deadline = limit + LAST_LOOK }, { __index = call })
  if call.deadline and call.deadline <= limit then
    limit, clock, within = call.deadline, "total", call
  end
  while watch.pending(object) do
    local left = limit - tasks.now()
    if left <= 0 then
      return timed_out(clock, object, seconds, watch)
    end
    tasks:pause(math.min(pause, left))
    pause = math.min(pause * 2, watch.pause)
    local seen, err = watch.look(object, within)
    if not seen and err.kind == "timeout" and err.clock == "total" then
      return timed_out(clock, object, seconds, watch)
    elseif not seen then
      return nil, err
    end
    object = seen
  end
  return object
end

return poll
