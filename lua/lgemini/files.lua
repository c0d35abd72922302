--- client.files: media that lives at the service for 48 hours (reference section 6).

local answer = require "lgemini.answer"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local journal = require "lgemini.journal"
local media = require "lgemini.media"
local options = require "lgemini.options"
local pager = require "lgemini.pager"
local poll = require "lgemini.poll"
local request = require "lgemini.request"
local reuse = require "lgemini.reuse"
local schema = require "lgemini.schema"

---@class lgemini.Files
local Files = { __name = "lgemini.Files" }
Files.__index = Files

local files = {}

---@param owner lgemini.Client
function files.new(owner)
  return setmetatable({ client = owner }, Files)
end

local rows = endpoints.files

-- file object -> how it was uploaded: verified (its SHA-256 was compared), attempts.
local transports = setmetatable({}, { __mode = "k" })

schema.mark("File").__index = function(file, name)
  return name == "transport" and transports[file] or nil
end

-- Seconds between two looks at a file that is PROCESSING, at most.
local LAST_POLL = 5
-- Bytes that are hashed at a time, and after how many the journal is written again.
local SLICE = 4 * 1024 * 1024
local JOURNAL_STEP = 32 * 1024 * 1024
-- Pages of the list of files that are looked through for one whose name got lost.
local LOST_PAGES = 20

-- Bytes that a reader of unknown length is read ahead: the service's granularity (reference section 6.2).
local CHUNK = 8 * 1024 * 1024

local function invalid(message, ...)
  return nil, errors.new { kind = "invalid", message = message:format(...) }
end

-- A file object may stand for its name.
local function arguments(given, main, known, name)
  if schema.is(given, "File") then
    given = { [main] = given }
  end
  return options.arguments(given, main, known, name)
end

-- Simple calls ---------------------------------------------------------------------------------

local GET = { name = true, config = { http_options = options.HTTP } }

local function get(self, call, name)
  local path, err = endpoints.path(rows.get, { name = name })
  if not path then
    return nil, err
  end
  local decoded
  decoded, err = http.ask(call, { verb = "GET", url = self.client:url(call.options, rows.get, path, ""),
    about = { file = path } })
  if decoded == nil then
    return nil, err
  end
  return answer.convert(decoded, "File")
end

--- A file as it is now.
---@param args string|table  its name; or name (a file object may stand for it), config
---@return table|nil file
---@return lgemini.Error|nil err
function Files:get(args)
  options.check_self(self, Files, "files.get")
  args = arguments(args, "name", GET, "files:get")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  return get(self, call, args.name)
end

--- Deletes a file before its 48 hours are over.
---@param args string|table  its name; or name, config
---@return true|nil
---@return lgemini.Error|nil err
function Files:delete(args)
  options.check_self(self, Files, "files.delete")
  args = arguments(args, "name", GET, "files:delete")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local path
  path, err = endpoints.path(rows.delete, args)
  if not path then
    return nil, err
  end
  local got
  got, err = http.send(call, { verb = "DELETE", url = self.client:url(call.options, rows.delete, path, ""),
    about = { file = path } })
  return got and true, err
end

--- An iterator over all files: `for file in client.files:list{} do`. It fetches page by page; see pager.lua.
---@param args table|nil  config: page_size
---@return lgemini.Pager
function Files:list(args)
  options.check_self(self, Files, "files.list")
  args = options.arguments(args, nil, pager.KNOWN, "files:list")
  return pager.new(self.client, rows.list, args)
end

-- Waiting --------------------------------------------------------------------------------------

local function is_video(file)
  return type(file.mime_type) == "string" and media.is_video(file.mime_type)
end

local function refuse_failed(file, name)
  local reason = type(file.error) == "table" and file.error.message or "the service gives no reason"
  return nil, errors.new {
    kind = "file_failed",
    message = ("%s could not be processed: %s"):format(name or file.display_name or file.name or "the file", reason),
    hint = is_video(file) and "convert it first: ffmpeg -i input.mp4 -c:v libx264 output.mp4"
      or "check that it is whole",
    file = file,
  }
end

-- Until the file is ACTIVE, for at most that many seconds. name: as the user knows it.
local function wait_active(self, call, file, seconds, name)
  local err
  local id = file.name or file.uri
  if file.state == "PROCESSING" and type(id) ~= "string" then
    return nil, errors.new { kind = "protocol", message = "the server did not name the file", file = file }
  end
  file, err = poll.wait(call, file, seconds, {
    pending = function(seen) return seen.state == "PROCESSING" end,
    look = function(_, within) return get(self, within, id) end,
    pause = LAST_POLL,
    goal = "ACTIVE",
    hint = "client.files:wait{ name = ... }",
    field = "file",
  })
  if file and file.state == "FAILED" then
    return refuse_failed(file, name)
  end
  return file, err
end

local WAIT = { name = true, timeout = true, config = { http_options = options.HTTP } }

--- Waits until a file is ACTIVE.
---@param args string|table  its name or a file object; or name, timeout (seconds, default 900), config
---@return table|nil file
---@return lgemini.Error|nil err  "file_failed", "timeout" (clock "processing"), or what files:get gives
function Files:wait(args)
  options.check_self(self, Files, "files.wait")
  args = arguments(args, "name", WAIT, "files:wait")
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
  file, err = get(self, call, args.name)
  if not file then
    return nil, err
  end
  return wait_active(self, call, file, seconds or call.options.timeout.processing)
end

-- Upload: the source ---------------------------------------------------------------------------

---@class lgemini.files.Source
---@field body table|nil       all of it; nil for a reader without a size
---@field size integer|nil
---@field read function|nil    function(offset, n) -> bytes; "" or nil at the end
---@field name string|nil      of the file, for the service
---@field head string          the first bytes, as far as they are known

local function base_name(path)
  return path:match "[^/\\]*$"
end

local function head_of(path)
  local file = io.open(path, "rb")
  if not file then
    return "" -- the core says what is wrong with it
  end
  local head = file:read(media.HEAD) or ""
  file:close()
  return head
end

local function is_handle(value)
  return type(value) == "userdata" and io.type(value) ~= nil
end

local sources = {}

function sources.file(self, args)
  local body = self.client.core.body.new()
  local size, err
  if is_handle(args.file) then
    if io.type(args.file) == "closed file" then
      return invalid "file: the handle is closed"
    end
    size, err = body:add_handle(args.file)
  elseif type(args.file) == "string" then
    if args.file:find "%z" then
      return invalid "file: a path has no NUL byte in it"
    end
    size, err = body:add_file(args.file)
  else
    errors.misuse("files:upload: file is a path or an open file, not a " .. type(args.file))
  end
  if not size then
    return nil, errors.new(err)
  end
  local path = type(args.file) == "string" and args.file or nil
  return {
    body = body,
    size = size,
    name = path and base_name(path),
    head = path and head_of(path) or body:read(0, math.min(size, media.HEAD)),
  }
end

function sources.data(self, args)
  options.string(args.data, "data")
  local body = self.client.core.body.new()
  body:add(args.data)
  return { body = body, size = #args.data, head = args.data:sub(1, media.HEAD) }
end

function sources.read(self, args)
  options.callback(args.read, "read")
  local size, err = options.count(args.size, "size", 0)
  if err then
    return nil, err
  end
  local source = { size = size, read = args.read, head = "" }
  if size then
    source.body = self.client.core.body.new()
    source.body:add_reader(size)
  end
  return source
end

local function source_of(self, args)
  local given
  for kind, make in pairs(sources) do
    if args[kind] ~= nil then
      if given then
        return invalid "files:upload: give one of file, data and read"
      end
      given = make
    end
  end
  if not given then
    return invalid "files:upload: file = path, data = bytes, or read = function(offset, n) with size = bytes is needed"
  elseif args.size ~= nil and args.read == nil then
    return invalid "files:upload: size goes with read only"
  end
  return given(self, args)
end

-- A reader's bytes at an offset, n at most; nil, err when it fails or brings what was not asked for.
local function read_from(source, offset, n)
  local ok, bytes, why = pcall(source.read, offset, n)
  if not ok or (bytes == nil and why ~= nil) then
    local cause = ok and why or bytes
    return nil, errors.new { kind = "io", cause = cause, message = "read, the function, failed: " .. tostring(cause) }
  elseif bytes ~= nil and type(bytes) ~= "string" or #(bytes or "") > n then
    return nil, errors.new { kind = "io", message = "read, the function, must return at most n bytes as a string" }
  end
  return bytes or ""
end

-- Upload: progress -----------------------------------------------------------------------------

-- Calls on_progress at most ten times a second, never with less than before, and once at the end.
local function reporter(tasks, on_progress, total, what)
  local last, due = -1, 0
  return function(sent, at_end)
    if not on_progress or sent <= last and not (at_end and last < 0) or (not at_end and tasks.now() < due) then
      return true
    end
    last, due = sent, tasks.now() + 0.1
    local ok, problem = pcall(on_progress, sent, total, what)
    if ok then
      return true
    end
    return nil, errors.new { kind = "cancelled", cause = problem,
      message = "on_progress, the function, failed: " .. tostring(problem) }
  end
end

-- Upload: the requests -------------------------------------------------------------------------

-- A name as a header can carry it: what is not plain ASCII is percent-encoded.
local function header_name(name)
  return (name:gsub("[^%w%-_%. ()%[%]+,=@]", function(char) return ("%%%02X"):format(char:byte()) end))
end

local function start_request(self, up)
  local body = self.client.core.body.new()
  local ok, err = request.encode(body, { file = up.meta }, "FileEnvelope")
  if not ok then
    return nil, err
  end
  local size = up.source.size
  return {
    verb = "POST",
    url = self.client:url(up.call.options, rows.upload, rows.upload.path, ""),
    headers = {
      ["Content-Type"] = "application/json",
      ["X-Goog-Upload-Protocol"] = "resumable",
      ["X-Goog-Upload-Command"] = "start",
      ["X-Goog-Upload-Header-Content-Length"] = size and ("%d"):format(size) or nil,
      ["X-Goog-Upload-Header-Content-Type"] = up.mime_type,
      ["X-Goog-Upload-File-Name"] = up.source.name and header_name(up.source.name) or nil,
    },
    body = body,
    about = { mime_types = media.DOCUMENTED },
    once = true,
  }
end

-- The next window of a source without a size: read ahead, so that its end is seen before it is sent.
local function read_window(up, offset, length)
  if not up.ahead or up.ahead.offset ~= offset then
    local pieces, count = {}, 0
    local more, err
    repeat
      more, err = read_from(up.source, offset + count, length - count)
      if not more then
        return nil, err
      end
      pieces[#pieces + 1], count = more, count + #more
    until more == "" or count == length
    up.ahead = { offset = offset, bytes = table.concat(pieces), at_end = count < length }
  end
  return up.ahead
end

-- Hashes the file up to the offset, where another process sent it.
local function hash_up_to(self, up, offset)
  local hash, tasks = up.hash, self.client.tasks
  while hash and hash:position() < offset do
    local position, err = hash:read(up.source.body, math.min(SLICE, offset - hash:position()))
    if not position then
      return nil, errors.new(err)
    end
    tasks:sleep(0) -- others go on meanwhile
  end
  return true
end

-- Writes down how far the upload is, for a process that goes on with it.
local function note(up, at)
  if not up.record or (up.noted and at - up.noted < JOURNAL_STEP) then
    return true
  end
  up.noted = at
  up.record.url = up.url
  if up.hash then
    up.record.hashed, up.record.sha256 = up.hash:position(), (up.hash:hex())
  end
  return journal.write(up.call.client.core, up.journal, up.record)
end

-- Brings the bytes that a reader is asked for, if it is.
local function feed(up, exchange)
  local at, n = exchange:wants()
  if not at then
    return true
  end
  local bytes, err = read_from(up.source, at, n)
  if bytes == "" then
    err = errors.new { kind = "io", message = "read, the function, ended before its size" }
  end
  if err then
    return nil, err
  end
  if exchange:wants() == at then -- a reader that waits for something may come too late
    exchange:supply(bytes)
  end
  return true
end

-- A request to the upload URL, without bytes.
local function session_request(self, up, command)
  return {
    verb = "POST",
    url = up.url,
    headers = { ["X-Goog-Upload-Command"] = command },
    body = self.client.core.body.new(),
    no_key = true, -- the URL carries the right to send
    bulk = true,
    secret = up.secret,
    once = true,
    about = { mime_types = media.DOCUMENTED },
  }
end

local function bytes_request(self, up, command, offset, length)
  local sent, source = session_request(self, up, command), up.source
  local ok, err = true, nil
  if source.body then
    if not source.read then
      ok, err = hash_up_to(self, up, offset)
    end
    sent.body, sent.offset, sent.length = source.body, offset, length
  else
    ok, err = read_window(up, offset, length)
    sent.body:add(ok and ok.bytes or "")
    if ok and ok.at_end then
      sent.headers["X-Goog-Upload-Command"] = "upload, finalize"
    end
  end
  if not ok then
    return nil, err
  end
  sent.headers["X-Goog-Upload-Offset"] = ("%d"):format(offset)
  sent.hash, sent.hash_offset = up.hash, source.body and 0 or offset
  function sent.tick(exchange)
    local fine, problem = feed(up, exchange)
    if fine then
      fine, problem = note(up, offset + exchange:sent())
    end
    if not fine then
      return nil, problem
    end
    return up.report(offset + exchange:sent())
  end
  return sent
end

-- What of a URL that gives rights must stay out of errors: servers like to say which path they did not find.
local function secret_of(url)
  return url:match "^%a+://[^/?#]+(..+)$"
end

-- The upload URL with our own host in it where the base URL is the user's: a proxy must see the bytes, too.
local function upload_url(self, up, url)
  local base = up.call.options.base_url
  local origin = base:match "^%a+://[^/]+"
  local rest = url:match "^https?://[^/?#]+(/.*)$"
  if not rest or url:find "[%c%s]" then
    return nil, errors.new { kind = "protocol", message = "the server named no usable URL to upload to" }
  elseif self.client:has_custom_base(up.call.options) then
    return origin .. rest
  elseif url:match "^(%a+://[^/?#]+)" ~= origin then
    return nil, errors.new { kind = "protocol", message = "the server named another host to upload to" }
  end
  return url
end

local function number_header(headers, name)
  local value = tonumber(headers[name] or "")
  return value and value >= 0 and value % 1 == 0 and value < 2 ^ 53 and value or nil
end

-- What the decision table wants to know of an answer.
local function summary(answered, err)
  if not answered then
    return { code = 0 }
  end
  local headers = answered.headers
  return {
    code = answered.code,
    status = headers["x-goog-upload-status"],
    received = number_header(headers, "x-goog-upload-size-received"),
    granularity = number_header(headers, "x-goog-upload-chunk-granularity"),
    has_url = headers["x-goog-upload-url"] ~= nil,
    api_error = err ~= nil and err.status ~= nil,
  }
end

-- One request of the upload and what it means: verdict; or nil, err.
local function advance(self, up)
  local command, offset, length = up.machine:next()
  local sent, err, answered
  if command == "start" then
    sent, err = start_request(self, up)
  elseif command == "query" then
    sent = session_request(self, up, command)
  else
    sent, err = bytes_request(self, up, command, offset, length)
  end
  if not sent then
    return nil, err
  end
  local refusal
  answered, err, refusal = http.send(up.call, sent)
  if not answered and not refusal and err.kind ~= "network" and err.kind ~= "incomplete"
    and not (err.kind == "timeout" and err.clock ~= "total") then
    return nil, err -- ours: a file that changed, a reader that failed, a ceiling, the end of all time
  end
  local verdict, why = up.machine:take(summary(answered or refusal, err))
  if not verdict then
    return nil, errors.new(why)
  end
  if command == "start" and answered and verdict == "go" then
    up.url, err = upload_url(self, up, answered.headers["x-goog-upload-url"])
    if not up.url then
      return nil, err
    end
    up.secret = secret_of(up.url)
    up.noted = nil
    local noted
    noted, err = note(up, 0)
    if not noted then
      return nil, err
    end
  end
  return verdict, err, answered
end

-- The digest that the service gives, in hex; nil where it is none (reference section 6.6: base64 of the hex text).
local function digest_of(self, file)
  local bytes = type(file.sha256_hash) == "string" and self.client.core.base64.decode(file.sha256_hash)
  if bytes and #bytes == 64 and not bytes:find "%X" then
    return bytes:lower()
  elseif bytes and #bytes == 32 then
    return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end))
  end
end

-- The digest of all of the source; nil where it is not known. What another process sent is read for it here.
local function digest_sent(self, up)
  local hash, size = up.hash, up.source.size
  if hash and size and hash:position() < size and (up.source.read or not hash_up_to(self, up, size)) then
    return nil
  end
  return hash and hash:hex()
end

-- The file whose name got lost with the last answer: the newest of that content.
local function find_by_content(self, up)
  local ours = up.source.size and digest_sent(self, up)
  local found, token
  for _ = 1, ours and LOST_PAGES or 0 do
    local query = endpoints.query(rows.list, { page_size = 100, page_token = token })
    local page = http.ask(up.call, { verb = "GET", url = self.client:url(up.call.options, rows.list, rows.list.path,
      query) })
    page = page and answer.convert(page, rows.list.answer) or {}
    for _, file in ipairs(page.files or {}) do
      local newer = not found or tostring(file.create_time) > tostring(found.create_time)
      if file.mime_type == up.mime_type and digest_of(self, file) == ours and newer then
        found = file
      end
    end
    token = page.next_page_token
    if not token or token == "" then
      break
    end
  end
  return found
end

-- Compares what the service has with what was sent: true, or false where one of the two is not known. A file that
-- differs is deleted.
local function verify(self, up, file)
  local theirs = digest_of(self, file)
  local ours = theirs and digest_sent(self, up)
  if not theirs or not ours then
    return false
  elseif theirs == ours then
    return true
  end
  local path = endpoints.path(rows.delete, { name = file.name })
  local deleted = path and http.send(up.call, { verb = "DELETE",
    url = self.client:url(up.call.options, rows.delete, path, "") })
  return nil, errors.new {
    kind = "integrity",
    message = ("the service has something else than was sent (SHA-256 %s, not %s); its file %s"):format(theirs, ours,
      deleted and "was deleted" or "could not be deleted"),
    file = file,
  }
end

-- The file in the last answer; where it got lost, the service is asked for it by name, or by what is in it.
local function final_file(self, up, answered)
  local decoded, err = http.json(up.call, answered)
  local object = type(decoded) == "table" and decoded.file
  if type(object) == "table" and type(object.name) == "string" then
    return answer.convert(object, "File")
  elseif up.meta.name then
    return get(self, up.call, up.meta.name)
  end
  local found = find_by_content(self, up)
  if found then
    return found
  end
  return nil, err or errors.new { kind = "protocol",
    message = "the upload was finished, but the server did not name the file" }
end

-- Its tries count anew whenever the server has got further since the last one that failed.
local function run(self, up)
  local reached = 0
  up.attempts = 0
  while true do
    local verdict, err, answered = advance(self, up)
    if not verdict then
      return nil, err
    elseif verdict == "stop" then
      if up.record then
        journal.remove(up.journal) -- nobody can go on with it
      end
      return nil, err or errors.new { kind = "protocol", message = "the server refused the upload" }
    elseif verdict == "end" then
      return final_file(self, up, answered)
    elseif verdict == "again" then
      local acked = up.machine:acked()
      up.attempts = acked > reached and 1 or up.attempts + 1
      reached = acked
      local again
      again, err = http.again(up.call, up, err or errors.new { kind = "network",
        message = "the server's answer to the upload made no sense" })
      if not again then
        err.attempts = up.attempts
        return nil, err
      end
    end
  end
end

-- Upload: the call -----------------------------------------------------------------------------

local UPLOAD = {
  file = true, data = true, read = true, size = true, on_progress = true, wait = true, chunk_size = true,
  verify = true, journal = true, reuse = true,
  config = { mime_type = true, display_name = true, name = true, http_options = options.HTTP },
}

local function check_names(config)
  for _, name in ipairs { "mime_type", "display_name", "name" } do
    local value = options.string(config[name], "config." .. name)
    if value and value:find "[%z\r\n]" then
      return invalid("config.%s has a control character in it", name)
    end
  end
  if config.name then
    local full, err = endpoints.name("files", config.name, "config.name")
    if not full then
      return nil, err
    end
    return full
  end
end

-- Key and base URL in a form that shows neither.
local function scope_of(self, call)
  local key, err = self.client:key()
  if err then
    return nil, err
  end
  return self.client.core.sha256.of((key or "") .. "\n" .. call.options.base_url)
end

-- The file at the service that has this content already, if it still lives. Only where one of that size is known is
-- anything hashed.
local function find_again(self, up, info)
  local store, size = self.client:uploads_index(), up.source.size
  for _, entry in ipairs(store:find(size, up.mime_type, up.scope, os.time())) do
    local same = info and entry.inode == info.inode and entry.device == info.device and entry.mtime == info.mtime
    if not same then
      if not hash_up_to(self, up, size) then
        return nil
      end
      same = entry.sha256 == up.hash:hex()
    end
    if same then
      local file = get(self, up.call, entry.name)
      if file and file.state ~= "FAILED" then
        return file
      end -- else it is uploaded, and its entry replaced
    end
  end
end

-- Remembers that this content is that file.
local function remember(self, up, info, file)
  local hash = up.hash and up.hash:position() == up.source.size and up.hash:hex()
  if hash and up.scope and file.state ~= "FAILED" then
    local now = os.time()
    self.client:uploads_index():add(up.source.size, { sha256 = hash, mime_type = up.mime_type, scope = up.scope,
      name = file.name, expires = reuse.expiry(file.expiration_time, now), device = info and info.device,
      inode = info and info.inode, mtime = info and info.mtime }, now)
  end
end

-- Forgets that the content of an upload is that file.
function files.forget(self, name)
  self.client:uploads_index():forget(name, os.time())
end

-- Runs the upload to its end and looks at what came of it.
local function complete(self, up, args)
  local info = up.scope and type(args.file) == "string" and self.client.core.file_info(args.file) or nil
  local file = up.scope and find_again(self, up, info)
  local reused, verified, ok, err = file ~= nil, true
  if not reused then
    file, err = run(self, up)
    if not file then
      return nil, err
    end
    if up.record then
      journal.remove(up.journal)
    end
    verified, err = verify(self, up, file)
    if verified == nil then
      return nil, err
    end
    remember(self, up, info, file)
  end
  ok, err = up.report(up.source.size or up.machine:acked(), true)
  if not ok then
    return nil, err
  end
  if file.state == "FAILED" and args.wait ~= false then
    return refuse_failed(file, up.source.name)
  elseif args.wait ~= false then
    file, err = wait_active(self, up.call, file, up.call.options.timeout.processing, up.source.name)
    if not file then
      return nil, err
    end
  end
  transports[file] = { verified = verified, reused = reused, attempts = (up.attempts or 0) + 1 }
  return file
end

local function record_of(self, up, path)
  if type(path) ~= "string" then
    return invalid "journal: only an upload of a file by its path can be taken up by another process"
  end
  local info, err = self.client.core.file_info(path)
  if not info then
    return nil, errors.new(err)
  end
  local scope
  scope, err = scope_of(self, up.call)
  if not scope then
    return nil, err
  end
  return { path = path, size = info.size, mtime = info.mtime, mime_type = up.mime_type, scope = scope,
    name = up.meta.name }
end

--- Uploads within a call that is under way; see Files:upload.
---@param self lgemini.Files
---@param call lgemini.Call
---@param args table
---@param what string|nil  is handed to on_progress
---@return table|nil file
---@return lgemini.Error|nil err
function files.send(self, call, args, what)
  local config = args.config or {}
  local name, err = check_names(config)
  if err then
    return nil, err
  end
  local chunk
  chunk, err = options.count(args.chunk_size, "chunk_size")
  if err then
    return nil, err
  end
  local source
  source, err = source_of(self, args)
  if not source then
    return nil, err
  end
  local mime_type
  mime_type, err = media.type_of { name = source.name, head = source.head, mime_type = config.mime_type }
  if not mime_type then
    return nil, err
  end
  local up = {
    call = call,
    source = source,
    mime_type = mime_type,
    meta = { name = name, display_name = config.display_name, mime_type = mime_type, size_bytes = source.size },
    machine = self.client.core.upload.new(source.size, chunk or (source.size and 0 or CHUNK)),
    report = reporter(self.client.tasks, args.on_progress, source.size, what),
    hash = args.verify ~= false and self.client.core.sha256.new() or nil,
  }
  -- What has a name of its own, or is known only while it is read, is sent as it is.
  if args.reuse ~= false and up.hash and source.body and not source.read and not name and not args.journal then
    up.scope, err = scope_of(self, call)
    if not up.scope then
      return nil, err
    end
  end
  if args.journal then
    up.journal = args.journal
    up.record, err = record_of(self, up, args.file)
    if not up.record then
      return nil, err
    end
  end
  return complete(self, up, args)
end

--- Uploads a file and returns when it is ACTIVE.
---@param args string|table  a path; or one of file (path or open io file), data (bytes), read (function(offset, n) ->
---  bytes) with size (bytes); config: mime_type, display_name, name; on_progress(sent, total) in bytes, at most ten
---  times a second; wait = false returns at once; chunk_size (bytes) for proxies that refuse long requests; verify =
---  false leaves out the comparison of SHA-256; journal: a path where it is written how to go on, see Files:resume;
---  reuse = false sends the bytes though the service has them under another name
---@return table|nil file  the file object
---@return lgemini.Error|nil err
function Files:upload(args)
  options.check_self(self, Files, "files.upload")
  args = options.arguments(args, "file", UPLOAD, "files:upload")
  options.callback(args.on_progress, "on_progress")
  options.boolean(args.wait, "wait")
  options.boolean(args.verify, "verify")
  options.boolean(args.reuse, "reuse")
  options.string(args.journal, "journal")
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  return files.send(self, call, args)
end

local RESUME = { journal = true, on_progress = true, wait = true, config = { http_options = options.HTTP } }

local function changed(record, what)
  return nil, errors.new { kind = "integrity",
    message = ("%s is not what the upload began with: %s"):format(record.path, what), hint = "upload it anew" }
end

-- The upload that a journal tells of, if the file is still the same.
local function taken_up(self, call, args, record)
  local info, err = self.client.core.file_info(record.path)
  if not info then
    return nil, errors.new(err)
  elseif info.size ~= record.size or info.mtime ~= record.mtime then
    return changed(record, "it has another size or time")
  end
  local scope
  scope, err = scope_of(self, call)
  if err then
    return nil, err
  elseif scope ~= record.scope then
    return nil, errors.new { kind = "integrity", message = "the journal is of another API key or base URL" }
  end
  local url
  url, err = upload_url(self, { call = call }, record.url)
  if not url then
    return nil, err
  end
  local source
  source, err = sources.file(self, { file = record.path })
  if not source then
    return nil, err
  end
  local up = {
    call = call,
    source = source,
    mime_type = record.mime_type,
    meta = { name = record.name, mime_type = record.mime_type, size_bytes = record.size },
    machine = self.client.core.upload.new(record.size, 0),
    report = reporter(self.client.tasks, args.on_progress, record.size),
    hash = record.sha256 and self.client.core.sha256.new() or nil,
    journal = args.journal,
    record = record,
    url = url,
    secret = secret_of(url),
    noted = record.hashed or 0,
  }
  up.machine:resume()
  local ok
  ok, err = hash_up_to(self, up, record.hashed or 0)
  if not ok then
    return nil, err
  elseif up.hash and up.hash:hex() ~= record.sha256 then
    return changed(record, "what was sent of it has changed")
  end
  return up
end

--- Goes on with an upload that another process began and did not finish: from where the server is.
---@param args string|table  the path of its journal; or journal, on_progress, wait, config
---@return table|nil file
---@return lgemini.Error|nil err  "io" where there is no journal, "integrity" where it or the file does not fit
function Files:resume(args)
  options.check_self(self, Files, "files.resume")
  args = options.arguments(args, "journal", RESUME, "files:resume")
  options.callback(args.on_progress, "on_progress")
  options.boolean(args.wait, "wait")
  if type(args.journal) ~= "string" then
    errors.misuse "files:resume: the path of a journal is needed"
  end
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local record
  record, err = journal.read(args.journal)
  if not record then
    return nil, err
  end
  local up
  up, err = taken_up(self, call, args, record)
  if not up then
    return nil, err
  end
  return complete(self, up, args)
end

--- A file object that is ACTIVE: one that is PROCESSING is waited for.
---@param self lgemini.Files
---@param call lgemini.Call
---@param file table
---@return table|nil file
---@return lgemini.Error|nil err
function files.ready(self, call, file)
  return wait_active(self, call, file, call.options.timeout.processing)
end

-- Download -------------------------------------------------------------------------------------

local DOWNLOAD = { file = true, to = true, config = { http_options = options.HTTP } }
local MAX_REDIRECTS = 5

-- The request that a redirect leads to. The key does not go to another origin.
local function redirected(self, sent, location)
  local origin = sent.url:match "^%a+://[^/?#]+"
  local url = location:find "^/" and origin .. location or location
  if not url:find "^https?://" or url:find "[%c%s]" then
    return nil, errors.new { kind = "protocol", message = "the server redirected to no usable URL" }
  end
  local same = url:match "^%a+://[^/?#]+" == origin
  if not same and url:find "^http:" and not self.client:is_loopback(url) and not self.client.insecure then
    return nil, errors.new { kind = "protocol", message = "the server redirected from https to plain http" }
  end
  return { verb = "GET", url = url, raw = true, bulk = true, about = sent.about, foreign = sent.foreign or not same,
    secret = secret_of(url), attempts = sent.attempts - 1 }
end

-- Hands the bytes on as they come. write(bytes) -> true | nil, err
local function pump(call, sent, exchange, write)
  local tasks = call.client.tasks
  while true do
    local bytes = exchange:read()
    if bytes ~= "" then
      local ok, err = write(bytes)
      if not ok then
        exchange:close()
        return nil, err
      end
    else
      local done, err = exchange:done()
      if done ~= nil then
        exchange:close()
        return done or nil, err and http.failed(call, sent, err)
      end
      tasks:wait(exchange)
    end
  end
end

-- One try: true; nil, err, and the answer that was refused.
local function fetch_once(call, sent, write)
  local exchange, err = http.start(call, sent)
  if not exchange then
    return nil, err
  end
  local ok, refusal
  ok, err, refusal = http.open(call, sent, exchange)
  if not ok then
    return nil, err, refusal
  end
  return pump(call, sent, exchange, write)
end

-- reset() -> true | nil, err: forgets what was written.
local function fetch(self, call, sent, write, reset)
  local redirects = 0
  while true do
    local ok, err, refusal = fetch_once(call, sent, write)
    if ok then
      return true
    end
    local location = refusal and refusal.code >= 301 and refusal.code <= 308 and refusal.headers.location
    if location then
      redirects = redirects + 1
      if redirects > MAX_REDIRECTS then
        return nil, errors.new { kind = "limit", message = ("more than %d redirects"):format(MAX_REDIRECTS) }
      end
      sent, err = redirected(self, sent, location)
      if not sent then
        return nil, err
      end
    else
      ok, err = http.again(call, sent, err)
      if ok then
        ok, err = reset()
      end
      if not ok then
        return nil, err
      end
    end
  end
end

local function to_memory(self, call, sent)
  local pieces, size, most = {}, 0, self.client.limits.max_answer
  local function write(bytes)
    pieces[#pieces + 1], size = bytes, size + #bytes
    if size > most then
      return nil, errors.new { kind = "limit", message = ("the file is larger than max_answer (%d bytes)"):format(most),
        hint = "let it be written to a file: to = path" }
    end
    return true
  end
  local function start_over()
    pieces, size = {}, 0
    return true
  end
  local ok, err = fetch(self, call, sent, write, start_over)
  if not ok then
    return nil, err
  end
  return table.concat(pieces)
end

-- A file beside `path` that takes its name in the end: what is there under the name is whole.
local function beside(path, chance)
  local partial = path .. (".%08x.part"):format(math.floor(chance * 2 ^ 32))
  local target, out = {}, nil
  local function checked(ok, why)
    if ok then
      return true
    end
    return nil, errors.new { kind = "io", message = ("cannot write %s: %s"):format(path, tostring(why)) }
  end
  function target.begin() -- anew, perhaps
    local why
    if out then
      out:close()
    end
    out, why = io.open(partial, "wb")
    return checked(out, why)
  end
  function target.write(bytes)
    return checked(out:write(bytes))
  end
  function target.finish(ok, err)
    if out then
      local closed, why = checked(out:close())
      ok, err = ok and closed, err or why
    end
    if ok then
      ok, err = checked(os.rename(partial, path))
    end
    if not ok then
      os.remove(partial)
    end
    return ok, err
  end
  return target
end

local function to_file(self, call, sent, path)
  local target = beside(path, self.client.random())
  local ok, err = target.begin()
  if ok then
    ok, err = fetch(self, call, sent, target.write, target.begin)
  end
  ok, err = target.finish(ok, err)
  return ok and path or nil, err
end

--- Downloads a file that the service made (source GENERATED); uploaded ones cannot be had back.
---@param args string|table  file: a file object, a video that was made, a name or a URI; to: a path to write to; config
---@return string|nil bytes   or the path, with `to`
---@return lgemini.Error|nil err
function Files:download(args)
  options.check_self(self, Files, "files.download")
  args = arguments(args, "file", DOWNLOAD, "files:download")
  if (options.string(args.to, "to") or ""):find "%z" then
    return invalid "to: a path has no NUL byte in it"
  end
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local path
  path, err = endpoints.path(rows.download, { name = args.file })
  if not path then
    return nil, err
  end
  local sent = { verb = "GET", url = self.client:url(call.options, rows.download, path, "alt=media"), raw = true,
    bulk = true, once = true, about = { file = path:match "^files/[^:]*" } }
  if args.to then
    return to_file(self, call, sent, args.to)
  end
  return to_memory(self, call, sent)
end

return files
