--- Collects all that is garbage, and what its finalisers let go of. LuaJIT's compiled code holds objects that are none
-- of the program's any more, so it goes first.
local jit = rawget(_G, "jit")

return function()
  if jit then jit.flush() end
  collectgarbage()
  collectgarbage()
end
