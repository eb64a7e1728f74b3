-- Moves the place up to which the account's stream was turned into events; forward only, whoever is late.
-- KEYS[1] webhook-position (string, the id of a change)
-- ARGV[1] the place as it was read, empty for none   ARGV[2] the new one
-- Returns 1, or 0 when somebody else has moved it.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
