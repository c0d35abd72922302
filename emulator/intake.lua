-- Reads a JSON body as it arrives. Strings longer than SPOOL go to files, so that a request with 100 MB of base64 in it
-- costs its skeleton in memory; `intake.text` and `intake.bytes` turn such a string back into what it holds.

local base64 = require "base64"
local digest = require "openssl.digest"
local cqueues = require "cqueues"
local errors = require "errors"
local json = require "json"
local rand = require "openssl.rand"
local source = require "source"

local intake = {}

local SPOOL = 16384 -- bytes a string of the body may have in memory
local BLOCK = 65536

local nonce = "spooled-" .. source.hex(rand.bytes(12)) .. "-" -- no client can guess it
local serial = 0

local scanner = {}
scanner.__index = scanner

--- Keeps part of the string that is being read.
function scanner:keep(piece)
  self.string_size = self.string_size + #piece
  if self.file then
    assert(self.file:write(piece))
    return
  end
  self.held[#self.held + 1] = piece
  if self.string_size > SPOOL then
    serial = serial + 1
    self.token = nonce .. serial
    local path = self.directory .. "/" .. serial
    self.file = assert(io.open(path, "wb"))
    self.spools[self.token] = { path = path }
    assert(self.file:write(table.concat(self.held)))
    self.held = {}
  end
end

function scanner:end_string()
  if self.file then
    self.file:close()
    self.spools[self.token].size = self.string_size
    self.file = nil
    self.out[#self.out + 1] = self.token
  else
    self.out[#self.out + 1] = table.concat(self.held)
  end
  self.in_string = false
end

--- Takes the next bytes of the body.
function scanner:feed(chunk)
  local at = 1
  local escape = chunk:find("\\", 1, true) -- the next one; two plain searches are faster than one for either
  while at <= #chunk do
    if not self.in_string then
      local quote = chunk:find('"', at, true)
      self.out[#self.out + 1] = chunk:sub(at, quote or #chunk)
      at = (quote or #chunk) + 1
      if quote then
        self.in_string, self.held, self.string_size = true, {}, 0
      end
    elseif self.escaped then
      self:keep(chunk:sub(at, at))
      self.escaped = false
      at = at + 1
    else
      if escape and escape < at then escape = chunk:find("\\", at, true) end
      local quote = chunk:find('"', at, true)
      if escape and (not quote or escape < quote) then
        self:keep(chunk:sub(at, escape))
        at = escape + 1
        self.escaped = true
      else
        self:keep(chunk:sub(at, (quote or #chunk + 1) - 1))
        at = (quote or #chunk) + 1
        if quote then
          self:end_string()
          self.out[#self.out + 1] = '"'
        end
      end
    end
  end
end

local function close_body(self)
  if self.file then self.file:close() end
  self.file = nil
  for _, spool in pairs(self.spools) do os.remove(spool.path) end
  self.spools = {}
end

--- Reads and parses the body of an exchange; raises the API's error when it is too large or not JSON. The caller closes
--- what it gets with `body:close()`. An empty body is {}.
---@param ex table exchange
---@param directory string for spooled strings
---@param limit integer bytes
---@return table body { value =, skeleton =, close = }
function intake.read(ex, directory, limit)
  local self = setmetatable({ directory = directory, out = {}, spools = {} }, scanner)
  ex.body_holder = { close = function() close_body(self) end }
  local too_large = (ex.length or 0) > limit
  ex:read_body(function(piece)
    too_large = too_large or ex.received > limit
    if not too_large then self:feed(piece) end
  end)
  if self.file then self.file:close() end -- the body ended within a string
  self.file = nil
  if too_large then error(errors.html(413)) end
  local skeleton = table.concat(self.out)
  if skeleton:match("^%s*$") then skeleton = "{}" end
  local value, message = json.decode(skeleton)
  if type(value) ~= "table" then
    message = type(value) ~= "nil" and "Root element must be a message." or "Unexpected token. " .. tostring(message)
    error(errors.new(400, "Invalid JSON payload received. " .. message))
  end
  return { value = value, skeleton = skeleton, spools = self.spools }
end

--- Ends what `intake.read` keeps for an exchange.
---@param ex table exchange
function intake.release(ex)
  if ex.body_holder then ex.body_holder.close() end
  ex.body_holder = nil
end

--- The text of a string in the body.
---@param body table from `intake.read`
---@param s string
---@return string
function intake.text(body, s)
  local spool = body.spools[s]
  if not spool then return s end
  local file = assert(io.open(spool.path, "rb"))
  local raw = file:read("*a")
  file:close()
  local value = json.decode('["' .. raw .. '"]')
  if not value then error(errors.new(400, "Invalid JSON payload received. Invalid string.")) end
  return value[1]
end

-- JSON escapes within base64 text: "\/", "\u003d".
local function unescape(text)
  return (text:gsub("\\u00(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end):gsub("\\/", "/"))
end

--- The bytes that a base64 string in the body stands for, with their digest.
---@param body table from `intake.read`
---@param s string
---@return table? source nil when it is not base64
---@return string? sha256 hex
function intake.bytes(body, s)
  local spool = body.spools[s]
  if not spool then
    local bytes = base64.decode(s)
    if not bytes then return nil end
    return source.from_string(bytes), source.sha256_of(bytes)
  end
  local path = spool.path .. ".bytes"
  local input, output = assert(io.open(spool.path, "rb")), assert(io.open(path, "wb"))
  body.spools[path] = { path = path } -- removed with the rest
  local decoder, hash, size, rest = base64.decoder(), digest.new("sha256"), 0, ""
  local function take(bytes)
    if not bytes then return false end
    assert(output:write(bytes))
    hash:update(bytes)
    size = size + #bytes
    return true
  end
  local fine
  repeat
    local block = input:read(BLOCK)
    local text = rest .. (block or "")
    rest = ""
    if text:find("\\", 1, true) then
      local partial = block and text:match("\\[u%x]*$") or "" -- an escape may be cut at the end of a block
      if #partial < 6 then
        rest = partial
        text = text:sub(1, #text - #partial)
      end
      text = unescape(text)
    end
    fine = take(decoder:feed(text))
    cqueues.poll(0) -- others are served too
  until not block or not fine
  fine = fine and take(decoder:finish())
  input:close()
  output:close()
  if not fine then return nil end
  return source.from_file(path, size), source.hex(hash:final())
end

return intake
