-- Takes sends from one IP, or looks at what a take would get. A denied take writes nothing, so asking never costs quota.
-- KEYS[1] hot record of the address        warmline:{acct}:hot:<address>
-- ARGV[1] count                            sends wanted, 1 to 1 000 000
-- ARGV[2] how                              optional: "partial", fewer are welcome; "peek", write nothing; "peek-partial"
-- ARGV[3] id                               optional: the IP that must hold the address
-- Returns nil when nothing is published for that IP, or an answer (fast.lua, answer.lua).
--- @include "now"
--- @include "fence"
--- @include "fast"
local prefix = string.match(KEYS[1], '^(.-:)hot:')
local raw, now, count, how, id = redis.call('GET', KEYS[1]), engine_now(), tonumber(ARGV[1]), ARGV[2] or '', ARGV[3]
heed_fence(redis.call('GET', prefix .. 'fence'))
if raw and (how == '' or how == 'partial') then
  local state, left, limit, resets, day_from, hour_from, seq = charge_fast(raw, now, count, 1)
  if state and (not id or names(raw, id)) then
    redis.call('SETRANGE', KEYS[1], 8, state)
    return answer_fast(raw, now, left, limit, resets, day_from, hour_from, seq)
  end
end
--- @include "counter"
--- @include "answer"
local c = raw and decode(raw)
if not c or (id and not is_of(c, id)) then return false end
settle_and_file(c, now)
local partial, peek = how == 'partial' or how == 'peek-partial', how == 'peek' or how == 'peek-partial'
local room = read(c)
local granted = (room >= count and count) or (partial and room) or 0
if granted == 0 then return denied(now, c, c, room_at(c, partial and 1 or count)) end
charge(c, granted, 1)
if not peek then write_state(prefix, KEYS[1], c) end
return allowed(now, c, granted, count, { part(c, granted) })
