-- A stream of answers on the wire: server-sent events with `alt=sse`, else one JSON array. Each event waits for its
-- turn (`pace`), and goes out at once. Scripted faults strike between events.

local json = require "json"

local events = {}
events.__index = events

--- Opens the answer.
---@param ex table exchange
---@param pace table
---@param sse? boolean whatever the query says
---@return table events
function events.new(ex, pace, sse)
  sse = sse or ex.query.alt == "sse"
  ex:open(200, {
    ["content-type"] = sse and "text/event-stream" or "application/json; charset=UTF-8",
    ["content-disposition"] = "attachment", vary = "Origin, X-Origin, Referer",
  })
  ex.entry.events = 0
  return setmetatable({ ex = ex, pace = pace, sse = sse }, events)
end

--- Ends the stream as a scripted fault wants it.
local function spoil(self, fault)
  local ex = self.ex
  if fault.action == "error_event" then
    local object = fault:error_object()
    local text = json.encode(object)
    if fault.form == "bare" then
      text = text .. "\n"
    elseif fault.form == "pretty" then
      text = "{\n  \"error\": {\n    \"code\": " .. object.error.code .. ",\n    \"message\": "
        .. json.quote(object.error.message) .. ",\n    \"status\": " .. json.quote(object.error.status) .. "\n  }\n}\n"
    elseif fault.form == "array" then
      text = "[" .. text .. "]\n"
    else
      text = "data: " .. text .. "\r\n\r\n"
    end
    ex:write(text)
  elseif fault.action == "bad_event" then
    ex:write("data: {\"candidates\": [{\"content\": {\"parts\"\r\n\r\n")
  end
  ex.outcome = "fault: " .. fault.action
  ex:finish()
end

--- Sends one answer. Returns false when a fault has ended the stream.
---@param value table
---@return boolean
function events:send(value)
  local ex, sent = self.ex, self.ex.entry.events
  self.pace:wait(ex, sent == 0)
  local fault = ex.fault
  if fault and fault.after_events == sent then
    if fault.kind ~= "events" then
      fault:strike(ex)
    else
      spoil(self, fault)
      return false
    end
  end
  local text = json.encode(value)
  if self.sse then
    text = "data: " .. text .. "\r\n\r\n"
  else
    text = (sent == 0 and "[" or ",\r\n") .. text .. "\r\n"
  end
  ex:write(text)
  ex.entry.events = sent + 1
  return true
end

--- Sends text that is no answer: what ends the streams of interactions.
---@param text string
function events:mark(text)
  self.ex:write("data: " .. text .. "\r\n\r\n")
end

--- Ends the stream.
function events:finish()
  local fault = self.ex.fault
  if fault and fault.after_events == nil and (fault.action == "error_event" or fault.action == "bad_event") then
    return spoil(self, fault)
  end
  if not self.sse then self.ex:write("]") end
  self.ex:finish()
end

return events
