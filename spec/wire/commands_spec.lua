-- What README.md and docs/ show beside Lua: commands of the shell and C. Each block is run here as it stands, or is in
-- ELSEWHERE with why it is not. #plain: programs of their own.
local markdown = require "spec.support.markdown"
local process = require "spec.support.process"
local socket = require "cqueues.socket"

local LUA = os.getenv "LUA" or "lua5.4"

-- By how a block begins.
local ELSEWHERE = {
  ["make demo\n"] = "sets a machine up; scripts/demo runs what the examples' specs run",
  ["apt-get install "] = "sets a machine up; readme_spec.lua holds the names against scripts/setup",
  ["luarocks "] = "scripts/check-rock installs both ways, from a copy",
  ["make amalgamation\n"] = "spec/unit/bundle_spec.lua builds and runs it",
  ["make LUA=luajit "] = "builds for another Lua: `make test` does it for each",
  ["make bench "] = "takes minutes and proves nothing",
}

-- Every block of a language that is run here.
local LANGUAGES = { sh = true, c = true }
local found = {}
local pipe = assert(io.popen("ls README.md docs/*.md", "r"))
for path in pipe:lines() do
  for _, block in ipairs(markdown.blocks(markdown.read_file(path))) do
    if LANGUAGES[block.language] then
      block.place = path .. ":" .. block.line
      found[#found + 1] = block
    end
  end
end
pipe:close()

-- The block that begins so; it is not left over then.
local function take(beginning)
  for _, block in ipairs(found) do
    if block.text:sub(1, #beginning) == beginning then
      block.taken = true
      return block.text
    end
  end
  error("no block begins with " .. beginning, 2)
end

-- Runs a script in the project's root, without what would lead it elsewhere; returns what it printed, all of it.
local function run(directory, script)
  local path = directory .. "/script.sh"
  local file = assert(io.open(path, "w"))
  file:write("set -e\nunset http_proxy https_proxy all_proxy GOOGLE_API_KEY GEMINI_MODEL\n", script, "\necho done\n")
  file:close()
  local output = assert(io.popen("sh " .. process.quote(path) .. " 2>&1 </dev/null", "r"))
  local printed = output:read "*a"
  output:close()
  assert.truthy(printed:find "done\n$", printed)
  return printed
end

local function free_port()
  local listener = assert(socket.listen("127.0.0.1", 0))
  assert(listener:listen())
  local _, _, port = listener:localname()
  listener:close()
  return port
end

describe("commands and C in the pages #plain", function()
  local directory

  setup(function() directory = process.temporary_directory() end)
  teardown(function() process.remove_directory(directory) end)

  it("of an emulator that examples and curl talk to", function()
    local start, admin = take "emulator/gemini-emulator ", take "curl $GOOGLE_GEMINI_BASE_URL/emulator/requests"
    local script = (start .. admin):gsub("8099", free_port()):gsub("lua5%.4 ", LUA .. " ")
      :gsub("curl ", "curl --silent --show-error --fail ")
    local printed = run(directory, "trap 'kill $!' EXIT\n" .. script)
    assert.truthy(printed:find("listening on", 1, true))
    assert.truthy(printed:find(":generateContent", 1, true))
    assert.truthy(printed:find('"id":1', 1, true), printed)
  end)

  it("of a host in C, with the library or with the one file", function()
    local file = assert(io.open(directory .. "/host.c", "w"))
    file:write((take "#include <stdio.h>\n"))
    file:close()
    file = assert(io.open(directory .. "/host.lua", "w"))
    file:write "print(require('lgemini').Client { api_key = 'k' }:step(0), debug.getinfo(1, 'S').short_src)"
    file:close()
    local script = "make -s LUA=%s %s >/dev/null\nroot=$(pwd)\n%s\ncd %s\n%s\n./host host.lua"
    local function play(what, settings, build)
      local printed = run(directory, script:format(LUA, what, settings, directory, (build:gsub("lua5%.4", LUA))))
      assert.truthy(printed:find("^false%s+host%.lua\n"), printed)
    end
    play("static", "unset LUA_PATH\nexport CPATH=$root/src LIBRARY_PATH=$root/" .. process.build(),
      take "cc -o host host.c -llgemini ")
    play("amalgamation", "export LUA_PATH=\"$root/dist/?.lua;;\"",
      (take "cc -o host host.c dist/lgemini.c ":gsub("dist", "$root/dist"):gsub("cc", "cc -Wall -Wextra -Werror")))
  end)

  it("of all else are tried elsewhere", function()
    for beginning in pairs(ELSEWHERE) do take(beginning) end
    for _, block in ipairs(found) do assert.is_true(block.taken, block.place) end
  end)
end)
