--- Recordings of exchanges: one file of JSON for each, made to be kept beside a program's tests and read in a diff.
--
-- A request is known by what it is: method, path, where it stands in an upload, and body. The files are named after
-- that, and equal requests are numbered as they began, so that a recording made anew has the same names, whatever else
-- ran at the same time. No file holds a key, a token, or a URL that gives rights: such URLs get a path of the
-- recording's own.

require("lgemini.compat").goes_over_tables()

local errors = require "lgemini.errors"
local json = require "lgemini.json"

local tape = {}

local VERSION = "lgemini recording 1"

-- Bytes of a body up to which it is kept as JSON; of a larger one, and of one that is none, its digest.
local MAX_BODY = 1024 * 1024
-- Bytes of a text without a blank, media as a rule, from which on a digest stands for it.
local LONG_TEXT = 1024
-- Bytes that are hashed at a time.
local SLICE = 1024 * 1024
-- Bytes of a file's name that tell of the path.
local MAX_SLUG = 64
-- Bytes of a recording that are read.
local MAX_FILE = 512 * 1024 * 1024

--- Levels of JSON in a recording.
tape.MAX_DEPTH = 1000

-- JSON ------------------------------------------------------------------------------------------

local SLASH = { ["/"] = "/" } -- what lua-cjson writes as "\\/"

local function quote(text)
  return ((json.quote(text) or '"?"'):gsub("\\(.)", SLASH)) -- what was decoded is UTF-8
end

local write

local function write_list(out, open, close, count, indent, item)
  local inner = indent and indent .. "  "
  out[#out + 1] = open
  for i = 1, count do
    out[#out + 1] = (i > 1 and "," or "") .. (inner and "\n" .. inner or "")
    item(i, inner)
  end
  out[#out + 1] = (count > 0 and indent and "\n" .. indent or "") .. close
end

-- A value as json.decode gives it; an array without the mark is one where it is not empty.
function write(out, value, indent)
  if value == json.null then
    out[#out + 1] = "null"
  elseif type(value) == "string" then
    out[#out + 1] = quote(value)
  elseif type(value) == "number" then
    out[#out + 1] = json.number(value)
  elseif type(value) ~= "table" then
    out[#out + 1] = tostring(value)
  elseif json.is_array(value) or value[1] ~= nil then
    write_list(out, "[", "]", #value, indent, function(i, inner) write(out, value[i], inner) end)
  else
    local names = {}
    for name in pairs(value) do
      names[#names + 1] = name
    end
    table.sort(names)
    write_list(out, "{", "}", #names, indent, function(i, inner)
      out[#out + 1] = quote(names[i]) .. (inner and ": " or ":")
      write(out, value[names[i]], inner)
    end)
  end
end

--- A decoded value as JSON, names sorted.
---@param value any
---@param indent string|nil  spaces to begin lines with; nil: all on one line
---@return string
function tape.encode(value, indent)
  local out = {}
  write(out, value, indent)
  return table.concat(out)
end

-- Requests --------------------------------------------------------------------------------------

---@class lgemini.tape.Request  what a request is known by
---@field method string
---@field path string             with the query; of the recording's own where it is a secret
---@field command string|nil      of an upload
---@field offset string|nil
---@field range string|nil        of a download that goes on where it broke
---@field body any|nil            decoded
---@field body_bytes integer|nil  of another body
---@field body_sha256 string|nil  nil where a function of the program brings it: only its size counts

-- Texts that are media give way to their digests.
local function shorten(core, value)
  if type(value) == "string" and #value >= LONG_TEXT and not value:find "%s" then
    return { ["$bytes"] = #value, ["$sha256"] = core.sha256.of(value) }
  elseif type(value) == "table" and value ~= json.null then
    for name, item in pairs(value) do
      value[name] = shorten(core, item)
    end
  end
  return value
end

local function digest(core, body, offset, length)
  local hash, at = core.sha256.new(), 0
  while at < length do
    local bytes, err = body:read(offset + at, math.min(SLICE, length - at))
    if not bytes then
      return nil, err
    end
    hash:feed(at, bytes)
    at = at + #bytes
  end
  local hex = hash:hex()
  hash:close()
  return hex
end

local function stars(found)
  return ("*"):rep(#found)
end

-- A secret as it is, and as a server may write it in JSON.
local function forms_of(secret)
  local slashed = secret:gsub("/", "\\/")
  local function numbered(text)
    return (text:gsub("[=<>&'+]", function(sign) return ("\\u%04x"):format(sign:byte()) end))
  end
  return { secret, slashed, numbered(secret), numbered(slashed) }
end

--- Takes secrets out of a text, which may be JSON, with as many bytes in their place.
---@param text string
---@param secrets table<any, string>
---@return string
function tape.hide(text, secrets)
  for _, secret in pairs(secrets) do
    for _, form in ipairs(#secret > 3 and forms_of(secret) or {}) do
      text = text:gsub(form:gsub("%p", "%%%0"), stars)
    end
  end
  text = text:gsub("AIza[%w_%-]+", stars)
  return (text:gsub("(auth_tokens\\?/)([%w_%-]+)", function(name, token) return name .. stars(token) end))
end

--- The same for all texts in a decoded value and the names of its members, in place: however they were escaped.
---@param value any
---@param secrets table<any, string>
---@return any
function tape.hide_all(value, secrets)
  if type(value) == "string" then
    return tape.hide(value, secrets)
  elseif type(value) == "table" and value ~= json.null then
    local renamed = {}
    for name, item in pairs(value) do
      value[name] = tape.hide_all(item, secrets)
      local shown = type(name) == "string" and tape.hide(name, secrets) or name
      if shown ~= name then
        renamed[name] = shown
      end
    end
    for name, shown in pairs(renamed) do
      value[shown], value[name] = value[name], nil
    end
  end
  return value
end

-- The body into the description; nil, err where it cannot be read.
local function describe_body(core, described, body, offset, length, is_json, secrets)
  if length == 0 then
    return described
  end
  described.body_bytes = length
  local _, err = body:read(offset, 1)
  if err and err.kind == "invalid" then -- a reader's: it comes while it is sent
    return described
  elseif err then
    return nil, err
  end
  local text
  if is_json and length <= MAX_BODY then
    text = body:read(offset, length)
    local decoded = text and json.decode(text, tape.MAX_DEPTH)
    if decoded ~= nil then
      described.body, described.body_bytes = shorten(core, tape.hide_all(decoded, secrets)), nil
      return described
    end
  end
  described.body_sha256, err = digest(core, body, offset, length)
  return described.body_sha256 and described, err
end

--- What a request is known by.
---@param core table
---@param fields lgemini.core.Request  as the core gets it
---@param path string
---@param secrets table<any, string>
---@return lgemini.tape.Request|nil
---@return lgemini.Error|nil err  kind "io": a file that cannot be read
function tape.describe(core, fields, path, secrets)
  local described, is_json = { method = fields.method, path = tape.hide(path, secrets) }, false
  for _, line in ipairs(fields.headers) do
    local name, value = line:match "^([^:]+): (.*)$"
    name = name and name:lower()
    if name == "x-goog-upload-command" then
      described.command = value
    elseif name == "x-goog-upload-offset" then
      described.offset = value
    elseif name == "range" then
      described.range = value
    elseif name == "content-type" then
      is_json = value:find("^application/json") ~= nil
    end
  end
  if not fields.body then
    return described
  end
  local offset = fields.offset or 0
  local found, err = describe_body(core, described, fields.body, offset, fields.length or fields.body:length() - offset,
    is_json, secrets)
  return found, err and errors.new(err)
end

--- The same text for equal requests.
---@param described lgemini.tape.Request
---@return string
function tape.key(described)
  return tape.encode(described)
end

--- What a file with that request is named after, the number left out.
---@param core table
---@param described lgemini.tape.Request
---@return string
function tape.name(core, described)
  local words = described.path:gsub("%?.*$", ""):gsub("/v%d+%w*/", "/", 1):gsub("[^%w%.%-_]+", "-"):gsub("^%-", "")
  return ("%s-%s"):format(words:sub(-MAX_SLUG), core.sha256.of(tape.key(described)):sub(1, 10))
end

-- Files ----------------------------------------------------------------------------------------

---@class lgemini.tape.Answer
---@field status integer|nil       of HTTP; nil where none came
---@field headers table<string, string>
---@field json any|nil             the whole body, where it is JSON
---@field pieces string[]|nil      else: of a stream its events
---@field file string|nil          else: the name of a file beside the recording that holds it
---@field error table|nil          kind, message, clock: why it did not come to its end
---@field left boolean|nil         the program let go of it before its end
---@field sent integer|nil         bytes of the body that were sent, where not all were
---@field time integer             seconds since 1970

---@class lgemini.tape.Recording
---@field request lgemini.tape.Request
---@field answer lgemini.tape.Answer

-- A piece as JSON has it: one that is not UTF-8 is base64.
local function piece_out(core, piece)
  return json.quote(piece) and piece or { base64 = core.base64.encode(piece) }
end

local function piece_in(core, piece)
  if type(piece) == "table" and type(piece.base64) == "string" then
    return core.base64.decode(piece.base64)
  end
  return type(piece) == "string" and piece or nil
end

-- In place of an older one, or not at all.
local function write_file(path, text)
  local aside = path .. ".part"
  local file, why = io.open(aside, "wb")
  local ok = file
  if file then
    ok, why = file:write(text)
    local closed, problem = file:close()
    ok, why = ok and closed, why or problem
  end
  if ok then
    ok, why = os.rename(aside, path)
  end
  if ok then
    return true
  end
  os.remove(aside)
  return nil, errors.new { kind = "io", message = ("cannot write the recording %s: %s"):format(path, tostring(why)) }
end

--- Writes a recording.
---@param core table
---@param path string
---@param recording lgemini.tape.Recording
---@return true|nil
---@return lgemini.Error|nil err  kind "io"
function tape.write(core, path, recording)
  local answer = {}
  for name, value in pairs(recording.answer) do
    answer[name] = value
  end
  if answer.pieces then
    answer.pieces = json.array()
    for i, piece in ipairs(recording.answer.pieces) do
      answer.pieces[i] = piece_out(core, piece)
    end
  end
  return write_file(path, ('{\n  "version": %s,\n  "request": %s,\n  "answer": %s\n}\n'):format(
    json.quote(VERSION), tape.encode(recording.request, "  "), tape.encode(answer, "  ")))
end

local function unreadable(path, why)
  return nil, errors.new { kind = "integrity", message = ("%s is no recording: %s"):format(path, why),
    hint = "record it anew, or take the file away" }
end

local function check_answer(core, path, answer)
  if answer.status ~= nil and type(answer.status) ~= "number" then
    return unreadable(path, "answer.status is no number")
  elseif answer.headers ~= nil and type(answer.headers) ~= "table" then
    return unreadable(path, "answer.headers is no object")
  elseif answer.pieces ~= nil and type(answer.pieces) ~= "table" then
    return unreadable(path, "answer.pieces is no list")
  elseif answer.error ~= nil and not (type(answer.error) == "table" and type(answer.error.kind) == "string"
    and type(answer.error.message) == "string") then
    return unreadable(path, "answer.error has no kind and message")
  elseif answer.file ~= nil and not (type(answer.file) == "string" and not answer.file:find "[/%z]") then
    return unreadable(path, "answer.file is no name of a file beside it")
  elseif answer.status == nil and answer.error == nil and not answer.left then
    return unreadable(path, "answer has neither a status nor an error")
  end
  answer.headers = answer.headers or {}
  for i, piece in ipairs(answer.pieces or {}) do
    answer.pieces[i] = piece_in(core, piece)
    if not answer.pieces[i] then
      return unreadable(path, ("answer.pieces[%d] is neither text nor { base64 }"):format(i))
    end
  end
  return answer
end

--- Reads a recording.
---@param core table
---@param path string
---@return lgemini.tape.Recording|nil
---@return lgemini.Error|nil err  kind "io", or "integrity" where it is none
function tape.read(core, path)
  local file, why = io.open(path, "rb")
  local size = file and file:seek "end"
  if size and size > MAX_FILE then
    why = "it is too large"
  elseif size then
    file:seek "set"
  end
  local text = size and size <= MAX_FILE and file:read(size) -- Lua takes memory for as much as is asked for
  if file then
    file:close()
  end
  if not text then
    return nil, errors.new { kind = "io", message = ("cannot read the recording %s: %s"):format(path,
      tostring(why or "it is empty")) }
  end
  local decoded, problem = json.decode(text, tape.MAX_DEPTH)
  if type(decoded) ~= "table" then
    return unreadable(path, problem or "not an object")
  elseif decoded.version ~= VERSION then
    return unreadable(path, "of another kind or version")
  end
  local request, answer = decoded.request, decoded.answer
  if type(request) ~= "table" or type(request.method) ~= "string" or type(request.path) ~= "string" then
    return unreadable(path, "request has no method and path")
  elseif type(answer) ~= "table" then
    return unreadable(path, "there is no answer")
  end
  local err
  answer, err = check_answer(core, path, answer)
  return answer and { request = request, answer = answer }, err
end

return tape
