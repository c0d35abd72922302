-- The service's error bodies. Every function returns an error that a handler raises with `error()`; `server` sends it.

local json = require "json"

local errors = {}

local TYPE = "type.googleapis.com/google.rpc."
local SERVICE = "generativelanguage.googleapis.com"

errors.status_names = {
  [400] = "INVALID_ARGUMENT", [401] = "UNAUTHENTICATED", [403] = "PERMISSION_DENIED", [404] = "NOT_FOUND",
  [409] = "ALREADY_EXISTS", [429] = "RESOURCE_EXHAUSTED", [499] = "CANCELLED", [500] = "INTERNAL",
  [501] = "UNIMPLEMENTED", [503] = "UNAVAILABLE", [504] = "DEADLINE_EXCEEDED",
}

local default_messages = {
  [400] = "Request contains an invalid argument.",
  [401] = "Request had invalid authentication credentials.",
  [403] = "The caller does not have permission",
  [404] = "Requested entity was not found.",
  [408] = "The request timed out.",
  [409] = "Requested entity already exists",
  [429] = "Resource has been exhausted (e.g. check quota).",
  [500] = "An internal error has occurred. Please retry.",
  [503] = "The model is overloaded. Please try again later.",
  [504] = "The request timed out. Please try again.",
}

local mt = { __name = "api.error" }

---@param value any
---@return boolean
function errors.is(value)
  return getmetatable(value) == mt
end

--- An API error; message, status and details may be left out.
---@param code integer HTTP status
---@param message? string
---@param status? string such as "INVALID_ARGUMENT"
---@param details? table[]
---@return table
function errors.new(code, message, status, details)
  local body = {
    code = code,
    message = message or default_messages[code] or "Error " .. code,
    status = status or errors.status_names[code] or "UNKNOWN",
    details = details and #details > 0 and json.array(details) or nil,
  }
  return setmetatable({
    code = code,
    content_type = "application/json; charset=UTF-8",
    object = { error = body },
    body = json.encode({ error = body }),
  }, mt)
end

--- An error as interactions have it: its code is a word.
---@param code integer HTTP status
---@param word string such as "invalid_request"
---@param message string
---@return table
function errors.plain(code, word, message)
  local object = { error = { code = word, message = message } }
  return setmetatable({ code = code, content_type = "application/json; charset=UTF-8", object = object,
    body = json.encode(object) }, mt)
end

--- 400 with the field that is wrong.
---@param message string
---@param field? string path in proto spelling
---@return table
function errors.bad_request(message, field)
  return errors.new(400, message, nil, {
    { ["@type"] = TYPE .. "BadRequest", fieldViolations = { { description = message, field = field } } },
  })
end

function errors.bad_key()
  local message = "API key not valid. Please pass a valid API key."
  return errors.new(400, message, nil, {
    { ["@type"] = TYPE .. "ErrorInfo", reason = "API_KEY_INVALID", domain = "googleapis.com",
      metadata = { service = SERVICE } },
    { ["@type"] = TYPE .. "LocalizedMessage", locale = "en-US", message = message },
  })
end

function errors.no_key()
  return errors.new(403, "Method doesn't allow unregistered callers (callers without established identity). "
    .. "Please use API Key or other form of API consumer identity to call this API.")
end

--- What the service says of a file that is missing, deleted, expired or another project's.
---@param id string
function errors.no_file(id)
  return errors.new(403, "You do not have permission to access the File " .. id .. " or it may not exist.")
end

---@param period string "PerMinute" or "PerDay"
---@param model string without models/
---@param limit integer
---@param delay number seconds until a retry may succeed
function errors.quota(period, model, limit, delay)
  local delay_text = string.format("%.9fs", delay):gsub("0+s$", "s"):gsub("%.s$", "s")
  local metric = SERVICE .. "/generate_content_free_tier_requests"
  local message = string.format("You exceeded your current quota, please check your plan and billing details.\n"
    .. "* Quota exceeded for metric: %s, limit: %d, model: %s\nPlease retry in %s.", metric, limit, model, delay_text)
  return errors.new(429, message, nil, {
    { ["@type"] = TYPE .. "Help", links = {
      { description = "Learn more about Gemini API quotas", url = "https://ai.google.dev/gemini-api/docs/rate-limits" },
    } },
    { ["@type"] = TYPE .. "QuotaFailure", violations = { {
      quotaMetric = metric, quotaId = "GenerateRequests" .. period .. "PerProjectPerModel-FreeTier",
      quotaDimensions = { location = "global", model = model }, quotaValue = string.format("%d", limit),
    } } },
    { ["@type"] = TYPE .. "RetryInfo", retryDelay = delay_text },
  })
end

local page = [[
<!DOCTYPE html>
<html lang=en>
<meta charset=utf-8>
<title>Error %d (%s)!!1</title>
<p><b>%d.</b> <ins>That’s an error.</ins>
<p>%s <ins>That’s all we know.</ins>
]]

local page_texts = {
  [404] = { "Not Found", "The requested URL was not found on this server." },
  [405] = { "Method Not Allowed", "The request method is inappropriate for the URL." },
  [413] = { "Request Entity Too Large", "Your client issued a request that was too large." },
  [502] = { "Server Error", "The server encountered a temporary error and could not complete your request." },
}

--- An HTML page, as the front end answers.
---@param code integer HTTP status
---@param headers? table more headers
---@return table
function errors.html(code, headers)
  local text = page_texts[code] or page_texts[502]
  return setmetatable({
    code = code,
    content_type = "text/html; charset=UTF-8",
    body = page:format(code, text[1], code, text[2]),
    headers = headers,
  }, mt)
end

--- Plain text, as the upload server answers.
---@param code integer HTTP status
---@param text string
---@param headers? table more headers
---@return table
function errors.text(code, text, headers)
  return setmetatable({
    code = code, content_type = "text/plain; charset=utf-8", body = text, headers = headers,
  }, mt)
end

return errors
