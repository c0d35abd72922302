--- The methods of the API as rows, but those of client.models: see endpoints.lua.

require("lgemini.compat").goes_over_tables()

local rows = {}

---@type table<string, lgemini.endpoints.Row>
rows.files = {
  get = { verb = "GET", path = "{name:files}", answer = "File" },
  list = { verb = "GET", path = "files", config = "ListConfig", answer = "ListFilesResponse", items = "files" },
  delete = { verb = "DELETE", path = "{name:files}" },
  download = { verb = "GET", path = "{name:files}:download", query = { alt = "media" } },
  upload = { verb = "POST", path = "files", upload = true, config = "UploadFileConfig", request = "FileEnvelope",
    answer = "FileEnvelope" },
  register = { verb = "POST", path = "files:register", request = "RegisterFilesRequest",
    answer = "RegisterFilesResponse" },
}

---@type table<string, lgemini.endpoints.Row>
rows.caches = {
  create = { verb = "POST", path = "cachedContents", config = "CreateCachedContentConfig", answer = "CachedContent",
    starts = true,
    vertex = true },
  get = { verb = "GET", path = "{name:caches}", answer = "CachedContent",
    vertex = true },
  update = { verb = "PATCH", path = "{name:caches}", config = "UpdateCachedContentConfig", answer = "CachedContent",
    vertex = true },
  delete = { verb = "DELETE", path = "{name:caches}",
    vertex = true },
  list = { verb = "GET", path = "cachedContents", config = "ListConfig", answer = "ListCachedContentsResponse",
    items = "cached_contents",
    vertex = true },
}

---@type table<string, lgemini.endpoints.Row>
rows.batches = {
  create = { verb = "POST", path = "{model:models}:batchGenerateContent", config = "CreateBatchConfig",
    answer = "BatchOperation", starts = true,
    vertex = "batchPredictionJobs", vertex_answer = "BatchPredictionJob" },
  create_embeddings = { verb = "POST", path = "{model:models}:asyncBatchEmbedContent", config = "CreateBatchConfig",
    answer = "BatchOperation", starts = true },
  get = { verb = "GET", path = "{name:batches}", answer = "BatchOperation",
    vertex = true, vertex_answer = "BatchPredictionJob" },
  cancel = { verb = "POST", path = "{name:batches}:cancel", request = "Empty",
    vertex = true },
  delete = { verb = "DELETE", path = "{name:batches}",
    vertex = true },
  list = { verb = "GET", path = "batches", config = "ListConfig", answer = "ListBatchesResponse",
    items = "operations",
    vertex = "batchPredictionJobs", vertex_answer = "ListBatchPredictionJobsResponse",
    vertex_items = "batch_prediction_jobs" },
}

---@type table<string, lgemini.endpoints.Row>
rows.tunings = {
  tune = { verb = "POST", path = "tunedModels", config = "TuneConfig", request = "TuneRequest",
    answer = "TuneOperation", starts = true },
  get = { verb = "GET", path = "{name:tunings}", answer = "TunedModel" },
  delete = { verb = "DELETE", path = "{name:tunings}" },
  list = { verb = "GET", path = "tunedModels", config = "ListConfig", answer = "ListTuningJobsResponse",
    items = "tuned_models" },
}

---@type table<string, lgemini.endpoints.Row>
rows.file_search_stores = {
  create = { verb = "POST", path = "fileSearchStores", config = "CreateFileSearchStoreConfig",
    request = "CreateFileSearchStoreConfig", answer = "FileSearchStore", starts = true },
  get = { verb = "GET", path = "{name:stores}", answer = "FileSearchStore" },
  delete = { verb = "DELETE", path = "{name:stores}", config = "DeleteConfig" },
  list = { verb = "GET", path = "fileSearchStores", config = "ListConfig", answer = "ListFileSearchStoresResponse",
    items = "file_search_stores" },
  upload_to_file_search_store = { verb = "POST", path = "{file_search_store_name:stores}:uploadToFileSearchStore",
    upload = true, config = "UploadToFileSearchStoreConfig", request = "UploadToFileSearchStoreConfig",
    answer = "Operation" },
  import_file = { verb = "POST", path = "{file_search_store_name:stores}:importFile", config = "ImportFileConfig",
    request = "ImportFileRequest", answer = "Operation", starts = true },
  download_media = { verb = "GET", path = "{media:media}", query = { alt = "media" } },
}

---@type table<string, lgemini.endpoints.Row>
rows.documents = {
  get = { verb = "GET", path = "{name:documents}", answer = "Document" },
  delete = { verb = "DELETE", path = "{name:documents}", config = "DeleteConfig" },
  list = { verb = "GET", path = "{parent:stores}/documents", config = "ListConfig", answer = "ListDocumentsResponse",
    items = "documents" },
}

---@type table<string, lgemini.endpoints.Row>
rows.auth_tokens = {
  create = { verb = "POST", path = "auth_tokens", config = "CreateAuthTokenConfig", answer = "AuthToken",
    version = "v1alpha", starts = true },
}

-- Whether create and get stream, they are told.
---@type table<string, lgemini.endpoints.Row>
rows.interactions = {
  create = { verb = "POST", path = "interactions", request = "CreateInteractionRequest" },
  get = { verb = "GET", path = "interactions/{id:interactions}", config = "GetInteractionQuery" },
  cancel = { verb = "POST", path = "interactions/{id:interactions}/cancel" },
  delete = { verb = "DELETE", path = "interactions/{id:interactions}" },
}

---@type table<string, lgemini.endpoints.Row>
rows.operations = {
  get = { verb = "GET", path = "{operation:operations}", answer = "Operation",
    vertex = "{operation:operations}" },
}

-- Where Vertex AI has nothing of the kind, or has it in a form that is not described.
local GEMINI = "ask the Gemini API: another Client{} with an api_key and without vertexai"
local INSTEAD = {
  files = 'put media into Google Cloud Storage: { file_data = { file_uri = "gs://...", mime_type = ... } }',
  batches = GEMINI,
  tunings = GEMINI .. "; Vertex AI's own tunings (tuningJobs) are made with its other tools",
  file_search_stores = GEMINI,
  documents = GEMINI,
  auth_tokens = GEMINI .. "; Live sessions of Vertex AI take a token of OAuth",
  interactions = "client.models:generate_content and client.chats work there; or " .. GEMINI,
}
for service, hint in pairs(INSTEAD) do
  for _, row in pairs(rows[service]) do
    row.instead = hint
  end
end

return rows
