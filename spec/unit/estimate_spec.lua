local gemini = require "lgemini"
local prices = require "lgemini.prices"
local schema = require "lgemini.schema"

local FIXTURES = "spec/fixtures/"
local TWO, THREE = "gemini-2.5-flash", "gemini-3.5-flash"

local function content(name)
  local file = assert(io.open(FIXTURES .. name, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

local function estimate(model, contents, config, more)
  local args = { model = model, contents = contents, config = config }
  for name, value in pairs(more or {}) do args[name] = value end
  return gemini.estimate(args)
end

local function fixture(name, more)
  local part = { file = FIXTURES .. name }
  for field, value in pairs(more or {}) do part[field] = value end
  return part
end

local function refused(message, ...)
  local sum, err = estimate(...)
  assert.is_nil(sum)
  assert.equal("invalid", err.kind)
  assert.equal(message, err.message)
  return err
end

-- Worked out by hand from reference section 9.3, with the times in facts_spec.lua:
-- - 640x360 is more than 384 pixels: crop units of floor(360 / 1.5) = 240, so 3 by 2 tiles of 258. 1,120 on Gemini 3.
-- - 32 tokens a second of sound, rounded up: 5.8314 s are 187, 5.904 s 189, 5.952 s 191. Bounds: 5 and 6 whole seconds,
--   of 25 and 32 tokens on Gemini 3.
-- - a picture each second: 2 of 258 or 70 for 2 s, 3 for what is longer; 64 to 67 tokens of sound. Bounds: 2 and 3
--   pictures of 258 to 268 (300 - 32), on Gemini 3 of 68 (100 - 32) to 70; 2 and 3 whole seconds of sound (2 where
--   there are exactly two).
-- - a page has 258, on Gemini 3 560.
-- By name: kinds, total, low, high; and the price by the rows of the table: 0.30 and 1.00 for sound; 1.50.
local SLIDE2 = { { image = 1548 }, 1548, 1548, 1548, 0.0004644 }
local SLIDE3 = { { image = 1120 }, 1120, 1120, 1120, 0.00168 }
local CALL2 = { { audio = 187 }, 187, 160, 192, 0.000187 }
local CALL3 = { { audio = 187 }, 187, 125, 192, 0.0002805 }
local WORKED_OUT = {
  [TWO] = {
    ["slide.png"] = SLIDE2, ["slide.jpg"] = SLIDE2, ["slide.webp"] = SLIDE2, ["slide.gif"] = SLIDE2,
    ["slide.heic"] = SLIDE2,
    ["call.wav"] = CALL2, ["call.flac"] = CALL2, ["call.ogg"] = CALL2, ["call.opus"] = CALL2, ["call.m4a"] = CALL2,
    ["call.webm"] = CALL2,
    ["call.mp3"] = { { audio = 189 }, 189, 160, 192, 0.000189 },
    ["call.aac"] = { { audio = 191 }, 191, 160, 192, 0.000191 },
    ["demo.mp4"] = { { video = 516, audio = 64 }, 580, 580, 868, 0.0002188 },
    ["demo.mov"] = { { video = 516, audio = 64 }, 580, 580, 868, 0.0002188 },
    ["demo.mkv"] = { { video = 774, audio = 67 }, 841, 580, 900, 0.0002992 },
    ["demo.webm"] = { { video = 774, audio = 66 }, 840, 580, 900, 0.0002982 },
    ["demo.avi"] = { { video = 774, audio = 67 }, 841, 580, 900, 0.0002992 },
    ["paper.pdf"] = { { document = 258 }, 258, 258, 258, 0.0000774 },
    ["packed.pdf"] = { { document = 258 }, 258, 258, 258, 0.0000774 },
  },
  [THREE] = {
    ["slide.png"] = SLIDE3, ["slide.jpg"] = SLIDE3, ["slide.webp"] = SLIDE3, ["slide.gif"] = SLIDE3,
    ["slide.heic"] = SLIDE3,
    ["call.wav"] = CALL3, ["call.flac"] = CALL3, ["call.ogg"] = CALL3, ["call.opus"] = CALL3, ["call.m4a"] = CALL3,
    ["call.webm"] = CALL3,
    ["call.mp3"] = { { audio = 189 }, 189, 125, 192, 0.0002835 },
    ["call.aac"] = { { audio = 191 }, 191, 125, 192, 0.0002865 },
    ["demo.mp4"] = { { video = 140, audio = 64 }, 204, 186, 274, 0.000306 },
    ["demo.mov"] = { { video = 140, audio = 64 }, 204, 186, 274, 0.000306 },
    ["demo.mkv"] = { { video = 210, audio = 67 }, 277, 186, 306, 0.0004155 },
    ["demo.webm"] = { { video = 210, audio = 66 }, 276, 186, 306, 0.000414 },
    ["demo.avi"] = { { video = 210, audio = 67 }, 277, 186, 306, 0.0004155 },
    ["paper.pdf"] = { { document = 560 }, 560, 560, 560, 0.00084 },
    ["packed.pdf"] = { { document = 560 }, 560, 560, 560, 0.00084 },
  },
}

describe("the estimate of", function()
  for model, files in pairs(WORKED_OUT) do
    for name, wanted in pairs(files) do
      it(name .. " for " .. model, function()
        local sum, err = estimate(model, fixture(name))
        assert.is_nil(err)
        assert.same(wanted[1], sum.by)
        assert.equal(wanted[2], sum.total_tokens)
        assert.equal(wanted[3], sum.low)
        assert.equal(wanted[4], sum.high)
        assert.near(wanted[5], sum.price, 1e-12)
        assert.equal(tostring(wanted[2]), tostring(sum.total_tokens)) -- an integer where there are integers
      end)
    end
  end

  it("a file, bytes, and a part of the API with the same bytes", function()
    local bytes = content "demo.mp4"
    for _, part in ipairs { fixture "demo.mp4", { data = bytes }, { data = bytes, via = "upload" },
      { inline_data = { mime_type = "video/mp4", data = bytes } } } do
      local sum = assert(estimate(THREE, { part }))
      assert.same({ video = 140, audio = 64 }, sum.by)
    end
  end)

  it("text: four characters a token, between a sixteenth and a token each byte", function()
    local sum = assert(estimate(THREE, "Name a river."))
    assert.same({ text = 4 }, sum.by)
    assert.same({ 4, 1, 13 }, { sum.total_tokens, sum.low, sum.high })
    sum = assert(estimate(TWO, ("\195\164"):rep(33))) -- 33 characters of two bytes
    assert.same({ 9, 3, 66 }, { sum.total_tokens, sum.low, sum.high })
    sum = assert(estimate(TWO, { "12345", "67890" })) -- each part by itself
    assert.equal(4, sum.total_tokens)
  end)

  it("text in a file, read in pieces", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(("\226\130\172 "):rep(100001)) -- 200,002 characters in 400,004 bytes
    file:close()
    local sum, err = estimate(TWO, { file = path, mime_type = "text/markdown" })
    os.remove(path)
    assert.is_nil(err)
    assert.same({ text = 50001 }, sum.by)
    assert.equal(400004, sum.high)
  end)

  it("turns, the system instruction, calls of functions and tools", function()
    local plain = assert(estimate(THREE, "12345678")).total_tokens
    assert.equal(2, plain)
    local sum = assert(estimate(THREE, {
      { role = "user", parts = { "12345678" } },
      { role = "model", parts = { { function_call = { name = "f", args = { a = 1 } } } } },
      { role = "user", parts = { { function_response = { name = "f", response = { b = 2 } } } } },
    }, { system_instruction = "1234" }))
    -- {"args":{"a":1},"name":"f"} has 27 characters, {"name":"f","response":{"b":2}} 31
    assert.equal(2 + 7 + 8 + 1, sum.total_tokens)
    assert.same({ text = 18 }, sum.by)
    -- {"functionDeclarations":[{"description":"d","name":"f"}]} has 57
    sum = assert(estimate(THREE, "12345678", { tools = { gemini.tool { name = "f", description = "d",
      call = function() end } } }))
    assert.equal(2 + 15, sum.total_tokens)
  end)

  it("the schema of the answer", function()
    -- {"responseSchema":{"items":{"type":"STRING"},"type":"ARRAY"}} has 61 characters
    local sum = assert(estimate(THREE, "12345678",
      { response_schema = { type = "array", items = { type = "string" } } }))
    assert.same({ text = 2 + 16 }, sum.by)
    assert.equal(8 + 61, sum.high)
    -- {"responseJsonSchema":{"type":"string"}} has 40
    sum = assert(estimate(THREE, "12345678", { response_json_schema = { type = "string" } }))
    assert.same({ text = 2 + 10 }, sum.by)
    refused('config.response_json_schema.type: "strin" is no type; it is string, number, integer, boolean, array, '
      .. "object or null", THREE, "x", { response_json_schema = { type = "strin" } })
  end)

  it("what is in a cache, as the service counted it", function()
    local sum = assert(estimate(TWO, "12345678", { cached_content = "cachedContents/x" }, { cached_tokens = 100000 }))
    assert.same({ text = 2, cached = 100000 }, sum.by)
    assert.equal(100002, sum.total_tokens)
    assert.near(2 * 0.30e-6 + 100000 * 0.03e-6, sum.price, 1e-12)
    local err = refused("config.cached_content is not on this machine", TWO, "x", { cached_content = "x" })
    assert.matches("cached_tokens = cache.usage_metadata.total_token_count", err.hint, 1, true)
  end)
end)

describe("an image", function()
  -- A PNG of a size; nothing of it but the header is read.
  local function png(width, height)
    local function be(n) return string.char(0, math.floor(n / 65536), math.floor(n / 256) % 256, n % 256) end
    return { data = "\137PNG\r\n\26\n\0\0\0\13IHDR" .. be(width) .. be(height) }
  end
  local function counts(width, height, model, config)
    local sum = assert(estimate(model or TWO, png(width, height), config))
    return { sum.total_tokens, sum.low, sum.high }
  end

  it("in tiles, on Gemini 2", function()
    assert.same({ 258, 258, 258 }, counts(384, 384))
    assert.same({ 258, 258, 258 }, counts(1, 1))
    assert.same({ 1032, 1032, 1032 }, counts(385, 384)) -- units of 256: 2 by 2
    assert.same({ 1548, 1548, 1548 }, counts(960, 540)) -- the reference's own: units of 360, 6 tiles
    assert.same({ 1548, 1548, 1548 }, counts(1920, 1080)) -- units of 720: 3 by 2
    -- units of 2,000: 2 by 2; in pieces of at most 768: 6 by 4
    assert.same({ 1032, 1032, 6192 }, counts(4000, 3000))
    -- units of 66: 7 by 2; in pieces of at least 256: 2 by 1
    assert.same({ 3612, 516, 3612 }, counts(400, 100))
    assert.same({ 103200, 516, 103200 }, counts(400, 1)) -- no unit of 0
  end)

  it("by its resolution", function()
    local function with(level) return { media_resolution = "MEDIA_RESOLUTION_" .. level } end
    assert.same({ 64, 64, 64 }, counts(960, 540, TWO, with "LOW"))
    assert.same({ 256, 256, 256 }, counts(960, 540, TWO, with "MEDIUM"))
    assert.same({ 1548, 256, 1804 }, counts(960, 540, TWO, with "HIGH"))
    assert.same({ 1548, 1548, 1548 }, counts(960, 540, TWO, with "UNSPECIFIED"))
    assert.same({ 280, 280, 280 }, counts(960, 540, THREE, with "LOW"))
    assert.same({ 560, 560, 560 }, counts(960, 540, THREE, with "MEDIUM"))
    assert.same({ 1120, 1120, 1120 }, counts(960, 540, THREE, with "HIGH"))
    local sum = assert(estimate(THREE, { -- a part's own comes first
      { data = png(9, 9).data, media_resolution = "MEDIA_RESOLUTION_ULTRA_HIGH" },
      { data = png(9, 9).data, media_resolution = { level = "MEDIA_RESOLUTION_LOW" } }, png(9, 9),
    }, with "MEDIUM"))
    assert.equal(2240 + 280 + 560, sum.total_tokens)
  end)

  it("with a resolution that has no rule is an error", function()
    refused("contents: the data has no documented count as an image with MEDIA_RESOLUTION_ULTRA_HIGH", TWO,
      { data = png(9, 9).data, media_resolution = "MEDIA_RESOLUTION_ULTRA_HIGH" })
    refused("contents.media_resolution.num_tokens: there is no documented count for it", THREE,
      { data = png(9, 9).data, media_resolution = { level = "MEDIA_RESOLUTION_LOW", num_tokens = 100 } })
    refused('config.media_resolution: MEDIA_RESOLUTION_LOW, _MEDIUM, _HIGH or _ULTRA_HIGH, not "low"', THREE,
      png(9, 9), { media_resolution = "low" })
  end)
end)

describe("a video", function()
  local function by(model, more, config)
    return assert(estimate(model, fixture("demo.mp4", more), config)).by
  end

  it("by its resolution", function()
    local function with(level) return { media_resolution = "MEDIA_RESOLUTION_" .. level } end
    assert.same({ video = 132, audio = 64 }, by(TWO, {}, with "LOW"))
    assert.same({ video = 516, audio = 64 }, by(TWO, {}, with "HIGH"))
    assert.same({ video = 140, audio = 64 }, by(THREE, with "LOW"))
    assert.same({ video = 140, audio = 64 }, by(THREE, with "MEDIUM"))
    assert.same({ video = 560, audio = 64 }, by(THREE, with "HIGH"))
    refused("contents: spec/fixtures/demo.mp4 has no documented count as a video with MEDIA_RESOLUTION_ULTRA_HIGH",
      THREE, fixture("demo.mp4", with "ULTRA_HIGH"))
    local sum = assert(estimate(TWO, fixture "demo.mp4", with "LOW"))
    assert.same({ 132 + 64, 3 * 68 + 64 }, { sum.low, sum.high }) -- about 100 a second: 68 a picture
    sum = assert(estimate(THREE, fixture "demo.mp4", with "HIGH"))
    assert.same({ 2 * 268 + 50, 3 * 280 + 64 }, { sum.low, sum.high })
  end)

  it("by its offsets and frames a second", function()
    local function cut(metadata) return by(TWO, { video_metadata = metadata }) end
    assert.same({ video = 258 * 20, audio = 64 }, cut { fps = 10 })
    assert.same({ video = 258, audio = 64 }, cut { fps = 0.5 })
    assert.same({ video = 258, audio = 32 }, cut { start_offset = 1 })
    assert.same({ video = 258, audio = 16 }, cut { start_offset = "0.5s", end_offset = "1s" })
    assert.same({ video = 516, audio = 64 }, cut { end_offset = 99 })
    assert.same({ video = 258 * 6, audio = 48 }, cut { start_offset = 0.5, fps = 4 })
  end)

  it("with offsets or frames that cannot be", function()
    local function wrong(message, metadata)
      refused("contents" .. message, TWO, fixture("demo.mp4", { video_metadata = metadata }))
    end
    wrong(": spec/fixtures/demo.mp4 starts at 2 seconds, but has 2 only", { start_offset = 2 })
    wrong(".video_metadata.end_offset is not behind start_offset", { start_offset = 1, end_offset = "1s" })
    wrong('.video_metadata.start_offset: seconds, as 1.5 or "1.5s", not 01:00', { start_offset = "01:00" })
    wrong('.video_metadata.end_offset: seconds, as 1.5 or "1.5s", not -1', { end_offset = -1 })
    wrong(".video_metadata.fps: more than 0 and at most 24, not 25", { fps = 25 })
    wrong(".video_metadata.fps: more than 0 and at most 24, not 0", { fps = 0 })
  end)

  it("sent as audio is its sound", function()
    assert.same({ audio = 64 }, by(TWO, { mime_type = "audio/mp4" }))
  end)
end)

describe("pages by their resolution", function()
  it("differ on Gemini 3 only", function()
    local function pages(model, level)
      local config = { media_resolution = "MEDIA_RESOLUTION_" .. level }
      return assert(estimate(model, fixture "paper.pdf", config)).total_tokens
    end
    assert.same({ 258, 258, 258 }, { pages(TWO, "LOW"), pages(TWO, "MEDIUM"), pages(TWO, "HIGH") })
    assert.same({ 280, 560, 1120 }, { pages(THREE, "LOW"), pages(THREE, "MEDIUM"), pages(THREE, "HIGH") })
  end)
end)

describe("what cannot be told is an error:", function()
  local ASK = "client.models:count_tokens asks the service"

  it("media on the service, and elsewhere", function()
    local remote = { file_data = { file_uri = "https://generativelanguage.googleapis.com/v1beta/files/x",
      mime_type = "video/mp4" } }
    local message = "contents, part 2 of turn 1 is not on this machine: how much it counts cannot be told offline"
    assert.equal(ASK, refused(message, THREE, { "Look", remote }).hint)
    local file = setmetatable({ name = "files/x", uri = remote.file_data.file_uri, mime_type = "video/mp4" },
      schema.mark "File")
    refused("contents[1] is not on this machine: how much it counts cannot be told offline", THREE, { file, "Look" })
  end)

  it("a model without rules", function()
    for _, model in ipairs { "gemini-1.5-pro", "gemini-flash-latest", "gemma-3-27b-it", "gemini-30-pro" } do
      assert.equal(ASK, refused("model: there is no documented count for models/" .. model, model, "x").hint)
    end
    for _, model in ipairs { "models/gemini-2.0-flash", "gemini-3-pro-preview", "gemini-3.1-pro", "gemini-2.5-pro" } do
      assert.truthy(estimate(model, "x"))
    end
  end)

  it("a file that is not whole, not there, no file, or not of its type", function()
    assert.equal(ASK, refused("contents[2]: spec/fixtures/broken.mp4 ends within its mdat box", THREE,
      { "Look", fixture "broken.mp4" }).hint)
    for _, path in ipairs { "/nowhere/x.png", "spec", "/dev/null" } do
      local sum, err = estimate(THREE, { "Look", { file = path, mime_type = "image/png" } })
      assert.is_nil(sum)
      assert.equal("io", err.kind)
      assert.matches("^contents%[2%]: ", err.message)
    end
    refused("contents: the data is image/bmp, which is not read here", THREE,
      { data = "BM\100\0\0\0\0\0\0\0\54\0", mime_type = "image/png" })
    refused("contents: the data is audio/x-own, which is not read here", THREE,
      { data = "sound", mime_type = "audio/x-own" })
    local silent = content("demo.mp4"):gsub("soun", "text")
    assert.same({ video = 140 }, assert(estimate(THREE, { data = silent })).by)
    refused("contents: the data has no sound in it", THREE, { data = silent, mime_type = "audio/mp4" })
  end)

  it("contents and configs that generate_content refuses, too", function()
    refused("contents are required", THREE, "")
    refused("contents[1].data is raw bytes; this is base64", THREE, { { data = "iVBORw0KGgoAAAANSUhEUg==" } })
    refused("contents, part 1 of turn 1.inline_data.data is raw bytes; this is base64", THREE,
      { { inline_data = { mime_type = "image/png", data = "iVBORw0KGgoAAAANSUhEUg==" } } })
    local ok, message = pcall(function()
      local sum = gemini.estimate { model = THREE, contents = "x", config = { temprature = 1 } }
      return sum
    end)
    assert.is_false(ok)
    assert.matches("estimate_spec%.lua:%d+: estimate: unknown option config%.temprature: did you mean config%.temp",
      message)
    assert.has_error(function() gemini.estimate { model = THREE, prompt = "x" } end)
    assert.has_error(function() gemini.estimate { contents = "x" } end)
  end)

  it("local files, where they are switched off", function()
    refused("contents: local files are switched off for this client (local_files = false)", THREE,
      fixture "slide.png", nil, { local_files = false })
    assert.equal(1120, assert(estimate(THREE, { file = "slide.png" }, nil,
      { local_files = function(path) return FIXTURES .. path end })).total_tokens)
    -- and in parts that came from the wire they are never read
    local part = setmetatable({ file = FIXTURES .. "slide.png", text = "1234" }, schema.mark "Part")
    assert.same({ text = 1 }, assert(estimate(THREE, { { role = "model", parts = { part } } })).by)
  end)
end)

describe("the price of an estimate", function()
  it("is by the table that is given, or that of the module", function()
    local own = { date = "2030-01-01", models = { [THREE] = { input = 1000, output = 1 } } }
    assert.equal(1, assert(estimate(THREE, ("1234"):rep(1000), nil, { prices = own })).price)
    local before = gemini.prices
    gemini.prices = own
    local sum = assert(estimate(THREE, ("1234"):rep(1000)))
    gemini.prices = before
    assert.equal(1, sum.price)
    assert.equal(prices.TABLE, gemini.prices)
  end)

  it("is half of it where flex is asked for", function()
    assert.near(0.5 * assert(estimate(THREE, fixture "slide.png")).price,
      assert(estimate(THREE, fixture "slide.png", { service_tier = "flex" })).price, 1e-12)
  end)

  it("is none where the table has none: why is said, and the count is there", function()
    local sum = assert(estimate("gemini-3.9-ultra", "1234"))
    assert.equal(1, sum.total_tokens)
    assert.is_nil(sum.price)
    assert.equal("there is no price for gemini-3.9-ultra in the table of 2026-08-21", sum.unpriced)
    assert.matches("no factor for the service tier priority",
      assert(estimate(THREE, "1234", { service_tier = "priority" })).unpriced)
  end)
end)
