-- The common choice: no turn has come, the pool limits nothing itself, there is no IPv6 address, and whoever is first has an
-- entry in the index that is right and an hour that goes on. As with charge_fast, the long way (pool.lua) is not even loaded.
local call = redis.call

-- The scope of a pool that is named by id or name; empty: the default pool, else every IP. nil: there is none.
local function scope_of(prefix, pool)
  if pool == '' then return call('GET', prefix .. 'default-pool') or 'all' end
  return call('HGET', prefix .. 'pool-names', pool) or (call('EXISTS', prefix .. 'pool:' .. pool) == 1 and pool) or nil
end

-- Can a choice in this scope be a common one?
local function is_common(prefix, scope, now)
  return call('EXISTS', prefix .. 'gate:' .. scope, prefix .. 'ready:' .. scope .. ':6', prefix .. 'turn:' .. scope .. ':6') == 0
    and call('ZCOUNT', prefix .. 'turn:' .. scope .. ':4', '-inf', now) == 0
end

-- One take of `count` sends by the first in the order of choice. Returns the answer, or nil for the long way.
local function choose_fast(prefix, now, scope, count)
  local ready = prefix .. 'ready:' .. scope .. ':4'
  local first = call('ZRANGE', ready, 0, 0, 'WITHSCORES')
  if not first[1] then return end
  local key = prefix .. 'hot:' .. first[1]
  local raw = call('GET', key)
  if not raw then return end
  local state, left, limit, resets, day_from, hour_from, seq, warming, daily, day_used, hourly, hour_used =
    charge_fast(raw, now, count, 1)
  if not state or left < 1 or score(warming, daily, day_used - count, hourly, hour_used - count) ~= tonumber(first[2]) then return end
  call('SETRANGE', key, 8, state)
  call('ZADD', ready, score(warming, daily, day_used, hourly, hour_used), first[1])
  return answer_fast(raw, now, left, limit, resets, day_from, hour_from, seq)
end
