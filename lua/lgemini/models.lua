--- client.models: questions to models, and what models there are (reference sections 2 and 4).

local answer = require "lgemini.answer"
local direct = require "lgemini.direct"
local endpoints = require "lgemini.endpoints"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

---@class lgemini.Models
local Models = { __name = "lgemini.Models" }
Models.__index = Models

local models = {}

---@param client lgemini.Client
function models.new(client)
  return setmetatable({ client = client }, Models)
end

local rows = endpoints.models

local stream -- stream.lua, once it was needed

-- What not every program needs loads on first use: catalog, making, plan, stream, tools.

-- The names that a call with contents knows; those of its config with the first that has one.
local function known_for(row, add)
  local inside = "contents = { { file = ... } }"
  local function config()
    local known = schema.known(row.config)
    known.http_options = options.HTTP
    return add and add(known) or known
  end
  return { model = true, contents = true, on_progress = true, reuse = true, config = config, file = inside,
    data = inside, approve = nil }
end

local function add_ours(config)
  config.media_to = true
  config.automatic_function_calling = { disable = true, maximum_remote_calls = true, ignore_call_history = true }
  return config
end

--- The names that a question to a model knows.
---@return lgemini.Known
function models.known()
  local known = known_for(rows.generate_content, add_ours)
  known.approve = true
  return known
end

-- The same, made once for all calls.
local question
local function known_question()
  question = question or models.known()
  return question
end

local JSON = require("lgemini.headers").JSON

local function facts_of(args)
  local config = args.config
  if not config then
    return { exchange = nil, attempts = nil } -- later
  end
  local mime_type = config.response_mime_type
  if not mime_type and (config.response_schema ~= nil or config.response_json_schema ~= nil) then
    mime_type = JSON
  end
  return { uploads = nil, json = mime_type == JSON, enum = mime_type == "text/x.enum",
    turns = nil, exchange = nil, attempts = nil, calls = nil }
end

local function count_or_embed(self, row, args, coerce)
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  return direct.ask(self.client, call, row, args, coerce, {})
end

-- Questions ------------------------------------------------------------------------------------

local NOTHING = { locals = {}, files = {} }

-- Who runs functions of the program for the model, where there are any.
local function runner_of(self, call, args)
  local tools = args.config and args.config.tools
  if type(tools) ~= "table" then
    return nil
  end
  for _, tool in ipairs(tools) do
    if type(tool) == "table" and getmetatable(tool) then
      return require("lgemini.tools").runner(self.client, call, args)
    end
  end
end

-- A call, where what was given allows one.
local function begin(self, args, total)
  if args.on_progress ~= nil or args.approve ~= nil or args.reuse ~= nil then
    options.callback(args.on_progress, "on_progress")
    options.callback(args.approve, "approve")
    options.boolean(args.reuse, "reuse")
  end
  if args.config and args.config.media_to ~= nil then
    local ready, err = require("lgemini.media_to").check(self.client.core, args.config.media_to)
    if not ready then
      return nil, err
    end
  end
  return self.client:call(args.config, total)
end

--- A question to a model, and the functions that it asks for: what generate_content and chats share.
---@param self lgemini.Models
---@param args table       of generate_content, checked by name
---@param coerce function  contents -> turns, found | nil, err
---@return lgemini.GenerateContentResponse|nil
---@return lgemini.Error|table turns  the turns that were asked last, as they were sent; or what went wrong
function models.ask(self, args, coerce)
  local call, err = begin(self, args, options.TOTAL)
  if not call then
    return nil, err
  end
  local runner = runner_of(self, call, args)
  while true do
    local facts = facts_of(args)
    local response, problem = direct.ask(self.client, call, rows.generate_content, args, coerce, facts)
    if not response then
      return nil, problem
    end
    facts.calls = runner and runner.history
    answer.add_facts(response, facts)
    local turns, cancelled
    if runner then
      turns, cancelled = runner:go_on(response, facts.turns)
    end
    if cancelled then
      return nil, cancelled
    elseif not turns then
      return response, facts.turns
    end
    coerce = function() return turns, NOTHING end
    call.deadline = call.options.timeout.total and call.deadline or self.client.tasks.now() + options.TOTAL
  end
end

-- What the stream goes on with when an answer has come: request, facts; nil, err; nil alone at the end.
local function follower(self, call, row, args, plan, facts, runner, done)
  local plans = require "lgemini.plan"
  return function(response)
    local turns, cancelled
    if runner then
      turns, cancelled = runner:go_on(response, plan.turns)
    end
    if not turns then
      if done and not cancelled then
        done(response, plan.turns)
      end
      return nil, cancelled
    end
    local again = facts_of(args)
    again.uploads, again.calls = facts.uploads, runner.history
    local next_plan, problem = plans.make(self.client, call, row, args, function() return turns, NOTHING end)
    if not next_plan then
      return nil, problem
    end
    plan = next_plan
    local request_again, refusal = plans.request(self.client, call, row, plan)
    return request_again, request_again and again or refusal
  end
end

--- The same as a stream: the chunks of all answers, one after the other.
---@param self lgemini.Models
---@param args table
---@param coerce function
---@param done function|nil  is told response, turns when all of it has come
---@return lgemini.Stream
function models.open(self, args, coerce, done)
  local call, err = begin(self, args, false)
  stream = stream or require "lgemini.stream"
  local client, row, facts = self.client, rows.generate_content_stream, facts_of(args)
  local sent = call and direct.question(client, call, row, args, coerce)
  if sent or not call then
    return stream.new(call, sent, err, nil, facts)
  end
  local plans = require "lgemini.plan"
  local plan
  plan, err = plans.make(client, call, row, args, coerce)
  if not plan then
    return stream.new(call, nil, err, nil, facts)
  elseif not plan.due then
    sent, err = plans.request(client, call, row, plan)
  end
  local prepare = plan.due and function()
    return plans.deliver(client, call, row, args, plan, facts)
  end or nil
  local heal = (prepare or args.renew) and plans.healer(client, call, row, args, plan, facts, coerce)
  local runner = runner_of(self, call, args)
  local follow = (runner or done) and follower(self, call, row, args, plan, facts, runner, done)
  return stream.new(call, sent, err, prepare, facts, heal, follow)
end

-- Calls ----------------------------------------------------------------------------------------

--- Asks a model and waits for the whole answer. Functions made with gemini.tool among config.tools are run when the
--- model asks for them.
---@param args table  model; contents (text, parts, media: see parts.lua); config (reference section 4, snake_case,
---  http_options, automatic_function_calling, and media_to: a directory, or function(part) -> path, for media that the
---  answer brings; their inline_data then has a path in place of data); on_progress(sent, total, file) in bytes, for
---  local files that are uploaded first; reuse = false uploads them though the service has them; approve(call) for
---  functions: see tools.lua
---@return lgemini.GenerateContentResponse|nil
---@return lgemini.Error|nil err
function Models:generate_content(args)
  options.check_self(self, Models, "models.generate_content")
  args = options.arguments(args, nil, known_question(), "generate_content")
  local response, err = models.ask(self, args, direct.contents)
  if not response then
    return nil, err
  end
  return response
end

--- Asks a model and hands the answer on while it is written: `for chunk, stream in ... do`. Always returns a stream;
--- what goes wrong shows at its first chunk.
---@param args table  as generate_content's: model, contents, config, on_progress, reuse, approve
---@return lgemini.Stream
function Models:generate_content_stream(args)
  options.check_self(self, Models, "models.generate_content_stream")
  args = options.arguments(args, nil, known_question(), "generate_content_stream")
  local made = models.open(self, args, direct.contents)
  return made, nil, nil, made -- as :each() gives it
end

--- Counts the tokens of a request without asking it.
---@param args table  model, contents, config (system_instruction, tools, generation_config); on_progress, reuse
---@return lgemini.CountTokensResponse|nil   total_tokens, ...
---@return lgemini.Error|nil err
function Models:count_tokens(args)
  options.check_self(self, Models, "models.count_tokens")
  local row = rows.count_tokens
  args = options.arguments(args, nil, known_for(row), "count_tokens")
  return count_or_embed(self, row, args, direct.contents)
end

-- Newer models at Vertex AI take one content, with media in it, and others any number of texts.
local function embeds_one(client, model)
  return client.vertex and type(model) == "string" and (model:find("maas", 1, true)
    or model:find("gemini", 1, true) and not model:find "gemini%-embedding%-001$")
end

--- The embedding of each item of contents.
---@param args table  model, contents, config (task_type, title, output_dimensionality); on_progress, reuse
---@return lgemini.EmbedContentResponse|nil   embeddings: a list of { values = {...} }
---@return lgemini.Error|nil err
function Models:embed_content(args)
  options.check_self(self, Models, "models.embed_content")
  local row = rows.embed_content
  args = options.arguments(args, nil, known_for(row), "embed_content")
  local alone = embeds_one(self.client, args.model)
  local coerce = require("lgemini.parts").each
  local value, err = count_or_embed(self, alone and rows.embed_content_alone or row, args, coerce)
  if value and alone then
    return { embeddings = { value.embedding }, usage_metadata = value.usage_metadata }
  elseif value and self.client.vertex then
    return answer.predicted_embeddings(value)
  end
  return value, err
end

-- Images, videos and what models there are: on first use --------------------------------------------

--- Images out of a text, by models that only make images. Google retires these; others draw when generate_content
--- asks them to.
---@param args table  model, prompt, config (number_of_images, aspect_ratio, ...)
---@return lgemini.GenerateImagesResponse|nil   generated_images: a list of { image = { image_bytes =, mime_type = },
---  rai_filtered_reason = }
---@return lgemini.Error|nil err
function Models:generate_images(args)
  options.check_self(self, Models, "models.generate_images")
  return require("lgemini.making").images(self.client, args)
end

--- Starts to make videos out of a text, an image or a video. client.operations:wait waits for them, and
--- client.files:download fetches them.
---@param args table  model; prompt, image, video (or these in source): an image or a video is { file = path },
---  { data = bytes } or one of the API's; config (number_of_videos, duration_seconds, ...)
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err
function Models:generate_videos(args)
  options.check_self(self, Models, "models.generate_videos")
  return require("lgemini.making").videos(self.client, args)
end

--- What is known of a model.
---@param args string|table  its name; or model, config
---@return lgemini.Model|nil
---@return lgemini.Error|nil err
function Models:get(args)
  options.check_self(self, Models, "models.get")
  return require("lgemini.catalog").get(self.client, args)
end

--- Changes how a tuned model is called.
---@param args table  model (tunedModels/...); config: display_name, description
---@return lgemini.Model|nil
---@return lgemini.Error|nil err
function Models:update(args)
  options.check_self(self, Models, "models.update")
  return require("lgemini.catalog").update(self.client, args)
end

--- Deletes a tuned model.
---@param args string|table  its name (tunedModels/...); or model, config
---@return true|nil
---@return lgemini.Error|nil err
function Models:delete(args)
  options.check_self(self, Models, "models.delete")
  return require("lgemini.catalog").delete(self.client, args)
end

--- An iterator over the models: `for model in client.models:list{} do`.
---@param args table|nil  config: page_size; query_base = false for tuned models
---@return lgemini.Pager
function Models:list(args)
  options.check_self(self, Models, "models.list")
  return require("lgemini.catalog").list(self.client, args)
end

return models
