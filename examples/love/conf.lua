function love.conf(t)
  t.identity = "lantern-bay"
  t.version = "11.4"
  t.window.title = "Lantern Bay"
  t.window.width, t.window.height = 960, 600
  t.window.msaa = 4
  t.modules.audio, t.modules.sound, t.modules.physics = false, false, false
  t.modules.joystick, t.modules.video = false, false
end
