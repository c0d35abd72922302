-- The comparisons of the conformance runner: what they let pass, and above all what they must not.
local json = require "dkjson"
local bytes = require "spec.support.bytes"
local conformance = require "spec.support.conformance"

local function decode(text)
  local value = assert(json.decode(text, 1, json.null))
  return value
end

-- An exchange as the scripted server records it.
local function received(method, target, header, body)
  return {
    method = method, target = target, request_line = method .. " " .. target .. " HTTP/1.1", header = header,
    body = body, body_bytes = #body, sha256 = bytes.sha256(body), complete = true,
  }
end

local function request(text, optional)
  return {
    method = "POST", path = "/v1beta/models/m:generateContent", query = {},
    headers = { ["content-type"] = "application/json", ["x-goog-api-key"] = "k" }, headers_optional = optional,
    body = { json = decode(text) },
  }
end

local function sent(text, changes)
  local exchange = received("POST", "/v1beta/models/m:generateContent", {
    ["content-type"] = "application/json", ["x-goog-api-key"] = "k", ["user-agent"] = "x",
  }, text)
  for name, value in pairs(changes or {}) do exchange[name] = value end
  return exchange
end

local function agree(expected, actual)
  assert.same({}, conformance.compare_request(request(expected), sent(actual)))
end

local function differ(expected, actual, pattern)
  local differences = conformance.compare_request(request(expected), sent(actual))
  assert.is_true(#differences > 0, "must differ: " .. actual)
  assert.matches(pattern or "", table.concat(differences, "\n"))
end

describe("byte expressions", function()
  it("are the bytes that the README says", function()
    assert.equal("abc", bytes.expand("abc"))
    assert.equal("\226\130\172", bytes.expand { ["$hex"] = "e282ac" })
    assert.equal("\7\138\18", bytes.expand { ["$bytes"] = { pattern = "counter", length = 3 } })
    assert.equal("\18", bytes.expand { ["$bytes"] = { pattern = "counter", length = 1, offset = 2 } })
    assert.equal(bytes.counter(1000):sub(301), bytes.counter(700, 300))
    assert.equal("B4oS", bytes.expand { ["$base64"] = { ["$bytes"] = { pattern = "counter", length = 3 } } })
    assert.equal("xyxy", bytes.expand { ["$text"] = { ["repeat"] = "xy", times = 2 } })
    assert.equal("a\0b", bytes.expand { ["$concat"] = { "a", { ["$hex"] = "00" }, "b" } })
  end)

  it("must agree with the digest beside them", function()
    assert.error(function() bytes.expand { ["$hex"] = "00", ["$sha256"] = ("0"):rep(64) } end)
  end)

  it("encode base64 of every length", function()
    local texts = { [""] = "", a = "YQ==", ab = "YWI=", abc = "YWJj", ["\255\255\255\255"] = "/////w==" }
    for data, text in pairs(texts) do assert.equal(text, bytes.base64(data)) end
  end)
end)

describe("the comparison of requests", function()
  it("lets members come in any order and numbers in any form", function()
    agree('{"a":1,"b":[1.5,"x"]}', '{ "b": [15e-1, "x"], "a": 1.0 }')
  end)

  it("sees every change of the body", function()
    differ('{"a":1}', '{"a":2}', "body%.a")
    differ('{"a":1}', '{}', "body%.a is missing")
    differ('{"a":1}', '{"a":1,"b":null}', "body%.b is too much")
    differ('{"a":"1"}', '{"a":1}')
    differ('{"a":[1,2]}', '{"a":[2,1]}')
    differ('{"a":[1,2]}', '{"a":[1]}', "2 items are expected, not 1")
    differ('{"a":[]}', '{"a":{}}')
    differ('{"a":null}', '{}')
    differ('{"a":null}', '{"a":false}')
    differ('{"aB":1}', '{"a_b":1}')
    differ('{"a":"é"}', '{"a":"e\204\129"}')
    differ('{"a":1}', '{"a":1', "no JSON")
    differ('{"a":1}', "", "body%.a is missing")
    differ('{"a":{"b":[{"c":true}]}}', '{"a":{"b":[{"c":false}]}}', "body%.a%.b%[0%]%.c")
  end)

  it("takes an empty body for an empty object", function()
    agree("{}", "")
    agree("{}", "{}")
    differ("{}", "[]")
    local none = request("{}")
    none.body = nil
    assert.same({}, conformance.compare_request(none, sent("{}")))
    assert.same({}, conformance.compare_request(none, sent("")))
    assert.is_true(#conformance.compare_request(none, sent('{"a":1}')) > 0)
  end)

  it("takes an empty generationConfig for an absent one", function()
    agree('{"generationConfig":{}}', "{}")
    agree('{"a":1}', '{"a":1,"generationConfig":{}}')
    differ('{"generationConfig":{"topK":1}}', "{}")
    differ('{"x":{"generationConfig":{}}}', '{"x":{}}')
  end)

  it("does not care for the role of a system instruction, as far as it may vary", function()
    local expected = '{"systemInstruction":{"parts":[{"text":"a"}],"role":"user"}}'
    agree(expected, '{"systemInstruction":{"parts":[{"text":"a"}]}}')
    agree(expected, '{"systemInstruction":{"parts":[{"text":"a"}],"role":"system"}}')
    differ(expected, '{"systemInstruction":{"parts":[{"text":"a"}],"role":"model"}}')
    differ('{"contents":[{"parts":[],"role":"user"}]}', '{"contents":[{"parts":[]}]}')
  end)

  it("lets contents to embed be without a role", function()
    local embed = request '{"requests":[{"content":{"role":"user","parts":[]}}]}'
    embed.path = "/v1beta/models/m:batchEmbedContents"
    local function same(text)
      return #conformance.compare_request(embed, sent(text, { target = "/v1beta/models/m:batchEmbedContents" })) == 0
    end
    assert.is_true(same '{"requests":[{"content":{"parts":[]}}]}')
    assert.is_true(same '{"requests":[{"content":{"parts":[],"role":"user"}}]}')
    assert.is_false(same '{"requests":[{"content":{"parts":[],"role":"model"}}]}')
  end)

  it("accepts each alphabet of base64 where bytes are carried, and other bytes nowhere", function()
    agree('{"inlineData":{"data":"+/8="}}', '{"inlineData":{"data":"-_8"}}')
    agree('{"thoughtSignature":"+/8="}', '{"thoughtSignature":"-_8="}')
    differ('{"inlineData":{"data":"+/8="}}', '{"inlineData":{"data":"+/9="}}', "other bytes")
    differ('{"args":{"data":"+/8="}}', '{"args":{"data":"-_8="}}')
  end)

  it("makes strings of the expressions in a body", function()
    agree('{"inlineData":{"data":{"$base64":{"$bytes":{"pattern":"counter","length":3}}}}}',
      '{"inlineData":{"data":"B4oS"}}')
    differ('{"inlineData":{"data":{"$base64":{"$bytes":{"pattern":"counter","length":3}}}}}',
      '{"inlineData":{"data":"B4oT"}}')
    agree('{"text":{"$text":{"repeat":"ab","times":3}}}', '{"text":"ababab"}')
  end)

  it("sees a wrong line, path, query or a body that was cut", function()
    local function differs(changes)
      return #conformance.compare_request(request("{}"), sent("{}", changes)) > 0
    end
    assert.is_false(differs {})
    assert.is_true(differs { method = "PUT" })
    assert.is_true(differs { target = "/v1beta/models/n:generateContent" })
    assert.is_true(differs { target = "/v1beta/models/m:generateContent?key=k" })
    assert.is_true(differs { complete = false })
    assert.is_false(differs { target = "/v1beta/models/%6d%3AgenerateContent" })
  end)

  it("compares queries as sets", function()
    local list = request("{}")
    list.query = { pageSize = "5", pageToken = "a b&c" }
    local function same(query)
      return #conformance.compare_request(list, sent("", { target = list.path .. query })) == 0
    end
    assert.is_true(same "?pageToken=a%20b%26c&pageSize=5")
    assert.is_true(same "?pageSize=5&pageToken=a+b%26c")
    assert.is_false(same "?pageSize=5")
    assert.is_false(same "?pageToken=a%20b%26c&pageSize=5&pageSize=5")
    assert.is_false(same "?pageToken=a%20b%26c&pageSize=6")
  end)

  it("sees a missing or another header, and what does not count in one", function()
    local function same(header)
      return #conformance.compare_request(request('{"a":1}'), sent('{"a":1}', { header = header })) == 0
    end
    assert.is_true(same { ["content-type"] = "Application/JSON; charset=UTF-8", ["x-goog-api-key"] = "k" })
    assert.is_false(same { ["content-type"] = "application/json" })
    assert.is_false(same { ["content-type"] = "application/json", ["x-goog-api-key"] = "K" })
    assert.is_false(same { ["content-type"] = "application/json", ["x-goog-api-key"] = "k, k" })
    assert.is_false(same { ["content-type"] = "text/json", ["x-goog-api-key"] = "k" })
    assert.is_false(same { ["x-goog-api-key"] = "k" })
    local command = request("{}")
    command.headers = { ["x-goog-upload-command"] = "upload, finalize" }
    assert.same({}, conformance.compare_request(command, sent("",
      { header = { ["x-goog-upload-command"] = "upload,finalize" } })))
  end)

  it("wants a content type only where there is content", function()
    assert.same({}, conformance.compare_request(request("{}"), sent("", { header = { ["x-goog-api-key"] = "k" } })))
  end)

  it("lets optional headers be absent, but not wrong", function()
    local function same(name)
      local exchange = sent("{}")
      exchange.header["x-goog-upload-file-name"] = name
      return #conformance.compare_request(request("{}", { ["x-goog-upload-file-name"] = "ä b.txt" }), exchange) == 0
    end
    assert.is_true(same(nil))
    assert.is_true(same "ä b.txt")
    assert.is_true(same "%C3%A4%20b.txt")
    assert.is_false(same "b.txt")
  end)

  it("compares binary bodies byte by byte", function()
    local binary = request("{}")
    binary.body = { bytes = { ["$hex"] = "00ff" } }
    assert.same({}, conformance.compare_request(binary, sent("\0\255")))
    assert.is_true(#conformance.compare_request(binary, sent("\0\254")) > 0)
    assert.is_true(#conformance.compare_request(binary, sent("\0\255\0")) > 0)
  end)

  it("lets the start of an upload say in its body what its headers say, or not", function()
    local start = request '{"file":{"sizeBytes":"3","mimeType":"text/plain","displayName":"x"}}'
    start.headers = { ["x-goog-upload-command"] = "start" }
    local bare = request '{"file":{"sizeBytes":"3","mimeType":"text/plain"}}'
    bare.headers = start.headers
    local function same(expected, text)
      return #conformance.compare_request(expected, sent(text, { header = start.headers })) == 0
    end
    assert.is_true(same(start, '{"file":{"sizeBytes":3,"mimeType":"text/plain","displayName":"x"}}'))
    assert.is_true(same(start, '{"file":{"displayName":"x"}}'))
    assert.is_false(same(start, '{"file":{"displayName":"y"}}'))
    assert.is_false(same(start, '{"file":{"sizeBytes":4,"displayName":"x"}}'))
    assert.is_false(same(start, '{"file":{"mimeType":"a/b","displayName":"x"}}'))
    assert.is_false(same(start, "{}"))
    assert.is_true(same(bare, "{}"))
    assert.is_true(same(bare, ""))
    assert.is_true(same(bare, '{"file":{}}'))
    assert.is_false(same(bare, '{"file":{"name":"files/x"}}'))
  end)

  it("counts: neither more nor fewer", function()
    local case = { exchanges = { { request = request('{"a":1}') } } }
    assert.same({}, conformance.compare_requests(case, { sent '{"a":1}' }))
    assert.matches("1 requests are expected, not 0", conformance.compare_requests(case, {})[1])
    assert.matches("1 requests are expected, not 2",
      conformance.compare_requests(case, { sent '{"a":1}', sent '{"a":1}' })[1])
    assert.is_true(#conformance.compare_requests({ exchanges = {} }, { sent "{}" }) > 0)
  end)
end)

describe("the comparison of large uploads", function()
  local UNIT = 262144
  local DATA = bytes.counter(2 * UNIT + 5)

  local function case()
    local start = request("{}")
    start.headers = { ["x-goog-upload-command"] = "start" }
    local headers = { ["x-goog-upload-url"] = "http://h:1/up?upload_id=1" }
    return {
      exchanges = { { request = start, response = { headers = headers } } },
      upload = { size = #DATA, sha256 = bytes.sha256(DATA), final_response = 0 },
    }
  end

  -- Each chunk: { command, first byte, last byte, offset (default: as it must be) }.
  local function upload(...)
    local exchanges = { sent("", { header = { ["x-goog-upload-command"] = "start" } }) }
    for _, chunk in ipairs { ... } do
      local body = DATA:sub(chunk[2] + 1, chunk[3])
      local header = { ["x-goog-upload-command"] = chunk[1], ["x-goog-upload-offset"] = tostring(chunk[4] or chunk[2]) }
      exchanges[#exchanges + 1] = received("POST", chunk.target or "/up?upload_id=1", header, body)
    end
    return conformance.compare_requests(case(), exchanges)
  end

  it("accepts any division that the protocol allows", function()
    assert.same({}, upload({ "upload, finalize", 0, #DATA }))
    assert.same({}, upload({ "upload", 0, UNIT }, { "upload,finalize", UNIT, #DATA }))
    assert.same({}, upload({ "upload", 0, 2 * UNIT }, { "upload, finalize", 2 * UNIT, #DATA }))
  end)

  it("refuses all others", function()
    local wrong = {
      {},
      { { "upload", 0, 2 * UNIT } },
      { { "upload", 0, #DATA }, { "finalize", #DATA, #DATA } },
      { { "upload", 0, UNIT - 1 }, { "upload, finalize", UNIT - 1, #DATA } },
      { { "upload", 0, UNIT }, { "upload, finalize", UNIT, #DATA, 0 } },
      { { "upload", 0, UNIT }, { "upload", 0, UNIT }, { "upload, finalize", UNIT, #DATA } },
      { { "upload, finalize", 0, UNIT }, { "upload, finalize", UNIT, #DATA } },
      { { "upload, finalize", 0, #DATA - 1 } },
      { { "upload, finalize", 0, #DATA, target = "/up" } },
    }
    for _, chunks in ipairs(wrong) do assert.is_true(#upload((table.unpack or unpack)(chunks)) > 0) end -- luacheck: ignore
  end)
end)

describe("the comparison of outcomes", function()
  local function compare(expected, actual, alternatives)
    local case = { outcome = { steps = { decode(expected) } }, outcome_alternatives = alternatives }
    return conformance.compare_outcome(case, { steps = { actual } })
  end

  local function agrees(expected, actual) assert.same({}, compare(expected, actual)) end
  local function differs(expected, actual) assert.is_true(#compare(expected, actual) > 0) end

  it("wants every member, and does not mind more", function()
    agrees('{"result":{"a":1}}', { result = { a = 1, b = 2 } })
    differs('{"result":{"a":1}}', { result = { b = 2 } })
    differs('{"result":{"a":1}}', { result = { a = 2 } })
    differs('{"result":{"a":{"b":"x"}}}', { result = { a = { b = "y" } } })
    differs('{"result":{"a":{"b":"x"}}}', { result = { a = "x" } })
    differs('{"result":{"a":true}}', { result = { a = false } })
  end)

  it("knows both spellings of a name", function()
    agrees('{"result":{"total_tokens":1}}', { result = { totalTokens = 1 } })
    agrees('{"result":{"fieldViolations":[1]}}', { result = { field_violations = { 1 } } })
  end)

  it("takes null, empty and absent for the same, and nothing else", function()
    for _, none in ipairs { "null", "[]", "{}" } do
      local expected = ('{"result":{"x":1,"a":%s}}'):format(none)
      agrees(expected, { result = { x = 1 } })
      agrees(expected, { result = { x = 1, a = {} } })
      agrees(expected, { result = { x = 1, a = json.null } })
      differs(expected, { result = { x = 1, a = 0 } })
      differs(expected, { result = { x = 1, a = { 1 } } })
    end
    differs('{"result":{"a":0}}', { result = {} })
  end)

  it("wants lists whole and in order", function()
    agrees('{"items":[{"a":1},{"a":2}]}', { items = { { a = 1 }, { a = 2 } } })
    differs('{"items":[{"a":1},{"a":2}]}', { items = { { a = 2 }, { a = 1 } } })
    differs('{"items":[{"a":1}]}', { items = { { a = 1 }, { a = 2 } } })
    differs('{"items":[]}', { items = { { a = 1 } } })
  end)

  it("takes numbers for the strings that they came as", function()
    agrees('{"result":{"size_bytes":"13"}}', { result = { size_bytes = 13 } })
    agrees('{"result":{"size_bytes":"13"}}', { result = { size_bytes = "13" } })
    differs('{"result":{"size_bytes":"13"}}', { result = { size_bytes = 14 } })
    differs('{"result":{"a":1}}', { result = { a = "1" } })
  end)

  it("compares bytes by digest and length, or with their base64", function()
    local digest = bytes.sha256("\0\1\2")
    local expected = ('{"result":{"inline_data":{"data":{"$sha256":"%s","$length":3}}}}'):format(digest)
    agrees(expected, { result = { inline_data = { data = "\0\1\2" } } })
    differs(expected, { result = { inline_data = { data = "\0\1\3" } } })
    differs(expected, { result = { inline_data = { data = "AAEC" } } })
    differs(expected, { result = { inline_data = {} } })
    agrees('{"result":{"inline_data":{"data":"AAEC"}}}', { result = { inline_data = { data = "\0\1\2" } } })
    differs('{"result":{"inline_data":{"data":"AAEC"}}}', { result = { inline_data = { data = "\0\1" } } })
    differs('{"result":{"args":{"data":"AAEC"}}}', { result = { args = { data = "\0\1\2" } } })
    agrees(('{"text":{"$text_sha256":"%s"}}'):format(digest), { text = "\0\1\2" })
    differs(('{"text":{"$text_sha256":"%s"}}'):format(digest), { text = "\0\1" })
  end)

  it("lets the text be empty where there is none", function()
    agrees('{"text":null,"candidates":null}', { text = "", candidates = {} })
    differs('{"text":null}', { text = "x" })
    differs('{"text":"x"}', { text = "" })
    agrees('{"chunks":[{"text":null}],"text":""}', { chunks = { { text = "" } }, text = "" })
    differs('{"result":{"text":null}}', { result = { text = "" } })
  end)

  it("compares streams chunk by chunk", function()
    local two = '{"chunks":[{"text":"a"},{"text":"b"}],"text":"ab"}'
    agrees(two, { chunks = { { text = "a" }, { text = "b" } }, text = "ab" })
    differs(two, { chunks = { { text = "a" }, { text = "c" } }, text = "ab" })
    differs(two, { chunks = { { text = "ab" } }, text = "ab" })
    differs('{"chunks":[{"text":"a"}],"text":"ab"}', { chunks = { { text = "a" } }, text = "a" })
    differs('{"chunks":[{"text":"a"}]}', { chunks = { { text = "a" } }, error = { kind = "x", message = "m" } })
  end)

  it("compares errors of the API with all that is known of them", function()
    local expected = '{"error":{"kind":"api","http_status":400,"status":"BAD","message":"no","details":[{"aB":1}]}}'
    local function err(changes)
      local out = { kind = "invalid", code = 400, status = "BAD", message = "says: no", details = { { aB = 1 } } }
      for name, value in pairs(changes or {}) do out[name] = value end
      return { error = out }
    end
    agrees(expected, err())
    agrees(expected, err { details = { { a_b = 1 } } })
    differs(expected, err { code = 401 })
    differs(expected, err { status = "WORSE" })
    differs(expected, err { message = "yes" })
    differs(expected, err { details = {} })
    differs(expected, { result = {} })
    differs('{"result":{}}', err())
    agrees('{"error":{}}', err())
    agrees('{"error":{"kind":"api","http_status":400,"message":{"$contains":"n"}}}', err())
    differs('{"error":{"kind":"api","http_status":400,"message":{"$contains":"z"}}}', err())
  end)

  it("wants an error without a status where the API has not spoken", function()
    agrees('{"error":{"kind":"client"}}', { error = { kind = "invalid", message = "m" } })
    differs('{"error":{"kind":"client"}}', { error = { kind = "invalid", message = "m", code = 400 } })
    differs('{"error":{"kind":"api","http_status":400}}', { error = { kind = "invalid", message = "m" } })
  end)

  it("does not take a string for an error", function()
    differs('{"error":{}}', { error = "attempt to index a nil value" })
  end)

  it("passes with an alternative, and counts the steps", function()
    local failed = { error = { kind = "empty", message = "m" } }
    assert.same({}, compare('{"text":"x"}', failed, decode '[{"steps":[{"error":{}}]}]'))
    assert.is_true(#compare('{"text":"x"}', { text = "y" }, decode '[{"steps":[{"error":{}}]}]') > 0)
    local case = { outcome = { steps = decode '[{"text":"x"},{"text":"y"}]' } }
    assert.is_true(#conformance.compare_outcome(case, { steps = { { text = "x" } } }) > 0)
  end)
end)

describe("performing a case", function()
  local made, called

  -- A library that answers every call with what `answer` gives.
  local function library(answer)
    local function method(name)
      return function(_, arguments)
        called[#called + 1] = { name = name, arguments = arguments }
        return answer(#called, arguments)
      end
    end
    local function service(name)
      return setmetatable({}, { __index = function(_, verb) return method(name .. "." .. verb) end })
    end
    return {
      null = "NULL", array = function() return "EMPTY" end,
      Client = function(options)
        made = options
        return { models = service "models", files = service "files", close = function() end }
      end,
    }
  end

  local function perform(text, answer)
    called = {}
    return conformance.perform({ logical_call = decode(text) }, "http://x", {
      gemini = library(answer), options = { ["files.upload"] = { chunk_size = 8 } }, delivered = function() end,
    })
  end

  local function response(text) return { text = text, function_calls = {}, candidates = {} } end

  it("makes the client as the case says", function()
    perform('{"steps":[]}', function() end)
    assert.same({ api_key = "golden-api-key", http_options = { base_url = "http://x", retry_options = false } }, made)
    perform([[{"client":{"api_key":null,"http_options":{"timeout":1500,"headers":{"A":"b"},
      "retry_options":{"attempts":2},"base_url":"http://y/"}},"steps":[]}]], function() end)
    assert.same({ http_options = {
      base_url = "http://y/", timeout = 1.5, headers = { A = "b" }, retry_options = { attempts = 2 },
    } }, made)
  end)

  it("hands over arguments as a user writes them", function()
    local contents
    perform([[{"steps":[{"call":"files.upload","as":"f","args":{"file":{"$file":{"name":"a b.txt","content":"hi"}}}},
      {"call":"models.generate_content","args":{"contents":[{"d":{"$hex":"00"}},{"u":{"$ref":"f.list.1.uri"}},
      {"$ref":"#/x"},[],null]}}]}]], function(step, arguments)
      if step == 1 then
        local file = assert(io.open(arguments.file, "rb"))
        contents = file:read("*a")
        file:close()
        return { list = { { uri = "first" }, { uri = "second" } } }
      end
      return response("")
    end)
    assert.equal("hi", contents)
    assert.matches("/a b%.txt$", called[1].arguments.file)
    assert.equal(8, called[1].arguments.chunk_size)
    assert.is_nil(io.open(called[1].arguments.file))
    assert.same({ { d = "\0" }, { u = "second" }, { ["$ref"] = "#/x" }, "EMPTY", "NULL" }, called[2].arguments.contents)
  end)

  it("stops at the first failed step, but for one that may fail", function()
    local two = '{"steps":[{"call":"models.get","args":{}%s},{"call":"models.get","args":{}}]}'
    local function fail() return nil, { kind = "http", message = "m" } end
    assert.equal(1, #perform(two:format(""), fail).steps)
    assert.equal(2, #perform(two:format(',"may_fail":true'), fail).steps)
  end)

  it("reports what is raised, a call that is not there, and a key in an error", function()
    local get = '{"steps":[{"call":"models.get","args":{}}]}'
    assert.matches("raised: .*oops", perform(get, function() error("oops") end).problems[1])
    assert.matches("no client.caches.get", perform('{"steps":[{"call":"caches.get","args":{}}]}').problems[1])
    local leak = perform(get, function() return nil, { kind = "http", message = "key golden-api-key" } end)
    assert.matches("holds the key", leak.problems[1])
    assert.same({}, perform(get, function() return { name = "x" } end).problems)
  end)

  it("reads streams to their end and tells when a chunk was delivered", function()
    local delivered = {}
    called = {}
    local outcome = conformance.perform({ logical_call = decode [[{"steps":[
      {"call":"models.generate_content_stream","args":{}}]}]] }, "http://x", {
      gemini = library(function()
        local n = 0
        return {
          response = response("ab"), close = function() end,
          next = function()
            n = n + 1
            if n <= 2 then return response(n == 1 and "a" or "b") end
            return nil, { kind = "incomplete", message = "m" }
          end,
        }
      end),
      options = {}, delivered = function(k) delivered[#delivered + 1] = k end,
    })
    assert.same({ 1, 2 }, delivered)
    assert.equal("ab", outcome.steps[1].text)
    assert.equal(2, #outcome.steps[1].chunks)
    assert.equal("incomplete", outcome.steps[1].error.kind)
    assert.same({}, outcome.problems)
  end)

  it("reads lists page by page, or only the first", function()
    local function pager()
      local items, at = { "a", "b", "c" }, 0
      return setmetatable({ page = { "a" } }, { __call = function()
        at = at + 1
        return items[at]
      end })
    end
    local list = '{"steps":[{"call":"models.list","args":{}%s}]}'
    assert.same({ "a", "b", "c" }, perform(list:format(""), pager).steps[1].items)
    assert.same({ "a" }, perform(list:format(',"take":"first_page"'), pager).steps[1].items)
  end)
end)
