-- Large strings where time is short: each is made by a call of its own, and the collector hears of it piece by piece.
local answer = require "lgemini.answer"
local core = require "lgemini.core"
local drive = require "spec.core.drive"
local loops = require "lgemini.loop"
local scripted = require "spec.support.scripted"

local TYPE = "GenerateContentResponse"
local LARGE = 262144
local MOST = 10000000 -- bytes of a body taken at once; large strings are put off

local function encode(bytes)
  local encoder = core.base64.encoder()
  return encoder:feed(bytes) .. encoder:finish()
end

local function part(name, value)
  return name == "text" and ('{"text":"%s"}'):format(value)
    or ('{"inlineData":{"mimeType":"image/png","data":"%s"}}'):format(encode(value))
end

local function json(...)
  return ('{"candidates":[{"content":{"parts":[%s],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{}}')
    :format(table.concat({ ... }, ","))
end

local function event(...)
  return "data: " .. json(...) .. "\r\n\r\n"
end

-- What comes of it in pieces of that size: values, and how many times a string was put off.
local function read(text, size, apart, events)
  local decoder, values, times = answer.decoder(TYPE, 10000000, 100, events, nil), {}, 0
  for at = 1, #text, size do
    decoder:feed(text:sub(at, at + size - 1))
    local value, more
    repeat
      value, more = decoder:next(false, apart and MOST or nil)
      if value ~= nil then
        values[#values + 1] = value
      elseif more == true then
        times = times + 1
      end
    until value == nil and more == false
  end
  values[#values + 1] = decoder:finish()
  decoder:close()
  return values, times
end

describe("a large string", function()
  local small, large, bytes = "short", ("text"):rep(70000), drive.bytes(300000)

  it("is put off once, and then made as ever, however the stream is cut", function()
    local stream = event(part("text", small)) .. event(part("text", large)) .. event(part("data", bytes))
      .. event(part("text", large), part("data", bytes), part("text", small)) .. event(part("text", small))
    local wanted = read(stream, #stream, false, true)
    assert.equal(5, #wanted)
    assert.equal(bytes, wanted[3].media[1].inline_data.data)
    for _, size in ipairs { #stream, 300000, 65536, 9999, 1000 } do
      local values, times = read(stream, size, true, true)
      assert.equal(4, times)
      assert.same(wanted, values)
      assert.equal(0, select(2, read(stream, size, false, true)))
    end
  end)

  it("is put off in an answer that is no stream, too", function()
    local body = json(part("data", bytes), part("text", large))
    local wanted = read(body, #body, false, false)
    assert.equal(bytes, wanted[1].media[1].inline_data.data)
    for _, size in ipairs { #body, 65536, 1000 } do
      local values, times = read(body, size, true, false)
      assert.equal(2, times)
      assert.same(wanted, values)
    end
  end)

  it("has 256 KiB, and goes to nobody else", function()
    for _, case in ipairs { { LARGE - 1, 0 }, { LARGE, 1 } } do
      assert.equal(case[2], select(2, read(event(part("text", ("x"):rep(case[1]))), 65536, true, true)))
    end
    local text = event(part("data", bytes))
    for _, size in ipairs { #text, 65536 } do
      local written = 0
      local decoder = answer.decoder(TYPE, 10000000, 100, true, { abandon = function() end,
        write = function(_, _, piece, last)
          written = written + #piece
          return last and "path" or true, "a.png"
        end })
      for at = 1, #text, size do
        decoder:feed(text:sub(at, at + size - 1))
        assert.not_equal(true, (select(2, decoder:next(false, MOST))))
      end
      assert.equal(#bytes, written)
      decoder:close()
    end
  end)

  it("counts once", function()
    local body = json(part("text", large))
    local decoder = answer.decoder(TYPE, #body, 100, false)
    decoder:feed(body)
    assert.same({ nil, true, true }, { decoder:next(false, MOST) })
    assert.same({ nil, false }, { decoder:next(false, MOST) })
    assert.equal(large, decoder:finish().text)
    decoder:close()
  end)

  it("is made at once where there is time again", function()
    local decoder = answer.decoder(TYPE, 10000000, 100, true)
    decoder:feed(event(part("text", large)))
    assert.same({ nil, true, true }, { decoder:next(false, MOST) })
    assert.equal(large, decoder:next().text)
    decoder:close()
  end)

  it("does not come of an exchange that was closed meanwhile", function()
    local server, loop = scripted.start(), assert(core.loop.new())
    server:script { { status = 200, body = { bytes = event(part("text", large)) } } }
    local x = drive.start(loop, "GET", server.url .. "/", { tell_data = true })
    local decoder = answer.decoder(TYPE, 10000000, 100, true)
    decoder:attach(x)
    drive.wait(loop, function() return select(2, decoder:next(false, MOST)) end, "a large string")
    x:close()
    assert.same({ nil, false }, { decoder:next(false, MOST) })
    decoder:close()
    loop:close()
    server:stop()
  end)
end)

-- 5.1 and LuaJIT never collect more than a little at a time, whatever was allocated.
local step_wise = _VERSION ~= "Lua 5.1"

describe("the collector #plain", function()
  local SIZE = 48000000 -- much more than all else that is there
  local piece = encode(("x"):rep(SIZE / 20))
  local whole = event(part("data", ""))
  local start, ending = whole:match "^(.*\"data\":\")(.*)$"
  local loop, decoder, collected, mode

  before_each(function()
    loop = assert(core.loop.new())
    collected = false
    mode = _VERSION == "Lua 5.4" and collectgarbage "incremental"
  end)
  after_each(function()
    decoder:close()
    loop:close()
    if mode then collectgarbage(mode) end
  end)

  -- All of the large string but its making.
  local function prepare()
    decoder = answer.decoder(TYPE, 2 * SIZE, 100, true)
    decoder:feed(start)
    decoder:next(false, MOST)
    for _ = 1, 20 do
      decoder:feed(piece)
      decoder:next(false, MOST)
    end
    decoder:feed(ending)
    assert.is_true(select(2, decoder:next(false, MOST)))
  end

  -- And garbage that shows when the collector has gone round.
  local function begin()
    prepare()
    collectgarbage()
    collectgarbage() -- what an earlier one left is gone, and has said so
    collected = false
    setmetatable({}, { __gc = function() collected = true end })
  end

  if not step_wise then return end

  it("goes round at once for a large string where there is time", function()
    begin()
    assert(decoder:next())
    assert.is_true(collected or not mode) -- before 5.4 the string itself counts for most of the round
  end)

  it("does not where there is none, but in the steps that follow, as far as each has time", function()
    begin()
    local value = assert(decoder:next(false, MOST))
    assert.is_false(collected)
    local steps, more = 0
    repeat
      more = loop:collect(1e-7)
      steps = steps + 1
    until collected or not more
    assert.is_true(collected or not mode)
    assert.is_true(steps > 3)
    assert.equal(SIZE, #value.media[1].inline_data.data)
  end)

  it("has all that it is owed where there is no end to the time", function()
    begin()
    assert(decoder:next(false, MOST))
    assert.is_false(loop:collect())
    assert.is_true(collected or not mode)
  end)

  it("keeps up with large strings that come and go", function()
    local most = 0
    if mode then collectgarbage(mode) end -- as Lua's own interpreter has it
    for _ = 1, 40 do
      prepare()
      assert(decoder:next(false, MOST))
      decoder:close()
      for _ = 1, 30 do loop:collect(0.00025) end
      most = math.max(most, collectgarbage "count")
    end
    assert.is_true(most < 5 * SIZE / 1024, most .. " KiB")
  end)

  it("stays stopped where the program has stopped it", function()
    begin()
    collectgarbage "stop"
    local kib = collectgarbage "count"
    local value = decoder:next(false, MOST)
    loop:collect()
    local stays = not collected and collectgarbage "count" > kib + SIZE / 1100
    collectgarbage "restart"
    assert(value)
    assert.is_true(stays)
  end)
end)

describe("a step in which a task has a large string to make", function()
  -- What is done in four steps, in each of which a task is put off again: a list for each.
  local function play()
    local loop, user, steps = loops.new(core), {}, {}
    assert(loop:attach(user))
    local driver, proxy = loop.driver, {}
    for _, name in ipairs { "next", "timeout", "fd", "alarm", "is_ours" } do
      proxy[name] = function(_, ...) return driver[name](driver, ...) end
    end
    local function note(what) table.insert(steps[#steps], what) end
    function proxy.step(_, ...)
      note "moves"
      return driver:step(...)
    end
    function proxy.collect()
      note "collects"
      return false
    end
    loop.driver = proxy
    local task = loop:spawn(function()
      for _ = 1, 4 do
        loop:breathe "eager"
        note "makes"
      end
    end)
    repeat
      steps[#steps + 1] = {}
      loop:step(0.001)
    until task.done
    steps[#steps + 1] = {}
    loop:step(0.001)
    loop.driver = driver
    loop:detach(user)
    return steps
  end

  it("begins with that, and lets the collector hear of it in the next", function()
    local steps = play()
    assert.equal(6, #steps)
    for i = 2, 5 do
      assert.equal("makes", steps[i][1])
      assert.equal("moves", steps[i][2])
    end
    assert.equal("collects", steps[6][1])
  end)
end)
