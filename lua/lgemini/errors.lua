--- The error value: one table for everything that can go wrong outside the program. Programs match on `kind`, people
-- read `message` and `hint`. Made by `errors.new`; refusal.lua makes one of whatever a server answered.

require("lgemini.compat").goes_over_tables()

local errors = {}

---@class lgemini.Error
---@field kind string            what happened, one of a short closed list; kinds are only ever added
---@field message string         one line a person understands, with the server's own words in it
---@field hint string|nil        what to do next
---@field code integer|nil       HTTP status
---@field status string|nil      the service's name for it, such as "RESOURCE_EXHAUSTED"
---@field details table|nil      as the service sent them, decoded
---@field retryable boolean      whether the same call may succeed later
---@field retry_after number|nil seconds the server asked to wait
---@field quota string|nil       "minute" or "day": the quota that a `rate_limited` ran into, where the server said so
---@field attempts integer|nil   how often the request was sent
---@field request_id string|nil
---@field cause any              the error below this one
---@field partial table|nil      of `incomplete`: what had arrived
---@field file any               of `file_failed` a file object, of `file_expired` the file's name
---@field batch table|nil        the same of a batch
---@field interaction table|nil  the same of an interaction
---@field operation table|nil    that ended in this error, or that was not done in time
local Error = { __name = "lgemini.Error" }

-- Each kind, and whether the same call may succeed when it is made again.
local KINDS = {
  invalid = false,
  auth = false,
  permission = false,
  not_found = false,
  conflict = false,
  precondition = false,
  too_large = false,
  rate_limited = true,
  unavailable = true,
  http = false,
  file_failed = false,
  file_expired = false,
  blocked = false,
  cut = false,
  empty = false,
  incomplete = true,
  network = true,
  tls = false,
  timeout = true,
  cancelled = false,
  closed = false,
  io = false,
  protocol = false,
  limit = false,
  integrity = false,
  unrecorded = false,
}

--- One line, without control bytes: a message goes to terminals and logs.
---@param text string
---@return string
function errors.fold(text)
  return (text:gsub("%s+", " "):gsub("%c", ""):gsub("^ ", ""):gsub(" $", ""))
end

---@param self lgemini.Error
---@return string  one line: "kind: message (hint)"
function Error.__tostring(self)
  local text = self.kind .. ": " .. self.message
  if self.hint then
    text = text .. " (" .. self.hint .. ")"
  end
  return errors.fold(text)
end

--- Makes an error value from its fields (they are copied).
---@param fields table  see lgemini.Error; `kind` and `message` are needed
---@return lgemini.Error
function errors.new(fields)
  if KINDS[fields.kind] == nil then
    error("no such kind of error: " .. tostring(fields.kind), 2)
  elseif type(fields.message) ~= "string" then
    error("an error needs a message", 2)
  end
  local err = {}
  for name, value in pairs(fields) do
    err[name] = value
  end
  err.message = errors.fold(err.message)
  if err.message == "" then -- of control characters only
    err.message = "no reason was given"
  end
  if err.retryable == nil then
    err.retryable = KINDS[err.kind]
  end
  return setmetatable(err, Error)
end

---@param value any
---@return boolean  whether `value` is an error value
function errors.is(value)
  return type(value) == "table" and getmetatable(value) == Error
end

local getinfo = debug and debug.getinfo -- a host may leave debug out

-- The folder of this module as chunk names have it ("@/usr/share/lua/5.4/lgemini/"); where all modules are in one file,
-- that file.
local OWN = getinfo and (getinfo(1, "S").source:match "^(.*)errors%.lua$" or getinfo(1, "S").source)

--- The first line outside lgemini, "file:12: ", which is to blame for misuse; "" where there is none.
---@param thread thread|nil  where it is looked for; the coroutine that runs when left out
---@return string
function errors.place(thread)
  local level = 0
  local info
  repeat
    level = level + 1
    info = getinfo and (thread and getinfo(thread, level, "Sl") or not thread and getinfo(level, "Sl"))
  until not info or info.currentline >= 1 and not (OWN and info.source:sub(1, #OWN) == OWN)
  return info and ("%s:%d: "):format(info.short_src, info.currentline) or ""
end

--- Raises a message that blames the first line outside lgemini: for misuse, that is a bug in the calling program.
--- Call it in the caller's coroutine, before work moves into one of ours: its stack ends the search.
---@param message string
function errors.misuse(message)
  error(errors.place() .. message, 0)
end

local HIDDEN = "[redacted]"

--- Takes secrets out of a text: the given ones, everything that looks like a Google API key, who logs in to the host
--- of a URL, and the values of `key=`, `token=` and `upload_id=` (an upload URL is a secret).
---@param text string
---@param secrets table<any, string>|nil
---@return string
function errors.redact(text, secrets)
  if secrets then
    local longest_first = {}
    for _, secret in pairs(secrets) do -- not ipairs: there may be a hole where there is no key
      longest_first[#longest_first + 1] = secret
    end
    table.sort(longest_first, function(a, b)
      return #a > #b
    end)
    for _, secret in ipairs(longest_first) do
      if secret ~= "" then
        text = text:gsub(secret:gsub("%p", "%%%0"), HIDDEN)
      end
    end
  end
  text = text:gsub("AIza[%w_%-]+", HIDDEN):gsub("//[^/%s]*@", "//" .. HIDDEN .. "@")
  for _, name in ipairs { "[kK][eE][yY]=", "[tT][oO][kK][eE][nN]=", "upload_id=" } do
    text = text:gsub("(" .. name .. ")[^&%s\"'<>\\]+", "%1" .. HIDDEN)
  end
  return text
end

return errors
