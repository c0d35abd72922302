-- Files at the service: where bytes may come from, what is sent, and what becomes of it.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local process = require "spec.support.process"

local DEMO = "spec/fixtures/demo.mp4"
local GRANULARITY = 262144

local read_file = files.read

describe("an upload", function()
  local em, client, directory

  setup(function()
    em = emulator.start { args = { "--processing", "0.2", "--granularity", tostring(GRANULARITY) } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function write(name, bytes)
    return files.write(directory .. "/" .. name, bytes)
  end

  -- The commands that were sent, with offset and bytes that came.
  local function commands()
    local found = {}
    for _, entry in ipairs(em:requests_to "/upload/") do
      local command = entry.headers["x-goog-upload-command"]
      local offset = entry.headers["x-goog-upload-offset"]
      found[#found + 1] = offset and ("%s @%s +%d"):format(command, offset, entry.body_bytes) or command
    end
    return found
  end

  -- Uploads, asks about it, and gives the hash and length that the service saw.
  local function hash_of(file)
    assert(client.models:generate_content { model = "gemini-3.5-flash", contents = { "Look", file } })
    local asked = em:requests_to ":generateContent"
    return asked[#asked].parts[2].sha256, asked[#asked].parts[2].bytes
  end

  local function sha256(path)
    local pipe = assert(io.popen("sha256sum <" .. process.quote(path)))
    local hash = pipe:read "*a":match "^%x+"
    pipe:close()
    return hash
  end

  it("returns when the file is ACTIVE, and its URI serves many questions", function()
    local file = assert(client.files:upload(DEMO))
    assert.equal("ACTIVE", file.state)
    assert.equal("video/mp4", file.mime_type)
    assert.equal(#read_file(DEMO), file.size_bytes)
    assert.equal(sha256(DEMO), (hash_of(file)))
    assert.equal(sha256(DEMO), (hash_of(file)))
    assert.equal(1, #em:uploads())
  end)

  it("sends its bytes once, in one request that says where they begin", function()
    assert(client.files:upload { file = DEMO })
    assert.same({ "start", "upload, finalize @0 +" .. #read_file(DEMO) }, commands())
  end)

  describe("takes", function()
    local bytes, path

    setup(function()
      bytes = ("0123456789abcdef"):rep(40000) .. "end"
      path = write("forty.txt", bytes)
    end)

    local function check(file, err)
      assert(file, tostring(err))
      local hash, length = hash_of(file)
      assert.equal(#bytes, length)
      assert.equal(sha256(path), hash)
    end

    it("an open file, whatever its position, and leaves it open", function()
      local handle = assert(io.open(path, "rb"))
      handle:read(100)
      check(client.files:upload { file = handle, config = { mime_type = "text/plain" } })
      assert.equal(100, handle:seek())
      handle:close()
    end)

    it("bytes", function()
      check(client.files:upload { data = bytes, config = { mime_type = "text/plain" } })
    end)

    it("a reader with a size", function()
      local asked = 0
      check(client.files:upload {
        read = function(offset, n)
          assert.equal(asked, offset)
          local piece = bytes:sub(offset + 1, offset + math.min(n, 100000))
          asked = asked + #piece
          return piece
        end,
        size = #bytes,
        config = { mime_type = "text/plain" },
      })
      assert.same({ "start", "upload, finalize @0 +" .. #bytes }, commands())
    end)

    it("a reader without a size, in chunks of the server's granularity", function()
      local reached, size_told
      check(client.files:upload {
        on_progress = function(sent, size) reached, size_told = sent, size end,
        read = function(offset, n) return bytes:sub(offset + 1, offset + math.min(n, 70001)) end,
        chunk_size = GRANULARITY,
        config = { mime_type = "text/plain" },
      })
      assert.same({ "start", "upload @0 +262144", "upload @262144 +262144",
        "upload, finalize @524288 +" .. #bytes - 524288 }, commands())
      assert.equal(#bytes, reached)
      assert.is_nil(size_told)
    end)

    it("a reader without a size that ends with a chunk", function()
      local whole = ("x"):rep(2 * GRANULARITY)
      local file = assert(client.files:upload {
        read = function(offset, n) return whole:sub(offset + 1, offset + n) end,
        chunk_size = GRANULARITY,
        config = { mime_type = "text/plain" },
      })
      assert.equal(#whole, file.size_bytes)
      assert.same({ "start", "upload @0 +262144", "upload @262144 +262144", "upload, finalize @524288 +0" }, commands())
    end)

    it("a chunk size, rounded to the server's granularity", function()
      check(client.files:upload { file = path, chunk_size = GRANULARITY + 1000 })
      assert.same({ "start", "upload @0 +262144", "upload @262144 +262144",
        "upload, finalize @524288 +" .. #bytes - 524288 }, commands())
    end)

    it("an empty file", function()
      local file = assert(client.files:upload(write("empty.txt", "")))
      assert.equal(0, file.size_bytes or 0)
      assert.same({ "start", "upload, finalize @0 +0" }, commands())
    end)

    it("nothing else: a number, two sources, none, a closed handle, a size alone", function()
      assert.has_error(function() client.files:upload { file = 7 } end)
      for _, args in ipairs { { file = path, data = "x" }, {}, { size = 3 }, { data = "x", size = 1 } } do
        local _, err = client.files:upload(args)
        assert.equal("invalid", err.kind)
      end
      local handle = assert(io.open(path, "rb"))
      handle:close()
      local _, err = client.files:upload { file = handle }
      assert.equal("invalid", err.kind)
      assert.equal(0, #em:requests())
    end)
  end)

  describe("fails for a reader that", function()
    local function upload(read, size)
      local file, err = client.files:upload { read = read, size = size, config = { mime_type = "text/plain" } }
      assert.is_nil(file)
      return err
    end

    it("raises", function()
      local err = upload(function() error("the tape broke", 0) end, 10)
      assert.equal("io", err.kind)
      assert.is_truthy(err.message:find("the tape broke", 1, true))
    end)

    it("returns nil and why", function()
      assert.is_truthy(upload(function() return nil, "no more tape" end, 10).message:find("no more tape", 1, true))
    end)

    it("ends too early", function()
      local err = upload(function(offset) return offset == 0 and "12345" or "" end, 10)
      assert.equal("io", err.kind)
      assert.is_truthy(err.message:find("before its size", 1, true))
    end)

    it("brings more than was asked for, or no string", function()
      assert.equal("io", upload(function(_, n) return ("x"):rep(n + 1) end, 10).kind)
      assert.equal("io", upload(function() return 42 end, 10).kind)
    end)
  end)

  describe("names the file", function()
    it("as it is called here, percent-encoded in the header", function()
      assert(client.files:upload(write("grüße 日本.txt", "hello")))
      assert.equal("gr%C3%BC%C3%9Fe %E6%97%A5%E6%9C%AC.txt",
        em:requests_to "/upload/"[1].headers["x-goog-upload-file-name"])
    end)

    it("for people, in plain UTF-8", function()
      local file = assert(client.files:upload { file = DEMO, config = { display_name = "Grüße 日本" } })
      assert.equal("Grüße 日本", file.display_name)
    end)

    it("as the program wants, and once only", function()
      local file = assert(client.files:upload { data = "x", config = { name = "my-file", mime_type = "text/plain" } })
      assert.equal("files/my-file", file.name)
      local _, err = client.files:upload { data = "x", config = { name = "files/my-file", mime_type = "text/plain" } }
      assert.equal("conflict", err.kind)
    end)
  end)

  describe("tells its progress", function()
    local seen
    local function on_progress(sent, total) seen[#seen + 1] = { sent, total } end
    before_each(function() seen = {} end)

    it("never falling, and the whole once at the end", function()
      local size = 3000000
      assert(client.files:upload { data = ("x"):rep(size), on_progress = on_progress,
        config = { mime_type = "text/plain" } })
      local last = -1
      for _, report in ipairs(seen) do
        assert.is_true(report[1] > last)
        assert.equal(size, report[2])
        last = report[1]
      end
      assert.equal(size, last)
    end)

    it("of an empty file, too", function()
      assert(client.files:upload { data = "", on_progress = on_progress, config = { mime_type = "text/plain" } })
      assert.same({ { 0, 0 } }, seen)
    end)

    it("and ends when the function fails", function()
      local file, err = client.files:upload { file = DEMO, on_progress = function() error "enough" end }
      assert.is_nil(file)
      assert.equal("cancelled", err.kind)
      assert.is_truthy(err.message:find("enough", 1, true))
    end)
  end)

  describe("that breaks", function()
    local bytes = ("abcdefgh"):rep(250000)

    local function upload(args)
      args.data, args.config = bytes, { mime_type = "text/plain" }
      return client.files:upload(args)
    end

    it("goes on where the server is, and sends nothing that it has", function()
      em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 700000 }
      local reports = {}
      local file = assert(upload { on_progress = function(sent) reports[#reports + 1] = sent end })
      assert.equal(#bytes, file.size_bytes)
      local sent = commands()
      assert.equal(4, #sent)
      assert.equal("query", sent[3])
      local kept = tonumber(sent[4]:match "@(%d+)")
      assert.is_true(kept >= 700000 and kept < #bytes)
      assert.equal(("upload, finalize @%d +%d"):format(kept, #bytes - kept), sent[4])
      for i = 2, #reports do assert.is_true(reports[i] >= reports[i - 1]) end
      local _, length = hash_of(file)
      assert.equal(#bytes, length)
    end)

    it("is asked about, not sent again, when only the answer was lost", function()
      em:fault { path = "/upload/", command = "upload, finalize", action = "reset", when = "done" }
      local file = assert(upload {})
      assert.equal(#bytes, file.size_bytes)
      assert.same({ "start", "upload, finalize @0 +" .. #bytes, "query" }, commands())
    end)

    it("survives an answer of 503", function()
      em:fault { path = "/upload/", command = "upload, finalize", status = 503 }
      assert(upload {})
      local sent = commands()
      assert.equal("query", sent[3])
    end)

    it("gives up after its tries, and says how many", function()
      em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 1, always = true }
      em:fault { path = "/upload/", command = "query", status = 503, always = true }
      local file, err = upload {}
      assert.is_nil(file)
      assert.equal("unavailable", err.kind)
      assert.equal(4, err.attempts)
    end)

    it("is not tried again where the user wants no retries", function()
      em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 1 }
      local _, err = client.files:upload { data = bytes,
        config = { mime_type = "text/plain", http_options = { retry_options = false } } }
      assert.equal("network", err.kind)
      assert.equal(2, #commands())
    end)
  end)

  describe("and what it becomes:", function()
    it("wait = false returns at once, and files:wait waits", function()
      local file = assert(client.files:upload { file = DEMO, wait = false })
      assert.equal("PROCESSING", file.state)
      assert.equal("ACTIVE", assert(client.files:wait(file)).state)
      assert.equal("ACTIVE", assert(client.files:wait(file.name)).state)
      assert.equal("ACTIVE", assert(client.files:wait { name = file, timeout = 5 }).state)
    end)

    it("a request waits for a file that is PROCESSING", function()
      local file = assert(client.files:upload { file = DEMO, wait = false })
      assert(client.models:generate_content { model = "gemini-3.5-flash", contents = { "Look", file } })
    end)

    it("the clock for it is named", function()
      em:set { processing = 1000 }
      local file, err = client.files:upload { file = DEMO,
        config = { http_options = { timeout = { processing = 0.1 } } } }
      em:set { processing = 0.2 }
      assert.is_nil(file)
      assert.equal("timeout", err.kind)
      assert.equal("processing", err.clock)
      assert.equal("PROCESSING", err.file.state)
      assert.equal(("processing: %s was not ACTIVE after 0.1 s"):format(err.file.name), err.message)
      assert.is_truthy(err.hint:find("client.files:wait{ name = ... }", 1, true))
    end)

    it("FAILED is an error with the service's reason and a way out", function()
      local file, err = client.files:upload "spec/fixtures/broken.mp4"
      assert.is_nil(file)
      assert.equal("file_failed", err.kind)
      assert.equal("FAILED", err.file.state)
      assert.is_truthy(err.message:find("broken.mp4", 1, true))
      assert.is_truthy(err.message:find(err.file.error.message, 1, true))
      assert.is_truthy(err.hint:find("ffmpeg -i input.mp4 -c:v libx264 output.mp4", 1, true))
    end)

    it("it can be had, listed, and deleted", function()
      local file = assert(client.files:upload(DEMO))
      assert.equal(file.uri, assert(client.files:get(file.name)).uri)
      assert.equal(file.uri, assert(client.files:get { name = file }).uri)
      local found
      for each in client.files:list { config = { page_size = 1 } } do found = found or each.name == file.name end
      assert.is_true(found)
      assert.is_true(client.files:delete(file))
      local _, err = client.files:get(file)
      assert.equal("file_expired", err.kind)
      assert.is_truthy(err.hint:find("48 hours", 1, true))
    end)
  end)

  it("of several files in one request happens side by side, and the parts keep their order", function()
    local contents = { "Which is which?" }
    for i = 1, 6 do
      contents[#contents + 1] = { data = ("%d"):format(i):rep(1000 * i), mime_type = "text/plain", via = "upload" }
    end
    local reported = {}
    local response = assert(client.models:generate_content { model = "gemini-3.5-flash", contents = contents,
      on_progress = function(sent, total) reported[total] = sent end })
    assert.equal(6, #response.uploads)
    local asked = em:requests_to ":generateContent"
    assert.equal(1, #asked)
    local connections = {}
    for i = 1, 6 do
      assert.equal(1000 * i, asked[1].parts[i + 1].bytes)
      assert.equal(1000 * i, response.uploads[i].size_bytes)
      assert.equal(1000 * i, reported[1000 * i])
    end
    local several = 0
    for _, entry in ipairs(em:requests_to "/upload/") do
      if entry.upload_offset and not connections[entry.connection] then
        connections[entry.connection], several = true, several + 1
      end
    end
    assert.is_true(several > 1)
  end)
end)

describe("a download", function()
  local em, client, directory

  setup(function()
    em = emulator.start {}
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local text = ("what the service made\n"):rep(100000)

  -- The files whose names begin so.
  local function names_like(path)
    local pipe, list = assert(io.popen("ls -d " .. process.quote(path) .. "* 2>/dev/null")), {}
    for name in pipe:lines() do list[#list + 1] = name end
    pipe:close()
    return list
  end

  local function made()
    return em:admin("POST", "files", { text = text, key = "k", mime_type = "video/mp4" }).name
  end

  it("brings the bytes", function()
    assert.is_true(text == client.files:download(made()))
  end)

  it("takes a file object and its URI", function()
    local name = made()
    local file = assert(client.files:get(name))
    assert.is_true(text == client.files:download { file = file })
    assert.is_true(text == client.files:download { file = file.download_uri })
  end)

  it("goes into a file, which is there when it is whole", function()
    local path = directory .. "/made.mp4"
    assert.equal(path, client.files:download { file = made(), to = path })
    assert.is_true(text == read_file(path))
    assert.same({ path }, names_like(path))
  end)

  -- What the downloads asked for, and what came.
  local function ranges()
    local found = {}
    for i, request in ipairs(em:requests_to ":download") do found[i] = request.headers.range or "all" end
    return found
  end

  it("that breaks goes on where it broke, however often, as long as it gets further", function()
    em:fault { path = ":download", action = "reset", after_answer = 200000, always = true }
    local path, told = directory .. "/again.mp4", {}
    assert.equal(path, client.files:download { file = made(), to = path,
      on_progress = function(done, total) told[#told + 1] = { done, total } end })
    assert.is_true(text == read_file(path))
    local asked = ranges()
    assert.is_true(#asked > 5, #asked) -- more often than a call is tried
    assert.equal("all", asked[1])
    local last = 0
    for i = 2, #asked do
      local from = tonumber(asked[i]:match "^bytes=(%d+)%-$")
      assert.is_true(from > last, asked[i])
      last = from
    end
    assert.same({ #text, #text }, told[#told])
    for i = 2, #told do assert.is_true(told[i][1] > told[i - 1][1]) end
  end)

  it("into memory goes on, too", function()
    em:fault { path = ":download", action = "reset", after_answer = 500000, times = 2 }
    assert.is_true(text == client.files:download(made()))
    assert.equal(3, #ranges())
  end)

  it("that fails leaves no file", function()
    em:fault { path = ":download", action = "reset", after_answer = 500000, always = true }
    local path = directory .. "/never.mp4"
    local _, err = client.files:download { file = made(), to = path,
      config = { http_options = { retry_options = false } } }
    assert.equal("incomplete", err.kind)
    assert.is_nil(io.open(path))
    assert.same({}, names_like(path))
  end)

  it("that gets no further is given up", function()
    em:fault { path = ":download", action = "reset", after_answer = 500000 }
    em:fault { path = ":download", action = "close", always = true }
    local path = directory .. "/stuck.mp4"
    local _, err = client.files:download { file = made(), to = path }
    assert.is_truthy(err)
    assert.same({}, names_like(path))
  end)

  it("ends with an error of its on_progress", function()
    local path = directory .. "/told.mp4"
    local _, err = client.files:download { file = made(), to = path, on_progress = function() error "enough" end }
    assert.equal("cancelled", err.kind)
    assert.truthy(err.message:find("enough", 1, true))
    assert.same({}, names_like(path))
  end)

  it("of what was uploaded is refused by the service", function()
    local file = assert(client.files:upload { data = "x", config = { mime_type = "text/plain" } })
    local bytes, err = client.files:download(file)
    assert.is_nil(bytes)
    assert.is_truthy(err.code)
  end)

  it("to where nothing can be written says so", function()
    local _, err = client.files:download { file = made(), to = directory .. "/no/such/folder" }
    assert.equal("io", err.kind)
  end)
end)
