-- lua5.4 bench/client.lua <what> <base URL> ...: the library at the work that bench/limit.c does on libcurl alone.
--
-- Ceilings, clocks and checks are what they are by default. Figures are printed as lines "name value".

local gemini = require "lgemini"

local function print_figure(name, value)
  io.write(name, " ", ("%.9g"):format(value), "\n")
end

-- KiB that are resident: "VmRSS" now, "VmHWM" at most so far.
local function memory(name)
  for line in io.lines "/proc/self/status" do
    local value = line:match("^" .. name .. ":%s*(%d+)")
    if value then
      return tonumber(value)
    end
  end
end

local function report(begin, times)
  print_figure("cpu", (os.clock() - begin) / times)
  print_figure("peak", memory "VmHWM")
end

local function new_client(base, ca_path)
  return gemini.Client { api_key = "bench-bench-bench-bench", http_options = { base_url = base, ca_path = ca_path } }
end

local QUESTION = "What does this slide promise?"

local works = {}

-- `require` and nothing else.
function works.require()
  print_figure("peak", memory "VmHWM")
end

local function to_first_text(client)
  for text in client.models:generate_content_stream { model = "events-1", contents = QUESTION }:texts() do
    assert(#text > 0)
  end
end

function works.warm(base, times)
  local client = new_client(base)
  to_first_text(client)
  local begin = os.clock()
  for _ = 1, times do
    to_first_text(client)
  end
  report(begin, times)
end

-- Events as full tables, or only their texts.
function works.stream(base, count, form, times)
  local client = new_client(base)
  local begin, seen = os.clock(), 0
  for _ = 1, times or 1 do
    local stream = client.models:generate_content_stream { model = "events-" .. count, contents = QUESTION }
    if form == "texts" then
      for text in stream:texts() do
        seen = seen + (#text > 0 and 1 or 0)
      end
    else
      for chunk in stream do
        seen = seen + (chunk.usage_metadata.total_token_count > 0 and 1 or 0)
      end
    end
  end
  assert(seen == count * (times or 1), "events were lost")
  report(begin, times or 1)
end

-- The size of a file that is not needed any more.
local function size_of(path)
  local file = assert(io.open(path, "rb"))
  local size = file:seek "end"
  file:close()
  os.remove(path)
  return size
end

-- One event of so many bytes: a text, or media that goes into a directory.
function works.large(base, kind, size, media_to)
  local client = new_client(base)
  if media_to then
    os.execute(("mkdir -p '%s'"):format(media_to))
  end
  local before = memory "VmRSS"
  local begin, bytes = os.clock(), 0
  local config = media_to and { media_to = media_to } or nil
  for chunk in client.models:generate_content_stream { model = kind .. "-" .. size, contents = QUESTION,
    config = config } do
    bytes = bytes + #chunk.text
    for _, part in ipairs(chunk.media) do
      bytes = bytes + size_of(part.inline_data.path)
    end
  end
  assert(kind == "media" and bytes > size / 2 or bytes == size, "bytes were lost")
  report(begin, 1)
  print_figure("grown", memory "VmHWM" - before)
end

works["inline"] = function(base, path, times)
  local client = new_client(base)
  local function ask()
    gemini.assert(client.models:generate_content { model = "small", contents = {
      "Describe it.", { file = path, mime_type = "image/png", via = "inline" },
    } })
  end
  ask()
  local begin = os.clock()
  for _ = 1, times do
    ask()
  end
  report(begin, times)
end

function works.upload(base, path, how, ca_path)
  local client = new_client(base, ca_path)
  client.models:get "warm" -- whatever it says: the set-up is not what is measured
  local begin = os.clock()
  local file = gemini.assert(client.files:upload { file = path, verify = how == "sha256",
    config = { mime_type = "video/mp4" } })
  report(begin, 1)
  assert(file.transport.verified == (how == "sha256"), "the service's SHA-256 was not compared")
end

local function percentile_99(delays, count)
  local seen = 0
  for tenths = 0, 100000 do
    seen = seen + (delays[tenths] or 0)
    if seen * 100 >= count * 99 then
      return (tenths + 1) / 1e4
    end
  end
end

-- n streams at once, each in a task.
function works.streams(base, n, events, ca_path)
  local client = new_client(base, ca_path)
  local now, delays, seen = require("lgemini.core").now, {}, 0
  local model = ("ticks-%d-of-%d"):format(events, n)
  local function read()
    for text in client.models:generate_content_stream { model = model, contents = QUESTION }:texts() do
      local tenths = math.floor(now() * 1e4 - tonumber(text:sub(1, 16)) / 100)
      tenths = math.max(0, math.min(tenths, 100000))
      delays[tenths] = (delays[tenths] or 0) + 1
      seen = seen + 1
    end
  end
  collectgarbage()
  local begin, before = os.clock(), memory "VmRSS"
  for _ = 1, n do
    client:spawn(read)
  end
  client:run()
  print_figure("cpu", os.clock() - begin)
  print_figure("each", (memory "VmHWM" - before) / n)
  print_figure("p99", percentile_99(delays, seen))
  print_figure("events", seen)
end

local given = {}
for i = 2, #arg do
  given[i - 1] = tonumber(arg[i]) or arg[i]
end
works[arg[1]]((table.unpack or unpack)(given)) -- luacheck: ignore 143
