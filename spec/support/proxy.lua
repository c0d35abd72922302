--- A proxy on the loopback interface: HTTP (absolute form and CONNECT) and SOCKS5 on one port, told apart by the first
-- byte. It runs in a process of its own (proxy_server.lua), and leads to the loopback interface only.
--
--     local server = proxy.start { tls = { cert = path, key = path } }
--     server:set { names = { ["api.invalid:443"] = 4711 }, user = "u", password = "p" }
--     ... client calls through server.url or server.socks_url ...
--     local passed = server:received()
--     server:stop()
local json = require "dkjson"
local process = require "spec.support.process"

local proxy = {}
local methods = {}
local metatable = { __index = methods, __name = "spec.proxy" }

--- Starts a proxy.
---@param options table|nil tls: what it shows to clients, { cert =, key = } (paths of PEM files)
---@return table proxy with `url`, `socks_url`, `address` ("127.0.0.1:port"), `port`
function proxy.start(options)
  local self = setmetatable({}, metatable)
  local interpreter = os.getenv("SCRIPTED_LUA") or "lua5.4"
  self.process = process.start(("%s spec/support/proxy_server.lua %s"):format(
    process.quote(interpreter), process.quote(json.encode(options or {}))))
  self.port = self.process:call({ op = "hello" }).port
  self.address = "127.0.0.1:" .. self.port
  self.url = (options and options.tls and "https" or "http") .. "://" .. self.address
  self.socks_url = "socks5h://" .. self.address
  return self
end

--- What holds from now on, in place of all that held. Forgets what was received.
---@param rules table|nil
---  names     "host:port" -> a loopback port; beside them 127.0.0.1 and localhost are reached, nothing else
---  user, password   asked of everybody
---  status    this HTTP status refuses every request
---  reply     this SOCKS5 reply refuses every request
---  treat     "close" (when the request has come), "stall" (no word, until the client closes)
function methods:set(rules)
  self.process:call { op = "set", rules = rules or {} }
end

--- What clients asked for, in order. Each has: kind ("http", "connect", "socks"), target, by_name (SOCKS5: the proxy is
-- to look up the name), head (HTTP: all of it), user, password, passed (it was let through), up (the first 64 KiB that
-- the client sent to the target), closed (the client's connection is over).
---@return table[]
function methods:received()
  local requests = self.process:call({ op = "received" }).requests
  for _, request in ipairs(requests) do
    request.up = request.up:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)
  end
  return requests
end

--- Waits until the client has closed the connection of request n.
---@param n integer
---@return boolean held false after ten seconds
function methods:wait_closed(n)
  return self.process:call({ op = "wait_closed", n = n, seconds = 10 }).held
end

--- Ends the proxy and waits until it is gone. Stopping twice is fine.
function methods:stop()
  self.process:stop()
end

return proxy
