-- Takes sends from a pool, or from any IP of the account: warming IPs first, the rest overflows to active ones, and among
-- equals the lowest used/limit. The count may be spread over several IPs, at most 128. Nothing is scanned.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] count   ARGV[3] partial   ARGV[4] peek     as in take-ip.lua
-- ARGV[5] pool                             id or name; empty: the default pool, else every IP of the account
-- ARGV[6] family                           4, 6, or empty for both
-- ARGV[7..] among                          addresses; only these are considered (at most 100)
-- Returns { "unknown pool" }, or the answer of take-ip.lua with one group of six for each IP granted.
--- @include "now"
--- @include "counter"
--- @include "reply"
--- @include "routing"
local prefix, count, partial, peek = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local now = engine_now()

local scope = ARGV[5]
if scope == '' then
  scope = redis.call('GET', prefix .. 'default-pool') or 'all'
elseif redis.call('EXISTS', prefix .. 'pool:' .. scope) == 0 then
  scope = redis.call('HGET', prefix .. 'pool-names', scope)
  if not scope then return { 'unknown pool' } end
end
local families = ARGV[6] == '' and { '4', '6' } or { ARGV[6] }

-- What the pool itself limits, key warmline:{acct}:gate:<poolId>: four doubles (warmingShare, hourFrom, warmingUsed,
-- totalUsed), then the counter of its ceiling if it has one. No key: nothing is limited.
local share, share_hour, share_warming, share_total, ceiling = 1, 0, 0, 0, nil
local gate = scope ~= 'all' and redis.call('GET', prefix .. 'gate:' .. scope)
if gate then
  share, share_hour, share_warming, share_total = struct.unpack('<dddd', gate)
  local hour = floor(now / HOUR) * HOUR
  if hour > share_hour then share_hour, share_warming, share_total = hour, 0, 0 end
  if #gate > 32 then
    ceiling = decode(string.sub(gate, 33))
    settle(ceiling, now)
  end
end

-- Hot records are read once for each take.
local loaded = {}
local function load(address)
  local c = loaded[address]
  if c == nil then
    local raw = redis.call('GET', prefix .. 'hot:' .. address)
    c = raw and decode(raw) or false
    if c then settle_and_file(prefix, c, now) end
    loaded[address] = c
  end
  return c
end

local function refresh(address)
  local c = load(address)
  if c then place(prefix, scope, address, c) else displace(prefix, scope, address) end
end

local function in_order(list)
  table.sort(list, function(a, b)
    if a.score ~= b.score then return a.score < b.score end
    return a.address < b.address
  end)
  return list
end

-- The first `most` IPs with room in the order of choice, as { address, c, room, score }. Entries that the index has wrong
-- are set right on the way, and the list is then read again. Takes by IP may have made many of them wrong: after
-- ENOUGH_SET_RIGHT the best of those looked at will do, and only when none of them has room it goes on, up to MOST_SET_RIGHT.
local ENOUGH_SET_RIGHT, MOST_SET_RIGHT = 2 * MOST_IPS, 32 * MOST_IPS
local set_right, gave_up = 0, false
local function candidates(most)
  while true do
    local list, stale = {}, false
    for _, family in ipairs(families) do
      local entries = redis.call('ZRANGE', ready_key(prefix, scope, family), 0, most - 1, 'WITHSCORES')
      for i = 1, #entries, 2 do
        local address, score = entries[i], tonumber(entries[i + 1])
        local c = load(address)
        local room = c and read(c) or 0
        if room < 1 or score_of(c) ~= score then
          refresh(address)
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
        local room = c and read(c) or 0
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

local function is_member(c)
  if scope == 'all' then return true end
  local _, _, _, _, pools = texts(c)
  return string.find(',' .. pools .. ',', ',' .. scope .. ',', 1, true) ~= nil
end

-- The IPs that the caller named, each once: those with room in the order of choice, and the others.
local function among()
  local list, waiting, seen = {}, {}, {}
  for i = 7, #ARGV do
    local address = ARGV[i]
    local c = not seen[address] and load(address)
    seen[address] = true
    if c and is_member(c) and (ARGV[6] == '' or family_of(address) == ARGV[6]) then
      local room = read(c)
      local one = { address = address, c = c, room = room, score = score_of(c) }
      if room >= 1 then list[#list + 1] = one else waiting[#waiting + 1] = one end
    end
  end
  return in_order(list), waiting
end

-- Turns that have come are taken first, so that an hour that began has its IPs ready. When many have come together, others
-- may have used up the first ones: a take that those do not satisfy goes on, up to MOST_SET_RIGHT.
local turns, more_turns = 0, false
local function take_turns()
  more_turns = false
  for _, family in ipairs(families) do
    local due = redis.call('ZRANGEBYSCORE', turn_key(prefix, scope, family), '-inf', number(now), 'LIMIT', 0, MOST_IPS)
    for _, address in ipairs(due) do refresh(address) end
    turns, more_turns = turns + #due, more_turns or #due == MOST_IPS
  end
end

-- Spreads `wanted` over a list in its order; `allow` bounds the part of warming IPs.
local function spread(list, wanted, allow)
  local chosen, total, missing = {}, 0, wanted
  local function fill(one, most)
    local already = one.chosen and one.chosen.count or 0
    local part = min(missing, one.room - already, most)
    if part < 1 then return 0 end
    if one.chosen then
      one.chosen.count = one.chosen.count + part
    else
      one.chosen = { address = one.address, c = one.c, count = part, warming = one.score < BAND }
      chosen[#chosen + 1] = one.chosen
    end
    missing, total = missing - part, total + part
    return part
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

local wanted = count
if ceiling then
  local room = read(ceiling)
  if room < count then wanted = partial and room or 0 end
end
local allow = HUGE
if share < 1 then allow = max(0, floor(share * (share_total + count)) - share_warming) end

local given = #ARGV >= 7
local list, waiting, chosen, total = {}, nil, {}, 0
if given then
  list, waiting = among()
  if wanted > 0 then chosen, total = spread(list, wanted, allow) end
else
  repeat
    take_turns()
    for _, most in ipairs(wanted == 0 and {} or share < 1 and { MOST_IPS } or { 1, 8, MOST_IPS }) do
      list = candidates(most)
      chosen, total = spread(list, wanted, allow)
      if total >= wanted or #list < most then break end
      for _, one in ipairs(list) do one.chosen = nil end
    end
    local satisfied = wanted > 0 and total >= wanted
  until satisfied or not more_turns or turns >= MOST_SET_RIGHT
  if more_turns then gave_up = true end
end

if total >= wanted and wanted > 0 or (partial and total > 0) then
  local grants, first = {}, nil
  for i, one in ipairs(chosen) do
    local c = one.c
    charge(c, one.count)
    if not peek then
      write_state(prefix, prefix .. 'hot:' .. one.address, c)
      if read(c) >= 1 then
        redis.call('ZADD', ready_key(prefix, scope, family_of(one.address)), number(score_of(c)), one.address)
      else
        place(prefix, scope, one.address, c)
      end
      if one.warming then share_warming = share_warming + one.count end
    end
    if i == 1 then first = c end
    grants[i] = grant(c, one.count, not peek)
  end
  if ceiling then charge(ceiling, total) end
  if gate and not peek then
    local head = struct.pack('<dddd', share, share_hour, share_warming, share_total + total)
    redis.call('SETRANGE', prefix .. 'gate:' .. scope, 0, head)
    if ceiling then redis.call('SETRANGE', prefix .. 'gate:' .. scope, 40, encode_state(ceiling)) end
  end
  return allowed(now, first, total, count, grants, wanted < count and total == wanted and ceiling or nil)
end

-- Denied. The IPs that count: those with some room, and those whose turn comes soonest.
local need = partial and 1 or count
if not waiting then
  waiting = {}
  if ceiling and wanted == 0 then list = candidates(MOST_IPS) end
  local most = (need == 1 and #list == 0) and 1 or MOST_IPS
  for _, family in ipairs(families) do
    for _, address in ipairs(redis.call('ZRANGE', turn_key(prefix, scope, family), 0, most - 1)) do
      local c = load(address)
      if c and read(c) < 1 then waiting[#waiting + 1] = { address = address, c = c, room = 0 } end
    end
  end
end
local all = {}
for _, one in ipairs(list) do all[#all + 1] = one end
for _, one in ipairs(waiting) do all[#all + 1] = one end

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
if not binding then return { 'ok', now, 0, -1, 0, -1, now, 'status', -1, '' } end
return denied(now, best or soonest, binding, count, best_at)
