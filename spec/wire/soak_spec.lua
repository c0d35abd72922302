-- Ten thousand requests and a thousand streams that are left in the middle, in one process: what it holds at the end is
-- what it held after the first part. A property of counts, not of time. The sanitizers keep freed memory. #plain
local process = require "spec.support.process"

local INTERPRETER = process.quote(process.interpreter())

-- Does what it is told, so many times, and tells the memory it has then. It waits while its descriptors are counted.
local PROGRAM = [[
local json = require "dkjson"
local gemini = require "lgemini"
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local jit = rawget(_G, "jit")
if jit then jit.off() end -- it keeps books on what it compiles, more and more of them
local client = gemini.Client { api_key = "k", http_options = { base_url = arg[1], retry_options = false } }
local question = { model = "gemini-3.5-flash", contents = "Hi" }
local work = {}

function work.requests() assert(assert(client.models:generate_content(question)).text == "Once upon a time.") end

local leave = {
  function(stream) stream:close() end,
  function() end, -- garbage
  function(stream) pcall(function() for _, same in stream do same:close() error "enough" end end) end,
  function(stream) for _, same in stream do same:close() break end end,
}
local turn = 0

function work.streams()
  turn = turn % #leave + 1
  local stream = client.models:generate_content_stream(question)
  if turn < 3 then assert(assert(stream:next()).text == "Once upon a time.") end
  leave[turn](stream)
  stream = nil
  if turn == 2 then collectgarbage() end
end

function work.failures()
  local response, err = client.models:generate_content { model = "gemini-3.5-flash", contents = "Hi",
    config = { http_options = { base_url = "http://127.0.0.1:1" } } }
  assert(not response and err.kind == "network", tostring(err))
end

local function read_all(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function resident()
  return tonumber(read_all("/proc/self/status"):match "\nVmRSS:%s*(%d+) kB")
end

for line in io.lines() do
  local call = json.decode(line)
  for i = 1, call.times do
    work[call.op]()
    if i % 50 == 0 then collectgarbage() end -- how much garbage may lie about is the collector's affair
  end
  collectgarbage()
  collectgarbage()
  local pid = tonumber(read_all("/proc/self/stat"):match "%d+")
  local answer = { pid = pid, resident = resident(), lua = collectgarbage "count", alive = core.alive() }
  io.stdout:write(json.encode(answer), "\n")
  io.stdout:flush()
end
]]

describe("one process #plain", function()
  local server, program, directory

  if not io.open "/proc/self/status" then
    pending "is not looked into on this system"
    return
  end

  setup(function()
    directory = process.temporary_directory()
    local path = directory .. "/program.lua"
    local file = assert(io.open(path, "wb"))
    assert(file:write(PROGRAM))
    assert(file:close())
    server = process.start((os.getenv "SCRIPTED_LUA" or "lua5.4") .. " spec/chaos/quick_server.lua")
    local url = "http://127.0.0.1:" .. server:call { op = "hello" }.port
    program = process.start(("%s %s %s"):format(INTERPRETER, process.quote(path), url))
  end)

  teardown(function()
    program:stop()
    server:stop()
    process.remove_directory(directory)
  end)

  local function descriptors(pid)
    local pipe = assert(io.popen(("ls /proc/%d/fd | wc -l"):format(pid)))
    local count = pipe:read "*n"
    pipe:close()
    return count
  end

  -- Does some, then the rest in parts, and compares after each.
  local function assert_flat(op, some, parts, times)
    local before = program:call { op = op, times = some }
    local open = descriptors(before.pid)
    for part = 1, parts do
      local after = program:call { op = op, times = times }
      local words = ("%s, part %d: "):format(op, part)
      assert.same(before.alive, after.alive, words .. "objects")
      assert.is_true(descriptors(after.pid) <= open, words .. "descriptors")
      assert.is_true(after.lua - before.lua < 8, ("%s%g KiB of Lua's, %g before"):format(words, after.lua, before.lua))
      assert.is_true(after.resident - before.resident < 256,
        ("%s%d KiB resident, %d before"):format(words, after.resident, before.resident))
    end
  end

  it("makes 10,000 requests, and holds as much after the last as after 2,000", function()
    assert_flat("requests", 2000, 4, 2000)
    assert.equal(10000, server:call { op = "state" }.requests)
  end)

  it("leaves 1,000 streams in every way, and holds as much after the last as after 200", function()
    assert_flat("streams", 200, 4, 200)
    assert.is_true(server:call { op = "state" }.connections <= 2)
  end)

  it("is refused 1,000 times, and holds as much after the last as after 200", function()
    assert_flat("failures", 200, 4, 200)
  end)
end)
