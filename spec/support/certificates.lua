--- Certificates for specs, and servers that show them: both are the openssl program's.
--
--     local authority = certificates.authority(directory, "ca")
--     local leaf = certificates.issue(directory, "server", { authority = authority, names = "IP:127.0.0.1" })
--     local server = certificates.serve(leaf, directory, { "-Verify", "1" })
--     ... server.url ...
--     server:stop()
local process = require "spec.support.process"

local certificates = {}
local methods = {}
local metatable = { __index = methods, __name = "spec.certificates.server" }

local function run(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = process.quote(word) end
  local pipe = assert(io.popen(table.concat(quoted, " ") .. " 2>&1; echo $?", "r"))
  local output = pipe:read("*a")
  pipe:close()
  assert(output:match("(%d+)\n$") == "0", output)
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- Writes a file made of texts and of files' contents.
---@param path string
---@param ... string paths of the files
---@return string path
function certificates.join(path, ...)
  local file = assert(io.open(path, "wb"))
  for _, from in ipairs { ... } do file:write(read_file(from)) end
  file:close()
  return path
end

local CURVE = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes" }

local function request(path, name, more)
  local words = { "openssl", "req" }
  for _, list in ipairs { CURVE, { "-keyout", path .. ".key", "-subj", "/CN=" .. name }, more } do
    for _, word in ipairs(list) do words[#words + 1] = word end
  end
  run(words)
end

--- A certificate that signs itself: an authority's.
---@param directory string
---@param name string
---@return table authority cert, key: paths of PEM files
function certificates.authority(directory, name)
  local path = directory .. "/" .. name
  request(path, name, { "-x509", "-out", path .. ".pem", "-days", "2" })
  return { cert = path .. ".pem", key = path .. ".key" }
end

--- A certificate from an authority, or, without one, self-signed.
---@param directory string
---@param name string
---@param options table authority; names (subjectAltName)
---@return table leaf cert, key: paths of PEM files
function certificates.issue(directory, name, options)
  local path = directory .. "/" .. name
  local leaf = { cert = path .. ".pem", key = path .. ".key" }
  local names = "subjectAltName=" .. options.names
  if not options.authority then
    request(path, name, { "-x509", "-out", leaf.cert, "-days", "2", "-addext", names })
    return leaf
  end
  local extensions = assert(io.open(path .. ".ext", "w"))
  extensions:write(names, "\n")
  extensions:close()
  request(path, name, { "-new", "-out", path .. ".csr" })
  run { "openssl", "x509", "-req", "-in", path .. ".csr", "-CA", options.authority.cert,
    "-CAkey", options.authority.key, "-CAcreateserial", "-extfile", path .. ".ext", "-days", "2", "-out", leaf.cert }
  return leaf
end

--- Makes the links by which a directory of certificates is searched.
---@param directory string
function certificates.rehash(directory)
  run { "openssl", "rehash", directory }
end

--- Starts `openssl s_server`, which answers a GET with a file below `root`, head and all; without a root with a page
--- that says how it came to the connection: "New, TLSv1.3, ..." or "Reused, ...".
---@param leaf table cert, key
---@param root string|nil
---@param arguments string[]|nil
---@return table|nil server with `url`, `port`; nil where this openssl does not know the arguments
function certificates.serve(leaf, root, arguments)
  local words = { "openssl", "s_server", "-accept", "127.0.0.1:0", root and "-HTTP" or "-www", "-cert", leaf.cert,
    "-key", leaf.key }
  for _, word in ipairs(arguments or {}) do words[#words + 1] = word end
  for i, word in ipairs(words) do words[i] = process.quote(word) end
  local directory = process.temporary_directory()
  local fifo = directory .. "/output"
  os.execute("mkfifo " .. process.quote(fifo))
  local self = setmetatable({}, metatable)
  -- The shell ends the server when its own input, a pipe from here, has ended.
  self.input = assert(io.popen(("exec 2>/dev/null; cd %s; %s </dev/null >%s & child=$!; cat >/dev/null; "
    .. "kill $child; wait $child"):format(process.quote(root or directory), table.concat(words, " "),
    process.quote(fifo)), "w"))
  self.output = assert(io.open(fifo, "r"))
  repeat
    local line = self.output:read("*l")
    self.port = line and line:match("^ACCEPT .*:(%d+)$")
  until self.port or not line
  process.remove_directory(directory)
  if not self.port then
    self:stop()
    return nil
  end
  self.url = "https://127.0.0.1:" .. self.port
  return self
end

--- Ends it and waits until it is gone. Stopping twice is fine.
function methods:stop()
  if not self.input then return end
  self.input:close()
  self.output:close()
  self.input, self.output = nil, nil
end

return certificates
