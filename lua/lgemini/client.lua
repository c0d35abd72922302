--- The client: configuration, credentials and defaults. It owns the tasks and hands out the services.

require("lgemini.compat").goes_over_tables()

local compat = require "lgemini.compat"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local limits = require "lgemini.limits"
local options = require "lgemini.options"

local client = {}

local DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"

-- Seconds; for `total` see options.TOTAL.
local CLOCKS = { connect = 15, first_byte = 300, idle = 120, processing = 900 }

-- Bytes of a request's body up to which media is sent inline (reference section 9.2), and what the service takes.
local INLINE_LIMIT = 20 * 1024 * 1024
local INLINE_MAX = 100 * 1024 * 1024

-- Exchanges at a time. Most systems give a process 1,024 descriptors.
local MAX_CONCURRENT = 1000

local KNOWN = {
  api_key = true,
  http_options = options.HTTP,
  insecure = true,
  local_files = true,
  inline_limit = true,
  state_dir = true,
  limits = limits.KNOWN,
  loop = true,
  wait = true,
  on_task_error = true,
  on_request = true,
  on_response = true,
  on_retry = true,
  log = true,
  record = true,
  replay = true,
  max_concurrent = true,
  rate = true,
  vertexai = true,
  project = true,
  location = true,
  access_token = true,
  credentials = true,
}

---@class lgemini.Client
---@field chats lgemini.Chats
---@field models lgemini.Models
---@field files lgemini.Files
---@field operations lgemini.Operations
---@field caches lgemini.Caches
---@field batches lgemini.Batches
---@field tunings lgemini.Tunings
---@field file_search_stores lgemini.FileSearchStores
---@field auth_tokens lgemini.AuthTokens
---@field interactions lgemini.Interactions
---@field loop lgemini.Loop  what drives it; for Client{ loop = ... }
local Client = { __name = "lgemini.Client" }

-- What else loads on first use, and would hold up a frame for milliseconds.
local FIRST_USE = { "models", "chats", "files", "stream", "attach", "part", "media", "tools", "structured", "reuse",
  "map", "steps", "retry", "values", "json_reader", "plan" }

local SERVICES = { chats = "lgemini.chats", models = "lgemini.models", files = "lgemini.files",
  operations = "lgemini.operations", caches = "lgemini.caches", batches = "lgemini.batches",
  tunings = "lgemini.tunings", file_search_stores = "lgemini.file_search_stores",
  auth_tokens = "lgemini.auth_tokens", interactions = "lgemini.interactions" }

-- What the official SDKs have and this version does not.
local LATER = { live = true, aio = true }

local methods = {}

function Client.__index(self, name)
  local method = methods[name]
  if method then
    return method
  elseif SERVICES[name] then
    local service = require(SERVICES[name]).new(self)
    rawset(self, name, service)
    return service
  elseif LATER[name] then
    errors.misuse(("client.%s is not in this version of lgemini (%s)"):format(name, self.core._VERSION))
  end
end

-- Without this a client would show its key to whoever prints it.
function Client.__tostring(self)
  return self.tasks.closed and "lgemini.Client (closed)" or "lgemini.Client"
end

-- Options --------------------------------------------------------------------------------------

-- Blank is unset, and a line end at the end is an accident.
local function getenv(name)
  local value = (compat.getenv(name) or ""):match "^%s*(.-)%s*$"
  return value ~= "" and value or nil
end

local function trust(core)
  local file, path = getenv "SSL_CERT_FILE", getenv "SSL_CERT_DIR"
  if file or path then
    return { ca_file = file, ca_path = not file and path or nil }
  end
  local ca_path, ca_file = core.trust()
  return { ca_path = ca_path, ca_file = ca_file }
end

local function defaults(self)
  local base = { api_version = self.vertex and "v1beta1" or "v1beta", headers = {},
    timeout = CLOCKS }
  for name, value in pairs(trust(self.core)) do
    base[name] = value
  end
  base.base_url = self.vertex and self.vertex.base_url or DEFAULT_BASE_URL
  local variable = self.vertex and "GOOGLE_VERTEX_BASE_URL" or "GOOGLE_GEMINI_BASE_URL"
  local from_environment = getenv(variable)
  if from_environment then
    local url, err = require("lgemini.http_options").base_url(self, from_environment)
    if not url then
      err.message = variable .. ": " .. err.message
      return nil, err
    end
    base.base_url = url
  end
  return base
end

--- A call of the user's: its options over those of the client, and its clock.
---@param config table|nil        http_options in it count
---@param total number|false      seconds for all of it where the user set none; false: no limit
---@return lgemini.Call|nil
---@return lgemini.Error|nil err
function methods.call(self, config, total)
  if self.problem then
    return nil, self.problem
  end
  local merged, err = self.options, nil
  local given = config and config.http_options
  if given ~= nil then
    options.check(given, options.HTTP, "config.http_options")
    merged, err = require("lgemini.http_options").merge(self, merged, given)
  end
  return merged and http.call(self, merged, total), err
end

--- What was uploaded and still lives: in memory, or in the client's state_dir.
---@return lgemini.Reuse
function methods.uploads_index(self)
  if not self.index then
    self.index = require("lgemini.reuse").new(self.core, self.state_dir)
  end
  return self.index
end

-- Credentials ----------------------------------------------------------------------------------

local function auth(message, hint)
  return nil, errors.new { kind = "auth", message = message, hint = hint }
end

local function check_key(key)
  key = key:match "^%s*(.-)%s*$"
  if key == "" then
    return auth("the API key is empty", "give Client{ api_key = ... }, or set GOOGLE_API_KEY or GEMINI_API_KEY")
  elseif key:find "[^\33-\126]" then
    return auth("the API key has characters in it that no key has", "copy it again, without quotes or line ends")
  elseif key:find "^auth_tokens/" then
    return auth("this is an ephemeral token of the Live API, not an API key")
  end
  return key
end

--- Whether a token of OAuth opens the door, not an API key.
---@return boolean
function methods.takes_token(self)
  return self.vertex and self.vertex.project ~= nil and self.api_key ~= false
end

--- Forgets the token that the service did not take: whether another one may do.
---@param call lgemini.Call
---@param request lgemini.Request
---@return boolean
function methods.forget_token(self, call, request)
  if self.tasks.hurried then -- nobody has one; it was so where the same request follows
    return self.vertex ~= nil and self.vertex.project ~= nil and self.tape:has_another(request)
  end
  return self:takes_token() and require("lgemini.vertex").forget(self.vertex, call.key)
end

--- The API key, or the token, for a request: nil where the client has none on purpose.
---@param call lgemini.Call|nil  needed for a token
---@return string|nil
---@return lgemini.Error|nil err
function methods.key(self, call)
  local given = self.api_key
  if given and given == self.checked and not self.vertex then -- the usual case
    return self.checked_key
  elseif call and self:takes_token() then
    return require("lgemini.vertex").key(self.vertex, call)
  elseif given == false then
    return nil
  elseif type(given) == "function" then
    local ok, key, why = pcall(given)
    if not ok then
      return auth("api_key, the function, failed: " .. errors.redact(tostring(key)))
    elseif type(key) ~= "string" then
      return auth("api_key, the function, gave no key" .. (why and ": " .. errors.redact(tostring(why)) or ""))
    end
    return check_key(key)
  end
  given = given or getenv "GOOGLE_API_KEY" or getenv "GEMINI_API_KEY"
  if not given then
    return auth("there is no API key: Client{ api_key = ... } was not given, and neither GOOGLE_API_KEY nor "
      .. "GEMINI_API_KEY is set", "get one at https://aistudio.google.com/apikey")
  elseif given == self.checked then
    return self.checked_key
  end
  local key, err = check_key(given)
  if not key then
    return nil, err
  end
  self.checked, self.checked_key = given, key
  return key
end

-- URLs -----------------------------------------------------------------------------------------

--- Whether a URL is of this machine. Only the plain forms count: what libcurl may read in another way is none.
---@param url string
---@return boolean
function methods.is_loopback(_, url)
  local authority = url:match "^%a[%w+.-]*://([^/?#]*)" or ""
  local host = authority:gsub(":%d*$", ""):lower()
  return host == "localhost" or host == "[::1]" or host:find "^127%.%d%d?%d?%.%d%d?%d?%.%d%d?%d?$" ~= nil
end

--- The URL of a row's path.
---@param call_options table
---@param row lgemini.endpoints.Row
---@param path string
---@param query string  without the question mark; "" for none
---@return string
function methods.url(self, call_options, row, path, query)
  local version = call_options.api_version
  if row.version and version == "v1beta" then
    version = row.version
  end
  if row.upload then
    version = "upload/v1beta" -- the only one there is for uploads
  end
  if self.vertex then
    path = require("lgemini.vertex").path(self.vertex, row.verb, path)
  end
  local url = call_options.base_url .. "/" .. (version ~= "" and version .. "/" or "") .. path
  return query ~= "" and url .. "?" .. query or url
end

--- The name of a model where a body needs all of it.
---@param name string  as endpoints.name gives it
---@return string
function methods.full_name(self, name)
  return self.vertex and require("lgemini.vertex").path(self.vertex, "POST", name) or name
end

--- Whether the options lead elsewhere than to Google.
---@param call_options table
---@return boolean
function methods.has_custom_base(_, call_options)
  return call_options.base_url ~= DEFAULT_BASE_URL
end

local PREWARM = { uploads = true, config = options.CONFIG }

--- Opens the connection (TLS, HTTP/2) that the first call will use, and reads the certificates where they are in one
--- file. It asks for the base URL without the key; what the service says to that does not matter. The connection stays
--- open as long as the service leaves it open: minutes, as a rule. With `uploads` one more is opened: that of uploads
--- and of requests of a megabyte and more, which share none with others.
---@param args table|nil  uploads (boolean); config: http_options
---@return true|nil
---@return lgemini.Error|nil err  "network", "tls", "timeout", ...: the first call would fail with the same
function methods.prewarm(self, args)
  options.check_object(self, Client, "client.prewarm")
  for _, name in ipairs(FIRST_USE) do
    require("lgemini." .. name)
  end
  args = options.arguments(args, nil, PREWARM, "client:prewarm")
  local call, err = self:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  elseif self.tasks.hurried then
    return true
  end
  for _, bulk in ipairs { false, options.boolean(args.uploads, "uploads") or nil } do
    local answered, problem, refusal = http.send(call, { verb = "GET", url = call.options.base_url .. "/",
      no_key = true, once = true, bulk = bulk, unrecorded = true })
    if not answered and not refusal then
      return nil, problem
    end
  end
  return true
end

-- Tasks ----------------------------------------------------------------------------------------

-- A time that may be nothing.
local function check_time(value, name)
  if type(value) ~= "number" then
    options.number(value, name)
  elseif not (value >= 0 and value < math.huge) then
    errors.misuse(("%s: seconds expected, got %s"):format(name, tostring(value)))
  end
  return value
end

--- Makes a task of a function: inside it every call of the library yields in place of waiting. It starts at the next
--- step, never in here; a plain coroutine.yield() goes on at the step after. Tasks move while somebody steps: step,
--- run, wait, or any call outside of tasks that waits.
---@param fn function
---@param ... any  its arguments
---@return lgemini.Task
function methods.spawn(self, fn, ...)
  options.check_object(self, Client, "client.spawn")
  if type(fn) ~= "function" then
    errors.misuse(("client:spawn: a function expected, got %s"):format(type(fn)))
  end
  return self.tasks:spawn(fn, ...)
end

--- Does about `budget` seconds of the work there is, and never waits: once a frame. Raises the error of a task that
--- nobody took, unless Client{ on_task_error = f } is there for it.
---@param budget number|nil  seconds; when left out, all there is to do now
---@return boolean  whether tasks are left
function methods.step(self, budget)
  options.check_object(self, Client, "client.step")
  return self.loop:step(check_time(budget, "client:step, budget"))
end

--- Steps until no task is left, waiting in between. Raises as step does.
function methods.run(self)
  options.check_object(self, Client, "client.run")
  self.loop:run(self.tasks.hook)
end

--- One step that waits for something to come, but at most so long.
---@param seconds number
---@return boolean  whether tasks are left
function methods.wait(self, seconds)
  options.check_object(self, Client, "client.wait")
  return self.loop:pause(check_time(seconds, "client:wait, seconds") or math.huge)
end

--- Waits: in a task others go on, outside of tasks all of them do.
---@param seconds number
---@return true|nil
---@return lgemini.Error|nil err  "cancelled" with the task, "closed"
function methods.sleep(self, seconds)
  options.check_object(self, Client, "client.sleep")
  if check_time(seconds, "client:sleep, seconds") == nil then
    errors.misuse "client:sleep: seconds expected"
  end
  return self.tasks:sleep(seconds)
end

--- Calls `fn(item, index)` for each item, several at a time, each call in a task of its own, and gives what they
--- return as they end: `for index, result, err in client:map(items, fn, { concurrency = 16 }) do`. An error that one
--- raises is its err. On Lua 5.4 leaving the loop cancels the rest; elsewhere do map:close() before.
---@param items table|function  a list, or an iterator: called without arguments, nil at the end
---@param fn function           item, index -> result | nil, err
---@param given table|nil       concurrency (16)
---@return lgemini.Map
function methods.map(self, items, fn, given)
  options.check_object(self, Client, "client.map")
  local found = require("lgemini.map").new(self.tasks, items, fn, given)
  return found, nil, nil, found
end

--- For a foreign loop: one descriptor that is readable when there is work for step, new tasks, cancelled ones and times
--- that are up included. cqueues.poll takes a client as it is.
---@return integer|nil  nil where the system has neither epoll nor kqueue: step when timeout() is over
function methods.pollfd(self)
  options.check_object(self, Client, "client.pollfd")
  return self.loop:pollfd()
end

--- What to wait for on the descriptor: that it is readable.
---@return "r"
function methods.events(self)
  options.check_object(self, Client, "client.events")
  return "r"
end

--- For a foreign loop: how long it may wait before the next step, where the descriptor says nothing before.
---@return number|nil  seconds, 0 for not at all, nil for any time
function methods.timeout(self)
  options.check_object(self, Client, "client.timeout")
  return self.loop:timeout()
end

-- Life -----------------------------------------------------------------------------------------

--- Ends what is in flight, as cancelled. The client is of no use afterwards; closing twice is fine. Its tasks go on,
--- as somebody steps, and see their calls fail.
---@return true|nil
---@return lgemini.Error|nil err  "io": a recording (`record`) could not be written; else the next request says so
function methods.close(self)
  options.check_object(self, Client, "client.close")
  self.tasks:close()
  for _, address in pairs(self.addresses) do
    http.forget(address)
  end
  local failure = self.tape and self.tape.failure
  return not failure or nil, failure or nil
end

Client.__close = methods.close

-- From 0 up to 1. Before 5.4 all programs draw the same numbers and would all try again at the same instants; the
-- clock makes the difference, since seeding is the program's business.
local function chance()
  return (math.random() + require("lgemini.core").now() * 1000) % 1
end

local function make_tasks(core, given)
  local loops = require "lgemini.loop"
  if given.loop ~= nil and getmetatable(given.loop) ~= loops then
    errors.misuse "loop: gemini.Loop(), or the loop of another client, expected"
  end
  local tasks, err = require("lgemini.tasks").new(core, given.loop)
  if not tasks then
    error(err, 0)
  end
  tasks.hook = options.callback(given.wait, "wait")
  tasks.on_error = options.callback(given.on_task_error, "on_task_error")
  return tasks
end

-- A directory that was asked for and cannot be is told: nobody would miss what it should keep until it is needed.
local function make_state(core, given)
  local directory, problem = options.path(given, "state_dir")
  if not directory then
    return nil, problem
  end
  local made, err = core.make_directory(directory)
  return made and directory, err and errors.new { kind = err.kind, message = "state_dir: " .. err.message }
end

-- What stands between the client and the network, if anything does.
local function make_tape(core, given)
  local record, problem = options.path(given.record, "record")
  local replay, trouble = options.path(given.replay, "replay")
  if given.record and given.replay then
    errors.misuse "record, replay: one of the two"
  elseif (given.record or given.replay) and given.state_dir then
    errors.misuse "state_dir: not with record or replay, which would miss what was uploaded before"
  elseif record then
    return require("lgemini.record").new(core, record)
  end
  return replay and require("lgemini.replay").new(core, replay), problem or trouble
end

--- A client. It does not fail for a missing key or a bad base URL: the first call says what is wrong.
---@param given lgemini.ClientOptions|nil  see init.lua
---@return lgemini.Client
function client.new(given)
  given = given or {}
  options.check(given, KNOWN, "Client")
  if given.api_key ~= nil and given.api_key ~= false and type(given.api_key) ~= "function" then
    options.string(given.api_key, "api_key")
  end
  options.boolean(given.insecure, "insecure")
  if type(given.local_files) ~= "function" then
    options.boolean(given.local_files, "local_files")
  end
  options.table(given.http_options, "http_options")
  options.table(given.limits, "limits")
  local core = require "lgemini.core"
  local tasks = make_tasks(core, given)
  local self = setmetatable({
    core = core,
    tasks = tasks,
    loop = tasks.loop,
    api_key = given.api_key,
    insecure = given.insecure,
    local_files = compat.has_files and given.local_files, -- false: contents open none
    state_dir = false,
    watch = false, -- of watch.lua, where there are hooks
    tape = false, -- of record.lua or replay.lua
    product = ("lgemini/%s gl-lua/%s"):format(core._VERSION, _VERSION:match "%d.*"),
    random = chance,
    addresses = {}, -- see direct.lua
    vertex = false, -- of vertex.lua, where it is Vertex AI's
    pace = false,
    problem = false, -- what is wrong with what was given
    checked = false, -- the key that was looked at last, and what it is without blanks around it
    checked_key = false,
    call = methods.call, -- each request asks for these two: found at once
    key = methods.key,
  }, Client)
  if given.on_request ~= nil or given.on_response ~= nil or given.on_retry ~= nil or given.log ~= nil then
    self.watch = require("lgemini.watch").new(given, core.now)
  end
  local function check(value, problem)
    self.problem = self.problem or problem or false
    return value
  end
  if given.vertexai ~= nil or given.project or given.location or given.access_token or given.credentials
    or getenv "GOOGLE_GENAI_USE_ENTERPRISE" or getenv "GOOGLE_GENAI_USE_VERTEXAI" then
    self.vertex = check(require("lgemini.vertex").new(given, getenv)) or false
  end
  self.limits = check(limits.new(given.limits))
  self.tape = check(make_tape(core, given)) or false
  self.state_dir = check(make_state(core, given.state_dir)) or nil
  local inline = check(options.count(given.inline_limit, "inline_limit")) or INLINE_LIMIT
  self.inline_limit = math.min(inline, INLINE_MAX)
  tasks.share = core.loop.share(check(options.count(given.max_concurrent, "max_concurrent")) or MAX_CONCURRENT)
  if options.table(given.rate, "rate") then
    self.pace = check(require("lgemini.pace").new(given.rate)) or false
  end
  if given.replay then -- no door is to be opened, and nothing is worth waiting for
    self.api_key, self.pace, tasks.hurried = false, false, true
  end
  self.options = check(defaults(self)) or {}
  if given.http_options and not self.problem then
    self.options = check(require("lgemini.http_options").merge(self, self.options, given.http_options))
  end
  return self
end

return client
