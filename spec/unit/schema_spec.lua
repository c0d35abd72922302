local schema = require "lgemini.schema"

local KINDS = {}
for kind in ("text number integer boolean int64 bytes upper any open struct object"):gmatch("%S+") do
  KINDS[kind] = true
end

describe("schema", function()
  it("parses every type, and knows every kind and type that is named", function()
    local count = 0
    for _, name in ipairs(schema.names()) do
      for _, field in ipairs(schema.type(name).order) do
        local kind = field --[[@as lgemini.schema.Kind]]
        while kind.of do kind = kind.of end
        assert.truthy(KINDS[kind.kind], name .. "." .. field.field .. " is of kind " .. kind.kind)
        if kind.kind == "object" then assert.truthy(schema.type(kind.name)) end
        count = count + 1
      end
    end
    assert.truthy(count > 250)
  end)

  it("has no name twice in a type, in Lua or on the wire", function()
    for _, name in ipairs(schema.names()) do
      local type, fields, wires = schema.type(name), 0, 0
      for _ in pairs(type.fields) do fields = fields + 1 end
      for _ in pairs(type.wires) do wires = wires + 1 end
      assert.equal(#type.order, fields, name)
      assert.equal(#type.order, wires, name)
    end
  end)

  it("raises for a type that does not exist", function()
    assert.error_matches(function() schema.type "Blobb" end, "no such type: Blobb")
  end)

  it("makes wire names by the camelCase rule", function()
    for name, wire in pairs {
      text = "text", mime_type = "mimeType", top_k = "topK", sha256_hash = "sha256Hash",
      include_server_side_tool_invocations = "includeServerSideToolInvocations",
    } do
      assert.equal(wire, schema.camel(name))
      assert.equal(name, schema.snake(wire))
    end
  end)

  it("renames as the official SDKs do, and nowhere else", function()
    local renamed = {}
    for _, name in ipairs(schema.names()) do
      for _, field in ipairs(schema.type(name).order) do
        local wire = schema.type(name).as_is and field.field or schema.camel(field.field)
        if field.wire ~= wire then renamed[field.field] = field.wire end
      end
    end
    assert.same({ citations = "citationSources", supported_actions = "supportedGenerationMethods",
      generated_videos = "generatedSamples", number_of_videos = "sampleCount", video_bytes = "encodedVideo",
      generated_images = "predictions", number_of_images = "sampleCount", image_bytes = "bytesBase64Encoded",
      image_size = "sampleImageSize", safety_filter_level = "safetySetting", output_mime_type = "mimeType",
      output_compression_quality = "compressionQuality", mime_type = "encoding", models = "publisherModels",
      uri = "gcsUri" }, renamed) -- the last two of Vertex AI
    assert.equal("mimeType", schema.type "Image".fields.mime_type.wire)
    assert.equal("encoding", schema.type "Video".fields.mime_type.wire)
  end)

  it("reads its notation", function()
    local part = schema.type "Part".fields
    assert.same({ kind = "object", name = "Blob", field = "inline_data", wire = "inlineData", vertex = false },
      part.inline_data)
    assert.equal("text", part.thought_signature.kind)
    assert.same({ kind = "list", of = { kind = "object", name = "Part" }, field = "parts", wire = "parts",
      vertex = false }, schema.type "Content".fields.parts)
    assert.same({ kind = "object", name = "Schema" }, schema.type "Schema".fields.properties.of)
    assert.equal("map", schema.type "Schema".fields.properties.kind)
    assert.is_true(schema.type "Blob".fields.display_name.vertex)
    assert.equal(schema.type "Part".fields.inline_data, schema.type "Part".wires.inlineData)
  end)

  it("gives option names for checks, those of configs within too", function()
    local known = schema.known "GenerateContentConfig"
    assert.is_true(known.temperature)
    assert.is_true(known.system_instruction) -- may be a string or a list
    assert.is_true(known.response_schema)
    assert.same({ include_thoughts = true, thinking_budget = true, thinking_level = true }, known.thinking_config)
    assert.same({ mode = true, allowed_function_names = true, stream_function_call_arguments = true },
      known.tool_config.function_calling_config)
    assert.is_nil(known.contents)
    assert.is_nil(known.generation_config)
  end)

  it("copies with the mark and the notes", function()
    local part = setmetatable({ text = "x" }, schema.mark "Part")
    schema.note_echo(part, "thought", "thought", 1)
    local copy = schema.copy(part)
    assert.not_equal(part, copy)
    assert.is_true(schema.is(copy, "Part"))
    assert.is_false(schema.is(copy, "Content"))
    assert.equal(schema.echo(part), schema.echo(copy))
    assert.is_false(schema.is("text", "Part"))
  end)
end)
