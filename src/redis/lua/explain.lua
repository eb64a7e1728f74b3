-- Why is mail held? What a take would be answered now, and every IP that it considered, with its limits as the take read them.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] count   ARGV[3] how              "partial" or empty
-- ARGV[4] "ip" or "pool"
--   ip:   ARGV[5] address   ARGV[6] id, the IP that must hold it, or empty
--   pool: ARGV[5] pool      ARGV[6] family   ARGV[7..] among          as in take-pool.lua
-- Returns nil when there is no such pool or nothing is published for the IP; else a list:
--   1  the answer, as of a peek (answer.lua)
--   2  doubles: now, IPs of the scope, has the pool limits of its own (0 or 1), warmingShare, its sends of the hour, those of
--      warming IPs in it, most that they may have now (-1: all); and the scope, `all` or the id of a pool; of an IP `ip`
--   3  the pool's ceiling as a row without a text, or an empty string
--   4.. a row for each IP in the order of choice, at most MOST_SHOWN; then those without room by the instant at which they have
-- A row, doubles: granted (sends of this take), room (-1: no limit), binds (a BY_ number), limit, remaining, resetsAt, roomAt
--   (-1: never), room at that instant (-1: no limit), gate, heldUntil, from, to, daily, dayUsed, hourFrom, hourTo, hourly,
--   hourUsed, burst, tokens in the bucket, when it is full, flags; then the text of the record.
-- Nothing is written. set-right.lua comes before it; what of the index has become out of date since is kept here, and forgotten.
--- @include "now"
--- @include "fence"
local world, kept = redis, {}
local PAGE = 256

-- What is known of a sorted set: its entries as they stand, read page by page and only once; and what was set right since.
local function view_of(key)
  local view = kept[key]
  if not view then
    view = { entries = {}, first = 1, is_whole = false, members = {} }
    kept[key] = view
  end
  return view
end

local function entry_at(key, view, at)
  if at > #view.entries and not view.is_whole then
    local found = world.call('ZRANGE', key, #view.entries, #view.entries + PAGE - 1, 'WITHSCORES')
    view.is_whole = #found < 2 * PAGE
    for i = 1, #found, 2 do
      view.entries[#view.entries + 1] = { found[i], tonumber(found[i + 1]) or math.huge }
    end
  end
  return view.entries[at]
end

local function is_before(a, b)
  if a[2] ~= b[2] then return a[2] < b[2] end
  return a[1] < b[1]
end

-- The entries of a sorted set from the lowest on, up to the score `top`, at most `most`.
local function lowest(key, top, most, scores)
  local view, list, at = view_of(key), {}, nil
  local members = view.members
  while view.entries[view.first] and members[view.entries[view.first][1]] ~= nil do view.first = view.first + 1 end
  at = view.first
  while #list < most do
    local entry = entry_at(key, view, at)
    if not entry or entry[2] > top then break end
    if members[entry[1]] == nil then list[#list + 1] = entry end
    at = at + 1
  end
  for member, score in pairs(members) do
    local last = #list == most and list[most]
    if score and score <= top and (not last or score < last[2] or (score == last[2] and member < last[1])) then
      local entry, place = { member, score }, last and most or #list + 1
      while place > 1 and is_before(entry, list[place - 1]) do
        list[place] = list[place - 1]
        place = place - 1
      end
      list[place] = entry
    end
  end
  local flat = {}
  for _, entry in ipairs(list) do
    flat[#flat + 1] = entry[1]
    if scores then flat[#flat + 1] = entry[2] end
  end
  return flat
end

local READS = { GET = true, MGET = true, HGET = true, EXISTS = true }
local redis = {
  call = function(command, key, ...)
    if READS[command] then return world.call(command, key, ...) end
    local a, b, c, d, e = ...
    if command == 'ZRANGE' then return lowest(key, math.huge, b + 1, c ~= nil) end
    if command == 'ZRANGEBYSCORE' then return lowest(key, tonumber(b), e, false) end
    if command == 'ZADD' then
      for i = 1, select('#', ...), 2 do
        local score, member = select(i, ...)
        view_of(key).members[member] = score == '+inf' and math.huge or tonumber(score)
      end
    elseif command == 'ZREM' then
      view_of(key).members[a] = false
    else
      error('explaining must not call ' .. command)
    end
  end,
}
--- @include "score"
--- @include "choose-fast"
--- @include "counter"
--- @include "answer"
--- @include "routing"
local prefix, now, count, partial = ARGV[1], engine_now(), tonumber(ARGV[2]), ARGV[3] == 'partial'
local need = partial and 1 or count
heed_fence(world.call('GET', prefix .. 'fence'))
local MOST_SHOWN = 128

-- `later`: when it has room for the take, if that is known.
local function row(c, granted, later)
  local room, binds, limit, remaining, resets = read(c)
  local then_room = later and later > now and room_then(c, later) or room
  local tokens, full = -1, -1
  if c.w_burst >= 0 then
    tokens, full = floor(c.level / SEND_UNITS), c.at + ms_until(c, c.w_burst * SEND_UNITS - c.level)
  end
  return struct.pack('<dddddddddddddddddddddd', granted, room == HUGE and -1 or room, binds, limit, remaining, resets, later or -1,
    then_room == HUGE and -1 or then_room, c.gate, c.held_until, c.w_from, c.w_to, c.w_daily, c.day_used, c.hour_from,
    c.w_hour_to, c.w_hourly, c.hour_used, c.w_burst, tokens, full, c.w_flags) .. text_of(c)
end

local function head(members, gate, allow, scope)
  return struct.pack('<ddddddd', now, members, gate and 1 or 0, gate and gate.share or 1, gate and gate.total or 0,
    gate and gate.warming or 0, allow) .. scope
end

if ARGV[4] == 'ip' then
  local raw = redis.call('GET', prefix .. 'hot:' .. ARGV[5])
  local c = raw and decode(raw)
  if not c or (ARGV[6] ~= '' and not is_of(c, ARGV[6])) then return false end
  settle_known(c, now)
  local room, later = read(c), room_at(c, need)
  local granted = (room >= count and count) or (partial and room) or 0
  local shown = row(c, granted, later)
  if granted == 0 then return { denied(now, c, c, later), head(1, nil, -1, 'ip'), '', shown } end
  charge(c, granted, 1)
  return { allowed(now, c, granted, count, { part(c, granted) }), head(1, nil, -1, 'ip'), '', shown }
end

local scope, family, among = scope_of(prefix, ARGV[5]), ARGV[6], ARGV[7] and { unpack(ARGV, 7) }
if not scope then return false end
--- @include "pool"
-- Of thousands set-right.lua has left few, and where it gave up one look is enough to say so.
ENOUGH_SET_RIGHT, MOST_SET_RIGHT = MOST_IPS, MOST_IPS
local reply, _, chosen = take_from_pool(scope, count, partial, true, family, among)

-- The counters as the take found them: what it charged, and never wrote, is taken back.
local granted = {}
for _, one in ipairs(chosen) do
  charge(one.c, -one.count, -1)
  granted[one.address] = one.count
end

local families, gate = families_of(scope, family), gate_of(scope)
local shared = gate and gate.share < 1
local allow = shared and max(0, floor(gate.share * (gate.total + count)) - gate.warming) or -1
local list, waiting, members = {}, {}, 0
if among then
  list, waiting = named_ones(scope, family, among)
  members = #list + #waiting
else
  list = candidates(scope, families, MOST_SHOWN)
  local seen = {}
  for _, one in ipairs(list) do seen[one.address] = true end
  for _, one_family in ipairs(families) do
    members = members + world.call('ZCARD', turn_key(prefix, scope, one_family))
    for _, address in ipairs(redis.call('ZRANGE', turn_key(prefix, scope, one_family), 0, MOST_SHOWN - 1)) do
      local c = not seen[address] and load(address)
      if c then
        local room = read(c)
        local one = { address = address, c = c, room = room, score = score_of(c) }
        if room >= 1 then list[#list + 1] = one else waiting[#waiting + 1] = one end
      end
    end
  end
  in_order(list)
end
for _, one in ipairs(waiting) do
  one.later = room_at(one.c, need)
  one.score = one.later or HUGE
end
in_order(waiting)

local ceiling = gate and gate.ceiling
local shown = { reply, head(members, gate, allow, scope), ceiling and row(ceiling, 0, room_at(ceiling, need)) or '' }
for _, part_of in ipairs({ list, waiting }) do
  for _, one in ipairs(part_of) do
    if #shown < MOST_SHOWN + 3 then
      local later = one.later
      if later == nil then later = room_at(one.c, need) end
      shown[#shown + 1] = row(one.c, granted[one.address] or 0, later)
    end
  end
end
return shown
