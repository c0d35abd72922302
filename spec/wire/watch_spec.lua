-- Hooks and the logger: what they are told of, in every kind of call, and that no secret is in it.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local KEY = "key-of-the-watch-spec"
local MODEL = "gemini-3.5-flash"
local FIXTURE = "spec/fixtures/slide.png"

local ANSWER = { status = 200, headers = { ["content-type"] = "application/json", ["x-goog-request-id"] = "id-1" },
  body = { json = { candidates = { { content = { role = "model", parts = { { text = "Hello" } } },
    finishReason = "STOP" } } } } }
local BUSY = { status = 503, headers = { ["content-type"] = "application/json" },
  body = { json = { error = { code = 503, message = "busy", status = "UNAVAILABLE" } } } }
local EVENT = 'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"%s"}]}%s}]}\r\n\r\n'

local function stream_of(...)
  return { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = { ... } } }
end

-- Every string in a value, however deep.
local function strings(value, found, seen)
  found, seen = found or {}, seen or {}
  if type(value) == "string" then
    found[#found + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for name, item in pairs(value) do
      strings(name, found, seen)
      strings(item, found, seen)
    end
  end
  return found
end

local function assert_hides(secret, value)
  for _, text in ipairs(strings(value)) do
    assert.is_nil(text:find(secret, 1, true), text)
  end
end

describe("what a program is told", function()
  local server, em, told

  setup(function()
    server, em = scripted.start(), emulator.start { args = { "--processing", "0" } }
  end)
  teardown(function()
    server:stop()
    em:stop()
  end)
  before_each(function()
    told = {}
    em:clear()
  end)

  -- A client that notes what it tells, in order: { name, ... }.
  local function client_of(url, given)
    given = given or {}
    given.http_options = given.http_options or { retry_options = { initial_delay = 0.001 } }
    given.http_options.base_url = url
    if not given.vertexai then given.api_key = KEY end
    for _, name in ipairs { "on_request", "on_response", "on_retry", "log" } do
      local raise = given[name]
      given[name] = function(...)
        told[#told + 1] = { name, ... }
        if raise then raise(...) end
      end
    end
    return gemini.Client(given)
  end

  local function views(name)
    local found = {}
    for _, entry in ipairs(told) do
      if entry[1] == name then found[#found + 1] = entry[2] end
    end
    return found
  end

  -- Each request has one answer.
  local function assert_paired()
    local requests, responses = views "on_request", views "on_response"
    local open = {}
    for _, view in ipairs(requests) do open[view.id] = view end
    for _, view in ipairs(responses) do
      local of = assert(open[view.id], "an answer without a request")
      open[view.id] = nil
      assert.same({ of.method, of.url, of.attempt }, { view.method, view.url, view.attempt })
      assert.is_true(view.seconds >= 0)
    end
    assert.is_nil(next(open))
    return requests, responses
  end

  local function ask(client)
    return client.models:generate_content { model = MODEL, contents = "Hi" }
  end

  it("of a call: what is sent, and what came of it", function()
    server:script { ANSWER }
    local client = client_of(server.url, { http_options = { headers = { ["X-Team"] = "lamps-secret" } } })
    assert(ask(client))
    local requests, responses = assert_paired()
    assert.equal(1, #requests)
    local url = server.url .. "/v1beta/models/gemini-3.5-flash:generateContent"
    local sent = server:received()[1]
    assert.same({ 1, "POST", url, 1, MODEL, sent.body_bytes }, { requests[1].id, requests[1].method, requests[1].url,
      requests[1].attempt, requests[1].model, requests[1].bytes })
    assert.equal("application/json", requests[1].headers["content-type"])
    assert.equal("[redacted]", requests[1].headers["x-goog-api-key"])
    assert.equal("[redacted]", requests[1].headers["x-team"])
    local response = responses[1]
    assert.same({ 200, "id-1", sent.body_bytes }, { response.status, response.request_id, response.bytes_sent })
    assert.equal("application/json", response.headers["content-type"])
    assert.is_nil(response.error)
    assert.is_true(response.first_byte > 0 and response.bytes_received > 50)
    assert_hides(KEY, told)
    assert_hides("lamps-secret", told)
  end)

  it("of a try that failed: why, and how long the wait is", function()
    server:script { BUSY, { status = 200, body = { bytes = "{" }, reset_at = { body = 0 } }, ANSWER }
    assert(ask(client_of(server.url)))
    local requests, responses = assert_paired()
    local retries = views "on_retry"
    assert.same({ 3, 3, 2 }, { #requests, #responses, #retries })
    assert.same({ 1, 2, 3 }, { requests[1].attempt, requests[2].attempt, requests[3].attempt })
    assert.same({ 503, 200 }, { responses[1].status, responses[3].status })
    assert.is_nil(responses[1].error) -- an answer it is
    assert.equal("incomplete", responses[2].error.kind)
    assert.same({ 1, 2 }, { retries[1].attempt, retries[2].attempt })
    assert.same({ "unavailable", "incomplete" }, { retries[1].error.kind, retries[2].error.kind })
    assert.equal(requests[1].url, retries[1].url)
    assert.is_true(retries[1].wait > 0 and retries[1].wait <= 0.001)
  end)

  it("of an upload's tries, which are requests of their own", function()
    server:script { BUSY, BUSY, { status = 400, body = { json = { error = { code = 400, message = "No." } } } } }
    local _, err = client_of(server.url).files:upload { data = "x", config = { mime_type = "text/plain" } }
    assert.equal("invalid", err.kind)
    local requests = assert_paired()
    local retries = views "on_retry"
    assert.same({ 1, 2, 3 }, { requests[1].attempt, requests[2].attempt, requests[3].attempt })
    assert.same({ 1, 2 }, { retries[1].attempt, retries[2].attempt })
    assert.equal(3, err.attempts)
  end)

  it("in the log: a line and the same fields, what failed as a warning", function()
    server:script { BUSY, ANSWER }
    assert(ask(client_of(server.url)))
    local levels = {}
    for _, entry in ipairs(told) do
      if entry[1] == "log" then
        levels[#levels + 1] = entry[2]
        assert.is_nil(entry[3]:find "[\r\n]")
        assert.truthy(entry[3]:find(entry[4].url, 1, true) or entry[4].wait, entry[3])
      end
    end
    assert.same({ "debug", "warn", "warn", "debug", "debug" }, levels)
  end)

  it("of a stream: its answer is told at the end, or where the program closes it", function()
    server:script {
      stream_of(EVENT:format("one", ""), EVENT:format("two", ',"finishReason":"STOP"')),
      stream_of(EVENT:format("one", ""), { ["$gate"] = "never" }),
      stream_of(EVENT:format("one", "")),
    }
    local client = client_of(server.url)
    local function open() return client.models:generate_content_stream { model = MODEL, contents = "Hi" } end
    local stream = open()
    assert(stream:next())
    assert.equal(0, #views "on_response")
    assert(stream:next())
    assert.is_nil(stream:next())
    stream = open()
    assert(stream:next())
    stream:close()
    stream = open()
    assert(stream:next())
    assert.equal("incomplete", select(2, stream:next()).kind)
    local _, responses = assert_paired()
    assert.same({ 200, 200, 200 }, { responses[1].status, responses[2].status, responses[3].status })
    assert.is_nil(responses[1].error)
    assert.equal("closed", responses[2].error.kind)
    server:release "never"
  end)

  it("in tasks, and of one that is cancelled", function()
    server:script { ANSWER, { answer = "", stall_at = 0 } }
    local client = client_of(server.url)
    assert(client:spawn(ask, client):wait())
    local task = client:spawn(ask, client)
    client:step()
    server:wait("request", 2)
    task:cancel()
    client:run()
    local _, responses = assert_paired()
    assert.equal(200, responses[1].status)
    assert.equal("cancelled", responses[2].error.kind)
  end)

  it("of uploads, looks, downloads and redirects, without their secrets", function()
    local client = client_of(em.url)
    em:fault { path = "/upload/", action = "close", after_request = 3000 }
    local file = assert(client.files:upload { file = FIXTURE })
    assert(client.files:get(file.name))
    assert(client.models:generate_content { model = MODEL, contents = { "Hi", file } })
    local requests = assert_paired()
    assert.is_true(#requests >= 4)
    local hidden = 0
    for _, entry in ipairs(em:requests(#requests)) do
      local id = entry.query and entry.query.upload_id or (entry.target or ""):match "upload_id=([^&]+)"
      if id then
        hidden = hidden + 1
        assert_hides(id, told)
      end
    end
    assert.is_true(hidden >= 1)
    assert_hides(KEY, told)

    told = {}
    server:script {
      { status = 302, headers = { location = "/signed/path-secret?sig=5678" }, body = { bytes = "" } },
      { status = 200, body = { bytes = "whole" } },
    }
    client = client_of(server.url)
    assert.equal("whole", client.files:download "files/x")
    local _, responses = assert_paired()
    assert.same({ 302, 200 }, { responses[1].status, responses[2].status })
    assert_hides("path-secret", told)
    assert_hides("5678", told)
  end)

  it("not the token, where one opens the door, even where the service repeats it", function()
    local refusal = { status = 403,
      headers = { ["content-type"] = "application/json", ["x-echo"] = "token-of-the-spec" },
      body = { json = { error = { code = 403, message = "no token-of-the-spec", status = "PERMISSION_DENIED" } } } }
    server:script { BUSY, refusal }
    local client = client_of(server.url, { vertexai = true, project = "p-1", location = "global",
      access_token = "token-of-the-spec" })
    assert.is_nil((ask(client)))
    assert.equal("[redacted]", assert_paired()[1].headers.authorization)
    assert_hides("token-of-the-spec", told)
  end)
end)

describe("a hook that fails", function()
  local server

  setup(function() server = scripted.start() end)
  teardown(function() server:stop() end)

  local function client_with(name, hook, given)
    given = given or {}
    given.api_key, given.http_options = KEY, { base_url = server.url, retry_options = { initial_delay = 0.001 } }
    given[name] = hook
    return gemini.Client(given)
  end

  local function boom() error({ boom = true }) end

  local function ask(client)
    return client.models:generate_content { model = MODEL, contents = "Hi" }
  end

  it("is an error of the call, wherever it is called", function()
    for name, script in pairs { on_request = {}, on_response = { ANSWER }, on_retry = { BUSY }, log = {} } do
      server:script(script)
      local ok, err = pcall(ask, client_with(name, boom))
      assert.same({ false, { boom = true } }, { ok, err })
      assert.equal(#script, #server:received(), name)
    end
  end)

  it("is one of the task: on_task_error takes it, else whoever steps", function()
    server:script { ANSWER, ANSWER }
    local client = client_with("on_response", boom)
    client:spawn(ask, client)
    local ok, err = pcall(client.run, client)
    assert.same({ false, { boom = true } }, { ok, err })
    local taken
    client = client_with("on_response", boom, { on_task_error = function(problem) taken = problem end })
    client:spawn(ask, client)
    client:run()
    assert.same({ boom = true }, taken)
  end)

  it("is for whoever steps where a stream is closed: that one is closed all the same", function()
    server:script { stream_of(EVENT:format("one", ""), { ["$gate"] = "later" }) }
    local client = client_with("on_response", boom)
    local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
    assert(stream:next())
    stream:close()
    assert.equal("closed", select(2, stream:next()).kind)
    local ok, err = pcall(client.step, client)
    assert.same({ false, { boom = true } }, { ok, err })
    server:release "later"
  end)

  it("may ask something itself: each question goes out as it is", function()
    server:script { ANSWER, ANSWER, ANSWER }
    local client, asks
    client = client_with("on_request", function()
      if asks then
        asks = false
        assert(client.models:generate_content { model = MODEL, contents = "inner" })
      end
    end)
    assert(ask(client))
    asks = true
    assert(client.models:generate_content { model = MODEL, contents = "outer" })
    local texts = {}
    for i, request in ipairs(server:received()) do texts[i] = request.body:match '"text":"(%a+)"' end
    assert.same({ "Hi", "inner", "outer" }, texts)
  end)

  it("may close the client", function()
    server:script {}
    local client
    client = client_with("on_request", function() client:close() end)
    local response, err = ask(client)
    assert.is_nil(response)
    assert.equal("closed", err.kind)
    assert.equal(0, #server:received())
  end)

  it("is refused where it is no function", function()
    for _, name in ipairs { "on_request", "on_response", "on_retry", "log" } do
      assert.has_error(function() gemini.Client { [name] = "print" } end, name .. ": function expected, got string")
    end
  end)
end)
