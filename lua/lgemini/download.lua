--- Downloads: bytes as they come, into memory or into a file that takes its name when it is whole.

local errors = require "lgemini.errors"
local http = require "lgemini.http"
local limits = require "lgemini.limits"

local download = {}

-- The request that a redirect leads to. The key does not go to another origin.
local function redirected(client, sent, location)
  local origin = sent.url:match "^%a+://[^/?#]+"
  local url = location:find "^/" and origin .. location or location
  if not url:find "^https?://" or url:find "[%c%s]" then
    return nil, errors.new { kind = "protocol", message = "the server redirected to no usable URL" }
  end
  local same = url:match "^%a+://[^/?#]+" == origin
  if not same and url:find "^http:" and not client:is_loopback(url) and not client.insecure then
    return nil, errors.new { kind = "protocol", message = "the server redirected from https to plain http" }
  end
  return { verb = "GET", url = url, raw = true, bulk = true, about = sent.about, foreign = sent.foreign or not same,
    secret = http.secret_of(url), attempts = sent.attempts - 1 }
end

-- Hands the bytes on as they come. write(bytes) -> true | nil, err
local function pump(call, sent, exchange, write)
  local tasks = call.client.tasks
  while true do
    local bytes = exchange:read()
    if bytes ~= "" then
      local ok, err = write(bytes)
      if not ok then
        http.close(call, sent, exchange, err)
        return nil, err
      end
    else
      local done, err = exchange:done()
      if done == nil and not tasks:wait(exchange) then
        done, err = false, http.cancelled()
      elseif err then
        err = http.failed(call, sent, err)
      end
      if done ~= nil then
        http.close(call, sent, exchange, err)
        return done or nil, err
      end
    end
  end
end

-- One try: true; nil, err, and the answer that was refused.
local function fetch_once(call, sent, write)
  local exchange, err = http.start(call, sent)
  if not exchange then
    return nil, err
  end
  local ok, refusal
  ok, err, refusal = http.open(call, sent, exchange)
  if not ok then
    return nil, err, refusal
  end
  return pump(call, sent, exchange, write)
end

-- reset() -> true | nil, err: forgets what was written.
local function fetch(call, sent, write, reset)
  local redirects = 0
  while true do
    local ok, err, refusal = fetch_once(call, sent, write)
    if ok then
      return true
    end
    local location = refusal and refusal.code >= 301 and refusal.code <= 308 and refusal.headers.location
    if location then
      redirects = redirects + 1
      if redirects > call.client.limits.max_redirects then
        return nil, limits.exceeded(("the server redirects more often than max_redirects (%d)")
          :format(call.client.limits.max_redirects))
      end
      sent, err = redirected(call.client, sent, location)
      if not sent then
        return nil, err
      end
    else
      ok, err = http.again(call, sent, err)
      if ok then
        ok, err = reset()
      end
      if not ok then
        return nil, err
      end
    end
  end
end

--- Fetches into memory.
---@param call lgemini.Call
---@param sent lgemini.Request
---@return string|nil bytes
---@return lgemini.Error|nil err
function download.to_memory(call, sent)
  local pieces, size, most = {}, 0, call.client.limits.max_answer
  local function write(bytes)
    pieces[#pieces + 1], size = bytes, size + #bytes
    if size > most then
      return nil, errors.new { kind = "limit", message = ("the file is larger than max_answer (%d bytes)"):format(most),
        hint = "let it be written to a file: to = path" }
    end
    return true
  end
  local function start_over()
    pieces, size = {}, 0
    return true
  end
  local ok, err = fetch(call, sent, write, start_over)
  if not ok then
    return nil, err
  end
  return table.concat(pieces)
end

-- A file beside `path` that takes its name in the end: what is there under the name is whole.
local function beside(path, chance)
  local partial = path .. (".%08x.part"):format(math.floor(chance * 2 ^ 32))
  local target, out = {}, nil
  local function checked(ok, why)
    if ok then
      return true
    end
    return nil, errors.new { kind = "io", message = ("cannot write %s: %s"):format(path, tostring(why)) }
  end
  function target.begin() -- anew, perhaps
    local why
    if out then
      out:close()
    end
    out, why = io.open(partial, "wb")
    return checked(out, why)
  end
  function target.write(bytes)
    return checked(out:write(bytes))
  end
  function target.finish(ok, err)
    if out then
      local closed, why = checked(out:close())
      ok, err = ok and closed, err or why
    end
    if ok then
      ok, err = checked(os.rename(partial, path))
    end
    if not ok then
      os.remove(partial)
    end
    return ok, err
  end
  return target
end

--- Fetches into a file.
---@param call lgemini.Call
---@param sent lgemini.Request
---@param path string
---@return string|nil path
---@return lgemini.Error|nil err
function download.to_file(call, sent, path)
  local target = beside(path, call.client.random())
  local ok, err = target.begin()
  if ok then
    ok, err = fetch(call, sent, target.write, target.begin)
  end
  ok, err = target.finish(ok, err)
  return ok and path or nil, err
end

--- Fetches into an open file, from where it stands. It stays open and stands behind the last byte.
---@param call lgemini.Call
---@param sent lgemini.Request
---@param file file*
---@return file*|nil file
---@return lgemini.Error|nil err
function download.to_handle(call, sent, file)
  local begin, unseekable = file:seek()
  local function checked(ok, why)
    if ok then
      return true
    end
    return nil, errors.new { kind = "io", message = "cannot write to the open file: " .. tostring(why) }
  end
  local function start_over() -- the same bytes come again
    return checked(begin and file:seek("set", begin), unseekable)
  end
  local ok, err = fetch(call, sent, function(bytes) return checked(file:write(bytes)) end, start_over)
  if ok then
    ok, err = checked(file:flush())
  end
  return ok and file or nil, err
end

return download
