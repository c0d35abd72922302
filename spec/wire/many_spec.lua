-- Many at once: the queue, the pace, map, and a thousand streams.
local cqueues = require "cqueues"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

describe("many at once", function()
  local em, client

  setup(function() em = emulator.start {} end)
  teardown(function() em:stop() end)
  before_each(function() em:clear() end)
  after_each(function()
    if client then client:close() end
    client = nil
  end)

  local function new(given)
    given = given or {}
    given.api_key, given.loop = "k", gemini.Loop()
    given.http_options = given.http_options or { base_url = em.url }
    client = gemini.Client(given)
    return client
  end

  local function ask(text) return client.models:generate_content { model = MODEL, contents = text or "x" } end

  describe("past max_concurrent", function()
    it("wait in order", function()
      local server = scripted.start()
      local answers, ended = {}, 0
      for i = 1, 6 do answers[i] = { gate = "go", status = 200, body = { json = { candidates = {} } } } end
      server:script(answers)
      new { max_concurrent = 2, http_options = { base_url = server.url } }
      for i = 1, 6 do
        client:spawn(function()
          gemini.assert(ask("number " .. i))
          ended = ended + 1
        end)
      end
      for _ = 1, 20 do client:wait(0.01) end
      assert.equal(2, #server:received())
      server:release "go"
      client:run()
      assert.equal(6, ended)
      for i, request in ipairs(server:received()) do
        local number = tonumber(request.body:match "number (%d)")
        assert.is_true(math.abs(number - i) <= 1) -- two are on their way at a time
      end
      server:stop()
    end)

    it("have their clocks running, and leave the place of one that was cancelled to the next", function()
      em:gate { hold = true }
      new { max_concurrent = 1 }
      local function stream(total)
        return client:spawn(function()
          local opened = client.models:generate_content_stream { model = MODEL, contents = "[long]",
            config = total and { http_options = { timeout = { total = total } } } }
          return opened:next()
        end)
      end
      local holder, late, last = stream(), stream(0.1), stream()
      local _, err = late:wait()
      assert.equal("timeout", err.kind)
      assert.equal("total", err.clock)
      assert.matches("waiting for its turn", err.message)
      holder:cancel()
      em:gate { open = true }
      assert.is_table(last:wait())
    end)
  end)

  describe("map", function()
    it("gives what was returned, as it ends, so many at a time", function()
      new()
      local running, most, seen = 0, 0, {}
      local items = { 0.03, 0.01, 0.02, 0.01, 0.02, 0.01 }
      local first
      for index, result, err in client:map(items, function(seconds, index)
        running = running + 1
        most = math.max(most, running)
        client:sleep(seconds)
        running = running - 1
        if index == 4 then return nil, "no such luck" end
        if index == 5 then error("raised", 0) end
        return seconds * 100
      end, { concurrency = 3 }) do
        first = first or index
        seen[index] = result or err
      end
      assert.same({ 3, 1, 2, "no such luck", "raised", 1 }, seen)
      assert.equal(3, most)
      assert.equal(2, first)
    end)

    it("takes an iterator only as far as it is needed, and a list of pages", function()
      new()
      local given = 0
      local map = client:map(function()
        given = given + 1
        return given
      end, function(n)
        client:sleep(0.001)
        return n
      end, { concurrency = 2 })
      for _ = 1, 4 do assert.is_number((map())) end
      assert.is_true(given <= 6)
      map:close()
      map:close()
      assert.is_nil(map())
      client:run()
      local names = {}
      for _, name in client:map(client.models:list {}, function(model) return model.name end) do
        names[#names + 1] = name
      end
      assert.is_true(#names > 1)
    end)

    it("cancels the rest when it is closed, or the task it is in", function()
      new()
      em:gate { hold = true }
      local errs = {}
      local function work(item)
        if item == 1 then return "quick" end
        local stream = client.models:generate_content_stream { model = MODEL, contents = "[long]" }
        errs[item] = select(2, stream:next()).kind
      end
      local map = client:map({ 1, 2, 3 }, work)
      assert.same({ 1, "quick" }, { map() })
      map:close()
      assert.equal(0, client.core.alive().exchange)
      client:run()
      local task = client:spawn(function()
        for index in client:map({ 1, 2, 3 }, work) do errs.last = index end
      end)
      for _ = 1, 10 do client:wait(0.01) end
      task:cancel()
      client:run()
      assert.equal("cancelled", select(2, task:result()).kind)
      assert.equal(0, client.core.alive().exchange)
      assert.equal(1, errs.last)
    end)

    it("is for one reader", function()
      new()
      local map = client:map({ 1, 2 }, function() return client:sleep(0.01) end)
      local function read() return (map()) end
      local first, second = client:spawn(read), client:spawn(read)
      assert.equal(1, (first:wait()))
      assert.matches("many_spec%.lua:%d+: two tasks read one map at once", select(2, second:wait()))
      assert.equal(2, (map()))
      assert.is_nil(map())
    end)

    it("is told what it cannot use", function()
      new()
      assert.error_matches(function() client:map("files", print) end, "a list or an iterator expected, got string")
      assert.error_matches(function() client:map({}) end, "a function expected, got nil")
      assert.error_matches(function() client:map({}, print, { concurency = 1 }) end, "concurrency")
      assert.error_matches(function() client:map({}, print, { concurrency = 0 }) end, "from 1 on")
    end)
  end)

  describe("at a rate", function()
    it("begin so far apart, streams too", function()
      new { rate = { requests_per_minute = 600 } }
      local now, begun = client.core.now, {}
      local from = now()
      for _ = 1, 2 do
        client:spawn(function()
          gemini.assert(ask())
          begun[#begun + 1] = now() - from
        end)
        client:spawn(function()
          local stream = client.models:generate_content_stream { model = MODEL, contents = "[long]" }
          gemini.assert(stream:next())
          begun[#begun + 1] = now() - from
        end)
      end
      client:run()
      for i = 1, 4 do assert.is_true(begun[i] >= (i - 1) * 0.1) end
    end)

    it("send a stream when it is opened, where its turn has come", function()
      new { rate = { requests_per_minute = 300 } }
      local streams = {}
      for i = 1, 3 do
        streams[i] = client.models:generate_content_stream { model = MODEL, contents = "number " .. i }
      end
      local from = client.core.now()
      repeat client:wait(0.01) until #em:requests() > 0
      client:wait(0.01)
      assert.equal(1, #em:requests())
      assert(streams[3]:next()) -- the turns of the others are those in which they are read
      assert.is_true(client.core.now() - from >= 0.15)
      assert(streams[2]:next())
      assert.is_true(client.core.now() - from >= 0.35)
      assert.equal(3, #em:requests())
      for _, stream in ipairs(streams) do stream:close() end
    end)

    it("take another turn for another try", function()
      local server = scripted.start()
      server:script { { status = 503 }, { status = 200, body = { json = { candidates = {} } } } }
      new { rate = { requests_per_minute = 300 },
        http_options = { base_url = server.url, retry_options = { initial_delay = 0, jitter = 0 } } }
      local from = client.core.now()
      client.models:generate_content_stream { model = MODEL, contents = "x" }:next()
      assert.equal(2, #server:received())
      assert.is_true(client.core.now() - from >= 0.2)
      server:stop()
    end)

    it("all wait after one 429, and stop for good with the quota of the day", function()
      local server = scripted.start()
      local function refused(quota, delay)
        return { status = 429, body = { json = { error = { code = 429, status = "RESOURCE_EXHAUSTED", message = "No.",
          details = {
            { ["@type"] = "type.googleapis.com/google.rpc.RetryInfo", retryDelay = delay },
            { ["@type"] = "type.googleapis.com/google.rpc.QuotaFailure", violations = { { quotaId = quota } } },
          } } } } }
      end
      local fine = { status = 200, body = { json = { candidates = {} } } }
      server:script { refused("GenerateRequestsPerMinutePerProject", "0.2s"), fine, fine,
        refused("GenerateRequestsPerDayPerProject", "1s") }
      new { rate = {}, http_options = { base_url = server.url, retry_options = { initial_delay = 0, jitter = 0 } } }
      local first = client:spawn(ask)
      client:step()
      repeat client:wait(0.01) until client.pace.held > 0
      local from = client.core.now()
      gemini.assert(ask())
      assert.is_true(client.core.now() - from > 0.1)
      gemini.assert(first:wait())
      assert.equal("day", select(2, ask()).quota)
      local sent = #server:received()
      assert.equal("day", select(2, ask()).quota)
      assert.equal(sent, #server:received())
      server:stop()
    end)

    -- Fifty tasks that ask, each with its number; begun[i] is the i-th that the emulator saw.
    local function burst(count)
      local tasks = {}
      for i = 1, count do
        tasks[i] = client:spawn(function()
          return client.models:generate_content { model = MODEL, contents = ("number %d"):format(i) }
        end)
      end
      return tasks
    end

    local function order()
      local seen = {}
      for _, request in ipairs(em:requests_to ":generateContent") do
        local body = request.body -- not of one that was refused
        seen[#seen + 1] = tonumber(body and body.contents[1].parts[1].text:match "number (%d+)" or 0)
      end
      return seen
    end

    it("keep their order, also after a 429, and no turn is lost to it", function()
      new { rate = { requests_per_minute = 3000 }, http_options = { base_url = em.url, retry_options = false } }
      em:fault { path = ":generateContent", status = 429, retry_delay = 0.5, quota = "PerMinute", times = 1 }
      local from, tasks = client.core.now(), burst(50)
      client:run()
      assert.is_true(client.core.now() - from >= 0.5 + 48 * 0.02)
      assert.equal("rate_limited", select(2, tasks[1]:result()).kind)
      local seen = order()
      assert.equal(50, #seen)
      for i = 2, 50 do assert.is_true(seen[i] > seen[i - 1] - 10, i) end -- what is on its way at once may overtake
      for i = 4, 50 do assert.truthy(tasks[i]:result()) end
    end)

    it("are all told when the quota of the day is used up", function()
      new { rate = { requests_per_minute = 6 } }
      em:fault { path = ":generateContent", status = 429, quota = "PerDay", always = true }
      local from, tasks = client.core.now(), burst(50)
      client:run()
      assert.is_true(client.core.now() - from < 10) -- before the second would have had its turn
      for i = 1, 50 do assert.equal("day", select(2, tasks[i]:result()).quota) end
      assert.equal(1, #order())
    end)

    it("give their turns back: those that are cancelled, or have not the time to wait for theirs", function()
      new { rate = { requests_per_minute = 120 } }
      local tasks = burst(50)
      client:step()
      local _, err = client.models:generate_content { model = MODEL, contents = "x",
        config = { http_options = { timeout = 5 } } }
      assert.equal("total", err.clock)
      for i = 2, 49 do tasks[i]:cancel() end
      local from = client.core.now()
      assert.truthy(tasks[50]:wait())
      assert.is_true(client.core.now() - from < 20) -- it would have been 24
      gemini.assert(ask())
      assert.is_true(client.core.now() - from < 20) -- it would have been 24
      assert.same({ 1, 50 }, { order()[1], order()[2] })
      assert.equal(0, client.pace.count)
    end)

    it("count the tokens of streams, too, of those that are left in the middle as well", function()
      new { rate = { tokens_per_minute = 1e5 } }
      local stream = client.models:generate_content_stream { model = MODEL, contents = "[long]" }
      for _ in stream:texts() do end
      local usual = client.pace.usual
      assert.equal(stream.response.usage_metadata.total_token_count, usual)
      stream = client.models:generate_content_stream { model = MODEL, contents = "[long]" }
      assert(stream:next())
      stream:close()
      assert.is_true(client.pace.usual < usual)
    end)

    it("pass by who was given up in front of them", function()
      local function wait()
        cqueues.sleep(0.002)
        local runner, main = coroutine.running()
        if runner and not main then coroutine.yield() end
      end
      new { rate = { requests_per_minute = 60 }, wait = wait }
      local function asker(text)
        return coroutine.create(function() return client.models:generate_content { model = MODEL, contents = text } end)
      end
      gemini.assert(ask())
      local lost, patient = asker "lost", asker "patient"
      coroutine.resume(lost)
      local ok, response
      repeat
        ok, response = coroutine.resume(patient)
      until coroutine.status(patient) == "dead"
      assert.is_true(ok, response)
      assert.truthy(response)
    end)

    it("that cannot be kept within the time of a call are not waited for", function()
      new { rate = { requests_per_minute = 1 } }
      gemini.assert(ask())
      local _, err = client.models:generate_content { model = MODEL, contents = "x",
        config = { http_options = { timeout = 5 } } }
      assert.equal("timeout", err.kind)
      assert.equal("total", err.clock)
    end)
  end)

  it("do not let a stream that is far ahead keep a step: with no time at all it takes one event in each", function()
    local server, events = scripted.start(), {}
    for i = 1, 40 do events[i] = ('data: {"candidates":[{"content":{"parts":[{"text":"%d"}]}}]}\n\n'):format(i) end
    events[41] = 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'
    server:script { { status = 200, headers = { ["content-type"] = "text/event-stream" },
      body = { bytes = table.concat(events) } } }
    new { http_options = { base_url = server.url } }
    local seen, most = 0, 0
    local task = client:spawn(function()
      local stream = client.models:generate_content_stream { model = MODEL, contents = "x" }
      while stream:next() do seen = seen + 1 end
    end)
    while not task.done do
      local before = seen
      if not client:step(0) then break end
      most = math.max(most, seen - before)
    end
    assert.equal(41, seen)
    assert.equal(1, most)
    server:stop()
  end)

  it("do not let one large answer keep a step: with no time at all it takes 16 KiB in each", function()
    local server, numbers = scripted.start(), ("0.25,"):rep(400000) .. "1"
    server:script { { status = 200, body = { bytes = '{"embeddings":[{"values":[' .. numbers .. "]}]}" } } }
    new { http_options = { base_url = server.url } }
    local task = client:spawn(function() return client.models:embed_content { model = MODEL, contents = "x" } end)
    repeat client:step(0) until task.exchange
    repeat client.loop:begin() until task.exchange:done() -- all of it is here, and none decoded
    local steps = 0
    while client:step(0) do steps = steps + 1 end
    assert.equal(400001, #gemini.assert(task:result()).embeddings[1].values)
    assert.is_true(steps >= math.floor(#numbers / (16 * 1024)), steps)
    server:stop()
  end)

  it("are a thousand streams: all finish, their chunks in order #plain", function()
    new()
    local function open()
      return (client.models:generate_content_stream { model = MODEL, contents = "Tell a story in 3 sentences." })
    end
    local expected = {}
    for chunk in open():each() do expected[#expected + 1] = chunk.text end
    assert.is_true(#expected >= 3)
    local ended, wrong = 0, 0
    for _ = 1, 1000 do
      client:spawn(function()
        local stream = open()
        local count, chunk = 0, gemini.assert(stream:next())
        while chunk do
          count = count + 1
          if chunk.text ~= expected[count] then wrong = wrong + 1 end
          chunk = stream:next()
        end
        if count == #expected then ended = ended + 1 end
      end)
    end
    while client:step(0.002) do client:wait(0.01) end
    assert.equal(1000, ended)
    assert.equal(0, wrong)
  end)
end)
