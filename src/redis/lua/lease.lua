-- Takes sends ahead for one holder of a lease, and takes back what it did not use, in one step.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] holder                           an id that no other lease has
-- ARGV[3] verb                             "take"; "join": only be counted among the holders; "end": be counted no more
-- ARGV[4] want                             most sends that are of use
-- ARGV[5] least                            fewest that are, from one IP
-- ARGV[6] waited                           ms since the holder was last given any, by its own clock (for fairness alone)
-- ARGV[7] "ip"     ARGV[8] address   ARGV[9] id that must hold it, or empty
--     or "pool"    ARGV[8] pool      ARGV[9] family, as in take-pool.lua
-- ARGV[10..] what comes back, groups of six: address, id, dayFrom, hourFrom, seq, sends
-- Returns nil when there is no such pool or nothing is published for the IP, an empty string for "join" and "end", or
--   an answer (answer.lua), and behind it a double for each part: the ms until its hour ends, which no lease outlives.
--
-- warmline:{acct}:leases:<address or scope> is a hash: holder -> doubles (seen at, hour, sends drawn in it); "*" -> the
-- instant up to which what flows into the bucket is promised to holders that wait.
-- warmline:{acct}:returned:<ipId> is a hash: holder -> seq of what it gave back last. What comes late or twice is not credited.
--- @include "now"
--- @include "fast"
--- @include "score"
--- @include "choose-fast"
--- @include "counter"
--- @include "answer"
--- @include "routing"
--- @include "credit"
local prefix, holder, verb, want, least, waited = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local now, credited = engine_now(), 0
for i = 10, #ARGV, 6 do
  local id, seq = ARGV[i + 1], tonumber(ARGV[i + 4])
  credited = credited + credit(prefix, now, ARGV[i], id, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), seq, tonumber(ARGV[i + 5]), function()
    local last = redis.call('HGET', prefix .. 'returned:' .. id, holder)
    if last and tonumber(last) >= seq then return false end
    redis.call('HSET', prefix .. 'returned:' .. id, holder, number(seq))
    return true
  end)
end

--- @include "pool"
local by_ip, scope, ip, families = ARGV[7] == 'ip', nil, nil, nil
if by_ip then
  ip = load(ARGV[8])
  if verb ~= 'end' and (not ip or (ARGV[9] ~= '' and not is_of(ip, ARGV[9]))) then return false end
else
  scope = scope_of(prefix, ARGV[8])
  if not scope then return verb == 'end' and '' or false end
  families = families_of(scope, ARGV[9])
end
local leases = prefix .. 'leases:' .. (by_ip and ARGV[8] or scope)
if verb == 'end' then
  redis.call('HDEL', leases, holder)
  return ''
end

-- A holder that was not heard of for so long wants nothing at the moment.
local PRESENT_MS, FORGOTTEN_MS, MOST_HOLDERS = 3000, 3600000, 1000
local hour, drawn = floor(now / HOUR), 0
local mine = redis.call('HGET', leases, holder)
if mine then
  local _, of, count = struct.unpack('<ddd', mine)
  if of == hour then drawn = max(0, count - credited) end
end
local function remember(more)
  redis.call('HSET', leases, holder, struct.pack('<ddd', now, hour, drawn + more))
end
if verb == 'join' then
  remember(0)
  return ''
end

-- What there is: of one IP, or of the first few in the order of choice.
local FEW = 8
local list, room, per_hour, dry = {}, 0, 0, true
if by_ip then
  list[1] = { address = ARGV[8], c = ip, room = read(ip) }
else
  local turns, more
  repeat turns, more = take_turns(scope, families) until not more
  list = candidates(scope, families, least > 1 and MOST_IPS or FEW)
end
for _, one in ipairs(list) do
  room = room + (one.room >= least and one.room or 0)
  local _, binds = read(one.c)
  dry = dry and binds == BY_BURST
  per_hour = per_hour + (one.c.w_hourly >= 0 and one.c.w_hourly or max(0, one.c.w_daily) / 24)
end

-- Fair shares, as long as there is not plenty for everybody: what the holders drew in this hour and what is left, divided
-- among those that are present. Who has had its share gets a single one again each PATIENCE_MS, so that nothing stays
-- unused because somebody else might have wanted it.
local PLENTY, PATIENCE_MS = 64, 250
local most, others, wait = want, redis.call('HLEN', leases), nil
if others > MOST_HOLDERS then redis.call('DEL', leases) end
if room >= least and room < PLENTY * max(1, others) then
  local present, all_drawn = 1, drawn
  local entries = redis.call('HGETALL', leases)
  for i = 1, #entries, 2 do
    if entries[i] ~= holder and entries[i] ~= '*' then
      local seen, of, count = struct.unpack('<ddd', entries[i + 1])
      if now - seen > FORGOTTEN_MS then
        redis.call('HDEL', leases, entries[i])
      elseif now - seen <= PRESENT_MS then
        present = present + 1
        if of == hour then all_drawn = all_drawn + count end
      end
    end
  end
  if present > 1 then
    local share = ceil((all_drawn + room) / present) - drawn
    if share >= least then
      most = min(want, max(least, floor(share / 2)))
    elseif waited >= PATIENCE_MS then
      most = least
    else
      wait = PATIENCE_MS - waited
    end
  else
    most = min(want, max(least, ceil(room / 2)))
  end
elseif others > 1 then
  most = min(want, max(least, floor(room / (2 * others))))
end

-- At a dry bucket it is waited until asking pays: for what flows in within PAYS_MS, one holder after the other.
local PAYS_MS, FARTHEST_MS = 100, 1000
local pays = max(least, min(ceil(want / 2), floor(per_hour * PAYS_MS / HOUR)))
if dry and pays > 1 and per_hour > 0 and list[1] and not wait then
  local promised = redis.call('HGET', leases, '*')
  promised = promised and struct.unpack('<d', promised) or 0
  if room < pays then
    local missing = promised > now and pays or pays - room
    local at = max(now, promised) + ceil(missing * HOUR / per_hour)
    if at > now + FARTHEST_MS then at = now + FARTHEST_MS end
    redis.call('HSET', leases, '*', struct.pack('<d', at))
    wait = at - now
  elseif promised > now then
    most = min(most, pays)
  end
end

local function ends(parts)
  for i, one in ipairs(parts) do parts[i] = struct.pack('<d', one.c.w_hour_to - now) end
  return table.concat(parts)
end

if wait then
  remember(0)
  local first = list[1].c
  local _, binds, limit, remaining, resets = read(first)
  local again_at = now + max(1, ceil(wait))
  return answer(now, binds, 0, limit, remaining, resets, again_at, again_at, { part(first, 0) }) .. struct.pack('<d', 0)
end
if by_ip then
  local granted = min(most, list[1].room)
  if granted < least then
    remember(0)
    return denied(now, ip, ip, room_at(ip, least)) .. struct.pack('<d', 0)
  end
  charge(ip, granted, 1)
  write_state(prefix, prefix .. 'hot:' .. ARGV[8], ip)
  remember(granted)
  return allowed(now, ip, granted, granted, { part(ip, granted) }) .. ends({ { c = ip } })
end
local among = nil
if least > 1 then
  for _, one in ipairs(list) do
    if one.room >= least then
      among, most = { one.address }, min(most, one.room)
      break
    end
  end
end
local reply, granted, chosen = take_from_pool(scope, (among or least == 1) and most or least, least == 1 or among ~= nil, false, ARGV[9], among)
remember(granted)
return reply .. (granted > 0 and ends(chosen) or struct.pack('<d', 0))
