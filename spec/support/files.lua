--- Files that a spec reads and writes as a whole.
local files = {}

---@param path string
---@return string bytes
function files.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

---@param path string
---@param bytes string
---@return string path
function files.write(path, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
  return path
end

return files
