-- What a world of host.c runs: two characters speak at once, in slices of a millisecond.
local name = ...
local client = require("lgemini").Client{}
local model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash"

local function say(text)
  io.write(name .. "\t" .. text .. "\n") -- at once: `print` would mix with the other world's
end

client:spawn(function()
  local contents = "Tell a long story of a " .. name .. "."
  local stream = client.models:generate_content_stream{ model = model, contents = contents }
  local chunk, err = stream:next() -- where the Lua is not 5.1, a `for` does, too
  while chunk do
    say(chunk.text)
    chunk, err = stream:next()
  end
  assert(not err, tostring(err))
end)

client:spawn(function()
  local contents = { "What is on this picture?", { file = "spec/fixtures/slide.png" } }
  local response, err = client.models:generate_content{ model = model, contents = contents }
  say(response and response.text or tostring(err))
end)

return function() -- a frame; false when all is said
  return client:step(0.001)
end
