-- scripts/serve.lua command...: runs a command while servers on loopback give every request the same answer:
-- an object at $TEST_OBJECT_URL, an event stream at $TEST_STREAM_URL, and at $TEST_UPLOAD_URL one that does for each
-- step of an upload of $TEST_UPLOAD_FILE and for a question about it.
local digest = require "openssl.digest"
local bytes = require "spec.support.bytes"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local text = '{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"finishReason":"STOP"}]}'

local FILE = "spec/fixtures/paper.pdf"

local function serve(body, kind, upload)
  local server, answers = scripted.start(), {}
  local headers = { ["Content-Type"] = kind, ["X-Goog-Upload-Status"] = upload and "final",
    ["X-Goog-Upload-URL"] = upload and server.url .. "/upload/1" }
  for i = 1, 10000 do answers[i] = { status = 200, headers = headers, body = { bytes = body } } end
  server:script(answers)
  return server
end

local function sha256_of(path)
  local file = assert(io.open(path, "rb"))
  local sum = digest.new "sha256":final(file:read "*a")
  file:close()
  return bytes.base64(sum)
end

local object = serve(text, "application/json")
local stream = serve("data: " .. text .. "\r\n\r\ndata: " .. text .. "\r\n\r\n", "text/event-stream")
local upload = serve(text:gsub("^{", ('{"file":{"name":"files/a","uri":"https://x/v1beta/files/a","state":"ACTIVE",'
  .. '"mimeType":"text/plain","sha256Hash":"%s"},'):format(sha256_of(FILE))), "application/json", true)
local words = { "env", "TEST_OBJECT_URL=" .. object.url, "TEST_STREAM_URL=" .. stream.url,
  "TEST_UPLOAD_URL=" .. upload.url, "TEST_UPLOAD_FILE=" .. FILE }
for _, word in ipairs(arg) do words[#words + 1] = process.quote(word) end
local ok, _, status = os.execute(table.concat(words, " "))
object:stop()
stream:stop()
upload:stop()
os.exit(ok and 0 or status)
