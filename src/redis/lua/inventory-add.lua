-- Adds addresses to the inventory, all or none.
-- KEYS[1] entries (hash address -> JSON)   KEYS[2] free (sorted set)   KEYS[3] sequence   KEYS[4] closed (sorted set)
-- ARGV[1] 1: skip addresses that are known; 0: refuse everything if one is known
-- ARGV[2] id of the request if it may be repeated, else empty: what it added is not added again
-- ARGV[3..] pairs: address, its entry as JSON
-- Returns { added, known addresses ... }; with 0 in ARGV[1] nothing is added when one is known.
--- @include "inventory-queue"
--- @include "inventory-closed"
if ARGV[2] ~= '' and redis.call('ZSCORE', KEYS[4], 'add ' .. ARGV[2]) then return { (#ARGV - 2) / 2 } end
local known = {}
for i = 3, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then known[#known + 1] = ARGV[i] end
end
if #known > 0 and ARGV[1] == '0' then return { 0, unpack(known, 1, math.min(#known, 100)) } end
local added = 0
if ARGV[2] ~= '' then keep_closed(KEYS[4], 'add ' .. ARGV[2]) end
for i = 3, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    put_in_queue(KEYS[2], cjson.decode(ARGV[i + 1]), redis.call('INCR', KEYS[3]))
    added = added + 1
  end
end
return { added, unpack(known, 1, math.min(#known, 100)) }
