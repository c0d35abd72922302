--- The process behind spec/support/proxy.lua. It takes one JSON call per line on its standard input, answers it on its
-- standard output, and ends with its input.
local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local json = require "dkjson"
local socket = require "cqueues.socket"

local options = json.decode(arg[1] or "{}")
local LIMIT = 30 -- seconds that anything here may wait for a peer
local KEEP = 65536
local BLOCK = 65536
local MAX_HEAD = 65536

local rules, requests = {}, {}
local changed = condition.new()

local function prepare(s)
  s:setmode("b", "bn")
  s:onerror(function(_, _, code) return code end)
  return s
end

local function record(kind, target)
  local request = { kind = kind, target = target, kept = {}, size = 0 }
  requests[#requests + 1] = request
  changed:signal()
  return request
end

local function over(request)
  request.closed = true
  changed:signal()
end

-- No word, until the client closes.
local function stall(client, request)
  repeat until not client:xread(-BLOCK, "b", LIMIT)
  over(request)
end

-- Exactly n bytes, or nil.
local function take(client, n)
  local data = n > 0 and client:xread(n, "b", LIMIT) or ""
  return data and #data == n and data or nil
end

-- Where a target leads, connected; nil where it leads nowhere.
local function reach(target)
  local host, port = target:match("^(.*):(%d+)$")
  local loopback = host == "127.0.0.1" or host == "localhost"
  port = (rules.names or {})[target] or (loopback and tonumber(port))
  if not port then return nil end
  local upstream = prepare(socket.connect { host = "127.0.0.1", port = port, nodelay = true })
  return upstream:connect(LIMIT) and upstream or nil
end

-- Tunnels ----------------------------------------------------------------------

local function pump(from, to, request)
  while true do
    local data = from:xread(-BLOCK, "b", LIMIT)
    if not data then break end
    if request and request.size < KEEP then
      request.kept[#request.kept + 1] = data
      request.size = request.size + #data
    end
    if not to:xwrite(data, "bn", LIMIT) then break end
  end
end

local function tunnel(client, upstream, request)
  local up, ended = true, condition.new()
  request.passed = true
  cqueues.running():wrap(function()
    pump(client, upstream, request)
    over(request)
    upstream:shutdown("rw")
    up = false
    ended:signal()
  end)
  pump(upstream, client)
  client:shutdown("rw")
  while up do ended:wait() end
  upstream:close()
end

-- HTTP -------------------------------------------------------------------------

local function receive_head(client, first)
  local head, tail = { first }, first
  while tail ~= "\r\n\r\n" do
    local c = take(client, 1)
    if not c or #head > MAX_HEAD then return nil end
    head[#head + 1] = c
    tail = (tail .. c):sub(-4)
  end
  return table.concat(head)
end

local function base64(text)
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for j = 3, 0, -1 do
      local six = math.floor(n / 64 ^ j) % 64
      out[#out + 1] = (j < 2 and not b or j < 1 and not c) and "=" or alphabet:sub(six + 1, six + 1)
    end
  end
  return table.concat(out)
end

local function refuse(client, status)
  local extra = status == 407 and "Proxy-Authenticate: Basic realm=\"proxy\"\r\n" or ""
  client:xwrite(("HTTP/1.1 %d Refused\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n"):format(status, extra),
    "bn", LIMIT)
end

-- One request to an http target; its connection ends with it.
local function forward(client, upstream, request, rest)
  local path = request.url:match("^http://[^/]+(.*)$")
  local lines = { ("%s %s HTTP/1.1"):format(request.method, path ~= "" and path or "/"), "Connection: close" }
  local length = 0
  for line in rest:gmatch("([^\r\n]+)") do
    local name, value = line:match("^([^:]+):%s*(.*)$")
    name = name and name:lower() or ""
    if name == "content-length" then length = tonumber(value) end
    if name ~= "connection" and not name:find("^proxy%-") then lines[#lines + 1] = line end
  end
  request.passed = true
  upstream:xwrite(table.concat(lines, "\r\n") .. "\r\n\r\n", "bn", LIMIT)
  while length > 0 do
    local data = client:xread(-math.min(length, BLOCK), "b", LIMIT)
    if not data then break end
    length = length - #data
    upstream:xwrite(data, "bn", LIMIT)
  end
  pump(upstream, client)
  upstream:close()
end

local function serve_http(client, first)
  local head = receive_head(client, first)
  if not head then return end
  local method, url, rest = head:match("^(%S+) (%S+) HTTP/1%.[01]\r\n(.*)$")
  local target = method == "CONNECT" and url or (url or ""):match("^http://([^/]+)")
  if not target then return refuse(client, 400) end
  if not target:find(":%d+$") then target = target .. ":80" end
  local request = record(method == "CONNECT" and "connect" or "http", target)
  request.head, request.method, request.url = head, method, url
  local given = head:match("\r\n[Pp]roxy%-[Aa]uthorization: Basic (%S+)\r\n")
  request.authorization = given
  if rules.treat == "stall" then return stall(client, request) end
  if rules.treat == "close" then return end
  if rules.user and given ~= base64(rules.user .. ":" .. rules.password) then return refuse(client, 407) end
  if rules.status then return refuse(client, rules.status) end
  local upstream = reach(target)
  if not upstream then return refuse(client, 502) end
  if method ~= "CONNECT" then return forward(client, upstream, request, rest) end
  client:xwrite("HTTP/1.1 200 Connected\r\n\r\n", "bn", LIMIT)
  tunnel(client, upstream, request)
end

-- SOCKS5 (RFC 1928, RFC 1929) --------------------------------------------------

-- The user and password where they are asked for; false where the client is to go.
local function greet(client)
  local n = take(client, 1)
  local offered = n and take(client, n:byte())
  local method = rules.user and "\2" or "\0"
  if not offered or not offered:find(method, 1, true) then
    client:xwrite("\5\255", "bn", LIMIT)
    return false
  end
  client:xwrite("\5" .. method, "bn", LIMIT)
  if not rules.user then return {} end
  if take(client, 1) ~= "\1" then return false end
  local user = take(client, take(client, 1):byte())
  local password = take(client, take(client, 1):byte())
  local right = user == rules.user and password == rules.password
  client:xwrite(right and "\1\0" or "\1\1", "bn", LIMIT)
  return right and { user = user, password = password }
end

local function socks_target(client)
  local head = take(client, 4)
  local form = head and head:sub(1, 3) == "\5\1\0" and head:byte(4)
  local host
  if form == 1 then
    host = table.concat({ take(client, 4):byte(1, 4) }, ".")
  elseif form == 3 then
    host = take(client, take(client, 1):byte())
  else
    return nil
  end
  local high, low = take(client, 2):byte(1, 2)
  return host .. ":" .. (high * 256 + low), form == 3
end

local function serve_socks(client)
  if rules.treat then
    local request = record("socks", "")
    return rules.treat == "stall" and stall(client, request)
  end
  local who = greet(client)
  if not who then return end
  local target, by_name = socks_target(client)
  if not target then return end
  local request = record("socks", target)
  request.by_name, request.user, request.password = by_name, who.user, who.password
  local upstream = not rules.reply and reach(target) or nil
  client:xwrite(("\5%s\0\1\0\0\0\0\0\0"):format(string.char(rules.reply or (upstream and 0 or 4))), "bn", LIMIT)
  if upstream then tunnel(client, upstream, request) end
end

-- Calls ------------------------------------------------------------------------

local calls = {}

function calls.set(call)
  rules, requests = call.rules, {}
  return {}
end

function calls.received()
  local list = setmetatable({}, { __jsontype = "array" })
  for i, request in ipairs(requests) do
    local copy = {}
    for name, value in pairs(request) do
      if name ~= "kept" then copy[name] = value end
    end
    copy.up = table.concat(request.kept):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    list[i] = copy
  end
  return { requests = list }
end

local STDIN = { pollfd = 0, events = "r" }

function calls.wait_closed(call)
  local deadline = cqueues.monotime() + call.seconds
  while not (requests[call.n] and requests[call.n].closed) do
    local left = deadline - cqueues.monotime()
    if left <= 0 then return { held = false } end
    -- Nobody speaks while a call is under way: readable means that the spec has gone.
    if cqueues.poll(changed, STDIN, left) == STDIN then os.exit(0) end
  end
  return { held = true }
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function make_context(files)
  local context = require("openssl.ssl.context").new("TLS", true)
  context:setCertificate(require("openssl.x509").new(read_file(files.cert)))
  context:setPrivateKey(require("openssl.pkey").new(read_file(files.key)))
  return context
end

local function serve(client, context)
  if context and not client:starttls(context, LIMIT) then
    client:close()
    return
  end
  local first = take(client, 1)
  if first == "\5" then
    serve_socks(client)
  elseif first then
    serve_http(client, first)
  end
  client:close()
end

local function main()
  local loop = cqueues.new()
  local context = options.tls and make_context(options.tls)
  local listener = socket.listen { host = "127.0.0.1", port = 0, nodelay = true }
  assert(listener:listen())
  local port = select(3, listener:localname())

  function calls.hello()
    return { port = port }
  end

  loop:wrap(function()
    for peer in listener:clients() do
      cqueues.running():wrap(serve, prepare(peer), context)
    end
  end)

  loop:wrap(function()
    while true do
      cqueues.poll(STDIN)
      local line = io.stdin:read("*l")
      if not line then os.exit(0) end
      local call = json.decode(line)
      io.stdout:write(json.encode(calls[call.op](call)), "\n")
      io.stdout:flush()
    end
  end)

  assert(loop:loop())
end

main()
