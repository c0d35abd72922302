--- What two files on the disk are read as, whatever has become of them: the journal of an upload, and the index of what
-- was uploaded. Reading never raises, and what is taken is of the promised types; what is written is read again.
--
-- Input: a letter for the file (u: the index), then its bytes.

local errors = require "lgemini.errors"
local journal = require "lgemini.journal"
local reuse = require "lgemini.reuse"

local disk -- the bytes of the one file there is

rawset(io, "open", function()
  local file = {}
  function file.read(_, what) return type(what) == "number" and disk:sub(1, what) or disk end
  function file.close() return true end
  return file
end)

local core = {}

function core.replace_file(_, text)
  disk = text
  return true
end

function core.remove_old() end -- the disk has one file

local function is_text(value, name)
  assert(type(value) == "string", name)
end

-- Of bytes and the like; without, a thing is not known.
local function is_count(value, name)
  assert(value == nil or (value >= 0 and value < 2 ^ 63 and value % 1 == 0), name)
end

local function check_journal()
  local record, err = journal.read "j"
  if not record then
    assert(errors.is(err) and (err.kind == "integrity" or err.kind == "io"))
    return
  end
  for _, name in ipairs { "url", "path", "mime_type", "scope" } do is_text(record[name], name) end
  for _, name in ipairs { "sha256", "name" } do assert(record[name] == nil or type(record[name]) == "string", name) end
  for _, name in ipairs { "size", "inode", "device", "hashed" } do is_count(record[name], name) end
  assert((record.hashed or 0) <= record.size, "hashed beyond the size")
  assert(record.mtime > -math.huge and record.mtime < math.huge, "mtime")
  assert(not record.path:find "%z" and not record.url:find "%c", "control characters")
  assert(journal.write(core, "j", record))
  local again = assert(journal.read "j")
  for name, value in pairs(record) do assert(again[name] == value, name) end
end

local function check_index()
  local index = reuse.new(core, "d")
  for _, entry in ipairs(index:find(5, "text/plain", "scope", 1e9)) do
    for _, name in ipairs { "sha256", "mime_type", "scope", "name" } do is_text(entry[name], name) end
    for _, name in ipairs { "device", "inode", "mtime" } do
      assert(entry[name] == nil or type(entry[name]) == "number", name)
    end
    assert(entry.expires > 1e9)
  end
  local entry = { sha256 = "ab", mime_type = "text/plain", scope = "scope", name = "files/new", expires = 2e9 }
  index:add(5, entry, 1e9)
  local found = index:find(5, "text/plain", "scope", 1e9)
  assert(found[1] and found[1].name == "files/new", "what was added is not found")
  index:forget("files/new", 1e9)
  for _, other in ipairs(index:find(5, "text/plain", "scope", 1e9)) do assert(other.name ~= "files/new") end
end

local names = {}
for name in ([[version url path mime_type scope sha256 name size mtime inode device hashed uploads expires]])
  :gmatch "%S+" do names[#names + 1] = ('"%s"'):format(name) end

return function(input)
  disk = input:sub(2)
  if input:sub(1, 1) == "u" then check_index() else check_journal() end
end, names
