--- One resumable upload as it runs: the requests that the core's decision table asks for, the hash of what is sent, the
-- journal, and the news of its progress (reference section 6).

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local journal = require "lgemini.journal"
local request = require "lgemini.request"
local source = require "lgemini.source"

local JSON = require("lgemini.headers").JSON

local session = {}

local rows = endpoints.files

-- Bytes that are hashed at a time, and after how many the journal is written again.
local SLICE = 4 * 1024 * 1024
local JOURNAL_STEP = 32 * 1024 * 1024

---@class lgemini.Upload
---@field call lgemini.Call
---@field source lgemini.upload.Source
---@field mime_type string
---@field meta table            of the file, for the service
---@field target lgemini.upload.Target|nil  where it goes, if not to client.files
---@field machine table         of core.upload: says what comes next
---@field report fun(sent: integer, at_end: boolean|nil): true|nil, lgemini.Error|nil
---@field hash table|nil        of core.sha256
---@field scope string|nil      key and base URL, where it may be reused
---@field journal string|nil    the path of its journal
---@field record lgemini.Journal|nil  what is written there
---@field unasked boolean|nil   it is one of the client's, in its state_dir
---@field url string|nil        of the session: a secret
---@field attempts integer|nil  tries since the server last got further

--- Hashes the file up to the offset, where another process sent it, or nobody yet.
---@param up lgemini.Upload
---@param offset integer
---@return true|nil
---@return lgemini.Error|nil err
function session.hash_up_to(up, offset)
  local hash, tasks = up.hash, up.call.client.tasks
  while hash and hash:position() < offset do
    local position, err = hash:read(up.source.body, math.min(SLICE, offset - hash:position()))
    if not position then
      return nil, errors.new(err)
    end
    local ok
    ok, err = tasks:sleep(0) -- others go on meanwhile
    if not ok then
      return nil, err
    end
  end
  return true
end

--- The SHA-256 of all of the source, in hex; nil where it is not known. What another process sent is read for it here.
---@param up lgemini.Upload
---@return string|nil
function session.digest(up)
  local hash, size = up.hash, up.source.size
  if hash and size and hash:position() < size and (up.source.read or not session.hash_up_to(up, size)) then
    return nil
  end
  return hash and hash:hex()
end

-- Its requests ---------------------------------------------------------------------------------

-- A name as a header can carry it: what is not plain ASCII is percent-encoded.
local function header_name(name)
  return (name:gsub("[^%w%-_%. ()%[%]+,=@]", function(char) return ("%%%02X"):format(char:byte()) end))
end

local function start_request(up)
  local client = up.call.client
  local body, target = client.core.body.new(), up.target or { row = rows.upload, path = rows.upload.path }
  local tree, ok, err
  if target.tree then
    tree, err = target.tree(up.mime_type)
  else
    tree, err = request.wire({ file = up.meta }, rows.upload.request)
  end
  if tree then
    ok, err = request.emit(tree, body)
  end
  if not ok then
    return nil, err
  end
  local size = up.source.size
  return {
    verb = "POST",
    url = client:url(up.call.options, target.row, target.path, ""),
    headers = {
      ["Content-Type"] = JSON,
      ["X-Goog-Upload-Protocol"] = "resumable",
      ["X-Goog-Upload-Command"] = "start",
      ["X-Goog-Upload-Header-Content-Length"] = size and ("%d"):format(size) or nil,
      ["X-Goog-Upload-Header-Content-Type"] = up.mime_type,
      ["X-Goog-Upload-File-Name"] = up.source.name and header_name(up.source.name) or nil,
    },
    body = body,
    about = { takes_media = true },
    once = true,
  }
end

-- The next window of a source without a size: read ahead, so that its end is seen before it is sent.
local function read_window(up, offset, length)
  if not up.ahead or up.ahead.offset ~= offset then
    local pieces, count = {}, 0
    local more, err
    repeat
      more, err = source.read(up.source, offset + count, length - count)
      if not more then
        return nil, err
      end
      pieces[#pieces + 1], count = more, count + #more
    until more == "" or count == length
    up.ahead = { offset = offset, bytes = table.concat(pieces), at_end = count < length }
  end
  return up.ahead
end

--- Bytes of the source; nil for one without a size that was not sent to its end.
---@param up lgemini.Upload
---@return integer|nil
function session.size(up)
  local ahead = up.ahead
  return up.source.size or (ahead and ahead.at_end and ahead.offset + #ahead.bytes or nil)
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
  local ok, err = journal.write(up.call.client.core, up.journal, up.record)
  if not ok and up.unasked then -- a convenience: where it cannot be written, nobody can go on
    up.record, ok, err = nil, true, nil
  end
  return ok, err
end

-- Brings the bytes that a reader is asked for, if it is.
local function feed(up, exchange)
  local at, n = exchange:wants()
  if not at then
    return true
  end
  local bytes, err = source.read(up.source, at, n)
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
local function session_request(up, command)
  return {
    verb = "POST",
    url = up.url,
    headers = { ["X-Goog-Upload-Command"] = command },
    body = up.call.client.core.body.new(),
    no_key = true, -- the URL carries the right to send
    bulk = true,
    secret = up.secret,
    once = true,
    about = { takes_media = true },
  }
end

local function bytes_request(up, command, offset, length)
  local sent, from = session_request(up, command), up.source
  local ok, err = true, nil
  if from.body then
    if not from.read then
      ok, err = session.hash_up_to(up, offset)
    end
    sent.body, sent.offset, sent.length = from.body, offset, length
  else
    local window
    window, err = read_window(up, offset, length)
    if not window then
      return nil, err
    end
    ok, err = sent.body:add(window.bytes)
    err = err and errors.new(err)
    if window.at_end then
      sent.headers["X-Goog-Upload-Command"] = "upload, finalize"
    end
  end
  if not ok then
    return nil, err
  end
  sent.headers["X-Goog-Upload-Offset"] = ("%d"):format(offset)
  sent.hash, sent.hash_offset = up.hash, from.body and 0 or offset
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

-- The upload URL with our own host in it where the base URL is the user's: a proxy must see the bytes, too.
local function upload_url(call, url)
  local origin = call.options.base_url:match "^%a+://[^/]+"
  local rest = url:match "^https?://[^/?#]+(/.*)$"
  if not rest or url:find "[%c%s]" then
    return nil, errors.new { kind = "protocol", message = "the server named no usable URL to upload to" }
  elseif call.client:has_custom_base(call.options) then
    return origin .. rest
  elseif url:match "^(%a+://[^/?#]+)" ~= origin then
    return nil, errors.new { kind = "protocol", message = "the server named another host to upload to" }
  end
  return url
end

--- Gives the upload the URL of its session.
---@param up lgemini.Upload
---@param url string  as the server or a journal has it
---@return true|nil
---@return lgemini.Error|nil err  "protocol", where it is none to send to
function session.begin(up, url)
  local err
  up.url, err = upload_url(up.call, url)
  up.secret = up.url and http.secret_of(up.url)
  return up.url and true, err
end

-- How it runs ----------------------------------------------------------------------------------

-- A count of bytes: digits alone, and no other way in which Lua writes numbers.
local function count_header(headers, name)
  local value = tonumber((headers[name] or ""):match "^%d+$")
  return value and value < 2 ^ 53 and value or nil
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
    received = count_header(headers, "x-goog-upload-size-received"),
    granularity = count_header(headers, "x-goog-upload-chunk-granularity"),
    has_url = headers["x-goog-upload-url"] ~= nil,
    api_error = err ~= nil and err.status ~= nil,
  }
end

-- The request that the decision table asks for, and its command.
local function next_request(up)
  local command, offset, length = up.machine:next()
  if command == "start" then
    return command, start_request(up)
  elseif command == "query" then
    return command, session_request(up, command)
  end
  return command, bytes_request(up, command, offset, length)
end

-- One request of the upload and what it means: verdict; or nil, err.
local function advance(up)
  local command, sent, err = next_request(up)
  if not sent then
    return nil, err
  end
  sent.attempts = up.attempts -- each is a request of its own; tries are counted over all of them
  local answered, refusal
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
    local begun
    begun, err = session.begin(up, answered.headers["x-goog-upload-url"])
    if not begun then
      return nil, err
    end
    up.noted = nil
    local noted
    noted, err = note(up, 0)
    if not noted then
      return nil, err
    end
  end
  return verdict, err, answered
end

--- Runs the upload to its end. Its tries count anew whenever the server has got further since the last one that failed.
---@param up lgemini.Upload
---@return lgemini.Answer|nil  the last one: it holds the file, unless that got lost
---@return lgemini.Error|nil err
function session.run(up)
  local reached = 0
  up.attempts = 0
  while true do
    local verdict, err, answered = advance(up)
    if not verdict then
      return nil, err
    elseif verdict == "stop" then
      if up.record then
        journal.remove(up.journal, up.url) -- nobody can go on with it
      end
      return nil, err or errors.new { kind = "protocol", message = "the server refused the upload" }
    elseif verdict == "end" and not session.size(up) then
      return nil, errors.new { kind = "protocol",
        message = "the server finished the upload before all bytes were sent" }
    elseif verdict == "end" then
      return answered
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

return session
