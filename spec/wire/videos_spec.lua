-- Videos: how they are asked for, waited for and fetched.
local cjson = require "cjson"
local core = require "lgemini.core"
local gemini = require "lgemini"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local KEY = "key-of-the-videos-spec"
local VEO = "veo-3.0-generate-001"
local NAME = "models/veo-3.0-generate-001/operations/op-77"

local function json(value)
  return { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = value } }
end

local STARTED = json { name = NAME }
local MADE = json { name = NAME, done = true, response = { generateVideoResponse = { generatedSamples = { { video = {
  uri = "https://generativelanguage.googleapis.com/v1beta/files/v-1:download?alt=media" } } } } } }

describe("videos", function()
  local server, client, directory

  setup(function()
    server = scripted.start { limit = 10 }
    directory = process.temporary_directory()
  end)
  teardown(function()
    server:stop()
    process.remove_directory(directory)
  end)

  local function new_client(options)
    options = options or {}
    options.api_key, options.http_options = KEY, { base_url = server.url, retry_options = false }
    return gemini.Client(options)
  end

  before_each(function() client = new_client() end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function write(name, bytes)
    local path = directory .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
    return path
  end

  -- The bodies of the requests, decoded; "" for none.
  local function bodies()
    local found = {}
    for i, exchange in ipairs(server:received()) do
      found[i] = exchange.body ~= "" and cjson.decode(exchange.body) or ""
    end
    return found
  end

  local function request_lines()
    local found = {}
    for i, exchange in ipairs(server:received()) do
      found[i] = exchange.method .. " " .. exchange.target
      assert.equal(KEY, exchange.header["x-goog-api-key"])
    end
    return found
  end

  -- The error of a call that must fail; the key is not in it.
  local function failure(kind, result, err)
    assert.is_nil(result)
    assert.is_true(gemini.is_error(err))
    assert.equal(kind, err.kind, tostring(err))
    assert.is_nil(tostring(err):find(KEY, 1, true))
    return err
  end

  local function refused(message, ...)
    server:script {}
    local err = failure("invalid", client.models:generate_videos(...))
    assert.truthy(err.message:find(message, 1, true), err.message)
    assert.equal(0, #(server:received()))
    return err
  end

  -- Pauses take no time, but the clock sees them.
  local function pauses_of(tasks)
    local pauses, later = {}, 0
    tasks.sleep = function(_, seconds)
      pauses[#pauses + 1] = seconds
      later = later + seconds
    end
    tasks.now = function() return core.now() + later end
    return pauses
  end

  describe("are asked for", function()
    it("with an image from disk, as standard base64", function()
      local path = write("frame.png", "\137PNG\r\n\26\n\251\255\254")
      server:script { STARTED }
      local operation = assert(client.models:generate_videos { model = VEO, prompt = "Go", image = { file = path },
        config = { last_frame = { data = "\255\216\255" }, number_of_videos = 1 } })
      assert.equal(NAME, operation.name)
      assert.falsy(operation.done)
      assert.same({ "POST /v1beta/models/" .. VEO .. ":predictLongRunning" }, request_lines())
      assert.same({ { instances = { { prompt = "Go",
        image = { bytesBase64Encoded = "iVBORw0KGgr7//4=", mimeType = "image/png" },
        lastFrame = { bytesBase64Encoded = "/9j/", mimeType = "image/jpeg" } } },
        parameters = { sampleCount = 1 } } }, bodies())
    end)

    it("with references and a video, whose types may be said", function()
      local path = write("clip", "frames")
      server:script { STARTED }
      assert(client.models:generate_videos { model = VEO,
        source = { video = { file = path, mime_type = "video/mp4" } },
        config = { reference_images = { { image = { data = "pixels", mime_type = "image/x" },
          reference_type = "ASSET" } } } })
      assert.same({ { instances = { { video = { encodedVideo = core.base64.encode "frames", encoding = "video/mp4" },
        referenceImages = { { referenceType = "ASSET",
          image = { bytesBase64Encoded = core.base64.encode "pixels", mimeType = "image/x" } } } } } } }, bodies())
    end)

    it("without writing to what the program gave", function()
      local image = { data = "pixels", mime_type = "image/x" }
      local source, config = { image = image }, { last_frame = image }
      server:script { STARTED }
      assert(client.models:generate_videos { model = VEO, source = source, config = config })
      assert.equal(image, source.image)
      assert.equal(image, config.last_frame)
      assert.same({ data = "pixels", mime_type = "image/x" }, image)
    end)

    it("with a video that was made, as it came: nothing in it names a file here", function()
      local path = write("secret.mp4", "secret")
      server:script { json { name = NAME, done = true, response = { generateVideoResponse = { generatedSamples = {
        { video = { uri = "u", file = path } } } } } }, STARTED }
      local made = assert(client.operations:get(NAME)).response.generated_videos[1].video
      assert(client.models:generate_videos { model = VEO, prompt = "Longer", video = made })
      assert.same({ prompt = "Longer", video = { uri = "u", file = path } }, bodies()[2].instances[1])
    end)

    it("but not with what leads nowhere", function()
      refused("one of prompt, image and video is needed", { model = VEO })
      refused("stand in source, or in its place", { model = VEO, prompt = "x", source = { prompt = "x" } })
      refused("model is not valid", { model = "a?b", prompt = "x" })
      refused("config.seed: only Vertex AI takes this field", { model = VEO, prompt = "x", config = { seed = 1 } })
      refused("source.image has both file and data", { model = VEO, source = { image = { file = "a", data = "b" } } })
      refused("image: the type of the data cannot be told", { model = VEO, image = { data = "b" } })
      refused("image: data is empty", { model = VEO, image = { data = "", mime_type = "image/png" } })
      refused("this is base64", { model = VEO, image = { data = "iVBORw0KGgo=", mime_type = "image/png" } })
      server:script {}
      failure("io", client.models:generate_videos { model = VEO, image = { file = directory .. "/none.png" } })
      assert.equal(0, #(server:received()))
    end)

    it("but not with local files where they are switched off", function()
      client:close()
      client = new_client { local_files = false }
      local path = write("frame.png", "\137PNG\r\n\26\n")
      refused("image: local files are switched off", { model = VEO, image = { file = path } })
      refused("config.reference_images[1].image: local files are switched off", { model = VEO, prompt = "x",
        config = { reference_images = { { image = { file = path } } } } })
    end)

    describe("once:", function()
      local function begin(answers)
        client:close()
        client = gemini.Client { api_key = KEY, http_options = { base_url = server.url,
          retry_options = { initial_delay = 0, max_delay = 0 } } }
        server:script(answers)
      end

      local function generate(image)
        return client.models:generate_videos { model = VEO, prompt = "Go", image = image }
      end

      local function refusal(code)
        return { status = code, body = { json = { error = { code = code, message = "busy" } } } }
      end

      for name, answer in pairs {
        ["the connection broke"] = { status = 200, cut_at = 0 },
        ["the answer broke"] = { status = 200, body = { json = { name = NAME } }, cut_at = { body = 5 } },
        ["the service broke"] = refusal(500),
        ["a gateway had no patience"] = refusal(504),
      } do
        it(name .. " after the service had it: not sent again, and the hint says why", function()
          begin { answer, STARTED }
          local operation, err = generate()
          assert.is_nil(operation)
          assert.equal(1, #(server:received()))
          assert.equal(1, err.attempts)
          assert.is_false(err.retryable)
          assert.is_truthy(err.hint:find("may have begun", 1, true), err.hint)
        end)
      end

      it("a service that refused it is asked again", function()
        begin { refusal(503), refusal(429), STARTED }
        assert.equal(NAME, assert(generate()).name)
      end)

      it("a connection that broke before all was sent is no reason not to", function()
        begin { { status = 200, read = 1000, reset_at = 0 }, STARTED }
        assert.equal(NAME, assert(generate { data = ("x"):rep(12000000), mime_type = "image/png" }).name)
        assert.equal(2, #(server:received()))
      end)

      it("nor is one that never was", function()
        begin {}
        local other = gemini.Client { api_key = KEY, http_options = { base_url = "http://127.0.0.1:1",
          retry_options = { initial_delay = 0, max_delay = 0 } } }
        local err = failure("network", other.models:generate_videos { model = VEO, prompt = "Go" })
        other:close()
        assert.equal(4, err.attempts)
        assert.is_true(err.retryable)
        assert.is_nil(err.hint:find("begun", 1, true))
      end)
    end)

    it("but not with more than a request may hold", function()
      client:close()
      client = new_client { inline_limit = 1000 }
      server:script {}
      local err = failure("too_large", client.models:generate_videos { model = VEO,
        image = { data = ("x"):rep(1000), mime_type = "image/png" } })
      assert.truthy(err.hint:find("inline_limit", 1, true))
      assert.falsy(err.hint:find("via", 1, true))
      assert.equal(0, #(server:received()))
    end)

    it("by names that exist", function()
      for message, args in pairs {
        ["did you mean prompt?"] = { model = VEO, contents = "x" },
        ["did you mean config.aspect_ratio?"] = { model = VEO, prompt = "x", aspect_ratio = "1:1" },
        ["image: unknown option path: did you mean file?"] = { model = VEO, image = { file = "x", path = "y" } },
        ["image.mime_type: string expected, got number"] = { model = VEO, image = { file = "x", mime_type = 5 } },
        ["source: table expected, got string"] = { model = VEO, source = "x" },
      } do
        local ok, problem = pcall(client.models.generate_videos, client.models, args)
        assert.is_false(ok)
        assert.truthy(tostring(problem):find(message, 1, true), tostring(problem))
        assert.truthy(tostring(problem):find("videos_spec.lua:%d+:"), tostring(problem))
      end
    end)
  end)

  describe("that cannot be started", function()
    it("say why", function()
      local gone = { code = 404, message = "models/veo is not found, or does not make videos." }
      server:script { { status = 404, body = { json = { error = gone } } } }
      local err = failure("not_found", client.models:generate_videos { model = VEO, prompt = "x" })
      assert.truthy(err.hint:find(VEO, 1, true))
      server:script { json { error = { code = 403, message = "No.", status = "PERMISSION_DENIED" } } }
      failure("permission", client.models:generate_videos { model = VEO, prompt = "x" })
      for _, answer in ipairs { {}, { name = 5 }, { done = true } } do
        server:script { json(answer) }
        failure("protocol", client.models:generate_videos { model = VEO, prompt = "x" })
      end
    end)
  end)

  describe("are waited for", function()
    it("with pauses that grow, and fetched", function()
      local script = { STARTED }
      for i = 2, 8 do script[i] = json { name = NAME, metadata = { ["@type"] = "x" } } end
      script[9] = MADE
      script[10] = { status = 200, body = { bytes = "frames" } }
      server:script(script)
      local operation = assert(client.models:generate_videos { model = VEO, prompt = "x" })
      local pauses = pauses_of(client.tasks)
      operation = assert(client.operations:wait(operation))
      assert.same({ 0.5, 1, 2, 4, 8, 10, 10 }, pauses)
      assert.is_true(operation.done)
      local path = directory .. "/cat.mp4"
      assert.equal(path, client.files:download { file = operation.response.generated_videos[1].video, to = path })
      local file = assert(io.open(path, "rb"))
      assert.equal("frames", file:read "*a")
      file:close()
      local lines = request_lines()
      assert.equal("GET /v1beta/" .. NAME, lines[2])
      assert.equal("GET /v1beta/" .. NAME, lines[9])
      assert.equal("GET /v1beta/files/v-1:download?alt=media", lines[10])
    end)

    it("no longer than was said", function()
      local pending = json { name = NAME }
      server:script { pending, pending, pending, pending }
      local pauses = pauses_of(client.tasks)
      local err = failure("timeout", client.operations:wait { operation = NAME, timeout = 3 })
      assert.equal(3, #pauses)
      assert.near(1.5, pauses[3], 0.4) -- what is left, for a last look
      assert.equal("processing", err.clock)
      assert.equal(NAME, err.operation.name)
      assert.equal("processing: " .. NAME .. " was not done after 3 s", err.message)
      assert.truthy(err.hint:find("client.operations:wait{ operation = ... }", 1, true))
    end)

    it("no longer than the whole call may take", function()
      server:script { json { name = NAME }, json { name = NAME } }
      pauses_of(client.tasks)
      local err = failure("timeout", client.operations:wait { operation = NAME,
        config = { http_options = { timeout = { total = 0.4 } } } })
      assert.equal("total", err.clock)
      assert.equal(NAME, err.operation.name)
    end)

    it("until they fail, with a kind by gRPC's number", function()
      server:script { json { name = NAME, done = true, error = { code = 8, message = "Too many videos." } } }
      local err = failure("rate_limited", client.operations:wait(NAME))
      assert.equal("Too many videos.", err.message)
      assert.equal("RESOURCE_EXHAUSTED", err.status)
      assert.equal(429, err.code)
      assert.equal(8, err.operation.error.code)
      server:script { json { name = NAME, error = { code = 3 } } } -- what has an error is done
      failure("invalid", client.operations:wait { operation = { name = NAME } })
    end)

    it("and tell what each look shows", function()
      server:script { json { name = NAME, metadata = { percent = 10 } },
        json { name = NAME, metadata = { percent = 60 } }, MADE }
      pauses_of(client.tasks)
      local told = {}
      assert(client.operations:wait { operation = NAME, on_progress = function(operation)
        told[#told + 1] = operation.done and "done" or operation.metadata.percent
      end })
      assert.same({ 10, 60, "done" }, told)
      server:script { json { name = NAME } }
      local err = failure("cancelled",
        client.operations:wait { operation = NAME, on_progress = function() error "no" end })
      assert.truthy(err.message:find("on_progress, the function, failed", 1, true), err.message)
    end)

    it("until a look at them fails", function()
      server:script { json { name = NAME }, { status = 403, body = { json = { error = { code = 403, message = "No.",
        status = "PERMISSION_DENIED" } } } } }
      pauses_of(client.tasks)
      failure("permission", client.operations:wait(NAME))
    end)

    it("for a time that is one", function()
      server:script {}
      failure("invalid", client.operations:wait { operation = NAME, timeout = 0 })
      assert.equal(0, #(server:received()))
    end)
  end)

  describe("are looked at", function()
    it("by name or operation, and an operation that failed is there to be seen", function()
      local failed = json { name = NAME, done = true, error = { code = 3, message = "No.", details = {} } }
      server:script { STARTED, failed, failed, failed }
      local operation = assert(client.models:generate_videos { model = VEO, prompt = "x" })
      for _, args in ipairs { NAME, operation, { operation = operation } } do
        local found = assert(client.operations:get(args))
        assert.is_true(found.done)
        assert.equal(3, found.error.code)
        assert.equal("No.", found.error.message)
      end
      for i = 2, 4 do assert.equal("GET /v1beta/" .. NAME, request_lines()[i]) end
    end)

    it("under names that lead to operations only", function()
      server:script {}
      for _, name in ipairs { "", "op", "a/../b", "models/x?y=1", "models/a%2fb", "models/a\nb" } do
        failure("invalid", client.operations:get(name))
        failure("invalid", client.operations:wait { operation = { name = name } })
      end
      assert.equal(0, #(server:received()))
      local ok, problem = pcall(client.operations.get, client.operations, {})
      assert.is_false(ok)
      assert.truthy(problem:find("operation: string expected, got nil", 1, true), problem)
    end)

    it("and a service that says no, or nonsense, is heard", function()
      server:script { json { error = { code = 404, message = "No.", status = "NOT_FOUND" } } }
      failure("not_found", client.operations:get(NAME))
      server:script { json { metadata = {} } }
      failure("protocol", client.operations:get(NAME))
    end)
  end)
end)

describe("images", function()
  it("are raw bytes", function()
    local server = scripted.start { limit = 10 }
    finally(function() server:stop() end)
    local client = gemini.Client { api_key = KEY, http_options = { base_url = server.url } }
    server:script { json { predictions = { { mimeType = "image/png", bytesBase64Encoded = "+/8=" } } } }
    local response = assert(client.models:generate_images { model = "imagen-4", prompt = "x" })
    client:close()
    assert.equal("\251\255", response.generated_images[1].image.image_bytes)
  end)
end)
