-- A short run of `make chaos` with fixed seeds, and what its judge must see. (spec/chaos/README.md)
local judge = require "spec.chaos.judge"
local plan = require "spec.chaos.plan"
local process = require "spec.support.process"

local LIMIT = 120 -- seconds after which a driver that hangs is ended

local function run(seed, runs)
  local environment = ("LUA_PATH=%s LUA_CPATH=%s"):format(
    process.quote("./lua/?.lua;./lua/?/init.lua;./?.lua;" .. (os.getenv "LUA_PATH" or ";")),
    process.quote("./" .. process.build() .. "/?.so;" .. (os.getenv "LUA_CPATH" or ";")))
  local pipe = assert(io.popen(("limit=; command -v timeout >/dev/null && limit='timeout %d'; exec env %s $limit %s "
    .. "spec/chaos/driver.lua --seed %d --runs %d --lua %s 2>&1"):format(LIMIT, environment,
    os.getenv "SCRIPTED_LUA" or "lua5.4", seed, runs, process.quote(process.interpreter()))))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function assert_well(seed, runs)
  local text = run(seed, runs)
  for _, class in ipairs(judge.CLASSES) do
    assert.matches("\n" .. class .. " +0\n", text, nil, nil, text)
  end
  assert.truthy(text:find(("\n%d passed, 0 failed\n$"):format(runs)), text)
end

describe("chaos", function()
  if not io.open "/proc/self/stat" then
    pending "needs /proc, and a look at its peers that only Linux has"
    return
  end
  if process.build() ~= "build/lua5.4" then
    pending "needs a module that is built for Lua 5.4 alone"
    return
  end

  it("loses, spoils and leaves nothing", function() assert_well(1, 25) end)

  it("loses, spoils and leaves nothing in more of them #plain", function() assert_well(2, 60) end)
end)

describe("a plan", function()
  -- The same whatever ran before it, or its number would be of no use.
  it("is its seed's and its number's", function()
    local function text_of(value)
      if type(value) ~= "table" then return tostring(value) end
      local names, parts = {}, {}
      for name in pairs(value) do names[#names + 1] = tostring(name) end
      table.sort(names)
      for i, name in ipairs(names) do
        local item = value[name]
        if item == nil then item = value[tonumber(name)] end
        parts[i] = name .. "=" .. text_of(item)
      end
      return "{" .. table.concat(parts, ",") .. "}"
    end
    local seen = {}
    for n = 1, 200 do
      local text = text_of(plan.operation(3, n))
      assert.is_nil(seen[text])
      seen[text] = true
    end
    for n = 200, 1, -1 do assert.is_true(seen[text_of(plan.operation(3, n))]) end
  end)

  it("has every kind of operation and of fault in a thousand", function()
    local kinds, faults = {}, {}
    for n = 1, 1000 do
      local op = plan.operation(1, n)
      kinds[op.kind] = true
      for _, strike in ipairs(op.strikes) do faults[strike.what] = true end
    end
    for name in ([[generate stream upload replace kill again download get list delete leave abandon interrupt braid
      raw]]):gmatch "%l+" do
      assert.is_true(kinds[name], name)
    end
    for name in ([[reset close half_close half_close_server stall drip status restart outage interim not_http early
      garbage length_more length_less duplicate missing no_last_chunk early_end chunk_size flip replace kill
      interrupt]]):gmatch "%S+" do
      assert.is_true(faults[name], name)
    end
  end)
end)

describe("the judge", function()
  local KEY = "the-key-of-this-spec"
  local facts

  before_each(function()
    facts = {
      key = KEY, made = {}, own = { abc = true }, server = { { name = "files/a", size = 3, sha256 = "abc" } },
      op = { kind = "upload", strikes = {}, attempts = 4, verify = true, size = 3 },
      report = { exchanges = {}, struck = {} },
      outcome = { ok = true, file = { name = "files/a", size = 3, state = "ACTIVE", verified = true }, problems = {} },
      alive = { loop = 1 },
    }
  end)

  local function assert_found(class, words)
    local findings = judge.judge(facts)
    assert.equal(class, findings[1] and findings[1].class)
    if words then assert.matches(words, findings[1].text, 1, true) end
    assert.is_nil(findings[2])
  end

  local function fail(kind, struck, text)
    facts.outcome = { err = { kind = kind, text = text or kind, dump = text or kind, attempts = 4 }, problems = {} }
    facts.report.struck = struck
  end

  local function streamed(whole, text, ok)
    local event = 'data: {"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}\r\n\r\n'
    facts.op = { kind = "stream", prompt = "Hi", strikes = {}, attempts = 4 }
    facts.report = { struck = { { what = "close", side = "answer", part = "body", passing = true } }, exchanges = { {
      n = 1, target = "/m:streamGenerateContent", asked = "Hi", status = 200, state = "done", whole = whole,
      truth = event:format "Once " .. event:format "upon",
    } } }
    facts.outcome = { ok = ok, text = text, chunks = 2, problems = {},
      err = not ok and { kind = "incomplete", text = "", dump = "" } or nil }
  end

  it("finds nothing where nothing is wrong", function()
    assert_found(nil)
    fail("network", { { what = "reset" }, { what = "reset" }, { what = "reset" }, { what = "reset" } })
    assert_found(nil)
    streamed(true, "Once upon", true)
    assert_found(nil)
    streamed(true, "Once ", false)
    assert_found(nil)
  end)

  it("finds an upload that is not there", function()
    facts.server = {}
    assert_found("lost")
  end)

  it("finds one that is there twice", function()
    facts.server[2] = { name = "files/b", size = 3, sha256 = "abc" }
    assert_found("twice")
  end)

  it("finds one of other bytes", function()
    facts.server[2] = { name = "files/b", size = 3, sha256 = "def" }
    assert_found("corrupted")
  end)

  it("finds a cut stream that looks like a finished one", function()
    streamed(false, "Once ", true)
    assert_found("lost")
  end)

  it("finds a stream of other words, finished or not", function()
    streamed(true, "Once apon", true)
    assert_found("corrupted")
    streamed(true, "Twice ", false)
    assert_found("corrupted")
  end)

  it("finds a failure that nothing explains", function()
    fail("network", {})
    assert_found("unexplained", "no fault that struck")
    fail("io", { { what = "reset" } })
    assert_found("unexplained", "no fault that struck")
    fail("strange", { { what = "reset" } })
    assert.equal("unexplained", judge.judge(facts)[1].class)
  end)

  it("finds one that gave up too early", function()
    fail("network", { { what = "reset", passing = true } })
    assert_found("unexplained", "gave up")
  end)

  it("finds a key in an error", function()
    fail("network", { { what = "reset" } }, "no answer to " .. KEY)
    assert_found("unexplained", "the key")
  end)

  it("finds one that did not wait as it was told", function()
    facts.report.struck = { { what = "status", code = 503, nth = 1, advice = 1, time = 10, passing = true } }
    facts.report.exchanges = { { n = 1, state = "done" }, { n = 2, state = "done", began = 10.5 } }
    assert_found("unexplained", "asked again after")
    facts.report.struck[1].advice = 300
    assert_found("unexplained", "asked again although")
    facts.report.struck[1].unheard = true -- its clock had struck before
    assert_found(nil)
  end)

  it("finds bytes that were sent again though the server had them", function()
    facts.report.exchanges = {
      { n = 1, state = "done", command = "start", status = 200 },
      { n = 2, state = "closing", command = "upload, finalize", offset = 0 },
      { n = 3, state = "done", command = "query", status = 200, received = 2 },
      { n = 4, state = "done", command = "upload, finalize", offset = 2, status = 200, received = 3 },
    }
    assert_found(nil)
    facts.report.exchanges[4].offset = 0
    assert_found("unexplained", "begins at byte 0, and the server had 2")
    facts.report.struck = { { what = "missing", nth = 3 } } -- who has not heard it cannot know
    assert_found(nil)
  end)

  it("finds what is left over: objects, and a connection that is held", function()
    facts.alive.exchange = 1
    assert_found("left over", "1 exchange")
    facts.alive.exchange = nil
    facts.report.exchanges = { { n = 1, method = "GET", target = "/x", state = "kept" } }
    assert_found("left over", "holds request 1")
  end)

  it("finds a call that hangs, a process that died, and an error that was raised", function()
    facts.report.hung = true
    assert_found("hung")
    facts.report.hung, facts.death = nil, "exit status 139"
    assert_found("unexplained", "died after the call: exit status 139")
    facts.outcome = nil
    assert_found("unexplained", "died: exit status 139")
    facts.death = nil
    facts.outcome = { raised = "attempt to index a nil value", problems = {} }
    assert_found("unexplained", "attempt to index")
  end)
end)
