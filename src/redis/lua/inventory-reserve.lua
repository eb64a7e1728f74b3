-- The first of three steps of an allocation: reserve here, create in the account, close here. The journal lets the worker
-- finish or undo what a crash left half done.
-- KEYS[1] entries  KEYS[2] free  KEYS[3] pending (sorted set by real time)  KEYS[4] journal  KEYS[5] sequence
-- ARGV[1] id of the allocation
-- ARGV[2] JSON { account, parentId, by, status, ips: [{ ipId, entry? }] }
--         An `entry` is an address that the account brings; without one the longest free address is taken.
-- Returns { "ok", journal as JSON }, { "exhausted" } or { "known", address ... }; nothing is reserved then.
local allocation = cjson.decode(ARGV[2])
local known, wanted = {}, 0
for _, ip in ipairs(allocation.ips) do
  if ip.entry then
    if redis.call('HEXISTS', KEYS[1], ip.entry.address) == 1 then known[#known + 1] = ip.entry.address end
  else
    wanted = wanted + 1
  end
end
if #known > 0 then return { 'known', unpack(known, 1, math.min(#known, 100)) } end
if redis.call('ZCARD', KEYS[2]) < wanted then return { 'exhausted' } end

for _, ip in ipairs(allocation.ips) do
  if not ip.entry then
    local popped = redis.call('ZPOPMIN', KEYS[2])
    ip.entry = cjson.decode(redis.call('HGET', KEYS[1], popped[1]))
    ip.place = tonumber(popped[2])
  end
  ip.entry.state = 'reserved'
  ip.entry.account = allocation.account
  ip.entry.ipId = ip.ipId
  redis.call('HSET', KEYS[1], ip.entry.address, cjson.encode(ip.entry))
end
local time = redis.call('TIME')
local journal = cjson.encode(allocation)
redis.call('HSET', KEYS[4], ARGV[1], journal)
redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return { 'ok', journal }
