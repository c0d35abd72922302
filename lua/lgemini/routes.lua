--- Where requests go and in which bounds: the exchange for one.

local sent_headers = require "lgemini.headers"

local routes = {}

-- What an exchange gets by the options, the URL and the kind of request: all but its body and its deadline.
local function route_fields(call, request, key, bulk)
  local client, options = call.client, call.options
  local ceilings = client.limits
  return {
    url = request.url,
    method = request.verb,
    headers = sent_headers.lines(call, request, key),
    proxy = options.proxy or (client:is_loopback(request.url) and "" or nil),
    ca_file = options.ca_file,
    ca_path = options.ca_path,
    cert_file = not request.foreign and options.cert_file or nil,
    key_file = not request.foreign and options.key_file or nil,
    compressed = not request.raw,
    http1 = bulk,
    tell_data = request.raw or request.decodes,
    connect = options.timeout.connect,
    first_byte = options.timeout.first_byte,
    idle = options.timeout.idle,
    max_head = ceilings.max_head,
    max_answer = ceilings.max_answer,
    max_error = ceilings.max_error,
    room = request.raw and (bulk and ceilings.max_unread or ceilings.unread_stream) or nil,
  }
end

-- The same with what is of this request alone.
local function all_fields(call, request, key, bulk)
  local fields, body = route_fields(call, request, key, bulk), request.body
  fields.body = type(body) == "string" and call.client.core.body.of(body) or body
  fields.offset, fields.length = request.offset, request.length
  fields.hash, fields.hash_offset = request.hash, request.hash_offset
  fields.deadline = call.deadline
  return fields
end

-- Most requests of a program differ in their bodies only: the last route serves the next one. It is the client's, which
-- closes it.
local function route_for(call, request, key, bulk)
  local client = call.client
  local last = client.last_route
  if last and last.options == call.options and last.url == request.url and last.verb == request.verb
    and last.headers == request.headers and last.key == key and last.has_body == (request.body ~= nil)
    and last.raw == request.raw and last.decodes == request.decodes and last.bulk == bulk
    and last.foreign == request.foreign then
    return last.route
  end
  local route = client.core.exchange.route(route_fields(call, request, key, bulk))
  if last then
    last.route:close()
  end
  client.last_route = { route = route, options = call.options, url = request.url, verb = request.verb,
    headers = request.headers, key = key, has_body = request.body ~= nil, raw = request.raw,
    decodes = request.decodes, bulk = bulk, foreign = request.foreign }
  return route
end

--- Lets go of what was kept for the client's next request.
---@param client lgemini.Client
function routes.forget(client)
  if client.last_route then
    client.last_route.route:close()
    client.last_route = false
  end
end

--- A new exchange, from the places where they come from: a recording, or the core. A recording and who watches want to
--- know the fields; a secret URL is not kept.
---@param call lgemini.Call
---@param request lgemini.Request
---@param key string|nil
---@param bulk boolean|nil  it goes over HTTP/1.1
---@return table|nil exchange
---@return lgemini.Error|lgemini.core.Failure|nil err
function routes.exchange(call, request, key, bulk)
  local client = call.client
  local tape, watch, new = client.tape, client.watch, client.core.exchange.new
  if not (tape or watch or request.no_key) then
    return new(route_for(call, request, key, bulk), request.body, call.deadline, request.offset, request.length,
      request.hash, request.hash_offset)
  end
  local fields = all_fields(call, request, key, bulk)
  if watch then
    watch:request(call, request, fields)
  end
  local refusal = client.tasks:refusal() -- a hook may have closed the client
  if refusal then
    return nil, refusal
  elseif tape then
    return tape:exchange(call, request, fields, new)
  end
  return new(fields)
end

return routes
