-- The rules of the house that text and object files can prove.
local files = require "spec.support.files"
local process = require "spec.support.process"

local output = process.output

local function lines(command)
  local list = {}
  for line in output(command):gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local read = files.read

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

local function without_c_comments(text) return (text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", "")) end

-- Good enough for sources that hold no "--" inside a string on a line with code after it.
local function without_lua_comments(text)
  return (text:gsub("%-%-%[(=*)%[.-%]%1%]", ""):gsub("%-%-[^\n]*", ""))
end

local c_files = lines "find src -name '*.c' -o -name '*.h' | sort"
local lua_files = lines "find lua -name '*.lua' ! -name '*.meta.lua' | sort"

-- What each module of C may include beside its own header.
local C_ARROWS = {
  mem = "",
  err = "",
  buf = "err mem",
  base64 = "err",
  file = "err mem",
  sha256 = "err",
  rs256 = "err",
  body = "base64 buf err file mem",
  sse = "buf err mem",
  json = "buf err mem",
  mold = "buf json mem",
  rope = "err mem",
  upload = "buf err mem",
  poller = "err mem",
  request = "body",
  handle = "mem request",
  exchange = "body buf err handle mem poller request sha256",
  loop = "buf err exchange handle mem poller",
}

-- What each module of Lua may require beside the leaves; "core" is lgemini.core.
local LEAVES = words("compat errors json limits media options ordered part parts refusal retry schema shape suggest "
  .. "timers")
local LUA_ARROWS = {
  compat = "",
  errors = "", json = "json_reader", json_reader = "",
  limits = "", media = "", options = "", ordered = "", suggest = "",
  shape = "", part = "", parts = "", retry = "",
  refusal = "", schema_more = "", schema = "schema_more",
  emit = "", walk = "", values = "emit walk", question = "",
  wire = "core headers question structured tools values walk", bodies = "wire", request = "bodies emit wire",
  rows = "", names = "", endpoints = "names rows", poll = "", headers = "", watch = "headers",
  rate = "", routes = "headers", failures = "answer headers media rate",
  http = "answer failures headers media_to rate routes", http_options = "", tape = "",
  record = "headers tape", replay = "headers tape",
  timers = "", pace = "", map = "", inside = "", task = "inside", steps = "inside task", loop = "inside steps task",
  tasks = "inside loop", journal = "", reuse = "",
  save = "", media_to = "",
  verdict = "", answer = "core grounding save verdict", accumulator = "answer",
  grounding = "", items = "",
  stream = "accumulator answer failures http items media_to",
  pager = "endpoints http",
  operations = "answer endpoints headers http poll progress service",
  source = "",
  remote = "endpoints http poll",
  session = "endpoints headers http journal request source",
  upload = "answer endpoints http journal progress remote reuse session source",
  progress = "", download = "http progress",
  attach = "remote request source upload",
  service = "attach endpoints headers http request",
  caches = "endpoints pager service",
  vertex = "failures http inside service",
  lines = "",
  batch_source = "attach endpoints lines request upload",
  vertex_batches = "",
  batches = "answer batch_source endpoints http lines pager poll request service vertex_batches",
  tunings = "endpoints pager request service",
  auth_tokens = "endpoints request service",
  interaction = "core request save", -- base64
  interactions = "attach endpoints http interaction poll request service stream tools",
  file_search_stores = "download endpoints operations pager service upload",
  files = "download endpoints pager remote request service upload",
  direct = "endpoints headers http plan question", plan = "attach direct question request",
  making = "answer attach direct endpoints operations plan service",
  catalog = "endpoints http pager service",
  models = "answer catalog direct endpoints headers making media_to plan stream tools",
  kept = "attach upload",
  chats = "answer kept lines models request",
  structured = "",
  tools = "attach request structured",
  client = "auth_tokens batches caches chats core file_search_stores files http http_options interactions loop map "
    .. "models operations pace record replay reuse tasks tunings vertex watch",
  binary = "", inflate = "", media_boxes = "binary", media_image = "binary", media_matroska = "binary",
  media_pdf = "binary inflate", media_riff = "binary", media_sound = "binary",
  media_facts = "binary media_boxes media_image media_matroska media_pdf media_riff media_sound",
  prices = "", tokens = "prices",
  estimate = "attach binary core endpoints lines media_facts prices request tokens tools",
  init = "client core estimate loop prices tools",
  cqueues = "", luv = "", -- named after what they need
}

describe("C sources", function()
  it("include along the arrows only", function()
    assert.truthy(#c_files > 10)
    for _, path in ipairs(c_files) do
      local folder, module = path:match "^src/(%a+)/([%w_]+)%.[ch]$"
      if folder and folder ~= "binding" then
        local may = assert(C_ARROWS[module], path .. ": say in this spec what it may include")
        may = words(may .. " " .. module)
        for included in without_c_comments(read(path)):gmatch '#%s*include%s*"([^"]+)"' do
          local name = included:match "([%w_]+)%.h$"
          assert.truthy(may[name], path .. " includes " .. included)
        end
      end
    end
  end)

  it("include Lua's headers in src/binding and libcurl's in src/net only", function()
    for _, path in ipairs(c_files) do
      for included in without_c_comments(read(path)):gmatch '#%s*include%s*[<"]([^>"]+)' do
        local home = included:match "^l[ua][ua]%w*%.h$" and "src/binding/" or included:match "^curl/" and "src/net/"
        -- For hosts, which have a Lua state; what Lua opens.
        local public = path:find "^src/lgemini%.[ch]$" or path == "src/door.c" or path == "src/preload.h"
        assert.truthy(not home or path:find(home, 1, true) or public, path .. ": " .. included)
      end
    end
  end)

  it("leave the heap to mem, print nothing and never exit", function()
    local heap = words "malloc calloc realloc free strdup strndup reallocarray"
    local forbidden = words "printf fprintf puts fputs putchar perror abort exit _exit atexit system getenv assert"
    for _, path in ipairs(c_files) do
      for before, name in without_c_comments(read(path)):gmatch "([%->.]*)%f[%w_]([%a_][%w_]*)%s*%(" do
        assert.falsy(forbidden[name], path .. " calls " .. name)
        if path ~= "src/core/mem.c" and not before:match "[>.]$" then
          assert.falsy(heap[name] and path ~= "src/core/mem.h", path .. " calls " .. name)
        end
      end
    end
  end)
end)

describe("the built module", function()
  local build = process.build()
  local objects = lines("find " .. build .. "/obj -name '*.o' | sort")

  it("has no static that can change", function()
    assert.truthy(#objects > 10)
    for _, object in ipairs(objects) do
      for section, size in output("objdump -h " .. object):gmatch "%s%d+ (%.[%w._]+)%s+(%x+)" do
        if section:match "^%.t?bss" or section:match "^%.t?data" and not section:match "^%.data%.rel%.ro" then
          assert.equal(0, tonumber(size, 16), object .. ": " .. section)
        end
      end
    end
  end)

  it("exports what a host may use, and nothing else", function()
    local found = io.open("src/lgemini.h")
    local public = words("luaopen_lgemini_core " .. (found and found:read("*a"):gsub("[^%w_]+", " ") or ""))
    if found then found:close() end
    local count = 0
    for name in output("nm -D --defined-only " .. build .. "/lgemini/core.so"):gmatch "%x+ %a (%S+)" do
      count = count + 1
      assert.truthy(public[name], name)
    end
    assert.truthy(count > 0)
  end)

  it("stays mapped", function()
    assert.truthy(output("readelf -d " .. build .. "/lgemini/core.so"):find "NODELETE")
  end)
end)

describe("Lua sources", function()
  it("require along the arrows only", function()
    assert.truthy(#lua_files > 10)
    for _, path in ipairs(lua_files) do
      local module = assert(path:match "^lua/lgemini/([%w_]+)%.lua$", path .. ": the install knows one folder only")
      local may = words(assert(LUA_ARROWS[module], path .. ": say in this spec what it may require"))
      local code = without_lua_comments(read(path))
      for name in code:gmatch "[\"']lgemini%.([%w_]+)[\"']" do -- required at once or by its name in a table
        local is_module = name == "core" or LUA_ARROWS[name]
        assert.truthy(not is_module or may[name] or LEAVES[name], path .. " requires lgemini." .. name)
      end
      for name in code:gmatch "require%s*%(?%s*[\"']([%w_.]+)" do
        local own = name:find "^lgemini%." or name == "cjson" and module == "json"
          or name:match "^%w+" == module
        assert.truthy(own, path .. " requires " .. name)
      end
    end
  end)

  -- compat.lua says why. A file that does not is none the worse for LuaJIT's compiler.
  it("say that they go over tables where they do", function()
    for _, path in ipairs(lua_files) do
      local code = without_lua_comments(read(path))
      local does = code:find "%f[%w.]pairs[ (]" or code:find "%f[%w.:]next%(" or code:find "%f[%w]in next%f[%W]"
      local says = code:find('("lgemini.compat").goes_over_tables()', 1, true)
      assert.equal(does ~= nil, says ~= nil or path:find "/compat%.lua$" ~= nil, path)
    end
  end)

  it("have one user of exchanges and one of loops", function()
    local users = {}
    for _, path in ipairs(lua_files) do
      for name in without_lua_comments(read(path)):gmatch "%.(%l+)%.new%f[^%w_]" do
        if name == "exchange" or name == "loop" then users[#users + 1] = name .. " in " .. path:match "[^/]+$" end
      end
    end
    assert.same({ "loop in loop.lua", "exchange in routes.lua" }, users)
  end)

  it("write to no standard stream", function()
    for _, path in ipairs(lua_files) do
      local code = without_lua_comments(read(path))
      assert.falsy(code:find "%f[%w_.:]print%s*[%(\"']", path .. " prints")
      for name in ("stdout stderr write output"):gmatch "%S+" do
        assert.falsy(code:find("%f[%w_]io%." .. name .. "%f[^%w_]"), path .. " uses io." .. name)
      end
      assert.falsy(code:find "%f[%w_]os%.exit", path .. " exits")
    end
  end)
end)

describe("core.meta.lua", function()
  -- Which table belongs to which type the text does not say; the names alone find what was forgotten.
  local function in_c()
    local names = {}
    for _, path in ipairs(c_files) do
      for list in without_c_comments(read(path)):gmatch "luaL_Reg%s+[%w_]+%s*%[%s*%]%s*=%s*(%b{})" do
        for name in list:gmatch '{%s*"([%w_]+)"' do
          if not name:match "^__" then names[name] = true end
        end
      end
    end
    return names
  end

  it("names what the luaL_Reg tables name", function()
    local described = {}
    for name in read("lua/lgemini/core.meta.lua"):gmatch "\nfunction%s+[%w_.]+[.:]([%w_]+)" do
      described[name] = true
    end
    assert.truthy(next(described))
    assert.same(in_c(), described)
  end)
end)

describe("the version", function()
  it("is one, in Lua, C, the rockspec, the changelog, the README and the emulator", function()
    local version = require("lgemini")._VERSION
    assert.truthy(version:match "^%d+%.%d+%.%d+$", version)
    assert.equal(version, require("lgemini.core")._VERSION)
    local rockspecs = lines "ls *.rockspec"
    assert.same({ "lgemini-" .. version .. "-1.rockspec" }, rockspecs)
    assert.equal(version .. "-1", read(rockspecs[1]):match '\nversion = "([^"]+)"')
    assert.equal(version, read("CHANGELOG.md"):match "\n## %[?([%d.]+)")
    assert.equal(version, read("README.md"):match "This is version (%d+%.%d+%.%d+)")
    assert.equal(version, read("emulator/main.lua"):match 'VERSION = "([^"]+)"')
  end)
end)

-- Named like a service, and none: it makes the folder for the sockets of X when the machine starts.
local NO_SERVICE = { ["/etc/init.d/x11-common"] = true }

describe("the packages that are installed", function()
  it("bring no service", function()
    local packages = {}
    for name in output("sh scripts/setup list"):gmatch "[^%s|]+" do packages[#packages + 1] = name end
    assert.truthy(#packages > 10)
    if output "command -v apt-cache" == "" then return pending "not Debian" end
    local closure = output("apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts "
      .. "--no-breaks --no-replaces --no-enhances " .. table.concat(packages, " ") .. " 2>/dev/null | grep '^[a-z]'")
    local looked = 0
    for line in output("dpkg-query -W -f '${db:Status-Status} ${Priority} ${Package}:${Architecture}\n' "
      .. closure:gsub("%s+", " ") .. " 2>/dev/null"):gmatch "[^\n]+" do
      local priority, package = line:match "^installed (%S+) (%S+)$"
      if priority and priority ~= "required" and priority ~= "important" then
        looked = looked + 1
        for path in output("dpkg-query -L " .. package:gsub(":all$", "")):gmatch "[^\n]+" do
          local service = path:match "^/etc/init%.d/." or path:match "/systemd/system/.*%.%a+$"
          assert.falsy(service and not NO_SERVICE[path], package .. " has " .. path)
        end
      end
    end
    assert.truthy(looked > 20)
  end)
end)

describe("spec/helper.lua", function()
  local function run(body)
    local dir = output("mktemp -d"):match "%S+"
    local file = assert(io.open(dir .. "/leak_spec.lua", "w"))
    file:write('local core = require "lgemini.core"\nlocal kept\nkept = { kept }\n', body)
    file:close()
    local text = output((os.getenv "LUA" or "lua5.4") .. " scripts/busted.lua " .. dir .. " 2>&1")
    os.execute("rm -r " .. dir)
    return text
  end

  it("fails the test that leaves an object alive, and no other", function()
    local text = run [[
      it("is clean", function() core.body.new() end)
      it("leaks", function() kept.body = core.body.new() end)
      it("is clean again", function() core.body.new() end)]]
    assert.truthy(text:find("3 successes / 0 failures / 1 error", 1, true), text)
    assert.truthy(text:find("'leaks' left alive: 1 body", 1, true), text)
  end)
end)
