-- Record and replay: what a program sees of a replayed call is what it saw when it was recorded, without a network, in
-- whatever order calls run; what was not recorded is said clearly; and no recording holds a secret.
local collect = require "spec.support.collect"
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local KEY = "key-of-the-replay-spec"
local MODEL = "gemini-3.5-flash"
local SLIDE = "spec/fixtures/slide.png"
local NOWHERE = "http://127.0.0.1:1" -- nobody listens there

local read_file, write_file = files.read, files.write

local function reply(text, changes)
  local answer = { status = 200, headers = { ["content-type"] = "application/json" },
    body = { json = { candidates = { { content = { role = "model", parts = { { text = text } } },
      finishReason = "STOP" } } } } }
  for name, value in pairs(changes or {}) do answer[name] = value end
  return answer
end

local function refusal(status, message, headers)
  headers = headers or {}
  headers["content-type"] = "application/json"
  return { status = status, headers = headers,
    body = { json = { error = { code = status, message = message, status = "SOME_STATUS" } } } }
end

local function event(text, finish)
  local reason = finish and ('"finishReason":"%s",'):format(finish) or ""
  return ('data: {"candidates":[{%s"content":{"role":"model","parts":[{"text":"%s"}]}}]}\r\n\r\n'):format(reason, text)
end

local function stream_of(chunks, changes)
  local answer = { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = chunks } }
  for name, value in pairs(changes or {}) do answer[name] = value end
  return answer
end

describe("record and replay", function()
  local server, em, directory

  setup(function()
    server, em = scripted.start(), emulator.start { args = { "--processing", "0.1", "--granularity", "262144" } }
  end)
  teardown(function()
    server:stop()
    em:stop()
  end)
  before_each(function()
    em:clear()
    directory = process.temporary_directory()
  end)
  after_each(function() process.remove_directory(directory) end)

  local function folder(name) return directory .. "/" .. (name or "tapes") end

  local function names(name)
    local found = require("lgemini.core").file_names(folder(name))
    table.sort(found)
    return found
  end

  local function everything(name)
    local texts = {}
    for _, file in ipairs(names(name)) do texts[#texts + 1] = read_file(folder(name) .. "/" .. file) end
    return table.concat(texts, "\n")
  end

  local function recording(url, given)
    local options = { api_key = KEY, record = folder(),
      http_options = { base_url = url, retry_options = { initial_delay = 0.001 } } }
    for name, value in pairs(given or {}) do options[name] = value end
    if options.access_token then options.api_key = nil end
    return gemini.Client(options)
  end

  local function replaying(given)
    local options = { replay = folder(), http_options = { base_url = NOWHERE } }
    for name, value in pairs(given or {}) do options[name] = value end
    return gemini.Client(options)
  end

  -- The client, and a list of how long it sleeps each time.
  local function watched(client)
    local sleep, waits = client.tasks.sleep, {}
    function client.tasks.sleep(tasks, seconds)
      waits[#waits + 1] = seconds
      return sleep(tasks, seconds)
    end
    return client, waits
  end

  -- Does the same while it is recorded and while it is replayed; both times the same comes of it.
  local function twice(url, work, given)
    local client = recording(url, given)
    local first = work(client)
    client:close()
    client = replaying()
    local second = work(client)
    client:close()
    assert.same(first, second)
    return second
  end

  local function ask(client, contents, config)
    return client.models:generate_content { model = MODEL, contents = contents or "Hi", config = config }
  end

  -- What can be compared of an error.
  local function outline(err)
    return { err.kind, err.message, err.code or false, err.status or false, err.attempts or false,
      err.retry_after or false, err.clock or false, tostring(err) }
  end

  describe("give the same", function()
    it("answers, without a key or a connection", function()
      local seen = twice(em.url, function(client)
        local response = assert(ask(client, { "What is this?", { file = SLIDE } }))
        local counted = assert(client.models:count_tokens { model = MODEL, contents = "Name a river." })
        local models = {}
        for model in client.models:list {} do models[#models + 1] = model.name end
        return { response.text, response.candidates, response.usage_metadata, response.transport.bytes_sent,
          counted.total_tokens, models }
      end)
      assert.is_true(#seen[1] > 50)
      assert.equal(4, seen[5])
      assert.equal(#em:requests_to "/models", #names())
    end)

    it("streams, event by event, in a plain loop and in tasks that take turns", function()
      -- the last event is cut in two, and the two before come at once
      server:script { stream_of { event "one", event "two" .. event "three" .. event("four", "STOP"):sub(1, 20),
        event("four", "STOP"):sub(21) } }
      local function chunks(client)
        local texts = {}
        local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
        for chunk in stream:each() do texts[#texts + 1] = chunk.text end
        return { texts, stream.response.text }
      end
      assert.same({ { "one", "two", "three", "four" }, "onetwothreefour" }, twice(server.url, chunks))
      local order = {}
      local client = replaying()
      for i = 1, 2 do
        write_file(folder() .. "/again.json", read_file(folder() .. "/" .. names()[1])) -- the second one has it, too
        client:spawn(function()
          local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
          local chunk = stream:next() -- a `for` cannot yield in 5.1
          while chunk do
            order[#order + 1] = i .. chunk.text
            chunk = stream:next()
          end
        end)
      end
      client:run()
      assert.same({ "1one", "2one", "1two", "2two", "1three", "2three", "1four", "2four" }, order)
    end)

    it("refusals and breaks, and the tries between them, without the waits", function()
      server:script {
        refusal(429, "slow down", { ["retry-after"] = "1" }), refusal(503, "busy"),
        reply("late", { reset_at = { body = 5 } }), reply "Hello",
        refusal(400, "nonsense"),
        { answer = "", reset_at = 0 },
        stream_of({ event "one", event "two" }, { reset_at = "end" }),
        stream_of({ event "one", event("two", "STOP"):sub(1, 30) }),
      }
      local function run(client)
        local found = { assert(ask(client)).text }
        found[2] = outline(select(2, ask(client, "bad")))
        found[3] = outline(select(2, ask(client, "gone", { http_options = { retry_options = false } })))
        for i, contents in ipairs { "broken", "cut" } do
          local stream = client.models:generate_content_stream { model = MODEL, contents = contents }
          local chunk, err = stream:next()
          while chunk do chunk, err = stream:next() end
          found[3 + i] = { outline(err), err.partial.text }
        end
        return found
      end
      local client = recording(server.url)
      local first = run(client)
      assert.equal(8, #server:received())
      local again, waits = watched(replaying())
      assert.same(first, run(again))
      assert.same({ 0, 0, 0, 0 }, waits)
      assert.same({ "Hello", "invalid", "network", "incomplete", "incomplete" },
        { first[1], first[2][1], first[3][1], first[4][1][1], first[5][1][1] })
      assert.equal("one", first[5][2])
    end)

    it("clocks that ran out", function()
      server:script { { answer = "", stall_at = 0 }, stream_of { event "one", { ["$gate"] = "never" } } }
      local seen = twice(server.url, function(client)
        local config = { http_options = { timeout = { first_byte = 0.2, idle = 0.2 }, retry_options = false } }
        local _, err = ask(client, "Hi", config)
        local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi", config = config }
        assert(stream:next())
        local _, later = stream:next()
        return { outline(err), outline(later) }
      end)
      assert.same({ "timeout", "first_byte" }, { seen[1][1], seen[1][7] })
      assert.same({ "timeout", "idle" }, { seen[2][1], seen[2][7] })
      server:release "never"
    end)

    it("uploads, broken ones too, compared with what is there and waited for", function()
      local big = write_file(folder "big.png", read_file(SLIDE) .. ("x"):rep(1000000))
      em:fault { command = "upload, finalize", action = "close", after_request = 600000 }
      local reports
      local seen = twice(em.url, function(client)
        reports = {}
        local function upload(given)
          given.on_progress = function(sent, total) reports[#reports + 1] = { sent, total } end
          local file = assert(client.files:upload(given))
          return { file.name, file.state, file.size_bytes, file.transport.verified, file.transport.attempts,
            file.transport.bytes_sent }
        end
        local pieces = 0
        local found = { upload { file = big }, upload { data = read_file(SLIDE) } }
        found[3] = upload { size = 700000, config = { mime_type = "image/png" }, read = function(_, n)
          return ("y"):rep(n)
        end }
        found[4] = upload { config = { mime_type = "image/png" }, read = function()
          pieces = pieces + 1
          return pieces < 4 and ("z"):rep(200000) or ""
        end }
        found[5] = { assert(client.files:get(found[1][1])).state, assert(client.files:delete(found[1][1])) ~= nil }
        assert.is_true(#reports >= 4)
        return found
      end)
      assert.same({ "ACTIVE", 1007430, true }, { seen[1][2], seen[1][3], seen[1][4] })
      assert.is_true(seen[1][5] > 1)
      assert.equal(600000, seen[4][3])
    end)

    it("file that is there already, though it has expired since", function()
      local seen = twice(em.url, function(client)
        local first = assert(client.files:upload { file = SLIDE })
        local second = assert(client.files:upload { file = SLIDE })
        return { first.name, second.name, second.transport.reused }
      end)
      assert.is_true(seen[3])
      for _, name in ipairs(names()) do -- as if all that had been long ago
        local path = folder() .. "/" .. name
        write_file(path, (read_file(path):gsub("20%d%d%-", "2019-"):gsub('"time": %d+', '"time": 1556668800')))
      end
      local client = replaying()
      assert(client.files:upload { file = SLIDE })
      assert.is_true(assert(client.files:upload { file = SLIDE }).transport.reused)
    end)

    it("downloads, byte by byte, over a redirect, into memory and into a file", function()
      local bytes = {}
      for i = 0, 255 do bytes[i + 1] = string.char(i) end
      bytes = table.concat(bytes):rep(1000)
      server:script {
        { status = 302, headers = { location = server.url .. "/signed/path-secret?sig=secret-signature" },
          body = { bytes = "" } },
        { status = 200, headers = { ["content-type"] = "video/mp4" }, body = { bytes = bytes } },
        { status = 200, body = { bytes = bytes }, reset_at = { body = 100000 } },
        { status = 200, body = { bytes = bytes } },
        refusal(404, "no such file"),
      }
      local seen = twice(server.url, function(client)
        local into = directory .. "/out.bin"
        local found = { assert(client.files:download "files/x") }
        assert(client.files:download { file = "files/y", to = into })
        found[2] = read_file(into)
        os.remove(into)
        found[3] = outline(select(2, client.files:download "files/z"))
        return found
      end)
      assert.is_true(seen[1] == bytes and seen[2] == bytes)
      assert.equal("file_expired", seen[3][1])
      for _, name in ipairs(names()) do
        if name:find "%.bin$" then os.remove(folder() .. "/" .. name) end
      end
      assert.equal("io", select(2, replaying().files:download "files/x").kind)
      assert.is_nil(everything():find("path-secret", 1, true))
      assert.is_nil(everything():find("secret-signature", 1, true))
    end)

    it("the length of a download, from its headers", function()
      server:script { { status = 200, headers = { ["x-other"] = "1" }, body = { bytes = ("x"):rep(5000) } } }
      local seen = twice(server.url, function(client)
        local totals = {}
        assert(client.files:download { file = "files/x",
          on_progress = function(_, total) totals[#totals + 1] = total end })
        return totals
      end)
      assert.equal(5000, seen[1])
      assert.is_nil(everything():find("x-other", 1, true))
    end)

    it("a stream that the program closed when all of it had come", function()
      server:script { stream_of { event "one", event("two", "STOP") } }
      local client = recording(server.url)
      local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
      assert.equal("one", assert(stream:next()).text)
      repeat client:wait(0.01) until stream.exchange.wire:done()
      stream:close()
      stream = replaying().models:generate_content_stream { model = MODEL, contents = "Hi" }
      assert.equal("one", assert(stream:next()).text)
      assert.equal("two", assert(stream:next()).text)
      assert.same({ nil, nil }, { stream:next() })
    end)

    it("answers to equal questions, in the order of asking, whatever runs at the same time", function()
      local script = {}
      for i = 1, 6 do script[i] = reply("answer " .. i, { delay_ms = i % 2 == 1 and 60 or 0 }) end
      server:script(script)
      local function run(client)
        local found = {}
        for i = 1, 6 do
          client:spawn(function() found[i] = assert(ask(client, "question " .. (i % 2))).text end)
        end
        client:run()
        return found
      end
      twice(server.url, run)
      local client = replaying()
      local found = {}
      for i = 6, 1, -1 do -- another order of asking, other answers to equals only
        client:spawn(function() found[i] = assert(ask(client, "question " .. (i % 2))).text end)
      end
      client:run()
      local first = run(replaying())
      assert.same({ first[5], first[6], first[3], first[4], first[1], first[2] }, found)
    end)

    it("uploads of files of one size, whichever begins first", function()
      local one, two = read_file(SLIDE) .. "1", read_file(SLIDE) .. "2"
      local function upload(client, data)
        return assert(client.files:upload { data = data, config = { mime_type = "image/png" } }).name
      end
      local client = recording(em.url)
      local first, second = upload(client, one), upload(client, two)
      client = replaying()
      assert.equal(second, upload(client, two))
      assert.equal(first, upload(client, one))
    end)

    it("answers in Vertex AI, where nobody has a token any more", function()
      server:script { refusal(401, "old token"), reply "Hello" }
      local function run(client) return assert(ask(client)).text end
      local client = recording(server.url, { vertexai = true, project = "p-1", location = "global",
        access_token = function() return "token-of-the-spec", 100 end })
      assert.equal("Hello", run(client))
      assert.equal("Hello", run(replaying { vertexai = true, project = "p-1", location = "global" }))
      assert.is_nil(everything():find("token-of-the-spec", 1, true))
    end)

    it("cuts where the program let go of an answer", function()
      server:script { stream_of { event "one", event "two", { ["$gate"] = "never" } } }
      local function run(client)
        local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
        local text = assert(stream:next()).text
        stream:close()
        return { text, outline(select(2, stream:next())) }
      end
      assert.equal("one", twice(server.url, run)[1])
      local client = replaying { http_options = { base_url = NOWHERE, timeout = { idle = 0.2 } } }
      local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi",
        config = { http_options = { retry_options = false } } }
      local chunk, err
      repeat chunk, err = stream:next() until not chunk
      assert.equal("timeout", err.kind)
      assert.truthy(err.message:find("let go", 1, true))
      client = replaying()
      local task = client:spawn(function()
        local waiting = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
        while waiting:next() do end -- luacheck: ignore
      end)
      for _ = 1, 10 do client:step() end
      assert.is_false(task.done)
      task:cancel()
      client:run()
      assert.is_true(task.done)
      server:release "never"
    end)

    it("end to a client that is closed meanwhile", function()
      server:script { reply "Hello" }
      assert(ask(recording(server.url)))
      local client = replaying()
      local task = client:spawn(function() return ask(client) end)
      client:step(0)
      client:close()
      client:run()
      local response, err = task:result()
      assert.is_nil(response)
      assert.equal("cancelled", err.kind)
    end)
  end)

  describe("a recording", function()
    it("is named after its request, so that the same names come again, and holds what came", function()
      local script = {}
      for i = 1, 4 do script[i] = reply("answer", { delay_ms = (i % 2) * 40 }) end
      local kept
      for _, order in ipairs { { 1, 2, 3, 4 }, { 4, 3, 2, 1 } } do
        server:script(script)
        local client = recording(server.url)
        for _, i in ipairs(order) do client:spawn(ask, client, "question " .. (i % 3)) end
        client:run()
        kept = kept or names()
        assert.same(kept, names())
      end
      assert.equal(4, #kept)
      for _, name in ipairs(kept) do
        assert.truthy(name:find "^models%-gemini%-3%.5%-flash%-generateContent%-%x+%-[12]%.json$", name)
        assert.truthy(read_file(folder() .. "/" .. name):find('\n              "text": "question ', 1, true))
        assert.truthy(read_file(folder() .. "/" .. name):find('"text": "answer"', 1, true))
      end
    end)

    it("may be changed by hand, and written anew in another form", function()
      server:script { reply "Hello" }
      assert(ask(recording(server.url)))
      local path = folder() .. "/" .. names()[1]
      local text = read_file(path):gsub("Hello", "Good day"):gsub("\n%s*", "")
      os.remove(path)
      write_file(folder() .. "/mine.json", text)
      assert.equal("Good day", assert(ask(replaying())).text)
    end)

    it("has media and large bodies by their digest, small ones as they are", function()
      server:script { reply "one", reply "two" }
      local client = recording(server.url, { inline_limit = 20 * 1024 * 1024 })
      assert(ask(client, { "small", { data = read_file(SLIDE), mime_type = "image/png", via = "inline" } }))
      assert(ask(client, { "large", { data = read_file(SLIDE):rep(300), mime_type = "image/png", via = "inline" } }))
      assert.is_true(#everything() < 6000)
      client = replaying()
      assert.equal("two", assert(ask(client, { "large", { data = read_file(SLIDE):rep(300), mime_type = "image/png",
        via = "inline" } })).text)
      local _, err = ask(client, { "small", { data = read_file(SLIDE) .. "x", mime_type = "image/png",
        via = "inline" } })
      assert.truthy(err.message:find('inlineData.data', 1, true), err.message)
    end)

    it("holds no secret, whatever repeats one", function()
      local token = "auth_tokens/" .. ("a1"):rep(20)
      server:script {
        refusal(400, "you sent " .. KEY .. " and a cookie-of-the-spec", { ["x-goog-echo"] = KEY }),
        stream_of { event("here it is: " .. KEY:sub(1, 9)):sub(1, -30), event("x"), event(KEY, "STOP") },
        { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = { name = token } } },
      }
      local client = recording(server.url, { http_options = { base_url = server.url, retry_options = false,
        headers = { Cookie = "session cookie-of-the-spec" } } })
      ask(client, "my key is " .. KEY)
      local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
      while stream:next() do end -- luacheck: ignore
      client.auth_tokens:create {}
      client = recording(em.url)
      assert(client.files:upload { file = SLIDE })
      assert(client.files:get "files/none" == nil)
      local text = everything()
      assert.is_true(#names() >= 5)
      assert.is_nil(text:find(KEY, 1, true))
      assert.is_nil(text:find("cookie-of-the-spec", 1, true))
      assert.is_nil(text:find("a1a1a1", 1, true))
      for _, entry in ipairs(em:requests()) do
        if entry.query and entry.query.upload_id then
          assert.is_nil(text:find(entry.query.upload_id, 1, true))
        end
      end
      assert.is_nil(text:find "upload_id=")
    end)

    it("holds none in whatever way it is escaped", function()
      local key = "ya29.ab/cd=ef&gh<wxyz"
      local slashed = key:gsub("/", "\\/")
      local numbered = slashed:gsub("[=&<]", function(sign) return ("\\u%04x"):format(sign:byte()) end)
      for _, form in ipairs { key, slashed, numbered, (numbered:gsub("\\/", "/")) } do
        local sent = ('{"candidates":[{"content":{"parts":[{"text":"%s"},{"functionCall":{"name":"f",'
          .. '"args":{"%s":1}}}]},"finishReason":"STOP"}]}'):format(form, form)
        server:script {
          { status = 200, headers = { ["content-type"] = "application/json" }, body = { bytes = sent } },
          stream_of { "data: " .. sent .. "\n\n" },
        }
        local client = recording(server.url, { api_key = key })
        assert(ask(client, "My key is " .. key))
        local stream = client.models:generate_content_stream { model = MODEL, contents = key }
        while stream:next() do end -- luacheck: ignore
        client:close()
        local text = everything()
        assert.is_nil(text:find("ya29.", 1, true), form)
        assert.is_nil(text:find("wxyz", 1, true), form)
      end
    end)

    it("that cannot be written is an error", function()
      server:script { reply "one", reply "two" }
      local response, err = ask(recording(server.url, { record = SLIDE }))
      assert.is_nil(response)
      assert.equal("io", err.kind)
      local client = recording(server.url)
      process.remove_directory(folder())
      assert(ask(client))
      response, err = ask(client)
      assert.is_nil(response)
      assert.equal("io", err.kind)
      assert.truthy(err.message:find("cannot write the recording", 1, true))
      for _ = 1, 2 do assert.same({ nil, err }, { client:close() }) end -- of a program's last call nothing else tells
      assert.is_true(recording(server.url):close())
    end)

    it("has none of an answer's headers but those that the library reads", function()
      server:script { reply("one", { headers = { ["content-type"] = "application/json", ["x-other"] = "1",
        ["x-request-id"] = "r-1", etag = "e-1" } }) }
      assert(ask(recording(server.url)))
      local recorded = assert(require("cjson").decode(everything()))
      assert.same({ ["content-type"] = "application/json", ["x-request-id"] = "r-1" }, recorded.answer.headers)
    end)

    it("of a download that no disk has room for is an error", function()
      for _, size in ipairs { 100, 100000 } do -- what is small is written when the file is closed
        local answer = { status = 200, body = { bytes = ("x"):rep(size) } }
        server:script { answer, answer, reply "one" }
        assert(recording(server.url).files:download "files/x")
        local kept
        for _, name in ipairs(names()) do kept = name:match "%.bin$" and name or kept end
        os.remove(folder() .. "/" .. kept)
        assert(os.execute(("ln -s /dev/full '%s/%s'"):format(folder(), kept)))
        local client = recording(server.url)
        assert(client.files:download "files/x")
        local response, err = ask(client)
        assert.is_nil(response)
        assert.equal("io", err.kind)
        assert.truthy(err.message:find(kept .. ": No space left", 1, true), err.message)
        process.remove_directory(folder())
      end
    end)
  end)

  describe("what was not recorded", function()
    local function failure(client, contents, config)
      local response, err = ask(client, contents, config)
      assert.is_nil(response)
      assert.equal("unrecorded", err.kind)
      assert.is_false(err.retryable)
      return err.message
    end

    it("is an error that names the nearest recording and what differs", function()
      server:script { reply "one", reply "two", reply "three" }
      local client = recording(server.url)
      assert(ask(client, "What is a river?"))
      assert(ask(client, "What is a lake?", { temperature = 0.5 }))
      assert(client.models:generate_content { model = "gemini-other", contents = "Hi" })
      client = replaying()
      local function says(text, message) assert.truthy(message:find(text, 1, true), message) end
      local message = failure(client, "What is a lake?", { temperature = 1 })
      says("POST /v1beta/models/gemini-3.5-flash:generateContent has no recording in " .. folder(), message)
      says("body.generationConfig.temperature is 0.5, not 1", message)
      says("models-gemini-3.5-flash-generateContent-", message)
      says(', not "What is a sea?"; 1 more differs', failure(client, "What is a sea?", { temperature = 1 }))
      says("body.generationConfig is nothing, not {", failure(client, "What is a river?", { temperature = 1 }))
      local _, err = client.models:generate_content { model = "gemini-third", contents = "Hi" }
      says('path is "/v1beta/models/gemini-other:generateContent", not "/v1beta/models/gemini-third', err.message)
    end)

    it("is compared by method first, then by path, then by what is in the body", function()
      server:script { { status = 200, headers = { ["content-type"] = "application/json" },
        body = { json = { name = "models/gemini-a" } } }, reply "one", reply "two", reply "three" }
      local client = recording(server.url)
      local function count(model, contents, config)
        return client.models:count_tokens { model = model, contents = contents or "Hi", config = config }
      end
      assert(client.models:get "gemini-a")
      assert(ask(client, "Hi", { http_options = { extra_body = { x = { 1, 2, 3 } } } }))
      assert(client.models:generate_content { model = "gemini-a", contents = "Hi" })
      count("gemini-b", "Ho", { system_instruction = "Be brief." })
      client = replaying()
      local function says(text, absent, _, err)
        assert.truthy(err.message:find(text, 1, true), err.message)
        assert.is_nil(err.message:find(absent, 1, true), err.message)
      end
      says("the nearest is models-gemini-a-generateContent-", "differ", client.models:generate_content {
        model = "gemini-c", contents = "Hi" })
      says("the nearest is models-gemini-a-generateContent-", "differ", count "gemini-a")
      says("the nearest is models-gemini-b-countTokens-", "where path", count "gemini-b")
      says('where path is "/v1beta/models/gemini-b:countTokens", not "/v1beta/models/gemini-d:countTokens"; 2 more ',
        "where body", count "gemini-d")
      says("the nearest is models-gemini-a-", "generateContent-", client.models:get "gemini-c/d/e/f/g/h/i/j")
      says("where body.x[1] is 1, not nothing; 3 more differ", "body.x.a is nothing", ask(client, "Hi",
        { http_options = { extra_body = { x = { a = 1 } } } }))
    end)

    it("is one where a request comes more often than it was recorded", function()
      server:script { reply "one", reply "two" }
      local client = recording(server.url)
      assert(ask(client))
      assert(ask(client))
      client = replaying()
      assert.equal("one", assert(ask(client)).text)
      assert.equal("two", assert(ask(client)).text)
      local message = failure(client)
      assert.truthy(message:find("was recorded 2 times", 1, true), message)
      assert.truthy(message:find("number 3", 1, true), message)
      assert.equal("one", assert(ask(replaying())).text) -- each client begins anew
    end)

    it("shows in streams and in uploads, too", function()
      server:script { reply "one" }
      assert(ask(recording(server.url)))
      local client = replaying()
      local chunk, err = client.models:generate_content_stream { model = MODEL, contents = "Hi" }:next()
      assert.is_nil(chunk)
      assert.equal("unrecorded", err.kind)
      local file, problem = client.files:upload { file = SLIDE }
      assert.is_nil(file)
      assert.equal("unrecorded", problem.kind)
    end)

    it("is an error of its own where nothing can be read", function()
      local _, err = ask(replaying())
      assert.equal("io", err.kind)
      assert.truthy(err.message:find(folder(), 1, true))
      os.execute("mkdir " .. folder())
      assert.truthy(failure(replaying()):find("nor has any other request", 1, true))
      for _, text in ipairs { "", "{", '{"version":"lgemini recording 9"}',
        '{"version":"lgemini recording 1","request":{"method":"GET","path":"/"},"answer":{}}',
        '{"version":"lgemini recording 1","request":{"method":"GET","path":"/"},"answer":{"status":"200"}}',
        '{"version":"lgemini recording 1","request":{"method":"GET","path":"/"},"answer":{"status":200,"file":"../x"}}',
        '{"version":"lgemini recording 1","request":{"method":"GET","path":"/"},"answer":{"status":200,"pieces":[1]}}',
      } do
        write_file(folder() .. "/broken.json", text)
        _, err = ask(replaying())
        assert.truthy(err.kind == "integrity" or text == "" and err.kind == "io", tostring(err))
        assert.truthy(err.message:find("broken.json", 1, true), err.message)
      end
    end)
  end)

  it("are refused together, and with a state_dir", function()
    assert.error_matches(function() gemini.Client { record = "a", replay = "b" } end, "record, replay: one of the two")
    assert.error_matches(function() gemini.Client { replay = true } end, "replay: string expected")
    assert.error_matches(function() gemini.Client { replay = "a", state_dir = folder "b" } end,
      "state_dir: not with record")
    assert.is_nil(io.open(folder "b")) -- none is made for what is refused
  end)

  it("keep looking again where it was looked again, without the waits; prewarm has nothing to do", function()
    em:set { processing = 1 }
    local seen = twice(em.url, function(client)
      assert(client:prewarm())
      local file = assert(client.files:upload { file = "spec/fixtures/demo.mp4", reuse = false })
      return { file.name, file.state }
    end)
    em:set { processing = 0.1 }
    assert.equal("ACTIVE", seen[2])
    local again, waits = watched(replaying())
    assert(again.files:upload { file = "spec/fixtures/demo.mp4", reuse = false })
    assert.is_true(#waits > 0)
    for _, seconds in ipairs(waits) do assert.equal(0, seconds) end
  end)

  it("tell hooks what they tell them elsewhere", function()
    server:script { refusal(503, "busy"), reply "Hello" }
    assert(ask(recording(server.url)))
    local seen = {}
    local client = replaying { on_request = function(view) seen[#seen + 1] = view.attempt end,
      on_response = function(view) seen[#seen + 1] = view.status end,
      on_retry = function(view) seen[#seen + 1] = view.error.kind end }
    assert(ask(client))
    assert.same({ 1, 503, "unavailable", 2, 200 }, seen)
  end)

  it("holds nothing of what it was asked, while answers live", function()
    server:script { reply "seen" }
    local client = recording(server.url)
    assert(ask(client))
    client:close()
    client = replaying()
    local function bodies()
      collect()
      return client.core.alive().body or 0
    end
    local before = bodies()
    local response = assert(ask(client))
    assert.equal(before, bodies())
    assert.equal(1, response.transport.attempts)
    client:close()
  end)

  it("holds nothing of what it has written, while answers live", function()
    local client, answers = recording(server.url), {}
    local script = {}
    for i = 1, 20 do script[i] = reply(("x"):rep(100000)) end
    server:script(script)
    local function another()
      return assert(client.models:generate_content { model = MODEL, contents = "a" })
    end
    another()
    collectgarbage()
    collectgarbage()
    local before = collectgarbage "count"
    for i = 1, 19 do answers[i] = another() end
    collectgarbage()
    collectgarbage()
    local grown = collectgarbage "count" - before
    assert.is_true(grown < 19 * 130, grown)
    assert.equal(1, answers[19].transport.attempts)
    client:close()
  end)
end)
