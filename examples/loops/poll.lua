-- A loop of one's own around select (or poll, or epoll): lua5.4 examples/loops/poll.lua
-- The client is one descriptor beside the program's own.
local socket = require "socket"
local gemini = require "lgemini"
local client = gemini.Client{}

local server = assert(socket.bind("127.0.0.1", 0)) -- what the program does else
local address, port = server:getsockname()
local visitor = assert(socket.connect(address, port))

client:spawn(function()
  local stream = client.models:generate_content_stream{
    model = os.getenv "GEMINI_MODEL" or "gemini-3.5-flash",
    contents = "Tell a long story about a lighthouse.",
  }
  for text in stream:texts() do
    print("story", #text)
  end
end)

local watched = { server, { getfd = function() return client:pollfd() end } }
local running = true
while running do
  local ready = socket.select(watched, nil, client:timeout())
  if ready[server] then
    print("a visitor")
    server:accept():close()
  end
  running = client:step(0.005)
end
visitor:close()
server:close()
