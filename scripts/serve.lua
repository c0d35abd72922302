-- scripts/serve.lua command...: runs a command while two servers on loopback give every request the same
-- answer: an object at $TEST_OBJECT_URL, an event stream at $TEST_STREAM_URL.
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local text = '{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"finishReason":"STOP"}]}'

local function serve(body, kind)
  local server, answers = scripted.start(), {}
  for i = 1, 10000 do answers[i] = { status = 200, headers = { ["Content-Type"] = kind }, body = { bytes = body } } end
  server:script(answers)
  return server
end

local object = serve(text, "application/json")
local stream = serve("data: " .. text .. "\r\n\r\ndata: " .. text .. "\r\n\r\n", "text/event-stream")
local words = { "env", "TEST_OBJECT_URL=" .. object.url, "TEST_STREAM_URL=" .. stream.url }
for _, word in ipairs(arg) do words[#words + 1] = process.quote(word) end
local ok, _, status = os.execute(table.concat(words, " "))
object:stop()
stream:stop()
os.exit(ok and 0 or status)
