-- What never reaches the service: a call of any kind gives nil and an error of its own, and sends nothing.
local check_refused = require "spec.support.refused"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

-- Calls that are fine but for who makes them.
local CALLS = {
  ["models.generate_content"] = { model = "m", contents = "x" },
  ["models.count_tokens"] = { model = "m", contents = "x" },
  ["models.embed_content"] = { model = "m", contents = "x" },
  ["models.generate_images"] = { model = "m", prompt = "x" },
  ["models.generate_videos"] = { model = "m", prompt = "x" },
  ["models.get"] = "m",
  ["models.update"] = { model = "tunedModels/t", config = { display_name = "x" } },
  ["models.delete"] = "tunedModels/t",
  ["files.get"] = "files/x",
  ["files.delete"] = "files/x",
  ["files.wait"] = "files/x",
  ["files.upload"] = { data = "x", config = { mime_type = "text/plain" } },
  ["files.download"] = { file = "files/x" },
  ["files.register"] = { uris = { "gs://b/x" }, access_token = "t" },
  ["caches.create"] = { model = "m", config = { contents = "x" } },
  ["caches.get"] = "cachedContents/x",
  ["caches.update"] = { name = "cachedContents/x", config = { ttl = 60 } },
  ["caches.delete"] = "cachedContents/x",
  ["batches.create"] = { model = "m", src = { { contents = "x" } } },
  ["batches.create_embeddings"] = { model = "m", src = { { contents = "x" } } },
  ["batches.get"] = "batches/x",
  ["batches.wait"] = "batches/x",
  ["batches.results"] = "batches/x",
  ["batches.cancel"] = "batches/x",
  ["batches.delete"] = "batches/x",
  ["operations.get"] = "models/m/operations/x",
  ["operations.wait"] = "models/m/operations/x",
  ["tunings.tune"] = { base_model = "m", training_dataset = { examples = { { text_input = "a", output = "b" } } } },
  ["tunings.get"] = "tunedModels/t",
  ["tunings.delete"] = "tunedModels/t",
  ["file_search_stores.create"] = {},
  ["file_search_stores.get"] = "fileSearchStores/s",
  ["file_search_stores.delete"] = "fileSearchStores/s",
  ["file_search_stores.upload_to_file_search_store"] = { file_search_store_name = "s", data = "x",
    config = { mime_type = "text/plain" } },
  ["file_search_stores.import_file"] = { file_search_store_name = "s", file_name = "files/x" },
  ["file_search_stores.download_media"] = "fileSearchStores/s/media/m",
  ["file_search_stores.documents.get"] = "fileSearchStores/s/documents/d",
  ["file_search_stores.documents.delete"] = "fileSearchStores/s/documents/d",
  ["auth_tokens.create"] = {},
  ["interactions.create"] = { model = "m", input = "x" },
  ["interactions.get"] = "v1_x",
  ["interactions.wait"] = "v1_x",
  ["interactions.cancel"] = "v1_x",
  ["interactions.delete"] = "v1_x",
}

-- The same with a value that cannot be right: words of the error.
local WRONG = {
  { "models.get", "a?b", "model is not valid" },
  { "models.update", { model = "x/y" }, "name of a tuned model is not valid" },
  { "models.delete", "x/y", "name of a tuned model is not valid" },
  { "models.generate_images", { model = "a?b", prompt = "x" }, "model is not valid" },
  { "models.generate_videos", { model = "a?b", prompt = "x" }, "model is not valid" },
  { "files.get", "a/b", "file name is not valid" },
  { "files.download", { file = "a/b" }, "file name is not valid" },
  { "caches.create", { model = "a?b" }, "model is not valid" },
  { "caches.create", { model = "m", config = { contents = { {} } } }, "config.contents[1]" },
  { "caches.create", { model = "m", config = { ttl = 0 } }, "config.ttl" },
  { "caches.create", { model = "m", config = { system_instruction = "\255" } }, "config.system_instruction" },
  { "caches.get", "a/b", "cache name is not valid" },
  { "caches.update", { name = "x", config = { ttl = -1 } }, "config.ttl" },
  { "caches.update", { name = "a/b", config = { ttl = 1 } }, "cache name is not valid" },
  { "caches.delete", "a/b", "cache name is not valid" },
  { "batches.create", { model = "a?b", src = "files/x" }, "model is not valid" },
  { "batches.create", { model = "m", src = "a/b" }, "file name is not valid" },
  { "batches.create", { model = "m", src = { { contents = {} } } }, "src[1]: contents are required" },
  { "batches.wait", "x", "batch name is not valid" },
  { "batches.results", "x", "batch name is not valid" },
  { "batches.cancel", "x", "batch name is not valid" },
  { "operations.get", "x", "operation is not valid" },
  { "operations.wait", "x", "operation is not valid" },
  { "operations.wait", { operation = "models/m/operations/x", timeout = -1 }, "timeout" },
  { "tunings.tune", { base_model = "a?b" }, "model is not valid" },
  { "tunings.get", "a/b", "name of a tuned model is not valid" },
  { "file_search_stores.create", { config = { display_name = "\255" } }, "config.display_name" },
  { "file_search_stores.get", "a/b", "file search store is not valid" },
  { "file_search_stores.upload_to_file_search_store", { file_search_store_name = "a/b", data = "x" },
    "file search store is not valid" },
  { "file_search_stores.import_file", { file_search_store_name = "s", file_name = "a/b" }, "file name is not valid" },
  { "file_search_stores.import_file", { file_search_store_name = "a/b", file_name = "files/x" },
    "file search store is not valid" },
  { "file_search_stores.download_media", "fileSearchStores/s", "media name is not valid" },
  { "file_search_stores.documents.get", "fileSearchStores/s", "document name is not valid" },
  { "interactions.create", { model = "a?b", input = "x" }, "model is not valid" },
  { "interactions.get", "a/b", "interaction id is not valid" },
  { "interactions.delete", "a/b", "interaction id is not valid" },
  { "interactions.wait", { id = "v1_x", timeout = -1 }, "timeout" },
}

local LISTS = { "models", "files", "caches", "batches", "tunings", "file_search_stores" }

describe("refused before anything is sent:", function()
  local server, client

  setup(function() server = scripted.start { limit = 10 } end)
  teardown(function() server:stop() end)
  before_each(function() server:script {} end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function connect(key)
    client = gemini.Client { api_key = key, http_options = { base_url = server.url, retry_options = false } }
  end

  local function ask(place, args)
    local object = client
    local owner, method = place:match "^(.*)%.([%w_]+)$"
    for name in owner:gmatch "[^.]+" do object = object[name] end
    return object[method](object, args)
  end

  local function refused(...)
    check_refused(...)
    assert.equal(0, #server:received())
  end

  for place, args in pairs(CALLS) do
    it(place .. " without a key that can be one", function()
      connect "a key with spaces in it"
      refused("auth", "key", ask(place, args))
    end)
  end

  it("an option that no call knows, at the line that gives it", function()
    connect "key-of-the-refusals"
    local function raises(call, ...)
      local ok, message = pcall(call, ...)
      assert.is_false(ok)
      assert.truthy(message:find("unknown option bogus", 1, true), message)
      assert.truthy(message:find("refusals_spec.lua:%d+:"), message)
    end
    for place in pairs(CALLS) do raises(ask, place, { bogus = 1 }) end
    for _, service in ipairs(LISTS) do raises(ask, service .. ".list", { bogus = 1 }) end
    raises(ask, "file_search_stores.documents.list", { bogus = 1 })
    assert.equal(0, #server:received())
  end)

  for i, case in ipairs(WRONG) do
    it(("%s with something wrong, %d"):format(case[1], i), function()
      connect "key-of-the-refusals"
      refused("invalid", case[3], ask(case[1], case[2]))
    end)
  end

  for _, service in ipairs(LISTS) do
    it(service .. ".list without a key that can be one, or with a page that cannot be", function()
      connect "a key with spaces in it"
      refused("auth", "key", client[service]:list():next_page())
      client:close()
      connect "key-of-the-refusals"
      local pager = client[service]:list { config = { page_size = 1.5 } }
      refused("invalid", "config.page_size", pager:next_page())
      refused("invalid", "config.page_size", pager:next_page()) -- again and again
    end)
  end
end)
