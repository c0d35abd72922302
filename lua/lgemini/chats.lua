--- client.chats: conversations. The service knows nothing of them: a chat keeps what was said and sends it again with
-- every message (reference section 7.3).
--
-- There are two histories. One holds all that was said; the curated one, which is sent, only the turns that went well:
-- not those whose answer was blocked, cut, or empty. What failed or was left in the middle is in neither.

require("lgemini.compat").goes_over_tables()

local answer = require "lgemini.answer"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local models = require "lgemini.models"
local options = require "lgemini.options"
local parts = require "lgemini.parts"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

---@class lgemini.Chats
local Chats = { __name = "lgemini.Chats" }
Chats.__index = Chats

---@class lgemini.Chat
---@field model string
local Chat = { __name = "lgemini.Chat" }
Chat.__index = Chat

local chats = {}

---@param client lgemini.Client
function chats.new(client)
  return setmetatable({ client = client }, Chats)
end

---@class lgemini.chats.Entry  one content of the history
---@field content table
---@field good boolean  it is in the curated history

local function invalid(message, hint)
  return nil, errors.new { kind = "invalid", message = message, hint = hint }
end

-- What is a turn ---------------------------------------------------------------------------------

local function is_empty(part)
  return next(part) == nil and not schema.echo(part)
end

-- Something in it, and no part that says nothing: the service refuses these.
local function is_sound(content)
  local list = content.parts
  if not list or #list == 0 then
    return false
  end
  for _, part in ipairs(list) do
    if type(part) == "table" and is_empty(part) then
      return false
    end
  end
  return true
end

-- Given contents as entries. Answers that follow each other are one: where one of them is bad, all are, and what they
-- answer.
local function entries_of(contents)
  local entries, from = {}, nil
  for i, content in ipairs(contents) do
    local entry = { content = content, good = true }
    entries[i] = entry
    if content.role ~= "model" then
      from = nil
    else
      from = from or i
      entry.good = is_sound(content)
      for k = math.max(1, from - 1), i do
        entries[k].good = entries[k].good and entry.good and entries[from].good
      end
    end
  end
  return entries
end

local function check_roles(contents)
  for i, content in ipairs(contents) do
    local role = content.role
    if role == nil and not schema.is(content, "Content") then
      content.role = "user"
    elseif role ~= "user" and role ~= "model" then
      return invalid(("history[%d].role: user or model is needed, not %s"):format(i, tostring(role)))
    end
  end
  return true
end

-- Making -----------------------------------------------------------------------------------------

local function known_names(more)
  local known = models.known()
  for _, name in ipairs { "contents", "file", "data", "on_progress", "reuse" } do
    known[name] = nil
  end
  for name, what in pairs(more) do
    known[name] = what
  end
  return known
end

local function new_chat(client, args, entries, pending)
  return setmetatable({
    client = client,
    model = args.model,
    config = schema.deep_copy(args.config),
    approve = args.approve,
    entries = entries,
    pending = pending, -- lgemini.parts.Found: media of a given history that was not sent yet
    known = {}, -- lgemini.kept.File by name: where the files come from that the history speaks of
    open = setmetatable({}, { __mode = "v" }), -- turn: the message that is being answered, a stream or a mark
  }, Chat)
end

-- Given turns may have answers with a part that says nothing, as the service gives them: no mistake of the caller's.
local function admit_empty(history)
  for _, turn in ipairs(history) do
    local list = type(turn) == "table" and turn.role == "model" and turn.parts
    for _, part in ipairs(type(list) == "table" and list or {}) do
      if type(part) == "table" and next(part) == nil and getmetatable(part) == nil then
        setmetatable(part, schema.mark "Part")
      end
    end
  end
  return history
end

--- A chat. Nothing is sent.
---@param args string|table  the model; or model; config and approve for all messages, as for generate_content; history:
---  the turns that it begins with
---@return lgemini.Chat|nil
---@return lgemini.Error|nil err  kind "invalid": the history is none
function Chats:create(args)
  options.check_self(self, Chats, "chats.create")
  args = options.arguments(args, "model", known_names { history = true }, "chats:create")
  options.callback(args.approve, "approve")
  if options.string(args.model, "model") == nil then
    errors.misuse "chats:create: a model is needed"
  elseif options.table(args.history, "history") == nil or next(args.history) == nil then
    return new_chat(self.client, args, {})
  end
  local turns, found = parts.contents(admit_empty(schema.deep_copy(args.history)), "history")
  if not turns then
    return nil, found
  end
  local ok, err = check_roles(turns)
  if not ok then
    return nil, err
  end
  return new_chat(self.client, args, entries_of(turns), (found.locals[1] or found.files[1]) and found)
end

-- Sending ----------------------------------------------------------------------------------------

-- A message as the turn that it is.
local function to_message(value)
  if value == nil then
    errors.misuse "message: a string, a part or a list of parts is needed"
  end
  local turns, found = parts.contents(value, "message")
  if not turns then
    return nil, found
  elseif #turns > 1 or turns[1].role ~= "user" then
    return invalid("message: one turn of the user is needed", "turns of the past stand in history of chats:create")
  end
  return turns[1], found
end

-- The history goes over the wire with every message, so media in it is uploaded once and spoken of by its address.
local function add_found(into, found)
  for _, entry in ipairs(found.locals) do
    local copy = schema.copy(entry)
    copy.via = entry.via == "auto" and "upload" or entry.via
    table.insert(into.locals, copy)
  end
  for _, used in ipairs(found.files) do
    table.insert(into.files, used)
  end
end

-- One message at a time -----------------------------------------------------------------------

local function is_answering(self)
  local turn = self.open.turn
  return turn ~= nil and not turn.closed and not turn.failure
end

-- The next message would not know the answer to this one. A stream that was left in the middle, or a call that raised,
-- is garbage.
local function busy(self)
  if is_answering(self) then
    collectgarbage()
  end
  if is_answering(self) then
    return errors.new { kind = "conflict", message = "the chat is at another message still",
      hint = "wait for its answer, read its stream to the end or close it; or begin another chat with "
        .. "history = chat:get_history{ curated = true }" }
  end
end

-- What is sent: a coerce function for models.ask, the entries that it sends again, and what the message needs done.
local function to_contents(self, args)
  local sent, all = {}, {}
  for _, entry in ipairs(self.entries) do
    if entry.good then
      sent[#sent + 1] = entry
    end
  end
  local function coerce()
    local message, found = to_message(args.message)
    if not message then
      return nil, found
    end
    local turns = {}
    all.locals, all.files = {}, {}
    for i, entry in ipairs(sent) do
      turns[i] = entry.content
    end
    turns[#turns + 1] = message
    add_found(all, self.pending or all)
    add_found(all, found)
    return turns, all
  end
  return coerce, sent, all
end

-- For a file in the history that is gone at the service: function(call, name) -> true | nil, err
local function renewer(self, sent)
  return next(self.known) and function(call, name)
    local contents = {}
    for i, entry in ipairs(sent) do
      contents[i] = entry.content
    end
    return require("lgemini.kept").renew(self.known, call, name, contents)
  end or nil
end

-- The answer as it is kept: always of the model, always with a list of parts.
local function content_of(response, streamed)
  local candidate = response.candidates[1]
  local content = candidate and candidate.content
  if not content then
    return { role = "model", parts = json.array {} }
  end
  content = schema.copy(content)
  content.role = content.role or "model"
  if streamed and content.parts then -- an event may say nothing; the others do
    local list = {}
    for _, part in ipairs(content.parts) do
      if not is_empty(part) then
        list[#list + 1] = part
      end
    end
    content.parts = list
  end
  content.parts = content.parts or json.array {}
  return content
end

-- Keeps a turn that came to its end: the message, the calls and results that it took, and the answer.
local function record(self, sent, found, response, turns, streamed)
  if found.locals and found.locals[1] then
    require("lgemini.kept").note(self.known, self.client.core, found.locals)
  end
  local content = content_of(response, streamed)
  local _, err = response:check()
  local good = is_sound(content) and not (err and (err.kind == "blocked" or err.kind == "cut"))
  self.pending = nil -- it was sent
  for i = #sent + 1, #turns do
    table.insert(self.entries, { content = schema.deep_copy(turns[i]), good = good })
  end
  table.insert(self.entries, { content = schema.deep_copy(content), good = good })
end

local SEND = { model = "chats:create{ model = ... }", contents = "message", file = "message = { { file = ... } }",
  data = "message = { { data = ... } }", message = true, on_progress = true, reuse = true }

local known_message -- the names that a message knows, made once for all

-- The arguments of a question to the model. A config of the message takes the place of the chat's.
local function arguments(self, given, name)
  known_message = known_message or known_names(SEND)
  local args = options.arguments(given, "message", known_message, name)
  return {
    model = self.model,
    message = args.message,
    config = args.config or self.config,
    approve = args.approve or self.approve,
    on_progress = args.on_progress,
    reuse = args.reuse,
  }
end

--- Says something and waits for the answer. Local media in a message is uploaded (via = "inline" keeps it in the
--- request), since the history goes to the service with every message.
---@param args string|table  the message; or message (a string, a part, a list of parts); config in place of the chat's;
---  on_progress, reuse, approve as for generate_content
---@return lgemini.GenerateContentResponse|nil
---@return lgemini.Error|nil err  then the history is as it was; "conflict" while the chat is at another message
function Chat:send_message(args)
  options.check_object(self, Chat, "chat.send_message")
  args = arguments(self, args, "chat:send_message")
  local refusal = busy(self)
  if refusal then
    return nil, refusal
  end
  local coerce, sent, found = to_contents(self, args)
  local turn = {}
  args.renew, self.open.turn = renewer(self, sent), turn
  local response, turns = models.ask(self.client.models, args, coerce)
  turn.closed = true
  if not response then
    return nil, turns
  end
  record(self, sent, found, response, turns, false)
  return response
end

--- The same, handed on while it is written: `for chunk in chat:send_message_stream "..." do`. The history has the turn
--- when the last chunk was taken; of a stream that fails or is left before, it has nothing.
---@param args string|table  as send_message's
---@return lgemini.Stream
function Chat:send_message_stream(args)
  options.check_object(self, Chat, "chat.send_message_stream")
  args = arguments(self, args, "chat:send_message_stream")
  local refusal = busy(self)
  local coerce, sent, found = to_contents(self, args)
  if refusal then
    return models.open(self.client.models, args, function() return nil, refusal end):each()
  end
  args.renew = renewer(self, sent)
  local stream = models.open(self.client.models, args, coerce, function(response, turns)
    self.open.turn = nil
    record(self, sent, found, response, turns, true)
  end)
  self.open.turn = stream
  return stream:each()
end

-- The past ---------------------------------------------------------------------------------------

--- What was said, as a copy: a list of contents, to be used as `contents` or `history`.
---@param args table|nil  curated = true: only what is sent with the next message
---@return lgemini.Content[]
function Chat:get_history(args)
  options.check_object(self, Chat, "chat.get_history")
  args = options.arguments(args, nil, { curated = true }, "chat:get_history")
  options.boolean(args.curated, "curated")
  local history = {}
  for _, entry in ipairs(self.entries) do
    if entry.good or not args.curated then
      history[#history + 1] = schema.deep_copy(entry.content)
    end
  end
  return history
end

-- Does a turn begin with it? The results of functions do not.
local function begins_turn(content)
  if content.role ~= "user" then
    return false
  end
  for _, part in ipairs(content.parts or {}) do
    if type(part) ~= "table" or part.function_response == nil then
      return true
    end
  end
  return false
end

--- Takes the last message back, with its answer and all between them.
---@return lgemini.Content[] contents  what was taken out of the history; none where it was empty
function Chat:rollback()
  options.check_object(self, Chat, "chat.rollback")
  local taken = {}
  while #self.entries > 0 do
    local content = table.remove(self.entries).content
    table.insert(taken, 1, content)
    if begins_turn(content) then
      break
    end
  end
  return taken
end

-- Saving -----------------------------------------------------------------------------------------

local FORMAT = "lgemini chat 1"

-- What may stand in a file that is handed around, and is taken out of one: no functions, nothing that lets somebody in,
-- and nothing that leads the key elsewhere or writes to this machine.
local function savable(config)
  local out = schema.deep_copy(config) or {}
  out.http_options, out.automatic_function_calling, out.media_to = nil, nil, nil
  local tools = {}
  for _, tool in ipairs(type(out.tools) == "table" and out.tools or {}) do
    local kept = type(tool) == "table" and getmetatable(tool) == nil and not tool.mcp_servers
    if kept and type(tool.google_maps) == "table" then
      tool.google_maps.auth_config = nil
    end
    tools[#tools + 1] = kept and tool or nil
  end
  out.tools = tools[1] and tools
  return out
end

--- The chat as JSON text, to go on with another day: model, history and config. Not in it: keys, http_options, and
--- functions made with gemini.tool. Media that was uploaded is in it by its address (the service keeps it for 48
--- hours), other media, such as pictures that the model drew, as base64.
---@return string|nil
---@return lgemini.Error|nil err
function Chat:save()
  options.check_object(self, Chat, "chat.save")
  if self.pending then
    return invalid("the chat has local media in its history that was not sent yet", "send a message first")
  end
  local history = json.array {}
  for i, entry in ipairs(self.entries) do
    local content, err = request.wire(entry.content, "Content", ("history[%d]"):format(i))
    if not content then
      return nil, err
    end
    history[i] = { content = content, good = tostring(entry.good) }
  end
  local config, err = request.any(savable(self.config), "config")
  if not config then
    return nil, err
  end
  local out, pieces = require("lgemini.lines").collector(self.client.core)
  local tree = { format = json.quote(FORMAT), model = json.quote(self.model), config = config, history = history }
  local written, problem = request.emit(tree, out)
  return written and table.concat(pieces), problem
end

-- A saved history, which is given as it stands there and as turns, as entries, marked as what came from elsewhere: no
-- name in it means a file of this machine.
local function read_history(saved, turns)
  local entries, contents = {}, {}
  for i, item in ipairs(saved.history) do
    if type(item) ~= "table" or type(item.content) ~= "table" or json.is_array(item.content) then
      return invalid(("this is no saved chat: history[%d].content: an object was expected"):format(i))
    end
    local content = turns[i].content
    entries[i], contents[i] = { content = content, good = item.good == true }, content
  end
  local ok, err = check_roles(contents)
  if not ok then
    return nil, err
  end
  return entries
end

--- Takes up a chat that was saved. Nothing is sent.
---@param args string|table  the text that chat:save gave; or saved (the text), model and config in place of the saved
---  ones, approve. Functions made with gemini.tool have to be given anew
---@return lgemini.Chat|nil
---@return lgemini.Error|nil err  kind "invalid": this is no saved chat
function Chats:load(args)
  options.check_self(self, Chats, "chats.load")
  args = options.arguments(args, "saved", known_names { saved = true }, "chats:load")
  options.callback(args.approve, "approve")
  options.string(args.model, "model")
  if options.string(args.saved, "saved") == nil then
    errors.misuse "chats:load: the text that chat:save gave is needed"
  end
  local saved, problem = answer.decode(args.saved, "SavedChat")
  if not answer.checked(saved) or saved.format ~= FORMAT or not saved.model or not saved.config
    or not json.is_array(saved.history) then
    return invalid("this is no saved chat" .. (problem and ": " .. problem.message or ""))
  end
  local entries, err = read_history(saved, answer.decode(args.saved, "SavedHistory").history)
  if not entries then
    return nil, err
  end
  return new_chat(self.client, { model = args.model or saved.model, config = args.config or savable(saved.config),
    approve = args.approve }, entries)
end

return chats
