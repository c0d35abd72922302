--- A question of one text, the most of all requests, in JSON. What has more to it takes the request encoder, which is
-- ten times as long and loads then.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local json = require "lgemini.json"

local question = {}

local has_only, quote = compat.has_only, json.quote

-- Longer texts stay nodes of their own: they are not copied (see emit.lua). The core takes no longer ones for a body.
local SHORT = 16384

local function only_text(part)
  return type(part) == "table" and getmetatable(part) == nil and has_only(part, "text")
    and type(part.text) == "string" and #part.text < SHORT and quote(part.text)
end

--- A turn of one text under a role; nil where it is more than that, or wrong.
---@param turn any
---@return string?
function question.turn(turn)
  if type(turn) ~= "table" or getmetatable(turn) ~= nil then return nil end
  for name in pairs(turn) do
    if name ~= "parts" and name ~= "role" then return nil end
  end
  local role, list = turn.role, turn.parts
  if type(role) ~= "string" or type(list) ~= "table" or not has_only(list, 1) then return nil end
  local text, who = only_text(list[1]), quote(role)
  return text and who and '{"parts":[{"text":' .. text .. '}],"role":' .. who .. "}" or nil
end

--- The body of generateContent for contents that are a text; nil where they are more than that, or wrong.
---@param text any
---@return string?
function question.text(text)
  local quoted = type(text) == "string" and text ~= "" and #text < SHORT and quote(text)
  local body = quoted and '{"contents":[{"parts":[{"text":' .. quoted .. '}],"role":"user"}]}'
  return body and #body <= SHORT and body or nil
end

--- The same for one such turn; nil where there are more, or something else.
---@param turns table[]
---@return string?
function question.body(turns)
  local turn = has_only(turns, 1) and question.turn(turns[1])
  return turn and '{"contents":[' .. turn .. "]}" or nil
end

return question
