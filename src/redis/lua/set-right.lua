-- Sets a part of the index of a pool right, as a take does that finds it out of date: before a take is explained, so that no
-- call holds Redis for long where thousands of IPs turned together. The index is a hint: nothing is granted or counted by it.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] pool   ARGV[3] family            as in take-pool.lua
-- Returns nil when there is no such pool; else 1 when more may be out of date, or 0.
--- @include "now"
--- @include "fence"
--- @include "score"
--- @include "choose-fast"
--- @include "counter"
--- @include "answer"
--- @include "routing"
local prefix, now = ARGV[1], engine_now()
local scope = scope_of(prefix, ARGV[2])
if not scope then return false end
heed_fence(redis.call('GET', prefix .. 'fence'))
--- @include "pool"
local families, more = families_of(scope, ARGV[3]), 0
local PART = 96 / #families -- about 4 milliseconds
for _, family in ipairs(families) do
  local due = redis.call('ZRANGEBYSCORE', turn_key(prefix, scope, family), '-inf', number(now), 'LIMIT', 0, PART)
  if #due > 0 then load_all(due) end
  for _, address in ipairs(due) do refresh(scope, address) end
  if #due > 0 then
    more = 1
  else
    local ready = redis.call('ZRANGE', ready_key(prefix, scope, family), 0, PART - 1, 'WITHSCORES')
    for i = 1, #ready, 2 do
      local c = load(ready[i])
      if not c or read(c) < 1 or score_of(c) ~= tonumber(ready[i + 1]) then
        refresh(scope, ready[i])
        more = 1
      end
    end
  end
end
return more
