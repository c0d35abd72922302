--- The process behind spec/support/scripted.lua, where the words of a script are
-- described: HTTP/1.1 written by hand on cqueues sockets, so that every fault of a
-- wire can be had. It listens on a free loopback port, takes one JSON call per line
-- on its standard input, answers it on its standard output, and ends with its input.
local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local errno = require "cqueues.errno"
local json = require "dkjson"
local openssl_digest = require "openssl.digest"
local socket = require "cqueues.socket"
local bytes = require "spec.support.bytes"

local options = json.decode(arg[1] or "{}")
local LIMIT = options.limit or 30    -- seconds that anything here may wait for a peer or a gate
local KEEP = options.keep or 4194304 -- bytes of a request body that are kept for the spec to see
local BLOCK = 65536
local MAX_HEAD = 65536

local REASONS = {
  [100] = "Continue", [103] = "Early Hints", [200] = "OK", [204] = "No Content", [308] = "Permanent Redirect",
  [400] = "Bad Request", [403] = "Forbidden", [404] = "Not Found", [413] = "Payload Too Large",
  [429] = "Too Many Requests", [500] = "Internal Server Error", [503] = "Service Unavailable",
}

local UNSCRIPTED = {
  status = 500, body = { bytes = "nothing is scripted for this request" },
}

local entries, position = {}, 0
local treatments, accepted = {}, 0
local exchanges, connections, problems = {}, {}, {}
local released, standing = {}, {}
local changed = condition.new()

local function update() changed:signal() end

local function problem(text, ...)
  problems[#problems + 1] = text:format(...)
  update()
end

-- Waiting --------------------------------------------------------------------

local function gone(connection)
  connection.closed = connection.closed or "peer"
  update()
end

-- Waits until `ready` holds or the peer has gone. A peer is watched only while nothing it sent is unread.
local function stand(connection, record, ready)
  local deadline = cqueues.monotime() + LIMIT
  local watched = record == nil or record.complete
  while not ready() do
    local left = deadline - cqueues.monotime()
    if left <= 0 then return false end
    if watched then
      cqueues.poll(changed, { pollfd = connection.socket:pollfd(), events = "r" }, left)
      local early, why = connection.socket:xread(-1, "b", 0)
      if early then
        connection.socket:unget(early)
        watched = false
      elseif why ~= errno.ETIMEDOUT then
        gone(connection)
        return false
      else
        connection.socket:clearerr()
      end
    else
      cqueues.poll(changed, left)
    end
  end
  return true
end

local function stand_at(connection, record, name)
  standing[name] = true
  update()
  local opened = stand(connection, record, function() return released[name] end)
  standing[name] = nil
  return opened
end

-- Requests -------------------------------------------------------------------

local function prepare(s)
  s:setmode("b", "bn")
  s:onerror(function(_, _, code) return code end)
  return s
end

-- A socket of cqueues buffers as much as it once had to; a fresh one reads one byte when asked for one,
-- which is what leaves the rest of a request unread in the kernel (and makes a close there a reset).
local function freshen(connection)
  if options.tls or not connection.grown then return end
  local old = connection.socket
  connection.socket = prepare(socket.dup(old))
  old:close()
  connection.grown = false
end

local function receive(connection, most, seconds)
  if most > 1 then connection.grown = true end
  local data, why = connection.socket:xread(-most, "b", seconds)
  if data then return data end
  if why == errno.ETIMEDOUT then
    problem("connection %d: nothing came for %g s", connection.number, LIMIT)
  end
  gone(connection)
  return nil
end

-- Where a reset is planned a head ends one byte early: that byte stays unread.
local function receive_head(connection, first, ending)
  local head = { first }
  local tail = first
  while tail:sub(-#ending) ~= ending do
    local c = receive(connection, 1, LIMIT)
    if not c then return nil end
    head[#head + 1] = c
    tail = (tail .. c):sub(-4)
    if #head > MAX_HEAD then
      problem("connection %d: the head of a request never ends", connection.number)
      return nil
    end
  end
  return table.concat(head)
end

local function parse_head(record, head)
  record.request_line = head:match("^[^\r\n]*")
  record.method, record.target, record.version = record.request_line:match("^(%S+) (%S+) (HTTP/%d%.%d)$")
  record.headers = {}
  for line in head:sub(#record.request_line + 3):gmatch("([^\r\n]+)") do
    local name, value = line:match("^([^:%s]+):[ \t]*(.-)[ \t]*$")
    if name then
      record.headers[#record.headers + 1] = { name, value }
      name = name:lower()
      if name == "content-length" then record.length = tonumber(value) end
      if name == "transfer-encoding" and value:lower() == "chunked" then record.chunked = true end
      if name == "x-goog-upload-command" then record.command = value end
    else
      problem("exchange %d: a line of the head is no header: %s", record.number, line)
    end
  end
  if not record.version then
    problem("exchange %d: a malformed request line: %s", record.number, record.request_line)
  end
end

local function keep(record, data)
  record.body_bytes = record.body_bytes + #data
  record.digest:update(data)
  if record.pieces and record.body_bytes <= KEEP then
    record.pieces[#record.pieces + 1] = data
  else
    record.pieces = nil
  end
  update()
end

-- Reads the body up to byte `upto`; bytewise near it where a reset is planned, so that nothing more is taken.
local function receive_body(connection, record, upto, bytewise)
  local step = bytewise and 1 or BLOCK
  while record.body_bytes < upto do
    local left = upto - record.body_bytes
    local size = step
    if bytewise and left > 2 * BLOCK then size = BLOCK end
    if size == 1 and connection.grown then
      local pending = connection.socket:pending()
      if pending > 0 then size = pending else freshen(connection) end
    end
    local data = receive(connection, math.min(size, left), LIMIT)
    if not data then return false end
    keep(record, data)
  end
  return true
end

local function receive_line(connection)
  local line = ""
  repeat
    local c = receive(connection, 1, LIMIT)
    if not c then return nil end
    line = line .. c
  until c == "\n"
  return line
end

local function receive_chunks(connection, record)
  while true do
    local line = receive_line(connection)
    local left = line and tonumber(line:match("^%x+"), 16)
    if not left then return false end
    if left == 0 then return receive_line(connection) ~= nil end
    while left > 0 do
      local data = receive(connection, math.min(left, BLOCK), LIMIT)
      if not data then return false end
      keep(record, data)
      left = left - #data
    end
    receive_line(connection)
  end
end

local function finish_request(connection, record)
  if record.complete then return true end
  if record.chunked then
    record.complete = receive_chunks(connection, record)
  else
    record.complete = receive_body(connection, record, record.length or 0, false)
  end
  freshen(connection)
  return record.complete
end

-- Answers --------------------------------------------------------------------

local function to_json(value)
  local function fill(v)
    if type(v) ~= "table" then return v end
    if v["$base64"] or v["$text"] then return bytes.expand(v) end
    for key, item in pairs(v) do v[key] = fill(item) end
    return v
  end
  return json.encode(fill(value))
end

local function header_list(headers)
  local list = {}
  if headers and headers[1] then return headers end
  for name, value in pairs(headers or {}) do list[#list + 1] = { name, value } end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local function head_of(response, framing)
  local lines = {
    ("HTTP/1.1 %d %s"):format(response.status, response.reason or REASONS[response.status] or "Status"),
  }
  local named = {}
  for _, header in ipairs(header_list(response.headers)) do
    lines[#lines + 1] = header[1] .. ": " .. header[2]
    named[header[1]:lower()] = true
  end
  for _, header in ipairs(framing) do
    if not named[header[1]] then lines[#lines + 1] = header[1] .. ": " .. header[2] end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- The answer as a list of steps: bytes to write, { gate = }, { pause = seconds }. The second
-- result is the number of bytes before the body, the third says that the connection ends with it.
local function steps_of(response)
  local steps, before = {}, 0
  if response.answer then
    return { bytes.expand(response.answer) }, 0, true
  end
  if response.delay_ms then steps[#steps + 1] = { pause = response.delay_ms / 1000 } end
  for _, interim in ipairs(response.interim or {}) do
    steps[#steps + 1] = head_of(interim, {})
    before = before + #steps[#steps]
  end
  local body = response.body or { bytes = "" }
  local framing = response.framing or (body.chunks and "chunked" or "length")
  local whole = body.json ~= nil and to_json(body.json) or bytes.expand(body.bytes or "")
  local framing_headers = {
    length = { { "content-length", tostring(#whole) } },
    chunked = { { "transfer-encoding", "chunked" } },
    close = { { "connection", "close" } },
    raw = {},
  }
  steps[#steps + 1] = head_of(response, framing_headers[framing])
  before = before + #steps[#steps]
  for _, piece in ipairs(body.chunks or { whole }) do
    if type(piece) == "table" and piece["$gate"] then
      steps[#steps + 1] = { gate = tostring(piece["$gate"]) }
    else
      piece = bytes.expand(piece)
      if framing == "chunked" then piece = ("%x\r\n%s\r\n"):format(#piece, piece) end
      steps[#steps + 1] = piece
      if body.chunks then steps[#steps + 1] = { pause = (body.delay_ms or 12) / 1000 } end
    end
  end
  if framing == "chunked" and not body.abort then steps[#steps + 1] = "0\r\n\r\n" end
  return steps, before, framing == "close" or framing == "raw"
end

-- Writes the steps, at most `stop` bytes of them; says whether the peer is still there.
local function send(connection, record, response, steps, stop)
  for _, step in ipairs(steps) do
    if record.answered >= stop then return true end
    if type(step) == "string" then
      local text = step:sub(1, math.min(stop - record.answered, #step))
      local size = response.drip or #text
      for i = 1, #text, math.max(size, 1) do
        local piece = text:sub(i, i + size - 1)
        if not connection.socket:xwrite(piece, "bn", LIMIT) then
          gone(connection)
          return false
        end
        record.answered = record.answered + #piece
        update()
        if response.drip then cqueues.sleep((response.drip_ms or 1) / 1000) end
      end
    elseif step.pause then
      cqueues.sleep(step.pause)
    elseif not stand_at(connection, record, step.gate) then
      if not connection.closed then problem("exchange %d: gate %s was not released", record.number, step.gate) end
      return false
    end
  end
  return true
end

local function absolute(at, before)
  if at == nil then return nil end
  if at == "end" then return math.huge end
  if type(at) == "table" then return before + at.body end
  return at
end

local function close(connection)
  connection.closed = connection.closed or "server"
  connection.socket:close()
  update()
end

-- Closing over unread bytes would be a reset: says goodbye first, then reads what still comes.
local function close_gently(connection, record)
  if not (record == nil or record.complete) then
    connection.socket:shutdown("w")
    finish_request(connection, record)
  end
  close(connection)
end

-- Answers one request; says whether the connection goes on.
local function answer(connection, record, response)
  local steps, before, ends = steps_of(response)
  local cut, reset = absolute(response.cut_at, before), absolute(response.reset_at, before)
  local stall = absolute(response.stall_at, before)
  if response.body and response.body.reset then reset = 0 end
  if response.body and response.body.abort then reset = math.huge end
  local stop = math.min(cut or math.huge, reset or math.huge, stall or math.huge)
  if response.gate and not stand_at(connection, record, response.gate) then return close(connection) end
  if not send(connection, record, response, steps, stop) then return close(connection) end
  record.done = true
  update()
  if reset then return close(connection) end
  if cut then return close_gently(connection, record) end
  if stall then
    stand_at(connection, record, "stall")
    return close_gently(connection, record)
  end
  if ends or response.keep == false then return close_gently(connection, record) end
  return finish_request(connection, record)
end

local function plans_reset(response)
  local body = response.body or {}
  return response.reset_at ~= nil or body.reset or body.abort
end

-- The answer to a request: an entry for uploads stays until a request finalises it.
local function response_to(record, entry)
  if not entry.upload then return entry end
  local final = (record.command or ""):find("finalize", 1, true)
  if not final then position = position - 1 end
  return final and entry.upload.final or entry.upload.active
end

local function exchange(connection, first)
  position = position + 1
  local entry = entries[position] or UNSCRIPTED
  local record = {
    number = #exchanges + 1, connection = connection.number, unscripted = entries[position] == nil,
    body_bytes = 0, answered = 0, digest = openssl_digest.new("sha256"), pieces = {},
  }
  exchanges[record.number] = record
  local reset = plans_reset(entry)
  local bodiless = reset and entry.read == 0
  local head = receive_head(connection, first, "\r\n\r")
  if not head then return close(connection) end
  parse_head(record, head)
  local length = record.length or 0
  -- The last byte of the head: left where a reset comes and the body gives no byte to leave.
  if not (reset and (length == 0 or bodiless)) then
    if not receive(connection, 1, LIMIT) then return close(connection) end
  end
  record.head_complete = true
  update()
  if reset then
    local upto = math.min(entry.read or math.huge, length - 1)
    if upto > 0 and not receive_body(connection, record, upto, true) then return close(connection) end
  elseif entry.read and entry.read < length then
    if not receive_body(connection, record, entry.read, false) then return close(connection) end
  elseif not finish_request(connection, record) then
    return close(connection)
  end
  return answer(connection, record, response_to(record, entry))
end

-- Connections ----------------------------------------------------------------

local function serve(connection)
  while true do
    local first = receive(connection, 1)
    if not first then return close(connection) end
    connection.requests = connection.requests + 1
    if not exchange(connection, first) then return end
  end
end

local function swallow(connection)
  while receive(connection, BLOCK) do end -- luacheck: ignore 542
  close(connection)
end

local function accept(connection, treatment, context)
  if treatment == "close" then
    close(connection)
  elseif treatment == "reset" then
    cqueues.poll({ pollfd = connection.socket:pollfd(), events = "r" }, LIMIT)
    close(connection)
  elseif treatment == "stall" then
    swallow(connection)
  elseif type(treatment) == "table" then
    connection.socket:xwrite(bytes.expand(treatment.say), "bn", LIMIT)
    swallow(connection)
  else
    if context then
      local ok, why = connection.socket:starttls(context, LIMIT)
      if not ok then
        connection.tls_error = tostring(why)
        gone(connection)
        return close(connection)
      end
    end
    serve(connection)
  end
end

local function make_context(hosts)
  local pkey, x509 = require "openssl.pkey", require "openssl.x509"
  local names, alternatives = require "openssl.x509.name", require "openssl.x509.altname"
  local key = pkey.new { type = "EC", curve = "prime256v1" }
  local name = names.new()
  name:add("CN", "scripted server of a test")
  local alternative = alternatives.new()
  for _, host in ipairs(hosts) do
    alternative:add(host:find("^[%d.]+$") and "IP" or "DNS", host)
  end
  local certificate = x509.new()
  certificate:setVersion(3)
  certificate:setSerial(os.time())
  certificate:setIssuer(name)
  certificate:setSubject(name)
  certificate:setSubjectAlt(alternative)
  certificate:setBasicConstraints { CA = true }
  certificate:setBasicConstraintsCritical(true)
  certificate:setLifetime(os.time() - 3600, os.time() + 86400)
  certificate:setPublicKey(key)
  certificate:sign(key)
  local context = require "openssl.ssl.context".new("TLS", true)
  context:setCertificate(certificate)
  context:setPrivateKey(key)
  return context, tostring(certificate)
end

-- Calls ----------------------------------------------------------------------

local function report()
  local payload, list = {}, {}
  for i, record in ipairs(exchanges) do
    if record.complete and not record.sha256 then
      record.sha256 = record.digest:final():gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    end
    local kept = record.pieces and table.concat(record.pieces)
    payload[#payload + 1] = kept
    list[i] = {
      connection = record.connection, unscripted = record.unscripted, request_line = record.request_line,
      method = record.method, target = record.target, version = record.version, headers = record.headers,
      length = record.length, chunked = record.chunked, body_bytes = record.body_bytes,
      sha256 = record.sha256, kept = kept and #kept, complete = record.complete or false,
      answered = record.answered, done = record.done or false,
    }
  end
  local peers = {}
  for i, connection in ipairs(connections) do
    peers[i] = {
      requests = connection.requests, closed = connection.closed, tls_error = connection.tls_error,
    }
  end
  payload = table.concat(payload)
  return { exchanges = list, connections = peers, problems = problems, payload = #payload }, payload
end

-- What a spec can wait for; `n` is the number of an exchange or of a connection.
local CONDITIONS = {
  closed = function(call) return connections[call.n] and connections[call.n].closed == "peer" end,
  over = function(call) return connections[call.n] and connections[call.n].closed end,
  head = function(call) return exchanges[call.n] and exchanges[call.n].head_complete end,
  request = function(call) return exchanges[call.n] and exchanges[call.n].complete end,
  body = function(call) return exchanges[call.n] and exchanges[call.n].body_bytes >= call.bytes end,
  answered = function(call) return exchanges[call.n] and exchanges[call.n].done end,
  connection = function(call) return connections[call.n] ~= nil end,
  gate = function(call) return standing[call.gate] end,
}

local STDIN = { pollfd = 0, events = "r" }

local calls = {}

function calls.script(call)
  entries, position = call.entries, 0
  exchanges, problems, released = {}, {}, {}
  return {}
end

function calls.treat(call)
  treatments, accepted = call.treatments, 0
  return {}
end

function calls.release(call)
  released[call.gate] = true
  update()
  return {}
end

calls.received = report

function calls.wait(call)
  local deadline = cqueues.monotime() + call.seconds
  local holds = CONDITIONS[call.what]
  while not holds(call) do
    local left = deadline - cqueues.monotime()
    if left <= 0 then return { held = false } end
    -- Nobody speaks while a call is under way: readable means that the spec has gone.
    if cqueues.poll(changed, STDIN, left) == STDIN then os.exit(0) end
  end
  return { held = true }
end

local function listen()
  socket.setbufsiz(1, BLOCK)
  local listener = socket.listen { host = "127.0.0.1", port = 0, nodelay = true }
  listener:setbufsiz(1, BLOCK)
  assert(listener:listen())
  return listener, (select(3, listener:localname()))
end

local function main()
  local loop = cqueues.new()
  local context, certificate
  if options.tls then context, certificate = make_context(options.hosts or { "127.0.0.1", "localhost" }) end
  local listener, port = listen()

  function calls.hello()
    return { port = port, certificate = certificate }
  end

  loop:wrap(function()
    for peer in listener:clients() do
      accepted = accepted + 1
      local connection = { number = #connections + 1, requests = 0, socket = prepare(peer) }
      connections[connection.number] = connection
      update()
      cqueues.running():wrap(accept, connection, treatments[accepted] or "serve", context)
    end
  end)

  loop:wrap(function()
    while true do
      cqueues.poll(STDIN)
      local line = io.stdin:read("*l")
      if not line then os.exit(0) end
      local call, _, why = json.decode(line, 1, json.null)
      local reply, payload
      if not call then
        reply = { error = "no JSON: " .. tostring(why) }
      elseif not calls[call.op] then
        reply = { error = "unknown call " .. tostring(call.op) }
      else
        reply, payload = calls[call.op](call)
      end
      io.stdout:write(json.encode(reply), "\n", payload or "")
      io.stdout:flush()
    end
  end)

  assert(loop:loop())
end

main()
