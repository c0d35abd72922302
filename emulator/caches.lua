-- Context caches: contents that are counted once and lie ready until they expire.

local check = require "check"
local clock = require "clock"
local content = require "content"
local errors = require "errors"
local intake = require "intake"
local models = require "models"
local store = require "store"

local caches = {}
caches.__index = caches

local DEFAULT = 3600 -- seconds

local function missing()
  return errors.new(403, "CachedContent not found (or permission denied)")
end

---@param emu table the emulator's parts: clock, settings
---@return table caches
function caches.new(emu)
  return setmetatable({ emu = emu, store = store.new("cachedContents/", missing) }, caches)
end

local function seconds_of(stamp)
  local year, month, day, hour, min, sec = stamp:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d%.]+)Z$")
  if not year then
    error(errors.bad_request(("Invalid value at 'cached_content.expire_time' (type.googleapis.com/google.protobuf."
      .. "Timestamp), \"%s\""):format(stamp), "cached_content.expire_time"))
  end
  local now = os.time()
  local utc = os.time(os.date("!*t", now))
  return os.time({ year = year, month = month, day = day, hour = hour, min = min, sec = math.floor(sec) })
    + os.difftime(now, utc)
end

-- When a cache is to expire; nil when the request does not say.
local function expiry(self, request)
  local now = self.emu.clock:now()
  if request.ttl and request.expireTime then
    error(errors.new(400, "Only one of ttl and expire_time may be set."))
  elseif request.ttl and request.ttl <= 0 then
    error(errors.bad_request("* CachedContent.ttl: must be positive.", "cached_content.ttl"))
  end
  local at = request.ttl and now + request.ttl or request.expireTime and seconds_of(request.expireTime)
  if at and at <= now then
    error(errors.bad_request("* CachedContent.expire_time: must be in the future.", "cached_content.expire_time"))
  end
  return at
end

local function show(cache)
  return { name = cache.name, model = cache.model, displayName = cache.display_name,
    createTime = clock.stamp(cache.created), updateTime = clock.stamp(cache.updated),
    expireTime = clock.stamp(cache.expires), usageMetadata = { totalTokenCount = cache.tokens } }
end

--- POST cachedContents
---@param ex table exchange
---@param version string
function caches:create(ex, version)
  local emu = self.emu
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "CachedContent")
  local model = (request.model or ""):match("^models/(.+)$")
  if not model then
    error(errors.bad_request("* CachedContent.model: model is required.", "cached_content.model"))
  end
  models.find(model, "createCachedContent", version)
  local at = expiry(self, request)
  local call = { ex = ex, emu = emu, body = body, model = model, request = request }
  if not request.contents and request.systemInstruction then
    call.request = { contents = { request.systemInstruction } }
  end
  local items, counts = content.read(call)
  local tokens = 0
  for _, n in pairs(counts) do tokens = tokens + n end
  if tokens < emu.settings.cache_minimum then
    error(errors.new(400, ("Cached content is too small. total_token_count=%d, min_total_token_count=%d")
      :format(tokens, emu.settings.cache_minimum)))
  end
  ex.note({ model = model, parts = content.summary(items) })
  local now = emu.clock:now()
  local cache = self.store:add({ model = request.model, display_name = request.displayName, created = now,
    updated = now, expires = at or now + DEFAULT, tokens = tokens, counts = counts }, ex.owner)
  function cache.expired() return emu.clock:now() >= cache.expires end
  ex:answer_json(show(cache))
end

function caches:get(ex, id)
  ex:answer_json(show(self.store:find("cachedContents/" .. id, ex.owner)))
end

--- PATCH cachedContents/{id}: how long it lives
function caches:update(ex, id)
  local cache = self.store:find("cachedContents/" .. id, ex.owner)
  local body = intake.read(ex, self.emu.temporary, self.emu.settings.inline_limit)
  ex.note_body(body)
  local request = check.message(body.value, "CachedContent")
  for name in pairs(request) do
    if name ~= "ttl" and name ~= "expireTime" and name ~= "name" then
      error(errors.new(400, "Only ttl and expire_time of a cached content can be updated."))
    end
  end
  cache.expires = expiry(self, request) or cache.expires
  cache.updated = self.emu.clock:now()
  ex:answer_json(show(cache))
end

function caches:delete(ex, id)
  self.store:remove(self.store:find("cachedContents/" .. id, ex.owner))
  ex:answer_json({})
end

function caches:list(ex)
  local page, token = self.store:page(ex, show, 1000)
  ex:answer_json({ cachedContents = page, nextPageToken = token })
end

--- The cache that a request to generate names; raises what the service says of one that does not fit.
---@param request table checked
---@param model string without models/
---@param owner string
---@return table? cache
function caches:of(request, model, owner)
  local name = request.cachedContent
  if not name or name == "" then return nil end
  local cache = self.store:find(name, owner)
  if cache.model ~= "models/" .. model then
    error(errors.new(400, ("Model used by GenerateContent request (models/%s) and CachedContent (%s) has to be the "
      .. "same."):format(model, cache.model)))
  end
  if request.systemInstruction or request.tools or request.toolConfig then
    error(errors.new(400, "CachedContent can not be used with GenerateContent request setting system_instruction, "
      .. "tools or tool_config. Proposed fix: move those values to CachedContent from GenerateContent request."))
  end
  return cache
end

return caches
