--- client.caches: contents that are sent once and asked about often (reference section 7.1).

require("lgemini.compat").goes_over_tables()

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local options = require "lgemini.options"
local pager = require "lgemini.pager"
local parts = require "lgemini.parts"
local service = require "lgemini.service"

---@class lgemini.Caches
local Caches = { __name = "lgemini.Caches" }
Caches.__index = Caches

local caches = {}

---@param client lgemini.Client
function caches.new(client)
  return setmetatable({ client = client }, Caches)
end

local rows = endpoints.caches

---@class lgemini.CachedContent  what is in it, the service never gives back
---@field name string  cachedContents/...: what config.cached_content takes
---@field model string
---@field display_name string?
---@field create_time string?
---@field update_time string?
---@field expire_time string?
---@field usage_metadata lgemini.UsageMetadata?

local function invalid(message)
  return nil, errors.new { kind = "invalid", message = message }
end

-- `ttl` may be a number of seconds.
local function written(config)
  local copy = {}
  for name, value in pairs(config or {}) do
    copy[name] = value
  end
  local ttl, at = copy.ttl, copy.expire_time
  if ttl ~= nil and at ~= nil then
    return invalid "config has both ttl and expire_time: give one of them"
  elseif type(ttl) == "number" then
    if not (ttl > 0 and ttl < math.huge) then
      return invalid("config.ttl: more than 0 seconds expected, got " .. tostring(ttl))
    end
    copy.ttl = json.number(ttl) .. "s"
  elseif type(ttl) == "string" and not ttl:find "^%d+%.?%d*s$" then
    return invalid(('config.ttl: seconds expected, as a number or as text like "3600s", got %q')
      :format(ttl:sub(1, 100)))
  end
  return copy
end

local CREATE = { model = true, on_progress = true, reuse = true, config = service.known_config(rows.create),
  contents = "config.contents", ttl = "config.ttl", file = "config.contents = { { file = ... } }" }

--- Puts contents into a cache. Local media in them is sent as generate_content sends it.
---@param args table  model; config: contents, system_instruction, tools, tool_config, display_name, and ttl (seconds,
---  or text like "3600s") or expire_time (RFC 3339, or a number as os.time() gives it); the service's default is one
---  hour; on_progress, reuse as for generate_content
---@return lgemini.CachedContent|nil
---@return lgemini.Error|nil err
function Caches:create(args)
  options.check_self(self, Caches, "caches.create")
  args = options.arguments(args, nil, CREATE, "caches:create")
  options.callback(args.on_progress, "on_progress")
  options.boolean(args.reuse, "reuse")
  local model, err = endpoints.name("models", args.model, "model", self.client.vertex)
  if not model then
    return nil, err
  end
  local config
  config, err = written(args.config)
  if not config then
    return nil, err
  end
  local turns, found = nil, { locals = {}, files = {} }
  if config.contents ~= nil then
    turns, found = parts.contents(config.contents, "config.contents")
    if not turns then
      return nil, found
    end
  end
  config.contents = turns
  return service.ask(self.client, {
    row = rows.create,
    args = args,
    found = found,
    about = { model = model:gsub("^models/", "") },
    tree = function()
      local tree, problem = service.config(config, rows.create.config, self.client.vertex)
      if tree then
        tree.model = json.quote(self.client:full_name(model))
        tree.encryptionSpec, tree.kmsKeyName = tree.kmsKeyName and { kmsKeyName = tree.kmsKeyName }, nil
      end
      return tree, problem
    end,
  })
end

local NAMED = { name = true, config = options.CONFIG }

--- A cache as it is now.
---@param args string|table  its name; or name (a cache may stand for it), config
---@return lgemini.CachedContent|nil
---@return lgemini.Error|nil err
function Caches:get(args)
  options.check_self(self, Caches, "caches.get")
  args = service.arguments(args, "name", NAMED, "caches:get", "CachedContent")
  return service.ask(self.client, { row = rows.get, args = args })
end

local UPDATE = { name = true, config = service.known_config(rows.update), ttl = "config.ttl" }

--- Changes how long a cache lives, which is all that can be changed.
---@param args table  name; config: ttl or expire_time
---@return lgemini.CachedContent|nil
---@return lgemini.Error|nil err
function Caches:update(args)
  options.check_self(self, Caches, "caches.update")
  args = options.arguments(args, nil, UPDATE, "caches:update")
  local config, err = written(args.config)
  if not config then
    return nil, err
  elseif config.ttl == nil and config.expire_time == nil then
    return invalid "caches:update: config.ttl or config.expire_time is needed"
  end
  return service.ask(self.client, { row = rows.update, args = args,
    tree = function() return service.config(config, rows.update.config) end })
end

--- Deletes a cache before it expires.
---@param args string|table  its name; or name, config
---@return true|nil
---@return lgemini.Error|nil err
function Caches:delete(args)
  options.check_self(self, Caches, "caches.delete")
  args = service.arguments(args, "name", NAMED, "caches:delete", "CachedContent")
  return service.ask(self.client, { row = rows.delete, args = args })
end

--- An iterator over all caches: `for cache in client.caches:list{} do`.
---@param args table|nil  config: page_size
---@return lgemini.Pager
function Caches:list(args)
  options.check_self(self, Caches, "caches.list")
  args = options.arguments(args, nil, pager.KNOWN, "caches:list")
  return pager.new(self.client, rows.list, args)
end

return caches
