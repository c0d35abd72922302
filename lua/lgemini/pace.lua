--- How fast requests to models may follow each other, and in which order: a pure function of time and of what was seen.
--- Nobody waits here; that is rate.lua.
--
-- Requests are spaced evenly, from the instant at which the last one began. So are tokens, which are known when an
-- answer has come; until then a request counts as much as those before it. A 429 makes all wait, and one for the quota
-- of the day stops all for an hour, after which one is tried again.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local options = require "lgemini.options"

local pace = {}
pace.__index = pace

---@class lgemini.Pace  how fast the requests of a client follow each other

local KNOWN = { requests_per_minute = true, tokens_per_minute = true }

-- Seconds to wait after a 429 that does not say how long, and after the quota of the day was used up.
local PAUSE, STOP = 10, 3600

-- Tokens of a request before the first answer, but at most this part of a minute's.
local GUESS, PART = 1000, 0.1

-- Seconds after which the first in line has missed its turn: whoever waited there was given up.
local LATE = 1

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
  local tokens = given.tokens_per_minute
  return setmetatable({
    interval = given.requests_per_minute and 60 / given.requests_per_minute or 0,
    per_token = tokens and 60 / tokens or 0,
    usual = tokens and math.min(GUESS, tokens * PART) or 0, -- tokens of a request whose answer has not come
    known = false, -- it is of answers, not a guess
    free = 0,      -- the instant at which the next request may begin, by the number of requests,
    paid = 0,      -- by tokens,
    held = 0,      -- and by refusals
    stopped = nil, -- the error of the day, until `resumed`
    line = {},     -- the places of those who wait, from `first` to `last`; false for one that has left
    first = 1,
    last = 0,
    count = 0,     -- of those that have not
    since = 0,     -- the instant at which the first of them became that
  }, pace)
end

--- When the next request may begin, maybe in the past.
---@param now number
---@return number|nil instant
---@return lgemini.Error|nil err  the quota of the day is used up: nothing is to be sent
function pace:due(now)
  if self.stopped and now < self.resumed then
    return nil, self.stopped
  end
  self.stopped = nil
  return math.max(self.free, self.paid, self.held)
end

--- A request begins.
---@param now number
---@return number tokens  what it is expected to take, for `spent`
function pace:begin(now)
  self.free = now + self.interval
  self.paid = math.max(now, self.paid) + self.usual * self.per_token
  return self.usual
end

--- An answer has come, which took so many tokens: 0 for a refusal.
---@param now number
---@param tokens number
---@param estimated number  what `begin` said
function pace:spent(now, tokens, estimated)
  if self.per_token == 0 then
    return
  end
  local from = tokens > estimated and math.max(now, self.paid) or self.paid
  self.paid = from + (tokens - estimated) * self.per_token
  if tokens > 0 then
    self.usual = self.known and self.usual + (tokens - self.usual) / 4 or tokens
    self.known = true
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

-- The line ------------------------------------------------------------------------------------

--- The place that has the next turn.
---@return table|nil
function pace:front()
  return self.line[self.first] or nil
end

--- Takes the last place in line.
---@param now number
---@param place table  `number` in it is ours
function pace:enter(now, place)
  if self.count == 0 then
    self.since = now
  end
  self.last, self.count = self.last + 1, self.count + 1
  self.line[self.last], place.number = place, self.last
end

--- Leaves it, whether the turn has come or not: who is behind moves up.
---@param now number
---@param place table
function pace:leave(now, place)
  local line = self.line
  line[place.number], place.number = false, nil
  self.count = self.count - 1
  while line[self.first] == false do
    line[self.first] = nil
    self.first, self.since = self.first + 1, now
  end
end

--- How many are in front of a place; for one in the middle of the line at most so many.
---@param place table
---@return integer
function pace:ahead(place)
  return place.number == self.last and self.count - 1 or place.number - self.first
end

--- Gives up those in front of a place that have not taken their turn, though they could.
---@param now number
---@param due number
---@param place table
function pace:pass(now, due, place)
  local front = self:front()
  while front ~= place and now > math.max(due, self.since) + LATE do
    self:leave(now, front)
    front = self:front()
  end
end

--- Until when to wait, for a place that has others in front: its turn is told, unless they are to be given up.
---@param due number
---@param ahead integer
---@return number
function pace:look(due, ahead)
  return due + ahead * self.interval + 2 * LATE
end

return pace
