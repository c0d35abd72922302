-- Uploads that survive: what was sent is what is there, and a program that was killed can be followed by another.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local json = require "dkjson"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local KEY = "AIzaSyD-not-a-real-key-0123456789abcdefg"

-- Uploads a file with a journal until somebody kills it.
local UPLOADER = [[
local url, path, journal = arg[1], arg[2], arg[3]
local client = require("lgemini").Client { api_key = "]] .. KEY .. [[", http_options = { base_url = url } }
print(client.files:upload { file = path, journal = journal, config = { mime_type = "application/pdf" } })
]]

describe("an upload", function()
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
    client = gemini.Client { api_key = KEY, http_options = { base_url = em.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function write(name, bytes)
    return files.write(directory .. "/" .. name, bytes)
  end

  local read = files.read

  local output = process.output

  it("is compared with what the service has, and says so", function()
    local file = assert(client.files:upload "spec/fixtures/demo.mp4")
    assert.is_true(file.transport.verified)
    assert.equal(1, file.transport.attempts)
    file = assert(client.files:upload { file = "spec/fixtures/demo.mp4", verify = false, reuse = false })
    assert.is_false(file.transport.verified)
  end)

  it("is compared whole after it broke and went on", function()
    em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 700000 }
    local file = assert(client.files:upload { data = ("0123456789abcdef"):rep(100000),
      config = { mime_type = "text/plain" } })
    assert.is_true(file.transport.verified)
  end)

  describe("that another program began", function()
    local bytes = ("The quick brown fox. "):rep(200000)
    local path, journal

    -- Begins an upload in a program of its own, and kills that when the server has some of it.
    local function interrupt()
      path = write("film.pdf", bytes)
      journal = directory .. "/film.journal"
      local program = write("uploader.lua", UPLOADER)
      em:fault { path = "/upload/", command = "upload, finalize", action = "stall", after_request = 1000000 }
      local command = ("%s %s %s %s %s >/dev/null 2>&1 & echo $!"):format(process.quote(process.interpreter()),
        process.quote(program), em.url, process.quote(path), process.quote(journal))
      local before = #em:uploads()
      local pid = output(command):match "%d+"
      local session
      for _ = 1, 1000 do
        session = em:uploads()[before + 1]
        if session and session.received >= 1000000 then break end
        os.execute "sleep 0.01" -- nothing tells when the emulator has it; the loop ends by the condition
      end
      os.execute("kill -9 " .. pid)
      assert.is_true(session.received >= 1000000)
      em:clear()
    end

    local function commands()
      local found = {}
      for _, entry in ipairs(em:requests_to "/upload/") do
        found[#found + 1] = entry.headers["x-goog-upload-command"]
      end
      return found
    end

    it("and was killed goes on where the server is", function()
      interrupt()
      local file = assert(client.files:resume(journal))
      assert.equal(#bytes, file.size_bytes)
      assert.is_true(file.transport.verified)
      local sent = em:requests_to "/upload/"
      assert.same({ "query", "upload, finalize" }, commands())
      assert.is_true(tonumber(sent[2].headers["x-goog-upload-offset"]) >= 1000000)
      assert.equal(#bytes - tonumber(sent[2].headers["x-goog-upload-offset"]), sent[2].body_bytes)
      assert.is_nil(io.open(journal))
    end)

    it("leaves a journal that is its owner's alone and holds no key", function()
      interrupt()
      assert.equal("600", output("stat -c %a " .. process.quote(journal)):match "%d+")
      local text = read(journal)
      assert.is_table(json.decode(text))
      assert.is_nil(text:find(KEY, 1, true))
      os.remove(journal)
    end)

    it("is refused when the file has changed", function()
      interrupt()
      write("film.pdf", bytes:reverse())
      local file, err = client.files:resume(journal)
      assert.is_nil(file)
      assert.equal("integrity", err.kind)
      assert.is_truthy(err.message:find("film.pdf", 1, true))
      assert.same({}, commands())
      os.remove(journal)
    end)

    it("is refused when only its beginning has changed, and its time was set back", function()
      interrupt()
      local stamp = write("stamp", "")
      os.execute(("touch -r %s %s"):format(process.quote(path), process.quote(stamp)))
      local record = json.decode(read(journal))
      record.hashed, record.sha256 = "1000", ("0"):rep(64)
      write("film.journal", json.encode(record))
      os.execute(("touch -r %s %s"):format(process.quote(stamp), process.quote(path)))
      local _, err = client.files:resume(journal)
      assert.equal("integrity", err.kind)
      assert.is_truthy(err.message:find("has changed", 1, true))
      os.remove(journal)
    end)

    it("is refused for another key", function()
      interrupt()
      local other = gemini.Client { api_key = "another", http_options = { base_url = em.url } }
      local _, err = other.files:resume(journal)
      other:close()
      assert.equal("integrity", err.kind)
      assert.is_nil(err.message:find("another\"", 1, true))
      assert.same({}, commands())
      os.remove(journal)
    end)
  end)

  describe("with a state_dir", function()
    local bytes = ("A film that nobody has seen. "):rep(100000)
    local keeper, state

    before_each(function()
      state = directory .. "/state"
      os.execute("mkdir -p " .. process.quote(state))
      keeper = gemini.Client { api_key = KEY, state_dir = state, http_options = { base_url = em.url,
        retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
    end)
    after_each(function()
      keeper:close()
      keeper = nil
      process.remove_directory(state)
    end)

    local function kept()
      local names = {}
      for name in output("ls -A " .. process.quote(state)):gmatch "[^\n]+" do
        if name:find "^resume%-" then names[#names + 1] = name end
      end
      return names
    end

    -- An upload that a program of its own began, and that was killed when the server had some of it.
    local function interrupt(path, where)
      local program = write("keeper.lua", [[
        local client = require("lgemini").Client { api_key = "]] .. KEY .. [[", state_dir = arg[2],
          http_options = { base_url = arg[1] } }
        client.files:upload { file = arg[3], config = { mime_type = "application/pdf" } }
      ]])
      em:fault { path = "/upload/", command = "upload, finalize", action = "stall", after_request = 1000000 }
      local before = #em:uploads()
      local pid = output(("%s %s %s %s %s >/dev/null 2>&1 & echo $!"):format(process.quote(process.interpreter()),
        process.quote(program), em.url, process.quote(where or state), process.quote(path))):match "%d+"
      local session
      for _ = 1, 1000 do
        session = em:uploads()[before + 1]
        if session and session.received >= 1000000 then break end
        os.execute "sleep 0.01" -- nothing tells when the emulator has it; the loop ends by the condition
      end
      os.execute("kill -9 " .. pid)
      assert.is_true(session.received >= 1000000)
      em:clear()
    end

    it("is gone on with by the name of its file, and known afterwards", function()
      local path = write("own.pdf", bytes)
      interrupt(path)
      assert.equal(1, #kept())
      local journal = state .. "/" .. kept()[1]
      assert.equal("600", output("stat -c %a " .. process.quote(journal)):match "%d+")
      assert.is_nil(read(journal):find(KEY, 1, true))
      local file = assert(keeper.files:resume(path))
      assert.equal(#bytes, file.size_bytes)
      assert.is_true(file.transport.verified)
      local sent = em:requests_to "/upload/"
      assert.equal(2, #sent)
      assert.is_true(tonumber(sent[2].headers["x-goog-upload-offset"]) >= 1000000)
      assert.same({}, kept())
      local again = assert(keeper.files:upload { file = path, config = { mime_type = "application/pdf" } })
      assert.equal(file.name, again.name)
      assert.equal(2, #em:requests_to "/upload/")
    end)

    it("is refused when its file has changed", function()
      local path = write("edited.pdf", bytes)
      interrupt(path)
      local file = assert(io.open(path, "r+b"))
      file:write "Another film"
      file:close()
      os.execute("touch -d '2001-01-01' " .. process.quote(path))
      local _, err = keeper.files:resume { file = path }
      assert.equal("integrity", err.kind)
      assert.equal(0, #em:requests_to "/upload/")
    end)

    -- The system gives the inode of a file that is gone to the next one.
    it("is not taken for another one whose journal has the inode of its file", function()
      local path, other = write("gone.pdf", bytes), write("other.txt", "not yet there")
      interrupt(path)
      em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 1, always = true }
      em:fault { path = "/upload/", command = "query", status = 503, always = true }
      assert.is_nil((keeper.files:upload { file = other, journal = directory .. "/other.journal" }))
      em:clear()
      write("gone.pdf", read(directory .. "/other.journal"))
      assert.equal(13, assert(keeper.files:resume { journal = path }).size_bytes)
    end)

    it("is not another key's", function()
      local path = write("mine.pdf", bytes)
      interrupt(path)
      local other = gemini.Client { api_key = "another", state_dir = state, http_options = { base_url = em.url } }
      local _, err = other.files:resume(path)
      other:close()
      assert.equal("integrity", err.kind)
      assert.is_truthy(err.hint:find("state_dir", 1, true))
      assert.equal(1, #kept())
    end)

    it("leaves no journal when it is done or refused, and needs none", function()
      local path = write("done.txt", "done at once")
      assert(keeper.files:upload { file = path, reuse = false })
      assert.same({}, kept())
      em:fault { path = "/upload/", command = "upload, finalize", status = 400, body =
        { error = { code = 400, message = "no", status = "INVALID_ARGUMENT" } } }
      assert.is_nil((keeper.files:upload { file = path, reuse = false }))
      assert.same({}, kept())
      local _, err = keeper.files:resume(path)
      assert.equal(("no unfinished upload of %s is known here, and %s is no journal"):format(path, path),
        err.message:match "^.*no journal")
      assert(keeper.files:upload(write("caf\233.txt", "not UTF-8")))
      process.remove_directory(state)
      assert(keeper.files:upload { file = path, reuse = false })
    end)

    it("keeps its journal when another process has put one in its place", function()
      local path = write("shared.txt", "of two programs")
      em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 1, always = true }
      em:fault { path = "/upload/", command = "query", status = 503, always = true }
      assert.is_nil((keeper.files:upload(path)))
      em:clear()
      local journal = state .. "/" .. kept()[1]
      local theirs = read(journal)
      assert(keeper.files:upload { file = path, reuse = false, on_progress = function()
        write("state/" .. kept()[1], theirs)
      end })
      assert.equal(theirs, read(journal))
    end)

    it("takes journals away that nobody can go on with", function()
      for name, age in pairs { ["resume-old.json"] = 8, ["resume-new.json"] = 6, ["other.json"] = 100 } do
        os.execute(("touch -d '%d days ago' %s"):format(age, process.quote(state .. "/" .. name)))
      end
      assert(keeper.files:upload(write("any.txt", "any")))
      assert.same({ "resume-new.json" }, kept())
      assert.is_truthy(os.rename(state .. "/other.json", state .. "/other.json"))
    end)
  end)

  it("leaves no journal when it is done, nor when the server refused it", function()
    local path, journal = write("small.txt", "hello"), directory .. "/small.journal"
    assert(client.files:upload { file = path, journal = journal })
    assert.is_nil(io.open(journal))
    em:fault { path = "/upload/", command = "upload, finalize", status = 400, body =
      { error = { code = 400, message = "no", status = "INVALID_ARGUMENT" } } }
    local file = client.files:upload { file = path, journal = journal }
    assert.is_nil(file)
    assert.is_nil(io.open(journal))
  end)

  it("keeps its journal when the network gave out", function()
    local path, journal = write("small.txt", "hello"), directory .. "/small.journal"
    em:fault { path = "/upload/", command = "upload, finalize", action = "reset", after_request = 1, always = true }
    em:fault { path = "/upload/", command = "query", status = 503, always = true }
    assert.is_nil(client.files:upload { file = path, journal = journal })
    em:clear()
    assert(client.files:resume { journal = journal })
    assert.is_nil(io.open(journal))
  end)

  it("has a journal only for a file whose path is UTF-8", function()
    local _, err = client.files:upload { file = write("caf\233.txt", "x"), journal = directory .. "/x" }
    assert.equal("invalid", err.kind)
    assert.is_truthy(err.message:find("UTF-8", 1, true))
    assert.is_nil(io.open(directory .. "/x"))
  end)

  it("has a journal only for a file that has a path", function()
    local _, err = client.files:upload { data = "x", journal = directory .. "/x",
      config = { mime_type = "text/plain" } }
    assert.equal("invalid", err.kind)
  end)

  it("cannot go on without a journal, or with something else", function()
    local _, err = client.files:resume(directory .. "/nowhere")
    assert.equal("io", err.kind)
    local whole = '{"version":"lgemini upload 1","url":"http://127.0.0.1/u","path":%s,"mime_type":"a/b","scope":"s",'
      .. '"sha256":"ab","size":"%s","mtime":"1.5","hashed":"%s"}'
    for _, text in ipairs { "", "{}", "[]", "{", "\0\1\2", '{"version":"lgemini upload 1","url":"x"}',
      whole:format('"a"', "10", "11"), whole:format('"a"', "1.5", "1"), whole:format('"a"', "-1", "-2"),
      whole:format('"a"', "1e400", "1"), whole:format('"a\\u0000b"', "10", "1"),
      whole:format('"caf\233"', "10", "1") } do
      _, err = client.files:resume(write("junk", text))
      assert.equal("integrity", err.kind)
    end
    assert.equal(0, #em:requests())
  end)

  describe("of which the server", function()
    local server

    setup(function() server = scripted.start() end)
    teardown(function() server:stop() end)

    local function client_of(answers)
      server:script(answers)
      client:close()
      client = gemini.Client { api_key = KEY, http_options = { base_url = server.url,
        retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
    end

    local function session()
      return { status = 200, headers = { ["x-goog-upload-url"] = server.url .. "/upload/v1beta/files?upload_id=u",
        ["x-goog-upload-status"] = "active" } }
    end

    local function file_of(digest)
      return { name = "files/a", uri = "u", mime_type = nil, mimeType = "text/plain", state = "ACTIVE",
        createTime = "2026-01-01T00:00:00Z", sha256Hash = gemini.base64.encode(digest) }
    end

    it("says that it has something else: integrity, and the file is deleted", function()
      client_of { session(), { status = 200, headers = { ["x-goog-upload-status"] = "final" },
        body = { json = { file = file_of(("ab"):rep(32)) } } }, { status = 200, body = { json = json.decode "{}" } } }
      local file, err = client.files:upload { data = "hello", config = { mime_type = "text/plain" } }
      assert.is_nil(file)
      assert.equal("integrity", err.kind)
      local seen = server:received()
      assert.equal("DELETE", seen[3].method)
      assert.matches("/files/a$", seen[3].target)
    end)

    it("has all when another process asks: it is compared whole, not deleted", function()
      local path = write("whole.txt", "hello")
      local digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
      for _, case in ipairs { { digest, "files/a" }, { ("ab"):rep(32), nil } } do
        client_of { session(), { status = 503 }, { status = 503 }, { status = 503 }, { status = 503 },
          { status = 200, headers = { ["x-goog-upload-status"] = "final" },
            body = { json = { file = file_of(case[1]) } } },
          { status = 500, body = { bytes = "" } } }
        local journal = directory .. "/whole.journal"
        assert.is_nil((client.files:upload { file = path, journal = journal }))
        local file, err = client.files:resume(journal)
        assert.equal(case[2], file and file.name)
        assert.equal(not case[2] and "integrity" or nil, err and err.kind)
        assert.is_truthy(case[2] or err.message:find("could not be deleted", 1, true))
      end
    end)

    it("is asked, though the journal names another one", function()
      local path, journal = write("elsewhere.txt", "hello"), directory .. "/elsewhere.journal"
      client_of { session(), { status = 503 }, { status = 503 }, { status = 503 }, { status = 503 },
        { status = 200, headers = { ["x-goog-upload-status"] = "final" },
          body = { json = { file = file_of "deadbeef" } } } }
      assert.is_nil((client.files:upload { file = path, journal = journal }))
      local text, count = read(journal):gsub("127%.0%.0%.1:" .. server.port, "elsewhere.invalid")
      assert.equal(1, count)
      write("elsewhere.journal", text)
      assert.equal("files/a", assert(client.files:resume(journal)).name)
    end)

    it("names no digest that can be told: not verified", function()
      client_of { session(), { status = 200, headers = { ["x-goog-upload-status"] = "final" },
        body = { json = { file = file_of "deadbeef" } } } }
      local file = assert(client.files:upload { data = "hello", config = { mime_type = "text/plain" } })
      assert.is_false(file.transport.verified)
    end)

    it("lost the last answer: the file is found by what is in it, not uploaded twice", function()
      local digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
      client_of { session(), { status = 200, reset_at = 0 },
        { status = 200, headers = { ["x-goog-upload-status"] = "final" } },
        { status = 200, body = { json = { files = { file_of(("ab"):rep(32)), file_of(digest) } } } } }
      local file = assert(client.files:upload { data = "hello", config = { mime_type = "text/plain" } })
      assert.equal("files/a", file.name)
      assert.is_true(file.transport.verified)
      assert.equal(4, #server:received())
    end)

    it("lost the last answer, and is looked at as the call says, not as the client does", function()
      local digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
      client_of { session(), { status = 200, headers = { ["x-goog-upload-status"] = "final" } },
        { status = 200, body = { json = { files = {}, nextPageToken = "next" } } },
        { status = 200, body = { json = { files = { file_of(digest) } } } } }
      client:close()
      client = gemini.Client { api_key = KEY, http_options = { base_url = "https://elsewhere.invalid" } }
      local file = assert(client.files:upload { data = "hello",
        config = { mime_type = "text/plain", http_options = { base_url = server.url } } })
      assert.equal("files/a", file.name)
      assert.matches("pageToken=next", server:received()[4].target)
    end)
  end)
end)
