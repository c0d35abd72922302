-- Events fed whole and in pieces, one that is too large, and bare text at the end.
local core = require "lgemini.core"

local function events(pieces, max)
  local parser, got = core.sse.new(max), {}
  for _, piece in ipairs(pieces) do
    parser:feed(piece)
    while true do
      local data, err = parser:next()
      if err then return nil, err end
      if not data then break end
      got[#got + 1] = data
    end
  end
  while true do
    local data, why = parser:finish()
    if type(why) == "table" then return nil, why end
    if not data then break end
    got[#got + 1] = why .. ":" .. data
  end
  return got
end

return function()
  local stream = "data: one\r\n\r\n: comment\ndata: two\ndata: lines\n\n"
    .. "data: " .. ("x"):rep(3000) .. "\n\ndata: last"
  local pieces = {}
  for i = 1, #stream, 17 do pieces[#pieces + 1] = stream:sub(i, i + 16) end
  for _, list in ipairs { { stream }, pieces } do
    local got = assert(events(list, 10000))
    assert(#got == 4 and got[2] == "two\nlines" and #got[3] == 3000 and got[4] == "event:last")
  end
  local none, err = events(pieces, 100)
  assert(none == nil)
  if err.message:find "memory" then error(err.message) end
  assert(err.kind == "limit")
end
