local timers = require "lgemini.timers"

describe("timers", function()
  local function names(heap)
    local list = {}
    while heap:first() do
      list[#list + 1] = heap:first().name
      heap:remove(heap:first())
    end
    return table.concat(list, " ")
  end

  it("give the earliest first, and of those with one instant the first that came", function()
    local heap = timers.new()
    for name, instant in ("a=5 b=3 c=5 d=1 e=3 f=5"):gmatch "(%a)=(%d)" do
      heap:add({ name = name }, tonumber(instant))
    end
    assert.equal("d b e a c f", names(heap))
    assert.is_nil(heap:first())
    assert.equal(0, heap.count)
  end)

  it("let go of any, and of one that is not in", function()
    local heap, waiters = timers.new(), {}
    for i = 1, 9 do
      waiters[i] = { name = i }
      heap:add(waiters[i], (i * 4) % 10)
    end
    heap:remove(waiters[3])
    heap:remove(waiters[5])
    heap:remove(waiters[5])
    heap:remove {}
    assert.equal("8 1 6 4 9 2 7", names(heap))
  end)

  it("are a sorted list to whoever looks, whatever comes and goes", function()
    local seed = 1
    local function random(n)
      seed = (seed * 16807) % 2147483647
      return seed % n + 1
    end
    local heap, model, orders = timers.new(), {}, 0
    for _ = 1, 5000 do
      if random(5) < 4 or #model == 0 then
        orders = orders + 1
        local waiter = { at = random(50), n = orders }
        heap:add(waiter, waiter.at)
        model[#model + 1] = waiter
      else
        heap:remove(table.remove(model, random(#model)))
      end
      local first
      for _, waiter in ipairs(model) do
        if not first or waiter.at < first.at or (waiter.at == first.at and waiter.n < first.n) then first = waiter end
      end
      assert.equal(first, heap:first())
      assert.equal(#model, heap.count)
    end
  end)
end)
