-- The endpoints under /emulator/: what was received, and what shall happen. Loopback only, no key.

local base64 = require "base64"
local errors = require "errors"
local exchange = require "exchange"
local intake = require "intake"
local settings = require "settings"
local source = require "source"

local admin = {}

local WAIT = 10 -- seconds that GET requests?wait=n waits

local function state_of(emu)
  return { url = emu.base_url, pid = emu.pid, ca_file = emu.ca_file, state = emu.directory, version = emu.version,
    lua = _VERSION, time = emu.clock:now(), connections = emu.server:live(), memory_kb = collectgarbage("count") }
end

local routes = {}

routes["GET health"] = function(emu) return state_of(emu) end

routes["GET requests"] = function(emu, _, ex)
  local n = tonumber(ex.query.wait)
  if n then emu.record:wait(n, tonumber(ex.query.seconds) or WAIT) end
  return { requests = emu.record.entries }
end
routes["DELETE requests"] = function(emu) emu.record:clear() return {} end

routes["GET faults"] = function(emu) return { faults = emu.faults:list() } end
routes["POST faults"] = function(emu, spec) return { id = emu.faults:add(spec).id } end
routes["DELETE faults"] = function(emu) emu.faults:clear() return {} end

routes["GET uploads"] = function(emu) return { uploads = emu.uploads:list() } end

routes["GET gate"] = function(emu) return emu.pace:state() end
routes["POST gate"] = function(emu, spec)
  if spec.hold then emu.pace:hold() end
  if spec.release then emu.pace:release(tonumber(spec.release) or 1) end
  if spec.open then emu.pace:open() end
  return emu.pace:state()
end

routes["GET clock"] = function(emu) return { now = emu.clock:now(), added = emu.clock.added } end
routes["POST clock"] = function(emu, spec)
  if not tonumber(spec.advance) then error(errors.new(400, "advance: seconds")) end
  emu.clock:advance(tonumber(spec.advance))
  return { now = emu.clock:now(), added = emu.clock.added }
end

routes["GET settings"] = function(emu) return emu.settings end
routes["POST settings"] = function(emu, spec)
  for name, value in pairs(spec) do
    local ok, message = settings.set(emu.settings, name, value)
    if not ok then error(errors.new(400, message)) end
  end
  return emu.settings
end

--- Makes a file as if the service had made it, so that it can be downloaded.
routes["POST files"] = function(emu, spec)
  local bytes = spec.text or base64.decode(spec.data or "") or error(errors.new(400, "data: base64"))
  local path = emu.temporary .. "/made"
  local out = assert(io.open(path, "wb"))
  out:write(bytes)
  out:close()
  local file = emu.files:create({
    path = path, size = #bytes, sha256 = source.sha256_of(bytes), mime_type = spec.mime_type or "text/plain",
    owner = spec.key and exchange.fingerprint(spec.key), id = spec.name and emu.files:check_name(spec.name),
    display_name = spec.display_name, origin = spec.source or "GENERATED",
  })
  emu:save()
  return emu.files:object(file)
end

local function change_file(emu, id, spec)
  local file = emu.files:alive(id)
  if not file then error(errors.new(404)) end
  if spec.state == "PROCESSING" then
    file.state, file.ready = "PROCESSING", emu.clock:now() + (tonumber(spec.seconds) or 1e9)
  elseif spec.state == "ACTIVE" or spec.state == "FAILED" then
    file.state, file.updated = spec.state, emu.clock:now()
    file.reason = spec.state == "FAILED" and (spec.reason or file.reason or "Failed to process the file.") or nil
  elseif spec.state then
    error(errors.new(400, "state: PROCESSING, ACTIVE or FAILED"))
  end
  if spec.expire then file.expires = emu.clock:now() end
  emu:save()
  return spec.expire and {} or emu.files:object(file)
end

--- Puts long strings back into a body.
local function whole(body, value)
  if type(value) == "string" then return intake.text(body, value) end
  for k, v in pairs(type(value) == "table" and value or {}) do value[k] = whole(body, v) end
  return value
end

--- Answers /emulator/...
---@param ex table exchange
---@param emu table
function admin.handle(ex, emu)
  local name = ex.path:match("^/emulator/(.*)$")
  local read = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  local body = whole(read, read.value)
  local id = name:match("^files/([^/]+)$")
  local route = routes[ex.method .. " " .. name]
  if id and ex.method == "POST" then
    ex:answer_json(change_file(emu, id:gsub("^files/", ""), body))
  elseif route then
    ex:answer_json(route(emu, body, ex))
  else
    error(errors.new(404, "The emulator has no " .. ex.method .. " " .. ex.path))
  end
end

return admin
