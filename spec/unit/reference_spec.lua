-- The tables of endpoints.lua and schema.lua against what the API has (spec/fixtures/reference.lua): nothing is
-- missing, and nothing is there of which it is not said what it is.
local answer = require "lgemini.answer"
local endpoints = require "lgemini.endpoints"
local json = require "lgemini.json"
local reference = require "spec.fixtures.reference"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

local function row_of(place)
  local service, name = place:match "^([%w_]+)%.([%w_]+)$"
  return endpoints[service] and endpoints[service][name]
end

-- A row as the reference writes it.
local function written(row)
  local query = {}
  for name, value in pairs(row.query or {}) do query[#query + 1] = name .. "=" .. value end
  return row.verb, (row.upload and "upload/" or "") .. row.path:gsub("{[^}]*}", "{}")
    .. (query[1] and "?" .. table.concat(query, "&") or "")
end

describe("the endpoints", function()
  local known = {}
  for _, case in ipairs(reference.endpoints) do
    known[case[3]] = true
    it(("have %s %s as %s"):format(case[1], case[2], case[3]), function()
      local row = assert(row_of(case[3]), "no such row")
      assert.same({ case[1], case[2] }, { written(row) })
    end)
  end

  it("are no more than these", function()
    local n = 0
    for service, rows in pairs(endpoints.services()) do
      for name in pairs(rows) do
        n = n + 1
        assert.is_true(known[service .. "." .. name], service .. "." .. name)
      end
    end
    assert.equal(#reference.endpoints, n)
  end)

  it("have a method each", function()
    local client = setmetatable({}, { __index = function() error "not asked" end })
    for place in pairs(known) do
      local service, name = place:match "^(.*)%.(.*)$"
      local object
      if service == "documents" then
        object = require("lgemini.file_search_stores").new(client).documents
      else
        object = require("lgemini." .. service).new(client)
      end
      local method = place == "models.list_tuned" and "list" or name:gsub("_alone$", "")
      assert.equal("function", type(object[method]), place)
    end
  end)

  it("are at Vertex AI where it has them", function()
    for service, rows in pairs(endpoints.services()) do
      for name, row in pairs(rows) do
        local path = row.vertex and (row.vertex == true and row.path or row.vertex):gsub("{[^}]*}", "{}") or nil
        assert.equal(reference.vertex[service .. "." .. name], path, service .. "." .. name)
      end
    end
  end)

  it("that are not here have a reason", function()
    for endpoint, reason in pairs(reference.exceptions) do
      assert.truthy(#reason > 10)
      local verb, path = endpoint:match "^(%u+) (.*)$"
      for _, rows in pairs(endpoints.services()) do
        for _, row in pairs(verb and rows or {}) do
          local row_verb, row_path = written(row)
          assert.falsy(verb == row_verb and path == row_path, endpoint .. " is here: take it off the list")
        end
      end
    end
  end)
end)

describe("the messages", function()
  for name, text in pairs(reference.messages) do
    it("have all fields of " .. name, function()
      local type = schema.type(name)
      for _, wire in ipairs(words(text)) do assert.truthy(type.wires[wire], name .. "." .. wire .. " is missing") end
    end)
  end

  it("that are no message of the API say what they are", function()
    for _, name in ipairs(schema.names()) do
      assert.truthy(reference.messages[name] or reference.ours[name], name .. ": say what it is")
      assert.falsy(reference.messages[name] and reference.ours[name], name .. " is on both lists")
    end
    for name in pairs(reference.ours) do assert.truthy(schema.type(name)) end
  end)

  it("know which fields only the Gemini API takes", function()
    for _, name in ipairs(schema.names()) do
      local marked = {}
      for _, field in ipairs(schema.type(name).order) do
        if field.gemini then marked[#marked + 1] = field.wire end
      end
      local listed = words(reference.gemini_only[name] or "")
      table.sort(marked)
      table.sort(listed)
      if not reference.ours[name] then assert.same(listed, marked, name) end
    end
  end)

  it("know which fields only Vertex AI takes", function()
    for name, text in pairs(reference.vertex_only) do
      for _, wire in ipairs(words(text)) do
        assert.is_true(schema.type(name).wires[wire].vertex, name .. "." .. wire)
      end
    end
    for _, name in ipairs(schema.names()) do
      local listed = " " .. (reference.vertex_only[name] or ""):gsub("%s+", " ") .. " "
      for _, field in ipairs(reference.messages[name] and schema.type(name).order or {}) do
        local said = (" " .. reference.messages[name]:gsub("%s+", " ") .. " "):find(" " .. field.wire .. " ", 1, true)
        if field.vertex and said then
          assert.truthy(listed:find(" " .. field.wire .. " ", 1, true), name .. "." .. field.wire)
        end
      end
    end
  end)
end)

describe("the enumerations", function()
  for place, text in pairs(reference.enumerations) do
    it("let each value of " .. place .. " through, and one that is newer", function()
      local name, field = place:match "^(.*)%.(.*)$"
      for _, value in ipairs(words(place == "Schema.type" and text or text .. " OF_TOMORROW")) do
        local wire = schema.type(name).fields[field].wire
        local tree = assert(request.wire({ [field] = value, items = value == "ARRAY" and {} or nil }, name))
        assert.equal(json.quote(value), tree[wire])
        assert.equal(value, assert(answer.decode(('{"%s":"%s"}'):format(wire, value), name))[field])
      end
    end)
  end
end)
