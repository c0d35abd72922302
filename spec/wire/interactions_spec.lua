-- Interactions: against the emulator, and what it cannot do against a scripted server.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local refused = require "spec.support.refused"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

local function connect(url)
  return gemini.Client { api_key = "key-of-the-interactions", http_options = { base_url = url, retry_options = false } }
end

local read = files.read

describe("an interaction", function()
  local em, client

  setup(function() em = emulator.start { args = { "--background", "0.2" } } end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = connect(em.url)
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  it("answers, is kept, goes on, and is deleted", function()
    local first = assert(client.interactions:create { model = MODEL, input = "Hello there.",
      system_instruction = "Be brief.", generation_config = { max_output_tokens = 300, temperature = 0 } })
    assert.equal("completed", first.status)
    assert.truthy(first.text:find("Hello there", 1, true), first.text)
    assert.truthy(first.usage.total_tokens > first.usage.total_output_tokens)
    assert.equal(0, first.usage.total_cached_tokens)
    assert.equal("user_input", assert(client.interactions:get { id = first.id, include_input = true }).input[1].type)
    local second = assert(client.interactions:create { model = MODEL, input = "And more.",
      previous_interaction_id = first.id })
    assert.truthy(second.usage.total_input_tokens > first.usage.total_input_tokens)
    assert.is_true(client.interactions:delete(first.id))
    local err = refused("not_found", "was not found", client.interactions:get(first))
    assert.equal(404, err.code)
  end)

  it("takes local media inline, in all forms, and the service's steps back", function()
    local png = read "spec/fixtures/slide.png"
    local answer = assert(client.interactions:create { model = MODEL, input = {
      "What are these?", { file = "spec/fixtures/slide.png" }, { type = "image", data = png },
      { type = "audio", file = "spec/fixtures/call.mp3" }, { file = "spec/fixtures/paper.pdf" },
    } })
    local input = em:requests()[1].body.input
    assert.same({ "text", "image", "image", "audio", "document" }, { input[1].type, input[2].type, input[3].type,
      input[4].type, input[5].type })
    assert.equal("image/png", input[2].mime_type)
    assert.equal("application/pdf", input[5].mime_type)
    assert.truthy(answer.text:find("received 5 parts", 1, true), answer.text)
    local hash = require("lgemini.core").sha256.of(png)
    local _, times = answer.text:gsub(hash, "")
    assert.equal(2, times)

    local steps = { { type = "user_input", content = { { type = "text", text = "One." } } } }
    for _, step in ipairs(answer.steps) do steps[#steps + 1] = step end
    steps[#steps + 1] = { type = "user_input", content = { { type = "text", text = "Two." } } }
    assert(client.interactions:create { model = MODEL, input = steps, store = false })
  end)

  it("streams, and can be taken up where it broke", function()
    local types, texts, id, last = {}, {}, nil, nil
    for event, stream in client.interactions:create { model = MODEL, input = "in 5 sentences", stream = true } do
      types[event.event_type] = true
      texts[#texts + 1] = event.text
      id, last = stream.response.id, stream.response.last_event_id
      if #texts == 6 then
        stream:close()
        break
      end
    end
    assert.is_true(types["interaction.created"])
    for event in client.interactions:get { id = id, stream = true, last_event_id = last } do
      types[event.event_type] = true
      texts[#texts + 1] = event.text
    end
    assert.is_true(types["interaction.completed"])
    assert.equal(assert(client.interactions:get(id)).text, table.concat(texts))
  end)

  it("gives the whole of a stream as one answer", function()
    local stream = client.interactions:create { model = MODEL, input = "in 5 sentences", stream = true }
    repeat local event = stream:next() until not event
    local whole = stream.response
    assert.equal("completed", whole.status)
    assert.equal(assert(client.interactions:get(whole.id)).text, whole.text)
    assert.truthy(whole.usage.total_tokens > 0)
    local joined = {}
    for text in client.interactions:get { id = whole.id, stream = true }:texts() do joined[#joined + 1] = text end
    assert.equal(whole.text, table.concat(joined))
  end)

  it("asks for functions, streamed or not", function()
    local tools = { { type = "function", name = "get_weather", parameters = { type = "object",
      properties = { city = { type = "string" } }, required = { "city" } } } }
    local answer = assert(client.interactions:create { model = MODEL, input = "call get_weather", tools = tools })
    assert.equal("requires_action", answer.status)
    local call = answer.function_calls[1]
    assert.equal("get_weather", call.name)
    assert.equal("string", type(call.arguments.city))
    local done = assert(client.interactions:create { model = MODEL, previous_interaction_id = answer.id, tools = tools,
      input = { { type = "function_result", call_id = call.id, name = call.name, result = { temp = 4 } } } })
    assert.equal("completed", done.status)
    local stream = client.interactions:create { model = MODEL, input = "call get_weather", tools = tools,
      stream = true }
    repeat local event = stream:next() until not event
    assert.equal(call.arguments.city, stream.response.function_calls[1].arguments.city)
  end)

  it("runs in the background, is waited for and cancelled", function()
    local running = assert(client.interactions:create { model = MODEL, input = "Hello", background = true })
    assert.equal("in_progress", running.status)
    assert.equal("", running.text)
    refused("timeout", running.id .. " was not done after 0.05 s", client.interactions:wait { id = running.id,
      timeout = 0.05 })
    assert.truthy(assert(client.interactions:wait(running)).text:find("Hello", 1, true))
    local other = assert(client.interactions:create { model = MODEL, input = "Hello", background = true })
    assert.equal("cancelled", assert(client.interactions:cancel(other)).status)
    local err = refused("cancelled", "was cancelled", client.interactions:wait(other.id))
    assert.equal("cancelled", err.interaction.status)
  end)

  it("is refused here where it cannot be right", function()
    em:clear()
    local create = function(args) return client.interactions:create(args) end
    refused("invalid", "model or agent is needed", create { input = "x" })
    refused("invalid", "both model and agent", create { model = MODEL, agent = "a", input = "x" })
    refused("invalid", "input is needed", create { model = MODEL })
    refused("io", "input[1]", create { model = MODEL, input = { { file = "gone.png" } } })
    refused("invalid", "interaction id is not valid", client.interactions:get "a/b")
    refused("invalid", "interaction id is empty", client.interactions:delete "")
    assert.error_matches(function() create { model = MODEL, contents = "x" } end, "did you mean input")
    assert.error_matches(function() create { model = MODEL, input = "x", generation_config = { top_k = 1 } } end,
      "generation_config.top_k")
    local loop = {}
    loop.a = loop
    refused("invalid", "nested", create { model = MODEL, input = loop })
    assert.same({}, em:requests())
    refused("invalid", "no agents", create { agent = "a", input = "x" })
  end)

  it("reads no files where the client may not", function()
    local closed = gemini.Client { api_key = "key-of-the-interactions", local_files = false,
      http_options = { base_url = em.url } }
    refused("invalid", "local files are switched off", closed.interactions:create { model = MODEL,
      input = { { file = "spec/fixtures/slide.png" } } })
    closed:close()
  end)
end)

describe("scripted interactions", function()
  local server, client

  setup(function() server = scripted.start { limit = 10 } end)
  teardown(function() server:stop() end)
  before_each(function() client = connect(server.url) end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function events(list, rest)
    local chunks = {}
    for i, event in ipairs(list) do chunks[i] = "data: " .. cjson.encode(event) .. "\n\n" end
    chunks[#chunks + 1] = rest
    server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = chunks,
      delay_ms = 0 } } }
    return client.interactions:create { model = MODEL, input = "x", stream = true }
  end

  it("decode the bytes of media and keep user data", function()
    server:script { { status = 200, body = { bytes = '{"id":"v1_a","status":"completed","steps":['
      .. '{"type":"model_output","content":[{"type":"image","mime_type":"image/png","data":"iVBORw=="}]},'
      .. '{"type":"function_call","id":"c",'
      .. '"name":"f","arguments":{"type":"image","data":"iVBORw==","none":null}},{"type":"later","x":{"y":[]}}]}' } } }
    local answer = assert(client.interactions:get "v1_a")
    assert.equal("\137PNG", answer.media[1].data:sub(1, 4))
    local path = os.tmpname()
    assert(answer:save(path))
    local file = assert(io.open(path, "rb"))
    assert.equal(answer.media[1].data, file:read "*a")
    file:close()
    os.remove(path)
    local _, err = answer:save(path .. ".wav")
    assert.equal("invalid", err.kind)
    assert.same({ type = "image", data = "iVBORw==", none = gemini.null }, answer.function_calls[1].arguments)
    assert.same({}, answer.steps[3].x.y)
    server:script { { status = 200, body = { json = { id = "v1_b", status = "completed" } } } }
    assert(client.interactions:create { model = MODEL, input = answer.steps })
    local sent = cjson.decode(server:received()[1].body).input
    assert.equal("iVBORw==", sent[1].content[1].data)
    assert.equal("iVBORw==", sent[2].arguments.data)
    assert.equal(cjson.null, sent[2].arguments.none)
  end)

  -- A file that is there, so that one that is opened would be sent.
  it("send back what came as it came, whatever it names: no file is opened for it", function()
    local path = "spec/fixtures/slide.png"
    local function odd() return { type = "image", mime_type = "image/png", file = path } end
    local steps = { odd(), { file = path }, { data = "QUJD" }, { type = "model_output", content = { odd(),
      { file = path }, { type = "image", mime_type = { 1 }, data = "iVBORw==" }, { type = "image", data = 5 } } } }
    server:script { { status = 200, body = { json = { id = "v1_a", status = "completed", steps = steps } } },
      { status = 200, body = { json = { id = "v1_b", status = "completed" } } } }
    local answer = assert(client.interactions:get "v1_a")
    assert(client.interactions:create { model = MODEL, input = answer.steps })
    assert.same(steps, cjson.decode(server:received()[2].body).input)
    local list = {}
    for i, step in ipairs(steps) do
      list[2 * i - 1] = { event_type = "step.start", index = i - 1, step = step }
      list[2 * i] = { event_type = "step.delta", index = i - 1, delta = odd() }
    end
    list[#list + 1] = { event_type = "interaction.completed", interaction = { id = "v1_c", status = "completed" } }
    local stream = events(list)
    repeat local event = stream:next() until not event
    server:script { { status = 200, body = { json = { id = "v1_d", status = "completed" } } } }
    assert(client.interactions:create { model = MODEL, input = stream.response.steps })
    local sent = cjson.decode(server:received()[1].body).input
    for _, step in ipairs(steps) do
      step.content = step.content or {}
      table.insert(step.content, odd())
    end
    assert.same(steps, sent)
  end)

  it("save media that are such, and no others", function()
    local content = { { type = "image", mime_type = { 1 }, data = "iVBORw==" }, { type = "image", data = { 1 } } }
    server:script { { status = 200, body = { json = { id = "v1_a", status = "completed",
      steps = { { type = "model_output", content = content } } } } } }
    local answer = assert(client.interactions:get "v1_a")
    assert.equal(1, #answer.media)
    local path = os.tmpname()
    assert(answer:save(path))
    os.remove(path)
  end)

  it("fail where they were cut, with what had come", function()
    local stream = events { { event_type = "interaction.created", interaction = { id = "v1_x" }, event_id = "e1" },
      { event_type = "step.delta", index = 0, delta = { type = "text", text = "Half" }, event_id = "e2" } }
    local event, err
    repeat event, err = stream:next() until not event
    assert.equal("incomplete", err.kind)
    assert.equal("Half", err.partial.text)
    assert.equal("e2", err.partial.last_event_id)
    assert.equal("v1_x", err.partial.id)
  end)

  it("fail where an event says so", function()
    local stream = events { { event_type = "error", error = { code = "overloaded", message = "come back later" } } }
    local event, err = stream:next()
    assert.is_nil(event)
    assert.truthy(err.message:find("come back later", 1, true), err.message)
  end)

  it("end at [DONE], and events that nobody knows are handed on", function()
    local stream = events({ { event_type = "of.tomorrow", x = 1 },
      { event_type = "interaction.completed", interaction = { id = "v1_x", status = "completed" } } },
      "data: [DONE]\n\n")
    assert.equal("of.tomorrow", assert(stream:next()).event_type)
    assert.equal("interaction.completed", assert(stream:next()).event_type)
    assert.same({}, { stream:next() })
    assert.equal("text/event-stream", server:received()[1].header.accept)
  end)

  it("end when their status says so, too", function()
    local stream = events {
      { event_type = "interaction.created", interaction = { id = "v1_x", status = "in_progress" } },
      { event_type = "interaction.status_update", interaction_id = "v1_x", status = "requires_action" } }
    repeat
      local event, err = stream:next()
      assert.is_nil(err)
    until not event
    assert.equal("requires_action", stream.response.status)
  end)

  it("are told by their status where nothing else names them, and have what was thought", function()
    local stream = events {
      { event_type = "step.delta", delta = { type = "text", text = "of no step" } },
      { event_type = "step.delta", index = 0, delta = "nonsense" },
      { event_type = "step.start", index = 0, step = { type = "thought" } },
      { event_type = "step.delta", index = 0, delta = { type = "thought_summary", content = { text = "First," } } },
      { event_type = "step.delta", index = 0, delta = { type = "thought_summary", content = { text = "then." } } },
      { event_type = "step.delta", index = 0, delta = { type = "thought_signature", signature = "U0lH" } },
      { event_type = "interaction.status_update", interaction_id = "v1_y", status = "budget_exceeded" } }
    repeat
      local event, err = stream:next()
      assert.is_nil(err)
    until not event
    assert.equal("v1_y", stream.response.id)
    assert.same({ { type = "thought", summary = { { text = "First," }, { text = "then." } }, signature = "U0lH" } },
      stream.response.steps)
  end)

  it("may have any shape: what can be joined is", function()
    local started = { event_type = "step.start", index = 0, step = { type = "model_output" } }
    local function delta(fields) return { event_type = "step.delta", index = 0, delta = fields } end
    local text, done = delta { type = "text", text = "a" },
      { event_type = "interaction.completed", interaction = { id = "v1_x", status = "completed" } }
    local function joined(...)
      local list = { ... }
      list[#list + 1] = done
      local stream = events(list)
      repeat
        local event, err = stream:next()
        assert.is_nil(err)
      until not event
      local response = stream.response
      assert.is_string(response.text)
      assert.is_table(response.media)
      assert.is_number(response.usage.total_tokens)
      return response.text, response.steps[1]
    end
    assert.equal("aa", (joined(text, delta { type = "text", text = { 1 } }, delta { type = "text" }, text)))
    assert.same({ type = "model_output" }, select(2, joined(delta { type = "arguments_delta", arguments = { 1 } })))
    for _, odd in ipairs { "text", 5, true, { 1, 2 }, { type = "text" }, { { type = "text", text = { 1 } } } } do
      started.step = { type = "model_output", content = odd, summary = odd, pieces = odd, arguments = odd }
      assert.equal("aa", (joined(started, text, text, delta { type = "thought_summary", content = odd })))
      assert.equal("", (joined(started, delta { type = "image", data = "iVBORw==", mime_type = odd })))
    end
    started.step = { type = "model_output", content = { { type = "text", text = "so ", pieces = 1, more = 2 } } }
    local whole, step = joined(started, text)
    assert.equal("so a", whole)
    assert.same({ { type = "text", text = "so a", pieces = 1, more = 2 } }, step.content)
    for _, odd in ipairs { 5, "x", { 1 } } do
      assert.equal("", (joined { event_type = "interaction.created", interaction = { steps = odd, usage = odd } }))
    end
  end)

  it("hand out events that stay as they came", function()
    local content = { { type = "text", text = "a" } }
    local stream = events {
      { event_type = "step.start", index = 0, step = { type = "model_output", content = content } },
      { event_type = "step.delta", index = 0, delta = { type = "text", text = "b" } } }
    local first = assert(stream:next())
    assert(stream:next())
    assert.equal("ab", stream.response.text)
    assert.same(content, first.step.content)
    stream:close()
  end)

  it("are waited for until nothing follows, whatever they ended in", function()
    for _, status in ipairs { "requires_action", "incomplete", "budget_exceeded", "completed" } do
      server:script { { status = 200, body = { json = { id = "v1_x", status = "in_progress" } } },
        { status = 200, body = { json = { id = "v1_x", status = status } } } }
      assert.equal(status, assert(client.interactions:wait "v1_x").status)
    end
  end)

  it("have media only where bytes came", function()
    server:script { { status = 200, body = { json = { id = "v1_x", status = "completed", steps = { {
      type = "model_output", content = { { type = "text", text = "a", data = "eA==" }, { type = "image", uri = "u" },
        { type = "audio", mime_type = "audio/L16", data = "eA==" } } } } } } } }
    local answer = assert(client.interactions:create { model = MODEL, input = "x" })
    assert.equal(1, #answer.media)
    assert.equal("x", answer.media[1].data)
  end)

  it("are refused an id that is none, and an input that is too large or within itself", function()
    server:script {}
    refused("invalid", "interaction id is not valid", client.interactions:cancel "a/b")
    refused("invalid", "interaction id is not valid", client.interactions:wait "a/b")
    local small = gemini.Client { api_key = "k", inline_limit = 100, http_options = { base_url = server.url } }
    local err = refused("too_large", "", small.interactions:create { model = MODEL, input = ("x"):rep(200) })
    assert.truthy(err.hint:find("client.files", 1, true), err.hint)
    small:close()
    local input = { type = "user_input" }
    input.content = { input }
    refused("invalid", "nested too deep", client.interactions:create { model = MODEL, input = input })
    assert.equal(0, #server:received())
  end)

  it("declare functions of the program as the API has them, and go on from an answer", function()
    local done = { status = 200, body = { json = { id = "v1_x", status = "completed" } } }
    server:script { done, done }
    local first = assert(client.interactions:create { model = MODEL, input = "x", tools = { { type = "google_search" },
      gemini.tool { name = "f", description = "d", call = print, parameters = gemini.ordered {
        { "when", { type = "STRING", nullable = true, min_length = 1 } }, { "days", "integer[]?: which" },
        { "any", { any_of = { { type = "STRING" }, { type = "OBJECT", properties = { a = { type = "NUMBER" } } } },
          nullable = true } } } },
      gemini.tool { name = "g", call = print, parameters = { type = "object", additionalProperties = false } } } })
    assert(client.interactions:create { model = MODEL, input = { text = "y" }, previous_interaction_id = first })
    local asked = server:received()
    assert.same({ { type = "google_search" },
      { type = "function", name = "f", description = "d", parameters = { type = "object", required = { "when", "any" },
        properties = { when = { type = { "string", "null" }, minLength = 1 },
          days = { type = "array", description = "which", items = { type = "integer" } },
          any = { anyOf = { { type = "string" }, { type = "object", properties = { a = { type = "number" } } },
            { type = "null" } } } } } },
      { type = "function", name = "g", parameters = { type = "object", additionalProperties = false } } },
      cjson.decode(asked[1].body).tools)
    assert.truthy(asked[1].body:find('"properties":{"when":.*"days":.*"any":'), asked[1].body)
    assert.same({ model = MODEL, previous_interaction_id = "v1_x", input = { { type = "text", text = "y" } } },
      cjson.decode(asked[2].body))
  end)

  it("take files of the service", function()
    server:script { { status = 200, body = { json = { name = "files/a", uri = "https://u/files/a", state = "ACTIVE",
      mimeType = "video/mp4" } } }, { status = 200, body = { json = { id = "v1_x", status = "completed" } } } }
    local file = assert(client.files:get "files/a")
    assert(client.interactions:create { model = MODEL, input = { "What is it?", file } })
    assert.same({ { type = "text", text = "What is it?" }, { type = "video", uri = "https://u/files/a",
      mime_type = "video/mp4" } }, cjson.decode(server:received()[2].body).input)
  end)

  it("are waited for though the service does not know them yet", function()
    local unknown = { status = 404, body = { json = { error = { code = "not_found", message = "no such thing" } } } }
    server:script { unknown, unknown, { status = 200, body = { json = { id = "v1_x", status = "completed" } } } }
    assert.equal("completed", assert(client.interactions:wait "v1_x").status)
    server:script { unknown, { status = 403, body = { json = { error = { code = "no", message = "no" } } } } }
    refused("permission", "no", client.interactions:wait "v1_x")
  end)

  it("are not started twice in the background", function()
    client:close()
    client = gemini.Client { api_key = "key-of-the-interactions", http_options = { base_url = server.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
    local fails = { status = 500, body = { bytes = "" } }
    local fine = { status = 200, body = { json = { id = "v1_x", status = "completed" } } }
    server:script { fails, fine }
    local _, err = client.interactions:create { model = MODEL, input = "x", background = true }
    assert.equal(1, err.attempts)
    server:script { fails, fine }
    assert(client.interactions:create { model = MODEL, input = "x" })
  end)

  it("say what a failed one failed for", function()
    server:script { { status = 200, body = { json = { id = "v1_x", status = "failed", error = { message = "no" } } } } }
    refused("http", "the interaction v1_x failed: no", client.interactions:wait "v1_x")
    server:script { { status = 400, body = { json = { error = { code = "invalid_request", message = "bad" } } } } }
    assert.equal("invalid_request", refused("invalid", "bad", client.interactions:get "v1_x").status)
  end)
end)
