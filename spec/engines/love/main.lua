-- What spec/engines/love_spec.lua has the game do: the scenario that $SCENARIO names. The game runs as it is; keys go
-- through LÖVE's queue of events, and what its bubbles show is taken from what is drawn. One line of JSON for each
-- thing that the spec is to know; it reads them while the game runs.
local cjson = require "cjson"

local GAME = os.getenv "GAME" or "examples/love"
package.path = GAME .. "/?.lua;" .. package.path
dofile(GAME .. "/main.lua")

local bay = require "bay"
local speech = require "speech"
local voices = require "voices"

local function say(value)
  io.stdout:write(cjson.encode(value), "\n")
  io.stdout:flush()
end

function love.errorhandler(message)
  say { problem = debug.traceback(tostring(message), 2) }
end

-- What is seen ------------------------------------------------------------------------------------

local shown = {} -- by character: the lines of the bubble in this frame, the question first
local told = {} -- by character: what the bubble said, one frame after the other
local bubble

local real_print, real_speech = love.graphics.print, speech.draw

function love.graphics.print(text, ...)
  if bubble then
    for _, character in ipairs(bay.characters) do
      if text == character.name then
        bubble = {}
        shown[text] = bubble
        return real_print(text, ...)
      end
    end
    bubble[#bubble + 1] = text
  end
  return real_print(text, ...)
end

local function said(name)
  return table.concat(shown[name] or {}, " ", 2)
end

function speech.draw()
  shown, bubble = {}, {}
  real_speech()
  bubble = nil
  for name in pairs(shown) do
    local states = told[name] or {}
    told[name] = states
    if states[#states] ~= said(name) then states[#states + 1] = said(name) end
  end
end

-- What is done ------------------------------------------------------------------------------------

local held -- the key that is held down
function love.keyboard.isDown(key) return key == held end

local function press(key) love.event.push("keypressed", key, key, false) end

local last = 0 -- seconds that the last frame took

local function frames(n)
  for _ = 1, n do coroutine.yield() end
end

local function await(condition)
  repeat coroutine.yield() until condition()
end

local function open() return voices.open(bay.characters) end

local function silent()
  for _, character in ipairs(bay.characters) do
    if voices.speaking(character) then return false end
  end
  return true
end

local function type_in(text)
  press "return"
  frames(2)
  for letter in text:gmatch "[%z\1-\127\194-\244][\128-\191]*" do
    love.event.push("textinput", letter)
  end
  frames(2)
  press "return"
  frames(2)
end

local scenarios = {}

-- The spec holds all answers back until the game has gone on for a while. Then frames are counted while answers come,
-- and without any, in turn.
function scenarios.hail()
  for _, character in ipairs(bay.characters) do character.greeting = "[long 15]" end
  frames(10)
  press "space"
  await(function() return open() == 3 end)
  local from, time = bay.boat.x, bay.time
  held = "right"
  await(function() return bay.time - time >= 0.5 end) -- frames are as short as the machine is fast
  held = nil
  say { moved = bay.boat.x - from, time = bay.time - time, open = open(), told = told }
  local busy, idle = {}, {}
  for round = 1, 3 do
    if round > 1 then press "space" end
    await(function() return open() == 3 end)
    if round == 1 then await(function() return said "Mira" ~= "" end) end
    while open() == 3 do
      frames(1)
      busy[#busy + 1] = last
    end
    await(silent)
    frames(2)
    if round == 1 then say(told) end
    for _ = 1, 12 do
      frames(1)
      idle[#idle + 1] = last
    end
  end
  say { busy = busy, idle = idle }
end

function scenarios.show()
  local real, picture, packed = love.graphics.captureScreenshot, nil, nil
  function love.graphics.captureScreenshot(done)
    return real(function(image)
      picture, packed = image, image:encode "png"
      done(image)
    end)
  end
  frames(5)
  press "tab"
  await(function() return picture end)
  local colours, seen = 0, {}
  picture:mapPixel(function(_, _, r, g, b, a)
    local colour = ("%.3f %.3f %.3f"):format(r, g, b)
    if not seen[colour] then seen[colour], colours = true, colours + 1 end
    return r, g, b, a
  end)
  await(function() return bay.gull.line.text ~= "" and silent() end)
  frames(2)
  local file = assert(io.open(os.getenv "PICTURE", "wb"))
  file:write(packed:getString())
  file:close()
  local again = love.image.newImageData(packed)
  local width, height = love.graphics.getDimensions()
  say { width = width, height = height, colours = colours, decoded = { again:getDimensions() }, told = told.Pip }
end

function scenarios.type()
  bay.boat.x = 700
  type_in "Où est le phare ?"
  await(silent)
  frames(2)
  local first = said "Anselm"
  type_in ""
  await(silent)
  frames(2)
  say { first = first, second = said "Anselm", others = { shown.Mira ~= nil, shown.Pip ~= nil } }
end

-- The spec lets two events through.
function scenarios.hush()
  bay.gull.greeting = "[long]"
  press "return"
  frames(2)
  press "return"
  await(function() return #said "Pip" > 60 end)
  press "escape"
  frames(20)
  local before = said "Pip"
  frames(20)
  say { before = before, after = said "Pip", open = open() }
  press "escape"
  frames(100)
  say { problem = "it has not ended" }
end

function scenarios.fails()
  press "return"
  frames(2)
  press "return"
  await(function() return said "Pip" ~= "" end)
  frames(10)
  say { said = said "Pip", open = open() }
end

-- A picture for people.
function scenarios.picture()
  bay.boat.x, bay.time = 330, 5
  held = "right"
  await(function() return bay.boat.x > 345 end)
  held = nil
  frames(180)
  press "space"
  await(function() return bay.characters[3].line and #bay.characters[3].line.text > 0 end)
  press "tab"
  await(function() return bay.gull.line.shown > 108 end)
  love.graphics.captureScreenshot(function(image)
    local file = assert(io.open(os.getenv "PICTURE", "wb"))
    file:write(image:encode "png":getString())
    file:close()
  end)
  frames(2)
  say "there"
end

local scenario = coroutine.create(function()
  scenarios[os.getenv "SCENARIO"]()
  love.event.quit()
  frames(1000)
end)

local real_update = love.update
function love.update(dt)
  real_update(dt)
  last = dt
  assert(coroutine.resume(scenario))
end
