-- Thought signatures: opaque to clients, and they must come back as they went. These carry a seal, so that one that was
-- changed is found out, also after a restart.

local base64 = require "base64"
local source = require "source"

local signatures = {}

local by_hand = { skip_thought_signature_validator = true, context_engineering_is_the_way_to_go = true }

local function seal(text)
  return source.sha256_of("lgemini-emulator " .. text):sub(1, 32)
end

--- The same text gives the same signature.
---@param text string
---@return string
function signatures.make(text)
  local body = source.sha256_of(text):sub(1, 16)
  return base64.encode(body .. seal(body))
end

---@param signature string
---@return boolean
function signatures.valid(signature)
  if by_hand[signature] then return true end
  local bytes = base64.decode(signature)
  return bytes ~= nil and #bytes == 48 and seal(bytes:sub(1, 16)) == bytes:sub(17)
end

return signatures
