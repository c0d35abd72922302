local errors = require "lgemini.errors"
local json = require "lgemini.json"
local parts = require "lgemini.parts"
local schema = require "lgemini.schema"

local function wire_part(t) return setmetatable(t, schema.mark "Part") end
local function wire_content(t) return setmetatable(t, schema.mark "Content") end
local function file_object(t) return setmetatable(t, schema.mark "File") end

-- A copy without metatables, to compare with plain tables.
local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in pairs(value) do copy[key] = plain(item) end
  return copy
end

local function turns_of(value)
  local turns, found = parts.contents(value)
  assert.is_nil(errors.is(found) and tostring(found) or nil)
  return plain(turns), found
end

local function refused(value, message)
  local turns, err = parts.contents(value)
  assert.is_nil(turns)
  assert.is_true(errors.is(err))
  assert.equal("invalid", err.kind)
  assert.truthy(err.message:find(message, 1, true), err.message)
  return err
end

local function raises(value, message)
  local ok, problem = pcall(parts.contents, value)
  assert.is_false(ok)
  assert.equal("string", type(problem))
  assert.truthy(problem:find(message, 1, true), problem)
  assert.truthy(problem:find("parts_spec.lua", 1, true), problem) -- blames this file
end

local function user(...) return { role = "user", parts = { ... } } end
local function model(...) return { role = "model", parts = { ... } } end
local CALL = { function_call = { name = "f" } }
local ANSWER = { function_response = { name = "f", response = {} } }
local BLOB = { inline_data = { mime_type = "image/png", data = "x" } }

describe("contents", function()
  local FILE = { uri = "https://x/files/a", mime_type = "image/png" }
  local cases = {
    { "a string", "hi", { user { text = "hi" } } },
    { "a part", { text = "hi" }, { user { text = "hi" } } },
    { "a part that is media", BLOB, { user(BLOB) } },
    { "a list of strings", { "a", "b" }, { user({ text = "a" }, { text = "b" }) } },
    { "a list of parts", { BLOB, "b" }, { user(BLOB, { text = "b" }) } },
    { "a turn", { role = "user", parts = { "a", BLOB } }, { user({ text = "a" }, BLOB) } },
    { "a turn without a role", { parts = { { text = "a" } } }, { { parts = { { text = "a" } } } } },
    { "turns", { user { text = "a" }, model { text = "b" } }, { user { text = "a" }, model { text = "b" } } },
    { "an unmarked empty list of parts", { { role = "model", parts = {} } }, { model() } },
    { "a function call alone", CALL, { model(CALL) } },
    { "function calls among parts", { "a", CALL, CALL, "b", "c" },
      { user { text = "a" }, model(CALL, CALL), user({ text = "b" }, { text = "c" }) } },
    { "a function response", { CALL, ANSWER }, { model(CALL), user(ANSWER) } },
    { "a list in the list", { "a", { "b", "c" }, "d" },
      { user { text = "a" }, user({ text = "b" }, { text = "c" }), user { text = "d" } } },
    { "turns between parts", { "a", model { text = "b" }, "c", "d" },
      { user { text = "a" }, model { text = "b" }, user({ text = "c" }, { text = "d" }) } },
    { "file data alone, as the Python SDK takes it", { "a", { file_uri = "u", mime_type = "m" } },
      { user({ text = "a" }, { file_data = { file_uri = "u", mime_type = "m" } }) } },
    { "a file object", file_object(FILE),
      { user { file_data = { file_uri = FILE.uri, mime_type = "image/png" } } } },
    { "a part from the wire, whatever it holds", wire_part { file = "/etc/passwd", holograph = 1 },
      { user { file = "/etc/passwd", holograph = 1 } } },
    { "a turn from the wire", { "a", wire_content { role = "model" } }, { user { text = "a" }, { role = "model" } } },
    { "an empty turn from the wire", { wire_content {}, "a" }, { {}, user { text = "a" } } },
    { "a part from the wire that looks like a turn", { wire_part { role = "x", parts = 1 } },
      { user { role = "x", parts = 1 } } },
    { "an empty string among others", { "" , "b" }, { user({ text = "" }, { text = "b" }) } },
  }
  for _, case in ipairs(cases) do
    it("takes " .. case[1], function() assert.same(case[3], (turns_of(case[2]))) end)
  end

  it("leaves the caller's tables alone", function()
    local given = { "a", { role = "user", parts = { "b", { file = "x.png", video_metadata = { fps = 1 } } } },
      { data = "bytes", mime_type = "image/png" }, file_object { uri = "u", mime_type = "m" } }
    local before = plain(given)
    local turns, found = parts.contents(given)
    found.locals[1].part.inline_data = {}
    found.files[1].part.more = 1
    turns[1].parts[1].text = "changed"
    assert.same(before, plain(given))
  end)

  it("copies no turn that needs no change", function()
    local turn = { role = "user", parts = { { text = "a" } } }
    assert.equal(turn, parts.contents { turn }[1])
  end)

  it("keeps the mark of a turn from the wire when a part in it has to change", function()
    local turn = wire_content { role = "model", parts = { wire_part { text = "a" } }, odd = 1 }
    schema.note_echo(turn, "Odd", "odd", 2)
    table.insert(turn.parts, "b")
    local got = parts.contents { turn }[1]
    assert.not_equal(turn, got)
    assert.is_true(schema.is(got, "Content"))
    assert.equal(turn.parts[1], got.parts[1])
    assert.same({ text = "b" }, got.parts[2])
    assert.equal("b", turn.parts[2])
    assert.equal(schema.echo(turn), schema.echo(got))
  end)

  it("finds local media and says where they stand", function()
    local turns, found = parts.contents { "a", { file = "x.png", via = "inline", media_resolution = { level = "L" } },
      { role = "user", parts = { { text = "b" }, { data = "bytes", mime_type = "image/png" } } } }
    assert.same({ file = "x.png", via = "inline", index = 2, path = "contents[2]",
      part = { media_resolution = { level = "L" } } }, found.locals[1])
    assert.same({ data = "bytes", mime_type = "image/png", via = "auto", index = 2, path = "contents[3].parts[2]",
      part = {} }, found.locals[2])
    assert.equal(found.locals[1].part, turns[1].parts[2])
    assert.equal(found.locals[2].part, turns[2].parts[2])
    assert.equal(2, #found.locals)
    assert.equal(0, #found.files)
  end)

  it("finds a local file that is all there is", function()
    for _, via in ipairs { "auto", "inline", "upload" } do
      local turns, found = parts.contents { file = "x.png", via = via }
      assert.same({ { file = "x.png", via = via, index = 1, path = "contents", part = {} } }, found.locals)
      assert.equal(found.locals[1].part, turns[1].parts[1])
    end
  end)

  it("finds file objects, whatever their state", function()
    local file = file_object { uri = "u", mime_type = "m", state = "PROCESSING" }
    local turns, found = parts.contents { "a", { file } }
    assert.same({ { part = turns[2].parts[1], file = file, path = "contents[2][1]" } }, found.files)
  end)

  it("looks for no local media in parts from the wire", function()
    local _, found = parts.contents { wire_part { file = "/etc/passwd", via = "upload" },
      wire_content { role = "model", parts = { wire_part { data = "x", text = "y" } } } }
    assert.same({ locals = {}, files = {} }, found)
  end)

  it("goes by another name where it stands in another place", function()
    local _, err = parts.contents({ "a", {} }, "message")
    assert.truthy(err.message:find("message[2]", 1, true))
    _, err = parts.contents("", "message")
    assert.equal("message is empty", err.message)
  end)

  describe("refuses", function()
    local REQUIRED = "contents are required"
    local bad = {
      { "nothing", nil, REQUIRED }, { "an empty string", "", REQUIRED }, { "an empty table", {}, REQUIRED },
      { "an empty array", json.array {}, REQUIRED },
      { "a hole", { "a", nil, "c" }, "contents[2] is missing" },
      { "a hole at the start", { nil, "b" }, "contents[1] is missing" },
      { "a hole in a turn", { { role = "user", parts = { "a", "b", nil, "d" } } }, "contents[1].parts[3] is missing" },
      { "a hole in a nested list", { "a", { "b", nil, "c" } }, "contents[2][2] is missing" },
      { "mixed keys", { "a", role = "user" }, "contents mixes a list with named keys (role)" },
      { "mixed keys in a part", { "a", { "b", text = "c" } }, "contents[2] mixes a list with named keys (text)" },
      { "an empty part", { "a", {} }, "contents[2] is an empty table" },
      { "a part that is nothing known", { "a", "b", { colour = "red" } }, "contents[3] is not a part" },
      { "the same in a turn", { { role = "user", parts = { { colour = 1 } } } }, "contents[1].parts[1] is not a part" },
      { "mixed keys in a part of a turn", { { parts = { { "b", colour = 1 } } } },
        "contents[1].parts[1] mixes a list with named keys (colour)" },
      { "an empty array among others", { "a", json.array {} }, "contents[2] is an empty table" },
      { "a turn without parts", { { role = "user" } }, "contents[1].parts is missing" },
      { "parts that are one part", { { role = "user", parts = { text = "a" } } }, "contents[1].parts must be a list" },
      { "a list within parts", { { parts = { { "a" } } } }, "contents[1].parts[1] is a list" },
      { "a list within a nested list", { { { "a" } } }, "contents[1][1] is a list" },
      { "a turn within a nested list", { { { role = "user", parts = {} } } }, "contents[1][1] is not a part" },
      { "two things in one part", { { text = "a", inline_data = {} } }, "contents[1] has both text and inline_data" },
      { "a file and text in one part", { { file = "x", text = "a" } }, "contents[1] has both file and text" },
      { "a file and bytes in one part", { { file = "x", data = "a" } }, "contents[1] has both file and data" },
      { "base64 text for bytes", { { data = "iVBORw0KGgo=" } }, "contents[1].data is raw bytes; this is base64" },
      { "what should stand beside a file that is nil", { "a", { file = nil, mime_type = "image/png" } },
        "contents[2] has neither file nor data" },
      { "a file object without uri", { file_object { mime_type = "m" } }, "contents[1] is a file object without uri" },
      { "a file object without type", { file_object { uri = "m" } }, "contents[1] is a file object without uri or" },
    }
    for _, case in ipairs(bad) do
      it(case[1], function() refused(case[2], case[3]) end)
    end

    it("base64 text with a hint", function()
      assert.truthy(refused({ { data = "/9j/4AAQ" } }, "base64").hint:find("gemini.base64.decode", 1, true))
    end)
  end)

  describe("raises for", function()
    local misuse = {
      { "a number", 42, "contents: a part (string or table) expected, got number" },
      { "a boolean in a list", { "a", true }, "contents[2]: a part (string or table) expected, got boolean" },
      { "a function", { print }, "contents[1]: a part (string or table) expected, got function" },
      { "parts that are a string", { { role = "user", parts = "a" } }, "contents[1].parts: list of parts expected" },
      { "a misspelt field", { { inline_dat = {} } }, "contents[1].inline_dat: did you mean inline_data?" },
      { "the wire's spelling", { "a", { inlineData = {} } }, "contents[2].inlineData: did you mean inline_data?" },
      { "a misspelt field in a turn", { { role = "user", parts = { "a", { file_dta = {} } } } },
        "contents[1].parts[2].file_dta: did you mean file_data?" },
      { "an unknown field beside a known", { { text = "a", colour = 1 } }, "contents[1].colour: a part has no" },
      { "an unknown field beside a file", { { file = "a", mimetype = "b" } },
        "contents[1].mimetype: did you mean mime_type?" },
      { "the beginning of a field", { { file = "a", mime = "b" } }, "contents[1].mime: did you mean mime_type?" },
      { "a file that is no path", { { file = { "a" } } }, "contents[1].file: string expected, got table" },
      { "a type that is no string", { { file = "a", mime_type = 1 } }, "contents[1].mime_type: string expected" },
      { "an unknown via", { { file = "a", via = "up" } }, 'contents[1].via: "auto", "inline" or "upload", not "up"' },
      { "via without a file", { { text = "a", via = "inline" } }, "contents[1].via" },
    }
    for _, case in ipairs(misuse) do
      it(case[1], function() raises(case[2], case[3]) end)
    end
  end)
end)

describe("contents of embeddings", function()
  it("are a turn each", function()
    assert.same({ user { text = "a" }, user { text = "b" }, model(CALL), user({ text = "c" }, { text = "d" }),
      { parts = { { text = "e" } } } },
      plain((parts.each { "a", "b", CALL, { "c", "d" }, { parts = { "e" } } })))
    assert.same({ user { text = "a" } }, plain((parts.each "a")))
  end)

  it("are required too", function()
    local turns, err = parts.each {}
    assert.is_nil(turns)
    assert.equal("contents are required", err.message)
    turns, err = parts.each { "a", { colour = 1 } }
    assert.is_nil(turns)
    assert.truthy(err.message:find("contents[2] is not a part", 1, true))
  end)
end)

describe("system instruction", function()
  for _, case in ipairs {
    { "a string", "be", user { text = "be" } },
    { "a part", { text = "be" }, user { text = "be" } },
    { "a list", { "be", { text = "so" } }, user({ text = "be" }, { text = "so" }) },
    { "a turn as it is", { parts = { "be" } }, { parts = { { text = "be" } } } },
  } do
    it("may be " .. case[1], function() assert.same(case[3], plain(parts.system(case[2]))) end)
  end

  it("takes text only", function()
    for _, value in ipairs { { file = "x.png" }, BLOB, { "a", BLOB }, { parts = { BLOB } },
      file_object { uri = "u", mime_type = "m" } } do
      local turn, err = parts.system(value)
      assert.is_nil(turn)
      assert.equal("invalid", err.kind)
      assert.equal("config.system_instruction takes text only", err.message)
    end
  end)

  it("is refused like contents", function()
    local _, err = parts.system { "a", nil, "b" }
    assert.equal("config.system_instruction[2] is missing: a list must have no nil in it", err.message)
  end)
end)
