--- Records exchanges: each is an exchange of the core's in a wrapper, which notes what is read of it and writes a file
-- where it is closed (see tape.lua).

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local headers = require "lgemini.headers"
local json = require "lgemini.json"
local tape = require "lgemini.tape"

---@class lgemini.Recorder
---@field failure lgemini.Error|nil  why the last recording could not be written
local recorder = { __name = "lgemini.Recorder" }
recorder.__index = recorder

---@class lgemini.RecordedExchange: lgemini.core.Exchange
---@field wire lgemini.core.Exchange  the real one
local Exchange = { __name = "lgemini.RecordedExchange" }
Exchange.__index = Exchange

---@param core table
---@param directory string  is made where it is not there
---@return lgemini.Recorder
---@return lgemini.Error|nil err  kind "io"
function recorder.new(core, directory)
  local _, err = core.make_directory(directory)
  return setmetatable({
    core = core,
    directory = directory,
    counts = {},  -- name -> how many requests had it
    aliases = {}, -- path of a URL that is a secret -> the recording's own
  }, recorder), err and errors.new(err)
end

--- Seconds since 1970.
---@return integer
function recorder.time(_)
  return os.time()
end

-- Answers' headers that mean something to the library, beside x-goog-*.
local KEPT = { ["content-type"] = true, ["retry-after"] = true, ["x-request-id"] = true, location = true }
-- The same, of downloads.
local KEPT_RAW = { ["content-length"] = true, ["content-range"] = true, etag = true }
-- Those of them that are a URL.
local URLS = { ["x-goog-upload-url"] = true, location = true }

-- The path of a request as the recording has it.
local function path_of(self, request)
  local path = headers.secret_of(request.url) or "/"
  if path == request.secret then
    return self.aliases[path] or "/recorded/unknown"
  end
  return path
end

--- Begins an exchange that is recorded.
---@param call lgemini.Call
---@param request lgemini.Request
---@param fields lgemini.core.Request
---@param begin fun(fields: lgemini.core.Request): table|nil, lgemini.core.Failure|nil  makes the real one
---@return table|nil exchange
---@return lgemini.Error|lgemini.core.Failure|nil err
function recorder:exchange(call, request, fields, begin)
  if request.unrecorded then
    return begin(fields)
  elseif self.failure then
    return nil, self.failure
  end
  local secrets = headers.secrets(call, request)
  local described, err = tape.describe(self.core, fields, path_of(self, request), secrets)
  if not described then
    return nil, err
  end
  local wire
  wire, err = begin(fields)
  if not wire then
    return nil, err
  end
  local name = tape.name(self.core, described)
  self.counts[name] = (self.counts[name] or 0) + 1
  return setmetatable({
    recorder = self,
    wire = wire,
    kind = name,
    name = ("%s-%d"):format(name, self.counts[name]),
    described = described,
    secrets = secrets,
    binary = request.raw,
    length = fields.body and (fields.length or fields.body:length() - (fields.offset or 0)) or 0,
    bytes_sent = 0,
    pieces = {},
  }, Exchange)
end

-- What it is for who has it: the real one's, but for what comes out of it ------------------------

for _, name in ipairs { "phase", "headers", "header", "wants", "supply", "facts", "id", "cancel", "sent" } do
  Exchange[name] = function(self, ...)
    return self.wire[name](self.wire, ...)
  end
end

-- Notes what can be seen of it, while it is there to be seen. Who reads has asked for its status or its end before.
local function note(self)
  if self.wire:phase() == "closed" then
    return
  end
  self.bytes_sent = self.wire:sent()
  if not self.status and self.wire:code() then
    self.status, self.heads = self.wire:code(), self.wire:headers()
  end
end

function Exchange:code()
  note(self)
  return self.wire:code()
end

function Exchange:done()
  local done, err = self.wire:done()
  note(self)
  self.ended, self.failed = done, err
  return done, err
end

-- A download goes into a file of its own while it comes. What is wrong there shows at the end.
local function keep_apart(self, bytes)
  if not self.apart then
    self.apart = self.name .. ".bin"
    self.file, self.problem = io.open(self.recorder.directory .. "/" .. self.apart, "wb")
  end
  if self.file then
    local ok, why = self.file:write(bytes)
    self.problem = self.problem or not ok and why
  end
end

local function is_stream(self)
  return (self.heads["content-type"] or ""):find("^text/event%-stream") ~= nil
end

function Exchange:read(n)
  local bytes = self.wire:read(n)
  if bytes == "" then
    return bytes
  elseif self.binary and self.status and self.status < 300 and not is_stream(self) then
    keep_apart(self, bytes)
  else
    self.pieces[#self.pieces + 1] = bytes
  end
  return bytes
end

--- What the loop waits for in its place.
function Exchange:awaits(instant)
  return self.wire, instant
end

-- Its end ---------------------------------------------------------------------------------------

-- The same for all uploads that begin alike, so that it does not matter which of them begins first: what is sent tells
-- them apart.
local function alias_of(self, name)
  return "/recorded/" .. (name == "location" and self.name or self.kind)
end

local function shown_headers(self)
  local shown = {}
  for name, value in pairs(self.heads or {}) do
    local path = URLS[name] and headers.secret_of(value:find "^/" and "http://x" .. value or value)
    if path then
      shown[name] = alias_of(self, name)
      self.recorder.aliases[path] = shown[name]
    elseif KEPT[name] or (self.binary and KEPT_RAW[name])
      or (name:find "^x%-goog%-" and not headers.is_secret(name)) then
      shown[name] = tape.hide(value, self.secrets)
    end
  end
  return shown
end

-- One piece for each event, whatever came together on the wire: a diff shows events.
local function events_of(text)
  local events, at = {}, 1
  while at <= #text do
    local _, stop = text:find("\r?\n\r?\n", at)
    events[#events + 1] = text:sub(at, stop)
    at = (stop or #text) + 1
  end
  return events
end

-- Secrets are taken out of the whole: one may have come in two pieces.
local function body_into(self, answer)
  if self.apart then
    answer.file = self.apart
    return
  end
  local whole = table.concat(self.pieces)
  local is_json = (answer.headers["content-type"] or ""):find "^application/json"
  local decoded
  if is_json and json.quote(whole) then
    decoded = json.decode(whole, tape.MAX_DEPTH)
  end
  if decoded ~= nil then
    answer.json = tape.hide_all(decoded, self.secrets)
  elseif whole ~= "" then
    whole = tape.hide(whole, self.secrets)
    answer.pieces = is_stream(self) and events_of(whole) or { whole }
  end
end

local function close_file(self)
  if self.file then
    local ok, why = self.file:close()
    self.problem = self.problem or not ok and why
  end
  return self.problem and errors.new { kind = "io",
    message = ("cannot write the recording %s/%s: %s"):format(self.recorder.directory, self.apart,
      tostring(self.problem)) }
end

local function finish(self)
  local failed = self.failed and self.failed.kind ~= "cancelled" and self.failed or nil
  local answer = { status = self.status, headers = shown_headers(self), time = os.time(),
    error = failed and { kind = failed.kind, message = tape.hide(failed.message, self.secrets), clock = failed.clock },
    left = not failed and not self.ended or nil,
    sent = self.bytes_sent < self.length and self.bytes_sent or nil }
  body_into(self, answer)
  local ok, err = nil, close_file(self)
  if not err then
    ok, err = tape.write(self.recorder.core, ("%s/%s.json"):format(self.recorder.directory, self.name),
      { request = self.described, answer = answer })
  end
  if not ok then
    self.recorder.failure = err
  end
end

--- Closes it and writes what was seen. Where that fails, the client's next request says so.
function Exchange:close()
  if not self.closed then
    self.closed = true
    if self.wire:phase() ~= "closed" and self:done() then
      self:read() -- what came and nobody asked for
    end
    self.wire:close()
    finish(self)
    self.pieces, self.described, self.secrets = nil, nil, nil -- an answer keeps it for its facts
  end
end

return recorder
