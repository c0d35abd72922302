-- Functions that the model calls: the loop, what goes back over the wire, and what never ends it.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

local PARAMETERS = { type = "OBJECT", properties = { city = { type = "STRING" } }, required = { "city" } }

local function reply(parts, reason)
  return { status = 200, headers = { ["content-type"] = "application/json" }, body = { bytes = cjson.encode {
    candidates = { { content = { role = "model", parts = parts }, finishReason = reason or "STOP" } } } } }
end

local function call(name, args, id)
  return { functionCall = { name = name, args = args, id = id } }
end

local function events(...)
  local chunks = {}
  for i, parts in ipairs { ... } do
    chunks[i] = "data: " .. cjson.encode { candidates = { { content = { role = "model", parts = parts },
      finishReason = i == select("#", ...) and "STOP" or nil } } } .. "\r\n\r\n"
  end
  return { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = chunks } }
end

describe("functions that the model calls", function()
  local server, client, ran

  setup(function() server = scripted.start {} end)
  teardown(function() server:stop() end)
  before_each(function()
    ran = {}
    client = gemini.Client { api_key = "secret-key", http_options = { base_url = server.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function tool(name, fn)
    return gemini.tool { name = name, description = "d", parameters = { city = "string" }, call = function(args, about)
      ran[#ran + 1] = name .. " " .. tostring(args.city)
      if fn then return fn(args, about) end
      return { temp = 4 }
    end }
  end

  local function ask(tools, more)
    local args = { model = MODEL, contents = "Go.", config = { tools = tools } }
    for name, value in pairs(more or {}) do args[name] = value end
    return client.models:generate_content(args)
  end

  local function bodies()
    local out = {}
    for i, exchange in ipairs((server:received())) do out[i] = cjson.decode(exchange.body) end
    return out
  end

  -- What the model was told of its calls.
  local function told(n)
    local contents = bodies()[n].contents
    local out = {}
    for i, part in ipairs(contents[#contents].parts) do out[i] = part.functionResponse end
    return out
  end

  it("run, in parallel, and their results go back with the ids of the calls", function()
    local signed = call("weather", { city = "Oslo" }, "c1")
    signed.thoughtSignature = "c2ln"
    server:script { reply { { text = "", thought = true }, signed,
      call("weather", { city = "Rome" }, "c2"), call("now", nil, "c3") },
      reply { { text = "Cold." } } }
    local now = tool("now", function() return "noon" end)
    local response = assert(ask { tool "weather", { google_search = {} }, now })
    assert.equal("Cold.", response.text)
    assert.same({ "weather Oslo", "weather Rome", "now nil" }, ran)
    local sent = bodies()
    assert.same({ { googleSearch = {} }, { functionDeclarations = {
      { name = "weather", description = "d", parameters = PARAMETERS },
      { name = "now", description = "d", parameters = PARAMETERS } } } }, sent[1].tools)
    assert.same(sent[1].tools, sent[2].tools)
    assert.equal(3, #sent[2].contents)
    assert.equal("c2ln", sent[2].contents[2].parts[2].thoughtSignature)
    assert.equal("user", sent[2].contents[3].role)
    assert.same({ { id = "c1", name = "weather", response = { result = { temp = 4 } } },
      { id = "c2", name = "weather", response = { result = { temp = 4 } } },
      { id = "c3", name = "now", response = { result = "noon" } } }, told(2))
    local history = response.automatic_function_calling_history
    assert.equal(3, #history)
    assert.equal("Go.", history[1].parts[1].text)
    assert.equal("c2", history[3].parts[2].function_response.id)
  end)

  it("wait at the same time", function()
    server:script { reply { call("slow", { city = "A" }), call("slow", { city = "B" }) }, reply { { text = "." } } }
    local order = {}
    assert(ask { tool("slow", function(args)
      order[#order + 1] = "begin " .. args.city
      client.tasks:sleep(args.city == "A" and 0.1 or 0.02)
      order[#order + 1] = "end " .. args.city
      return true
    end) })
    assert.same({ "begin A", "begin B", "end B", "end A" }, order)
  end)

  it("may give media beside their results, which stand in them as bytes", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write "\137PNG\r\n\26\nrest"
    file:close()
    server:script { reply { call("shoot", {}) }, reply { { text = "Nice." } } }
    assert(ask { tool("shoot", function()
      return { taken = true }, { { file = path }, { data = "raw", mime_type = "image/x" },
        { inline_data = { mime_type = "image/y", data = "own" } } }
    end) })
    os.remove(path)
    local told_of = told(2)[1]
    assert.same({ result = { taken = true } }, told_of.response)
    assert.same({ { inlineData = { mimeType = "image/png", data = "iVBORw0KGgpyZXN0" } },
      { inlineData = { mimeType = "image/x", data = "cmF3" } },
      { inlineData = { mimeType = "image/y", data = "b3du" } } }, told_of.parts)
  end)

  it("tell the model of media that cannot be sent, and ignore what else stands beside a result", function()
    server:script { reply { call("gone", {}), call("odd", {}), call("list", {}), call("count", {}) },
      reply { { text = "Sorry." } } }
    assert(ask { tool("gone", function() return 1, { { file = "/nowhere/x.png" } } end),
      tool("odd", function() return 1, { { picture = true } } end), tool("list", function() return 1, { "x" } end),
      tool("count", function() return ("abc"):gsub("b", "x") end) })
    local answers = told(2)
    assert.matches("cannot be sent: media%[1%]: .*/nowhere/x.png", answers[1].response.error)
    for i = 2, 3 do assert.matches("worked, but its result cannot be sent: ", answers[i].response.error) end
    assert.same({ result = "axc" }, answers[4].response)
    assert.is_nil(answers[4].parts)
  end)

  it("tell the model what went wrong, and raise nothing", function()
    server:script { reply { call("raises", { city = "x" }), call("fails"), call("nobody"), call("nothing"),
      call("odd"), call("object") }, reply { { text = "Sorry." } } }
    local response = assert(ask { tool("raises", function() error "no secret-key here" end),
      tool("fails", function() return nil, "not found" end), tool("nothing", function() end),
      tool("odd", function() return print end), tool("object", function() error { 1 } end) })
    assert.equal("Sorry.", response.text)
    local answers = told(2)
    assert.same({ error = "no [redacted] here" }, answers[1].response)
    assert.same({ error = "not found" }, answers[2].response)
    assert.matches("^there is no function nobody; there are: fails, ", answers[3].response.error)
    assert.equal(cjson.null, answers[4].response.result)
    assert.matches("^the function worked, but its result cannot be sent: .*result: a value of JSON expected",
      answers[5].response.error)
    assert.matches("^table: ", answers[6].response.error)
  end)

  it("do not run where they are refused", function()
    server:script { reply { call("weather", { city = "Oslo" }), call("weather", { city = "Rome" }) },
      reply { { text = "Ok." } } }
    assert(ask({ tool "weather" }, { approve = function(asked)
      asked.args.city = asked.args.city:upper()
      if asked.args.city == "ROME" then return true end
      return false, "too cold"
    end }))
    assert.same({ "weather Rome" }, ran)
    assert.same({ error = "too cold" }, told(2)[1].response)
    assert.same({ result = { temp = 4 } }, told(2)[2].response)
  end)

  it("end at the limit of calls to the model, with the calls that are left", function()
    local answers = {}
    for i = 1, 20 do answers[i] = reply { call("weather", { city = tostring(i) }) } end
    server:script(answers)
    local response = assert(ask { tool "weather" })
    assert.equal(1, #response.function_calls)
    assert.equal(9, #ran)
    assert.equal(10, #server:received())
    assert.equal(19, #response.automatic_function_calling_history)
    server:script(answers)
    local function limited(automatic)
      ran = {}
      server:script(answers)
      local got = assert(client.models:generate_content { model = MODEL, contents = "Go.", config = {
        tools = { tool "weather" }, automatic_function_calling = automatic } })
      return #ran, #server:received(), #got.automatic_function_calling_history
    end
    assert.same({ 2, 3, 5 }, { limited { maximum_remote_calls = 3 } })
    assert.same({ 2, 3, 0 }, { limited { maximum_remote_calls = 3, ignore_call_history = true } })
    assert.same({ 0, 1, 0 }, { limited { maximum_remote_calls = 0 } })
    assert.same({ 0, 1, 0 }, { limited { disable = true } })
    assert.has_error(function() limited { disabled = true } end)
  end)

  it("leave to the caller what is not theirs", function()
    server:script { reply { call("mine"), call("weather", { city = "x" }) } }
    local mine = { function_declarations = { { name = "mine", description = "d" } } }
    local response = assert(ask { tool "weather", mine })
    assert.equal(2, #response.function_calls)
    assert.same({}, ran)
    server:script { reply { call("click_at") } }
    response = assert(ask { tool "weather", { computer_use = { environment = "ENVIRONMENT_BROWSER" } } })
    assert.equal("click_at", response.function_calls[1].name)
    assert.same({}, ran)
    server:script { reply { call("weather", { city = "x" }) }, reply { { text = "Done." } } }
    response = assert(ask { tool "weather", { computer_use = { environment = "ENVIRONMENT_BROWSER" } } })
    assert.equal("Done.", response.text) -- its own it runs
    assert.equal(1, #ran)
    table.remove(ran)
    server:script { reply { call("served") } }
    response = assert(ask { tool "weather", { mcp_servers = { { name = "m" } } } })
    assert.equal("served", response.function_calls[1].name)
    server:script { reply({ call("weather") }, "MAX_TOKENS") }
    response = assert(ask { tool "weather" })
    assert.equal("MAX_TOKENS", response.finish_reason)
    assert.same({}, ran)
  end)

  it("do not change what the model said by changing their arguments", function()
    local first = { candidates = { { content = { parts = { call("weather", { city = "Oslo" }) } } } } }
    server:script { { status = 200, body = { json = first } }, reply { { text = "." } } }
    assert(ask { tool("weather", function(args, about)
      args.city, about.name = "changed", "changed"
      return 1
    end) })
    local said = bodies()[2].contents[2]
    assert.same({ role = "model", parts = { { functionCall = { name = "weather", args = { city = "Oslo" } } } } }, said)
  end)

  it("run in streams", function()
    server:script { events({ { text = "Let me see. " } }, { call("weather", { city = "Oslo" }, "c") }, {}),
      events({ { text = "It is " } }, { { text = "cold." } }) }
    local texts, stream = {}, nil
    for chunk, s in client.models:generate_content_stream { model = MODEL, contents = "Go.",
      config = { tools = { tool "weather" } } } do
      texts[#texts + 1], stream = chunk.text, s
    end
    assert.equal("Let me see. It is cold.", table.concat(texts))
    assert.equal("It is cold.", stream.response.text)
    assert.equal(3, #stream.response.automatic_function_calling_history)
    assert.same({ { id = "c", name = "weather", response = { result = { temp = 4 } } } }, told(2))
    assert.is_nil(stream:next())
  end)

  it("fail as a stream fails when the service does", function()
    server:script { events { call("weather", { city = "Oslo" }) },
      { status = 500, body = { json = { error = { code = 500, message = "No." } } } } }
    local stream = client.models:generate_content_stream { model = MODEL, contents = "Go.",
      config = { tools = { tool "weather" } } }
    assert(stream:next())
    local chunk, err = stream:next()
    assert.is_nil(chunk)
    assert.equal("unavailable", err.kind)
    assert.same({ nil, err }, { stream:next() })
  end)

  it("are part of a chat's turn", function()
    for _, streamed in ipairs { false, true } do
      local make = streamed and events or reply
      server:script { make { call("weather", { city = "Oslo" }) }, make { { text = "Cold." } },
        make { { text = "Yes." } } }
      local chat = assert(client.chats:create { model = MODEL, config = { tools = { tool "weather" } } })
      if streamed then
        for _ in chat:send_message_stream "Weather?" do assert.is_table(chat:get_history()) end
        for _ in chat:send_message_stream "Sure?" do assert.is_table(chat:get_history()) end
      else
        assert.equal("Cold.", assert(chat:send_message "Weather?").text)
        assert(chat:send_message "Sure?")
      end
      assert.equal(6, #chat:get_history { curated = true })
      assert.equal(5, #bodies()[3].contents)
      local text = assert(chat:save())
      local again = assert(client.chats:load { saved = text, config = { tools = { tool "weather" } } })
      assert.equal(6, #again:get_history())
      assert.equal(2, #chat:rollback())
      assert.equal(4, #chat:rollback())
    end
  end)

  it("may be called in tasks, which go on meanwhile", function()
    local order = {}
    local function answers(name)
      return { reply { call("slow", { city = name }) }, reply { { text = name } } }
    end
    local slow = tool("slow", function(args)
      client:sleep(0.05)
      order[#order + 1] = args.city
      return 1
    end)
    server:script { answers("A")[1], answers("A")[1], answers("A")[2], answers("A")[2] }
    local first, second = client:spawn(ask, { slow }), client:spawn(ask, { slow })
    client:run()
    assert.same({ "A", "A" }, order)
    assert.equal("A", assert(first:result()).text)
    assert.equal("A", assert(second:result()).text)
  end)

  it("end with the task that waits for them", function()
    for _, streamed in ipairs { false, true } do
      local make = streamed and events or reply
      server:script { make { call("slow"), call("slow") }, make { { text = "." } } }
      local chat = assert(client.chats:create { model = MODEL, config = { tools = { tool("slow", function()
        return client:sleep(30)
      end) } } })
      local task = client:spawn(function()
        if not streamed then return chat:send_message "Go." end
        local stream = chat:send_message_stream "Go."
        while true do
          local chunk, err = stream:next()
          if not chunk then return nil, err end
        end
      end)
      while #ran < 2 do client:step(0.01) end
      task:cancel()
      client:run()
      local response, err = task:result()
      assert.is_nil(response)
      assert.equal("cancelled", err.kind)
      assert.same({}, chat:get_history())
      assert.equal(1, #server:received())
      ran = {}
    end
  end)

  it("end with their program's mistakes, and the stream with them", function()
    server:script { events { call("weather", { city = "Oslo" }) } }
    local stream = client.models:generate_content_stream { model = MODEL, contents = "Go.",
      config = { tools = { tool "weather" } }, approve = function() error "a bug" end }
    assert(stream:next())
    assert.has_error(function() stream:next() end)
    local chunk, err = stream:next()
    assert.is_nil(chunk)
    assert.equal("cancelled", err.kind)
    assert.same({}, ran)
    for _, bad in ipairs { 1, { function_declarations = 1 }, { function_declarations = { 1 } } } do
      assert.has_error(function() ask { tool "weather", bad } end)
    end
  end)

  it("are counted", function()
    server:script { { status = 200, body = { json = { totalTokens = 3 } } } }
    assert(client.models:count_tokens { model = MODEL, contents = "x", config = { tools = { tool "weather" } } })
    assert.equal("weather", bodies()[1].generateContentRequest.tools[1].functionDeclarations[1].name)
  end)
end)

describe("gemini.tool", function()
  local function declaration(parameters)
    return gemini.tool { name = "f", parameters = parameters, call = print }.declaration
  end

  it("takes types in short", function()
    assert.same({ type = "OBJECT", properties = { a = { type = "STRING", description = "the city" },
      b = { type = "ARRAY", items = { type = "INTEGER" } }, c = { type = "BOOLEAN", description = "is it" },
      d = { type = "STRING", enum = { "x" } }, type = { type = "STRING" } }, required = { "a", "d", "type" } },
      declaration { a = "string: the city", b = "integer[]?", c = "boolean?: is it",
        d = { type = "STRING", enum = { "x" } }, type = "string" }.parameters)
    assert.is_nil(declaration {}.parameters)
    assert.is_nil(declaration(nil).parameters)
  end)

  it("tells a schema of the API from a JSON Schema", function()
    local own = { type = "OBJECT", properties = { a = { type = "STRING" } } }
    assert.equal(own, declaration(own).parameters)
    local standard = { type = "object", properties = { a = { type = "string" } } }
    assert.equal(standard, declaration(standard).parameters_json_schema)
    assert.is_nil(declaration(standard).parameters)
  end)

  it("raises for what cannot be a function, and says why", function()
    local function raises(words, given)
      local ok, message = pcall(gemini.tool, given)
      assert.is_false(ok)
      assert.truthy(message:find(words, 1, true), message)
      assert.truthy(message:find("tools_spec.lua", 1, true) or message:find("^gemini.tool"), message)
    end
    raises("name: at most 64", { name = "1x", call = print })
    raises("name: at most 64", { call = print })
    raises("call: function expected, got nil", { name = "f" })
    raises("unknown option parametres: did you mean parameters?", { name = "f", call = print, parametres = {} })
    raises('parameters.a: "strin" says no type', { name = "f", call = print, parameters = { a = "strin" } })
    raises('parameters.a: "string?!" says no type', { name = "f", call = print, parameters = { a = "string?!" } })
    raises("parameters[1]: parameters have names", { name = "f", call = print, parameters = { "string" } })
    raises("description: string expected", { name = "f", call = print, description = 1 })
    raises("there is parameters_json_schema, too", { name = "f", call = print, parameters = { a = "string" },
      parameters_json_schema = { type = "object" } })
    raises("parameters.a: a type such as", { name = "f", call = print, parameters = { a = 1 } })
  end)
end)

describe("the emulator's functions", function()
  it("are called with arguments that fit, and the results come back", function()
    local em = emulator.start {}
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    local seen
    local weather = gemini.tool { name = "get_weather", description = "The weather.",
      parameters = gemini.ordered { { "city", "string" }, { "days", "integer?" } },
      call = function(args)
        seen = args
        return { temp = 4 }
      end }
    local response = assert(client.models:generate_content { model = MODEL, contents = "Please call get_weather",
      config = { tools = { weather } } })
    assert.equal("string", type(seen.city))
    assert.equal(1, seen.days)
    assert.matches('the result of get_weather, {"result":{"temp":4}}', response.text)
    assert.same({ "city", "days" }, em:requests()[1].body.tools[1].functionDeclarations[1].parameters.propertyOrdering)
    client:close()
    em:stop()
  end)
end)

describe("media that a function gives", function()
  it("is seen, and goes again with the history of a chat", function()
    local em = emulator.start {}
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    finally(function()
      client:close()
      em:stop()
    end)
    local shoot = gemini.tool { name = "shoot", description = "Takes a picture.",
      call = function() return { taken = true }, { { file = "spec/fixtures/slide.png" } } end }
    local chat = assert(client.chats:create { model = MODEL, config = { tools = { shoot } } })
    local seen = "the result of shoot, {\"result\":{\"taken\":true}} with image/png, 640x360"
    assert.truthy(assert(chat:send_message "Please call shoot").text:find(seen, 1, true))
    assert.truthy(assert(chat:send_message "And now?").text:find(seen, 1, true))
    local again = assert(client.chats:load(assert(chat:save())))
    assert.truthy(assert(again:send_message "And now?").text:find(seen, 1, true))
  end)
end)

describe("the emulator's search", function()
  it("cites a source for a part of its text, whole and in a stream", function()
    local em = emulator.start {}
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    local args = { model = MODEL, contents = "Who won? [search]", config = { tools = { { google_search = {} },
      { google_maps = {} } } } }
    local stream = client.models:generate_content_stream(args)
    for _ in stream do assert.is_table(stream.response.citations) end
    for _, response in ipairs { assert(client.models:generate_content(args)), stream.response } do
      assert.equal("https://example.com/", response.sources[1].uri)
      assert.equal("maps", response.sources[2].kind)
      local cited = response.citations[1]
      assert.equal("This is the lgemini emulator, not a model.", response.text:sub(cited.first, cited.last))
      assert.equal(2, #cited.sources)
    end
    args.contents = "Who won?"
    assert.same({}, assert(client.models:generate_content(args)).sources)
    client:close()
    em:stop()
  end)
end)

describe("what the emulator puts beside its text", function()
  local em, client

  setup(function()
    em = emulator.start {}
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
  end)
  teardown(function()
    client:close()
    em:stop()
  end)

  -- The answer as one, and as a stream makes it.
  local function both(contents, config)
    local args = { model = MODEL, contents = contents, config = config }
    local stream = client.models:generate_content_stream(args)
    for _ in stream do assert.is_table(stream.response.candidates) end
    return ipairs { assert(client.models:generate_content(args)), stream.response }
  end

  it("is code and what came of it, where it has the tool", function()
    for _, response in both("Please [run]", { tools = { { code_execution = {} } } }) do
      assert.equal("print(6 * 7)", response.executable_code)
      assert.equal("42\n", response.code_execution_result)
      assert.equal("PYTHON", response.parts[1].executable_code.language)
      assert.equal("OUTCOME_OK", response.parts[2].code_execution_result.outcome)
      assert.truthy(response.text:find "^This is the lgemini emulator")
    end
    for _, response in both("Please [run fails]", { tools = { { code_execution = {} } } }) do
      assert.equal("OUTCOME_FAILED", response.parts[2].code_execution_result.outcome)
    end
    for _, response in both "Please [run]" do assert.is_nil(response.executable_code) end
  end)

  it("goes back in a chat as it came", function()
    local chat = assert(client.chats:create { model = MODEL, config = { tools = { { code_execution = {} } } } })
    assert(chat:send_message "Please [run]")
    local text = assert(chat:send_message "And?").text
    assert.truthy(text:find("(2) executableCode; (3) codeExecutionResult; (4) text", 1, true), text)
  end)

  it("is what became of the addresses in a prompt, where it has the tool", function()
    local config = { tools = { { url_context = {} } } }
    local prompt = "Compare https://example.com/a and https://example.com/b."
    for i, asked in ipairs { prompt, prompt .. " [fetched]" } do
      for _, response in both(asked, config) do
        local status = "URL_RETRIEVAL_STATUS_" .. (i == 1 and "ERROR" or "SUCCESS")
        assert.same({
          { retrieved_url = "https://example.com/a", url_retrieval_status = status },
          { retrieved_url = "https://example.com/b", url_retrieval_status = status },
        }, response.candidates[1].url_context_metadata.url_metadata)
      end
    end
    for _, response in both(prompt) do assert.is_nil(response.candidates[1].url_context_metadata) end
  end)

  it("is log probabilities, as many as are asked for", function()
    for _, response in both("Yes or no?", { response_logprobs = true, logprobs = 3 }) do
      local candidate = response.candidates[1]
      local result, whole = candidate.logprobs_result, {}
      assert.near(-math.log(2), candidate.avg_logprobs, 1e-9)
      assert.equal(#result.chosen_candidates, #result.top_candidates)
      for i, chosen in ipairs(result.chosen_candidates) do
        local top = result.top_candidates[i].candidates
        assert.equal(3, #top)
        assert.same(chosen, top[1])
        assert.near(-3 * math.log(2), top[3].log_probability, 1e-9)
        whole[i] = chosen.token
      end
      assert.truthy(response.text:find(table.concat(whole), 1, true))
    end
    for _, response in both("Yes or no?", { response_logprobs = true }) do
      assert.is_nil(response.candidates[1].logprobs_result.top_candidates)
    end
    for _, config in ipairs { { logprobs = 3 }, { response_logprobs = true, logprobs = 21 } } do
      local response, err = client.models:generate_content { model = MODEL, contents = "Yes or no?", config = config }
      assert.is_nil(response)
      assert.equal("invalid", err.kind)
    end
  end)
end)
