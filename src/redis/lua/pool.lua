-- Takes from a pool, or from any IP of the account: warming IPs first, the rest overflows to active ones, and among equals
-- the lowest used/limit. A count may be spread over several IPs, at most MOST_IPS. Nothing is scanned.
-- Needs `prefix` and `now`.

-- Hot records are read once for each call of the script.
local loaded = {}
local function take_in(address, raw)
  local c = raw and decode(raw) or false
  if c then settle_and_file(c, now) end
  loaded[address] = c
  return c
end
local function load(address)
  local c = loaded[address]
  if c == nil then c = take_in(address, redis.call('GET', prefix .. 'hot:' .. address)) end
  return c
end
local function load_all(addresses)
  local keys, missing = {}, {}
  for _, address in ipairs(addresses) do
    if loaded[address] == nil then
      missing[#missing + 1] = address
      keys[#keys + 1] = prefix .. 'hot:' .. address
    end
  end
  if #keys == 0 then return end
  local raws = redis.call('MGET', unpack(keys))
  for i, address in ipairs(missing) do take_in(address, raws[i]) end
end

local BOTH, ONLY_V4 = { '4', '6' }, { '4' }
-- Most accounts have no IPv6 address: one look saves two.
local function families_of(scope, family)
  if family ~= '' then return { family } end
  return redis.call('EXISTS', ready_key(prefix, scope, '6'), turn_key(prefix, scope, '6')) > 0 and BOTH or ONLY_V4
end

local function refresh(scope, address)
  local c = load(address)
  if c then place(prefix, scope, address, c) else displace(prefix, scope, address) end
end

local function before(a, b)
  if a.score ~= b.score then return a.score < b.score end
  return a.address < b.address
end
local function in_order(list)
  if #list > 1 then table.sort(list, before) end
  return list
end

-- Turns that have come are taken first, so that an hour that began has its IPs ready. Returns how many, and whether more wait.
local function take_turns(scope, families)
  local turns, more = 0, false
  for _, family in ipairs(families) do
    local due = redis.call('ZRANGEBYSCORE', turn_key(prefix, scope, family), '-inf', number(now), 'LIMIT', 0, MOST_IPS)
    if #due > 0 then
      load_all(due)
      for _, address in ipairs(due) do refresh(scope, address) end
      turns, more = turns + #due, more or #due == MOST_IPS
    end
  end
  return turns, more
end

local function is_member(c, scope)
  if scope == 'all' then return true end
  local _, _, _, _, pools = texts(c)
  return string.find(',' .. pools .. ',', ',' .. scope .. ',', 1, true) ~= nil
end

-- The first `most` IPs with room in the order of choice, as { address, c, room, score }. Entries that the index has wrong
-- are set right on the way, and the list is then read again. Takes by IP may have made many of them wrong: after
-- ENOUGH_SET_RIGHT the best of those looked at will do, and only when none of them has room it goes on, up to MOST_SET_RIGHT.
local ENOUGH_SET_RIGHT, MOST_SET_RIGHT = 2 * MOST_IPS, 32 * MOST_IPS
local set_right, gave_up = 0, false
local function candidates(scope, families, most)
  while true do
    local list, stale = {}, false
    for _, family in ipairs(families) do
      local entries = redis.call('ZRANGE', ready_key(prefix, scope, family), 0, most - 1, 'WITHSCORES')
      if #entries > 2 then
        local addresses = {}
        for i = 1, #entries, 2 do addresses[#addresses + 1] = entries[i] end
        load_all(addresses)
      end
      for i = 1, #entries, 2 do
        local address, score = entries[i], tonumber(entries[i + 1])
        local c = load(address)
        local room = c and read(c) or 0
        if room < 1 or score_of(c) ~= score then
          refresh(scope, address)
          stale, set_right = true, set_right + 1
        else
          list[#list + 1] = { address = address, c = c, room = room, score = score }
        end
      end
    end
    if not stale then
      -- Of two families only the first `most` together are sure: behind them one may hide that was not read.
      in_order(list)
      for i = #list, most + 1, -1 do list[i] = nil end
      return list
    end
    if set_right >= ENOUGH_SET_RIGHT then
      list = {}
      for address, c in pairs(loaded) do
        local room = c and is_member(c, scope) and (#families == 2 or family_of(address) == families[1]) and read(c) or 0
        if room >= 1 then list[#list + 1] = { address = address, c = c, room = room, score = score_of(c) } end
      end
      if #list > 0 then return in_order(list) end
      if set_right >= MOST_SET_RIGHT then
        gave_up = true
        return list
      end
    end
  end
end

-- The IPs that the caller named, each once: those with room in the order of choice, and the others.
local function named_ones(scope, family, among)
  local list, waiting, seen = {}, {}, {}
  load_all(among)
  for _, address in ipairs(among) do
    local c = not seen[address] and load(address)
    seen[address] = true
    if c and is_member(c, scope) and (family == '' or family_of(address) == family) then
      local room = read(c)
      local one = { address = address, c = c, room = room, score = score_of(c) }
      if room >= 1 then list[#list + 1] = one else waiting[#waiting + 1] = one end
    end
  end
  return in_order(list), waiting
end

-- Spreads `wanted` over a list in its order; `allow` bounds the part of warming IPs.
local function spread(list, wanted, allow)
  local chosen, total, missing = {}, 0, wanted
  local function fill(one, most)
    local already = one.chosen and one.chosen.count or 0
    local more = min(missing, one.room - already, most)
    if more < 1 then return 0 end
    if one.chosen then
      one.chosen.count = one.chosen.count + more
    else
      one.chosen = { address = one.address, c = one.c, count = more, warming = one.score < BAND }
      chosen[#chosen + 1] = one.chosen
    end
    missing, total = missing - more, total + more
    return more
  end
  local warming = 0
  for _, one in ipairs(list) do
    if missing == 0 then break end
    if one.score < BAND then
      warming = warming + fill(one, allow - warming)
    else
      fill(one, HUGE)
    end
  end
  -- The share bounds warming IPs only while an active one has room.
  for _, one in ipairs(list) do
    if missing == 0 then break end
    fill(one, HUGE)
  end
  return chosen, total
end

-- Writes the state of IPs that were charged, and their place in the choice of one scope: { address, c }.
local function write_charged(scope, charged)
  if #charged == 1 then
    write_state(prefix, prefix .. 'hot:' .. charged[1].address, charged[1].c)
  else
    local writes = {}
    for _, one in ipairs(charged) do
      file(prefix, one.c)
      writes[#writes + 1] = prefix .. 'hot:' .. one.address
      writes[#writes + 1] = string.sub(one.c.raw, 1, 8) .. encode_state(one.c) .. string.sub(one.c.raw, 65)
    end
    redis.call('MSET', unpack(writes))
  end
  local scores = {}
  for _, one in ipairs(charged) do
    if read(one.c) >= 1 then
      local family = family_of(one.address)
      local entries = scores[family] or {}
      entries[#entries + 1] = number(score_of(one.c))
      entries[#entries + 1] = one.address
      scores[family] = entries
    else
      place(prefix, scope, one.address, one.c)
    end
  end
  for family, entries in pairs(scores) do redis.call('ZADD', ready_key(prefix, scope, family), unpack(entries)) end
end

-- What the pool itself limits, key warmline:{acct}:gate:<poolId>: four doubles (warmingShare, hourFrom, warmingUsed,
-- totalUsed), then the counter of its ceiling if it has one. No key: nothing is limited.
local function gate_of(scope)
  local raw = scope ~= 'all' and redis.call('GET', prefix .. 'gate:' .. scope)
  if not raw then return nil end
  local gate = {}
  gate.share, gate.hour, gate.warming, gate.total = struct.unpack('<dddd', raw)
  local hour = floor(now / HOUR) * HOUR
  if hour > gate.hour then gate.hour, gate.warming, gate.total = hour, 0, 0 end
  if #raw > 32 then
    gate.ceiling = decode(string.sub(raw, 33))
    settle_known(gate.ceiling, now)
  end
  return gate
end
local function write_gate(scope, gate)
  redis.call('SETRANGE', prefix .. 'gate:' .. scope, 0, struct.pack('<dddd', gate.share, gate.hour, gate.warming, gate.total))
  if gate.ceiling then redis.call('SETRANGE', prefix .. 'gate:' .. scope, 40, encode_state(gate.ceiling)) end
end

-- The IP that will do soonest for a take that is denied now, and when: { c, at, soonest }.
local function wait_for(all, need)
  local best, best_at, soonest, soonest_at = nil, false, nil, false
  for _, one in ipairs(all) do
    local at = room_at(one.c, need)
    if at and (not best_at or at < best_at) then best, best_at = one.c, at end
    local first_at = need == 1 and at or room_at(one.c, 1)
    if not soonest or (first_at and (not soonest_at or first_at < soonest_at)) then soonest, soonest_at = one.c, first_at end
  end
  -- Several IPs together may have room before any one of them: room never falls while nobody takes, so the first instant
  -- at which the sum suffices is found by halving, to the millisecond.
  if need > 1 and #all > 1 then
    local function enough(at)
      local sum = 0
      for _, one in ipairs(all) do
        sum = sum + room_then(one.c, at)
        if sum >= need then return true end
      end
      return false
    end
    local low, high = now, best_at or now
    if not best_at then
      for _, one in ipairs(all) do
        if one.c.held_until < HUGE then high = max(high, one.c.held_until) end
      end
      high = high + 9 * DAY
    end
    if best_at or enough(high) then
      while high - low > 1 do
        local middle = floor((low + high) / 2)
        if enough(middle) then high = middle else low = middle end
      end
      if not best_at or high < best_at then best, best_at = soonest, high end
    end
  end
  return best, best_at, soonest
end

-- One take. `among`: addresses, or nil for all. Returns the answer, the sends
-- granted, and the IPs that granted them, each { address, c, count }.
local function take_from_pool(scope, count, partial, peek, family, among)
  set_right, gave_up = 0, false
  local families, gate = families_of(scope, family), gate_of(scope)
  local ceiling, wanted, allow = gate and gate.ceiling, count, HUGE
  if ceiling then
    local room = read(ceiling)
    if room < count then wanted = partial and room or 0 end
  end
  local shared = gate and gate.share < 1
  if shared then allow = max(0, floor(gate.share * (gate.total + count)) - gate.warming) end

  local list, waiting, chosen, total = {}, nil, {}, 0
  if among then
    list, waiting = named_ones(scope, family, among)
    if wanted > 0 then chosen, total = spread(list, wanted, allow) end
  else
    -- When many turns have come together, others may have used up the first ones: a take that those do not satisfy goes
    -- on, up to MOST_SET_RIGHT.
    local turns, more_turns = 0, false
    repeat
      local taken
      taken, more_turns = take_turns(scope, families)
      turns = turns + taken
      for _, most in ipairs(wanted == 0 and {} or shared and { MOST_IPS } or { 1, 8, MOST_IPS }) do
        list = candidates(scope, families, most)
        chosen, total = spread(list, wanted, allow)
        if total >= wanted or #list < most then break end
        for _, one in ipairs(list) do one.chosen = nil end
      end
      local satisfied = wanted > 0 and total >= wanted
    until satisfied or not more_turns or turns >= MOST_SET_RIGHT
    if more_turns then gave_up = true end
  end

  if total >= wanted and wanted > 0 or (partial and total > 0) then
    local parts = {}
    for i, one in ipairs(chosen) do
      charge(one.c, one.count, 1)
      parts[i] = part(one.c, one.count)
      if one.warming and gate then gate.warming = gate.warming + one.count end
    end
    if ceiling then charge(ceiling, total, 1) end
    if not peek then
      write_charged(scope, chosen)
      if gate then
        gate.total = gate.total + total
        write_gate(scope, gate)
      end
    end
    return allowed(now, chosen[1].c, total, count, parts, wanted < count and total == wanted and ceiling or nil), total, chosen
  end

  -- Denied. The IPs that count: those with some room, and those whose turn comes soonest.
  local need = partial and 1 or count
  if not waiting then
    waiting = {}
    if ceiling and wanted == 0 then list = candidates(scope, families, MOST_IPS) end
    local most = (need == 1 and #list == 0) and 1 or MOST_IPS
    for _, one_family in ipairs(families) do
      for _, address in ipairs(redis.call('ZRANGE', turn_key(prefix, scope, one_family), 0, most - 1)) do
        local c = load(address)
        if c and read(c) < 1 then waiting[#waiting + 1] = { address = address, c = c, room = 0 } end
      end
    end
  end
  local all = {}
  for _, one in ipairs(list) do all[#all + 1] = one end
  for _, one in ipairs(waiting) do all[#all + 1] = one end
  local best, best_at, soonest = wait_for(all, need)

  local binding = best or soonest
  if gave_up then
    -- Thousands were out of date, and now they are not: the same take finds what there is.
    best_at = now + 1
    if not binding then for _, c in pairs(loaded) do binding = binding or c end end
  end
  if ceiling and read(ceiling) < need then
    local at = room_at(ceiling, need)
    if not at then
      best_at = false
    elseif best_at then
      best_at = max(best_at, at)
    end
    binding = ceiling
  end
  if not binding then return answer(now, BY_STATUS, 0, -1, 0, now, false, -1, { part(nil, 0) }), 0, {} end
  -- A pool's ceiling has no text of its own: the IP is named by the best one.
  return denied(now, best or soonest, binding, best_at), 0, {}
end
