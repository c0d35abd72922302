--- The plot of the README: each ratio of the benchmark as a bar, with its aim, on a scale where equal factors are equal
--- lengths.

local prepare = require "bench.prepare"

local plot = {}

local LEFT, WIDTH, RIGHT, ROW, TOP = 330, 520, 90, 30, 84
local FIRST, LAST = 0.1, 10 -- the ends of the scale
local GRID = { 0.1, 0.2, 0.5, 1, 2, 5, 10 }

local STYLE = [[
  text { font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 13px; fill: #24292f }
  .title { font-size: 17px; font-weight: bold }
  .soft { fill: #57606a; font-size: 12px }
  .value { font-weight: bold }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .one { stroke: #57606a; stroke-width: 1.5 }
  .met { fill: #2da44e } .missed { fill: #bf8700 }
  .range { stroke: #24292f; stroke-width: 1.5 }
  .aim { stroke: #cf222e; stroke-width: 2.5 }]]

local function escape(text)
  return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function x_of(ratio)
  ratio = math.max(FIRST, math.min(ratio, LAST))
  return LEFT + WIDTH * math.log(ratio / FIRST) / math.log(LAST / FIRST)
end

-- The figures that are ratios with an aim, in order.
local function rows_of(all)
  local rows = {}
  for _, entry in ipairs(all) do
    for _, result in ipairs(entry.results) do
      if result.is_ratio and result.figure.label then
        rows[#rows + 1] = result
      end
    end
  end
  return rows
end

local function draw_grid(add, bottom)
  for _, at in ipairs(GRID) do
    local x = x_of(at)
    add('<line class="%s" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>', at == 1 and "one" or "grid", x, x, TOP - 8, bottom)
    add('<text class="soft" x="%.1f" y="%d" text-anchor="middle">%g</text>', x, TOP - 14, at)
  end
end

local function draw_row(add, row, y)
  local middle, from = y + ROW / 2, x_of(FIRST)
  local stop = x_of(row.value)
  add('<text x="%d" y="%.1f" text-anchor="end">%s</text>', LEFT - 12, middle + 4.5, escape(row.figure.label))
  add('<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>', row.met and "met" or "missed", from, y + 6,
    stop - from, ROW - 12)
  add('<line class="range" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>', x_of(row.least), x_of(row.most), middle, middle)
  add('<line class="aim" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>', x_of(row.bound), x_of(row.bound), y + 2, y + ROW - 2)
  add('<text class="value" x="%d" y="%.1f">%.2f</text>', LEFT + WIDTH + 14, middle + 4.5, row.value)
end

local function svg(rows)
  local lines = {}
  local function add(form, ...)
    lines[#lines + 1] = form:format(...)
  end
  local width, bottom = LEFT + WIDTH + RIGHT, TOP + #rows * ROW + 6
  add('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">', width, bottom + 40, width,
    bottom + 40)
  add("<style>\n%s\n</style>", STYLE)
  add('<rect width="%d" height="%d" fill="#ffffff"/>', width, bottom + 40)
  add('<text class="title" x="20" y="32">%s</text>', "What lgemini costs, in units of the same work on libcurl alone")
  draw_grid(add, bottom)
  for i, row in ipairs(rows) do
    draw_row(add, row, TOP + (i - 1) * ROW)
  end
  add('<text class="soft" x="20" y="%d">%s</text>', bottom + 25,
    "CPU of the client's process unless a row says otherwise; shorter is better. Black: the range. Red: the aim.")
  add "</svg>"
  return table.concat(lines, "\n") .. "\n"
end

--- Writes path.svg and path.png.
---@param all table  of bench/run.lua: { aim, results } for each aim
---@param path string
function plot.write(all, path)
  local file = assert(io.open(path .. ".svg", "w"))
  file:write(svg(rows_of(all)))
  file:close()
  local svg_path, png_path = prepare.quote(path .. ".svg"), prepare.quote(path .. ".png")
  prepare.output(("rsvg-convert --zoom 2 -o %s %s"):format(png_path, svg_path))
  print(("\nThe ratios are drawn in %s.svg and %s.png."):format(path, path))
end

return plot
