-- scripts/bundle.lua: sources that clash in every way it knows, and the project's own.
local markdown = require "spec.support.markdown"
local process = require "spec.support.process"

local LUA = process.quote(process.interpreter())

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1", "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

describe("one file of C", function()
  local directory

  before_each(function() directory = process.temporary_directory() end)
  after_each(function() process.remove_directory(directory) end)

  local function bundle(what, files)
    local words = {}
    for _, file in ipairs(files) do
      words[#words + 1] = directory .. "/" .. file.name
      os.execute("mkdir -p " .. words[#words]:match "^(.*)/")
      local handle = assert(io.open(words[#words], "w"))
      handle:write(file.text)
      handle:close()
      if file.name:find "%.h$" and not file.public then words[#words] = nil end
    end
    local out = directory .. "/one." .. what
    assert.equal("", output(("%s scripts/bundle.lua %s %s %s"):format(LUA, what, out, table.concat(words, " "))))
    return out
  end

  it("keeps apart what two files call alike", function()
    local one = bundle("c", {
      { name = "a/a.h", text = '#ifndef A_H\n#define A_H\n#include <stddef.h>\nstruct box { int size; };\n'
        .. 'int a_of(struct box *box);\nconst char *a_name(void);\n#endif\n' },
      { name = "a/a.c", text = [[
#define _POSIX_C_SOURCE 200809L
#include "a.h"

#include <stdlib.h>
#define VERSION "1.2.3"
#define TWICE(n) (2 * (n)) \
    /* on two lines */
enum { SIZE = 3, LAST };
struct pair { int left; }; /* a tag of its own */
static int seen[2];
static __attribute__((unused)) int helper(int size);
static int helper(int size) { return TWICE(size) + seen[0] + SIZE; } // size
static const char *const words[] = {"size", "helper \" helper"}, quote = '"';
const char *a_name(void) { return words[1]; }
int a_of(struct box *box) { struct pair p = {.left = 1}; (void)quote; return helper(box->size) + p.left + LAST; }
]] },
      { name = "b/b.c", text = [[
#include "../a/a.h"

#include <stdio.h>
#include <stdlib.h>
#define TWICE(n) (200 * (n))
#define NOTE "helper"
enum kind { SIZE = 70, FIRST };
struct pair { const char *left, *right; };
static struct pair words = {"left", "right"};
static int helper(struct box *box)
{
    return TWICE(box->size) + SIZE + (int)FIRST;
}
int main(void)
{
    struct box box = {.size = 2};
    printf("%d %d %s %s %s\n", a_of(&box), helper(&box), a_name(), words.right, NOTE);
    return 0;
}
]] },
    })
    local program = directory .. "/program"
    assert.equal("", output(("cc -Wall -Wextra -Wpedantic -Werror -o %s %s"):format(program, one)))
    assert.equal("12 541 helper \" helper right helper\n", output(program))
    local text = markdown.read_file(one)
    assert.truthy(text:find("#define _POSIX_C_SOURCE", 1, true) < text:find("#include", 1, true))
    local _, headers = text:gsub("struct box { int size; };", "")
    assert.equal(1, headers)
    assert.matches("^/%* lgemini 1%.2%.3, ", text)
  end)

  it("shows what a header that is named declares, and nothing else", function()
    local one = bundle("c", {
      { name = "a/inside.h", text = "#ifndef I_H\n#define I_H\nint inside(void);\n#endif\n" },
      { name = "a/a.c", text = '#include "inside.h"\n#define VERSION "1.0"\nint inside(void) { return 1; }\n' },
      { name = "a/open.h", public = true, text = "#ifndef O_H\n#define O_H\nint open_it(void);\n#endif\n" },
      { name = "a/open.c", text = '#include "open.h"\n#include "inside.h"\nint open_it(void) { return inside(); }\n' },
    })
    assert.equal("", output(("cc -Wall -Wextra -Werror -shared -fPIC -o %s.so %s"):format(one, one)))
    assert.same("open_it", output(("nm -D --defined-only %s.so"):format(one)):match "^%x+ T (%S+)\n$")
  end)

  it("says where it does not understand", function()
    local command = "printf '/* no end' >%s/x.c; %s scripts/bundle.lua c %s/o %s/x.c"
    assert.matches("a comment without an end", output(command:format(directory, LUA, directory, directory)))
    assert.matches("^usage: ", output(LUA .. " scripts/bundle.lua c " .. directory .. "/o"))
  end)

  it("carries Lua as data, byte for byte", function()
    local every = {}
    for byte = 0, 255 do every[#every + 1] = string.char(byte) end
    local text = "return [[" .. table.concat(every):rep(3) .. "]]\n"
    local files = { { name = "lgemini/init.lua", text = text }, { name = "lgemini/empty.lua", text = "" } }
    local one = bundle("embed", files)
    local program = directory .. "/program"
    local handle = assert(io.open(directory .. "/main.c", "w"))
    handle:write [[
#include <stdio.h>
#include "embedded.h"
int main(void)
{
    for (const struct lgem_file *f = lgem_files; f->module != NULL; f++) {
        printf("%s %s %zu\n", f->module, f->chunk, f->size);
        fwrite(f->text, 1, f->size, stdout);
    }
    return 0;
}
]]
    handle:close()
    os.execute(("mv %s %s/embedded.c"):format(one, directory))
    assert.equal("", output(("cc -Wall -Wextra -Werror -Isrc -o %s %s/main.c %s/embedded.c"):format(
      program, directory, directory)))
    assert.equal(("lgemini @lgemini/init.lua %d\n"):format(#text) .. text .. "lgemini.empty @lgemini/empty.lua 0\n",
      output(program))
  end)
end)

describe("the amalgamation", function()
  local printed

  setup(function() printed = output("make -s LUA=" .. LUA .. " amalgamation"):match "\n *(cc .-)\n" end)

  it("is built by the line that the README shows", function()
    local shown
    for _, block in ipairs(markdown.blocks(markdown.read_file "README.md")) do
      shown = shown or block.text:match "\n(cc [^\n]*dist/lgemini%.c[^\n]*)\n"
    end
    assert.equal(shown, (printed:gsub("%-%-cflags [%w.]+", "--cflags lua5.4")))
  end)

  it("runs from two files, beside lua-cjson, and exports one name", function()
    local directory = process.temporary_directory()
    local library = directory .. "/lgemini.so"
    -- As quick as it gets: how it runs optimised is for the suite.
    local line = printed:gsub("%-o lgemini%.so", "-o " .. library):gsub("%-O2", "-O0 -Wall -Wextra -Wpedantic -Werror")
    assert.equal("", output(line))
    assert.equal("", output("cp dist/lgemini.lua " .. directory))
    local program = [[
      local gemini = require "lgemini"
      local client = gemini.Client { api_key = "k" }
      client:spawn(function() client:sleep(0) end)
      client:run()
      client:close()
      assert(gemini._VERSION == require "lgemini.core"._VERSION)
      print(gemini.base64.encode "two files", (select(2, pcall(gemini.Client, { no_such = 1 }))))]]
    local file = assert(io.open(directory .. "/program.lua", "w"))
    file:write(program)
    file:close()
    local out = output(("env LUA_PATH='%s/?.lua' LUA_CPATH='%s/?.so;;' %s %s/program.lua"):format(
      directory, directory, LUA, directory))
    assert.matches("^dHdvIGZpbGVz\t[^\n]*program%.lua:7: [^\n]*no_such", out)
    local names = {}
    for name in output("nm -D --defined-only " .. library):gmatch "%x+ %u (%S+)" do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "lgemini_open", "luaopen_lgemini_core" }, names)
    process.remove_directory(directory)
  end)

  it("opens in a host in C, in whose memory the core then is", function()
    local directory = process.temporary_directory()
    local file = assert(io.open(directory .. "/script.lua", "w"))
    file:write [[
      local client = require "lgemini".Client { api_key = "k" }
      client:spawn(function() client:sleep(0) end)
      local kept = require "lgemini.core".body.new()
      for i = 1, 1000 do kept:add("piece " .. i) end
      return function() return client:step(0) and kept end]]
    file:close()
    local name = process.build():match "[^/]+$"
    local host = directory .. "/host"
    assert.equal("", output(("cc -O0 -Wall -Wextra -Werror -o %s examples/embed/host.c dist/lgemini.c -Idist "
      .. "$(pkg-config --cflags --libs %s) -lcurl -lcrypto -lm -lpthread"):format(host, name)))
    local out = output(("env LUA_PATH='dist/?.lua;;' %s %s/script.lua; echo $?"):format(host, directory))
    assert.matches("\n0\n$", out)
    for _, world in ipairs { "harbour", "tower" } do
      local peak, left = out:match(world .. ": the core had (%d+) KB, left are (%d+) bytes")
      assert.is_true(tonumber(peak) >= 5, out)
      assert.equal("0", left)
    end
    process.remove_directory(directory)
  end)
end)
