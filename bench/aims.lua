--- The nine aims: which programs run, and which of their figures are set against which.
--
-- A run is a program of run.lua and its arguments; $plain, $tls and $roots are the server's. `arrives` is what the
-- server must have counted. A figure is { name, unit, ours = { run, figure }, limit = { run, figure } or nothing };
-- what is judged is ours / limit, or `value(ours, limit)` (a plain number where it says `share`), or ours alone, by
-- `most` or `least`. What is not judged is there to compare.

local MIB = 1024 -- in KiB, as memory is given

local function url(base, model, verb)
  return base .. "/v1beta/models/" .. model .. ":" .. (verb or "streamGenerateContent?alt=sse")
end

-- label: in the plot, which has the ratios only.
local function ratio(name, ours, limit, most, unit, scale, label)
  return { name = name, ours = ours, limit = limit, most = most, unit = unit, scale = scale, label = label }
end

local function bound(name, ours, most, unit, scale)
  return { name = name, ours = ours, most = most, unit = unit, scale = scale }
end

local function difference(a, b)
  return a - b
end

local function image(prepare)
  local large, small, times = prepare.file("image", 15), prepare.file("image", 1), 10
  local ask = url("$plain", "small", "generateContent")
  return {
    number = 1,
    title = "an image of 15 MB in a request",
    runs = {
      ours = { program = "ours", "inline", "$plain", large, times, arrives = { body = 22e7 } },
      small = { program = "ours", "inline", "$plain", small, times },
      limit = { program = "limit", "inline", ask, large, times, arrives = { body = 22e7 } },
      encode = { program = "limit", "encode", ask, large, times, arrives = { body = 22e7 } },
    },
    figures = {
      ratio("CPU, a request", { "ours", "cpu" }, { "limit", "cpu" }, 1.3, "ms", 1e3, "image of 15 MB in a request"),
      ratio("  (libcurl encoding as it reads)", { "encode", "cpu" }, { "limit", "cpu" }, nil, "ms", 1e3),
      bound("peak memory", { "ours", "process_peak" }, 13 * MIB, "MiB", 1 / MIB),
      { name = "growth of it from 1 to 15 MB", ours = { "ours", "process_peak" }, limit = { "small", "process_peak" },
        value = difference, most = 0.2 * MIB, unit = "MiB", scale = 1 / MIB },
    },
  }
end

local function base64()
  local function share(what, level, least)
    return { name = what .. " " .. level, ours = { "base64", what .. "_" .. level },
      limit = { "base64", "memcpy_" .. level }, least = least, unit = "GB/s", scale = 1e-9 }
  end
  return {
    number = 2,
    title = "base64 of a hot block of 48 KiB, as a share of memcpy's speed on it",
    against = "memcpy",
    runs = { base64 = { program = "base64" } },
    figures = {
      share("encode", "avx2", 0.45), share("encode", "ssse3", 0.24), share("encode", "plain", 0.12),
      share("decode", "avx2", 0.24), share("encode", "avx512"), share("decode", "avx512"),
    },
  }
end

local function upload(prepare)
  local video, size = prepare.file("video", 1000), 1e9
  local function run(program, ...)
    return { arrives = { body = size }, program = program, "upload", ... }
  end
  local function traced(...)
    return { program = "ours", traced = true, "upload", ... }
  end
  return {
    number = 3,
    title = "an upload of 1 GB",
    runs = {
      ours = run("ours", "$plain", video, "plain"),
      hashed = run("ours", "$plain", video, "sha256"),
      secure = run("ours", "$tls", video, "plain", "$roots"),
      limit = run("limit", "$plain/upload/session", video, "plain"),
      limit_hashed = run("limit", "$plain/upload/session", video, "sha256"),
      limit_secure = run("limit", "$tls/upload/session", video, "plain", "$roots"),
      calls_100 = traced("$plain", prepare.file("video", 100), "plain"),
      calls_300 = traced("$plain", prepare.file("video", 300), "plain"),
    },
    figures = {
      ratio("CPU, verify = false", { "ours", "cpu" }, { "limit", "cpu" }, 1.1, "s", 1, "upload of 1 GB"),
      ratio("CPU, hashed on both sides", { "hashed", "cpu" }, { "limit_hashed", "cpu" }, 1.1, "s", 1,
        "upload of 1 GB, SHA-256 of it"),
      ratio("CPU over TLS, verify = false", { "secure", "cpu" }, { "limit_secure", "cpu" }, 1.1, "s", 1,
        "upload of 1 GB, TLS"),
      bound("peak memory", { "ours", "process_peak" }, 13 * MIB, "MiB", 1 / MIB),
      { name = "system calls for 100 MB", ours = { "calls_300", "calls" }, limit = { "calls_100", "calls" },
        value = function(three, one) return (three - one) / 2 end, most = 1300, unit = "" },
    },
  }
end

local function broken_upload(prepare)
  local video, size = prepare.file("video", 1000), 1e9
  return {
    number = 4,
    title = "an upload of 1 GB whose connection is reset half way",
    runs = {
      ours = { before = "/reset-at/500000000", program = "ours", "upload", "$plain", video, "sha256",
        arrives = { requests = 5 } }, -- to warm up, start, half an upload, query, the rest
    },
    figures = {
      { name = "bytes on the wire, as a share of the file", ours = { "ours", "wire" },
        value = function(wire) return wire / size end, share = true, most = 1.02,
        label = "bytes sent for a broken upload (1: its size)", unit = "MB", scale = 1e-6 },
    },
  }
end

-- A stream of 100,000 events at three clients, of which two make a table of each.
local function stream()
  local count = 100000
  local function run(program, ...)
    return { arrives = { events = count }, program = program, "stream", "$plain", count, ... }
  end
  local function each(name, ours, most, label)
    return ratio(name, { ours, "cpu" }, { "luasocket", "cpu" }, most, "us", 1e6 / count, label)
  end
  return {
    number = 5,
    title = "a stream, an event of 364 bytes of JSON",
    against = "LuaSocket",
    runs = {
      ours = run("ours", "chunks"),
      texts = run("ours", "texts"),
      luasocket = run "luasocket",
      limit = { arrives = { events = 2 * count }, program = "limit", "stream", url("$plain", "events-" .. count), 1 },
    },
    figures = {
      each("CPU, an event as a table", "ours", 0.45, "event as a table (1: LuaSocket, cjson)"),
      each("CPU, an event's text", "texts", 0.15, "event's text (1: LuaSocket, cjson)"),
      each("  (libcurl, dropping it)", "limit"),
    },
  }
end

local function long_stream(prepare)
  local function of(count)
    return { arrives = { events = count }, program = "ours", "stream", "$plain", count, "texts" }
  end
  local function large(kind, size, media_to)
    return { arrives = { events = 1 }, program = "ours", "large", "$plain", kind, size, media_to }
  end
  local function times_its_size(name, ours, most, size)
    return { name = name, ours = { ours, "grown" }, value = function(grown) return grown * 1024 / size end,
      share = true, most = most, unit = "MiB", scale = 1 / MIB }
  end
  local size, media = 8000000, 6000000
  return {
    number = 6,
    title = "long streams and large events: memory",
    runs = {
      long = of(100000), short = of(10000),
      text = large("text", size), text_2 = large("text", 2 * size),
      media = large("media", size, prepare.dir .. "/media"),
    },
    figures = {
      bound("peak memory, 100,000 events", { "long", "process_peak" }, 13 * MIB, "MiB", 1 / MIB),
      { name = "growth of it from 10,000", ours = { "long", "process_peak" }, limit = { "short", "process_peak" },
        value = difference, most = 0.2 * MIB, unit = "MiB", scale = 1 / MIB },
      times_its_size("memory of a text of 8 MB, in its size", "text", 3, size),
      times_its_size("memory of media into a file, in its size", "media", 1.5, media),
      { name = "CPU, 16 MB against 8 MB", ours = { "text_2", "cpu" }, limit = { "text", "cpu" }, most = 2.4,
        unit = "ms", scale = 1e3 },
    },
  }
end

local function warm()
  local times = 2000
  return {
    number = 7,
    title = "a call on a warm connection, to its first and only text",
    runs = {
      ours = { arrives = { requests = times + 1 }, program = "ours", "warm", "$plain", times },
      limit = { arrives = { requests = times + 1 }, program = "limit", "warm", url("$plain", "events-1"), times },
    },
    figures = { ratio("CPU, a call", { "ours", "cpu" }, { "limit", "cpu" }, 1.2, "us", 1e6,
      "call on a warm connection") },
  }
end

local function streams()
  local n, events = 1000, 100
  local model = url("", ("ticks-%d-of-%d"):format(events, n))
  local function arrives(more)
    more.events = n * events
    return more
  end
  return {
    number = 8,
    title = "1,000 streams at once, an event every 20 ms for 2 s",
    runs = {
      ours = { arrives = arrives {}, program = "ours", "streams", "$plain", n, events },
      limit = { arrives = arrives {}, program = "limit", "streams", "$plain" .. model, n },
      secure = { arrives = arrives { tls = 10 }, program = "ours", "streams", "$tls", n, events, "$roots" },
      limit_secure = { arrives = arrives { tls = 10 }, program = "limit", "streams", "$tls" .. model, n, "$roots" },
    },
    figures = {
      ratio("CPU", { "ours", "cpu" }, { "limit", "cpu" }, 1.5, "s", 1, "1,000 streams"),
      bound("memory, a stream", { "ours", "each" }, 20, "KiB"),
      bound("  (libcurl's)", { "limit", "each" }, nil, "KiB"),
      bound("delay of 99 of 100 events", { "ours", "p99" }, 15e-3, "ms", 1e3),
      bound("  (libcurl's)", { "limit", "p99" }, nil, "ms", 1e3),
      ratio("CPU, TLS", { "secure", "cpu" }, { "limit_secure", "cpu" }, 1.5, "s", 1, "1,000 streams, TLS"),
      bound("memory, a stream, TLS", { "secure", "each" }, 30, "KiB"),
      bound("  (libcurl's)", { "limit_secure", "each" }, nil, "KiB"),
      bound("delay of 99 of 100 events, TLS", { "secure", "p99" }, 35e-3, "ms", 1e3),
      bound("  (libcurl's)", { "limit_secure", "p99" }, nil, "ms", 1e3),
      bound("connections, TLS", { "secure", "tls" }, 10, ""),
    },
  }
end

local function start()
  local ask = "/v1beta/models/small:generateContent"
  return {
    number = 9,
    title = "the first answer of a new process",
    runs = {
      ours = { arrives = { requests = 1 }, program = "start", "$plain" },
      limit = { arrives = { requests = 1 }, program = "limit", "start", "$plain" .. ask },
      secure = { arrives = { requests = 1 }, program = "start", "$tls", "$roots" },
      limit_secure = { arrives = { requests = 1 }, program = "limit", "start", "$tls" .. ask, "$roots" },
      sources = { arrives = { requests = 1 }, program = "start_from_sources", "$plain" },
      require = { program = "ours", "require" },
      lua = { program = "lua" },
    },
    figures = {
      ratio("CPU", { "ours", "process_cpu" }, { "limit", "process_cpu" }, 1.35, "ms", 1e3,
        "new process to first answer"),
      ratio("  (with the Lua files as sources)", { "sources", "process_cpu" }, { "limit", "process_cpu" }, nil, "ms",
        1e3),
      ratio("CPU, TLS", { "secure", "process_cpu" }, { "limit_secure", "process_cpu" }, 1.3, "ms", 1e3,
        "new process to first answer, TLS"),
      { name = "CPU of require, without Lua's own", ours = { "require", "process_cpu" },
        limit = { "lua", "process_cpu" }, value = difference, most = 2.5e-3, unit = "ms", scale = 1e3 },
      bound("peak memory, Lua with it", { "require", "process_peak" }, 4 * MIB, "MiB", 1 / MIB),
    },
  }
end

-- The official JavaScript SDK at the same work, in the rows below ours.
local function add_javascript(list, prepare)
  local runs = {
    [1] = { "inline", "$plain", prepare.file("image", 15), 3 },
    [3] = { "upload", "$plain", prepare.file("video", 1000) },
    [5] = { "stream", "$plain", 100000 },
    [7] = { "warm", "$plain", 300 },
    [9] = { "start", "$plain" },
  }
  for _, aim in ipairs(list) do
    local run, like = runs[aim.number], aim.figures[1]
    if run then
      run.program = "js"
      aim.runs.js = run
      table.insert(aim.figures, ratio("  (official JavaScript SDK: CPU)", { "js", like.ours[2] }, like.limit, nil,
        like.unit, like.scale))
    end
  end
end

---@param prepare table
---@param with_peers boolean|nil
---@return table[] aims
return function(prepare, with_peers)
  local list = {
    image(prepare), base64(), upload(prepare), broken_upload(prepare), stream(), long_stream(prepare), warm(),
    streams(), start(),
  }
  if with_peers then
    add_javascript(list, prepare)
  end
  return list
end
