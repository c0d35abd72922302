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

-- In every round each program runs once; every other round goes backwards. -> the figures of each run in each round,
-- and why a run has none.
local function measure(aim, server)
  local samples, names, failures = {}, {}, {}
  for name in pairs(aim.runs) do
    names[#names + 1] = name
  end
  table.sort(names)
  for round = 1, rounds do
    samples[round] = {}
    for i = 1, #names do
      local name = names[round % 2 == 0 and #names + 1 - i or i]
      if not failures[name] then
        local label = ("aim %d, %s"):format(aim.number, name)
        local ok, figures = pcall(programs.sample, label, aim.runs[name], server, client_core)
        samples[round][name] = ok and figures or nil
        failures[name] = not ok and tostring(figures) or nil
      end
    end
  end
  return samples, failures
end

local with_peers = arg[1] == "-peers"
local server = prepare.server(server_core, prepare.file("video", 1000))
local all = {}
report.head(rounds)
for _, aim in ipairs(aims(prepare, with_peers)) do
  if not only or aim.number == only then
    all[#all + 1] = { aim = aim, results = report.aim(aim, measure(aim, server)) }
  end
end
server.quit()
report.sum(all)
if not only and not with_peers then
  require("bench.plot").write(all, "bench/plot")
end
