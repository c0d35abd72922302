--- The head of an answer, from the wire through libcurl to the table of headers: it comes to an end, keeps its limits,
-- and of a well-formed answer gives exactly what the last head says.
--
-- Input: a letter for the limits, a character for the cuts, then what the server sends before it hangs up.

local core = require "lgemini.core"

local wire = ... -- attach(exchange), accept(), send(bytes), finish(), head(exchange)

local loop = assert(core.loop.new())

local LIMITS = {
  a = { head = 65536, answer = 65536, room = 65536 },
  b = { head = 65536, answer = 65536, room = 10, read = 3 }, -- the peer has to wait
  c = { head = 200, answer = 100, room = 100 },
  d = { head = 40, answer = 1, room = 1 },
}

local KINDS = { network = true, protocol = true, limit = true, incomplete = true }
local STEPS = 1000

local function start(limits)
  local exchange = assert(core.exchange.new {
    method = "GET", url = "http://127.0.0.1:9/", headers = {}, proxy = "", compressed = true,
    max_head = limits.head, max_answer = limits.answer, room = limits.room,
  })
  wire.attach(exchange)
  loop:add(exchange, "calls")
  return exchange
end

-- Some bytes of what is there; limits.answer is of what is held at once.
local function read(exchange, body, limits, most)
  local bytes = exchange:read(most)
  assert(#bytes <= limits.answer, "max_answer")
  body[#body + 1] = bytes
end

local function step(exchange, body, limits, wait)
  assert(loop:step(math.huge, wait))
  while loop:next() do end
  read(exchange, body, limits, limits.read)
end

-- What the server says in pieces of some bytes each; then it hangs up.
local function run(exchange, text, cut, limits)
  local body, at, steps = {}, 1, 0
  while not wire.accept() do
    steps = steps + 1
    assert(steps < STEPS, "it does not connect")
    step(exchange, body, limits, 0)
  end
  while at <= #text and exchange:done() == nil do
    wire.send(text:sub(at, at + cut - 1))
    at = at + cut
    step(exchange, body, limits, 0)
  end
  wire.finish()
  steps = 0
  while exchange:done() == nil do
    steps = steps + 1
    assert(steps < STEPS + #text, "it does not end")
    step(exchange, body, limits, body[#body] == "" and 0.01 or 0)
  end
  read(exchange, body, limits)
  return table.concat(body)
end

-- The table by another way than the binding's.
local function parse(head)
  local headers = {}
  for line in head:gmatch "([^\n]*)\n" do
    local name, value = line:match "^([^:]*):[ \t]*(.*)$"
    if name then
      name, value = name:lower(), value:gsub("[ \t]+$", "")
      headers[name] = headers[name] and headers[name] .. ", " .. value or value
    end
  end
  return headers
end

local function must_equal(got, wanted)
  for name, value in pairs(wanted) do
    assert(got[name] == value, ("%s: %q, %q"):format(name, tostring(got[name]), value))
  end
  for name in pairs(got) do assert(wanted[name], name .. " was not sent") end
end

-- The final head of a well-formed answer, and what follows it; nil where it is none.
local function final_head(text)
  while true do
    local code, lines, rest = text:match "^HTTP/1%.1 (%d%d%d) %a+\r\n(.-)\r\n(.*)$"
    if lines == "" then
      lines, rest = "\r\n", rest
    elseif lines then
      lines, rest = text:match "^[^\n]*\n(.-\r\n)\r\n(.*)$"
    end
    if not lines or tonumber(code) < 100 or code == "101" then return nil end
    for line in lines:gmatch "(.-)\r\n" do
      if line ~= "" and not line:find "^[%w-]+:[ \t]*[ -~]*$" then return nil end
    end
    if not code:find "^1" then return tonumber(code), (lines:gsub("\r\n", "\n")), rest end
    text = rest
  end
end

-- Whether the body is what follows the head, and libcurl has nothing against the head.
local function is_plain(headers)
  local length = headers["content-length"]
  return not (headers["transfer-encoding"] or headers["content-encoding"] or headers["location"]
    or headers["connection"]) and (not length or length:find "^%d%d?%d?%d?$")
end

local function check_well_formed(exchange, text, body, limits)
  local code, head, rest = final_head(text)
  if not head or #text > limits.head then return end
  local headers = parse(head)
  local plain = is_plain(headers)
  if not plain and not exchange:code() then return end
  local done, err = exchange:done()
  assert(exchange:code() == code, err and err.message)
  must_equal(exchange:headers(), headers)
  if not plain or code == 204 or code == 304 then return end
  local length = headers["content-length"]
  local whole = length and rest:sub(1, tonumber(length)) or rest
  if #whole > limits.answer then return end
  assert(body == whole, "another body")
  local complete = length == nil or tonumber(length) <= #rest
  assert(done == (complete or code >= 400), "another end") -- what a refusal says counts, even cut
  assert(done or err.kind == "incomplete", err and err.kind)
end

return function(input)
  local limits = LIMITS[input:sub(1, 1)] or LIMITS.a
  local cut = (input:byte(2) or 0) % 64
  local text = input:sub(3)
  local exchange = start(limits)
  local body = run(exchange, text, cut == 0 and #text or cut, limits)
  local done, err = exchange:done()
  assert(done or KINDS[err.kind], err and err.kind)
  assert(done or err.kind ~= "limit" or err.message:find "max_", "the limit is not named")
  local code = exchange:code()
  assert(code == nil or code >= 200, "an interim answer") -- libcurl takes numbers of more than three digits
  assert(done == false or code, "no answer is no success")
  local head, all = wire.head(exchange)
  assert(#head <= limits.head and (not done or all <= limits.head), "max_head")
  must_equal(exchange:headers(), code and parse(head) or {})
  check_well_formed(exchange, text, body, limits)
  exchange:close()
end
