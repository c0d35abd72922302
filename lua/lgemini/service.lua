--- What services share: the call of a row of endpoints.lua, from its arguments to what came. Local media in it is sent
--- inline or uploaded first, as in generate_content.

require("lgemini.compat").goes_over_tables()

local attach = require "lgemini.attach"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local options = require "lgemini.options"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

local JSON = require("lgemini.headers").JSON

local service = {}

---@class lgemini.service.Plan  a call before it is sent
---@field row lgemini.endpoints.Row
---@field args table  what the row's path wants; config; on_progress and reuse, where there may be local media
---@field tree nil|fun(): table|nil, lgemini.Error|nil  the body; asked for again when media was uploaded
---@field found lgemini.parts.Found|nil  local media in the body
---@field headers table<string, string>|nil
---@field secret string|nil  in these headers, to be kept out of errors
---@field about table|nil  for hints of errors

--- The names that the config of a row knows, those of http_options included.
---@param row lgemini.endpoints.Row
---@return table<string, true|table>
function service.known_config(row)
  local known = schema.known(row.config or "Empty")
  known.http_options = options.HTTP
  return known
end

--- The arguments of a call whose only required one is a name; an object from the wire may stand for it.
---@param given any
---@param main string  the name of that argument
---@param known lgemini.Known
---@param name string  of the method, for messages
---@param mark string|nil  type of such objects
---@return table
function service.arguments(given, main, known, name, mark)
  if mark and schema.is(given, mark) then
    given = { [main] = given }
  end
  return options.arguments(given, main, known, name)
end

-- Bodies ---------------------------------------------------------------------------------------

local function body_of(call, plan)
  local tree, err = plan.tree()
  if not tree then
    return nil, err
  end
  local ok = true
  if call.options.extra_body then
    ok, err = request.merge(tree, call.options.extra_body)
  end
  local body = call.client.core.body.new()
  if ok then
    ok, err = request.emit(tree, body)
  end
  return ok and body or nil, err
end

-- The body after local media was looked at and, where it must be, uploaded.
local function body_with_media(call, plan)
  local client, found = call.client, plan.found
  local items, err = attach.look(client, found)
  if not items then
    return nil, err
  end
  local body
  body, err = body_of(call, plan)
  if not body then
    return nil, err
  end
  local fits
  fits, err = attach.fit(items, body:length(), client.inline_limit)
  if fits == nil then
    return nil, err
  elseif not attach.is_due(items, found) then
    return body
  end
  local uploads
  uploads, err = attach.deliver(call, items, found, plan.args)
  if not uploads then
    return nil, err
  end
  return body_of(call, plan)
end

-- Calls ----------------------------------------------------------------------------------------

--- A plan as a request.
---@param call lgemini.Call
---@param plan lgemini.service.Plan
---@return lgemini.Request|nil
---@return lgemini.Error|nil err
function service.request(call, plan)
  local row, args = plan.row, plan.args
  local path, err = endpoints.path(row, args, call.client.vertex)
  if not path then
    return nil, err
  end
  local query
  query, err = endpoints.query(row, args.config)
  if not query then
    return nil, err
  end
  local sent = { verb = row.verb, url = call.client:url(call.options, row, path, query), headers = plan.headers or {},
    starts = row.starts, secret = plan.secret, about = plan.about }
  if plan.tree then
    sent.headers["Content-Type"] = JSON
    sent.body, err = (plan.found and body_with_media or body_of)(call, plan)
    if not sent.body then
      return nil, err
    end
  end
  return sent
end

--- Makes the call: what came, as the row's answer; true where the row has none.
---@param client lgemini.Client
---@param plan lgemini.service.Plan
---@return table|true|nil
---@return lgemini.Error|nil err
function service.ask(client, plan)
  local call, err = client:call(plan.args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local sent
  sent, err = service.request(call, plan)
  if not sent then
    return nil, err
  end
  if not plan.row.answer then
    local got
    got, err = http.send(call, sent)
    return got and true, err
  end
  local value
  value, err = http.ask(call, sent, client.vertex and plan.row.vertex_answer or plan.row.answer)
  return value, err
end

--- A config as a tree, without http_options.
---@param config table|nil
---@param type_name string
---@param vertex any  true where it goes to Vertex AI
---@return table|nil tree
---@return lgemini.Error|nil err
function service.config(config, type_name, vertex)
  local given = {}
  for name, value in pairs(config or {}) do
    if name ~= "http_options" then
      given[name] = value
    end
  end
  return request.wire(given, type_name, "config", nil, vertex)
end

local function auth(message, ...)
  return nil, errors.new { kind = "auth", message = message:format(...) }
end

--- A token of OAuth: text, or what a function gives.
---@param given any
---@param name string  of the argument
---@return string|nil token
---@return lgemini.Error|nil err  kind "auth"
---@return number|nil seconds  how long it lives, where the function says so
function service.token(given, name)
  local token, seconds = given, nil
  if type(given) == "function" then
    local ok
    ok, token, seconds = pcall(given)
    if not ok then
      return auth("%s, the function, failed: %s", name, errors.redact(tostring(token)))
    elseif token == nil then
      return auth("%s, the function, gave no token%s", name,
        seconds and ": " .. errors.redact(tostring(seconds)) or "")
    end
  end
  if type(token) ~= "string" or token == "" or token:find "[^\33-\126]" then
    return auth("%s: a token of OAuth is needed, as text or as a function that gives it", name)
  end
  return token, nil, type(seconds) == "number" and seconds or nil
end

return service
