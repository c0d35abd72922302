-- What a new process loads before its first answer: a start is made of that, more than of anything else.
local emulator = require "spec.support.emulator"
local process = require "spec.support.process"
local program = require "spec.support.program"

-- Prints what of lgemini is loaded after each step that has come since the last one.
local SCRIPT = [[
  local seen = {}
  local function loaded()
    local names = {}
    for name in pairs(package.loaded) do
      if name:find "^lgemini%." and not seen[name] then
        names[#names + 1], seen[name] = name:match "%.(.*)", true
      end
    end
    table.sort(names)
    print(table.concat(names, " "))
  end
  local gemini = require "lgemini"
  loaded()
  local client = gemini.Client{}
  loaded()
  gemini.assert(client.models:generate_content{ model = "gemini-3.5-flash", contents = "Hello" })
  loaded()
]]

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return table.concat(list, " ")
end

describe("a new process #plain", function()
  local em
  setup(function() em = emulator.start() end)
  teardown(function() em:stop() end)

  it("loads no core with require, and no more for a question of one text than that needs", function()
    local result = program.run(SCRIPT, {
      host = { process.interpreter(), "-e" },
      env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "the-key" },
    })
    assert.equal("", result.err)
    local steps = {}
    for line in result.out:gmatch "[^\n]+" do steps[#steps + 1] = line end
    assert.equal("compat errors json", steps[1])
    assert.equal(words [[client core headers http http_options inside limits loop options routes tasks
      timers]], steps[2])
    assert.equal(words [[answer direct endpoints models question schema]], steps[3])
  end)
end)
