-- examples/love in a real LÖVE, on a display in memory; what the game does is in love/main.lua.
local cjson = require "cjson"
local digest = require "openssl.digest"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local process = require "spec.support.process"
local program = require "spec.support.program"

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

local function squeezed(text) return (text:gsub("%s+", "")) end

describe("LÖVE #plain", function()
  local em, home, game

  setup(function()
    em = emulator.start {}
    home = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(home)
  end)
  before_each(function()
    em:clear()
    em:set { pause = 0 }
  end)
  after_each(function()
    if game then game:finish() end
  end)

  local function start(scenario, env, folder)
    local set = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "k", SCENARIO = scenario, XDG_DATA_HOME = home,
      PICTURE = home .. "/seen.png" }
    for name, value in pairs(env or {}) do set[name] = value end
    game = program.start(folder or "spec/engines/love", {
      host = { "sh", "spec/engines/display", "love" }, lua = "luajit", env = set, together = true, limit = 200,
    })
  end

  -- What it says next.
  local function heard()
    local line = assert(game:line(), "the game has ended")
    local ok, value = pcall(cjson.decode, line)
    assert(ok, line .. "\n" .. (ok and "" or game:finish().out))
    assert.is_nil(type(value) == "table" and value.problem or nil)
    return value
  end

  local function ends_well()
    local result = game:finish()
    assert.equal(0, result.code, result.out)
    assert.equal("", result.out)
  end

  -- What the emulator answers to a request of the record, in one piece.
  local function answer_to(request)
    local contents = {}
    for i, turn in ipairs(request.body.contents) do
      contents[i] = { role = turn.role, parts = {} }
      for k, part in ipairs(turn.parts) do
        contents[i].parts[k] = { text = part.text, thought_signature = part.thoughtSignature }
      end
    end
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash",
      contents = contents, config = { system_instruction = request.body.systemInstruction } })
    client:close()
    return response.text
  end

  local function streams() return em:requests_to ":streamGenerateContent" end

  local function persona(request) return request.body.systemInstruction.parts[1].text:match "^You are (%a+)" end

  -- Each state of a bubble shows the end of what had come by then, and nothing was left out from one to the next.
  local function assert_told(answer, states)
    answer = squeezed(answer)
    local at = 0
    for _, state in ipairs(states) do
      state = squeezed(state)
      local reached
      for to = at, math.min(#answer, at + #state) do
        if not reached and to >= #state and answer:sub(to - #state + 1, to) == state then reached = to end
      end
      at = assert(reached, "after " .. answer:sub(1, at) .. "\nthe bubble shows " .. state)
    end
    assert.equal(#answer, at)
  end

  it("goes on while three characters answer", function()
    em:set { pause = 0.1 }
    em:gate { hold = true }
    start "hail"
    local waiting = heard()
    assert.equal(3, waiting.open)
    assert.is_true(waiting.moved > 5, tostring(waiting.moved))
    assert.is_true(waiting.time > 0)
    assert.same({ Mira = { "" }, Pip = { "" }, Anselm = { "" } }, waiting.told)
    em:gate { open = true }
    local told, requests = heard(), streams()
    assert.equal(3, #requests)
    for _, request in ipairs(requests) do
      local answer = answer_to(request)
      assert.matches("Sentence 15 of 15", answer)
      local states = told[persona(request)]
      assert.is_true(#states > 3, tostring(#states))
      assert_told(answer, states)
      told[persona(request)] = nil
    end
    assert.same({}, told)
    local times = heard()
    assert.is_true(#times.busy > 5, tostring(#times.busy))
    local ratio = median(times.busy) / median(times.idle)
    assert.is_true(ratio < 3, ("frames are %.2f times as long while answers come"):format(ratio))
    ends_well()
    requests = streams()
    assert.equal(9, #requests)
    assert.equal(5, #requests[9].body.contents) -- each remembers what was said
  end)

  it("shows its window to the gull", function()
    start "show"
    local seen = heard()
    ends_well()
    local requests = streams()
    assert.equal(1, #requests)
    assert.equal("Pip", persona(requests[1]))
    local file = assert(io.open(home .. "/seen.png", "rb"))
    local png = file:read "*a"
    file:close()
    local part
    for _, any in ipairs(requests[1].parts) do part = any.mime_type and any or part end
    assert.same({ "image/png", "image/png", seen.width, seen.height, #png },
      { part.mime_type, part.detected, part.width, part.height, part.bytes })
    local sum = digest.new "sha256":final(png):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
    assert.equal(sum, part.sha256)
    assert.same({ 960, 600 }, { seen.width, seen.height })
    assert.same({ 960, 600 }, seen.decoded)
    assert.is_true(seen.colours > 200, tostring(seen.colours))
    local said = seen.told[#seen.told]
    assert.matches("The last text reads", said)
  end)

  it("sends what is typed to the nearest", function()
    start "type"
    local seen = heard()
    ends_well()
    local requests = streams()
    assert.equal(2, #requests)
    assert.same({ "Anselm", "Anselm" }, { persona(requests[1]), persona(requests[2]) })
    assert.same({ "Où est le phare ?" }, { requests[1].body.contents[1].parts[1].text })
    assert.same({ "Will the weather hold?" }, { requests[2].body.contents[3].parts[1].text })
    assert.equal(squeezed(answer_to(requests[1])), squeezed(seen.first))
    assert.equal(squeezed(answer_to(requests[2])), squeezed(seen.second))
    assert.same({ false, false }, seen.others)
  end)

  it("falls silent when it is told to, and ends when it is told again", function()
    em:gate { hold = true }
    em:gate { release = 2 }
    start "hush"
    local seen = heard()
    assert.is_true(#seen.before > 50)
    assert.equal(seen.before, seen.after)
    assert.equal(0, seen.open)
    em:requests(2) -- the first is from `prewarm`
    assert.equal("client gone", streams()[1].outcome)
    ends_well()
  end)

  it("shows errors where the answer would be", function()
    em:fault { path = ":streamGenerateContent", status = 403, message = "not in this country" }
    start "fails"
    local seen = heard()
    assert.matches("permission: ", seen.said)
    assert.matches("not in this country", seen.said)
    assert.equal(0, seen.open)
    ends_well()
  end)

  it("says what is missing where there is no key", function()
    start("fails", { GEMINI_API_KEY = "" })
    assert.matches("auth: .*GEMINI_API_KEY", heard().said)
    ends_well()
    assert.same({}, streams())
  end)

  it("finds the library in the game, and its core beside it", function()
    local root = home .. "/given"
    os.execute(("mkdir -p %s/lgemini && cp -r spec/engines/love %s/game && cp -r lua/lgemini %s/game/lgemini && "
      .. "cp build/luajit/lgemini/core.so %s/lgemini/"):format(root, root, root, root))
    start("show", { LUA_PATH = ";;", LUA_CPATH = ";;" }, root .. "/game")
    heard()
    ends_well()
    assert.equal(1, #streams())
  end)
end)
