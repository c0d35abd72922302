--- For mpv: asks Gemini about the picture that is shown, and shows the answer over it while it comes. See README.md.
-- mpv gives every script a thread of its own, so a call that waits would not hold up the picture, but it would hold up
-- this script's keys; with tasks a second press of the key can stop the answer.

local gemini = require "lgemini"
local mp = require "mp"
local options = require "mp.options"

local settings = { -- --script-opts=gemini-question=..., or script-opts/gemini.conf
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  question = "What is to be seen here?",
}
options.read_options(settings, "gemini")

local STEP = 0.02 -- seconds from one step to the next while an answer is awaited

local function show(text)
  mp.osd_message(text, 5 + #text / 20) -- long enough to be read
end

local function fail(err)
  show("Gemini: " .. tostring(err))
  mp.msg.error(tostring(err))
end

local client = gemini.Client{ on_task_error = fail }
local task

local timer
timer = mp.add_periodic_timer(STEP, function()
  if not client:step(STEP / 4) then
    timer:kill()
  end
end)
timer:kill() -- until there is something to do

-- The picture that is shown, without what lies over it: the bytes of a JPEG file; nil, err.
local function picture()
  local name = os.tmpname()
  local path = name .. ".jpg"
  local bytes
  local ok, err = mp.commandv("no-osd", "screenshot-to-file", path, "video")
  if ok then
    local file = assert(io.open(path, "rb"))
    bytes = file:read "*a"
    file:close()
  end
  os.remove(path)
  os.remove(name)
  return bytes, err
end

local function answer(contents)
  local stream = client.models:generate_content_stream{ model = settings.model, contents = contents }
  local chunk, err = stream:next()
  while chunk do
    show(stream.response.text)
    chunk, err = stream:next()
  end
  if not err then
    chunk, err = stream.response:check() -- cut off, blocked, empty
  end
  if chunk then
    mp.msg.info(stream.response.text)
  elseif err.kind == "cancelled" then
    show "stopped"
    mp.msg.info "stopped"
  else
    fail(err)
  end
end

-- Asks, or stops the answer that is being written.
local function ask(question)
  if task and not task.done then
    task:cancel()
    return
  end
  local bytes, err = picture()
  if not bytes then
    return fail("no picture: " .. err)
  end
  show "..."
  task = client:spawn(answer, { question or settings.question, { data = bytes } })
  timer:resume()
end

mp.add_key_binding("g", "ask", function() ask() end)
mp.register_script_message("ask-gemini", ask)
mp.register_event("shutdown", function() client:close() end)
