-- What senders wanted: adds the sums of one process to the running hour of engine time. For people who look; decides nothing.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2..] four for each target that a sender named:
--   target   "ip <address or id>", "pool <id or name>", or "pool " where none was named
--   wanted   sends that were asked for      granted   sends of these that were granted
--   denied   for each reason "<code>=<sends>:<takes>:<id of an IP, or empty>", with spaces between; or empty
-- Returns how many targets were counted for themselves. An IP or pool that the account does not have is counted for the
-- account alone, and so is what comes after MOST_TARGETS of an hour.
-- Keys: demand:<hour>, a hash: `all`, the id of an IP or a pool, or `any` -> "<wanted> <granted>", then " <code>=<sends>"
--   for each reason; denied:<hour>, a hash: "<code> <target>" -> "<takes> <sends> <last instant> <id of the IP>"; demand-total,
--   a hash that only grows: wanted, granted and held:<code>; demand-hours, a sorted set: the hours there are.
-- The last 50 hours are kept: two days in any time zone.
--- @include "now"
local HOUR, HOURS_KEPT, MOST_TARGETS, MOST_DENIED, MOST_DROPPED = 3600000, 50, 10000, 200, 64
local prefix, now = ARGV[1], engine_now()
local hour = math.floor(now / HOUR) * HOUR
local function whole(value) return string.format('%.0f', value) end
local key, denied_key = prefix .. 'demand:' .. whole(hour), prefix .. 'denied:' .. whole(hour)
local total_key, hours_key = prefix .. 'demand-total', prefix .. 'demand-hours'
-- A process of a newer build may know reasons that this one does not; no more of them than fit.
local MOST_CODES = 16

local function target_of(named)
  local kind, name = string.match(named, '^(%a+) (.*)$')
  if kind == 'ip' then
    if string.sub(name, 1, 3) ~= 'ip_' then return redis.call('HGET', prefix .. 'addresses', name) end
    return redis.call('EXISTS', prefix .. 'ip:' .. name) == 1 and name
  end
  if kind ~= 'pool' then return false end
  if name == '' then return redis.call('GET', prefix .. 'default-pool') or 'any' end
  if redis.call('EXISTS', prefix .. 'pool:' .. name) == 1 then return name end
  return redis.call('HGET', prefix .. 'pool-names', name)
end

local function unpacked(text)
  local sum = { wanted = 0, granted = 0, codes = {}, order = {} }
  if not text then return sum end
  local wanted, granted, rest = string.match(text, '^(%d+) (%d+)(.*)$')
  sum.wanted, sum.granted = tonumber(wanted), tonumber(granted)
  for code, sends in string.gmatch(rest, ' (%a+)=(%d+)') do
    sum.codes[code] = tonumber(sends)
    sum.order[#sum.order + 1] = code
  end
  return sum
end

local function add(sum, wanted, granted, denied)
  sum.wanted, sum.granted = sum.wanted + wanted, sum.granted + granted
  for code, sends in string.gmatch(denied, '(%a+)=(%d+):%d+:[%w_]*') do
    if not sum.codes[code] and #sum.order < MOST_CODES then
      sum.codes[code] = 0
      sum.order[#sum.order + 1] = code
    end
    if sum.codes[code] then sum.codes[code] = sum.codes[code] + tonumber(sends) end
  end
end

local function packed(sum)
  local parts = { whole(sum.wanted), whole(sum.granted) }
  for _, code in ipairs(sum.order) do parts[#parts + 1] = code .. '=' .. whole(sum.codes[code]) end
  return table.concat(parts, ' ')
end

local function note_denials(target, denied)
  for code, sends, takes, id in string.gmatch(denied, '(%a+)=(%d+):(%d+):([%w_]*)') do
    local field = code .. ' ' .. target
    local known = redis.call('HGET', denied_key, field)
    if known or redis.call('HLEN', denied_key) < MOST_DENIED then
      local old_takes, old_sends = string.match(known or '0 0', '^(%d+) (%d+)')
      redis.call('HSET', denied_key, field,
        whole(old_takes + takes) .. ' ' .. whole(old_sends + sends) .. ' ' .. whole(now) .. ' ' .. id)
    end
  end
end

local added, counted, targets = unpacked(), 0, redis.call('HLEN', key)
for at = 2, #ARGV - 3, 4 do
  local wanted, granted, denied = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  add(added, wanted, granted, denied)
  local target = target_of(ARGV[at])
  if target then
    local known = redis.call('HGET', key, target)
    if known or targets < MOST_TARGETS then
      local sum = unpacked(known)
      add(sum, wanted, granted, denied)
      redis.call('HSET', key, target, packed(sum))
      counted = counted + 1
      if not known then targets = targets + 1 end
    end
    note_denials(target, denied)
  end
end
local all = unpacked(redis.call('HGET', key, 'all'))
all.wanted, all.granted = all.wanted + added.wanted, all.granted + added.granted
redis.call('HINCRBY', total_key, 'wanted', whole(added.wanted))
redis.call('HINCRBY', total_key, 'granted', whole(added.granted))
for _, code in ipairs(added.order) do
  if all.codes[code] or #all.order < MOST_CODES then
    if not all.codes[code] then
      all.codes[code] = 0
      all.order[#all.order + 1] = code
    end
    all.codes[code] = all.codes[code] + added.codes[code]
    redis.call('HINCRBY', total_key, 'held:' .. code, whole(added.codes[code]))
  end
end
redis.call('HSET', key, 'all', packed(all))

redis.call('ZADD', hours_key, hour, whole(hour))
local over = redis.call('ZRANGEBYSCORE', hours_key, '-inf', whole(hour - HOURS_KEPT * HOUR), 'LIMIT', 0, MOST_DROPPED)
for _, old in ipairs(over) do
  redis.call('UNLINK', prefix .. 'demand:' .. old, prefix .. 'denied:' .. old)
  redis.call('ZREM', hours_key, old)
end
return counted
