-- config.media_to: the bytes of media go into files while they come.
local files = require "spec.support.files"
local gemini = require "lgemini"
local media_to = require "lgemini.media_to"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"
local base64 = gemini.base64

local BYTES = {}
for i = 1, 50000 do BYTES[i] = string.char(i * 11 % 256, i % 256, i * 3 % 251) end
BYTES = table.concat(BYTES)

local function answer_with(blobs, finish)
  local parts = { '{"text":"Here."}' }
  for i, blob in ipairs(blobs) do
    parts[i + 1] = ('{"inlineData":{%s"data":"%s"}}'):format(blob[1] and ('"mimeType":"%s",'):format(blob[1]) or "",
      blob[2] or base64.encode(BYTES))
  end
  return ('{"candidates":[{"content":{"role":"model","parts":[%s]}%s}]}'):format(table.concat(parts, ","),
    finish == false and "" or ',"finishReason":"STOP"')
end

local read = files.read

describe("media_to", function()
  local server, client, directory

  setup(function()
    server = scripted.start()
    directory = process.temporary_directory()
  end)
  teardown(function()
    server:stop()
    process.remove_directory(directory)
  end)
  before_each(function()
    client = gemini.Client { api_key = "k", http_options = { base_url = server.url } }
  end)
  after_each(function()
    client:close()
    for name in assert(io.popen(("ls '%s'"):format(directory))):lines() do os.remove(directory .. "/" .. name) end
  end)

  local function names()
    local list = {}
    for name in assert(io.popen(("ls '%s'"):format(directory))):lines() do list[#list + 1] = name end
    return list
  end

  local function ask(target)
    return client.models:generate_content { model = "m", contents = "draw", config = { media_to = target } }
  end

  local function stream(target)
    return (client.models:generate_content_stream { model = "m", contents = "draw", config = { media_to = target } })
  end

  local function script(body)
    server:script { { status = 200, headers = { ["Content-Type"] = "application/json" }, body = { bytes = body } } }
  end

  local function script_chunks(chunks)
    server:script { { status = 200, headers = { ["Content-Type"] = "text/event-stream" }, body = { chunks = chunks } } }
  end

  -- The stream's bytes in pieces of that size.
  local function script_stream(event, size)
    local text, chunks = "data: " .. event .. "\r\n\r\n", {}
    for at = 1, #text, size do chunks[#chunks + 1] = text:sub(at, at + size - 1) end
    script_chunks(chunks)
  end

  it("names files in a directory by their type, and leaves no bytes in the answer", function()
    script(answer_with { { "image/png" }, { "audio/L16;codec=pcm;rate=24000" }, { "image/x-new" }, {} })
    local response = assert(ask(directory))
    assert.equal("Here.", response.text)
    assert.equal(4, #response.media)
    local extensions = {}
    for i, part in ipairs(response.media) do
      assert.is_nil(part.inline_data.data)
      assert.equal(BYTES, read(part.inline_data.path))
      extensions[i] = part.inline_data.path:match "%.(%w+)$"
    end
    assert.same({ "png", "pcm", "bin", "bin" }, extensions)
    assert.equal(4, #names())
  end)

  it("has a name for each, however fast answers follow each other", function()
    for _ = 1, 100 do
      assert(media_to.new(client.core, directory):write({ mime_type = "image/png" }, "an image", true))
      collectgarbage()
    end
    assert.equal(100, #names())
  end)

  it("takes the type from the bytes where it comes behind them, or not at all", function()
    local png = base64.encode("\137PNG\r\n\26\n" .. BYTES)
    script('{"candidates":[{"content":{"parts":[{"inlineData":{"data":"' .. png .. '","mimeType":"image/png"}},'
      .. '{"inlineData":{"data":"' .. png .. '"}}]},"finishReason":"STOP"}]}')
    local seen = {}
    local response = assert(ask(function(part)
      seen[#seen + 1] = part.inline_data.mime_type
      return ("%s/%d.png"):format(directory, #seen)
    end))
    assert.same({ "image/png", "image/png" }, seen)
    assert.equal("image/png", response.media[1].inline_data.mime_type)
    assert.is_nil(response.media[2].inline_data.mime_type)
    script(answer_with { { nil, png } })
    assert.equal("png", assert(ask(directory)).media[1].inline_data.path:match "%.(%w+)$")
  end)

  it("asks a function for the path", function()
    script_stream(answer_with { { "image/png" } }, 1000)
    local seen
    local path = directory .. "/mine.png"
    local reader = stream(function(part)
      seen = part
      return path
    end)
    local chunk = assert(reader:next())
    assert.is_nil(reader:next())
    assert.equal("image/png", seen.inline_data.mime_type)
    assert.equal(path, chunk.media[1].inline_data.path)
    assert.equal(path, reader.response.media[1].inline_data.path)
    assert.equal(BYTES, read(path))
    assert.same({ "mine.png" }, names())
  end)

  it("may be closed by the function, or with the task or client it is read in: nothing is left", function()
    client:close() -- it makes others
    local reader, task
    local ends = {
      closed = function() reader:close() end,
      cancelled = function() if task then task:cancel() else client:close() end end,
    }
    for _, text in ipairs { "\r\n\r\n", "" } do
      for kind, finish in pairs(ends) do
        for _, in_task in ipairs { true, false } do
          script_chunks { "data: " .. answer_with { { "image/png" } } .. text }
          client = gemini.Client { api_key = "k", http_options = { base_url = server.url } }
          local function ask_and_read()
            reader = stream(function()
              finish()
              return directory .. "/never.png"
            end)
            return reader:next()
          end
          task = in_task and client:spawn(ask_and_read) or nil
          local chunk, err
          if task then chunk, err = task:wait() else chunk, err = ask_and_read() end
          assert.is_nil(chunk)
          assert.equal(kind, err.kind, tostring(err))
          assert.equal(kind, select(2, reader:next()).kind)
          client:close()
          assert.same({}, names())
        end
      end
    end
  end)

  it("sends the file back where the answer goes back, and saves it elsewhere", function()
    script(answer_with { { "image/png" } })
    local response = assert(ask(directory))
    script(answer_with {})
    assert(client.models:generate_content { model = "m",
      contents = { response.candidates[1].content, { role = "user", parts = { "and now?" } } } })
    local sent = server:received()
    local body = sent[#sent].body
    assert.truthy(body:find('"data":"' .. base64.encode(BYTES) .. '"', 1, true))
    assert.falsy(body:find(directory, 1, true))
    local copy = directory .. "/copy.bin"
    assert.is_true(response.media[1]:save(copy))
    assert.equal(BYTES, read(copy))
  end)

  it("takes no path from the wire", function()
    script(answer_with { { 'image/png","path":"/etc/hostname' } })
    local response = assert(client.models:generate_content { model = "m", contents = "draw" })
    assert.is_nil(response.media[1].inline_data.path)
    assert.equal(BYTES, response.media[1].inline_data.data)
  end)

  it("leaves nothing of media that did not come whole", function()
    local event = answer_with { { "image/png" } }
    server:script { { status = 200, headers = { ["Content-Type"] = "text/event-stream" }, framing = "chunked",
      body = { chunks = { "data: " .. event:sub(1, 150000) } }, cut_at = "end" } }
    local reader = stream(directory)
    local chunk, err = reader:next()
    assert.is_nil(chunk)
    assert.is_true(gemini.is_error(err))
    assert.same({}, names())
    script(answer_with { { "image/png", "QUJD*" } })
    local response
    response, err = ask(directory)
    assert.is_nil(response)
    assert.equal("protocol", err.kind)
    assert.same({}, names())
  end)

  it("fails where a file cannot be written, and says why", function()
    for target, words in pairs {
      [function() return directory .. "/missing/a.png" end] = "No such file",
      [function() error "no idea" end] = "the function, failed: .*no idea",
      [function() return 5 end] = "gave no path but number",
      [function()
        assert(os.execute(("ln -sf /dev/full '%s/full.png.part'"):format(directory)))
        return directory .. "/full.png"
      end] = "/full%.png: No space left",
    } do
      script(answer_with { { "image/png" } })
      local response, err = ask(target)
      assert.is_nil(response)
      assert.equal("io", err.kind)
      assert.matches(words, err.message)
      script_stream(answer_with { { "image/png" } }, 5000)
      local chunk
      chunk, err = stream(target):next()
      assert.is_nil(chunk)
      assert.equal("io", err.kind)
    end
  end)

  it("makes the directory, and asks nothing where that cannot be: media are paid for when they come", function()
    script(answer_with { { "image/png" } })
    local path = assert(ask(directory .. "/new")).media[1].inline_data.path
    assert.equal(directory .. "/new/", path:match "^.*/")
    assert(os.remove(path))
    assert(os.remove(directory .. "/new"))
    server:script {}
    for _, target in ipairs { directory .. "/not/there", "spec/helper.lua" } do
      local response, err = ask(target)
      assert.is_nil(response)
      assert.equal("io", err.kind)
      assert.equal("config.media_to: cannot make " .. target, err.message:match "^[^:]+: [^:]+")
      local chunk
      chunk, err = stream(target):next()
      assert.is_nil(chunk)
      assert.equal("io", err.kind)
    end
    assert.same({}, server:received())
    assert.error_matches(function() ask(5) end, "config.media_to: a directory or a function expected, got number")
  end)
end)
