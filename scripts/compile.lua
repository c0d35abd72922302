-- Compiles Lua files for the Lua that runs this, which loads them five times as fast: for `make install`.
--
--   compile.lua <folder to write to> <file.lua>...
--
-- Errors and stack traces say lines of lgemini/<file>.lua, wherever that comes to lie. A Lua of another series refuses
-- the files, as it refuses the core.
local folder = arg[1]

-- Files that load together come in one file with the first of them: each costs a search and three times opening it.
-- They also stay files of their own.
local TOGETHER = dofile "scripts/together.lua"

local compiled = dofile "scripts/compiled.lua"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = assert(file:read "*a")
  file:close()
  return text
end

-- Puts the others into package.preload, unless somebody has, and is what it was.
local function with(others, directory, name, code)
  local lines = { "local preload, load = package.preload, loadstring or load\n" }
  for i, other in ipairs(others) do
    local module = "lgemini." .. other
    lines[i + 1] = ("preload[%q] = preload[%q] or function(...) preload[%q] = nil return load(%q)(...) end\n")
      :format(module, module, module, compiled(read(directory .. other .. ".lua"), other))
  end
  lines[#lines + 1] = ("return load(%q)(...)\n"):format(code)
  return compiled(table.concat(lines), name)
end

for i = 2, #arg do
  local directory, name = assert(arg[i]:match "^(.-)([^/]+)%.lua$")
  local code = compiled(read(arg[i]), name)
  if TOGETHER[name] then code = with(TOGETHER[name], directory, name, code) end
  local file = assert(io.open(folder .. "/" .. name .. ".lua", "wb"))
  assert(file:write(code))
  file:close()
end
