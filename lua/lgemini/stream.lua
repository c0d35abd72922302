--- An answer that arrives in chunks: exchange + event parser + answer -> iterator.
--
-- A stream that was cut never looks like one that ended: it fails as `incomplete`, with what had arrived
-- in err.partial (reference section 2.3).

local answer = require "lgemini.answer"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local json = require "lgemini.json"
local limits = require "lgemini.limits"
local options = require "lgemini.options"

local stream = {}

---@class lgemini.Stream
---@field response lgemini.GenerateContentResponse  what has arrived so far, as one answer
local Stream = { __name = "lgemini.Stream" }

local methods = {}

function Stream.__index(self, name)
  if name == "response" then
    return self.accumulator:response()
  end
  return methods[name]
end

-- Sends at once. Nobody has the stream yet: an error that is thrown meanwhile (Ctrl-C) ends it.
local function begin(self)
  local tasks = self.call.client.tasks
  local ok, problem = pcall(tasks.begin, tasks)
  if not ok then
    self.exchange:close()
    error(problem, 0)
  end
end

-- How the events of a stream are read: what an event is for the caller, whether it is the one that says that the answer
-- is whole, and how the events become one answer. Another service has another form.
local GENERATE = { chunk = answer.generate, accumulator = answer.accumulator }

function GENERATE.finished(chunk)
  for _, candidate in ipairs(chunk.candidates) do
    if candidate.finish_reason ~= nil then
      return true
    end
  end
  local feedback = chunk.prompt_feedback
  return feedback ~= nil and feedback.block_reason ~= nil
end

--- A stream. The request is sent at once, unless files have to be uploaded first: then when the first chunk
--- is asked for. What is wrong shows there, too.
---@param call lgemini.Call|nil
---@param sent lgemini.Request|nil
---@param err lgemini.Error|nil        why there is no request
---@param prepare function|nil         -> request | nil, err: what is to be done before it
---@param facts table                  for the answer; `form`, where it is none of generate_content
---@param heal function|nil            err -> request | nil, err: another one, before anything was delivered
---@param follow function|nil          response -> request, facts: what comes after an answer that is whole; nil, err;
---  nil where it was the last
---@return lgemini.Stream
function stream.new(call, sent, err, prepare, facts, heal, follow)
  local self = setmetatable({
    call = call,
    sent = sent,
    failure = err,
    prepare = prepare,
    facts = facts,
    heal = heal,
    follow = follow,
    form = facts.form or GENERATE,
    accumulator = (facts.form or GENERATE).accumulator(facts),
    delivered = 0,
  }, Stream)
  if call then
    call.client.tasks:adopt(self)
  end
  if sent and not call.client.pace then
    self.exchange, self.failure = http.start(call, sent)
    if self.exchange then
      begin(self)
    end
  end
  return self
end

local function let_go(self, err)
  local exchange = self.exchange
  self.exchange = nil
  if self.parser then
    self.parser:close()
    self.parser = nil
  end
  if exchange then
    http.close(self.call, self.sent, exchange, err)
  end
end

-- What a failure is for the caller: once chunks were delivered, a stream that breaks is incomplete.
local function broken(self, err)
  local kind = err.kind
  if self.delivered > 0 and (kind == "network" or kind == "protocol" or err.code) then
    kind = "incomplete"
  end
  if kind == err.kind then
    if kind == "incomplete" or self.delivered > 0 then
      err.partial = self.response
    end
    return err
  end
  return errors.new {
    kind = kind,
    message = err.message,
    hint = err.hint,
    code = err.code,
    status = err.status,
    details = err.details,
    request_id = err.request_id,
    retry_after = err.retry_after,
    attempts = err.attempts,
    partial = self.response,
    cause = err,
  }
end

local function protocol(self, message, hint)
  return errors.new { kind = "protocol", message = message, hint = hint, attempts = self.sent.attempts }
end

local function incomplete(self, message)
  return errors.new { kind = "incomplete", message = message, attempts = self.sent.attempts }
end

local function closed_by_hand()
  return errors.new { kind = "closed", message = "the stream was closed" }
end

-- By hand, or with the task it is read in.
local function closed(self)
  return self.call and self.call.client.tasks:refusal() or closed_by_hand()
end

local function open(self)
  local err
  if self.prepare then
    self.sent, err = self.prepare()
    if not self.sent then
      return nil, err
    end
    self.prepare = nil
  end
  if self.closed then -- meanwhile
    return nil, closed(self)
  end
  local ok
  if not self.exchange then
    ok, err = http.await_turn(self.call, self.sent)
    if self.closed or not ok then
      return nil, self.closed and closed(self) or err
    end
    self.exchange, err = http.start(self.call, self.sent)
    if not self.exchange then
      return nil, err
    end
  end
  ok, err = http.open(self.call, self.sent, self.exchange)
  if not ok then
    return nil, self.closed and closed(self) or err
  end
  self.headers = self.exchange:headers()
  if (self.headers["content-type"] or ""):find("text/html", 1, true) then
    return nil, protocol(self, "the server's answer is a web page",
      "is there a login page or a proxy between here and the service?")
  end
  self.parser = self.call.client.core.sse.new(self.call.client.limits.max_event)
  return true
end

-- What the parser met.
local function failed(err)
  return errors.new { kind = err.kind, message = err.message, hint = limits.hint(err.message) }
end

-- The next event: data; "cut" of an event at the end that no blank line closed, "tail" of bare text there;
-- nil at the end, nil, err when the stream broke.
local function next_data(self)
  local exchange, parser = self.exchange, self.parser
  self.call.client.tasks:breathe() -- a peer that is ahead of us would keep us here
  if self.closed then
    return nil, closed(self)
  end
  while true do
    local data, err = exchange:event(parser)
    if data then
      return data
    elseif err then
      return nil, failed(err)
    end
    local done, why = exchange:done()
    if done == nil then
      if not self.call.client.tasks:wait(exchange) then
        return nil, closed(self)
      end
    elseif not done then
      return nil, http.failed(self.call, self.sent, why)
    else
      local rest, what = parser:finish()
      if rest == nil and what then
        return nil, failed(what)
      end
      return rest, what
    end
  end
end

local function start_of(text)
  return #text > 100 and text:sub(1, 100) .. "..." or text
end

-- An event's data as a chunk; false where it says nothing; nil, err.
local function to_chunk(self, data, what)
  if data == "" or data == "[DONE]" then
    return false
  end
  local decoded, problem, too_deep = json.decode(data, self.call.client.limits.max_depth)
  if decoded == nil and what then
    return nil, incomplete(self, "the stream was cut in the middle of an event")
  elseif too_deep then
    return nil, limits.exceeded("an event: " .. problem .. " (max_depth)")
  elseif decoded == nil then
    data = errors.redact(data, { self.call.key }) -- before it is cut: half a key is one too many
    return nil, protocol(self, ("an event is not JSON (%s): %s"):format(problem, start_of(data)))
  elseif answer.is_error(decoded) then
    return nil, http.refused(self.call, self.sent, { body = data, headers = self.headers })
  end
  return self.form.chunk(decoded)
end

-- True where another answer follows; nil at the end; nil, err.
local function finish(self)
  self.facts.transport = http.transport(self.call, self.sent, self.headers, self.exchange:facts())
  let_go(self)
  if not self.finished then
    return nil, incomplete(self, "the stream ended without a finish reason: a part of the answer is missing")
  end
  self.sent, self.heal = nil, nil
  local sent, facts
  if self.follow then
    -- Until it returns: it may raise, or be cancelled where it waits.
    self.failure = errors.new { kind = "cancelled", message = "what follows the answer did not come to its end" }
    sent, facts = self.follow(self.response)
    self.failure = nil
  end
  if not sent then
    self.ended = not facts
    return nil, facts
  end
  self.sent, self.facts, self.finished, self.delivered = sent, facts, nil, 0
  self.accumulator = answer.accumulator(facts)
  return true
end

local read

-- The next chunk; nil at the end; nil, err.
function read(self)
  if not self.parser then
    local ok, err = open(self)
    if not ok then
      return nil, err
    end
  end
  while true do
    local data, what = next_data(self)
    if not data then
      if what then
        return nil, what
      end
      local more, problem = finish(self)
      if not more then
        return nil, problem
      end
      return read(self)
    end
    local chunk, err = to_chunk(self, data, what)
    if chunk then
      self.finished = self.finished or self.form.finished(chunk)
      self.accumulator:add(chunk)
      self.delivered = self.delivered + 1
      return chunk
    elseif err then
      return nil, err
    end
  end
end

-- Closed by somebody, with its client, or by an error that was thrown while it was waited for. What had come by then
-- is in self.response; nothing more is delivered.
local function is_closed(self)
  return self.closed or self.call.client.tasks.closed or (self.exchange and self.exchange:phase() == "closed")
end

--- The next chunk.
---@return lgemini.GenerateContentResponse|nil chunk  nil at the end
---@return lgemini.Error|nil err                      again and again after a failure
function methods.next(self)
  options.check_object(self, Stream, "stream.next")
  while not self.failure do
    if self.ended then
      return nil
    elseif is_closed(self) then
      return nil, closed(self)
    end
    local chunk, err = read(self)
    if chunk or not err then
      return chunk
    end
    let_go(self, err)
    local again, problem
    if self.heal and self.delivered == 0 then
      again, problem = self.heal(err)
      self.sent, err = again or self.sent, problem or err
    end
    if self.sent and not again then
      again, err = http.again(self.call, self.sent, err, self.delivered > 0)
    end
    if not again then
      self.failure, self.sent, self.heal = broken(self, err), nil, nil
    end
  end
  return nil, self.failure
end

--- The iterator of a `for`: `chunk, stream`; raises the error where the stream fails.
function Stream.__call(self)
  local chunk, err = self:next()
  if err then
    error(err, 0)
  end
  return chunk, self
end

--- For a stream in a variable: `for chunk in stream:each() do`.
function methods.each(self)
  options.check_object(self, Stream, "stream.each")
  return self, nil, nil, self
end

--- Only the texts, without thoughts and without empty ones: `for text in stream:texts() do`.
function methods.texts(self)
  options.check_object(self, Stream, "stream.texts")
  return function()
    local text
    repeat
      local chunk, err = self:next()
      if err then
        error(err, 0)
      end
      text = chunk and chunk.text
    until text ~= ""
    return text
  end, nil, nil, self
end

--- The elements of an array in an answer that is JSON, each as soon as it is complete: `for recipe in
--- stream:items "recipes" do`. Raises where the stream fails, the answer is cut or blocked, or there is no such array.
---@param path string|string[]|nil  names from the outside in, "menu.dishes"; nil where the answer is the array
function methods.items(self, path)
  options.check_object(self, Stream, "stream.items")
  return require("lgemini.items").each(self, path), nil, nil, self
end

--- Ends the stream at once, wherever it is. Closing twice is fine.
function methods.close(self)
  options.check_object(self, Stream, "stream.close")
  self.closed = true
  local ok, problem = pcall(let_go, self, closed_by_hand())
  if not ok then -- a hook failed; whoever ends a task closes its streams, and is not to be stopped by that
    self.call.client.loop:report(problem)
  end
end

Stream.__close = methods.close

return stream
