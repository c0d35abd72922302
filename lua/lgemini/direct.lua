--- The direct way of a request with contents: its address, and what most programs ask, a text by itself, which takes no
--- plan. All others go by plan.lua, which loads with the first of them.

local endpoints = require "lgemini.endpoints"
local http = require "lgemini.http"
local question = require "lgemini.question"

local direct = {}

local JSON = { ["Content-Type"] = require("lgemini.headers").JSON }

---@class lgemini.direct.Address: lgemini.Address  where a call goes
---@field given any  the model as the caller named it
---@field options table  of the call
---@field model string  its full name
---@field url string|nil  once it was asked for
---@field about table  for hints of errors

--- Where a call goes. Most calls of a program differ in their contents only: the last address of each row is kept. A
--- model that is a table may be another one tomorrow.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param given any  the model
---@return lgemini.direct.Address|nil
---@return lgemini.Error|nil err
function direct.address(client, call, row, given)
  local last = client.addresses[row]
  local known = last and last.options == call.options
  if known and last.given == given and type(given) == "string" then
    return last
  end
  local model, err = endpoints.name("models", given, "model", client.vertex)
  if not model then
    return nil, err
  elseif known and last.model == model then
    return last
  elseif last then
    http.forget(last)
  end
  local made = { given = given, options = call.options, model = model,
    about = { model = model:gsub("^models/", ""), takes_media = true } }
  client.addresses[row] = made
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

--- Whether the contents are all that a question has.
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table
---@return boolean
function direct.has_only_contents(call, row, args)
  return row.body == "generate" and args.config == nil and call.options.extra_body == nil
end

---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param found lgemini.direct.Address
---@param body table|string
---@param media_to any  of the config
---@return lgemini.Request|nil
---@return lgemini.Error|nil err
function direct.request(client, call, row, found, body, media_to)
  if not found.url then
    local url, err = url_of(client, call, row, found)
    if not url then
      return nil, err
    end
  end
  return {
    verb = row.verb,
    url = found.url,
    address = found,
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

--- parts.contents, which a text by itself does without.
---@param value any
---@return table[]? turns
---@return lgemini.parts.Found|lgemini.Error
function direct.contents(value)
  return require("lgemini.parts").contents(value)
end

--- What most programs ask, a text by itself, as a request without a plan: nothing is to be uploaded for it, and nobody
--- asks for its turns, as chats do, and questions with functions. nil for all others, and where something is wrong.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table
---@param coerce function
---@return lgemini.Request|nil
function direct.question(client, call, row, args, coerce)
  local text = coerce == direct.contents and direct.has_only_contents(call, row, args) and question.text(args.contents)
  local found = text and #text <= client.inline_limit and direct.address(client, call, row, args.model)
  return found and direct.request(client, call, row, found, text) or nil
end

--- The answer to a request that is not a stream.
---@param call lgemini.Call
---@param sent lgemini.Request
---@param type_name string
---@param facts table  gets what http.note_transport notes
---@return table|nil
---@return lgemini.Error|nil err
function direct.send(call, sent, type_name, facts)
  local value, err, got = http.ask(call, sent, type_name)
  if not value then
    return nil, err
  end
  facts.exchange, facts.attempts, facts.request_id = got.exchange, got.attempts, got.request_id
  return value
end

--- A whole call, up to its answer.
---@param client lgemini.Client
---@param call lgemini.Call
---@param row lgemini.endpoints.Row
---@param args table
---@param coerce function  contents -> turns, found | nil, err
---@param facts table  gets `turns`, as they are sent, where there was a plan
---@return table|nil
---@return lgemini.Error|nil err
function direct.ask(client, call, row, args, coerce, facts)
  local asked = direct.question(client, call, row, args, coerce)
  if asked then
    return direct.send(call, asked, client.vertex and row.vertex_answer or row.answer, facts)
  end
  return require("lgemini.plan").ask(client, call, row, args, coerce, facts)
end

return direct
