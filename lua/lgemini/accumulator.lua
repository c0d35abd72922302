--- The chunks of a stream, joined into one answer.
--
-- Of chunks that say nothing but a text, as most do, the decoder keeps the texts itself, and the last one of each form
-- whole: what else that says counts for all of them. They are folded in when something else comes, or somebody looks.

require("lgemini.compat").goes_over_tables()

local answer = require "lgemini.answer"
local limits = require "lgemini.limits"
local schema = require "lgemini.schema"

local PART, CONTENT = schema.mark "Part", schema.mark "Content"

local NO_LIMITS = { max_kept = 2 ^ 52, max_answer = math.huge }

-- Texts that follow each other. They are joined when somebody looks.
local function new_run(thought)
  return { run = true, thought = thought, pieces = {} }
end

local function join_run(run)
  local text = table.concat(run.pieces)
  run.pieces = { text }
  return setmetatable({ text = text, thought = run.thought }, PART)
end

-- Only text, or only a thought's text? Such parts may be joined; any other stays by itself.
local function is_plain(part)
  for key, value in pairs(part) do
    if key ~= "text" and not (key == "thought" and value == true) then return false end
  end
  return part.text ~= nil and not schema.echo(part)
end

-- Keeps a member, in place of what it was before; false where there is no room for it.
local function put(self, fields, key, value)
  local old = fields[key]
  if old == value then return true end
  local room = self.room - limits.weight(value) + limits.weight(old)
  if old == nil then room = room - limits.weight(key, true) end
  if room < 0 then
    self.cut = self.cut or ("only some of it was kept, about %d bytes (max_answer)"):format(self.limits.max_answer)
    return false
  end
  self.room, fields[key] = room, value
  return true
end

-- Later members replace earlier ones, notes of what must go back as it came included.
local function take(self, fields, notes, object, except)
  for key, value in pairs(object) do
    if key ~= except then put(self, fields, key, value) end
  end
  for name, note in pairs(schema.echo(object) or {}) do
    if note.key ~= except then put(self, notes, name, note) end
  end
end

local function content_so_far(candidate)
  local content = {}
  for key, value in pairs(candidate.content.fields) do content[key] = value end
  for name, note in pairs(candidate.content.notes) do schema.note_echo(content, name, note.key, note.wire) end
  if candidate.parts then
    content.parts = {}
    for i, part in ipairs(candidate.parts) do content.parts[i] = part.run and join_run(part) or part end
  end
  return setmetatable(content, CONTENT)
end

---@class lgemini.answer.Accumulator
local Accumulator = {}
Accumulator.__index = Accumulator

--- Joins the chunks of a stream into one answer.
---@param facts table?    as for answer.add_facts
---@param most lgemini.Limits?  max_kept is for the texts, max_answer for all else
---@return lgemini.answer.Accumulator
function Accumulator.new(facts, most)
  return setmetatable({ facts = facts, limits = most or NO_LIMITS, decoder = false }, Accumulator)
end

-- What it has of the answer: made late, since most streams of one text end before anybody looks.
local function begin(self)
  if self.top then return end
  local most = self.limits
  self.top, self.candidates, self.left, self.room, self.cut = {}, {}, most.max_kept, most.max_answer, false
end

-- How much text the decoder may keep.
local function keep(self)
  if self.decoder then self.decoder:keep(self.cut and 0 or self.left or self.limits.max_kept) end
end

local function cut_text(self)
  self.cut = self.cut or ("only the beginning of its text was kept, %d bytes (max_kept)"):format(self.limits.max_kept)
end

local function add_piece(self, run, text)
  if #text > self.left then cut_text(self) end
  if self.cut or text == "" then return end
  self.left = self.left - #text
  run.pieces[#run.pieces + 1] = text
end

-- The run that a text goes on with, of a list of parts. In the list, unless there is no room.
local function run_of(self, list, thought)
  local last = list[#list]
  if not (last and last.run and last.thought == thought) then
    last = new_run(thought)
    put(self, list, #list + 1, last)
  end
  return last
end

local function add_content(self, candidate, content, text_taken)
  if not candidate.content and not put(self, candidate, "content", { fields = {}, notes = {} }) then return end
  take(self, candidate.content.fields, candidate.content.notes, content, "parts")
  if not content.parts or not candidate.parts and not put(self, candidate, "parts", {}) then return end
  if text_taken then return end
  for _, part in ipairs(content.parts) do
    if not is_plain(part) then
      put(self, candidate.parts, #candidate.parts + 1, part)
    elseif not self.cut then
      add_piece(self, run_of(self, candidate.parts, part.thought), part.text)
    end
  end
end

-- Takes what a chunk says, but for the text where that was taken already.
local function add_all(self, chunk, text_taken)
  self.whole = nil
  for key, value in pairs(chunk) do
    if key ~= "candidates" and not (key == "prompt_feedback" and self.top[key]) then put(self, self.top, key, value) end
  end
  for i, candidate in ipairs(rawget(chunk, "candidates") or {}) do
    local index = candidate.index or i - 1
    local mine = self.candidates[index] or { fields = {}, index = index }
    if put(self, self.candidates, index, mine) then
      take(self, mine.fields, {}, candidate, "content")
      if candidate.content then add_content(self, mine, candidate.content, text_taken) end
    end
  end
end

-- Takes what the decoder has kept: texts, and the last event of each form that they came in.
local function take_texts(self, texts, events, over)
  for i, event in ipairs(events) do
    local last, err = answer.decode(event, "GenerateContentResponse")
    if not last then error(err.message, 0) end -- memory is short: it was decoded before, or one like it was
    local candidate = self.candidates[0]
    if not (candidate and candidate.parts) then
      add_all(self, last, true)
      candidate = self.candidates[0]
    end
    if i == 1 and candidate and candidate.parts and not self.cut then
      local run = run_of(self, candidate.parts)
      for _, text in ipairs(texts) do add_piece(self, run, text) end
    end
    if over then cut_text(self) end
    add_all(self, last, true)
  end
end

--- Takes in what the decoder has kept.
function Accumulator:fold()
  if not self.decoder then return end
  local texts, events, over = self.decoder:said()
  if texts then
    begin(self)
    take_texts(self, texts, events, over)
    keep(self)
  end
end

--- From now on chunks come from that decoder.
---@param decoder lgemini.core.Answer
function Accumulator:follow(decoder)
  self:fold()
  self.decoder = decoder
  keep(self)
end

--- No more come from it.
---@param kept boolean|nil  what it has kept stays there: perhaps nobody looks
function Accumulator:leave(kept)
  if not kept then self.decoder = false end
end

--- What to say where there was more than is kept. No more text is kept then.
---@return string|false
function Accumulator:was_cut()
  self:fold()
  return self.cut or false
end

--- Takes one chunk. Neighbouring plain texts become one part; of all else the last word counts, of
--- prompt_feedback the first.
---@param chunk lgemini.GenerateContentResponse
function Accumulator:add(chunk)
  self:fold()
  begin(self)
  add_all(self, chunk)
  keep(self)
end

--- What has arrived so far, as one answer. The same table until the next chunk; one that was given away
--- does not change. Costs the length of the text when a chunk has come since.
---@return lgemini.GenerateContentResponse
function Accumulator:response()
  self:fold()
  begin(self)
  if self.whole then return self.whole end
  local whole, sorted = {}, {}
  for key, value in pairs(self.top) do whole[key] = value end
  for _, candidate in pairs(self.candidates) do sorted[#sorted + 1] = candidate end
  table.sort(sorted, function(a, b) return a.index < b.index end)
  if sorted[1] then whole.candidates = {} end
  for i, candidate in ipairs(sorted) do
    local out = {}
    for key, value in pairs(candidate.fields) do out[key] = value end
    if candidate.content then out.content = content_so_far(candidate) end
    whole.candidates[i] = out
  end
  self.whole = answer.response(whole, self.facts, self.cut or nil)
  return self.whole
end

return Accumulator
