--- The chunks of a stream, joined into one answer.

local answer = require "lgemini.answer"
local schema = require "lgemini.schema"

local PART, CONTENT = schema.mark "Part", schema.mark "Content"

-- Texts that follow each other. Pieces are joined in blocks, so that a hundred thousand small ones are
-- neither kept one by one nor copied again and again.
local BLOCK = 256

local function new_run(thought)
  return { run = true, thought = thought, blocks = {}, pieces = {}, n = 0 }
end

local function add_piece(run, text)
  run.n = run.n + 1
  run.pieces[run.n] = text
  if run.n == BLOCK then
    run.blocks[#run.blocks + 1] = table.concat(run.pieces, "", 1, run.n)
    run.n = 0
  end
end

local function join_run(run)
  run.blocks[#run.blocks + 1] = table.concat(run.pieces, "", 1, run.n)
  local text = table.concat(run.blocks)
  run.blocks, run.n = { text }, 0
  return setmetatable({ text = text, thought = run.thought }, PART)
end

-- Only text, or only a thought's text? Such parts may be joined; any other stays by itself.
local function is_plain(part)
  for key, value in pairs(part) do
    if key ~= "text" and not (key == "thought" and value == true) then return false end
  end
  return part.text ~= nil and not schema.echo(part)
end

local function add_part(list, part)
  local last = list[#list]
  if not is_plain(part) then
    list[#list + 1] = part
    return
  end
  if not (last and last.run and last.thought == part.thought) then
    last = new_run(part.thought)
    list[#list + 1] = last
  end
  add_piece(last, part.text)
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

local function add_content(candidate, content, text_taken)
  candidate.content = candidate.content or { fields = {}, notes = {} }
  take(candidate.content.fields, candidate.content.notes, content, "parts")
  if not content.parts or text_taken then return end
  candidate.parts = candidate.parts or {}
  for _, part in ipairs(content.parts) do add_part(candidate.parts, part) end
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
---@param facts table?  as for answer.add_facts
---@return lgemini.answer.Accumulator
function Accumulator.new(facts)
  return setmetatable({ facts = facts, top = {}, candidates = {} }, Accumulator)
end

-- Of chunks that say nothing but a text, one after the other, what else the last one says counts for all of them.
-- `last` is that one; where only the texts were taken, `skimmed` is a function that gives it.

-- Takes what a chunk says, but for the text where that was taken already.
local function add_all(self, chunk, text_taken)
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
    if candidate.content then add_content(mine, candidate.content, text_taken) end
  end
end

--- Takes in what was put off. A stream does it before it lets go of its decoder.
function Accumulator:fold()
  local last, skimmed = self.last, self.skimmed
  self.last, self.skimmed = nil, nil
  if last then add_all(self, last, true) end
  last = skimmed and skimmed()
  if last then add_all(self, last, true) end
end

-- A text of the first candidate, behind what it has said so far.
local function say(self, text)
  self.whole = nil
  local parts = self.candidates[0].parts
  local run = parts[#parts]
  if not (run and run.run and not run.thought) then
    run = new_run()
    parts[#parts + 1] = run
  end
  add_piece(run, text)
  return run
end

--- Takes a text that came in a chunk that was like the one before it.
---@param text string
---@param skimmed function  gives that chunk; nil where it cannot
function Accumulator:skim(text, skimmed)
  self.whole = nil
  if self.skimmed then return add_piece(self.run, text) end
  self:fold()
  self.skimmed = skimmed
  self.run = say(self, text)
end

--- Takes one chunk. Neighbouring plain texts become one part; of all else the last word counts, of
--- prompt_feedback the first.
---@param chunk lgemini.GenerateContentResponse
---@param signature integer|nil  where it says nothing but a text: the same for two that have the same members
function Accumulator:add(chunk, signature)
  if signature and signature == self.signature and not self.skimmed then
    self.last = chunk
    return say(self, chunk.candidates[1].content.parts[1].text)
  end
  self:fold()
  self.whole, self.signature = nil, signature
  add_all(self, chunk)
end

--- What has arrived so far, as one answer. The same table until the next chunk; one that was given away
--- does not change. Costs the length of the text when a chunk has come since.
---@return lgemini.GenerateContentResponse
function Accumulator:response()
  if self.whole then return self.whole end
  self:fold()
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
  self.whole = answer.response(whole, self.facts)
  return self.whole
end

return Accumulator
