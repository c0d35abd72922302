local cjson = require "cjson"
local errors = require "lgemini.errors"
local refusal = require "lgemini.refusal"

local PASSING = { "rate_limited", "unavailable", "incomplete", "network", "timeout" }
local LASTING = { "invalid", "auth", "permission", "not_found", "conflict", "precondition", "too_large", "http",
  "file_failed", "file_expired", "blocked", "cut", "empty", "tls", "cancelled", "closed", "io", "protocol", "limit",
  "integrity", "unrecorded" }

local function rpc(name, fields)
  fields["@type"] = "type.googleapis.com/google.rpc." .. name
  return fields
end

local function body(code, status, message, ...)
  return cjson.encode { error = { code = code, status = status, message = message, details = select("#", ...) > 0
    and { ... } or nil } }
end

describe("errors.new", function()
  it("knows the kinds of the list and no other", function()
    for retryable, kinds in pairs { [true] = PASSING, [false] = LASTING } do
      for _, kind in ipairs(kinds) do
        local err = errors.new { kind = kind, message = "m" }
        assert.equal(kind, err.kind)
        assert.equal(retryable, err.retryable)
      end
    end
    local ok, problem = pcall(errors.new, { kind = "network_error", message = "m" })
    assert.is_false(ok)
    assert.is_truthy(problem:find("no such kind of error: network_error", 1, true))
  end)

  it("needs a message", function()
    assert.has_error(function()
      errors.new { kind = "io" }
    end, "an error needs a message")
  end)

  it("copies the fields", function()
    local fields = { kind = "timeout", message = "too\nlate", clock = "connect", cause = "x" }
    local err = errors.new(fields)
    assert.equal("connect", err.clock)
    assert.equal("x", err.cause)
    assert.equal("too late", err.message)
    assert.equal("too\nlate", fields.message)
    assert.is_nil(getmetatable(fields))
  end)

  it("is told whether another try may help, where that is known better", function()
    assert.is_true(errors.new({ kind = "invalid", message = "m", retryable = true }).retryable)
    assert.is_false(errors.new({ kind = "network", message = "m", retryable = false }).retryable)
  end)

  it("prints as one line", function()
    assert.equal("io: no such file", tostring(errors.new { kind = "io", message = "no such file" }))
    assert.equal("io: a b (do this, then that)",
      tostring(errors.new { kind = "io", message = " a\r\n\tb\n", hint = "do this,\nthen that" }))
    assert.equal("io: no reason was given", tostring(errors.new { kind = "io", message = "\0\n" }))
    assert.equal("io: [31mred", tostring(errors.new { kind = "io", message = "\27[31mred\0" }))
  end)
end)

describe("errors.is", function()
  it("tells error values from all else", function()
    assert.is_true(errors.is(errors.new { kind = "io", message = "m" }))
    for _, value in ipairs { {}, { kind = "io", message = "m" }, "io: m", 1, print } do
      assert.is_false(errors.is(value))
    end
    assert.is_false(errors.is(nil))
  end)
end)

describe("errors.misuse", function()
  it("blames the line that called", function()
    local function call()
      errors.misuse("bad thing") -- the first line outside lgemini is this one
    end
    local line = debug.getinfo(call, "S").linedefined + 1
    local ok, message = pcall(call)
    assert.is_false(ok)
    assert.is_truthy(message:find("errors_spec%.lua:" .. line .. ": bad thing$"), message)
  end)

  it("looks through lines of lgemini and through C", function()
    local options = require "lgemini.options"
    local function call()
      table.sort({ 1, 2 }, function()
        options.check({ nonsense = 1 }, { model = true }, "here")
      end)
    end
    local line = debug.getinfo(call, "S").linedefined + 2
    local ok, message = pcall(call)
    assert.is_false(ok)
    assert.is_truthy(message:find("errors_spec.lua:" .. line .. ": here: unknown option", 1, true), message)
  end)

  it("looks through any number of lines", function()
    local function call()
      require("lgemini.options").string(5, "model")
    end
    local line = debug.getinfo(call, "S").linedefined + 1
    local ok, message = pcall(call)
    assert.is_false(ok)
    assert.is_truthy(message:find("errors_spec.lua:" .. line .. ": model: string expected", 1, true), message)
  end)

  it("names no line where a coroutine holds only lines of lgemini", function()
    local thread = coroutine.create(errors.misuse)
    local ok, message = coroutine.resume(thread, "bad thing")
    assert.is_false(ok)
    assert.equal("bad thing", message)
  end)
end)

describe("errors.redact", function()
  for _, case in ipairs {
    { "a s3cr.t b s3cr.t", { "s3cr.t" }, "a [redacted] b [redacted]" },
    { "s3crxt", { "s3cr.t" }, "s3crxt" },
    { "abcdef", { "abc", "abcdef" }, "[redacted]" },
    { "nothing", { "" }, "nothing" },
    { "behind a hole", { nil, "hole" }, "behind a [redacted]" },
    { "key AIzaSyA_b-c1 ends", nil, "key [redacted] ends" },
    { "https://h/p?key=abc&alt=sse", nil, "https://h/p?key=[redacted]&alt=sse" },
    { "https://h/p?Key=abc", nil, "https://h/p?Key=[redacted]" },
    { 'u="?upload_id=ABg-_1&x=1"', nil, 'u="?upload_id=[redacted]&x=1"' },
    { "?access_token=abc d", nil, "?access_token=[redacted] d" },
    { "100% of the key", nil, "100% of the key" },
    { "50%1 x", { "x" }, "50%1 [redacted]" },
  } do
    it("makes of " .. case[1], function()
      assert.equal(case[3], (errors.redact(case[1], case[2])))
    end)
  end
end)

describe("refusal.from_status", function()
  it("knows gRPC's numbers", function()
    for code, wanted in pairs {
      [1] = "http 499 CANCELLED", [2] = "unavailable 500 UNKNOWN", [3] = "invalid 400 INVALID_ARGUMENT",
      [4] = "unavailable 504 DEADLINE_EXCEEDED", [5] = "not_found 404 NOT_FOUND", [6] = "conflict 409 ALREADY_EXISTS",
      [7] = "permission 403 PERMISSION_DENIED", [8] = "rate_limited 429 RESOURCE_EXHAUSTED",
      [9] = "precondition 400 FAILED_PRECONDITION", [10] = "conflict 409 ABORTED", [11] = "invalid 400 OUT_OF_RANGE",
      [12] = "unavailable 501 UNIMPLEMENTED", [13] = "unavailable 500 INTERNAL", [14] = "unavailable 503 UNAVAILABLE",
      [15] = "unavailable 500 DATA_LOSS", [16] = "auth 401 UNAUTHENTICATED",
    } do
      local err = refusal.from_status { code = code, message = "Why." }
      assert.equal(wanted, ("%s %d %s"):format(err.kind, err.code, err.status))
      assert.equal("Why.", err.message)
    end
  end)

  it("makes do with little, and lets no key through", function()
    assert.equal("http: the service gives no reason", tostring(refusal.from_status {}))
    assert.equal("http", refusal.from_status { code = 99, message = "x" }.kind)
    assert.equal("INTERNAL", refusal.from_status { code = 13 }.message)
    local err = refusal.from_status { code = 3, message = "key AIzaSyABC", details = { { reason = "AIzaSyABC" } } }
    assert.falsy(err.message:find("AIza", 1, true))
    assert.falsy(err.details[1].reason:find("AIza", 1, true))
  end)
end)

describe("refusal.from_http", function()
  local FILE_403 = "You do not have permission to access the File my-clip-01 or it may not exist."
  local cases = {
    { "invalid", { code = 400, body = body(400, "INVALID_ARGUMENT", "Bad.") } },
    { "auth", { code = 400, body = body(400, "INVALID_ARGUMENT", "No.",
      rpc("ErrorInfo", { reason = "API_KEY_INVALID", domain = "googleapis.com" })) } },
    { "auth", { code = 400, body = body(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.") } },
    { "invalid", { code = 400, body = body(400, "INVALID_ARGUMENT", "api keys may not be in the prompt") } },
    { "auth", { code = 401, body = body(401, "UNAUTHENTICATED", "Who?") } },
    { "auth", { code = 403, body = body(403, "PERMISSION_DENIED", "Blocked.",
      rpc("ErrorInfo", { reason = "API_KEY_SERVICE_BLOCKED" })) } },
    { "auth", { code = 403, body = body(403, "PERMISSION_DENIED", "Your API key was reported as leaked.") } },
    { "auth", { code = 403, body = body(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.") } },
    { "permission", { code = 403, body = body(403, "PERMISSION_DENIED", "Not for you.") } },
    { "permission", { code = 403, body = body(403, "PERMISSION_DENIED", "Not for you."), file = "files/x" } },
    { "permission", { code = 403, body = body(403, "PERMISSION_DENIED", "CachedContent not found (or denied)") } },
    { "permission", { code = 403, body = body(403, "PERMISSION_DENIED", "No profiles/x or File Search store.") } },
    { "permission", { code = 403, body = "no such file" } },
    { "file_expired", { code = 403, body = body(403, "PERMISSION_DENIED", FILE_403) } },
    { "file_expired", { code = 404, body = body(404, "NOT_FOUND", "The file files/abc is gone."), model = "m" } },
    { "file_expired", { code = 404, body = body(404, "NOT_FOUND", "Not found."), file = "files/abc" } },
    { "file_expired", { code = 403, body = body(403, "PERMISSION_DENIED", "File is gone.") } },
    { "not_found", { code = 404, body = body(404, "NOT_FOUND", "models/x is not found."), model = "x" } },
    { "not_found", { code = 404, body = "<html><title>Error 404 (Not Found)!!1</title>", file = "files/abc" } },
    { "conflict", { code = 409, body = body(409, "ALREADY_EXISTS", "Taken.") } },
    { "precondition", { code = 400, body = body(400, "FAILED_PRECONDITION", "Not in an ACTIVE state.") } },
    { "too_large", { code = 413, body = "" } },
    { "rate_limited", { code = 429, body = body(429, "RESOURCE_EXHAUSTED", "Slow down.") } },
    { "unavailable", { code = 408 } },
    { "unavailable", { code = 500, body = "" } },
    { "unavailable", { code = 503, body = body(503, "UNAVAILABLE", "Busy.") } },
    { "unavailable", { code = 504, body = body(504, "DEADLINE_EXCEEDED", "Late.") } },
    { "unavailable", { code = 599 } },
    { "http", { code = 418 } },
    { "http", { code = 302 } },
    { "http", { code = 499, body = body(499, "CANCELLED", "Gone.") } },
    { "http", { code = 600 } },
    { "http", { code = 200, body = '{"error":{"message":"What?"}}' } },
    { "http", { body = "" } },
    -- in a stream: the object's own code counts, or its status
    { "unavailable", { code = 200, body = body(503, "UNAVAILABLE", "Busy.") } },
    { "rate_limited", { body = '{"error":{"status":"RESOURCE_EXHAUSTED","message":"Slow."}}' } },
    { "invalid", { code = 200, body = '{"error":{"status":"INVALID_ARGUMENT"}}' } },
  }
  for i, case in ipairs(cases) do
    it(("finds the kind %s (%d: %s)"):format(case[1], i, tostring(case[2].code)), function()
      local err = refusal.from_http(case[2])
      assert.is_true(errors.is(err))
      assert.equal(case[1], err.kind)
    end)
  end

  -- { body, message, status, code }
  local long = ("é"):rep(1500)
  local bodies = {
    { '{"error":{"code":400,"message":"One.","status":"INVALID_ARGUMENT"}}', "One.", "INVALID_ARGUMENT" },
    { '[{"error":{"code":400,"message":"Two.","status":"INVALID_ARGUMENT"}}]', "Two.", "INVALID_ARGUMENT" },
    { ' [ {"error":{"message":"Three."}}\n]', "Three." },
    { '{"error":{"code":"invalid_request","message":"Four."}}', "Four.", "invalid_request" },
    { '{"message":"Five.","code":"E_PROXY"}', "Five.", "E_PROXY" },
    { '{"code":400,"message":"Six.","status":"INVALID_ARGUMENT"}', "Six.", "INVALID_ARGUMENT" },
    { '{"error":"invalid_grant","error_description":"Seven."}', "Seven.", "invalid_grant" },
    { '{"error":"just a word"}', "just a word", "just a word" },
    { '{"detail":"Eight."}', '{"detail":"Eight."}' },
    { '{"error":{"message":null,"status":null,"code":null,"details":null}}',
      '{"error":{"message":null,"status":null,"code":null,"details":null}}' },
    { '["Nine."]', '["Nine."]' },
    { '{"error":{"message":"cut', '{"error":{"message":"cut' },
    { cjson.encode { error = { code = 400, status = "Bad Request", message =
      '{"error":{"code":400,"message":"Ten.","status":"INVALID_ARGUMENT"}}' } }, "Ten.", "INVALID_ARGUMENT" },
    { cjson.encode { error = { message = cjson.encode { error = { message = '{"message":"Deep."}' } } } }, "Deep." },
    { '{"error":{"message":"[not JSON] Eleven."}}', "[not JSON] Eleven." },
    { '{"error":{"message":"Many\\nlines\\n* of words"}}', "Many lines * of words" },
    { "upstream connect error", "upstream connect error" },
    { "  plain\r\ntext \n", "plain text" },
    { "", "the server answered HTTP 400 and no more" },
    { "{}", "the server answered HTTP 400 and no more" },
    { "<html><title>Error 400 (Bad Request)!!1</title><body>x</body></html>", "Error 400 (Bad Request)!!1" },
    { "<!DOCTYPE html>\n<html lang=en>\n<title>413</title>\n<p><b>413</b> <ins>That’s an error.</ins> More.\n",
      "413 That’s an error." },
    { "<html><style>p { color: red. }</style><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway" },
    { "<HTML><BODY>Tom &amp; &lt;Jerry&gt; &unknown; ran. And ran.</BODY></HTML>", "Tom & <Jerry> &unknown; ran." },
    { "<title>Bad\n&amp; <b>", "Bad &" },
    { "<html></html>", "the server answered HTTP 400 and no more" },
    { cjson.encode { error = { message = long } }, ("é"):rep(998) .. "..." },
    { cjson.encode { error = { message = "x" .. long } }, "x" .. ("é"):rep(998) .. "..." },
  }
  for i, case in ipairs(bodies) do
    it(("reads body %d: %s"):format(i, case[1]:sub(1, 40):gsub("%c", " ")), function()
      local err = refusal.from_http { code = 400, body = case[1] }
      assert.equal(case[2], err.message)
      assert.equal(case[3], err.status)
      assert.equal(400, err.code)
      assert.is_true(#err.message <= 2000)
    end)
  end

  it("takes text/html at its word", function()
    local err = refusal.from_http { code = 502, headers = { ["content-type"] = "text/html; charset=UTF-8" },
      body = "\n<!-- page --><b>Oh no.</b>" }
    assert.equal("Oh no.", err.message)
  end)

  it("looks at a bounded piece of a page", function()
    local err = refusal.from_http { code = 502, body = "<html>" .. ("<p"):rep(100000) .. ("<title"):rep(100000) }
    assert.is_true(#err.message <= 2000)
  end)

  it("keeps code, status and details", function()
    local err = refusal.from_http { code = 400, body = body(499, "INVALID_ARGUMENT", "Bad.",
      rpc("BadRequest", { fieldViolations = { { field = "contents[0]", description = "oneof" } } })) }
    assert.equal(400, err.code)
    assert.equal("INVALID_ARGUMENT", err.status)
    assert.equal("contents[0]", err.details[1].fieldViolations[1].field)
  end)

  it("takes the number of an error in a stream from the object", function()
    assert.equal(503, refusal.from_http({ code = 200, body = body(503, "UNAVAILABLE", "Busy.") }).code)
    assert.equal(503, refusal.from_http({ code = 200, body = '{"error":{"code":503}}' }).code)
    for status, code in pairs { INVALID_ARGUMENT = 400, FAILED_PRECONDITION = 400, OUT_OF_RANGE = 400,
      UNAUTHENTICATED = 401, PERMISSION_DENIED = 403, NOT_FOUND = 404, ABORTED = 409, ALREADY_EXISTS = 409,
      RESOURCE_EXHAUSTED = 429, CANCELLED = 499, INTERNAL = 500, UNKNOWN = 500, DATA_LOSS = 500, UNIMPLEMENTED = 501,
      UNAVAILABLE = 503, DEADLINE_EXCEEDED = 504 } do
      assert.equal(code, refusal.from_http({ body = '{"error":{"status":"' .. status .. '"}}' }).code, status)
    end
  end)

  it("reads code and details of an error within an error", function()
    local inner = body(429, "RESOURCE_EXHAUSTED", "Slow.", rpc("RetryInfo", { retryDelay = "5s" }))
    local err = refusal.from_http { code = 200, body = cjson.encode { error = { message = inner } } }
    assert.equal(429, err.code)
    assert.equal("Slow.", err.message)
    assert.equal(5, err.retry_after)
    err = refusal.from_http { code = 200,
      body = cjson.encode { error = { message = '{"code":418,"message":"Tea."}' } } }
    assert.equal(418, err.code)
  end)

  it("finds the name of the file", function()
    local function file(message, given)
      return refusal.from_http({ code = 403, body = body(403, "PERMISSION_DENIED", message), file = given }).file
    end
    assert.equal("files/my-clip-01", file(FILE_403))
    assert.equal("files/my-clip-01", file(FILE_403, "files/other"))
    assert.equal("files/abc-1", file("The file files/abc-1 does not exist."))
    assert.equal("files/abc", file("No access to https://host/v1beta/files/abc"))
    assert.equal("files/mine", file("File is gone.", "files/mine"))
    assert.is_nil(file("Not for you.", "files/mine"))
  end)

  it("finds the request's id, but no secret of an upload", function()
    local function id(headers, text)
      return refusal.from_http({ code = 500, headers = headers, body = text }).request_id
    end
    assert.equal("a", id { ["x-goog-request-id"] = "a", ["x-request-id"] = "b" })
    assert.equal("b", id { ["x-request-id"] = "b" })
    assert.equal("c", id({}, body(500, "INTERNAL", "m", rpc("RequestInfo", { requestId = "c" }))))
    assert.is_nil(id { ["x-guploader-uploadid"] = "secret" })
  end)

  describe("retry_after", function()
    local now = 784111777 -- Sun, 06 Nov 1994 08:49:37 GMT
    local function after(delay, header)
      local details = delay and { rpc("RetryInfo", { retryDelay = delay }) } or {}
      return refusal.from_http({ code = 503, headers = { ["retry-after"] = header }, now = now,
        body = body(503, "UNAVAILABLE", "Busy.", details[1]) }).retry_after
    end
    for _, case in ipairs {
      { "17s", nil, 17 },
      { "23.472316927s", nil, 23.472316927 },
      { "1.5s", "99", 1.5 },
      { "0s", nil, 0 },
      { "0.05s", nil, 0.05 },
      { nil, "120", 120 },
      { nil, "0", 0 },
      { nil, "Sun, 06 Nov 1994 08:51:07 GMT", 90 },
      { nil, "Mon, 07 Nov 1994 08:49:37 GMT", 86400 },
      { nil, "Wed, 01 Mar 1995 00:00:00 GMT", 794016000 - 784111777 },
      { nil, "Thu, 29 Feb 1996 00:00:00 GMT", 825552000 - 784111777 },
      { nil, "Sun, 06 Nov 1994 08:00:00 GMT", 0 },
      { nil, "Sun, 06 Foo 1994 08:51:07 GMT", nil },
      { nil, "soon", nil },
      { nil, "-5", nil },
      { nil, "999999999", 999999999 },
      { nil, "9999999999", nil },
      { nil, "Mon, 01 Mar 2100 00:00:00 GMT", 4107542400 - 784111777 },
      { "never", "7", 7 },
      { "-3s", nil, nil },
      { ("9"):rep(400) .. "s", nil, nil },
      { "1." .. ("9"):rep(400) .. "s", nil, 1.999999999 },
      { nil, nil, nil },
    } do
      it(("is %s of %s and %s"):format(tostring(case[3]), tostring(case[1]):sub(1, 20), tostring(case[2])), function()
        assert.equal(case[3], after(case[1], case[2]))
      end)
    end

    it("knows the months", function()
      local day = -1
      for month in ("Jan31 Feb28 Mar31 Apr30 May31 Jun30 Jul31 Aug31 Sep30 Oct31 Nov30 Dec31"):gmatch "%S+" do
        local year = 757382400 -- 1 January 1994
        local name, days = month:sub(1, 3), tonumber(month:sub(4))
        local first = refusal.from_http { code = 503, now = year - 86400,
          headers = { ["retry-after"] = "Sat, 01 " .. name .. " 1994 00:00:00 GMT" } }
        assert.equal((day + 2) * 86400, first.retry_after)
        day = day + days
      end
    end)

    it("reads dates by the machine's clock where no other is given", function()
      local headers = { ["retry-after"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 1000) }
      local seconds = refusal.from_http({ code = 503, headers = headers }).retry_after
      assert.is_true(seconds > 900 and seconds <= 1000)
    end)
  end)

  describe("of a used-up quota", function()
    local function limited(...)
      local violations = {}
      for i = 1, select("#", ...) do
        violations[i] = { quotaId = (select(i, ...)) }
      end
      return refusal.from_http { code = 429, body = body(429, "RESOURCE_EXHAUSTED", "Slow down.",
        rpc("QuotaFailure", { violations = violations }), rpc("RetryInfo", { retryDelay = "34.07s" })) }
    end

    it("tells day from minute", function()
      assert.equal("minute", limited("GenerateRequestsPerMinutePerProjectPerModel").quota)
      assert.equal("day", limited("GenerateRequestsPerDayPerProjectPerModel-FreeTier").quota)
      assert.equal("day", limited("GenerateRequestsPerDay", "GenerateRequestsPerMinute").quota)
      assert.equal("day", limited("GenerateRequestsPerMinute", "GenerateRequestsPerDay").quota)
      assert.is_nil(limited("Other").quota)
      assert.is_nil(limited().quota)
    end)

    it("says how long, and what the free tier has to do with it", function()
      local err = limited "GenerateRequestsPerMinute-FreeTier"
      assert.is_truthy(err.hint:find("try again in 35 s", 1, true), err.hint)
      assert.is_truthy(err.hint:find("per minute", 1, true))
      assert.is_truthy(err.hint:find("this is the free tier", 1, true))
      assert.is_true(err.retryable)
      err = limited "GenerateRequestsPerDay"
      assert.is_truthy(err.hint:find("per day is used up", 1, true))
      assert.is_nil(err.hint:find("34", 1, true))
      assert.is_false(err.retryable)
      assert.is_truthy(refusal.from_http({ code = 429 }).hint:find("free tier", 1, true))
      err = refusal.from_http { code = 429, headers = { ["retry-after"] = "3600" } }
      assert.is_truthy(err.hint:find("try again in 60 minutes", 1, true), err.hint)
      err = refusal.from_http { code = 429, body = body(429, "RESOURCE_EXHAUSTED", "Slow down.",
        rpc("QuotaFailure", { violations = { { quotaId = "GenerateRequestsPerMinute" } } })) }
      assert.is_truthy(err.hint:find("the quota per minute is used up: try again in a minute", 1, true), err.hint)
    end)

    it("copes with nonsense in the details", function()
      for _, details in ipairs { '"x"', "[1,null]", "[[]]", '[{"@type":3}]', '{"a":1}',
        '[{"@type":"google.rpc.QuotaFailure","violations":3}]',
        '[{"@type":"google.rpc.RetryInfo","retryDelay":{}},{"@type":"google.rpc.ErrorInfo","reason":{}}]' } do
        local err = refusal.from_http { code = 429, body = '{"error":{"message":"m","details":' .. details .. "}}" }
        assert.equal("rate_limited", err.kind)
        assert.is_nil(err.retry_after)
      end
    end)
  end)

  describe("hints", function()
    local function hint(given)
      return refusal.from_http(given).hint
    end
    local function has(text, words)
      assert.is_truthy(text and text:find(words, 1, true), tostring(text))
    end

    it("of auth: where a key is looked for", function()
      local text = hint { code = 401 }
      has(text, "GOOGLE_API_KEY")
      has(text, "GEMINI_API_KEY")
    end)

    it("of a model that is gone: how to list those that live", function()
      local text = hint { code = 404, body = body(404, "NOT_FOUND", "models/x is not found."), model = "x" }
      has(text, "model x may have been shut down")
      has(text, "client.models:list{}")
      assert.is_nil(hint { code = 404, body = body(404, "NOT_FOUND", "No such cache.") })
      has(hint { code = 404, body = body(404, "NOT_FOUND", "Requested entity was not found."), model = "x" }, "model x")
      assert.is_nil(hint { code = 404, body = body(404, "NOT_FOUND", "Interaction x was not found."), model = "m" })
      has(hint { code = 404, body = "<html><title>Not Found</title></html>" }, "base_url")
      has(hint { code = 404, body = "<html><title>Not Found</title></html>", model = "x" }, "base_url")
    end)

    it("of a file that is gone", function()
      local text = hint { code = 403, body = body(403, "PERMISSION_DENIED", FILE_403) }
      has(text, "48 hours")
      has(text, "upload it again")
    end)

    it("of a request that is too large: size, limit, way out", function()
      local text = hint { code = 413, size = 150000000 }
      has(text, "150 MB")
      has(text, "100 MB")
      has(text, 'via = "upload"')
      has(hint { code = 413, size = 123456789 }, "123.5 MB")
      has(hint { code = 413 }, 'via = "upload"')
    end)

    it("of a MIME type: those that are taken, and to convert", function()
      local given = { code = 400, body = body(400, "INVALID_ARGUMENT", "Unsupported MIME type: image/gif"),
        mime_types = { "image/png", "image/jpeg" } }
      has(hint(given), "accepted types: image/png, image/jpeg; convert the file first")
      given.mime_types = nil
      has(hint(given), "convert")
      assert.is_nil(hint { code = 400, body = body(400, "INVALID_ARGUMENT", "Bad.") })
    end)

    it("of fields: which, and why", function()
      local list = { { field = "contents[0]", description = "must\nnot be empty" }, { field = "tools" }, "nonsense",
        { description = "no field" }, { field = ("x"):rep(1000) }, { field = "a fourth" } }
      local text = hint { code = 400, body = body(400, "INVALID_ARGUMENT", "Bad.", rpc("BadRequest",
        { fieldViolations = list })) }
      assert.equal(1, text:find("contents[0]: must not be empty; tools; xxx", 1, true), text)
      assert.is_true(#text < 400)
      assert.is_nil(text:find("fourth", 1, true))
      assert.is_nil(hint { code = 400, body = body(400, "INVALID_ARGUMENT", "Bad.", rpc("BadRequest",
        { fieldViolations = 7 })) })
    end)

    it("of fields: not what the message has said already", function()
      local list = { { field = "a.b", description = "Invalid value at 'a.b'" }, { field = "c", description = "long" } }
      local text = hint { code = 400, body = body(400, "INVALID_ARGUMENT", "Invalid value at 'a.b', 1e+300",
        rpc("BadRequest", { fieldViolations = list })) }
      assert.equal("c: long", text)
      list[2] = nil
      assert.is_nil(hint { code = 400, body = body(400, "INVALID_ARGUMENT", "Invalid value at 'a.b'",
        rpc("BadRequest", { fieldViolations = list })) })
    end)

    it("of an address that leads elsewhere", function()
      has(hint { code = 302 }, "http_options.base_url")
      assert.is_nil(hint { code = 418 })
    end)

    it("of a precondition", function()
      has(hint { code = 400, body = body(400, "FAILED_PRECONDITION", "The File x is not in an ACTIVE state.") },
        "client.files:wait")
      has(hint { code = 400, body = body(400, "FAILED_PRECONDITION", "User location is not supported.") }, "billing")
    end)

    it("of an API that is off, and of a server in trouble", function()
      has(hint { code = 403, body = body(403, "PERMISSION_DENIED", "Off.", rpc("ErrorInfo",
        { reason = "SERVICE_DISABLED" })) }, "enable")
      has(hint { code = 503 }, "try again later")
      has(hint { code = 503, headers = { ["retry-after"] = "30" } }, "try again in 30 s")
      has(hint { code = 503, headers = { ["retry-after"] = "30", ["retry-after-ms"] = "1500.5" } }, "try again in 2 s")
      assert.equal("try again", hint { code = 503, headers = { ["retry-after"] = "0" } })
    end)
  end)

  it("lets no secret through", function()
    local secret = "topsecret-1"
    local function leaks(value)
      if type(value) == "table" then
        for key, member in pairs(value) do
          if leaks(key) or leaks(member) then
            return true
          end
        end
        return false
      end
      value = tostring(value)
      return value:find(secret, 1, true) or value:find("AIzaSy", 1, true)
    end
    for _, text in ipairs {
      body(400, "INVALID_ARGUMENT", "Bad key " .. secret, rpc("ErrorInfo", { metadata = { consumer = secret } })),
      '{"error":{"message":"top\\u0073ecret-1"}}',
      '{"detail":"' .. secret .. '"}',
      '{"error":{"message":"no","details":[{"' .. secret .. '":1}]}}',
      "<title>" .. secret .. "</title>",
      "no: " .. secret .. " AIzaSyABC",
      ("x "):rep(4090) .. "y" .. secret,
      "<html>" .. ("<b>"):rep(2725) .. "y" .. secret,
    } do
      local err = refusal.from_http { code = 400, body = text, secrets = { secret } }
      assert.is_falsy(leaks(err), text:sub(1, 50))
      assert.is_falsy(tostring(err):find("topsec", 1, true))
    end
  end)
end)

describe("refusal.from_http, fed with nonsense,", function()
  local function from(text) return refusal.from_http { code = 429, body = text, secrets = { "s3cret-word" } } end

  it("takes violations that are no objects", function()
    local err = from [[{"error":{"code":429,"message":"no","details":[
      {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[false,null,7,"x"]}]}}]]
    assert.equal("rate_limited", err.kind)
    assert.is_nil(err.quota)
  end)

  it("hides a secret that a control byte cuts in two, and one in the status", function()
    local err = from '{"error":{"message":"key s3cret\\u0001-word","status":"s3cret-word"}}'
    assert.is_nil(tostring(err):find("s3cret-word", 1, true))
    assert.is_nil(tostring(err.status):find("s3cret-word", 1, true))
  end)

  it("hides a secret in the names of its details, and keeps what they hold", function()
    local err = from '{"error":{"message":"no","details":[{"a s3cret-word":{"AIzaSyABC":1},"plain":"s3cret-word"}]}}'
    assert.same({ { ["a [redacted]"] = { ["[redacted]"] = 1 }, plain = "[redacted]" } }, err.details)
  end)

  it("has a message though the server's has nothing in it that can be shown", function()
    for _, text in ipairs { '{"error":{"message":"\\u0001\\u0002"}}', "\1\2\27", '{"error":{"message":" \\n "}}' } do
      assert.equal("the server answered HTTP 429 and no more", from(text).message)
    end
  end)
end)
