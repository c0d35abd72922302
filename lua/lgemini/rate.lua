--- The turns of requests in their client's rate: they begin in the order in which they were waited for. Where pace.lua
--- says when, here they are taken and waited for. It loads with the first client that has a rate.

local rate = {}

-- Only calls of models are counted.
local function is_counted(request)
  return request.about ~= nil and request.about.model ~= nil
end

--- Takes the request's turn, if it need not be waited for.
---@param call lgemini.Call
---@param request lgemini.Request
---@return boolean  whether it may begin now
function rate.take_turn(call, request)
  if not is_counted(request) then
    return true
  end
  local pace, now = call.client.pace, call.client.tasks.now()
  local due = pace:due(now) -- nil where nothing is to be sent, too: who waits is told
  if not due or due > now or pace:front() then
    return false
  end
  request.estimated = pace:begin(now)
  return true
end

-- Waits in line until the place is the first and its time has come: what `begin` of pace says; nil, err; nil where the
-- call's time would be up before.
local function wait(call, pace, place)
  local tasks, deadline = call.client.tasks, call.deadline or math.huge
  while true do
    local now, fresh = tasks.now(), not place.number
    if fresh then -- or it was given up, and comes back
      pace:enter(now, place)
    end
    local due, err = pace:due(now)
    if not due then
      return nil, err
    end
    pace:pass(now, due, place)
    due = math.max(now, due)
    local ahead = pace:ahead(place)
    if now >= deadline or (fresh or ahead == 0) and due + ahead * pace.interval >= deadline then
      return nil
    elseif ahead == 0 and due == now then
      return pace:begin(now)
    end
    local ok
    ok, err = tasks:await_signal(place, "turn", ahead == 0 and due or math.min(deadline, pace:look(due, ahead)))
    if not ok then
      return nil, err
    end
  end
end

-- The one that is first in line now is to look at the time.
local function tell(call, pace)
  local front = pace:front()
  if front then
    call.client.tasks:signal(front)
  end
end

--- Waits until the request may begin.
---@param call lgemini.Call
---@param request lgemini.Request
---@return true|nil
---@return lgemini.Error|nil err  nil where the call's time would be up before
function rate.await_turn(call, request)
  if not is_counted(request) then
    return true
  end
  local pace, place = call.client.pace, {}
  local estimated, err = wait(call, pace, place)
  if place.number then
    pace:leave(call.client.tasks.now(), place)
  end
  tell(call, pace)
  request.estimated = estimated
  return estimated and true, err
end

--- Its answer has come, or as much of it as is wanted.
---@param call lgemini.Call
---@param request lgemini.Request
---@param usage table|nil  usage_metadata
function rate.count(call, request, usage)
  local pace, estimated = call.client.pace, request.estimated
  if estimated then
    request.estimated = nil
    pace:spent(call.client.tasks.now(), type(usage) == "table" and usage.total_token_count or 0, estimated)
    tell(call, pace)
  end
end

--- The service refused it, for whatever reason. It cost nothing.
---@param call lgemini.Call
---@param request lgemini.Request
---@param err lgemini.Error
function rate.refused(call, request, err)
  call.client.pace:refused(call.client.tasks.now(), err)
  rate.count(call, request, nil)
  tell(call, call.client.pace)
end

return rate
