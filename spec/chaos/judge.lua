--- Whether an operation went right: what its caller got, what passed on the wire, and what the server has, laid side by
--- side. Pure: each finding is a class and a text.
local json = require "dkjson"

local judge = {}

-- What a client keeps by itself: its loop, and the routes of questions and of streams.
local KEPT = { loop = 1, route = 2 }

--- The classes of findings, as the driver's table shows them.
judge.CLASSES = { "lost", "corrupted", "twice", "hung", "unexplained", "left over" }

-- Every kind of error there is (README, "Errors").
local KINDS = {}
for kind in ([[invalid auth permission not_found conflict precondition too_large rate_limited unavailable http
  file_failed file_expired blocked cut empty incomplete network tls timeout cancelled closed io protocol limit
  integrity]]):gmatch "%S+" do
  KINDS[kind] = true
end

-- What each fault may end in, where tries are used up or it is final.
local EXPLAINS = {
  reset = "network incomplete",
  close = "network incomplete",
  half_close = "network incomplete",
  half_close_server = "network incomplete",
  stall = "timeout",
  drip = "",
  interim = "",
  restart = "network incomplete",
  outage = "timeout network incomplete",
  garbage = "protocol network incomplete timeout",
  length_more = "network incomplete timeout",
  length_less = "protocol network incomplete",
  duplicate = "protocol network incomplete timeout",
  missing = "protocol network incomplete timeout",
  no_last_chunk = "incomplete",
  early_end = "incomplete",
  chunk_size = "protocol network incomplete timeout",
  not_http = "protocol network incomplete",
  early = "network incomplete",
  replace = "io",
  kill = "",
  interrupt = "",
  flip = "integrity",
}

local BY_CODE = { [400] = "invalid", [401] = "auth", [403] = "permission file_expired auth", [409] = "conflict",
  [413] = "too_large", [429] = "rate_limited", [408] = "unavailable" }

local function explains(strike, kind)
  local words = EXPLAINS[strike.what] or ""
  if strike.code then
    words = words .. " " .. (BY_CODE[strike.code] or strike.code >= 500 and "unavailable" or "http")
  end
  return (" " .. words .. " "):find(" " .. kind .. " ", 1, true) ~= nil
end

-- What the server said -------------------------------------------------------------

local function text_of(answer)
  local texts = {}
  local candidate = (answer.candidates or {})[1] or {}
  for _, part in ipairs((candidate.content or {}).parts or {}) do
    if part.text and not part.thought then texts[#texts + 1] = part.text end
  end
  return table.concat(texts)
end

-- Text and number of events of an answer that passed as a whole.
local function said(exchange)
  if not exchange.target:find("stream", 1, true) then
    local answer = json.decode(exchange.truth)
    return answer and text_of(answer), 1
  end
  local texts, count = {}, 0
  for data in exchange.truth:gmatch "data: (.-)\r\n\r\n" do
    count = count + 1
    texts[count] = text_of(assert(json.decode(data)))
  end
  return table.concat(texts), count
end

-- The answers to a prompt.
local function answers(report, prompt)
  local list = {}
  for _, x in ipairs(report.exchanges) do
    if x.asked and x.asked:find(prompt, 1, true) and x.status == 200 and x.truth ~= "" then list[#list + 1] = x end
  end
  return list
end

-- Findings -------------------------------------------------------------------------

local Case = {}
Case.__index = Case

function Case:find(class, text, ...)
  self.findings[#self.findings + 1] = { class = class, text = select("#", ...) > 0 and text:format(...) or text }
end

function Case:struck(what)
  for _, strike in ipairs(self.report.struck) do
    if not what or strike.what == what then return strike end
  end
end

local STREAMS = { stream = true, braid = true, leave = true }

-- All that struck passes, and there were tries enough: it had to succeed. (A stream is sent again before its first
-- event only, and an answer's body is likely to be past that; of a server that ends, what it had said still comes.)
function Case:must_pass()
  local op = self.op
  if op.total or #self.report.struck >= op.attempts then return false end
  for _, strike in ipairs(self.report.struck) do
    local in_stream = strike.side == "answer" and (strike.part == "body" or strike.what == "restart")
      and STREAMS[op.kind]
    if not strike.passing or in_stream then return false end
  end
  for _, x in ipairs(self.report.exchanges) do
    if x.refused then return false end
  end
  return not (op.kind == "braid" and self:struck "restart") -- which ends them all
end

-- An error, and whether something that happened explains it. more: kinds that this operation may end in by itself.
function Case:failure(err, more)
  local op, key = self.op, self.key
  if not KINDS[err.kind] then self:find("unexplained", "no such kind: %s", tostring(err.kind)) end
  if err.dump:find(key, 1, true) or err.dump:find(key:sub(1, 12), 1, true) then
    self:find("unexplained", "the key is in the error: %s", err.dump)
  end
  if err.dump:find "upload_id=%w" then self:find("unexplained", "an upload URL is in the error: %s", err.dump) end
  if more and (" " .. more .. " "):find(" " .. err.kind .. " ", 1, true) then return end
  local explained = err.kind == "timeout" and (op.total or op.stalls)
  if self.junk and err.kind == "protocol" then return end
  for _, strike in ipairs(self.report.struck) do
    explained = explained or explains(strike, err.kind)
  end
  if not explained then
    self:find("unexplained", "no fault that struck explains %s", err.text)
  elseif self:must_pass() and not (err.kind == "timeout" and (err.attempts or 0) >= op.attempts) then
    self:find("unexplained", "gave up after %s of %d tries, though all that struck passes: %s", tostring(err.attempts),
      op.attempts, err.text)
  end
end

-- When the request after a strike began, of the same process.
local function next_after(exchanges, strike)
  for _, x in ipairs(exchanges) do
    if x.n == strike.nth + 1 and x.phase == strike.phase then return x.began end
  end
end

-- What was asked for must wait as the server said, and not be asked again where that is too long.
function Case:advice()
  if self.op.kind == "braid" then return end
  for _, strike in ipairs(self.report.struck) do
    local advice = strike.what == "status" and not strike.unheard and strike.advice
    local began = advice and next_after(self.report.exchanges, strike)
    if began and advice > 120 then
      self:find("unexplained", "asked again although the server said: in %g s", advice)
    elseif began and began - strike.time < advice - 0.01 then
      self:find("unexplained", "asked again after %.3f s, the server said %g", began - strike.time, advice)
    end
  end
end

-- Bytes go over the wire again only where the server did not say that it has them: after an answer that came whole, the
-- next request begins where that answer ends.
function Case:resent()
  local struck, acked = {}, nil
  local function id(phase, n) return (phase or "") .. "/" .. (n or "") end
  for _, strike in ipairs(self.report.struck) do struck[id(strike.phase, strike.nth)] = true end
  for _, x in ipairs(self.report.exchanges) do
    local is_upload = x.command and x.command:find("upload", 1, true)
    if is_upload and acked and x.offset ~= acked then
      self:find("unexplained", "request %d begins at byte %d, and the server had %d", x.n, x.offset, acked)
    end
    local heard = x.status == 200 and x.state == "done" and not struck[id(x.phase, x.n)]
    if x.command then acked = heard and x.command ~= "start" and x.received or nil end
  end
end

-- An answer in one piece.
function Case:answered(outcome, prompt)
  if outcome.err then return self:failure(outcome.err) end
  local whole
  for _, x in ipairs(answers(self.report, prompt)) do
    if said(x) == outcome.text then return end
    whole = whole or x.whole
  end
  self:find(whole and "corrupted" or "lost", "the answer is not what the server sent: %q", tostring(outcome.text))
end

-- A stream: whole when it says so, else a beginning.
function Case:streamed(outcome, prompt)
  local list, fits, longer = answers(self.report, prompt), false, false
  for _, x in ipairs(list) do
    local text, count = said(x)
    if outcome.ok then
      fits = fits or (x.whole and text == outcome.text and (not outcome.chunks or outcome.chunks == count))
    else
      fits = fits or text:sub(1, #outcome.text) == outcome.text
    end
    longer = longer or #text > #outcome.text or not x.whole
  end
  if outcome.err then self:failure(outcome.err) end
  if outcome.err and outcome.text == "" then return end
  if not fits then
    self:find(outcome.ok and longer and "lost" or "corrupted", "the stream %s with what the server did not send: %q",
      outcome.ok and "ended" or "failed", outcome.text)
  end
end

-- Files at the server: own ones by their hashes.
function Case:files(outcome, own)
  local count, named, strange = 0, nil, nil
  for _, file in ipairs(self.server) do
    if own[file.sha256] then
      count = count + 1
    elseif not self.made[file.name] then
      strange = file
    end
    if outcome and outcome.ok and file.name == outcome.file.name then named = file end
  end
  if strange and not (self:struck "flip" and outcome and outcome.err) then -- the request that deletes it may fail
    self:find("corrupted", "the server has a file of other bytes: %s, %d bytes", strange.name, strange.size)
  end
  if count > 1 then self:find("twice", "the file is there %d times", count) end
  if not outcome or not outcome.ok then return end
  if not named then
    self:find("lost", "the upload says that it is finished, the server does not have %s", tostring(outcome.file.name))
  elseif named.size ~= outcome.file.size and (outcome.file.size or 0) ~= 0 then
    self:find("corrupted", "the server has %d bytes, the file object says %s", named.size, tostring(outcome.file.size))
  elseif outcome.file.state ~= "ACTIVE" then
    self:find("unexplained", "the upload returned before the file was ACTIVE: %s", tostring(outcome.file.state))
  elseif self.op.verify and outcome.file.verified == false and not self:struck() then
    self:find("unexplained", "the upload was not compared")
  end
end

local kinds = {}

function kinds.generate(case, outcome)
  case:answered(outcome, case.op.prompt)
  case:files(nil, case.own)
end

function kinds.stream(case, outcome) case:streamed(outcome, case.op.prompt) end

function kinds.upload(case, outcome)
  if outcome.err then case:failure(outcome.err) end
  case:files(outcome, case.own)
end

kinds.replace = kinds.upload

-- The process is dead, or its upload was done before. With a journal the last of those that went on with it met no
-- fault: it has the file. Without one there is nothing to go on with.
function kinds.kill(case, outcome)
  if not outcome and not case:struck "kill" then case:find("unexplained", "the process died, and nobody killed it") end
  if outcome and outcome.err then
    case:failure(outcome.err)
    if case.journal_left then case:find("unexplained", "it cannot be resumed, and the journal is there still") end
  end
  if outcome and outcome.ok and case.journal_left then case:find("left over", "the journal of a finished upload") end
  if case.journal_shows then case:find("unexplained", "the journal shows the key, or is for others to read") end
  case:files(outcome, case.own)
end

-- Who cannot ask whether the file is there must not send it again, but fail.
function kinds.again(case, outcome)
  kinds.upload(case, outcome)
  if outcome.ok and outcome.first and outcome.file.reused == case.op.gone then
    case:find(case.op.gone and "lost" or "twice", "the second upload: reused is %s", tostring(outcome.file.reused))
  end
end

function kinds.download(case, outcome)
  local op = case.op
  if outcome.err then
    local full = op.to == "full" and op.size > case.room
    case:failure(outcome.err, (full or op.to == "nowhere") and "io" or nil)
  elseif case.got ~= case.bytes then
    local cut = case.got and #case.got < #case.bytes
    case:find(cut and "lost" or "corrupted", "%s bytes were written, the file has %d", case.got and #case.got or "no",
      #case.bytes)
  end
  if outcome.err and op.to ~= "memory" and case.got ~= (op.to == "old" and case.old or nil) then
    case:find("corrupted", "a download that failed has changed what was there")
  end
  if case.rest ~= "" then case:find("left over", "beside the file: %s", case.rest) end
end

function kinds.get(case, outcome)
  if outcome.err then return case:failure(outcome.err) end
  if outcome.names[1] ~= case.op.names[1] then case:find("corrupted", "another file: %s", outcome.names[1]) end
end

-- As many as there are, each once, the newest first.
function kinds.list(case, outcome)
  local names = case.op.names
  for i, name in ipairs(outcome.names) do
    if name ~= names[#names + 1 - i] then case:find("corrupted", "entry %d of the list is %s", i, name) end
  end
  if outcome.err then return case:failure(outcome.err) end
  if #outcome.names < #names then case:find("lost", "the list ends after %d of %d", #outcome.names, #names) end
end

-- One that was done, and whose answer was lost, finds nothing left to delete.
function kinds.delete(case, outcome)
  local there = case.server[1] ~= nil
  if outcome.err then
    return case:failure(outcome.err, not there and case:struck() and "file_expired not_found permission" or nil)
  end
  if there then case:find("lost", "a file that was deleted is there") end
end

function kinds.leave(case, outcome)
  if outcome.err then case:failure(outcome.err) end
end

local ENDS = { progress = "cancelled", reader = "io", reader_nil = "io", short = "io", greedy = "io",
  client = "cancelled closed" }

-- It may be done before its end is felt.
function kinds.abandon(case, outcome)
  if outcome.err then
    case:failure(outcome.err, ENDS[case.op.how])
  elseif case.op.how ~= "client" then
    case:find("unexplained", "it succeeded all the same")
  end
  case:files(outcome, case.own)
end

function kinds.interrupt(case, outcome)
  local op = case.op
  if not case:struck "interrupt" then
    case.op = setmetatable({ kind = op.what }, { __index = op })
    return kinds[op.what](case, outcome)
  end
  -- What an earlier answer left on the connection is read before anything can interrupt.
  local junk = case.junk and outcome.err and outcome.err.kind == "protocol"
  if not junk and not (outcome.raised and outcome.raised:find("interrupted!", 1, true)) then
    case:find("unexplained", "Ctrl-C did not end it: %s", outcome.err and outcome.err.text or "it succeeded")
  end
  outcome.raised = nil
  case:files(nil, case.own)
end

function kinds.braid(case, outcome)
  for i, one in ipairs(outcome.streams) do case:streamed(one, case.op.prompts[i]) end
  if outcome.between.err then case:failure(outcome.between.err) end
  case:files(outcome.between, case.own)
end

local SCRIPTED = { cut_at = "network incomplete", reset_at = "network incomplete", stall_at = "timeout" }

-- Whether a fault at a byte was before the first event cannot be told from here. An answer that ends with its
-- connection may be cut without a trace: then it is no JSON, and no more can be said.
function kinds.raw(case, outcome)
  local op = case.op
  local traceless = op.framing == "close" and op.fault == "cut_at"
  if outcome.err then
    case:failure(outcome.err, traceless and "network incomplete protocol" or SCRIPTED[op.fault])
    if op.attempts > 1 and not op.stream and not op.total and not traceless then
      case:find("unexplained", "gave up though a try was left: %s", outcome.err.text)
    end
    if outcome.text and op.raw_text:sub(1, #outcome.text) ~= outcome.text then
      case:find("corrupted", "a stream that failed with what the server did not send: %q", outcome.text)
    end
  elseif outcome.text ~= op.raw_text then
    case:find(#outcome.text < #op.raw_text and "lost" or "corrupted", "%q instead of %q", outcome.text, op.raw_text)
  end
end

--- What is wrong with an operation: { class =, text = } each; none when all is right.
---@param facts table  op; outcome (nil: the process died); report (of the relay); server (its files: name, size,
---  sha256); made (names of files that were there before); own (hashes that an upload may have); key; alive (objects of
---  the core, by kind); junk (an earlier answer on a connection of this client was longer than it said: what came after
---  it may be taken for the next one); of a download bytes, got, old, rest, room; of an upload that was killed
---  journal_left, journal_shows
---@return table[] findings
function judge.judge(facts)
  facts.findings = {}
  local case = setmetatable(facts, Case)
  local op, outcome, report = facts.op, facts.outcome, facts.report
  if report.hung then
    case:find("hung", "the watchdog ended the process")
    return case.findings
  end
  if not outcome and op.kind ~= "kill" then
    case:find("unexplained", "the process died: %s", tostring(facts.death))
    return case.findings
  end
  if outcome and facts.death and op.kind ~= "interrupt" then -- whose signal may come late
    case:find("unexplained", "the process died after the call: %s", facts.death)
  end
  if not outcome or not outcome.raised or op.kind == "interrupt" then kinds[op.kind](case, outcome) end
  case:advice()
  case:resent()
  for _, bug in ipairs(report.bugs or {}) do case:find("unexplained", "a bug of the relay: %s", bug) end
  for _, x in ipairs(report.exchanges) do
    if x.state ~= "done" and x.state ~= "closing" then
      case:find("left over", "the client holds request %d (%s %s) in state %s", x.n, x.method, x.target, x.state)
    end
  end
  if not outcome then return case.findings end
  if outcome.raised then case:find("unexplained", "raised: %s", outcome.raised) end
  for _, text in ipairs(outcome.problems) do case:find("unexplained", text) end
  for kind, count in pairs(facts.alive or {}) do
    if count > (KEPT[kind] or 0) then case:find("left over", "%d %s", count, kind) end
  end
  return case.findings
end

return judge
