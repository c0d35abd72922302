--- Who waits for which instant: a heap with the earliest on top. Of those with the same instant the first one stays
--- first. A waiter is any table; while it is in, its fields `instant`, `order` and `place` are the heap's.

local timers = {}
timers.__index = timers

---@class lgemini.Timers

---@return lgemini.Timers
function timers.new()
  return setmetatable({ count = 0, orders = 0 }, timers)
end

local function before(a, b)
  return a.instant < b.instant or (a.instant == b.instant and a.order < b.order)
end

local function put(self, waiter, place)
  self[place] = waiter
  waiter.place = place
end

local function rise(self, waiter, place)
  while place > 1 do
    local parent = (place - place % 2) / 2
    if not before(waiter, self[parent]) then
      break
    end
    put(self, self[parent], place)
    place = parent
  end
  put(self, waiter, place)
end

local function sink(self, waiter, place)
  while 2 * place <= self.count do
    local child = 2 * place
    if child < self.count and before(self[child + 1], self[child]) then
      child = child + 1
    end
    if not before(self[child], waiter) then
      break
    end
    put(self, self[child], place)
    place = child
  end
  put(self, waiter, place)
end

---@param waiter table
---@param instant number
function timers:add(waiter, instant)
  self.count, self.orders = self.count + 1, self.orders + 1
  waiter.instant, waiter.order = instant, self.orders
  rise(self, waiter, self.count)
end

--- Takes it out; nothing where it is not in.
---@param waiter table
function timers:remove(waiter)
  local place, last = waiter.place, self[self.count]
  if not place then
    return
  end
  self[self.count] = nil
  self.count = self.count - 1
  waiter.place = false
  if last ~= waiter then
    sink(self, last, place)
    rise(self, last, last.place)
  end
end

---@param user table
---@return table[] waiters  those whose `user` that is
function timers:of(user)
  local found = {}
  for i = 1, self.count do
    if self[i].user == user then
      found[#found + 1] = self[i]
    end
  end
  return found
end

---@return table|nil waiter  the earliest
function timers:first()
  return self[1]
end

return timers
