-- A state without io, os and debug, as a host makes one for scripts that it does not trust: what needs no file works,
-- and no file is opened. #plain: programs of their own.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local process = require "spec.support.process"
local program = require "spec.support.program"

local BARE = [[
  local url, path = arg[1], arg[2]
  io, os, debug = nil, nil, nil
  local gemini = require "lgemini"
  local client = gemini.Client { api_key = "k", http_options = { base_url = url } }
  local model = "gemini-3.5-flash"
]]

describe("a state without io and os #plain", function()
  local em, directory

  setup(function()
    em = emulator.start { args = { "--pause", "0" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function() em:clear() end)

  local function run(code)
    local path = files.write(directory .. "/program.lua", BARE .. code)
    local result = program.run(path, { arguments = { em.url, "spec/fixtures/slide.png" } })
    assert.equal("", result.err)
    return result.out
  end

  it("asks, streams, uploads bytes, waits between tries and counts", function()
    em:fault { path = ":generateContent", status = 503, headers = { ["retry-after"] = "0" } }
    local no_date = "config.expire_time: a time as text expected, since this Lua has no os.date\n"
    assert.equal("2\tSTOP\t5\t2\n" .. no_date, run [[
      local response = gemini.assert(client.models:generate_content { model = model, contents = {
        "Hello", { data = "some text", mime_type = "text/plain" } } })
      local stream = client.models:generate_content_stream { model = model, contents = "Hello" }
      repeat local chunk, err = stream:next() until not chunk
      local file = gemini.assert(client.files:upload { data = "12345", config = { mime_type = "text/plain" } })
      print(response.transport.attempts, stream.response.finish_reason, file.size_bytes,
        gemini.assert(gemini.estimate { model = model, contents = "Hello" }).total_tokens)
      local _, err = client.caches:create { model = model, config = { contents = "x", expire_time = 1e9 } }
      print(err.message)
    ]])
  end)

  it("opens no file", function()
    local out = run [[
      local question = { model = model, contents = { { file = path } } }
      for _, call in ipairs {
        function() return client.models:generate_content(question) end,
        function() return gemini.Client { api_key = "k", local_files = true }.models:generate_content(question) end,
        function() return gemini.estimate(question) end,
        function() return client.files:upload(path) end,
        function() return client.files:download { file = "files/a", to = path } end,
      } do
        local value, err = call()
        print(value, err.kind, err.message:match "files %w+ %w+ %w+")
      end
    ]]
    local off, no = "nil\tinvalid\tfiles are switched off\n", "nil\tinvalid\tfiles are not opened\n"
    assert.equal(off:rep(3) .. no:rep(2), out)
    assert.same({}, em:requests())
  end)
end)
