-- Captions for a folder of pictures, sixteen at a time: lua5.4 examples/caption_folder.lua [folder] [per minute]
local client = require("lgemini").Client{ rate = { requests_per_minute = tonumber(arg[2]) or 1000 } }

-- Names one after the other: ten thousand of them cost no more than ten.
local pictures = assert(io.popen('ls "' .. (arg[1] or "spec/fixtures") .. '"'))
local function next_picture()
  local name = pictures:read()
  while name and not name:find "%.png$" and not name:find "%.jpg$" do
    name = pictures:read()
  end
  return name and (arg[1] or "spec/fixtures") .. "/" .. name
end

local function caption(path)
  local response, err = client.models:generate_content{
    model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
    contents = { "A caption for this picture.", { file = path } },
  }
  return response and { path = path, text = response.text }, err
end

for _, done, err in client:map(next_picture, caption, { concurrency = 16 }) do
  print(assert(done, err).path .. "\t" .. done.text)
end
