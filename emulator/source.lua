-- Bytes that can be read at an offset, whether they lie in memory or in a file: what `media` and hashing look at.

local cqueues = require "cqueues"
local digest = require "openssl.digest"

local source = {}

local BLOCK = 262144

local methods = {}
local mt = { __index = methods }

---@param bytes string
---@return table source
function source.from_string(bytes)
  return setmetatable({ bytes = bytes, size = #bytes }, mt)
end

--- Opens the file at the first read; `size` bytes of it count, whatever stands behind them.
---@param path string
---@param size integer bytes
---@return table source
function source.from_file(path, size)
  return setmetatable({ path = path, size = size }, mt)
end

--- Up to n bytes at a 0-based offset; "" beyond the end.
---@param offset integer
---@param n integer
---@return string
function methods:read(offset, n)
  n = math.min(n, self.size - offset)
  if n <= 0 or offset < 0 then return "" end
  if self.bytes then return self.bytes:sub(offset + 1, offset + n) end
  self.file = self.file or assert(io.open(self.path, "rb"))
  assert(self.file:seek("set", offset))
  return self.file:read(n) or ""
end

function methods:close()
  if self.file then self.file:close() end
  self.file = nil
end

--- Lower-case hex SHA-256; lets other connections on between blocks.
---@return string
function methods:sha256()
  local d = digest.new("sha256")
  for offset = 0, self.size - 1, BLOCK do
    d:update(self:read(offset, BLOCK))
    if cqueues.running() then cqueues.poll(0) end
  end
  return source.hex(d:final())
end

---@param bytes string
---@return string
function source.hex(bytes)
  return (bytes:gsub(".", function(c) return string.format("%02x", c:byte()) end))
end

---@param bytes string
---@return string hex SHA-256
function source.sha256_of(bytes)
  return source.hex(digest.new("sha256"):final(bytes))
end

return source
