-- One HTTP request and its answer, over HTTP/1.1 or HTTP/2. Reading and writing raise `exchange.over` when the client
-- has gone or a fault ended the exchange, so that handlers need no checks; `server` catches it. Nothing holds a whole
-- upload or download in memory.

local cqueues = require "cqueues"
local new_headers = require "http.headers".new
local h1_methods = require "http.h1_connection".methods
local h2_errors = require "http.h2_error".errors
local json = require "json"
local source = require "source"

local exchange = {}

local READ = 262144 -- bytes of a body taken at once
local PIECE = 16384 -- of an answer: what HTTP/2 frames hold by default
local WATCH = 0.1 -- seconds between looks at whether the client is still there
local TURN = 1048576 -- bytes read before others get their turn
local LINGER = 2 -- seconds that a closed connection goes on reading

-- A read of "up to n bytes" takes all that a fast sender has to give: half a gigabyte at once has been seen over TLS.
local read_body_by_length = h1_methods.read_body_by_length
function h1_methods:read_body_by_length(length, timeout)
  return read_body_by_length(self, math.max(length, -READ), timeout)
end

exchange.over = setmetatable({}, { __tostring = function() return "exchange is over" end })

local methods = {}
local mt = { __index = methods }

local function decode_url(s)
  return (s:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function parse_query(text)
  local query = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    query[decode_url(name:gsub("+", " "))] = decode_url(value:gsub("+", " "))
  end
  return query
end

--- Takes over a stream whose headers have come.
---@param stream table lua-http's
---@param headers table lua-http's
---@return table exchange
function exchange.new(stream, headers)
  local target = headers:get(":path") or "/"
  local path, query = target:match("^([^?]*)%??(.*)$")
  local self = setmetatable({
    stream = stream,
    connection = stream.connection,
    version = stream.connection.version == 2 and "2" or string.format("%.1f", stream.peer_version or 1.1),
    method = headers:get(":method"),
    path = decode_url(path),
    raw_query = query,
    query = parse_query(query),
    scheme = headers:get(":scheme") or "http",
    authority = headers:get(":authority") or "",
    headers = {},
    length = tonumber((headers:get("content-length"))), -- nil: not said
    received = 0, -- bytes of the body
    sent = 0, -- bytes of the answer's body
    status = nil, -- of the answer, once it is on its way
  }, mt)
  -- lua-http shuts the reading side of a connection that is to be closed as soon as the request has been read, and then
  -- nobody can see the client leave. Told nothing, it closes at the end as the answer says.
  if stream.close_when_done then
    self.closing = true
    self.blind = stream.state == "half closed (remote)" -- it has done so already
    if not self.blind then stream.close_when_done = nil end
  end
  for name, value in headers:each() do
    if name:sub(1, 1) ~= ":" then
      self.headers[name] = self.headers[name] and self.headers[name] .. ", " .. value or value
    end
  end
  return self
end

--- Ends the exchange from within a handler.
---@param outcome string what the record says of it
function methods:leave(outcome)
  self.outcome = self.outcome or outcome
  error(exchange.over, 0)
end

-- A client that left without reading what had come has reset the connection, which shows only to who reads; nobody does
-- while an HTTP/1 exchange waits. What comes of a next request stays in the socket's buffer.
local function look(socket)
  if not socket:fill(1, 0) then socket:clearerr("r") end
end

--- Ends the exchange when the client has gone.
function methods:check_alive()
  local socket = self.connection.socket
  if socket and self.version ~= "2" and not self.blind then look(socket) end
  if not socket or self.stream.state == "closed" or (socket:eof("r") and not self.blind) then self:gone() end
end

--- Waits; ends with the exchange when the client goes.
---@param seconds number
---@param condition? table cqueues condition that ends the wait at once
function methods:wait(seconds, condition)
  local deadline = cqueues.monotime() + seconds
  repeat
    self:check_alive()
    local left = deadline - cqueues.monotime()
    if left <= 0 then return end
    -- Both may have come; then the time is told first.
    local first, second = cqueues.poll(math.min(left, WATCH), condition)
  until condition and (first == condition or second == condition)
  self:check_alive()
end

--- Closes the connection at once, as a crash would. (Linux makes it a reset when there are bytes nobody has read.)
---@param outcome string
function methods:hang_up(outcome)
  local socket = self.connection.socket
  if socket then
    if self.version == "2" then
      socket:shutdown("rw")
    else
      self.connection:take_socket()
      cqueues.cancel(socket)
      socket:close()
    end
  end
  self:leave(outcome)
end

function methods:gone()
  self:leave("client gone")
end

--- To be called when the exchange is over. On HTTP/1 a body that was not read to its end closes the connection: first
--- this side of it, so that a client that is still sending gets to see the answer. (lua-http, left alone, would wait
--- for ever for a body that was cut.)
function methods:close()
  local state = self.stream.state
  if self.version == "2" or not self.connection.socket or (state ~= "open" and state ~= "half closed (local)") then
    return
  end
  local socket = self.connection:take_socket()
  socket:onerror(function(_, _, code) return code end)
  socket:shutdown("w")
  local deadline = cqueues.monotime() + LINGER
  repeat
    local left = deadline - cqueues.monotime()
  until left <= 0 or not socket:xread(-65536, nil, left)
  socket:close()
end

--- Ends an HTTP/2 stream with RST_STREAM; HTTP/1 knows no such thing and hangs up.
---@param outcome string
function methods:reset(outcome)
  if self.version ~= "2" then self:hang_up(outcome) end
  pcall(self.stream.rst_stream, self.stream, h2_errors.INTERNAL_ERROR:new({ message = outcome }), 1)
  self:leave(outcome)
end

-- On HTTP/2, waiting for a chunk or for flow control as lua-http does it spins when the connection ends, and over TLS
-- now and then sleeps although bytes have come (two coroutines poll one socket). So the waiting is done here: look for
-- input first, then poll, and look again soon in any case.

local function wait_for_frames(self, condition)
  if self.connection.socket:eof("r") or not self.connection:step(0) then self:gone() end
  if self.connection.had_eagain then cqueues.poll(condition, self.connection, WATCH) end
end

local function next_chunk(self)
  local stream = self.stream
  if self.version == "2" then
    while stream.chunk_fifo:length() == 0 do
      -- Where the last frame has data, its end is in the queue, too; a stream is closed without one when another
      -- coroutine has seen the connection end.
      if stream.rst_stream_error or stream.state == "closed" then self:gone() end
      if stream.state == "half closed (remote)" then return nil end
      wait_for_frames(self, stream.chunk_cond)
    end
  end
  local chunk, err = stream:get_next_chunk()
  if err then self:gone() end
  return chunk
end

local function wait_for_credit(self, n)
  local stream, connection = self.stream, self.connection
  while stream.peer_flow_credits < n or connection.peer_flow_credits < n do
    self:check_alive()
    local short = stream.peer_flow_credits < n and stream or connection
    wait_for_frames(self, short.peer_flow_credits_change)
  end
end

--- Reads the body to its end, piece by piece. A body that is cut leaves the exchange, after what came was handed on.
---@param take fun(bytes: string)
function methods:read_body(take)
  if self.body_read then return end
  if self.headers.expect and not self.continued then
    self.continued = true
    self.stream:write_continue()
  end
  local limit = self.fault and self.fault.after_request
  if limit == 0 then self.fault:strike(self) end
  local turn = 0
  while true do
    local chunk = next_chunk(self)
    if not chunk then break end
    turn = turn + #chunk
    if turn > TURN then -- a fast sender leaves no pause in which others would get theirs
      turn = 0
      cqueues.poll(0)
    end
    local struck = limit and self.received + #chunk >= limit
    if struck then chunk = chunk:sub(1, limit - self.received) end
    self.received = self.received + #chunk
    take(chunk)
    if struck then self.fault:strike(self) end
  end
  self.body_read = true
  if self.length and self.received < self.length then self:gone() end
end

local function write_piece(self, piece)
  if piece == "" then return end
  if self.version == "2" then wait_for_credit(self, #piece) end
  local ok, fine = pcall(self.stream.write_chunk, self.stream, piece, false)
  if not ok or not fine then self:gone() end
  self.sent = self.sent + #piece
end

--- Writes a part of the answer's body.
---@param bytes string
function methods:write(bytes)
  if self.method == "HEAD" then return end
  local fault = self.fault
  local limit = fault and fault.after_answer
  if limit and self.sent + #bytes >= limit then
    local head = bytes:sub(1, limit - self.sent)
    bytes = bytes:sub(#head + 1)
    for i = 1, #head, PIECE do write_piece(self, head:sub(i, i + PIECE - 1)) end
    fault:strike(self)
    fault = nil
  end
  local size = fault and fault.action == "drip" and fault.bytes or PIECE
  for i = 1, #bytes, size do
    if i > 1 and size < PIECE then self:wait(fault.pause) end
    write_piece(self, bytes:sub(i, i + size - 1))
  end
end

--- Sends status and headers of an answer whose body follows.
---@param status integer
---@param headers table
---@param last? boolean no body follows
function methods:open(status, headers, last)
  -- A client that is still sending would miss the answer.
  if not self.hasty then self:read_body(function() end) end
  if self.latency and self.latency > 0 then
    local seconds = self.latency
    self.latency = nil
    self:wait(seconds)
  end
  if self.fault and self.fault:strikes_at("done") then self.fault:strike(self) end
  local out = new_headers()
  -- lua-http writes numbers wrongly that just fill their place in HPACK. Fields that go into no table have none.
  local apart = self.version == "2"
  out:append(":status", string.format("%d", status), apart)
  local sorted = {}
  for name in pairs(headers) do sorted[#sorted + 1] = name end
  table.sort(sorted)
  for _, name in ipairs(sorted) do out:append(name:lower(), tostring(headers[name]), apart) end
  if not out:has("server") then out:append("server", "lgemini-emulator", apart) end
  -- With bytes of the body unread, the connection is of no more use.
  if self.version ~= "2" and (self.closing or self.received < (self.length or 0)) then
    out:upsert("connection", "close")
  end
  -- Otherwise a connection that is to be closed would end the body by closing, as a cut does.
  if self.version == "1.1" and not last and not out:has("content-length") then
    out:append("transfer-encoding", "chunked")
  end
  self.status = status
  local ok, fine = pcall(self.stream.write_headers, self.stream, out, last == true or self.method == "HEAD")
  if not ok or not fine then self:gone() end
end

--- Ends an answer that was opened.
function methods:finish()
  if self.method ~= "HEAD" then
    local ok, fine = pcall(self.stream.write_chunk, self.stream, "", true)
    if not ok or not fine then self:gone() end
  end
  self.outcome = self.outcome or "answered"
end

--- A whole answer.
---@param status integer
---@param headers table
---@param body? string
function methods:answer(status, headers, body)
  body = body or ""
  headers["content-length"] = string.format("%d", #body)
  if body == "" and self.method ~= "HEAD" then
    self:open(status, headers, true)
    self.outcome = self.outcome or "answered"
    return
  end
  self:open(status, headers)
  self:write(body)
  self:finish()
end

--- An answer of bytes that may be large: all of them, or from where the request's `range` begins.
---@param headers table gets more
---@param bytes table a `source`
function methods:answer_source(headers, bytes)
  local from = tonumber((self.headers.range or ""):match("^bytes=(%d+)%-$"))
  headers["accept-ranges"] = "bytes"
  if from and from >= bytes.size then
    bytes:close()
    headers["content-range"] = string.format("bytes */%d", bytes.size)
    return self:answer(416, headers)
  elseif from then
    headers["content-range"] = string.format("bytes %d-%d/%d", from, bytes.size - 1, bytes.size)
  end
  headers["content-length"] = string.format("%d", bytes.size - (from or 0))
  self:open(from and 206 or 200, headers)
  for offset = from or 0, bytes.size - 1, 262144 do self:write(bytes:read(offset, 262144)) end
  bytes:close()
  self:finish()
end

--- A whole JSON answer.
---@param value any
---@param headers? table more headers
function methods:answer_json(value, headers)
  headers = headers or {}
  headers["content-type"] = "application/json; charset=UTF-8"
  headers["vary"] = "Origin, X-Origin, Referer"
  self:answer(200, headers, json.encode(value))
end

--- The key that came with the request, or nil.
---@return string?
function methods:key()
  local key = self.headers["x-goog-api-key"] or self.query.key
  return key ~= "" and key or nil
end

--- Does the client run on this machine?
---@return boolean
function methods:is_local()
  local _, address = self.stream:peername()
  address = tostring(address)
  return address:find("^127%.") ~= nil or address == "::1" or address:find("^::ffff:127%.") ~= nil
end

--- A stand-in for the key that may be shown.
---@param secret string
---@return string
function exchange.fingerprint(secret)
  return "sha256:" .. source.sha256_of(secret):sub(1, 12)
end

return exchange
