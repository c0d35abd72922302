--- Files of one JSON value a line: requests on their way to a batch, and its results. Neither is ever held as a whole.
--- And what collects such a value, where it is to be held.

local errors = require "lgemini.errors"

local lines = {}

-- Bytes that are read from a file at once.
local BLOCK = 64 * 1024

local function io_error(what, why)
  return errors.new { kind = "io", message = ("%s: %s"):format(what, tostring(why)) }
end

---@class lgemini.lines.Sink  a body, as request.emit writes it, that becomes a line of a file
local Sink = {}
Sink.__index = Sink

--- Something that request.emit can write to.
---@param core table|nil  lgemini.core, where there may be media
---@param file file*
---@return table
function lines.sink(core, file)
  return setmetatable({ core = core, file = file }, Sink)
end

--- The same for a text, whose pieces it collects.
---@param core table|nil  lgemini.core, where there may be media
---@return table
---@return string[] pieces
function lines.collector(core)
  local pieces = {}
  return lines.sink(core, { write = function(_, text)
    pieces[#pieces + 1] = text
    return true
  end }), pieces
end

local function written(ok, why)
  if ok then
    return true
  end
  return nil, io_error("cannot write the requests of the batch to a temporary file", why)
end

-- The next bytes of a file, nil at its end; nil, err.
local function next_block(file, what)
  local bytes, why = file:read(BLOCK)
  return bytes, why and io_error("cannot read " .. what, why)
end

function Sink:add(text)
  return written(self.file:write(text))
end

function Sink:add_base64(bytes)
  return written(self.file:write(self.core.base64.encode(bytes)))
end

function Sink:add_base64_file(path)
  local from, why = io.open(path, "rb")
  if not from then
    return nil, io_error("cannot read " .. path, why)
  end
  local encoder = self.core.base64.encoder()
  local bytes, err, _
  repeat
    bytes, err = next_block(from, path)
    if bytes then
      _, err = self:add(encoder:feed(bytes))
    end
  until err or not bytes
  from:close()
  if err then
    return nil, err
  end
  return self:add(encoder:finish())
end

--- All of it is in the file.
function Sink:flush()
  return written(self.file:flush())
end

--- The next line of a file: its text, nil at the end; nil, err where it is longer than `most` bytes.
---@param reader { file: file*, block: string, at: integer, most: integer }  what was read of it last, and from where on
---@return string|nil
---@return lgemini.Error|nil err
local function next_line(reader)
  local pieces, size = {}, 0
  while true do
    local stop = reader.block:find("\n", reader.at, true)
    local piece = reader.block:sub(reader.at, stop and stop - 1)
    pieces[#pieces + 1], size = piece, size + #piece
    if size > reader.most then
      return nil, errors.new { kind = "limit", message = ("a line of the results is longer than %d bytes")
        :format(reader.most), hint = "raise limits.max_event of Client{}" }
    elseif stop then
      reader.at = stop + 1
      return table.concat(pieces)
    end
    local block, err = next_block(reader.file, "the results")
    reader.block, reader.at = block or "", 1
    if not block then
      return not err and size > 0 and table.concat(pieces) or nil, err
    end
  end
end

--- The lines of a file that are not blank: next() -> text | nil at the end | nil, err.
---@param file file*    is closed at the end
---@param most integer  bytes of a line
---@return fun(): string|nil, lgemini.Error|nil
function lines.of(file, most)
  local reader, ended = { file = file, block = "", at = 1, most = most }, false
  return function()
    while not ended do
      local text, err = next_line(reader)
      if not text then
        ended = true
        file:close()
        return nil, err
      elseif text:find "%S" then
        return text
      end
    end
  end
end

return lines
