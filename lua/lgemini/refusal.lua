--- The error that a server's answer means: its kind, its words, and what to do about it. It loads with the first.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local json = require "lgemini.json"

local fold = errors.fold

local refusal = {}

local MAX_MESSAGE = 2000 -- bytes of a server's words that are kept
local MAX_PAGE = 8192 -- bytes of an HTML page that are looked at
local MAX_NESTED = 3 -- errors wrapped as text in errors
local MAX_HINT = 300 -- bytes of what it says of one field
local MAX_STATUS = 100 -- bytes of the service's name for what happened
local REQUEST_LIMIT = 100e6 -- bytes; what the service documents for one request

-- At most `max` bytes, never half a character.
local function shorten(text, max)
  if #text <= max then
    return text
  end
  local last = max - 3
  while last > 0 and text:find("^[\128-\191]", last + 1) do
    last = last - 1
  end
  return text:sub(1, last) .. "..."
end

-- Redacts each string in a decoded JSON value and the names of its members, in place.
local function redact_all(value, secrets)
  local renamed = {}
  for key, member in pairs(value) do
    if type(member) == "string" then
      value[key] = errors.redact(member, secrets)
    elseif type(member) == "table" then
      redact_all(member, secrets)
    end
    local name = type(key) == "string" and errors.redact(key, secrets) or key
    if name ~= key then
      renamed[key] = name
    end
  end
  for key, name in pairs(renamed) do
    value[name], value[key] = value[key], nil
  end
  return value
end

-- Reading an answer --------------------------------------------------------------------------------------------

local function text_or_nil(value)
  return type(value) == "string" and value ~= "" and value or nil
end

-- The error object in a decoded body: { error = {} }, a list with one of these, or the object itself.
local function error_object(value)
  if json.is_array(value) then
    value = value[1]
  end
  if type(value) ~= "table" then
    return nil
  end
  local inner = value.error
  if type(inner) == "table" then
    return inner
  elseif text_or_nil(inner) then -- OAuth: { "error": "invalid_grant", "error_description": "..." }
    return { status = inner, message = text_or_nil(value.error_description) or value.message or inner }
  end
  return value
end

local read_json

-- { api = true, code = integer|nil, status =, message =, details = } of what a JSON body says, or nil.
local function read_value(value, nested)
  local object = error_object(value)
  if not object then
    return nil
  end
  local found = { api = true, status = text_or_nil(object.status), message = text_or_nil(object.message) }
  if type(object.code) == "number" and object.code % 1 == 0 then
    found.code = object.code
  else
    found.status = found.status or text_or_nil(object.code)
  end
  if type(object.details) == "table" then
    found.details = object.details
  end
  if found.message and nested > 0 then -- an error may come as JSON text within the message of another
    local below = read_json(found.message, nested - 1)
    if below and below.message then
      found.message = below.message
      found.code, found.status = found.code or below.code, below.status or found.status
      found.details = found.details or below.details
    end
  end
  return found
end

-- The same of a body, or nil where it is no JSON.
function read_json(body, nested)
  return body:find "^%s*[{%[]" and read_value(json.decode(body), nested) or nil
end

local ENTITIES = { amp = "&", lt = "<", gt = ">", quot = '"', nbsp = " ", ["#39"] = "'", ["#x27"] = "'" }

-- What an HTML page says: its title where that has words in it, else its first sentence.
local function read_html(body)
  local page = body:sub(1, MAX_PAGE)
  local function plain(text)
    return fold((text:gsub("<[^<>]*>", " "):gsub("&(#?%w+);", ENTITIES)))
  end
  local title = page:match "<[tT][iI][tT][lL][eE][^<>]*>([^<]*)<"
  title = title and plain(title)
  if title and title:find "%a" then
    return title
  end
  for _, name in ipairs { "[tT][iI][tT][lL][eE]", "[sS][tT][yY][lL][eE]", "[sS][cC][rR][iI][pP][tT]" } do
    page = page:gsub("<" .. name .. ".-</" .. name .. "%s*>", " ")
  end
  local text = plain(page)
  local letter = text:find "%a"
  local _, stop = text:find("[%.!?]%f[%s%z]", letter)
  return letter and stop and text:sub(1, stop) or text
end

local function is_html(body, content_type)
  return content_type:find("text/html", 1, true) or body:find "^%s*<!?[%a]" ~= nil
end

-- What an answer says of an error: as an object in it, as a page, as text.
local function find_error(given, body)
  local found = given.said ~= nil and read_value({ error = given.said }, MAX_NESTED) or read_json(body, MAX_NESTED)
  return found or { html = is_html(body, (given.headers or {})["content-type"] or "") }
end

-- The detail of a google.rpc type, such as "RetryInfo".
local function detail(details, name)
  for _, entry in ipairs(details or {}) do
    if type(entry) == "table" and type(entry["@type"]) == "string" and entry["@type"]:find(name .. "$") then
      return entry
    end
  end
  return {}
end

-- "23.47s" -> 23.47, without tonumber's idea of a decimal point. Nil for what is no sane wait.
local function duration(text)
  local whole, fraction = tostring(text):match "^(%d+)%.?(%d*)s$"
  if whole and #whole <= 9 then
    fraction = fraction:sub(1, 9)
    return tonumber(whole) + (fraction ~= "" and tonumber(fraction) / 10 ^ #fraction or 0)
  end
end

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11,
  Dec = 12 }

-- Seconds since 1970 of "Sun, 06 Nov 1994 08:49:37 GMT", the one date format that HTTP lets senders use.
local function http_date(text)
  local day, month, year, hour, minute, second = text:match "^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  month = MONTHS[month]
  if not month then
    return nil
  end
  -- Days by the calendar that begins in March, so that a leap day comes last.
  local y = month > 2 and tonumber(year) or tonumber(year) - 1
  local m = (month + 9) % 12
  local days = 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
    + math.floor((153 * m + 2) / 5) + tonumber(day) - 719469
  return ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)
end

-- "1500", "1500.5" -> 1.5005; nil for what is no sane wait.
local function milliseconds(text)
  local value = text and duration(text .. "s")
  return value and value / 1000
end

local function retry_after(details, headers, now)
  local seconds = duration(detail(details, "RetryInfo").retryDelay) or milliseconds(headers["retry-after-ms"])
  local header = headers["retry-after"]
  if not seconds and header then
    local date = http_date(header)
    seconds = date and math.max(0, date - now) or duration(header .. "s")
  end
  return seconds
end

-- Which quota ran out, and whether it is one of the free tier.
local function quota(details)
  local which, free
  local violations = detail(details, "QuotaFailure").violations
  for _, violation in ipairs(type(violations) == "table" and violations or {}) do
    local id = type(violation) == "table" and tostring(violation.quotaId) or ""
    if id:find("PerDay", 1, true) then
      which = "day" -- it lasts longest, so it decides
    elseif id:find("PerMinute", 1, true) then
      which = which or "minute"
    end
    free = free or id:find("FreeTier", 1, true) ~= nil
  end
  return which, free
end

-- The name of the file that an answer speaks of; true where it speaks of a file without a name.
local function file_named(message)
  local id = message:match "%f[%w]files/([%w%-]+)"
    or message:match "%f[%a]File%s+([%l%d][%l%d%-]*)%s+or%s"
    or message:match "%f[%a][fF]ile%s+'([%w%-]+)'"
  if id then
    return "files/" .. id
  end
  -- A store for file search is no file.
  return message:gsub("[fF]ile%s?[sS]earch", ""):find "%f[%a][fF]iles?%f[%A]" and true or nil
end

local function has_any(message, words)
  for _, word in ipairs(words) do
    if message:find(word, 1, true) then
      return true
    end
  end
  return false
end

local KEY_WORDS = { "valid api key", "api key not", "api key expired", "api key was", "unregistered callers" }

-- Whether an answer is about the API key rather than about what it may do.
local function about_key(message, reason)
  return reason:find "^API_KEY" ~= nil or has_any(message:lower(), KEY_WORDS)
end

-- What each HTTP status is, where nothing more is known.
local BY_CODE = {
  [400] = "invalid",
  [401] = "auth",
  [403] = "permission",
  [404] = "not_found",
  [408] = "unavailable",
  [409] = "conflict",
  [413] = "too_large",
  [429] = "rate_limited",
}

-- For error objects in a stream that give no number.
local CODE_OF = {
  INVALID_ARGUMENT = 400,
  FAILED_PRECONDITION = 400,
  OUT_OF_RANGE = 400,
  UNAUTHENTICATED = 401,
  PERMISSION_DENIED = 403,
  NOT_FOUND = 404,
  ABORTED = 409,
  ALREADY_EXISTS = 409,
  RESOURCE_EXHAUSTED = 429,
  CANCELLED = 499,
  INTERNAL = 500,
  UNKNOWN = 500,
  DATA_LOSS = 500,
  UNIMPLEMENTED = 501,
  UNAVAILABLE = 503,
  DEADLINE_EXCEEDED = 504,
}

-- Kind, and the file's name where it is about one.
local function classify(found, given)
  local code, message = found.code, found.message
  if (code == 400 or code == 403) and about_key(message, found.reason) then
    return "auth"
  elseif (code == 403 or code == 404) and found.api then
    local file = file_named(message)
    if file or (code == 404 and given.file) then
      return "file_expired", type(file) == "string" and file or given.file
    end
  elseif code == 400 and found.status == "FAILED_PRECONDITION" then
    return "precondition"
  end
  return BY_CODE[code] or (code and code >= 500 and code <= 599 and "unavailable") or "http"
end

-- Hints ------------------------------------------------------------------------------------------------------

local function megabytes(bytes)
  return (("%.1f MB"):format(bytes / 1e6):gsub(",", "."):gsub("%.0 ", " "))
end

local function again_in(seconds)
  if seconds <= 0 then
    return "try again"
  end
  return "try again in " .. (seconds < 120 and ("%.0f s"):format(math.ceil(seconds))
    or ("%.0f minutes"):format(math.ceil(seconds / 60)))
end

-- hint of a kind: function (found, given) -> text or nil
local HINTS = {}

function HINTS.auth()
  return "check the key: api_key of Client{}, else GOOGLE_API_KEY, else GEMINI_API_KEY"
end

function HINTS.permission(found)
  if found.reason == "SERVICE_DISABLED" then
    return "enable the Generative Language API in the key's project"
  end
end

local MAX_VIOLATIONS = 3 -- that a hint names

-- The fields that the service complains of: it often says no more than "invalid argument" beside them. What the message
-- has said already is left out.
local function violations(details, message)
  local list, named = detail(details, "BadRequest").fieldViolations, {}
  for _, violation in ipairs(type(list) == "table" and list or {}) do
    local field = type(violation) == "table" and text_or_nil(violation.field)
    local why = field and text_or_nil(violation.description)
    local told = why and message:find(why, 1, true) and message:find(field, 1, true)
    if field and not told and #named < MAX_VIOLATIONS then
      named[#named + 1] = shorten(fold(why and field .. ": " .. why or field), MAX_HINT)
    end
  end
  return named[1] and table.concat(named, "; ") or nil
end

function HINTS.invalid(found, given)
  if found.message:lower():find("mime", 1, true) then
    local types = given.mime_types and "accepted types: " .. table.concat(given.mime_types, ", ") .. "; " or ""
    return types .. "convert the file first, for example with ffmpeg or ImageMagick"
  end
  return violations(found.details, found.message)
end

function HINTS.precondition(found)
  local message = found.message:lower()
  if message:find("location", 1, true) or message:find("billing", 1, true) then
    return "the free tier is not offered in every country: enable billing for the key's project"
  elseif message:find("active", 1, true) then
    return "the file is not ACTIVE yet: client.files:wait{ name = ... }"
  end
end

-- What is not there may be something else than the model that was asked.
local OTHERS = { "interaction", "operation", "file", "cache", "batch", "store", "document" }

function HINTS.not_found(found, given)
  if found.html then -- of the front end, which knows no such path; a model that is gone is told in JSON
    return "check base_url and api_version"
  end
  local message = found.message:lower()
  local other = has_any(message, OTHERS) and not message:find("model", 1, true)
  if given.model and not other then
    return ("the model %s may have been shut down; list those that live: client.models:list{}"):format(given.model)
  end
end

function HINTS.file_expired()
  return "files live for 48 hours: upload it again"
end

function HINTS.too_large(_, given)
  local size = given.size and ("the request has %s, "):format(megabytes(given.size)) or ""
  local limit = ("a request may have %s; "):format(megabytes(REQUEST_LIMIT))
  return size .. limit .. 'send large media with via = "upload"'
end

function HINTS.rate_limited(found)
  local when = "try again later"
  if found.quota == "day" then
    when = "the quota per day is used up: try again tomorrow"
  elseif found.retry_after then
    when = (found.quota == "minute" and "the quota per minute is used up: " or "")
      .. again_in(found.retry_after)
  elseif found.quota == "minute" then
    when = "the quota per minute is used up: try again in a minute"
  end
  if found.free then
    return when .. "; this is the free tier, and billing raises its limits"
  end
  return when .. "; the free tier has the lowest limits"
end

-- To be said also where a proxy refuses a tunnel: that is no answer of HTTP's.
refusal.LOG_IN = "the proxy wants to know who asks: http://name:password@host:port as http_options.proxy, or in the "
  .. "environment"

function HINTS.http(found)
  if found.code == 407 then
    return refusal.LOG_IN
  elseif found.code and found.code >= 300 and found.code <= 399 then
    return "the server sends to another address, where no key is sent: check http_options.base_url"
  end
end

function HINTS.unavailable(found)
  if found.retry_after then
    return again_in(found.retry_after)
  end
  return "this is usually over soon: try again later, or with another model"
end

-- Not x-guploader-uploadid: it holds the secret of the upload URL.
local function request_id(headers, found, secrets)
  local id = headers["x-goog-request-id"] or headers["x-request-id"]
    or text_or_nil(detail(found.details, "RequestInfo").requestId)
  return id and errors.redact(id, secrets)
end

-- The error that was found in an answer: { api =, html =, code =, status =, message =, details = }.
local function conclude(found, given)
  local headers = given.headers or {}
  -- Folded first: a secret that a control byte cuts in two is one again afterwards.
  found.message = shorten(errors.redact(fold(found.message), given.secrets), MAX_MESSAGE)
  if found.message == "" or found.message == "{}" then
    found.message = "the server answered " .. (found.code and "HTTP " .. found.code or "an error") .. " and no more"
  end
  found.status = found.status and shorten(errors.redact(fold(found.status), given.secrets), MAX_STATUS)
  found.details = found.details and redact_all(found.details, given.secrets)
  found.reason = text_or_nil(detail(found.details, "ErrorInfo").reason) or ""
  found.retry_after = retry_after(found.details, headers, given.now or compat.time())

  local kind, file = classify(found, given)
  if kind == "rate_limited" then
    found.quota, found.free = quota(found.details)
  end
  local retryable
  if found.quota == "day" then
    retryable = false
  end
  return errors.new {
    kind = kind,
    message = found.message,
    hint = HINTS[kind] and HINTS[kind](found, given),
    code = found.code,
    status = found.status,
    details = found.details,
    retryable = retryable,
    retry_after = found.retry_after,
    quota = found.quota,
    request_id = request_id(headers, found, given.secrets),
    file = file,
  }
end

---@class lgemini.HttpAnswer
---@field code integer|nil
---@field headers table<string, string>|nil  by lower-case name
---@field body string|nil
---@field said any                 in place of the body: what its "error" is
---@field model string|nil         what the call is about, for the hint
---@field file string|nil          the same: the name of a file object
---@field mime_types string[]|nil  those the service takes, for the hint
---@field size integer|nil         bytes of the request's body, for the hint
---@field secrets table|nil        strings to be kept out of the error
---@field now number|nil           seconds since 1970, for dates in headers

--- The error that an HTTP answer means, whatever its body looks like: the API's error object, a list that holds one,
--- JSON without one, HTML, text, nothing. Also for an error object inside a stream or an answer (`said` is it, `code`
--- nil or 200: then the object's own code counts).
---@param given lgemini.HttpAnswer
---@return lgemini.Error
function refusal.from_http(given)
  local body = given.body or ""
  local found = find_error(given, body)
  if not found.message then
    body = errors.redact(body, given.secrets)
    found.message = found.html and read_html(body) or fold(body:sub(1, MAX_PAGE))
  end
  if given.code and given.code ~= 200 then
    found.code = given.code
  end
  found.code = found.code or CODE_OF[found.status] or given.code
  return conclude(found, given)
end

-- gRPC's numbers from 1 on.
local GRPC = { "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
  "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" }

--- The error that an operation ended in. Its `code` is the HTTP status that goes with gRPC's number.
---@param status { code: integer|nil, message: string|nil, details: any }  a google.rpc.Status
---@return lgemini.Error
function refusal.from_status(status)
  local name = GRPC[status.code]
  return conclude({
    api = true,
    status = name,
    code = CODE_OF[name],
    message = text_or_nil(status.message) or name or "the service gives no reason",
    details = type(status.details) == "table" and status.details or nil,
  }, {})
end

return refusal
