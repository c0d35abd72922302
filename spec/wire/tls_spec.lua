-- TLS as it is spoken in the world: verified, and HTTP/2 where both sides have it.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"

describe("over TLS", function()
  local em, client

  setup(function() em = emulator.start { tls = true, args = { "--processing", "0" } } end)
  teardown(function() em:stop() end)

  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url, ca_file = em.ca_file } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function versions(path)
    local found = {}
    for _, entry in ipairs(em:requests_to(path)) do found[#found + 1] = entry.http_version end
    return found
  end

  it("speaks HTTP/2 for calls and streams, on one connection", function()
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash", contents = "Hello" })
    assert.equal(2, response.transport.http_version)
    local streamed = {}
    for chunk in client.models:generate_content_stream { model = "gemini-3.5-flash", contents = "Hello" } do
      streamed[#streamed + 1] = chunk.text
    end
    assert.is_true(#table.concat(streamed) > 10)
    local both = em:requests(2)
    local first, second = both[1], both[2]
    assert.same({ "2", "2" }, { first.http_version, second.http_version })
    assert.equal(first.connection, second.connection)
  end)

  it("runs several streams on the one connection at once", function()
    local streams, texts = {}, {}
    for i = 1, 8 do
      streams[i] = client.models:generate_content_stream { model = "gemini-3.5-flash", contents = "Number " .. i }
      texts[i] = ""
    end
    local left = #streams
    while left > 0 do
      left = 0
      for i, stream in ipairs(streams) do
        local chunk, err = stream:next()
        assert.is_nil(err)
        if chunk then
          left = left + 1
          texts[i] = texts[i] .. chunk.text
        end
      end
    end
    local connections = {}
    for i, entry in ipairs(em:requests(8)) do
      connections[entry.connection] = true
      assert.is_truthy(texts[i]:find("Number " .. i, 1, true))
    end
    assert.is_truthy(next(connections))
    assert.is_nil(next(connections, next(connections)))
  end)

  it("sends large bodies over HTTP/1.1", function()
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash",
      contents = { "What is this?", { data = ("x"):rep(1500000), mime_type = "text/plain", via = "inline" } } })
    assert.equal(1.1, response.transport.http_version)
    local file = assert(client.files:upload { file = "spec/fixtures/demo.mp4" })
    assert.equal("ACTIVE", file.state)
    assert.same({ "2", "1.1" }, versions "/upload/")
  end)

  it("trusts nobody without the CA file", function()
    local stranger = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
    local _, err = stranger.models:generate_content { model = "gemini-3.5-flash", contents = "Hello" }
    assert.equal("tls", err.kind)
    assert.is_truthy(err.hint:find("ca_file", 1, true))
    assert.equal(0, #em:requests())
    stranger:close()
  end)
end)
