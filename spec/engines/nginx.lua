-- For spec/engines/nginx_spec.lua: a call that has tasks inside it, several of which share a loop.
local gemini = require "lgemini"

local client = gemini.Client { wait = function() ngx.sleep(0.002) end }

local function upload()
  local contents = { "Compare these." }
  for i = 1, 4 do
    contents[i + 1] = { data = ("This is text %d. "):format(i):rep(100), mime_type = "text/plain", via = "upload" }
  end
  local response, err = client.models:generate_content { model = "gemini-3.5-flash", contents = contents,
    reuse = false }
  ngx.say(response and response.text or tostring(err))
end

return { upload = upload }
