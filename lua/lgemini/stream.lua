--- An answer that arrives in chunks: exchange + decoder of its events -> iterator.
--
-- A stream that was cut never looks like one that ended: it fails as `incomplete`, with what had arrived
-- in err.partial (reference section 2.3).

local Accumulator = require "lgemini.accumulator"
local answer = require "lgemini.answer"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local limits = require "lgemini.limits"
local options = require "lgemini.options"

local stream = {}

---@class lgemini.Stream
---@field response lgemini.GenerateContentResponse  what has arrived so far, as one answer
local Stream = { __name = "lgemini.Stream" }

local methods = {}

-- Sends at once. Nobody has the stream yet: an error that is thrown meanwhile (Ctrl-C) ends it.
local function begin(self)
  local loop = self.tasks.loop
  local ok, problem = pcall(loop.begin, loop)
  if not ok then
    self.exchange:close()
    error(problem, 0)
  end
end

-- How the events of a stream are read: the type of one, what it is for the caller, whether it is the one that says that
-- the answer is whole, and how the events become one answer. Another service has another form.
local GENERATE = { type = "GenerateContentResponse", chunk = answer.checked, accumulator = Accumulator.new }

-- Most streams of texts end without anybody who looks: theirs is made when they do. Until then the decoder has all,
-- which is in its place when it has ended.
local function accumulator_of(self)
  local made = self.accumulator
  if type(made) ~= "table" then
    local decoder = made or self.decoder
    made = self.form.accumulator(self.facts, self.call and self.call.client.limits)
    self.accumulator = made
    if decoder and self.form == GENERATE then
      made:follow(decoder)
    end
  end
  return made
end

function Stream.__index(self, name)
  return name == "response" and accumulator_of(self):response() or methods[name]
end

function GENERATE.finished(chunk)
  for _, candidate in ipairs(chunk.candidates) do
    if candidate.finish_reason ~= nil then
      return true
    end
  end
  local feedback = chunk.prompt_feedback
  return feedback ~= nil and feedback.block_reason ~= nil
end

local EVENTS = "text/event-stream"

-- What a decoder gives to which nothing more comes.
local END = { nil, false }

-- Of a stream with nothing to be done before, after, or in place of its request.
local NO_WAYS = {}

-- There may be thousands of streams: a table of no more than 16 members takes half of what one of more does.

--- A stream. The request is sent at once, unless files have to be uploaded first, or the client's rate does not let it
--- begin yet: then when the first chunk is asked for. What is wrong shows there, too.
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
  local form = facts.form or GENERATE
  local self = setmetatable({
    call = call,
    sent = sent,
    failure = err or false,
    facts = facts,
    form = form,
    tasks = call and call.client.tasks or false,
    ways = (prepare or heal or follow) and { prepare = prepare, heal = heal, follow = follow } or NO_WAYS,
    accumulator = false, -- until it is wanted
    delivered = false, -- a part of the answer
    -- What it has later: a place in the table, and no look at its metatable until then.
    exchange = false,
    decoder = false,
    pending = false, -- what the decoder gave and nobody has looked at, { value, more }
    drained = false, -- the decoder had nothing more when it was asked last
    finished = false,
    ended = false,
    closed = false,
  }, Stream)
  if call then
    call.client.tasks:adopt(self)
  end
  if sent and http.take_turn(call, sent) then
    local exchange, refusal = http.start(call, sent)
    self.exchange, self.failure = exchange or false, refusal or false
    if exchange then
      begin(self)
    end
  end
  return self
end

-- Reads no more. What was said stays in the decoder.
local function leave(self)
  if self.form ~= GENERATE then
    return self.decoder:close()
  end
  local accumulator, kept = self.accumulator, self.decoder:retire()
  if accumulator then
    accumulator:leave(kept)
  elseif kept then
    self.accumulator = self.decoder
  end
end

local function let_go(self, err)
  local exchange = self.exchange
  self.exchange = false
  if self.decoder then
    leave(self)
    self.decoder, self.pending, self.drained = false, false, false
    if self.sent.media_to then
      self.sink:abandon()
    end
  end
  if exchange then
    if self.delivered and self.call.client.pace then
      http.spent(self.call, self.sent, rawget(self.response, "usage_metadata"))
    end
    http.close(self.call, self.sent, exchange, err)
  end
end

-- What a failure is for the caller: once chunks were delivered, a stream that breaks is incomplete.
local function broken(self, err)
  local kind = err.kind
  if self.delivered and (kind == "network" or kind == "protocol" or err.code) then
    kind = "incomplete"
  end
  if kind == err.kind then
    if kind == "incomplete" or self.delivered then
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
  return self.tasks and self.tasks:refusal() or closed_by_hand()
end

-- Methods of decoders and of loops, for at_hand: to find them takes as long as what it does beside.
local next_event, text_ahead, wait_again

local function open(self)
  local err
  if self.ways.prepare then
    self.sent, err = self.ways.prepare()
    if not self.sent then
      return nil, err
    end
    self.ways.prepare = nil
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
  local kind, coding = self.exchange:header("content-type", "content-encoding")
  if kind and kind ~= EVENTS and kind:find("text/html", 1, true) then
    return nil, protocol(self, "the server's answer is a web page",
      "is there a login page or a proxy between here and the service?")
  elseif coding and coding:lower() ~= "identity" then
    return nil, protocol(self, "the server's answer is compressed, which was not asked for",
      "is there a proxy between here and the service?")
  end
  local limits_set = self.call.client.limits
  self.sink = self.sent.media_to and require("lgemini.media_to").new(self.call.client.core, self.sent.media_to)
  self.decoder = answer.decoder(self.form.type, limits_set.max_event, limits_set.max_depth, true, self.sink)
  self.decoder:attach(self.exchange)
  next_event, text_ahead, wait_again = self.decoder.next, self.decoder.ahead, self.tasks.loop.wait_again
  if self.form == GENERATE and self.accumulator then
    self.accumulator:follow(self.decoder)
  elseif self.form == GENERATE then
    self.decoder:keep(limits_set.max_kept)
  end
  return true
end

-- What the decoder met. cut: it was the last of the stream, and nothing says that it is whole.
local function unreadable(self, err, cut)
  return require("lgemini.failures").unreadable(self.call, self.sent, err, cut)
end

-- Waits for more bytes: true; false at the end; nil, err.
local function await(self)
  local exchange, tasks = self.exchange, self.tasks
  if exchange:phase() == "closed" then -- by an error that was thrown while it was waited for
    return nil, closed(self)
  end
  local done, why = exchange:done()
  if done == nil then
    if tasks:rest(exchange) and exchange:phase() ~= "closed" then
      return true
    end
    return nil, closed(self)
  elseif not done then
    return nil, http.failed(self.call, self.sent, why)
  end
  return false
end

-- What the decoder has left when nothing more comes: as next_value.
local function at_end(self)
  local decoder = self.decoder
  local value, more, what = decoder:finish()
  if self.decoder ~= decoder then
    return nil, closed(self)
  elseif value ~= nil or not more then
    return value, more
  end
  local said = what == "tail" and require("lgemini.failures").error_before(more.head) -- something was written behind it
  if said then
    return said
  end
  return nil, unreadable(self, more, what)
end

-- What comes next: a value, and true where the decoder has kept what is new in it, and whether that is the last; nil at
-- the end; nil, err.
local function next_value(self, texts)
  local decoder, tasks = self.decoder, self.tasks
  if tasks.loop.finish then
    tasks:breathe() -- a peer that is ahead of us would keep us here
    if self.closed then
      return nil, closed(self)
    end
  end
  local pending = self.pending
  self.pending, self.drained = false, false
  while true do
    local value, more, ends, _
    if pending then
      value, more, pending = pending[1], pending[2], false
    else
      value, more, _, ends = decoder:next(texts, tasks.loop.finish and 0 or nil)
    end
    if self.decoder ~= decoder then -- it was closed by the function of media_to
      return nil, closed(self)
    elseif value ~= nil then
      return value, more, ends
    elseif more == true then -- a large string comes: first thing in a step, since it takes as long as many steps have
      tasks:breathe "eager"
      if self.closed then
        return nil, closed(self)
      end
    elseif more then
      return nil, unreadable(self, more)
    else
      local going, err = await(self)
      if err then
        return nil, err
      elseif not going then
        return at_end(self)
      end
    end
  end
end

-- A value as a chunk; nil, err.
local function to_chunk(self, value)
  local said = answer.error_in(value)
  if said ~= nil then
    local exchange = self.exchange
    local headers = exchange and exchange:phase() ~= "closed" and exchange:headers() or {}
    return nil, http.refused(self.call, self.sent, { said = said, headers = headers })
  end
  return self.form.chunk(value)
end

-- True where another answer follows; nil at the end; nil, err.
local function finish(self)
  http.note_transport(self.facts, self.call, self.sent, self.exchange)
  let_go(self)
  if not self.finished then
    return nil, incomplete(self, "the stream ended without a finish reason: a part of the answer is missing")
  end
  self.sent, self.ways.heal = nil, nil
  local follow = self.ways.follow
  local sent, facts
  local cut = follow and accumulator_of(self):was_cut()
  if cut then
    return nil, limits.exceeded("the answer is too long: " .. cut)
  elseif follow then
    -- Until it returns: it may raise, or be cancelled where it waits.
    self.failure = errors.new { kind = "cancelled", message = "what follows the answer did not come to its end" }
    sent, facts = follow(self.response)
    self.failure = false
  end
  if not sent then
    self.ended = not facts
    return nil, facts
  end
  self.sent, self.facts, self.finished, self.delivered = sent, facts, false, false
  self.accumulator = false
  return true
end

-- The next chunk, or text where only those are wanted and nothing else came; nil at the end; nil, err.
local function read(self, texts)
  local value, more, ends = next_value(self, texts)
  if value == nil then
    if not more then
      value, more = finish(self)
    end
    if value then
      value, more = open(self)
    end
    if not value then
      return nil, more
    end
    return read(self, texts)
  elseif more == true then
    self.finished = ends or self.finished
  else
    value, more = to_chunk(self, value)
    if not value then
      return nil, more
    end
    self.finished = self.finished or self.form.finished(value)
    local _, problem = accumulator_of(self):add(value)
    if problem then
      return nil, problem
    end
  end
  self.delivered = true
  return value
end

-- Closed by somebody, with its client, or (before its head came) by an error that was thrown while it was waited for.
-- What had come by then is in self.response; nothing more is delivered.
local function is_closed(self)
  return self.closed or self.tasks.closed
    or (self.exchange and not self.decoder and self.exchange:phase() == "closed")
end

-- The next chunk, or text. It opens the stream itself: see loop:wait_for.
local function advance(self, texts)
  while not self.failure do
    if self.ended then
      return nil
    elseif is_closed(self) then
      return nil, closed(self)
    end
    local chunk, err = self.decoder, nil
    if not chunk then
      chunk, err = open(self)
    end
    if chunk then
      chunk, err = read(self, texts)
    end
    if chunk or not err then
      return chunk
    end
    let_go(self, err)
    local again, problem
    if self.ways.heal and not self.delivered then
      again, problem = self.ways.heal(err)
      self.sent, err = again or self.sent, problem or err
    end
    if self.sent and not again then
      again, err = http.again(self.call, self.sent, err, self.delivered)
    end
    if not again then
      self.failure, self.sent, self.ways.heal = broken(self, err), nil, nil
    end
  end
  return nil, self.failure
end

-- What comes next where it is like what came before it, and nothing else is to be done: most of a stream. nil where
-- there is more to it.
local function at_hand(self, texts)
  local decoder, tasks = self.decoder, self.tasks
  if self.drained then -- nothing is pending then
    wait_again(tasks.loop, self.exchange)
  elseif not decoder or self.pending then
    return nil
  end
  local loop = tasks.loop
  while self.decoder == decoder and not tasks.closed and not loop.finish do -- it may be closed while it waits
    local value, alike, drained, ends = next_event(decoder, texts)
    self.drained = drained
    if alike == true then
      if ends then
        self.finished = true
      end
      return value
    elseif value ~= nil or alike ~= nil then
      self.pending = value == nil and alike == false and END or { value, alike }
      return nil
    elseif not tasks:rest(self.exchange) then
      return nil
    end
  end
end

--- The next chunk.
---@return lgemini.GenerateContentResponse|nil chunk  nil at the end
---@return lgemini.Error|nil err                      again and again after a failure
function methods.next(self)
  options.check_object(self, Stream, "stream.next")
  local chunk = at_hand(self)
  if chunk ~= nil then
    return chunk
  end
  return advance(self)
end

--- The iterator of a `for`: `chunk, stream`; raises the error where the stream fails.
function Stream.__call(self)
  local chunk = at_hand(self)
  if chunk ~= nil then
    return chunk, self
  end
  local next_chunk, err = advance(self)
  if err then
    error(err, 0)
  end
  return next_chunk, self
end

--- For a stream in a variable: `for chunk in stream:each() do`. Raises where the stream fails.
---@return lgemini.Stream
function methods.each(self)
  options.check_object(self, Stream, "stream.each")
  return self, nil, nil, self
end

--- Only the texts, without thoughts and without empty ones: `for text in stream:texts() do`. Raises where the stream
--- fails.
---@return fun(): string|nil
function methods.texts(self)
  options.check_object(self, Stream, "stream.texts")
  local loop = self.tasks and self.tasks.loop
  local decoder = false -- where it has more at hand than the text that was taken
  return function()
    local text = decoder and not loop.finish and text_ahead(decoder)
    if text then
      return text
    end
    repeat
      text = at_hand(self, true)
      if text == nil then
        local chunk, err = advance(self, true)
        if err then
          error(err, 0)
        end
        text = type(chunk) == "table" and chunk.text or chunk
      end
    until text ~= ""
    decoder = not self.drained and self.decoder
    return text
  end, nil, nil, self
end

--- The elements of an array in an answer that is JSON, each as soon as it is complete: `for recipe in
--- stream:items "recipes" do`. Raises where the stream fails, the answer is cut or blocked, or there is no such array.
---@param path string|string[]|nil  names from the outside in, "menu.dishes"; nil where the answer is the array
---@return fun(): any
function methods.items(self, path)
  options.check_object(self, Stream, "stream.items")
  return require("lgemini.items").each(self, path), nil, nil, self
end

--- Ends the stream at once, wherever it is. Closing twice is fine.
function methods.close(self)
  options.check_object(self, Stream, "stream.close")
  self.closed = true
  if not self.exchange and not self.decoder then
    return
  end
  local ok, problem = pcall(let_go, self, self.exchange and closed_by_hand() or nil)
  if not ok then -- a hook failed; whoever ends a task closes its streams, and is not to be stopped by that
    self.call.client.loop:report(problem)
  end
end

Stream.__close = methods.close

return stream
