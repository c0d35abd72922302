-- A body of every kind of segment, read in windows; a missing file; a body closed by hand and one that is garbage.
local core = require "lgemini.core"
local path = arg[0]
local file = assert(io.open(path, "rb"))
local whole = file:read "*a"
file:close()

return function()
  local body = core.body.new()
  assert(body:add "head ")
  assert(body:add_base64 "some bytes")
  assert(assert(body:add_file(path)) == #whole)
  assert(body:add_base64_file(path))
  local handle = assert(io.open(path, "rb"))
  assert(body:add_handle(handle))
  handle:close()
  for i = 1, 40 do assert(body:add(" " .. i)) end
  local parts = {}
  for offset = 0, body:length() - 1, 700 do parts[#parts + 1] = assert(body:read(offset, 700)) end
  local text = table.concat(parts)
  assert(#text == body:length())
  assert(text:sub(1, 21 + #whole) == "head c29tZSBieXRlcw==" .. whole)
  body:close()

  local garbage = core.body.new()
  assert(garbage:add "left to the collector")
  local _, err = garbage:add_file(path .. ".not")
  if err.kind ~= "io" then error(err.message) end
end
