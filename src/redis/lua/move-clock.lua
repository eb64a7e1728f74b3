-- Moves a test clock forward; to an earlier instant it does nothing.
-- KEYS[1] time of the clock in ms   ARGV[1] the instant
-- Returns 1 when it moved.
if tonumber(redis.call('GET', KEYS[1])) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
