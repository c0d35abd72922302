--- Draws the bay. What does not move is painted once.

local bay = require "bay"

local scene = {}

local W, H, HORIZON = bay.WIDTH, bay.HEIGHT, bay.HORIZON
local g = love.graphics

local SUN = 602 -- where it goes down
local SHORE = { x = 680, y = 120 } -- the part of the screen where there is one

local backdrop, shore, beam, glow

-- Helpers ----------------------------------------------------------------------------------------

local function colour(r, gr, b, a) g.setColor(r / 255, gr / 255, b / 255, a or 1) end

-- A strip from top to bottom through colours: { share of the height, red, green, blue, alpha }, ...
local function gradient(x, y, w, h, stops)
  local vertices = {}
  for _, stop in ipairs(stops) do
    local share, r, gr, b, a = unpack(stop)
    for _, edge in ipairs { x, x + w } do
      table.insert(vertices, { edge, y + share * h, 0, 0, r / 255, gr / 255, b / 255, a or 1 })
    end
  end
  return g.newMesh(vertices, "strip", "static")
end

-- A soft round light, white: scaled and coloured where it is drawn.
local function new_glow()
  local data = love.image.newImageData(64, 64)
  data:mapPixel(function(x, y)
    local away = math.min(1, math.sqrt((x - 31.5) ^ 2 + (y - 31.5) ^ 2) / 31.5)
    return 1, 1, 1, (1 - away) ^ 2
  end)
  return g.newImage(data)
end

local function shine(x, y, radius, r, gr, b, a)
  g.setBlendMode "add"
  colour(r, gr, b, a)
  g.draw(glow, x, y, 0, radius / 32, radius / 32, 32, 32)
  g.setBlendMode "alpha"
end

-- The backdrop -----------------------------------------------------------------------------------

local function paint_sky()
  g.setColor(1, 1, 1)
  g.draw(gradient(0, 0, W, HORIZON, {
    { 0, 18, 22, 52 }, { 0.45, 52, 46, 98 }, { 0.75, 140, 78, 118 }, { 0.92, 226, 122, 104 }, { 1, 250, 178, 120 },
  }))
  local random = love.math.newRandomGenerator(7)
  for _ = 1, 110 do
    local y = random:random(0, 190)
    colour(255, 250, 235, (1 - y / 200) * random:random())
    g.circle("fill", random:random(0, W), y, random:random() < 0.12 and 1.5 or 0.9)
  end
  shine(SUN, HORIZON - 8, 380, 255, 150, 90, 0.8)
  colour(255, 226, 170)
  g.circle("fill", SUN, HORIZON - 8, 44)
end

-- A ridge of hills along the horizon.
local function paint_hills(seed, height, r, gr, b)
  colour(r, gr, b)
  local step = 8
  for x = 0, W, step do
    local function top(at) -- with a gap where the sun is
      local gap = 1 - 0.9 * math.exp(-((at - SUN) / 80) ^ 2)
      return HORIZON - height * gap * (0.25 + love.math.noise(at * 0.0052, seed))
    end
    g.polygon("fill", x, HORIZON, x, top(x), x + step, top(x + step), x + step, HORIZON)
  end
end

local function paint_rock()
  colour(38, 34, 52)
  g.polygon("fill", 690, 392, 706, 372, 728, 364, 770, 361, 806, 338, 852, 326, 906, 318, W, 312, W, 392)
  colour(58, 50, 68)
  g.polygon("fill", 728, 364, 770, 361, 806, 338, 852, 326, 906, 318, W, 312, W, 322, 900, 331, 850, 342, 812, 354,
    784, 370, 745, 371)
end

local TOWER = { x = 918, top = 168, base = 322 }

local function paint_lighthouse()
  local x, top, base = TOWER.x, TOWER.top, TOWER.base
  local function half(y) return 12 + 9 * (y - top) / (base - top) end
  local bands = 5
  for i = 0, bands - 1 do
    local from, to = top + (base - top) * i / bands, top + (base - top) * (i + 1) / bands
    if i % 2 == 0 then colour(232, 222, 214) else colour(186, 66, 62) end
    g.polygon("fill", x - half(from), from, x + half(from), from, x + half(to), to, x - half(to), to)
  end
  colour(20, 18, 40, 0.28) -- the side away from the sun
  g.polygon("fill", x + 3, top, x + half(top), top, x + half(base), base, x + 5, base)
  colour(40, 36, 56)
  g.rectangle("fill", x - 18, top - 4, 36, 5)
  colour(255, 224, 150)
  g.rectangle("fill", x - 9, top - 24, 18, 20)
  colour(40, 36, 56)
  for edge = -9, 9, 6 do
    g.rectangle("fill", x + edge - 0.75, top - 24, 1.5, 20)
  end
  colour(150, 52, 54)
  g.polygon("fill", x - 13, top - 24, x + 13, top - 24, x, top - 40)
  colour(255, 214, 130)
  g.rectangle("fill", x - 4, base - 60, 7, 10, 2)
  g.rectangle("fill", x - 4, base - 118, 6, 9, 2)
end

local function paint_sea()
  g.setColor(1, 1, 1)
  g.draw(gradient(0, HORIZON, W, H - HORIZON, {
    { 0, 214, 130, 112 }, { 0.08, 142, 88, 112 }, { 0.3, 64, 58, 98 }, { 0.65, 30, 38, 74 }, { 1, 14, 20, 44 },
  }))
end

local function paint_backdrop()
  local canvas = g.newCanvas(W, H, { msaa = 4 })
  canvas:setFilter("nearest", "nearest")
  g.setCanvas(canvas)
  g.clear(0, 0, 0, 0)
  paint_sky()
  paint_hills(3.1, 92, 96, 66, 108)
  paint_hills(9.7, 54, 66, 50, 90)
  paint_sea()
  g.setCanvas()
  return canvas
end

local function paint_shore()
  local canvas = g.newCanvas(W - SHORE.x, 280, { msaa = 4 })
  canvas:setFilter("nearest", "nearest")
  g.setCanvas(canvas)
  g.clear(0, 0, 0, 0)
  g.push()
  g.translate(-SHORE.x, -SHORE.y)
  paint_rock()
  paint_lighthouse()
  g.pop()
  g.setCanvas()
  return canvas
end

function scene.load()
  glow = new_glow()
  backdrop = paint_backdrop()
  shore = paint_shore()
  beam = g.newMesh({
    { 0, 0, 0, 0, 1, 0.93, 0.72, 0.55 }, { 1, -0.16, 0, 0, 1, 0.93, 0.72, 0 }, { 1, 0.16, 0, 0, 1, 0.93, 0.72, 0 },
  }, "fan", "static")
end

-- What moves -------------------------------------------------------------------------------------

local function draw_water()
  for row = 0, 22 do -- waves, longer and farther apart towards us
    local near = row / 22
    local y = HORIZON + 5 + near * near * 236 + near * 30
    local width = 8 + near * 46
    for i = 0, 9 do
      local x = (i * 113 + row * 71 + bay.time * (5 + near * 22)) % (W + 120) - 60
      local light = 0.05 + 0.10 * (1 + math.sin(bay.time * 1.1 + i * 2 + row))
      colour(255, 206, 176, light * (1 - near * 0.55))
      g.rectangle("fill", x, y + math.sin(bay.time + x * 0.02) * 2, width, 1 + near, 1)
    end
  end
  for row = 0, 17 do -- the sun's way
    local near = row / 17
    local width = (70 - near * 16) * (0.55 + 0.45 * math.sin(bay.time * 2.1 + row * 1.7))
    colour(255, 206, 140, 0.55 * (1 - near))
    g.rectangle("fill", SUN - width / 2 + math.sin(bay.time + row) * 7, HORIZON + 3 + row * 8, width, 2, 1)
  end
end

-- The light goes round: seen from here it swings from one side to the other, and fades where it points at us or away.
local function draw_beam()
  local x, y = TOWER.x, TOWER.top - 14
  local turn = bay.time * 0.55
  local across = math.cos(turn)
  g.setBlendMode "add"
  g.setColor(1, 1, 1, 0.75 * math.abs(across))
  g.draw(beam, x, y, across > 0 and 0 or math.pi, 820 * math.abs(across), 520)
  g.setBlendMode "alpha"
  shine(x, y, 60 + 60 * math.max(0, math.sin(turn)), 255, 222, 150, 0.9)
end

local function draw_lantern(lantern, y)
  local flicker = 0.8 + 0.2 * math.sin(bay.time * 5 + lantern.phase * 3)
  shine(lantern.x, y, 44, 255, 160, 70, 0.6 * flicker)
  colour(255, 196, 110)
  g.rectangle("fill", lantern.x - 5, y - 9, 10, 12, 3)
  colour(255, 240, 200, flicker)
  g.rectangle("fill", lantern.x - 2.5, y - 5, 5, 7, 2)
end

local function draw_floating(lantern)
  local y = lantern.y + bay.swell(lantern.x, lantern.phase)
  colour(255, 180, 100, 0.22)
  g.ellipse("fill", lantern.x, y + 8, 15, 3)
  draw_lantern(lantern, y)
  colour(70, 46, 52)
  g.rectangle("fill", lantern.x - 8, y + 3, 16, 3, 1.5)
end

local function hull(x, y, w, h, r, gr, b)
  colour(r, gr, b)
  g.polygon("fill", x - w / 2, y, x + w / 2, y, x + w / 2 - h, y + h, x - w / 2 + h, y + h)
  colour(255, 230, 200, 0.35)
  g.rectangle("fill", x - w / 2, y, w, 2)
  colour(10, 14, 34, 0.35)
  g.ellipse("fill", x, y + h, w * 0.46, 3.5)
end

local function person(x, y, coat, hat)
  colour(unpack(coat))
  g.polygon("fill", x - 9, y, x + 9, y, x + 6, y - 22, x - 6, y - 22)
  colour(236, 190, 158)
  g.circle("fill", x, y - 28, 6.5)
  colour(unpack(hat))
  g.arc("fill", x, y - 30, 7.2, math.pi, 2 * math.pi)
  g.rectangle("fill", x - 9, y - 31, 18, 2.5, 1)
end

local function draw_mira(character)
  local x, y = character.x, character.y + bay.swell(character.x)
  colour(200, 190, 190, 0.8)
  g.setLineWidth(1.2)
  g.line(x + 14, y - 16, x + 54, y - 50)
  colour(230, 225, 225, 0.45)
  g.setLineWidth(0.8)
  g.line(x + 54, y - 50, x + 62, y + 18 + bay.swell(x, 2))
  person(x, y, { 196, 74, 62 }, { 236, 200, 96 })
  hull(x, y - 4, 84, 17, 92, 58, 52)
end

local function draw_gull(character)
  local x, y = character.x, character.y + bay.swell(character.x)
  colour(10, 14, 34, 0.35)
  g.ellipse("fill", x, y + 22, 22, 4)
  colour(190, 62, 56)
  g.polygon("fill", x - 18, y + 20, x + 18, y + 20, x + 8, y - 12, x - 8, y - 12)
  colour(236, 228, 220)
  g.polygon("fill", x - 14.5, y + 9, x + 14.5, y + 9, x + 11.5, y, x - 11.5, y)
  colour(60, 52, 64)
  g.rectangle("fill", x - 8, y - 15, 16, 3)
  local nod = math.sin(bay.time * 1.7) * 1.5
  colour(240, 164, 70)
  g.rectangle("fill", x - 3, y - 21, 1.5, 6)
  g.rectangle("fill", x + 2, y - 21, 1.5, 6)
  colour(246, 243, 238)
  g.ellipse("fill", x, y - 27, 13, 8)
  g.circle("fill", x + 10, y - 37 + nod, 6)
  g.polygon("fill", x + 5, y - 37 + nod, x + 14, y - 32 + nod, x + 10, y - 24, x + 2, y - 28)
  colour(150, 158, 176)
  g.polygon("fill", x - 20, y - 24, x - 4, y - 33, x + 6, y - 27, x - 4, y - 22)
  colour(245, 170, 60)
  g.polygon("fill", x + 15, y - 39 + nod, x + 23, y - 36 + nod, x + 15, y - 34.5 + nod)
  colour(30, 30, 40)
  g.circle("fill", x + 11.5, y - 38.5 + nod, 1.2)
end

local function draw_keeper(character)
  local x, y = character.x, character.y + 12
  person(x, y, { 44, 60, 92 }, { 28, 34, 56 })
  colour(226, 222, 220)
  g.polygon("fill", x - 5, y - 27, x + 5, y - 27, x, y - 17)
  colour(70, 56, 56)
  g.rectangle("fill", x - 16, y - 14, 1.5, 5)
  draw_lantern({ x = x - 15, phase = 1 }, y - 1)
end

local drawers = { Mira = draw_mira, Pip = draw_gull, Anselm = draw_keeper }

local function draw_boat(boat)
  local x, y, way = boat.x, boat.y + bay.swell(boat.x, 1), boat.heading
  local lean = boat.speed * 0.0004
  g.push()
  g.translate(x, y)
  g.rotate(lean)
  colour(84, 58, 50)
  g.rectangle("fill", -1.5, -74, 3, 74)
  colour(246, 232, 208)
  g.polygon("fill", 3 * way, -72, 3 * way, -10, 37 * way, -12)
  colour(232, 206, 172)
  g.polygon("fill", -3 * way, -62, -3 * way, -10, -25 * way, -12)
  colour(196, 74, 62)
  g.polygon("fill", 0, -74, 0, -83, -13 * way, -78.5 + math.sin(bay.time * 6) * 1.5)
  person(-14 * way, -2, { 60, 96, 104 }, { 240, 232, 220 })
  g.pop()
  hull(x, y - 4, 92, 18, 46, 68, 92)
  colour(255, 240, 225, math.min(0.5, math.abs(boat.speed) / 300))
  g.ellipse("fill", x - 52 * way, y + 14, 16, 2.5)
end

-- A mark above the one who would be spoken to.
local function draw_mark(character)
  local y = character.y - 52 + math.sin(bay.time * 4) * 2
  colour(255, 226, 150, 0.95)
  g.polygon("fill", character.x - 6, y, character.x + 6, y, character.x, y + 7)
end

--- @param marked table|nil  the character whom the player would speak to
function scene.draw(marked)
  g.setColor(1, 1, 1)
  g.setBlendMode("replace", "premultiplied")
  g.draw(backdrop)
  g.setBlendMode("alpha", "alphamultiply")
  draw_water()
  g.setColor(1, 1, 1)
  g.setBlendMode("alpha", "premultiplied")
  g.draw(shore, SHORE.x, SHORE.y)
  g.setBlendMode("alpha", "alphamultiply")
  draw_beam()
  for _, lantern in ipairs(bay.risen) do
    draw_lantern(lantern, lantern.y)
  end
  for _, character in ipairs(bay.characters) do
    drawers[character.name](character)
  end
  if marked then draw_mark(marked) end
  for _, lantern in ipairs(bay.lanterns) do
    draw_floating(lantern)
  end
  draw_boat(bay.boat)
end

return scene
