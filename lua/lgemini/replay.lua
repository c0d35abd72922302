--- Answers requests out of recordings (see tape.lua), without a network: each gets an exchange that looks like one of
-- the core's. It moves a step with each turn of the loop, so that tasks and streams take turns as they do elsewhere,
-- and nothing waits. A request that was not recorded is an error that names the recording that is nearest to it.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local headers = require "lgemini.headers"
local tape = require "lgemini.tape"

---@class lgemini.Replayer
local replayer = { __name = "lgemini.Replayer" }
replayer.__index = replayer

---@class lgemini.ReplayedExchange: lgemini.core.Exchange
local Exchange = { __name = "lgemini.ReplayedExchange", wire = false }
Exchange.__index = Exchange

---@param core table
---@param directory string
---@return lgemini.Replayer
function replayer.new(core, directory)
  return setmetatable({
    core = core,
    directory = directory,
    entries = nil,  -- all recordings, once they are read
    known = nil,    -- key of a request -> its recordings, in order
    counts = {},    -- key -> how many requests had it
    now = nil,      -- when what was answered last was recorded
  }, replayer)
end

--- Seconds since 1970 when the last answer was recorded: files expire by that.
---@return integer
function replayer:time()
  return self.now or os.time()
end

-- Recordings -----------------------------------------------------------------------------------

---@class lgemini.replay.Entry
---@field name string  of its file
---@field request lgemini.tape.Request
---@field answer lgemini.tape.Answer
---@field key string

-- "hello-0123456789-12.json" -> 12; what was named otherwise comes first.
local function number_of(name)
  return tonumber(name:match "%-(%d+)%.json$") or 0
end

local function in_order(a, b)
  local one, two = number_of(a), number_of(b)
  return one < two or (one == two and a < b)
end

-- Reads all of them, once.
local function load(self)
  local names, failure = self.core.file_names(self.directory)
  if not names then
    return nil, errors.new { kind = "io", message = "replay: " .. failure.message,
      hint = "record first: Client{ record = ... }" }
  end
  local entries, known = {}, {}
  table.sort(names, in_order)
  for _, name in ipairs(names) do
    if name:find "%.json$" then
      local entry, err = tape.read(self.core, self.directory .. "/" .. name)
      if not entry then
        return nil, err
      end
      entry.name, entry.key = name, tape.key(entry.request)
      entries[#entries + 1] = entry
      known[entry.key] = known[entry.key] or {}
      table.insert(known[entry.key], entry)
    end
  end
  self.entries, self.known = entries, known
  return true
end

-- What does not match --------------------------------------------------------------------------

local MAX_SHOWN = 80 -- bytes of a value in a message

local function show(value)
  if value == nil then
    return "nothing"
  end
  local text = tape.encode(value)
  return #text > MAX_SHOWN and text:sub(1, MAX_SHOWN):gsub("[\192-\255]?[\128-\191]*$", "") .. "..." or text
end

-- Adds { place, recorded, asked } for all that differs.
local function compare(found, place, recorded, asked)
  if type(recorded) ~= "table" or type(asked) ~= "table" then
    if recorded ~= asked then
      found[#found + 1] = { place, recorded, asked }
    end
    return
  end
  local names = {}
  for name in pairs(recorded) do
    names[#names + 1] = name
  end
  for name in pairs(asked) do
    if recorded[name] == nil then
      names[#names + 1] = name
    end
  end
  table.sort(names, function(a, b)
    if type(a) == type(b) then
      return a < b
    end
    return type(a) == "number"
  end)
  for _, name in ipairs(names) do
    local below = type(name) == "number" and ("%s[%d]"):format(place, name)
      or place == "" and name or place .. "." .. name
    compare(found, below, recorded[name], asked[name])
  end
end

-- How many parts of two paths differ.
local function distance(a, b)
  local parts, count = {}, 0
  for part in a:gmatch "[^/:?&]+" do
    parts[#parts + 1] = part
  end
  for part in b:gmatch "[^/:?&]+" do
    count = count + 1
    parts[count] = parts[count] ~= part and part or nil
  end
  local differ = 0
  for _ in pairs(parts) do
    differ = differ + 1
  end
  return differ
end

-- The recording that differs least, and where. Method and path count most.
local function nearest(self, asked)
  local best, least, differences
  for _, entry in ipairs(self.entries) do
    local found = {}
    compare(found, "", entry.request, asked)
    local far = (entry.request.method ~= asked.method and 1e6 or 0)
      + 1e3 * distance(entry.request.path, asked.path) + math.min(#found, 999)
    if not best or far < least then
      best, least, differences = entry, far, found
    end
  end
  return best, differences
end

local function unrecorded(message)
  return nil, errors.new { kind = "unrecorded", message = message,
    hint = "record it anew with Client{ record = ... }, or ask what was recorded" }
end

local function mismatch(self, asked)
  local what = ("%s %s has no recording in %s"):format(asked.method, asked.path, self.directory)
  local entry, found = nearest(self, asked)
  if not entry then
    return unrecorded(what .. ", nor has any other request")
  end
  local first = found[1]
  for _, difference in ipairs(found) do -- the path says more than what comes of it
    first = difference[1] == "path" and difference or first
  end
  local more = #found > 1 and ("; %d more differ%s"):format(#found - 1, #found == 2 and "s" or "") or ""
  return unrecorded(("%s; the nearest is %s, where %s is %s, not %s%s"):format(what, entry.name, first[1],
    show(first[2]), show(first[3]), more))
end

local function used_up(self, asked, list, count)
  local times = #list == 1 and "once" or ("%d times"):format(#list)
  return unrecorded(("%s %s was recorded %s in %s (%s is the last), and this is request number %d like it"):format(
    asked.method, asked.path, times, self.directory, list[#list].name, count))
end

-- Exchanges ------------------------------------------------------------------------------------

-- Bytes of a file that come at a time.
local SLICE = 64 * 1024

-- What brings the pieces of an answer, one after the other; nil, err.
local function source_of(self, answer)
  if answer.file then
    local file, why = io.open(self.directory .. "/" .. answer.file, "rb")
    if not file then
      return nil, errors.new { kind = "io", message = "cannot read the recording " .. tostring(why) }
    end
    return function()
      local bytes = file and file:read(SLICE)
      if file and not bytes then
        file:close()
        file = nil
      end
      return bytes
    end
  end
  local pieces, at = answer.pieces or (answer.json ~= nil and { tape.encode(answer.json) }) or {}, 0
  return function()
    at = at + 1
    return pieces[at]
  end
end

-- URLs of the recording's own become whole.
local function heads_of(answer, url)
  local heads = {}
  for name, value in pairs(answer.headers) do
    value = tostring(value)
    heads[name] = value:find "^/recorded/" and url:match "^%a+://[^/?#]+" .. value or value
  end
  return heads
end

--- Begins an exchange that is answered by the recording of such a request.
---@param call lgemini.Call
---@param request lgemini.Request
---@param fields lgemini.core.Request
---@return table|nil exchange
---@return lgemini.Error|nil err
function replayer:exchange(call, request, fields)
  local ok, err = true, nil
  if not self.entries then
    ok, err = load(self)
  end
  local asked
  if ok then
    asked, err = tape.describe(self.core, fields, headers.secret_of(request.url) or "/", headers.secrets(call, {}))
  end
  if not asked then
    return nil, err
  end
  local key = tape.key(asked)
  local list, count = self.known[key], (self.counts[key] or 0) + 1
  if not list then
    return mismatch(self, asked)
  elseif count > #list then
    return used_up(self, asked, list, count)
  end
  self.counts[key], request.replayed = count, key
  local answer, source = list[count].answer
  source, err = source_of(self, answer)
  if not source then
    return nil, err
  end
  self.now = tonumber(answer.time)
  local body, offset = fields.body, fields.offset or 0
  local length = body and (fields.length or body:length() - offset) or 0
  return setmetatable({
    answer = answer,
    body = body,             -- while it is sent
    offset = offset,
    hash = fields.hash,
    hash_offset = (fields.hash_offset or 0) + offset,
    idle = fields.idle or 120,
    heads = heads_of(answer, request.url),
    source = source,         -- until it has brought all
    clock = call.client.tasks.now,
    to_send = answer.sent or length,
    brought = asked.body_bytes and not asked.body_sha256, -- by a function of the program's
    bytes_sent = 0,
    received = 0,
    inbox = {},
    stage = "sending",
  }, Exchange)
end

--- Whether an equal request was recorded after it.
---@param request lgemini.Request
---@return boolean
function replayer:has_another(request)
  local key = request.replayed
  return key ~= nil and self.counts[key] < #self.known[key]
end

-- It needs nothing more of what it was made with: who asks later how it came may keep it for long.
local function let_go(self, stage, failure)
  self.stage, self.failure, self.body, self.hash, self.source = stage, failure, nil, nil, nil
end

-- Sends what was sent then: the digest of an upload is of that.
local function send(self)
  while self.hash and self.bytes_sent < self.to_send do
    local bytes, err = self.body:read(self.offset + self.bytes_sent, math.min(SLICE, self.to_send - self.bytes_sent))
    if not bytes then
      return let_go(self, "done", err)
    end
    self.hash:feed(self.hash_offset + self.bytes_sent, bytes)
    self.bytes_sent = self.bytes_sent + #bytes
  end
  self.bytes_sent = self.to_send
end

local function finish(self)
  local answer = self.answer
  if answer.left and not answer.error then
    self.stage = "left"
    self.until_instant = self.clock() + self.idle
    return
  end
  let_go(self, "done", answer.error)
end

-- Goes a step further.
local function advance(self)
  if self.stage == "sending" then
    if not self.brought then
      send(self)
    end
    if self.stage == "sending" and self.bytes_sent == self.to_send then
      self.stage, self.body = "receiving", nil
    end
  elseif self.stage == "receiving" then
    local piece = self.source()
    if piece then
      self.inbox[#self.inbox + 1], self.received = piece, self.received + #piece
    else
      finish(self)
    end
  elseif self.stage == "left" and self.clock() >= self.until_instant then
    let_go(self, "done", { kind = "timeout", clock = "idle",
      message = "idle: the recording ends here, where the program let go of the answer" })
  end
end

--- Goes a step further, for who waits: it is to look again in the next turn.
---@param instant number|nil  at which it would look anyway
---@return table itself
---@return number instant
function Exchange:awaits(instant)
  advance(self)
  if self.stage == "left" then
    return self, math.min(self.until_instant, instant or math.huge)
  end
  return self, self.clock()
end

function Exchange:phase()
  if self.stage == "left" then
    return "receiving"
  end
  return self.stage
end

function Exchange:done()
  if self.stage ~= "done" then
    return nil
  end
  return not self.failure, self.failure
end

function Exchange:code()
  return self.stage ~= "sending" and self.answer.status or nil
end

function Exchange:headers()
  local copy = {}
  if self:code() then
    for name, value in pairs(self.heads) do
      copy[name] = value
    end
  end
  return copy
end

function Exchange:header(first, second)
  if self:code() then
    return self.heads[first], self.heads[second]
  end
end

function Exchange:read()
  local bytes = table.concat(self.inbox)
  self.inbox = {}
  return bytes
end

function Exchange:sent()
  return self.bytes_sent
end

function Exchange:wants()
  if self.stage == "sending" and self.brought and self.bytes_sent < self.to_send then
    return self.offset + self.bytes_sent, math.min(1024 * 1024, self.to_send - self.bytes_sent)
  end
end

function Exchange:supply(bytes)
  if self.hash then
    self.hash:feed(self.hash_offset + self.bytes_sent, bytes)
  end
  self.bytes_sent = self.bytes_sent + #bytes
  return true
end

function Exchange:facts()
  return { connect = 0, first_byte = 0, total = 0, bytes_sent = self.bytes_sent, bytes_received = self.received,
    reused = false }
end

function Exchange:id()
  local id, other = self:header("x-goog-request-id", "x-request-id")
  return id or other
end

function Exchange:cancel()
  if self.stage ~= "done" and self.stage ~= "closed" then
    let_go(self, "done", { kind = "cancelled", message = "the client was closed" })
  end
end

function Exchange:close()
  let_go(self, "closed")
  self.inbox = {}
end

return replayer
