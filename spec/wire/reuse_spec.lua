-- The same content is not uploaded twice while it lives, and a file that is gone is uploaded again.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local http = require "lgemini.http"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local KEY = "AIzaSyD-not-a-real-key-0123456789abcdefg"
local MODEL = "gemini-3.5-flash"

describe("content that was uploaded", function()
  local em, client, directory, clients

  setup(function()
    em = emulator.start { args = { "--processing", "0" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)

  local function new_client(options)
    options = options or {}
    options.api_key = options.api_key or KEY
    options.http_options = { base_url = em.url, retry_options = { initial_delay = 0.01, max_delay = 0.01 } }
    local made = gemini.Client(options)
    clients[#clients + 1] = made
    return made
  end

  before_each(function()
    em:clear()
    clients = {}
    client = new_client()
  end)
  after_each(function()
    for _, each in ipairs(clients) do each:close() end
    client, clients = nil, nil
  end)

  local function write(name, bytes)
    return files.write(directory .. "/" .. name, bytes)
  end

  local output = process.output

  -- How many uploads were begun.
  local function begun()
    local n = 0
    for _, entry in ipairs(em:requests_to "/upload/") do
      if entry.headers["x-goog-upload-command"] == "start" then n = n + 1 end
    end
    return n
  end

  it("is the same file the next time", function()
    local path = write("a.txt", "content of its own")
    local first = assert(client.files:upload(path))
    local second = assert(client.files:upload(path))
    assert.equal(first.name, second.name)
    assert.is_false(first.transport.reused)
    assert.is_true(second.transport.reused)
    assert.equal(1, begun())
  end)

  it("is known by what it is, not by its name or time", function()
    local first = assert(client.files:upload(write("b.txt", "known by content")))
    local second = assert(client.files:upload(write("c.txt", "known by content")))
    local third = assert(client.files:upload { data = "known by content", config = { mime_type = "text/plain" } })
    assert.equal(first.name, second.name)
    assert.equal(first.name, third.name)
    assert.equal(1, begun())
  end)

  it("is uploaded once for one request that names it more than once", function()
    local path, bytes = write("twice.txt", "named twice: a"), "named twice: b"
    local function ask(reuse)
      return assert(client.models:generate_content { model = MODEL, reuse = reuse, contents = {
        { file = path, via = "upload" }, { data = bytes, mime_type = "text/plain", via = "upload" },
        { file = path, via = "upload" }, { file = write("same.txt", bytes), via = "upload" },
        { data = bytes, mime_type = "text/csv", via = "upload" } } })
    end
    local uploads = ask().uploads
    assert.equal(3, begun())
    assert.equal(5, #uploads)
    assert.equal(uploads[1].name, uploads[3].name)
    assert.equal(uploads[2].name, uploads[4].name)
    assert.are_not.equal(uploads[1].name, uploads[2].name)
    assert.are_not.equal(uploads[2].name, uploads[5].name)
    local parts = em:requests_to ":generateContent"[1].parts
    for i, file in ipairs(uploads) do assert.equal(file.name, parts[i].file) end
    em:clear()
    ask(false)
    assert.equal(5, begun())
  end)

  it("is uploaded when it differs, in however little", function()
    assert(client.files:upload(write("d.txt", "one letter: a")))
    assert(client.files:upload(write("d.txt", "one letter: b")))
    assert(client.files:upload { file = directory .. "/d.txt", config = { mime_type = "text/csv" } })
    assert(client.files:upload { file = directory .. "/d.txt", config = { name = "of-its-own" } })
    assert(client.files:upload { file = directory .. "/d.txt", reuse = false })
    assert.equal(5, begun())
  end)

  it("is uploaded for another key", function()
    local path = write("e.txt", "for two keys")
    assert(new_client { state_dir = directory }.files:upload(path))
    assert(new_client { state_dir = directory, api_key = "another" }.files:upload(path))
    assert.equal(2, begun())
    for _, entry in ipairs(em:requests()) do assert.are_not.equal("GET", entry.method) end
  end)

  it("is uploaded again when its file is gone", function()
    local path = write("f.txt", "soon gone")
    local first = assert(client.files:upload(path))
    em:file(first.name, { expire = true })
    local second = assert(client.files:upload(path))
    assert.are_not.equal(first.name, second.name)
    assert.equal(second.name, assert(client.files:upload(path)).name)
    assert.equal(2, begun())
  end)

  it("is not uploaded again when nobody can say whether its file is there", function()
    local path = write("asked.txt", "perhaps there")
    local first = assert(client.files:upload(path))
    em:fault { path = first.name, status = 503, always = true }
    local second, err = client.files:upload(path)
    assert.is_nil(second)
    assert.equal("unavailable", err.kind)
    em:clear()
    assert.equal(first.name, assert(client.files:upload(path)).name)
    assert.equal(0, begun())
  end)

  it("is looked for before it is hashed, and asked about once", function()
    local path = write("g.txt", "asked about once")
    assert(client.files:upload(path))
    em:clear()
    assert(client.files:upload(path))
    local seen = em:requests()
    assert.equal(1, #seen)
    assert.equal("GET", seen[1].method)
  end)

  describe("with a state_dir", function()
    it("is known to the next program", function()
      local path = write("h.txt", "for the next program")
      local first = assert(new_client { state_dir = directory }.files:upload(path))
      local second = assert(new_client { state_dir = directory }.files:upload(path))
      assert.equal(first.name, second.name)
      assert.equal(1, begun())
    end)

    it("leaves files that are their owner's alone and hold no key", function()
      assert(new_client { state_dir = directory }.files:upload(write("i.txt", "a secret to keep")))
      local path = directory .. "/uploads-16.json"
      assert.equal("600", output("stat -c %a " .. process.quote(path)):match "%d+")
      local file = assert(io.open(path))
      assert.is_nil(file:read "*a":find(KEY, 1, true))
      file:close()
    end)

    it("is uploaded where the index is broken, and the index is mended", function()
      local path = write("j.txt", "of a broken index!")
      for _, junk in ipairs { "", "{", '{"uploads":7}', '{"uploads":[1,{"sha256":2}]}', "\0\255" } do
        write("uploads-18.json", junk)
        assert(new_client { state_dir = directory }.files:upload { file = path, reuse = true })
      end
      local before = begun()
      assert(new_client { state_dir = directory }.files:upload(path))
      assert.equal(5, before)
      assert.equal(5, begun())
      local file = assert(io.open(directory .. "/uploads-18.json"))
      local index = file:read "*a"
      file:close()
      write("uploads-18.json", (index:gsub('"name":"[^"]+"', '"name":"files/.."')))
      assert(new_client { state_dir = directory }.files:upload(path))
      assert.equal(6, begun())
    end)

    it("is known where the folder was not there", function()
      local path, state = write("k.txt", "no folder"), directory .. "/new"
      local first = assert(new_client { state_dir = state }.files:upload(path))
      assert.equal(first.name, assert(new_client { state_dir = state }.files:upload(path)).name)
      process.remove_directory(state)
    end)

    it("is an error where there can be no folder", function()
      local path = write("l.txt", "no folder can be")
      for _, state in ipairs { directory .. "/no/where", path } do
        local file, err = new_client { state_dir = state }.files:upload(path)
        assert.is_nil(file)
        assert.equal("io", err.kind)
        assert.equal("state_dir: cannot make " .. state, err.message:match "^[^:]+: [^:]+")
      end
      assert.equal(0, begun())
    end)
  end)

  describe("and that the service has lost", function()
    local path

    -- The next question is answered as if the file that it names were gone.
    local function lose(name, method)
      em:fault { path = method, status = 403, body = { error = { code = 403, status = "PERMISSION_DENIED",
        message = ("You do not have permission to access the File %s or it may not exist."):format(
          name:gsub("^files/", "")) } } }
    end

    local function contents()
      return { "Look", { file = path, via = "upload" } }
    end

    before_each(function()
      path = write("lost.txt", "lost and found " .. tostring({}))
    end)

    -- Notes of each request whether it had to be done by an instant.
    local function timed(work)
      local send, seen = http.send, {}
      function http.send(call, request)
        local what = request.url:match "/upload/" or request.url:match ":%a+$" or "look"
        seen[#seen + 1] = (call.deadline and "timed " or "untimed ") .. what
        return send(call, request)
      end
      local ok, problem = pcall(work)
      http.send = send
      assert(ok, problem)
      return seen
    end

    it("is uploaded again without haste, as it was the first time", function()
      local first
      local once = { "untimed /upload/", "untimed /upload/", "timed :generateContent" }
      assert.same(once, timed(function()
        first = assert(client.models:generate_content { model = MODEL, contents = contents() }).uploads[1]
      end))
      lose(first.name, ":generateContent")
      assert.same({ "untimed look", "timed :generateContent", once[1], once[2], once[3] }, timed(function()
        assert(client.models:generate_content { model = MODEL, contents = contents() })
      end))
    end)

    it("is so by a chat, too, and as long as the program says where it says that", function()
      local chat = client.chats:create { model = MODEL }
      local sent = assert(chat:send_message { message = contents() })
      em:file(sent.uploads[1].name, { expire = true })
      assert.same({ "timed :generateContent", "untimed /upload/", "untimed /upload/", "timed :generateContent" },
        timed(function() assert(chat:send_message "And now?") end))
      local config = { http_options = { timeout = { total = 500 } } }
      for _, what in ipairs(timed(function()
        path = write("other.txt", "another one")
        assert(client.models:generate_content { model = MODEL, contents = contents(), config = config })
      end)) do assert.matches("^timed", what) end
    end)

    it("is uploaded again, and the question is asked once more", function()
      local first = assert(client.models:generate_content { model = MODEL, contents = contents() }).uploads[1]
      lose(first.name, ":generateContent")
      local response = assert(client.models:generate_content { model = MODEL, contents = contents() })
      assert.are_not.equal(first.name, response.uploads[1].name)
      assert.equal(2, begun())
      local asked = em:requests_to ":generateContent"
      assert.equal(3, #asked)
      assert.equal(response.uploads[1].name, asked[3].parts[2].file)
    end)

    it("is uploaded again for a stream, too", function()
      local first = assert(client.models:generate_content { model = MODEL, contents = contents() }).uploads[1]
      lose(first.name, ":streamGenerateContent")
      local stream = client.models:generate_content_stream { model = MODEL, contents = contents() }
      for _ in stream:each() do end -- luacheck: ignore 542
      assert.are_not.equal(first.name, stream.response.uploads[1].name)
    end)

    it("is uploaded again once for a stream, though the service loses it again", function()
      local server = scripted.start()
      local file = { name = "files/a", uri = server.url .. "/v1beta/files/a", mimeType = "text/plain",
        state = "ACTIVE" }
      local start = { status = 200, headers = { ["x-goog-upload-status"] = "active",
        ["x-goog-upload-url"] = server.url .. "/upload/v1beta/files?upload_id=u" } }
      local final = { status = 200, headers = { ["x-goog-upload-status"] = "final" },
        body = { json = { file = file } } }
      local lost = { status = 403, body = { json = { error = { code = 403, status = "PERMISSION_DENIED",
        message = "You do not have permission to access the File a or it may not exist." } } } }
      server:script { start, final, lost, start, final, lost, start, final, lost }
      local other = gemini.Client { api_key = KEY, http_options = { base_url = server.url } }
      clients[#clients + 1] = other
      local stream = other.models:generate_content_stream { model = MODEL, contents = contents() }
      local _, err = stream:next()
      assert.equal("file_expired", err.kind)
      assert.equal(6, #server:received())
      server:stop()
    end)

    it("is uploaded again once, not for ever", function()
      em:fault { path = ":generateContent", status = 403, always = true, body = { error = { code = 403,
        status = "PERMISSION_DENIED",
        message = "You do not have permission to access the File x or it may not exist." } } }
      local _, err = client.models:generate_content { model = MODEL, contents = contents() }
      assert.equal("file_expired", err.kind)
      assert.equal(1, #em:requests_to ":generateContent")
    end)
  end)
end)
