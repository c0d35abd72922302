-- What loads one after the other, with the first of them: what `require` needs with init.lua, and a first call with the
-- client. For compile.lua and bundle.lua.
return {
  init = { "compat", "errors", "json" },
  client = { "answer", "direct", "endpoints", "headers", "http", "http_options", "inside", "limits", "loop", "models",
    "options", "question", "routes", "schema", "tasks", "timers" },
}
