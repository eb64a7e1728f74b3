-- The queues of free addresses, with the same places in each: one of all, one of each region, and both again for the IPv4
-- addresses alone, which are all that some clients can name. So taking an address of a kind looks at no others. Addresses of
-- no region stand in the queue of the empty name.
local function queues_of(free, entry)
  local region = type(entry.region) == 'string' and entry.region or ''
  local queues = { free, free .. '-in:' .. region }
  if not string.find(entry.address, ':', 1, true) then
    queues[3], queues[4] = free .. '-v4', free .. '-v4-in:' .. region
  end
  return queues
end

local function put_in_queue(free, entry, place)
  for _, queue in ipairs(queues_of(free, entry)) do redis.call('ZADD', queue, place, entry.address) end
end

local function take_from_queue(free, entry)
  for _, queue in ipairs(queues_of(free, entry)) do redis.call('ZREM', queue, entry.address) end
end
