-- Uploads: a file with a journal, bytes, a reader with and without a size, a file that a question brings along; and a
-- download to disk.
local gemini = require "lgemini"
local url, path = assert(os.getenv "TEST_UPLOAD_URL"), assert(os.getenv "TEST_UPLOAD_FILE")
local journal = os.tmpname()

-- What loads on first use, so that loading is no part of the run.
for name in ([[client tasks models files stream attach answer endpoints source session upload download remote reuse
  journal]]):gmatch "%a+" do require("lgemini." .. name) end

local file = assert(io.open(path, "rb"))
local bytes = file:read "*a"
file:close()

local function read(offset, n) return bytes:sub(offset + 1, offset + math.min(n, 1000)) end

return function()
  local client = gemini.Client { api_key = "none", http_options = { base_url = url, retry_options = false } }
  local config = { mime_type = "text/plain" }
  for _, args in ipairs {
    { file = path, journal = journal },
    { data = bytes },
    { read = read, size = #bytes },
    { read = read },
  } do
    args.config, args.on_progress, args.reuse = config, function() end, false
    local uploaded = gemini.assert(client.files:upload(args))
    assert(uploaded.name == "files/a" and uploaded.transport.verified)
  end
  local response = gemini.assert(client.models:generate_content {
    model = "some-model", contents = { "What is this?", { file = path, mime_type = "text/plain", via = "upload" } },
  })
  assert(response.text == "hello")
  gemini.assert(client.files:download { file = "files/a", to = journal })
  client:close()
  os.remove(journal)
end
