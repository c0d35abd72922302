-- The chaos driver: mixed work against an emulator and a scripted server, while faults strike at chosen bytes of a
-- relay between them. README.md says what it proves.
--
--   lua5.4 spec/chaos/driver.lua [--seed N] [--runs N] [--op N | --op N-M] [--lua INTERPRETER] [--trace]
--
-- Runs in the project's root. The last line is "N passed, N failed": operations without and with a finding.
local json = require "dkjson"
local judge = require "spec.chaos.judge"
local plan = require "spec.chaos.plan"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"
local sha256 = require("spec.support.bytes").sha256

local KEY = "k3y-of-chaos-0123456789abcdef"
local RENEW = 200      -- operations of one server
local ROOM = 65536     -- bytes of the disk that is full
local GRANULARITY = 262144
local MAX_SHOWN = 40   -- findings that are shown in full

-- Arguments ------------------------------------------------------------------------

local options = { seed = 1, runs = 300 }
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%l+)$"
    if name == "trace" then
      options.trace = true
    else
      i = i + 1
      options[name or error("what is " .. arg[i - 1] .. "?")] = arg[i]
    end
    i = i + 1
  end
end
local SEED = assert(tonumber(options.seed), "--seed: a number")
local first, last = 1, assert(tonumber(options.runs), "--runs: a number")
if options.op then
  first, last = options.op:match "^(%d+)%-?(%d*)$"
  first, last = tonumber(first), tonumber(last) or tonumber(first)
end

local directory = process.temporary_directory()
local quote = process.quote

local function write_file(path, bytes, mode)
  local file = assert(io.open(path, mode or "wb"))
  assert(file:write(bytes))
  assert(file:close())
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local bytes = file:read "*a"
  file:close()
  return bytes
end

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function unbase64(text)
  local bits, held, out = 0, 0, {}
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for c in text:gmatch "[%w+/]" do
    held = held * 64 + alphabet:find(c, 1, true) - 1
    bits = bits + 6
    if bits >= 8 then
      bits = bits - 8
      out[#out + 1] = string.char(math.floor(held / 2 ^ bits) % 256)
      held = held % 2 ^ bits
    end
  end
  return table.concat(out)
end

-- Each line of a content says where it stands: bytes at a wrong place are other bytes.
local function content(seed, n, size, version)
  local lines, count = {}, 0
  while count < size do
    local line = ("%d/%d%s at %012d %s\n"):format(seed, n, version or "", count, ("."):rep(count % 61))
    lines[#lines + 1] = line
    count = count + #line
  end
  return table.concat(lines):sub(1, size)
end

-- Processes --------------------------------------------------------------------------

-- The relay's wire.so is in build/chaos/.
local environment = ("LUA_PATH=%s LUA_CPATH=%s"):format(quote(package.path), quote("./build/?.so;" .. package.cpath))
local disk = directory .. "/disk"
os.execute(("mkdir %s %s"):format(quote(disk), quote(directory .. "/client")))

local relay = process.start(("%s %s spec/chaos/relay.lua %s 2>%s"):format(environment, quote(process.interpreter()),
  quote(json.encode { key = KEY, state = directory .. "/state", granularity = GRANULARITY }),
  quote(directory .. "/relay.err")))
local ok, hello = pcall(relay.call, relay, { op = "hello" })
if not ok then
  io.stderr:write(hello, "\n", read_file(directory .. "/relay.err") or "", "is build/chaos/wire.so there? make tests\n")
  os.execute("rm -rf " .. quote(directory))
  os.exit(1)
end
local URL = "http://127.0.0.1:" .. hello.port
local raw = scripted.start()

-- A full disk is a small one, where the system lets us have it: in a mount namespace, it is gone with its process.
-- Elsewhere the file that a download writes first is a link to /dev/full.
local function unshare()
  for _, flags in ipairs { "-m", "-r -m" } do
    local words = ("unshare %s sh -c %s"):format(flags,
      quote(("mount -t tmpfs -o size=%d chaos %s && exec \"$@\""):format(ROOM, quote(disk))))
    if os.execute(words .. " sh true 2>/dev/null") then return words .. " sh " end
  end
end
local mounted = unshare()

-- The stand-alone interpreter turns Ctrl-C into an error; others may just die.
local CTRL_C = not options.lua or options.lua:find "^.-lua[%d.]*$" ~= nil

local Worker = {}
Worker.__index = Worker
local workers = 0

local function start_worker()
  workers = workers + 1
  local self = setmetatable({ log = ("%s/worker-%d.err"):format(directory, workers) }, Worker)
  local log = quote(self.log)
  self.process = process.start(("{ %s env %s %s spec/chaos/worker.lua %s 2>%s; echo \"exit status $?\" >>%s; }"):format(
    mounted or "", environment, quote(options.lua or process.interpreter()),
    quote(json.encode { key = KEY, url = URL, direct = "http://127.0.0.1:" .. hello.server,
      state = directory .. "/client" }), log, log))
  self.pid = assert(self:call { op = "hello" }).pid
  return self
end

-- Ends it, and gives what it said on its standard error, with its exit status.
function Worker:stop()
  if not self.dead then
    self.dead = true
    self.process:stop()
  end
  return read_file(self.log) or ""
end

-- nil, why when the process has died.
function Worker:call(call)
  local fine, answer = pcall(self.process.call, self.process, call)
  if fine then return answer end
  return nil, self:stop():sub(-4000) .. answer
end

local function ask(method, path, body)
  local answer = relay:call { op = "ask", method = method, path = path, body = body and json.encode(body) }
  return answer.status == 200 and (json.decode(answer.body) or {}) or nil, answer.status
end

local function server_files()
  local files = {}
  for _, file in ipairs((ask("GET", "/v1beta/files?pageSize=100") or {}).files or {}) do
    files[#files + 1] = { name = file.name, size = tonumber(file.sizeBytes), state = file.state,
      sha256 = unbase64(file.sha256Hash) }
  end
  return files
end

-- Before and after -----------------------------------------------------------------------

local prepare = {}

local function prepare_source(op, facts)
  op.path = ("%s/upload-%d.%s"):format(directory, op.n, op.video and "mp4" or "txt")
  local bytes
  if op.video then -- what belongs to nobody goes into a box of its own
    local free = content(op.seed, op.n, op.size)
    local length = #free + 8
    bytes = read_file "spec/fixtures/demo.mp4" .. string.char(math.floor(length / 16777216),
      math.floor(length / 65536) % 256, math.floor(length / 256) % 256, length % 256) .. "free" .. free
    op.size = #bytes
  else
    bytes = content(op.seed, op.n, op.size)
  end
  write_file(op.path, bytes)
  facts.own = { [sha256(bytes)] = true }
  return bytes
end

for kind in ("upload kill abandon braid generate again"):gmatch "%l+" do prepare[kind] = prepare_source end

function prepare.replace(op, facts)
  local bytes = prepare_source(op, facts)
  local strike = op.strikes[1]
  strike.path, strike.other = op.path, op.path .. ".other"
  write_file(strike.other, strike.how == "rename" and content(op.seed, op.n, op.size, "b")
    or strike.how == "rewrite" and content(op.seed, op.n, math.floor(op.size / 2), "b")
    or strike.how == "cut" and bytes:sub(1, 1000) or "and more")
end

-- Files that the service made.
local function make(op, count, bytes, facts)
  op.names = {}
  for i = 1, count do
    local file = assert(ask("POST", "/emulator/files", { text = bytes or tostring(i), key = KEY }))
    op.names[i] = file.name
    facts.made[file.name] = true
  end
end

function prepare.download(op, facts)
  facts.bytes = content(op.seed, op.n, op.size, "made")
  make(op, 1, facts.bytes, facts)
  op.folder = ("%s/download-%d"):format(op.to == "full" and mounted and disk or directory, op.n)
  op.out = ("%s/out-%d"):format(directory, op.n)
  op.target = op.folder .. "/file"
end

-- The disk is the worker's own: only there can its folder be made.
local function prepare_folder(op, facts)
  if op.to == "memory" or op.to == "nowhere" then return end
  facts.old = op.to == "old" and "what was there before" or nil
  return { op = "folder", path = op.folder, old = facts.old, full = op.to == "full" and not mounted }
end

function prepare.get(op, facts) make(op, op.made, nil, facts) end

prepare.list, prepare.delete = prepare.get, prepare.get

function prepare.interrupt(op, facts)
  prepare_source(op, facts)
  prepare.download(op, facts)
end

-- A scripted answer for each try: the faulty one, then good ones.
function prepare.raw(op)
  local events, texts = {}, {}
  for i, text in ipairs(op.texts) do
    local finish = (i == #op.texts) and '"finishReason":"STOP",' or ""
    events[i] = ('{"candidates":[{%s"content":{"role":"model","parts":[{"text":"%s"}]}}]}'):format(finish, text)
    texts[i] = (json.decode('["' .. text .. '"]'))[1]
  end
  if op.late then
    events[#events + 1] = '{"candidates":[{"content":{"role":"model","parts":[{"text":" late"}]}}]}'
    texts[#texts + 1] = " late"
  end
  op.raw_text = table.concat(texts)
  local bytes = events[1]
  if op.stream then
    for i, event in ipairs(events) do events[i] = "data: " .. event .. op.eol .. op.eol end
    bytes = table.concat(events)
  end
  local cuts, chunks = { 0 }, {}
  for i, f in ipairs(op.cuts) do cuts[i + 1] = math.floor(f * #bytes) end
  cuts[#cuts + 1] = #bytes
  table.sort(cuts)
  for i = 2, #cuts do
    if cuts[i] > cuts[i - 1] then chunks[#chunks + 1] = bytes:sub(cuts[i - 1] + 1, cuts[i]) end
  end
  local entries = {}
  for i = 1, 6 do
    entries[i] = { status = 200, framing = op.framing, body = { chunks = chunks, delay_ms = 0 },
      headers = { ["content-type"] = op.stream and "text/event-stream" or "application/json" } }
    if op.framing == "length" then entries[i].body = { bytes = bytes } end
  end
  if op.fault == "drip" then
    entries[1].drip = 3
  elseif op.fault then -- at a byte before the end: after it, it is none
    entries[1][op.fault] = math.floor(op.f * (#bytes + 60))
  end
  raw:script(entries)
  op.url = raw.url
end

-- The table ------------------------------------------------------------------------------

local tally = { kinds = {}, faults = {}, errors = {}, classes = {}, sent = 0, size = 0, ratios = 0, most = 0,
  uploads = 0, orphans = 0 }
local passed, failed, shown = 0, 0, 0

local function add(list, name, n) list[name] = (list[name] or 0) + (n or 1) end

local function fault_name(strike)
  if strike.what == "status" or strike.what == "early" then
    local advice = strike.advice and (strike.advice > 120 and " with long advice" or " with advice") or ""
    return (strike.what == "early" and "early " or "") .. strike.code .. advice
  end
  return (strike.what:gsub("_", " ") .. (strike.header and " " .. strike.header or "")
    .. (strike.side and " (" .. strike.side .. ")" or ""))
end

-- Whether an upload failed for its caller, and the server has the file all the same.
local function is_orphan(outcome, facts)
  if not outcome or not outcome.err then return false end
  for _, file in ipairs(facts.server) do
    if facts.own[file.sha256] then return true end
  end
end

local WEIGHED = { upload = true, kill = true, braid = true }

-- How many bytes of a finished upload went over the wire, against its size.
local function weigh(op, outcome, report)
  if not outcome or not outcome.ok or not outcome.file or op.size == 0 or not WEIGHED[op.kind] then return end
  local sent = 0
  for _, x in ipairs(report.exchanges) do
    if x.command and x.command:find("upload", 1, true) then sent = sent + x.took end
  end
  tally.uploads = tally.uploads + 1
  tally.sent, tally.size = tally.sent + sent, tally.size + op.size
  tally.ratios = tally.ratios + sent / op.size
  if sent / op.size > tally.most then
    tally.most, tally.most_op = sent / op.size, op.n
  end
end

local function count(op, facts, findings)
  local outcome, report = facts.outcome, facts.report
  local row = tally.kinds[op.kind] or { runs = 0, fine = 0, failed = 0 }
  tally.kinds[op.kind] = row
  row.runs = row.runs + 1
  for _, strike in ipairs(report.struck) do add(tally.faults, fault_name(strike)) end
  if op.kind == "raw" and op.fault then add(tally.faults, "scripted " .. op.fault:gsub("_", " ")) end
  if op.kind == "download" and op.to == "full" and op.size > ROOM then add(tally.faults, "disk full") end
  local results = op.kind == "braid" and outcome and outcome.streams or { outcome or {} }
  for _, one in ipairs(results) do
    if one.err then add(tally.errors, one.err.kind) end
  end
  weigh(op, outcome and outcome.between or outcome, report)
  if op.kind == "upload" and is_orphan(outcome, facts) then
    tally.orphans = tally.orphans + 1
  end
  if op.kind == "kill" and facts.resumed then add(tally.faults, "resumed by a journal after SIGKILL") end
  if facts.restarts then add(tally.faults, "restart between SIGKILL and resume", facts.restarts) end
  if outcome and outcome.err then row.failed = row.failed + 1 else row.fine = row.fine + 1 end
  for _, finding in ipairs(findings) do add(tally.classes, finding.class) end
  if #findings > 0 then failed = failed + 1 else passed = passed + 1 end
end

local function sorted(list)
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function print_table()
  print(("\n%-44s %6s"):format("faults that struck", "times"))
  for _, name in ipairs(sorted(tally.faults)) do print(("  %-42s %6d"):format(name, tally.faults[name])) end
  print(("\n%-44s %6s %6s %6s"):format("operations", "runs", "done", "failed"))
  for _, name in ipairs(sorted(tally.kinds)) do
    local row = tally.kinds[name]
    print(("  %-42s %6d %6d %6d"):format(name, row.runs, row.fine, row.failed))
  end
  print(("\n%-44s %6s"):format("errors that were returned", "times"))
  for _, name in ipairs(sorted(tally.errors)) do print(("  %-42s %6d"):format(name, tally.errors[name])) end
  print()
  for _, class in ipairs(judge.CLASSES) do print(("%-44s %6d"):format(class, tally.classes[class] or 0)) end
  print(("%-44s %6d"):format("uploads that failed, and their file is there", tally.orphans))
  if tally.uploads > 0 then
    print(("%-44s mean %.3f, all %.3f, max %.3f (operation %d)"):format("bytes sent over file size",
      tally.ratios / tally.uploads, tally.sent / tally.size, tally.most, tally.most_op or 0))
  end
end

local function trace(op, report)
  for _, x in ipairs(report.exchanges) do
    print(("    %d %s %s%s%s: took %d of %d, %s, %s%s, %.3f s"):format(x.n, x.method, x.target,
      x.command and " " .. x.command or "", x.offset and " @" .. x.offset or "", x.took, x.length,
      x.status or "no answer", x.state, x.refused and ", refused" or "", (x.ended or x.began) - x.began))
  end
  for _, strike in ipairs(report.struck) do
    print(("    struck request %d: %s%s"):format(strike.nth, fault_name(strike),
      strike.at and " at byte " .. strike.at or ""))
  end
  if options.trace then print("    " .. json.encode(op):sub(1, 2000)) end
end

local function show(op, report, findings)
  if #findings == 0 and not options.trace then return end
  shown = shown + 1
  if shown > MAX_SHOWN and not options.trace then return end
  print(("operation %d (%s): make chaos SEED=%d OP=%d"):format(op.n, op.kind, SEED, op.n))
  for _, finding in ipairs(findings) do print(("  %s: %s"):format(finding.class, finding.text)) end
  trace(op, report)
  io.stdout:flush()
end

-- The run ----------------------------------------------------------------------------------

local worker = start_worker()
local level        -- descriptors of a worker without a client
local junk = false -- see judge.lua

-- Seconds after which an operation hangs: all its clocks, and what the server asks for, on a busy machine.
local function patience(op, strikes)
  local seconds = 20
  for _, strike in ipairs(strikes) do
    seconds = seconds + op.clock + (strike.advice and strike.advice <= 120 and strike.advice or 0)
  end
  return seconds + op.clock
end

local function begin(op, strikes, pid)
  relay:call { op = "begin", strikes = strikes, seconds = patience(op, strikes), pid = pid }
end

local function perform(op, facts)
  local folder = (op.kind == "download") and prepare_folder(op, facts)
  if folder then assert(worker:call(folder)) end
  if op.keep then ask("POST", "/emulator/settings", { keep = op.keep }) end
  begin(op, op.strikes, worker.pid)
  facts.outcome, facts.death = worker:call { op = "run", plan = op }
  facts.report = relay:call { op = "finish" }
  if worker.dead then return end
  local state
  state, facts.death = worker:call { op = "alive" }
  facts.alive = state and state.alive
end

local function merge(into, report, phase)
  for _, name in ipairs { "exchanges", "struck" } do
    for _, item in ipairs(report[name]) do
      item.phase = phase
      table.insert(into[name], item)
    end
  end
  into.bugs = report.bugs
  into.hung = into.hung or report.hung
end

-- One process begins, and is killed; others go on with its journal while there is one, the last of them undisturbed.
local function perform_kill(op, facts)
  local strikes, phase = op.strikes, 0
  local journal = op.path .. ".journal"
  facts.report = { exchanges = {}, struck = {} }
  ask("POST", "/emulator/settings", { keep = op.keep })
  while true do
    local process_of = start_worker()
    op.kind = phase == 0 and "kill" or "resume"
    begin(op, strikes, process_of.pid)
    facts.outcome, facts.death = process_of:call { op = "run", plan = op }
    merge(facts.report, relay:call { op = "finish" }, phase)
    process_of:stop()
    local text = read_file(journal)
    if text and (text:find(KEY, 1, true) or not output("stat -c %a " .. quote(journal)):find "^600%s") then
      facts.journal_shows = true
    end
    if not text or (facts.outcome and facts.outcome.ok) or phase > #op.phases then break end
    facts.resumed = true
    phase = phase + 1
    strikes = op.phases[phase] or {}
    if strikes.down then
      relay:call { op = "restart", down = strikes.down }
      facts.restarts = (facts.restarts or 0) + 1
    end
  end
  op.kind = "kill"
  facts.journal_left = read_file(journal) ~= nil
end

-- What a download left on the disk, which may be the worker's own.
local function look(op, facts)
  if not op.folder or worker.dead then return end
  if op.to == "memory" then
    facts.got, facts.rest = read_file(op.out), ""
    return
  end
  local seen = assert(worker:call { op = "look", path = op.folder, copy = op.out })
  facts.got = seen.there and read_file(op.out) or nil
  facts.rest = seen.rest
end

-- A process that ends well says nothing.
local function renew_worker(findings)
  local said = worker:stop()
  if said ~= "exit status 0\n" then
    findings[#findings + 1] = { class = "unexplained", text = "the process ended with: " .. said:sub(-4000) }
  end
  worker = start_worker()
end

-- A client's end: nothing of it may be left.
local function close_client()
  junk = false
  if worker.dead then
    worker = start_worker()
    return {}
  end
  local findings = {}
  local state, death = worker:call { op = "close" }
  if not state then
    findings[1] = { class = "unexplained", text = "the process died as its client was closed: " .. death }
    worker = start_worker()
    return findings
  end
  for kind, n in pairs(state.alive) do
    findings[#findings + 1] = { class = "left over", text = ("%d %s after the client was closed"):format(n, kind) }
  end
  local list = output(("ls -l /proc/%d/fd"):format(worker.pid)) -- it waits meanwhile
  local _, open = list:gsub(" %-> ", "")
  if open > (level or open) then
    findings[#findings + 1] = { class = "left over",
      text = ("%d descriptors, %d before:\n%s"):format(open, level, list) }
  end
  level = level or open
  return findings
end

local function one(n)
  local op = plan.operation(SEED, n)
  if op.kind == "interrupt" and not CTRL_C then op.strikes = {} end
  local facts = { op = op, made = {}, own = {}, key = KEY, room = mounted and ROOM or 0 }
  if prepare[op.kind] then prepare[op.kind](op, facts) end
  if op.kind == "kill" then perform_kill(op, facts) else perform(op, facts) end
  if op.kind == "replace" then facts.own[sha256(read_file(op.path))] = true end
  facts.server = server_files()
  facts.junk = junk
  for _, strike in ipairs(facts.report.struck) do
    junk = junk or strike.what == "length_less" or strike.what == "garbage"
  end
  look(op, facts)
  local findings = judge.judge(facts)
  if n % plan.BATCH == 0 or n == last or worker.dead or op.kind == "interrupt" then
    for _, finding in ipairs(close_client()) do findings[#findings + 1] = finding end
  end
  if op.kind == "interrupt" then renew_worker(findings) end -- lua takes one Ctrl-C; the next would end it
  for _, file in ipairs(facts.server) do ask("DELETE", "/v1beta/" .. file.name) end
  os.execute(("cd %s && rm -rf upload-* out-* download-*"):format(quote(directory)))
  count(op, facts, findings)
  show(op, facts.report, findings)
end

-- The first client loads what stays.
relay:call { op = "begin", seconds = 60, pid = worker.pid }
local warm = assert(worker:call { op = "run", plan = { kind = "generate", prompt = "Hi", attach = "nothing",
  clock = 30, attempts = 1 } })
assert(warm.ok, warm.err and warm.err.text)
relay:call { op = "finish" }
close_client()
print(("seed %d, operations %d to %d%s"):format(SEED, first, last,
  mounted and "" or "; no disk to fill could be mounted: /dev/full stands for it"))
io.stdout:flush()
local began = os.time()
for n = first, last do
  if n % RENEW == 0 then relay:call { op = "renew" } end
  one(n)
  if n % 100 == 0 then
    print(("  %d operations, %d failed, %d s"):format(n - first + 1, failed, os.time() - began))
    io.stdout:flush()
  end
end
do
  local findings = {}
  renew_worker(findings)
  worker:stop()
  for _, finding in ipairs(findings) do
    print(finding.class .. ": " .. finding.text)
    failed = failed + 1
  end
end
relay:stop()
raw:stop()
output("rm -rf " .. quote(directory))
print_table()
print(("\n%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)
