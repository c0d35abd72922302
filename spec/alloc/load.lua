-- Opening the module itself, and once more.
return function()
  local core = require "lgemini.core"
  package.loaded["lgemini.core"] = nil
  assert(require "lgemini.core" ~= core)
  assert(core.now() > 0)
  assert(core.alive().body == 0)
end
