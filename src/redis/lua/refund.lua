-- Gives back sends that were not made. A receipt is credited at most once: to the day in the same day, to the hour in the
-- same hour, to the bucket up to its size.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys
-- ARGV[2..] groups of six: address, id, dayFrom, hourFrom, seq, count to credit
-- Key warmline:{acct}:refunded:<ipId> is the set of the seqs credited in the running day.
-- Returns the sends credited.
--- @include "now"
--- @include "fence"
--- @include "counter"
--- @include "score"
--- @include "routing"
--- @include "credit"
local prefix, now, refunded = ARGV[1], engine_now(), 0
heed_fence(redis.call('GET', prefix .. 'fence'))
for i = 2, #ARGV, 6 do
  -- As one number has one spelling, one receipt has one name.
  local id, seq = ARGV[i + 1], tonumber(ARGV[i + 4])
  refunded = refunded + credit(prefix, now, ARGV[i], id, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), seq,
    tonumber(ARGV[i + 5]), function() return redis.call('SADD', prefix .. 'refunded:' .. id, number(seq)) == 1 end)
end
return refunded
