-- Applies changes that were decided outside: each item whole or not at all. An item names the revisions of the records it
-- was decided on; if one of them has moved on, the item is refused and its caller loads, decides and tries again.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] whole                            1: all items or none; 0: each by itself
-- ARGV[3..] for each item: its JSON, then one binary string for each entry of its `publish`
--   { "check":   [[key, revision]],        records `{"rev":<revision>,...}`; 0: must not exist
--     "allocation": id                     optional: refused when warmline:{acct}:tombstones has it (it came too late)
--     "run":     [[command, ...]],         plain Redis commands on the account's keys
--     "publish": [{ "address", "id", "known", "was": [scopes], "scopes": [scopes] }] }
--                                          known: it was published before, so a hot record that is not there was lost
--   The binary string is the published part of the hot record, from byte 64 on (see counter.lua).
-- Returns a list with one number for each item: 1 applied, 0 refused.
-- A publish never resets counts: the window that is being counted overlaps the new one, so its counts carry over.
--- @include "now"
--- @include "fence"
--- @include "counter"
--- @include "score"
--- @include "routing"
local prefix, whole, now = ARGV[1], ARGV[2] == '1', engine_now()
heed_fence(redis.call('GET', prefix .. 'fence'))

local function holds(item)
  if item.allocation and redis.call('ZSCORE', prefix .. 'tombstones', item.allocation) then return false end
  for _, check in ipairs(item.check) do
    -- The front of the record is enough: a revision of 16 digits.
    local record = redis.call('GETRANGE', check[1], 0, 24)
    local revision = tonumber(string.match(record, '^{"rev":(%d+)')) or 0
    if revision ~= check[2] then return false end
  end
  return true
end

-- What is filed of the hours that overlap a time before the one that is counted.
local function filed_between(id, from, to)
  local sum = 0
  for _, entry in ipairs(filed(prefix .. 'sent:' .. id, HOURS)) do
    if entry[1] > from - HOUR and entry[1] < to then sum = sum + entry[2] end
  end
  return sum
end

local function publish(entry, published)
  local key = prefix .. 'hot:' .. entry.address
  local raw = redis.call('GET', key)
  local old = raw and decode(raw)
  if old and (texts(old)) ~= entry.id then old = nil end -- the address came back under a new id: nothing of the old counts
  local c
  if old then
    settle_known(old, now)
    local past = { day_from = struct.unpack('<d', raw, 9), hour_from = struct.unpack('<d', raw, 25),
      day_used = struct.unpack('<d', raw, 17), hour_used = struct.unpack('<d', raw, 33), seq = old.seq }
    if past.hour_from ~= 0 then file_past(prefix, entry.id, past, old) end
    c = decode(struct.pack('<d', 1) .. encode_state(old) .. published)
    -- Redis's clock went back by more than an hour: mail of a later day was sent on this one. It counts as used up.
    if old.at > now + HOUR then
      c.at, c.level = now, 0
      c.day_used, c.hour_used = max(c.daily, c.day_used), max(c.hourly, c.hour_used)
    end
    local used_day, used_hour = c.day_used, c.hour_used
    settle(c, now)
    -- After more than a week without a publish the windows were 24 hours long, and those of the calendar may have begun
    -- earlier: what was sent in between belongs to them, too.
    if c.at == old.at then
      if c.day_from < old.day_from then used_day = used_day + filed_between(entry.id, c.day_from, old.day_from) end
      if c.hour_from < old.hour_from then used_hour = used_hour + filed_between(entry.id, c.hour_from, old.hour_from) end
    end
    c.day_used, c.hour_used = used_day, used_hour
  else
    -- Beyond the receipts of an earlier record of this IP, or nothing that is granted now could be given back.
    local seq = max(first_seq, tonumber(redis.call('HGET', prefix .. 'sent:' .. entry.id, 'closed') or 0))
    c = decode(struct.pack('<dddddddd', 1, 0, 0, 0, 0, FULL, 0, seq) .. published)
    settle(c, now)
    -- Nobody knows what a lost record had counted: the running day counts as used up.
    if entry.known then
      c.day_used, c.hour_used = max(c.w_daily, 0), max(c.w_hourly, 0)
      if c.w_burst >= 0 then c.level = 0 end
    end
  end
  redis.call('SET', key, struct.pack('<d', 1) .. encode_state(c) .. published)
  local keep = {}
  for _, scope in ipairs(entry.scopes) do
    keep[scope] = true
    place(prefix, scope, entry.address, c)
  end
  for _, scope in ipairs(entry.was) do
    if not keep[scope] then displace(prefix, scope, entry.address) end
  end
end

local items, at = {}, 3
while ARGV[at] do
  local item = cjson.decode(ARGV[at])
  item.blobs, at = at + 1, at + 1 + #item.publish
  items[#items + 1] = item
end
local results, refused = {}, false
if whole then
  for i, item in ipairs(items) do
    results[i] = holds(item) and 1 or 0
    refused = refused or results[i] == 0
  end
  if refused then return results end
end
for i, item in ipairs(items) do
  -- Each by itself: an item before it may have written the same record.
  if whole or holds(item) then
    results[i] = 1
    for _, command in ipairs(item.run) do redis.call(unpack(command)) end
    for n, entry in ipairs(item.publish) do publish(entry, ARGV[item.blobs + n - 1]) end
  else
    results[i] = 0
  end
end
return results
