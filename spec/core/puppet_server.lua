-- The process behind spec/core/puppet.lua: one JSON call per line on its standard input, answered on its standard
-- output. It ends with its input.
local errno = require "cqueues.errno"
local json = require "dkjson"
local socket = require "cqueues.socket"

local LIMIT = 10 -- seconds that a write may wait

socket.setbufsiz(1, 65536)
local listener = socket.listen { host = "127.0.0.1", port = 0 }
assert(listener:listen())
local connections = {}
local calls = {}

function calls.hello()
  return { port = (select(3, listener:localname())) }
end

function calls.accept()
  local connection = listener:accept({}, 0)
  if not connection then
    listener:clearerr()
    return {}
  end
  connection:setmode("b", "bn")
  connection:onerror(function(_, _, code) return code end)
  connections[#connections + 1] = connection
  return { number = #connections }
end

function calls.read(call)
  local pieces, count, ended = {}, 0, false
  local connection = connections[call.n]
  while count < call.most do
    local bytes, why = connection:xread(count - call.most, "b", 0)
    if bytes then
      pieces[#pieces + 1], count = bytes, count + #bytes
    else
      ended = why ~= errno.ETIMEDOUT
      connection:clearerr()
      break
    end
  end
  local bytes = table.concat(pieces)
  return { ended = ended, payload = #bytes }, bytes
end

function calls.write(call)
  connections[call.n]:xwrite(call.text, "bn", LIMIT)
  return {}
end

function calls.close(call)
  connections[call.n]:close()
  return {}
end

for line in io.lines() do
  local call = json.decode(line)
  local reply, payload = calls[call.op](call)
  io.stdout:write(json.encode(reply), "\n", payload or "")
  io.stdout:flush()
end
