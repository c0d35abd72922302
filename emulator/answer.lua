-- What the emulator answers: never what a model might, always what it received. An answer is a list of candidates, each
-- a list of pieces (parts of the wire). A stream sends a piece in each event; a single answer joins plain texts.

local base64 = require "base64"
local beside = require "beside"
local fit = require "fit"
local intake = require "intake"
local json = require "json"
local made = require "made"
local signatures = require "signatures"
local tokens = require "tokens"

local answer = {}

local LONG = 40 -- pieces of a long answer that names no number
local MOST = 100000
local SHOWN = 60 -- parts that an answer describes
local THOUGHT = "The emulator counts what it was given; there is nothing to think about."

local function grouped(n) -- 12345 -> "12,345"
  local text = string.format("%d", n)
  while true do
    local changed
    text, changed = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
    if changed == 0 then return text end
  end
end

local function plural(n, word)
  return grouped(n) .. " " .. word .. (n == 1 and "" or "s")
end

--- The first n characters, not bytes.
local function head(text, n)
  local at, count = 1, 0
  while at <= #text and count < n do
    at = text:find("[^\128-\191]", at + 1) or #text + 1
    count = count + 1
  end
  return text:sub(1, at - 1), at > #text
end

-- The same type under two names is no contradiction.
local same = { ["audio/mp3"] = "audio/mpeg", ["audio/x-wav"] = "audio/wav", ["video/quicktime"] = "video/mov",
  ["video/x-msvideo"] = "video/avi", ["audio/mp4"] = "audio/m4a", ["audio/opus"] = "audio/ogg",
  ["image/heif"] = "image/heic", ["audio/x-flac"] = "audio/flac" }

local describe
function describe(item)
  if item.type == "text" then return "text, " .. plural(item.characters, "character") end
  if item.type == "function_call" then return "a call of " .. tostring(item.name) end
  if item.type == "function_response" then
    local words = { "the result of " .. tostring(item.name) .. ", " .. json.encode(item.response or {}) }
    for i, medium in ipairs(item.media) do words[i + 1] = "with " .. describe(medium) end
    return table.concat(words, " ")
  end
  if item.type == "address" then return "the address " .. item.uri .. ", which the emulator does not fetch" end
  if not item.bytes then return item.type end
  local words = { item.mime_type }
  if item.kind == "unknown" then
    words[1] = words[1] .. " (nothing known by its bytes)"
  elseif item.detected and (same[item.mime_type] or item.mime_type) ~= item.detected then
    words[1] = words[1] .. " (" .. item.detected .. " by its bytes)"
  end
  if item.file then words[1] = words[1] .. " from " .. item.file end
  if item.width then words[#words + 1] = ("%dx%d"):format(item.width, item.height or 0) end
  if item.seconds then words[#words + 1] = ("%.1f seconds"):format(item.seconds) end
  if item.pages then words[#words + 1] = plural(item.pages, "page") end
  words[#words + 1] = plural(item.bytes, "byte")
  words[#words + 1] = "sha256 " .. item.sha256
  return table.concat(words, ", ")
end

--- Sentences about what was received.
local function report(call)
  local shown, last_text, system = {}, nil, nil
  local parts = 0
  for _, item in ipairs(call.items) do
    if item.role == "system" then
      system = (system or 0) + (item.characters or 0)
    else
      parts = parts + 1
      if #shown < SHOWN then shown[#shown + 1] = ("(%d) %s"):format(parts, describe(item)) end
      if item.type == "text" and item.role ~= "model" then last_text = item.text end
    end
  end
  if parts > #shown then shown[#shown + 1] = "and " .. grouped(parts - #shown) .. " more" end
  local turns = #call.request.contents
  local sentences = {
    "This is the lgemini emulator, not a model.",
    (" I received %s%s: %s."):format(plural(parts, "part"), turns > 1 and (" in " .. turns .. " turns") or "",
      table.concat(shown, "; ")),
  }
  if system then
    sentences[#sentences + 1] = (" The system instruction has %s."):format(plural(system, "character"))
  end
  if last_text and last_text ~= "" then
    local words, whole = head(last_text:gsub("%s+", " "), 60)
    sentences[#sentences + 1] = (' The last text reads "%s%s".'):format(words, whole and "" or "…")
  end
  sentences[#sentences + 1] = (" By the documented rules this is %s for %s."):format(
    plural(call.prompt_tokens, "token"), call.model)
  return sentences
end

--- How many pieces a prompt asks for: "[long]", "[long 500]", "in 20 sentences", "a long story".
local function length_asked(text)
  local n = text:match("%[long%s*(%d*)%]") or text:match("(%d+) sentences")
  if not n and text:lower():find("%f[%a]a long %a") then n = "" end
  return n and math.max(1, math.min(tonumber(n) or LONG, MOST))
end

local function long_answer(n)
  local pieces = { ("This is the lgemini emulator, not a model; here are %s, one to an event."):format(
    plural(n, "sentence")) }
  for i = 2, n do
    pieces[i] = (" Sentence %d of %d was made up so that the stream has something to carry."):format(i, n)
  end
  return pieces
end

--- The text of the last turn of the user.
local function last_words(call)
  local turn = call.request.contents[#call.request.contents]
  local texts = {}
  for _, part in ipairs(turn.parts) do
    if part.text then texts[#texts + 1] = intake.text(call.body, part.text) end
  end
  return table.concat(texts, "\n"), turn
end

local function declarations(request)
  local list = {}
  for _, tool in ipairs(request.tools or {}) do
    for _, declaration in ipairs(tool.functionDeclarations or {}) do list[#list + 1] = declaration end
  end
  return list
end

--- Functions to call: all that the prompt names ("call NAME"), or the first allowed one when the mode is ANY.
local function functions_to_call(call, words, turn)
  for _, part in ipairs(turn.parts) do
    if part.functionResponse then return {} end
  end
  local config = (call.request.toolConfig or {}).functionCallingConfig or {}
  local mode = tostring(config.mode or "AUTO"):upper()
  local allowed
  for _, name in ipairs(config.allowedFunctionNames or {}) do
    allowed = allowed or {}
    allowed[name] = true
  end
  local chosen, candidates = {}, {}
  for _, declaration in ipairs(mode ~= "NONE" and declarations(call.request) or {}) do
    local name = declaration.name or ""
    if not allowed or allowed[name] then
      candidates[#candidates + 1] = declaration
      local _, stop = words:find("call " .. name, 1, true)
      if stop and not words:find("^[%w_]", stop + 1) then chosen[#chosen + 1] = declaration end
    end
  end
  if #chosen == 0 and mode == "ANY" then chosen[1] = candidates[1] end
  return chosen
end

local function call_pieces(call, chosen)
  local pieces = {}
  for i, declaration in ipairs(chosen) do
    local schema = declaration.parametersJsonSchema or declaration.parameters
    local args = schema and fit.json(schema)
    pieces[i] = {
      functionCall = {
        name = declaration.name, args = args and args ~= "{}" and json.raw(args) or nil,
        id = call.is_three and signatures.make(declaration.name .. i .. call.response_id):sub(1, 12) or nil,
      },
      -- Of parallel calls only the first carries one.
      thoughtSignature = i == 1 and signatures.make(call.response_id) or nil,
    }
  end
  return pieces
end

local function json_pieces(call, config)
  local schema = config.responseJsonSchema or config._responseJsonSchema or config.responseSchema
  local text
  if config.responseMimeType == "text/x.enum" then
    text = tostring(schema and schema.enum and schema.enum[1] or "")
  elseif schema then
    text = fit.json(schema)
  else
    local parts = json.array({})
    for i, item in ipairs(call.items) do parts[i] = describe(item) end
    text = json.encode({ emulator = true, parts = parts })
  end
  local third = math.max(1, math.ceil(#text / 3))
  local pieces, rest = {}, text
  while rest ~= "" do -- between characters, not within one
    local piece = head(rest, third)
    pieces[#pieces + 1], rest = piece, rest:sub(#piece + 1)
  end
  return pieces
end

--- Cuts texts off at a stop sequence and at a number of tokens. Returns the texts and the reason to finish.
local function shorten(texts, config, spent)
  local whole = table.concat(texts)
  local stop = #whole
  for _, sequence in ipairs(config.stopSequences or {}) do
    local at = sequence ~= "" and whole:find(sequence, 1, true)
    if at and at - 1 < stop then stop = at - 1 end
  end
  local reason = "STOP"
  if config.maxOutputTokens and config.maxOutputTokens > 0 then
    local fits, all = head(whole:sub(1, stop), math.max(0, config.maxOutputTokens - spent) * 4)
    if not all then stop, reason = #fits, "MAX_TOKENS" end
  end
  local out, at = {}, 0
  for _, text in ipairs(texts) do
    local left = stop - at
    if left <= 0 then break end
    out[#out + 1] = text:sub(1, left)
    at = at + #text
  end
  return out, reason
end

local function modality(config, name)
  for _, m in ipairs(config.responseModalities or {}) do
    if m == name then return true end
  end
  return false
end

local function text_tokens(pieces)
  local n = 0
  for _, piece in ipairs(pieces) do n = n + tokens.text(piece) end
  return n
end

local TONE = 0.5 -- seconds of sound for each line that is spoken
local PITCHES = { 440, 660, 880 } -- hertz, of the first speaker and those after it

--- What is spoken: a tone for each line of a speaker, or one for all where there is one voice.
local function spoken(config, words)
  local speech, pieces = config.speechConfig or {}, {}
  for line in (words .. "\n"):gmatch("([^\n]*)\n") do
    for i, voice in ipairs((speech.multiSpeakerVoiceConfig or {}).speakerVoiceConfigs or {}) do
      local name = voice.speaker .. ":"
      if line:sub(1, #name) == name then
        pieces[#pieces + 1] = { samples = made.tone(TONE, PITCHES[(i - 1) % #PITCHES + 1]), cost = 16 }
      end
    end
  end
  return pieces[1] and pieces or { { samples = made.tone(TONE, PITCHES[1]), cost = 16 } }
end

--- The picture of an answer: of the proportions that were asked for, else of those of the first picture that came.
local function drawn(config, items)
  local aspect = (config.imageConfig or {}).aspectRatio
  for _, item in ipairs(items) do
    if not aspect and item.kind == "image" and item.width and item.height and item.width * item.height > 0 then
      aspect = item.width .. ":" .. item.height
    end
  end
  local width, height = made.shape(aspect or "16:9")
  if not width then width, height = made.shape("16:9") end
  return { inlineData = { mimeType = "image/png", data = base64.encode(made.png(width, height)) }, cost = 1290 }
end

--- One candidate.
local function candidate(call, config, number)
  local words, turn = last_words(call)
  local thinks = (config.thinkingConfig or {}).includeThoughts == true
  local thoughts = thinks and tokens.text(THOUGHT) or 0
  local pieces, texts = {}, nil
  local chosen = functions_to_call(call, words, turn)
  if #chosen > 0 then
    pieces = call_pieces(call, chosen)
  elseif modality(config, "AUDIO") then
    pieces = spoken(config, words)
  else
    local length = length_asked(words)
    if config.responseMimeType == "application/json" or config.responseMimeType == "text/x.enum" then
      texts = json_pieces(call, config)
    elseif length then
      texts = long_answer(length)
    else
      texts = report(call)
    end
    if number > 1 then texts[1] = ("Candidate %d. "):format(number) .. texts[1] end
  end
  local reason = "STOP"
  if texts then
    texts, reason = shorten(texts, config, thoughts)
    pieces = texts[1] and beside.code(call.request, words) or {}
    for _, text in ipairs(texts) do pieces[#pieces + 1] = { text = text } end
    if modality(config, "IMAGE") then
      pieces[#pieces + 1] = drawn(config, call.items)
    elseif call.is_three and reason == "STOP" and #pieces > 0 then
      -- The signature of an answer without calls comes with its last part, in a stream one with empty text.
      pieces[#pieces + 1] = { text = "", thoughtSignature = signatures.make(call.response_id) }
    end
  end
  if thinks and #pieces > 0 then -- none: thinking took all the tokens there were
    table.insert(pieces, 1, { text = THOUGHT, thought = true })
  end
  local answered = texts and texts[1]
  return { pieces = pieces, reason = reason, thoughts = thoughts,
    grounding = answered and beside.grounding(call.request, words, texts),
    addresses = answered and beside.addresses(call.request, words) }
end

--- The candidates of an answer.
---@param call table as `content.read` left it, with items, prompt_tokens, response_id, is_three
---@return table[] candidates { pieces, reason, thoughts (tokens), grounding, addresses }
function answer.compose(call)
  local config = call.request.generationConfig or {}
  local candidates = {}
  for number = 1, math.max(1, math.min(config.candidateCount or 1, 8)) do
    candidates[number] = candidate(call, config, number)
  end
  return candidates
end

--- Output tokens of a piece.
---@param piece table
---@return integer
function answer.cost(piece)
  if piece.thought then return 0 end
  if piece.functionCall then return 10 end
  return piece.cost or text_tokens({ piece.text or "" })
end

--- A piece as the wire has it.
---@param piece table
---@return table part
function answer.part(piece)
  local sound = piece.samples and { mimeType = "audio/L16;codec=pcm;rate=24000", data = base64.encode(piece.samples) }
  return {
    text = piece.text, thought = piece.thought, inlineData = sound or piece.inlineData,
    functionCall = piece.functionCall, thoughtSignature = piece.thoughtSignature,
    executableCode = piece.executableCode, codeExecutionResult = piece.codeExecutionResult,
  }
end

local function plain(part)
  return part and part.text and not part.thoughtSignature
end

-- What is spoken as one piece.
local function one_sound(pieces)
  local out, samples = {}, {}
  for _, piece in ipairs(pieces) do
    if piece.samples then
      samples[#samples + 1] = piece.samples
    else
      out[#out + 1] = piece
    end
  end
  if samples[1] then out[#out + 1] = { samples = table.concat(samples) } end
  return out
end

--- The parts of an answer that does not stream: neighbouring texts joined, and all that is spoken.
---@param pieces table[]
---@return table[] parts
function answer.join(pieces)
  local parts = {}
  local open -- texts that the last part is made of
  for _, piece in ipairs(one_sound(pieces)) do
    local part, last = answer.part(piece), parts[#parts]
    if part.text and plain(last) and part.thought == last.thought then
      open[#open + 1] = part.text
      last.thoughtSignature = part.thoughtSignature
      last.text = part.thoughtSignature and table.concat(open) or last.text
    else
      if open then parts[#parts].text = table.concat(open) end
      parts[#parts + 1] = part
      open = part.text and { part.text } or nil
    end
  end
  if open then parts[#parts].text = table.concat(open) end
  return parts
end

return answer
