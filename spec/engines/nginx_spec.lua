-- examples/nginx in a real nginx with one worker: scripts/nginx unpacks it.
local emulator = require "spec.support.emulator"
local process = require "spec.support.process"
local program = require "spec.support.program"

local NGINX = "build/nginx"

local CONFIGURATION = [[
daemon off;
master_process off;
pid %(directory)s/pid;
error_log %(directory)s/log;
load_module %(here)s/%(nginx)s/usr/lib/nginx/modules/ndk_http_module.so;
load_module %(here)s/%(nginx)s/usr/lib/nginx/modules/ngx_http_lua_module.so;
env GEMINI_API_KEY;
env GOOGLE_GEMINI_BASE_URL;
events {}
http {
    access_log off;
    client_body_temp_path %(directory)s/body;
    proxy_temp_path %(directory)s/proxy;
    fastcgi_temp_path %(directory)s/fastcgi;
    uwsgi_temp_path %(directory)s/uwsgi;
    scgi_temp_path %(directory)s/scgi;
    lua_package_path "%(here)s/examples/nginx/?.lua;%(here)s/%(nginx)s/usr/share/lua/5.1/?.lua;%(lua)s";
    lua_package_cpath "%(here)s/build/luajit/?.so;;";
    server {
        listen unix:%(directory)s/socket;
        include %(here)s/examples/nginx/gemini.conf;
        location = /upload { content_by_lua_block { require("spec.engines.nginx").upload() } }
        location = /other { content_by_lua_block { ngx.say("served") } }
    }
}
]]

local function output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local found = io.open(NGINX .. "/usr/sbin/nginx")
if found then found:close() end

describe("nginx #plain", function()
  if not found then
    pending "is not here: see scripts/nginx"
    return
  end

  local em, directory, server

  setup(function()
    em = emulator.start {}
    directory = process.temporary_directory()
    local here = output("pwd"):match "[^\n]+"
    local values = { directory = directory, here = here, nginx = NGINX,
      lua = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;;"):format(here, here, here) }
    local file = assert(io.open(directory .. "/nginx.conf", "w"))
    file:write((CONFIGURATION:gsub("%%(%b())s", function(name) return values[name:sub(2, -2)] end)))
    file:close()
    server = program.start(directory .. "/nginx.conf", {
      host = { NGINX .. "/usr/sbin/nginx", "-e", directory .. "/log", "-p", directory, "-c" },
      together = true,
      env = { GOOGLE_GEMINI_BASE_URL = em.url, GEMINI_API_KEY = "k", LD_LIBRARY_PATH = here .. "/" .. NGINX .. "/lib" },
    })
    output(("for i in $(seq 500); do [ -s %s/pid ] && break; sleep 0.02; done"):format(directory))
  end)
  teardown(function()
    output(("kill $(cat %s/pid)"):format(directory))
    local result = server:finish()
    process.remove_directory(directory)
    em:stop()
    assert.equal(0, result.code, result.out)
  end)
  before_each(function() em:clear() end)

  -- Asks it in the background: a pipe with the answer, and after it a line with the status and how curl ended.
  local function visit(path, flags)
    return assert(io.popen(("timeout 30 curl -sN -w '\\n%%{http_code} ' %s --unix-socket %s/socket "
      .. "'http://localhost%s'; echo $?"):format(flags or "", directory, path), "r"))
  end

  local function read(pipe)
    local text = pipe:read "*a"
    pipe:close()
    local answer, code, exit = text:match "^(.*)\n(%d+) (%d+)\n$"
    return answer, tonumber(code), tonumber(exit)
  end

  it("serves others while calls wait for their answers", function()
    em:gate { hold = true }
    local visits = {}
    for i = 1, 5 do visits[i] = visit("/ask?question=Is+it+" .. i) end
    local deadline = os.time() + 30
    repeat until em:gate().waiting == 5 or os.time() > deadline
    assert.equal("served\n", (read(visit "/other")))
    em:gate { open = true }
    for i = 1, 5 do
      local answer, code = read(visits[i])
      assert.equal(200, code)
      assert.matches(('The last text reads "Is it %d"'):format(i), answer)
    end
  end)

  it("sends an answer on while it comes", function()
    em:gate { hold = true }
    em:gate { release = 1 }
    local pipe = visit "/ask?question=%5Blong%203%5D"
    local start = "This is the lgemini emulator"
    assert.equal(start, pipe:read(#start))
    assert.equal(1, em:gate().waiting) -- for the rest
    em:gate { open = true }
    assert.matches("Sentence 3 of 3", (read(pipe)))
  end)

  it("takes media, in memory or in a file", function()
    for _, name in ipairs { "slide.png", "call.wav" } do
      em:clear()
      local answer = read(visit("/ask?question=What+is+this", "--data-binary @spec/fixtures/" .. name))
      assert.matches("I received 2 parts", answer)
      local part = em:requests_to(":streamGenerateContent")[1].parts[2]
      assert.equal(output("sha256sum spec/fixtures/" .. name):match "%x+", part.sha256)
    end
  end)

  it("says that there is no answer, and cuts off one that breaks", function()
    em:fault { path = ":streamGenerateContent", status = 403 }
    local answer, code = read(visit "/ask?question=What")
    assert.same({ "no answer: permission\n", 502 }, { answer, code })
    em:fault { path = ":streamGenerateContent", action = "no_finish" }
    local _, status, exit = read(visit "/ask?question=%5Blong%203%5D")
    assert.equal(200, status)
    assert.is_true(exit ~= 0)
    answer, code = read(visit "/ask")
    assert.equal(400, code)
    assert.matches("a question is needed", answer)
  end)

  it("ends the call when the visitor leaves", function()
    em:gate { hold = true }
    em:gate { release = 1 }
    local _, _, exit = read(visit("/ask?question=%5Blong%5D", "--max-time 2"))
    assert.equal(28, exit)
    assert.equal("client gone", em:requests(1)[1].outcome)
  end)

  it("goes on with the tasks of one request in another", function()
    local visits = {}
    for i = 1, 6 do visits[i] = visit "/upload" end
    for i = 1, 6 do assert.matches("I received 5 parts", (read(visits[i]))) end
  end)
end)
