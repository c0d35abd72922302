--- The journal of an upload: what another process needs to go on with it.
--
-- It is replaced as a whole, so a crash at any byte leaves the old one or the new one. It holds no key; the upload URL
-- in it is a secret, and so the file is its owner's alone (mode 0600).

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"

local journal = {}

local VERSION = "lgemini upload 1"

-- Members and what they are: numbers are written as text, which every JSON library keeps whole.
local TEXT = { "url", "path", "mime_type", "scope", "sha256", "name" }
local NUMBERS = { "size", "mtime", "inode", "device", "hashed" }
local NEEDED = { url = true, path = true, mime_type = true, scope = true, size = true, mtime = true }

---@class lgemini.Journal
---@field url string          of the session: a secret
---@field path string         the local file
---@field size integer
---@field mtime number        seconds since 1970
---@field inode integer
---@field device integer
---@field mime_type string
---@field scope string        key and base URL, not to be told from it
---@field name string|nil     of the file at the service, where the program chose it
---@field hashed integer|nil  bytes that sha256 is of
---@field sha256 string|nil   of the beginning of the file, as it was sent

local function unreadable(path, why)
  return nil, errors.new { kind = "integrity", message = ("%s is no journal of an upload: %s"):format(path, why) }
end

--- Writes a journal, in place of an older one.
---@param core table  lgemini.core
---@param path string
---@param record lgemini.Journal
---@return true|nil
---@return lgemini.Error|nil err  kind "io", or "invalid" for a path that is not UTF-8
function journal.write(core, path, record)
  local members = { ('"version":%s'):format(json.quote(VERSION)) }
  for _, name in ipairs(TEXT) do
    if record[name] then
      local text, problem = json.quote(record[name])
      if not text then
        return nil, errors.new { kind = "invalid", message = ("journal: the %s is %s"):format(name, problem),
          hint = "a journal is for files whose path is UTF-8" }
      end
      members[#members + 1] = ('"%s":%s'):format(name, text)
    end
  end
  for _, name in ipairs(NUMBERS) do
    if record[name] then
      members[#members + 1] = ('"%s":"%s"'):format(name, json.number(record[name]))
    end
  end
  local ok, err = core.replace_file(path, "{" .. table.concat(members, ",\n ") .. "}\n")
  if not ok then
    return nil, errors.new(err)
  end
  return true
end

-- Bytes, inodes and the like; a time may have a fraction.
local function is_count(number, fraction)
  return number >= 0 and number < 2 ^ 53 and (fraction or number % 1 == 0)
end

--- Reads a journal. Whoever wrote it last wrote it whole; anything else is refused.
---@param path string
---@return lgemini.Journal|nil
---@return lgemini.Error|nil err  kind "io" where there is none, "integrity" where it is none
function journal.read(path)
  local file, problem = io.open(path, "rb")
  if not file then
    return nil, errors.new { kind = "io", message = tostring(problem) }
  end
  local text = file:read(65536) or ""
  file:close()
  local decoded, why = json.decode(text)
  if type(decoded) ~= "table" then
    return unreadable(path, why or "not an object")
  elseif decoded.version ~= VERSION then
    return unreadable(path, "of another kind or version")
  end
  local record = {}
  for _, name in ipairs(TEXT) do
    record[name] = type(decoded[name]) == "string" and decoded[name] or nil
    if record[name] and not json.quote(record[name]) then
      return unreadable(path, name .. " is not UTF-8")
    end
  end
  for _, name in ipairs(NUMBERS) do
    record[name] = tonumber(decoded[name])
    if record[name] and not is_count(record[name], name == "mtime") then
      return unreadable(path, name .. " makes no sense")
    end
  end
  for name in pairs(NEEDED) do
    if record[name] == nil then
      return unreadable(path, name .. " is missing")
    end
  end
  if record.path:find "%z" or record.url:find "[%c%s]" or (record.hashed or 0) > record.size then
    return unreadable(path, "it contradicts itself")
  end
  return record
end

--- Takes a journal away: its upload is over. One that another process wrote in its place stays.
---@param path string
---@param url string  of the upload
function journal.remove(path, url)
  local record = journal.read(path)
  if record and record.url == url then
    os.remove(path)
  end
end

-- In a state_dir -------------------------------------------------------------------------------

local PREFIX = "resume-"
-- Seconds after which a journal there is of no use: its session has expired.
local STALE = 7 * 86400

--- The path of the journal for an upload of that file, by whom the scope stands for.
---@param core table
---@param directory string
---@param info lgemini.core.FileInfo
---@param scope string
---@return string
function journal.path(core, directory, info, scope)
  local id = core.sha256.of(("%s\n%s\n%s"):format(scope, json.number(info.device), json.number(info.inode)))
  return ("%s/%s%s.json"):format(directory, PREFIX, id:sub(1, 32))
end

--- Removes the journals of uploads that nobody can go on with any more.
---@param core table
---@param directory string
function journal.clean(core, directory)
  core.remove_old(directory, PREFIX, STALE)
end

return journal
