-- The host of examples/embed, as it is, under AddressSanitizer and under ThreadSanitizer, and as C++. #plain: programs
-- of their own.
local emulator = require "spec.support.emulator"
local markdown = require "spec.support.markdown"
local process = require "spec.support.process"

local WORLDS = { "harbour", "tower" }
local PLAIN = process.build() .. "/embed"

-- What of the system is not made for ThreadSanitizer is not its business: libcurl, OpenSSL, Lua.
local TSAN = "TSAN_OPTIONS=ignore_noninstrumented_modules=1:exitcode=66 "

-- Without LUA_PATH and LUA_CPATH: the library is in the program, lua-cjson where the system has it.
local function run(command, em, script)
  local words = ("env -u LUA_PATH -u LUA_CPATH -u GOOGLE_API_KEY GEMINI_API_KEY=key GOOGLE_GEMINI_BASE_URL=%s "
    .. "%s %s 2>&1; echo status $?"):format(em.url, command, script or "")
  local pipe = assert(io.popen(words, "r"))
  local out = pipe:read "*a"
  pipe:close()
  return out:gsub("status %d+\n$", ""), tonumber(out:match "status (%d+)\n$")
end

describe("the host in C #plain", function()
  local em

  setup(function() em = emulator.start { args = { "--pause", "0.005" } } end)
  teardown(function() em:stop() end)
  before_each(function() em:clear() end)

  local function plays(command)
    local out, status = run(command, em)
    assert.equal(0, status, out)
    for _, name in ipairs(WORLDS) do
      local frames = tonumber(out:match(name .. ": (%d+) frames"))
      assert.is_true(frames > 10, out)
      assert.truthy(out:find(name .. "\tThis is the lgemini emulator, not a model; here are 40 ", 1, true), out)
      assert.truthy(out:find(name .. "\tThis is the lgemini emulator, not a model. I received 2 ", 1, true), out)
      for _, whose in ipairs { "Lua", "the core" } do
        local peak, bytes, blocks =
          out:match(name .. ": " .. whose .. " had (%d+) KB, left are (%d+) bytes in (%d+) blocks")
        assert.is_true(tonumber(peak) > 0, out)
        assert.same({ "0", "0" }, { bytes, blocks })
      end
    end
    assert.equal(2, #em:requests_to ":streamGenerateContent")
    assert.equal(2, #em:requests_to ":generateContent")
    assert.falsy(out:find "Sanitizer", out)
  end

  it("keeps frames in two states and two threads, and gives all memory back", function() plays(PLAIN) end)

  it("says what went wrong, and gives the memory back then, too", function()
    em:fault { path = ":", status = 400, message = "No such luck.", always = true }
    local out, status = run(PLAIN, em)
    assert.equal(1, status)
    for _, name in ipairs(WORLDS) do
      assert.truthy(out:find(name .. ": [^\n]*invalid: No such luck"), out)
      assert.truthy(out:find(name .. ": the core had %d+ KB, left are 0 bytes in 0 blocks"), out)
    end
  end)

  it("closes its states with calls in flight", function()
    em:gate { hold = true }
    local script = os.tmpname()
    local file = assert(io.open(script, "w"))
    file:write [[
      local client = require("lgemini").Client{}
      for _ = 1, 3 do
        client:spawn(function()
          local stream = client.models:generate_content_stream{ model = "gemini-3.5-flash", contents = "Tell a story." }
          stream:next()
        end)
      end
      local frames = 0
      return function() client:step(0.001) frames = frames + 1 return frames < 20 end]]
    file:close()
    local out, status = run(PLAIN, em, script)
    os.remove(script)
    em:gate { open = true }
    assert.equal(0, status, out)
    local _, clean = out:gsub("left are 0 bytes in 0 blocks", "")
    assert.equal(4, clean, out)
  end)

  if process.build() == "build/lua5.4" then
    it("has no mistake that AddressSanitizer knows", function() plays "build/san/embed" end)
    it("has no race", function() plays(TSAN .. "build/tsan/embed") end)

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
        if block.language == "sh" then line = block.text:match "^(cc %-o host host%.c %-llgemini .*)\n$" end
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
