-- Requests of one route: they differ in their bodies and deadlines, and one that ended well leaves its handle to the
-- next. What an exchange does is exchange_spec's; here: that nothing of one request shows in another.
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local drive = require "spec.core.drive"
local scripted = require "spec.support.scripted"

local SMALL = 16384 -- bytes of a body up to which the handle is left to the next

describe("a route", function()
  local server, loop

  setup(function() server = scripted.start() end)
  teardown(function() server:stop() end)
  before_each(function() loop = assert(core.loop.new()) end)
  after_each(function() loop:close() end)

  local function route_of(method, changes)
    return core.exchange.route(drive.request(method or "POST", server.url .. "/route", changes))
  end

  local function start(route, text, ...)
    local x = assert(core.exchange.new(route, text and assert(core.body.of(text)) or nil, ...))
    loop:add(x, "calls")
    return x
  end

  local function script(n, answer)
    local answers = {}
    for i = 1, n do answers[i] = answer or { status = 200, body = { bytes = "answer " .. i } } end
    server:script(answers)
  end

  it("serves requests of any body, one after the other", function()
    local route = route_of "POST"
    local sizes = { 5, 3, 0, SMALL, 7, SMALL + 1, 100, 300000, 1, false, 2 }
    script(#sizes)
    for i, size in ipairs(sizes) do
      local text = size and drive.bytes(size)
      local x = start(route, text)
      assert.is_true(drive.finish(loop, x))
      assert.equal("answer " .. i, x:read())
      assert.equal(size or 0, x:sent())
      assert.equal(i > 1, x:facts().reused)
      assert.equal(size or 0, x:facts().bytes_sent)
      local received = server:received()[i]
      assert.equal("POST /route HTTP/1.1", received.request_line)
      assert.equal(tostring(size or 0), received.header["content-length"])
      assert.is_nil(received.header.expect)
      assert.is_true(received.body == (text or ""))
      x:close()
    end
  end)

  it("serves texts in place of bodies", function()
    local texts = { "one", "", "a\0b", ("x"):rep(SMALL) }
    for _, method in ipairs { "POST", "PATCH" } do
      local route = route_of(method)
      script(2 * #texts)
      for i, text in ipairs(texts) do
        for at, x in ipairs { core.exchange.new(route, text), start(route, text) } do
          if at == 1 then loop:add(x, "calls") end
          assert.is_true(drive.finish(loop, x))
          assert.equal(#text, x:sent())
          local received = server:received()[2 * i - 2 + at]
          assert.equal(method, received.method)
          assert.equal(tostring(#text), received.header["content-length"])
          assert.is_true(received.body == text)
        end
      end
    end
  end)

  it("serves windows of a body, and readers", function()
    local route = route_of "POST"
    script(4)
    local body = assert(core.body.of "0123456789")
    for i, window in ipairs { { 2, 5 }, { 9, 1 } } do
      local x = assert(core.exchange.new(route, body, nil, window[1], window[2]))
      loop:add(x, "calls")
      assert.is_true(drive.finish(loop, x))
      assert.equal(("0123456789"):sub(window[1] + 1, window[1] + window[2]), server:received()[i].body)
    end
    local hash, reader = core.sha256.new(), core.body.new()
    assert(reader:add_reader(4))
    local x = assert(core.exchange.new(route, reader, nil, nil, nil, hash, 0))
    loop:add(x, "calls")
    drive.wait(loop, function() return x:wants() end)
    assert(x:supply "read")
    assert.is_true(drive.finish(loop, x))
    assert.equal(4, hash:position())
    assert.is_true(drive.finish(loop, start(route, "text")))
    assert.equal("read", server:received()[3].body)
    assert.equal("text", server:received()[4].body)
  end)

  it("serves requests without a body, too", function()
    for _, method in ipairs { "GET", "DELETE", "POST" } do
      local route = route_of(method)
      script(3)
      for i = 1, 3 do
        assert.is_true(drive.finish(loop, start(route)))
        assert.equal(method, server:received()[i].method)
        assert.equal("", server:received()[i].body)
        assert.equal(method == "POST" and "0" or nil, server:received()[i].header["content-length"])
        assert.is_nil(server:received()[i].header["transfer-encoding"])
      end
    end
    local route = route_of "PATCH"
    script(2)
    for i, text in ipairs { "one", "two" } do
      assert.is_true(drive.finish(loop, start(route, text)))
      assert.equal("PATCH", server:received()[i].method)
      assert.equal(text, server:received()[i].body)
    end
  end)

  it("serves several at once", function()
    local route, running = route_of "POST", {}
    for _ = 1, 3 do
      script(8)
      for i = 1, 8 do running[i] = start(route, "body " .. i) end
      local said, bodies = {}, {}
      for i = 1, 8 do
        assert.is_true(drive.finish(loop, running[i]))
        said[running[i]:read()], bodies[server:received()[i].body] = true, true
      end
      for i = 1, 8 do assert.is_true(said["answer " .. i] and bodies["body " .. i]) end
    end
  end)

  it("goes on after requests that failed", function()
    local route = route_of "POST"
    server:script {
      { status = 200, body = { bytes = "first" } },
      { status = 200, cut_at = { body = 2 }, body = { bytes = "broken" } },
      { status = 200, body = { bytes = "second" } }, { status = 200, stall_at = 0 },
      { status = 404, body = { bytes = "none" } },
      { status = 200, body = { bytes = "third" } },
    }
    local function ends(kind, deadline)
      local x = start(route, "x", deadline)
      local ok, err = drive.finish(loop, x)
      assert.equal(kind, err and err.kind)
      assert.equal(not kind, ok)
      return x:read(), x:code()
    end
    assert.equal("first", ends())
    ends "incomplete"
    assert.equal("second", ends())
    ends("timeout", core.now() + 0.1)
    assert.equal(404, select(2, ends()))
    assert.equal("third", ends())
    local x = start(route, "x")
    x:close()
    script(1)
    assert.equal("answer 1", ends())
  end)

  it("leads to the same place each time, through a proxy, too", function()
    local host = server.url:match "//(.*)$"
    local cases = {
      { "http://" .. host .. "/a%20b/%2e/..;x=1/?q=%2F&empty=&r=a+b#fragment" }, { "http://" .. host },
      { "http://" .. host .. "?q" }, { "HTTP://u%40v:p%3Aw@" .. host .. "/in" },
      { "http://" .. host .. "//two/../one/" },
      { "http://elsewhere.invalid/p%41th?q=1", server.url }, { "http://u:p@elsewhere.invalid:81/", server.url },
    }
    for _, case in ipairs(cases) do
      local request, lines = drive.request("POST", case[1]), {}
      request.proxy = case[2] or ""
      local route = core.exchange.route(request)
      script(4)
      for i = 1, 4 do
        assert.is_true(drive.finish(loop, start(route, "x")))
        local received = server:received()[i]
        lines[i] = received.request_line .. " " .. received.header.host .. " " .. (received.header.authorization or "")
        assert.equal(lines[1], lines[i])
      end
    end
  end)

  it("has texts of its own", function()
    local lines, request = { "X-Number: " .. 12345678 }, drive.request("POST", server.url .. "/" .. 23456789)
    request.headers = lines
    local route = core.exchange.route(request)
    lines[1], request.url, request.headers = "X-Other: 1", "http://other.invalid/", {}
    collect()
    script(2)
    for i = 1, 2 do
      assert.is_true(drive.finish(loop, start(route, "x")))
      assert.equal("POST /23456789 HTTP/1.1", server:received()[i].request_line)
      assert.equal("12345678", server:received()[i].header["x-number"])
      assert.is_nil(server:received()[i].header["x-other"])
    end
  end)

  it("has its header lines in common with all that begin, be it closed meanwhile", function()
    local route, running, texts = route_of("POST", { headers = { "X-Number: 12345678" } }), {}, {}
    for i = 1, 4 do texts[i] = ("x"):rep(i % 2 == 0 and SMALL + i or i) end
    script(#texts + 1)
    for i, text in ipairs(texts) do running[i] = start(route, text) end
    local later = core.exchange.new(route, "x")
    route:close()
    route = nil -- luacheck: ignore 311
    collect()
    for i = 1, #texts do assert.is_true(drive.finish(loop, running[i])) end
    loop:add(later, "calls")
    assert.is_true(drive.finish(loop, later))
    for i = 1, #texts + 1 do assert.equal("12345678", server:received()[i].header["x-number"]) end
  end)

  it("outlives nothing that needs it, and is closed before it is garbage", function()
    script(3)
    local x = start(route_of "POST", "x")
    collect()
    assert.is_true(drive.finish(loop, x))
    x:close()
    local route = route_of "POST"
    local before = core.alive().route
    x = start(route, "x")
    route:close()
    route:close()
    assert.equal(before - 1, core.alive().route)
    assert.is_true(drive.finish(loop, x))
    assert.is_true(drive.finish(loop, start(route, "y")))
    assert.equal("y", server:received()[3].body)
  end)

  it("refuses what a request refuses", function()
    assert.error_matches(function() core.exchange.route() end, "table expected")
    assert.error_matches(function() route_of("P OST") end, "method: no blanks")
    assert.error_matches(function() route_of("POST", { idle = -1 }) end, "idle: seconds expected")
    assert.error_matches(function() route_of("POST", { headers = { 1 } }) end, "headers: lines without NUL")
    local function refused(message, ...)
      local given = { ... }
      assert.error_matches(function()
        core.exchange.new(given[1], given[2], given[3], given[4], given[5], given[6], given[7])
      end, message)
    end
    local route, body = route_of "POST", assert(core.body.of "12345")
    refused("body: an open body, or a text, expected", route, 12345)
    refused("body: a GET has none", route_of "GET", body)
    refused("body: a GET has none", route_of "GET", "12345")
    refused("this long", route, ("x"):rep(SMALL + 1))
    refused("a text is sent whole", route, "12345", nil, 1)
    refused("a text is sent whole", route, "12345", nil, nil, 1)
    refused("a text is sent whole", route, "12345", nil, nil, nil, core.sha256.new())
    refused("deadline: seconds expected", route, body, -1)
    refused("offset: a whole number", route, body, nil, 0.5)
    refused("window is not inside", route, body, nil, 3, 3)
    refused("hash: an open sha256", route, body, nil, 0, 1, body)
    body:close()
    refused("body: an open body, or a text, expected", route, body)
  end)
end)
