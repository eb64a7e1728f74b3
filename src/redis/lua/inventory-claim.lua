-- Holds addresses for an account that is brought back, all or none: such as are free, unknown, or held for these very IPs.
-- KEYS[1] entries (hash address -> JSON)   KEYS[2] free (sorted set)
-- ARGV[1] 1: only look
-- ARGV[2..] for each: address, its entry as JSON (held, with account and ipId)
-- Returns { "ok" }, or { "taken", address, state, account } of the first that belongs to another.
--- @include "inventory-queue"
for i = 2, #ARGV, 2 do
  local stands = redis.call('HGET', KEYS[1], ARGV[i])
  if stands then
    local is, wanted = cjson.decode(stands), cjson.decode(ARGV[i + 1])
    local is_ours = is.state == 'held' and is.account == wanted.account and is.ipId == wanted.ipId
    if is.state ~= 'free' and not is_ours then return { 'taken', ARGV[i], is.state, is.account or '' } end
  end
end
if ARGV[1] == '1' then return { 'ok' } end
for i = 2, #ARGV, 2 do
  local stands = redis.call('HGET', KEYS[1], ARGV[i])
  if stands and cjson.decode(stands).state == 'free' then take_from_queue(KEYS[2], cjson.decode(stands)) end
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return { 'ok' }
