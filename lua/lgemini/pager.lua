--- Lists: an iterator over the items of all pages, fetched one by one when they are needed.

require("lgemini.compat").goes_over_tables()

local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local http = require "lgemini.http"
local limits = require "lgemini.limits"
local options = require "lgemini.options"

local pager = {}

---@class lgemini.Pager
---@field page table[]  the items of the page at hand; fetches the first one, and raises where that fails
local Pager = { __name = "lgemini.Pager" }

local methods = {}

function Pager.__index(self, name)
  if name ~= "page" then
    return methods[name]
  end
  local items, err = self:next_page()
  if err then
    error(err, 2)
  end
  return items
end

pager.KNOWN = { config = { page_size = true, page_token = true, http_options = options.HTTP } }

---@param owner lgemini.Client
---@param row lgemini.endpoints.Row
---@param args table  config; and what the row's path wants
---@param show nil|fun(item: table): table  what an item is for the caller
---@return lgemini.Pager
function pager.new(owner, row, args, show)
  local config = {}
  for name, value in pairs(args.config or {}) do
    config[name] = value
  end
  return setmetatable({ client = owner, row = row, args = args, config = config, show = show, at = 0, pages = 0 },
    Pager)
end

local function fetch(self)
  local row = self.row
  local call, err = self.client:call(self.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local path, query
  path, err = endpoints.path(row, self.args, self.client.vertex)
  if not path then
    return nil, err
  end
  query, err = endpoints.query(row, self.config)
  if not query then
    return nil, err
  end
  local page
  page, err = http.ask(call, { verb = row.verb, url = self.client:url(call.options, row, path, query) },
    self.client.vertex and row.vertex_answer or row.answer)
  return page, err
end

--- The items of the next page, which may be none; nil after the last page.
---@return table[]|nil items
---@return lgemini.Error|nil err
function methods.next_page(self)
  options.check_object(self, Pager, "pager.next_page")
  if self.failure or self.ended then
    return nil, self.failure
  end
  local most = self.client.limits.max_pages
  if self.pages >= most then
    self.failure = limits.exceeded(("the list has more than max_pages (%d) pages"):format(most))
    return nil, self.failure
  end
  local page, err = fetch(self)
  if not page then
    self.failure = err
    return nil, err
  end
  local token = page.next_page_token
  if token and token ~= "" and token == self.config.page_token then -- the same page for ever
    self.failure = errors.new { kind = "protocol", message = "the server gave the same page token twice" }
    return nil, self.failure
  end
  self.config.page_token = token
  self.ended = token == nil or token == ""
  self.at, self.pages = 0, self.pages + 1
  local items = page[self.client.vertex and self.row.vertex_items or self.row.items] or {}
  if self.show then
    for i, item in ipairs(items) do
      items[i] = self.show(item)
    end
  end
  rawset(self, "page", items)
  return self.page
end

--- The next item of all pages; nil at the end. As the iterator of a `for` it raises where a page cannot be had.
---@return table|nil item
function Pager.__call(self)
  local page = rawget(self, "page")
  while not page or self.at >= #page do
    local err
    page, err = self:next_page()
    if err then
      error(err, 0)
    elseif not page then
      return nil
    end
  end
  self.at = self.at + 1
  return page[self.at]
end

return pager
