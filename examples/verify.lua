-- Asks about an image and says whether an answer came; the exit status is 1 where none did.
local client = require("lgemini").Client{}

local response = assert(client.models:generate_content{
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  contents = {
    "Describe this image in one sentence.",
    { file = arg[1] or "spec/fixtures/slide.png" },
  },
})
assert(response:check()) -- an answer that is blocked, cut or empty is an error
local text = response.text
assert(#text > 10, "the answer is too short: " .. text)

local start = text:gsub("%s+", " "):sub(1, 60):gsub("[\192-\255][\128-\191]*$", "") -- no half character
print("Multimodal API working: " .. start .. "...")
