-- The client of the chaos driver, in a process of its own: does one operation of plan.lua after the other and tells
-- what its caller got. It judges only what nobody else can see; driver.lua and judge.lua know what is right.
--
-- One JSON call per line on its standard input, answered on its standard output; it ends with its input.
local json = require "dkjson"
local core = require "lgemini.core"
local errors = require "lgemini.errors"
local gemini = require "lgemini"

local options = json.decode(arg[1])
local MODEL = "gemini-3.5-flash"
local CLOSES = tonumber(_VERSION:match "%d+%.%d+") >= 5.4 -- what a loop leaves behind

local client
local problems

local function problem(text, ...)
  problems[#problems + 1] = text:format(...)
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

local function write_file(path, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
end

local pid = tonumber(read_file("/proc/self/stat"):match "^%d+")

-- Errors -------------------------------------------------------------------------

local function strings(value, seen, list)
  if type(value) == "string" then
    list[#list + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for name, item in pairs(value) do
      strings(name, seen, list)
      if name ~= "partial" then strings(item, seen, list) end -- the model's own words
    end
  end
  return list
end

local function describe(err)
  if not errors.is(err) then
    problem("an error that is none: %s", tostring(err))
    return { kind = "?", message = tostring(err) }
  end
  local text = tostring(err)
  if text:find "[%c]" or err.message == "" then problem("no line of text: %q", text) end
  local dump = strings(err, {}, { text })
  return { kind = err.kind, text = text, dump = table.concat(dump, "\n"), attempts = err.attempts, clock = err.clock }
end

-- Calls --------------------------------------------------------------------------

local function new_client(base_url, state_dir)
  return gemini.Client { api_key = options.key, state_dir = state_dir, http_options = { base_url = base_url } }
end

local function the_client(op)
  client = client or new_client(options.url, op and op.state_dir and options.state or nil)
  return client
end

local function http_options(op)
  return {
    timeout = { connect = op.clock, first_byte = op.clock, idle = op.clock, total = op.total },
    retry_options = { attempts = op.attempts, initial_delay = 0.01, max_delay = 0.05 },
  }
end

local function config(op, more)
  local all = { http_options = http_options(op) }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local run = {}
local attachments = {}

function attachments.nothing() end

function attachments.data(op) return { data = read_file(op.path), mime_type = "text/plain", via = "inline" } end

function attachments.file(op) return { file = op.path, via = "inline" } end

function attachments.upload(op) return { file = op.path, via = "upload" } end

function run.generate(op)
  local contents = { op.prompt, attachments[op.attach](op) }
  local response, err = the_client(op).models:generate_content { model = MODEL, contents = contents,
    config = config(op) }
  if not response then return { err = describe(err) } end
  return { ok = true, text = response.text }
end

local function open_stream(op, prompt)
  return the_client(op).models:generate_content_stream { model = MODEL, contents = prompt or op.prompt,
    config = config(op) }
end

-- What a stream that has ended or failed says from then on.
local function end_of(stream, texts, chunks, err)
  local text = table.concat(texts)
  local outcome = { text = text, chunks = chunks, ok = not err, err = err and describe(err) }
  for _ = 1, 2 do
    local chunk, again = stream:next()
    if chunk ~= nil or again ~= err then problem "a stream that has ended goes on or fails in another way" end
  end
  if stream.response.text ~= text then problem "stream.response.text is not what was delivered" end
  if err and err.partial and err.partial.text ~= text then problem "err.partial is not what was delivered" end
  if err and err.kind == "incomplete" and not err.partial then problem "incomplete, and no partial" end
  return outcome
end

local loops = {}

function loops.next(stream, texts)
  local chunks = 0
  while true do
    local chunk, err = stream:next()
    if not chunk then return chunks, err end
    chunks = chunks + 1
    texts[#texts + 1] = chunk.text
  end
end

local function by_for(stream, texts, it)
  local chunks = 0
  local ok, err = pcall(function()
    for chunk in it(stream) do
      chunks = chunks + 1
      texts[#texts + 1] = chunk.text
    end
  end)
  if not ok and not errors.is(err) then error(err, 0) end
  return chunks, not ok and err or nil
end

loops["for"] = function(stream, texts) return by_for(stream, texts, function(s) return s end) end

function loops.each(stream, texts) return by_for(stream, texts, stream.each) end

function loops.texts(stream, texts)
  local ok, err = pcall(function()
    for text in stream:texts() do texts[#texts + 1] = text end
  end)
  if not ok and not errors.is(err) then error(err, 0) end
  return nil, not ok and err or nil
end

function run.stream(op)
  local stream, texts = open_stream(op), {}
  local chunks, err = loops[op.loop](stream, texts)
  if CLOSES and (op.loop == "each" or op.loop == "texts") then -- the loop has closed it, as it says from then on
    return { text = table.concat(texts), chunks = chunks, ok = not err, err = err and describe(err) }
  end
  return end_of(stream, texts, chunks, err)
end

-- Uploads --------------------------------------------------------------------------

local sources = {}

function sources.file(op) return { file = op.path } end

function sources.data(op) return { data = read_file(op.path) } end

function sources.handle(op)
  local handle = assert(io.open(op.path, "rb"))
  handle:seek("set", math.floor(op.size / 2))
  return { file = handle }, function()
    if io.type(handle) ~= "file" then problem "the handle was closed" end
    if handle:seek() ~= math.floor(op.size / 2) then problem "the handle has moved" end
    handle:close()
  end
end

local function reader(op)
  local handle = assert(io.open(op.path, "rb"))
  return function(offset, n)
    handle:seek("set", offset)
    return handle:read(math.min(n, op.piece)) or ""
  end, function() handle:close() end
end

function sources.reader(op)
  local read, done = reader(op)
  return { read = read, size = op.size }, done
end

function sources.unsized(op)
  local read, done = reader(op)
  return { read = read }, done
end

local function uploaded(file, err)
  if not file then return { err = describe(err) } end
  return { ok = true, file = { name = file.name, size = file.size_bytes, state = file.state,
    verified = file.transport and file.transport.verified, reused = file.transport and file.transport.reused } }
end

local function upload(op, change)
  local args, done = sources[op.source](op)
  args.chunk_size, args.journal = op.chunk_size, op.journal and op.path .. ".journal" or nil
  if not op.verify then args.verify = false end
  args.config = config(op, { mime_type = op.video and "video/mp4" or "text/plain", name = op.name })
  local last = -1
  args.on_progress = function(sent, total)
    if sent < last then problem("progress fell from %d to %d", last, sent) end
    if total ~= (op.source ~= "unsized" and op.size or nil) then
      problem("progress: the total is %s", tostring(total))
    end
    last = sent
  end
  if change then change(args) end
  local file, err = the_client(op).files:upload(args)
  if done then done() end
  if file and last ~= op.size and not change then problem("progress ended at %d of %d", last, op.size) end
  return uploaded(file, err)
end

function run.upload(op) return upload(op) end

run.replace, run.kill = run.upload, run.upload

function run.resume(op)
  return uploaded(the_client(op).files:resume { journal = op.path .. ".journal", config = config(op) })
end

-- Twice; somebody else may delete the file in between.
function run.again(op)
  op.verify = true
  local first = upload(op)
  if first.err then return first end
  if op.gone then
    local other = new_client(options.direct)
    local ok, err = other.files:delete(first.file.name)
    if not ok then problem("the file is not there after its upload: %s", tostring(err)) end
    other:close()
  end
  local second = upload(op, function(args) args.on_progress = nil end)
  second.first = first.file
  return second
end

function run.abandon(op)
  local changes = {}
  local function at_byte(act)
    return function(args)
      local read = args.read
      args.read = function(offset, n)
        local bytes = read(offset, n)
        if offset + #bytes > op.at then return act(bytes, n) end
        return bytes
      end
    end
  end
  local function close_client()
    client:close()
  end
  function changes.progress(args) args.on_progress = function() error("enough", 0) end end
  changes.reader = at_byte(function() error("the tape broke", 0) end)
  changes.reader_nil = at_byte(function() return nil, "no more tape" end)
  changes.short = at_byte(function() return "" end)
  changes.greedy = at_byte(function(_, n) return ("x"):rep(n + 1) end)
  function changes.client(args)
    if args.read then
      return at_byte(function(bytes)
        close_client()
        return bytes
      end)(args)
    end
    args.on_progress = close_client
  end
  local outcome = upload(op, changes[op.how])
  if op.how == "client" then client = nil end
  return outcome
end

-- Downloads --------------------------------------------------------------------------

function run.download(op)
  local to = op.to ~= "memory" and op.target or nil
  local got, err = the_client(op).files:download { file = op.names[1], to = to, config = config(op) }
  if not got then return { err = describe(err) } end
  if to then
    if got ~= to then problem "download: the path is not what came back" end
  else
    write_file(op.out, got)
  end
  return { ok = true }
end

-- Small calls --------------------------------------------------------------------------

function run.get(op)
  local file, err = the_client(op).files:get { name = op.names[1], config = config(op) }
  if not file then return { err = describe(err) } end
  return { ok = true, names = { file.name } }
end

function run.list(op)
  local names = {}
  local ok, err = pcall(function()
    for file in the_client(op).files:list { config = config(op, { page_size = op.page_size }) } do
      names[#names + 1] = file.name
    end
  end)
  if not ok and not errors.is(err) then error(err, 0) end
  if not ok then return { err = describe(err), names = names } end
  return { ok = true, names = names }
end

function run.delete(op)
  local done, err = the_client(op).files:delete { name = op.names[1], config = config(op) }
  if not done then return { err = describe(err) } end
  return { ok = true }
end

-- Leaving --------------------------------------------------------------------------------

-- other: it may have failed before.
local function expect_closed(what, other, value, err)
  if value ~= nil or not errors.is(err) or not (other or err.kind == "closed" or err.kind == "cancelled") then
    problem("%s: %s, %s", what, tostring(value), tostring(err))
  end
end

-- Reads so many chunks; nil where there are fewer.
local function read_some(stream, n)
  for _ = 1, n do
    local chunk, err = stream:next()
    if not chunk then return nil, err end
  end
  return true
end

local ways = {}

function ways.close(stream, n)
  local ok, err = read_some(stream, n)
  stream:close()
  stream:close()
  return ok, err
end

ways["break"] = function(stream, n)
  local count = 0
  local ok, err = pcall(function()
    for _, same in stream:each() do
      count = count + 1
      if count > n then
        if not CLOSES then same:close() end
        break
      end
    end
  end)
  return ok and count > n, not ok and err or nil
end

function ways.error(stream, n)
  local count = 0
  local ok, err = pcall(function()
    for _, same in stream:each() do
      count = count + 1
      if count > n then
        if not CLOSES then same:close() end
        error("boom", 0)
      end
    end
  end)
  return err == "boom", not ok and err ~= "boom" and err or nil
end

-- `local stream <close>`, which older Luas cannot even read.
ways.scope = not CLOSES and ways.close or load([[
  local opened, n = ...
  local stream <close> = opened
  for _ = 1, n do
    local chunk, err = stream:next()
    if not chunk then return nil, err end
  end
  return true
]])

function ways.client(stream, n)
  local ok, err = read_some(stream, n)
  client:close()
  expect_closed("a call of a closed client", false, client.models:generate_content { model = MODEL, contents = "Hi" })
  expect_closed("an upload of a closed client", false, client.files:upload { data = "x",
    config = { mime_type = "text/plain" } })
  return ok, err
end

function run.leave(op)
  local stream = open_stream(op)
  local left, err
  if op.how == "drop" then
    left, err = read_some(stream, op.after)
    return { left = left or false, err = err and describe(err) }
  end
  left, err = ways[op.how](stream, op.after)
  if op.how == "client" then client = nil end
  if left then expect_closed("a stream that was left", op.how == "client", stream:next()) end
  return { left = left or false, err = err and describe(err) }
end

function run.interrupt(op)
  op.loop = "next"
  return run[op.what](op)
end

-- Several at once ----------------------------------------------------------------------------

function run.braid(op)
  local streams, outcomes, open = {}, {}, {}
  for i, prompt in ipairs(op.prompts) do
    streams[i] = { stream = open_stream(op, prompt), texts = {}, chunks = 0, i = i }
    open[i] = streams[i]
  end
  local turn, state, between = 0, op.turns, nil
  while #open > 0 do
    if turn == op.between then between = upload(op) end
    turn = turn + 1
    state = state * 16807 % 2147483647
    local at = state % #open + 1
    local one = open[at]
    local chunk, err = one.stream:next()
    if chunk then
      one.chunks = one.chunks + 1
      one.texts[#one.texts + 1] = chunk.text
    else
      outcomes[one.i] = end_of(one.stream, one.texts, one.chunks, err)
      table.remove(open, at)
    end
  end
  return { streams = outcomes, between = between or upload(op) }
end

-- A scripted server.
function run.raw(op)
  local kept = client
  client = new_client(op.url)
  local ok, outcome = pcall(op.stream and run.stream or run.generate, op)
  client:close()
  client = kept
  if not ok then error(outcome, 0) end
  return outcome
end

-- Calls of the driver ------------------------------------------------------------------------

local function alive()
  collectgarbage()
  collectgarbage() -- what finalisers let go of
  local left = {}
  for kind, count in pairs(core.alive()) do
    if count > 0 then left[kind] = count end
  end
  return left
end

local calls = {}

function calls.hello() return { pid = pid, lua = _VERSION } end

-- Nothing is collected until `alive`: what is to be let go of at once is let go of without the collector.
function calls.run(call)
  problems = {}
  collectgarbage "stop"
  local ok, outcome = pcall(run[call.plan.kind], call.plan)
  if not ok then
    outcome = { raised = errors.is(outcome) and "the error object " .. tostring(outcome) or tostring(outcome) }
  end
  if call.plan.how == "drop" then collectgarbage() end
  outcome.problems = problems
  return outcome
end

function calls.alive()
  collectgarbage "restart"
  return { alive = alive() }
end

-- A folder for a download. Where no small disk could be had, a full one is a link under the name that is written first.
function calls.folder(call)
  os.execute("mkdir '" .. call.path .. "'")
  if call.old then write_file(call.path .. "/file", call.old) end
  if call.full then
    the_client().random = function() return 0 end
    os.execute(("ln -s /dev/full '%s/file.00000000.part'"):format(call.path))
  end
  return {}
end

-- What is in it now; the file is copied to where the driver can read it. The folder goes.
function calls.look(call)
  local pipe = io.popen(("ls '%s' 2>/dev/null"):format(call.path))
  local names, there = {}, false
  for name in pipe:lines() do
    if name == "file" then
      there = true
      write_file(call.copy, read_file(call.path .. "/file"))
    else
      names[#names + 1] = name
    end
  end
  pipe:close()
  os.execute(("rm -rf '%s'"):format(call.path))
  return { there = there, rest = table.concat(names, " ") }
end

-- Nothing may be left of a client that was closed.
function calls.close()
  if client then client:close() end
  client = nil
  return { alive = alive() }
end

for line in io.lines() do
  local call = json.decode(line)
  io.stdout:write(json.encode(calls[call.op](call)), "\n")
  io.stdout:flush()
end
