-- A large picture that comes while a program steps with little time in each: whole, in a stream and in a plain answer.
local drive = require "spec.core.drive"
local core = require "lgemini.core"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local must = gemini.assert

describe("a large picture", function()
  local server, client
  local picture, text = drive.bytes(3000000), ("text "):rep(80000)

  before_each(function()
    server = scripted.start()
    client = gemini.Client { api_key = "k", http_options = { base_url = server.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    server:stop()
  end)

  local function answer(before, after)
    return { status = 200, body = { bytes = ('%s{"candidates":[{"content":{"parts":[{"text":"%s"},{"inlineData":'
      .. '{"mimeType":"image/png","data":"%s"}}],"role":"model"},"finishReason":"STOP"}]}%s')
      :format(before, text, core.base64.encode(picture), after) } }
  end

  local function stream()
    local chunks = client.models:generate_content_stream { model = "m", contents = "Draw." }
    local chunk = must(chunks:next())
    assert.same({}, { chunks:next() })
    return chunk
  end

  local function call()
    return must(client.models:generate_content { model = "m", contents = "Draw." })
  end

  local function run()
    while client:step(0.001) do client:wait(0.01) end
  end

  for name, ask in pairs { ["a stream"] = stream, ["a plain answer"] = call } do
    it("comes whole in " .. name, function()
      local before, after = "", ""
      if ask == stream then before, after = "data: ", "\r\n\r\n" end
      server:script { answer(before, after), answer(before, after) }
      local plain, stepped = ask(), nil
      client:spawn(function() stepped = ask() end)
      run()
      for _, response in ipairs { plain, stepped } do
        assert.equal(text, response.text)
        assert.equal(picture, response.media[1].inline_data.data)
      end
      assert.is_table(stepped)
    end)
  end

  local STOPS = { ["its stream is closed"] = function(chunks) chunks:close() end,
    ["its client is"] = function() client:close() end,
    ["its task is cancelled"] = function(_, task) task:cancel() end }

  for name, stop in pairs(STOPS) do
    it("is not made when " .. name .. " before the step that was to begin with it", function()
      for _, kind in ipairs(name:find "stream" and { "stream" } or { "stream", "call" }) do
        client:close()
        client = gemini.Client { api_key = "k", http_options = { base_url = server.url, retry_options = false } }
        server:script { kind == "stream" and answer("data: ", "\r\n\r\n") or answer("", "") }
        local chunks, chunk, err
        local task = client:spawn(function()
          if kind == "call" then
            chunk, err = client.models:generate_content { model = "m", contents = "Draw." }
          else
            chunks = client.models:generate_content_stream { model = "m", contents = "Draw." }
            chunk, err = chunks:next()
          end
        end)
        while not client.loop.eager do
          client:step(0.001)
          assert.is_false(task.done or false)
        end
        stop(chunks, task)
        run()
        assert.is_true(task.done)
        assert.is_nil(chunk)
        assert.is_truthy(not err or err.kind == "closed" or err.kind == "cancelled", kind .. ": " .. tostring(err))
      end
    end)
  end
end)
