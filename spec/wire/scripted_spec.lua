-- The scripted server itself, spoken to with plain sockets: what the other specs take on trust.
local errno = require "cqueues.errno"
local socket = require "cqueues.socket"
local bytes = require "spec.support.bytes"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local TIMEOUT = 10

local function connect(server)
  local client = socket.connect { host = "127.0.0.1", port = server.port, nodelay = true }
  client:setmode("b", "bn")
  client:onerror(function(_, _, code) return code end)
  assert(client:connect(TIMEOUT))
  return client
end

-- A server that closes early cuts this off; nil and the reason then.
local function send(client, data)
  return client:xwrite(data, "bn", TIMEOUT)
end

-- Exactly n bytes.
local function take(client, n)
  return (client:xread(n, "b", TIMEOUT))
end

-- All up to the end, and how it ended: "eof", "reset" or "timeout".
local function rest(client)
  local out = {}
  while true do
    local data, why = client:xread(1, "b", TIMEOUT) -- of a larger read that meets a reset the error is lost
    if not data then
      local names = { [errno.ECONNRESET] = "reset", [errno.ETIMEDOUT] = "timeout" }
      return table.concat(out), why == nil and "eof" or names[why] or errno.strerror(why)
    end
    out[#out + 1] = data
  end
end

-- Has nothing arrived?
local function silent(client)
  local data, why = client:xread(-1, "b", 0)
  client:clearerr()
  return data == nil and why == errno.ETIMEDOUT
end

local GET = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"

local function post(body, path)
  return ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"):format(path or "/p", #body) .. body
end

describe("the scripted server #plain", function()
  local server, clients

  local function client_of(data)
    local client = connect(server)
    clients[#clients + 1] = client
    if data then send(client, data) end
    return client
  end

  setup(function() server = scripted.start { limit = 5 } end)
  teardown(function() server:stop() end)
  before_each(function()
    clients = {}
    server:treat {}
  end)
  after_each(function()
    for _, client in ipairs(clients) do client:close() end
  end)

  it("answers in order on kept connections and records what came", function()
    server:script {
      { status = 200, headers = { ["x-a"] = "1" }, body = { bytes = "one" } },
      { status = 404, reason = "Lost", body = { json = { list = { 1, "ä" } } } },
    }
    local client = client_of(GET)
    local first = "HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 3\r\n\r\none"
    assert.equal(first, take(client, #first))
    local body = "\0\r\n\255" .. bytes.counter(1000)
    send(client, post(body))
    local second = 'HTTP/1.1 404 Lost\r\ncontent-length: 17\r\n\r\n{"list":[1,"ä"]}'
    assert.equal(second, take(client, #second))
    local exchanges, connections, problems = server:received()
    assert.equal(2, #exchanges)
    assert.equal("GET /a?b=c HTTP/1.1", exchanges[1].request_line)
    assert.same({ { "Host", "x" } }, exchanges[1].headers)
    assert.equal("/a?b=c", exchanges[1].target)
    assert.equal("", exchanges[1].body)
    assert.equal("POST", exchanges[2].method)
    assert.equal("1004", exchanges[2].header["content-length"])
    assert.equal(body, exchanges[2].body)
    assert.equal(bytes.sha256(body), exchanges[2].sha256)
    assert.equal(exchanges[1].connection, exchanges[2].connection)
    assert.equal(2, connections[exchanges[1].connection].requests)
    assert.is_true(exchanges[2].complete)
    assert.same({}, problems)
  end)

  it("keeps only as much of a body as it was told, and digests it all", function()
    local small = scripted.start { keep = 10 }
    small:script { { status = 200 }, { status = 200 } }
    local client = connect(small)
    send(client, post("0123456789"))
    assert.is_true(small:wait("answered", 1))
    send(client, post("0123456789a"))
    assert.is_true(small:wait("answered", 2))
    local exchanges = small:received()
    client:close()
    small:stop()
    assert.equal("0123456789", exchanges[1].body)
    assert.is_nil(exchanges[2].body)
    assert.equal(11, exchanges[2].body_bytes)
    assert.equal(bytes.sha256("0123456789a"), exchanges[2].sha256)
  end)

  it("reads chunked requests and says so", function()
    server:script { { status = 200 } }
    client_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n")
    assert.is_true(server:wait("answered", 1))
    local exchange = server:received()[1]
    assert.equal("abc0123456789abcdef", exchange.body)
    assert.is_true(exchange.chunked)
    assert.is_nil(exchange.length)
  end)

  it("refuses a request beyond the script, and marks it", function()
    server:script {}
    local client = client_of(GET)
    assert.equal("HTTP/1.1 500", take(client, 12))
    assert.is_true(server:received()[1].unscripted)
  end)

  it("forgets requests and gates with a new script", function()
    server:script { { gate = "g", status = 200 } }
    server:release("g")
    client_of(GET)
    assert.is_true(server:wait("answered", 1))
    server:script { { gate = "g", status = 200 } }
    assert.same({}, (server:received()))
    local client = client_of(GET)
    assert.is_true(server:wait("gate", "g"))
    assert.is_true(silent(client))
    server:release("g")
    assert.equal("HTTP/1.1 200", take(client, 12))
  end)

  it("holds a chunk back until its gate is released", function()
    local chunks = { "one", { ["$gate"] = 1 }, { ["$hex"] = "00ff" } }
    server:script { { status = 200, body = { chunks = chunks, delay_ms = 0 } } }
    local client = client_of(GET)
    local before = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    assert.equal(before, take(client, #before))
    assert.is_true(server:wait("gate", 1))
    assert.is_true(silent(client))
    server:release(1)
    local after = "2\r\n\0\255\r\n0\r\n\r\n"
    assert.equal(after, take(client, #after))
  end)

  it("reports a gate that nobody releases and a request that makes no sense", function()
    local impatient = scripted.start { limit = 0.05 }
    impatient:script { { status = 200, body = { chunks = { "a", { ["$gate"] = 7 }, "b" } } } }
    local client = connect(impatient)
    send(client, "WHAT\r\nno header here\r\n\r\n")
    local data, how = rest(client)
    local _, _, problems = impatient:received()
    client:close()
    impatient:stop()
    assert.equal("eof", how)
    assert.is_nil(data:find("b\r\n", 1, true))
    assert.matches("malformed request line: WHAT", problems[1 + 1])
    assert.matches("is no header: no header here", problems[1])
    assert.matches("gate 7 was not released", problems[3])
  end)

  it("frames by length, by chunks, by the end of the connection, or not at all", function()
    server:script {
      { status = 200, framing = "close", body = { chunks = { "a", "b" }, delay_ms = 0 } },
      { status = 200, framing = "raw", headers = { ["transfer-encoding"] = "chunked" }, body = { bytes = "5\r\nab" } },
      { status = 200, headers = { ["Content-Length"] = "9" }, body = { bytes = "ab" }, keep = false },
      { status = 200, headers = { { "X-B", "1" }, { "X-A", "2" }, { "X-B", "3" } }, keep = false },
    }
    assert.equal("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab", (rest(client_of(GET))))
    assert.equal("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", (rest(client_of(GET))))
    assert.equal("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", (rest(client_of(GET))))
    local answer, how = rest(client_of(GET))
    assert.equal("HTTP/1.1 200 OK\r\nX-B: 1\r\nX-A: 2\r\nX-B: 3\r\ncontent-length: 0\r\n\r\n", answer)
    assert.equal("eof", how)
  end)

  it("sends interim answers, or anything at all", function()
    server:script {
      { interim = { { status = 100 }, { status = 103, headers = { link = "x" } } }, status = 204, framing = "raw" },
      { answer = { ["$hex"] = "16030100" }, keep = false },
    }
    local early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    assert.equal(early .. "HTTP/1.1 204 No Content\r\n\r\n", (rest(client_of(GET))))
    assert.equal("\22\3\1\0", (rest(client_of(GET))))
  end)

  it("drips", function()
    server:script { { status = 200, body = { bytes = "abcdef" }, drip = 4, keep = false } }
    assert.equal("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef", (rest(client_of(GET))))
    assert.equal(44, server:received()[1].answered)
  end)

  local WHOLE = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef"
  local BEFORE = #WHOLE - 6
  local PLACES = { [0] = 0, [1] = 1, [9] = 9, [BEFORE] = BEFORE, [{ body = 2 }] = BEFORE + 2, ["end"] = #WHOLE }

  it("cuts an answer anywhere, properly", function()
    for place, length in pairs(PLACES) do
      server:script { { status = 200, body = { bytes = "abcdef" }, cut_at = place } }
      local answer, how = rest(client_of(post("hello")))
      assert.equal(WHOLE:sub(1, length), answer)
      assert.equal("eof", how)
    end
  end)

  it("resets a connection anywhere in an answer", function()
    for place, length in pairs(PLACES) do
      for _, request in ipairs { GET, post(""), post("x"), post(bytes.counter(300000)) } do
        server:script { { status = 200, body = { bytes = "abcdef" }, reset_at = place } }
        local answer, how = rest(client_of(request))
        assert.equal(WHOLE:sub(1, length), answer)
        assert.equal("reset", how)
      end
    end
  end)

  it("resets on a connection that has served large requests before", function()
    server:script { { status = 200 }, { status = 200, reset_at = 5 } }
    local client = client_of(post(bytes.counter(200000)))
    local first = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    assert.equal(first, take(client, #first))
    send(client, GET)
    local answer, how = rest(client)
    assert.equal("HTTP/", answer)
    assert.equal("reset", how)
  end)

  it("resets after so many bytes of a request", function()
    for _, count in ipairs { 0, 1, 1000, 200000 } do
      server:script { { status = 200, read = count, reset_at = 0 } }
      local client = client_of()
      local _, why = send(client, post(bytes.counter(300000)))
      local answer, how = rest(client)
      assert.equal("", answer)
      assert.is_true(how == "reset" or why == errno.ECONNRESET or why == errno.EPIPE)
      assert.equal(count, server:received()[1].body_bytes)
    end
  end)

  it("takes the words of the conformance cases for resets", function()
    server:script {
      { status = 200, body = { reset = true } },
      { status = 200, body = { chunks = { "abc" }, abort = true } },
    }
    assert.same({ "", "reset" }, { rest(client_of(GET)) })
    local head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert.same({ head .. "3\r\nabc\r\n", "reset" }, { rest(client_of(GET)) })
  end)

  it("stalls anywhere until the client goes", function()
    for place, length in pairs(PLACES) do
      server:script { { status = 200, body = { bytes = "abcdef" }, stall_at = place } }
      local client = client_of(GET)
      assert.is_true(server:wait("gate", "stall"))
      if length > 0 then assert.equal(WHOLE:sub(1, length), take(client, length)) end
      assert.is_true(silent(client))
      local number = server:received()[1].connection
      assert.is_false(server:wait("closed", number, nil, 0))
      client:close()
      assert.is_true(server:wait("closed", number))
    end
  end)

  it("ends a stall when told to", function()
    server:script { { status = 200, stall_at = 4 } }
    local client = client_of(GET)
    assert.is_true(server:wait("gate", "stall"))
    server:release("stall")
    assert.same({ "HTTP", "eof" }, { rest(client) })
  end)

  it("answers before it has read the body, and then reads it", function()
    server:script { { status = 413, read = 3 }, { status = 200 } }
    local request = post("0123456789")
    local client = client_of(request:sub(1, -7))
    local early = "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n"
    assert.equal(early, take(client, #early))
    assert.is_false(server:received()[1].complete)
    send(client, request:sub(-6) .. GET)
    assert.equal("HTTP/1.1 200", take(client, 12))
    assert.equal("0123456789", server:received()[1].body)
  end)

  it("leaves a body unread while it stalls", function()
    server:script { { status = 200, read = 3, stall_at = 0 } }
    local client = client_of(post("0123456789"))
    assert.is_true(server:wait("gate", "stall"))
    assert.equal(3, server:received()[1].body_bytes)
    client:close()
    server:release("stall")
    assert.is_true(server:wait("request", 1))
  end)

  it("treats new connections as it is told", function()
    server:script { { status = 200 } }
    server:treat { "close", "reset", "stall" }
    assert.same({ "", "eof" }, { rest(client_of()) })
    assert.same({ "", "reset" }, { rest(client_of(GET)) })
    local third = client_of(GET)
    local fourth = client_of(GET)
    assert.equal("HTTP/1.1 200", take(fourth, 12))
    assert.is_true(silent(third))
    assert.equal(1, #server:received())
    local _, connections = server:received()
    third:close()
    assert.is_true(server:wait("closed", #connections - 1))
    server:treat { { say = "220 hello\r\n" } }
    local fifth = client_of()
    assert.equal("220 hello\r\n", take(fifth, 11))
    assert.is_true(silent(fifth))
  end)

  it("answers an upload of any number of chunks", function()
    local entry = { upload = { active = { status = 200, headers = { ["x-s"] = "active" } }, final = { status = 201 } } }
    server:script { entry, { status = 204, framing = "raw" } }
    local client = client_of()
    for _, command in ipairs { "upload", "upload", "upload, finalize" } do
      send(client, ("POST / HTTP/1.1\r\nX-Goog-Upload-Command: %s\r\nContent-Length: 2\r\n\r\nab"):format(command))
    end
    send(client, GET)
    local answers = rest(client)
    local statuses = {}
    for status in answers:gmatch("HTTP/1.1 (%d+)") do statuses[#statuses + 1] = status end
    assert.same({ "200", "200", "201", "204" }, statuses)
  end)

  it("waits no longer than it was told", function()
    server:script {}
    assert.is_false(server:wait("head", 1, nil, 0.01))
    client_of("GET / HT")
    assert.is_false(server:wait("head", 1, nil, 0.01))
  end)

  it("sees bodies grow", function()
    server:script { { status = 200 } }
    local client = client_of(post("0123456789"):sub(1, -5))
    assert.is_true(server:wait("body", 1, 6))
    assert.is_false(server:wait("request", 1, nil, 0))
    send(client, "6789")
    assert.is_true(server:wait("request", 1))
  end)

  it("refuses words it does not know", function()
    assert.error_matches(function() server:script { { status = 200, stal_at = 1 } } end,
      "answer 1 has an unknown word: stal_at")
  end)

  it("speaks TLS with a certificate of its own, for the hosts it is told", function()
    for hosts, expected in pairs { [false] = "127.0.0.1", [{ "other.invalid" }] = "other.invalid" } do
      local secure = scripted.start { tls = true, hosts = hosts or nil }
      local file = assert(io.open(secure.ca_file, "rb"))
      local authority = require "openssl.x509".new(file:read("*a"))
      file:close()
      secure:script { { status = 200, keep = false } }
      local client = connect(secure)
      assert(client:starttls(nil, TIMEOUT))
      local shown = client:checktls():getPeerCertificate()
      send(client, GET)
      assert.equal("HTTP/1.1 200", take(client, 12))
      client:close()
      secure:stop()
      assert.equal(tostring(authority), tostring(shown))
      local names, alternatives = {}, shown:getSubjectAlt()
      local each = getmetatable(alternatives).__pairs -- which 5.1's pairs does not look at
      for _, name in each(alternatives) do names[name] = true end
      assert.is_true(names[expected])
      assert.equal("https://127.0.0.1:" .. secure.port, secure.url)
    end
  end)

  it("records a client that does not trust it", function()
    local secure = scripted.start { tls = true }
    local client = connect(secure)
    send(client, "this is no TLS at all")
    assert.is_true(secure:wait("closed", 1))
    local exchanges, connections = secure:received()
    client:close()
    secure:stop()
    assert.same({}, exchanges)
    assert.is_string(connections[1].tls_error)
  end)

  local function refused(port)
    local probe = socket.connect { host = "127.0.0.1", port = port }
    probe:onerror(function(_, _, code) return code end)
    local connected = probe:connect(TIMEOUT)
    probe:close()
    return not connected
  end

  it("is gone when it has been stopped", function()
    local other = scripted.start { tls = true }
    local ca_file = other.ca_file
    assert.is_false(refused(other.port))
    other:stop()
    other:stop()
    assert.is_true(refused(other.port))
    assert.is_nil(io.open(ca_file))
    assert.error_matches(function() other:script {} end, "has been stopped")
  end)

  it("does not outlive the process that started it", function()
    local code = "local s = require 'spec.support.scripted'.start()" ..
      " io.write(s.port, '\\n') io.stdout:flush() io.read() os.exit(0)"
    local environment = ("LUA_PATH=%s "):format(process.quote(package.path))
    local pipe = assert(io.popen(environment .. process.quote(process.interpreter()) .. " -e " .. process.quote(code) ..
      " </dev/null", "r"))
    local port = tonumber(pipe:read("*l"))
    pipe:close()
    local deadline = os.time() + TIMEOUT
    repeat
      local over = refused(port)
    until over or os.time() > deadline
    assert.is_true(refused(port))
  end)
end)
