-- busted, in whichever interpreter runs this file; the launcher it is packaged with names one of its own.

-- Where LuaJIT crashes in compiled loops over tables (see compat.lua), it does so in those of busted, luassert and the
-- specs, too: there all but the library's own code is left to its interpreter.
local jit = rawget(_G, "jit")
if jit and require("lgemini.compat").crashes then
  local funcinfo = require("jit.util").funcinfo
  jit.attach(function(prototype)
    if not funcinfo(prototype).source:find "lgemini/[%w_]+%.lua$" then jit.off(prototype) end
  end, "bc")
end

-- What is tested is what LUA_PATH and LUA_CPATH lead to, the library as it is installed, say. The paths in .busted, for
-- busted called by hand, would come before them.
table.insert(arg, 1, "--lpath=?.lua")
table.insert(arg, 1, "--cpath=?.so")
require "busted.runner" { standalone = false }
