--- The programs that are measured, and how one is run: pinned to a core, alone or under a tool that counts.

local prepare = require "bench.prepare"

local programs = {}

-- The library as `make install` leaves it, which is what is measured, before the sources.
local INSTALLED = ('env "LUA_PATH=D/?.lua;D/?/init.lua;$LUA_PATH" "LUA_CPATH=D/?.so;$LUA_CPATH" ')
  :gsub("D/", prepare.dir .. "/library/")

local PROGRAMS = {
  limit = prepare.dir .. "/limit",
  ours = "lua5.4 bench/client.lua",
  start = "lua5.4 bench/start.lua",
  start_from_sources = "lua5.4 bench/start.lua",
  luasocket = "lua5.4 bench/peers/luasocket.lua",
  js = "node bench/peers/genai.cjs",
  base64 = prepare.dir .. "/base64",
  lua = "lua5.4 -e ''",
}

-- What is set for a program. It is no part of what is measured.
local ENVIRONMENTS = {
  ours = INSTALLED,
  start = INSTALLED,
  js = ("env NODE_PATH=%s/js/node_modules "):format(prepare.dir),
}

local function command_of(run, server, core)
  local words = { (ENVIRONMENTS[run.program] or "") .. ("%s/measure %d"):format(prepare.dir, core) }
  if run.traced then
    words[#words + 1] = ("strace -f -c -o %s/strace"):format(prepare.dir)
  elseif run.counted then
    words[#words + 1] = ("valgrind --tool=callgrind --callgrind-out-file=%s/callgrind --log-file=%s/valgrind.log")
      :format(prepare.dir, prepare.dir)
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

-- How many instructions callgrind has counted.
local function instructions()
  for line in io.lines(prepare.dir .. "/callgrind") do
    local total = line:match "^summary: (%d+)" or line:match "^totals: (%d+)"
    if total then
      return tonumber(total)
    end
  end
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

--- Runs a program once.
---@param name string   for messages
---@param run table     see aims.lua; traced: under strace; counted: under callgrind
---@param server table
---@param core integer
---@return table figures  what it printed, what the server counted; calls, instructions
function programs.sample(name, run, server, core)
  if run.before then
    server.get(run.before)
  end
  server.counters()
  local text = prepare.output(command_of(run, server, core))
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
  elseif run.counted then
    figures.instructions = instructions()
  end
  return figures
end

return programs
