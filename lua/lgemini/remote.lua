--- Files as the service has them: looked at, waited for, told by their content, deleted (reference section 6).

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local media = require "lgemini.media"
local poll = require "lgemini.poll"
local schema = require "lgemini.schema"

local remote = {}

local rows = endpoints.files

-- Seconds between two looks at a file that is PROCESSING, at most.
local LAST_POLL = 5
-- Pages of the list of files that are looked through for one whose name got lost.
local LOST_PAGES = 20

-- file object -> how it was uploaded: verified (its SHA-256 was compared), reused, attempts.
local transports = setmetatable({}, { __mode = "k" })

schema.mark("File").__index = function(file, name)
  return name == "transport" and transports[file] or nil
end

--- What `file.transport` says.
---@param file table
---@param facts table
function remote.set_transport(file, facts)
  transports[file] = facts
end

--- A file as it is now.
---@param call lgemini.Call
---@param name any  its name or URI, or an object that stands for it
---@return table|nil file
---@return lgemini.Error|nil err
function remote.get(call, name)
  local path, err = endpoints.path(rows.get, { name = name }, call.client.vertex)
  if not path then
    return nil, err
  end
  local file
  file, err = http.ask(call, { verb = "GET", url = call.client:url(call.options, rows.get, path, ""),
    about = { file = path } }, rows.get.answer)
  return file, err
end

--- Deletes a file.
---@param call lgemini.Call
---@param name any  as for `get`
---@return true|nil
---@return lgemini.Error|nil err
function remote.delete(call, name)
  local path, err = endpoints.path(rows.delete, { name = name }, call.client.vertex)
  if not path then
    return nil, err
  end
  local got
  got, err = http.send(call, { verb = "DELETE", url = call.client:url(call.options, rows.delete, path, ""),
    about = { file = path } })
  return got and true, err
end

local function is_video(file)
  return type(file.mime_type) == "string" and media.is_video(file.mime_type)
end

--- The failure of a file whose state is FAILED.
---@param file table
---@param name string|nil  as the user knows it
---@return nil
---@return lgemini.Error
function remote.failed(file, name)
  local reason = type(file.error) == "table" and file.error.message or "the service gives no reason"
  return nil, errors.new {
    kind = "file_failed",
    message = ("%s could not be processed: %s"):format(name or file.display_name or file.name or "the file", reason),
    hint = is_video(file) and "convert it first: ffmpeg -i input.mp4 -c:v libx264 output.mp4"
      or "check that it is whole",
    file = file,
  }
end

--- Waits until a file is ACTIVE.
---@param call lgemini.Call
---@param file table
---@param seconds number|nil  at most; nil: the clock "processing" of the call
---@param name string|nil     as the user knows it
---@return table|nil file
---@return lgemini.Error|nil err
function remote.wait(call, file, seconds, name)
  local err
  local id = file.name or file.uri
  if file.state == "PROCESSING" and type(id) ~= "string" then
    return nil, errors.new { kind = "protocol", message = "the server did not name the file", file = file }
  end
  file, err = poll.wait(call, file, seconds or call.options.timeout.processing, {
    pending = function(seen) return seen.state == "PROCESSING" end,
    look = function(_, within) return remote.get(within, id) end,
    pause = LAST_POLL,
    goal = "ACTIVE",
    hint = "client.files:wait{ name = ... }",
    field = "file",
  })
  if file and file.state == "FAILED" then
    return remote.failed(file, name)
  end
  return file, err
end

--- The SHA-256 that the service gives, in hex; nil where it is none (reference section 6.6: base64 of the hex text).
---@param core table  lgemini.core
---@param file table
---@return string|nil
function remote.digest(core, file)
  local bytes = type(file.sha256_hash) == "string" and core.base64.decode(file.sha256_hash)
  if bytes and #bytes == 64 and not bytes:find "%X" then
    return bytes:lower()
  elseif bytes and #bytes == 32 then
    return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end))
  end
end

--- The newest file of that content and type; nil where none is found.
---@param call lgemini.Call
---@param digest string  in hex
---@param mime_type string
---@return table|nil file
function remote.find(call, digest, mime_type)
  local client, found, token = call.client, nil, nil
  for _ = 1, LOST_PAGES do
    local query = endpoints.query(rows.list, { page_size = 100, page_token = token })
    local page = http.ask(call, { verb = "GET", url = client:url(call.options, rows.list, rows.list.path, query) },
      rows.list.answer) or {}
    for _, file in ipairs(page.files or {}) do
      local newer = not found or tostring(file.create_time) > tostring(found.create_time)
      if file.mime_type == mime_type and remote.digest(client.core, file) == digest and newer then
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

return remote
