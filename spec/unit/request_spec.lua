local answer = require "lgemini.answer"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local json = require "lgemini.json"
local ordered = require "lgemini.ordered"
local parts = require "lgemini.parts"
local request = require "lgemini.request"

local rows = endpoints.models

local function response_of(text)
  return assert(answer.decode(text, "GenerateContentResponse"))
end

-- A body that keeps what it is given: text as it is, { base64 = bytes }, { file = path }.
local function new_body()
  local body = { segments = {} }
  local function take(segment)
    body.segments[#body.segments + 1] = segment
    return true
  end
  function body.add(_, text) return take(text) end
  function body.add_base64(_, bytes) return take { base64 = bytes } end
  function body.add_base64_file(_, path)
    if path == "missing" then return nil, { kind = "io", message = "missing: No such file or directory" } end
    return take { file = path }
  end
  -- The body as text, with what is encoded later in angle brackets.
  function body.text()
    local text = {}
    for i, segment in ipairs(body.segments) do
      text[i] = type(segment) == "string" and segment or "<" .. (segment.base64 or "file " .. segment.file) .. ">"
    end
    return (table.concat(text):gsub("\\/", "/"))
  end
  return body
end

local function written(tree)
  local body = new_body()
  assert(request.emit(tree, body))
  return body.text(), body
end

local function encoded(value, type_name, extra_body)
  local body = new_body()
  assert(request.encode(body, value, type_name, extra_body))
  return body.text(), body
end

local HI = { { role = "user", parts = { { text = "Hi" } } } }
local HI_TEXT = '"contents":[{"parts":[{"text":"Hi"}],"role":"user"}]'

local function generate(config, extra_body)
  return request.tree(rows.generate_content, { model = "models/m", contents = HI, config = config,
    extra_body = extra_body })
end

local function refused(message, tree, err)
  assert.is_nil(tree)
  assert.is_true(errors.is(err))
  assert.equal("invalid", err.kind)
  assert.equal(message, err.message)
  return err
end

local function raises(message, call, ...)
  local ok, problem = pcall(call, ...)
  assert.is_false(ok)
  assert.truthy(problem:find(message, 1, true), problem)
  assert.truthy(problem:find "request_spec.lua:%d+:", problem) -- blames this file
end

describe("what a part says of a video", function()
  local function wire(part)
    part.file_data = { file_uri = "u", mime_type = "video/mp4" }
    return assert(request.wire(part, "Part"))
  end

  it("is in seconds, as numbers or as text", function()
    local tree = wire { video_metadata = { start_offset = 40, end_offset = 80.5, fps = 0.5 } }
    assert.same({ startOffset = '"40s"', endOffset = '"80.5s"', fps = "0.5" }, tree.videoMetadata)
    tree = wire { video_metadata = { start_offset = "0s", end_offset = "1.5s" } }
    assert.same({ startOffset = '"0s"', endOffset = '"1.5s"' }, tree.videoMetadata)
    for _, offset in ipairs { -1, 1 / 0 } do
      raises("video_metadata.start_offset: string expected", wire, { video_metadata = { start_offset = offset } })
    end
  end)

  it("is its resolution, as a level or as the API has it", function()
    assert.same({ level = '"MEDIA_RESOLUTION_LOW"' },
      wire { media_resolution = "MEDIA_RESOLUTION_LOW" }.mediaResolution)
    assert.same({ level = '"L"', numTokens = "64" }, wire { media_resolution = { level = "L", num_tokens = 64 } }
      .mediaResolution)
  end)
end)

describe("the body of generateContent", function()
  local SCHEMA = '"generationConfig":{"responseMimeType":"application/json","responseSchema":'
  local STORE = answer.decode('{"name":"fileSearchStores/s"}', "FileSearchStore")
  -- config -> what stands beside contents, sorted
  local cases = {
    { "nothing", nil, "" },
    { "http_options only", { http_options = { timeout = 1 } }, "" },
    { "zeroes and false", { temperature = 0, top_p = 0, seed = 0, response_logprobs = false,
      thinking_config = { thinking_budget = 0, include_thoughts = false } },
      '"generationConfig":{"responseLogprobs":false,"seed":0,"temperature":0,'
      .. '"thinkingConfig":{"includeThoughts":false,"thinkingBudget":0},"topP":0}' },
    { "what stands beside contents", { service_tier = "flex", labels = { team_name = "x" },
      safety_settings = { { category = "C", threshold = "OFF" } }, cached_content = "cachedContents/a" },
      '"labels":{"team_name":"x"},"safetySettings":[{"category":"C","threshold":"OFF"}],"serviceTier":"flex"',
      '"cachedContent":"cachedContents/a",' },
    { "a short name of a cache", { cached_content = "abc" }, "", '"cachedContent":"cachedContents/abc",' },
    { "a system instruction as text", { system_instruction = "Be brief." },
      '"systemInstruction":{"parts":[{"text":"Be brief."}],"role":"user"}' },
    { "a system instruction as a turn", { system_instruction = { parts = { "a", { text = "b" } } } },
      '"systemInstruction":{"parts":[{"text":"a"},{"text":"b"}]}' },
    { "a voice by name", { speech_config = "Kore" },
      '"generationConfig":{"speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"Kore"}}}}' },
    { "several voices", { response_modalities = { "AUDIO" }, speech_config = { multi_speaker_voice_config = {
      speaker_voice_configs = { { speaker = "Joe", voice_config = { prebuilt_voice_config = { voice_name = "K" } } } }
    } } }, '"generationConfig":{"responseModalities":["AUDIO"],"speechConfig":{"multiSpeakerVoiceConfig":'
      .. '{"speakerVoiceConfigs":[{"speaker":"Joe","voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"K"}}}]}}}' },
    { "an image", { image_config = { aspect_ratio = "1:1", image_size = "2K" } },
      '"generationConfig":{"imageConfig":{"aspectRatio":"1:1","imageSize":"2K"}}' },
    { "tools that take nothing", { tools = { { code_execution = {} }, { google_search = {}, url_context = {} } } },
      '"tools":[{"codeExecution":{}},{"googleSearch":{},"urlContext":{}}]' },
    { "a search in time", { tools = { { google_search = { time_range_filter = { start_time = "a", end_time = "b" },
      search_types = { web_search = {} } } } } },
      '"tools":[{"googleSearch":{"searchTypes":{"webSearch":{}},"timeRangeFilter":{"endTime":"b","startTime":"a"}}}]' },
    { "an empty list", { stop_sequences = {}, tools = {} }, '"generationConfig":{"stopSequences":[]},"tools":[]' },
    { "null, which is absent", { temperature = json.null, tools = json.null }, "" },
    { "types in lower case", { response_schema = { type = "object", properties = {
      my_tags = { type = "array", items = { type = "String" } } } } },
      '"generationConfig":{"responseMimeType":"application/json","responseSchema":'
        .. '{"properties":{"my_tags":{"items":{"type":"STRING"},"type":"ARRAY"}},'
      .. '"type":"OBJECT"}}' },
    { "every kind of schema", { response_schema = { any_of = { { type = "STRING", min_length = 1 } }, nullable = true,
      properties = { any_of = { max_items = "9223372036854775807", min_items = 3 } }, default = {}, minimum = 0.5,
      example = { snake_case = json.array {} }, property_ordering = { "any_of" }, enum = { "a" } } },
      '"generationConfig":{"responseMimeType":"application/json","responseSchema":'
        .. '{"anyOf":[{"minLength":1,"type":"STRING"}],"default":{},"enum":["a"],'
      .. '"example":{"snake_case":[]},"minimum":0.5,"nullable":true,"properties":{"any_of":{'
      .. '"maxItems":"9223372036854775807","minItems":3}},"propertyOrdering":["any_of"]}}' },
    { "a JSON schema untouched", { response_json_schema = { ["$defs"] = { node_type = { minItems = 1 } },
      additionalProperties = false, required = json.array {}, type = { "string", "null" } } },
      '"generationConfig":{"responseJsonSchema":{"$defs":{"node_type":{"minItems":1}},'
      .. '"additionalProperties":false,"required":[],"type":["string","null"]},'
      .. '"responseMimeType":"application/json"}' },
    { "functions", { tools = { { function_declarations = { { name = "f", parameters_json_schema = { maxItems = 1 },
      response = { type = "NUMBER" } } } } }, tool_config = { function_calling_config = { mode = "ANY",
      allowed_function_names = { "f" } }, include_server_side_tool_invocations = true } },
      '"toolConfig":{"functionCallingConfig":{"allowedFunctionNames":["f"],"mode":"ANY"},'
      .. '"includeServerSideToolInvocations":true},"tools":[{"functionDeclarations":[{"name":"f",'
      .. '"parametersJsonSchema":{"maxItems":1},"response":{"type":"NUMBER"}}]}]' },
    { "an MCP server", { tools = { { mcp_servers = { { name = "s", streamable_http_transport = { url = "u",
      headers = { ["X-My_Header"] = "v" }, sse_read_timeout = "3s" } } } } } },
      '"tools":[{"mcpServers":[{"name":"s","streamableHttpTransport":{"headers":{"X-My_Header":"v"},'
      .. '"sseReadTimeout":"3s","url":"u"}}]}]' },
    { "times and durations as numbers", { tools = { { google_search = { time_range_filter = { start_time = 86400,
      end_time = 1772361000.9 } } }, { mcp_servers = { { streamable_http_transport = { timeout = 10,
      sse_read_timeout = 1.5 } } } } } },
      '"tools":[{"googleSearch":{"timeRangeFilter":{"endTime":"2026-03-01T10:30:00Z",'
      .. '"startTime":"1970-01-02T00:00:00Z"}}},{"mcpServers":[{"streamableHttpTransport":{"sseReadTimeout":"1.5s",'
      .. '"timeout":"10s"}}]}]' },
    { "a cache and stores in place of their names", {
      cached_content = answer.decode('{"name":"cachedContents/c"}', "CachedContent"),
      tools = { { file_search = { file_search_store_names = STORE } },
        { file_search = { file_search_store_names = { "fileSearchStores/a", STORE } } },
        { file_search = { file_search_store_names = "fileSearchStores/a" } } } },
      '"tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/s"]}},'
      .. '{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/a","fileSearchStores/s"]}},'
      .. '{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/a"]}}]', '"cachedContent":"cachedContents/c",' },
    { "types that may be null, and several", { response_schema = { type = "object", properties = {
      a = { type = { "string", "null" }, title = "A" }, b = { type = { "STRING", "integer" } },
      c = { type = { "NULL", "string", "number" } }, d = { type = { "string" } } } } },
      SCHEMA .. '{"properties":{"a":{"nullable":true,"title":"A","type":"STRING"},'
      .. '"b":{"anyOf":[{"type":"STRING"},{"type":"INTEGER"}]},'
      .. '"c":{"anyOf":[{"type":"STRING"},{"type":"NUMBER"}],"nullable":true},"d":{"type":"STRING"}},'
      .. '"type":"OBJECT"}}' },
    { "null among the choices", { response_schema = { any_of = {
      { any_of = { { type = "null" }, { type = "object", properties = { x = { type = "string" } } } }, title = "T" },
      { any_of = { { type = "string" }, { type = "null" }, { type = "integer" } } },
      { any_of = { { type = "NULL" }, { type = "STRING" } } } } } },
      SCHEMA .. '{"anyOf":[{"nullable":true,"properties":{"x":{"type":"STRING"}},"title":"T","type":"OBJECT"},'
      .. '{"anyOf":[{"type":"STRING"},{"type":"INTEGER"}],"nullable":true},'
      .. '{"anyOf":[{"type":"NULL"},{"type":"STRING"}]}]}}' },
    { "what says that it is JSON Schema where that goes", {
      response_schema = { ["$schema"] = "u", type = { "string", "null" } },
      tools = { { function_declarations = { { name = "f", parameters = { ["$schema"] = "u", maxItems = 1 },
        response = { ["$schema"] = "u" } } } } } },
      '"generationConfig":{"responseJsonSchema":{"$schema":"u","type":["string","null"]},'
      .. '"responseMimeType":"application/json"},"tools":[{"functionDeclarations":[{"name":"f",'
      .. '"parametersJsonSchema":{"$schema":"u","maxItems":1},"responseJsonSchema":{"$schema":"u"}}]}]' },
  }
  for _, case in ipairs(cases) do
    it("has " .. case[1], function()
      local after = case[3] == "" and "" or "," .. case[3]
      assert.equal("{" .. (case[4] or "") .. HI_TEXT .. after .. "}", (written(assert(generate(case[2])))))
    end)
  end

  it("does not change the config", function()
    local config = { speech_config = "Kore", system_instruction = "a", response_schema = { type = "string" } }
    assert(generate(config, { generationConfig = { a = 1 } }))
    assert.same({ speech_config = "Kore", system_instruction = "a", response_schema = { type = "string" } }, config)
  end)

  it("refuses what only Vertex AI takes, by name", function()
    for name, value in pairs { audio_timestamp = true, routing_config = {}, model_armor_config = {} } do
      refused(("config.%s: only Vertex AI takes this field, the Gemini API does not"):format(name),
        generate { [name] = value })
    end
    refused("config.safety_settings[2].method: only Vertex AI takes this field, the Gemini API does not",
      generate { safety_settings = { {}, { method = "X" } } })
  end)

  it("raises for unknown names, and suggests", function()
    for message, config in pairs {
      ["config.temprature: did you mean config.temperature?"] = { temprature = 1 },
      ["config.maxOutputTokens: did you mean config.max_output_tokens?"] = { maxOutputTokens = 1 },
      ["config.thinking_budget: did you mean config.thinking_config.thinking_budget?"] = { thinking_budget = 1 },
      ["config.thinking_config.budget: no such field"] = { thinking_config = { budget = 1 } },
      ["config.thinking_config.thinkingBudget: did you mean config.thinking_config.thinking_budget?"] =
        { thinking_config = { thinkingBudget = 1 } },
      ["config.colour: no such field (config.http_options.extra_body takes"] = { colour = 1 },
      ["config.tools[1].google_serch: did you mean config.tools[1].google_search?"] =
        { tools = { { google_serch = {} } } },
      ["config.response_schema.properties.a.additionalProperties: no such field (JSON Schema goes into"] =
        { response_schema = { properties = { a = { additionalProperties = false } } } },
      ["config.contents: no such field"] = { contents = {} },
    } do
      raises(message, generate, config)
    end
  end)

  it("suggests what stands within a list, too", function()
    raises("config.tools[1].parameters: did you mean config.tools[1].function_declarations[1].parameters?", generate,
      { tools = { { parameters = {} } } })
  end)

  it("does not change a schema, nor its order", function()
    local properties = ordered.new { { "z", { type = { "string", "null" } } }, { "a", { type = "string" } } }
    local schema = { type = { "object", "null" }, properties = properties }
    assert.equal('"generationConfig":{"responseMimeType":"application/json","responseSchema":{"nullable":true,'
      .. '"properties":{"z":{"nullable":true,"type":"STRING"},"a":{"type":"STRING"}},'
      .. '"propertyOrdering":["z","a"],"type":"OBJECT"}}',
      written(assert(generate { response_schema = schema })):match '"generationConfig".*}}$':sub(1, -2))
    assert.same({ "object", "null" }, schema.type)
    assert.same({ "string", "null" }, properties.z.type)
  end)

  it("does not suggest what would be refused", function()
    raises("config.audio_timestam: no such field", generate, { audio_timestam = true })
  end)

  it("raises for wrong types of Lua", function()
    for message, config in pairs {
      ["config.temperature: number expected, got string"] = { temperature = "1" },
      ["config.max_output_tokens: number expected, got string"] = { max_output_tokens = "1" },
      ["config.response_logprobs: boolean expected, got number"] = { response_logprobs = 1 },
      ["config.response_mime_type: string expected, got number"] = { response_mime_type = 1 },
      ["config.stop_sequences: list expected, got string"] = { stop_sequences = "END" },
      ["config.stop_sequences[2]: string expected, got null"] = { stop_sequences = { "a", json.null } },
      ["config.tools[1]: table expected, got function"] = { tools = { print } },
      ["config.response_schema.items.type: string expected, got table"] =
        { response_schema = { items = { type = {} } } },
      ["config.response_schema.min_items: integer expected, got boolean"] = { response_schema = { min_items = true } },
      ["config.response_schema.properties: table expected, got string"] = { response_schema = { properties = "a" } },
      ['config.labels["my label"]: a value of JSON expected, got function'] = { labels = { ["my label"] = print } },
      ["config.system_instruction: a part (string or table) expected, got number"] = { system_instruction = 7 },
      ["config: table expected, got string"] = "temperature",
    } do
      raises(message, generate, config)
    end
  end)

  it("refuses data that cannot be right, with its place", function()
    local cases_of = {
      ["config.temperature: not a finite number"] = { temperature = 0 / 0 },
      ["config.response_schema.example.x[2]: not a finite number"] =
        { response_schema = { example = { x = { 1, 1 / 0 } } } },
      ["config.max_output_tokens: a whole number is needed, not 1.5"] = { max_output_tokens = 1.5 },
      ["config.response_schema.max_items: a whole number is needed"] = { response_schema = { max_items = "1.5" } },
      ["config.response_schema.title: not valid UTF-8 at byte 2"] = { response_schema = { title = "a\255" } },
      ["config.stop_sequences[2] is missing: a list must have no nil in it"] = { stop_sequences = { "a", nil, "b" } },
      ["config.tools must be a list"] = { tools = { google_search = {} } },
      ["config.tools mixes a list with named keys (google_search)"] = { tools = { {}, google_search = {} } },
      ["config.labels must have named keys: it is an object"] = { labels = { "a" } },
      ["config.response_schema.properties must have named keys: it is an object"] =
        { response_schema = { properties = { { type = "STRING" } } } },
      ["config.response_schema.properties mixes a list with named keys (a)"] =
        { response_schema = { properties = { {}, a = {} } } },
      ["config.response_schema.properties.a.min_items: a whole number is needed"] =
        { response_schema = { properties = { a = { min_items = "x" } } } },
      ["config.system_instruction takes text only"] = { system_instruction = { { file = "x" } } },
      ["config.response_json_schema mixes a list with named keys (a)"] = { response_json_schema = { 1, a = 2 } },
      ["config.response_json_schema[3] is missing: a list must have no nil in it"] =
        { response_json_schema = { 1, 2, nil, 4 } },
      ["config.response_json_schema.x has a key that is no name: true"] =
        { response_json_schema = { x = { [true] = 1 } } },
      ["config.labels has a name that is not valid UTF-8 at byte 1"] = { labels = { ["\255"] = 1 } },
      ["config.response_schema.properties has a name that is not valid UTF-8 at byte 1"] =
        { response_schema = { properties = { ["\255"] = {} } } },
      ["config.response_json_schema is marked as an array and has named keys"] =
        { response_json_schema = json.array { a = 1 } },
    }
    for message, config in pairs(cases_of) do refused(message, generate(config)) end
  end)

  it("refuses a table within itself, in user data and in types", function()
    local loop = {}
    loop.a = loop
    local _, err = generate { response_json_schema = loop }
    assert.truthy(err.message:find "^config%.response_json_schema%.a%.a.*%.%.%. is nested deeper than 100 levels")
    assert.truthy(#err.message < 200)
    local nested = { type = "ARRAY" }
    nested.items = nested
    _, err = generate { response_schema = nested }
    assert.truthy(err.message:find "nested deeper than 100 levels")
  end)

  it("takes 100 levels, and not one more", function()
    local deep = {}
    for _ = 1, 99 do deep = { deep } end -- response_json_schema is a level too
    assert.truthy(written(assert(generate { response_json_schema = deep })):find(("["):rep(99) .. "{}", 1, true))
    assert.is_nil(generate { response_json_schema = { deep } })
  end)

  it("takes what extra_body lays over it", function()
    local tree = assert(generate({ temperature = 1, tools = { { code_execution = {} } }, labels = { a = "b" } }, {
      generationConfig = { newField = { x = json.null }, temperature = 2 }, tools = {}, labels = { c = "d" },
      contents = json.array {}, snake_case = true,
    }))
    assert.equal('{"contents":[],"generationConfig":{"newField":{"x":null},"temperature":2},'
      .. '"labels":{"a":"b","c":"d"},"snake_case":true,"tools":{}}', (written(tree)))
  end)

  it("takes an extra_body beside bytes", function()
    local tree = assert(request.tree(rows.generate_content, { contents = { { parts = {
      { inline_data = { mime_type = "m", data = "raw" } } } } }, extra_body = { generationConfig = { a = 1 } } }))
    assert.equal('{"contents":[{"parts":[{"inlineData":{"data":"<raw>","mimeType":"m"}}]}],'
      .. '"generationConfig":{"a":1}}', (written(tree)))
  end)

  it("refuses an extra_body that is none", function()
    refused("config.http_options.extra_body must have named keys: it is an object", generate(nil, { 1, 2 }))
    refused("config.http_options.extra_body.a: not a finite number", generate(nil, { a = 0 / 0 }))
    raises("config.http_options.extra_body: table expected, got string", generate, nil, "x")
  end)
end)

describe("parts", function()
  local function of(part)
    return (encoded({ parts = { part } }, "Content"):gsub('^{"parts":%[(.*)%]}$', "%1"))
  end

  for _, case in ipairs {
    { { inline_data = { mime_type = "image/png", data = "\0raw" }, video_metadata = { fps = 24 } },
      '{"inlineData":{"data":"<\0raw>","mimeType":"image/png"},"videoMetadata":{"fps":24}}' },
    { { inline_data = { mime_type = "m", data = "" } }, '{"inlineData":{"data":"<>","mimeType":"m"}}' },
    { { inline_data = { mime_type = "video/mp4", data = request.file "a b.mp4" } },
      '{"inlineData":{"data":"<file a b.mp4>","mimeType":"video/mp4"}}' },
    { { file_data = { file_uri = "u", mime_type = "m" }, media_resolution = { level = "L" } },
      '{"fileData":{"fileUri":"u","mimeType":"m"},"mediaResolution":{"level":"L"}}' },
    { { function_call = { id = "1", name = "f", args = { snake_case = 1, camelCase = { json.null, {},
      json.array {} } } }, thought_signature = "a_b-+/=" },
      '{"functionCall":{"args":{"camelCase":[null,{},[]],"snake_case":1},"id":"1","name":"f"},'
      .. '"thoughtSignature":"a_b-+/="}' },
    { { function_call = { name = "f", args = {} } }, '{"functionCall":{"args":{},"name":"f"}}' },
    { { function_response = { name = "f", response = { temp_c = 31.5, hours = json.array {}, note = json.null },
      parts = { { inline_data = { mime_type = "m", data = "x" } } } } },
      '{"functionResponse":{"name":"f","parts":[{"inlineData":{"data":"<x>","mimeType":"m"}}],'
      .. '"response":{"hours":[],"note":null,"temp_c":31.5}}}' },
    { { executable_code = { language = "P", code = "1" } }, '{"executableCode":{"code":"1","language":"P"}}' },
    { { tool_response = { id = "a", tool_type = "URL_CONTEXT", response = { a_b = 1 } } },
      '{"toolResponse":{"id":"a","response":{"a_b":1},"toolType":"URL_CONTEXT"}}' },
    { { text = "t", thought = true, part_metadata = { my_key = 1 } },
      '{"partMetadata":{"my_key":1},"text":"t","thought":true}' },
    { { text = "\"\\\n\1\195\188" }, '{"text":"\\"\\\\\\n\\u0001\195\188"}' },
  } do
    it("become " .. case[2]:sub(1, 60):gsub("%c", "?"), function() assert.equal(case[2], of(case[1])) end)
  end

  it("refuse base64 text where raw bytes belong", function()
    for _, text in ipairs { "iVBORw0KGgoAAAANSUhEUg==", "/9j/4AAQSkZJRg", "UklGRiQAAABXQVZF", "SUQzBAAAAAAA",
      "R0lGODlhAQAB" } do
      local err = refused("contents[1].parts[1].inline_data.data is raw bytes; this is base64",
        request.wire({ contents = { { parts = { { inline_data = { data = text } } } } } }, "GenerateContentRequest"))
      assert.truthy(err.hint:find("gemini.base64.decode", 1, true))
    end
  end)

  it("raise for bytes that are no string", function()
    raises("parts[1].inline_data.data: string of raw bytes expected, got table", request.wire,
      { parts = { { inline_data = { data = { 1, 2 } } } } }, "Content")
  end)

  it("take bytes that only begin like base64", function()
    assert.equal('{"inlineData":{"data":"</9j/\0\1>"}}', of { inline_data = { data = "/9j/\0\1" } })
  end)

  it("keep arguments objects", function()
    refused("parts[1].function_call.args must have named keys: it is an object",
      request.wire({ parts = { { function_call = { args = { "a" } } } } }, "Content"))
    raises("parts[1].function_call.args: table expected, got string", request.wire,
      { parts = { { function_call = { args = "{}" } } } }, "Content")
  end)

  it("raise for unknown names with their place", function()
    raises("contents[1].parts[2].inline_data.mimeType: did you mean contents[1].parts[2].inline_data.mime_type?",
      request.wire, { contents = { { parts = { {}, { inline_data = { mimeType = "m" } } } } } },
      "GenerateContentRequest")
    raises("contents[1].rle: did you mean contents[1].role?", request.wire, { contents = { { rle = "user" } } },
      "GenerateContentRequest")
  end)
end)

describe("writing", function()
  it("sorts names by their bytes, at every level", function()
    local names = {}
    for i = 1, 40 do names[("k%d_é"):format(i * 7919 % 41)] = i end
    local text = encoded({ args = { z = names, A = 1, a = 2, _ = 3, ["a b"] = 4, aa = 5 } }, "FunctionCall")
    local seen = {}
    for name in text:gmatch '"([^"]+)":' do seen[#seen + 1] = name end
    assert.same({ "args", "A", "_", "a", "a b", "aa", "z" }, { seen[1], seen[2], seen[3], seen[4], seen[5], seen[6],
      seen[7] })
    for i = 9, #seen do assert.truthy(seen[i - 1] < seen[i]) end
  end)

  it("writes the same bytes for the same value, however it was made", function()
    local forth, back = {}, {}
    for i = 1, 200 do forth["k" .. i] = i end
    for i = 200, 1, -1 do back["k" .. i] = i end
    assert.equal(encoded({ args = forth }, "FunctionCall"), (encoded({ args = back }, "FunctionCall")))
  end)

  it("writes numbers exactly", function()
    local values = { 0, -1, 258, 1e15, 2 ^ 53, -2 ^ 53, 0.1, 1e21, 1.5e-7, 5e-324, 1.7976931348623157e308, 1 / 3 }
    local text = encoded({ args = { n = values } }, "FunctionCall")
    local i = 0
    for number in text:gsub(".*%[", ""):gmatch "[^,%]}]+" do
      i = i + 1
      assert.equal(values[i], tonumber(number))
    end
    assert.equal(#values, i)
    assert.truthy(text:find("9007199254740992,-9007199254740992", 1, true))
    assert.truthy(text:find("[0,-1,258,1000000000000000,", 1, true))
  end)

  it("joins text between binary segments, and no more", function()
    local _, body = encoded({ parts = { { text = "a" }, { inline_data = { mime_type = "m", data = "1" } },
      { text = "b" }, { inline_data = { mime_type = "m", data = request.file "f" } } } }, "Content")
    assert.same({ '{"parts":[{"text":"a"},{"inlineData":{"data":"', { base64 = "1" },
      '","mimeType":"m"}},{"text":"b"},{"inlineData":{"data":"', { file = "f" }, '","mimeType":"m"}}]}' },
      body.segments)
  end)

  it("hands large bytes and texts on without joining them", function()
    local bytes, text = ("\0"):rep(3e6), ("x"):rep(3e6)
    local joined, concat = 0, table.concat
    table.concat = function(...) -- luacheck: ignore 122
      local out = concat(...)
      joined = joined + #out
      return out
    end
    local body = new_body()
    local ok = request.encode(body, { parts = { { inline_data = { data = bytes } }, { text = text } } }, "Content")
    table.concat = concat -- luacheck: ignore 122
    assert.is_true(ok)
    assert.truthy(joined < 1000, joined)
    assert.equal(bytes, body.segments[2].base64)
    assert.equal('"' .. text .. '"', body.segments[4])
    assert.equal(5, #body.segments)
  end)

  it("loses no text between large ones", function()
    local large = ("x"):rep(20000)
    local text, body = encoded({ args = { a = large, b = large } }, "FunctionCall")
    assert.equal('{"args":{"a":"' .. large .. '","b":"' .. large .. '"}}', text)
    assert.equal(5, #body.segments)
  end)

  it("tells of a file that cannot be read", function()
    local ok, err = request.encode(new_body(), { parts = { { inline_data = { data = request.file "missing" } },
      { text = "after" } } }, "Content")
    assert.is_nil(ok)
    assert.is_true(errors.is(err))
    assert.equal("io", err.kind)
    assert.equal("missing: No such file or directory", err.message)
  end)

  it("merges an extra_body", function()
    assert.equal('{"file":{"displayName":"a","x":[1]}}',
      (encoded({ file = { display_name = "a" } }, "FileEnvelope", { file = { x = { 1 } } })))
    local ok, err = request.encode(new_body(), {}, "FileEnvelope", { 1 })
    assert.is_nil(ok)
    assert.equal("invalid", err.kind)
  end)

  it("names the value as it is told to", function()
    refused("config.name: not valid UTF-8 at byte 1", request.wire({ name = "\255" }, "File", "config"))
  end)

  it("gives up before it writes when the value is not right", function()
    local body = new_body()
    local ok, err = request.encode(body, { name = "\255" }, "File")
    assert.is_nil(ok)
    assert.equal("name: not valid UTF-8 at byte 1", err.message)
    assert.same({}, body.segments)
  end)
end)

describe("the body of countTokens", function()
  local function count(config)
    return request.tree(rows.count_tokens, { model = "models/m", contents = HI, config = config })
  end

  it("is contents alone", function()
    assert.equal("{" .. HI_TEXT .. "}", (written(assert(count()))))
    assert.equal("{" .. HI_TEXT .. "}", (written(assert(count { http_options = {} }))))
  end)

  it("is a whole request where the config counts", function()
    assert.equal('{"generateContentRequest":{' .. HI_TEXT .. ',"generationConfig":{"topK":1},"model":"models/m",'
      .. '"systemInstruction":{"parts":[{"text":"a"}],"role":"user"},"tools":[{"codeExecution":{}}]}}',
      (written(assert(count { system_instruction = "a", tools = { { code_execution = {} } },
        generation_config = { top_k = 1 } }))))
  end)

  it("asks for JSON where there is a schema, as the question would", function()
    assert.truthy(written(assert(count { generation_config = { response_json_schema = {} } })):find(
      '"generationConfig":{"responseJsonSchema":{},"responseMimeType":"application/json"}', 1, true))
    refused("config.generation_config.response_schema: there is response_json_schema, too",
      count { generation_config = { response_json_schema = {}, response_schema = {} } })
  end)

  it("is refused for its contents and its config", function()
    refused("contents[1].role: not valid UTF-8 at byte 1", request.tree(rows.count_tokens,
      { model = "models/m", contents = { { role = "\255", parts = {} } } }))
    refused("config.tools must be a list", count { tools = { google_search = {} } })
  end)

  it("raises for unknown names", function()
    raises("config.temperature: did you mean config.generation_config.temperature?", count, { temperature = 1 })
  end)
end)

describe("the body of embedContent", function()
  it("is one request for each turn", function()
    local tree = assert(request.tree(rows.embed_content, { model = "models/e", contents = (parts.each { "a", "b" }),
      config = { task_type = "T", output_dimensionality = 8 } }))
    local function one(text)
      return '{"content":{"parts":[{"text":"' .. text .. '"}],"role":"user"},"model":"models/e",'
        .. '"outputDimensionality":8,"taskType":"T"}'
    end
    assert.equal('{"requests":[' .. one "a" .. "," .. one "b" .. "]}", (written(tree)))
  end)

  it("is refused for its contents", function()
    refused("contents[1].role: not valid UTF-8 at byte 1", request.tree(rows.embed_content,
      { model = "models/m", contents = { { role = "\255", parts = {} } } }))
  end)

  it("refuses what only Vertex AI takes", function()
    refused("config.auto_truncate: only Vertex AI takes this field, the Gemini API does not",
      request.tree(rows.embed_content, { model = "models/e", contents = HI, config = { auto_truncate = true } }))
  end)
end)

describe("the body of generateVideos", function()
  -- Stands for lgemini.attach: media called `at` is at its place.
  local function embed(value, field, place)
    if type(value) == "table" and value.at then return { [field] = place } end
    if type(value) == "table" and value.refused then return nil, errors.new { kind = "io", message = place } end
    return value
  end

  local function tree(instance, config, extra)
    local args = { model = "models/veo", instance = instance, config = config, embed = embed }
    for name, value in pairs(extra or {}) do args[name] = value end
    return request.tree(rows.generate_videos, args)
  end

  for _, case in ipairs {
    { "a prompt", { prompt = "A cat" }, nil, '{"instances":[{"prompt":"A cat"}]}' },
    { "nothing but http_options", { prompt = "" }, { http_options = {} }, '{"instances":[{"prompt":""}]}' },
    { "raw bytes of an image", { image = { image_bytes = "\255\254", mime_type = "image/png" } }, nil,
      '{"instances":[{"image":{"bytesBase64Encoded":"<\255\254>","mimeType":"image/png"}}]}' },
    { "a video by its URI", { video = { uri = "u", mime_type = "video/mp4" } }, nil,
      '{"instances":[{"video":{"encoding":"video/mp4","uri":"u"}}]}' },
    { "a file", { image = { image_bytes = request.file "a.png" } }, nil,
      '{"instances":[{"image":{"bytesBase64Encoded":"<file a.png>"}}]}' },
    { "null, which is absent", { prompt = "x", image = json.null }, { seed = json.null, last_frame = json.null },
      '{"instances":[{"prompt":"x"}]}' },
    { "parameters", { prompt = "x" }, { number_of_videos = 2, duration_seconds = 8, enhance_prompt = false },
      '{"instances":[{"prompt":"x"}],"parameters":{"durationSeconds":8,"enhancePrompt":false,"sampleCount":2}}' },
    { "what a config says of the instance", { prompt = "x" }, { last_frame = { image_bytes = "L" },
      reference_images = { { image = { image_bytes = "R" }, reference_type = "ASSET" } } },
      '{"instances":[{"lastFrame":{"bytesBase64Encoded":"<L>"},"prompt":"x",'
      .. '"referenceImages":[{"image":{"bytesBase64Encoded":"<R>"},"referenceType":"ASSET"}]}]}' },
    { "a webhook, beside both", { prompt = "x" }, { aspect_ratio = "9:16",
      webhook_config = { uris = { "https://x" }, user_metadata = { my_id = 1 } } },
      '{"instances":[{"prompt":"x"}],"parameters":{"aspectRatio":"9:16"},'
      .. '"webhookConfig":{"uris":["https://x"],"userMetadata":{"my_id":1}}}' },
    { "local media, wherever an image or a video may stand", { image = { at = true }, video = { at = true } },
      { last_frame = { at = true }, reference_images = { { image = { at = true } } } },
      '{"instances":[{"image":{"bytesBase64Encoded":"<image>"},'
      .. '"lastFrame":{"bytesBase64Encoded":"<config.last_frame>"},'
      .. '"referenceImages":[{"image":{"bytesBase64Encoded":"<config.reference_images[1].image>"}}],'
      .. '"video":{"encodedVideo":"<video>"}}]}' },
  } do
    it("has " .. case[1], function() assert.equal(case[4], (written(assert(tree(case[2], case[3]))))) end)
  end

  it("names places within source", function()
    assert.equal('{"instances":[{"image":{"bytesBase64Encoded":"<source.image>"}}]}',
      (written(assert(tree({ image = { at = true } }, nil, { place = "source" })))))
  end)

  it("takes an extra_body", function()
    assert.equal('{"instances":[{"prompt":"x"}],"parameters":{"newField":1,"sampleCount":1}}', (written(assert(tree(
      { prompt = "x" }, { number_of_videos = 1 }, { extra_body = { parameters = { newField = 1 } } })))))
  end)

  it("refuses what has nothing to start from, and what only Vertex AI takes", function()
    refused("one of prompt, image and video is needed", tree({}, { last_frame = { image_bytes = "x" } }))
    refused("one of prompt, image and video is needed", tree { prompt = json.null })
    refused("image.gcs_uri: only Vertex AI takes this field, the Gemini API does not",
      tree { image = { gcs_uri = "gs://x" } })
    refused("image.image_bytes is raw bytes; this is base64", tree { image = { image_bytes = "iVBORw0KGgo=" } })
    for name, value in pairs { output_gcs_uri = "x", fps = 1, seed = 1, pubsub_topic = "x", generate_audio = true,
      mask = {}, compression_quality = "x", labels = {}, resize_mode = "x" } do
      refused(("config.%s: only Vertex AI takes this field, the Gemini API does not"):format(name),
        tree({ prompt = "x" }, { [name] = value }))
    end
  end)

  it("hands on why local media cannot be had", function()
    for place, case in pairs {
      image = { { image = { refused = true } } },
      ["config.reference_images[1].image"] = { { prompt = "x" },
        { reference_images = { { image = { refused = true } } } } },
    } do
      local body, err = tree(case[1], case[2])
      assert.is_nil(body)
      assert.equal(place, err.message)
    end
  end)

  it("raises for wrong names and types", function()
    raises("image: table expected, got string", tree, { image = "a.png" })
    raises("prompt: string expected, got number", tree, { prompt = 5 })
    raises("config.last_frame.image_byte: did you mean config.last_frame.image_bytes?", tree, { prompt = "x" },
      { last_frame = { image_byte = "x" } })
    raises("config.reference_images[1]: table expected, got string", tree, { prompt = "x" },
      { reference_images = { "x" } })
  end)

  it("sends a video of an answer back as it came", function()
    local made = answer.operation(answer.decode([[{"name":"o","response":{"generateVideoResponse":{"generatedSamples":
      [{"video":{"uri":"u","encoding":"video/mp4","newField":{"a":null},"none":null,"file":"x"}}]}}}]], "Operation"))
    assert.equal('{"instances":[{"video":{"encoding":"video/mp4","file":"x","newField":{"a":null},"none":null,'
      .. '"uri":"u"}}]}',
      (written(assert(tree { video = made.response.generated_videos[1].video }))))
  end)
end)

describe("the body of generateImages", function()
  local function tree(prompt, config)
    return request.tree(rows.generate_images, { model = "m", instance = { prompt = prompt }, config = config })
  end

  it("has a prompt, parameters, and options of the output among them", function()
    assert.equal('{"instances":[{"prompt":"x"}]}', (written(assert(tree "x"))))
    assert.equal('{"instances":[{"prompt":"x"}],"parameters":{"sampleCount":1}}',
      (written(assert(tree("x", { number_of_images = 1 })))))
    assert.equal('{"instances":[{"prompt":"x"}],"parameters":{"outputOptions":{"mimeType":"image/png"},'
      .. '"sampleImageSize":"2K"}}', (written(assert(tree("x", { output_mime_type = "image/png",
      image_size = "2K" })))))
  end)

  it("refuses no prompt, and what only Vertex AI takes", function()
    refused("a prompt is needed", tree())
    refused("config.seed: only Vertex AI takes this field, the Gemini API does not", tree("x", { seed = 1 }))
  end)
end)

describe("what came from the wire", function()
  -- The content of an answer as it goes back, decoded; and the content as it came.
  local function echo(text, change)
    local response = response_of('{"candidates":[{"content":' .. text .. "}]}")
    local content = response.candidates[1].content
    if change then change(content) end
    return json.decode((encoded({ contents = (parts.contents { content }) }, "GenerateContentRequest"))).contents[1],
      json.decode(text)
  end

  for _, text in ipairs {
    '{"role":"model","parts":[{"text":"a"}]}',
    '{"role":"model"}',
    '{"parts":[]}',
    '{"role":"model","parts":[{}]}',
    '{"role":"model","parts":[{"thoughtSignature":"c2ln"}]}',
    '{"role":"model","parts":[{"text":"","thoughtSignature":"-_+/=="}]}',
    '{"role":"model","parts":[{"text":"x","thought":true},{"text":"x","thought":false}]}',
    '{"role":"model","parts":[{"functionCall":{"name":"f","id":"x","args":{"empty_list":[],"empty_object":{},'
      .. '"nothing":null,"n":12345678901,"f":1.25,"deep":[[],[{}],[null]],"snake_case":1,"camelCase":2,"":3}}}]}',
    '{"role":"model","parts":[{"functionCall":{}},{"functionCall":{"name":"f"}}]}',
    '{"role":"model","parts":[{"text":null,"thought":null,"unknown":null}]}',
    '{"role":"model","parts":[{"file":"/etc/passwd","data":"iVBORw0KGgo=","via":"upload","mime_type":"x"}]}',
    '{"role":"model","parts":[{"inline_data":{"mime_type":"a","mimeType":"b"},"inlineData":{"mimeType":"c"}}]}',
    '{"role":"model","parts":[{"holographData":{"zipper_x":[1,2,{"deep":null}],"zipperX":[]},"some_thing":1,'
      .. '"someThing":2,"SomeThing":3,"some__thing":4,"someThing1":5,"some_thing_1":6,"x-y":7,"URL":8,"@type":9,'
      .. '"":10,"a b":11,"_a":12,"a_":13,"foo_bar":14}]}',
    '{"role":"model","parts":[{"functionResponse":{"name":"f","response":{"a":[]},"parts":[{"new":1}],"odd_one":{}}}]}',
    '{"role":"model","parts":[{"text":5},{"text":{"a_b":1}},{"functionCall":"f"},{"functionCall":[]},{"thought":"x"},'
      .. '{"videoMetadata":{"fps":"1.5","startOffset":3}},{"mediaResolution":{"numTokens":"7"}}]}',
    '{"role":"model","parts":{"text":"not a list"}}',
    '{"role":5,"parts":[{"save":1,"text":"a"}],"turnToken":"t","turn_token":"u"}',
    '{"role":"model","parts":[{"n":0.1,"m":-7,"big":1e300,"small":1.5e-7}]}',
  } do
    it("goes back as it came: " .. text:sub(1, 70), function()
      local got, sent = echo(text)
      assert.same(sent, got) -- null is json.null here; arrays carry their mark
      local function marks(a, b)
        if type(a) ~= "table" then return end
        assert.equal(json.is_array(a), json.is_array(b))
        for key, item in pairs(a) do marks(item, b[key]) end
      end
      marks(sent, got)
    end)
  end

  it("goes back with what the program changed", function()
    local got = echo('{"role":"model","parts":[{"text":"a","odd_name":1,"thought":null,"x":1}]}', function(content)
      local part = content.parts[1]
      part.text, part.odd_name, part.thought, part.x = "b", 2, true, nil
      part.video_metadata = { fps = 1 }
    end)
    assert.same({ text = "b", odd_name = 2, thought = true, videoMetadata = { fps = 1 } }, got.parts[1])
  end)

  it("may stand in a turn of the program's own, which is checked", function()
    local response = response_of [[{"candidates":[{"content":{"parts":[{"newKind":1}]}}]}]]
    local turn = { role = "model", parts = { response.parts[1], "b" } }
    assert.equal('{"contents":[{"parts":[{"newKind":1},{"text":"b"}],"role":"model"}]}',
      (encoded({ contents = (parts.contents { turn }) }, "GenerateContentRequest")))
    turn.rol = "x"
    raises("contents[1].rol: did you mean contents[1].role?", request.wire,
      { contents = (parts.contents { turn }) }, "GenerateContentRequest")
    raises("parts[2].inline_data.typ: no such field", request.wire,
      { parts = { response.parts[1], { inline_data = { typ = 1 } } } }, "Content")
  end)

  it("does not loosen the checks of what stands after it", function()
    local response = response_of [[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}]]
    raises("requests[2].tsk: no such field", request.wire,
      { requests = { { content = response.candidates[1].content }, { tsk = 1 } } }, "BatchEmbedContentsRequest")
  end)

  it("is refused where it is not UTF-8", function()
    for _, member in ipairs { '"text":"\255"', '"new":"\255"', '"odd_name":"\255"', '"\255":1', '"odd_\255":1' } do
      local response = response_of(
        '{"candidates":[{"content":{"parts":[{' .. member .. "}]}}]}")
      local tree, err = request.wire(response.candidates[1].content, "Content")
      assert.is_nil(tree)
      assert.equal("invalid", err.kind)
    end
  end)

  it("checks a program's part in a turn from the wire", function()
    local response = response_of [[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}]]
    local content = response.candidates[1].content
    table.insert(content.parts, { text = "b", inline_data = { dta = 1 } })
    raises("inline_data.dta: did you mean parts[2].inline_data.data?", request.wire, content, "Content")
  end)
end)

describe("what came from the wire with bytes", function()
  local core = require "lgemini.core"

  local function response_with(text)
    return response_of('{"candidates":[{"content":{"parts":[{"inlineData":{"data":"' .. text .. '"}}]}}]}')
  end

  local function echo(text)
    local body = new_body()
    function body.add_base64(_, bytes) return body:add(core.base64.encode(bytes)) end
    assert(request.encode(body, response_with(text).candidates[1].content, "Content"))
    return json.decode(body.text()).parts[1].inlineData.data
  end

  for text, standard in pairs { [""] = "", AAEC = "AAEC", ["AAE="] = "AAE=", ["AA=="] = "AA==", ["-_-_"] = "+/+/",
    AAE = "AAE=", AA = "AA==", ["iVBORw0KGgo="] = "iVBORw0KGgo=", ["AB=="] = "AA==" } do
    it(("goes back as the same bytes: %q"):format(text), function() assert.equal(standard, echo(text)) end)
  end

  it("goes back encoded anew when the program changed it", function()
    local response = response_with "-_-_"
    response.parts[1].inline_data.data = "new"
    assert.equal('{"parts":[{"inlineData":{"data":"<new>"}}]}', (encoded(response.candidates[1].content, "Content")))
  end)
end)
