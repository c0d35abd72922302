-- What an official SDK put on the wire for a call, and made of the answers, is what this client does too: one test
-- for each recorded case (spec/fixtures/conformance), named by the case.
local conformance = require "spec.support.conformance"
local scripted = require "spec.support.scripted"

-- What a case takes for granted of the client that runs it.
local ARGUMENTS = {
  -- "Valid only for clients that send 8 MiB chunks": ours sends all in one request unless it is told otherwise.
  files_upload_final_early = { ["files.upload"] = { chunk_size = 8388608 } },
  -- "The SDKs wait one second and repeat": a retry, though the case does not say so.
  files_upload_chunk_no_status = {
    ["files.upload"] = { config = { http_options = { retry_options = { attempts = 2, initial_delay = 0.01 } } } },
  },
}

-- Cases that are not met as recorded: the reason, and what happens here instead. `check` gets what conformance.run saw.
-- A case that is met must leave this table.
local DIFFERS = {
  files_upload_final_early = {
    reason = "five bytes never reached the server: a file that is not whole there is no success",
    check = function(seen)
      assert.same({}, conformance.compare_requests(seen.case, seen.exchanges))
      assert.equal("protocol", seen.outcome.steps[1].error.kind)
    end,
  },
  files_upload_chunk_no_status = {
    reason = "what a lost answer was about is not known, so the offset is asked for and nothing is sent twice",
    check = function(seen)
      assert.equal(3, #seen.exchanges)
      assert.equal("query", seen.exchanges[3].header["x-goog-upload-command"])
      assert.equal(0, seen.exchanges[3].body_bytes)
      assert.same({}, conformance.compare_outcome(seen.case, seen.outcome))
    end,
  },
  chats_stream_no_finish = {
    reason = "a stream that was cut never looks like one that ended: it fails, and neither history has the turn",
    check = function(seen)
      assert.same({}, conformance.compare_requests(seen.case, seen.exchanges))
      assert.equal("incomplete", seen.outcome.steps[2].error.kind)
      assert.equal("Once upon ", seen.outcome.steps[2].text)
      assert.equal("Ok.", seen.outcome.steps[3].text)
      assert.equal(2, #seen.outcome.steps[4].history)
      assert.equal(2, #seen.outcome.steps[5].history)
    end,
  },
  models_list_tuned = {
    reason = "names are those of the wire, but for a short list, and tuned_model_info is not on it",
    check = function(seen)
      assert.same({}, conformance.compare_requests(seen.case, seen.exchanges))
      assert.equal("models/gemini-1.5-flash-001-tuning", seen.outcome.steps[1].items[1].base_model)
      assert.equal("T", seen.outcome.steps[1].items[1].display_name)
    end,
  },
}

describe("the conformance case", function()
  local server

  setup(function() server = scripted.start { keep = conformance.KEEP, limit = 10 } end)
  teardown(function() server:stop() end)

  for _, name in ipairs(conformance.names()) do
    it(name, function()
      local differences, seen = conformance.run(name, server, ARGUMENTS[name])
      if DIFFERS[name] then
        assert.is_true(#differences > 0, "is met: take it out of the table")
        DIFFERS[name].check(seen)
      else
        assert.equal("", table.concat(differences, "\n"))
      end
    end)
  end

  it("is one of 187", function() assert.equal(187, #conformance.names()) end)
end)
