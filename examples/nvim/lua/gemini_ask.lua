--- Asks Gemini about a text and writes the answer into a buffer while it comes. The editor goes on meanwhile.
-- The client's tasks run in callbacks of the editor's event loop, where most of its API may not be called: what they
-- have to say is scheduled.

local api = vim.api

local ask = {}

local settings = { model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash", client = {} }
local client, handle
local answers = {} -- those whose task may still run
local namespace = api.nvim_create_namespace "gemini_ask"

local function notify(message, level)
  vim.schedule(function() vim.notify("Gemini: " .. tostring(message), level) end)
end

--- @param options table|nil  model: its name; client: the options of lgemini.Client
function ask.setup(options)
  ask.close()
  settings = vim.tbl_extend("force", settings, options or {})
end

local function connect()
  if not client then
    client = require("lgemini").Client(settings.client)
    handle = require("lgemini.luv").attach(client, {
      on_error = function(err) notify(err, vim.log.levels.ERROR) end,
    })
  end
  return client
end

--- Stops what is in flight, and lets go of the editor's event loop. The next question begins anew.
function ask.close()
  if client then
    handle:close()
    client:close()
    client, handle, answers = nil, nil, {}
  end
end

-- Answers ----------------------------------------------------------------------------------------

-- Windows that show the end of the buffer go on showing it.
local function windows_at_end(buffer)
  local last = api.nvim_buf_line_count(buffer)
  return vim.tbl_filter(function(window)
    return api.nvim_win_get_cursor(window)[1] == last
  end, vim.fn.win_findbuf(buffer))
end

-- What changes in the current buffer from here on is undone apart from what was before.
local function break_undo()
  vim.go.undolevels = vim.go.undolevels
end

-- Writes where the mark is, which moves along with what the user does above it. Changes of ours that follow each
-- other are undone as one; a change of the user's in between stays one of its own.
local function insert(answer, text)
  local buffer = answer.buffer
  local row, column = unpack(api.nvim_buf_get_extmark_by_id(buffer, namespace, answer.mark, {}))
  local following = answer.follow and windows_at_end(buffer) or {}
  api.nvim_buf_call(buffer, function()
    break_undo()
    if answer.tick == api.nvim_buf_get_changedtick(buffer) then
      vim.cmd "undojoin"
    end
    local lines = vim.split((answer.tick and "" or answer.before) .. text, "\n", { plain = true })
    api.nvim_buf_set_text(buffer, row, column, row, column, lines)
    break_undo()
  end)
  answer.tick = api.nvim_buf_get_changedtick(buffer)
  for _, window in ipairs(following) do
    api.nvim_win_set_cursor(window, { api.nvim_buf_line_count(buffer), 0 })
  end
end

-- What has come since the last time.
local function flush(answer)
  local text = table.concat(answer.pending)
  answer.pending = {}
  if text ~= "" and api.nvim_buf_is_loaded(answer.buffer) then
    local ok, problem = pcall(insert, answer, text) -- the buffer may not be modifiable any more
    if not ok then
      answer.task:cancel()
      notify(problem, vim.log.levels.ERROR)
    end
  end
end

local function write(answer, text)
  table.insert(answer.pending, text)
  if #answer.pending == 1 then
    vim.schedule(function() flush(answer) end)
  end
end

-- The task of an answer.
local function read(answer, contents)
  local stream = client.models:generate_content_stream{ model = settings.model, contents = contents }
  local chunk, err = stream:next()
  while chunk do
    write(answer, chunk.text)
    chunk, err = stream:next()
  end
  if not err then
    chunk, err = stream.response:check() -- cut off, blocked, empty
  end
  if not chunk and err.kind ~= "cancelled" then
    notify(err, vim.log.levels.ERROR)
  end
end

--- Asks, and writes the answer into a buffer.
--- @param contents any      as for generate_content
--- @param buffer integer
--- @param row integer       where, counted from 0
--- @param column integer    in bytes, counted from 0
--- @param options table|nil before: what is written before the answer, when it comes; follow: windows that show the
---                          end of the buffer move along
--- @return table answer     for ask.stop
function ask.into(contents, buffer, row, column, options)
  options = options or {}
  local answer = { buffer = buffer, pending = {}, before = options.before or "", follow = options.follow }
  local tasks = connect()
  answer.mark = api.nvim_buf_set_extmark(buffer, namespace, row, column, {})
  answers = ask.running()
  table.insert(answers, answer)
  answer.task = tasks:spawn(read, answer, contents)
  api.nvim_create_autocmd("BufUnload", { buffer = buffer, once = true, callback = function() ask.stop(answer) end })
  return answer
end

--- The answers that are being written, for a status line for example.
--- @return table[]
function ask.running()
  return vim.tbl_filter(function(answer) return not answer.task.done end, answers)
end

--- Stops an answer, or all of them. What has been written stays.
--- @param answer table|nil
function ask.stop(answer)
  for _, running in ipairs(ask.running()) do
    if not running.stopped and (not answer or running == answer) then
      running.stopped = true
      running.task:cancel()
      notify("stopped", vim.log.levels.INFO)
    end
  end
end

-- The command ------------------------------------------------------------------------------------

-- The text of the command's range; to the character where it is the visual selection. nil without a range.
local function selected(command)
  local from, to = vim.fn.line "'<", vim.fn.line "'>"
  if command.range == 0 then
    return nil
  elseif command.line1 ~= from or command.line2 ~= to then
    return table.concat(api.nvim_buf_get_lines(0, command.line1 - 1, command.line2, true), "\n")
  end
  local z, unnamed = vim.fn.getreginfo "z", vim.fn.getreginfo '"'
  vim.cmd [[silent noautocmd keepjumps normal! gv"zy]]
  local text = vim.fn.getreg "z"
  vim.fn.setreg("z", z)
  vim.fn.setreg('"', unnamed)
  return text
end

-- A buffer of its own in a split, gone with its window.
local function open_answer(question)
  vim.cmd "botright new"
  local buffer = api.nvim_get_current_buf()
  vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile, vim.bo.filetype = "nofile", "wipe", false, "markdown"
  vim.wo.wrap, vim.wo.linebreak = true, true
  api.nvim_buf_set_lines(buffer, 0, -1, true, { "> " .. question, "", "" })
  vim.cmd "normal! G"
  return buffer
end

local function run(question, text, command)
  local contents = text and { question, text } or question
  if command.bang then -- below the range
    local last = vim.fn.getline(command.line2)
    ask.into(contents, api.nvim_get_current_buf(), command.line2 - 1, #last, { before = "\n" })
  else
    local buffer = open_answer(question)
    local answer = ask.into(contents, buffer, 2, 0, { follow = true })
    vim.keymap.set("n", "<C-c>", function() ask.stop(answer) end, { buffer = buffer, desc = "Stop the answer" })
    vim.cmd "wincmd p"
  end
end

--- :[range]Gemini[!] [question]
--- @param command table  what nvim_create_user_command gives
function ask.command(command)
  local text = selected(command)
  local function go(question)
    local ok, problem = true, nil
    if question and question ~= "" then
      ok, problem = pcall(run, question, text, command)
    end
    if not ok then
      notify(problem, vim.log.levels.ERROR)
    end
  end
  if command.args ~= "" then
    go(command.args)
  else
    vim.ui.input({ prompt = "Ask Gemini: " }, go)
  end
end

return ask
