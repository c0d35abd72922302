-- A server for many requests: it says the same to all, and as little as it may. A stream gets one event and then
-- nothing, until its client leaves. HTTP/1.1 with kept connections, on a free port of the loopback interface.
--
-- One JSON call per line on its standard input: { "op": "hello" } -> { "port": n }, { "op": "state" } ->
-- { "requests": n, "connections": n that are open }. It ends with its input.
local cqueues = require "cqueues"
local json = require "dkjson"
local socket = require "cqueues.socket"

local EVENT = '{"candidates":[{%s"content":{"role":"model","parts":[{"text":"Once upon a time."}]}}],'
  .. '"usageMetadata":{"promptTokenCount":1,"totalTokenCount":5},"modelVersion":"gemini-3.5-flash"}'

local body = EVENT:format('"finishReason":"STOP",')
local ANSWER = ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body)
local event = ("data: %s\r\n\r\n"):format(EVENT:format(""))
local STREAM = ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n")
  :format(#event, event)

local requests, connections = 0, 0

local function serve(peer)
  peer:setmode("b", "bn")
  peer:onerror(function(_, _, code) return code end)
  connections = connections + 1
  local held = ""
  while true do
    local _, stop = held:find("\r\n\r\n", 1, true)
    local head = stop and held:sub(1, stop)
    local length = stop and tonumber(head:match("[Cc]ontent%-[Ll]ength: (%d+)")) or 0
    if stop and #held >= stop + length then
      requests = requests + 1
      held = held:sub(stop + length + 1)
      if not peer:xwrite(head:find("^POST [^ ]*:stream") and STREAM or ANSWER, "bn") then break end
    else
      local bytes = peer:xread(-65536, "b")
      if not bytes then break end
      held = held .. bytes
    end
  end
  connections = connections - 1
  peer:close()
end

local loop = cqueues.new()
local listener = socket.listen { host = "127.0.0.1", port = 0, nodelay = true }
assert(listener:listen())

loop:wrap(function()
  for peer in listener:clients() do cqueues.running():wrap(serve, peer) end
end)

loop:wrap(function()
  while true do
    cqueues.poll { pollfd = 0, events = "r" }
    local line = io.stdin:read("*l")
    if not line then os.exit(0) end
    local call = json.decode(line)
    local answer = call.op == "hello" and { port = (select(3, listener:localname())) }
      or { requests = requests, connections = connections }
    io.stdout:write(json.encode(answer), "\n")
    io.stdout:flush()
  end
end)

assert(loop:loop())
