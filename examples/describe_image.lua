-- Describes an image: lua5.4 examples/describe_image.lua [image]
local client = require("lgemini").Client{}

local response = assert(client.models:generate_content{
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  contents = {
    "Describe this image.",
    { file = arg[1] or "spec/fixtures/slide.png" },
  },
})
print(response.text)
