--- Which name was probably meant: for the messages about unknown ones, with the first of which it loads.

require("lgemini.compat").goes_over_tables()

local options = require "lgemini.options"

local suggest = {}

-- Names from other libraries and older habits -> the last part of ours; of several that which is known.
local ALIASES = {
  path = "file",
  filename = "file",
  file_path = "file",
  prompt = "contents",
  content = "contents",
  messages = "contents",
  input = "contents",
  system = "system_instruction",
  system_prompt = "system_instruction",
  instructions = "system_instruction",
  max_tokens = "max_output_tokens",
  stop = "stop_sequences",
  n = "candidate_count number_of_images number_of_videos",
  json_schema = "response_json_schema",
  generation_config = "config",
  functions = "tools",
  key = "api_key",
  token = "api_key",
  endpoint = "base_url",
  url = "base_url",
  retries = "retry_options",
  max_retries = "retry_options",
  content_type = "mime_type",
  type = "mime_type",
  title = "display_name",
  on_error = "on_task_error",
}

-- Names of what is a method of its own.
local METHODS = {
  stream = "client.models:generate_content_stream{...}",
  streaming = "client.models:generate_content_stream{...}",
}

-- "maxOutputTokens" -> "max_output_tokens"
local function snake(name)
  return (name:gsub("(%l)(%u)", "%1_%2"):lower())
end

-- Steps from one name to the other: a letter more, less or different, or two neighbours swapped.
local function distance(a, b)
  local before, row = {}, {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local older = before
    before, row = row, { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], older[j - 2] + 1)
      end
    end
  end
  return row[#b]
end

--- The known name that was probably meant: the same in camelCase, or one that differs in a letter out of three.
---@param name any
---@param known table<string, any>  names are the keys
---@return string|nil
function suggest.nearest(name, known)
  if type(name) ~= "string" or #name > 64 then
    return nil
  end
  name = snake(name)
  local best, least = nil, math.floor((#name + 1) / 3)
  for candidate in pairs(known) do
    local steps = distance(name, candidate)
    if steps < least or (steps == least and (not best or candidate < best)) then
      best, least = candidate, steps
    end
  end
  return best
end

--- The known name that this is the beginning of: "desc" of "description"; nil where there are several.
---@param name any
---@param known table<string, any>  names are the keys
---@return string|nil
function suggest.whole(name, known)
  local found
  if type(name) == "string" and #name > 2 then
    for candidate in pairs(known) do
      if candidate:sub(1, #name) == name then
        if found then
          return nil
        end
        found = candidate
      end
    end
  end
  return found
end

-- Where each name stands: "timeout" -> "config.http_options.timeout"; of several places the shortest.
local function places(known, prefix, found)
  for name in pairs(known) do
    local what = options.known(known, name)
    local place, other = type(what) == "string" and what or prefix .. name, found[name]
    if not other or #place < #other or (#place == #other and place < other) then
      found[name] = place
    end
    if type(what) == "table" then
      places(what, prefix .. name .. ".", found)
    end
  end
  return found
end

-- The place that was probably meant, or nil.
local function suggestion(name, known, root, prefix)
  local everywhere = places(root, "", {})
  local function place(meant)
    local here = known[meant]
    return here and type(here) ~= "string" and prefix .. meant or everywhere[meant]
  end
  local names = { name, snake(name) }
  for alias in (ALIASES[snake(name)] or ""):gmatch "%S+" do
    names[#names + 1] = alias
  end
  for _, meant in ipairs(names) do
    if place(meant) then
      return place(meant)
    end
  end
  local near = suggest.nearest(name, known) or suggest.nearest(name, everywhere) or suggest.whole(name, known)
  return near and place(near)
end

--- The names that are known here.
---@param known lgemini.Known
---@return string
function suggest.list(known)
  local names = {}
  for name, what in pairs(known) do
    if type(what) ~= "string" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

--- What to say of a name that is not known.
---@param name string
---@param known lgemini.Known  where it stands
---@param root lgemini.Known   the whole of it
---@param prefix string        how it leads there: "config."
---@return string
function suggest.instead(name, known, root, prefix)
  local what = known[name]
  local better = what or METHODS[snake(name)] or suggestion(name, known, root, prefix)
  return better and ("did you mean %s?"):format(better) or "known: " .. suggest.list(known)
end

return suggest
