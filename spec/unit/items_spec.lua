-- Elements of an array as its text arrives: cut anywhere, they are the same.
local items = require "lgemini.items"
local json = require "lgemini.json"

local function at_once(path, text)
  return items.new(path):feed(text)
end

-- All elements, and when each came: after how many bytes.
local function byte_by_byte(path, text)
  local scanner, found, when = items.new(path), {}, {}
  for i = 1, #text do
    local new = scanner:feed(text:sub(i, i))
    for _, item in ipairs(new) do
      found[#found + 1], when[#when + 1] = item, i
    end
  end
  return found, when, scanner
end

local CASES = {
  { "the text itself", nil, "[1, 2.5 ,\n\"x\",true,null,[3,[4]],{\"a\":[5]}]",
    { 1, 2.5, "x", true, json.null, { 3, { 4 } }, { a = { 5 } } } },
  { "a member", "a", '{"b":[9],"a":[1,2],"c":[8]}', { 1, 2 } },
  { "a member of a member", "a.b", '{"b":[7],"a":{"a":[8],"b":[{"b":[6]}],"c":{"b":[5]}},"b":[9]}', { { b = { 6 } } } },
  { "a place in an array", "a.1.b", '{"a":[{"b":[1]},{"b":[2]},{"b":[3]}]}', { 2 } },
  { "a name with a dot", { "a.b" }, '{"a":{"b":[1]},"a.b":[2]}', { 2 } },
  { "a name that is written with escapes", "ä\"b", '{"\\u00e4\\"b":[1]}', { 1 } },
  { "signs in strings", "a", '{"x":"\\"a\\":[1]{","a":["],\\"","\\\\",",[{"]}', { '],"', "\\", ",[{" } },
  { "an empty array", "a", '{"a":[ \n]}', {} },
  { "an empty string", nil, '["","x"]', { "", "x" } },
  { "false", nil, "[false]", { false } },
  { "what is no array", "a", '{"a":{"a":[1]},"b":[1]}', {} },
  { "what is not there", "z", '{"a":[1]}', {} },
  { "a value that is called like the array", "a", '{"b":"a","c":[1],"a":[2]}', { 2 } },
}

describe("items of a text that arrives in pieces", function()
  for _, case in ipairs(CASES) do
    local name, path, text, expected = case[1], case[2], case[3], case[4]
    it("finds " .. name .. ", wherever the text is cut", function()
      assert.same(expected, (at_once(path, text)))
      assert.same(expected, (byte_by_byte(path, text)))
      for cut = 1, #text - 1 do
        local scanner = items.new(path)
        local found = scanner:feed(text:sub(1, cut))
        for _, item in ipairs((scanner:feed(text:sub(cut + 1)))) do found[#found + 1] = item end
        assert.same(expected, found, "cut at " .. cut)
      end
    end)
  end

  it("gives each as soon as it is complete", function()
    local _, when = byte_by_byte("a", '{"a":[{"b":1},22,3]}')
    assert.same({ 14, 17, 19 }, when)
  end)

  it("says what is no JSON, and gives what came before", function()
    local found, problem = at_once("a", '{"a":[1,2x,3]}')
    assert.same({ 1 }, found)
    assert.matches("not valid JSON", problem)
    found, problem = at_once(nil, ("["):rep(200))
    assert.same({}, found)
    assert.matches("nested deeper", problem)
  end)

  for text, before in pairs {
    ["[1,,2]"] = { 1 }, ["[,1]"] = {}, ["[1,]"] = { 1 }, ["[,]"] = {}, ["[1, \n]"] = { 1 }, ["[\f]"] = {},
    ["[1}"] = {}, ['[{"a":1]]'] = {}, ["[[1}]"] = {},
  } do
    it(("does not pass over what is wrong in %q"):format(text), function()
      for _, whole in ipairs { text, ('{"a":%s,"b":[1]}'):format(text) } do
        local path = whole ~= text and "a" or nil
        local found, problem = at_once(path, whole)
        assert.same(before, found)
        assert.matches("not valid JSON", problem)
        local scanner
        found, _, scanner = byte_by_byte(path, whole)
        assert.same(before, found)
        assert.matches("not valid JSON", scanner.problem)
      end
    end)
  end

  it("does not pass over an array that has no end", function()
    local pieces, at = { '{"a":[1,2' }, 0
    local function next_piece()
      at = at + 1
      return pieces[at] and { text = pieces[at] }
    end
    local whole = { check = function(self) return self end }
    local next_item = items.each({ next = next_piece, response = whole }, "a")
    assert.equal(1, (next_item()))
    local ok, err = pcall(next_item)
    assert.is_false(ok)
    assert.equal("protocol", err.kind)
    assert.matches("the array has no end", err.message)
    pieces, at = { '{"a":[1,2]' }, 0 -- what comes after it was not asked for
    next_item = items.each({ next = next_piece, response = whole }, "a")
    assert.same({ 1, 2 }, { (next_item()), (next_item()), (next_item()) })
  end)

  it("tells an array that was empty from one that was not there", function()
    local _, _, scanner = byte_by_byte("a", '{"a":[]}')
    assert.is_true(scanner.seen)
    _, _, scanner = byte_by_byte("b", '{"a":[]}')
    assert.is_false(scanner.seen)
  end)

  it("holds one element only", function()
    local scanner = items.new()
    scanner:feed "["
    for i = 1, 1000 do
      scanner:feed(("%d,"):format(i))
      assert.is_true(#scanner.kept <= 2)
    end
  end)
end)
