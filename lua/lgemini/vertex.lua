--- Vertex AI: the same models behind another door. Which one, with which project and location, and the tokens that open
--- it (reference sections 1.1 and 1.2).

local errors = require "lgemini.errors"
local http = require "lgemini.http"
local inside = require "lgemini.inside"
local json = require "lgemini.json"
local options = require "lgemini.options"

local vertex = {}

local SCOPE = "https://www.googleapis.com/auth/cloud-platform"
local TOKEN_URI = "https://oauth2.googleapis.com/token"
local GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

local LIFETIME = 3600   -- seconds that a token is asked for
local EARLY = 60        -- seconds before its end at which it is not used any more
local MAX_FILE = 64 * 1024 -- bytes of a service-account file

---@class lgemini.Vertex
---@field project string|nil   nil in express mode: then the API key opens the door
---@field location string|nil
---@field base_url string
---@field token string|nil     the one that is kept; nil: it is asked for each time
---@field expires number|nil   when it is not used any more, on the clock of the core
---@field gone string|nil      the last one that the service did not take
---@field asking table|nil     the request for one that is in flight, and who waits for it

local function problem(kind, message, hint)
  return nil, errors.new { kind = kind, message = message, hint = hint }
end

-- Which door -----------------------------------------------------------------------------------

local function host_of(location)
  if location == nil or location == "global" then
    return "https://aiplatform.googleapis.com"
  elseif location == "us" or location == "eu" then
    return ("https://aiplatform.%s.rep.googleapis.com"):format(location)
  end
  return ("https://%s-aiplatform.googleapis.com"):format(location)
end

local OURS = { "project", "location", "access_token", "credentials" }

-- Whether the program, or else the environment, wants Vertex AI.
local function is_wanted(given, getenv)
  if given.vertexai ~= nil then
    return given.vertexai
  end
  local value = getenv "GOOGLE_GENAI_USE_ENTERPRISE" or getenv "GOOGLE_GENAI_USE_VERTEXAI"
  value = value and value:lower()
  return value == "true" or value == "1"
end

local function check_types(given)
  options.boolean(given.vertexai, "vertexai")
  options.string(given.project, "project")
  options.string(given.location, "location")
  if type(given.access_token) ~= "function" then
    options.string(given.access_token, "access_token")
  end
  if type(given.credentials) ~= "table" then
    options.string(given.credentials, "credentials")
  end
end

local function is_name(text)
  return text == nil or (text ~= "" and not text:find "[^%w%-:%.]")
end

--- What the options of a client say of Vertex AI; nil for the Gemini API.
---@param given table  options of the client
---@param getenv fun(name: string): string|nil
---@return lgemini.Vertex|nil
---@return lgemini.Error|nil err
function vertex.new(given, getenv)
  check_types(given)
  if not is_wanted(given, getenv) then
    for _, name in ipairs(OURS) do
      if given[name] ~= nil then
        return problem("invalid", name .. " goes with Vertex AI only", "Client{ vertexai = true, ... }")
      end
    end
    return nil
  end
  local explicit = given.project or given.location or given.access_token or given.credentials
  if given.api_key and explicit then
    return problem("invalid", "Vertex AI takes an API key (express mode) or a project with a token, not both")
  end
  local self = { access_token = given.access_token, credentials = given.credentials }
  if not given.api_key then
    self.project = given.project or getenv "GOOGLE_CLOUD_PROJECT"
    self.location = given.location or getenv "GOOGLE_CLOUD_LOCATION"
    self.credentials = self.credentials or not self.access_token and getenv "GOOGLE_APPLICATION_CREDENTIALS" or nil
  end
  if self.project then
    self.location = self.location or "global"
  elseif explicit or self.location and not (getenv "GOOGLE_API_KEY" or getenv "GEMINI_API_KEY") then
    return problem("invalid", "Vertex AI needs a project: Client{ vertexai = true, project = ... }, or "
      .. "GOOGLE_CLOUD_PROJECT")
  end
  if not (is_name(self.project) and is_name(self.location)) then
    return problem("invalid", "project and location: letters, digits and dashes only")
  end
  self.base_url = host_of(self.project and self.location)
  return self
end

--- A path below the version, with the project in front where it belongs there.
---@param self lgemini.Vertex
---@param verb string
---@param path string
---@return string
function vertex.path(self, verb, path)
  if not self.project or path:find "^projects/" or (verb == "GET" and path:find "^publishers/") then
    return path
  end
  return ("projects/%s/locations/%s/%s"):format(self.project, self.location, path)
end

-- Tokens ---------------------------------------------------------------------------------------

local function base64url(core, text)
  return (core.base64.encode(text):gsub("=+$", ""):gsub("%+", "-"):gsub("/", "_"))
end

local function read_account(given)
  if type(given) == "table" then
    return given
  end
  local file, why = io.open(given, "rb")
  if not file then
    return problem("auth", "credentials: cannot read the service account: " .. tostring(why))
  end
  local text = file:read(MAX_FILE)
  file:close()
  local account = json.decode(text or "")
  if type(account) ~= "table" then
    return problem("auth", "credentials: " .. given .. " is no JSON of a service account")
  end
  return account
end

-- The service account, checked.
local function account_of(self)
  local account, err = read_account(self.credentials)
  if not account then
    return nil, err
  elseif type(account.client_email) ~= "string" or type(account.private_key) ~= "string" then
    return problem("auth", "credentials: client_email and private_key of a service account are needed",
      "create a key of type JSON for the service account, or give access_token = function() ... end")
  end
  return account
end

-- What the account signs: that it is itself, now, for so long.
local function assertion(core, account, uri)
  local now = os.time()
  local function text(value)
    return assert(json.quote(value))
  end
  local head = ('{"alg":"RS256","kid":%s,"typ":"JWT"}'):format(text(account.private_key_id or ""))
  local claims = ('{"aud":%s,"exp":%d,"iat":%d,"iss":%s,"scope":%s}'):format(text(uri), now + LIFETIME, now,
    text(account.client_email), text(SCOPE))
  local signed = base64url(core, head) .. "." .. base64url(core, claims)
  local signature, err = core.sign_rs256(account.private_key, signed)
  if not signature then
    return problem("auth", "credentials: " .. err.message)
  end
  return signed .. "." .. base64url(core, signature)
end

local function from_account(self, call)
  local account, err = account_of(self)
  if not account then
    return nil, err
  end
  local client, uri = call.client, type(account.token_uri) == "string" and account.token_uri or TOKEN_URI
  if not uri:find "^https://[%w%-%.:/_]+$" and not (uri:find "^http://" and client:is_loopback(uri)) then
    return problem("auth", "credentials: token_uri: https://... is needed")
  end
  local proof
  proof, err = assertion(client.core, account, uri)
  if not proof then
    return nil, err
  end
  local body = client.core.body.new()
  body:add(("grant_type=%s&assertion=%s"):format(GRANT:gsub(":", "%%3A"), proof))
  local decoded
  decoded, err = http.ask(call, { verb = "POST", url = uri, body = body, foreign = true, secret = proof,
    unrecorded = true, headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } })
  if decoded == nil then
    err.message = "no token for the service account: " .. err.message
    return nil, err
  elseif type(decoded) ~= "table" or type(decoded.access_token) ~= "string" then
    return problem("auth", "the answer to the service account has no access_token in it")
  end
  return decoded.access_token, nil, tonumber(decoded.expires_in) or LIFETIME
end

local function keep(self, token, seconds, now)
  if token and seconds and seconds > EARLY then
    self.token, self.expires = token, now + seconds - EARLY
  end
end

-- A request whose answer is for all tasks that want a token meanwhile. It runs in a task of its own, with the client's
-- options: it is of no one's call, and does not end with any of them.
local function begin(self, client)
  local tasks, now, waiting = client.tasks, client.tasks.now(), {}
  local task = tasks:spawn(function()
    local token, err, seconds = from_account(self, http.call(client, client.options, options.TOTAL))
    keep(self, token, seconds, now)
    return token, err
  end)
  task.taken = true
  function task.on_end()
    self.asking = nil
    for _, box in ipairs(waiting) do
      tasks:signal(box)
    end
  end
  return { task = task, waiting = waiting }
end

-- The token that is asked for once for all tasks.
local function shared(self, call)
  local tasks, deadline, box = call.client.tasks, call.deadline, {}
  self.asking = self.asking or begin(self, call.client)
  local task = self.asking.task
  table.insert(self.asking.waiting, box)
  while not task.done do
    local ok, err = tasks:await_signal(box, "token", deadline)
    if not ok then
      return nil, err
    elseif not task.done and deadline and tasks.now() >= deadline then
      return nil, require("lgemini.failures").too_late "the token for it comes"
    end
  end
  local token, err = task:result()
  if not token and not errors.is(err) then -- a hook raised it
    error(err, 0)
  end
  return token, err and errors.new(err) -- each has its own: calls write into theirs
end

--- The token for a request: the one at hand while it lives, else a new one. Tasks share the request for that of a
--- service account.
---@param self lgemini.Vertex
---@param call lgemini.Call
---@return string|nil token
---@return lgemini.Error|nil err  kind "auth", or why the service account got none
function vertex.key(self, call)
  local now = call.client.tasks.now()
  if self.token and now < self.expires then
    return self.token
  end
  self.token = nil
  local token, err, seconds
  if self.access_token then
    token, err, seconds = require("lgemini.service").token(self.access_token, "access_token")
  elseif self.credentials and inside.task() then
    return shared(self, call)
  elseif self.credentials then
    token, err, seconds = from_account(self, call)
  else
    return problem("auth", "there is no token for Vertex AI",
      "Client{ access_token = function() return token, seconds end }, or credentials = the path of a service account")
  end
  keep(self, token, seconds, now)
  return token, err
end

--- The service did not take the token: it is kept no longer. Whether another one may do: not where each was asked for,
--- but where it had been kept, be it that a request beside this one has found that out before.
---@param self lgemini.Vertex
---@param token string|nil
---@return boolean
function vertex.forget(self, token)
  if token and token == self.token then
    self.token, self.gone = nil, token
    return true
  end
  return self.token ~= nil or (token ~= nil and token == self.gone)
end

return vertex
