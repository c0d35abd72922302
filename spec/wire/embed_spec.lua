-- The host of examples/embed, as it is, under AddressSanitizer and under ThreadSanitizer, and as C++. #plain: programs
-- of their own.
local emulator = require "spec.support.emulator"
local markdown = require "spec.support.markdown"
local process = require "spec.support.process"
local program = require "spec.support.program"

local WORLDS = { "harbour", "tower" }

local PROGRAMS = { plain = process.build() .. "/embed" }
if process.build() == "build/lua5.4" then
  PROGRAMS.AddressSanitizer, PROGRAMS.ThreadSanitizer = "build/san/embed", "build/tsan/embed"
end

-- What it printed, errors among it, and its exit status. The paths are Lua's own: the library is in the program, and
-- lua-cjson where the system has it.
local function run(host, em, script, env)
  env = env or {}
  env.LUA_PATH, env.LUA_CPATH = ";;", ";;"
  env.GOOGLE_GEMINI_BASE_URL, env.SSL_CERT_FILE, env.GEMINI_API_KEY = em.url, em.ca_file, "key"
  local result = program.run(script or "examples/embed/talk.lua", { host = { host }, env = env, together = true })
  return result.out, result.code
end

describe("the host in C #plain", function()
  local em

  setup(function() em = emulator.start { args = { "--pause", "0.005" } } end)
  teardown(function() em:stop() end)
  before_each(function() em:clear() end)

  local function plays(host, server, env)
    local out, status = run(host, server, nil, env)
    assert.equal(0, status, out)
    for _, name in ipairs(WORLDS) do
      local frames = tonumber(out:match(name .. ": (%d+) frames"))
      assert.is_true(frames > 1, out)
      assert.truthy(out:find(name .. "\tThis is the lgemini emulator, not a model; here are 40 ", 1, true), out)
      assert.truthy(out:find(name .. "\tThis is the lgemini emulator, not a model. I received 2 ", 1, true), out)
      for _, whose in ipairs { "Lua", "the core" } do
        local peak, bytes, blocks =
          out:match(name .. ": " .. whose .. " had (%d+) KB, left are (%d+) bytes in (%d+) blocks")
        assert.is_true(tonumber(peak) > 0, out)
        assert.same({ "0", "0" }, { bytes, blocks })
      end
    end
    assert.equal(2, #server:requests_to ":streamGenerateContent")
    assert.equal(2, #server:requests_to ":generateContent")
    assert.falsy(out:find "Sanitizer", out)
  end

  for kind, host in pairs(PROGRAMS) do
    it("keeps frames in two states and two threads, and gives all memory back: " .. kind, function()
      plays(host, em)
    end)

    it("says what went wrong, and gives the memory back then, too: " .. kind, function()
      em:fault { path = ":", status = 400, message = "No such luck.", always = true }
      local out, status = run(host, em)
      assert.equal(1, status, out)
      for _, name in ipairs(WORLDS) do
        assert.truthy(out:find(name .. ": [^\n]*invalid: No such luck"), out)
        assert.truthy(out:find(name .. ": the core had %d+ KB, left are 0 bytes in 0 blocks"), out)
      end
      assert.falsy(out:find "Sanitizer", out)
    end)

    it("closes its states with calls in flight: " .. kind, function()
      em:gate { hold = true }
      local script = os.tmpname()
      local file = assert(io.open(script, "w"))
      file:write [[
        local client = require("lgemini").Client{}
        local request = { model = "gemini-3.5-flash", contents = "Tell a story." }
        for _ = 1, 3 do
          client:spawn(function() client.models:generate_content_stream(request):next() end)
        end
        local frames = 0
        return function() client:step(0.001) frames = frames + 1 return frames < 20 end]]
      file:close()
      local out, status = run(host, em, script)
      os.remove(script)
      em:gate { open = true }
      assert.equal(0, status, out)
      local _, clean = out:gsub("left are 0 bytes in 0 blocks", "")
      assert.equal(4, clean, out)
      assert.falsy(out:find "Sanitizer", out)
    end)
  end

  if PROGRAMS.ThreadSanitizer then
    -- OpenSSL is not made for it, so what it does with its own memory is not looked at.
    it("has no race over TLS either", function()
      local secure = emulator.start { tls = true }
      plays(PROGRAMS.ThreadSanitizer, secure, { TSAN_OPTIONS = "ignore_noninstrumented_modules=1" })
      secure:stop()
    end)
  end
end)

-- Like a user: with the library's header and archive in a folder, and lines that are in docs/embedding.md.
if process.build() == "build/lua5.4" then
  describe("liblgemini.a #plain", function()
    local em, directory, line, host

    setup(function()
      em = emulator.start()
      directory = process.temporary_directory()
      for _, block in ipairs(markdown.blocks(markdown.read_file "docs/embedding.md")) do
        line = line or block.language == "sh" and block.text:match "^(cc %-o host host%.c %-llgemini .*)\n$"
        if block.language == "c" then host = block.text end
      end
    end)
    teardown(function()
      em:stop()
      process.remove_directory(directory)
    end)

    local function build(source, compiler, flags)
      local command = line:gsub("^cc %-o host host%.c", function()
        return ("%s %s -Werror -Wall -Wextra -Isrc -L%s -o %s/host %s"):format(
          compiler, flags or "", process.build(), directory, source)
      end)
      assert.equal(0, os.execute(command) == true and 0 or 1)
    end

    it("is what docs/embedding.md says", function()
      local file = assert(io.open(directory .. "/host.c", "w"))
      file:write(host)
      file:close()
      build(directory .. "/host.c", "cc")
      local script = assert(io.open(directory .. "/script.lua", "w"))
      script:write "arg = {} dofile 'examples/verify.lua'"
      script:close()
      local out = run(directory .. "/host", em, directory .. "/script.lua")
      assert.matches("^Multimodal API working: ", out)
    end)

    it("is for C++, too", function()
      build("-x c++ examples/embed/host.c -x none", "clang", "-pthread")
      local out, status = run(directory .. "/host", em)
      assert.equal(0, status, out)
      assert.truthy(out:find "tower: the core had %d+ KB, left are 0 bytes in 0 blocks", out)
    end)

    it("brings in no name but its own", function()
      local pipe = assert(io.popen("nm -g --defined-only " .. process.build() .. "/liblgemini.a", "r"))
      for symbol in pipe:read("*a"):gmatch "%x+ %u (%S+)" do
        assert.truthy(symbol:find "^l?gem_" or symbol == "lgemini_open" or symbol == "luaopen_lgemini_core", symbol)
      end
      pipe:close()
    end)
  end)
end
