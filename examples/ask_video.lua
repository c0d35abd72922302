-- Uploads a video once and asks about it twice: lua5.4 examples/ask_video.lua [video]
local client = require("lgemini").Client{}
local model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash"

local video = assert(client.files:upload(arg[1] or "spec/fixtures/demo.mp4"))
print(video.name .. " is " .. video.state)

local first = assert(client.models:generate_content{
  model = model,
  contents = { video, "What happens in this video?" },
})
print(first.text)

-- For 48 hours the URI is enough, in another program, too.
local second = assert(client.models:generate_content{
  model = model,
  contents = {
    { file_data = { file_uri = video.uri, mime_type = video.mime_type } },
    "What can be heard in it?",
  },
})
print(second.text)
