-- The takes of many callers at once, as if each had come by itself, in the order in which they are named here.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- KEYS[2..] hot records, each once         warmline:{acct}:hot:<address>
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] how many hot records
-- ARGV[3] length of what follows           1: for each hot record one and the same
-- ARGV[4..] for each hot record what is taken: a number of takes of one send each, or
--   "<takes> <sends> <run>,<run>,... <id>" the sums; runs of equal takes, <takes>x<count>, with a p behind: partial;
--                                          optional: the IP that must hold the address
-- then groups of 3 for pools: "<takes>x<count>", the pool, the family as in take-pool.lua
-- Returns one string: for each hot record a length (4 bytes), and then in the same order
--   the record as it is now, from byte 8 on, when all that was asked for it was granted: it is packed already;
--   length 0: an answer (answer.lua) for each of its runs, with the sum granted: whole takes, from the first on, and of a
--   partial run the rest to the take after them; one double of -1: nothing is published for it
-- and for each pool the number of answers that follow (-1: there is no such pool). Each is for a number of takes, which have
--   all its grants or none: two doubles, that number and the length of a record as above, and the record; length 0: an
--   answer. Takes without an answer were not decided, and may be asked again.
--- @include "now"
--- @include "fence"
--- @include "fast"
local prefix, ips, each, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), engine_now()
local replies, lengths, slow, groups_at = {}, {}, {}, each + 4
-- What is wanted of one: takes, sends, id (false: whichever holds the address).
local function wish(i)
  local text = ARGV[each == 1 and 4 or 3 + i]
  local takes = tonumber(text)
  if takes then return takes, takes, false end
  local a, b, c = string.match(text, '^(%d+) (%d+) %S+ ?(%S*)$')
  return tonumber(a), tonumber(b), c ~= '' and c
end
if ips > 0 then
  local takes, sends, id = wish(1)
  local n = 0
  KEYS[ips + 2] = prefix .. 'fence' -- read on the way
  local raws = redis.call('MGET', unpack(KEYS, 2, ips + 2))
  heed_fence(raws[ips + 1])
  for i = 1, ips do
    local raw = raws[i]
    if each > 1 and i > 1 then takes, sends, id = wish(i) end
    local state = raw and (not id or #raw >= 168 and names(raw, id)) and charge_fast(raw, now, sends, takes)
    if state then
      redis.call('SETRANGE', KEYS[i + 1], 8, state)
      replies[n + 1], replies[n + 2], n, lengths[i] = state, string.sub(raw, 65), n + 2, #raw - 8
    else
      slow[#slow + 1] = { at = i, raw = raw or '', reply = n + 1 }
      replies[n + 1], n, lengths[i] = '', n + 1, 0
    end
  end
  lengths = struct.pack('<' .. string.rep('I4', ips), unpack(lengths))
else
  lengths = ''
  heed_fence(redis.call('GET', prefix .. 'fence'))
end
-- Before the pools, which may choose the same IPs.
if #slow > 0 then
--- @include "counter"
--- @include "answer"
for _, one in ipairs(slow) do
  local text = ARGV[each == 1 and 4 or 3 + one.at]
  local c, runs, parts = decode(one.raw), tonumber(text) and text .. 'x1' or string.match(text, '^%d+ %d+ (%S+)'), {}
  local _, _, id = wish(one.at)
  if not c or (id and not is_of(c, id)) then
    parts[1] = struct.pack('<d', -1)
  else
    settle_and_file(c, now)
    local charged = false
    for takes, count, partial in string.gmatch(runs, '(%d+)x(%d+)(p?)') do
      takes, count, partial = tonumber(takes), tonumber(count), partial == 'p'
      local room, wanted = read(c), takes * count
      local granted = min(room, wanted)
      if not partial then granted = floor(granted / count) * count end
      if granted > 0 then
        charge(c, granted, ceil(granted / count))
        charged = true
      end
      if granted == wanted then
        parts[#parts + 1] = allowed(now, c, granted, wanted, { part(c, granted) })
      else
        -- Those that come too short read why, and when there is room for one of them.
        local _, binds, limit, remaining, resets = read(c)
        local retry_at = room_at(c, partial and 1 or count)
        if binds == NOTHING or (not retry_at and binds ~= BY_STATUS and binds ~= BY_HOLD) then binds = BY_COUNT end
        parts[#parts + 1] = answer(now, binds, granted, limit, remaining, resets, retry_at, until_of(c, binds, retry_at), { part(c, granted) })
      end
    end
    if charged then write_state(prefix, KEYS[one.at + 1], c) end
  end
  replies[one.reply] = table.concat(parts)
end
end
if not ARGV[groups_at] then return lengths .. table.concat(replies) end

--- @include "score"
--- @include "choose-fast"
--- @include "choose-many-fast"
-- What was asked of pools; from the first on that needs the long way, all go it, so that they keep their order.
local asked, long_way = {}, false
for at = groups_at, #ARGV, 3 do
  local takes, count = string.match(ARGV[at], '^(%d+)x(%d+)$')
  local one = { takes = tonumber(takes), count = tonumber(count), family = ARGV[at + 2], answers = {} }
  one.scope = scope_of(prefix, ARGV[at + 1])
  one.left = one.scope and one.takes or 0
  if one.left > 0 and not long_way and one.family == '' and is_common(prefix, one.scope, now) then
    if one.count == 1 then
      one.left = one.left - choose_many_fast(prefix, now, one.scope, one.takes, one.answers)
    else
      while one.left > 0 do
        local answer = choose_fast(prefix, now, one.scope, one.count)
        if not answer then break end
        one.answers[#one.answers + 1], one.left = struct.pack('<dd', 1, 0) .. answer, one.left - 1
      end
    end
  end
  long_way = long_way or one.left > 0
  asked[#asked + 1] = one
end
local function pack_pools()
  for _, one in ipairs(asked) do
    replies[#replies + 1] = struct.pack('<d', one.scope and #one.answers or -1)
    for _, packed in ipairs(one.answers) do replies[#replies + 1] = packed end
  end
  return lengths .. table.concat(replies)
end
if not long_way then return pack_pools() end

--- @include "counter"
--- @include "answer"
--- @include "routing"
--- @include "pool"
--- @include "pool-many"
for _, one in ipairs(asked) do
  local answers, scope = one.answers, one.scope
  if one.left > 0 and one.count == 1 and not gate_of(scope) then
    local charged, given = take_singles(scope, one.left, one.family)
    for _, part_of in ipairs(charged) do
      answers[#answers + 1] = struct.pack('<dd', part_of.count, 0)
        .. allowed(now, part_of.c, part_of.count, part_of.count, { part(part_of.c, part_of.count) })
    end
    one.left = one.left - given
    -- What denies the rest is what denies one more. (One that set the index right may find room for this one.)
    if one.left > 0 then
      local answer, granted = take_from_pool(scope, 1, false, false, one.family)
      answers[#answers + 1] = struct.pack('<dd', granted > 0 and 1 or one.left, 0) .. answer
    end
  else
    for _ = 1, one.left do
      answers[#answers + 1] = struct.pack('<dd', 1, 0) .. take_from_pool(scope, one.count, false, false, one.family)
    end
  end
end
return pack_pools()
