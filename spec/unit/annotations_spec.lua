-- Annotations against the code and its tables, and the reference that is written out of both.
local reference = dofile "scripts/reference.lua"

local endpoints = require "lgemini.endpoints"
local gemini = require "lgemini"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

local classes, twice = reference.classes()

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

local function names_of(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function fields_of(class)
  local set = {}
  for _, field in ipairs(assert(classes[class], class).fields) do set[field.name:gsub("%?$", "")] = true end
  return set
end

-- The names that a call knows, by what it says of one that it does not.
local function known_by(call)
  local _, problem = pcall(call, { ["?"] = 1 })
  local list = {}
  for name in assert(tostring(problem):match "known: (.*)$", problem):gmatch "[%w_]+" do list[#list + 1] = name end
  return set_of(list)
end

local function each_function(visit)
  for _, object in ipairs(reference.OBJECTS) do
    for _, doc in ipairs(reference.functions(object)) do visit(object, doc, object.call .. doc.name) end
  end
end

-- All that is said of a function, as words.
local function words_of(doc)
  local words = { table.concat(doc.text, " ") }
  for _, param in ipairs(doc.params) do words[#words + 1] = param.name .. " " .. param.about end
  local set = {}
  for word in table.concat(words, " "):gmatch "[%a_][%w_]*" do set[word] = true end
  return set
end

describe("the reference", function()
  it("is what scripts/reference.lua writes", function()
    local hint = "run `make docs`"
    assert.is_true(reference.page() == reference.read(reference.PAGE), hint)
    assert.is_true(reference.types() == reference.read(reference.TYPES), hint)
  end)

  it("has every method of every service, and of the objects they give", function()
    for _, object in ipairs(reference.OBJECTS) do
      local shown, instance = {}, reference.instance(object)
      for _, doc in ipairs(reference.functions(object)) do shown[doc.name] = true end
      for name, value in pairs(instance and getmetatable(instance).__index or {}) do
        if type(value) == "function" and not name:find "^_" then
          assert.is_true(shown[name], object.call .. name .. " has no annotation")
        end
      end
    end
    for name, value in pairs(gemini) do
      local found = false
      for _, doc in ipairs(reference.functions(reference.OBJECTS[1])) do found = found or doc.name == name end
      assert.is_true(found or type(value) == "string" or name == "prices", "gemini." .. name)
    end
  end)

  it("has no line of a page that holds a path of this machine", function()
    assert.is_nil(reference.page():find("/home/", 1, true))
  end)
end)

describe("an annotation", function()
  it("says of each function what it does, and names its arguments", function()
    each_function(function(_, doc, name)
      assert.is_true(#doc.text > 0, name)
      local said = {}
      for _, param in ipairs(doc.params) do said[#said + 1] = param.name end
      local taken = {}
      for argument in (doc.arguments or ""):gmatch "[%w_.]+" do
        if argument ~= "self" then taken[#taken + 1] = argument end
      end
      if doc.arguments then assert.same(taken, said, name) end
    end)
  end)

  it("names every option of its method", function()
    each_function(function(object, doc, name)
      local known = reference.known(object, doc.name)
      local words = words_of(doc)
      for option in pairs(known or {}) do assert.is_true(words[option], ("%s: %s is not said"):format(name, option)) end
    end)
  end)

  it("of a call says what the answer is, by the name of its type", function()
    for service, rows in pairs(endpoints) do
      for _, object in ipairs(reference.OBJECTS) do
        for _, doc in ipairs(object.service == service and reference.functions(object) or {}) do
          local row = rows[doc.name]
          if row and row.answer and not doc.returns[1].type:find "lgemini%." then
            error(("%s%s returns %s"):format(object.call, doc.name, doc.returns[1].type))
          end
        end
      end
    end
  end)

  it("stands once for each class, and speaks of classes that there are", function()
    assert.same({}, twice)
    local list = { "lgemini.Known" }
    for name in pairs(classes) do list[#list + 1] = name end
    for _, name in ipairs(schema.names()) do list[#list + 1] = reference.class_of(name) end
    local there = set_of(list)
    local pipe = assert(io.popen "ls lua/lgemini/*.lua")
    for path in pipe:lines() do
      for line in reference.read(path):gmatch "[^\n]+" do
        local kind = line:match "^%-%-%-@param %S+ (.*)$" or line:match "^%-%-%-@return (.*)$"
          or line:match "^%-%-%-@field %S+ (.*)$"
        local first = (kind or ""):match "^(.-)  " or kind or ""
        for name in first:gmatch "lgemini%.[%w_.]+" do assert.is_true(there[name], path .. ": " .. line) end
      end
    end
    pipe:close()
  end)

  it("of a type that is in the tables, too, has no field that is not there or made here", function()
    local made = {
      GenerateContentResponse = set_of { "parts", "text", "thoughts", "function_calls", "media", "executable_code",
        "code_execution_result", "finish_reason", "parsed", "reason", "citations", "sources", "uploads",
        "automatic_function_calling_history", "transport" },
      File = set_of { "transport" }, Image = set_of { "save" }, Video = set_of { "save" },
      BatchJob = set_of { "src", "dest", "error" },
    }
    for class, doc in pairs(classes) do
      local name = class:match "^lgemini%.(%u%w*)$"
      if name and reference.is_type(name) and reference.class_of(name) == class then
        local fields = schema.type(name).fields
        for _, field in ipairs(doc.fields) do
          local plain = field.name:gsub("%?$", "")
          assert.is_true(fields[plain] ~= nil or (made[name] or {})[plain] == true, class .. "." .. plain)
        end
      end
    end
  end)

  it("of the options of a client has each one that it takes, and no other", function()
    assert.same(names_of(known_by(gemini.Client)), names_of(fields_of "lgemini.ClientOptions"))
    assert.same(names_of(options.HTTP), names_of(fields_of "lgemini.HttpOptions"))
    assert.same(names_of(require("lgemini.limits").KNOWN), names_of(fields_of "lgemini.Limits"))
    assert.same(names_of(known_by(require("lgemini.retry").options)), names_of(fields_of "lgemini.RetryOptions"))
  end)
end)
