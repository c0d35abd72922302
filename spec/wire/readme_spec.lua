-- The README: every Lua block in it runs, against the emulator, and prints what the README says it prints; see
-- spec/support/markdown.lua. #plain: programs of their own, which no sanitizer sees.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local pages = require "spec.support.markdown"
local process = require "spec.support.process"

local read_file = pages.read_file
local markdown = read_file "README.md"
local blocks = pages.blocks(markdown)

local function of_language(...)
  local found = {}
  for _, block in ipairs(blocks) do
    for _, language in ipairs { ... } do
      if block.language == language then found[#found + 1] = block end
    end
  end
  return found
end

describe("the README #plain", function()
  local em, directory

  setup(function()
    em = emulator.start { args = { "--processing", "0.1" } }
    directory = process.temporary_directory()
  end)

  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)

  before_each(function()
    em:clear()
  end)

  it("begins with a program of six lines and its output", function()
    assert.equal("lua", blocks[1].language)
    assert.equal(6, #blocks[1].lines)
    assert.equal("text", blocks[2].language)
    assert.is_true(blocks[2].line < 20)
  end)

  for i, block in ipairs(blocks) do
    local example = (block.comment or ""):match("^examples/.*$")
    if example then
      it("has " .. example .. " as it is", function()
        assert.equal(read_file(example), block.text)
      end)
    end
    if block.language == "lua" then
      it("has a program in line " .. block.line .. " that runs", function()
        pages.run(block, blocks[i + 1], em, directory)
      end)
    elseif block.language == "text" then
      it("shows in line " .. block.line .. " what a program prints", function()
        assert.equal("prints", block.comment)
        assert.equal("lua", blocks[i - 1].language)
      end)
    end
  end

  it("has all examples", function()
    local pipe = assert(io.popen("cd examples && ls *.lua", "r"))
    for name in pipe:lines() do
      assert.truthy(markdown:find("<!-- examples/" .. name .. " -->\n```lua\n", 1, true), name .. " is missing")
    end
    pipe:close()
  end)

  it("says which names its fragments go on from", function()
    local above = assert(markdown:match(
      '^(.-)\nIn what follows `client` is a client, `gemini` is `require "lgemini"`, and `model` is the name of a'))
    local _, lines = above:gsub("\n", "")
    for _, block in ipairs(of_language("lua")) do
      assert.is_true(block.line > lines or block.text:find("require", 1, true) ~= nil, "line " .. block.line)
    end
  end)

  it("names the kinds of errors there are", function()
    local kinds = assert(read_file("lua/lgemini/errors.lua"):match("local KINDS = (%b{})"))
    local shown = assert(markdown:match("\n| `err.kind` |.-\n\n"))
    local cells = {}
    for cell in shown:gmatch("\n| (`[^|]*`) |") do
      for name in cell:gmatch("`([%w_]+)`") do cells[name] = true end
    end
    local n = 0
    for name in kinds:gmatch("([%w_]+) = ") do
      n = n + 1
      assert.is_true(cells[name], name .. " is missing")
      cells[name] = nil
    end
    assert.is_true(n > 20)
    assert.same({}, cells)
  end)

  it("links to what is there", function()
    local n = 0
    for target in markdown:gmatch("%]%(([^)]*)%)") do
      n = n + 1
      local section = target:match("^#(.*)$")
      if section then
        local found = false
        for title in markdown:gmatch("\n## ([^\n]*)") do
          found = found or title:lower():gsub("[^%w ]", ""):gsub(" ", "-") == section
        end
        assert.is_true(found, "no section " .. target)
      elseif not target:find("^https://") then
        read_file(target)
      end
    end
    assert.is_true(n > 10)
  end)

  it("gives commands that exist", function()
    local makefile, setup_script = read_file "Makefile", read_file "scripts/setup"
    local pipe = assert(io.popen("emulator/gemini-emulator --help", "r"))
    local help = pipe:read("*a")
    pipe:close()
    local n = 0
    for _, block in ipairs(of_language("sh")) do
      for _, line in ipairs(block.lines) do
        line = line:gsub("%s+#.*$", "")
        local packages = line:match("^apt%-get install (.*)$")
        for package in (packages or ""):gmatch("%S+") do
          n = n + 1
          assert.truthy(setup_script:find(package, 1, true), package)
        end
        for target in (packages and "" or line):gsub("%f[%u]LUA=%w+ ?", ""):gmatch("make ([%w%-]+)") do
          n = n + 1
          if target:sub(1, 1) ~= "-" then assert.truthy(makefile:find("\n" .. target .. ":", 1, true), target) end
        end
        for path in line:gmatch("examples/[%w_]+%.lua") do
          n = n + 1
          read_file(path)
        end
        for flag in line:gmatch("gemini%-emulator.* (%-%-[%w%-]+)") do
          n = n + 1
          assert.truthy(help:find(flag .. " ", 1, true), flag)
        end
      end
    end
    assert.is_true(n > 10)
  end)

  it("asks the emulator for what it can do", function()
    local n = 0
    for _, block in ipairs(of_language("sh")) do
      for _, line in ipairs(block.lines) do
        local path, rest = line:match("^curl %$GOOGLE_GEMINI_BASE_URL/emulator/(%w+)(.*)$")
        if path then
          n = n + 1
          local body = rest:match("%-d '(.-)'")
          em:admin(body and "POST" or "GET", path, body and cjson.decode(body))
        end
      end
    end
    assert.equal(3, n)
  end)

  it("names the version that the library has", function()
    local version = require("lgemini")._VERSION
    assert.truthy(markdown:find("This is version " .. version .. ".", 1, true))
    assert.truthy(read_file("CHANGELOG.md"):find("\n## [" .. version .. "]", 1, true))
  end)

  it("has lines of at most 120 characters, as the changelog has", function()
    for _, path in ipairs { "README.md", "CHANGELOG.md" } do
      local number = 0
      for line in io.lines(path) do
        number = number + 1
        local _, characters = line:gsub("[^\128-\191]", "")
        assert.is_true(characters <= 120, path .. ":" .. number)
      end
    end
  end)
end)
