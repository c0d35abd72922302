--- Lantern Bay, a small game whose characters answer with Gemini: `love examples/love`. See README.md.

-- Where the game is given away, the library's core lies beside it: see README.md.
package.cpath = love.filesystem.getSourceBaseDirectory() .. "/?.so;" .. package.cpath

local bay = require "bay"
local meter = require "meter"
local scene = require "scene"
local speech = require "speech"
local utf8 = require "utf8"
local voices = require "voices"

local g = love.graphics
local LONGEST = 60 -- characters that may be typed
local LOOK = "What do you see in this picture of the bay?"
local typed -- what the player is typing, nil while the keys steer
local title_font, panel_font

function love.load()
  love.keyboard.setKeyRepeat(true)
  title_font, panel_font = g.newFont(20), g.newFont(12)
  bay.load()
  scene.load()
  speech.load()
  voices.load()
end

local function steered()
  if typed then return 0 end
  return (love.keyboard.isDown "right" and 1 or 0) - (love.keyboard.isDown "left" and 1 or 0)
end

function love.update(dt)
  bay.update(steered(), dt)
  local begin = love.timer.getTime()
  voices.step()
  meter.add(dt, love.timer.getTime() - begin)
  voices.update(bay.characters, dt)
end

-- Keys -------------------------------------------------------------------------------------------

local keys = {}

keys["return"] = function() typed = "" end

function keys.space()
  for _, character in ipairs(bay.characters) do
    voices.ask(character, character.greeting)
  end
end

function keys.tab() voices.show(bay.gull, LOOK) end

function keys.escape()
  if not voices.hush(bay.characters) then love.event.quit() end
end

local typing = {}

typing["return"] = function()
  local character = bay.nearest()
  voices.ask(character, typed:find "%S" and typed or character.greeting)
  typed = nil
end

function typing.backspace()
  local last = utf8.offset(typed, -1)
  if last then typed = typed:sub(1, last - 1) end
end

function typing.escape() typed = nil end

function love.keypressed(key)
  local action = (typed and typing or keys)[key]
  if action then action() end
end

function love.textinput(text)
  if typed and utf8.len(typed) < LONGEST then typed = typed .. text end
end

-- Drawing ----------------------------------------------------------------------------------------

local PALE = { 0.95, 0.93, 0.88 }

local function ink(alpha) g.setColor(PALE[1], PALE[2], PALE[3], alpha) end

local function panel(x, y, w, h)
  g.setColor(0.05, 0.06, 0.14, 0.72)
  g.rectangle("fill", x, y, w, h, 8)
end

local HELP = {
  { "left, right", "sail; pick up lanterns" },
  { "Enter", "say something to %s" },
  { "Space", "hail all three at once" },
  { "Tab", "let Pip look at the screen" },
  { "Esc", "silence; again: leave" },
}

local function draw_help(x, y)
  g.setFont(panel_font)
  for i, row in ipairs(HELP) do
    local top = y + (i - 1) * 19
    ink(0.95)
    g.print(row[1], x, top)
    ink(0.7)
    g.print(row[2]:format(bay.nearest().name), x + 86, top)
  end
end

local function draw_typing(x, y, w)
  g.setFont(panel_font)
  ink(0.7)
  g.print(("To %s (Enter sends, Esc drops it):"):format(bay.nearest().name), x, y)
  ink(0.95)
  g.printf(typed .. (love.timer.getTime() % 1 < 0.5 and "|" or ""), x, y + 24, w)
end

local function draw_title()
  g.setFont(title_font)
  ink(0.95)
  g.print("Lantern Bay", 20, 14)
  g.setFont(panel_font)
  ink(0.8)
  local open = voices.open(bay.characters)
  g.print("Lanterns: " .. bay.picked, 21, 42)
  g.print(open == 0 and "" or "Answers on their way: " .. open, 121, 42)
end

function love.draw()
  scene.draw(bay.nearest())
  speech.draw()
  draw_title()
  panel(14, 482, 318, 106)
  if typed then draw_typing(28, 492, 290) else draw_help(28, 490) end
  panel(634, 482, 312, 106)
  meter.draw(panel_font, 648, 488, 284)
end

function love.quit()
  voices.close()
end
