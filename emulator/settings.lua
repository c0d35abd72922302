-- What can be set, by a flag at the start (`--inline-limit 1000`) or later through the admin (`{"inline_limit":1000}`).

local settings = {}

settings.list = {
  { "latency", 0, "seconds before each answer of the API" },
  { "pause", 0.03, "seconds between the events of a stream" },
  { "processing", 2, "seconds a video stays PROCESSING" },
  { "video", 2, "seconds until a video is made" },
  { "batch", 2, "seconds until a batch has succeeded" },
  { "background", 2, "seconds that an interaction in the background takes" },
  { "cache_minimum", 1024, "tokens of the smallest context cache" },
  { "quota", 0, "generate calls a minute for each key and model; 0: no limit" },
  { "quota_per_day", 0, "generate calls a day for each key and model; 0: no limit" },
  { "inline_limit", 100 * 1024 * 1024, "bytes of the largest request that is not an upload" },
  { "file_limit", 2 * 1024 * 1024 * 1024, "bytes of the largest file" },
  { "granularity", 8388608, "bytes: chunks before the last of an upload are multiples of it" },
  { "keep", 1, "bytes: of an upload that was cut, a multiple of this is kept" },
}

---@return table values
function settings.new()
  local values = {}
  for _, row in ipairs(settings.list) do values[row[1]] = row[2] end
  return values
end

--- Sets one value.
---@param values table
---@param name string
---@param value any a number or its text
---@return boolean? ok
---@return string? message
function settings.set(values, name, value)
  local number = tonumber(value)
  if values[name] == nil then return nil, "unknown setting: " .. tostring(name) end
  if not number or number < 0 then return nil, name .. ": a number, not negative" end
  if number == 0 and (name == "granularity" or name == "keep") then return nil, name .. ": at least 1" end
  values[name] = number
  return true
end

return settings
