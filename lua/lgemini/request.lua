--- The request encoder: the caller's tables -> wire names -> segments of a body.
--
-- Two steps. wire.lua walks a table by its type and gives a tree in the wire's layout; emit.lua writes the tree, names
-- sorted, into a body. Between the two, `request.merge` lays an extra_body over the tree.

require("lgemini.compat").goes_over_tables()

local emit = require "lgemini.emit"
local schema = require "lgemini.schema"
local wire = require "lgemini.wire"

local request = { wire = wire.object, any = wire.any, emit = emit.tree, file = emit.file, bytes = emit.bytes }

local function is_object(node)
  return type(node) == "table" and getmetatable(node) == nil
end

local function merge(tree, extra)
  for key, node in pairs(extra) do
    if is_object(node) and is_object(tree[key]) then
      merge(tree[key], node)
    else
      tree[key] = node
    end
  end
end

--- Lays an extra_body, in wire layout, over a tree: objects are merged, all else is replaced.
---@param tree table
---@param extra table
---@return true?
---@return lgemini.Error?
function request.merge(tree, extra)
  local node, err = wire.struct(extra, "config.http_options.extra_body")
  if not node then return nil, err end
  merge(tree, node)
  return true
end

---@class lgemini.request.Args
---@field model string  full name: models/...
---@field contents table[]?  turns, as parts.contents gives them
---@field instance table?  of models that make media
---@field place string?  what messages call the instance; nothing
---@field embed function?  embed(value, field, place) makes an image or a video of the API out of local media: its
--- bytes go into `field`; nil, err
---@field config table?
---@field extra_body table?
---@field vertex any  true where it goes to Vertex AI

local function generate(args, config)
  local contents, err = wire.contents(args)
  if not contents then return nil, err end
  local tree = { contents = contents }
  if args.config == nil then return tree end
  local nested = {}
  local ok
  ok, err = wire.config(args, config, tree, schema.type("GenerationConfig"), nested)
  if not ok then return nil, err end
  if args.vertex then require("lgemini.bodies").at_vertex(nested) end
  ok, err = wire.answer_form(nested, "config")
  if not ok then return nil, err end
  if next(nested) ~= nil then tree.generationConfig = nested end
  return tree
end

--- The body of a call as a tree: what `row.body` of endpoints.lua says.
---@param row lgemini.endpoints.Row
---@param args lgemini.request.Args
---@return table? tree
---@return lgemini.Error?
function request.tree(row, args)
  local build = row.body == "generate" and generate or require("lgemini.bodies")[row.body]
  local tree, err = build(args, row.config)
  if not tree then return nil, err end
  if args.extra_body then
    local ok
    ok, err = request.merge(tree, args.extra_body)
    if not ok then return nil, err end
  end
  return tree
end

--- Writes a value of that type into a body.
---@param body table
---@param value table
---@param type_name string
---@param extra_body table?
---@return true?
---@return lgemini.Error?
function request.encode(body, value, type_name, extra_body)
  local tree, err = request.wire(value, type_name)
  if not tree then return nil, err end
  if extra_body then
    local ok
    ok, err = request.merge(tree, extra_body)
    if not ok then return nil, err end
  end
  return request.emit(tree, body)
end

return request
