--- client.operations: what the service works on for a while, such as a video (reference section 7.7).

local answer = require "lgemini.answer"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local json = require "lgemini.json"
local options = require "lgemini.options"
local poll = require "lgemini.poll"
local progress = require "lgemini.progress"
local refusal = require "lgemini.refusal"
local service = require "lgemini.service"

local JSON = require("lgemini.headers").JSON

---@class lgemini.Operations
local Operations = { __name = "lgemini.Operations" }
Operations.__index = Operations

local operations = {}

---@param client lgemini.Client
function operations.new(client)
  return setmetatable({ client = client }, Operations)
end

local rows = endpoints.operations

-- Seconds between two looks at an operation, at most: a video takes minutes.
local LAST_POLL = 10

--- What an answer says of an operation, which may have an error of its own.
---@param value table  of type Operation
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err
function operations.of(value)
  local operation = answer.operation(value)
  if operation.name then
    return operation
  end
  return nil, errors.new { kind = "protocol", message = "the server's answer names no operation" }
end

--- Sends a request that is answered with an operation.
---@param call lgemini.Call
---@param request lgemini.Request
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err
function operations.ask(call, request)
  local value, err = http.ask(call, request, "Operation")
  if not value then
    return nil, err
  end
  return operations.of(value)
end

local function get(self, call, given)
  local path, err = endpoints.path(rows.get, { operation = given }, self.client.vertex)
  if not path then
    return nil, err
  end
  if self.client.vertex then -- it is asked for at what works on it
    local body = self.client.core.body.new()
    body:add(('{"operationName":%s}'):format(json.quote(path)))
    path = path:gsub("/operations/[^/]*$", "") .. ":fetchPredictOperation"
    return operations.ask(call, { verb = "POST", url = self.client:url(call.options, rows.get, path, ""), body = body,
      headers = { ["Content-Type"] = JSON } })
  end
  return operations.ask(call, { verb = "GET", url = self.client:url(call.options, rows.get, path, "") })
end

local GET = { operation = true, config = options.CONFIG }

--- An operation as it is now. One that ended in an error is no failure of this call: see its `error`.
---@param args string|table  its name; or operation (an operation or its name), config
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err
function Operations:get(args)
  options.check_self(self, Operations, "operations.get")
  args = service.arguments(args, "operation", GET, "operations:get", "Operation")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  return get(self, call, args.operation)
end

local WAIT = { operation = true, timeout = true, on_progress = true, config = options.CONFIG }

--- Waits until an operation is done. A video that a filter took away is no error: see
--- `response.rai_media_filtered_reasons`.
---@param args string|table  its name or an operation; or operation, timeout (seconds, default 900),
---  on_progress(operation) after each look at it, config
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err  what the operation ended in, with `err.operation`; "timeout" (clock "processing"), or
---  what operations:get gives
function Operations:wait(args)
  options.check_self(self, Operations, "operations.wait")
  args = service.arguments(args, "operation", WAIT, "operations:wait", "Operation")
  options.callback(args.on_progress, "on_progress")
  local seconds, err = options.seconds(args.timeout, "timeout")
  if err then
    return nil, err
  end
  local call
  call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local function look(seen, within)
    local found, problem = get(self, within, seen)
    if found and args.on_progress then
      local ok, why = progress.tell(args.on_progress, found)
      return ok and found, why
    end
    return found, problem
  end
  local operation
  operation, err = look(args.operation, call)
  if not operation then
    return nil, err
  end
  operation, err = poll.wait(call, operation, seconds or call.options.timeout.processing, {
    pending = function(seen) return not (seen.done or seen.error) end,
    look = look,
    pause = LAST_POLL,
    goal = "done",
    hint = "client.operations:wait{ operation = ... }",
    field = "operation",
  })
  if operation and operation.error then
    err = refusal.from_status(operation.error)
    err.operation = operation
    return nil, err
  end
  return operation, err
end

return operations
