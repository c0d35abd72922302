-- docs/*.md: every Lua block runs, against the emulator, and prints what the page says; see spec/support/markdown.lua.
-- #plain: programs of their own, which no sanitizer sees.
local emulator = require "spec.support.emulator"
local pages = require "spec.support.markdown"
local process = require "spec.support.process"

-- Pages without programs: the index, and what scripts/reference.lua writes.
local OTHERS = { ["docs/README.md"] = true, ["docs/reference.md"] = true }

local paths = {}
local pipe = assert(io.popen("ls docs/*.md", "r"))
for path in pipe:lines() do paths[#paths + 1] = not OTHERS[path] and path or nil end
pipe:close()

local function check_links(text)
  for target in text:gmatch("%]%(([^)#]+)[^)]*%)") do
    if not target:find("^https://") then pages.read_file("docs/" .. target) end
  end
end

describe("the page #plain", function()
  local em, directory

  setup(function()
    em = emulator.start { args = { "--processing", "0.1", "--batch", "0.1", "--background", "0.1", "--video", "0.1" } }
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

    it(path .. " links to what is there", function() check_links(text) end)
  end

  it("docs/README.md links to what is there", function() check_links(pages.read_file "docs/README.md") end)

  it("docs/reference.md links to headings that it has", function()
    local text, headings = pages.read_file "docs/reference.md", {}
    for heading in text:gmatch("\n##+ ([^\n]+)") do
      headings[heading:lower():gsub("[^%w_ -]", ""):gsub(" ", "-")] = true
    end
    for anchor in text:gmatch("%]%(#([^)]+)%)") do assert.is_true(headings[anchor], anchor) end
  end)

  it("of each is linked from the README, or from the index", function()
    local readme, index = pages.read_file "README.md", pages.read_file "docs/README.md"
    assert.truthy(readme:find("](docs/README.md)", 1, true))
    for _, path in ipairs(paths) do
      assert.truthy(readme:find("](" .. path .. ")", 1, true)
        or index:find("](" .. path:match("[^/]+$") .. ")", 1, true), path)
    end
  end)
end)
