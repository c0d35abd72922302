-- Compiles Lua files for the Lua that runs this, which loads them three times as fast: `make install COMPILED=1`.
--
--   compile.lua <staging folder> <folder where they will be> <file.lua>...
--
-- Lines of errors and stack traces stay what they are. A Lua of another series refuses the files.
local staging, final = arg[1], arg[2]

for i = 3, #arg do
  local name = assert(arg[i]:match "[^/]+$")
  local source = assert(io.open(arg[i], "rb"))
  local text = assert(source:read "*a")
  source:close()
  local chunk = assert((loadstring or load)(text, "@" .. final .. "/" .. name)) -- luacheck: ignore 113 (5.1's)
  local file = assert(io.open(staging .. "/" .. name, "wb"))
  assert(file:write(string.dump(chunk)))
  assert(file:close())
end
