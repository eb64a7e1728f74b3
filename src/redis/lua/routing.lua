-- Which IP of a pool? Two sorted sets for each scope (`all` or the id of a pool) and family (4 or 6), so that a choice
-- costs the same among 1 and among 10 000 IPs. They are hints, checked against the hot record when an IP is picked:
--   warmline:{acct}:ready:<scope>:<family>  addresses that had room, by their place in the order of choice (score.lua)
--   warmline:{acct}:turn:<scope>:<family>   every address by the instant at which it has to be looked at again: the end
--                                           of its hour, or when it will have room (exact); +inf when that is never
-- Between two looks an IP is only used, so its true score is never lower than the one here; a refund and a publish, which
-- give room, place it anew.
local MOST_IPS = 128 -- the most IPs that one take looks at

local function family_of(address)
  return string.find(address, ':', 1, true) and '6' or '4'
end

local function number(value)
  return string.format('%.17g', value)
end

local function score_of(c)
  return score(c.gate == WARMING, c.w_daily, c.day_used, c.w_hourly, c.hour_used)
end

local function ready_key(prefix, scope, family) return prefix .. 'ready:' .. scope .. ':' .. family end
local function turn_key(prefix, scope, family) return prefix .. 'turn:' .. scope .. ':' .. family end

-- Puts a settled counter where it belongs in one scope.
local function place(prefix, scope, address, c)
  local family = family_of(address)
  local ready, turn = ready_key(prefix, scope, family), turn_key(prefix, scope, family)
  if read(c) >= 1 then
    redis.call('ZADD', ready, number(score_of(c)), address)
    redis.call('ZADD', turn, number(c.w_hour_to), address)
  else
    redis.call('ZREM', ready, address)
    local at = room_at(c, 1)
    redis.call('ZADD', turn, at and number(at) or '+inf', address)
  end
end

local function displace(prefix, scope, address)
  local family = family_of(address)
  redis.call('ZREM', ready_key(prefix, scope, family), address)
  redis.call('ZREM', turn_key(prefix, scope, family), address)
end

-- Places a settled counter in the account and in each of its pools.
local function place_everywhere(prefix, address, c)
  place(prefix, 'all', address, c)
  local _, _, _, _, pools = texts(c)
  for pool in string.gmatch(pools, '[^,]+') do place(prefix, pool, address, c) end
end
