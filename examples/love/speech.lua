--- Draws what is said: a bubble above each character who speaks.

local bay = require "bay"
local voices = require "voices"

local speech = {}

local g = love.graphics
local WIDTH, PAD, LINES = 262, 12, 10 -- LINES: what a bubble shows of a long answer is its end
local name_font, question_font, font

function speech.load()
  name_font, question_font, font = g.newFont(12), g.newFont(11), g.newFont(13)
end

-- Lines of a text that fit into a bubble; of many, the last ones.
local function wrap(text)
  local _, lines = font:getWrap(text, WIDTH - 2 * PAD)
  while #lines > LINES do
    table.remove(lines, 1)
  end
  return lines
end

-- Shortened to one line.
local function short(text, room)
  local _, lines = question_font:getWrap(text, room)
  return #lines > 1 and lines[1]:gsub("%s+$", "") .. "…" or text
end

local function box(character, x, y, height)
  g.setColor(0.05, 0.05, 0.12, 0.28)
  g.rectangle("fill", x + 2, y + 4, WIDTH, height, 10)
  g.setColor(0.99, 0.97, 0.93, 0.97)
  g.rectangle("fill", x, y, WIDTH, height, 10)
  local tip = math.max(x + 20, math.min(x + WIDTH - 20, character.x))
  g.polygon("fill", tip - 9, y + height - 1, tip + 9, y + height - 1, character.x, y + height + 12)
end

-- While nothing has come yet.
local function draw_dots(x, y)
  for i = 0, 2 do
    g.setColor(0.25, 0.25, 0.32, 0.35 + 0.5 * math.max(0, math.sin(bay.time * 5 - i * 0.9)))
    g.circle("fill", x + 5 + i * 13, y + 9, 3.5)
  end
end

local function draw_bubble(character, line)
  local said = line.text:sub(1, line.shown)
  local lines = wrap(line.problem and line.shown == #line.text and said .. " [" .. line.problem .. "]" or said)
  local leading = font:getHeight() + 2
  local height = PAD + 18 + math.max(#lines, 1) * leading + PAD
  local x = math.max(10, math.min(bay.WIDTH - 10 - WIDTH, character.x - WIDTH / 2))
  local y = character.y - 66 - height
  box(character, x, y, height)
  x, y = x + PAD, y + PAD - 3

  g.setColor(unpack(character.colour))
  g.setFont(name_font)
  g.print(character.name, x, y)
  local name_width = name_font:getWidth(character.name) + 8
  g.setColor(0.25, 0.25, 0.32, 0.6)
  g.setFont(question_font)
  g.print(short(line.question, WIDTH - 2 * PAD - name_width), x + name_width, y + 1)

  g.setColor(0.13, 0.13, 0.2)
  g.setFont(font)
  for i, text in ipairs(lines) do
    g.print(text, x, y + 20 + (i - 1) * leading)
  end
  if said == "" and not line.problem then draw_dots(x, y + 20) end
end

function speech.draw()
  for _, character in ipairs(bay.characters) do
    local line = character.line
    if line and (voices.speaking(character) or line.text ~= "" or line.problem) then
      draw_bubble(character, line)
    end
  end
end

return speech
