--- lgemini in programs on cqueues. Two ways, which may be mixed:
--
--   controller:wrap(function() require("lgemini.cqueues").drive(client) end)
--     moves the client's tasks beside the program's own coroutines;
--   Client{ wait = require("lgemini.cqueues").wait }
--     lets any coroutine of the controller call the library as if it waited.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local adapter = {}

-- cqueues goes on watching a descriptor that it has polled, unless it is told before that is closed.
local watcher = {}

function watcher.release(_, fd)
  cqueues.cancel(fd)
end

local ends = setmetatable({}, { __mode = "k" }) -- lgemini.Loop -> who drives it is told that no task is left

--- Moves the client's tasks until none is left. Call it in a coroutine of a cqueues controller. Clients of one loop may
--- each have one that does; a step is one for all of them.
---@param client lgemini.Client
---@param budget number|nil  seconds of work at a time, 0.005 when left out; others have their turn in between
function adapter.drive(client, budget)
  local loop = client.loop
  ends[loop] = ends[loop] or condition.new()
  loop.handles[watcher] = true
  while client:step(budget or 0.005) do
    cqueues.poll(client, ends[loop])
  end
  ends[loop]:signal()
end

--- For Client{ wait = }.
---@param fd integer|nil
---@param seconds number
---@param loop lgemini.Loop|nil  whose descriptor that is
function adapter.wait(fd, seconds, loop)
  if fd then
    if loop then
      loop.handles[watcher] = true
    end
    cqueues.poll({ pollfd = fd, events = "r" }, seconds)
  else
    cqueues.sleep(seconds)
  end
end

return adapter
