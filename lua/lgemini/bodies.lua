--- The bodies of calls that not every program makes, as trees: see request.tree, which loads this file on first use.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local schema = require "lgemini.schema"
local wire = require "lgemini.wire"

local bodies = {}

-- What images are to be as files, which Vertex AI has in an object of its own.
local OUTPUT = { outputMimeType = "mimeType", outputCompressionQuality = "compressionQuality" }

--- A generation config as Vertex AI has it.
---@param tree table  of a GenerationConfig, which is changed
function bodies.at_vertex(tree)
  tree.modelConfig, tree.modelSelectionConfig = tree.modelSelectionConfig, nil
  local image = tree.imageConfig or {}
  for name, inner in pairs(OUTPUT) do
    if image[name] then
      image.imageOutputOptions = image.imageOutputOptions or {}
      image.imageOutputOptions[inner], image[name] = image[name], nil
    end
  end
end

-- `contents` alone, or a whole request where the config has more that counts.
function bodies.count(args, config)
  local contents, err = wire.contents(args)
  if not contents then return nil, err end
  local whole = {}
  local ok
  ok, err = wire.config(args, config, whole)
  if ok and whole.generationConfig then
    if args.vertex then bodies.at_vertex(whole.generationConfig) end
    ok, err = wire.answer_form(whole.generationConfig, "config.generation_config")
  end
  if not ok then return nil, err end
  if args.vertex or next(whole) == nil then -- there it all stands beside the contents
    whole.contents = contents
    return whole
  end
  whole.contents, whole.model = contents, json.quote(args.model)
  return { generateContentRequest = whole }
end

-- Texts as Vertex AI embeds them: instances, and parameters for all of them.
local function embed_at_vertex(args, config)
  local instances, parameters = json.array {}, {}
  for i, turn in ipairs(args.contents) do
    local texts = {}
    for _, part in ipairs(turn.parts or {}) do
      if type(part.text) ~= "string" then
        return nil, errors.new { kind = "invalid", message = ("contents[%d]: Vertex AI embeds texts only"):format(i) }
      end
      texts[#texts + 1] = part.text
    end
    local tree, ok = {}, nil
    local text, err = wire.text(table.concat(texts), ("contents[%d]"):format(i))
    if text then ok, err = wire.config(args, config, tree) end
    if not ok then return nil, err end
    instances[i] = { content = text, task_type = tree.taskType, title = tree.title, mimeType = tree.mimeType }
    parameters.outputDimensionality, parameters.autoTruncate = tree.outputDimensionality, tree.autoTruncate
  end
  return { instances = instances, parameters = next(parameters) ~= nil and parameters or nil }
end

-- One content, of any kind, and what is wanted of it apart.
function bodies.embed_alone(args, config)
  if #args.contents ~= 1 then
    return nil, errors.new { kind = "invalid", message = "contents: this model embeds one content at a time",
      hint = "call it for each, or make one turn of them: { role = \"user\", parts = { ... } }" }
  elseif args.config and args.config.mime_type then
    return nil, errors.new { kind = "invalid", message = "config.mime_type: this model does not take it" }
  end
  local contents, err = wire.contents(args)
  if not contents then return nil, err end
  local wanted = {}
  local ok
  ok, err = wire.config(args, config, wanted)
  if not ok then return nil, err end
  return { content = contents[1], embedContentConfig = next(wanted) ~= nil and wanted or nil }
end

-- One request for each turn.
function bodies.embed(args, config)
  if args.vertex then return embed_at_vertex(args, config) end
  local contents, err = wire.contents(args)
  if not contents then return nil, err end
  local requests = json.array {}
  for i = 1, #contents do
    local tree = { model = json.quote(args.model), content = contents[i] }
    local ok
    ok, err = wire.config(args, config, tree)
    if not ok then return nil, err end
    requests[i] = tree
  end
  return { requests = requests }
end

-- What models that make images and videos take. Labels and a place in the cloud are Vertex AI's alone.
local function prediction(instance, parameters)
  local labels = parameters.labels
  parameters.labels = nil
  parameters.storageUri, parameters.outputGcsUri = parameters.outputGcsUri, nil
  return { instances = json.array { instance }, parameters = next(parameters) ~= nil and parameters or nil,
    labels = labels }
end

-- Names of a video, by what the Gemini API calls them.
local VIDEO = { uri = "gcsUri", encodedVideo = "bytesBase64Encoded", encoding = "mimeType" }

-- What Vertex AI has otherwise in an instance.
local function instance_at_vertex(instance, mask)
  if instance.video then
    local video = {}
    for name, node in pairs(instance.video) do video[VIDEO[name] or name] = node end
    instance.video = video
  end
  if mask then
    instance.mask = mask.image or {}
    instance.mask.maskMode = mask.maskMode
  end
end

function bodies.images(args, config)
  local instance, err = wire.object(args.instance, "GenerateImagesInstance", nil, nil, args.vertex)
  if not instance then return nil, err end
  if not instance.prompt then return nil, errors.new { kind = "invalid", message = "a prompt is needed" } end
  local parameters, output = {}, {}
  local ok
  ok, err = wire.config(args, config, parameters, schema.type("ImageOutputOptions"), output)
  if not ok then return nil, err end
  if next(output) ~= nil then parameters.outputOptions = output end
  return prediction(instance, parameters)
end

function bodies.videos(args, config)
  local instance, err = wire.object(args.instance, "GenerateVideosInstance", args.place, args.embed,
    args.vertex)
  if not instance then return nil, err end
  if not (instance.prompt or instance.image or instance.video) then
    return nil, errors.new { kind = "invalid", message = "one of prompt, image and video is needed" }
  end
  local parameters = {}
  local ok
  ok, err = wire.config(args, config, parameters, schema.type("GenerateVideosInstance"), instance)
  if not ok then return nil, err end
  local webhook, mask = parameters.webhookConfig, parameters.mask
  parameters.webhookConfig, parameters.mask = nil, nil
  if args.vertex then instance_at_vertex(instance, mask) end
  local tree = prediction(instance, parameters)
  tree.webhookConfig = webhook
  return tree
end

return bodies
