-- What stands beside the text of an answer: sources, addresses, code that was run, log probabilities. All of it is made
-- up in the shapes that the service has: nothing is looked up, fetched or run, and no model weighs its words.

local beside = {}

-- What the tools that look things up give as a source.
local SOURCES = {
  { "googleSearch", { web = { uri = "https://example.com/", title = "example.com" } } },
  { "googleMaps", { maps = { uri = "https://maps.example.com/", title = "A place", placeId = "places/1" } } },
  { "fileSearch", { retrievedContext = { title = "a document", text = "A passage." } } },
}

local MOST_ADDRESSES = 20

local function has_tool(request, name)
  for _, tool in ipairs(request.tools or {}) do
    if tool[name] then return true end
  end
  return false
end

--- Where a prompt says "[search]": what the first sentence of an answer is from, by the tools there are.
---@param request table
---@param words string of the last turn
---@param texts string[] of the answer
---@return table? groundingMetadata
function beside.grounding(request, words, texts)
  if not words:find("[search]", 1, true) then return nil end
  local chunks, indices = {}, {}
  for _, pair in ipairs(SOURCES) do
    if has_tool(request, pair[1]) then
      indices[#indices + 1] = #chunks
      chunks[#chunks + 1] = pair[2]
    end
  end
  return chunks[1] and { webSearchQueries = { (words:gsub("%s*%[search%]%s*", "")) }, groundingChunks = chunks,
    groundingSupports = { { segment = { endIndex = #texts[1], text = texts[1] }, groundingChunkIndices = indices } } }
end

--- The addresses in a prompt, with the tool for them. None was fetched; "[fetched]" in the prompt claims it.
---@param request table
---@param words string
---@return table? urlContextMetadata
function beside.addresses(request, words)
  if not has_tool(request, "urlContext") then return nil end
  local status = words:find("[fetched]", 1, true) and "SUCCESS" or "ERROR"
  local list = {}
  for address in words:gmatch("https?://[^%s<>\"']+") do
    if #list == MOST_ADDRESSES then break end
    list[#list + 1] = { retrievedUrl = address:gsub("[.,;:!?)]+$", ""),
      urlRetrievalStatus = "URL_RETRIEVAL_STATUS_" .. status }
  end
  return list[1] and { urlMetadata = list }
end

--- Where a prompt says "[run]" or "[run fails]", with the tool for it: code and what came of it.
---@param request table
---@param words string
---@return table[] pieces none, or two
function beside.code(request, words)
  local fails = words:find("[run fails]", 1, true) ~= nil
  if not (fails or words:find("[run]", 1, true)) or not has_tool(request, "codeExecution") then return {} end
  return {
    { executableCode = { language = "PYTHON", code = fails and "print(6 / 0)" or "print(6 * 7)" }, cost = 4 },
    { codeExecutionResult = { outcome = fails and "OUTCOME_FAILED" or "OUTCOME_OK",
      output = fails and "ZeroDivisionError: division by zero" or "42\n" }, cost = 4 },
  }
end

-- Tokens as they are counted: four characters each.
local function tokens_of(text)
  local list, token, count = {}, {}, 0
  for character in text:gmatch("[%z\1-\127\192-\255][\128-\191]*") do
    token[#token + 1], count = character, count + 1
    if count == 4 then list[#list + 1], token, count = table.concat(token), {}, 0 end
  end
  if count > 0 then list[#list + 1] = table.concat(token) end
  return list
end

local function rated(token, rank)
  local id = 0
  for i = 1, #token do id = (id * 31 + token:byte(i)) % 262144 end
  return { token = token, tokenId = id, logProbability = -rank * math.log(2) }
end

--- The log probabilities of a text, where they are asked for. The token that was taken is always the likeliest, at one
--- half; what else there might have been is numbered, each half as likely as the one before.
---@param config table generationConfig
---@param text string
---@return table? logprobsResult
---@return number? avgLogprobs
function beside.logprobs(config, text)
  if not config.responseLogprobs or text == "" then return nil end
  local chosen, top, sum = {}, {}, 0
  for i, token in ipairs(tokens_of(text)) do
    chosen[i] = rated(token, 1)
    sum = sum + chosen[i].logProbability
    if (config.logprobs or 0) > 0 then
      top[i] = { candidates = { chosen[i] } }
      for rank = 2, config.logprobs do top[i].candidates[rank] = rated("other" .. rank, rank) end
    end
  end
  return { chosenCandidates = chosen, topCandidates = top[1] and top, logProbabilitySum = sum }, sum / #chosen
end

return beside
