-- Makes the picture of examples/love in the README, with the emulator's answers in it:
--   make LUA=luajit && make && eval "$(make -s env)" && lua5.4 spec/engines/love_picture.lua docs/lantern-bay.png
local emulator = require "spec.support.emulator"
local program = require "spec.support.program"

local em = emulator.start {}
em:set { pause = 0.4 }
local result = program.run("spec/engines/love", {
  host = { "sh", "spec/engines/display", "love" },
  lua = "luajit",
  env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "k", SCENARIO = "picture", PICTURE = arg[1] },
})
em:stop()
io.write(result.out, result.err)
os.exit(result.code)
