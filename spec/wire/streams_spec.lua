-- Streams: chunks as they are written, one answer in the end, and every way to leave.
local collect = require "spec.support.collect"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

describe("a stream", function()
  local em, client

  setup(function() em = emulator.start {} end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function open(contents, config)
    return (client.models:generate_content_stream { model = MODEL, contents = contents or "[long]", config = config })
  end

  it("brings each chunk before the next has been written", function()
    em:gate { hold = true }
    local stream = open()
    for n = 1, 3 do
      em:gate { release = 1 }
      assert(stream:next())
      assert.equal(n, em:gate().passed)
    end
    stream:close()
  end)

  it("of texts is the same answer as one of chunks, though the last stream has shown what to expect", function()
    local function chunk(text, more)
      return ('data: {"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"}%s,"index":0}],"usageMetadata":'
        .. '{"totalTokenCount":%d},"responseId":"%s"}\n\n'):format(text, more or "", #text, text:rep(2))
    end
    local function finish(reason) return (',"finishReason":"%s"'):format(reason) end
    local streams = {
      { chunk("one", finish "STOP") }, { chunk("other", finish "MAX_TOKENS") }, { chunk("cut") },
      { chunk "a", chunk "b", chunk("c", finish "STOP") }, { chunk("h", finish "STOP"), chunk "i" },
      { 'data: {"candidates":[{"index":0}]}\n\n', chunk "j", chunk("k", finish "STOP") },
    }
    local server = scripted.start()
    local mine = gemini.Client { api_key = "k", http_options = { base_url = server.url, retry_options = false } }
    local function ask(events, read)
      server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" }, framing = "chunked",
        body = { chunks = events } } }
      local stream = mine.models:generate_content_stream { model = "m", contents = "x" }
      local said, err = read(stream)
      return { said, err and err.kind, stream.response.text, stream.response.finish_reason, stream.response.response_id,
        stream.response.usage_metadata.total_token_count, #stream.response.candidates,
        (stream.response:check()) ~= nil }
    end
    local function texts(stream)
      local all = ""
      local ok, err = pcall(function() for text in stream:texts() do all = all .. text end end)
      return all, not ok and err or nil
    end
    local function chunks(stream)
      local all = ""
      local piece, err = stream:next()
      while piece do
        all = all .. piece.text
        piece, err = stream:next()
      end
      return all, err
    end
    for _, first in ipairs(streams) do
      for _, second in ipairs(streams) do
        ask(first, texts)
        local found = ask(second, texts)
        assert.same(ask(second, chunks), found)
      end
    end
    mine:close()
    server:stop()
  end)

  it("is sent at once, before a chunk is asked for", function()
    local stream = open()
    assert.equal(1, #em:requests_to ":streamGenerateContent")
    stream:close()
  end)

  it("is, in the end, one answer", function()
    local texts, last = {}, nil
    local stream = open()
    for chunk, same in stream do
      assert.equal(stream, same)
      texts[#texts + 1], last = chunk.text, chunk
    end
    assert.is_true(#texts > 10)
    assert.equal(table.concat(texts), stream.response.text)
    assert.equal("STOP", stream.response.finish_reason)
    assert.equal(last.usage_metadata.total_token_count, stream.response.usage_metadata.total_token_count)
    assert.equal(1, stream.response.transport.attempts)
    assert.equal(stream.response, stream.response:check())
    assert.is_nil(stream:next())
    assert.is_nil(stream:next())
  end)

  it("shows what has arrived so far while it runs", function()
    local stream = open()
    local first = assert(stream:next()).text
    assert.equal(first, stream.response.text)
    local second = assert(stream:next()).text
    assert.equal(first .. second, stream.response.text)
    stream:close()
  end)

  it("has the same response in the end, whether chunks or texts or both were asked for", function()
    local function response_of(read)
      local stream = open()
      read(stream)
      assert.is_nil(stream:next())
      return stream.response
    end
    local wanted = response_of(function(stream) for _ in stream do end end)
    local ways = {
      function(stream) for _ in stream:texts() do end end,
      function(stream)
        local next_text = stream:texts()
        repeat local chunk = next_text() and stream:next() until not chunk
      end,
      function(stream)
        local said = ""
        for text in stream:texts() do
          said = said .. text
          assert.equal(said, stream.response.text)
          assert.is_true(stream.response.usage_metadata.total_token_count > 0)
        end
      end,
    }
    for _, way in ipairs(ways) do
      local got = response_of(way)
      assert.equal(wanted.text, got.text)
      assert.equal(#wanted.parts, #got.parts)
      assert.equal(wanted.finish_reason, got.finish_reason)
      assert.same(wanted.usage_metadata, got.usage_metadata)
      assert.equal(wanted.model_version, got.model_version)
    end
  end)

  it("gives plain texts", function()
    local texts = {}
    for text in open():texts() do
      assert.is_string(text)
      assert.are_not.equal("", text)
      texts[#texts + 1] = text
    end
    assert.is_true(#texts > 10)
  end)

  it("of texts that are at hand takes no more of them than a step has time for", function()
    local event = 'data: {"candidates":[{"content":{"parts":[{"text":"x"}]}}]}\n\n'
    local last = event:gsub("%]}}%]", ']},"finishReason":"STOP"}]')
    local server = scripted.start()
    server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" },
      body = { bytes = event:rep(20) .. last } } }
    local mine = gemini.Client { api_key = "k", http_options = { base_url = server.url, retry_options = false } }
    local seen = 0
    local task = mine:spawn(function()
      local next_text = mine.models:generate_content_stream { model = "m", contents = "x" }:texts()
      while next_text() do seen = seen + 1 end -- 5.1 cannot wait in a `for`
    end)
    while not task.done do
      local before = seen
      mine:step(0)
      assert.is_true(seen - before <= 1)
    end
    assert.equal(21, seen)
    mine:close()
    server:stop()
  end)

  it("leaves thoughts out of the texts", function()
    local config = { thinking_config = { include_thoughts = true } }
    local stream = open("[long]", config)
    local texts = {}
    for text in stream:texts() do texts[#texts + 1] = text end
    assert.is_true(#stream.response.thoughts > 0)
    assert.equal(stream.response.text, table.concat(texts))
  end)

  it("uploads first what has to be, when the first chunk is asked for", function()
    local stream = open { "[long]", { file = "spec/fixtures/slide.png", via = "upload" } }
    assert.equal(0, #em:requests())
    assert(stream:next())
    assert.equal(1, #em:uploads())
    for _ in stream:each() do end -- luacheck: ignore 542
    assert.equal(1, #stream.response.uploads)
  end)

  it("is tried again before its first event, and says how often", function()
    em:fault { path = ":streamGenerateContent", status = 503, times = 2 }
    local stream = open()
    for _ in stream:each() do end -- luacheck: ignore 542
    assert.equal(3, stream.response.transport.attempts)
  end)

  it("is not tried again after it: what came is in the error", function()
    em:fault { path = ":streamGenerateContent", action = "reset", after_events = 2 }
    local stream = open()
    local text = assert(stream:next()).text .. assert(stream:next()).text
    local chunk, err = stream:next()
    assert.is_nil(chunk)
    assert.equal("incomplete", err.kind)
    assert.equal(text, err.partial.text)
    assert.equal(1, #em:requests_to ":streamGenerateContent")
  end)

  it("that ends without a finish reason is incomplete", function()
    em:fault { path = ":streamGenerateContent", action = "no_finish" }
    local stream = open()
    local chunk, err
    repeat chunk, err = stream:next() until not chunk
    assert.equal("incomplete", err.kind)
    assert.equal(stream.response, err.partial)
  end)

  it("says in its response that it was cut by max_output_tokens", function()
    local stream = open("[long]", { max_output_tokens = 20 })
    for _ in stream:each() do end -- luacheck: ignore 542
    assert.equal("MAX_TOKENS", stream.response.finish_reason)
    assert.equal("cut", select(2, stream.response:check()).kind)
  end)

  describe("that is left", function()
    local server

    setup(function() server = scripted.start() end)
    teardown(function() server:stop() end)
    before_each(function()
      local function event(text)
        return ('data: {"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}\n\n'):format(text)
      end
      server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" },
        body = { chunks = { event "one", event "two", { ["$gate"] = "never" } } } } }
      client:close()
      client = gemini.Client { api_key = "k", http_options = { base_url = server.url } }
    end)

    -- The server saw the connection close, though the stream had not ended.
    local function assert_closed()
      local exchanges = server:received()
      assert.is_true(server:wait("closed", exchanges[#exchanges].connection))
    end

    it("by close: at once, twice is fine, and then it says so", function()
      local stream = open()
      assert.equal("one", assert(stream:next()).text)
      stream:close()
      assert_closed()
      stream:close()
      local chunk, err = stream:next()
      assert.is_nil(chunk)
      assert.equal("closed", err.kind)
      assert.equal("one", stream.response.text)
    end)

    it("by being forgotten", function()
      assert(open():next())
      collect()
      assert_closed()
    end)

    it("by client:close(): what had come and was not read is not delivered", function()
      local stream = open()
      assert.equal("one", assert(stream:next()).text)
      client:close()
      assert_closed()
      for _ = 1, 2 do
        local chunk, err = stream:next()
        assert.is_nil(chunk)
        assert.equal("closed", err.kind)
      end
      assert.equal("one", stream.response.text)
      local _, closed = client.models:generate_content { model = MODEL, contents = "Hello" }
      assert.equal("closed", closed.kind)
    end)

    it("by either close in a loop of texts, though more of them are at hand", function()
      local event = 'data: {"candidates":[{"content":{"parts":[{"text":"x"}]}}]}\n\n'
      for _, leave in ipairs { function(stream) stream:close() end, function() client:close() end } do
        server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" },
          body = { bytes = event:rep(5) } } }
        local stream, seen = open(), 0
        local ok, err = pcall(function()
          for _ in stream:texts() do
            seen = seen + 1
            if seen == 3 then leave(stream) end
          end
        end)
        assert.same({ false, "closed", 3, "xxx" }, { ok, err.kind, seen, stream.response.text })
      end
    end)

    it("by client:close(), though all of it had come", function()
      local function event(more)
        return ('data: {"candidates":[{"content":{"parts":[{"text":"x"}]}%s}]}\n\n'):format(more or "")
      end
      server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" },
        body = { bytes = event() .. event ',"finishReason":"STOP"' } } }
      local stream = open()
      assert(stream:next())
      client:close()
      local chunk, err = stream:next()
      assert.is_nil(chunk)
      assert.equal("closed", err.kind)
    end)

    if _VERSION == "Lua 5.4" then
      it("by break, return or an error in its loop", function()
        -- luacheck: push ignore 512
        for _, leave in ipairs {
          function(stream) for _ in stream:each() do break end end,
          function(stream) for chunk in stream:each() do return chunk end end,
          function(stream) pcall(function() for _ in stream:each() do error "enough" end end) end,
          function(stream) for _ in stream:texts() do break end end,
        } do
          -- luacheck: pop
          server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" },
            body = { chunks = { 'data: {"candidates":[{"content":{"parts":[{"text":"x"}]}}]}\n\n',
              { ["$gate"] = "never" } } } } }
          local stream = open()
          leave(stream)
          assert_closed()
          assert.equal("closed", select(2, stream:next()).kind)
        end
      end)
    end
  end)
end)
