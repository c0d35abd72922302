-- What spec/engines/nvim_spec.lua has an editor do: the scenario that $SCENARIO names. One line of JSON for each thing
-- that the spec is to know; it reads them while the editor runs.
local api = vim.api
local notices = {}

function vim.notify(message, level) notices[#notices + 1] = { text = message, level = level } end

local function say(value)
  io.stdout:write(vim.json.encode(value), "\n")
  io.stdout:flush()
end

local function await(condition)
  assert(vim.wait(50000, condition, 1), "nothing came")
end

-- A file of the user's, in the window that the editor started with.
local function open(...)
  api.nvim_buf_set_lines(0, 0, -1, true, { ... })
  vim.bo.modified = false
  return api.nvim_get_current_buf()
end

local function text_of(buffer) return table.concat(api.nvim_buf_get_lines(buffer, 0, -1, true), "\n") end

-- The buffer of the last split.
local function answer_buffer()
  local windows = api.nvim_list_wins()
  assert(#windows == 2, "no window for the answer")
  return api.nvim_win_get_buf(windows[2])
end

local function idle() return #require("gemini_ask").running() == 0 end

-- Counts what a timer of the editor's own comes to.
local clock = { ticks = 0, start = vim.loop.hrtime() }
vim.loop.new_timer():start(1, 1, function() clock.ticks = clock.ticks + 1 end)

-- Ticks per second since the last time.
local function rate()
  local now, ticks = vim.loop.hrtime(), clock.ticks
  local result = (ticks - (clock.counted or 0)) * 1e9 / (now - clock.start)
  clock.start, clock.counted = now, ticks
  return result
end

local scenarios = {}

-- The spec holds the answer back until the editor has gone on for a while.
function scenarios.stream()
  open("first line", "the sécond linè", "third line")
  vim.fn.setreg("z", "kept")
  vim.fn.setreg('"', "kept, too")
  vim.cmd "normal! 2G4lvG03l\27"
  vim.cmd "'<,'>Gemini [long] What is this?"
  local before = clock.ticks
  await(function() return clock.ticks >= before + 200 end)
  say "ticked"
  local buffer = answer_buffer()
  await(function() return #text_of(buffer) > 100 end)
  rate()
  await(idle)
  local meanwhile = rate()
  vim.wait(200)
  local alone = rate()
  say { text = text_of(buffer), rate = meanwhile / alone, notices = notices, z = vim.fn.getreg "z",
    unnamed = vim.fn.getreg '"', file = text_of(1), cursor = api.nvim_win_get_cursor(api.nvim_list_wins()[2])[1],
    lines = api.nvim_buf_line_count(buffer) }
end

function scenarios.ranges()
  local function ask(keys, command)
    if keys then vim.cmd("normal! " .. keys .. "\27") end
    vim.cmd(command)
    await(idle)
    vim.cmd "only"
  end
  open("first line", "the sécond linè", "third line")
  vim.ui.input = function(_, answer) answer "Asked in words." end
  ask("1GVj", "'<,'>Gemini Lines?")
  ask("1Gl\22j2l", "'<,'>Gemini A block?")
  ask("2G$v", "'<,'>Gemini One character?")
  ask(nil, "2,3Gemini")
  ask(nil, "Gemini None?")
  say { notices = notices, file = text_of(1) }
end

function scenarios.below()
  local buffer = open("one", "two", "three")
  vim.cmd "2Gemini! [long 6]"
  await(function() return #text_of(buffer) > 200 end)
  api.nvim_buf_set_lines(buffer, 0, 0, true, { "typed by the user" })
  say "typed"
  await(idle)
  vim.wait(100)
  local texts = { text_of(buffer) }
  for _ = 1, 3 do
    vim.cmd "silent undo"
    texts[#texts + 1] = text_of(buffer)
  end
  say { texts = texts, notices = notices }
end

function scenarios.undo()
  local buffer = open("one", "two")
  vim.cmd "1Gemini! [long 30]"
  await(idle)
  vim.wait(20)
  local texts = { text_of(buffer) }
  vim.cmd "silent undo"
  texts[2] = text_of(buffer)
  vim.cmd "silent redo"
  texts[3] = text_of(buffer)
  say { texts = texts, notices = notices }
end

-- The spec lets three events through.
function scenarios.stop()
  open "one"
  vim.cmd "Gemini [long]"
  local buffer = answer_buffer()
  say "asked"
  await(function() return select(2, text_of(buffer):gsub("%. ", "")) >= 2 end)
  vim.wait(50)
  local before = text_of(buffer)
  vim.cmd "GeminiStop"
  vim.cmd "GeminiStop"
  vim.wait(50)
  say { before = before, after = text_of(buffer), notices = notices, running = not idle() }
end

function scenarios.close()
  open "one"
  vim.cmd "Gemini [long]"
  local buffer = answer_buffer()
  await(function() return #text_of(buffer) > 100 end)
  vim.cmd("bwipeout! " .. buffer)
  vim.wait(50)
  say { notices = notices, running = not idle() }
end

function scenarios.leave()
  open "one"
  vim.cmd "Gemini [long]"
  local buffer = answer_buffer()
  await(function() return #text_of(buffer) > 100 end)
  say "leaving"
end

function scenarios.fails()
  open "one"
  vim.cmd "Gemini Name a river."
  await(function() return #notices > 0 end)
  say { text = text_of(answer_buffer()), notices = notices, running = not idle() }
end

scenarios.breaks = scenarios.fails

function scenarios.locked()
  local buffer = open "one"
  vim.cmd "1Gemini! [long]"
  await(function() return #text_of(buffer) > 100 end)
  vim.bo.modifiable = false
  say "locked"
  await(function() return #notices > 0 end)
  await(idle)
  say { notices = notices }
end

local ok, problem = xpcall(scenarios[os.getenv "SCENARIO"], debug.traceback)
if not ok then say { problem = problem } end
vim.cmd "qall!"
