--- The API reference, out of its sources: the annotations in lua/lgemini/*.lua, and the tables of endpoints and types.
--
--   make docs      writes docs/reference.md, and lua/lgemini/types.meta.lua for editors
--
-- A spec holds both files against what this writes, and the annotations against the code: see
-- spec/unit/annotations_spec.lua, which loads this file for its functions.

local reference = {}

reference.PAGE = "docs/reference.md"
reference.TYPES = "lua/lgemini/types.meta.lua"

-- What the page shows, in order: title, how it is called, the file, the name that its functions hang on there, and
-- those among them that are the library's own business.
reference.OBJECTS = {
  { title = "gemini", call = "gemini.", file = "init", owner = "gemini" },
  { title = "Client", call = "client:", file = "client", owner = "methods", class = "lgemini.Client",
    internal = "call uploads_index takes_token forget_token key is_loopback url full_name has_custom_base" },
  { title = "client.models", call = "client.models:", file = "models", owner = "Models", service = "models" },
  { title = "client.chats", call = "client.chats:", file = "chats", owner = "Chats", service = "chats" },
  { title = "Chat", call = "chat:", file = "chats", owner = "Chat", class = "lgemini.Chat" },
  { title = "client.files", call = "client.files:", file = "files", owner = "Files", service = "files" },
  { title = "client.operations", call = "client.operations:", file = "operations", owner = "Operations",
    service = "operations" },
  { title = "client.caches", call = "client.caches:", file = "caches", owner = "Caches", service = "caches" },
  { title = "client.batches", call = "client.batches:", file = "batches", owner = "Batches", service = "batches" },
  { title = "client.file_search_stores", call = "client.file_search_stores:", file = "file_search_stores",
    owner = "FileSearchStores", service = "file_search_stores" },
  { title = "client.file_search_stores.documents", call = "client.file_search_stores.documents:",
    file = "file_search_stores", owner = "Documents", service = "documents" },
  { title = "client.interactions", call = "client.interactions:", file = "interactions", owner = "Interactions",
    service = "interactions" },
  { title = "client.tunings", call = "client.tunings:", file = "tunings", owner = "Tunings", service = "tunings" },
  { title = "client.auth_tokens", call = "client.auth_tokens:", file = "auth_tokens", owner = "AuthTokens",
    service = "auth_tokens" },
  { title = "Response", call = "response:", file = "answer", owner = "methods",
    class = "lgemini.GenerateContentResponse" },
  { title = "Part", call = "part:", file = "answer", owner = "Part", class = "lgemini.Part" },
  { title = "Interaction", call = "interaction:", file = "interaction", owner = "methods",
    class = "lgemini.Interaction" },
  { title = "Stream", call = "stream:", file = "stream", owner = "methods", class = "lgemini.Stream" },
  { title = "Pager", call = "pager:", file = "pager", owner = "methods", class = "lgemini.Pager" },
  { title = "Task", call = "task:", file = "task", owner = "Task", class = "lgemini.Task" },
  { title = "Map", call = "map:", file = "map", owner = "Map", class = "lgemini.Map" },
  { title = "lgemini.cqueues", call = "adapter.", file = "cqueues", owner = "adapter" },
  { title = "lgemini.luv", call = "adapter.", file = "luv", owner = "adapter" },
}

-- Tables of callers and answers that are no objects with methods: their classes.
reference.CLASSES = [[ClientOptions HttpOptions Timeout RetryOptions Limits Error Content Candidate UsageMetadata
  Citation Source File Image Video
  Operation CachedContent BatchJob FileSearchStore Document TuningJob AuthToken InteractionEvent Tool
  Estimate Prices Rate Bill SeenRequest SeenResponse SeenRetry luv.Options]]

-- Reading annotations --------------------------------------------------------------------------

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

reference.read = read

-- The type at the beginning of a text, and what stands behind it. Blanks are part of it in brackets and after "fun():".
local function take_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local char = text:sub(at, at)
    if char:find "[%(%{%[<]" then
      depth = depth + 1
    elseif char:find "[%)%}%]>]" then
      depth = depth - 1
    elseif char:find "%s" and depth == 0 and not text:sub(1, at - 1):find "[:,]$" then
      break
    end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at):gsub("^%s+", ""))
end

local tags = {}

function tags.param(doc, text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  local kind, about = take_type(rest)
  doc.params[#doc.params + 1] = { name = name, type = kind, about = about }
  return doc.params[#doc.params]
end

function tags.field(doc, text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  local kind, about = take_type(rest)
  doc.fields[#doc.fields + 1] = { name = name, type = kind, about = about }
  return doc.fields[#doc.fields]
end

tags["return"] = function(doc, text)
  local kind, about = take_type(text)
  about = about:match "^[%a_.][%w_.]*%s%s+(.*)$" or about:find "^[%a_.][%w_.]*$" and "" or about -- the value's name
  doc.returns[#doc.returns + 1] = { type = kind, about = about }
  return doc.returns[#doc.returns]
end

function tags.class(doc, text)
  local name, about = text:match "^([%w_.]+):?%s*(.*)$"
  doc.class, doc.about = name, about
  return doc
end

function tags.type(doc, text)
  doc.type = take_type(text)
end

local function new_doc()
  return { text = {}, params = {}, returns = {}, fields = {} }
end

-- One line of a block of annotations. `open` is what a line without a tag goes on with.
local function add_line(doc, line, open)
  local tag, text = line:match "^@(%a+)%s*(.*)$"
  if tag then
    return tags[tag] and tags[tag](doc, text) or {}
  elseif open then
    open.about = ((open.about or "") .. " " .. line:gsub("^%s+", "")):gsub("^ ", "")
    return open
  end
  doc.text[#doc.text + 1] = line
end

--- The blocks of annotations of a file: each with what is annotated, `owner` and `name` of a function or value, and its
--- arguments as they are written.
---@param path string
---@return table[] docs
function reference.docs(path)
  local found, doc, open = {}, nil, nil
  for line in read(path):gmatch "([^\n]*)\n" do
    local note = line:match "^%-%-%- ?(.*)$"
    if note then
      doc = doc or new_doc()
      open = add_line(doc, note, open)
    elseif doc and not line:find "^%-%-%s" then
      local owner, dot, name, arguments = line:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%)"
      if not owner then
        owner, name = line:match "^([%w_]+)%.([%w_]+) = "
      end
      doc.owner, doc.name, doc.dot, doc.arguments = owner, name, dot, arguments
      found[#found + 1] = doc
      doc, open = nil, nil
    end
  end
  return found
end

local function each_file()
  local pipe, list = assert(io.popen "ls lua/lgemini/*.lua"), {}
  for path in pipe:lines() do
    if path ~= reference.TYPES then
      list[#list + 1] = path
    end
  end
  pipe:close()
  return list
end

--- All classes that are annotated by hand: name -> its block. A class may have its methods in a second file, which
--- names it and no fields.
---@return table<string, table> classes
---@return string[] twice  names of two different things
function reference.classes()
  local classes, twice = {}, {}
  for _, path in ipairs(each_file()) do
    for _, doc in ipairs(reference.docs(path)) do
      if doc.class then
        local other = classes[doc.class]
        if other and other.fields[1] and doc.fields[1] then
          twice[#twice + 1] = doc.class
        end
        classes[doc.class] = other and not doc.fields[1] and other or doc
      end
    end
  end
  return classes, twice
end

local function set_of(words)
  local set = {}
  for word in (words or ""):gmatch "%S+" do
    set[word] = true
  end
  return set
end

--- The public functions of an object, in the order of their file.
---@param object table  of reference.OBJECTS
---@return table[] docs
function reference.functions(object)
  local list, internal = {}, set_of(object.internal)
  for _, doc in ipairs(reference.docs(("lua/lgemini/%s.lua"):format(object.file))) do
    if doc.owner == object.owner and doc.name and not doc.name:find "^_" and not internal[doc.name] then
      list[#list + 1] = doc
    end
  end
  return list
end

-- What the code knows ------------------------------------------------------------------------

--- A service, or what else has methods, without a client behind it: good for nothing but being asked what it knows.
---@param object table
---@return table|nil
function reference.instance(object)
  local client = setmetatable({}, { __index = function() error "not asked" end })
  if object.service == "documents" then
    return require("lgemini.file_search_stores").new(client).documents
  end
  return object.service and require("lgemini." .. object.service).new(client)
end

-- The names that a call knows, by what it says of one that it does not.
local function known_by(call, args)
  local ok, problem = pcall(call, args)
  local names = not ok and tostring(problem):match "known: (.*)$"
  return names and set_of((names:gsub(",", " "))) or nil
end

--- The options that a method knows: name -> true; of `config`, too. nil where it takes no table of options.
---@param object table
---@param name string
---@return table<string, true>|nil known
---@return table<string, true>|nil config
function reference.known(object, name)
  local instance = reference.instance(object)
  local function call(args)
    return instance[name](instance, args)
  end
  local known = instance and known_by(call, { ["?"] = 1 })
  return known, known and known.config and known_by(call, { config = { ["?"] = 1 } })
end

-- Types of the tables ------------------------------------------------------------------------

-- Names that the API and the library have for different things.
local OTHERS = { Tool = true, Citation = true, Source = true }

--- The class that a type of schema.lua is.
---@param name string
---@return string
function reference.class_of(name)
  return (OTHERS[name] and "lgemini.api." or "lgemini.") .. name
end

local LUA = { text = "string", upper = "string", bytes = "string", int64 = "integer", struct = "table", open = "any" }

local function lua_type(kind)
  if kind.kind == "list" then
    return lua_type(kind.of) .. "[]"
  elseif kind.kind == "map" then
    return ("table<string, %s>"):format(lua_type(kind.of))
  end
  return kind.kind == "object" and reference.class_of(kind.name) or LUA[kind.kind] or kind.kind
end

local function about_field(field, type)
  local about = {}
  local schema = require "lgemini.schema"
  if field.kind == "bytes" then about[#about + 1] = "raw bytes" end
  if field.wire ~= field.field and field.wire ~= schema.camel(field.field) and not type.as_is then
    about[#about + 1] = field.wire .. " on the wire"
  end
  if field.vertex then about[#about + 1] = "Vertex AI only" end
  if field.gemini then about[#about + 1] = "Gemini API only" end
  return table.concat(about, "; ")
end

--- The types of schema.lua as annotations, but for what is annotated by hand.
---@return string
function reference.types()
  local schema, classes = require "lgemini.schema", reference.classes()
  local out = { "---@meta lgemini.types", "",
    "--- The types of the API, for editors and checkers: what stands in `config` and in answers. Written by",
    "-- scripts/reference.lua out of schema.lua; this file is never run and not installed.",
    "-- luacheck: no max line length" }
  for _, name in ipairs(schema.names()) do
    local type, by_hand = schema.type(name), {}
    for _, field in ipairs((classes[reference.class_of(name)] or { fields = {} }).fields) do
      by_hand[field.name:gsub("%?$", "")] = true
    end
    out[#out + 1] = "\n---@class " .. reference.class_of(name)
    for _, field in ipairs(type.order) do
      if not by_hand[field.field] then
        local about = about_field(field, type)
        out[#out + 1] = ("---@field %s %s?%s"):format(field.field, lua_type(field), about ~= "" and "  " .. about or "")
      end
    end
  end
  return table.concat(out, "\n") .. "\n"
end

-- The page -----------------------------------------------------------------------------------

local function sorted(set)
  local list = {}
  for name in pairs(set) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local function anchor(name)
  return (name:lower():gsub("[^%w_]", ""))
end

-- "lgemini.File|nil" with a link for each type that the page has.
local function linked(kind, shown)
  local plain = kind:gsub("lgemini%.api%.", ""):gsub("lgemini%.", "")
  for name in kind:gmatch "lgemini%.([%w_.]+)" do
    if shown[name] then
      return ("[`%s`](#%s)"):format(plain, anchor(shown[name]))
    end
  end
  return ("`%s`"):format(plain)
end

-- "`a`, `b`" of names.
local function quoted(names)
  local list = {}
  for i, name in ipairs(names) do
    list[i] = "`" .. name .. "`"
  end
  return table.concat(list, ", ")
end

local function add(out, ...)
  for _, line in ipairs { ... } do
    out[#out + 1] = line
  end
end

local function add_item(out, head, about)
  add(out, about ~= "" and ("- %s: %s"):format(head, about) or "- " .. head)
end

-- The row of a method, and what goes with it over the wire.
local function add_row(out, row, config, shown)
  local schema = require "lgemini.schema"
  local path = row.path:gsub("{([%w_]+):%w+}", "{%1}")
  add(out, ("- on the wire: `%s %s%s`%s"):format(row.verb, row.upload and "upload/" or "", path,
    row.vertex and ", and at Vertex AI" or ""))
  if config then
    local own, rest = row.config and schema.type(row.config).fields or {}, {}
    for name in pairs(config) do
      rest[#rest + 1] = not own[name] and name or nil
    end
    table.sort(rest)
    local link = row.config and next(own) and linked("lgemini." .. row.config, shown)
    add(out, ("- `config`: %s"):format(table.concat({ link or "", quoted(rest) }, link and rest[1] and ", " or "")))
  end
end

local function rows_of(object)
  return object.service and require("lgemini.endpoints")[object.service] or {}
end

local function add_function(out, object, doc, shown)
  local arguments = (doc.arguments or ""):gsub("^self,? ?", "")
  local is_function = doc.arguments ~= nil or #doc.params > 0
  add(out, "", ("### `%s%s%s`"):format(object.call, doc.name, is_function and "(" .. arguments .. ")" or ""), "")
  add(out, table.concat(doc.text, "\n"), "")
  for _, param in ipairs(doc.params) do
    add_item(out, ("`%s` %s"):format(param.name, linked(param.type, shown)), param.about)
  end
  local known, config = reference.known(object, doc.name)
  if known then
    add(out, "- options: " .. quoted(sorted(known)))
  end
  local row = rows_of(object)[doc.name]
  if row then
    add_row(out, row, config, shown)
  elseif config then
    add(out, "- `config`: " .. (#sorted(config) > 12 and "as of generate_content" or quoted(sorted(config))))
  end
  for _, value in ipairs(doc.returns) do
    add_item(out, "returns " .. linked(value.type, shown), value.about)
  end
end

-- `name` is a class, less its "lgemini.".
local function add_fields(out, name, classes, shown)
  local schema, by_hand = require "lgemini.schema", {}
  for _, field in ipairs(classes["lgemini." .. name] and classes["lgemini." .. name].fields or {}) do
    by_hand[field.name:gsub("%?$", "")] = true
    add_item(out, ("`%s` %s"):format(field.name, linked(field.type, shown)), field.about)
  end
  local plain = name:gsub("^api%.", "")
  if not reference.is_type(plain) or reference.class_of(plain) ~= "lgemini." .. name then return end
  local type = schema.type(plain)
  for _, field in ipairs(type.order) do
    if not by_hand[field.field] then
      add_item(out, ("`%s` %s"):format(field.field, linked(lua_type(field), shown)), about_field(field, type))
    end
  end
end

--- Is it the name of a type of schema.lua?
---@param name string
---@return boolean
function reference.is_type(name)
  for _, other in ipairs(require("lgemini.schema").names()) do
    if other == name then return true end
  end
  return false
end

-- Types that can be reached from a type: name -> true.
local function reach(name, found)
  if found[name] then return end
  found[name] = true
  local function follow(kind)
    if kind.kind == "object" then reach(kind.name, found) end
    if kind.of then follow(kind.of) end
  end
  for _, field in ipairs(require("lgemini.schema").type(name).order) do
    follow(field)
  end
end

-- The types of the tables that callers meet: those of configs, answers and parts.
local function met()
  local found = {}
  for _, rows in pairs(require "lgemini.endpoints") do
    for _, row in pairs(type(rows) == "table" and rows or {}) do
      for _, name in ipairs { row.config or "Empty", row.answer or "Empty" } do
        reach(name, found)
      end
    end
  end
  reach("Content", found)
  found.Empty = nil
  local names = {}
  for name in pairs(found) do
    names[reference.class_of(name):match "^lgemini%.(.*)$"] = true
  end
  return names
end

-- The first paragraph of a file.
local function head_of(path)
  local lines = {}
  for line in read(path):gmatch "([^\n]*)\n" do
    local text = line:match "^%-%-%-? (.*)$"
    if not text then break end
    lines[#lines + 1] = text
  end
  return table.concat(lines, "\n")
end

--- The page.
---@return string
function reference.page()
  local classes, shown, out = reference.classes(), {}, {
    "# Reference", "",
    "Written by scripts/reference.lua out of the annotations in lua/lgemini and the tables of endpoints and types; not",
    "edited by hand. Where a method takes a table of options, a string stands for its main one where the text says so.",
    "Times are in seconds, sizes in bytes. What fails returns `nil` and an [`Error`](#error); misuse raises." }
  local types = met()
  for word in reference.CLASSES:gmatch "%S+" do
    types[word] = true
  end
  for name in pairs(types) do
    shown[name] = name
  end
  for _, object in ipairs(reference.OBJECTS) do
    if object.class then
      shown[object.class:match "%.(.*)$"] = object.title
      types[object.class:match "%.(.*)$"] = nil
    end
  end
  for _, object in ipairs(reference.OBJECTS) do
    add(out, "", "## " .. object.title, "")
    local head = head_of(("lua/lgemini/%s.lua"):format(object.file))
    if object.class then
      add(out, classes[object.class].about ~= "" and classes[object.class].about or nil)
      add_fields(out, object.class:match "%.(.*)$", classes, shown)
    else
      add(out, head)
    end
    for _, doc in ipairs(reference.functions(object)) do
      add_function(out, object, doc, shown)
    end
  end
  add(out, "", "## Types", "")
  for _, name in ipairs(sorted(types)) do
    add(out, "", "### " .. name, "")
    local class = classes["lgemini." .. name]
    if class and class.about ~= "" then
      add(out, class.about, "")
    end
    add_fields(out, name, classes, shown)
  end
  return (table.concat(out, "\n"):gsub("\n\n\n+", "\n\n") .. "\n")
end

-- A program, where it is one.
if arg and (arg[0] or ""):find "reference%.lua$" then
  package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
  for path, text in pairs { [reference.PAGE] = reference.page(), [reference.TYPES] = reference.types() } do
    local file = assert(io.open(path, "wb"))
    assert(file:write(text))
    file:close()
  end
end

return reference
