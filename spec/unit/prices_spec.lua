local gemini = require "lgemini"
local prices = require "lgemini.prices"

local function answer(model, usage)
  return { model_version = model, usage_metadata = usage }
end

local function cost(model, usage, options)
  local dollars, bill = gemini.price(answer(model, usage), options)
  assert(dollars, bill)
  assert.near(dollars, bill.input + bill.cached + bill.output + bill.thoughts, 1e-15)
  assert.equal(dollars, bill.total)
  return dollars, bill
end

local function refused(message, ...)
  local dollars, err = gemini.price(...)
  assert.is_nil(dollars)
  assert.equal("invalid", err.kind)
  assert.matches(message, err.message, 1, true)
  return err
end

-- By hand, in millionths of a dollar.
describe("the price of an answer", function()
  it("is what was sent, the answer and the thoughts", function()
    local dollars, bill = cost("gemini-3.5-flash", { prompt_token_count = 1000, candidates_token_count = 100,
      thoughts_token_count = 50, total_token_count = 1150 })
    assert.near((1000 * 1.5 + 100 * 9 + 50 * 9) / 1e6, dollars, 1e-12)
    assert.near(1500e-6, bill.input, 1e-12)
    assert.near(900e-6, bill.output, 1e-12)
    assert.near(450e-6, bill.thoughts, 1e-12)
    assert.equal("gemini-3.5-flash", bill.model)
    assert.equal("2026-05-19", bill.date)
  end)

  it("is less for what was cached, which is a part of what was sent", function()
    local dollars, bill = cost("gemini-2.5-flash", { prompt_token_count = 10000, cached_content_token_count = 8000 })
    assert.near((2000 * 0.3 + 8000 * 0.03) / 1e6, dollars, 1e-12)
    assert.near(240e-6, bill.cached, 1e-12)
  end)

  it("is another for sound, and for sound that was cached", function()
    local both = { { modality = "TEXT", token_count = 500 }, { modality = "AUDIO", token_count = 1000 } }
    local dollars = cost("gemini-2.5-flash", { prompt_token_count = 1500,
      prompt_tokens_details = both })
    assert.near((500 * 0.3 + 1000 * 1) / 1e6, dollars, 1e-12)
    dollars = cost("gemini-2.5-flash", { prompt_token_count = 1500, cached_content_token_count = 900,
      prompt_tokens_details = both,
      cache_tokens_details = { { modality = "TEXT", token_count = 300 }, { modality = "AUDIO", token_count = 600 } } })
    assert.near((200 * 0.3 + 400 * 1 + 300 * 0.03 + 600 * 0.1) / 1e6, dollars, 1e-12)
    -- the same where the model has no price of its own for it
    dollars = cost("gemini-3.5-flash", { prompt_token_count = 1000,
      prompt_tokens_details = { { modality = "AUDIO", token_count = 1000 } } })
    assert.near(1500e-6, dollars, 1e-12)
  end)

  it("is higher for a prompt of more than 200,000 tokens", function()
    local usage = { prompt_token_count = 200000, candidates_token_count = 1000 }
    assert.near(0.25 + 0.01, cost("gemini-2.5-pro", usage), 1e-12)
    usage.prompt_token_count = 200001
    assert.near(200001 * 2.5e-6 + 0.015, cost("gemini-2.5-pro", usage), 1e-12)
    usage.cached_content_token_count = 100001
    assert.near(0.25 + 100001 * 0.25e-6 + 0.015, cost("gemini-2.5-pro", usage), 1e-12)
    usage = { prompt_token_count = 150000, candidates_token_count = 25000 }
    assert.near(0.6, cost("gemini-3.1-pro-preview", usage), 1e-12)
  end)

  it("has what tools brought in it", function()
    local usage = { prompt_token_count = 100, tool_use_prompt_token_count = 100 }
    assert.near(300e-6, cost("gemini-3.5-flash", usage), 1e-12)
  end)

  it("has pictures at their price", function()
    local usage = { prompt_token_count = 100, candidates_token_count = 1390,
      candidates_tokens_details = { { modality = "IMAGE", token_count = 1290 } } }
    assert.near((100 * 0.3 + 1290 * 30 + 100 * 2.5) / 1e6, cost("gemini-2.5-flash-image", usage), 1e-12)
    refused("there is no output_image for gemini-3.5-flash", answer("gemini-3.5-flash", usage))
    refused("there is no cached for gemini-2.5-flash-image", answer("gemini-2.5-flash-image",
      { prompt_token_count = 100, cached_content_token_count = 100 }))
  end)

  it("is half for a batch and for flex, but for what is cached", function()
    local usage = { prompt_token_count = 2000, cached_content_token_count = 1000, candidates_token_count = 100 }
    local half = (1000 * 1.5 + 100 * 9) / 2e6 + 1000 * 0.15 / 1e6
    assert.near(half, cost("gemini-3.5-flash", usage, { tier = "batch" }), 1e-12)
    usage.service_tier = "FLEX" -- as the service may say it
    assert.near(half, cost("gemini-3.5-flash", usage), 1e-12)
    usage.service_tier = "priority"
    refused("there is no factor for the service tier priority", answer("gemini-3.5-flash", usage))
  end)

  it("of an introduction ends with its day", function()
    local usage = { prompt_token_count = 1000000, candidates_token_count = 1000000 }
    assert.near(4.5, cost("gemini-3.6-flash", usage, { day = "2026-12-31" }), 1e-9)
    assert.near(9, cost("gemini-3.6-flash", usage, { day = "2027-01-01" }), 1e-9)
  end)

  it("is found by the name of a version, never by that of a sister", function()
    local usage = { prompt_token_count = 1000000 }
    local function row(model) return select(2, cost(model, usage)).model end
    assert.equal("gemini-2.5-flash", row "gemini-2.5-flash-preview-09-2025")
    assert.equal("gemini-2.5-flash-lite", row "models/gemini-2.5-flash-lite-001")
    assert.equal("gemini-3-pro", row "publishers/google/models/gemini-3-pro-preview")
    assert.equal("gemini-2.0-flash", row "gemini-2.0-flash-latest")
    for _, model in ipairs { "gemini-2.5-flash-preview-tts", "gemini-3.5-pro", "gemini-2.5", "gemini-2.5-flash-x" } do
      local err = refused(("there is no price for %s in the table of 2026-08-21"):format(model), answer(model, usage))
      assert.matches("gemini.prices.models[name]", err.hint, 1, true)
    end
  end)

  it("is by another table, model or day where they are given", function()
    local own = { date = "2030-01-01", models = { mine = { input = 2, output = 4 } } }
    assert.equal(6, (gemini.price({ usage_metadata = { prompt_token_count = 1e6, candidates_token_count = 1e6 } },
      { model = "mine", prices = own })))
    refused("in the table of 2030-01-01", answer("gemini-3.5-flash", { prompt_token_count = 1 }), { prices = own })
  end)

  it("is that of a row that the program added", function()
    gemini.prices.models.mine = { input = 2, output = 4 }
    assert.equal(2, (gemini.price(answer("mine", { prompt_token_count = 1e6 }))))
    gemini.prices.models.mine = nil
  end)

  it("is not known without usage or model", function()
    refused("has no usage_metadata", { model_version = "gemini-3.5-flash" })
    refused("has no usage_metadata", { model_version = "gemini-3.5-flash", usage_metadata = {} })
    assert.equal("pass model", refused("has no model_version", { usage_metadata = { prompt_token_count = 1 } }).hint)
  end)

  it("raises for what is misuse", function()
    assert.has_error(function() gemini.price("answer") end)
    assert.error_matches(function() gemini.price(nil) end, "^price: response: table expected, got nil")
    assert.has_error(function() gemini.price({}, { modle = "x" }) end)
    assert.has_error(function() gemini.price(answer("x", { prompt_token_count = 1 }), { prices = {} }) end)
  end)
end)

describe("the table of prices", function()
  it("has a date and a source, and rows that are whole", function()
    local list, n = gemini.prices, 0
    assert.equal(prices.TABLE, list)
    assert.matches("^%d%d%d%d%-%d%d%-%d%d$", list.date)
    assert.matches("^https://ai%.google%.dev/", list.source)
    local function check(rate, name)
      n = n + 1
      assert.is_true(rate.date <= list.date, name)
      for _, field in ipairs { "input", "output" } do assert.is_true(rate[field] > 0, name) end
      assert.is_true(rate.output > rate.input and (rate.cached or 0) < rate.input, name)
      assert.is_true(not rate.audio or rate.audio > rate.input, name)
      assert.equal(rate.above ~= nil, rate.long ~= nil)
    end
    for name, row in pairs(list.models) do
      for _, rate in ipairs(row[1] and row or { row }) do check(rate, name) end
    end
    assert.is_true(n > 15)
  end)
end)
