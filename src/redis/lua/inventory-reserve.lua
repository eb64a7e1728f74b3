-- The first of three steps of an allocation: reserve here, create in the account, close here. The journal lets the worker
-- finish or undo what a crash left half done.
-- KEYS[1] entries  KEYS[2] free  KEYS[3] pending (sorted set by real time)  KEYS[4] journal  KEYS[5] sequence
-- KEYS[6] closed (sorted set)
-- ARGV[1] id of the allocation
-- ARGV[2] JSON { account, parentId, by, status, once, ips: [{ ipId, entry? }] }
--         An `entry` is an address that the account brings; without one the longest free address is taken.
-- ARGV[3..] queues of a kind               warmline:{inventory}:free-in:<region>, ...; none: the queue of all
--         `once`: the request may be repeated, and the allocation with it. One that is under way goes on.
-- Returns { "ok", journal as JSON }, { "exhausted" } or { "known", address ... }; nothing is reserved then. With `once` also
--   { "confirm" } or { "undo" }: this allocation ended so before.
--- @include "inventory-queue"
local allocation = cjson.decode(ARGV[2])
if allocation.once then
  local under_way = redis.call('HGET', KEYS[4], ARGV[1])
  if under_way then return { 'ok', under_way } end
  for _, how in ipairs({ 'confirm', 'undo' }) do
    if redis.call('ZSCORE', KEYS[6], how .. ' ' .. ARGV[1]) then return { how } end
  end
end
local known, wanted = {}, 0
for _, ip in ipairs(allocation.ips) do
  if ip.entry then
    if redis.call('HEXISTS', KEYS[1], ip.entry.address) == 1 then known[#known + 1] = ip.entry.address end
  else
    wanted = wanted + 1
  end
end
if #known > 0 then return { 'known', unpack(known, 1, math.min(#known, 100)) } end

local queues = {}
for i = 3, #ARGV do queues[#queues + 1] = ARGV[i] end
if #queues == 0 then queues[1] = KEYS[2] end
local free = 0
for _, queue in ipairs(queues) do free = free + redis.call('ZCARD', queue) end
if free < wanted then return { 'exhausted' } end

-- The address that was free longest in any of the queues, and its place.
local function longest_free()
  local address, place
  for _, queue in ipairs(queues) do
    local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if first[1] and (not place or tonumber(first[2]) < place) then address, place = first[1], tonumber(first[2]) end
  end
  return address, place
end

for _, ip in ipairs(allocation.ips) do
  if not ip.entry then
    local address, place = longest_free()
    ip.entry = cjson.decode(redis.call('HGET', KEYS[1], address))
    ip.place = place
    take_from_queue(KEYS[2], ip.entry)
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
