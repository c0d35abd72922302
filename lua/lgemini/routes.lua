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

local function close(address)
  if address.route then
    address.route:close()
    address.route = nil
  end
end

-- A route for the next requests to an address, which closes it.
local function new_route(address, call, request, key, bulk)
  close(address)
  local route = call.client.core.exchange.route(route_fields(call, request, key, bulk))
  address.route, address.key, address.decodes, address.bulk = route, key, request.decodes, bulk
  return route
end

--- Few will ask there again: lets go of what was kept for the next request, and keeps nothing more.
---@param address lgemini.Address
function routes.forget(address)
  close(address)
  address.forgotten = true
end

--- A new exchange, from the places where they come from: a recording, or the core. A recording and who watches want to
--- know the fields.
---@param call lgemini.Call
---@param request lgemini.Request
---@param key string|nil
---@param bulk boolean|nil  it goes over HTTP/1.1
---@return table|nil exchange
---@return lgemini.Error|lgemini.core.Failure|nil err
function routes.exchange(call, request, key, bulk)
  local client = call.client
  local tape, watch, address, new = client.tape, client.watch, request.address, client.core.exchange.new
  if address and not (tape or watch or address.forgotten) then
    local route = address.route -- its requests differ in their bodies only
    if not (route and address.key == key and address.decodes == request.decodes and address.bulk == bulk) then
      route = new_route(address, call, request, key, bulk)
    end
    return new(route, request.body, call.deadline)
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
