-- lua5.4 bench/run.lua [-peers]: runs the limits and the library side by side and says how far apart they are.
--
-- Set by the environment: AIM (its number: that one alone), ROUNDS (7), SERVER_CORE (0), CLIENT_CORE (1).

package.path = "./?.lua;" .. package.path
local aims = require "bench.aims"
local prepare = require "bench.prepare"
local report = require "bench.report"

local rounds = tonumber(os.getenv "ROUNDS" or 7)
local only = tonumber(os.getenv "AIM")
local server_core = tonumber(os.getenv "SERVER_CORE" or 0)
local client_core = tonumber(os.getenv "CLIENT_CORE" or 1)

local PROGRAMS = {
  limit = prepare.dir .. "/limit",
  ours = "lua5.4 bench/client.lua",
  luasocket = "lua5.4 bench/peers/luasocket.lua",
  js = "node bench/peers/genai.mjs",
  base64 = prepare.dir .. "/base64",
  lua = "lua5.4 -e ''",
}

local function command_of(run, server)
  local words = { ("%s/measure %d"):format(prepare.dir, client_core) }
  if run.traced then
    words[#words + 1] = ("strace -f -c -o %s/strace"):format(prepare.dir)
  end
  words[#words + 1] = PROGRAMS[run.program]
  for _, word in ipairs(run) do
    words[#words + 1] = prepare.quote((tostring(word):gsub("%$(%w+)", server)))
  end
  return table.concat(words, " ")
end

-- How many system calls strace has counted.
local function system_calls()
  local total
  for line in io.lines(prepare.dir .. "/strace") do
    total = line:match "^100%.00%s+%S+%s+%d*%s+(%d+).*total$" or total
  end
  return tonumber(total)
end

-- What has come to the server must be what was to be sent.
local function check(name, run, counters)
  for what, wanted in pairs(run.arrives or {}) do
    local enough = counters[what] == wanted or (what == "body" and counters.body >= wanted)
    if not enough then
      error(("%s: %d %s arrived, not %d"):format(name, counters[what], what, wanted), 0)
    end
  end
end

-- Runs a program once -> its figures.
local function sample(name, run, server)
  if run.before then
    server.get(run.before)
  end
  server.counters()
  local text = prepare.output(command_of(run, server))
  local figures = server.counters()
  check(name, run, figures)
  for line in text:gmatch "[^\n]+" do
    local figure, value = line:match "^([%w_]+) ([%d.e+-]+)$"
    if figure then
      figures[figure] = tonumber(value)
    end
  end
  if run.traced then
    figures.calls = system_calls()
  end
  return figures
end

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
      samples[round][name] = sample(("aim %d, %s"):format(aim.number, name), aim.runs[name], server)
    end
  end
  return samples
end

local with_peers = arg[1] == "-peers"
local server = prepare.server(server_core)
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
