-- Writes many sources into one file.
--
--   bundle.lua embed <out> <file.lua>...   the Lua files as data of C, for liblgemini.a; see src/embedded.h
--   bundle.lua first <out> <file.lua>...   those of them that a first call loads, compiled, for src/door.c
--   bundle.lua lua <out> <file.lua>...     one file of Lua, the modules in package.preload; init.lua is its own text
--   bundle.lua c <out> <file>...           one file of C, headers and all, that exports what the many export
--
-- In the file of C each header stands once, before all functions; what those declare that are named (file.h) is visible
-- from outside. What two files call alike inside (statics, enumerators, tags) gets the name of its file; a macro ends
-- with its file.
local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = assert(file:read "*a")
  file:close()
  return text
end

local function write(path, pieces)
  local file = assert(io.open(path, "wb"))
  assert(file:write(table.concat(pieces)))
  assert(file:close())
end

-- "lua/lgemini/errors.lua" -> "lgemini.errors", "lgemini/errors.lua"
local function names_of(path)
  local name = assert(path:match "([%w_]+)%.lua$", path)
  return name == "init" and "lgemini" or "lgemini." .. name, "lgemini/" .. name .. ".lua"
end

local function version_of(files)
  for _, path in ipairs(files) do
    local text = read(path)
    local version = text:match '_VERSION = "([%d.]+)"' or text:match '#define VERSION "([%d.]+)"'
    if version then return version end
  end
  error "no file says the version"
end

-- ---- Lua as data ----

-- Bytes as numbers: no limit of a compiler on the length of a string, and nothing to escape.
local function bytes(out, text)
  for at = 1, #text, 32 do
    out[#out + 1] = table.concat({ text:byte(at, at + 31) }, ",") .. ",\n"
  end
end

local function embed(path, files, content)
  local out = { "/* Made by scripts/bundle.lua. */\n#include \"embedded.h\"\n\n" }
  local rows = {}
  for i, name in ipairs(files) do
    local text, module, chunk = (content or read)(name), names_of(name)
    out[#out + 1] = ("static const unsigned char file_%d[] = {\n"):format(i)
    bytes(out, text)
    out[#out + 1] = "0};\n\n"
    rows[i] = ('    {"%s", "@%s", (const char *)file_%d, sizeof file_%d - 1},\n'):format(module, chunk, i, i)
  end
  out[#out + 1] = "const struct lgem_file lgem_files[] = {\n"
  out[#out + 1] = table.concat(rows) .. "    {NULL, NULL, NULL, 0},\n};\n"
  write(path, out)
end

local function first(path, files)
  local compiled, wanted, chosen = dofile "scripts/compiled.lua", { client = true }, {}
  for _, name in ipairs(dofile("scripts/together.lua").client) do wanted[name] = true end
  for _, name in ipairs(files) do
    if wanted[name:match "([%w_]+)%.lua$"] then chosen[#chosen + 1] = name end
  end
  embed(path, chosen, function(name) return compiled(read(name), name:match "([%w_]+)%.lua$") end)
end

-- ---- Lua as one file ----

local function one_lua(path, files)
  local out, init = { ("--[[ lgemini %s, all of its Lua in one file; made by `make amalgamation`. It needs the module\n"
    .. "lgemini.core, which is made of lgemini.c, and lua-cjson.\n\n%s]]\n"):format(version_of(files), read "LICENSE") }
  for _, name in ipairs(files) do
    local module = names_of(name)
    if module == "lgemini" then
      init = read(name)
    else
      out[#out + 1] = ("\npackage.preload[%q] = function(...)\n%s\nend\n"):format(module, read(name))
    end
  end
  out[#out + 1] = "\n" .. assert(init, "no init.lua")
  write(path, out)
end

-- ---- C as one file ----

-- The pieces of a text of C, in order: { kind, text } with the kinds name, space (comments, too), string, number, line
-- (a whole directive) and other. Together they are the text.
local function pieces_of(text)
  local pieces, at, fresh = {}, 1, true -- fresh: nothing but space since the line began
  local function take(kind, last)
    pieces[#pieces + 1] = { kind = kind, text = text:sub(at, last) }
    at = last + 1
  end
  while at <= #text do
    local c = text:sub(at, at)
    if c:find "%s" then
      local last = select(2, text:find("^%s+", at))
      fresh = fresh or text:sub(at, last):find("\n", 1, true) ~= nil
      take("space", last)
    elseif text:find("^/%*", at) then
      take("space", assert(text:find("*/", at, true), "a comment without an end") + 1)
    elseif text:find("^//", at) then
      take("space", (text:find("\n", at, true) or #text + 1) - 1)
    elseif c == "#" and fresh then
      local last = at
      repeat
        last = text:find("\n", last + 1, true) or #text + 1
      until text:sub(last - 1, last - 1) ~= "\\"
      take("line", last - 1)
    else
      fresh = false
      if c == '"' or c == "'" then
        local last = at
        repeat
          last = last + 1
          if text:sub(last, last) == "\\" then last = last + 2 end
        until text:sub(last, last) == c
        take("string", last)
      elseif c:find "[%a_]" then
        take("name", (select(2, text:find("^[%w_]+", at))))
      elseif c:find "%d" then
        take("number", (select(2, text:find("^[%w_.]+", at))))
      else
        take("other", text:find("^%->", at) and at + 1 or at)
      end
    end
  end
  return pieces
end

local function code_of(pieces)
  local code = {}
  for _, piece in ipairs(pieces) do
    if piece.kind ~= "space" and piece.kind ~= "line" then code[#code + 1] = piece end
  end
  return code
end

-- The position of the bracket that closes the one at `at`.
local CLOSES = { ["("] = ")", ["{"] = "}", ["["] = "]" }
local function closing(code, at)
  local open, close, depth = code[at].text, CLOSES[code[at].text], 0
  for i = at, #code do
    if code[i].text == open then depth = depth + 1 end
    if code[i].text == close then depth = depth - 1 end
    if depth == 0 then return i end
  end
  error("a bracket without an end")
end

-- The name that a declaration at file level gives: the last one before its parameters, value, size or end.
local function declared(code, at)
  local name
  while true do
    local text = code[at].text
    if text == "__attribute__" then
      at = closing(code, at + 1)
    elseif text == "{" then -- of a struct that is declared on the way
      at = closing(code, at)
    elseif text == "(" or text == "=" or text == "[" or text == ";" then
      return name
    elseif code[at].kind == "name" then
      name = text
    end
    at = at + 1
  end
end

local function add_enumerators(names, code, from, to)
  for i = from, to - 1 do
    local before = code[i].text
    if (before == "{" or before == ",") and code[i + 1].kind == "name" then names[code[i + 1].text] = true end
  end
end

-- What a file of C calls its own, at file level: statics, enumerators, tags.
local function own_names(code)
  local names, i = {}, 1
  while i <= #code do
    local text = code[i].text
    if text == "static" then
      names[assert(declared(code, i + 1))] = true
    elseif text == "struct" or text == "union" or text == "enum" then
      local at = code[i + 1].kind == "name" and i + 2 or i + 1
      if code[at].text == "{" then
        if at == i + 2 then names[code[i + 1].text] = true end
        if text == "enum" then add_enumerators(names, code, at, closing(code, at)) end
      end
    end
    if CLOSES[text] then i = closing(code, i) end
    i = i + 1
  end
  return names
end

local function renamed(pieces, new_names)
  local out, before = {}, ""
  for i, piece in ipairs(pieces) do
    local text = piece.text
    if piece.kind == "name" and new_names[text] and before ~= "." and before ~= "->" then
      text = new_names[text]
    elseif piece.kind == "line" then
      text = "#" .. table.concat(renamed(pieces_of(text:sub(2)), new_names))
    end
    if piece.kind ~= "space" then before = piece.text end
    out[i] = text
  end
  return out
end

-- Resolves "../net/loop.h" against "src/binding/".
local function resolve(folder, name)
  local path = folder .. name
  repeat
    local n
    path, n = path:gsub("[^/]+/%.%./", "", 1)
  until n == 0
  return path
end

-- Takes the includes and what comes before the first of them (feature macros) out of a file's pieces. An include of the
-- system that is inside of an #if stays, but for the guard of a header.
local function split(path, pieces, all)
  local folder, depth, guard = path:match "^(.*/)", 0, path:find "%.h$" and 1 or 0
  local early, seen, rest, macros = {}, false, {}, {}
  for _, piece in ipairs(pieces) do
    local keep = true
    if piece.kind == "line" then
      local directive, value = piece.text:match "^#%s*(%a+)%s*(.*)$"
      if directive:find "^if" then depth = depth + 1 end
      if directive == "endif" then depth = depth - 1 end
      local own, system = value:match '^"(.-)"', value:match "^<.->"
      if directive == "include" and own then
        all.header(resolve(folder, own))
        keep, seen = false, true
      elseif directive == "include" and depth <= guard then
        if not all.included[system] then
          all.included[system] = true
          all.system[#all.system + 1] = piece.text .. "\n"
        end
        keep, seen = false, true
      elseif guard == 0 and not seen then
        early[#early + 1] = piece.text .. "\n"
        keep = false
      elseif guard == 0 and directive == "define" then
        macros[#macros + 1] = value:match "^[%w_]+"
      end
    end
    if keep then rest[#rest + 1] = piece end
  end
  return early, rest, macros
end

local function trimmed(pieces)
  return (table.concat(pieces):gsub("^%s+", ""):gsub("\n\n\n+", "\n\n"))
end

local function one_c(path, files)
  local all = { included = {}, system = {}, public = {}, headers = {} }
  local public, met, early, parsed, owners = {}, {}, {}, {}, {}
  function all.header(name)
    if met[name] then return end
    met[name] = true
    local _, rest = split(name, pieces_of(read(name)), all)
    local headers = public[name] and all.public or all.headers
    headers[#headers + 1] = ("/* ---- %s ---- */\n\n%s\n"):format(name, trimmed(renamed(rest, {})))
  end
  for _, name in ipairs(files) do public[name] = name:find "%.h$" ~= nil end
  for _, name in ipairs(files) do
    if public[name] then
      all.header(name)
    else
      local before, rest, macros = split(name, pieces_of(read(name)), all)
      for _, line in ipairs(before) do early[#early + 1] = line end
      parsed[#parsed + 1] = { path = name, pieces = rest, macros = macros, names = own_names(code_of(rest)) }
      for own in pairs(parsed[#parsed].names) do owners[own] = (owners[own] or 0) + 1 end
    end
  end
  local out = { ("/* lgemini %s, all of its C in one file; made by `make amalgamation`. It is the module\n"
    .. "lgemini.core: luaopen_lgemini_core. A host that compiles it in may call lgemini_open, too: see lgemini.h.\n\n"
    .. "%s*/\n"):format(version_of(files), read "LICENSE"),
    table.concat(early), table.concat(all.system), table.concat(all.public),
    "\n#if defined(__GNUC__)\n#pragma GCC visibility push(hidden)\n#endif\n\n", table.concat(all.headers),
    "#if defined(__GNUC__)\n#pragma GCC visibility pop\n#endif\n" }
  for _, file in ipairs(parsed) do
    local new_names, module = {}, file.path:match "([%w_]+)%.c$"
    for own in pairs(file.names) do
      if owners[own] > 1 then new_names[own] = own .. "_in_" .. module end
    end
    out[#out + 1] = ("\n/* ---- %s ---- */\n\n%s\n"):format(file.path, trimmed(renamed(file.pieces, new_names)))
    for _, macro in ipairs(file.macros) do out[#out + 1] = "#undef " .. macro .. "\n" end
  end
  write(path, out)
end

local kinds = { embed = embed, first = first, lua = one_lua, c = one_c }
local files = {}
for i = 3, #arg do files[#files + 1] = arg[i] end
if not kinds[arg[1]] or #files == 0 then
  io.stderr:write "usage: bundle.lua embed|first|lua|c <out> <file>...\n"
  os.exit(2)
end
kinds[arg[1]](arg[2], files)
