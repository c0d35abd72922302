-- TLS sessions: a further connection to a server goes on from one. The server says which did.
local certificates = require "spec.support.certificates"
local core = require "lgemini.core"
local drive = require "spec.core.drive"
local process = require "spec.support.process"

describe("TLS sessions", function()
  local directory, authority, other, good, loop, server

  setup(function()
    directory = process.temporary_directory()
    authority = certificates.authority(directory, "authority")
    other = certificates.authority(directory, "other")
    good = certificates.issue(directory, "good", { authority = authority, names = "IP:127.0.0.1" })
  end)
  teardown(function() process.remove_directory(directory) end)
  before_each(function() loop = assert(core.loop.new()) end)
  after_each(function()
    loop:close()
    if server then server:stop() end
    server = nil
  end)

  local function serve(...)
    server = certificates.serve(good, nil, { ... })
  end

  -- "New" or "Reused", or nil and the error. The server closes each connection after its answer.
  local function connect(changes, lane)
    local request = { ca_file = authority.cert }
    for name, value in pairs(changes or {}) do request[name] = value end
    local x = drive.start(loop, "GET", server.url .. "/", request, lane)
    local ok, err = drive.finish(loop, x)
    if not ok then
      return nil, err
    end
    return x:read():match "\n(%u%l+), TLSv1"
  end

  for _, version in ipairs { "-tls1_2", "-tls1_3" } do
    it("are gone on from, in either lane, with " .. version, function()
      serve(version)
      assert.equal("New", connect())
      assert.equal("Reused", connect())
      assert.equal("Reused", connect({ http1 = true }, "bulk"))
      assert.equal("Reused", connect())
    end)
  end

  it("are the loop's", function()
    serve()
    assert.equal("New", connect())
    loop:close()
    loop = assert(core.loop.new())
    assert.equal("New", connect())
  end)

  it("outlive an exchange, and an exchange outlives them", function()
    serve()
    local x = drive.start(loop, "GET", server.url .. "/", { ca_file = authority.cert })
    assert(loop:step(0, 0))
    assert.is_nil(x:done()) -- in handshake, or further
    loop:close()
    assert.equal("cancelled", select(2, x:done()).kind)
    x:close()
    loop = assert(core.loop.new())
    x = drive.start(loop, "GET", server.url .. "/", { ca_file = authority.cert })
    drive.finish(loop, x)
    x:close()
    assert.equal("Reused", connect())
  end)

  it("are of no use to who trusts other authorities", function()
    serve()
    assert.equal("New", connect())
    local got, err = connect { ca_file = other.cert }
    assert.is_nil(got)
    assert.equal("tls", err.kind)
    local both = certificates.join(directory .. "/both.pem", other.cert, authority.cert)
    assert.equal("New", connect { ca_file = both })
    assert.equal("Reused", connect { ca_file = both })
    assert.equal("Reused", connect())
  end)

  it("are of no use to who shows another certificate, or none", function()
    local names = "email:me@example.invalid"
    local mine = certificates.issue(directory, "mine", { authority = authority, names = names })
    local yours = certificates.issue(directory, "yours", { authority = authority, names = names })
    serve("-Verify", "1", "-CAfile", authority.cert, "-verify_return_error")
    assert.equal("New", connect { cert_file = mine.cert, key_file = mine.key })
    assert.equal("Reused", connect { cert_file = mine.cert, key_file = mine.key })
    assert.equal("New", connect { cert_file = yours.cert, key_file = yours.key })
    local got, err = connect()
    assert.is_nil(got)
    assert.equal("tls", err.kind)
  end)
end)
