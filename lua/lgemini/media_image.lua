--- How large an image is, from its header: PNG, JPEG and GIF. (WebP is in media_riff.lua, HEIC in media_boxes.lua.)

local binary = require "lgemini.binary"

local be, le = binary.be, binary.le

local media_image = {}

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_image.png(src)
  local head = src:need(12, 12)
  if head:sub(1, 4) ~= "IHDR" then
    src:broken("has no header of a PNG")
  end
  return { kind = "image", width = be(head, 5, 4), height = be(head, 9, 4) }
end

---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_image.gif(src)
  local head = src:need(6, 4)
  return { kind = "image", width = le(head, 1, 2), height = le(head, 3, 2) }
end

-- Markers of a frame, which has the size: 192 to 207 but for tables and the like.
local NO_FRAME = { [196] = true, [200] = true, [204] = true }
local SCAN, END = 218, 217

--- Goes from marker to marker, up to the frame.
---@param src lgemini.Bytes
---@return lgemini.MediaFacts
function media_image.jpeg(src)
  local at = 2
  while true do
    src:step()
    local head = src:need(at, 4)
    local first, marker = head:byte(1, 2)
    if first ~= 255 or marker == SCAN or marker == END then
      src:broken("has no frame of a JPEG")
    elseif marker == 255 then -- filled up
      at = at + 1
    elseif marker >= 192 and marker <= 207 and not NO_FRAME[marker] then
      head = src:need(at + 5, 4)
      return { kind = "image", width = be(head, 3, 2), height = be(head, 1, 2) }
    else
      at = at + 2 + be(head, 3, 2)
    end
  end
end

return media_image
