-- What is sent is never held: a request takes the same memory whatever its size. A property, not a timing. The
-- sanitizers keep freed memory, so these run in the plain interpreter only. #plain
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local peak = require "spec.support.peak"
local process = require "spec.support.process"
local program = require "spec.support.program"
local scripted = require "spec.support.scripted"

local MIB = 1024 * 1024

local INLINE = [[
local url, path, size = arg[1], arg[2], tonumber(arg[3])
local client = require "lgemini".Client { api_key = "k", http_options = { base_url = url } }
local response = assert(client.models:generate_content { model = "gemini-3.5-flash",
  contents = { "What is this?", { file = path, mime_type = "image/png", via = "inline" } } })
assert(response.transport.bytes_sent > 4 / 3 * size)
]]

local UPLOAD = [[
local url, path, size = arg[1], arg[2], tonumber(arg[3])
local client = require "lgemini".Client { api_key = "k", http_options = { base_url = url } }
local file = assert(client.files:upload { file = path, config = { mime_type = "application/pdf" } })
assert(file.size_bytes == size)
]]

local BATCH = [[
local url, count = arg[1], tonumber(arg[2])
local client = require "lgemini".Client { api_key = "k", http_options = { base_url = url } }
local asked, answered = 0, 0
local batch = assert(client.batches:create { model = "gemini-3.5-flash", src = function()
  asked = asked + 1
  return asked <= count and { contents = ("Number %d. "):format(asked):rep(100) } or nil
end })
for _, response in assert(client.batches:results(assert(client.batches:wait(batch)))) do
  answered = answered + (response.text ~= "" and 1 or 0)
end
assert(answered == count)
]]

local ANSWER = [[
local url, size = arg[1], tonumber(arg[2])
local client = require "lgemini".Client { api_key = "k", http_options = { base_url = url } }
local response = assert(client.models:generate_content { model = "gemini-3.5-flash", contents = "Draw." })
assert(#response.media[1].inline_data.data == size)
]]

-- The example, over a folder.
local CAPTIONS = [[
local gemini, url = require "lgemini", arg[1]
local Client = gemini.Client
function gemini.Client(given)
  given.api_key, given.http_options = "k", { base_url = url }
  return Client(given)
end
arg[1], arg[2] = arg[2], "10000000"
local say = print
function print() end
dofile "examples/caption_folder.lua"
print = say
]]

describe("memory #plain", function()
  local em, directory

  setup(function()
    em = emulator.start { args = { "--batch", "0.1" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)

  local function file_of(size)
    local path = ("%s/%d"):format(directory, size)
    local file = assert(io.open(path, "wb"))
    local block = ("0123456789abcdef"):rep(65536)
    for _ = 1, math.floor(size / #block) do assert(file:write(block)) end
    assert(file:write(block:sub(1, size % #block)))
    assert(file:close())
    return path
  end

  local function growth(code, small, large)
    local least = peak.of(code, em.url, file_of(small), tostring(small))
    local most = peak.of(code, em.url, file_of(large), tostring(large))
    return most - least
  end

  if not peak.is_known() then
    pending "is not told by this system"
    return
  end

  it("does not grow with an inline image: 15 MB takes at most 4 MiB more than 1 KB", function()
    assert.is_true(growth(INLINE, 1000, 15000000) < 4 * MIB)
  end)

  it("does not grow with an upload: 200 MB takes at most 4 MiB more than 1 KB", function()
    assert.is_true(growth(UPLOAD, 1000, 200000000) < 4 * MIB)
  end)

  it("does not hold an answer beside what it says: bytes of 12 MB, 16 MB on the wire, take less than 36 MB", function()
    local server = scripted.start()
    finally(function() server:stop() end)
    local function peak_of(size)
      server:script { { status = 200, headers = { ["content-type"] = "application/json" }, body = { bytes =
        '{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"'
        .. ("AAAA"):rep(size / 3) .. '"}}]},"finishReason":"STOP"}]}' } } }
      return peak.of(ANSWER, server.url, tostring(size))
    end
    assert.is_true(peak_of(12000000) - peak_of(3000) < 36000000)
  end)

  it("does not grow with a folder: captions of 800 pictures take at most 2 MiB more than of 40", function()
    local function peak_of(count)
      local folder = ("%s/%d pictures"):format(directory, count)
      local link = 'ln -s "$(pwd)/spec/fixtures/slide.png" "%s/$i.png"'
      assert(os.execute(('mkdir "%s" && for i in $(seq %d); do ' .. link .. '; done'):format(folder, count, folder)))
      em:clear()
      local most = peak.of(CAPTIONS, em.url, folder)
      assert.equal(count, #em:requests_to ":generateContent")
      return most
    end
    assert.is_true(peak_of(800) - peak_of(40) < 2 * MIB)
  end)

  it("is not taken for more than a recording has: a replay needs no 300 MB of addresses", function()
    local folder = directory .. "/recording"
    local recorder = gemini.Client { api_key = "k", record = folder, http_options = { base_url = em.url } }
    assert(recorder.models:count_tokens { model = "gemini-3.5-flash", contents = "Hello" })
    local script = assert(io.open(directory .. "/replay.lua", "wb"))
    assert(script:write('print(assert(require"lgemini".Client { replay = arg[1] }.models:count_tokens {'
      .. 'model = "gemini-3.5-flash", contents = "Hello" }).total_tokens)'))
    script:close()
    local result = program.run(directory .. "/replay.lua", { arguments = { folder },
      host = { "sh", "-c", 'ulimit -v 300000; exec "$0" "$@"', os.getenv "LUA" or "lua5.4" } })
    assert.equal("2\n", result.out, result.err)
  end)

  it("does not grow with a batch: 4000 requests, 5 MB of them, take at most 4 MiB more than 40", function()
    assert.is_true(peak.of(BATCH, em.url, "4000") - peak.of(BATCH, em.url, "40") < 4 * MIB)
  end)
end)
