-- Tasks: the same calls, in three ways of running them, and every way to end them.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"

local must = gemini.assert -- busted's own makes a text of the error

local MODEL = "gemini-3.5-flash"

describe("a task", function()
  local em, client

  setup(function() em = emulator.start { args = { "--processing", "0.05" } } end)
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

  local function open(contents)
    return (client.models:generate_content_stream { model = MODEL, contents = contents or "[long]" })
  end

  local function frames()
    while client:step(0.001) do client:wait(0.02) end
  end

  -- What a program would do, with every kind of call that waits; says what it saw.
  local function script()
    local log = {}
    local function note(...) log[#log + 1] = table.concat({ ... }, " ") end
    note(must(client.models:generate_content { model = MODEL, contents = "Name a river." }).text)
    em:fault { path = ":generateContent", status = 503, times = 1 }
    note(must(client.models:generate_content { model = MODEL, contents = "Again." }).transport.attempts)
    local stream = open "[long]"
    local chunk = stream:next()
    while chunk do
      note(chunk.text)
      chunk = stream:next()
    end
    local video = must(client.files:upload { file = "spec/fixtures/demo.mp4", reuse = false })
    note(video.mime_type, video.state)
    note(must(client.models:generate_content { model = MODEL, contents = { video, "What is it?" } }).text)
    note(select(2, client.models:get "no-such-model").kind)
    must(client:sleep(0.01))
    note(must(client.models:count_tokens { model = MODEL, contents = "Name a river." }).total_tokens)
    return table.concat(log, "\n"):gsub("files/[%w-]+", "files/x"):gsub("http://[%d.:]+", "")
  end

  it("does what the same program does without it, under step and under run", function()
    local plain = script()
    assert.is_true(#plain > 500)
    local task = client:spawn(script)
    frames()
    assert.is_true(task.done)
    assert.equal(plain, task:result())
    local others = { client:spawn(script), client:spawn(script) }
    client:run()
    assert.equal(plain, others[1]:result())
    assert.equal(plain, others[2]:result())
  end)

  it("goes on while others do, and while the program waits for a call of its own", function()
    em:gate { hold = true }
    local held = client:spawn(function()
      local stream = open()
      return assert(stream:next())
    end)
    local free = client:spawn(function() return assert(client.models:get(MODEL)).name end)
    assert(client.models:count_tokens { model = MODEL, contents = "x" })
    assert.equal("models/" .. MODEL, free:wait())
    assert.is_false(held.done)
    em:gate { open = true }
    assert.is_table(held:wait())
  end)

  it("may use another client, and outlive its own", function()
    local other = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    local mine = client
    local task = mine:spawn(function()
      local name = assert(other.models:get(MODEL)).name
      assert(mine:sleep(0.01))
      mine:close()
      local _, err = mine.models:get(MODEL)
      return name, err.kind, assert(other.models:get(MODEL)).name
    end)
    other:run()
    assert.same({ "models/" .. MODEL, "closed", "models/" .. MODEL }, { task:result() })
    other:close()
  end)

  it("has its calls cancelled when their client is closed", function()
    em:gate { hold = true }
    local mine = client
    local task = mine:spawn(function()
      local stream = open()
      local _, err = stream:next()
      local _, second = mine.models:get(MODEL)
      return err.kind, second.kind
    end)
    mine:step()
    mine:step()
    mine:close()
    mine:run()
    assert.same({ "cancelled", "closed" }, { task:result() })
    assert.equal(0, mine.core.alive().exchange)
  end)

  it("reads on where another one has stopped", function()
    local texts, whole, left = {}, must(client.models:generate_content { model = MODEL, contents = "[long]" }).text, 2
    local stream, turn = open(), 1
    for mine = 1, 2 do
      client:spawn(function()
        local chunk
        repeat
          while turn ~= mine do coroutine.yield() end
          chunk = must(stream:next() or {})
          texts[#texts + 1], turn = chunk.text, 3 - mine
        until not chunk.text
        left = left - 1
      end)
    end
    client:run()
    assert.equal(0, left)
    assert.equal(whole, table.concat(texts))
  end)

  it("closes what it opened: streams do not outlive it", function()
    local task = client:spawn(function()
      local stream = open()
      assert(stream:next())
      return stream
    end)
    local stream = task:wait()
    assert.equal("closed", select(2, stream:next()).kind)
    assert.equal(0, client.core.alive().exchange)
  end)

  it("raises in a coroutine of its own, which would block the frame", function()
    local task = client:spawn(function()
      return coroutine.wrap(function()
        local found = client.models:get(MODEL) -- no tail call, of which LuaJIT would not know the line
        return found
      end)()
    end)
    assert.matches("tasks_spec%.lua:%d+: this call would block inside step: use client:spawn or set wait",
      select(2, task:wait()))
  end)

  it("raises under a function in C, too, and says what is wrong", function()
    for _, wait in ipairs {
      function() return (("a"):gsub("a", function() return client:sleep(0.01) end)) end,
      function() table.sort({ 1, 2 }, function() return client:sleep(0.01) end) end,
      function() return (("a"):gsub("a", function() return client.models:get(MODEL).name end)) end,
    } do
      local _, problem = client:spawn(wait):wait()
      assert.matches("tasks_spec%.lua:%d+: this call cannot wait here: inside a function that C calls", problem)
    end
  end)

  it("is what a function becomes, and nothing else", function()
    assert.error_matches(function() client:spawn(open()) end, "client:spawn: a function expected, got table")
    assert.error_matches(function() client.spawn(open) end, "call it with a colon: client:spawn")
    assert.error_matches(function() client:step(-1) end, "budget: seconds expected")
    assert.error_matches(function() client:sleep() end, "seconds expected")
    assert.error_matches(function() gemini.Client { loop = {} } end, "gemini.Loop%(%)")
  end)

  it("belongs to the loop that its client has", function()
    local other = gemini.Client { api_key = "k", loop = gemini.Loop(), http_options = { base_url = em.url } }
    local same = gemini.Client { api_key = "k", loop = other.loop, http_options = { base_url = em.url } }
    assert.are_not.equal(client.loop, other.loop)
    local task = other:spawn(function() return assert(same.models:get(MODEL)).name end)
    client:run()
    assert.is_false(task.done)
    same:run()
    assert.equal("models/" .. MODEL, task:result())
    same:close()
    other:close()
  end)

  -- On 5.1 nothing can yield inside pcall: the wait there has failed, and wakes nobody later.
  it("sleeps as long as it wants, whatever it tried before", function()
    local task = client:spawn(function()
      local stream = open()
      local map = client:map({ 0.01, 0.02 }, function(seconds) return client:sleep(seconds) end)
      local other = client:spawn(function() return client:sleep(0.01) end)
      local function try()
        pcall(stream.next, stream)
        pcall(map)
        pcall(other.wait, other)
      end
      try()
      stream:close()
      local from = client.core.now()
      assert(client:sleep(0.1))
      local slept = client.core.now() - from
      try()
      coroutine.yield()
      from = client.core.now()
      assert(client:sleep(0.1))
      return math.min(slept, client.core.now() - from)
    end)
    client:run()
    assert.is_true(task:result() >= 0.1)
  end)

  -- Steps until the script waits for the n-th time; false where it has ended before.
  local function at_wait(task, n)
    for _ = 1, n do
      if not client:step() then return false end
      client:wait(0.05)
    end
    return not task.done
  end

  it("may be cancelled wherever it waits: it ends, and nothing is left", function()
    local waits = 0
    repeat
      em:clear()
      local task = client:spawn(script)
      local waiting = at_wait(task, waits)
      task:cancel()
      assert.equal(0, client.core.alive().exchange)
      if waiting then
        client:run()
        assert.equal(nil, (task:result()))
        local _, err = task:result()
        assert.is_truthy(gemini.is_error(err) and err.kind == "cancelled", tostring(err))
      end
      waits = waits + 1
    until not waiting
    assert.is_true(waits > 10)
    assert.equal(script(), script())
  end)

  it("may raise wherever it has waited: nothing is left", function()
    local points = 0
    local function raise_at(n)
      local rest, count = client.tasks.rest, 0
      client.tasks.rest = function(self, ...)
        count = count + 1
        local result = rest(self, ...)
        if count == n then error("raised at a wait", 0) end
        return result
      end
      local task = client:spawn(script)
      local ok, problem = pcall(client.run, client)
      client.tasks.rest = nil
      assert.is_true(task.done)
      return not ok and problem
    end
    local problem
    repeat
      em:clear()
      points = points + 1
      problem = raise_at(points)
      collectgarbage()
      assert.is_true(not problem or problem:find "raised at a wait" ~= nil, problem)
    until not problem
    assert.is_true(points > 10)
    assert.equal(script(), script())
  end)

  it("may be in flight when the state is closed, the client closed before or not", function()
    local source = [[
      local gemini = require "lgemini"
      local client = gemini.Client { api_key = "k", http_options = { base_url = "%s" } }
      local function read()
        local stream = client.models:generate_content_stream { model = "%s", contents = "[long]" }
        return stream:next()
      end
      held = { client:spawn(read), client:spawn(function() client:sleep(100) end), client:map({ 1, 2 }, read) }
      client:spawn(function() client.files:upload { file = "spec/fixtures/demo.mp4" } end)
      client:spawn(function() while true do coroutine.yield() end end)
      for _ = 1, 3 do client:step() end
      client:pollfd()
      if %s then client:close() end
      print "the end"]]
    em:gate { hold = true }
    for _, close in ipairs { "true", "false" } do
      local path = os.tmpname()
      local file = assert(io.open(path, "w"))
      file:write(source:format(em.url, MODEL, close))
      file:close()
      local pipe = assert(io.popen((os.getenv "LUA" or "lua5.4") .. " " .. path .. " 2>&1; echo $?"))
      assert.equal("the end\n0\n", pipe:read "*a")
      pipe:close()
      os.remove(path)
    end
  end)
end)
