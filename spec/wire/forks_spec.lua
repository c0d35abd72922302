-- A fork in the middle of a stream, over TLS: what the child may do with its parent's client, and what the parent
-- notices of it. The program runs in build/host, which can fork.
local program = require "spec.support.program"
local scripted = require "spec.support.scripted"

local EVENT = 'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"%s"}]}%s}]}\r\n\r\n'
local FOREIGN = "this client is of the process that made it: after a fork, make another one"

local function answer_of(text)
  return { status = 200, headers = { ["content-type"] = "application/json" }, body = { json = { candidates = {
    { content = { role = "model", parts = { { text = text } } }, finishReason = "STOP" } } } } }
end

describe("a fork in the middle of a stream", function()
  local server, forking, said

  setup(function()
    server = scripted.start { tls = true }
    server:script {
      { status = 200, headers = { ["content-type"] = "text/event-stream" }, body = { chunks = {
        EVENT:format("first", ""), { ["$gate"] = "rest" }, EVENT:format("second", ',"finishReason":"STOP"') } } },
      answer_of "to the child", answer_of "to the parent" }
    said = {}
    forking = program.start("spec/support/forking.lua", { host = { "build/host" }, together = true,
      arguments = { server.url, server.ca_file },
      env = { ASAN_OPTIONS = "detect_leaks=0" } }) -- what libcurl has of the parent's connections stays in the child
    for line in function() return forking:line() end do
      local what, text = line:match "^(%w+): (.*)"
      assert(what, line)
      said[what] = text
      if what == "ended" then server:release "rest" end
    end
  end)
  teardown(function()
    if forking then forking:finish() end
    server:stop()
  end)

  it("leaves the child a client that raises at all that would move something", function()
    assert.equal("first", said.parent)
    for _, what in ipairs { "call", "stream", "step", "run", "sleep" } do
      assert.is_truthy(said[what] and said[what]:find(FOREIGN, 1, true), what .. ": " .. tostring(said[what]))
    end
    assert.equal("false", said.moved)
  end)

  it("lets the child make a client of its own, with a connection of its own", function()
    assert.equal("to the child", said.child)
    assert.equal("0", said.ended)
    local _, connections = server:received()
    assert.equal(2, #connections)
    assert.equal(1, connections[2].requests)
  end)

  it("costs the parent nothing, though the child closed all that it had", function()
    assert.equal("second", said.rest)
    assert.equal("nil", said["end"])
    assert.equal("to the parent", said.again)
    local _, connections, problems = server:received()
    assert.equal(2, connections[1].requests)
    assert.same({}, problems)
  end)
end)
