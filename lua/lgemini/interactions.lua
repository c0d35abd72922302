--- client.interactions: conversations that the service keeps, with steps, agents and work in the background (reference
--- section 7.11). Names are those of the wire, in requests and answers.

require("lgemini.compat").goes_over_tables()

local attach = require "lgemini.attach"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local interaction = require "lgemini.interaction"
local options = require "lgemini.options"
local poll = require "lgemini.poll"
local request = require "lgemini.request"
local schema = require "lgemini.schema"
local service = require "lgemini.service"
local stream = require "lgemini.stream"

---@class lgemini.Interactions
local Interactions = { __name = "lgemini.Interactions" }
Interactions.__index = Interactions

local interactions = {}

---@param client lgemini.Client
function interactions.new(client)
  return setmetatable({ client = client }, Interactions)
end

local rows = endpoints.interactions

-- Seconds between two looks at one that runs in the background, at most.
local LAST_POLL = 10
-- Seconds for which the service may not know one that was just made.
local LATE = 5

-- The names of a type beside `config`, which has http_options only: as in the Python SDK, all stands at the top.
local function known_of(type_name, more)
  local known = { config = options.CONFIG }
  for name, what in pairs(schema.known(type_name)) do
    known[name] = what
  end
  for name, what in pairs(more or {}) do
    known[name] = what
  end
  return known
end

-- The id of an argument: an interaction may stand for it.
local function id_of(value)
  return type(value) == "table" and getmetatable(value) ~= nil and type(value.id) == "string" and value.id or nil
end

local function fields_of(args, type_name)
  local given = {}
  for name in pairs(schema.type(type_name).fields) do
    given[name] = args[name]
  end
  given.previous_interaction_id = id_of(args.previous_interaction_id) or given.previous_interaction_id
  return given
end

local function to_answer(call, sent)
  local value, err = http.ask(call, sent)
  if value == nil then
    return nil, err
  end
  return interaction.of(value)
end

-- A stream, or the answer.
local function deliver(call, sent, err, streaming)
  if streaming then
    if sent then
      sent.raw, sent.headers.Accept = true, "text/event-stream"
    end
    return stream.new(call, sent, err, nil, { form = interaction.FORM }):each()
  elseif not sent then
    return nil, err
  end
  return to_answer(call, sent)
end

local CREATE = known_of("CreateInteractionRequest", { contents = "input", prompt = "input" })

local function create_request(self, call, args)
  if not (args.model or args.agent) then
    return nil, errors.new { kind = "invalid", message = "model or agent is needed" }
  elseif args.model and args.agent then
    return nil, errors.new { kind = "invalid", message = "both model and agent are given: one of them is needed" }
  end
  local given = fields_of(args, rows.create.request)
  local err
  if type(args.model) == "string" then
    given.model, err = endpoints.name("models", args.model, "model")
    if not given.model then
      return nil, err
    end
    given.model = given.model:gsub("^models/", "")
  end
  if type(args.tools) == "table" then
    given.tools = require("lgemini.tools").as_steps(args.tools)
  end
  given.input, err = interaction.input(args.input, function(value, field, place)
    return attach.embed(self.client, value, field, place)
  end)
  if given.input == nil then
    return nil, err or errors.new { kind = "invalid", message = "input is needed",
      hint = "a string, a content, a list of contents, or a list of steps" }
  end
  local sent
  sent, err = service.request(call, { row = rows.create, args = { config = args.config },
    about = { model = given.model }, tree = function() return request.wire(given, rows.create.request) end })
  if not sent then
    return nil, err
  end
  local fits
  fits, err = attach.fit({}, sent.body:length(), self.client.inline_limit)
  if fits == nil then
    err.hint = "upload large media with client.files and give its uri, or raise inline_limit of Client{}"
    return nil, err
  end
  sent.starts = args.background or nil
  return sent
end

--- Asks a model or an agent. Local media in `input` ({ file = path }, or { data = bytes }) is sent inline.
---@param args table  model or agent; input (a string, a content such as { type = "text", text = }, a list of these, or
---  a list of steps); stream = true for a stream of events (`for event, stream in`); store, background,
---  previous_interaction_id (an interaction may stand for it), system_instruction, tools (those of gemini.tool are
---  declared, and not called), generation_config, response_format, safety_settings,
---  service_tier, labels, webhook_config, environment; config: http_options
---@return lgemini.Interaction|lgemini.Stream|nil
---@return lgemini.Error|nil err
function Interactions:create(args)
  options.check_self(self, Interactions, "interactions.create")
  args = options.arguments(args, nil, CREATE, "interactions:create")
  options.boolean(args.stream, "stream")
  options.boolean(args.background, "background")
  local call, err = self.client:call(args.config, not args.stream and options.TOTAL)
  local sent
  if call then
    sent, err = create_request(self, call, args)
  end
  return deliver(call, sent, err, args.stream)
end

local GET = known_of("GetInteractionQuery", { id = true })

local function arguments(given, known, name)
  return options.arguments(id_of(given) or given, "id", known, name)
end

local function look(call, args)
  local sent, err = service.request(call, { row = rows.get, args = { id = args.id,
    config = fields_of(args, rows.get.config) } })
  return sent, err
end

--- An interaction as it is now, or its events.
---@param args string|table  its id; or id, include_input, stream = true for its events, last_event_id (from there on),
---  config
---@return lgemini.Interaction|lgemini.Stream|nil
---@return lgemini.Error|nil err
function Interactions:get(args)
  options.check_self(self, Interactions, "interactions.get")
  args = arguments(args, GET, "interactions:get")
  local call, err = self.client:call(args.config, not args.stream and options.TOTAL)
  local sent
  if call then
    sent, err = look(call, args)
  end
  return deliver(call, sent, err, args.stream)
end

local NAMED = { id = true, config = options.CONFIG }

--- Ends one that runs in the background.
---@param args string|table  its id; or id, config
---@return lgemini.Interaction|nil
---@return lgemini.Error|nil err
function Interactions:cancel(args)
  options.check_self(self, Interactions, "interactions.cancel")
  args = arguments(args, NAMED, "interactions:cancel")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local sent
  sent, err = service.request(call, { row = rows.cancel, args = args, tree = function() return {} end })
  if not sent then
    return nil, err
  end
  return to_answer(call, sent)
end

--- Deletes one that the service keeps.
---@param args string|table  its id; or id, config
---@return true|nil
---@return lgemini.Error|nil err
function Interactions:delete(args)
  options.check_self(self, Interactions, "interactions.delete")
  args = arguments(args, NAMED, "interactions:delete")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local sent
  sent, err = service.request(call, { row = rows.delete, args = args })
  local got
  if sent then
    got, err = http.send(call, sent)
  end
  return got and true, err
end

-- What one that has failed is for those who waited for it.
local function failed(done)
  local said = type(done.error) == "table" and done.error or {}
  local err = done.status == "cancelled"
    and errors.new { kind = "cancelled", message = ("the interaction %s was cancelled"):format(tostring(done.id)) }
    or errors.new { kind = "http", message = ("the interaction %s failed: %s"):format(tostring(done.id),
      tostring(said.message or "the service gives no reason")) }
  err.interaction = done
  return nil, err
end

local WAIT = { id = true, timeout = true, config = options.CONFIG }

--- Waits for one that runs in the background. One that wants something done (`requires_action`), or that ended early
--- (`incomplete`, `budget_exceeded`) is no error: see its `status`.
---@param args string|table  its id or an interaction; or id, timeout (seconds, default 900), config
---@return lgemini.Interaction|nil
---@return lgemini.Error|nil err  where it failed or was cancelled, with `err.interaction`; "timeout"
function Interactions:wait(args)
  options.check_self(self, Interactions, "interactions.wait")
  args = arguments(args, WAIT, "interactions:wait")
  local seconds, err = options.seconds(args.timeout, "timeout")
  if err then
    return nil, err
  end
  local call
  call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local late = self.client.tasks.now() + LATE
  local function again(within)
    local sent, problem = look(within, { id = args.id })
    local seen
    if sent then
      seen, problem = to_answer(within, sent)
    end
    if not seen and problem.kind == "not_found" and self.client.tasks.now() < late then
      return interaction.of { id = args.id, status = "queued" }
    end
    return seen, problem
  end
  local done
  done, err = again(call)
  if done then
    done, err = poll.wait(call, done, seconds or call.options.timeout.processing, {
      pending = function(seen) return not interaction.ENDED[seen.status] end,
      look = function(_, within) return again(within) end,
      pause = LAST_POLL,
      goal = "done",
      hint = "client.interactions:wait{ id = ... }",
      field = "interaction",
    })
  end
  if done and (done.status == "failed" or done.status == "cancelled") then
    return failed(done)
  end
  return done, err
end

return interactions
