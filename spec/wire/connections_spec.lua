-- How many connections a client opens: few and shared over HTTP/2, one each where the server has none.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local STREAMS = 24
local MANY = 130 -- more than one HTTP/2 connection carries

describe("a TLS server without HTTP/2", function()
  it("gets a connection for each of many streams that are open at once", function()
    local server = scripted.start { tls = true }
    local client = gemini.Client { api_key = "k", http_options = { base_url = server.url, ca_file = server.ca_file } }
    local first = 'data: {"candidates":[{"content":{"parts":[{"text":"first"}],"role":"model"}}]}\n\n'
    local last = 'data: {"candidates":[{"content":{"parts":[{"text":"last"}],"role":"model"},'
      .. '"finishReason":"STOP"}]}\n\n'
    local answers = {}
    for i = 1, STREAMS do
      answers[i] = { status = 200, headers = { ["content-type"] = "text/event-stream" },
        body = { chunks = { first, { ["$gate"] = "all have begun" }, last } } }
    end
    server:script(answers)
    local begun, ended = 0, 0
    for _ = 1, STREAMS do
      client:spawn(function()
        for text in client.models:generate_content_stream { model = "m", contents = "Hello" }:texts() do
          begun = begun + (text == "first" and 1 or 0)
          ended = ended + (text == "last" and 1 or 0)
          if begun == STREAMS and text == "first" then
            server:release "all have begun"
          end
        end
      end)
    end
    client:run()
    local _, connections = server:received()
    client:close()
    server:stop()
    assert.equal(STREAMS, ended)
    assert.is_true(#connections >= STREAMS)
  end)
end)

describe("a server with HTTP/2", function()
  it("gets calls on one connection and large bodies on another, over HTTP/1.1", function()
    local em = emulator.start { tls = true, args = { "--processing", "0" } }
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url, ca_file = em.ca_file } }
    for _ = 1, 2 do
      assert(client.models:generate_content { model = "gemini-3.5-flash", contents = "Hello" })
      assert(client.models:generate_content { model = "gemini-3.5-flash", contents = ("x"):rep(1100000) })
    end
    local seen = em:requests(4)
    client:close()
    em:stop()
    assert.same({ "2", "1.1", "2", "1.1" },
      { seen[1].http_version, seen[2].http_version, seen[3].http_version, seen[4].http_version })
    assert.equal(seen[1].connection, seen[3].connection)
    assert.equal(seen[2].connection, seen[4].connection)
    assert.not_equal(seen[1].connection, seen[2].connection)
  end)
end)

describe("a server with HTTP/2 beside one without", function()
  it("still gets few connections, and the other one as many as it needs", function()
    local em, server = emulator.start { tls = true }, scripted.start { tls = true }
    local client = gemini.Client { api_key = "k", http_options = { base_url = em.url, ca_file = em.ca_file } }
    local other = gemini.Client { api_key = "k", http_options = { base_url = server.url, ca_file = server.ca_file } }
    local answers = {}
    for i = 1, STREAMS + 1 do
      answers[i] = { status = 200, gate = i > 1 and "go" or nil, body = { json = { candidates = {} } } }
    end
    server:script(answers)
    gemini.assert(other.models:generate_content { model = "m", contents = "Hello" })
    em:gate { hold = true }
    for _ = 1, STREAMS do
      other:spawn(function() other.models:generate_content { model = "m", contents = "Hello" } end)
    end
    for _ = 1, MANY do
      client:spawn(function()
        client.models:generate_content_stream { model = "gemini-3.5-flash", contents = "Hello" }:next()
      end)
    end
    local seen
    repeat
      client:wait(0.05)
      seen = em:requests()
    until #seen == MANY and #server:received() == STREAMS + 1
    local connections, count = {}, 0
    for _, request in ipairs(seen) do
      assert.equal("2", request.http_version)
      count = count + (connections[request.connection] and 0 or 1)
      connections[request.connection] = true
    end
    local _, others = server:received()
    client:close()
    other:close()
    client:run()
    em:stop()
    server:stop()
    assert.is_true(count > 1 and count <= 10, count .. " connections")
    assert.equal(STREAMS, #others) -- that of the first call was used again
  end)
end)
