-- Token counts by the documented rules. Gemini 3 counts images, frames and pages by resolution, earlier models by
-- tiles.

local tokens = {}

local resolutions = {
  MEDIA_RESOLUTION_LOW = "low", MEDIA_RESOLUTION_MEDIUM = "medium", MEDIA_RESOLUTION_HIGH = "high",
  MEDIA_RESOLUTION_ULTRA_HIGH = "ultra_high",
}

local three = {
  image = { default = 1120, low = 280, medium = 560, high = 1120, ultra_high = 2240 },
  frame = { default = 70, low = 70, medium = 70, high = 280, ultra_high = 280 },
  page = { default = 560, low = 280, medium = 560, high = 1120, ultra_high = 1120 },
}

local AUDIO = 32 -- a second

--- About four characters a token.
---@param text string UTF-8
---@return integer
function tokens.text(text)
  local _, characters = text:gsub("[^\128-\191]", "")
  return math.ceil(characters / 4)
end

-- 768x768 each once they are scaled: what is cut out is as large as the shorter side over 1.5.
local function tiles(width, height)
  if width <= 384 and height <= 384 then return 1 end
  local unit = math.max(1, math.floor(math.min(width, height) / 1.5))
  return math.ceil(width / unit) * math.ceil(height / unit)
end

local function image(facts, resolution, is_three)
  if is_three then return three.image[resolution] end
  if resolution == "low" then return 64 end
  if resolution == "medium" then return 256 end
  return 258 * tiles(facts.width or 384, facts.height or 384)
end

local function clip(seconds, metadata)
  local from, to = metadata.startOffset or 0, metadata.endOffset or seconds or 0
  return math.max(0, math.min(to, seconds or to) - from)
end

--- The tokens of a media part, by modality.
---@param facts table from `media.facts`
---@param model string name without models/
---@param resolution? string such as "MEDIA_RESOLUTION_LOW"
---@param metadata? table videoMetadata with offsets as numbers
---@return table counts modality -> tokens
function tokens.media(facts, model, resolution, metadata)
  local is_three = model:find("^gemini%-3") ~= nil
  resolution = resolutions[resolution] or "default"
  if facts.kind == "image" then
    return { IMAGE = image(facts, resolution, is_three) }
  elseif facts.kind == "audio" then
    return { AUDIO = math.ceil((facts.seconds or 0) * AUDIO) }
  elseif facts.kind == "video" then
    local seconds = clip(facts.seconds, metadata or {})
    local sound = clip(facts.sound_seconds or facts.seconds, metadata or {})
    local frames = math.ceil(seconds * (metadata and metadata.fps or 1))
    local each = is_three and three.frame[resolution] or (resolution == "low" and 66 or 258)
    return { VIDEO = frames * each, AUDIO = facts.has_audio and math.ceil(sound * AUDIO) or nil }
  elseif facts.pages then
    return { DOCUMENT = facts.pages * (is_three and three.page[resolution] or 258) }
  end
  return {}
end

return tokens
