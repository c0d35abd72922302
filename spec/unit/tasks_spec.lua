-- Tasks over a loop that only pretends: its clock moves when it is waited for, and waiting for what never comes is an
-- error at once.
local errors = require "lgemini.errors"
local tasks_module = require "lgemini.tasks"

-- A world with a core: instants at which exchanges become ready are set by `at`; `now` is its clock.
local function new_world()
  local world = { now = 100, due = {}, waits = {}, steps = 0 }

  local Exchange = {}
  Exchange.__index = Exchange
  function Exchange:phase() return self.closed and "closed" or "sending" end
  function Exchange:close()
    self.closed = true
    world.closed = (world.closed or 0) + 1
  end

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
    return true
  end
  function loop.next()
    local first = take()
    if first and world.due[first].instant <= world.now then
      return table.remove(world.due, first).exchange
    end
  end
  function loop:close() self.closed = true end
  function loop.add() end

  world.core = { now = function() return world.now end, loop = { new = function() return loop end } }
  return world
end

describe("tasks", function()
  local world, tasks, log

  before_each(function()
    world = new_world()
    tasks = assert(tasks_module.new(world.core))
    log = {}
  end)

  local function note(text) log[#log + 1] = text end

  -- Steps until the task has ended.
  local function finish(...)
    for _, task in ipairs { ... } do
      for _ = 1, 100 do
        if task.done then break end
        tasks:step(nil, math.huge)
      end
      assert.is_true(task.done)
    end
  end

  it("say why there is no loop", function()
    local core = { loop = { new = function() return nil, { kind = "limit", message = "no descriptor" } end } }
    local none, err = tasks_module.new(core)
    assert.is_nil(none)
    assert.is_true(errors.is(err))
    assert.equal("limit", err.kind)
  end)

  describe("outside of a task", function()
    it("wait for an exchange, stepping the loop", function()
      tasks:wait(world.ready_in(3))
      assert.equal(103, world.now)
      assert.same({ math.huge }, world.waits)
    end)

    it("wait for an instant", function()
      tasks:wait(nil, 107)
      assert.equal(107, world.now)
      tasks:sleep(2.5)
      assert.equal(109.5, world.now)
    end)

    it("wait for whichever comes first, and forget the other", function()
      assert.is_true(tasks:wait(world.ready_in(3), 150))
      assert.equal(103, world.now)
      assert.same({}, tasks.timers)
      assert.is_true(tasks:wait(world.ready_in(50), 110))
      assert.equal(110, world.now)
      assert.same({}, tasks.waiters)
    end)

    it("wait no longer than for an instant that has passed", function()
      tasks:wait(nil, 1)
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
      tasks:step(nil, 0)
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
          tasks:wait(nil, i == 2 and 104 or 105)
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
      repeat tasks:step(nil, math.huge) until log[1]
      assert.same({ 1 }, log)
      tasks:step(nil, math.huge)
      assert.same({ 1, 2 }, log)
      tasks:step(nil, math.huge)
      assert.same({ 1, 2, 3 }, log)
      finish(task)
    end)

    it("do not let the loop wait while one of them may go on", function()
      tasks:spawn(function() coroutine.yield() end)
      tasks:step(nil, 5)
      tasks:step(nil, 5)
      tasks:step(nil, 5)
      assert.same({ 0, 0, 5 }, world.waits)
    end)

    it("do not let the loop wait when one has just run: it may be what somebody outside waits for", function()
      local task = tasks:spawn(function() note "ran" end)
      tasks:join(task)
      assert.same({ "ran" }, log)
      assert.same({ 0 }, world.waits)
    end)

    it("let the loop wait for the earliest instant only", function()
      tasks:spawn(function() tasks:sleep(7) end)
      tasks:step(nil, 0)
      tasks:step(nil, 100)
      assert.equal(107, world.now)
    end)
  end)

  describe("joined", function()
    it("give what their function returned, nils and all", function()
      local task = tasks:spawn(function(...)
        tasks:sleep(1)
        return nil, select("#", ...), nil
      end, nil, 2, nil)
      assert.equal(3, select("#", tasks:join(task)))
      assert.equal(3, select(2, tasks:join(task)))
    end)

    it("raise what their function raised, the same value", function()
      local problem = {}
      local task = tasks:spawn(function() error(problem) end)
      local ok, raised = pcall(tasks.join, tasks, task)
      assert.is_false(ok)
      assert.equal(problem, raised)
    end)

    it("are joined from a task, too", function()
      local first = tasks:spawn(function()
        tasks:sleep(2)
        return "value"
      end)
      local second = tasks:spawn(function() note(tasks:join(first)) end)
      finish(second)
      assert.same({ "value" }, log)
    end)

    it("may be joined by several", function()
      local first = tasks:spawn(function() tasks:sleep(2) end)
      local others = {}
      for i = 1, 2 do
        others[i] = tasks:spawn(function()
          tasks:join(first)
          note(i)
        end)
      end
      tasks:join(first)
      finish(others[1], others[2])
      assert.same({ 1, 2 }, log)
    end)

    it("are forgotten when they have ended", function()
      tasks:join(tasks:spawn(function() tasks:sleep(1) end))
      assert.is_nil(next(tasks.running))
      assert.is_nil(next(tasks.ready))
      assert.is_nil(next(tasks.waiters))
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
      assert.same({}, tasks.timers)
      assert.is_nil(next(tasks.waiters))
      assert.is_nil(next(tasks.running))
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
      assert.equal("broken", select(2, tasks:join(task)))
      assert.is_true(exchange.closed)
      tasks:sleep(10)
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
      assert.is_nil(next(tasks.running))
    end)
  end)

  describe("with a step inside a step", function()
    -- What a program's own coroutine does blocks, though it runs in a task.
    local function in_a_coroutine_of_its_own(fn)
      return coroutine.wrap(fn)()
    end

    it("go on with those whose turn had not come", function()
      local later
      local first = tasks:spawn(function()
        in_a_coroutine_of_its_own(function() tasks:join(later) end)
        note "first"
      end)
      later = tasks:spawn(function() note "later" end)
      finish(first)
      assert.same({ "later", "first" }, log)
    end)

    it("wake who waits further out", function()
      local exchange = world.ready_in(5)
      local task = tasks:spawn(function()
        in_a_coroutine_of_its_own(function() tasks:sleep(10) end)
        note "inner"
      end)
      tasks:wait(exchange)
      note "outer"
      finish(task)
      assert.same({ "inner", "outer" }, log)
      assert.equal(110, world.now)
    end)
  end)

  it("begin what was added, but do not step the loop from within a task", function()
    tasks:begin()
    assert.equal(1, world.steps)
    local task = tasks:spawn(function()
      local before = world.steps
      tasks:begin()
      assert.equal(before, world.steps)
    end)
    tasks:join(task)
  end)

  it("refuse two waits for one exchange: one of them would never end", function()
    local exchange = world.ready_in(5)
    local first = tasks:spawn(function()
      tasks:wait(exchange)
      note "first"
    end)
    local second = tasks:spawn(function() tasks:wait(exchange) end)
    local ok, problem = pcall(tasks.join, tasks, second)
    assert.is_false(ok)
    assert.matches("two tasks", problem)
    tasks:join(first)
    assert.same({ "first" }, log)
  end)

  describe("whose exchange is dropped", function()
    it("are told at once", function()
      local exchange = world.exchange()
      local task = tasks:spawn(function() return tasks:wait(exchange) end)
      tasks:step(nil, 0)
      tasks:drop(exchange)
      assert.is_false(tasks:join(task))
      assert.is_true(exchange.closed)
      assert.equal(100, world.now)
    end)

    it("are told even when they were woken just before", function()
      local exchange = world.ready_in(1)
      local task = tasks:spawn(function() return tasks:wait(exchange) end)
      tasks:step(nil, 0)
      tasks:step(nil, 1)
      tasks:drop(exchange)
      assert.is_false(tasks:join(task))
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
      assert.is_nil(next(tasks.waiters))
      assert.same({}, tasks.timers)
      tasks:sleep(1)
      assert.equal(101, world.now)
    end)

    it("end what was to be done all at once", function()
      local exchange = world.ready_in(5)
      interrupt()
      local ok = pcall(tasks.all, tasks, { function() tasks:wait(exchange) end, function() tasks:sleep(1) end }, 2)
      assert.is_false(ok)
      assert.is_true(exchange.closed)
      assert.same({}, tasks.timers)
      assert.is_nil(next(tasks.running))
    end)

    it("leave a task alone that was only joined", function()
      local task = tasks:spawn(function()
        tasks:sleep(5)
        return "value"
      end)
      interrupt()
      assert.is_false(pcall(tasks.join, tasks, task))
      assert.equal("value", tasks:join(task))
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
    it("wake all who wait", function()
      local exchange = world.exchange()
      local made = {
        tasks:spawn(function()
          tasks:wait(exchange)
          note "exchange"
        end),
        tasks:spawn(function()
          tasks:wait(nil, 500)
          note "instant"
        end),
      }
      tasks:step(nil, 0)
      tasks:close()
      tasks:close()
      finish(made[1], made[2])
      assert.same({ "exchange", "instant" }, log)
      assert.equal(100, world.now)
    end)

    it("by a task wake who waits outside", function()
      tasks:spawn(function() tasks:close() end)
      assert.is_true(tasks:wait(world.exchange()))
      assert.equal(100, world.now)
    end)

    it("wait for nothing any more", function()
      tasks:close()
      assert.is_true(tasks:wait(world.exchange()))
      tasks:sleep(1000)
      assert.is_nil(next(tasks.waiters))
      assert.same({}, tasks.timers)
      assert.equal(100, world.now)
    end)

    it("let those end that still run, and give them to who joined", function()
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

    it("cannot be stepped", function()
      tasks:close()
      local ok, err = pcall(tasks.step, tasks, nil, 0)
      assert.is_false(ok)
      assert.equal("closed", err.kind)
    end)
  end)
end)
