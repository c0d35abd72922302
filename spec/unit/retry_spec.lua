local errors = require "lgemini.errors"
local retry = require "lgemini.retry"

local function failure(kind, fields)
  fields = fields or {}
  fields.kind, fields.message = kind, "m"
  return errors.new(fields)
end

local busy = failure("unavailable", { code = 503 })
local limited = failure("rate_limited", { code = 429, retry_after = 53 })
local late = failure("rate_limited", { code = 429, retry_after = 90 })
local hour = failure("rate_limited", { code = 429, retry_after = 3600 })
local daily = failure("rate_limited", { code = 429, quota = "day", retry_after = 3 })

describe("retry.decide", function()
  -- name, options, state { attempts, waited, remaining, delivered }, failure, chance, wait or nil, why
  local cases = {
    { "waits by chance, up to the initial delay", nil, { 1, 0 }, busy, 0.5, 0.5 },
    { "may go on at once", nil, { 1, 0 }, busy, 0, 0 },
    { "waits twice as long the second time", nil, { 2, 0.5 }, busy, 0.5, 1 },
    { "waits four times as long the third time", nil, { 3, 1 }, busy, 0.5, 2 },
    { "gives up after the last", nil, { 4, 3 }, busy, 0.5, nil, "attempts" },
    { "has as many tries as it is given", { attempts = 2 }, { 1, 0 }, busy, 0.5, 0.5 },
    { "has no more than it is given", { attempts = 2 }, { 2, 0 }, busy, 0.5, nil, "attempts" },
    { "takes no tries for one", { attempts = 0 }, { 1, 0 }, busy, 0.5, nil, "attempts" },
    { "does not repeat where it shall not", false, { 1, 0 }, busy, 0.5, nil, "attempts" },
    { "leaves nothing to chance without jitter", { jitter = 0 }, { 2, 0 }, busy, 0.9, 2 },
    { "leaves a part to chance", { jitter = 0.5, initial_delay = 8 }, { 1, 0 }, busy, 0.5, 6 },
    { "grows by the base", { jitter = 0, exp_base = 3, initial_delay = 2 }, { 3, 0 }, busy, 0, 18 },
    { "stays below the ceiling", { jitter = 0, max_delay = 5, initial_delay = 4 }, { 2, 0 }, busy, 0, 5 },
    { "stays finite", { jitter = 0, exp_base = 100, attempts = 999, initial_delay = 0 }, { 998, 0 }, busy, 0, 0 },

    { "waits as long as the server asks", nil, { 1, 0 }, limited, 0.5, 53 },
    { "waits as long as the server asks, beyond the ceiling", { max_delay = 2 }, { 1, 0 }, limited, 0.5, 53 },
    { "waits longer than a server that asks for little", { jitter = 0, initial_delay = 9 }, { 1, 0 },
      failure("unavailable", { code = 503, retry_after = 2 }), 0, 9 },
    { "waits twice", nil, { 2, 53 }, limited, 0.5, 53 },
    { "does not wait beyond the limit", nil, { 3, 106 }, limited, 0.5, nil, "limit" },
    { "waits up to the limit", nil, { 2, 30 }, late, 0, 90 },
    { "waits no moment longer", nil, { 2, 30.01 }, late, 0, nil, "limit" },
    { "does not wait an hour", nil, { 1, 0 }, hour, 0.5, nil, "limit" },
    { "counts its own waits, too", { jitter = 0, initial_delay = 60 }, { 3, 61 }, busy, 0, nil, "limit" },
    { "does not wait past the deadline", nil, { 1, 0, 53 }, limited, 0.5, nil, "deadline" },
    { "waits up to the deadline", nil, { 1, 0, 53.1 }, limited, 0.5, 53 },
    { "does not wait itself past the deadline", { jitter = 0 }, { 2, 0, 1.5 }, busy, 0, nil, "deadline" },
    { "does not wait out a day", nil, { 1, 0 }, daily, 0.5, nil, "day" },

    { "repeats no stream that has begun", nil, { 1, 0, nil, true }, busy, 0.5, nil, "delivered" },
    { "repeats no stream that broke later", nil, { 1, 0, nil, true }, failure "incomplete", 0.5, nil, "delivered" },
    { "repeats a stream that broke before its first event", nil, { 1, 0 }, failure("incomplete", { code = 200 }), 0.5,
      0.5 },
    { "repeats after a break", nil, { 1, 0 }, failure "network", 0.5, 0.5 },
    { "repeats after a break with a status", nil, { 1, 0 }, failure("network", { code = 200 }), 0.5, 0.5 },
    { "repeats after the clock of a try", nil, { 1, 0 }, failure("timeout", { clock = "connect" }), 0.5, 0.5 },
    { "repeats after silence", nil, { 1, 0 }, failure("timeout", { clock = "first_byte" }), 0.5, 0.5 },
    { "repeats after a stall", nil, { 1, 0 }, failure("timeout", { clock = "idle" }), 0.5, 0.5 },
    { "repeats no call whose time is up", nil, { 1, 0 }, failure("timeout", { clock = "total" }), 0.5, nil, "final" },
    { "repeats no wait for a file", nil, { 1, 0 }, failure("timeout", { clock = "processing" }), 0.5, nil, "final" },

    { "repeats what it is told to", { http_status_codes = { 418 } }, { 1, 0 }, failure("http", { code = 418 }), 0, 0 },
    { "repeats only what it is told to", { http_status_codes = { 418 } }, { 1, 0 }, busy, 0, nil, "final" },
    { "repeats no status where it is told none", { http_status_codes = {} }, { 1, 0 }, busy, 0, nil, "final" },
    { "repeats breaks also then", { http_status_codes = {} }, { 1, 0 }, failure "network", 0, 0 },
  }
  for _, code in ipairs { 408, 429, 500, 502, 503, 504 } do
    cases[#cases + 1] = { "repeats " .. code, nil, { 1, 0 }, failure("unavailable", { code = code }), 0.5, 0.5 }
  end
  for _, code in ipairs { 400, 401, 403, 404, 409, 413, 418, 499, 501, 505 } do
    cases[#cases + 1] = { "does not repeat " .. code, nil, { 1, 0 }, failure("http", { code = code }), 0, nil, "final" }
  end
  for _, kind in ipairs { "tls", "cancelled", "closed", "io", "protocol", "limit", "integrity", "invalid", "auth" } do
    cases[#cases + 1] = { "does not repeat " .. kind, nil, { 1, 0 }, failure(kind), 0, nil, "final" }
  end

  -- What begins something: the state says so, and whether all of it was sent.
  local STARTS, SENT = { starts = true }, { starts = true, sent = true }
  local function begun(name, state, what, why)
    name = "that begins something " .. name
    cases[#cases + 1] = { name, nil, { 1, 0, nil, nil, state }, what, 0, not why and 0 or nil, why }
  end
  for _, kind in ipairs { "network", "incomplete" } do
    begun("is repeated after " .. kind .. " before it was sent", STARTS, failure(kind))
    begun("is not repeated after " .. kind .. " once it was sent", SENT, failure(kind), "begun")
  end
  begun("is repeated when it could not connect", STARTS, failure("timeout", { clock = "connect" }))
  for _, clock in ipairs { "first_byte", "idle", "total" } do
    begun("is not repeated when it was sent and met the clock " .. clock, SENT, failure("timeout", { clock = clock }),
      "begun")
  end
  begun("is not repeated when all time is up, sent or not", STARTS, failure("timeout", { clock = "total" }), "final")
  for _, code in ipairs { 429, 503 } do
    begun("is repeated after " .. code, SENT, failure("unavailable", { code = code }))
  end
  for _, code in ipairs { 408, 500, 502, 504 } do
    begun("is not repeated after " .. code, SENT, failure("unavailable", { code = code }), "begun")
  end
  for _, code in ipairs { 400, 403, 404 } do
    begun("is refused by " .. code, SENT, failure("http", { code = code }), "final")
  end
  begun("is not repeated for nonsense", SENT, failure "protocol", "final")

  for _, case in ipairs(cases) do
    it(case[1], function()
      local more = case[3][5] or {}
      local attempts, waited, remaining, delivered = case[3][1], case[3][2], case[3][3], case[3][4]
      local state = { attempts = attempts, waited = waited, remaining = remaining, delivered = delivered,
        starts = more.starts, sent = more.sent }
      local wait, why = retry.decide(assert(retry.options(case[2])), state, case[4], case[5])
      assert.equal(case[6], wait)
      assert.equal(case[7], why)
    end)
  end

  it("never waits more than the limit in one call, whatever comes", function()
    local options = assert(retry.options { attempts = 1000, initial_delay = 7 })
    for _, asked in ipairs { 0, 0.4, 13, 59, 120 } do
      local state = { attempts = 1, waited = 0 }
      repeat
        local wait = retry.decide(options, state, failure("unavailable", { code = 503, retry_after = asked }), 0.99)
        state.attempts, state.waited = state.attempts + 1, state.waited + (wait or 0)
      until not wait
      assert.is_true(state.waited <= 120)
      assert.is_true(state.waited > 60)
    end
  end)

  it("says that what was sent may have begun", function()
    local _, _, words = retry.decide(assert(retry.options()), { attempts = 1, waited = 0, starts = true, sent = true },
      failure "network", 0)
    assert.is_truthy(words:find("may have begun", 1, true))
  end)

  it("says how long the server asked to wait", function()
    local options = assert(retry.options())
    local _, _, words = retry.decide(options, { attempts = 1, waited = 0 }, hour, 0)
    assert.equal("the server asks to wait 3600 s, and one call waits at most 120 s in all", words)
    _, _, words = retry.decide(options, { attempts = 1, waited = 0, remaining = 10 }, limited, 0)
    assert.equal("the server asks to wait 53 s, longer than this call may take", words)
    _, _, words = retry.decide(options, { attempts = 1, waited = 119.9 }, busy, 0.9)
    assert.is_nil(words)
  end)
end)

describe("retry.options", function()
  it("has defaults", function()
    assert.same({ attempts = 4, initial_delay = 1, max_delay = 60, exp_base = 2, jitter = 1, http_status_codes =
      { [408] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true } }, retry.options())
    assert.same(retry.options(), retry.options {})
  end)

  it("takes what is given over them", function()
    local given = { attempts = 2, initial_delay = 0.01, jitter = 0, http_status_codes = { 418 } }
    local options = retry.options(given)
    assert.equal(2, options.attempts)
    assert.equal(0.01, options.initial_delay)
    assert.equal(0, options.jitter)
    assert.equal(60, options.max_delay)
    assert.same({ [418] = true }, options.http_status_codes)
    assert.same({ 418 }, given.http_status_codes)
  end)

  it("means a single try by false and by 0", function()
    assert.equal(1, retry.options(false).attempts)
    assert.equal(1, retry.options({ attempts = 0 }).attempts)
  end)

  for _, case in ipairs {
    { "attempts", -1 }, { "attempts", 1.5 }, { "attempts", 0 / 0 }, { "attempts", 1 / 0 },
    { "initial_delay", -1 }, { "initial_delay", 0 / 0 }, { "initial_delay", 10000 },
    { "max_delay", -0.1 }, { "max_delay", 1 / 0 },
    { "exp_base", 0.5 }, { "exp_base", 101 },
    { "jitter", -0.1 }, { "jitter", 1.1 }, { "jitter", 0 / 0 },
    { "http_status_codes", { 200 } }, { "http_status_codes", { 503, 600 } }, { "http_status_codes", { 0 / 0 } },
  } do
    it(("refuses %s = %s"):format(case[1], type(case[2]) == "table" and case[2][#case[2]] or case[2]), function()
      local options, err = retry.options { [case[1]] = case[2] }
      assert.is_nil(options)
      assert.equal("invalid", err.kind)
      assert.is_truthy(err.message:find("retry_options." .. case[1], 1, true), err.message)
    end)
  end

  it("raises for what is misuse", function()
    for _, case in ipairs {
      { { atempts = 3 }, "retry_options: unknown option atempts: did you mean attempts?" },
      { { attempts = "3" }, "retry_options.attempts: number expected, got string" },
      { { jitter = true }, "retry_options.jitter: number expected, got boolean" },
      { { http_status_codes = 503 }, "retry_options.http_status_codes: table expected, got number" },
      { { http_status_codes = { "503" } }, "retry_options.http_status_codes[1]: number expected, got string" },
      { 3, "retry_options: takes a table of options, got number" },
    } do
      local ok, message = pcall(retry.options, case[1])
      assert.is_false(ok)
      assert.is_truthy(message:find(case[2], 1, true), message)
    end
  end)
end)
