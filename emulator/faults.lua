-- Scripted faults: what the admin asked to go wrong, and at which request. A fault is a rule (which requests, how
-- often) and an action; `server` strikes it before the work, `exchange` in mid-body, `events` between events.

local base64 = require "base64"
local errors = require "errors"
local json = require "json"

local faults = {}
faults.__index = faults

local fault_methods = {}
local fault_mt = { __index = fault_methods }

-- Where an action may strike. "work": it changes what the service does; the others end or hold the exchange.
local actions = {
  answer = "wire", html = "wire", empty = "wire", not_http = "wire",
  close = "wire", reset = "wire", stall = "wire", drip = "body",
  no_finish = "events", error_event = "events", bad_event = "events",
  blocked = "work", no_candidates = "work", no_content = "work", finish = "work",
}

local fields = {
  action = "string", method = "string", path = "string", command = "string", nth = "number", times = "number",
  always = "boolean", when = "string", after_request = "number", after_answer = "number", after_events = "number",
  status = "number", headers = "table", body = "any", body_base64 = "string", message = "string",
  status_name = "string", details = "table", retry_delay = "number", quota = "string", seconds = "number",
  bytes = "number", pause = "number", form = "string", reason = "string",
}

---@return table faults
function faults.new()
  return setmetatable({ rules = {}, serial = 0 }, faults)
end

local function check(spec)
  for name, value in pairs(spec) do
    local kind = fields[name]
    if not kind then error(errors.new(400, "unknown field of a fault: " .. tostring(name))) end
    if kind ~= "any" and type(value) ~= kind then error(errors.new(400, name .. ": a " .. kind .. ", please")) end
  end
  if not actions[spec.action] then error(errors.new(400, "unknown action: " .. tostring(spec.action))) end
  local when = spec.when
  if when and when ~= "headers" and when ~= "body" and when ~= "done" then
    error(errors.new(400, "when: headers, body or done"))
  end
end

--- Adds a rule.
---@param spec table as README.md describes it
---@return table rule
function faults:add(spec)
  spec.action = spec.action or "answer"
  check(spec)
  self.serial = self.serial + 1
  spec.id, spec.seen, spec.hits = self.serial, 0, 0
  spec.nth = spec.nth or 1
  spec.times = spec.always and math.huge or spec.times or 1
  spec.kind = actions[spec.action]
  spec.when = spec.when or "body"
  spec.bytes = spec.bytes or 1
  spec.pause = spec.pause or 0.01
  self.rules[#self.rules + 1] = setmetatable(spec, fault_mt)
  return spec
end

function faults:clear()
  self.rules = {}
end

---@return table list
function faults:list()
  local list = json.array({})
  for i, rule in ipairs(self.rules) do
    list[i] = { id = rule.id, action = rule.action, method = rule.method, path = rule.path, command = rule.command,
      nth = rule.nth, times = rule.times < math.huge and rule.times or nil, seen = rule.seen, hits = rule.hits }
  end
  return list
end

local function squeeze(command)
  return command and command:lower():gsub("%s+", "")
end

--- The fault that this request meets, if any; counts it.
---@param ex table exchange
---@return table? fault
function faults:match(ex)
  for _, rule in ipairs(self.rules) do
    if (not rule.method or rule.method == ex.method)
      and (not rule.path or ex.path:find(rule.path, 1, true))
      and (not rule.command or squeeze(rule.command) == squeeze(ex.headers["x-goog-upload-command"])) then
      rule.seen = rule.seen + 1
      if rule.seen >= rule.nth and rule.hits < rule.times then
        rule.hits = rule.hits + 1
        return rule
      end
    end
  end
end

local html_page = "<!DOCTYPE html>\n<html lang=en><title>Welcome</title><p>This network asks you to sign in first.\n"

local function error_of(fault)
  if fault.quota then
    local model = fault.path and fault.path:match("models/([%w%.%-]+)") or "gemini-2.5-flash"
    return errors.quota(fault.quota, model, 20, fault.retry_delay or 23.472316927)
  end
  local details = {}
  for i, detail in ipairs(fault.details or {}) do details[i] = detail end
  if fault.retry_delay then
    details[#details + 1] = { ["@type"] = "type.googleapis.com/google.rpc.RetryInfo",
      retryDelay = string.format("%.14g", fault.retry_delay) .. "s" }
  end
  return errors.new(fault.status or 503, fault.message, fault.status_name, details)
end

--- Sends the answer that a fault has in place of the service's, and ends the exchange.
local function answer(fault, ex)
  local status, headers, body = fault.status or 200, {}, ""
  if fault.action == "html" then
    headers["content-type"], body = "text/html; charset=UTF-8", html_page
  elseif fault.action == "empty" then
    headers["content-type"] = "application/json; charset=UTF-8"
  elseif fault.body_base64 then
    body = base64.decode(fault.body_base64) or ""
  elseif type(fault.body) == "string" then
    body = fault.body
  elseif fault.body ~= nil then
    headers["content-type"], body = "application/json; charset=UTF-8", json.encode(fault.body)
  else
    local err = error_of(fault)
    status, body, headers["content-type"] = fault.status or err.code, err.body, err.content_type
  end
  for name, value in pairs(fault.headers or {}) do headers[name:lower()] = tostring(value) end
  ex.fault = fault.after_answer and fault or nil
  ex.outcome = "fault: " .. fault.action
  ex:answer(status, headers, body)
  ex:leave(ex.outcome)
end

--- Does what the fault does on the wire. Returns only after a stall that came to its end.
---@param ex table exchange
function fault_methods:strike(ex)
  ex.fault = nil
  ex.hasty = self.when == "headers" or self.after_request ~= nil
  local outcome = "fault: " .. self.action
  if self.action == "close" then
    ex:hang_up(outcome)
  elseif self.action == "reset" then
    ex:reset(outcome)
  elseif self.action == "stall" then
    ex.outcome, ex.hasty = outcome, false
    ex:wait(self.seconds or 86400)
    ex.outcome = nil
  elseif self.action == "not_http" then
    local socket = ex.connection.socket
    if ex.version ~= "2" then
      socket:xwrite("\0\1\2 this is not HTTP\r\n\r\n", "n", 1)
    end
    ex:hang_up(outcome)
  else
    answer(self, ex)
  end
end

--- Does the fault strike as a whole at this stage, and not within a body?
---@param stage string "headers", "body" or "done"
---@return boolean
function fault_methods:strikes_at(stage)
  local when = self.when
  if self.action == "stall" and when == "body" then when = "done" end -- what comes after it needs the body
  return self.kind == "wire" and when == stage and not self.after_request and not self.after_events
    and not (self.after_answer and (self.action ~= "answer"))
end

--- The error object that an `error_event` puts into a stream.
---@return table
function fault_methods:error_object()
  return error_of(self).object
end

return faults
