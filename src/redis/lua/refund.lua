-- Gives back sends that were not made. A receipt is credited at most once: to the day in the same day, to the hour in the
-- same hour, to the bucket up to its size.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys
-- ARGV[2..] groups of six: address, id, dayFrom, hourFrom, seq, count to credit
-- Key warmline:{acct}:refunded:<ipId> is the set of the seqs credited in the running day.
-- Returns the sends credited.
--- @include "now"
--- @include "counter"
--- @include "routing"
local prefix, now, refunded = ARGV[1], engine_now(), 0
for i = 2, #ARGV, 6 do
  local address, id = ARGV[i], ARGV[i + 1]
  local day_from, hour_from, seq, count = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), ARGV[i + 4], tonumber(ARGV[i + 5])
  local key = prefix .. 'hot:' .. address
  local raw = redis.call('GET', key)
  local c = raw and decode(raw)
  local closed = c and tonumber(redis.call('HGET', prefix .. 'sent:' .. id, 'closed') or 0)
  if c and (texts(c)) == id and tonumber(seq) <= c.seq and tonumber(seq) > closed then
    settle_and_file(prefix, c, now)
    if c.day_from == day_from and redis.call('SADD', prefix .. 'refunded:' .. id, seq) == 1 then
      count = min(count, c.day_used)
      c.day_used = c.day_used - count
      if c.hour_from == hour_from then c.hour_used = max(0, c.hour_used - count) end
      if c.w_burst >= 0 then c.level = min(c.w_burst * SEND_UNITS, c.level + count * SEND_UNITS) end
      write_state(prefix, key, c)
      -- In cooldown it takes part in no choice any more.
      if c.gate ~= CLOSED then place_everywhere(prefix, address, c) end
      refunded = refunded + count
    end
  end
end
return refunded
