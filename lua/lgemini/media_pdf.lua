--- How many pages a PDF has: as its page tree says, which the last table of objects leads to. Newer files may keep both
-- in compressed streams; those are not read here.

local media_pdf = {}

local TAIL = 1024 -- bytes at the end in which the way to the table has to stand
local HEAD = 1024 -- bytes of an object that are read at first
local LONGEST = 1048576 -- bytes of an object at most: the root of a page tree may list all pages
local MAX_TABLES = 1024 -- a file that was changed has one for each change

local COMPRESSED = "keeps its list of pages compressed"

-- The object that begins at an offset, up to its end.
local function text_of(src, at, number)
  local n = HEAD
  while true do
    local text = src:read(at, n)
    local found, from = text:match "^%s*(%d+)%s+%d+%s+obj()"
    local to = text:find("endobj", 1, true)
    if tonumber(found) ~= number then
      src:broken("has no object %d where its table says", number)
    elseif to then
      return text:sub(from, to - 1)
    elseif #text < n or n >= LONGEST then
      src:broken("ends within its object %d", number)
    end
    n = n * 4
  end
end

-- What a trailer says: the text of its dictionary.
local function trailer(src, at)
  local text = src:read(at, 4096)
  local from, to = text:match "^%s*trailer()", text:find("startxref", 1, true)
  if not from then
    src:broken("has a table of objects without a trailer")
  end
  return text:sub(from, to)
end

-- A table: its sections, and the text of its trailer.
local function table_at(src, at)
  local head = src:read(at, 32)
  local from = head:match "^%s*xref%s+()"
  if not from then
    src:broken(head:find "^%s*%d+%s+%d+%s+obj" and COMPRESSED or "has no table of objects where it says")
  end
  at = at + from - 1
  local sections = {}
  while true do
    src:step()
    local line = src:read(at, 64)
    local first, count, rest = line:match "^%s*(%d+)%s+(%d+)%s*()"
    if not first then
      return sections, trailer(src, at)
    end
    at = at + rest - 1
    sections[#sections + 1] = { first = tonumber(first), count = tonumber(count), at = at }
    at = at + 20 * tonumber(count)
    if at > src.size then
      src:broken("ends within its table of objects")
    end
  end
end

-- Where an object begins by a table; nil where it does not know it.
local function place(src, sections, number)
  for _, section in ipairs(sections) do
    if number >= section.first and number < section.first + section.count then
      local entry = src:read(section.at + 20 * (number - section.first), 20)
      local offset, kind = entry:match "^(%d+) %d+ (%a)"
      return kind == "n" and tonumber(offset) or nil
    end
  end
end

-- All tables, the newest first, and the number of the document's root.
local function tables_of(src)
  local tail = src:read(math.max(0, src.size - TAIL), TAIL)
  local at = tonumber(tail:match ".*startxref%s+(%d+)")
  if not at then
    src:broken("does not say where its table of objects is")
  end
  local all, root, seen = {}, nil, {}
  while at do
    if seen[at] or #all >= MAX_TABLES then
      src:broken("has tables of objects without an end")
    end
    seen[at] = true
    local sections, text = table_at(src, at)
    all[#all + 1] = sections
    root = root or tonumber(text:match "/Root%s+(%d+)%s+%d+%s+R")
    if text:find("/XRefStm", 1, true) then
      src:broken(COMPRESSED)
    end
    at = tonumber(text:match "/Prev%s+(%d+)")
  end
  if not root then
    src:broken("does not say which object is its root")
  end
  return all, root
end

-- The text of an object, by the newest table that knows it.
local function object(src, all, number)
  for _, sections in ipairs(all) do
    local at = place(src, sections, number)
    if at then
      return text_of(src, at, number)
    end
  end
  src:broken("has no object %d", number)
end

-- The number that a name of a dictionary has, or the object that holds it.
local function count_in(src, all, text)
  local reference = text:match "/Count%s+(%d+)%s+%d+%s+R"
  if reference then
    return tonumber(object(src, all, tonumber(reference)):match "^%s*(%d+)")
  end
  return tonumber(text:match "/Count%s+(%d+)")
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_pdf.read(src)
  local all, root = tables_of(src)
  local tree = tonumber(object(src, all, root):match "/Pages%s+(%d+)%s+%d+%s+R")
  local pages = tree and count_in(src, all, object(src, all, tree))
  if not pages then
    src:broken("does not say how many pages it has")
  end
  return { kind = "document", pages = pages }
end

return media_pdf
