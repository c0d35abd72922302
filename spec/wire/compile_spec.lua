-- scripts/compile.lua: what `make install` leaves of the Lua files. #plain: programs of their own.
local emulator = require "spec.support.emulator"
local files = require "spec.support.files"
local process = require "spec.support.process"
local program = require "spec.support.program"

-- Notes which of the library's modules come from files.
local HEAD = [[
local searchers, files = package.searchers or package.loaders, {}
local search = searchers[2]
searchers[2] = function(name)
  if name:find "^lgemini" then files[#files + 1] = name end
  return search(name)
end
local gemini = require "lgemini"
]]

describe("the compiled files #plain", function()
  local em, directory

  setup(function()
    em = emulator.start()
    directory = process.temporary_directory()
    local made = os.execute(("mkdir %s/lgemini && %s scripts/compile.lua %s/lgemini lua/lgemini/*.lua")
      :format(directory, process.quote(process.interpreter()), directory))
    assert(made == true or made == 0)
  end)

  teardown(function()
    em:stop()
    process.remove_directory(directory)
  end)

  local function run(text, before)
    local path = files.write(directory .. "/program.lua", (before or "") .. HEAD .. text)
    local result = program.run(path, { env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "test-key-0123456789",
      LUA_PATH = ("%s/?.lua;%s/?/init.lua;%s"):format(directory, directory, os.getenv "LUA_PATH" or ";") } })
    assert.same({ "", 0 }, { result.err, result.code })
    return result.out
  end

  it("bring what `require` loads with init.lua, what a first call needs with the client, and nothing else", function()
    assert.equal("lgemini lgemini.core lgemini.client\n", run [[
      local response = gemini.assert(gemini.Client {}.models:generate_content {
        model = "gemini-3.5-flash", contents = "Hello" })
      assert(#response.text > 0)
      print(table.concat(files, " "))
      for name in pairs(package.preload) do assert(not name:find "^lgemini", name) end
    ]])
  end)

  local _ = _VERSION == "Lua 5.4" and it("have no names of locals, whatever else is in them", function()
    local kept = table.concat({ "-- 1, 2", "local up = %q", "local function f(a, ...)",
      "  local t <close> = setmetatable({ a, ..., 1, -2^53, 0.5, true, false, 'x', %q }, { __close = function() end })",
      "  for i, v in ipairs(t) do up = up .. tostring(v) .. i end", "  return up", "end", "return f" }, "\n")
      :format(("u"):rep(50), ("long"):rep(5000))
    local compiled = dofile "scripts/compiled.lua"
    local plain, f = assert(load(kept, "=lgemini/x.lua"))(), assert(load(compiled(kept, "x"), "", "b"))()
    assert.equal(plain(nil, 7), f(nil, 7))
    assert.equal("a", debug.getlocal(plain, 1))
    assert.is_nil(debug.getlocal(f, 1))
    for what, value in pairs(debug.getinfo(plain, "SLu")) do
      assert.same(value, debug.getinfo(f, "SLu")[what], what)
    end
    assert.equal(debug.getupvalue(plain, 1), debug.getupvalue(f, 1))
  end)

  it("say the lines of the sources", function()
    local source = assert(loadfile "lua/lgemini/limits.lua")()
    local line = debug.getinfo(source.hint, "S").linedefined
    assert.equal(("=lgemini/limits.lua %d\n"):format(line), run [[
      require "lgemini.client"
      local info = debug.getinfo(require("lgemini.limits").hint, "S")
      print(info.source, info.linedefined)
    ]]:gsub("\t", " "))
  end)

  local linux = io.popen("uname -s"):read "*l" == "Linux"
  local _ = linux and it("come with the core where they are installed, beside what a program has", function()
    local there = directory .. "/installed"
    local made = os.execute(("make -s install-module COMPILED=1 LUA=%s DESTDIR= INST_LUADIR=%s INST_LIBDIR=%s")
      :format(process.quote(process.interpreter()), there, there))
    assert(made == true or made == 0)
    local text = ("package.path, package.cpath = %q .. package.path, %q .. package.cpath\n"):format(
      there .. "/?.lua;" .. there .. "/?/init.lua;", there .. "/?.so;")
    assert.equal("lgemini lgemini.core\n", run([[
      local response = gemini.assert(gemini.Client {}.models:generate_content {
        model = "gemini-3.5-flash", contents = "Hello" })
      assert(#response.text > 0)
      print(table.concat(files, " "))
    ]], text))
    assert.equal("mine\n", run([[
      package.preload["lgemini.limits"] = function() return "mine" end
      require "lgemini.core"
      print((require "lgemini.limits"))
    ]], text))
  end)

  it("leave to a program what it has put in place of a module", function()
    assert.equal("mine\n", run [[
      package.preload["lgemini.limits"] = function() return "mine" end
      pcall(require, "lgemini.client")
      print(package.loaded["lgemini.limits"])
    ]])
  end)
end)
