-- Ephemeral tokens. The emulator has no Live sessions: a token is made, checked for what it may say, and opens nothing.

local check = require "check"
local errors = require "errors"
local intake = require "intake"
local store = require "store"

local auth_tokens = {}

local function seconds_between(stamp, emu)
  local year, month, day, hour, min, sec = stamp:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d%.]+)Z$")
  if not year then error(errors.new(400, "Invalid time: " .. stamp)) end
  local now = os.time()
  local offset = os.difftime(now, os.time(os.date("!*t", now)))
  return os.time({ year = year, month = month, day = day, hour = hour, min = min, sec = math.floor(sec) }) + offset
    - emu.clock:now()
end

--- POST v1alpha/auth_tokens
function auth_tokens.create(ex, emu, _, version)
  if version ~= "v1alpha" then error(errors.html(404)) end
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "AuthToken")
  if request.expireTime and seconds_between(request.expireTime, emu) > 20 * 3600 then
    error(errors.new(400, "expire_time must be at most 20 hours in the future."))
  end
  ex:answer_json({ name = "auth_tokens/" .. store.new_id() .. store.new_id() })
end

return auth_tokens
