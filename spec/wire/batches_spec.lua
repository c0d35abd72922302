-- Batches, against the emulator: what they are made of, and what comes out.
local cjson = require "cjson"
local core = require "lgemini.core"
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local json_lines = require "lgemini.lines"
local process = require "spec.support.process"
local refused = require "spec.support.refused"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

describe("a batch", function()
  local em, client, directory

  setup(function()
    em = emulator.start { args = { "--batch", "0.2" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  -- All results: key -> text, or the kind of the error.
  local function results_of(batch)
    local found = {}
    for key, response, err in assert(client.batches:results(batch)) do
      found[key] = response and response.text or err.kind
    end
    return found
  end

  local read = files.read

  it("of a list is answered, each request by its key or number", function()
    local batch = assert(client.batches:create { model = MODEL, src = {
      { key = "first", contents = "Tell me of the sea." },
      { contents = { "What is on it?", { file = "spec/fixtures/slide.png" } } },
      { metadata = { key = "third", mine = { 1 } }, contents = "x", config = { temperature = 9 } },
    }, config = { display_name = "three" } })
    assert.equal("JOB_STATE_PENDING", batch.state)
    assert.equal("three", batch.display_name)
    batch = assert(client.batches:wait(batch))
    assert.equal("JOB_STATE_SUCCEEDED", batch.state)
    assert.equal(2, batch.batch_stats.successful_request_count)
    assert.same({ 1 }, batch.dest.inlined_responses[3].metadata.mine)
    local found = results_of(batch)
    assert.truthy(found.first:find("characters", 1, true), found.first)
    assert.truthy(found["2"]:find("image/png", 1, true), found["2"])
    assert.equal("invalid", found.third)
  end)

  it("of an iterator is written as lines, its media uploaded once, its results read line by line", function()
    local n = 0
    local batch = assert(client.batches:create { model = MODEL, src = function()
      n = n + 1
      if n > 50 then return nil end
      return "request " .. n, { contents = { "Number " .. n, { file = "spec/fixtures/slide.png" } },
        config = { temperature = 0.5 } }
    end })
    local uploads = em:uploads()
    assert.equal(2, #uploads) -- the picture and the lines
    local created = em:requests_to ":batchGenerateContent"[1].body.batch
    assert.truthy(created.inputConfig.fileName:find "^files/")
    batch = assert(client.batches:wait(batch))
    assert.truthy(batch.dest.file_name:find "^files/")
    local path = directory .. "/results.jsonl"
    local seen = {}
    for key, response in assert(client.batches:results { name = batch, to = path }) do
      seen[#seen + 1] = key
      assert.truthy(response.text:find("image/png", 1, true))
    end
    assert.equal(50, #seen)
    assert.equal("request 50", seen[50])
    local _, lines = read(path):gsub("\n", "")
    assert.equal(50, lines)
  end)

  it("of an iterator takes requests alone, and bytes inline when told to", function()
    local given = { { contents = { { data = read "spec/fixtures/slide.png", via = "inline" }, "What?" } },
      { contents = { { file = "spec/fixtures/slide.png", via = "inline" } }, key = "mine" } }
    local n = 0
    local batch = assert(client.batches:create { model = MODEL, src = function()
      n = n + 1
      return given[n]
    end })
    assert.equal(2, #em:requests_to "/upload/") -- of the lines alone
    local found = results_of(assert(client.batches:wait(batch)))
    local hash = core.sha256.of(read "spec/fixtures/slide.png")
    for _, key in ipairs { "1", "mine" } do assert.truthy(found[key]:find(hash, 1, true), found[key]) end
  end)

  it("of a file that was uploaded", function()
    local lines = '{"key":"a","request":{"contents":[{"parts":[{"text":"Hello"}]}]}}\n\nnonsense\n'
    local file = assert(client.files:upload { data = lines, config = { mime_type = "application/jsonl" } })
    for _, src in ipairs { file, file.name, { file_name = file.name } } do
      local found = results_of(assert(client.batches:wait(assert(client.batches:create { model = MODEL, src = src }))))
      assert.truthy(found.a:find("characters", 1, true))
      assert.equal("invalid", found["2"])
    end
  end)

  it("embeds texts", function()
    local batch = assert(client.batches:create_embeddings { model = "gemini-embedding-001", src = {
      { key = "one", contents = "one", config = { output_dimensionality = 8 } }, { contents = "two" } } })
    batch = assert(client.batches:wait(batch))
    local sizes = {}
    for key, response in assert(client.batches:results(batch)) do sizes[key] = #response.embedding.values end
    assert.same({ one = 8, ["2"] = 3072 }, sizes)
    assert.equal(8, #batch.dest.inlined_embed_content_responses[1].response.embedding.values)
    local function requests()
      local asked = em:requests_to ":asyncBatchEmbedContent"
      return asked[#asked].body.batch.inputConfig.requests.requests
    end
    local first = { metadata = { key = "one" }, request = { outputDimensionality = 8,
      content = { role = "user", parts = { { text = "one" } } } } }
    assert.same(first, requests()[1])
    assert(client.batches:create_embeddings { model = "gemini-embedding-001", src = { inlined_requests = {
      contents = { "a", "b" }, config = { task_type = "CLUSTERING" } } } })
    assert.equal(2, #requests())
    assert.equal("CLUSTERING", requests()[2].request.taskType)
  end)

  it("gives all results once though the download broke, also into a file that is open", function()
    client:close()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
    local n = 0
    local batch = assert(client.batches:wait(assert(client.batches:create { model = MODEL, src = function()
      n = n + 1
      return n <= 30 and { contents = "x" } or nil
    end })))
    em:fault { path = ":download", action = "close", after_answer = 5000 }
    local seen = {}
    for key in assert(client.batches:results(batch)) do seen[#seen + 1] = key end
    assert.equal(30, #seen)
    assert.equal("30", seen[30])
    assert.equal(2, #em:requests_to ":download")

    local file = io.tmpfile()
    file:write "before"
    em:fault { path = ":download", action = "close", after_answer = 5000 }
    assert.equal(file, client.files:download { file = batch.dest.file_name, to = file })
    file:seek "set"
    local text = file:read "*a"
    file:close()
    assert.equal("before", text:sub(1, 6))
    assert.equal(client.files:download(batch.dest.file_name), text:sub(7))
    file = io.open "/dev/full"
    if file then
      file:close()
      file = io.open("/dev/full", "r+b")
      refused("io", "cannot write to the open file", client.files:download { file = batch.dest.file_name, to = file })
      file:close()
      refused("invalid", "to: the handle is closed", client.files:download { file = batch.dest.file_name, to = file })
    end
  end)

  it("leaves nothing open and nothing held when its results are left", function()
    local n = 0
    local batch = assert(client.batches:wait(assert(client.batches:create { model = MODEL, src = function()
      n = n + 1
      return n <= 20 and { contents = "x" } or nil
    end })))
    local following = assert(client.batches:results(batch))
    assert.equal("1", (following()))
    following = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.equal(0, core.alive().exchange or 0)
  end)

  it("is cancelled, deleted, and listed", function()
    em:set { batch = 100 }
    local batch = assert(client.batches:create { model = MODEL, src = { { contents = "x" } } })
    assert.is_true(client.batches:cancel(batch))
    local err = refused("cancelled", "was cancelled", client.batches:wait(batch))
    assert.equal("JOB_STATE_CANCELLED", err.batch.state)
    refused("precondition", "JOB_STATE_CANCELLED", client.batches:results(batch.name))
    local other = assert(client.batches:create { model = MODEL, src = { { contents = "y" } } })
    local late = refused("timeout", "was not done after 0.1 s", client.batches:wait { name = other, timeout = 0.1 })
    assert.equal(other.name, late.batch.name)
    local states = {}
    for each in client.batches:list { config = { page_size = 1 } } do states[each.name] = each.state end
    assert.equal("JOB_STATE_PENDING", states[other.name])
    assert.is_true(client.batches:delete(other.name))
    refused("not_found", "was not found", client.batches:get(other))
    em:set { batch = 0.2 }
  end)

  it("is refused with the place of what is wrong", function()
    em:clear()
    local function create(src) return client.batches:create { model = MODEL, src = src } end
    refused("invalid", "src[2]: contents are required", create { { contents = "x" }, {} })
    refused("io", "src[1].contents[1]: ", create { { contents = { { file = "gone.png" } } } })
    refused("io", "src: request 1.contents[1]: ", create(function()
      return { contents = { { file = "gone.png" } } }
    end))
    refused("invalid", "src[1].config.http_options", create { { contents = "x", config = { http_options = {} } } })
    refused("invalid", "src[2] is missing", create { { contents = "x" }, nil, { contents = "x" } })
    refused("invalid", "the iterator gave no request", create(function() end))
    refused("invalid", 'src[1] and src[3] have the same key, "a"', create { { contents = "x", key = "a" },
      { contents = "x", key = "b" }, { contents = "x", metadata = { key = "a" } } })
    refused("invalid", 'src[1] and src[2] have the same key, "2"', create { { contents = "x", key = "2" },
      { contents = "x" } }) -- which is known by its number
    local n = 0
    refused("invalid", 'src: request 2 and src: request 3 have the same key, "k 1"', create(function()
      n = n + 1
      return "k " .. math.floor(n / 2), { contents = "x" }
    end))
    refused("invalid", "batch name is not valid", client.batches:get "b-123")
    refused("invalid", "timeout: ", client.batches:wait { name = "batches/b", timeout = 1e9 })
    assert.same({}, em:requests_to "batch")
  end)

  it("raises for what cannot be meant", function()
    for words, src in pairs {
      ["src%[1%]: a request expected"] = { "text" },
      ["src: a list of requests, a function, or a file expected, got nil"] = false,
      ["src%[1%]: unknown option content"] = { { content = "x" } },
      ["^src%[2%]: config.temprature: did you mean config.temperature"] =
        { { contents = "x" }, { contents = "x", config = { temprature = 1 } } },
      ["^src%[1%]: contents%[1%].txt: did you mean text"] = { { contents = { { txt = "x" } } } },
      ["src.inlined_requests: table expected, got userdata"] = { inlined_requests = gemini.null },
    } do
      assert.error_matches(function() client.batches:create { model = MODEL, src = src or nil } end, words)
    end
    assert.error_matches(function() client.batches:create { model = MODEL, src = function() return true, {} end } end,
      "its key number 1 is a boolean")
    local n = 0
    local ok, message = pcall(client.batches.create, client.batches, { model = MODEL, src = function()
      n = n + 1
      return { contents = "x", config = n == 3 and { temprature = 1 } or nil }
    end })
    assert.is_false(ok)
    assert.matches("^spec/wire/batches_spec.lua:%d+: src: request 3: config.temprature: did you mean", message)
  end)
end)

describe("a batch, scripted", function()
  local server, client

  setup(function() server = scripted.start { limit = 10 } end)
  teardown(function() server:stop() end)
  before_each(function()
    client = gemini.Client { api_key = "key-of-the-batches", limits = { max_event = 200 },
      http_options = { base_url = server.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function answer(operation, lines)
    server:script { { status = 200, body = { json = operation } },
      lines and { status = 200, body = { bytes = lines } } or nil }
  end

  local FILE = { name = "batches/b", metadata = { state = "BATCH_STATE_SUCCEEDED",
    output = { responsesFile = "files/out" } } }

  local function results()
    local found = {}
    for key, response, err in assert(client.batches:results "batches/b") do
      found[#found + 1] = key .. " " .. (response and response.text or err.kind)
    end
    return found
  end

  it("shows what came as the SDKs do, and where it stands in the answer itself, too", function()
    answer { name = "batches/b", metadata = { state = "BATCH_STATE_SUCCEEDED" }, done = true,
      response = { responsesFile = "files/out" } }
    local batch = assert(client.batches:get "batches/b")
    assert.same({ file_name = "files/out" }, batch.dest)
    assert.is_nil(rawget(batch, "output"))
    answer(FILE)
    assert.is_nil(rawget(assert(client.batches:get "batches/b"), "output"))
  end)

  it("is not made of requests that no disk has room for", function()
    local tmpfile, full = io.tmpfile, io.open("/dev/full", "r+b")
    if not full then return pending "no /dev/full here" end
    function io.tmpfile() return full end -- luacheck: ignore 122
    local left = 1
    local ok, batch, err = pcall(client.batches.create, client.batches, { model = "g", src = function()
      left = left - 1
      return left == 0 and { contents = "Hi" } or nil
    end })
    io.tmpfile = tmpfile -- luacheck: ignore 122
    assert(ok, batch)
    assert.is_nil(batch)
    assert.equal("io", err.kind)
    assert.matches("cannot write the requests of the batch", err.message)
  end)

  it("takes no end of a file for what cannot be read", function()
    local ok, err = json_lines.collector(client.core):add_base64_file "spec" -- a directory
    assert.is_nil(ok)
    assert.equal("io", err.kind)
    local line
    line, err = json_lines.of(assert(io.open "spec"), 100)()
    assert.is_nil(line)
    assert.equal("io", err.kind)
  end)

  it("ends in what the service says of it", function()
    for state, kind in pairs { BATCH_STATE_EXPIRED = "unavailable", BATCH_STATE_FAILED = "http" } do
      answer { name = "batches/b", metadata = { state = state } }
      local batch, err = client.batches:wait "batches/b"
      assert.is_nil(batch)
      assert.equal(kind, err.kind)
      assert.equal("batches/b", err.batch.name)
    end
    answer { name = "batches/b", metadata = { state = "BATCH_STATE_FAILED" },
      error = { code = 8, message = "no more" } }
    local _, err = client.batches:wait "batches/b"
    assert.equal("rate_limited", err.kind)
  end)

  it("has ended where its operation has, whatever else is said of it", function()
    answer { name = "batches/b", done = true, response = { inlinedResponses = { inlinedResponses = { {
      response = {} } } } } }
    assert.equal("JOB_STATE_SUCCEEDED", assert(client.batches:wait "batches/b").state)
    answer { name = "batches/b", done = true, metadata = { state = "BATCH_STATE_RUNNING" },
      error = { code = 3, message = "no" } }
    local _, err = client.batches:wait "batches/b"
    assert.equal("JOB_STATE_FAILED", err.batch.state)
  end)

  it("has requests that name a model of their own", function()
    answer(FILE)
    assert(client.batches:create { model = "m", src = { { contents = "x", model = "n" }, { contents = "y" } } })
    local requests = cjson.decode(server:received()[1].body).batch.inputConfig.requests.requests
    assert.equal("models/n", requests[1].request.model)
    assert.is_nil(requests[2].request.model)
    local _, err = client.batches:create_embeddings { model = "m", src = { { contents = "x", model = "../n" } } }
    assert.truthy(err.message:find("src[1]: model is not valid: ../n", 1, true), err.message)
  end)

  it("is read whatever its lines look like", function()
    local good = '{"key":"%s","response":{"candidates":[{"content":{"parts":[{"text":"%s"}]},"finishReason":"STOP"}]}}'
    answer(FILE, good:format("a", "1") .. "\n\n  \r\n" .. '{"metadata":{"key":"b"},"error":{"code":3,"message":"m"}}\n'
      .. '{"response":{"candidates":[]}}\n[]\n{"key":"z"}\n' .. good:format("last", "without an end"))
    assert.same({ "a 1", "b invalid", "3 ", "4 protocol", "z protocol", "last without an end" }, results())
  end)

  it("raises where a line is nonsense or has no end", function()
    answer(FILE, '{"key":"a","response":{}}\n{"key":\n')
    local ok, err = pcall(results)
    assert.is_false(ok)
    assert.equal("protocol", err.kind)
    assert.truthy(err.message:find("line 2", 1, true))
    answer(FILE, ("x"):rep(70000))
    ok, err = pcall(results)
    assert.is_false(ok)
    assert.equal("limit", err.kind)
    assert.truthy(err.hint:find("max_event", 1, true))
  end)
end)
