-- scripts/setup against stand-ins for apt-get, dpkg-query, sudo and id, each of which writes down its call; and what
-- `make` says before the set-up, against one for pkg-config.
local process = require "spec.support.process"

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function read(path)
  local file = io.open(path)
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

describe("scripts/setup", function()
  local dir

  before_each(function()
    local pipe = io.popen "mktemp -d"
    dir = pipe:read "*l"
    pipe:close()
  end)
  after_each(function() os.execute("rm -rf '" .. dir .. "'") end)

  local function stand_in(name, body)
    write(dir .. "/" .. name, ("#!/bin/sh\necho %s \"$@\" >>'%s/calls'\n%s\n"):format(name, dir, body))
    os.execute(("chmod +x '%s/%s'"):format(dir, name))
  end

  -- Runs the set-up where the packages in `installed` are there; with nothing of the real PATH but what it uses.
  local function setup(group, installed, user)
    local query = {}
    for package in installed:gmatch "%S+" do query[#query + 1] = "installed " .. package .. " " end
    stand_in("dpkg-query", "printf '%s' '" .. table.concat(query) .. "'; exit 1")
    stand_in("id", "echo " .. (user or 0))
    stand_in("sudo", 'exec "$@"')
    local status = os.execute(("for tool in sh tr env cat; do ln -s $(command -v $tool) '%s'; done; "
      .. "PATH='%s' sh scripts/setup %s >'%s/out' 2>&1"):format(dir, dir, group, dir))
    local calls = read(dir .. "/calls"):gsub("dpkg%-query[^\n]*\n", ""):gsub("id %-u\n", "")
    return status == true or status == 0, calls, read(dir .. "/out")
  end

  local BUILD = "gcc libc6-dev make pkgconf libcurl4-gnutls-dev libssl-dev ca-certificates liblua5.4-dev lua5.4 "
    .. "lua-cjson "
  local DEMO = BUILD .. "lua5.2 lua-http "

  it("calls nothing when all is there", function()
    stand_in("apt-get", "")
    local ok, calls, out = setup("demo", DEMO)
    assert.is_true(ok)
    assert.equal("", calls)
    assert.equal("", out)
  end)

  it("installs what is missing, removing nothing, with no recommendations", function()
    stand_in("apt-get", "")
    local ok, calls = setup("demo", BUILD)
    assert.is_true(ok)
    local install = calls:match "\n(apt%-get [^\n]*)\n$"
    assert.truthy(install:find("--no-remove", 1, true))
    assert.truthy(install:find("--no-install-recommends", 1, true))
    assert.truthy(install:find("--yes", 1, true))
    assert.equal("lua5.2 lua-http", install:match "recommends (.*)$")
    assert.falsy(calls:find("update", 1, true))
    assert.falsy(calls:find("sudo", 1, true))
  end)

  it("uses sudo when the user is not root", function()
    stand_in("apt-get", "")
    local ok, calls = setup("demo", BUILD, 1000)
    assert.is_true(ok)
    assert.truthy(calls:find("sudo env DEBIAN_FRONTEND=noninteractive", 1, true))
  end)

  it("brings the lists up to date once when an install fails, and fails when that does not help", function()
    stand_in("apt-get", 'case "$*" in *update*) ;; *) exit 100 ;; esac')
    local ok, calls = setup("demo", BUILD)
    assert.is_false(ok)
    local _, updates = calls:gsub("[^\n]* update\n", "")
    assert.equal(1, updates)
  end)

  it("says what is missing where there is no apt-get", function()
    local ok, calls, out = setup("test", "")
    assert.is_false(ok)
    assert.equal("", calls)
    for name in ("pkg-config libcurl-headers libcrypto-headers lua-cjson luacheck"):gmatch "%S+" do
      assert.truthy(out:find(name, 1, true), name)
    end
  end)

  it("comes before all that is built", function()
    stand_in("apt-get", "exit 100")
    stand_in("dpkg-query", "exit 1")
    stand_in("id", "echo 0")
    os.execute(("for tool in make sh tr env cat mkdir uname; do ln -s $(command -v $tool) '%s'; done"):format(dir))
    for _, goal in ipairs { "demo", "test", "bench", "bench-peers", "bench-frames" } do
      write(dir .. "/calls", "")
      os.execute(("PATH='%s' MAKEFLAGS= make -s BUILD='%s/build' %s >'%s/out' 2>&1"):format(dir, dir, goal, dir))
      assert.truthy(read(dir .. "/calls"):find "apt%-get [^\n]* install [^\n]* libcurl4%-openssl%-dev", goal)
      assert.falsy(read(dir .. "/out"):find("pkg-config: run", 1, true), goal)
    end
  end)
end)

describe("make, before anything is installed", function()
  local KNOWN = { "libcurl >= 7.88", "libcrypto >= 3", "lua5.4" }

  -- What a build prints where pkg-config knows all but one of these packages, or is not there.
  local function make(missing, lua)
    local dir = process.temporary_directory()
    local known = {}
    for _, name in ipairs(KNOWN) do known[#known + 1] = name ~= missing and '"' .. name .. '"' or nil end
    write(dir .. "/pkg-config", '#!/bin/sh\nfor word; do :; done\ncase $word in --version | '
      .. table.concat(known, " | ") .. ") ;; *) test $1 = --exists || echo it is not there >&2; exit 1 ;; esac\n"
      .. "test $1 = --exists || echo 1\n")
    os.execute("chmod +x '" .. dir .. "/pkg-config'")
    local program = missing == "pkg-config" and "no-pkg-config" or "pkg-config"
    local pipe = io.popen(("env -u MAKEFLAGS -u MAKELEVEL make -s PKG_CONFIG='%s/%s' LUA=%s BUILD='%s' '%s/flags' 2>&1")
      :format(dir, program, lua or "lua5.4", dir, dir))
    local printed = pipe:read "*a"
    pipe:close()
    process.remove_directory(dir)
    return printed:gsub("make: [^\n]*\n", "")
  end

  it("says in one line what is missing", function()
    assert.equal("", (make "nothing"))
    assert.equal("no pkg-config: run scripts/setup build\n", (make "pkg-config"))
    assert.equal("no libcurl of 7.88 or later with its headers: run scripts/setup build\n", (make "libcurl >= 7.88"))
    assert.equal("no OpenSSL of 3 or later with its headers: run scripts/setup build\n", (make "libcrypto >= 3"))
  end)

  it("names Debian's package of the headers of a Lua", function()
    local names = { ["lua5.4"] = "liblua5.4-dev", ["lua5.1"] = "liblua5.1-0-dev", luajit = "libluajit-5.1-dev" }
    for lua, name in pairs(names) do
      assert.equal(("no headers of %s: install them (on Debian: %s), or set LUA_INCDIR\n"):format(lua, name),
        (make("lua5.4", lua)))
    end
  end)
end)

describe("scripts/busted.lua", function()
  it("takes the library that LUA_PATH leads to, installed ones too", function()
    local dir = process.temporary_directory()
    write(dir .. "/lgemini.lua", "return 'another one'")
    write(dir .. "/which_spec.lua", "it('finds it', function() assert.equal('another one', require 'lgemini') end)")
    local pipe = io.popen(("LUA_PATH='%s/?.lua;'\"${LUA_PATH-;}\" %s scripts/busted.lua '%s/which_spec.lua' 2>&1")
      :format(dir, process.quote(process.interpreter()), dir))
    local printed = pipe:read "*a"
    pipe:close()
    process.remove_directory(dir)
    assert.matches("1 success /", printed)
  end)
end)
