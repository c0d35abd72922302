-- The emulator's time: the machine's, plus what the admin added. Files age and quotas refill by it; pauses do not.

local cqueues = require "cqueues"

local clock = {}
clock.__index = clock

---@return table clock
function clock.new()
  return setmetatable({ start = os.time() - cqueues.monotime(), added = 0 }, clock)
end

---@return number seconds since 1970, with fractions
function clock:now()
  return self.start + cqueues.monotime() + self.added
end

---@param seconds number
function clock:advance(seconds)
  self.added = self.added + seconds
end

--- RFC 3339, as the service writes it.
---@param time number seconds since 1970
---@param digits? integer of the fraction of a second; 6 when nil
---@return string
function clock.stamp(time, digits)
  local whole = math.floor(time)
  local fraction = string.format("%.9f", time - whole):sub(3, 2 + (digits or 6))
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. "." .. fraction .. "Z"
end

return clock
