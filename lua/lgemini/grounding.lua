--- Where an answer has its claims from: the service counts in bytes from 0, within one part; here it is what
-- `text:sub(first, last)` of the answer's text takes (reference section 5.3).

local grounding = {}

---@class lgemini.Source
---@field kind "web"|"image"|"maps"|"file"|"citation"
---@field uri string?
---@field title string?
---@field text string?  the passage that was found, of a file
---@field license string?

---@class lgemini.Citation
---@field first integer?  of the claim in response.text, as string.sub counts; nil where it is not found there
---@field last integer?
---@field text string
---@field sources lgemini.Source[]

local KINDS = { { "web", "web" }, { "image", "image" }, { "maps", "maps" }, { "retrieved_context", "file" } }

local function source_of(chunk)
  for _, pair in ipairs(KINDS) do
    local found = chunk[pair[1]]
    if found then
      return { kind = pair[2], uri = found.uri or found.source_uri, title = found.title, text = found.text }
    end
  end
  return { kind = "web" }
end

-- Bytes of the answer's text before its part of that index, which counts all parts.
local function offset_of(response, index)
  local offset = 0
  for i, part in ipairs(response.parts) do
    if i > index then break end
    if part.text and part.thought ~= true then offset = offset + #part.text end
  end
  return offset
end

-- An index as the service should send it: a whole number that is an offset; 0 in place of any other.
local function whole(index)
  return index and index >= 0 and index < 2 ^ 53 and index % 1 == 0 and index or 0
end

-- The place of a segment in the text. Streams have their texts joined, so that a part may be another than the service
-- meant: the segment's own text decides.
local function place(response, text, segment)
  local first, last = whole(segment.start_index) + 1, whole(segment.end_index)
  for _, offset in ipairs { offset_of(response, segment.part_index or 0), 0 } do
    local found = text:sub(first + offset, last + offset)
    if found ~= "" and (found == segment.text or not segment.text) then return first + offset, last + offset end
  end
  if segment.text and segment.text ~= "" then return text:find(segment.text, 1, true) end
end

local function citation(response, text, segment, sources)
  local first, last = place(response, text, segment)
  return { first = first, last = last, text = first and text:sub(first, last) or segment.text or "", sources = sources }
end

local function metadata(response)
  local candidate = response.candidates[1] or {}
  return candidate.grounding_metadata or {}, candidate.citation_metadata or {}
end

--- All sources that the answer was made with.
---@param response lgemini.GenerateContentResponse
---@return lgemini.Source[]
function grounding.sources(response)
  local out = {}
  for i, chunk in ipairs(metadata(response).grounding_chunks or {}) do out[i] = source_of(chunk) end
  return out
end

--- What in the answer's text is from where, in the order in which the service tells it.
---@param response lgemini.GenerateContentResponse
---@return lgemini.Citation[]
function grounding.citations(response)
  local text, all, out = response.text, grounding.sources(response), {}
  local found, cited = metadata(response)
  for _, support in ipairs(found.grounding_supports or {}) do
    local sources = {}
    for _, index in ipairs(support.grounding_chunk_indices or {}) do sources[#sources + 1] = all[index + 1] end
    out[#out + 1] = citation(response, text, support.segment or {}, sources)
  end
  for _, from in ipairs(cited.citations or {}) do
    out[#out + 1] = citation(response, text, { start_index = from.start_index, end_index = from.end_index },
      { { kind = "citation", uri = from.uri, title = from.title, license = from.license } })
  end
  return out
end

return grounding
