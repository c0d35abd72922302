-- lua5.4 bench/frames.lua: how long a frame is held up while all of this goes on at once: four streams with an event
-- every 20 ms, an upload of 1 GB, an inline request of 15 MB, an image of 4 MB that arrives, and twenty new TLS
-- connections to a server that is known. `step` has a millisecond in each of 60 frames a second; then the same work
-- runs unsliced.
--
-- Set by the environment: SERVER_CORE (0), CLIENT_CORE (1), BUDGET (0.001 seconds), ROUNDS (3).

package.path = "./?.lua;" .. package.path

local BUDGET, ROUNDS = tonumber(os.getenv "BUDGET" or 0.001), tonumber(os.getenv "ROUNDS" or 3)
local FRAME = 1 / 60
local EVENTS = 250 -- of each stream: five seconds
local UPLOAD, INLINE = 1000000000, 15000000
local CONNECTIONS = 20
local STRANGERS = 10
local LINK = 20000000 -- bytes a second

if arg[1] ~= "client" then
  local prepare = require "bench.prepare"
  local video, image, clip = prepare.file("video", 1000), prepare.file("image", 15), prepare.file("video", 100)
  local server = prepare.server(tonumber(os.getenv "SERVER_CORE" or 0), video)
  local ok = os.execute(("taskset -c %d lua5.4 bench/frames.lua client %s %s %s %s %s %s"):format(
    tonumber(os.getenv "CLIENT_CORE" or 1), server.plain, server.tls, server.roots, video, image, clip))
  server.quit()
  os.exit(ok == true or ok == 0)
end

local gemini = require "lgemini"
local median = require("bench.report").median
local pause = require("socket").sleep

local plain_url, tls_url, roots, video, image, clip = arg[2], arg[3], arg[4], arg[5], arg[6], arg[7]

local function new_client(url, ca_path)
  return gemini.Client { api_key = "bench-bench-bench-bench", http_options = { base_url = url, ca_path = ca_path } }
end

local client, known = new_client(plain_url), new_client(tls_url, roots)
local now = client.core.now
local ask = require("socket.http").request

-- What is asked for, as tasks. Each name stands for what runs when a frame takes long.
local function spawn_all()
  local tasks = {}
  local function spawn(name, fn)
    tasks[#tasks + 1] = { name = name, task = client:spawn(fn) }
  end
  for _ = 1, 4 do
    spawn("stream", function()
      local model = ("ticks-%d-of-4"):format(EVENTS)
      local stream = client.models:generate_content_stream { model = model, contents = "Go." }
      local count, chunk, err = 0, stream:next()
      while chunk do
        count = count + 1
        chunk, err = stream:next()
      end
      assert(count == EVENTS, tostring(err))
    end)
  end
  spawn("upload", function()
    gemini.assert(client.files:upload { file = video, reuse = false, config = { mime_type = "video/mp4" } })
  end)
  spawn("inline", function()
    gemini.assert(client.models:generate_content { model = "small", contents = {
      "Describe it.", { file = image, mime_type = "image/png", via = "inline" } } })
  end)
  spawn("image", function()
    local stream = client.models:generate_content_stream { model = "media-4000000", contents = "Draw." }
    local size, chunk = 0, stream:next()
    while chunk do
      for _, part in ipairs(chunk.media) do size = size + #part.inline_data.data end
      chunk = stream:next()
    end
    assert(size > 0, "no image came")
  end)
  for i = 1, CONNECTIONS do -- downloads have connections of their own, and this is the last of its
    spawn("tls", function()
      client:sleep(i * 0.2)
      gemini.assert(known.files:download { file = "files/last" })
    end)
  end
  return tasks
end

local function at(sorted, share)
  return sorted[math.max(1, math.min(#sorted, math.ceil(#sorted * share)))] * 1000
end

local function print_distribution(name, values)
  local sorted = {}
  for i, value in ipairs(values) do sorted[i] = value end
  table.sort(sorted)
  print(("%-14s median %6.3f  p99 %6.3f  p99.9 %6.3f  worst %6.3f ms"):format(name, at(sorted, 0.5), at(sorted, 0.99),
    at(sorted, 0.999), sorted[#sorted] * 1000))
  return at(sorted, 0.999), sorted[#sorted] * 1000
end

-- One `step` in each frame while tasks are left, and what `look` says to the number and the time of each.
local function play(look)
  local due, frame, left = now(), 0, true
  while left do
    local wall, cpu = now(), os.clock()
    left = client:step(BUDGET)
    frame = frame + 1
    look(frame, now() - wall, os.clock() - cpu)
    due = due + FRAME
    local rest = due - now()
    if rest > 0 then pause(rest) else due = now() end
  end
end

-- Returns seconds of CPU in all steps, of each on the wall and of CPU, and what there is to say of the worst.
local function sliced()
  local walls, cpus, worst, sum = {}, {}, { wall = 0 }, 0
  local tasks = spawn_all()
  play(function(frame, wall, cpu)
    walls[frame], cpus[frame], sum = wall, cpu, sum + cpu
    if wall > worst.wall then
      local running = {}
      for _, entry in ipairs(tasks) do
        if not entry.task.done then running[entry.name] = (running[entry.name] or 0) + 1 end
      end
      worst = { frame = frame, wall = wall, cpu = cpu, running = running }
    end
  end)
  return sum, walls, cpus, worst
end

-- The longest step of each first handshake with a server, wall and CPU. libcurl does not know that one server is behind
-- all of these paths to its authority.
local function strangers()
  local walls, cpus = {}, {}
  for i = 1, STRANGERS do
    local stranger = new_client(tls_url, roots .. ("/."):rep(i))
    stranger:spawn(function()
      gemini.assert(stranger.models:generate_content { model = "small", contents = "Hello." })
    end)
    walls[i], cpus[i] = 0, 0
    play(function(_, wall, cpu) walls[i], cpus[i] = math.max(walls[i], wall), math.max(cpus[i], cpu) end)
    stranger:close()
  end
  return walls, cpus
end

-- Which part of a link an upload of 100 MB uses, with one step in each frame. The server takes so many bytes a second.
local function filled()
  ask(plain_url .. "/shape/" .. LINK)
  local from, file = now(), nil
  client:spawn(function()
    file = gemini.assert(client.files:upload { file = clip, verify = false, reuse = false,
      config = { mime_type = "video/mp4" } })
  end)
  play(function() end)
  local seconds = now() - from
  ask(plain_url .. "/shape/0")
  assert(file, "the upload failed")
  return file.size_bytes / seconds / LINK
end

local function resident()
  for line in io.lines "/proc/self/status" do
    local value = line:match "^VmRSS:%s*(%d+)"
    if value then return tonumber(value) end
  end
end

-- n streams at once, each with so many events, one every 20 ms. Returns CPU per event and KiB per stream.
local function streams(n, events)
  local open, most, seen = 0, 0, 0
  local model = ("ticks-%d-of-%d"):format(events, n)
  collectgarbage()
  local before, begin, held = resident(), os.clock(), nil
  for _ = 1, n do
    client:spawn(function()
      local stream = client.models:generate_content_stream { model = model, contents = "Go." }
      local chunk, err = stream:next()
      open = open + 1
      most = math.max(most, open)
      if most == n and not held then held = resident() end
      while chunk do
        seen = seen + 1
        chunk, err = stream:next()
      end
      assert(not err, tostring(err))
      open = open - 1
    end)
  end
  client:run()
  assert(seen == n * events and most == n, "events were lost")
  return (os.clock() - begin) / seen, (held - before) / n
end

-- What the server counts of that name since it was asked last.
local function counters()
  local counted = {}
  for name, value in ask(plain_url .. "/counters"):gmatch "(%w+) (%d+)" do counted[name] = tonumber(value) end
  return counted
end

local function prepare()
  gemini.assert(client:prewarm())
  gemini.assert(known:prewarm())
  counters()
end

local function check_connections()
  local counted = counters()
  assert(counted.tls == CONNECTIONS, counted.tls .. " TLS connections were opened")
  return counted.resumed
end

local function unsliced()
  local cpu, wall = os.clock(), now()
  spawn_all()
  client:run()
  return os.clock() - cpu, now() - wall
end

-- CPU of the bare program that sends the file in the same slices, or at once.
local function bare(budget)
  local command = ("build/bench/limit frames %s %s %d"):format(plain_url, video, budget * 1e6)
  return tonumber(require("bench.prepare").output(command):match "cpu (%S+)")
end

local function print_worst(worst)
  local running = {}
  for name, count in pairs(worst.running) do running[#running + 1] = count .. " " .. name end
  table.sort(running)
  print(("worst frame: number %d, %.3f ms of CPU, with these under way: %s"):format(worst.frame, worst.cpu * 1000,
    table.concat(running, ", ")))
end

local BYTES = UPLOAD + INLINE

-- One round: p99.9 and worst step in ms, sliced over unsliced, and the same of the bare program. What is measured with
-- what is not far from each other, and in the other order every second time.
local function play_round(round)
  local whole_cpu, whole_wall
  local function whole()
    prepare()
    whole_cpu, whole_wall = unsliced()
    check_connections()
  end
  if round % 2 == 0 then whole() end
  prepare()
  local cpu, walls, cpus, worst = sliced()
  local resumed = check_connections()
  if round % 2 == 1 then whole() end
  print(("%d frames with step(%g); the work: %d MB up, %d events, 4 MB down, %d TLS connections, %d of them resumed")
    :format(#walls, BUDGET, BYTES / 1000000, 4 * EVENTS, CONNECTIONS, resumed))
  local p999, most = print_distribution("step, wall", walls)
  print_distribution("step, CPU", cpus)
  print_worst(worst)
  local yardstick = bare(0) / bare(BUDGET)
  print(("bytes per CPU second: sliced %.0f MB, unsliced %.0f MB (%.2f s on the wall); ratio %.2f; bare program %.2f")
    :format(BYTES / cpu / 1e6, BYTES / whole_cpu / 1e6, whole_wall, whole_cpu / cpu, yardstick))
  return p999, most, whole_cpu / cpu, yardstick
end

local p999s, worsts, ratios, yardsticks = {}, {}, {}, {}
for round = 1, ROUNDS do
  p999s[round], worsts[round], ratios[round], yardsticks[round] = play_round(round)
end

local function judge(name, value, aim, met, least, most)
  local range = least and (" [%.2f-%.2f]"):format(least, most) or ""
  print(("%-36s %6.2f  aim %5.2f  %s%s"):format(name, value, aim, met and "met" or "MISSED", range))
end
local function judge_rounds(name, list, aim, at_least)
  local value, least, most = median(list)
  judge(name, value, aim, at_least and value >= aim or not at_least and value <= aim, least, most)
end
print(("medians of %d rounds:"):format(ROUNDS))
judge_rounds("p99.9 of step, ms, at most", p999s, 2)
judge_rounds("worst step, ms, at most", worsts, 4)
judge_rounds("bytes per CPU second, at least", ratios, 0.8, true)
print(("%-36s %6.2f  [%.2f-%.2f]"):format("the same of the bare program", median(yardsticks)))

local stranger_walls, stranger_cpus = strangers()
print(("beside that, the longest step of each of %d handshakes with a server that is not known:"):format(STRANGERS))
print_distribution("step, wall", stranger_walls)
print_distribution("step, CPU", stranger_cpus)

local share = filled()
judge("part of a link of 20 MB/s, at least", share, 0.95, share >= 0.95)
local one = streams(1, 250)
local each, kib = streams(1000, 100)
print(("streams: one %.1f us of CPU per event, 1,000 at once %.1f us and %.1f KiB each"):format(one * 1e6, each * 1e6,
  kib))
judge("CPU per event, 1,000 to one, at most", each / one, 1.5, each / one <= 1.5)
