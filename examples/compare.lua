-- One request twice: with the media sent as `auto` decides, and with all of them uploaded first.
local client = require("lgemini").Client{}
local media = { "spec/fixtures/slide.png", "spec/fixtures/call.mp3", "spec/fixtures/demo.mp4" }

for _, via in ipairs { "auto", "upload" } do
  local contents = { "Which claims of the caller are not on the slide?" }
  for _, path in ipairs(media) do
    table.insert(contents, { file = path, via = via })
  end
  local response = assert(client.models:generate_content{
    model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
    contents = contents,
  })
  print(("via = %q: %d of %d files were uploaded"):format(via, #response.uploads, #media))
  print(response.text)
end
