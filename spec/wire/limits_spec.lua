-- The ceilings of a client: each is met by a server that goes one step too far, and not by one that stays just below.
-- The error names it, and says how it is raised.
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

local function json(value, changes)
  local answer = { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = value } }
  for name, item in pairs(changes or {}) do answer[name] = item end
  return answer
end

local function text(words)
  return { candidates = { { content = { role = "model", parts = { { text = words } } }, finishReason = "STOP" } } }
end

local function bytes(written, changes)
  local answer = { status = 200, headers = { ["content-type"] = "application/json" }, body = { bytes = written } }
  for name, item in pairs(changes or {}) do answer[name] = item end
  return answer
end

local function events(...)
  return { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = { ... } } }
end

-- An answer in JSON with so many levels of arrays and objects within each other.
local function deep(levels)
  return '{"candidates":[{"finishReason":"STOP","content":{"parts":[{"text":"deep"}]}}],"x":'
    .. ("["):rep(levels - 1) .. ("]"):rep(levels - 1) .. "}"
end

describe("the ceiling", function()
  local server, client

  before_each(function() server = scripted.start() end)
  after_each(function()
    client:close()
    client = nil
    server:stop()
  end)

  local function begin(limits, answers)
    server:script(answers)
    client = gemini.Client { api_key = "k", limits = limits,
      http_options = { base_url = server.url, retry_options = { initial_delay = 0, max_delay = 0 } } }
  end

  local function generate()
    return client.models:generate_content { model = MODEL, contents = "Hi" }
  end

  local function read_stream()
    local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
    local chunk, err
    repeat chunk, err = stream:next() until not chunk
    return err
  end

  local function assert_names(name, err)
    assert.equal("limit", err and err.kind, tostring(err))
    assert.is_truthy(err.message:find(name, 1, true), err.message)
    assert.is_truthy(err.hint:find("limits = { " .. name, 1, true), err.hint)
    return err
  end

  it("max_head holds for header lines", function()
    local big = { ["content-type"] = "application/json", ["x-big"] = ("x"):rep(2000) }
    begin({ max_head = 2000 }, { json(text "a", { headers = big }) })
    assert_names("max_head", select(2, generate()))
    client:close()
    begin({ max_head = 3000 }, { json(text "a", { headers = big }) })
    assert.equal("a", assert(generate()).text)
  end)

  it("max_answer holds for one answer", function()
    local answer = deep(2)
    begin({ max_answer = #answer - 1 }, { bytes(answer) })
    local err = assert_names("max_answer", select(2, generate()))
    assert.is_truthy(err.message:find(tostring(#answer - 1), 1, true), err.message)
    assert.equal(1, #server:received())
    client:close()
    begin({ max_answer = #answer }, { bytes(answer) })
    assert.equal("deep", assert(generate()).text)
  end)

  describe("max_answer", function()
    local COUNT, MOST = 400, 40000

    local function part(written) return '{"candidates":[{"content":{"parts":[' .. written .. "]}}]}" end

    -- The i-th event of what a server may send without end.
    local ENDLESS = {
      calls = function(i) return part('{"functionCall":{"name":"f","args":{"a":[{"b":' .. i .. "}]}}}") end,
      media = function() return part('{"inlineData":{"mimeType":"image/png","data":"' .. ("A"):rep(400) .. '"}}') end,
      candidates = function(i) return '{"candidates":[{"index":' .. i .. ',"content":{"parts":[{"text":""}]}}]}' end,
      names = function(i) return '{"later' .. i .. '":{"a":1}}' end,
      names_of_candidates = function(i) return '{"candidates":[{"later' .. i .. '":{"a":1}}]}' end,
      names_of_content = function(i) return '{"candidates":[{"content":{"later' .. i .. '":{"a":1}}}]}' end,
      thoughts_without_words = function(i)
        return part('{"text":"","thought":' .. (i % 2 == 0 and "true" or "false") .. "}")
      end,
    }

    local function size(value)
      if type(value) ~= "table" then return type(value) == "string" and #value or 8 end
      local sum = 50
      for name, item in pairs(value) do sum = sum + size(name) + size(item) end
      return sum
    end

    -- The answer that it adds up.
    local function read(event, ceilings)
      local list = {}
      for i = 1, COUNT do list[i] = "data: " .. event(i) .. "\n\n" end
      list[COUNT + 1] = 'data: {"candidates":[{"content":{"parts":[{"text":"end"}]},"finishReason":"STOP"}]}\n\n'
      begin(ceilings, { events(table.concat(list)) })
      local stream, chunks = client.models:generate_content_stream { model = MODEL, contents = "x" }, 0
      local chunk, err = stream:next()
      while chunk do
        chunks = chunks + 1
        chunk, err = stream:next()
      end
      assert.is_nil(err)
      assert.equal(COUNT + 1, chunks)
      local response = stream.response
      client:close()
      return response
    end

    for name, event in pairs(ENDLESS) do
      it("holds for what a stream adds up, and not for what it hands out: " .. name:gsub("_", " "), function()
        local whole = read(event)
        assert.equal(whole, whole:check())
        local response = read(event, { max_answer = MOST })
        local _, err = response:check()
        assert_names("max_answer", err)
        assert.is_true(size(response) < MOST and size(response) < size(whole))
      end)
    end

    it("holds for a stream of interactions, which then fails", function()
      local delta = 'data: {"event_type":"step.delta","index":0,"delta":{"type":"%s","%s":"%s"}}\n\n'
      for _, given in ipairs { { "text", "text" }, { "arguments_delta", "arguments" }, { "image", "data" },
        { "thought_summary", "content" } } do
        local one = delta:format(given[1], given[2], ("A"):rep(100))
        begin({ max_answer = MOST }, { events(one:rep(COUNT)) })
        local stream = client.interactions:create { model = MODEL, input = "x", stream = true }
        local event, err = stream:next()
        while event do
          event, err = stream:next()
        end
        assert_names("max_answer", err)
        assert.is_true(size(err.partial) < MOST)
        client:close()
      end
    end)
  end)

  it("max_event holds for one event", function()
    local event = deep(2)
    begin({ max_event = #event - 1 }, { events("data: " .. event .. "\n\n") })
    assert_names("max_event", read_stream())
    client:close()
    begin({ max_event = #event }, { events("data: " .. event .. "\n\n", "data: " .. event .. "\n\n") })
    assert.is_nil(read_stream())
  end)

  describe("max_kept", function()
    local function chunk(words, more)
      return ('data: {"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"}%s}],"usageMetadata":'
        .. '{"totalTokenCount":%d}}\n\n'):format(words, more or "", #words)
    end
    local STOP = ',"finishReason":"STOP"'
    local TEN = ("x"):rep(10)
    local FOUR = events(chunk(TEN), chunk(TEN), chunk(TEN), chunk("the end", STOP))

    -- Each way to read a stream; gives what was handed out.
    local WAYS = {
      function(stream) local all = "" for piece in stream:texts() do all = all .. piece end return all end,
      function(stream) local all = "" for piece in stream do all = all .. piece.text end return all end,
    }

    it("holds for the text that a stream keeps, and not for what it hands out", function()
      for _, read in ipairs(WAYS) do
        for _, most in ipairs { 0, 5, 10, 25, 30, 36 } do
          begin({ max_kept = most }, { FOUR })
          local stream = client.models:generate_content_stream { model = "m", contents = "x" }
          assert.equal(TEN:rep(3) .. "the end", read(stream))
          local response = stream.response
          assert.equal(TEN:rep(math.floor(most / 10)), response.text)
          assert.equal("STOP", response.finish_reason)
          assert.equal(7, response.usage_metadata.total_token_count)
          local whole, err = response:check()
          assert.is_nil(whole)
          assert_names("max_kept", err)
          assert.is_truthy(response.reason:find(tostring(most), 1, true))
          client:close()
        end
        begin({ max_kept = 37 }, { FOUR })
        local stream = client.models:generate_content_stream { model = "m", contents = "x" }
        assert.equal(read(stream), stream.response.text)
        assert.equal(stream.response, stream.response:check())
        client:close()
      end
    end)

    it("keeps a chat from going on without what was said in it", function()
      begin({ max_kept = 25 }, { FOUR })
      local chat = client.chats:create { model = "m" }
      local stream, chunks = chat:send_message_stream "x", 0
      local piece, err = stream:next()
      while piece do
        chunks = chunks + 1
        piece, err = stream:next()
      end
      assert.equal(4, chunks)
      assert_names("max_kept", err)
      assert.equal(TEN .. TEN, err.partial.text)
      assert.equal(0, #chat:get_history())
    end)
  end)

  it("max_depth holds for answers", function()
    begin({ max_depth = 7 }, { bytes(deep(8)), bytes(deep(7)) })
    assert_names("max_depth", select(2, generate()))
    assert.equal("deep", assert(generate()).text)
    assert.equal(2, #server:received())
  end)

  it("max_depth holds for events", function()
    begin({ max_depth = 7 }, { events("data: " .. deep(8) .. "\n\n"), events("data: " .. deep(7) .. "\n\n") })
    assert_names("max_depth", read_stream())
    assert.is_nil(read_stream())
  end)

  it("max_depth is a hundred, and may be a thousand", function()
    begin(nil, { bytes(deep(101)), bytes(deep(100)) })
    assert_names("max_depth", select(2, generate()))
    assert.equal("deep", assert(generate()).text)
    client:close()
    begin({ max_depth = 1000 }, { bytes(deep(1001)), bytes(deep(1000)) })
    assert_names("max_depth", select(2, generate()))
    assert.equal("deep", assert(generate()).text)
  end)

  describe("max_error", function()
    -- An error object of so many bytes.
    local function refusal(size, code)
      local head = '{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"no","details":["'
      return bytes(head .. ("x"):rep(size - #head - 4) .. '"]}}', { status = code or 400 })
    end

    local function assert_whole(err)
      assert.equal("invalid", err.kind)
      assert.equal("no", err.message)
      assert.is_nil(err.hint)
    end

    local function assert_cut(kind, err)
      assert.equal(kind, err.kind, tostring(err)) -- by its status: that is known
      assert.is_truthy(#err.message <= 1000, err.message)
      assert.is_truthy(err.hint:find("max_error (1000 bytes)", 1, true), err.hint)
      assert.is_truthy(err.hint:find("limits = { max_error", 1, true), err.hint)
    end

    local calls = {
      ["of a call"] = generate,
      ["of a stream"] = function() return nil, read_stream() end,
      ["of a download"] = function() return client.files:download "files/x" end,
      ["of an upload"] = function()
        return client.files:upload { data = "x", config = { mime_type = "text/plain" } }
      end,
    }
    for what, call in pairs(calls) do
      it("holds for the refusal " .. what, function()
        begin({ max_error = 1000 }, { refusal(1000), refusal(1001), refusal(5000000) })
        assert_whole(select(2, call()))
        assert_cut("invalid", select(2, call()))
        assert_cut("invalid", select(2, call()))
        assert.equal(3, #server:received())
      end)
    end

    it("leaves retries as they are", function()
      begin({ max_error = 1000 }, { refusal(5000, 503), bytes(deep(2)) })
      assert.equal(2, assert(generate()).transport.attempts)
    end)

    it("is none for what succeeds", function()
      begin({ max_error = 10 }, { bytes(deep(2)) })
      assert.equal("deep", assert(generate()).text)
    end)
  end)

  it("max_unread holds for what nobody reads: the server waits, and nothing is lost", function()
    local long = ('data: {"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}\n\n'):format(("x"):rep(4000))
    local function open_stream(most)
      begin({ max_unread = most }, { events((long):rep(2000), "data: " .. deep(2) .. "\n\n") })
      local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
      for _ = 1, 100 do client.loop:turn(0.01) end -- each ends when bytes come, and in the end none do
      return stream
    end
    local stream = open_stream(1000)
    local count = 0
    for _ in stream:each() do count = count + 1 end
    assert.equal(2001, count)
    for most, least in pairs { [1000] = 1, [1000000] = 300000 } do -- libcurl brings up to 16 KiB at a time
      client:close()
      stream = open_stream(most)
      local held = #stream.exchange:read()
      stream:close()
      assert.is_true(held >= least and held < most + 20000, held)
    end
  end)

  describe("max_redirects", function()
    local function redirect(i)
      return { status = 302, headers = { location = "/elsewhere/" .. i }, body = { bytes = "" } }
    end

    it("holds for downloads", function()
      begin({ max_redirects = 2 }, { redirect(1), redirect(2), redirect(3) })
      assert_names("max_redirects", select(2, client.files:download "files/x"))
      assert.equal(3, #server:received())
      server:script { redirect(1), redirect(2), bytes "the file" }
      assert.equal("the file", client.files:download "files/x")
    end)

    it("may be none", function()
      begin({ max_redirects = 0 }, { redirect(1) })
      assert_names("max_redirects", select(2, client.files:download "files/x"))
      assert.equal(1, #server:received())
    end)
  end)

  it("max_pages holds for lists", function()
    local function page(n)
      return json { files = { { name = "files/" .. n } }, nextPageToken = "page-" .. n }
    end
    begin({ max_pages = 2 }, { page(1), page(2), page(3) })
    local pager = client.files:list {}
    assert.equal("files/1", pager:next_page()[1].name)
    assert.equal("files/2", pager:next_page()[1].name)
    for _ = 1, 2 do assert_names("max_pages", select(2, pager:next_page())) end
    assert.equal(2, #server:received())
    server:script { page(1), page(2) }
    local names = {}
    local ok, err = pcall(function()
      for file in client.files:list {} do names[#names + 1] = file.name end
    end)
    assert.is_false(ok)
    assert_names("max_pages", err)
    assert.same({ "files/1", "files/2" }, names)
    server:script { page(1), json { files = {} } }
    local count = 0
    for _ in client.files:list {} do count = count + 1 end
    assert.equal(1, count)
  end)
end)
