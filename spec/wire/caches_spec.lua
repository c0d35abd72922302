-- Caches, against the emulator: how long they live, what may be in them, and that they are asked about.
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local refused = require "spec.support.refused"

local MODEL = "gemini-3.5-flash"
local LONG = ("All work and no play makes Jack a dull boy. "):rep(200) -- more than the fewest tokens of a cache

describe("a cache", function()
  local em, client

  setup(function() em = emulator.start() end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function create(config)
    config.contents = config.contents or LONG
    return client.caches:create { model = MODEL, config = config }
  end

  -- The body of the last request, as it came.
  local function last_body()
    local record = em:requests()
    return record[#record].body
  end

  it("is asked about, and its tokens count as cached", function()
    local cache = assert(create { display_name = "Jack", system_instruction = "Be brief." })
    assert.equal("Jack", cache.display_name)
    assert.equal("models/" .. MODEL, cache.model)
    local tokens = cache.usage_metadata.total_token_count
    assert.truthy(tokens > 1024)
    local response = assert(client.models:generate_content { model = MODEL, contents = "What does Jack do?",
      config = { cached_content = cache.name } })
    assert.equal(tokens, response.usage_metadata.cached_content_token_count)
    assert.truthy(response.usage_metadata.prompt_token_count > tokens)
  end)

  it("holds local media, inline or uploaded", function()
    local cache = assert(create { contents = { LONG, { file = "spec/fixtures/slide.png" },
      { file = "spec/fixtures/call.mp3", via = "upload" } } })
    assert.truthy(cache.usage_metadata.total_token_count > 1100)
    local created = em:requests_to "/cachedContents"[1]
    local parts = created.parts
    assert.equal("image/png", parts[2].mime_type)
    assert.equal("inline", parts[2].type)
    assert.equal("audio/mpeg", parts[3].mime_type)
    assert.equal("file", parts[3].type)
  end)

  it("lives as long as it is told, in seconds or until a time", function()
    create { ttl = 90 }
    assert.equal("90s", last_body().ttl)
    create { ttl = 1.5 }
    assert.equal("1.5s", last_body().ttl)
    create { ttl = "300s" }
    assert.equal("300s", last_body().ttl)
    local cache = assert(create { expire_time = 4070908800 })
    assert.equal("2099-01-01T00:00:00Z", last_body().expireTime)
    assert.truthy(cache.expire_time:find("^2099%-01%-01T00:00:00"))
    em:advance(4070908800 - os.time() + 60)
    refused("permission", "CachedContent not found", client.caches:get(cache))
  end)

  it("can be made to live longer, and nothing else of it changes", function()
    local cache = assert(create { ttl = 60 })
    local longer = assert(client.caches:update { name = cache.name, config = { ttl = 7200 } })
    assert.same({ ttl = "7200s" }, last_body())
    assert.truthy(longer.expire_time > cache.expire_time)
    em:advance(120)
    assert.equal(cache.name, assert(client.caches:get(cache.name)).name)
    assert.error_matches(function() client.caches:update { name = cache.name, config = { display_name = "x" } } end,
      "config.display_name")
  end)

  it("is listed and deleted", function()
    for i = 1, 3 do assert(create { display_name = "c" .. i }) end
    local seen = {}
    for cache in client.caches:list { config = { page_size = 2 } } do seen[#seen + 1] = cache end
    assert.truthy(#seen >= 3)
    assert.equal("c3", seen[1].display_name)
    for _, cache in ipairs(seen) do assert.is_true(client.caches:delete(cache)) end
    assert.same({}, client.caches:list {}.page)
  end)

  it("is refused here where it cannot be right", function()
    em:clear()
    refused("invalid", "both ttl and expire_time", create { ttl = 1, expire_time = "2099-01-01T00:00:00Z" })
    refused("invalid", "config.ttl: more than 0 seconds", create { ttl = 0 })
    refused("invalid", "config.ttl: more than 0 seconds", create { ttl = 0 / 0 })
    refused("invalid", 'got "1h"', create { ttl = "1h" })
    refused("invalid", "config.expire_time", create { expire_time = -5 })
    refused("invalid", "config.ttl or config.expire_time is needed", client.caches:update { name = "c" })
    refused("invalid", "cache name is not valid", client.caches:get "cachedContents/a/b")
    refused("invalid", "cache name is empty", client.caches:get "")
    refused("invalid", "only Vertex AI", create { kms_key_name = "k" })
    assert.error_matches(function() client.caches:create { model = MODEL, ttl = 5 } end, "did you mean config.ttl")
    assert.same({}, em:requests())
  end)

  it("says what the service says of one that is too small", function()
    refused("invalid", "too small", create { contents = "short" })
  end)
end)
