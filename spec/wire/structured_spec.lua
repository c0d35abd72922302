-- Answers that are data: schemas on the way out, values on the way back, sources that a program can use.
local cjson = require "cjson"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local scripted = require "spec.support.scripted"

local MODEL = "gemini-3.5-flash"

local RECIPES = {
  type = "OBJECT",
  properties = gemini.ordered {
    { "title", { type = "STRING" } },
    { "recipes", { type = "ARRAY", min_items = 5, items = { type = "OBJECT", properties = gemini.ordered {
      { "name", { type = "STRING" } }, { "minutes", { type = "INTEGER" } } } } } },
    { "author", { type = "STRING" } },
  },
}

describe("an answer that is data", function()
  local em, client

  setup(function() em = emulator.start {} end)
  teardown(function() em:stop() end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url, retry_options = false } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local function ask(config)
    return client.models:generate_content { model = MODEL, contents = "Go.", config = config }
  end

  local function refused(config, words)
    local response, err = ask(config)
    assert.is_nil(response, words)
    assert.equal("invalid", err.kind)
    assert.truthy(err.message:find(words, 1, true), err.message)
    assert.equal(0, #em:requests())
    return err
  end

  it("is decoded, once, by either notation", function()
    local response = assert(ask { response_schema = RECIPES })
    assert.same({ title = "title", author = "author", recipes = { { name = "name", minutes = 1 },
      { name = "name", minutes = 1 }, { name = "name", minutes = 1 }, { name = "name", minutes = 1 },
      { name = "name", minutes = 1 } } }, response.parsed)
    assert.equal(response.parsed, response.parsed)
    local sent = em:requests()[1].body.generationConfig
    assert.equal("application/json", sent.responseMimeType)
    assert.same({ "title", "recipes", "author" }, sent.responseSchema.propertyOrdering)
    assert.same({ "name", "minutes" }, sent.responseSchema.properties.recipes.items.propertyOrdering)
    response = assert(ask { response_json_schema = { type = "object", properties = { n = { type = "integer" } },
      additionalProperties = false } })
    assert.same({ n = 1 }, response.parsed)
  end)

  it("is one of an enumeration", function()
    local response = assert(ask { response_mime_type = "text/x.enum",
      response_schema = { type = "STRING", enum = { "yes", "no" } } })
    assert.equal("yes", response.parsed)
    assert.equal(response, response:check())
  end)

  it("comes element by element in a stream", function()
    em:gate { hold = true }
    local stream = client.models:generate_content_stream { model = MODEL, contents = "Go.",
      config = { response_schema = RECIPES } }
    local next_item = stream:items "recipes"
    em:gate { release = 2 }
    assert.same({ { name = "name", minutes = 1 }, stream }, { next_item() })
    assert.is_nil(stream.response.finish_reason)
    em:gate { open = true }
    local n = 1
    for item in next_item do
      n = n + 1
      assert.equal("name", item.name)
    end
    assert.equal(5, n)
    assert.equal("author", stream.response.parsed.author)
  end)

  it("says in a stream that there is no such array, or that the text was cut", function()
    local function each(path, config, fault)
      if fault then em:fault(fault) end
      config.response_schema = RECIPES
      local count = 0
      local ok, err = pcall(function()
        for _ in client.models:generate_content_stream { model = MODEL, contents = "Go.", config = config }
          :items(path) do
          count = count + 1
        end
      end)
      assert.is_false(ok)
      return err, count
    end
    local err = each("recipse", {})
    assert.equal("invalid", err.kind)
    assert.matches('no array at "recipse"', err.message)
    local count
    err, count = each("recipes", {}, { path = ":stream", action = "finish", reason = "MAX_TOKENS" })
    assert.equal("cut", err.kind)
    assert.is_true(count > 0 and count < 5)
    err = each("recipes", {}, { path = ":stream", action = "error_event", status = 500, after_events = 1 })
    assert.equal("incomplete", err.kind)
    assert.has_error(function()
      client.models:generate_content_stream { model = MODEL, contents = "Go." }:items(1)
    end)
  end)

  it("has no schema with a mistake in it: the place is named before anything is sent", function()
    refused({ response_schema = { type = "OBJECT", properties = { a = { type = "ARRAY",
      items = { type = "STRNG" } } } } },
      'config.response_schema.properties.a.items.type: "STRNG" is no type; it is string, number')
    refused({ response_schema = { type = "OBJECT", properties = { a = { type = "ARRAY" } } } },
      "config.response_schema.properties.a.items is missing")
    refused({ response_schema = { type = "OBJECT", properties = { a = { type = "STRING" } },
      required = { "a", "b" } } },
      'config.response_schema.required[2]: there is no property "b"')
    refused({ response_schema = { any_of = { { type = "OBJECT", properties = { a = { type = "NULL" } },
      property_ordering = { "x" } } } } },
      'config.response_schema.any_of[1].property_ordering[1]: there is no property "x"')
    refused({ response_schema = { type = "STRING" }, response_json_schema = { type = "string" } },
      "config.response_schema: there is response_json_schema, too")
    local function json(value, words)
      return refused({ response_json_schema = value }, "config.response_json_schema" .. words)
    end
    json({ type = "OBJECT" }, '.type: JSON Schema writes "object"')
    json({ type = { "string", "nul" } }, '.type: "nul" is no type')
    json({ properties = { a = { any_of = {} } } }, ".properties.a.any_of: JSON Schema calls it anyOf")
    json({ items = "string" }, '.items: a schema is a table with named members, not "string"')
    json({ anyOf = { { type = "string" }, { ["$ref"] = "#/$defs/x" } }, ["$defs"] = { y = {} } },
      '.anyOf[2]["$ref"]: "#/$defs/x" leads nowhere')
    json({ properties = "a" }, '.properties: a table of schemas is needed, not "a"')
    local round = { type = "object", properties = {} }
    round.properties.a = round
    json(round, ".properties.a.properties.a")
    refused({ tools = { gemini.tool { name = "f", call = print, parameters = { type = "OBJECT",
      properties = { a = { type = "LIST" } } } } } },
      'config.tools[1].function_declarations[1].parameters.properties.a.type: "LIST" is no type')
    refused({ tools = { gemini.tool { name = "f", call = print }, gemini.tool { name = "f", call = print } } },
      "config.tools[2]: there are two functions called f")
    assert.has_error(function() ask { response_schema = { type = "OBJECT", additionalProperties = false } } end)
  end)

  it("may refer to what is defined", function()
    assert(ask { response_json_schema = { ["$defs"] = { node = { type = "object", properties = {
      next = { ["$ref"] = "#/$defs/node" }, self = { ["$ref"] = "#" } } } }, ["$ref"] = "#/$defs/node" } })
  end)
end)

describe("a schema in order, and an answer with sources:", function()
  local server, client

  setup(function()
    server = scripted.start {}
    client = gemini.Client { api_key = "k", http_options = { base_url = server.url, retry_options = false } }
  end)
  teardown(function()
    client:close()
    client = nil
    server:stop()
  end)

  it("gemini.ordered is the order in which a JSON Schema is written", function()
    server:script { { status = 200, body = { bytes = "{}" } } }
    local properties = gemini.ordered { { "zebra", { type = "string" } }, { "ant", { type = "string" } },
      { "mole", { type = "string" } } }
    properties.later = { type = "null" }
    local given = { type = "object", properties = properties }
    assert(client.models:generate_content { model = MODEL, contents = "x", config = { response_json_schema = given } })
    assert.is_nil(given.propertyOrdering)
    local body = (server:received())[1].body
    assert.matches('"properties":{"zebra":.-"ant":.-"mole":.-"later":', body)
    assert.same({ "zebra", "ant", "mole" }, cjson.decode(body).generationConfig.responseJsonSchema.propertyOrdering)
  end)

  it("gemini.ordered wants pairs", function()
    for _, bad in ipairs { "x", { 1 }, { { "a" } }, { { 1, 2 } }, { a = 1 }, { { "a", 1 }, { "a", 2 } } } do
      local ok, message = pcall(gemini.ordered, bad)
      assert.is_false(ok)
      assert.truthy(message:find("gemini.ordered", 1, true))
    end
    assert.same({}, gemini.ordered {})
  end)

  it("a claim is where the text says so, and not where bytes were counted before texts were joined", function()
    local text = "Köln liegt am Rhein. Bern nicht."
    local first = "Köln liegt am Rhein."
    server:script { { status = 200, body = { json = { candidates = { { finishReason = "STOP",
      content = { role = "model", parts = { { text = "Hm.", thought = true }, { text = text } } },
      citationMetadata = { citationSources = { { startIndex = #first + 1, endIndex = #text, uri = "https://c",
        license = "MIT" } } },
      groundingMetadata = { webSearchQueries = { "Köln" }, groundingChunks = {
        { web = { uri = "https://a", title = "A" } }, { retrievedContext = { title = "B", text = "passage" } },
        { maps = { uri = "https://m", title = "M" } } },
        groundingSupports = { { segment = { partIndex = 1, endIndex = #first, text = first },
          groundingChunkIndices = { 0, 2 } },
          { segment = { startIndex = 3, endIndex = 9, text = "Bern" }, groundingChunkIndices = { 1 } },
          { segment = { startIndex = 300, endIndex = 309, text = "not there" } } } } } } } } } }
    local response = assert(client.models:generate_content { model = MODEL, contents = "x",
      config = { tools = { { google_search = {} } } } })
    local a, b, m = { kind = "web", uri = "https://a", title = "A" }, { kind = "file", title = "B", text = "passage" },
      { kind = "maps", uri = "https://m", title = "M" }
    assert.same({ a, b, m }, response.sources)
    assert.same({
      { first = 1, last = #first, text = first, sources = { a, m } },
      { first = #first + 2, last = #first + 5, text = "Bern", sources = { b } },
      { text = "not there", sources = {} },
      { first = #first + 2, last = #text, text = "Bern nicht.", sources = { { kind = "citation", uri = "https://c",
        license = "MIT" } } },
    }, response.citations)
    for _, cited in ipairs { response.citations[1], response.citations[4] } do
      assert.equal(cited.text, response.text:sub(cited.first, cited.last))
    end
  end)

  it("there are no sources where the answer has none", function()
    server:script { { status = 200, body = { bytes = "{}" } } }
    local response = assert(client.models:generate_content { model = MODEL, contents = "x" })
    assert.same({ {}, {} }, { response.sources, response.citations })
  end)
end)
