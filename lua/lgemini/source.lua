--- Where the bytes of an upload come from: a file, bytes in memory, or a function that reads.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local media = require "lgemini.media"
local options = require "lgemini.options"

local source = {}

---@class lgemini.upload.Source
---@field body table|nil       all of it; nil for a reader without a size
---@field size integer|nil
---@field read function|nil    function(offset, n) -> bytes; "" or nil at the end
---@field name string|nil      of the file, for the service
---@field head string          the first bytes, as far as they are known

local function invalid(message)
  return nil, errors.new { kind = "invalid", message = message }
end

local function base_name(path)
  return path:match "[^/\\]*$"
end

--- The first bytes of a file, to tell its type by; "" where it cannot be read: the core says what is wrong with it.
---@param path string
---@return string
function source.head(path)
  local file = io.open(path, "rb")
  local head = file and file:read(media.HEAD)
  if file then
    file:close()
  end
  return head or ""
end

--- What a path that leads nowhere was perhaps meant as.
---@param path string
---@return string|nil hint
function source.hint(path)
  if path:find "^%a[%w+.-]+://" then
    return "file is a path of this machine; an address goes into { file_data = { file_uri =, mime_type = } }"
  elseif path:find "^files/" then
    return "where it is a file of the service, client.files:get(name) gives the part"
  elseif path:sub(1, 1) == "~" then
    return "the ~ is the shell's: give the whole path"
  end
end

local function is_handle(value)
  return type(value) == "userdata" and compat.has_files and io.type(value) ~= nil
end

local makers = {}

function makers.file(core, args)
  local body = core.body.new()
  local size, err
  if is_handle(args.file) then
    if io.type(args.file) == "closed file" then
      return invalid "file: the handle is closed"
    end
    size, err = body:add_handle(args.file)
  elseif type(args.file) == "string" then
    if not compat.has_files then
      return invalid "file: this Lua has no io library, so files are not opened: pass data, or read"
    elseif args.file:find "%z" then
      return invalid "file: a path has no NUL byte in it"
    end
    size, err = body:add_file(args.file)
  else
    errors.misuse("files:upload: file is a path or an open file, not a " .. type(args.file))
  end
  local path = type(args.file) == "string" and args.file or nil
  if not size then
    return nil, errors.new { kind = err.kind, message = err.message, hint = path and source.hint(path) }
  end
  local head
  if path then
    head = source.head(path)
  else
    head, err = body:read(0, math.min(size, media.HEAD))
    if not head then
      return nil, errors.new(err)
    end
  end
  return { body = body, size = size, name = path and base_name(path), head = head }
end

function makers.data(core, args)
  options.string(args.data, "data")
  local body = core.body.new()
  local ok, err = body:add(args.data)
  if not ok then
    return nil, errors.new(err)
  end
  return { body = body, size = #args.data, head = args.data:sub(1, media.HEAD) }
end

function makers.read(core, args)
  options.callback(args.read, "read")
  local size, err = options.count(args.size, "size", 0)
  if err then
    return nil, err
  end
  local made = { size = size, read = args.read, head = "" }
  if size then
    made.body = core.body.new()
    local ok
    ok, err = made.body:add_reader(size)
    if not ok then
      return nil, errors.new(err)
    end
  end
  return made
end

--- The source that the arguments of an upload name.
---@param core table  lgemini.core
---@param args table  one of file (path or open file), data (bytes), read (function) with or without size (bytes)
---@return lgemini.upload.Source|nil
---@return lgemini.Error|nil err
function source.new(core, args)
  local given
  for kind, make in pairs(makers) do
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
  return given(core, args)
end

--- A reader's bytes at an offset.
---@param from lgemini.upload.Source
---@param offset integer
---@param n integer  at most
---@return string|nil bytes       "" at the end
---@return lgemini.Error|nil err  "io", when it fails or brings what was not asked for
function source.read(from, offset, n)
  local ok, bytes, why = pcall(from.read, offset, n)
  if not ok or (bytes == nil and why ~= nil) then
    local cause = ok and why or bytes
    return nil, errors.new { kind = "io", cause = cause, message = "read, the function, failed: " .. tostring(cause) }
  elseif bytes ~= nil and type(bytes) ~= "string" or #(bytes or "") > n then
    return nil, errors.new { kind = "io", message = "read, the function, must return at most n bytes as a string" }
  end
  return bytes or ""
end

return source
