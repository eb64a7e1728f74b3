-- The queue of free addresses: one of all, and one of each region with the same places, so that taking an address of a
-- region looks at no others. Addresses of no region stand in the queue of the empty name.
local function queue_of_region(free, entry)
  local region = entry.region
  return free .. '-in:' .. (type(region) == 'string' and region or '')
end

local function put_in_queue(free, entry, place)
  redis.call('ZADD', free, place, entry.address)
  redis.call('ZADD', queue_of_region(free, entry), place, entry.address)
end

local function take_from_queue(free, entry)
  redis.call('ZREM', free, entry.address)
  redis.call('ZREM', queue_of_region(free, entry), entry.address)
end
