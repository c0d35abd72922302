--- A scripted server on the loopback interface, for specs of the whole stack. It
-- runs in a process of its own (scripted_server.lua), since the client blocks in C.
--
--     local server = scripted.start()
--     server:script { { status = 200, body = { json = { ok = true } } } }
--     ... client calls server.url ...
--     local requests = server:received()
--     server:stop()
--
-- A script is a list of answers, given in the order in which requests begin, on whatever connection;
-- a request beyond its end gets a 500 and `unscripted` in its record. One answer:
--
--   status, reason, headers, body, framing, delay_ms    as in the conformance cases; headers may also be
--              a list of { name, value } (repeated ones, an order). A framing header that is given is not made.
--              body = { json = | bytes = | chunks = { ... }, delay_ms =, abort = | reset = }, with
--              { ["$gate"] = name } for a gate between chunks
--   framing    "length", "chunked", "close", or "raw": no framing header, body bytes as they are, closed after it
--   interim    a list of { status =, headers = } sent before it
--   answer     bytes sent in place of all of that
--   gate       a gate in front of the answer
--   read       bytes of the request body to read before the answer (default: all). The rest is read after it,
--              or never, where the answer is stalled or reset
--   drip       bytes per write, with drip_ms (1) after each
--   cut_at     the connection is closed properly after so many bytes of the answer: a number counted from the
--              status line, { body = n } counted from the body, or "end"
--   reset_at   the same with a reset (plain connections only). A byte of the request stays unread for it, so a body
--              is never complete there
--   stall_at   the same with silence, until the client closes or gate "stall" is released
--   keep       false: the connection is closed after the answer, without a word about it in the headers
--   upload     { active = answer, final = answer }: for all requests up to and with one that finalises an upload
--
-- Bytes are strings or byte expressions (bytes.lua). Every wait ends, after 30 s at the latest.
local json = require "dkjson"
local process = require "spec.support.process"

local scripted = {}
local methods = {}
local metatable = { __index = methods, __name = "spec.scripted" }

--- Starts a server.
---@param options table|nil tls (boolean); hosts: names in its self-signed certificate (127.0.0.1, localhost);
---  keep: bytes of each request body that `received` gives back (4 MiB); limit: seconds
---@return table server with `url`, `port`, and over TLS `ca_file`
function scripted.start(options)
  options = options or {}
  local interpreter = os.getenv("SCRIPTED_LUA") or "lua5.4"
  local self = setmetatable({}, metatable)
  self.process = process.start(("%s spec/support/scripted_server.lua %s"):format(
    process.quote(interpreter), process.quote(json.encode(options))))
  local hello = self.process:call { op = "hello" }
  self.port = hello.port
  self.url = (options.tls and "https" or "http") .. "://127.0.0.1:" .. hello.port
  if hello.certificate then
    self.directory = process.temporary_directory()
    self.ca_file = self.directory .. "/ca.pem"
    local file = assert(io.open(self.ca_file, "wb"))
    file:write(hello.certificate)
    file:close()
  end
  return self
end

local FIELDS = {}
for name in ([[status reason headers body framing delay_ms interim answer gate read drip drip_ms
  cut_at reset_at stall_at keep upload]]):gmatch("%S+") do
  FIELDS[name] = true
end

--- A new script. Forgets the requests received and the gates released so far; connections live on.
---@param entries table[] answers, see above
function methods:script(entries)
  for i, entry in ipairs(entries) do
    for name in pairs(entry) do
      if not FIELDS[name] then error(("answer %d has an unknown word: %s"):format(i, name), 2) end
    end
  end
  self.process:call { op = "script", entries = entries }
end

--- What becomes of the connections accepted from now on.
---@param treatments table for the first, the second, ...: "serve", "close", "reset" (when the first bytes have
---  come), "stall" (no word, until the peer closes), { say = bytes } (at once, then a stall); later ones are served
function methods:treat(treatments)
  self.process:call { op = "treat", treatments = treatments }
end

--- Opens a gate for good.
---@param gate string|number
function methods:release(gate)
  self.process:call { op = "release", gate = tostring(gate) }
end

--- The requests that have begun, in order. Each has: connection (its number), unscripted, request_line, method,
-- target, version, headers (a list of { name, value }), header (by lower-case name; a repeated one joined by ", "),
-- length (announced), chunked, body_bytes (that came), complete, sha256 (when complete), body (unless longer than
-- `keep`), answered (bytes of answer written), done (all that was to be written is).
---@return table[] exchanges
---@return table[] connections each with requests, closed ("peer", "server" or nil), tls_error
---@return string[] problems what went wrong on the server's side: a gate never released, nonsense received
function methods:received()
  local report, payload = self.process:call { op = "received" }
  local at = 1
  for _, exchange in ipairs(report.exchanges) do
    exchange.header = {}
    for _, header in ipairs(exchange.headers or {}) do
      local name = header[1]:lower()
      exchange.header[name] = exchange.header[name] and exchange.header[name] .. ", " .. header[2] or header[2]
    end
    if exchange.kept then
      exchange.body = payload:sub(at, at + exchange.kept - 1)
      at = at + exchange.kept
    end
  end
  return report.exchanges, report.connections, report.problems
end

--- Waits for a condition on the server's side.
---@param what string "connection" (n was accepted), "closed" (it, by the peer), "over" (by either), "head" (of request
---  n came), "request" (n came whole), "body" (`detail` bytes of n came), "answered" (n), "gate" (somebody stands at
---  gate n)
---@param n number|string
---@param detail number|nil
---@param seconds number|nil 10
---@return boolean held false when the time is over
function methods:wait(what, n, detail, seconds)
  local call = { op = "wait", what = what, n = n, bytes = detail, seconds = seconds or 10 }
  if what == "gate" then call.gate = tostring(n) end
  return (self.process:call(call)).held
end

--- Ends the server and waits until it is gone. Stopping twice is fine.
function methods:stop()
  self.process:stop()
  if self.directory then
    process.remove_directory(self.directory)
    self.directory = nil
  end
end

return scripted
