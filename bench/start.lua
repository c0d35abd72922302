-- lua5.4 bench/start.lua <base URL> [directory of CAs]: the whole of a program that asks one question. It ends with the
-- answer, as the limit does: what the system takes back anyway is not given back first.

local gemini = require "lgemini"

local client = gemini.Client {
  api_key = "bench-bench-bench-bench", http_options = { base_url = arg[1], ca_path = arg[2] },
}
local response = gemini.assert(client.models:generate_content {
  model = "small", contents = "What does this slide promise?",
})
assert(#response.text > 0)
os.exit(0)
