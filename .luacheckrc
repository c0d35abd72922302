std = "min" -- what Lua 5.1 to 5.4 and LuaJIT share
read_globals = { "unpack" } -- `table.unpack or unpack`
max_line_length = 120
cache = false
exclude_files = { "build", "dist" }

files["spec"].std = "min+busted"
files["spec/lua54"].std = "lua54+busted"
-- What a host gives to the programs in it.
files["examples/nvim"].globals = { "vim" }
files["examples/nginx"].globals = { "ngx" }
files["spec/engines/nginx.lua"] = { read_globals = { "ngx" } }
files["spec/engines/nvim.lua"] = { globals = { "vim" } }
files["examples/love"].globals = { "love" }
files["spec/engines/love"].globals = { "love" }
files["*.rockspec"].std = "rockspec"
-- Declarations for editors: bodies are empty, parameters and classes are only named.
files["**/*.meta.lua"].ignore = { "212", "241" }
