-- docs/*.md: every Lua block runs, against the emulator, and prints what the page says; see spec/support/markdown.lua.
-- #plain: programs of their own, which no sanitizer sees.
local emulator = require "spec.support.emulator"
local pages = require "spec.support.markdown"
local process = require "spec.support.process"

local paths = {}
local pipe = assert(io.popen("ls docs/*.md", "r"))
for path in pipe:lines() do paths[#paths + 1] = path end
pipe:close()

describe("the page #plain", function()
  local em, directory

  setup(function()
    em = emulator.start { args = { "--processing", "0.1", "--batch", "0.1", "--background", "0.1" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function() em:clear() end)

  for _, path in ipairs(paths) do
    local text = pages.read_file(path)
    local blocks = pages.blocks(text)
    for i, block in ipairs(blocks) do
      if block.language == "lua" then
        it(("%s has a program in line %d that runs"):format(path, block.line), function()
          pages.run(block, blocks[i + 1], em, directory)
        end)
      end
    end

    it(path .. " shows outputs of programs only, says what its fragments go on from, and has short lines", function()
      local programs = 0
      for i, block in ipairs(blocks) do
        if block.language == "lua" then programs = programs + 1 end
        if block.language == "text" then
          assert.equal("prints", block.comment)
          assert.equal("lua", blocks[i - 1].language)
        end
      end
      assert.is_true(programs > 0)
      assert.truthy(text:find('\nIn what follows `client` is a client, `gemini` is `require "lgemini"`, and `model`',
        1, true))
      for line in text:gmatch("[^\n]+") do
        local _, characters = line:gsub("[^\128-\191]", "")
        assert.is_true(characters <= 120, line)
      end
    end)

    it(path .. " links to what is there", function()
      for target in text:gmatch("%]%(([^)#]+)[^)]*%)") do
        if not target:find("^https://") then pages.read_file("docs/" .. target) end
      end
    end)
  end

  it("of each is linked from the README", function()
    local readme = pages.read_file "README.md"
    for _, path in ipairs(paths) do assert.truthy(readme:find("](" .. path .. ")", 1, true), path) end
  end)
end)
