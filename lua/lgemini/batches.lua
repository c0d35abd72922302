--- client.batches: many requests at half the price, answered within a day (reference section 7.2).

require("lgemini.compat").goes_over_tables()

local answer = require "lgemini.answer"
local batch_source = require "lgemini.batch_source"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local lines = require "lgemini.lines"
local options = require "lgemini.options"
local pager = require "lgemini.pager"
local poll = require "lgemini.poll"
local refusal = require "lgemini.refusal"
local request = require "lgemini.request"
local schema = require "lgemini.schema"
local service = require "lgemini.service"

---@class lgemini.Batches
local Batches = { __name = "lgemini.Batches" }
Batches.__index = Batches

local batches = {}

---@param client lgemini.Client
function batches.new(client)
  return setmetatable({ client = client }, Batches)
end

local rows = endpoints.batches

-- Seconds between two looks at a batch, at most, and how long it is waited for where nobody says: then it has expired.
local LAST_POLL = 60
local LIFETIME = 48 * 3600

---@class lgemini.BatchJob
---@field name string  batches/...
---@field state string  JOB_STATE_PENDING, _RUNNING, _SUCCEEDED, _FAILED, _CANCELLED, _EXPIRED; of Vertex AI also
---  _PARTIALLY_SUCCEEDED
---@field model string?
---@field display_name string?
---@field create_time string?
---@field update_time string?
---@field end_time string?
---@field batch_stats table?  request_count, successful_request_count, failed_request_count, pending_request_count
---@field src table?  of Vertex AI: format, gcs_uri or bigquery_uri
---@field dest table?  what came of it: file_name, inlined_responses (response, error, metadata), or
---  inlined_embed_content_responses; client.batches:results reads all of them. Of Vertex AI: where it goes, as in src
---@field error { code: integer, message: string? }?  code is a number of gRPC

local ENDED = { JOB_STATE_SUCCEEDED = true, JOB_STATE_FAILED = true, JOB_STATE_CANCELLED = true,
  JOB_STATE_EXPIRED = true, JOB_STATE_PARTIALLY_SUCCEEDED = true }

-- The operation that the wire has, as the job that the SDKs have. Vertex AI has jobs, too.
local function job_of(operation)
  if schema.is(operation, "BatchPredictionJob") then
    return require("lgemini.vertex_batches").shown(operation)
  end
  local job = operation.metadata or {}
  job.name = operation.name or job.name
  job.state = (job.state or "BATCH_STATE_UNSPECIFIED"):gsub("^BATCH_", "JOB_")
  job.error = operation.error
  if operation.done and not ENDED[job.state] then -- the operation knows more than its metadata
    job.state = job.error and "JOB_STATE_FAILED" or "JOB_STATE_SUCCEEDED"
  end
  local output = job.output or operation.response
  job.output = nil
  if output and next(output) ~= nil then
    local embedded = output.inlined_embed_content_responses
    job.dest = {
      file_name = output.responses_file,
      inlined_responses = output.inlined_responses and output.inlined_responses.inlined_responses,
      inlined_embed_content_responses = embedded and embedded.inlined_responses,
    }
    job.dest = next(job.dest) ~= nil and job.dest or nil
  end
  return job
end

local function to_job(operation, err)
  if not operation then
    return nil, err
  end
  local job = job_of(operation)
  if not job.name then
    return nil, errors.new { kind = "protocol", message = "the server's answer names no batch" }
  end
  return job
end

-- Creating -------------------------------------------------------------------------------------

local function known_create(row)
  return { model = true, src = true, on_progress = true, reuse = true, config = service.known_config(row),
    contents = "src = { { contents = ... } }", requests = "src" }
end

local function create(self, row, args, kind)
  options.callback(args.on_progress, "on_progress")
  options.boolean(args.reuse, "reuse")
  local model, err = endpoints.name("models", args.model, "model", self.client.vertex)
  if not model then
    return nil, err
  elseif self.client.vertex and row.vertex then
    local job
    job, err = require("lgemini.vertex_batches").job(args, model)
    if not job then
      return nil, err
    end
    return to_job(service.ask(self.client, { row = row, args = args, about = { model = model },
      tree = function() return request.wire(job, row.vertex_answer) end }))
  end
  local input
  input, err = batch_source.of(self.client, args, model, kind)
  if not input then
    return nil, err
  end
  return to_job(service.ask(self.client, {
    row = row,
    args = args,
    found = input.found,
    about = { model = model:gsub("^models/", "") },
    tree = function()
      local tree, problem = service.config(args.config, row.config)
      if tree then
        tree.inputConfig, problem = input.tree()
      end
      if not (tree and tree.inputConfig) then
        return nil, problem
      end
      return { batch = tree }
    end,
  }))
end

local CREATE = known_create(rows.create)

--- Starts a batch of requests to generate content.
---@param args table  model; src: a list of requests ({ contents =, config =, key = or metadata = }), which go into one
---  request; a function that gives `key, request` (or only the request) each time it is called and nil at the end, for
---  any number of them: they are written to a temporary file as JSON lines, which is uploaded, as is the local media
---  in them; the name of a file with such lines, or a file object; at Vertex AI a place in the cloud, "gs://..." or
---  "bq://..."; config: display_name, webhook_config, priority, dest (Vertex AI: where the answers go);
---  on_progress(sent, total, file), reuse as for files:upload
---@return lgemini.BatchJob|nil
---@return lgemini.Error|nil err
function Batches:create(args)
  options.check_self(self, Batches, "batches.create")
  return create(self, rows.create, options.arguments(args, nil, CREATE, "batches:create"), "generate")
end

--- Starts a batch of texts to embed; each request of `src` has the config of embed_content.
---@param args table  model, src, config, on_progress, reuse as for create
---@return lgemini.BatchJob|nil
---@return lgemini.Error|nil err
function Batches:create_embeddings(args)
  options.check_self(self, Batches, "batches.create_embeddings")
  args = options.arguments(args, nil, CREATE, "batches:create_embeddings")
  return create(self, rows.create_embeddings, args, "embed")
end

-- Looking --------------------------------------------------------------------------------------

local NAMED = { name = true, config = options.CONFIG }

--- A batch as it is now.
---@param args string|table  its name; or name (a batch may stand for it), config
---@return lgemini.BatchJob|nil
---@return lgemini.Error|nil err
function Batches:get(args)
  options.check_self(self, Batches, "batches.get")
  args = service.arguments(args, "name", NAMED, "batches:get", "BatchJob")
  return to_job(service.ask(self.client, { row = rows.get, args = args }))
end

--- Ends a batch that is not done. What it has answered by then is paid for.
---@param args string|table  its name; or name, config
---@return true|nil
---@return lgemini.Error|nil err
function Batches:cancel(args)
  options.check_self(self, Batches, "batches.cancel")
  args = service.arguments(args, "name", NAMED, "batches:cancel", "BatchJob")
  return service.ask(self.client, { row = rows.cancel, args = args, tree = function() return {} end })
end

--- Deletes a batch.
---@param args string|table  its name; or name, config
---@return true|nil
---@return lgemini.Error|nil err
function Batches:delete(args)
  options.check_self(self, Batches, "batches.delete")
  args = service.arguments(args, "name", NAMED, "batches:delete", "BatchJob")
  return service.ask(self.client, { row = rows.delete, args = args })
end

--- An iterator over all batches: `for batch in client.batches:list{} do`.
---@param args table|nil  config: page_size
---@return lgemini.Pager
function Batches:list(args)
  options.check_self(self, Batches, "batches.list")
  args = options.arguments(args, nil, pager.KNOWN, "batches:list")
  return pager.new(self.client, rows.list, args, job_of)
end

-- What a batch that did not succeed is for those who waited for it.
local function not_succeeded(job)
  local err
  if job.error then
    err = refusal.from_status(job.error)
  elseif job.state == "JOB_STATE_CANCELLED" then
    err = errors.new { kind = "cancelled", message = ("the batch %s was cancelled"):format(job.name) }
  elseif job.state == "JOB_STATE_EXPIRED" then
    err = errors.new { kind = "unavailable", message = ("the service did not get to %s in time"):format(job.name),
      hint = "start it again, perhaps in smaller pieces" }
  else
    err = errors.new { kind = "http", message = ("the batch %s failed"):format(job.name) }
  end
  err.batch = job
  return nil, err
end

local WAIT = { name = true, timeout = true, config = options.CONFIG }

--- Waits until a batch has succeeded.
---@param args string|table  its name or a batch; or name, timeout (seconds, default 48 hours), config
---@return lgemini.BatchJob|nil
---@return lgemini.Error|nil err  what the batch ended in, or "timeout" (clock "processing"), with `err.batch`
function Batches:wait(args)
  options.check_self(self, Batches, "batches.wait")
  args = service.arguments(args, "name", WAIT, "batches:wait", "BatchJob")
  local seconds = options.number(args.timeout, "timeout") or LIFETIME
  if not (seconds > 0 and seconds <= LIFETIME) then
    return nil, errors.new { kind = "invalid",
      message = ("timeout: more than 0 and at most %d seconds expected, got %s"):format(LIFETIME, tostring(seconds)) }
  end
  local call, err = self.client:call(args.config, false)
  if not call then
    return nil, err
  end
  local function look(name, within)
    local sent, problem = service.request(within, { row = rows.get, args = { name = name } })
    if not sent then
      return nil, problem
    end
    return to_job(http.ask(within, sent, self.client.vertex and rows.get.vertex_answer or rows.get.answer))
  end
  local job
  job, err = look(args.name, call)
  if not job then
    return nil, err
  end
  job, err = poll.wait(call, job, seconds, {
    pending = function(seen) return not ENDED[seen.state] end,
    look = function(seen, within) return look(seen.name, within) end,
    pause = LAST_POLL,
    goal = "done",
    hint = "client.batches:wait{ name = ... }",
    field = "batch",
  })
  if job and job.state ~= "JOB_STATE_SUCCEEDED" and job.state ~= "JOB_STATE_PARTIALLY_SUCCEEDED" then
    return not_succeeded(job)
  end
  return job, err
end

-- Results --------------------------------------------------------------------------------------

local function is_text(value)
  return type(value) == "string" and value ~= ""
end

-- A line of the results, as the type that it is of; raises where it is no JSON.
local function decoded_line(text, number, max_depth)
  local line, err = answer.decode(text, "BatchLine", max_depth)
  if line == nil then
    error(errors.new { kind = err.kind == "limit" and "limit" or "protocol",
      message = ("line %d of the results is not JSON: %s"):format(number, err.message) }, 0)
  elseif not answer.checked(line) then
    return {}
  elseif line.response and rawget(line.response, "embedding") then
    return answer.decode(text, "BatchEmbeddingLine", max_depth)
  end
  return line
end

-- What a line of the results says: key, response, err.
local function result_of(text, number, max_depth)
  local line = decoded_line(text, number, max_depth)
  local metadata = type(line.metadata) == "table" and line.metadata or {}
  local key = is_text(line.key) and line.key or is_text(metadata.key) and metadata.key or tostring(number)
  if line.error then
    return key, nil, refusal.from_status(line.error)
  elseif not line.response then
    return key, nil, errors.new { kind = "protocol", message = "there is neither a response nor an error" }
  end
  return key, line.response
end

-- Those that came with the batch; they are converted already.
local function inlined_results(list)
  local at = 0
  return function()
    at = at + 1
    local item = list[at]
    if not item then
      return nil
    end
    local key = type(item.metadata) == "table" and item.metadata.key
    return is_text(key) and key or tostring(at), item.response, item.error and refusal.from_status(item.error) or nil
  end
end

-- The results in a file that stands at its beginning: at `to`, or one that nobody else sees and that goes by itself.
local function fetched(self, file_name, args)
  local file, why
  if not args.to then
    file, why = io.tmpfile()
    if not file then
      return nil, errors.new { kind = "io", message = "cannot make a temporary file: " .. tostring(why) }
    end
  end
  local got, err = self.client.files:download { file = file_name, to = args.to or file, config = args.config }
  if got and args.to then
    file, why = io.open(args.to, "rb")
    err = not file and errors.new { kind = "io", message = ("cannot read %s: %s"):format(args.to, tostring(why)) }
  elseif got then
    file:seek "set"
  elseif file then
    file:close()
    file = nil
  end
  return file, err
end

local RESULTS = { name = true, to = true, config = options.CONFIG }

--- The results of a batch that has succeeded: `for key, response, err in assert(client.batches:results(batch)) do`.
-- The key is the one of the request, or its number as text. `response` is an answer as generate_content gives it, or
-- what a text was embedded as; nil where that one request failed, and then `err` says why. Results in a file are
-- downloaded to the disk first and read line by line; where the file itself cannot be read on, the loop raises.
---@param args string|table  its name or a batch; or name, to (a path: where the file with the results stays), config
---@return nil|fun(): string|nil, table|nil, lgemini.Error|nil
---@return lgemini.Error|nil err  "precondition" where it has not succeeded, or what files:download gives
function Batches:results(args)
  options.check_self(self, Batches, "batches.results")
  args = service.arguments(args, "name", RESULTS, "batches:results", "BatchJob")
  options.string(args.to, "to")
  local job, err = args.name
  if not (type(job) == "table" and job.dest) then
    job, err = self:get { name = args.name, config = args.config }
  end
  if not job then
    return nil, err
  end
  if not job.dest then
    return nil, errors.new { kind = "precondition", message = ("%s has no results: its state is %s")
      :format(job.name, job.state), hint = "client.batches:wait{ name = ... } waits for them" }
  end
  local inlined = job.dest.inlined_responses or job.dest.inlined_embed_content_responses
  if inlined then
    return inlined_results(inlined)
  end
  if not job.dest.file_name then
    return nil, errors.new { kind = "invalid", message = "the results are not here: Vertex AI writes them to "
      .. tostring(job.dest.gcs_uri or job.dest.bigquery_uri), hint = "read them there, with a client of the cloud's" }
  end
  local file
  file, err = fetched(self, job.dest.file_name, args)
  if not file then
    return nil, err
  end
  local limits = self.client.limits
  local next_line, count = lines.of(file, limits.max_event), 0
  return function()
    local line, problem = next_line()
    if problem then
      error(problem, 0)
    elseif not line then
      return nil
    end
    count = count + 1
    return result_of(line, count, limits.max_depth)
  end
end

return batches
