--- Tables of what was measured: medians, ranges, and whether an aim is met.

local report = {}

local function median(values)
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
    if not a or figure.limit and not b then
      error(("%s: a program did not say %s"):format(figure.name, (a and figure.limit or figure.ours)[2]), 0)
    end
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

--- Prints an aim's table.
---@param aim table      see aims.lua
---@param samples table  of each round: the figures of each run
---@return table results for each figure: figure, value, least, most, met
function report.aim(aim, samples)
  local results = {}
  print(("\nAim %d: %s"):format(aim.number, aim.title))
  local titles = ROW:format("", aim.against or "libcurl", "lgemini", "ratio", "aim", "")
  print((titles:gsub("%s+$", "")))
  for _, figure in ipairs(aim.figures) do
    local values, ours, limit = values_of(figure, samples)
    local value, least, most = median(values)
    local is_ratio = figure.share or figure.limit and not figure.value
    local scale = is_ratio and 1 or figure.scale or 1
    local shown = ("%s [%s-%s]"):format(short(value * scale), short(least * scale), short(most * scale))
    local bound = figure.most or figure.least
    local met = is_met(figure, value)
    local line = ROW:format(figure.name,
      limit[1] and with_unit(median(limit), figure) or "", with_unit(median(ours), figure),
      (is_ratio or figure.value) and shown or ("[%s-%s]"):format(short(least * scale), short(most * scale)),
      bound and (figure.least and ">= " or "<= ") .. short(bound * scale) or "-",
      not bound and "" or met and "met" or "MISSED")
    print((line:gsub("%s+$", "")))
    io.stdout:flush()
    results[#results + 1] = { figure = figure, value = value, least = least, most = most, met = met, bound = bound,
      is_ratio = is_ratio }
  end
  return results
end

--- An aim that could not be measured.
function report.failure(aim, problem)
  print(("\nAim %d: %s\n  could not be measured: %s"):format(aim.number, aim.title, tostring(problem)))
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
