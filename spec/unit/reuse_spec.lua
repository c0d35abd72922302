-- What was uploaded, as it is kept: no more of it than lives.
local core = require "lgemini.core"
local process = require "spec.support.process"
local reuse = require "lgemini.reuse"

local function entry(name, expires)
  return { sha256 = ("0"):rep(64), mime_type = "text/plain", scope = "s", name = name, expires = expires }
end

local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

describe("the index of uploads", function()
  it("finds what lives, by size, type and scope", function()
    local index = reuse.new(core)
    index:add(7, entry("files/a", 100), 10)
    assert.equal("files/a", index:find(7, "text/plain", "s", 99)[1].name)
    assert.same({}, index:find(7, "text/plain", "s", 100))
    assert.same({}, index:find(7, "image/png", "s", 10))
    assert.same({}, index:find(8, "text/plain", "s", 10))
  end)

  it("forgets in time what has expired, though nothing of that size comes again", function()
    local index = reuse.new(core)
    for size = 1, 5000 do index:add(size, entry("files/" .. size, size + 10), size) end
    assert.is_true(count(index.sizes) < 600 and count(index.seen) < 600)
    assert.equal("files/5000", index:find(5000, "text/plain", "s", 5000)[1].name)
  end)

  it("takes files away that nobody has written to for a week", function()
    local directory = process.temporary_directory()
    local index = reuse.new(core, directory)
    local now = os.time()
    for size = 1, 2 do index:add(size, entry("files/" .. size, now + 1000), now) end
    os.execute(("touch -d '8 days ago' '%s/uploads-1.json'"):format(directory))
    reuse.new(core, directory)
    assert.same({ "uploads-2.json" }, core.file_names(directory))
    process.remove_directory(directory)
  end)
end)
