-- Batches: many requests in one, or in a file of JSON lines. They are answered at once and shown when the setting
-- `batch` says that the time has come.

local check = require "check"
local clock = require "clock"
local cqueues = require "cqueues"
local embed = require "embed"
local errors = require "errors"
local generate = require "generate"
local intake = require "intake"
local json = require "json"
local models = require "models"
local source = require "source"
local store = require "store"

local batches = {}
batches.__index = batches

local TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."
local INLINE = 20 * 1000 * 1000 -- bytes
-- HTTP statuses as gRPC numbers.
local NUMBERS = { [400] = 3, [401] = 16, [403] = 7, [404] = 5, [409] = 6, [429] = 8, [500] = 13, [503] = 14 }

local KINDS = {
  generate = { method = "batchGenerateContent", message = "GenerateContentRequest", type = "GenerateContentBatch",
    field = "inlinedResponses", answer = generate.response_to },
  embed = { method = "asyncBatchEmbedContent", message = "EmbedContentRequest", type = "EmbedContentBatch",
    field = "inlinedEmbedContentResponses", answer = function(_, body, _, request)
      return { embedding = embed.of(body, request, "EmbedContentRequest") }
    end },
}

---@param emu table the emulator's parts
---@return table batches
function batches.new(emu)
  return setmetatable({ emu = emu, store = store.new("batches/", store.not_found) }, batches)
end

-- The answer to one request of a batch, or the error that it alone ends in.
local function answer_one(self, batch, body, request, fits)
  local kind = KINDS[batch.kind]
  local ok, result = pcall(function()
    if not fits then error(errors.new(400, "Request is not a message.")) end
    return kind.answer(self.emu, body, { owner = batch.owner, model = batch.model },
      check.message(request, kind.message))
  end)
  batch.done = batch.done + 1
  if ok then return { response = result } end
  if not errors.is(result) then error(result, 0) end
  batch.failed = batch.failed + 1
  local said = result.object.error
  return { error = { code = NUMBERS[said.code] or 2, message = said.message } }
end

local function run_inline(self, batch, body, requests)
  local list = json.array({})
  for i, item in ipairs(requests) do
    local result = answer_one(self, batch, body, item.request, type(item.request) == "table")
    result.metadata = item.metadata
    list[i] = result
    cqueues.poll(0)
  end
  batch.output = { [KINDS[batch.kind].field] = { inlinedResponses = list } }
end

-- Reads the lines of an uploaded file and writes one for each.
local function run_file(self, batch, name)
  local emu = self.emu
  local file = emu.files:find((name:gsub("^files/", "")), batch.owner)
  local path = emu.temporary .. "/" .. store.new_id()
  local out, size = assert(io.open(path, "wb")), 0
  for line in io.lines(emu.files:path(file.id)) do
    if line:find("%S") then
      local value = json.decode(line)
      local fits = type(value) == "table" and type(value.request) == "table"
      local result = answer_one(self, batch, { spools = {} }, fits and value.request, fits)
      result.key = type(value) == "table" and value.key or nil
      local text = json.encode(result) .. "\n"
      out:write(text)
      size = size + #text
      cqueues.poll(0)
    end
  end
  out:close()
  local src = source.from_file(path, size)
  local sha256 = src:sha256()
  src:close()
  batch.result = { path = path, size = size, sha256 = sha256, mime_type = "application/jsonl", owner = batch.owner,
    origin = "GENERATED" }
end

-- The state that the clock has brought about.
local function settle(self, batch)
  local now = self.emu.clock:now()
  if batch.state == "PENDING" and now >= batch.ready then
    batch.state, batch.ended = "SUCCEEDED", batch.ready
    if batch.result then
      batch.output = { responsesFile = "files/" .. self.emu.files:create(batch.result).id }
      batch.result = nil
    end
  elseif batch.state == "PENDING" and now >= batch.running then
    return "RUNNING"
  end
  return batch.state
end

local function show(self, batch)
  local state = settle(self, batch)
  local ended = state == "SUCCEEDED"
  local count = function(n) return n > 0 and ("%d"):format(n) or nil end
  return {
    name = batch.name,
    done = batch.ended and true or nil,
    metadata = {
      ["@type"] = TYPE .. KINDS[batch.kind].type, name = batch.name, model = "models/" .. batch.model,
      displayName = batch.display_name, priority = batch.priority and ("%d"):format(batch.priority),
      createTime = clock.stamp(batch.created), updateTime = clock.stamp(batch.ended or batch.created),
      endTime = batch.ended and clock.stamp(batch.ended) or nil, state = "BATCH_STATE_" .. state,
      batchStats = { requestCount = count(batch.done),
        successfulRequestCount = ended and count(batch.done - batch.failed) or nil,
        failedRequestCount = ended and count(batch.failed) or nil,
        pendingRequestCount = not ended and count(batch.done) or nil },
      output = ended and batch.output or nil,
    },
    response = ended and { ["@type"] = TYPE .. KINDS[batch.kind].type .. "Output" } or nil,
  }
end

--- POST {model}:batchGenerateContent and {model}:asyncBatchEmbedContent
---@param kind "generate"|"embed"
---@return fun(ex: table, emu: table, model: string, version: string)
function batches.creator(kind)
  return function(ex, emu, model, version)
    models.find(model, KINDS[kind].method, version)
    local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
    ex.note_body(body)
    local wanted = check.message(body.value, "BatchRequest").batch or {}
    local input = wanted.inputConfig or {}
    local requests = input.requests and input.requests.requests
    if (requests ~= nil and #requests > 0) == (input.fileName ~= nil) then
      error(errors.bad_request("* BatchGenerateContentRequest.batch.input_config: one of requests and file_name is "
        .. "needed.", "batch.input_config"))
    elseif requests and ex.received > INLINE then
      error(errors.new(400, "Request payload size exceeds the limit: 20000000 bytes."))
    end
    local self, now = emu.batches, emu.clock:now()
    local batch = { kind = kind, model = model, display_name = wanted.displayName, priority = wanted.priority,
      owner = ex.owner, created = now, running = now + emu.settings.batch / 2, ready = now + emu.settings.batch,
      state = "PENDING", done = 0, failed = 0 }
    if requests then
      run_inline(self, batch, body, requests)
    else
      run_file(self, batch, input.fileName)
    end
    ex.note({ model = model })
    ex:answer_json(show(self, self.store:add(batch, ex.owner)))
  end
end

function batches:get(ex, id)
  ex:answer_json(show(self, self.store:find("batches/" .. id, ex.owner)))
end

function batches:cancel(ex, id)
  local batch = self.store:find("batches/" .. id, ex.owner)
  ex:read_body(function() end)
  if settle(self, batch) ~= "SUCCEEDED" then batch.state, batch.ended = "CANCELLED", self.emu.clock:now() end
  ex:answer_json({})
end

function batches:delete(ex, id)
  self.store:remove(self.store:find("batches/" .. id, ex.owner))
  ex:answer_json({})
end

function batches:list(ex)
  local page, token = self.store:page(ex, function(batch) return show(self, batch) end, 1000)
  ex:answer_json({ operations = page, nextPageToken = token })
end

return batches
