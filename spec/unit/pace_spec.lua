local errors = require "lgemini.errors"
local pace = require "lgemini.pace"

describe("pace", function()
  local function refusal(fields)
    fields.kind, fields.message = "rate_limited", "too fast"
    return errors.new(fields)
  end

  it("spaces requests evenly, the first at once", function()
    local rate = assert(pace.new { requests_per_minute = 30 })
    assert.same({ 100, 102, 104 }, { rate:reserve(100), rate:reserve(100), rate:reserve(101) })
    assert.equal(200, rate:reserve(200)) -- what was not used is not saved up
    assert.equal(202, rate:reserve(200))
  end)

  it("holds what comes after many tokens until they are paid", function()
    local rate = assert(pace.new { tokens_per_minute = 6000 })
    assert.equal(100, rate:reserve(100))
    assert.is_true(rate:may_begin(100))
    rate:spent(100, 500)
    assert.equal(105, rate:reserve(101))
    assert.is_false(rate:may_begin(104.9))
    assert.is_true(rate:may_begin(105))
    rate:spent(103, 100)
    assert.equal(106, rate:reserve(103))
    assert.equal(300, rate:reserve(300))
  end)

  it("makes all wait after one 429, as long as the server says", function()
    local rate = assert(pace.new { requests_per_minute = 60 })
    rate:reserve(100)
    rate:refused(100, refusal { retry_after = 30, quota = "minute" })
    assert.is_false(rate:may_begin(129))
    assert.same({ 130, 131 }, { rate:reserve(101), rate:reserve(101) })
    rate:refused(131, refusal {})
    assert.equal(141, rate:reserve(131))
    rate:refused(141, errors.new { kind = "unavailable", message = "x", retry_after = 99 })
    assert.equal(142, rate:reserve(141))
    rate:refused(142, refusal { retry_after = 30 })
    rate:refused(143, refusal { retry_after = 1 })
    assert.equal(172, rate:reserve(143)) -- a shorter wait takes nothing back
  end)

  it("stops all when the quota of the day is used up, and lets one try after an hour", function()
    local rate = assert(pace.new {})
    local err = refusal { quota = "day" }
    assert.equal(100, rate:reserve(100))
    rate:refused(100, err)
    assert.is_false(rate:may_begin(100))
    assert.same({ nil, err }, { rate:reserve(3699) })
    assert.equal(3700, rate:reserve(3700))
    assert.is_true(rate:may_begin(3700))
  end)

  it("refuses what makes no sense", function()
    assert.equal("invalid", select(2, pace.new { requests_per_minute = 0 }).kind)
    assert.equal("invalid", select(2, pace.new { tokens_per_minute = -1 }).kind)
    assert.has_error(function() pace.new { requests_per_minute = "60" } end)
    assert.error_matches(function() pace.new { request_per_minute = 60 } end, "requests_per_minute")
  end)
end)
