-- Compiles Lua files for the Lua that runs this, which loads them five times as fast: for `make install`.
--
--   compile.lua <folder to write to> <file.lua>...
--
-- Errors and stack traces say lines of lgemini/<file>.lua, wherever that comes to lie. A Lua of another series refuses
-- the files, as it refuses the core.
local folder = arg[1]

for i = 2, #arg do
  local name = assert(arg[i]:match "[^/]+$")
  local source = assert(io.open(arg[i], "rb"))
  local text = assert(source:read "*a")
  source:close()
  local chunk = assert((loadstring or load)(text, "=lgemini/" .. name)) -- luacheck: ignore 113 (5.1's)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  assert(file:write(string.dump(chunk)))
  assert(file:close())
end
