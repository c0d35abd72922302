-- What a config of generate_content can say, against the reference (section 4.1): the names that it lists, and where
-- each goes. The lists are the reference's words, not the table's.
local cjson = require "cjson"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local request = require "lgemini.request"
local schema = require "lgemini.schema"

local TOP = [[systemInstruction safetySettings tools toolConfig cachedContent serviceTier]]
local GENERATION = [[temperature topP topK candidateCount maxOutputTokens stopSequences seed presencePenalty
  frequencyPenalty responseLogprobs logprobs responseMimeType responseSchema responseJsonSchema responseModalities
  mediaResolution speechConfig thinkingConfig imageConfig audioTranscriptionConfig enableEnhancedCivicAnswers]]
-- Refused by the SDKs in Gemini mode.
local VERTEX = [[routing_config model_selection_config audio_timestamp model_armor_config]]

-- A value of each kind, written by hand, and what it is on the wire.
local SAMPLES = {
  { "system_instruction", "Be brief.", "systemInstruction", '{"parts":[{"text":"Be brief."}],"role":"user"}' },
  { "safety_settings", { { category = "HARM_CATEGORY_HARASSMENT", threshold = "BLOCK_NONE" } }, "safetySettings",
    '[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]' },
  { "tools", { { google_maps = { enable_widget = true } }, { code_execution = {} }, { url_context = {} },
    { google_search_retrieval = { dynamic_retrieval_config = { mode = "MODE_DYNAMIC", dynamic_threshold = 0.3 } } },
    { computer_use = { environment = "ENVIRONMENT_BROWSER", excluded_predefined_functions = { "drag" } } } }, "tools",
    '[{"googleMaps":{"enableWidget":true}},{"codeExecution":{}},{"urlContext":{}},{"googleSearchRetrieval":'
    .. '{"dynamicRetrievalConfig":{"dynamicThreshold":0.3,"mode":"MODE_DYNAMIC"}}},{"computerUse":'
    .. '{"environment":"ENVIRONMENT_BROWSER","excludedPredefinedFunctions":["drag"]}}]' },
  { "tool_config", { function_calling_config = { mode = "ANY", allowed_function_names = { "f" } }, retrieval_config = {
    lat_lng = { latitude = 1.5, longitude = -2 }, language_code = "de" }, include_server_side_tool_invocations = true },
    "toolConfig", '{"functionCallingConfig":{"allowedFunctionNames":["f"],"mode":"ANY"},'
    .. '"includeServerSideToolInvocations":true,"retrievalConfig":{"languageCode":"de","latLng":{"latitude":1.5,'
    .. '"longitude":-2}}}' },
  { "service_tier", "flex", "serviceTier", '"flex"' },
  { "labels", { team_name = "x" }, "labels", '{"team_name":"x"}' },
  { "thinking_config", { include_thoughts = true, thinking_budget = -1 }, "generationConfig.thinkingConfig",
    '{"includeThoughts":true,"thinkingBudget":-1}' },
  { "thinking_config", { thinking_level = "HIGH" }, "generationConfig.thinkingConfig", '{"thinkingLevel":"HIGH"}' },
  { "seed", 7, "generationConfig.seed", "7" },
  { "logprobs", 3, "generationConfig.logprobs", "3" },
  { "response_logprobs", true, "generationConfig.responseLogprobs", "true" },
  { "audio_transcription_config", { language_codes = { "de" }, custom_vocabulary = { "x" }, diarization = true,
    word_timestamp = true }, "generationConfig.audioTranscriptionConfig",
    '{"customVocabulary":["x"],"diarization":true,"languageCodes":["de"],"wordTimestamp":true}' },
}

local row = endpoints.models.generate_content

local function body(config)
  local tree, err = request.tree(row, { model = "models/m", contents = {}, config = config })
  if not tree then return nil, err end
  local pieces = {}
  assert(request.emit(tree, { add = function(_, text)
    pieces[#pieces + 1] = text
    return true
  end }))
  return table.concat(pieces)
end

local function names_of(type_name)
  local names = {}
  for _, field in ipairs(schema.type(type_name).order) do
    if not field.vertex then names[field.wire] = field.field end
  end
  return names
end

describe("a config of generate_content", function()
  it("has each field of the reference, at its place", function()
    local config, inside = names_of "GenerateContentConfig", names_of "GenerationConfig"
    for name in TOP:gmatch "%S+" do
      assert.truthy(config[name], name)
      assert.falsy(inside[name], name)
      config[name] = nil
    end
    for name in GENERATION:gmatch "%S+" do
      assert.truthy(config[name], name)
      assert.truthy(inside[name], name)
      config[name] = nil
    end
    -- sent, though the SDKs refuse it: the service decides (a recorded case has it)
    assert.same({ labels = "labels" }, config)
  end)

  for _, sample in ipairs(SAMPLES) do
    it("sends " .. sample[1] .. " as " .. sample[3], function()
      local text = assert(body { [sample[1]] = sample[2] })
      local outer, inner = sample[3]:match "^(.-)%.(.*)$"
      local wanted = outer and ('"%s":{"%s":%s}'):format(outer, inner, sample[4])
        or ('"%s":%s'):format(sample[3], sample[4])
      assert.truthy(text:find(wanted, 1, true), text)
    end)
  end

  it("refuses what only Vertex AI takes, by name", function()
    for name in VERTEX:gmatch "%S+" do
      local text, err = body { [name] = name == "audio_timestamp" or {} }
      assert.is_nil(text)
      assert.is_true(errors.is(err))
      assert.equal("invalid", err.kind)
      assert.truthy(err.message:find("config." .. name, 1, true), err.message)
    end
  end)

  it("has JSON schemas looked into, of answers and of functions", function()
    local bad = { type = "object", properties = { a = { type = "strng" } } }
    for place, config in pairs {
      ["config.response_json_schema"] = { response_json_schema = bad },
      ["config.tools[1].function_declarations[1].parameters_json_schema"] = { tools = { { function_declarations = {
        { name = "f", parameters_json_schema = bad } } } } },
    } do
      local text, err = body(config)
      assert.is_nil(text)
      assert.truthy(err.message:find(place .. '.properties.a.type: "strng" is no type', 1, true), err.message)
    end
  end)

  it("never sends what is for the library", function()
    local text = assert(body { http_options = { timeout = 3 }, automatic_function_calling = { disable = true } })
    assert.same({ contents = {} }, cjson.decode(text))
  end)
end)
