-- Starts the emulator: options, state directory, listening, and how it ends.

for _, name in ipairs({ "cqueues", "http.server", "cjson" }) do
  local found, problem = pcall(require, name)
  if not found then
    io.stderr:write("gemini-emulator: ", (problem:match("[^\n]*"):gsub(":$", "")),
      "; on Debian: apt-get install lua5.2 lua-http lua-cjson\n")
    os.exit(1)
  end
end

local cqueues = require "cqueues"
local signal = require "cqueues.signal"
local thread = require "cqueues.thread"
local batches = require "batches"
local caches = require "caches"
local certificate = require "certificate"
local clock = require "clock"
local faults = require "faults"
local files = require "files"
local interactions = require "interactions"
local json = require "json"
local pace = require "pace"
local predictions = require "predictions"
local record = require "record"
local server = require "server"
local settings = require "settings"
local signatures = require "signatures"
local stores = require "stores"
local uploads = require "uploads"

local VERSION = "0.1.0"

local function fail(message)
  io.stderr:write("gemini-emulator: ", message, "\n")
  os.exit(2)
end

local function usage()
  print([[
usage: gemini-emulator [options]
  --port N             0, the default, picks a free one; the first line of output says which
  --host ADDRESS       127.0.0.1
  --tls                HTTPS with HTTP/2; a CA is made on the spot and written to the state directory
  --cert-names LIST    localhost,127.0.0.1,::1
  --cert-days N        30; negative: the certificate has expired
  --state DIR          keeps files and uploads there; without it, a temporary directory that is removed
  --until-eof          ends when standard input, a pipe, is closed
  --gate               holds every event of a stream until the admin releases it]])
  for _, row in ipairs(settings.list) do
    print(("  --%-18s %s; %s"):format(row[1]:gsub("_", "-") .. " N", tostring(row[2]), row[3]))
  end
end

local function parse(arguments)
  local options = { port = "0", host = "127.0.0.1", cert_names = "localhost,127.0.0.1,::1", cert_days = "30" }
  local values = settings.new()
  local switches = { tls = true, until_eof = true, gate = true, help = true }
  local words = { port = true, host = true, state = true, cert_names = true, cert_days = true, pid = true }
  local i = 1
  while i <= #arguments do
    local name, value = arguments[i]:match("^%-%-([%w%-]+)=?(.*)$")
    if not name then fail("what is " .. arguments[i] .. "? See --help.") end
    name = name:gsub("-", "_")
    if switches[name] then
      options[name] = true
    else
      if not arguments[i]:find("=", 1, true) then
        i = i + 1
        value = arguments[i] or fail("--" .. name .. ": what value?")
      end
      if words[name] then
        options[name] = value
      else
        local ok, message = settings.set(values, name, value)
        if not ok then fail(message) end
      end
    end
    i = i + 1
  end
  local port = tonumber(options.port)
  if not port or port % 1 ~= 0 or port < 0 or port > 65535 then fail("--port: 0 to 65535") end
  if not tonumber(options.cert_days) then fail("--cert-days: a number") end
  return options, values
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function make_directory(path)
  if not path then
    local pipe = io.popen("mktemp -d", "r")
    path = pipe:read("*l")
    pipe:close()
    if not path then fail("mktemp -d failed") end
  end
  os.execute("mkdir -p " .. quote(path .. "/files") .. " " .. quote(path .. "/uploads") .. " && rm -rf "
    .. quote(path .. "/temporary") .. " && mkdir " .. quote(path .. "/temporary"))
  return path
end

--- Runs as a thread: says when standard input has ended, and ends the process itself if nobody listens.
local function guard(connection, pid, directory)
  repeat until not io.read(1)
  connection:write("end")
  connection:flush()
  require("cqueues").sleep(5)
  os.execute((directory ~= "" and "rm -rf " .. directory .. "; " or "") .. "kill -9 " .. pid)
end

--- Waits for the end: a signal, or the end of standard input.
local function watch(cq, options, temporary, stop)
  signal.ignore(signal.SIGPIPE)
  signal.block(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
  local listener = signal.listen(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
  cq:wrap(function()
    listener:wait()
    stop()
  end)
  if options.until_eof then
    local _, connection = thread.start(guard, options.pid, temporary)
    cq:wrap(function()
      connection:read(1)
      stop()
    end)
  end
end


local options, values = parse(arg)
if options.help then
  usage()
  os.exit(0)
end

local cq = cqueues.new()
local directory = make_directory(options.state)
local emu = {
  settings = values, directory = directory, temporary = directory .. "/temporary", clock = clock.new(),
  faults = faults.new(), record = record.new(), signatures = signatures, used = {}, version = VERSION,
  pid = tonumber(options.pid),
}
emu.files, emu.uploads, emu.pace = files.new(emu), uploads.new(emu), pace.new(values)
emu.caches, emu.batches, emu.stores = caches.new(emu), batches.new(emu), stores.new(emu)
emu.interactions, emu.predictions = interactions.new(emu), predictions.new(emu)
if options.gate then emu.pace:hold() end

local index = directory .. "/index.json"

--- Writes down what a restart needs; a temporary state sees none.
function emu:save()
  if not options.state then return end
  local out = assert(io.open(index .. ".new", "wb"))
  assert(out:write(json.encode({ files = self.files:dump(), uploads = self.uploads:dump() })))
  out:close()
  assert(os.rename(index .. ".new", index))
end

local kept = io.open(index, "rb")
if kept then
  local state = json.decode(kept:read("*a")) or fail(index .. " is damaged")
  kept:close()
  emu.files:load(state.files)
  emu.uploads:load(state.uploads)
end

local context, ca_pem
if options.tls then
  local names = {}
  for name in options.cert_names:gmatch("[^,]+") do names[#names + 1] = name end
  context, ca_pem = certificate.new(names, tonumber(options.cert_days))
  emu.ca_file = directory .. "/ca.pem"
  local out = assert(io.open(emu.ca_file, "wb"))
  out:write(ca_pem)
  out:close()
end

local function stop()
  if not options.state then os.execute("rm -rf " .. quote(directory)) end
  os.exit(0)
end

local listening, problem = server.listen(emu, {
  cq = cq, host = options.host, port = tonumber(options.port), context = context,
})
emu.server = listening
if not listening then
  if not options.state then os.execute("rm -rf " .. quote(directory)) end
  fail(("cannot listen on %s port %s: %s"):format(options.host, options.port, problem))
end
local shown_host = options.host:find(":", 1, true) and "[" .. options.host .. "]" or options.host
emu.base_url = string.format("%s://%s:%d", context and "https" or "http", shown_host, emu.server.port)

watch(cq, options, options.state and "" or quote(directory), stop)
io.stdout:write("listening on ", emu.base_url, "\n")
if emu.ca_file then io.stdout:write("CA file ", emu.ca_file, "\n") end
io.stdout:flush()

for err in cq:errors() do io.stderr:write("gemini-emulator: ", tostring(err), "\n") end
