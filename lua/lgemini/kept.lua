--- Local media that a chat sent: the history speaks of it by the address that the service gave, which holds for 48
-- hours. While the file is still here and the same, it is uploaded again when the service says that it is gone; so are
-- bytes that the program gave.

require("lgemini.compat").goes_over_tables()

local attach = require "lgemini.attach"
local upload = require "lgemini.upload"

local kept = {}

---@class lgemini.kept.File
---@field file string?  the path, with
---@field size integer?
---@field mtime number?
---@field data string?  or the bytes
---@field mime_type string

-- "https://.../v1beta/files/x" -> "files/x"
local function name_of(uri)
  local id = type(uri) == "string" and uri:match "/files/([^/:?#]+)"
  return id and "files/" .. id
end

local MAX_DATA = 64 * 1024 * 1024 -- bytes of the program's that one chat holds on to

local function held(known)
  local sum = 0
  for _, source in pairs(known) do
    sum = sum + (source.data and #source.data or 0)
  end
  return sum
end

--- Notes where the files come from that were uploaded for a message. Of bytes beyond 64 MB nothing is kept.
---@param known table<string, lgemini.kept.File>  by the name of the file at the service
---@param core table
---@param locals lgemini.parts.Local[]
function kept.note(known, core, locals)
  for _, entry in ipairs(locals) do
    local data = entry.part.file_data
    local name, info = name_of(data and data.file_uri), entry.file and core.file_info(entry.file)
    if name and info then
      known[name] = { file = entry.file, mime_type = data.mime_type, size = info.size, mtime = info.mtime }
    elseif name and entry.data and not known[name] and held(known) + #entry.data <= MAX_DATA then
      known[name] = { data = entry.data, mime_type = data.mime_type }
    end
  end
end

--- Uploads a file again that is gone, and has the contents speak of the new one.
---@param known table<string, lgemini.kept.File>
---@param call lgemini.Call
---@param name string  files/...
---@param contents lgemini.Content[]  are changed
---@return true|nil               nil alone where it is not known, or not the same any more
---@return lgemini.Error|nil err
function kept.renew(known, call, name, contents)
  local source = known[name]
  if not source then
    return nil
  elseif source.file then
    local info = call.client.core.file_info(source.file)
    if not info or info.size ~= source.size or info.mtime ~= source.mtime then
      return nil
    end
  end
  attach.forget(call.client, name)
  local file, err = attach.unhurried(call, upload.send, call, { file = source.file, data = source.data,
    config = { mime_type = source.mime_type } }, source.file)
  if not file then
    return nil, err
  end
  for _, content in ipairs(contents) do
    for _, part in ipairs(content.parts or {}) do
      if type(part) == "table" and part.file_data and name_of(part.file_data.file_uri) == name then
        part.file_data = { file_uri = file.uri, mime_type = file.mime_type or source.mime_type }
      end
    end
  end
  known[name], known[file.name] = nil, source
  return true
end

return kept
