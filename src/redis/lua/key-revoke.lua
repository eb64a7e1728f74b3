-- Forgets an API key: it opens nothing any more and stands in no list.
-- KEYS[1] api-keys (hash SHA-256 -> JSON)        KEYS[2] key-hashes (hash key id -> SHA-256)
-- KEYS[3] key-order (sorted set of key ids)      KEYS[4] keys-of:<account> (sorted set of key ids)
-- KEYS[5] key-uses (hash key id -> ms)
-- ARGV[1] key id
-- Returns 1, or 0 when there is no such key.
local hash = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
if not hash then return 0 end
-- The same text may have been made the key of the environment since.
local raw = redis.call('HGET', KEYS[1], hash)
if raw and cjson.decode(raw).id == ARGV[1] then redis.call('HDEL', KEYS[1], hash) end
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
