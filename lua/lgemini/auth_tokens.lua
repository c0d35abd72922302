--- client.auth_tokens: tokens that live for minutes, for programs that must not have the key (reference section 7.9).

require("lgemini.compat").goes_over_tables()

local endpoints = require "lgemini.endpoints"
local json = require "lgemini.json"
local options = require "lgemini.options"
local request = require "lgemini.request"
local schema = require "lgemini.schema"
local service = require "lgemini.service"

---@class lgemini.AuthTokens
local AuthTokens = { __name = "lgemini.AuthTokens" }
AuthTokens.__index = AuthTokens

local auth_tokens = {}

---@param client lgemini.Client
function auth_tokens.new(client)
  return setmetatable({ client = client }, AuthTokens)
end

local row = endpoints.auth_tokens.create

---@class lgemini.AuthToken
---@field name string  auth_tokens/...: the token itself, a secret; it opens Live sessions and nothing else

-- The setup of the session, with what the wire has in generationConfig there; and the names of what was set.
local function setup_of(constraints, model)
  local place = "config.live_connect_constraints.config"
  local fine, problem = request.wire(constraints.config or {}, "LiveConnectConfig", place)
  if not fine then
    return nil, problem
  end
  local setup, generation, set = {}, {}, model and { "model" } or {}
  local inner = schema.type("LiveGenerationConfig").fields
  for name, value in pairs(constraints.config or {}) do
    local field = inner[name]
    if field then
      generation[name] = value
    else
      setup[name] = value
    end
    set[#set + 1] = (field and "generationConfig." or "") .. schema.camel(name)
  end
  setup.generation_config = next(generation) ~= nil and generation or nil
  local tree, err = request.wire(setup, "LiveSetup", place)
  if tree then
    tree.model = model and json.quote(model)
  end
  return tree, err or set
end

-- No mask locks the whole setup. A list, even an empty one, locks what was set and what it names (section 7.9).
local function mask_of(set, additional)
  if additional == nil then
    return nil
  end
  local names = {}
  for _, name in ipairs(set) do
    names[#names + 1] = name
  end
  local inner = schema.type("LiveGenerationConfig").fields
  for _, name in ipairs(additional) do
    names[#names + 1] = (inner[name] and "generationConfig." or "") .. schema.camel(name)
  end
  table.sort(names)
  return #names > 0 and json.quote(table.concat(names, ",")) or nil
end

local CREATE = { config = service.known_config(row) }

--- Makes a token. Give it to the program that opens the Live session; the key stays here.
---@param args table|nil  config: uses, expire_time, new_session_expire_time (RFC 3339), live_connect_constraints
---  ({ model =, config = } of the session that it may open), lock_additional_fields (names of that config)
---@return lgemini.AuthToken|nil
---@return lgemini.Error|nil err
function AuthTokens:create(args)
  options.check_self(self, AuthTokens, "auth_tokens.create")
  args = options.arguments(args, nil, CREATE, "auth_tokens:create")
  local config = {}
  for name, value in pairs(args.config or {}) do
    config[name] = value
  end
  local constraints = options.table(config.live_connect_constraints, "config.live_connect_constraints")
  local additional = options.table(config.lock_additional_fields, "config.lock_additional_fields")
  for i, name in ipairs(additional or {}) do
    options.string(name, ("config.lock_additional_fields[%d]"):format(i))
  end
  config.live_connect_constraints, config.lock_additional_fields = nil, nil
  local model, err
  if constraints and constraints.model ~= nil then
    model, err = endpoints.name("models", constraints.model, "config.live_connect_constraints.model")
    if not model then
      return nil, err
    end
  end
  return service.ask(self.client, { row = row, args = args, tree = function()
    local tree, problem = service.config(config, row.config)
    if tree and constraints then
      local setup, set = setup_of(constraints, model)
      if not setup then
        return nil, set
      end
      tree.bidiGenerateContentSetup, tree.fieldMask = setup, mask_of(set, additional)
    end
    return tree, problem
  end })
end

return auth_tokens
