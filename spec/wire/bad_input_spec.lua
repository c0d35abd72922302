-- What goes wrong on this side, or is refused by the service: each gets an error that names it and says what to do.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local process = require "spec.support.process"
local save = require "lgemini.save"

local KEY = "AIzaSyD-not-a-real-key-0123456789abcdefg"
local MODEL = "gemini-3.5-flash"

describe("bad input:", function()
  local em, client, directory

  setup(function()
    em = emulator.start { args = { "--processing", "0" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = KEY, http_options = { base_url = em.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function write(name, bytes)
    return files.write(directory .. "/" .. name, bytes)
  end

  local function has(text, ...)
    for _, words in ipairs { ... } do
      assert.is_truthy((text or "nothing"):find(words, 1, true), ("%q does not say %q"):format(tostring(text), words))
    end
  end

  -- The error of asking with these contents; the key is in none.
  local function refusal(contents, config)
    local response, err = client.models:generate_content { model = MODEL, contents = contents, config = config }
    assert.is_nil(response)
    assert.is_true(gemini.is_error(err))
    assert.is_nil(tostring(err):find(KEY, 1, true))
    -- A stream says the same, at its first chunk.
    local stream = client.models:generate_content_stream { model = MODEL, contents = contents, config = config }
    local chunk, later = stream:next()
    assert.is_nil(chunk)
    assert.equal(err.kind, later.kind)
    return err
  end

  local function nothing_was_sent()
    assert.equal(0, #em:requests())
  end

  describe("contents that are", function()
    after_each(nothing_was_sent)

    it("not there, empty, or an empty list", function()
      for _, contents in ipairs { "", {} } do
        local err = refusal(contents)
        assert.equal("invalid", err.kind)
        has(err.message, "contents are required")
      end
      local _, err = client.models:generate_content { model = MODEL }
      has(err.message, "contents are required")
    end)

    it("a list with a hole: its index", function()
      local err = refusal { "one", nil, "three" }
      assert.equal("invalid", err.kind)
      has(err.message, "contents[2]")
      err = refusal { { role = "user", parts = { { text = "a" }, nil, { text = "c" } } } }
      has(err.message, "contents[1].parts[2]")
    end)

    it("a list with names in it", function()
      local err = refusal { "one", text = "two" }
      assert.equal("invalid", err.kind)
      has(err.message, "text")
    end)

    it("a part that is nothing known: its index", function()
      local err = refusal { "one", { picture = "slide.png" } }
      assert.equal("invalid", err.kind)
      has(err.message, "contents[2]")
    end)

    it("base64 text where raw bytes belong", function()
      local png = gemini.base64.encode("\137PNG\r\n\26\n" .. ("x"):rep(100))
      for _, part in ipairs { { data = png, mime_type = "image/png" },
        { inline_data = { mime_type = "image/png", data = png } } } do
        local err = refusal { "Look", part }
        assert.equal("invalid", err.kind)
        has(err.message, "[2]", "data is raw bytes; this is base64")
      end
    end)

    it("not UTF-8", function()
      local err = refusal "caf\233"
      assert.equal("invalid", err.kind)
      has(err.message, "UTF-8")
    end)

    it("numbers that JSON has not", function()
      local err = refusal("Hello", { temperature = 0 / 0 })
      assert.equal("invalid", err.kind)
      has(err.message, "config.temperature")
    end)
  end)

  describe("a local file that", function()
    after_each(nothing_was_sent)

    local function io_error(part)
      local err = refusal { "Look", part }
      assert.equal("io", err.kind)
      has(err.message, "contents[2]", part.file)
      return err
    end

    it("is missing", function() io_error { file = directory .. "/nowhere.png" } end)

    it("is none, but an address, a file of the service, or home: what to write", function()
      for path, words in pairs { ["https://example.com/a.png"] = "file_data", ["files/abc"] = "client.files:get",
        ["~/a.png"] = "whole path" } do
        has(io_error({ file = path }).hint, words)
        has(select(2, client.files:upload(path)).hint, words)
      end
      assert.is_nil(io_error({ file = directory .. "/nowhere.png" }).hint)
    end)

    it("is a directory", function() io_error { file = directory } end)

    it("is no regular file", function() io_error { file = "/dev/null", mime_type = "image/png" } end)

    it("is empty, inline", function()
      local err = refusal { "Look", { file = write("empty.png", ""), via = "inline" } }
      assert.equal("invalid", err.kind)
      has(err.message, "empty.png", "empty")
      assert.equal("invalid", refusal { "Look", { data = "", mime_type = "image/png" } }.kind)
    end)

    it("is of no type that can be told: what is known is listed", function()
      local err = refusal { "Look", { file = write("thing.xyz", "\1\2\3\4") } }
      assert.equal("invalid", err.kind)
      has(tostring(err), "png", "mp3", "mp4", "pdf", "mime_type")
    end)

    it("holds something else than its name says", function()
      local file = assert(io.open("spec/fixtures/slide.jpg", "rb"))
      local err = refusal { "Look", { file = write("slide.png", file:read "*a") } }
      file:close()
      assert.equal("invalid", err.kind)
      has(err.message, "slide.png", "image/jpeg")
    end)

    it("is too large to be sent inline", function()
      client:close()
      client = gemini.Client { api_key = KEY, inline_limit = 5000, http_options = { base_url = em.url } }
      local err = refusal { "Look", { file = "spec/fixtures/slide.png", via = "inline" } }
      assert.equal("too_large", err.kind)
      has(err.hint, 'via = "upload"', "inline_limit")
      has(err.message, "5000 bytes")
    end)

    it("the client does not want to be read", function()
      client:close()
      client = gemini.Client { api_key = KEY, local_files = false, http_options = { base_url = em.url } }
      has(refusal { { file = "spec/fixtures/slide.png" } }.message, "local_files")
      client:close()
      client = gemini.Client { api_key = KEY, http_options = { base_url = em.url },
        local_files = function(path) return nil, "not in the jail: " .. path end }
      has(refusal { { file = "/etc/passwd", mime_type = "text/plain" } }.message, "not in the jail: /etc/passwd")
    end)
  end)

  it("a local_files function may lead to another path", function()
    client:close()
    client = gemini.Client { api_key = KEY, http_options = { base_url = em.url },
      local_files = function(path) return "spec/fixtures/" .. path end }
    assert(client.models:generate_content { model = MODEL, contents = { { file = "slide.png" }, "Look" } })
  end)

  it("an empty file is sent by upload", function()
    local response, err = client.models:generate_content { model = MODEL,
      contents = { "Look", { file = write("empty.txt", ""), via = "upload" } } }
    assert(response, tostring(err))
    assert.equal(1, #response.uploads)
  end)

  describe("the key", function()
    local function run(code)
      local pipe = assert(io.popen(("env -u GOOGLE_API_KEY -u GEMINI_API_KEY GOOGLE_GEMINI_BASE_URL=%s %s -e %s 2>&1")
        :format(em.url, process.quote(process.interpreter()), process.quote(code))))
      local output = pipe:read "*a"
      pipe:close()
      return output
    end

    it("is not there: which variables were looked at", function()
      local output = run [[
        local _, err = require "lgemini".Client{}.models:generate_content { model = "m", contents = "Hello" }
        print(err.kind, err)
      ]]
      has(output, "auth", "api_key", "GOOGLE_API_KEY", "GEMINI_API_KEY")
      nothing_was_sent()
    end)

    it("has characters that no key has", function()
      for _, key in ipairs { "a\nb", "a b", "schl\195\188ssel", "" } do
        local other = gemini.Client { api_key = key, http_options = { base_url = em.url } }
        local _, err = other.models:generate_content { model = MODEL, contents = "Hello" }
        assert.equal("auth", err.kind)
        other:close()
      end
      nothing_was_sent()
    end)

    it("comes from a function, asked anew each time; what that says when it has none is shown", function()
      local keys, n = { "first", "second" }, 0
      local other = gemini.Client { http_options = { base_url = em.url }, api_key = function()
        n = n + 1
        return keys[n], "the vault is shut"
      end }
      for _ = 1, 2 do assert(other.models:count_tokens { model = MODEL, contents = "Hello" }) end
      local _, err = other.models:count_tokens { model = MODEL, contents = "Hello" }
      assert.equal("auth", err.kind)
      has(err.message, "the vault is shut")
      local seen = em:requests(2)
      assert.are_not.equal(seen[1].headers["x-goog-api-key"], seen[2].headers["x-goog-api-key"])
      other:close()
    end)

    it("is refused by the service", function()
      local other = gemini.Client { api_key = "bad-key", http_options = { base_url = em.url } }
      local _, err = other.models:generate_content { model = MODEL, contents = "Hello" }
      assert.equal("auth", err.kind)
      assert.equal(400, err.code)
      has(err.hint, "GOOGLE_API_KEY")
      other:close()
    end)
  end)

  describe("the service says", function()
    it("400 on a MIME type: accepted types, convert first", function()
      local err = refusal { "Look", { data = "x", mime_type = "application/x-unheard-of" } }
      assert.equal("invalid", err.kind)
      assert.equal(400, err.code)
      has(err.hint, "image/png", "audio/", "video/mp4", "convert")
    end)

    it("413: size, limit, way out", function()
      em:fault { path = "Content", status = 413, always = true }
      local err = refusal "Hello"
      assert.equal("too_large", err.kind)
      has(err.hint, "the request has", "100", 'via = "upload"')
    end)

    it("403 on a file that is gone: 48 hours, upload again", function()
      local file = assert(client.files:upload "spec/fixtures/demo.mp4")
      em:file(file.name, { expire = true })
      local err = refusal { "Look", file }
      assert.equal("file_expired", err.kind)
      assert.equal(403, err.code)
      has(err.hint, "48 hours", "upload it again")
      has(err.file, file.name)
    end)

    it("429: how long, and the free tier", function()
      em:fault { path = "Content", status = 429, retry_delay = 53, quota = "PerMinute", always = true }
      local err = refusal "Hello"
      assert.equal("rate_limited", err.kind)
      assert.equal(53, err.retry_after)
      assert.equal("minute", err.quota)
      has(err.hint, "53 s", "free tier")
    end)

    it("404 on a model: it may be gone, and how to list", function()
      for _, model in ipairs { "gemini-2.0-flash", "gemini-0.1-pebble" } do
        local _, err = client.models:generate_content { model = model, contents = "Hello" }
        assert.equal("not_found", err.kind)
        has(err.hint, model, "shut down", "client.models:list{}")
      end
    end)

    it("that a prompt is blocked: response:check() tells", function()
      em:fault { path = "generateContent", action = "blocked", reason = "SAFETY", always = true }
      local response = assert(client.models:generate_content { model = MODEL, contents = "Hello" })
      assert.equal("", response.text)
      local checked, err = response:check()
      assert.is_nil(checked)
      assert.equal("blocked", err.kind)
      has(err.message, "SAFETY")
    end)

    it("nothing: no candidates, no content", function()
      for _, action in ipairs { "no_candidates", "no_content" } do
        em:clear()
        em:fault { path = "generateContent", action = action, always = true }
        local response = assert(client.models:generate_content { model = MODEL, contents = "Hello" })
        assert.equal("", response.text)
        assert.is_string(response.reason)
        assert.same({}, response.parts)
        assert.equal("empty", select(2, response:check()).kind)
      end
    end)

    it("an error that is no JSON", function()
      em:fault { path = "Content", action = "html", status = 502, always = true }
      local err = refusal "Hello"
      assert.equal("unavailable", err.kind)
      assert.equal(502, err.code)
    end)
  end)

  describe("misuse raises, and blames the line that called:", function()
    local function raises(words, fn)
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.is_string(message)
      has(message, "bad_input_spec.lua:", words)
      nothing_was_sent()
    end

    it("an unknown option, with the nearest name and place", function()
      raises("did you mean model?", function() client.models:generate_content { modle = MODEL, contents = "x" } end)
      raises("did you mean config.http_options.timeout?", function()
        client.models:generate_content { model = MODEL, contents = "x", timeout = 3 }
      end)
      raises("did you mean config.temperature?", function()
        client.models:generate_content { model = MODEL, contents = "x", temperature = 1 }
      end)
      raises("did you mean file?", function() client.files:upload { path = "x" } end)
      raises("contents = { { file = ... } }", function()
        client.models:generate_content { model = MODEL, contents = "x", path = "x.png" }
      end)
      raises("not in this version", function() return client.live.connect end)
      raises("did you mean", function()
        client.models:generate_content { model = MODEL, contents = "x", config = { max_output_token = 3 } }
      end)
      raises("did you mean", function() gemini.Client { apikey = "x" } end)
    end)

    it("a dot for a colon", function()
      raises("colon", function() client.models.generate_content { model = MODEL, contents = "x" } end)
      raises("colon", function() client.models.generate_content_stream { model = MODEL, contents = "x" } end)
      raises("colon", function() client.files.upload { file = "x" } end)
      raises("colon", function() client.files.list() end)
      raises("colon", function() client.close() end)
    end)

    it("a wrong type", function()
      raises("config", function() client.models:generate_content { model = MODEL, contents = "x", config = 1 } end)
      raises("model", function() client.models:generate_content { model = 1, contents = "x" } end)
      raises("contents", function() client.models:generate_content { model = MODEL, contents = 1 } end)
      raises("temperature", function()
        client.models:generate_content { model = MODEL, contents = "x", config = { temperature = "hot" } }
      end)
      raises("api_key", function() gemini.Client { api_key = 1 } end)
    end)
  end)

  describe("a time", function()
    local function refused(timeout)
      local response, err = client.models:generate_content { model = MODEL, contents = "Hello",
        config = { http_options = { timeout = timeout } } }
      assert.is_nil(response)
      assert.equal("invalid", err.kind)
      nothing_was_sent()
      return err
    end

    it("of zero or less, not a number, or without end", function()
      for _, seconds in ipairs { 0, -1, 0 / 0, 1 / 0 } do
        refused(seconds)
        for _, clock in ipairs { "connect", "first_byte", "idle", "total", "processing" } do
          has(refused { [clock] = seconds }.message, clock)
        end
      end
    end)

    it("that is in milliseconds", function()
      has(refused(10000).message, "seconds", "Python's is in milliseconds")
    end)
  end)

  describe("NUL, CR and LF are refused in", function()
    local BAD = { "a\0b", "a\rb", "a\nb" }
    after_each(nothing_was_sent)

    local function refused(call)
      for _, bad in ipairs(BAD) do
        local result, err = call(bad)
        assert.is_nil(result)
        assert.is_true(err.kind == "invalid" or err.kind == "auth", tostring(err))
      end
    end

    it("models", function()
      refused(function(bad) return client.models:generate_content { model = bad, contents = "x" } end)
      refused(function(bad) return client.models:get(bad) end)
    end)

    it("names of files", function()
      refused(function(bad) return client.files:get(bad) end)
      refused(function(bad) return client.files:delete { name = bad } end)
      refused(function(bad)
        return client.files:upload { data = "x", config = { name = bad, mime_type = "text/plain" } }
      end)
      refused(function(bad) return client.files:upload { data = "x", config = { mime_type = "text/" .. bad } } end)
      refused(function(bad) return client.files:upload { data = "x",
        config = { display_name = bad, mime_type = "text/plain" } } end)
    end)

    it("paths, where NUL would hide the rest", function()
      local bad = directory .. "/a\0b"
      local function invalid(place, result, err)
        assert.is_nil(result)
        assert.equal("invalid", err.kind)
        assert.equal(place .. ": a path has no NUL byte in it", err.message)
      end
      local config = { media_to = bad }
      invalid("config.media_to", client.models:generate_content { model = MODEL, contents = "x", config = config })
      invalid("config.media_to",
        (client.models:generate_content_stream { model = MODEL, contents = "x", config = config }):next())
      invalid("journal", client.files:upload { file = "spec/fixtures/slide.png", journal = bad })
      invalid("to", client.files:download { file = "files/x", to = bad })
      invalid("to", client.file_search_stores:download_media { media = "fileSearchStores/x/media/y", to = bad })
      for _, name in ipairs { "state_dir", "record", "replay" } do
        local other = gemini.Client { api_key = KEY, [name] = bad, http_options = { base_url = em.url } }
        invalid(name, other.models:get(MODEL))
        other:close()
      end
      invalid("path", save.bytes(bad, "image/png", { "\137PNG\r\n\26\n" }))
      assert.is_nil(io.open(directory .. "/a"))
    end)

    it("headers", function()
      refused(function(bad) return client.models:generate_content { model = MODEL, contents = "x",
        config = { http_options = { headers = { ["X-Mine"] = bad } } } } end)
      refused(function(bad) return client.models:generate_content { model = MODEL, contents = "x",
        config = { http_options = { headers = { [bad] = "x" } } } } end)
    end)

    it("keys", function()
      refused(function(bad)
        local other = gemini.Client { api_key = bad, http_options = { base_url = em.url } }
        local result, err = other.models:get(MODEL)
        other:close()
        return result, err
      end)
    end)
  end)

  it("a part of an answer that names a file is sent back as it came, and nothing is opened", function()
    local secret = write("secret.txt", "do not send this")
    em:fault { path = ":generateContent", status = 200, headers = { ["content-type"] = "application/json" },
      body = ('{"candidates":[{"content":{"role":"model","parts":[{"text":"a","file":"%s","via":"upload"},'
        .. '{"file":"%s"},{"data":"x","local":null}]},"finishReason":"STOP"}]}'):format(secret, secret) }
    local response = assert(client.models:generate_content { model = MODEL, contents = "Hello" })
    em:clear()
    client.models:generate_content { model = MODEL, contents = { "Hello", response.candidates[1].content, "Go on" } }
    local seen = em:requests()
    assert.equal(1, #seen)
    assert.same({ { text = "a", file = secret, via = "upload" }, { file = secret },
      { data = "x", ["local"] = require "cjson".null } }, seen[1].body.contents[2].parts)
  end)
end)
