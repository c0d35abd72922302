--- Runs a Lua program in a process of its own, as a user would: `$LUA script arguments`, in the project's root and
-- with an environment that leads to one server and nowhere else.
local process = require "spec.support.process"

local program = {}
local methods = {}
local metatable = { __index = methods, __name = "spec.program" }

local LIMIT = 60 -- seconds after which a program that hangs is ended, if nothing else is said

-- What a tester may have set, and would lead a program elsewhere.
local UNSET = { "GOOGLE_API_KEY", "GEMINI_API_KEY", "GEMINI_MODEL", "GOOGLE_GEMINI_BASE_URL", "SSL_CERT_FILE",
  "SSL_CERT_DIR", "http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY" }

-- Absolute, since some hosts take what is relative out of these paths.
local function root()
  local pipe = assert(io.popen("pwd", "r"))
  local path = pipe:read "*l"
  pipe:close()
  return path
end

local function environment(given, lua)
  local words = { "env" }
  for _, name in ipairs(UNSET) do
    words[#words + 1] = "-u " .. name
  end
  local here = root()
  local set = {
    LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;"):format(here, here) .. (os.getenv "LUA_PATH" or ";"),
    LUA_CPATH = ("%s/%s/?.so;"):format(here, lua and "build/" .. lua or process.build())
      .. (os.getenv "LUA_CPATH" or ";"),
  }
  for name, value in pairs(given or {}) do
    set[name] = value
  end
  for name, value in pairs(set) do
    words[#words + 1] = name .. "=" .. process.quote(value)
  end
  return table.concat(words, " ")
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

--- Starts a program. Its output can be read while it runs; call `finish` in any case.
---@param script string path
---@param options? table arguments = string[], env = { NAME = value }, together = boolean (errors among the output),
--- host = string[] (the program that runs the script, with its flags; $LUA), lua = the Lua in it, such as "luajit",
--- limit = seconds after which it is ended
---@return table program
function program.start(script, options)
  options = options or {}
  local self = setmetatable({ directory = process.temporary_directory() }, metatable)
  local words = { environment(options.env, options.lua) }
  for _, list in ipairs { options.host or { os.getenv "LUA" or "lua5.4" }, { script }, options.arguments or {} } do
    for _, word in ipairs(list) do words[#words + 1] = process.quote(word) end
  end
  local errors, code = process.quote(self.directory .. "/errors"), process.quote(self.directory .. "/code")
  local limit = options.limit or LIMIT
  local command = ("limit=; command -v timeout >/dev/null && limit='timeout %d'; : >%s; $limit %s </dev/null 2>%s; "
    .. "echo $? >%s"):format(limit, errors, table.concat(words, " "), options.together and "&1" or errors, code)
  self.pipe = assert(io.popen(command, "r"))
  return self
end

--- Reads n bytes of its output as soon as they are there; less at its end.
---@param n integer
---@return string|nil
function methods:read(n)
  return self.pipe:read(n)
end

--- Reads on until the program has ended. Finishing twice is fine: the second time is for a test that failed.
---@return table|nil result out (what was not read yet), err, code (exit status)
function methods:finish()
  if not self.pipe then return nil end
  local result = { out = self.pipe:read("*a") }
  self.pipe:close() -- waits for the process
  self.pipe = nil
  result.err = read_file(self.directory .. "/errors")
  result.code = tonumber(read_file(self.directory .. "/code"))
  process.remove_directory(self.directory)
  return result
end

--- The next line of its output; nil at its end.
---@return string|nil
function methods:line()
  return self.pipe:read "*l"
end

--- Runs a program to its end.
---@param script string
---@param options? table as for `start`
---@return table result out, err, code
function program.run(script, options)
  return program.start(script, options):finish()
end

return program
