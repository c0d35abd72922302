-- What a client makes of its options, its environment and its key. Nothing is sent.
local client_module = require "lgemini.client"
local errors = require "lgemini.errors"
local process = require "spec.support.process"

-- What a tester may have set, and would change the outcome.
local UNSET = { "GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR" }

-- What a line of Lua prints in a process with that environment.
local function in_child(env, code)
  env.LUA_PATH = "./lua/?.lua;./lua/?/init.lua;" .. (os.getenv "LUA_PATH" or ";")
  env.LUA_CPATH = "./" .. process.build() .. "/?.so;" .. (os.getenv "LUA_CPATH" or ";")
  local words = { "env" }
  for _, name in ipairs(UNSET) do words[#words + 1] = "-u " .. name end
  for name, value in pairs(env) do words[#words + 1] = name .. "=" .. process.quote(value) end
  words[#words + 1] = process.quote(process.interpreter())
  words[#words + 1] = "-e " .. process.quote('local client = require "lgemini".Client{} ' .. code)
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local text = pipe:read("*a"):gsub("\n$", "")
  pipe:close()
  return text
end

describe("a client", function()
  local made

  local function new(options)
    local client = client_module.new(options)
    made[#made + 1] = client
    return client
  end

  before_each(function() made = {} end)
  after_each(function()
    for _, client in ipairs(made) do client:close() end
    made = nil
  end)

  -- The http_options in force for a call; nil, err.
  local function options_of(client, given)
    local call, err = client:call(given and { http_options = given }, false)
    return call and call.options, err
  end

  local function refused(http_options, words, rest)
    rest = rest or {}
    rest.http_options = http_options
    local call, err = new(rest):call(nil, false)
    assert.is_nil(call, words)
    assert.is_true(errors.is(err))
    assert.equal("invalid", err.kind)
    assert.is_truthy(err.message:find(words, 1, true), err.message)
    return err
  end

  describe("lays the options of a call over its own:", function()
    it("headers are joined by name, in any case of letters", function()
      local client = new { http_options = { headers = { ["X-One"] = "1", ["X-Two"] = "2" } } }
      assert.same({ ["x-one"] = "1", ["x-two"] = "3", ["x-three"] = "4" },
        options_of(client, { headers = { ["x-two"] = "3", ["X-THREE"] = "4" } }).headers)
      assert.same({ ["x-one"] = "1", ["x-two"] = "2" }, options_of(client).headers)
    end)

    it("clocks are joined by name; a number is the total", function()
      local client = new { http_options = { timeout = { connect = 3, total = 50 } } }
      local clocks = options_of(client, { timeout = 7 }).timeout
      assert.equal(7, clocks.total)
      assert.equal(3, clocks.connect)
      assert.equal(300, clocks.first_byte)
      assert.equal(120, clocks.idle)
      assert.equal(900, clocks.processing)
      assert.equal(50, options_of(client).timeout.total)
    end)

    it("all else is replaced", function()
      local client = new { http_options = { base_url = "https://one.example/", api_version = "v1", proxy = "http://p:1",
        retry_options = { attempts = 9, max_delay = 3 }, extra_body = { a = 1 } } }
      local options = options_of(client, { base_url = "https://two.example/x", api_version = "",
        retry_options = { attempts = 2 }, extra_body = { b = 2 }, proxy = "" })
      assert.equal("https://two.example/x", options.base_url)
      assert.equal("", options.api_version)
      assert.equal(2, options.retry_options.attempts)
      assert.equal(60, options.retry_options.max_delay)
      assert.same({ b = 2 }, options.extra_body)
      assert.equal("", options.proxy)
      assert.equal("https://one.example", options_of(client).base_url)
      assert.equal(9, options_of(client).retry_options.attempts)
    end)

    it("one CA store takes the place of the other", function()
      local client = new { http_options = { ca_file = "/a.pem" } }
      assert.is_nil(options_of(client).ca_path)
      local options = options_of(client, { ca_path = "/certificates" })
      assert.is_nil(options.ca_file)
      assert.equal("/certificates", options.ca_path)
    end)

    it("the program's tables are not kept", function()
      local headers, timeout = { ["X-One"] = "1" }, { connect = 3 }
      local client = new { http_options = { headers = headers, timeout = timeout } }
      headers["X-One"], timeout.connect = "2", 4
      assert.equal("1", options_of(client).headers["x-one"])
      assert.equal(3, options_of(client).timeout.connect)
    end)

    it("and refuses what makes no sense there, for this call only", function()
      local client = new { api_key = "k" }
      for _, bad in ipairs { { base_url = "ftp://x" }, { timeout = -1 }, { api_version = "v1/../x" },
        { retry_options = { jitter = 2 } }, { headers = { ["a b"] = "c" } } } do
        local none, err = options_of(client, bad)
        assert.is_nil(none)
        assert.equal("invalid", err.kind)
      end
      assert.is_table(options_of(client))
    end)
  end)

  describe("has for a call", function()
    it("a deadline where somebody set the total", function()
      local client = new {}
      local core = client.core
      client.tasks.now = function() return 1000 end
      assert.equal(1600, client:call(nil, 600).deadline)
      assert.is_nil(client:call(nil, false).deadline)
      assert.equal(1005, client:call({ http_options = { timeout = 5 } }, 600).deadline)
      assert.equal(1005, client:call({ http_options = { timeout = { total = 5 } } }, false).deadline)
      client.tasks.now = core.now
    end)
  end)

  describe("takes for base URL", function()
    local ROW = {}

    local function url_of(http_options, row)
      local client = new { http_options = http_options }
      return client:url(assert(options_of(client)), row or ROW, "models/m", "")
    end

    it("Google's", function()
      assert.equal("https://generativelanguage.googleapis.com/v1beta/models/m", url_of {})
    end)

    it("any with a path, with slashes at the end or not", function()
      for _, base in ipairs { "https://host/a/b", "https://host/a/b/", "https://host/a/b///" } do
        assert.equal("https://host/a/b/v1beta/models/m", url_of { base_url = base })
      end
      assert.equal("https://host:8443/v1beta/models/m", url_of { base_url = "https://host:8443" })
      assert.equal("HTTPS://Host/v1beta/models/m", url_of { base_url = "HTTPS://Host/" })
    end)

    it("no version, or another", function()
      assert.equal("https://host/models/m", url_of { base_url = "https://host", api_version = "" })
      assert.equal("https://host/v1alpha/models/m", url_of { base_url = "https://host", api_version = "v1alpha" })
    end)

    it("the upload's version, which is its own", function()
      assert.equal("https://host/upload/v1beta/models/m",
        url_of({ base_url = "https://host", api_version = "v1" }, { upload = true }))
    end)

    it("nothing that is none", function()
      for _, bad in ipairs { "", "host", "host/path", "//host", "ftp://host", "https://", "https:///x", "file:///etc",
        "https//host", "javascript:x" } do
        refused({ base_url = bad }, "base_url")
      end
    end)

    it("nothing that says more, or may be read in two ways", function()
      for _, bad in ipairs { "https://host?x", "https://host/#x", "https://u:p@host", "https://ho st",
        "https://host\\x", "https://host\t", "https://host/\1", "https://h\195\182st", "https://host\127" } do
        refused({ base_url = bad }, "base_url")
      end
    end)

    it("without showing what is secret in a wrong one", function()
      local err = refused({ base_url = "htps://user:word@host/?key=abc" }, "base_url")
      assert.is_nil(tostring(err):find("word", 1, true))
      assert.is_nil(tostring(err):find("abc", 1, true))
    end)

    it("plain http on this machine only, or where the program insists", function()
      assert.is_table(options_of(new { http_options = { base_url = "http://127.0.0.1:8080" } }))
      refused({ base_url = "http://host" }, "plain http")
      refused({ base_url = "HTTP://host" }, "plain http")
      assert.is_table(options_of(new { insecure = true, http_options = { base_url = "http://host" } }))
      local none, err = options_of(new {}, { base_url = "http://host" })
      assert.is_nil(none)
      assert.equal("invalid", err.kind)
    end)

    it("plain http and a proxy elsewhere only where the program insists", function()
      local here = "http://127.0.0.1:8080"
      for _, proxy in ipairs { "http://proxy:3128", "proxy:3128", "socks5h://proxy", "https://proxy" } do
        refused({ base_url = here, proxy = proxy }, "proxy")
        assert.is_table(options_of(new { http_options = { proxy = proxy } }))
        assert.is_table(options_of(new { insecure = true, http_options = { base_url = here, proxy = proxy } }))
      end
      for _, proxy in ipairs { "http://localhost:3128", "127.0.0.1:3128", "" } do
        assert.is_table(options_of(new { http_options = { base_url = here, proxy = proxy } }))
      end
    end)
  end)

  it("knows this machine by its plain names only", function()
    local client = new {}
    for _, url in ipairs { "http://127.0.0.1", "http://127.0.0.1:80/x", "http://127.255.1.9", "http://localhost",
      "http://LocalHost:8080/?x#y", "HTTP://localhost", "https://localhost?x", "http://[::1]", "http://[::1]:80/x",
      "http://127.0.0.1:" } do
      assert.is_true(client:is_loopback(url), url)
    end
    for _, url in ipairs { "http://127.0.0.1@evil", "http://127.0.0.1:80@evil", "http://localhost:@evil/",
      "http://[::1]@evil", "http://[::1]:80@evil", "http://localhost.evil.com", "http://evil/127.0.0.1",
      "http://evil?127.0.0.1", "http://127.0.0.1.evil", "http://127.evil.com", "http://localhost\\@evil",
      "http://evil#@localhost", "http://2130706433", "http://0x7f000001", "http://127.1", "http://0.0.0.0",
      "http://017700000001", "http://[::ffff:127.0.0.1]", "http://[::]", "http://::1", "http://localhost.", "http://",
      "http:localhost", "localhost", "" } do
      assert.is_false(client:is_loopback(url), url)
    end
  end)

  describe("refuses", function()
    it("the core of another version", function()
      local core = require "lgemini.core"
      local version = core._VERSION
      finally(function() core._VERSION = version end)
      core._VERSION = "0.0.9"
      local _, problem = pcall(function() require("lgemini").Client {} end)
      assert.matches("client_spec%.lua:%d+: this is lgemini [%d.]+, and its core is of 0.0.9: ", problem)
    end)

    it("headers that are none, that are the library's, or that are there twice", function()
      refused({ headers = { [""] = "x" } }, "header name")
      refused({ headers = { ["a:b"] = "x" } }, "header name")
      refused({ headers = { ["a b"] = "x" } }, "header name")
      refused({ headers = { a = "x\r\ny: z" } }, "control character")
      refused({ headers = { a = "x\0" } }, "control character")
      for _, name in ipairs { "Content-Length", "transfer-encoding", "HOST", "Expect", "Connection" } do
        refused({ headers = { [name] = "x" } }, "made by the library")
      end
      refused({ headers = { ["X-A"] = "1", ["x-a"] = "2" } }, "twice")
    end)

    it("times that are none, or in milliseconds", function()
      for _, bad in ipairs { 0, -1, 0 / 0, 1 / 0, 10000, 60000 } do
        refused({ timeout = bad }, "http_options.timeout.total")
        refused({ timeout = { idle = bad } }, "http_options.timeout.idle")
      end
    end)

    it("limits that are none", function()
      for _, bad in ipairs { 0, -1, 1.5, 1 / 0 } do
        refused(nil, "limits.max_answer", { limits = { max_answer = bad } })
        refused(nil, "inline_limit", { inline_limit = bad })
      end
      for _, name in ipairs { "max_head", "max_event", "max_depth", "max_error", "max_unread", "max_pages" } do
        refused(nil, "limits." .. name, { limits = { [name] = 0 } })
      end
      refused(nil, "limits.max_redirects", { limits = { max_redirects = -1 } })
      refused(nil, "from 1 to 1000 expected", { limits = { max_depth = 1001 } })
      assert.equal(0, new { limits = { max_redirects = 0 } }.limits.max_redirects)
    end)

    it("control characters in paths and proxies", function()
      refused({ ca_file = "/a\nb" }, "ca_file")
      refused({ ca_path = "/a\0b" }, "ca_path")
      refused({ proxy = "http://a\rb" }, "proxy")
    end)

    it("at its calls, not when it is made; and then every call", function()
      local client = new { http_options = { timeout = -1 } }
      for _ = 1, 2 do
        assert.equal("invalid", select(2, client:call(nil, false)).kind)
        assert.equal("invalid", select(2, client.models:generate_content { model = "m", contents = "x" }).kind)
      end
    end)
  end)

  it("raises for wrong names and types", function()
    for words, options in pairs {
      ["did you mean api_key?"] = { apikey = "x" },
      ["api_key"] = { api_key = 1 },
      ["api_key: "] = { api_key = true },
      ["insecure"] = { insecure = "yes" },
      ["local_files"] = { local_files = "no" },
      ["http_options"] = { http_options = "x" },
      ["did you mean http_options.timeout?"] = { timeout = 1 },
      ["did you mean http_options.base_url?"] = { http_options = { baseUrl = "x" } },
      ["limits"] = { limits = 1 },
      ["limits.max_answer"] = { limits = { max_answer = "1" } },
      ["headers"] = { http_options = { headers = { a = 1 } } },
      ["headers.X-A: string expected, got number"] = { http_options = { headers = { ["X-A"] = 1 } } },
      ["timeout: seconds, or a table of clocks, expected, got boolean"] = { http_options = { timeout = true } },
      ["did you mean on_task_error?"] = { on_error = print },
      ["Client: call it with a dot: gemini.Client"] = require "lgemini",
      ["headers: names"] = { http_options = { headers = { "X-A: 1" } } },
      ["ca_file"] = { http_options = { ca_file = 1 } },
      ["http_options.timeout"] = { http_options = { timeout = "5" } },
    } do
      local ok, message = pcall(client_module.new, options)
      assert.is_false(ok, words)
      assert.is_truthy(message:find(words, 1, true), message)
    end
    local client = new {}
    assert.has_error(function() client:call({ http_options = 1 }, false) end)
  end)

  it("takes inline at most what the service takes", function()
    assert.equal(20 * 1024 * 1024, new({}).inline_limit)
    assert.equal(5, new({ inline_limit = 5 }).inline_limit)
    assert.equal(100 * 1024 * 1024, new({ inline_limit = 1e9 }).inline_limit)
  end)

  describe("has a key", function()
    local function refusal(key)
      local none, err = new({ api_key = key }):key()
      assert.is_nil(none)
      assert.equal("auth", err.kind)
      return err
    end

    it("without the blanks around it", function()
      assert.equal("abc", new({ api_key = " abc\r\n" }):key())
      assert.equal("abc", new({ api_key = function() return "abc\n" end }):key())
    end)

    it("or none on purpose", function()
      local key, err = new({ api_key = false }):key()
      assert.is_nil(key)
      assert.is_nil(err)
    end)

    it("that a key can be", function()
      for _, bad in ipairs { "", " \n", "a b", "a\nb", "a\0b", "schl\195\188ssel" } do refusal(bad) end
      assert.is_truthy(refusal("auth_tokens/x").message:find("Live", 1, true))
      for _, bad in ipairs { "a b", "sch\195\188" } do
        assert.is_nil(tostring(refusal(bad)):find(bad, 1, true))
      end
    end)

    it("from a function that may fail: what it says is shown, but no secret", function()
      assert.matches("the vault is shut", refusal(function() return nil, "the vault is shut" end).message)
      assert.matches("no vault", refusal(function() error("no vault", 0) end).message)
      assert.matches("no key", refusal(function() return 7 end).message)
      local said = tostring(refusal(function() error("GET https://me:word@vault/?token=abc: 500", 0) end))
      assert.is_nil(said:find("word", 1, true))
      assert.is_nil(said:find("abc", 1, true))
    end)

    it("that is not shown by tostring", function()
      local client = new { api_key = "secret-key" }
      assert.is_nil(tostring(client):find("secret-key", 1, true))
      client:close()
      assert.equal("lgemini.Client (closed)", tostring(client))
    end)
  end)

  describe("looks at the environment:", function()
    local KEY = "print(client:key())"
    local BASE = "local call, err = client:call(nil, false) print(call and call.options.base_url or err.message)"

    it("GOOGLE_API_KEY before GEMINI_API_KEY", function()
      assert.equal("one", in_child({ GOOGLE_API_KEY = "one", GEMINI_API_KEY = "two" }, KEY))
      assert.equal("two", in_child({ GEMINI_API_KEY = "two" }, KEY))
    end)

    it("what is empty or blank is not set, and blanks around a value are not of it", function()
      assert.equal("two", in_child({ GOOGLE_API_KEY = "", GEMINI_API_KEY = "two\n" }, KEY))
      assert.equal("two", in_child({ GOOGLE_API_KEY = " \n", GEMINI_API_KEY = "two" }, KEY))
    end)

    it("an option before a variable", function()
      local code = 'print((require "lgemini".Client{ api_key = %s }:key()))'
      assert.equal("mine", in_child({ GOOGLE_API_KEY = "one" }, code:format '"mine"'))
      assert.equal("nil", in_child({ GOOGLE_API_KEY = "one" }, code:format "false"))
    end)

    it("the variables are named where there is no key", function()
      local text = in_child({}, "print(select(2, client:key()))")
      for _, word in ipairs { "auth", "GOOGLE_API_KEY", "GEMINI_API_KEY", "api_key" } do
        assert.is_truthy(text:find(word, 1, true), text)
      end
    end)

    it("GOOGLE_GEMINI_BASE_URL, checked like an option, and named where it is wrong", function()
      assert.equal("https://host/x", in_child({ GOOGLE_GEMINI_BASE_URL = "https://host/x/\n" }, BASE))
      assert.equal("https://generativelanguage.googleapis.com", in_child({ GOOGLE_GEMINI_BASE_URL = "" }, BASE))
      local text = in_child({ GOOGLE_GEMINI_BASE_URL = "http://host" }, BASE)
      assert.is_truthy(text:find("GOOGLE_GEMINI_BASE_URL", 1, true), text)
      assert.is_truthy(text:find("plain http", 1, true), text)
    end)

    it("SSL_CERT_FILE before SSL_CERT_DIR", function()
      local code = "local o = client:call(nil, false).options print(o.ca_file, o.ca_path)"
      assert.equal("/f\tnil", in_child({ SSL_CERT_FILE = "/f", SSL_CERT_DIR = "/d" }, code))
      assert.equal("nil\t/d", in_child({ SSL_CERT_FILE = "", SSL_CERT_DIR = "/d" }, code))
    end)
  end)

  it("hands out services, once each, and says what is not in this version", function()
    local client = new {}
    assert.equal(client.models, client.models)
    for _, name in ipairs { "files", "operations", "caches", "batches", "tunings",
      "file_search_stores", "auth_tokens", "interactions" } do
      assert.equal("table", type(client[name]))
      assert.equal(client[name], client[name])
    end
    assert.is_nil(client.nothing)
    local ok, message = pcall(function() return client.live end)
    assert.is_false(ok)
    assert.is_truthy(message:find("not in this version", 1, true))
  end)

  it("may be closed twice, and then says so", function()
    local client = new { api_key = "k" }
    client:close()
    client:close()
    assert.equal("closed", select(2, client.models:get "m").kind)
    assert.equal("closed", select(2, client.files:get "files/x").kind)
    assert.equal("closed", select(2, client.models:generate_content_stream { model = "m", contents = "x" }:next()).kind)
  end)

  it("draws chances from 0 up to 1 that differ, though the program has not seeded", function()
    local client = new {}
    local first = client.random()
    local differ = false
    for _ = 1, 100 do
      local chance = client.random()
      assert.is_true(chance >= 0 and chance < 1)
      differ = differ or chance ~= first
    end
    assert.is_true(differ)
  end)
end)
