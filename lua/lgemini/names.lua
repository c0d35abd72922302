--- How things other than models and operations are called: the rules of endpoints.lua, which loads them with the first
-- such name. A rule gives the full name, or nil and what is wrong; nothing gets through that could change a path.

local errors = require "lgemini.errors"

local names = {}

local rules = {}
names.rules = rules

local function printable(name)
  return (name:sub(1, 100):gsub("[%c\127-\255]", "?"))
end

--- What is wrong with a name.
function names.bad(what, name, hint)
  return nil, errors.new { kind = "invalid", hint = hint,
    message = name == "" and ("%s is empty"):format(what) or ("%s is not valid: %s"):format(what, printable(name)) }
end

-- `x`, `files/x`, or the URI of a file or of its download.
function rules.files(name)
  local id = name
  if name:find("^https?://") then
    id = name:match("^https?://[^?#]*/files/([^?:/]*)") or ""
  elseif name:find("^files/") then
    id = name:sub(#"files/" + 1)
  end
  if id == "" or id:find("[^%w%-_]") then
    return names.bad("file name", name, "names look like files/abc-123")
  end
  return "files/" .. id
end

-- A rule for names `collection/id`; `short` lets the id alone stand for it.
local function collection(prefix, what, short)
  return function(name)
    local id = name:sub(1, #prefix + 1) == prefix .. "/" and name:sub(#prefix + 2) or short and name or ""
    if id == "" or id:find("[^%w%-_%.]") or id:find("^%.") then
      return names.bad(what, name, ("names look like %s/abc-123"):format(prefix))
    end
    return prefix .. "/" .. id
  end
end

local caches = collection("cachedContents", "cache name", true)

function rules.caches(name, vertex)
  if vertex and name:find("^projects/[%w%-:%.]+/locations/[%w%-]+/cachedContents/[%w%-_]+$") then return name end
  return caches(name)
end

local batches = collection("batches", "batch name", false)
local vertex_batches = collection("batchPredictionJobs", "batch name", true)

function rules.batches(name, vertex)
  if not vertex then return batches(name) end
  if name:find("^projects/[%w%-:%.]+/locations/[%w%-]+/batchPredictionJobs/[%w%-_]+$") then return name end
  return vertex_batches(name)
end

rules.tunings = collection("tunedModels", "name of a tuned model", true)
rules.stores = collection("fileSearchStores", "name of a file search store", true)

-- The id alone, as the service gave it.
function rules.interactions(id)
  if id == "" or id:find("[^%w%-_%.]") or id:find("^%.") then
    return names.bad("interaction id", id, "ids look like v1_abc123")
  end
  return id
end

-- A rule for what lies in a file search store; its name is whole.
local function in_store(folder, what)
  local pattern = ("^fileSearchStores/[%%w%%-_]+/%s/[%%w%%-_][%%w%%-_%%.]*$"):format(folder)
  return function(name)
    if name:find(pattern) then return name end
    return names.bad(what, name, ("names look like fileSearchStores/x/%s/y"):format(folder))
  end
end

rules.documents = in_store("documents", "document name")
rules.media = in_store("media", "media name")

return names
