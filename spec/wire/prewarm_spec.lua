-- client:prewarm: the connection is there before the first call.
local certificates = require "spec.support.certificates"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local process = require "spec.support.process"
local program = require "spec.support.program"
local scripted = require "spec.support.scripted"

describe("client:prewarm", function()
  local em, client

  setup(function() em = emulator.start { tls = true } end)
  teardown(function() em:stop() end)

  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "the-key", http_options = { base_url = em.url, ca_file = em.ca_file } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  it("opens the connection that the first call and the first stream use", function()
    assert.is_true(client:prewarm())
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash", contents = "Hello" })
    for _ in client.models:generate_content_stream { model = "gemini-3.5-flash", contents = "Hello" } do end
    assert.is_true(response.transport.reused)
    assert.equal(2, response.transport.http_version)
    local seen = em:requests(3)
    assert.equal(seen[1].connection, seen[2].connection)
    assert.equal(seen[1].connection, seen[3].connection)
  end)

  it("opens another one for uploads and large requests where it is asked to", function()
    em:set { processing = 0 }
    assert.is_true(client:prewarm { uploads = true })
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash", contents = "Hello" })
    assert(client.files:upload { file = "spec/fixtures/slide.png" })
    assert.is_true(response.transport.reused)
    local versions, connections = {}, {}
    for i, request in ipairs(em:requests(5)) do -- two to warm up, the call, the upload's start and its bytes
      versions[i], connections[i] = request.http_version, request.connection
    end
    assert.same({ "2", "1.1", "2" }, { versions[1], versions[2], versions[3] })
    assert.equal("1.1", versions[5])
    assert.equal(connections[1], connections[3])
    assert.equal(connections[2], connections[5])
    assert.has_error(function() client:prewarm { uploads = 1 } end)
  end)

  -- In a program of its own, where nothing is loaded yet.
  it("loads what calls would load #plain", function()
    local script = [[
      local client = require("lgemini").Client{}
      assert(client:prewarm())
      local function loaded()
        local names = {}
        for name in pairs(package.loaded) do
          if name:find "^lgemini" then names[#names + 1] = name end
        end
        table.sort(names)
        return table.concat(names, " ")
      end
      local model, before = "gemini-3.5-flash", loaded()
      local contents = { "Look.", { file = "spec/fixtures/slide.png" }, { data = "text", mime_type = "text/plain" } }
      assert(client.models:generate_content{ model = model, contents = contents })
      client.models:generate_content_stream{ model = model, contents = contents }:next()
      client.chats:create(model):send_message_stream("Hello"):next()
      client.models:generate_content{ model = "no-such", contents = "Hello" }
      print(before == loaded() or before .. "\n" .. loaded())
    ]]
    local result = program.run(script, {
      host = { process.interpreter(), "-e" },
      env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "the-key", SSL_CERT_FILE = em.ca_file },
    })
    assert.equal("", result.err)
    assert.equal("true\n", result.out)
  end)

  it("yields in a task", function()
    local steps, result = 0, nil
    client:spawn(function() result = client:prewarm() end)
    client:spawn(function()
      while result == nil do
        steps = steps + 1
        coroutine.yield()
      end
    end)
    client:run()
    assert.is_true(result)
    assert.is_true(steps > 1)
  end)

  it("returns what the first call would fail with", function()
    local directory = process.temporary_directory()
    local stranger = certificates.authority(directory, "stranger")
    local ok, err = client:prewarm { config = { http_options = { ca_file = stranger.cert } } }
    process.remove_directory(directory)
    assert.is_nil(ok)
    assert.equal("tls", err.kind)
    ok, err = client:prewarm { config = { http_options = { base_url = "http://127.0.0.1:1" } } }
    assert.is_nil(ok)
    assert.equal("network", err.kind)
    assert.equal(1, err.attempts)
    client:close()
    assert.equal("closed", select(2, client:prewarm()).kind)
  end)

  it("takes names that it knows only", function()
    assert.has_error(function() client:prewarm { http_options = {} } end)
    assert.has_error(function() client.prewarm() end)
  end)

  it("shows the key to nobody, and takes any answer", function()
    local server = scripted.start()
    server:script { { status = 503, body = { bytes = "no" } } }
    local other = gemini.Client { api_key = "the-key", http_options = { base_url = server.url } }
    local ok = other:prewarm()
    local requests = server:received()
    other:close()
    server:stop()
    assert.is_true(ok)
    assert.equal(1, #requests)
    assert.equal("GET", requests[1].method)
    assert.is_nil(requests[1].header["x-goog-api-key"])
  end)
end)
