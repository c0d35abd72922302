--- A server that does nothing by itself: a spec accepts, reads, writes and closes by calls, none of which waits. For
-- what the scripted server does not offer: reading slowly, and seeing the bytes on the wire. It runs in a process of
-- its own, since LuaSocket or cqueues are not to be had for every Lua:
--
--     local puppet = require("spec.core.puppet").start()
--     ... client calls puppet.url ...
--     local n = puppet:accept()          -- number of a connection, or nil: none is waiting
--     local bytes, ended = puppet:read(n, 65536)
--     puppet:write(n, "HTTP/1.1 200 OK\r\n\r\n")
--     puppet:close(n)
--     puppet:stop()
local process = require "spec.support.process"

local puppet = {}
puppet.__index = puppet

function puppet.start()
  local interpreter = os.getenv("SCRIPTED_LUA") or "lua5.4"
  local self = setmetatable({}, puppet)
  self.process = process.start(process.quote(interpreter) .. " spec/core/puppet_server.lua")
  self.port = self.process:call({ op = "hello" }).port
  self.url = "http://127.0.0.1:" .. self.port .. "/"
  return self
end

--- The number of a new connection, or nil.
function puppet:accept()
  return (self.process:call { op = "accept" }).number
end

--- Accepts what still waits from earlier, so that the next to be accepted is new. Its peers have gone.
function puppet:forget()
  repeat until not self:accept()
end

--- At most `most` bytes of what has come, and whether the peer has closed.
---@return string bytes
---@return boolean ended
function puppet:read(n, most)
  local reply, bytes = self.process:call { op = "read", n = n, most = most }
  return bytes, reply.ended
end

function puppet:write(n, text)
  self.process:call { op = "write", n = n, text = text }
end

function puppet:close(n)
  self.process:call { op = "close", n = n }
end

function puppet:stop()
  self.process:stop()
end

return puppet
