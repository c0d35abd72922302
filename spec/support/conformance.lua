--- Runs the recorded scenarios of spec/fixtures/conformance: makes the call of a case
-- against the scripted server and compares what went over the wire, and what the caller
-- got, with what was recorded. The rules of comparison are those that came with the cases;
-- each `compare_` function returns a list of differences in words, empty when there is none.
--
-- A case with environment variables runs in a child process: this file is its script too.
local json = require "dkjson"
local bytes = require "spec.support.bytes"
local process = require "spec.support.process"

local conformance = {}

local DIRECTORY = "spec/fixtures/conformance/"
local KEY = "golden-api-key"
local CHUNK_UNIT = 262144 -- chunks of a large upload are multiples of this
conformance.KEEP = 16777216 -- bytes of a body that the server must keep for the comparison

-- Values ---------------------------------------------------------------------

local function kind(value)
  if value == nil or value == json.null or type(value) == "userdata" then return "null" end
  if type(value) ~= "table" then return type(value) end
  local mark = (getmetatable(value) or {}).__jsontype
  if mark then return mark end
  return #value > 0 and "array" or "object"
end

local function is_empty(value)
  return kind(value) == "null" or type(value) == "table" and next(value) == nil
end

local function snake(name)
  return (name:gsub("%u", function(letter) return "_" .. letter:lower() end))
end

local function camel(name)
  return (name:gsub("_(%l)", string.upper))
end

local function show(value)
  local text = type(value) == "table" and json.encode(value, { exception = function() return "null" end })
    or ("%q"):format(tostring(value))
  return #text > 200 and text:sub(1, 200) .. "..." or text
end

local function copy(value)
  local out = {}
  for key, item in pairs(value) do out[key] = item end
  return setmetatable(out, getmetatable(value))
end

-- Members that carry bytes, by the member that holds them ("" is any).
local BYTE_MEMBERS = {
  data = { inlineData = true, inline_data = true },
  thoughtSignature = { [""] = true }, bytesBase64Encoded = { [""] = true }, encodedVideo = { [""] = true },
  image_bytes = { [""] = true }, video_bytes = { [""] = true },
}

local function carries_bytes(holder, name)
  local holders = BYTE_MEMBERS[name]
  return holders ~= nil and (holders[""] or holders[holder]) or false
end

local function canonical_base64(text)
  return (text:gsub("=+$", ""):gsub("-", "+"):gsub("_", "/"))
end

-- Requests -------------------------------------------------------------------

local function percent_decode(text)
  return (text:gsub("%%(%x%x)", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function parse_query(text)
  local list = {}
  for pair in (text or ""):gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    list[#list + 1] = percent_decode(name) .. "=" .. percent_decode((value:gsub("%+", " ")))
  end
  table.sort(list)
  return table.concat(list, "&")
end

local function write_query(query)
  local list = {}
  for name, value in pairs(query) do list[#list + 1] = name .. "=" .. value end
  table.sort(list)
  return table.concat(list, "&")
end

-- $base64 and $text inside the JSON of a case become strings.
local function fill(value)
  if type(value) ~= "table" then return value end
  if value["$base64"] or value["$text"] then return bytes.expand(value) end
  for key, item in pairs(value) do value[key] = fill(item) end
  return value
end

-- Strict equality of JSON values, but for the base64 alphabet.
local function compare_json(expected, actual, path, holder, out)
  local wanted, got = kind(expected), kind(actual)
  if wanted ~= got then
    out[#out + 1] = ("%s: %s is expected, not %s"):format(path, show(expected), show(actual))
  elseif wanted == "object" then
    for name, item in pairs(expected) do
      if actual[name] == nil then
        out[#out + 1] = ("%s.%s is missing"):format(path, name)
      elseif carries_bytes(holder, name) and type(item) == "string" and type(actual[name]) == "string" then
        if canonical_base64(item) ~= canonical_base64(actual[name]) then
          out[#out + 1] = ("%s.%s: other bytes"):format(path, name)
        end
      else
        compare_json(item, actual[name], path .. "." .. name, name, out)
      end
    end
    for name in pairs(actual) do
      if expected[name] == nil then out[#out + 1] = ("%s.%s is too much"):format(path, name) end
    end
  elseif wanted == "array" then
    if #expected ~= #actual then
      out[#out + 1] = ("%s: %d items are expected, not %d"):format(path, #expected, #actual)
    end
    for i = 1, math.min(#expected, #actual) do
      compare_json(expected[i], actual[i], ("%s[%d]"):format(path, i - 1), holder, out)
    end
  elseif wanted ~= "null" and expected ~= actual then
    out[#out + 1] = ("%s: %s is expected, not %s"):format(path, show(expected), show(actual))
  end
end

local NO_ROLE = { user = true, system = true }

-- The start of an upload: what the headers carry too may be absent from the body.
local function without_doubles(body, expected, out)
  local file = body.file
  if file == nil then return body end
  body, file = copy(body), copy(file)
  for _, name in ipairs { "sizeBytes", "mimeType" } do
    local wanted = expected and expected.file and expected.file[name]
    if wanted ~= nil and file[name] ~= nil and tostring(wanted) ~= tostring(file[name]) then
      out[#out + 1] = ("body.file.%s: %s is expected, not %s"):format(name, show(wanted), show(file[name]))
    end
    file[name] = nil
  end
  body.file = file
  if next(file) == nil then body.file = nil end
  return body
end

-- What may be absent is taken out of both sides.
local function normal_body(body, request, expected, out)
  if kind(body) ~= "object" then return body end
  body = copy(body)
  if is_empty(body.generationConfig) then body.generationConfig = nil end
  local instruction = body.systemInstruction
  if kind(instruction) == "object" and NO_ROLE[instruction.role] then
    body.systemInstruction = copy(instruction)
    body.systemInstruction.role = nil
  end
  if request.path:find(":%a*[eE]mbed") and kind(body.requests) == "array" then
    body.requests = copy(body.requests)
    for i, item in ipairs(body.requests) do
      if kind(item.content) == "object" and item.content.role == "user" then
        body.requests[i] = copy(item)
        body.requests[i].content = copy(item.content)
        body.requests[i].content.role = nil
      end
    end
  end
  if request.headers["x-goog-upload-command"] == "start" then body = without_doubles(body, expected, out) end
  return body
end

local NONE = setmetatable({}, { __jsontype = "object" }) -- an empty body is as good as an empty object

local function compare_body(request, exchange, out)
  local body = request.body or {}
  local actual = exchange.body
  if not exchange.complete then
    out[#out + 1] = "body: it never came whole"
  elseif body.bytes ~= nil then
    local data = bytes.expand(body.bytes)
    if #data ~= exchange.body_bytes or bytes.sha256(data) ~= exchange.sha256 then
      out[#out + 1] = ("body: %d other bytes, %d are expected"):format(exchange.body_bytes, #data)
    end
  elseif actual == nil then
    out[#out + 1] = "body: too long to compare"
  else
    local expected = fill(body.json == nil and NONE or body.json)
    local value, _, why = json.decode(actual == "" and "{}" or actual, 1, json.null)
    if value == nil then
      out[#out + 1] = "body: no JSON: " .. why
      return
    end
    compare_json(normal_body(expected, request, nil, out), normal_body(value, request, expected, out), "body", "", out)
  end
end

local function header_text(value)
  return (value:gsub("%s*,%s*", ","))
end

local function compare_header(name, wanted, actual)
  if name == "content-type" then
    return wanted:match("^[^;%s]*"):lower() == actual:match("^[^;%s]*"):lower()
  end
  return header_text(wanted) == header_text(actual)
end

--- Compares one request with what the server received.
---@param request table of a case
---@param exchange table as scripted's `received` gives it
---@return string[] differences
function conformance.compare_request(request, exchange)
  local out = {}
  local path, query = (exchange.target or ""):match("^([^?]*)%??(.*)$")
  if request.method ~= exchange.method then
    out[#out + 1] = ("method: %s is expected, not %s"):format(request.method, tostring(exchange.method))
  end
  if percent_decode(request.path) ~= percent_decode(path) then
    out[#out + 1] = ("path: %s is expected, not %s"):format(request.path, path)
  end
  if write_query(request.query) ~= parse_query(query) then
    out[#out + 1] = ("query: %s is expected, not %s"):format(show(write_query(request.query)), show(query))
  end
  for name, wanted in pairs(request.headers) do
    local actual = exchange.header[name]
    local needless = name == "content-type" and exchange.body_bytes == 0
    if actual == nil then
      if not needless then out[#out + 1] = ("header %s is missing"):format(name) end
    elseif not compare_header(name, wanted, actual) and not needless then
      out[#out + 1] = ("header %s: %s is expected, not %s"):format(name, show(wanted), show(actual))
    end
  end
  for name, wanted in pairs(request.headers_optional or {}) do
    local actual = exchange.header[name]
    if actual and header_text(actual) ~= header_text(wanted) and percent_decode(actual) ~= wanted then
      out[#out + 1] = ("header %s: %s is expected, not %s"):format(name, show(wanted), show(actual))
    end
  end
  compare_body(request, exchange, out)
  return out
end

local function prefix_all(prefix, list, out)
  for _, text in ipairs(list) do out[#out + 1] = prefix .. text end
end

-- A large upload: any chunks that together are the file.
local function compare_chunks(case, exchanges, out)
  local start = case.exchanges[1]
  local url_path, url_query = (start.response.headers["x-goog-upload-url"]):match("^%a+://[^/]+([^?]*)%??(.*)$")
  local offset, pieces, finalised = 0, {}, false
  for i = 2, #exchanges do
    local exchange = exchanges[i]
    local say = function(text, ...) out[#out + 1] = ("chunk %d: "):format(i - 1) .. text:format(...) end
    local path, query = exchange.target:match("^([^?]*)%??(.*)$")
    local command = header_text(exchange.header["x-goog-upload-command"] or "")
    local final = command == "upload,finalize" or command == "finalize"
    if finalised then say("the upload was finalised before") end
    if exchange.method ~= "POST" or path ~= url_path or parse_query(query) ~= parse_query(url_query) then
      say("%s is not the upload's URL", exchange.request_line)
    end
    if not final and command ~= "upload" then say("the command is %s", show(command)) end
    if command ~= "finalize" and exchange.header["x-goog-upload-offset"] ~= ("%d"):format(offset) then
      say("offset %d is expected, not %s", offset, show(exchange.header["x-goog-upload-offset"]))
    end
    if command == "finalize" and exchange.body_bytes > 0 then say("finalize carries bytes") end
    if not final and exchange.body_bytes % CHUNK_UNIT ~= 0 then say("%d bytes", exchange.body_bytes) end
    offset = offset + exchange.body_bytes
    pieces[#pieces + 1] = exchange.body
    finalised = final
  end
  local whole = table.concat(pieces)
  if not finalised then out[#out + 1] = "the upload was not finalised" end
  if offset ~= case.upload.size or #whole ~= offset or bytes.sha256(whole) ~= case.upload.sha256 then
    out[#out + 1] = ("the chunks are %d other bytes than the %d of the file"):format(offset, case.upload.size)
  end
end

--- Compares all requests of a case, neither more nor fewer.
---@param case table
---@param exchanges table[] as scripted's `received` gives them
---@return string[] differences
function conformance.compare_requests(case, exchanges)
  local out = {}
  if case.upload then
    if exchanges[1] then
      prefix_all("request 1: ", conformance.compare_request(case.exchanges[1].request, exchanges[1]), out)
    end
    compare_chunks(case, exchanges, out)
    return out
  end
  if #case.exchanges ~= #exchanges then
    out[#out + 1] = ("%d requests are expected, not %d"):format(#case.exchanges, #exchanges)
  end
  for i = 1, math.min(#case.exchanges, #exchanges) do
    local differences = conformance.compare_request(case.exchanges[i].request, exchanges[i])
    prefix_all(("request %d: "):format(i), differences, out)
  end
  return out
end

-- Outcomes -------------------------------------------------------------------

local compare_value

local function digest_differs(expected, actual)
  local wanted = expected["$sha256"] or expected["$text_sha256"]
  if type(actual) ~= "string" then return "no string" end
  if expected["$length"] and #actual ~= expected["$length"] then
    return ("%d bytes are expected, not %d"):format(expected["$length"], #actual)
  end
  return bytes.sha256(actual) ~= wanted and "other bytes" or nil
end

local function member(value, name)
  if value[name] ~= nil then return value[name] end
  if value[snake(name)] ~= nil then return value[snake(name)] end
  return value[camel(name)]
end

local function compare_members(expected, actual, path, out)
  for name, item in pairs(expected) do
    local got = member(actual, name)
    local where = path .. "." .. name
    if carries_bytes(path:match("[^.]*$"), name) and type(item) == "string" and type(got) == "string" then
      if got ~= item and canonical_base64(bytes.base64(got)) ~= canonical_base64(item) then
        out[#out + 1] = where .. ": other bytes"
      end
    else
      compare_value(item, got, where, out)
    end
  end
end

-- "At least": every member of the expected value must be there.
function compare_value(expected, actual, path, out)
  local wanted = kind(expected)
  local function differs(text) out[#out + 1] = ("%s: %s"):format(path, text) end
  if is_empty(expected) then
    if not is_empty(actual) then differs("nothing is expected, not " .. show(actual)) end
  elseif wanted == "object" and (expected["$sha256"] or expected["$text_sha256"]) then
    local why = digest_differs(expected, actual)
    if why then differs(why) end
  elseif wanted == "object" and expected["$contains"] then
    if type(actual) ~= "string" or not actual:find(expected["$contains"], 1, true) then
      differs(("%s is not in %s"):format(show(expected["$contains"]), show(actual)))
    end
  elseif wanted == "object" then
    if type(actual) ~= "table" then return differs("an object is expected, not " .. show(actual)) end
    compare_members(expected, actual, path, out)
  elseif wanted == "array" then
    if type(actual) ~= "table" or #actual ~= #expected then
      return differs(("%d items are expected, not %s"):format(#expected, show(actual)))
    end
    for i, item in ipairs(expected) do compare_value(item, actual[i], ("%s[%d]"):format(path, i - 1), out) end
  elseif type(expected) == "string" and type(actual) == "number" then
    if expected ~= ("%d"):format(actual) then differs(("%s is expected, not %s"):format(expected, show(actual))) end
  elseif expected ~= actual then
    differs(("%s is expected, not %s"):format(show(expected), show(actual)))
  end
end

--- Compares an error: {} is any, an API error has its status, and one of another kind has none.
---@param expected table of a case
---@param actual table the client's error
---@return string[] differences
function conformance.compare_error(expected, actual)
  local out = {}
  if type(actual) ~= "table" or type(actual.kind) ~= "string" or type(actual.message) ~= "string" then
    return { "an error object is expected, not " .. show(actual) }
  end
  if expected.kind == "api" then
    compare_value(expected.http_status, actual.code, "error.code", out)
    if expected.status then compare_value(expected.status, actual.status, "error.status", out) end
    local message = expected.message
    if type(message) == "string" then message = { ["$contains"] = message } end
    if message then compare_value(message, actual.message, "error.message", out) end
    if expected.details then compare_value(expected.details, actual.details, "error.details", out) end
  elseif expected.kind and actual.code ~= nil then
    out[#out + 1] = ("error: none of the API is expected, but its code is %s"):format(show(actual.code))
  end
  return out
end

local TEXT_OF_NONE = { text = true } -- a client whose text is always a string has "" for null

local function compare_response(expected, actual, path, out)
  for name, item in pairs(expected) do
    if not (TEXT_OF_NONE[name] and is_empty(item) and actual[name] == "") then
      compare_value(item, member(actual, name), path .. "." .. name, out)
    end
  end
end

local function compare_step(expected, actual, path, out)
  if (expected.error ~= nil) ~= (actual.error ~= nil) then
    local text = expected.error and "an error is expected" or "failed: " .. show(actual.error and actual.error.message)
    out[#out + 1] = path .. ": " .. text
    return
  end
  if expected.error then prefix_all(path .. ".", conformance.compare_error(expected.error, actual.error), out) end
  for name, item in pairs(expected) do
    if name == "chunks" then
      local chunks = actual.chunks or {}
      if #item ~= #chunks then
        out[#out + 1] = ("%s: %d chunks are expected, not %d"):format(path, #item, #chunks)
      end
      for i = 1, math.min(#item, #chunks) do
        compare_response(item[i], chunks[i], ("%s.chunks[%d]"):format(path, i - 1), out)
      end
    elseif name == "result" and is_empty(item) then
      if actual.result == nil then out[#out + 1] = path .. ": a result is expected" end
    elseif name == "result" or name == "items" or name == "bytes" then
      compare_value(item, actual[name], path .. "." .. name, out)
    elseif name ~= "error" then
      compare_response({ [name] = item }, actual, path, out)
    end
  end
end

local function compare_steps(expected, actual)
  local out = {}
  if #expected.steps ~= #actual.steps then
    out[#out + 1] = ("%d steps are expected, not %d"):format(#expected.steps, #actual.steps)
  end
  for i = 1, math.min(#expected.steps, #actual.steps) do
    compare_step(expected.steps[i], actual.steps[i], ("step %d"):format(i), out)
  end
  return out
end

--- Compares what the caller saw with the outcome of a case, or one of its alternatives.
---@param case table
---@param outcome table as `perform` gives it
---@return string[] differences
function conformance.compare_outcome(case, outcome)
  local out = compare_steps(case.outcome, outcome)
  for _, alternative in ipairs(case.outcome_alternatives or {}) do
    if #out > 0 and #compare_steps(alternative, outcome) == 0 then return {} end
  end
  return out
end

-- Calls ----------------------------------------------------------------------

local function resolve(reference, results)
  local first, rest = reference:match("^([^.]*)%.?(.*)$")
  local value = results[first]
  for name in rest:gmatch("[^.]+") do
    local index = tonumber(name)
    value = value[index and index + 1 or name]
  end
  return value
end

-- The arguments of a call as a Lua user would write them.
local function argument(value, run, name)
  if value == json.null then return run.gemini.null end
  if type(value) ~= "table" then return value end
  if value["$file"] then
    run.directory = run.directory or process.temporary_directory()
    local path = run.directory .. "/" .. value["$file"].name
    local file = assert(io.open(path, "wb"))
    file:write(bytes.expand(value["$file"].content))
    file:close()
    return path
  end
  if bytes.is_expression(value) then return bytes.expand(value) end
  local reference = value["$ref"]
  if type(reference) == "string" and run.results[reference:match("^[^.]*")] ~= nil then
    return resolve(reference, run.results)
  end
  if kind(value) == "array" and #value == 0 then return run.gemini.array {} end
  local out = {}
  for key, item in pairs(value) do out[key] = argument(item, run, key) end
  if name == "http_options" and out.timeout then out.timeout = out.timeout / 1000 end
  return out
end

local function first_with(parts, name)
  for _, part in ipairs(parts or {}) do
    if part[name] then return part[name] end
  end
end

-- A response as the cases write it: what came, and what is derived from its first candidate.
local function view(response)
  local out = {}
  for name, item in pairs(response) do out[name] = item end
  local candidate = response.candidates[1] or {}
  out.text, out.function_calls, out.finish_reason = response.text, response.function_calls, candidate.finish_reason
  local parts = candidate.content and candidate.content.parts
  out.executable_code = (first_with(parts, "executable_code") or {}).code
  out.code_execution_result = (first_with(parts, "code_execution_result") or {}).output
  return out
end

local function error_view(err, run)
  for _, text in ipairs { tostring(err), type(err) == "table" and tostring(err.message) or "",
    type(err) == "table" and tostring(err.hint) or "" } do
    if text:find(run.key, 1, true) then run.problems[#run.problems + 1] = "an error holds the key: " .. text end
  end
  if type(err) ~= "table" then return { kind = "raised", message = tostring(err) } end
  return { kind = err.kind, message = err.message, code = err.code, status = err.status, details = err.details }
end

local function read_stream(stream, run)
  local chunks, texts = {}, {}
  local chunk, err = stream:next()
  while chunk do
    chunks[#chunks + 1] = view(chunk)
    texts[#texts + 1] = chunk.text
    run.delivered(#chunks)
    chunk, err = stream:next()
  end
  local text = table.concat(texts)
  if #chunks > 0 and stream.response.text ~= text then
    run.problems[#run.problems + 1] = "stream.response.text is not the text of the chunks"
  end
  stream:close()
  return { chunks = chunks, text = text, error = err and error_view(err, run) }
end

local function read_list(pager, step)
  local items = {}
  if step.take == "first_page" then
    for i, item in ipairs(pager.page) do items[i] = item end
  else
    for item in pager do items[#items + 1] = item end
  end
  return { items = items }
end

-- The outcome of one step, and the raw result. Raises what the client raises.
local function call(client, step, run)
  local service, method = step.call:match("^(.-)%.(.*)$")
  local object = service == "chat" and run.results.chat or client[service]
  if not (object and object[method]) then
    error("there is no client." .. step.call, 0)
  end
  local arguments = argument(step.args, run)
  for name, value in pairs(run.options[step.call] or {}) do arguments[name] = value end
  local result, err = object[method](object, arguments)
  if result == nil and err ~= nil then
    if method:find("stream") then run.problems[#run.problems + 1] = step.call .. " returned no stream" end
    return { error = error_view(err, run) }
  end
  if method:find "_stream$" then return read_stream(result, run), result end
  if method == "create" and service == "chats" then return {}, result end
  if method == "get_history" then return { history = result } end
  if method == "generate_content" or method == "send_message" then return view(result), result end
  if method == "list" then return read_list(result, step), result end
  return { result = result == nil and {} or result }, result
end

local function make_client(logical_call, base_url, run)
  local wanted = logical_call.client or {}
  local options = argument(wanted.http_options or {}, run, "http_options")
  if options.retry_options == nil then options.retry_options = false end
  if options.base_url == nil and not wanted.base_url_from_env then options.base_url = base_url end
  local key = KEY
  if wanted.api_key == json.null then key = nil elseif wanted.api_key then key = wanted.api_key end
  run.key = key or KEY
  return run.gemini.Client { api_key = key, http_options = options }
end

--- Makes the calls of a case in this process.
---@param case table
---@param base_url string
---@param run table gemini (the library), options (more arguments by call), delivered (told after the k-th chunk)
---@return table outcome `steps`, and `problems` in words: what no case allows
function conformance.perform(case, base_url, run)
  run.results, run.problems = {}, {}
  local steps = {}
  local ok, why = pcall(function()
    local client = make_client(case.logical_call, base_url, run)
    for i, step in ipairs(case.logical_call.steps) do
      local fine, seen, result = pcall(call, client, step, run)
      if not fine then
        -- An iterator raises the error object; anything else that is raised is no outcome.
        if type(seen) ~= "table" then error(seen, 0) end
        seen = { error = error_view(seen, run) }
      end
      steps[i] = seen
      if step.as then run.results[step.as] = result end
      if seen.error and not seen.chunks and not step.may_fail then break end
    end
    client:close()
  end)
  if run.directory then process.remove_directory(run.directory) end
  if not ok then run.problems[#run.problems + 1] = "raised: " .. tostring(why) end
  return { steps = steps, problems = run.problems }
end

local function read_case(name, base_url)
  local file = assert(io.open(DIRECTORY .. name .. ".json", "rb"))
  local text = file:read("*a")
  file:close()
  local case, _, why = json.decode((text:gsub("{{base_url}}", base_url)), 1, json.null)
  return case or error(name .. ": " .. why)
end

local function perform_in_child(case, base_url)
  local words = { "env", "-u", "GOOGLE_API_KEY", "-u", "GEMINI_API_KEY", "-u", "GOOGLE_GEMINI_BASE_URL" }
  for name, value in pairs(case.logical_call.client.env) do words[#words + 1] = process.quote(name .. "=" .. value) end
  words[#words + 1] = process.quote("LUA_PATH=" .. package.path)
  words[#words + 1] = process.quote("LUA_CPATH=" .. package.cpath)
  words[#words + 1] = process.quote(process.interpreter())
  words[#words + 1] = "spec/support/conformance.lua"
  words[#words + 1] = process.quote(case.name)
  words[#words + 1] = process.quote(base_url)
  local pipe = assert(io.popen(table.concat(words, " "), "r"))
  local text = pipe:read("*a")
  pipe:close()
  local outcome = json.decode(text, 1, json.null)
  return outcome or { steps = {}, problems = { "the child process said: " .. text } }
end

local function child(name, base_url)
  local run = { gemini = require "lgemini", options = {}, delivered = function() end }
  local outcome = conformance.perform(read_case(name, base_url), base_url, run)
  io.write(json.encode(outcome, { exception = function() return "null" end }))
end

-- Scripts --------------------------------------------------------------------

local ACTIVE = { status = 200, headers = { ["x-goog-upload-status"] = "active" } }

-- dkjson writes numbers with 14 digits where Lua has no integers; whole ones are to arrive as they stand in the case.
local function exact(value)
  if type(value) == "table" then
    local out = copy(value)
    for key, item in pairs(value) do out[key] = exact(item) end
    return out
  elseif type(value) == "number" and value % 1 == 0 and math.abs(value) >= 1e14 then
    return setmetatable({}, { __tojson = function() return ("%.0f"):format(value) end })
  end
  return value
end

local function script_of(case)
  local script = {}
  for i, exchange in ipairs(case.exchanges) do script[i] = exact(exchange.response) end
  if case.upload then
    return { script[1], { upload = { active = ACTIVE, final = script[case.upload.final_response + 1] } } }
  end
  return script
end

--- The names of all cases, sorted.
---@return string[]
function conformance.names()
  local names = {}
  local pipe = assert(io.popen("ls " .. DIRECTORY, "r"))
  for file in pipe:lines() do names[#names + 1] = file:match("^(.*)%.json$") end
  pipe:close()
  table.sort(names)
  return names
end

--- Runs one case.
---@param name string
---@param server table a scripted server that keeps conformance.KEEP bytes
---@param options table|nil more arguments for a call, by its name
---@return string[] differences, of all kinds
---@return table seen `case`, `outcome`, `exchanges`: for specs that look closer
function conformance.run(name, server, options)
  local case = read_case(name, server.url)
  server:script(script_of(case))
  local outcome
  if case.logical_call.client and case.logical_call.client.env then
    outcome = perform_in_child(case, server.url)
  else
    outcome = conformance.perform(case, server.url, {
      gemini = require "lgemini", options = options or {}, delivered = function(k) server:release(k) end,
    })
  end
  local exchanges, _, problems = server:received()
  local out = {}
  prefix_all("server: ", problems, out)
  prefix_all("client: ", outcome.problems, out)
  prefix_all("", conformance.compare_requests(case, exchanges), out)
  prefix_all("", conformance.compare_outcome(case, outcome), out)
  return out, { case = case, outcome = outcome, exchanges = exchanges }
end

if arg and arg[0] == "spec/support/conformance.lua" then child(arg[1], arg[2]) end

return conformance
