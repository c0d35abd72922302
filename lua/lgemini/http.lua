--- Requests and their answers: the only user of the core's exchanges, which routes.lua makes.
--
-- A call is what the user called: its options, its deadline and what it has waited between tries, shared by all the
-- requests it takes, some of them at once. Only this file sends a request again.

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local sent_headers = require "lgemini.headers"
local routes = require "lgemini.routes"

local http = {}

---@class lgemini.Call
---@field client lgemini.Client
---@field options table       the http_options in force
---@field deadline number|nil the instant at which its time is up
---@field waited number|nil   seconds waited between tries
---@field key string|nil      the last one that was sent, to be kept out of errors

---@class lgemini.Request
---@field verb string
---@field url string
---@field address lgemini.Address|nil  where it has that; such requests differ in their bodies only, which are whole
---@field headers table<string, string>|nil  beside those of the options
---@field no_key boolean|nil   the URL is a secret of its own
---@field foreign boolean|nil  of another origin: it gets no key, headers or certificate of the options
---@field body table|string|nil  of core.body, or a short text
---@field offset integer|nil   the window of the body to send
---@field length integer|nil
---@field hash table|nil       of core.sha256: of what is sent
---@field hash_offset integer|nil  where the body begins in what is hashed
---@field bulk boolean|nil     a large body or answer
---@field raw boolean|nil      the answer is bytes: not compressed, and read while it comes
---@field about table|nil      model, file: for hints
---@field secret string|nil    to be kept out of errors
---@field once boolean|nil     is not sent again
---@field starts boolean|nil   begins something that costs: is not sent again where that may have begun
---@field estimated number|nil of rate.lua: the tokens that it counts for until its answer has come
---@field sent boolean|nil     all of it was sent in the last try, which failed
---@field watched table|nil    of watch.lua: what was told of it
---@field tick function|nil    called now and then while it runs, with the exchange; nil, err ends the request
---@field unrecorded boolean|nil  it is no part of a recording: it opens the door only
---@field replayed string|nil  of replay.lua: what it is known by
---@field attempts integer|nil how often it was sent
---@field media_to string|function|nil  where the media of the answer go
---@field decodes boolean|nil   the answer is JSON and decoded while it comes
---@field answers string|nil    its type in schema.lua; else it is as it came
---@field renewed boolean|nil  it was sent again with another token
---@field due number|nil      its turn in the client's rate, which it has taken already

---@class lgemini.Address  where many requests go; routes.lua keeps a route here, and what it is for
---@field route table|nil      of core.exchange
---@field forgotten boolean|nil
---@field key string|nil
---@field decodes boolean|nil
---@field bulk boolean|nil

-- Bodies from this size on go over HTTP/1.1, where they cost less and hold up no streams.
local BULK = 1024 * 1024
-- Bytes of an answer that are decoded between two looks at the time, where a step is to have an end.
local SLICE = 16 * 1024
-- Seconds between ticks.
local TICK = 0.1

---@param client lgemini.Client
---@param options table       merged http_options
---@param total number|false|nil  seconds where the user set none; false: no limit
---@return lgemini.Call
function http.call(client, options, total)
  local seconds = options.timeout.total or total
  return {
    client = client,
    options = options,
    deadline = seconds and client.tasks.now() + seconds or nil,
    key = nil, -- later
  }
end

-- What went wrong, as the caller gets it: see failures.lua.
local function failed(call, request, err)
  return require("lgemini.failures").failed(call, request, err)
end

http.forget = routes.forget

--- What of a URL that gives rights must stay out of errors: servers like to say which path they did not find.
http.secret_of = sent_headers.secret_of

--- What a request ends with whose exchange somebody closed.
---@return lgemini.Error
function http.cancelled()
  return errors.new { kind = "cancelled", message = "the request was cancelled" }
end

--- The bytes of its body.
---@param request lgemini.Request
---@return integer
function http.length_of(request)
  local body = request.body
  if type(body) == "string" then
    return #body
  end
  return body and (request.length or body:length()) or 0
end

local length_of = http.length_of

-- The key goes to our own origin only, and is asked for anew for each request: it may rotate.
local function take_key(call, request)
  if request.no_key or request.foreign then
    return nil
  end
  local key, err = call.client:key(call)
  if not err then
    call.key = key
  end
  return key, err
end

--- Takes the request's turn in the client's rate, if it has one, without waiting for it.
---@param call lgemini.Call
---@param request lgemini.Request
---@return boolean  whether it may begin now
function http.take_turn(call, request)
  return not call.client.pace or require("lgemini.rate").take_turn(call, request)
end

--- Waits until the client's rate lets the request begin.
---@param call lgemini.Call
---@param request lgemini.Request
---@return true|nil
---@return lgemini.Error|nil err
function http.await_turn(call, request)
  if not call.client.pace then
    return true
  end
  local ok, err = require("lgemini.rate").await_turn(call, request)
  if ok or err then
    return ok, err
  end
  return nil, require("lgemini.failures").too_late "its turn comes (rate)"
end

--- An answer has come, or as much of it as is wanted: what it cost counts in the rate, if there is one.
---@param call lgemini.Call
---@param request lgemini.Request
---@param usage table|nil  usage_metadata
function http.spent(call, request, usage)
  if call.client.pace then
    require("lgemini.rate").count(call, request, usage)
  end
end

--- Seconds since 1970: where answers are replayed, when they were recorded.
---@param client lgemini.Client
---@return integer
function http.time(client)
  return client.tape and client.tape:time() or compat.time()
end

--- Starts one request; nothing is retried.
---@param call lgemini.Call
---@param request lgemini.Request
---@return table|nil exchange
---@return lgemini.Error|nil err
function http.start(call, request)
  local client = call.client
  local tasks = client.tasks
  local refusal = tasks:refusal()
  if refusal then
    return nil, refusal
  end
  local key, err = take_key(call, request)
  if key ~= client.checked_key then -- whoever gave it may have closed the client
    refusal = tasks:refusal()
  end
  if refusal or err then
    return nil, refusal or err
  end
  request.attempts, request.sent = (request.attempts or 0) + 1, false
  local bulk = request.bulk or length_of(request) >= BULK
  local exchange, problem = routes.exchange(call, request, key, bulk)
  if not exchange then
    return nil, errors.is(problem) and problem or failed(call, request, problem)
  end
  tasks:add(exchange, bulk and "bulk" or "calls")
  return exchange
end

--- Lets go of an exchange, and tells who watches what has come of it.
---@param call lgemini.Call
---@param request lgemini.Request
---@param exchange table
---@param err lgemini.Error|nil  why it failed
function http.close(call, request, exchange, err)
  local client = call.client
  local seen = client.watch and client.watch:look(call, request, exchange, err)
  client.tasks:drop(exchange)
  if seen then
    client.watch:response(seen)
  end
end

--- Waits until the exchange has ended, or until its head is there.
---@param call lgemini.Call
---@param request lgemini.Request
---@param exchange table
---@param until_head boolean|nil
---@return true|integer|nil   the status, where it has waited for the head
---@return lgemini.Error|nil err  the transport's, or what `tick` returned
function http.wait(call, request, exchange, until_head)
  local tasks = call.client.tasks
  while true do
    local code = until_head and exchange:code()
    if code then -- what came after the head is read, even if it broke off since
      return code
    end
    local done, err = exchange:done()
    if done then
      return true
    elseif done == false then
      request.sent = exchange:sent() >= length_of(request)
      return nil, failed(call, request, err)
    end
    if not tasks:rest(exchange, request.tick and tasks.now() + TICK or nil) or exchange:phase() == "closed" then
      return nil, http.cancelled()
    elseif request.tick then
      local ok, problem = request.tick(exchange)
      if not ok then
        exchange:close()
        return nil, problem
      end
    end
  end
end

---@class lgemini.Answer  of a request, whole
---@field code integer
---@field headers table<string, string>
---@field body string|nil  where it was not decoded while it came
---@field value any       what it says, else; nil, and
---@field problem table|nil  why it could not be decoded
---@field exchange table  see http.note_transport
---@field attempts integer
---@field request_id string|nil
---@field cut boolean|nil  of a refusal: the body was longer than max_error

--- The error that an answer means: by its status, or by the error object in its body.
---@param call lgemini.Call
---@param request lgemini.Request
---@param answer { code: integer|nil, headers: table, body: string|nil, said: any, cut: boolean|nil }
---@return lgemini.Error
function http.refused(call, request, answer)
  return require("lgemini.failures").refused(call, request, answer, length_of(request))
end

--- Notes how an answer came, for a caller who wants to know: see answer.add_facts.
---@param facts table  gets `exchange`, `attempts`, `request_id`
---@param call lgemini.Call
---@param request lgemini.Request
---@param exchange table  it has ended, and is not closed
function http.note_transport(facts, call, request, exchange)
  local id = exchange:id()
  facts.exchange, facts.attempts = exchange, request.attempts
  facts.request_id = id and errors.redact(id, sent_headers.secrets(call, request))
end

local function collect(call, request, exchange)
  local answer = {
    code = exchange:code(),
    headers = exchange:headers(),
    body = exchange:read(),
  }
  http.note_transport(answer, call, request, exchange)
  http.close(call, request, exchange)
  return answer
end

-- The same for a refusal. It may be of any length, and may break off: what came of its beginning has to do. nil where
-- somebody ended it.
local function collect_refusal(call, request, exchange)
  local pieces, size, most = {}, 0, call.client.limits.max_error
  local done, err
  repeat
    done, err = exchange:done()
    local piece = exchange:read()
    pieces[#pieces + 1], size = piece, size + #piece
    if err and err.kind == "cancelled" or done == nil and size <= most and not call.client.tasks:wait(exchange) then
      return nil
    end
  until done ~= nil or size > most
  local answer = collect(call, request, exchange)
  answer.body = table.concat(pieces):sub(1, most)
  answer.cut = size > most or (err ~= nil and err.kind == "limit")
  return answer
end

-- What the service said when it refused; the error alone where somebody closed the exchange before that had come.
local function refusal_of(call, request, exchange)
  local answer = collect_refusal(call, request, exchange)
  if answer then
    return http.refused(call, request, answer), answer
  end
  local err = http.cancelled()
  http.close(call, request, exchange, err)
  return err
end

-- Decodes an answer while it comes: the answer; nil, err where the transport failed, or there is too much of it.
local function decode(call, request, exchange)
  local bounds, tasks = call.client.limits, call.client.tasks
  local decoder = require("lgemini.answer").decoder(request.answers, bounds.max_answer, bounds.max_depth)
  decoder:attach(exchange)
  local done, why, _, problem, large
  repeat
    done, why = exchange:done()
    _, problem, large = decoder:next(false, tasks.loop.finish and SLICE or nil)
    if problem == true and done ~= false then -- there is more at hand
      done = nil
      tasks:breathe(large and "eager", exchange)
      why = tasks:refusal() -- it may have come whole, but not be wanted any more
    elseif done == false or problem then
      request.sent = exchange:sent() >= length_of(request)
      why = failed(call, request, problem ~= true and problem or why)
    elseif done == nil and not tasks:wait(exchange) then
      why = http.cancelled()
    end
  until done or why
  local value
  if not why then
    value, problem = decoder:finish()
  end
  decoder:close()
  if why then
    return nil, why
  end
  local answer = { code = exchange:code(), headers = exchange:headers(), value = value, problem = problem }
  http.note_transport(answer, call, request, exchange)
  return answer
end

local function try(call, request)
  local ok, problem = http.await_turn(call, request)
  if not ok then
    return nil, problem
  end
  local exchange, err = http.start(call, request)
  if not exchange then
    return nil, err
  end
  ok, err = http.wait(call, request, exchange, request.decodes)
  local code = exchange:phase() ~= "closed" and exchange:code() or 200 -- somebody may have closed it meanwhile
  if code >= 300 and (ok or err.kind == "limit") then
    return nil, refusal_of(call, request, exchange)
  elseif not ok then
    http.close(call, request, exchange, err)
    return nil, err
  elseif not request.decodes then
    return collect(call, request, exchange)
  end
  local answer
  answer, err = decode(call, request, exchange)
  http.close(call, request, exchange, err)
  return answer, err
end

--- After a failed try: waits and says that it may be tried again, or gives the error to hand on.
---@param call lgemini.Call
---@param request { attempts: integer, starts: boolean|nil, sent: boolean|nil }
---@param err lgemini.Error
---@param delivered boolean|nil  the caller has got a part of the answer
---@return true|nil
---@return lgemini.Error|nil err
function http.again(call, request, err, delivered)
  -- A token that was taken back before its time.
  if err.code == 401 and not (delivered or request.renewed) and call.client:forget_token(call, request) then
    request.renewed = true
    if call.client.watch then
      call.client.watch:retry(call, request, err, 0)
    end
    return true
  end
  local now = call.client.tasks.now()
  local retry = require "lgemini.retry"
  local wait, why, words = retry.decide(call.options.retry_options or retry.options(), {
    attempts = request.attempts,
    waited = call.waited or 0,
    remaining = call.deadline and call.deadline - now,
    delivered = delivered,
    starts = request.starts,
    sent = request.sent,
  }, err, call.client.random())
  if wait then
    call.waited = (call.waited or 0) + wait
    if call.client.watch then
      call.client.watch:retry(call, request, err, wait)
    end
    return call.client.tasks:pause(wait)
  end
  if why == "begun" then
    err.retryable = false
  end
  if words then
    err.hint = err.hint and err.hint .. "; " .. words or words
  end
  return nil, err
end

--- Sends a request, again where that may help, and brings the whole answer: HTTP 2xx.
---@param call lgemini.Call
---@param request lgemini.Request
---@return lgemini.Answer|nil
---@return lgemini.Error|nil err
---@return lgemini.Answer|nil answer  the one that was refused
function http.send(call, request)
  while true do
    local answer, err, refusal = try(call, request)
    if answer then
      return answer
    end
    local again
    if not request.once then
      again, err = http.again(call, request, err)
    end
    if not again then
      return nil, err, refusal
    end
  end
end

--- Waits for the head of an answer that is read while it comes: it says 2xx.
---@param call lgemini.Call
---@param request lgemini.Request
---@param exchange table
---@return true|nil
---@return lgemini.Error|nil err  from a single try; the exchange is closed
---@return lgemini.Answer|nil answer  the one that was refused
function http.open(call, request, exchange)
  local code, err = http.wait(call, request, exchange, true)
  if not code then
    http.close(call, request, exchange, err)
    return nil, err
  end
  if code >= 200 and code <= 299 then
    return true
  end
  return nil, refusal_of(call, request, exchange)
end

--- The transport's failure in the middle of an answer that is being read.
http.failed = failed

-- What a decoded body means. An error in it is the call's, but one of an object that has a name, which is a member of
-- it.
local function meaning(call, request, answer, type_name, value, problem)
  local decoding = require "lgemini.answer" -- not before the first answer comes
  if value == nil then
    return nil, require("lgemini.failures").undecoded(call, answer, problem)
  end
  local said = decoding.error_in(value)
  if said ~= nil and not (value.name or value.id) then
    return nil, http.refused(call, request, { said = said, code = answer.code, headers = answer.headers })
  elseif type_name then
    return decoding.checked(value)
  end
  return value
end

--- What the body of an answer says that came whole.
---@param call lgemini.Call
---@param request lgemini.Request
---@param answer lgemini.Answer
---@param type_name string|nil  of schema.lua: an object is expected; nil: anything, as it came
---@return any|nil value
---@return lgemini.Error|nil err
function http.value(call, request, answer, type_name)
  local sink = request.media_to and require("lgemini.media_to").new(call.client.core, request.media_to)
  return meaning(call, request, answer, type_name,
    require("lgemini.answer").decode(answer.body, type_name, call.client.limits.max_depth, sink))
end

--- Sends a request and brings what its answer says. It is decoded while it comes, but for media that go into files: of
--- an answer that breaks off none is to be left there.
---@param call lgemini.Call
---@param request lgemini.Request
---@param type_name string|nil  as for http.value
---@return any|nil value
---@return lgemini.Error|nil err
---@return lgemini.Answer|nil answer
function http.ask(call, request, type_name)
  request.decodes, request.answers = not request.media_to, type_name
  local answer, err = http.send(call, request)
  if not answer then
    return nil, err
  end
  local value
  if answer.body then
    value, err = http.value(call, request, answer, type_name)
  else
    value, err = meaning(call, request, answer, type_name, answer.value, answer.problem)
  end
  if value ~= nil then
    http.spent(call, request, type(value) == "table" and type_name and rawget(value, "usage_metadata") or nil)
  end
  return value, err, answer
end

return http
