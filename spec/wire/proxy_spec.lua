-- Proxies: they work, they get no more than they need, and what they break is told in words that help.
local certificates = require "spec.support.certificates"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local process = require "spec.support.process"
local program = require "spec.support.program"
local proxy = require "spec.support.proxy"
local scripted = require "spec.support.scripted"

local KEY = "key-of-the-proxy-spec"
local TEAM = "lamps-and-mirrors"
local MODEL = "gemini-3.5-flash"
local SECURE = "https://api.invalid" -- a name that only the proxy knows
local SOON = 0.2 -- seconds; a clock that is to fire
local LONG = 30  -- seconds; one that is not

local ANSWER = { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = { candidates = {
  { content = { role = "model", parts = { { text = "through" } } }, finishReason = "STOP" },
} } } }

local function assert_hides(secret, value, seen)
  seen = seen or {}
  if type(value) == "string" then
    assert.is_nil(value:find(secret, 1, true), value)
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for name, item in pairs(value) do
      assert_hides(secret, name, seen)
      assert_hides(secret, item, seen)
    end
  end
end

describe("a proxy", function()
  local middle, plain, em, client

  setup(function()
    middle, plain = proxy.start(), scripted.start()
    em = emulator.start { tls = true, args = { "--cert-names", "api.invalid" } }
  end)
  teardown(function()
    middle:stop()
    plain:stop()
    em:stop()
  end)
  before_each(function()
    plain:script { ANSWER, ANSWER }
    em:clear()
  end)
  after_each(function()
    if client then client:close() end
    client = nil
  end)

  local function rules(more)
    local all = { names = { ["api.invalid:443"] = em.port } }
    for name, value in pairs(more or {}) do all[name] = value end
    middle:set(all)
  end

  local function client_of(options)
    local http_options = { retry_options = false, headers = { ["X-Team"] = TEAM }, ca_file = em.ca_file }
    for name, value in pairs(options) do http_options[name] = value end
    -- A proxy that asks who one is is none that surely is of this machine.
    local insecure = options.proxy:find("@", 1, true) ~= nil
    client = gemini.Client { api_key = KEY, insecure = insecure, http_options = http_options }
    return client
  end

  local function generate()
    return client.models:generate_content { model = MODEL, contents = "Hi" }
  end

  -- The error of a call through this proxy.
  local function failure(kind, options)
    client_of(options)
    local result, err = generate()
    assert.is_nil(result)
    assert.equal(kind, err.kind, tostring(err))
    assert_hides(KEY, err)
    client:close()
    return err
  end

  describe("for http", function()
    it("gets the whole URL, and passes call and answer on", function()
      rules()
      client_of { base_url = plain.url, proxy = middle.url }
      assert.equal("through", assert(generate()).text)
      local request = middle:received()[1]
      assert.equal("http", request.kind)
      assert.matches("^POST " .. plain.url:gsub("%p", "%%%0") .. "/v1beta/models/", request.head)
      local got = plain:received()[1]
      assert.equal("/v1beta/models/gemini-3.5-flash:generateContent", got.target)
      assert.equal(KEY, got.header["x-goog-api-key"])
      assert.is_true(got.complete)
    end)

    it("takes calls without a body", function()
      rules()
      plain:script { { status = 200, body = { json = { name = "files/a" } } } }
      client_of { base_url = plain.url, proxy = middle.address } -- without a scheme: http
      assert.equal("files/a", assert(client.files:get { name = "files/a" }).name)
      assert.matches("^GET http://", middle:received()[1].head)
    end)

    it("may speak SOCKS5, and looks up the name", function()
      rules()
      client_of { base_url = "http://localhost:" .. plain.port, proxy = middle.socks_url }
      assert.equal("through", assert(generate()).text)
      local request = middle:received()[1]
      assert.same({ "socks", "localhost:" .. plain.port, true }, { request.kind, request.target, request.by_name })
    end)
  end)

  describe("for https", function()
    -- What went through: TLS, and of what was said inside nothing can be read.
    local function assert_sealed(request)
      assert.equal("api.invalid:443", request.target)
      assert.equal("\22\3", request.up:sub(1, 2)) -- a handshake record
      for _, secret in ipairs { KEY, TEAM, "x-goog", "v1beta", "generateContent", "lgemini" } do
        assert_hides(secret, request)
      end
    end

    it("gets CONNECT and nothing else", function()
      rules()
      client_of { base_url = SECURE, proxy = middle.url }
      local response = assert(generate())
      assert.equal(2, response.transport.http_version)
      local requests = middle:received()
      assert.equal(1, #requests)
      assert.matches("^CONNECT api.invalid:443 HTTP/1.1\r\nHost: api.invalid:443\r\n", requests[1].head)
      assert_sealed(requests[1])
      local sent = em:requests(1)[1]
      assert.matches("generateContent", sent.path, 1, true)
    end)

    it("may speak SOCKS5, and looks up the name", function()
      rules()
      client_of { base_url = SECURE, proxy = middle.socks_url }
      assert(generate())
      local request = middle:received()[1]
      assert.same({ "socks", true }, { request.kind, request.by_name })
      assert_sealed(request)
    end)

    it("carries streams and uploads", function()
      rules()
      client_of { base_url = SECURE, proxy = middle.url }
      local stream = client.models:generate_content_stream { model = MODEL, contents = "Hi" }
      local text = table.concat((function()
        local texts = {}
        for chunk in stream do texts[#texts + 1] = chunk.text end
        return texts
      end)())
      assert.is_true(#text > 0)
      local data = ("0123456789abcdef"):rep(200000)
      local file = assert(client.files:upload { data = data, config = { mime_type = "text/plain" } })
      assert.equal(#data, tonumber(file.size_bytes))
      for _, request in ipairs(middle:received()) do assert_sealed(request) end
    end)

    it("cannot put itself in the place of the server: tls, and nothing was said", function()
      local impostor = emulator.start { tls = true, args = { "--cert-names", "api.invalid" } } -- of another CA
      rules { names = { ["api.invalid:443"] = impostor.port, ["other.invalid:443"] = em.port } }
      for _, url in ipairs { middle.url, middle.socks_url } do
        failure("tls", { base_url = SECURE, proxy = url })
        failure("tls", { base_url = "https://other.invalid", proxy = url }) -- a certificate for another name
      end
      local requests = middle:received()
      assert.equal(4, #requests)
      for _, request in ipairs(requests) do assert_hides(KEY, request) end
      assert.equal(0, #impostor:requests())
      assert.equal(0, #em:requests())
      impostor:stop()
    end)
  end)

  describe("that asks who one is", function()
    it("is told, and nobody else is", function()
      for _, address in ipairs { "http://%s@", "socks5h://%s@" } do
        rules { user = "user", password = "hidden" }
        plain:script { ANSWER }
        client_of { base_url = plain.url, proxy = address:format("user:hidden") .. middle.address }
        assert.equal("through", assert(generate()).text)
        assert.equal(1, #middle:received())
        local got = plain:received()[1]
        assert.is_nil(got.header["proxy-authorization"])
        assert_hides("hidden", got)
        assert_hides("dXNlcjpoaWRkZW4=", got)
        client:close()
        client_of { base_url = SECURE, proxy = address:format("user:hidden") .. middle.address }
        assert(generate())
        for _, request in ipairs(middle:received()) do assert_hides("hidden", request.up) end
        client:close()
      end
    end)

    it("refuses: the error says so, and not what was said", function()
      rules { user = "user", password = "right" }
      for _, who in ipairs { "user:hidden@", "" } do
        local err = failure("network", { base_url = SECURE, proxy = "http://" .. who .. middle.address })
        assert.matches("407", err.message)
        assert.matches("name:password@.* as http_options.proxy", err.hint)
        assert_hides("hidden", err)
        err = failure("network", { base_url = SECURE, proxy = "socks5h://" .. who .. middle.address })
        assert.matches(who == "" and "authentication" or "rejected", err.message)
        assert_hides("hidden", err)
        err = failure("http", { base_url = plain.url, proxy = "http://" .. who .. middle.address })
        assert.equal(407, err.code)
        assert.matches("name:password@", err.hint)
        assert_hides("hidden", err)
      end
      assert.equal(0, #em:requests())
      assert.same({}, (plain:received()))
    end)

    it("and whose URL is none: no error shows what is in it", function()
      for _, url in ipairs { "user:hidden@[bad", "user:hidden@a b", "http://user:hid/den@localhost:1",
        "http://user:a@hidden@localhost:1", "ftp://user:a/hidden@localhost:1", "http://user:a hidden@localhost:1",
        "htp://us er:hidden@localhost:1", "http://user:hidden@localhost:port" } do
        local err = failure("invalid", { base_url = SECURE, proxy = url })
        assert_hides("hidden", err)
        assert_hides("den@", err)
        assert_hides("hidden", tostring(err))
      end
    end)
  end)

  describe("that", function()
    it("forbids: network, with the status; http where it could answer in the server's place", function()
      rules { status = 403 }
      assert.matches("403", failure("network", { base_url = SECURE, proxy = middle.url }).message)
      local _, err = client_of({ base_url = plain.url, proxy = middle.url }).models:generate_content {
        model = MODEL, contents = "Hi" }
      assert.equal(403, err.code)
      rules { reply = 2 } -- not allowed by ruleset
      assert.matches("SOCKS5", failure("network", { base_url = SECURE, proxy = middle.socks_url }).message)
      assert.equal(0, #em:requests())
    end)

    it("closes: network", function()
      rules { treat = "close" }
      for _, base_url in ipairs { SECURE, plain.url } do
        for _, url in ipairs { middle.url, middle.socks_url } do
          failure("network", { base_url = base_url, proxy = url })
        end
      end
      assert.equal(4, #middle:received())
    end)

    it("is not there: network", function()
      local gone = proxy.start()
      gone:stop()
      for _, url in ipairs { gone.url, gone.socks_url, "http://proxy.invalid:1" } do
        local err = failure("network", { base_url = SECURE, proxy = url })
        assert.matches("http_options.proxy, else the environment", err.hint)
      end
    end)

    it("stalls: timeout, of the clock that holds then; and is let go", function()
      for _, case in ipairs { { "connect", SECURE, middle.url }, { "connect", SECURE, middle.socks_url },
        { "connect", plain.url, middle.socks_url }, { "first_byte", plain.url, middle.url } } do
        rules { treat = "stall" }
        local clocks = { connect = LONG, first_byte = LONG, idle = LONG, total = LONG }
        clocks[case[1]] = SOON
        local err = failure("timeout", { base_url = case[2], proxy = case[3], timeout = clocks })
        assert.equal(case[1], err.clock)
        assert.is_true(middle:wait_closed(1))
      end
    end)
  end)

  describe("that speaks TLS itself", function()
    it("is verified as the server is", function()
      local directory = process.temporary_directory()
      local authority = certificates.authority(directory, "authority")
      local right = certificates.issue(directory, "right", { authority = authority, names = "IP:127.0.0.1" })
      local wrong = certificates.issue(directory, "wrong", { authority = authority, names = "DNS:other.invalid" })
      local both = certificates.join(directory .. "/both.pem", authority.cert, em.ca_file)
      for leaf, words in pairs { [right] = "issuer", [wrong] = "subject name" } do
        local sealed = proxy.start { tls = leaf }
        sealed:set { names = { ["api.invalid:443"] = em.port } }
        local ca_file = leaf == wrong and both or em.ca_file -- as the system's store: the proxy's is not in it
        local proxy_url = sealed.url:gsub("//", "//user:hidden@")
        local err = failure("tls", { base_url = SECURE, proxy = proxy_url, ca_file = ca_file })
        assert.matches(words, err.message)
        assert_hides("hidden", err)
        assert.same({}, sealed:received())
        if leaf == right then
          client_of { base_url = SECURE, proxy = proxy_url, ca_file = both }
          assert(generate())
          local request = sealed:received()[1]
          assert.equal("connect", request.kind)
          assert_hides(KEY, request)
          assert_hides(TEAM, request)
          client:close()
        end
        sealed:stop()
      end
      process.remove_directory(directory)
    end)
  end)

  describe("of the environment", function()
    local CODE = [[
      local gemini = require "lgemini"
      local base_url, ca_file, proxy = os.getenv "TEST_URL", os.getenv "TEST_CA_FILE", os.getenv "TEST_PROXY"
      local client = gemini.Client { api_key = "key-of-the-proxy-spec", insecure = true, http_options = {
        base_url = base_url, ca_file = ca_file, proxy = proxy, retry_options = false } }
      local response, err = client.models:generate_content { model = "gemini-3.5-flash", contents = "Hi" }
      print(response and "answer" or tostring(err))
    ]]

    -- What a program with this environment gets: "answer", or its error; and what the proxy was asked for.
    local function run(base_url, env, explicit)
      for _, name in ipairs { "no_proxy", "NO_PROXY", "HTTP_PROXY" } do env[name] = env[name] or "" end
      rules { names = { ["api.invalid:443"] = em.port, ["api.invalid:80"] = plain.port } }
      env.TEST_URL, env.TEST_CA_FILE, env.TEST_PROXY = base_url, em.ca_file, explicit
      local result = program.run("-e", { env = env, arguments = { CODE } })
      return result.out .. result.err, middle:received()
    end

    it("is used, whatever its variable", function()
      for name, url in pairs { https_proxy = middle.url, HTTPS_PROXY = middle.url, all_proxy = middle.url,
        ALL_PROXY = middle.socks_url } do
        local out, requests = run(SECURE, { [name] = url })
        assert.equal("answer\n", out)
        assert.equal(1, #requests, name)
        assert.equal("api.invalid:443", requests[1].target)
      end
      local out, requests = run("http://api.invalid", { http_proxy = middle.url })
      assert.equal("answer\n", out)
      assert.equal("http", requests[1].kind)
    end)

    it("is not used where NO_PROXY says so", function()
      for _, name in ipairs { "no_proxy", "NO_PROXY" } do
        for _, what in ipairs { "api.invalid", "other.example,.invalid", "*" } do
          local out, requests = run(SECURE, { https_proxy = middle.url, [name] = what })
          assert.matches("^network: .*api.invalid", out)
          assert.same({}, requests)
        end
      end
      assert.equal("answer\n", (run(SECURE, { https_proxy = middle.url, NO_PROXY = "other.invalid" })))
    end)

    it("is not used for this machine", function()
      local all = { http_proxy = middle.url, https_proxy = middle.url, all_proxy = middle.url, HTTP_PROXY = middle.url }
      for _, host in ipairs { "127.0.0.1", "localhost" } do
        local out, requests = run(("http://%s:%d"):format(host, plain.port), all)
        assert.equal("answer\n", out)
        assert.same({}, requests)
      end
      local out, requests = run("https://127.0.0.1:" .. em.port, all)
      assert.matches("^tls: ", out) -- the certificate is another's; but the server was reached
      assert.same({}, requests)
    end)

    it("gives way to http_options.proxy, as do its exceptions", function()
      local out, requests = run(SECURE, { https_proxy = "http://127.0.0.1:1", NO_PROXY = "*" }, middle.url)
      assert.equal("answer\n", out)
      assert.equal(1, #requests)
      out, requests = run(SECURE, { https_proxy = middle.url }, "")
      assert.matches("^network: .*api.invalid", out)
      assert.same({}, requests)
    end)

    it("shows nobody who logs in to it", function()
      for _, url in ipairs { "htp://user:hidden@localhost:1", "user:hidden@[bad",
        "http://user:a/hidden@localhost:1" } do
        local out = run(SECURE, { https_proxy = url })
        assert.matches("^invalid: .*proxy", out)
        assert_hides("hidden", out)
      end
    end)
  end)
end)
