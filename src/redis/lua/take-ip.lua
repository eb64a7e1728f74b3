-- Takes sends from one IP, or looks at what a take would get. A denied take writes nothing, so asking never costs quota.
-- KEYS[1] hot record of the address        warmline:{acct}:hot:<address>
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] count                            sends wanted, 1 to 1 000 000
-- ARGV[3] partial                          1: fewer are welcome; 0: all or nothing
-- ARGV[4] peek                             1: write nothing
-- ARGV[5] id                               the IP that must hold the address, or empty
-- Returns { "unpublished" }, or
--   { "ok", now, granted, limit, remaining, retryAt, resetsAt, binds, bindsUntil, [ address, count, receipt, id, hostname, bind ] }
--   Instants are in ms; limit and remaining -1 for unlimited; retryAt 0 for now, -1 for never; bindsUntil -1 for unknown.
--- @include "now"
--- @include "counter"
--- @include "reply"
local prefix, count, partial, peek = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local raw = redis.call('GET', KEYS[1])
local c = raw and decode(raw)
if not c or (ARGV[5] ~= '' and (texts(c)) ~= ARGV[5]) then return { 'unpublished' } end
local now = engine_now()
settle_and_file(prefix, c, now)
local room = read(c)
local granted = (room >= count and count) or (partial and room) or 0
if granted == 0 then return denied(now, c, c, count, room_at(c, partial and 1 or count)) end
if peek then
  c.day_used, c.hour_used = c.day_used + granted, c.hour_used + granted
  if c.level ~= FULL then c.level = c.level - granted * SEND_UNITS end
  return allowed(now, c, granted, count, { grant(c, granted, false) })
end
charge(c, granted)
write_state(prefix, KEYS[1], c)
return allowed(now, c, granted, count, { grant(c, granted, true) })
