--- What answer.lua makes of an answer: it never raises; what a caller gets is of the types that are promised; and what
-- goes back to the service is what came from it.
--
-- Input: a letter for what the answer is of, then its JSON; of a stream (s) several, with empty lines between them.

local cjson = require "cjson"
local Accumulator = require "lgemini.accumulator"
local answer = require "lgemini.answer"
local core = require "lgemini.core"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

local utf8_len = rawget(_G, "utf8").len

local function is_error(err, kind)
  assert(errors.is(err), "a failure is an error value")
  assert(kind == nil or err.kind == kind, err.kind)
  assert(err.message ~= "", "no message")
end

-- Comparing ------------------------------------------------------------------------------------

-- Where two decoded values differ, or nil. The marks of arrays count unless they are loose.
local function difference(a, b, path, loose)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a ~= b and ("%s: %s, %s"):format(path, tostring(a), tostring(b)) or nil
  end
  if not loose and json.is_array(a) ~= json.is_array(b) then return path .. ": array and object" end
  for key, value in pairs(a) do
    local found = difference(value, b[key], path .. "." .. tostring(key), loose)
    if found then return found end
  end
  for key in pairs(b) do
    if a[key] == nil then return ("%s.%s: only one has it"):format(path, tostring(key)) end
  end
end

local function must_equal(got, wanted, loose)
  local found = difference(got, wanted, "", loose)
  assert(not found, found)
end

-- Promised types -------------------------------------------------------------------------------

local conforms

local function conforms_object(value, type_name, path)
  assert(type(value) == "table", path .. ": an object")
  for _, field in ipairs(schema.type(type_name).order) do
    local member = rawget(value, field.field)
    if member ~= nil then conforms(member, field, path .. "." .. field.field) end
  end
end

local check = {}

function check.text(value, path) assert(type(value) == "string", path) end
check.upper, check.bytes = check.text, check.text
function check.number(value, path) assert(type(value) == "number", path) end
function check.integer(value, path) assert(type(value) == "number", path) end
function check.boolean(value, path) assert(type(value) == "boolean", path) end
function check.any() end
function check.struct(value, path) assert(type(value) == "table" and not json.is_array(value), path) end

-- Text where it does not fit into an integer.
function check.int64(value, path)
  assert(type(value) == "number" or (type(value) == "string" and value:find "^%-?%d+$"), path)
end

function check.list(value, path, kind)
  assert(type(value) == "table", path)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  assert(count == #value, path .. ": a list without holes")
  for i, item in ipairs(value) do conforms(item, kind.of, ("%s[%d]"):format(path, i)) end
end

function check.map(value, path, kind)
  assert(type(value) == "table", path)
  for key, item in pairs(value) do conforms(item, kind.of, path .. "." .. tostring(key)) end
end

function check.object(value, path, kind) conforms_object(value, kind.name, path) end

function conforms(value, kind, path) check[kind.kind](value, path, kind) end

-- Echo -----------------------------------------------------------------------------------------

-- A body that gathers the text.
local function new_body()
  local body = { pieces = {} }
  function body:add(text) self.pieces[#self.pieces + 1] = text; return true end
  function body:add_base64(bytes) return self:add(core.base64.encode(bytes)) end
  return body
end

-- What would be sent for a converted value, decoded; nil where it cannot be sent.
local function sent(value, type_name, whole)
  local tree, err = request.wire(value, type_name)
  if not tree then
    is_error(err, "invalid")
    assert(err.message:find("UTF-8", 1, true) and not utf8_len(whole), err.message)
    return nil
  end
  local body = new_body()
  assert(request.emit(tree, body))
  local decoded, problem = json.decode(table.concat(body.pieces))
  assert(decoded ~= nil, problem)
  return decoded
end

-- The first item of a list that is an object: what is none is not shown.
local function first_object(list)
  for _, item in ipairs(json.is_array(list) and list or {}) do
    if type(item) == "table" and not json.is_array(item) then return item end
  end
end

local function object_at(value, ...)
  for _, name in ipairs { ... } do
    value = type(value) == "table" and value[name] or nil
  end
  return type(value) == "table" and not json.is_array(value) and value or nil
end

-- What is sent back: items of lists that are no objects where the API has objects are not shown; bytes go in the
-- standard alphabet.
local function as_sent(value, type_name)
  for name, member in pairs(value) do
    local field = schema.type(type_name).wires[name]
    if field and field.kind == "bytes" and type(member) == "string" then
      value[name] = core.base64.encode(assert(core.base64.decode(member)))
    elseif field and field.kind == "object" and object_at(member) then
      as_sent(member, field.name)
    elseif field and field.kind == "list" and json.is_array(member) then
      local kept = json.array {}
      for _, item in ipairs(member) do
        if field.of.kind ~= "object" or object_at(item) then kept[#kept + 1] = item end
        if field.of.kind == "object" and object_at(item) then as_sent(item, field.of.name) end
      end
      value[name] = kept
    end
  end
  return value
end

-- Answers to generate --------------------------------------------------------------------------

local REASONS = { blocked = true, cut = true, empty = true, protocol = true }
local COUNTS = { "prompt_token_count", "candidates_token_count", "thoughts_token_count", "total_token_count" }

local function text_or_nil(value) return value == nil or type(value) == "string" end

local function check_verdict(response)
  local whole, err = response:check()
  if whole then
    assert(whole == response)
  else
    is_error(err)
    assert(REASONS[err.kind] and err.partial == response)
  end
  assert(text_or_nil(response.reason))
end

local function check_response(response)
  conforms_object(response, "GenerateContentResponse", "response")
  assert(type(response.candidates) == "table")
  assert(type(response.text) == "string" and type(response.thoughts) == "string")
  for _, part in ipairs(response.parts) do assert(schema.is(part, "Part")) end
  for _, call in ipairs(response.function_calls) do assert(type(call) == "table") end
  for _, part in ipairs(response.media) do assert(type(part.inline_data.data) == "string") end
  assert(text_or_nil(response.executable_code) and text_or_nil(response.code_execution_result))
  assert(text_or_nil(response.finish_reason) and text_or_nil(response.model_version))
  for _, name in ipairs(COUNTS) do assert(type(response.usage_metadata[name]) == "number", name) end
  check_verdict(response)
end

-- What a text is decoded as; nil where it is none of that type, for which there is a reason.
local function decode(text, type_name)
  local value, err = answer.decode(text, type_name)
  if value == nil then
    assert(err.message ~= "" and (err.kind == "protocol" or err.kind == "invalid" or err.kind == "limit"
      or err.kind == "incomplete"), err.kind)
    return nil
  end
  value, err = answer.checked(value)
  if not value then is_error(err, "protocol") end
  return value
end

local function check_generate(text)
  local response = decode(text, "GenerateContentResponse")
  if not response then return end
  answer.add_facts(response, { json = true })
  check_response(response)
  local raw = object_at(first_object(json.decode(text).candidates), "content")
  local content = response.candidates[1] and response.candidates[1].content
  assert((raw ~= nil) == (content ~= nil))
  if content then
    local echo = sent(content, "Content", text)
    if echo then must_equal(echo, as_sent(raw, "Content")) end
  end
end

-- Streams --------------------------------------------------------------------------------------

-- A part that says nothing but its text, or that it is a thought's.
local function is_plain(part)
  for key, value in pairs(part) do
    local known = key == "text" and type(value) == "string" or key == "thought" and value == true
    if not known then return false end
  end
  return part.text ~= nil
end

-- Adds the raw parts of a chunk to those of the chunks before it: neighbouring texts become one. What is no object is
-- not shown.
local function join(parts, more)
  for _, part in ipairs(more) do
    local last = parts[#parts]
    if object_at(part) and last and is_plain(last) and is_plain(part) and last.thought == part.thought then
      last.text = last.text .. part.text
    elseif object_at(part) then
      parts[#parts + 1] = part
    end
  end
end

-- The parts that a stream must add up to: one candidate, whose content says nothing odd; else nil.
local function expected_parts(texts)
  local parts = json.array {}
  for _, text in ipairs(texts) do
    local raw = json.decode(text)
    local candidate = object_at(raw) and first_object(raw.candidates)
    if candidate then
      if #raw.candidates > 1 or candidate.index ~= nil then return nil end
      local content = candidate.content == nil and {} or object_at(candidate, "content")
      if not content or (content.parts ~= nil and not json.is_array(content.parts)) then return nil end
      join(parts, as_sent(content, "Content").parts or {})
    end
  end
  return parts
end

-- The same events in a stream that is cut in pieces: their values; where `alone` is true of an event's place, its text
-- if nothing else is new. And the answer that they add up to.
local function streamed(texts, size, alone)
  local lines = {}
  for i, text in ipairs(texts) do
    lines[i] = "data: " .. text:gsub("\r", " "):gsub("\n", "\ndata: ") .. "\n\n"
  end
  local stream, values = table.concat(lines), {}
  local decoder = answer.decoder("GenerateContentResponse", #stream, 100, true)
  local accumulator = Accumulator.new { json = true }
  accumulator:follow(decoder)
  for at = 1, #stream, size do
    decoder:feed(stream:sub(at, at + size - 1))
    local value, err = decoder:next(alone and alone(1 + #values))
    while value ~= nil do
      values[#values + 1] = value
      if err ~= true and answer.checked(value) then accumulator:add(value) end
      value, err = decoder:next(alone and alone(1 + #values))
    end
    if err then
      values = nil
      break
    end
  end
  accumulator:leave(decoder:retire())
  return values, accumulator:response()
end

local function text_of(value)
  return type(value) == "table" and not json.is_array(value) and value.text or value
end

local ORDERS = { function() return true end, function(i) return i % 2 == 0 end, function(i) return i % 3 ~= 1 end }

-- A stream says the same however it is cut, and its texts are those of its chunks.
local function check_cuts(texts)
  for _, text in ipairs(texts) do
    if not text:find "%S" or answer.decode(text, "GenerateContentResponse") == nil then return end
  end
  local whole, response = streamed(texts, 1000000)
  assert(whole and #whole == #texts)
  for i, text in ipairs(texts) do
    if not text:find "\r" then must_equal(whole[i], (answer.decode(text, "GenerateContentResponse"))) end
  end
  must_equal(assert(streamed(texts, 7)), whole)
  for _, order in ipairs(ORDERS) do
    for _, size in ipairs { 100, 1000000 } do
      local alone, same = streamed(texts, size, order)
      assert(alone and #alone == #whole)
      for i, value in ipairs(alone) do
        must_equal(text_of(value), text_of(whole[i]))
        if type(value) == "table" then must_equal(value, whole[i]) end
      end
      must_equal(same, response)
    end
  end
end

local function check_stream(texts)
  check_cuts(texts)
  local accumulator, whole = Accumulator.new { json = true }, nil
  local said, thought = {}, {}
  for _, text in ipairs(texts) do
    local chunk = decode(text, "GenerateContentResponse")
    if not chunk then return end
    check_response(chunk)
    said[#said + 1], thought[#thought + 1] = chunk.text, chunk.thoughts
    accumulator:add(chunk)
    whole = accumulator:response()
    check_response(whole)
    assert(whole == accumulator:response())
  end
  local wanted = whole and expected_parts(texts)
  if not wanted then return end
  assert(whole.text == table.concat(said) and whole.thoughts == table.concat(thought))
  local content = whole.candidates[1] and whole.candidates[1].content
  local echo = content and sent(content, "Content", table.concat(texts))
  if echo then must_equal(echo.parts or json.array {}, wanted) end
end

-- The other answers ----------------------------------------------------------------------------

local function check_operation(text)
  local operation = decode(text, "Operation")
  if not operation then return end
  answer.operation(operation)
  local response = operation.response
  operation.response = nil
  conforms_object(operation, "Operation", "operation")
  if response and response.generated_videos then
    conforms_object(response, "GenerateVideosResponse", "operation.response")
    local raw = object_at(json.decode(text), "response", "generateVideoResponse")
    raw = raw and object_at(first_object(raw.generatedSamples), "video")
    local video = response.generated_videos[1] and response.generated_videos[1].video
    local echo = raw and video and sent(video, "Video", text)
    if echo then must_equal(echo, as_sent(raw, "Video")) end
  end
end

local function check_images(text)
  local response = decode(text, "GenerateImagesResponse")
  if not response then return end
  answer.images(response)
  conforms_object(response, "GenerateImagesResponse", "response")
  for _, made in ipairs(response.generated_images or {}) do
    conforms_object(made.image, "Image", "image")
  end
end

local function checker(type_name)
  return function(text)
    local value = decode(text, type_name)
    if not value then return end
    conforms_object(value, type_name, type_name)
  end
end

local checks = {
  g = check_generate,
  o = check_operation,
  i = check_images,
  c = checker "CountTokensResponse",
  e = checker "EmbedContentResponse",
  f = checker "File",
  l = checker "ListFilesResponse",
  m = checker "ListModelsResponse",
}

local function split(text)
  local texts = {}
  for piece in (text .. "\n\n"):gmatch "(.-)\n\n" do texts[#texts + 1] = piece end
  return texts
end

local function run(input)
  local letter, text = input:sub(1, 1), input:sub(2)
  if letter == "s" then return check_stream(split(text)) end
  local decoded, problem = json.decode(text)
  local ours = answer.decode(text)
  if decoded == nil then
    assert(type(problem) == "string")
    assert(ours == nil, "lua-cjson refuses it")
    return
  end
  must_equal(decoded, cjson.decode(text), true)
  if ours ~= nil then -- it is the stricter one
    must_equal(ours, decoded)
    local check_answer = checks[letter] or check_generate
    check_answer(text)
  end
end

-- All that the API calls its fields.
local function names()
  local seen, list = {}, {}
  for _, name in ipairs(schema.names()) do
    for _, field in ipairs(schema.type(name).order) do
      for _, spelling in ipairs { field.wire, field.field } do
        if not seen[spelling] then list[#list + 1] = ('"%s"'):format(spelling) end
        seen[spelling] = true
      end
    end
  end
  return list
end

return run, names()
