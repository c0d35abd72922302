-- Loops that are not ours: the descriptor that says when to step, cqueues, luv, a plain select, a host's own scheduler.
local cqueues = require "cqueues"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local luv = require "luv"
local program = require "spec.support.program"

local MODEL = "gemini-3.5-flash"

describe("in a foreign loop", function()
  local em, client, options

  setup(function() em = emulator.start {} end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    options = { api_key = "k", loop = gemini.Loop(), http_options = { base_url = em.url } }
    client = gemini.Client(options)
  end)
  after_each(function()
    client:close()
    client, options = nil, nil
  end)

  local function ask()
    return assert(client.models:generate_content { model = MODEL, contents = "Name a river." }).text
  end

  local function read()
    local stream, texts = client.models:generate_content_stream { model = MODEL, contents = "[long]" }, {}
    for text in stream:texts() do texts[#texts + 1] = text end
    return table.concat(texts)
  end

  -- Whether the descriptor is readable within so many seconds.
  local function readable(seconds)
    return cqueues.poll({ pollfd = client:pollfd(), events = "r" }, seconds or 0) ~= (seconds or 0)
  end

  describe("the descriptor", function()
    before_each(function()
      client:pollfd()
      client:step()
    end)

    it("is quiet while there is nothing to do", function()
      assert.equal("r", client:events())
      assert.is_nil(client:timeout())
      assert.is_false(readable())
      client:step()
      assert.is_false(readable(0.02))
    end)

    it("tells of a new task", function()
      client:spawn(function() end)
      assert.is_true(readable())
      assert.equal(0, client:timeout())
      client:step()
      assert.is_false(readable())
    end)

    it("tells of one that goes on in the next step", function()
      local task = client:spawn(function() coroutine.yield() end)
      client:step()
      assert.is_true(readable())
      client:step()
      assert.is_true(task.done)
      assert.is_false(readable())
    end)

    it("tells of one that was cancelled", function()
      local task = client:spawn(function() return client:sleep(1000) end)
      client:step()
      assert.is_false(readable())
      task:cancel()
      assert.is_true(readable())
      client:step()
      assert.is_true(task.done)
      assert.is_false(readable())
    end)

    it("tells of an instant that has come", function()
      local task = client:spawn(function() return client:sleep(0.03) end)
      client:step()
      assert.is_false(readable())
      assert.is_true(client:timeout() <= 0.03)
      assert.is_true(readable(30))
      repeat client:step() until task.done
      assert.is_false(readable())
    end)

    it("is all that is needed: nothing is asked of the clock", function()
      local task, steps = client:spawn(function() return ask() == ask() and read() end), 0
      while not task.done do
        assert.is_true(readable(30))
        client:step(0.001)
        steps = steps + 1
      end
      assert.equal(task:result(), read())
      assert.is_true(steps < 1000)
    end)

    it("is none when the client is closed", function()
      client:close()
      assert.is_nil(client:pollfd())
    end)

    it("tells of the end of what was in flight when the client is closed, and is none then", function()
      local task = client:spawn(function() return client:sleep(1000) end)
      client:step()
      assert.is_false(readable())
      client:close()
      repeat assert.is_true(readable()) until not client:step()
      assert.equal("closed", select(2, task:result()).kind)
      assert.is_nil(client:pollfd())
      assert.equal(0, client.core.alive().loop)
    end)

    it("of the next client on the loop tells of what the last one left", function()
      client:spawn(function() end)
      local handle = { release = function(self, fd) self.fd = fd end }
      client.loop.handles[handle] = true
      client:close()
      client:step()
      assert.is_number(handle.fd)
      client = gemini.Client(options)
      client:spawn(function() end)
      client:close()
      client = gemini.Client(options)
      assert.is_true(readable())
    end)
  end)

  it("cqueues polls a client as it is", function()
    local task = client:spawn(read)
    local controller = cqueues.new()
    controller:wrap(function()
      while not task.done do
        cqueues.poll(client)
        client:step(0.001)
      end
    end)
    assert(controller:loop(30))
    assert.equal(read(), task:result())
  end)

  describe("of cqueues", function()
    local adapter = require "lgemini.cqueues"

    it("drive moves tasks beside other coroutines", function()
      local task, ticks = client:spawn(function() return client:sleep(0.05) and read() end), 0
      local controller = cqueues.new()
      controller:wrap(function() adapter.drive(client) end)
      controller:wrap(function()
        while not task.done do
          cqueues.sleep(0.005)
          ticks = ticks + 1
        end
      end)
      assert(controller:loop(30))
      assert.equal(read(), task:result())
      assert.is_true(ticks > 3)
    end)

    it("drive leaves a controller that goes on when the client is closed, after the end or before", function()
      local other = gemini.Client { api_key = "k", loop = gemini.Loop() }
      local held, log = other:spawn(function() return other:sleep(1000) end), {}
      local controller = cqueues.new()
      controller:wrap(function()
        client:spawn(ask)
        adapter.drive(client)
        client:close()
        other:close()
        log[#log + 1] = "closed"
        cqueues.sleep(0.01)
        local again = gemini.Client(options)
        again:spawn(again.sleep, again, 0.01)
        adapter.drive(again)
        again:close()
        cqueues.sleep(0.01)
        log[#log + 1] = "again"
      end)
      controller:wrap(function()
        adapter.drive(other)
        log[#log + 1] = "driven"
      end)
      assert(controller:loop(30))
      assert.equal(0, controller:count())
      assert.same({ "closed", "driven", "again" }, log)
      assert.equal("closed", select(2, held:result()).kind)
    end)

    it("drive, of two clients of a loop or of one twice, ends for each, whoever steps last", function()
      local other = gemini.Client(options)
      local controller, log = cqueues.new(), {}
      for _, whose in ipairs { client, other, client } do
        whose:spawn(whose.sleep, whose, 0.01 * #log)
        controller:wrap(function()
          adapter.drive(whose)
          log[#log + 1] = "driven"
        end)
      end
      controller:wrap(function()
        other:spawn(other.sleep, other, 0.02)
        cqueues.sleep(0.001)
        other:run() -- none of the others sees a step
      end)
      assert(controller:loop(30))
      assert.equal(0, controller:count())
      assert.same({ "driven", "driven", "driven" }, log)
      other:close()
    end)

    it("drive ends where another one's first step was the last", function()
      local other = gemini.Client(options)
      local task, log = client:spawn(client.sleep, client, 1000), {}
      local controller = cqueues.new()
      controller:wrap(function()
        adapter.drive(client)
        log[#log + 1] = "first"
      end)
      controller:wrap(function()
        cqueues.sleep(0.01)
        task:cancel()
        adapter.drive(other)
        log[#log + 1] = "second"
      end)
      controller:loop(10)
      assert.same({ "second", "first" }, log)
      other:close()
    end)

    it("wait sees that the client was closed", function()
      client:close()
      options.wait = adapter.wait
      client = gemini.Client(options)
      local controller, err = cqueues.new(), nil
      controller:wrap(function() err = select(2, client:sleep(1000)) end)
      controller:wrap(function()
        cqueues.sleep(0.01)
        client:close()
        cqueues.sleep(0.01)
      end)
      assert(controller:loop(30))
      assert.equal(0, controller:count())
      assert.equal("closed", err.kind)
    end)

    it("wait lets any of its coroutines call as if it waited, many at once", function()
      client:close()
      options.wait = adapter.wait
      client = gemini.Client(options)
      local controller, results = cqueues.new(), {}
      for i = 1, 8 do
        controller:wrap(function() results[i] = i % 2 == 0 and ask() or read() end)
      end
      controller:wrap(function()
        client:sleep(0.05)
        results.slept = true
      end)
      assert(controller:loop(30))
      assert.is_true(results.slept)
      for i = 3, 8 do assert.equal(results[i - 2], results[i]) end
    end)
  end)

  it("of a host that only sleeps, its wait is asked", function()
    client:close()
    local waits = 0
    options.wait = function(fd, seconds)
      waits = waits + 1
      assert.is_number(fd)
      cqueues.sleep(math.min(seconds, 0.002))
    end
    client = gemini.Client(options)
    assert.is_string(ask())
    assert.is_true(waits > 0)
    local task = client:spawn(function() return coroutine.wrap(ask)() end) -- which would raise without
    client:run()
    assert.is_string(task:result())
    waits = 0
    assert.is_string(client:spawn(ask):wait())
    assert.is_true(waits > 0)
  end)

  describe("of luv", function()
    local adapter = require "lgemini.luv"

    -- uv.run, but not for ever.
    local function run()
      local late, timer = false, luv.new_timer()
      timer:start(30000, 0, function()
        late = true
        luv.stop()
      end)
      timer:unref()
      luv.run()
      timer:close()
      luv.run "nowait" -- closes it
      assert.is_false(late, "something keeps the loop running")
    end

    it("attach moves tasks while it runs", function()
      local task, idle = client:spawn(read), 0
      adapter.attach(client, { on_idle = function(handle)
        idle = idle + 1
        handle:close()
        handle:close()
      end })
      run()
      assert.equal(1, idle)
      assert.equal(read(), task:result())
    end)

    it("attach does so without a descriptor, too", function()
      client.pollfd = function() end
      local task = client:spawn(function() return client:sleep(0.02) and ask() end)
      adapter.attach(client, { on_idle = function(handle) handle:close() end })
      run()
      assert.is_string(task:result())
    end)

    it("attach ends with the client: what was in flight ends, and uv.run does", function()
      local task, idle = client:spawn(function() return client:sleep(1000) end), 0
      adapter.attach(client, { on_idle = function() idle = idle + 1 end })
      local timer = luv.new_timer()
      timer:start(10, 0, function()
        client:close()
        timer:close()
      end)
      run()
      assert.equal(1, idle)
      assert.equal("closed", select(2, task:result()).kind)
    end)

    it("attach leaves the number of its descriptor to the next one", function()
      adapter.attach(client)
      local result
      local timer = luv.new_timer()
      timer:start(10, 0, function()
        timer:close()
        client:close()
        client = gemini.Client(options)
        client:spawn(function() result = ask() end)
        adapter.attach(client, { on_idle = function(handle) handle:close() end })
      end)
      run()
      assert.is_string(result)
    end)

    it("on_error takes what nobody else takes, all of it, and the end is seen then", function()
      for i = 1, 3 do client:spawn(function() error("broken " .. i, 0) end) end
      local problems = {}
      adapter.attach(client, {
        on_error = function(err) problems[#problems + 1] = err:match "^broken %d" end,
        on_idle = function(handle) handle:close() end,
      })
      run()
      assert.same({ "broken 1", "broken 2", "broken 3" }, problems)
    end)

    describe("several handles on one loop", function()
      local other, idle

      before_each(function() other, idle = gemini.Client(options), {} end)
      after_each(function() other:close() end)

      -- Attaches a client; what is left to be idle is in `idle` by this name.
      local function attach(whose, name)
        idle[name] = false
        return adapter.attach(whose, { on_idle = function(handle)
          idle[name] = true
          handle:close()
        end })
      end

      local function after(milliseconds, f)
        local timer = luv.new_timer()
        timer:start(milliseconds, 0, function()
          timer:close()
          f()
        end)
      end

      it("see what comes, and the end of the last task: of two clients, or of one twice", function()
        local began = client:spawn(read)
        local last = other:spawn(function() return other:sleep(0.02) and ask() end)
        attach(client, "first")
        attach(other, "second")
        attach(client, "third")
        run()
        assert.same({ first = true, second = true, third = true }, idle)
        assert.equal(read(), began:result())
        assert.is_string(last:result())
      end)

      it("go on when one is closed", function()
        local first = attach(other, "first")
        local task = client:spawn(function()
          repeat assert(client:sleep(0.002)) until not first.watch -- it is closed
          return ask()
        end)
        attach(client, "second")
        after(5, function() first:close() end)
        run()
        assert.same({ first = false, second = true }, idle)
        assert.is_string(task:result())
      end)

      it("see the end when a call that waits, or run, was there", function()
        client:spawn(client.sleep, client, 0.01)
        attach(client, "first")
        attach(other, "second")
        after(1, function() other:run() end)
        run()
        assert.same({ first = true, second = true }, idle)
      end)

      it("end with their clients, one after the other", function()
        local task = client:spawn(function() return client:sleep(1000) end)
        local kind
        adapter.attach(other)
        adapter.attach(client, { on_idle = function()
          kind = select(2, task:result()).kind
          other:close()
        end })
        after(2, function() client:close() end)
        run()
        assert.equal("closed", kind)
        assert.is_nil(client:pollfd())
      end)

      it("leave none behind of a client that was closed before", function()
        adapter.attach(client)
        local second = adapter.attach(other)
        after(2, function() client:close() end)
        after(20, function() second:close() end)
        run()
        assert.equal("r", other:events())
      end)
    end)
  end)

  for _, name in ipairs { "cqueues", "luv", "poll" } do
    it("examples/loops/" .. name .. ".lua goes on with its own work #plain", function()
      local result = program.run("examples/loops/" .. name .. ".lua", { together = true,
        env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "k" } })
      assert.equal(0, result.code, result.out)
      assert.matches(name == "poll" and "a visitor" or "meanwhile", result.out)
      local _, chunks = result.out:gsub("\t%d+\n", "")
      assert.is_true(chunks > 10, result.out)
    end)
  end
end)
