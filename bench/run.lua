-- lua5.4 bench/run.lua [-peers]: runs the limits and the library side by side and says how far apart they are.
--
-- Set by the environment: AIM (its number: that one alone), ROUNDS (7), SERVER_CORE (0), CLIENT_CORE (1).

package.path = "./?.lua;" .. package.path
local aims = require "bench.aims"
local prepare = require "bench.prepare"
local programs = require "bench.programs"
local report = require "bench.report"

local rounds = tonumber(os.getenv "ROUNDS" or 7)
local only = tonumber(os.getenv "AIM")
local server_core = tonumber(os.getenv "SERVER_CORE" or 0)
local client_core = tonumber(os.getenv "CLIENT_CORE" or 1)

-- In every round each program runs once; every other round goes backwards.
local function measure(aim, server)
  local samples, names = {}, {}
  for name in pairs(aim.runs) do
    names[#names + 1] = name
  end
  table.sort(names)
  for round = 1, aim.once and 1 or rounds do
    samples[round] = {}
    for i = 1, #names do
      local name = names[round % 2 == 0 and #names + 1 - i or i]
      local label = ("aim %d, %s"):format(aim.number, name)
      samples[round][name] = programs.sample(label, aim.runs[name], server, client_core)
    end
  end
  return samples
end

local with_peers = arg[1] == "-peers"
local server = prepare.server(server_core, prepare.file("video", 1000))
local all = {}
report.head(rounds)
for _, aim in ipairs(aims(prepare, with_peers)) do
  if not only or aim.number == only then
    local ok, problem = pcall(function()
      local results = report.aim(aim, measure(aim, server))
      all[#all + 1] = { aim = aim, results = results }
    end)
    if not ok then
      report.failure(aim, problem)
    end
  end
end
server.quit()
report.sum(all)
if not only and not with_peers then
  require("bench.plot").write(all, "bench/plot")
end
