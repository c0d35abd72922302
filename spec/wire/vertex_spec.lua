-- Vertex AI: paths, bodies, tokens and refusals, against a scripted server.
local cjson = require "cjson"
local core = require "lgemini.core"
local gemini = require "lgemini"
local process = require "spec.support.process"
local refused = require "spec.support.refused"
local scripted = require "spec.support.scripted"
local unpack = require("lgemini.compat").unpack
local vertex = require "lgemini.vertex"

local PLACE = "/v1beta1/projects/p-1/locations/europe-west4/"
local ANSWER = { candidates = { { content = { parts = { { text = "Hi" } } }, finishReason = "STOP" } } }

describe("Vertex AI", function()
  local server, client, directory

  setup(function()
    server = scripted.start { limit = 10 }
    directory = process.temporary_directory()
  end)
  teardown(function()
    server:stop()
    process.remove_directory(directory)
  end)
  after_each(function()
    if client then client:close() end
    client = nil
  end)

  local function connect(given)
    given = given or { project = "p-1", location = "europe-west4", access_token = "token-of-the-spec" }
    given.vertexai = true
    given.http_options = { base_url = server.url, retry_options = false }
    client = gemini.Client(given)
    return client
  end

  local function answer(...)
    local script = {}
    for i, value in ipairs { ... } do
      script[i] = value.status and value
        or { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = value } }
    end
    server:script(script)
  end

  -- Each request: "VERB target", its body, its headers.
  local function asked(i)
    local exchange = server:received()[i or 1]
    return exchange.method .. " " .. exchange.target, exchange.body ~= "" and cjson.decode(exchange.body) or nil,
      exchange.header
  end

  it("is asked below the project, with the token in its header", function()
    connect()
    answer(ANSWER)
    local response = assert(client.models:generate_content { model = "gemini-x", contents = "Hi",
      config = { labels = { a = "b" }, model_armor_config = { x = 1 }, temperature = 0 } })
    assert.equal("Hi", response.text)
    local line, body, header = asked()
    assert.equal("POST " .. PLACE .. "publishers/google/models/gemini-x:generateContent", line)
    assert.equal("Bearer token-of-the-spec", header.authorization)
    assert.is_nil(header["x-goog-api-key"])
    assert.same({ x = 1 }, body.modelArmorConfig)
  end)

  for given, path in pairs {
    ["publishers/meta/models/m"] = PLACE .. "publishers/meta/models/m",
    ["meta/m"] = PLACE .. "publishers/meta/models/m",
    ["models/123"] = PLACE .. "models/123",
    ["projects/q/locations/l/endpoints/5"] = "/v1beta1/projects/q/locations/l/endpoints/5",
  } do
    it("finds the model " .. given, function()
      connect()
      answer(ANSWER)
      assert(client.models:generate_content { model = given, contents = "x" })
      assert.equal("POST " .. path .. ":generateContent", (asked()))
    end)
  end

  it("has hosts of its own", function()
    for location, host in pairs {
      global = "https://aiplatform.googleapis.com", us = "https://aiplatform.us.rep.googleapis.com",
      eu = "https://aiplatform.eu.rep.googleapis.com",
      ["europe-west4"] = "https://europe-west4-aiplatform.googleapis.com",
    } do
      local at = gemini.Client { vertexai = true, project = "p", location = location, access_token = "t" }
      assert.equal(host, at.options.base_url)
      at:close()
    end
    local express = gemini.Client { vertexai = true, api_key = "k" }
    assert.equal("https://aiplatform.googleapis.com", express.options.base_url)
    express:close()
  end)

  it("takes an API key in express mode, without a project", function()
    connect { api_key = "key-of-express" }
    answer(ANSWER)
    assert(client.models:generate_content { model = "gemini-x", contents = "x" })
    local line, _, header = asked()
    assert.equal("POST /v1beta1/publishers/google/models/gemini-x:generateContent", line)
    assert.equal("key-of-express", header["x-goog-api-key"])
    assert.is_nil(header.authorization)
  end)

  it("counts, embeds, lists, streams, and keeps caches", function()
    connect()
    answer({ totalTokens = 5 }, { predictions = { { embeddings = { values = { 1, 2 } } }, { embeddings = {
      values = { 3, 4 } } } } }, { publisherModels = { { name = "publishers/google/models/g" } } },
      { name = "projects/p-1/locations/europe-west4/cachedContents/5" }, { name = "n" })
    assert.equal(5, assert(client.models:count_tokens { model = "g", contents = "x",
      config = { system_instruction = "s" } }).total_tokens)
    local embedded = assert(client.models:embed_content { model = "e", contents = { "a", "b" },
      config = { task_type = "CLUSTERING", output_dimensionality = 2, auto_truncate = true } })
    assert.same({ 3, 4 }, embedded.embeddings[2].values)
    assert.equal("publishers/google/models/g", client.models:list {}.page[1].name)
    local cache = assert(client.caches:create { model = "g", config = { contents = "x", kms_key_name = "k" } })
    assert(client.caches:get(cache))
    local line, body = asked(1)
    assert.equal("POST " .. PLACE .. "publishers/google/models/g:countTokens", line)
    assert.equal("s", body.systemInstruction.parts[1].text)
    line, body = asked(2)
    assert.equal("POST " .. PLACE .. "publishers/google/models/e:predict", line)
    assert.same({ instances = { { content = "a", task_type = "CLUSTERING" },
      { content = "b", task_type = "CLUSTERING" } },
      parameters = { outputDimensionality = 2, autoTruncate = true } }, body)
    assert.equal("GET /v1beta1/publishers/google/models", (asked(3)))
    line, body = asked(4)
    assert.equal("POST " .. PLACE .. "cachedContents", line)
    assert.equal("projects/p-1/locations/europe-west4/publishers/google/models/g", body.model)
    assert.same({ kmsKeyName = "k" }, body.encryptionSpec)
    assert.equal("GET " .. PLACE .. "cachedContents/5", (asked(5)))
  end)

  it("embeds one content of newer models, media in it, too", function()
    connect()
    answer({ embedding = { values = { 1, 2 } }, usageMetadata = { promptTokenCount = 7 } })
    local embedded = assert(client.models:embed_content { model = "gemini-embedding-2",
      contents = { { role = "user", parts = { "a", { inline_data = { mime_type = "image/png", data = "x" } } } } },
      config = { task_type = "CLUSTERING", output_dimensionality = 2, document_ocr = true } })
    assert.same({ 1, 2 }, embedded.embeddings[1].values)
    assert.equal(7, embedded.usage_metadata.prompt_token_count)
    local line, body = asked(1)
    assert.equal("POST " .. PLACE .. "publishers/google/models/gemini-embedding-2:embedContent", line)
    assert.same({ content = { role = "user", parts = { { text = "a" },
      { inlineData = { mimeType = "image/png", data = "eA==" } } } },
      embedContentConfig = { taskType = "CLUSTERING", outputDimensionality = 2, documentOcr = true } }, body)
    refused("invalid", "one content at a time",
      client.models:embed_content { model = "gemini-embedding-2", contents = { "a", "b" } })
    refused("invalid", "config.mime_type", client.models:embed_content { model = "gemini-embedding-2", contents = "a",
      config = { mime_type = "text/plain" } })
    answer({ predictions = { { embeddings = { values = { 3 } } } } })
    assert(client.models:embed_content { model = "gemini-embedding-001", contents = "a" })
    assert.matches(":predict$", (asked(1)))
  end)

  it("makes videos, which are asked for at their model", function()
    connect()
    local name = "projects/p-1/locations/europe-west4/publishers/google/models/veo/operations/o1"
    answer({ name = name }, { name = name, done = true, response = { videos = { { gcsUri = "gs://b/v.mp4",
      mimeType = "video/mp4" } } } })
    local operation = assert(client.models:generate_videos { model = "veo", prompt = "x",
      config = { output_gcs_uri = "gs://b", fps = 24, seed = 1 } })
    operation = assert(client.operations:get(operation))
    assert.equal("gs://b/v.mp4", operation.response.generated_videos[1].video.uri)
    local line, body = asked(2)
    assert.equal("POST " .. PLACE .. "publishers/google/models/veo:fetchPredictOperation", line)
    assert.same({ operationName = name }, body)
  end)

  it("names caches whole, and what is not described here as the API does", function()
    connect()
    for given, name in pairs { abc = "projects/p-1/locations/europe-west4/cachedContents/abc",
      ["cachedContents/abc"] = "projects/p-1/locations/europe-west4/cachedContents/abc",
      ["projects/q/locations/l/cachedContents/abc"] = "projects/q/locations/l/cachedContents/abc" } do
      answer(ANSWER)
      assert(client.models:generate_content { model = "g", contents = "x", config = { cached_content = given,
        labels = { a_b = "c" }, tools = { { retrieval = { vertex_ai_search = { data_store = "d" } } } },
        routing_config = { auto_mode = { model_routing_preference = "P" } } } })
      local _, body = asked()
      assert.equal(name, body.cachedContent)
      assert.same({ autoMode = { modelRoutingPreference = "P" } }, body.generationConfig.routingConfig)
      assert.same({ { retrieval = { vertexAiSearch = { dataStore = "d" } } } }, body.tools)
      assert.same({ a_b = "c" }, body.labels)
    end
  end)

  it("says where an image is that it put into the cloud", function()
    connect()
    answer { predictions = { { gcsUri = "gs://b/i.png", mimeType = "image/png" } } }
    local made = assert(client.models:generate_images { model = "imagen", prompt = "x",
      config = { output_gcs_uri = "gs://b", labels = { a_b = "c" } } }).generated_images[1]
    assert.same({ gcs_uri = "gs://b/i.png", mime_type = "image/png" }, made.image)
    assert.same({ image = made.image }, made)
    local _, body = asked()
    assert.same({ instances = { { prompt = "x" } }, parameters = { storageUri = "gs://b" }, labels = { a_b = "c" } },
      body)
  end)

  it("has names of its own for what is made, and how", function()
    connect()
    local function of(config)
      answer(ANSWER)
      assert(client.models:generate_content { model = "g", contents = "x", config = config })
      return select(2, asked()).generationConfig
    end
    local wanted = { imageConfig = { aspectRatio = "1:1", imageOutputOptions = { mimeType = "image/jpeg",
      compressionQuality = 70 } } }
    assert.same(wanted, of { image_config = { aspect_ratio = "1:1", output_mime_type = "image/jpeg",
      output_compression_quality = 70 } })
    assert.same(wanted, of { image_config = { aspect_ratio = "1:1", output_mime_type = "image/jpeg",
      image_output_options = { compression_quality = 70 } } })
    assert.same({ modelConfig = { featureSelectionPreference = "P" } },
      of { model_selection_config = { feature_selection_preference = "P" } })
    answer { name = "projects/p-1/locations/l/cachedContents/c" }
    assert(client.caches:create { model = "g", config = { contents = "x", kms_key_name = "k" } })
    local _, body = asked()
    assert.same({ kmsKeyName = "k" }, body.encryptionSpec)
    assert.is_nil(body.kmsKeyName)
  end)

  it("takes videos by the names that it has for them", function()
    connect()
    local function of(args)
      args.model = "veo"
      answer { name = "projects/p-1/locations/l/publishers/google/models/veo/operations/o" }
      assert(client.models:generate_videos(args))
      return select(2, asked())
    end
    assert.same({ instances = { { video = { gcsUri = "gs://v", mimeType = "video/mp4" } } },
      parameters = { storageUri = "gs://o" }, labels = { A_b = "c" } },
      of { video = { uri = "gs://v", mime_type = "video/mp4" }, config = { output_gcs_uri = "gs://o",
        labels = { A_b = "c" } } })
    assert.same({ instances = { { video = { bytesBase64Encoded = "eHl6", mimeType = "video/mp4" },
      mask = { gcsUri = "gs://m", mimeType = "image/png", maskMode = "INSERT" } } } },
      of { video = { video_bytes = "xyz", mime_type = "video/mp4" }, config = { mask = { mask_mode = "INSERT",
        image = { gcs_uri = "gs://m", mime_type = "image/png" } } } })
  end)

  describe("has batches in the cloud:", function()
    local NAME = "projects/p-1/locations/l/batchPredictionJobs/7"

    local function create(args)
      connect()
      args.model = "g"
      answer { name = NAME, state = "JOB_STATE_PENDING", displayName = "d",
        inputConfig = { instancesFormat = "jsonl", gcsSource = { uris = { "gs://b/in.jsonl" } } },
        outputConfig = { predictionsFormat = "jsonl", gcsDestination = { outputUriPrefix = "gs://b/out" } } }
      local batch = assert(client.batches:create(args))
      local line, body = asked()
      assert.equal("POST " .. PLACE .. "batchPredictionJobs", line)
      return body, batch
    end

    it("files of lines, and where their answers go", function()
      local body, batch = create { src = "gs://b/in.jsonl", config = { display_name = "d", dest = "gs://b/out" } }
      assert.same({ model = "publishers/google/models/g", displayName = "d",
        inputConfig = { instancesFormat = "jsonl", gcsSource = { uris = { "gs://b/in.jsonl" } } },
        outputConfig = { predictionsFormat = "jsonl", gcsDestination = { outputUriPrefix = "gs://b/out" } } }, body)
      assert.same({ name = NAME, state = "JOB_STATE_PENDING", display_name = "d",
        src = { format = "jsonl", gcs_uri = { "gs://b/in.jsonl" } },
        dest = { format = "jsonl", gcs_uri = "gs://b/out" } }, batch)
      body = create { src = { "gs://b/a.jsonl", "gs://b/b.jsonl" } }
      assert.same({ "gs://b/a.jsonl", "gs://b/b.jsonl" }, body.inputConfig.gcsSource.uris)
      assert.equal("gs://b/a/dest", body.outputConfig.gcsDestination.outputUriPrefix)
      assert.truthy(body.displayName)
    end)

    it("tables", function()
      local body = create { src = { bigquery_uri = "bq://p.d.t" }, config = { dest = { bigquery_uri = "bq://p.d.o" } } }
      assert.same({ instancesFormat = "bigquery", bigquerySource = { inputUri = "bq://p.d.t" } }, body.inputConfig)
      assert.same({ predictionsFormat = "bigquery", bigqueryDestination = { outputUri = "bq://p.d.o" } },
        body.outputConfig)
    end)

    it("they are looked at, waited for, listed, cancelled and deleted", function()
      connect()
      local job = { name = NAME, state = "JOB_STATE_SUCCEEDED",
        outputConfig = { bigqueryDestination = { outputUri = "bq://o" } } }
      answer(job, job, { batchPredictionJobs = { job }, nextPageToken = "" }, {}, {})
      local batch = assert(client.batches:get "7")
      assert.equal("JOB_STATE_SUCCEEDED", assert(client.batches:wait(batch)).state)
      assert.equal("bq://o", client.batches:list().page[1].dest.bigquery_uri)
      assert.is_true(client.batches:cancel(NAME))
      assert.is_true(client.batches:delete "batchPredictionJobs/7")
      assert.equal("GET " .. PLACE .. "batchPredictionJobs/7", (asked(1)))
      assert.equal("GET /v1beta1/" .. NAME, (asked(2)))
      assert.equal("GET " .. PLACE .. "batchPredictionJobs", (asked(3)))
      assert.equal("POST /v1beta1/" .. NAME .. ":cancel", (asked(4)))
      assert.equal("DELETE " .. PLACE .. "batchPredictionJobs/7", (asked(5)))
      refused("invalid", "Vertex AI writes them to bq://o", client.batches:results(batch))
      answer { name = NAME, state = "JOB_STATE_PARTIALLY_SUCCEEDED" }
      assert.equal("JOB_STATE_PARTIALLY_SUCCEEDED", assert(client.batches:wait(batch)).state)
      answer { name = NAME, state = "JOB_STATE_FAILED", error = { code = 3, message = "no such table" } }
      refused("invalid", "no such table", client.batches:wait(batch))
    end)

    it("what they are not is refused", function()
      connect()
      server:script {}
      local function ask(src, config) return client.batches:create { model = "g", src = src, config = config } end
      refused("invalid", "src: a place in the cloud is needed", ask { { contents = "x" } })
      refused("invalid", "src: a place in the cloud is needed", ask "files/x")
      refused("invalid", "src[2]: files of Cloud Storage, or one table", ask { "gs://a", "bq://b" })
      refused("invalid", "src[2]: files of Cloud Storage, or one table", ask { "bq://a", "bq://b" })
      refused("invalid", "config.dest: the table", ask "bq://a")
      refused("invalid", "config.dest: a place in the cloud", ask("gs://a", { dest = "out" }))
      refused("invalid", "config.priority: only the Gemini API", ask("gs://a", { priority = 1 }))
      refused("invalid", "batch name is not valid", client.batches:get "batches/x")
      assert.equal(0, #server:received())
    end)
  end)

  it("shows the version of a model", function()
    connect()
    answer({ name = "publishers/google/models/g", versionId = "001" },
      { publisherModels = { { name = "publishers/google/models/h", versionId = "002" } } })
    assert.equal("001", assert(client.models:get "g").version)
    assert.equal("002", client.models:list().page[1].version)
  end)

  it("shows its citations as everywhere", function()
    connect()
    answer { candidates = { { content = { parts = { { text = "x" } } }, finishReason = "STOP",
      citationMetadata = { citations = { { uri = "u", startIndex = 1 } } } } } }
    local response = assert(client.models:generate_content { model = "g", contents = "x" })
    assert.equal("u", response.candidates[1].citation_metadata.citations[1].uri)
  end)

  it("refuses here what only the Gemini API has", function()
    connect()
    server:script {}
    local function ask(config, part)
      return client.models:generate_content { model = "g", contents = { part or "x" }, config = config }
    end
    for words, config in pairs {
      ["config.enable_enhanced_civic_answers"] = { enable_enhanced_civic_answers = true },
      ["config.tools[1].file_search"] = { tools = { { file_search = { file_search_store_names = { "s" } } } } },
      ["config.tools[1].mcp_servers"] = { tools = { { mcp_servers = {} } } },
      ["config.tool_config.include_server_side_tool_invocations"] = { tool_config = {
        include_server_side_tool_invocations = true } },
      ["config.tools[1].computer_use.disabled_safety_policies"] = { tools = { { computer_use = {
        disabled_safety_policies = { "x" } } } } },
    } do
      refused("invalid", words .. ": only the Gemini API takes this field", ask(config))
    end
    refused("invalid", "part_metadata", ask(nil, { text = "x", part_metadata = { a = 1 } }))
    refused("invalid", "Vertex AI keeps no files", client.files:upload { data = "x",
      config = { mime_type = "text/plain" } })
    refused("invalid", "Vertex AI keeps no files", ask(nil, { file = "spec/fixtures/demo.mp4" }))
    for _, call in ipairs {
      function() return client.files:get "files/x" end,
      function() return client.batches:create_embeddings { model = "g", src = { { contents = "x" } } } end,
      function() return client.file_search_stores:create() end,
      function() return client.tunings:get "t" end,
      function() return client.auth_tokens:create() end,
      function() return client.interactions:create { model = "g", input = "x" } end,
      function() return client.models:delete "tunedModels/t" end,
    } do
      refused("invalid", "goes to the Gemini API only, not to Vertex AI", call())
    end
    for words, call in pairs {
      ["gs://"] = function() return client.files:list():next_page() end,
      ["tuningJobs"] = function() return client.tunings:list():next_page() end,
      ["chats work there"] = function() return client.interactions:get "v1_x" end,
      ["another Client{}"] = function() return client.file_search_stores:get "fileSearchStores/a" end,
    } do
      local _, err = call()
      assert.truthy(err.hint:find(words, 1, true), tostring(err))
    end
    refused("invalid", "embeds texts only", client.models:embed_content { model = "e", contents = { {
      inline_data = { mime_type = "image/png", data = "x" } } } })
    assert.equal(0, #server:received())
  end)

  it("says what is missing or too much at the first call", function()
    local function first(given, kind, words)
      local wrong = gemini.Client(given)
      refused(kind, words, wrong.models:get "m")
      wrong:close()
    end
    first({ vertexai = true, access_token = "t" }, "invalid", "needs a project")
    first({ vertexai = true, project = "p" }, "auth", "there is no token")
    first({ vertexai = true, project = "p", api_key = "k" }, "invalid", "not both")
    first({ vertexai = true, project = "p/../q", access_token = "t" }, "invalid", "letters, digits and dashes")
    first({ project = "p" }, "invalid", "project goes with Vertex AI only")
    first({ access_token = "t" }, "invalid", "access_token goes with Vertex AI only")
    first({ vertexai = true, project = "p", credentials = directory .. "/none.json" }, "auth", "cannot read")
    first({ vertexai = true, project = "p", credentials = { client_email = "x" } }, "auth", "private_key")
    first({ vertexai = true, project = "p", credentials = { client_email = "x", private_key = "no" } }, "auth",
      "no RSA key")
    assert.error_matches(function() gemini.Client { vertexai = 1 } end, "vertexai: boolean expected")
  end)

  describe("tokens", function()
    it("are asked for when the one at hand has ended, and kept while it lives", function()
      local times, lives = 0, 3600
      connect { project = "p-1", access_token = function()
        times = times + 1
        return "token-number-" .. times, lives
      end }
      answer(ANSWER, ANSWER, ANSWER, ANSWER)
      for _ = 1, 2 do assert(client.models:generate_content { model = "g", contents = "x" }) end
      assert.equal(1, times)
      client.vertex.expires = client.tasks.now() -- its time is up
      lives = nil
      for _ = 1, 2 do assert(client.models:generate_content { model = "g", contents = "x" }) end
      assert.equal(3, times) -- of unknown life: asked for each time
      assert.equal("Bearer token-number-3", select(3, asked(4)).authorization)
    end)

    it("that were taken back are renewed once", function()
      local times = 0
      connect { project = "p-1", access_token = function()
        times = times + 1
        return "token-number-" .. times, 3600
      end }
      local gone = { status = 401, body = { json = { error = { code = 401, message = "token-number-1 has ended",
        status = "UNAUTHENTICATED" } } } }
      answer(gone, ANSWER)
      assert(client.models:generate_content { model = "g", contents = "x" })
      answer(gone, gone, gone)
      local err = refused("auth", "has ended", client.models:generate_content { model = "g", contents = "x" })
      assert.equal(2, #server:received())
      assert.is_nil(tostring(err):find("token-number-3", 1, true))
    end)

    it("that are taken back in the middle of a stream end it: what came is not asked for again", function()
      connect { project = "p-1", access_token = function() return "token-number-1", 3600 end }
      answer({ status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { bytes =
        'data: {"candidates":[{"content":{"parts":[{"text":"Hel"}]}}]}\n\n'
        .. 'data: {"error":{"code":401,"message":"it has ended","status":"UNAUTHENTICATED"}}\n\n' } }, ANSWER)
      local stream = client.models:generate_content_stream { model = "g", contents = "x" }
      assert.equal("Hel", stream:next().text)
      local err = refused("incomplete", "has ended", stream:next())
      assert.equal(401, err.code)
      assert.equal("Hel", err.partial.text)
      assert.equal(1, #server:received())
    end)

    it("that end within the minute, or of which nobody says when, are asked for each time", function()
      for _, seconds in ipairs { 30, false } do
        local times = 0
        connect { project = "p-1", access_token = function()
          times = times + 1
          return "token-number-" .. times, seconds or nil
        end }
        answer(ANSWER, ANSWER)
        for _ = 1, 2 do assert(client.models:generate_content { model = "g", contents = "x" }) end
        assert.equal(2, times)
        client:close()
      end
    end)

    it("that nobody kept are not asked for again when the service refuses one", function()
      local gone = { status = 401, body = { json = { error = { code = 401, message = "no",
        status = "UNAUTHENTICATED" } } } }
      for _, token in ipairs { "token-of-the-spec", function() return "token-of-a-minute", 60 end } do
        connect { project = "p-1", access_token = token }
        answer(gone, gone)
        refused("auth", "no", client.models:generate_content { model = "g", contents = "x" })
        assert.equal(1, #server:received())
        client:close()
      end
    end)

    it("that several requests find taken back are asked for once", function()
      local times = 0
      connect { project = "p-1", access_token = function()
        times = times + 1
        return "token-number-" .. times, 3600
      end }
      local door, call = client.vertex, { client = client }
      local first = assert(vertex.key(door, call))
      assert.is_true(vertex.forget(door, first))
      assert.is_true(vertex.forget(door, first)) -- another one is not at hand yet
      local second = assert(vertex.key(door, call))
      assert.is_true(vertex.forget(door, first))
      assert.equal(second, vertex.key(door, call))
      assert.equal(2, times)
    end)

    it("that a function cannot give are an error, without the token in it", function()
      connect { project = "p-1", access_token = function() error "no luck" end }
      refused("auth", "no luck", client.models:get "m")
      client:close()
      connect { project = "p-1", access_token = function() return "a b" end }
      refused("auth", "a token of OAuth is needed", client.models:get "m")
    end)

    it("of a service account are signed for, exchanged and kept", function()
      local pem, public = directory .. "/key.pem", directory .. "/public.pem"
      assert.truthy(os.execute(("openssl genrsa -out %s 2048 2>/dev/null && openssl rsa -in %s -pubout -out %s "
        .. "2>/dev/null"):format(pem, pem, public)))
      local file = assert(io.open(pem, "rb"))
      local key = file:read "*a"
      file:close()
      local path = directory .. "/account.json"
      file = assert(io.open(path, "wb"))
      file:write(cjson.encode { type = "service_account", client_email = "a@p.iam", private_key = key,
        private_key_id = "kid-1", token_uri = server.url .. "/token" })
      file:close()
      connect { project = "p-1", credentials = path }
      answer({ access_token = "token-of-the-account", expires_in = 3600 }, ANSWER, ANSWER)
      for _ = 1, 2 do assert(client.models:generate_content { model = "g", contents = "x" }) end
      local exchanges = server:received()
      assert.equal(3, #exchanges)
      assert.equal("Bearer token-of-the-account", exchanges[2].header.authorization)
      assert.is_nil(exchanges[1].header.authorization)
      assert.equal("application/x-www-form-urlencoded", exchanges[1].header["content-type"])
      local proof = assert(exchanges[1].body:match
        "^grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant%-type%%3Ajwt%-bearer&assertion=([%w%-_%.]+)$")
      local head, claims, signature = proof:match "^([^.]+)%.([^.]+)%.([^.]+)$"
      local function decode(text) return core.base64.decode(text) end
      assert.same({ alg = "RS256", kid = "kid-1", typ = "JWT" }, cjson.decode(decode(head)))
      local said = cjson.decode(decode(claims))
      assert.equal("a@p.iam", said.iss)
      assert.equal(server.url .. "/token", said.aud)
      assert.equal("https://www.googleapis.com/auth/cloud-platform", said.scope)
      assert.equal(3600, said.exp - said.iat)
      for name, bytes in pairs { signed = head .. "." .. claims, signature = decode(signature) } do
        file = assert(io.open(directory .. "/" .. name, "wb"))
        file:write(bytes)
        file:close()
      end
      assert.truthy(os.execute(("openssl dgst -sha256 -verify %s -signature %s/signature %s/signed >/dev/null")
        :format(public, directory, directory)))

      client:close()
      connect { project = "p-1", credentials = path }
      answer { status = 400, body = { json = { error = "invalid_grant", error_description = "no such account" } } }
      local err = refused("invalid", "no token for the service account", client.models:get "m")
      assert.is_nil(tostring(err):find(proof, 1, true))
    end)

    describe("of a service account that tasks want at once", function()
      local key
      local function connect_account()
        if not key then
          local pipe = assert(io.popen "openssl genrsa 2048 2>/dev/null")
          key = pipe:read "*a"
          pipe:close()
        end
        connect { project = "p-1", credentials = { client_email = "a@p.iam", private_key = key,
          token_uri = server.url .. "/token" } }
      end
      local function ask(config)
        return client.models:generate_content { model = "g", contents = "x", config = config }
      end
      local TOKEN = { access_token = "token-of-the-account", expires_in = 3600 }
      local function gated(name)
        return { status = 200, gate = name, headers = { ["content-type"] = "application/json" },
          body = { json = TOKEN } }
      end
      local function step_until(done)
        local limit = client.tasks.now() + 20
        while not done() do
          assert.truthy(client.tasks.now() < limit, "it does not come")
          client:step(0.01)
        end
      end
      local function is_asked() return #server:received() == 1 end

      it("are asked for once", function()
        connect_account()
        local answers, tasks = { ANSWER, ANSWER, ANSWER, ANSWER, ANSWER }, {}
        for _, lives in ipairs { 3600, 30 } do -- one that lives short is for those who waited, too
          answer({ access_token = "token-of-the-account", expires_in = lives }, unpack(answers))
          for i = 1, #answers do tasks[i] = client:spawn(ask) end
          client:run()
          for _, task in ipairs(tasks) do assert.equal("Hi", assert(task:result()).text) end
          assert.equal(1 + #answers, #server:received())
          assert.equal("POST /token", (server:received()[1].request_line:gsub(" HTTP.*", "")))
          client.vertex.token = nil
        end
      end)

      it("are refused to each of them, once, and asked for again by the next", function()
        connect_account()
        answer { status = 400, body = { json = { error = "invalid_grant", error_description = "no such account" } } }
        local one, two = client:spawn(ask), client:spawn(ask)
        client:run()
        assert.equal(1, #server:received())
        local first, second = select(2, one:result()), select(2, two:result())
        assert.equal("invalid", first.kind)
        assert.matches("no such account", second.message)
        assert.are_not.equal(first, second)
        answer(TOKEN, ANSWER)
        assert(client:spawn(ask):wait())
      end)

      for words, stop in pairs {
        ["is cancelled"] = function(task) task:cancel() end,
        ["is killed"] = require("lgemini.task").kill,
      } do
        it("come where the first of them " .. words, function()
          connect_account()
          answer(gated "token", ANSWER)
          local first, second = client:spawn(ask), client:spawn(ask)
          step_until(is_asked)
          stop(first)
          step_until(function() return first.done end)
          server:release "token"
          client:run()
          assert.equal("cancelled", select(2, first:result()).kind)
          assert.equal("Hi", assert(second:result()).text)
          assert.equal(2, #server:received())
        end)
      end

      it("are waited for within the time of each call, and until the client is closed", function()
        connect_account()
        answer(gated "token")
        local short = client:spawn(ask, { http_options = { timeout = { total = 0.05 } } })
        local long = client:spawn(ask)
        step_until(function() return short.done end)
        local err = select(2, short:result())
        assert.equal("timeout", err.kind)
        assert.equal("total", err.clock)
        assert.is_false(long.done)
        client:close()
        assert.matches("^c", select(2, long:wait()).kind) -- closed, or cancelled as its request was
        server:release "token"
      end)
    end)
  end)
end)

describe("RS256", function()
  it("signs with RSA keys only", function()
    local signature, err = core.sign_rs256("", "x")
    assert.is_nil(signature)
    assert.equal("invalid", err.kind)
    local pipe = assert(io.popen "openssl ecparam -genkey -name prime256v1 -noout 2>/dev/null")
    local elliptic = pipe:read "*a"
    pipe:close()
    assert.truthy(elliptic:find("PRIVATE KEY", 1, true))
    assert.is_nil((core.sign_rs256(elliptic, "x")))
  end)
end)
