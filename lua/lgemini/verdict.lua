--- Why an answer is not what was asked for: it loads when somebody asks.

require("lgemini.compat").goes_over_tables()

local verdict = {}

-- Finish reasons that mean a filter; the others, but STOP, mean that something went wrong.
local FILTERS = {
  SAFETY = true, RECITATION = true, BLOCKLIST = true, PROHIBITED_CONTENT = true, SPII = true,
  IMAGE_SAFETY = true, IMAGE_PROHIBITED_CONTENT = true, IMAGE_RECITATION = true,
}
local FINE = { STOP = true, FINISH_REASON_UNSPECIFIED = true }
local ALARMING = { HIGH = true, MEDIUM = true }

-- 12345 -> "12,345"
local function grouped(number)
  local text = ("%.0f"):format(number)
  local count
  repeat
    text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until count == 0
  return text
end

local function with_ratings(text, ratings)
  local named = {}
  for _, rating in ipairs(ratings or {}) do
    if rating.blocked or ALARMING[rating.probability] then
      named[#named + 1] = ("%s %s"):format(tostring(rating.category), tostring(rating.probability))
    end
  end
  return named[1] and ("%s (%s)"):format(text, table.concat(named, ", ")) or text
end

local function is_content(part)
  if part.thought then return false end
  if part.text ~= nil then return part.text ~= "" end
  for key in pairs(part) do
    if key ~= "thought_signature" then return true end
  end
  return false
end

local function has_content(response)
  for _, part in ipairs(response.parts) do
    if is_content(part) then return true end
  end
  return false
end

local function cut_by_tokens(usage)
  local thoughts = usage.thoughts_token_count
  local all = thoughts + usage.candidates_token_count
  if thoughts > 0 then
    return ("MAX_TOKENS: %s of %s tokens went to thoughts"):format(grouped(thoughts), grouped(all)),
      "raise config.max_output_tokens, or lower config.thinking_config.thinking_budget"
  end
  return all > 0 and ("MAX_TOKENS: cut after %s tokens"):format(grouped(all)) or "MAX_TOKENS: cut",
    "raise config.max_output_tokens"
end

local function judge_finish(response, candidate)
  local finish = candidate.finish_reason
  local why = finish .. (candidate.finish_message and ": " .. candidate.finish_message or "")
  if finish == "MAX_TOKENS" then return "cut", cut_by_tokens(response.usage_metadata) end
  if FILTERS[finish] then
    return "blocked", with_ratings(why, candidate.safety_ratings), "rephrase, or see config.safety_settings"
  end
  if has_content(response) then return "cut", why end
  return "empty", why, "try again, or rephrase"
end

--- Kind, reason and hint of what is wrong; nil when the answer is what was asked for.
---@param response lgemini.GenerateContentResponse
---@return string|nil kind
---@return string|nil reason
---@return string|nil hint
function verdict.judge(response)
  local feedback = response.prompt_feedback
  if feedback and feedback.block_reason then
    local why = "the prompt was blocked: " .. feedback.block_reason
    if feedback.block_reason_message then why = why .. ": " .. feedback.block_reason_message end
    return "blocked", with_ratings(why, feedback.safety_ratings), "rephrase, or see config.safety_settings"
  end
  local candidate = response.candidates[1]
  if not candidate then return "empty", "the answer has no candidates", "try again" end
  if candidate.finish_reason and not FINE[candidate.finish_reason] then
    return judge_finish(response, candidate)
  end
  if not has_content(response) then
    local thoughts = response.thoughts ~= ""
    return "empty", thoughts and "the answer has thoughts only" or "the answer is empty", "try again"
  end
end

--- One line on what came in place of text.
---@param response lgemini.GenerateContentResponse
---@return string
function verdict.instead_of_text(response)
  local what = {}
  for _, call in ipairs(response.function_calls) do
    what[#what + 1] = "a call of " .. tostring(call.name)
  end
  for _, part in ipairs(response.media) do what[#what + 1] = tostring(part.inline_data.mime_type) end
  return "no text, but " .. (what[1] and table.concat(what, ", ") or "other parts")
end

return verdict
