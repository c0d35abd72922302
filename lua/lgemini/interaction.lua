--- Interactions as the caller has them: media in what is sent, what came as one answer, and the events of a stream
--- (reference section 7.11). Names are those of the wire; only the bytes of media are encoded and decoded.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local limits = require "lgemini.limits"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

local interaction = {}

-- Content that carries bytes in `data`.
local MEDIA = { image = true, audio = true, video = true, document = true }
-- Members that are the user's own data.
local OPAQUE = { arguments = true, result = true }
-- Content within content cannot go deeper than this; json.decode has a limit of its own.
local MAX_DEPTH = 100

-- What came of the service with `data` or `file` in it, and whether the data was decoded. It goes back as it came: its
-- `file` is no path of this machine.
local came = setmetatable({}, { __mode = "k" })

local function copy(value)
  local out = {}
  for name, item in pairs(value) do
    out[name] = item
  end
  came[out] = came[value]
  return out
end

-- What is sent ---------------------------------------------------------------------------------

local function kind_of(mime_type)
  local kind = mime_type:match "^%a+"
  return kind and MEDIA[kind] and kind or "document"
end

-- Local media as the API has it: { type =, mime_type =, data = }.
local function local_media(value, embed, place)
  local content = copy(value)
  local embedded, err = embed({ file = value.file, data = value.data, mime_type = value.mime_type }, "data", place)
  if not embedded then
    return nil, err
  end
  content.file, content.mime_type = nil, embedded.mime_type
  content.type = value.type or kind_of(embedded.mime_type)
  content.data = type(embedded.data) == "string" and request.bytes(embedded.data) or embedded.data
  return content
end

local function has_media(value)
  return (value.data ~= nil or value.file ~= nil) and (value.type == nil or MEDIA[value.type]) and not came[value]
end

local function prepared(value, embed, place, depth)
  if type(value) ~= "table" or value == json.null then
    return value
  elseif depth > MAX_DEPTH then
    return nil, errors.new { kind = "invalid", message = place .. " is nested too deep (a table within itself?)" }
  elseif schema.is(value, "File") then
    return { type = kind_of(value.mime_type or ""), uri = value.uri, mime_type = value.mime_type }
  elseif has_media(value) then
    return local_media(value, embed, place)
  end
  local out = json.is_array(value) and json.array {} or {}
  for key, item in pairs(value) do
    local err
    if key == "data" and came[value] == "decoded" and type(item) == "string" then
      item = request.bytes(item)
    elseif not OPAQUE[key] then
      local inner = type(key) == "number" and ("%s[%d]"):format(place, key) or ("%s.%s"):format(place, tostring(key))
      item, err = prepared(item, embed, inner, depth + 1)
      if item == nil then
        return nil, err
      end
    end
    out[key] = item
  end
  return out
end

--- The input of an interaction, its local media in the wire's form. Strings in a list are texts, file objects media.
---@param input any
---@param embed fun(value: table, field: string, place: string): table|nil, lgemini.Error|nil
---@return any|nil
---@return lgemini.Error|nil err
function interaction.input(input, embed)
  if type(input) == "table" and input[1] == nil and next(input) ~= nil then
    input = { input } -- one content or step
  end
  local made, err = prepared(input, embed, "input", 1)
  for i, item in ipairs(type(made) == "table" and made or {}) do
    if type(item) == "string" then
      made[i] = { type = "text", text = item }
    elseif type(item) == "table" and type(item.text) == "string" then
      item.type = item.type or "text"
    end
  end
  return made, err
end

-- What came ------------------------------------------------------------------------------------

---@class lgemini.Interaction
---@field id string
---@field status string  in_progress, requires_action, completed, failed, cancelled, incomplete, budget_exceeded, queued
---@field steps table[]  what was done, one after the other; empty where nothing was
---@field text string  all text of the model's output; "" where there is none
---@field function_calls table[]  steps of type function_call: id, name, arguments
---@field media table[]  content that carries bytes: type, mime_type, data (raw bytes)
---@field usage table  total_input_tokens, total_output_tokens, total_tokens, ...: numbers, 0 where nothing came
---@field model string?
---@field agent string?
---@field created string?
---@field updated string?
---@field error table?
---@field last_event_id string?  of stream.response: where to go on
local Interaction = { __name = "lgemini.Interaction" }

local Usage = { __name = "lgemini.InteractionUsage", __index = function(_, key)
  return type(key) == "string" and key:find "tokens$" and 0 or nil
end }

local get = {}

local methods = {}

function Interaction.__index(self, key)
  if get[key] then
    return get[key](self)
  end
  return methods[key]
end

--- Writes the media of the interaction to a file, by the name's extension: one image, or one sound, whose samples
--- become a WAV in a `.wav`.
---@param path string
---@return true|nil
---@return lgemini.Error|nil err  "invalid": there are none or several, or a file of this name does not hold them; "io"
function methods.save(self, path)
  local save = require "lgemini.save"
  save.path(path, "interaction:save")
  local parts = {}
  for i, content in ipairs(self.media) do
    local mime_type = type(content.mime_type) == "string" and content.mime_type or nil
    parts[i] = { inline_data = { mime_type = mime_type, data = content.data } }
  end
  return save.parts(path, parts)
end

function get.steps()
  return {}
end

function get.usage()
  return setmetatable({}, Usage)
end

local function outputs(self, visit)
  for _, step in ipairs(self.steps) do
    if type(step) == "table" and step.type == "model_output" then
      for _, content in ipairs(type(step.content) == "table" and step.content or {}) do
        if type(content) == "table" then
          visit(content)
        end
      end
    end
  end
end

function get.text(self)
  local texts = {}
  outputs(self, function(content)
    if content.type == "text" and type(content.text) == "string" then
      texts[#texts + 1] = content.text
    end
  end)
  return table.concat(texts)
end

function get.media(self)
  local found = {}
  outputs(self, function(content)
    if MEDIA[content.type] and type(content.data) == "string" then
      found[#found + 1] = content
    end
  end)
  return found
end

function get.function_calls(self)
  local found = {}
  for _, step in ipairs(self.steps) do
    if type(step) == "table" and step.type == "function_call" then
      found[#found + 1] = step
    end
  end
  return found
end

-- Decodes the bytes of media where they stand; nulls are absent, but for user data.
local function decode_media(value)
  local is_media = MEDIA[value.type] and type(value.data) == "string"
  for key, item in pairs(value) do
    if item == json.null then
      value[key] = nil
    elseif type(item) == "table" and not OPAQUE[key] then
      local ok, err = decode_media(item)
      if not ok then
        return nil, err
      end
    end
  end
  if is_media then
    local bytes, err = require("lgemini.core").base64.decode(value.data)
    if not bytes then
      return nil, errors.new { kind = "protocol", message = "the server's answer makes no sense: " .. err.message }
    end
    value.data = bytes
  end
  if value.data ~= nil or value.file ~= nil then
    came[value] = is_media and "decoded" or "verbatim"
  end
  return true
end

--- A decoded interaction as the caller gets it.
---@param decoded any
---@return lgemini.Interaction|nil
---@return lgemini.Error|nil err
function interaction.of(decoded)
  if type(decoded) ~= "table" or json.is_array(decoded) then
    return nil, errors.new { kind = "protocol", message = "the server's answer makes no sense: an object was expected" }
  end
  local ok, err = decode_media(decoded)
  if not ok then
    return nil, err
  end
  if type(decoded.steps) ~= "table" then
    decoded.steps = nil
  end
  decoded.usage = type(decoded.usage) == "table" and setmetatable(decoded.usage, Usage) or nil
  return setmetatable(decoded, Interaction)
end

-- Streams --------------------------------------------------------------------------------------

---@class lgemini.InteractionEvent
---@field event_type string
---@field event_id string?
---@field index integer?  of the step, from 0
---@field step table?
---@field delta table?  type: text, arguments_delta, thought_summary, thought_signature, image, ...
---@field interaction table?
---@field text string  of a delta of text; ""
local Event = { __name = "lgemini.InteractionEvent" }

function Event.__index(self, key)
  if key == "text" then
    local delta = rawget(self, "delta")
    return type(delta) == "table" and delta.type == "text" and type(delta.text) == "string" and delta.text or ""
  end
end

-- Statuses after which nothing follows.
local ENDED = { completed = true, requires_action = true, failed = true, cancelled = true, incomplete = true,
  budget_exceeded = true }
interaction.ENDED = ENDED

local Accumulator = {}
Accumulator.__index = Accumulator

-- Texts that follow each other: pieces, and the content that they began with.
local Run = {}

-- A server may send anything: what is not as it should be stays in the fields as it came, and is not joined.
local function new_step(given)
  local step = { fields = copy(given), content = nil, summary = nil, arguments = nil }
  for _, name in ipairs { "content", "summary" } do
    if type(given[name]) == "table" then
      step[name], step.fields[name] = copy(given[name]), nil
    end
  end
  return step
end

local function append(step, name, item)
  step[name] = step[name] or {}
  table.insert(step[name], item)
end

-- What is joined of each kind of delta.
local joins = {}

function joins.text(step, delta)
  if type(delta.text) ~= "string" then
    return
  end
  local list = step.content or {}
  local last = list[#list]
  if getmetatable(last) ~= Run then
    local begun = type(last) == "table" and last.type == "text" and type(last.text) == "string"
    local run = setmetatable({ of = begun and last or { type = "text" }, pieces = { begun and last.text or nil } }, Run)
    list[begun and #list or #list + 1], last = run, run
  end
  table.insert(last.pieces, delta.text)
  step.content = list
end

function joins.arguments_delta(step, delta)
  if type(delta.arguments) == "string" then
    append(step, "arguments", delta.arguments)
  end
end

function joins.thought_signature(step, delta)
  step.fields.signature = delta.signature or delta.thought_signature
end

function joins.thought_summary(step, delta)
  append(step, "summary", delta.content or delta)
end

for kind in pairs(MEDIA) do
  joins[kind] = function(step, delta) append(step, "content", delta) end
end

--- Takes one event.
---@param event lgemini.InteractionEvent
---@return nil
---@return lgemini.Error|nil err  kind "limit": there is more than may be held
function Accumulator:add(event)
  self.whole = nil
  self.room = self.room - limits.weight(event.interaction) - limits.weight(event.step) - limits.weight(event.delta)
  if self.room < 0 then
    return nil, limits.exceeded(("the answer takes more than %d bytes (max_answer)"):format(self.most))
  end
  self.last_event_id = event.event_id or self.last_event_id
  if type(event.interaction) == "table" then
    for name, value in pairs(event.interaction) do
      self.top[name] = value
    end
  end
  local at = type(event.index) == "number" and event.index or nil
  if event.event_type == "step.start" and at then
    self.steps[at] = new_step(type(event.step) == "table" and event.step or {})
  elseif event.event_type == "step.delta" and at and type(event.delta) == "table" then
    self.steps[at] = self.steps[at] or new_step { type = "model_output" }
    local join = joins[event.delta.type]
    if join then
      join(self.steps[at], event.delta)
    end
  elseif event.event_type == "interaction.status_update" then
    self.top.status = event.status or self.top.status
    self.top.id = event.interaction_id or self.top.id
  end
end

-- A step with its pieces joined.
local function joined(step)
  local out = copy(step.fields)
  if step.arguments then
    local text = table.concat(step.arguments)
    local value = json.decode(text)
    out.arguments = value == nil and text or value
  end
  out.summary = step.summary and copy(step.summary) or out.summary
  out.content = step.content and copy(step.content) or out.content
  for i, content in ipairs(step.content or {}) do
    if getmetatable(content) == Run then
      local text = table.concat(content.pieces)
      content.pieces = { text }
      out.content[i] = copy(content.of)
      out.content[i].text = text
    end
  end
  return out
end

--- What has arrived so far, as one interaction.
---@return lgemini.Interaction
function Accumulator:response()
  if not self.whole then
    local whole, order = {}, {}
    for name, value in pairs(self.top) do
      whole[name] = value
    end
    for index in pairs(self.steps) do
      order[#order + 1] = index
    end
    table.sort(order)
    whole.steps = type(whole.steps) == "table" and whole.steps or nil
    if order[1] then
      whole.steps = {}
      for i, index in ipairs(order) do
        whole.steps[i] = joined(self.steps[index])
      end
    end
    whole.usage = type(whole.usage) == "table" and setmetatable(whole.usage, Usage) or nil
    whole.last_event_id = self.last_event_id
    self.whole = setmetatable(whole, Interaction)
  end
  return self.whole
end

--- How a stream of interactions is read; see stream.lua.
interaction.FORM = {
  accumulator = function(_, ceilings)
    local most = ceilings and ceilings.max_answer or math.huge
    return setmetatable({ top = {}, steps = {}, most = most, room = most }, Accumulator)
  end,
  chunk = function(decoded)
    if type(decoded) ~= "table" or json.is_array(decoded) then
      return nil, errors.new { kind = "protocol", message = "an event is no object" }
    end
    local ok, err = decode_media(decoded)
    return ok and setmetatable(decoded, Event) or nil, err
  end,
  finished = function(event)
    return event.event_type == "interaction.completed"
      or (event.event_type == "interaction.status_update" and ENDED[event.status] == true)
  end,
}

return interaction
