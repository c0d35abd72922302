-- Two streams and a clock in one program on cqueues: lua5.4 examples/loops/cqueues.lua
local cqueues = require "cqueues"
local gemini = require "lgemini"
local client = gemini.Client{}
local controller = cqueues.new()

local function tell(name, contents)
  local stream = client.models:generate_content_stream{
    model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
    contents = contents,
  }
  for text in stream:texts() do
    print(name, #text)
  end
end

local stories = {
  client:spawn(tell, "lighthouse", "Tell a long story about a lighthouse."),
  client:spawn(tell, "ship", "Tell a long story about a ship."),
}
controller:wrap(function() require("lgemini.cqueues").drive(client) end)
controller:wrap(function()
  local ticks = 0
  while not (stories[1].done and stories[2].done) do
    cqueues.sleep(0.01)
    ticks = ticks + 1
  end
  print(ticks > 0 and "the clock ticked meanwhile")
end)
assert(controller:loop())
