-- Media of answers in files. What a WAV looks like is compared with one that ffmpeg wrote.
local answer = require "lgemini.answer"
local cjson = require "cjson"
local files = require "spec.support.files"
local process = require "spec.support.process"

local L16 = "audio/L16;codec=pcm;rate=24000"

local read = files.read

-- A number of little-endian bytes.
local function number(text, at, size)
  local value = 0
  for i = at + size - 1, at, -1 do value = value * 256 + text:byte(i) end
  return value
end

-- The chunks of a RIFF file: name -> content. They fill it to its last byte.
local function chunks_of(wav)
  assert.equal("RIFF", wav:sub(1, 4))
  assert.equal("WAVE", wav:sub(9, 12))
  assert.equal(#wav, 8 + number(wav, 5, 4))
  local chunks, at = {}, 13
  while at < #wav do
    local size = number(wav, at + 4, 4)
    chunks[wav:sub(at, at + 3)] = wav:sub(at + 8, at + 7 + size)
    at = at + 8 + size + size % 2
  end
  assert.equal(#wav + 1, at)
  return chunks
end

describe("media of an answer are saved:", function()
  local base64 = require("lgemini.core").base64

  -- As it comes from the wire.
  local function decoded(value, type_name)
    return (assert(answer.decode(cjson.encode(value), type_name)))
  end

  local directory
  setup(function() directory = process.temporary_directory() end)
  teardown(function() process.remove_directory(directory) end)

  local function response_of(...)
    local parts = {}
    for i, pair in ipairs { ... } do
      parts[i] = { inlineData = { mimeType = pair[1], data = base64.encode(pair[2]) } }
    end
    if not parts[1] then parts[1] = { text = "no media" } end
    return decoded({ candidates = { { content = { parts = parts } } } }, "GenerateContentResponse")
  end

  local function save_part(name, mime, data)
    local path = directory .. "/" .. name
    local ok, err = response_of({ mime, data }).media[1]:save(path)
    return ok and read(path), err
  end

  local function refused(word, _, err)
    assert.equal("invalid", err.kind)
    assert.truthy((err.message .. " " .. tostring(err.hint)):find(word, 1, true), tostring(err))
  end

  it("speech as the WAV that ffmpeg makes of the same samples", function()
    local theirs = chunks_of(read "spec/fixtures/call.wav")
    local ours = chunks_of((save_part("call.wav", "audio/L16;codec=pcm;rate=16000", theirs.data)))
    assert.equal(theirs["fmt "], ours["fmt "])
    assert.equal(theirs.data, ours.data)
  end)

  it("with the rate and the channels that the type says", function()
    for mime, says in pairs { [L16] = { 24000, 1 }, ["audio/pcm; rate=8000"] = { 8000, 1 },
      ["Audio/L16; Rate=\"44100\"; channels=2"] = { 44100, 2 } } do
      local format = chunks_of((save_part("x.WAV", mime, ("abcd"):rep(100))))["fmt "]
      local found = {}
      for i, field in ipairs { { 1, 2 }, { 3, 2 }, { 5, 4 }, { 9, 4 }, { 13, 2 }, { 15, 2 } } do
        found[i] = number(format, field[1], field[2])
      end
      assert.same({ 1, says[2], says[1], says[1] * says[2] * 2, says[2] * 2, 16 }, found)
    end
  end)

  it("samples as they came under any other name that is none of a medium", function()
    for _, name in ipairs { "x.pcm", "x.raw", "x", "x.samples", "x.tar.PCM" } do
      assert.equal("\1\2\3\4", (save_part(name, L16, "\1\2\3\4")))
    end
    assert.equal("\1\2\3", (save_part("x.pcm", "audio/L16", "\1\2\3")))
  end)

  it("but samples as no sound that they are not, and as no WAV without a rate or with half a sample", function()
    refused("which a .mp3 file does not hold", save_part("x.mp3", L16, "\1\2"))
    refused("save it as .wav", save_part("x.png", L16, "\1\2"))
    refused("says no rate", save_part("x.wav", "audio/L16;codec=pcm", "\1\2"))
    refused("says no rate", save_part("x.wav", "audio/L16;rate=0", "\1\2"))
    refused("3 bytes of " .. L16, save_part("x.wav", L16, "\1\2\3"))
    refused("no whole samples", save_part("x.wav", L16 .. ";channels=2", "\1\2"))
    refused("no whole samples", save_part("x.wav", "audio/L16;rate=99999999999", "\1\2"))
    assert.is_nil(io.open(directory .. "/x.mp3", "rb"))
  end)

  it("pictures as they came, under a name that is true", function()
    local png = read "spec/fixtures/slide.png"
    for _, name in ipairs { "x.png", "x.PNG", "x", "x.bin", "x.tar.gz" } do
      assert.equal(png, (save_part(name, "image/png", png)))
    end
    refused("save it as .png", save_part("y.jpg", "image/png", png))
    refused("are image/png", save_part("y.jpg", "image/jpeg", png)) -- the bytes know better
    refused("not samples alone", save_part("y.pcm", "audio/wav", read "spec/fixtures/call.wav"))
    assert.is_nil(io.open(directory .. "/y.jpg", "rb"))
  end)

  it("what is not known by its bytes by its type, under each of the names that it has", function()
    assert.equal("x", (save_part("x.mp3", "audio/mp3", "x")))
    assert.equal("x", (save_part("x.mov", "Video/QuickTime; x=y", "x")))
    refused(".jpeg, .jpg", save_part("x.png", "image/jpeg", "x"))
    refused("are image/x-new", save_part("x.png", "image/x-new", "x"))
    assert.equal("x", (save_part("x.png", "", "x")))
  end)

  describe("response:save", function()
    it("takes the one there is", function()
      local path = directory .. "/one.wav"
      assert.is_true(response_of({ L16, "\1\2" }):save(path))
      assert.equal("\1\2", chunks_of(read(path)).data)
    end)

    it("makes one sound of the pieces of a stream", function()
      local path = directory .. "/pieces.wav"
      assert.is_true(response_of({ L16, "\1" }, { L16, "\2\3" }, { L16, "\4" }):save(path))
      assert.equal("\1\2\3\4", chunks_of(read(path)).data)
    end)

    it("takes nothing else", function()
      refused("3 media, which are not one sound",
        response_of({ L16, "\1\2" }, { L16, "\1\2" }, { "audio/L16;rate=8000", "\1\2" }):save(directory .. "/n"))
      refused("part:save", response_of({ "image/png", "a" }, { "image/png", "b" }):save(directory .. "/n"))
      refused("carries no media", response_of():save(directory .. "/n"))
      assert.error_matches(function() response_of():save() end, "response:save%(path%): a path is needed")
      assert.is_nil(io.open(directory .. "/n", "rb"))
    end)
  end)

  it("in whole or not at all where nothing was before", function()
    local program = [[
      require "lgemini" -- brings the others, where it is one file
      local _, err = require("lgemini.save").bytes(arg[1], "image/x-any", { ("x"):rep(tonumber(arg[2])) })
      io.write(err and err.kind .. ": " .. err.message or "saved")]]
    files.write(directory .. "/save.lua", program)
    -- A process that may write 512 bytes to a file, as on a disk that is full.
    local function save_little(name, size)
      return process.output(("sh -c 'trap \"\" XFSZ; ulimit -f 1; exec \"$@\"' sh %s %s %s %d 2>&1"):format(
        process.interpreter(), process.quote(directory .. "/save.lua"), process.quote(directory .. "/" .. name), size))
    end
    assert.equal("saved", save_little("little", 100))
    for _, size in ipairs { 1000, 100000 } do -- what is small is written when the file is closed
      assert.matches("^io: .*/large: ", save_little("large", size))
      assert.is_nil(io.open(directory .. "/large", "rb"))
      files.write(directory .. "/mine", "as it was")
      assert.matches("^io: .*/mine: ", save_little("mine", size))
      assert.truthy(io.open(directory .. "/mine", "rb")) -- it may have been a device
    end
  end)

  it("images and videos that were made", function()
    local png = read "spec/fixtures/slide.png"
    local images = answer.images(decoded({ predictions = { { bytesBase64Encoded = base64.encode(png),
      mimeType = "image/png", save = 5 }, { raiFilteredReason = "x" } } }, "GenerateImagesResponse"))
    assert.is_true(images.generated_images[1].image:save(directory .. "/made.png"))
    assert.equal(png, read(directory .. "/made.png"))
    refused("save it as .png", images.generated_images[1].image:save(directory .. "/made.jpg"))
    refused("carries no bytes", images.generated_images[2].image:save(directory .. "/none.png"))

    local operation = answer.operation(decoded({ name = "x", response = { videos = {
      { bytesBase64Encoded = base64.encode(read "spec/fixtures/demo.mp4"), mimeType = "video/mp4" },
      { gcsUri = "gs://x" } } } }, "Operation"))
    local videos = operation.response.generated_videos
    assert.is_true(videos[1].video:save(directory .. "/made.mp4"))
    assert.equal(read "spec/fixtures/demo.mp4", read(directory .. "/made.mp4"))
    refused("client.files:download", videos[2].video:save(directory .. "/none.mp4"))
    assert.error_matches(function() videos[1].video:save() end, "video:save%(path%)")
  end)

  it("with an error of the disk where it has one", function()
    local _, err = response_of({ L16, ("\1\2"):rep(100000) }).media[1]:save "/dev/full"
    assert.equal("io: /dev/full: No space left on device", tostring(err))
    _, err = response_of({ L16, "\1\2" }):save(directory .. "/none/x.wav")
    assert.equal("io", err.kind)
    assert.truthy(err.message:find(directory .. "/none/x.wav", 1, true))
  end)
end)
