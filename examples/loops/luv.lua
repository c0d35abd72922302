-- A stream beside a timer in one program on luv (libuv): lua5.4 examples/loops/luv.lua
local uv = require "luv"
local gemini = require "lgemini"
local client = gemini.Client{}

client:spawn(function()
  local stream = client.models:generate_content_stream{
    model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
    contents = "Tell a long story about a lighthouse.",
  }
  for text in stream:texts() do
    print("story", #text)
  end
end)

local ticks = 0
local timer = uv.new_timer()
timer:start(1, 1, function() ticks = ticks + 1 end)

require("lgemini.luv").attach(client, {
  on_idle = function(handle) -- no task is left
    handle:close()
    timer:close()
  end,
})
uv.run()
print(ticks > 0 and "the timer ticked meanwhile")
