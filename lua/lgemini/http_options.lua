--- http_options, of a client and of one call: their checks, and how they are laid over those in force. It loads with
--- the first that are given.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local options = require "lgemini.options"

local http_options = {}

local TIMEOUT = { connect = true, first_byte = true, idle = true, total = true, processing = true }

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...) }
end

--- Scheme, host and path of a base URL, checked.
---@param client lgemini.Client
---@param url string
---@return string|nil
---@return lgemini.Error|nil err
function http_options.base_url(client, url)
  local scheme, authority = url:match "^(%a+)://([^/?#]*)"
  scheme = scheme and scheme:lower()
  if not (scheme == "http" or scheme == "https") or authority == "" then
    return invalid("base_url: https://host is needed, got %s", errors.redact(url):sub(1, 100))
  elseif url:find "[%c%s\127-\255?#\\]" or authority:find("@", 1, true) then
    return invalid "base_url: only scheme, host, port and path are allowed"
  elseif scheme == "http" and not client.insecure and not client:is_loopback(url) then
    return invalid("base_url: plain http goes to this machine only, since it shows the API key to the network; "
      .. "use https, or Client{ insecure = true }")
  end
  return (url:gsub("/+$", ""))
end

local function check_text(value, name)
  name = "http_options." .. name
  options.string(value, name)
  if value and value:find "%c" then
    return invalid("%s has a control character in it", name)
  end
  return value
end

-- Header lines that say how long a message is and what becomes of the connection.
local OURS = { ["content-length"] = true, ["transfer-encoding"] = true, expect = true, connection = true, host = true }

-- The names come back in lower case: one name is one header, whoever gave it.
local function check_headers(given)
  local headers = {}
  options.table(given, "http_options.headers")
  for name, value in pairs(given or {}) do
    if type(name) ~= "string" then
      errors.misuse 'http_options.headers: names are strings: { ["X-Team"] = "lamps" }'
    elseif type(value) ~= "string" then
      errors.misuse(("http_options.headers.%s: string expected, got %s"):format(name, type(value)))
    elseif name == "" or name:find "[^%w!#$%%&'*+.^_`|~-]" then
      return invalid "http_options.headers: a name is no header name"
    elseif value:find "[%z\1-\8\10-\31\127]" then
      return invalid("http_options.headers: the value of %s has a control character in it", name)
    elseif OURS[name:lower()] then
      return invalid("http_options.headers: %s is made by the library", name)
    elseif headers[name:lower()] then
      return invalid("http_options.headers: %s is there twice", name:lower())
    end
    headers[name:lower()] = value
  end
  return headers
end

-- A number is the total; a table names its clocks.
local function check_timeout(given)
  local clocks = {}
  if type(given) == "number" then
    given = { total = given }
  end
  if given ~= nil and type(given) ~= "table" then
    errors.misuse(("http_options.timeout: seconds, or a table of clocks, expected, got %s"):format(type(given)))
  end
  options.check(given or {}, TIMEOUT, "http_options.timeout")
  for name, value in pairs(given or {}) do
    local seconds, err = options.seconds(value, "http_options.timeout." .. name)
    if not seconds then
      return nil, err
    end
    clocks[name] = seconds
  end
  return clocks
end

local CHECKS = {
  api_version = function(value)
    options.string(value, "http_options.api_version")
    if value and value:find "[^%w]" then
      return invalid "http_options.api_version: letters and digits only, such as v1beta"
    end
    return value
  end,
  headers = check_headers,
  timeout = check_timeout,
  retry_options = function(value) return require("lgemini.retry").options(value) end,
  proxy = check_text, ca_file = check_text, ca_path = check_text, cert_file = check_text, key_file = check_text,
  extra_body = function(value) return options.table(value, "http_options.extra_body") end,
}

--- Lays what was given over the options in force. Headers and clocks are joined by name, all else is replaced.
---@param client lgemini.Client
---@param base table
---@param given table  checked by name
---@return table|nil merged
---@return lgemini.Error|nil err
function http_options.merge(client, base, given)
  local merged = {}
  for name, value in pairs(base) do
    merged[name] = value
  end
  for name, value in pairs(given) do
    local err
    if name == "base_url" then
      value, err = http_options.base_url(client, options.string(value, "http_options.base_url"))
    else
      value, err = CHECKS[name](value, name)
    end
    if err then
      return nil, err
    end
    if (name == "headers" or name == "timeout") and base[name] then
      local joined = {}
      for _, from in ipairs { base[name], value } do
        for key, item in pairs(from) do
          joined[key] = item
        end
      end
      value = joined
    end
    merged[name] = value
  end
  local proxy = merged.proxy
  if proxy and proxy ~= "" and merged.base_url:lower():find "^http:" and not client.insecure
    and not client:is_loopback(proxy:find("://", 1, true) and proxy or "http://" .. proxy) then
    return invalid "proxy: plain http would show the API key to it; use https, or Client{ insecure = true }"
  end
  if given.ca_file or given.ca_path then -- libcurl with both would read the bundle for every connection
    merged.ca_file, merged.ca_path = given.ca_file, not given.ca_file and given.ca_path or nil
  end
  if given.cert_file then -- the key of another certificate is of no use
    merged.key_file = given.key_file
  elseif merged.key_file and not merged.cert_file then
    return invalid "http_options.key_file: it is the key of a certificate; give cert_file, too"
  end
  return merged
end

return http_options
