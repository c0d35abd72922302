--- Elements of an array in JSON text that arrives in pieces: each as soon as it is complete.
--
-- The scanner knows brackets, strings and commas; whatever lies between two commas of the array it was asked for is
-- decoded by json.lua, which finds what is no JSON. It holds the text of one element.

local errors = require "lgemini.errors"
local json = require "lgemini.json"

local items = {}

local find, sub = string.find, string.sub

-- json.decode takes no more either.
local MAX_DEPTH = 100

---@class lgemini.items.Scanner
---@field seen boolean  the array has begun
---@field more boolean|nil  a comma was the last of it: an element must follow
local Scanner = {}
Scanner.__index = Scanner

local function names_of(path)
  if type(path) == "table" then return path end
  if path ~= nil and type(path) ~= "string" then
    errors.misuse(('items: a path such as "recipes" or "menu.dishes" expected, got %s'):format(type(path)))
  end
  local names = {}
  for name in (path or ""):gmatch "[^.]+" do names[#names + 1] = name end
  return names
end

--- A scanner for the array at a path.
---@param path string|string[]|nil  names from the outside in, "menu.dishes"; nil for an array that is the whole text.
--- Numbers are places in arrays, from 0
---@return lgemini.items.Scanner
function items.new(path)
  local names = names_of(path)
  return setmetatable({ names = names, target = #names + 1, depth = 0, levels = {}, kept = {}, seen = false }, Scanner)
end

local function in_target(self)
  local level = self.levels[self.target]
  return level ~= nil and level.array and level.on
end

-- The text that was kept, up to the end of what is given.
local function take(self, rest)
  self.kept[#self.kept + 1] = rest
  local text = table.concat(self.kept)
  self.kept, self.keeping = {}, false
  return text
end

-- An element ends: at a comma, or at the end of the array, which has none where there was no comma either.
local function emit(self, rest, found, at_end)
  local text = take(self, rest)
  if at_end and not self.more and not find(text, "[^ \t\r\n]") then return end
  self.more = not at_end
  local value, problem = json.decode(text)
  if value == nil then
    self.problem = self.problem or problem
  else
    found[#found + 1] = value
  end
end

-- A container begins. Gives whether it is the array, so that what follows is kept.
local function push(self, array)
  local above, depth = self.levels[self.depth], self.depth + 1
  if depth > MAX_DEPTH then
    self.problem = self.problem or ("JSON nested deeper than %d levels"):format(MAX_DEPTH)
    depth = MAX_DEPTH
  end
  local on = depth == 1 or (above.on and tostring(above.key) == tostring(self.names[depth - 1]))
  self.depth = depth
  self.levels[depth] = { array = array, on = on and depth <= self.target, key = array and 0 or nil,
    expects_key = not array }
  return depth == self.target and in_target(self)
end

local function pop(self)
  self.levels[self.depth] = nil
  self.depth = math.max(0, self.depth - 1)
end

-- After the quote that ends a string: it may have been a name on the way to the array.
local function end_string(self, text, from, at)
  self.string = false
  local level = self.levels[self.depth]
  if level and level.expects_key and not in_target(self) then
    level.expects_key = false
    if self.keeping then level.key = json.decode(take(self, sub(text, from, at))) end
  end
end

-- One of the signs outside of strings. Gives where the text that is kept begins now.
local function sign(self, char, at, text, from, found)
  local level = self.levels[self.depth]
  local within = self.depth == self.target and in_target(self)
  if char == '"' then
    self.string = true
    if level and level.expects_key and level.on and not in_target(self) then
      self.keeping = true
      return at
    end
  elseif char == "{" or char == "[" then
    if push(self, char == "[") then
      self.seen, self.keeping, self.more = true, true, false
      return at + 1
    end
  elseif char == "}" or char == "]" then
    if level and level.array ~= (char == "]") then
      self.problem = self.problem or ("not valid JSON: %s where %s is to end"):format(char,
        level.array and "an array" or "an object")
    elseif within then
      emit(self, sub(text, from, at - 1), found, true)
    end
    pop(self)
  elseif within then
    emit(self, sub(text, from, at - 1), found, false)
    self.keeping = true
    return at + 1
  elseif level then
    level.key, level.expects_key = level.array and level.key + 1 or nil, not level.array
  end
  return from
end

--- Takes a piece of the text.
---@param text string
---@return any[] found  the elements that it completes
---@return string? problem  where an element is no JSON, after those in `found`; nothing more is to come then
function Scanner:feed(text)
  local found, at, from = {}, 1, 1
  if self.escaped and text ~= "" then self.escaped, at = false, 2 end
  while not self.problem do
    local hit, _, char = find(text, self.string and '(["\\])' or '(["{}%[%],])', at)
    if not hit then break end
    at = hit + 1
    if not self.string then
      from = sign(self, char, hit, text, from, found)
    elseif char == '"' then
      end_string(self, text, from, hit)
    elseif hit == #text then
      self.escaped = true
    else
      at = hit + 2
    end
  end
  if self.keeping then self.kept[#self.kept + 1] = sub(text, from) end
  return found, self.problem
end

--- An iterator over the elements of an array in a stream's text: what stream:items is.
---@param stream lgemini.Stream
---@param path string|string[]|nil
---@return fun(): any, lgemini.Stream
function items.each(stream, path)
  local scanner = items.new(path)
  local ready, at, problem = {}, 0, nil
  return function()
    while true do
      at = at + 1
      if ready[at] ~= nil then return ready[at], stream end
      if problem then
        error(errors.new { kind = "protocol", message = "the text is not the JSON that was asked for: " .. problem,
          partial = stream.response }, 0)
      end
      local chunk, err = stream:next()
      if not chunk and not err then err = select(2, stream.response:check()) end
      if err then error(err, 0) end
      if chunk then
        ready, problem = scanner:feed(chunk.text)
      elseif in_target(scanner) then
        ready, problem = {}, "not valid JSON: the array has no end"
      else
        break
      end
      at = 0
    end
    if not scanner.seen then
      error(errors.new { kind = "invalid", hint = "names of the schema, from the outside in: \"menu.dishes\"",
        message = ("the answer has no array at %q"):format(table.concat(scanner.names, ".")) }, 0)
    end
  end
end

return items
