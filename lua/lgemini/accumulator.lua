--- The chunks of a stream, joined into one answer.
--
-- Of chunks that say nothing but a text, as most do, the decoder keeps the texts itself, and the last one whole: what
-- else that says counts for all of them. They are folded in when something else comes, or somebody looks.

require("lgemini.compat").goes_over_tables()

local answer = require "lgemini.answer"
local limits = require "lgemini.limits"
local schema = require "lgemini.schema"

local PART, CONTENT = schema.mark "Part", schema.mark "Content"

local NO_LIMITS = { max_kept = math.huge, max_answer = math.huge }

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
  most = most or NO_LIMITS
  return setmetatable({ facts = facts, top = {}, candidates = {}, limits = most, left = most.max_kept,
    room = most.max_answer, cut = false, decoder = false, whole = false,
    -- What was put off, in the order in which it came: a chunk, what the decoder kept then, a chunk behind that.
    held = false, kept = false, tail = false, put_off = 0 }, Accumulator)
end

-- How much text the decoder may keep, beside what was put off.
local function keep(self)
  if self.decoder then self.decoder:keep(self.cut and 0 or math.min(self.left - self.put_off, 2 ^ 52)) end
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
  self.whole = false
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

-- What the decoder has kept since it was asked last: the texts, the last event, whether there was no room for some.
local function said(self)
  if self.decoder then return self.decoder:said() end
end

local function take_texts(self, texts, event, over)
  local last, err = answer.decode(event, "GenerateContentResponse")
  if not last then error(err.message, 0) end -- memory is short: it was decoded before, or one like it was
  local candidate = self.candidates[0]
  if not (candidate and candidate.parts) then -- the first of all texts was like those of another stream
    add_all(self, last, true)
    candidate = self.candidates[0]
  end
  if candidate and candidate.parts and not self.cut then
    local run = run_of(self, candidate.parts)
    for _, text in ipairs(texts) do add_piece(self, run, text) end
  end
  if over then cut_text(self) end
  add_all(self, last, true)
end

-- Takes in what was put off, and what the decoder said now.
local function catch_up(self, texts, event, over)
  local held, kept, tail = self.held, self.kept, self.tail
  self.held, self.kept, self.tail, self.put_off = false, false, false, 0
  if held then add_all(self, held) end
  if kept then take_texts(self, kept.texts, kept.event, kept.over) end
  if tail then add_all(self, tail) end
  if texts then take_texts(self, texts, event, over) end
  keep(self)
end

local function length_of(texts)
  local sum = 0
  for _, text in ipairs(texts) do sum = sum + #text end
  return sum
end

--- From now on chunks come from that decoder, or, false, no more. What the one before has kept is taken over before it
--- is let go of.
---@param decoder lgemini.core.Answer|false
function Accumulator:follow(decoder)
  local texts, event, over = said(self)
  if texts and not decoder and not self.kept then -- perhaps nobody looks
    self.kept, self.whole = { texts = texts, event = event, over = over }, false
    self.put_off = self.put_off + length_of(texts)
  elseif texts then
    catch_up(self, texts, event, over)
  end
  self.decoder = decoder
  keep(self)
end

--- Takes in what was put off.
function Accumulator:fold()
  local texts, event, over = said(self)
  if texts or self.held or self.kept then catch_up(self, texts, event, over) end
end

--- What to say where there was more than is kept. No more text is kept then.
---@return string|false
function Accumulator:was_cut()
  self:fold()
  return self.cut
end

--- Takes one chunk. Neighbouring plain texts become one part; of all else the last word counts, of
--- prompt_feedback the first.
---@param chunk lgemini.GenerateContentResponse
function Accumulator:add(chunk)
  self:fold()
  add_all(self, chunk)
  keep(self)
end

-- A chunk's only text; nil where it brings another part.
local function only_text(chunk)
  local candidates = chunk.candidates
  local content = candidates[1] and not candidates[2] and candidates[1].content
  local list = content and content.parts
  local part = list and not list[2] and list[1]
  return part and not part.thought and is_plain(part) and part.text or nil
end

--- The same for a chunk that nobody else has. One with a text is put off, until more comes or somebody looks: the first
--- of an answer, and the last, behind what the decoder has kept.
---@param chunk lgemini.GenerateContentResponse
---@return string|nil text  all that it says
function Accumulator:hold(chunk)
  local text = only_text(chunk)
  local texts, event, over = said(self)
  local length = self.put_off + (texts and length_of(texts) or 0) + #(text or "")
  local may = text and not (over or self.cut or self.kept) and length <= self.left
  if may and texts then
    self.kept, self.tail, self.put_off, self.whole = { texts = texts, event = event }, chunk, length, false
  else
    catch_up(self, texts, event, over)
    if text and not self.cut and #text <= self.left then
      self.held, self.put_off, self.whole = chunk, #text, false
    else
      add_all(self, chunk)
    end
  end
  keep(self)
  return text
end

--- What has arrived so far, as one answer. The same table until the next chunk; one that was given away
--- does not change. Costs the length of the text when a chunk has come since.
---@return lgemini.GenerateContentResponse
function Accumulator:response()
  self:fold()
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
