--- Starts the emulator for a spec, and talks to its admin.
--
--   local em = emulator.start{ tls = true, args = { "--processing", "0" } }
--   em.url, em.port, em.ca_file, em.pid
--   em:requests(n)   the record, once n requests are complete
--   em:fault{ path = ":generateContent", status = 503 }
--   em:stop()
--
-- The emulator reads from a pipe whose other end is held here and ends with it, so that none outlives the interpreter
-- that started it, however that one dies. Closing the pipe waits for the emulator: nothing is left to reap.
local cjson = require "cjson"
local process = require "spec.support.process"
local socket = require "cqueues.socket"

local emulator = {}
local methods = {}
local metatable = { __index = methods, __name = "spec.emulator" }

local root = debug.getinfo(1, "S").source:match("^@(.*)spec/support/emulator%.lua$")
if root == "" then root = "./" end

--- Starts one; returns when it listens.
---@param options? table tls = boolean, args = string[] (flags), state = directory, log = path for its standard error
---@return table emulator
function emulator.start(options)
  options = options or {}
  local words = { root .. "emulator/gemini-emulator", "--port", "0", "--until-eof", "--pause", "0" }
  if options.tls then words[#words + 1] = "--tls" end
  if options.state then
    words[#words + 1] = "--state"
    words[#words + 1] = options.state
  end
  for _, word in ipairs(options.args or {}) do words[#words + 1] = word end
  for i, word in ipairs(words) do words[i] = process.quote(word) end

  local directory = process.temporary_directory()
  local fifo = directory .. "/output"
  os.execute("mkfifo " .. process.quote(fifo))
  local self = setmetatable({}, metatable)
  local command = "exec " .. table.concat(words, " ") .. " >" .. process.quote(fifo)
  if options.log then command = command .. " 2>" .. process.quote(options.log) end
  self.input = assert(io.popen(command, "w"))
  local output = assert(io.open(fifo, "r")) -- opens when the shell has opened its end
  local line = output:read("*l")
  process.remove_directory(directory)
  if not line then
    output:close()
    self.input:close()
    error("the emulator did not start: " .. table.concat(words, " "), 2)
  end
  self.output = output
  self.url = assert(line:match("^listening on (http.*)$"), line)
  self.host, self.port = self.url:match("//(.*):(%d+)$")
  self.port = tonumber(self.port)
  self.tls = options.tls
  local health = self:admin("GET", "health")
  self.pid, self.ca_file, self.state = math.floor(health.pid), health.ca_file, health.state
  return self
end

local function connect(self)
  local connection = assert(socket.connect(self.host, self.port))
  connection:onerror(function(_, _, code) return code end)
  connection:setmode("b", "bn")
  connection:settimeout(30)
  assert(connection:connect())
  if self.tls then assert(connection:starttls()) end -- the emulator's own word: nothing to verify
  return connection
end

--- Calls an admin endpoint; raises its error.
---@param method string
---@param path string such as "faults"
---@param body? table
---@return table
function methods:admin(method, path, body)
  local text = body and cjson.encode(body) or ""
  local connection = connect(self)
  connection:write(("%s /emulator/%s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s")
    :format(method, path, self.host, self.port, #text, text))
  local answer = connection:read("*a")
  connection:close()
  local status, json = (answer or ""):match("^HTTP/1.1 (%d+).-\r\n\r\n(.*)$")
  if status ~= "200" then error(("emulator: %s %s: %s"):format(method, path, answer or "no answer"), 2) end
  return cjson.decode(json)
end

--- The record, in the order in which requests began.
---@param n? integer wait until so many are complete (at most ten seconds)
---@return table[]
function methods:requests(n)
  return self:admin("GET", n and "requests?wait=" .. n or "requests").requests
end

--- Those of the record whose path contains a text.
---@param text string such as ":generateContent"
---@return table[]
function methods:requests_to(text)
  local found = {}
  for _, entry in ipairs(self:requests()) do
    if entry.path:find(text, 1, true) then found[#found + 1] = entry end
  end
  return found
end

--- Scripts a fault.
---@param spec table as in emulator/README.md
---@return integer id
function methods:fault(spec)
  return self:admin("POST", "faults", spec).id
end

---@return table[] sessions
function methods:uploads()
  return self:admin("GET", "uploads").uploads
end

--- Sets settings.
---@param values table such as { processing = 0 }
function methods:set(values)
  self:admin("POST", "settings", values)
end

--- Moves the emulator's time.
---@param seconds number
function methods:advance(seconds)
  self:admin("POST", "clock", { advance = seconds })
end

--- Changes a file: { state = "ACTIVE" | "FAILED" | "PROCESSING", reason = text, expire = true }.
---@param name string with or without files/
---@param change table
function methods:file(name, change)
  return self:admin("POST", "files/" .. name:gsub("^files/", ""), change)
end

--- { hold = true }, { release = n } or { open = true }; nil asks.
---@param change? table
---@return table state held, released, waiting, passed
function methods:gate(change)
  return self:admin(change and "POST" or "GET", "gate", change)
end

--- Forgets record and faults and opens the gate, for the next spec.
function methods:clear()
  self:admin("DELETE", "requests")
  self:admin("DELETE", "faults")
  self:admin("POST", "gate", { open = true })
end

--- Ends it and waits until it is gone. Stopping twice is fine.
function methods:stop()
  if not self.input then return end
  self.output:close()
  self.input:close()
  self.input, self.output = nil, nil
end

return emulator
