-- A stream that is fed whole and in pieces, with all that a chunk may have in it, and the same as texts.
local answer = require "lgemini.answer"

local function chunk(text, more)
  return ('data: {"candidates":[{"content":{"parts":[{"text":"%s"}%s],"role":"model"}}],"usageMetadata":'
    .. '{"totalTokenCount":5}}\n\n'):format(text, more or "")
end

local STREAM = chunk "one" .. chunk "two" .. chunk("three", ',{"inlineData":{"mimeType":"a/b","data":"'
  .. ("QUJD"):rep(8000) .. '"}},{"text":7,"new":[null,{"a":[]}]}') .. chunk(("x"):rep(3000) .. "\\n") .. chunk "\\t"
  .. chunk "five"

local function read(size, texts)
  local decoder, got = answer.decoder("GenerateContentResponse", 100000, 100, true), {}
  decoder:keep(10000)
  for at = 1, #STREAM, size do
    decoder:feed(STREAM:sub(at, at + size - 1))
    local value, err = decoder:next(texts)
    while value ~= nil do
      got[#got + 1] = value
      value, err = decoder:next(texts)
    end
    if err then error(err.message) end
  end
  -- Nothing where memory was too short to learn what chunks are like.
  for _, event in ipairs(decoder:retire() and select(2, decoder:said()) or {}) do
    local value, problem = answer.decode(event, "GenerateContentResponse")
    if not value then error(problem.message) end
  end
  decoder:close()
  return got
end

return function()
  for _, size in ipairs { #STREAM, 1000 } do
    local got = read(size)
    assert(#got == 6 and got[3].candidates[1].content.parts[2].inline_data.data == ("ABC"):rep(8000))
    assert(got[3].candidates[1].content.parts[3].new[2].a ~= nil)
    local texts = read(size, true)
    assert(#texts == 6 and (texts[6] == "five" or texts[6].candidates) and (texts[2] == "two" or texts[2].candidates))
  end
end
