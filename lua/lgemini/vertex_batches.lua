--- Batches of Vertex AI: requests and answers are lines in Google Cloud Storage, or rows in BigQuery. What is sent for
--- them, and what came, as client.batches has it.

local errors = require "lgemini.errors"
local options = require "lgemini.options"
local schema = require "lgemini.schema"

local vertex_batches = {}

local NAME = "lgemini batch" -- the service wants one

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

local WHERE = 'name "gs://..." or "bq://...": Vertex AI has its batches there'

-- A place in the cloud: "gs" or "bq", and its URIs.
local function place_of(value, name)
  if type(value) == "table" and not value[1] then
    options.check(value, { gcs_uri = true, bigquery_uri = true, format = true }, name)
    value = value.gcs_uri or value.bigquery_uri
  end
  local list = type(value) == "table" and value or { value }
  local kind = type(list[1]) == "string" and list[1]:match "^(%l%l)://."
  if kind ~= "gs" and kind ~= "bq" then
    return invalid(name .. ": a place in the cloud is needed", WHERE)
  end
  for i, uri in ipairs(list) do
    if type(uri) ~= "string" or uri:sub(1, 2) ~= kind or (kind == "bq" and i > 1) then
      return invalid(("%s[%d]: files of Cloud Storage, or one table, are needed"):format(name, i), WHERE)
    end
  end
  return kind, list
end

-- Where the answers go: as in the SDKs beside the requests, where nobody says.
local function destination(given, kind, uris)
  if given ~= nil then
    return place_of(given, "config.dest")
  elseif kind == "bq" then
    return invalid("config.dest: the table that the answers go into is needed", "config = { dest = \"bq://...\" }")
  end
  return "gs", { (uris[1]:gsub("%.jsonl$", "")) .. "/dest" }
end

--- What is sent for a batch.
---@param args table  of batches:create
---@param model string  its full name
---@return table|nil job  of type BatchPredictionJob
---@return lgemini.Error|nil err
function vertex_batches.job(args, model)
  local config = args.config or {}
  for _, name in ipairs { "webhook_config", "priority" } do
    if config[name] ~= nil then
      return invalid(("config.%s: only the Gemini API takes this field, Vertex AI does not"):format(name))
    end
  end
  local kind, uris = place_of(args.src, "src")
  if not kind then
    return nil, uris
  end
  local to, where = destination(config.dest, kind, uris)
  if not to then
    return nil, where
  end
  return {
    model = model,
    display_name = config.display_name or NAME,
    input_config = kind == "gs" and { instances_format = "jsonl", gcs_source = { uris = uris } }
      or { instances_format = "bigquery", bigquery_source = { input_uri = uris[1] } },
    output_config = to == "gs" and { predictions_format = "jsonl", gcs_destination = { output_uri_prefix = where[1] } }
      or { predictions_format = "bigquery", bigquery_destination = { output_uri = where[1] } },
  }
end

--- What came, as the job that the SDKs have.
---@param job table  of type BatchPredictionJob
---@return lgemini.BatchJob
function vertex_batches.shown(job)
  local from, to = job.input_config, job.output_config
  if from then
    job.src = { format = from.instances_format, gcs_uri = from.gcs_source and from.gcs_source.uris,
      bigquery_uri = from.bigquery_source and from.bigquery_source.input_uri }
  end
  if to then
    job.dest = { format = to.predictions_format, gcs_uri = to.gcs_destination and to.gcs_destination.output_uri_prefix,
      bigquery_uri = to.bigquery_destination and to.bigquery_destination.output_uri }
  end
  job.input_config, job.output_config = nil, nil
  job.state = job.state or "JOB_STATE_UNSPECIFIED"
  return setmetatable(job, schema.mark "BatchJob")
end

return vertex_batches
