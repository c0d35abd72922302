--- How many pages a PDF has: as the root of its page tree says, which the last table of objects leads to. In newer
-- files the table and the objects may stand in packed streams (PDF 1.5). These are unpacked as far as they are needed,
-- up to a megabyte in all, which holds a table of 150,000 objects. A file that needs more is an error, as whatever
-- makes no sense here: nothing is guessed.

local binary = require "lgemini.binary"

local be = binary.be

local media_pdf = {}

local TAIL = 1024 -- bytes at the end in which the way to the table has to stand
local HEAD = 1024 -- bytes of an object that are read at first
local LONGEST = 1048576 -- bytes of an object at most: the root of a page tree may list all pages
local MAX_TABLES = 1024 -- a file that was changed has one for each change; some go in circles
local MAX_OBJECTS = 16777216 -- bytes of all objects that are read
local MAX_PACKED = 1048576 -- bytes of all streams that are unpacked, before and after: half a second of work or so

---@class lgemini.pdf.Budget  what may yet be done for a file; there is one for all of it
---@field objects integer  bytes of them to read
---@field packed integer   bytes of streams to unpack

-- Objects by themselves -----------------------------------------------------------------------------------------

---@class lgemini.pdf.Object
---@field text string        its dictionary, or all of it where it is none; space is one blank in it
---@field data integer|nil   where the bytes of a stream begin

-- A text with one blank for any space. What comes out is searched with patterns, which take long for much of it.
local function squeezed(text)
  return (text:gsub("%s+", " "))
end

-- The object that begins at an offset. `number` is nil where any will do.
local function object_at(src, at, budget, number)
  local n = HEAD
  while true do
    local text = src:read(at, n)
    budget.objects = budget.objects - #text
    if budget.objects < 0 then
      src:broken("has more than %d bytes of objects to look at", MAX_OBJECTS)
    end
    local found, from = text:match "^%s*(%d+)%s+%d+%s+obj()"
    if not found or number and tonumber(found) ~= number then
      src:broken("has no object%s where its table says", number and " " .. number or "")
    end
    local stop, data = text:match(">>%s*()stream\r?\n()", from)
    local last = text:find("endobj", from, true)
    if stop and not (last and last < stop) then
      return { text = squeezed(text:sub(from, stop - 1)), data = at + data - 1 }
    elseif last then
      return { text = squeezed(text:sub(from, last - 1)) }
    elseif #text < n or n >= LONGEST then
      src:broken("ends within its object %s", found)
    end
    n = n * 4
  end
end

local function number_in(text, name)
  return tonumber(text:match("/" .. name .. "%s+(%d+)"))
end

-- The number of the object that a name refers to.
local function reference_in(text, name)
  return tonumber(text:match("/" .. name .. "%s+(%d+)%s+%d+%s+R"))
end

-- Rows of bytes, each behind the number of a filter: what differs from the byte before, or the row before.
local function unfiltered(src, bytes, columns)
  local rows, above = {}, ("\0"):rep(columns)
  for at = 1, #bytes, columns + 1 do
    src:step()
    local kind, row = bytes:byte(at), bytes:sub(at + 1, at + columns)
    if kind == 1 or kind == 2 then
      local out, left = {}, 0
      for i = 1, #row do
        left = (row:byte(i) + (kind == 1 and left or above:byte(i))) % 256
        out[i] = string.char(left)
      end
      row = table.concat(out)
    elseif kind ~= 0 then
      src:broken("has a table of objects that is not read here (filter %d)", kind)
    end
    rows[#rows + 1], above = row, row .. above:sub(#row + 1)
  end
  return table.concat(rows)
end

-- The bytes of a stream of a length. What all of them take comes off the budget.
local function unpacked(src, object, length, budget)
  budget.packed = budget.packed - length
  if budget.packed < 0 then
    src:broken("has more than %d bytes of packed lists of objects", MAX_PACKED)
  end
  local bytes, text = src:need(object.data, length), object.text
  local filter = text:match "/Filter%s*%[?%s*/(%w+)"
  if filter and (filter ~= "FlateDecode" or text:find "/Filter%s*%[%s*/%w+%s*/") then
    src:broken("has a list of objects that is not read here (%s)", filter)
  elseif filter then
    local left
    bytes, left = require("lgemini.inflate").zlib(bytes, budget.packed)
    if not bytes then
      src:broken("has a list of objects that is %s", left)
    end
    budget.packed = left
  end
  local predictor = number_in(text, "Predictor") or 1
  if predictor == 1 then
    return bytes
  end
  local columns = number_in(text, "Columns") or 1
  if predictor < 10 or columns < 1 or columns > 64 then
    src:broken("has a table of objects that is not read here (predictor %d)", predictor)
  end
  return unfiltered(src, bytes, columns)
end

-- Tables of objects ---------------------------------------------------------------------------------------------
-- Each has the text of its trailer, and `find(number)`: where the object begins; or nil, and the stream that it stands
-- in. Nothing where it does not know it.

-- A table of lines of 20 bytes, in sections.
local function text_table(src, at)
  local sections = {}
  while true do
    src:step()
    local first, count, rest = src:read(at, 64):match "^%s*(%d+)%s+(%d+)%s*()"
    if not first then
      break
    end
    first, count, at = tonumber(first), tonumber(count), at + rest - 1
    sections[#sections + 1] = { first = first, count = count, at = at }
    at = at + 20 * count
    if at > src.size then
      src:broken "ends within its table of objects"
    end
  end
  local text = src:read(at, 4096)
  local from, to = text:match "^%s*trailer()", text:find("startxref", 1, true)
  if not from then
    src:broken "has a table of objects without a trailer"
  end
  return { trailer = squeezed(text:sub(from, to)), find = function(number)
    for _, section in ipairs(sections) do
      if number >= section.first and number < section.first + section.count then
        local offset, kind = src:read(section.at + 20 * (number - section.first), 20):match "^(%d+) %d+ (%a)"
        return kind == "n" and tonumber(offset) or nil
      end
    end
  end }
end

-- Widths of the three fields of an entry, and sections: { first, count, ... }.
local function shape_of_stream(src, text)
  local a, b, c = text:match "/W%s*%[%s*(%d)%s+(%d)%s+(%d)%s*%]"
  if not a or a + b + c == 0 or b + 0 > 7 then
    src:broken "has no table of objects where it says"
  end
  local sections = {}
  for number in (text:match "/Index%s*%[([%d%s]*)%]" or "0 " .. (number_in(text, "Size") or 0)):gmatch "%d+" do
    sections[#sections + 1] = tonumber(number)
  end
  return tonumber(a), tonumber(b), tonumber(c), sections
end

-- A table in a stream. An entry has a type (1: an offset, 2: the number of a stream that holds the object).
local function stream_table(src, at, budget)
  local object = object_at(src, at, budget)
  local length = number_in(object.text, "Length")
  if not (object.data and length) then
    src:broken "has no table of objects where it says"
  end
  local a, b, c, sections = shape_of_stream(src, object.text)
  local bytes = unpacked(src, object, length, budget)
  return { trailer = object.text, find = function(number)
    local place = 0
    for i = 1, #sections - 1, 2 do
      local first, count = sections[i], sections[i + 1]
      if number >= first and number < first + count then
        local entry = (place + number - first) * (a + b + c)
        if entry + a + b + c > #bytes then
          src:broken "ends within its table of objects"
        end
        local kind = a > 0 and be(bytes, entry + 1, a) or 1
        local value = be(bytes, entry + a + 1, b)
        if kind == 1 then
          return value
        end
        return nil, kind == 2 and value or nil
      end
      place = place + count
    end
  end }
end

local function table_at(src, at, budget)
  local from = src:read(at, 32):match "^%s*xref%s+()"
  if from then
    return text_table(src, at + from - 1)
  elseif src:read(at, 64):find "^%s*%d+%s+%d+%s+obj" then
    return stream_table(src, at, budget)
  end
  src:broken "has no table of objects where it says"
end

-- All tables, the newest first. A file for old readers and new ones has one of each kind in one place.
local function tables_of(src)
  local tail = src:read(math.max(0, src.size - TAIL), TAIL)
  local at = tonumber(tail:match ".*startxref%s+(%d+)")
  if not at then
    src:broken "does not say where its table of objects is"
  end
  local budget = { objects = MAX_OBJECTS, packed = MAX_PACKED }
  local all = { budget = budget }
  while at do
    if #all >= MAX_TABLES then
      src:broken "has tables of objects without an end"
    end
    local one = table_at(src, at, budget)
    all[#all + 1] = one
    local beside = number_in(one.trailer, "XRefStm")
    if beside then
      all[#all + 1] = stream_table(src, beside, budget)
    end
    at = number_in(one.trailer, "Prev")
  end
  return all
end

-- Objects by their number ---------------------------------------------------------------------------------------

-- Where an object is by the newest table that knows it: an offset, or nil and the stream that holds it.
local function place_of(src, all, number)
  for _, one in ipairs(all) do
    local at, stream = one.find(number)
    if at or stream then
      return at, stream
    end
  end
  src:broken("has no object %d", number)
end

-- An object that stands in no stream, as streams themselves and their lengths do.
local function plain_object(src, all, number)
  local at = place_of(src, all, number)
  if not at then
    src:broken("has no object %d where its table says", number)
  end
  return object_at(src, at, all.budget, number)
end

-- The text of an object out of a stream of them: pairs of a number and an offset stand in front.
local function text_in_stream(src, all, stream, number)
  local holder = plain_object(src, all, stream)
  local count, first = number_in(holder.text, "N"), number_in(holder.text, "First")
  local length = reference_in(holder.text, "Length")
  if length then
    length = tonumber(plain_object(src, all, length).text:match "^%s*(%d+)")
  else
    length = number_in(holder.text, "Length")
  end
  if not (holder.data and count and first and length) then
    src:broken("has no list of objects where its table says")
  elseif all[1].trailer:find("/Encrypt", 1, true) then
    src:broken("is encrypted")
  end
  local bytes = unpacked(src, holder, length, all.budget)
  local from, at = nil, 1
  while at <= first do
    local id, offset, rest = bytes:match("^%s*(%d+)%s+(%d+)()", at)
    if not id then
      break
    elseif from then
      return squeezed(bytes:sub(from, first + tonumber(offset)))
    elseif tonumber(id) == number then
      from = first + tonumber(offset) + 1
    end
    at = rest
  end
  return from and squeezed(bytes:sub(from)) or src:broken("has no object %d", number)
end

local function text_of(src, all, number)
  local at, stream = place_of(src, all, number)
  return at and object_at(src, at, all.budget, number).text or text_in_stream(src, all, stream, number)
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_pdf.read(src)
  local all = tables_of(src)
  local root
  for _, one in ipairs(all) do
    root = root or reference_in(one.trailer, "Root")
  end
  if not root then
    src:broken "does not say which object is its root"
  end
  local tree = reference_in(text_of(src, all, root), "Pages")
  local text = tree and text_of(src, all, tree) or ""
  local count = reference_in(text, "Count")
  local pages = count and tonumber(text_of(src, all, count):match "^%s*(%d+)") or number_in(text, "Count")
  if not pages then
    src:broken "does not say how many pages it has"
  end
  return { kind = "document", pages = pages }
end

return media_pdf
