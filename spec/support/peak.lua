--- Runs a piece of Lua in an interpreter of its own and tells the most memory it ever had, as the system counts it.
local process = require "spec.support.process"

local peak = {}

local REPORT = [[
for line in io.lines "/proc/self/status" do
  local kib = line:match "^VmHWM:%s*(%d+) kB"
  if kib then print(kib) end
end
]]

--- Whether this system tells (Linux does).
---@return boolean
function peak.is_known()
  local file = io.open "/proc/self/status"
  if file then file:close() end
  return file ~= nil
end

--- The peak of a program, in bytes.
---@param program string  Lua source; it fails by raising
---@param ... string      its arguments
---@return integer
function peak.of(program, ...)
  local directory = process.temporary_directory()
  local path = directory .. "/program.lua"
  local file = assert(io.open(path, "wb"))
  assert(file:write(program, "\n", REPORT))
  assert(file:close())
  local words = { process.quote(process.interpreter()), process.quote(path) }
  for _, word in ipairs { ... } do words[#words + 1] = process.quote(word) end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local output = pipe:read "*a"
  pipe:close()
  process.remove_directory(directory)
  return 1024 * assert(tonumber(output:match "(%d+)\n$"), output)
end

return peak
