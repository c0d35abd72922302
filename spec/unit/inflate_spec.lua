local inflate = require "lgemini.inflate"

-- Made with zlib 1.2.13: without packing, with its own codes, and with codes in front.
local STORED = "\120\1\1\15\0\240\255\115\116\111\114\101\100\32\97\115\32\105\116\32\105\115\45\237\5\127"
local FIXED = "\120\1\75\84\72\206\47\168\84\200\79\83\72\68\99\1\0\117\170\8\223"
local OWN = ""
  .. "\120\218\109\146\187\13\003\49\12\67\251\76\113\35\152\178\36\219\75\221\254\229\5\8\18\4\120\116\225\130\32"
  .. "\248\145\52\198\247\93\159\255\190\94\63\72\6\75\131\29\98\106\98\81\196\166\225\165\209\107\227\187\153\79"
  .. "\166\135\194\240\146\122\106\250\234\48\95\152\30\81\134\183\169\55\131\190\179\153\47\77\143\76\195\219\212"
  .. "\171\160\111\45\230\107\211\163\13\111\25\189\101\124\183\201\119\76\143\195\190\26\156\139\6\231\39\113\206"
  .. "\50\251\80\112\111\154\220\239\251\12\232\91\255\247\242\0\75\177\148\5"

local function lines(n)
  local list = {}
  for i = 0, n - 1 do list[i + 1] = ("%010d 00000 n \n"):format(i * i) end
  return table.concat(list)
end

local TEXTS = { [STORED] = "stored as it is", [FIXED] = "a copy of a copy of a copy", [OWN] = lines(40) }

describe("inflate", function()
  it("unpacks blocks of every kind", function()
    for packed, text in pairs(TEXTS) do assert.equal(text, (inflate.zlib(packed, 10000))) end
  end)

  it("stops at a ceiling", function()
    for packed, text in pairs(TEXTS) do
      local most = #text + (packed == OWN and 256 or 0)
      assert.same({ text, 0 }, { inflate.zlib(packed, most) })
      assert.same({ nil, "too long" }, { inflate.zlib(packed, most - 1) })
    end
    -- 300,000 zeros
    local bomb = "\120\218\237\193\1\13\0\0\0\194\160\247\79\109\15\7\20" .. ("\0"):rep(296)
    assert.same({ nil, "too long" }, { inflate.zlib(bomb, 100000) })
  end)

  it("counts the codes of blocks that hold nothing", function()
    -- Bits as they come: the kind; how many codes; of their lengths 18 and 1 have one bit; 256 zeros, the end, and a
    -- distance; the end.
    local block = "001" .. "00000" .. "00000" .. "0111" .. "000000100" .. ("000"):rep(14) .. "100"
      .. "11111111" .. "11101011" .. "00" .. "0"
    local four = block:rep(4):gsub("%d%d%d%d%d%d%d%d", function(bits)
      return string.char(tonumber(bits:reverse(), 2))
    end)
    local packed = "\120\1" .. four:rep(25) .. "\3\0"
    assert.same({ "", 0 }, { inflate.zlib(packed, 256 * 100) })
    assert.same({ nil, "too long" }, { inflate.zlib(packed, 256 * 100 - 1) })
  end)

  it("says of all else that it is broken", function()
    for packed in pairs(TEXTS) do
      for n = 0, #packed - 5 do -- the last four bytes are a checksum
        assert.same({ nil, "broken" }, { inflate.zlib(packed:sub(1, n), 10000) })
      end
    end
    for _, bytes in ipairs { "", "x", "\121\1\0", "\120\2\0", "\120\32\0", "\120\1\7",
      "\120\1\1\15\0\241\255aaaaaaaaaaaaaaa", "\120\1\3\2", "\120\1\75\4\18\0" } do
      assert.same({ nil, "broken" }, { inflate.zlib(bytes, 10000) })
    end
  end)

  it("ends with any bytes", function()
    for packed in pairs(TEXTS) do
      for at = 3, #packed do
        for _, new in ipairs { 0, 255, packed:byte(at) % 255 + 1, (packed:byte(at) + 128) % 256 } do
          local out, problem = inflate.zlib(packed:sub(1, at - 1) .. string.char(new) .. packed:sub(at + 1), 10000)
          assert.is_true(out ~= nil or problem == "broken" or problem == "too long")
        end
      end
    end
  end)
end)
