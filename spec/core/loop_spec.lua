-- The loop: what it runs, tells, times and lets go of. Nothing here measures time.
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local drive = require "spec.core.drive"
local process = require "spec.support.process"
local puppets = require "spec.core.puppet"
local scripted = require "spec.support.scripted"

local has_cqueues, cqueues = pcall(require, "cqueues")

describe("a loop", function()
  local server, puppet, loop

  setup(function()
    server = scripted.start()
    puppet = puppets.start()
  end)
  teardown(function()
    server:stop()
    puppet:stop()
  end)
  before_each(function()
    loop = assert(core.loop.new())
    puppet:forget()
  end)
  after_each(function() loop:close() end)

  local function script(...) server:script { ... } end

  local function finish(x)
    local ok, err = drive.finish(loop, x)
    assert(ok, err and err.message)
  end

  local function accept()
    return drive.wait(loop, function() return puppet:accept() end, "a connection")
  end

  -- Exchanges that are done and yet to be told of.
  local function done_ones(n)
    local answers, list, limit = {}, {}, core.now() + 20
    for i = 1, n do answers[i] = { status = 200 } end
    server:script(answers)
    for i = 1, n do list[i] = drive.start(loop, "GET", server.url) end
    for i = 1, n do
      while list[i]:done() == nil do
        assert(core.now() < limit)
        assert(loop:step(nil, 0.01))
      end
    end
    return list
  end

  it("has nothing to do at first", function()
    assert.is_nil(loop:timeout())
    assert.is_nil(loop:next())
    assert.equal(0, loop:step(nil, 0))
    assert.equal(0, loop:step())
    assert.is_nil(loop:timeout())
  end)

  it("says when it has to be called again", function()
    local x = drive.start(loop, "GET", puppet.url, { connect = 50, first_byte = 40, idle = 30 })
    assert.equal(0, loop:timeout()) -- it is not even begun
    local n = accept()
    drive.phase(loop, x, "waiting")
    local left = drive.wait(loop, function() return loop:timeout() and loop:timeout() > 1 and loop:timeout() end)
    assert.is_true(left <= 40)
    puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
    drive.phase(loop, x, "receiving")
    assert.is_true(loop:timeout() <= 30)
    local hurried = drive.start(loop, "GET", puppet.url, { deadline = core.now() + 5 })
    drive.phase(loop, hurried, "waiting")
    assert.is_true(loop:timeout() <= 5)
    hurried:close()
    x:close()
    puppet:close(n)
    assert.is_nil(loop:timeout())
  end)

  it("is called at once where an exchange has something to tell or may go on", function()
    script { status = 200, body = { bytes = ("x"):rep(1000000) } }
    local x = drive.exchange("GET", server.url, { tell_data = true, room = 1000 })
    loop:add(x, "calls")
    local limit = core.now() + 20
    while #x:read(0) == 0 and loop:timeout() ~= 0 or not x:code() do
      assert(core.now() < limit)
      assert(loop:step(nil, 0.01))
    end
    assert.equal(0, loop:timeout()) -- there is data to be looked at
    while loop:next() do end -- luacheck: ignore 542
    drive.wait(loop, function() return loop:timeout() ~= 0 end)
    assert.is_true(#x:read() > 0)
    assert.equal(0, loop:timeout()) -- there is room again
  end)

  if has_cqueues then
    it("has a descriptor that is readable when a socket is", function()
      if not loop:fd() then return pending "this poller has none" end -- poll
      local watched = { pollfd = loop:fd(), events = "r" }
      local function readable(seconds) return cqueues.poll(watched, seconds) == watched end
      local x = drive.start(loop, "GET", puppet.url)
      local n = accept()
      drive.phase(loop, x, "waiting")
      drive.wait(loop, function() return not readable(0) end)
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      assert.is_true(readable(10))
      finish(x)
      drive.wait(loop, function() return not readable(0) end)
      puppet:close(n)
    end)
  end

  it("has an alarm that makes the descriptor readable", function()
    if not has_cqueues or not loop:fd() then return pending "no cqueues, or no descriptor" end
    local function readable(seconds)
      return cqueues.poll({ pollfd = loop:fd(), events = "r" }, seconds) ~= seconds
    end
    assert.is_true(loop:alarm())
    assert.is_false(readable(0))
    assert.is_true(loop:alarm(0))
    assert.is_true(readable(10))
    assert.equal(0, loop:step(nil, 0)) -- it is no work by itself
    assert.is_false(readable(0))
    assert.is_true(loop:alarm(0.01))
    assert.is_true(readable(10))
    assert.is_true(loop:alarm(1000))
    assert.is_false(readable(0))
    assert.has_error(function() loop:alarm(-1) end)
  end)

  it("begins few exchanges in a step without time, and serves one at least", function()
    local list, answers = {}, {}
    for i = 1, 6 do
      answers[i] = { status = 200 }
      list[i] = drive.start(loop, "GET", server.url, { http1 = true }, i % 2 == 0 and "calls" or "bulk")
    end
    server:script(answers)
    local function begun()
      local count = 0
      for i = 1, 6 do count = count + (list[i]:phase() ~= "queued" and 1 or 0) end
      return count
    end
    for i = 1, 6 do
      assert.equal(i - 1, begun())
      assert.equal(0, loop:timeout())
      assert(loop:step(0, 10)) -- does not wait while there is work
    end
    assert.equal(6, begun())
    local limit, left = core.now() + 20, 6
    while left > 0 do
      assert(core.now() < limit)
      assert(loop:step(0, 0.01))
      left = 0
      for i = 1, 6 do left = left + (list[i]:done() == nil and 1 or 0) end
    end
    for i = 1, 6 do
      local ok, err = list[i]:done()
      assert(ok, err and err.message)
    end
  end)

  it("serves all that is ready in a step with time", function()
    local list, answers = {}, {}
    for i = 1, 5 do answers[i] = { gate = "go", status = 200 } end
    server:script(answers)
    for i = 1, 5 do
      list[i] = drive.start(loop, "GET", server.url)
      drive.phase(loop, list[i], "waiting")
      assert.is_true(server:wait("head", i))
    end
    server:release "go"
    for i = 1, 5 do assert.is_true(server:wait("answered", i)) end
    assert(loop:step(nil, 10))
    for i = 1, 5 do assert.is_true(list[i]:done()) end
  end)

  describe("with a share of so many places", function()
    local function start_with(share)
      local x = assert(core.exchange.new { method = "GET", url = puppet.url, headers = {}, proxy = "" })
      loop:add(x, "calls", share)
      return x
    end

    local function phases(list)
      local names = {}
      for i, x in ipairs(list) do names[i] = x:phase() == "queued" and "queued" or "begun" end
      return table.concat(names, " ")
    end

    it("leaves those past it in the queue, whatever else begins, and takes the next when one goes", function()
      local share, list = core.loop.share(2), {}
      for i = 1, 4 do list[i] = start_with(share) end
      list[5] = start_with(core.loop.share(1))
      list[6] = start_with()
      assert(loop:step(nil, 0))
      assert.equal("begun begun queued queued begun begun", phases(list))
      assert.is_true(loop:timeout() ~= 0) -- nothing to be done about those that wait
      list[2]:close()
      assert(loop:step(nil, 0))
      assert.equal("begun begun queued", phases { list[1], list[3], list[4] })
      list[4]:close() -- one that waits has no place
      list[1]:close()
      list[3]:close()
      list[7], list[8] = start_with(share), start_with(share)
      list[9] = start_with(share)
      assert(loop:step(nil, 0))
      assert.equal("begun begun queued", phases { list[7], list[8], list[9] })
      for _, x in ipairs(list) do x:close() end
    end)

    it("gives a place back when an exchange ends, times out or is cancelled", function()
      local share = core.loop.share(1)
      script({ status = 200 })
      local first = assert(core.exchange.new { method = "GET", url = server.url, headers = {}, proxy = "" })
      loop:add(first, "calls", share)
      local second = assert(core.exchange.new { method = "GET", url = puppet.url, headers = {}, proxy = "",
        deadline = core.now() + 0.2 })
      loop:add(second, "calls", share)
      local third, fourth = start_with(share), start_with(share)
      finish(first)
      drive.wait(loop, function() return second:done() ~= nil end, "the end of its time")
      drive.wait(loop, function() return third:phase() ~= "queued" end, "the third's turn")
      third:cancel()
      assert.equal("cancelled", select(2, third:done()).kind)
      drive.wait(loop, function() return fourth:phase() ~= "queued" end, "the fourth's turn")
      for _, x in ipairs { first, second, third, fourth } do x:close() end
    end)

    it("times out who waits", function()
      local share = core.loop.share(1)
      local first = start_with(share)
      local second = assert(core.exchange.new { method = "GET", url = puppet.url, headers = {}, proxy = "",
        deadline = core.now() + 0.02 })
      loop:add(second, "calls", share)
      drive.wait(loop, function() return second:done() ~= nil end, "the end of its time")
      local _, err = second:done()
      assert.equal("total", err.clock)
      assert.matches("waiting for its turn", err.message)
      first:close()
      second:close()
    end)

    it("tells which have it, queued or not, until they are closed", function()
      local share, other, list = core.loop.share(2), core.loop.share(2), {}
      assert.same({}, loop:sharing(share))
      for i = 1, 6 do list[i] = start_with(i % 2 == 0 and other or share) end
      list[7] = start_with()
      assert(loop:step(nil, 0))
      local function told(of)
        local found, names = {}, {}
        for _, x in ipairs(loop:sharing(of)) do found[x] = true end
        for i, x in ipairs(list) do names[#names + 1] = found[x] and i or nil end
        return table.concat(names, " ")
      end
      assert.equal("1 3 5", told(share))
      assert.equal("2 4 6", told(other))
      list[3]:close()
      list[1]:cancel()
      assert.equal("5", told(share))
      list[5] = nil
      collect()
      assert.same({}, loop:sharing(share))
      assert.has_error(function() loop:sharing {} end)
      for _, x in pairs(list) do x:close() end
    end)

    it("is of at least one", function()
      assert.has_error(function() core.loop.share(0) end)
      assert.has_error(function() core.loop.share() end)
      local x = assert(core.exchange.new { method = "GET", url = puppet.url, headers = {}, proxy = "" })
      assert.has_error(function() loop:add(x, "calls", {}) end)
      x:close()
    end)
  end)

  it("goes on with the queue when its first are gone", function()
    local list, answers = {}, {}
    for i = 1, 6 do
      answers[i] = { status = 200 }
      list[i] = drive.start(loop, "GET", server.url)
    end
    server:script(answers)
    list[1]:close()
    list[2] = nil
    collect()
    assert(loop:step(0, 0))
    assert.equal("queued", list[4]:phase())
    list[4]:close()
    list[6]:close()
    for _, i in ipairs { 3, 5 } do finish(list[i]) end
    finish(drive.start(loop, "GET", server.url))
    assert.equal(3, #server:received())
  end)

  it("begins nothing and goes on with no handshake in a step that is late, but not for ever", function()
    local secure = scripted.start { tls = true }
    secure:script { { status = 200 } }
    local x = drive.start(loop, "GET", secure.url .. "/", { ca_file = secure.ca_file })
    for _, phase in ipairs { "queued", "connecting" } do
      local since = core.now()
      repeat loop:step(0.001, 0.001, 0) until x:phase() ~= phase
      assert.is_true(core.now() - since > 0.05)
    end
    assert.is_true(drive.finish(loop, x))
    secure:stop()
  end)

  it("reads a body in slices in a step that has an end", function()
    local path = drive.file(drive.bytes(2000000))
    for _, case in ipairs { { least = 98304, most = 98304, budget = 1e-6 }, { least = 524288, most = 2000000 } } do
      local body = core.body.new()
      assert(body:add_file(path))
      script { status = 200 }
      local x = drive.start(loop, "POST", server.url .. "/", { body = body, http1 = true }, "bulk")
      while x:sent() == 0 do loop:step(case.budget, 0.01) end
      assert.is_true(x:sent() >= case.least and x:sent() <= case.most)
      finish(x)
      body:close()
    end
    os.remove(path)
  end)

  it("lets each have its turn when a step has time for one only", function()
    -- Two answers of which there is always more to read, and a short one.
    local much = { ["$bytes"] = { pattern = "counter", length = 40000000 } }
    local endless = { status = 200, gate = "go", body = { bytes = much } }
    script(endless, endless, { status = 200, gate = "go", body = { bytes = "short" } })
    local list = {}
    for i = 1, 3 do
      list[i] = drive.start(loop, "GET", server.url, { tell_data = true }, "bulk")
      assert.is_true(drive.phase(loop, list[i], "waiting"))
      drive.wait(loop, function() return server:wait("head", i, nil, 0) end)
    end
    server:release "go"
    assert.is_true(server:wait("answered", 3))
    local seen, count = {}, 0
    local function served()
      for i = 1, 3 do
        if not seen[i] and #list[i]:read() > 0 then
          seen[i], count = true, count + 1
        end
      end
      return count
    end
    local steps = 0
    repeat
      assert(loop:step(0, 5))
      steps = steps + 1
    until served() == 3 or steps == 9
    assert.equal(3, count)
    assert.is_nil(list[1]:done() and list[2]:done())
  end)

  it("tells of each exchange once, and of none that was closed before it was asked", function()
    for mask = 0, 15 do
      local list, gone, told = done_ones(4), {}, {}
      for i = 1, 4 do
        if math.floor(mask / 2 ^ (i - 1)) % 2 == 1 then
          gone[list[i]] = true
          list[i]:close()
        end
      end
      for x in function() return loop:next() end do
        assert.is_nil(told[x])
        assert.is_nil(gone[x])
        told[x] = true
      end
      for i = 1, 4 do
        assert.is_true(told[list[i]] or gone[list[i]])
        list[i]:close()
      end
    end
  end)

  it("tells of an exchange whose reader is wanted", function()
    local body = core.body.new()
    assert(body:add_reader(10))
    local x, told = drive.start(loop, "POST", puppet.url, { body = body }), 0
    drive.wait(loop, function() return told == 1 end, "the wish", function(ready)
      assert.equal(x, ready)
      told = told + 1
    end)
    assert.same({ 0, 10 }, { x:wants() })
    x:supply "12345"
    drive.wait(loop, function() return told == 2 end, "the next one", function() told = told + 1 end)
    assert.same({ 5, 5 }, { x:wants() })
    x:close()
  end)

  it("tells of those that are closed and added while others are told of", function()
    local list = done_ones(3)
    local first = loop:next()
    for i = 1, 3 do if list[i] ~= first then list[i]:close() end end
    assert.is_nil(loop:next())
    local late = done_ones(1)[1]
    assert.equal(late, loop:next())
    assert.is_nil(loop:next())
    first:close()
    late:close()
  end)

  -- The lanes differ over TLS only, where calls share connections: see spec/wire/connections_spec.lua.
  it("keeps connections for the next exchange", function()
    script({ status = 200 }, { status = 200 }, { status = 200 })
    for _, lane in ipairs { "calls", "bulk", "calls" } do
      finish(drive.start(loop, "GET", server.url, nil, lane))
    end
    local received = server:received()
    local only = received[1].connection
    for i = 1, 3 do assert.equal(only, received[i].connection) end
    loop:close()
    assert.is_true(server:wait("closed", only))
  end)

  it("does not make one exchange wait for another's answer", function()
    local first = drive.start(loop, "GET", puppet.url)
    drive.phase(loop, first, "waiting")
    local second = drive.start(loop, "GET", puppet.url)
    drive.phase(loop, second, "waiting")
    assert.is_not_nil(accept())
    assert.is_not_nil(accept())
  end)

  it("uses no connection again of which an answer was not read to its end", function()
    local x = drive.start(loop, "GET", puppet.url)
    local n = accept()
    puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
    drive.phase(loop, x, "receiving")
    x:close()
    local other = drive.start(loop, "GET", puppet.url)
    assert.not_equal(n, accept())
    other:close()
  end)

  -- Of those that are told of bit by bit, the last read little at a time.
  it("runs many exchanges at once", function()
    local list, answers = {}, {}
    local function body(i) return ("%d "):format(i):rep(i * 100) end
    for i = 1, 100 do answers[i] = { status = 200, body = { bytes = body(i) } } end
    server:script(answers)
    for i = 1, 100 do
      list[i] = drive.start(loop, "GET", server.url, { tell_data = i % 4 ~= 0, http1 = i % 3 == 0 },
        i % 2 == 0 and "calls" or "bulk")
    end
    local bodies = {}
    for i = 1, 100 do
      finish(list[i])
      bodies[list[i]:read()] = true
    end
    for i = 1, 100 do assert.is_true(bodies[body(i)]) end
  end)

  describe("counts", function()
    -- Time in which nobody steps.
    local function away(seconds)
      local back = core.now() + seconds
      repeat until core.now() > back
    end

    it("little of the time in which nobody stepped, but some", function()
      local x = drive.start(loop, "GET", puppet.url, { first_byte = 1.6 })
      local n = accept()
      drive.phase(loop, x, "waiting")
      away(1.8) -- counts as a second
      assert(loop:step(nil, 0))
      assert.is_nil(x:done())
      local limit = core.now() + 10
      while x:done() == nil do -- a program that steps only now and then
        assert(core.now() < limit, "never comes to an end")
        away(1.1)
        assert(loop:step(nil, 0))
      end
      local ok, err = x:done()
      assert.is_false(ok)
      assert.equal("first_byte", err.clock)
      puppet:close(n)
    end)

    it("nothing against an answer that came while nobody stepped", function()
      local x = drive.start(loop, "GET", puppet.url, { first_byte = 0.6 })
      local n = accept()
      drive.phase(loop, x, "waiting")
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      away(0.7)
      finish(x)
      puppet:close(n)
    end)
  end)

  describe("is closed", function()
    -- One exchange in each state.
    local function all_states()
      local body, reader = core.body.new(), core.body.new()
      assert(body:add(("x"):rep(20000000)))
      assert(reader:add_reader(10))
      script({ read = 1000, stall_at = 0, status = 200 },
        { stall_at = { body = 3 }, status = 200, body = { bytes = "hello" } })
      local list = {
        drive.start(loop, "POST", server.url, { body = body }),
        drive.start(loop, "GET", (puppet.url:gsub("^http", "https")), { http1 = true }, "bulk"),
        drive.start(loop, "GET", puppet.url),
        drive.start(loop, "POST", puppet.url, { body = reader }),
      }
      drive.wait(loop, function()
        return list[1]:sent() > 0 and list[3]:phase() == "waiting" and list[4]:wants()
      end)
      list[5] = drive.start(loop, "GET", server.url)
      drive.wait(loop, function() return list[5]:phase() == "receiving" end)
      list[6] = drive.start(loop, "GET", "http://127.0.0.1:1/")
      drive.finish(loop, list[6])
      list[7] = drive.start(loop, "GET", puppet.url)
      list[8] = drive.exchange("GET", puppet.url)
      return list
    end

    it("before its exchanges", function()
      local list = all_states()
      loop:close()
      loop:close()
      for i = 1, 7 do
        local ok, err = list[i]:done()
        assert.is_false(ok)
        assert.equal(i == 6 and "network" or "cancelled", err.kind)
        assert.equal("done", list[i]:phase())
        assert.is_nil(list[i]:wants())
      end
      assert.equal("hel", list[5]:read())
      assert.equal(200, list[5]:code())
      assert.equal("queued", list[8]:phase())
      assert.has_error(function() loop:add(list[8], "calls") end, "attempt to use a closed loop")
      for i = 1, 8 do list[i]:close() end
    end)

    it("after its exchanges", function()
      local list = all_states()
      for i = 1, 8 do list[i]:close() end
      assert.is_nil(loop:next())
      assert(loop:step(nil, 0))
      loop:close()
    end)

    it("with the bodies closed before both", function()
      local body = core.body.new()
      assert(body:add(("x"):rep(20000000)))
      local x = drive.start(loop, "POST", puppet.url, { body = body })
      local n = accept()
      drive.wait(loop, function() return x:sent() > 0 end)
      body:close()
      drive.wait(loop, function()
        puppet:read(n, 1048576)
        return x:done() ~= nil
      end)
      local ok, err = x:done()
      assert.is_false(ok)
      assert.equal("closed", err.kind)
      x:close()
      puppet:close(n)
    end)

    it("by the collector, with exchanges that live on", function()
      local own = assert(core.loop.new())
      local x = drive.start(own, "GET", puppet.url)
      drive.phase(own, x, "waiting")
      own = nil -- luacheck: ignore 311
      collect()
      assert.equal(1, core.alive().loop) -- of before_each
      local ok, err = x:done()
      assert.is_false(ok)
      assert.equal("cancelled", err.kind)
      x:close()
    end)

    it("with the state, in any order", function()
      local code = [[
        package.path, package.cpath = %q, %q
        local core = require "lgemini.core"
        local drive = require "spec.core.drive"
        local order, url = %d, %q
        local body = core.body.new()
        assert(body:add(("x"):rep(10000000)))
        local first = order == 1 and assert(core.loop.new())
        local function make()
          local post = drive.exchange("POST", url, { body = body })
          return { drive.exchange("GET", url), post, drive.exchange("GET", url) }
        end
        local list = make()
        kept = first or assert(core.loop.new())
        local loop = kept
        for i = 1, 2 do loop:add(list[i], i == 1 and "calls" or "bulk") end
        drive.wait(loop, function() return list[1]:phase() == "waiting" and list[2]:phase() == "sending" end)
        forgotten = list
        if order == 3 then body:close() end
        if order == 4 then kept = nil end
        io.write "in flight"
        if order == 5 then os.exit(0, true) end
        if order == 6 then coroutine.wrap(function() local inner = make() loop:add(inner[1], "calls") end)() end]]
      for order = 1, 6 do
        local path = drive.file(code:format(package.path, package.cpath, order, puppet.url))
        local pipe = assert(io.popen(process.quote(process.interpreter()) .. " " .. path .. " 2>&1; echo \" $?\"", "r"))
        local said = pipe:read "*a"
        pipe:close()
        os.remove(path)
        assert.equal("in flight 0\n", said)
      end
    end)
  end)

  describe("refuses", function()
    it("an exchange that is not new", function()
      local x = drive.start(loop, "GET", "http://127.0.0.1:1/")
      local other = assert(core.loop.new())
      local again = "bad argument #1 to 'add' (the exchange was added before)"
      assert.has_error(function() loop:add(x, "calls") end, again)
      assert.has_error(function() other:add(x, "calls") end, again)
      drive.finish(loop, x)
      assert.has_error(function() loop:add(x, "calls") end, again)
      x = drive.start(other, "GET", "http://127.0.0.1:1/")
      other:close()
      assert.has_error(function() loop:add(x, "calls") end, again)
      x:close()
      assert.has_error(function() loop:add(x, "calls") end, "attempt to use a closed exchange")
    end)

    it("what is no exchange, and lanes that do not exist", function()
      local x = drive.exchange("GET", "http://127.0.0.1:1/")
      assert.error_matches(function() loop:add() end, "bad argument #1 to 'add'")
      assert.error_matches(function() loop:add(core.body.new(), "calls") end, "lgemini.exchange expected")
      assert.error_matches(function() loop:add(x) end, "bad argument #2 to 'add'")
      assert.error_matches(function() loop:add(x, "fast") end, "bad argument #2 to 'add' %(invalid option 'fast'%)")
      assert.equal("queued", x:phase())
      loop:add(x, "bulk") -- none of that took it
      drive.finish(loop, x)
    end)

    it("times that are none", function()
      for _, bad in ipairs { -1, 0 / 0, "soon", {} } do
        assert.error_matches(function() loop:step(bad, 0) end, "bad argument #1 to 'step'")
        assert.error_matches(function() loop:step(0, bad) end, "bad argument #2 to 'step'")
        assert.error_matches(function() loop:step(0, 0, bad) end, "bad argument #3 to 'step'")
      end
    end)

    it("to be used when it is closed", function()
      loop:close()
      for _, name in ipairs { "add", "step", "next", "timeout", "fd" } do
        assert.has_error(function() loop[name](loop) end, "attempt to use a closed loop")
      end
    end)
  end)
end)
