--- client.tunings: models that were trained further (reference section 7.6). Google tunes no current model of the
--- Gemini API; what was tuned can be looked at and deleted.

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local options = require "lgemini.options"
local pager = require "lgemini.pager"
local request = require "lgemini.request"
local service = require "lgemini.service"

---@class lgemini.Tunings
local Tunings = { __name = "lgemini.Tunings" }
Tunings.__index = Tunings

local tunings = {}

---@param client lgemini.Client
function tunings.new(client)
  return setmetatable({ client = client }, Tunings)
end

local rows = endpoints.tunings

---@class lgemini.TuningJob
---@field name string  tunedModels/...
---@field state string  JOB_STATE_QUEUED, _RUNNING, _SUCCEEDED, _FAILED
---@field base_model string?
---@field tuned_model { model: string }?  what generate_content takes as model, once it has succeeded
---@field display_name string?
---@field create_time string?
---@field update_time string?
---@field operation string?  of `tune`: the operation's name

local STATES = { STATE_UNSPECIFIED = "JOB_STATE_UNSPECIFIED", CREATING = "JOB_STATE_RUNNING",
  ACTIVE = "JOB_STATE_SUCCEEDED", FAILED = "JOB_STATE_FAILED" }

local function job_of(model)
  model.state = STATES[model.state] or model.state
  if model.state == "JOB_STATE_SUCCEEDED" then
    model.tuned_model = { model = model.name }
  end
  return model
end

-- The body, each part of it under the name that the caller gave it.
local function tree_of(model, data, config)
  local examples, err = request.wire({ examples = data.examples }, "TuningExamples", "training_dataset")
  local parameters
  if examples then
    parameters, err = request.wire({ epoch_count = config.epoch_count, batch_size = config.batch_size,
      learning_rate_multiplier = config.learning_rate_multiplier }, "Hyperparameters", "config")
  end
  local tree
  if parameters then
    tree, err = request.wire({ display_name = config.tuned_model_display_name }, rows.tune.request, "config")
  end
  if not tree then
    return nil, err
  end
  tree.baseModel = json.quote(model)
  tree.tuningTask = { hyperparameters = parameters, trainingData = { examples = examples } }
  return tree
end

local TUNE = { base_model = true, training_dataset = { examples = true }, config = service.known_config(rows.tune) }

--- Starts to train a model further.
---@param args table  base_model; training_dataset: { examples = { { text_input =, output = }, ... } }; config:
---  tuned_model_display_name, epoch_count, batch_size, learning_rate_multiplier
---@return lgemini.TuningJob|nil
---@return lgemini.Error|nil err
function Tunings:tune(args)
  options.check_self(self, Tunings, "tunings.tune")
  args = options.arguments(args, nil, TUNE, "tunings:tune")
  local model, err = endpoints.name("models", args.base_model, "base_model")
  if not model then
    return nil, err
  end
  local data, config = options.table(args.training_dataset, "training_dataset") or {}, args.config or {}
  if type(data.examples) ~= "table" or #data.examples == 0 then
    return nil, errors.new { kind = "invalid", message = "training_dataset.examples: examples are needed",
      hint = "an example is { text_input = ..., output = ... }" }
  end
  options.string(config.tuned_model_display_name, "config.tuned_model_display_name")
  local operation
  operation, err = service.ask(self.client, { row = rows.tune, args = args, about = { model = model },
    tree = function() return tree_of(model, data, config) end })
  if not operation then
    return nil, err
  end
  local name = operation.metadata and operation.metadata.tuned_model
  if not name then
    return nil, errors.new { kind = "protocol", message = "the server's answer names no tuned model" }
  end
  return { name = name, state = "JOB_STATE_QUEUED", base_model = model, operation = operation.name }
end

local NAMED = { name = true, config = options.CONFIG }

--- A tuning as it is now.
---@param args string|table  its name (tunedModels/...); or name, config
---@return lgemini.TuningJob|nil
---@return lgemini.Error|nil err
function Tunings:get(args)
  options.check_self(self, Tunings, "tunings.get")
  args = service.arguments(args, "name", NAMED, "tunings:get", "TunedModel")
  local model, err = service.ask(self.client, { row = rows.get, args = args })
  return model and job_of(model), err
end

--- Deletes a tuned model.
---@param args string|table  its name; or name, config
---@return true|nil
---@return lgemini.Error|nil err
function Tunings:delete(args)
  options.check_self(self, Tunings, "tunings.delete")
  args = service.arguments(args, "name", NAMED, "tunings:delete", "TunedModel")
  return service.ask(self.client, { row = rows.delete, args = args })
end

--- An iterator over all tunings: `for job in client.tunings:list{} do`.
---@param args table|nil  config: page_size
---@return lgemini.Pager
function Tunings:list(args)
  options.check_self(self, Tunings, "tunings.list")
  args = options.arguments(args, nil, pager.KNOWN, "tunings:list")
  return pager.new(self.client, rows.list, args, job_of)
end

return tunings
