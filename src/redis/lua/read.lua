-- Reads what a look at one IP needs, in one round trip and at one instant.
-- KEYS[1] hot record   KEYS[2] what was sent (hash)   KEYS[3] fence (fence.lua)
-- Returns { now, hot record or false, hours, days, fence or false }; hours and days as entries of 12 bytes, oldest first: from in ms as a
-- double, sends as four bytes.
--- @include "now"
--- @include "fence"
--- @include "counter"
local function entries(kind)
  local all, packed = filed(KEYS[2], kind), {}
  for at = max(1, #all - kind.keep + 1), #all do
    packed[#packed + 1] = struct.pack('<dI4', all[at][1], min(all[at][2], 4294967295))
  end
  return table.concat(packed)
end
return { engine_now(), redis.call('GET', KEYS[1]), entries(HOURS), entries(DAYS), redis.call('GET', KEYS[3]) }
