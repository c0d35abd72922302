--- What was uploaded and still lives, so that the same content is not uploaded twice.
--
-- An entry says: this content, of this type, is that file at the service, for this key and base URL. They are kept by
-- size, in memory or in a directory: one small file for each size, replaced as a whole, so that several programs
-- may use it at once; where two write in the same moment one entry is lost, which costs an upload and no more.

require("lgemini.compat").goes_over_tables()

local json = require "lgemini.json"

local reuse = {}
reuse.__index = reuse
reuse.__name = "lgemini.Reuse"

-- Seconds before its end from which on a file is not used any more.
local MARGIN = 600
-- The service keeps files for 48 hours; where it does not say, a little less is believed.
local LIFETIME = 47 * 3600
-- Seconds after which a file of the index that nobody wrote to has nothing in it that lives.
local STALE = 7 * 86400
-- After so many additions what has expired is forgotten, whatever its size.
local SWEEP = 256

local PREFIX = "uploads-"

---@class lgemini.reuse.Entry
---@field sha256 string     of the content, in hex
---@field mime_type string
---@field scope string      key and base URL, not to be told from it
---@field name string       of the file at the service
---@field expires number    seconds since 1970
---@field device integer|nil  of the local file that was sent, with inode and mtime
---@field inode integer|nil
---@field mtime number|nil

---@class lgemini.Reuse  what the service has already

---@param core table            lgemini.core
---@param directory string|nil  nil: in memory
function reuse.new(core, directory)
  if directory then
    core.remove_old(directory, PREFIX, STALE)
  end
  return setmetatable({
    core = core,
    directory = directory,
    sizes = {}, -- size -> its entries, where they are in memory
    seen = {},  -- size -> when the last of its entries expires
    added = 0,
  }, reuse)
end

local function path_of(self, size)
  return ("%s/%s%.0f.json"):format(self.directory, PREFIX, size)
end

local TEXT = { "sha256", "mime_type", "scope", "name" }
local NUMBERS = { "expires", "device", "inode", "mtime" }

-- Entries as they were written; what is not whole is not there.
local function read(self, size)
  local file = io.open(path_of(self, size), "rb")
  local decoded = file and json.decode(file:read "*a")
  if file then
    file:close()
  end
  local entries = {}
  for _, item in ipairs(type(decoded) == "table" and type(decoded.uploads) == "table" and decoded.uploads or {}) do
    local entry = type(item) == "table" and {}
    for _, name in ipairs(TEXT) do
      if entry and type(item[name]) == "string" and json.quote(item[name]) then
        entry[name] = item[name]
      else
        entry = nil
      end
    end
    for _, name in ipairs(NUMBERS) do
      if entry then
        entry[name] = tonumber(item[name])
      end
    end
    if entry and entry.expires then
      entries[#entries + 1] = entry
    end
  end
  return entries
end

local function quoted(entry)
  local members = {}
  for _, name in ipairs(TEXT) do
    members[#members + 1] = ('"%s":%s'):format(name, json.quote(entry[name]))
  end
  for _, name in ipairs(NUMBERS) do -- as text: not all JSON libraries keep such numbers whole
    if entry[name] then
      members[#members + 1] = ('"%s":"%s"'):format(name, json.number(entry[name]))
    end
  end
  return "{" .. table.concat(members, ",") .. "}"
end

local function write(self, size, entries)
  local lines = {}
  for i, entry in ipairs(entries) do
    lines[i] = quoted(entry)
  end
  return self.core.replace_file(path_of(self, size), '{"uploads":[' .. table.concat(lines, ",\n") .. "]}\n")
end

local function load(self, size, now)
  local alive, last = {}, nil
  for _, entry in ipairs(self.directory and read(self, size) or self.sizes[size] or {}) do
    if entry.expires > now then
      alive[#alive + 1], last = entry, math.max(last or 0, entry.expires)
    end
  end
  self.seen[size] = last
  return alive
end

local function store(self, size, entries)
  if self.directory then
    write(self, size, entries) -- the index is a convenience: where it cannot be written, nothing is reused
  else
    self.sizes[size] = entries[1] and entries or nil
  end
end

local function sweep(self, now)
  for size, last in pairs(self.seen) do
    if last <= now then
      self.seen[size], self.sizes[size] = nil, nil
    end
  end
end

--- Entries of that size, type and scope that still live.
---@param size integer
---@param mime_type string
---@param scope string
---@param now number  seconds since 1970
---@return lgemini.reuse.Entry[]
function reuse:find(size, mime_type, scope, now)
  local found = {}
  for _, entry in ipairs(load(self, size, now)) do
    if entry.mime_type == mime_type and entry.scope == scope then
      found[#found + 1] = entry
    end
  end
  return found
end

local function same(a, b)
  return a.sha256 == b.sha256 and a.mime_type == b.mime_type and a.scope == b.scope
end

--- Adds an entry in place of an older one for the same content.
---@param size integer
---@param entry lgemini.reuse.Entry
---@param now number
function reuse:add(size, entry, now)
  local entries = { entry }
  for _, other in ipairs(load(self, size, now)) do
    if not same(other, entry) then
      entries[#entries + 1] = other
    end
  end
  store(self, size, entries)
  self.seen[size], self.added = math.max(self.seen[size] or 0, entry.expires), self.added + 1
  if self.added % SWEEP == 0 then
    sweep(self, now)
  end
end

--- Forgets an entry: its file is gone.
---@param size integer
---@param entry lgemini.reuse.Entry
---@param now number
function reuse:drop(size, entry, now)
  local entries = {}
  for _, other in ipairs(load(self, size, now)) do
    if other.name ~= entry.name then
      entries[#entries + 1] = other
    end
  end
  store(self, size, entries)
end

--- Forgets all entries of a file, whatever their size: it is gone. Known sizes of this process only.
---@param name string
---@param now number
function reuse:forget(name, now)
  for size in pairs(self.seen) do
    self:drop(size, { name = name }, now)
  end
end

-- Days since 1970-01-01 of a date of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

--- When a file is not to be used any more: some time before it expires.
---@param expiration_time string|nil  as the service writes it: "2026-03-03T10:00:00.592657449Z"
---@param now number
---@return number  seconds since 1970
function reuse.expiry(expiration_time, now)
  local year, month, day, hour, minute, second =
    (expiration_time or ""):match "^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)[%d.]*Z$"
  if not year then
    return now + LIFETIME
  end
  return days(tonumber(year), tonumber(month), tonumber(day)) * 86400 + hour * 3600 + minute * 60 + second - MARGIN
end

return reuse
