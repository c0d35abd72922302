--- The chunks of a stream, joined into one answer.
--
-- Of chunks that say nothing but a text, as most do, the decoder keeps the texts itself, and the last one whole: what
-- else that says counts for all of them. They are folded in when something else comes, or somebody looks.

local answer = require "lgemini.answer"
local schema = require "lgemini.schema"

local PART, CONTENT = schema.mark "Part", schema.mark "Content"

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

-- Later members replace earlier ones, notes of what must go back as it came included.
local function take(fields, notes, object, except)
  for key, value in pairs(object) do
    if key ~= except then fields[key] = value end
  end
  for name, note in pairs(schema.echo(object) or {}) do
    if note.key ~= except then notes[name] = note end
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
---@field cut boolean  there were more texts than are kept
local Accumulator = {}
Accumulator.__index = Accumulator

--- Joins the chunks of a stream into one answer.
---@param facts table?    as for answer.add_facts
---@param most integer?   bytes of text that are kept
---@return lgemini.answer.Accumulator
function Accumulator.new(facts, most)
  most = most or math.huge
  return setmetatable({ facts = facts, top = {}, candidates = {}, most = most, left = most, cut = false,
    decoder = false, whole = false }, Accumulator)
end

local function keep(self)
  if self.decoder then self.decoder:keep(self.cut and 0 or math.min(self.left, 2 ^ 52)) end
end

--- From now on chunks come from that decoder; what it has kept is taken in before it is let go of.
---@param decoder lgemini.core.Answer|false
function Accumulator:follow(decoder)
  self:fold()
  self.decoder = decoder
  keep(self)
end

local function add_piece(self, run, text)
  self.cut = self.cut or #text > self.left
  if self.cut then return end
  self.left = self.left - #text
  run.pieces[#run.pieces + 1] = text
end

-- The run that a text goes on with, of a list of parts.
local function run_of(list, thought)
  local last = list[#list]
  if not (last and last.run and last.thought == thought) then
    last = new_run(thought)
    list[#list + 1] = last
  end
  return last
end

local function add_content(self, candidate, content, text_taken)
  candidate.content = candidate.content or { fields = {}, notes = {} }
  take(candidate.content.fields, candidate.content.notes, content, "parts")
  if not content.parts or text_taken then return end
  candidate.parts = candidate.parts or {}
  for _, part in ipairs(content.parts) do
    if is_plain(part) then
      add_piece(self, run_of(candidate.parts, part.thought), part.text)
    else
      candidate.parts[#candidate.parts + 1] = part
    end
  end
end

-- Takes what a chunk says, but for the text where that was taken already.
local function add_all(self, chunk, text_taken)
  self.whole = false
  for key, value in pairs(chunk) do
    if key ~= "candidates" and not (key == "prompt_feedback" and self.top[key]) then self.top[key] = value end
  end
  for i, candidate in ipairs(rawget(chunk, "candidates") or {}) do
    local index = candidate.index or i - 1
    local mine = self.candidates[index]
    if not mine then
      mine = { fields = {}, index = index }
      self.candidates[index] = mine
    end
    take(mine.fields, {}, candidate, "content")
    if candidate.content then add_content(self, mine, candidate.content, text_taken) end
  end
end

--- Takes in what the decoder has kept.
function Accumulator:fold()
  if not self.decoder then return end
  local texts, event, over = self.decoder:said()
  if not texts then return end
  local run = run_of(self.candidates[0].parts)
  for _, text in ipairs(texts) do add_piece(self, run, text) end
  self.cut = self.cut or over
  keep(self)
  local last, err = answer.decode(event, "GenerateContentResponse")
  if not last then error(err.message, 0) end -- memory is short: it was decoded before
  add_all(self, last, true)
end

--- Takes one chunk. Neighbouring plain texts become one part; of all else the last word counts, of
--- prompt_feedback the first.
---@param chunk lgemini.GenerateContentResponse
function Accumulator:add(chunk)
  self:fold()
  add_all(self, chunk)
  keep(self)
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
  self.whole = answer.response(whole, self.facts, self.cut and self.most or nil)
  return self.whole
end

return Accumulator
