--- Local media in a request: what it is, and whether it goes inline or through the File API.
--
-- Inline bytes and files are named in the body and read while it is sent; nothing is held. How long the
-- body will be is known before anything is sent.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local media = require "lgemini.media"
local options = require "lgemini.options"
local remote = require "lgemini.remote"
local request = require "lgemini.request"
local schema = require "lgemini.schema"
local source = require "lgemini.source"
local upload = require "lgemini.upload"

local attach = {}

local MIB = 1024 * 1024
-- Uploads at once.
local PARALLEL = 4
-- Stands for a URI that is not known yet when a body is measured.
local URI = "https://generativelanguage.googleapis.com/v1beta/files/abcdefghijkl"

---@class lgemini.attach.Item
---@field entry lgemini.parts.Local
---@field size integer
---@field mime_type string
---@field upload boolean

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

-- The path that may be read, as the program's policy has it.
local function allowed(client, entry)
  local policy = client.local_files
  if policy == false then
    return invalid(("%s: local files are switched off for this client (local_files = false)"):format(entry.path))
  elseif type(policy) == "function" then
    local ok, path, why = pcall(policy, entry.file)
    if not ok then
      why = path
    end
    if not ok or type(path) ~= "string" then
      return invalid(("%s: the client's local_files refuses %s%s"):format(entry.path, entry.file,
        why and ": " .. tostring(why) or ""))
    end
    return path
  end
  return entry.file
end

local function look_at(client, entry)
  local size, head = entry.data and #entry.data, entry.data
  if entry.file then
    local path, err = allowed(client, entry)
    if not path then
      return nil, err
    elseif path:find "%z" then
      return invalid(entry.path .. ".file: a path has no NUL byte in it")
    end
    local info
    info, err = client.core.file_info(path)
    if not info then
      return nil, errors.new { kind = err.kind, message = ("%s: %s"):format(entry.path, err.message),
        hint = source.hint(path) }
    end
    size, head = info.size, source.head(path)
    entry.file = path
  end
  local mime_type, err = media.type_of { name = entry.file, head = head:sub(1, media.HEAD),
    mime_type = entry.mime_type }
  if not mime_type then
    err.message = entry.path .. ": " .. err.message
    return nil, err
  end
  local to_upload = entry.via == "upload" or (entry.via == "auto" and media.is_video(mime_type))
  if size == 0 and not to_upload then
    return invalid(("%s: %s is empty"):format(entry.path, entry.file or "data"))
  end
  return { entry = entry, size = size, mime_type = mime_type, upload = to_upload }
end

local function put(item)
  local part, entry = item.entry.part, item.entry
  if item.upload then
    part.inline_data, part.file_data = nil, { file_uri = URI, mime_type = item.mime_type }
  else
    part.inline_data = { mime_type = item.mime_type, data = entry.data or request.file(entry.file) }
  end
end

--- Looks at the local media of a request and puts each into its part, inline or as a file that is yet to be uploaded.
---@param client lgemini.Client
---@param found lgemini.parts.Found
---@return lgemini.attach.Item[]|nil
---@return lgemini.Error|nil err  "io" or "invalid", with the part's place
function attach.look(client, found)
  local items = {}
  for i, entry in ipairs(found.locals) do
    local item, err = look_at(client, entry)
    if not item then
      return nil, err
    end
    items[i] = item
    put(item)
  end
  return items
end

local EMBEDDED = { file = true, data = true, mime_type = true }

--- Local media, { file = path } or { data = bytes }, where the API has no part but an image or a video of its own.
--- What is none, or came from the wire, is given back.
---@param client lgemini.Client
---@param value any
---@param field "image_bytes"|"video_bytes"
---@param path string  its place, for messages
---@return any value
---@return lgemini.Error|nil err
function attach.embed(client, value, field, path)
  if type(value) ~= "table" or schema.is(value, "Image") or schema.is(value, "Video")
    or value.file == nil and value.data == nil then
    return value
  end
  options.check(value, EMBEDDED, path)
  for name in pairs(EMBEDDED) do
    options.string(value[name], path .. "." .. name)
  end
  if value.file and value.data then
    return invalid(path .. " has both file and data")
  end
  local item, err = look_at(client, { file = value.file, data = value.data, mime_type = value.mime_type, via = "inline",
    path = path })
  if not item then
    return nil, err
  end
  return { [field] = value.data or request.file(item.entry.file), mime_type = item.mime_type }
end

local function encoded(size)
  return 4 * math.floor((size + 2) / 3)
end

local function amount(bytes)
  return bytes < MIB and ("%d bytes"):format(bytes) or ("%.1f MiB"):format(bytes / MIB)
end

-- The largest of those that may be uploaded and are not yet.
local function largest(items)
  local best
  for _, item in ipairs(items) do
    if not item.upload and item.entry.via == "auto" and (not best or item.size > best.size) then
      best = item
    end
  end
  return best
end

--- Moves the largest media that may be uploaded out of a body until it fits.
---@param items lgemini.attach.Item[]
---@param length integer  of the body as it is, in bytes
---@param limit integer
---@return boolean|nil changed
---@return lgemini.Error|nil err  kind "too_large", before a byte is sent
function attach.fit(items, length, limit)
  local changed = false
  while length > limit do
    local item = largest(items)
    if not item then
      return nil, errors.new {
        kind = "too_large",
        message = ("the request would have %s; at most %s are sent inline"):format(amount(length), amount(limit)),
        hint = 'send large media with via = "upload", or raise inline_limit of Client{} (the service takes 100 MB)',
      }
    end
    length = length - encoded(item.size) + #URI
    item.upload, changed = true, true
    put(item)
  end
  return changed
end

local function upload_one(call, item, args)
  local entry = item.entry
  local file, err = upload.send(call, {
    file = entry.file,
    data = entry.data,
    config = { mime_type = item.mime_type },
    on_progress = args.on_progress,
    reuse = args.reuse,
  }, entry.file)
  if not file then
    return nil, err
  end
  entry.part.file_data = { file_uri = file.uri, mime_type = file.mime_type or item.mime_type }
  return file
end

--- Whether anything has to happen before the request can be sent.
---@param items lgemini.attach.Item[]
---@param found lgemini.parts.Found
---@return boolean
function attach.is_due(items, found)
  for _, item in ipairs(items) do
    if item.upload then
      return true
    end
  end
  for _, used in ipairs(found.files) do
    if used.file.state == "PROCESSING" then
      return true
    end
  end
  return false
end

-- What tells the content of an item: its hash, which is only looked at where another one has the same type and size.
local function content_of(call, item, alone)
  local digest = not alone and upload.digest(call, { file = item.entry.file, data = item.entry.data })
  return digest and digest .. " " .. item.mime_type
end

-- Jobs that upload, one for each content: items that are the same get one file. Where nothing is reused, each has its
-- own.
local function upload_jobs(call, items, args, uploads)
  local sizes, jobs, jobs_of, count = {}, {}, {}, 0
  local function size_of(item) return ("%s %.0f"):format(item.mime_type, item.size) end
  for _, item in ipairs(items) do
    if item.upload then
      sizes[size_of(item)] = (sizes[size_of(item)] or 0) + 1
    end
  end
  for _, item in ipairs(items) do
    if item.upload then
      count = count + 1
      local content = content_of(call, item, args.reuse == false or sizes[size_of(item)] == 1) or count
      local same = jobs_of[content] or {}
      same[#same + 1] = { item = item, at = count }
      if not jobs_of[content] then
        jobs_of[content] = same
        jobs[#jobs + 1] = function()
          local file, err = upload_one(call, item, args)
          for _, member in ipairs(file and same or {}) do
            member.item.entry.part.file_data = item.entry.part.file_data
            uploads[member.at] = file
          end
          return file, err
        end
      end
    end
  end
  return jobs
end

--- Does what the idle clock guards, as uploads: where the user set no total, that of the call begins anew behind it.
---@param call lgemini.Call
---@param work function  its arguments follow
---@return any value
---@return lgemini.Error|nil err
function attach.unhurried(call, work, ...)
  local is_ours = call.deadline and not call.options.timeout.total
  if is_ours then
    call.deadline = nil
  end
  local value, err = work(...)
  if is_ours then
    call.deadline = call.client.tasks.now() + options.TOTAL
  end
  return value, err
end

--- Uploads what is to be uploaded, several at once, and waits for files that are PROCESSING.
---@param call lgemini.Call
---@param items lgemini.attach.Item[]
---@param found lgemini.parts.Found
---@param args table  of the call: on_progress(sent, total, file), reuse
---@return table[]|nil uploads      the file objects, in the order of the parts
---@return lgemini.Error|nil err
function attach.deliver(call, items, found, args)
  local uploads = {}
  local jobs = upload_jobs(call, items, args, uploads)
  for _, used in ipairs(found.files) do
    if used.file.state == "PROCESSING" then
      jobs[#jobs + 1] = function()
        return remote.wait(call, used.file)
      end
    end
  end
  local tasks = call.client.tasks
  local done, err = attach.unhurried(call, tasks.all, tasks, jobs, PARALLEL)
  if not done then
    return nil, err
  end
  return uploads
end

--- Forgets that local content is that file at the service: it is gone there.
attach.forget = upload.forget

return attach
