-- The resumable protocol: start, upload, query, finalize, cancel. Bytes go to disk as they come; what came before a cut
-- stays. A session belongs to whoever knows its id.

local check = require "check"
local digest = require "openssl.digest"
local errors = require "errors"
local exchange = require "exchange"
local intake = require "intake"
local json = require "json"
local media = require "media"
local rand = require "openssl.rand"
local source = require "source"

local uploads = {}
uploads.__index = uploads

---@param emu table the emulator's parts: files, settings, directory
---@return table uploads
function uploads.new(emu)
  return setmetatable({ emu = emu, sessions = {}, order = {} }, uploads)
end

local function commands(ex)
  local set = {}
  for word in (ex.headers["x-goog-upload-command"] or ""):lower():gmatch("[^,%s]+") do set[word] = true end
  return set
end

--- Sends what the session's state is; no body unless it is final.
local function report(self, ex, session)
  local headers = {
    ["x-guploader-uploadid"] = session.id,
    ["x-goog-upload-status"] = session.status,
    ["x-goog-upload-chunk-granularity"] = string.format("%d", self.emu.settings.granularity),
    ["x-goog-upload-size-received"] = string.format("%d", session.received),
  }
  if session.status == "final" and session.error then
    headers["content-type"] = "application/json; charset=UTF-8"
    ex:answer(session.error.code, headers, json.encode({ error = session.error }))
  elseif session.status == "final" and session.operation then
    ex:answer_json(self.emu.stores:operation(session.operation), headers)
  elseif session.status == "final" then
    local file = self.emu.files.by_id[session.file_id]
    ex:answer_json(file and { file = self.emu.files:object(file) } or {}, headers)
  else
    headers["content-type"] = "text/plain; charset=utf-8"
    ex:answer(200, headers)
  end
end

local function refuse(session, code, text)
  error(errors.text(code, text, { ["x-goog-upload-status"] = session.status,
    ["x-goog-upload-size-received"] = string.format("%d", session.received) }))
end

function uploads:start(ex, store_id)
  if (ex.headers["x-goog-upload-protocol"] or "") ~= "resumable" then
    error(errors.text(400, "Upload protocol is not supported: only resumable is."))
  end
  local body = intake.read(ex, self.emu.temporary, self.emu.settings.inline_limit)
  ex.note_body(body)
  local into = store_id and check.message(body.value, "UploadToFileSearchStoreRequest")
  local wanted = into or check.message(body.value, "CreateFileRequest").file or {}
  if store_id then self.emu.stores:find(store_id, ex.owner) end
  local announced = tonumber(ex.headers["x-goog-upload-header-content-length"] or wanted.sizeBytes)
  local mime_type = ex.headers["x-goog-upload-header-content-type"] or wanted.mimeType
  if mime_type == "" then mime_type = nil end
  if announced and announced > self.emu.settings.file_limit then
    error(errors.bad_request(string.format("The file is too large: %d bytes; a file may have %d.", announced,
      self.emu.settings.file_limit), "file.size_bytes"))
  end
  if wanted.displayName and #wanted.displayName > 512 then
    error(errors.bad_request("* CreateFileRequest.file.display_name: must be at most 512 characters long.",
      "file.display_name"))
  end
  local session = {
    id = source.hex(rand.bytes(32)), owner = ex.owner, announced = announced, mime_type = mime_type,
    name = wanted.name and wanted.name ~= "" and self.emu.files:check_name(wanted.name) or nil,
    display_name = wanted.displayName, file_name = ex.headers["x-goog-upload-file-name"],
    received = 0, status = "active", store_id = store_id, metadata = into and into.customMetadata,
  }
  session.digest = digest.new("sha256")
  assert(io.open(self:path(session), "wb")):close()
  self.sessions[session.id] = session
  self.order[#self.order + 1] = session
  session.number = #self.order
  self.emu:save()
  ex.note({ upload = session.number })
  -- Longer than 127 bytes wherever the emulator listens: lua-http writes the length of 127 wrongly on HTTP/2.
  local url = string.format("%s://%s%s?upload_id=%s&upload_protocol=resumable", ex.scheme, ex.authority, ex.path,
    session.id)
  ex:answer(200, {
    ["content-type"] = "text/plain; charset=utf-8", ["x-guploader-uploadid"] = session.id,
    ["x-goog-upload-status"] = "active", ["x-goog-upload-url"] = url, ["x-goog-upload-control-url"] = url,
    ["x-goog-upload-chunk-granularity"] = string.format("%d", self.emu.settings.granularity),
  })
end

function uploads:path(session)
  return self.emu.directory .. "/uploads/" .. session.id
end

--- Forgets bytes from `size` on, as if they had not come.
local function cut_back(session, size)
  if size < session.received then
    session.received = size
    session.digest = nil -- it cannot go back; the file is hashed as a whole at the end
  end
end

--- Reads the bytes of a request into the session. Bytes that the wire lost are as if never sent; the rest is kept.
local function store(self, ex, session, final)
  local before = session.received
  local out = assert(io.open(self:path(session), "r+b"))
  assert(out:seek("set", before))
  session.writer = ex
  local ok, err = pcall(ex.read_body, ex, function(bytes)
    if session.writer ~= ex then ex:gone() end -- a later request has taken over
    assert(out:write(bytes))
    if session.digest then session.digest:update(bytes) end
    session.received = session.received + #bytes
  end)
  out:close()
  local came = session.received - before
  if session.writer == ex then
    session.writer = nil
    if not ok then cut_back(session, math.max(before, session.received - session.received % self.emu.settings.keep)) end
  end
  ex.note({ upload_bytes = came })
  self.emu:save()
  if not ok then error(err, 0) end
  if not final and came % self.emu.settings.granularity ~= 0 then
    cut_back(session, before)
    refuse(session, 400, string.format("The client sent %d bytes, which is not a multiple of the %d byte chunk "
      .. "granularity.", came, self.emu.settings.granularity))
  end
  if session.received > self.emu.settings.file_limit then refuse(session, 413, "The file is too large.") end
end

local function fail(session, err)
  session.status, session.error = "final", err.object.error
end

--- Makes the file of a session that has all its bytes. (More may lie behind them on disk, from before a cut.)
local function finalize(self, session)
  local path = self:path(session)
  local src = source.from_file(path, session.received)
  local sha256 = session.digest and source.hex(session.digest:final()) or src:sha256()
  session.digest = nil
  local mime_type = session.mime_type or media.facts(src).type or "application/octet-stream"
  src:close()
  if session.announced and session.announced ~= session.received then
    return fail(session, errors.new(400, string.format("Upload has %d bytes, but %d were announced.", session.received,
      session.announced)))
  end
  if not media.family(mime_type) then
    return fail(session, errors.new(400, "Unsupported MIME type: " .. mime_type))
  end
  if session.store_id then
    local one = self.emu.stores:find(session.store_id, session.owner)
    session.status, session.operation = "final", self.emu.stores:take(one, { display_name = session.display_name
      or session.file_name, mime_type = mime_type, size = session.received, metadata = session.metadata,
      owner = session.owner, folder = "/upload/operations/", type = "UploadToFileSearchStoreResponse" })
    os.remove(path)
    return
  end
  if session.name and self.emu.files:alive(session.name) then return fail(session, errors.new(409)) end
  local file = self.emu.files:create({
    path = path, size = session.received, sha256 = sha256, mime_type = mime_type, owner = session.owner,
    id = session.name, display_name = session.display_name,
  })
  session.status, session.file_id = "final", file.id
end

--- A request of a session that has begun.
function uploads:continue(ex)
  local session = self.sessions[ex.query.upload_id]
  if not session then error(errors.text(404, "Invalid upload id.")) end
  local asked = commands(ex)
  ex.note({ upload = session.number, upload_command = ex.headers["x-goog-upload-command"],
    upload_offset = tonumber(ex.headers["x-goog-upload-offset"]) })
  if session.status == "cancelled" then refuse(session, 410, "Upload has been cancelled.") end
  session.writer = nil
  if asked.query then return report(self, ex, session) end
  if session.status == "final" then refuse(session, 400, "Upload has already been terminated.") end
  if asked.cancel then
    session.status = "cancelled"
    os.remove(self:path(session))
    self.emu:save()
    return report(self, ex, session)
  end
  if not asked.upload and not asked.finalize then refuse(session, 400, "Unknown upload command.") end
  if asked.upload then
    local offset = tonumber(ex.headers["x-goog-upload-offset"])
    if offset ~= session.received then
      refuse(session, 400, string.format("Invalid upload offset: the client sent %s, %d bytes have been received.",
        ex.headers["x-goog-upload-offset"] or "none", session.received))
    end
    store(self, ex, session, asked.finalize)
  end
  if asked.finalize then
    finalize(self, session)
    self.emu:save()
  end
  report(self, ex, session)
end

--- POST /upload/{version}/files, or one into a file search store
---@param ex table exchange
---@param store_id? string
function uploads:handle(ex, store_id)
  if ex.query.upload_id then return self:continue(ex) end
  if not commands(ex).start then error(errors.text(400, "Upload command is missing: start begins an upload.")) end
  self:start(ex, store_id)
end

--- What the admin shows; ids are secrets and stay out.
---@return table list
function uploads:list()
  local list = json.array({})
  for i, session in ipairs(self.order) do
    list[i] = { number = session.number, status = session.status, received = session.received,
      announced = session.announced, mime_type = session.mime_type, file_name = session.file_name,
      display_name = session.display_name, receiving = session.writer ~= nil, id = exchange.fingerprint(session.id),
      file = session.file_id and "files/" .. session.file_id or nil }
  end
  return list
end

--- What is kept across a restart, and back.
function uploads:dump()
  local list = json.array({})
  for i, session in ipairs(self.order) do
    local copy = {}
    for k, v in pairs(session) do
      if k ~= "digest" and k ~= "writer" then copy[k] = v end
    end
    list[i] = copy
  end
  return list
end

function uploads:load(list)
  for i, session in ipairs(list) do
    self.sessions[session.id] = session
    self.order[i] = session
  end
end

return uploads
