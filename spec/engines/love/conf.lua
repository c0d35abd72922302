dofile((os.getenv "GAME" or "examples/love") .. "/conf.lua")

local as_it_is = love.conf

function love.conf(t)
  as_it_is(t)
  t.window.msaa = 0 -- without a graphics card it takes most of a frame
end
