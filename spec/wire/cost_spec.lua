-- What gemini.estimate and gemini.price say beside what the emulator counts: it goes by the same documents and shares
-- no code with the library. #plain: whole processes, and nothing that a sanitizer does not see elsewhere.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local process = require "spec.support.process"
local program = require "spec.support.program"

local FIXTURES = "spec/fixtures/"
local MODELS = { "gemini-2.5-flash", "gemini-3.5-flash" }
local FILES = { "slide.png", "slide.jpg", "slide.webp", "slide.gif", "slide.heic", "call.wav", "call.mp3", "call.flac",
  "call.ogg", "call.opus", "call.aac", "call.m4a", "call.webm", "demo.mp4", "demo.mov", "demo.mkv", "demo.webm",
  "demo.avi", "paper.pdf" }

describe("an estimate #plain", function()
  local em, client

  setup(function()
    em = emulator.start { args = { "--processing", "0.1" } }
    client = gemini.Client { api_key = "key", http_options = { base_url = em.url } }
  end)
  teardown(function()
    client:close()
    em:stop()
  end)

  local function same(model, contents, resolution)
    local level = resolution and "MEDIA_RESOLUTION_" .. resolution
    local counted = assert(client.models:count_tokens { model = model, contents = contents,
      config = { generation_config = { media_resolution = level } } })
    local sum = assert(gemini.estimate { model = model, contents = contents, config = { media_resolution = level } })
    assert.equal(counted.total_tokens, sum.total_tokens)
    for _, one in ipairs(counted.prompt_tokens_details) do
      assert.equal(one.token_count, sum.by[one.modality:lower()])
    end
    assert.is_true(sum.low <= counted.total_tokens and counted.total_tokens <= sum.high)
    return sum
  end

  for _, model in ipairs(MODELS) do
    for _, name in ipairs(FILES) do
      it("of " .. name .. " is the count of the service, for " .. model, function()
        -- Matroska is not among the types of the service, and its kin is
        local mime_type = name == "demo.mkv" and "video/webm" or nil
        same(model, { "What is this?", { file = FIXTURES .. name, mime_type = mime_type } })
      end)
    end

    it("of all in one, in any resolution, is, too: " .. model, function()
      local contents = { "What are these?", { file = FIXTURES .. "slide.jpg" }, { file = FIXTURES .. "call.mp3" },
        { file = FIXTURES .. "demo.mov", video_metadata = { start_offset = 0.5, end_offset = "1.75s", fps = 8 } },
        { file = FIXTURES .. "paper.pdf" } }
      for _, resolution in ipairs { "LOW", "MEDIUM", "HIGH" } do same(model, contents, resolution) end
    end)
  end

  it("is what the answer's usage says was sent, and its price is a part of the answer's", function()
    local contents = { "Which claims are not on the slide?", { file = FIXTURES .. "slide.png" },
      { file = FIXTURES .. "call.mp3" } }
    for _, model in ipairs(MODELS) do
      local sum = assert(gemini.estimate { model = model, contents = contents })
      local response = assert(client.models:generate_content { model = model, contents = contents })
      assert.equal(response.usage_metadata.prompt_token_count, sum.total_tokens)
      local dollars, bill = gemini.price(response)
      assert(dollars, bill)
      assert.near(sum.price, bill.input, 1e-15)
      assert.near(bill.output + bill.thoughts + sum.price, dollars, 1e-15)
      assert.is_true(bill.output > 0)
      assert.equal(model, bill.model)
    end
  end)

  it("has the price of a stream's response", function()
    local stream = client.models:generate_content_stream { model = MODELS[2], contents = "Tell a story." }
    for _ in stream:texts() do end -- luacheck: ignore 542
    local usage = stream.response.usage_metadata
    assert.near((usage.prompt_token_count * 1.5
      + (usage.candidates_token_count + usage.thoughts_token_count) * 9) / 1e6, gemini.price(stream.response), 1e-15)
  end)

  it("costs a program nothing that does not ask for it", function()
    local directory = process.temporary_directory()
    local path = directory .. "/loaded.lua"
    local file = assert(io.open(path, "wb"))
    file:write [[
      local gemini = require "lgemini"
      local function loaded()
        local names = {}
        for _, name in ipairs { "errors", "prices", "estimate", "tokens", "media", "media_facts", "media_image",
          "media_riff", "core" } do
          if package.loaded["lgemini." .. name] then names[#names + 1] = name end
        end
        print(table.concat(names, " "))
      end
      loaded()
      print(gemini.prices.date)
      loaded()
      assert(gemini.estimate { model = "gemini-3.5-flash", contents = "text" })
      loaded()
      assert(gemini.estimate { model = "gemini-3.5-flash", contents = { { file = "spec/fixtures/slide.png" } } })
      loaded()]]
    file:close()
    local result = program.run(path)
    process.remove_directory(directory)
    assert.equal("errors\n" .. gemini.prices.date .. "\nerrors prices\nerrors prices estimate tokens media\n"
      .. "errors prices estimate tokens media media_facts media_image core\n", result.out)
  end)
end)
