--- The check of what a caller gave: option names with suggestions for wrong ones, and the plain types of values.
-- A wrong name or type is misuse and raises; a value that cannot be right is `nil, err`.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"

local tointeger = compat.tointeger -- nil before 5.3

local options = {}

-- What is known: name -> true (any value), a table (the names within the value), a function that gives this table when
-- it is needed, or a string (not here, but there).
---@alias lgemini.Known table<string, boolean|string|lgemini.Known|fun(): lgemini.Known>

--- The known name that was probably meant.
---@param name any
---@param known table<string, any>  names are the keys
---@return string|nil
function options.nearest(name, known)
  return require("lgemini.suggest").nearest(name, known)
end

--- What is known of a name.
---@param known lgemini.Known
---@param name string
---@return boolean|string|lgemini.Known|nil
function options.known(known, name)
  local what = known[name]
  if type(what) == "function" then
    what = what()
    known[name] = what
  end
  return what
end

local check

-- One that does not just stand there.
local function check_name(name, value, known, place, prefix, root, given)
  if type(name) ~= "string" then
    errors.misuse(("%s: takes named options, not a value at [%s]; known: %s"):format(
      place, tostring(name), require("lgemini.suggest").list(known)))
  end
  local what = known[name]
  if what == nil or type(what) == "string" then
    if given == package.loaded.lgemini then
      errors.misuse(("%s: call it with a dot: gemini.%s"):format(place, (place:gsub("^gemini%.", ""))))
    end
    errors.misuse(("%s: unknown option %s%s: %s"):format(place, prefix, name,
      require("lgemini.suggest").instead(name, known, root, prefix)))
  elseif type(value) == "table" and type(what) ~= "boolean" then
    check(value, options.known(known, name), place, prefix .. name .. ".", root)
  end
end

--- Raises for a name that is not known, in `given` and in the tables within it that `known` describes, and says which
--- name or place was probably meant.
---@param given table            what the caller gave
---@param known lgemini.Known
---@param place string           the call, as the caller knows it: "generate_content"
---@param prefix string|nil      of names, where it is a table within another
---@param root lgemini.Known|nil  what is known of that one
function options.check(given, known, place, prefix, root)
  if type(given) ~= "table" then
    errors.misuse(("%s: takes a table of options, got %s"):format(place, type(given)))
  end
  for name, value in pairs(given) do
    if known[name] ~= true then
      check_name(name, value, known, place, prefix or "", root or known, given)
    end
  end
end

check = options.check

local function checker(wanted)
  return function(value, name)
    if value ~= nil and type(value) ~= wanted then
      errors.misuse(("%s: %s expected, got %s"):format(name, wanted, type(value)))
    end
    return value
  end
end

-- Each raises for a value of another type, passes on nil, and returns the value.

---@type fun(value: any, name: string): string|nil
options.string = checker "string"
---@type fun(value: any, name: string): boolean|nil
options.boolean = checker "boolean"
---@type fun(value: any, name: string): number|nil
options.number = checker "number"
---@type fun(value: any, name: string): table|nil
options.table = checker "table"
---@type fun(value: any, name: string): function|nil
options.callback = checker "function"

local function refuse(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...) }
end

--- A path. Raises where it is no text. The system would take what stands before a NUL byte for another one.
---@param value any
---@param name string
---@return string|nil value       nil for nil too
---@return lgemini.Error|nil err  kind "invalid"
function options.path(value, name)
  if options.string(value, name) and value:find "%z" then
    return refuse("%s: a path has no NUL byte in it", name)
  end
  return value
end

local TOO_LONG = 10000 -- seconds

--- A time in seconds: more than zero and less than 10,000. Raises where it is no number.
---@param value any
---@param name string
---@return number|nil value       nil for nil too
---@return lgemini.Error|nil err  kind "invalid"
function options.seconds(value, name)
  options.number(value, name)
  if value == nil then
    return nil
  elseif value ~= value or value <= 0 then
    return refuse("%s: more than 0 seconds expected, got %s", name, tostring(value))
  elseif value >= TOO_LONG then
    return refuse("%s: less than %d seconds expected, got %s (times are in seconds; Python's is in milliseconds)",
      name, TOO_LONG, tostring(value))
  end
  return value
end

--- A whole number from `least` to `most`. Raises where it is no number.
---@param value any
---@param name string
---@param least integer|nil       1 when left out
---@param most integer|nil        2^53 - 1 when left out
---@return integer|nil value      nil for nil too
---@return lgemini.Error|nil err  kind "invalid"
function options.count(value, name, least, most)
  options.number(value, name)
  if value == nil then
    return nil
  elseif value ~= math.floor(value) or value < (least or 1) or value > (most or 2 ^ 53 - 1) then
    return refuse("%s: a whole number from %d %s expected, got %s", name, least or 1,
      most and ("to %d"):format(most) or "on", tostring(value))
  end
  return tointeger and tointeger(value) or value
end

-- What services share ------------------------------------------------------------------------------------------

---@class lgemini.HttpOptions  how requests travel: of a client, and of one call in config.http_options
---@field base_url string?     else GOOGLE_GEMINI_BASE_URL (of Vertex AI: GOOGLE_VERTEX_BASE_URL), else Google's
---@field api_version string?  "v1beta"; "" for none
---@field headers table<string, string>?  added to each request
---@field timeout number|lgemini.Timeout|nil  seconds; a number is the total
---@field retry_options lgemini.RetryOptions|false|nil  false: a single try
---@field proxy string?        a URL; "" for none, whatever the environment says
---@field ca_file string?      certificates of those who sign for servers
---@field ca_path string?      the same as a hashed directory
---@field cert_file string?    a certificate of the client's own
---@field key_file string?     and its key
---@field extra_body table?    is merged into the body, under the names of the wire

---@class lgemini.Timeout  seconds
---@field connect number?     until a connection stands; 15
---@field first_byte number?  from there until the answer begins; 300
---@field idle number?        without a byte; 120
---@field total number?       the whole call, waits and uploads included; 600, none for streams, uploads and downloads
---@field processing number?  waiting for a file or an operation; 900

--- Names in http_options, of a client and of one call.
---@type lgemini.Known
options.HTTP = {
  base_url = true, api_version = true, headers = true, timeout = true, retry_options = true,
  proxy = true, ca_file = true, ca_path = true, cert_file = true, key_file = true, extra_body = true,
}

--- Names in a config that has nothing else.
---@type lgemini.Known
options.CONFIG = { http_options = options.HTTP }

--- Seconds for a whole call where the user set none and nothing else guards it.
options.TOTAL = 600

--- Raises where a method was called with a dot.
---@param self any
---@param class table
---@param name string  of the method: "stream.next"
function options.check_object(self, class, name)
  if getmetatable(self) ~= class then
    errors.misuse(("%s: call it with a colon: %s"):format(name, (name:gsub("%.([%w_]+)$", ":%1"))))
  end
end

--- The same for a service of the client.
---@param self any
---@param class table
---@param name string  of the method: "files.get"
function options.check_self(self, class, name)
  if getmetatable(self) ~= class then
    options.check_object(self, class, "client." .. name)
  end
end

--- The arguments of a call: a table, or the only required one for short.
---@param given any
---@param main string|nil  the name of that one
---@param known lgemini.Known
---@param name string      of the method, for messages
---@return table
function options.arguments(given, main, known, name)
  if type(given) == "string" and main then
    given = { [main] = given }
  elseif given == nil then
    given = {}
  end
  check(given, known, name)
  if given.config ~= nil then
    options.table(given.config, "config")
  end
  return given
end

return options
