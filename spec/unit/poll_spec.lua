local errors = require "lgemini.errors"
local poll = require "lgemini.poll"

describe("poll.wait", function()
  local call, now, sleeps, looks, watch

  before_each(function()
    now, sleeps, looks = 100, {}, {}
    local tasks = {}
    function tasks.now() return now end
    function tasks.pause(_, seconds)
      sleeps[#sleeps + 1] = seconds
      now = now + seconds
    end
    call = { client = { tasks = tasks } }
    watch = { pause = 4, goal = "done", hint = "wait again", field = "operation",
      pending = function(seen) return not seen.done end,
      look = function(seen, within)
        looks[#looks + 1] = { at = now, deadline = within.deadline, client = within.client }
        return seen
      end }
  end)

  local PENDING = { name = "operations/x" }

  local function timed_out(clock, object, err)
    assert.is_nil(object)
    assert.is_true(errors.is(err))
    assert.equal("timeout", err.kind)
    assert.equal(clock, err.clock)
    assert.equal(PENDING, err.operation)
    assert.is_truthy(err.message:find("operations/x", 1, true))
    return err
  end

  it("does nothing for what is done", function()
    local object = { done = true }
    assert.equal(object, poll.wait(call, object, 10, watch))
    assert.same({}, sleeps)
  end)

  it("looks after pauses that double, up to the longest", function()
    local left = 6
    watch.look = function(seen)
      left = left - 1
      return left == 0 and { done = true } or seen
    end
    assert.is_true(poll.wait(call, PENDING, 900, watch).done)
    assert.same({ 0.5, 1, 2, 4, 4, 4 }, sleeps)
  end)

  it("hands each look what the last one saw", function()
    local seen = {}
    watch.look = function(object)
      seen[#seen + 1] = object.n or 0
      return { n = #seen, done = #seen == 3 }
    end
    poll.wait(call, PENDING, 900, watch)
    assert.same({ 0, 1, 2 }, seen)
  end)

  it("looks the last time when the time is up, and says which time that was", function()
    local err = timed_out("processing", poll.wait(call, PENDING, 2, watch))
    assert.same({ 0.5, 1, 0.5 }, sleeps)
    assert.equal(102, looks[#looks].at)
    assert.is_truthy(err.message:find("was not done after 2 s", 1, true))
    assert.is_truthy(err.hint:find("wait again", 1, true))
    assert.is_truthy(err.hint:find("processing", 1, true))
  end)

  it("gives a look little more time than is left", function()
    poll.wait(call, PENDING, 2, watch)
    assert.equal(107, looks[1].deadline)
    assert.equal(call.client, looks[1].client)
    assert.is_nil(call.deadline)
  end)

  it("ends with the whole call, and no later", function()
    call.deadline = 101
    local err = timed_out("total", poll.wait(call, PENDING, 900, watch))
    assert.same({ 0.5, 0.5 }, sleeps)
    assert.equal(101, looks[1].deadline)
    assert.is_truthy(err.hint:find("total", 1, true))
  end)

  it("takes a look that did not end in time for the end of its own time", function()
    local late = errors.new { kind = "timeout", clock = "total", message = "late" }
    watch.look = function() return nil, late end
    timed_out("processing", poll.wait(call, PENDING, 2, watch))
  end)

  it("hands on any other error of a look", function()
    local gone = errors.new { kind = "timeout", clock = "idle", message = "gone" }
    watch.look = function() return nil, gone end
    local object, err = poll.wait(call, PENDING, 2, watch)
    assert.is_nil(object)
    assert.equal(gone, err)
  end)

  it("can name what has no name", function()
    local _, err = poll.wait(call, {}, 2, watch)
    assert.equal("timeout", err.kind)
  end)
end)
