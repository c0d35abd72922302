--- How fast requests to models may follow each other: a pure function of time and of what was seen. Nobody waits here.
--
-- Requests are spaced evenly. Tokens are known when an answer has come; they are a debt that later requests wait for. A
-- 429 makes all wait, and one for the quota of the day stops all for an hour, after which one is tried again.

local errors = require "lgemini.errors"
local options = require "lgemini.options"

local pace = {}
pace.__index = pace

---@class lgemini.Pace  how fast the requests of a client follow each other

local KNOWN = { requests_per_minute = true, tokens_per_minute = true }

-- Seconds to wait after a 429 that does not say how long, and after the quota of the day was used up.
local PAUSE, STOP = 10, 3600

--- Raises for unknown names and wrong types.
---@param given table  requests_per_minute, tokens_per_minute; either may be left out
---@return lgemini.Pace|nil
---@return lgemini.Error|nil err  kind "invalid", for a number that makes no sense
function pace.new(given)
  options.check(given, KNOWN, "rate")
  for name in pairs(KNOWN) do
    local value = options.number(given[name], "rate." .. name)
    if value and not (value > 0 and value < math.huge) then
      return nil, errors.new { kind = "invalid",
        message = ("rate.%s: more than 0 expected, got %s"):format(name, tostring(value)) }
    end
  end
  return setmetatable({
    interval = given.requests_per_minute and 60 / given.requests_per_minute or 0,
    per_token = given.tokens_per_minute and 60 / given.tokens_per_minute or 0,
    free = 0,    -- the instant at which the next request may begin, by the number of requests
    held = 0,    -- and by tokens and refusals
    stopped = nil, -- the error of the day, until `resumed`
  }, pace)
end

--- Takes the next place in the order.
---@param now number
---@return number|nil instant     when it is due
---@return lgemini.Error|nil err  the quota of the day is used up: nothing is to be sent
function pace:reserve(now)
  if self.stopped and now < self.resumed then
    return nil, self.stopped
  end
  self.stopped = nil
  local due = math.max(now, self.free, self.held)
  self.free = due + self.interval
  return due
end

--- Whether what is due may still begin: a refusal or tokens may have come in between.
---@param now number
---@return boolean
function pace:may_begin(now)
  return now >= self.held and not self.stopped
end

--- An answer has come, which took so many tokens.
---@param now number
---@param tokens number
function pace:spent(now, tokens)
  if self.per_token > 0 then
    self.held = math.max(now, self.held) + tokens * self.per_token
  end
end

--- A request was refused.
---@param now number
---@param err lgemini.Error
function pace:refused(now, err)
  if err.quota == "day" then
    self.stopped, self.resumed = err, now + STOP
  elseif err.kind == "rate_limited" then
    self.held = math.max(self.held, now + (err.retry_after or PAUSE))
  end
end

return pace
