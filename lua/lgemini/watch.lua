--- What a program is told of its requests and their answers: hooks and a logger. Nothing in it is a secret. A client
-- without them has no watch, and then nothing is made for one.
--
-- A hook that raises ends the call that it was called for, as an error of the program's own; in a task that is an error
-- of the task. Where no call waits (a stream that is closed) it is for who steps the loop.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local headers = require "lgemini.headers"
local options = require "lgemini.options"

---@class lgemini.Watch
local watch = { __name = "lgemini.Watch" }
watch.__index = watch

local HOOKS = { "on_request", "on_response", "on_retry", "log" }

--- The watch of a client; nil where it has no hooks. Raises for a hook that is no function.
---@param given table          options of the client
---@param now fun(): number    seconds
---@return lgemini.Watch|nil
function watch.new(given, now)
  local hooks = {}
  for _, name in ipairs(HOOKS) do
    hooks[name] = options.callback(given[name], name)
  end
  return next(hooks) and setmetatable({ hooks = hooks, now = now, count = 0 }, watch) or nil
end

---@class lgemini.SeenRequest  for on_request
---@field id integer               a number of its own, among the client's: its answer has the same
---@field method string
---@field url string               without what in it is a secret, such as that of an upload
---@field headers table<string, string>  by lower-case name; values that may be secret are "[redacted]"
---@field attempt integer          1 for the first try
---@field bytes integer            of the body
---@field model string|nil         that the request is for

---@class lgemini.SeenResponse  for on_response: the answer is there, or the request has failed
---@field id integer               of its request, and so are method, url, attempt and model
---@field method string
---@field url string
---@field attempt integer
---@field model string|nil
---@field status integer|nil       of HTTP; nil where no answer came
---@field headers table<string, string>|nil  by lower-case name
---@field request_id string|nil    the service's
---@field seconds number           since on_request
---@field first_byte number|nil    seconds from the start of the transfer to the answer's head
---@field bytes_sent integer|nil   of the bodies on the wire
---@field bytes_received integer|nil
---@field error lgemini.Error|nil  why the answer did not come to its end; nil for any answer that did, a 500 too

---@class lgemini.SeenRetry  for on_retry: it will be tried again
---@field method string
---@field url string|nil
---@field attempt integer          the try that failed
---@field error lgemini.Error      why
---@field wait number              seconds until the next

local function url_of(call, request)
  return request.url and errors.redact(request.url, headers.secrets(call, request))
end

local function tell(self, name, view)
  if self.hooks[name] then
    self.hooks[name](view)
  end
end

local function log(self, level, view, message, ...)
  if self.hooks.log then
    self.hooks.log(level, message:format(...), view)
  end
end

local function copy(view)
  local fields = {}
  for name, value in pairs(view) do
    fields[name] = value
  end
  return fields
end

--- A request begins.
---@param call lgemini.Call
---@param request lgemini.Request
---@param fields table  as the core gets it
function watch:request(call, request, fields)
  self.count = self.count + 1
  local seen = { id = self.count, method = request.verb, url = url_of(call, request), attempt = request.attempts,
    model = request.about and request.about.model }
  request.watched = { seen = seen, began = self.now() }
  local view = copy(seen)
  view.headers = headers.shown(fields.headers)
  view.bytes = fields.body and (fields.length or fields.body:length()) or 0
  tell(self, "on_request", view)
  log(self, "debug", copy(view), "%s %s: try %d, %d bytes", seen.method, seen.url, seen.attempt, view.bytes)
end

--- What is to be told of an exchange that is about to be closed; nil where it was told.
---@param call lgemini.Call
---@param request lgemini.Request
---@param exchange table
---@param err lgemini.Error|nil
---@return lgemini.SeenResponse|nil
function watch:look(call, request, exchange, err)
  local watched = request.watched
  if not watched then
    return nil
  end
  request.watched = nil
  local view = copy(watched.seen)
  view.seconds, view.error = self.now() - watched.began, err
  if exchange:phase() == "closed" then
    return view
  end
  local secrets, facts = headers.secrets(call, request), exchange:facts()
  view.status = exchange:code()
  view.bytes_sent, view.bytes_received = facts.bytes_sent, facts.bytes_received
  if view.status then
    view.headers, view.first_byte = headers.seen(exchange:headers(), secrets), facts.first_byte
    local id = exchange:id()
    view.request_id = id and errors.redact(id, secrets)
  end
  return view
end

--- It was closed.
---@param view lgemini.SeenResponse
function watch:response(view)
  tell(self, "on_response", copy(view))
  local failed = view.error or view.status >= 400
  log(self, failed and "warn" or "debug", view, "%s %s: %s after %.3f s", view.method, view.url,
    tostring(view.error or view.status), view.seconds)
end

--- It failed, and will be tried again.
---@param call lgemini.Call
---@param request lgemini.Request|lgemini.Upload
---@param err lgemini.Error
---@param wait number  seconds
function watch:retry(call, request, err, wait)
  local view = { method = request.verb or "POST", url = url_of(call, request), attempt = request.attempts, error = err,
    wait = wait }
  tell(self, "on_retry", copy(view))
  log(self, "warn", view, "try %d failed, the next one is in %.1f s: %s", view.attempt, wait, tostring(err))
end

return watch
