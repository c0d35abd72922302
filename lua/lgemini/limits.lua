--- What a server may make the program hold, follow or walk through: the ceilings, their defaults and their words, all
-- in one place. They are set with Client{ limits = { ... } }.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local options = require "lgemini.options"

local limits = {}

local KIB, MIB = 1024, 1024 * 1024

---@class lgemini.Limits
---@field max_head integer       bytes of an answer's header lines
---@field max_answer integer     bytes of one answer that is held, and of a download into memory; of a stream, what
---  stream.response adds up beside text
---@field max_event integer      bytes of one event of a stream
---@field max_kept integer       bytes of text of a stream that stream.response keeps; what is beyond is handed out only
---@field max_depth integer      levels of arrays and objects within each other in JSON
---@field max_error integer      bytes of the body of an answer that is an error; what is beyond is left out
---@field max_unread integer     bytes of a stream or download that wait to be read; then the server waits
---@field max_redirects integer  redirects that a download follows
---@field max_pages integer      pages of a list

-- name -> default, the least, the most.
local RANGES = {
  max_head = { 256 * KIB, 1 },
  max_answer = { 256 * MIB, 1 },
  max_event = { 64 * MIB, 1 },
  max_kept = { 512 * KIB, 0 }, -- an answer of 65,536 tokens, the most that models write, has some 300 KiB
  max_depth = { 100, 1, 1000 }, -- more would be a matter of the stacks below
  max_error = { 64 * KIB, 1 },
  max_unread = { 256 * KIB, 1 }, -- of a download
  max_redirects = { 5, 0 },
  max_pages = { 10000, 1 },
}

-- The default of max_unread for a stream: to receive more ahead of its reader costs memory and saves nothing.
local UNREAD_STREAM = 32 * KIB

---@type lgemini.Known
limits.KNOWN = {}
for name in pairs(RANGES) do
  limits.KNOWN[name] = true
end

--- The ceilings in force: what the program gave over the defaults. Raises for a wrong type.
---@param given table|nil
---@return lgemini.Limits         the defaults, where something is wrong
---@return lgemini.Error|nil err  kind "invalid", for a number that makes no sense
function limits.new(given)
  local merged, problem = {}, nil
  for name, range in pairs(RANGES) do
    local value, err = options.count((given or {})[name], "limits." .. name, range[2], range[3])
    merged[name] = value or range[1]
    problem = problem or err
  end
  merged.unread_stream = (given or {}).max_unread and merged.max_unread or UNREAD_STREAM
  return merged, problem
end

-- Of memory.
local TABLE, MEMBER = 64, 40

--- Roughly the bytes that a value takes in memory, with all that is in it: small things take more than they had on the
--- wire.
---@param value any
---@param as_key boolean|nil  with its place in a table
---@return integer
function limits.weight(value, as_key)
  local sum = as_key and MEMBER or 0
  if type(value) == "string" then
    return sum + #value
  elseif type(value) == "table" then
    sum = sum + TABLE
    for key, member in pairs(value) do
      sum = sum + limits.weight(key, true) + limits.weight(member)
    end
  end
  return sum
end

--- What to do about a ceiling that a message names; nil where it names none.
---@param message string
---@return string|nil
function limits.hint(message)
  local name = message:match "%f[%w_]max_%l+"
  if RANGES[name] then
    return ("where more is to be expected, raise it: Client{ limits = { %s = ... } }"):format(name)
  end
end

--- The error of one who met a ceiling.
---@param message string  which names it
---@return lgemini.Error
function limits.exceeded(message)
  return errors.new { kind = "limit", message = message, hint = limits.hint(message) }
end

return limits
