-- Prints which Lua this is, as the folder of what is built for it is called: lua5.1 to lua5.4, or luajit.
print(rawget(_G, "jit") and "luajit" or "lua" .. _VERSION:match "%d%.%d")
