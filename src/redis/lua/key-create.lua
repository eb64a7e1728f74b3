-- Keeps an API key under its hash, with its place in the lists, all or nothing.
-- KEYS[1] accounts (hash id -> JSON)             KEYS[2] api-keys (hash SHA-256 -> JSON)
-- KEYS[3] key-hashes (hash key id -> SHA-256)    KEYS[4] key-order (sorted set of key ids)
-- KEYS[5] keys-of:<account> (sorted set of key ids)   KEYS[6] key-sequence (counter)
-- ARGV[1] SHA-256   ARGV[2] key id   ARGV[3] its record as JSON, without its place   ARGV[4] account id
-- ARGV[5] most keys of one account
-- Returns { "ok", record }, { "no account" } or { "full" }.
if redis.call('HEXISTS', KEYS[1], ARGV[4]) == 0 then return { 'no account' } end
local known = redis.call('HGET', KEYS[3], ARGV[2])
if not known and redis.call('ZCARD', KEYS[5]) >= tonumber(ARGV[5]) then return { 'full' } end
-- A key of the same id is replaced: what it was opens nothing any more.
local old = known and redis.call('HGET', KEYS[2], known)
if old and cjson.decode(old).id == ARGV[2] then redis.call('HDEL', KEYS[2], known) end
local place = redis.call('ZSCORE', KEYS[4], ARGV[2]) or redis.call('INCR', KEYS[6])
local record = string.format('{"place":%d,', place) .. string.sub(ARGV[3], 2)
redis.call('HSET', KEYS[2], ARGV[1], record)
redis.call('HSET', KEYS[3], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[4], place, ARGV[2])
redis.call('ZADD', KEYS[5], place, ARGV[2])
return { 'ok', record }
