-- The emulator, driven over plain sockets (and by curl for HTTP/2), without the library.
local bytes = require "spec.support.bytes"
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local process = require "spec.support.process"
local socket = require "cqueues.socket"

local FIXTURES = "spec/fixtures/"
local M = "/v1beta/models/gemini-3.5-flash"
local KEY = { ["x-goog-api-key"] = "spec-key" }

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

local function with(headers, more)
  local all = {}
  for k, v in pairs(headers) do all[k] = v end
  for k, v in pairs(more or {}) do all[k] = v end
  return all
end

--- A connection that is spoken to by hand.
local function dial(em)
  local connection = assert(socket.connect(em.host, em.port))
  connection:onerror(function(_, _, code) return code end)
  connection:setmode("b", "bn")
  connection:settimeout(20)
  assert(connection:connect())
  if em.tls then
    local context = require("openssl.ssl.context").new("TLS")
    context:setVerify(require("openssl.ssl.context").VERIFY_PEER)
    context:getStore():add(em.ca_file)
    assert(connection:starttls(context))
  end
  return connection
end

local function send_head(connection, em, method, path, headers, length)
  local lines = { method .. " " .. path .. " HTTP/1.1", "Host: " .. em.host .. ":" .. em.port }
  for k, v in pairs(headers) do lines[#lines + 1] = k .. ": " .. v end
  if length then lines[#lines + 1] = "Content-Length: " .. length end
  return connection:write(table.concat(lines, "\r\n") .. "\r\n\r\n")
end

--- Status and headers of an answer; nil when the connection ends first.
local function read_head(connection)
  local line = connection:read("*L")
  local status = line and line:match("^HTTP/1.1 (%d+)")
  if not status then return nil, line end
  local answer = { status = tonumber(status), headers = {} }
  for header in connection:lines("*L") do
    local name, value = header:match("^([^:]+):%s*(.-)\r\n$")
    if not name then break end
    answer.headers[name:lower()] = value
  end
  return answer
end

--- The next chunk of a chunked answer; nil at its end or where it was cut, then with what came.
local function read_chunk(connection)
  local size = tonumber((connection:read("*L") or ""):match("^(%x+)\r\n") or "", 16)
  if not size then return nil, "cut" end
  local data = size == 0 and "" or connection:read(size)
  if size > 0 and (not data or #data < size) then return nil, "cut" end
  connection:read("*L")
  if size > 0 then return data end
  return nil, "end"
end

local function read_answer(connection, method)
  local answer, line = read_head(connection)
  if not answer then return { cut = true, line = line, body = "" } end
  local length = tonumber(answer.headers["content-length"])
  if method == "HEAD" then
    answer.body = ""
  elseif answer.headers["transfer-encoding"] == "chunked" then
    local parts = {}
    while true do
      local chunk, why = read_chunk(connection)
      if not chunk then answer.cut = why == "cut" break end
      parts[#parts + 1] = chunk
    end
    answer.body = table.concat(parts)
  else
    answer.body = length == 0 and "" or connection:read(length or "*a") or ""
    answer.cut = length ~= nil and #answer.body < length
  end
  return answer
end

--- One request on a connection of its own.
local function request(em, method, path, headers, body)
  local connection = dial(em)
  if type(body) == "table" then body = cjson.encode(body) end
  send_head(connection, em, method, path, with(headers or KEY, { Connection = "close" }), body and #body)
  if body and body ~= "" then connection:write(body) end
  local answer = read_answer(connection, method)
  connection:close()
  local ok, json = pcall(cjson.decode, answer.body)
  answer.json = ok and json or nil
  return answer
end

local function get(em, path, headers) return request(em, "GET", path, headers) end
local function post(em, path, body, headers) return request(em, "POST", path, headers, body) end

local function ask(em, parts, config, model)
  if type(parts) == "string" then parts = { { text = parts } } end
  return post(em, "/v1beta/models/" .. (model or "gemini-3.5-flash") .. ":generateContent",
    { contents = { { role = "user", parts = parts } }, generationConfig = config })
end

local function text_of(answer)
  return answer.json.candidates[1].content.parts[1].text
end

local function inline(name, mime_type)
  return { inlineData = { mimeType = mime_type, data = bytes.base64(read_file(FIXTURES .. name)) } }
end

--- The events of a server-sent stream, with the framing checked.
local function events_of(body)
  local list, at = {}, 1
  while at <= #body do
    local from, to, data = body:find("^data: ([^\r\n]*)\r\n\r\n", at)
    assert(from, "not an event: " .. body:sub(at, at + 60))
    list[#list + 1] = cjson.decode(data)
    at = to + 1
  end
  return list
end

local function start_upload(em, headers, file)
  return post(em, "/upload/v1beta/files", { file = file }, with(KEY, with({
    ["X-Goog-Upload-Protocol"] = "resumable", ["X-Goog-Upload-Command"] = "start",
  }, headers)))
end

local function session_path(answer)
  return answer.headers["x-goog-upload-url"]:match("^https?://[^/]+(/.*)$")
end

local function command(em, path, words, offset, body)
  return post(em, path, body or "", { ["X-Goog-Upload-Command"] = words, ["X-Goog-Upload-Offset"] = offset })
end

--- Uploads in one request; returns the File object.
local function upload(em, content, mime_type, file)
  local start = start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = mime_type,
    ["X-Goog-Upload-Header-Content-Length"] = #content }, file)
  assert(start.status == 200, start.body)
  local final = command(em, session_path(start), "upload, finalize", 0, content)
  assert(final.status == 200, final.body)
  return final.json.file
end

local function unbase64(text)
  local out = {}
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for quad in text:gmatch("[^=][^=]=?=?[^=]?[^=]?") do
    local n, kept = 0, 3
    for i = 1, 4 do
      local c = quad:sub(i, i)
      if c == "=" then kept = kept - 1 end
      n = n * 64 + (c == "=" and 0 or alphabet:find(c, 1, true) - 1)
    end
    out[#out + 1] = string.char(math.floor(n / 65536), math.floor(n / 256) % 256, n % 256):sub(1, kept)
  end
  return table.concat(out)
end

local function curl(em, words)
  local line = { "curl -sS --noproxy '*' --max-time 60" }
  if em.ca_file then line[#line + 1] = "--cacert " .. process.quote(em.ca_file) end
  for _, word in ipairs(words) do line[#line + 1] = process.quote(word) end
  local pipe = io.popen(table.concat(line, " ") .. " 2>&1")
  local output = pipe:read("*a")
  pipe:close()
  return output
end

local has_curl = (io.popen("command -v curl"):read("*l") or "") ~= ""

local function is_alive(pid)
  local pipe = io.popen(("kill -0 %d 2>/dev/null && echo yes"):format(pid))
  local word = pipe:read("*l")
  pipe:close()
  return word == "yes"
end

--- Does nothing come for a while?
local function is_silent(connection)
  local silent = connection:xread(1, nil, 0.05) == nil
  connection:clearerr("r")
  return silent
end

--- Waits for a condition, at most ten seconds.
local function wait_for(condition, what)
  local deadline = os.time() + 10
  while not condition() do
    assert(os.time() < deadline, "waited in vain for " .. what)
    os.execute("sleep 0.01")
  end
end

describe("the emulator", function()
  local em, log, directory

  setup(function()
    directory = process.temporary_directory()
    log = directory .. "/log"
    em = emulator.start({ log = log })
  end)

  teardown(function()
    em:stop()
    local noise = read_file(log)
    process.remove_directory(directory)
    assert.equal("", noise) -- whatever clients do, it has nothing to say
  end)

  before_each(function() em:clear() end)

  describe("as a process", function()
    it("says where it listens, and who it is", function()
      local health = em:admin("GET", "health")
      assert.equal(em.url, health.url)
      assert.is_true(is_alive(em.pid))
    end)

    it("ends when its input ends, and removes its state", function()
      local other = emulator.start()
      other:stop()
      assert.is_false(is_alive(other.pid))
      assert.is_nil(io.open(other.state .. "/temporary/x", "w"))
    end)

    it("ends on SIGTERM and SIGINT, and removes its state", function()
      for _, name in ipairs({ "TERM", "INT" }) do
        local other = emulator.start()
        os.execute(("kill -%s %d"):format(name, other.pid))
        assert.is_nil(other.output:read("*l")) -- the end of its output
        other:stop()
        assert.is_nil(io.open(other.state .. "/temporary/x", "w"))
      end
    end)

    it("does not outlive an interpreter that is killed", function()
      local code = "local em = require('spec.support.emulator').start() "
        .. "io.write(em.pid, '\\n') io.flush() em.output:read('*a')" -- waits until somebody ends
      local child = io.popen(("echo $$; exec %s -e %s 2>/dev/null; :"):format(process.interpreter(),
        process.quote("package.path = '?.lua;' .. package.path " .. code)), "r")
      local parent, pid = child:read("*n"), child:read("*n")
      assert.is_true(is_alive(pid))
      os.execute(("kill -9 %d"):format(parent))
      child:close()
      wait_for(function() return not is_alive(pid) end, "its end")
    end)

    it("says what to install where what it runs on is not there", function()
      local pipe = io.popen("EMULATOR_LUA=lua5.2 LUA_PATH=none LUA_CPATH=none emulator/gemini-emulator 2>&1")
      local output = pipe:read("*a")
      pipe:close()
      assert.equal("gemini-emulator: module 'cqueues' not found; "
        .. "on Debian: apt-get install lua5.2 lua-http lua-cjson\n", output)
    end)

    it("refuses what it does not know", function()
      for _, words in ipairs({ "--prot 1", "--latency x", "nonsense", "--port", "--port 1x",
        "--host 192.0.2.1" }) do
        local pipe = io.popen("emulator/gemini-emulator " .. words .. " 2>&1; echo status $?")
        local output = pipe:read("*a")
        pipe:close()
        assert.matches("gemini%-emulator: .*status 2\n$", output)
      end
    end)
  end)

  describe("answering", function()
    it("tells what it received, in order", function()
      local answer = ask(em, { { text = "Which claims?" }, inline("slide.png", "image/png"),
        inline("call.mp3", "audio/mp3"), { text = "é" } })
      assert.equal(200, answer.status)
      local text = text_of(answer)
      assert.matches("^This is the lgemini emulator, not a model%. I received 4 parts: ", text)
      assert.matches("%(1%) text, 13 characters; %(2%) image/png, 640x360, 7,430 bytes, sha256 688359f3%x+; "
        .. "%(3%) audio/mp3, 5%.9 seconds, 17,912 bytes, sha256 31afe418%x+; %(4%) text, 1 character%.", text)
      local candidate = answer.json.candidates[1]
      assert.equal("STOP", candidate.finishReason)
      assert.equal("model", candidate.content.role)
      assert.equal("gemini-3.5-flash", answer.json.modelVersion)
      -- 4 + 1 of text, 1120 for an image, 32 for each second of sound
      local usage = answer.json.usageMetadata
      assert.same({ { modality = "TEXT", tokenCount = 5 }, { modality = "IMAGE", tokenCount = 1120 },
        { modality = "AUDIO", tokenCount = 189 } }, usage.promptTokensDetails)
      assert.equal(1314, usage.promptTokenCount)
      assert.equal(usage.promptTokenCount + usage.candidatesTokenCount, usage.totalTokenCount)
    end)

    local facts = {
      { "slide.jpg", "image/jpeg", "image/jpeg, 640x360" }, { "slide.webp", "image/webp", "image/webp, 640x360" },
      { "slide.gif", "image/gif", "image/gif, 640x360" }, { "call.wav", "audio/wav", "audio/wav, 5.8 seconds" },
      { "call.flac", "audio/flac", "audio/flac, 5.8 seconds" }, { "call.ogg", "audio/ogg", "audio/ogg, 5.8 seconds" },
      { "call.aac", "audio/aac", "audio/aac, 6.0 seconds" }, { "call.webm", "audio/webm", "audio/webm, 5.8 seconds" },
      { "demo.mp4", "video/mp4", "video/mp4, 320x180, 2.0 seconds" },
      { "demo.mov", "video/quicktime", "video/quicktime, 320x180, 2.0 seconds" },
      { "demo.webm", "video/webm", "video/webm, 320x180, 2.0 seconds" },
      { "demo.avi", "video/avi", "video/avi, 320x180, 2.1 seconds" },
      { "paper.pdf", "application/pdf", "application/pdf, 1 page," },
      { "slide.png", "image/jpeg", "image/jpeg (image/png by its bytes), 640x360" },
      { "README.md", "text/markdown", "text/markdown" },
    }
    for _, case in ipairs(facts) do
      it("knows " .. case[1] .. " as " .. case[2], function()
        local content = read_file(FIXTURES .. case[1])
        local text = text_of(ask(em, { inline(case[1], case[2]) }))
        assert.truthy(text:find("(1) " .. case[3], 1, true), text)
        assert.truthy(text:find("sha256 " .. bytes.sha256(content), 1, true), text)
      end)
    end

    it("takes base64 of any length, in both alphabets, escaped or not, padded or not", function()
      for _, length in ipairs({ 0, 1, 2, 3, 1000, 16383, 16384, 49153, 300001 }) do
        local content = bytes.counter(length)
        local plain = bytes.base64(content)
        local escaped = plain:gsub("/", "\\/"):gsub("=", "\\u003d")
        for _, data in ipairs({ plain, (plain:gsub("+", "-"):gsub("/", "_"):gsub("=", "")), escaped }) do
          local answer = post(em, M .. ":generateContent",
            '{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"' .. data .. '"}}]}]}')
          assert.equal(200, answer.status, answer.body)
          assert.truthy(text_of(answer):find(bytes.sha256(content), 1, true), length)
        end
      end
    end)

    it("joins escapes that blocks of a large body cut apart", function()
      local content = ("\251\239\190"):rep(40000) -- all "+" in base64
      local data = bytes.base64(content):gsub("+", "\\u002b")
      local answer = post(em, M .. ":generateContent",
        '{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"' .. data .. '"}}]}]}')
      assert.truthy(text_of(answer):find(bytes.sha256(content), 1, true))
    end)

    it("knows where a string ends", function()
      local answer = post(em, M .. ":generateContent", [[{"contents":[{"parts":[{"text":"a\"b\\"},]] .. (" "):rep(40000)
        .. [[{"text":"\\\"c"}]}]}]])
      assert.matches("%(1%) text, 4 characters; %(2%) text, 3 characters", text_of(answer))
    end)

    it("says where base64 is none", function()
      for _, data in ipairs({ "YQ=Y", "Y!==", "Y", ("A"):rep(40000) .. "?" }) do
        local answer = ask(em, { { inlineData = { mimeType = "image/png", data = data } } })
        assert.equal(400, answer.status)
        assert.matches("^Invalid value at 'contents%[0%]%.parts%[0%]%.inline_data%.data' %(TYPE_BYTES%), "
          .. "Base64 decoding failed for ", answer.json.error.message)
      end
    end)

    it("asks for a body that waits to be asked for", function()
      local connection = dial(em)
      local body = '{"contents":[{"parts":[{"text":"x"}]}]}'
      send_head(connection, em, "POST", M .. ":generateContent", with(KEY, { Expect = "100-continue" }), #body)
      assert.equal(100, read_head(connection).status)
      connection:write(body)
      assert.equal(200, read_answer(connection).status)
      connection:close()
    end)

    it("reads a long text that arrives in pieces", function()
      local text = ('say "hi" \\ back/ é\n'):rep(3000)
      local body = cjson.encode({ contents = { { parts = { { text = text } } } } })
      local connection = dial(em)
      send_head(connection, em, "POST", M .. ":generateContent", KEY, #body)
      for i = 1, #body, 997 do connection:write(body:sub(i, i + 996)) end
      local answer = read_answer(connection)
      connection:close()
      assert.truthy(text_of({ json = cjson.decode(answer.body) }):find("text, 57,000 characters", 1, true))
      assert.equal(bytes.sha256(text), em:requests(1)[1].parts[1].sha256)
    end)

    it("cuts at maxOutputTokens and at stop sequences", function()
      local answer = ask(em, "Hello", { maxOutputTokens = 3 })
      assert.equal("This is the ", text_of(answer))
      assert.equal("MAX_TOKENS", answer.json.candidates[1].finishReason)
      assert.equal(3, answer.json.usageMetadata.candidatesTokenCount)
      answer = ask(em, "Hello", { stopSequences = { "zzz", " emulator" } })
      assert.equal("This is the lgemini", text_of(answer))
      assert.equal("STOP", answer.json.candidates[1].finishReason)
    end)

    it("thinks when asked to, and then may have no token left to answer", function()
      local answer = ask(em, "Hello", { thinkingConfig = { includeThoughts = true } })
      local parts = answer.json.candidates[1].content.parts
      assert.is_true(parts[1].thought)
      assert.is_nil(parts[2].thought)
      assert.is_string(parts[2].thoughtSignature)
      local usage = answer.json.usageMetadata
      assert.equal(usage.promptTokenCount + usage.candidatesTokenCount + usage.thoughtsTokenCount,
        usage.totalTokenCount)
      answer = ask(em, "Hello", { thinkingConfig = { includeThoughts = true }, maxOutputTokens = 5 })
      assert.same({ role = "model" }, answer.json.candidates[1].content)
      assert.equal("MAX_TOKENS", answer.json.candidates[1].finishReason)
    end)

    it("gives as many candidates as asked for", function()
      local list = ask(em, "Hello", { candidateCount = 3 }).json.candidates
      assert.equal(3, #list)
      assert.equal(2, list[3].index)
      assert.matches("^Candidate 3%. ", list[3].content.parts[1].text)
    end)

    it("makes JSON that fits a schema, in the schema's order", function()
      local answer = ask(em, "Recipes", { responseMimeType = "application/json", responseSchema = {
        type = "ARRAY", minItems = "2", items = { type = "OBJECT", required = { "name" },
          properties = { name = { type = "STRING" }, minutes = { type = "INTEGER", minimum = 5 },
            kind = { type = "STRING", enum = { "sweet", "salt" } } },
          propertyOrdering = { "name", "minutes", "kind" } } } })
      local item = '{"name":"name","minutes":5,"kind":"sweet"}'
      assert.equal("[" .. item .. "," .. item .. "]", text_of(answer))
      answer = ask(em, "x", { responseMimeType = "application/json", responseJsonSchema = {
        type = "object", properties = { a = { type = { "null", "number" } }, b = { ["$ref"] = "#/$defs/day" } },
        ["$defs"] = { day = { type = "string", format = "date" } } } })
      assert.equal('{"a":1.5,"b":"2026-01-01"}', text_of(answer))
      answer = ask(em, "x", { responseMimeType = "text/x.enum", responseSchema = { type = "STRING",
        enum = { "red", "blue" } } })
      assert.equal("red", text_of(answer))
    end)

    it("makes a sound and a picture", function()
      local part = ask(em, "Say it", { responseModalities = { "AUDIO" } }).json.candidates[1].content.parts[1]
      assert.equal("audio/L16;codec=pcm;rate=24000", part.inlineData.mimeType)
      assert.equal(24000, #unbase64(part.inlineData.data))
      local parts = ask(em, "Draw it", { responseModalities = { "TEXT", "IMAGE" } }).json.candidates[1].content.parts
      local png = parts[#parts].inlineData
      assert.equal("image/png", png.mimeType)
      -- what it makes, it can read
      local text = text_of(ask(em, { { inlineData = png } }))
      assert.matches("image/png, 64x36,", text)
    end)

    it("calls functions, wants its signature back, and tells their results", function()
      local tools = { { functionDeclarations = {
        { name = "get_time" },
        { name = "get_weather", parameters = { type = "OBJECT", properties = { city = { type = "STRING" } } } },
      } } }
      local function generate(contents, mode)
        return post(em, M .. ":generateContent", { contents = contents, tools = tools,
          toolConfig = { functionCallingConfig = { mode = mode } } })
      end
      local turn = { role = "user", parts = { { text = "Please call get_weather and call get_time" } } }
      local content = generate({ turn }, "AUTO").json.candidates[1].content
      assert.equal(2, #content.parts)
      assert.is_nil(content.parts[1].functionCall.args)
      assert.equal("get_weather", content.parts[2].functionCall.name)
      assert.same({ city = "city" }, content.parts[2].functionCall.args)
      assert.is_string(content.parts[1].functionCall.id)
      assert.is_string(content.parts[1].thoughtSignature)
      assert.is_nil(content.parts[2].thoughtSignature)

      local any = generate({ { parts = { { text = "Hello" } } } }, "ANY").json.candidates[1].content.parts
      assert.equal("get_time", any[1].functionCall.name)
      assert.is_string(generate({ turn }, "NONE").json.candidates[1].content.parts[1].text)

      local function result(name) return { functionResponse = { name = name, response = { output = 4 } } } end
      local results = { role = "user", parts = { result("get_time"), result("get_weather") } }
      local told = generate({ turn, content, results }, "AUTO")
      assert.matches('the result of get_weather, {"output":4}', text_of(told))

      table.remove(results.parts)
      assert.matches("number of function response parts is equal", generate({ turn, content, results }).body)
      results.parts[2] = result("get_weather")
      assert.matches("comes immediately after a function call turn", generate({ turn, results }).body)
      local signature = content.parts[1].thoughtSignature
      content.parts[1].thoughtSignature = nil
      assert.matches("`get_time` in the 2%. content block lacks a `thought_signature`",
        generate({ turn, content, results }).body)
      content.parts[1].thoughtSignature = signature:gsub("^.", { A = "B" }):gsub("^[^B]", "A")
      assert.matches("Thought signature is not valid", generate({ turn, content, results }).body)
      content.parts[1].thoughtSignature = "skip_thought_signature_validator"
      assert.equal(200, generate({ turn, content, results }).status)
    end)

    it("counts tokens, in both forms", function()
      local contents = { { parts = { { text = "The quick brown fox" } } } }
      assert.same({ totalTokens = 5, promptTokensDetails = { { modality = "TEXT", tokenCount = 5 } } },
        post(em, M .. ":countTokens", { contents = contents }).json)
      local whole = { model = "models/gemini-3.5-flash", contents = contents,
        systemInstruction = { parts = { { text = "Be brief." } } } }
      assert.equal(8, post(em, M .. ":countTokens", { generateContentRequest = whole }).json.totalTokens)
      assert.equal(400, post(em, M .. ":countTokens", { contents = contents, generateContentRequest = whole }).status)
      whole.model = nil
      assert.equal(400, post(em, M .. ":countTokens", { generateContentRequest = whole }).status)
    end)

    it("counts media by the documented rules", function()
      local function count(part, model, config)
        return ask(em, { part }, config, model).json.usageMetadata.promptTokenCount
      end
      local slide, video = inline("slide.png", "image/png"), inline("demo.mp4", "video/mp4")
      assert.equal(258 * 6, count(slide, "gemini-2.5-flash")) -- 640x360: units of 240, 3 by 2
      assert.equal(64, count(slide, "gemini-2.5-flash", { mediaResolution = "MEDIA_RESOLUTION_LOW" }))
      slide.mediaResolution = { level = "MEDIA_RESOLUTION_ULTRA_HIGH" }
      assert.equal(2240, count(slide))
      assert.equal(2 * (258 + 32), count(video, "gemini-2.5-flash"))
      assert.equal(2 * (70 + 32), count(video))
      video.videoMetadata = { startOffset = "1s", fps = 4 }
      assert.equal(4 * 70 + 32, count(video))
      assert.equal(560, count(inline("paper.pdf", "application/pdf")))
      local wide = { inlineData = { mimeType = "image/gif", data = bytes.base64("GIF89a\208\7\100\0") } } -- 2000x100
      assert.equal(258 * 62, count(wide, "gemini-2.5-flash")) -- units of 66, 31 by 2
    end)

    it("embeds the same text in the same place", function()
      local one = post(em, "/v1beta/models/gemini-embedding-001:embedContent",
        { content = { parts = { { text = "a" } } }, outputDimensionality = 5 }).json.embedding.values
      local both = post(em, "/v1beta/models/gemini-embedding-001:batchEmbedContents", { requests = {
        { model = "models/gemini-embedding-001", content = { parts = { { text = "a" } } }, outputDimensionality = 5 },
        { model = "models/gemini-embedding-001", content = { parts = { { text = "b" } } } } } }).json.embeddings
      assert.same(one, both[1].values)
      assert.equal(3072, #both[2].values)
      local sum = 0
      for _, v in ipairs(one) do sum = sum + v * v end
      assert.is_true(math.abs(sum - 1) < 1e-5)
    end)

    it("lists models, page by page", function()
      local names, token = {}, nil
      repeat
        local page = get(em, "/v1beta/models?pageSize=4" .. (token and "&pageToken=" .. token or "")).json
        assert.is_true(#page.models <= 4)
        for _, model in ipairs(page.models) do names[#names + 1] = model.name end
        token = page.nextPageToken
      until not token
      assert.truthy(table.concat(names, " "):find("models/gemini-2.5-flash ", 1, true))
      assert.equal(#get(em, "/v1beta/models").json.models, #names)
      assert.equal("models/gemini-3.5-flash", get(em, M).json.name)
      assert.equal(400, get(em, "/v1beta/models?pageToken=nonsense").status)
    end)
  end)

  describe("streaming", function()
    local body = { contents = { { parts = { { text = "[long 5]" } } } } }

    it("sends events with deltas, running totals and one finish reason", function()
      local answer = post(em, M .. ":streamGenerateContent?alt=sse", body)
      assert.equal("text/event-stream", answer.headers["content-type"])
      local list = events_of(answer.body)
      assert.equal(6, #list)
      local before = 0
      for i, event in ipairs(list) do
        assert.is_true(event.usageMetadata.candidatesTokenCount >= before)
        before = event.usageMetadata.candidatesTokenCount
        assert.equal(i == 6 and "STOP" or nil, event.candidates[1].finishReason)
        assert.equal(list[1].responseId, event.responseId)
      end
      assert.same({ text = "", thoughtSignature = list[6].candidates[1].content.parts[1].thoughtSignature },
        list[6].candidates[1].content.parts[1])
    end)

    it("sends an array without alt=sse", function()
      local answer = post(em, M .. ":streamGenerateContent", body)
      assert.equal("application/json; charset=UTF-8", answer.headers["content-type"])
      assert.equal(6, #answer.json)
      assert.truthy(answer.body:find("}\r\n,\r\n{", 1, true))
    end)

    it("sends each event before it makes the next", function()
      em:gate({ hold = true })
      local connection = dial(em)
      local text = cjson.encode(body)
      send_head(connection, em, "POST", M .. ":streamGenerateContent?alt=sse", KEY, #text)
      connection:write(text)
      assert.equal(200, read_head(connection).status)
      for i = 1, 6 do
        wait_for(function() return em:gate().waiting == 1 end, "the gate")
        assert.equal(i - 1, em:requests()[1].events)
        assert.equal(0, connection:pending())
        em:gate({ release = 1 })
        local chunk = read_chunk(connection)
        assert.equal(1, #events_of(chunk))
      end
      local _, why = read_chunk(connection)
      assert.equal("end", why)
      connection:close()
    end)

    it("lets a held stream go when its client goes", function()
      em:gate({ hold = true })
      local connection = dial(em)
      local text = cjson.encode(body)
      send_head(connection, em, "POST", M .. ":streamGenerateContent?alt=sse", KEY, #text)
      connection:write(text)
      assert.equal(200, read_head(connection).status)
      connection:close()
      assert.equal("client gone", em:requests(1)[1].outcome)
      assert.equal(0, em:gate().waiting)
    end)

    it("lets it go, too, when its client has not read what came", function()
      em:gate({ hold = true })
      local connection = dial(em)
      local text = cjson.encode(body)
      connection:setmode("b", "bf")
      send_head(connection, em, "POST", M .. ":streamGenerateContent?alt=sse", KEY, #text)
      connection:write(text)
      connection:flush()
      wait_for(function() return em:gate().waiting == 1 end, "the gate")
      connection:close()
      assert.equal("client gone", em:requests(1)[1].outcome)
      assert.equal(0, em:gate().waiting)
    end)
  end)

  describe("refusing", function()
    local function message(answer, status)
      assert.equal(status or 400, answer.status, answer.body)
      assert.equal(answer.status, answer.json.error.code)
      return answer.json.error.message
    end

    it("no key and a bad key", function()
      local none = get(em, "/v1beta/models", {})
      assert.matches("unregistered callers", message(none, 403))
      assert.equal("PERMISSION_DENIED", none.json.error.status)
      local bad = get(em, "/v1beta/models", { ["x-goog-api-key"] = "bad-key" })
      assert.matches("API key not valid", message(bad))
      assert.equal("API_KEY_INVALID", bad.json.error.details[1].reason)
      assert.equal(200, get(em, "/v1beta/models?key=good", {}).status)
    end)

    it("models that are not there, or no more", function()
      assert.matches("^models/nope is not found for API version v1, ",
        message(post(em, "/v1/models/nope:generateContent", {}), 404))
      local gone = post(em, "/v1beta/models/gemini-2.0-flash:generateContent", {})
      assert.matches("no longer available", message(gone, 404))
      assert.equal("NOT_FOUND", gone.json.error.status)
      assert.matches("is not supported for embedContent", message(post(em, M .. ":embedContent", {}), 404))
      assert.equal(404, get(em, "/v1beta/models/nope").status)
    end)

    it("fields it does not know, with where they stand", function()
      local contents = { { parts = { { text = "x", txt = "y" } } } }
      local answer = post(em, M .. ":generateContent", { contents = contents, generationConfig = { tmp = 1 }, zzz = 1 })
      assert.equal('Invalid JSON payload received. Unknown name "tmp" at \'generation_config\': Cannot find field.\n'
        .. 'Invalid JSON payload received. Unknown name "txt" at \'contents[0].parts[0]\': Cannot find field.\n'
        .. 'Invalid JSON payload received. Unknown name "zzz": Cannot find field.', message(answer))
      assert.equal(3, #answer.json.error.details[1].fieldViolations)
    end)

    it("but takes snake_case, nulls and a single item for a list", function()
      assert.equal(200, post(em, M .. ":generateContent", '{"contents":{"parts":{"text":"x"}},"tools":null,'
        .. '"system_instruction":{"parts":[{"text":"y"}]},"generation_config":{"max_output_tokens":9}}').status)
    end)

    it("wrong types", function()
      assert.equal("Invalid value at 'generation_config.temperature' (TYPE_FLOAT), \"hot\"",
        message(ask(em, "x", { temperature = "hot" })))
      assert.equal("Invalid value at 'generation_config.candidate_count' (TYPE_INT32), 1.5",
        message(ask(em, "x", { candidateCount = 1.5 })))
      assert.matches("^Invalid value at 'generation_config' %(type%.googleapis%.com/",
        message(ask(em, "x", "y")))
    end)

    it("contents that are empty, or parts that are", function()
      assert.equal("* GenerateContentRequest.contents: contents is not specified",
        message(post(em, M .. ":generateContent", {})))
      assert.equal("* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.",
        message(post(em, M .. ":generateContent", '{"contents":[{"role":"user","parts":[]}]}')))
      assert.matches("contents%[0%]%.parts%[1%]%.data: required oneof field",
        message(ask(em, { { text = "x" }, { thought = true } })))
      assert.matches("^Invalid value at 'contents%[0%]%.parts%[0%]' %(oneof%)",
        message(ask(em, { { text = "x", functionCall = { name = "f" } } })))
      assert.equal("Please use a valid role: user, model.", message(post(em, M .. ":generateContent",
        { contents = { { role = "system", parts = { { text = "x" } } } } })))
    end)

    it("types it cannot read", function()
      assert.equal("Unsupported MIME type: application/zip",
        message(ask(em, { { inlineData = { mimeType = "application/zip", data = "YQ==" } } })))
    end)

    it("what is not JSON", function()
      for _, text in ipairs({ "{", "nonsense", '"text"', '{"contents":[{"parts":[{"text":"' .. ("x"):rep(20000) }) do
        assert.matches("^Invalid JSON payload received%. ", message(post(em, M .. ":generateContent", text)))
      end
    end)

    it("requests that are too large, read to their end", function()
      em:set({ inline_limit = 30000 })
      local answer = ask(em, ("x"):rep(30000))
      em:set({ inline_limit = 100 * 1024 * 1024 })
      assert.equal(413, answer.status)
      assert.matches("^text/html", answer.headers["content-type"])
      assert.is_true(em:requests(1)[1].body_bytes > 30000)
    end)

    it("paths and methods that are not there", function()
      local answer = get(em, "/v1beta/nonsense")
      assert.equal(404, answer.status)
      assert.matches("^text/html", answer.headers["content-type"])
      assert.equal(404, post(em, "/v2/models/x:generateContent", {}).status)
      assert.equal(404, post(em, M .. ":nonsense", {}).status)
      answer = post(em, "/v1beta/models", {})
      assert.equal(405, answer.status)
      assert.equal("GET", answer.headers.allow)
      answer = request(em, "HEAD", "/v1beta/models")
      assert.equal(200, answer.status)
      assert.is_true(tonumber(answer.headers["content-length"]) > 100)
    end)

    it("without losing the connection", function()
      local connection = dial(em)
      for _, path in ipairs({ "/nonsense", M, M .. ":generateContent", "/v1beta/models/nope:generateContent" }) do
        send_head(connection, em, "POST", path, {}, 300000)
        connection:write(("x"):rep(300000))
        assert.is_true(read_answer(connection).status >= 400)
      end
      send_head(connection, em, "GET", M, KEY)
      assert.equal(200, read_answer(connection).status)
      connection:close()
      assert.equal(5, em:requests(5)[5].request_on_connection)
    end)

    it("more than the quota, until the minute is over", function()
      em:set({ quota = 2 })
      assert.equal(200, ask(em, "x", nil, "gemini-2.5-pro").status)
      assert.equal(200, ask(em, "x", nil, "gemini-2.5-pro").status)
      local answer = ask(em, "x", nil, "gemini-2.5-pro")
      em:advance(60)
      assert.equal(200, ask(em, "x", nil, "gemini-2.5-pro").status)
      em:set({ quota = 0 })
      assert.equal("RESOURCE_EXHAUSTED", answer.json.error.status)
      assert.matches("Please retry in [%d%.]+s%.$", message(answer, 429))
      local details = answer.json.error.details
      assert.matches("PerMinute", details[2].violations[1].quotaId)
      assert.matches("^[%d%.]+s$", details[3].retryDelay)
    end)
  end)

  describe("taking files", function()
    it("starts, takes all in one, and describes the file", function()
      local content = read_file(FIXTURES .. "slide.png")
      local start = start_upload(em, { ["X-Goog-Upload-Header-Content-Length"] = #content,
        ["X-Goog-Upload-Header-Content-Type"] = "image/png", ["X-Goog-Upload-File-Name"] = "slide.png" },
        { displayName = "Folie é", mimeType = "image/png", sizeBytes = tostring(#content) })
      assert.equal(200, start.status)
      assert.equal("", start.body)
      assert.equal("active", start.headers["x-goog-upload-status"])
      assert.equal("8388608", start.headers["x-goog-upload-chunk-granularity"])
      assert.truthy(start.headers["x-goog-upload-url"]:find(em.url .. "/upload/v1beta/files?upload_id=", 1, true))
      local final = command(em, session_path(start), "upload, finalize", 0, content)
      assert.equal("final", final.headers["x-goog-upload-status"])
      local file = final.json.file
      assert.matches("^files/" .. ("[a-z0-9]"):rep(12) .. "$", file.name)
      assert.equal("Folie é", file.displayName)
      assert.equal(tostring(#content), file.sizeBytes)
      assert.equal("ACTIVE", file.state)
      assert.equal("UPLOADED", file.source)
      assert.equal(bytes.sha256(content), unbase64(file.sha256Hash))
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d+Z$", file.expirationTime)
      assert.same(file, get(em, "/v1beta/" .. file.name).json) -- bare
      assert.truthy(text_of(ask(em, { { fileData = { fileUri = file.uri, mimeType = "image/png" } } }))
        :find("image/png from " .. file.name .. ", 640x360, 7,430 bytes", 1, true))
      assert.same({}, request(em, "DELETE", "/v1beta/" .. file.name).json)
      assert.equal(403, get(em, "/v1beta/" .. file.name).status)
    end)

    it("takes an empty file, and one without a type or length", function()
      local file = upload(em, "", "text/plain")
      assert.equal("0", file.sizeBytes)
      assert.equal(bytes.sha256(""), unbase64(file.sha256Hash))
      local start = start_upload(em, {}, nil)
      local content = read_file(FIXTURES .. "call.wav")
      assert.equal("audio/wav", command(em, session_path(start), "upload, finalize", 0, content).json.file.mimeType)
    end)

    it("takes chunks of its granularity only, but for the last", function()
      em:set({ granularity = 1000 })
      local content = bytes.counter(2500)
      local path = session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav" }))
      local refused = command(em, path, "upload", 0, content:sub(1, 1500))
      assert.equal(400, refused.status)
      assert.equal("The client sent 1500 bytes, which is not a multiple of the 1000 byte chunk granularity.",
        refused.body)
      local first = command(em, path, "upload", 0, content:sub(1, 2000))
      assert.equal("active", first.headers["x-goog-upload-status"])
      assert.equal("", first.body)
      local query = command(em, path, "query")
      assert.equal("2000", query.headers["x-goog-upload-size-received"])
      local final = command(em, path, "upload, finalize", 2000, content:sub(2001))
      em:set({ granularity = 8388608 })
      assert.equal(bytes.sha256(content), unbase64(final.json.file.sha256Hash))
      assert.equal("2500", final.json.file.sizeBytes)
    end)

    it("finalizes without bytes", function()
      em:set({ granularity = 1000 })
      local path = session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav" }))
      command(em, path, "upload", 0, bytes.counter(1000))
      em:set({ granularity = 8388608 })
      assert.equal("1000", command(em, path, "finalize").json.file.sizeBytes)
    end)

    --- Sends the bytes from one offset to another of a request that promises all, then hangs up.
    local function send_part(path, content, from, to)
      local count = #em:requests()
      local connection = dial(em)
      send_head(connection, em, "POST", path, { ["X-Goog-Upload-Command"] = "upload, finalize",
        ["X-Goog-Upload-Offset"] = from }, #content - from)
      connection:write(content:sub(from + 1, to))
      wait_for(function() return em:uploads()[#em:uploads()].received == to end, "the bytes")
      connection:close()
      return em:requests(count + 1)[count + 1]
    end

    local function new_session(content)
      return session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav",
        ["X-Goog-Upload-Header-Content-Length"] = content and #content }))
    end

    local function received(path)
      local query = command(em, path, "query")
      assert.equal("active", query.headers["x-goog-upload-status"])
      return tonumber(query.headers["x-goog-upload-size-received"])
    end

    it("keeps what came before the wire was cut, and goes on from there", function()
      local content = bytes.counter(3000000)
      local path = new_session(content)
      local offset = 0
      for _, cut in ipairs({ 1, 1000001, 2500000 }) do
        local entry = send_part(path, content, offset, cut)
        assert.equal("client gone", entry.outcome)
        assert.equal(cut - offset, entry.upload_bytes)
        offset = received(path)
        assert.equal(cut, offset)
      end
      local final = command(em, path, "upload, finalize", offset, content:sub(offset + 1))
      assert.equal(bytes.sha256(content), unbase64(final.json.file.sha256Hash))
    end)

    it("keeps multiples of what it was told to", function()
      em:set({ keep = 1000 })
      local content = bytes.counter(10000)
      local path = new_session(content)
      send_part(path, content, 0, 7999)
      assert.equal(7000, received(path))
      local final = command(em, path, "upload, finalize", 7000, content:sub(7001))
      em:set({ keep = 1 })
      assert.equal(bytes.sha256(content), unbase64(final.json.file.sha256Hash))
      assert.equal("10000", final.json.file.sizeBytes)
    end)

    it("refuses an offset that does not fit, and says what it has", function()
      local path = new_session()
      local refused = command(em, path, "upload, finalize", 5, "abc")
      assert.equal(400, refused.status)
      assert.equal("active", refused.headers["x-goog-upload-status"])
      assert.equal("0", refused.headers["x-goog-upload-size-received"])
      em:set({ granularity = 1 })
      command(em, path, "upload", 0, "abc")
      em:set({ granularity = 8388608 })
      assert.equal(400, command(em, path, "upload, finalize", 0, "abc").status)
      assert.equal(400, command(em, path, "upload, finalize", nil, "abc").status)
      assert.equal(200, command(em, path, "upload, finalize", 3, "def").status)
    end)

    it("answers queries after the end with the file, and refuses more", function()
      local path = new_session()
      local file = command(em, path, "upload, finalize", 0, "abc").json.file
      local query = command(em, path, "query")
      assert.equal("final", query.headers["x-goog-upload-status"])
      assert.equal(file.name, query.json.file.name)
      local refused = command(em, path, "upload, finalize", 0, "abc")
      assert.equal("Upload has already been terminated.", refused.body)
      assert.equal("final", refused.headers["x-goog-upload-status"])
    end)

    it("cancels", function()
      local path = new_session()
      assert.equal("cancelled", command(em, path, "cancel").headers["x-goog-upload-status"])
      assert.equal(410, command(em, path, "query").status)
      assert.equal(404, command(em, "/upload/v1beta/files?upload_id=none", "query").status)
      assert.equal(400, command(em, new_session(), "dance").status)
    end)

    it("says final and 400 for a type it cannot read, and for bytes that are missing", function()
      local path = session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "application/zip" }))
      local answer = command(em, path, "upload, finalize", 0, "PK")
      assert.equal(400, answer.status)
      assert.equal("final", answer.headers["x-goog-upload-status"])
      assert.equal("Unsupported MIME type: application/zip", answer.json.error.message)
      answer = command(em, new_session("abcdef"), "upload, finalize", 0, "abc")
      assert.equal("Upload has 3 bytes, but 6 were announced.", answer.json.error.message)
    end)

    it("has rules for names", function()
      for _, name in ipairs({ "Upper", "a_b", "-a", "a-", "files/" .. ("a"):rep(41), "ä" }) do
        assert.equal(400, start_upload(em, {}, { name = name }).status, name)
      end
      assert.equal("files/my-file-1", upload(em, "abc", "text/plain", { name = "my-file-1" }).name)
      local conflict = start_upload(em, {}, { name = "files/my-file-1" })
      assert.equal(409, conflict.status)
      assert.equal("ALREADY_EXISTS", conflict.json.error.status)
      request(em, "DELETE", "/v1beta/files/my-file-1")
      assert.equal(200, start_upload(em, {}, { name = "my-file-1" }).status)
    end)

    it("processes videos for a while", function()
      em:set({ processing = 100 })
      local file = upload(em, read_file(FIXTURES .. "demo.mp4"), "video/mp4")
      assert.equal("PROCESSING", file.state)
      local answer = ask(em, { { fileData = { fileUri = file.uri } } })
      assert.equal("FAILED_PRECONDITION", answer.json.error.status)
      assert.matches("is not in an ACTIVE state and usage is not allowed%.$", answer.json.error.message)
      em:advance(99)
      assert.equal("PROCESSING", get(em, "/v1beta/" .. file.name).json.state)
      em:advance(2)
      file = get(em, "/v1beta/" .. file.name).json
      assert.equal("ACTIVE", file.state)
      assert.equal("2s", file.videoMetadata.videoDuration)
      assert.matches("video/mp4 from files/%w+, 320x180, 2%.0 seconds, 18,940 bytes",
        text_of(ask(em, { { fileData = { fileUri = file.uri } } })))
    end)

    it("fails a video that is broken, or none", function()
      em:set({ processing = 0 })
      local broken = upload(em, read_file(FIXTURES .. "broken.mp4"), "video/mp4")
      assert.equal("FAILED", broken.state)
      assert.same({ code = 3, message = "Failed to process the video: the file ends within its 'mdat' box" },
        broken.error)
      local garbage = upload(em, bytes.counter(5000), "video/webm")
      assert.equal("FAILED", garbage.state)
      assert.equal(400, ask(em, { { fileData = { fileUri = garbage.uri } } }).status)
    end)

    it("changes files as the admin says", function()
      local name = upload(em, "abc", "text/plain").name
      assert.equal("FAILED", em:file(name, { state = "FAILED", reason = "Why not." }).state)
      assert.equal("Why not.", get(em, "/v1beta/" .. name).json.error.message)
      assert.equal("PROCESSING", em:file(name, { state = "PROCESSING" }).state)
      assert.equal("ACTIVE", em:file(name, { state = "ACTIVE" }).state)
      em:file(name, { expire = true })
      assert.equal(403, get(em, "/v1beta/" .. name).status)
    end)

    it("keeps files for 48 hours, and for their owner", function()
      local file = upload(em, "abc", "text/plain")
      local other = get(em, "/v1beta/" .. file.name, { ["x-goog-api-key"] = "another" })
      assert.equal(403, other.status)
      assert.equal("You do not have permission to access the File " .. file.name:sub(7) .. " or it may not exist.",
        other.json.error.message)
      em:advance(48 * 3600 - 5)
      assert.equal(200, get(em, "/v1beta/" .. file.name).status)
      em:advance(6)
      assert.equal(403, get(em, "/v1beta/" .. file.name).status)
      assert.equal(403, ask(em, { { fileData = { fileUri = file.uri } } }).status)
    end)

    it("lists its files, the newest first, page by page", function()
      local key = { ["x-goog-api-key"] = "a key with no other files" }
      assert.equal("{}", get(em, "/v1beta/files", key).body)
      local expected = {}
      for i = 1, 5 do
        local start = start_upload(em, with(key, { ["X-Goog-Upload-Header-Content-Type"] = "text/plain" }),
          { name = "listed-" .. i })
        command(em, session_path(start), "upload, finalize", 0, "abc")
        table.insert(expected, 1, "files/listed-" .. i)
      end
      local names, token, pages = {}, nil, 0
      repeat
        local page = get(em, "/v1beta/files?pageSize=2" .. (token and "&pageToken=" .. token or ""), key).json
        for _, file in ipairs(page.files) do names[#names + 1] = file.name end
        token, pages = page.nextPageToken, pages + 1
      until not token
      assert.equal(3, pages)
      assert.same(expected, names)
    end)

    it("gives generated files back, and no others", function()
      local made = em:admin("POST", "files", { data = bytes.base64(bytes.counter(300000)), mime_type = "video/mp4" })
      assert.equal("GENERATED", made.source)
      local answer = get(em, made.downloadUri:match("^https?://[^/]+(/.*)$"))
      assert.equal("video/mp4", answer.headers["content-type"])
      assert.equal(bytes.sha256(bytes.counter(300000)), bytes.sha256(answer.body))
      local path = made.downloadUri:match("^https?://[^/]+(/.*)$")
      answer = get(em, path, { range = "bytes=299990-", ["x-goog-api-key"] = "any" })
      assert.equal(206, answer.status)
      assert.equal("bytes 299990-299999/300000", answer.headers["content-range"])
      assert.equal(bytes.counter(300000):sub(-10), answer.body)
      assert.equal(416, get(em, path, { range = "bytes=300000-", ["x-goog-api-key"] = "any" }).status)
      local name = upload(em, "abc", "text/plain").name
      assert.equal(400, get(em, "/v1beta/" .. name .. ":download?alt=media").status)
    end)

    it("goes on after a restart with the same state", function()
      local state = directory .. "/state"
      local content = bytes.counter(100000)
      local first, main = emulator.start({ state = state }), em
      em = first
      local kept = upload(em, "abc", "text/plain", { name = "kept" })
      local path = new_session(content)
      send_part(path, content, 0, 60000)
      em:stop()
      em = emulator.start({ state = state })
      finally(function()
        em:stop()
        em = main
      end)
      local file = get(em, "/v1beta/files/kept").json
      assert.equal(kept.sha256Hash, file.sha256Hash)
      assert.equal(60000, received(path))
      local final = command(em, path, "upload, finalize", 60000, content:sub(60001))
      assert.equal(bytes.sha256(content), unbase64(final.json.file.sha256Hash))
    end)
  end)

  describe("going wrong on purpose", function()
    it("answers with a status, once, at the request that was meant", function()
      em:fault({ path = "gemini-3.5-flash:generateContent", nth = 2, status = 503 })
      assert.equal(200, ask(em, "x").status)
      assert.equal(200, get(em, M).status)
      local answer = ask(em, "x")
      assert.equal(503, answer.status)
      assert.equal("UNAVAILABLE", answer.json.error.status)
      assert.equal(200, ask(em, "x").status)
      assert.equal("fault: answer", em:requests(4)[3].outcome)
      assert.equal(1, em:admin("GET", "faults").faults[1].hits)
    end)

    it("answers with what it was given", function()
      em:fault({ method = "POST", times = 2, status = 429, headers = { ["Retry-After"] = "7" },
        body = { error = { code = 429, message = "slow", status = "X" } } })
      for _ = 1, 2 do
        local answer = ask(em, "x")
        assert.equal("7", answer.headers["retry-after"])
        assert.equal("slow", answer.json.error.message)
      end
      assert.equal(200, ask(em, "x").status)
      em:fault({ always = true, status = 200, body_base64 = bytes.base64("\31\139") })
      for _ = 1, 3 do assert.equal("\31\139", ask(em, "x").body) end
    end)

    it("knows quotas and delays", function()
      em:fault({ quota = "PerDay" })
      local answer = ask(em, "x")
      assert.equal(429, answer.status)
      assert.matches("PerDay", answer.json.error.details[2].violations[1].quotaId)
      assert.equal("23.472316927s", answer.json.error.details[3].retryDelay)
      em:fault({ status = 429, retry_delay = 1.5 })
      assert.equal("1.5s", ask(em, "x").json.error.details[1].retryDelay)
      em:fault({ status = 429, retry_delay = 1, details = { { reason = "R" } }, times = 2 })
      for _ = 1, 2 do
        local details = ask(em, "x").json.error.details
        assert.same({ "R", "1s" }, { details[1].reason, details[2].retryDelay })
        assert.equal(2, #details)
      end
    end)

    it("does the work first, when told to", function()
      em:fault({ path = "/upload/", command = "upload,finalize", when = "done", status = 500 })
      local path = session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "text/plain" }))
      assert.equal(500, command(em, path, "upload, finalize", 0, "abc").status)
      assert.equal("final", command(em, path, "query").headers["x-goog-upload-status"])
      em:fault({ path = "/upload/", command = "upload, finalize", status = 500 })
      path = session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "text/plain" }))
      assert.equal(500, command(em, path, "upload, finalize", 0, "abc").status)
      assert.equal("active", command(em, path, "query").headers["x-goog-upload-status"])
    end)

    it("answers before the body", function()
      em:fault({ when = "headers", status = 413, body = "too large" })
      local connection = dial(em)
      send_head(connection, em, "POST", M .. ":generateContent", KEY, 1000)
      local answer = read_answer(connection)
      connection:close()
      assert.equal(413, answer.status)
      assert.equal("close", answer.headers.connection)
      assert.equal(0, em:requests(1)[1].body_bytes)
    end)

    it("lets a client that is still sending see the early answer", function()
      em:fault({ when = "headers", status = 413, body = "too large" })
      assert.equal("too large", ask(em, ("x"):rep(5000000)).body)
    end)

    it("closes without an answer, before and after the work", function()
      for _, when in ipairs({ "headers", "body", "done" }) do
        em:fault({ action = "close", when = when })
        assert.is_true(ask(em, "x").cut)
      end
    end)

    it("closes in the middle of a body, of either side", function()
      em:fault({ action = "close", after_request = 50000, command = "upload, finalize" })
      local path = session_path(start_upload(em, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav" }))
      assert.is_true(command(em, path, "upload, finalize", 0, bytes.counter(100000)).cut)
      assert.equal("50000", command(em, path, "query").headers["x-goog-upload-size-received"])
      em:fault({ action = "reset", after_answer = 40 })
      local answer = ask(em, "x")
      assert.is_true(answer.cut)
      assert.equal(40, #answer.body)
    end)

    it("stalls, until its client has enough", function()
      em:fault({ action = "stall", after_answer = 10 })
      local connection = dial(em)
      local body = '{"contents":[{"parts":[{"text":"x"}]}]}'
      send_head(connection, em, "POST", M .. ":generateContent", KEY, #body)
      connection:write(body)
      assert.equal(200, read_head(connection).status)
      assert.equal('{"candidat', connection:read(10))
      assert.is_true(is_silent(connection))
      connection:close()
      assert.equal("fault: stall", em:requests(1)[1].outcome)
      em:fault({ action = "stall", seconds = 0.01 })
      assert.equal(200, ask(em, "x").status)
    end)

    it("drips", function()
      em:fault({ action = "drip", bytes = 100, pause = 0 })
      local answer = ask(em, "x")
      assert.equal(200, answer.status)
      assert.matches("^This is", text_of(answer))
    end)

    it("answers what is not HTTP, HTML, nothing", function()
      em:fault({ action = "not_http" })
      local answer = ask(em, "x")
      assert.is_true(answer.cut)
      assert.matches("not HTTP", answer.line)
      em:fault({ action = "html" })
      answer = ask(em, "x")
      assert.equal(200, answer.status)
      assert.matches("^<!DOCTYPE html>", answer.body)
      em:fault({ action = "empty" })
      answer = ask(em, "x")
      assert.equal(200, answer.status)
      assert.equal("", answer.body)
    end)

    local function stream(fault)
      em:fault(fault)
      return post(em, M .. ":streamGenerateContent?alt=sse", { contents = { { parts = { { text = "[long 5]" } } } } })
    end

    it("cuts streams, ends them early, and puts errors into them", function()
      local answer = stream({ action = "close", after_events = 2 })
      assert.is_true(answer.cut)
      assert.equal(2, #events_of(answer.body))
      answer = stream({ action = "no_finish", after_events = 3 })
      assert.is_false(answer.cut)
      assert.equal(3, #events_of(answer.body))
      answer = stream({ action = "no_finish" })
      assert.equal(6, #events_of(answer.body))
      assert.is_nil(answer.body:find("finishReason", 1, true))
      local list = events_of(stream({ action = "error_event", after_events = 1, status = 503 }).body)
      assert.equal(2, #list)
      assert.equal("UNAVAILABLE", list[2].error.status)
      answer = stream({ action = "error_event", after_events = 1, form = "pretty", message = "Over." })
      assert.matches('\r\n\r\n{\n  "error": {\n    "code": 503,\n    "message": "Over%.",', answer.body)
      answer = stream({ action = "error_event", form = "bare" })
      assert.matches('\r\n\r\n{"error":{.*}}\n$', answer.body)
      answer = stream({ action = "bad_event", after_events = 0 })
      assert.equal("data: {\"candidates\": [{\"content\": {\"parts\"\r\n\r\n", answer.body)
    end)

    it("blocks, and leaves answers empty", function()
      em:fault({ action = "blocked", reason = "SAFETY" })
      local answer = ask(em, "x").json
      assert.equal("SAFETY", answer.promptFeedback.blockReason)
      assert.is_nil(answer.candidates)
      em:fault({ action = "no_candidates" })
      answer = ask(em, "x").json
      assert.is_nil(answer.candidates)
      assert.is_nil(answer.promptFeedback)
      em:fault({ action = "no_content" })
      assert.same({ role = "model" }, ask(em, "x").json.candidates[1].content)
      em:fault({ action = "finish", reason = "RECITATION", message = "Too close." })
      local candidate = ask(em, "x").json.candidates[1]
      assert.equal("RECITATION", candidate.finishReason)
      assert.equal("Too close.", candidate.finishMessage)
      local list = events_of(stream({ action = "blocked" }).body)
      assert.equal(1, #list)
      assert.equal("PROHIBITED_CONTENT", list[1].promptFeedback.blockReason)
    end)

    it("refuses faults it does not know", function()
      for _, spec in ipairs({ { action = "dance" }, { stutus = 503 }, { status = "503" }, { when = "later" } }) do
        assert.has_error(function() em:fault(spec) end)
      end
    end)

    it("adds latency", function()
      em:set({ latency = 0.2 })
      local connection = dial(em)
      send_head(connection, em, "GET", M, KEY)
      assert.is_true(is_silent(connection))
      assert.equal(200, read_head(connection).status)
      connection:close()
      em:set({ latency = 0 })
    end)
  end)

  describe("keeping a record", function()
    it("of everything but secrets", function()
      local body = { contents = { { parts = { { text = "x" }, inline("slide.jpg", "image/jpeg") } } } }
      post(em, M .. ":generateContent?key=query-secret&a=b", body, { ["X-Goog-Api-Key"] = "header-secret",
        Authorization = "Bearer token-secret", ["X-Thing"] = "seen" })
      local path = session_path(start_upload(em, { ["X-Goog-Upload-File-Name"] = "b.txt" },
        { mimeType = "text/plain" }))
      command(em, path, "upload, finalize", 0, "abc")
      local list = em:requests(3)
      local text = cjson.encode(list)
      assert.is_nil(text:find("secret", 1, true))
      assert.is_nil(text:find(path:match("upload_id=(%w+)"), 1, true))
      local first = list[1]
      assert.equal("POST", first.method)
      assert.equal(M .. ":generateContent", first.path)
      assert.equal("b", first.query.a)
      assert.equal("sha256:" .. bytes.sha256("header-secret"):sub(1, 12), first.headers["x-goog-api-key"])
      assert.equal("seen", first.headers["x-thing"])
      assert.equal("1.1", first.http_version)
      assert.is_false(first.tls)
      assert.equal(200, first.status)
      assert.equal("answered", first.outcome)
      assert.equal(#cjson.encode(body), first.body_bytes)
      assert.equal(first.content_length, first.body_bytes)
      assert.equal(2, #first.parts)
      assert.equal("text", first.parts[1].type)
      local image = first.parts[2]
      assert.equal("image/jpeg", image.mime_type)
      assert.equal(17894, image.bytes)
      assert.equal(640, image.width)
      assert.equal(bytes.sha256(read_file(FIXTURES .. "slide.jpg")), image.sha256)
      assert.matches("^%(%d+ characters%)$", first.body.contents[1].parts[2].inlineData.data)
      assert.equal("upload, finalize", list[3].upload_command)
      assert.equal(0, list[3].upload_offset)
      assert.equal(3, list[3].upload_bytes)
      assert.equal(list[2].upload, list[3].upload)
      em:clear()
      assert.equal(0, #em:requests())
    end)

    it("of long headers", function()
      get(em, M .. "?long=" .. ("x"):rep(20000), with(KEY, { ["X-Long"] = ("y"):rep(20000) }))
      local entry = em:requests(1)[1]
      assert.equal(200, entry.status)
      assert.equal(20000, #entry.query.long)
      assert.equal(20000, #entry.headers["x-long"])
    end)

    it("of connections", function()
      local connection = dial(em)
      for _ = 1, 2 do
        send_head(connection, em, "GET", M, KEY)
        read_answer(connection)
      end
      connection:close()
      get(em, M)
      local list = em:requests(3)
      assert.equal(list[1].connection, list[2].connection)
      assert.equal(2, list[2].request_on_connection)
      assert.not_equal(list[1].connection, list[3].connection)
    end)
  end)

  describe("over TLS and HTTP/2", function()
    local tls

    setup(function() tls = emulator.start({ tls = true, log = log .. "-tls" }) end)
    teardown(function()
      tls:stop()
      assert.equal("", read_file(log .. "-tls"))
    end)
    before_each(function() tls:clear() end)

    it("shows a certificate that its CA vouches for", function()
      assert.matches("^https://127%.0%.0%.1:", tls.url)
      assert.equal(200, get(tls, M).status)
      assert.is_true(tls:requests(1)[1].tls)
    end)

    local function h2(name, fn)
      it(name, function()
        if not has_curl then return pending("needs curl") end
        fn()
      end)
    end

    h2("speaks HTTP/2 to who wants it", function()
      local output = curl(tls, { "-w", " %{http_version}", "-H", "x-goog-api-key: k", tls.url .. M })
      assert.matches("^{.*} 2$", output)
      output = curl(tls, { "--http1.1", "-w", " %{http_version}", "-H", "x-goog-api-key: k", tls.url .. M })
      assert.matches("^{.*} 1%.1$", output)
      assert.equal("2", tls:requests(2)[1].http_version)
    end)

    h2("begins uploads over it, whatever its name and port", function()
      for length = 1, 60 do
        local output = curl(tls, { "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "-H", "Host: "
          .. ("h"):rep(length), "-H", "X-Goog-Upload-Protocol: resumable", "-H", "X-Goog-Upload-Command: start", "-H",
          "X-Goog-Upload-Header-Content-Length: 1", "-H", "x-goog-api-key: k", "-d", "{}",
          tls.url .. "/upload/v1beta/files" })
        assert.equal("200 2", output, "a host of " .. length .. " letters")
      end
    end)

    h2("takes large bodies over it", function()
      local path = directory .. "/large"
      local file = assert(io.open(path, "wb"))
      file:write(bytes.counter(20000000))
      file:close()
      local start = start_upload(tls, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav" })
      local output = curl(tls, { "-X", "POST", "-H", "X-Goog-Upload-Command: upload, finalize", "-H",
        "X-Goog-Upload-Offset: 0", "--data-binary", "@" .. path, start.headers["x-goog-upload-url"] })
      assert.equal(bytes.sha256(bytes.counter(20000000)), unbase64(cjson.decode(output).file.sha256Hash))
      assert.equal(20000000, tls:requests(2)[2].upload_bytes)
    end)

    h2("holds no upload in memory", function()
      local path = directory .. "/huge"
      os.execute("head -c 150000000 /dev/zero >" .. process.quote(path))
      finally(function() os.remove(path) end)
      for _, version in ipairs({ "--http1.1", "--http2" }) do
        local start = start_upload(tls, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav" })
        curl(tls, { version, "-X", "POST", "-H", "X-Goog-Upload-Command: upload, finalize", "-H",
          "X-Goog-Upload-Offset: 0", "-H", "Expect:", "-T", path, start.headers["x-goog-upload-url"] })
      end
      assert.equal(150000000, tls:requests(4)[4].upload_bytes)
      local status = io.open("/proc/" .. tls.pid .. "/status")
      if not status then return end -- not Linux
      local peak = status:read("*a"):match("VmHWM:%s+(%d+) kB")
      status:close()
      assert.is_true(tonumber(peak) < 60000, peak)
    end)

    h2("streams over it", function()
      local output = curl(tls, { "-H", "x-goog-api-key: k", "-d", '{"contents":[{"parts":[{"text":"[long 2000]"}]}]}',
        tls.url .. M .. ":streamGenerateContent?alt=sse" })
      assert.equal(2001, #events_of(output))
    end)

    h2("resets and closes", function()
      tls:fault({ action = "reset" })
      assert.matches("curl: %(92%)", curl(tls, { "-H", "x-goog-api-key: k", tls.url .. M }))
      tls:fault({ action = "close", after_answer = 100 })
      assert.matches("curl: %(%d+%)", curl(tls, { "-H", "x-goog-api-key: k", tls.url .. M }))
      assert.matches("^{", curl(tls, { "-H", "x-goog-api-key: k", tls.url .. M }))
    end)

    h2("keeps the bytes of an upload that was cut, and serves others meanwhile", function()
      local start = start_upload(tls, { ["X-Goog-Upload-Header-Content-Type"] = "audio/wav" })
      -- curl reads a pipe that stays open: the body does not end
      local pipe = io.popen("exec curl -sS --noproxy '*' -o " .. process.quote(directory .. "/ignored") .. " --cacert "
        .. process.quote(tls.ca_file) .. " -X POST -T - -H 'X-Goog-Upload-Command: upload, finalize' "
        .. "-H 'X-Goog-Upload-Offset: 0' -H 'Expect:' --max-time 1 "
        .. process.quote(start.headers["x-goog-upload-url"]) .. " 2>/dev/null", "w")
      pipe:write(bytes.counter(200000))
      pipe:flush()
      wait_for(function() return tls:uploads()[#tls:uploads()].received == 200000 end, "the bytes")
      assert.equal(200, get(tls, M).status)
      assert.equal("client gone", tls:requests(3)[2].outcome) -- when curl has had enough
      pipe:close()
      assert.equal("200000", command(tls, session_path(start), "query").headers["x-goog-upload-size-received"])
    end)
  end)

  it("wants nobody to believe an expired certificate", function()
    local expired = emulator.start({ tls = true, args = { "--cert-days", "-1" } })
    finally(function() expired:stop() end)
    assert.has_error(function() dial(expired) end)
  end)
end)
