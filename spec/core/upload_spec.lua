-- The upload's decision table as Lua sees it. The C tests play every row of it; here: arguments, results, one story.
local core = require "lgemini.core"

describe("an upload machine", function()
  it("tells a story", function()
    local machine = core.upload.new(20, 9)
    assert.same({ "start", 0, 0 }, { machine:next() })
    assert.equal("again", machine:take { code = 0 })
    assert.equal("again", machine:take { code = 503, api_error = true })
    assert.equal("go", machine:take { code = 200, status = "active", has_url = true, granularity = 4 })
    assert.same({ "upload", 0, 8 }, { machine:next() })
    assert.equal("go", machine:take { code = 200, status = "active" })
    assert.equal(8, machine:acked())
    assert.same({ "upload", 8, 8 }, { machine:next() })
    assert.equal("again", machine:take {})
    assert.same({ "query", 0, 0 }, { machine:next() })
    assert.equal("go", machine:take { code = 200, status = "active", received = 13 })
    assert.equal(13, machine:acked())
    assert.same({ "upload, finalize", 13, 7 }, { machine:next() })
    assert.equal("end", machine:take { code = 200, status = "final" })
  end)

  it("takes a size that is not known, and no chunk", function()
    local machine = core.upload.new()
    assert.equal("go", machine:take { code = 200, has_url = true, granularity = 8388608 })
    assert.same({ "upload", 0, 8388608 }, { machine:next() })
    machine = core.upload.new(2 ^ 40)
    assert.equal("go", machine:take { code = 200, has_url = true })
    assert.same({ "upload, finalize", 0, 2 ^ 40 }, { machine:next() })
    assert.equal("1099511627776", ("%d"):format((select(3, machine:next()))))
  end)

  it("takes up what another process began", function()
    local machine = core.upload.new(20)
    machine:resume()
    assert.same({ "query", 0, 0 }, { machine:next() })
    assert.equal("go", machine:take { code = 200, status = "active", received = 13 })
    assert.same({ "upload, finalize", 13, 7 }, { machine:next() })
  end)

  it("stops with the server's error, or with one of its own", function()
    local machine = core.upload.new(20)
    assert.equal("stop", machine:take { code = 403, api_error = true })
    machine = core.upload.new(20)
    local verdict, err = machine:take { code = 200 }
    assert.is_nil(verdict)
    assert.same({ kind = "protocol",
      message = "the server did not say where to upload to (no X-Goog-Upload-URL)" }, err)
    verdict, err = machine:take { code = 200 }
    assert.is_nil(verdict)
    assert.same({ kind = "protocol", message = "the upload is over" }, err)
  end)

  it("takes a code that is none for a break", function()
    local machine = core.upload.new(20)
    for _, code in ipairs { 0, 1000, 2 ^ 40, 2 ^ 40 + 200 } do
      assert.equal("again", machine:take { code = code, has_url = true })
    end
  end)

  it("names what is wrong", function()
    for _, bad in ipairs { -1, 1.5, 0 / 0, 2 ^ 60, math.huge, {}, "many" } do
      assert.error_matches(function() core.upload.new(bad) end, "bad argument #1 to 'new'")
      assert.error_matches(function() core.upload.new(1, bad) end, "bad argument #2 to 'new'")
      local machine = core.upload.new(20)
      for _, field in ipairs { "code", "received", "granularity" } do
        assert.error_matches(function() machine:take { code = 200, has_url = true, [field] = bad } end,
          "bad argument #1 to 'take' %(" .. field .. ": a whole number of bytes expected%)")
      end
    end
    local machine = core.upload.new(20)
    assert.error_matches(function() machine:take() end, "bad argument #1 to 'take'")
    assert.error_matches(function() machine:take { status = 5 } end, "status: a text")
    assert.error_matches(function() machine:take { status = "fin\0al" } end, "status: a text without NUL")
    assert.error_matches(function() machine.next {} end, "lgemini.upload expected")
    assert.equal("go", machine:take { code = 200, has_url = true }) -- none of that moved it
  end)
end)
