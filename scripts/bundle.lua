-- scripts/bundle.lua embed <out> <file.lua>...: the Lua files as data of C, for liblgemini.a; see src/embedded.h.
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

-- Bytes as numbers: no limit of a compiler on the length of a string, and nothing to escape.
local function bytes(out, text)
  for at = 1, #text, 32 do
    out[#out + 1] = table.concat({ text:byte(at, at + 31) }, ",") .. ",\n"
  end
end

local function embed(path, files)
  local out = { "/* Made by scripts/bundle.lua. */\n#include \"embedded.h\"\n\n" }
  local rows = {}
  for i, name in ipairs(files) do
    local text, module, chunk = read(name), names_of(name)
    out[#out + 1] = ("static const unsigned char file_%d[] = {\n"):format(i)
    bytes(out, text)
    out[#out + 1] = "0};\n\n"
    rows[i] = ('    {"%s", "@%s", (const char *)file_%d, sizeof file_%d - 1},\n'):format(module, chunk, i, i)
  end
  out[#out + 1] = "const struct lgem_file lgem_files[] = {\n"
  out[#out + 1] = table.concat(rows) .. "    {NULL, NULL, NULL, 0},\n};\n"
  write(path, out)
end

local what, path = arg[1], arg[2]
local files = {}
for i = 3, #arg do files[#files + 1] = arg[i] end
if what == "embed" and #files > 0 then
  embed(path, files)
else
  io.stderr:write "usage: bundle.lua embed <out> <file.lua>...\n"
  os.exit(2)
end
