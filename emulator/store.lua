-- Things that a key owns and that have a name: caches, batches, file search stores, interactions. They live in memory
-- and do not outlive a restart.

local errors = require "errors"
local models = require "models"
local rand = require "openssl.rand"

local store = {}
store.__index = store

---@param prefix string of names: "cachedContents/"
---@param missing fun(name: string): table the API's error for what is not there
---@return table store
function store.new(prefix, missing)
  return setmetatable({ prefix = prefix, missing = missing, by_name = {}, order = {} }, store)
end

--- Twelve letters and digits, as the service makes them.
---@return string
function store.new_id()
  local alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
  return (rand.bytes(12):gsub(".", function(c)
    local n = c:byte() % 36 + 1
    return alphabet:sub(n, n)
  end))
end

--- Adds a thing; the newest stands first.
---@param thing table gets a name
---@param owner string fingerprint of the key
---@return table thing
function store:add(thing, owner)
  thing.name, thing.owner = thing.name or self.prefix .. store.new_id(), owner
  self.by_name[thing.name] = thing
  table.insert(self.order, 1, thing)
  return thing
end

--- The thing as the owner of a key sees it; raises when there is none.
---@param name string with its prefix
---@param owner string
---@return table
function store:find(name, owner)
  local thing = self.by_name[name]
  if thing and thing.expired and thing.expired() then
    self:remove(thing)
    thing = nil
  end
  if not thing or thing.owner ~= owner then error(self.missing(name)) end
  return thing
end

---@param thing table
function store:remove(thing)
  self.by_name[thing.name] = nil
  for i, other in ipairs(self.order) do
    if other == thing then table.remove(self.order, i) break end
  end
end

--- A page of what the key owns.
---@param ex table exchange
---@param show fun(thing: table): table
---@param most integer
---@return table[]? page nil when there is nothing
---@return string? next_page_token
function store:page(ex, show, most)
  local own = {}
  for i = #self.order, 1, -1 do
    local thing = self.order[i]
    if thing.expired and thing.expired() then self:remove(thing) end
  end
  for _, thing in ipairs(self.order) do
    if thing.owner == ex.owner then own[#own + 1] = thing end
  end
  local page, token = models.page(own, ex.query, 50, most)
  for i, thing in ipairs(page) do page[i] = show(thing) end
  return page[1] and page, token
end

--- The API's 404 for what is not there.
---@param name string
function store.not_found(name)
  return errors.new(404, ("Requested entity %s was not found."):format(name))
end

return store
