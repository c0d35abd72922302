-- examples/mpv in a real mpv that plays a video to nobody. The keys are pressed over its socket, where it also tells
-- what the script says.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local process = require "spec.support.process"
local program = require "spec.support.program"
local socket = require "cqueues.socket"

describe("mpv #plain", function()
  local em, directory, player, connection

  setup(function() em = emulator.start {} end)
  teardown(function() em:stop() end)

  local function command(...)
    assert(connection:write(cjson.encode { command = { ... } }, "\n"))
    assert(connection:flush())
  end

  -- The next thing that it tells and that `wanted` returns something for.
  local function await(wanted)
    while true do
      local line = assert(connection:read "*l", "the player has ended")
      local result = wanted(cjson.decode(line))
      if result then return result end
    end
  end

  -- What the script says next: level and text.
  local function said()
    return await(function(event)
      if event.event == "log-message" and event.prefix == "gemini" then
        return { event.level, (event.text:gsub("%s+$", "")) }
      end
    end)
  end

  -- The time of the next frame.
  local function frame()
    return await(function(event) return event.event == "property-change" and event.data end)
  end

  -- Until the script has its key; one that is pressed before does nothing.
  local function await_script()
    local found
    repeat
      command("get_property", "input-bindings")
      for _, binding in ipairs(await(function(event) return event.error == "success" and event.data end)) do
        found = found or binding.cmd:find("gemini/ask", 1, true)
      end
    until found
  end

  -- Plays until the answer's stream is open.
  local function await_stream()
    repeat frame() until em:gate().waiting == 1
  end

  before_each(function()
    em:clear()
    directory = process.temporary_directory()
    local path = directory .. "/socket"
    player = program.start("--script=examples/mpv/gemini.lua", {
      host = { "mpv", "--no-config", "--no-terminal", "--vo=null", "--ao=null", "--loop=inf",
        "--input-ipc-server=" .. path, "spec/fixtures/demo.mp4" },
      lua = "lua5.2",
      together = true,
      env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "k" },
    })
    os.execute(("for i in $(seq 500); do [ -S %s ] && break; sleep 0.02; done"):format(path))
    connection = assert(socket.connect { path = path })
    connection:onerror(function(_, _, code) return code end)
    connection:setmode("b", "bn")
    connection:settimeout(30)
    connection:setmaxline(1e6) -- all of the player's keys are in one
    command("request_log_messages", "info")
    command("observe_property", 1, "time-pos")
    repeat until frame() > 0
    await_script()
  end)
  after_each(function()
    pcall(command, "quit")
    connection:close()
    player:finish()
    process.remove_directory(directory)
  end)

  it("plays on while the answer about a frame comes", function()
    em:gate { hold = true }
    command("keypress", "g")
    await_stream()
    local before, moved = frame(), 0
    while moved < 3 do
      local now = frame()
      if now ~= before then before, moved = now, moved + 1 end
    end
    em:gate { open = true }
    local words = said()
    assert.equal("info", words[1])
    local request = em:requests(1)[1]
    assert.equal("What is to be seen here?", request.body.contents[1].parts[1].text)
    local part = request.parts[2]
    assert.same({ "image/jpeg", 320, 180 }, { part.detected, part.width, part.height })
    assert.matches("I received 2 parts: .*image/jpeg, 320x180.*" .. part.sha256, words[2])
  end)

  it("asks what a user has bound to a key", function()
    command("script-message", "ask-gemini", "Is it raining?")
    assert.equal("info", said()[1])
    assert.equal("Is it raining?", em:requests(1)[1].body.contents[1].parts[1].text)
  end)

  it("stops when the key is pressed again, and can be asked again", function()
    em:gate { hold = true }
    command("keypress", "g")
    await_stream()
    command("keypress", "g")
    assert.same({ "info", "stopped" }, said())
    assert.equal("client gone", em:requests(1)[1].outcome)
    em:gate { open = true }
    command("keypress", "g")
    assert.matches("I received 2 parts", said()[2])
  end)

  it("shows errors", function()
    em:fault { path = ":streamGenerateContent", status = 403, message = "not in this country" }
    command("keypress", "g")
    local words = said()
    assert.equal("error", words[1])
    assert.matches("^permission: .*not in this country", words[2])
  end)

  it("may be left in the middle of an answer", function()
    em:gate { hold = true }
    command("keypress", "g")
    await_stream()
    command("quit")
    local result = player:finish()
    assert.equal(0, result.code, result.out)
    assert.equal("", result.out)
    assert.equal("client gone", em:requests(1)[1].outcome)
  end)
end)
