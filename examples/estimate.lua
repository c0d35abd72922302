-- What a question about some files counts and costs. Nothing is sent and no key is needed:
-- lua5.4 examples/estimate.lua [file ...]
local gemini = require "lgemini"

local contents = { "Which claims of the caller are not on the slide?" }
local files = arg[1] and arg or { "spec/fixtures/slide.png", "spec/fixtures/call.mp3", "spec/fixtures/demo.mp4" }
for _, path in ipairs(files) do
  table.insert(contents, { file = path })
end

local estimate = assert(gemini.estimate{
  model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
  contents = contents,
})
for _, kind in ipairs { "text", "image", "audio", "video", "document" } do
  print(kind, estimate.by[kind] or 0)
end
print(("%d tokens, %d to %d"):format(estimate.total_tokens, estimate.low, estimate.high))
print(estimate.price and ("%.6f dollars, before the answer"):format(estimate.price) or estimate.unpriced)
