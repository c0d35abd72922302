--- Requests with contents: what is sent for them, and what has to be uploaded before. A text by itself takes no plan:
--- see direct.lua. What loads on first use: attach and request.

require("lgemini.compat").goes_over_tables()

local direct = require "lgemini.direct"
local errors = require "lgemini.errors"
local question = require "lgemini.question"

local plans = {}

local address, send = direct.address, direct.send

---@class lgemini.Plan  a request with contents, before it is sent
---@field model string
---@field address lgemini.direct.Address
---@field turns table[]
---@field found lgemini.parts.Found
---@field items lgemini.attach.Item[]
---@field instance table  in place of turns, where media is made
---@field place string|nil  what messages call the instance
---@field embed function|nil  for local media in it
---@field body table
---@field due boolean|nil  something has to be uploaded before

-- Fails as `request.emit` does.
local function write_body(client, call, row, args, plan, body)
  local request = require "lgemini.request"
  local tree, err = request.tree(row, {
    model = plan.model,
    contents = plan.turns,
    instance = plan.instance,
    place = plan.place,
    embed = plan.embed,
    config = args.config,
    extra_body = call.options.extra_body,
    vertex = client.vertex,
  })
  if not tree then
    return nil, err
  end
  return request.emit(tree, body)
end

local function make_body(client, call, row, args, plan)
  local body, text = client.core.body.new(), direct.has_only_contents(call, row, args) and question.body(plan.turns)
  local ok, err
  if text then
    ok, err = body:add(text)
    err = err and errors.new(err)
  else
    ok, err = write_body(client, call, row, args, plan, body)
  end
  if not ok then
    return nil, err
  end
  return body
end

local function fit(client, plan)
  local length, limit = plan.body:length(), client.inline_limit
  if length <= limit then
    return false
  end
  return require("lgemini.attach").fit(plan.items, length, limit)
end

local NONE = {}

-- Tables that get members later name them when they are made, so that they have the places.

--- Everything that can be known before anything is sent.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table  model, contents, config
---@param coerce function  contents -> turns, found | nil, err
---@return lgemini.Plan|nil
---@return lgemini.Error|nil err
function plans.make(client, call, row, args, coerce)
  local plan, err = { items = NONE, address = nil, model = nil, turns = nil, found = nil, body = nil, due = nil,
    media_to = args.config and args.config.media_to }
  plan.address, err = address(client, call, row, args.model)
  if not plan.address then
    return nil, err
  end
  plan.model = plan.address.model
  plan.turns, plan.found = coerce(args.contents)
  if not plan.turns then
    return nil, plan.found
  end
  local found = plan.found
  local has_media = next(found.locals) ~= nil or next(found.files) ~= nil
  if has_media then
    plan.items, err = require("lgemini.attach").look(client, found)
    if not plan.items then
      return nil, err
    end
  end
  plan.body, err = make_body(client, call, row, args, plan)
  if not plan.body then
    return nil, err
  end
  local fits
  fits, err = fit(client, plan)
  if fits == nil then
    return nil, err
  end
  plan.due = has_media and require("lgemini.attach").is_due(plan.items, found)
  return plan
end

--- The same for models that make media: an instance stands in place of the contents.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table  model, config
---@param plan table  instance; place, embed
---@return lgemini.Request|nil
---@return lgemini.Error|nil err
function plans.of_instance(client, call, row, args, plan)
  local err
  plan.address, err = address(client, call, row, args.model)
  if not plan.address then
    return nil, err
  end
  plan.model, plan.items = plan.address.model, NONE
  plan.body, err = make_body(client, call, row, args, plan)
  if not plan.body then
    return nil, err
  end
  local fits
  fits, err = fit(client, plan)
  if fits == nil then
    err.hint = "make the image or video smaller, or raise inline_limit of Client{} (the service takes 100 MB)"
    return nil, err
  end
  return plans.request(client, call, row, plan)
end

--- A plan as a request.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param plan lgemini.Plan
---@return lgemini.Request|nil
---@return lgemini.Error|nil err
function plans.request(client, call, row, plan)
  return direct.request(client, call, row, plan.address, plan.body, plan.media_to)
end

--- Uploads what has to be uploaded, then makes the request.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table
---@param plan lgemini.Plan
---@param facts table  gets `uploads`
---@return lgemini.Request|nil
---@return lgemini.Error|nil err
function plans.deliver(client, call, row, args, plan, facts)
  if plan.due then
    local uploads, err = require("lgemini.attach").deliver(call, plan.items, plan.found, args)
    if not uploads then
      return nil, err
    end
    facts.uploads = uploads
    plan.body, err = make_body(client, call, row, args, plan)
    if not plan.body then
      return nil, err
    end
  end
  return plans.request(client, call, row, plan)
end

local function is_of(uploads, name)
  for _, file in ipairs(uploads) do
    if file.name == name then
      return true
    end
  end
  return false
end

-- The contents have changed: the plan anew, in its own table.
local function make_again(client, call, row, args, coerce, plan)
  local fresh, err = plans.make(client, call, row, args, coerce)
  for name, value in pairs(fresh or {}) do
    plan[name] = value
  end
  return fresh and true, err
end

--- For when the service says that a file is gone which was uploaded for this very request, or long before it, or that a
--- chat speaks of (args.renew): the file is uploaded again and the request is sent once more.
---@return fun(err: lgemini.Error): lgemini.Request|nil, lgemini.Error|nil
function plans.healer(client, call, row, args, plan, facts, coerce)
  local healed = false
  return function(err)
    if healed or err.kind ~= "file_expired" or not err.file then
      return nil
    elseif is_of(facts.uploads or {}, err.file) then
      require("lgemini.attach").forget(client, err.file)
    else
      local ok, problem = args.renew and args.renew(call, err.file)
      if ok then
        ok, problem = make_again(client, call, row, args, coerce, plan)
      end
      if not ok then
        return nil, problem
      end
    end
    healed = true
    return plans.deliver(client, call, row, args, plan, facts)
  end
end

--- A whole call, up to its answer.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table
---@param coerce function
---@param facts table  gets `turns`, as they are sent
---@return table|nil
---@return lgemini.Error|nil err
function plans.ask(client, call, row, args, coerce, facts)
  local type_name = client.vertex and row.vertex_answer or row.answer
  local plan, err = plans.make(client, call, row, args, coerce)
  if not plan then
    return nil, err
  end
  facts.turns = plan.turns
  local sent
  sent, err = plans.deliver(client, call, row, args, plan, facts)
  if not sent then
    return nil, err
  end
  local value
  value, err = send(call, sent, type_name, facts)
  if not value then
    local again, problem = plans.healer(client, call, row, args, plan, facts, coerce)(err)
    facts.turns = plan.turns
    if not again then
      return nil, problem or err
    end
    return send(call, again, type_name, facts)
  end
  return value
end

return plans
