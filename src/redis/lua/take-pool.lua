-- Takes sends from a pool, or from any IP of the account.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] count   ARGV[3] how              as in take-ip.lua; how may be empty
-- ARGV[4] pool                             id or name; empty: the default pool, else every IP of the account
-- ARGV[5] family                           4, 6, or empty for both
-- ARGV[6..] among                          addresses; only these are considered (at most 100)
-- Returns nil when there is no such pool, or an answer (answer.lua) with a part for each IP granted.
--- @include "now"
--- @include "fence"
--- @include "fast"
--- @include "score"
--- @include "choose-fast"
local prefix, now, count, how, family = ARGV[1], engine_now(), tonumber(ARGV[2]), ARGV[3], ARGV[5]
local scope = scope_of(prefix, ARGV[4])
if not scope then return false end
heed_fence(redis.call('GET', prefix .. 'fence'))
if how == '' and family == '' and not ARGV[6] and is_common(prefix, scope, now) then
  local answer = choose_fast(prefix, now, scope, count)
  if answer then return answer end
end
--- @include "counter"
--- @include "answer"
--- @include "routing"
--- @include "pool"
local partial, peek = how == 'partial' or how == 'peek-partial', how == 'peek' or how == 'peek-partial'
return take_from_pool(scope, count, partial, peek, family, ARGV[6] and { unpack(ARGV, 6) })
