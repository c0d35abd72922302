--- The types of the API as data: names, wire names, kinds of values.
--
-- A type is one line of fields, `name:kind`. Kinds:
--
--   (none)    text; also timestamps, durations, enumerations and opaque base64 (thought_signature)
--   number integer boolean      JSON's
--   int64     a 64-bit integer; answers carry it as a string
--   bytes     raw bytes in Lua, base64 on the wire
--   upper     text that is sent in upper case (the type of a Schema)
--   any       user data: keys, nulls and [] against {} untouched;  struct: the same, but an object
--   open      the same, but with names in camelCase on the wire: what the API has and is not described here
--   Name      an object of that type;  [kind] a list;  {kind} a map whose names are the user's
--
-- The wire name is the name in camelCase, unless written `name=wireName`; in a type that begins with `~` it is name.
-- `!name` is a field that only Vertex AI takes, `^name` one that only the Gemini API takes: refused in requests to the
-- other, understood in answers.
--
-- Types are parsed when they are first asked for; those of answers by the core, which reads the same words.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"

local schema = {}

-- What a config of generateContent sets: some stands beside `contents`, most in generationConfig.
local BESIDE_CONTENTS = [[system_instruction:Content tools:[Tool] tool_config:ToolConfig
  safety_settings:[SafetySetting] cached_content service_tier labels:struct !model_armor_config:open]]
local GENERATION = [[temperature:number top_p:number top_k:number candidate_count:integer
  max_output_tokens:integer stop_sequences:[string] seed:integer presence_penalty:number
  frequency_penalty:number response_logprobs:boolean logprobs:integer response_mime_type
  response_schema:Schema response_json_schema:any response_modalities:[string] media_resolution
  speech_config:SpeechConfig thinking_config:ThinkingConfig image_config:ImageConfig
  audio_transcription_config:AudioTranscriptionConfig ^enable_enhanced_civic_answers:boolean
  !routing_config:open !model_selection_config:open !audio_timestamp:boolean]]

local SOURCE = {
  -- contents -----------------------------------------------------------------------------------
  Content = "role parts:[Part]",
  Part = [[text inline_data:Blob file_data:FileData function_call:FunctionCall
    function_response:FunctionResponse executable_code:ExecutableCode
    code_execution_result:CodeExecutionResult ^tool_call:ToolCall ^tool_response:ToolResponse
    thought:boolean thought_signature video_metadata:VideoMetadata media_resolution:PartMediaResolution
    ^part_metadata:struct audio_transcription:AudioTranscription]],
  Blob = "mime_type data:bytes !display_name",
  FileData = "mime_type file_uri !display_name",
  FunctionCall = "id name args:struct partial_args:[PartialArg] will_continue:boolean",
  PartialArg = "json_path string_value number_value:number bool_value:boolean null_value will_continue:boolean",
  FunctionResponse = [[id name response:struct parts:[FunctionResponsePart] will_continue:boolean
    scheduling]],
  FunctionResponsePart = "inline_data:Blob file_data:FileData",
  ExecutableCode = "id language code",
  CodeExecutionResult = "id outcome output",
  ToolCall = "id tool_type args:struct",
  ToolResponse = "id tool_type response:struct",
  VideoMetadata = "start_offset end_offset fps:number",
  PartMediaResolution = "level num_tokens:integer",
  AudioTranscription = "text finished:boolean language_code speaker_label words:[TranscribedWord]",
  TranscribedWord = "word start_offset end_offset",

  -- requests to generate -----------------------------------------------------------------------
  GenerateContentRequest = "model contents:[Content] generation_config:GenerationConfig " .. BESIDE_CONTENTS,
  GenerationConfig = GENERATION,
  GenerateContentConfig = BESIDE_CONTENTS .. " " .. GENERATION,
  SafetySetting = "category threshold !method",
  ThinkingConfig = "include_thoughts:boolean thinking_budget:integer thinking_level",
  ImageConfig = [[aspect_ratio image_size !person_generation !prominent_people !output_mime_type
    !output_compression_quality:integer !image_output_options:open]],
  AudioTranscriptionConfig = [[language_codes:[string] custom_vocabulary:[string] diarization:boolean
    word_timestamp:boolean]],
  SpeechConfig = "language_code voice_config:VoiceConfig multi_speaker_voice_config:MultiSpeakerVoiceConfig",
  VoiceConfig = "prebuilt_voice_config:PrebuiltVoiceConfig",
  PrebuiltVoiceConfig = "voice_name",
  MultiSpeakerVoiceConfig = "speaker_voice_configs:[SpeakerVoiceConfig]",
  SpeakerVoiceConfig = "speaker voice_config:VoiceConfig",
  Schema = [[type:upper format title description nullable:boolean enum:[string] items:Schema
    min_items:int64 max_items:int64 properties:{Schema} required:[string] min_properties:int64
    max_properties:int64 minimum:number maximum:number min_length:int64 max_length:int64 pattern
    example:any any_of:[Schema] property_ordering:[string] default:any]],

  -- tools --------------------------------------------------------------------------------------
  Tool = [[function_declarations:[FunctionDeclaration] google_search:GoogleSearch
    google_search_retrieval:GoogleSearchRetrieval code_execution:Empty url_context:Empty
    ^file_search:FileSearch computer_use:ComputerUse google_maps:GoogleMaps ^mcp_servers:[McpServer]
    !retrieval:open !enterprise_web_search:open !exa_ai_search:open !parallel_ai_search:open]],
  Empty = "",
  FunctionDeclaration = [[name description parameters:Schema parameters_json_schema:any response:Schema
    response_json_schema:any behavior]],
  GoogleSearch = [[search_types:SearchTypes time_range_filter:Interval !blocking_confidence
    !exclude_domains:[string] ]],
  SearchTypes = "web_search:Empty image_search:Empty",
  Interval = "start_time end_time",
  GoogleSearchRetrieval = "dynamic_retrieval_config:DynamicRetrievalConfig",
  DynamicRetrievalConfig = "mode dynamic_threshold:number",
  FileSearch = "file_search_store_names:[string] top_k:integer metadata_filter",
  ComputerUse = [[environment excluded_predefined_functions:[string]
    enable_prompt_injection_detection:boolean ^disabled_safety_policies:[string] ]],
  GoogleMaps = "enable_widget:boolean auth_config:AuthConfig !grounding_types:open",
  AuthConfig = "api_key",
  McpServer = "name streamable_http_transport:StreamableHttpTransport",
  StreamableHttpTransport = "url headers:struct timeout sse_read_timeout terminate_on_close:boolean",
  ToolConfig = [[function_calling_config:FunctionCallingConfig retrieval_config:RetrievalConfig
    ^include_server_side_tool_invocations:boolean]],
  FunctionCallingConfig = "mode allowed_function_names:[string] !stream_function_call_arguments:boolean",
  RetrievalConfig = "lat_lng:LatLng language_code",
  LatLng = "latitude:number longitude:number",

  -- what generating answers --------------------------------------------------------------------
  GenerateContentResponse = [[candidates:[Candidate] prompt_feedback:PromptFeedback
    usage_metadata:UsageMetadata model_version response_id model_status:ModelStatus create_time]],
  Candidate = [[index:integer content:Content finish_reason finish_message token_count:integer
    avg_logprobs:number safety_ratings:[SafetyRating] citation_metadata:CitationMetadata
    logprobs_result:LogprobsResult grounding_metadata:GroundingMetadata
    url_context_metadata:UrlContextMetadata]],
  PromptFeedback = "block_reason block_reason_message safety_ratings:[SafetyRating]",
  SafetyRating = [[category probability blocked:boolean probability_score:number severity
    severity_score:number]],
  CitationMetadata = "citations=citationSources:[Citation]",
  PublisherModelsResponse = "models=publisherModels:[Model] next_page_token",
  Citation = "start_index:integer end_index:integer uri title license publication_date:any",
  LogprobsResult = [[log_probability_sum:number top_candidates:[TopLogprobs]
    chosen_candidates:[LogprobsCandidate] ]],
  TopLogprobs = "candidates:[LogprobsCandidate]",
  LogprobsCandidate = "token token_id:integer log_probability:number",
  GroundingMetadata = [[web_search_queries:[string] image_search_queries:[string]
    search_entry_point:SearchEntryPoint grounding_chunks:[GroundingChunk]
    grounding_supports:[GroundingSupport] retrieval_metadata:RetrievalMetadata
    google_maps_widget_context_token]],
  SearchEntryPoint = "rendered_content sdk_blob:bytes",
  GroundingChunk = "web:WebChunk image:ImageChunk maps:MapsChunk retrieved_context:RetrievedContext",
  WebChunk = "uri title domain",
  ImageChunk = "source_uri image_uri title domain",
  MapsChunk = "uri title text place_id place_answer_sources:PlaceAnswerSources",
  PlaceAnswerSources = "review_snippets:[ReviewSnippet]",
  ReviewSnippet = "review_id google_maps_uri title",
  RetrievedContext = [[uri title text file_search_store page_number:integer media_id
    custom_metadata:[CustomMetadata] ]],
  CustomMetadata = "key string_value numeric_value:number string_list_value:StringList",
  StringList = "values:[string]",
  GroundingSupport = [[segment:Segment grounding_chunk_indices:[integer] confidence_scores:[number]
    rendered_parts:[integer] ]],
  Segment = "part_index:integer start_index:integer end_index:integer text",
  RetrievalMetadata = "google_search_dynamic_retrieval_score:number",
  UrlContextMetadata = "url_metadata:[UrlMetadata]",
  UrlMetadata = "retrieved_url url_retrieval_status",
  UsageMetadata = [[prompt_token_count:integer cached_content_token_count:integer
    candidates_token_count:integer tool_use_prompt_token_count:integer thoughts_token_count:integer
    total_token_count:integer prompt_tokens_details:[ModalityTokenCount]
    candidates_tokens_details:[ModalityTokenCount] cache_tokens_details:[ModalityTokenCount]
    tool_use_prompt_tokens_details:[ModalityTokenCount] service_tier traffic_type]],
  ModalityTokenCount = "modality token_count:integer",
  ModelStatus = "model_stage message retirement_time",
}

---@class lgemini.schema.Kind
---@field kind string  "text", "number", ..., "object", "list", "map"
---@field name string? of an object: the name of its type
---@field of lgemini.schema.Kind? of a list or map: the kind of its members
---@field json string?  Lua type of a decoded value that needs no conversion

---@class lgemini.schema.Field: lgemini.schema.Kind
---@field field string  snake_case name
---@field wire string  name on the wire
---@field vertex boolean  only Vertex AI takes it
---@field gemini boolean?  only the Gemini API takes it

---@class lgemini.schema.Type
---@field name string
---@field as_is boolean  its names are the same on the wire
---@field order lgemini.schema.Field[]
---@field fields table<string, lgemini.schema.Field>  by snake_case name
---@field wires table<string, lgemini.schema.Field>  by wire name

--- snake_case as the API's camelCase: `mime_type` -> `mimeType`.
---@param name string
---@return string
function schema.camel(name)
  if not name:find("_", 1, true) then return name end
  return (name:gsub("_([a-z0-9])", string.upper))
end

--- camelCase as snake_case: `mimeType` -> `mime_type`.
---@param name string
---@return string
function schema.snake(name)
  return (name:gsub("%u", function(letter) return "_" .. letter:lower() end))
end

local JSON = { text = "string", upper = "string", boolean = "boolean", number = "number", integer = "number",
  int64 = "number" }

-- Fields name their members when they are made, so that they have the places.
local function parse_kind(text, field, wire)
  local first = text:sub(1, 1)
  if first == "[" or first == "{" then
    return { kind = first == "[" and "list" or "map", of = parse_kind(text:sub(2, -2)), field = field, wire = wire,
      vertex = nil, gemini = nil }
  elseif first:find("^%u") then
    return { kind = "object", name = text, field = field, wire = wire, vertex = nil, gemini = nil }
  end
  local kind = (text == "" or text == "string") and "text" or text
  return { kind = kind, json = JSON[kind], field = field, wire = wire, vertex = nil, gemini = nil }
end

--- The wire names that were met so far as they stand in JSON, with the colon: for emit.lua.
---@type table<string, string>
schema.quoted = {}

local function parse(name, source)
  local as_is = source:find("^~") ~= nil
  local order, fields, wires = {}, {}, {}
  for only, snake, wire, kind in source:gmatch("([!^]?)([%w_]+)=?(%w*):?(%S*)") do
    wire = wire ~= "" and wire or as_is and snake or schema.camel(snake)
    local field = parse_kind(kind, snake, wire)
    field.vertex, field.gemini = only == "!", only == "^" or nil
    schema.quoted[wire] = '"' .. wire .. '":'
    order[#order + 1], fields[snake], wires[wire] = field, field, field
  end
  return { name = name, as_is = as_is, order = order, fields = fields, wires = wires }
end

--- A type in the words above. Asking for one that does not exist is a bug of ours and raises.
---@param name string
---@return string
function schema.source(name)
  return assert(SOURCE[name] or require("lgemini.schema_more")[name], "no such type: " .. name)
end

local types = {}

--- The same, parsed.
---@param name string
---@return lgemini.schema.Type
function schema.type(name)
  local type = types[name]
  if not type then
    type = parse(name, schema.source(name))
    types[name] = type
  end
  return type
end

--- The names of a type's fields for options.check: name -> true, or the names below it where it is a config
--- of its own.
---@param name string
---@return table<string, true|table>
function schema.known(name)
  local known = {}
  for _, field in ipairs(schema.type(name).order) do
    known[field.field] = field.kind == "object" and field.name:find("Config$") and schema.known(field.name) or true
  end
  return known
end

--- All names of types, sorted.
---@return string[]
function schema.names()
  local names = {}
  for name in pairs(SOURCE) do names[#names + 1] = name end
  for name in pairs(require "lgemini.schema_more") do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Objects that came from the wire carry one of these metatables; answer.lua gives them methods. Their
-- members are sent back as they came, whatever they are called.
local marks = {
  Content = { __name = "lgemini.Content", __index = {} },
  Part = { __name = "lgemini.Part", __index = {} },
  File = { __name = "lgemini.File" },
  Image = { __name = "lgemini.Image", __index = {} },
  Video = { __name = "lgemini.Video", __index = {} },
  Operation = { __name = "lgemini.Operation", __index = {} },
  CachedContent = { __name = "lgemini.CachedContent" },
  BatchJob = { __name = "lgemini.BatchJob" },
  BatchPredictionJob = { __name = "lgemini.BatchPredictionJob" },
  FileSearchStore = { __name = "lgemini.FileSearchStore" },
  Document = { __name = "lgemini.Document" },
  TunedModel = { __name = "lgemini.TunedModel" },
}

--- The metatable that objects of this type carry when they came from the wire, or nil for most types.
---@param name string
---@return table?
function schema.mark(name)
  return marks[name]
end

--- Did this value come from the wire as an object of that type?
---@param value any
---@param name string  "Content", "Part", "File", ...: one that has a mark
---@return boolean
function schema.is(value, name)
  return type(value) == "table" and getmetatable(value) == marks[name]
end

-- What a converted object cannot show as it came (a member that is null, one whose name does not
-- survive snake_case, ...): object -> { wire name -> { key=, value=, wire= } }. While object[key] is
-- still `value`, `wire` is what goes back.
local echoes = setmetatable({}, { __mode = "k" })

--- Notes that a member must go back as it came.
---@param object table
---@param name string  its name on the wire
---@param key string?  where the object shows it, if it does
---@param wire any  the decoded value as it came
function schema.note_echo(object, name, key, wire)
  local notes = echoes[object]
  if not notes then
    notes = {}
    echoes[object] = notes
  end
  local value
  if key ~= nil then value = object[key] end
  notes[name] = { key = key, value = value, wire = wire }
end

--- The notes of an object: wire name -> { key=, value=, wire= }, or nil.
---@param object table
---@return table<string, { key: string?, value: any, wire: any }>?
function schema.echo(object)
  return echoes[object]
end

-- Blobs whose bytes went to a file: blob -> its path. Only what is in here is read; no name from the wire ever is.
local files = setmetatable({}, { __mode = "k" })

--- Notes that the bytes of an object are in a file.
---@param object table
---@param path string
function schema.set_file(object, path)
  files[object] = path
end

--- Where the bytes of an object are, if they are in a file and not in the object itself.
---@param object any
---@return string|nil
function schema.file(object)
  return type(object) == "table" and object.data == nil and files[object] or nil
end

--- A shallow copy that still counts as having come from the wire, if the original did.
---@param object table
---@return table
function schema.copy(object)
  local copy = {}
  for key, value in pairs(object) do copy[key] = value end
  echoes[copy], files[copy] = echoes[object], files[object]
  require("lgemini.ordered").keep(copy, object)
  return setmetatable(copy, getmetatable(object))
end

local MAX_DEPTH = 100

--- A copy in depth, which goes to the service as the original would: for what is kept, or handed out.
---@param value any
---@param depth integer?  of the value
---@return any
function schema.deep_copy(value, depth)
  if type(value) ~= "table" then return value end
  depth = (depth or 0) + 1
  if depth > MAX_DEPTH then
    errors.misuse(("a value is nested deeper than %d levels (a table within itself?)"):format(MAX_DEPTH))
  end
  local copy, kept = schema.copy(value), {}
  for _, note in pairs(echoes[value] or {}) do
    if note.key ~= nil then kept[note.key] = true end -- known by its identity
  end
  for key, item in pairs(value) do
    if type(item) == "table" and not kept[key] then copy[key] = schema.deep_copy(item, depth) end
  end
  return copy
end

return schema
