--- What the chaos driver does, as data: operation `n` of a seed is always the same, whatever came before it.
local plan = {}

--- So many operations share a client.
plan.BATCH = 8

-- Chance ---------------------------------------------------------------------

-- Two multiplicative generators joined (L'Ecuyer, 1988): good enough, and exact in doubles on every Lua.
local Chance = {}
Chance.__index = Chance

-- Not linear, or neighbours would be alike.
local function mix(a, b)
  local h = a * 7919 + 12345
  for _ = 1, 4 do
    h = (h * 69069 + math.floor(h / 65536) + b * 104729) % 2147483563
  end
  return h
end

--- A generator of its own for each operation.
---@param seed integer
---@param n integer
function plan.chance(seed, n)
  local self = setmetatable({ a = mix(seed, n) % 2147483562 + 1, b = mix(n, seed) % 2147483398 + 1 }, Chance)
  for _ = 1, 10 do self:real() end
  return self
end

--- From 0 up to but not including 1.
function Chance:real()
  self.a = self.a * 40014 % 2147483563
  self.b = self.b * 40692 % 2147483399
  return ((self.a - self.b) % 2147483562) / 2147483562
end

function Chance:int(least, most) return least + math.floor(self:real() * (most - least + 1)) end

function Chance:is(probability) return self:real() < probability end

function Chance:pick(list) return list[self:int(1, #list)] end

-- { weight, value, weight, value, ... }
function Chance:weigh(pairs_of)
  local sum = 0
  for i = 1, #pairs_of, 2 do sum = sum + pairs_of[i] end
  local at = self:real() * sum
  for i = 1, #pairs_of, 2 do
    at = at - pairs_of[i]
    if at < 0 then return pairs_of[i + 1] end
  end
  return pairs_of[#pairs_of]
end

-- Strikes ----------------------------------------------------------------------

local GARBAGE = { "\0\1\2\255\254 garbage \0", "<html>", "}}]]", "\r\n\r\n", "\0" }
local NOT_HTTP = { "\0\1\2 this is not HTTP\r\n\r\n", "SSH-2.0-chaos\r\n", "HTTP/1.1 OK\r\n\r\n", "\r\n", "{}\n",
  "220 mail.example ESMTP\r\n" }
local DUPLICATES = { "content-length", "content-type", "x-goog-upload-status", "x-goog-upload-size-received",
  "x-goog-upload-url", "transfer-encoding" }
local MISSING = { "content-length", "content-type", "x-goog-upload-status", "x-goog-upload-size-received",
  "x-goog-upload-url", "x-goog-upload-chunk-granularity", "transfer-encoding" }

local makers = {}

local function at_byte(r, strike, body)
  strike.part = r:is(body) and "body" or "head"
  strike.f = r:real()
  strike.guess = 6000
  return strike
end

local function either(r) return r:is(0.5) and "request" or "answer" end

-- One byte of an upload is another one when it arrives.
function makers.flip(r)
  return { what = "flip", side = "request", part = "body", f = r:real() }
end

-- `passing`: the same request may succeed at once, and a client with tries left must see to it.

function makers.reset(r) return at_byte(r, { what = "reset", side = either(r), passing = true }, 0.7) end

function makers.close(r) return at_byte(r, { what = "close", side = either(r), passing = true }, 0.7) end

function makers.half_close(r)
  return at_byte(r, { what = r:is(0.5) and "half_close" or "half_close_server", side = "request", passing = true }, 0.8)
end

function makers.stall(r) return at_byte(r, { what = "stall", side = either(r), passing = true }, 0.7) end

function makers.drip(r)
  return at_byte(r, { what = "drip", side = either(r), bytes = r:int(1, 400), passing = true }, 0.7)
end

function makers.restart(r)
  return at_byte(r, { what = "restart", side = either(r), down = r:pick { 0, 0, 0.05 }, passing = true }, 0.7)
end

-- The server goes still, so that the client's clock has to notice; it dies, and is back after a while. Until then it
-- refuses connections.
function makers.outage(r)
  return at_byte(r, { what = "outage", side = either(r), down = r:int(0, 20) / 100, passing = true }, 0.7)
end

local function garbage(r) return at_byte(r, { what = "garbage", side = "answer", bytes = r:pick(GARBAGE) }, 0.6) end
makers.garbage = garbage

function makers.length_more(r)
  return { what = "length_more", side = "answer", n = r:pick { 1, 2, 1000, 100000000 }, hold = r:is(0.2),
    passing = true }
end

function makers.length_less(r)
  return { what = "length_less", side = "answer", n = r:pick { 1, 2, 10, 40 }, keep = r:is(0.5) }
end

function makers.duplicate(r)
  return { what = "duplicate", side = "answer", header = r:pick(DUPLICATES), other = r:is(0.5) }
end

function makers.missing(r) return { what = "missing", side = "answer", header = r:pick(MISSING) } end

function makers.interim(r) return { what = "interim", side = "answer", n = r:int(1, 5), passing = true } end

function makers.not_http(r)
  return { what = "not_http", side = "answer", bytes = r:pick(NOT_HTTP), after = r:is(0.5) }
end

function makers.no_last_chunk() return { what = "no_last_chunk", side = "answer" } end

-- Ends as it should, but before all has been said.
function makers.early_end(r) return { what = "early_end", side = "answer", index = r:int(1, 8) } end

function makers.chunk_size(r)
  return { what = "chunk_size", side = "answer", index = r:int(1, 6), n = r:pick { -1, 1, 5, 100000 },
    line = r:is(0.4) and r:pick { "zz\r\n", "\r\n", "-1\r\n", "fffffffffffffffff\r\n" } or nil }
end

local function error_body(code, status, details)
  return ('{"error":{"code":%d,"message":"Chaos: request with key $KEY to $TARGET was refused.","status":"%s"%s}}')
    :format(code, status, details and (',"details":[%s]'):format(details) or "")
end

local RETRY_INFO = '{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%gs"}'
local QUOTA = '{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"%s"}]}'
local STATUS = { [408] = "CANCELLED", [429] = "RESOURCE_EXHAUSTED", [500] = "INTERNAL", [502] = "UNAVAILABLE",
  [503] = "UNAVAILABLE", [504] = "DEADLINE_EXCEEDED", [400] = "INVALID_ARGUMENT", [401] = "UNAUTHENTICATED",
  [403] = "PERMISSION_DENIED", [404] = "NOT_FOUND", [409] = "ABORTED", [413] = "INVALID_ARGUMENT" }

local PLAIN_BODIES = { "", "upstream connect error or disconnect/reset before headers. key=$KEY",
  "<html><head><title>502 Bad Gateway</title></head><body>$TARGET</body></html>", "\0\1\2", '{"error":"chaos"}', "[]" }

-- Refusals that pass, with and without advice.
function makers.status(r)
  local code = r:pick { 408, 429, 429, 500, 500, 502, 503, 503, 503, 504 }
  local strike = { what = "status", side = "answer", code = code, after = r:is(0.4), hang_up = r:is(0.3),
    passing = true, headers = { ["Content-Type"] = "application/json" } }
  local form = r:weigh { 3, "none", 3, "info", 1, "header", 1, "header0", 1, "both", 2, "plain", 1, "long", 1, "day" }
  if form == "plain" then
    strike.body, strike.headers = r:pick(PLAIN_BODIES), { ["Content-Type"] = r:pick { "text/html", "text/plain" } }
  elseif form == "info" or form == "both" then
    strike.advice = r:int(1, 25) / 100
    strike.body = error_body(code, STATUS[code], RETRY_INFO:format(strike.advice))
  elseif form == "long" then
    strike.advice, strike.passing = r:int(121, 9000), false
    strike.body = error_body(code, STATUS[code], RETRY_INFO:format(strike.advice))
  elseif form == "day" and code == 429 then
    strike.passing, strike.day = false, true
    strike.body = error_body(code, STATUS[code], QUOTA:format("GenerateRequestsPerDayPerProjectPerModel-FreeTier"))
  end
  if form == "header" then
    strike.advice = 1
    strike.headers["Retry-After"] = "1"
  elseif form == "header0" or form == "both" then -- the details' word wins
    strike.headers["Retry-After"] = form == "both" and "3000" or "0"
  end
  strike.body = strike.body or error_body(code, STATUS[code])
  return strike
end

-- Refusals that last.
function makers.refusal(r)
  local code = r:pick { 400, 401, 403, 409, 413 }
  return { what = "status", side = "answer", code = code, after = r:is(0.3), hang_up = r:is(0.3),
    headers = { ["Content-Type"] = "application/json" }, body = error_body(code, STATUS[code]) }
end

-- Refused while the body is still on its way.
function makers.early(r)
  local code = r:pick { 413, 500, 503 }
  return at_byte(r, { what = "early", side = "request", code = code, headers = {}, passing = code >= 500,
    body = error_body(code, STATUS[code]) }, 0.9)
end

local ANY = { 10, "reset", 8, "close", 5, "half_close", 5, "stall", 4, "drip", 12, "status", 2, "refusal", 3, "restart",
  2, "outage", 2, "interim", 3, "not_http", 2, "early" }

local function with(more)
  local list = {}
  for _, from in ipairs { ANY, more } do
    for _, item in ipairs(from) do list[#list + 1] = item end
  end
  return list
end

-- What may strike whom. In a download's bytes nobody can tell garbage from the file, nor a lesser length from its end:
-- where HTTP itself lies about plain bytes, there is nothing to check against.
local STRIKES = {
  json = with { 4, "garbage", 3, "length_more", 3, "length_less", 3, "duplicate", 3, "missing" },
  stream = with { 3, "garbage", 2, "duplicate", 2, "missing", 5, "no_last_chunk", 4, "chunk_size",
    5, "early_end" },
  bytes = with { 3, "length_more" },
  upload = with { 3, "garbage", 3, "length_more", 3, "length_less", 5, "duplicate", 6, "missing", 3, "early",
    8, "flip" },
}

-- So many strikes, from request `first` on, seldom with one between.
local function strikes(r, target, count, first)
  local list, nth = {}, first
  for i = 1, count do
    local strike = makers[r:weigh(STRIKES[target])](r)
    if strike.what == "flip" then nth = math.max(nth, 2) end -- the first one brings no bytes
    strike.nth = nth
    nth = nth + (r:is(0.85) and 1 or 2)
    list[i] = strike
  end
  return list
end

local function how_many(r) return r:weigh { 25, 0, 40, 1, 22, 2, 13, 3 } end

-- Operations ---------------------------------------------------------------------

local kinds = {}

local function nonce(op) return ("nonce-%d-%d"):format(op.seed, op.n) end

function kinds.generate(r, op)
  op.prompt = ("What is this? %s-0"):format(nonce(op))
  op.attach = r:weigh { 50, "nothing", 20, "data", 15, "file", 15, "upload" }
  op.size = r:int(1, 200000)
  op.strikes = strikes(r, op.attach == "upload" and "upload" or "json", how_many(r), 1)
end

function kinds.stream(r, op)
  op.prompt = ("[long %d] %s-0"):format(r:int(1, 60), nonce(op))
  op.loop = r:pick { "next", "for", "texts", "each" }
  op.strikes = strikes(r, "stream", how_many(r), 1)
end

local G = 262144
local EDGES = { 0, 1, 2, G - 1, G, G + 1, 2 * G, 2 * G + 1 }

local function size(r)
  return r:weigh { 15, r:pick(EDGES), 45, r:int(1, 300000), 32, r:int(300000, 3000000), 8, r:int(3000000, 9000000) }
end

local function source(r, op)
  op.size = size(r)
  op.source = r:weigh { 40, "file", 20, "data", 15, "handle", 15, "reader", 10, "unsized" }
  op.chunk_size = (op.source == "unsized" or r:is(0.25)) and r:pick { 1, G, 2 * G, 3 * G - 1, 1000000 } or nil
  op.piece = r:int(1, 200000) -- what a reader brings at once
  op.name = r:is(0.15) and ("chaos-%d-%d"):format(op.seed, op.n) or nil
  op.keep = r:pick { 1, 1, 4096, 65536 } -- of what was cut, the server keeps a multiple of so many bytes
  op.verify = not r:is(0.15)
end

-- Without the comparison nobody would see it.
local function compared(op)
  for i = #op.strikes, 1, -1 do
    if op.strikes[i].what == "flip" and not op.verify then table.remove(op.strikes, i) end
  end
end

function kinds.upload(r, op)
  source(r, op)
  op.video = op.source == "file" and r:is(0.12) or nil
  op.strikes = strikes(r, "upload", how_many(r), r:weigh { 30, 1, 50, 2, 20, 3 })
  compared(op)
end

-- The same file again: what the service has is not sent again, and what it lost is.
function kinds.again(r, op)
  op.size, op.source = r:int(1, 600000), r:pick { "file", "data" }
  op.gone = r:is(0.5) -- deleted by somebody else in between
  op.strikes = strikes(r, "json", how_many(r), r:int(1, 4))
end

-- The file is another one in the middle of its upload.
function kinds.replace(r, op)
  op.size, op.source, op.verify = r:int(1000000, 9000000), r:pick { "file", "file", "handle" }, true
  op.chunk_size = r:is(0.3) and G or nil
  op.strikes = { { what = "replace", side = "request", nth = 2, part = "body", f = r:real(),
    how = r:pick { "rename", "rewrite", "cut", "grow" } } }
  if r:is(0.5) then
    op.strikes[2] = strikes(r, "upload", 1, 3)[1]
  end
end

-- The process ends by SIGKILL in the middle of its upload, at a byte or some time after it, and others go on with it:
-- each phase has strikes of its own, its process may be killed, too, and the server may be down as it begins. After the
-- last one nothing is in the way.
function kinds.kill(r, op)
  source(r, op)
  op.size, op.verify = op.size + 1, true
  op.journal = r:is(0.85)
  if op.journal then op.source, op.keep = "file", r:pick { 1, 4096 } end
  local function kill(nth)
    return { what = "kill", side = either(r), nth = nth, f = r:real(), part = r:pick { "head", "body", "body" },
      guess = 3000, delay = r:is(0.4) and r:int(1, 30) / 1000 or nil }
  end
  op.strikes = { kill(r:pick { 1, 2, 2, 2 }) }
  op.phases = {}
  for i = 1, op.journal and r:int(0, 2) or 0 do
    op.phases[i] = strikes(r, "upload", r:int(0, 2), r:int(1, 2))
    if r:is(0.3) then table.insert(op.phases[i], 1, kill(r:int(1, 2))) end
    if r:is(0.3) then
      table.insert(op.phases[i], 1, makers.outage(r))
      op.phases[i][1].nth = r:int(1, 3)
    end
    op.phases[i].down = r:is(0.3) and r:int(0, 15) / 100 or nil
  end
end

function kinds.download(r, op)
  op.size = r:weigh { 10, r:pick { 0, 1, 65536 }, 60, r:int(1, 300000), 30, r:int(300000, 3000000) }
  op.to = r:weigh { 40, "memory", 20, "new", 15, "old", 20, "full", 5, "nowhere" }
  if op.to == "full" then op.size = r:int(1, 400000) end
  op.strikes = strikes(r, "bytes", op.to == "full" and r:int(0, 1) or how_many(r), 1)
end

function kinds.get(r, op)
  op.made = 1
  op.strikes = strikes(r, "json", how_many(r), 1)
end

function kinds.list(r, op)
  op.made, op.page_size = r:int(0, 7), r:int(1, 3)
  op.strikes = strikes(r, "json", how_many(r), r:int(1, 3))
end

function kinds.delete(r, op)
  op.made = 1
  op.strikes = strikes(r, "json", how_many(r), 1)
end

-- A stream that is left in the middle, in every way there is.
function kinds.leave(r, op)
  op.prompt = ("[long %d] %s-0"):format(r:int(10, 60), nonce(op))
  op.after = r:int(0, 8)
  op.how = r:pick { "close", "break", "drop", "error", "client", "scope" }
  local hold = r:pick { "none", "drip", "stall", "stall" }
  op.strikes = {}
  if hold ~= "none" then
    op.strikes[1] = { what = hold, nth = 1, side = "answer", part = "body", f = 0.2 + r:real() * 0.8, guess = 5000,
      bytes = 300, passing = true }
  end
end

-- An upload that its own program ends.
function kinds.abandon(r, op)
  op.size = r:int(300000, 4000000)
  op.how = r:pick { "progress", "reader", "reader_nil", "client", "short", "greedy" }
  op.verify = true
  op.source = (op.how == "progress" or op.how == "client" and r:is(0.5)) and "file"
    or op.how == "short" and "reader" -- without a size there is no too short
    or r:pick { "reader", "unsized" }
  op.chunk_size = op.source == "unsized" and G or nil
  op.piece = 50000
  op.at = r:int(0, op.size - 1)
  op.strikes = { { what = "drip", nth = 2, side = "request", part = "body", f = r:real() * 0.5, bytes = 1500,
    passing = true } }
end

-- Ctrl-C. The wire is still from then on: only the signal can end the call.
function kinds.interrupt(r, op)
  op.what = r:pick { "generate", "stream", "upload", "download" }
  op.prompt = ("[long 30] %s-0"):format(nonce(op))
  op.size, op.source, op.to, op.attach, op.verify = r:int(1, 2000000), "file", "memory", "nothing", true
  op.strikes = { { what = "interrupt", nth = op.what == "upload" and r:int(1, 2) or 1, side = either(r),
    part = r:pick { "head", "body" }, f = r:real(), guess = 3000 } }
end

-- Several streams at once, read in turns, and something else between.
function kinds.braid(r, op)
  op.prompts = {}
  for i = 1, r:int(2, 4) do op.prompts[i] = ("[long %d] %s-%d"):format(r:int(1, 40), nonce(op), i) end
  op.turns = r:int(1, 2147483646)
  op.between = r:int(0, 10)
  source(r, op)
  op.size = op.size % 400000
  op.strikes = strikes(r, "stream", how_many(r), r:int(1, 4))
end

local PIECES = { "word ", "Größe ", "日本語", "😀", "\\n", "\\\"q\\\" ", "e\204\129", "\\u00e9", "\\ud83d\\ude00",
  " ", "x" }

-- Bytes of a scripted server: events cut anywhere, UTF-8 in halves, then a fault at any byte.
function kinds.raw(r, op)
  op.stream, op.loop = r:is(0.7), r:pick { "next", "for", "texts", "each" }
  op.prompt, op.attach = "Hi", "nothing"
  local count = op.stream and r:int(1, 8) or 1
  local texts = {}
  for i = 1, count do
    local words = {}
    for j = 1, r:int(0, 12) do words[j] = r:pick(PIECES) end
    texts[i] = table.concat(words)
  end
  op.texts = texts -- as they stand in JSON
  op.eol = r:pick { "\n", "\r\n", "\r" }
  op.cuts = {}
  for i = 1, r:int(0, 20) do op.cuts[i] = r:real() end
  op.framing = r:pick { "chunked", "chunked", "close", "length" }
  op.late = op.stream and r:is(0.2) -- an event after the one with the finish reason
  op.fault = r:weigh { 3, false, 3, "cut_at", 3, "reset_at", 1, "stall_at", 1, "drip" }
  op.f = r:real()
  op.strikes = {}
end

local WEIGHTS = { 15, "generate", 20, "stream", 24, "upload", 4, "replace", 4, "kill", 4, "again", 8, "download",
  2, "get", 4, "list", 3, "delete", 5, "leave", 3, "abandon", 4, "interrupt", 5, "braid", 5, "raw" }

-- Seconds for the clocks of an operation: soon where something stalls; not so soon where an answer may have no end;
-- else such that they do not fire on a busy machine either.
local ENDLESS = { garbage = true, length_more = true, length_less = true, duplicate = true, missing = true,
  chunk_size = true }

local function clock_for(op)
  local clock = op.fault == "stall_at" and 0.5 or 15
  for i = 0, #(op.phases or {}) do
    for _, strike in ipairs(i == 0 and op.strikes or op.phases[i]) do
      local still = strike.what == "stall" or strike.what == "outage" or strike.hold
      clock = math.min(clock, still and 0.5 or ENDLESS[strike.what] and 2 or 15)
    end
  end
  return clock
end

--- Operation `n` of a seed.
---@param seed integer
---@param n integer
---@return table op
function plan.operation(seed, n)
  local r = plan.chance(seed, n)
  local op = { seed = seed, n = n, kind = r:weigh(WEIGHTS) }
  op.attempts = r:weigh { 80, 4, 10, 2, 10, 1 }
  op.state_dir = math.floor((n - 1) / plan.BATCH) % 3 == 0
  kinds[op.kind](r, op)
  op.clock = clock_for(op)
  op.stalls = op.clock < 1
  if op.stalls and r:is(0.15) then op.total = 0.8 end
  return op
end

return plan
