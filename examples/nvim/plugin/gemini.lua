-- The commands; see README.md. The library loads with the first question.

vim.api.nvim_create_user_command("Gemini", function(command)
  require("gemini_ask").command(command)
end, { range = true, bang = true, nargs = "*", desc = "Ask Gemini about the selection" })

vim.api.nvim_create_user_command("GeminiStop", function()
  require("gemini_ask").stop()
end, { desc = "Stop the answers that are being written" })
