-- The event-stream parser as Lua sees it. The C tests look at every split; here: the object, its calls, its end.
local collect = require "spec.support.collect"
local core = require "lgemini.core"

-- All events of a stream that is fed in pieces of that size; and what finish() gives.
local function parse(text, size)
  local parser, events = core.sse.new(1000), {}
  for at = 1, #text, size do
    assert.is_true(parser:feed(text:sub(at, at + size - 1)))
    local data, err = parser:next()
    while data do
      events[#events + 1] = data
      data, err = parser:next()
    end
    assert.is_nil(err)
  end
  local rest, what = parser:finish()
  assert.is_nil(parser:finish())
  return events, rest, what
end

describe("an event parser", function()
  it("finds the same events however the stream is cut", function()
    local text = "\239\187\191data: one\r\n\r\n: no\r\ndata:two\ndata: lines\n\nevent: x\rdata\r\rid: 7\n\n"
      .. "data: f\195\188nf\r\n\r\ndata: la"
    for size = 1, #text do
      local events, rest, what = parse(text, size)
      assert.same({ "one", "two\nlines", "", "f\195\188nf" }, events)
      assert.equal("la", rest)
      assert.equal("event", what)
    end
  end)

  it("hands out bare text at the end as such", function()
    for size = 1, 40 do
      local events, rest, what = parse('data: 1\n\n{"error": {\n"code": 500}}', size)
      assert.same({ "1" }, events)
      assert.equal('{"error": {\n"code": 500}}', rest)
      assert.equal("tail", what)
    end
  end)

  it("gives nothing where there is nothing", function()
    local parser = core.sse.new(10)
    assert.is_nil(parser:next())
    assert.is_true(parser:feed "")
    assert.is_nil(parser:next())
    assert.is_nil(parser:finish())
  end)

  it("is broken for good by an event over its ceiling", function()
    local parser = core.sse.new(10)
    assert(parser:feed "data: 0123456789\n\n")
    assert.equal("0123456789", parser:next())
    assert.is_nil(parser:next())
    assert(parser:feed "data: 0123456789a")
    for _ = 1, 2 do
      local data, err = parser:next()
      assert.is_nil(data)
      assert.equal("limit", err.kind)
    end
    local data, err = parser:finish()
    assert.is_nil(data)
    assert.equal("limit", err.kind)
  end)

  it("wants its events taken before it is fed or finished", function()
    local parser = core.sse.new(1000)
    assert(parser:feed "data: a\n\ndata: b\n\n")
    assert.equal("a", parser:next())
    assert.has_error(function() parser:feed "data: c\n\n" end,
      "bad argument #1 to 'feed' (take the events of the bytes fed before)")
    assert.error_matches(function() parser:finish() end, "take the events of the bytes fed before")
    assert.equal("b", parser:next())
    assert.is_nil(parser:next())
    assert.is_true(parser:feed "data: c\n\n")
    assert.equal("c", parser:next())
  end)

  it("holds what it was fed", function()
    local parser = core.sse.new(100000)
    assert(parser:feed("data: " .. ("x"):rep(50000) .. "\n\ndata: " .. ("y"):rep(50000) .. "\n\n"))
    collect()
    assert.equal(("x"):rep(50000), parser:next())
    collect()
    assert.equal(("y"):rep(50000), parser:next())
  end)

  it("names the argument that is wrong", function()
    for _, bad in ipairs { -1, 1.5, 0 / 0, 2 ^ 60, math.huge, {}, "many" } do
      assert.error_matches(function() core.sse.new(bad) end, "bad argument #1 to 'new'")
    end
    assert.error_matches(function() core.sse.new() end, "bad argument #1 to 'new'")
    local parser = core.sse.new(0)
    for _, bad in ipairs { 5, {}, true } do
      assert.error_matches(function() parser:feed(bad) end, "bad argument #1 to 'feed'")
    end
    assert.error_matches(function() parser.feed({}, "") end, "lgemini.sse expected")
  end)

  it("is closed once and for all", function()
    local parser = core.sse.new(10)
    assert(parser:feed "data: a\n\n")
    assert.equal(1, core.alive().sse)
    parser:close()
    parser:close()
    assert.equal(0, core.alive().sse)
    for _, name in ipairs { "feed", "next", "finish" } do
      assert.has_error(function() parser[name](parser, "") end, "attempt to use a closed sse")
    end
    assert.error_matches(function() parser.close {} end, "lgemini.sse expected")
    assert.error_matches(function() parser.close() end, "lgemini.sse expected")
  end)
end)
