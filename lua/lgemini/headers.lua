--- The header lines of a request, and what in and around them is a secret.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"

local headers = {}

--- The type of what is sent and asked for.
headers.JSON = "application/json"

--- The lines for the core.
---@param call lgemini.Call
---@param request lgemini.Request
---@param key string|nil
---@return string[]
function headers.lines(call, request, key)
  local all, lines = {}, {}
  local function add(given)
    for name, value in pairs(given or {}) do
      all[name:lower()] = { name, value }
    end
  end
  add { ["x-goog-api-client"] = call.client.product, ["User-Agent"] = call.client.product }
  if call.options.timeout.total then -- only where the user says how long the service has
    add { ["X-Server-Timeout"] = ("%d"):format(math.ceil(call.options.timeout.total)) }
  end
  add(request.headers)
  if not request.foreign then
    add(call.options.headers)
  end
  if key and call.client:takes_token() then
    add { Authorization = "Bearer " .. key }
  elseif key then
    add { ["x-goog-api-key"] = key }
  end
  for _, pair in pairs(all) do
    -- An empty value is written with a semicolon for libcurl; a colon alone takes the header away.
    lines[#lines + 1] = pair[2] == "" and pair[1] .. ";" or pair[1] .. ": " .. pair[2]
  end
  table.sort(lines)
  if request.body and not all["content-type"] then
    lines[#lines + 1] = "Content-Type:"
  end
  return lines
end

-- Secrets --------------------------------------------------------------------------------------

-- Headers of the options that say who one is.
local CREDENTIALS = { "authorization", "proxy-authorization", "x-goog-api-key", "cookie" }

--- What must stay out of errors and of what the program is told.
---@param call lgemini.Call
---@param request lgemini.Request
---@return table<any, string>
function headers.secrets(call, request)
  local all = { call.key, request.secret }
  for _, name in ipairs(CREDENTIALS) do
    local value = call.options.headers[name]
    value = value and value:match "^%a+%s+(%S+)$" or value
    if value and #value > 5 then -- less is no secret, and would be in many words
      all[#all + 1] = value
    end
  end
  return all
end

--- What of a URL that gives rights must stay out of errors: servers like to say which path they did not find.
---@param url string
---@return string|nil
function headers.secret_of(url)
  return url:match "^%a+://[^/?#]+(..+)$"
end

-- Of a request: those that the library makes and that are no secret. What the program gave may be one.
local SHOWN = { ["content-type"] = true, ["user-agent"] = true, ["x-goog-api-client"] = true,
  ["x-server-timeout"] = true }

-- Of an answer: parts of names that tell of a secret in the value, such as the URL of an upload.
local SECRET = { "url", "location", "upload-?id", "cookie", "auth", "token", "key", "secret", "session" }

local HIDDEN = "[redacted]"

--- The header lines of a request as the program may see them, by lower-case name.
---@param lines string[]
---@return table<string, string>
function headers.shown(lines)
  local shown = {}
  for _, line in ipairs(lines) do
    local name, value = line:match "^([^:;]+)[:;] ?(.*)$"
    name = name:lower()
    if value ~= "" or not line:find ":$" then -- else the line takes one of libcurl's away
      shown[name] = (SHOWN[name] or name:find "^x%-goog%-upload%-") and value or HIDDEN
    end
  end
  return shown
end

--- Whether the value of an answer's header is a secret, by its name in lower case.
---@param name string
---@return boolean
function headers.is_secret(name)
  for _, part in ipairs(SECRET) do
    if name:find(part) then
      return true
    end
  end
  return false
end

--- The headers of an answer as the program may see them.
---@param answered table<string, string>
---@param secrets table<any, string>
---@return table<string, string>
function headers.seen(answered, secrets)
  local seen = {}
  for name, value in pairs(answered) do
    seen[name] = headers.is_secret(name) and HIDDEN or errors.redact(value, secrets)
  end
  return seen
end

return headers
