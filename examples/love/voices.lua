--- What the characters say. Each answer is a task of the client's, which the game steps once in a frame: while an
-- answer comes, nothing else stops.

local gemini = require "lgemini"
local utf8 = require "utf8"

local voices = {}

local MODEL = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash"
local PACE = 70 -- characters a second; a voice that has fallen behind speaks faster
local STYLE = " Stay in your role. Answer in two or three short sentences of plain text."

local client

--- Loads what is loaded with the first use, which takes longer than a frame may, and begins to connect.
function voices.load()
  client = gemini.Client{}
  client:spawn(client.prewarm, client)
  client:step()
end

--- Works for a millisecond at most, and waits for nothing.
function voices.step()
  client:step(0.001)
end

function voices.close()
  client:close()
end

-- Stops what a character says, in the middle of a word.
local function hush(character)
  if character.line then
    character.line.task:cancel()
  end
end

-- Reads a stream to its end into a line.
local function hear(line, stream)
  local chunk, err = stream:next()
  while chunk do
    line.text = line.text .. chunk.text
    chunk, err = stream:next()
  end
  if not err then
    chunk, err = stream.response:check() -- blocked, cut off, empty
  end
  if not chunk and err.kind ~= "cancelled" then
    line.problem = tostring(err)
  end
end

-- A new line of a character: `open` is called in a task, and returns the stream of the answer.
local function say(character, question, open)
  hush(character)
  local line = { question = question, text = "", shown = 0, voice = 0 }
  character.line = line
  line.task = client:spawn(function()
    local stream, err = open()
    if stream then
      hear(line, stream)
    else
      line.problem = tostring(err)
    end
  end)
end

--- Says something to a character, who remembers what was said before.
function voices.ask(character, question)
  say(character, question, function()
    if not character.chat then
      local chat, err = client.chats:create{
        model = MODEL,
        config = { system_instruction = character.persona .. STYLE },
      }
      if not chat then return nil, err end
      character.chat = chat
    end
    return character.chat:send_message_stream(question)
  end)
end

-- The window as it is now, in the bytes of a PNG. Called in a task.
local function screenshot()
  local image
  love.graphics.captureScreenshot(function(captured) image = captured end)
  while not image do
    coroutine.yield() -- until the next step, which is in the next frame
  end
  -- To pack a picture takes longer than a frame may: that is work for a thread, and LÖVE has them.
  local thread = love.thread.newThread [[
    require "love.image"
    local image, packed = ...
    packed:push(image:encode "png")
  ]]
  local packed = love.thread.newChannel()
  thread:start(image, packed)
  while thread:isRunning() do
    coroutine.yield()
  end
  local png = packed:pop()
  if not png then return nil, thread:getError() end
  return png:getString()
end

--- Shows the game to a character: the screen goes along with the question.
function voices.show(character, question)
  say(character, question, function()
    local png, problem = screenshot()
    if not png then return nil, problem end
    return client.models:generate_content_stream{
      model = MODEL,
      contents = { { data = png, via = "inline" }, question },
      config = { system_instruction = character.persona .. STYLE },
    }
  end)
end

--- Whether an answer is on its way, or not said to its end yet.
function voices.speaking(character)
  local line = character.line
  return line ~= nil and (not line.task.done or line.shown < #line.text)
end

--- Stops all of them. Returns whether there was anybody to stop.
function voices.hush(characters)
  local any = false
  for _, character in ipairs(characters) do
    if voices.speaking(character) then
      hush(character)
      character.line.text = character.line.text:sub(1, character.line.shown)
      any = true
    end
  end
  return any
end

--- How many answers are on their way.
function voices.open(characters)
  local count = 0
  for _, character in ipairs(characters) do
    if character.line and not character.line.task.done then
      count = count + 1
    end
  end
  return count
end

--- Says as much of what has come as is due, after a long frame no more than after another. Whole characters only: half
-- of one cannot be drawn.
function voices.update(characters, dt)
  dt = math.min(dt, 0.1)
  for _, character in ipairs(characters) do
    local line = character.line
    if line and line.shown < #line.text then
      line.voice = line.voice + dt * math.max(PACE, #line.text - line.shown)
      local whole = math.floor(line.voice)
      local after = utf8.offset(line.text, whole + 1, line.shown + 1) or #line.text + 1
      line.voice, line.shown = line.voice - whole, after - 1
    end
  end
end

return voices
