--- What is in the bay, and how it moves. Nothing here knows of drawing, nor of answers.

local bay = {}

bay.WIDTH, bay.HEIGHT = 960, 600
bay.HORIZON = 318

local SHORES = { 40, 730 } -- how far the boat goes
local PUSH, DRAG = 340, 1.6

bay.characters = {
  {
    name = "Mira", x = 168, y = 404, colour = { 0.77, 0.29, 0.24 },
    persona = "You are Mira, who fishes in a small bay at dusk: dry, warm, a little superstitious about lanterns.",
    greeting = "What do you catch tonight?",
  },
  {
    name = "Pip", x = 452, y = 392, colour = { 0.16, 0.44, 0.56 },
    persona = "You are Pip, a vain gull on a buoy. You see everything, and tell it as if it were about you.",
    greeting = "What goes on in the bay?",
  },
  {
    name = "Anselm", x = 752, y = 352, colour = { 0.55, 0.37, 0.10 },
    persona = "You are Anselm, who keeps a lighthouse and has read too many books in it: kind, roundabout, precise.",
    greeting = "Will the weather hold?",
  },
}
bay.gull = bay.characters[2]

bay.boat = { x = 312, y = 452, speed = 0, heading = 1 }
bay.lanterns = {} -- on the water
bay.risen = {} -- those that the boat has picked up
bay.picked = 0
bay.time = 0

local wait = 0

local function launch(x)
  table.insert(bay.lanterns, {
    x = x, y = love.math.random(424, 490), drift = love.math.random(9, 22), phase = love.math.random() * 6,
  })
end

function bay.load()
  for x = 90, 900, 135 do
    launch(x + love.math.random(-40, 40))
  end
end

--- The character whom the boat is nearest to.
function bay.nearest()
  local nearest
  for _, character in ipairs(bay.characters) do
    if not nearest or math.abs(character.x - bay.boat.x) < math.abs(nearest.x - bay.boat.x) then
      nearest = character
    end
  end
  return nearest
end

--- How much a thing in the water is lifted where it is.
function bay.swell(x, phase)
  return math.sin(bay.time * 1.3 + x * 0.013 + (phase or 0)) * 3
end

local function sail(boat, direction, dt)
  boat.speed = boat.speed + (direction * PUSH - boat.speed * DRAG) * dt
  boat.x = boat.x + boat.speed * dt
  if boat.x < SHORES[1] or boat.x > SHORES[2] then
    boat.x = math.max(SHORES[1], math.min(SHORES[2], boat.x))
    boat.speed = 0
  end
  if direction ~= 0 then boat.heading = direction end
end

local function pick_up(lantern)
  bay.picked = bay.picked + 1
  table.insert(bay.risen, { x = lantern.x, y = lantern.y, phase = lantern.phase })
end

--- @param direction integer  -1, 0 or 1: where the boat is steered
--- @param dt number          seconds
function bay.update(direction, dt)
  dt = math.min(dt, 0.05)
  bay.time = bay.time + dt
  sail(bay.boat, direction, dt)
  for i = #bay.lanterns, 1, -1 do
    local lantern = bay.lanterns[i]
    lantern.x = lantern.x - lantern.drift * dt
    if math.abs(lantern.x - bay.boat.x) < 34 and math.abs(lantern.y - bay.boat.y) < 40 then
      pick_up(lantern)
      table.remove(bay.lanterns, i)
    elseif lantern.x < -20 then
      table.remove(bay.lanterns, i)
    end
  end
  for i = #bay.risen, 1, -1 do
    local lantern = bay.risen[i]
    lantern.y = lantern.y - 26 * dt
    lantern.x = lantern.x + math.sin(bay.time + lantern.phase) * 6 * dt
    if lantern.y < -20 then table.remove(bay.risen, i) end
  end
  wait = wait - dt
  if wait < 0 and #bay.lanterns < 9 then
    wait = love.math.random(2, 5)
    launch(bay.WIDTH + 20)
  end
end

return bay
