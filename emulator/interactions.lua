-- Interactions: what generateContent answers, as steps, kept by id, in the background when asked to. Agents there are
-- none.

local check = require "check"
local clock = require "clock"
local errors = require "errors"
local events = require "events"
local generate = require "generate"
local intake = require "intake"
local json = require "json"
local models = require "models"
local store = require "store"

local interactions = {}
interactions.__index = interactions

local KNOWN = {}
for name in ("model agent input stream store background previous_interaction_id system_instruction tools "
  .. "generation_config response_format safety_settings service_tier labels webhook_config environment")
  :gmatch("%S+") do KNOWN[name] = true end

local MEDIA = { image = true, audio = true, video = true, document = true }

local function refuse(message, code)
  error(errors.plain(code or 400, code == 404 and "not_found" or "invalid_request", message))
end

---@param emu table the emulator's parts
---@return table interactions
function interactions.new(emu)
  local function missing(name) return errors.plain(404, "not_found", "Interaction " .. name .. " was not found.") end
  return setmetatable({ emu = emu, store = store.new("v1_", missing) }, interactions)
end

-- Contents of this API -> parts of the other.
local function part_of(content, where)
  if type(content) == "string" then return { text = content } end
  if type(content) ~= "table" then refuse(where .. ": content expected") end
  if content.type == "text" then return { text = content.text or "" } end
  if not MEDIA[content.type] then refuse(where .. ": unknown type of content: " .. tostring(content.type)) end
  if content.uri then return { fileData = { fileUri = content.uri, mimeType = content.mime_type } } end
  return { inlineData = { mimeType = content.mime_type, data = content.data } }
end

local function parts_of(list, where)
  local parts = {}
  for i, content in ipairs(list) do parts[i] = part_of(content, ("%s[%d]"):format(where, i - 1)) end
  return parts
end

local function turn_of(step, where)
  if step.type == "function_call" then
    return { role = "model", parts = { { functionCall = { id = step.id, name = step.name, args = step.arguments },
      thoughtSignature = step.signature } } }
  elseif step.type == "function_result" then
    local result = type(step.result) == "table" and step.result[1] == nil and step.result or { output = step.result }
    return { role = "user", parts = { { functionResponse = { id = step.call_id, name = step.name or "function",
      response = result } } } }
  end
  local content = type(step.content) == "table" and step.content or { step.content }
  if #content == 0 then return nil end
  return { role = step.type == "model_output" and "model" or "user", parts = parts_of(content, where .. ".content") }
end

local STEPS = { user_input = true, model_output = true, thought = true, function_call = true, function_result = true }

-- The input as steps: what it is when it is sent, and what is kept.
local function steps_of(input)
  if type(input) == "string" then return { { type = "user_input", content = { { type = "text", text = input } } } } end
  if type(input) ~= "table" or #input == 0 then refuse("input is needed") end
  if type(input[1]) == "table" and STEPS[input[1].type] then return input end
  return { { type = "user_input", content = input } }
end

local function turns_of(steps)
  local turns = {}
  for i, step in ipairs(steps) do
    if step.type ~= "thought" then turns[#turns + 1] = turn_of(step, ("input[%d]"):format(i - 1)) end
  end
  return turns
end

local function declared(tools)
  local functions = {}
  for _, tool in ipairs(tools or {}) do
    if tool.type == "function" then
      functions[#functions + 1] = { name = tool.name, description = tool.description,
        parametersJsonSchema = tool.parameters }
    end
  end
  return functions[1] and { { functionDeclarations = functions } } or nil
end

local function steps_from(response)
  local steps, output = {}, nil
  for _, part in ipairs((response.candidates[1].content or {}).parts or {}) do
    if part.functionCall then
      steps[#steps + 1] = { type = "function_call", id = part.functionCall.id or store.new_id(),
        name = part.functionCall.name, arguments = part.functionCall.args or {}, signature = part.thoughtSignature }
      output = nil
    elseif part.thought then
      steps[#steps + 1] = { type = "thought", summary = { { type = "text", text = part.text } } }
    elseif part.text ~= "" or part.inlineData then
      if not output then
        output = { type = "model_output", content = {} }
        steps[#steps + 1] = output
      end
      output.content[#output.content + 1] = part.text and { type = "text", text = part.text }
        or { type = part.inlineData.mimeType:match("^%a+"), mime_type = part.inlineData.mimeType,
          data = part.inlineData.data }
    end
  end
  return steps
end

local function answer(self, one, request)
  local turns = turns_of(one.input)
  local previous = one.previous
  while previous do
    local earlier = turns_of(previous.input)
    for _, turn in ipairs(turns_of(previous.steps)) do earlier[#earlier + 1] = turn end
    for _, turn in ipairs(turns) do earlier[#earlier + 1] = turn end
    turns, previous = earlier, previous.previous
  end
  local config = request.generation_config or {}
  local response = generate.response_to(self.emu, one.body, { owner = one.owner, model = one.model },
    check.message({
      contents = turns,
      systemInstruction = request.system_instruction and { parts = { { text = request.system_instruction } } },
      tools = declared(request.tools),
      generationConfig = { temperature = config.temperature, topP = config.top_p, seed = config.seed,
        stopSequences = config.stop_sequences, maxOutputTokens = config.max_output_tokens,
        responseMimeType = type(request.response_format) == "table" and request.response_format.mime_type or nil,
        responseJsonSchema = type(request.response_format) == "table" and request.response_format.schema or nil },
    }, "GenerateContentRequest"))
  one.steps = steps_from(response)
  local usage = response.usageMetadata
  one.usage = { total_input_tokens = usage.promptTokenCount, total_output_tokens = usage.candidatesTokenCount,
    total_thought_tokens = usage.thoughtsTokenCount, total_tokens = usage.totalTokenCount }
  local last = one.steps[#one.steps]
  one.final = last and last.type == "function_call" and "requires_action"
    or response.candidates[1].finishReason == "MAX_TOKENS" and "incomplete" or "completed"
end

local function status_of(self, one)
  if one.status == "in_progress" and self.emu.clock:now() >= one.ready then
    one.status, one.updated = one.final, one.ready
  end
  return one.status
end

local function show(self, one, with_input)
  local status = status_of(self, one)
  local running = status == "in_progress" or status == "cancelled"
  return { id = one.name, model = one.model, status = status, created = clock.stamp(one.created, 0):gsub("%.Z", "Z"),
    updated = clock.stamp(one.updated, 0):gsub("%.Z", "Z"), steps = not running and json.array(one.steps) or nil,
    usage = not running and one.usage or nil, input = with_input and one.input or nil,
    previous_interaction_id = one.previous and one.previous.name or nil }
end

-- The deltas of a content.
local function deltas_of(content)
  if content.type ~= "text" then return { content } end
  local list = {}
  for words in content.text:gmatch("%s*%S+%s?%S*%s?%S*") do list[#list + 1] = { type = "text", text = words } end
  return list
end

-- The events of an interaction, in order; each has an id by which a stream can be taken up.
local function events_of(self, one)
  local list = {}
  local function add(event)
    event.event_id = "e" .. (#list + 1)
    list[#list + 1] = event
  end
  local begun = show(self, one)
  begun.steps, begun.usage, begun.status = nil, nil, "in_progress"
  add({ event_type = "interaction.created", interaction = begun })
  for i, step in ipairs(one.steps) do
    local empty = {}
    for name, value in pairs(step) do
      if name ~= "content" and name ~= "arguments" then empty[name] = value end
    end
    add({ event_type = "step.start", index = i - 1, step = empty })
    for _, content in ipairs(step.content or {}) do
      for _, delta in ipairs(deltas_of(content)) do
        add({ event_type = "step.delta", index = i - 1, delta = delta })
      end
    end
    if step.arguments then
      add({ event_type = "step.delta", index = i - 1,
        delta = { type = "arguments_delta", arguments = json.encode(step.arguments) } })
    end
    add({ event_type = "step.stop", index = i - 1 })
  end
  local done = show(self, one)
  done.steps = nil
  add({ event_type = "interaction.completed", interaction = done })
  return list
end

local function stream(self, ex, one, after)
  local out = events.new(ex, self.emu.pace, true)
  local skipping = after ~= nil
  for _, event in ipairs(events_of(self, one)) do
    if not skipping and not out:send(event) then return end
    if event.event_id == after then skipping = false end
  end
  out:mark("[DONE]")
  out:finish()
end

--- POST interactions
---@param ex table exchange
---@param version string
function interactions:create(ex, version)
  local emu = self.emu
  local body = intake.read(ex, emu.temporary, emu.settings.inline_limit)
  ex.note_body(body)
  local request = body.value
  for name in pairs(request) do
    if not KNOWN[name] then refuse(("Unknown parameter: %s"):format(tostring(name))) end
  end
  if request.agent then refuse("The emulator has no agents.") end
  local model = tostring(request.model or ""):gsub("^models/", "")
  if model == "" then refuse("model or agent is needed") end
  models.find(model, "generateContent", version)
  local now = emu.clock:now()
  local one = { model = model, owner = ex.owner, body = body, input = steps_of(request.input), created = now,
    updated = now, previous = request.previous_interaction_id
      and self.store:find(request.previous_interaction_id, ex.owner) or nil }
  answer(self, one, request)
  one.body = { spools = {} }
  one.status = request.background and "in_progress" or one.final
  one.ready = request.background and now + emu.settings.background or now
  ex.note({ model = model })
  if request.store ~= false then
    self.store:add(one, ex.owner)
  else
    one.name = "v1_" .. store.new_id()
  end
  if request.stream then return stream(self, ex, one) end
  ex:answer_json(show(self, one))
end

function interactions:get(ex, id)
  local one = self.store:find(id, ex.owner)
  if ex.query.stream == "true" then return stream(self, ex, one, ex.query.last_event_id) end
  ex:answer_json(show(self, one, ex.query.include_input == "true"))
end

--- POST interactions/{id}/cancel
function interactions:cancel(ex, id)
  local one = self.store:find(id, ex.owner)
  ex:read_body(function() end)
  if status_of(self, one) == "in_progress" then one.status, one.updated = "cancelled", self.emu.clock:now() end
  ex:answer_json(show(self, one))
end

function interactions:delete(ex, id)
  self.store:remove(self.store:find(id, ex.owner))
  ex:answer_json({})
end

return interactions
