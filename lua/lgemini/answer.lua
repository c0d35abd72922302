--- What came -> what the caller gets.
--
-- The core decodes in one pass, by the types of schema.lua: names become snake_case, 64-bit integers numbers,
-- base64 bytes; nulls are dropped, user data is left alone, and members that no type knows are kept. What a
-- member of a content cannot show as it came is noted (schema.note_echo), so that wire.lua sends back the very
-- same. A member or item of another JSON type than the API gives is not shown: callers never meet a number where
-- a table is promised.

local errors = require "lgemini.errors"
local json = require "lgemini.json"
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
-- those that are named say more.
local ROLES = {
  GenerateContentResponse = { "response", { prompt_feedback = true } },
  Candidate = { "candidate", { finish_reason = true } },
  Content = { "content", {} },
  Part = { "part", setmetatable({ text = false }, { __index = function() return true end }) },
}

-- Kinds of schema.lua that answers do not tell apart from others.
local KINDS = { upper = "text", map = "struct" }

-- A type of schema.lua as the core wants it.
local function shape_of(name)
  local type, role = schema.type(name), ROLES[name] or {}
  local shape = { role = role[1], echoed = ECHOED[name], metatable = metatables[name] }
  for i, field in ipairs(type.order) do
    local kind = field.kind == "list" and field.of or field
    shape[i] = { wire = field.wire, field = field.field, list = field.kind == "list", type = kind.name,
      kind = KINDS[kind.kind] or kind.kind, apart = role[2] and role[2][field.field] }
    if name == "CitationMetadata" then -- Vertex AI has another name for it
      shape[#type.order + 1] = { wire = field.field, field = field.field, list = true, kind = kind.kind,
        type = kind.name }
    end
  end
  return shape
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

--- Decodes what comes, byte by byte: see core.meta.lua.
---@param type_name string|nil  nil: user data, as it came
---@param most integer          bytes of an event, or of a body
---@param max_depth integer     levels of arrays and objects within each other
---@param events boolean|nil    a stream of events; else one body
---@return lgemini.core.Answer
function answer.decoder(type_name, most, max_depth, events)
  if not shapes then
    core = require("lgemini.core").answer
    shapes = core.shapes { null = json.null, array = getmetatable(json.array {}), settle = settle, types = shape_of }
  end
  return core.new(shapes, type_name, most, max_depth, events or false)
end

--- JSON as the caller gets it.
---@param text string
---@param type_name string|nil
---@param max_depth integer|nil
---@return any value
---@return table|nil err  kind, message
function answer.decode(text, type_name, max_depth)
  local decoder = answer.decoder(type_name, #text, max_depth or 100)
  decoder:feed(text)
  decoder:next()
  local value, err = decoder:finish()
  decoder:close()
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
  "FileSearchStore", "Document", "TunedModel" } do
  metatables[name] = schema.mark(name)
end
reserved.Part, reserved.Image, reserved.Video = { save = true }, { save = true }, { save = true }

---@class lgemini.Content  one turn
---@field role "user"|"model"|nil
---@field parts lgemini.Part[]?

---@class lgemini.Part  a part from the wire, with the fields of the API
---@field text string?
---@field thought boolean?
---@field thought_signature string?  opaque; goes back on the same part
---@field inline_data { mime_type: string, data: string }?  data is raw bytes
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
  if not (blob and blob.data) then
    return nil, errors.new { kind = "invalid", message = "this part carries no bytes" }
  end
  return save.bytes(path, blob.mime_type, { blob.data })
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
  for _, made in ipairs(response.generated_images or {}) do
    made.image = setmetatable({ image_bytes = made.image_bytes, mime_type = made.mime_type }, metatables.Image)
    made.image_bytes, made.mime_type = nil, nil
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

-- Why an answer is not what was asked for ------------------------------------------------------

-- Finish reasons that mean a filter; the others, but STOP, mean that something went wrong.
local FILTERS = {
  SAFETY = true, RECITATION = true, BLOCKLIST = true, PROHIBITED_CONTENT = true, SPII = true,
  IMAGE_SAFETY = true, IMAGE_PROHIBITED_CONTENT = true, IMAGE_RECITATION = true,
}
local FINE = { STOP = true, FINISH_REASON_UNSPECIFIED = true }
local ALARMING = { HIGH = true, MEDIUM = true }

-- 12345 -> "12,345"
local function grouped(number)
  local text = ("%.0f"):format(number)
  local count
  repeat
    text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until count == 0
  return text
end

local function with_ratings(text, ratings)
  local named = {}
  for _, rating in ipairs(ratings or {}) do
    if rating.blocked or ALARMING[rating.probability] then
      named[#named + 1] = ("%s %s"):format(tostring(rating.category), tostring(rating.probability))
    end
  end
  return named[1] and ("%s (%s)"):format(text, table.concat(named, ", ")) or text
end

local function is_content(part)
  if part.thought then return false end
  if part.text ~= nil then return part.text ~= "" end
  for key in pairs(part) do
    if key ~= "thought_signature" then return true end
  end
  return false
end

local function has_content(response)
  for _, part in ipairs(response.parts) do
    if is_content(part) then return true end
  end
  return false
end

local function cut_by_tokens(usage)
  local thoughts = usage.thoughts_token_count
  local all = thoughts + usage.candidates_token_count
  if thoughts > 0 then
    return ("MAX_TOKENS: %s of %s tokens went to thoughts"):format(grouped(thoughts), grouped(all)),
      "raise config.max_output_tokens, or lower config.thinking_config.thinking_budget"
  end
  return all > 0 and ("MAX_TOKENS: cut after %s tokens"):format(grouped(all)) or "MAX_TOKENS: cut",
    "raise config.max_output_tokens"
end

local function judge_finish(response, candidate)
  local finish = candidate.finish_reason
  local why = finish .. (candidate.finish_message and ": " .. candidate.finish_message or "")
  if finish == "MAX_TOKENS" then return "cut", cut_by_tokens(response.usage_metadata) end
  if FILTERS[finish] then
    return "blocked", with_ratings(why, candidate.safety_ratings), "rephrase, or see config.safety_settings"
  end
  if has_content(response) then return "cut", why end
  return "empty", why, "try again, or rephrase"
end

local function judge(response)
  local feedback = response.prompt_feedback
  if feedback and feedback.block_reason then
    local why = "the prompt was blocked: " .. feedback.block_reason
    if feedback.block_reason_message then why = why .. ": " .. feedback.block_reason_message end
    return "blocked", with_ratings(why, feedback.safety_ratings), "rephrase, or see config.safety_settings"
  end
  local candidate = response.candidates[1]
  if not candidate then return "empty", "the answer has no candidates", "try again" end
  if candidate.finish_reason and not FINE[candidate.finish_reason] then
    return judge_finish(response, candidate)
  end
  if not has_content(response) then
    local thoughts = response.thoughts ~= ""
    return "empty", thoughts and "the answer has thoughts only" or "the answer is empty", "try again"
  end
end

-- One line on what came in place of text.
local function instead_of_text(response)
  local what = {}
  for _, call in ipairs(response.function_calls) do
    what[#what + 1] = "a call of " .. tostring(call.name)
  end
  for _, part in ipairs(response.media) do what[#what + 1] = tostring(part.inline_data.mime_type) end
  return "no text, but " .. (what[1] and table.concat(what, ", ") or "other parts")
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

-- What belongs to a response and did not come in its body: response -> { uploads=, transport=, json=, enum=, calls= }.
local beside = setmetatable({}, { __mode = "k" })
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
  return table.concat(texts)
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
    if part.inline_data and part.inline_data.data then found[#found + 1] = part end
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
  return beside[self] and beside[self].transport
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
  local kind, reason, hint = judge(self)
  if kind then return kind, reason, hint end
  local _, problem = parse(self)
  if problem then return "protocol", "the text is not the JSON that was asked for: " .. problem, "try again" end
end

function get.reason(self)
  local kind, reason = verdict(self)
  if kind then return reason end
  if self.text == "" then return instead_of_text(self) end
end

--- The answer where it is whole, else nil and why it is not: kind "blocked" by a filter, "cut" by
--- MAX_TOKENS and the like, "empty", or "protocol" where the text is not the JSON that was asked for.
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
---@param facts { uploads: table[]?, transport: table?, json: boolean?, enum: boolean?, calls: table[]? }  kept as it
--- is, so that it can be filled later. json: the request asked for application/json
function answer.add_facts(response, facts)
  beside[response] = facts
end

-- Streams --------------------------------------------------------------------------------------

-- Texts that follow each other. Pieces are joined in blocks, so that a hundred thousand small ones are
-- neither kept one by one nor copied again and again.
local BLOCK = 256

local function new_run(thought)
  return { run = true, thought = thought, blocks = {}, pieces = {}, n = 0 }
end

local function add_piece(run, text)
  run.n = run.n + 1
  run.pieces[run.n] = text
  if run.n == BLOCK then
    run.blocks[#run.blocks + 1] = table.concat(run.pieces, "", 1, run.n)
    run.n = 0
  end
end

local function join_run(run)
  run.blocks[#run.blocks + 1] = table.concat(run.pieces, "", 1, run.n)
  local text = table.concat(run.blocks)
  run.blocks, run.n = { text }, 0
  return setmetatable({ text = text, thought = run.thought }, metatables.Part)
end

-- Only text, or only a thought's text? Such parts may be joined; any other stays by itself.
local function is_plain(part)
  for key, value in pairs(part) do
    if key ~= "text" and not (key == "thought" and value == true) then return false end
  end
  return part.text ~= nil and not schema.echo(part)
end

local function add_part(list, part)
  local last = list[#list]
  if not is_plain(part) then
    list[#list + 1] = part
    return
  end
  if not (last and last.run and last.thought == part.thought) then
    last = new_run(part.thought)
    list[#list + 1] = last
  end
  add_piece(last, part.text)
end

-- Later members replace earlier ones, notes of what must go back as it came included.
local function take(fields, notes, object, except)
  for key, value in pairs(object) do
    if key ~= except then fields[key] = value end
  end
  for name, note in pairs(schema.echo(object) or {}) do
    if note.key ~= except then notes[name] = note end
  end
end

local function add_content(candidate, content, text_taken)
  candidate.content = candidate.content or { fields = {}, notes = {} }
  take(candidate.content.fields, candidate.content.notes, content, "parts")
  if not content.parts or text_taken then return end
  candidate.parts = candidate.parts or {}
  for _, part in ipairs(content.parts) do add_part(candidate.parts, part) end
end

local function content_so_far(candidate)
  local content = {}
  for key, value in pairs(candidate.content.fields) do content[key] = value end
  for name, note in pairs(candidate.content.notes) do schema.note_echo(content, name, note.key, note.wire) end
  if candidate.parts then
    content.parts = {}
    for i, part in ipairs(candidate.parts) do content.parts[i] = part.run and join_run(part) or part end
  end
  return setmetatable(content, metatables.Content)
end

---@class lgemini.answer.Accumulator
local Accumulator = {}
Accumulator.__index = Accumulator

--- Joins the chunks of a stream into one answer.
---@param facts table?  as for answer.generate
---@return lgemini.answer.Accumulator
function answer.accumulator(facts)
  return setmetatable({ facts = facts, top = {}, candidates = {} }, Accumulator)
end

-- Of chunks that say nothing but a text, one after the other, what else the last one says counts for all of them.
-- `last` is that one; where only the texts were taken, `skimmed` is a function that gives it.

-- Takes what a chunk says, but for the text where that was taken already.
local function add_all(self, chunk, text_taken)
  for key, value in pairs(chunk) do
    if key ~= "candidates" and not (key == "prompt_feedback" and self.top[key]) then self.top[key] = value end
  end
  for i, candidate in ipairs(rawget(chunk, "candidates") or {}) do
    local index = candidate.index or i - 1
    local mine = self.candidates[index]
    if not mine then
      mine = { fields = {}, index = index }
      self.candidates[index] = mine
    end
    take(mine.fields, {}, candidate, "content")
    if candidate.content then add_content(mine, candidate.content, text_taken) end
  end
end

--- Takes in what was put off. A stream does it before it lets go of its decoder.
function Accumulator:fold()
  local last, skimmed = self.last, self.skimmed
  self.last, self.skimmed = nil, nil
  if last then add_all(self, last, true) end
  last = skimmed and skimmed()
  if last then add_all(self, last, true) end
end

-- A text of the first candidate, behind what it has said so far.
local function say(self, text)
  self.whole = nil
  local parts = self.candidates[0].parts
  local run = parts[#parts]
  if not (run and run.run and not run.thought) then
    run = new_run()
    parts[#parts + 1] = run
  end
  add_piece(run, text)
end

--- Takes a text that came in a chunk that was like the one before it.
---@param text string
---@param skimmed function  gives that chunk; nil where it cannot
function Accumulator:skim(text, skimmed)
  if self.last then self:fold() end
  self.skimmed = skimmed
  say(self, text)
end

--- Takes one chunk. Neighbouring plain texts become one part; of all else the last word counts, of
--- prompt_feedback the first.
---@param chunk lgemini.GenerateContentResponse
---@param signature integer|nil  where it says nothing but a text: the same for two that have the same members
function Accumulator:add(chunk, signature)
  if signature and signature == self.signature and not self.skimmed then
    self.last = chunk
    return say(self, chunk.candidates[1].content.parts[1].text)
  end
  self:fold()
  self.whole, self.signature = nil, signature
  add_all(self, chunk)
end

--- What has arrived so far, as one answer. The same table until the next chunk; one that was given away
--- does not change. Costs the length of the text when a chunk has come since.
---@return lgemini.GenerateContentResponse
function Accumulator:response()
  if self.whole then return self.whole end
  self:fold()
  local whole, sorted = {}, {}
  for key, value in pairs(self.top) do whole[key] = value end
  for _, candidate in pairs(self.candidates) do sorted[#sorted + 1] = candidate end
  table.sort(sorted, function(a, b) return a.index < b.index end)
  if sorted[1] then whole.candidates = {} end
  for i, candidate in ipairs(sorted) do
    local out = {}
    for key, value in pairs(candidate.fields) do out[key] = value end
    if candidate.content then out.content = content_so_far(candidate) end
    whole.candidates[i] = out
  end
  beside[whole] = self.facts
  self.whole = setmetatable(whole, Response)
  return self.whole
end

return answer
