--- lgemini: Google's Gemini API for Lua. Images, audio, video and text in one call, large media through the File API,
--- answers streamed as they are written.
--
-- This file is light: the C core and libcurl load with the first client.

local gemini = {}

--- The core, the rock, the emulator and the changelog have the same; spec/unit/tree_spec.lua compares them.
---@type string
gemini._VERSION = "0.1.0"

local errors = require "lgemini.errors"
local json = require "lgemini.json"

--- JSON's null, for user data; lua-cjson's, which loads with it.
---@type any
gemini.null = nil

--- Marks a table as a JSON array, so that it is one even when it is empty.
---@param t table|nil  a new table when left out
---@return table t  the same table
function gemini.array(t)
  if t ~= nil and type(t) ~= "table" then
    errors.misuse("gemini.array: table expected, got " .. type(t))
  end
  return json.array(t)
end

--- Keeps the order of names in a schema: gemini.ordered{ {"name", ...}, {"age", ...} }.
---@param list table[]
---@return table
function gemini.ordered(list)
  return require("lgemini.ordered").new(list)
end

--- A function of the program that the model may call, for config.tools; see tools.lua.
---@param given table  name, description, parameters, call; parameters_json_schema, response, response_json_schema,
---  behavior
---@return lgemini.Tool
function gemini.tool(given)
  return require("lgemini.tools").new(given)
end

--- Whether a value is an error of this library.
gemini.is_error = errors.is

---@class lgemini.ClientOptions
---@field api_key string|false|(fun(): string)|nil  else GOOGLE_API_KEY, else GEMINI_API_KEY; a function is asked for
---  each request; false for none, behind a proxy that adds one
---@field http_options lgemini.HttpOptions?  of all calls
---@field insecure boolean?  plain http to other machines, which shows them the key
---@field local_files boolean|(fun(path: string): string?, string?)|nil  false: contents open no file; a function gives
---  the path to open, or nil and why not
---@field inline_limit integer?  bytes of a request's body up to which media goes inline; 20 MB, at most 100
---@field state_dir string?  a directory for the index of what was uploaded, and for journals of uploads; is made
---  where its parent is there
---@field limits lgemini.Limits?  ceilings for what a server can make grow
---@field loop lgemini.Loop?  what drives it in place of the loop of this Lua state
---@field wait fun(fd: integer?, seconds: number)?  waits in place of the library: until the descriptor, if there is
---  one, is readable, or for so long
---@field on_task_error fun(err: any, task: lgemini.Task)?  takes what a task raises and nobody waits for
---@field max_concurrent integer?  exchanges at a time, 1000; those past it wait for their turn
---@field rate { requests_per_minute: number?, tokens_per_minute: number? }?  spaces calls of models
---@field on_request fun(view: lgemini.SeenRequest)?    is told what is sent; nothing in it is a secret
---@field on_response fun(view: lgemini.SeenResponse)?  what came
---@field on_retry fun(view: lgemini.SeenRetry)?        that it is sent again
---@field log fun(level: string, message: string, fields: table)?  the same in words
---@field record string?  a folder: exchanges are written there, without secrets; see docs/testing.md
---@field replay string?  the same folder: they come from there, not from the network
---@field vertexai boolean?  Vertex AI in place of the Gemini API
---@field project string?  of Google Cloud
---@field location string?  of Vertex AI; "global" when left out
---@field access_token string|(fun(): string?, number|string?)|nil  of OAuth; a function gives a token and the seconds
---  it lives, or nil and why not
---@field credentials string|table|nil  of a service account: the path of its file, or what is in it

--- A client. Never fails: a missing key shows at the first call.
---@param options lgemini.ClientOptions|nil
---@return lgemini.Client
function gemini.Client(options)
  local version = require("lgemini.core")._VERSION -- as it is installed, it brings what a client needs
  if version ~= gemini._VERSION then
    errors.misuse(("this is lgemini %s, and its core is of %s: package.path and package.cpath lead to two of them")
      :format(gemini._VERSION, version))
  end
  return require("lgemini.client").new(options)
end

--- A loop of its own for clients that are not to share that of this Lua state: Client{ loop = gemini.Loop() }. Only who
--- steps one of these clients moves it.
---@return lgemini.Loop
function gemini.Loop()
  return require("lgemini.loop").new(require "lgemini.core")
end

--- `assert` that raises the error object on every Lua (the built-in one of 5.1 and 5.2 wants a string).
---@param value any  what a call returned
---@param err any    what it returned after that
---@param ... any    is handed on
---@return any ...   all of them
function gemini.assert(value, err, ...)
  if not value then
    error(err == nil and "assertion failed!" or err, 2)
  end
  return value, err, ...
end

--- What a request would count in tokens and cost, worked out here: nothing is sent, and of media only the headers are
--- read. `client.models:count_tokens` is the truth. Counts by reference section 9.3; see docs/cost.md.
---@param args table  model, contents, config, as generate_content takes them; cached_tokens (of config.cached_content);
---local_files, as of a client; prices (in place of gemini.prices)
---@return lgemini.Estimate|nil  total_tokens, by, low, high, price
---@return lgemini.Error|nil err  "invalid": what cannot be told offline, with its place; "io"
function gemini.estimate(args)
  return require("lgemini.estimate").run(args, gemini.prices)
end

--- What a call cost, by the usage_metadata and model_version of its answer (of a stream: `stream.response`).
---@param response lgemini.GenerateContentResponse
---@param options table|nil  model; tier ("batch", "flex"); prices (in place of gemini.prices); day ("2026-12-31")
---@return number|nil dollars
---@return lgemini.Bill|lgemini.Error bill  what it is made up of; "invalid" where the table has no price
function gemini.price(response, options)
  return require("lgemini.prices").price(response, options, gemini.prices)
end

--- Base64 of the core: encode(bytes) -> text; decode(text) -> bytes | nil, err with the offset; encoder() and decoder()
--- with feed and finish for pieces.
gemini.base64 = setmetatable({}, {
  __index = function(self, name)
    local fn = require("lgemini.core").base64[name]
    if name == "decode" then
      local decode = fn
      fn = function(text)
        if type(text) ~= "string" then
          errors.misuse("base64.decode: string expected, got " .. type(text))
        end
        local bytes, err = decode(text)
        return bytes, err and errors.new(err)
      end
    end
    self[name] = fn
    return fn
  end,
})

--- The table of prices; it carries its date, and a program may change or replace it. It loads on first use.
---@type lgemini.Prices
gemini.prices = nil

return setmetatable(gemini, {
  __index = function(self, name)
    if name == "prices" then
      local list = require("lgemini.prices").TABLE
      self.prices = list
      return list
    elseif name == "null" then
      self.null = json.null
      return self.null
    end
  end,
})
