-- Credits sends to the IP that granted them: to the day in the same day, to the hour in the same hour, to the bucket up to
-- its size. `once` is asked last, and remembers that this was credited; it says whether it was not before.
-- What was granted before the last fence credits nothing: Redis may have forgotten it, or that it was credited before, and what
-- is used up must stay so.
-- Returns the sends credited.
local function credit(prefix, now, address, id, day_from, hour_from, seq, count, once)
  local key = prefix .. 'hot:' .. address
  local raw = redis.call('GET', key)
  local c = raw and decode(raw)
  if not c or not is_of(c, id) or seq > c.seq or seq <= first_seq then return 0 end
  if seq <= tonumber(redis.call('HGET', prefix .. 'sent:' .. id, 'closed') or 0) then return 0 end
  settle_and_file(c, now)
  if c.day_from ~= day_from or not once() then return 0 end
  count = min(count, c.day_used)
  c.day_used = c.day_used - count
  if c.hour_from == hour_from then c.hour_used = max(0, c.hour_used - count) end
  if c.w_burst >= 0 then c.level = min(c.w_burst * SEND_UNITS, c.level + count * SEND_UNITS) end
  write_state(prefix, key, c)
  -- In cooldown it takes part in no choice any more.
  if c.gate ~= CLOSED then place_everywhere(prefix, address, c) end
  return count
end
