-- File search stores and the documents in them. Nothing is searched: a document is taken in, waits for its turn and is
-- then ACTIVE, and the operation that took it in is done.

local check = require "check"
local clock = require "clock"
local errors = require "errors"
local intake = require "intake"
local json = require "json"
local store = require "store"

local stores = {}
stores.__index = stores

local TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."

---@param emu table the emulator's parts: clock, settings, files
---@return table stores
function stores.new(emu)
  return setmetatable({ emu = emu, store = store.new("fileSearchStores/", store.not_found), operations = {} }, stores)
end

local function read(self, ex, message)
  local body = intake.read(ex, self.emu.temporary, self.emu.settings.inline_limit)
  ex.note_body(body)
  return check.message(body.value, message)
end

local function is_active(self, document)
  return self.emu.clock:now() >= document.ready
end

local function show(self, one)
  local active, bytes = 0, 0
  for _, document in ipairs(one.documents.order) do
    bytes = bytes + document.size
    if is_active(self, document) then active = active + 1 end
  end
  local pending = #one.documents.order - active
  return { name = one.name, displayName = one.display_name, embeddingModel = one.embedding_model,
    createTime = clock.stamp(one.created), updateTime = clock.stamp(one.created),
    activeDocumentsCount = active > 0 and ("%d"):format(active) or nil,
    pendingDocumentsCount = pending > 0 and ("%d"):format(pending) or nil,
    sizeBytes = bytes > 0 and ("%d"):format(bytes) or nil }
end

local function show_document(self, document)
  local active = is_active(self, document)
  return { name = document.name, displayName = document.display_name, mimeType = document.mime_type,
    sizeBytes = ("%d"):format(document.size), createTime = clock.stamp(document.created),
    updateTime = clock.stamp(active and document.ready or document.created),
    state = active and "STATE_ACTIVE" or "STATE_PENDING",
    customMetadata = document.metadata and json.array(document.metadata) }
end

--- POST fileSearchStores
function stores:create(ex)
  local request = read(self, ex, "FileSearchStore")
  local one = self.store:add({ display_name = request.displayName, embedding_model = request.embeddingModel,
    created = self.emu.clock:now() }, ex.owner)
  one.documents = store.new(one.name .. "/documents/", store.not_found)
  ex:answer_json(show(self, one))
end

--- The store of a request.
---@param id string
---@param owner string
---@return table
function stores:find(id, owner)
  return self.store:find("fileSearchStores/" .. id, owner)
end

function stores:get(ex, id)
  ex:answer_json(show(self, self:find(id, ex.owner)))
end

function stores:delete(ex, id)
  local one = self:find(id, ex.owner)
  if one.documents.order[1] and ex.query.force ~= "true" then
    error(errors.new(400, "Cannot delete non-empty FileSearchStore.", "FAILED_PRECONDITION"))
  end
  self.store:remove(one)
  ex:answer_json({})
end

function stores:list(ex)
  local page, token = self.store:page(ex, function(one) return show(self, one) end, 20)
  ex:answer_json({ fileSearchStores = page, nextPageToken = token })
end

--- Takes a document in.
---@param one table the store
---@param spec table display_name, mime_type, size, metadata, owner; folder of the operation, its type
---@return string name of the operation
function stores:take(one, spec)
  local now = self.emu.clock:now()
  local document = one.documents:add({ display_name = spec.display_name, mime_type = spec.mime_type, size = spec.size,
    metadata = spec.metadata, created = now, ready = now + self.emu.settings.processing }, spec.owner)
  local name = one.name .. spec.folder .. store.new_id()
  self.operations[name] = { owner = spec.owner, document = document, store = one.name, type = spec.type }
  return name
end

---@param name string
---@return table operation as the wire has it
function stores:operation(name)
  local operation = self.operations[name]
  local done = is_active(self, operation.document)
  return { name = name, done = done or nil, response = done and { ["@type"] = TYPE .. operation.type,
    parent = operation.store, documentName = operation.document.name } or nil }
end

--- GET of an operation
function stores:get_operation(ex, name)
  local operation = self.operations[name]
  if not operation or operation.owner ~= ex.owner then error(store.not_found(name)) end
  ex:answer_json(self:operation(name))
end

--- POST fileSearchStores/{id}:importFile
function stores:import(ex, id)
  local one = self:find(id, ex.owner)
  local request = read(self, ex, "ImportFileRequest")
  local file = self.emu.files:find(((request.fileName or ""):gsub("^files/", "")), ex.owner)
  ex:answer_json(self:operation(self:take(one, { display_name = file.display_name, mime_type = file.mime_type,
    size = file.size, metadata = request.customMetadata, owner = ex.owner, folder = "/operations/",
    type = "ImportFileResponse" })))
end

function stores:list_documents(ex, id)
  local page, token = self:find(id, ex.owner).documents:page(ex, function(document)
    return show_document(self, document)
  end, 20)
  ex:answer_json({ documents = page, nextPageToken = token })
end

local function document_of(self, ex, id, document)
  local one = self:find(id, ex.owner)
  return one, one.documents:find(one.name .. "/documents/" .. document, ex.owner)
end

function stores:get_document(ex, id, document)
  local _, found = document_of(self, ex, id, document)
  ex:answer_json(show_document(self, found))
end

function stores:delete_document(ex, id, document)
  local one, found = document_of(self, ex, id, document)
  if is_active(self, found) and ex.query.force ~= "true" then
    error(errors.new(400, "Cannot delete non-empty Document.", "FAILED_PRECONDITION"))
  end
  one.documents:remove(found)
  ex:answer_json({})
end

return stores
