-- One request and its answer, on a raw loopback server. Nothing here measures time: where a clock fires, only which.
local decoders = require "lgemini.answer"
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local bytes = require "spec.support.bytes"
local drive = require "spec.core.drive"
local puppets = require "spec.core.puppet"
local scripted = require "spec.support.scripted"

local OK = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
local SOON = 0.15 -- seconds: of a clock that is to fire
local LARGE = 32 * 1024 * 1024 -- more than the buffers of a connection take

local function body_of(text)
  local body = core.body.new()
  assert(body:add(text))
  return body
end

describe("an exchange", function()
  local server, puppet, loop

  setup(function()
    server = scripted.start()
    puppet = puppets.start()
  end)
  teardown(function()
    server:stop()
    puppet:stop()
  end)
  before_each(function()
    server:treat {}
    puppet:forget()
    loop = assert(core.loop.new())
  end)
  after_each(function() loop:close() end)

  local function script(...) server:script { ... } end

  -- An exchange with the scripted server, to its end. Fails where that is none.
  local function get(changes)
    local x = drive.start(loop, "GET", server.url .. "/", changes)
    local ok, err = drive.finish(loop, x)
    assert(ok, err and err.message)
    return x
  end

  -- The same for one that must fail: its error.
  local function fail(kind, x)
    local ok, err = drive.finish(loop, x)
    assert.is_false(ok)
    assert.equal(kind, err.kind, err.message)
    assert.is_string(err.message)
    return err
  end

  -- The puppet's connection for an exchange that was just started.
  local function accept()
    return drive.wait(loop, function() return puppet:accept() end, "a connection")
  end

  -- Steps until the puppet has got bytes that match, and returns all it got.
  local function heard(n, pattern)
    local got = ""
    return drive.wait(loop, function()
      got = got .. puppet:read(n, 65536)
      return got:find(pattern) and got
    end, pattern)
  end

  -- Until the puppet sees that the connection is closed, without a step of ours.
  local function closed(n)
    drive.idle(function() return select(2, puppet:read(n, 1048576)) end, "the end of the connection")
  end

  describe("sends", function()
    it("a GET and a DELETE without a word of a body", function()
      script({ status = 200, body = { bytes = "hi" } }, { status = 200 })
      local x = get { headers = { "X-One: 1", "X-Empty;" } }
      assert.equal("hi", x:read())
      assert.is_true(drive.finish(loop, drive.start(loop, "DELETE", server.url .. "/a?b=c")))
      local received = server:received()
      assert.equal("GET / HTTP/1.1", received[1].request_line)
      assert.equal("1", received[1].header["x-one"])
      assert.equal("", received[1].header["x-empty"])
      assert.equal("DELETE /a?b=c HTTP/1.1", received[2].request_line)
      for i = 1, 2 do
        for _, name in ipairs { "content-length", "transfer-encoding", "expect", "content-type", "accept-encoding" } do
          assert.is_nil(received[i].header[name])
        end
      end
    end)

    it("bodies with their exact length, never in chunks, never asking whether they are welcome", function()
      local sizes = { 0, 1, 1000, 65535, 65536, 65537, 1048577, 3 * 1048576 + 1 } -- libcurl would ask from 1 MiB on
      for _, method in ipairs { "POST", "PUT", "PATCH" } do
        local answers = {}
        for i = 1, #sizes do answers[i] = { status = 200 } end
        server:script(answers)
        for _, size in ipairs(sizes) do
          local text = drive.bytes(size)
          local x = drive.start(loop, method, server.url .. "/p", { body = body_of(text) })
          assert.is_true(drive.finish(loop, x))
          assert.equal(size, x:sent())
          assert.equal(size, x:facts().bytes_sent)
          local received = server:received()
          local last = received[#received]
          assert.equal(method, last.method)
          assert.equal(tostring(size), last.header["content-length"])
          assert.is_nil(last.header.expect)
          assert.is_nil(last.header["transfer-encoding"])
          assert.is_true(last.complete)
          assert.is_true(last.body == text)
        end
      end
    end)

    it("a POST that has no body with length 0", function()
      script { status = 200 }
      assert.is_true(drive.finish(loop, drive.start(loop, "POST", server.url .. "/")))
      assert.equal("0", server:received()[1].header["content-length"])
    end)

    it("segments of all kinds, and any window of them", function()
      local content = drive.bytes(300000)
      local path = drive.file(content)
      local handle = assert(io.open(path, "rb"))
      local body = core.body.new()
      assert(body:add "{")
      assert(body:add_base64(content))
      assert(body:add_file(path))
      assert(body:add_base64_file(path))
      assert(body:add_handle(handle))
      assert(body:add "}")
      handle:close()
      local whole = "{" .. bytes.base64(content) .. content .. bytes.base64(content) .. content .. "}"
      assert.equal(#whole, body:length())
      local windows = {
        { 0, #whole }, { 0, 0 }, { #whole, 0 }, { 1, #whole - 2 }, { 399999, 5 }, { 400003, 300001 },
        { 699999, 400010 },
      }
      for _, window in ipairs(windows) do
        local offset, length = window[1], window[2]
        script { status = 200 }
        local x = drive.start(loop, "POST", server.url .. "/", { body = body, offset = offset, length = length })
        assert.is_true(drive.finish(loop, x))
        local received = server:received()[1]
        assert.equal(tostring(length), received.header["content-length"])
        assert.is_true(received.body == whole:sub(offset + 1, offset + length))
      end
      os.remove(path)
    end)

    it("a small body of bytes in memory as it was when the exchange was made", function()
      local content = drive.bytes(12288)
      for _, case in ipairs { { 0, 16384 }, { 0, 16385 }, { 1, 7 }, { 3, 0 }, { 16384, 2 }, { 16383, 3 } } do
        local offset, length = case[1], case[2]
        local body = core.body.new()
        assert(body:add_base64(content))
        assert(body:add "{}")
        local whole = bytes.base64(content) .. "{}"
        script { status = 200 }
        local x = drive.start(loop, "PUT", server.url .. "/", { body = body, offset = offset, length = length })
        assert.equal(0, x:sent())
        local is_small = length <= 16384
        if is_small then body:close() end
        assert.is_true(drive.finish(loop, x))
        assert.equal(length, x:sent())
        assert.equal(length, x:facts().bytes_sent)
        local received = server:received()[1]
        assert.equal("PUT", received.method)
        assert.is_true(received.body == whole:sub(offset + 1, offset + length))
        body:close()
      end
    end)

    it("one body in two exchanges at once", function()
      local text = drive.bytes(2000000)
      local body = body_of(text)
      script({ status = 200 }, { status = 200 })
      local a = drive.start(loop, "POST", server.url .. "/", { body = body }, "bulk")
      local b = drive.start(loop, "POST", server.url .. "/", { body = body }, "calls")
      assert.is_true(drive.finish(loop, a))
      assert.is_true(drive.finish(loop, b))
      local received = server:received()
      assert.is_true(received[1].body == text and received[2].body == text)
    end)

    it("what a reader brings, piece by piece", function()
      local body = core.body.new()
      assert(body:add "<")
      assert(body:add_reader(300000))
      assert(body:add ">")
      assert(body:add_reader(3))
      local text = drive.bytes(300000)
      script { status = 200 }
      local x = drive.start(loop, "POST", server.url .. "/", { body = body })
      local size, asked = 1, 0
      assert.is_nil(x:wants())
      drive.wait(loop, function()
        local at, n = x:wants()
        if at then
          asked = asked + 1
          if at < 300001 then
            assert.equal(300001 - at, n) -- up to the end of its segment
            assert.is_true(x:supply(text:sub(at, at + size - 1)))
            size = math.min(size * 3, 50000)
          else
            assert.same({ 300002, 3 }, { at, n })
            assert.is_true(x:supply "abc")
          end
          assert.is_nil(x:wants())
        end
        return x:done() ~= nil
      end)
      assert.is_true(x:done())
      assert.is_true(asked > 10)
      assert.is_true(server:received()[1].body == "<" .. text .. ">abc")
    end)

    it("nothing that a reader brings unasked or in excess", function()
      local body = core.body.new()
      assert(body:add_reader(3))
      script { status = 200 }
      local x = drive.start(loop, "POST", server.url .. "/", { body = body })
      assert.has_error(function() x:supply "a" end, "bad argument #1 to 'supply' (more bytes than are wanted)")
      drive.wait(loop, function() return x:wants() end)
      assert.has_error(function() x:supply "" end, "bad argument #1 to 'supply' (no bytes)")
      assert.has_error(function() x:supply "abcd" end, "bad argument #1 to 'supply' (more bytes than are wanted)")
      assert.is_true(x:supply "ab")
      assert.has_error(function() x:supply "c" end, "bad argument #1 to 'supply' (more bytes than are wanted)")
      drive.wait(loop, function() return x:wants() end)
      assert.same({ 2, 1 }, { x:wants() })
      assert.is_true(x:supply "c")
      assert.is_true(drive.finish(loop, x))
      assert.is_true(x:supply "too late") -- a reader need not know that it is over
      assert.equal("abc", server:received()[1].body)
    end)

    it("a file only as it was added", function()
      local path = drive.file(drive.bytes(1000000))
      local body = core.body.new()
      assert(body:add_file(path))
      local file = assert(io.open(path, "ab"))
      file:write "more"
      file:close()
      script { status = 200 }
      local x = drive.start(loop, "POST", server.url .. "/", { body = body })
      local err = fail("io", x)
      assert.equal(path .. " changed while it was sent", err.message)
      os.remove(path)
      x = drive.start(loop, "POST", server.url .. "/", { body = body })
      assert.matches("cannot open " .. path, fail("io", x).message, 1, true)
    end)

    it("a file that it lets go of as soon as it is done", function()
      local path = drive.file(drive.bytes(100000))
      local body = core.body.new()
      assert(body:add_base64_file(path))
      script({ status = 200 }, { gate = "answer", status = 200 })
      local x = drive.start(loop, "POST", server.url .. "/", { body = body })
      assert.is_true(drive.finish(loop, x))
      if drive.descriptors(path) then assert.equal(0, drive.descriptors(path)) end
      x = drive.start(loop, "POST", server.url .. "/", { body = body })
      drive.phase(loop, x, "waiting")
      if drive.descriptors(path) then assert.equal(1, drive.descriptors(path)) end
      x:close()
      if drive.descriptors(path) then assert.equal(0, drive.descriptors(path)) end
      os.remove(path)
    end)

    it("nothing more from a body that was closed", function()
      local body = core.body.new()
      assert(body:add(("x"):rep(LARGE)))
      script { read = 1000, stall_at = 0, status = 200 }
      local x = drive.start(loop, "POST", server.url .. "/", { body = body })
      drive.wait(loop, function() return x:sent() > 0 end)
      body:close()
      server:release "stall"
      assert.equal("the body was closed while it was sent", fail("closed", x).message)
    end)
  end)

  describe("is not sent again by itself", function()
    -- The first exchange leaves a connection; the second goes over it and dies there.
    local function dies(answer, method, text)
      script({ status = 200 }, answer, { status = 200 })
      get()
      local x = drive.start(loop, method, server.url .. "/", { body = text and body_of(text) })
      fail("network", x)
      assert.is_true(x:facts().reused)
      local exchanges = server:received()
      assert.equal(2, #exchanges)
      assert.equal(exchanges[1].connection, exchanges[2].connection)
      return exchanges[2].body_bytes
    end

    it("when the connection dies half way through its body", function()
      local text = drive.bytes(4000000)
      assert.equal(1000000, dies({ read = 1000000, reset_at = 0, status = 200 }, "POST", text))
      assert.equal(0, dies({ read = 0, reset_at = 0, status = 200 }, "POST", text))
      assert.equal(4000000, dies({ cut_at = 0, status = 200 }, "POST", text))
    end)

    it("when the connection dies before the answer", function()
      dies({ cut_at = 0, status = 200 }, "GET")
      dies({ cut_at = 0, status = 200 }, "DELETE")
      dies({ cut_at = 0, status = 200 }, "POST")
      dies({ cut_at = 0, status = 200 }, "POST", "short")
    end)
  end)

  describe("reads heads", function()
    it("with names in lower case and repeated ones joined", function()
      script { status = 200, headers = {
        { "X-Dup", "1" }, { "x-dup", "2" }, { "X-DUP", "3" }, { "X-Padded", " \t a b \t" }, { "X-Empty", "" },
        { "X-Colon", "a: b: c" },
      } }
      local x = get()
      local headers = x:headers()
      assert.same({
        ["x-dup"] = "1, 2, 3", ["x-padded"] = "a b", ["x-empty"] = "", ["x-colon"] = "a: b: c",
        ["content-length"] = "0",
      }, headers)
      for name, value in pairs(headers) do
        assert.same({ value, n = 2 }, { n = select("#", x:header(name, "x-none")), (x:header(name, "x-none")) })
        assert.equal(value, select(2, x:header("x-du", name)))
      end
      assert.is_nil(x:header("http/1.1 200 ok", ""))
    end)

    it("as soon as they are whole, and not before", function()
      local x = drive.start(loop, "GET", puppet.url)
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Len")
      heard(n, "\r\n\r\n")
      assert.is_nil(x:code())
      assert.same({}, x:headers())
      assert.is_nil(x:header("x-a", "x-a"))
      puppet:write(n, "gth: 2\r\n\r\n")
      drive.wait(loop, function() return x:code() end)
      assert.equal(200, x:code())
      assert.same({ ["x-a"] = "1", ["content-length"] = "2" }, x:headers())
      assert.equal("receiving", x:phase())
      assert.is_nil(x:done())
      puppet:write(n, "ok")
      assert.is_true(drive.finish(loop, x))
      assert.equal("ok", x:read())
    end)

    it("and forgets interim answers and redirects nowhere", function()
      script(
        { interim = { { status = 100, headers = { ["x-a"] = "no" } }, { status = 103, headers = { ["x-b"] = "no" } } },
          status = 302, headers = { Location = server.url .. "/other", ["x-c"] = "yes" } },
        { status = 200 })
      local x = get()
      assert.equal(302, x:code())
      local headers = x:headers()
      assert.is_nil(headers["x-a"] or headers["x-b"])
      assert.equal("yes", headers["x-c"])
      assert.equal(1, #server:received())
    end)

    it("and leaves trailers out", function()
      script { answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n" }
      local x = get()
      assert.equal("ok", x:read())
      assert.same({ ["transfer-encoding"] = "chunked" }, x:headers())
    end)

    it("up to a ceiling", function()
      local head = "HTTP/1.1 200 OK\r\nX-A: " .. ("a"):rep(1000) .. "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
      script({ answer = head }, { answer = head })
      assert.equal(200, get({ max_head = #head }):code())
      local err = fail("limit", drive.start(loop, "GET", server.url, { max_head = #head - 1 }))
      assert.equal(("the answer's headers are larger than max_head (%d bytes)"):format(#head - 1), err.message)
    end)

    it("up to the same ceiling in interim answers, trailers and lines without an end", function()
      local interim = ("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"):rep(100)
      local trailers = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        .. ("X: y\r\n"):rep(200) .. "\r\n"
      local line = "HTTP/1.1 200 OK\r\nX: " .. ("y"):rep(300000)
      script({ answer = interim .. OK }, { answer = interim .. OK }, { answer = trailers }, { answer = trailers },
        { answer = line })
      assert.equal(200, get({ max_head = 10000 }):code())
      fail("limit", drive.start(loop, "GET", server.url, { max_head = 1000 }))
      assert.equal(200, get({ max_head = 10000 }):code())
      fail("limit", drive.start(loop, "GET", server.url, { max_head = 1000 }))
      fail("limit", drive.start(loop, "GET", server.url))
    end)
  end)

  describe("reads answers", function()
    it("in all framings", function()
      local text = drive.bytes(100000)
      script(
        { status = 200, body = { bytes = text } }, { status = 200, body = { chunks = { text, "!" }, delay_ms = 0 } },
        { status = 200, framing = "close", body = { bytes = text } }, { status = 204, framing = "raw" })
      assert.is_true(get():read() == text)
      assert.is_true(get():read() == text .. "!")
      assert.is_true(get():read() == text)
      local x = get()
      assert.equal(204, x:code())
      assert.equal("", x:read())
    end)

    it("by any number of bytes", function()
      script { status = 200, body = { bytes = "0123456789" } }
      local x = get()
      assert.equal("", x:read(0))
      assert.equal("012", x:read(3))
      assert.equal("3", x:read(1))
      assert.equal("456789", x:read(2 ^ 40))
      assert.equal("", x:read())
    end)

    it("up to a ceiling of what is held", function()
      local whole, more = { bytes = ("x"):rep(50000) }, { bytes = ("x"):rep(50001) }
      for _, framing in ipairs { "length", "chunked", "close" } do
        script({ status = 200, framing = framing, body = whole }, { status = 200, framing = framing, body = more },
          { status = 200, framing = framing, body = more, drip = 999 })
        assert.equal(50000, #get({ max_answer = 50000 }):read())
        for _ = 1, 2 do
          local err = fail("limit", drive.start(loop, "GET", server.url, { max_answer = 50000 }))
          assert.equal("the answer is larger than max_answer (50000 bytes)", err.message)
        end
      end
      script { status = 200, body = { bytes = "x" } }
      fail("limit", drive.start(loop, "GET", server.url, { max_answer = 0 }))
    end)

    it("that are compressed, where it was asked for", function()
      -- printf 'hello, hello, hello' | gzip -n9
      local zipped = { ["$hex"] = "1f8b0800000000000203cb48cdc9c9d751c840a2009fa1ca0913000000" }
      local answer = { status = 200, headers = { ["Content-Encoding"] = "gzip" }, body = { bytes = zipped } }
      script(answer, answer, { status = 200, headers = answer.headers, body = { bytes = "no gzip at all" } })
      assert.equal("hello, hello, hello", get({ compressed = true }):read())
      assert.equal(bytes.expand(zipped), get():read())
      assert.matches("gzip", server:received()[1].header["accept-encoding"])
      assert.is_nil(server:received()[2].header["accept-encoding"])
      fail("protocol", drive.start(loop, "GET", server.url, { compressed = true }))
    end)

    it("of 50 MB with a bounded inbox, losing nothing", function()
      local room, piece = 100000, 16384 -- libcurl brings 16 KiB at most
      script { status = 200, body = { bytes = { ["$bytes"] = { pattern = "counter", length = 50000000 } } } }
      local x = drive.start(loop, "GET", server.url, { tell_data = true, room = room })
      drive.phase(loop, x, "receiving")
      local at, most, turn, stopped = 0, 0, 0, false
      drive.wait(loop, function()
        if at > 5000000 and not stopped then -- nobody reads for a while: the server cannot get rid of its bytes
          for _ = 1, 100 do assert(loop:step(nil, 0)) end
          stopped = true
          assert.is_true(server:received()[1].answered < 50000000)
        end
        for _ = 1, 100 do
          turn = turn + 1
          assert(loop:step(nil, 0))
          local text = turn % 3 > 0 and x:read(20000) or x:read()
          most = math.max(most, #text)
          if text ~= bytes.counter(#text, at) then error("wrong bytes after " .. at) end
          at = at + #text
          if x:done() ~= nil and text == "" then return true end
        end
      end)
      assert.is_true(x:done())
      assert.equal(50000000, at)
      assert.equal(50000000, x:facts().bytes_received)
      assert.is_true(most > 20000 and most <= room + piece, "most " .. most)
    end)

    it("in a room that is smaller than a piece", function()
      local text = drive.bytes(500000)
      script { status = 200, body = { bytes = text } }
      local x, out = drive.start(loop, "GET", server.url, { tell_data = true, room = 1 }), {}
      drive.wait(loop, function()
        out[#out + 1] = x:read(3000)
        return x:done() ~= nil and out[#out] == ""
      end)
      assert.is_true(table.concat(out) == text)
    end)

    it("and wakes its owner for data only where it was asked to", function()
      for _, tell in ipairs { true, false } do
        local x = drive.exchange("GET", puppet.url, { tell_data = tell })
        loop:add(x, "calls")
        local woken = 0
        local function wait(holds)
          return drive.wait(loop, holds, nil, function(ready)
            assert.equal(x, ready)
            woken = woken + 1
          end)
        end
        local n = wait(function() return puppet:accept() end)
        puppet:write(n, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nab")
        wait(function() return x:code() and (woken > 0 or not tell) end)
        assert.equal(tell and 1 or 0, woken)
        assert.equal("ab", x:read())
        puppet:write(n, "cde")
        wait(function() return x:done() ~= nil end)
        assert.is_true(woken >= (tell and 2 or 1))
        assert.equal("cde", x:read())
        puppet:close(n)
      end
    end)

    it("as events, decoded where they lie", function()
      script { status = 200, body = { chunks = {
        'data: "one"\r\n\r\nda', 'ta: "two"\n\ndata: "th', 'ree"\n\n: comment\n\ndata: "four"',
      }, delay_ms = 0 } }
      local x, got = drive.start(loop, "GET", server.url, { tell_data = true }), {}
      local decoder = decoders.decoder(nil, 1000, 10, true)
      decoder:attach(x)
      drive.wait(loop, function()
        local value, more = decoder:next()
        while value do
          got[#got + 1] = value
          value, more = decoder:next()
        end
        local done = x:done() ~= nil
        if done then assert.is_false(more) else assert.is_nil(more) end
        return done
      end)
      assert.same({ nil, false }, { decoder:next() })
      assert.same({ "one", "two", "three" }, got)
      assert.same({ "four", nil, "event" }, { decoder:finish() })
      assert.is_nil(decoder:finish())
      assert.equal("", x:read())
      decoder:close()
    end)

    it("as events that are alike, and whether the last one that has come was read", function()
      local function event(n, eol)
        return ('data: {"candidates":[{"content":{"parts":[{"text":"text %d"}]}}]}%s%s'):format(n, eol, eol)
      end
      for i, eol in ipairs { "\n", "\r\n", "\r" } do
        local x = drive.start(loop, "GET", puppet.url, { tell_data = true })
        local n = accept()
        -- Within bounds of its own it does not know what another has learned.
        local decoder, got = decoders.decoder("GenerateContentResponse", 1000 + i, 10, true), {}
        decoder:attach(x)
        local function take()
          local value, alike, drained = decoder:next(true)
          got[#got + 1] = alike and { value, drained } or nil
          return value
        end
        local function await(number) drive.wait(loop, function() return take() and #got == number end) end
        puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" .. event(1, eol))
        await(1)
        puppet:write(n, event(2, eol))
        await(2)
        puppet:write(n, event(3, eol) .. event(4, eol))
        await(3)
        puppet:write(n, event(5, eol) .. "data: ")
        local told = false
        drive.wait(loop, function() return told end, nil, function() told = true end)
        await(5)
        puppet:write(n, "{}" .. eol .. eol .. event(6, eol) .. event(7, eol))
        puppet:close(n)
        drive.finish(loop, x)
        while take() do end
        assert.same({ { "text 1", true }, { "text 2", true }, { "text 3", false }, { "text 4", false },
          { "text 5", false }, { "text 6", false }, { "text 7", false } }, got)
        decoder:close()
      end
    end)

    it("as texts ahead of their reader, up to an event that is not like the one before or the last", function()
      local function event(text, more)
        return ('data: {"candidates":[{"content":{"parts":[{"text":"%s"}]}%s}]}\r\n\r\n'):format(text, more or "")
      end
      local stop = ',"finishReason":"STOP"'
      script { status = 200, body = { bytes = event "one" .. event "two" .. event "" .. event 'thr\\"ee' .. event "four"
        .. 'data: {"modelVersion":"m"}\r\n\r\n' .. event "five" .. event "six" .. event("seven", stop)
        .. event("eight", stop) .. "data: " } }
      local x, decoder = get(), decoders.decoder("GenerateContentResponse", 1000, 10, true)
      local got = {}
      local function take()
        for text in decoder.ahead, decoder do
          got[#got + 1] = text
        end
        got[#got + 1] = "|"
        local value = decoder:next(true)
        got[#got + 1] = value and (value.model_version or value) or nil
        return value
      end
      decoder:keep(1000)
      assert.is_nil(decoder:ahead())
      decoder:attach(x)
      while take() do end
      assert.same({ "|", "one", "two", 'thr"ee', "four", "|", "m", "five", "six", "|", "seven", "|", "eight", "|" },
        got)
      assert.equal('onetwothr"eefourfivesixseveneight', table.concat((decoder:said())))
      decoder:close()
      assert.is_nil(decoder:ahead())
    end)

    it("as texts ahead of their reader, but not when they are let go of", function()
      local event = 'data: {"candidates":[{"content":{"parts":[{"text":"x"}]}}]}\n\n'
      for _, leave in ipairs {
        function(_, x) x:close() end, function(_, x) x:cancel() end, function(decoder) decoder:close() end,
        function(decoder) decoder:retire() end,
      } do
        script { status = 200, body = { bytes = event:rep(5) } }
        local x, decoder = get(), decoders.decoder("GenerateContentResponse", 1000, 10, true)
        decoder:attach(x)
        assert.equal("x", (decoder:next(true)))
        assert.equal("x", decoder:ahead())
        leave(decoder, x)
        assert.is_nil(decoder:ahead())
        decoder:close()
      end
    end)

    it("as events that a closed exchange has no more of", function()
      script { status = 200, body = { bytes = 'data: "one"\n\ndata: "two"\n\n' } }
      local x, decoder = get(), decoders.decoder(nil, 1000, 10, true)
      decoder:attach(x)
      assert.equal("one", decoder:next())
      x:close()
      assert.same({ nil, false }, { decoder:next() })
      decoder:close()
    end)

    it("and ends when what comes after a pause is too much", function()
      local x = drive.start(loop, "GET", puppet.url, { tell_data = true, room = 100, max_answer = 10000 })
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" .. ("x"):rep(90))
      local told = false
      drive.wait(loop, function() return told end, nil, function() told = true end)
      puppet:write(n, ("x"):rep(16000))
      for _ = 1, 10 do assert(loop:step(nil, 0.01)) end -- libcurl holds it back
      assert.is_nil(x:done())
      assert.equal(90, #x:read())
      fail("limit", x) -- though the server says nothing more
      closed(n)
      puppet:close(n)
    end)
  end)

  describe("meets an early answer", function()
    local function post(changes)
      local body = core.body.new()
      assert(body:add(("x"):rep(LARGE)))
      changes = changes or {}
      changes.body = body
      local x = drive.start(loop, "POST", puppet.url, changes)
      local n = accept()
      heard(n, "xxx")
      return x, n
    end

    it("that refuses the body: it counts, whether the server hangs up or not", function()
      for _, hang_up in ipairs { true, false } do
        local x, n = post()
        puppet:write(n, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        if hang_up then puppet:close(n) end
        assert.is_true(drive.finish(loop, x))
        assert.equal(413, x:code())
        assert.equal("large", x:read())
        assert.is_true(x:sent() < LARGE)
        if not hang_up then
          closed(n) -- the connection is of no more use
          puppet:close(n)
        end
      end
    end)

    it("that accepts the body: it ends when all is sent", function()
      local x, n = post()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      drive.wait(loop, function() return x:code() end)
      assert.is_nil(x:done())
      drive.wait(loop, function()
        puppet:read(n, 4 * 1048576)
        return x:done() ~= nil
      end)
      assert.is_true(x:done())
      assert.equal(LARGE, x:sent())
      assert.equal("ok", x:read())
      puppet:close(n)
    end)

    it("that wants no more: it ends at once", function()
      local x, n = post()
      puppet:write(n, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
      assert.is_true(drive.finish(loop, x))
      assert.is_true(x:sent() < LARGE)
      assert.equal("ok", x:read())
      puppet:close(n)
    end)

    it("that accepts the body and hangs up: incomplete", function()
      local x, n = post()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
      puppet:close(n)
      fail("incomplete", x)
    end)

    it("while a reader is waited for: its bytes are wanted no more", function()
      local body = core.body.new()
      assert(body:add_reader(100))
      local x = drive.start(loop, "POST", puppet.url, { body = body })
      local n = accept()
      drive.wait(loop, function() return x:wants() end)
      heard(n, "\r\n\r\n")
      puppet:write(n, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")
      assert.is_true(drive.finish(loop, x))
      assert.equal(400, x:code())
      assert.is_nil(x:wants())
      puppet:close(n)
    end)

    it("of a kind that lets a reader go on", function()
      local body = core.body.new()
      assert(body:add_reader(3))
      local x = drive.start(loop, "POST", puppet.url, { body = body })
      local n = accept()
      drive.wait(loop, function() return x:wants() end)
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      drive.wait(loop, function() return x:code() end)
      assert.same({ 0, 3 }, { x:wants() })
      assert.is_true(x:supply "abc")
      assert.is_true(drive.finish(loop, x))
      assert.matches("abc$", heard(n, "abc"))
      puppet:close(n)
    end)
  end)

  describe("keeps the clock of", function()
    -- Brings an exchange into each state; returns it and, if the puppet is its server, the connection's number.
    local states = {}

    function states.connecting(changes)
      local x = drive.start(loop, "GET", (puppet.url:gsub("^http", "https")), changes)
      return x, accept()
    end

    function states.sending(changes)
      changes.body = body_of(("x"):rep(LARGE))
      local x = drive.start(loop, "POST", puppet.url, changes)
      return x, accept()
    end

    function states.waiting(changes)
      changes.body = body_of "x"
      local x = drive.start(loop, "POST", puppet.url, changes)
      return x, accept()
    end

    function states.receiving(changes)
      local x = drive.start(loop, "GET", puppet.url, changes)
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
      return x, n
    end

    -- The clock that is set short, and the words that say what was being done.
    local doing = {
      connecting = { "connect", "connecting" }, sending = { "idle", "sending" },
      waiting = { "first_byte", "waiting for the answer" }, receiving = { "idle", "receiving the answer" },
    }

    for state, words in pairs(doing) do
      local clock, what = words[1], words[2]

      it(clock .. " while " .. what, function()
        local x, n = states[state] { [clock] = SOON }
        local err = fail("timeout", x)
        assert.equal(clock, err.clock)
        assert.equal(("%s: %g s passed without progress while %s"):format(clock, SOON, what), err.message)
        closed(n)
        puppet:close(n)
      end)

      it("the whole call while " .. what, function()
        local x, n = states[state] { deadline = core.now() + SOON }
        local err = fail("timeout", x)
        assert.equal("total", err.clock)
        assert.equal("total: the time for the whole call was used up while " .. what, err.message)
        closed(n)
        puppet:close(n)
      end)

      it("nothing else while " .. what, function()
        local changes = { connect = SOON, first_byte = SOON, idle = SOON }
        changes[clock] = 0 -- none
        local x, n = states[state](changes)
        drive.phase(loop, x, state)
        local later = core.now() + 2 * SOON
        drive.wait(loop, function() return core.now() > later end)
        assert.is_nil(x:done())
        x:close()
        puppet:close(n)
      end)
    end

    it("first_byte from the last byte of the request, no later", function()
      local x = drive.start(loop, "POST", puppet.url, { body = body_of "x", first_byte = 0.4 })
      local n = accept()
      drive.phase(loop, x, "waiting")
      local later = drive.start(loop, "GET", puppet.url, { deadline = core.now() + 0.7 })
      fail("timeout", later)
      local ok, err = x:done() -- it has ended before the later one
      assert.is_false(ok)
      assert.equal("first_byte", err.clock)
      puppet:close(n)
    end)

    it("the whole call in the queue, where no other runs", function()
      local list = {}
      for i = 1, 5 do
        list[i] = drive.start(loop, "GET", server.url, { deadline = core.now(), connect = 1e-9, idle = 1e-9,
          first_byte = 1e-9 })
      end
      server:script {}
      assert(loop:step(0, 0)) -- begins the first one only
      local queued = 0
      for i = 2, 5 do
        local ok, err = list[i]:done()
        assert.is_false(ok)
        assert.equal("total", err.clock)
        queued = queued + (err.message:find("waiting for its turn", 1, true) and 1 or 0)
      end
      assert.is_true(queued > 0)
      local ready = {}
      for x in function() return loop:next() end do ready[x] = true end
      for i = 1, 5 do assert.is_true(ready[list[i]]) end
      assert.equal(0, loop:timeout())
      for _ = 1, 5 do assert(loop:step(nil, 0)) end
      assert.is_nil(loop:next()) -- that their turn comes is nothing new
      assert.is_nil(loop:timeout())
    end)

    it("the whole call in an exchange that its reader does not read", function()
      local x = drive.start(loop, "GET", puppet.url, { room = 1000, tell_data = true, idle = SOON,
        deadline = core.now() + 3 * SOON })
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" .. ("x"):rep(150000))
      local err = fail("timeout", x)
      assert.equal("total", err.clock)
      closed(n)
      assert.is_true(#x:read() > 0) -- what came is still there
      puppet:close(n)
    end)

    it("the whole call in an exchange that waits for its reader", function()
      local body = core.body.new()
      assert(body:add_reader(10))
      local x = drive.start(loop, "POST", puppet.url, { body = body, idle = SOON, deadline = core.now() + 3 * SOON })
      local n = accept()
      local err = fail("timeout", x)
      assert.equal("total", err.clock)
      assert.is_nil(x:wants())
      puppet:close(n)
    end)

    it("idle only while the other side is the slow one", function()
      local body = core.body.new()
      assert(body:add_reader(2))
      local x = drive.start(loop, "POST", puppet.url, { body = body, idle = SOON, room = 1000, tell_data = true })
      local n = accept()
      local function long()
        local later = core.now() + 2 * SOON
        drive.wait(loop, function() return core.now() > later end)
      end
      drive.wait(loop, function() return x:wants() end)
      long()
      assert.is_nil(x:done())
      x:supply "ab"
      heard(n, "ab")
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" .. ("x"):rep(150000))
      drive.wait(loop, function() return x:code() end)
      long() -- nobody reads
      assert.is_nil(x:done())
      local got = 0
      drive.wait(loop, function()
        got = got + #x:read()
        return got == 150000
      end)
      local err = fail("timeout", x) -- all is read, and the server is silent
      assert.equal("idle", err.clock)
      puppet:close(n)
    end)

    it("idle anew with each byte that comes", function()
      local x = drive.start(loop, "GET", puppet.url, { idle = 0.8 })
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
      drive.phase(loop, x, "receiving")
      for _ = 1, 12 do
        local later = core.now() + 0.1
        puppet:write(n, "x")
        drive.wait(loop, function() return core.now() > later end)
        assert.is_nil(x:done())
      end
      assert.equal("idle", fail("timeout", x).clock)
      assert.equal(12, #x:read())
      puppet:close(n)
    end)
  end)

  describe("is cancelled", function()
    it("in the queue, or while it waits: that is how it ended", function()
      local held = { gate = "never", status = 200 }
      script(held)
      local queued = drive.exchange("GET", server.url .. "/")
      local waiting = drive.start(loop, "GET", server.url .. "/")
      drive.phase(loop, waiting, "waiting")
      for _, x in ipairs { queued, waiting } do
        x:cancel()
        local ok, err = x:done()
        assert.is_false(ok)
        assert.same({ kind = "cancelled", message = "the client was closed" }, err)
      end
    end)

    it("in vain when it is over, or closed", function()
      script { status = 200, body = { bytes = "hi" } }
      local x = get()
      x:cancel()
      assert.is_true(x:done())
      assert.equal("hi", x:read())
      x:close()
      x:cancel()
      assert.equal("closed", x:phase())
    end)
  end)

  describe("is cancelled by close", function()
    local function check(x, n)
      x:close()
      x:close() -- twice is fine
      assert.equal("closed", x:phase())
      closed(n)
      puppet:close(n)
      assert(loop:step(nil, 0))
      assert.is_nil(loop:next())
    end

    it("in the queue", function()
      local x = drive.start(loop, "GET", puppet.url)
      x:close()
      assert(loop:step(nil, 0))
      assert.is_nil(loop:timeout())
      assert.is_nil(puppet:accept())
    end)

    it("while connecting", function()
      local x = drive.start(loop, "GET", (puppet.url:gsub("^http", "https")))
      local n = accept()
      assert.equal("connecting", x:phase())
      check(x, n)
    end)

    it("while sending", function()
      local x = drive.start(loop, "POST", puppet.url, { body = body_of(("x"):rep(LARGE)) })
      local n = accept()
      heard(n, "xxx")
      assert.equal("sending", x:phase())
      check(x, n)
    end)

    it("while a reader is waited for", function()
      local body = core.body.new()
      assert(body:add_reader(10))
      local x = drive.start(loop, "POST", puppet.url, { body = body })
      local n = accept()
      drive.wait(loop, function() return x:wants() end)
      check(x, n)
    end)

    it("while waiting for the answer", function()
      local x = drive.start(loop, "GET", puppet.url)
      local n = accept()
      heard(n, "\r\n\r\n")
      assert.equal("waiting", x:phase())
      check(x, n)
    end)

    it("while receiving", function()
      local x = drive.start(loop, "GET", puppet.url)
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
      drive.phase(loop, x, "receiving")
      check(x, n)
    end)

    it("while its inbox is full", function()
      local x = drive.start(loop, "GET", puppet.url, { room = 10, tell_data = true })
      local n = accept()
      puppet:write(n, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" .. ("x"):rep(200000))
      drive.phase(loop, x, "receiving")
      assert(loop:step(nil, 0))
      assert(loop:step(nil, 0))
      check(x, n)
    end)

    it("when it is over", function()
      script { status = 200 }
      local x = get()
      x:close()
      assert.equal("closed", x:phase())
      assert.has_error(function() x:read() end, "attempt to use a closed exchange")
    end)

    it("by the collector, when it is forgotten", function()
      drive.start(loop, "GET", puppet.url)
      local n = accept()
      heard(n, "\r\n\r\n")
      assert.equal(1, core.alive().exchange)
      collect()
      assert.equal(0, core.alive().exchange)
      closed(n)
      puppet:close(n)
      assert(loop:step(nil, 0))
    end)
  end)

  describe("fails as", function()
    local function fails(kind, url, changes)
      return fail(kind, drive.start(loop, "GET", url, changes))
    end

    it("network where nobody answers", function()
      local gone = scripted.start()
      gone:stop()
      assert.matches("127.0.0.1 port " .. gone.port, fails("network", gone.url).message, 1, true)
      assert.matches("nonexistent.invalid", fails("network", "http://nonexistent.invalid/").message, 1, true)
    end)

    it("network where the connection ends before the answer", function()
      server:treat { "close" }
      fails("network", server.url)
      server:treat { "reset" }
      fails("network", server.url)
      script({ cut_at = 9, status = 200 }, { cut_at = 30, status = 200, headers = { ["x-a"] = "1" } })
      fails("network", server.url)
      fails("network", server.url)
    end)

    it("incomplete where it ends in the middle of it", function()
      script({ cut_at = { body = 3 }, status = 200, body = { bytes = "hello" } },
        { reset_at = { body = 3 }, status = 200, body = { bytes = "hello" } },
        { cut_at = { body = 4 }, status = 200, body = { chunks = { "hello" } } })
      for i = 1, 3 do
        local x = drive.start(loop, "GET", server.url)
        fail("incomplete", x)
        assert.equal(200, x:code())
        if i == 1 then assert.equal("hel", x:read()) end
      end
    end)

    it("nothing where an error's text is cut: the status counts", function()
      script { cut_at = { body = 3 }, status = 503, body = { bytes = "hello" } }
      local x = get()
      assert.equal(503, x:code())
      assert.equal("hel", x:read())
    end)

    it("protocol where it is not HTTP", function()
      server:treat { { say = "SSH-2.0-OpenSSH_9.2\r\n" } }
      fails("protocol", server.url)
      script { answer = "\22\3\1\0 what is this\r\n\r\n" }
      fails("protocol", server.url)
      script { answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n" }
      local x = drive.start(loop, "GET", server.url)
      local ok = drive.finish(loop, x)
      assert.is_false(ok)
    end)

    it("invalid where the address is none", function()
      fails("invalid", "http://")
      fails("invalid", "http://a:b:c/")
      fails("invalid", "ftp://127.0.0.1/")
      fails("invalid", "nothing://127.0.0.1/")
    end)

    it("tls where the certificate is not trusted or another's", function()
      local secure = scripted.start { tls = true }
      fails("tls", secure.url)
      secure:script { { status = 200, body = { bytes = "ok" } } }
      local x = drive.start(loop, "GET", secure.url, { ca_file = secure.ca_file })
      assert.is_true(drive.finish(loop, x))
      assert.equal("ok", x:read())
      fails("tls", secure.url, { ca_file = "/nonexistent" })
      secure:stop()
      secure = scripted.start { tls = true, hosts = { "example.org" } }
      fails("tls", secure.url, { ca_file = secure.ca_file })
      secure:stop()
    end)

    it("tls where there is none", function()
      server:treat { { say = "HTTP/1.1 400 Bad Request\r\n\r\n" } }
      fails("tls", (server.url:gsub("^http", "https")))
    end)

    it("cancelled when the loop is closed", function()
      local x = drive.start(loop, "GET", puppet.url)
      local queued = drive.exchange("GET", puppet.url)
      local n = accept()
      loop:add(queued, "bulk")
      loop:close()
      for _, each in ipairs { x, queued } do
        local ok, err = each:done()
        assert.is_false(ok)
        assert.same({ kind = "cancelled", message = "the client was closed" }, err)
      end
      closed(n)
      puppet:close(n)
    end)
  end)

  it("says how it went", function()
    script({ status = 200, body = { bytes = "hello" } }, { status = 200 })
    local x = drive.start(loop, "POST", server.url, { body = body_of "four" })
    assert.same({ "queued" }, { x:phase() })
    assert.is_nil(x:done())
    assert.is_true(drive.finish(loop, x))
    local facts = x:facts()
    assert.equal(1.1, facts.http_version)
    assert.equal(4, facts.bytes_sent)
    assert.equal(5, facts.bytes_received)
    assert.is_false(facts.reused)
    assert.is_true(facts.connect >= 0 and facts.first_byte >= facts.connect and facts.total >= facts.first_byte)
    assert.is_nil(x:id())
    x:close()
    assert.same(facts, x:facts())
    assert.error_matches(function() x:id() end, "closed exchange")
    assert.is_true(get():facts().reused)
    script({ status = 200, headers = { { "X-Request-ID", "other" }, { "x-goog-request-id", "id" } } },
      { status = 200, headers = { { "X-Request-Id", "other" } } })
    assert.equal("id", get():id())
    assert.equal("other", get():id())
    local refused = drive.start(loop, "GET", "http://127.0.0.1:1/")
    fail("network", refused)
    facts = refused:facts()
    assert.is_nil(facts.http_version)
    assert.is_false(facts.reused)
    assert.equal(0, facts.bytes_received)
  end)

  describe("closed by a finaliser of the program's", function()
    -- Garbage that closes it.
    local function trap(x)
      local proxy = rawget(_G, "newproxy")
      if proxy then
        getmetatable(proxy(true)).__gc = function() x:close() end
      else
        setmetatable({}, { __gc = function() x:close() end })
      end
    end

    -- In percent, pause and step multiplier; 5.4 has a size of steps, too, as an exponent of two.
    local function set_collector(pause, multiplier, size)
      if _VERSION == "Lua 5.4" then
        collectgarbage("incremental", pause, 100, size)
      else
        collectgarbage("setpause", pause)
        collectgarbage("setstepmul", multiplier)
      end
    end

    -- Calls the method where whatever allocates first makes Lua collect all garbage.
    local function close_within(x, method, first, second)
      local call = x[method]
      collectgarbage()
      collectgarbage "stop"
      for _ = 1, 50 do trap(x) end
      set_collector(1, 100000000, 100)
      collectgarbage "restart"
      local got = call(x, first, second)
      assert.equal("closed", x:phase())
      return got
    end

    after_each(function() set_collector(200, 200, 13) end)

    local LAST = ("v300 "):rep(20):sub(1, -2)

    local function answered()
      local headers = {}
      for i = 1, 300 do headers[i] = { "X-Header-" .. i, ("v%d "):format(i):rep(20) } end
      script { status = 200, headers = headers, body = { bytes = ("abcdefgh"):rep(400000) } }
      return get()
    end

    it("gives its body, or nothing", function()
      local got = close_within(answered(), "read", nil, nil)
      if got ~= "" then assert.is_true(got == ("abcdefgh"):rep(400000)) end
    end)

    it("gives a header, or nothing", function()
      local got = close_within(answered(), "header", "x-header-300", "x-none")
      if (got or "") ~= "" then assert.equal(LAST, got) end
    end)

    it("gives its headers, or none", function()
      local got = close_within(answered(), "headers", nil, nil)
      if next(got) then assert.equal(LAST, got["x-header-300"]) end
    end)
  end)

  describe("is made with", function()
    local function refused(message, changes, method)
      local request = drive.request(method or "GET", "http://127.0.0.1:1/", changes)
      assert.error_matches(function() core.exchange.new(request) end, message)
    end

    it("the right types, or an error that names the field", function()
      assert.error_matches(function() core.exchange.new() end, "table expected")
      assert.error_matches(function() core.exchange.new { url = "http://a/", headers = {} } end, "method")
      assert.error_matches(function() core.exchange.new { method = "GET", headers = {} } end, "url")
      refused("url", { url = 5 })
      refused("headers", { headers = false })
      refused("headers", { headers = "X: y" })
      refused("headers", { headers = { 1 } })
      refused("proxy", { proxy = {} })
      refused("ca_file", { ca_file = true })
      refused("connect", { connect = "soon" })
      refused("body", { body = "text" })
      refused("max_head", { max_head = -1 })
    end)

    it("texts that C does not cut short and no line ends", function()
      refused("url", { url = "http://127.0.0.1/\0evil" })
      refused("url", { url = "http://127.0.0.1/\r\nX: y" })
      refused("url", { url = "http://127.0.0.1/ HTTP/1.1" })
      refused("method", nil, "GET\0")
      refused("method", nil, "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")
      refused("headers", { headers = { "X: a\0b" } })
      refused("headers", { headers = { "X: a\r\nY: b" } })
      refused("headers", { headers = { "X: a\nY: b" } })
      refused("ca_file", { ca_file = "/tmp/a\0b" })
    end)

    it("numbers that are some", function()
      for _, name in ipairs { "connect", "first_byte", "idle", "deadline" } do
        refused(name, { [name] = 0 / 0 })
        refused(name, { [name] = -1 })
        assert.is_truthy(core.exchange.new(drive.request("GET", "http://127.0.0.1:1/", { [name] = math.huge })))
      end
      for _, name in ipairs { "max_head", "max_answer", "room" } do
        for _, bad in ipairs { -1, 1.5, 0 / 0, math.huge, 2 ^ 60, "many" } do refused(name, { [name] = bad }) end
        assert.is_truthy(core.exchange.new(drive.request("GET", "http://127.0.0.1:1/", { [name] = 2 ^ 53 })))
      end
    end)

    it("a window that lies in its body", function()
      local body = body_of "12345"
      local outside = { { 6 }, { 0, 6 }, { 3, 3 }, { 5, 1 }, { 2 ^ 53, 2 ^ 53 }, { -1 }, { 0, 1.5 }, { 2 ^ 60 } }
      for _, window in ipairs(outside) do
        refused("", { body = body, offset = window[1], length = window[2] }, "POST")
      end
      for _, window in ipairs { { 5 }, { 0, 5 }, { 3, 2 }, { 5, 0 }, {} } do
        local changes = { body = body, offset = window[1], length = window[2] }
        local request = drive.request("POST", "http://127.0.0.1:1/", changes)
        assert.is_truthy(core.exchange.new(request))
      end
      body:close()
      refused("body", { body = body }, "POST")
      refused("body", { body = body_of "x" }, "GET")
    end)

    it("a body that stays as long as it does", function()
      script { status = 200 }
      local x
      do
        local text = drive.bytes(100) .. tostring({})
        x = drive.exchange("POST", server.url, { body = body_of(text .. "!") })
      end
      collect()
      assert.equal(1, core.alive().body)
      loop:add(x, "calls")
      assert.is_true(drive.finish(loop, x))
      assert.matches("!$", server:received()[1].body)
    end)
  end)
end)
