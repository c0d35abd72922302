-- Prints a long answer while it is written.
local client = require("lgemini").Client{}

local stream = client.models:generate_content_stream{
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  contents = arg[1] or "Tell a long story about a lighthouse.",
}
for text in stream:texts() do
  io.write(text)
  io.flush() -- on the screen now, not when the line is full
end
print()
