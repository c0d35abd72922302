-- lua5.4 bench/gates.lua: holds the library to bench/ceilings.lua. No figure depends on what else the machine does.

package.path = "./?.lua;" .. package.path
local ceilings = require "bench.ceilings"
local prepare = require "bench.prepare"
local programs = require "bench.programs"

local server = prepare.server(0)
local core = 0

local function figures(run)
  return programs.sample("gate", run, server, core)
end

local function ours(...)
  return { program = "ours", ... }
end

local function instructions(run)
  run.counted = true
  return figures(run).instructions
end

-- Of one more: what two runs of different length differ in.
local function each(make, few, many)
  return (instructions(make(many)) - instructions(make(few))) / (many - few)
end

local function events(form)
  return function(count)
    return ours("stream", "$plain", count, form)
  end
end

-- Streams at once, few enough for each event to come alone.
local TOGETHER = 5
local function together(count)
  return ours("streams", "$plain", TOGETHER, count)
end

-- The least of some runs: where the system puts what is loaded may cost a page or twenty.
local function peak(...)
  local least = math.huge
  for _ = 1, 4 do
    least = math.min(least, figures(ours(...)).process_peak)
  end
  return least
end

-- Of streams at once, each of them.
local function of_each(base, roots)
  local run = ours("streams", base, 1000, 100, roots)
  return math.min(figures(run).each, figures(run).each)
end

local function calls(megabytes)
  local run = ours("upload", "$plain", prepare.file("video", megabytes), "plain")
  run.traced = true
  return figures(run).calls
end

local large = prepare.file("image", 15)
local measures = {
  function() return calls(200) - calls(100) end,
  function() return each(events "chunks", 400, 1200) end,
  function() return each(events "texts", 400, 1200) end,
  function() return each(together, 50, 250) / TOGETHER end,
  function() return each(function(n) return ours("warm", "$plain", n) end, 50, 150) end,
  function() return instructions { program = "start", "$plain" } end,
  function() return instructions(ours "require") - instructions { program = "lua" } end,
  function() return peak "require" end,
  function() return peak("inline", "$plain", large, 2) end,
  function() return peak("inline", "$plain", large, 2) - peak("inline", "$plain", prepare.file("image", 1), 2) end,
  function() return peak("upload", "$plain", prepare.file("video", 200), "plain") end,
  function() return of_each "$plain" end,
  function() return of_each("$tls", "$roots") end,
}

local passed, failed = 0, 0
for i, gate in ipairs(ceilings) do
  local ok, value = pcall(measures[i])
  local met = ok and value <= gate.ceiling
  passed, failed = passed + (met and 1 or 0), failed + (met and 0 or 1)
  print(("%-50s %12s  at most %10.0f  %s"):format(gate.name, ok and ("%.0f"):format(value) or "?", gate.ceiling,
    met and "" or ok and "TOO MUCH" or tostring(value)))
end
server.quit()
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
