-- The ids that follow one of them in a sorted set, at one instant: whoever comes or goes meanwhile moves nothing.
-- KEYS[1] sorted set
-- ARGV[1] score and ARGV[2] member that the page before ended with; an empty member begins at the front
-- ARGV[3] how many
-- Returns the members.
local rank = 0
if ARGV[2] ~= '' then
  local found = redis.call('ZRANK', KEYS[1], ARGV[2])
  if found then
    rank = found + 1
  else
    -- It left since: where it would stand is where the page goes on.
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
    rank = redis.call('ZRANK', KEYS[1], ARGV[2])
    redis.call('ZREM', KEYS[1], ARGV[2])
  end
end
return redis.call('ZRANGE', KEYS[1], rank, rank + ARGV[3] - 1)
