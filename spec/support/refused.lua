--- Checks what a call returned that is to be refused: nil, and an error of that kind with these words.
local assert = require "luassert"
local gemini = require "lgemini"

---@param kind string
---@param words string  in its message
---@param result nil
---@param err lgemini.Error
---@return lgemini.Error err
return function(kind, words, result, err)
  assert.is_nil(result)
  assert.is_true(gemini.is_error(err))
  assert.equal(kind, err.kind, tostring(err))
  assert.truthy(err.message:find(words, 1, true), err.message)
  return err
end
