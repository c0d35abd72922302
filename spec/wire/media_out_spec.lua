-- Pictures, speech and videos that the service makes, from the question to the file: made by the emulator, which
-- encodes them itself, and looked at by its own readers of media.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local gemini = require "lgemini"
local process = require "spec.support.process"

local MODEL, SPEAKER, VEO = "gemini-3-pro-image", "gemini-2.5-flash-preview-tts", "veo-3.0-generate-001"

describe("media that the service makes:", function()
  local em, client, directory

  setup(function()
    em = emulator.start { args = { "--video", "0", "--processing", "0" } }
    directory = process.temporary_directory()
  end)
  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)
  before_each(function()
    em:clear()
    client = gemini.Client { api_key = "k", http_options = { base_url = em.url } }
  end)
  after_each(function()
    client:close()
    client = nil
  end)

  local read = files.read

  -- What the emulator sees in a file: the part of its record.
  local function seen(path)
    em:clear()
    assert(client.models:generate_content { model = "gemini-3.5-flash", contents = { "What is it?", { file = path } } })
    return em:requests_to(":generateContent")[1].parts[2]
  end

  local function speak(contents, speech_config)
    return { model = SPEAKER, contents = contents,
      config = { response_modalities = { "AUDIO" }, speech_config = speech_config } }
  end

  -- How often the samples of each half second cross zero upwards: a tone's pitch, halved.
  local function pitches(samples)
    local found, last = {}, 0
    for at = 1, #samples - 1, 2 do
      local low, high = samples:byte(at, at + 1)
      local value = low + high * 256
      value = value >= 32768 and value - 65536 or value
      local half = math.floor((at - 1) / 24000) + 1
      found[half] = (found[half] or 0) + (last < 0 and value >= 0 and 1 or 0)
      last = value
    end
    for half, count in ipairs(found) do found[half] = 10 * math.floor(count / 10 + 0.5) end
    return found
  end

  describe("speech", function()
    it("of one voice, as a WAV of its length and as its samples", function()
      local response = assert(client.models:generate_content(speak("Say cheerfully: good day",
        { voice_config = { prebuilt_voice_config = { voice_name = "Kore" } } })))
      assert.equal("no text, but audio/L16;codec=pcm;rate=24000", response.reason)
      assert(response.media[1]:save(directory .. "/x.wav"))
      assert(response:save(directory .. "/x.pcm"))
      assert.equal(24000, #read(directory .. "/x.pcm")) -- half a second, two bytes a sample
      assert.equal(read(directory .. "/x.pcm"), read(directory .. "/x.wav"):sub(45))
      local part = seen(directory .. "/x.wav")
      assert.equal("audio/wav", part.detected)
      assert.equal(0.5, part.seconds)
    end)

    local SCRIPT = "Ann: Good day.\nBob: And to you.\nAnn: Bye."
    local function voice(name) return { prebuilt_voice_config = { voice_name = name } } end
    local TWO = { multi_speaker_voice_config = { speaker_voice_configs = {
      { speaker = "Ann", voice_config = voice "Kore" }, { speaker = "Bob", voice_config = voice "Puck" } } } }

    it("of two speakers, each with a voice", function()
      local response = assert(client.models:generate_content(speak(SCRIPT, TWO)))
      assert.same({ 220, 330, 220 }, pitches(response.media[1].inline_data.data))
    end)

    it("in pieces of a stream, saved as one sound", function()
      local stream, count = client.models:generate_content_stream(speak(SCRIPT, TWO)), 0
      for chunk in stream:each() do count = count + #chunk.media end
      assert.equal(3, count)
      assert(stream.response:save(directory .. "/stream.wav"))
      assert.equal(1.5, seen(directory .. "/stream.wav").seconds)
    end)

    it("with one voice and two is refused by the service", function()
      local _, err = client.models:generate_content(speak("x", { voice_config = voice "Kore",
        multi_speaker_voice_config = TWO.multi_speaker_voice_config }))
      assert.equal("invalid", err.kind)
    end)
  end)

  describe("a picture", function()
    local function draw(contents, image_config)
      local response = assert(client.models:generate_content { model = MODEL, contents = contents,
        config = { response_modalities = { "TEXT", "IMAGE" }, image_config = image_config } })
      assert(response:save(directory .. "/drawn.png"))
      return response, seen(directory .. "/drawn.png")
    end

    it("of the proportions that were asked for, beside text", function()
      local response, part = draw("A lighthouse", { aspect_ratio = "9:16" })
      assert.is_true(#response.text > 0)
      assert.same({ "image/png", 36, 64 }, { part.detected, part.width, part.height })
    end)

    it("out of another one, has its proportions; and is changed again in a chat", function()
      local edited, part = draw({ "Make the sky green", { file = "spec/fixtures/slide.png" } })
      assert.same({ 64, 36 }, { part.width, part.height })
      local chat = assert(client.chats:create { model = MODEL, config = { response_modalities = { "TEXT", "IMAGE" } },
        history = { { role = "user", parts = { "Make the sky green" } }, edited.candidates[1].content } })
      assert(chat:send_message "Now blue")
      local sent = em:requests_to(":generateContent")
      local parts = sent[#sent].parts
      assert.equal("image/png", parts[#parts - 1].mime_type)
      assert.equal("model", parts[#parts - 1].role)
    end)

    it("by a model that only draws", function()
      local response = assert(client.models:generate_images { model = "imagen-4.0-generate-001",
        prompt = "A lighthouse", config = { number_of_images = 2, aspect_ratio = "3:4" } })
      assert.equal(2, #response.generated_images)
      assert(response.generated_images[2].image:save(directory .. "/imagen.png"))
      local part = seen(directory .. "/imagen.png")
      assert.same({ 48, 64 }, { part.width, part.height })
      response = assert(client.models:generate_images { model = "imagen-4.0-generate-001", prompt = "[filtered]" })
      assert.truthy(response.generated_images[1].rai_filtered_reason)
    end)
  end)

  describe("a video", function()
    local function film(prompt, more)
      local args = { model = VEO, prompt = prompt }
      for name, value in pairs(more or {}) do args[name] = value end
      return client.operations:wait(assert(client.models:generate_videos(args)))
    end

    it("out of a picture, waited for, and straight to disk", function()
      local operation = assert(film("Waves", { image = { file = "spec/fixtures/slide.png" },
        config = { duration_seconds = 4, aspect_ratio = "9:16", number_of_videos = 2 } }))
      local videos = operation.response.generated_videos
      assert.equal(2, #videos)
      local path = directory .. "/waves.mp4"
      assert.equal(path, client.files:download { file = videos[1].video, to = path })
      local part = seen(path)
      assert.same({ "video/mp4", 36, 64, 4 }, { part.detected, part.width, part.height, part.seconds })
      local _, err = videos[1].video:save(path)
      assert.truthy(err.hint:find("client.files:download", 1, true))
    end)

    it("that a filter took away, or that failed", function()
      local operation = assert(film "[filtered]")
      assert.equal(1, operation.response.rai_media_filtered_count)
      assert.is_nil(operation.response.generated_videos)
      local _, err = film "[fails]"
      assert.equal("unavailable", err.kind)
    end)

    it("as the service does not make it", function()
      for _, config in ipairs { { duration_seconds = 30 }, { aspect_ratio = "1:1" }, { number_of_videos = 5 } } do
        local _, err = client.models:generate_videos { model = VEO, prompt = "x", config = config }
        assert.equal("invalid", err.kind)
      end
    end)
  end)
end)
