--- What came -> what the caller gets.
--
-- The core decodes in one pass, by the types of schema.lua: names become snake_case, 64-bit integers numbers,
-- base64 bytes; nulls are dropped, user data is left alone, and members that no type knows are kept. What a
-- member of a content cannot show as it came is noted (schema.note_echo), so that wire.lua sends back the very
-- same. A member or item of another JSON type than the API gives is not shown: callers never meet a number where
-- a table is promised.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"
local limits = require "lgemini.limits"
local schema = require "lgemini.schema"

local answer = {}

-- Decoding -------------------------------------------------------------------------------------

-- Metatables of objects, by the name of their type; filled below.
local metatables = {}
-- Names that no member from the wire may take, since they are ours.
local reserved = {}

-- Where an unknown member is shown, and whether that name leads back to its name on the wire. The name
-- must neither look like a known field nor be taken by a brother.
local function unknown_key(name, brothers, type)
  local snake, camel = schema.snake(name), schema.camel(name)
  local plain = schema.camel(snake) == name and not name:find("^%u") and not name:find("%u%u")
  local key = plain and snake or name
  local taken = type.fields[key] or (reserved[type.name] and reserved[type.name][key])
  if not plain and camel ~= name and brothers[camel] ~= nil then taken = true end
  if taken then return nil end
  return key, camel == name
end

-- What may be sent back.
local ECHOED = { Content = true, Part = true, Image = true, Video = true }

-- What tells a chunk of a stream that says nothing but a text from any other: its members of these types, of which
-- those that are named first say more, and those that are named then that it is the last.
local ROLES = {
  GenerateContentResponse = { "response", { prompt_feedback = true } },
  Candidate = { "candidate", {}, { finish_reason = true } },
  Content = { "content", {} },
  Part = { "part", setmetatable({ text = false }, { __index = function() return true end }) },
}

-- A type of schema.lua as the core wants it.
local function shape_of(name)
  local fields, role = schema.source(name), ROLES[name] or {}
  if name == "CitationMetadata" then -- Vertex AI has another name for it
    fields = fields .. " citations=citations:[Citation]"
  end
  return { fields = fields, role = role[1], apart = role[2], ends = role[3], echoed = ECHOED[name],
    media = name == "Blob", metatable = metatables[name] }
end

-- What the core could not show as it came: by its name on the wire, the value. Members that no type knows are shown
-- where that is safe; what would not be sent back as it came is noted.
local function settle(object, type_name, odd, keep)
  local type = schema.type(type_name)
  local brothers = setmetatable({}, { __index = function(_, name)
    local field = type.wires[name]
    if odd[name] ~= nil then return odd[name] end
    return field and object[field.field]
  end })
  for name, value in pairs(odd) do
    local field, key, same = type.wires[name], nil, false
    if field then
      key = field.field
    elseif value ~= json.null then
      key, same = unknown_key(name, brothers, type)
      if key ~= nil then object[key] = value end
    end
    if keep and not same then schema.note_echo(object, name, key, value) end
  end
end

local core, shapes

local function null()
  return json.null
end

--- Decodes what comes, byte by byte: see core.meta.lua.
---@param type_name string|nil  nil: user data, as it came
---@param most integer          bytes of an event, or of a body
---@param max_depth integer     levels of arrays and objects within each other
---@param events boolean|nil    a stream of events; else one body
---@param sink lgemini.MediaSink|nil  for the bytes of media
---@return lgemini.core.Answer
function answer.decoder(type_name, most, max_depth, events, sink)
  if not shapes then
    core = require("lgemini.core").answer
    shapes = core.shapes { null = null, array = json.mark, settle = settle, types = shape_of }
  end
  local decoder = core.new(shapes, type_name, most, max_depth, events or false)
  if sink then
    decoder:sink(function(...) return sink:write(...) end)
  end
  return decoder
end

--- JSON as the caller gets it.
---@param text string
---@param type_name string|nil
---@param max_depth integer|nil
---@param sink lgemini.MediaSink|nil  for the bytes of media
---@return any value
---@return table|nil err  kind, message
function answer.decode(text, type_name, max_depth, sink)
  local decoder = answer.decoder(type_name, #text, max_depth or 100, false, sink)
  decoder:feed(text)
  decoder:next()
  local value, err = decoder:finish()
  decoder:close()
  if sink then sink:abandon() end
  if value == nil then return nil, err end
  return value
end

--- What a value that came says of an error, if it is one: {"error": {...}} or a list of these. Not where the type of
--- the value has such a member.
---@param value any
---@return any|nil
function answer.error_in(value)
  if json.is_array(value) then value = value[1] end
  if type(value) == "table" then return rawget(value, "error") end
end

--- The error of an answer that came whole and makes no sense.
---@param why string
---@return lgemini.Error
function answer.nonsense(why)
  return errors.new { kind = "protocol", message = "the server's answer makes no sense: " .. why }
end

--- The value, where it is an object.
---@param value any
---@return table|nil
---@return lgemini.Error|nil err  kind "protocol"
function answer.checked(value)
  if type(value) ~= "table" or json.is_array(value) then return nil, answer.nonsense("a JSON object was expected") end
  return value
end

-- Parts ----------------------------------------------------------------------------------------

for _, name in ipairs { "Content", "Part", "File", "Image", "Video", "Operation", "CachedContent", "BatchJob",
  "BatchPredictionJob", "FileSearchStore", "Document", "TunedModel" } do
  metatables[name] = schema.mark(name)
end
reserved.Blob = { path = true } -- of media that went to a file
reserved.Part, reserved.Image, reserved.Video = { save = true }, { save = true }, { save = true }

---@class lgemini.Content  one turn
---@field role "user"|"model"|nil
---@field parts lgemini.Part[]?

---@class lgemini.Part  a part from the wire, with the fields of the API
---@field text string?
---@field thought boolean?
---@field thought_signature string?  opaque; goes back on the same part
---@field inline_data { mime_type: string, data: string?, path: string? }?  data is raw bytes; path, where
--- config.media_to sent them: the file that they are in
---@field file_data { mime_type: string, file_uri: string }?
---@field function_call { id: string?, name: string, args: table? }?
---@field function_response { id: string?, name: string, response: table }?
---@field executable_code { language: string, code: string }?
---@field code_execution_result { outcome: string, output: string? }?
local Part = schema.mark("Part").__index

--- Writes the bytes of this part to a file. Speech (audio/L16) becomes a WAV in a `.wav`; all else stays as it came.
---@param path string
---@return true?
---@return lgemini.Error?  "invalid": no bytes, or bytes that a file of this name does not hold; "io"
function Part:save(path)
  local save = require "lgemini.save"
  save.path(path, "part:save")
  local blob = self.inline_data
  if not (blob and (blob.data or schema.file(blob))) then
    return nil, errors.new { kind = "invalid", message = "this part carries no bytes" }
  end
  return save.parts(path, { self })
end

---@class lgemini.File  a file object of client.files
---@field name string  files/...
---@field uri string
---@field mime_type string
---@field state "PROCESSING"|"ACTIVE"|"FAILED"
---@field display_name string?
---@field size_bytes integer|string?  text where this Lua has no integer for it
---@field sha256_hash string?  base64 of the digest in hexadecimal
---@field create_time string?
---@field expiration_time string?
---@field error { code: integer, message: string }?  of FAILED

-- Images, videos, operations -------------------------------------------------------------------

---@class lgemini.Image
---@field image_bytes string?  raw bytes
---@field mime_type string?
---@field gcs_uri string?  where Vertex AI put it, if it was told to
---@field save fun(self: lgemini.Image, path: string): true?, lgemini.Error?  writes its bytes to a file

---@class lgemini.Video  what client.files:download takes, and generate_videos to make it longer
---@field uri string?
---@field video_bytes string?  raw bytes, where it came inline
---@field mime_type string?
---@field save fun(self: lgemini.Video, path: string): true?, lgemini.Error?  writes bytes that came inline to a file

-- Images and videos are saved alike.
local function save_of(field, method, elsewhere)
  return function(self, path)
    local save = require "lgemini.save"
    save.path(path, method)
    if not self[field] then
      return nil, errors.new { kind = "invalid", message = "it carries no bytes", hint = elsewhere }
    end
    return save.bytes(path, self.mime_type, { self[field] })
  end
end

metatables.Image.__index.save = save_of("image_bytes", "image:save")
metatables.Video.__index.save = save_of("video_bytes", "video:save",
  "fetch it: client.files:download{ file = video, to = path }")

---@class lgemini.Operation
---@field name string
---@field done boolean?
---@field metadata any  as it came
---@field response table?  of a video: generated_videos, rai_media_filtered_count, rai_media_filtered_reasons
---@field error { code: integer, message: string?, details: any }?  code is a number of gRPC

--- An operation as the caller gets it: what it made stands in `response` itself.
---@param operation table  of that type
---@return lgemini.Operation
function answer.operation(operation)
  local response = operation.response
  operation.response = response and response.generate_video_response or response
  for i, video in ipairs(response and response.videos or {}) do -- as Vertex AI has it
    response.generated_videos = response.generated_videos or {}
    response.generated_videos[i] = { video = setmetatable(video, metatables.Video) }
  end
  if response then response.videos = nil end
  return operation
end

--- Predictions of Vertex AI as the answer to embed_content.
---@param value table  of type PredictedEmbeddings
---@return table
function answer.predicted_embeddings(value)
  local embeddings = {}
  for i, prediction in ipairs(value.predictions or {}) do
    embeddings[i] = prediction.embeddings or {}
  end
  return { embeddings = embeddings }
end

--- Predictions as the caller gets them: `generated_images[1].image`, which on the wire is one with what is said of it.
---@param response table  of type GenerateImagesResponse
---@return table
function answer.images(response)
  response.generated_images = response.generated_images or {}
  for _, made in ipairs(response.generated_images) do
    made.image = setmetatable({ image_bytes = made.image_bytes, mime_type = made.mime_type, gcs_uri = made.gcs_uri },
      metatables.Image)
    made.image_bytes, made.mime_type, made.gcs_uri = nil, nil, nil
  end
  return response
end

-- Counts ---------------------------------------------------------------------------------------

-- The service leaves out what is zero.
local function zero(_, key)
  if type(key) == "string" and (key:find("token_count$") or key == "total_tokens") then return 0 end
end

---@class lgemini.UsageMetadata  counts are numbers even where nothing came
---@field prompt_token_count integer
---@field candidates_token_count integer
---@field thoughts_token_count integer
---@field total_token_count integer
for _, name in ipairs { "UsageMetadata", "ModalityTokenCount", "CountTokensResponse" } do
  metatables[name] = { __name = "lgemini." .. name, __index = zero }
end

-- The response ---------------------------------------------------------------------------------

---@class lgemini.Candidate
---@field content lgemini.Content?
---@field finish_reason string?
---@field finish_message string?
---@field index integer?
---@field safety_ratings table[]?
---@field citation_metadata table?
---@field grounding_metadata table?
---@field url_context_metadata table?

---@class lgemini.GenerateContentResponse
---@field candidates lgemini.Candidate[]
---@field parts lgemini.Part[]  of the first candidate
---@field text string  its text without thoughts; "" where there is none
---@field thoughts string
---@field function_calls table[]
---@field media lgemini.Part[]  parts that carry bytes
---@field executable_code string?  code of the first such part
---@field code_execution_result string?  output of the first such part
---@field finish_reason string?
---@field usage_metadata lgemini.UsageMetadata
---@field prompt_feedback table?
---@field model_version string?
---@field response_id string?
---@field parsed any  the text as JSON where the request asked for JSON and it is some; where it asked for one of an
--- enumeration, that one; else nil
---@field reason string?  one line on why there is no text, or why it is cut or blocked or not the JSON asked for
---@field citations lgemini.Citation[]  what in its text is from where: search, maps, files, quotations
---@field sources lgemini.Source[]
---@field uploads table[]  what local files became
---@field automatic_function_calling_history lgemini.Content[]  where functions were run: what was asked, and all calls
--- and results before this answer
---@field transport table?  attempts, request id, bytes, seconds
local Response = { __name = "lgemini.GenerateContentResponse" }
metatables.GenerateContentResponse = Response

-- What belongs to a response and did not come in its body: response -> { uploads=, json=, enum=, calls= }, and where
-- its transport comes from: { exchange=, attempts=, request_id= }, then { transport= }.
local beside = setmetatable({}, { __mode = "k" })
-- A response of a stream of which no more than so many bytes of text were kept.
local kept = setmetatable({}, { __mode = "k" })
-- response -> { text=, value=, problem= }
local parsed = setmetatable({}, { __mode = "k" })

local get = {}
local methods = {}

function Response.__index(self, key)
  local getter = get[key]
  if getter then return getter(self) end
  return methods[key]
end

function get.candidates()
  return {}
end

function get.usage_metadata()
  return setmetatable({}, metatables.UsageMetadata)
end

function get.parts(self)
  local candidate = self.candidates[1]
  return candidate and candidate.content and candidate.content.parts or {}
end

function get.finish_reason(self)
  local candidate = self.candidates[1]
  return candidate and candidate.finish_reason
end

local function join_text(self, thoughts)
  local texts = {}
  for _, part in ipairs(self.parts) do
    if part.text ~= nil and (part.thought == true) == thoughts then texts[#texts + 1] = part.text end
  end
  return texts[2] and table.concat(texts) or texts[1] or "" -- one may be megabytes: it is not copied
end

function get.text(self)
  return join_text(self, false)
end

function get.thoughts(self)
  return join_text(self, true)
end

local function pick(self, field)
  local found = {}
  for _, part in ipairs(self.parts) do
    if part[field] ~= nil then found[#found + 1] = part[field] end
  end
  return found
end

function get.function_calls(self)
  return pick(self, "function_call")
end

function get.media(self)
  local found = {}
  for _, part in ipairs(self.parts) do
    if part.inline_data and (part.inline_data.data or schema.file(part.inline_data)) then found[#found + 1] = part end
  end
  return found
end

function get.executable_code(self)
  local first = pick(self, "executable_code")[1]
  return first and first.code
end

function get.code_execution_result(self)
  local first = pick(self, "code_execution_result")[1]
  return first and first.output
end

function get.uploads(self)
  return beside[self] and beside[self].uploads or {}
end

function get.citations(self)
  return require("lgemini.grounding").citations(self)
end

function get.sources(self)
  return require("lgemini.grounding").sources(self)
end

function get.automatic_function_calling_history(self)
  return beside[self] and beside[self].calls or {}
end

function get.transport(self)
  local facts = beside[self]
  if facts and facts.exchange then
    local transport = facts.exchange:facts()
    transport.attempts, transport.request_id = facts.attempts, facts.request_id
    facts.transport, facts.exchange = transport, nil
  end
  return facts and facts.transport
end

-- The text as JSON, or nil and what is wrong; nil alone where no JSON was asked for.
local function parse(self)
  local text = self.text
  local facts = beside[self] or {}
  if facts.enum and text ~= "" then return text end
  if text == "" or not facts.json then return nil end
  local done = parsed[self]
  if not done or done.text ~= text then
    done = { text = text }
    done.value, done.problem = json.decode(text)
    parsed[self] = done
  end
  return done.value, done.problem
end

function get.parsed(self)
  return (parse(self))
end

-- Kind, reason and hint of what is wrong; nil when the answer is what was asked for.
local function verdict(self)
  if kept[self] then return "limit", kept[self], limits.hint(kept[self]) end
  local kind, reason, hint = require("lgemini.verdict").judge(self)
  if kind then return kind, reason, hint end
  local _, problem = parse(self)
  if problem then return "protocol", "the text is not the JSON that was asked for: " .. problem, "try again" end
end

function get.reason(self)
  local kind, reason = verdict(self)
  if kind then return reason end
  if self.text == "" then return require("lgemini.verdict").instead_of_text(self) end
end

--- The answer where it is whole, else nil and why it is not: kind "blocked" by a filter, "cut" by
--- MAX_TOKENS and the like, "empty", "limit" where a stream brought more than is kept, or "protocol" where the
--- text is not the JSON that was asked for.
--- `err.partial` is the answer.
---@return lgemini.GenerateContentResponse?
---@return lgemini.Error?
function methods.check(self)
  if getmetatable(self) ~= Response then errors.misuse("response.check: a colon is needed: response:check()") end
  local kind, reason, hint = verdict(self)
  if not kind then return self end
  return nil, errors.new { kind = kind, message = reason, hint = hint, partial = self }
end

--- Writes the media of the answer to a file: one image, or one sound, which a stream gives in pieces.
---@param path string
---@return true?
---@return lgemini.Error?  as part:save gives it; "invalid" where there are several media
function methods.save(self, path)
  local save = require "lgemini.save"
  return save.parts(save.path(path, "response:save"), self.media)
end

reserved.GenerateContentResponse = {}
for name in pairs(get) do reserved.GenerateContentResponse[name] = true end
for name in pairs(methods) do reserved.GenerateContentResponse[name] = true end

--- Adds to a response what did not come in its body.
---@param response lgemini.GenerateContentResponse
---@param facts { uploads: table[]?, json: boolean?, enum: boolean?, calls: table[]?, exchange: table?,
--- attempts: integer?, request_id: string?, transport: table? }  kept as it is, so that it can be filled later.
--- json: the request asked for application/json; transport is made of exchange, attempts, request_id
function answer.add_facts(response, facts)
  beside[response] = facts
end

--- A response of what came in pieces.
---@param fields table
---@param facts table|nil  as for add_facts
---@param cut string|nil    what to say of it, where there was more than was kept
---@return lgemini.GenerateContentResponse
function answer.response(fields, facts, cut)
  beside[fields], kept[fields] = facts, cut
  return setmetatable(fields, Response)
end

return answer
