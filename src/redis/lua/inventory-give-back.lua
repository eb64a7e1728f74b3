-- Takes back an address whose cooldown is over: a leased one is free again, behind those that are free already; a brought
-- one leaves. An address that another IP holds by now is left alone, so that doing it twice changes nothing.
-- KEYS[1] entries  KEYS[2] free  KEYS[3] sequence
-- ARGV[1] address   ARGV[2] id of the IP that held it
-- Returns 1, or 0 when there was nothing to do.
--- @include "inventory-queue"
local raw = redis.call('HGET', KEYS[1], ARGV[1])
if not raw then return 0 end
local entry = cjson.decode(raw)
if entry.ipId ~= ARGV[2] then return 0 end
if entry.leased then
  entry.state, entry.account, entry.ipId = 'free', nil, nil
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
  put_in_queue(KEYS[2], entry, redis.call('INCR', KEYS[3]))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
