--- Media of an answer that go straight into files, as config.media_to says: neither they nor their base64 are held.
--
-- A file is written under its name with ".part" behind it, and gets its name when it is whole; one that stays
-- unfinished is removed.

local errors = require "lgemini.errors"
local media = require "lgemini.media"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

local media_to = {}

-- Samples have no file format of their own.
local EXTENSIONS = { ["audio/l16"] = "pcm", ["audio/pcm"] = "pcm", ["image/jpeg"] = "jpg" }

local function extension_of(mime)
  local name = tostring(mime):lower():match "^%s*([^;%s]+)" or ""
  local known = media.extensions(name):match "^%.(%w+)"
  local subtype = name:match "/([a-z0-9]+)$"
  return EXTENSIONS[name] or known or (subtype and #subtype <= 8 and subtype) or "bin"
end

---@class lgemini.MediaSink
---@field core table
---@field target string|function
---@field count integer
---@field ended boolean  nobody will look at what comes
---@field open { path: string, part: string, file: file* }|nil
local Sink = {}
Sink.__index = Sink

--- Raises where it is neither. A directory is made where it is not there, before anything is asked: media are paid for
--- when they come.
---@param core table
---@param target string|function
---@return true|nil
---@return lgemini.Error|nil err  "io": there can be no such directory
function media_to.check(core, target)
  if type(target) == "function" then
    return true
  elseif type(target) ~= "string" then
    errors.misuse(("config.media_to: a directory or a function expected, got %s"):format(type(target)))
  end
  local made, err = options.path(target, "config.media_to")
  if not made then
    return nil, err
  end
  made, err = core.make_directory(target)
  return made, err and errors.new { kind = err.kind, message = "config.media_to: " .. err.message }
end

---@param core table
---@param target string|function  a directory; or function(part) -> path, which gets the part as far as it has come
---@return lgemini.MediaSink
function media_to.new(core, target)
  return setmetatable({ core = core, target = target, count = 0, ended = false }, Sink)
end

-- A name in the directory that nobody else chooses: neither for another answer, before or beside this one, nor in
-- another state or process, a fork's child included.
local function name_in(self, mime)
  local own, now = tostring(self):match "(%x+)$" or "0", self.core.now()
  return ("%s/media-%s-%s-%09d-%d.%s"):format(self.target, os.date "!%Y%m%d-%H%M%S", own:sub(-8),
    math.floor(now % 1 * 1e9), self.count, extension_of(mime))
end

local function path_for(self, mime)
  if type(self.target) == "string" then
    return name_in(self, mime)
  end
  local ok, path = pcall(self.target, { inline_data = { mime_type = mime } })
  if not ok then
    return nil, "config.media_to, the function, failed: " .. tostring(path)
  elseif type(path) ~= "string" or path == "" then
    return nil, "config.media_to, the function, gave no path but " .. type(path)
  elseif path:find "%z" then
    return nil, "config.media_to, the function, gave a path with a NUL byte in it"
  end
  return path
end

-- Where the type comes behind the bytes, these may show it.
local function start(self, blob, bytes)
  self.count = self.count + 1
  local path, problem = path_for(self, blob.mime_type or media.sniff(bytes))
  if not path then
    return nil, problem
  elseif self.ended then
    return nil, "the stream was closed by config.media_to, the function"
  end
  local file, why = io.open(path .. ".part", "wb")
  if not file then
    return nil, tostring(why)
  end
  self.open = { path = path, part = path .. ".part", file = file }
  return true
end

local function finish(self)
  local open = self.open
  self.open = nil
  local ok, problem = open.file:close()
  if ok then
    ok, problem = os.rename(open.part, open.path)
  end
  if not ok then
    os.remove(open.part)
    return nil, ("%s: %s"):format(open.path, tostring(problem))
  end
  return open.path
end

--- Takes bytes of a Blob.
---@param blob table     as far as it has come
---@param bytes string
---@param last boolean
---@return string|true|nil  at last the name of a member, "path"
---@return string|nil       its value; with nil: what went wrong
function Sink:write(blob, bytes, last)
  local ok, problem
  if not self.open then
    ok, problem = start(self, blob, bytes)
    if not ok then
      return nil, problem
    end
  end
  ok, problem = self.open.file:write(bytes)
  if not ok then
    problem = ("%s: %s"):format(self.open.path, tostring(problem))
    self:abandon()
    return nil, problem
  elseif not last then
    return true
  end
  local path
  path, problem = finish(self)
  if not path then
    return nil, problem
  end
  schema.set_file(blob, path)
  return "path", path
end

--- Ends it: what is not whole by now never will be.
function Sink:abandon()
  local open = self.open
  self.open, self.ended = nil, true
  if open then
    open.file:close()
    os.remove(open.part)
  end
end

return media_to
