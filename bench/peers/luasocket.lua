-- lua5.4 bench/peers/luasocket.lua stream <base URL> <events>: a stream as it is read with LuaSocket and lua-cjson, the
-- yardstick of aim 5: lines out of the chunks that arrive, a table out of each event.

local http = require "socket.http"
local ltn12 = require "ltn12"
local cjson = require "cjson"

local base, count = arg[2], tonumber(arg[3])
local body = cjson.encode { contents = { { parts = { { text = "What does this slide promise?" } }, role = "user" } } }

local rest, seen = "", 0

local function take_line(line)
  local data = line:match "^data: (.*)$"
  if data then
    local chunk = cjson.decode(data)
    seen = seen + (chunk.usageMetadata.totalTokenCount > 0 and 1 or 0)
  end
end

local function sink(piece)
  if piece then
    local from = 1
    rest = rest .. piece
    local stop = rest:find("\r\n", 1, true)
    while stop do
      take_line(rest:sub(from, stop - 1))
      from = stop + 2
      stop = rest:find("\r\n", from, true)
    end
    rest = rest:sub(from)
  end
  return 1
end

local begin = os.clock()
assert(http.request {
  url = ("%s/v1beta/models/events-%d:streamGenerateContent?alt=sse"):format(base, count),
  method = "POST",
  headers = { ["content-type"] = "application/json", ["content-length"] = #body },
  source = ltn12.source.string(body),
  sink = sink,
})
assert(seen == count, "events were lost")
io.write(("cpu %.9g\n"):format(os.clock() - begin))
