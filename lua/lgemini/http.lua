--- Requests and their answers: the only user of the core's exchanges.
--
-- A call is what the user called: its options, its deadline and what it has waited between tries, shared by all the
-- requests it takes, some of them at once. Only this file sends a request again.

local errors = require "lgemini.errors"
local sent_headers = require "lgemini.headers"
local limits = require "lgemini.limits"

local http = {}

---@class lgemini.Call
---@field client lgemini.Client
---@field options table       the http_options in force
---@field deadline number|nil the instant at which its time is up
---@field waited number       seconds waited between tries
---@field key string|nil      the last one that was sent, to be kept out of errors

---@class lgemini.Request
---@field verb string
---@field url string
---@field headers table<string, string>|nil  beside those of the options
---@field no_key boolean|nil   the URL is a secret of its own
---@field foreign boolean|nil  of another origin: it gets no key, headers or certificate of the options
---@field body table|nil       of core.body
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

-- Bodies from this size on go over HTTP/1.1, where they cost less and hold up no streams.
local BULK = 1024 * 1024
-- Bytes of an answer that are decoded between two looks at the time, where a step is to have an end.
local SLICE = 16 * 1024
-- Seconds between ticks.
local TICK = 0.1

local HINTS = {
  network = "check the network, http_options.base_url and http_options.proxy",
  tls = "where a proxy of a company signs for the server, give its certificate: http_options.ca_file",
  timeout = "http_options.timeout sets the clocks: { connect =, first_byte =, idle =, total = }",
}

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
    waited = 0,
    key = nil, -- later
  }
end

-- What went wrong in the core, as the caller gets it.
local function failed(call, request, err)
  return errors.new {
    kind = err.kind,
    message = errors.redact(err.message, sent_headers.secrets(call, request)),
    clock = err.clock,
    hint = HINTS[err.kind] or limits.hint(err.message),
    attempts = request.attempts,
  }
end

--- What of a URL that gives rights must stay out of errors: servers like to say which path they did not find.
http.secret_of = sent_headers.secret_of

--- What a request ends with whose exchange somebody closed.
---@return lgemini.Error
function http.cancelled()
  return errors.new { kind = "cancelled", message = "the request was cancelled" }
end

local function length_of(request)
  return request.body and (request.length or request.body:length()) or 0
end

-- The key goes to our own origin only, and is asked for anew for each request: it may rotate.
local function take_key(call, request)
  if request.no_key or request.foreign then
    return nil
  end
  local key, err = call.client:key(call)
  if err then
    return nil, err
  end
  call.key = key or nil
  return call.key
end

-- What an exchange gets by the options, the URL and the kind of request: all but its body and its deadline.
local function route_fields(call, request, key, bulk)
  local client, options = call.client, call.options
  local ceilings = client.limits
  return {
    url = request.url,
    method = request.verb,
    headers = sent_headers.lines(call, request, key),
    proxy = options.proxy or (client:is_loopback(request.url) and "" or nil),
    ca_file = options.ca_file,
    ca_path = options.ca_path,
    cert_file = not request.foreign and options.cert_file or nil,
    key_file = not request.foreign and options.key_file or nil,
    compressed = not request.raw,
    http1 = bulk,
    tell_data = request.raw or request.decodes,
    connect = options.timeout.connect,
    first_byte = options.timeout.first_byte,
    idle = options.timeout.idle,
    max_head = ceilings.max_head,
    max_answer = ceilings.max_answer,
    max_error = ceilings.max_error,
    room = request.raw and (bulk and ceilings.max_unread or ceilings.unread_stream) or nil,
  }
end

-- The same with what is of this request alone.
local function all_fields(call, request, key, bulk)
  local fields = route_fields(call, request, key, bulk)
  fields.body, fields.offset, fields.length = request.body, request.offset, request.length
  fields.hash, fields.hash_offset = request.hash, request.hash_offset
  fields.deadline = call.deadline
  return fields
end

-- Most requests of a program differ in their bodies only: the last route serves the next one. It is the client's, which
-- closes it.
local function route_for(call, request, key, bulk)
  local client = call.client
  local last = client.last_route
  if last and last.options == call.options and last.url == request.url and last.verb == request.verb
    and last.headers == request.headers and last.key == key and last.has_body == (request.body ~= nil)
    and last.raw == request.raw and last.decodes == request.decodes and last.bulk == bulk
    and last.foreign == request.foreign then
    return last.route
  end
  local route = client.core.exchange.route(route_fields(call, request, key, bulk))
  if last then
    last.route:close()
  end
  client.last_route = { route = route, options = call.options, url = request.url, verb = request.verb,
    headers = request.headers, key = key, has_body = request.body ~= nil, raw = request.raw,
    decodes = request.decodes, bulk = bulk, foreign = request.foreign }
  return route
end

--- Lets go of what was kept for the client's next request.
---@param client lgemini.Client
function http.forget_route(client)
  if client.last_route then
    client.last_route.route:close()
    client.last_route = false
  end
end

local function too_late()
  return nil, errors.new { kind = "timeout", clock = "total", hint = HINTS.timeout,
    message = "total: the time for the whole call would be used up before its turn comes (rate)" }
end

-- Of what holds up the request: nothing where there is no rate. Only calls of models are counted.
local function pace_of(call, request)
  return request.about and request.about.model and call.client.pace
end

--- Takes the request's turn in the client's rate, without waiting for it.
---@param call lgemini.Call
---@param request lgemini.Request
---@return boolean  whether it may begin now
function http.take_turn(call, request)
  local pace, now = pace_of(call, request), call.client.tasks.now
  if not pace then
    return true
  end
  now = now()
  local due = pace:reserve(now) -- nil where nothing is to be sent, too: who waits is told
  request.due = due ~= now and due or nil
  return due == now
end

--- Waits until the client's rate lets the request begin.
---@param call lgemini.Call
---@param request lgemini.Request
---@return true|nil
---@return lgemini.Error|nil err
function http.await_turn(call, request)
  local pace, tasks = pace_of(call, request), call.client.tasks
  if not pace then
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
      return too_late()
    elseif due > tasks.now() then
      local ok, problem = tasks:sleep(due - tasks.now())
      if not ok then
        return nil, problem
      end
    end
  until pace:may_begin(tasks.now())
  return true
end

--- Seconds since 1970: where answers are replayed, when they were recorded.
---@param client lgemini.Client
---@return integer
function http.time(client)
  return client.tape and client.tape:time() or os.time()
end

-- The places where exchanges come from: a recording, or the core. A recording and who watches want to know the fields;
-- a secret URL is not kept.
local function new_exchange(call, request, key, bulk)
  local client = call.client
  local tape, watch, new = client.tape, client.watch, client.core.exchange.new
  if not (tape or watch or request.no_key) then
    return new(route_for(call, request, key, bulk), request.body, call.deadline, request.offset, request.length,
      request.hash, request.hash_offset)
  end
  local fields = all_fields(call, request, key, bulk)
  if watch then
    watch:request(call, request, fields)
  end
  local refusal = client.tasks:refusal() -- a hook may have closed the client
  if refusal then
    return nil, refusal
  elseif tape then
    return tape:exchange(call, request, fields, new)
  end
  return new(fields)
end

--- Starts one request; nothing is retried.
---@param call lgemini.Call
---@param request lgemini.Request
---@return table|nil exchange
---@return lgemini.Error|nil err
function http.start(call, request)
  local client = call.client
  local refusal = client.tasks:refusal()
  if refusal then
    return nil, refusal
  end
  local key, key_err = take_key(call, request)
  if key_err then
    return nil, client.tasks:refusal() or key_err
  end
  request.attempts, request.sent = (request.attempts or 0) + 1, false
  local bulk = request.bulk or length_of(request) >= BULK
  refusal = client.tasks:refusal() -- the function that gives the key may have closed the client
  if refusal then
    return nil, refusal
  end
  local exchange, err = new_exchange(call, request, key, bulk)
  if not exchange then
    return nil, errors.is(err) and err or failed(call, request, err)
  end
  client.tasks:add(exchange, bulk and "bulk" or "calls")
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
---@return true|nil
---@return lgemini.Error|nil err  the transport's, or what `tick` returned
function http.wait(call, request, exchange, until_head)
  local tasks = call.client.tasks
  while true do
    if until_head and exchange:code() then -- what came after the head is read, even if it broke off since
      return true
    end
    local done, err = exchange:done()
    if done then
      return true
    elseif done == false then
      request.sent = exchange:sent() >= length_of(request)
      return nil, failed(call, request, err)
    end
    if not tasks:wait(exchange, request.tick and tasks.now() + TICK or nil) then
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
---@field transport table  see http.transport
---@field attempts integer
---@field cut boolean|nil  of a refusal: the body was longer than max_error

local function refused(call, request, answer)
  local about = request.about or {}
  local err = require("lgemini.refusal").from_http {
    code = answer.code,
    headers = answer.headers,
    body = answer.body,
    said = answer.said,
    model = about.model,
    file = about.file,
    mime_types = about.takes_media and require("lgemini.media").DOCUMENTED or nil,
    size = length_of(request),
    secrets = sent_headers.secrets(call, request),
  }
  err.attempts = request.attempts
  if call.client.pace then
    call.client.pace:refused(call.client.tasks.now(), err)
  end
  if answer.cut then
    local words = ("what it says was cut at max_error (%d bytes)"):format(call.client.limits.max_error)
    err.hint = (err.hint and err.hint .. "; " or "") .. words .. "; " .. limits.hint(words)
  end
  return err
end

--- The error that an answer means: by its status, or by the error object in its body.
http.refused = refused

--- What a caller may want to know about how an answer came.
---@param call lgemini.Call
---@param request lgemini.Request
---@param exchange table  it has ended
---@return table
function http.transport(call, request, exchange)
  local facts = exchange:facts()
  local id, other = exchange:header("x-goog-request-id", "x-request-id")
  id = id or other
  facts.attempts = request.attempts
  facts.request_id = id and errors.redact(id, sent_headers.secrets(call, request))
  return facts
end

local function collect(call, request, exchange)
  local answer = {
    code = exchange:code(),
    headers = exchange:headers(),
    body = exchange:read(),
    transport = http.transport(call, request, exchange),
    attempts = request.attempts,
  }
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
    return refused(call, request, answer), answer
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
  local done, why, _, problem
  repeat
    done, why = exchange:done()
    _, problem = decoder:next(false, tasks.loop.finish and SLICE or nil)
    if problem == true and done ~= false then -- there is more at hand
      done = nil
      tasks:breathe()
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
  return { code = exchange:code(), headers = exchange:headers(), attempts = request.attempts,
    transport = http.transport(call, request, exchange), value = value, problem = problem }
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
  if err.code == 401 and not request.renewed and call.client:forget_token(request) then -- taken back before its time
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
    waited = call.waited,
    remaining = call.deadline and call.deadline - now,
    delivered = delivered,
    starts = request.starts,
    sent = request.sent,
  }, err, call.client.random())
  if wait then
    call.waited = call.waited + wait
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
  local ok, err = http.wait(call, request, exchange, true)
  if not ok then
    http.close(call, request, exchange, err)
    return nil, err
  end
  local code = exchange:code()
  if code >= 200 and code <= 299 then
    return true
  end
  return nil, refusal_of(call, request, exchange)
end

--- The transport's failure in the middle of an answer that is being read.
http.failed = failed

-- Why a body could not be decoded.
local function undecoded(call, answer, problem)
  if problem.kind == "limit" then
    return limits.exceeded("the server's answer: " .. problem.message)
  elseif problem.kind == "io" then
    return errors.new { kind = "io", message = problem.message }
  elseif problem.kind == "invalid" then
    return require("lgemini.answer").nonsense(problem.message)
  end
  local html = (answer.headers["content-type"] or ""):find("html", 1, true)
  local what = problem.head == "" and "is empty" or html and "is a web page"
    or "is not JSON: " .. errors.redact(problem.message, { call.key })
  return errors.new {
    kind = "protocol",
    message = "the server's answer " .. what,
    hint = html and "is there a login page or a proxy between here and the service?" or nil,
    code = answer.code ~= 200 and answer.code or nil,
    attempts = answer.attempts,
  }
end

-- What a decoded body means. An error in it is the call's, but one of an object that has a name, which is a member of
-- it.
local function meaning(call, request, answer, type_name, value, problem)
  local decoding = require "lgemini.answer" -- not before the first answer comes
  if value == nil then
    return nil, undecoded(call, answer, problem)
  end
  local said = decoding.error_in(value)
  if said ~= nil and not (value.name or value.id) then
    return nil, refused(call, request, { said = said, code = answer.code, headers = answer.headers })
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
  local sink = request.media_to and require("lgemini.media_to").new(request.media_to)
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
  local pace, usage = call.client.pace, type(value) == "table" and type_name and rawget(value, "usage_metadata")
  if pace and type(usage) == "table" then
    pace:spent(call.client.tasks.now(), usage.total_token_count or 0)
  end
  return value, err, answer
end

return http
