--- Downloads: bytes as they come, into memory or into a file that takes its name when it is whole.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local http = require "lgemini.http"
local limits = require "lgemini.limits"
local options = require "lgemini.options"
local progress = require "lgemini.progress"

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

---@class lgemini.Download
---@field write fun(bytes: string): true|nil, lgemini.Error|nil  hands the bytes on
---@field reset fun(): true|nil, lgemini.Error|nil  forgets what was handed on
---@field report fun(done: integer, at_end: boolean|nil, total: integer|nil): true|nil, lgemini.Error|nil
---@field got integer         bytes that were handed on
---@field total integer|nil   bytes there are, where the server says it
---@field tag string|nil      what the server calls this content

local function start_over(into)
  into.got, into.total, into.tag = 0, nil, nil
  return into.reset()
end

-- Looks at the head of an answer: does it go on where the last one broke, or begin anew?
local function take_head(into, code, headers)
  if code ~= 206 then
    local ok, err = true, nil
    if into.got > 0 then
      ok, err = start_over(into)
    end
    into.total, into.tag = tonumber(headers["content-length"]), headers.etag
    return ok, err
  end
  local from, total = (headers["content-range"] or ""):match "^bytes (%d+)%-%d+/(%d+)$"
  if tonumber(from) ~= into.got or (into.total and tonumber(total) ~= into.total) then
    return nil, errors.new { kind = "protocol",
      message = ("the server was asked for the bytes from %d on, and sent others"):format(into.got) }
  end
  return true
end

local function take(into, bytes)
  local ok, err = into.write(bytes)
  if not ok then
    return nil, err
  end
  into.got = into.got + #bytes
  return into.report(into.got, false, into.total)
end

-- Hands the bytes on as they come.
local function pump(call, sent, exchange, into)
  local tasks = call.client.tasks
  while true do
    local bytes = exchange:read()
    if bytes ~= "" then
      local ok, err = take(into, bytes)
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
local function fetch_once(call, sent, into)
  local exchange, err = http.start(call, sent)
  if not exchange then
    return nil, err
  end
  local ok, refusal
  ok, err, refusal = http.open(call, sent, exchange)
  if not ok then
    return nil, err, refusal
  end
  ok, err = take_head(into, exchange:code(), exchange:headers())
  if not ok then
    http.close(call, sent, exchange, err)
    return nil, err
  end
  return pump(call, sent, exchange, into)
end

-- Headers that ask for what is missing. A server that has something else by now sends all of it.
local function headers_from(into, headers)
  local all = {}
  for name, value in pairs(headers or {}) do
    all[name] = value
  end
  if into.got > 0 then
    all.Range = ("bytes=%.0f-"):format(into.got)
    all["If-Range"] = into.tag and not into.tag:find "^W/" and into.tag or nil
  end
  return all
end

-- Where a refusal leads on without a wait: the request to send instead; nil, err where it does not.
local function led_on(call, sent, into, refusal, redirects)
  if refusal.code == 416 and into.got > 0 then
    local ok, err = start_over(into)
    return ok and sent, err
  elseif redirects > call.client.limits.max_redirects then
    return nil, limits.exceeded(("the server redirects more often than max_redirects (%d)")
      :format(call.client.limits.max_redirects))
  end
  return redirected(call.client, sent, refusal.headers.location)
end

local function is_redirect(refusal)
  return refusal and refusal.code >= 301 and refusal.code <= 308 and refusal.headers.location ~= nil
end

-- After a break it goes on where the bytes ended, if the server can. Tries are counted from the last byte that came.
local function fetch(call, sent, into)
  local redirects, headers = 0, sent.headers
  while true do
    local before = into.got
    sent.headers = headers_from(into, headers)
    local ok, err, refusal = fetch_once(call, sent, into)
    if ok then
      return into.report(into.got, true, into.total)
    end
    redirects = redirects + (is_redirect(refusal) and 1 or 0)
    if is_redirect(refusal) or (refusal and refusal.code == 416 and before > 0) then
      sent, err = led_on(call, sent, into, refusal, redirects)
      if not sent then
        return nil, err
      end
    else
      if into.got > before then
        sent.attempts = 1
      end
      ok, err = http.again(call, sent, err)
      if not ok then
        return nil, err
      end
    end
  end
end

local function into_of(call, on_progress, write, reset)
  return { got = 0, write = write, reset = reset, report = progress.reporter(call.client.tasks, on_progress) }
end

--- Fetches into memory.
---@param call lgemini.Call
---@param sent lgemini.Request
---@param on_progress function|nil  is told bytes that came, and how many there are
---@return string|nil bytes
---@return lgemini.Error|nil err
function download.to_memory(call, sent, on_progress)
  local pieces, size, most = {}, 0, call.client.limits.max_answer
  local function write(bytes)
    pieces[#pieces + 1], size = bytes, size + #bytes
    if size > most then
      return nil, errors.new { kind = "limit", message = ("the file is larger than max_answer (%d bytes)"):format(most),
        hint = "let it be written to a file: to = path" }
    end
    return true
  end
  local function reset()
    pieces, size = {}, 0
    return true
  end
  local ok, err = fetch(call, sent, into_of(call, on_progress, write, reset))
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
---@param on_progress function|nil  as to_memory's
---@return string|nil path
---@return lgemini.Error|nil err
function download.to_file(call, sent, path, on_progress)
  local ok, err = options.path(path, "to")
  if not ok then
    return nil, err
  end
  local target = beside(path, call.client.random())
  ok, err = target.begin()
  if ok then
    ok, err = fetch(call, sent, into_of(call, on_progress, target.write, target.begin))
  end
  ok, err = target.finish(ok, err)
  return ok and path or nil, err
end

--- Fetches into an open file, from where it stands. It stays open and stands behind the last byte.
---@param call lgemini.Call
---@param sent lgemini.Request
---@param file file*
---@param on_progress function|nil  as to_memory's
---@return file*|nil file
---@return lgemini.Error|nil err
function download.to_handle(call, sent, file, on_progress)
  local begin, unseekable = file:seek()
  local function checked(ok, why)
    if ok then
      return true
    end
    return nil, errors.new { kind = "io", message = "cannot write to the open file: " .. tostring(why) }
  end
  local function write(bytes)
    return checked(file:write(bytes))
  end
  local function reset() -- the same bytes come again
    return checked(begin and file:seek("set", begin), unseekable)
  end
  local ok, err = fetch(call, sent, into_of(call, on_progress, write, reset))
  if ok then
    ok, err = checked(file:flush())
  end
  return ok and file or nil, err
end

return download
