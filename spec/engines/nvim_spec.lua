-- examples/nvim in a real Neovim, installed as its README says; what the editor does is in nvim.lua.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local process = require "spec.support.process"
local program = require "spec.support.program"

local ERROR, INFO = 4, 2 -- vim.log.levels

describe("Neovim #plain", function()
  local em, home, editor

  setup(function()
    em = emulator.start {}
    home = process.temporary_directory()
    os.execute(("start=%s/nvim/site/pack/gemini/start; mkdir -p $start && ln -s \"$PWD/examples/nvim\" $start/gemini")
      :format(home))
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
    if editor then editor:finish() end
  end)

  local function start(scenario)
    editor = program.start("spec/engines/nvim.lua", {
      host = { "nvim", "--headless", "-u", "NORC", "-i", "NONE", "-n", "-S" },
      lua = "luajit",
      together = true,
      env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "k", SCENARIO = scenario,
        XDG_DATA_HOME = home, XDG_CONFIG_HOME = home, XDG_STATE_HOME = home },
    })
  end

  -- What it says next.
  local function heard()
    local line = assert(editor:line(), "the editor has ended")
    local ok, value = pcall(cjson.decode, line)
    assert(ok, line)
    assert.is_nil(type(value) == "table" and value.problem or nil)
    return value
  end

  local function run(scenario)
    start(scenario)
    return heard()
  end

  -- The answer in one piece.
  local function answer_to(contents)
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash", contents = contents })
    client:close()
    return response.text
  end

  local function texts_sent(request)
    local texts = {}
    for i, part in ipairs(request.body.contents[1].parts) do texts[i] = part.text end
    return texts
  end

  it("writes the answer as it comes, and goes on meanwhile", function()
    em:set { pause = 0.005 }
    em:gate { hold = true }
    start "stream"
    assert.equal("ticked", heard())
    em:gate { open = true }
    local seen = heard()
    local selection = "sécond linè\nthir"
    assert.same({ "[long] What is this?", selection }, texts_sent(em:requests_to(":streamGenerateContent")[1]))
    assert.equal("> [long] What is this?\n\n" .. answer_to { "[long] What is this?", selection }, seen.text)
    assert.same({}, seen.notices)
    assert.is_true(seen.rate > 0.25, tostring(seen.rate))
    assert.equal("kept", seen.z)
    assert.equal("kept, too", seen.unnamed)
    assert.equal("first line\nthe sécond linè\nthird line", seen.file)
    assert.equal(seen.lines, seen.cursor)
  end)

  it("takes the selection to the character, a range, or none", function()
    local seen, asked = run "ranges", {}
    for i, request in ipairs(em:requests_to(":streamGenerateContent")) do asked[i] = texts_sent(request) end
    assert.same({
      { "Lines?", "first line\nthe sécond linè\n" },
      { "A block?", "irs\nhe " },
      { "One character?", "è" },
      { "Asked in words.", "the sécond linè\nthird line" },
      { "None?" },
    }, asked)
    assert.same({}, seen.notices)
  end)

  it("writes below the range, where the user goes on typing", function()
    em:gate { hold = true }
    em:gate { release = 3 }
    start "below"
    assert.equal("typed", heard())
    em:gate { open = true }
    local seen = heard()
    local answer = answer_to { "[long 6]", "two" }
    assert.equal("typed by the user\none\ntwo\n" .. answer .. "\nthree", seen.texts[1])
    local first = seen.texts[2]:match "^typed by the user\none\ntwo\n(.+)\nthree$"
    assert.equal(answer:sub(1, #first), first)
    assert.is_true(#first < #answer)
    assert.equal("one\ntwo\n" .. first .. "\nthree", seen.texts[3])
    assert.equal("one\ntwo\nthree", seen.texts[4])
    assert.same({}, seen.notices)
  end)

  it("undoes an answer as one change", function()
    em:set { pause = 0.005 }
    local seen = run "undo"
    local whole = "one\n" .. answer_to { "[long 30]", "one" } .. "\ntwo"
    assert.same({ whole, "one\ntwo", whole }, seen.texts)
  end)

  it("stops when it is told to", function()
    em:gate { hold = true }
    start "stop"
    assert.equal("asked", heard())
    em:gate { release = 3 }
    local seen = heard()
    assert.is_true(#seen.before > 100)
    assert.equal(seen.before, seen.after)
    assert.same({ { text = "Gemini: stopped", level = INFO } }, seen.notices)
    assert.is_false(seen.running)
    assert.equal("client gone", em:requests(1)[1].outcome)
  end)

  it("stops when the answer's buffer is gone", function()
    em:gate { hold = true }
    em:gate { release = 3 }
    local seen = run "close"
    assert.same({ { text = "Gemini: stopped", level = INFO } }, seen.notices)
    assert.is_false(seen.running)
    assert.equal("client gone", em:requests(1)[1].outcome)
  end)

  it("may be left in the middle of an answer", function()
    em:gate { hold = true }
    em:gate { release = 3 }
    assert.equal("leaving", run "leave")
    local result = editor:finish()
    assert.equal(0, result.code, result.out)
    assert.equal("", result.out)
    assert.equal("client gone", em:requests(1)[1].outcome)
  end)

  it("shows errors", function()
    em:fault { path = ":streamGenerateContent", status = 403, message = "not in this country" }
    local seen = run "fails"
    assert.equal(1, #seen.notices)
    assert.matches("^Gemini: permission: .*not in this country", seen.notices[1].text)
    assert.equal(ERROR, seen.notices[1].level)
    assert.equal("> Name a river.\n\n", seen.text)
    assert.is_false(seen.running)
  end)

  it("keeps what has come of an answer that breaks", function()
    em:fault { path = ":streamGenerateContent", action = "no_finish" }
    local seen = run "breaks"
    assert.matches("^Gemini: incomplete: ", seen.notices[1].text)
    assert.is_true(#seen.text > 50)
  end)

  it("stops where it may not write any more", function()
    em:gate { hold = true }
    em:gate { release = 3 }
    start "locked"
    assert.equal("locked", heard())
    em:gate { release = 1 }
    local seen = heard()
    assert.equal(1, #seen.notices)
    assert.matches("modifiable", seen.notices[1].text)
    assert.equal(ERROR, seen.notices[1].level)
  end)
end)
