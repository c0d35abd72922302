-- What a task's `<close>` variables see, which only Lua 5.4 has.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"

describe("a task's <close> variable", function()
  local em, client, log

  setup(function() em = emulator.start {} end)
  teardown(function() em:stop() end)
  before_each(function()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    log = {}
  end)
  after_each(function()
    em:clear()
    client:close()
    client = nil
  end)

  local function noting(name, also)
    return setmetatable({}, { __close = function(_, err)
      log[#log + 1] = name .. (err and ": " .. tostring(err) or "")
      if also then also() end
    end })
  end

  it("is closed when the task is cancelled in a call, on its way out", function()
    em:gate { hold = true }
    local task = client:spawn(function()
      local variable <close> = noting "closed" -- luacheck: ignore 211
      local stream = client.models:generate_content_stream { model = "gemini-3.5-flash", contents = "[long]" }
      return stream:next()
    end)
    client:step()
    client:step()
    task:cancel()
    assert.same({}, log)
    client:run()
    assert.same({ "closed" }, log)
    assert.equal("cancelled", select(2, task:result()).kind)
  end)

  it("is closed at once where the task only waits for its next turn", function()
    local task = client:spawn(function()
      local variable <close> = noting "closed" -- luacheck: ignore 211
      while true do coroutine.yield() end
    end)
    client:step()
    task:cancel()
    assert.same({ "closed" }, log)
  end)

  it("is closed when the task fails; what it raises itself counts", function()
    local task = client:spawn(function()
      local variable <close> = noting("closed", function() error("and then", 0) end) -- luacheck: ignore 211
      error("first", 0)
    end)
    assert.same({ nil, "and then" }, { task:wait() })
    assert.same({ "closed: first" }, log)
  end)

  it("cannot wait where the task is ended by force", function()
    local task = client:spawn(function()
      local variable <close> = noting("closed", function() client:sleep(5) end) -- luacheck: ignore 211
      while true do coroutine.yield() end
    end)
    client:step()
    task:cancel()
    assert.is_true(task.done)
    client:run()
    local other = client:spawn(function()
      local variable <close> = noting("closed", function() client:sleep(5) end) -- luacheck: ignore 211
      error("failed", 0)
    end)
    assert.matches("cannot wait here: .*<close> of a task that has ended", select(2, other:wait()))
  end)

  it("may be a stream or a client", function()
    local task = client:spawn(function()
      local mine <close> = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
      local stream <close> = mine.models:generate_content_stream { model = "gemini-3.5-flash", contents = "[long]" }
      assert(stream:next())
      return "done"
    end)
    assert.equal("done", task:wait())
    assert.equal(0, client.core.alive().exchange)
  end)
end)
