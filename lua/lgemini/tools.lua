--- Functions of the program that the model may call, and the loop that runs them (reference section 7.4).
--
-- The model asks for calls, their results go back to it, until it answers in words. What goes wrong in a call is told
-- to the model, which often finds another way; it never ends the conversation.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local options = require "lgemini.options"
local ordered = require "lgemini.ordered"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

local tools = {}

-- Calls to the model in one question where the program sets no limit, as in the SDKs.
local MAX_CALLS = 10

-- Functions of one answer that run at once.
local PARALLEL = 8

---@class lgemini.Tool
---@field name string
---@field declaration table  as it goes into function_declarations
---@field call fun(args: table, call: { id: string?, name: string }): any, any
local Tool = { __name = "lgemini.Tool" }
Tool.__index = Tool

function Tool:__tostring()
  return "lgemini.Tool " .. self.name
end

-- Parameters -------------------------------------------------------------------------------------

local SHORT = { string = "STRING", number = "NUMBER", integer = "INTEGER", boolean = "BOOLEAN", object = "OBJECT" }

-- "integer?: how many" -> the schema of one parameter, whether it may be left out.
local function short_parameter(text, place)
  local name, list, optional, rest = text:match "^%s*(%a+)(%[?%]?)(%??)%s*(.*)$"
  local description = (rest or ""):match "^:%s*(.+)$"
  local kind = SHORT[name or ""]
  if not kind or list == "[" or list == "]" or rest ~= "" and not description then
    errors.misuse(('%s: %q says no type: it is one of string, number, integer, boolean, object, with [] for a list, '
      .. '? for what may be left out, and a description after a colon: "integer[]?: years"'):format(place, text))
  end
  local made = { type = kind }
  if list ~= "" then
    made = { type = "ARRAY", items = made }
  end
  made.description = description
  return made, optional ~= ""
end

-- { city = "string", days = "integer?" } -> a schema; nil where there are none.
local function short_parameters(given)
  local properties, required, listed = {}, json.array {}, {}
  for name in pairs(given) do
    if type(name) ~= "string" then
      errors.misuse(('gemini.tool: parameters[%s]: parameters have names: { city = "string" }'):format(tostring(name)))
    end
    listed[#listed + 1] = name
  end
  table.sort(listed)
  for _, name in ipairs(ordered.names(given) or listed) do
    local value, place, optional = given[name], "gemini.tool: parameters." .. name, false
    if type(value) == "string" then
      value, optional = short_parameter(value, place)
    elseif type(value) ~= "table" then
      errors.misuse(("%s: a type such as \"string\" or a schema expected, got %s"):format(place, type(value)))
    end
    properties[name] = value
    if not optional then
      required[#required + 1] = name
    end
  end
  return #listed > 0 and { type = "OBJECT", properties = ordered.keep(properties, given),
    required = required[1] and required or nil } or nil
end

local JSON_SCHEMA = { "$schema", "$ref", "$defs", "additionalProperties" }

-- Which notation parameters are in: "parameters_json_schema", "parameters" or "short".
local function notation(given)
  for _, name in ipairs(JSON_SCHEMA) do
    if given[name] ~= nil then
      return "parameters_json_schema"
    end
  end
  local kind = type(given.type) == "string" and given.type or ""
  if kind == "object" then
    return "parameters_json_schema"
  end
  return (kind:upper() == "OBJECT" or type(given.properties) == "table") and "parameters" or "short"
end

local KNOWN = { name = true, description = true, parameters = true, parameters_json_schema = true, response = true,
  response_json_schema = true, behavior = true, call = true }

--- A function of the program for the model to call: an item of config.tools.
---@param given table  name (letters, digits, _); description: what it does, for the model; parameters: names with their
---  types ("string", "number", "integer", "boolean", "object"; "string[]" is a list, "integer?" may be left out,
---  "string: the city" describes it), or a schema of the API, or a JSON Schema (its types are in lower case);
---  call(args, call): gives the result, any value of JSON, or nil, err; beside a result it may give a list of media for
---  the model to look at, { { file = path }, { data = bytes, mime_type = } }
---@return lgemini.Tool
function tools.new(given)
  options.check(given, KNOWN, "gemini.tool")
  local name = options.string(given.name, "gemini.tool: name")
  if not name or not name:find "^[%a_][%w_.:-]*$" or #name > 64 then
    errors.misuse("gemini.tool: name: at most 64 letters, digits and _ are needed, beginning with a letter")
  elseif type(given.call) ~= "function" then
    errors.misuse(("gemini.tool: call: function expected, got %s"):format(type(given.call)))
  end
  options.string(given.description, "gemini.tool: description")
  local declaration = schema.copy(given)
  setmetatable(declaration, nil)
  declaration.call, declaration.parameters = nil, nil
  local parameters = options.table(given.parameters, "gemini.tool: parameters")
  if parameters and given.parameters_json_schema ~= nil then
    errors.misuse "gemini.tool: parameters: there is parameters_json_schema, too; one of them is needed"
  end
  if parameters then
    local kind = notation(parameters)
    if kind == "short" then
      declaration.parameters = short_parameters(parameters)
    else
      declaration[kind] = parameters
    end
  end
  return setmetatable({ name = name, declaration = declaration, call = given.call }, Tool)
end

local function is_tool(value)
  return type(value) == "table" and getmetatable(value) == Tool
end

--- A list of tools as it goes over the wire: functions of the program are one tool, the last.
---@param list any
---@param place string  what messages call it
---@return any list
---@return lgemini.Error? err
function tools.declarations(list, place)
  if is_tool(list) then
    list = { list }
  elseif type(list) ~= "table" then
    return list
  end
  local out, functions, taken = {}, {}, {}
  for key, item in pairs(list) do
    if type(item) == "function" then
      errors.misuse(("%s[%s]: table expected, got function (gemini.tool{ name =, description =, call = } takes it)")
        :format(place, tostring(key)))
    end
  end
  for i, item in ipairs(list) do
    if not is_tool(item) then
      out[#out + 1] = item
    elseif taken[item.name] then
      return nil, errors.new { kind = "invalid",
        message = ("%s[%d]: there are two functions called %s"):format(place, i, item.name) }
    else
      taken[item.name] = true
      functions[#functions + 1] = item.declaration
    end
  end
  if not functions[1] then
    return list
  end
  out[#out + 1] = { function_declarations = functions }
  return out
end

--- A list of tools as interactions have them: each function of the program is one, its parameters in JSON Schema.
---@param list table
---@return table
function tools.as_steps(list)
  local out = {}
  for key, item in pairs(is_tool(list) and { list } or list) do
    if is_tool(item) then
      local declaration = item.declaration
      item = { type = "function", name = item.name, description = declaration.description,
        parameters = declaration.parameters_json_schema
          or declaration.parameters and require("lgemini.structured").as_json_schema(declaration.parameters) }
    end
    out[key] = item
  end
  return out
end

-- Running ----------------------------------------------------------------------------------------

---@class lgemini.tools.Runner
---@field history table[]?  the contents of all rounds so far; nil before the first, or where they are not wanted
local Runner = {}
Runner.__index = Runner

local AUTOMATIC = { disable = true, maximum_remote_calls = true, ignore_call_history = true }

-- What the model may call: functions of the program by name, and names that are the caller's own business.
local function callable(list)
  local own, manual, others = {}, {}, false
  for _, item in ipairs(list) do
    if is_tool(item) then
      own[item.name] = item
    elseif type(item) == "table" then -- what else it may be, the encoder refuses
      others = others or item.computer_use ~= nil or item.mcp_servers ~= nil
      for _, declaration in ipairs(type(item.function_declarations) == "table" and item.function_declarations or {}) do
        manual[type(declaration) == "table" and declaration.name or ""] = true
      end
    end
  end
  return own, manual, others
end

--- Who runs functions for one question; nil where that is off.
---@param client lgemini.Client
---@param call lgemini.Call  its key stays out of what the model is told
---@param args table         of the question: config, approve
---@return lgemini.tools.Runner?
function tools.runner(client, call, args)
  local automatic = options.table(args.config.automatic_function_calling, "config.automatic_function_calling") or {}
  options.check(automatic, AUTOMATIC, "config.automatic_function_calling")
  options.boolean(automatic.disable, "config.automatic_function_calling.disable")
  options.boolean(automatic.ignore_call_history, "config.automatic_function_calling.ignore_call_history")
  local most = options.number(automatic.maximum_remote_calls, "config.automatic_function_calling.maximum_remote_calls")
  local own, manual, others = callable(args.config.tools)
  if automatic.disable or (most and most <= 0) or next(own) == nil then
    return nil
  end
  return setmetatable({
    client = client,
    call = call,
    own = own,
    manual = manual,
    others = others,
    approve = args.approve,
    keeps = not automatic.ignore_call_history,
    left = most or MAX_CALLS,
  }, Runner)
end

-- Whether all calls of an answer are ours to run. A name that nobody has is: the model is told so.
local function is_ours(self, calls)
  for _, call in ipairs(calls) do
    if self.manual[call.name or ""] or (self.others and not self.own[call.name or ""]) then
      return false
    end
  end
  return true
end

-- What went wrong, in words for the model: without a place in a source file, and without keys.
local function in_words(self, problem)
  local text = errors.is(problem) and problem.message or tostring(problem)
  text = text:gsub("^[^\n]-:%d+: ", "")
  return errors.redact(text, { self.call.key })
end

local function refusal(self, call)
  local tool = self.own[call.name or ""]
  if not tool then
    local names = {}
    for name in pairs(self.own) do
      names[#names + 1] = name
    end
    table.sort(names)
    return ("there is no function %s; there are: %s"):format(tostring(call.name), table.concat(names, ", "))
  elseif self.approve then
    local ok, why = self.approve(schema.deep_copy(call))
    if not ok then
      return why and tostring(why) or "the user does not allow this call"
    end
  end
end

-- A part with the result of a call.
local function to_part(call, result)
  return { function_response = { id = call.id, name = call.name or "", response = result } }
end

local function read_file(path)
  local file, problem = io.open(path, "rb")
  local bytes = file and file:read "*a"
  if file then
    file:close()
  end
  return bytes, tostring(problem or path .. " cannot be read")
end

-- Media beside a result, as parts of it. Files are read here: functions like to remove what they made, and the history
-- goes to the service again and again. Raises what is wrong with them, for the model.
local function to_media(self, list)
  local media = {}
  for i, item in ipairs(list) do
    local blob, err = require("lgemini.attach").embed(self.client, item, "data", ("media[%d]"):format(i))
    if not blob then
      error(err, 0)
    elseif blob ~= item and type(blob.data) ~= "string" then
      blob.data, err = read_file(blob.data.path)
      if not blob.data then
        error(err, 0)
      end
    end
    media[i] = blob == item and item or { inline_data = blob }
  end
  return media[1] and media or nil
end

-- The part with a result, if it can be sent.
local function to_result(self, call, value, media)
  local part = to_part(call, { result = value })
  part.function_response.parts = type(media) == "table" and to_media(self, media) or nil
  local tree, err = request.wire(part, "Part", "the result")
  if not tree then
    error(err, 0)
  end
  return part
end

local function run(self, call)
  local ok, value, problem = pcall(self.own[call.name].call, schema.deep_copy(call.args or {}), schema.deep_copy(call))
  if not ok then
    return to_part(call, { error = in_words(self, value) })
  elseif value == nil and problem ~= nil then
    return to_part(call, { error = in_words(self, problem) })
  elseif value == nil then
    value = json.null
  end
  local fine, part = pcall(to_result, self, call, value, problem)
  return fine and part or to_part(call, { error = "the function worked, but its result cannot be sent: "
    .. in_words(self, part) })
end

-- The results of all calls, in order; nil, err where the task that waits is cancelled. Functions that wait on the
-- client run at the same time.
local function run_all(self, calls)
  local jobs, results = {}, {}
  for i, call in ipairs(calls) do
    local why = refusal(self, call)
    if why then
      results[i] = to_part(call, { error = why })
    else
      jobs[#jobs + 1] = function()
        results[i] = run(self, call)
        return true
      end
    end
  end
  local done, err = self.client.tasks:all(jobs, PARALLEL)
  return done and results, err
end

local function join(...)
  local out = {}
  for _, list in ipairs { ... } do
    for _, item in ipairs(list) do
      out[#out + 1] = item
    end
  end
  return out
end

--- Runs what an answer asks for.
---@param response lgemini.GenerateContentResponse
---@param turns table[]  what it answers
---@return table[]? turns  what to ask next; nil where the answer is for the caller
---@return lgemini.Error? err  "cancelled" meanwhile
function Runner:go_on(response, turns)
  self.left = self.left - 1
  local calls = response.function_calls
  local _, err = response:check()
  if self.left < 1 or #calls == 0 or (err and (err.kind == "blocked" or err.kind == "cut"))
    or not is_ours(self, calls) then
    return nil
  end
  local results, cancelled = run_all(self, calls)
  if not results then
    return nil, cancelled
  end
  local content = schema.copy(response.candidates[1].content)
  content.role = content.role or "model"
  local added = { content, { role = "user", parts = results } }
  if self.keeps then
    self.history = join(self.history or turns, added)
  end
  return join(turns, added)
end

return tools
