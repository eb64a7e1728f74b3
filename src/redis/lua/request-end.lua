-- A request with an Idempotency-Key is over.
-- KEYS[1] request (hash)   warmline:{acct}:request:<digest of route and key>
-- ARGV[1] who asked   ARGV[2] answered: keep the answer; open: it may have had an effect, so that a retry goes on from it;
--         forget: it had none
-- ARGV[3] status   ARGV[4] content type   ARGV[5] body      with `answered`
-- Returns 1, or 0 when somebody else has taken it over.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'owner', 'until')
if ARGV[2] == 'forget' then redis.call('DEL', KEYS[1]) end
if ARGV[2] == 'answered' then redis.call('HSET', KEYS[1], 'status', ARGV[3], 'type', ARGV[4], 'body', ARGV[5]) end
return 1
