-- Writes down what is said in a recording: lua5.4 examples/transcribe.lua [recording]
local client = require("lgemini").Client{}

local response = assert(client.models:generate_content{
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  contents = {
    "Transcribe this recording.",
    { file = arg[1] or "spec/fixtures/call.mp3" },
  },
})
print(response.text)
