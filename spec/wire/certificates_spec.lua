-- Who the server is, and who we are: every certificate that is none is refused with its own words, before the key is
-- shown, and ours is shown to a server that asks.
local certificates = require "spec.support.certificates"
local emulator = require "spec.support.emulator"
local gemini = require "lgemini"
local process = require "spec.support.process"

local KEY = "key-of-the-certificates-spec"

describe("certificates:", function()
  local directory, root, authority, stranger, good
  local servers, client = {}, nil

  local function shell(line)
    os.execute(line)
  end

  setup(function()
    directory = process.temporary_directory()
    root = directory .. "/root"
    shell("mkdir -p " .. process.quote(root .. "/v1beta/files"))
    local file = assert(io.open(root .. "/v1beta/files/a", "wb"))
    file:write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"name":"files/a"}')
    file:close()
    authority = certificates.authority(directory, "authority")
    stranger = certificates.authority(directory, "stranger")
    good = certificates.issue(directory, "good", { authority = authority, names = "IP:127.0.0.1" })
  end)
  teardown(function() process.remove_directory(directory) end)

  after_each(function()
    if client then client:close() end
    client = nil
    for i = #servers, 1, -1 do table.remove(servers, i):stop() end
  end)

  local function keep(server)
    servers[#servers + 1] = server
    return server
  end

  local function get(url, options)
    local http_options = { base_url = url, retry_options = false }
    for name, value in pairs(options or {}) do http_options[name] = value end
    if client then client:close() end
    client = gemini.Client { api_key = KEY, http_options = http_options }
    return client.files:get { name = "files/a" }
  end

  -- Must fail as tls, with these words.
  local function assert_refused(words, url, options)
    local result, err = get(url, options)
    assert.is_nil(result)
    assert.equal("tls", err.kind, tostring(err))
    assert.matches(words, err.message)
    assert.is_nil(err.code)
    assert.is_nil(tostring(err):find(KEY, 1, true))
    return err
  end

  local function assert_accepted(url, options)
    assert.equal("files/a", assert(get(url, options)).name)
  end

  describe("the server's", function()
    it("is good: all is well", function()
      assert_accepted(keep(certificates.serve(good, root)).url, { ca_file = authority.cert })
    end)

    it("has expired", function()
      local em = keep(emulator.start { tls = true, args = { "--cert-days", "-1" } })
      assert_refused("expired", em.url, { ca_file = em.ca_file })
      assert.equal(0, #em:requests())
    end)

    it("is another host's", function()
      local em = keep(emulator.start { tls = true, args = { "--cert-names", "localhost,other.invalid,127.0.0.2" } })
      assert_refused("subject name.*127%.0%.0%.1", em.url, { ca_file = em.ca_file })
      assert.equal(0, #em:requests())
      local _, err = get("https://localhost:" .. em.port, { ca_file = em.ca_file }) -- its own name
      assert.is_number(err.code)
    end)

    it("is self-signed", function()
      local own = certificates.issue(directory, "own", { names = "IP:127.0.0.1" })
      local server = keep(certificates.serve(own, root))
      assert_refused("self.signed", server.url, { ca_file = authority.cert })
      assert_refused("self.signed", server.url)
      assert_accepted(server.url, { ca_file = own.cert })
    end)

    it("is of an authority that nobody knows", function()
      local server = keep(certificates.serve(good, root))
      local err = assert_refused("issuer", server.url, { ca_file = stranger.cert })
      assert.matches("ca_file", err.hint)
      assert_refused("issuer", server.url)
    end)

    it("names the right authority, but that one has not signed it", function()
      shell("mkdir -p " .. process.quote(directory .. "/false"))
      local impostor = certificates.authority(directory .. "/false", "authority") -- of the same name
      local forged = certificates.issue(directory, "forged", { authority = impostor, names = "IP:127.0.0.1" })
      assert_refused("certificate", keep(certificates.serve(forged, root)).url, { ca_file = authority.cert })
    end)
  end)

  describe("old TLS", function()
    for flag, name in pairs { ["-tls1"] = "1.0", ["-tls1_1"] = "1.1" } do
      it(name .. " is refused", function()
        -- Level 0, or this OpenSSL would refuse it by itself.
        local server = keep(certificates.serve(good, root, { flag, "-cipher", "DEFAULT@SECLEVEL=0" }))
        if not server then
          pending("this openssl has no " .. flag)
          return
        end
        assert_refused("protocol", server.url, { ca_file = authority.cert })
      end)
    end

    it("ends where 1.2 begins", function()
      local server = keep(certificates.serve(good, root, { "-tls1_2" }))
      assert_accepted(server.url, { ca_file = authority.cert })
    end)
  end)

  it("ca_file is a file of certificates: else tls, with a hint", function()
    local url = keep(certificates.serve(good, root)).url
    for _, path in ipairs { directory .. "/nowhere.pem", "README.md" } do
      assert.matches("http_options.ca_file is a file", assert_refused("file: " .. path, url, { ca_file = path }).hint)
    end
  end)

  describe("ca_path", function()
    it("is a directory that was hashed", function()
      local hashed, bare = directory .. "/hashed", directory .. "/bare"
      shell(("mkdir -p %s %s"):format(process.quote(hashed), process.quote(bare)))
      for _, path in ipairs { hashed, bare } do
        certificates.join(path .. "/first.pem", stranger.cert)
        certificates.join(path .. "/second.pem", authority.cert)
      end
      certificates.rehash(hashed)
      local server = keep(certificates.serve(good, root))
      assert_accepted(server.url, { ca_path = hashed })
      assert_refused("issuer", server.url, { ca_path = bare })
      assert_refused("issuer", server.url, { ca_path = directory .. "/nowhere" })
    end)
  end)

  describe("ours", function()
    local mine, trust

    setup(function()
      mine = certificates.issue(directory, "mine", { authority = authority, names = "email:me@example.invalid" })
      trust = { "-Verify", "1", "-CAfile", authority.cert, "-verify_return_error" }
    end)

    local function serve(version)
      local arguments = { version }
      for _, word in ipairs(trust) do arguments[#arguments + 1] = word end
      return keep(certificates.serve(good, root, arguments)).url
    end

    for _, version in ipairs { "-tls1_2", "-tls1_3" } do
      it("is shown to a server that asks, with " .. version, function()
        local url = serve(version)
        assert_accepted(url, { ca_file = authority.cert, cert_file = mine.cert, key_file = mine.key })
        local both = certificates.join(directory .. "/both.pem", mine.cert, mine.key)
        assert_accepted(url, { ca_file = authority.cert, cert_file = both })
      end)

      it("is missing, or nobody's: tls, with " .. version, function()
        local url = serve(version)
        local err = assert_refused("alert", url, { ca_file = authority.cert })
        assert.is_falsy(err.retryable)
        assert.matches("http_options.cert_file", err.hint)
        local names = "email:other@example.invalid"
        local other = certificates.issue(directory, "other", { authority = stranger, names = names })
        assert_refused("alert unknown ca", url,
          { ca_file = authority.cert, cert_file = other.cert, key_file = other.key })
      end)
    end

    it("is no file, or has another's key: tls, and nothing was said", function()
      local em = keep(emulator.start { tls = true })
      for _, case in ipairs { { "certificate", directory .. "/nowhere.pem", mine.key },
        { "private key", mine.cert, directory .. "/nowhere.key" }, { "private key", mine.cert, good.key },
        { "certificate", mine.key, mine.key }, { "private key", mine.cert } } do
        local err = assert_refused(case[1], em.url, { ca_file = em.ca_file, cert_file = case[2], key_file = case[3] })
        assert.matches("http_options.cert_file and key_file", err.hint)
      end
      assert.equal(0, #em:requests())
    end)

    it("may be given for one call, and then with its own key", function()
      local url = serve "-tls1_3"
      client = gemini.Client { api_key = KEY, http_options = { base_url = url, retry_options = false,
        ca_file = authority.cert, cert_file = good.cert, key_file = good.key } }
      assert(client.files:get { name = "files/a" })
      local options = { cert_file = mine.cert, key_file = mine.key }
      assert(client.files:get { name = "files/a", config = { http_options = options } })
      -- The client's key does not go with another certificate: this one has its key in the same file.
      options = { cert_file = certificates.join(directory .. "/call.pem", mine.cert, mine.key) }
      assert(client.files:get { name = "files/a", config = { http_options = options } })
    end)

    it("is a path: control characters and other types are refused", function()
      for _, name in ipairs { "cert_file", "key_file" } do
        for _, bad in ipairs { "a\0b", "a\nb" } do
          local _, err = get("https://127.0.0.1:1", { cert_file = mine.cert, [name] = bad })
          assert.equal("invalid", err.kind)
          assert.matches(name, err.message)
        end
        assert.error_matches(function() get("https://127.0.0.1:1", { [name] = true }) end, name)
      end
    end)

    it("is not a key alone", function()
      local result, err = get("https://127.0.0.1:1", { key_file = mine.key })
      assert.is_nil(result)
      assert.equal("invalid", err.kind)
      assert.matches("cert_file", err.message)
    end)
  end)
end)
