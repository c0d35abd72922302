--- Many at once: a function applied to each item of a list or an iterator, so many at a time, each call in a task of
--- its own.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local options = require "lgemini.options"

local map = {}

---@class lgemini.Map  `for index, result, err in map do`
local Map = { __name = "lgemini.Map" }
Map.__index = Map

local KNOWN = { concurrency = true }
local CONCURRENCY = 16

local function iterator_of(items)
  local meta = type(items) == "table" and getmetatable(items)
  if type(items) == "function" or (meta and meta.__call) then
    return items
  elseif type(items) ~= "table" then
    errors.misuse(("client:map: a list or an iterator expected, got %s"):format(type(items)))
  end
  local at = 0
  return function()
    at = at + 1
    return items[at]
  end
end

---@param tasks lgemini.Tasks
---@param items table|function
---@param fn function
---@param given table|nil
---@return lgemini.Map
function map.new(tasks, items, fn, given)
  given = given or {}
  options.check(given, KNOWN, "client:map")
  if type(fn) ~= "function" then
    errors.misuse(("client:map: a function expected, got %s"):format(type(fn)))
  end
  local concurrency, err = options.count(given.concurrency, "concurrency")
  if err then
    errors.misuse("client:map: " .. err.message)
  end
  return setmetatable({
    tasks = tasks,
    next_item = iterator_of(items),
    fn = fn,
    concurrency = concurrency or CONCURRENCY,
    index = 0,
    running = {},  -- task -> its index
    count = 0,     -- of those
    ended = {},    -- tasks, in the order of their end, from `first` to `last`
    first = 1,
    last = 0,
  }, Map)
end

local function begin(self, item)
  self.index = self.index + 1
  local task = self.tasks:spawn(self.fn, item, self.index)
  self.running[task], self.count = self.index, self.count + 1
  task.taken = true
  function task.on_end()
    self.last = self.last + 1
    self.ended[self.last] = task
    self.tasks.loop:signal(self)
  end
end

local function fill(self)
  while self.next_item and self.count < self.concurrency do
    local item = self.next_item()
    if item == nil then
      self.next_item = nil
    else
      begin(self, item)
    end
  end
end

local function take(self)
  local task = self.ended[self.first]
  self.ended[self.first] = nil
  self.first = self.first + 1
  local index = self.running[task]
  self.running[task], self.count = nil, self.count - 1
  return index, task:result()
end

--- The next that has ended: its index, and what the function returned, or nil and what it raised. nil when all have.
--- Raises what the iterator of the items raises, and where the task it is called in is cancelled.
---@return integer|nil index
---@return any result
---@return any err
function Map:__call()
  if self.closed then
    return nil
  end
  fill(self)
  while self.count > 0 and self.first > self.last do
    self.tasks.loop:await_signal(self, "map", self.tasks.hook)
    local refusal = self.tasks:refusal()
    if refusal then
      self:close()
      error(refusal, 0)
    end
  end
  if self.count > 0 then
    return take(self)
  end
end

--- Cancels what still runs and begins no more. Closing twice is fine.
function Map:close()
  self.closed = true
  for task in pairs(self.running) do
    task:cancel()
  end
  self.running, self.count = {}, 0
end

Map.__close = Map.close

return map
