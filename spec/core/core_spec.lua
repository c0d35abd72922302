-- The module itself: what it has, what it counts, what it says of files.
local answer = require "lgemini.answer"
local collect = require "spec.support.collect"
local core = require "lgemini.core"
local drive = require "spec.core.drive"

describe("lgemini.core", function()
  it("has a version and its parts", function()
    assert.matches("^%d+%.%d+%.%d+$", core._VERSION)
    for _, name in ipairs { "base64", "body", "exchange", "loop", "upload" } do assert.is_table(core[name]) end
  end)

  it("knows a time that does not run backwards", function()
    local last = core.now()
    for _ = 1, 1000 do
      local now = core.now()
      assert.is_true(now >= last)
      last = now
    end
  end)

  it("counts what is open, down to zero", function()
    local before = core.alive()
    local objects = {
      body = core.body.new(), answer = answer.decoder(nil, 10, 10), loop = core.loop.new(),
      exchange = drive.exchange("GET", "http://127.0.0.1:1/"),
    }
    for name, object in pairs(objects) do
      assert.equal(before[name] + 1, core.alive()[name])
      assert.matches("^lgemini%." .. name .. ": ", tostring(object):gsub("^userdata", "lgemini." .. name))
      object:close()
      assert.equal(before[name], core.alive()[name])
      object:close()
      assert.equal(before[name], core.alive()[name])
    end
    core.body.new():add "x"
    core.loop.new():step()
    drive.exchange("GET", "http://127.0.0.1:1/"):phase()
    collect()
    assert.same(before, core.alive())
  end)

  it("counts nothing that was refused", function()
    local before = core.alive()
    pcall(core.body.new().add_file, nil)
    pcall(core.exchange.new, {})
    pcall(core.exchange.new, { method = "GET", url = "http://a/", headers = { 5 } })
    collect()
    assert.same(before, core.alive())
  end)

  it("may be loaded twice: old and new objects work together and are counted together", function()
    local loaded = package.loaded["lgemini.core"]
    local body = core.body.new()
    package.loaded["lgemini.core"] = nil
    local again = require "lgemini.core"
    package.loaded["lgemini.core"] = loaded
    assert.not_equal(core, again)
    assert.equal(1, again.alive().body)
    assert(body:add "x")
    local x = assert(again.exchange.new(drive.request("POST", "http://127.0.0.1:1/", { body = body })))
    local loop = assert(core.loop.new())
    loop:add(x, "calls")
    assert.is_false((drive.finish(loop, x)))
    x:close()
    loop:close()
    body:close()
    assert.equal(0, core.alive().body)
  end)

  it("says where certificates are", function()
    local path, file = core.trust()
    assert.is_true(path == nil or file == nil)
    local found = path or file
    assert.is_true(found == nil or type(found) == "string")
  end)

  describe("file_info", function()
    it("identifies a file", function()
      local path = drive.file "12345"
      local info = assert(core.file_info(path))
      assert.equal(5, info.size)
      assert.is_true(info.mtime > 1e9 and info.inode > 0 and info.device >= 0)
      assert.same(info, core.file_info(path))
      local file = assert(io.open(path, "ab"))
      file:write "6"
      file:close()
      assert.equal(6, core.file_info(path).size)
      assert.equal(info.inode, core.file_info(path).inode)
      os.remove(path)
    end)

    it("says what is wrong with it", function()
      for path, why in pairs { ["/nonexistent/x"] = "No such file or directory", ["/"] = "Is a directory",
        ["/dev/null"] = "is not a regular file" } do
        local info, err = core.file_info(path)
        assert.is_nil(info)
        assert.equal("io", err.kind)
        assert.matches(why, err.message, 1, true)
      end
      assert.error_matches(function() core.file_info() end, "bad argument #1 to 'file_info'")
      assert.error_matches(function() core.file_info {} end, "bad argument #1 to 'file_info'")
      assert.error_matches(function() core.file_info "/tmp\0/x" end, "bad argument #1 to 'file_info'")
    end)
  end)

  it("yields in the coroutine that runs, and in no other", function()
    local other, thread = coroutine.create(function() end), nil
    thread = coroutine.create(function()
      local none = core.yield(other, "no")
      local inner = coroutine.wrap(function() return core.yield(thread, "no") end)()
      return none, inner, select("#", core.yield(thread, "yes"))
    end)
    assert.same({ true, "yes" }, { coroutine.resume(thread) })
    assert.same({ true, false, false, 0 }, { coroutine.resume(thread) })
    assert.is_false(core.yield(other, "no"))
    assert.is_false(core.yield(nil, "no"))
  end)

  it("refuses objects of another type, whoever calls", function()
    local loop, body = assert(core.loop.new()), core.body.new()
    local x = drive.exchange("GET", "http://127.0.0.1:1/")
    for _, wrong in ipairs { body, io.stdout, {}, 1, "x" } do
      for _, method in ipairs { "step", "next", "timeout", "fd", "add", "close" } do
        assert.error_matches(function() loop[method](wrong) end, "lgemini.loop expected")
      end
      for _, method in ipairs { "phase", "done", "code", "headers", "read", "sent", "wants", "supply", "facts", "id",
        "close" } do
        assert.error_matches(function() x[method](wrong) end, "lgemini.exchange expected")
      end
    end
    x:close()
    for _, method in ipairs { "done", "code", "headers", "read", "sent", "wants", "supply", "id" } do
      assert.has_error(function() x[method](x) end, "attempt to use a closed exchange")
    end
    assert.equal("closed", x:phase())
    assert.error_matches(function() x.phase(body) end, "lgemini.exchange expected")
    loop:close()
    body:close()
  end)

  it("does not go on with a hash that has a gap", function()
    local hash, body = core.sha256.new(), core.body.new()
    assert(body:add "0123456789")
    assert.equal(4, hash:read(body, 4))
    hash:feed(6, "6")
    for _, position in ipairs { { hash:read(body, 4) }, { hash:hex() } } do
      assert.is_nil(position[1])
      assert.equal("integrity", position[2].kind)
    end
    assert.equal(4, hash:position())
  end)

  it("removes old files of a folder, those that begin so", function()
    local pipe = assert(io.popen "mktemp -d")
    local directory = pipe:read "*l"
    pipe:close()
    os.execute(("cd %s && touch new-a new-b && mkdir old-d && touch -d '3 hours ago' old-a new-a old-d && "
      .. "ln -s new-b old-l && touch -h -d '3 hours ago' old-l && touch old-b"):format(directory))
    core.remove_old(directory, "old-", 7200)
    core.remove_old(directory .. "/nowhere", "old-", 7200)
    pipe = assert(io.popen("ls " .. directory))
    assert.equal("new-a\nnew-b\nold-b\nold-d\nold-l\n", pipe:read "*a")
    pipe:close()
    os.execute("rm -r " .. directory)
  end)

  it("makes a folder, and names what is in one", function()
    local pipe = assert(io.popen "mktemp -d")
    local directory = pipe:read "*l"
    pipe:close()
    local made = directory .. "/made"
    assert.is_true(core.make_directory(made))
    assert.is_true(core.make_directory(made)) -- it is there
    assert.same({}, core.file_names(made))
    local wanted = {}
    for i = 1, 300 do
      wanted[i] = ("name-%03d"):format(i)
      assert(io.open(made .. "/" .. wanted[i], "w")):close()
    end
    assert(io.open(made .. "/.hidden", "w")):close()
    local names = core.file_names(made)
    table.sort(names)
    assert.same(wanted, names)
    for _, result in ipairs { { core.file_names(directory .. "/nowhere") }, { core.file_names(made .. "/name-001") },
      { core.make_directory(made .. "/name-001") }, { core.make_directory(directory .. "/no/where") } } do
      assert.is_nil(result[1])
      assert.equal("io", result[2].kind)
      assert.truthy(result[2].message:find(directory, 1, true))
    end
    os.execute("rm -r " .. directory)
  end)
end)
