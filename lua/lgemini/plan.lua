--- Requests with contents: what is sent for them, and what has to be uploaded before. What loads on first use: attach,
--- and request, which most questions do without.

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local options = require "lgemini.options"
local question = require "lgemini.question"

local plans = {}

local JSON = { ["Content-Type"] = "application/json" }

---@class lgemini.Plan  a request with contents, before it is sent
---@field model string
---@field address lgemini.plans.Address
---@field turns table[]
---@field found lgemini.parts.Found
---@field items lgemini.attach.Item[]
---@field instance table  in place of turns, where media is made
---@field place string|nil  what messages call the instance
---@field embed function|nil  for local media in it
---@field body table
---@field due boolean|nil  something has to be uploaded before

---@class lgemini.plans.Address  where a call goes
---@field given any  the model as the caller named it
---@field options table  of the call
---@field model string  its full name
---@field url string|nil  once it was asked for
---@field about table  for hints of errors

-- Most calls of a program differ in their contents only: the last address of each row is kept.
local function address(client, call, row, given)
  local last = client.addresses[row]
  if last and last.given == given and last.options == call.options then
    return last
  end
  local model, err = endpoints.name("models", given, "model", client.vertex)
  if not model then
    return nil, err
  end
  local made = { given = given, options = call.options, model = model,
    about = { model = model:gsub("^models/", ""), takes_media = true } }
  if type(given) == "string" then -- a table may be another one tomorrow
    client.addresses[row] = made
  end
  return made
end

local function url_of(client, call, row, found)
  local path, err = endpoints.path(row, { model = found.model }, client.vertex)
  if not path then
    return nil, err
  end
  local query
  query, err = endpoints.query(row)
  if not query then
    return nil, err
  end
  found.url = client:url(call.options, row, path, query)
  return found.url
end

local function has_only_contents(call, row, args)
  return row.body == "generate" and args.config == nil and call.options.extra_body == nil
end

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
  local body, text = client.core.body.new(), has_only_contents(call, row, args) and question.body(plan.turns)
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

--- parts.contents, which a text by itself does without.
---@param value any
---@return table[]? turns
---@return lgemini.parts.Found|lgemini.Error
function plans.contents(value)
  return require("lgemini.parts").contents(value)
end

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

local function request_of(client, call, row, found, body, media_to)
  if not found.url then
    local url, err = url_of(client, call, row, found)
    if not url then
      return nil, err
    end
  end
  return {
    verb = row.verb,
    url = found.url,
    headers = JSON,
    body = body,
    raw = row.stream,
    starts = row.starts,
    about = found.about,
    attempts = nil,
    sent = nil,
    media_to = media_to,
  }
end

--- A plan as a request.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param plan lgemini.Plan
---@return lgemini.Request|nil
---@return lgemini.Error|nil err
function plans.request(client, call, row, plan)
  return request_of(client, call, row, plan.address, plan.body, plan.media_to)
end

--- What most programs ask, a text by itself, as a request without a plan: nothing is to be uploaded for it, and nobody
--- asks for its turns, as chats do, and questions with functions. nil for all others, and where something is wrong.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table
---@param coerce function
---@return lgemini.Request|nil
function plans.question(client, call, row, args, coerce)
  local text = coerce == plans.contents and has_only_contents(call, row, args) and question.text(args.contents)
  local found = text and #text <= client.inline_limit and address(client, call, row, args.model)
  local body = found and client.core.body.of(text)
  return body and request_of(client, call, row, found, body) or nil
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

--- The answer to a request that is not a stream.
---@param call lgemini.Call
---@param sent lgemini.Request
---@param type_name string
---@param facts table  gets `transport`
---@return table|nil
---@return lgemini.Error|nil err
function plans.send(call, sent, type_name, facts)
  local value, err, got = http.ask(call, sent, type_name)
  if not value then
    return nil, err
  end
  facts.transport = got.transport
  return value
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
  local asked = plans.question(client, call, row, args, coerce)
  if asked then
    return plans.send(call, asked, type_name, facts)
  end
  local plan, err = plans.make(client, call, row, args, coerce)
  if not plan then
    return nil, err
  end
  facts.turns = plan.turns
  if plan.due and not call.options.timeout.total then
    call.deadline = nil -- uploads are guarded by the idle clock
  end
  local sent
  sent, err = plans.deliver(client, call, row, args, plan, facts)
  if not sent then
    return nil, err
  end
  if plan.due and not call.options.timeout.total then
    call.deadline = client.tasks.now() + options.TOTAL
  end
  local value
  value, err = plans.send(call, sent, type_name, facts)
  if not value then
    local again, problem = plans.healer(client, call, row, args, plan, facts, coerce)(err)
    facts.turns = plan.turns
    if not again then
      return nil, problem or err
    end
    return plans.send(call, again, type_name, facts)
  end
  return value
end

return plans
