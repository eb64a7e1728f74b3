-- Takes sends ahead for one holder of a lease, and takes back what it did not use, in one step.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] holder                           an id that no other lease has
-- ARGV[3] verb                             "take"; "begin": a take in the holder's first second; "join": only be counted
--                                          among the holders; "end": be counted no more
-- ARGV[4] want                             most sends that are of use
-- ARGV[5] least                            fewest that are, from one IP
-- ARGV[6] waited                           ms since the holder was last given any, by its own clock (for fairness alone)
-- ARGV[7] "ip"     ARGV[8] address   ARGV[9] id that must hold it, or empty
--     or "pool"    ARGV[8] pool      ARGV[9] family, as in take-pool.lua
-- ARGV[10..] what comes back, groups of six: address, id, dayFrom, hourFrom, seq, sends. A seq below 0 is that of a grant
--     of which something was given back after its end: then sends is the sum of all that came so late.
-- Returns nil when there is no such pool or nothing is published for the IP, an empty string for "join" and "end", or
--   an answer (answer.lua), and behind it a double for each part: the ms until its hour ends, which no lease outlives.
--   retryAfterMs of a grant: before that, asking again is of no use.
--
-- warmline:{acct}:leases:<address or scope> is a hash: holder -> doubles (seen at, hour, sends drawn in it); "*" -> doubles
-- (the instant up to which what flows into the bucket is promised, when the holders were counted, how many are present).
-- warmline:{acct}:returned:<ipId> is a hash: holder -> seq of what it gave back last; "late:<seq>" -> the sum that came late.
-- What comes twice is not credited, so whoever does not know whether it arrived sends it again.
--- @include "now"
--- @include "fence"
--- @include "fast"
--- @include "score"
--- @include "choose-fast"
--- @include "counter"
--- @include "answer"
--- @include "routing"
--- @include "credit"
local prefix, holder, verb, want, least, waited = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local now, credited = engine_now(), 0
heed_fence(redis.call('GET', prefix .. 'fence'))
for i = 10, #ARGV, 6 do
  local id, seq, sends = ARGV[i + 1], tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local late, key = seq < 0, prefix .. 'returned:' .. id
  local field, value = holder, number(seq)
  if late then
    seq = -seq
    field, value = 'late:' .. number(seq), number(sends)
  end
  local last = tonumber(redis.call('HGET', key, field) or 0)
  if late then sends = sends - last end
  if sends > 0 and (late or seq > last) then
    credited = credited + credit(prefix, now, ARGV[i], id, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), seq, sends, function()
      redis.call('HSET', key, field, value)
      return true
    end)
  end
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
  if redis.call('HLEN', leases) == 1 then redis.call('HDEL', leases, '*') end
  return ''
end

-- A holder that was not heard of for so long wants nothing at the moment.
local PRESENT_MS, FORGOTTEN_MS, MOST_HOLDERS, COUNT_MS = 3000, 3600000, 1000, 1000
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

local promised, counted_at, present, all_drawn = 0, 0, 1, 0
local common = redis.call('HGET', leases, '*')
if common then promised, counted_at, present = struct.unpack('<ddd', common) end
local function remember_common()
  redis.call('HSET', leases, '*', struct.pack('<ddd', promised, counted_at, present))
end
-- Everybody is looked at once a second, and for each call when little is left.
local function count_holders()
  local entries = redis.call('HGETALL', leases)
  local kept_ms = #entries > 2 * MOST_HOLDERS and PRESENT_MS or FORGOTTEN_MS
  counted_at, present, all_drawn = now, 1, drawn
  for i = 1, #entries, 2 do
    if entries[i] ~= holder and entries[i] ~= '*' then
      local seen, of, count = struct.unpack('<ddd', entries[i + 1])
      -- A clock that went back leaves instants that are still to come: those, too, are not of now.
      local away = math.abs(now - seen)
      if away > kept_ms then
        redis.call('HDEL', leases, entries[i])
      elseif away <= PRESENT_MS then
        present = present + 1
        if of == hour then all_drawn = all_drawn + count end
      end
    end
  end
  remember_common()
end
if math.abs(now - counted_at) >= COUNT_MS then count_holders() end

-- What there is: of one IP, or of the first few in the order of choice and those whose turn is next.
local FEW = 8
local list, room = {}, 0
if by_ip then
  list[1] = { address = ARGV[8], c = ip, room = read(ip) }
else
  -- Of turns that have come together only as many are taken as it needs: an hour begins for all IPs at once.
  local turns, fit = 0, 0
  repeat
    local taken, more = take_turns(scope, families)
    list, turns, fit = candidates(scope, families, least > 1 and MOST_IPS or FEW), turns + taken, 0
    for _, one in ipairs(list) do
      if one.room >= least then fit = fit + 1 end
    end
  until not more or fit >= FEW or turns >= MOST_SET_RIGHT
  if #list < FEW then
    for _, family in ipairs(families) do
      for _, address in ipairs(redis.call('ZRANGE', turn_key(prefix, scope, family), 0, FEW - 1)) do
        local c = load(address)
        if c and read(c) < 1 then list[#list + 1] = { address = address, c = c, room = 0 } end
      end
    end
  end
end
-- Is it the bucket that limits, and not a day or an hour? How much flows into it, and how much does it hold?
local dry, dripping, per_hour, holds = true, false, 0, 0
for _, one in ipairs(list) do
  local _, binds = read(one.c)
  if one.room >= least then room = room + one.room end
  if binds == BY_BURST then
    dripping = true
    per_hour = per_hour + (one.c.w_hourly >= 0 and one.c.w_hourly or max(0, one.c.w_daily) / 24)
    holds = holds + one.c.w_burst
  elseif one.room >= 1 then
    dry = false
  end
end
dry = dry and dripping and per_hour > 0
local gate = scope and gate_of(scope)
if gate and gate.ceiling then
  local left = read(gate.ceiling)
  if left < room then room, dry = left, false end
end

-- At a dry bucket it is waited until asking pays: for what flows in within PAYS_MS, one holder after the other. Whoever is
-- given some is told at once when to come again.
local PAYS_MS, FARTHEST_MS = 100, 1000
local most, wait = want, nil
local pays = max(least, min(ceil(want / 2), floor(per_hour * PAYS_MS / HOUR), floor(holds / 2)))
-- The instant at which `pays` have flowed in beyond what is promised, when `left` are there.
local function promise(left)
  local missing = promised > now and pays or pays - left
  promised = min(max(now, promised) + ceil(missing * HOUR / per_hour), now + FARTHEST_MS)
  remember_common()
  return promised
end

-- Fair shares, as long as there is not plenty for everybody: what the holders drew in this hour and what is left, divided
-- among those that are present. Who has had its share gets a single one again each PATIENCE_MS, so that nothing stays
-- unused because somebody else might have wanted it. Processes start one after the other: of little, one that has just begun
-- gets as much as if it were one of EXPECTED, until the others had time to come.
local PLENTY, PATIENCE_MS, EXPECTED = 64, 250, 10
if dry and room < pays and (pays - room) * HOUR / per_hour <= FARTHEST_MS then
  wait = promise(room) - now
elseif dry and pays > 1 then
  most = min(want, max(pays, floor(room / (2 * present))))
elseif room >= least and room < PLENTY * present then
  count_holders()
  local begins = verb == 'begin'
  local sharing = begins and max(present, EXPECTED) or present
  if sharing > 1 then
    local share = ceil((all_drawn + room) / sharing) - drawn
    if share >= least then
      most = min(want, max(least, floor(share / 2)))
    elseif begins and drawn > 0 then
      wait = PATIENCE_MS
    elseif begins or waited >= PATIENCE_MS then
      most = least
    else
      wait = PATIENCE_MS - waited
    end
  else
    most = min(want, max(least, ceil(room / 2)))
  end
elseif present > 1 then
  most = min(want, max(least, floor(room / (2 * present))))
end

-- The doubles behind an answer; and in it, when to come again.
local function ends(parts)
  for i, one in ipairs(parts) do parts[i] = struct.pack('<d', one.c.w_hour_to - now) end
  return table.concat(parts)
end
local RETRY_AT = 6 * 8
local function come_again(reply, granted)
  local left = room - granted
  if not dry or pays <= 1 or left >= pays then return reply end
  return string.sub(reply, 1, RETRY_AT) .. struct.pack('<d', promise(left) - now) .. string.sub(reply, RETRY_AT + 9)
end
local NO_END = struct.pack('<d', 0)

if wait then
  remember(0)
  local first = list[1].c
  local _, binds, limit, remaining, resets = read(first)
  local again_at = now + max(1, ceil(wait))
  return answer(now, binds, 0, limit, remaining, resets, again_at, again_at, { part(first, 0) }) .. NO_END
end
if by_ip then
  local granted = min(most, list[1].room)
  if granted < least then
    remember(0)
    return denied(now, ip, ip, room_at(ip, least)) .. NO_END
  end
  charge(ip, granted, 1)
  write_state(prefix, prefix .. 'hot:' .. ARGV[8], ip)
  remember(granted)
  return come_again(allowed(now, ip, granted, granted, { part(ip, granted) }), granted) .. ends({ { c = ip } })
end
local among = nil
if least > 1 then
  -- All from one IP: the first that has so many. If none has, the one that will have them first.
  local best, best_at, soonest, soonest_at = nil, false, nil, false
  for _, one in ipairs(list) do
    if one.room >= least then
      among, most = { one.address }, min(most, one.room)
      break
    end
  end
  if not among then
    for _, one in ipairs(list) do
      local at, first_at = room_at(one.c, least), room_at(one.c, 1)
      if at and (not best_at or at < best_at) then best, best_at = one.c, at end
      if not soonest or (first_at and (not soonest_at or first_at < soonest_at)) then soonest, soonest_at = one.c, first_at end
    end
    if soonest then
      remember(0)
      return denied(now, best or soonest, best or soonest, best_at) .. NO_END
    end
  end
end
-- Fewer than `least` are of no use, should the ceiling of the pool leave no more.
local reply, granted, chosen = take_from_pool(scope, max(most, least), least == 1 or room >= least, false, ARGV[9], among)
remember(granted)
return granted > 0 and come_again(reply, granted) .. ends(chosen) or reply .. NO_END
