--- A helper process that is spoken to over its standard input and answers on a
-- named pipe: one line of JSON each way, at most one call at a time. Needs nothing
-- but plain Lua, `mkfifo` and `sh`, so that a client blocked in C can do no harm.
--
-- The process must end when its standard input ends; then it can outlive neither
-- `stop` nor the interpreter that started it, however that one dies.
local json = require "dkjson"

local process = {}
local methods = {}
local metatable = { __index = methods, __name = "spec.process" }

--- Quotes one word for `sh`.
---@param word string
---@return string
function process.quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- A new directory for temporary files; the caller removes it.
---@return string path
function process.temporary_directory()
  local pipe = assert(io.popen("mktemp -d", "r"))
  local path = pipe:read("*l")
  pipe:close()
  return assert(path, "mktemp -d failed")
end

---@param path string a directory made by temporary_directory
function process.remove_directory(path)
  os.execute("rm -rf " .. process.quote(path))
end

--- What a command of the shell prints.
---@param command string words already quoted
---@return string
function process.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

--- The interpreter that runs this file, for child processes that must be of the same Lua.
---@return string
function process.interpreter()
  local lowest = 0
  while arg and arg[lowest - 1] do lowest = lowest - 1 end
  local name = lowest < 0 and arg[lowest] or nil
  return name or "lua" .. _VERSION:match("%d%.%d")
end

--- Where `make` puts what it builds for the Lua that runs this file.
---@return string path
function process.build()
  return "build/" .. (rawget(_G, "jit") and "luajit" or "lua" .. _VERSION:match("%d%.%d"))
end

--- Starts a command of the shell. Its standard output belongs to the calls.
---@param command string words already quoted
---@return table process
function process.start(command)
  local directory = process.temporary_directory()
  local fifo = process.quote(directory .. "/answers")
  os.execute("mkfifo " .. fifo)
  local self = setmetatable({ command = command }, metatable)
  -- `cat` takes what is still written when the command has died: its end is an error here, not a SIGPIPE.
  self.input = assert(io.popen(command .. " >" .. fifo .. "; cat >/dev/null", "w"))
  self.output = assert(io.open(directory .. "/answers", "rb")) -- returns when the shell has opened its end
  process.remove_directory(directory)
  return self
end

--- Sends a request and waits for its answer. The process must bound that wait.
---@param request table
---@return table answer
---@return string payload the `payload` bytes that followed the answer's line
function methods:call(request)
  assert(self.input, "attempt to call a process that has been stopped")
  self.input:write(json.encode(request), "\n")
  self.input:flush()
  local line = self.output:read("*l")
  if not line then error("the process has died: " .. self.command, 2) end
  local answer = json.decode(line)
  if answer.error then error("the process refuses: " .. answer.error, 2) end
  local payload = ""
  if answer.payload and answer.payload > 0 then
    payload = self.output:read(answer.payload)
    assert(payload and #payload == answer.payload, "the process died while it answered")
  end
  return answer, payload
end

--- Ends the process and waits until it is gone. Stopping twice is fine.
function methods:stop()
  if not self.input then return end
  self.output:close()
  self.input:close() -- end of file for the process; closing a pipe of popen waits for the child
  self.input, self.output = nil, nil
end

return process
