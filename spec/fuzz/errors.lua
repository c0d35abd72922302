--- What errors.lua makes of an HTTP answer: it never raises; the error is of the promised types, one line and short;
-- and no secret is in it.
--
-- Input: the HTTP status, perhaps none; lines of headers; an empty line; the body.

local errors = require "lgemini.errors"
local refusal = require "lgemini.refusal"
local answer = require "lgemini.answer"

local KEY = "AIzaFuzz-0123456789_abcdef"
local SECRETS = { KEY, nil, "k3y+with%magic[chars]", "/upload?upload_id=Secret%2f(1)" }

local KINDS = {}
for kind in ([[invalid auth permission not_found conflict precondition too_large rate_limited unavailable http
  file_expired]]):gmatch "%S+" do KINDS[kind] = true end

local MAX_MESSAGE = 2000

local function check_secrets(text, path)
  for _, secret in pairs(SECRETS) do
    assert(not text:find(secret, 1, true), path .. " holds a secret")
  end
  assert(not text:find "AIza[%w_%-]", path .. " holds what looks like a key")
end

local function no_secrets(value, path)
  if type(value) == "string" then
    check_secrets(value, path)
  elseif type(value) == "table" then
    for key, member in pairs(value) do
      no_secrets(key, path .. " (a name)")
      no_secrets(member, path .. "." .. tostring(key))
    end
  end
end

local function is(value, kind, name)
  assert(value == nil or type(value) == kind, name .. " is a " .. type(value))
end

local function is_line(text)
  assert(not text:find "%c", "control characters")
end

local function check_error(err)
  assert(errors.is(err) and KINDS[err.kind], tostring(err.kind))
  assert(err.message ~= "", "no message")
  assert(#err.message <= MAX_MESSAGE, "a long message")
  assert(type(err.retryable) == "boolean")
  is(err.hint, "string", "hint")
  is(err.code, "number", "code")
  is(err.status, "string", "status")
  is(err.details, "table", "details")
  is(err.request_id, "string", "request_id")
  is(err.file, "string", "file")
  is(err.retry_after, "number", "retry_after")
  assert(err.code == nil or err.code % 1 == 0, "code is no whole number")
  assert(err.retry_after == nil or (err.retry_after >= 0 and err.retry_after < 1e12))
  assert(err.quota == nil or err.quota == "minute" or err.quota == "day")
  is_line(err.message)
  is_line(tostring(err))
  no_secrets(err, "err")
  no_secrets(tostring(err), "tostring(err)")
end

-- The status of an operation that failed.
local function check_status(body)
  local status = answer.decode(body, "Status")
  if not answer.checked(status) then return end
  local err = refusal.from_status(status)
  assert(errors.is(err) and KINDS[err.kind] and #err.message <= MAX_MESSAGE)
  is_line(tostring(err))
end

local function run(input)
  local head, body = input:match "^(.-)\n\n(.*)$"
  head, body = head or "", body or input
  local headers = {}
  for name, value in head:gmatch "([%w%-]+):[ \t]*([^\r\n]*)" do headers[name:lower()] = value end
  local code = tonumber(head:match "^%d%d?%d?%f[%D]")
  check_error(refusal.from_http { code = code, headers = headers, body = body, secrets = SECRETS, now = 1e9,
    model = "models/gemini-x", size = 12345678, mime_types = { "audio/wav", "image/png" } })
  check_error(refusal.from_http { code = code, headers = headers, body = body, secrets = SECRETS, now = 1e9,
    file = "files/abc-123" })
  check_status(body)
end

local names = {}
for name in ([[error code message status details @type retryDelay violations quotaId quotaMetric reason domain metadata
  requestId error_description]]):gmatch "%S+" do names[#names + 1] = ('"%s"'):format(name) end

return run, names
