--- What tokens cost: a table with its date, and the sums over it.
--
-- The prices are those of the paid tier, in US dollars for a million tokens, each with its date. The reference has
-- none: they are from two public lists of prices, and `source` is the page to check them with. They change: a program
-- replaces the table (gemini.prices) or a row of it. How usage is made up is in reference sections 4.5 (thoughts) and
-- 5.4; that a batch is half price, in 7.2.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local options = require "lgemini.options"

local prices = {}

---@class lgemini.Rate  US dollars for a million tokens
---@field date string|nil           when it was so
---@field from string|nil           holds from this day on, where a row is a list of rates
---@field input number              text, images, video, documents; the sound, too, where nothing else is said
---@field audio number|nil          sound that is sent
---@field cached number|nil         of what is sent, what is cached
---@field cached_audio number|nil
---@field output number             the text of the answer, and thoughts
---@field output_audio number|nil   where the model speaks
---@field output_image number|nil   where it draws
---@field long lgemini.Rate|nil     in place of these for a prompt of more than `above` tokens
---@field above integer|nil

---@class lgemini.Prices
---@field date string                the day of the table, YYYY-MM-DD
---@field source string              where to check it
---@field tiers table<string, number>  factor of a service tier, for what is not cached
---@field models table<string, lgemini.Rate|lgemini.Rate[]>  by the model's name without "models/"

local LONG = 200000 -- tokens of a prompt

local function pro(date, input, output)
  return { date = date, input = input, cached = input / 10, output = output, above = LONG,
    long = { input = 2 * input, cached = input / 5, output = 1.5 * output } }
end

-- Lower until the end of 2026.
local function introduced(date)
  return {
    { date = date, input = 0.75, cached = 0.075, output = 3.75 },
    { date = date, from = "2027-01-01", input = 1.50, cached = 0.15, output = 7.50 },
  }
end

---@type lgemini.Prices
prices.TABLE = {
  date = "2026-08-21",
  source = "https://ai.google.dev/gemini-api/docs/pricing",
  tiers = { standard = 1, batch = 0.5, flex = 0.5 },
  models = {
    ["gemini-3.7-flash"] = introduced "2026-08-13",
    ["gemini-3.6-flash"] = introduced "2026-08-13",
    ["gemini-3.5-flash"] = { date = "2026-05-19", input = 1.50, cached = 0.15, output = 9.00 },
    ["gemini-3.5-flash-lite"] = { date = "2026-07-22", input = 0.30, cached = 0.03, output = 2.50 },
    ["gemini-3.1-pro"] = pro("2026-02-23", 2.00, 12.00),
    ["gemini-3.1-flash-lite"] = { date = "2026-05-12", input = 0.25, audio = 0.50, cached = 0.025, cached_audio = 0.05,
      output = 1.50 },
    ["gemini-3.1-flash-image"] = { date = "2026-07-22", input = 0.50, output = 3.00, output_image = 60.00 },
    ["gemini-3-pro"] = pro("2025-11-18", 2.00, 12.00),
    ["gemini-3-pro-image"] = { date = "2026-07-22", input = 2.00, output = 12.00, output_image = 120.00 },
    ["gemini-3-flash"] = { date = "2025-12-19", input = 0.50, audio = 1.00, cached = 0.05, cached_audio = 0.10,
      output = 3.00 },
    ["gemini-2.5-pro"] = pro("2025-10-31", 1.25, 10.00),
    ["gemini-2.5-flash"] = { date = "2025-10-31", input = 0.30, audio = 1.00, cached = 0.03, cached_audio = 0.10,
      output = 2.50 },
    ["gemini-2.5-flash-lite"] = { date = "2025-10-31", input = 0.10, audio = 0.30, cached = 0.01, cached_audio = 0.03,
      output = 0.40 },
    ["gemini-2.5-flash-image"] = { date = "2026-07-22", input = 0.30, output = 2.50, output_image = 30.00 },
    ["gemini-2.0-flash"] = { date = "2025-07-04", input = 0.10, audio = 0.70, cached = 0.025, cached_audio = 0.175,
      output = 0.40 },
    ["gemini-2.0-flash-lite"] = { date = "2025-07-04", input = 0.075, output = 0.30 },
  },
}

local HINT = "give it a row: gemini.prices.models[name] = { input = , output = , ... }, or pass prices"

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...), hint = HINT }
end

--- The name of a model by itself: without "models/" or the path that Vertex AI has.
---@param model string
---@return string
function prices.name(model)
  return model:match "[^/]*$"
end

-- The row of a model, and its name: of the same name, or of that without what marks a version ("-preview-09-2025",
-- "-001", "-latest"). Never that of a sister: "gemini-x-flash-lite" is no version of "gemini-x-flash".
local function row_of(models, model)
  local name = prices.name(model)
  while name do
    if models[name] then
      return models[name], name
    end
    name = name:match "^(.+)%-%d+$" or name:match "^(.+)%-preview$" or name:match "^(.+)%-latest$"
  end
end

-- Of a list of rates the last that holds on a day.
local function on_day(row, day)
  local rate = row
  if row[1] then
    rate = nil
    for _, one in ipairs(row) do
      if not one.from or one.from <= day then
        rate = one
      end
    end
  end
  return rate
end

---@class lgemini.Bill  US dollars
---@field total number
---@field input number     what was sent and is not cached, results of tools included
---@field cached number
---@field output number    the answer
---@field thoughts number
---@field model string     the row of the table
---@field date string|nil  of its price
---@field tier string|nil

---@class lgemini.prices.Counts  tokens
---@field prompt integer|nil        all that was sent, what is cached included
---@field audio integer|nil         of it
---@field cached integer|nil        of it
---@field cached_audio integer|nil  of what is cached
---@field tools integer|nil         what tools brought
---@field output integer|nil
---@field output_audio integer|nil  of it
---@field output_image integer|nil  of it
---@field thoughts integer|nil

-- Each count and the price of it, or the name of the price that is missing.
local function lines(rate, counts)
  local cached, cached_audio = counts.cached or 0, counts.cached_audio or 0
  local sound = math.max(0, (counts.audio or 0) - cached_audio)
  local spoken, drawn = counts.output_audio or 0, counts.output_image or 0
  local list = {
    { "input", (counts.prompt or 0) - cached - sound + (counts.tools or 0), rate.input, "input" },
    { "input", sound, rate.audio or rate.input, "input" },
    { "cached", cached - cached_audio, rate.cached, "cached" },
    { "cached", cached_audio, rate.cached_audio or rate.cached, "cached" },
    { "output", (counts.output or 0) - spoken - drawn, rate.output, "output" },
    { "output", spoken, rate.output_audio, "output_audio" },
    { "output", drawn, rate.output_image, "output_image" },
    { "thoughts", counts.thoughts or 0, rate.output, "output" },
  }
  for _, line in ipairs(list) do
    if line[2] > 0 and type(line[3]) ~= "number" then
      return nil, line[4]
    end
  end
  return list
end

--- The price of some tokens.
---@param model string
---@param counts lgemini.prices.Counts
---@param given table  prices; tier ("standard"), day (today, in UTC)
---@return number|nil dollars
---@return lgemini.Bill|lgemini.Error bill
function prices.of(model, counts, given)
  local list = given.prices
  options.table(list.models, "prices.models")
  local row, name = row_of(list.models, model)
  local today = given.day or compat.date and compat.date "!%Y-%m-%d" or list.date
  local rate = row and on_day(row, today or "")
  if not rate then
    return invalid("there is no price for %s in the table of %s", prices.name(model), tostring(list.date))
  end
  local factor = not given.tier and 1 or (list.tiers or {})[given.tier]
  if not factor then
    return invalid("there is no factor for the service tier %s in the table of %s", given.tier, tostring(list.date))
  end
  local date = rate.date
  if rate.above and (counts.prompt or 0) > rate.above then
    rate = rate.long
  end
  local list_of_lines, missing = lines(rate, counts)
  if not list_of_lines then
    return invalid("there is no %s for %s in the table of %s", missing, name, tostring(list.date))
  end
  local bill = { input = 0, cached = 0, output = 0, thoughts = 0, model = name, date = date, tier = given.tier }
  for _, line in ipairs(list_of_lines) do
    local dollars = math.max(0, line[2]) * (line[3] or 0) / 1e6
    bill[line[1]] = bill[line[1]] + dollars * (line[1] == "cached" and 1 or factor)
  end
  bill.total = bill.input + bill.cached + bill.output + bill.thoughts
  return bill.total, bill
end

-- Tokens of a modality in the details of a count.
local function of_modality(details, modality)
  local n = 0
  for _, one in ipairs(details or {}) do
    if one.modality == modality then
      n = n + (one.token_count or 0)
    end
  end
  return n
end

local KNOWN = { model = true, prices = true, tier = true, day = true }

--- What an answer cost; see gemini.price.
---@param response table
---@param given table|nil
---@param list lgemini.Prices
---@return number|nil dollars
---@return lgemini.Bill|lgemini.Error bill
function prices.price(response, given, list)
  if type(response) ~= "table" then
    errors.misuse(("price: response: table expected, got %s"):format(type(response)))
  end
  given = options.arguments(given, nil, KNOWN, "price")
  local usage = response.usage_metadata
  local model = given.model or response.model_version
  if type(usage) ~= "table" or next(usage) == nil then
    return nil, errors.new { kind = "invalid", message = "the answer has no usage_metadata: what it cost is not known" }
  elseif type(model) ~= "string" then
    return nil, errors.new { kind = "invalid", message = "the answer has no model_version", hint = "pass model" }
  end
  local tier = given.tier or usage.service_tier
  return prices.of(model, {
    prompt = usage.prompt_token_count,
    audio = of_modality(usage.prompt_tokens_details, "AUDIO"),
    cached = usage.cached_content_token_count,
    cached_audio = of_modality(usage.cache_tokens_details, "AUDIO"),
    tools = usage.tool_use_prompt_token_count,
    output = usage.candidates_token_count,
    output_audio = of_modality(usage.candidates_tokens_details, "AUDIO"),
    output_image = of_modality(usage.candidates_tokens_details, "IMAGE"),
    thoughts = usage.thoughts_token_count,
  }, { prices = given.prices or list, tier = tier and tier:lower(), day = given.day })
end

return prices
