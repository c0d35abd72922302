--- What the benchmark needs before it can begin, made once in build/bench: files to send, certificates, the server.

local prepare = {}

local DIR = "build/bench"
prepare.dir = DIR

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end
prepare.quote = quote

--- The output of a shell command; an error where it fails.
---@param command string
---@return string
function prepare.output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  local ok = pipe:close()
  if not ok then
    error("this failed: " .. command, 0)
  end
  return text
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

-- Bytes that no compression and no cache finds twice: blocks of noise, each with its number.
local function write_noise(path, size, head)
  local noise = assert(io.open("/dev/urandom", "rb"))
  local block = noise:read(1000000 - 16)
  noise:close()
  local file = assert(io.open(path .. ".part", "wb"))
  file:write(head)
  local written = #head
  while written < size do
    local piece = (("%016d"):format(written) .. block):sub(1, size - written)
    file:write(piece)
    written = written + #piece
  end
  file:close()
  os.rename(path .. ".part", path)
end

local HEADS = { image = "\137PNG\r\n\26\n", video = "\0\0\0\24ftypisom\0\0\0\0isomisom" }

--- A file of so many megabytes that looks like a PNG or an MP4.
---@param kind "image"|"video"
---@param megabytes integer
---@return string path
function prepare.file(kind, megabytes)
  local path = ("%s/%s-%d"):format(DIR, kind, megabytes)
  if not exists(path) then
    write_noise(path, megabytes * 1000000, HEADS[kind])
  end
  return path
end

-- An authority, a server's certificate from it, and a directory in which libcurl finds the authority.
local function certificates()
  local tls = DIR .. "/tls"
  if exists(tls .. "/roots/bench.pem") then
    return
  end
  prepare.output(([[mkdir -p D/roots && {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 3650 -subj /CN=bench \
      -keyout D/ca.key -out D/ca.pem &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 \
      -keyout D/server.key -out D/server.csr &&
    echo subjectAltName=IP:127.0.0.1 >D/server.ext &&
    openssl x509 -req -in D/server.csr -CA D/ca.pem -CAkey D/ca.key -CAcreateserial -days 3650 \
      -extfile D/server.ext -out D/server.pem &&
    cp D/ca.pem D/roots/bench.pem && openssl rehash D/roots; } 2>&1]]):gsub("D/", tls .. "/"))
end

--- Starts the server on a core of its own.
---@param core integer
---@param video string|nil  the file that will be uploaded, whose SHA-256 it says it has got
---@return table server  plain, tls: base URLs; roots: the directory that vouches for it; counters(), quit()
function prepare.server(core, video)
  certificates()
  local digest = video and prepare.output("openssl dgst -sha256 -binary " .. quote(video) .. " | base64"):gsub("%s", "")
  local form = ("exec taskset -c %d D/server --sha256 %s --cert D/tls/server.pem --key D/tls/server.key")
    :gsub("D/", DIR .. "/")
  local pipe = assert(io.popen(form:format(core, digest or "unknown"), "r"))
  local server = { roots = DIR .. "/tls/roots" }
  server.plain = "http://127.0.0.1:" .. assert(pipe:read "*l"):match "%d+$"
  server.tls = "https://127.0.0.1:" .. assert(pipe:read "*l"):match "%d+$"
  local http = require "socket.http"
  function server.get(path)
    return assert(http.request(server.plain .. path))
  end
  -- What has arrived since the last look, by the server's own count.
  function server.counters()
    local counters = {}
    for name, value in server.get("/counters"):gmatch "(%w+) (%d+)" do
      counters[name] = tonumber(value)
    end
    return counters
  end
  function server.quit()
    server.get "/quit"
    pipe:close()
  end
  return server
end

return prepare
