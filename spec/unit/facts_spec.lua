local binary = require "lgemini.binary"
local errors = require "lgemini.errors"
local media = require "lgemini.media"
local media_facts = require "lgemini.media_facts"

local FIXTURES = "spec/fixtures/"

local function content(name)
  local file = assert(io.open(FIXTURES .. name, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

-- The facts of bytes, and how many of them were read, and how often.
local function facts_of(bytes, mime_type)
  local read, times = 0, 0
  local src = binary.bytes(#bytes, function(offset, n)
    assert(offset >= 0 and n > 0 and offset < #bytes, "nothing is read where nothing is")
    local piece = bytes:sub(offset + 1, offset + n)
    read, times = read + #piece, times + 1
    return piece
  end)
  local facts, err = media_facts.of(src, mime_type or "application/octet-stream")
  return facts, err, read, times
end

local function refused(bytes, message, mime_type)
  local facts, err = facts_of(bytes, mime_type)
  assert.is_nil(facts)
  assert.equal("invalid", err.kind)
  assert.equal(message, err.message)
end

-- Numbers in bytes.
local function be(n, value)
  local bytes = {}
  for i = n, 1, -1 do
    bytes[i] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(bytes)
end

local function le(n, value) return be(n, value):reverse() end

local function box(name, ...)
  local inside = table.concat { ... }
  return be(4, 8 + #inside) .. name .. inside
end

local function chunk(name, inside, size)
  return name .. le(4, size or #inside) .. inside .. ("\0"):rep(#inside % 2)
end

-- By hand: how large spec/fixtures/make makes the pictures, and how long ffprobe 5.1.9 finds the sounds. Where it
-- guesses (AAC) or counts what is not heard (Opus), what decoding it gives.
local REAL = {
  ["slide.png"] = { kind = "image", width = 640, height = 360 },
  ["slide.jpg"] = { kind = "image", width = 640, height = 360 },
  ["slide.webp"] = { kind = "image", width = 640, height = 360 },
  ["slide.gif"] = { kind = "image", width = 640, height = 360 },
  ["slide.heic"] = { kind = "image", width = 640, height = 360 },
  ["call.wav"] = { kind = "audio", audio_seconds = 5.8314375 },
  ["call.flac"] = { kind = "audio", audio_seconds = 5.8314375 },
  ["call.ogg"] = { kind = "audio", audio_seconds = 5.8314375 },
  ["call.opus"] = { kind = "audio", audio_seconds = 5.8314375 },
  ["call.mp3"] = { kind = "audio", audio_seconds = 5.904 },
  ["call.aac"] = { kind = "audio", audio_seconds = 5.952 },
  ["call.m4a"] = { kind = "audio", audio_seconds = 5.832 },
  ["call.webm"] = { kind = "audio", audio_seconds = 5.839 },
  ["demo.mp4"] = { kind = "video", seconds = 2, audio_seconds = 2 },
  ["demo.mov"] = { kind = "video", seconds = 2, audio_seconds = 2 },
  ["demo.mkv"] = { kind = "video", seconds = 2.064, audio_seconds = 2.064 },
  ["demo.webm"] = { kind = "video", seconds = 2.032, audio_seconds = 2.032 },
  ["demo.avi"] = { kind = "video", seconds = 2.1, audio_seconds = 2.088 },
  ["paper.pdf"] = { kind = "document", pages = 1 },
  ["packed.pdf"] = { kind = "document", pages = 1 },
}

describe("the facts of", function()
  for name, wanted in pairs(REAL) do
    it(name, function()
      local facts, err = facts_of(content(name))
      assert.is_nil(err)
      for _, field in ipairs { "kind", "width", "height", "pages" } do
        assert.equal(wanted[field], facts[field])
      end
      for _, field in ipairs { "seconds", "audio_seconds" } do
        if wanted[field] then
          assert.near(wanted[field], facts[field], 1e-6)
        else
          assert.is_nil(facts[field])
        end
      end
    end)
  end

  it("a video that breaks off are none", function()
    refused(content "broken.mp4", "ends within its mdat box")
  end)

  it("what has no reader, what is not known, and nothing are none", function()
    refused("FLV\1" .. ("\0"):rep(100), "is video/x-flv, which is not read here")
    refused("anything", "is application/octet-stream, which is not read here")
    refused("", "ends early, at byte 0", "image/png")
  end)

  it("other names of a type are those of the type", function()
    local facts = assert(facts_of("junk in front" .. content "call.mp3", "audio/mp3"))
    assert.near(5.904, facts.audio_seconds, 1e-6)
  end)
end)

describe("images", function()
  local function size(bytes)
    local facts = assert(facts_of(bytes))
    assert.equal("image", facts.kind)
    return facts.width .. "x" .. facts.height
  end

  local PNG = "\137PNG\r\n\26\n"

  it("PNG", function()
    assert.equal("70000x3", size(PNG .. be(4, 13) .. "IHDR" .. be(4, 70000) .. be(4, 3)))
    refused(PNG .. be(4, 13) .. "IDAT" .. be(4, 1) .. be(4, 1), "has no header of a PNG")
    refused(PNG .. be(4, 13) .. "IHDR" .. be(4, 1), "ends early, at byte 20")
    refused(PNG .. be(4, 13) .. "IHDR" .. be(4, 0) .. be(4, 3), "does not say how large its image is")
    refused(PNG .. be(4, 13) .. "IHDR" .. be(4, 2 ^ 31) .. be(4, 3), "does not say how large its image is")
  end)

  it("GIF", function()
    assert.equal("513x2", size("GIF87a" .. le(2, 513) .. le(2, 2)))
  end)

  it("JPEG: the frame may stand behind large segments, and there are many kinds of it", function()
    local exif = "\255\225" .. be(2, 65000) .. ("x"):rep(64998)
    local frame = be(2, 17) .. "\8" .. be(2, 40) .. be(2, 50) .. "\3"
    for _, marker in ipairs { 192, 194, 201, 207 } do
      assert.equal("50x40", size("\255\216" .. exif .. exif .. "\255\255" .. string.char(255, marker) .. frame))
    end
    local table_of_codes = "\255\196" .. be(2, 9) .. "\8" .. be(2, 1) .. be(2, 1) .. "\1x"
    for _, marker in ipairs { "\196", "\200", "\204" } do
      assert.equal("50x40", size("\255\216" .. table_of_codes:gsub("\196", marker) .. "\255\192" .. frame))
    end
    refused("\255\216\255\196" .. be(2, 4) .. "xx\255\218\0\2", "has no frame of a JPEG")
    refused("\255\216\255\224\0\0\0\0\0\0", "has no frame of a JPEG")
    refused("\255\216\255\224" .. be(2, 500) .. "short", "ends early, at byte 11")
  end)

  it("WebP: lossy, lossless, extended", function()
    local function webp(...) return chunk("RIFF", "WEBP" .. chunk(...)) end
    assert.equal("300x200", size(webp("VP8 ", "\0\0\0\157\1\42" .. le(2, 300) .. le(2, 200))))
    -- 14 bits of width - 1, 14 bits of height - 1
    assert.equal("300x200", size(webp("VP8L", "\47" .. le(4, 299 + 199 * 16384))))
    assert.equal("300x200", size(webp("VP8X", "\0\0\0\0" .. le(3, 299) .. le(3, 199))))
    refused(webp("VP8 ", "\0\0\0\1\1\42" .. le(2, 300) .. le(2, 200)), "has no frame of a WebP")
    refused(webp("ALPH", ("\0"):rep(20)), "has no frame of a WebP")
  end)

  -- Items 1 (a thumbnail) and another; properties: a third thing, the size of item 1, that of the other.
  local function heic(main, wide, other)
    other = other or main
    local list = wide and function(...) return be(2, 32768 + ...) end or string.char
    return box("ftyp", "heic\0\0\0\0mif1heic") .. box("meta", "\0\0\0\0", box("hdlr", ("\0"):rep(20)),
      box("pitm", main > 65535 and "\1\0\0\0" .. be(4, main) or "\0\0\0\0" .. be(2, main)),
      box("iprp",
        box("ipco", box("hvcC", "config"), box("ispe", "\0\0\0\0" .. be(4, 160) .. be(4, 120)),
          box("ispe", "\0\0\0\0" .. be(4, 4000) .. be(4, 3000))),
        box("ipma", wide and "\1\0\0\1" or "\0\0\0\0", be(4, 2),
          be(wide and 4 or 2, 1) .. "\1" .. list(2), be(wide and 4 or 2, other) .. "\1" .. list(3))))
  end

  it("HEIC: the main image, not the thumbnail, nor a tile", function()
    assert.equal("4000x3000", size(heic(2)))
    assert.equal("4000x3000", size(heic(70000, true)))
    assert.equal("160x120", size(heic(1, false, 2)))
    refused((heic(2):gsub("ispe", "free")), "does not say how large its image is")
    refused(box("ftyp", "heic\0\0\0\0mif1heic") .. box("mdat", "x"), "has no list of its images")
  end)
end)

describe("sounds", function()
  local function seconds(bytes, mime_type)
    local facts, err = facts_of(bytes, mime_type)
    assert.is_nil(err)
    assert.same({ kind = "audio", audio_seconds = facts.audio_seconds }, facts)
    return facts.audio_seconds
  end

  local FORMAT = chunk("fmt ", le(2, 1) .. le(2, 1) .. le(4, 8000) .. le(4, 16000) .. le(2, 2) .. le(2, 16))
  local DS64 = chunk("ds64", le(8, 9e9) .. le(8, 24000) .. le(8, 0) .. le(4, 0))

  it("WAV: what is there, whatever the header says; chunks of odd sizes; sizes of 64 bits", function()
    local sound = ("\0"):rep(24000)
    assert.equal(1.5, seconds("RIFF\0\0\0\0WAVE" .. FORMAT .. chunk("LIST", "odd") .. chunk("data", sound)))
    -- not known yet while it was recorded
    assert.equal(1.5, seconds("RIFF\0\0\0\0WAVE" .. FORMAT .. chunk("data", sound, 4294967295)))
    assert.equal(1.5, seconds("RF64\255\255\255\255WAVE" .. DS64 .. FORMAT
      .. chunk("data", sound .. "more", 4294967295)))
    -- packed: 16,000 samples, whatever the bytes a second
    local adpcm = chunk("fmt ", le(2, 2) .. le(2, 1) .. le(4, 8000) .. le(4, 4000) .. le(2, 256) .. le(2, 4))
    assert.equal(2, seconds("RIFF\0\0\0\0WAVE" .. adpcm .. chunk("fact", le(4, 16000)) .. chunk("data", sound)))
    refused("RIFF\0\0\0\0WAVE" .. adpcm .. chunk("data", sound), "does not say how long it is")
    refused("RIFF\0\0\0\0WAVE" .. FORMAT, "has no sound in it")
    refused("RIFF\0\0\0\0WAVE" .. chunk("data", sound), "does not say how many bytes a second has")
    refused("RIFF\0\0\0\0WAVE" .. FORMAT .. chunk("data", ""), "does not say how long it is")
  end)

  it("AIFF", function()
    -- 44,100 as a float of 80 bits: 2^15 * 1.345..., exponent 16383 + 15.
    local common = be(2, 2) .. be(4, 88200) .. be(2, 16) .. "\64\14\172\68\0\0\0\0\0\0"
    assert.equal(2, seconds("FORM" .. be(4, 30) .. "AIFFCOMM" .. be(4, 18) .. common))
    refused("FORM" .. be(4, 30) .. "AIFFCOMM" .. be(4, 18) .. ("\0"):rep(18),
      "does not say how many samples a second has")
  end)

  -- Frames without sound. MPEG 1, 128 kbit/s, 44.1 kHz: 417 bytes each, 1,152 samples. ADTS, 16 kHz: 16 bytes, 1,024.
  local MP3, ADTS = "\255\251\144\0" .. ("\0"):rep(413), "\255\241\96\64\2\0\252" .. ("\0"):rep(9)
  local TAG = "ID3\4\0\0\0\0\2\0" .. ("\0"):rep(256)

  it("MP3: frames are counted where the first does not tell their number", function()
    assert.near(100 * 1152 / 44100, seconds(MP3:rep(100)), 1e-9)
    assert.near(100 * 1152 / 44100, seconds(TAG .. TAG .. MP3:rep(100) .. "TAG" .. ("x"):rep(125)), 1e-9)
    -- put together of several, each with its tags, one of them a large one
    local large = "ID3\4\0\0\0\5\0\0" .. ("\0"):rep(5 * 16384)
    assert.near(90 * 1152 / 44100, seconds((TAG .. MP3:rep(30) .. "TAG" .. ("x"):rep(125)):rep(2) .. large
      .. MP3:rep(30) .. "APETAGEX" .. ("x"):rep(100000)), 1e-9)
    -- junk in between
    assert.near(100 * 1152 / 44100, seconds(MP3:rep(50) .. ("junk\255"):rep(99) .. MP3:rep(50)), 1e-9)
    -- frames of another length: 64 kbit/s have 208 bytes
    assert.near(20 * 1152 / 44100, seconds(MP3:rep(10) .. ("\255\251\80\0" .. ("\0"):rep(204)):rep(10)), 1e-9)
    -- MPEG 2, 22.05 kHz, 64 kbit/s: 208 bytes, 576 samples
    assert.near(10 * 576 / 22050, seconds(("\255\243\128\0" .. ("\0"):rep(204)):rep(10)), 1e-9)
  end)

  it("MP3: what the first frame tells, while the file is as long as it says", function()
    -- behind 32 bytes of side information: frames, and bytes of all
    local function xing(frames, bytes)
      return "\255\251\144\0" .. ("\0"):rep(32) .. "Xing" .. be(4, 3) .. be(4, frames) .. be(4, bytes)
        .. ("\0"):rep(417 - 52)
    end
    assert.near(5000 * 1152 / 44100, seconds(xing(5000, 4170) .. MP3:rep(9)), 1e-9)
    -- cut: the frames that are there count, with the one that tells
    assert.near(10 * 1152 / 44100, seconds(xing(5000, 4171) .. MP3:rep(9)), 1e-9)
    local vbri = "\255\251\144\0" .. ("\0"):rep(32) .. "VBRI" .. ("\0"):rep(6) .. be(4, 834) .. be(4, 700)
      .. ("\0"):rep(417 - 54)
    assert.near(700 * 1152 / 44100, seconds(vbri .. MP3), 1e-9)
  end)

  it("MP3 without a frame", function()
    refused("ID3\4\0\0\0\0\0\4junk" .. ("\255"):rep(1000), "has no frame of an MP3")
    refused(MP3:rep(3) .. ("\1"):rep(70000), "is broken at byte 1251")
  end)

  it("AAC: every frame", function()
    assert.near(1000 * 1024 / 16000, seconds(ADTS:rep(1000)), 1e-9)
    assert.near(7 * 1024 / 16000, seconds(TAG .. ADTS:rep(7), "audio/aac"), 1e-9)
    -- three blocks in a frame
    assert.near(3 * 5 * 1024 / 16000, seconds(("\255\241\96\64\2\0\254" .. ("\0"):rep(9)):rep(5)), 1e-9)
  end)

  -- 48 kHz in 20 bits, 2 channels, 16 bits, samples in 36.
  local function flac(samples)
    return "fLaC\0\0\0\34" .. ("\0"):rep(10) .. be(3, 48000 * 16 + 2)
      .. be(5, 15 * 2 ^ 36 + samples) .. ("\0"):rep(16)
  end

  it("FLAC: 36 bits of samples; a tag in front", function()
    assert.near((2 ^ 33 + 24000) / 48000, seconds(flac(2 ^ 33 + 24000)), 1e-9)
    assert.near(0.5, seconds(TAG .. flac(24000)), 1e-9)
    refused(flac(0), "does not say how long it is")
    refused("fLaC\4\0\0\34" .. ("\0"):rep(34), "has no header of a FLAC")
  end)

  -- A page: flags, position, stream, one packet.
  local function page(flags, position, stream, packet)
    return "OggS\0" .. string.char(flags) .. (position and le(8, position) or ("\255"):rep(8)) .. stream
      .. ("\0"):rep(8) .. "\1" .. string.char(#packet) .. packet
  end
  local VORBIS = "\1vorbis" .. le(4, 0) .. "\1" .. le(4, 8000) .. ("\0"):rep(14)
  local OPUS = "OpusHead\1\1" .. le(2, 312) .. le(4, 8000) .. "\0\0\0"

  it("Ogg: the last page of the stream on which something ends", function()
    assert.near(2, seconds(page(2, 0, "abcd", VORBIS) .. page(0, 8000, "abcd", "x") .. page(0, 16000, "abcd", "x")
      .. page(4, nil, "abcd", "y")), 1e-9)
    assert.near(1, seconds(page(2, 0, "abcd", OPUS) .. page(4, 48312, "abcd", "x")), 1e-9)
    assert.near(3, seconds(page(2, 0, "abcd", "\127FLAC\1\0\0\1" .. flac(0)) .. page(4, 144000, "abcd", "x")), 1e-9)
    -- beside another stream, and with much behind the page that counts
    assert.near(1, seconds(page(2, 0, "skel", "fishead\0") .. page(2, 0, "abcd", VORBIS)
      .. page(0, 8000, "abcd", "x") .. page(4, 99999, "skel", "x"):rep(4000)), 1e-9)
  end)

  it("Ogg with what is not read", function()
    refused(page(2, 0, "abcd", "Speex   "), "holds no Vorbis, Opus or FLAC")
    refused(page(2, 0, "abcd", VORBIS) .. page(4, 8000, "abcd", "x") .. page(2, 0, "efgh", VORBIS)
      .. page(4, 8000, "efgh", "x"), "has several sounds, one behind the other")
    refused(page(2, 0, "abcd", VORBIS), "does not say how long it is")
    refused(page(2, 0, "abcd", "\128theora"), "is video/ogg, which is not read here")
  end)
end)

describe("MP4 and its kin", function()
  local FTYP = box("ftyp", "isom\0\0\2\0isomiso2")

  -- Times of a box with a version: two dates, then the rest.
  local function dated(name, long, ...)
    local rest = {}
    for i, value in ipairs { ... } do
      rest[i] = type(value) == "string" and value or be(long and value[2] and 8 or 4, value[1])
    end
    return box(name, long and "\1\0\0\0" or "\0\0\0\0", ("\0"):rep(long and 16 or 8), table.concat(rest))
  end
  local function mvhd(scale, duration, long) return dated("mvhd", long, { scale }, { duration, true }) end
  local function track(kind, duration, long, media_scale, media_duration)
    return box("trak", dated("tkhd", long, { 1 }, { 0 }, { duration, true }), box("mdia",
      dated("mdhd", long, { media_scale or 1 }, { media_duration or 0, true }),
      box("hdlr", "\0\0\0\0\0\0\0\0", kind, ("\0"):rep(12))))
  end
  local function movie(...) return FTYP .. box("mdat", "pictures") .. box("moov", ...) end

  it("have their tracks' times, of 32 and of 64 bits", function()
    for _, long in ipairs { false, true } do
      assert.same({ kind = "video", seconds = 12.5, audio_seconds = 12 },
        (facts_of(movie(mvhd(1000, 12500, long), track("vide", 12500, long), track("soun", 12000, long),
          track("text", 99000, long)))))
    end
    assert.same({ kind = "video", seconds = 3 }, (facts_of(movie(mvhd(600, 1800), track("vide", 1800)))))
    assert.same({ kind = "audio", audio_seconds = 3 }, (facts_of(movie(mvhd(600, 1800), track("soun", 1800)))))
  end)

  it("have the time of the media where the track does not say it", function()
    assert.same({ kind = "video", seconds = 4, audio_seconds = 2 }, (facts_of(movie(mvhd(1000, 0),
      track("vide", 0, false, 25, 100), track("soun", 4294967295, false, 8000, 16000)))))
  end)

  it("have the time of all fragments where they are made of them", function()
    local tracks = track("vide", 0) .. track("soun", 0)
    assert.same({ kind = "video", seconds = 7, audio_seconds = 7 },
      (facts_of(movie(mvhd(1000, 0), tracks, box("mvex", box("mehd", "\0\0\0\0" .. be(4, 7000)))))))
    -- and no less than that where the first of them are in the index itself
    assert.same({ kind = "video", seconds = 7 }, (facts_of(movie(mvhd(1000, 900), track("vide", 900),
      box("mvex", box("mehd", "\0\0\0\0" .. be(4, 7000)))))))
    refused(movie(mvhd(1000, 0), tracks, box("mvex", box("trex", ("\0"):rep(24)))), "does not say how long it is")
  end)

  it("have the times of their fragments one by one, where the index does not say it", function()
    local function word(...)
      local out = {}
      for i, value in ipairs { ... } do out[i] = be(4, value) end
      return table.concat(out)
    end
    -- a track of 25 units a second, whose samples take 1 where nothing else is said
    local trex = box("mvex", box("trex", word(0, 1, 1, 1, 0, 0)))
    local front = movie(mvhd(1000, 0), track("vide", 0, false, 25, 0), trex)
    local function moof(...) return box("moof", box("traf", ...)) .. box("mdat", "picture") end
    local function seconds(...) return assert(facts_of(front .. table.concat { ... })).seconds end
    -- runs: flags, count, and what these say
    local plain = box("trun", word(0, 50))
    assert.equal(2, seconds(moof(box("tfhd", word(0, 1)), plain)))
    assert.equal(4, seconds(moof(box("tfhd", word(0, 1)), plain), moof(box("tfhd", word(0, 1)), plain)))
    -- its own length of a sample, behind an offset of eight bytes and a number
    assert.equal(6, seconds(moof(box("tfhd", word(11, 1, 0, 0, 1, 3)), plain)))
    -- a length, a size and flags of each, behind an offset and the flags of the first
    assert.equal(30 / 25, seconds(moof(box("tfhd", word(0, 1)), box("trun", word(0x705, 2, 9, 9, 10, 9, 9, 20, 9, 9)))))
    -- from a time on: the last piece counts, wherever it stands
    local late = moof(box("tfhd", word(0, 1)), box("tfdt", word(0, 200)), plain)
    assert.equal(10, seconds(late))
    assert.equal(10, seconds(late, moof(box("tfhd", word(0, 1)), box("tfdt", word(0, 100)), plain)))
    assert.equal(10, seconds(moof(box("tfhd", word(0, 1)), box("tfdt", "\1\0\0\0" .. be(8, 200)), plain)))
    -- of another track
    refused(front .. moof(box("tfhd", word(0, 7)), plain), "does not say how long it is")
    -- behind what the index has
    local some = movie(mvhd(1000, 800), track("vide", 800, false, 25, 20), trex)
    assert.equal(70 / 25, assert(facts_of(some .. moof(box("tfhd", word(0, 1)), plain))).seconds)
    local endless = front .. moof(box("tfhd", word(0, 1)), box("trun", word(0x100, 1e9, 1)))
    refused(endless, "ends early, at byte " .. #endless)
  end)

  it("may have a last box that goes up to the end", function()
    local index = box("moov", mvhd(600, 1800), track("vide", 1800))
    assert.same({ kind = "video", seconds = 3 }, (facts_of(FTYP .. "\0\0\0\0" .. index:sub(5))))
  end)

  it("that are broken", function()
    refused(FTYP .. box("mdat", "pictures"), "has no index (moov box)")
    refused(movie(track("vide", 0)), "has an index without a header")
    refused(movie(mvhd(1000, 0)), "does not say how long it is")
    refused(movie(mvhd(1000, 0), track("text", 1):rep(101)), "has more than 100 tracks")
    refused(FTYP .. "\0\0\0\7junk", "is broken at byte 24")
    refused(FTYP .. "\0\0\4\0moovmore", "ends within its moov box")
    refused(FTYP .. box("moov", "\0\0\4\0mvhd"), "ends within its mvhd box")
  end)

  it("are jumped through: an index behind ten gigabytes takes a few reads", function()
    local index = box("moov", mvhd(1000, 5000), track("vide", 5000))
    local front = FTYP .. be(4, 1) .. "mdat" .. be(8, 1e10)
    local at, times, read = #FTYP + 1e10, 0, 0
    local facts = assert(media_facts.of(binary.bytes(at + #index, function(offset, n)
      local whole = offset < at and front .. ("\0"):rep(math.max(0, offset + n - #front)) or index
      local from = offset < at and offset or offset - at
      local piece = whole:sub(from + 1, from + n)
      times, read = times + 1, read + #piece
      return piece
    end), "video/mp4"))
    assert.equal(5, facts.seconds)
    assert.is_true(times <= 4 and read < 100000, times .. " reads, " .. read .. " bytes")
  end)
end)

describe("WebM and Matroska", function()
  it("without a duration have the time of their last block", function()
    -- what was the duration becomes a void of the same length
    local live, n = content("call.webm"):gsub("\68\137\136(........)", "\236\137\0%1")
    assert.equal(1, n)
    local facts = assert(facts_of(live))
    assert.equal("audio", facts.kind)
    assert.near(5.83, facts.audio_seconds, 0.02) -- a block has 20 ms
  end)

  local HEADER = "\26\69\223\163\135\66\130\132webm"
  local INFO = "\21\73\169\102\134\42\215\177\130\7\208" -- 2,000 ns a unit
  local TRACKS = "\22\84\174\107\133\174\131\131\129\1" -- one, with pictures

  it("may hold segments and clusters that do not know their size", function()
    local unknown = "\1" .. ("\255"):rep(7)
    local cluster = "\31\67\182\117" .. unknown .. "\231\131\15\66\64" -- from 1,000,000 units on
    local block = "\163\133\129\0\100\0x" -- track 1, 100 units later
    local group = "\160\139\161\133\129\255\156\0x\155\130\0\50" -- 100 units earlier
    local facts = assert(facts_of(HEADER .. "\24\83\128\103" .. unknown .. INFO .. TRACKS .. cluster .. block .. group))
    assert.equal("video", facts.kind)
    assert.near((1000000 + 100) * 2000 / 1e9, facts.seconds, 1e-9)
    assert.is_nil(facts.audio_seconds)
  end)

  it("may have their tracks behind the pictures: these are jumped over where the duration is known", function()
    local duration = "\68\137\132\68\250\0\0" -- 2,000 units
    local cluster = "\31\67\182\117\136" .. ("\0"):rep(8) -- nothing that could be read
    local unknown = "\1" .. ("\255"):rep(7)
    local facts = assert(facts_of(HEADER .. "\24\83\128\103" .. unknown .. INFO .. duration .. cluster .. cluster
      .. TRACKS))
    assert.equal("video", facts.kind)
    assert.near(2000 * 2000 / 1e9, facts.seconds, 1e-9)
  end)

  it("that are broken", function()
    refused(HEADER .. "\24\83\128\103\129\0\0\0", "is broken at byte 17")
    refused(HEADER .. "\24\83\128\103\150" .. INFO .. "\236\130", "ends within an element, at byte 30")
    refused(HEADER .. "\24\83\128\103\150" .. INFO .. TRACKS, "does not say how long it is")
  end)
end)

describe("AVI", function()
  local function stream(kind, scale, rate, length)
    return chunk("LIST", "strl" .. chunk("strh", kind .. "code" .. ("\0"):rep(12) .. le(4, scale) .. le(4, rate)
      .. le(4, 0) .. le(4, length) .. ("\0"):rep(20)) .. chunk("strf", "format"))
  end
  local function avi(...)
    return chunk("RIFF", "AVI " .. chunk("LIST", "hdrl" .. chunk("avih", ("\0"):rep(56)) .. table.concat { ... })
      .. chunk("LIST", "movi" .. chunk("strh", "what is here does not count")))
  end

  it("has the times of its streams", function()
    assert.same({ kind = "video", seconds = 4, audio_seconds = 5 },
      (facts_of(avi(stream("vids", 1001, 25025, 100), stream("auds", 1, 8000, 40000)))))
    assert.same({ kind = "video", seconds = 4 }, (facts_of(avi(stream("vids", 1, 25, 100)))))
  end)

  it("has the number of all frames in a list of its own where it is large", function()
    local large = chunk("LIST", "odml" .. chunk("dmlh", le(4, 50000)))
    assert.equal(2000, assert(facts_of(avi(stream("vids", 1, 25, 100), large))).seconds)
  end)

  it("that is broken", function()
    refused(avi(stream("vids", 0, 25, 100)), "does not say how fast a stream of it is")
    refused(avi(stream("auds", 1, 8000, 40000)), "does not say how long it is")
  end)
end)

describe("PDF", function()
  -- Objects by number, and a table of them; returns the text and where the table is.
  local function written(objects, before, extra)
    local text, entries = before or "%PDF-1.4\n", {}
    local first, last = math.huge, 0
    for number in pairs(objects) do first, last = math.min(first, number), math.max(last, number) end
    for number = first, last do
      entries[#entries + 1] = ("%010d 00000 n \n"):format(#text)
      text = text .. number .. " 0 obj\n" .. objects[number] .. "\nendobj\n"
    end
    local at = #text
    return text .. ("xref\n%d %d\n%strailer\n<< /Size 9 /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF\n")
      :format(first, #entries, table.concat(entries), extra or "", at), at
  end
  local ROOT = "<< /Type /Catalog /Pages 2 0 R >>"

  it("has the pages that the root of its page tree counts", function()
    assert.equal(12, assert(facts_of((written { ROOT, "<< /Type /Pages /Kids [] /Count 12 >>" }))).pages)
    assert.equal(34, assert(facts_of((written { ROOT, "<< /Count 3 0 R >>", "34" }))).pages)
    -- a list of kids longer than what is read at first
    local long = "<< /Kids [" .. ("7 0 R "):rep(900) .. "] /Count 900 >>"
    assert.equal(900, assert(facts_of((written { ROOT, long }))).pages)
  end)

  it("that was changed counts as it was last", function()
    local old, at = written { ROOT, "<< /Count 1 >>" }
    local new = written({ [2] = "<< /Count 5 >>" }, old, ("/Prev %d "):format(at))
    assert.equal(5, assert(facts_of(new)).pages)
  end)

  -- The same with the table in a stream: each entry has a type, and an offset or the number of a stream. `packed` are
  -- the objects that stand in object 8.
  local function streamed(objects, packed, extra)
    local text, entries = "%PDF-1.5\n", {}
    for number = 1, 9 do
      if packed[number] then
        entries[number] = "\2\0\8\0"
      elseif objects[number] then
        entries[number] = "\1" .. be(2, #text) .. "\0"
        text = text .. number .. " 0 obj\n" .. objects[number] .. "\nendobj\n"
      else
        entries[number] = "\0\0\0\0"
      end
    end
    local bytes = table.concat(entries)
    local head = "10 0 obj\n<< /Type /XRef %s/W [1 2 1] /Index [1 9] /Root 1 0 R /Length %d >>\nstream\n"
    return text .. head:format(extra or "", #bytes) .. bytes -- which Lua 5.1's format would cut at a zero byte
      .. ("\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n"):format(#text)
  end
  -- A stream with the objects 1 and 2.
  local function holder(one, two, extra)
    local front = ("1 0 2 %d "):format(#one)
    return ("<< /Type /ObjStm /N 2 /First %d /Length %d %s>>\nstream\n%s%s%s\nendstream"):format(#front,
      #front + #one + #two, extra or "", front, one, two)
  end

  it("may have its table in a stream, and its objects in others", function()
    assert.equal(3, assert(facts_of(streamed({ ROOT, "<< /Count 3 >>" }, {}))).pages)
    local in_stream = { true, true }
    assert.equal(4, assert(facts_of(streamed({ [8] = holder(ROOT, "<< /Count 4 >>") }, in_stream))).pages)
    -- the length of the stream in an object of its own, and the count in another
    local indirect = holder(ROOT, "<< /Count 6 0 R >>"):gsub("/Length %d+", "/Length 5 0 R")
    local length = tostring(#holder(ROOT, "<< /Count 6 0 R >>"):match "stream\n(.*)\nendstream")
    assert.equal(5, assert(facts_of(streamed({ [5] = length, [6] = "5", [8] = indirect }, in_stream))).pages)
  end)

  it("for old readers and new ones has two tables in one place", function()
    local new = streamed({ ROOT, "<< /Count 6 >>" }, {})
    local _, at = new:find "endobj\n10 0 obj"
    local text, n = new:gsub("startxref.*", ""), #new:gsub("startxref.*", "")
    text = text .. ("xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Root 1 0 R /XRefStm %d >>\nstartxref\n%d\n%%%%EOF\n")
      :format(at - #"10 0 obj", n)
    assert.equal(6, assert(facts_of(text)).pages)
  end)

  it("whose rows differ from those above or from what is left of them is put together", function()
    -- entries of type 1: the first as it is, the second by the row above, the third by the byte to the left
    local at1, at2 = #"%PDF-1.5\n", #"%PDF-1.5\n" + #("1 0 obj\n" .. ROOT .. "\nendobj\n")
    local rows = "\0\1\0" .. string.char(at1) .. "\0" .. "\2\0\0" .. string.char(at2 - at1) .. "\0"
      .. "\1\1\255" .. string.char(0, 0)
    local text = "%PDF-1.5\n1 0 obj\n" .. ROOT .. "\nendobj\n2 0 obj\n<< /Count 9 >>\nendobj\n"
    local function tail(predictor, bytes)
      return ("10 0 obj\n<< /Type /XRef /W [1 2 1] /Size 4 /Index [1 3] /Root 1 0 R /Length %d /DecodeParms "
        .. "<< /Predictor %d /Columns 4 >> >>\nstream\n"):format(#bytes, predictor) .. bytes
        .. ("\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n"):format(#text)
    end
    assert.equal(9, assert(facts_of(text .. tail(12, rows))).pages)
    refused(text .. tail(2, rows), "has a table of objects that is not read here (predictor 2)")
    rows = rows:gsub("^%z", "\4")
    refused(text .. tail(15, rows), "has a table of objects that is not read here (filter 4)")
  end)

  it("whose packed objects cannot be had is none", function()
    local in_stream = { true, true }
    local function with(extra, dictionary)
      return streamed({ [8] = holder(ROOT, "<< /Count 4 >>", extra) }, in_stream, dictionary)
    end
    refused(with("/Filter /LZWDecode "), "has a list of objects that is not read here (LZWDecode)")
    refused(with("/Filter [/ASCII85Decode /FlateDecode] "),
      "has a list of objects that is not read here (ASCII85Decode)")
    refused(with("/Filter [/FlateDecode] "), "has a list of objects that is broken")
    refused(with("", "/Encrypt 7 0 R "), "is encrypted")
    refused(streamed({ [8] = "<< /N 2 >>" }, in_stream), "has no list of objects where its table says")
    -- streams in streams, and in themselves
    in_stream[8] = true
    refused(streamed({}, in_stream), "has no object 8 where its table says")
    in_stream[8] = nil
    refused(streamed({ [8] = holder(ROOT, "<< /Count 4 >>"):gsub("1 0 2", "3 0 2") }, in_stream), "has no object 1")
    local long = holder(ROOT, "<< /Count 4 >>"):gsub("/Length %d+", "/Length 9000000")
    refused(streamed({ [8] = long }, in_stream), "has more than 1048576 bytes of packed lists of objects")
  end)

  it("that asks for much work is given up early", function()
    local function packed(bytes)
      return streamed({ [8] = ("<< /N 2 /First 8 /Length %d /Filter /FlateDecode >>\nstream\n"):format(#bytes) .. bytes
        .. "\nendstream" }, { true, true })
    end
    -- 3 MB of zeros in 3 KB; it would be unpacked again for each object that stands in it
    refused(packed("\120\218\237\193\1\13\0\0\0\194\160\247\79\109\15\7\20" .. ("\0"):rep(3000)),
      "has a list of objects that is too long")
    -- a table of 100 KB that comes before itself: a thousand times
    local at = #"%PDF-1.5\n"
    local facts, err, read = facts_of("%PDF-1.5\n1 0 obj\n<< /W [1 1 0] /Size 1 /Root 2 0 R /Length 2 /Prev " .. at
      .. (" "):rep(100000) .. ">>\nstream\n\1\9\nendstream\nendobj\nstartxref\n" .. at .. "\n%%EOF")
    assert.is_nil(facts)
    assert.equal("has more than 16777216 bytes of objects to look at", err.message)
    assert.is_true(read < 20e6)
  end)

  it("whose tables go in circles, or lead nowhere, is none", function()
    refused("%PDF-1.5\n1 0 obj\n<< /Type /XRef >>\nendobj\nstartxref\n9\n%%EOF",
      "has no table of objects where it says")
    refused((written({ ROOT, "<< /Count 1 >>" }, nil, "/XRefStm 9 ")), "has no table of objects where it says")
    local text, at = written({ ROOT, "<< /Count 1 >>" }, nil, "/Prev 00000 ")
    refused((text:gsub("/Prev 00000", ("/Prev %05d"):format(at))), "has tables of objects without an end")
    refused("%PDF-1.4\nnothing", "does not say where its table of objects is")
    refused("%PDF-1.4\nstartxref\n99999\n%%EOF", "has no table of objects where it says")
    refused((written { ROOT }), "has no object 2")
    refused((written({ ROOT, "<< /Count 1 >>" }):gsub("n \ntrailer", "f \ntrailer")), "has no object 2")
    refused((written { ROOT, "<< /Kids [] >>" }), "does not say how many pages it has")
    refused((written { ROOT, "<< /Count 0 >>" }), "does not say how many pages it has")
    refused((written { ROOT:gsub(" 2 0 R", " 1 0 R"), "x" }), "does not say how many pages it has")
  end)
end)

-- Whatever is done to a file, what comes of it is facts that make sense or an error in words, after few reads.
describe("a file that is cut or changed", function()
  local function check(bytes, what)
    local facts, err, read, times = facts_of(bytes)
    assert.is_true(read <= 8 * #bytes + 65536 and times <= #bytes / 8 + 64, what .. ": too much was read")
    if not facts then
      assert.is_true(errors.is(err), what)
      assert.equal("invalid", err.kind)
      return
    end
    for _, field in ipairs { "width", "height", "pages", "seconds", "audio_seconds" } do
      local value = facts[field]
      assert.is_true(value == nil or value > 0 and value < 1e8, what .. ": " .. field)
    end
    assert.is_true(facts.kind == "image" and facts.width ~= nil or facts.kind == "document" and facts.pages ~= nil
      or (facts.seconds or facts.audio_seconds) ~= nil, what)
  end

  -- Places to try: all at the beginning and at the end, some in between.
  local function places(size)
    local list, at = {}, 0
    while at < size do
      list[#list + 1] = at
      at = at + ((at < 300 or at > size - 120) and 1 or 1511)
    end
    return list
  end

  for name in pairs(REAL) do
    it(name, function()
      local bytes = content(name)
      for _, at in ipairs(places(#bytes)) do
        check(bytes:sub(1, at), ("cut at %d"):format(at))
        local front, rest, old = bytes:sub(1, at), bytes:sub(at + 2), bytes:byte(at + 1)
        for _, new in ipairs { 0, 255, (old + 1) % 256, (old + 128) % 256 } do
          check(front .. string.char(new) .. rest, ("%d at %d"):format(new, at))
        end
      end
    end)
  end

  it("in many places", function()
    local seed = 1
    local function random(n)
      seed = (seed * 16807) % 2147483647
      return seed % n
    end
    for name in pairs(REAL) do
      local bytes = content(name):sub(1, 4096)
      for _ = 1, 100 do
        local changed = bytes
        for _ = 1, 1 + random(6) do
          local at = random(math.min(#changed, random(2) == 0 and 300 or 4096))
          changed = changed:sub(1, at) .. string.char(random(256)) .. changed:sub(at + 2 + random(3))
        end
        check(changed, name)
      end
    end
  end)

  it("is not read again and again where frames and junk take turns", function()
    local mp3 = "\255\251\144\0" .. ("\0"):rep(413)
    check((mp3 .. mp3 .. "junk"):rep(300), "mp3")
    check(mp3 .. mp3 .. ("\255\251\144\0"):rep(20000), "mp3")
    check(("\255\241\96\64\1\0\252\0\255\241\96\64\1\0\252\0x"):rep(3000), "aac")
  end)

  -- Each took hours where a pattern was tried at every byte, or in every way.
  it("that is all space, or all digits, is done in time", function()
    local space, digits = (" "):rep(300000), ("1"):rep(300000)
    refused("%PDF-1.5\n1 0 obj\n<< /W [1 1 1] /Size 1 /Length 4 /Filter" .. space .. "x /Filter" .. space
      .. "/LZWDecode >>\nstream\n1234\nendstream\nendobj\nstartxref\n9\n%%EOF",
      "has a list of objects that is not read here (LZWDecode)")
    local holder = "%PDF-1.5\n1 0 obj\n<< /N 2 /First 250000 /Length 300000 >>\nstream\n" .. digits
      .. "\nendstream\nendobj\n"
    refused(holder .. "3 0 obj\n<< /W [1 1 0] /Index [1 2] /Root 2 0 R /Length 4 >>\nstream\n\1\9\2\1\nendstream\n"
      .. "endobj\nstartxref\n" .. #holder .. "\n%%EOF", "has no object 2")
  end)

  it("is given up after two million parts", function()
    -- boxes of eight bytes, as many as one likes
    local src = binary.bytes(1e12, function(_, n) return ("\0\0\0\8free"):rep(math.floor(n / 8)) end)
    local facts, err = media_facts.of(src, "video/mp4")
    assert.is_nil(facts)
    assert.equal("has more than 2000000 parts", err.message)
  end)

  it("that cannot be read is the error of who reads", function()
    local src = binary.bytes(100, function() return nil, errors.new { kind = "io", message = "no such luck" } end)
    local facts, err = media_facts.of(src, "image/png")
    assert.is_nil(facts)
    assert.equal("io", err.kind)
    assert.equal("no such luck", err.message)
  end)

  it("does not hide a mistake in a reader", function()
    local src = binary.bytes(100, function() error "a mistake" end)
    assert.has_error(function() media_facts.of(src, "image/png") end)
  end)
end)

describe("binary", function()
  it("reads numbers", function()
    assert.equal(0x010203, binary.be("\1\2\3", 1, 3))
    assert.equal(0x030201, binary.le("\1\2\3", 1, 3))
    assert.equal(2 ^ 64, binary.be(("\255"):rep(8), 1, 8)) -- the nearest float, not -1
  end)

  it("reads floats", function()
    for bytes, value in pairs {
      ["\63\128\0\0"] = 1, ["\192\72\0\0"] = -3.125, ["\0\0\0\0"] = 0, ["\0\0\0\1"] = 2 ^ -149,
      ["\63\240\0\0\0\0\0\0"] = 1, ["\64\183\122\0\0\0\0\0"] = 6010, ["\191\185\153\153\153\153\153\154"] = -0.1,
      ["\0\0\0\0\0\0\0\1"] = 2 ^ -1074,
    } do
      assert.equal(value, binary.float(bytes))
    end
    assert.is_nil(binary.float "\127\128\0\0")
    assert.is_nil(binary.float("\127\248" .. ("\0"):rep(6)))
    assert.is_nil(binary.float "\1\2\3")
  end)

  it("keeps a window", function()
    local asked = {}
    local src = binary.bytes(100000, function(offset, n)
      asked[#asked + 1] = offset .. "+" .. n
      return ("x"):rep(n)
    end)
    src:read(10, 4)
    src:read(14, 4)
    src:read(16392, 4)
    src:need(99998, 2)
    assert.same({ "10+16384", "16392+16384", "99998+2" }, asked)
    assert.equal("", src:read(100000, 1))
  end)
end)

-- So that `media` and the readers go by the same frames.
describe("frames of sound", function()
  it("have a length, samples and hertz", function()
    assert.same({ 417, 1152, 44100 }, { media.mp3_frame("x\255\251\144\0", 2) })
    assert.same({ 16, 1024, 16000 }, { media.adts_frame("\255\241\96\64\2\0\252", 1) })
    assert.is_nil(media.mp3_frame("\255\251\144", 1))
    assert.is_nil(media.adts_frame("\255\241\96\64\2\0", 1))
  end)
end)
