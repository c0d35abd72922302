-- Request bodies as Lua sees them. The C tests look at every window and every change of a file; here: what is anchored,
-- what is counted, what is refused.
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local bytes = require "spec.support.bytes"
local drive = require "spec.core.drive"

local function is_root()
  local pipe = io.popen "id -u"
  local id = pipe:read "*l"
  pipe:close()
  return id == "0"
end

describe("a body", function()
  local content = drive.bytes(150000)
  local path

  before_each(function() path = drive.file(content) end)
  after_each(function() os.remove(path) end)

  it("is empty at first", function()
    local body = core.body.new()
    assert.equal(0, body:length())
    assert.equal("", body:read(0, 10))
    assert.equal("", body:read(0, 0))
    body:close()
  end)

  it("may begin with bytes, and keeps them and what is added while it lives", function()
    local body = assert(core.body.of(("%d"):format(12345678901) .. ("x"):rep(50)))
    collect()
    assert(body:add(("%d"):format(23456789012) .. ("y"):rep(50)))
    collect()
    assert(body:add(("%d"):format(34567890123) .. ("z"):rep(50)))
    collect()
    assert.equal("12345678901" .. ("x"):rep(50) .. "23456789012" .. ("y"):rep(50) .. "34567890123" .. ("z"):rep(50),
      body:read(0, 1000))
    body:close()
    assert.equal(0, core.body.of(""):length())
    assert.has_error(function() core.body.of(5) end, "bad argument #1 to 'of' (string expected, got number)")
  end)

  it("says everything in the order in which it was added", function()
    local body = core.body.new()
    local handle = assert(io.open(path, "rb"))
    assert.is_true(body:add "{")
    assert.is_true(body:add "")
    assert.is_true(body:add_base64 "\0\255 bytes")
    assert.equal(#content, body:add_file(path))
    assert.equal(#content, body:add_base64_file(path))
    assert.equal(#content, body:add_handle(handle))
    assert.is_true(body:add "\0}")
    handle:close()
    local whole = "{" .. bytes.base64 "\0\255 bytes" .. content .. bytes.base64(content) .. content .. "\0}"
    assert.equal(#whole, body:length())
    assert.is_true(body:read(0, #whole) == whole)
    assert.is_true(body:read(0, 2 ^ 53) == whole)
    for _, size in ipairs { 1, 3, 65536, 99991 } do
      for offset = 0, #whole - 1, 49999 do
        assert.is_true(body:read(offset, size) == whole:sub(offset + 1, offset + size))
      end
    end
    assert.equal("}", body:read(#whole - 1, 5))
    assert.equal("", body:read(#whole, 5))
    body:close()
  end)

  it("gives lengths as whole numbers", function()
    local body = core.body.new()
    assert(body:add "12345")
    assert.equal("5", ("%d"):format(body:length()))
    assert.equal(tostring(#content), tostring(body:add_file(path)))
    assert(body:add_reader(2 ^ 53))
    assert.equal(("%d"):format(2 ^ 53 + 5 + #content - 5), ("%d"):format(body:length() - 5))
    body:close()
  end)

  it("keeps its strings", function()
    local body = core.body.new()
    local whole = {}
    for i = 1, 100 do
      assert(body:add(("%d "):format(i):rep(20)))
      whole[i] = ("%d "):format(i):rep(20)
    end
    collect()
    for i = 1, 100 do assert(body:add_base64(tostring(i))) end -- memory that was free is used again
    assert.equal(table.concat(whole), body:read(0, #table.concat(whole)))
    body:close()
  end)

  it("leaves an io handle as it is", function()
    local handle = assert(io.open(path, "rb"))
    assert.equal(content:sub(1, 10), handle:read(10))
    local body = core.body.new()
    assert.equal(#content, body:add_handle(handle))
    assert.is_true(body:read(0, #content) == content)
    assert.equal(content:sub(11, 20), handle:read(10))
    assert.equal(20, handle:seek())
    handle:close()
    assert.is_true(body:read(0, #content) == content)
    body:close()
  end)

  it("has of a handle what the program has written to it", function()
    local handle = assert(io.open(path, "w+b"))
    handle:write "not flushed"
    local body = core.body.new()
    assert.equal(11, body:add_handle(handle))
    assert.equal("not flushed", body:read(0, 100))
    handle:write "!"
    handle:close()
    local got, err = body:read(0, 100)
    assert.is_nil(got)
    assert.matches("changed while it was sent", err.message)
    body:close()
  end)

  it("reads a file only as it was added", function()
    local body = core.body.new()
    assert(body:add_file(path))
    local file = assert(io.open(path, "ab"))
    file:write "more"
    file:close()
    local got, err = body:read(0, 1)
    assert.is_nil(got)
    assert.same({ kind = "io", message = path .. " changed while it was sent" }, err)
    os.remove(path)
    got, err = body:read(0, 1)
    assert.is_nil(got)
    assert.equal("io", err.kind)
    body:close()
  end)

  it("cannot read what a reader is to bring", function()
    local body = core.body.new()
    assert(body:add "ab")
    assert.is_true(body:add_reader(3))
    assert(body:add "cd")
    assert.equal(7, body:length())
    assert.equal("ab", body:read(0, 7))
    assert.equal("cd", body:read(5, 7))
    local got, err = body:read(2, 1)
    assert.is_nil(got)
    assert.equal("invalid", err.kind)
    body:close()
  end)

  it("says what is wrong with a file, and stays as it was", function()
    local body = core.body.new()
    local fifo = os.tmpname()
    os.remove(fifo)
    assert(os.execute("mkfifo " .. fifo))
    local cases = {
      [path .. ".none"] = "No such file or directory", ["/"] = "Is a directory", [""] = "No such file or directory",
      [fifo] = "is not a regular file", ["/dev/null"] = "is not a regular file",
    }
    if not is_root() then
      os.execute("chmod 0 " .. path)
      cases[path] = "Permission denied"
    end
    for bad, why in pairs(cases) do
      for _, method in ipairs { "add_file", "add_base64_file" } do
        local size, err = body[method](body, bad)
        assert.is_nil(size)
        assert.equal("io", err.kind)
        assert.matches(why, err.message, 1, true)
        assert.is_true(err.message:find(bad, 1, true) ~= nil)
      end
    end
    os.remove(fifo)
    assert.equal(0, body:length())
    body:close()
  end)

  it("says what is wrong with a handle", function()
    local body = core.body.new()
    local written = assert(io.open(path, "wb"))
    local size, err = body:add_handle(written)
    assert.is_nil(size)
    assert.same({ kind = "io", message = "the file handle is not open for reading" }, err)
    written:close()
    assert.error_matches(function() body:add_handle(written) end, "bad argument #1 to 'add_handle' %(the file is clo")
    local pipe = io.popen "echo hi"
    size, err = body:add_handle(pipe)
    assert.is_nil(size)
    assert.same({ kind = "io", message = "the file handle is not a regular file" }, err)
    pipe:close()
    for _, bad in ipairs { "text", 1, {}, body } do
      assert.error_matches(function() body:add_handle(bad) end, "bad argument #1 to 'add_handle'")
    end
    body:close()
  end)

  it("leaves no descriptor open", function()
    local held = assert(io.open(path, "rb"))
    if not drive.descriptors(path) then return pending "this system does not show descriptors" end
    assert.equal(1, drive.descriptors(path))
    held:close()
    for _ = 1, 20 do
      local body = core.body.new()
      local handle = assert(io.open(path, "rb"))
      assert(body:add_file(path))
      assert(body:add_base64_file(path))
      assert(body:add_handle(handle))
      handle:close()
      assert(body:read(0, body:length()))
      body:close()
      body = core.body.new()
      assert(body:add_file(path))
      assert(body:read(5, 5))
    end
    collect()
    assert.equal(0, drive.descriptors(path))
  end)

  it("names the argument that is wrong", function()
    local body = core.body.new()
    for _, bad in ipairs { 5, {}, true } do -- a number would not stay the string that C points into
      assert.error_matches(function() body:add(bad) end, "bad argument #1 to 'add' %(string expected")
      assert.error_matches(function() body:add_base64(bad) end, "bad argument #1 to 'add_base64' %(string expected")
    end
    for _, bad in ipairs { {}, true } do
      assert.error_matches(function() body:add_file(bad) end, "bad argument #1 to 'add_file' %(string expected")
      assert.error_matches(function() body:add_base64_file(bad) end, "bad argument #1 to 'add_base64_file'")
    end
    local cut = "%(a text without NUL bytes expected%)"
    assert.error_matches(function() body:add_file(path .. "\0.txt") end, "bad argument #1 to 'add_file' " .. cut)
    assert.error_matches(function() body:add_base64_file "\0" end, "bad argument #1 to 'add_base64_file' " .. cut)
    for _, bad in ipairs { -1, 1.5, 0 / 0, 2 ^ 60, 2 ^ 53 + 2, -math.huge, math.huge, "x", {} } do
      assert.error_matches(function() body:add_reader(bad) end, "bad argument #1 to 'add_reader'")
      assert.error_matches(function() body:read(bad, 1) end, "bad argument #1 to 'read'")
      assert.error_matches(function() body:read(0, bad) end, "bad argument #2 to 'read'")
    end
    assert.error_matches(function() body:read(1, 1) end, "bad argument #1 to 'read' %(the offset is behind the end%)")
    assert.error_matches(function() body.add({}, "x") end, "lgemini.body expected")
    assert.equal(0, body:length())
    body:close()
  end)

  it("has an end to its length", function()
    local body = core.body.new()
    local added, err = true, nil
    for _ = 1, 513 do
      if added then added, err = body:add_reader(2 ^ 53) end
    end
    assert.is_nil(added)
    assert.equal("limit", err.kind)
    body:close()
  end)

  it("is closed once and for all", function()
    local body = core.body.new()
    assert(body:add_file(path))
    assert.equal(1, core.alive().body)
    body:close()
    body:close()
    assert.equal(0, core.alive().body)
    for _, name in ipairs { "add", "add_base64", "add_file", "add_base64_file", "add_handle", "add_reader", "length",
      "read" } do
      assert.has_error(function() body[name](body, path) end, "attempt to use a closed body")
    end
    assert.error_matches(function() body.close() end, "lgemini.body expected")
    assert.error_matches(function() body.close(io.stdout) end, "lgemini.body expected")
  end)
end)
