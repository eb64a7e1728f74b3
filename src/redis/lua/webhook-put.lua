-- Keeps the record of a webhook, if nobody has changed it since it was read.
-- KEYS[1] webhooks (hash id -> JSON)
-- ARGV[1] id   ARGV[2] the record as it was read, empty for a new one   ARGV[3] the record   ARGV[4] most webhooks
-- Returns "ok", "changed", or "full".
local known = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if known ~= ARGV[2] then return 'changed' end
if known == '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 'ok'
