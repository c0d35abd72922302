-- The File API's objects: their states, their 48 hours, get, list, delete, download. The bytes lie in
-- `directory/files`.

local base64 = require "base64"
local clock = require "clock"
local errors = require "errors"
local json = require "json"
local media = require "media"
local models = require "models"
local rand = require "openssl.rand"
local source = require "source"

local files = {}
files.__index = files

local LIFETIME = 48 * 3600 -- seconds

---@param emu table the emulator's parts: clock, settings, directory
---@return table files
function files.new(emu)
  return setmetatable({ emu = emu, by_id = {}, order = {} }, files)
end

--- Checks a name that a client wants, with or without files/; raises the API's 400 or 409.
---@param name string
---@return string id
function files:check_name(name)
  local id = name:gsub("^files/", "")
  if #id > 40 then
    error(errors.bad_request("* CreateFileRequest.file.name: File ID must be at most 40 characters long.", "file.name"))
  end
  if id == "" or id:find("[^%l%d%-]") or id:find("^%-") or id:find("%-$") then
    error(errors.bad_request("* CreateFileRequest.file.name: File ID must only contain lowercase alphanumeric or dashes"
      .. " (-) and cannot begin or end with a dash (-).", "file.name"))
  end
  if self:alive(id) then error(errors.new(409, "Requested entity already exists")) end
  return id
end

--- Twelve letters and digits, as the service makes them.
local function new_id()
  local alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
  local id = rand.bytes(12):gsub(".", function(c)
    local n = c:byte() % 36 + 1
    return alphabet:sub(n, n)
  end)
  return id
end

function files:path(id)
  return self.emu.directory .. "/files/" .. id
end

--- Makes a file object of bytes that lie at `path`, which it takes over.
---@param spec table path, size, sha256, mime_type, owner, and perhaps id, display_name, origin
---@return table file
function files:create(spec)
  local id = spec.id or new_id()
  local now = self.emu.clock:now()
  assert(os.rename(spec.path, self:path(id)))
  local src = source.from_file(self:path(id), spec.size)
  local facts = media.facts(src)
  src:close()
  local file = {
    id = id, owner = spec.owner, display_name = spec.display_name, mime_type = spec.mime_type, size = spec.size,
    sha256 = spec.sha256, created = now, updated = now, expires = now + LIFETIME, origin = spec.origin or "UPLOADED",
    facts = facts, state = "ACTIVE",
  }
  if media.family(spec.mime_type) == "video" and file.origin ~= "GENERATED" then
    file.state, file.ready = "PROCESSING", now + self.emu.settings.processing
    local reason = facts.broken
    if facts.kind ~= "video" and facts.kind ~= "audio" then reason = "it is not a video the service can read" end
    file.reason = reason and "Failed to process the video: " .. reason or nil
  end
  self.by_id[id] = file
  table.insert(self.order, 1, file)
  return file
end

--- Turns PROCESSING into what it becomes when its time has come.
local function settle(self, file)
  if file.state == "PROCESSING" and self.emu.clock:now() >= file.ready then
    file.state = file.reason and "FAILED" or "ACTIVE"
    file.updated = file.ready
  end
  return file
end

--- The file, if it is there and not expired; whoever owns it.
---@param id string
---@return table?
function files:alive(id)
  local file = self.by_id[id]
  if not file then return nil end
  if self.emu.clock:now() >= file.expires then
    self:remove(file)
    return nil
  end
  return settle(self, file)
end

--- The file as the owner of a key sees it; raises the API's 403 when there is none.
---@param id string
---@param owner string fingerprint of the key
---@return table
function files:find(id, owner)
  local file = self:alive(id)
  if not file or (file.owner and file.owner ~= owner) then error(errors.no_file(id)) end
  return file
end

---@param file table
function files:remove(file)
  os.remove(self:path(file.id))
  self.by_id[file.id] = nil
  for i, other in ipairs(self.order) do
    if other == file then table.remove(self.order, i) break end
  end
end

---@param file table
---@return table source
function files:source(file)
  return source.from_file(self:path(file.id), file.size)
end

local function duration(seconds)
  return (string.format("%.3f", seconds):gsub("%.?0+$", "")) .. "s"
end

--- The File object as the API writes it.
---@param file table
---@return table
function files:object(file)
  settle(self, file)
  local uri = self.emu.base_url .. "/v1beta/files/" .. file.id
  return {
    name = "files/" .. file.id, displayName = file.display_name, mimeType = file.mime_type,
    sizeBytes = string.format("%d", file.size), createTime = clock.stamp(file.created),
    updateTime = clock.stamp(file.updated), expirationTime = clock.stamp(file.expires, 9),
    sha256Hash = base64.encode(file.sha256), uri = uri, state = file.state, source = file.origin,
    downloadUri = file.origin == "GENERATED" and uri .. ":download?alt=media" or nil,
    error = file.state == "FAILED" and { code = 3, message = file.reason or "Failed to process the file." } or nil,
    videoMetadata = file.state == "ACTIVE" and file.facts.kind == "video" and file.facts.seconds
      and { videoDuration = duration(file.facts.seconds) } or nil,
  }
end

---@param ex table exchange
---@param id string
function files:get(ex, id)
  ex:answer_json(self:object(self:find(id, ex.owner)))
end

---@param ex table exchange
function files:list(ex)
  local own = {}
  for i = #self.order, 1, -1 do self:alive(self.order[i].id) end -- drops the expired
  for _, file in ipairs(self.order) do
    if not file.owner or file.owner == ex.owner then own[#own + 1] = file end
  end
  local page, token = models.page(own, ex.query, 10, 100)
  for i, file in ipairs(page) do page[i] = self:object(file) end
  ex:answer_json({ files = page[1] and page, nextPageToken = token })
end

---@param ex table exchange
---@param id string
function files:delete(ex, id)
  self:remove(self:find(id, ex.owner))
  self.emu:save()
  ex:answer_json({})
end

---@param ex table exchange
---@param id string
function files:download(ex, id)
  local file = self:find(id, ex.owner)
  if file.origin ~= "GENERATED" then
    error(errors.new(400, "Only generated files can be downloaded; files/" .. id .. " was uploaded.",
      "FAILED_PRECONDITION"))
  end
  if ex.query.alt ~= "media" then error(errors.new(400, "Download needs alt=media.")) end
  ex:answer_source({ ["content-type"] = file.mime_type }, self:source(file))
end

--- What is kept across a restart, and back.
function files:dump()
  return json.array(self.order)
end

function files:load(list)
  for _, file in ipairs(list) do
    self.by_id[file.id] = file
    self.order[#self.order + 1] = file
  end
end

return files
