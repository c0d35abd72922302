-- Tasks over a loop that only pretends: its clock moves when it is waited for, and waiting for what never comes is an
-- error at once.
local errors = require "lgemini.errors"
local tasks_module = require "lgemini.tasks"

-- A world with a core: instants at which exchanges become ready are set by `at`; `now` is its clock.
local function new_world()
  local world = { process = 1, now = 100, due = {}, waits = {}, steps = 0 }

  local Exchange = {}
  Exchange.__index = Exchange
  function Exchange:phase() return self.closed and "closed" or "sending" end
  function Exchange:close() self.closed = true end
  function Exchange:cancel() self.cancelled = true end

  function world.exchange() return setmetatable({}, Exchange) end

  -- It wants to be looked at in so many seconds.
  function world.ready_in(seconds, exchange)
    exchange = exchange or world.exchange()
    table.insert(world.due, { instant = world.now + seconds, exchange = exchange })
    return exchange
  end

  local function take()
    local first
    for i, item in ipairs(world.due) do
      if item.exchange.closed then
        table.remove(world.due, i)
        return take()
      elseif not first or item.instant < world.due[first].instant then
        first = i
      end
    end
    return first
  end

  local loop = {}
  function loop.step(self, _, max_wait)
    assert(not self.closed, "attempt to use a closed loop")
    if not self:is_ours() then return nil, { kind = "closed", message = "of another process" } end
    world.steps = world.steps + 1
    table.insert(world.waits, max_wait)
    if world.failing then
      local failing = world.failing
      world.failing = nil
      return failing()
    end
    local first = take()
    local next_instant = first and world.due[first].instant or math.huge
    local limit = world.now + max_wait
    if math.min(next_instant, limit) == math.huge then error("it would wait for ever", 0) end
    world.now = math.max(world.now, math.min(next_instant, limit))
    local came = next_instant <= world.now
    return came and 1 or 0, came
  end
  function loop.next()
    local first = take()
    if first and world.due[first].instant <= world.now then
      return table.remove(world.due, first).exchange
    end
  end
  function loop.timeout()
    local first = take()
    return first and math.max(0, world.due[first].instant - world.now)
  end
  function loop.fd() return "the descriptor" end
  function loop.alarm() return true end
  function loop:close() self.closed = true end
  function loop:is_ours() return self.process == world.process end
  function loop:add(exchange, _, share)
    if not self:is_ours() then return nil, { kind = "closed", message = "of another process" } end
    table.insert(self.added, { exchange = exchange, share = share })
    return true
  end
  function loop:sharing(share)
    local list = {}
    for _, item in ipairs(self.added) do list[#list + 1] = item.share == share and item.exchange or nil end
    return list
  end

  world.core = { now = function() return world.now end, loop = { new = function()
    return setmetatable({ closed = false, process = world.process, added = {} }, { __index = loop })
  end } }
  function world.core.yield(thread, value)
    if thread ~= coroutine.running() then return false end
    coroutine.yield(value)
  end
  return world
end

describe("tasks", function()
  local world, tasks, log

  before_each(function()
    world = new_world()
    tasks = assert(tasks_module.new(world.core))
    tasks.share = {}
    log = {}
  end)

  -- How many wait for an instant.
  local function pending() return tasks.loop.timers.count end

  local function wait_until(instant) return tasks:sleep(instant - world.now) end

  local function note(text) log[#log + 1] = text end

  -- Steps until the task has ended.
  local function finish(...)
    for _, task in ipairs { ... } do
      for _ = 1, 100 do
        if task.done then break end
        tasks.loop:turn(math.huge)
      end
      assert.is_true(task.done)
    end
  end

  it("of a fork's child have a loop of their own; those of its parent are told apart", function()
    tasks:spawn(function() note "moved" end)
    world.process = 2
    assert.error_matches(function() tasks.loop:step(1) end, "of the process that made it")
    assert.error_matches(function() tasks:sleep(1) end, "of the process that made it")
    assert.error_matches(function() tasks:add(world.exchange(), "calls") end, "of another process")
    assert.error_matches(function() tasks_module.new(world.core, tasks.loop) end,
      "this loop is of the process that made it")
    local other = assert(tasks_module.new(world.core))
    assert.are_not.equal(tasks.loop, other.loop)
    assert.equal(other.loop, assert(tasks_module.new(world.core)).loop)
    assert.is_true(other:sleep(1))
    tasks:close()
    assert.same({}, log)
  end)

  it("say why there is no loop", function()
    local core = { loop = { new = function() return nil, { kind = "limit", message = "no descriptor" } end } }
    local none, err = tasks_module.new(core)
    assert.is_nil(none)
    assert.is_true(errors.is(err))
    assert.equal("limit", err.kind)
  end)

  describe("outside of a task", function()
    it("what was woken is a reason to step, until it has been seen", function()
      tasks.hook = coroutine.yield -- a scheduler's coroutines wait by it
      local exchange = world.ready_in(1)
      local waiting = coroutine.wrap(function() tasks:wait(exchange) end)
      waiting()
      assert.equal(1, tasks.loop:timeout())
      tasks.loop:turn(1) -- somebody else steps
      assert.equal(0, tasks.loop:timeout())
      waiting()
      assert.is_nil(tasks.loop:timeout())
    end)

    it("what was woken is forgotten with the coroutine that the host gave up", function()
      tasks.hook = coroutine.yield
      local exchange = world.ready_in(1)
      local waiting = coroutine.wrap(function() tasks:wait(exchange) end)
      waiting()
      waiting = nil -- luacheck: ignore 311
      tasks.loop:turn(1)
      collectgarbage()
      collectgarbage()
      assert.is_nil(tasks.loop:timeout())
    end)

    it("an error of the host's hook leaves an exchange that may be waited for again", function()
      tasks.hook = function() error("no scheduler", 0) end
      local exchange = world.ready_in(1)
      assert.has_error(function() tasks:wait(exchange) end, "no scheduler")
      tasks.hook = function(_, seconds) world.now = world.now + seconds end
      assert.is_true(tasks:wait(exchange))
      tasks.hook = coroutine.yield
      exchange = world.ready_in(1)
      local dead = coroutine.create(function()
        tasks.hook = error
        tasks:wait(exchange)
      end)
      assert.is_false(coroutine.resume(dead))
      tasks.hook = function(_, seconds) world.now = world.now + seconds end
      assert.is_true(coroutine.wrap(function() return tasks:wait(exchange) end)())
    end)

    it("an error that goes through a wait leaves none", function()
      world.failing = function() error("Ctrl-C", 0) end
      assert.has_error(function() tasks:sleep(1) end, "Ctrl-C")
      assert.is_nil(tasks.loop:timeout())
    end)

    it("wait for an exchange, stepping the loop", function()
      tasks:wait(world.ready_in(3))
      assert.equal(103, world.now)
      assert.same({ math.huge }, world.waits)
    end)

    it("wait for an instant", function()
      wait_until(107)
      assert.equal(107, world.now)
      tasks:sleep(2.5)
      assert.equal(109.5, world.now)
    end)

    it("wait for whichever comes first, and forget the other", function()
      assert.is_true(tasks:wait(world.ready_in(3), 150))
      assert.equal(103, world.now)
      assert.equal(0, pending())
      assert.is_true(tasks:wait(world.ready_in(50), 110))
      assert.equal(110, world.now)
      assert.same({}, tasks.loop.waiters)
    end)

    it("wait no longer than for an instant that has passed", function()
      wait_until(1)
      assert.equal(100, world.now)
    end)

    it("keep the tasks going", function()
      tasks:spawn(function()
        tasks:sleep(1)
        note "one"
        tasks:sleep(1)
        note "two"
      end)
      tasks:sleep(10)
      assert.same({ "one", "two" }, log)
      assert.equal(110, world.now)
    end)

    it("pass over what nobody waits for", function()
      world.ready_in(1)
      tasks:wait(world.ready_in(2))
      assert.equal(102, world.now)
    end)
  end)

  describe("in their order", function()
    it("begin with the next step, as they were made", function()
      for i = 1, 3 do
        tasks:spawn(function(name) note(name .. i) end, "task ")
      end
      assert.same({}, log)
      tasks.loop:turn(0)
      assert.same({ "task 1", "task 2", "task 3" }, log)
    end)

    it("go on by instant, not by age", function()
      local made = {}
      for i, seconds in ipairs { 3, 1, 2 } do
        made[i] = tasks:spawn(function()
          tasks:sleep(seconds)
          note(i)
        end)
      end
      finish(made[1], made[2], made[3])
      assert.same({ 2, 3, 1 }, log)
    end)

    it("go on as they came where the instant is the same", function()
      local made = {}
      for i = 1, 4 do
        made[i] = tasks:spawn(function()
          wait_until(i == 2 and 104 or 105)
          note(i)
        end)
      end
      finish(made[1], made[2], made[3], made[4])
      assert.same({ 2, 1, 3, 4 }, log)
    end)

    it("have one turn in a step", function()
      local task = tasks:spawn(function()
        tasks:sleep(1)
        tasks:all({ function() end, function() return nil, "broken" end }, 2)
        for i = 1, 4 do
          note(i)
          coroutine.yield() -- by itself, which is no wait: its next turn is in the next step
        end
      end)
      repeat tasks.loop:turn(math.huge) until log[1]
      assert.same({ 1 }, log)
      tasks.loop:turn(math.huge)
      assert.same({ 1, 2 }, log)
      tasks.loop:turn(math.huge)
      assert.same({ 1, 2, 3 }, log)
      finish(task)
    end)

    it("do not let the loop wait while one of them may go on", function()
      tasks:spawn(function() coroutine.yield() end)
      tasks.loop:turn(5)
      tasks.loop:turn(5)
      tasks.loop:turn(5)
      assert.same({ 0, 0, 5 }, world.waits)
    end)

    it("do not let the loop wait when one has just run: it may be what somebody outside waits for", function()
      local task = tasks:spawn(function() note "ran" end)
      task:wait()
      assert.same({ "ran" }, log)
      assert.same({ 0 }, world.waits)
    end)

    it("let the loop wait for the earliest instant only", function()
      tasks:spawn(function() tasks:sleep(7) end)
      tasks.loop:turn(0)
      tasks.loop:turn(100)
      assert.equal(107, world.now)
    end)
  end)

  describe("joined", function()
    it("give what their function returned, nils and all", function()
      local task = tasks:spawn(function(...)
        tasks:sleep(1)
        return nil, select("#", ...), nil
      end, nil, 2, nil)
      assert.equal(3, select("#", task:wait()))
      assert.equal(3, select(2, task:wait()))
    end)

    it("give nil and what their function raised, the same value", function()
      local problem = {}
      local task = tasks:spawn(function() error(problem) end)
      local none, raised = task:wait()
      assert.is_nil(none)
      assert.equal(problem, raised)
    end)

    it("are joined from a task, too", function()
      local first = tasks:spawn(function()
        tasks:sleep(2)
        return "value"
      end)
      local second = tasks:spawn(function() note(first:wait()) end)
      finish(second)
      assert.same({ "value" }, log)
    end)

    it("may be joined by several", function()
      local first = tasks:spawn(function() tasks:sleep(2) end)
      local others = {}
      for i = 1, 2 do
        others[i] = tasks:spawn(function()
          first:wait()
          note(i)
        end)
      end
      first:wait()
      finish(others[1], others[2])
      assert.same({ 1, 2 }, log)
    end)

    it("are forgotten when they have ended", function()
      tasks:spawn(function() tasks:sleep(1) end):wait()
      assert.equal(0, tasks.loop.alive)
      assert.equal(0, tasks.loop.ready.last)
      assert.is_nil(next(tasks.loop.waiters))
    end)
  end)

  describe("all at once", function()
    it("are none", function()
      assert.same({}, (tasks:all({}, 4)))
      assert.equal(0, world.steps)
    end)

    it("give their values in order, whatever ends first", function()
      local values = assert(tasks:all({
        function() tasks:sleep(3) return "a" end,
        function() return "b" end,
        function() tasks:sleep(1) return "c" end,
      }, 3))
      assert.same({ "a", "b", "c" }, values)
      assert.equal(103, world.now)
    end)

    it("are so many at once, and no more", function()
      local running, most, functions = 0, 0, {}
      for i = 1, 7 do
        functions[i] = function()
          running = running + 1
          most = math.max(most, running)
          tasks:sleep(1)
          running = running - 1
          return i
        end
      end
      assert.same({ 1, 2, 3, 4, 5, 6, 7 }, (assert(tasks:all(functions, 3))))
      assert.equal(3, most)
      assert.equal(103, world.now)
    end)

    it("end with the first error: exchanges are closed, instants forgotten, and no more is begun", function()
      local exchange = world.ready_in(1000)
      local values, err = tasks:all({
        function()
          tasks:wait(exchange, 2000)
          note "went on"
        end,
        function()
          tasks:sleep(500)
          note "went on"
        end,
        function()
          tasks:sleep(1)
          return nil, "broken"
        end,
        function() note "begun" end,
      }, 3)
      assert.is_nil(values)
      assert.equal("broken", err)
      assert.equal(101, world.now)
      assert.is_true(exchange.closed)
      assert.equal(0, pending())
      assert.is_nil(next(tasks.loop.waiters))
      assert.equal(0, tasks.loop.alive)
      tasks:sleep(5000)
      assert.same({}, log)
    end)

    it("end with an error that is raised, too", function()
      local exchange = world.ready_in(1000)
      local ok, problem = pcall(tasks.all, tasks, {
        function() tasks:wait(exchange) end,
        function()
          tasks:sleep(1)
          error "raised"
        end,
      }, 2)
      assert.is_false(ok)
      assert.matches("raised", problem)
      assert.equal(101, world.now)
      assert.is_true(exchange.closed)
    end)

    it("end one that was woken, but has not had its turn", function()
      local exchange = world.exchange()
      local task = tasks:spawn(function()
        return tasks:all({
          function()
            tasks:sleep(1)
            world.ready_in(0, exchange) -- it wakes after who waits for all
            return nil, "broken"
          end,
          function()
            tasks:wait(exchange)
            note "went on"
          end,
        }, 2)
      end)
      assert.equal("broken", select(2, task:wait()))
      assert.is_true(exchange.closed)
      tasks:sleep(10)
      assert.same({}, log)
    end)

    it("end one that goes on in the next step: what it had in hand is closed", function()
      local exchange = world.exchange()
      tasks:all({
        function()
          tasks:breathe("eager", exchange)
          note "went on"
        end,
        function() return nil, "broken" end,
      }, 2)
      assert.is_true(exchange.closed)
      assert.same({}, log)
    end)

    it("are ended with the task that they are for", function()
      local exchange = world.ready_in(1000)
      local _, err = tasks:all({
        function() return tasks:all({ function() tasks:wait(exchange) end }, 1) end,
        function()
          tasks:sleep(1)
          return nil, "broken"
        end,
      }, 2)
      assert.equal("broken", err)
      assert.is_true(exchange.closed)
      assert.equal(0, tasks.loop.alive)
    end)
  end)

  describe("in a coroutine of the program's own inside a task", function()
    local function inside(fn)
      local task = tasks:spawn(function() return coroutine.wrap(fn)() end)
      local none, problem = task:wait()
      assert.is_nil(none)
      return problem
    end

    it("raise where they would block the step, and close what was begun", function()
      local exchange = world.ready_in(5)
      assert.matches("tasks_spec%.lua:%d+: this call would block inside step: use client:spawn or set wait",
        inside(function() tasks:wait(exchange) end))
      assert.is_true(exchange.closed)
      assert.matches("would block", inside(function() tasks:sleep(1) end))
      assert.matches("would block", inside(function() tasks:spawn(function() end):wait() end))
      assert.matches("would block", inside(function() tasks:all({ function() end }, 1) end))
      assert.equal(100, world.now)
      assert.equal(0, pending())
    end)

    it("raise for a client of another loop, too", function()
      local other = assert(tasks_module.new(world.core, require("lgemini.loop").new(world.core)))
      local task = tasks:spawn(function() other:sleep(1) end)
      assert.matches("would block", select(2, task:wait()))
    end)

    it("wait by the host's hook where there is one", function()
      local waits = {}
      tasks.hook = function(fd, seconds)
        waits[#waits + 1] = { fd, seconds }
        world.now = world.now + seconds
      end
      tasks:spawn(function() coroutine.wrap(function() tasks:sleep(7) end)() end):wait()
      assert.equal(107, world.now)
      assert.same({ "the descriptor", 7 }, waits[1])
    end)
  end)

  it("begin what was added, but do not step the loop from within a task", function()
    tasks.loop:begin()
    assert.equal(1, world.steps)
    local task = tasks:spawn(function()
      local before = world.steps
      tasks.loop:begin()
      assert.equal(before, world.steps)
    end)
    task:wait()
  end)

  it("refuse two waits for one exchange: one of them would never end", function()
    local exchange = world.ready_in(5)
    local first = tasks:spawn(function()
      tasks:wait(exchange)
      note "first"
    end)
    local second = tasks:spawn(function() tasks:wait(exchange) end)
    local none, problem = second:wait()
    assert.is_nil(none)
    assert.matches("two tasks", problem)
    first:wait()
    assert.same({ "first" }, log)
  end)

  describe("that wait for one exchange again and again", function()
    local exchange

    -- A task that does this behind its first wait. Returns what it has returned, in the end.
    local function behind(fn)
      local task = tasks:spawn(function()
        tasks:rest(exchange)
        return fn()
      end)
      local values = { task:wait() }
      assert.same({}, tasks.loop.waiters)
      return (table.unpack or unpack)(values) -- luacheck: ignore 143
    end

    -- Once more, for what comes in a second.
    local function again()
      world.ready_in(1, exchange)
      return tasks.loop:wait_again(exchange)
    end

    before_each(function() exchange = world.ready_in(1) end)

    it("have a short way, in a task only", function()
      assert.is_false(tasks.loop:wait_again(exchange))
      assert.is_true(behind(function() return again() and again() end))
      assert.equal(103, world.now)
      assert.is_false(tasks:spawn(function() return tasks.loop:wait_again(exchange) end):wait())
    end)

    it("look first where something was told of it meanwhile", function()
      assert.is_false(behind(function()
        tasks.loop:tell(exchange)
        return tasks.loop:wait_again(exchange)
      end))
    end)

    it("begin anew behind a wait for something else, and behind a turn given up", function()
      for _, other in ipairs { function() tasks:sleep(1) end, function() tasks:rest(world.ready_in(1)) end,
        function() tasks:spawn(function() end):wait() end, function() tasks.loop:breathe(true) end, coroutine.yield } do
        world.ready_in(1, exchange)
        assert.is_false(behind(function()
          other()
          return tasks.loop:wait_again(exchange)
        end))
      end
    end)

    it("begin anew where another one has read it", function()
      local other
      local first = behind(function()
        world.ready_in(1, exchange)
        other = tasks:spawn(function() return tasks:rest(exchange) end)
        other:wait()
        return tasks.loop:wait_again(exchange)
      end)
      assert.is_false(first)
      assert.is_true(other:result())
    end)

    it("leave it to who reads while they have not had their turn", function()
      local first = tasks:spawn(function()
        tasks:rest(exchange)
        return tasks.loop:wait_again(exchange)
      end)
      tasks.loop:turn(0)
      tasks:spawn(function()
        tasks.loop:tell(exchange)
        tasks:rest(exchange)
        note "second"
      end)
      assert.is_false(first:wait())
      tasks:sleep(5)
      assert.same({ "second" }, log)
    end)

    it("are alone in it", function()
      tasks:spawn(function()
        tasks:rest(exchange)
        again()
        note "first"
      end)
      tasks.loop:turn(1)
      tasks.loop:turn(1)
      local _, problem = tasks:spawn(function() tasks:rest(exchange) end):wait()
      assert.matches("two tasks", problem)
      tasks:sleep(5)
      assert.same({ "first" }, log)
    end)

    it("do not where they could not yield", function()
      assert.is_false(behind(function()
        return coroutine.wrap(function() return tasks.loop:wait_again(exchange) end)()
      end))
    end)

    it("are cancelled like others: the exchange is closed", function()
      local task = tasks:spawn(function()
        tasks:rest(exchange)
        note(tasks.loop:wait_again(exchange))
        note(tasks.loop:wait_again(exchange))
      end)
      tasks.loop:turn(1)
      tasks.loop:turn(1)
      task:cancel()
      assert.is_true(exchange.closed)
      finish(task)
      assert.same({ true, false }, log)
    end)

    it("hold nothing that is forgotten once they wait for something else", function()
      local dropped = setmetatable({}, { __mode = "v" })
      tasks:spawn(function()
        tasks:rest(exchange)
        dropped[1], exchange = exchange, nil
        world.due = {}
        tasks:sleep(1)
        collectgarbage()
        collectgarbage()
        note(dropped[1] == nil)
      end):wait()
      assert.same({ true }, log)
    end)
  end)

  describe("whose exchange is dropped", function()
    it("are told at once", function()
      local exchange = world.exchange()
      local task = tasks:spawn(function() return tasks:wait(exchange) end)
      tasks.loop:turn(0)
      tasks:drop(exchange)
      assert.is_false(task:wait())
      assert.is_true(exchange.closed)
      assert.equal(100, world.now)
    end)

    it("are told even when they were woken just before", function()
      local first, second = world.ready_in(1), world.ready_in(1)
      tasks:spawn(function()
        tasks:wait(first)
        tasks:drop(second)
      end)
      local task = tasks:spawn(function() return tasks:wait(second) end)
      assert.is_false(task:wait())
    end)

    it("need not wait for it", function()
      local exchange = world.exchange()
      tasks:drop(exchange)
      assert.is_true(exchange.closed)
    end)
  end)

  describe("that an error is thrown through (Ctrl-C)", function()
    local function interrupt()
      world.failing = function() error("interrupted!", 0) end
    end

    it("close the exchange that was waited for, and nothing is left of the wait", function()
      local exchange = world.ready_in(5)
      interrupt()
      local ok, problem = pcall(tasks.wait, tasks, exchange, 200)
      assert.is_false(ok)
      assert.equal("interrupted!", problem)
      assert.is_true(exchange.closed)
      assert.is_nil(next(tasks.loop.waiters))
      assert.equal(0, pending())
      tasks:sleep(1)
      assert.equal(101, world.now)
    end)

    it("end what was to be done all at once", function()
      local exchange = world.ready_in(5)
      local ok = pcall(tasks.all, tasks, {
        function() tasks:wait(exchange) end,
        function()
          interrupt()
          tasks:sleep(1)
        end,
      }, 2)
      assert.is_false(ok)
      assert.is_true(exchange.closed)
      assert.equal(0, pending())
      assert.equal(0, tasks.loop.alive)
    end)

    it("leave a task alone that was only joined", function()
      local task = tasks:spawn(function()
        tasks:sleep(5)
        return "value"
      end)
      interrupt()
      assert.is_false(pcall(task.wait, task))
      assert.equal("value", task:wait())
    end)
  end)

  it("raise the error of a loop that fails, and let go of the exchange", function()
    local exchange = world.ready_in(5)
    world.failing = function() return nil, { kind = "io", message = "epoll: no" } end
    local ok, err = pcall(tasks.wait, tasks, exchange)
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.equal("io", err.kind)
    assert.is_true(exchange.closed)
  end)

  describe("when closed", function()
    local function in_flight()
      local exchange = world.exchange()
      tasks:add(exchange, "calls")
      return exchange
    end

    it("wake all who wait", function()
      local exchange = in_flight()
      local made = {
        tasks:spawn(function()
          tasks:wait(exchange)
          note "exchange"
        end),
        tasks:spawn(function()
          local ok, err = wait_until(500)
          assert(not ok)
          note(err.kind)
        end),
      }
      tasks.loop:turn(0)
      tasks:close()
      tasks:close()
      finish(made[1], made[2])
      assert.same({ "exchange", "closed" }, log)
      assert.is_true(exchange.cancelled)
      assert.equal(100, world.now)
    end)

    it("by a task wake who waits outside", function()
      tasks:spawn(function() tasks:close() end)
      assert.is_true(tasks:wait(in_flight()))
      assert.equal(100, world.now)
    end)

    it("wait for nothing any more", function()
      tasks:close()
      assert.is_true(tasks:wait(world.exchange()))
      assert.equal("closed", select(2, tasks:sleep(1000)).kind)
      assert.is_nil(next(tasks.loop.waiters))
      assert.equal(0, pending())
      assert.equal(100, world.now)
    end)

    it("let those end that still run, and give them to who waits for their end", function()
      local values = assert(tasks:all({
        function()
          tasks:close()
          tasks:sleep(1)
          return 1
        end,
        function()
          tasks:sleep(1)
          tasks:sleep(1)
          return 2
        end,
      }, 2))
      assert.same({ 1, 2 }, values)
      assert.equal(100, world.now)
    end)

    it("do not let a task that tries for ever hold up a step", function()
      tasks:spawn(function()
        while not tasks.stop do tasks:sleep(1) end
      end)
      tasks:close()
      tasks.loop:step()
      tasks.loop:step()
      assert.equal(1, tasks.loop.alive)
      tasks.stop = true
      tasks.loop:run()
      assert.equal(0, tasks.loop.alive)
    end)

    it("leave other clients of the loop alone, and their driver in place", function()
      local other = assert(tasks_module.new(world.core))
      assert.equal(tasks.loop, other.loop)
      local exchange = world.ready_in(5)
      other:add(exchange, "calls")
      local waiting = other:spawn(function() return other:wait(exchange) end)
      local sleeping = other:spawn(function() return other:sleep(7) end)
      tasks.loop:turn(0)
      tasks:close()
      assert.is_true(waiting:wait())
      assert.is_nil(exchange.cancelled)
      assert.is_true(sleeping:wait())
      assert.equal(107, world.now)
      other:close()
      assert.is_nil(other.loop.driver)
    end)

    it("leave a loop that the next client uses again", function()
      tasks:close()
      local other = assert(tasks_module.new(world.core))
      assert.equal(tasks.loop, other.loop)
      other:sleep(3)
      assert.equal(103, world.now)
    end)
  end)

  describe("for the program", function()
    it("have no result before the end, and their values then", function()
      local task = tasks:spawn(function() return 1, nil end)
      assert.has_error(function() task:result() end, nil)
      local ok, problem = pcall(task.result, task)
      assert.is_false(ok)
      assert.matches("tasks_spec%.lua.*has not ended", problem)
      tasks.loop:run()
      assert.is_true(task.done)
      assert.same({ 1, nil, n = 2 }, { n = select("#", task:result()), task:result() })
    end)

    it("cannot wait for their own end, nor for each other in a circle", function()
      local first, second
      first = tasks:spawn(function() second:wait() end)
      second = tasks:spawn(function() first:wait() end)
      local ok, problem = pcall(tasks.loop.run, tasks.loop)
      assert.is_false(ok)
      assert.matches("each other", problem)
      ok, problem = pcall(first.wait, first)
      assert.is_false(ok)
      assert.matches("wait for ever", problem)
      first:cancel()
      tasks.loop:run()
      local task
      task = tasks:spawn(function() task:wait() end)
      assert.matches("own end", select(2, task:wait()))
    end)

    it("cannot step from inside a task", function()
      for _, name in ipairs { "step", "run", "pause" } do
        local task = tasks:spawn(function() tasks.loop[name](tasks.loop, 0) end)
        assert.matches("inside a task nobody can step", select(2, task:wait()))
      end
    end)

    it("say whether tasks are left", function()
      assert.is_false(tasks.loop:step())
      tasks:spawn(function() tasks:sleep(1) end)
      assert.is_true(tasks.loop:step(0.001))
      assert.is_false(tasks.loop:pause(5))
    end)

    it("know how long a foreign loop may wait", function()
      assert.is_nil(tasks.loop:timeout())
      local task = tasks:spawn(function() tasks:sleep(3) end)
      assert.equal(0, tasks.loop:timeout())
      tasks.loop:step()
      assert.equal(3, tasks.loop:timeout())
      world.ready_in(2)
      assert.equal(2, tasks.loop:timeout())
      finish(task)
    end)

    it("are made known to a foreign loop also after a step that was broken off", function()
      local alarms = {}
      tasks.loop:pollfd()
      function tasks.loop.driver.alarm(_, seconds) alarms[#alarms + 1] = seconds end
      function world.failing() error("broken off", 0) end
      assert.same({ false, "broken off" }, { pcall(tasks.loop.step, tasks.loop, 0.001) })
      assert.is_false(tasks.loop.finish) -- nor is anything cut short by the end of that step
      tasks:spawn(function() end)
      assert.equal(0, alarms[#alarms])
    end)

    describe("that raise", function()
      it("are raised by the next step, once, with the way that led there; others go on", function()
        local function broken() error "what nobody takes" end
        tasks:spawn(function() broken() end)
        tasks:spawn(function() note "second" end)
        local ok, problem = pcall(tasks.loop.step, tasks.loop)
        assert.is_false(ok)
        assert.matches("^[^\n]*tasks_spec%.lua:%d+: what nobody takes\n.*broken", problem)
        assert.same({ "second" }, log)
        assert.is_false(tasks.loop:step())
      end)

      it("one after the other, and by run, and the very value where it is no text", function()
        local first, second = {}, errors.new { kind = "io", message = "no" }
        tasks:spawn(function() error(first) end)
        tasks:spawn(function() error(second) end)
        assert.equal(first, select(2, pcall(tasks.loop.run, tasks.loop)))
        assert.equal(second, select(2, pcall(tasks.loop.run, tasks.loop)))
        tasks.loop:run()
      end)

      it("are not raised into a call that only waits for something else", function()
        tasks:spawn(function() error "broken" end)
        tasks:sleep(1)
        assert.matches("broken", select(2, pcall(tasks.loop.step, tasks.loop)))
      end)

      it("are taken by who waits for them", function()
        local task = tasks:spawn(function() error("broken", 0) end)
        assert.same({ nil, "broken" }, { task:wait() })
        assert.same({ nil, "broken" }, { task:result() })
        tasks.loop:run()
      end)

      it("are taken by on_task_error, with the task; what that raises is not", function()
        tasks.on_error = function(err, task) note { err, task } end
        local task = tasks:spawn(function() error("broken", 0) end)
        tasks.loop:run()
        assert.equal("broken", log[1][1])
        assert.equal(task, log[1][2])
        tasks.on_error = function() error("worse", 0) end
        tasks:spawn(function() error "broken" end)
        assert.equal("worse", select(2, pcall(tasks.loop.run, tasks.loop)))
      end)
    end)

    describe("that are cancelled", function()
      local function outcome(task)
        finish(task)
        local none, err = task:result()
        assert.is_nil(none)
        assert.is_true(errors.is(err))
        assert.equal("cancelled", err.kind)
        tasks.loop:run() -- it is no error that somebody must take
      end

      it("before they begin never do", function()
        local task = tasks:spawn(function() note "began" end)
        task:cancel()
        assert.is_true(task.done)
        outcome(task)
        assert.same({}, log)
      end)

      it("end where they wait for their next turn", function()
        local task = tasks:spawn(function()
          while true do coroutine.yield() end
        end)
        tasks.loop:step()
        task:cancel()
        assert.is_true(task.done)
        outcome(task)
      end)

      it("have the exchange closed at once, their wait fails, and the sleep after it", function()
        local exchange = world.exchange()
        local task = tasks:spawn(function()
          note(tasks:wait(exchange))
          local ok, err = tasks:sleep(1)
          note(ok or err.kind)
          note(tasks:refusal().kind)
          error(err, 0)
        end)
        tasks.loop:step()
        task:cancel()
        task:cancel()
        assert.is_true(exchange.closed)
        assert.is_false(task.done)
        outcome(task)
        assert.same({ false, "cancelled", "cancelled" }, log)
      end)

      it("wait for no other task", function()
        local other = tasks:spawn(function() tasks:sleep(50) end)
        local task = tasks:spawn(function() return other:wait() end)
        tasks.loop:step()
        task:cancel()
        tasks.loop:step()
        outcome(task)
        assert.is_true(other.done)
        assert.equal(150, world.now)
      end)

      it("end what they had done all at once", function()
        local exchange = world.exchange()
        local task = tasks:spawn(function() return tasks:all({ function() tasks:wait(exchange) end }, 1) end)
        tasks.loop:step()
        tasks.loop:step()
        task:cancel()
        assert.is_true(exchange.closed)
        outcome(task)
        assert.equal(0, tasks.loop.alive)
      end)

      it("by themselves fail at their next call", function()
        local task
        task = tasks:spawn(function()
          task:cancel()
          assert.is_false(task.done)
          return tasks:sleep(1)
        end)
        outcome(task)
        assert.equal(100, world.now)
      end)

      it("cannot hold up a step by trying for ever", function()
        local task = tasks:spawn(function()
          tasks:sleep(1)
          while true do tasks:sleep(1) end
        end)
        tasks.loop:step()
        task:cancel()
        outcome(task)
      end)

      it("may return what they like, and their errors are errors", function()
        local task = tasks:spawn(function()
          tasks:sleep(5)
          return "something"
        end)
        tasks.loop:step()
        task:cancel()
        assert.equal("something", task:wait())
        task = tasks:spawn(function()
          tasks:sleep(5)
          error("broken", 0)
        end)
        tasks.loop:step()
        task:cancel()
        assert.matches("^broken\n", select(2, pcall(tasks.loop.run, tasks.loop)))
      end)

      it("take the streams they opened with them, as every end of a task does", function()
        local function stream(name)
          return { close = function() note(name) end }
        end
        local kept = { stream "cancelled", stream "ended", stream "failed", stream "outside" }
        tasks:adopt(kept[4])
        local task = tasks:spawn(function()
          tasks:adopt(kept[1])
          tasks:sleep(1)
        end)
        tasks.loop:step()
        task:cancel()
        assert.same({ "cancelled" }, log)
        tasks:spawn(function() tasks:adopt(kept[2]) end)
        tasks:spawn(function()
          tasks:adopt(kept[3])
          error "broken"
        end):wait()
        tasks.loop:run()
        assert.same({ "cancelled", "ended", "failed" }, log)
      end)
    end)

    it("share a step's time: one that goes on and on yields when it is used up", function()
      local task = tasks:spawn(function()
        for i = 1, 4 do
          tasks:breathe()
          note(i)
          world.now = world.now + 0.002
        end
      end)
      tasks.loop:step(0.003)
      assert.same({ 1, 2 }, log)
      tasks.loop:step(0.001)
      assert.same({ 1, 2, 3 }, log)
      tasks.loop:run() -- which has all the time there is
      assert.same({ 1, 2, 3, 4 }, log)
      assert.is_true(task.done)
    end)

    it("have their turn in a later step when the time of one is used up", function()
      for i = 1, 3 do
        tasks:spawn(function()
          note(i)
          world.now = world.now + 1
        end)
      end
      tasks.loop:step(0.001)
      assert.same({ 1 }, log)
      tasks.loop:step(0.001)
      assert.same({ 1, 2 }, log)
      tasks.loop:step()
      assert.same({ 1, 2, 3 }, log)
    end)
  end)
end)
