--- What the specs of exchange and loop share: exchanges with long clocks, and steps until something holds.
local core = require "lgemini.core"

local drive = {}

-- Seconds after which a spec gives up. No test measures them.
local PATIENCE = 20

--- A request with clocks that do not fire; `changes` go over it.
---@param method string
---@param url string
---@param changes table|nil
function drive.request(method, url, changes)
  local request = {
    method = method, url = url, headers = {}, connect = 60, first_byte = 60, idle = 60, proxy = "",
  }
  for name, value in pairs(changes or {}) do request[name] = value end
  return request
end

--- An exchange, queued.
function drive.exchange(method, url, changes)
  return assert(core.exchange.new(drive.request(method, url, changes)))
end

--- An exchange that the loop has.
---@param loop table
---@param lane string|nil  "calls"
function drive.start(loop, method, url, changes, lane)
  local exchange = drive.exchange(method, url, changes)
  loop:add(exchange, lane or "calls")
  return exchange
end

--- Steps until `holds` returns something true, and returns that.
---@param loop table
---@param holds function
---@param what string|nil    for the message when it never does
---@param look function|nil  called with what next() gives
function drive.wait(loop, holds, what, look)
  local limit = core.now() + PATIENCE
  while true do
    local held = holds()
    if held then return held end
    if core.now() > limit then error("never came: " .. (what or "what a spec waits for"), 2) end
    assert(loop:step(nil, 0.005)) -- short: what is waited for may happen on the server's side alone
    for ready in function() return loop:next() end do
      if look then look(ready) end
    end
  end
end

--- Steps until the exchange is in that phase.
function drive.phase(loop, exchange, phase)
  return drive.wait(loop, function() return exchange:phase() == phase end, phase .. " after " .. exchange:phase())
end

--- Steps until the exchange is done. Returns what done() does.
function drive.finish(loop, exchange)
  drive.wait(loop, function() return exchange:done() ~= nil end, "an end after " .. exchange:phase())
  return exchange:done()
end

--- Waits without stepping, for what happens outside.
function drive.idle(holds, what)
  local limit = core.now() + PATIENCE
  while not holds() do
    if core.now() > limit then error("never came: " .. (what or "what a spec waits for"), 2) end
  end
end

--- Bytes of which every part is different.
function drive.bytes(n)
  local block, out = {}, {}
  for i = 0, 255 do block[i + 1] = string.char((i * 167 + 13) % 256) end
  block = table.concat(block)
  for i = 1, math.ceil(n / 260) do out[i] = ("%04x"):format(i % 65536) .. block end
  return table.concat(out):sub(1, n)
end

--- A file of the spec's own, with these bytes in it. Remove it with os.remove.
---@return string path
function drive.file(bytes)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
  return path
end

--- How many descriptors this process has open for the file; nil where the system does not show it.
function drive.descriptors(path)
  local pipe = io.popen("ls -l /proc/$PPID/fd 2>/dev/null")
  local listing, n = pipe:read "*a", 0
  pipe:close()
  for line in listing:gmatch "[^\n]+" do n = n + (line:find(path, 1, true) and 1 or 0) end
  return listing ~= "" and n or nil
end

return drive
