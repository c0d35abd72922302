--- build/host spec/support/forking.lua URL CA_FILE: forks in the middle of a stream. It says a line for each thing that
-- the child sees, then "ended"; the rest of the stream is to come after that only.
local gemini = require "lgemini"
local host = require "host"

local MODEL, SECONDS = "gemini-3.5-flash", 20
local url, ca_file = arg[1], arg[2]

local function new_client()
  return gemini.Client { api_key = "k", http_options = { base_url = url, ca_file = ca_file, timeout = SECONDS,
    retry_options = false } }
end

local function say(what, value)
  print(what .. ": " .. tostring(value))
  io.stdout:flush()
end

local client = new_client()
local function ask(of)
  return gemini.assert(of.models:generate_content { model = MODEL, contents = "Hello." }).text
end

local stream = client.models:generate_content_stream { model = MODEL, contents = "Go." }
say("parent", gemini.assert(stream:next()).text)
local moved = false
client:spawn(function() moved = true end)

local child = host.fork()
if not child then
  for _, case in ipairs {
    { "call", function() return ask(client) end },
    { "stream", function() return stream:next() end },
    { "step", function() return client:step(0) end },
    { "run", function() return client:run() end },
    { "sleep", function() return client:sleep(0) end },
  } do
    local ok, problem = pcall(case[2])
    say(case[1], ok and "done" or problem)
  end
  say("moved", moved)
  say("child", ask(new_client()))
  os.exit(0, true) -- closes the Lua state, with all that it has of its parent's
end
say("ended", host.wait(child))
say("rest", gemini.assert(stream:next()).text)
say("end", stream:next())
say("again", ask(client))
client:close()
