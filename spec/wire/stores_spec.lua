-- File search stores and tokens, against the emulator; tunings, registered files and tuned models, against a scripted
-- server: the emulator trains nothing and knows no cloud.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local refused = require "spec.support.refused"
local scripted = require "spec.support.scripted"

local function connect(url)
  return gemini.Client { api_key = "k", http_options = { base_url = url, retry_options = false } }
end

describe("a file search store", function()
  local em, client, stores

  setup(function() em = emulator.start { args = { "--processing", "0.2" } } end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = connect(em.url)
    stores = client.file_search_stores
  end)
  after_each(function()
    client:close()
    client, stores = nil, nil
  end)

  it("takes documents in, by upload and by import, and shows them", function()
    local store = assert(stores:create { config = { display_name = "docs" } })
    assert.equal("docs", store.display_name)
    local seen
    local operation = assert(stores:upload_to_file_search_store { file_search_store_name = store,
      file = "spec/fixtures/paper.pdf", config = { display_name = "Paper", custom_metadata = {
        { key = "author", string_value = "Ann" }, { key = "year", numeric_value = 2024 },
        { key = "tags", string_list_value = { values = { "a", "b" } } } },
        chunking_config = { white_space_config = { max_tokens_per_chunk = 200, max_overlap_tokens = 20 } } },
      on_progress = function(sent, total) seen = sent == total end })
    assert.is_true(seen)
    assert.is_nil(operation.done)
    local started = em:requests_to ":uploadToFileSearchStore"[1]
    assert.same({ displayName = "Paper", mimeType = "application/pdf", customMetadata = {
      { key = "author", stringValue = "Ann" }, { key = "year", numericValue = 2024 },
      { key = "tags", stringListValue = { values = { "a", "b" } } } },
      chunkingConfig = { whiteSpaceConfig = { maxTokensPerChunk = 200, maxOverlapTokens = 20 } } }, started.body)
    operation = assert(client.operations:wait(operation))
    local document = assert(stores.documents:get(operation.response.document_name))
    assert.equal("STATE_ACTIVE", document.state)
    assert.equal("Paper", document.display_name)
    assert.equal("Ann", document.custom_metadata[1].string_value)

    local file = assert(client.files:upload { file = "spec/fixtures/paper.pdf" })
    operation = assert(stores:import_file { file_search_store_name = store.name, file_name = file })
    operation = assert(client.operations:wait(operation))
    assert.equal(store.name, operation.response.parent)
    local names = {}
    for each in stores.documents:list(store) do names[#names + 1] = each.name end
    assert.same({ operation.response.document_name, document.name }, names)
    assert.equal(2, assert(stores:get(store)).active_documents_count)
  end)

  it("is listed, and deleted with what is in it only by force", function()
    local store = assert(stores:create())
    local operation = assert(stores:upload_to_file_search_store { file_search_store_name = store.name, data = "text",
      config = { mime_type = "text/plain" } })
    operation = assert(client.operations:wait(operation))
    refused("precondition", "non-empty Document", stores.documents:delete(operation.response.document_name))
    refused("precondition", "non-empty FileSearchStore", stores:delete(store.name))
    assert.is_true(stores.documents:delete { name = operation.response.document_name, config = { force = true } })
    assert.is_true(stores:delete(store))
    assert(stores:create { config = { display_name = "a" } })
    local full = assert(stores:create { config = { display_name = "b" } })
    assert(stores:upload_to_file_search_store { file_search_store_name = full, data = "x",
      config = { mime_type = "text/plain" } })
    local all = {}
    for each in stores:list { config = { page_size = 1 } } do all[#all + 1] = each end
    for _, each in ipairs(all) do assert.is_true(stores:delete { name = each, config = { force = true } }) end
    assert.same({}, stores:list {}.page)
  end)

  it("is refused where a name cannot be one", function()
    em:clear()
    refused("invalid", "name of a file search store is not valid", stores:get "a/b")
    refused("invalid", "document name is not valid", stores.documents:get "documents/x")
    refused("invalid", "media name is not valid", stores:download_media "fileSearchStores/x")
    refused("invalid", "name of a file search store", stores:upload_to_file_search_store {
      file_search_store_name = "a?b", data = "x" })
    assert.error_matches(function() stores:create { display_name = "x" } end, "did you mean config.display_name")
    assert.same({}, em:requests())
  end)

  it("leaves nothing behind at the server when the document cannot be read", function()
    local store = assert(stores:create())
    refused("io", "gone.pdf", stores:upload_to_file_search_store { file_search_store_name = store, file = "gone.pdf" })
    assert.same({}, em:requests_to "/upload/")
  end)
end)

describe("a token", function()
  local em, client

  setup(function() em = emulator.start() end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = connect(em.url)
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function body_of(config)
    em:clear()
    local token = assert(client.auth_tokens:create { config = config })
    assert.truthy(token.name:find "^auth_tokens/")
    local asked = em:requests()[1]
    assert.equal("/v1alpha/auth_tokens", asked.path)
    return asked.body
  end

  it("says what may be done with it", function()
    assert.same({ uses = 1, expireTime = "2020-03-01T10:30:00Z", newSessionExpireTime = "2020-03-01T10:01:00Z" },
      body_of { uses = 1, expire_time = "2020-03-01T10:30:00Z", new_session_expire_time = "2020-03-01T10:01:00Z" })
    assert.same({}, body_of(nil))
    assert.same({ expireTime = "2020-03-01T10:30:00Z", newSessionExpireTime = "2020-03-01T10:01:00Z" },
      body_of { expire_time = 1583058600, new_session_expire_time = 1583056860 })
    refused("invalid", "config.expire_time: a time as os.time() gives it expected", client.auth_tokens:create {
      config = { expire_time = -1 } })
  end)

  it("has names of the API within its setup, too", function()
    assert.same({ realtimeInputConfig = { automaticActivityDetection = { silenceDurationMs = 500 } },
      contextWindowCompression = { triggerTokens = "25600", slidingWindow = { targetTokens = "12800" } },
      inputAudioTranscription = {} },
      body_of { live_connect_constraints = { config = {
        realtime_input_config = { automatic_activity_detection = { silence_duration_ms = 500 } },
        context_window_compression = { trigger_tokens = "25600", sliding_window = { targetTokens = "12800" } },
        input_audio_transcription = {} } } }.bidiGenerateContentSetup)
  end)

  it("locks all of the setup, what was set, or that and more", function()
    local function constraints()
      return { model = "gemini-live", config = { response_modalities = { "AUDIO" }, temperature = 0.7,
        system_instruction = "Be brief." } }
    end
    local setup = { model = "models/gemini-live", generationConfig = { responseModalities = { "AUDIO" },
      temperature = 0.7 }, systemInstruction = { role = "user", parts = { { text = "Be brief." } } } }
    assert.same({ bidiGenerateContentSetup = setup }, body_of { live_connect_constraints = constraints() })
    assert.same({ bidiGenerateContentSetup = setup,
      fieldMask = "generationConfig.responseModalities,generationConfig.temperature,model,systemInstruction" },
      body_of { live_connect_constraints = constraints(), lock_additional_fields = {} })
    assert.equal("generationConfig.responseModalities,generationConfig.temperature,generationConfig.topK,model,"
      .. "proactivity,systemInstruction", body_of { live_connect_constraints = constraints(),
      lock_additional_fields = { "top_k", "proactivity" } }.fieldMask)
  end)

  it("is refused here where its setup cannot be sent", function()
    refused("invalid", "config.live_connect_constraints.config.realtime_input_config.x", client.auth_tokens:create {
      config = { live_connect_constraints = { config = { realtime_input_config = { x = "\255" } } } } })
    refused("invalid", "model is not valid", client.auth_tokens:create { config = {
      live_connect_constraints = { model = "a?b" } } })
    assert.same({}, em:requests())
  end)

  it("is refused with the service's words", function()
    refused("invalid", "at most 20 hours", client.auth_tokens:create { config = {
      expire_time = "2099-01-01T00:00:00Z" } })
    assert.error_matches(function() client.auth_tokens:create { config = { live_connect_constraints = {
      config = { temprature = 1 } } } } end, "did you mean")
  end)
end)

describe("scripted services", function()
  local server, client

  setup(function() server = scripted.start { limit = 10 } end)
  teardown(function() server:stop() end)
  before_each(function() client = connect(server.url) end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function answer(value)
    server:script { { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = value } } }
  end

  -- What was asked: request line, body, and headers.
  local function asked()
    local exchange = server:received()[1]
    return exchange.method .. " " .. exchange.target, exchange.body ~= "" and cjson.decode(exchange.body) or nil,
      exchange.header
  end

  it("tune a model", function()
    answer { name = "tunedModels/t1/operations/o1", metadata = { tunedModel = "tunedModels/t1" } }
    local job = assert(client.tunings:tune { base_model = "gemini-1.5-flash-001-tuning",
      training_dataset = { examples = { { text_input = "1", output = "2" } } },
      config = { tuned_model_display_name = "T", epoch_count = 3, batch_size = 4, learning_rate_multiplier = 0.5 } })
    assert.same({ name = "tunedModels/t1", state = "JOB_STATE_QUEUED", operation = "tunedModels/t1/operations/o1",
      base_model = "models/gemini-1.5-flash-001-tuning" }, job)
    local line, body = asked()
    assert.equal("POST /v1beta/tunedModels", line)
    assert.same({ displayName = "T", baseModel = "models/gemini-1.5-flash-001-tuning", tuningTask = {
      hyperparameters = { epochCount = 3, batchSize = 4, learningRateMultiplier = 0.5 },
      trainingData = { examples = { examples = { { textInput = "1", output = "2" } } } } } }, body)
    refused("invalid", "examples are needed", client.tunings:tune { base_model = "g" })
    for words, more in pairs {
      ["training_dataset.examples[1].textInput: did you mean"] = { training_dataset = { examples = { {
        textInput = "1" } } } },
      ["config.tuned_model_display_name: string expected"] = { config = { tuned_model_display_name = 1 } },
      ["config.epoch_count: number expected"] = { config = { epoch_count = "3" } },
    } do
      local args = { base_model = "g", training_dataset = { examples = { { text_input = "1", output = "2" } } } }
      for name, value in pairs(more) do args[name] = value end
      local ok, message = pcall(client.tunings.tune, client.tunings, args)
      assert.is_false(ok)
      assert.truthy(message:find(words, 1, true), message)
    end
  end)

  it("show tunings, with the states of the SDKs", function()
    answer { tunedModels = { { name = "tunedModels/a", state = "ACTIVE" }, { name = "tunedModels/b",
      state = "CREATING" }, { name = "tunedModels/c", state = "FAILED" } } }
    local states = {}
    for job in client.tunings:list {} do
      states[#states + 1] = job.state .. " " .. tostring((job.tuned_model or {}).model)
    end
    assert.same({ "JOB_STATE_SUCCEEDED tunedModels/a", "JOB_STATE_RUNNING nil", "JOB_STATE_FAILED nil" }, states)
    answer { name = "tunedModels/a", state = "ACTIVE" }
    assert.equal("JOB_STATE_SUCCEEDED", assert(client.tunings:get "a").state)
    answer {}
    assert.is_true(client.tunings:delete "tunedModels/a")
    assert.equal("DELETE /v1beta/tunedModels/a", (asked()))
  end)

  it("change and delete tuned models", function()
    answer { name = "tunedModels/a", displayName = "New" }
    assert.equal("New", assert(client.models:update { model = "tunedModels/a", config = { display_name = "New" } })
      .display_name)
    local line, body = asked()
    assert.equal("PATCH /v1beta/tunedModels/a", line)
    assert.same({ displayName = "New" }, body)
    answer {}
    assert.is_true(client.models:delete "tunedModels/a")
  end)

  it("register files of the cloud, with the token in its header only", function()
    answer { files = { { name = "files/r", source = "REGISTERED" } } }
    local none, refusal = client.files:register { uris = { "gs://b/a.mp4" }, quota_project = "p\r\nX-Other: 1",
      access_token = "t" }
    assert.is_nil(none)
    assert.equal("invalid", refusal.kind)
    local files = assert(client.files:register { uris = { "gs://b/a.mp4" }, quota_project = "p",
      access_token = function() return "token-1", 3600 end })
    assert.equal("REGISTERED", files[1].source)
    local line, body, header = asked()
    assert.equal("POST /v1beta/files:register", line)
    assert.same({ uris = { "gs://b/a.mp4" } }, body)
    assert.equal("Bearer token-1", header.authorization)
    assert.equal("p", header["x-goog-user-project"])
    server:script { { status = 401, body = { json = { error = { code = 401, status = "UNAUTHENTICATED",
      message = "who is a-longer-token?" } } } } }
    local err = refused("auth", "who is", client.files:register { uris = {}, access_token = "a-longer-token" })
    assert.is_nil(tostring(err):find("a-longer-token", 1, true))
    refused("auth", "gave no token: away", client.files:register { uris = {}, access_token = function()
      return nil, "away"
    end })
    refused("auth", "a token of OAuth is needed", client.files:register { uris = {} })
  end)

  it("fetch what an answer cites", function()
    server:script { { status = 200, body = { bytes = "page" } } }
    assert.equal("page", client.file_search_stores:download_media "fileSearchStores/x/media/b1")
    assert.equal("GET /v1beta/fileSearchStores/x/media/b1?alt=media", (asked()))
  end)

  it("do not start twice what may have begun", function()
    client:close()
    client = gemini.Client { api_key = "k", http_options = { base_url = server.url,
      retry_options = { initial_delay = 0.01, max_delay = 0.01 } } }
    local fails = { status = 500, body = { bytes = "" } }
    local examples = { examples = { { text_input = "1", output = "2" } } }
    for _, start in ipairs {
      function() return client.batches:create { model = "m", src = { { contents = "x" } } } end,
      function() return client.batches:create_embeddings { model = "m", src = { { contents = "x" } } } end,
      function() return client.caches:create { model = "m", config = { contents = "x" } } end,
      function() return client.tunings:tune { base_model = "m", training_dataset = examples } end,
      function() return client.file_search_stores:create() end,
      function() return client.file_search_stores:import_file { file_search_store_name = "s", file_name = "f" } end,
      function() return client.auth_tokens:create() end,
    } do
      server:script { fails, fails, fails, fails }
      local err = refused("unavailable", "", start())
      assert.equal(1, err.attempts)
      assert.is_false(err.retryable)
    end
    server:script { fails, { status = 200, body = { json = { name = "cachedContents/c" } } } }
    assert.equal("cachedContents/c", assert(client.caches:get "c").name)
  end)
end)
