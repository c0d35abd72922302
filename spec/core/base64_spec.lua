-- Base64 as Lua sees it. The C tests look at every split and every instruction set; here: types, errors, streaming.
local core = require "lgemini.core"
local plain = require "spec.support.bytes"
local base64 = core.base64

-- n bytes that look random.
local function noise(n)
  local out, state = {}, n + 1
  for i = 1, n do
    state = (state * 69069 + 12345) % 4294967296
    out[i] = string.char(math.floor(state / 65536) % 256)
  end
  return table.concat(out)
end

describe("base64", function()
  it("encodes and decodes bytes of every short length, and long ones", function()
    for n = 0, 200 do
      local data = noise(n)
      local text = base64.encode(data)
      assert.equal(plain.base64(data), text)
      assert.equal(data, base64.decode(text))
      assert.equal(data, base64.decode((text:gsub("=", ""))))
    end
    for _, n in ipairs { 49151, 49152, 49153, 1000000 } do
      local data = noise(n)
      local text = base64.encode(data)
      assert.is_true(text == plain.base64(data))
      assert.is_true(base64.decode(text) == data)
    end
  end)

  it("takes the URL-safe alphabet too", function()
    assert.equal("\251\255\254", base64.decode "+//+")
    assert.equal("\251\255\254", base64.decode "-__-")
  end)

  it("refuses what is not base64, and says where", function()
    local cases = {
      { "a", 1 }, { "abcde", 5 }, { "ab d", 2 }, { "abc\n", 3 }, { "ab=c", 3 }, { "ab==x", 4 }, { "=", 0 },
      { "abcd\0", 4 },
      { ("abcd"):rep(1000) .. "*", 4000 }, { ("abcd"):rep(100) .. "\255" .. ("abcd"):rep(100), 400 },
    }
    for _, case in ipairs(cases) do
      local data, err = base64.decode(case[1])
      assert.is_nil(data)
      assert.equal("invalid", err.kind)
      assert.equal(case[2], err.offset)
      assert.is_string(err.message)
    end
  end)

  it("encodes in pieces", function()
    local data = noise(1000)
    for size = 1, 40 do
      local encoder, out = base64.encoder(), {}
      for at = 1, #data, size do out[#out + 1] = encoder:feed(data:sub(at, at + size - 1)) end
      out[#out + 1] = encoder:finish()
      assert.equal(plain.base64(data), table.concat(out))
      assert.equal("YQ==", encoder:feed "a" .. encoder:finish()) -- it starts afresh
    end
    assert.equal("", base64.encoder():finish())
  end)

  it("decodes in pieces", function()
    local data = noise(1000)
    local text = plain.base64(data)
    for size = 1, 40 do
      local decoder, out = base64.decoder(), {}
      for at = 1, #text, size do out[#out + 1] = assert(decoder:feed(text:sub(at, at + size - 1))) end
      out[#out + 1] = assert(decoder:finish())
      assert.equal(data, table.concat(out))
    end
    assert.equal("", base64.decoder():finish())
  end)

  it("keeps refusing a stream that was refused", function()
    local decoder = base64.decoder()
    assert.equal("i\183\29", decoder:feed "abcd")
    local data, err = decoder:feed "ef gh"
    assert.is_nil(data)
    assert.equal("invalid", err.kind)
    assert.equal(6, err.offset)
    data, err = decoder:feed "abcd"
    assert.is_nil(data)
    assert.equal(6, err.offset)
    data, err = decoder:finish()
    assert.is_nil(data)
    assert.equal(6, err.offset)
    decoder = base64.decoder()
    assert(decoder:feed "a")
    data, err = decoder:finish()
    assert.is_nil(data)
    assert.equal("invalid", err.kind)
  end)

  it("names the argument that is of the wrong type", function()
    for _, bad in ipairs { {}, true, print } do
      assert.error_matches(function() base64.encode(bad) end, "bad argument #1 to 'encode'")
      assert.error_matches(function() base64.decode(bad) end, "bad argument #1 to 'decode'")
    end
    assert.error_matches(function() base64.encode() end, "bad argument #1 to 'encode'")
    assert.error_matches(function() base64.decode() end, "bad argument #1 to 'decode'")
    local encoder, decoder = base64.encoder(), base64.decoder()
    assert.error_matches(function() encoder:feed {} end, "bad argument #1 to 'feed'")
    assert.error_matches(function() decoder:feed() end, "bad argument #1 to 'feed'")
    assert.error_matches(function() encoder.feed(decoder, "") end, "lgemini.encoder expected")
  end)

  it("has objects that may be closed, which means nothing", function()
    local encoder = base64.encoder()
    encoder:close()
    encoder:close()
    assert.equal("", encoder:finish())
  end)
end)
