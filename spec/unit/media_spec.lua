local errors = require "lgemini.errors"
local media = require "lgemini.media"

local FIXTURES = "spec/fixtures/"

local function head_of(name)
  local file = assert(io.open(FIXTURES .. name, "rb"))
  local head = file:read(media.HEAD)
  file:close()
  return head
end

-- A box that begins an ISO media file: its main brand, then those it also goes by.
local function ftyp(...)
  local brands = { ... }
  local size = 12 + 4 * #brands
  table.insert(brands, 2, "\0\0\2\0")
  return "\0\0\0" .. string.char(size) .. "ftyp" .. table.concat(brands) .. "\0\0\0\8free"
end

local function id3(length)
  return "ID3\4\0\0" .. string.char(0, 0, math.floor(length / 128), length % 128) .. ("\0"):rep(length)
end

-- Frames without sound. ADTS: 16 bytes each. MP3: MPEG 1, 128 kbit/s, 44.1 kHz: 417 bytes each.
local ADTS = ("\255\241\96\64\2\0\252" .. ("\0"):rep(9)):rep(3)
local MP3 = ("\255\251\144\0" .. ("\0"):rep(413)):rep(3)
local EBML = "\26\69\223\163\143"

-- Real files: content, then by name.
local REAL = {
  ["slide.png"] = "image/png",
  ["slide.jpg"] = "image/jpeg",
  ["slide.webp"] = "image/webp",
  ["slide.gif"] = "image/gif",
  ["slide.heic"] = "image/heic",
  ["call.mp3"] = "audio/mpeg",
  ["call.wav"] = "audio/wav",
  ["call.flac"] = "audio/flac",
  ["call.ogg"] = "audio/ogg",
  ["call.aac"] = "audio/aac",
  ["call.m4a"] = "audio/m4a",
  ["call.opus"] = "audio/ogg",
  ["call.webm"] = "audio/webm",
  ["demo.mp4"] = "video/mp4",
  ["demo.mov"] = "video/mov",
  ["demo.mkv"] = "video/x-matroska",
  ["demo.webm"] = "video/webm",
  ["demo.avi"] = "video/avi",
  ["broken.mp4"] = "video/mp4",
  ["paper.pdf"] = "application/pdf",
  ["packed.pdf"] = "application/pdf",
}

describe("media.sniff", function()
  for name, mime in pairs(REAL) do
    it("knows " .. name, function()
      assert.equal(mime, (media.sniff(head_of(name))))
    end)
  end

  for what, case in pairs {
    ["GIF of 1987"] = { "GIF87a", "image/gif" },
    ["BMP"] = { "BM\100\0\0\0\0\0\0\0\54\0", "image/bmp" },
    ["TIFF, Intel"] = { "II*\0\8\0\0\0", "image/tiff" },
    ["TIFF, Motorola"] = { "MM\0*\0\0\0\8", "image/tiff" },
    ["HEIC"] = { ftyp("heic", "mif1"), "image/heic" },
    ["HEIC behind the family's brand"] = { ftyp("mif1", "mif1", "heic"), "image/heic" },
    ["AVIF behind the family's brand"] = { ftyp("mif1", "miaf", "avif"), "image/avif" },
    ["HEIF"] = { ftyp("mif1", "miaf"), "image/heif", true },
    ["AVIF"] = { ftyp("avif", "mif1", "miaf"), "image/avif" },
    ["M4A"] = { ftyp("M4A ", "mp42", "isom"), "audio/m4a" },
    ["QuickTime"] = { ftyp("qt  ", "qt  "), "video/mov" },
    ["3GPP"] = { ftyp("3gp5", "isom"), "video/3gpp", true },
    ["MP4"] = { ftyp("isom", "iso2", "avc1"), "video/mp4", true },
    ["HEIF, not HEIC from outside of its box"] = { ftyp("mif1", "miaf") .. "\0\0\0\0heicheic", "image/heif", true },
    ["HEIF with many brands"] = { ("\0\0\1\16ftypmif1\0\0\0\0" .. ("miaf"):rep(63) .. "heic"), "image/heic" },
    ["MP4 with a brand of HEIC"] = { ftyp("mp42", "isom", "heic"), "video/mp4", true },
    ["MP4 with a mad size"] = { "\255\255\255\255ftypisom", "video/mp4", true },
    ["MP3 without a tag"] = { MP3, "audio/mpeg" },
    ["MP3 behind a tag"] = { id3(300) .. MP3, "audio/mpeg" },
    ["AAC"] = { ADTS, "audio/aac" },
    ["AAC behind a tag"] = { id3(300) .. ADTS, "audio/aac" },
    ["AAC with a checksum, MPEG 2"] = { ("\255\248\96\64\2\0\252" .. ("\0"):rep(9)):rep(3), "audio/aac" },
    ["AAC with a checksum, MPEG 4"] = { ("\255\240\96\64\2\0\252" .. ("\0"):rep(9)):rep(3), "audio/aac" },
    ["AAC in long frames"] = { ("\255\241\96\66\2\32\252" .. ("\0"):rep(4106)):rep(2), "audio/aac" },
    ["AAC behind a picture"] = { id3(3000) .. ADTS, "audio/aac" },
    ["a tag with a mad length"] = { "ID3\4\0\0\0\1\0\0" .. ADTS, "audio/mpeg", true },
    ["a tag with a length madder still"] = { "ID3\4\0\0\1\1\0\0" .. ADTS, "audio/mpeg", true },
    ["a tag with a madder length"] = { "ID3\4\0\0\1\0\0\0" .. ADTS, "audio/mpeg", true },
    ["what stands behind a long tag"] = { id3(9000):sub(1, 8192), "audio/mpeg", true },
    ["tags in tags"] = { id3(0):rep(800), "audio/mpeg", true },
    ["a tag that is cut"] = { "ID3\4", "audio/mpeg", true },
    ["AIFF"] = { "FORM\0\0\0\0AIFFCOMM", "audio/aiff" },
    ["AIFC"] = { "FORM\0\0\0\0AIFCFVER", "audio/aiff" },
    ["WAV above 4 GB"] = { "RF64\255\255\255\255WAVEds64", "audio/wav" },
    ["Theora"] = { "OggS\0\2" .. ("\0"):rep(20) .. "\1\42\128theora\3\2\1", "video/ogg" },
    ["Opus"] = { "OggS\0\2" .. ("\0"):rep(20) .. "\1\19OpusHead", "audio/ogg" },
    ["WebM with pictures after sound"] = { EBML .. "\66\130\132webm..\134\134A_OPUS..\134\133V_VP9", "video/webm" },
    ["WebM with sound"] = { EBML .. "\66\130\132webm..\134\134A_OPUS..V_VP9", "audio/webm" },
    ["WebM whose tracks come late"] = { EBML .. "\66\130\132webm....", "video/webm", true },
    ["Matroska"] = { EBML .. "\66\130\136matroska..webm\134\133V_VP9", "video/x-matroska" },
    ["FLV"] = { "FLV\1\5\0\0\0\9", "video/x-flv" },
    ["ASF"] = { "\48\38\178\117\142\102\207\17\166\217\0\170\0\98\206\108", "video/wmv", true },
    ["MPEG"] = { "\0\0\1\186\68\0", "video/mpeg" },
    ["PDF"] = { "%PDF-1.7\n", "application/pdf" },
    ["RTF"] = { "{\\rtf1\\ansi", "text/rtf" },
  } do
    it("knows " .. what, function()
      local mime, general = media.sniff(case[1])
      assert.equal(case[2], mime)
      assert.equal(case[3] or false, general or false)
    end)
  end

  for what, head in pairs {
    ["nothing"] = "",
    ["text"] = "Hello, world\n",
    ["JSON"] = '{"a":1}',
    ["text in UTF-16"] = "\255\254H\0e\0l\0l\0o\0" .. ("x\0"):rep(2000),
    ["a lone sync word of MP3"] = MP3:sub(1, 417),
    ["MP3 whose next frame is not there"] = MP3:sub(1, 417) .. "\255\250\0\0",
    ["MP3 with a bit rate that does not exist"] = ("\255\251\240\0" .. ("\0"):rep(413)):rep(3),
    ["MP3 with a rate that does not exist"] = ("\255\251\156\0" .. ("\0"):rep(413)):rep(3),
    ["MPEG audio of layer 2"] = ("\255\253\144\0" .. ("\0"):rep(413)):rep(3),
    ["a lone frame of AAC"] = ADTS:sub(1, 16),
    ["AAC but for its layer"] = ("\255\242\96\64\2\0\252" .. ("\0"):rep(9)):rep(3),
    ["MP3 but for its first bits"] = ("\255\219\144\0" .. ("\0"):rep(413)):rep(3),
    ["AAC with frames of no length"] = ("\255\241\96\64\0\0\0"):rep(9),
    ["all bits set"] = ("\255"):rep(8192),
    ["RIFF of another kind"] = "RIFF\0\0\0\0ACON",
    ["IFF of another kind"] = "FORM\0\0\0\0ILBM",
    ["BM, a word"] = "BM is a word of two letters",
    ["PNG but for a byte"] = "\137PNG\n\26\n",
  } do
    it("does not know " .. what, function()
      assert.is_nil((media.sniff(head)))
    end)
  end

  -- Bytes of an MP3 frame, as the standard has them: first by the number of the bit rate, then by the sampling rate.
  for version, case in pairs {
    [251] = { { 104, 130, 156, 182, 208, 261, 313, 365, 417, 522, 626, 731, 835, 1044 }, 9, { 417, 384, 576 } },
    [243] = { { 26, 52, 78, 104, 130, 156, 182, 208, 261, 313, 365, 417, 470, 522 }, 12, { 417, 384, 576 } },
    [227] = { { 52, 104, 156, 208, 261, 313, 365, 417, 522, 626, 731, 835, 940, 1044 }, 12, { 835, 768, 1152 } },
  } do
    local function frames(bits, hertz, padding, length)
      local header = string.char(255, version, bits * 16 + hertz * 4 + padding * 2, 0)
      return (header .. ("\0"):rep(length - 4)):rep(2)
    end

    it("finds the next frame of MP3, second byte " .. version, function()
      for bits, length in ipairs(case[1]) do
        assert.equal("audio/mpeg", (media.sniff(frames(bits, 0, 0, length))))
        assert.equal("audio/mpeg", (media.sniff(frames(bits, 0, 1, length + 1))))
        assert.is_nil((media.sniff(frames(bits, 0, 0, length + 1))))
        assert.is_nil((media.sniff(frames(bits, 0, 1, length))))
      end
      for i, length in ipairs(case[3]) do
        assert.equal("audio/mpeg", (media.sniff(frames(case[2], i - 1, 0, length))))
      end
    end)
  end

  it("makes do with heads of any length", function()
    for name in pairs(REAL) do
      local head = head_of(name)
      for length = 0, 64 do
        media.sniff(head:sub(1, length))
      end
    end
  end)
end)

describe("media.from_name", function()
  for name, mime in pairs {
    ["a.png"] = "image/png",
    ["PHOTO.JPEG"] = "image/jpeg",
    ["a.jpg"] = "image/jpeg",
    ["dir.png/b.mp3"] = "audio/mpeg",
    ["日本語 ファイル.png"] = "image/png",
    ["a.tar.mov"] = "video/mov",
    ["a.mp4"] = "video/mp4",
    ["a.webm"] = "video/webm",
    ["a.m4a"] = "audio/m4a",
    ["a.avi"] = "video/avi",
    ["a.mpg"] = "video/mpg",
    ["a.ts"] = "video/mp2t",
    ["a.3gp"] = "video/3gpp",
    ["a.heic"] = "image/heic",
    ["a.txt"] = "text/plain",
    ["a.md"] = "text/markdown",
    ["a.HTML"] = "text/html",
    ["a.csv"] = "text/csv",
    ["a.json"] = "application/json",
    ["a.jsonl"] = "text/plain",
    ["a.py"] = "text/x-python",
    [".png"] = "image/png",
  } do
    it("knows " .. name, function()
      assert.equal(mime, media.from_name(name))
    end)
  end

  for _, name in ipairs { "README", "a.", "a.bin", "dir.png/README", "a.png ", "png", "" } do
    it(("does not know %q"):format(name), function()
      assert.is_nil(media.from_name(name))
    end)
  end

  it("says documented types, and the few others on purpose", function()
    local documented = {}
    for _, mime in ipairs(media.DOCUMENTED) do
      documented[mime] = true
    end
    local others = {}
    for extension in media.known():gmatch "[%w]+%f[,;%z]" do
      local mime = media.from_name("a." .. extension)
      if not documented[mime] then
        others[#others + 1] = mime
      end
    end
    table.sort(others)
    assert.same({ "audio/m4a", "audio/mpeg", "audio/x-ms-wma", "image/avif", "image/bmp", "image/gif", "image/tiff",
      "image/tiff", "video/mp2t", "video/ogg", "video/x-matroska" }, others)
  end)
end)

describe("media.type_of", function()
  for name, mime in pairs(REAL) do
    it("tells " .. name .. " by name and contents, and by contents alone", function()
      assert.equal(mime, (media.type_of { name = name, head = head_of(name) }))
      assert.equal(mime, (media.type_of { head = head_of(name) }))
    end)
  end

  for _, case in ipairs {
    -- name, head, type
    { "a.txt", "Hello", "text/plain" },
    { "a.png", "unknown bytes", "image/png" },
    { "a.png", "", "image/png" },
    { "a.png", nil, "image/png" },
    { "README", "%PDF-1.7", "application/pdf" },
    { nil, "%PDF-1.7", "application/pdf" },
    { "a.m4a", ftyp("isom", "mp42"), "audio/m4a" },
    { "a.m4a", ftyp("M4A ", "isom"), "audio/m4a" },
    { "a.mp4", ftyp("M4A ", "isom"), "audio/m4a" },
    { "a.mp4", ftyp("qt  ", "qt  "), "video/mov" },
    { "a.mp4", ftyp("3gp4", "isom"), "video/mp4" },
    { "a.mov", ftyp("isom", "mp42"), "video/mov" },
    { "a.m4v", ftyp("isom", "mp42"), "video/mp4" },
    { "a.3gp", ftyp("isom", "mp42"), "video/3gpp" },
    { "a.heic", ftyp("mif1", "miaf"), "image/heic" },
    { "a.heif", ftyp("heic", "mif1"), "image/heic" },
    { "a.ogg", "OggS..\128theora", "video/ogg" },
    { "a.ogv", "OggS..\128theora", "video/ogg" },
    { "a.opus", "OggS..OpusHead", "audio/ogg" },
    { "a.mkv", EBML .. "\66\130\132webm\134\133V_VP9", "video/webm" },
    { "a.mpg", "\0\0\1\186", "video/mpeg" },
    { "a.wma", "\48\38\178\117\142\102\207\17", "audio/x-ms-wma" },
    { "a.aac", id3(9000):sub(1, 8192), "audio/aac" },
  } do
    it(("is %s for %s"):format(case[3], tostring(case[1])), function()
      local mime, err = media.type_of { name = case[1], head = case[2] }
      assert.equal(case[3], mime)
      assert.is_nil(err)
    end)
  end

  it("believes an explicit type", function()
    assert.equal("image/png", (media.type_of { name = "a.txt", head = "%PDF-1.7", mime_type = "image/png" }))
    assert.equal("audio/L16;codec=pcm;rate=24000", (media.type_of { mime_type = "audio/L16;codec=pcm;rate=24000" }))
    assert.equal("jsonl", (media.type_of { mime_type = "jsonl" }))
  end)

  local function refused(given)
    local mime, err = media.type_of(given)
    assert.is_nil(mime)
    assert.is_true(errors.is(err))
    assert.equal("invalid", err.kind)
    return err
  end

  it("refuses an explicit type that could not be a header", function()
    for _, mime in ipairs { "", " ", " image/png", "image/png\r\nX-Evil: 1", "image/png\0", "image/\233" } do
      refused { name = "a.png", mime_type = mime }
    end
  end)

  for _, case in ipairs {
    { "slide.png", "slide.jpg", "image/jpeg", "image/png" },
    { "slide.txt", "slide.png", "image/png", "text/plain" },
    { "call.mp3", "call.wav", "audio/wav", "audio/mpeg" },
    { "call.flac", "call.mp3", "audio/mpeg", "audio/flac" },
    { "call.mp3", "call.webm", "audio/webm", "audio/mpeg" },
    { "demo.mp4", "demo.avi", "video/avi", "video/mp4" },
    { "demo.m4a", "demo.mov", "video/mov", "audio/m4a" },
    { "slide.heic", "demo.mp4", "video/mp4", "image/heic" },
    { "paper.json", "paper.pdf", "application/pdf", "application/json" },
  } do
    it(("refuses %s that holds %s"):format(case[1], case[3]), function()
      local err = refused { name = case[1], head = head_of(case[2]) }
      assert.equal(("%s holds %s, but its name says %s"):format(case[1], case[3], case[4]), err.message)
      assert.equal("rename it, or pass mime_type", err.hint)
    end)
  end

  it("lists what is known where there is no telling", function()
    local err = refused { name = "dir/data.bin", head = "\1\2\3" }
    assert.equal("the type of dir/data.bin cannot be told", err.message)
    assert.is_truthy(err.hint:find("pass mime_type", 1, true))
    for _, extension in ipairs { "png", "mp3", "webm", "pdf", "md" } do
      assert.is_truthy(err.hint:find("%f[%w]" .. extension .. "%f[%W]"), extension)
    end
    err = refused { head = "\1\2\3" }
    assert.equal("the type of the data cannot be told", err.message)
  end)
end)

describe("media.known", function()
  it("lists extensions by kind, in order", function()
    local order = "^images: avif, bmp, gif, .*; audio: aac, .*; video: 3gp, .*; documents and text: css, "
    assert.is_truthy(media.known():find(order))
  end)
end)

describe("media.is_video", function()
  it("goes by the first half of the type", function()
    assert.is_true(media.is_video "video/mp4")
    assert.is_true(media.is_video "Video/MP4")
    assert.is_false(media.is_video "audio/video")
    assert.is_false(media.is_video "videos")
  end)
end)

describe("media.looks_like_base64", function()
  for _, text in ipairs { "iVBORw0KGgoAAAANSUhEUgAA", "/9j/4AAQSkZJRgABAQAAAQABAAD", "UklGRiQAAABXRUJQVlA4",
    "SUQzBAAAAAAA", "R0lGODlhAQABAIAA", "iVBORw0KGgo=", "iVBORw0KGgoAAAANSUhEUgAA\r\nAAAAAAAA\r\n", "/9j/4AAQ-_" } do
    it("sees it in " .. text:sub(1, 12), function()
      assert.is_true(media.looks_like_base64(text))
    end)
  end

  it("sees none in media, text and the like", function()
    for name in pairs(REAL) do
      assert.is_false(media.looks_like_base64(head_of(name)))
    end
    for _, data in ipairs { "", "Hello", "iVBORw0", "SUQz is how an MP3 begins in base64", "/9j/ and more",
      "xiVBORw0KGgo", "iVBORw0K" .. ("A"):rep(40) .. "\0" } do
      assert.is_false(media.looks_like_base64(data))
    end
  end)

  it("looks at the beginning only", function()
    assert.is_true(media.looks_like_base64("R0lGOD" .. ("A"):rep(1000000) .. " "))
  end)
end)
