local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local schema = require "lgemini.schema"

local models, files, operations = endpoints.models, endpoints.files, endpoints.operations

local function each_row(visit)
  for service, rows in pairs(endpoints.services()) do
    for name, row in pairs(rows) do visit(service .. "." .. name, row) end
  end
end

-- What each rule of names makes of a name that it takes.
local NAMES = {
  models = { "x1", "models/x1" },
  files = { "x1", "files/x1" },
  caches = { "x1", "cachedContents/x1" },
  batches = { "batches/x-1", "batches/x-1" },
  tunings = { "x1", "tunedModels/x1" },
  stores = { "x1", "fileSearchStores/x1" },
  documents = { "fileSearchStores/x1/documents/d-1", "fileSearchStores/x1/documents/d-1" },
  media = { "fileSearchStores/x1/media/b.1", "fileSearchStores/x1/media/b.1" },
  interactions = { "v1_x-1", "v1_x-1" },
  operations = { "operations/x1", "operations/x1" },
}

describe("rows", function()
  it("name types, fields and rules that exist", function()
    each_row(function(name, row)
      assert.truthy(row.verb and row.path, name)
      for _, type in ipairs { row.answer or "Empty", row.config or "Empty", row.request or "Empty" } do
        assert.truthy(schema.type(type))
      end
      if row.items then assert.equal("list", schema.type(row.answer).fields[row.items].kind) end
      for argument, rule in row.path:gmatch("{([%w_]+):(%w+)}") do
        assert.equal(NAMES[rule][2], endpoints.name(rule, NAMES[rule][1], argument))
        assert.equal(NAMES[rule][2], endpoints.name(rule, { name = NAMES[rule][2] }, argument))
      end
    end)
  end)
end)

describe("what rows say beside their path", function()
  it("is that streams stream, uploads go below /upload, and no other does", function()
    local said = {}
    each_row(function(name, row)
      if row.stream then said[#said + 1] = name .. " stream" end
      if row.upload then said[#said + 1] = name .. " upload" end
    end)
    table.sort(said)
    assert.same({ "file_search_stores.upload_to_file_search_store upload", "files.upload upload",
      "models.generate_content_stream stream" }, said)
  end)
end)

describe("paths", function()
  for _, case in ipairs {
    { models.generate_content, { model = "gemini-x" }, "models/gemini-x:generateContent" },
    { models.generate_content_stream, { model = "models/g" }, "models/g:streamGenerateContent" },
    { models.count_tokens, { model = "tunedModels/t-1" }, "tunedModels/t-1:countTokens" },
    { models.embed_content, { model = "gemini-embedding-001" }, "models/gemini-embedding-001:batchEmbedContents" },
    { models.generate_images, { model = "imagen-4" }, "models/imagen-4:predict" },
    { models.generate_videos, { model = "veo-3.0" }, "models/veo-3.0:predictLongRunning" },
    { models.get, { model = "gemini-2.5-flash" }, "models/gemini-2.5-flash" },
    { models.list, {}, "models" },
    { models.list_tuned, {}, "tunedModels" },
    { files.get, { name = "abc-1" }, "files/abc-1" },
    { files.get, { name = "files/abc" }, "files/abc" },
    { files.get, { name = { name = "files/of-an-object" } }, "files/of-an-object" },
    { files.delete, { name = "https://generativelanguage.googleapis.com/v1beta/files/a-b-c" }, "files/a-b-c" },
    { files.download, { name = "https://x/v1beta/files/v1:download?alt=media" }, "files/v1:download" },
    { files.download, { name = "http://127.0.0.1:99/p/files/v1/x" }, "files/v1:download" },
    { files.get, { name = "https://x/v1beta/files/v1?a=/files/v2" }, "files/v1" },
    { files.download, { name = { uri = "https://x/v1beta/files/a-1:download?alt=media" } }, "files/a-1:download" },
    { files.list, {}, "files" },
    { files.upload, {}, "files" },
    { operations.get, { operation = "models/veo-3.0/operations/op-77" }, "models/veo-3.0/operations/op-77" },
    { operations.get, { operation = { name = "fileSearchStores/a_b/upload/operations/x" } },
      "fileSearchStores/a_b/upload/operations/x" },
  } do
    it("is " .. case[3], function() assert.equal(case[3], endpoints.path(case[1], case[2])) end)
  end

  local bad_models = { "", "..", "../files?x=1", "a/../b", "a?b", "a&b", "a b", "a%2fb", "a#b", "a\\b", "/a", "a/",
    "a//b", "models/", "models//a", "a\0b", "a\r\nb", "a\tb", "a\127", "caf\195\169", ":a", "a:", "./a" }
  for _, name in ipairs(bad_models) do
    it(("refuses the model %q"):format(name), function()
      local path, err = endpoints.path(models.generate_content, { model = name })
      assert.is_nil(path)
      assert.equal("invalid", err.kind)
      assert.truthy(err.message:find(name == "" and "model is empty" or "model is not valid", 1, true))
      assert.truthy(err.hint:find("client.models:list", 1, true))
      assert.falsy(err.message:find("[%c\128-\255]"))
    end)
  end

  local bad_files = { "", "files/", "files/a/b", "a/b", "a?b", "a%2fb", "a.b", "../a", "files/..", "a b", "a\0", "a\n",
    "https://x/v1beta/file/a", "https://x/v1beta/files/", "https://x?u=/files/a", "ftp://x/files/a",
    "https://x/v1beta/files/a%2fb", "files/\195\169" }
  for _, name in ipairs(bad_files) do
    it(("refuses the file %q"):format(name), function()
      local path, err = endpoints.path(files.get, { name = name })
      assert.is_nil(path)
      assert.equal("invalid", err.kind)
      assert.truthy(err.message:find("^file name is "))
    end)
  end

  local bad_operations = { "", "op-77", "..", "models/../files/x", "models/veo/operations/a?b",
    "models/veo/operations/a&b", "models/veo/operations/a%2fb", "models/veo/operations/a%2Fb",
    "models/veo/operations/a#b", "models/veo/operations/",
    "/models/veo/operations/a", "models//operations/a", "models/veo:generateContent", "https://x/v1beta/operations/a",
    "x@evil/a", "models/veo/operations/a b", "models/veo/operations/a\0", "models/veo/operations/a\r\nHost: x",
    "models/veo/operations/\195\169", "models\\veo" }
  for _, name in ipairs(bad_operations) do
    it(("refuses the operation %q"):format(name), function()
      local path, err = endpoints.path(operations.get, { operation = name })
      assert.is_nil(path)
      assert.equal("invalid", err.kind)
      assert.truthy(err.message:find("^operation is "))
      assert.truthy(err.hint:find("models/veo-x/operations/", 1, true))
      assert.falsy(err.message:find("[%c\128-\255]"))
    end)
  end

  for rule, names in pairs(NAMES) do
    it("refuses names that lead elsewhere, rule " .. rule, function()
      for _, bad in ipairs { "", "..", "a/../b", names[2] .. "/../../x", names[2] .. "?x=1", names[2] .. "#x",
        names[2] .. "%2f", names[2] .. "\0", names[2] .. "\r\nHost: x", "http://x/" .. names[2] .. "?/",
        names[2]:match "^[^/]*/" } do
        local path, err = endpoints.name(rule, bad, "name")
        if rule == "files" and bad:find "^http" then -- a URI names a file
          assert.equal("files/x1", path)
        else
          assert.is_nil(path, bad)
          assert.equal("invalid", err.kind)
          assert.truthy(err.hint:find "look like")
        end
      end
    end)
  end

  it("raises for what is no string", function()
    for _, value in ipairs { 5, true, {} } do
      local ok, problem = pcall(endpoints.path, models.get, { model = value })
      assert.is_false(ok)
      assert.truthy(problem:find "endpoints_spec.lua:%d+: model: string expected, got %a+$", problem)
    end
    local _, problem = pcall(endpoints.path, files.get, {})
    assert.truthy(problem:find("name: string expected, got nil", 1, true))
  end)

  it("shows little of a long name", function()
    local _, err = endpoints.path(models.get, { model = ("?"):rep(10000) })
    assert.truthy(#err.message < 200)
    _, err = endpoints.path(models.get, { model = "a?b" })
    assert.equal("model is not valid: a?b", err.message)
  end)
end)

describe("queries", function()
  for _, case in ipairs {
    { models.generate_content, nil, "" },
    { models.generate_content_stream, { temperature = 1 }, "alt=sse" },
    { files.download, nil, "alt=media" },
    { files.list, nil, "" },
    { files.list, { http_options = {} }, "" },
    { files.list, { page_size = 0 }, "pageSize=0" },
    { files.list, { page_size = 5, page_token = "a+b/c=&?" }, "pageSize=5&pageToken=a%2Bb%2Fc%3D%26%3F" },
    { models.list, { page_size = 1000, filter = "x = \"\195\169\"", query_base = true },
      "filter=x%20%3D%20%22%C3%A9%22&pageSize=1000" },
    { models.list_tuned, { page_size = 3, query_base = false }, "pageSize=3" },
  } do
    it("is " .. case[3], function() assert.equal(case[3], endpoints.query(case[1], case[2])) end)
  end

  it("refuses a page size that is none", function()
    for _, size in ipairs { 1.5, -1, 0 / 0, 1 / 0 } do
      local query, err = endpoints.query(files.list, { page_size = size })
      assert.is_nil(query)
      assert.is_true(errors.is(err))
      assert.equal("config.page_size: a whole number is needed", err.message)
    end
  end)

  it("raises for wrong names and types", function()
    for message, config in pairs {
      ["config.pageSize: did you mean config.page_size?"] = { pageSize = 1 },
      ["config.page_sise: did you mean config.page_size?"] = { page_sise = 1 },
      ["config.colour: no such field"] = { colour = 1 },
      ["config.page_size: number expected, got string"] = { page_size = "1" },
      ["config.page_token: string expected, got number"] = { page_token = 1 },
    } do
      local ok, problem = pcall(endpoints.query, files.list, config)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
  end)
end)
