--- What a request that failed is for its caller: a failure of the transport, a refusal, an answer that makes no sense.
--- It loads with the first of these.

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local sent_headers = require "lgemini.headers"
local limits = require "lgemini.limits"

local failures = {}

local HINTS = {
  network = "check the network, http_options.base_url, and the proxy: http_options.proxy, else the environment's",
  tls = "where a proxy of a company signs for the server, give its certificate: http_options.ca_file",
  timeout = "http_options.timeout sets the clocks: { connect =, first_byte =, idle =, total = }",
}

-- In libcurl's words, and in OpenSSL's: who is to be asked for another certificate.
local function tls_hint(message)
  if message:find("client certificate", 1, true) or message:find("private key", 1, true) then
    return "http_options.cert_file and key_file are your own certificate and its key, as PEM"
  elseif message:find("setting certificate file", 1, true) then
    return "http_options.ca_file is a file with certificates, as PEM"
  elseif message:find(" alert ", 1, true) then
    return "the server refused: where it wants a certificate of yours, that is http_options.cert_file"
  end
  return HINTS.tls
end

local function hint_of(err)
  if err.kind == "tls" then
    return tls_hint(err.message)
  elseif err.kind == "network" and err.message:find("response 407", 1, true) then -- of a tunnel
    return require("lgemini.refusal").LOG_IN
  end
  return HINTS[err.kind] or limits.hint(err.message)
end

--- What went wrong in the core.
---@param call lgemini.Call
---@param request lgemini.Request
---@param err lgemini.core.Failure
---@return lgemini.Error
function failures.failed(call, request, err)
  return errors.new {
    kind = err.kind,
    message = errors.redact(err.message, sent_headers.secrets(call, request)),
    clock = err.clock,
    hint = hint_of(err),
    attempts = request.attempts,
  }
end

--- What it waits for before it begins would come when its time is over.
---@param event string
---@return lgemini.Error
function failures.too_late(event)
  return errors.new { kind = "timeout", clock = "total", hint = HINTS.timeout,
    message = "total: the time for the whole call would be used up before " .. event }
end

--- What an answer means that is none: by its status, or by the error object in its body.
---@param call lgemini.Call
---@param request lgemini.Request
---@param answer { code: integer|nil, headers: table, body: string|nil, said: any, cut: boolean|nil }
---@param size integer  bytes of the request's body
---@return lgemini.Error
function failures.refused(call, request, answer, size)
  local about = request.about or {}
  local err = require("lgemini.refusal").from_http {
    code = answer.code,
    headers = answer.headers,
    body = answer.body,
    said = answer.said,
    model = about.model,
    file = about.file,
    mime_types = about.takes_media and require("lgemini.media").DOCUMENTED or nil,
    size = size,
    secrets = sent_headers.secrets(call, request),
  }
  err.attempts = request.attempts
  if call.client.pace then
    require("lgemini.rate").refused(call, request, err)
  end
  if answer.cut then
    local words = ("what it says was cut at max_error (%d bytes)"):format(call.client.limits.max_error)
    err.hint = (err.hint and err.hint .. "; " or "") .. words .. "; " .. limits.hint(words)
  end
  return err
end

--- The value of a text that begins with an error of the service and goes on with something else; nil where it does not.
--- Each end of an object or array may be the value's: the text is to be short.
---@param text string
---@return any|nil
function failures.error_before(text)
  for last in text:gmatch "()[%]}]" do
    local value = json.decode(text:sub(1, last))
    if value ~= nil then
      return require("lgemini.answer").error_in(value) ~= nil and value or nil
    end
  end
end

local function start_of(text, most)
  return #text > most and text:sub(1, most) .. "..." or text
end

--- Why an event could not be decoded.
---@param call lgemini.Call
---@param request lgemini.Request
---@param err table        of the decoder
---@param cut string|nil   it was the last of the stream, and nothing says that it is whole: "event", "tail" (bare text:
--- an error of the service as a rule, of which more is shown)
---@return lgemini.Error
function failures.unreadable(call, request, err, cut)
  if err.kind == "limit" then
    return limits.exceeded(err.message)
  elseif err.kind == "io" then
    return errors.new { kind = "io", message = err.message }
  elseif err.kind == "invalid" then
    return require("lgemini.answer").nonsense(err.message)
  end
  local head = errors.redact(err.head, { call.key }) -- before it is cut: half a key is one too many
  local message = ("an event is not JSON (%s): %s"):format(err.message, start_of(head, 100))
  if cut then
    message = "the stream was cut in the middle of an event"
      .. (cut == "tail" and ": " .. start_of(errors.fold(head), 300) or "")
  end
  return errors.new { kind = cut and "incomplete" or "protocol", message = message, attempts = request.attempts }
end

--- Why the body of an answer could not be decoded.
---@param call lgemini.Call
---@param answer lgemini.Answer
---@param problem table  of the decoder
---@return lgemini.Error
function failures.undecoded(call, answer, problem)
  if problem.kind == "limit" then
    return limits.exceeded("the server's answer: " .. problem.message)
  elseif problem.kind == "io" then
    return errors.new { kind = "io", message = problem.message }
  elseif problem.kind == "invalid" then
    return require("lgemini.answer").nonsense(problem.message)
  end
  local html = (answer.headers["content-type"] or ""):find("html", 1, true)
  local what = problem.head == "" and "is empty" or html and "is a web page"
    or "is not JSON: " .. errors.redact(problem.message, { call.key })
  return errors.new {
    kind = "protocol",
    message = "the server's answer " .. what,
    hint = html and "is there a login page or a proxy between here and the service?" or nil,
    code = answer.code ~= 200 and answer.code or nil,
    attempts = answer.attempts,
  }
end

return failures
