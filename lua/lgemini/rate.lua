--- The turn of a request in its client's rate: where pace.lua says when, here it is taken and waited for. It loads with
--- the first client that has a rate.

local rate = {}

-- Only calls of models are counted.
local function is_counted(request)
  return request.about ~= nil and request.about.model ~= nil
end

--- Takes the request's turn, without waiting for it.
---@param call lgemini.Call
---@param request lgemini.Request
---@return boolean  whether it may begin now
function rate.take_turn(call, request)
  if not is_counted(request) then
    return true
  end
  local now = call.client.tasks.now()
  local due = call.client.pace:reserve(now) -- nil where nothing is to be sent, too: who waits is told
  request.due = due ~= now and due or nil
  return due == now
end

--- Waits until the request may begin.
---@param call lgemini.Call
---@param request lgemini.Request
---@return true|nil
---@return lgemini.Error|nil err  nil where the call's time would be up before
function rate.await_turn(call, request)
  local pace, tasks = call.client.pace, call.client.tasks
  if not is_counted(request) then
    return true
  end
  repeat
    local due, err = request.due, nil
    if not due then
      due, err = pace:reserve(tasks.now())
    end
    request.due = nil
    if not due then
      return nil, err
    elseif call.deadline and due >= call.deadline then
      return nil
    elseif due > tasks.now() then
      local ok, problem = tasks:sleep(due - tasks.now())
      if not ok then
        return nil, problem
      end
    end
  until pace:may_begin(tasks.now())
  return true
end

--- Counts what an answer has cost.
---@param call lgemini.Call
---@param value any  what it says
function rate.count(call, value)
  local usage = type(value) == "table" and rawget(value, "usage_metadata")
  if type(usage) == "table" then
    call.client.pace:spent(call.client.tasks.now(), usage.total_token_count or 0)
  end
end

return rate
