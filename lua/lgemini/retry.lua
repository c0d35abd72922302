--- Whether and when to try again: a pure function of the options, of what this call has done so far, and of how the
-- last try failed. Time and chance are arguments; nobody waits here.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local options = require "lgemini.options"

local retry = {}

--- Seconds that the waits of one call may add up to.
retry.MAX_WAIT = 120

---@class lgemini.RetryOptions  as in the Python SDK; each may be left out
---@field attempts integer            tries in all, the first one included
---@field initial_delay number        seconds before the second try
---@field max_delay number            seconds, the ceiling of our own waits (not of what the server asks for)
---@field exp_base number             each wait is this many times the one before
---@field jitter number               the part of a wait that is left to chance: 0 none of it, 1 all of it
---@field http_status_codes integer[]  in force: a set of them

local DEFAULTS = { attempts = 4, initial_delay = 1, max_delay = 60, exp_base = 2, jitter = 1 }
local STATUS_CODES = { 408, 429, 500, 502, 503, 504 }

local KNOWN = { attempts = true, initial_delay = true, max_delay = true, exp_base = true, jitter = true,
  http_status_codes = true }

-- The least and the most that each number may be.
local RANGES = {
  initial_delay = { 0, 9999 },
  max_delay = { 0, 9999 },
  exp_base = { 1, 100 },
  jitter = { 0, 1 },
}

local function refuse(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...) }
end

local function status_codes(list)
  local codes = {}
  for i, code in ipairs(list) do
    local name = ("retry_options.http_status_codes[%d]"):format(i)
    options.number(code, name)
    if not (code >= 300 and code <= 599) then
      return refuse("%s: an HTTP status that is an error expected, got %s", name, tostring(code))
    end
    codes[code] = true
  end
  return codes
end

--- The options in force: what the caller gave over the defaults. `false` means a single try. Raises for unknown names
--- and wrong types.
---@param given table|false|nil   names as in the Python SDK
---@return lgemini.RetryOptions|nil
---@return lgemini.Error|nil err  kind "invalid", for a number that makes no sense
function retry.options(given)
  if given == false then
    given = { attempts = 1 }
  end
  given = given or {}
  options.check(given, KNOWN, "retry_options")
  local merged = {}
  local attempts, err = options.count(given.attempts, "retry_options.attempts", 0)
  if err then
    return nil, err
  end
  merged.attempts = math.max(1, attempts or DEFAULTS.attempts) -- 0 is 1, as in the SDKs
  for name, range in pairs(RANGES) do
    local value = options.number(given[name], "retry_options." .. name) or DEFAULTS[name]
    if not (value >= range[1] and value <= range[2]) then
      return refuse("retry_options.%s: from %d to %d expected, got %s", name, range[1], range[2], tostring(value))
    end
    merged[name] = value
  end
  merged.http_status_codes, err = status_codes(options.table(given.http_status_codes,
    "retry_options.http_status_codes") or STATUS_CODES)
  if err then
    return nil, err
  end
  return merged
end

-- Failures of the connection: nothing is known to have come of the request. A clock that runs for each try is one of
-- them; one that runs for the whole call has ended the call.
local CONNECTION = { network = true, incomplete = true }
local CLOCKS = { connect = true, first_byte = true, idle = true }

local function may_pass(given, failure)
  if failure.kind == "timeout" then
    return CLOCKS[failure.clock]
  end
  return CONNECTION[failure.kind] or (failure.code and given.http_status_codes[failure.code])
end

-- Whether a request that begins something may have begun it: the service had all of it and did not say no. 503 does,
-- as 429 does.
local function may_have_begun(state, failure)
  local code = failure.code
  if code then
    return code == 408 or (code >= 500 and code ~= 503)
  end
  return state.sent and (CONNECTION[failure.kind] or failure.kind == "timeout")
end

local BEGUN = "the request had been sent and what it starts may have begun: sending it again may start it twice"

-- Our own wait before try number `n + 1`.
local function backoff(given, n, chance)
  local factor = given.exp_base ^ math.min(n - 1, 100) -- finite, so that 0 times it is 0
  local wait = math.min(given.max_delay, given.initial_delay * factor)
  return wait * (1 - given.jitter + given.jitter * chance)
end

local function asked(failure, ending)
  if failure.retry_after then
    return ("the server asks to wait %.0f s, %s"):format(math.ceil(failure.retry_after), ending)
  end
end

---@class lgemini.RetryState
---@field attempts integer       tries made so far, 1 or more
---@field waited number          seconds that this call has waited between tries
---@field remaining number|nil   seconds until the call's deadline; nil where it has none
---@field delivered boolean|nil  whether the caller has got an event of the stream
---@field starts boolean|nil     whether the request begins something that costs, and is there afterwards
---@field sent boolean|nil       whether all of it was sent in the last try

--- Decides after a failed try.
---@param given lgemini.RetryOptions
---@param state lgemini.RetryState
---@param failure lgemini.Error  kind, code, retry_after, quota; `clock` of a timeout
---@param chance number          random, from 0 up to but not including 1
---@return number|nil wait       seconds to wait, then try again; nil: give up
---@return string|nil why        "final": trying again does not help; "delivered": the caller has got a part of it;
---  "begun": what it starts may have begun; "attempts": all used up; "day": the quota of the day is; "limit",
---  "deadline": there is no time for the wait
---@return string|nil words      for the error's hint, where there is more to say: how long the server asked to wait
function retry.decide(given, state, failure, chance)
  if state.starts and may_have_begun(state, failure) then
    return nil, "begun", BEGUN
  elseif not may_pass(given, failure) then
    return nil, "final"
  elseif state.delivered then
    return nil, "delivered"
  elseif failure.quota == "day" then
    return nil, "day"
  elseif state.attempts >= given.attempts then
    return nil, "attempts"
  end
  local wait = math.max(failure.retry_after or 0, backoff(given, state.attempts, chance))
  if state.waited + wait > retry.MAX_WAIT then
    return nil, "limit", asked(failure, ("and one call waits at most %d s in all"):format(retry.MAX_WAIT))
  elseif state.remaining and wait >= state.remaining then
    return nil, "deadline", asked(failure, "longer than this call may take")
  end
  return wait
end

return retry
