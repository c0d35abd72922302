--- How long frames take, and how much of that is spent in `client:step`.

local meter = {}

local FRAMES = 180 -- three seconds' worth
local frames, steps, last = {}, {}, 0 -- seconds, in rings

--- Notes a frame.
function meter.add(frame, step)
  last = last % FRAMES + 1
  frames[last], steps[last] = frame, step
end

-- In milliseconds.
local function mean_and_worst(ring)
  local sum, worst = 0, 0
  for _, seconds in ipairs(ring) do
    sum, worst = sum + seconds, math.max(worst, seconds)
  end
  return sum / math.max(#ring, 1) * 1000, worst * 1000
end

-- One graph: the oldest on the left, a line where the limit is.
local function graph(x, y, w, h, ring, options)
  local bar = w / FRAMES
  love.graphics.setColor(1, 1, 1, 0.05)
  love.graphics.rectangle("fill", x, y, w, h, 3)
  for i = 1, FRAMES do
    local seconds = ring[(last + i - 1) % FRAMES + 1] or 0
    local height = math.min(seconds / options.scale, 1) * h
    local r, g, b = unpack(seconds > options.limit and options.over or options.colour)
    love.graphics.setColor(r, g, b, 0.9)
    love.graphics.rectangle("fill", x + (i - 1) * bar, y + h - height, bar, height)
  end
  love.graphics.setColor(1, 1, 1, 0.35)
  local line = y + h - options.limit / options.scale * h
  for dash = x, x + w - 4, 8 do
    love.graphics.line(dash, line, dash + 4, line)
  end
end

local function label(font, x, y, w, name, value)
  love.graphics.setFont(font)
  love.graphics.setColor(0.95, 0.93, 0.88, 0.95)
  love.graphics.print(name, x, y)
  love.graphics.setColor(0.95, 0.93, 0.88, 0.7)
  love.graphics.printf(value, x, y, w, "right")
end

local FRAME = { scale = 1 / 30, limit = 1 / 60 + 0.002, colour = { 0.45, 0.72, 0.86 }, over = { 0.93, 0.45, 0.35 } }
local STEP = { scale = 0.002, limit = 0.001, colour = { 0.98, 0.77, 0.38 }, over = { 0.93, 0.45, 0.35 } }

--- Draws both graphs, one above the other, 96 pixels high in all.
function meter.draw(font, x, y, w)
  local mean, worst = mean_and_worst(frames)
  label(font, x, y, w, "frame", ("%.1f ms, worst %.1f"):format(mean, worst))
  graph(x, y + 17, w, 26, frames, FRAME)
  mean, worst = mean_and_worst(steps)
  label(font, x, y + 50, w, "client:step(0.001)", ("%.2f ms, worst %.2f"):format(mean, worst))
  graph(x, y + 67, w, 26, steps, STEP)
end

return meter
