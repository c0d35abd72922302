--- What media and text count, in tokens: the rules of reference section 9.3, by families of models. What no rule covers
-- is an error. Pure: how large or long something is comes from elsewhere (media_facts.lua).

local errors = require "lgemini.errors"
local prices = require "lgemini.prices"

local tokens = {}

local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min

local TILE = 258 -- tokens; an image whose sides have at most SMALL pixels is one
local SMALL = 384
local CHARACTERS = 4 -- a token of text, about
local LONGEST = 16 -- characters of a token; only runs of blanks and the like come near

-- By family. `image` and `page` are tokens by resolution (an image without a number is counted in tiles). `frame` is
-- tokens of a picture of a video, and `second` what the same section gives, about, for a second of video and sound; the
-- two do not agree, and the difference is in the bounds. `sound` is tokens of a second, least and most.
local RULES = {
  ["2"] = {
    image = { LOW = 64, MEDIUM = 256 },
    frame = { DEFAULT = 258, LOW = 66, MEDIUM = 258, HIGH = 258 },
    second = { DEFAULT = 300, LOW = 100, MEDIUM = 300, HIGH = 300 },
    page = { DEFAULT = 258, LOW = 258, MEDIUM = 258, HIGH = 258 },
    sound = { 32, 32 },
  },
  ["3"] = {
    image = { DEFAULT = 1120, LOW = 280, MEDIUM = 560, HIGH = 1120, ULTRA_HIGH = 2240 },
    frame = { DEFAULT = 70, LOW = 70, MEDIUM = 70, HIGH = 280 },
    second = { DEFAULT = 100, LOW = 100, MEDIUM = 100, HIGH = 300 },
    page = { DEFAULT = 560, LOW = 280, MEDIUM = 560, HIGH = 1120 },
    sound = { 25, 32 }, -- 25 in some documents of Vertex AI
  },
}

--- What to do instead, for errors.
tokens.ASK = "client.models:count_tokens asks the service"

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...), hint = tokens.ASK }
end

--- The rules for a model. Gemini 2.0 and 2.5 count alike, and so do 3, 3.1, 3.5, ...
---@param model string
---@return table|nil rules      for `tokens.count`
---@return lgemini.Error|nil err
function tokens.rules(model)
  local family = prices.name(model):match "^gemini%-(%d+)%f[%D]"
  local rules = family and RULES[family]
  if not rules then
    return invalid("model: there is no documented count for %s", model)
  end
  return rules
end

-- Counts --------------------------------------------------------------------------------------------------------

---@class lgemini.tokens.Sum  of one request
---@field total_tokens integer
---@field by table<string, integer>  by kind
---@field low integer
---@field high integer

---@return lgemini.tokens.Sum
function tokens.sum()
  return { by = {}, total_tokens = 0, low = 0, high = 0 }
end

--- Adds to a sum. Without bounds the number is exact.
---@param sum lgemini.tokens.Sum
---@param kind string
---@param n integer
---@param low integer|nil
---@param high integer|nil
function tokens.add(sum, kind, n, low, high)
  sum.by[kind] = (sum.by[kind] or 0) + n
  sum.total_tokens = sum.total_tokens + n
  sum.low, sum.high = sum.low + (low or n), sum.high + (high or n)
end

local add = tokens.add

--- Adds a text: about four characters a token. No token is shorter than a byte.
---@param sum lgemini.tokens.Sum
---@param characters integer
---@param bytes integer
function tokens.add_text(sum, characters, bytes)
  add(sum, "text", ceil(characters / CHARACTERS), ceil(characters / LONGEST), bytes)
end

--- Characters of a text in UTF-8, or of a piece of one.
---@param text string
---@return integer
function tokens.characters(text)
  local _, continued = text:gsub("[\128-\191]", "")
  return #text - continued
end

-- Tiles of an image whose sides are cut into pieces of that many pixels.
local function tiles(facts, unit)
  return ceil(facts.width / unit) * ceil(facts.height / unit)
end

-- Tokens of an image in tiles: the count, and its bounds. The unit is the shorter side over 1.5. Documents of Vertex AI
-- keep it between 256 and 768 pixels: where that makes another number of tiles, it is a bound.
local function tiled(facts)
  if facts.width <= SMALL and facts.height <= SMALL then
    return TILE, TILE, TILE
  end
  local unit = max(1, floor(min(facts.width, facts.height) / 1.5))
  local n, other = tiles(facts, unit), tiles(facts, max(256, min(768, unit)))
  return n * TILE, min(n, other) * TILE, max(n, other) * TILE
end

local function no_rule(what, resolution)
  return invalid("has no documented count as %s with MEDIA_RESOLUTION_%s", what, resolution)
end

local counters = {}

function counters.image(sum, facts, rules, given)
  local n = rules.image[given.resolution]
  if n then
    add(sum, "image", n)
    return true
  elseif given.resolution == "DEFAULT" then
    add(sum, "image", tiled(facts))
    return true
  elseif given.resolution ~= "HIGH" then
    return no_rule("an image", given.resolution)
  end
  -- 256 and the image once more in pieces ("pan and scan"), of which nothing is said: as many as the tiles.
  local count, _, most = tiled(facts)
  add(sum, "image", count, rules.image.MEDIUM, most + rules.image.MEDIUM)
  return true
end

function counters.document(sum, facts, rules, given)
  local each = rules.page[given.resolution]
  if not each then
    return no_rule("a page", given.resolution)
  end
  add(sum, "document", facts.pages * each)
  return true
end

-- What is left of some seconds between two offsets.
local function clip(seconds, given)
  return max(0, min(given.to or seconds, seconds) - (given.from or 0))
end

-- Fractions of a second count or do not.
local function add_sound(sum, seconds, rules)
  add(sum, "audio", ceil(seconds * rules.sound[2]), floor(seconds) * rules.sound[1], ceil(seconds) * rules.sound[2])
end

function counters.audio(sum, facts, rules)
  if not facts.audio_seconds then
    return invalid "has no sound in it"
  end
  add_sound(sum, facts.audio_seconds, rules)
  return true
end

function counters.video(sum, facts, rules, given)
  local each = rules.frame[given.resolution]
  if not each then
    return no_rule("a video", given.resolution)
  elseif given.from and given.from >= facts.seconds then
    return invalid("starts at %g seconds, but has %g only", given.from, facts.seconds)
  end
  local frames = clip(facts.seconds, given) * given.fps
  local about = rules.second[given.resolution] - rules.sound[2] -- a frame, by the count of a whole second
  add(sum, "video", ceil(frames) * each, max(1, floor(frames)) * min(each, about),
    (floor(frames) + 1) * max(each, about))
  if facts.audio_seconds then
    add_sound(sum, clip(facts.audio_seconds, given), rules)
  end
  return true
end

---@class lgemini.tokens.Given  what is asked of a part
---@field resolution string  "DEFAULT", "LOW", "MEDIUM", "HIGH", "ULTRA_HIGH"
---@field fps number         of a video
---@field from number|nil    seconds
---@field to number|nil

--- Adds a part of media.
---@param sum lgemini.tokens.Sum
---@param kind "image"|"audio"|"video"|"document"
---@param facts lgemini.MediaFacts
---@param rules table  of `tokens.rules`
---@param given lgemini.tokens.Given
---@return true|nil
---@return lgemini.Error|nil err  "invalid"; its message goes behind the name of the file
function tokens.count(sum, kind, facts, rules, given)
  return counters[kind](sum, facts, rules, given)
end

return tokens
