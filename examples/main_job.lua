-- A slide, a recording and a video in one request. The answer is printed while it is written.
local client = require("lgemini").Client{}

local stream = client.models:generate_content_stream{
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  contents = {
    "Which claims of the caller are not on the slide? Does the video show the product?",
    { file = "spec/fixtures/slide.png" },
    { file = "spec/fixtures/call.mp3" },
    { file = "spec/fixtures/demo.mp4" }, -- a video is uploaded first, and waited for
  },
  on_progress = function(sent, total, file)
    io.stderr:write(("%s: %d of %d bytes sent\n"):format(file, sent, total))
  end,
}
for text in stream:texts() do
  io.write(text)
  io.flush()
end
print(("\n%d tokens in all"):format(stream.response.usage_metadata.total_token_count))
