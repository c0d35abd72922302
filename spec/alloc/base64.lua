-- Scripts in this folder are for build/host: each returns a function that is run again and again with another
-- allocation failing, and once with a collection at every one. Any failure must end up as an error.
local core = require "lgemini.core"

return function()
  local bytes = ("\0\1\254\255 some bytes"):rep(20)
  local text = core.base64.encode(bytes)
  assert(assert(core.base64.decode(text)) == bytes)
  assert(core.base64.decode("AA=A") == nil)

  local encoder, decoder = core.base64.encoder(), core.base64.decoder()
  local out = {}
  for i = 1, #bytes, 50 do out[#out + 1] = assert(decoder:feed(encoder:feed(bytes:sub(i, i + 49)))) end
  out[#out + 1] = assert(decoder:feed(encoder:finish()))
  out[#out + 1] = assert(decoder:finish())
  assert(table.concat(out) == bytes)
end
