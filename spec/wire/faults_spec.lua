-- Bad networks and bad servers: every fault ends in the kind of error that the caller can act on, ends soon where a
-- clock says so, lets go of its connection, and never shows the key.
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local KEY = "key-of-the-faults-spec"
local MODEL = "gemini-3.5-flash"
local SOON = 0.2 -- seconds; a clock that is to fire
local LONG = 30  -- seconds; one that is not

local function answer_with(text, changes)
  local candidate = { content = { role = "model", parts = { { text = text } } }, finishReason = "STOP" }
  local answer = {
    status = 200, headers = { ["content-type"] = "application/json" }, body = { json = { candidates = { candidate } } },
  }
  for name, value in pairs(changes or {}) do answer[name] = value end
  return answer
end

local function event(text, finish)
  local reason = finish and ('"finishReason":"%s",'):format(finish) or ""
  return ('data: {"candidates":[{%s"content":{"role":"model","parts":[{"text":"%s"}]}}]}\r\n\r\n'):format(reason, text)
end

local function stream_of(chunks, changes)
  local answer = {
    status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = chunks, delay_ms = 0 },
  }
  for name, value in pairs(changes or {}) do answer[name] = value end
  return answer
end

-- No string in an error, however deep, may hold the key.
local function assert_no_key(value, seen)
  seen = seen or {}
  if type(value) == "string" then
    assert.is_nil(value:find(KEY, 1, true), "the key is in: " .. value)
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for name, item in pairs(value) do
      assert_no_key(name, seen)
      assert_no_key(item, seen)
    end
  end
end

local function assert_error(err, kind)
  assert.is_table(err)
  assert.equal(kind, err.kind, tostring(err))
  assert.is_string(err.message)
  assert_no_key(err)
  assert_no_key(tostring(err))
  assert.is_nil(tostring(err):find("[%z\r\n]"))
  return err
end

-- The error of a call that must fail.
local function failure(kind, result, err)
  assert.is_nil(result)
  return assert_error(err, kind)
end

describe("a faulty", function()
  local client

  local function client_of(url, options)
    local http_options = { base_url = url, retry_options = false }
    for name, value in pairs(options or {}) do http_options[name] = value end
    client = gemini.Client { api_key = KEY, http_options = http_options }
    return client
  end

  local function generate(contents)
    return client.models:generate_content { model = MODEL, contents = contents or "Hi" }
  end

  local function open_stream()
    return client.models:generate_content_stream { model = MODEL, contents = "Hi" }
  end

  -- The texts that a stream delivered, and its error.
  local function read(stream)
    local texts = {}
    local chunk, err = stream:next()
    while chunk do
      texts[#texts + 1] = chunk.text
      chunk, err = stream:next()
    end
    return texts, err
  end

  after_each(function()
    if client then client:close() end
    client = nil
  end)

  describe("address", function()
    it("does not resolve: network", function()
      client_of "https://nonexistent.invalid"
      local err = failure("network", generate())
      assert.matches("nonexistent.invalid", err.message, 1, true)
      assert.is_true(err.retryable)
      assert.is_nil(err.code)
    end)

    it("refuses connections: network", function()
      local server = scripted.start()
      server:stop()
      client_of(server.url)
      failure("network", generate())
      local stream = open_stream()
      local texts, err = read(stream)
      assert.same({}, texts)
      assert_error(err, "network")
      stream:close()
    end)

    it("is plain http elsewhere: refused, for the key would be shown", function()
      client_of "http://nonexistent.invalid"
      failure("invalid", generate())
      client:close()
      local http_options = { base_url = "http://nonexistent.invalid", retry_options = false }
      client = gemini.Client { api_key = KEY, insecure = true, http_options = http_options }
      failure("network", generate())
    end)
  end)

  describe("server", function()
    local server

    setup(function() server = scripted.start() end)
    teardown(function() server:stop() end)
    before_each(function() server:treat {} end)

    local function script(...)
      server:script { ... }
      return server.url
    end

    -- The connection that the last request came on, and its wait for the client's goodbye.
    local function assert_let_go()
      local exchanges, connections = server:received()
      local last = exchanges[#exchanges]
      assert.is_true(server:wait("closed", last and last.connection or #connections))
    end

    describe("stalls", function()
      local function clocks(name)
        local all = { connect = LONG, first_byte = LONG, idle = LONG, total = LONG }
        all[name] = SOON
        return { timeout = all }
      end

      local function assert_timeout(name, result, err)
        failure("timeout", result, err)
        assert.equal(name, err.clock)
        assert.matches(name, err.message, 1, true)
        assert.is_true(err.retryable)
        assert_let_go()
      end

      it("before a word of its answer: first_byte", function()
        client_of(script { status = 200, stall_at = 0 }, clocks "first_byte")
        assert_timeout("first_byte", generate())
      end)

      it("in the status line: first_byte", function()
        client_of(script { status = 200, stall_at = 5 }, clocks "first_byte")
        assert_timeout("first_byte", generate())
      end)

      it("in the headers: first_byte", function()
        client_of(script { status = 200, stall_at = 30 }, clocks "first_byte")
        assert_timeout("first_byte", generate())
      end)

      it("in the body: idle", function()
        client_of(script(answer_with("never whole", { stall_at = { body = 7 } })), clocks "idle")
        assert_timeout("idle", generate())
      end)

      it("in the body of a refusal: what came of it; nothing where the call is cancelled before", function()
        local refusal = answer_with("x", { status = 429, stall_at = { body = 10 } })
        client_of(script(refusal), { timeout = { idle = SOON } })
        failure("rate_limited", generate())
        client:close()
        for _, call in ipairs { generate, function() return open_stream():next() end } do
          for _, finish in ipairs { function(task) task:cancel() end, function() client:close() end } do
            client_of(script(refusal))
            local task = client:spawn(call)
            repeat client:wait(LONG) until task.exchange and task.exchange:code()
            finish(task)
            client:run()
            failure("cancelled", task:result())
            client:close()
          end
        end
      end)

      it("while it takes the request: idle", function()
        client_of(script { status = 200, read = 1000, stall_at = 0 }, clocks "idle")
        local data = "\137PNG\r\n\26\n" .. ("x"):rep(13 * 1000 * 1000)
        local result, err = generate { { data = data, mime_type = "image/png", via = "inline" } }
        server:release "stall" -- it reads on, and finds the end
        assert_timeout("idle", result, err)
      end)

      it("and drips, so that no other clock fires: total", function()
        client_of(script(answer_with(("slow"):rep(1000), { drip = 1, drip_ms = 5 })), clocks "total")
        assert_timeout("total", generate())
      end)

      it("and the time for all is over: total", function()
        client_of(script { status = 200, stall_at = 0 }, clocks "total")
        assert_timeout("total", generate())
      end)

      it("after it has accepted: first_byte", function()
        server:treat { "stall" }
        client_of(script(), clocks "first_byte")
        assert_timeout("first_byte", generate())
      end)

      it("in the middle of a stream: idle, with what came before", function()
        client_of(script(stream_of { event "Once ", { ["$gate"] = "never" }, event("upon", "STOP") }), clocks "idle")
        local stream = open_stream()
        local texts, err = read(stream)
        assert.same({ "Once " }, texts)
        assert.equal("Once ", stream.response.text)
        assert_timeout("idle", nil, err)
        stream:close()
      end)

      it("at the start of a stream: first_byte, at the first next", function()
        client_of(script(stream_of({}, { stall_at = 0 })), clocks "first_byte")
        local stream = open_stream()
        local texts, err = read(stream)
        assert.same({}, texts)
        assert_timeout("first_byte", nil, err)
        stream:close()
      end)

      it("as an upload starts, and in its middle: the clock of each", function()
        client_of(script { status = 200, stall_at = 0 }, clocks "first_byte")
        assert_timeout("first_byte", client.files:upload { data = "abc", config = { mime_type = "text/plain" } })
        client:close()
        client_of(script({ status = 200, headers = { ["x-goog-upload-url"] = server.url .. "/up?upload_id=1" } },
          { status = 200, read = 1000, stall_at = 0 }), clocks "idle")
        local result, err = client.files:upload {
          data = ("x"):rep(20 * 1000 * 1000), config = { mime_type = "text/plain" },
        }
        server:release "stall"
        assert_timeout("idle", result, err)
      end)
    end)

    describe("answers with", function()
      local function assert_answer(kind, ...)
        client_of(script(...))
        return failure(kind, generate())
      end

      it("nothing at all, and closes: network", function()
        assert_answer("network", { status = 200, cut_at = 0 })
      end)

      it("a reset instead of an answer: network", function()
        assert_answer("network", { status = 200, reset_at = 0 })
        server:treat { "reset" }
        client:close()
        assert_answer("network")
      end)

      it("what is no HTTP: protocol", function()
        assert_answer("protocol", { answer = "SSH-2.0-OpenSSH_9.2\r\n" })
      end)

      it("half a head: network", function()
        assert_answer("network", answer_with("x", { cut_at = 25 }))
      end)

      it("an empty body: protocol", function()
        local err = assert_answer("protocol", { status = 200, headers = { ["content-type"] = "application/json" } })
        assert.matches("empty", err.message)
      end)

      it("a web page: protocol, and the message says so", function()
        local page = "<!DOCTYPE html><html><title>Sign in</title><p>Wi-Fi of the caf\233"
        local err = assert_answer("protocol", {
          status = 200, headers = { ["content-type"] = "text/html" }, body = { bytes = page },
        })
        assert.matches("page", err.message)
        assert.is_string(err.hint)
      end)

      it("what is not JSON: protocol", function()
        for _, text in ipairs { "candidates: none", '{"candidates":[', "{} {}", '{"a":1}x', "nul", "[" } do
          assert_answer("protocol", {
            status = 200, headers = { ["content-type"] = "application/json" }, body = { bytes = text },
          })
          client:close()
        end
      end)

      it("JSON that is no object: protocol", function()
        for _, text in ipairs { '"text"', "17", "true", "null" } do
          assert_answer("protocol", {
            status = 200, headers = { ["content-type"] = "application/json" }, body = { bytes = text },
          })
          client:close()
        end
      end)

      it("a body that is cut: incomplete", function()
        assert_answer("incomplete", answer_with("never whole", { cut_at = { body = 10 } }))
      end)

      it("fewer bytes than it announced: incomplete", function()
        assert_answer("incomplete", answer_with("x", {
          headers = { ["content-type"] = "application/json", ["content-length"] = "4000" }, keep = false,
        }))
      end)

      it("a chunked body that is cut: incomplete", function()
        local chunks = { '{"candidates":[{"content":{"parts":[{"text":"never ', "whole" }
        assert_answer("incomplete", { status = 200, body = { chunks = chunks }, cut_at = { body = 60 } })
        client:close()
        -- Whole JSON, but not the chunk that says that it is whole.
        assert_answer("incomplete", {
          status = 200, framing = "raw", headers = { ["transfer-encoding"] = "chunked" },
          body = { bytes = "2\r\n{}\r\n" },
        })
      end)

      it("a body that ends in a reset: incomplete", function()
        assert_answer("incomplete", answer_with("never whole", { reset_at = { body = 10 } }))
      end)

      it("headers without end: limit", function()
        local headers = {}
        for i = 1, 600 do headers[i] = { "x-filler-" .. i, ("x"):rep(1000) } end
        assert_answer("limit", { status = 200, headers = headers })
      end)

      it("one header without end: limit, and the message says so", function()
        client_of(script { status = 200, headers = { { "x-filler", ("x"):rep(300000) } } })
        assert.matches("headers", failure("limit", generate()).message)
        assert.equal(1, #server:received())
      end)

      it("early and final words on a request it does not read: they count", function()
        local body = { json = { error = { code = 413, message = "Too much." } } }
        client_of(script { status = 413, read = 1000, body = body })
        local data = "\137PNG\r\n\26\n" .. ("x"):rep(13 * 1000 * 1000)
        local err = failure("too_large", generate { { data = data, mime_type = "image/png", via = "inline" } })
        assert.equal(413, err.code)
        assert.matches("Too much.", err.message, 1, true)
        assert.matches('via = "upload"', err.hint, 1, true)
      end)

      it("interim answers first: they are passed over", function()
        client_of(script(answer_with("fine", { interim = { { status = 100 }, { status = 103 }, { status = 102 } } })))
        assert.equal("fine", assert(generate()).text)
      end)

      it("single bytes: they are put together", function()
        client_of(script(answer_with("slow", { drip = 1, drip_ms = 0 })))
        assert.equal("slow", assert(generate()).text)
      end)

      it("a redirect: the key does not follow", function()
        local other = scripted.start()
        other:script { answer_with("stolen"), answer_with("stolen") }
        for _, status in ipairs { 301, 302, 307, 308 } do
          client_of(script { status = status, headers = { location = other.url .. "/v1beta/x" } })
          local err = failure("http", generate())
          assert.equal(status, err.code)
          client:close()
        end
        local exchanges = other:received()
        other:stop()
        assert.same({}, exchanges)
      end)

      it("the key in its words: they are shown without it", function()
        local words = "API key not valid: " .. KEY .. ". Pass a valid one."
        local info = {
          ["@type"] = "type.googleapis.com/google.rpc.ErrorInfo", reason = "API_KEY_INVALID", metadata = { key = KEY },
        }
        local bodies = {
          { json = { error = { code = 400, message = words, status = "INVALID_ARGUMENT", details = { info } } } },
          { bytes = words }, { bytes = "<html><title>" .. words .. "</title>" }, { json = { [KEY] = KEY } },
        }
        for i, body in ipairs(bodies) do
          client_of(script { status = 400, body = body, headers = { ["x-request-id"] = KEY } })
          local err = failure(i == 4 and "invalid" or "auth", generate())
          if i < 4 then assert.matches("Pass a valid one.", err.message, 1, true) end
          client:close()
        end
        for i, kind in ipairs { "auth", "protocol", "protocol" } do
          client_of(script { status = 200, body = bodies[i] })
          failure(kind, generate())
          client:close()
        end
        client_of(script(stream_of { event "a", 'data: {"error":{"code":500,"message":"' .. words .. '"}}\n\n' },
          stream_of { "data: " .. words .. "\n\n" }))
        assert_error(select(2, read(open_stream())), "incomplete")
        assert_error(select(2, read(open_stream())), "protocol")
      end)
    end)

    describe("stream", function()
      -- What a stream that fails has delivered; how it fails is the same each time it is asked.
      local function assert_stream(kind, texts, answer)
        client_of(script(answer))
        local stream = open_stream()
        local delivered, err = read(stream)
        assert.same(texts, delivered)
        assert_error(err, kind)
        for _ = 1, 2 do
          local chunk, again = stream:next()
          assert.is_nil(chunk)
          assert.equal(err, again)
        end
        assert.equal(table.concat(texts), stream.response.text)
        stream:close()
        return err
      end

      it("has an event that is not JSON: incomplete, with the event in the message", function()
        local err = assert_stream("incomplete", { "Once " },
          stream_of { event "Once ", "data: <html>oops</html>\n\n", event("upon", "STOP") })
        assert.matches("oops", err.message)
        assert.equal("protocol", err.cause.kind)
        assert.equal("Once ", err.partial.text)
        client:close()
        assert_stream("protocol", {}, stream_of { "data: <html>oops</html>\n\n" })
      end)

      it("begins with an error object: what that says", function()
        local err = assert_stream("unavailable", {},
          stream_of { 'data: {"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}\n\n' })
        assert.equal(503, err.code)
        client:close()
        err = assert_stream("http", {}, stream_of { 'data: {"error":"boom"}\n\n' })
        assert.matches("boom", err.message)
      end)

      it("has an error object in its middle: incomplete, with what that says", function()
        local body = '{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}'
        local err = assert_stream("incomplete", { "Once " }, stream_of { event "Once ", "data: " .. body .. "\n\n" })
        assert.equal("unavailable", err.cause.kind)
        assert.equal("Once ", err.partial.text)
        assert.equal(503, err.code)
        assert.equal("UNAVAILABLE", err.status)
        assert.matches("The model is overloaded.", err.message, 1, true)
        client:close()
        -- Also without "data:", over many lines, or in a list: all these have been seen.
        local pretty = body:gsub(",", ",\n  "):gsub("{", "{\n ")
        for _, text in ipairs { body, body .. "\n", pretty, "[" .. body .. "]", "data: [" .. body .. "]\n\n" } do
          err = assert_stream("incomplete", { "Once " }, stream_of { event "Once ", text })
          assert.equal(503, err.code)
          client:close()
        end
      end)

      it("has a bare error object with something behind it: what that says", function()
        local body = '{"error":{"code":503,"message":"It said } and {.","status":"UNAVAILABLE","details":[{"a":[]}]}}'
        for _, behind in ipairs { "\n\ndata: [DONE]\n\n", "\n" .. event("upon", "STOP"), body, "\n]", "<p>" } do
          local err = assert_stream("incomplete", { "Once " }, stream_of { event "Once ", body .. behind })
          assert.equal("unavailable", err.cause.kind)
          assert.equal(503, err.code)
          assert.matches("It said } and {.", err.message, 1, true)
          client:close()
        end
        for _, text in ipairs { body:sub(1, -2), (body:gsub("%[", "[" .. ('"x",'):rep(200))) .. "\n]",
          '{"a":1}' .. body } do
          local err = assert_stream("incomplete", { "Once " }, stream_of { event "Once ", text })
          assert.is_nil(err.code) -- it is not known whole, or is another
          assert.matches("cut in the middle of an event: {", err.message, 1, true)
          assert.matches("It said } and {.", err.message, 1, true)
          client:close()
        end
      end)

      it("ends properly, but no finish reason came: incomplete, with what came", function()
        for _, framing in ipairs { "chunked", "close" } do
          local err = assert_stream("incomplete", { "Once ", "upon " },
            stream_of({ event "Once ", event "upon " }, { framing = framing }))
          assert.equal("Once upon ", err.partial.text)
          client:close()
        end
      end)

      it("has no event: incomplete", function()
        local err = assert_stream("incomplete", {}, stream_of {})
        assert.equal("", err.partial.text)
      end)

      it("is cut in the middle of an event: incomplete", function()
        local whole = event "Once "
        local half = event("upon", "STOP"):sub(1, 40)
        local err = assert_stream("incomplete", { "Once " }, stream_of { whole, half })
        assert.equal("Once ", err.partial.text)
        client:close()
        assert_stream("incomplete", { "Once " }, stream_of({ whole, half }, { framing = "close" }))
      end)

      it("is reset: incomplete", function()
        local first = event "Once "
        local framed = #("%x\r\n"):format(#first) + #first + 2
        local err = assert_stream("incomplete", { "Once " },
          stream_of({ first, event("upon", "STOP") }, { reset_at = { body = framed } }))
        assert.equal("Once ", err.partial.text)
      end)

      it("is finished, but its connection is not: incomplete", function()
        local err = assert_stream("incomplete", { "All." }, {
          status = 200, framing = "raw",
          headers = { ["content-type"] = "text/event-stream", ["transfer-encoding"] = "chunked" },
          body = { bytes = ("%x\r\n%s\r\n"):format(#event("All.", "STOP"), event("All.", "STOP")) },
        })
        assert.equal("All.", err.partial.text)
      end)

      it("is a web page: protocol", function()
        assert_stream("protocol", {}, {
          status = 200, headers = { ["content-type"] = "text/html" }, body = { bytes = "<html>Sign in</html>" },
        })
      end)

      it("is compressed, which nobody asked for: protocol", function()
        local headers = { ["content-type"] = "text/event-stream", ["content-encoding"] = "gzip" }
        local err = assert_stream("protocol", {}, stream_of({ event("a", "STOP") }, { headers = headers }))
        assert.matches("compressed", err.message)
        headers["content-encoding"] = "Identity"
        client:close()
        client_of(script(stream_of({ event("a", "STOP") }, { headers = headers })))
        assert.same({ "a" }, (read(open_stream())))
      end)

      it("is an answer to another question: protocol", function()
        assert_stream("protocol", {}, stream_of { "data: 17\n\n" })
      end)

      it("fails in a for loop: raises the error, after what came", function()
        client_of(script(stream_of { event "Once " }))
        local texts = {}
        local ok, err = pcall(function()
          for chunk in open_stream() do texts[#texts + 1] = chunk.text end
        end)
        assert.is_false(ok)
        assert.same({ "Once " }, texts)
        assert_error(err, "incomplete")
      end)

      it("is given up: its connection is closed", function()
        client_of(script(stream_of { event "Once ", { ["$gate"] = "never" } }))
        local stream = open_stream()
        assert.equal("Once ", assert(stream:next()).text)
        stream:close()
        assert_let_go()
      end)
    end)

    describe("kept connection", function()
      it("was closed between two calls: the second call takes a new one", function()
        client_of(script(answer_with("one", { keep = false }), answer_with("two")))
        assert.equal("one", assert(generate()).text)
        local exchanges = server:received()
        assert.is_true(server:wait("over", exchanges[1].connection))
        assert.equal("two", assert(generate()).text)
        exchanges = server:received()
        assert.equal(2, #exchanges)
        assert.is_true(exchanges[1].connection ~= exchanges[2].connection)
      end)

      it("breaks under the second call: that fails, and nothing is sent again", function()
        for _, fault in ipairs { { status = 200, cut_at = 0 }, { status = 200, reset_at = 0 },
          { status = 200, read = 10, reset_at = 0 } } do
          client_of(script(answer_with("one"), fault, answer_with("three")))
          assert.equal("one", assert(generate()).text)
          failure("network", generate())
          local exchanges = server:received()
          assert.equal(2, #exchanges)
          assert.equal(exchanges[1].connection, exchanges[2].connection)
          client:close()
        end
      end)

      it("breaks under a second call without a body: nothing is sent again by itself either", function()
        client_of(script({ status = 200, body = { json = { name = "files/a" } } }, { status = 200, cut_at = 0 },
          { status = 200, body = { json = { name = "files/a" } } }))
        assert(client.files:get { name = "files/a" })
        failure("network", client.files:get { name = "files/a" })
        assert.equal(2, #server:received())
      end)
    end)

    describe("name or value, that", function()
      local BAD = { "\0", "\r", "\n", "a\0b", "a\rb", "a\nb", "a\r\nX-Injected: 1" }

      -- Each call must refuse each bad text, and say nothing to the server.
      local function assert_refused(kind, call, prefix)
        script()
        for _, bad in ipairs(BAD) do
          local result, err = call((prefix or "") .. bad)
          failure(kind, result, err)
        end
        assert.same({}, (server:received()))
      end

      it("is a model", function()
        client_of(server.url)
        assert_refused("invalid", function(bad)
          return client.models:generate_content { model = bad, contents = "Hi" }
        end)
        assert_refused("invalid", function(bad) return client.models:get { model = bad } end)
        assert_refused("invalid", function(bad)
          return client.models:count_tokens { model = bad, contents = "Hi" }
        end)
        assert_refused("invalid", function(bad)
          return client.models:embed_content { model = bad, contents = "Hi" }
        end)
        assert_refused("invalid", function(bad)
          local stream = client.models:generate_content_stream { model = bad, contents = "Hi" }
          return stream:next()
        end)
      end)

      it("is a file", function()
        client_of(server.url)
        for _, method in ipairs { "get", "delete", "wait" } do
          assert_refused("invalid", function(bad)
            return client.files[method](client.files, { name = bad })
          end, "files/")
        end
        assert_refused("invalid", function(bad) return client.files:download { file = bad } end, "files/")
      end)

      it("is in the config of an upload", function()
        client_of(server.url)
        for _, name in ipairs { "name", "mime_type" } do
          assert_refused("invalid", function(bad)
            local config = { mime_type = "text/plain" }
            config[name] = bad
            return client.files:upload { data = "abc", config = config }
          end)
        end
      end)

      it("is the path of an upload", function()
        client_of(server.url)
        script()
        local result, err = client.files:upload { file = "spec/fixtures/slide.png\0.txt" }
        assert.is_nil(result)
        assert.is_true(err.kind == "invalid" or err.kind == "io")
        assert.same({}, (server:received()))
      end)

      it("is a header", function()
        for _, place in ipairs { "name", "value" } do
          assert_refused("invalid", function(bad)
            local headers = place == "name" and { [bad] = "x" } or { ["X-Trace"] = bad }
            client_of(server.url, { headers = headers })
            local result, err = generate()
            client:close()
            return result, err
          end)
          client_of(server.url)
          assert_refused("invalid", function(bad)
            local headers = place == "name" and { [bad] = "x" } or { ["X-Trace"] = bad }
            return client.models:generate_content {
              model = MODEL, contents = "Hi", config = { http_options = { headers = headers } },
            }
          end)
        end
      end)

      it("is the base URL, the API version or a proxy", function()
        for _, name in ipairs { "base_url", "api_version", "proxy" } do
          assert_refused("invalid", function(bad)
            client_of(server.url, { [name] = bad })
            local result, err = generate()
            client:close()
            return result, err
          end, name ~= "api_version" and server.url .. "/" or nil)
        end
      end)

      it("is a key", function()
        script()
        for _, bad in ipairs { "a\0b", "a\rb", "a\nb", KEY .. "\r\nX-Injected: 1" } do
          client = gemini.Client { api_key = bad, http_options = { base_url = server.url, retry_options = false } }
          failure("auth", generate())
          client:close()
          client = gemini.Client {
            api_key = function() return bad end, http_options = { base_url = server.url, retry_options = false },
          }
          failure("auth", generate())
          client:close()
        end
        assert.same({}, (server:received()))
      end)
    end)
  end)

  describe("certificate", function()
    local server

    -- Calls a server with a certificate for these hosts; says whether a request came through.
    local function call(hosts, trusted)
      server = scripted.start { tls = true, hosts = hosts }
      server:script { answer_with("secure") }
      client_of(server.url, { ca_file = trusted and server.ca_file or nil })
      local result, err = generate()
      local exchanges = server:received()
      return #exchanges > 0, result, err
    end

    after_each(function()
      if server then server:stop() end
      server = nil
    end)

    it("is nobody's: tls, and nothing was said", function()
      local came, result, err = call(nil, false)
      failure("tls", result, err)
      assert.matches("ca_file", err.hint, 1, true)
      assert.is_false(came)
    end)

    it("is another host's: tls, and nothing was said", function()
      local came, result, err = call({ "other.invalid" }, true)
      failure("tls", result, err)
      assert.is_false(came)
    end)

    it("is trusted and of this host: all is well", function()
      local came, result = call(nil, true)
      assert.equal("secure", result.text)
      assert.is_true(came)
    end)

    it("does not come, for the server speaks no TLS: tls", function()
      server = scripted.start()
      server:treat { { say = "HTTP/1.1 400 Bad Request\r\n\r\n" } }
      client_of("https://127.0.0.1:" .. server.port)
      failure("tls", generate())
    end)

    it("does not come, for the server stalls: timeout of connect", function()
      server = scripted.start { tls = true }
      server:treat { "stall" }
      client_of(server.url, { timeout = { connect = SOON, first_byte = LONG, idle = LONG, total = LONG } })
      local err = failure("timeout", generate())
      assert.equal("connect", err.clock)
      assert.matches("connect", err.message)
      assert.is_true(server:wait("closed", 1))
    end)

    it("is cut off: network, which may pass", function()
      server = scripted.start { tls = true }
      for _, retry_options in ipairs { false, { attempts = 2, initial_delay = 0 } } do
        for _, treatment in ipairs { "reset", "close" } do
          server:treat { treatment }
          server:script { answer_with("secure") }
          client_of(server.url, { ca_file = server.ca_file, retry_options = retry_options })
          if retry_options then
            assert.equal(2, assert(generate()).transport.attempts)
          else
            assert.matches("handshake", failure("network", generate()).message)
          end
          client:close()
        end
      end
    end)

    it("file is missing or is none: refused before anything is said", function()
      server = scripted.start { tls = true }
      server:script { answer_with("secure") }
      for _, path in ipairs { "spec/no-such-file.pem", "spec/wire/faults_spec.lua" } do
        client_of(server.url, { ca_file = path })
        failure("tls", generate())
        client:close()
      end
      assert.same({}, (server:received()))
    end)
  end)
end)
