--- client.models: questions to models, and what models there are (reference sections 2 and 4).

local answer = require "lgemini.answer"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local options = require "lgemini.options"
local parts = require "lgemini.parts"
local request = require "lgemini.request"
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

local JSON = { ["Content-Type"] = "application/json" }

-- What not every program needs loads on first use: attach, operations, pager, service, stream.

local function known_config(row)
  local config = schema.known(row.config)
  config.http_options = options.HTTP
  return config
end

-- The names that a call with contents knows.
local function known_for(row)
  local inside = "contents = { { file = ... } }"
  return { model = true, contents = true, on_progress = true, reuse = true, config = known_config(row), file = inside,
    data = inside }
end

--- The names that a question to a model knows.
---@return lgemini.Known
function models.known()
  local known = known_for(rows.generate_content)
  known.approve = true
  known.config.automatic_function_calling = { disable = true, maximum_remote_calls = true, ignore_call_history = true }
  return known
end

-- The same, made once for all calls.
local question
local function known_question()
  question = question or models.known()
  return question
end

-- Requests -------------------------------------------------------------------------------------

---@class lgemini.models.Plan  a request with contents, before it is sent
---@field model string
---@field turns table[]
---@field found lgemini.parts.Found
---@field items lgemini.attach.Item[]
---@field instance table  in place of turns, where media is made
---@field place string|nil  what messages call the instance
---@field embed function|nil  for local media in it
---@field body table

local function make_body(self, call, row, args, plan)
  local tree, err = request.tree(row, {
    model = plan.model,
    contents = plan.turns,
    instance = plan.instance,
    place = plan.place,
    embed = plan.embed,
    config = args.config,
    extra_body = call.options.extra_body,
    vertex = self.client.vertex,
  })
  if not tree then
    return nil, err
  end
  local body = self.client.core.body.new()
  local ok
  ok, err = request.emit(tree, body)
  if not ok then
    return nil, err
  end
  return body
end

local function fit(self, plan)
  local length, limit = plan.body:length(), self.client.inline_limit
  if length <= limit then
    return false
  end
  return require("lgemini.attach").fit(plan.items, length, limit)
end

-- Everything that can be known before anything is sent.
local function make_plan(self, call, row, args, coerce)
  local plan, err = {}
  plan.model, err = endpoints.name("models", args.model, "model", self.client.vertex)
  if not plan.model then
    return nil, err
  end
  plan.turns, plan.found = coerce(args.contents)
  if not plan.turns then
    return nil, plan.found
  end
  local found = plan.found
  local has_media = next(found.locals) ~= nil or next(found.files) ~= nil
  plan.items = {}
  if has_media then
    plan.items, err = require("lgemini.attach").look(self.client, found)
    if not plan.items then
      return nil, err
    end
  end
  plan.body, err = make_body(self, call, row, args, plan)
  if not plan.body then
    return nil, err
  end
  local fits
  fits, err = fit(self, plan)
  if fits == nil then
    return nil, err
  end
  plan.due = has_media and require("lgemini.attach").is_due(plan.items, found)
  return plan
end

local function to_request(self, call, row, plan)
  local path, err = endpoints.path(row, { model = plan.model }, self.client.vertex)
  if not path then
    return nil, err
  end
  local query
  query, err = endpoints.query(row)
  if not query then
    return nil, err
  end
  return {
    verb = row.verb,
    url = self.client:url(call.options, row, path, query),
    headers = JSON,
    body = plan.body,
    raw = row.stream,
    starts = row.starts,
    about = { model = plan.model:gsub("^models/", ""), takes_media = true },
  }
end

-- Uploads what has to be uploaded, then makes the request: request, facts.
local function deliver(self, call, row, args, plan, facts)
  if plan.due then
    local uploads, err = require("lgemini.attach").deliver(call, plan.items, plan.found, args)
    if not uploads then
      return nil, err
    end
    facts.uploads = uploads
    plan.body, err = make_body(self, call, row, args, plan)
    if not plan.body then
      return nil, err
    end
  end
  return to_request(self, call, row, plan)
end

-- For when the service says that a file is gone which was uploaded for this very request, or long before it: the file
-- is uploaded again and the request is sent once more. -> function(err) -> request | nil, err
local function healer(self, call, row, args, plan, facts)
  local healed = false
  return function(err)
    local ours = false
    for _, file in ipairs(facts.uploads or {}) do
      ours = ours or file.name == err.file
    end
    if healed or not ours or err.kind ~= "file_expired" then
      return nil
    end
    healed = true
    require("lgemini.attach").forget(self.client, err.file)
    return deliver(self, call, row, args, plan, facts)
  end
end

local function facts_of(args)
  local config = args.config or {}
  local mime_type = config.response_mime_type
  if not mime_type and (config.response_schema ~= nil or config.response_json_schema ~= nil) then
    mime_type = request.JSON
  end
  return { uploads = {}, json = mime_type == request.JSON, enum = mime_type == "text/x.enum" }
end

-- The decoded answer of a call that is not a stream.
local function ask(call, sent, facts)
  local decoded, err, got = http.ask(call, sent)
  if decoded == nil then
    return nil, err
  elseif answer.is_error(decoded) then
    return nil, http.refused(call, sent, got)
  end
  facts.transport = http.transport(call, sent, got.headers, got.facts)
  return decoded
end

-- The turns as they are sent stand in facts.turns.
local function ask_with_contents(self, call, row, args, coerce, facts)
  local plan, err = make_plan(self, call, row, args, coerce)
  if not plan then
    return nil, err
  end
  facts.turns = plan.turns
  if plan.due and not call.options.timeout.total then
    call.deadline = nil -- uploads are guarded by the idle clock
  end
  local sent
  sent, err = deliver(self, call, row, args, plan, facts)
  if not sent then
    return nil, err
  end
  if plan.due and not call.options.timeout.total then
    call.deadline = self.client.tasks.now() + options.TOTAL
  end
  local decoded
  decoded, err = ask(call, sent, facts)
  if decoded == nil then
    local again, problem = healer(self, call, row, args, plan, facts)(err)
    if not again then
      return nil, problem or err
    end
    return ask(call, again, facts)
  end
  return decoded
end

local function count_or_embed(self, row, args, coerce)
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  return ask_with_contents(self, call, row, args, coerce, {})
end

-- Questions ------------------------------------------------------------------------------------

local NOTHING = { locals = {}, files = {} }

-- Who runs functions of the program for the model, where there are any.
local function runner_of(self, call, args)
  local tools = args.config and args.config.tools
  for _, tool in ipairs(type(tools) == "table" and tools or {}) do
    if type(tool) == "table" and getmetatable(tool) then
      return require("lgemini.tools").runner(self.client, call, args)
    end
  end
end

local function check_arguments(args)
  options.callback(args.on_progress, "on_progress")
  options.callback(args.approve, "approve")
  options.boolean(args.reuse, "reuse")
end

--- A question to a model, and the functions that it asks for: what generate_content and chats share.
---@param self lgemini.Models
---@param args table       of generate_content, checked by name
---@param coerce function  contents -> turns, found | nil, err
---@return lgemini.GenerateContentResponse|nil
---@return lgemini.Error|table turns  the turns that were asked last, as they were sent; or what went wrong
function models.ask(self, args, coerce)
  check_arguments(args)
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local runner = runner_of(self, call, args)
  while true do
    local facts = facts_of(args)
    local decoded, problem = ask_with_contents(self, call, rows.generate_content, args, coerce, facts)
    if decoded == nil then
      return nil, problem
    end
    facts.calls = runner and runner.history
    local response, nonsense = answer.generate(decoded, facts)
    if not response then
      return nil, nonsense
    end
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

--- The same as a stream: the chunks of all answers, one after the other.
---@param self lgemini.Models
---@param args table
---@param coerce function
---@param done function|nil  is told response, turns when all of it has come
---@return lgemini.Stream
function models.open(self, args, coerce, done)
  check_arguments(args)
  local row, facts, sent, plan = rows.generate_content_stream, facts_of(args), nil, nil
  local call, err = self.client:call(args.config, false)
  if call then
    plan, err = make_plan(self, call, row, args, coerce)
  end
  if plan and not plan.due then
    sent, err = to_request(self, call, row, plan)
  end
  local prepare = plan and plan.due and function()
    return deliver(self, call, row, args, plan, facts)
  end or nil
  local heal = prepare and healer(self, call, row, args, plan, facts)
  local runner = plan and runner_of(self, call, args)
  -- What the stream goes on with when an answer has come: request, facts; nil, err; nil alone at the end.
  local function follow(response)
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
    local next_plan, problem = make_plan(self, call, row, args, function() return turns, NOTHING end)
    if not next_plan then
      return nil, problem
    end
    plan = next_plan
    local request_again, refusal = to_request(self, call, row, plan)
    return request_again, request_again and again or refusal
  end
  return require("lgemini.stream").new(call, sent, err, prepare, facts, heal, (runner or done) and follow)
end

-- Calls ----------------------------------------------------------------------------------------

--- Asks a model and waits for the whole answer. Functions made with gemini.tool among config.tools are run when the
--- model asks for them.
---@param args table  model; contents (text, parts, media: see parts.lua); config (reference section 4, snake_case,
---  http_options, and automatic_function_calling); on_progress(sent, total, file) in bytes, for local files that are
---  uploaded first; reuse = false uploads them though the service has them; approve(call) for functions: see tools.lua
---@return lgemini.GenerateContentResponse|nil
---@return lgemini.Error|nil err
function Models:generate_content(args)
  options.check_self(self, Models, "models.generate_content")
  args = options.arguments(args, nil, known_question(), "generate_content")
  local response, err = models.ask(self, args, parts.contents)
  if not response then
    return nil, err
  end
  return response
end

--- Asks a model and hands the answer on while it is written: `for chunk, stream in ... do`. Always returns a stream;
--- what goes wrong shows at its first chunk.
---@param args table  as generate_content's
---@return lgemini.Stream
function Models:generate_content_stream(args)
  options.check_self(self, Models, "models.generate_content_stream")
  args = options.arguments(args, nil, known_question(), "generate_content_stream")
  return models.open(self, args, parts.contents):each()
end

--- Counts the tokens of a request without asking it.
---@param args table  model, contents, config (system_instruction, tools, generation_config)
---@return table|nil   total_tokens, ...
---@return lgemini.Error|nil err
function Models:count_tokens(args)
  options.check_self(self, Models, "models.count_tokens")
  local row = rows.count_tokens
  args = options.arguments(args, nil, known_for(row), "count_tokens")
  local decoded, err = count_or_embed(self, row, args, parts.contents)
  if decoded == nil then
    return nil, err
  end
  return answer.convert(decoded, row.answer)
end

--- The embedding of each item of contents.
---@param args table  model, contents, config (task_type, title, output_dimensionality)
---@return table|nil   embeddings: a list of { values = {...} }
---@return lgemini.Error|nil err
function Models:embed_content(args)
  options.check_self(self, Models, "models.embed_content")
  local row = rows.embed_content
  args = options.arguments(args, nil, known_for(row), "embed_content")
  local decoded, err = count_or_embed(self, row, args, parts.each)
  if decoded == nil then
    return nil, err
  end
  if self.client.vertex then
    return answer.predicted_embeddings(decoded)
  end
  return answer.convert(decoded, row.answer)
end

-- Images and videos --------------------------------------------------------------------------------

local function make_media_request(self, call, row, args, plan)
  local err
  plan.model, err = endpoints.name("models", args.model, "model", self.client.vertex)
  if not plan.model then
    return nil, err
  end
  plan.body, err = make_body(self, call, row, args, plan)
  if not plan.body then
    return nil, err
  end
  local fits
  plan.items = {}
  fits, err = fit(self, plan)
  if fits == nil then
    err.hint = "make the image or video smaller, or raise inline_limit of Client{} (the service takes 100 MB)"
    return nil, err
  end
  return to_request(self, call, row, plan)
end

--- Images out of a text, by models that only make images. Google retires these; others draw when generate_content
--- asks them to.
---@param args table  model, prompt, config (number_of_images, aspect_ratio, ...)
---@return table|nil   generated_images: a list of { image = { image_bytes =, mime_type = }, rai_filtered_reason = }
---@return lgemini.Error|nil err
function Models:generate_images(args)
  options.check_self(self, Models, "models.generate_images")
  local row = rows.generate_images
  args = options.arguments(args, nil, { model = true, prompt = true, config = known_config(row), contents = "prompt" },
    "generate_images")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local sent
  sent, err = make_media_request(self, call, row, args, { instance = { prompt = args.prompt } })
  if not sent then
    return nil, err
  end
  local decoded
  decoded, err = ask(call, sent, {})
  if decoded == nil then
    return nil, err
  end
  return answer.images(decoded)
end

local function video_plan(self, args)
  local beside = { prompt = args.prompt, image = args.image, video = args.video }
  options.table(args.source, "source")
  if args.source and next(beside) ~= nil then
    return nil, errors.new { kind = "invalid", message = "prompt, image and video stand in source, or in its place" }
  end
  return {
    instance = args.source or beside,
    place = args.source and "source",
    embed = function(value, field, place) return require("lgemini.attach").embed(self.client, value, field, place) end,
  }
end

--- Starts to make videos out of a text, an image or a video. client.operations:wait waits for them, and
--- client.files:download fetches them.
---@param args table  model; prompt, image, video (or these in source): an image or a video is { file = path },
---  { data = bytes } or one of the API's; config (number_of_videos, duration_seconds, ...)
---@return lgemini.Operation|nil
---@return lgemini.Error|nil err
function Models:generate_videos(args)
  options.check_self(self, Models, "models.generate_videos")
  local row = rows.generate_videos
  local source = { prompt = true, image = true, video = true }
  args = options.arguments(args, nil, { model = true, prompt = true, image = true, video = true, source = source,
    config = known_config(row), contents = "prompt", file = "image = { file = ... }" }, "generate_videos")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local plan, sent
  plan, err = video_plan(self, args)
  if not plan then
    return nil, err
  end
  sent, err = make_media_request(self, call, row, args, plan)
  if not sent then
    return nil, err
  end
  return require("lgemini.operations").ask(call, sent)
end

local GET = { model = true, config = { http_options = options.HTTP } }

--- What is known of a model.
---@param args string|table  its name; or model, config
---@return table|nil
---@return lgemini.Error|nil err
function Models:get(args)
  options.check_self(self, Models, "models.get")
  args = options.arguments(args, "model", GET, "models:get")
  local call, err = self.client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local path
  path, err = endpoints.path(rows.get, args, self.client.vertex)
  if not path then
    return nil, err
  end
  local decoded
  decoded, err = ask(call, { verb = "GET", url = self.client:url(call.options, rows.get, path, ""),
    about = { model = path:gsub("^models/", "") } }, {})
  if decoded == nil then
    return nil, err
  end
  return answer.convert(decoded, rows.get.answer)
end

local UPDATE = { model = true, config = known_config(rows.update) }

--- Changes how a tuned model is called.
---@param args table  model (tunedModels/...); config: display_name, description
---@return table|nil
---@return lgemini.Error|nil err
function Models:update(args)
  options.check_self(self, Models, "models.update")
  args = options.arguments(args, nil, UPDATE, "models:update")
  local service = require "lgemini.service"
  return service.ask(self.client, { row = rows.update, args = args,
    tree = function() return service.config(args.config, rows.update.request) end })
end

--- Deletes a tuned model.
---@param args string|table  its name (tunedModels/...); or model, config
---@return true|nil
---@return lgemini.Error|nil err
function Models:delete(args)
  options.check_self(self, Models, "models.delete")
  args = options.arguments(args, "model", GET, "models:delete")
  return require("lgemini.service").ask(self.client, { row = rows.delete, args = args })
end

--- An iterator over the models: `for model in client.models:list{} do`.
---@param args table|nil  config: page_size; query_base = false for tuned models
---@return lgemini.Pager
function Models:list(args)
  options.check_self(self, Models, "models.list")
  local known = { config = schema.known(rows.list.config) }
  known.config.http_options = options.HTTP
  known.config.page_token = true
  args = options.arguments(args, nil, known, "models:list")
  local tuned = args.config and args.config.query_base == false
  return require("lgemini.pager").new(self.client, tuned and rows.list_tuned or rows.list, args)
end

return models
