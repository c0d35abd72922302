-- The examples, run as a user runs them. What they sent is judged by the emulator's record: parts in order, and the
-- SHA-256 of what arrived against that of the file. #plain: programs of their own, which no sanitizer sees.
local bytes = require "spec.support.bytes"
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local process = require "spec.support.process"
local program = require "spec.support.program"

local FIXTURES = "spec/fixtures/"

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

local function names_in(folder)
  local list, pipe = {}, assert(io.popen("ls -p " .. folder .. " | grep -v /", "r"))
  for name in pipe:lines() do
    list[#list + 1] = folder .. "/" .. name
  end
  pipe:close()
  return list
end

-- Those that ask the service.
local function names_of_calls()
  local list = {}
  for _, path in ipairs(names_in "examples") do
    if path ~= "examples/estimate.lua" then list[#list + 1] = path end
  end
  return list
end

-- For what an example says when it fails: the assert of Lua 5.1 and 5.2 takes no error objects.
local jit = rawget(_G, "jit")
local it_fails = (_VERSION == "Lua 5.2" or _VERSION == "Lua 5.1" and not jit) and pending or it

describe("examples #plain", function()
  local em, running

  setup(function()
    em = emulator.start { args = { "--processing", "0" } }
  end)

  teardown(function()
    em:stop()
  end)

  after_each(function()
    em:clear()
    em:set { processing = 0 }
    if running then running:finish() end -- no gate and no state holds it any more
    running = nil
  end)

  local function options(...)
    return { arguments = { ... }, env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "examples-key" } }
  end

  local function start(name, ...)
    running = program.start("examples/" .. name .. ".lua", options(...))
    return running
  end

  -- What an example printed; it must have ended well.
  local function run(name, ...)
    local result = start(name, ...):finish()
    assert.equal("", result.code ~= 0 and result.err or "")
    assert.equal(0, result.code)
    return result.out, result.err
  end

  local function count(requests, field, value)
    local n = 0
    for _, request in ipairs(requests) do
      if request[field]:find(value, 1, true) then n = n + 1 end
    end
    return n
  end

  -- Each upload is a start and one request with the bytes.
  local function assert_uploads(n)
    local requests = em:requests_to "/upload/"
    local commands = {}
    for _, request in ipairs(requests) do
      local command = request.headers["x-goog-upload-command"]
      commands[command] = (commands[command] or 0) + 1
      assert.equal(200, request.status)
    end
    assert.same(n > 0 and { start = n, ["upload, finalize"] = n } or {}, commands)
  end

  -- The parts of a recorded request against { "text" | "inline" | "file", path, type }.
  local function assert_parts(expected, request)
    assert.equal(200, request.status)
    assert.equal(#expected, #request.parts)
    for i, part in ipairs(request.parts) do
      local kind, path, mime_type = expected[i][1], expected[i][2], expected[i][3]
      assert.equal(kind, part.type)
      if kind ~= "text" then
        local content = read_file(path)
        assert.equal(mime_type, part.mime_type)
        assert.equal(#content, part.bytes)
        assert.equal(bytes.sha256(content), part.sha256)
      end
    end
  end

  -- The only request with contents that was made.
  local function only_request(method)
    local requests = em:requests_to(":" .. (method or "generateContent"))
    assert.equal(1, #requests)
    return requests[1]
  end

  it("have at most 25 lines of at most 120 characters", function()
    local files = names_in "examples"
    assert.is_true(#files >= 7)
    for _, path in ipairs(files) do
      local lines = 0
      for line in io.lines(path) do
        lines = lines + 1
        assert.is_true(#line <= 120, path .. ": a line is too long")
      end
      assert.is_true(lines <= 25, path .. " has too many lines")
    end
  end)

  it_fails("say in words what went wrong", function()
    em:fault { path = ":", status = 400, message = "No such luck.", always = true }
    em:fault { path = "/upload/", status = 400, message = "No such luck.", always = true }
    for _, path in ipairs(names_of_calls()) do
      local result = program.run(path, options())
      assert.equal(1, result.code, path)
      -- One line, without a traceback (LuaJIT adds one): `program: kind: message`.
      local rest = jit and "stack traceback:" or "$"
      assert.matches("^[^\n]*: invalid: No such luck%.[^\n]*\n" .. rest, result.err, 1, false, path)
    end
  end)

  it("take the model from GEMINI_MODEL", function()
    for _, path in ipairs(names_of_calls()) do
      local given = options()
      given.env.GEMINI_MODEL = "gemini-2.5-pro"
      assert.equal(0, program.run(path, given).code, path)
    end
    local requests = em:requests_to "enerateContent"
    assert.is_true(#requests >= #names_of_calls())
    assert.equal(#requests, count(requests, "path", "/models/gemini-2.5-pro:"))
  end)

  describe("describe_image.lua", function()
    it("sends a slide of the checkout", function()
      local out = run "describe_image"
      local request = only_request()
      assert.equal("/v1beta/models/gemini-3.5-flash:generateContent", request.path)
      assert_parts({ { "text" }, { "inline", FIXTURES .. "slide.png", "image/png" } }, request)
      assert_uploads(0)
      assert.truthy(out:find(request.parts[2].sha256, 1, true))
    end)

    for extension, mime_type in pairs { jpg = "image/jpeg", webp = "image/webp", gif = "image/gif" } do
      it("sends a given " .. extension, function()
        run("describe_image", FIXTURES .. "slide." .. extension)
        assert_parts({ { "text" }, { "inline", FIXTURES .. "slide." .. extension, mime_type } }, only_request())
      end)
    end
  end)

  describe("transcribe.lua", function()
    for extension, mime_type in pairs {
      mp3 = "audio/mpeg", wav = "audio/wav", flac = "audio/flac", ogg = "audio/ogg", aac = "audio/aac",
      webm = "audio/webm",
    } do
      it("sends a given " .. extension .. " within the request", function()
        run("transcribe", FIXTURES .. "call." .. extension)
        assert_parts({ { "text" }, { "inline", FIXTURES .. "call." .. extension, mime_type } }, only_request())
        assert_uploads(0)
      end)
    end
  end)

  describe("ask_video.lua", function()
    it("uploads once and asks twice", function()
      local out = run "ask_video"
      assert_uploads(1)
      local requests = em:requests_to ":generateContent"
      assert.equal(2, #requests)
      local path = FIXTURES .. "demo.mp4"
      assert_parts({ { "file", path, "video/mp4" }, { "text" } }, requests[1])
      assert_parts({ { "file", path, "video/mp4" }, { "text" } }, requests[2])
      assert.equal(requests[1].parts[1].uri, requests[2].parts[1].uri)
      assert.matches("^files/%w+ is ACTIVE\n", out)
      local _, answers = out:gsub(requests[1].parts[1].sha256, "")
      assert.equal(2, answers)
    end)

    it("asks only when the video is ACTIVE", function()
      em:set { processing = 1e9 }
      start "ask_video"
      local requests = em:requests(3) -- the two of the upload, and a look at what became of it
      assert.matches("^/v1beta/files/%w+$", requests[3].path)
      assert.same({}, em:requests_to ":generateContent")
      em:file(requests[3].path:match "%w+$", { state = "ACTIVE" })
      local result = running:finish()
      assert.equal(0, result.code)
      assert.matches("^files/%w+ is ACTIVE\n", result.out)
      assert.equal(2, #em:requests_to ":generateContent")
    end)

    it_fails("says that a video is broken, and what helps", function()
      local result = start("ask_video", FIXTURES .. "broken.mp4"):finish()
      assert.equal(1, result.code)
      assert.matches("file_failed: .*ffmpeg %-i input%.mp4 %-c:v libx264 output%.mp4", result.err)
      assert.same({}, em:requests_to ":generateContent")
    end)
  end)

  local SLIDE, CALL, DEMO = FIXTURES .. "slide.png", FIXTURES .. "call.mp3", FIXTURES .. "demo.mp4"

  describe("main_job.lua", function()
    it("sends a slide, a recording and a video in one request", function()
      local out, err = run "main_job"
      local request = only_request "streamGenerateContent"
      assert_uploads(1)
      assert_parts({ { "text" }, { "inline", SLIDE, "image/png" }, { "inline", CALL, "audio/mpeg" },
        { "file", DEMO, "video/mp4" } }, request)
      for i = 2, 4 do
        assert.truthy(out:find(request.parts[i].sha256, 1, true))
      end
      assert.matches("\n%d+ tokens in all\n$", out)
      local size = #read_file(DEMO)
      assert.matches(("%s: %d of %d bytes sent\n$"):format(DEMO, size, size):gsub("[%.%-]", "%%%0"), err)
    end)
  end)

  describe("compare.lua", function()
    it("sends the same parts in both ways", function()
      local out = run "compare"
      local requests = em:requests_to ":generateContent"
      assert.equal(2, #requests)
      assert_parts({ { "text" }, { "inline", SLIDE, "image/png" }, { "inline", CALL, "audio/mpeg" },
        { "file", DEMO, "video/mp4" } }, requests[1])
      assert_parts({ { "text" }, { "file", SLIDE, "image/png" }, { "file", CALL, "audio/mpeg" },
        { "file", DEMO, "video/mp4" } }, requests[2])
      assert_uploads(3) -- the video is at the service already
      assert.truthy(out:find('via = "auto": 1 of 3 files were uploaded', 1, true))
      assert.truthy(out:find('via = "upload": 3 of 3 files were uploaded', 1, true))
    end)
  end)

  describe("stream.lua", function()
    -- A sentence, read byte by byte: what was sent is there, and nothing more is waited for.
    local function read_sentence()
      local sentence = {}
      repeat
        local byte = running:read(1)
        sentence[#sentence + 1] = byte
      until byte == nil or byte == "."
      return table.concat(sentence)
    end

    it("prints each piece before the next has been sent", function()
      local passed = em:gate { hold = true }.passed
      start("stream", "Tell a story in 5 sentences.")
      for i = 1, 5 do
        em:gate { release = 1 }
        local sentence = read_sentence()
        assert.matches(i == 1 and "^This is .* 5 sentences.*%.$" or ("^ Sentence %d of 5 .*%%.$"):format(i), sentence)
        assert.equal(passed + i, em:gate().passed) -- and the next is held
      end
      em:gate { open = true }
      local result = running:finish()
      assert.equal("\n", result.out)
      assert.equal(0, result.code)
      assert.equal(1, #em:requests_to ":streamGenerateContent")
    end)

    it_fails("ends with an error where the stream is cut", function()
      em:fault { path = ":streamGenerateContent", action = "no_finish" }
      local result = start("stream"):finish()
      assert.equal(1, result.code)
      assert.matches("40 sentences", result.out)
      assert.matches("incomplete: ", result.err)
    end)
  end)

  describe("verify.lua", function()
    local function answer(text)
      return { candidates = { { content = { role = "model", parts = { { text = text } } }, finishReason = "STOP" } } }
    end

    local function fail_with(fault)
      fault.path = ":generateContent"
      em:fault(fault)
      local result = start("verify"):finish()
      assert.equal(1, result.code)
      assert.is_nil(result.out:find("working", 1, true))
      return result.err
    end

    it("says that all is well", function()
      local out = run "verify"
      assert.matches("^Multimodal API working: This is the lgemini emulator.*%.%.%.\n$", out)
      local _, lines = out:gsub("\n", "")
      assert.equal(1, lines)
      assert_parts({ { "text" }, { "inline", SLIDE, "image/png" } }, only_request())
    end)

    it("shows no half character and no line end", function()
      em:fault { path = ":generateContent", status = 200, body = answer(("é\n"):rep(40)) }
      assert.equal("Multimodal API working: " .. ("é "):rep(20) .. "...\n", run "verify")
      em:fault { path = ":generateContent", status = 200, body = answer("a" .. ("é"):rep(40)) }
      assert.equal("Multimodal API working: a" .. ("é"):rep(29) .. "...\n", run "verify")
    end)

    it("fails where the answer is too short", function()
      assert.matches("too short: 0123456789\n", fail_with { status = 200, body = answer "0123456789" })
    end)

    it("takes eleven characters for an answer", function()
      em:fault { path = ":generateContent", status = 200, body = answer "0123456789a" }
      assert.equal("Multimodal API working: 0123456789a...\n", run "verify")
    end)

    it_fails("fails where the answer is empty, blocked or cut", function()
      assert.matches("empty: ", fail_with { action = "no_content" })
      assert.matches("blocked: ", fail_with { action = "blocked" })
      assert.matches("cut: ", fail_with { action = "finish", reason = "MAX_TOKENS" })
    end)

    it_fails("fails without a key", function()
      local result = program.run("examples/verify.lua", { env = { GOOGLE_GEMINI_BASE_URL = em.url } })
      assert.equal(1, result.code)
      assert.matches("auth: .*GEMINI_API_KEY", result.err)
    end)

    it_fails("fails where the file is missing", function()
      local result = start("verify", FIXTURES .. "nothing.png"):finish()
      assert.equal(1, result.code)
      assert.matches("io: .*nothing%.png", result.err)
      assert.same({}, em:requests_to ":")
    end)
  end)

  describe("estimate.lua", function()
    it("sends nothing and needs no key", function()
      local result = program.run("examples/estimate.lua", { env = { GOOGLE_GEMINI_BASE_URL = em.url } })
      assert.equal("", result.err)
      assert.equal("text\t12\nimage\t1120\naudio\t253\nvideo\t140\ndocument\t0\n1525 tokens, 1434 to 1634\n"
        .. "0.002288 dollars, before the answer\n", result.out)
      assert.same({}, em:requests())
    end)

    it("takes files, and the model from GEMINI_MODEL", function()
      local given = options(FIXTURES .. "paper.pdf", FIXTURES .. "slide.heic")
      given.env.GEMINI_MODEL = "gemini-3.9-other"
      local result = program.run("examples/estimate.lua", given)
      assert.equal("text\t12\nimage\t1120\naudio\t0\nvideo\t0\ndocument\t560\n1692 tokens, 1683 to 1728\n"
        .. "there is no price for gemini-3.9-other in the table of 2026-08-21\n", result.out)
    end)

    it_fails("fails where a file is not whole", function()
      local result = start("estimate", FIXTURES .. "broken.mp4"):finish()
      assert.equal(1, result.code)
      assert.matches("invalid: contents%[2%]: .*broken%.mp4 ends within its mdat box", result.err)
    end)
  end)

  describe("caption_folder.lua", function()
    local folder

    before_each(function()
      folder = process.temporary_directory()
      for i = 1, 40 do
        local extension = i % 4 == 0 and "txt" or i % 2 == 0 and "jpg" or "png"
        local file = assert(io.open(("%s/%d.%s"):format(folder, i, extension), "wb"))
        file:write(read_file(FIXTURES .. (i % 2 == 0 and "slide.jpg" or "slide.png")))
        file:close()
      end
    end)
    after_each(function() process.remove_directory(folder) end)

    it("captions each picture of a folder, once", function()
      local out, seen, count_of = run("caption_folder", folder, "1000000"), {}, 0
      for name in out:gmatch "/(%d+%.%a+)\t[^\n]+\n" do
        assert.is_nil(seen[name])
        seen[name], count_of = true, count_of + 1
      end
      assert.equal(30, count_of)
      assert.is_nil(seen["4.txt"])
      local requests = em:requests_to ":generateContent"
      assert.equal(30, #requests)
      for _, request in ipairs(requests) do
        local name = request.parts[2].mime_type == "image/png" and "slide.png" or "slide.jpg"
        assert_parts({ { "text" }, { "inline", FIXTURES .. name, request.parts[2].mime_type } }, request)
      end
    end)

    it_fails("ends with the first that fails", function()
      em:fault { path = ":generateContent", status = 400, message = "No such luck.", nth = 3 }
      local result = start("caption_folder", folder, "1000000"):finish()
      assert.equal(1, result.code)
      assert.matches("No such luck", result.err)
      assert.is_true(#em:requests_to ":generateContent" < 30)
    end)
  end)

  it("leave no key in the emulator's record", function()
    run "describe_image"
    assert.is_nil(cjson.encode(em:requests()):find("examples-key", 1, true))
  end)
end)
