-- Conversations: what is kept of them, what is sent again, and what never is.
local cjson = require "cjson"
local core = require "lgemini.core"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"
local PNG = "spec/fixtures/slide.png"

local function texts(history)
  local out = {}
  for i, content in ipairs(history) do
    local words = {}
    for k, part in ipairs(content.parts) do
      words[k] = part.text or part.function_call and "call" or part.function_response and "result" or "?"
    end
    out[i] = content.role .. ": " .. table.concat(words, "|")
  end
  return out
end

local function reply(parts, reason)
  return { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = { candidates = { {
    content = { role = "model", parts = parts }, finishReason = reason or "STOP", index = 0 } } } } }
end

local function events(...)
  local chunks = {}
  for i, event in ipairs { ... } do chunks[i] = "data: " .. event .. "\r\n\r\n" end
  return { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = chunks } }
end

describe("a chat", function()
  local server, client

  setup(function() server = scripted.start {} end)
  teardown(function() server:stop() end)
  before_each(function()
    client = gemini.Client { api_key = "secret-key-of-a-chat", http_options = { base_url = server.url,
      retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function create(args)
    args = args or {}
    args.model = args.model or MODEL
    return assert(client.chats:create(args))
  end

  -- The contents of the n-th request, as the server got them.
  local function contents_of(n)
    local exchanges = server:received()
    return cjson.decode(exchanges[n].body).contents
  end

  it("sends what was said with every message", function()
    server:script { reply { { text = "Hi." } }, reply { { text = "Fine." } } }
    local chat = create()
    assert.equal("Hi.", assert(chat:send_message "Hello").text)
    assert.equal("Fine.", assert(chat:send_message { message = { "And", "you?" } }).text)
    assert.same({ "user: Hello", "model: Hi.", "user: And|you?", "model: Fine." }, texts(chat:get_history()))
    assert.same({ "user: Hello", "model: Hi.", "user: And|you?" }, texts(contents_of(2)))
  end)

  it("knows who said what, also where the service does not tell", function()
    server:script { { status = 200, body = { json = { candidates = { { content = { parts = { { text = "Hi." } } },
      finishReason = "STOP" } } } } }, reply { { text = "Ok." } } }
    local chat = create()
    assert(chat:send_message "A")
    assert(chat:send_message "B")
    assert.same({ "user: A", "model: Hi.", "user: B" }, texts(contents_of(2)))
  end)

  it("keeps a turn that was cut or blocked out of what it sends", function()
    server:script { reply({ { text = "Half" } }, "MAX_TOKENS"), reply({ { text = "Some" } }, "SAFETY"),
      { status = 200, body = { json = { promptFeedback = { blockReason = "OTHER" } } } },
      reply { { text = "Good." } } }
    local chat = create()
    for i, words in ipairs { "1", "2", "3", "4" } do
      assert(chat:send_message(words))
      assert.equal(2 * i, #chat:get_history())
    end
    assert.same({ "user: 4" }, texts(contents_of(4)))
    assert.same({ "user: 4", "model: Good." }, texts(chat:get_history { curated = true }))
    assert.same({ "user: 1", "model: Half", "user: 2", "model: Some", "user: 3", "model: ", "user: 4", "model: Good." },
      texts(chat:get_history()))
  end)

  it("has nothing of a message that failed", function()
    server:script { { status = 500, body = { json = { error = { code = 500, message = "No." } } } },
      reply { { text = "Yes." } } }
    local chat = create()
    local response, err = chat:send_message "Hello"
    assert.is_nil(response)
    assert.equal("unavailable", err.kind)
    assert.same({}, chat:get_history())
    assert(chat:send_message "Again")
    assert.same({ "user: Again", "model: Yes." }, texts(chat:get_history()))
  end)

  it("takes an answer that came in pieces as one, signatures on their parts", function()
    server:script {
      events('{"candidates":[{"content":{"role":"model","parts":[{"text":"Once "}]}}]}',
        '{"candidates":[{"content":{"role":"model","parts":[{"text":"upon "}]}}]}',
        '{"candidates":[{"content":{"role":"model","parts":[{}]}}]}',
        '{"candidates":[{"content":{"role":"model","parts":[{"text":"","thoughtSignature":"c2ln"}]}}]}',
        '{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}', '{"usageMetadata":{}}'),
      reply { { text = "Fine." } } }
    local chat = create()
    local whole = {}
    for chunk, stream in chat:send_message_stream "Story?" do
      whole[#whole + 1] = chunk.text
      assert.equal(0, #chat:get_history())
      assert.is_truthy(stream.response)
    end
    assert.equal("Once upon ", table.concat(whole))
    assert(chat:send_message "More")
    local sent = contents_of(2)
    assert.same({ role = "model", parts = { { text = "Once upon " }, { text = "", thoughtSignature = "c2ln" } } },
      sent[2])
    assert.equal(3, #sent)
  end)

  it("has nothing of a stream that was left", function()
    server:script { events('{"candidates":[{"content":{"parts":[{"text":"Once "}]}}]}',
      '{"candidates":[{"content":{"parts":[{"text":"upon"}]},"finishReason":"STOP"}]}'), reply { { text = "Ok." } } }
    local chat = create()
    local stream = chat:send_message_stream "Story?"
    assert(stream:next())
    stream:close()
    assert.same({}, chat:get_history())
    assert(chat:send_message "More")
    assert.same({ "user: More" }, texts(contents_of(2)))
  end)

  it("has nothing of a message whose task was cancelled", function()
    server:script { { status = 200, delay_ms = 2000, body = { bytes = "{}" } }, reply { { text = "Ok." } } }
    local chat = create()
    local task = client:spawn(function() return chat:send_message "Slow?" end)
    repeat client:step(0.05) until #server:received() > 0
    task:cancel()
    client:run()
    assert.same({}, chat:get_history())
    assert(chat:send_message "Again")
    assert.same({ "user: Again", "model: Ok." }, texts(chat:get_history()))
  end)

  it("leaves out a given answer that is empty, and what it answers", function()
    server:script { reply { { text = "Ok." } } }
    local chat = create { history = { { role = "user", parts = { "A" } }, { role = "model", parts = { "a" } },
      { role = "user", parts = { "B" } }, { role = "model", parts = { "b" } },
      { role = "model", parts = gemini.array {} }, { role = "user", parts = { "C" } } } }
    assert.same({ "user: A", "model: a", "user: C" }, texts(chat:get_history { curated = true }))
    assert.equal(6, #chat:get_history())
    assert(chat:send_message "D")
    assert.same({ "user: A", "model: a", "user: C", "user: D" }, texts(contents_of(1)))
  end)

  it("refuses what is no history or no message before anything is sent", function()
    server:script {}
    local _, err = client.chats:create { model = MODEL, history = { { role = "tool", parts = { "x" } } } }
    assert.equal("invalid", err.kind)
    assert.matches("^history%[1%].role: user or model is needed, not tool", err.message)
    local chat = create()
    _, err = chat:send_message ""
    assert.equal("invalid", err.kind)
    assert.matches("^message is empty", err.message)
    _, err = chat:send_message { message = { { role = "user", parts = { "a" } }, { role = "model", parts = { "b" } } } }
    assert.matches("^message: one turn of the user", err.message)
    assert.has_error(function() chat:send_message { message = "x", contents = "y" } end)
    assert.has_error(function() chat.send_message "x" end)
    assert.equal(0, #server:received())
  end)

  it("is not changed by those who look at it", function()
    server:script { reply { { functionCall = { name = "f", args = { list = {} } } } }, reply { { text = "Ok." } } }
    local given = { { role = "user", parts = { { text = "A" } } }, { role = "model", parts = { { text = "a" } } } }
    local chat = create { history = given }
    given[1].parts[1].text = "changed"
    assert(chat:send_message "B").function_calls[1].name = "changed"
    chat:get_history()[1].parts[1].text = "changed"
    chat:get_history()[4].parts[1].function_call.name = "g"
    assert(chat:send_message { message = { { function_response = { name = "f", response = { output = 1 } } } } })
    local sent = contents_of(2)
    assert.equal("A", sent[1].parts[1].text)
    assert.equal("f", sent[4].parts[1].functionCall.name)
  end)

  it("takes its last message back", function()
    server:script { reply { { text = "a" } }, reply { { functionCall = { name = "f" } } }, reply { { text = "done" } } }
    local chat = create()
    assert(chat:send_message "A")
    assert(chat:send_message "B")
    assert(chat:send_message { message = { { function_response = { name = "f", response = { output = 1 } } } } })
    assert.same({ "user: B", "model: call", "user: result", "model: done" }, texts(chat:rollback()))
    assert.same({ "user: A", "model: a" }, texts(chat:get_history()))
    assert.equal(2, #chat:rollback())
    assert.same({}, chat:rollback())
  end)

  it("is saved without keys and goes on as it was", function()
    local part = '[{"text":"Hm","thought":true},{"functionCall":{"name":"f","args":{"none":[],"o":{},"nil":null,'
      .. '"n":1.5},"id":"c"},"thoughtSignature":"AQID","newKind":{"file":"/etc/passwd"}}]'
    server:script { { status = 200, body = { bytes = '{"candidates":[{"content":{"role":"model","parts":' .. part
      .. '},"finishReason":"STOP"}]}' } }, reply({ { text = "x" } }, "SAFETY"), reply { { text = "Ok." } } }
    local chat = create { config = { system_instruction = "Be brief.", temperature = 0.5,
      http_options = { headers = { authorization = "Bearer secret-token" } },
      tools = { { google_search = {} }, { google_maps = { auth_config = { api_key = "secret-maps" } } },
        { mcp_servers = { { name = "m", streamable_http_transport = { headers = { a = "secret-mcp" } } } } } } } }
    assert(chat:send_message "A")
    assert(chat:send_message { message = "B" })
    local text = assert(chat:save())
    assert.is_nil(text:find("secret", 1, true))
    local again = assert(client.chats:load(text))
    assert.equal(text, again:save())
    assert.same(texts(chat:get_history()), texts(again:get_history()))
    assert(again:send_message { message = { { function_response = { id = "c", name = "f", response = { r = 1 } } } } })
    local exchanges = server:received()
    local body = cjson.decode(exchanges[3].body)
    assert.equal("Be brief.", body.systemInstruction.parts[1].text)
    assert.equal(0.5, body.generationConfig.temperature)
    assert.equal(2, #body.tools)
    assert.same(cjson.decode(part), body.contents[2].parts)
    assert.truthy(exchanges[3].body:find('"none":[]', 1, true))
    assert.equal(3, #body.contents)
  end)

  it("opens no file for a chat that was saved elsewhere", function()
    server:script { reply { { text = "Ok." } } }
    local chat = assert(client.chats:load { saved = '{"format":"lgemini chat 1","model":"m","config":{},"history":['
      .. '{"content":{"role":"user","parts":[{"file":"spec/fixtures/slide.png"}]},"good":true},'
      .. '{"content":{"role":"model","parts":[{"text":"a"}]},"good":true}]}', model = MODEL })
    assert(chat:send_message "B")
    assert.same({ { file = PNG } }, contents_of(1)[1].parts)
  end)

  it("takes nothing from a chat that was saved elsewhere that leads the key away or writes files", function()
    server:script { { status = 200, body = { json = { candidates = { { finishReason = "STOP", content = { parts = {
      { inlineData = { mimeType = "image/png", data = "eHl6" } } } } } } } } } }
    local head = '{"format":"lgemini chat 1","model":"m","history":[],"config":{"temperature":1,'
    local chat = assert(client.chats:load(head .. '"media_to":"spec",'
      .. '"http_options":{"base_url":"http://127.0.0.1:1","headers":{"X-Mine":"a"}},'
      .. '"tools":[7,"x",{"mcp_servers":[{"name":"s"}]},{"url_context":{}},'
      .. '{"google_maps":{"auth_config":{"api_key":"k"}}}]}}'))
    local response = assert(chat:send_message "A")
    assert.equal("xyz", response.media[1].inline_data.data)
    local asked = server:received()[1]
    assert.is_nil(asked.header["x-mine"])
    local body = cjson.decode(asked.body)
    assert.same({ temperature = 1 }, body.generationConfig)
    assert.same({ { urlContext = {} }, { googleMaps = {} } }, body.tools)
    assert(client.chats:load(head .. '"tools":[{"google_maps":true}]}}'))
    assert(client.chats:load(head .. '"tools":7}}'))
  end)

  it("takes up nothing that is no saved chat", function()
    for _, text in ipairs { "", "{", "[]", "{}", '{"format":"lgemini chat 2"}',
      '{"format":"lgemini chat 1","model":"m","config":{},"history":[1]}',
      '{"format":"lgemini chat 1","model":"m","config":{},"history":[{"content":{"role":"x"}}]}' } do
      local none, err = client.chats:load(text)
      assert.is_nil(none)
      assert.equal("invalid", err.kind)
    end
  end)
end)

describe("a chat with media", function()
  local em, client

  local function uploads()
    return #em:requests_to "/upload/" / 2 -- a start and the bytes
  end

  setup(function() em = emulator.start { args = { "--processing", "0" } } end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k" .. math.random(1e9), http_options = { base_url = em.url } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  it("uploads a file once and speaks of it by its address from then on", function()
    local chat = assert(client.chats:create(MODEL))
    local response = assert(chat:send_message { message = { "What is this?", { file = PNG } } })
    assert.equal(1, #response.uploads)
    assert(chat:send_message "And now?")
    assert.equal(1, uploads())
    local asked = em:requests_to ":generateContent"
    assert.equal("image/png", asked[2].parts[2].detected)
    local uri = asked[2].body.contents[1].parts[2].fileData.fileUri
    local text = assert(chat:save())
    assert.equal(uri, cjson.decode(text).history[1].content.parts[2].fileData.fileUri)
    assert.is_true(#text < 4000)
    local again = assert(client.chats:load(text))
    assert.matches("image/png", assert(again:send_message "Once more?").text)
  end)

  it("may begin with an answer that had an empty part, which is not sent again", function()
    local chat = assert(client.chats:create { model = MODEL, history = { { role = "user", parts = { "a" } },
      { role = "model", parts = { { text = "b" } } }, { role = "model", parts = { {} } },
      { role = "user", parts = { "c" } } } })
    assert.equal(4, #chat:get_history())
    assert.equal(1, #chat:get_history { curated = true })
    local _, err = client.chats:create { model = MODEL, history = { { role = "user", parts = { {} } } } }
    assert.equal("invalid", err.kind)
  end)

  describe("whose file is gone at the service", function()
    local function copy_of_png()
      local path = os.tmpname()
      local from, to = assert(io.open(PNG, "rb")), assert(io.open(path, "wb"))
      to:write(from:read "*a")
      from:close()
      to:close()
      return path
    end

    local function expire(response)
      em:file(response.uploads[1].name, { expire = true })
    end

    it("uploads it again where it is still here, and goes on", function()
      local chat = assert(client.chats:create(MODEL))
      expire(assert(chat:send_message { message = { "What is this?", { file = PNG } } }))
      assert.matches("image/png", assert(chat:send_message "And now?").text)
      assert.equal(2, uploads())
      assert.matches("image/png", assert(chat:send_message "And now?").text) -- by its new address
      assert.equal(2, uploads())
      assert.equal(6, #chat:get_history())
    end)

    it("does so with bytes that the program gave", function()
      local file = assert(io.open(PNG, "rb"))
      local bytes = file:read "*a"
      file:close()
      local chat = assert(client.chats:create(MODEL))
      expire(assert(chat:send_message { message = { "What is this?", { data = bytes } } }))
      assert.matches("image/png", assert(chat:send_message "And now?").text)
      assert.equal(2, uploads())
      assert.equal(4, #chat:get_history())
      local more = assert(chat:send_message { message = { "And these?", { data = bytes .. "1" },
        { data = bytes .. "2" } } })
      assert.equal(4, uploads())
      em:file(more.uploads[2].name, { expire = true })
      assert(chat:send_message "Go on.")
      assert.equal(5, uploads())
    end)

    it("holds on to 64 MB of such bytes and no more", function()
      local function entry(id, bytes)
        local data = { file_uri = "https://h/v1beta/files/" .. id, mime_type = "a/b" }
        return { data = bytes, part = { file_data = data } }
      end
      local big, known = ("x"):rep(40e6), {}
      require("lgemini.kept").note(known, core, { entry("a", big), entry("b", big), entry("c", "y") })
      assert.equal(big, known["files/a"].data)
      assert.is_nil(known["files/b"])
      assert.equal("y", known["files/c"].data)
    end)

    it("does so for a stream, too", function()
      local chat = assert(client.chats:create(MODEL))
      expire(assert(chat:send_message { message = { "What is this?", { file = PNG } } }))
      local text = ""
      for piece in chat:send_message_stream("And now?"):texts() do text = text .. piece end
      assert.matches("image/png", text)
      assert.equal(2, uploads())
      assert.equal(4, #chat:get_history())
    end)

    it("says so where it is not the same any more, or came from elsewhere", function()
      local path = copy_of_png()
      local chat = assert(client.chats:create(MODEL))
      expire(assert(chat:send_message { message = { "What is this?", { file = path, mime_type = "image/png" } } }))
      for _, change in ipairs { "touch -d @1000000000 '%s'", "rm '%s'" } do
        os.execute(change:format(path))
        local _, err = chat:send_message "And now?"
        assert.equal("file_expired", err.kind)
        assert.equal(1, uploads())
        assert.equal(2, #chat:get_history())
      end
      local _, err = assert(client.chats:load(assert(chat:save()))):send_message "And now?"
      assert.equal("file_expired", err.kind)
    end)
  end)

  describe("with one message at a time", function()
    it("refuses another one meanwhile, and takes it afterwards", function()
      local chat, errs = assert(client.chats:create(MODEL)), {}
      for i = 1, 2 do
        client:spawn(function() errs[i] = select(2, chat:send_message "Hi") or "fine" end)
      end
      client:run()
      assert.equal("fine", errs[1])
      assert.equal("conflict", errs[2].kind)
      assert.equal(2, #chat:get_history())
      assert(chat:send_message "Again")
    end)

    it("refuses one while a stream is open, until it is read or closed, or nobody has it", function()
      local chat = assert(client.chats:create(MODEL))
      local stream = chat:send_message_stream "Tell a story in 9 sentences."
      assert(stream:next())
      local _, err = chat:send_message "Hi"
      assert.equal("conflict", err.kind)
      _, err = chat:send_message_stream("Hi"):next()
      assert.equal("conflict", err.kind)
      stream:close()
      assert(chat:send_message "Hi")
      for _ in chat:send_message_stream "Tell a story in 3 sentences." do end
      assert(chat:send_message "Hi")
      local function leave() assert(chat:send_message_stream("Tell a story in 9 sentences."):next()) end
      leave()
      assert(chat:send_message "Hi")
    end)

    it("is free after a call that raised", function()
      local chat = assert(client.chats:create(MODEL))
      assert.is_false(pcall(chat.send_message, chat, { message = "Hi", on_progress = 5 }))
      assert(chat:send_message "Hi")
    end)
  end)

  it("keeps media in the request where it is told to", function()
    local chat = assert(client.chats:create(MODEL))
    assert(chat:send_message { message = { { file = PNG, via = "inline" } } })
    assert(chat:send_message "And now?")
    assert.equal(0, uploads())
    assert.equal("inline", em:requests_to ":generateContent"[2].parts[1].type)
    local again = assert(client.chats:load(assert(chat:save())))
    assert.matches("image/png", assert(again:send_message "Once more?").text)
  end)

  it("sends the media of a given history with the first message, also after a failure", function()
    local chat = assert(client.chats:create { model = MODEL, history = { { role = "user", parts = { { file = PNG } } },
      { role = "model", parts = { "A picture." } } } })
    local _, err = chat:save()
    assert.equal("invalid", err.kind)
    em:fault { path = ":generateContent", status = 400 }
    assert.is_nil(chat:send_message "What?")
    assert(chat:send_message "What?")
    assert(chat:send_message "And?")
    assert.equal(1, uploads())
    assert.truthy(chat:get_history()[1].parts[1].file_data.file_uri:find "/files/")
    assert(chat:save())
  end)

  it("holds a conversation in a stream", function()
    local chat = assert(client.chats:create(MODEL))
    for text in chat:send_message_stream("[long 5]"):texts() do assert.is_string(text) end
    assert(chat:send_message "And?")
    local history = chat:get_history { curated = true }
    assert.equal(4, #history)
    assert.equal("user", history[1].role)
    assert.is_string(history[2].parts[#history[2].parts].thought_signature)
  end)
end)
