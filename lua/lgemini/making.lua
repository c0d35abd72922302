--- What client.models makes of texts, images and videos by models for that alone: loaded on first use.

require("lgemini.compat").goes_over_tables()

local answer = require "lgemini.answer"
local direct = require "lgemini.direct"
local endpoints = require "lgemini.endpoints"
local errors = require "lgemini.errors"
local options = require "lgemini.options"
local plans = require "lgemini.plan"
local service = require "lgemini.service"

local making = {}

local rows = endpoints.models

function making.images(client, args)
  local row = rows.generate_images
  local known = { model = true, prompt = true, config = service.known_config(row), contents = "prompt" }
  args = options.arguments(args, nil, known, "generate_images")
  local call, err = client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local sent
  sent, err = plans.of_instance(client, call, row, args, { instance = { prompt = args.prompt } })
  if not sent then
    return nil, err
  end
  local value
  value, err = direct.send(call, sent, row.answer, {})
  if not value then
    return nil, err
  end
  return answer.images(value)
end

local function video_plan(client, args)
  local beside = { prompt = args.prompt, image = args.image, video = args.video }
  options.table(args.source, "source")
  if args.source and next(beside) ~= nil then
    return nil, errors.new { kind = "invalid", message = "prompt, image and video stand in source, or in its place" }
  end
  return {
    instance = args.source or beside,
    place = args.source and "source",
    embed = function(value, field, place) return require("lgemini.attach").embed(client, value, field, place) end,
  }
end

function making.videos(client, args)
  local row = rows.generate_videos
  local source = { prompt = true, image = true, video = true }
  args = options.arguments(args, nil, { model = true, prompt = true, image = true, video = true, source = source,
    config = service.known_config(row), contents = "prompt", file = "image = { file = ... }" }, "generate_videos")
  local call, err = client:call(args.config, options.TOTAL)
  if not call then
    return nil, err
  end
  local plan, sent
  plan, err = video_plan(client, args)
  if not plan then
    return nil, err
  end
  sent, err = plans.of_instance(client, call, row, args, plan)
  if not sent then
    return nil, err
  end
  return require("lgemini.operations").ask(call, sent)
end

return making
