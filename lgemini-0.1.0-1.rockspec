rockspec_format = "3.0"
package = "lgemini"
version = "0.1.0-1"
-- For `luarocks make` in a checkout.
source = { url = "file://." }
description = {
  summary = "A client for Google's Gemini API: text, images, audio and video in one call",
  detailed = [[
A C core on libcurl moves the bytes; a thin Lua layer makes the API feel like Lua tables. Large media go
through the File API, answers arrive as they are written. Not affiliated with Google.]],
  license = "MIT",
}
dependencies = {
  "lua >= 5.1",
  "lua-cjson >= 2.1.0",
}
-- libcurl is found by pkg-config: its headers stand in a multiarch folder on Debian, where an entry in
-- external_dependencies does not look.
build = {
  type = "make",
  install_target = "install-module",
  variables = {
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA = "$(LUA)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INST_LUADIR = "$(LUADIR)",
    INST_LIBDIR = "$(LIBDIR)",
  },
}
