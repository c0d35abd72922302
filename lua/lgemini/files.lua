--- client.files: media that lives at the service for 48 hours (reference section 6).

local compat = require "lgemini.compat"
local download = require "lgemini.download"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local options = require "lgemini.options"
local pager = require "lgemini.pager"
local remote = require "lgemini.remote"
local request = require "lgemini.request"
local service = require "lgemini.service"
local upload = require "lgemini.upload"

---@class lgemini.Files
local Files = { __name = "lgemini.Files" }
Files.__index = Files

local files = {}

---@param owner lgemini.Client
function files.new(owner)
  return setmetatable({ client = owner }, Files)
end

local rows = endpoints.files

local GET = { name = true, config = options.CONFIG }

--- A file as it is now.
---@param args string|table  its name; or name (a file object may stand for it), config
---@return lgemini.File|nil file
---@return lgemini.Error|nil err
function Files:get(args)
  options.check_self(self, Files, "files.get")
  args = service.arguments(args, "name", GET, "files:get", "File")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  return remote.get(call, args.name)
end

--- Deletes a file before its 48 hours are over.
---@param args string|table  its name; or name, config
---@return true|nil
---@return lgemini.Error|nil err
function Files:delete(args)
  options.check_self(self, Files, "files.delete")
  args = service.arguments(args, "name", GET, "files:delete", "File")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  return remote.delete(call, args.name)
end

--- An iterator over all files: `for file in client.files:list{} do`. It fetches page by page; see pager.lua.
---@param args table|nil  config: page_size
---@return lgemini.Pager
function Files:list(args)
  options.check_self(self, Files, "files.list")
  args = options.arguments(args, nil, pager.KNOWN, "files:list")
  return pager.new(self.client, rows.list, args)
end

local WAIT = { name = true, timeout = true, config = options.CONFIG }

--- Waits until a file is ACTIVE.
---@param args string|table  its name or a file object; or name, timeout (seconds, default 900), config
---@return lgemini.File|nil file
---@return lgemini.Error|nil err  "file_failed", "timeout" (clock "processing"), or what files:get gives
function Files:wait(args)
  options.check_self(self, Files, "files.wait")
  args = service.arguments(args, "name", WAIT, "files:wait", "File")
  local seconds, err = options.seconds(args.timeout, "timeout")
  if err then
    return nil, err
  end
  local call
  call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local file
  file, err = remote.get(call, args.name)
  if not file then
    return nil, err
  end
  return remote.wait(call, file, seconds)
end

local UPLOAD = {
  file = true, data = true, read = true, size = true, on_progress = true, wait = true, chunk_size = true,
  verify = true, journal = true, reuse = true,
  config = { mime_type = true, display_name = true, name = true, http_options = options.HTTP },
}

--- Uploads a file and returns when it is ACTIVE.
---@param args string|table  a path; or one of file (path or open io file), data (bytes), read (function(offset, n) ->
---  bytes) with size (bytes); config: mime_type, display_name, name; on_progress(sent, total) in bytes, at most ten
---  times a second; wait = false returns at once; chunk_size (bytes) for proxies that refuse long requests; verify =
---  false leaves out the comparison of SHA-256; journal: a path where it is written how to go on, see Files:resume;
---  reuse = false sends the bytes though the service has them under another name
---@return lgemini.File|nil file  the file object
---@return lgemini.Error|nil err
function Files:upload(args)
  options.check_self(self, Files, "files.upload")
  args = options.arguments(args, "file", UPLOAD, "files:upload")
  options.callback(args.on_progress, "on_progress")
  options.boolean(args.wait, "wait")
  options.boolean(args.verify, "verify")
  options.boolean(args.reuse, "reuse")
  local _, err = options.path(args.journal, "journal")
  if err then
    return nil, err
  end
  local call
  call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  return upload.send(call, args)
end

local RESUME = { journal = true, file = true, on_progress = true, wait = true, config = options.CONFIG }

--- Goes on with an upload that another process began and did not finish: from where the server is.
---@param args string|table  the path of its journal, or of the file where the client has a state_dir; or journal, file,
---  on_progress, wait, config
---@return lgemini.File|nil file
---@return lgemini.Error|nil err  "io" where there is no journal, "integrity" where it or the file does not fit
function Files:resume(args)
  options.check_self(self, Files, "files.resume")
  args = options.arguments(args, "journal", RESUME, "files:resume")
  options.callback(args.on_progress, "on_progress")
  options.boolean(args.wait, "wait")
  local path = options.string(args.journal, "journal") or options.string(args.file, "file")
  if not path or args.journal and args.file then
    errors.misuse "files:resume: the path of a journal is needed, or that of a file"
  elseif path:find "%z" then
    return nil, errors.new { kind = "invalid", message = "files:resume: a path has no NUL byte in it" }
  end
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  return upload.resume(call, args, path)
end

local REGISTER = { uris = true, access_token = true, quota_project = true, config = options.CONFIG }

--- Registers objects of Google Cloud Storage as files; nothing is copied.
---@param args table  uris: a list of gs:// URIs; access_token: of OAuth, text or a function that gives it;
---  quota_project; config
---@return lgemini.File[]|nil files
---@return lgemini.Error|nil err
function Files:register(args)
  options.check_self(self, Files, "files.register")
  args = options.arguments(args, nil, REGISTER, "files:register")
  options.table(args.uris, "uris")
  options.string(args.quota_project, "quota_project")
  if (args.quota_project or ""):find "%c" then
    return nil, errors.new { kind = "invalid", message = "quota_project has a control character in it" }
  end
  local token, err = service.token(args.access_token, "access_token")
  if not token then
    return nil, err
  end
  local response
  response, err = service.ask(self.client, { row = rows.register, args = args,
    headers = { Authorization = "Bearer " .. token, ["x-goog-user-project"] = args.quota_project }, secret = token,
    tree = function() return request.wire({ uris = args.uris }, rows.register.request) end })
  return response and (response.files or {}), err
end

local DOWNLOAD = { file = true, to = true, on_progress = true, config = options.CONFIG }

--- Downloads a file that the service made (source GENERATED); uploaded ones cannot be had back. After a break it goes
--- on where the bytes ended. A path gets its file when it is whole.
---@param args string|table  file: a file object, a video that was made, a name or a URI; to: a path to write to, or
---  an open file; on_progress(done, total) in bytes; config
---@return string|file*|nil bytes   or what `to` is
---@return lgemini.Error|nil err
function Files:download(args)
  options.check_self(self, Files, "files.download")
  args = service.arguments(args, "file", DOWNLOAD, "files:download", "File")
  options.callback(args.on_progress, "on_progress")
  if args.to and not compat.has_files then
    return nil, errors.new { kind = "invalid", message = "to: this Lua has no io library, so files are not opened" }
  end
  local handle = type(args.to) == "userdata" and io.type(args.to)
  local is_open = handle == "file"
  if handle == "closed file" then
    return nil, errors.new { kind = "invalid", message = "to: the handle is closed" }
  elseif not is_open then
    options.string(args.to, "to")
  end
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local path
  path, err = endpoints.path(rows.download, { name = args.file }, self.client.vertex)
  if not path then
    return nil, err
  end
  local url = self.client:url(call.options, rows.download, path, endpoints.query(rows.download))
  local sent = { verb = "GET", url = url, raw = true, bulk = true, once = true,
    about = { file = path:match "^files/[^:]*" } }
  if is_open then
    return download.to_handle(call, sent, args.to, args.on_progress)
  elseif args.to then
    return download.to_file(call, sent, args.to, args.on_progress)
  end
  return download.to_memory(call, sent, args.on_progress)
end

return files
