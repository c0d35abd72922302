local Accumulator = require "lgemini.accumulator"
local answer = require "lgemini.answer"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local schema = require "lgemini.schema"

local function convert(text, type_name)
  return answer.checked(assert(answer.decode(text, type_name)))
end

local function generate(text, facts)
  local response = assert(convert(text, "GenerateContentResponse"))
  if facts then answer.add_facts(response, facts) end
  return response
end

-- An answer whose first candidate has these parts (JSON) and these other members.
local function with_parts(list, others)
  return generate('{"candidates":[{"content":{"role":"model","parts":[' .. list .. ']}' .. (others or "") .. "}]}")
end

-- Without metatables, to compare with plain tables.
local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in pairs(value) do copy[key] = plain(item) end
  return copy
end

describe("convert", function()
  it("gives snake_case names, and leaves user data alone", function()
    assert.same({ parts = { { function_call = { name = "f", args = { snake_case = 1, camelCase = { aB = json.null } } },
      thought_signature = "a+/_-=" } }, role = "model" },
      plain(convert([[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"snake_case":1,
        "camelCase":{"aB":null}}},"thoughtSignature":"a+/_-="}]}]], "Content")))
  end)

  it("renames as the official SDKs do", function()
    assert.same({ citations = { { start_index = 0 } } },
      plain(convert('{"citationSources":[{"startIndex":0}]}', "CitationMetadata")))
    assert.same({ supported_actions = { "a" }, name = "models/m" },
      plain(convert('{"name":"models/m","supportedGenerationMethods":["a"]}', "Model")))
  end)

  it("keeps the marks of user data", function()
    local call = convert('{"args":{"a":[],"o":{},"n":[[]]}}', "FunctionCall")
    assert.is_true(json.is_array(call.args.a))
    assert.is_false(json.is_array(call.args.o))
    assert.is_true(json.is_array(call.args.n[1]))
  end)

  it("drops nulls, but in user data", function()
    assert.same({ args = { x = json.null } }, plain(convert('{"id":null,"name":null,"args":{"x":null},"new":null}',
      "FunctionCall")))
    assert.same({ { text = "a" } }, plain(convert('{"parts":[null,{"text":"a"}]}', "Content").parts))
  end)

  it("keeps members that it does not know, in snake_case where that leads back", function()
    assert.same({ name = "files/a", holograph_data = { zipperX = 1 }, URL = 2, ["a-b"] = 3, snake_case = 4, some1 = 5,
      aURL = 6, B2 = 7 }, plain(convert([[{"name":"files/a","holographData":{"zipperX":1},"URL":2,"a-b":3,
        "snake_case":4,"some1":5,"aURL":6,"B2":7}]], "File")))
  end)

  it("lets no unknown member take the place of a known one", function()
    assert.same({ mime_type = "b", x_y = 3 },
      plain(convert('{"mime_type":"a","mimeType":"b","display_name":"c","xY":3,"x_y":4}', "File")))
  end)

  it("does not depend on the order of members", function()
    for _ = 1, 20 do
      local text = {}
      for _, member in ipairs { '"xY":1', '"x_y":2', '"fooBar":3', '"foo_bar":4', '"mime_type":5' } do
        table.insert(text, math.random(#text + 1), member)
      end
      assert.same({ x_y = 1, foo_bar = 3 }, plain(convert("{" .. table.concat(text, ",") .. "}", "File")))
    end
  end)

  it("shows nothing of another JSON type than the API gives", function()
    assert.same({ candidates = { {}, { index = 2 } } }, plain(convert(
      [[{"candidates":[{"content":"x","finishReason":5,"safetyRatings":{},"index":"one"},"x",{"index":2}],
        "usageMetadata":[],"modelVersion":{}}]], "GenerateContentResponse")))
    assert.same({ embeddings = { { values = { 1, 2 } } } },
      plain(convert('{"embeddings":[{"values":[1,"x",null,2]}]}', "EmbedContentResponse")))
    assert.same({}, plain(convert('{"args":[1]}', "FunctionCall")))
    assert.same({ role = "model", parts = { { text = "a" } } },
      plain(convert('{"role":"model","parts":[null,"x",5,[],{"text":"a"}]}', "Content")))
  end)

  it("makes 64-bit integers of text, where they fit", function()
    local function size(text) return convert('{"sizeBytes":' .. text .. "}", "File").size_bytes end
    assert.equal(12345678, size '"12345678"')
    assert.equal(12345678, size "12345678")
    assert.equal(0, size '"0"')
    assert.equal(-5, size '"-5"')
    assert.equal("99999999999999999999", size '"99999999999999999999"')
    assert.is_nil(size '"many"')
    assert.equal("12", tostring(size '"12"'))
    local exact = rawget(math, "tointeger") ~= nil
    assert.equal(exact and "9007199254740993" or "9007199254740993", tostring(size '"9007199254740993"'))
    assert.equal(exact and "number" or "string", type(size '"9223372036854775807"'))
    assert.equal("string", type(size '"9223372036854775808"'))
    assert.equal(exact and "number" or "string", type(size '"-9223372036854775808"'))
    assert.equal("number", type(size '"9007199254740991"'))
  end)

  it("takes counts as text, too, and numbers that are none", function()
    assert.equal(5, convert('{"totalTokens":"5"}', "CountTokensResponse").total_tokens)
    local odd = convert('{"avgLogprobs":"NaN","index":3}', "Candidate").avg_logprobs
    assert.truthy(odd ~= odd)
    assert.equal(-math.huge, convert('{"avgLogprobs":"-Infinity"}', "Candidate").avg_logprobs)
  end)

  it("takes no text for a number that JSON would not write as one", function()
    local function score(text) return convert(('{"avgLogprobs":"%s"}'):format(text), "Candidate").avg_logprobs end
    assert.same({ -1.5, 0.001, 12, -0 }, { score "-1.5", score "1e-3", score "12", score "-0" })
    for _, text in ipairs { "0x10", " 12 ", "12 ", "", "-", "inf", "nan", "infinity", "+1", "01", ".5", "5.", "1e999",
      "1,5", "1\\u0000", ("1"):rep(63) .. ".5" } do
      assert.is_nil(score(text), text)
    end
    assert.is_nil(convert('{"index":"007"}', "Candidate").index)
    assert.is_nil(convert('{"sizeBytes":"-01"}', "File").size_bytes)
  end)

  it("marks what came from the wire", function()
    local content = convert('{"parts":[{"text":"a"}]}', "Content")
    assert.is_true(schema.is(content, "Content"))
    assert.is_true(schema.is(content.parts[1], "Part"))
    assert.is_true(schema.is(convert("{}", "File"), "File"))
    assert.is_true(schema.is(convert('{"files":[{}]}', "ListFilesResponse").files[1], "File"))
  end)

  it("takes no notes where nothing is sent back", function()
    assert.is_nil(schema.echo(convert('{"sizeBytes":"1","odd_name":1,"name":null}', "File")))
    assert.is_nil(schema.echo(convert('{"text":"a","inlineThing":1}', "Part")))
    assert.is_truthy(schema.echo(convert('{"text":"a","odd_name":1}', "Part")))
    local response = generate [[{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"odd_name":1}]}]]
    assert.equal(1, response.candidates[2].odd_name)
    assert.is_nil(schema.echo(response.candidates[2]))
  end)

  it("takes no notes of what goes back as it came anyway", function()
    local function check(value)
      if type(value) ~= "table" then return end
      assert.is_nil(schema.echo(value))
      for _, item in pairs(value) do check(item) end
    end
    check(convert([[{"role":"model","parts":[{"text":"a","thought":true,"newKind":{"a_b":null},"URL":1},
      {"functionCall":{"name":"f","args":{"a_b":[]}},"thoughtSignature":"x"},
      {"videoMetadata":{"fps":1,"startOffset":"1s"},"mediaResolution":{"numTokens":7}},
      {"functionCall":{"partialArgs":[{"numberValue":1,"boolValue":false}]}}]}]], "Content"))
  end)

  it("fails for what is no object", function()
    for _, text in ipairs { "[]", '["a"]', '"a"', "5", "null", "true" } do
      local value, err = convert(text, "File")
      assert.is_nil(value)
      assert.is_true(errors.is(err))
      assert.equal("protocol", err.kind)
      assert.truthy(err.message:find("a JSON object was expected", 1, true))
    end
  end)

  it("decodes bytes", function()
    assert.equal("\0\1\2", convert('{"data":"AAEC"}', "Blob").data)
    assert.equal("\251\255", convert('{"data":"-_8"}', "Blob").data)
    assert.equal("", convert('{"data":""}', "Blob").data)
    assert.equal("ZTNi", convert('{"sha256Hash":"ZTNi"}', "File").sha256_hash)
  end)

  it("shows no bytes where there is no text", function()
    assert.same({}, plain(convert('{"data":55}', "Blob")))
  end)

  it("fails for bytes that are no base64", function()
    local value, err = answer.decode('{"parts":[{"inlineData":{"data":"AA*C"}}]}', "Content")
    assert.is_nil(value)
    assert.equal("invalid", err.kind)
  end)
end)

describe("an operation", function()
  local function operation(text) return answer.operation(convert(text, "Operation")) end

  it("that is not done says so by saying nothing", function()
    local found = operation '{"name":"models/v/operations/1","metadata":{"@type":"x","aB":null}}'
    assert.same({ name = "models/v/operations/1", metadata = { ["@type"] = "x", aB = json.null } }, plain(found))
    assert.is_true(schema.is(found, "Operation"))
  end)

  it("has its videos in the response itself", function()
    local found = operation [[{"name":"o","done":true,"response":{"@type":"y","generateVideoResponse":{
      "generatedSamples":[{"video":{"uri":"u"}}],"raiMediaFilteredCount":"1","raiMediaFilteredReasons":["No."]}}}]]
    assert.same({ name = "o", done = true, response = { generated_videos = { { video = { uri = "u" } } },
      rai_media_filtered_count = 1, rai_media_filtered_reasons = { "No." } } }, plain(found))
    assert.is_true(schema.is(found.response.generated_videos[1].video, "Video"))
  end)

  it("has any other response as it is, and an error with gRPC's number", function()
    assert.same({ name = "o", response = { ["@type"] = "z", document_name = "d" } },
      plain(operation '{"name":"o","response":{"@type":"z","documentName":"d"}}'))
    assert.same({ name = "o", done = true, error = { code = 13, message = "No.", details = {} } },
      plain(operation '{"name":"o","done":true,"error":{"code":13,"message":"No.","details":[]}}'))
  end)
end)

describe("images", function()
  it("stand apart from what is said of them", function()
    local found = answer.images(convert([[{"predictions":[
      {"mimeType":"image/png","safetyAttributes":{"categories":["a"],"scores":[0.5]}},
      {"raiFilteredReason":"No."}]}]], "GenerateImagesResponse"))
    assert.same({ generated_images = {
      { image = { mime_type = "image/png" }, safety_attributes = { categories = { "a" }, scores = { 0.5 } } },
      { image = {}, rai_filtered_reason = "No." } } }, plain(found))
    assert.is_true(schema.is(found.generated_images[1].image, "Image"))
    assert.same({ generated_images = {} }, plain(answer.images {}))
  end)
end)

describe("error_in", function()
  for text, message in pairs {
    ['{"error":{"message":"m"}}'] = "m", ['[{"error":{"message":"n"}}]'] = "n", ['{"error":{}}'] = false,
  } do
    it("finds " .. text, function()
      local found = answer.error_in(answer.decode(text, "GenerateContentResponse"))
      assert.equal("table", type(found))
      assert.equal(message or nil, found.message)
    end)
  end

  it("finds an error that is no object", function()
    assert.equal("x", answer.error_in(answer.decode('{"error":"x"}', "GenerateContentResponse")))
  end)

  it("finds nothing else", function()
    for _, text in ipairs { "{}", "[]", '{"error":null}', '"error"', "null", "5", "[[]]",
      '["error"]' } do
      assert.is_nil(answer.error_in(answer.decode(text, "GenerateContentResponse")))
    end
  end)
end)

describe("a response", function()
  it("shows what came, and nothing else", function()
    local response = generate '{"modelVersion":"m"}'
    local keys = {}
    for key in pairs(response) do keys[#keys + 1] = key end
    assert.same({ "model_version" }, keys)
    assert.equal("lgemini.GenerateContentResponse", getmetatable(response).__name)
  end)

  it("is none where no object came", function()
    local response, err = convert("[]", "GenerateContentResponse")
    assert.is_nil(response)
    assert.equal("protocol", err.kind)
  end)

  it("has tables and numbers where nothing came", function()
    for _, text in ipairs { "{}", '{"candidates":[]}', '{"candidates":[{}]}', '{"candidates":[{"content":{}}]}',
      '{"candidates":[{"content":{"role":"model"}}]}', '{"candidates":[{"content":{"parts":[]}}]}',
      '{"candidates":[{"content":{"parts":[{}]}}],"usageMetadata":{}}', '{"candidates":null,"usageMetadata":null}' } do
      local response = generate(text)
      assert.equal("table", type(response.candidates))
      assert.equal("table", type(response.parts))
      assert.same({}, response.function_calls)
      assert.same({}, response.media)
      assert.same({}, response.uploads)
      assert.equal("", response.text)
      assert.equal("", response.thoughts)
      assert.equal(0, response.usage_metadata.total_token_count)
      assert.equal(0, response.usage_metadata.thoughts_token_count)
      assert.is_nil(response.usage_metadata.traffic_type)
      assert.is_nil(response.finish_reason)
      assert.is_nil(response.parsed)
      assert.is_nil(response.transport)
      assert.is_nil(response.executable_code)
      assert.is_nil(response.anything)
    end
  end)

  it("has counts that came, unknown ones too, and 0 for others", function()
    local usage = generate([[{"usageMetadata":{"promptTokenCount":3,"quantumTokenCount":9,
      "promptTokensDetails":[{"modality":"TEXT"}]}}]]).usage_metadata
    assert.equal(3, usage.prompt_token_count)
    assert.equal(9, usage.quantum_token_count)
    assert.equal(0, usage.candidates_token_count)
    assert.equal(0, usage.prompt_tokens_details[1].token_count)
    assert.equal(0, convert("{}", "CountTokensResponse").total_tokens)
  end)

  it("has the text of the first candidate, without thoughts", function()
    local response = generate [[{"candidates":[{"content":{"parts":[{"text":"Hm. ","thought":true},{"text":"a"},
      {"functionCall":{"name":"f"}},{"text":""},{"text":"b","thoughtSignature":"x"},{"text":"So.","thought":true}]},
      "finishReason":"STOP"},{"content":{"parts":[{"text":"other"}]}}]}]]
    assert.equal("ab", response.text)
    assert.equal("Hm. So.", response.thoughts)
    assert.equal("STOP", response.finish_reason)
    assert.same({ { name = "f" } }, plain(response.function_calls))
    assert.equal(6, #response.parts)
    assert.equal(response.candidates[1].content.parts, response.parts)
    assert.is_nil(response.reason)
    assert.equal(response, response:check())
  end)

  it("has code and its result", function()
    local response = with_parts([[{"executableCode":{"code":"1"}},{"codeExecutionResult":{"output":"2"}},
      {"executableCode":{"code":"3"}}]])
    assert.equal("1", response.executable_code)
    assert.equal("2", response.code_execution_result)
  end)

  it("keeps what its parts can do whatever the wire names their members", function()
    local part = with_parts('{"save":1,"text":"a"}').parts[1]
    assert.equal("function", type(part.save))
    assert.equal("a", part.text)
  end)

  it("keeps its accessors whatever the wire names its members", function()
    local response = generate '{"text":"x","check":1,"parts":2,"reason":3,"uploads":4,"transport":5,"parsed":6}'
    assert.equal("", response.text)
    assert.same({}, response.parts)
    assert.equal("function", type(response.check))
    assert.is_nil(response.transport)
  end)

  it("has what did not come in its body", function()
    local facts = { uploads = { "u" } }
    local response = generate("{}", facts)
    assert.equal(facts.uploads, response.uploads)
    facts.transport = { attempts = 2 }
    assert.equal(2, response.transport.attempts)
  end)

  it("says why there is no text", function()
    local function reason(text) return generate(text).reason end
    assert.equal("the answer has no candidates", reason "{}")
    assert.equal("the answer is empty", reason '{"candidates":[{"finishReason":"STOP"}]}')
    assert.equal("the answer is empty", with_parts '{"text":""}'.reason)
    assert.equal("the answer is empty", with_parts '{"thoughtSignature":"x"}'.reason)
    assert.equal("the answer has thoughts only", with_parts '{"text":"Hm","thought":true}'.reason)
    assert.equal("no text, but a call of f, a call of g",
      with_parts '{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}'.reason)
    assert.equal("no text, but other parts", with_parts '{"executableCode":{"code":"1"}}'.reason)
    assert.equal("no text, but other parts", with_parts '{"holographData":1}'.reason)
  end)

  local function checked(response, kind, message)
    local ok, err = response:check()
    assert.is_nil(ok)
    assert.is_true(errors.is(err))
    assert.equal(kind, err.kind)
    assert.equal(message, err.message)
    assert.equal(message, response.reason)
    assert.equal(response, err.partial)
    assert.equal("string", type(err.hint or "")) -- a hint is one line
    return err
  end

  it("is checked: blocked prompts", function()
    checked(generate '{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}', "blocked",
      "the prompt was blocked: PROHIBITED_CONTENT")
    checked(generate [[{"promptFeedback":{"blockReason":"SAFETY","blockReasonMessage":"No.","safetyRatings":[
      {"category":"HARM_CATEGORY_HARASSMENT","probability":"LOW"},
      {"category":"HARM_CATEGORY_HATE_SPEECH","probability":"MEDIUM"},
      {"category":"HARM_CATEGORY_DANGEROUS_CONTENT","probability":"HIGH"}]},"candidates":[]}]], "blocked",
      "the prompt was blocked: SAFETY: No. (HARM_CATEGORY_HATE_SPEECH MEDIUM, HARM_CATEGORY_DANGEROUS_CONTENT HIGH)")
    assert.is_nil(with_parts('{"text":"a"}', ',"finishReason":"STOP"').prompt_feedback)
  end)

  it("is checked: blocked answers", function()
    for _, finish in ipairs { "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
      "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION" } do
      checked(generate('{"candidates":[{"finishReason":"' .. finish .. '"}]}'), "blocked", finish)
    end
    checked(with_parts('{"text":"half"}', [[,"finishReason":"SAFETY","finishMessage":"Stopped.","safetyRatings":[
      {"category":"C","probability":"LOW","blocked":true},{"category":"D","probability":"NEGLIGIBLE"}] ]]), "blocked",
      "SAFETY: Stopped. (C LOW)")
  end)

  it("is checked: cut answers", function()
    local function max_tokens(list, usage)
      return generate('{"candidates":[{"content":{"parts":[' .. list .. ']},"finishReason":"MAX_TOKENS"}],'
        .. '"usageMetadata":{' .. usage .. "}}")
    end
    local err = checked(max_tokens("", '"thoughtsTokenCount":2999,"candidatesTokenCount":1'), "cut",
      "MAX_TOKENS: 2,999 of 3,000 tokens went to thoughts")
    assert.truthy(err.hint:find("max_output_tokens", 1, true) and err.hint:find("thinking_budget", 1, true))
    err = checked(max_tokens('{"text":"half"}', '"candidatesTokenCount":1234567'), "cut",
      "MAX_TOKENS: cut after 1,234,567 tokens")
    assert.falsy(err.hint:find("thinking", 1, true))
    checked(max_tokens('{"text":"half"}', '"candidatesTokenCount":64'), "cut", "MAX_TOKENS: cut after 64 tokens")
    checked(max_tokens("", ""), "cut", "MAX_TOKENS: cut")
    checked(max_tokens("", '"thoughtsTokenCount":1'), "cut", "MAX_TOKENS: 1 of 1 tokens went to thoughts")
    checked(with_parts('{"text":"half"}', ',"finishReason":"OTHER"'), "cut", "OTHER")
    checked(with_parts('{"text":"half"}', ',"finishReason":"SOMETHING_NEW","finishMessage":"m"'), "cut",
      "SOMETHING_NEW: m")
  end)

  it("is checked: empty answers", function()
    checked(generate "{}", "empty", "the answer has no candidates")
    checked(generate '{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}', "empty",
      "the answer is empty")
    checked(with_parts('{"text":"Hm","thought":true}', ',"finishReason":"STOP"'), "empty",
      "the answer has thoughts only")
    checked(generate [[{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL",
      "finishMessage":"Malformed function call: f("}]}]], "empty",
      "MALFORMED_FUNCTION_CALL: Malformed function call: f(")
  end)

  it("is fine where a call or other parts came", function()
    local unspecified = with_parts('{"text":"a"}', ',"finishReason":"FINISH_REASON_UNSPECIFIED"')
    assert.equal(unspecified, unspecified:check())
    for _, list in ipairs { '{"functionCall":{"name":"f"}}', '{"functionCall":{"name":"f"},"thoughtSignature":"x"}',
      '{"newKind":1}', '{"text":"a"}' } do
      local response = with_parts(list, ',"finishReason":"STOP"')
      assert.equal(response, response:check())
    end
  end)

  it("raises where check is called with a dot", function()
    local response = generate "{}"
    local ok, problem = pcall(function() return (response.check()) end)
    assert.is_false(ok)
    assert.truthy(problem:find "answer_spec.lua:%d+: .*response:check%(%)", problem)
  end)

  describe("as JSON", function()
    local function text_is(text, facts, finish)
      return generate('{"candidates":[{"content":{"parts":[{"text":' .. json.quote(text) .. '}]},"finishReason":"'
        .. (finish or "STOP") .. '"}]}', facts)
    end

    it("is parsed where JSON was asked for", function()
      local response = text_is('{"a_b":[1,null]}', { json = true })
      assert.same({ a_b = { 1, json.null } }, plain(response.parsed))
      assert.equal(response.parsed, response.parsed) -- once
      assert.equal(response, response:check())
      assert.is_nil(text_is('{"a":1}').parsed)
      assert.is_nil(text_is('{"a":1}', {}).parsed)
    end)

    it("is parsed anew when the text changes", function()
      local response = text_is("[1]", { json = true })
      assert.same({ 1 }, plain(response.parsed))
      response.parts[1].text = "[2]"
      assert.same({ 2 }, plain(response.parsed))
    end)

    it("says where it is none", function()
      local response = text_is("Sure! {}", { json = true })
      assert.is_nil(response.parsed)
      assert.truthy(response.reason:find "^the text is not the JSON that was asked for: not valid JSON")
      local _, err = response:check()
      assert.equal("protocol", err.kind)
      assert.is_nil(text_is("Sure!").reason)
    end)

    it("is cut rather than wrong when it is cut", function()
      local _, err = text_is('{"a":', { json = true }, "MAX_TOKENS"):check()
      assert.equal("cut", err.kind)
    end)

    it("may be null and false", function()
      assert.equal(json.null, text_is("null", { json = true }).parsed)
      assert.equal(false, text_is("false", { json = true }).parsed)
      assert.is_nil(text_is("false", { json = true }).reason)
    end)
  end)
end)

describe("media of a response", function()

  local response
  before_each(function()
    response = with_parts('{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"AAEC"}},{"inlineData":{}}')
  end)

  it("are the parts that carry bytes", function()
    assert.equal(1, #response.media)
    assert.equal(response.parts[2], response.media[1])
    assert.equal("no text, but image/png", with_parts '{"inlineData":{"mimeType":"image/png","data":""}}'.reason)
  end)

  it("can be saved", function()
    local path = os.tmpname()
    assert.is_true(response.media[1]:save(path))
    local file = assert(io.open(path, "rb"))
    local bytes = file:read "*a"
    file:close()
    os.remove(path)
    assert.equal("\0\1\2", bytes)
  end)

  it("say why they cannot be saved", function()
    local ok, err = response.media[1]:save "/nowhere/at/all.png"
    assert.is_nil(ok)
    assert.equal("io", err.kind)
    assert.truthy(err.message:find("/nowhere/at/all.png", 1, true))
    ok, err = response.parts[1]:save "/tmp/x"
    assert.is_nil(ok)
    assert.equal("invalid", err.kind)
    ok, err = response.media[1]:save "/dev/full"
    assert.is_nil(ok)
    assert.equal("io", err.kind)
    assert.error_matches(function() response.parts[2]:save() end, "a path is needed")
  end)
end)

describe("an accumulator", function()
  local acc
  before_each(function() acc = Accumulator.new() end)

  local function add(text) acc:add(generate(text)) end
  local function add_parts(list, others) acc:add(with_parts(list, others)) end
  local function parts_so_far() return plain(acc:response().parts) end

  it("is empty at first", function()
    local response = acc:response()
    assert.same({}, plain(response))
    assert.equal("", response.text)
    assert.equal("the answer has no candidates", response.reason)
  end)

  it("joins plain texts that follow each other, and nothing else", function()
    add_parts '{"text":"Hm","thought":true}'
    add_parts '{"text":", so","thought":true},{"text":"a"}'
    add_parts '{"text":"b"},{"text":""}'
    add_parts '{"text":"c","thoughtSignature":"s"}'
    add_parts '{"text":"d"}'
    add_parts '{"functionCall":{"name":"f"}}'
    add_parts '{"functionCall":{"name":"g"}}'
    add_parts '{"text":"e"},{"text":"f","thought":false},{"text":"","thoughtSignature":"t"},{"text":"g","odd":1}'
    add_parts '{"text":"h","odd_name":null},{"text":"i"},{"text":"j","new":true}'
    assert.same({ { text = "Hm, so", thought = true }, { text = "ab" }, { text = "c", thought_signature = "s" },
      { text = "d" }, { function_call = { name = "f" } }, { function_call = { name = "g" } }, { text = "e" },
      { text = "f", thought = false }, { text = "", thought_signature = "t" }, { text = "g", odd = 1 }, { text = "h" },
      { text = "i" }, { text = "j", new = true } }, parts_so_far())
    assert.equal("abcdefghij", acc:response().text)
    for _, part in ipairs(acc:response().parts) do assert.is_true(schema.is(part, "Part")) end
    assert.is_true(schema.is(acc:response().candidates[1].content, "Content"))
  end)

  it("does not change the chunks", function()
    local first = with_parts '{"text":"a"}'
    acc:add(first)
    add_parts '{"text":"b"}'
    assert.equal("ab", acc:response().text)
    assert.equal("a", first.text)
  end)

  it("takes the last word on most, the first on prompt_feedback", function()
    add [[{"promptFeedback":{"blockReason":"A"},"usageMetadata":{"totalTokenCount":1,"promptTokenCount":1},
      "modelVersion":"m","brandNew":1,"candidates":[{"content":{"role":"model","parts":[{"text":"a"}]},"index":0,
      "finishReason":"STOP"}]}]]
    add [[{"promptFeedback":{"blockReason":"B"},"usageMetadata":{"totalTokenCount":5},"responseId":"r","brandNew":2,
      "candidates":[{"content":{"parts":[{"text":"b"}],"turnToken":"t"},"groundingMetadata":{"webSearchQueries":["q"]},
      "finishReason":"MAX_TOKENS"}]}]]
    add '{"candidates":[{"content":{"role":"model"},"tokenCount":3}]}'
    add '{"usageMetadata":{"totalTokenCount":7}}'
    add '{"candidates":[]}'
    assert.same({ prompt_feedback = { block_reason = "A" }, usage_metadata = { total_token_count = 7 },
      model_version = "m", response_id = "r", brand_new = 2,
      candidates = { { index = 0, finish_reason = "MAX_TOKENS", token_count = 3,
        grounding_metadata = { web_search_queries = { "q" } },
        content = { role = "model", turn_token = "t", parts = { { text = "ab" } } } } } }, plain(acc:response()))
    assert.equal(0, acc:response().usage_metadata.prompt_token_count)
  end)

  it("keeps candidates apart by index", function()
    add '{"candidates":[{"index":1,"content":{"parts":[{"text":"B"}]}},{"content":{"parts":[{"text":"b"}]}}]}'
    add '{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"text":"b"}]}}]}'
    add '{"candidates":[{"index":2,"finishReason":"SAFETY"}]}'
    local candidates = acc:response().candidates
    assert.equal(3, #candidates)
    assert.equal("a", candidates[1].content.parts[1].text)
    assert.equal("Bbb", candidates[2].content.parts[1].text)
    assert.same({ index = 2, finish_reason = "SAFETY" }, plain(candidates[3]))
  end)

  it("gives answers that do not change, and the same until a chunk comes", function()
    add_parts '{"text":"a"}'
    local first = acc:response()
    assert.equal(first, acc:response())
    add_parts '{"text":"b"}'
    add_parts '{"functionCall":{"name":"f"}}'
    assert.equal("a", first.text)
    assert.equal(1, #first.parts)
    assert.not_equal(first, acc:response())
    assert.equal("ab", acc:response().text)
  end)

  it("keeps what must go back as it came", function()
    add '{"candidates":[{"content":{"role":null,"odd_name":1,"parts":[{"text":"a"}]}}]}'
    add '{"candidates":[{"content":{"role":"model","odd_name":2,"x_y":3,"parts":[{"text":"b"}]}}]}'
    local notes = schema.echo(acc:response().candidates[1].content)
    assert.equal(2, notes.odd_name.wire)
    assert.equal(2, notes.odd_name.value)
    assert.equal("odd_name", notes.odd_name.key)
    assert.equal(3, notes.x_y.wire)
  end)

  it("is the same wherever somebody looks at it, whatever a decoder has kept", function()
    local function event(text, count, more)
      return ('{"candidates":[{"content":{"parts":[{"text":"%s"}]}%s}],"usageMetadata":{"totalTokenCount":%d}}')
        :format(text, more or "", count)
    end
    local room, pending
    local decoder = { keep = function(_, most) room = most end }
    function decoder.said()
      if not pending then return end
      local texts, events = pending, {}
      for i, reason in ipairs(pending.reasons) do events[i] = event("", 10 * #texts, reason) end
      pending = nil
      return texts, events, false
    end
    local STOP, MOST = ',"finishReason":"STOP"', ',"finishReason":"MAX_TOKENS"'
    local steps = {
      function() acc:add(generate(event("a", 1))) end,
      function() pending = { "b", "c", reasons = { "" } } end,
      function() acc:add(generate(event("d", 2, STOP))) end,
      function() pending = { "e", reasons = { "" } } end,
      function() acc:add(generate(event("f", 3))) end,
      function() acc:add(generate(event("g", 4))) end,
      function() pending = { "h", "i", "j", reasons = { ',"tokenCount":7', MOST } } end,
      function() acc:leave(pending ~= nil) end,
    }
    for looks = 0, 2 ^ #steps - 1 do
      acc = Accumulator.new(nil, { max_kept = 11, max_answer = 1000000 })
      acc:follow(decoder)
      for i, step in ipairs(steps) do
        step()
        if math.floor(looks / 2 ^ (i - 1)) % 2 == 1 then
          assert.equal(("abcdefghij"):sub(1, ({ 1, 3, 4, 5, 6, 7, 10, 10 })[i]), acc:response().text)
          assert.equal(11 - #acc:response().text, room)
          assert.equal(acc:response(), acc:response())
        end
      end
      assert.equal("abcdefghij", acc:response().text)
      assert.equal(30, acc:response().usage_metadata.total_token_count)
      assert.equal("MAX_TOKENS", acc:response().finish_reason)
      assert.equal(7, acc:response().candidates[1].token_count)
      assert.is_false(acc:was_cut())
    end
  end)

  it("has the facts of its stream", function()
    local facts = { json = true }
    acc = Accumulator.new(facts)
    add_parts '{"text":"[1"}'
    assert.is_nil(acc:response().parsed)
    add_parts '{"text":"]"}'
    assert.same({ 1 }, plain(acc:response().parsed))
    facts.transport = { attempts = 1 }
    assert.equal(1, acc:response().transport.attempts)
  end)

  it("does work in proportion to what came, and keeps no small pieces", function()
    local chunk, n, size = with_parts '{"text":"0123456789"}', 100000, 10
    local concat, bytes, pieces = table.concat, 0, 0
    table.concat = function(list, separator, from, to, ...) -- luacheck: ignore 122
      local out = concat(list, separator, from, to, ...)
      bytes, pieces = bytes + #out, pieces + ((to or #list) - (from or 1) + 1)
      return out
    end
    for _ = 1, n do acc:add(chunk) end
    local response = acc:response()
    local done_bytes, done_pieces = bytes, pieces
    for _ = 1, 1000 do assert.equal(response, acc:response()) end
    table.concat = concat -- luacheck: ignore 122
    assert.equal(n * size, #response.text)
    assert.truthy(done_bytes <= 2.1 * n * size, done_bytes)
    assert.truthy(done_pieces <= 1.1 * n, done_pieces)
    assert.equal(done_bytes, bytes)
    local kept = 0
    for _ in pairs(acc.candidates[0].parts[1].pieces) do kept = kept + 1 end
    assert.truthy(kept <= 256, kept)
  end)
end)

describe("places of sources in a text", function()
  it("are found by the segment's words where the service's indices are none", function()
    for _, odd in ipairs { "1.5", "1e300", "-1", '"x"', "{}", "null" } do
      local response = generate(([[{"candidates":[{"content":{"parts":[{"text":"one two"}]},
        "groundingMetadata":{"groundingSupports":[{"groundingChunkIndices":[%s],
        "segment":{"startIndex":%s,"endIndex":%s,"partIndex":%s,"text":"two"}}]}}]}]]):format(odd, odd, odd, odd))
      assert.same({ { first = 5, last = 7, text = "two", sources = {} } }, response.citations)
    end
  end)
end)

describe("a count that no number holds", function()
  it("is not shown, so that callers may compare what is", function()
    local response = generate [[{"candidates":[
      {"index":"99999999999999999999","content":{"parts":[{"text":"a"}]}},{"index":1}],
      "usageMetadata":{"thoughtsTokenCount":"99999999999999999999"}}]]
    assert.is_nil(response.candidates[1].index)
    assert.equal(0, response.usage_metadata.thoughts_token_count)
    local all = Accumulator.new()
    all:add(response)
    assert.equal("a", all:response().text)
  end)
end)
