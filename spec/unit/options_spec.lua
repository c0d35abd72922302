local errors = require "lgemini.errors"
local options = require "lgemini.options"

local KNOWN = {
  model = true,
  contents = true,
  on_progress = true,
  journal = "client.files:upload{ journal = ... }",
  config = {
    temperature = true,
    max_output_tokens = true,
    system_instruction = true,
    tools = true,
    http_options = { timeout = true, headers = true, base_url = true },
  },
}

local UPLOAD = { file = true, data = true, wait = true, config = { mime_type = true, display_name = true } }

-- The message that a check raises, without the line that it blames; nil where it raises none.
local function complaint(given, known)
  local ok, message = pcall(options.check, given, known or KNOWN, "call")
  if not ok then
    assert.is_truthy(message:find "options_spec%.lua:%d+: call: ")
    return (message:gsub("^.-: call: ", ""))
  end
end

describe("options.check", function()
  it("lets known names pass, and what is the user's own", function()
    assert.is_nil(complaint {})
    assert.is_nil(complaint { model = 1, contents = false, on_progress = print })
    assert.is_nil(complaint { config = { tools = 1, http_options = { timeout = 1, headers = { Anything = 1 } } } })
    assert.is_nil(complaint { config = "not a table: for the check of types" })
  end)

  local cases = {
    -- nearly the same letters
    { { modle = 1 }, "model" },
    { { contnets = 1 }, "contents" },
    { { content = 1 }, "contents" },
    { { Model = 1 }, "model" },
    { { onProgress = 1 }, "on_progress" },
    { { config = { temprature = 1 } }, "config.temperature" },
    { { config = { http_options = { timeuot = 1 } } }, "config.http_options.timeout" },
    -- right name, wrong place
    { { timeout = 1 }, "config.http_options.timeout" },
    { { temperature = 1 }, "config.temperature" },
    { { config = { model = 1 } }, "model" },
    { { config = { timeout = 1 } }, "config.http_options.timeout" },
    { { config = { http_options = { temperature = 1 } } }, "config.temperature" },
    { { journal = 1 }, "client.files:upload{ journal = ... }" },
    { { jornal = 1 }, "client.files:upload{ journal = ... }" },
    -- both
    { { temprature = 1 }, "config.temperature" },
    { { maxOutputTokens = 1 }, "config.max_output_tokens" },
    -- names of others
    { { prompt = 1 }, "contents" },
    { { messages = 1 }, "contents" },
    { { max_tokens = 1 }, "config.max_output_tokens" },
    { { config = { system = 1 } }, "config.system_instruction" },
    { { endpoint = 1 }, "config.http_options.base_url" },
    { { config = { temp = 1 } }, "config.temperature" },
    { { stream = 1 }, "client.models:generate_content_stream{...}" },
    { { config = { stream = 1 } }, "client.models:generate_content_stream{...}" },
    { { path = 1 }, "file", UPLOAD },
    { { filename = 1 }, "file", UPLOAD },
    { { mime_type = 1 }, "config.mime_type", UPLOAD },
    { { displayName = 1 }, "config.display_name", UPLOAD },
    { { config = { content_type = 1 } }, "config.mime_type", UPLOAD },
    { { config = { n = 1 } }, "config.number_of_images", { config = { number_of_images = true, seed = true } } },
    { { n = 1 }, "config.candidate_count", { config = { candidate_count = true, seed = true } } },
  }
  for _, case in ipairs(cases) do
    local given, place = case[1], ""
    local name, value = next(given)
    while type(value) == "table" do
      place, name, value = place .. name .. ".", next(value)
    end
    it(("suggests %s for %s%s"):format(case[2], place, name), function()
      assert.equal(("unknown option %s%s: did you mean %s?"):format(place, name, case[2]), complaint(given, case[3]))
    end)
  end

  it("prefers a name at this level over one elsewhere", function()
    local known = { sizes = true, config = { size = true, more = { sized = true } } }
    assert.is_truthy(complaint({ siz = 1 }, known):find("mean config.size?", 1, true))
    assert.is_truthy(complaint({ sizess = 1 }, known):find("mean sizes?", 1, true))
    assert.is_truthy(complaint({ config = { siez = 1 } }, known):find("mean config.size?", 1, true))
    assert.is_truthy(complaint({ config = { more = { size = 1 } } }, known):find("mean config.size?", 1, true))
    assert.is_truthy(complaint({ config = { more = { sizeb = 1 } } }, known):find("mean config.more.sized?", 1, true))
  end)

  it("prefers the shorter of two places", function()
    local known = { z = { name = true }, deep = { name = true }, y = { name = true }, name2 = true }
    assert.is_truthy(complaint({ name = 1 }, known):find("mean y.name?", 1, true))
    known = { zz = { name = true }, d = { name = true }, deep = { name = true } }
    assert.is_truthy(complaint({ name = 1 }, known):find("mean d.name?", 1, true))
  end)

  it("lists what is known where nothing is near", function()
    assert.equal("unknown option zzz: known: config, contents, model, on_progress", complaint { zzz = 1 })
    assert.equal("unknown option config.zzz: known: http_options, max_output_tokens, system_instruction, "
      .. "temperature, tools", complaint { config = { zzz = 1 } })
  end)

  it("says nothing of a beginning that several names have", function()
    local known = { getter = true, getting = true }
    assert.equal("unknown option get: known: getter, getting", complaint({ get = 1 }, known))
  end)

  it("refuses values without a name, and what is no table", function()
    assert.equal("takes named options, not a value at [1]; known: config, data, file, wait",
      complaint({ "video.mp4" }, UPLOAD))
    assert.equal("takes a table of options, got string", complaint "video.mp4")
    assert.equal("takes a table of options, got nil", complaint(nil))
  end)
end)

describe("options.nearest", function()
  for _, case in ipairs {
    { "temperature", "temperature" },
    { "Temperature", "temperature" },
    { "temprature", "temperature" },
    { "temperatuer", "temperature" },
    { "etmperature", "temperature" },
    { "toxxl", "tool" },
    { "toxxxl", nil },
    { "aBcDeF", "a_bc_de_f" },
    { "temperaturee", "temperature" },
    { "tpmrautre", nil },
    { "tol", "tool" },
    { "f", nil },
    { "x", nil },
    { "camelCase", "camel_case" },
    { 1, nil },
    { ("x"):rep(65), nil },
  } do
    it(("finds %s for %s"):format(tostring(case[2]), tostring(case[1]):sub(1, 12)), function()
      assert.equal(case[2], options.nearest(case[1], { temperature = true, tool = true, g = true,
        camel_case = true, a_bc_de_f = true }))
    end)
  end

  it("takes the first by the alphabet of two that are as near", function()
    local known = {}
    for letter in ("zyxwvutsrqponmlkjihgfedcb"):gmatch "%l" do -- the order of a table's keys is anyone's guess
      known["aaa" .. letter] = true
      assert.equal("aaa" .. letter, options.nearest("aaaa", known))
    end
  end)
end)

describe("the types", function()
  for name, good in pairs { string = "x", boolean = false, number = 1, table = {}, callback = print } do
    it("checks a " .. name, function()
      assert.equal(good, options[name](good, "size"))
      assert.is_nil(options[name](nil, "size"))
      for other, value in pairs { string = "x", boolean = true, number = 1, table = {}, callback = print } do
        local ok, message = pcall(options[name], value, "size")
        assert.equal(other == name, ok)
        local expected = "size: " .. (name == "callback" and "function" or name) .. " expected, got " .. type(value)
        assert.is_true(ok or message:find(expected, 1, true) ~= nil)
      end
    end)
  end

  local function refused(check, value, words, ...)
    local result, err = check(value, "size", ...)
    assert.is_nil(result)
    assert.is_true(errors.is(err))
    assert.equal("invalid", err.kind)
    assert.is_truthy(err.message:find("^size: "))
    assert.is_truthy(err.message:find(words, 1, true), err.message)
  end

  it("check seconds", function()
    for _, value in ipairs { 0.001, 1, 600, 9999.9 } do
      local result, err = options.seconds(value, "size")
      assert.equal(value, result)
      assert.is_nil(err)
    end
    for _, value in ipairs { 0, -1, 0 / 0, -1 / 0 } do
      refused(options.seconds, value, "more than 0 seconds")
    end
    for _, value in ipairs { 10000, 60000, 1 / 0 } do
      refused(options.seconds, value, "times are in seconds; Python's is in milliseconds")
    end
    local result, err = options.seconds(nil, "size")
    assert.is_nil(result)
    assert.is_nil(err)
    local ok, message = pcall(options.seconds, "5", "size")
    assert.is_false(ok)
    assert.is_truthy(message:find("size: number expected, got string", 1, true))
  end)

  it("check counts", function()
    assert.equal("3", tostring(options.count(3.0, "size")))
    assert.equal(0, (options.count(0, "size", 0)))
    assert.equal(1, (options.count(1, "size")))
    for _, value in ipairs { 0, -1, 1.5, 0 / 0, 1 / 0, -1 / 0, 2 ^ 53 } do
      refused(options.count, value, "a whole number from 1 on")
    end
    refused(options.count, 2, "a whole number from 3 on", 3)
    local result, err = options.count(nil, "size")
    assert.is_nil(result)
    assert.is_nil(err)
    local ok, message = pcall(options.count, {}, "size")
    assert.is_false(ok)
    assert.is_truthy(message:find("size: number expected, got table", 1, true))
  end)
end)

describe("options.check_self", function()
  local Class = {}

  it("raises for a dot in place of a colon", function()
    options.check_self(setmetatable({}, Class), Class, "files.get")
    for _, self in ipairs { {}, "files/x", 1 } do
      local ok, message = pcall(options.check_self, self, Class, "files.get_all")
      assert.is_false(ok)
      assert.is_truthy(message:find("files.get_all: call it with a colon: client.files:get_all", 1, true), message)
    end
    assert.is_false((pcall(options.check_self, nil, Class, "files.get")))
  end)
end)

describe("options.arguments", function()
  local known = { name = true, config = { size = true } }

  it("takes the only required one for short", function()
    assert.same({ name = "x" }, options.arguments("x", "name", known, "get"))
    assert.same({}, options.arguments(nil, "name", known, "get"))
    local given = { name = "x", config = { size = 1 } }
    assert.equal(given, options.arguments(given, "name", known, "get"))
  end)

  it("raises for what else there may be", function()
    for _, case in ipairs {
      { { "x", nil }, "get: takes a table of options, got string" },
      { { 5, "name" }, "get: takes a table of options, got number" },
      { { { nmae = 1 }, "name" }, "get: unknown option nmae: did you mean name?" },
      { { { config = 5 }, "name" }, "config: table expected, got number" },
    } do
      local ok, message = pcall(options.arguments, case[1][1], case[1][2], known, "get")
      assert.is_false(ok)
      assert.is_truthy(message:find(case[2], 1, true), message)
    end
  end)
end)
