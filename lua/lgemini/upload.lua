--- Uploads: what is sent is compared with what the service then has, is not sent twice, and can be taken up by another
-- process (reference section 6).

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local journal = require "lgemini.journal"
local media = require "lgemini.media"
local options = require "lgemini.options"
local progress = require "lgemini.progress"
local remote = require "lgemini.remote"
local reuse = require "lgemini.reuse"
local session = require "lgemini.session"
local source = require "lgemini.source"

local upload = {}

-- Bytes that a reader of unknown length is read ahead: the service's granularity (reference section 6.2).
local CHUNK = 8 * 1024 * 1024

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...) }
end

-- What came of it -------------------------------------------------------------------------------

-- Compares what the service has with what was sent: true, or false where one of the two is not known. A file that
-- differs is deleted.
local function verify(up, file)
  local theirs = remote.digest(up.call.client.core, file)
  local ours = theirs and session.digest(up)
  if not theirs or not ours then
    return false
  elseif theirs == ours then
    return true
  end
  local deleted = remote.delete(up.call, file.name)
  return nil, errors.new {
    kind = "integrity",
    message = ("the service has something else than was sent (SHA-256 %s, not %s); its file %s"):format(theirs, ours,
      deleted and "was deleted" or "could not be deleted"),
    file = file,
  }
end

-- The file in the last answer; where it got lost, the service is asked for it by name, or by what is in it.
local function final_file(up, answered)
  local envelope, err = http.value(up.call, {}, answered, "FileEnvelope")
  if envelope and envelope.file and envelope.file.name then
    return envelope.file
  elseif up.meta.name then
    return remote.get(up.call, up.meta.name)
  end
  local digest = up.source.size and session.digest(up)
  local found = digest and remote.find(up.call, digest, up.mime_type)
  if found then
    return found
  end
  return nil, err or errors.new { kind = "protocol",
    message = "the upload was finished, but the server did not name the file" }
end

-- Key and base URL in a form that shows neither.
local function scope_of(call)
  local key, err = call.client:key()
  if err then
    return nil, err
  end
  return call.client.core.sha256.of((key or "") .. "\n" .. call.options.base_url)
end

local GONE = { file_expired = true, not_found = true, permission = true }

-- Whether the service says so of a file that it does not have, or no more; or the index has a name that is none.
local function is_gone(err)
  return GONE[err.kind] or (err.kind == "invalid" and not err.code)
end

-- The file at the service that has this content already, if it still lives; nil, err where that cannot be asked, for
-- then it may be there. Only where one of that size is known is anything hashed.
local function find_again(up, info)
  local store, size = up.call.client:uploads_index(), up.source.size
  for _, entry in ipairs(store:find(size, up.mime_type, up.scope, http.time(up.call.client))) do
    local same = info and entry.inode == info.inode and entry.device == info.device and entry.mtime == info.mtime
    if not same then
      if not session.hash_up_to(up, size) then
        return nil
      end
      same = entry.sha256 == up.hash:hex()
    end
    if same then
      local file, err = remote.get(up.call, entry.name)
      if file and file.state ~= "FAILED" then
        return file
      elseif err and not is_gone(err) then
        return nil, err
      end -- else it is uploaded, and its entry replaced
    end
  end
end

-- Remembers that this content is that file.
local function remember(up, info, file)
  local hash = up.hash and up.hash:position() == up.source.size and up.hash:hex()
  if hash and up.scope and file.state ~= "FAILED" then
    local now = http.time(up.call.client)
    up.call.client:uploads_index():add(up.source.size, { sha256 = hash, mime_type = up.mime_type, scope = up.scope,
      name = file.name, expires = reuse.expiry(file.expiration_time, now), device = info and info.device,
      inode = info and info.inode, mtime = info and info.mtime }, now)
  end
end

--- The SHA-256 of what would be uploaded, in hex.
---@param call lgemini.Call
---@param args { file: string|nil, data: string|nil }
---@return string|nil  nil where it cannot be read
function upload.digest(call, args)
  local core = call.client.core
  if args.data then
    return core.sha256.of(args.data)
  end
  local from = source.new(core, args)
  return from and session.digest { call = call, source = from, hash = core.sha256.new() }
end

--- Forgets that the content of an upload is that file.
---@param client lgemini.Client
---@param name string
function upload.forget(client, name)
  client:uploads_index():forget(name, http.time(client))
end

-- Sends it: the file and whether it was compared; or nil, err.
local function deliver(up)
  local answered, err = session.run(up)
  if not answered then
    return nil, err
  end
  local file
  file, err = final_file(up, answered)
  if not file then
    return nil, err
  end
  if up.record then
    journal.remove(up.journal, up.url)
  end
  local verified
  verified, err = verify(up, file)
  if verified == nil then
    return nil, err
  end
  return file, verified
end

-- Runs the upload to its end and looks at what came of it.
local function complete(up, args)
  local info = up.scope and type(args.file) == "string" and up.call.client.core.file_info(args.file) or nil
  local file, err, ok
  if up.scope and not up.resumed then
    file, err = find_again(up, info)
    if err then
      return nil, err
    end
  end
  local reused, verified = file ~= nil, true
  if not reused then
    file, verified = deliver(up)
    if not file then
      return nil, verified
    end
    remember(up, info, file)
  end
  ok, err = up.report(session.size(up), true)
  if not ok then
    return nil, err
  end
  if file.state == "FAILED" and args.wait ~= false then
    return remote.failed(file, up.source.name)
  elseif args.wait ~= false then
    file, err = remote.wait(up.call, file, nil, up.source.name)
    if not file then
      return nil, err
    end
  end
  remote.set_transport(file, { verified = verified, reused = reused, attempts = (up.attempts or 0) + 1 })
  return file
end

-- A new one ------------------------------------------------------------------------------------

local function check_names(config)
  for _, name in ipairs { "mime_type", "display_name", "name" } do
    local value = options.string(config[name], "config." .. name)
    if value and value:find "[%z\r\n]" then
      return invalid("config.%s has a control character in it", name)
    end
  end
  if config.name then
    return endpoints.name("files", config.name, "config.name")
  end
end

local function record_of(up, path)
  if type(path) ~= "string" then
    return invalid "journal: only an upload of a file by its path can be taken up by another process"
  end
  local info, err = up.call.client.core.file_info(path)
  if not info then
    return nil, errors.new(err)
  end
  local scope
  scope, err = scope_of(up.call)
  if not scope then
    return nil, err
  end
  return { path = path, size = info.size, mtime = info.mtime, mime_type = up.mime_type, scope = scope,
    name = up.meta.name }
end

-- An upload as the arguments say, before anything is sent.
local function prepare(call, args, what)
  local config, core = args.config or {}, call.client.core
  if call.client.vertex then
    return nil, errors.new { kind = "invalid", message = "Vertex AI keeps no files",
      hint = "put it into Google Cloud Storage: { file_data = { file_uri = \"gs://...\", mime_type = ... } }" }
  end
  local name, err = check_names(config)
  if err then
    return nil, err
  end
  local chunk
  chunk, err = options.count(args.chunk_size, "chunk_size")
  if err then
    return nil, err
  end
  local from
  from, err = source.new(core, args)
  if not from then
    return nil, err
  end
  local mime_type
  mime_type, err = media.type_of { name = from.name, head = from.head, mime_type = config.mime_type }
  if not mime_type then
    return nil, err
  end
  return {
    call = call,
    source = from,
    mime_type = mime_type,
    meta = { name = name, display_name = config.display_name, mime_type = mime_type, size_bytes = from.size },
    machine = core.upload.new(from.size, chunk or (from.size and 0 or CHUNK)),
    report = progress.reporter(call.client.tasks, args.on_progress, from.size, what),
    hash = args.verify ~= false and core.sha256.new() or nil,
  }
end

-- Gives an upload a journal of the client's: where that cannot be, it does without.
local function keep_journal(up, path)
  local client = up.call.client
  local info = client.core.file_info(path)
  up.record = info and record_of(up, path)
  if up.record then
    up.journal, up.unasked = journal.path(client.core, client.state_dir, info, up.record.scope), true
    if not client.journals_cleaned then
      client.journals_cleaned = true
      journal.clean(client.core, client.state_dir)
    end
  end
end

---@class lgemini.upload.Target  where an upload goes that is no file of client.files
---@field row lgemini.endpoints.Row
---@field path string
---@field tree fun(mime_type: string): table|nil, lgemini.Error|nil  the body that begins it

--- Uploads to somewhere else than client.files, and gives what the last answer says.
---@param call lgemini.Call
---@param args table  file or data; config: mime_type, display_name; on_progress
---@param target lgemini.upload.Target
---@return any|nil decoded
---@return lgemini.Error|nil err
function upload.to(call, args, target)
  local up, err = prepare(call, { file = args.file, data = args.data, config = args.config,
    on_progress = args.on_progress, verify = false })
  if not up then
    return nil, err
  end
  up.target = target
  local answered
  answered, err = session.run(up)
  if not answered then
    return nil, err
  end
  local ok
  ok, err = up.report(up.source.size, true)
  if not ok then
    return nil, err
  end
  return http.value(call, {}, answered, "Operation")
end

--- Uploads within a call that is under way; see Files:upload.
---@param call lgemini.Call
---@param args table
---@param what string|nil  is handed to on_progress
---@return table|nil file
---@return lgemini.Error|nil err
function upload.send(call, args, what)
  local up, err = prepare(call, args, what)
  if not up then
    return nil, err
  end
  -- What has a name of its own, or is known only while it is read, is sent as it is.
  if args.reuse ~= false and up.hash and up.source.body and not up.source.read and not up.meta.name
    and not args.journal then
    up.scope, err = scope_of(call)
    if not up.scope then
      return nil, err
    end
  end
  if args.journal then
    up.journal = args.journal
    up.record, err = record_of(up, args.file)
    if not up.record then
      return nil, err
    end
  elseif call.client.state_dir and type(args.file) == "string" then
    keep_journal(up, args.file)
  end
  return complete(up, args)
end

-- One that another process began ---------------------------------------------------------------

local function changed(record, what)
  return nil, errors.new { kind = "integrity",
    message = ("%s is not what the upload began with: %s"):format(record.path, what), hint = "upload it anew" }
end

-- Whether the journal is of this client, and its file as it was.
local function check_record(call, record)
  local info, err = call.client.core.file_info(record.path)
  if not info then
    return nil, errors.new(err)
  elseif info.size ~= record.size or info.mtime ~= record.mtime then
    return changed(record, "it has another size or time")
  end
  local scope
  scope, err = scope_of(call)
  if err then
    return nil, err
  elseif scope ~= record.scope then
    return nil, errors.new { kind = "integrity", message = "the journal is of another API key or base URL" }
  end
  return true
end

-- The upload that a journal tells of, if the file is still the same.
local function taken_up(call, args, record)
  local ok, err = check_record(call, record)
  if not ok then
    return nil, err
  end
  local core, from = call.client.core
  from, err = source.new(core, { file = record.path })
  if not from then
    return nil, err
  end
  local up = {
    call = call,
    source = from,
    mime_type = record.mime_type,
    meta = { name = record.name, mime_type = record.mime_type, size_bytes = record.size },
    machine = core.upload.new(record.size, 0),
    report = progress.reporter(call.client.tasks, args.on_progress, record.size),
    hash = record.sha256 and core.sha256.new() or nil,
    record = record,
    noted = record.hashed or 0,
  }
  ok, err = session.begin(up, record.url)
  if not ok then
    return nil, err
  end
  up.machine:resume()
  ok, err = session.hash_up_to(up, record.hashed or 0)
  if not ok then
    return nil, err
  elseif up.hash and up.hash:hex() ~= record.sha256 then
    return changed(record, "what was sent of it has changed")
  end
  return up
end

-- The journal that the client keeps of an upload of that file, if there is one.
local function journal_of(call, path)
  local client = call.client
  local info = client.state_dir and client.core.file_info(path)
  local scope = info and scope_of(call)
  local kept = scope and journal.path(client.core, client.state_dir, info, scope)
  return kept and client.core.file_info(kept) and kept or nil
end

--- Goes on with the upload that a journal tells of; see Files:resume.
---@param call lgemini.Call
---@param args table
---@param path string  of the journal, or of the file
---@return table|nil file
---@return lgemini.Error|nil err
function upload.resume(call, args, path)
  local kept
  local record, err = journal.read(path) -- a file that is one is no other file, whose inode it may have got
  if not record then
    kept = journal_of(call, path)
  end
  if kept then
    record, err = journal.read(kept)
    if record then
      record.path = path -- that of the journal may be of another folder
    end
  end
  if not record and call.client.state_dir and err.kind == "integrity" then
    err.message = ("no unfinished upload of %s is known here, and %s"):format(path, err.message)
  end
  if not record then
    err.hint = err.hint or "give the path of a journal, or of a file whose upload Client{ state_dir = } knows"
    return nil, err
  end
  local up
  up, err = taken_up(call, args, record)
  if not up then
    return nil, err
  end
  up.journal, up.unasked = kept or path, kept ~= nil
  up.scope, up.resumed = kept and record.scope, true
  return complete(up, { file = kept and path, wait = args.wait })
end

return upload
