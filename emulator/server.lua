-- Takes requests, finds who answers them, and sees each one through: key, record, scripted faults, errors.

local admin = require "admin"
local auth_tokens = require "auth_tokens"
local batches = require "batches"
local embed = require "embed"
local errors = require "errors"
local exchange = require "exchange"
local generate = require "generate"
local http_server = require "http.server"
local intake = require "intake"
local models = require "models"
local predictions = require "predictions"
local record = require "record"

local server = {}
server.__index = server

local LINE = 65536 -- bytes of a header line
local IDLE = 600 -- seconds a connection may wait for its next request

-- {model}:method
local verbs = {
  generateContent = generate.content, streamGenerateContent = generate.stream, countTokens = generate.count,
  embedContent = embed.one, batchEmbedContents = embed.batch,
  batchGenerateContent = batches.creator("generate"), asyncBatchEmbedContent = batches.creator("embed"),
  predict = predictions.images, predictLongRunning = predictions.videos,
}

--- Rows: path pattern after the version, then method -> handler(ex, emu, capture...). First match wins.
local api = {
  { "^models$", GET = models.list },
  { "^tunedModels$", GET = function(ex) ex:answer_json({}) end },
  { "^models/([^/:]+)$", GET = function(ex, _, name) models.get(ex, name) end },
  { "^models/([^/:]+):(%w+)$", POST = function(ex, emu, name, verb, version)
    if not verbs[verb] then error(errors.html(404)) end
    verbs[verb](ex, emu, name, version)
  end },
  { "^(models/[^/:]+/operations/[^/:]+)$", GET = function(ex, emu, name) emu.predictions:get_operation(ex, name) end },
  { "^files$", GET = function(ex, emu) emu.files:list(ex) end },
  { "^files/([^/:]+):download$", GET = function(ex, emu, id) emu.files:download(ex, id) end },
  { "^files/([^/:]+)$", GET = function(ex, emu, id) emu.files:get(ex, id) end,
    DELETE = function(ex, emu, id) emu.files:delete(ex, id) end },
  { "^cachedContents$", GET = function(ex, emu) emu.caches:list(ex) end,
    POST = function(ex, emu, _, version) emu.caches:create(ex, version) end },
  { "^cachedContents/([^/:]+)$", GET = function(ex, emu, id) emu.caches:get(ex, id) end,
    PATCH = function(ex, emu, id) emu.caches:update(ex, id) end,
    DELETE = function(ex, emu, id) emu.caches:delete(ex, id) end },
  { "^interactions$", POST = function(ex, emu, _, version) emu.interactions:create(ex, version) end },
  { "^interactions/([^/:]+)$", GET = function(ex, emu, id) emu.interactions:get(ex, id) end,
    DELETE = function(ex, emu, id) emu.interactions:delete(ex, id) end },
  { "^interactions/([^/:]+)/cancel$", POST = function(ex, emu, id) emu.interactions:cancel(ex, id) end },
  { "^auth_tokens$", POST = auth_tokens.create },
  { "^fileSearchStores$", GET = function(ex, emu) emu.stores:list(ex) end,
    POST = function(ex, emu) emu.stores:create(ex) end },
  { "^fileSearchStores/([^/:]+)$", GET = function(ex, emu, id) emu.stores:get(ex, id) end,
    DELETE = function(ex, emu, id) emu.stores:delete(ex, id) end },
  { "^fileSearchStores/([^/:]+):importFile$", POST = function(ex, emu, id) emu.stores:import(ex, id) end },
  { "^fileSearchStores/([^/:]+)/documents$", GET = function(ex, emu, id) emu.stores:list_documents(ex, id) end },
  { "^fileSearchStores/([^/:]+)/documents/([^/:]+)$",
    GET = function(ex, emu, id, document) emu.stores:get_document(ex, id, document) end,
    DELETE = function(ex, emu, id, document) emu.stores:delete_document(ex, id, document) end },
  { "^(fileSearchStores/[^/:]+/operations/[^/:]+)$",
    GET = function(ex, emu, name) emu.stores:get_operation(ex, name) end },
  { "^(fileSearchStores/[^/:]+/upload/operations/[^/:]+)$",
    GET = function(ex, emu, name) emu.stores:get_operation(ex, name) end },
  { "^batches$", GET = function(ex, emu) emu.batches:list(ex) end },
  { "^batches/([^/:]+)$", GET = function(ex, emu, id) emu.batches:get(ex, id) end,
    DELETE = function(ex, emu, id) emu.batches:delete(ex, id) end },
  { "^batches/([^/:]+):cancel$", POST = function(ex, emu, id) emu.batches:cancel(ex, id) end },
}

local versions = { v1 = true, v1beta = true, v1alpha = true, v1beta1 = true }

--- Sets `ex.owner`; raises what the service says of a missing or bad key.
local function identify(ex)
  local key = ex:key()
  local token = (ex.headers.authorization or ""):match("^[Bb]earer%s+(.+)$")
  if key then
    if key:find("^bad") then error(errors.bad_key()) end
    ex.owner = exchange.fingerprint(key)
  elseif token then
    if token:find("^bad") then error(errors.new(401)) end
    ex.owner = exchange.fingerprint(token)
  else
    error(errors.no_key())
  end
end

local function run(row, ex, emu, captures)
  local method = ex.method == "HEAD" and "GET" or ex.method
  if not row[method] then
    local allowed = {}
    for _, name in ipairs({ "GET", "POST", "PATCH", "DELETE" }) do
      if row[name] then allowed[#allowed + 1] = name end
    end
    error(errors.html(405, { allow = table.concat(allowed, ", ") }))
  end
  identify(ex)
  row[method](ex, emu, captures[1], captures[2] or captures.version, captures.version)
end

--- Finds the handler of a request of the API and runs it.
local function dispatch(ex, emu)
  local upload_version, target = ex.path:match("^/upload/(%w+)/(.*)$")
  local store_id = target and target:match("^fileSearchStores/([^/:]+):uploadToFileSearchStore$")
  if versions[upload_version] and (target == "files" or store_id) then
    if ex.method ~= "POST" then error(errors.html(405, { allow = "POST" })) end
    -- The URL of a session is its own authority.
    if not ex.query.upload_id then identify(ex) end
    return emu.uploads:handle(ex, store_id)
  end
  local version, rest = ex.path:match("^/(%w+)/(.*)$")
  if version == "v1beta1" then -- Vertex AI's: the models are the same
    rest = rest:gsub("^projects/[^/]+/locations/[^/]+/", ""):gsub("^publishers/google/", "")
  end
  for _, row in ipairs(versions[version] and api or {}) do
    local captures = { rest:match(row[1]) }
    if captures[1] then
      captures.version = version
      return run(row, ex, emu, captures)
    end
  end
  error(errors.html(404))
end

local function discard() end

--- Runs a request of the API with whatever fault it meets.
local function serve(ex, emu)
  local fault = ex.fault
  if fault and fault:strikes_at("headers") then fault:strike(ex) end
  if fault and fault:strikes_at("body") then
    ex:read_body(discard)
    fault:strike(ex)
  end
  dispatch(ex, emu)
end

local function answer_error(ex, err)
  local headers = { ["content-type"] = err.content_type }
  for name, value in pairs(err.headers or {}) do headers[name] = value end
  ex:answer(err.code, headers, err.body)
end

local function with_traceback(err)
  return type(err) == "string" and debug.traceback(err, 2) or err
end

--- Runs a handler to the end of its exchange, whatever it raises.
local function complete(ex, handler, emu)
  local ok, err = xpcall(handler, with_traceback, ex, emu)
  if not ok and errors.is(err) then ok, err = xpcall(answer_error, with_traceback, ex, err) end
  if ok or err == exchange.over then return end
  io.stderr:write("gemini-emulator: ", tostring(errors.is(err) and err.body or err), "\n")
  ex.outcome = "bug of the emulator"
  if not ex.status then pcall(answer_error, ex, errors.new(500)) end
end

local function on_stream(self, stream)
  if stream.connection.version ~= 2 then stream.connection:setmaxline(LINE) end
  local headers = stream:get_headers()
  if not headers then return end
  local emu = self.emu
  local ex = exchange.new(stream, headers)
  ex.entry, ex.note, ex.note_body = {}, discard, discard
  if ex.path:find("^/emulator/") then
    complete(ex, function()
      if not ex:is_local() then error(errors.html(404)) end
      admin.handle(ex, emu)
    end)
    intake.release(ex)
    return ex:close()
  end

  local connection = self.numbers[stream.connection]
  if not connection then
    self.accepted = self.accepted + 1
    connection = { number = self.accepted, requests = 0 }
    self.numbers[stream.connection] = connection
  end
  connection.requests = connection.requests + 1

  local entry = emu.record:begin(ex, connection.number, connection.requests)
  ex.entry = entry
  function ex.note(facts)
    for k, v in pairs(facts) do entry[k] = v end
  end
  function ex.note_body(body) record.note_body(entry, body) end
  ex.latency = emu.settings.latency
  ex.fault = emu.faults:match(ex)
  complete(ex, serve, emu)
  intake.release(ex)
  emu.record:finish(entry, ex)
  ex:close()
end

--- Listens. Nothing is served until the controller runs.
---@param emu table the emulator's parts
---@param options table host, port, context (TLS, or nil), cq
---@return table? server with `port`
---@return string? message
function server.listen(emu, options)
  local self = setmetatable({ emu = emu, numbers = setmetatable({}, { __mode = "k" }), accepted = 0 }, server)
  local listening, message = http_server.listen({
    cq = options.cq, host = options.host, port = options.port, reuseaddr = true,
    tls = options.context ~= nil, ctx = options.context, intra_stream_timeout = IDLE,
    onstream = function(_, stream) on_stream(self, stream) end,
    onerror = function(_, _, operation, err)
      -- The rest is what clients do to their connections.
      if operation == "onstream" then io.stderr:write("gemini-emulator: ", tostring(err), "\n") end
    end,
  })
  if not listening then return nil, message end
  local ok, problem = listening:listen()
  if not ok then return nil, problem end
  self.http = listening
  self.port = select(3, listening:localname())
  return self
end

---@return integer connections that are open
function server:live()
  return self.http.n_connections
end

return server
