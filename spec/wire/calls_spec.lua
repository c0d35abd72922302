-- Calls over a scripted wire: what is counted and kept between their requests, what other servers get to see, and what
-- becomes of a call when a function of the program's, or an error, comes in between.
local collect = require "spec.support.collect"
local errors = require "lgemini.errors"
local gemini = require "lgemini"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local KEY = "key-of-the-calls-spec"
local MODEL = "gemini-3.5-flash"
local LONG = 20 -- seconds; the clock of what must end before it

local function json(value, changes)
  local answer = { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = value } }
  for name, item in pairs(changes or {}) do answer[name] = item end
  return answer
end

local function answer_with(text)
  return json { candidates = { { content = { role = "model", parts = { { text = text } } }, finishReason = "STOP" } } }
end

local function event(text)
  return ('data: {"candidates":[{"content":{"role":"model","parts":[{"text":"%s"}]}}]}\r\n\r\n'):format(text)
end

local function stream_of(chunks)
  return { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = chunks } }
end

local function refusal(code, message, gate)
  return json({ error = { code = code, message = message or "busy", status = "UNAVAILABLE" } },
    { status = code, gate = gate })
end

describe("a call", function()
  local server, client

  -- The answers to an upload: to its beginning, and to its end.
  local function started()
    return { status = 200,
      headers = { ["x-goog-upload-status"] = "active", ["x-goog-upload-url"] = server.url .. "/upload/1" } }
  end

  local function finished(file, gate)
    return json({ file = file }, { gate = gate,
      headers = { ["content-type"] = "application/json", ["x-goog-upload-status"] = "final" } })
  end

  local function received(bytes)
    return { status = 200,
      headers = { ["x-goog-upload-status"] = "active", ["x-goog-upload-size-received"] = ("%d"):format(bytes) } }
  end

  -- Each test has a server of its own: a request that was given up may reach it late, and would take the next one's
  -- answer.
  before_each(function() server = scripted.start() end)
  after_each(function()
    if client then client:close() end
    client = nil
    server:stop()
  end)

  -- A client of the server, and what the server will answer.
  local function begin(answers, http_options, options)
    server:script(answers)
    options = options or {}
    options.http_options = { base_url = server.url, retry_options = { initial_delay = 0, max_delay = 0 } }
    for name, value in pairs(http_options or {}) do options.http_options[name] = value end
    if options.api_key == nil then options.api_key = KEY end
    client = gemini.Client(options)
    return client
  end

  local function generate(contents, config)
    return client.models:generate_content { model = MODEL, contents = contents or "Hi", config = config }
  end

  local function open_stream(contents)
    return (client.models:generate_content_stream { model = MODEL, contents = contents or "Hi" })
  end

  local function assert_failed(kind, result, err)
    assert.is_nil(result)
    assert.is_true(errors.is(err))
    assert.equal(kind, err.kind, tostring(err))
    return err
  end

  -- What fn returns, which must not have needed the clock.
  local function in_time(fn)
    local began = client.core.now()
    local result, err = fn()
    assert.is_true(client.core.now() - began < LONG)
    return result, err
  end

  -- Goes on with the client's tasks until the server has seen it: see its `wait`.
  local function step_until(what, n)
    for _ = 1, 2000 do
      if server:wait(what, n, nil, 0) then return end
      client.loop:turn(0.01)
    end
    error(("never came: %s %s"):format(what, n))
  end

  -- No string in an error, however deep, may hold the secret.
  local function assert_hides(secret, value, seen)
    seen = seen or {}
    if type(value) == "string" then
      assert.is_nil(value:find(secret, 1, true), value)
    elseif type(value) == "table" and not seen[value] then
      seen[value] = true
      for name, item in pairs(value) do
        assert_hides(secret, name, seen)
        assert_hides(secret, item, seen)
      end
    end
  end

  describe("that is refused while its answer was to be read as it comes", function()
    local page = ("<p>no</p>"):rep(120000) -- a megabyte

    it("does not wait for the room that the rest of a long refusal needs", function()
      begin({ { status = 503, body = { bytes = page } } }, { retry_options = false, timeout = LONG })
      local err = assert_failed("unavailable", in_time(function() return open_stream():next() end))
      assert.equal(503, err.code)
      assert.equal(1, err.attempts)
    end)

    it("does not wait for the end of one that never ends", function()
      begin({ { status = 403, body = { chunks = { page, { ["$gate"] = "never" } } } } }, { timeout = LONG })
      assert_failed("permission", in_time(function() return client.files:download "files/x" end))
      assert.is_true(server:wait("closed", server:received()[1].connection))
    end)

    it("takes what came of one that breaks off", function()
      begin { { status = 404, body = { bytes = '{"error":{"code":404,"message":"gone for good"}}' },
        cut_at = { body = 40 } } }
      local err = assert_failed("not_found", open_stream():next())
      assert.matches("gone", err.message)
    end)
  end)

  describe("that is tried again", function()
    it("counts the tries of each of its requests by themselves, those at the same time, too", function()
      local answers = {}
      for i = 1, 2 do answers[i] = json { name = "files/x", uri = "u", mimeType = "a/b", state = "PROCESSING" } end
      for round = 1, 3 do
        for _ = 1, 2 do answers[#answers + 1] = refusal(503, "busy", "round " .. round) end
      end
      for i = 9, 10 do answers[i] = json { name = "files/x", state = "ACTIVE" } end
      answers[11] = answer_with "both"
      begin(answers)
      local files = { assert(client.files:get "files/x"), assert(client.files:get "files/x") }
      local task = client.tasks:spawn(generate, files)
      for round = 1, 3 do -- both have failed so often
        step_until("head", 2 + 2 * round)
        server:release("round " .. round)
      end
      assert.equal("both", assert(task:wait()).text)
    end)

    it("says how often it was sent, where its answer makes no sense, too", function()
      begin { refusal(503), { status = 200, body = { bytes = "nonsense" } } }
      assert.equal(2, assert_failed("protocol", generate()).attempts)
    end)

    it("does not count redirects as tries", function()
      local function redirect() return { status = 302, headers = { location = "/elsewhere" } } end
      begin({ redirect(), redirect(), redirect(), refusal(503), { status = 200, body = { bytes = "whole" } } },
        { retry_options = { attempts = 2, initial_delay = 0, max_delay = 0 } })
      assert.equal("whole", client.files:download "files/x")
    end)

    it("counts an upload's tries anew whenever the server has got further", function()
      local size, answers = 3000, { started() }
      for i = 1, 5 do -- more breaks than there are tries
        answers[#answers + 1] = { status = 503 }
        answers[#answers + 1] = received(500 * i)
      end
      answers[#answers + 1] = finished { name = "files/x", uri = "u", state = "ACTIVE" }
      begin(answers)
      assert.equal("files/x", assert(client.files:upload { data = ("x"):rep(size),
        config = { mime_type = "text/plain" } }).name)
      local exchanges = server:received()
      assert.equal(500, exchanges[#exchanges].body_bytes)
    end)

    it("gives up an upload that gets no further", function()
      local answers = { started() }
      for _ = 1, 4 do
        answers[#answers + 1] = { status = 503 }
        answers[#answers + 1] = received(500)
      end
      begin(answers)
      local err = assert_failed("unavailable", client.files:upload { data = ("x"):rep(3000),
        config = { mime_type = "text/plain" } })
      assert.equal(4, err.attempts)
    end)
  end)

  it("takes nothing but digits for what the server has of an upload", function()
    for _, count in ipairs { "0x1f4", "5e2", "500.0", "-0", "1.", ("9"):rep(40) } do
      local answer = received(0)
      answer.headers["x-goog-upload-size-received"] = count
      begin { started(), { status = 503 }, answer }
      local err = assert_failed("protocol", client.files:upload { data = ("x"):rep(3000),
        config = { mime_type = "text/plain" } })
      assert.equal("the server does not say how many bytes it has", err.message)
      assert.equal(3, #server:received())
      client:close()
    end
  end)

  describe("that waits for a file", function()
    it("looks once more at the end, however short the time", function()
      begin { json { name = "files/x", state = "PROCESSING" }, json { name = "files/x", state = "ACTIVE" } }
      assert.equal("ACTIVE", assert(client.files:wait { name = "files/x", timeout = 0.01 }).state)
    end)

    it("says that the server did not name it", function()
      for _, state in ipairs { "PROCESSING", "ACTIVE" } do
        begin { started(), finished { state = state } }
        assert_failed("protocol", client.files:upload { data = "x", config = { mime_type = "text/plain" } })
        client:close()
      end
    end)

    it("asks for it by the name that the program gave it, where the server does not say it", function()
      begin { started(), finished { state = "PROCESSING" }, json { name = "files/mine", state = "ACTIVE" } }
      local file = assert(client.files:upload { data = "x", config = { mime_type = "text/plain", name = "mine" } })
      assert.equal("files/mine", file.name)
      assert.equal("/v1beta/files/mine", server:received()[3].target)
    end)

    it("says so of one that has no name while it is processed, too", function()
      begin { json { state = "PROCESSING" } }
      assert_failed("protocol", client.files:wait { name = "files/x" })
    end)
  end)

  it("that lists ends where the server gives the same page for ever", function()
    begin { json { nextPageToken = "next" }, json { nextPageToken = "next" }, json { nextPageToken = "next" } }
    local ok, err = pcall(function() for _ in client.files:list {} do end end) -- luacheck: ignore 542
    assert.is_false(ok)
    assert.equal("protocol", err.kind)
  end)

  describe("shows no secret:", function()
    it("another server gets neither key nor headers of the program's", function()
      local other = scripted.start()
      other:script { { status = 307, headers = { location = "/signed?x=2" } },
        { status = 200, body = { bytes = "whole" } } }
      begin({ { status = 302, headers = { location = other.url .. "/signed?x=1" } } },
        { headers = { Authorization = "Bearer word", ["X-Mine"] = "1", Cookie = "a=b" } })
      assert.equal("whole", client.files:download "files/x")
      local first, others = server:received()[1].header, other:received()
      other:stop()
      assert.equal(KEY, first["x-goog-api-key"])
      assert.equal("Bearer word", first.authorization)
      assert.equal(2, #others)
      for _, exchange in ipairs(others) do
        for _, name in ipairs { "x-goog-api-key", "authorization", "x-mine", "cookie" } do
          assert.is_nil(exchange.header[name], name)
        end
      end
    end)

    it("not where a redirect leads", function()
      begin { { status = 302, headers = { location = "/signed?sig=hidden" } },
        { status = 400, body = { bytes = "/signed?sig=hidden is too old" } } }
      assert_hides("hidden", assert_failed("invalid", client.files:download "files/x"))
    end)

    it("a redirect does not lead to another machine in plain text, however it is written", function()
      for _, location in ipairs { "http://evil.invalid/x", "http://127.0.0.1:1@evil.invalid/x", "HTTP://evil.invalid/",
        "http://[::1]@evil.invalid/", "ftp://127.0.0.1/x", "file:///etc/passwd" } do
        begin { { status = 302, headers = { location = location } } }
        assert_failed("protocol", client.files:download "files/x")
        client:close()
      end
    end)

    it("not what the program put into headers, where a server says it back", function()
      begin({ refusal(400, "bad token word-of-mine, bad id another, bad key " .. KEY) },
        { headers = { Authorization = "Bearer word-of-mine", Cookie = "another" } })
      local err = assert_failed("invalid", generate())
      for _, secret in ipairs { "word-of-mine", "another", KEY } do assert_hides(secret, err) end
      client:close()
      begin({ refusal(400, "a bad cookie") }, { headers = { Authorization = "Bearer bad", Cookie = "a" } })
      assert.equal("a bad cookie", assert_failed("invalid", generate()).message)
    end)

    it("not the path of an upload, where a server says that it is not there", function()
      local first = { status = 200, headers = { ["x-goog-upload-status"] = "active",
        ["x-goog-upload-url"] = "http://elsewhere/upload/hidden-path?session=hidden-session" } }
      local lost = { status = 404, body = { bytes = "The requested URL /upload/hidden-path?session=hidden-session was "
        .. "not found on this server." } }
      begin { first, lost, first, lost }
      local err = assert_failed("not_found", client.files:upload { data = "x", config = { mime_type = "text/plain" } })
      assert_hides("hidden", err)
      assert_hides("hidden", tostring(err))
    end)

    it("not who logs in to a proxy", function()
      begin({}, { base_url = "https://nonexistent.invalid", proxy = "htp://user:hidden@localhost:1",
        retry_options = false })
      local _, err = generate()
      assert_hides("hidden", err)
      assert_hides("hidden", tostring(err))
    end)

    it("not a half of the key in a piece of an event that makes no sense", function()
      local odd = "x" .. ("-"):rep(99 - 12) .. KEY -- its first 100 bytes end within the key
      begin({ stream_of { "data: " .. odd .. "\n\n" } }, { retry_options = false })
      local err = assert_failed("protocol", open_stream():next())
      assert_hides(KEY:sub(1, 6), err)
    end)
  end)

  it("replaces a header of the client's, in whatever case it is written", function()
    begin({ answer_with "x" }, { headers = { ["X-Mine"] = "client's" } })
    assert(generate(nil, { http_options = { headers = { ["x-mine"] = "call's" } } }))
    assert.equal("call's", server:received()[1].header["x-mine"])
  end)

  describe("with a function of the program's", function()
    it("that closes the client when the key is asked for, ends as closed", function()
      local asked = 0
      begin({}, nil, { api_key = function()
        asked = asked + 1
        client:close()
        return KEY
      end })
      assert_failed("closed", generate())
      assert_failed("closed", open_stream():next())
      assert.equal(1, asked)
    end)

    it("that raises when the key is asked for, ends as auth", function()
      begin({}, nil, { api_key = function() error("the vault is shut", 0) end })
      assert.matches("the vault is shut", assert_failed("auth", generate()).message)
      assert.matches("the vault is shut", assert_failed("auth", open_stream():next()).message)
    end)

    it("that raises when a file is to be read, ends as invalid: nothing is read", function()
      begin({}, nil, { local_files = function() error("no such policy", 0) end })
      local err = assert_failed("invalid", generate { "Look", { file = "spec/fixtures/slide.png" } })
      assert.matches("no such policy", err.message)
    end)

    it("that gives a path with a NUL in it, ends as invalid", function()
      begin({}, nil, { local_files = function() return "spec/fixtures/slide.png\0.txt" end })
      assert_failed("invalid", generate { "Look", { file = "spec/fixtures/slide.png" } })
    end)

    local function processing()
      return started(), finished { name = "files/x", uri = "u", state = "PROCESSING" }
    end

    local function ended(result, err)
      assert.is_nil(result)
      assert.is_true(err.kind == "cancelled" or err.kind == "closed", tostring(err))
    end

    it("that closes the client when it hears of progress, ends as cancelled or closed", function()
      begin { processing() }
      ended(client.files:upload { data = "x", config = { mime_type = "text/plain" },
        on_progress = function() client:close() end })
    end)

    it("that closes the client when it hears of progress in a task, ends as cancelled or closed, too", function()
      begin { processing() }
      ended(client.models:generate_content { model = MODEL, on_progress = function() client:close() end,
        contents = { { data = "x", mime_type = "text/plain", via = "upload" } } })
    end)

    it("that closes the stream when it hears of progress, ends as closed, and asks nothing", function()
      begin { started(), finished { name = "files/x", uri = "u", state = "ACTIVE" } }
      local stream
      stream = client.models:generate_content_stream { model = MODEL, on_progress = function() stream:close() end,
        contents = { { data = "x", mime_type = "text/plain", via = "upload" } } }
      assert_failed("closed", stream:next())
      assert.equal(2, #server:received())
    end)

    it("that reads, and asks the client something meanwhile, goes on", function()
      begin { started(),
        finished({ name = "files/x", uri = "u", state = "ACTIVE" }, "end"),
        json { name = "models/m" } }
      local file = assert(client.files:upload { size = 3, config = { mime_type = "text/plain" }, read = function()
        assert.is_true(server:wait("head", 2))
        assert(client.models:get "m")
        server:release "end"
        return "abc"
      end })
      assert.equal("files/x", file.name)
      assert.equal("abc", server:received()[2].body)
    end)

    it("that reads without a size, and whose server ends early, is told so", function()
      begin { started(), finished { name = "files/x", uri = "u", state = "ACTIVE" } }
      local err = assert_failed("protocol", client.files:upload { config = { mime_type = "text/plain" },
        chunk_size = 3, read = function(_, n) return ("x"):rep(n) end })
      assert.matches("before all bytes were sent", err.message)
    end)

    it("that reads, and comes too late, is told what the server said", function()
      begin { started(),
        { status = 400, read = 0, gate = "asked", headers = { ["x-goog-upload-status"] = "final" },
          body = { chunks = { '{"error":{"code":400,', { ["$gate"] = "rest" }, '"message":"no more of this"}}' } } },
        json { name = "models/m" }, json { name = "models/m" } }
      local err = assert_failed("invalid", client.files:upload { size = 3, config = { mime_type = "text/plain" },
        read = function()
          assert.is_true(server:wait("gate", "asked")) -- an answer that comes before would leave nothing to ask for
          server:release "asked"
          assert.is_true(server:wait("gate", "rest"))
          for _ = 1, 2 do assert(client.models:get "m") end
          server:release "rest"
          return "abc"
        end })
      assert.matches("no more of this", err.message)
    end)
  end)

  describe("that an error is thrown through (Ctrl-C)", function()
    -- Calls fn, which is to wait. An error is thrown as soon as the loop is stepped and the server has got so many
    -- requests.
    local function interrupted(fn, requests)
      local loop = require "lgemini.loop"
      local steps = { [loop.turn] = true, [loop.begin] = true }
      local jit = rawget(_G, "jit")
      if jit then jit.flush() end -- compiled code runs no hook
      debug.sethook(function()
        if steps[debug.getinfo(2, "f").func] and (not requests or server:wait("head", requests, nil, 0)) then
          debug.sethook()
          error("interrupted!", 0)
        end
      end, "l")
      local ok, problem = pcall(fn)
      debug.sethook()
      assert.is_false(ok)
      assert.equal("interrupted!", problem)
    end

    it("closes its connection at once, though the stream is still held; then it says that it is closed", function()
      begin { stream_of { event "one", { ["$gate"] = "never" } } }
      local stream = open_stream()
      assert.equal("one", assert(stream:next()).text)
      interrupted(function() return stream:next() end)
      assert.is_true(server:wait("closed", server:received()[1].connection))
      assert_failed("closed", stream:next())
      assert.equal("one", stream.response.text)
    end)

    it("leaves nothing behind", function()
      begin { answer_with "two" }
      interrupted(generate)
      assert.equal(0, client.core.alive().exchange)
      collectgarbage "stop" -- it is let go of, and need not be found
      interrupted(open_stream)
      local left = client.core.alive().exchange
      collectgarbage "restart"
      assert.equal(0, left)
      assert.equal("two", assert(generate()).text)
    end)

    it("ends all uploads that are under way for it", function()
      begin { { gate = "never", status = 200 }, { gate = "never", status = 200 }, started(),
        finished { name = "files/x", uri = "u", state = "PROCESSING" } }
      local contents = {}
      for i = 1, 3 do contents[i] = { data = "x" .. i, mime_type = "text/plain", via = "upload" } end
      interrupted(function() return generate(contents) end, 4)
      assert.equal(0, client.core.alive().exchange)
    end)
  end)

  it("whose uploads fail ends at once: the others are not waited for", function()
    begin({ refusal(400, "no more of these", "both"), { gate = "never", status = 200 } }, { timeout = LONG })
    local contents = {}
    for i = 1, 2 do contents[i] = { data = "x" .. i, mime_type = "text/plain", via = "upload" } end
    local task = client.tasks:spawn(generate, contents)
    step_until("head", 2)
    server:release "both"
    local err = assert_failed("invalid", in_time(function() return task:wait() end))
    assert.equal("no more of these", err.message)
    assert.equal(0, client.core.alive().exchange)
  end)

  describe("that streams", function()
    it("ends for who waits for it in a task when somebody else closes it", function()
      begin({ stream_of { event "one", { ["$gate"] = "never" } } }, { timeout = LONG })
      local stream = open_stream()
      assert(stream:next())
      local task = client.tasks:spawn(function() return stream:next() end)
      client.loop:turn(0)
      stream:close()
      assert_failed("closed", task:wait())
    end)

    it("ends for who waits for its head, too", function()
      begin({ { gate = "never", status = 200 } }, { timeout = LONG })
      local stream = open_stream()
      local task = client.tasks:spawn(function() return stream:next() end)
      client.loop:turn(0)
      stream:close()
      assert_failed("closed", task:wait())
    end)

    it("ends for who waits for the rest of a refusal, too", function()
      begin({ { status = 403, body = { chunks = { "no", { ["$gate"] = "the rest" } } } } }, { timeout = LONG })
      local stream = open_stream()
      local task = client.tasks:spawn(function() return stream:next() end)
      step_until("gate", "the rest")
      for _ = 1, 10 do client.loop:turn(0.01) end
      stream:close()
      assert_failed("closed", task:wait())
    end)

    it("holds nothing of its request once it has ended, well or not", function()
      local stop = 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'
      begin { stream_of { event "one", stop }, stream_of { event "one" } }
      for _ = 1, 2 do
        local stream = open_stream { "Look", { data = "bytes", mime_type = "image/png" } }
        repeat until not stream:next()
        collect()
        assert.equal(0, client.core.alive().body)
        assert.equal("one", stream.response.text)
      end
    end)

    it("says in each failure how often it was sent, and what the server asks for", function()
      local busy = '{"error":{"code":429,"message":"slow","details":[{"retryDelay":"7s",'
        .. '"@type":"type.googleapis.com/google.rpc.RetryInfo"}]}}'
      for kind, answer in pairs {
        incomplete = stream_of { event "one", "data: " .. busy .. "\n\n" },
        protocol = { status = 200, headers = { ["content-type"] = "text/html" }, body = { bytes = "<p>login" } },
      } do
        begin { refusal(503), answer }
        local stream = open_stream()
        if kind == "incomplete" then assert(stream:next()) end
        local err = assert_failed(kind, stream:next())
        assert.equal(2, err.attempts)
        assert.equal(kind == "incomplete" and 7 or nil, err.retry_after)
        client:close()
      end
      begin { refusal(503), stream_of { event "one" } }
      local stream = open_stream()
      assert(stream:next())
      assert.equal(2, assert_failed("incomplete", stream:next()).attempts)
    end)

    it("fails as its uploads do, and asks nothing", function()
      begin { refusal(400, "no more of these") }
      assert_failed("invalid", open_stream { { data = "x", mime_type = "text/plain", via = "upload" } }:next())
      assert.equal(1, #server:received())
    end)

    it("wants a colon", function()
      begin {}
      local stream = open_stream()
      for _, name in ipairs { "next", "each", "texts", "close" } do
        local ok, message = pcall(stream[name])
        assert.is_false(ok)
        assert.is_truthy(message:find("stream:" .. name, 1, true), message)
        assert.is_truthy(message:find("calls_spec.lua", 1, true), message)
      end
      stream:close()
      assert.has_error(client.files:list({}).next_page)
    end)
  end)

  describe("that downloads", function()
    local directory

    setup(function() directory = process.temporary_directory() end)
    teardown(function() process.remove_directory(directory) end)

    local function names()
      local pipe, list = assert(io.popen("ls -A " .. process.quote(directory))), {}
      for name in pipe:lines() do list[#list + 1] = name end
      pipe:close()
      return list
    end

    local function write(name, text)
      local file = assert(io.open(directory .. "/" .. name, "wb"))
      file:write(text)
      file:close()
    end

    it("holds no more in memory than max_answer", function()
      local bytes = ("x"):rep(300000)
      begin({ { status = 200, body = { bytes = bytes } }, { status = 200, body = { bytes = bytes } } }, nil,
        { limits = { max_answer = 299999 } })
      local err = assert_failed("limit", client.files:download "files/x")
      assert.matches("max_answer", err.message)
      assert.matches("to = path", err.hint, 1, true)
      client:close()
      begin({ { status = 200, body = { bytes = bytes } } }, nil, { limits = { max_answer = 300000 } })
      assert.equal(bytes, client.files:download "files/x")
    end)

    it("counts anew what it holds when it begins again", function()
      local bytes = ("x"):rep(300000)
      begin({ { status = 200, body = { bytes = bytes }, cut_at = { body = 200000 } },
        { status = 200, body = { bytes = bytes } } }, nil, { limits = { max_answer = 300000 } })
      assert.equal(bytes, client.files:download "files/x")
    end)

    it("asks for what is missing after a break, of the same content", function()
      begin { { status = 200, headers = { etag = '"v1"' }, body = { bytes = "whole" }, cut_at = { body = 3 } },
        { status = 206, headers = { ["content-range"] = "bytes 3-4/5" }, body = { bytes = "le" } } }
      assert.equal("whole", client.files:download "files/x")
      local asked = server:received()
      assert.is_nil(asked[1].header.range)
      assert.equal("bytes=3-", asked[2].header.range)
      assert.equal('"v1"', asked[2].header["if-range"])
    end)

    it("begins again where the server has something else, or nothing there", function()
      local broken = { status = 200, headers = { etag = 'W/"v1"' }, body = { bytes = "whole" }, cut_at = { body = 3 } }
      begin { broken, { status = 200, body = { bytes = "other" } } }
      assert.equal("other", client.files:download "files/x")
      assert.is_nil(server:received()[2].header["if-range"]) -- a weak one says nothing of bytes
      begin { broken, { status = 416 }, { status = 200, body = { bytes = "newer" } } }
      assert.equal("newer", client.files:download "files/x")
      assert.is_nil(server:received()[3].header.range)
    end)

    it("takes no other bytes for those that are missing", function()
      for _, range in ipairs { "bytes 2-4/5", "bytes 3-4/6", "bytes 3-4/*", "" } do
        begin { { status = 200, body = { bytes = "whole" }, cut_at = { body = 3 } },
          { status = 206, headers = { ["content-range"] = range }, body = { bytes = "le" } } }
        assert_failed("protocol", client.files:download "files/x")
      end
    end)

    it("touches no file but the one it is told, and its own", function()
      write("x.part", "mine")
      begin { { status = 200, body = { bytes = "whole" } } }
      assert.equal(directory .. "/x", client.files:download { file = "files/x", to = directory .. "/x" })
      assert.same({ "x", "x.part" }, names())
      os.remove(directory .. "/x")
    end)

    it("leaves what is there under the name when it fails", function()
      write("x", "old")
      begin({ { status = 200, body = { bytes = "new bytes" }, cut_at = { body = 3 } } }, { retry_options = false })
      assert_failed("incomplete", client.files:download { file = "files/x", to = directory .. "/x" })
      assert.same({ "x", "x.part" }, names())
      local file = assert(io.open(directory .. "/x", "rb"))
      assert.equal("old", file:read "*a")
      file:close()
    end)

    it("takes no path with a NUL in it", function()
      begin {}
      assert_failed("invalid", client.files:download { file = "files/x", to = directory .. "/y\0z" })
    end)

    it("says when its file cannot be begun again", function()
      local gone = directory .. "/gone"
      assert(os.execute("mkdir " .. process.quote(gone)))
      begin { { status = 200, body = { bytes = "new bytes" }, cut_at = { body = 3 } },
        { status = 200, body = { bytes = "new bytes" } } }
      client.random = function() -- asked for the name, then before the second try
        if #server:received() > 0 then os.execute("rm -rf " .. process.quote(gone)) end
        return 0
      end
      assert_failed("io", client.files:download { file = "files/x", to = gone .. "/x" })
    end)
  end)

  it("tells how its answer came, when the client is closed, too, and holds nothing of its request for it", function()
    local function told(response)
      collect()
      assert.equal(0, client.core.alive().body)
      assert.equal(0, client.core.alive().exchange)
      client:close()
      local transport = response.transport
      assert.equal("id of [redacted]", transport.request_id)
      assert.same({ 2, 1.1, true }, { transport.attempts, transport.http_version, transport.bytes_received > 0 })
      assert.equal(transport, response.transport)
    end
    local media = { "Look", { data = "bytes", mime_type = "image/png" } }
    local function headed(answer)
      answer.headers["x-goog-request-id"] = "id of " .. KEY
      return answer
    end
    begin { refusal(503), headed(answer_with "one") }
    told(assert(generate(media)))
    begin { refusal(503), headed(stream_of { event "one", 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n' }) }
    local stream = open_stream(media)
    assert.is_nil(stream.response.transport)
    repeat until not stream:next()
    local response = stream.response
    stream = nil -- luacheck: ignore 311
    told(response)
  end)

  it("leaves a route for each way of asking models, whichever is asked last, until the client is closed", function()
    local stop = 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'
    local answers = {}
    for i = 1, 12 do answers[i] = i % 2 == 1 and answer_with "one" or stream_of { event "one", stop } end
    begin(answers)
    collect()
    collectgarbage "stop" -- it is not the collector that closes them
    for _, model in ipairs { "a", "b", "a", { name = "models/b" }, { name = "models/b" }, "b" } do
      assert(client.models:generate_content { model = model, contents = "Hi" })
      local stream = client.models:generate_content_stream { model = model, contents = "Hi" }
      repeat until not stream:next()
      assert.is_true(client.core.alive().route <= 2)
    end
    server:script { refusal(503), stream_of { event "one", stop }, stream_of { event "one", stop } }
    local refused = client.models:generate_content_stream { model = "a", contents = "Hi" }
    assert(client.models:generate_content_stream { model = "b", contents = "Hi" }:next())
    assert.equal("one", assert(refused:next()).text) -- tried again, after another has taken its place
    assert.is_true(client.core.alive().route <= 2)
    client:close()
    assert.equal(0, client.core.alive().route)
    collectgarbage "restart"
    local asked = {}
    for i, request in ipairs(server:received()) do asked[i] = request.request_line:match "models/(%w):" end
    assert.equal("aba", table.concat(asked))
  end)

  it("that would not fit after its uploads is refused before anything is sent", function()
    begin({}, nil, { inline_limit = 1000 })
    local err = assert_failed("too_large", generate { ("x"):rep(850),
      { data = ("y"):rep(300), mime_type = "text/plain" } })
    assert.is_truthy(err.message:find("1000 bytes", 1, true), err.message)
    assert.equal(0, #server:received())
  end)
end)
