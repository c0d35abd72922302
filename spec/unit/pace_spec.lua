local errors = require "lgemini.errors"
local pace = require "lgemini.pace"

describe("pace", function()
  local function refusal(fields)
    fields.kind, fields.message = "rate_limited", "too fast"
    return errors.new(fields)
  end

  it("spaces requests evenly, the first at once", function()
    local rate = assert(pace.new { requests_per_minute = 30 })
    assert.is_true(rate:due(100) <= 100)
    rate:begin(100)
    assert.equal(102, rate:due(100))
    rate:begin(105)
    assert.equal(107, rate:due(105)) -- what was not used is not saved up
  end)

  -- Begins as many as a burst has, each as early as it may; returns when.
  local function begin_all(rate, now, count, answer)
    local begun = {}
    for i = 1, count do
      now = math.max(now, (rate:due(now)))
      begun[i] = now
      local thought = rate:begin(now)
      if answer then rate:spent(now, answer, thought) end
    end
    return begun
  end

  it("keeps in any minute to the requests and to the tokens of one", function()
    local begun = begin_all(assert(pace.new { requests_per_minute = 8 }), 100, 50)
    for i = 9, 50 do assert.is_true(begun[i] - begun[i - 8] >= 60) end
    begun = begin_all(assert(pace.new { tokens_per_minute = 1000 }), 100, 50, 250)
    for i = 5, 50 do assert.is_true(begun[i] - begun[i - 4] >= 60) end
  end)

  it("counts a request that has no answer yet as those before it, or as a part of a minute's tokens", function()
    local rate = assert(pace.new { tokens_per_minute = 6000 })
    local guess = rate:begin(100)
    assert.equal(600, guess)
    assert.equal(106, rate:due(100))
    rate:spent(101, 200, guess)
    assert.equal(102, rate:due(101))
    assert.equal(200, rate:begin(102))
    assert.equal(104, rate:due(102))
    rate:spent(110, 800, 200) -- the debt begins when it is known
    assert.equal(116, rate:due(110))
    assert.equal(350, rate:begin(116))
    rate:spent(117, 0, 350) -- a refusal costs nothing, and says nothing
    assert.equal(116, rate:due(117))
    assert.equal(350, rate:begin(117))
  end)

  it("guesses no more than a thousand", function()
    assert.equal(1000, assert(pace.new { tokens_per_minute = 1e6 }):begin(0))
    assert.equal(0, assert(pace.new { requests_per_minute = 60 }):begin(0))
  end)

  it("makes all wait after one 429, as long as the server says", function()
    local rate = assert(pace.new { requests_per_minute = 60 })
    rate:begin(100)
    rate:refused(100, refusal { retry_after = 30, quota = "minute" })
    assert.equal(130, rate:due(101))
    rate:refused(131, refusal {})
    assert.equal(141, rate:due(131))
    rate:refused(141, errors.new { kind = "unavailable", message = "x", retry_after = 99 })
    assert.equal(141, rate:due(141))
    rate:refused(142, refusal { retry_after = 30 })
    rate:refused(143, refusal { retry_after = 1 })
    assert.equal(172, rate:due(143)) -- a shorter wait takes nothing back
  end)

  it("stops all when the quota of the day is used up, and lets one try after an hour", function()
    local rate = assert(pace.new {})
    local err = refusal { quota = "day" }
    rate:refused(100, err)
    assert.same({ nil, err }, { rate:due(3699) })
    assert.is_number(rate:due(3700))
    assert.is_number(rate:due(3700))
  end)

  describe("the line", function()
    local rate, places

    before_each(function()
      rate, places = assert(pace.new { requests_per_minute = 60 }), {}
      for i = 1, 5 do
        places[i] = {}
        rate:enter(100, places[i])
      end
    end)

    it("is in order, whoever leaves it", function()
      assert.equal(4, rate:ahead(places[5]))
      rate:leave(101, places[2])
      rate:leave(101, places[4])
      assert.equal(places[1], rate:front())
      assert.equal(2, rate:ahead(places[5])) -- who comes last knows it exactly,
      assert.equal(2, rate:ahead(places[3])) -- the others no less
      rate:leave(102, places[1])
      assert.equal(places[3], rate:front())
      assert.equal(0, rate:ahead(places[3]))
      rate:leave(103, places[3])
      rate:leave(103, places[5])
      assert.is_nil(rate:front())
      rate:enter(104, places[1])
      assert.equal(0, rate:ahead(places[1]))
    end)

    it("gives up who is in front and does not begin", function()
      rate:pass(102, 101.5, places[2])
      assert.equal(places[1], rate:front())
      rate:pass(102.6, 101.5, places[2])
      assert.equal(places[2], rate:front())
      assert.is_nil(places[1].number)
      rate:pass(103.5, 101.5, places[3]) -- the second has its time, too
      assert.equal(places[2], rate:front())
      rate:pass(200, 101.5, places[2])
      assert.equal(places[2], rate:front())
    end)
  end)

  it("refuses what makes no sense", function()
    assert.equal("invalid", select(2, pace.new { requests_per_minute = 0 }).kind)
    assert.equal("invalid", select(2, pace.new { tokens_per_minute = -1 }).kind)
    assert.has_error(function() pace.new { requests_per_minute = "60" } end)
    assert.error_matches(function() pace.new { request_per_minute = 60 } end, "requests_per_minute")
  end)
end)
