--- client.file_search_stores: documents that a model looks things up in (reference section 7.5). What takes a document
--- in is an operation: client.operations:wait waits for it.

local download = require "lgemini.download"
local endpoints = require "lgemini.endpoints"
local json = require "lgemini.json"
local operations = require "lgemini.operations"
local options = require "lgemini.options"
local pager = require "lgemini.pager"
local service = require "lgemini.service"
local upload = require "lgemini.upload"

---@class lgemini.FileSearchStores
---@field documents lgemini.Documents
local FileSearchStores = { __name = "lgemini.FileSearchStores" }
FileSearchStores.__index = FileSearchStores

---@class lgemini.Documents
local Documents = { __name = "lgemini.Documents" }
Documents.__index = Documents

local file_search_stores = {}

---@param client lgemini.Client
function file_search_stores.new(client)
  return setmetatable({ client = client, documents = setmetatable({ client = client }, Documents) }, FileSearchStores)
end

local rows, document_rows = endpoints.file_search_stores, endpoints.documents

---@class lgemini.FileSearchStore
---@field name string  fileSearchStores/...
---@field display_name string?
---@field active_documents_count integer?
---@field pending_documents_count integer?
---@field failed_documents_count integer?
---@field size_bytes integer?
---@field create_time string?
---@field update_time string?

---@class lgemini.Document
---@field name string  fileSearchStores/x/documents/y
---@field display_name string?
---@field state "STATE_PENDING"|"STATE_ACTIVE"|"STATE_FAILED"
---@field mime_type string?
---@field size_bytes integer?
---@field custom_metadata table[]?
---@field create_time string?
---@field update_time string?

-- Stores ---------------------------------------------------------------------------------------

local CREATE = { config = service.known_config(rows.create), display_name = "config.display_name" }

--- Makes a store.
---@param args table|nil  config: display_name, embedding_model
---@return lgemini.FileSearchStore|nil
---@return lgemini.Error|nil err
function FileSearchStores:create(args)
  options.check_self(self, FileSearchStores, "file_search_stores.create")
  args = options.arguments(args, nil, CREATE, "file_search_stores:create")
  return service.ask(self.client, { row = rows.create, args = args,
    tree = function() return service.config(args.config, rows.create.request) end })
end

local NAMED = { name = true, config = options.CONFIG }

--- A store as it is now.
---@param args string|table  its name; or name (a store may stand for it), config
---@return lgemini.FileSearchStore|nil
---@return lgemini.Error|nil err
function FileSearchStores:get(args)
  options.check_self(self, FileSearchStores, "file_search_stores.get")
  args = service.arguments(args, "name", NAMED, "file_search_stores:get", "FileSearchStore")
  return service.ask(self.client, { row = rows.get, args = args })
end

local DELETE = { name = true, config = service.known_config(rows.delete), force = "config.force" }

--- Deletes a store.
---@param args string|table  its name; or name, config: force = true deletes the documents in it, too
---@return true|nil
---@return lgemini.Error|nil err
function FileSearchStores:delete(args)
  options.check_self(self, FileSearchStores, "file_search_stores.delete")
  args = service.arguments(args, "name", DELETE, "file_search_stores:delete", "FileSearchStore")
  return service.ask(self.client, { row = rows.delete, args = args })
end

--- An iterator over all stores: `for store in client.file_search_stores:list{} do`.
---@param args table|nil  config: page_size
---@return lgemini.Pager
function FileSearchStores:list(args)
  options.check_self(self, FileSearchStores, "file_search_stores.list")
  args = options.arguments(args, nil, pager.KNOWN, "file_search_stores:list")
  return pager.new(self.client, rows.list, args)
end

-- Documents on their way into one ---------------------------------------------------------------

local UPLOAD = { file_search_store_name = true, file = true, data = true, on_progress = true,
  config = service.known_config(rows.upload_to_file_search_store), name = "file_search_store_name" }

--- Uploads a document into a store.
---@param args table  file_search_store_name (a store may stand for it); file (path or open io file) or data (bytes);
---  config: display_name, mime_type, custom_metadata (a list of { key =, string_value = }, or with numeric_value, or
---  string_list_value = { values = }), chunking_config; on_progress(sent, total)
---@return lgemini.Operation|nil  response.document_name, once it is done
---@return lgemini.Error|nil err
function FileSearchStores:upload_to_file_search_store(args)
  options.check_self(self, FileSearchStores, "file_search_stores.upload_to_file_search_store")
  args = options.arguments(args, nil, UPLOAD, "file_search_stores:upload_to_file_search_store")
  options.callback(args.on_progress, "on_progress")
  local row = rows.upload_to_file_search_store
  local path, err = endpoints.path(row, args, self.client.vertex)
  if not path then
    return nil, err
  end
  local call
  call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local decoded
  decoded, err = upload.to(call, args, { row = row, path = path, tree = function(mime_type)
    local tree, problem = service.config(args.config, row.request)
    if tree then
      tree.mimeType = json.quote(mime_type)
    end
    return tree, problem
  end })
  if not decoded then
    return nil, err
  end
  return operations.of(decoded)
end

local IMPORT = { file_search_store_name = true, file_name = true, config = service.known_config(rows.import_file),
  name = "file_search_store_name", file = "file_name" }

--- Takes a file of client.files into a store.
---@param args table  file_search_store_name; file_name (a file object may stand for it); config: custom_metadata,
---  chunking_config
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err
function FileSearchStores:import_file(args)
  options.check_self(self, FileSearchStores, "file_search_stores.import_file")
  args = options.arguments(args, nil, IMPORT, "file_search_stores:import_file")
  local name, err = endpoints.name("files", args.file_name, "file_name")
  if not name then
    return nil, err
  end
  local call
  call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local sent
  sent, err = service.request(call, { row = rows.import_file, args = args, tree = function()
    local tree, problem = service.config(args.config, rows.import_file.config)
    if tree then
      tree.fileName = json.quote(name)
    end
    return tree, problem
  end })
  if not sent then
    return nil, err
  end
  return operations.ask(call, sent)
end

local MEDIA = { media = true, to = true, config = options.CONFIG }

--- Fetches what an answer cites out of a store (`retrieved_context.media_id`).
---@param args string|table  its name (fileSearchStores/x/media/y); or media, to (a path to write to), config
---@return string|nil bytes   or the path, with `to`
---@return lgemini.Error|nil err
function FileSearchStores:download_media(args)
  options.check_self(self, FileSearchStores, "file_search_stores.download_media")
  args = options.arguments(args, "media", MEDIA, "file_search_stores:download_media")
  options.string(args.to, "to")
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local sent
  sent, err = service.request(call, { row = rows.download_media, args = args })
  if not sent then
    return nil, err
  end
  sent.raw, sent.bulk, sent.once = true, true, true
  if args.to then
    return download.to_file(call, sent, args.to)
  end
  return download.to_memory(call, sent)
end

-- Documents in one ------------------------------------------------------------------------------

--- A document as it is now.
---@param args string|table  its name (fileSearchStores/x/documents/y); or name, config
---@return lgemini.Document|nil
---@return lgemini.Error|nil err
function Documents:get(args)
  options.check_self(self, Documents, "file_search_stores.documents.get")
  args = service.arguments(args, "name", NAMED, "documents:get", "Document")
  return service.ask(self.client, { row = document_rows.get, args = args })
end

--- Deletes a document.
---@param args string|table  its name; or name, config: force = true, where it has been taken apart already
---@return true|nil
---@return lgemini.Error|nil err
function Documents:delete(args)
  options.check_self(self, Documents, "file_search_stores.documents.delete")
  args = service.arguments(args, "name", DELETE, "documents:delete", "Document")
  return service.ask(self.client, { row = document_rows.delete, args = args })
end

local LIST = { parent = true, config = pager.KNOWN.config }

--- An iterator over the documents of a store.
---@param args string|table  its name; or parent (a store may stand for it), config: page_size
---@return lgemini.Pager
function Documents:list(args)
  options.check_self(self, Documents, "file_search_stores.documents.list")
  args = service.arguments(args, "parent", LIST, "documents:list", "FileSearchStore")
  return pager.new(self.client, document_rows.list, args)
end

return file_search_stores
