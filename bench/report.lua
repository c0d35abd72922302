--- Tables of what was measured: medians, ranges, and whether an aim is met.

local report = {}

--- The median, the least and the most of a list.
---@param values number[]
---@return number median
---@return number least
---@return number most
function report.median(values)
  local sorted = { (table.unpack or unpack)(values) } -- luacheck: ignore 143
  table.sort(sorted)
  local half = #sorted / 2
  if half % 1 == 0 then
    return (sorted[half] + sorted[half + 1]) / 2, sorted[1], sorted[#sorted]
  end
  return sorted[math.ceil(half)], sorted[1], sorted[#sorted]
end

-- Three digits, whatever the size.
local function short(value)
  if value == 0 then
    return "0"
  end
  local digits = math.max(0, 2 - math.floor(math.log(math.abs(value)) / math.log(10)))
  return ("%." .. math.min(digits, 5) .. "f"):format(value)
end

local function with_unit(value, figure)
  return short(value * (figure.scale or 1)) .. " " .. figure.unit
end

-- The value of a figure, and what it is made of, in each round.
local function values_of(figure, samples)
  local values, ours, limit = {}, {}, {}
  for round, sample in ipairs(samples) do
    local a = sample[figure.ours[1]][figure.ours[2]]
    local b = figure.limit and sample[figure.limit[1]][figure.limit[2]]
    ours[round], limit[round] = a, b or nil
    values[round] = figure.value and figure.value(a, b) or b and a / b or a
  end
  return values, ours, limit
end

local function is_met(figure, value)
  if figure.least then
    return value >= figure.least
  end
  return not figure.most or value <= figure.most
end

local ROW = "  %-38s %14s %14s   %-24s %9s  %s"

function report.head(rounds)
  print(("Medians of %d rounds, with the range in brackets. CPU is user and system time of the client's process.")
    :format(rounds))
end

-- Prints a figure's row and gives its result.
local function show(figure, samples)
  local values, ours, limit = values_of(figure, samples)
  local value, least, most = report.median(values)
  local is_ratio = figure.share or figure.limit and not figure.value
  local scale = is_ratio and 1 or figure.scale or 1
  local range = ("[%s-%s]"):format(short(least * scale), short(most * scale))
  local bound = figure.most or figure.least
  local met = is_met(figure, value)
  local line = ROW:format(figure.name,
    limit[1] and with_unit(report.median(limit), figure) or "", with_unit(report.median(ours), figure),
    (is_ratio or figure.value) and short(value * scale) .. " " .. range or range,
    bound and (figure.least and ">= " or "<= ") .. short(bound * scale) or "-",
    not bound and "" or met and "met" or "MISSED")
  print((line:gsub("%s+$", "")))
  return { figure = figure, value = value, least = least, most = most, met = met, bound = bound, is_ratio = is_ratio }
end

--- Prints an aim's table.
---@param aim table      see aims.lua
---@param samples table  of each round: the figures of each run
---@param failures table<string, string>  of runs that have none: why
---@return table results for each figure: figure, value, least, most, met; without a value where it has none
function report.aim(aim, samples, failures)
  local results = {}
  print(("\nAim %d: %s"):format(aim.number, aim.title))
  local titles = ROW:format("", aim.against or "libcurl", "lgemini", "ratio", "aim", "")
  print((titles:gsub("%s+$", "")))
  for _, figure in ipairs(aim.figures) do
    local problem = failures[figure.ours[1]] or figure.limit and failures[figure.limit[1]]
      or samples[1][figure.ours[1]][figure.ours[2]] == nil and "this processor has none" or nil
    if problem then
      print(("  %-38s not measured: %s"):format(figure.name, problem))
      results[#results + 1] = { figure = figure, bound = figure.most or figure.least, met = false }
    else
      results[#results + 1] = show(figure, samples)
    end
    io.stdout:flush()
  end
  return results
end

--- How many aims were met.
function report.sum(all)
  local met, missed = 0, {}
  for _, entry in ipairs(all) do
    for _, result in ipairs(entry.results) do
      if result.bound and result.met then
        met = met + 1
      elseif result.bound then
        missed[#missed + 1] = ("aim %d: %s"):format(entry.aim.number, result.figure.name)
      end
    end
  end
  print(("\n%d figures are within their aim, %d are not%s"):format(met, #missed, #missed > 0 and ":" or "."))
  for _, line in ipairs(missed) do
    print("  " .. line)
  end
end

return report
