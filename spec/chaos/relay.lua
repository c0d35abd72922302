-- The wire of the chaos driver, in a process of its own: a relay between a client and an emulator that it starts, stops
-- and starts again. It passes requests and answers of HTTP/1.1 on as they come, and strikes where it is told to: at a
-- byte of a request or of an answer, in an answer's head, in its chunks, in place of it. It writes down what passed.
--
-- One JSON call per line on its standard input, answered on its standard output; it ends with its input.
--
-- A strike: nth (which request of the operation), what (see `acts` and below), side ("request" or "answer"), and for
-- those at a byte part ("head" or "body") and f, from 0 to 1, of its length (of a chunked one: of `guess` bytes).
local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local json = require "dkjson"
local socket = require "cqueues.socket"
local emulator = require "spec.support.emulator"
local wire = require "chaos.wire"

local options = json.decode(arg[1])
local KEY = options.key
local STATE = options.state -- directory of the emulator

local BLOCK = 65536
local LOOK = 0.02       -- seconds between looks at whether a peer has left
local WAIT = 60         -- seconds that a peer may be silent
local LINGER = 2        -- seconds that a closed connection goes on reading
local SETTLE = 2        -- seconds that a client may take to let go of what an operation left behind
local WINDOW = 65536    -- receive buffer: a client cannot be far ahead of what has passed
local KEPT = 262144     -- bytes of a body that are written down

-- What ends an exchange early.
local OVER, CLIENT_GONE, SERVER_GONE = {}, {}, {}

local em
local op                -- the operation at hand, or nil
local exchanges, struck = {}, {}
local changed = condition.new()
local bugs = {}

-- The server ----------------------------------------------------------------

local serial = 0         -- of servers with a state of their own
local restarting = false

local function start_server(port)
  local args = { "--processing", "0.2", "--granularity", tostring(options.granularity) }
  if port then
    args[#args + 1] = "--port"
    args[#args + 1] = tostring(port)
  end
  for attempt = 1, 20 do -- a connection that goes out may have taken the port for a moment
    local ok, started = pcall(emulator.start, { args = args, state = STATE .. "/" .. serial })
    if ok then
      em = started
      return
    elseif attempt == 20 then
      error(started, 0)
    end
    cqueues.sleep(0.1)
  end
end

local function restart_server(down)
  if restarting then return end
  local port = em.port
  restarting = true
  wire.kill(em.pid, "KILL")
  em:stop()
  cqueues.sleep(down)
  start_server(port)
  restarting = false
end

-- Sides: a peer and what was read ahead of it --------------------------------

local function new_side(s)
  s:setmode("b", "bn")
  s:onerror(function(_, _, code) return code end)
  return { socket = s, held = "" }
end

local function has_left(side) return side.closed or wire.has_left(side.socket:pollfd()) end

local function close(side)
  if side.closed then return end
  side.closed = true
  side.socket:close()
end

local function reset(side)
  if side.closed then return end
  wire.reset_on_close(side.socket:pollfd())
  close(side)
end

-- Says goodbye, reads what still comes, and closes when the peer has gone.
local function close_gently(side)
  if side.closed then return end
  side.socket:shutdown("w")
  local deadline = cqueues.monotime() + LINGER
  repeat
    local left = deadline - cqueues.monotime()
  until left <= 0 or not side.socket:xread(-BLOCK, "b", left)
  close(side)
end

-- At most so many bytes as soon as there are any; nil at the end.
local function read_some(side, most)
  local bytes = side.held
  side.held = ""
  if bytes == "" then bytes = side.socket:xread(-most, "b", WAIT) end
  if bytes and #bytes > most then
    side.held = bytes:sub(most + 1)
    bytes = bytes:sub(1, most)
  end
  return bytes
end

-- Up to and with the ending.
local function read_until(side, ending)
  local bytes = ""
  while true do
    local _, stop = bytes:find(ending, 1, true)
    if stop then
      side.held = bytes:sub(stop + 1) .. side.held
      return bytes:sub(1, stop)
    end
    local more = read_some(side, BLOCK)
    if not more then return nil end
    bytes = bytes .. more
  end
end

local function read_exactly(side, n)
  local pieces = {}
  while n > 0 do
    local bytes = read_some(side, n)
    if not bytes then return nil end
    pieces[#pieces + 1] = bytes
    n = n - #bytes
  end
  return table.concat(pieces)
end

-- Heads ----------------------------------------------------------------------

local function parse_head(text)
  local head = { first = text:match("^[^\r]*"), lines = {} }
  for name, value in text:sub(#head.first + 3):gmatch("([^:\r\n]+):[ \t]*([^\r\n]*)\r\n") do
    head.lines[#head.lines + 1] = { name, value }
    head[name:lower()] = value
  end
  return head
end

local function write_head(head)
  local lines = { head.first }
  for _, line in ipairs(head.lines) do lines[#lines + 1] = line[1] .. ": " .. line[2] end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function set_header(head, name, value) -- nil takes it away
  for i = #head.lines, 1, -1 do
    if head.lines[i][1]:lower() == name then
      if value then head.lines[i][2] = value else table.remove(head.lines, i) end
    end
  end
end

-- Exchanges --------------------------------------------------------------------

local function state(x, name)
  x.state = name
  changed:signal()
end

local function mark(x, strike, at)
  strike.used = true
  struck[#struck + 1] = { what = strike.what, side = strike.side, nth = x.n, at = at, part = strike.part,
    header = strike.header, code = strike.code, advice = strike.advice, command = x.command, done = strike.after,
    time = cqueues.monotime(), passing = strike.passing, began = x.answer_began,
    unheard = has_left(x.client) }
end

-- Holds everything until the client goes, or until the operation is over. That it has gone may stand behind bytes that
-- nobody has taken; then they are taken.
local function hold(x)
  local mine = op
  state(x, "held")
  while not mine.over and not has_left(x.client) do cqueues.sleep(LOOK) end
  local deadline = cqueues.monotime() + SETTLE
  while not has_left(x.client) and cqueues.monotime() < deadline do
    if not x.client.socket:xread(-BLOCK, "b", LOOK) then x.client.socket:clearerr() end
  end
  x.kept = not has_left(x.client)
  close(x.client)
  error(OVER, 0)
end

-- An answer of the plan's: texts may name the key and the address, which servers like to repeat.
local function made_answer(x, strike)
  local words = { KEY = x.key or "", TARGET = x.target }
  local function fill(text) return (text:gsub("%$(%u+)", words)) end
  local body = fill(strike.body or "")
  local lines = { "HTTP/1.1 " .. strike.code .. " Chaos", "Content-Length: " .. #body }
  for name, value in pairs(strike.headers or {}) do lines[#lines + 1] = name .. ": " .. fill(value) end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

local acts = {}

function acts.reset(x)
  reset(x.client)
  error(OVER, 0)
end

function acts.close(x)
  state(x, "closing")
  close_gently(x.client)
  error(OVER, 0)
end

-- The client finds the answer's side of its connection closed while it sends; the server gets all.
function acts.half_close(x)
  x.client.socket:shutdown("w")
  x.mute = true
end

-- The server finds that the request ends too early, and hangs up in its own time.
function acts.half_close_server(x)
  x.up.socket:shutdown("w")
  state(x, "closing")
  close_gently(x.up)
  close_gently(x.client)
  error(OVER, 0)
end

function acts.stall(x) hold(x) end

function acts.drip(x, strike) x.drip = strike.bytes end

function acts.garbage(x, strike) x.client.socket:xwrite(strike.bytes, "bn", WAIT) end

function acts.early(x, strike)
  x.client.socket:xwrite(made_answer(x, strike), "bn", WAIT)
  state(x, "closing")
  close_gently(x.client)
  error(OVER, 0)
end

function acts.restart(_, strike) restart_server(strike.down) end

function acts.outage(x, strike)
  cqueues.running():wrap(restart_server, strike.down)
  hold(x)
end

local function is_asleep(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text:find("%) S ") ~= nil
end

-- Once the client waits: nothing more comes. What it is about to do otherwise, and holds, ends when it is collected.
function acts.interrupt(x)
  local deadline = cqueues.monotime() + SETTLE
  while not is_asleep(op.pid) and cqueues.monotime() < deadline do cqueues.sleep(LOOK) end
  wire.kill(op.pid, "INT")
  hold(x)
end

function acts.kill(x, strike)
  local victim = op.pid
  if strike.delay then -- and all goes on until then
    cqueues.running():wrap(function()
      cqueues.sleep(strike.delay)
      wire.kill(victim, "KILL")
    end)
    return
  end
  wire.kill(victim, "KILL")
  hold(x)
end

function acts.flip(x) x.flip = true end

-- Another content under the file's name: a new file, the same one rewritten, cut or grown.
function acts.replace(_, strike)
  if strike.how == "rename" then
    assert(os.rename(strike.other, strike.path))
    return
  end
  local modes = { rewrite = "r+b", cut = "wb", grow = "ab" }
  local other, file = assert(io.open(strike.other, "rb")), assert(io.open(strike.path, modes[strike.how]))
  assert(file:write(other:read("*a")))
  assert(file:close())
  other:close()
end

-- Where bytes go: x.up or x.client. Strikes when so many have passed and another one waits.
local function new_flow(x, to, strike, at)
  return { x = x, to = to, strike = strike, at = at, count = 0 }
end

local function put(flow, bytes)
  local x, to = flow.x, flow.to
  if bytes == "" or (to == x.client and x.mute) then return end
  if x.flip and to == x.up then
    bytes = string.char((bytes:byte() + 1) % 256) .. bytes:sub(2)
    x.flip = nil
  end
  while x.drip and x.drip > 0 and bytes ~= "" do
    local size = math.min(x.drip, 7)
    if bytes:sub(size, size + 1) == "\r\n" then size = size + 1 end -- lua-http wants the last line end in one piece
    local piece = bytes:sub(1, size)
    if not to.socket:xwrite(piece, "bn", WAIT) then error(to == x.client and CLIENT_GONE or SERVER_GONE, 0) end
    x.drip = x.drip - #piece
    bytes = bytes:sub(#piece + 1)
    cqueues.sleep(0.001)
  end
  if bytes ~= "" and not to.socket:xwrite(bytes, "bn", WAIT) then
    error(to == x.client and CLIENT_GONE or SERVER_GONE, 0)
  end
end

local function forward(flow, bytes)
  if flow.at and flow.count + #bytes > flow.at then
    local before = flow.at - flow.count
    put(flow, bytes:sub(1, before))
    mark(flow.x, flow.strike, flow.at)
    flow.count, flow.at = flow.at, nil
    acts[flow.strike.what](flow.x, flow.strike)
    bytes = bytes:sub(before + 1)
  end
  put(flow, bytes)
  flow.count = flow.count + #bytes
end

local function position(strike, head, length)
  if strike.part == "head" or length == 0 then return math.floor(strike.f * (head - 2)) end
  return head + math.floor(strike.f * (length or strike.guess))
end

local function read_request(x, head, flow)
  local left = x.length
  if flow then forward(flow, head) end
  while left > 0 do
    local bytes = read_some(x.client, math.min(left, BLOCK))
    if not bytes then error(CLIENT_GONE, 0) end
    left = left - #bytes
    x.took = x.took + #bytes
    if x.pieces then x.pieces[#x.pieces + 1] = bytes end
    if flow then forward(flow, bytes) end
  end
end

-- Until the server has something to say, or has gone.
local function await(x)
  local up = x.up
  while up.held == "" and up.socket:pending() == 0 do
    local readable = { pollfd = up.socket:pollfd(), events = "r" }
    if cqueues.poll(readable, LOOK) == readable then return end
    if not x.mute and has_left(x.client) then error(CLIENT_GONE, 0) end
  end
end

local function patiently(x, read, ...)
  await(x)
  local bytes = read(x.up, ...)
  if not bytes then error(SERVER_GONE, 0) end
  return bytes
end

-- Edits of a head; each returns a function to be called when the answer is through, if it needs one.
local edits = {}

local function hang_up(x)
  state(x, "closing")
  close_gently(x.client)
  error(OVER, 0)
end

function edits.length_more(x, strike, head)
  local length = tonumber(head["content-length"])
  if not length then return nil end
  set_header(head, "content-length", ("%d"):format(length + strike.n))
  return function()
    if strike.hold then hold(x) end
    hang_up(x)
  end
end

-- The rest of the body comes behind the end of the answer, and may look like the next one.
function edits.length_less(x, strike, head)
  local length = tonumber(head["content-length"])
  if not length or length < strike.n then return nil end
  set_header(head, "content-length", ("%d"):format(length - strike.n))
  return function()
    if not strike.keep then hang_up(x) end
  end
end

function edits.duplicate(x, strike, head)
  local value = head[strike.header]
  if not value then return nil end
  if strike.other then value = value:find("^%d+$") and ("%d"):format(tonumber(value) + 7) or "chaos" end
  table.insert(head.lines, 1, { strike.header, value })
  return function()
    if strike.other then hang_up(x) end
  end
end

function edits.missing(x, strike, head)
  if not head[strike.header] then return nil end
  set_header(head, strike.header, nil)
  return function()
    if strike.header == "content-length" or strike.header == "transfer-encoding" then hang_up(x) end
  end
end

function edits.interim(x, strike)
  for _ = 1, strike.n do
    put({ x = x, to = x.client }, "HTTP/1.1 103 Early Hints\r\nLink: </chaos>; rel=preload\r\n\r\n")
  end
  return function() end
end

local function note(x, bytes)
  if x.truth and x.noted < KEPT then
    x.truth[#x.truth + 1] = bytes
    x.noted = x.noted + #bytes
  end
end

local function pass_chunks(x, flow, strike)
  local index = 0
  repeat
    local line = patiently(x, read_until, "\r\n")
    local size = tonumber(line:match("^%x+"), 16)
    local data = read_exactly(x.up, size + 2)
    if not data then error(SERVER_GONE, 0) end
    index = index + 1
    if strike and strike.what == "early_end" and index == strike.index and size > 0 then
      mark(x, strike, flow.count)
      put(flow, "0\r\n\r\n")
      error(OVER, 0)
    end
    note(x, data:sub(1, -3))
    if size == 0 then
      x.whole = true
      if strike and strike.what == "no_last_chunk" then
        mark(x, strike, flow.count)
        hang_up(x)
      end
    elseif strike and strike.what == "chunk_size" and index == strike.index then
      mark(x, strike, flow.count)
      line = strike.line or ("%x\r\n"):format(size + strike.n)
    end
    forward(flow, line .. data)
  until size == 0
end

local function pass_length(x, flow, length)
  local left = length
  while left > 0 do
    local bytes = patiently(x, read_some, math.min(left, BLOCK))
    left = left - #bytes
    note(x, bytes)
    x.whole = left == 0
    forward(flow, bytes)
  end
  x.whole = true
end

local function pass_answer(x, strike)
  local text = patiently(x, read_until, "\r\n\r\n")
  local head = parse_head(text)
  local length, chunked = tonumber(head["content-length"]), head["transfer-encoding"] == "chunked"
  x.status = tonumber(head.first:match("^HTTP/1%.1 (%d+)"))
  x.received = tonumber(head["x-goog-upload-size-received"] or "")
  state(x, "answer")
  if strike and (strike.what == "status" or strike.what == "not_http") then -- the server has done its work
    pass_length(x, { x = { mute = true, client = x.client }, to = x.client, count = 0 }, length or 0)
    mark(x, strike, 0)
    put({ x = x, to = x.client }, strike.bytes or made_answer(x, strike))
    hang_up(x)
  end
  local at_end
  if strike and edits[strike.what] then
    at_end = edits[strike.what](x, strike, head)
    if at_end then
      mark(x, strike, 0)
      text = write_head(head)
    end
  end
  local at = strike and acts[strike.what] and strike.side == "answer" and position(strike, #text, length)
  local flow = new_flow(x, x.client, strike, at or nil)
  forward(flow, text)
  x.answer_began = true
  if chunked then pass_chunks(x, flow, strike) else pass_length(x, flow, length or 0) end
  if at_end then at_end() end
  if x.mute or head.connection == "close" then hang_up(x) end
end

local function strike_for(x)
  for _, strike in ipairs(op and op.strikes or {}) do
    if strike.nth == x.n and not strike.used then return strike end
  end
end

local function converse(x, text)
  local strike = strike_for(x)
  if strike and (strike.what == "status" or strike.what == "not_http") and not strike.after then
    read_request(x, text)
    mark(x, strike, 0)
    put({ x = x, to = x.client }, strike.bytes or made_answer(x, strike))
    if strike.what == "not_http" or strike.hang_up then hang_up(x) end
    return
  end
  x.up = new_side(socket.connect("127.0.0.1", em.port))
  if not x.up.socket:connect(WAIT) then
    x.refused = true
    error(SERVER_GONE, 0)
  end
  local on_request = strike and strike.side == "request" and acts[strike.what] and strike
  if on_request and strike.what == "flip" and not (x.command or ""):find("upload", 1, true) then on_request = nil end
  local flow = new_flow(x, x.up, on_request, on_request and position(strike, #text, x.length))
  read_request(x, text, flow)
  x.asked = true
  state(x, "waiting")
  pass_answer(x, not on_request and strike or nil)
end

local function exchange(client, text)
  local head = parse_head(text)
  local method, target = head.first:match("^(%S+) (%S+)")
  local x = {
    n = #exchanges + 1, client = client, method = method, target = target, key = head["x-goog-api-key"],
    length = tonumber(head["content-length"]) or 0, took = 0, noted = 0, began = cqueues.monotime(),
    command = head["x-goog-upload-command"], offset = tonumber(head["x-goog-upload-offset"]),
  }
  if target:find("enerateContent", 1, true) then x.pieces, x.truth = {}, {} end
  exchanges[x.n] = x
  state(x, "request")
  local ok, why = pcall(converse, x, text)
  if x.up then close(x.up) end
  if not ok and why == SERVER_GONE then
    state(x, "closing")
    if x.n % 2 == 0 then reset(client) else close_gently(client) end
  elseif not ok then
    close(client)
    if why ~= OVER and why ~= CLIENT_GONE then bugs[#bugs + 1] = tostring(why) end
  end
  x.ended = cqueues.monotime()
  state(x, "done")
  return ok
end

local function serve(client)
  while true do
    local text = read_until(client, "\r\n\r\n")
    if not text or not exchange(client, text) then return close(client) end
  end
end

-- Calls ------------------------------------------------------------------------

local calls = {}

-- An operation begins. The watchdog ends the client's process when its time is over.
function calls.begin(call)
  op = { strikes = call.strikes or {}, pid = call.pid }
  exchanges, struck = {}, {}
  local mine = op
  cqueues.running():wrap(function()
    local deadline = cqueues.monotime() + call.seconds
    while op == mine and cqueues.monotime() < deadline do cqueues.poll(changed, deadline - cqueues.monotime()) end
    if op == mine then
      mine.hung = true
      wire.kill(mine.pid, "KILL")
    end
  end)
  return {}
end

-- What a process that ends left of its connections is closed by the system: no need to wait for long.
function calls.finish()
  local mine = op
  local deadline = cqueues.monotime() + (restarting and WAIT or 2 * SETTLE)
  mine.over = true
  local function busy()
    if restarting then return true end
    for _, x in ipairs(exchanges) do
      if x.state == "request" or x.state == "waiting" or x.state == "answer" or x.state == "held" then return true end
    end
  end
  while busy() and cqueues.monotime() < deadline do cqueues.poll(changed, LOOK) end
  local report = { exchanges = {}, struck = struck, hung = mine.hung, bugs = bugs }
  for i, x in ipairs(exchanges) do
    report.exchanges[i] = {
      n = x.n, method = x.method, target = x.target:gsub("%?.*", ""), command = x.command, offset = x.offset,
      length = x.length, took = x.took, began = x.began, ended = x.ended, state = x.kept and "kept" or x.state,
      status = x.status, received = x.received,
      whole = x.whole or false, asked = x.pieces and table.concat(x.pieces), refused = x.refused,
      truth = x.truth and table.concat(x.truth),
    }
  end
  op, bugs = nil, {}
  changed:signal()
  return report
end

-- The server dies, and is back after a while.
function calls.restart(call)
  cqueues.running():wrap(restart_server, call.down)
  return {}
end

-- A request to the server, past everything.
function calls.ask(call)
  local s = assert(socket.connect("127.0.0.1", em.port))
  local side = new_side(s)
  local body = call.body or ""
  side.socket:xwrite(("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nx-goog-api-key: %s\r\nConnection: close\r\n"
    .. "Content-Length: %d\r\n\r\n%s"):format(call.method, call.path, KEY, #body, body), "bn", WAIT)
  local answer = side.socket:xread("*a", "b", WAIT) or ""
  close(side)
  local status, text = answer:match("^HTTP/1.1 (%d+).-\r\n\r\n(.*)$")
  return { status = tonumber(status), body = text }
end

-- A server that has seen nothing yet.
function calls.renew()
  local port = em.port
  em:stop()
  os.execute("rm -rf '" .. STATE .. "/" .. serial .. "'")
  serial = serial + 1
  start_server(port)
  return {}
end

local STDIN = { pollfd = 0, events = "r" }

local function main()
  local loop = cqueues.new()
  local listener = socket.listen { host = "127.0.0.1", port = 0, nodelay = true }
  wire.receive_buffer(listener:pollfd(), WINDOW)
  assert(listener:listen())
  local _, _, port = listener:localname()

  function calls.hello()
    start_server()
    return { port = port, server = em.port }
  end

  loop:wrap(function()
    for peer in listener:clients() do cqueues.running():wrap(serve, new_side(peer)) end
  end)
  loop:wrap(function()
    while true do
      cqueues.poll(STDIN)
      local line = io.stdin:read("*l")
      if not line then
        if em then em:stop() end
        os.exit(0)
      end
      local call = json.decode(line)
      local ok, answer = pcall(calls[call.op], call)
      io.stdout:write(json.encode(ok and answer or { error = tostring(answer) }), "\n")
      io.stdout:flush()
    end
  end)
  assert(loop:loop())
end

main()
