-- The last step of an allocation: the account holds the addresses now, or they go back to where they were. Doing it twice
-- changes nothing, and an address that has gone on since (released, given to another) is left alone.
-- KEYS[1] entries  KEYS[2] free  KEYS[3] pending  KEYS[4] journal  KEYS[5] sequence  KEYS[6] closed
-- ARGV[1] id of the allocation   ARGV[2] confirm | undo
-- Returns 1, or 0 when it was closed before.
--- @include "inventory-queue"
--- @include "inventory-closed"
local journal = redis.call('HGET', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not journal then return 0 end
redis.call('HDEL', KEYS[4], ARGV[1])
if cjson.decode(journal).once then keep_closed(KEYS[6], ARGV[2] .. ' ' .. ARGV[1]) end
for _, ip in ipairs(cjson.decode(journal).ips) do
  local entry = ip.entry
  local raw = redis.call('HGET', KEYS[1], entry.address)
  local stands = raw and cjson.decode(raw)
  if not stands or stands.state ~= 'reserved' or stands.ipId ~= ip.ipId then
    -- Not this allocation's any more.
  elseif ARGV[2] == 'confirm' then
    entry.state = 'held'
    redis.call('HSET', KEYS[1], entry.address, cjson.encode(entry))
  elseif ip.place then
    entry.state, entry.account, entry.ipId = 'free', nil, nil
    redis.call('HSET', KEYS[1], entry.address, cjson.encode(entry))
    put_in_queue(KEYS[2], entry, ip.place)
  else
    redis.call('HDEL', KEYS[1], entry.address)
  end
end
return 1
