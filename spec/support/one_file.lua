--- For `lua -l spec.support.one_file`: lgemini is the one in dist/, its core that in lgemini.so, or this fails. Nothing
-- of it is loaded yet afterwards, as without.
require "lgemini"
local source = debug.getinfo(require("lgemini.errors").new, "S").source
assert(source:find "dist/lgemini%.lua$", source)
local _, path = require "lgemini.core" -- the second is new in 5.4
assert(not path or path:find "dist/lgemini%.so$", path)
for name in pairs(package.loaded) do
  if name:find "^lgemini" then package.loaded[name] = nil end
end
