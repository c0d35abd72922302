--- For nginx with its Lua module (OpenResty): answers go on to the visitor while they come. See README.md.

local gemini = require "lgemini"

local ask = {}

local model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash"

-- nginx waits for descriptors of its own only, so a call that waits looks again after so many seconds.
local LOOK = 0.005

-- One for all requests of a worker, which share its connections. A call looks as if it waited; meanwhile the worker
-- serves others.
local client = gemini.Client{
  wait = function(_, seconds)
    ngx.sleep(math.max(0.001, math.min(seconds, LOOK)))
  end,
}

local function refuse(status, text)
  ngx.status = status
  ngx.say(text)
end

--- /ask?question=..., with an image, a recording or a document as the body where the question is about one.
function ask.serve()
  local question = ngx.req.get_uri_args().question
  if type(question) ~= "string" then
    return refuse(400, "a question is needed: /ask?question=...")
  end
  ngx.req.read_body()
  local body, path = ngx.req.get_body_data(), ngx.req.get_body_file() -- a large one is in a file
  local contents = { question }
  if body or path then
    table.insert(contents, { data = body, file = path })
  end

  local stream = client.models:generate_content_stream{ model = model, contents = contents }
  ngx.on_abort(function() stream:close() end) -- the visitor has left
  ngx.header.content_type = "text/plain; charset=utf-8"
  local chunk, err = stream:next()
  while chunk do
    ngx.print(chunk.text)
    ngx.flush(true) -- on its way now
    chunk, err = stream:next()
  end
  if err then
    ngx.log(ngx.ERR, tostring(err))
    if ngx.headers_sent then
      return ngx.exit(ngx.ERROR) -- cut off, so that it does not look like an answer that ended
    end
    return refuse(502, "no answer: " .. err.kind)
  end
end

return ask
