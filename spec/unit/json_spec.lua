local cjson = require "cjson"
local json = require "lgemini.json"

local integers = rawget(math, "type") -- 5.3 and later tell 1 from 1.0

-- A second copy of the module, made while `change` is in force.
local function fresh(change, undo)
  local loaded = package.loaded["lgemini.json"]
  package.loaded["lgemini.json"] = nil
  change()
  local copy = require "lgemini.json"
  undo()
  package.loaded["lgemini.json"] = loaded
  return copy
end

-- A second copy of the module, which is to find this in place of cjson, for the rest of the spec.
local function beside(other)
  finally(function()
    package.loaded.cjson = cjson
  end)
  package.loaded.cjson = other and setmetatable(other, { __index = cjson })
  return fresh(function() end, function() end)
end

-- A locale with a decimal comma, where the machine has one.
local comma
for _, name in ipairs { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR" } do
  comma = comma or os.setlocale(name, "numeric")
end
os.setlocale("C", "numeric")

describe("json.decode", function()
  it("reads scalars", function()
    for text, value in pairs {
      ['"text"'] = "text",
      ['"\\u00e9 \\ud83d\\ude00 \\u003c"'] = "é 😀 <",
      ['"a\\u0000b"'] = "a\0b",
      ["12"] = 12,
      ["-0.5"] = -0.5,
      ["1e3"] = 1000,
      ["1.0"] = 1,
      ["9007199254740993.5"] = 9007199254740993.5,
      ["true"] = true,
      [" false\r\n\t"] = false,
    } do
      assert.equal(value, (json.decode(text)), text)
    end
    assert.equal(json.null, (json.decode "null"))
    assert.equal(cjson.null, json.null)
  end)

  local _ = integers and it("makes whole numbers integers", function()
    local value = json.decode '{"a":258,"b":[1.0,1e2,-3],"c":2.5,"d":9007199254740991,"e":1e300,"f":-1e300}'
    assert.equal("integer", integers(value.a))
    assert.equal("258", tostring(value.a))
    for i = 1, 3 do
      assert.equal("integer", integers(value.b[i]), i)
    end
    assert.equal("float", integers(value.c))
    assert.equal("9007199254740991", tostring(value.d))
    assert.equal("float", integers((json.decode "9.007199254740992e15")))
    assert.equal(1e300, value.e)
    assert.equal(-1e300, value.f)
    assert.equal("integer", integers((json.decode "7")))
  end)

  it("tells arrays from objects, also where they are empty", function()
    local value = json.decode '{"a":[],"b":{},"c":[ ],"d":[[],{},[[ ]]],"e":[1,null],"f":"[]","g":{"1":[]},"h":[{}]}'
    local d = value.d
    for _, array in ipairs { value.a, value.c, d, d[1], d[3], d[3][1], value.e, value.g["1"], value.h } do
      assert.is_true(json.is_array(array))
    end
    for _, object in ipairs { value, value.b, value.d[2], value.g, value.h[1] } do
      assert.is_false(json.is_array(object))
    end
    assert.same({}, value.a)
    assert.is_nil(next(value.d[3][1]))
    assert.is_true(json.is_array(json.decode("[[]]")[1]))
    assert.is_true(json.is_array(json.decode('["",[]]')[2]))
    assert.equal(3, #value.d)
    assert.equal(json.null, value.e[2])
    assert.equal("[]", value.f)
  end)

  it("does not take brackets in strings for arrays", function()
    for _, text in ipairs { '[]', 'a[]b', '\\"[]', '[]\\\\', '\\\\\\"[ ]\\\\', '\\\\', '"' } do
      local quoted = text:gsub('^"$', '\\"')
      local value, err = json.decode('{"a":"' .. quoted .. '","b":[],"c":["' .. quoted .. '"]}')
      assert.is_nil(err)
      assert.equal(cjson.decode('["' .. quoted .. '"]')[1], value.a)
      assert.equal(value.a, value.c[1])
      assert.is_true(json.is_array(value.b))
    end
  end)

  it("copes with a name that is given twice", function()
    assert.equal(1, json.decode('{"a":[],"a":1}').a)
    assert.is_true(json.is_array(json.decode('{"a":1,"a":[]}').a))
  end)

  it("refuses what is not JSON and says where", function()
    for text, message in pairs {
      [""] = "not valid JSON: expected value but found the end at character 1",
      ["  "] = "not valid JSON: expected value but found the end at character 3",
      ["NaN"] = "at character 1",
      ["[nan]"] = "at character 2",
      ["Infinity"] = "at character 1",
      ["-Infinity"] = "at character 1",
      ["[-inf]"] = "at character 2",
      ["0x10"] = "at character 1",
      ["01"] = "at character 1",
      ["+1"] = "at character 1",
      ["1 2"] = "expected the end but found a number at character 3",
      ["[1] x"] = "at character 5",
      ["[] x"] = "at character 4",
      ['{"a":[],"b":[ ],x'] = "at character 17",
      ["[1,]"] = "at character 4",
      ['{"a":1,}'] = "at character 8",
      ["{a:1}"] = "at character 2",
      ['"abc'] = "at character",
      ["[1"] = "found the end at character 3",
      ["[1]\0x"] = "zero byte at character 4",
      ['"a\0b"'] = "zero byte at character 3",
      ["<html>"] = "at character 1",
      ["1e999"] = "out of range",
      ["-1e999"] = "out of range",
      ["[1e999]"] = "out of range",
      ["[[],[1e999]]"] = "out of range",
      ['{"a":{"b":-1e999}}'] = "out of range",
      ['[[],1e999]'] = "out of range",
      [ [[{"a":[],"a":[1e999]}]] ] = "out of range",
      [ [[{"a":[],"a":[1]] .. ("0"):rep(309) .. "]}" ] = "out of range",
    } do
      local value, err = json.decode(text)
      assert.is_nil(value, text)
      assert.is_truthy(err:find(message, 1, true), ("%q: %s"):format(text, tostring(err)))
    end
  end)

  it("never shows the text", function()
    local _, err = json.decode('{"key": "secret-secret", secret-secret}')
    assert.is_nil(err:find("secret", 1, true))
  end)

  it("bounds nesting", function()
    assert.is_table((json.decode(("["):rep(100) .. ("]"):rep(100))))
    local value, err = json.decode(("["):rep(101) .. ("]"):rep(101))
    assert.is_nil(value)
    assert.equal("JSON nested deeper than 100 levels at character 101", err)
    value, err = json.decode(('{"a":'):rep(101) .. "1" .. ("}"):rep(101))
    assert.is_nil(value)
    assert.is_truthy(err:find("deeper than 100 levels", 1, true))
  end)

  it("goes on after a text that was refused", function()
    json.decode "["
    assert.same({ 1 }, (json.decode "[1]"))
  end)

  it("tries again with a new decoder, which knows the locale of today", function()
    local made = 0
    local copy = beside {
      new = function()
        made = made + 1
        local instance, number = cjson.new(), made
        local decode = instance.decode
        instance.decode = function(text)
          assert(number > 1, "an old one")
          return decode(text)
        end
        return instance
      end,
    }
    assert.same({ 1.5 }, (copy.decode "[1.5]"))
  end)

  local _ = comma and it("reads a decimal point under a locale with a comma", function()
    os.setlocale(comma, "numeric")
    finally(function()
      os.setlocale("C", "numeric")
    end)
    assert.equal(15, json.decode("[1.5]")[1] * 10)
    assert.equal(15, json.decode("[[],1.5]")[2] * 10)
    assert.equal("1.5", json.number(json.decode "1.5"))
    os.setlocale("C", "numeric")
    assert.equal(15, json.decode("[1.5]")[1] * 10)
  end)

  it("marks arrays as the fork of cjson does, where it is that fork", function()
    local mark = {}
    local copy = beside { array_mt = mark }
    assert.is_true(copy.is_array(setmetatable({}, mark)))
    assert.is_false(copy.is_array(setmetatable({}, {})))
    assert.equal(mark, getmetatable((copy.decode "[]")))
    assert.equal(mark, getmetatable(copy.array()))
  end)
end)

describe("json.array", function()
  it("marks a table and gives it back", function()
    local t = { 1 }
    assert.equal(t, json.array(t))
    assert.is_true(json.is_array(t))
    assert.is_true(json.is_array(json.array()))
  end)

  it("is not there by itself", function()
    for _, value in ipairs { {}, { 1 }, "x", 1, json.null } do
      assert.is_false(json.is_array(value))
    end
    assert.is_false(json.is_array(nil))
  end)
end)

describe("gemini", function()
  it("blames who gives its functions what they do not take", function()
    local gemini = require "lgemini"
    for place, call in pairs { ["gemini.array: table"] = gemini.array,
      ["base64.decode: string"] = gemini.base64.decode } do
      local ok, problem = pcall(function() call(true) end)
      assert.is_false(ok)
      assert.matches("^spec/unit/json_spec.lua:%d+: " .. place .. " expected, got boolean$", problem)
    end
    assert.is_true(json.is_array(gemini.array()))
  end)
end)

describe("json.quote", function()
  local good = { "", "plain", 'a "quoted"\\ one', "line\nline\r\ttab", "nul\0nul", "\1\31\127", "é€😀", "a/b",
      "\194\128", "\223\191", "\224\160\128", "\237\159\191", "\238\128\128", "\239\191\191", "\240\144\128\128",
      "\244\143\191\191" }

  it("gives text that reads back as the same string", function()
    for _, s in ipairs(good) do
      local text = json.quote(s)
      assert.equal('"', text:sub(1, 1))
      assert.is_nil(text:find "%c", s)
      assert.equal(s, (json.decode(text)))
    end
  end)

  it("writes each ASCII character as lua-cjson does", function()
    for code = 0, 127 do
      local s = "a" .. string.char(code) .. "Z"
      assert.equal(cjson.encode(s), (json.quote(s)))
    end
  end)

  local bad = {
    { "\255", 1 },
    { "ab\128", 3 },
    { "é\192\175", 3 }, -- overlong
    { "\193\191", 1 },
    { "\224\159\191", 1 }, -- overlong
    { "\240\143\191\191", 1 }, -- overlong
    { "x\237\160\128", 2 }, -- a surrogate
    { "😀\237\191\191", 5 },
    { "\244\144\128\128", 1 }, -- above U+10FFFF
    { "\245\128\128\128", 1 },
    { "abc\226\130", 4 }, -- cut
    { "abc\226", 4 },
    { "\226\130x", 1 },
    { "\226x\130", 1 },
    { "\240\159\152", 1 },
    { "\240\159\152\200", 1 },
    { "é\n\233t\233", 4 }, -- Latin-1
  }

  local function refuses(module)
    for _, case in ipairs(bad) do
      local text, err = module.quote(case[1])
      assert.is_nil(text)
      assert.equal("not valid UTF-8 at byte " .. case[2], err)
    end
  end

  it("refuses what is not UTF-8, with the place", function()
    refuses(json)
  end)

  it("does so without Lua's utf8 library, too", function()
    local utf8 = rawget(_G, "utf8")
    local copy = fresh(function()
      rawset(_G, "utf8", nil)
    end, function()
      rawset(_G, "utf8", utf8)
    end)
    refuses(copy)
    for _, s in ipairs(good) do
      assert.equal(json.quote(s), (copy.quote(s)))
    end
  end)

  it("does so where the utf8 library lets surrogates pass, as in Lua 5.3", function()
    local utf8 = rawget(_G, "utf8")
    local copy = fresh(function()
      rawset(_G, "utf8", { len = function(s)
        return #s
      end })
    end, function()
      rawset(_G, "utf8", utf8)
    end)
    local text, err = copy.quote "x\237\160\128"
    assert.is_nil(text)
    assert.equal("not valid UTF-8 at byte 2", err)
  end)
end)

describe("json.number", function()
  it("writes the number that reads back as the same", function()
    for _, case in ipairs {
      { 0, "0" },
      { -0.0, "0" },
      { 1, "1" },
      { -1, "-1" },
      { 258.0, "258" },
      { 0.1, "0.1" },
      { 0.2, "0.2" },
      { 0.1 + 0.2, "0.30000000000000004" },
      { 1 / 3, "0.3333333333333333" },
      { 1e15, "1000000000000000" },
      { 1.2345678901234568e17, "123456789012345680" },
      { 2 ^ 53, "9007199254740992" },
      { -2 ^ 63, "-9223372036854775808" },
      { 2 ^ 63, "9.223372036854776e+18" },
      { 1e300, "1e+300" },
      { -1.5e-7, "-1.5e-07" },
      { 5e-324, "4.94065645841247e-324" },
      { 0.7, "0.7" },
    } do
      local text = json.number(case[1])
      assert.equal(case[1], tonumber(text))
      assert.equal(case[2], text)
      assert.equal(case[1], (cjson.decode("[" .. text .. "]")[1]))
    end
  end)

  local _ = integers and it("keeps each digit of an integer", function()
    assert.equal("9223372036854775807", json.number(rawget(math, "maxinteger")))
    assert.equal("-9223372036854775808", json.number(rawget(math, "mininteger")))
    assert.equal("9007199254740993", json.number(9007199254740993))
  end)

  it("refuses what JSON cannot say", function()
    for _, n in ipairs { 1 / 0, -1 / 0, 0 / 0 } do
      local text, err = json.number(n)
      assert.is_nil(text)
      assert.equal("not a finite number", err)
    end
  end)

  it("writes a point where the locale has a comma", function()
    local format, read = string.format, tonumber
    local function in_comma(...)
      return (format(...):gsub("%.", ","))
    end
    local copy = fresh(function()
      rawset(string, "format", in_comma)
    end, function()
      rawset(string, "format", format)
    end)
    rawset(_G, "tonumber", function(text)
      return read((text:gsub(",", ".")))
    end)
    local text = copy.number(0.5)
    rawset(_G, "tonumber", read)
    assert.equal("0.5", text)
  end)
end)

describe("json", function()
  local _ = rawget(package, "searchpath") and it("loads cjson for what needs it", function()
    for need, ask in pairs {
      null = function(copy) return copy.null == json.null end,
      array = function(copy) return copy.is_array(copy.array()) end,
      quote = function(copy) return copy.quote "\n" == '"\\n"' end,
      decode = function(copy) return copy.decode "1" == 1 end,
    } do
      local copy = beside(nil)
      assert.equal('"text"', copy.quote "text")
      assert.is_false(copy.is_array {})
      assert.is_false(copy.is_array(setmetatable({}, {})))
      assert.is_nil(copy.nothing)
      assert.is_nil(package.loaded.cjson, need)
      assert.is_true(ask(copy), need)
      assert.is_table(package.loaded.cjson, need)
    end
  end)

  it("misses cjson at once, where it is not there", function()
    local path, cpath, preload = package.path, package.cpath, package.preload.cjson
    finally(function()
      package.path, package.cpath, package.preload.cjson = path, cpath, preload
      package.loaded.cjson, package.loaded["lgemini.json"] = cjson, json
    end)
    package.path, package.cpath, package.preload.cjson = "lua/?.lua", "", nil
    package.loaded.cjson, package.loaded["lgemini.json"] = nil, nil
    assert.error_matches(function() require "lgemini.json" end, "module 'cjson' not found")
  end)

  -- Work is counted, not timed: a count of instructions that grows with the square of the text would show.
  local _ = not rawget(_G, "jit") and it("is linear", function() -- compiled code runs no hooks
    local function work(text)
      local steps = 0
      debug.sethook(function()
        steps = steps + 1
      end, "", 100)
      json.decode(text)
      debug.sethook()
      return steps
    end
    for _, piece in ipairs { "[],", '"\\"",', '"\\\\[]",', "[ 1 ],", '{"a":"[]"},' } do
      local once = work("[" .. piece:rep(5000) .. "[]]")
      local more = work("[" .. piece:rep(20000) .. "[]]")
      assert.is_true(more < 8 * once, ("%s: %d and %d"):format(piece, once, more))
    end
  end)
end)
