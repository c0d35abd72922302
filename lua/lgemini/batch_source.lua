--- What a batch is made of: a list of requests, a file of them at the service, or an iterator whose requests are
--- written to a file as JSON lines, one after the other, and uploaded (reference section 7.2).

require("lgemini.compat").goes_over_tables()

local attach = require "lgemini.attach"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local lines = require "lgemini.lines"
local options = require "lgemini.options"
local parts = require "lgemini.parts"
local request = require "lgemini.request"
local schema = require "lgemini.schema"
local shape_of = require "lgemini.shape"
local upload = require "lgemini.upload"

local batch_source = {}

local MIME_TYPE = "application/jsonl"

-- How the requests of each kind of batch are built: the row of the single call, and how contents become turns.
local KINDS = {
  generate = { row = endpoints.models.generate_content, coerce = parts.contents },
  embed = { row = endpoints.models.embed_content, coerce = parts.each },
}

local REQUEST = { contents = true, config = true, metadata = true, key = true, model = true }

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...) }
end

local function at_place(place, err)
  err.message = place .. ": " .. err.message
  return nil, err
end

-- Calls; misuse in a request is raised with its place, since the caller gave many.
local function placed(place, fn, ...)
  local ok, value, more = pcall(fn, ...)
  if ok then
    return value, more
  elseif type(value) ~= "string" then
    error(value, 0)
  end
  local line, message = value:match "^(.-:%d+: )(.*)$"
  error((line or "") .. place .. ": " .. (message or value), 0)
end

-- One request of a batch: turns and what they need done; nil, err with its place.
local function read(entry, kind, place)
  if type(entry) ~= "table" then
    errors.misuse(("%s: a request expected, { contents = ... }, got %s"):format(place, type(entry)))
  end
  options.check(entry, REQUEST, place)
  options.table(entry.config, place .. ".config")
  options.table(entry.metadata, place .. ".metadata")
  options.string(entry.key, place .. ".key")
  if entry.config and entry.config.http_options ~= nil then
    return invalid("%s.config.http_options: these are options of the call: they stand in its config", place)
  end
  local turns, found = placed(place, KINDS[kind].coerce, entry.contents)
  if not turns then
    return at_place(place, found)
  elseif kind == "embed" and #turns > 1 then
    return invalid("%s.contents: one text for each request", place)
  end
  return turns, found
end

-- The request in the wire's layout.
local function tree_of(entry, turns, model, kind, place)
  local given = { model = model, contents = turns, config = entry.config }
  local tree, err = placed(place, request.tree, KINDS[kind].row, given)
  if not tree then
    return at_place(place, err)
  end
  if kind == "embed" then
    tree = tree.requests[1]
  end
  tree.model = nil -- it stands in the path
  if entry.model ~= nil then
    local full
    full, err = endpoints.name("models", entry.model, place .. ".model")
    if not full then
      return at_place(place, err)
    end
    tree.model = json.quote(full)
  end
  return tree
end

-- A result is known by its key alone. `keys` has the number of the request of each one, and `form` makes a place of it.
local function take_key(keys, key, number, form)
  if keys[key] then
    return invalid("%s and %s have the same key, %q", form:format(keys[key]), form:format(number), key)
  end
  keys[key] = number
  return true
end

-- Lists ----------------------------------------------------------------------------------------

local function metadata_of(entry)
  local metadata = {}
  for name, value in pairs(entry.metadata or {}) do
    metadata[name] = value
  end
  metadata.key = entry.key or metadata.key
  return next(metadata) ~= nil and metadata or nil
end

local function of_list(list, model, kind)
  local shape, n = shape_of(list)
  if not shape then
    return invalid("src%s", n)
  elseif shape ~= "list" then
    return invalid "src: a list of requests, an iterator, or the name of a file is needed"
  end
  local all, found, keys = {}, { locals = {}, files = {} }, {}
  for i = 1, n do
    local turns, here = read(list[i], kind, ("src[%d]"):format(i))
    if not turns then
      return nil, here
    end
    local key = (metadata_of(list[i]) or {}).key
    local ok, err = take_key(keys, type(key) == "string" and key or tostring(i), i, "src[%d]")
    if not ok then
      return nil, err
    end
    all[i] = turns
    for name, collected in pairs(found) do
      for _, item in ipairs(here[name]) do
        item.path = ("src[%d].%s"):format(i, item.path)
        collected[#collected + 1] = item
      end
    end
  end
  local function tree()
    local requests = json.array {}
    for i, turns in ipairs(all) do
      local place = ("src[%d]"):format(i)
      local inner, err = tree_of(list[i], turns, model, kind, place)
      local metadata = inner and metadata_of(list[i])
      local outer = metadata and { metadata = metadata } or nil
      if outer then
        outer, err = request.wire(outer, "BatchMetadata", place)
      end
      if not inner or (metadata and not outer) then
        return nil, err
      end
      requests[i] = { request = inner, metadata = outer and outer.metadata }
    end
    return { requests = { requests = requests } }
  end
  return { found = found, tree = tree }
end

-- Files ----------------------------------------------------------------------------------------

local function of_file(name)
  local full, err = endpoints.name("files", name, "src")
  if not full then
    return nil, err
  end
  return { tree = function() return { fileName = json.quote(full) } end }
end

-- Iterators ------------------------------------------------------------------------------------

-- Local media goes through the File API: a line refers to it.
local function deliver(call, found, args, place)
  for _, entry in ipairs(found.locals) do
    entry.path = place .. "." .. entry.path
    entry.via = entry.via == "inline" and "inline" or "upload"
  end
  local items, err = attach.look(call.client, found)
  if not items then
    return nil, err
  elseif attach.is_due(items, found) then
    return attach.deliver(call, items, found, args)
  end
  return true
end

local function write_line(call, sink, line, args, model, kind)
  local turns, found = read(line.request, kind, line.place)
  if not turns then
    return nil, found
  end
  local ok, err = deliver(call, found, args, line.place)
  if not ok then
    return nil, err
  end
  local tree
  tree, err = tree_of(line.request, turns, model, kind, line.place)
  if not tree then
    return nil, err
  end
  local key, problem = json.quote(line.key)
  if not key then
    return invalid("%s: its key is %s", line.place, problem)
  end
  tree = { key = key, request = tree }
  if line.request.metadata then
    local outer
    outer, err = request.wire({ metadata = line.request.metadata }, "BatchMetadata", line.place)
    if not outer then
      return nil, err
    end
    tree.metadata = outer.metadata
  end
  ok, err = request.emit(tree, sink)
  if ok then
    ok, err = sink:add "\n"
  end
  return ok, err
end

-- `key, request`, or only the request: then its number is its key.
local function next_request(iterator, number)
  local key, entry = iterator()
  if key == nil then
    return nil
  elseif entry == nil then
    key, entry = type(key) == "table" and key.key or nil, key
  elseif type(key) == "number" then
    key = json.number(key)
  elseif type(key) ~= "string" then
    errors.misuse(("src: an iterator gives key, request; its key number %d is a %s"):format(number, type(key)))
  end
  return { key = key or tostring(number), request = entry, place = ("src: request %d"):format(number) }
end

local function of_iterator(client, args, model, kind)
  local call, err = client:call(args.config, false)
  if not call then
    return nil, err
  end
  local file, why = io.tmpfile() -- gone with its handle, whatever the iterator does
  if not file then
    return nil, errors.new { kind = "io", message = "cannot make a temporary file: " .. tostring(why) }
  end
  local number, keys, sink = 0, {}, lines.sink(client.core, file)
  while true do
    local line = next_request(args.src, number + 1)
    if not line then
      break
    end
    number = number + 1
    local ok
    ok, err = take_key(keys, line.key, number, "src: request %d")
    if ok then
      ok, err = write_line(call, sink, line, args, model, kind)
    end
    if not ok then
      file:close()
      return nil, err
    end
  end
  if number == 0 then
    file:close()
    return invalid "src: the iterator gave no request"
  end
  local display_name = args.config and args.config.display_name
  local ok, uploaded
  ok, err = sink:flush()
  if ok then
    uploaded, err = upload.send(call, { file = file, on_progress = args.on_progress, reuse = false,
      config = { mime_type = MIME_TYPE, display_name = display_name } })
  end
  file:close()
  if not uploaded then
    return nil, err
  end
  return of_file(uploaded)
end

-- The Python SDK's form for embeddings: many contents with one config.
local function each_text(given)
  local list = {}
  options.check(given, { contents = true, config = true }, "src")
  for i, contents in ipairs(type(given.contents) == "table" and given.contents or { given.contents }) do
    list[i] = { contents = contents, config = given.config }
  end
  return list
end

---@class lgemini.batch_source.Input
---@field tree fun(): table|nil, lgemini.Error|nil  the inputConfig of the batch
---@field found lgemini.parts.Found|nil  local media in it

--- The input of a batch: `args.src` in whichever form it has. An iterator is read to its end, and uploaded.
---@param client lgemini.Client
---@param args table  of batches:create
---@param model string  its full name
---@param kind "generate"|"embed"
---@return lgemini.batch_source.Input|nil
---@return lgemini.Error|nil err
function batch_source.of(client, args, model, kind)
  local src = args.src
  if type(src) == "function" then
    return of_iterator(client, args, model, kind)
  elseif type(src) == "string" or schema.is(src, "File") then
    return of_file(src)
  elseif type(src) ~= "table" then
    errors.misuse(("src: a list of requests, a function, or a file expected, got %s"):format(type(src)))
  elseif src.file_name ~= nil then
    return of_file(src.file_name)
  end
  local list = options.table(src.inlined_requests, "src.inlined_requests") or src
  if kind == "embed" and type(list) == "table" and list.contents ~= nil then
    list = each_text(list)
  end
  return of_list(list, model, kind)
end

return batch_source
