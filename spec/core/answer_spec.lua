-- The decoder as Lua sees it: every split, what goes on while it is at work, and its end. What it makes of the API's
-- types is in spec/unit/answer_spec.lua.
local answer = require "lgemini.answer"
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local json = require "lgemini.json"
local schema = require "lgemini.schema"

local TYPE = "GenerateContentResponse"

local CHUNK = [[{"candidates": [{"content": {"parts": [{"text": "f\u00fcnf \"%s\""}],"role": "model"},"index": 0}],]]
  .. [["usageMetadata": {"promptTokenCount": 5,"totalTokenCount": %d},"modelVersion": "g"}]]

local function event(text, count)
  return "data: " .. CHUNK:format(text, count) .. "\r\n\r\n"
end

local function said_by(decoder)
  local texts, events, over = decoder:said()
  return texts and table.concat(texts), events and table.concat(events, " "), over
end

-- What a stream gives when it is fed in pieces of that size: values; which of them were like the one before; what the
-- decoder kept of these in the end; what no blank line ended.
local function read(text, size, type_name, texts)
  local decoder, values, alike, kept = answer.decoder(type_name, 100000, 100, true), {}, {}, nil
  decoder:keep(1000)
  for at = 1, #text, size do
    decoder:feed(text:sub(at, at + size - 1))
    local value, more = decoder:next(texts)
    while value ~= nil do
      values[#values + 1] = value
      alike[#values] = more or false
      if not more then kept = said_by(decoder) or kept end
      value, more = decoder:next(texts)
    end
    assert.is_false(more)
  end
  local rest, _, what = decoder:finish()
  assert.is_nil(decoder:finish())
  kept = said_by(decoder) or kept
  decoder:close()
  return values, alike, kept, rest, what
end

local function text_of(chunk)
  return type(chunk) == "string" and chunk or chunk.candidates[1].content.parts[1].text
end

describe("a decoder of answers", function()
  it("makes the same values however the stream is cut", function()
    local stream = event("a", 1) .. ": no\n\ndata: [DONE]\n\ndata:\n\n" .. event("b\\n", 22)
      .. 'data: {"candidates": [{"finishReason": "STOP","avgLogprobs": -1.5e-3}],"a": [true,null,[]]}\n\n'
    local whole = read(stream, #stream, TYPE)
    assert.equal(3, #whole)
    assert.equal('fünf "a"', text_of(whole[1]))
    assert.equal('fünf "b\n"', text_of(whole[2]))
    assert.same({ true, json.null, {} }, whole[3].a)
    assert.equal(-0.0015, whole[3].candidates[1].avg_logprobs)
    for size = 1, #stream, 1 do
      local values = read(stream, size, TYPE)
      assert.same(whole, values)
      assert.equal(getmetatable(whole[1]), getmetatable(values[1]))
    end
  end)

  it("reads a large bare body in answer to a stream as it comes", function()
    local body = CHUNK:format(("x"):rep(20000), 7)
    for _, size in ipairs { 1000, 4095, 4096, 4097, #body } do
      local values, _, _, rest, what = read(body, size, TYPE)
      assert.same({}, values)
      assert.same({ 'fünf "' .. ("x"):rep(20000) .. '"', "tail" }, { text_of(rest), what })
    end
    local sunk = 0
    local decoder = answer.decoder(TYPE, 1000000, 100, true, { write = function(_, _, bytes, last)
      sunk = sunk + #bytes
      return last and "data" or true, "done"
    end })
    local head = '{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"'
    decoder:feed(head .. ("QUFB"):rep(100000))
    assert.same({ nil, false }, { decoder:next() })
    assert.is_true(sunk > 200000)
    decoder:feed '"}}]}}]}'
    assert.same({ nil, false }, { decoder:next() })
    local rest, _, what = decoder:finish()
    assert.equal("tail", what)
    assert.equal("done", rest.candidates[1].content.parts[1].inline_data.data)
    assert.equal(300000, sunk)
    decoder:close()
  end)

  it("says of a large bare body that is no JSON how it begins", function()
    local decoder = answer.decoder(TYPE, 100000, 100, true)
    decoder:feed('{"candidates": oops' .. (" "):rep(5000))
    assert.same({ nil, false }, { decoder:next() })
    local value, err, what = decoder:finish()
    assert.same({ nil, "protocol", "tail" }, { value, err.kind, what })
    assert.equal('{"candidates": oops', err.head:sub(1, 19))
    decoder:close()
  end)

  it("finds the same events however the stream is cut, and what no blank line ended", function()
    local text = '\239\187\191data: "one"\r\n\r\n: no\r\ndata:"two\ndata: lines"\n\nevent: x\rdata\r\rid: 7\n\n'
      .. 'data: "f\195\188nf"\r\n\r\ndata: "la"'
    local bare = 'data: 1\n\n{"error": {\n"code": 500}}'
    for size = 1, #text do
      local values, _, _, rest, what = read(text, size)
      assert.same({ "one", "two\nlines", "f\195\188nf" }, values)
      assert.same({ "la", "event" }, { rest, what })
      values, _, _, rest, what = read(bare, size)
      assert.same({ 1 }, values)
      assert.same({ { error = { code = 500 } }, "tail" }, { rest, what })
    end
  end)

  it("takes of a body no more at once than it is told to", function()
    local text = '{"candidates": [{"finishReason": "STOP"}]}'
    for most = 1, #text + 1 do
      local decoder, calls = answer.decoder(TYPE, 1000, 100), 0
      decoder:feed(text)
      repeat
        local value, more = decoder:next(false, most)
        assert.is_nil(value)
        calls = calls + 1
      until not more
      assert.equal(math.max(1, math.ceil(#text / most)), calls)
      assert.equal("STOP", decoder:finish().candidates[1].finish_reason)
      decoder:close()
    end
    assert.error_matches(function() answer.decoder(TYPE, 1000, 100):next(false, -1) end, "bytes")
  end)

  it("goes on where somebody collects in the middle of an event", function()
    local stream = event(("x"):rep(5000), 1) .. event(("y"):rep(5000), 2)
    for _, size in ipairs { 777, 6000, #stream } do
      local decoder, got = answer.decoder(TYPE, 10000, 100, true), {}
      for at = 1, #stream, size do
        decoder:feed(stream:sub(at, at + size - 1))
        collect()
        local value = decoder:next()
        while value do
          got[#got + 1] = text_of(value)
          collect()
          value = decoder:next()
        end
      end
      assert.same({ 'fünf "' .. ("x"):rep(5000) .. '"', 'fünf "' .. ("y"):rep(5000) .. '"' }, got)
      decoder:close()
    end
  end)

  it("reads user data as json.decode does", function()
    for _, text in ipairs {
      '{"a":[1,2.5,-0,1e3,"x",null,true,false,{},[]],"b":{"c":{"d":[[[]]]}},"":"","\\u0041\\ud83d\\ude00":"\\/\\b"}',
      "[]", "{}", "5", '"x"', "true", "null", "-1.25", " [ 1 , 2 ] ", '{"a":1,"a":{"b":2}}', "9007199254740993", "0.1",
    } do
      local value = assert(answer.decode(text))
      assert.same({ assert(json.decode(text)) }, { value })
      assert.equal(json.is_array(json.decode(text)), json.is_array(value))
    end
  end)

  it("says what is no JSON, and how it began", function()
    for text, message in pairs {
      ["{"] = "a name or } expected",
      ['{"candidates":[}'] = "a value or ] expected",
      ["nonsense"] = "a value expected",
      ['{"a":"\\x"}'] = "a bad escape in a string",
      ["{} {}"] = "the end expected",
    } do
      for size = 1, 30 do
        local decoder = answer.decoder(TYPE, 1000, 100, true)
        local stream, err, value = "data: " .. text .. "\n\n", nil, nil
        for at = 1, #stream, size do
          decoder:feed(stream:sub(at, at + size - 1))
          value, err = decoder:next()
        end
        assert.is_nil(value)
        assert.matches(message, err.message, 1, true)
        assert.equal(text, err.head)
        decoder:feed(event("next", 1))
        assert.equal('fünf "next"', text_of(decoder:next()))
        decoder:close()
      end
    end
  end)

  it("has ceilings for the size and the depth of what comes", function()
    local decoder = answer.decoder(TYPE, 100, 10, true)
    decoder:feed("data: " .. ("x"):rep(101))
    local value, err = decoder:next()
    assert.is_nil(value)
    assert.equal("limit", err.kind)
    assert.matches("max_event", err.message)
    for _, method in ipairs { decoder.next, decoder.finish, decoder.next } do -- from then on always
      assert.equal("limit", (select(2, method(decoder)) or {}).kind)
    end
    decoder:close()
    value, err = answer.decode(("["):rep(11) .. ("]"):rep(11), nil, 10)
    assert.is_nil(value)
    assert.equal("limit", err.kind)
    assert.matches("deeper than 10 levels at character 11 %(max_depth%)", err.message)
    assert.is_table(answer.decode(("["):rep(1000) .. ("]"):rep(1000), nil, 1000))
    assert.equal(1.5, answer.decode("1.5" .. ("0"):rep(100))) -- a number that is as long as it may be
    decoder = answer.decoder(nil, 10, 10)
    decoder:feed "[1,2,3,4,5,6]"
    value, err = decoder:next()
    assert.is_nil(value)
    assert.equal("limit", err.kind)
    assert.matches("max_answer", err.message)
    decoder:close()
  end)

  it("decodes base64 as it comes", function()
    local bytes = {}
    for i = 1, 3000 do bytes[i] = string.char(i * 7 % 256) end
    local data = table.concat(bytes)
    local stream = ('data: {"candidates":[{"content":{"parts":[{"inlineData":{"data":"%s"}}]}}]}\n\n')
      :format(core.base64.encode(data))
    for _, size in ipairs { 1, 7, 64, 1000, #stream } do
      local value = read(stream, size, TYPE)[1]
      assert.equal(data, value.candidates[1].content.parts[1].inline_data.data)
    end
    local value, err = answer.decode('{"parts":[{"inlineData":{"data":"a*b"}}]}', "Content")
    assert.is_nil(value)
    assert.equal("invalid", err.kind)
  end)

  -- Pairs of events, and whether the second is like the first.
  local PAIRS = {
    { true, event("a", 1), event("b", 2) },
    { true, event("a", 1), event("", 123456789012345) },
    { true, event("a\\n", 1), event("\\u00e4", 2) },
    { true, event("a", 1):gsub('"g"', '"g\\n"'), event("b", 1):gsub('"g"', '"g\\n"') },
    { true, event("a", 1):gsub('"g"', '"g"'), event("a", 1):gsub('"g"', '"another"') },
    { false, event("a", 1), event("b", 2):gsub('"g"', '"g\\n"') },
    { false, event("a", 1), event("a", 0) },
    { false, event("a", 1), event("a", 1):gsub('"index": 0', '"index": 1') },
    { false, event("a", 1), event("a", 1):gsub('"role": "model"', '"role": null') },
    { false, event("a", 1), event("a", 1):gsub('"modelVersion"', '"responseId"') },
    { false, event("a", 1), event("a", 1):gsub('"index": 0', '"index": 0,"finishReason": "STOP"') },
  }
  for _, other in ipairs {
    '{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":1}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"content":{}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a","new":1}]}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"promptFeedback":{}}',
    '{"candidates":[{"content":{"parts":[]}}]}', '{"candidates":[]}', '{"error":{}}', "[]", "5",
    -- A name twice: the last one counts.
    '{"candidates":[{"content":{"parts":[{"text":"a"}],"parts":[]}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]},"content":null}]}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"candidates":5}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"modelVersion":"g","modelVersion":null}',
    '{"candidates":[{"content":{"parts":[{"text":""}]}}],"usageMetadata":{"totalTokenCount":1,"totalTokenCount":null}}',
  } do
    PAIRS[#PAIRS + 1] = { false, "data: " .. other .. "\n\n", "data: " .. other .. "\n\n" }
  end
  -- Everything a text-only chunk may have that is told by its shape, not by the names above.
  local MANY = 'data: {"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"},"avgLogprobs":-0.5,'
    .. '"tokenCount":%d,"safetyRatings":[{"category":"A","probability":"LOW","blocked":false},'
    .. '{"category":"B","probability":"%s","blocked":true}]}],"usageMetadata":{"promptTokensDetails":'
    .. '[{"modality":"TEXT","tokenCount":%d}],"toolUsePromptTokenCount":null},"createTime":"2026-%02d"}\n\n'
  PAIRS[#PAIRS + 1] = { true, MANY:format("a", 1, "HIGH", 2, 3), MANY:format("b", 10, "NEGLIGIBLE", 20, 30) }

  -- All pairs, in pieces of each of the sizes that `sizes_of` gives for a stream.
  local function compare(sizes_of)
    for _, pair in ipairs(PAIRS) do
      local first, second = pair[2], pair[3]
      for _, stream in ipairs { first .. second, first .. second .. second, first .. second .. first } do
        local wanted = {}
        for one in stream:gmatch "data: (.-)\r?\n\r?\n" do wanted[#wanted + 1] = assert(answer.decode(one, TYPE)) end
        for _, size in ipairs(sizes_of(stream)) do
          local values, alike, said = read(stream, size, TYPE)
          assert.same(wanted, values)
          assert.equal(pair[1], alike[2], first .. second)
          assert.equal(getmetatable(wanted[2]), getmetatable(values[2]))
          if pair[1] then
            local content = values[2].candidates[1].content
            assert.equal(getmetatable(wanted[2].candidates[1].content), getmetatable(content))
            assert.equal(text_of(values[2]) .. (values[3] and text_of(values[3]) or ""), said)
          end
        end
      end
    end
  end

  it("makes chunks like the one before as it makes any, and keeps their texts", function()
    compare(function(stream) return { #stream, 101 } end)
  end)

  it("does so wherever they are cut #long", function()
    compare(function(stream)
      local sizes = {}
      for size = 1, #stream do sizes[size] = size end
      return sizes
    end)
  end)

  it("gives chunks and texts in any order", function()
    local function version(text, name) return event(text, 1):gsub('"g"', '"%%s"'):format(name) end
    local function another(text) return (version(text, "1"):gsub('"modelVersion"', '"createTime"')) end
    local stream = version("a", "1") .. version("b", "2") .. version("c", "3") .. version("d", "3")
      .. another "e" .. another "f" .. another "g" .. another "h" .. version("i", "44")
    local wanted = {}
    for one in stream:gmatch "data: (.-)\r\n" do wanted[#wanted + 1] = assert(answer.decode(one, TYPE)) end
    for order = 0, 2 ^ #wanted - 1 do
      local decoder, at = answer.decoder(TYPE, 10000, 100, true), 0
      decoder:feed(another "z") -- to be what a stream before was like
      assert.equal('fünf "z"', (decoder:next(true)))
      decoder:close()
      decoder = answer.decoder(TYPE, 10000, 100, true)
      decoder:keep(1000)
      decoder:feed(stream)
      repeat
        local texts = math.floor(order / 2 ^ at) % 2 == 1
        local value, alike = decoder:next(texts)
        at = at + 1
        if not alike then decoder:said() end
        assert.same(texts and alike and text_of(wanted[at]) or wanted[at], value)
      until value == nil
      assert.equal(#wanted + 1, at)
      decoder:close()
    end
  end)

  it("gives one that no blank line ended as any other", function()
    local text = event("a", 1) .. event("b", 2) .. event("c", 3):gsub("\r\n\r\n$", "\n")
    for _, size in ipairs { #text, 50, 1 } do
      local values, _, _, rest, what = read(text, size, TYPE)
      assert.same({ 'fünf "a"', 'fünf "b"' }, { text_of(values[1]), text_of(values[2]) })
      assert.same(answer.decode(CHUNK:format("c", 3), TYPE), rest)
      assert.equal("event", what)
    end
  end)

  it("gives texts alone where nothing else is new", function()
    local stream = event("a", 1) .. event("b\\n", 2) .. event("", 30)
      .. 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n' .. event("c", 31)
    for _, size in ipairs { #stream, 300, 100, 11, 1 } do
      local values, alike = read(stream, size, TYPE, true)
      local texts = {}
      for i, value in ipairs(values) do
        texts[i] = value.candidates and not value.candidates[1].content and "-" or text_of(value)
        assert.equal(alike[i], type(value) == "string")
      end
      assert.same({ 'fünf "a"', 'fünf "b\n"', 'fünf ""', "-", 'fünf "c"' }, texts)
      if size >= 100 then assert.same({ true, true, true, false, true }, alike) end
    end
  end)

  describe("of texts", function()
    local LAST = 'data: {"candidates":[{"content":{"parts":[{"text":"%s"}]},"finishReason":"%s","index":0}],'
      .. '"createTime":"t"}\n\n'
    local last = function(text, reason) return LAST:format(text, reason or "STOP") end

    -- All of a stream: texts, or "-" where it was a table, and whether one said that it was the last.
    local function texts_of(stream, depth, chunks)
      local decoder = answer.decoder(TYPE, 5000, depth or 50, true)
      decoder:keep(1000)
      decoder:feed(stream)
      local texts, ended = {}, false
      repeat
        local value, alike, _, ends = decoder:next(not chunks)
        if value ~= nil then texts[#texts + 1] = alike and type(value) == "string" and value or "-" end
        ended = ended or ends or false
      until value == nil
      local said, kept = said_by(decoder)
      decoder:close()
      return { table.concat(texts, " "), ended, said, kept }
    end

    local A, B, C = CHUNK:format("a", 1), CHUNK:format("b", 2), last("c"):match "data: (.-)\n"
    local STREAMS = {
      [event("a", 1) .. event("b", 2) .. last "c"] =
        { 'fünf "a" fünf "b" c', true, 'fünf "a"fünf "b"c', B .. " " .. C },
      [event("a", 1)] = { 'fünf "a"', false, 'fünf "a"', A },
      [last "c"] = { "c", true, "c", C },
      [last "x" .. last "c"] = { "x c", true, "xc", C },
      -- Another form that does not end the answer, one behind the end, and something else.
      [event("a", 1) .. event("b", 2):gsub('"index"', '"tokenCount"')] = { 'fünf "a" -', false, 'fünf "a"', A },
      [event("a", 1) .. last "c" .. last("d", "OTHER") .. event("b", 2)] =
        { 'fünf "a" c d -', true, 'fünf "a"cd', A .. " " .. (last("d", "OTHER"):match "data: (.-)\n") },
      [event("a", 1) .. 'data: {"responseId":"r"}\n\n' .. event("b", 2)] =
        { 'fünf "a" - fünf "b"', false, 'fünf "a"fünf "b"', B },
    }
    for from, to in pairs {
      ['"index":0'] = '"index":1', ['"text":"c"'] = '"text":"c","thought":true', ['"t"'] = '"t","promptFeedback":{}',
      ['"createTime"'] = '"error"',
    } do
      STREAMS[last("c"):gsub(from, to)] = { "-", false }
    end
    STREAMS[last("c"):gsub('"STOP"', "null")] = { "c", false, "c", (C:gsub('"STOP"', "null")) }

    it("gives them, and keeps the last event of each form, whatever a stream before was like", function()
      for _, before in ipairs { event("x", 1), event("x", 1) .. last "y", last "z" } do
        for stream, wanted in pairs(STREAMS) do
          for _, how in ipairs { { 50, false }, { 51, false }, { 50, true } } do
            texts_of(before, how[1], how[2])
            assert.same(wanted, texts_of(stream))
          end
        end
      end
    end)

    it("keeps what was said when it is retired, and nothing else", function()
      local alive = core.alive().answer
      local decoder = answer.decoder(TYPE, 5000, 50, true)
      decoder:keep(12)
      decoder:feed(event("a", 1) .. last "c" .. last "ddd" .. "data: {")
      assert.equal('fünf "a"', (decoder:next(true)))
      assert.equal("c", (decoder:next(true)))
      assert.equal("ddd", (decoder:next(true)))
      assert.is_true(decoder:retire())
      assert.is_true(decoder:retire())
      assert.equal(alive, core.alive().answer)
      assert.error_matches(function() decoder:next(true) end, "attempt to use a closed answer")
      decoder:keep(1)
      assert.same({ 'fünf "a"c', A .. " " .. (last("ddd"):match "data: (.-)\n"), true }, { said_by(decoder) })
      assert.is_nil(decoder:said())
      assert.is_nil(decoder:retire()) -- there is nothing to be kept
      assert.error_matches(function() decoder:said() end, "attempt to use a closed answer")
      assert.equal(alive, core.alive().answer)
    end)
  end)

  it("keeps the last event of those that were like the one before, until somebody takes it", function()
    for _, texts in ipairs { true, false } do
      local decoder = answer.decoder(TYPE, 10000, 100, true)
      local another = event("c", 3):gsub('"modelVersion": "g"', '"responseId": "r"')
      decoder:keep(22)
      assert.is_nil(decoder:said())
      decoder:feed(event("a", 1) .. event("b", 2) .. another .. another .. another)
      assert.equal(texts or nil, (select(2, decoder:next(texts))))
      assert.is_true((select(2, decoder:next(texts))))
      assert.is_table(decoder:next(texts))
      local said, last, over = said_by(decoder)
      assert.equal(texts and 'fünf "a"fünf "b"' or 'fünf "b"', said)
      assert.equal(CHUNK:format("b", 2), last)
      assert.is_false(over)
      assert.is_nil(decoder:said())
      assert.equal(texts or nil, (select(2, decoder:next(texts)))) -- learned
      assert.is_true((select(2, decoder:next(texts))))
      assert.equal(texts and 'fünf "c"fünf "c"' or 'fünf "c"', (said_by(decoder)))
      decoder:close()
    end
  end)

  it("gives the texts once where a finaliser asks for them meanwhile", function()
    local decoder, events = answer.decoder(TYPE, 1000000, 100, true), {}
    for i = 1, 1000 do events[i] = event(("abcdefgh"):rep(100), 1) end
    decoder:keep(1000000)
    decoder:feed(table.concat(events))
    while decoder:next(true) do end
    local proxy, rounds, said = rawget(_G, "newproxy"), 0, {}
    local function finalise()
      rounds = rounds + 1
      if rounds == 5 then
        said[#said + 1] = said_by(decoder)
      elseif proxy then
        getmetatable(proxy(true)).__gc = finalise
      else
        setmetatable({}, { __gc = finalise })
      end
    end
    collectgarbage()
    collectgarbage "stop"
    finalise()
    collectgarbage("setpause", 1) -- whatever allocates makes Lua collect all garbage
    collectgarbage("setstepmul", 100000000)
    collectgarbage "restart"
    said[#said + 1] = said_by(decoder)
    collectgarbage("setpause", 200)
    collectgarbage("setstepmul", 200)
    assert.is_true(table.concat(said) == ('fünf "%s"'):format(("abcdefgh"):rep(100)):rep(1000))
    decoder:close()
  end)

  it("keeps no more texts than there is room for, and says so", function()
    local decoder = answer.decoder(TYPE, 10000, 100, true)
    decoder:keep(20) -- of ten bytes each
    decoder:feed(event("a", 1) .. event("b", 2) .. event("c", 3) .. event("d", 4) .. event("", 5))
    for _ = 1, 5 do assert.is_not_nil((decoder:next())) end
    local said, last, over = said_by(decoder)
    assert.equal('fünf "b"fünf "c"', said)
    assert.equal(CHUNK:format("", 5), last)
    assert.is_true(over)
    decoder:close()
  end)

  it("reads what a table that stands for an exchange gives", function()
    local decoder, pieces = answer.decoder(TYPE, 10000, 100, true), { event("a", 1), event("b", 2):sub(1, 50), "" }
    decoder:attach { read = function() return table.remove(pieces, 1) or "" end }
    assert.equal('fünf "a"', text_of(decoder:next()))
    assert.same({ nil, false }, { decoder:next() })
    pieces = { event("b", 2):sub(51) }
    assert.equal('fünf "b"', text_of(decoder:next()))
    assert.same({ nil, false }, { decoder:next() })
    decoder:close()
    decoder = answer.decoder(TYPE, 10000, 100, true)
    decoder:attach { read = function() end }
    assert.error_matches(function() decoder:next() end, "string expected")
    decoder:close()
  end)

  it("takes all that it must from what a caller does meanwhile", function()
    local decoder = answer.decoder(TYPE, 10000, 100, true)
    decoder:feed(event("a", 1))
    assert.error_matches(function() decoder:feed "x" end, "there are bytes to be read")
    decoder:close()
    decoder:close()
    assert.error_matches(function() decoder:next() end, "attempt to use a closed answer")
    assert.error_matches(function() answer.decoder("NoSuchType", 10, 10) end, "no such type: NoSuchType")
    assert.error_matches(function() core.answer.new({}, nil, 1, 1, true) end, "lgemini.shapes expected")
    assert.error_matches(function() core.answer.shapes {} end, "null")
  end)

  it("reads the words for every type as schema.lua does", function()
    local samples = { text = '"t"', upper = '"T"', number = "1.5", integer = "2", int64 = '"3"', boolean = "true",
      bytes = '"QUJD"', any = '[{"camelCase":1}]', open = '{"camelCase":1}', struct = '{"camelCase":1}',
      map = '{"camelCase":1}', object = "{}" }
    local values = { text = "t", upper = "T", number = 1.5, integer = 2, int64 = 3, boolean = true, bytes = "ABC",
      any = { { camelCase = 1 } }, open = { camelCase = 1 }, struct = { camelCase = 1 }, map = { camelCase = 1 },
      object = {} }
    for _, name in ipairs(schema.names()) do
      for wire, field in pairs(schema.type(name).wires) do
        local list = field.kind == "list"
        local kind = list and field.of.kind or field.kind
        local value = answer.decode(('{"%s":%s}'):format(wire, list and "[" .. samples[kind] .. "]" or samples[kind]),
          name)
        assert.same({ [field.field] = list and { values[kind] } or values[kind] }, value, name .. "." .. field.field)
        if kind == "object" and schema.mark(field.name or field.of.name) then
          local object = value[field.field]
          assert.is_true(schema.is(list and object[1] or object, field.name or field.of.name))
        end
      end
    end
  end)

  it("is closed at its end where a function of the program closes it in the middle", function()
    local before = core.alive().answer
    local decoder
    local setup = { null = function() end, array = function() end, settle = function() decoder:close() end,
      types = function() return { fields = "a" } end }
    decoder = core.answer.new(core.answer.shapes(setup), "T", 1000, 10, false)
    decoder:feed '{"b":1}'
    decoder:next()
    assert.equal(before, core.alive().answer)
    assert.error_matches(function() decoder:finish() end, "closed")
  end)

  it("asks once for null and the metatable of arrays, when the first comes", function()
    local asked, null, mark = 0, {}, {}
    local function once(value)
      return function()
        asked = asked + 1
        return value
      end
    end
    local shapes = core.answer.shapes { null = once(null), array = once(mark), settle = error, types = error }
    local function value(text)
      local decoder = core.answer.new(shapes, nil, 1000, 10, false)
      decoder:feed(text)
      decoder:next()
      return (decoder:finish())
    end
    assert.equal("a", value('{"a":"a"}').a)
    assert.equal(0, asked)
    for _ = 1, 2 do
      local list = value "[null,[],null]"
      assert.equal(null, list[1])
      assert.equal(mark, getmetatable(list[2]))
      assert.equal(2, asked)
    end
  end)

  it("cannot go on after an error that was thrown through it", function()
    local before = core.alive().answer
    local setup = { null = function() end, array = function() end, settle = function() error "thrown" end,
      types = function() return { fields = "" } end }
    local decoder = core.answer.new(core.answer.shapes(setup), "T", 1000, 10, false)
    decoder:feed '{"b":1}'
    assert.error_matches(function() decoder:next() end, "thrown")
    assert.error_matches(function() decoder:next() end, "could not be")
    decoder:close()
    decoder, setup = nil, nil -- luacheck: ignore
    collect()
    assert.equal(before, core.alive().answer)
  end)

  it("costs time in proportion to what comes, not to how it is cut", function()
    local decoder = answer.decoder(TYPE, 10000000, 100, true)
    local stream = event(("x"):rep(200000), 1)
    for at = 1, #stream, 100 do
      decoder:feed(stream:sub(at, at + 99))
      local value = decoder:next()
      if value then assert.equal(200000 + #'fünf ""', #text_of(value)) end
    end
    decoder:close()
  end)
end)
