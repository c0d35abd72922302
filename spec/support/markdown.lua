--- Pages of Markdown whose Lua blocks are programs: each runs against the emulator and prints what the page says.
--
-- A comment before a block says how:
--   <!-- examples/NAME.lua -->   it is this example, letter for letter
--   <!-- fault: {...} -->        with this fault of the emulator
--   <!-- fails -->               its exit status is 1; it is 0 elsewhere
--   <!-- prints -->              this block of text is the output of the Lua block above. Space is space, however
--                                much; "..." stands for anything
-- A block without a `require` goes on from PRELUDE, as the page says above the first of them.
local cjson = require "cjson"
local program = require "spec.support.program"

local markdown = {}

local PRELUDE = 'local gemini = require "lgemini"; local client = gemini.Client{}; local model = "gemini-3.5-flash"; '

--- The content of a file.
---@param path string
---@return string
function markdown.read_file(path)
  local file = assert(io.open(path, "rb"), path)
  local content = file:read("*a")
  file:close()
  return content
end

--- The fenced blocks: language, text, line (of the fence), and the comment right above, if any.
---@param text string
---@return table[]
function markdown.blocks(text)
  local blocks, number, open, comment = {}, 0, nil, nil
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    local fence = line:match("^```(%w*)$")
    if open and fence then
      open.text = table.concat(open.lines, "\n") .. "\n"
      blocks[#blocks + 1], open = open, nil
    elseif open then
      open.lines[#open.lines + 1] = line
    elseif fence then
      open = { language = fence, line = number, comment = comment, lines = {} }
    end
    comment = line:match("^<!%-%- (.*) %-%->$")
  end
  assert(not open, "a block without an end")
  return blocks
end

local function squeeze(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

-- What a page shows, as a pattern. It shows Lua 5.4.
local function pattern_of(shown)
  shown = shown:gsub("^lua5%.4:", (os.getenv "LUA" or "lua5.4") .. ":")
  return "^" .. squeeze(shown):gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".*") .. "$"
end

--- Runs a block of Lua and compares its output with the block after it, where that one shows it. Each block has a key,
--- and by it files, of its own.
---@param block table
---@param after table|nil
---@param em table  the emulator
---@param directory string  for the program
function markdown.run(block, after, em, directory)
  local fault = (block.comment or ""):match("^fault: (.*)$")
  if fault then em:fault(cjson.decode(fault)) end
  local path = directory .. "/block.lua"
  local file = assert(io.open(path, "wb"))
  file:write(block.text:find("%f[%w]require%f[%W]") and "" or PRELUDE, block.text)
  file:close()
  local result = program.run(path, { together = true,
    env = { GOOGLE_GEMINI_BASE_URL = em.url, GOOGLE_VERTEX_BASE_URL = em.url,
      GEMINI_API_KEY = "key-of-block-" .. block.line } })
  assert(result.code == (block.comment == "fails" and 1 or 0), result.out)
  if after and after.comment == "prints" then
    assert(squeeze(result.out):find(pattern_of(after.text)), "printed:\n" .. result.out)
  end
end

return markdown
