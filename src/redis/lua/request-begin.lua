-- Somebody asks with an Idempotency-Key: is it the first time? Real time: it is about retries over a network.
-- KEYS[1] request (hash)   warmline:{acct}:request:<digest of route and key>
-- ARGV[1] digest of what is asked   ARGV[2] seed of the ids that it makes   ARGV[3] who asks (random)
-- ARGV[4] ms within which it should be done   ARGV[5] ms for which it is remembered
-- Returns { "begun", seed }: go on; with a seed of before, if an attempt got lost.
--   { "other" }: this key was used for something else.   { "running", ms }: somebody is at it.
--   { "answered", status, content type, body }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local asked, seed, owner, until_, status = unpack(redis.call('HMGET', KEYS[1], 'asked', 'seed', 'owner', 'until', 'status'))
if asked and asked ~= ARGV[1] then return { 'other' } end
if status then return { 'answered', status, unpack(redis.call('HMGET', KEYS[1], 'type', 'body')) } end
if owner and tonumber(until_) > now then return { 'running', tonumber(until_) - now } end
if not asked then
  seed = ARGV[2]
  redis.call('HSET', KEYS[1], 'asked', ARGV[1], 'seed', seed)
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'until', now + ARGV[4])
return { 'begun', seed }
