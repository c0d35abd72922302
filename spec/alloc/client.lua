-- A call with bytes in it, the same as a stream, and a stream that is dropped half read.
local gemini = require "lgemini"
local object, stream = assert(os.getenv "TEST_OBJECT_URL"), assert(os.getenv "TEST_STREAM_URL")

-- What loads on first use, so that loading is no part of the run.
for name in ("client tasks models stream attach answer endpoints"):gmatch "%a+" do require("lgemini." .. name) end

local function client(url)
  return gemini.Client { api_key = "none", http_options = { base_url = url, retry_options = false } }
end

local request = {
  model = "some-model",
  contents = { "Say hello.", { inline_data = { mime_type = "image/png", data = ("\0\255bytes"):rep(200) } } },
}

return function()
  local one = client(object)
  local response = gemini.assert(one.models:generate_content(request))
  assert(response.text == "hello" and response.candidates[1].finish_reason == "STOP")
  one:close()

  local other, text = client(stream), ""
  for chunk in other.models:generate_content_stream(request) do text = text .. chunk.text end
  assert(text == "hellohello")
  other:close()

  other = client(stream) -- a new connection: a kept one waits for delayed acknowledgements
  gemini.assert(other.models:generate_content_stream(request):next())
  other:close()
end
