-- One request with a body and its answer read, one as a stream of events, one that nobody answers, one that is
-- dropped before it begins, and a loop closed with an exchange in it.
local answer = require "lgemini.answer"
local core = require "lgemini.core"
local object, stream = assert(os.getenv "TEST_OBJECT_URL"), assert(os.getenv "TEST_STREAM_URL")

local function exchange(url, body)
  return assert(core.exchange.new {
    method = "POST", url = url, headers = { "Content-Type: application/json", "X-Test: 1" }, body = body,
    connect = 10, first_byte = 10, idle = 10,
  })
end

-- Steps until the exchange is done: whether it went well, else its error.
local function finish(loop, running)
  local deadline = core.now() + 20
  while core.now() < deadline do
    local ok, err = running:done()
    if ok ~= nil then return ok, err end
    assert(loop:step(nil, 1))
    while loop:next() do end
  end
  error "the exchange does not end"
end

return function()
  local loop = assert(core.loop.new())
  local body = core.body.new()
  assert(body:add '{"a":')
  assert(body:add_base64(("bytes "):rep(500)))
  assert(body:add "}")

  local first = exchange(object, body)
  loop:add(first, "bulk")
  local ok, err = finish(loop, first)
  if not ok then error(err.message) end
  assert(first:code() == 200 and first:headers()["content-type"] == "application/json")
  assert(#first:read() == tonumber(first:headers()["content-length"]))
  assert(first:facts().bytes_sent >= body:length())
  first:close()

  local second, decoder, events = exchange(stream, body), answer.decoder(nil, 10000, 100, true), 0
  decoder:attach(second)
  loop:add(second, "calls")
  ok, err = finish(loop, second)
  if not ok then error(err.message) end
  while true do
    local value, broken = decoder:next()
    if broken then error(broken.message) end
    if value == nil then break end
    events = events + 1
  end
  decoder:close()
  assert(events == 2)

  local third = exchange("http://127.0.0.1:1/", "a text")
  loop:add(third, "calls")
  ok, err = finish(loop, third)
  assert(not ok)
  if err.kind ~= "network" then error(err.message) end

  exchange(object, body)
  loop:add(exchange(object, body), "calls")
  local last = exchange(object, body)
  loop:add(last, "bulk")
  assert(loop:step(nil, 0))
  loop:close()
end
