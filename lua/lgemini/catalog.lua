--- What models there are, for client.models: loaded on first use.

local endpoints = require "lgemini.endpoints"
local http = require "lgemini.http"
local options = require "lgemini.options"
local schema = require "lgemini.schema"
local service = require "lgemini.service"

local catalog = {}

local rows = endpoints.models

local GET = { model = true, config = options.CONFIG, name = "model" }
local UPDATE = { model = true, config = service.known_config(rows.update), name = "model" }

-- Vertex AI has another name for it.
local function shown(model)
  model.version = model.version or model.version_id
  return model
end

function catalog.get(client, args)
  args = options.arguments(args, "model", GET, "models:get")
  local call, err = client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local path
  path, err = endpoints.path(rows.get, args, client.vertex)
  if not path then
    return nil, err
  end
  local model
  model, err = http.ask(call, { verb = "GET", url = client:url(call.options, rows.get, path, ""),
    about = { model = path:gsub("^models/", "") } }, rows.get.answer)
  return model and shown(model), err
end

function catalog.update(client, args)
  args = options.arguments(args, nil, UPDATE, "models:update")
  return service.ask(client, { row = rows.update, args = args,
    tree = function() return service.config(args.config, rows.update.request) end })
end

function catalog.delete(client, args)
  args = options.arguments(args, "model", GET, "models:delete")
  return service.ask(client, { row = rows.delete, args = args })
end

function catalog.list(client, args)
  local known = { config = schema.known(rows.list.config) }
  known.config.http_options = options.HTTP
  known.config.page_token = true
  args = options.arguments(args, nil, known, "models:list")
  local tuned = args.config and args.config.query_base == false
  return require("lgemini.pager").new(client, tuned and rows.list_tuned or rows.list, args, shown)
end

return catalog
