-- What came in: one entry for each request of the API, in the order in which they began. Keys, upload ids and other
-- secrets do not get in; whether a key was there, and which, shows by its fingerprint.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local exchange = require "exchange"
local json = require "json"

local record = {}
record.__index = record

local KEEP = 10000 -- entries; older ones are dropped
local BODY = 65536 -- bytes of JSON kept of a body

local secret_headers = {
  ["x-goog-api-key"] = true, authorization = true, cookie = true, ["proxy-authorization"] = true,
}
local secret_query = { key = true, access_token = true, upload_id = true }

---@return table record
function record.new()
  return setmetatable({ entries = json.array({}), serial = 0, changed = condition.new() }, record)
end

---@param ex table exchange
---@param connection integer number of the connection
---@param request integer number of the request on its connection
---@return table entry
function record:begin(ex, connection, request)
  local headers, query = {}, {}
  for name, value in pairs(ex.headers) do
    headers[name] = secret_headers[name] and exchange.fingerprint(value) or value
  end
  for name, value in pairs(ex.query) do
    query[name] = secret_query[name] and exchange.fingerprint(value) or value
  end
  self.serial = self.serial + 1
  local entry = {
    id = self.serial, method = ex.method, path = ex.path, query = query, headers = headers, host = ex.authority,
    http_version = ex.version, tls = ex.scheme == "https", connection = connection, request_on_connection = request,
    content_length = ex.length, key = ex:key() ~= nil, done = false,
  }
  table.insert(self.entries, entry)
  if #self.entries > KEEP then table.remove(self.entries, 1) end
  return entry
end

---@param entry table
---@param ex table exchange
function record:finish(entry, ex)
  entry.body_bytes = ex.received
  entry.answer_bytes = ex.sent
  entry.status = ex.status
  entry.outcome = ex.outcome
  entry.done = true
  self.changed:signal()
end

--- Keeps the JSON of a body as it came, but for strings that went to disk.
---@param entry table
---@param body table from `intake.read`
function record.note_body(entry, body)
  if #body.skeleton > BODY then return end
  entry.body = json.raw((body.skeleton:gsub("spooled%-%x+%-%d+", function(token)
    local spool = body.spools[token]
    return spool and string.format("(%d characters)", spool.size)
  end)))
end

function record:clear()
  self.entries = json.array({})
end

local function done(self)
  local n = 0
  for _, entry in ipairs(self.entries) do
    if entry.done then n = n + 1 end
  end
  return n
end

--- Waits until n entries are complete.
---@param n integer
---@param seconds number
function record:wait(n, seconds)
  local deadline = cqueues.monotime() + seconds
  while done(self) < n do
    local left = deadline - cqueues.monotime()
    if left <= 0 then return end
    cqueues.poll(self.changed, left)
  end
end

return record
